//! What one machine revokes reaches the others, and what gets lost on the way is noticed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_mcp_auth::{
    Event, RedisStore,
    store::{RevokeTarget, Store},
};

use super::{
    common::{App, Browser, Tokens, digest},
    proxy::Proxy,
    servers::{Deployment, Server},
};

/// Two machines that share a deployment.
pub(super) struct Two {
    pub(super) first: App,
    pub(super) second: App,
    /// The first one's.
    pub(super) store: Arc<RedisStore>,
    /// The second one's.
    seen: Arc<RedisStore>,
    /// What it said of its feed.
    events: Arc<Mutex<Vec<&'static str>>>,
}

impl Two {
    pub(super) async fn new(deployment: &Deployment, url_of_second: &str) -> Self {
        let store = Arc::new(deployment.open().await);
        let seen = RedisStore::builder(url_of_second)
            .prefix(&*deployment.prefix)
            .deadline(Duration::from_millis(500))
            .connect();
        let seen = Arc::new(seen.await.unwrap());
        let first = App::with(|builder| builder.store(Arc::clone(&store)));
        let clock = first.clock.clone();
        let events = Arc::<Mutex<Vec<_>>>::default();
        let heard = Arc::clone(&events);
        let second = App::with(|builder| {
            let builder = builder.store(Arc::clone(&seen)).clock(clock);
            builder.observer(move |event: &Event<'_>| match event {
                Event::FeedBehind => heard.lock().unwrap().push("behind"),
                Event::FeedCaughtUp => heard.lock().unwrap().push("caught up"),
                _ => {}
            })
        });
        Self {
            first,
            second,
            store,
            seen,
            events,
        }
    }

    async fn tokens(&self) -> Tokens {
        let client = self.first.public_client().await;
        self.first.tokens(&client, "alice", &[]).await
    }

    async fn call(&self, token: &str) -> StatusCode {
        self.second.call("/mcp", token).await.status
    }

    /// The second machine serves this token without asking: it would do so were the token gone.
    pub(super) async fn serve_from_cache(&self, deployment: &Deployment, token: &str) {
        self.told("caught up").await;
        assert_eq!(self.call(token).await, StatusCode::OK);
        let name = serde_json::to_value(digest(token)).unwrap();
        let (key, hidden) = (
            format!(
                "{{{}}}:access:{}",
                deployment.prefix,
                name.as_str().unwrap()
            ),
            format!("{{{}}}:hidden", deployment.prefix),
        );
        let mut connection = deployment.connect();
        let _: () = run(&mut connection, &["RENAME", &key, &hidden]);
        assert_eq!(self.call(token).await, StatusCode::OK);
        let _: () = run(&mut connection, &["RENAME", &hidden, &key]);
    }

    /// This is the last that the second machine said of its feed.
    async fn told(&self, event: &str) {
        let began = Instant::now();
        while self.events.lock().unwrap().last() != Some(&event) {
            assert!(began.elapsed() < Duration::from_secs(60), "{event}");
            sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) async fn refused(&self, token: &str) {
        let began = Instant::now();
        while self.call(token).await != StatusCode::UNAUTHORIZED {
            assert!(began.elapsed() < Duration::from_secs(60), "it is served");
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How often the second machine began to listen.
    fn connections(&self) -> String {
        let feed = format!("{:?}", self.seen.feed().unwrap());
        let (_, after) = feed.split_once("connection: ").unwrap();
        after.split(',').next().unwrap().to_owned()
    }

    async fn current(&self, is_current: bool) {
        let began = Instant::now();
        while self.seen.feed().unwrap().is_current() != is_current {
            assert!(began.elapsed() < Duration::from_secs(60), "{is_current}");
            sleep(Duration::from_millis(1)).await;
        }
    }
}

fn run<T: redis::FromRedisValue>(connection: &mut redis::Connection, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    let command = words
        .iter()
        .fold(&mut command, |command, word| command.arg(word));
    command.query(connection).unwrap()
}

#[tokio::test]
async fn whatever_revokes_on_one_machine_is_in_force_on_the_other() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let two = Two::new(&deployment, &deployment.url).await;
    let now = Default::default();
    for way in 0..6 {
        let client = two.first.public_client().await;
        let code = Browser::of(&two.first, "alice").approve(&client, &[]).await;
        let tokens = Tokens::from(&two.first.redeem(&client, &code).await);
        two.serve_from_cache(&deployment, &tokens.access).await;
        match way {
            0 => {
                let target = RevokeTarget::AccessToken(digest(&tokens.access));
                two.store.revoke(target, now).await.unwrap();
            }
            1 => {
                let target = RevokeTarget::RefreshToken(digest(&tokens.refresh));
                two.store.revoke(target, now).await.unwrap();
            }
            2 => {
                let target = RevokeTarget::Subject("alice".to_owned().try_into().unwrap());
                two.store.revoke(target, now).await.unwrap();
            }
            3 => {
                let client = client.clone().try_into().unwrap();
                two.store.delete_client(client, now).await.unwrap();
            }
            4 => {
                let replayed = two.first.redeem(&client, &code).await;
                assert_eq!(replayed.status, StatusCode::BAD_REQUEST);
            }
            _ => {
                let next = Tokens::from(&two.first.refresh(&client, &tokens.refresh).await);
                Tokens::from(&two.first.refresh(&client, &next.refresh).await);
                let replayed = two.first.refresh(&client, &tokens.refresh).await;
                assert_eq!(replayed.status, StatusCode::BAD_REQUEST);
            }
        }
        two.refused(&tokens.access).await;
    }
    assert_eq!(two.connections(), "1", "all of it came by one connection");
}

/// On the way there and back a part of the deadline may pass.
#[tokio::test]
async fn a_server_that_is_far_away_is_listened_to() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let proxy = Proxy::far_from(server.port, Duration::from_millis(30)).await;
    let two = Two::new(&deployment, &proxy.url).await;
    let tokens = two.tokens().await;
    two.serve_from_cache(&deployment, &tokens.access).await;
    let target = RevokeTarget::RefreshToken(digest(&tokens.refresh));
    two.store.revoke(target, Default::default()).await.unwrap();
    two.refused(&tokens.access).await;
}

