//! What other machines revoked, as it arrives here.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::Revocation;

/// For how long silence is taken for peace.
const DEFAULT_STALE_AFTER: Duration = Duration::from_secs(1);

/// Passes on what other machines revoked, and says how far it can be trusted.
///
/// A store that several machines share keeps one, hands it out by
/// [`Store::feed`](super::Store::feed), and tells it what its channel (LISTEN/NOTIFY, pub/sub)
/// brings:
///
/// 1. [`connected`](Self::connected) once it listens: from now on nothing is missed, but what came
///    before may have been.
/// 2. [`revoked`](Self::revoked) for each revocation, in the order in which they came.
/// 3. [`confirmed`](Self::confirmed), several times a second, with the moment at which it sent a
///    message of its own that has come back by the same channel: so everything that was revoked
///    before that moment has been passed on.
/// 4. [`lost`](Self::lost) when the channel breaks.
///
/// As long as the latest confirmed moment is less than [`stale_after`](Self::stale_after) ago,
/// cached tokens are served. Otherwise the store is asked about every token. So a revocation on
/// another machine takes effect here no later than `stale_after` after it returned there, whatever
/// happens to the channel. Responses that stream are asked about several times within it, and end
/// when nobody could be asked for ten seconds. Clones share one state.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tower_mcp_auth::store::{Feed, Revocation};
///
/// let feed = Feed::new(Duration::from_secs(1));
/// assert!(!feed.is_current());
/// feed.connected();
/// let beat_sent = Instant::now();
/// // ... until it has come back:
/// feed.revoked(&Revocation::default());
/// feed.confirmed(beat_sent);
/// assert!(feed.is_current());
/// feed.lost();
/// assert!(!feed.is_current());
/// ```
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    stale_after: Duration,
    /// What `confirmed` counts from.
    start: Instant,
    /// The latest confirmed moment, in nanoseconds after `start`; 0 while there is none.
    confirmed: AtomicU64,
    /// How often the channel was connected.
    connection: AtomicU64,
    readers: Mutex<Vec<Arc<Reader>>>,
    changed: Notify,
}

/// Whoever wants to hear of revocations.
type Reader = dyn Fn(&Revocation) + Send + Sync;

