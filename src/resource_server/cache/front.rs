//! The tokens in use right now, in front of the cache.
//!
//! moka writes down each read, to know later what to keep; where thousands of tokens take turns
//! that costs more than all the rest of a hit. So a small table that writes nothing down is asked
//! first. It never makes a reader wait: where somebody writes, the cache behind is asked instead.
//!
//! Whether an entry is still good is written on the entry, so nothing has to be removed from here
//! in time.

use std::sync::{
    OnceLock, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use super::{Key, Standing};

/// How many entries share a place: with these numbers, 10,000 tokens are all but certain to find one
/// each.
const WAYS: usize = 4;
/// How many places there are at most. A power of two.
const MAX_SETS: u64 = 8192;

pub(super) struct Front {
    /// Made when the first token comes: 64 bytes each.
    sets: OnceLock<Box<[RwLock<Set>]>>,
    count: usize,
}

#[derive(Default)]
struct Set {
    /// Two bytes of each entry's key, so that the wrong entries are not looked at.
    tags: [u16; WAYS],
    /// Whether an entry was read since somebody looked for one to replace.
    used: [AtomicBool; WAYS],
    entries: [Option<Standing>; WAYS],
}

impl Front {
    /// For a cache of this many entries.
    pub(super) fn new(max_entries: u64) -> Self {
        let count = (max_entries / WAYS as u64).clamp(1, MAX_SETS);
        Self {
            sets: OnceLock::new(),
            // A power of two, so that a key's bits are a place.
            count: count.next_power_of_two() as usize,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Standing> {
        let sets = self.sets.get()?;
        let set = sets[key.place(self.count)].try_read().ok()?;
        let way = set.find(key)?;
        // Only the first reader writes.
        if !set.used[way].load(Ordering::Relaxed) {
            set.used[way].store(true, Ordering::Relaxed);
        }
        set.entries[way].clone()
    }

    /// Takes the place of an entry that is not in use, unless somebody is there just now.
    pub(super) fn put(&self, standing: &Standing) {
        let key = standing.key();
        let sets = self.sets.get_or_init(|| {
            std::iter::repeat_with(RwLock::default)
                .take(self.count)
                .collect()
        });
        if let Ok(mut set) = sets[key.place(self.count)].try_write() {
            let way = set.find(key).unwrap_or_else(|| set.victim(key));
            set.tags[way] = key.tag();
            set.used[way] = AtomicBool::new(false);
            set.entries[way] = Some(standing.clone());
        }
    }

    /// Lets go of a token that is good no longer.
    pub(super) fn remove(&self, key: &Key) {
        if let Some(sets) = self.sets.get() {
            let set = sets[key.place(self.count)].write();
            let mut set = set.unwrap_or_else(PoisonError::into_inner);
            if let Some(way) = set.find(key) {
                set.entries[way] = None;
            }
        }
    }
}

impl Set {
    fn find(&self, key: &Key) -> Option<usize> {
        (0..WAYS).find(|way| {
            self.tags[*way] == key.tag()
                && self.entries[*way]
                    .as_ref()
                    .is_some_and(|standing| standing.key() == key)
        })
    }

    /// Which entry to replace: none, one that is dead, one that nobody read lately, or any.
    fn victim(&mut self, key: &Key) -> usize {
        let is_free = |entry: &Option<Standing>| !entry.as_ref().is_some_and(Standing::is_live);
        if let Some(way) = self.entries.iter().position(is_free) {
            return way;
        }
        let first = key.tag() as usize;
        let unread = (first..first + WAYS)
            .map(|way| way % WAYS)
            .find(|way| !*self.used[*way].get_mut());
        unread.unwrap_or_else(|| {
            self.used = Default::default();
            first % WAYS
        })
    }
}
