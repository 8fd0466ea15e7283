//! The cache: who is asked, how often, and what is served meanwhile.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{CacheSettings, FetchCache};
use crate::{
    clock::{Clock, Timestamp},
    fetch::{CachePolicy, FetchError, Lifetimes},
};

#[derive(Clone, Default)]
struct Hand(Arc<Mutex<u64>>);

impl Hand {
    fn turn(&self, seconds: u64) {
        *self.0.lock().unwrap() += seconds;
    }

    fn turn_back(&self, seconds: u64) {
        *self.0.lock().unwrap() -= seconds;
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(*self.0.lock().unwrap())
    }
}

fn cache(stale: u64) -> (FetchCache<usize>, Hand) {
    let clock = Hand::default();
    let settings = CacheSettings {
        capacity: 100,
        lifetimes: Lifetimes {
            min: Duration::from_secs(60),
            default: Duration::from_secs(300),
            max: Duration::from_secs(3600),
        },
        failure: Duration::from_secs(10),
        refetch: Duration::from_secs(30),
        stale: Duration::from_secs(stale),
        may_be_withdrawn: true,
    };
    (FetchCache::new(settings, Arc::new(clock.clone())), clock)
}

/// Counts how often it is asked, and answers with the count.
#[derive(Clone, Default)]
struct Source(Arc<AtomicUsize>);

impl Source {
    async fn good(self) -> Result<(usize, CachePolicy), FetchError> {
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok((count, CachePolicy::default()))
    }

    async fn bad(self) -> Result<(usize, CachePolicy), FetchError> {
        self.good().await?;
        Err(FetchError::Status(500))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn many_who_ask_at_once_make_one_fetch_and_nobody_can_call_it_off() {
    let (cache, clock) = cache(0);
    let source = Source::default();
    // The first goes away at once; its fetch goes on, and the others wait for it.
    let first = cache.get("a", source.clone().good());
    assert!(
        tokio::time::timeout(Duration::from_millis(1), first)
            .await
            .is_err()
    );
    let many: Vec<_> = (0..50)
        .map(|_| {
            let (cache, source) = (cache.clone(), source.clone());
            tokio::spawn(async move { cache.get("a", source.good()).await })
        })
        .collect();
    for one in many {
        assert_eq!(*one.await.unwrap().unwrap(), 1);
    }
    assert_eq!(source.count(), 1);
    clock.turn(299);
    assert_eq!(*cache.get("a", source.clone().good()).await.unwrap(), 1);
    clock.turn(1);
    assert_eq!(*cache.get("a", source.clone().good()).await.unwrap(), 2);
    assert_eq!(*cache.get("b", source.clone().good()).await.unwrap(), 3);
}

/// CM-6: errors are kept just long enough not to be a tool against the other side.
#[tokio::test]
async fn failures_are_remembered_for_seconds() {
    let (cache, clock) = cache(0);
    let source = Source::default();
    for _ in 0..5 {
        let failed = cache.get("a", source.clone().bad()).await;
        assert_eq!(failed.unwrap_err(), FetchError::Status(500));
    }
    assert_eq!(source.count(), 1);
    clock.turn(10);
    assert_eq!(*cache.get("a", source.clone().good()).await.unwrap(), 2);
    // What was good is not good for ever.
    clock.turn(300);
    cache.get("a", source.clone().bad()).await.unwrap_err();
}

/// Else a clock that was an hour ahead would cost an hour.
#[tokio::test]
async fn what_began_by_a_clock_that_was_ahead_is_over() {
    let (cache, clock) = cache(600);
    let source = Source::default();
    clock.turn(7200);
    cache.get("a", source.clone().bad()).await.unwrap_err();
    clock.turn_back(3600);
    assert_eq!(*cache.get("a", source.clone().good()).await.unwrap(), 2);
    clock.turn_back(3600);
    assert_eq!(*cache.get("a", source.clone().good()).await.unwrap(), 3);
    // What is old is good enough for an outage, though.
    clock.turn(3600);
    cache.get("b", source.clone().good()).await.unwrap();
    clock.turn_back(3600);
    assert_eq!(*cache.get("b", source.clone().bad()).await.unwrap(), 4);
}

#[tokio::test]
async fn what_there_was_bridges_an_outage_where_that_is_wanted() {
    let (cache, clock) = cache(600);
    let source = Source::default();
    cache.get("a", source.clone().good()).await.unwrap();
    clock.turn(300);
    assert_eq!(*cache.get("a", source.clone().bad()).await.unwrap(), 1);
    assert_eq!(*cache.get("a", source.clone().bad()).await.unwrap(), 1);
    assert_eq!(source.count(), 2, "the failure is remembered");
    clock.turn(600);
    cache.get("a", source.clone().bad()).await.unwrap_err();
}

/// RFC 5861 §4: an error is an outage, unless it says that there is nothing.
#[tokio::test]
async fn what_was_taken_away_is_gone() {
    for (status, outlasts_it) in [
        (404, false),
        (410, false),
        // What stands in front of a site, and takes us for a robot.
        (403, true),
        (429, true),
        (502, true),
    ] {
        let (cache, clock) = cache(600);
        let source = Source::default();
        cache.get("a", source.clone().good()).await.unwrap();
        clock.turn(300);
        for _ in 0..2 {
            let failed = std::future::ready(Err(FetchError::Status(status)));
            let known = cache.get("a", failed).await;
            assert_eq!(known.is_ok(), outlasts_it, "{status}");
        }
    }
}

/// RFC 5861 §3.
#[tokio::test(start_paused = true)]
async fn what_there_was_is_served_while_somebody_takes_long_to_say_what_there_is() {
    let (cache, clock) = cache(600);
    let source = Source::default();
    cache.get("a", source.clone().good()).await.unwrap();
    clock.turn(300);
    let begun = tokio::time::Instant::now();
    let first = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move {
            let slow = async {
                tokio::time::sleep(Duration::from_secs(4)).await;
                source.good().await
            };
            cache.get("a", slow).await
        }
    });
    tokio::task::yield_now().await;
    assert_eq!(*cache.get("a", source.clone().bad()).await.unwrap(), 1);
    assert_eq!(begun.elapsed(), Duration::ZERO, "others wait for nobody");
    assert_eq!(*first.await.unwrap().unwrap(), 1);
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(*cache.get("a", source.clone().bad()).await.unwrap(), 2);
    assert_eq!(source.count(), 2);
}

