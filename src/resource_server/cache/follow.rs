//! Keeps a cache true while other machines revoke.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{Inner, Key, TokenCache};
use crate::{
    event::{Event, Events},
    secret::{Digest, GrantId},
    store::{ErasedStore, Feed, StoreError, Subscription},
};

/// How many names the store is asked about at once.
const CHUNK: usize = 500;
/// How often to look whether old lookups have come to their end.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long what streams may go on while nobody can say whether its token was revoked: as long as
/// requests wait for a store.
const TRUST: Duration = Duration::from_secs(10);

/// What becomes of requests while a machine does not hear what others revoke.
///
/// Only for stores that several machines share ([`Store::feed`](crate::store::Store::feed)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaleFeed {
    /// The store is asked about the token of every request.
    #[default]
    AskStore,
    /// They are answered 503: spares the store, which may be what is in trouble.
    Refuse,
}

/// How a cache follows its store.
pub(super) struct Following {
    feed: Feed,
    store: Arc<dyn ErasedStore>,
    events: Events,
    pub(super) when_stale: StaleFeed,
    /// The connection of the feed since which nothing is missing here.
    caught_up: AtomicU64,
    task: OnceLock<AbortHandle>,
    _subscription: Subscription,
}

impl Following {
    /// Whether everything that was revoked elsewhere is known here.
    pub(super) fn is_current(&self) -> bool {
        // In this order: a connection that is made in between has to be caught up with first.
        self.feed.is_current() && self.caught_up.load(Ordering::SeqCst) == self.feed.connection()
    }

    /// Starts the task, the first time this is called inside a tokio runtime. Cheap to call again.
    pub(super) fn start(&self, cache: &TokenCache) {
        if self.task.get().is_some() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            self.task
                .get_or_init(|| runtime.spawn(run(Arc::downgrade(&cache.0))).abort_handle());
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl TokenCache {
    /// Hears of what is revoked in `store` by others, if it says so.
    pub(crate) fn follow(
        &self,
        store: &Arc<dyn ErasedStore>,
        events: &Events,
        when_stale: StaleFeed,
    ) {
        let Some(feed) = store.feed() else { return };
        let following = self.0.following.get_or_init(|| {
            let cache = Arc::downgrade(&self.0);
            let subscription = feed.subscribe(Arc::new(move |revocation| {
                if let Some(cache) = cache.upgrade() {
                    Self(cache).revoke(revocation);
                }
            }));
            Following {
                feed,
                store: Arc::clone(store),
                events: events.clone(),
                when_stale,
                caught_up: AtomicU64::new(0),
                task: OnceLock::new(),
                _subscription: subscription,
            }
        });
        following.start(self);
    }

    /// Asks the store about everything that is held here, and forgets what was revoked meanwhile.
    async fn catch_up(&self, following: &Following) -> Result<(), StoreError> {
        // A lookup that read the store before anybody listened may end with what was revoked since.
        let before = self.lock().tick();
        while self.lock().loads.first().is_some_and(|load| *load < before) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let (grants, tokens) = self.names();
        for grants in grants.chunks(CHUNK) {
            let asked = following.store.revoked_among(grants.to_vec(), Vec::new());
            self.revoke(&asked.await?);
        }
        for tokens in tokens.chunks(CHUNK) {
            let asked = following.store.revoked_among(Vec::new(), tokens.to_vec());
            self.revoke(&asked.await?);
        }
        Ok(())
    }

    /// Everything that is served from here, or streams with it.
    fn names(&self) -> (Vec<GrantId>, Vec<Digest>) {
        let shared = self.lock();
        let tokens = shared.tokens.names().map(Key::digest);
        (shared.grants.names().collect(), tokens.collect())
    }
}

/// Catches up after each connection. As long as the feed is broken, open streams depend on it too.
async fn run(cache: Weak<Inner>) {
    let begun = Instant::now();
    // When everything that others had revoked was known here.
    let mut known = begun;
    let mut was_current = None;
    loop {
        let Some(cache) = cache.upgrade().map(TokenCache) else {
            return;
        };
        let Some(following) = cache.0.following.get() else {
            return;
        };
        let feed = following.feed.clone();
        let connection = feed.connection();
        let is_confirmed = feed.is_current();
        let is_new = following.caught_up.load(Ordering::SeqCst) != connection;
        if is_new || !is_confirmed {
            let asked_at = Instant::now();
            let left = (known + TRUST).duration_since(asked_at);
            match timeout(left, cache.catch_up(following)).await {
                Ok(Ok(())) => {
                    known = asked_at;
                    if is_confirmed {
                        following.caught_up.store(connection, Ordering::SeqCst);
                    }
                }
                Ok(Err(_)) if known.elapsed() < TRUST => {}
                _ => {
                    cache.let_go();
                    // Whatever comes from now on was looked up meanwhile.
                    known = Instant::now();
                }
            }
        } else {
            known = Instant::now();
        }
        let is_current = following.is_current();
        let is_news = match was_current {
            // Every process begins without, and soon hears.
            None => is_current || begun.elapsed() > feed.stale_after(),
            Some(before) => is_current != before,
        };
        if is_news {
            following.events.emit(&match is_current {
                true => Event::FeedCaughtUp,
                false => Event::FeedBehind,
            });
            was_current = Some(is_current);
        }
        drop(cache);
        // Silence is noticed by looking.
        feed.change(feed.stale_after().min(TRUST) / 4).await;
    }
}
