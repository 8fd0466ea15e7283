//! What a store says, and does not say, when it connects.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tower_mcp_auth::{
    RedisStore, StoreError,
    store::{RevokeTarget, Store},
};
use tracing_subscriber::{filter::LevelFilter, util::SubscriberInitExt};

use super::{
    flow::{Flow, NOW, after},
    servers::{Cluster, Deployment, Server},
};

const PASSWORD: &str = "correct-horse-battery-staple";

/// What was logged.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What this thread logs, as long as the second half lives.
fn log() -> (Written, tracing::subscriber::DefaultGuard) {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    (written, subscriber.set_default())
}

/// What a store says when it connects to a server with these settings.
async fn said(settings: &[&str], login: &str) -> Option<String> {
    let server = Server::start(settings)?;
    let (log, _guard) = log();
    let url = format!("redis://{login}127.0.0.1:{}", server.port);
    RedisStore::connect(url).await.unwrap();
    Some(log.text())
}

#[tokio::test]
async fn a_server_that_keeps_too_little_is_warned_of() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let full = ["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"];
    for (settings, expected) in [
        (vec![], vec!["WARN", "keeps nothing on disk"]),
        (vec!["--save", "60 1000"], vec!["WARN", "only snapshots"]),
        (
            vec!["--appendonly", "yes", "--appendfsync", "everysec"],
            vec!["INFO", "syncs its disk later"],
        ),
        ([durable, full].concat(), vec!["WARN", "may evict keys"]),
        (durable.to_vec(), vec![]),
    ] {
        let Some(said) = said(&settings, "").await else {
            return;
        };
        for words in &expected {
            assert!(said.contains(words), "{settings:?}: {said}");
        }
        assert_eq!(said.is_empty(), expected.is_empty(), "{settings:?}: {said}");
    }
}

/// What other nodes of a cluster keep on disk is not what counts.
#[tokio::test]
async fn the_node_that_has_the_keys_is_the_one_that_is_asked() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let forgetful = Deployment::at(cluster.0[0].url());
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "appendonly", "no"])
        .query(&mut forgetful.connect())
        .unwrap();
    let mut owners = [0; 3];
    while owners.contains(&0) {
        let deployment = Deployment::at(cluster.0[0].url());
        let owner = cluster.owner_of(&deployment);
        owners[owner] += 1;
        let (log, _guard) = log();
        deployment.open().await;
        let warned = log.text().contains("keeps nothing on disk");
        assert_eq!(warned, owner == 0, "{}", log.text());
    }
}

#[tokio::test]
async fn a_server_that_does_not_say_is_one_to_look_after() {
    let settings = ["--user", "app on nopass ~* &* +@all -config"];
    let words: Vec<_> = settings[1].split(' ').collect();
    let settings = [&["--user"], &words[..]].concat();
    if let Some(said) = said(&settings, "app:x@").await {
        assert!(said.contains("does not say"), "{said}");
    }
}

/// The command of `docs/redis.md` that makes a user.
fn documented_rights() -> Vec<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/redis.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, command) = text.split_once("ACL SETUSER").unwrap();
    let (command, _) = command.split_once("```").unwrap();
    command.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_documented_rights_suffice() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut client = redis::Client::open(server.url()).unwrap();
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg(documented_rights());
    let _: () = command.query(&mut client).unwrap();
    let (log, _guard) = log();
    let url = format!("redis://mcp-auth:password@127.0.0.1:{}", server.port);
    let store = RedisStore::connect(url).await.unwrap();
    assert!(log.text().contains("keeps nothing"), "it may ask");
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    flow.rotate(&store, 0).await;
    let feed = store.feed().unwrap();
    while !feed.is_current() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let target = RevokeTarget::Subject(flow.subject());
    store.revoke(target, NOW).await.unwrap();
    let records = store.export(None, 100).await.unwrap().records;
    store.import(records).await.unwrap();
    assert!(store.sweep(after(604_800), 100).await.unwrap() > 0);
}

#[tokio::test]
async fn a_password_is_never_shown() {
    let Some(server) = Server::start(&["--requirepass", PASSWORD]) else {
        return;
    };
    let (log, _guard) = log();
    let mut shown = String::new();
    for (password, lets_in) in [(PASSWORD, true), ("horse-battery", false)] {
        let deployment = Deployment::at(format!("redis://:{password}@127.0.0.1:{}", server.port));
        let builder = RedisStore::builder(&*deployment.url).prefix(&*deployment.prefix);
        shown += &format!("{builder:?}");
        match builder.connect().await {
            Ok(store) => {
                assert!(lets_in);
                Flow::new("x").redeem(&store).await;
                shown += &format!("{store:?}");
            }
            Err(error) => {
                assert!(!lets_in);
                shown += &chain(&error);
            }
        }
    }
    for wrong in [
        format!("redis://:{PASSWORD}@127.0.0.1:x"),
        format!("rediss//:{PASSWORD}@127.0.0.1"),
        format!("redis://:{PASSWORD}@127.0.0.1:1"),
    ] {
        shown += &chain(&RedisStore::connect(wrong).await.unwrap_err());
    }
    shown += &log.text();
    assert!(shown.contains("WRONGPASS"), "why is said: {shown}");
    assert!(!shown.contains("horse-battery"), "{shown}");
}

/// All that an error and its causes say.
fn chain(error: &StoreError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(" {error} {error:?}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_left_alone() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let schema = format!("{{{}}}:schema", deployment.prefix);
    let _: () = redis::cmd("SET")
        .arg(schema)
        .arg(2)
        .query(&mut deployment.connect())
        .unwrap();
    let builder = RedisStore::builder(&*deployment.url).prefix(&*deployment.prefix);
    let failed = builder.connect().await.unwrap_err();
    let StoreError::NewerSchema { found, supported } = failed else {
        panic!("{failed:?}");
    };
    assert_eq!((found, supported), (2, 1));
}

#[tokio::test]
async fn a_prefix_that_would_break_the_keys_is_refused() {
    for wrong in ["", "a}b", "{", "a b", &"a".repeat(65)] {
        let builder = RedisStore::builder("redis://127.0.0.1:1").prefix(wrong);
        let failed = chain(&builder.connect().await.unwrap_err());
        assert!(failed.contains("not a prefix"), "{failed}");
    }
}