/// Who may not have something fetched.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Limited,
    Failed(FetchError),
}

impl From<FetchError> for Refused {
    fn from(error: FetchError) -> Self {
        Self::Failed(error)
    }
}

/// Nor is a new key let in for it: it would push out what is known.
#[tokio::test]
async fn who_may_not_fetch_is_served_what_there_was_and_takes_no_place() {
    let (cache, clock) = cache(600);
    let source = Source::default();
    let refused = async |key: &str| {
        let may_fetch = || Err(Refused::Limited);
        cache.get_if(key, may_fetch, source.clone().good()).await
    };
    cache.get("a", source.clone().good()).await.unwrap();
    clock.turn(300);
    assert_eq!(*refused("a").await.unwrap(), 1);
    clock.turn(600);
    assert_eq!(refused("a").await.unwrap_err(), Refused::Limited);
    for key in 0..1000 {
        let never = refused(&key.to_string()).await;
        assert_eq!(never.unwrap_err(), Refused::Limited);
    }
    cache.0.slots.run_pending_tasks();
    assert_eq!((cache.0.slots.entry_count(), source.count()), (1, 1));
}

/// Counts how often somebody is asked whether they may.
#[derive(Clone, Default)]
struct Fetches(Arc<AtomicUsize>);

impl Fetches {
    fn one(&self) -> Result<(), Refused> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// What fifty of these say, all at once.
async fn fifty<F>(ask: impl Fn() -> F) -> Vec<usize>
where
    F: Future<Output = Result<Arc<usize>, Refused>> + Send + 'static,
{
    let asked: tokio::task::JoinSet<_> = (0..50).map(|_| ask()).collect();
    let known = asked.join_all().await.into_iter();
    known.map(|asked| *asked.unwrap()).collect()
}

#[tokio::test]
async fn who_waits_for_a_fetch_does_not_pay_for_it() {
    let (cache, clock) = cache(0);
    let (source, fetches) = (Source::default(), Fetches::default());
    let ask = || {
        let (cache, source, fetches) = (cache.clone(), source.clone(), fetches.clone());
        async move { cache.get_if("a", || fetches.one(), source.good()).await }
    };
    for round in 1..=2 {
        assert_eq!(fifty(ask).await, [round; 50]);
        assert_eq!((source.count(), fetches.count()), (round, round));
        clock.turn(300);
    }
    // Who may not is refused, and the next who may has it fetched.
    let refused = cache.get_if("a", || Err(Refused::Limited), source.clone().good());
    let (refused, asked) = tokio::join!(refused, ask());
    assert_eq!(refused.unwrap_err(), Refused::Limited);
    assert_eq!(*asked.unwrap(), 3);
}

#[cfg(feature = "jwt")]
#[tokio::test]
async fn refreshing_is_rationed() {
    let (cache, clock) = cache(0);
    let (source, fetches) = (Source::default(), Fetches::default());
    let first = cache.get("a", source.clone().good()).await.unwrap();
    let refresh = |seen: &Arc<usize>| {
        let (cache, source, fetches) = (cache.clone(), source.clone(), fetches.clone());
        let seen = Arc::clone(seen);
        async move {
            let may_fetch = || fetches.one();
            cache.refresh_if("a", &seen, may_fetch, source.good()).await
        }
    };
    let again = refresh(&first).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "too soon after the last fetch");
    assert_eq!(fetches.count(), 0);
    clock.turn(30);
    let all = fifty(|| refresh(&first)).await;
    assert_eq!(all, [2; 50], "whoever comes meanwhile has it too");
    assert_eq!((source.count(), fetches.count()), (2, 1));
    let second = refresh(&first).await.unwrap();
    assert_eq!(*second, 2, "somebody else has done it");
    clock.turn(30);
    let refused = cache.refresh_if(
        "a",
        &second,
        || Err(Refused::Limited),
        source.clone().good(),
    );
    assert_eq!(refused.await.unwrap_err(), Refused::Limited);
    // Where nobody can say, nobody says that there is nothing newer.
    for _ in 0..2 {
        let failed = cache.refresh_if("a", &second, || fetches.one(), source.clone().bad());
        let error = FetchError::Status(500);
        assert_eq!(failed.await.unwrap_err(), Refused::Failed(error));
        assert_eq!((source.count(), fetches.count()), (3, 2));
    }
    clock.turn(10);
    assert_eq!(*refresh(&second).await.unwrap(), 4);
}

/// Whoever comes with an unknown key's name has a set fetched again that was good for longer.
#[cfg(feature = "jwt")]
#[tokio::test]
async fn what_is_gone_before_its_time_is_kept_until_then() {
    let (cache, clock) = cache(600);
    let source = Source::default();
    let first = cache.get("a", source.clone().good()).await.unwrap();
    clock.turn(30);
    let gone = || std::future::ready(Err(FetchError::Status(404)));
    let may_fetch = || Ok::<_, FetchError>(());
    let newer = cache.refresh_if("a", &first, may_fetch, gone()).await;
    assert_eq!(newer.unwrap_err(), FetchError::Status(404));
    cache.get("a", gone()).await.unwrap();
    clock.turn(270);
    cache.get("a", gone()).await.unwrap_err();
    clock.turn(1);
    cache.get("a", gone()).await.unwrap_err();
}

#[tokio::test]
async fn a_full_cache_makes_room() {
    let (cache, _) = cache(0);
    for index in 0..1000 {
        let load = async move { Ok((index, CachePolicy::default())) };
        assert_eq!(*cache.get(&index.to_string(), load).await.unwrap(), index);
    }
    cache.0.slots.run_pending_tasks();
    assert_eq!(cache.0.slots.entry_count(), 100);
}
