//! Pushed authorization requests (RFC 9126).

mod common;

use axum::body::Body;
use common::*;
use http::{Request, StatusCode};
use tower_mcp_auth::MemoryStore;

async fn push(app: &App, body: String) -> Answer {
    let request = Request::post("/oauth/par")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body));
    app.send(request.unwrap()).await
}

async fn pushed(app: &App, client: &str, more: &[(&str, &str)]) -> String {
    let answer = push(app, authorize_params(client, more)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["expires_in"], 90);
    answer.json()["request_uri"].as_str().unwrap().to_owned()
}

fn by_name(client: &str, request_uri: &str) -> String {
    let query = form(&[("client_id", client), ("request_uri", request_uri)]);
    format!("/oauth/authorize?{query}")
}

#[tokio::test]
async fn a_pushed_request_is_carried_on_by_its_name() {
    let app = App::new();
    let client = app.public_client().await;
    let name = pushed(&app, &client, &[]).await;
    assert!(
        name.starts_with("urn:ietf:params:oauth:request_uri:"),
        "{name}"
    );
    let browser = Browser::of(&app, "alice");
    let begun = browser.get(&by_name(&client, &name)).await;
    let page = browser.get(begun.header("location")).await;
    let answer = browser.decide(&page, "approve").await.redirect(CALLBACK);
    assert_eq!(answer["state"], "a state&more");
    Tokens::from(&app.redeem(&client, &answer["code"]).await);
}

#[tokio::test]
async fn a_name_is_good_once_for_its_client_and_for_ninety_seconds() {
    let app = App::new();
    let client = app.public_client().await;
    let other = {
        let body = serde_json::json!({"redirect_uris": ["https://other.example/"], "token_endpoint_auth_method": "none"});
        app.register(body).await.json()["client_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let name = pushed(&app, &client, &[]).await;
    let refused = |path: String| {
        let app = app.clone();
        async move {
            app.get(&path)
                .await
                .assert_error(400, "invalid_request_uri")
        }
    };
    refused(by_name(&other, &name)).await;
    refused(by_name(&client, "urn:ietf:params:oauth:request_uri:guess")).await;
    let nobodys = format!("/oauth/authorize?{}", form(&[("request_uri", &name)]));
    let answer = app.get(&nobodys).await;
    answer.assert_error(400, "invalid_request");
    assert!(answer.body.contains("client_id is missing"), "{answer:?}");
    for (again, value) in [("client_id", &client), ("request_uri", &name)] {
        let twice = format!("{}&{}", by_name(&client, &name), form(&[(again, value)]));
        let answer = app.get(&twice).await;
        answer.assert_error(400, "invalid_request");
        assert!(answer.body.contains("more than once"), "{answer:?}");
    }
    let browser = Browser::of(&app, "alice");
    browser
        .get(&by_name(&client, &name))
        .await
        .redirect("https://api.example.com/oauth/consent");
    refused(by_name(&client, &name)).await;
    let name = pushed(&app, &client, &[]).await;
    app.advance(90);
    refused(by_name(&client, &name)).await;
    app.get(&by_name("nobody", &name))
        .await
        .assert_error(400, "invalid_client");
}

#[tokio::test]
async fn what_is_refused_later_is_refused_when_pushed() {
    let app = App::new();
    let client = app.public_client().await;
    for (more, status, error) in [
        (vec![("client_id", "nobody")], 401, "invalid_client"),
        (
            vec![("redirect_uri", "https://evil.example/")],
            400,
            "invalid_request",
        ),
        (vec![("code_challenge", "")], 400, "invalid_request"),
        (vec![("scope", "unheard:of")], 400, "invalid_scope"),
        (
            vec![("resource", "https://other.example")],
            400,
            "invalid_target",
        ),
        (
            vec![("response_type", "token")],
            400,
            "unsupported_response_type",
        ),
        (vec![("request_uri", "urn:x")], 400, "invalid_request"),
        (vec![("max_age", "-1")], 400, "invalid_request"),
        (vec![("dpop_jkt", "short")], 400, "invalid_request"),
    ] {
        push(&app, authorize_params(&client, &more))
            .await
            .assert_error(status, error);
    }
    assert_eq!(
        app.get("/oauth/par").await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn pushing_can_be_required() {
    let app = App::with(|b| {
        b.store(MemoryStore::new())
            .require_pushed_authorization_requests()
    });
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let refused = browser.authorize(&client, &[]).await.redirect(CALLBACK);
    assert_eq!(refused["error"], "invalid_request");
    let name = pushed(&app, &client, &[]).await;
    browser
        .get(&by_name(&client, &name))
        .await
        .redirect("https://api.example.com/oauth/consent");
    let document = app
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(document["require_pushed_authorization_requests"], true);
}

#[tokio::test]
async fn only_so_many_requests_wait_at_once() {
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .max_pending_authorizations(2)
    });
    let client = app.public_client().await;
    for _ in 0..2 {
        pushed(&app, &client, &[]).await;
    }
    let full = push(&app, authorize_params(&client, &[])).await;
    full.assert_error(429, "temporarily_unavailable");
    assert!(!full.header("retry-after").is_empty());
}
