//! A document as a service: serialised once, answered for ever.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use tower_service::Service;

use crate::secret::{Digest, base64url};

/// How long a client may keep a document, in seconds: short enough that a change of configuration
/// arrives, long enough that a fleet of clients does not ask all the time.
const CACHE_CONTROL: &str = "public, max-age=300";
const METHODS: &str = "GET, HEAD, OPTIONS";

/// The future of a [`MetadataResponder`]: ready at once.
pub type MetadataFuture = Ready<Result<Response<Full<Bytes>>, Infallible>>;

/// Answers every request with one JSON document, whatever the path: mount it where the document
/// belongs.
///
/// GET and HEAD with `ETag` and `Cache-Control`, conditional requests, CORS for any origin and its
/// preflight, 405 with `Allow` for the rest.
#[derive(Clone, Debug)]
pub struct MetadataResponder(Arc<Document>);

#[derive(Debug)]
struct Document {
    body: Bytes,
    etag: HeaderValue,
}

impl MetadataResponder {
    /// Serialises `document`, once.
    pub fn new(document: &impl Serialize) -> Self {
        let body = serde_json::to_vec(document).unwrap_or_default();
        let digest = Digest::of(&String::from_utf8_lossy(&body));
        let etag = format!("\"{}\"", base64url(&digest.as_bytes()[..12]));
        Self(Arc::new(Document {
            body: body.into(),
            etag: HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\"")),
        }))
    }

    /// The answer to one request.
    pub(crate) fn answer(&self, method: &Method, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        let document = &*self.0;
        if *method == Method::GET || *method == Method::HEAD {
            let answer = response.headers_mut();
            answer.insert(header::ETAG, document.etag.clone());
            answer.insert(
                header::CACHE_CONTROL,
                HeaderValue::from_static(CACHE_CONTROL),
            );
            if is_known(headers, &document.etag) {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            } else {
                let length = HeaderValue::from(document.body.len());
                answer.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                );
                answer.insert(header::CONTENT_LENGTH, length);
                if *method == Method::GET {
                    *response.body_mut() = Full::new(document.body.clone());
                }
            }
        } else if *method == Method::OPTIONS {
            *response.status_mut() = StatusCode::NO_CONTENT;
            let answer = response.headers_mut();
            answer.insert(header::ALLOW, HeaderValue::from_static(METHODS));
            answer.insert(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(METHODS),
            );
            // Clients send their protocol version on discovery too.
            answer.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("authorization, content-type, mcp-protocol-version"),
            );
            answer.insert(
                header::ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from_static("86400"),
            );
        } else {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static(METHODS));
        }
        share(&mut response);
        response
    }
}

/// `If-None-Match` (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
}

/// Scripts of any origin may read it.
pub(super) fn share(response: &mut Response<Full<Bytes>>) {
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

impl<B> Service<Request<B>> for MetadataResponder {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = MetadataFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.headers())))
    }
}
