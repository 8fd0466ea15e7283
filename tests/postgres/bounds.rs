//! Bounds hold exactly, also where many come at once and the counter is spread.

use std::sync::Arc;

use tokio::sync::Barrier;
use tower_mcp_auth::{
    Digest, PostgresStore,
    store::{Store, UseOnce},
};

use super::{
    databases::Database,
    execute,
    flow::{NOW, after},
    number,
};

/// More than stand in each other's way: most of it is counted without a look at the others.
const MOST: usize = 150;
const CALLERS: usize = 300;

async fn use_up(store: &PostgresStore, names: std::ops::Range<usize>) -> [usize; 2] {
    let gate = Arc::new(Barrier::new(names.len()));
    let uses: Vec<_> = names
        .map(|number| {
            let (store, gate) = (store.clone(), gate.clone());
            tokio::spawn(async move {
                gate.wait().await;
                let digest = Digest::of(&format!("jti {number}"));
                let used = store.use_once(digest, after(60), MOST as u64, NOW).await;
                used.unwrap()
            })
        })
        .collect();
    let mut count = [0, 0];
    for used in uses {
        match used.await.unwrap() {
            UseOnce::First => count[0] += 1,
            UseOnce::Full => count[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_exactly_as_many_as_allowed_are_let_in() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let count = use_up(&store, 0..CALLERS).await;
    assert_eq!(count, [MOST, CALLERS - MOST]);

    let mut connection = database.connect().await;
    let counted = "select sum(n)::bigint from tower_mcp_auth.counters where kind = 'used'";
    assert_eq!(number(&mut connection, counted).await, MOST as i64);
    let shards = "select count(*) from tower_mcp_auth.counters where kind = 'used' and n <> 0";
    assert!(number(&mut connection, shards).await > 1, "it is spread");

    let swept = store.sweep(after(60), usize::MAX).await.unwrap();
    assert_eq!(swept, MOST);
    assert_eq!(number(&mut connection, counted).await, 0);
    let count = use_up(&store, CALLERS..CALLERS + 20).await;
    assert_eq!(count, [20, 0], "swept ones make room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn far_from_the_bound_nobody_waits_for_somebody_elses_commit() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let mut connection = database.connect().await;
    // Somebody who is in the middle of counting.
    let one_shard = "begin; update tower_mcp_auth.counters set n = n + 1 \
        where kind = 'used' and shard < 8";
    execute(&mut connection, one_shard).await;
    let mut first = 0;
    for number in 0..64 {
        let digest = Digest::of(&format!("jti {number}"));
        let used = store.use_once(digest, after(60), 1_000_000, NOW);
        let patience = std::time::Duration::from_secs(1);
        first += usize::from(tokio::time::timeout(patience, used).await.is_ok());
        if first > 3 {
            break;
        }
    }
    assert!(first > 3, "half of the shards are free");
    execute(&mut connection, "rollback").await;
}
