//! Settings.

use std::fmt;

use sqlx::postgres::PgConnectOptions;

use super::open;
use crate::store::StoreError;

/// How a [`PostgresStore`](super::PostgresStore) runs.
#[derive(Clone, Default)]
#[must_use]
pub struct PostgresOptions {
    pub(super) max_connections: Option<u32>,
    direct_url: Option<String>,
}

impl PostgresOptions {
    /// How many connections are open at most, where the store opens its own; ten unless told.
    pub fn max_connections(mut self, most: u32) -> Self {
        self.max_connections = Some(most);
        self
    }

    /// A URL by which the server itself is reached, where a pooler such as pgbouncer is in between
    /// otherwise. Two connections are opened there, to hear what other machines revoke: a pooler
    /// that hands out a session per transaction would swallow it. Without them the store works all
    /// the same, but each request asks it about its token.
    pub fn direct_url(mut self, url: impl Into<String>) -> Self {
        self.direct_url = Some(url.into());
        self
    }

    /// How the server itself is reached.
    pub(super) fn direct(&self, pooled: &PgConnectOptions) -> Result<PgConnectOptions, StoreError> {
        match &self.direct_url {
            Some(url) => open::parse(url),
            None => Ok(pooled.clone()),
        }
    }
}

// The URL has a password in it.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("max_connections", &self.max_connections)
            .field("direct_url", &self.direct_url.as_ref().map(|_| ".."))
            .finish()
    }
}
