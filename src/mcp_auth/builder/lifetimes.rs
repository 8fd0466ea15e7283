//! How long things last.

use std::time::Duration;

use super::{McpAuthBuilder, device};
use crate::{error::ConfigError, grant::issue::Lifetimes};

/// A code lives minutes (RFC 6749 §4.1.2 recommends at most ten).
const MAX_CODE_TTL: Duration = Duration::from_secs(600);
/// Long enough for any lost response, short enough that a thief gains little.
const MAX_GRACE: Duration = Duration::from_secs(300);

impl McpAuthBuilder {
    /// How long an authorization code lives: 600 s by default, and at most (RFC 6749 §4.1.2).
    pub fn code_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.code = ttl;
        self
    }

    /// How long an access token lives: 3600 s by default. Clients are told ten seconds less (of less
    /// than 100 s nine tenths), so that those who use a token to the very last second are not refused.
    pub fn access_token_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.access_token = ttl;
        self
    }

    /// How long a refresh token lives, counted anew at each refresh: a week by default.
    pub fn refresh_token_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.refresh_token = ttl;
        self
    }

    /// How long after its first use a refresh token is still answered, always with the same
    /// successor: 30 s by default, at most 300 s. Zero makes every repeat a theft. Several
    /// machines' clocks have to differ by less. For as long a device hears its tokens once more, until
    /// it uses the refresh token that is among them.
    pub fn refresh_grace(mut self, grace: Duration) -> Self {
        self.lifetimes.refresh_grace = grace;
        self
    }
}

pub(super) fn check(lifetimes: &Lifetimes) -> Result<(), ConfigError> {
    let second = Duration::from_secs(1);
    let out_of_range = |name, why| Err(ConfigError::OutOfRange { name, why });
    if !(second..=MAX_CODE_TTL).contains(&lifetimes.code) {
        return out_of_range("code_ttl", "1 to 600 s (RFC 6749 §4.1.2)");
    }
    device::check_ttl(lifetimes.device_code)?;
    if lifetimes.access_token < second {
        return out_of_range("access_token_ttl", "at least 1 s");
    }
    if lifetimes.refresh_token < second {
        return out_of_range("refresh_token_ttl", "at least 1 s");
    }
    if lifetimes.refresh_grace > MAX_GRACE {
        return out_of_range(
            "refresh_grace",
            "0 to 300 s: a stolen token is not noticed within it",
        );
    }
    Ok(())
}
