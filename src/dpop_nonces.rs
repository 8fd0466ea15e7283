//! Nonces for proofs of a key (RFC 9449 §8 and §9).

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use subtle::{Choice, ConstantTimeEq};

use crate::{
    clock::Timestamp,
    secret::{SecretKey, base64url},
};

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// How long one nonce is handed out.
const PERIOD: Duration = Duration::from_secs(300);

/// What DPoP proofs have to contain where it is asked for: a nonce that this server has handed out
/// within the last minutes, so that nobody can sign proofs for later. Clients that come without one
/// are told the current one and try again by themselves; every answer to a proof brings it along.
///
/// Nothing is stored: a nonce is derived from a secret and the time, and is good for five to ten
/// minutes. Everything that answers below one origin has to share the secret.
///
/// ```
/// # fn nonces(builder: tower_mcp_auth::McpAuthBuilder) -> tower_mcp_auth::McpAuthBuilder {
/// use tower_mcp_auth::DpopNonces;
///
/// builder.dpop_nonces(DpopNonces::random())
/// # }
/// ```
#[derive(Clone)]
pub struct DpopNonces(SecretKey);

impl DpopNonces {
    /// For a server that is one process.
    #[must_use]
    pub fn random() -> Self {
        Self(SecretKey::random())
    }

    /// For a server that is several: each needs the same 32 random bytes.
    #[must_use]
    pub const fn from_secret(secret: [u8; 32]) -> Self {
        Self(SecretKey::new(secret))
    }

    /// Tells the client what its next proof has to contain.
    pub(crate) fn offer(&self, headers: &mut HeaderMap, now: Timestamp) {
        // base64url always fits into a header.
        if let Ok(nonce) = HeaderValue::try_from(self.of(period(now))) {
            headers.insert(DPOP_NONCE, nonce);
        }
    }

    /// Whether it was handed out lately, by clocks that are a little apart too.
    pub(crate) fn accept(&self, nonce: Option<&str>, now: Timestamp) -> bool {
        let nonce = nonce.unwrap_or_default().as_bytes();
        let now = period(now);
        let periods = now.saturating_sub(1)..=now.saturating_add(1);
        periods
            .map(|period| self.of(period).as_bytes().ct_eq(nonce))
            .fold(Choice::from(0), |any, equal| any | equal)
            .into()
    }

    fn of(&self, period: u64) -> String {
        base64url(&*self.0.derive(&[b"dpop nonce", &period.to_be_bytes()]))
    }
}

fn period(now: Timestamp) -> u64 {
    now.as_secs() / PERIOD.as_secs()
}

impl fmt::Debug for DpopNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DpopNonces(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(nonces: &DpopNonces, now: u64) -> String {
        let mut headers = HeaderMap::new();
        nonces.offer(&mut headers, Timestamp::from_secs(now));
        headers[DPOP_NONCE].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_nonce_is_good_until_the_end_of_the_period_after_its_own() {
        let nonces = DpopNonces::random();
        let nonce = offered(&nonces, 3000);
        assert_eq!(offered(&nonces, 3299), nonce);
        assert_ne!(offered(&nonces, 3300), nonce);
        let good = |at| nonces.accept(Some(&nonce), Timestamp::from_secs(at));
        assert!(good(3000) && good(3599), "handed out at 3000 to 3299");
        assert!(!good(3600));
        assert!(good(2700), "where the clock is behind");
        assert!(!good(2699));
    }

    #[test]
    fn only_who_knows_the_secret_makes_nonces() {
        let (one, same) = (
            DpopNonces::from_secret([7; 32]),
            DpopNonces::from_secret([7; 32]),
        );
        let now = Timestamp::from_secs(3000);
        assert!(same.accept(Some(&offered(&one, 3000)), now));
        assert!(!DpopNonces::random().accept(Some(&offered(&one, 3000)), now));
        for bad in [None, Some(""), Some("nonce")] {
            assert!(!one.accept(bad, now), "{bad:?}");
        }
        assert_eq!(format!("{one:?}"), "DpopNonces(..)");
    }
}
