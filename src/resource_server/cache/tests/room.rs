//! How much is kept.

use super::*;

#[test]
fn grants_that_nobody_uses_are_let_go() {
    let cache = TokenCache::new();
    let mut shared = cache.lock();
    let kept = shared.grants.hold(GrantId::from_bytes([0; 16]));
    for _ in 0..10_000 {
        drop(shared.grants.hold(GrantId::random()));
    }
    assert!(shared.grants.len() <= 64, "{}", shared.grants.len());
    assert!(Arc::ptr_eq(
        &kept,
        &shared.grants.hold(GrantId::from_bytes([0; 16]))
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
            is(Verdict::Unknown)
        );
    }
    assert_eq!(
        cache.get(token.digest(), Timestamp::default()).map(told),
        is(good(None))
    );
    assert_eq!(cache.0.entries.count(), 1);
}

#[test]
fn a_full_cache_makes_room() {
    let cache = TokenCache::builder().max_entries(10).build();
    let script = Script::default();
    for index in 0..1000 {
        script.0.lock().unwrap().push_back(good(Some(1)));
        let token = PresentedToken::new(&index.to_string());
        assert_eq!(poll(&mut ask(&cache, &script, &token)), is(good(Some(1))));
    }
    // What shares a shelf leaves together.
    assert!((1..=10).contains(&cache.0.entries.count()));
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
            assert_eq!(poll(&mut ask(&cache, &script, &token)), is(good(Some(1))));
            assert!(cache.get(token.digest(), SystemClock.now()).is_none());
        }
    }
}

#[test]
fn a_small_cache_keeps_what_it_was_asked_to() {
    for entries in [1, 2, 10, 1000] {
        let cache = TokenCache::builder().max_entries(entries as u64).build();
        let script = Script::default();
        for index in 0..3000 {
            let token = PresentedToken::new(&index.to_string());
            load(&cache, &script, &token, good(None));
        }
        let kept = cache.0.entries.count();
        assert!((1..=entries).contains(&kept), "{kept} of {entries}");
    }
}

#[test]
fn sessions_share_what_they_have_in_common() {
    let (cache, script) = (TokenCache::new(), Script::default());
    let [one, two] = ["a", "b"].map(|token| {
        let token = PresentedToken::new(token);
        load(&cache, &script, &token, good(None)).session().clone()
    });
    assert!(std::ptr::eq(
        one.client_id().as_str(),
        two.client_id().as_str()
    ));
    assert!(std::ptr::eq(
        one.resource().as_str(),
        two.resource().as_str()
    ));
}

#[test]
fn a_cache_shows_how_full_it_is_and_for_how_long_it_believes() {
    let cache = TokenCache::builder()
        .time_to_live(Duration::from_secs(48 * 60 * 60))
        .build();
    let script = Script::default();
    for token in ["a", "b", "c"].map(PresentedToken::new) {
        load(&cache, &script, &token, good(None));
    }
    assert_eq!(cache.0.entries.count(), 3);
    let shown = format!("{cache:?}");
    assert!(shown.contains("entries: 3"), "{shown}");
    assert!(
        shown.contains("time_to_live: 86400s"),
        "a day at most: {shown}"
    );
}
