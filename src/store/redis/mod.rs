//! The store for many machines: [Redis](https://redis.io) from 6.2 on, [Valkey](https://valkey.io),
//! and clusters of either.

mod asking;
mod builder;
mod call;
mod devices;
mod error;
mod feed;
mod keys;
mod link;
mod persistence;
mod revoke;
mod rows;
mod scripts;
mod store;
mod upkeep;

use std::fmt;

use ::redis::ConnectionInfo;

use self::{call::Call, feed::Listener, keys::Keys, link::Link, scripts::Script};
use super::StoreError;
use crate::clock::Timestamp;

pub use self::builder::RedisStoreBuilder;

/// The version of the layout that this crate writes.
const SCHEMA: u32 = 1;
/// How many records a single script touches where there may be many: others get their turn in
/// between.
const CHUNK: usize = 256;

/// A [`Store`](super::Store) in Redis or Valkey, on one server or a cluster, for any number of
/// processes at once.
///
/// ```no_run
/// # async fn example() -> Result<(), tower_mcp_auth::StoreError> {
/// use tower_mcp_auth::RedisStore;
///
/// let store = RedisStore::connect("redis://:password@127.0.0.1:6379").await?;
/// # Ok(())
/// # }
/// ```
///
/// Every operation is one script, so one round trip. Time is what the caller says; Redis' own clock
/// decides nothing, and only removes, a day late, what nobody swept.
///
/// # What survives
///
/// **What was acknowledged is as safe as the server keeps it**, and that is for its operator to
/// say: with `appendonly yes` and `appendfsync always` it survives a power cut, as with the other
/// stores; with Redis' own defaults it does not. [`connect`](Self::connect) writes a warning where
/// the server says that it keeps too little, or that it may evict keys. `docs/redis.md` has the
/// settings, what they cost, and what a failover can lose.
///
/// # Clusters
///
/// All keys of a deployment have one hash tag, `{mcp-auth}` unless
/// [`prefix`](RedisStoreBuilder::prefix) says otherwise, so they are all on one node: a code, its
/// grant, tokens and consent change together or not at all, and a cluster promises that for keys
/// of one tag only. So a cluster lets one deployment survive a node, and many deployments share
/// the nodes; it does not spread one over several.
///
/// # Failures
///
/// A server that cannot be reached or does not answer is an error within the
/// [deadline](RedisStoreBuilder::deadline), and the connection is made anew in the background. An
/// operation whose answer was lost is an error too: it is never sent a second time, since a code
/// that is redeemed twice is revoked.
pub struct RedisStore {
    link: Link,
    keys: Keys,
    listener: Listener,
}

impl RedisStore {
    /// Connects to a server (`redis://`, `rediss://` with TLS, `redis+unix://`), or by one of its
    /// nodes to a cluster.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StoreError::Unavailable) when there is no server, or one that does not let
    /// us in, [`NewerSchema`](StoreError::NewerSchema) when a newer version of this crate wrote
    /// what is there.
    pub async fn connect(url: impl Into<String>) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// As [`connect`](Self::connect), with other settings than the usual ones.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url.into())
    }

    async fn open(link: Link, keys: Keys, nodes: Vec<ConnectionInfo>) -> Result<Self, StoreError> {
        let store = Self {
            link,
            keys,
            listener: Listener::new(nodes),
        };
        let call = store.ask(&scripts::OPEN).key(store.keys.schema());
        let found: u32 = store.link.call(&call.number(SCHEMA.into())).await?;
        if found > SCHEMA {
            return Err(StoreError::NewerSchema {
                found,
                supported: SCHEMA,
            });
        }
        persistence::check(&store.link, &store.keys).await;
        Ok(store)
    }

    /// A call that needs no time.
    fn ask<'a>(&'a self, script: &'a Script) -> Call<'a> {
        Call::new(script, &self.keys, None)
    }

    fn ask_at<'a>(&'a self, script: &'a Script, now: Timestamp) -> Call<'a> {
        Call::new(script, &self.keys, Some(now))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.keys.prefix())
            .field("link", &self.link)
            .finish()
    }
}
