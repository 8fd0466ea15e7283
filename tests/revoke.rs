//! Giving tokens back (RFC 7009) and asking about them (RFC 7662).

mod common;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower_mcp_auth::{MemoryStore, StaticClient};

fn app() -> App {
    App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::confidential(
                "rs",
                "secret",
                Vec::<String>::new(),
            ))
    })
}

async fn post(app: &App, path: &str, basic: Option<&str>, params: &[(&str, &str)]) -> Answer {
    let mut request =
        Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    if let Some(basic) = basic {
        request = request.header("authorization", format!("Basic {}", STANDARD.encode(basic)));
    }
    app.send(request.body(Body::from(form(params))).unwrap())
        .await
}

async fn revoke(app: &App, client: &str, token: &str) -> Answer {
    post(
        app,
        "/oauth/revoke",
        None,
        &[("client_id", client), ("token", token)],
    )
    .await
}

async fn introspect(app: &App, token: &str) -> Value {
    let answer = post(
        app,
        "/oauth/introspect",
        Some("rs:secret"),
        &[("token", token)],
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

#[tokio::test]
async fn a_revoked_access_token_dies_alone_and_at_once() {
    let app = app();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    let answer = revoke(&app, &client, &tokens.access).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "{}")
    );
    assert_eq!(answer.header("content-type"), "application/json");
    let refused = app.call("/mcp", &tokens.access).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let next = Tokens::from(&app.refresh(&client, &tokens.refresh).await);
    assert_eq!(app.call("/mcp", &next.access).await.body, "alice");
}

