//! A protected resource whose tokens a test makes up.
#![allow(dead_code, unused_imports, reason = "each test uses some of it")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};
use tower_mcp_auth::{
    ClientId, GrantId, McpSession, McpSessionBuilder, PresentedToken, ProtectedResource,
    ResourceUri, Scopes, Subject, TestClock, Timestamp, TokenVerifier, Verdict,
    VerifierUnavailable,
};

pub(crate) const MCP: &str = "https://api.example.com/mcp";
pub(crate) const METADATA: &str =
    "https://api.example.com/.well-known/oauth-protected-resource/mcp";
pub(crate) const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Says what it was told to say.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<State>);

#[derive(Default)]
struct State {
    tokens: Mutex<HashMap<String, Verdict>>,
    calls: AtomicUsize,
    down: AtomicBool,
}

impl Told {
    pub(crate) fn token(&self, text: &str, verdict: Verdict) {
        self.0
            .tokens
            .lock()
            .unwrap()
            .insert(text.to_owned(), verdict);
    }

    pub(crate) fn good(&self, text: &str, session: McpSession) {
        self.token(text, Verdict::Verified(session));
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn is_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }
}

impl TokenVerifier for Told {
    fn recognises(&self, token: &str) -> bool {
        !token.starts_with("garbage")
    }

    async fn verify(&self, token: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.down.load(Ordering::SeqCst) {
            return Err(VerifierUnavailable::new("the disk is on fire"));
        }
        let tokens = self.0.tokens.lock().unwrap();
        Ok(tokens
            .get(token.reveal())
            .cloned()
            .unwrap_or(Verdict::Unknown))
    }
}

/// A session of an hour.
pub(crate) struct Session {
    pub(crate) subject: &'static str,
    pub(crate) client: &'static str,
    pub(crate) scopes: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) expires_at: Timestamp,
    pub(crate) grant: Option<u8>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            subject: "alice",
            client: "agent",
            scopes: "notes:read",
            resource: MCP,
            expires_at: Timestamp::from_secs(START.as_secs() + 3600),
            grant: None,
        }
    }
}

impl Session {
    pub(crate) fn build(self) -> McpSession {
        self.into_builder().build()
    }

    pub(crate) fn into_builder(self) -> McpSessionBuilder {
        let builder = McpSession::builder(
            Subject::new(self.subject).unwrap(),
            ClientId::new(self.client).unwrap(),
            ResourceUri::parse(self.resource).unwrap(),
            self.expires_at,
        )
        .scopes(Scopes::parse(self.scopes).unwrap())
        .issued_at(START);
        match self.grant {
            Some(id) => builder.grant_id(GrantId::from_bytes([id; 16])),
            None => builder,
        }
    }
}

/// `MCP` with two scopes, one of them asked for at the door, and alice's token `alice`.
pub(crate) fn resource() -> (ProtectedResource, Told, TestClock) {
    let told = Told::default();
    told.good("alice", Session::default().build());
    let clock = TestClock::at(START);
    let resource = ProtectedResource::builder(MCP, told.clone())
        .scopes("notes:read notes:write")
        .challenge_scopes("notes:read")
        .clock(clock.clone())
        .build()
        .unwrap();
    (resource, told, clock)
}

pub(crate) fn post(token: Option<&str>) -> http::request::Builder {
    let request = Request::post("/mcp").header("content-type", "application/json");
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

/// What came back, read to the end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) refusal: Option<tower_mcp_auth::Refusal>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn challenge(&self) -> &str {
        self.header("www-authenticate")
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
            .to_str()
            .unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) async fn send<S, B, RB>(service: &S, request: Request<B>) -> Answer
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: std::fmt::Debug,
    RB: Body<Data = Bytes>,
    RB::Error: std::fmt::Debug,
{
    let response = service.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        refusal: parts.extensions.get().copied(),
        body: body.collect().await.unwrap().to_bytes(),
    }
}

pub(crate) fn empty(request: http::request::Builder) -> Request<Full<Bytes>> {
    request.body(Full::default()).unwrap()
}
