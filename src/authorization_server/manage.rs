//! Reading, changing and deleting a registration (RFC 7592).
//!
//! Only clients with a secret of their own get management credentials: a public client is whoever
//! sends its metadata, and nobody may delete everybody's client.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::Value;

use super::{
    AuthorizationServer, Endpoint,
    register::RegistrationResponse,
    request,
    response::{self, EndpointResponse},
};
use crate::{
    client::registration::{self, RegistrationError},
    event::Event,
    id::ClientId,
    json::parse_strictly,
    params::Params,
    resource_server::bearer,
    secret::{Digest, Management, Token},
    store::{StoreError, record::ClientRecord},
};

/// What a client may not say of itself (RFC 7592 §2.2).
const NOT_ITS_OWN: [&str; 4] = [
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
];

impl AuthorizationServer {
    /// Where a client manages itself.
    pub(super) fn management_uri(&self, id: &ClientId) -> String {
        response::with_query(&self.url(Endpoint::Register), &[("client_id", id.as_str())])
    }

    pub(super) async fn manage(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        if !self.registration.management {
            return response::method_not_allowed("POST, OPTIONS");
        }
        if let Some(response) = self.limited(Endpoint::Register, None, parts) {
            return response;
        }
        let (client, token) = match self.manager(parts).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.refuse_manager(),
            Err(error) => return self.registration_unavailable(&error),
        };
        match parts.method {
            Method::PUT => self.update_registration(parts, body, client, token).await,
            Method::DELETE => self.delete_registration(client).await,
            _ => self.show_registration(&client, token),
        }
    }

    /// The client that the request is about, if its bearer may manage it.
    async fn manager<'p>(
        &self,
        parts: &'p Parts,
    ) -> Result<Option<(ClientRecord, &'p str)>, StoreError> {
        let query = parts.uri.query().unwrap_or_default();
        let id = Params::parse(query)
            .ok()
            .filter(|params| !params.any_repeated())
            .and_then(|params| ClientId::new(params.get("client_id")?).ok());
        let token = bearer::presented(&parts.headers).ok();
        let (Some(id), Some(token)) = (id, token) else {
            return Ok(None);
        };
        let Some(digest) = Token::<Management>::digest_of_presented(token) else {
            return Ok(None);
        };
        let client = self.store.client(id, self.now()).await?;
        Ok(client
            .filter(|client| client.management == Some(digest))
            .map(|client| (client, token)))
    }

    fn show_registration(&self, client: &ClientRecord, token: &str) -> EndpointResponse {
        let uri = self.management_uri(&client.id);
        let shown = RegistrationResponse::of(client).managed(token, &uri);
        response::json(StatusCode::OK, &shown)
    }

    async fn update_registration(
        &self,
        parts: &Parts,
        body: &Bytes,
        mut client: ClientRecord,
        token: &str,
    ) -> EndpointResponse {
        if let Err(error) = check_own_fields(parts, body, &client) {
            return self.refuse_registration(&error);
        }
        let metadata = match registration::parse(body, &self.offer()) {
            Ok(metadata) => metadata,
            Err(error) => return self.refuse_registration(&error),
        };
        if !metadata.token_endpoint_auth_method.takes_secret() {
            return self.refuse_registration(&invalid(
                "a client with a secret cannot become one without; register anew",
            ));
        }
        if let Some(response) = self.refused_by_policy(parts, &metadata).await {
            return response;
        }
        client.metadata = metadata;
        match self.store.update_client(client.clone(), self.now()).await {
            Ok(true) => self.show_registration(&client, token),
            Ok(false) => self.refuse_manager(),
            Err(error) => self.registration_unavailable(&error),
        }
    }

    async fn delete_registration(&self, client: ClientRecord) -> EndpointResponse {
        match self.store.delete_client(client.id, self.now()).await {
            Ok(revocation) => {
                self.forget(&revocation);
                self.emit(&Event::Revoked {
                    grants: &revocation.grants,
                    access_tokens: revocation.access_tokens.len(),
                });
                response::empty(StatusCode::NO_CONTENT)
            }
            Err(error) => self.registration_unavailable(&error),
        }
    }

    fn registration_unavailable(&self, error: &StoreError) -> EndpointResponse {
        self.store_failed(error);
        response::unavailable()
    }

    /// RFC 7592 §2: the same answer whether the client is gone or the token is wrong.
    fn refuse_manager(&self) -> EndpointResponse {
        self.emit(&Event::EndpointRefused {
            endpoint: Endpoint::Register,
            client_id: None,
            error: "invalid_token",
            reason: "registration_access_token_wrong",
        });
        let mut response = response::error(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "there is no such client, or the registration access token is not its own",
        );
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer error=\"invalid_token\""),
        );
        response
    }
}

fn invalid(description: &str) -> RegistrationError {
    RegistrationError {
        code: "invalid_client_metadata",
        description: description.to_owned(),
    }
}

/// RFC 7592 §2.2: an update names the client it is about, and nothing that is the server's.
fn check_own_fields(
    parts: &Parts,
    body: &[u8],
    client: &ClientRecord,
) -> Result<(), RegistrationError> {
    if !request::is_json(parts) {
        return Err(invalid("the body must be of type application/json"));
    }
    let Some(fields) = parse_strictly(body) else {
        return Err(invalid(registration::NO_OBJECT));
    };
    if fields.get("client_id").and_then(Value::as_str) != Some(client.id.as_str()) {
        return Err(invalid("client_id must be that of the client"));
    }
    if let Some(secret) = fields.get("client_secret") {
        let is_own = secret
            .as_str()
            .is_some_and(|secret| Some(Digest::of(secret)) == client.secret);
        if !is_own {
            return Err(invalid(
                "client_secret must be that of the client, or left out",
            ));
        }
    }
    match NOT_ITS_OWN
        .into_iter()
        .find(|name| fields.contains_key(*name))
    {
        Some(name) => Err(invalid(&format!("{name} cannot be changed"))),
        None => Ok(()),
    }
}
