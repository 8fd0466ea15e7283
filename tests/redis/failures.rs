//! Servers and connections that fail.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tower_mcp_auth::{
    RedisStore, StoreError,
    store::{RedisStoreBuilder, RevokeTarget, RotateRefreshOutcome, Store},
};

use super::{
    flow::{Flow, NOW, after},
    proxy::Proxy,
    servers::{Deployment, Server},
};

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
const SHORT: Duration = Duration::from_millis(300);

/// A store that is in a hurry.
fn soon(deployment: &Deployment) -> RedisStoreBuilder {
    RedisStore::builder(&*deployment.url)
        .prefix(&*deployment.prefix)
        .deadline(SHORT)
}

/// Waits until the store answers again.
pub(crate) async fn healed(store: &RedisStore) {
    let began = Instant::now();
    while Flow::new("nobody").is_live(store).await.is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it does not heal"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let store = deployment.open().await;
    for label in ["before", "after"] {
        Flow::new(label).redeem(&store).await;
        let forgotten: redis::RedisResult<()> = redis::cmd("SCRIPT")
            .arg("FLUSH")
            .query(&mut deployment.connect());
        forgotten.unwrap();
        assert!(Flow::new(label).is_live(&store).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let Some(mut server) = Server::start(DURABLE) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let store = Arc::new(deployment.open().await);
    let working: Vec<_> = (0..4)
        .map(|worker| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let (mut alive, mut revoked) = (Vec::new(), Vec::new());
                for number in 0.. {
                    let flow = Flow::new(&format!("{worker}.{number}"));
                    if flow.try_redeem(&*store).await.is_err() {
                        break;
                    }
                    // Whether one that was about to be revoked is, nobody knows.
                    if number % 3 == 0 {
                        let target = RevokeTarget::Grant(flow.grant());
                        match store.revoke(target, NOW).await {
                            Ok(_) => revoked.push(flow),
                            Err(_) => break,
                        }
                    } else {
                        alive.push(flow);
                    }
                }
                (alive, revoked)
            })
        })
        .collect();
    while store.export(None, 300).await.unwrap().records.len() < 300 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.kill();
    let mut done = Vec::new();
    for worker in working {
        done.push(worker.await.unwrap());
    }
    server.start_again();
    healed(&store).await;
    let mut count = 0;
    for (alive, revoked) in done {
        count += alive.len() + revoked.len();
        for flow in alive {
            assert!(flow.is_live(&*store).await.unwrap(), "{flow:?} is lost");
        }
        for flow in revoked {
            assert!(!flow.is_live(&*store).await.unwrap(), "{flow:?} is back");
        }
    }
    assert!(count > 50, "{count} were acknowledged");
}

#[tokio::test]
async fn a_server_that_hangs_is_an_error_in_time_and_heals() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let store = soon(&deployment).connect().await.unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    server.signal("-STOP");
    for _ in 0..3 {
        let began = Instant::now();
        let failed = flow.is_live(&store).await.unwrap_err();
        assert!(matches!(failed, StoreError::Unavailable(_)), "{failed:?}");
        assert!(began.elapsed() < SHORT * 20, "{:?}", began.elapsed());
    }
    server.signal("-CONT");
    healed(&store).await;
    assert!(flow.is_live(&store).await.unwrap());
}

/// Whoever asked was told that it failed, and may have asked again.
#[tokio::test]
async fn what_a_server_begins_too_late_it_does_not_do() {
    let Some(server) = Server::start(DURABLE) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let store = soon(&deployment).connect().await.unwrap();
    let elsewhere = deployment.open().await;
    // By a script that the server knows.
    let first = Flow::new("first");
    first.redeem(&store).await;
    first.rotate(&store, 0).await;
    let flow = Flow::new("x");
    flow.redeem(&elsewhere).await;
    server.signal("-STOP");
    let late = flow.try_rotate(&store, 0, NOW).await.unwrap_err();
    assert!(matches!(late, StoreError::Unavailable(_)), "{late:?}");
    server.signal("-CONT");
    healed(&store).await;
    // Out of the grace window of the first attempt, had it come about.
    let again = flow.try_rotate(&elsewhere, 0, after(60)).await;
    assert_eq!(again.unwrap(), RotateRefreshOutcome::Rotated);
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error_in_time_and_heals() {
    let Some(mut server) = Server::start(DURABLE) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let store = soon(&deployment).connect().await.unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    server.kill();
    for _ in 0..3 {
        let began = Instant::now();
        let failed = flow.is_live(&store).await.unwrap_err();
        assert!(matches!(failed, StoreError::Unavailable(_)), "{failed:?}");
        assert!(began.elapsed() < SHORT * 20, "{:?}", began.elapsed());
    }
    let refused = soon(&deployment).connect().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    server.start_again();
    healed(&store).await;
    assert!(flow.is_live(&store).await.unwrap());
}

#[tokio::test]
async fn an_answer_that_is_lost_is_an_error_and_nothing_is_done_twice() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let direct = deployment.open().await;
    let proxy = Proxy::to(server.port).await;
    let builder = RedisStore::builder(&*proxy.url).prefix(&*deployment.prefix);
    let store = builder.connect().await.unwrap();
    // Known scripts: the answer that is lost is that of the one that ran.
    Flow::new("first").redeem(&store).await;
    let flow = Flow::new("x");
    flow.issue(&direct).await;
    proxy.lose_the_next_answer();
    let lost = flow.try_redeem_code(&store).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    assert!(
        flow.is_live(&direct).await.unwrap(),
        "it was redeemed, and not a second time, which would have revoked it"
    );
    healed(&store).await;
}

/// As where another server is put in the place of one that is still there: its address leads to the
/// other one, and the connections to it stay.
#[tokio::test]
async fn a_server_that_became_a_replica_is_left_and_its_feed_is_not_believed() {
    let (Some(old), Some(new)) = (Server::start(&[]), Server::start(&[])) else {
        return;
    };
    let tell = |server: &Server, words: &[&str]| {
        let mut client = redis::Client::open(server.url()).unwrap();
        let mut command = redis::cmd(words[0]);
        let _: () = command.arg(&words[1..]).query(&mut client).unwrap();
    };
    let size = |server: &Server| -> u64 {
        let mut client = redis::Client::open(server.url()).unwrap();
        redis::cmd("DBSIZE").query(&mut client).unwrap()
    };
    let mut deployment = Deployment::at(old.url());
    let proxy = Proxy::to(old.port).await;
    let builder = RedisStore::builder(&*proxy.url).prefix(&*deployment.prefix);
    let store = builder.connect().await.unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    let feed = store.feed().unwrap();
    let believed = async |is_believed| {
        let began = Instant::now();
        while feed.is_current() != is_believed {
            assert!(began.elapsed() < Duration::from_secs(60), "{is_believed}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    believed(true).await;

    tell(&new, &["REPLICAOF", "127.0.0.1", &old.port.to_string()]);
    while size(&new) < size(&old) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tell(&new, &["REPLICAOF", "NO", "ONE"]);
    // It hears nothing of the other one.
    tell(&old, &["REPLICAOF", "127.0.0.1", "1"]);
    believed(false).await;
    proxy.lead_to(new.port);
    believed(true).await;
    assert_eq!(flow.rotate(&store, 0).await, RotateRefreshOutcome::Rotated);
    // Where it is to be cleared away.
    deployment.url = new.url();
}
