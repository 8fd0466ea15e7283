//! Two instances of this crate: one is the issuer, on a socket, the other stands in front of an MCP
//! server and knows nothing but the issuer's address.
#![cfg(feature = "jwt")]

#[path = "common/proofs.rs"]
mod proofs;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request as AxumRequest, middleware};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, Clock, IntrospectionVerifier, JwtVerifier, McpAuth,
    McpSession, MemoryStore, ProtectedResource, Refusal, Resource, SignedIn, StaticClient,
    SystemClock, TestClock, TokenCache, TokenVerifier,
};

use self::proofs::Key;

/// Where opaque tokens are good, and where signed ones are. Neither is on the issuer's machine.
const OPAQUE: &str = "https://notes.example.com/mcp";
const SIGNED: &str = "https://files.example.com/mcp";
/// How long the second instance believes a good token.
const BELIEVED: Duration = Duration::from_secs(30);

struct Nobody;

impl Authenticator for Nobody {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(None)
    }
}

/// The first instance.
struct Issuer {
    url: String,
    auth: McpAuth,
    /// How many requests came to it over its socket.
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let auth = McpAuth::builder(&url)
            .login_page("/sign-in")
            .authenticator(Nobody)
            .resource(OPAQUE, ["notes:read"])
            .resource_with(
                Resource::new(SIGNED)
                    .scopes(["notes:read"])
                    .jwt_access_tokens(),
            )
            .client(StaticClient::confidential("agent", "its-secret", [""; 0]))
            .client(StaticClient::confidential("mcp", "another", [""; 0]))
            .store(MemoryStore::new())
            .build()
            .unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let app = Router::new()
            .nest_service(auth.endpoints_path(), auth.endpoints())
            .layer(auth.well_known())
            .layer(middleware::map_request(move |request: AxumRequest| {
                counter.fetch_add(1, Ordering::Relaxed);
                async move { request }
            }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, auth, asked }
    }

    /// The answer to the client `agent`.
    async fn post(&self, path: &str, form: &str) -> Value {
        self.send(path, form, HeaderMap::new()).await
    }

    async fn send(&self, path: &str, form: &str, headers: HeaderMap) -> Value {
        let credentials = STANDARD.encode("agent:its-secret");
        let mut request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, format!("Basic {credentials}"))
            .body(Full::<Bytes>::from(form.to_owned()))
            .unwrap();
        request.headers_mut().extend(headers);
        let answer = self.auth.endpoints().oneshot(request).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap_or_default()
    }

    async fn token(&self, resource: &str) -> String {
        let form = format!("grant_type=client_credentials&resource={resource}");
        let answer = self.post("/oauth/token", &form).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// A token that is bound to `key`.
    async fn bound_token(&self, resource: &str, key: &Key) -> String {
        let (url, now) = (format!("{}/oauth/token", self.url), SystemClock.now());
        let proof = key.proof("POST", &url, None, now.as_secs()).sign();
        let form = format!("grant_type=client_credentials&resource={resource}");
        let answer = self.send("/oauth/token", &form, dpop(&proof)).await;
        assert_eq!(answer["token_type"], "DPoP", "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn revoke(&self, token: &str) {
        self.post("/oauth/revoke", &format!("token={token}")).await;
    }

    /// How many requests came since this was asked last.
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    fn introspection(&self, secret: &str, clock: &TestClock) -> IntrospectionVerifier {
        IntrospectionVerifier::builder(self.url.as_str(), OPAQUE)
            .credentials("mcp", secret)
            .clock(clock.clone())
            .build()
            .unwrap()
    }

    fn signatures(&self, clock: &TestClock) -> JwtVerifier {
        JwtVerifier::builder(self.url.as_str(), SIGNED)
            .clock(clock.clone())
            .build()
            .unwrap()
    }
}

fn dpop(proof: &str) -> HeaderMap {
    HeaderMap::from_iter([("dpop".parse().unwrap(), proof.parse().unwrap())])
}

/// The second instance.
fn elsewhere(url: &str, verifier: impl TokenVerifier, clock: &TestClock) -> ProtectedResource {
    ProtectedResource::builder(url, verifier)
        .scopes(["notes:read"])
        .cache(TokenCache::builder().time_to_live(BELIEVED).build())
        .clock(clock.clone())
        .build()
        .unwrap()
}

async fn call(resource: &ProtectedResource, token: &str) -> Result<Value, Refusal> {
    call_with(resource, &format!("Bearer {token}"), HeaderMap::new()).await
}

async fn call_with(
    resource: &ProtectedResource,
    credentials: &str,
    headers: HeaderMap,
) -> Result<Value, Refusal> {
    let whoami = service_fn(|request: Request<Full<Bytes>>| async move {
        let session = request.extensions().get::<McpSession>().unwrap();
        let session = serde_json::to_vec(session).unwrap();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(session)))
    });
    let mut request = Request::post("/mcp")
        .header(header::AUTHORIZATION, credentials)
        .body(Full::default())
        .unwrap();
    request.headers_mut().extend(headers);
    let layer = resource.layer().require("notes:read");
    let response = layer.layer(whoami).oneshot(request).await;
    let response = response.unwrap();
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        assert_eq!(response.status(), refusal.status());
        return Err(*refusal);
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Ok(serde_json::from_slice(&body).unwrap())
}

