//! What it costs: memory for each grant, and time for each operation, by how often the disk is
//! synced.
//!
//! More than usual: `REDIS_GRANTS=10000 cargo test --all-features --test redis cost -- --nocapture`.

use std::{sync::Arc, time::Instant};

use tower_mcp_auth::{RedisStore, store::Store};

use super::{
    flow::{Flow, after},
    servers::{Deployment, Server},
};

/// How many requests are under way at once.
const AT_ONCE: usize = 64;
/// What a grant may take in memory, with its code, two access tokens, two refresh tokens, its
/// consent, and its place in all indexes.
const MOST_BYTES: u64 = 8_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_takes_a_few_thousand_bytes() {
    let count: usize = match std::env::var("REDIS_GRANTS") {
        Ok(number) => number.parse().unwrap(),
        Err(_) => 200,
    };
    for sync in ["always", "everysec"] {
        let Some(server) = Server::start(&["--appendonly", "yes", "--appendfsync", sync]) else {
            return;
        };
        let deployment = Deployment::at(server.url());
        let store = Arc::new(deployment.open().await);
        // Scripts and connections take memory too.
        Flow::new("first").redeem(&*store).await;
        let before = memory(&deployment);
        let time =
            async |what: &str, operations: usize, step: fn(Arc<RedisStore>, Flow) -> Step| {
                let _: () = ask(&deployment, "CONFIG", "RESETSTAT");
                let began = Instant::now();
                run(count, &store, step).await;
                let each = operations * count;
                let rate = each as f64 / began.elapsed().as_secs_f64();
                let time = time_of_a_script(&deployment);
                println!("appendfsync {sync}: {rate:.0} {what} a second, {time} us each in Redis");
            };
        time("approvals and redemptions", 2, |store, flow| {
            Box::pin(async move { flow.redeem(&*store).await })
        })
        .await;
        time("refreshes", 1, |store, flow| {
            Box::pin(async move {
                flow.rotate(&*store, 0).await;
            })
        })
        .await;
        time("look-ups of an access token", 1, |store, flow| {
            Box::pin(async move { assert!(flow.is_live(&*store).await.unwrap()) })
        })
        .await;
        let each = (memory(&deployment) - before) / count as u64;
        println!("{each} bytes for each of {count} grants that were refreshed once");
        assert!(each < MOST_BYTES, "{each}");

        // Codes and access tokens are gone most of the time.
        let lasting = async || {
            while store.sweep(after(4000), 1000).await.unwrap() > 0 {}
            (memory(&deployment) - before) / count as u64
        };
        let once = lasting().await;
        run(count, &store, |store, flow| {
            Box::pin(async move {
                flow.rotate(&*store, 1).await;
            })
        })
        .await;
        let more = lasting().await - once;
        println!("{once} bytes of that last, and {more} more for each refresh");
    }
}

type Step = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn run(count: usize, store: &Arc<RedisStore>, step: fn(Arc<RedisStore>, Flow) -> Step) {
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|worker| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for number in (worker..count).step_by(AT_ONCE) {
                    step(Arc::clone(&store), Flow::new(&number.to_string())).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

fn memory(deployment: &Deployment) -> u64 {
    let info: String = ask(deployment, "INFO", "memory");
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

/// In microseconds.
fn time_of_a_script(deployment: &Deployment) -> String {
    let info: String = ask(deployment, "INFO", "commandstats");
    let (_, script) = info.split_once("cmdstat_evalsha:").unwrap();
    let (_, time) = script.split_once("usec_per_call=").unwrap();
    time.split(',').next().unwrap().to_owned()
}

fn ask<T: redis::FromRedisValue>(deployment: &Deployment, command: &str, what: &str) -> T {
    let mut command = redis::cmd(command);
    command.arg(what).query(&mut deployment.connect()).unwrap()
}
