//! Verdicts in moka, several to an entry.
//!
//! moka needs some 300 bytes for each of its entries, more than all that is to be said of a token.
//! So each of its entries is a shelf with the tokens whose keys happen to lead there. Whoever
//! changes one holds the lock of the whole cache; readers need none.

use std::{hash::BuildHasherDefault, sync::Arc, time::Duration};

use super::{
    Standing,
    key::{Key, KeyHasher},
};
use crate::clock::Timestamp;

/// How many tokens a shelf has on average when the cache is full.
const PER_SHELF: u64 = 8;
/// Caches of fewer tokens have a shelf for each.
const MIN_SHELVES: u64 = 1024;

pub(super) struct Shelves {
    cache: moka::sync::Cache<u32, Shelf, BuildHasherDefault<KeyHasher>>,
    count: u32,
    max_entries: u64,
}

type Shelf = Arc<[Standing]>;

impl Shelves {
    pub(super) fn new(max_entries: u64, time_to_live: Duration) -> Self {
        let count = (max_entries / PER_SHELF).max(MIN_SHELVES);
        Self {
            cache: moka::sync::Cache::builder()
                .max_capacity(max_entries)
                .weigher(|_, shelf: &Shelf| u32::try_from(shelf.len()).unwrap_or(u32::MAX))
                // The clock decides what is fresh; this only frees memory that nobody asks for.
                .time_to_idle(time_to_live)
                .build_with_hasher(BuildHasherDefault::default()),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            max_entries,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Standing> {
        let shelf = self.cache.get(&key.shelf(self.count))?;
        shelf.iter().find(|standing| standing.key() == key).cloned()
    }

    /// Only under the cache's lock.
    pub(super) fn insert(&self, standing: &Standing, now: Timestamp) {
        let number = standing.key().shelf(self.count);
        let others = self.cache.get(&number);
        let others = others
            .iter()
            .flat_map(|shelf| shelf.iter())
            .filter(|other| {
                other.key() != standing.key() && other.is_live() && other.is_fresh(now)
            });
        // A shelf that is too heavy for the cache would not be kept at all.
        let room = usize::try_from(self.max_entries).unwrap_or(usize::MAX);
        let shelf = std::iter::once(standing).chain(others).take(room);
        self.cache.insert(number, shelf.cloned().collect());
    }

    /// Only under the cache's lock.
    pub(super) fn remove(&self, key: &Key) {
        let number = key.shelf(self.count);
        let Some(shelf) = self.cache.get(&number) else {
            return;
        };
        let others: Shelf = shelf
            .iter()
            .filter(|other| other.key() != key)
            .cloned()
            .collect();
        if others.is_empty() {
            self.cache.invalidate(&number);
        } else if others.len() < shelf.len() {
            self.cache.insert(number, others);
        }
    }

    /// How many tokens there are, roughly.
    pub(super) fn len(&self) -> u64 {
        self.cache.weighted_size()
    }

    /// How many there are, exactly, once moka has caught up with what it was told.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.cache.run_pending_tasks();
        self.cache.iter().map(|(_, shelf)| shelf.len()).sum()
    }
}
