//! What cannot be seen from outside: what is left behind, and moments between two polls.

use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
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

/// What a request is told.
type Told = Result<McpSession, Refusal>;

fn told(found: Found) -> Told {
    found.map(|standing| standing.session().clone())
}

/// What it is told of a token with this verdict.
fn is(verdict: Verdict) -> Option<Told> {
    Some(verdict.session())
}

type Asking<'a> = Pin<Box<dyn Future<Output = Result<Found, VerifierUnavailable>> + 'a>>;

fn ask<'a>(cache: &'a TokenCache, script: &'a Script, token: &'a PresentedToken) -> Asking<'a> {
    Box::pin(cache.load(script, token, &SystemClock))
}

/// Polls once.
fn poll(asking: &mut Asking<'_>) -> Option<Told> {
    match asking
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(found) => Some(told(found.unwrap())),
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

/// Loads `token` with the verdict that the script has next.
fn load(cache: &TokenCache, script: &Script, token: &PresentedToken, verdict: Verdict) -> Standing {
    script.0.lock().unwrap().push_back(verdict);
    let mut asking = ask(cache, script, token);
    let Poll::Ready(Ok(Ok(standing))) = asking
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("the script has a good verdict");
    };
    standing
}

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
