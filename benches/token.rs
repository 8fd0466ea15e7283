//! The issuing side: redeeming a code and refreshing, on memory and durably on sled.

mod common;

use common::{auth, code, redeem, token};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tower_mcp_auth::{McpAuth, MemoryStore, SledStore};

fn tokens(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let directory = tempfile::tempdir().unwrap();
    let stores: [(&str, McpAuth); 2] = [
        ("memory", auth(MemoryStore::new())),
        ("sled", auth(SledStore::open(directory.path()).unwrap())),
    ];
    for (name, auth) in &stores {
        let mut group = c.benchmark_group(*name);
        group.sample_size(20);
        group.bench_function("redeem", |b| {
            b.iter_batched(
                || runtime.block_on(code(auth)),
                |code| runtime.block_on(redeem(auth, &code)),
                BatchSize::SmallInput,
            );
        });
        let first = runtime.block_on(async { redeem(auth, &code(auth).await).await });
        let mut current = first["refresh_token"].as_str().unwrap().to_owned();
        group.bench_function("refresh", |b| {
            b.iter(|| {
                let form = format!("grant_type=refresh_token&refresh_token={current}");
                let answer = runtime.block_on(token(auth, form));
                answer["refresh_token"]
                    .as_str()
                    .unwrap()
                    .clone_into(&mut current);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, tokens);
criterion_main!(benches);
