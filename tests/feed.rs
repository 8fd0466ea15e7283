//! Two machines with one store: what one revokes is in force on the other, whatever becomes of the
//! channel between them.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
mod faults;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::get};
use common::*;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tokio::{sync::Notify, task::yield_now, time::timeout};
use tower::ServiceExt;
use tower_mcp_auth::{
    Event, McpAuthLayer, PresentedToken, ProtectedResource, Refusal, StaleFeed, StoreVerifier,
    TestClock, TokenCache, TokenVerifier, Verdict, VerifierUnavailable,
    store::{Feed, MemoryStore, RevokeTarget, Store},
};

use self::faults::{Fault, Faulty};

/// The machine that issues and revokes, the one that serves, and the channel to it.
struct Two {
    first: App,
    store: Faulty,
    feed: Feed,
    second: App,
    /// The second one's store, to count its calls.
    seen: Faulty,
    events: Arc<Mutex<Vec<&'static str>>>,
    /// Why what streamed there ended.
    ended: Arc<Mutex<Vec<Refusal>>>,
}

impl Two {
    fn new(feed: Feed, when_stale: StaleFeed) -> Self {
        let store = Faulty::new(None);
        let first = App::with(|builder| builder.store(store.clone()));
        let (seen, events) = (store.elsewhere(&feed), Arc::<Mutex<Vec<_>>>::default());
        let clock: TestClock = first.clock.clone();
        let heard = Arc::clone(&events);
        let ended = Arc::<Mutex<Vec<_>>>::default();
        let saw_ended = Arc::clone(&ended);
        let second = App::with(|builder| {
            let builder = builder
                .store(seen.clone())
                .on_stale_feed(when_stale)
                .observer(move |event: &Event<'_>| match event {
                    Event::FeedBehind => heard.lock().unwrap().push("behind"),
                    Event::FeedCaughtUp => heard.lock().unwrap().push("caught up"),
                    Event::StreamEnded { refusal, .. } => saw_ended.lock().unwrap().push(*refusal),
                    _ => {}
                });
            builder.clock(clock)
        });
        Self {
            first,
            store,
            feed,
            second,
            seen,
            events,
            ended,
        }
    }

    fn ended(&self) -> Vec<Refusal> {
        self.ended.lock().unwrap().clone()
    }

    /// The usual two, in good order.
    async fn whole() -> Self {
        let two = Self::new(Feed::new(Duration::from_secs(3600)), StaleFeed::AskStore);
        two.connect().await;
        two
    }

    /// The channel listens, and the second machine has caught up.
    async fn connect(&self) {
        self.feed.connected();
        self.feed.confirmed(Instant::now());
        let token = self.token().await;
        // As soon as a token is served twice at one call of the store.
        until(async || {
            self.serve(&token.access, StatusCode::OK).await;
            let before = self.seen.calls().len();
            self.serve(&token.access, StatusCode::OK).await;
            self.seen.calls().len() == before
        })
        .await;
    }

    async fn token(&self) -> Tokens {
        let client = self.first.public_client().await;
        self.first.tokens(&client, "alice", &[]).await
    }

    /// A call at the second machine.
    async fn serve(&self, token: &str, expected: StatusCode) -> Answer {
        let answer = self.second.call("/mcp", token).await;
        assert_eq!(answer.status, expected, "{answer:?}");
        answer
    }

    /// The last event of the second machine is this.
    async fn told(&self, event: &str) {
        until(async || self.events.lock().unwrap().last() == Some(&event)).await;
    }

    /// The second machine serves it without asking.
    async fn serve_from_cache(&self, token: &str) {
        self.serve(token, StatusCode::OK).await;
        let before = self.seen.calls();
        self.serve(token, StatusCode::OK).await;
        assert_eq!(self.seen.calls(), before);
    }
}

