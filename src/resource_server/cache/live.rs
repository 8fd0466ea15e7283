//! What is held, by name, and whether it still may be.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, RandomState},
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::sync::Notify;

use super::key::{Key, KeyHasher};
use crate::secret::GrantId;

/// Rung when something ends. There are far more tokens than streams, and a bell for each would be
/// much of what a token takes. Whoever hears a bell looks whether it was rung for him.
static BELLS: [Notify; 64] = [const { Notify::const_new() }; 64];

/// Why something may not be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum End {
    /// It was revoked, or may have been: it is good no longer.
    Revoked = 1,
    /// Nobody could say for too long whether it was. Who comes again is looked up anew.
    Unsure = 2,
}

/// Whether something may still be used; turned off once and never on again.
pub(super) struct Live<N> {
    /// 0 while it may, else an [`End`].
    ended: AtomicU8,
    pub(super) name: N,
}

impl<N> Live<N> {
    pub(super) fn end(&self, why: End) {
        let (whole, ended) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.ended.compare_exchange(0, why as u8, whole, ended);
        self.bell().notify_waiters();
    }

    pub(super) fn is_unsure(&self) -> bool {
        self.ended.load(Ordering::Acquire) == End::Unsure as u8
    }

    /// By the address, where it stays as long as anybody waits.
    fn bell(&self) -> &'static Notify {
        let address = std::ptr::from_ref(self).addr();
        &BELLS[address / 32 % BELLS.len()]
    }

    pub(super) fn is_on(&self) -> bool {
        self.ended.load(Ordering::Acquire) == 0
    }

    pub(super) async fn ended(&self) {
        loop {
            // Woken by whatever ends after this line, so that looking comes second.
            let rung = self.bell().notified();
            if !self.is_on() {
                return;
            }
            rung.await;
        }
    }
}

/// How a register finds a name.
pub(super) trait Name: Copy + Eq {
    /// So much of the name that two alike are next to impossible.
    fn short(&self, random: &RandomState) -> u64;
}

impl Name for Key {
    fn short(&self, _: &RandomState) -> u64 {
        self.start()
    }
}

/// As whoever issued it chose it, which may be without any randomness.
impl Name for GrantId {
    fn short(&self, random: &RandomState) -> u64 {
        random.hash_one(self)
    }
}

/// What somebody still holds: all who hold one name hold the same [`Live`].
pub(super) struct Register<N> {
    live: HashMap<u64, Weak<Live<N>>, BuildHasherDefault<KeyHasher>>,
    random: RandomState,
    /// Size at which dead ones are looked for: twice what was alive the last time, so that the
    /// search costs each insertion a constant.
    high_water: usize,
}

impl<N> Default for Register<N> {
    fn default() -> Self {
        Self {
            live: HashMap::default(),
            random: RandomState::new(),
            high_water: 0,
        }
    }
}

impl<N: Name> Register<N> {
    pub(super) fn hold(&mut self, name: N) -> Arc<Live<N>> {
        let short = name.short(&self.random);
        if let Some(live) = self.live.get(&short).and_then(Weak::upgrade) {
            if live.name == name {
                return live;
            }
            // Only one of two that are alike can be found here, so the other must not go on.
            live.end(End::Revoked);
        }
        if self.live.len() >= self.high_water {
            self.live.retain(|_, live| live.strong_count() > 0);
            self.high_water = (self.live.len() * 2).max(64);
        }
        let live = Arc::new(Live {
            ended: AtomicU8::new(0),
            name,
        });
        self.live.insert(short, Arc::downgrade(&live));
        live
    }

    /// Whether anybody held it.
    pub(super) fn end(&mut self, name: N, why: End) -> bool {
        let short = name.short(&self.random);
        let live = self.live.get(&short).and_then(Weak::upgrade);
        let Some(live) = live.filter(|live| live.name == name) else {
            return false;
        };
        self.live.remove(&short);
        live.end(why);
        true
    }

    /// What is held.
    pub(super) fn names(&self) -> impl Iterator<Item = N> {
        let held = self.live.values().filter_map(Weak::upgrade);
        held.map(|live| live.name)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Digest;

    fn key(number: u32) -> Key {
        Key::of(Digest::of(&number.to_string()))
    }

    #[test]
    fn bells_are_for_few_each() {
        let mut register = Register::default();
        let held: Vec<_> = (0..1000).map(|number| register.hold(key(number))).collect();
        let bells = held.iter().map(|live| std::ptr::from_ref(live.bell()));
        let bells: std::collections::HashSet<_> = bells.collect();
        assert!(bells.len() > BELLS.len() / 2, "{}", bells.len());
    }

    #[test]
    fn the_dead_are_looked_for_ever_more_seldom() {
        let mut register = Register::default();
        let mut searches = std::collections::HashSet::new();
        let mut held = Vec::new();
        for number in 0..1000 {
            held.push(register.hold(key(number)));
            assert!(register.high_water >= register.len());
            searches.insert(register.high_water);
        }
        assert!(searches.len() < 10, "{searches:?}");
    }

    #[test]
    fn of_two_names_that_look_alike_one_can_be_held() {
        let mut register = Register::default();
        let mut bytes = [7; 32];
        let one = Key::of(Digest::from_bytes(bytes));
        bytes[31] = 8;
        let two = Key::of(Digest::from_bytes(bytes));
        assert_eq!(one.start(), two.start());
        let first = register.hold(one);
        let why = End::Revoked;
        assert!(!register.end(two, why) && first.is_on());
        let second = register.hold(two);
        assert!(!first.is_on() && second.is_on());
        assert!(!register.end(one, why) && register.end(two, why) && !second.is_on());
    }
}
