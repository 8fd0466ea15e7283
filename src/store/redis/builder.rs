//! Settings.

use std::{fmt, time::Duration};

use ::redis::{ErrorKind, RedisError};

use super::{
    RedisStore,
    keys::Keys,
    link::{self, Link},
};
use crate::store::StoreError;

/// How a [`RedisStore`] connects.
#[must_use]
pub struct RedisStoreBuilder {
    urls: Vec<String>,
    prefix: String,
    deadline: Duration,
}

impl RedisStoreBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            urls: vec![url],
            prefix: "mcp-auth".to_owned(),
            deadline: Duration::from_secs(3),
        }
    }

    /// What the keys of this deployment start with, in braces; `mcp-auth` unless told. Deployments
    /// that share a server or a cluster have one each.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// One more node of the cluster to ask at start, and to listen to for revocations, should others
    /// be down. Which nodes there are is found out by asking one.
    pub fn node(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// How long the server may take to answer; 3 seconds unless told.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// As for [`RedisStore::connect`], and when the prefix is empty, longer than 64 bytes, or has
    /// anything but letters, digits, `-`, `_`, `.` and `:` in it.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.bytes().all(is_plain) {
            let wrong = (ErrorKind::InvalidClientConfig, "not a prefix for keys");
            return Err(StoreError::unavailable(RedisError::from(wrong)));
        }
        let nodes = link::nodes(&self.urls, self.deadline)?;
        let link = Link::connect(&nodes, self.deadline).await?;
        RedisStore::open(link, Keys::of(&self.prefix), nodes).await
    }
}

// A URL may have a password in it.
impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("urls", &self.urls.len())
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .finish()
    }
}
