//! The registration endpoint (RFC 7591 §3).

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::Serialize;

use super::{
    AuthorizationServer, Endpoint, request,
    response::{self, EndpointResponse},
};
use crate::{
    client::{
        metadata::ClientMetadata,
        policy::Registration,
        registration::{self, RegistrationError},
    },
    clock::Timestamp,
    event::Event,
    id::ClientId,
    resource_server::{Refusal, bearer},
    secret::{self, Digest, Token},
    store::{CreateClient, record::ClientRecord},
};

/// RFC 7591 §3.2.1.
#[derive(Serialize)]
pub(super) struct RegistrationResponse<'a> {
    client_id: &'a str,
    client_id_issued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_client_uri: Option<&'a str>,
    #[serde(flatten)]
    metadata: &'a ClientMetadata,
}

impl<'a> RegistrationResponse<'a> {
    /// All that the store knows; the secret itself is in no store.
    pub(super) fn of(record: &'a ClientRecord) -> Self {
        Self {
            client_id: record.id.as_str(),
            client_id_issued_at: record.issued_at.as_secs(),
            client_secret: None,
            // Zero means never (RFC 7591 §3.2.1).
            client_secret_expires_at: record
                .secret
                .is_some()
                .then(|| record.secret_expires_at.map_or(0, Timestamp::as_secs)),
            registration_access_token: None,
            registration_client_uri: None,
            metadata: &record.metadata,
        }
    }

    /// RFC 7592 §3.
    pub(super) fn managed(mut self, token: &'a str, uri: &'a str) -> Self {
        self.registration_access_token = Some(token);
        self.registration_client_uri = Some(uri);
        self
    }
}

impl AuthorizationServer {
    pub(super) async fn register(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        if let Some(response) = self.limited(Endpoint::Register, None, parts) {
            return response;
        }
        if let Some(response) = self.lacks_initial_token(parts) {
            return response;
        }
        if !request::is_json(parts) {
            return self.refuse_registration(&RegistrationError {
                code: "invalid_client_metadata",
                description: "the body must be of type application/json".to_owned(),
            });
        }
        let metadata = match registration::parse(body, &self.offer()) {
            Ok(metadata) => metadata,
            Err(error) => return self.refuse_registration(&error),
        };
        if let Some(response) = self.refused_by_policy(parts, &metadata).await {
            return response;
        }
        // A client with a secret is one of its kind; one without is whoever sends this metadata.
        let secret = metadata
            .token_endpoint_auth_method
            .takes_secret()
            .then(Token::<secret::Client>::random);
        let management = (self.registration.management && secret.is_some())
            .then(Token::<secret::Management>::random);
        let id = match &secret {
            None => registration::content_id(&metadata),
            Some(_) => registration::random_id(),
        };
        let Ok(id) = ClientId::new(id) else {
            return response::unavailable();
        };
        let now = self.now();
        let secret_expires_at = self
            .registration
            .secret_ttl
            .filter(|_| secret.is_some())
            .map(|ttl| now.plus(ttl));
        let record = ClientRecord {
            id,
            secret: secret.as_ref().map(Token::digest),
            secret_expires_at,
            metadata,
            issued_at: now,
            expires_at: now.plus(self.lifetimes.unused_client),
            management: management.as_ref().map(Token::digest),
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
        let uri = self.management_uri(&record.id);
        let mut registered = RegistrationResponse::of(&record);
        registered.client_secret = secret.as_ref().map(Token::reveal);
        if let Some(management) = &management {
            registered = registered.managed(management.reveal(), &uri);
        }
        response::json(StatusCode::CREATED, &registered)
    }

    /// The answer to a caller who may not register, `None` to everyone else.
    pub(super) async fn refused_by_policy(
        &self,
        parts: &Parts,
        metadata: &ClientMetadata,
    ) -> Option<EndpointResponse> {
        let policy = self.registration.policy.as_ref()?;
        match policy.decide(parts, metadata).await {
            Ok(Registration::Allow) => None,
            Ok(Registration::Deny { reason }) => {
                self.emit(&Event::EndpointRefused {
                    endpoint: Endpoint::Register,
                    client_id: None,
                    error: "access_denied",
                    reason: "registration_denied",
                });
                let status = StatusCode::FORBIDDEN;
                Some(response::error(status, "access_denied", &reason))
            }
            Err(error) => {
                self.emit(&Event::PolicyFailed { error: &error });
                Some(response::unavailable())
            }
        }
    }

    /// RFC 7591 §3: where initial access tokens are configured, a registration brings one.
    fn lacks_initial_token(&self, parts: &Parts) -> Option<EndpointResponse> {
        let known = &self.registration.initial_tokens;
        if known.is_empty() {
            return None;
        }
        let (challenge, reason) = match bearer::presented(&parts.headers) {
            Ok(token) if known.contains(&Digest::of(token)) => return None,
            Err(Refusal::NoCredentials) => ("Bearer realm=\"register\"", "initial_token_missing"),
            _ => ("Bearer error=\"invalid_token\"", "initial_token_wrong"),
        };
        self.emit(&Event::EndpointRefused {
            endpoint: Endpoint::Register,
            client_id: None,
            error: "invalid_token",
            reason,
        });
        let mut response = response::error(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "registering here takes an initial access token",
        );
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
        Some(response)
    }

    pub(super) fn refuse_registration(&self, error: &RegistrationError) -> EndpointResponse {
        self.emit(&Event::EndpointRefused {
            endpoint: Endpoint::Register,
            client_id: None,
            error: error.code,
            reason: error.code,
        });
        response::error(StatusCode::BAD_REQUEST, error.code, &error.description)
    }
}
