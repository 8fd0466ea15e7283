//! Doors for `tests/fuzz` to what no public function leads to without a network. Compiled with
//! `--cfg fuzzing` alone, which `cargo fuzz` sets.
#![allow(missing_docs, clippy::missing_panics_doc, clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    Clock, McpSession, Scopes, TokenVerifier, Verdict,
    client::{document, redirect, registration},
    fetch::{BasicCredentials, BoxFuture, CachePolicy, Fetch, FetchResult, Fetched, Limits},
    grant::UserCode,
    params::Params,
    resource_server::{IntrospectionVerifier, JwtVerifier, PresentedToken},
};

/// An issuer whose answers are made up: one for its documents, one for everything else.
struct Issuer {
    document: Bytes,
    other: Bytes,
}

/// The issuer's name.
pub const ISSUER: &str = "https://login.example.com";

impl Issuer {
    fn answer(&self, url: &str) -> BoxFuture<'static, FetchResult> {
        let body = match url.contains("/.well-known/") {
            true => self.document.clone(),
            false => self.other.clone(),
        };
        let cache = CachePolicy::default();
        Box::pin(std::future::ready(Ok(Fetched { body, cache })))
    }
}

impl Fetch for Issuer {
    fn get(&self, url: &str, _: Limits) -> BoxFuture<'static, FetchResult> {
        self.answer(url)
    }

    fn post_form(
        &self,
        url: &str,
        _: Option<BasicCredentials<'_>>,
        _: String,
        _: Limits,
    ) -> BoxFuture<'static, FetchResult> {
        self.answer(url)
    }
}

/// Who an issuer that publishes `document` and answers `answer` says stands behind a token.
pub async fn introspect(
    document: Vec<u8>,
    answer: Vec<u8>,
    resource: &str,
    clock: impl Clock,
) -> Option<McpSession> {
    let issuer = Issuer {
        document: document.into(),
        other: answer.into(),
    };
    let verifier = IntrospectionVerifier::builder(ISSUER, resource)
        .credentials("us", "secret")
        .fetch_with(Arc::new(issuer))
        .clock(clock)
        .build()
        .unwrap();
    session(verifier.verify(&PresentedToken::new("token")).await)
}

/// Who `token` says stands behind it, of an issuer that publishes `document` and `keys`.
pub async fn signed(
    document: Vec<u8>,
    keys: Vec<u8>,
    token: &str,
    resource: &str,
    clock: impl Clock,
) -> Option<McpSession> {
    let issuer = Issuer {
        document: document.into(),
        other: keys.into(),
    };
    let verifier = JwtVerifier::builder(ISSUER, resource)
        .fetch_with(Arc::new(issuer))
        .clock(clock)
        .build()
        .unwrap();
    session(verifier.verify(&PresentedToken::new(token)).await)
}

fn session<E>(verdict: Result<Verdict, E>) -> Option<McpSession> {
    match verdict {
        Ok(Verdict::Verified(session)) => Some(session),
        _ => None,
    }
}

/// The parameters of a query or a form that is well-formed.
pub fn params(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = Params::parse(text).ok()?.into_pairs();
    Some(
        pairs
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect(),
    )
}

/// What a person meant by what they typed, as it is shown.
pub fn user_code(typed: &str) -> Option<String> {
    UserCode::parse(typed).map(|code| code.shown().to_string())
}

/// Whether `uri` may be registered.
pub fn may_be_registered(uri: &str) -> bool {
    redirect::classify(uri).is_ok()
}

/// Whether a request for `requested` is answered there by who registered `registered`.
pub fn redirects(registered: &str, requested: &str) -> bool {
    redirect::matches(registered, requested)
}

fn offer() -> registration::Offer {
    registration::Offer {
        scopes: Scopes::from_tokens(["notes:read", "notes:write"]).unwrap(),
        jwt_bearer: true,
    }
}

/// What is stored of a registration: redirect URIs and all, as JSON.
pub fn registration(body: &[u8]) -> Option<serde_json::Value> {
    let metadata = registration::parse(body, &offer()).ok()?;
    serde_json::to_value(metadata).ok()
}

/// What is believed of a client's document, as JSON.
pub fn client_document(url: &str, body: &[u8]) -> Option<serde_json::Value> {
    if !document::is_document_url(url) {
        return None;
    }
    let document = document::parse(url, body, &offer()).ok()?;
    serde_json::to_value(document.metadata).ok()
}

/// For how many seconds an answer with these headers is kept at most; `None` where it says nothing.
pub fn max_age(headers: &HeaderMap) -> Option<u64> {
    CachePolicy::of(headers).max_age.map(|age| age.as_secs())
}
