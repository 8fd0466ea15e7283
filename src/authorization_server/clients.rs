//! Who a `client_id` means: a client that was configured, one that registered, or one whose id is
//! the address of its own description.

use std::time::Duration;

use http::request;

use super::{AuthorizationServer, Endpoint, par, response::EndpointResponse};
use crate::{
    client::{Client, metadata::ClientMetadata, registration::is_given_id},
    grant::{Refusal, issue::Lifetimes},
    id::ClientId,
    secret::looks_secret,
    store::{RevokeTarget, StoreError},
    uri::Parts,
};

/// Why there is no client.
#[derive(Debug)]
pub(super) enum NoClient {
    /// There is none of that id.
    Unknown,
    /// Its description cannot be had or used; the words are for its author.
    #[cfg_attr(
        not(feature = "cimd"),
        expect(dead_code, reason = "only documents are refused")
    )]
    Refused(Refusal),
    /// Its description would have to be fetched, and this caller had enough of that.
    #[cfg_attr(
        not(feature = "cimd"),
        expect(dead_code, reason = "only documents are fetched")
    )]
    Limited(EndpointResponse),
    /// Nobody can say now.
    Store(StoreError),
}

impl From<StoreError> for NoClient {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl AuthorizationServer {
    /// What a request calls its client, where that may be written down: a client that is configured,
    /// or what has the form of an id that is given here or of a document's address. Anything else
    /// may be a secret that was sent in the wrong parameter.
    pub(super) fn nameable<'a>(&self, id: Option<&'a str>) -> Option<&'a str> {
        id.filter(|text| {
            ClientId::new(text).is_ok_and(|id| {
                is_given_id(text) || is_plain_address(text) || self.clients.get(&id).is_some()
            })
        })
    }

    /// The client of that id, wherever it is known from. What is fetched for that is counted as the
    /// caller's, whose request at `endpoint` this is.
    pub(super) async fn client(
        &self,
        id: &str,
        endpoint: Endpoint,
        request: &request::Parts,
    ) -> Result<Client, NoClient> {
        let id = ClientId::new(id).map_err(|_| NoClient::Unknown)?;
        if let Some(client) = self.clients.get(&id) {
            return Ok(client.clone());
        }
        #[cfg(feature = "cimd")]
        if crate::client::document::is_document_url(id.as_str()) {
            return self.documented_client(id, endpoint, request).await;
        }
        #[cfg(not(feature = "cimd"))]
        let _ = (endpoint, request);
        let now = self.now();
        let ends = now.plus(self.takes(endpoint));
        let record = self.store.client(id, now).await?;
        // A client that would be forgotten before then had better register again before it begins.
        let record = record.filter(|record| ends < record.expires_at);
        record.map(Client::from).ok_or(NoClient::Unknown)
    }

    /// How long what begins at an endpoint may take until its client is in use, and so remembered for
    /// longer.
    fn takes(&self, endpoint: Endpoint) -> Duration {
        let Lifetimes {
            pending,
            device_code,
            ..
        } = self.lifetimes;
        match endpoint {
            Endpoint::Authorize => pending,
            Endpoint::PushedAuthorization => pending + par::LIFETIME,
            Endpoint::DeviceAuthorization => device_code,
            _ => Duration::ZERO,
        }
    }

    /// The client of what waits for its user, of which that was `remembered` when it asked: where
    /// nothing was, it is nobody who describes itself.
    pub(super) async fn client_then(
        &self,
        id: &ClientId,
        remembered: Option<&ClientMetadata>,
        endpoint: Endpoint,
        request: &request::Parts,
    ) -> Result<Client, NoClient> {
        match remembered {
            Some(metadata) => Ok(Client::from_snapshot(id, metadata)),
            None => self.client(id.as_str(), endpoint, request).await,
        }
    }

    /// Whether a client that registered is there no more, now that something was granted for it.
    /// Whoever deletes a client forgets what it has at that moment; what came after is forgotten
    /// here. Where the store cannot say, the grant stands: a client that is not there gets nothing
    /// more by it.
    pub(super) async fn was_deleted(&self, client: &Client) -> bool {
        if client.expires_at.is_none() {
            return false;
        }
        let is_gone = async {
            let found = self.store.client(client.id.clone(), self.now()).await?;
            if found.is_some() {
                return Ok(false);
            }
            self.revoke(RevokeTarget::Client(client.id.clone())).await?;
            Ok(true)
        };
        is_gone.await.unwrap_or_else(|error| {
            self.store_failed(&error);
            false
        })
    }
}

/// An address such as documents have, without anything in it that could be a key to something.
fn is_plain_address(id: &str) -> bool {
    Parts::parse(id).is_some_and(|parts| {
        (parts.is_https() || (parts.is_http() && parts.is_loopback_host()))
            && parts.userinfo.is_none()
            && parts.query.is_none()
            && !parts.fragment
            && !parts.path.split('/').any(looks_secret)
    })
}
