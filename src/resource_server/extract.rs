//! [`McpSession`] as an axum extractor.

use std::{convert::Infallible, fmt};

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use super::session::McpSession;

/// A handler asks for an [`McpSession`] and no layer made one: a mistake in the wiring, answered
/// with 500.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingSession;

impl fmt::Display for MissingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no McpSession in the request. Is McpAuthLayer in front of this handler?")
    }
}

impl std::error::Error for MissingSession {}

impl IntoResponse for MissingSession {
    fn into_response(self) -> Response {
        #[cfg(feature = "tracing")]
        tracing::error!("{self}");
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for McpSession {
    type Rejection = MissingSession;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get().cloned().ok_or(MissingSession)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for McpSession {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::{ClientId, ResourceUri, Subject, Timestamp};

    #[test]
    fn who_forgot_the_layer_is_told_so() {
        assert!(MissingSession.to_string().contains("McpAuthLayer"));
        let response = MissingSession.into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn a_session_that_is_there_is_found_and_may_be_missing() {
        let session = McpSession::builder(
            Subject::new("alice").unwrap(),
            ClientId::new("agent").unwrap(),
            ResourceUri::parse("https://a.example/mcp").unwrap(),
            Timestamp::from_secs(1),
        )
        .build();
        let (mut parts, ()) = Request::new(()).into_parts();
        for expected in [None, Some(session.clone())] {
            let found =
                <McpSession as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &())
                    .await;
            assert_eq!(found, Ok(expected));
            parts.extensions.insert(session.clone());
        }
    }
}