#[tokio::test]
async fn a_revoked_refresh_token_takes_its_access_tokens_along() {
    let app = app();
    let client = app.public_client().await;
    let first = app.tokens(&client, "alice", &[]).await;
    let second = Tokens::from(&app.refresh(&client, &first.refresh).await);
    assert_eq!(app.call("/mcp", &second.access).await.body, "alice");
    revoke(&app, &client, &second.refresh).await;
    for access in [&first.access, &second.access] {
        assert_eq!(
            app.call("/mcp", access).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    app.refresh(&client, &second.refresh)
        .await
        .assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn what_is_unknown_is_as_good_as_revoked_and_what_is_not_yours_stays() {
    let app = app();
    let client = app.public_client().await;
    for token in [
        "nonsense",
        "mcp_at_nonsense",
        &format!("mcp_at_{}", "A".repeat(43)),
        &format!("mcp_rt_{}", "A".repeat(43)),
    ] {
        assert_eq!(
            revoke(&app, &client, token).await.status,
            StatusCode::OK,
            "{token}"
        );
    }
    let tokens = app.tokens(&client, "alice", &[]).await;
    for token in [&tokens.access, &tokens.refresh] {
        let answer = post(
            &app,
            "/oauth/revoke",
            Some("rs:secret"),
            &[("token", token)],
        )
        .await;
        answer.assert_error(400, "unauthorized_client");
    }
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
}

#[tokio::test]
async fn both_take_a_client_and_a_token() {
    let app = app();
    let client = app.public_client().await;
    for path in ["/oauth/revoke", "/oauth/introspect"] {
        post(&app, path, None, &[("token", "x")])
            .await
            .assert_error(401, "invalid_client");
        let wrong = post(&app, path, Some("rs:wrong"), &[("token", "x")]).await;
        wrong.assert_error(401, "invalid_client");
        assert_eq!(wrong.header("www-authenticate"), "Basic realm=\"token\"");
        post(&app, path, Some("rs:secret"), &[])
            .await
            .assert_error(400, "invalid_request");
        let twice = [("token", "x"), ("token", "y")];
        post(&app, path, Some("rs:secret"), &twice)
            .await
            .assert_error(400, "invalid_request");
        assert_eq!(app.get(path).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    let public = [("client_id", client.as_str()), ("token", "x")];
    post(&app, "/oauth/introspect", None, &public)
        .await
        .assert_error(401, "invalid_client");
}

#[tokio::test]
async fn introspection_says_what_a_live_token_allows_and_where() {
    let app = app();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    let active = json!({
        "active": true, "scope": "notes:read", "client_id": client, "token_type": "Bearer",
        "sub": "alice", "aud": MCP, "iss": ORIGIN, "iat": 1_800_000_000, "exp": 1_800_003_600,
    });
    assert_eq!(introspect(&app, &tokens.access).await, active);
}

/// A resource server that goes by `active` would take it for an access token: one that lives for a
/// week, and that whoever stole it can use without being the client.
#[tokio::test]
async fn a_refresh_token_is_no_token_to_a_resource_server() {
    let app = app();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    let inactive = json!({"active": false});
    assert_eq!(introspect(&app, &tokens.refresh).await, inactive);
}

#[tokio::test]
async fn of_a_dead_token_introspection_says_nothing_else() {
    let app = app();
    let client = app.public_client().await;
    let inactive = json!({"active": false});
    let used = app.tokens(&client, "alice", &[]).await;
    app.refresh(&client, &used.refresh).await;
    let revoked = app.tokens(&client, "alice", &[]).await;
    revoke(&app, &client, &revoked.refresh).await;
    for token in ["nonsense", &used.refresh, &revoked.access, &revoked.refresh] {
        assert_eq!(introspect(&app, token).await, inactive);
    }
    app.advance(3600);
    assert_eq!(introspect(&app, &used.access).await, inactive);
}

#[tokio::test]
async fn a_registered_client_may_ask_about_its_own_tokens_only() {
    let app = app();
    let registered = app
        .register(json!({
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
        }))
        .await
        .json();
    let text = |name: &str| registered[name].as_str().unwrap().to_owned();
    let basic = format!("{}:{}", text("client_id"), text("client_secret"));
    let code = Browser::of(&app, "alice")
        .approve(&text("client_id"), &[])
        .await;
    let params = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", VERIFIER),
    ];
    let own = Tokens::from(&post(&app, "/oauth/token", Some(&basic), &params).await);
    let other = app.tokens(&app.public_client().await, "alice", &[]).await;
    for (token, active) in [(&own.access, true), (&other.access, false)] {
        let answer = post(&app, "/oauth/introspect", Some(&basic), &[("token", token)]).await;
        assert_eq!(answer.json()["active"], active);
    }
    let answer = post(
        &app,
        "/oauth/introspect",
        Some(&basic),
        &[("token", &own.refresh)],
    )
    .await;
    let refresh = answer.json();
    assert_eq!(
        (&refresh["active"], &refresh["exp"]),
        (&json!(true), &json!(1_800_604_800))
    );
    assert_eq!(refresh["aud"], MCP);
    assert_eq!(refresh.get("token_type"), None);
}

#[tokio::test]
async fn a_hint_about_the_kind_of_token_may_be_wrong() {
    let app = app();
    let client = app.public_client().await;
    for hint in ["refresh_token", "access_token", "unheard_of"] {
        let tokens = app.tokens(&client, "alice", &[]).await;
        for (token, active) in [(tokens.access.as_str(), true), ("nonsense", false)] {
            let params = [("token", token), ("token_type_hint", hint)];
            let answer = post(&app, "/oauth/introspect", Some("rs:secret"), &params).await;
            assert_eq!(answer.json()["active"], active, "{hint}");
        }
        let params = [
            ("client_id", client.as_str()),
            ("token", &tokens.access),
            ("token_type_hint", hint),
        ];
        let answer = post(&app, "/oauth/revoke", None, &params).await;
        assert_eq!(answer.status, StatusCode::OK, "{hint}");
        let refused = app.call("/mcp", &tokens.access).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{hint}");
    }
}

#[tokio::test]
async fn the_application_can_end_a_client() {
    let app = app();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    let id = tower_mcp_auth::ClientId::new(client.as_str()).unwrap();
    app.auth.delete_client(&id).await.unwrap();
    let refused = app.call("/mcp", &tokens.access).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    app.refresh(&client, &tokens.refresh)
        .await
        .assert_error(401, "invalid_client");
}
