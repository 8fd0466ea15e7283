//! The keys that all nodes of a deployment share.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Mutex;

use super::{
    ErasedStore, StoreError,
    record::{KeyPurpose, KeyRecord},
};
use crate::{clock::Timestamp, secret::SecretKey};

/// How long keys are taken for what the store has. It only ever has others when it has lost what it
/// had; until then the machines of a deployment that know the old ones and those that know the new
/// ones understand nothing of each other.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// How long nobody asks again after the store has failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The 256-bit keys of one purpose with their numbers, lowest first.
pub(crate) type Keys = [(u32, SecretKey)];

/// What this node knows of the keys of one purpose. The first node that asks makes the first key.
pub(crate) struct SharedKeys {
    purpose: KeyPurpose,
    known: OnceLock<Box<Known>>,
    /// In seconds, as [`Timestamp`] has it.
    fresh_until: AtomicU64,
    reading: Mutex<()>,
}

/// Keys, and what was read in their place since. They are kept, so that requests read them without a
/// lock: a store that loses its keys does so seldom.
struct Known {
    keys: Box<Keys>,
    later: OnceLock<Box<Self>>,
}

impl SharedKeys {
    pub(crate) const fn new(purpose: KeyPurpose) -> Self {
        Self {
            purpose,
            known: OnceLock::new(),
            fresh_until: AtomicU64::new(0),
            reading: Mutex::const_new(()),
        }
    }

    /// A key of this process alone.
    pub(crate) fn ephemeral(purpose: KeyPurpose) -> Self {
        let shared = Self::new(purpose);
        let keys = Box::new([(0, SecretKey::random())]);
        shared.learn(keys, Timestamp::from_secs(u64::MAX));
        shared
    }

    /// What was read last, however long ago.
    pub(crate) fn known(&self) -> Option<&Keys> {
        let mut last = self.known.get()?;
        while let Some(later) = last.later.get() {
            last = later;
        }
        Some(&last.keys)
    }

    /// What the store has, as far as anybody can tell; `None` where it is time to [`get`](Self::get)
    /// them and nobody does.
    pub(crate) fn fresh(&self, now: Timestamp) -> Option<&Keys> {
        let is_fresh = self.are_fresh(now) || self.reading.try_lock().is_err();
        is_fresh.then(|| self.known()).flatten()
    }

    fn are_fresh(&self, now: Timestamp) -> bool {
        now.as_secs() < self.fresh_until.load(Ordering::Acquire)
    }

    /// What the store has, or had when it last answered.
    pub(crate) async fn get(
        &self,
        store: &dyn ErasedStore,
        now: Timestamp,
    ) -> Result<&Keys, StoreError> {
        // Nobody waits for who is about to find out, unless there is nothing yet.
        if let Some(keys) = self.fresh(now) {
            return Ok(keys);
        }
        let _reading = self.reading.lock().await;
        if !self.are_fresh(now) {
            match self.read(store, now).await {
                Ok(keys) => self.learn(keys, now.plus(FRESH_FOR)),
                Err(error) if self.known().is_none() => return Err(error),
                Err(_) => self.believe_until(now.plus(RETRY_AFTER)),
            }
        }
        Ok(self.known().unwrap_or_default())
    }

    async fn read(&self, store: &dyn ErasedStore, now: Timestamp) -> Result<Box<Keys>, StoreError> {
        let mut records = store.keys(self.purpose).await?;
        if records.is_empty() {
            let first = KeyRecord {
                purpose: self.purpose,
                id: 0,
                key: SecretKey::random().into(),
                created_at: now,
                retires_at: None,
                expires_at: None,
            };
            // Another node may have been faster: then this returns that one's.
            records = store.add_key(first, Duration::ZERO, now).await?;
        }
        let secret = |record: &KeyRecord| Some((record.id, record.key.secret_key()?));
        Ok(records.iter().filter_map(secret).collect())
    }

    /// One at a time, as `reading` sees to.
    fn learn(&self, keys: Box<Keys>, fresh_until: Timestamp) {
        if self.known() != Some(&*keys) {
            let mut end = &self.known;
            while let Some(known) = end.get() {
                end = &known.later;
            }
            let later = OnceLock::new();
            let _ = end.set(Box::new(Known { keys, later }));
        }
        self.believe_until(fresh_until);
    }

    fn believe_until(&self, time: Timestamp) {
        self.fresh_until.store(time.as_secs(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        task::{Context, Waker},
    };

    use super::*;
    use crate::store::{MemoryStore, Stuck};

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn is_pending(future: Pin<&mut impl Future>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        future.poll(&mut cx).is_pending()
    }

    fn node() -> SharedKeys {
        SharedKeys::new(KeyPurpose::RefreshSuccessor)
    }

    #[tokio::test]
    async fn all_nodes_have_the_key_of_the_first() {
        let store = MemoryStore::new();
        let (here, there) = (node(), node());
        assert!(here.known().is_none());
        let keys = here.get(&store, NOW).await.unwrap();
        assert_eq!(here.known(), Some(keys));
        assert_eq!(there.get(&store, NOW).await.unwrap(), keys);
        assert_eq!(keys.len(), 1);
    }

    #[tokio::test]
    async fn keys_that_the_store_has_lost_are_given_up_within_a_minute() {
        let (store, emptied) = (MemoryStore::new(), MemoryStore::new());
        let (here, there) = (node(), node());
        let old = here.get(&store, NOW).await.unwrap();
        let new = there.get(&emptied, NOW).await.unwrap();
        assert_ne!(old, new);

        let soon = NOW.plus(FRESH_FOR - Duration::from_secs(1));
        assert_eq!(here.get(&emptied, soon).await.unwrap(), old);
        let later = NOW.plus(FRESH_FOR);
        assert_eq!((here.fresh(later), here.known()), (None, Some(old)));
        assert_eq!(here.get(&emptied, later).await.unwrap(), new);
        assert_eq!(here.fresh(later), Some(new));
    }

    #[tokio::test]
    async fn keys_that_were_read_serve_while_the_store_is_away() {
        let known = node();
        let keys = known.get(&MemoryStore::new(), NOW).await.unwrap();
        let later = NOW.plus(FRESH_FOR);
        assert_eq!(known.fresh(later), None, "it is time to ask");
        let mut asking = pin!(known.get(&Stuck, later));
        assert!(is_pending(asking.as_mut()));
        assert_eq!(known.fresh(later), Some(keys), "somebody does");
        // One waits for the answer, and nobody else.
        assert_eq!(known.get(&Stuck, later).await.unwrap(), keys);

        let nothing = node();
        let mut first = pin!(nothing.get(&Stuck, NOW));
        assert!(is_pending(first.as_mut()));
        let store = MemoryStore::new();
        let second = pin!(nothing.get(&store, NOW));
        assert!(is_pending(second), "one at a time");
    }
}
