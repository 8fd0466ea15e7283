//! Settings of the device grant (RFC 8628).

use std::time::Duration;

use super::McpAuthBuilder;
use crate::error::ConfigError;

/// How long a device waits for its user.
pub(super) const DEFAULT_TTL: Duration = Duration::from_secs(600);
/// How many devices may wait at once: more than one caller may begin in their lifetime. The more
/// wait, the likelier a guess meets one of them: one in 250,000, and guesses are few.
pub(super) const MAX_PENDING: u64 = 100_000;
/// RFC 8628 §3.2 gives half an hour as its example; longer only helps who guesses or deceives.
const MAX_TTL: Duration = Duration::from_secs(1800);

impl McpAuthBuilder {
    /// How long a device waits for its user to type the code it shows: 600 s by default, at most
    /// 1800 s.
    pub fn device_code_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.device_code = ttl;
        self
    }

    /// How many devices may wait for their users at once: 100,000 by default. More are refused with
    /// 429.
    pub fn max_pending_devices(mut self, max: u64) -> Self {
        self.limits.devices = max;
        self
    }
}

pub(super) fn check_ttl(ttl: Duration) -> Result<(), ConfigError> {
    if (Duration::from_secs(1)..=MAX_TTL).contains(&ttl) {
        Ok(())
    } else {
        Err(ConfigError::OutOfRange {
            name: "device_code_ttl",
            why: "1 to 1800 s: a short code is safe for a short time only",
        })
    }
}
