//! Who shares a lookup, and what it leaves behind.

use super::*;

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
    assert_eq!(poll(&mut askings[0]), is(good(Some(1))));
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
        assert_eq!(poll(&mut first), is(good(grant)));
        assert_eq!(poll(&mut second), is(good(grant)));
        cache.revoke(&revocation);
        assert_eq!(poll(&mut third), is(Verdict::Revoked));
        assert!(script.0.lock().unwrap().is_empty(), "the third shares");
    }
}

#[test]
fn a_shared_outcome_that_nobody_is_sure_of_any_more_is_no_verdict() {
    let (cache, script) = (TokenCache::new(), Script::default());
    let token = PresentedToken::new("t");
    let [mut first, mut second, mut third] = [(); 3].map(|()| ask(&cache, &script, &token));
    for asking in [&mut first, &mut second, &mut third] {
        assert_eq!(poll(asking), None);
    }
    script.0.lock().unwrap().extend([good(None), good(None)]);
    assert_eq!(poll(&mut first), is(good(None)));
    assert_eq!(poll(&mut second), is(good(None)));
    cache.let_go();
    let mut context = Context::from_waker(Waker::noop());
    let shared = third.as_mut().poll(&mut context);
    assert!(matches!(shared, Poll::Ready(Err(_))), "not revoked either");
    drop((first, second, third));

    // Whoever comes again is looked up anew.
    script.0.lock().unwrap().push_back(good(None));
    let mut again = ask(&cache, &script, &token);
    assert_eq!(poll(&mut again), is(good(None)));
}

/// Cannot say, once it is told so.
#[derive(Default)]
struct Gone {
    asked: AtomicUsize,
    is_told: AtomicBool,
}

impl TokenVerifier for Gone {
    async fn verify(&self, _: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        std::future::poll_fn(|_| match self.is_told.load(Ordering::SeqCst) {
            true => Poll::Ready(Err(unheard())),
            false => Poll::Pending,
        })
        .await
    }
}

#[test]
fn whoever_comes_while_a_lookup_fails_fails_with_it_and_the_next_does_not() {
    let (cache, gone) = (TokenCache::new(), Gone::default());
    let token = PresentedToken::new("t");
    let ask = || Box::pin(cache.load(&gone, &token, &SystemClock));
    let mut context = Context::from_waker(Waker::noop());
    let mut askings = [ask(), ask(), ask()];
    for asking in &mut askings {
        assert!(asking.as_mut().poll(&mut context).is_pending());
    }
    gone.is_told.store(true, Ordering::SeqCst);
    let [mut first, mut second, mut third] = askings;
    for asking in [&mut first, &mut second] {
        let failed = asking.as_mut().poll(&mut context);
        assert!(matches!(failed, Poll::Ready(Err(_))));
    }
    assert_eq!(gone.asked.load(Ordering::SeqCst), 1, "one patience for all");
    // It comes after the failure, while the third still waits.
    let mut fourth = ask();
    assert!(fourth.as_mut().poll(&mut context).is_pending());
    for (asking, asked) in [(&mut third, 1), (&mut fourth, 2)] {
        let failed = asking.as_mut().poll(&mut context);
        assert!(matches!(failed, Poll::Ready(Err(_))));
        assert_eq!(gone.asked.load(Ordering::SeqCst), asked);
    }
}

#[test]
fn a_revocation_is_remembered_for_the_oldest_lookup() {
    let (cache, script) = (TokenCache::new(), Script::default());
    let tokens = ["old", "new"].map(PresentedToken::new);
    let [mut old, mut new] = tokens.each_ref().map(|token| ask(&cache, &script, token));
    assert_eq!((poll(&mut old), poll(&mut new)), (None, None));
    cache.revoke(&Revocation {
        grants: vec![GrantId::from_bytes([1; 16])],
        access_tokens: vec![],
    });
    script
        .0
        .lock()
        .unwrap()
        .extend([good(Some(2)), good(Some(1))]);
    assert_eq!(poll(&mut new), is(good(Some(2))));
    drop(new);
    assert_eq!(poll(&mut old), is(Verdict::Revoked), "it read before");
}
