//! Where the answer to an authorization goes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::redirect;

/// Where an authorization's answer goes, as a consent remembers it: the redirect URI letter for
/// letter, on a loopback host without its port, which may be another one every time (RFC 8252
/// §7.3).
///
/// ```
/// use tower_mcp_auth::Destination;
///
/// let at = |uri| Destination::of(uri);
/// assert_eq!(at("http://127.0.0.1:5123/cb"), at("http://127.0.0.1:6001/cb"));
/// assert_ne!(at("https://a.example/cb"), at("https://a.example:8443/cb"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Destination(String);

impl Destination {
    /// The destination that `redirect_uri` is.
    #[must_use]
    pub fn of(redirect_uri: &str) -> Self {
        Self(redirect::without_free_port(redirect_uri))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_every_time_is_left_out() {
        for (uri, destination) in [
            ("http://127.0.0.1:5123/cb?x=1", "http://127.0.0.1/cb?x=1"),
            ("http://localhost/cb", "http://localhost/cb"),
            ("https://localhost:8443/cb", "https://localhost:8443/cb"),
            ("https://a.example:8443/cb", "https://a.example:8443/cb"),
            ("cursor://a:1/cb", "cursor://a:1/cb"),
        ] {
            assert_eq!(Destination::of(uri).as_str(), destination);
            assert_eq!(Destination::of(uri).to_string(), destination);
        }
    }
}
