//! One validation: what the layer adds to a service that does nothing.
//!
//! `bare` is that service alone. `hit` finds the token in the cache (of one, and of 10,000 in
//! turn), `miss` asks the store, `reject_*` turn a request away. `revoke_to_refusal` is the time
//! from a call of `revoke_grant` to the refusal of a request that comes when it has returned.

mod common;

use std::time::Duration;

use common::{Call, access_token, auth, call, echo};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};
use tower_mcp_auth::{GrantId, MemoryStore, SledStore, Store, TokenCache};

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

fn bearer(c: &mut Criterion) {
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut group = c.benchmark_group("bearer");

    let mut bare = service_fn(echo);
    let request = call("foreign");
    group.bench_function("bare", |b| {
        b.to_async(&runtime).iter(|| bare.call(request.clone()));
    });

    let auth = auth(MemoryStore::new());
    let mut service = auth.protect("/mcp").unwrap().layer(service_fn(echo));
    let tokens: Vec<_> = runtime.block_on(async {
        let mut tokens = Vec::new();
        for _ in 0..10_000 {
            tokens.push(call(&access_token(&auth).await));
        }
        tokens
    });
    for request in &tokens {
        let answer = runtime.block_on(service.call(request.clone())).unwrap();
        assert_eq!(answer.status(), 200);
    }
    group.bench_function("hit_1", |b| {
        b.to_async(&runtime)
            .iter(|| service.call(tokens[0].clone()));
    });
    let mut next = 0;
    group.bench_function("hit_10k", |b| {
        b.to_async(&runtime).iter(|| {
            next = (next + 7919) % tokens.len();
            service.call(tokens[next].clone())
        });
    });

    for (name, token) in [
        ("reject_foreign", "not-one-of-ours".to_owned()),
        ("reject_unknown", format!("mcp_at_{}", "A".repeat(43))),
    ] {
        let request = call(&token);
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter(|| service.call(request.clone()));
        });
    }
    group.finish();
}

/// A cache that forgets at once makes every request ask the store.
fn miss(c: &mut Criterion) {
    let runtime = runtime();
    let _inside = runtime.enter();
    let directory = tempfile::tempdir().unwrap();
    let mut group = c.benchmark_group("miss");
    bench_miss(&mut group, &runtime, "memory", MemoryStore::new());
    let sled = SledStore::open(directory.path()).unwrap();
    bench_miss(&mut group, &runtime, "sled", sled);
    group.finish();
}

fn bench_miss(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    runtime: &Runtime,
    name: &str,
    store: impl Store,
) {
    let auth = common::auth_with_cache(
        store,
        TokenCache::builder().time_to_live(Duration::ZERO).build(),
    );
    let mut service = auth.protect("/mcp").unwrap().layer(service_fn(echo));
    let request = call(&runtime.block_on(access_token(&auth)));
    group.bench_function(name, |b| {
        b.to_async(runtime).iter(|| service.call(request.clone()));
    });
}

fn revoke(c: &mut Criterion) {
    let runtime = runtime();
    let _inside = runtime.enter();
    let directory = tempfile::tempdir().unwrap();
    let mut group = c.benchmark_group("revoke_to_refusal");
    group.sample_size(20);
    bench_revoke(&mut group, &runtime, "memory", MemoryStore::new());
    let sled = SledStore::open(directory.path()).unwrap();
    bench_revoke(&mut group, &runtime, "sled", sled);
    group.finish();
}

fn bench_revoke(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    runtime: &Runtime,
    name: &str,
    store: impl Store,
) {
    let auth = auth(store);
    let service = auth.protect("/mcp").unwrap().layer(service_fn(echo));
    let served = || -> (Call, GrantId) {
        runtime.block_on(async {
            let request = call(&access_token(&auth).await);
            let answer = service.clone().call(request.clone()).await.unwrap();
            assert_eq!(answer.status(), 200);
            let session = auth.get_mcp_session(request.headers()).await.unwrap();
            (request, session.unwrap().grant_id().unwrap())
        })
    };
    group.bench_function(name, |b| {
        b.iter_batched(
            served,
            |(request, grant)| {
                runtime.block_on(async {
                    auth.revoke_grant(grant).await.unwrap();
                    let answer = service.clone().call(request).await.unwrap();
                    assert_eq!(answer.status(), 401);
                });
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, bearer, miss, revoke);
criterion_main!(benches);
