//! Invariant 3: after a revocation no request is served with what was revoked, whatever was under
//! way when it came.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "that is how a test fails"
)]

#[path = "common/resource.rs"]
mod resource;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tower::{Layer, service_fn};
use tower_mcp_auth::{
    Digest, GrantId, PresentedToken, ProtectedResource, Refusal, TestClock, TokenCache,
    TokenVerifier, Verdict, VerifierUnavailable, store::Revocation,
};

use self::resource::{Answer, MCP, START, Session, empty, post, send};

/// A verifier that reads at once and answers only when the test lets it: a slow store.
struct Slow(mpsc::UnboundedSender<Lookup>);

struct Lookup {
    token: String,
    answer: oneshot::Sender<Verdict>,
}

impl TokenVerifier for Slow {
    async fn verify(&self, token: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        let (answer, verdict) = oneshot::channel();
        let token = token.reveal().to_owned();
        self.0
            .send(Lookup { token, answer })
            .map_err(VerifierUnavailable::new)?;
        verdict.await.map_err(VerifierUnavailable::new)
    }
}

struct Test {
    resource: Arc<ProtectedResource>,
    clock: TestClock,
    lookups: mpsc::UnboundedReceiver<Lookup>,
}

impl Test {
    fn new() -> Self {
        let (sender, lookups) = mpsc::unbounded_channel();
        let clock = TestClock::at(START);
        let resource = ProtectedResource::builder(MCP, Slow(sender))
            .clock(clock.clone())
            .build()
            .unwrap();
        Self {
            resource: Arc::new(resource),
            clock,
            lookups,
        }
    }

    fn cache(&self) -> &TokenCache {
        self.resource.cache()
    }

    /// Sends a request and lets it get as far as it can.
    async fn request(&self, token: &'static str) -> JoinHandle<Answer> {
        let resource = Arc::clone(&self.resource);
        let task = tokio::spawn(async move {
            let service = resource
                .layer()
                .layer(service_fn(|_: Request<Full<Bytes>>| async {
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }));
            send(&service, empty(post(Some(token)))).await
        });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        task
    }

    async fn lookup(&mut self) -> Lookup {
        timeout(Duration::from_secs(5), self.lookups.recv())
            .await
            .expect("a lookup starts")
            .unwrap()
    }

    fn no_lookup(&mut self) {
        assert!(self.lookups.try_recv().is_err());
    }

    /// Has `token` in the cache.
    async fn warm(&mut self, token: &'static str, grant: Option<u8>) {
        let request = self.request(token).await;
        self.lookup().await.good(grant);
        assert_eq!(request.await.unwrap().status, 200);
    }
}

impl Lookup {
    fn good(self, grant: Option<u8>) {
        let session = Session {
            grant,
            ..Session::default()
        };
        self.answer
            .send(Verdict::Verified(session.build()))
            .unwrap_or_else(|_| panic!("nobody waits for {}", self.token));
    }

    fn revoked(self) {
        self.answer.send(Verdict::Revoked).unwrap();
    }
}

fn grant(id: u8) -> Revocation {
    Revocation {
        grants: vec![GrantId::from_bytes([id; 16])],
        access_tokens: vec![],
    }
}

fn token(text: &str) -> Revocation {
    Revocation {
        grants: vec![],
        access_tokens: vec![Digest::of(text)],
    }
}

#[tokio::test]
async fn a_lookup_that_began_before_a_revocation_neither_serves_nor_is_kept() {
    for (id, revocation) in [(Some(1), grant(1)), (None, token("t"))] {
        let mut test = Test::new();
        let request = test.request("t").await;
        let lookup = test.lookup().await;
        test.cache().revoke(&revocation);
        lookup.good(id);
        let answer = request.await.unwrap();
        assert_eq!(answer.refusal, Some(Refusal::RevokedToken));

        let later = test.request("t").await;
        test.lookup().await.revoked();
        assert_eq!(later.await.unwrap().refusal, Some(Refusal::RevokedToken));
    }
}

#[tokio::test]
async fn a_request_that_comes_after_a_revocation_looks_for_itself() {
    let mut test = Test::new();
    let before = test.request("t").await;
    let old = test.lookup().await;
    test.cache().revoke(&grant(1));
    let after = test.request("t").await;
    old.good(Some(1));
    assert_eq!(before.await.unwrap().refusal, Some(Refusal::RevokedToken));
    // The verifier would be wrong to call it good. That it is asked is what counts here.
    test.lookup().await.good(Some(1));
    assert_eq!(after.await.unwrap().status, 200);
}

