//! The layer in front of somebody else's issuer: a real one, run by Node.js.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "that is how a test fails"
)]

mod outside;

use std::{convert::Infallible, process::Stdio, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_auth::{
    Clock, IntrospectionVerifier, JwtVerifier, McpSession, ProtectedResource, Refusal, SystemClock,
    TestClock, TokenCache, TokenVerifier,
};

const API: &str = "https://api.example.com";
const MCP: &str = "https://api.example.com/mcp";

/// A running issuer.
struct Issuer {
    url: String,
    _process: Child,
    /// Kept open: an issuer that prints more must not meet a closed pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Issuer {
    async fn start() -> Option<Self> {
        let mut process = outside::scripts::issuer("issuer.mjs")?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        Some(Self {
            url: first.unwrap().unwrap().expect("it prints its address"),
            _process: process,
            _stdout: lines,
        })
    }

    async fn post(&self, path: &str, form: String) -> (StatusCode, String) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let request = Request::post(format!("{}{path}", self.url))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            // `agent`, `secret of agent: +%`, each form-encoded.
            .header(
                header::AUTHORIZATION,
                "Basic YWdlbnQ6c2VjcmV0K29mK2FnZW50JTNBKyUyQiUyNQ==",
            )
            .body(Full::from(form))
            .unwrap();
        let response = client.request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A token for what `path` stands for: see the issuer's script.
    async fn token(&self, path: &str) -> String {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", "notes:read")
            .append_pair("resource", &format!("{API}{path}"))
            .finish();
        let (status, body) = self.post("/token", form).await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// How often its keys were fetched so far.
    async fn rotate(&self, how: &str) -> u32 {
        self.post(how, String::new()).await.1.parse().unwrap()
    }

    fn jwt_verifier(&self, clock: &TestClock) -> JwtVerifier {
        let builder = JwtVerifier::builder(self.url.as_str(), MCP);
        builder.clock(clock.clone()).build().unwrap()
    }

    fn introspection(&self, clock: &TestClock) -> IntrospectionVerifier {
        IntrospectionVerifier::builder(self.url.as_str(), MCP)
            .credentials("mcp server", "secret of mcp server: +%")
            .clock(clock.clone())
            .build()
            .unwrap()
    }
}

fn clock() -> TestClock {
    TestClock::at(SystemClock.now())
}

fn resource(verifier: impl TokenVerifier, clock: &TestClock) -> ProtectedResource {
    ProtectedResource::builder(MCP, verifier)
        .scopes(["notes:read", "notes:write"])
        .cache(
            TokenCache::builder()
                .time_to_live(Duration::from_secs(30))
                .build(),
        )
        .clock(clock.clone())
        .build()
        .unwrap()
}

/// What a request with this token comes to: the session as JSON, or the refusal.
async fn call(resource: &ProtectedResource, token: &str) -> Result<Value, Refusal> {
    let whoami = service_fn(|request: Request<Full<Bytes>>| async move {
        let session = request.extensions().get::<McpSession>().unwrap();
        let session = serde_json::to_vec(session).unwrap();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(session)))
    });
    let request = Request::post("/mcp")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::default())
        .unwrap();
    let layer = resource.layer().require("notes:read");
    let response = layer.layer(whoami).oneshot(request).await.unwrap();
    match response.extensions().get::<Refusal>() {
        Some(refusal) => {
            let expected = if *refusal == Refusal::VerifierUnavailable {
                503
            } else {
                401
            };
            assert_eq!(response.status(), expected);
            Err(*refusal)
        }
        None => {
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            Ok(serde_json::from_slice(&body).unwrap())
        }
    }
}

/// RS-18.
#[tokio::test]
async fn signed_tokens_of_another_issuer() {
    let Some(issuer) = Issuer::start().await else {
        return;
    };
    let clock = clock();
    let resource = resource(issuer.jwt_verifier(&clock), &clock);

    let good = issuer.token("/mcp").await;
    let session = call(&resource, &good).await.unwrap();
    assert_eq!(session["subject"], "agent");
    assert_eq!(session["client_id"], "agent");
    assert_eq!(session["scope"], "notes:read");
    assert_eq!(session["resource"], MCP);
    for algorithm in ["PS256", "ES256", "Ed25519"] {
        let token = issuer.token(&format!("/sign/{algorithm}")).await;
        call(&resource, &token)
            .await
            .unwrap_or_else(|refusal| panic!("{algorithm}: {refusal:?}"));
    }

    let refused = async |token: &str| call(&resource, token).await.unwrap_err();
    assert_eq!(
        refused(&issuer.token("/other").await).await,
        Refusal::WrongAudience
    );
    for algorithm in ["HS256", "ES512"] {
        let token = issuer.token(&format!("/sign/{algorithm}")).await;
        assert_eq!(refused(&token).await, Refusal::UnknownToken, "{algorithm}");
    }
    let opaque = issuer.token("/opaque").await;
    assert_eq!(refused(&opaque).await, Refusal::UnknownToken);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let flipped: String = signature.chars().rev().collect();
    assert_eq!(
        refused(&format!("{signed}.{flipped}")).await,
        Refusal::UnknownToken
    );
    assert_eq!(refused(&format!("{signed}.")).await, Refusal::UnknownToken);

    clock.advance(Duration::from_secs(120));
    assert_eq!(refused(&good).await, Refusal::ExpiredToken);
}

