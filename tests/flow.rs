//! The whole way of a client, from knowing a URL to refreshing.

mod common;

use common::*;
use http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_client_that_knows_only_a_url_signs_in_calls_and_refreshes() {
    let app = App::new();

    let refused = app.get("/mcp").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource/mcp\", scope=\"notes:read\""
    );
    let resource = app
        .get("/.well-known/oauth-protected-resource/mcp")
        .await
        .json();
    assert_eq!(resource["resource"], MCP);
    assert_eq!(resource["authorization_servers"], json!([ORIGIN]));
    let server = app
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(server["issuer"], ORIGIN);
    assert_eq!(
        server["token_endpoint"],
        "https://api.example.com/oauth/token"
    );

    let client = app.public_client().await;
    let browser = Browser::new(&app);
    let begun = browser.authorize(&client, &[]).await;
    let transaction = begun.redirect("https://api.example.com/sign-in")["transaction"].clone();
    browser.sign_in("alice");
    let page = browser.get(&app.auth.resume_url(&transaction)).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(page.body.contains("client.example"), "{page:?}");
    assert!(
        page.body.contains("notes:read") && page.body.contains("ALICE"),
        "{page:?}"
    );
    let answer = browser.decide(&page, "approve").await.redirect(CALLBACK);
    assert_eq!(answer["state"], "a state&more");
    assert_eq!(answer["iss"], ORIGIN);

    let redeemed = app.redeem(&client, &answer["code"]).await;
    assert_eq!(redeemed.header("cache-control"), "no-store");
    assert_eq!(redeemed.header("access-control-allow-origin"), "*");
    let tokens = Tokens::from(&redeemed);
    assert_eq!(
        (tokens.scope.as_str(), tokens.expires_in),
        ("notes:read", 3590)
    );
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");

    let refreshed = Tokens::from(&app.refresh(&client, &tokens.refresh).await);
    assert_ne!(refreshed.access, tokens.access);
    assert_ne!(refreshed.refresh, tokens.refresh);
    assert_eq!(app.call("/mcp", &refreshed.access).await.body, "alice");
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
}

#[tokio::test]
async fn a_token_is_good_where_it_was_asked_for_and_nowhere_else() {
    let app = App::new();
    let client = app.public_client().await;
    let files = "https://api.example.com/files";
    let tokens = app
        .tokens(
            &client,
            "alice",
            &[("resource", files), ("scope", "files:read")],
        )
        .await;
    assert_eq!(app.call("/files", &tokens.access).await.body, "alice");
    let refused = app.call("/mcp", &tokens.access).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(
        refused
            .header("www-authenticate")
            .contains("error=\"invalid_token\"")
    );
}

#[tokio::test]
async fn without_a_resource_the_default_one_is_meant_and_without_a_scope_its_challenge() {
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app
        .tokens(&client, "alice", &[("resource", ""), ("scope", "")])
        .await;
    assert_eq!(tokens.scope, "notes:read openid");
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    assert_eq!(
        app.call("/files", &tokens.access).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn an_expired_token_is_refused_to_the_second() {
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    app.advance(3599);
    assert_eq!(
        app.call("/mcp", &tokens.access).await.status,
        StatusCode::OK
    );
    app.advance(1);
    assert_eq!(
        app.call("/mcp", &tokens.access).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn extractors_know_whether_the_layer_ran() {
    let app = App::new();
    assert_eq!(app.get("/open").await.body, "false");
    let unlayered = app.get("/unlayered").await;
    assert_eq!(unlayered.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(unlayered.body.contains("McpAuthLayer"), "{unlayered:?}");
}

#[tokio::test]
async fn a_client_of_2025_03_26_finds_its_endpoints_at_the_origin() {
    let app = App::new();
    let with: axum::Router = axum::Router::new()
        .nest_service(app.auth.endpoints_path(), app.auth.endpoints())
        .layer(app.auth.fallback_endpoints());
    for (method, path, expected) in [
        ("POST", "/register", 400),
        ("POST", "/token", 400),
        ("GET", "/authorize", 400),
        ("GET", "/token", 405),
        ("GET", "/token/", 404),
        ("GET", "/other", 404),
    ] {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(with.clone(), request)
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), expected, "{method} {path}");
    }
}
