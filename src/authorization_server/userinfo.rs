//! The userinfo endpoint (OpenID Connect Core §5.3).

use http::{HeaderValue, StatusCode, header, request::Parts};
use serde_json::{Map, Value};

use super::{
    AuthorizationServer, Endpoint,
    response::{self, EndpointResponse},
};
use crate::{event::Event, resource_server::Refusal};

impl AuthorizationServer {
    pub(super) async fn userinfo(&self, parts: &Parts) -> EndpointResponse {
        let session = match self.gate.session(&parts.headers).await {
            Ok(Ok(session)) => session,
            Ok(Err(refusal)) => return self.refuse_userinfo(refusal),
            Err(error) => {
                self.emit(&Event::VerifierFailed { cause: &error });
                return response::unavailable();
            }
        };
        if !session.has_scope("openid") {
            return self.refuse_userinfo(Refusal::InsufficientScope);
        }
        match self
            .authenticator
            .claims(session.subject(), session.scopes())
            .await
        {
            Ok(Some(claims)) => {
                let mut body: Map<String, Value> = claims;
                // Last, so that no claim of the application can replace it.
                body.insert("sub".to_owned(), session.subject().as_str().into());
                response::json(StatusCode::OK, &body)
            }
            Ok(None) => self.refuse_userinfo(Refusal::RevokedToken),
            Err(error) => {
                self.emit(&Event::AuthenticatorFailed { error: &error });
                response::unavailable()
            }
        }
    }

    /// RFC 6750 §3, with the body of an OAuth error.
    fn refuse_userinfo(&self, refusal: Refusal) -> EndpointResponse {
        let code = refusal.error().unwrap_or("invalid_request");
        self.emit(&Event::EndpointRefused {
            endpoint: Endpoint::Userinfo,
            client_id: None,
            error: code,
            reason: refusal.reason(),
        });
        let mut response = response::error(refusal.status(), code, refusal.description());
        let challenge = match refusal.error() {
            // Whoever brings nothing is told only what to bring.
            None => "Bearer scope=\"openid\"".to_owned(),
            Some(error) => format!(
                "Bearer error=\"{error}\", error_description=\"{}\", scope=\"openid\"",
                refusal.description()
            ),
        };
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
