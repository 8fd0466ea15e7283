//! Signed access tokens (RFC 9068): others can read them, and here they can still be revoked.
#![cfg(feature = "jwt")]

mod common;
#[path = "common/published.rs"]
mod published;

use std::convert::Infallible;

use axum::{Router, body::Body};
use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_auth::{
    JwtVerifier, McpAuth, McpAuthLayer, McpSession, MemoryStore, ProtectedResource, Resource,
    StaticClient,
};

const SIGNED: &str = "https://api.example.com/signed";

fn app() -> App {
    App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::confidential(
                "robot",
                "secret",
                ["https://robot.example/cb"],
            ))
            .resource_with(
                Resource::new(SIGNED)
                    .scopes(["notes:read", "notes:write"])
                    .jwt_access_tokens(),
            )
    })
}

const BASIC: &str = "robot:secret";

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(BASIC))
}

/// What the layer makes of a token.
async fn through(layer: McpAuthLayer, token: &str) -> (StatusCode, String) {
    let whoami = service_fn(|request: Request<Body>| async move {
        let session = request.extensions().get::<McpSession>().unwrap();
        let said = serde_json::to_value(session).unwrap();
        assert_eq!(said.get("is_client").is_some(), session.is_client());
        let body = Body::from(said.to_string());
        Ok::<_, Infallible>(Response::new(body))
    });
    let request = Request::post("/")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty());
    let response = layer.layer(whoami).oneshot(request.unwrap()).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(Body::new(response.into_body()), 10_000);
    (
        status,
        String::from_utf8(body.await.unwrap().to_vec()).unwrap(),
    )
}

async fn call(app: &App, token: &str) -> StatusCode {
    through(app.auth.protect("/signed").unwrap(), token).await.0
}

async fn post(app: &App, path: &str, params: &[(&str, &str)]) -> Answer {
    let request = Request::post(path)
        .header(header::AUTHORIZATION, basic())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    app.send(request.body(form(params).into()).unwrap()).await
}

async fn sign_in(app: &App, client: &str) -> Tokens {
    let asked = [("resource", SIGNED), ("scope", "notes:read openid")];
    app.tokens(client, "alice", &asked).await
}

#[tokio::test]
async fn a_token_says_what_rfc_9068_wants_said() {
    let app = app();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    browser.set("auth_time", "1799999000");
    let asked = [("resource", SIGNED), ("scope", "notes:read")];
    let code = browser.approve(&client, &asked).await;
    let tokens = Tokens::from(&app.redeem(&client, &code).await);
    let jwks = app.get("/oauth/jwks").await.json();
    let (header, mut claims) = published::read(&jwks, &tokens.access);
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["alg"], "RS256");
    let jti = claims["jti"].take();
    assert_eq!(jti.as_str().unwrap().len(), 22);
    assert_eq!(
        claims,
        json!({
            "iss": ORIGIN, "sub": "alice", "aud": SIGNED, "client_id": client, "jti": null,
            "scope": "notes:read", "iat": 1_800_000_000, "exp": 1_800_003_600,
            "auth_time": 1_799_999_000,
        })
    );
    assert_eq!(call(&app, &tokens.access).await, 200);
    // Everywhere else tokens stay opaque.
    let plain = app.tokens(&client, "alice", &[("resource", MCP)]).await;
    assert!(plain.access.starts_with("mcp_at_"));
}

#[tokio::test]
async fn it_can_be_revoked_like_any_other() {
    let app = app();
    let client = app.public_client().await;
    let tokens = sign_in(&app, &client).await;
    let (status, session) = through(app.auth.protect("/signed").unwrap(), &tokens.access).await;
    assert_eq!(status, 200);
    let session: Value = serde_json::from_str(&session).unwrap();
    assert!(session.get("is_client").is_none());
    assert_eq!(
        app.call("/oauth/userinfo", &tokens.access).await.status,
        200
    );
    let request = [("token", tokens.access.as_str()), ("client_id", &client)];
    let request = Request::post("/oauth/revoke")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form(&request).into());
    assert_eq!(app.send(request.unwrap()).await.status, 200);
    assert_eq!(call(&app, &tokens.access).await, 401);
    let refused = app.call("/oauth/userinfo", &tokens.access).await;
    refused.assert_error(401, "invalid_token");

    let next = Tokens::from(&app.refresh(&client, &tokens.refresh).await);
    assert_eq!(call(&app, &next.access).await, 200);
    let again = Tokens::from(&app.refresh(&client, &tokens.refresh).await);
    assert_eq!(again.access, next.access, "a repeat gives the same token");
    let alice = tower_mcp_auth::Subject::new("alice").unwrap();
    app.auth.revoke_user(&alice).await.unwrap();
    assert_eq!(call(&app, &next.access).await, 401);
}

