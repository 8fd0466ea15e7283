//! What time it is by the clock of a database's server.
//!
//! What is sent may be held up on its way, by the network or by the server itself, and be done after
//! whoever asked was told that it failed, and has asked again: a refresh would be taken for theft, and
//! an older change undo a newer one. So everything that is sent says until when it may begin, by the
//! server's clock, since nothing else is there when it arrives.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long what was heard is relied on: clocks run apart, by half a second in a thousand at the worst.
const RELIED_ON: Duration = Duration::from_secs(300);

/// What a server said last, in milliseconds since 1970, and when it was heard.
#[derive(Clone, Default)]
pub(super) struct ServerClock(Arc<Mutex<Option<(Instant, u64)>>>);

impl ServerClock {
    pub(super) fn heard(&self, milliseconds: u64) {
        self.heard_at(Instant::now(), milliseconds);
    }

    fn heard_at(&self, moment: Instant, milliseconds: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((moment, milliseconds));
    }

    /// What it will say at `moment` at the least: what was heard had been on its way already. 0 while
    /// nothing is known, so that everything is too late, and the server says what time it is.
    pub(super) fn at(&self, moment: Instant) -> u64 {
        self.at_from(Instant::now(), moment)
    }

    fn at_from(&self, now: Instant, moment: Instant) -> u64 {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Some((at, milliseconds)) if now.saturating_duration_since(at) <= RELIED_ON => {
                let since = moment.saturating_duration_since(at).as_millis();
                milliseconds.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_from_what_was_heard_and_is_not_relied_on_for_ever() {
        let clock = ServerClock::default();
        let heard_at = Instant::now();
        let after = |seconds| heard_at + Duration::from_secs(seconds);
        let at = |now, moment| clock.at_from(after(now), after(moment));
        assert_eq!(at(0, 1), 0);
        clock.heard_at(heard_at, 1_700_000_000_000);
        assert_eq!(at(0, 0), 1_700_000_000_000);
        assert_eq!(at(1, 3), 1_700_000_003_000);
        assert_eq!(at(300, 400), 1_700_000_400_000);
        assert_eq!(at(301, 301), 0);
        clock.heard_at(after(301), 5);
        assert_eq!(at(301, 302), 1005);
    }
}