/// Answers one request, and goes on answering.
fn streaming(layer: McpAuthLayer, content_type: &'static str) -> Router {
    let silent = Body::from_stream(tokio_stream::pending::<Result<String, std::io::Error>>());
    let body = Arc::new(Mutex::new(Some(silent)));
    let content_type = [(header::CONTENT_TYPE, content_type)];
    let answer = get(async move || (content_type, body.lock().unwrap().take().unwrap()));
    Router::new().route("/mcp", answer).layer(layer)
}

fn bearing(token: &str) -> Request<Body> {
    Request::get("/mcp")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap()
}

async fn until(mut come_true: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !come_true().await {
            yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), waiting).await.unwrap();
}

#[tokio::test]
async fn what_the_channel_brings_is_in_force_at_once() {
    let two = Two::whole().await;
    let [kept, ended] = [two.token().await, two.token().await];
    two.serve_from_cache(&kept.access).await;
    two.serve_from_cache(&ended.access).await;
    let target = RevokeTarget::AccessToken(digest(&ended.access));
    let revoked = two.store.revoke(target, Default::default()).await.unwrap();
    two.feed.revoked(&revoked);
    two.serve(&ended.access, StatusCode::UNAUTHORIZED).await;
    two.serve_from_cache(&kept.access).await;
}

