//! What is under way when its token ends.

use super::*;

/// A stream may outlast its token's entry: with the cache turned off, every entry.
#[test]
fn what_is_under_way_hears_of_a_revocation_without_an_entry() {
    let cache = TokenCache::builder().time_to_live(Duration::ZERO).build();
    let script = Script::default();
    let (token, other) = (PresentedToken::new("t"), PresentedToken::new("u"));
    let first = load(&cache, &script, &token, good(Some(1)));
    let second = load(&cache, &script, &token, good(Some(1)));
    let sibling = load(&cache, &script, &other, good(Some(1)));
    cache.revoke(&Revocation {
        grants: vec![],
        access_tokens: vec![token.digest()],
    });
    let lost = [&first, &second, &sibling].map(|standing| standing.lost(SystemClock.now()));
    let revoked = Some(Refusal::RevokedToken);
    assert_eq!(lost, [revoked, revoked, None]);
    cache.revoke(&Revocation {
        grants: vec![GrantId::from_bytes([1; 16])],
        access_tokens: vec![],
    });
    assert_eq!(sibling.lost(SystemClock.now()), revoked);
}

#[test]
fn a_verifier_that_takes_its_word_back_ends_what_is_under_way() {
    let cache = TokenCache::builder().time_to_live(Duration::ZERO).build();
    let script = Script::default();
    let token = PresentedToken::new("t");
    for (verdict, goes_on) in [
        (Verdict::Revoked, false),
        (Verdict::Unknown, false),
        (Verdict::Expired, false),
        (Verdict::WrongAudience, true),
    ] {
        let standing = load(&cache, &script, &token, good(None));
        script.0.lock().unwrap().push_back(verdict.clone());
        assert_eq!(poll(&mut ask(&cache, &script, &token)), is(verdict));
        assert_eq!(standing.lost(SystemClock.now()).is_none(), goes_on);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_leaves_nothing_behind() {
    let cache = TokenCache::builder().time_to_live(Duration::ZERO).build();
    let script = Script::default();
    for index in 0..10_000 {
        let token = PresentedToken::new(&index.to_string());
        let standing = load(&cache, &script, &token, good(Some(1)));
        let mut waiting = pin!(standing.until_lost(&SystemClock));
        let waits = waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(waits.is_pending());
        tokio::task::yield_now().await;
    }
    // The cache itself lets go of its entries when it sees fit.
    let left = cache.lock().tokens.len();
    assert!(left < 500, "{left}");
}
