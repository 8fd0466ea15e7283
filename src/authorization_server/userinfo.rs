//! The userinfo endpoint (OpenID Connect Core §5.3).

use http::{HeaderValue, StatusCode, header, request::Parts};
use serde_json::{Map, Value};

use super::{
    AuthorizationServer, Endpoint,
    response::{self, EndpointResponse},
};
use crate::{
    event::Event,
    resource_server::{
        Refusal,
        bearer::{self, Scheme},
        proof::Called,
    },
};

impl AuthorizationServer {
    pub(super) async fn userinfo(&self, parts: &Parts) -> EndpointResponse {
        let called = Called::Url {
            method: &parts.method,
            url: &self.url(Endpoint::Userinfo),
        };
        let session = match self.gate.session(&parts.headers, called).await {
            Ok(Ok(session)) => session,
            Ok(Err(refusal)) => return self.refuse_userinfo(parts, refusal),
            Err(error) => {
                self.emit(&Event::VerifierFailed { cause: &error });
                return response::unavailable();
            }
        };
        if !session.has_scope("openid") {
            return self.refuse_userinfo(parts, Refusal::InsufficientScope);
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
            Ok(None) => self.refuse_userinfo(parts, Refusal::RevokedToken),
            Err(error) => {
                self.emit(&Event::AuthenticatorFailed { error: &error });
                response::unavailable()
            }
        }
    }

    /// RFC 6750 §3, with the body of an OAuth error.
    fn refuse_userinfo(&self, parts: &Parts, refusal: Refusal) -> EndpointResponse {
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
                "{} error=\"{error}\", error_description=\"{}\", {}scope=\"openid\"",
                bearer::scheme(&parts.headers).name(),
                refusal.description(),
                algorithms(parts),
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

/// What a challenge of the scheme `DPoP` says besides (RFC 9449 §7.1).
fn algorithms(parts: &Parts) -> String {
    match bearer::scheme(&parts.headers) {
        Scheme::Bearer => String::new(),
        #[cfg(feature = "jwt")]
        Scheme::Dpop => format!("algs=\"{}\", ", crate::resource_server::proof::algorithms()),
    }
}