/// RS-18: new keys are found, and strangers cannot make us look for them all the time.
#[tokio::test]
async fn keys_of_another_issuer_change() {
    let Some(issuer) = Issuer::start().await else {
        return;
    };
    let clock = clock();
    let resource = resource(issuer.jwt_verifier(&clock), &clock);
    let old = issuer.token("/mcp").await;
    call(&resource, &old).await.unwrap();
    clock.advance(Duration::from_secs(11));

    assert_eq!(
        issuer.rotate("/rotate").await,
        1,
        "one fetch for the first token"
    );
    let new = issuer.token("/mcp").await;
    assert_ne!(header_of(&old), header_of(&new), "another key");
    call(&resource, &new).await.unwrap();
    call(&resource, &old).await.unwrap();

    // Somebody else's issuer under the same name: its keys are not known here.
    let Some(stranger) = Issuer::start().await else {
        return;
    };
    assert_eq!(stranger.rotate("/rotate").await, 0);
    stranger.rotate("/rotate").await;
    let body = old.split('.').nth(1).unwrap();
    let header = header_of(&stranger.token("/mcp").await);
    for round in 0..20 {
        let forged = format!("{header}.{body}.{}{round}", "A".repeat(340));
        assert_eq!(
            call(&resource, &forged).await.unwrap_err(),
            Refusal::UnknownToken
        );
    }
    assert_eq!(
        issuer.rotate("/restart-with-none-of-them").await,
        2,
        "one more for all"
    );

    // What the issuer has taken back is believed no longer once its keys are fetched again.
    clock.advance(Duration::from_secs(31));
    let newest = issuer.token("/mcp").await;
    call(&resource, &newest).await.unwrap();
    assert_eq!(
        call(&resource, &new).await.unwrap_err(),
        Refusal::UnknownToken
    );
}

fn header_of(token: &str) -> String {
    token.split('.').next().unwrap().to_owned()
}

/// RS-19.
#[tokio::test]
async fn opaque_tokens_of_another_issuer() {
    let Some(issuer) = Issuer::start().await else {
        return;
    };
    let clock = clock();
    let resource = resource(issuer.introspection(&clock), &clock);
    let good = issuer.token("/opaque").await;
    let session = call(&resource, &good).await.unwrap();
    assert_eq!(session["client_id"], "agent");
    assert_eq!(session["subject"], "agent", "a client that acts for itself");
    assert_eq!(session["scope"], "notes:read");
    assert_eq!(session["resource"], MCP);

    let other = issuer.token("/opaque-other").await;
    assert_eq!(
        call(&resource, &other).await.unwrap_err(),
        Refusal::WrongAudience
    );
    assert_eq!(
        call(&resource, "garbage").await.unwrap_err(),
        Refusal::UnknownToken
    );

    // Revoked there: believed here until the cache has had its time.
    let (status, _) = issuer
        .post("/token/revocation", format!("token={good}"))
        .await;
    assert_eq!(status, 200);
    call(&resource, &good).await.unwrap();
    clock.advance(Duration::from_secs(31));
    assert_eq!(
        call(&resource, &good).await.unwrap_err(),
        Refusal::UnknownToken
    );

    let expired = issuer.token("/opaque").await;
    call(&resource, &expired).await.unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!(
        call(&resource, &expired).await.unwrap_err(),
        Refusal::ExpiredToken
    );
}

/// Nobody can say: 503, and good tokens are not thrown away.
#[tokio::test]
async fn an_issuer_that_cannot_be_asked() {
    let Some(issuer) = Issuer::start().await else {
        return;
    };
    let clock = clock();
    let token = issuer.token("/opaque").await;
    let wrong = IntrospectionVerifier::builder(issuer.url.as_str(), MCP)
        .credentials("mcp server", "not its secret")
        .build()
        .unwrap();
    let outcome = call(&resource(wrong, &clock), &token).await;
    assert_eq!(outcome.unwrap_err(), Refusal::VerifierUnavailable);

    // Its document names another issuer.
    let alias = issuer.url.replace("127.0.0.1", "localhost");
    let jwt = issuer.token("/mcp").await;
    let misnamed = IntrospectionVerifier::builder(alias, MCP)
        .credentials("mcp server", "secret of mcp server: +%")
        .build()
        .unwrap();
    let outcome = call(&resource(misnamed, &clock), &token).await;
    assert_eq!(outcome.unwrap_err(), Refusal::VerifierUnavailable);

    let verifier = issuer.jwt_verifier(&clock);
    drop(issuer);
    let outcome = call(&resource(verifier, &clock), &jwt).await;
    assert_eq!(outcome.unwrap_err(), Refusal::VerifierUnavailable);
}

/// RFC 9728: the document of a resource that stands by itself.
#[tokio::test]
async fn the_resource_says_whom_to_ask() {
    let clock = clock();
    let issuer = "https://login.example.com";
    let verifier = JwtVerifier::builder(issuer, MCP).build().unwrap();
    let resource = resource(verifier, &clock);
    let inner = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("inner")))
    });
    let issuers = [issuer, "https://login.example.org/tenant"];
    let service = resource.well_known(issuers).layer(inner);
    let get = async |path: &str| {
        let request = Request::get(path).body(Full::default()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    for path in [
        "/.well-known/oauth-protected-resource/mcp",
        "/mcp/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource",
    ] {
        let document: Value = serde_json::from_slice(&get(path).await).unwrap();
        assert_eq!(document["resource"], MCP);
        assert_eq!(
            document["authorization_servers"],
            serde_json::json!(issuers)
        );
        assert_eq!(
            document["scopes_supported"],
            serde_json::json!(["notes:read", "notes:write"])
        );
    }
    for path in [
        "/",
        "/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/other",
    ] {
        assert_eq!(&*get(path).await, b"inner", "{path}");
    }
}
