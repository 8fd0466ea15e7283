//! What cannot be seen from outside: what is left behind, and moments between two polls.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::{
    clock::SystemClock,
    id::{ClientId, Subject},
    resource_server::TokenVerifier,
    uri::ResourceUri,
};

fn good(grant: Option<u8>) -> Verdict {
    let builder = McpSession::builder(
        Subject::new("alice").unwrap(),
        ClientId::new("agent").unwrap(),
        ResourceUri::parse("https://a.example/mcp").unwrap(),
        Timestamp::from_secs(u64::MAX),
    );
    Verdict::Verified(match grant {
        Some(id) => builder.grant_id(GrantId::from_bytes([id; 16])).build(),
        None => builder.build(),
    })
}

/// Answers with the next verdict in its list, and not at all while there is none.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<VecDeque<Verdict>>>);

impl TokenVerifier for Script {
    async fn verify(&self, _: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        std::future::poll_fn(|_| match self.0.lock().unwrap().pop_front() {
            Some(verdict) => Poll::Ready(Ok(verdict)),
            None => Poll::Pending,
        })
        .await
    }
}

type Asking<'a> = Pin<Box<dyn Future<Output = Result<Verdict, VerifierUnavailable>> + 'a>>;

fn ask<'a>(cache: &'a TokenCache, script: &'a Script, token: &'a PresentedToken) -> Asking<'a> {
    Box::pin(cache.load(script, token, &SystemClock))
}

/// Polls once.
fn poll(asking: &mut Asking<'_>) -> Option<Verdict> {
    match asking
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(verdict) => Some(verdict.unwrap()),
        Poll::Pending => None,
    }
}

#[test]
fn nothing_is_left_behind_however_a_lookup_ends() {
    let (cache, script) = (TokenCache::new(), Script::default());
    let tokens = ["a", "b", "c"].map(PresentedToken::new);
    let mut askings: Vec<_> = tokens
        .iter()
        .flat_map(|token| [ask(&cache, &script, token), ask(&cache, &script, token)])
        .collect();
    for asking in &mut askings {
        assert_eq!(poll(asking), None);
    }
    cache.revoke(&Revocation {
        grants: vec![GrantId::random()],
        access_tokens: vec![Digest::of("x")],
    });
    {
        let shared = cache.lock();
        let sizes = (
            shared.loads.len(),
            shared.flights.len(),
            shared.recent.len(),
        );
        assert_eq!(sizes, (3, 3, 2));
    }
    script.0.lock().unwrap().push_back(good(Some(1)));
    assert_eq!(poll(&mut askings[0]), Some(good(Some(1))));
    askings.clear();
    let shared = cache.lock();
    let sizes = (
        shared.loads.len(),
        shared.flights.len(),
        shared.recent.len(),
    );
    assert_eq!(sizes, (0, 0, 0));
}

#[test]
fn a_shared_outcome_is_looked_at_again_before_it_is_served() {
    for (grant, revocation) in [
        (
            Some(1),
            Revocation {
                grants: vec![GrantId::from_bytes([1; 16])],
                access_tokens: vec![],
            },
        ),
        (
            None,
            Revocation {
                grants: vec![],
                access_tokens: vec![Digest::of("t")],
            },
        ),
    ] {
        let (cache, script) = (TokenCache::new(), Script::default());
        let token = PresentedToken::new("t");
        let mut first = ask(&cache, &script, &token);
        assert_eq!(poll(&mut first), None);
        let mut second = ask(&cache, &script, &token);
        let mut third = ask(&cache, &script, &token);
        assert_eq!((poll(&mut second), poll(&mut third)), (None, None));
        script.0.lock().unwrap().extend([good(grant), good(grant)]);
        assert_eq!(poll(&mut first), Some(good(grant)));
        assert_eq!(poll(&mut second), Some(good(grant)));
        cache.revoke(&revocation);
        assert_eq!(poll(&mut third), Some(Verdict::Revoked));
        assert!(script.0.lock().unwrap().is_empty(), "the third shares");
    }
}

#[test]
fn grants_that_nobody_uses_are_let_go() {
    let cache = TokenCache::new();
    let mut shared = cache.lock();
    let kept = shared.live_grant(GrantId::from_bytes([0; 16]));
    for _ in 0..10_000 {
        drop(shared.live_grant(GrantId::random()));
    }
    assert!(shared.grants.len() <= 64, "{}", shared.grants.len());
    assert!(Arc::ptr_eq(
        &kept,
        &shared.live_grant(GrantId::from_bytes([0; 16]))
    ));
}

/// Invariant 11.
#[test]
fn garbage_takes_no_room() {
    let cache = TokenCache::builder().max_entries(10).build();
    let script = Script::default();
    script.0.lock().unwrap().push_back(good(None));
    let token = PresentedToken::new("good");
    assert!(poll(&mut ask(&cache, &script, &token)).is_some());
    for index in 0..1000 {
        script.0.lock().unwrap().push_back(Verdict::Unknown);
        let garbage = PresentedToken::new(&index.to_string());
        assert_eq!(
            poll(&mut ask(&cache, &script, &garbage)),
            Some(Verdict::Unknown)
        );
    }
    cache.0.entries.run_pending_tasks();
    assert_eq!(
        cache.get(token.digest(), Timestamp::default()),
        Some(good(None))
    );
    assert_eq!(cache.0.entries.entry_count(), 1);
}

#[test]
fn a_cache_can_be_turned_off() {
    for cache in [
        TokenCache::builder().time_to_live(Duration::ZERO).build(),
        TokenCache::builder().max_entries(0).build(),
    ] {
        let script = Script::default();
        let token = PresentedToken::new("t");
        for _ in 0..3 {
            script.0.lock().unwrap().push_back(good(Some(1)));
            assert_eq!(poll(&mut ask(&cache, &script, &token)), Some(good(Some(1))));
            cache.0.entries.run_pending_tasks();
            assert_eq!(cache.get(token.digest(), SystemClock.now()), None);
        }
    }
}
