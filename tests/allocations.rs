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
use http_body_util::Full;
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

/// The mean of many calls: the cache tidies up every now and then.
fn mean<S: Service<Ours>>(service: &mut S, request: impl Fn() -> Ours) -> f64 {
    const CALLS: u64 = 20_000;
    let total: u64 = (0..CALLS).map(|_| allocations(service, request())).sum();
    total as f64 / CALLS as f64
}

#[tokio::test]
async fn a_hit_allocates_no_more_than_inserting_one_extension() {
    #[derive(Clone)]
    struct Marker(#[expect(dead_code, reason = "only its size matters")] Arc<()>);

    let marker = Marker(Arc::new(()));
    let mut reference = ServiceBuilder::new()
        .map_request(move |mut request: Ours| {
            request.extensions_mut().insert(marker.clone());
            request
        })
        .service(service_fn(inner));

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
    let floor = mean(&mut reference, request);
    assert!(floor >= 1.0, "the count counts");
    for (what, count) in [
        ("plain", mean(&mut plain, request)),
        ("by header", mean(&mut by_header, request)),
    ] {
        assert!(count <= floor + 0.05, "{what}: {count} to {floor}");
    }
    assert_eq!(told.calls(), 1);
    assert_eq!(size_of::<McpSession>(), size_of::<usize>());
}
