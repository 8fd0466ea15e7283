//! What one machine revokes is heard by the others.

use std::time::{Duration, Instant};

use http::StatusCode;
use sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};
use tower_mcp_auth::{
    GrantId, PostgresStore, Timestamp,
    store::{Feed, PostgresOptions, RevokeTarget, Store},
};

use super::{
    common::{App, Tokens, digest},
    databases::Database,
    execute,
    flow::{Flow, NOW, after},
    network::network,
    number, until,
};

/// The machine that issues and revokes, and the one that serves.
struct Two {
    store: PostgresStore,
    first: App,
    second: App,
    feed: Feed,
}

impl Two {
    /// The second one hears by `direct_url`.
    async fn new(database: &Database, direct_url: &str) -> Self {
        let store = database.open().await;
        let options = PostgresOptions::default().direct_url(direct_url);
        let other = PostgresStore::connect_with(&database.url(), options)
            .await
            .unwrap();
        let feed = Store::feed(&other).unwrap();
        let first = App::with(|builder| builder.store(store.clone()));
        let second = App::with(|builder| builder.store(other));
        Self {
            store,
            first,
            second,
            feed,
        }
    }

    async fn token(&self) -> Tokens {
        let client = self.first.public_client().await;
        self.first.tokens(&client, "alice", &[]).await
    }

    async fn status(&self, tokens: &Tokens) -> StatusCode {
        self.second.call("/mcp", &tokens.access).await.status
    }

    /// As soon as the second machine serves a token that is dead in the database, without a word to
    /// anybody, it serves from its cache.
    async fn until_it_trusts_the_feed(&self, database: &Database) {
        until("the feed is trusted", async || {
            if !self.feed.is_current() {
                return false;
            }
            let tokens = self.token().await;
            assert_eq!(self.status(&tokens).await, StatusCode::OK);
            let mut connection = database.connect().await;
            let quietly = "update tower_mcp_auth.grants set revoked_at = 1";
            execute(&mut connection, quietly).await;
            self.status(&tokens).await == StatusCode::OK
        })
        .await;
    }

    async fn revoke(&self, tokens: &Tokens) {
        let target = RevokeTarget::RefreshToken(digest(&tokens.refresh));
        let reached = self.store.revoke(target, Timestamp::from_secs(1)).await;
        assert_eq!(reached.unwrap().grants.len(), 1);
    }

