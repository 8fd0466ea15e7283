//! What a token may know of its user, and what the layer knows of a token.

mod common;

use axum::body::Body;
use common::*;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn userinfo_tells_what_was_consented_to() {
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app
        .tokens(&client, "alice", &[("scope", "openid email notes:read")])
        .await;
    let answer = app.call("/oauth/userinfo", &tokens.access).await;
    assert_eq!(
        answer.json(),
        json!({"sub": "alice", "email": "alice@example.com"})
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let by_post = Request::post("/oauth/userinfo")
        .header("authorization", format!("bearer {}", tokens.access));
    assert_eq!(
        app.send(by_post.body(Body::empty()).unwrap()).await.json()["sub"],
        "alice"
    );
    let less = app.tokens(&client, "alice", &[("scope", "openid")]).await;
    assert_eq!(
        app.call("/oauth/userinfo", &less.access).await.json(),
        json!({"sub": "alice"})
    );
}

#[tokio::test]
async fn userinfo_refuses_in_the_terms_of_rfc_6750() {
    let app = App::new();
    let client = app.public_client().await;
    let without = app
        .tokens(&client, "alice", &[("scope", "notes:read")])
        .await;
    let refused = app.call("/oauth/userinfo", &without.access).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused
            .header("www-authenticate")
            .contains("error=\"insufficient_scope\"")
    );
    assert!(
        refused
            .header("www-authenticate")
            .contains("scope=\"openid\"")
    );

    let nobody = app.get("/oauth/userinfo").await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    assert_eq!(nobody.header("www-authenticate"), "Bearer scope=\"openid\"");

    let gone = app.tokens(&client, "gone", &[("scope", "openid")]).await;
    let expired = app.tokens(&client, "alice", &[("scope", "openid")]).await;
    for token in [gone.access.as_str(), "nonsense", "mcp_at_nonsense"] {
        let refused = app.call("/oauth/userinfo", token).await;
        refused.assert_error(401, "invalid_token");
        assert!(
            refused
                .header("www-authenticate")
                .starts_with("Bearer error=\"invalid_token\"")
        );
        assert!(
            refused
                .header("access-control-expose-headers")
                .contains("WWW-Authenticate")
        );
    }
    app.advance(3600);
    app.call("/oauth/userinfo", &expired.access)
        .await
        .assert_error(401, "invalid_token");
}

#[tokio::test]
async fn get_session_tells_what_the_layer_sees_and_holds_no_secret() {
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    let answer = app.call("/oauth/get-session", &tokens.access).await;
    assert_eq!(
        answer.json(),
        json!({
            "subject": "alice", "client_id": client, "scope": "notes:read", "resource": MCP,
            "issued_at": 1_800_000_000, "expires_at": 1_800_003_600,
        })
    );
    assert!(!answer.body.contains(&tokens.access) && !answer.body.contains(&tokens.refresh));

    for path in [
        "/oauth/get-session",
        "/oauth/get-session?resource=https%3A%2F%2Fapi.example.com%2Fmcp",
    ] {
        assert_eq!(app.get(path).await.json(), Value::Null);
        assert_eq!(app.call(path, "nonsense").await.json(), Value::Null);
    }
    let other = "/oauth/get-session?resource=https%3A%2F%2Fapi.example.com%2Ffiles";
    assert_eq!(app.call(other, &tokens.access).await.json(), Value::Null);
    app.get("/oauth/get-session?resource=https%3A%2F%2Fother.example")
        .await
        .assert_error(400, "invalid_target");
    // A token without its scheme is no credential.
    let bare = Request::get("/oauth/get-session").header("authorization", &tokens.access);
    assert_eq!(
        app.send(bare.body(Body::empty()).unwrap()).await.json(),
        Value::Null
    );
}

#[tokio::test]
async fn get_mcp_session_is_the_same_in_process() {
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    let mut headers = HeaderMap::new();
    assert!(app.auth.get_mcp_session(&headers).await.unwrap().is_none());
    headers.insert(
        "authorization",
        format!("Bearer {}", tokens.access).parse().unwrap(),
    );
    let session = app.auth.get_mcp_session(&headers).await.unwrap().unwrap();
    assert_eq!(session.subject().as_str(), "alice");
    assert!(session.has_scope("notes:read"));
    app.auth
        .revoke_grant(session.grant_id().unwrap())
        .await
        .unwrap();
    assert!(app.auth.get_mcp_session(&headers).await.unwrap().is_none());
}

#[tokio::test]
async fn two_tokens_are_an_invalid_request() {
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[("scope", "openid")]).await;
    let bearer = format!("Bearer {}", tokens.access);
    let request = Request::get("/oauth/userinfo")
        .header("authorization", &bearer)
        .header("authorization", &bearer);
    let answer = app.send(request.body(Body::empty()).unwrap()).await;
    answer.assert_error(400, "invalid_request");
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.starts_with("Bearer error=\"invalid_request\""),
        "{challenge}"
    );
}

#[tokio::test]
async fn an_application_that_cannot_answer_costs_patience_only() {
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "mute", &[("scope", "openid")]).await;
    let answer = app.call("/oauth/userinfo", &tokens.access).await;
    answer.assert_error(503, "temporarily_unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(answer.header("www-authenticate"), "");
}
