//! The token endpoint (RFC 6749 §3.2).

mod client_credentials;
mod code;
mod device;
mod id_token;
#[cfg(feature = "jwt")]
mod jwt_bearer;
mod mint;
mod refresh;

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde::Serialize;

use super::{
    AuthorizationServer, Endpoint,
    response::{self, EndpointResponse},
};
use crate::{
    client::Client,
    event::Event,
    grant::{ErrorCode, Refusal, device::GRANT_TYPE as DEVICE_GRANT},
    scope::Scopes,
    secret::{GrantId, Refresh, Token},
    store::{Revocation, StoreError, record::GrantRecord},
};
#[cfg(feature = "jwt")]
use crate::{error::AuthenticatorError, grant::JWT_BEARER, resource_server::VerifierUnavailable};

use self::mint::Minted;

/// What a grant gives its client.
struct Issued<'a> {
    access: Minted,
    /// How long the access token lives from now on.
    lives: Duration,
    refresh: Option<Token<Refresh>>,
    /// Who signed in, where the client may know.
    id_token: Option<String>,
    scopes: &'a Scopes,
}

/// How much sooner a token is said to end than it does, in seconds. Who believes it to the last one
/// would be refused: the answer was on its way for a while, the request is too, and a token is issued
/// in the middle of a second. Some clients have their user sign in again then.
const EARLY: u64 = 10;

/// `expires_in` of a token that lives so long.
fn said_of(lives: Duration) -> u64 {
    let lives = lives.as_secs();
    // Of what lives shorter, a tenth.
    (lives - EARLY.min(lives.div_ceil(10))).max(1)
}

/// RFC 6749 §5.1.
#[derive(Serialize)]
struct TokenResponse<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    scope: String,
}

impl Issued<'_> {
    fn answer(&self) -> EndpointResponse {
        response::json(
            StatusCode::OK,
            &TokenResponse {
                access_token: self.access.reveal(),
                token_type: self.access.token_type(),
                expires_in: said_of(self.lives),
                refresh_token: self.refresh.as_ref().map(Token::reveal),
                id_token: self.id_token.as_deref(),
                scope: self.scopes.to_string(),
            },
        )
    }
}

/// Why there are no tokens.
enum TokenError {
    Refused(Refusal),
    Store(StoreError),
    /// The application cannot say who a user is.
    #[cfg(feature = "jwt")]
    Authenticator(AuthenticatorError),
    /// Nobody can say what an issuer signed.
    #[cfg(feature = "jwt")]
    Issuer(VerifierUnavailable),
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl AuthorizationServer {
    pub(super) async fn token(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        let call = match self.token_call(Endpoint::Token, parts, body).await {
            Ok(call) => call,
            Err(response) => return response,
        };
        let answer = match call.params.get("grant_type") {
            Some("authorization_code") => self.redeem(&call).await,
            Some("refresh_token") => self.refresh(&call).await,
            Some("client_credentials") => self.client_credentials(&call).await,
            Some(DEVICE_GRANT) => self.poll_device(&call).await,
            #[cfg(feature = "jwt")]
            Some(JWT_BEARER) => self.jwt_bearer(&call).await,
            Some(_) => Err(UNSUPPORTED_GRANT.into()),
            None => Err(GRANT_TYPE_MISSING.into()),
        };
        match answer {
            Ok(response) => response,
            Err(TokenError::Refused(refusal)) => self.refuse_call(Endpoint::Token, &call, &refusal),
            Err(TokenError::Store(error)) => {
                self.store_failed(&error);
                response::unavailable()
            }
            #[cfg(feature = "jwt")]
            Err(TokenError::Authenticator(error)) => {
                self.emit(&Event::AuthenticatorFailed { error: &error });
                response::unavailable()
            }
            #[cfg(feature = "jwt")]
            Err(TokenError::Issuer(cause)) => {
                self.emit(&Event::VerifierFailed { cause: &cause });
                response::unavailable()
            }
        }
    }

    /// The answer with the tokens of a new grant, told to whoever watches; `repeated` to who may not
    /// have heard it.
    fn issued(
        &self,
        client: &Client,
        grant: &GrantRecord,
        issued: &Issued<'_>,
        repeated: bool,
    ) -> EndpointResponse {
        self.emit(&Event::TokensIssued {
            client_id: &client.id,
            subject: &grant.subject,
            grant: grant.id,
            scopes: &grant.scopes,
            repeated,
        });
        issued.answer()
    }

    /// A replay revoked this grant in the store; the caches learn of it before the answer.
    fn forget_grant(&self, grant: GrantId) {
        self.forget(&Revocation {
            grants: vec![grant],
            access_tokens: Vec::new(),
        });
    }
}

const GRANT_TYPE_MISSING: Refusal =
    Refusal::invalid_request("grant_type_missing", "grant_type is missing");
const UNSUPPORTED_GRANT: Refusal = Refusal::new(
    ErrorCode::UnsupportedGrantType,
    "grant_type_unsupported",
    "this grant_type is not offered here",
);
const GRANT_REVOKED: Refusal =
    Refusal::invalid_grant("grant_revoked", "the user's permission was revoked");