impl Feed {
    /// A feed that is not connected yet. Its channel should be confirmed several times within
    /// `stale_after`.
    #[must_use]
    pub fn new(stale_after: Duration) -> Self {
        Self(Arc::new(Inner {
            stale_after,
            start: Instant::now(),
            confirmed: AtomicU64::new(0),
            connection: AtomicU64::new(0),
            readers: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// How long after a revocation on another machine it is in force here at the latest.
    #[must_use]
    pub fn stale_after(&self) -> Duration {
        self.0.stale_after
    }

    /// The channel listens, for the first time or anew.
    pub fn connected(&self) {
        self.0.confirmed.store(0, Ordering::SeqCst);
        self.0.connection.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    /// Something was revoked. In force when this returns. What this machine revoked itself may come
    /// along: it changes nothing.
    pub fn revoked(&self, revocation: &Revocation) {
        let readers = self.0.readers.lock();
        for reader in readers.unwrap_or_else(PoisonError::into_inner).iter() {
            reader(revocation);
        }
    }

    /// Everything that was revoked before `moment` has been passed on.
    pub fn confirmed(&self, moment: Instant) {
        let since = moment.saturating_duration_since(self.0.start).as_nanos();
        // 0 says that there is none.
        let since = u64::try_from(since).unwrap_or(u64::MAX).max(1);
        let before = self.0.confirmed.fetch_max(since, Ordering::SeqCst);
        if before == 0 {
            self.0.changed.notify_waiters();
        }
    }

    /// The channel is broken: there may be revocations that nobody tells of.
    pub fn lost(&self) {
        if self.0.confirmed.swap(0, Ordering::SeqCst) != 0 {
            self.0.changed.notify_waiters();
        }
    }

    /// Whether everything that was revoked until a moment ago has been passed on.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let confirmed = self.0.confirmed.load(Ordering::SeqCst);
        if confirmed == 0 {
            return false;
        }
        let silence = self
            .0
            .start
            .elapsed()
            .saturating_sub(Duration::from_nanos(confirmed));
        silence < self.0.stale_after
    }

    /// Has `reader` hear of every revocation from now on.
    pub(crate) fn subscribe(&self, reader: Arc<Reader>) -> Subscription {
        let readers = self.0.readers.lock();
        readers
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&reader));
        Subscription {
            feed: self.clone(),
            reader,
        }
    }

    /// Which connection of the channel this is, from 1 on; 0 before the first.
    pub(crate) fn connection(&self) -> u64 {
        self.0.connection.load(Ordering::SeqCst)
    }

    /// Returns when the channel was connected, first confirmed or lost, or after `patience`.
    pub(crate) async fn change(&self, patience: Duration) {
        let changed = self.0.changed.notified();
        let _ = tokio::time::timeout(patience, changed).await;
    }
}

impl Default for Feed {
    /// One that goes stale after a second.
    fn default() -> Self {
        Self::new(DEFAULT_STALE_AFTER)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("is_current", &self.is_current())
            .field("connection", &self.connection())
            .field("stale_after", &self.0.stale_after)
            .finish_non_exhaustive()
    }
}

/// Ends with whoever reads.
pub(crate) struct Subscription {
    feed: Feed,
    reader: Arc<Reader>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let readers = self.feed.0.readers.lock();
        readers
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|reader| !Arc::ptr_eq(reader, &self.reader));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As old as a test needs it.
    fn ago(seconds: u64) -> Instant {
        Instant::now()
            .checked_sub(Duration::from_secs(seconds))
            .unwrap()
    }

    fn feed_since(seconds: u64) -> Feed {
        let mut feed = Feed::default();
        Arc::get_mut(&mut feed.0).unwrap().start = ago(seconds);
        feed
    }

    #[test]
    fn silence_makes_it_stale_counted_from_when_the_message_was_sent() {
        let feed = feed_since(100);
        feed.connected();
        assert!(!feed.is_current());
        feed.confirmed(ago(2));
        assert!(!feed.is_current());
        feed.confirmed(Instant::now());
        assert!(feed.is_current());
        // An older message that comes late takes nothing back.
        feed.confirmed(ago(2));
        assert!(feed.is_current());
    }

    #[test]
    fn a_new_connection_has_to_be_confirmed_anew() {
        let feed = feed_since(100);
        feed.connected();
        feed.confirmed(Instant::now());
        feed.lost();
        assert!(!feed.is_current());
        feed.connected();
        assert!(!feed.is_current());
        assert_eq!(feed.connection(), 2);
    }

    #[test]
    fn a_reader_hears_until_it_is_dropped() {
        let feed = Feed::default();
        let heard = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&heard);
        let subscription = feed.subscribe(Arc::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        feed.revoked(&Revocation::default());
        drop(subscription);
        feed.revoked(&Revocation::default());
        assert_eq!(heard.load(Ordering::SeqCst), 1);
    }

    /// Whoever asks about all tokens because nothing is heard shall not do so a moment too long.
    #[tokio::test(start_paused = true)]
    async fn what_changes_about_the_channel_is_noticed_at_once() {
        const PATIENCE: Duration = Duration::from_secs(60);

        let feed = Feed::default();
        let noticed = async |step: fn(&Feed)| {
            let begun = tokio::time::Instant::now();
            let ((), ()) = tokio::join!(feed.change(PATIENCE), async { step(&feed) });
            begun.elapsed() < PATIENCE
        };
        assert!(noticed(Feed::connected).await);
        assert!(noticed(|feed| feed.confirmed(Instant::now())).await);
        // What is as it was is no news.
        assert!(!noticed(|feed| feed.confirmed(Instant::now())).await);
        assert!(noticed(Feed::lost).await);
        assert!(!noticed(Feed::lost).await);
        assert!(noticed(|feed| feed.confirmed(Instant::now())).await);
    }
}
