//! The few shapes of answer that the endpoints give.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use serde::Serialize;

use crate::grant::Refusal;

/// What every endpoint answers with.
pub(crate) type EndpointResponse = Response<Full<Bytes>>;

/// How long a client should wait before it tries again what failed for no fault of its own, in
/// seconds.
const RETRY_AFTER: &str = "1";

fn with_body(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> EndpointResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    no_store(&mut response);
    response
}

/// Nothing here may be kept by a cache (RFC 6749 §5.1).
fn no_store(response: &mut EndpointResponse) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

/// What HEAD gets of the answer to GET (RFC 9110 §9.3.2).
pub(super) fn without_body(response: &mut EndpointResponse) {
    let body = std::mem::take(response.body_mut());
    if let Some(length) = body.size_hint().exact() {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// A JSON document.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> EndpointResponse {
    let body = serde_json::to_vec(value).unwrap_or_default();
    with_body(status, "application/json", body)
}

/// Nothing but a status.
pub(crate) fn empty(status: StatusCode) -> EndpointResponse {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    no_store(&mut response);
    response
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    error_description: &'a str,
}

/// An error of RFC 6749 §5.2 or RFC 7591 §3.2.2.
pub(crate) fn error(status: StatusCode, error: &str, description: &str) -> EndpointResponse {
    json(
        status,
        &ErrorBody {
            error,
            error_description: description,
        },
    )
}

/// A refusal as JSON.
pub(crate) fn refusal(status: StatusCode, refusal: &Refusal) -> EndpointResponse {
    error(status, refusal.code.as_str(), refusal.description)
}

/// The store, or the application, cannot answer now. Never a verdict on what the client holds.
pub(crate) fn unavailable() -> EndpointResponse {
    let mut response = error(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "try again in a moment",
    );
    retry_later(&mut response);
    response
}

/// Adds `Retry-After` (RFC 9110 §10.2.3).
pub(crate) fn retry_later(response: &mut EndpointResponse) {
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
}

/// The caller asks too often (RFC 6585 §4). Waits are rounded up, so that who waits is let in.
#[cfg(feature = "rate-limit")]
pub(crate) fn too_many_requests(refused: &Refusal, wait: std::time::Duration) -> EndpointResponse {
    let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, refused);
    let seconds = HeaderValue::from(wait.as_secs() + 1);
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// 303: the browser follows with GET and never sends a password or a decision on (RFC 9700 §4.12).
pub(crate) fn see_other(location: &str) -> EndpointResponse {
    let mut response = Response::new(Full::default());
    no_store(&mut response);
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    match HeaderValue::try_from(location) {
        Ok(location) => {
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        // Only ASCII URLs are ever registered or configured, so this cannot be reached; if it
        // were, a plain refusal would be the safe answer.
        Err(_) => error(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "the address cannot be used",
        ),
    }
}

/// `base` with `pairs` added to its query.
pub(crate) fn with_query(base: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    let separator = if base.contains('?') { '&' } else { '?' };
    format!("{base}{separator}{}", query.finish())
}

/// The method is not allowed here (RFC 9110 §15.5.6).
pub(crate) fn method_not_allowed(allow: &'static str) -> EndpointResponse {
    let mut response = error(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request",
        "the method is not allowed here",
    );
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// An answer to a CORS preflight.
pub(crate) fn preflight(allow: &'static str) -> EndpointResponse {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(allow),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type, mcp-protocol-version, dpop"),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    );
    cross_origin(&mut response);
    response
}

/// Any origin may read the answer; no cookie is ever involved where this is set.
pub(crate) fn cross_origin(response: &mut EndpointResponse) {
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("WWW-Authenticate, Retry-After, DPoP-Nonce"),
    );
}

/// A page for people: no scripts, no frames, nothing kept, no address passed on.
///
/// There is no `form-action` in the policy: Chromium applies it to where the client's own redirect
/// leads, and would stop a sign-in at its last step.
pub(crate) fn page(status: StatusCode, html: String, style_source: &str) -> EndpointResponse {
    let mut response = with_body(status, "text/html; charset=utf-8", html);
    let policy = format!(
        "default-src 'none'; style-src {style_source}; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static(
            "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
        )),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}
