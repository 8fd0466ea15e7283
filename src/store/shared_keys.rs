//! The keys that all nodes of a deployment share.

use std::{
    sync::{Arc, PoisonError, RwLock},
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

/// The 256-bit keys of one purpose, lowest number first.
pub(crate) type Keys = Arc<[(u32, SecretKey)]>;

/// What this node knows of the keys of one purpose. The first node that asks makes the first key.
pub(crate) struct SharedKeys {
    purpose: KeyPurpose,
    known: RwLock<Option<Known>>,
    reading: Mutex<()>,
}

struct Known {
    keys: Keys,
    fresh_until: Timestamp,
}

impl SharedKeys {
    pub(crate) const fn new(purpose: KeyPurpose) -> Self {
        Self {
            purpose,
            known: RwLock::new(None),
            reading: Mutex::const_new(()),
        }
    }

    /// A key of this process alone.
    pub(crate) fn ephemeral(purpose: KeyPurpose) -> Self {
        let shared = Self::new(purpose);
        shared.learn(Known {
            keys: Arc::new([(0, SecretKey::random())]),
            fresh_until: Timestamp::from_secs(u64::MAX),
        });
        shared
    }

    /// What was read last, however long ago.
    pub(crate) fn known(&self) -> Option<Keys> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|known| Arc::clone(&known.keys))
    }

    pub(crate) fn are_known(&self) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.is_some()
    }

    /// What the store has, as far as anybody can tell without asking it.
    pub(crate) fn fresh(&self, now: Timestamp) -> Option<Keys> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = known.as_ref().filter(|known| now < known.fresh_until);
        fresh.map(|known| Arc::clone(&known.keys))
    }

    /// What the store has, or had when it last answered.
    pub(crate) async fn get(
        &self,
        store: &dyn ErasedStore,
        now: Timestamp,
    ) -> Result<Keys, StoreError> {
        if let Some(keys) = self.fresh(now) {
            return Ok(keys);
        }
        let known = self.known();
        let _reading = match (self.reading.try_lock(), known) {
            (Ok(reading), _) => reading,
            // Somebody is about to find out.
            (Err(_), Some(known)) => return Ok(known),
            (Err(_), None) => self.reading.lock().await,
        };
        if let Some(keys) = self.fresh(now) {
            return Ok(keys);
        }
        match self.read(store, now).await {
            Ok(keys) => {
                self.learn(Known {
                    keys: Arc::clone(&keys),
                    fresh_until: now.plus(FRESH_FOR),
                });
                Ok(keys)
            }
            Err(error) => self.known().ok_or(error),
        }
    }

    async fn read(&self, store: &dyn ErasedStore, now: Timestamp) -> Result<Keys, StoreError> {
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

    fn learn(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
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
        assert!(!here.are_known());
        let keys = here.get(&store, NOW).await.unwrap();
        assert!(here.are_known());
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
        let mut asking = pin!(known.get(&Stuck, later));
        assert!(is_pending(asking.as_mut()));
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
