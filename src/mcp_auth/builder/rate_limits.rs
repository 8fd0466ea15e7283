//! How often one caller may ask.

use std::sync::Arc;

use super::McpAuthBuilder;
use crate::authorization_server::RateLimits;

impl McpAuthBuilder {
    /// How often one caller may register, authorize and ask for tokens.
    pub fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.rate_limits = Some(limits);
        self
    }

    /// Lets everyone ask as often as they like: for load tests, and behind something that limits
    /// already. Otherwise secrets of configured clients can be guessed at full speed.
    pub fn danger_no_rate_limits(mut self) -> Self {
        self.rate_limits = None;
        self
    }

    /// What tells the callers of one client apart: usually the peer's address, which a tower
    /// service does not know by itself. Take it from where your server puts it (such as axum's
    /// `ConnectInfo` extension), never from a header that callers can write.
    pub fn client_key<F>(mut self, key: F) -> Self
    where
        F: Fn(&http::request::Parts) -> Option<String> + Send + Sync + 'static,
    {
        self.client_key = Some(Arc::new(key));
        self
    }
}
