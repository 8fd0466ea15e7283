//! Pushed authorization requests (RFC 9126).

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde::Serialize;

use super::{
    AuthorizationServer, Endpoint,
    authorize::REDIRECT_UNREGISTERED,
    dpop::bind_code,
    response::{self, EndpointResponse},
    token_call::TokenCall,
};
use crate::{
    client::Client,
    grant::{ErrorCode, Refusal, authorize},
    secret::{Digest, is_handle, random_handle},
    store::{
        BeginAuthorization, StoreError,
        record::{AuthorizationRequest, PendingAuthorization},
    },
};

/// What a pushed request is called (RFC 9126 §2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// How long the browser may take to get here.
pub(super) const LIFETIME: Duration = Duration::from_secs(90);

/// RFC 9126 §2.2.
#[derive(Serialize)]
struct Pushed<'a> {
    request_uri: &'a str,
    expires_in: u64,
}

/// The handle in a `request_uri` that names a pushed request, `None` for any other.
pub(super) fn handle(request_uri: &str) -> Option<&str> {
    request_uri.strip_prefix(PREFIX)
}

impl AuthorizationServer {
    /// Takes a request from its client, checks it, and gives it a name for the browser to bring.
    pub(super) async fn push(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        let endpoint = Endpoint::PushedAuthorization;
        let call = match self.token_call(endpoint, parts, body).await {
            Ok(call) => call,
            Err(response) => return response,
        };
        let decided = match self.decide_pushed(&call) {
            Ok(request) => self.with_hint(&call.params, &call.client, request).await,
            Err(refusal) => Ok(Err(refusal)),
        };
        let request = match decided {
            Ok(Ok(request)) => request,
            Ok(Err(refusal)) => return self.refuse_call(endpoint, &call, &refusal),
            Err(error) => {
                self.store_failed(&error);
                return response::unavailable();
            }
        };
        let now = self.now();
        let name = random_handle();
        let pending = PendingAuthorization {
            request,
            client: None,
            browser: None,
            created_at: now,
            expires_at: now.plus(LIFETIME),
        };
        let id = Digest::of(&name);
        let begun = self
            .store
            .begin_authorization(id, pending, self.limits.pending, now)
            .await;
        match begun {
            Ok(BeginAuthorization::Begun) => response::json(
                StatusCode::CREATED,
                &Pushed {
                    request_uri: &format!("{PREFIX}{}", *name),
                    expires_in: LIFETIME.as_secs(),
                },
            ),
            Ok(BeginAuthorization::Full) => {
                let mut response = response::error(
                    StatusCode::TOO_MANY_REQUESTS,
                    "temporarily_unavailable",
                    "too many authorizations are waiting",
                );
                response::retry_later(&mut response);
                response
            }
            Err(error) => {
                self.store_failed(&error);
                response::unavailable()
            }
        }
    }

    fn decide_pushed(&self, call: &TokenCall<'_>) -> Result<AuthorizationRequest, Refusal> {
        let TokenCall { client, params, .. } = call;
        if params.get("request_uri").is_some() {
            return Err(Refusal::invalid_request(
                "request_uri_pushed",
                "a pushed request cannot point to another one",
            ));
        }
        let redirect_uri = client
            .redirect_uri(params.get("redirect_uri"))
            .ok_or(REDIRECT_UNREGISTERED)?;
        let mut request = authorize::decide(params, client, redirect_uri, &self.catalog)?;
        bind_code(&mut request, call)?;
        Ok(request)
    }

    /// Takes out the request that a browser brings the name of: once, and for its own client.
    pub(super) async fn pushed(
        &self,
        handle: &str,
        client: &Client,
    ) -> Result<Result<AuthorizationRequest, Refusal>, StoreError> {
        const UNKNOWN: Refusal = Refusal::new(
            ErrorCode::InvalidRequestUri,
            "request_uri_unknown",
            "The request was used before, has expired, or is another program's.",
        );
        if !is_handle(handle) {
            return Ok(Err(UNKNOWN));
        }
        let id = Digest::of(handle);
        // Looked at first: another client must not use it up.
        let found = self.store.pending_authorization(id, self.now()).await?;
        let is_own = |pending: &PendingAuthorization| {
            pending.browser.is_none() && pending.request.client_id == client.id
        };
        if !found.is_some_and(|pending| is_own(&pending)) {
            return Ok(Err(UNKNOWN));
        }
        let taken = self.store.end_authorization(id, self.now()).await?;
        Ok(taken.map(|pending| pending.request).ok_or(UNKNOWN))
    }
}