#[tokio::test]
async fn while_the_channel_is_broken_the_store_is_asked() {
    let two = Two::whole().await;
    let token = two.token().await;
    two.serve_from_cache(&token.access).await;
    two.feed.lost();
    let before = two.seen.calls().len();
    two.serve(&token.access, StatusCode::OK).await;
    assert!(two.seen.calls().len() > before);
    let target = RevokeTarget::RefreshToken(digest(&token.refresh));
    two.store.revoke(target, Default::default()).await.unwrap();
    two.serve(&token.access, StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_silent_channel_is_a_broken_one() {
    let feed = Feed::new(Duration::from_millis(300));
    let two = Two::new(feed, StaleFeed::AskStore);
    let token = two.token().await;
    two.feed.connected();
    two.feed.confirmed(Instant::now());
    two.serve(&token.access, StatusCode::OK).await;
    until(async || !two.feed.is_current()).await;
    let target = RevokeTarget::RefreshToken(digest(&token.refresh));
    two.store.revoke(target, Default::default()).await.unwrap();
    two.serve(&token.access, StatusCode::UNAUTHORIZED).await;
    two.told("behind").await;
}

#[tokio::test]
async fn what_was_missed_is_caught_up_with_and_the_rest_is_kept() {
    let two = Two::whole().await;
    let [kept, ended, pruned] = [two.token().await, two.token().await, two.token().await];
    for token in [&kept, &ended, &pruned] {
        two.serve_from_cache(&token.access).await;
    }
    two.feed.lost();
    two.told("behind").await;
    let revoke = async |target| two.store.revoke(target, Default::default()).await.unwrap();
    revoke(RevokeTarget::RefreshToken(digest(&ended.refresh))).await;
    revoke(RevokeTarget::AccessToken(digest(&pruned.access))).await;
    two.connect().await;
    two.serve(&ended.access, StatusCode::UNAUTHORIZED).await;
    two.serve(&pruned.access, StatusCode::UNAUTHORIZED).await;
    let before = two.seen.calls();
    two.serve(&kept.access, StatusCode::OK).await;
    assert_eq!(two.seen.calls(), before, "it was still in the cache");
    two.told("caught up").await;
}

#[tokio::test]
async fn an_open_stream_ends_although_nobody_heard_of_the_revocation() {
    let two = Two::whole().await;
    let token = two.token().await;
    let router = streaming(
        two.second.auth.protect("/mcp").unwrap(),
        "text/event-stream",
    );
    let open = router.oneshot(bearing(&token.access)).await.unwrap();
    let read = tokio::spawn(open.into_body().collect());
    two.feed.lost();
    let target = RevokeTarget::RefreshToken(digest(&token.refresh));
    two.store.revoke(target, Default::default()).await.unwrap();
    two.feed.connected();
    two.feed.confirmed(Instant::now());
    let ended = timeout(Duration::from_secs(60), read).await.unwrap();
    assert!(ended.unwrap().unwrap().to_bytes().is_empty());
}

/// What nobody hears of, because the channel stays broken, is looked for.
#[tokio::test(start_paused = true)]
async fn an_open_stream_ends_although_the_channel_stays_broken() {
    let two = Two::whole().await;
    let token = two.token().await;
    let router = streaming(
        two.second.auth.protect("/mcp").unwrap(),
        "text/event-stream",
    );
    let open = router.oneshot(bearing(&token.access)).await.unwrap();
    let read = tokio::spawn(open.into_body().collect());
    two.feed.lost();
    two.told("behind").await;
    let target = RevokeTarget::RefreshToken(digest(&token.refresh));
    two.store.revoke(target, Default::default()).await.unwrap();
    let ended = timeout(Duration::from_secs(3600), read).await.unwrap();
    assert!(ended.unwrap().unwrap().to_bytes().is_empty());
}

/// Nobody can say what was revoked meanwhile: what streams goes on for ten seconds, and no longer.
#[tokio::test(start_paused = true)]
async fn an_open_stream_ends_when_nobody_could_be_asked_for_long() {
    let two = Two::whole().await;
    let token = two.token().await;
    let stream = async |content_type| {
        let router = streaming(two.second.auth.protect("/mcp").unwrap(), content_type);
        let open = router.oneshot(bearing(&token.access)).await.unwrap();
        open.into_body()
    };
    let read = tokio::spawn(stream("text/event-stream").await.collect());
    let grpc = tokio::spawn(stream("application/grpc").await.collect());
    let began = tokio::time::Instant::now();
    two.feed.lost();
    two.seen.set_gone(true);
    let ended = timeout(Duration::from_secs(3600), read).await.unwrap();
    assert!(ended.unwrap().unwrap().to_bytes().is_empty());
    let took = began.elapsed();
    assert!(
        (9..=11).contains(&took.as_secs()),
        "it ended after {took:?}"
    );
    let trailers = grpc.await.unwrap().unwrap().trailers().cloned().unwrap();
    assert_eq!(trailers["grpc-status"], "14", "UNAVAILABLE");
    assert_eq!(two.ended(), [Refusal::VerifierUnavailable; 2]);
    two.serve(&token.access, StatusCode::SERVICE_UNAVAILABLE)
        .await;

    // Nothing is wrong with the token, as it turns out.
    two.seen.set_gone(false);
    two.serve(&token.access, StatusCode::OK).await;
    two.connect().await;
    two.serve_from_cache(&token.access).await;
}

/// A machine that never hears of anything looks for itself, and takes nothing from anybody.
#[tokio::test(start_paused = true)]
async fn an_open_stream_stays_as_long_as_the_store_can_be_asked() {
    let two = Two::new(Feed::new(Duration::from_secs(1)), StaleFeed::AskStore);
    let token = two.token().await;
    let router = streaming(
        two.second.auth.protect("/mcp").unwrap(),
        "text/event-stream",
    );
    let open = router.oneshot(bearing(&token.access)).await.unwrap();
    let read = tokio::spawn(open.into_body().collect());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!read.is_finished());
    // Shorter troubles change nothing, nor does a store that takes its time.
    for _ in 0..20 {
        two.seen.set_gone(true);
        tokio::time::sleep(Duration::from_secs(8)).await;
        two.seen.set_gone(false);
        two.seen.fail_next(Fault::Delay);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(!read.is_finished());
    assert_eq!(two.ended(), []);
}

#[tokio::test]
async fn who_could_not_catch_up_has_not() {
    let two = Two::whole().await;
    let token = two.token().await;
    two.serve_from_cache(&token.access).await;
    two.feed.lost();
    two.told("behind").await;
    let target = RevokeTarget::RefreshToken(digest(&token.refresh));
    two.store.revoke(target, Default::default()).await.unwrap();
    let asked = two.seen.calls().len();
    two.seen.fail_next(Fault::Before);
    two.feed.connected();
    two.feed.confirmed(Instant::now());
    until(async || two.seen.calls().len() > asked).await;
    two.serve(&token.access, StatusCode::UNAUTHORIZED).await;
}

/// The beginning of a process is no news until it took too long.
#[tokio::test]
async fn a_machine_says_once_that_it_hears_and_at_last_that_it_does_not() {
    let two = Two::new(Feed::new(Duration::from_secs(3600)), StaleFeed::AskStore);
    let token = two.token().await;
    for _ in 0..10 {
        two.serve(&token.access, StatusCode::OK).await;
    }
    assert_eq!(*two.events.lock().unwrap(), [""; 0]);
    two.connect().await;
    two.told("caught up").await;
    assert_eq!(*two.events.lock().unwrap(), ["caught up"]);
    let deaf = Two::new(Feed::new(Duration::from_millis(50)), StaleFeed::AskStore);
    deaf.told("behind").await;
}

/// As the store says, but not before it may.
struct Slow {
    store: StoreVerifier,
    asked: Notify,
    may_answer: Notify,
}

impl TokenVerifier for Slow {
    fn recognises(&self, token: &str) -> bool {
        self.store.recognises(token)
    }

    fn connect(&self, cache: &TokenCache) {
        self.store.connect(cache);
    }

    async fn verify(&self, token: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        let verdict = self.store.verify(token).await;
        self.asked.notify_one();
        self.may_answer.notified().await;
        verdict
    }
}

#[tokio::test(start_paused = true)]
async fn catching_up_waits_for_who_asked_before() {
    let feed = Feed::new(Duration::from_secs(3600));
    let store = Faulty::new(None);
    let app = App::with(|builder| builder.store(store.clone()));
    let client = app.public_client().await;
    let token = app.tokens(&client, "alice", &[]).await;
    let slow = Arc::new(Slow {
        store: StoreVerifier::new(store.elsewhere(&feed)).clock(app.clock.clone()),
        asked: Notify::new(),
        may_answer: Notify::new(),
    });
    let resource = ProtectedResource::builder(MCP, Arc::clone(&slow))
        .clock(app.clock.clone())
        .build()
        .unwrap();
    let is_good = |resource: ProtectedResource| {
        let request = bearing(&token.access);
        async move { resource.session(request.headers()).await.unwrap().is_some() }
    };
    let early = tokio::spawn(is_good(resource.clone()));
    slow.asked.notified().await;
    let target = RevokeTarget::RefreshToken(digest(&token.refresh));
    store.revoke(target, Default::default()).await.unwrap();
    feed.connected();
    feed.confirmed(Instant::now());
    // Everything that does not wait for the early one happens now.
    tokio::time::sleep(Duration::from_secs(10)).await;
    slow.may_answer.notify_one();
    early.await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    slow.may_answer.notify_one();
    assert!(!is_good(resource).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_follows_for_a_cache_that_is_gone() {
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let feed = Feed::new(Duration::from_secs(3600));
    let verifier = StoreVerifier::new(Faulty::new(None).elsewhere(&feed));
    let resource = ProtectedResource::builder(MCP, verifier).build().unwrap();
    yield_now().await;
    assert_eq!(alive(), 1);
    drop(resource);
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(alive(), 0);
}

#[tokio::test]
async fn a_machine_may_refuse_rather_than_ask() {
    let two = Two::new(Feed::new(Duration::from_secs(3600)), StaleFeed::Refuse);
    let token = two.token().await;
    let answer = two
        .serve(&token.access, StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    two.feed.connected();
    two.feed.confirmed(Instant::now());
    until(async || two.second.call("/mcp", &token.access).await.status == StatusCode::OK).await;
}

/// Else it would be asked about every token, as if it had fallen silent.
#[test]
fn a_store_that_nobody_shares_has_no_feed() {
    assert!(MemoryStore::new().feed().is_none());
}
