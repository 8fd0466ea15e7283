//! Who the clients are, who may become one, and how they authenticate.

use std::{sync::Arc, time::Duration};

use super::McpAuthBuilder;
#[cfg(any(feature = "cimd", feature = "jwt"))]
use crate::fetch::Fetcher;
use crate::{
    client::{StaticClient, policy::RegistrationPolicy},
    secret::Digest,
};

impl McpAuthBuilder {
    /// A client that is known without registering.
    pub fn client(mut self, client: StaticClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Who may register, besides everyone whose metadata is in order.
    pub fn registration_policy(mut self, policy: impl RegistrationPolicy) -> Self {
        self.registration.policy = Some(Arc::new(policy));
        self
    }

    /// A token that a client has to bring to register (RFC 7591 §1.2); may be given several times.
    /// Only its digest is kept.
    pub fn initial_access_token(mut self, token: &str) -> Self {
        self.registration.initial_tokens.push(Digest::of(token));
        self
    }

    /// Whether clients with a secret may read, change and delete their registration (RFC 7592):
    /// not by default. Public clients get no such credentials: whoever sends the same metadata is
    /// the same client.
    pub fn registration_management(mut self, on: bool) -> Self {
        self.registration.management = on;
        self
    }

    /// How long the secret of a registered client is accepted: for ever by default.
    pub fn client_secret_ttl(mut self, ttl: Duration) -> Self {
        self.registration.secret_ttl = Some(ttl);
        self
    }

    /// How many clients may be registered at once: 100,000 by default. More are refused with 429.
    pub fn max_clients(mut self, max: u64) -> Self {
        self.limits.clients = max;
        self
    }

    /// What fetches the metadata documents and keys of clients.
    #[cfg(any(feature = "cimd", feature = "jwt"))]
    pub fn fetcher(mut self, fetcher: Fetcher) -> Self {
        self.fetcher = Some(fetcher);
        self
    }

    /// Which hosts may describe clients by a metadata document: all of them by default, whatever a
    /// registration takes, since these clients never register. The host comes in lower case and
    /// without a dot at its end. Who may ask is still the user's decision, on a page that names the
    /// host.
    #[cfg(feature = "cimd")]
    pub fn trust_client_hosts<F>(mut self, trusts: F) -> Self
    where
        F: Fn(&str) -> bool + Send + Sync + 'static,
    {
        self.trusts_client_host = Some(Arc::new(trusts));
        self
    }

    /// Also takes client assertions that are addressed to the token endpoint, as older software
    /// signs them. An assertion for one server can then be used at another that shares the
    /// endpoint's address, which is why new specifications forbid it.
    #[cfg(feature = "jwt")]
    pub fn danger_accept_endpoint_audience(mut self) -> Self {
        self.accepts_endpoint_audience = true;
        self
    }

    /// Takes a client's secret only the way the client registered for: in the `Authorization`
    /// header for `client_secret_basic`, in the body for `client_secret_post`. Not by default,
    /// since real clients mix the two up and a secret proves the same either way. Clients that are
    /// configured with a secret count as registered for `client_secret_basic`.
    pub fn require_registered_auth_method(mut self) -> Self {
        self.requires_registered_method = true;
        self
    }
}
