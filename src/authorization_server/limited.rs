//! What becomes of who asks too often.

#[cfg(feature = "rate-limit")]
use std::time::Duration;

use http::request::Parts;

use super::{AuthorizationServer, Endpoint, response::EndpointResponse};
#[cfg(feature = "rate-limit")]
use super::{RateLimiter, response};
#[cfg(feature = "rate-limit")]
use crate::grant::{ErrorCode, Refusal};
use crate::id::{ClientId, Subject};

/// Each gives the answer to who has to wait, `None` to everyone else.
#[cfg(feature = "rate-limit")]
impl AuthorizationServer {
    /// For a request at `endpoint`, which counts.
    pub(super) fn limited(
        &self,
        endpoint: Endpoint,
        client_id: Option<&str>,
        parts: &Parts,
    ) -> Option<EndpointResponse> {
        self.held_back(endpoint, client_id, |limiter| {
            limiter.check(endpoint, client_id, parts)
        })
    }

    /// For a client of which only failures are [counted](Self::count_wrong).
    pub(super) fn wrong_too_often(
        &self,
        endpoint: Endpoint,
        client_id: &str,
        parts: &Parts,
    ) -> Option<EndpointResponse> {
        self.held_back(endpoint, Some(client_id), |limiter| {
            limiter.check_wrong(client_id, parts)
        })
    }

    /// Counts what was no right way to authenticate.
    pub(super) fn count_wrong(&self, endpoint: Endpoint, client_id: &str, parts: &Parts) {
        if let Some(limiter) = &self.rate_limiter {
            limiter.count_wrong(endpoint, client_id, parts);
        }
    }

    /// For who is about to have something of a client fetched: its description, or its keys.
    #[cfg(any(feature = "cimd", feature = "jwt"))]
    pub(super) fn fetch_limited(
        &self,
        endpoint: Endpoint,
        client_id: &ClientId,
        parts: &Parts,
    ) -> Option<EndpointResponse> {
        self.held_back(endpoint, Some(client_id.as_str()), |limiter| {
            limiter.check_fetch(endpoint, parts)
        })
    }

    /// For a user who is about to get a code.
    pub(super) fn user_limited(
        &self,
        client_id: &ClientId,
        user: &Subject,
        parts: &Parts,
    ) -> Option<EndpointResponse> {
        self.held_back(Endpoint::Authorize, Some(client_id.as_str()), |limiter| {
            limiter.check_user(user, parts)
        })
    }

    fn held_back(
        &self,
        endpoint: Endpoint,
        client_id: Option<&str>,
        check: impl FnOnce(&RateLimiter) -> Result<(), Duration>,
    ) -> Option<EndpointResponse> {
        let wait = check(self.rate_limiter.as_ref()?).err()?;
        self.refused(endpoint, self.nameable(client_id), &RATE_LIMITED);
        Some(response::too_many_requests(&RATE_LIMITED, wait))
    }
}

/// Nobody has to wait.
#[cfg(not(feature = "rate-limit"))]
#[expect(clippy::unused_self, reason = "the others look at what is counted")]
impl AuthorizationServer {
    pub(super) const fn limited(
        &self,
        _: Endpoint,
        _: Option<&str>,
        _: &Parts,
    ) -> Option<EndpointResponse> {
        None
    }

    pub(super) const fn wrong_too_often(
        &self,
        _: Endpoint,
        _: &str,
        _: &Parts,
    ) -> Option<EndpointResponse> {
        None
    }

    pub(super) const fn count_wrong(&self, _: Endpoint, _: &str, _: &Parts) {}

    #[cfg(any(feature = "cimd", feature = "jwt"))]
    pub(super) const fn fetch_limited(
        &self,
        _: Endpoint,
        _: &ClientId,
        _: &Parts,
    ) -> Option<EndpointResponse> {
        None
    }

    pub(super) const fn user_limited(
        &self,
        _: &ClientId,
        _: &Subject,
        _: &Parts,
    ) -> Option<EndpointResponse> {
        None
    }
}

#[cfg(feature = "rate-limit")]
const RATE_LIMITED: Refusal = Refusal::new(
    ErrorCode::TemporarilyUnavailable,
    "rate_limited",
    "too many requests; wait as long as Retry-After says",
);
