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
    let count = mean(|| allocations(&mut plain, request()));
    assert!(count <= floor + 0.05, "{count} to {floor}");
    // What stands for the token goes along, for a message that is still on its way.
    let count = mean(|| allocations(&mut by_header, request()));
    assert!(count <= floor + 1.05, "by header: {count} to {floor}");
    assert_eq!(told.calls(), 1);
    assert_eq!(size_of::<McpSession>(), size_of::<usize>());
}

/// Only a stream has to hear of revocations: one allocation for all that takes, and nothing to look
/// after until it keeps its reader waiting.
#[tokio::test]
async fn an_answer_allocates_nothing_on_its_way_and_a_stream_once() {
    let (resource, _, _) = resource();
    let answer = |_: Ours| ready(Ok::<_, Infallible>(Response::new(Full::from("an answer"))));
    let stream = |_: Ours| {
        let frames =
            ["one", "two", "three"].map(|piece| Ok::<_, Infallible>(Frame::data(piece.into())));
        let body = StreamBody::new(tokio_stream::iter(frames));
        ready(Ok::<_, Infallible>(Response::new(body)))
    };
    let request = || empty(post(Some("alice")));
    let layer = resource.layer();
    let mut answers = layer.layer(service_fn(answer));
    let mut streams = layer.layer(service_fn(stream));
    assert_eq!(send(&answers, request()).await.status, 200);
    assert_eq!(send(&streams, request()).await.text(), "onetwothree");

    let mut bare = one_extension(service_fn(answer));
    let floor = mean(|| allocations_to_the_end(&mut bare, request()));
    let count = mean(|| allocations_to_the_end(&mut answers, request()));
    assert!(floor >= 1.0, "the count counts");
    assert!(count <= floor + 0.05, "{count} to {floor}");

    let mut bare = one_extension(service_fn(stream));
    let floor = mean(|| allocations_to_the_end(&mut bare, request()));
    let count = mean(|| allocations_to_the_end(&mut streams, request()));
    assert!(count <= floor + 1.05, "{count} to {floor}");
}
