//! Our own stores keep what every store promises.

use tower_mcp_auth::store::{MemoryStore, contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    contract::run(async || MemoryStore::new()).await;
}

#[cfg(feature = "sled")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sled() {
    use tower_mcp_auth::store::SledStore;

    let directory = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    contract::run(async || {
        count.set(count.get() + 1);
        SledStore::open(directory.path().join(count.get().to_string())).unwrap()
    })
    .await;
}

#[cfg(feature = "redis")]
#[path = "common/redis.rs"]
mod redis_server;

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis() {
    use redis_server::Deployment;

    let Some(first) = Deployment::create() else {
        return;
    };
    let kept = std::cell::RefCell::new(vec![first]);
    contract::run(async || {
        let deployment = Deployment::create().unwrap();
        let store = deployment.open().await;
        kept.borrow_mut().push(deployment);
        store
    })
    .await;
}

#[cfg(feature = "postgres")]
#[path = "common/postgres.rs"]
mod databases;

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres() {
    let Some(first) = databases::Database::create().await else {
        return;
    };
    let second = databases::Database::create().await.unwrap();
    // No check has more than two stores.
    let [one, other] = [&first, &second];
    let count = std::cell::Cell::new(0);
    contract::run(async || {
        count.set(count.get() + 1);
        let database = if count.get() % 2 == 0 { one } else { other };
        let store = database.open().await;
        database.clear().await;
        store
    })
    .await;
}
