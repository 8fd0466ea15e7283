//! The headers that the layer looks at.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, ORIGIN},
};

use super::Refusal;

/// The id of a session, before MCP 2026-07-28.
pub(crate) static MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// What a request's headers say to the layer.
pub(crate) struct Heard<'a> {
    /// The one `Authorization` header.
    pub(crate) authorization: Result<&'a HeaderValue, Refusal>,
    pub(crate) marks: Marks,
}

/// Which headers there are.
#[derive(Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) session_id: bool,
    pub(crate) origin: bool,
}

/// One walk: for the dozen headers of a request, less work than to look each of them up.
pub(crate) fn hear(headers: &HeaderMap) -> Heard<'_> {
    let mut authorization = Err(Refusal::NoCredentials);
    let mut marks = Marks::default();
    for (name, value) in headers {
        if *name == AUTHORIZATION {
            authorization = match authorization {
                Err(Refusal::NoCredentials) => Ok(value),
                _ => Err(Refusal::TwoCredentials),
            };
        } else if *name == ORIGIN {
            marks.origin = true;
        } else if *name == MCP_SESSION_ID {
            marks.session_id = true;
        }
    }
    Heard {
        authorization,
        marks,
    }
}

/// Whether a response opens a session. Most have two or three headers.
pub(crate) fn has_session_id(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == MCP_SESSION_ID)
}
