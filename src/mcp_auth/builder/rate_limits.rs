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
    /// `ConnectInfo` extension), never from a header that callers can write. Whoever has one IPv6
    /// address has a whole network of them, so take no more than its first 64 bits.
    ///
    /// ```
    /// use std::net::{IpAddr, Ipv6Addr, SocketAddr};
    ///
    /// fn caller(peer: &SocketAddr) -> IpAddr {
    ///     match peer.ip().to_canonical() {
    ///         IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    ///         ip => ip,
    ///     }
    /// }
    /// # let peer: SocketAddr = "[2001:db8:1:2:3:4:5:6]:7".parse().unwrap();
    /// # assert_eq!(caller(&peer).to_string(), "2001:db8:1:2::");
    /// # fn with(builder: tower_mcp_auth::McpAuthBuilder) -> tower_mcp_auth::McpAuthBuilder {
    /// builder.client_key(|request| Some(caller(request.extensions.get()?).to_string()))
    /// # }
    /// ```
    pub fn client_key<F>(mut self, key: F) -> Self
    where
        F: Fn(&http::request::Parts) -> Option<String> + Send + Sync + 'static,
    {
        self.client_key = Some(Arc::new(key));
        self
    }
}
