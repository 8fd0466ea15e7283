//! The registration endpoint (RFC 7591 §3).

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde::Serialize;

use super::{
    AuthorizationServer, Endpoint, request,
    response::{self, EndpointResponse},
};
use crate::{
    client::{
        metadata::{ClientAuthMethod, ClientMetadata},
        registration::{self, RegistrationError},
    },
    event::Event,
    id::ClientId,
    secret::{self, Token},
    store::{CreateClient, record::ClientRecord},
};

/// RFC 7591 §3.2.1.
#[derive(Serialize)]
struct RegistrationResponse<'a> {
    client_id: &'a str,
    client_id_issued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(flatten)]
    metadata: &'a ClientMetadata,
}

impl AuthorizationServer {
    pub(super) async fn register(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        if let Some(response) = self.limited(Endpoint::Register, None, parts) {
            return response;
        }
        if !request::is_json(parts) {
            return self.refuse_registration(&RegistrationError {
                code: "invalid_client_metadata",
                description: "the body must be of type application/json".to_owned(),
            });
        }
        let metadata = match registration::parse(body, &self.catalog.supported()) {
            Ok(metadata) => metadata,
            Err(error) => return self.refuse_registration(&error),
        };
        // A client with a secret is one of its kind; one without is whoever sends this metadata.
        let secret = (metadata.token_endpoint_auth_method != ClientAuthMethod::None)
            .then(Token::<secret::Client>::random);
        let id = match &secret {
            None => registration::content_id(&metadata),
            Some(_) => format!("mcp_{}", *secret::random_handle()),
        };
        let Ok(id) = ClientId::new(id) else {
            return response::unavailable();
        };
        let now = self.now();
        let record = ClientRecord {
            id,
            secret: secret.as_ref().map(Token::digest),
            secret_expires_at: None,
            metadata,
            issued_at: now,
            expires_at: now.plus(self.lifetimes.unused_client),
            management: None,
        };
        let created = self
            .store
            .create_client(record.clone(), self.limits.clients, now)
            .await;
        let (record, is_new) = match created {
            Ok(CreateClient::Created) => (record, true),
            Ok(CreateClient::Exists(known)) => (known, false),
            Ok(CreateClient::Full) => {
                let mut response = response::error(
                    StatusCode::TOO_MANY_REQUESTS,
                    "temporarily_unavailable",
                    "no more clients can be registered now",
                );
                response::retry_later(&mut response);
                return response;
            }
            Err(error) => {
                self.store_failed(&error);
                return response::unavailable();
            }
        };
        self.emit(&Event::ClientRegistered {
            client_id: &record.id,
            is_new,
        });
        response::json(
            StatusCode::CREATED,
            &RegistrationResponse {
                client_id: record.id.as_str(),
                client_id_issued_at: record.issued_at.as_secs(),
                client_secret: secret.as_ref().map(Token::reveal),
                // Zero means never (RFC 7591 §3.2.1).
                client_secret_expires_at: secret.is_some().then_some(0),
                metadata: &record.metadata,
            },
        )
    }

    fn refuse_registration(&self, error: &RegistrationError) -> EndpointResponse {
        self.emit(&Event::EndpointRefused {
            endpoint: Endpoint::Register,
            client_id: None,
            error: error.code,
            reason: error.code,
        });
        response::error(StatusCode::BAD_REQUEST, error.code, &error.description)
    }
}
