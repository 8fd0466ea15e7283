//! The stores by themselves: a lookup, a durable row, and a sweep, in memory and on sled.

mod common;

use std::{sync::Arc, time::Duration};

use common::{access_token, auth};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tower_mcp_auth::{
    Clock, Digest, GrantId, MemoryStore, SledStore, SystemClock, Timestamp,
    store::{Store, record::Record},
};

/// What a sweep takes at once.
const CHUNK: usize = 256;
const MAX_USED: u64 = u64::MAX;

fn all(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let directory = tempfile::tempdir().unwrap();
    let mut group = c.benchmark_group("memory");
    one(&mut group, &runtime, MemoryStore::new());
    group.finish();
    let mut group = c.benchmark_group("sled");
    group.sample_size(20);
    one(
        &mut group,
        &runtime,
        SledStore::open(directory.path()).unwrap(),
    );
    group.finish();
}

fn one(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, store: impl Store) {
    let store = Arc::new(store);
    let now = SystemClock.now();
    let token = runtime.block_on(access_token(&auth(Arc::clone(&store))));
    let token = Digest::of(&token);
    group.bench_function("lookup", |b| {
        b.iter(|| {
            let found = runtime.block_on(store.access_token(token)).unwrap();
            assert!(found.is_some());
        });
    });
    let until = now.plus(Duration::from_secs(3600));
    group.bench_function("use once", |b| {
        b.iter_batched(
            fresh,
            |digest| {
                runtime
                    .block_on(store.use_once(digest, until, MAX_USED, now))
                    .unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("sweep of 256", |b| {
        b.iter_batched(
            || runtime.block_on(store.import(expired(now))).unwrap(),
            |()| assert_eq!(runtime.block_on(store.sweep(now, CHUNK)).unwrap(), CHUNK),
            BatchSize::PerIteration,
        );
    });
}

fn fresh() -> Digest {
    Digest::of(&GrantId::random().to_string())
}

fn expired(now: Timestamp) -> Vec<Record> {
    let used = |_| Record::Used {
        digest: fresh(),
        expires_at: now,
    };
    (0..CHUNK).map(used).collect()
}

criterion_group!(benches, all);
criterion_main!(benches);