#[tokio::test]
async fn a_machine_that_signs_none_revokes_what_another_signed() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let signs = App::with(|builder| {
        builder.store(std::sync::Arc::clone(&store)).resource_with(
            Resource::new(SIGNED)
                .scopes(["notes:read"])
                .jwt_access_tokens(),
        )
    });
    let signs_none = App::with(|builder| builder.store(store));
    let client = signs.public_client().await;
    let tokens = signs
        .tokens(&client, "alice", &[("resource", SIGNED)])
        .await;
    assert_eq!(call(&signs, &tokens.access).await, 200);
    let request = Request::post("/oauth/revoke")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form(&[("token", tokens.access.as_str()), ("client_id", &client)]).into());
    assert_eq!(signs_none.send(request.unwrap()).await.status, 200);
    let layer = signs.auth.protect("/signed").unwrap();
    signs.advance(3600 - 1);
    assert_eq!(through(layer, &tokens.access).await.0, 401);
}

#[tokio::test]
async fn only_what_was_issued_is_good_here_whoever_signed_it() {
    let app = app();
    let client = app.public_client().await;
    let tokens = sign_in(&app, &client).await;
    let asked = [("scope", "openid"), ("resource", SIGNED)];
    let code = Browser::of(&app, "alice").approve(&client, &asked).await;
    let answer = app.redeem(&client, &code).await.json();
    let id_token = answer["id_token"].as_str().unwrap();
    assert_eq!(call(&app, id_token).await, 401, "no access token");
    let [head, claims, signature] = tokens.access.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    let flipped: String = signature.chars().rev().collect();
    for forged in [
        format!("{head}.{claims}.{flipped}"),
        format!("{head}.{claims}."),
        format!("{head}.{claims}"),
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("eyJhbGciOiJub25lIn0.{claims}.{signature}"),
    ] {
        assert_eq!(call(&app, &forged).await, 401, "{forged}");
    }
    app.advance(3600);
    assert_eq!(call(&app, &tokens.access).await, 401, "expired");
}

#[tokio::test]
async fn introspection_knows_it() {
    let app = app();
    let asked = [("grant_type", "client_credentials"), ("resource", SIGNED)];
    let tokens = Tokens::from(&post(&app, "/oauth/token", &asked).await);
    let (status, session) = through(app.auth.protect("/signed").unwrap(), &tokens.access).await;
    assert_eq!(status, 200);
    let session: Value = serde_json::from_str(&session).unwrap();
    assert_eq!(session["is_client"], true);
    let ask = [("token", tokens.access.as_str())];
    let answer = post(&app, "/oauth/introspect", &ask).await.json();
    assert_eq!(answer["active"], true);
    assert_eq!(answer["aud"], SIGNED);
    assert_eq!(answer["sub"], "robot");
    post(&app, "/oauth/revoke", &ask).await;
    let answer = post(&app, "/oauth/introspect", &ask).await.json();
    assert_eq!(answer, json!({"active": false}));
}

/// A deployment that is reachable over the network, and a token of it.
async fn elsewhere(resource: &str) -> (String, String, McpAuth) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let auth = McpAuth::builder(&origin)
        .login_page("/sign-in")
        .authenticator(ByCookie)
        .client(StaticClient::confidential(
            "robot",
            "secret",
            Vec::<String>::new(),
        ))
        .resource_with(
            Resource::new(resource)
                .scopes(["notes:read", "notes:write"])
                .jwt_access_tokens(),
        )
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let router = Router::new()
        .nest_service(auth.endpoints_path(), auth.endpoints())
        .layer(auth.well_known());
    let served = router.clone();
    tokio::spawn(async move { axum::serve(listener, served).await });
    let request = Request::post("/oauth/token")
        .header(header::AUTHORIZATION, basic())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("grant_type=client_credentials"));
    let response = router.oneshot(request.unwrap()).await.unwrap();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await;
    let answer: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    let token = answer["access_token"].as_str().unwrap().to_owned();
    (origin, token, auth)
}

#[tokio::test]
async fn another_machine_takes_it_by_its_signature() {
    let (issuer, token, _auth) = elsewhere(MCP).await;
    let layer = |resource: &str| {
        let verifier = JwtVerifier::builder(&issuer, resource).build().unwrap();
        ProtectedResource::builder(resource, verifier)
            .scopes(["notes:read", "notes:write"])
            .build()
            .unwrap()
            .layer()
            .require("notes:write")
    };
    let (status, session) = through(layer(MCP), &token).await;
    assert_eq!(status, 200, "{session}");
    let session: Value = serde_json::from_str(&session).unwrap();
    assert_eq!(session["subject"], "robot");
    assert_eq!(session["resource"], MCP);
    assert_eq!(session["scope"], "notes:read notes:write");
    let (status, _) = through(layer("https://api.example.com/other"), &token).await;
    assert_eq!(status, 401, "it is for one resource");
    let (_, other, _auth) = elsewhere(MCP).await;
    let (status, _) = through(layer(MCP), &other).await;
    assert_eq!(status, 401, "an issuer of the same kind is still another");
}
