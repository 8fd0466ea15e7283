//! Introspection (RFC 7662).

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde::Serialize;

use super::{
    AuthorizationServer, Endpoint,
    response::{self, EndpointResponse},
    token_call::TokenCall,
};
use crate::{
    clock::Timestamp,
    grant::Refusal,
    id::ClientId,
    secret::{Refresh, Token},
    store::StoreError,
};

const TOKEN_MISSING: Refusal = Refusal::invalid_request("token_missing", "token is missing");
const PUBLIC_CLIENT: Refusal = Refusal::invalid_client(
    "introspection_by_public_client",
    "introspection takes a client that authenticates",
);

/// RFC 7662 §2.2.
#[derive(Serialize)]
struct Active {
    active: bool,
    scope: String,
    client_id: ClientId,
    /// How it is presented; `None` for a refresh token, which never is to a resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    sub: String,
    aud: String,
    iss: String,
    iat: Timestamp,
    exp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

/// The key that a token is bound to (RFC 9449 §6.2).
#[derive(Serialize)]
struct Confirmation {
    jkt: String,
}

/// All that may be said of a token that is not active, or not the caller's business.
#[derive(Serialize)]
struct Inactive {
    active: bool,
}

impl AuthorizationServer {
    /// Tells whether a token is alive, and what it allows. A client may ask for its own tokens, and
    /// a client that the operator configured, such as a resource server, for all access tokens. Not
    /// for refresh tokens: what goes by `active` would let them in.
    pub(super) async fn introspect(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        let call = match self.token_call(Endpoint::Introspect, parts, body).await {
            Ok(call) => call,
            Err(response) => return response,
        };
        if call.client.is_public() {
            return self.refuse_call(Endpoint::Introspect, &call, &PUBLIC_CLIENT);
        }
        let Some(token) = call.params.get("token") else {
            return self.refuse_call(Endpoint::Introspect, &call, &TOKEN_MISSING);
        };
        match self.look_up(token).await {
            Ok(Some(active)) if self.may_see(&call, &active) => {
                response::json(StatusCode::OK, &active)
            }
            Ok(_) => response::json(StatusCode::OK, &Inactive { active: false }),
            Err(error) => {
                self.store_failed(&error);
                response::unavailable()
            }
        }
    }

    fn may_see(&self, call: &TokenCall<'_>, active: &Active) -> bool {
        let is_access_token = active.token_type.is_some();
        active.client_id == call.client.id
            || (is_access_token && self.clients.get(&call.client.id).is_some())
    }

    async fn look_up(&self, token: &str) -> Result<Option<Active>, StoreError> {
        let now = self.now();
        if let Some(digest) = self.access_forms.digest_of_any(token, || now) {
            let found = self.store.access_token(digest).await?;
            let live = found.filter(|token| !token.revoked && token.record.expires_at > now);
            return Ok(live.map(|token| Active {
                active: true,
                scope: token.record.scopes.to_string(),
                token_type: Some(token.record.token_type()),
                client_id: token.record.client_id,
                sub: token.record.subject.into(),
                aud: token.record.resource.into(),
                iss: self.issuer.to_string(),
                iat: token.record.issued_at,
                exp: token.record.expires_at,
                cnf: token.record.dpop_jkt.map(|jkt| Confirmation { jkt }),
            }));
        }
        if let Some(digest) = Token::<Refresh>::digest_of_presented(token) {
            let found = self.store.refresh_token(digest).await?;
            let live = found.filter(|(token, grant)| {
                token.used.is_none() && token.expires_at > now && grant.revoked_at.is_none()
            });
            return Ok(live.map(|(token, grant)| Active {
                active: true,
                scope: grant.scopes.to_string(),
                client_id: grant.client_id,
                token_type: None,
                sub: grant.subject.into(),
                aud: grant.resource.into(),
                iss: self.issuer.to_string(),
                iat: grant.created_at,
                exp: token.expires_at,
                cnf: grant.dpop_jkt.map(|jkt| Confirmation { jkt }),
            }));
        }
        Ok(None)
    }
}
