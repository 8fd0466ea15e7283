//! Taking a request in: bounded in size and time, and of the type it says.

use std::{future::poll_fn, pin::pin, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::response::{self, EndpointResponse};
use crate::remainder::Remainder;

/// How large a request body may be, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How long a request body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Reads a body to its end.
pub(super) async fn collect<B>(parts: &Parts, body: B) -> Result<Bytes, EndpointResponse>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if parts.method != Method::POST && parts.method != Method::PUT {
        return Ok(Bytes::new());
    }
    let refuse = |status, description| Err(response::error(status, "invalid_request", description));
    let mut body = pin!(body);
    let read = Limited::new(body.as_mut(), MAX_BODY).collect();
    match tokio::time::timeout(BODY_DEADLINE, read).await {
        Ok(Ok(collected)) => {
            let mut buffer = collected.aggregate();
            Ok(buffer.copy_to_bytes(buffer.remaining()))
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let mut rest = Remainder::of_begun();
            poll_fn(|cx| rest.poll_read(body.as_mut(), cx)).await;
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
        }
        Ok(Err(_)) => refuse(StatusCode::BAD_REQUEST, "the body could not be read"),
        Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    }
}

/// Whether a browser says that a page of another site asked by itself, by a script, an image or a
/// frame, rather than sending its visitor here. Programs that are no browsers say less, or nothing.
pub(super) fn is_of_another_sites_page(parts: &Parts) -> bool {
    let says = |name: &str| parts.headers.get(name).map(HeaderValue::as_bytes);
    let navigates = says("sec-fetch-mode").is_none_or(|mode| mode == b"navigate");
    match says("sec-fetch-site") {
        None | Some(b"same-origin" | b"none") => false,
        // Whose cookies come along may renew without a page, in a frame that nobody sees.
        Some(b"same-site") => !navigates,
        Some(_) => {
            let fills_the_window = says("sec-fetch-dest").is_none_or(|what| what == b"document");
            !navigates || !fills_the_window || says("sec-purpose").is_some()
        }
    }
}

/// Whether a browser says that another site sent its visitor here without a click of theirs: by a
/// script, over and over if it likes. Clients do so too, where they have to ask their own server
/// first.
#[cfg(feature = "rate-limit")]
pub(super) fn is_sent_without_a_click(parts: &Parts) -> bool {
    let site = parts
        .headers
        .get("sec-fetch-site")
        .map(HeaderValue::as_bytes);
    matches!(site, Some(site) if site != b"same-origin" && site != b"none")
        && !parts.headers.contains_key("sec-fetch-user")
}

/// The text of a form body, `None` when it is no form.
pub(super) fn form_text<'a>(parts: &Parts, body: &'a [u8]) -> Option<&'a str> {
    has_type(parts, "application/x-www-form-urlencoded")
        .then(|| std::str::from_utf8(body).ok())
        .flatten()
}

/// Whether the body says that it is JSON.
pub(super) fn is_json(parts: &Parts) -> bool {
    has_type(parts, "application/json")
}

fn has_type(parts: &Parts, expected: &str) -> bool {
    parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(expected))
}
