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
