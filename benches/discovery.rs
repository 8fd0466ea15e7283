//! A document, and what the layer costs a request that is none.

mod common;

use bytes::Bytes;
use common::{auth, echo};
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::Full;
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
    for (name, path) in [
        ("document", "/.well-known/oauth-authorization-server"),
        ("passed_on", "/mcp"),
    ] {
        let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter(|| layered.call(request.clone()));
        });
        group.bench_function(format!("{name}_bare"), |b| {
            b.to_async(&runtime).iter(|| bare.call(request.clone()));
        });
    }
    group.finish();
}

criterion_group!(benches, discovery);
criterion_main!(benches);
