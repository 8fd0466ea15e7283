//! Who a `client_id` means: a client that was configured, one that registered, or one whose id is
//! the address of its own description.

use super::AuthorizationServer;
use crate::{client::Client, grant::Refusal, id::ClientId, store::StoreError};

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
    /// Nobody can say now.
    Store(StoreError),
}

impl From<StoreError> for NoClient {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl AuthorizationServer {
    /// The client of that id, wherever it is known from.
    pub(super) async fn client(&self, id: &str) -> Result<Client, NoClient> {
        let id = ClientId::new(id).map_err(|_| NoClient::Unknown)?;
        if let Some(client) = self.clients.get(&id) {
            return Ok(client.clone());
        }
        #[cfg(feature = "cimd")]
        if crate::client::document::is_document_url(id.as_str()) {
            return self.documented_client(id).await;
        }
        let record = self.store.client(id, self.now()).await?;
        record.map(Client::from).ok_or(NoClient::Unknown)
    }
}