/// Even where nothing was revoked that this machine knows of: the verifier may know more by now.
#[tokio::test]
async fn nobody_joins_a_lookup_older_than_itself_and_all_others_share_one() {
    let mut test = Test::new();
    let first = test.request("t").await;
    let lookup = test.lookup().await;
    let mut others = Vec::new();
    for _ in 0..50 {
        others.push(test.request("t").await);
    }
    test.no_lookup();
    lookup.good(Some(1));
    assert_eq!(first.await.unwrap().status, 200);
    test.lookup().await.revoked();
    for other in others {
        assert_eq!(other.await.unwrap().refusal, Some(Refusal::RevokedToken));
    }
    test.no_lookup();
}

#[tokio::test]
async fn other_grants_and_tokens_are_left_alone() {
    let mut test = Test::new();
    let request = test.request("t").await;
    let lookup = test.lookup().await;
    test.cache().revoke(&grant(2));
    test.cache().revoke(&token("u"));
    lookup.good(Some(1));
    assert_eq!(request.await.unwrap().status, 200);
    assert_eq!(test.request("t").await.await.unwrap().status, 200);
    test.no_lookup();
}

#[tokio::test]
async fn a_revoked_grant_takes_all_its_tokens_out_of_the_cache() {
    let mut test = Test::new();
    test.warm("a", Some(1)).await;
    test.warm("b", Some(1)).await;
    test.warm("c", Some(2)).await;
    test.cache().revoke(&grant(1));
    for dead in ["a", "b"] {
        let answer = test.request(dead).await.await.unwrap();
        assert_eq!(answer.refusal, Some(Refusal::RevokedToken));
    }
    assert_eq!(test.request("c").await.await.unwrap().status, 200);
    test.no_lookup();
}

#[tokio::test]
async fn a_revoked_token_leaves_the_others_of_its_grant() {
    let mut test = Test::new();
    test.warm("a", Some(1)).await;
    test.warm("b", Some(1)).await;
    test.cache().revoke(&token("a"));
    let request = test.request("a").await;
    test.lookup().await.revoked();
    assert_eq!(request.await.unwrap().status, 401);
    assert_eq!(test.request("b").await.await.unwrap().status, 200);
    test.no_lookup();
}

#[tokio::test]
async fn a_token_that_expires_while_it_is_looked_up_is_refused() {
    let mut test = Test::new();
    let request = test.request("t").await;
    let lookup = test.lookup().await;
    test.clock.advance(Duration::from_secs(3600));
    lookup.good(None);
    assert_eq!(request.await.unwrap().refusal, Some(Refusal::ExpiredToken));
}

#[tokio::test]
async fn a_request_that_goes_away_holds_up_nobody() {
    let mut test = Test::new();
    let first = test.request("t").await;
    let _unanswered = test.lookup().await;
    let second = test.request("t").await;
    first.abort();
    test.lookup().await.good(None);
    assert_eq!(second.await.unwrap().status, 200);
}

/// Readers on other threads never see a token again once `revoke` has returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_is_served_once_revoke_has_returned() {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A store with one token.
    struct Store(Arc<AtomicBool>);

    impl TokenVerifier for Store {
        async fn verify(&self, _: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
            let revoked = self.0.load(Ordering::SeqCst);
            tokio::task::yield_now().await;
            if revoked {
                return Ok(Verdict::Revoked);
            }
            let session = Session {
                grant: Some(1),
                ..Session::default()
            };
            Ok(Verdict::Verified(session.build()))
        }
    }

    for _ in 0..200 {
        let committed = Arc::new(AtomicBool::new(false));
        let returned = Arc::new(AtomicBool::new(false));
        let resource = ProtectedResource::builder(MCP, Store(Arc::clone(&committed)))
            .clock(TestClock::at(START))
            .build()
            .unwrap();
        let readers = (0..4).map(|_| {
            let (resource, returned) = (resource.clone(), Arc::clone(&returned));
            let request = empty(post(Some("t")));
            tokio::spawn(async move {
                for _ in 0..50 {
                    let too_late = returned.load(Ordering::SeqCst);
                    let session = resource.session(request.headers()).await.unwrap();
                    assert!(
                        session.is_none() || !too_late,
                        "served after the revocation"
                    );
                    tokio::task::yield_now().await;
                }
            })
        });
        let readers = readers.collect::<Vec<_>>();
        tokio::task::yield_now().await;
        committed.store(true, Ordering::SeqCst);
        resource.cache().revoke(&grant(1));
        returned.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
    }
}
