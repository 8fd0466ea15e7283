//! A document, next to a service that answers with the same bytes, and what the layer costs a
//! request that is none.

mod common;

use std::{convert::Infallible, future::ready};

use bytes::Bytes;
use common::{Call, auth, echo};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};
use tower_mcp_auth::MemoryStore;

fn discovery(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let auth = auth(MemoryStore::new());
    let mut bare = service_fn(echo);
    let mut layered = auth.well_known().layer(service_fn(echo));
    let mut group = c.benchmark_group("discovery");
    let get = |path| Request::get(path).body(Full::<Bytes>::default()).unwrap();
    let request = get("/.well-known/oauth-authorization-server");
    group.bench_function("document", |b| {
        b.to_async(&runtime).iter(|| layered.call(request.clone()));
    });
    let (parts, body) = runtime
        .block_on(layered.call(request.clone()))
        .unwrap()
        .into_parts();
    let body = runtime.block_on(body.collect()).unwrap().to_bytes();
    let mut by_hand = service_fn(|_: Call| {
        let mut answer = Response::new(Full::new(body.clone()));
        *answer.headers_mut() = parts.headers.clone();
        ready(Ok::<_, Infallible>(answer))
    });
    group.bench_function("document_by_hand", |b| {
        b.to_async(&runtime).iter(|| by_hand.call(request.clone()));
    });
    let request = get("/mcp");
    group.bench_function("passed_on", |b| {
        b.to_async(&runtime).iter(|| layered.call(request.clone()));
    });
    group.bench_function("passed_on_bare", |b| {
        b.to_async(&runtime).iter(|| bare.call(request.clone()));
    });
    group.finish();
}

criterion_group!(benches, discovery);
criterion_main!(benches);
