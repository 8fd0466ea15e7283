//! A token in the cache costs no allocation of ours: no more than any layer that puts one `Arc` in
//! the request's extensions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "that is how a test fails"
)]

#[path = "common/resource.rs"]
mod resource;

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_mcp_auth::{McpSession, Operation};

use self::resource::{empty, post, resource, send};

type Ours = Request<Full<Bytes>>;
type Theirs = Response<Full<Bytes>>;

fn inner<B>(_: Request<B>) -> Ready<Result<Theirs, Infallible>> {
    ready(Ok(Response::new(Full::default())))
}

/// Allocations of one call, from the request to the response.
fn allocations<S: Service<Ours>>(service: &mut S, request: Ours) -> u64 {
    let measured = allocation_counter::measure(|| {
        let mut future = pin!(service.call(request));
        let answer = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(answer, Poll::Ready(Ok(_))), "decided at once");
    });
    measured.count_total
}

/// The same, and of reading the body.
fn allocations_to_the_end<S, B>(service: &mut S, request: Ours) -> u64
where
    S: Service<Ours, Response = Response<B>>,
    B: Body,
{
    let measured = allocation_counter::measure(|| {
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(answer)) = pin!(service.call(request)).poll(cx) else {
            panic!("decided at once");
        };
        let mut body = pin!(answer.into_body());
        while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(cx) {}
    });
    measured.count_total
}

/// The mean of many calls: the cache tidies up every now and then.
fn mean(mut call: impl FnMut() -> u64) -> f64 {
    const CALLS: u64 = 20_000;
    let total: u64 = (0..CALLS).map(|_| call()).sum();
    total as f64 / CALLS as f64
}

/// Puts one `Arc` in the request's extensions and does nothing else.
fn one_extension<S>(inner: S) -> impl Service<Ours, Response = S::Response, Error = S::Error>
where
    S: Service<Ours>,
{
    #[derive(Clone)]
    struct Marker(#[expect(dead_code, reason = "only its size matters")] Arc<()>);

    let marker = Marker(Arc::new(()));
    ServiceBuilder::new()
        .map_request(move |mut request: Ours| {
            request.extensions_mut().insert(marker.clone());
            request
        })
        .service(inner)
}

#[tokio::test]
async fn a_hit_allocates_no_more_than_inserting_one_extension() {
    let mut reference = one_extension(service_fn(inner));
    let (resource, told, _) = resource();
    let layer = resource.layer().require("notes:read");
    let mut plain = layer.clone().layer(service_fn(inner));
    let mut by_header = layer
        .require_for(Operation::method("tools/list"), "notes:write")
        .layer(service_fn(inner));
    // So that both know the token.
    assert_eq!(send(&plain, empty(post(Some("alice")))).await.status, 200);

    let request = || {
        let request = post(Some("alice"))
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "ping");
        empty(request)
    };
    let floor = mean(|| allocations(&mut reference, request()));
    assert!(floor >= 1.0, "the count counts");
    for (what, count) in [
        ("plain", mean(|| allocations(&mut plain, request()))),
        ("by header", mean(|| allocations(&mut by_header, request()))),
    ] {
        assert!(count <= floor + 0.05, "{what}: {count} to {floor}");
    }
    assert_eq!(told.calls(), 1);
    assert_eq!(size_of::<McpSession>(), size_of::<usize>());
}

/// A body that is there already waits for nothing, and so for no revocation either.
#[tokio::test]
async fn a_complete_body_allocates_nothing_on_its_way() {
    let (resource, _, _) = resource();
    let complete = |_: Ours| ready(Ok::<_, Infallible>(Response::new(Full::from("an answer"))));
    // It does not tell its length, as a stream, and is all there.
    let pieces = |_: Ours| {
        let pieces = ["one", "two", "three"];
        let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(tokio_stream::iter(frames));
        ready(Ok::<_, Infallible>(Response::new(body)))
    };
    let request = || empty(post(Some("alice")));
    let layer = resource.layer();
    let (mut whole, mut in_pieces) = (
        layer.layer(service_fn(complete)),
        layer.layer(service_fn(pieces)),
    );
    assert_eq!(send(&whole, request()).await.status, 200);

    let (mut whole_floor, mut pieces_floor) = (
        one_extension(service_fn(complete)),
        one_extension(service_fn(pieces)),
    );
    for (count, floor) in [
        (
            mean(|| allocations_to_the_end(&mut whole, request())),
            mean(|| allocations_to_the_end(&mut whole_floor, request())),
        ),
        (
            mean(|| allocations_to_the_end(&mut in_pieces, request())),
            mean(|| allocations_to_the_end(&mut pieces_floor, request())),
        ),
    ] {
        assert!(floor >= 1.0, "the count counts");
        assert!(count <= floor + 0.05, "{count} to {floor}");
    }
}
