//! A client in its own name.

mod common;

use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use http::StatusCode;
use serde_json::json;
use tower_mcp_auth::{MemoryStore, StaticClient};

fn app() -> App {
    App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::confidential(
                "robot",
                "secret",
                Vec::<String>::new(),
            ))
    })
}

async fn ask(app: &App, more: &[(&str, &str)]) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode("robot:secret"));
    let mut params = vec![("grant_type", "client_credentials")];
    params.extend_from_slice(more);
    app.token_as(Some(&basic), &params).await
}

#[tokio::test]
async fn a_configured_client_gets_a_token_without_refresh_for_what_the_resource_challenges() {
    let app = app();
    let tokens = Tokens::from(&ask(&app, &[]).await);
    assert_eq!(
        (tokens.scope.as_str(), tokens.refresh.as_str()),
        ("notes:read", "")
    );
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "robot");
    let files = "https://api.example.com/files";
    let tokens = Tokens::from(&ask(&app, &[("resource", files), ("scope", "files:read")]).await);
    assert_eq!(
        app.call("/files", &tokens.access).await.status,
        StatusCode::OK
    );
    assert_eq!(
        app.call("/mcp", &tokens.access).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn scopes_about_users_are_not_for_clients() {
    let app = app();
    let tokens = Tokens::from(&ask(&app, &[("scope", "openid notes:write offline_access")]).await);
    assert_eq!(tokens.scope, "notes:write");
    ask(&app, &[("scope", "openid")])
        .await
        .assert_error(400, "invalid_scope");
    ask(&app, &[("scope", "quo\"te")])
        .await
        .assert_error(400, "invalid_scope");
    ask(&app, &[("resource", "https://other.example")])
        .await
        .assert_error(400, "invalid_target");
}

#[tokio::test]
async fn a_client_is_not_the_user_of_the_same_name() {
    let app = app();
    let robot = Tokens::from(&ask(&app, &[]).await);
    let mut headers = http::HeaderMap::new();
    headers.insert(
        "authorization",
        format!("Bearer {}", robot.access).parse().unwrap(),
    );
    let session = app.auth.get_mcp_session(&headers).await.unwrap().unwrap();
    assert!(session.is_client());
    let user = tower_mcp_auth::Subject::new("robot").unwrap();
    app.auth.revoke_user(&user).await.unwrap();
    assert_eq!(app.call("/mcp", &robot.access).await.body, "robot");
}

#[tokio::test]
async fn who_registered_itself_gets_nothing_without_a_user() {
    let app = app();
    let public = app.public_client().await;
    let params = [
        ("grant_type", "client_credentials"),
        ("client_id", public.as_str()),
    ];
    app.token(&params)
        .await
        .assert_error(400, "unauthorized_client");
    let body = app
        .register(json!({"redirect_uris": [CALLBACK]}))
        .await
        .json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let params = [
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", &secret),
    ];
    app.token(&params)
        .await
        .assert_error(400, "unauthorized_client");
}
