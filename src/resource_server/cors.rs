//! What browsers need to talk to an MCP server from another origin. Bearer tokens are no ambient
//! credentials, so every origin may ask; which of them the server answers stays with the server.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

/// What pages may send.
const ALLOWED: &str = "authorization, content-type, mcp-protocol-version, mcp-method, mcp-name, \
                       mcp-session-id, last-event-id, dpop";
/// How headers begin that repeat an argument of a tool (MCP 2026-07-28). Which ones there are, the
/// server behind the layer knows.
const PARAMETER: &str = "mcp-param-";

/// Whether a browser asks, before a request, if it may send it. It does so without credentials.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Says yes to whoever asks with `asked`.
pub(crate) fn preflight<B: Default>(asked: &HeaderMap) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE, OPTIONS"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
        (VARY, "access-control-request-headers"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(ALLOWED),
    );
    for parameter in parameters(asked) {
        headers.append(ACCESS_CONTROL_ALLOW_HEADERS, parameter);
    }
    response
}

/// The headers for arguments of tools that a page wants to send.
fn parameters(asked: &HeaderMap) -> impl Iterator<Item = HeaderValue> {
    let lists = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS).into_iter();
    lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        // In small letters from here on.
        .filter_map(|name| name.trim().parse::<HeaderName>().ok())
        .filter(|name| name.as_str().starts_with(PARAMETER))
        .map(HeaderValue::from)
}

/// Lets a page of any origin read a response. What an inner service has decided stays.
pub(crate) fn allow(headers: &mut HeaderMap) {
    headers
        .entry(ACCESS_CONTROL_ALLOW_ORIGIN)
        .or_insert(HeaderValue::from_static("*"));
    headers
        .entry(ACCESS_CONTROL_EXPOSE_HEADERS)
        .or_insert(HeaderValue::from_static(
            "WWW-Authenticate, Mcp-Session-Id, DPoP-Nonce",
        ));
}
