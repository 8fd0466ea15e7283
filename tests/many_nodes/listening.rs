//! What it costs a database that many machines hear each other by it, while nothing is revoked.
//!
//! For figures: `LOAD_NODES=100 LOAD_SECONDS=10 cargo test --release --all-features --test \
//! many_nodes listen -- --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_mcp_auth::{
    PostgresStore, RedisStore,
    store::{Feed, Store},
};

use super::{
    Kind, load,
    nodes::{cpu, engine::Engine},
};

/// All have found each other within that time.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn many_machines_listen(kind: Kind) {
    let Some(engine) = Engine::start(kind).await else {
        return;
    };
    let machines = std::env::var("LOAD_NODES");
    let machines = machines.map_or(20, |text| text.parse().expect("LOAD_NODES is a number"));
    let mut listening: Vec<(Box<dyn std::any::Any>, Feed)> = Vec::new();
    for _ in 0..machines {
        listening.push(match kind {
            Kind::Postgres => {
                let store = PostgresStore::connect(&engine.url()).await.unwrap();
                let feed = store.feed().unwrap();
                (Box::new(store), feed)
            }
            Kind::Redis => {
                let store = RedisStore::connect(&engine.url()).await.unwrap();
                let feed = store.feed().unwrap();
                (Box::new(store), feed)
            }
        });
    }
    let all = |listening: &[(_, Feed)]| listening.iter().all(|(_, feed)| feed.is_current());
    let begun = Instant::now();
    while !all(&listening) {
        assert!(begun.elapsed() < PATIENCE, "not all hear each other");
        sleep(Duration::from_millis(10)).await;
    }
    let (before, begun) = (cpu::time(engine.pid()), Instant::now());
    sleep(load::time()).await;
    if let Some((before, after)) = before.zip(cpu::time(engine.pid())) {
        let part = (after - before).as_secs_f64() / begun.elapsed().as_secs_f64();
        eprintln!(
            "{kind:?}: {machines} machines that listen take {:.1} % of a core",
            100.0 * part
        );
    }
    assert!(all(&listening), "all go on hearing each other");
}
