//! Revocation (RFC 7009).

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde_json::json;

use super::{
    AuthorizationServer, Endpoint,
    response::{self, EndpointResponse},
    token_call::TokenCall,
};
use crate::{
    grant::{ErrorCode, Refusal},
    id::ClientId,
    secret::{Refresh, Token},
    store::{RevokeTarget, StoreError},
};

const TOKEN_MISSING: Refusal = Refusal::invalid_request("token_missing", "token is missing");
const OTHER_CLIENT: Refusal = Refusal::new(
    ErrorCode::UnauthorizedClient,
    "token_of_other_client",
    "the token was issued to another client",
);

/// A token that somebody wants gone: what revoking it means, and whose it is.
struct Found {
    target: RevokeTarget,
    owner: ClientId,
}

impl AuthorizationServer {
    /// Revokes an access token alone, and a refresh token with everything that came of its grant.
    /// A token that is unknown is as good as revoked (RFC 7009 §2.2).
    pub(super) async fn revoke_token(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        let call = match self.token_call(Endpoint::Revoke, parts, body).await {
            Ok(call) => call,
            Err(response) => return response,
        };
        match self.revoke_for(&call).await {
            // Clients are to ignore the body (RFC 7009 §2.2), and some read it first.
            Ok(None) => response::json(StatusCode::OK, &json!({})),
            Ok(Some(refusal)) => self.refuse_call(Endpoint::Revoke, &call, &refusal),
            Err(error) => {
                self.store_failed(&error);
                response::unavailable()
            }
        }
    }

    async fn revoke_for(&self, call: &TokenCall<'_>) -> Result<Option<Refusal>, StoreError> {
        let Some(token) = call.params.get("token") else {
            return Ok(Some(TOKEN_MISSING));
        };
        let Some(found) = self.find_token(token).await? else {
            return Ok(None);
        };
        if found.owner != call.client.id {
            return Ok(Some(OTHER_CLIENT));
        }
        self.revoke(found.target).await?;
        Ok(None)
    }

    /// A token's own form says of which kind it is, so `token_type_hint` is not needed.
    async fn find_token(&self, token: &str) -> Result<Option<Found>, StoreError> {
        if let Some(digest) = self.access_forms.digest_of_any(token, || self.now()) {
            let found = self.store.access_token(digest).await?;
            return Ok(found.map(|token| Found {
                target: RevokeTarget::AccessToken(digest),
                owner: token.record.client_id,
            }));
        }
        if let Some(digest) = Token::<Refresh>::digest_of_presented(token) {
            let found = self.store.refresh_token(digest).await?;
            return Ok(found.map(|(_, grant)| Found {
                target: RevokeTarget::RefreshToken(digest),
                owner: grant.client_id,
            }));
        }
        Ok(None)
    }
}
