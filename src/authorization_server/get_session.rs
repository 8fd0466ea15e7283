//! The session behind a token, over HTTP: for resource servers that are not Rust, and for people
//! who want to see what the layer sees. It never tells more than the token's own holder may know.

use http::{StatusCode, request::Parts};

use super::{
    AuthorizationServer, Endpoint,
    refuse::MALFORMED,
    response::{self, EndpointResponse},
};
use crate::{
    event::Event,
    grant::{ErrorCode, Refusal},
    params::Params,
    resource_server::proof::Called,
    uri::ResourceUri,
};

const UNKNOWN_RESOURCE: Refusal = Refusal::new(
    ErrorCode::InvalidTarget,
    "resource_unknown",
    "no such resource is protected here",
);

impl AuthorizationServer {
    /// Answers with the session, or `null` without a token that is good at the resource: the
    /// default one, or the one named by `resource`.
    pub(super) async fn get_session(&self, parts: &Parts) -> EndpointResponse {
        let Ok(params) = Params::parse(parts.uri.query().unwrap_or_default()) else {
            return self.refuse_session(&MALFORMED);
        };
        let resource = match params.get("resource") {
            None => self.resources.first(),
            Some(asked) => ResourceUri::parse(asked).ok().and_then(|asked| {
                self.resources
                    .iter()
                    .find(|resource| *resource.uri() == asked)
            }),
        };
        let Some(resource) = resource else {
            return self.refuse_session(&UNKNOWN_RESOURCE);
        };
        let called = Called::Url {
            method: &parts.method,
            url: &self.url(Endpoint::GetSession),
        };
        match resource.find(&parts.headers, called).await {
            Ok(session) => response::json(StatusCode::OK, &session),
            Err(error) => {
                self.emit(&Event::VerifierFailed { cause: &error });
                response::unavailable()
            }
        }
    }

    fn refuse_session(&self, refusal: &Refusal) -> EndpointResponse {
        self.refused(Endpoint::GetSession, None, refusal);
        response::refusal(StatusCode::BAD_REQUEST, refusal)
    }
}
