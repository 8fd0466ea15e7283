//! The store for many machines: PostgreSQL.

mod call;
mod columns;
mod failure;
mod listen;
mod migrate;
mod open;
mod options;
mod outcomes;
mod revoke;
mod rows;
mod store;
mod tokens;
mod transfer;

use std::{fmt, sync::Arc};

use sqlx::{Connection, PgPool, postgres::PgConnectOptions};

use self::{call::Calls, listen::Listening};
use super::StoreError;

pub use self::options::PostgresOptions;

/// A [`Store`](super::Store) in a PostgreSQL database, for any number of processes and machines at
/// once.
///
/// Its tables and functions are in a schema of their own, `tower_mcp_auth`, which is created and
/// brought up to date when the store is opened. Each operation is one statement and so one round
/// trip and one transaction; no prepared statement and nothing else is left in a session, so a
/// pooler that hands out a session per transaction (pgbouncer, say) may be in between. The
/// database's clock is never asked.
///
/// What it acknowledges is as durable as the server makes a commit: `synchronous_commit` and
/// `fsync` must not be `off`, which is their default; opening the store warns otherwise.
///
/// When a connection is lost in the middle of a change nobody knows whether it came about: that is
/// an [`Unavailable`](StoreError::Unavailable), never an outcome.
#[derive(Clone)]
pub struct PostgresStore {
    calls: Calls,
    listening: Arc<Listening>,
    address: String,
}

impl PostgresStore {
    /// Connects to the database of a URL such as `postgres://user:password@host:5432/name`, with a
    /// pool of its own. Of what the URL may say beside that, see sqlx's `PgConnectOptions`.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`](StoreError::InvalidUrl) when it is none,
    /// [`Unreachable`](StoreError::Unreachable) when nobody answers or the server refuses,
    /// [`Unsuitable`](StoreError::Unsuitable) when the database is set up in a way that will not do,
    /// [`NewerSchema`](StoreError::NewerSchema) when a newer version of this crate uses it.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_with(url, PostgresOptions::default()).await
    }

    /// As [`connect`](Self::connect), with other settings than the usual ones.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn connect_with(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        let connect = open::parse(url)?;
        let direct = options.direct(&connect)?;
        let mut connection = open::connect(&connect).await?;
        open::prepare(&mut connection, &connect).await?;
        // It did what it was opened for.
        let _ = connection.close().await;
        Ok(Self::opened(open::pool(connect, &options), direct))
    }

    /// Uses a pool that is there already.
    ///
    /// sqlx tries each connection before it hands it out, which doubles the round trips; with
    /// `test_before_acquire(false)` it does not. Where pgbouncer is in between, connect with
    /// `extra_float_digits(None)`.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn new(pool: PgPool) -> Result<Self, StoreError> {
        Self::with_options(pool, PostgresOptions::default()).await
    }

    /// As [`new`](Self::new), with other settings than the usual ones.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn with_options(pool: PgPool, options: PostgresOptions) -> Result<Self, StoreError> {
        let connect = pool.connect_options();
        let direct = options.direct(&connect)?;
        let acquired = pool.acquire().await;
        let mut connection = acquired.map_err(|error| open::unreachable(&connect, error))?;
        open::prepare(&mut connection, &connect).await?;
        drop(connection);
        Ok(Self::opened(pool, direct))
    }

    fn opened(pool: PgPool, direct: PgConnectOptions) -> Self {
        Self {
            address: open::address(&pool.connect_options()),
            calls: Calls::new(pool),
            listening: Arc::new(Listening::new(direct)),
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("address", &self.address)
            .field("feed", &self.listening)
            .finish_non_exhaustive()
    }
}