#[tokio::test]
async fn a_channel_that_breaks_is_noticed_and_what_was_missed_is_made_up_for() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let proxy = Proxy::to(server.port).await;
    let two = Two::new(&deployment, &proxy.url).await;
    let [kept, ended] = [two.tokens().await, two.tokens().await];
    for tokens in [&kept, &ended] {
        two.serve_from_cache(&deployment, &tokens.access).await;
    }
    proxy.close();
    two.current(false).await;
    let status = two.call(&kept.access).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let target = RevokeTarget::RefreshToken(digest(&ended.refresh));
    two.store.revoke(target, Default::default()).await.unwrap();
    proxy.open();
    loop {
        match two.call(&ended.access).await {
            StatusCode::UNAUTHORIZED => break,
            status => assert_eq!(
                status,
                StatusCode::SERVICE_UNAVAILABLE,
                "not until it is up"
            ),
        }
        sleep(Duration::from_millis(1)).await;
    }
    two.current(true).await;
    assert_eq!(two.call(&kept.access).await, StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_a_broken_channel() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let two = Two::new(&deployment, &deployment.url).await;
    two.current(true).await;
    server.signal("-STOP");
    let began = Instant::now();
    two.current(false).await;
    let stale_after = two.seen.feed().unwrap().stale_after();
    assert!(began.elapsed() < 2 * stale_after, "{:?}", began.elapsed());
    server.signal("-CONT");
    two.current(true).await;
}

#[tokio::test]
async fn a_revocation_that_is_missing_is_noticed_by_its_number() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let two = Two::new(&deployment, &deployment.url).await;
    two.current(true).await;
    let before = two.connections();
    // As if a message had been lost between the nodes of a cluster.
    let counter = format!("{{{}}}:revocations", deployment.prefix);
    let _: i64 = run(&mut deployment.connect(), &["INCR", &counter]);
    let began = Instant::now();
    while two.connections() == before {
        assert!(began.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(1)).await;
    }
    two.current(true).await;
}

/// A machine that hears nothing but itself goes on listening by one and the same connection.
#[tokio::test]
async fn a_quiet_channel_is_kept() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let two = Two::new(&deployment, &deployment.url).await;
    let stale_after = two.seen.feed().unwrap().stale_after();
    let began = Instant::now();
    loop {
        two.current(true).await;
        let before = two.connections();
        sleep(stale_after * 3 / 2).await;
        if two.connections() == before {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}

#[tokio::test]
async fn a_store_that_is_gone_listens_no_longer() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let store = deployment.open().await;
    let feed = store.feed().unwrap();
    let channel = format!("{{{}}}:revoked", deployment.prefix);
    let mut connection = deployment.connect();
    let mut listen = async |expected: usize| {
        let began = Instant::now();
        loop {
            let words = ["PUBSUB", "NUMSUB", &channel];
            let (_, listeners): (String, usize) = run(&mut connection, &words);
            if listeners == expected {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{listeners}");
            sleep(Duration::from_millis(1)).await;
        }
    };
    listen(1).await;
    drop(store);
    listen(0).await;
    let began = Instant::now();
    while feed.is_current() {
        assert!(began.elapsed() < Duration::from_secs(60), "it is trusted");
        sleep(Duration::from_millis(1)).await;
    }
}
