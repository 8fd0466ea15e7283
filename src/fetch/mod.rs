//! Everything that leaves the process: documents of clients, keys and metadata of issuers,
//! introspection.
//!
//! One request, one answer, within bounds of time and size; only to public addresses; no redirects,
//! no cookies, no credentials but those that the caller passes.

mod address;
mod cache;
mod connect;
mod fetcher;
mod policy;
mod sites;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

pub use self::fetcher::{Fetcher, FetcherBuilder};
pub(crate) use self::{
    cache::{CacheSettings, FetchCache},
    connect::BoxFuture,
    policy::{CachePolicy, Lifetimes},
};

/// What one exchange may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest body that is read.
    pub(crate) max_bytes: usize,
    /// From the first lookup to the last byte. As long again may pass in line before.
    pub(crate) deadline: Duration,
}

/// An answer: 200, JSON by its own account, within the limits.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) body: Bytes,
    pub(crate) cache: CachePolicy,
}

/// Why there is no answer. Holds nothing of what was sent or received, so it may be logged and
/// shown to whoever asked for the fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FetchError {
    /// The URL is not one that is fetched.
    #[error("the address cannot be fetched: {0}")]
    Url(&'static str),
    /// Its host leads to an address that must not be connected to.
    #[error("its host leads to an address that must not be connected to")]
    ForbiddenAddress,
    /// There is no such host.
    #[error("its host cannot be found")]
    UnknownHost,
    /// No connection, no TLS with a certificate that is trusted, or no HTTP.
    #[error("its host cannot be talked to")]
    Connection,
    /// It answered with a redirect: those are not followed.
    #[error("it answered with a redirect ({0})")]
    Redirect(u16),
    /// It answered with anything but 200.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It did not answer with JSON, by its own account.
    #[error("its answer is no JSON document")]
    ContentType,
    /// The body is longer than allowed.
    #[error("its answer is too large")]
    TooLarge,
    /// It took too long.
    #[error("it did not answer in time")]
    Deadline,
    /// It answered, but not with what was wanted.
    #[error("its answer cannot be used: {0}")]
    Content(&'static str),
}

impl FetchError {
    /// Whether there may be an answer a moment later. What stands in front of a site turns visitors
    /// away in all kinds of ways.
    #[cfg(feature = "cimd")]
    pub(crate) const fn is_outage(self) -> bool {
        matches!(
            self,
            Self::UnknownHost | Self::Connection | Self::Deadline | Self::Status(_)
        ) && !self.is_withdrawal()
    }

    /// Whether the other side says that there is nothing (any more).
    const fn is_withdrawal(self) -> bool {
        matches!(self, Self::Status(404 | 410))
    }
}

/// A client's own credentials for `Authorization: Basic`, form-encoded as RFC 6749 §2.3.1 wants.
pub(crate) struct BasicCredentials<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: &'a str,
}

/// What an exchange comes to.
pub(crate) type FetchResult = Result<Fetched, FetchError>;

/// One exchange with somebody else's server; [`Fetcher`], or something else in a test.
pub(crate) trait Fetch: Send + Sync + 'static {
    fn get(&self, url: &str, limits: Limits) -> BoxFuture<'static, FetchResult>;

    /// `application/x-www-form-urlencoded`, already encoded.
    fn post_form(
        &self,
        url: &str,
        credentials: Option<BasicCredentials<'_>>,
        form: String,
        limits: Limits,
    ) -> BoxFuture<'static, FetchResult>;
}
