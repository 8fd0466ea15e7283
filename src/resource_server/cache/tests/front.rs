//! The table in front of everything.

use super::*;

/// What the cache has, asked twice: the second answer comes from the table in front.
fn twice(cache: &TokenCache, token: &PresentedToken, now: Timestamp) -> [Option<Told>; 2] {
    [(); 2].map(|()| cache.get(token.digest(), now).map(told))
}

#[test]
fn the_table_in_front_serves_nothing_that_was_revoked() {
    let (cache, script) = (TokenCache::new(), Script::default());
    let [one, other] = ["t", "u"].map(PresentedToken::new);
    let now = SystemClock.now();
    for (token, grant) in [(&one, 1), (&other, 2)] {
        load(&cache, &script, token, good(Some(grant)));
        assert_eq!(
            twice(&cache, token, now),
            [(); 2].map(|()| is(good(Some(grant))))
        );
    }
    cache.revoke(&Revocation {
        grants: vec![GrantId::from_bytes([2; 16])],
        access_tokens: vec![one.digest()],
    });
    assert_eq!(twice(&cache, &one, now), [None, None], "somebody is asked");
    assert_eq!(
        twice(&cache, &other, now),
        [(); 2].map(|()| is(Verdict::Revoked))
    );
}

#[test]
fn the_table_in_front_gives_way_to_what_is_newer_behind() {
    let cache = TokenCache::builder()
        .time_to_live(Duration::from_secs(60))
        .build();
    let script = Script::default();
    let token = PresentedToken::new("t");
    let now = SystemClock.now();
    let first = load(&cache, &script, &token, good(None));
    assert_eq!(twice(&cache, &token, now), [(); 2].map(|()| is(good(None))));
    let later = now.plus(Duration::from_secs(61));
    assert_eq!(twice(&cache, &token, later), [None, None]);

    // The verifier takes its word back, and changes its mind once more.
    script.0.lock().unwrap().push_back(Verdict::Unknown);
    poll(&mut ask(&cache, &script, &token));
    assert_eq!(twice(&cache, &token, now), [None, None]);
    let second = load(&cache, &script, &token, good(None));
    assert_eq!(twice(&cache, &token, now), [(); 2].map(|()| is(good(None))));
    assert!(first.lost(now).is_some() && second.lost(now).is_none());
}

#[test]
fn what_is_in_use_stays_in_front() {
    let (cache, script) = (TokenCache::new(), Script::default());
    let front = Front::new(4);
    let tokens = ["a", "b", "c", "d", "e"].map(PresentedToken::new);
    let standings = tokens
        .each_ref()
        .map(|token| load(&cache, &script, token, good(None)));
    let is_there = |index: usize| front.get(standings[index].key()).is_some();
    for standing in &standings[..4] {
        front.put(standing);
    }
    assert!([0, 1, 3].into_iter().all(is_there));
    front.put(&standings[4]);
    assert_eq!(
        [0, 1, 2, 3, 4].map(is_there),
        [true, true, false, true, true]
    );
    // All are in use now: somebody has to go.
    front.put(&standings[2]);
    assert!(is_there(2));
    front.remove(standings[2].key());
    assert!(!is_there(2));
}

#[test]
fn neighbours_on_a_shelf_do_not_disturb_each_other() {
    let cache = TokenCache::builder().max_entries(20_000).build();
    let script = Script::default();
    let now = SystemClock.now();
    let tokens: Vec<_> = (0..8000)
        .map(|index| PresentedToken::new(&index.to_string()))
        .collect();
    for token in &tokens {
        load(&cache, &script, token, good(None));
    }
    assert_eq!(cache.0.entries.count(), 8000);
    cache.revoke(&Revocation {
        grants: vec![],
        access_tokens: tokens[..4000].iter().map(PresentedToken::digest).collect(),
    });
    for (index, token) in tokens.iter().enumerate() {
        let found = cache.get(token.digest(), now).map(told);
        assert_eq!(found.is_some(), index >= 4000, "{index}");
    }
    assert_eq!(cache.0.entries.count(), 4000);
}

/// A standing that no cache gave out.
fn standing(register: &mut Register<Key>, key: [u8; 32], fresh_until: u64) -> Standing {
    let Verdict::Verified(session) = good(None) else {
        unreachable!("it is good");
    };
    let token = register.hold(Key::of(Digest::from_bytes(key)));
    Standing::new(session, Timestamp::from_secs(fresh_until), token, None)
}

#[test]
fn the_table_in_front_takes_no_token_for_another() {
    let (front, mut register) = (Front::new(4), Register::default());
    let mut bytes = [7; 32];
    let one = standing(&mut register, bytes, 9);
    front.put(&one);
    // The same place and the same tag.
    bytes[12] = 8;
    let other = Key::of(Digest::from_bytes(bytes));
    assert_eq!(one.key().tag(), other.tag());
    assert!(front.get(&other).is_none());
    // Neither is what has no tag of its own.
    assert!(front.get(&Key::of(Digest::from_bytes([0; 32]))).is_none());
}

#[test]
fn what_is_in_use_stays_in_front_whatever_its_key() {
    let (front, mut register) = (Front::new(4), Register::default());
    // All with the tag 0.
    let standings: Vec<_> = (1..=5)
        .map(|number| {
            let mut key = [0; 32];
            key[3] = number;
            standing(&mut register, key, 9)
        })
        .collect();
    for standing in &standings[..4] {
        front.put(standing);
    }
    let is_there = |index: usize| front.get(standings[index].key()).is_some();
    assert!([0, 1, 3].into_iter().all(is_there));
    front.put(&standings[4]);
    assert_eq!(
        [0, 1, 2, 3, 4].map(is_there),
        [true, true, false, true, true]
    );
}

#[test]
fn what_is_dead_or_stale_leaves_its_shelf_to_the_next() {
    let (shelves, mut register) = (Shelves::new(100, DEFAULT_TTL), Register::default());
    let key = |number| {
        // Of one shelf, and not alike to the register.
        let mut key = [0; 32];
        key[if cfg!(target_endian = "little") { 0 } else { 7 }] = number;
        key
    };
    let now = Timestamp::from_secs(10);
    let [dead, stale, good, last] = [(1, 99), (2, 10), (3, 11), (4, 11)]
        .map(|(n, fresh)| standing(&mut register, key(n), fresh));
    for one in [&dead, &stale, &good] {
        shelves.insert(one, Timestamp::from_secs(1));
    }
    assert_eq!(shelves.count(), 3);
    assert!(register.end(Key::of(Digest::from_bytes(key(1))), End::Revoked));
    shelves.insert(&last, now);
    assert_eq!(shelves.count(), 2);
    assert!(shelves.get(good.key()).is_some() && shelves.get(last.key()).is_some());
}

#[test]
fn a_token_that_was_asked_about_again_is_served_from_the_newer_answer() {
    let cache = TokenCache::builder()
        .time_to_live(Duration::from_secs(60))
        .build();
    let (script, token) = (Script::default(), PresentedToken::new("t"));
    let clock = crate::clock::TestClock::at(Timestamp::from_secs(1000));
    for _ in 0..2 {
        script.0.lock().unwrap().push_back(good(None));
        let mut asking: Asking<'_> = Box::pin(cache.load(&script, &token, &clock));
        assert_eq!(poll(&mut asking), is(good(None)));
        let now = clock.now();
        assert_eq!(twice(&cache, &token, now), [(); 2].map(|()| is(good(None))));
        clock.advance(Duration::from_secs(60));
        assert_eq!(twice(&cache, &token, clock.now()), [None, None]);
    }
}