    /// How long the second machine serves a token that the first revokes.
    async fn served_after_revocation(&self) -> Duration {
        let tokens = self.token().await;
        assert_eq!(self.status(&tokens).await, StatusCode::OK);
        self.revoke(&tokens).await;
        let revoked = Instant::now();
        until("the token is refused", async || {
            self.status(&tokens).await == StatusCode::UNAUTHORIZED
        })
        .await;
        revoked.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_in_force_on_another_machine() {
    let Some(database) = Database::create().await else {
        return;
    };
    let two = Two::new(&database, &database.url()).await;
    two.until_it_trusts_the_feed(&database).await;
    for _ in 0..5 {
        two.served_after_revocation().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_noticed_and_made_anew() {
    let Some(database) = Database::create().await else {
        return;
    };
    let two = Two::new(&database, &database.url()).await;
    two.until_it_trusts_the_feed(&database).await;
    let tokens = two.token().await;
    assert_eq!(two.status(&tokens).await, StatusCode::OK);
    let mut connection = database.connect().await;
    let listeners = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where datname = current_database() and query like 'LISTEN%'";
    assert_eq!(number(&mut connection, listeners).await, 2, "of both");
    until("the loss is noticed", async || !two.feed.is_current()).await;
    two.revoke(&tokens).await;
    assert_eq!(two.status(&tokens).await, StatusCode::UNAUTHORIZED);
    two.until_it_trusts_the_feed(&database).await;
}

/// A machine that hears nothing but itself trusts its feed, and goes on trusting it.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_channel_is_trusted_all_the_time() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let feed = Store::feed(&store).unwrap();
    until(
        "it is trusted for longer than silence would be",
        async || {
            let begun = Instant::now();
            while feed.is_current() && begun.elapsed() < feed.stale_after() * 3 / 2 {
                sleep(Duration::from_millis(5)).await;
            }
            feed.is_current() && begun.elapsed() > feed.stale_after()
        },
    )
    .await;
}

/// Which connection of its channel this is.
fn connection(feed: &Feed) -> String {
    let feed = format!("{feed:?}");
    let (_, after) = feed.split_once("connection: ").unwrap();
    after.split(',').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_swallows_what_is_notified_is_given_up() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let feed = Store::feed(&store).unwrap();
    until("it listens", async || feed.is_current()).await;
    let before = connection(&feed);
    let swallow = "create or replace function tower_mcp_auth.beat(channel text, number text)
        returns void language sql as ''";
    execute(&mut database.connect().await, swallow).await;
    until("nobody trusts it", async || !feed.is_current()).await;
    until("another one is made", async || connection(&feed) != before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_silent_connection_no_revoked_token_lives_longer_than_the_bound() {
    let Some(database) = Database::create().await else {
        return;
    };
    let (direct, is_open) = network(&database).await;
    let two = Two::new(&database, &direct).await;
    two.until_it_trusts_the_feed(&database).await;
    is_open.send(false).unwrap();
    let lived = two.served_after_revocation().await;
    // A loaded machine may take its time for the answer itself.
    let bound = two.feed.stale_after() + Duration::from_millis(500);
    assert!(lived < bound, "{lived:?}");
    is_open.send(true).unwrap();
    two.until_it_trusts_the_feed(&database).await;
}

#[tokio::test]
async fn a_store_that_is_gone_listens_no_longer() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let feed = Store::feed(&store).unwrap();
    until("it listens", async || feed.is_current()).await;
    drop(store);
    let mut connection = database.connect().await;
    let left = "select count(*) from pg_stat_activity \
        where datname = current_database() and pid <> pg_backend_pid()";
    until("its connections are closed", async || {
        number(&mut connection, left).await == 0
    })
    .await;
    until("nobody trusts it", async || !feed.is_current()).await;
}

/// What is notified, in all cases, and no more.
#[tokio::test]
async fn every_revocation_is_told_once() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let mut listener = PgListener::connect(&database.url()).await.unwrap();
    listener.listen("tower_mcp_auth").await.unwrap();
    let mut heard = async || {
        let heard = timeout(Duration::from_secs(60), listener.recv()).await;
        heard.unwrap().unwrap().payload().to_owned()
    };
    let flow = async |label: &str| {
        let flow = Flow::new(label);
        flow.redeem(&store).await;
        flow
    };
    let revoke = async |target| store.revoke(target, NOW).await.unwrap();

    let token = flow("token").await;
    for _ in 0..2 {
        revoke(RevokeTarget::AccessToken(token.access(0))).await;
    }
    assert!(heard().await.starts_with("t "));

    let mut told = Vec::new();
    for label in [
        "grant", "refresh", "subject", "client", "consent", "deleted",
    ] {
        let flow = flow(label).await;
        let target = match label {
            "grant" => RevokeTarget::Grant(flow.grant()),
            "refresh" => RevokeTarget::RefreshToken(flow.refresh(0)),
            "subject" => RevokeTarget::Subject(flow.subject()),
            "client" => RevokeTarget::Client(flow.client()),
            _ => RevokeTarget::Consent(flow.subject(), flow.client()),
        };
        if label == "deleted" {
            store.delete_client(flow.client(), NOW).await.unwrap();
        }
        // The second time is no news.
        revoke(target.clone()).await;
        revoke(target).await;
        told.push(flow);
    }
    let code = flow("code replayed").await;
    code.redeem_code(&store).await;
    code.redeem_code(&store).await;
    told.push(code);
    let refresh = flow("refresh replayed").await;
    for generation in [0, 1, 0, 0] {
        refresh.rotate(&store, generation).await;
    }
    told.push(refresh);
    for flow in told {
        assert_eq!(heard().await, format!("g {}", flow.grant()));
    }
    // Nothing else was told in between, nor is after that.
    let last = flow("last").await;
    revoke(RevokeTarget::Grant(last.grant())).await;
    assert_eq!(heard().await, format!("g {}", last.grant()));
}

/// A notification has 8000 bytes at most.
#[tokio::test]
async fn many_grants_at_once_are_told_in_as_many_pieces_as_it_takes() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let one = Flow::new("one").issue_request().grant;
    let grants = (0..2345_u32).map(|number| {
        let mut grant = one.clone();
        let mut id = *one.id.as_bytes();
        id[..4].copy_from_slice(&number.to_be_bytes());
        grant.id = GrantId::from_bytes(id);
        grant.expires_at = after(1000);
        tower_mcp_auth::store::record::Record::Grant(grant)
    });
    store.import(grants.collect()).await.unwrap();
    let mut listener = PgListener::connect(&database.url()).await.unwrap();
    listener.listen("tower_mcp_auth").await.unwrap();
    let target = RevokeTarget::Subject(one.subject);
    let reached = store.revoke(target, NOW).await.unwrap().grants;
    assert_eq!(reached.len(), 2345, "in several steps");
    let mut told = Vec::new();
    while told.len() < reached.len() {
        let heard = timeout(Duration::from_secs(60), listener.recv()).await;
        let heard = heard.unwrap().unwrap();
        let names = heard.payload().strip_prefix("g ").unwrap();
        told.extend(
            names
                .split(' ')
                .map(|name| name.parse::<GrantId>().unwrap()),
        );
    }
    told.sort();
    assert_eq!(told, reached);
}
