//! How many wrong user codes one user may type (RFC 8628 §5.1).
//!
//! A user code is short, so guesses have to be few. They are counted by user: whoever guesses has
//! to be signed in, and cannot have as many accounts as addresses. Each process counts for itself.

use std::time::Duration;

use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use crate::{
    clock::{Span, Timestamp},
    id::Subject,
};

/// How many wrong codes a user may type within [`WINDOW`].
const MAX_GUESSES: u32 = 10;
/// From the first wrong code on.
const WINDOW: Duration = Duration::from_secs(600);
/// How many users are remembered; the one who guessed longest ago is forgotten first.
const MAX_USERS: u64 = 100_000;

/// The guesses of one user.
#[derive(Clone, Copy, Debug)]
struct Count {
    window: Span,
    guesses: u32,
}

/// The guesses of all users.
#[derive(Debug)]
pub(crate) struct Guesses(Cache<Subject, Count>);

impl Default for Guesses {
    fn default() -> Self {
        Self::of(MAX_USERS)
    }
}

impl Guesses {
    fn of(users: u64) -> Self {
        Self(
            Cache::builder()
                .max_capacity(users)
                // Any other policy may turn a newcomer away, who then could guess for ever.
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        )
    }

    /// Counts a code that may turn out wrong, before anybody looks it up: many at once are as many
    /// guesses. Or says how long to wait.
    pub(super) fn count(&self, user: &Subject, now: Timestamp) -> Result<(), Duration> {
        let mut may_guess = false;
        let entry = self.0.entry_by_ref(user).and_upsert_with(|known| {
            let known = known.map(|entry| entry.into_value());
            let mut count = known
                .filter(|count| count.window.has(now))
                .unwrap_or(Count {
                    window: Span::new(now, WINDOW),
                    guesses: 0,
                });
            // What is refused is looked up by nobody, and so is no guess.
            may_guess = count.guesses < MAX_GUESSES;
            count.guesses += u32::from(may_guess);
            count
        });
        if may_guess {
            Ok(())
        } else {
            Err(now.until(entry.into_value().window.until()))
        }
    }

    /// Takes a guess back: the code was right.
    pub(super) fn forgive(&self, user: &Subject) {
        self.0.entry_by_ref(user).and_compute_with(|known| {
            known.map_or(Op::Nop, |entry| {
                let count = entry.into_value();
                Op::Put(Count {
                    guesses: count.guesses.saturating_sub(1),
                    ..count
                })
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn a_user_may_guess_a_few_times_and_then_has_to_wait() {
        let guesses = Guesses::default();
        let (alice, bob) = (Subject::new("alice").unwrap(), Subject::new("bob").unwrap());
        for _ in 0..MAX_GUESSES {
            assert_eq!(guesses.count(&alice, NOW), Ok(()));
        }
        assert_eq!(guesses.count(&alice, NOW), Err(WINDOW));
        assert_eq!(guesses.count(&bob, NOW), Ok(()));
        let later = NOW.plus(Duration::from_secs(599));
        assert_eq!(guesses.count(&alice, later), Err(Duration::from_secs(1)));
        assert_eq!(guesses.count(&alice, NOW.plus(WINDOW)), Ok(()));
        // The clock was set back.
        for _ in 0..MAX_GUESSES {
            assert_eq!(guesses.count(&alice, NOW), Ok(()));
        }
        assert_eq!(guesses.count(&alice, NOW), Err(WINDOW));
    }

    #[test]
    fn only_so_many_users_are_remembered_and_those_who_guess_are_among_them() {
        let guesses = Guesses::of(10);
        for user in 0..100 {
            let user = Subject::new(format!("user-{user}")).unwrap();
            for _ in 0..MAX_GUESSES {
                assert_eq!(guesses.count(&user, NOW), Ok(()));
            }
            guesses.0.run_pending_tasks();
            assert!(guesses.count(&user, NOW).is_err(), "{user}");
            assert!(guesses.0.entry_count() <= 10);
        }
    }

    #[test]
    fn right_codes_cost_nothing() {
        let guesses = Guesses::default();
        let alice = Subject::new("alice").unwrap();
        for _ in 0..5 * MAX_GUESSES {
            assert_eq!(guesses.count(&alice, NOW), Ok(()));
            guesses.forgive(&alice);
        }
        // Many at once too: those that have to wait do not count.
        for _ in 0..MAX_GUESSES {
            assert_eq!(guesses.count(&alice, NOW), Ok(()));
        }
        for _ in 0..5 * MAX_GUESSES {
            assert!(guesses.count(&alice, NOW).is_err());
        }
        guesses.forgive(&alice);
        assert_eq!(guesses.count(&alice, NOW), Ok(()));
    }
}
