//! What the endpoints that clients call directly have in common: a form, and a client that says
//! who it is.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header, request::Parts};

use super::{
    AuthorizationServer, Endpoint,
    client_auth::ClientAuthError,
    refuse::{MALFORMED, NOT_A_FORM},
    request::form_text,
    response::{self, EndpointResponse},
};
use crate::{
    client::Client,
    grant::{ErrorCode, Refusal},
    params::Params,
};

/// A request by an authenticated client.
pub(super) struct TokenCall<'a> {
    pub(super) client: Client,
    pub(super) params: Params<'a>,
    /// The key that the client has proven to have, by its thumbprint (RFC 9449).
    pub(super) dpop: Option<String>,
}

const REPEATED: Refusal =
    Refusal::invalid_request("repeated_parameter", "a parameter was sent more than once");

impl AuthorizationServer {
    /// Reads the form and authenticates the client, or answers.
    pub(super) async fn token_call<'a>(
        &self,
        endpoint: Endpoint,
        parts: &Parts,
        body: &'a Bytes,
    ) -> Result<TokenCall<'a>, EndpointResponse> {
        let refuse = |client_id, refusal| Err(self.refuse_json(endpoint, client_id, refusal));
        let Some(text) = form_text(parts, body) else {
            return refuse(None, &NOT_A_FORM);
        };
        let Ok(params) = Params::parse(text) else {
            return refuse(None, &MALFORMED);
        };
        if params.any_repeated() {
            return refuse(None, &REPEATED);
        }
        // An assertion is good once: a request that comes again with a nonce would be too late.
        #[cfg(feature = "jwt")]
        if params.get("client_assertion").is_some() {
            self.ask_for_nonce(endpoint, parts)?;
        }
        match self.authenticate_client(endpoint, parts, &params).await {
            Ok(client) => {
                let dpop = self.proven_key(endpoint, parts, &client).await?;
                Ok(TokenCall {
                    client,
                    params,
                    dpop,
                })
            }
            Err(ClientAuthError::Refused { refusal, by_header }) => {
                let id = self.nameable(params.get("client_id"));
                let mut response = self.refuse_json(endpoint, id, &refusal);
                if by_header && response.status() == StatusCode::UNAUTHORIZED {
                    response.headers_mut().insert(
                        header::WWW_AUTHENTICATE,
                        HeaderValue::from_static("Basic realm=\"token\""),
                    );
                }
                Err(response)
            }
            Err(ClientAuthError::Limited(response)) => Err(response),
            Err(ClientAuthError::Store(error)) => {
                self.store_failed(&error);
                Err(response::unavailable())
            }
        }
    }

    /// Refuses a call of a known client.
    pub(super) fn refuse_call(
        &self,
        endpoint: Endpoint,
        call: &TokenCall<'_>,
        refusal: &Refusal,
    ) -> EndpointResponse {
        self.refuse_json(endpoint, Some(call.client.id.as_str()), refusal)
    }

    pub(super) fn refuse_json(
        &self,
        endpoint: Endpoint,
        client_id: Option<&str>,
        refusal: &Refusal,
    ) -> EndpointResponse {
        self.refused(endpoint, client_id, refusal);
        let status = match refusal.code {
            ErrorCode::InvalidClient => StatusCode::UNAUTHORIZED,
            ErrorCode::Full => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut response = response::refusal(status, refusal);
        if matches!(
            refusal.code,
            ErrorCode::TemporarilyUnavailable | ErrorCode::Full
        ) {
            response::retry_later(&mut response);
        }
        response
    }
}