fn clock() -> TestClock {
    TestClock::at(SystemClock.now())
}

#[track_caller]
fn assert_agent(session: &Value, resource: &str) {
    assert_eq!(session["subject"], "agent", "{session}");
    assert_eq!(session["client_id"], "agent", "{session}");
    assert_eq!(session["is_client"], true, "{session}");
    assert_eq!(session["scope"], "notes:read", "{session}");
    assert_eq!(session["resource"], resource, "{session}");
}

#[tokio::test]
async fn an_opaque_token_is_good_until_its_revocation_is_noticed() {
    let (issuer, clock) = (Issuer::start().await, clock());
    let resource = elsewhere(OPAQUE, issuer.introspection("another", &clock), &clock);
    let token = issuer.token(OPAQUE).await;
    assert_agent(&call(&resource, &token).await.unwrap(), OPAQUE);
    assert_eq!(issuer.asked(), 2, "its document, and the token");
    call(&resource, &token).await.unwrap();
    assert_eq!(issuer.asked(), 0, "the answer is remembered");

    issuer.revoke(&token).await;
    clock.advance(BELIEVED - Duration::from_secs(1));
    call(&resource, &token).await.unwrap();
    clock.advance(Duration::from_secs(1));
    for _ in 0..3 {
        let refused = call(&resource, &token).await.unwrap_err();
        assert_eq!(refused, Refusal::UnknownToken);
    }
    assert_eq!(issuer.asked(), 1, "so is a bad answer");
    clock.advance(Duration::from_secs(10));
    let refused = call(&resource, &token).await.unwrap_err();
    assert_eq!(refused, Refusal::UnknownToken);
    assert_eq!(issuer.asked(), 1, "for ten seconds");

    // The client gets another one.
    let token = issuer.token(OPAQUE).await;
    call(&resource, &token).await.unwrap();
}

#[tokio::test]
async fn what_is_not_for_this_resource_or_nobody_issued_is_refused() {
    let (issuer, clock) = (Issuer::start().await, clock());
    let resource = elsewhere(OPAQUE, issuer.introspection("another", &clock), &clock);
    let other = issuer.token(SIGNED).await;
    assert_eq!(
        call(&resource, &other).await.unwrap_err(),
        Refusal::WrongAudience
    );
    for token in ["garbage", &other[..40]] {
        assert_eq!(
            call(&resource, token).await.unwrap_err(),
            Refusal::UnknownToken
        );
    }
}

#[tokio::test]
async fn who_may_not_introspect_cannot_say() {
    let (issuer, clock) = (Issuer::start().await, clock());
    let resource = elsewhere(OPAQUE, issuer.introspection("wrong", &clock), &clock);
    let token = issuer.token(OPAQUE).await;
    assert_eq!(
        call(&resource, &token).await.unwrap_err(),
        Refusal::VerifierUnavailable
    );
}

#[tokio::test]
async fn a_signed_token_is_good_without_asking_until_it_expires() {
    let (issuer, clock) = (Issuer::start().await, clock());
    let resource = elsewhere(SIGNED, issuer.signatures(&clock), &clock);
    let token = issuer.token(SIGNED).await;
    assert_agent(&call(&resource, &token).await.unwrap(), SIGNED);
    assert_eq!(issuer.asked(), 2, "its document and its keys");
    let second = issuer.token(SIGNED).await;
    call(&resource, &second).await.unwrap();
    assert_eq!(issuer.asked(), 0, "neither again for another token");

    let opaque = issuer.token(OPAQUE).await;
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = second.rsplit_once('.').unwrap();
    for bad in [opaque.as_str(), &format!("{signed}.{signature}")] {
        assert_eq!(
            call(&resource, bad).await.unwrap_err(),
            Refusal::UnknownToken
        );
    }
    // Nobody who only looks at signatures hears of a revocation: that is the price.
    issuer.revoke(&token).await;
    clock.advance(BELIEVED);
    call(&resource, &token).await.unwrap();
    clock.advance(Duration::from_secs(3600));
    assert_eq!(
        call(&resource, &token).await.unwrap_err(),
        Refusal::ExpiredToken
    );
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_needs_it_elsewhere_too() {
    let (issuer, clock) = (Issuer::start().await, clock());
    let (key, other) = (Key::es256(), Key::es256());
    let opaque = elsewhere(OPAQUE, issuer.introspection("another", &clock), &clock);
    let signed = elsewhere(SIGNED, issuer.signatures(&clock), &clock);
    for (url, resource) in [(OPAQUE, opaque), (SIGNED, signed)] {
        let token = issuer.bound_token(url, &key).await;
        let credentials = format!("DPoP {token}");
        let now = clock.now().as_secs();
        let proof = |key: &Key| dpop(&key.proof("POST", url, Some(&token), now).sign());
        let mine = call_with(&resource, &credentials, proof(&key)).await;
        assert_agent(&mine.unwrap(), url);
        let stolen = call_with(&resource, &credentials, proof(&other)).await;
        assert_eq!(stolen.unwrap_err().status(), 401, "{url}");
        let bare = call(&resource, &token).await;
        assert_eq!(bare.unwrap_err().status(), 401, "{url}");
    }
}
