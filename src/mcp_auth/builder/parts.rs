//! What the application brings along.

use std::sync::Arc;

use super::McpAuthBuilder;
use crate::{
    authenticator::Authenticator,
    authorization_server::Pages,
    clock::Clock,
    event::{Events, Observer},
    resource_server::{StaleFeed, TokenCache},
    store::Store,
};

impl McpAuthBuilder {
    /// Who knows which user is signed in.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Where everything is kept.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// How verified tokens are remembered.
    pub fn cache(mut self, cache: TokenCache) -> Self {
        self.cache = cache;
        self
    }

    /// What becomes of requests while it is not heard what other machines revoke, where the store
    /// is shared with any: it is asked about each token, unless set.
    pub fn on_stale_feed(mut self, policy: StaleFeed) -> Self {
        self.when_stale = policy;
        self
    }

    /// The pages that people see.
    pub fn pages(mut self, pages: impl Pages) -> Self {
        self.pages = Some(Arc::new(pages));
        self
    }

    /// What time it is: the system's clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Who sees every event, in place of the log lines of the feature `tracing`.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.events = Events::to(Arc::new(observer));
        self
    }
}
