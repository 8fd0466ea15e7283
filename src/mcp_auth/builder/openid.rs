//! Settings of what is signed and proven, and of signing out.

use std::{sync::Arc, time::Duration};

use super::McpAuthBuilder;
use crate::{dpop_nonces::DpopNonces, error::ConfigError, sign_out::SignOut};

/// A new key is published for an hour before it signs; shorter lives would leave no time to sign.
const MIN_ROTATION: Duration = Duration::from_secs(24 * 3600);

impl McpAuthBuilder {
    /// How long a key signs before a new one takes its place: 90 days by default, at least one
    /// day. Keys are made, published ahead and retired without anybody's help; what they signed
    /// stays good until it expires.
    pub fn signing_key_rotation(mut self, every: Duration) -> Self {
        self.key_rotation = every;
        self
    }

    /// DPoP proofs have to contain a nonce of ours (RFC 9449 §8 and §9), at the endpoints and at
    /// the resources alike. Not by default: proofs are fresh by the time in them, and good once.
    pub fn dpop_nonces(mut self, nonces: DpopNonces) -> Self {
        self.proofs.nonces = Some(nonces);
        self
    }

    /// How to end a session of the application. With it there is an end-session endpoint, where
    /// clients send their user to sign out (OpenID Connect RP-Initiated Logout 1.0); without it
    /// there is none.
    pub fn sign_out(mut self, sign_out: impl SignOut) -> Self {
        self.sign_out = Some(Arc::new(sign_out));
        self
    }
}

pub(super) fn check_rotation(every: Duration) -> Result<Duration, ConfigError> {
    if every < MIN_ROTATION {
        return Err(ConfigError::OutOfRange {
            name: "signing_key_rotation",
            why: "at least one day: whoever checks signatures keeps the keys for hours",
        });
    }
    Ok(every)
}
