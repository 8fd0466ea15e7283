//! Reading, changing and deleting a registration (RFC 7592).

mod common;

use axum::body::Body;
use common::*;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower_mcp_auth::{ClientMetadata, MemoryStore, PolicyError, Registration, RegistrationPolicy};

fn app() -> App {
    App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .registration_management(true)
    })
}

async fn send(app: &App, method: &str, uri: &str, token: &str, body: Option<Value>) -> Answer {
    let path = uri.strip_prefix(ORIGIN).unwrap();
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = match body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    app.send(request.body(body).unwrap()).await
}

/// A client with a secret: all of what it was told, its address and its token.
async fn register(app: &App) -> (Value, String, String) {
    let metadata = json!({"redirect_uris": [CALLBACK], "client_name": "before", "grant_types": ["authorization_code", "refresh_token"]});
    let body = app.register(metadata).await.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let (uri, token) = (
        text("registration_client_uri"),
        text("registration_access_token"),
    );
    (body, uri, token)
}

#[tokio::test]
async fn a_client_reads_what_it_registered_without_its_secret() {
    let app = app();
    let (registered, uri, token) = register(&app).await;
    let answer = send(&app, "GET", &uri, &token, None).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut expected = registered.clone();
    expected.as_object_mut().unwrap().remove("client_secret");
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn a_client_changes_its_metadata_and_keeps_its_secret() {
    let app = app();
    let (registered, uri, token) = register(&app).await;
    let id = registered["client_id"].as_str().unwrap();
    let changed = json!({"client_id": id, "redirect_uris": ["https://client.example/new"], "client_name": "after",
        "client_secret": registered["client_secret"], "grant_types": ["authorization_code"]});
    let answer = send(&app, "PUT", &uri, &token, Some(changed)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json()["client_name"], "after");
    let again = send(&app, "GET", &uri, &token, None).await.json();
    assert_eq!(
        again["redirect_uris"],
        json!(["https://client.example/new"])
    );
    let secret = registered["client_secret"].as_str().unwrap();
    let params = [
        ("client_id", id),
        ("client_secret", secret),
        ("grant_type", "x"),
    ];
    app.token(&params)
        .await
        .assert_error(400, "unsupported_grant_type");
}

#[tokio::test]
async fn an_update_may_not_touch_what_is_the_servers() {
    let app = app();
    let (registered, uri, token) = register(&app).await;
    let good = json!({"client_id": registered["client_id"], "redirect_uris": [CALLBACK]});
    for (name, value, code) in [
        ("client_id", json!("other"), "invalid_client_metadata"),
        ("client_id", Value::Null, "invalid_client_metadata"),
        ("client_secret", json!("other"), "invalid_client_metadata"),
        (
            "registration_access_token",
            json!("x"),
            "invalid_client_metadata",
        ),
        (
            "client_secret_expires_at",
            json!(0),
            "invalid_client_metadata",
        ),
        ("client_id_issued_at", json!(0), "invalid_client_metadata"),
        (
            "token_endpoint_auth_method",
            json!("none"),
            "invalid_client_metadata",
        ),
        (
            "redirect_uris",
            json!(["javascript:alert(1)"]),
            "invalid_redirect_uri",
        ),
    ] {
        let mut body = good.clone();
        body[name] = value;
        send(&app, "PUT", &uri, &token, Some(body))
            .await
            .assert_error(400, code);
    }
    send(&app, "PUT", &uri, &token, None)
        .await
        .assert_error(400, "invalid_client_metadata");
    assert_eq!(
        send(&app, "GET", &uri, &token, None).await.json()["client_name"],
        "before"
    );
}

#[tokio::test]
async fn a_deleted_client_is_gone_with_all_it_was_given() {
    let app = app();
    let (registered, uri, token) = register(&app).await;
    let text = |name: &str| registered[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let code = Browser::of(&app, "alice").approve(&id, &[]).await;
    let params = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("client_id", &id),
        ("client_secret", &secret),
    ];
    let tokens = Tokens::from(&app.token(&params).await);
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    let answer = send(&app, "DELETE", &uri, &token, None).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::NO_CONTENT, "")
    );
    assert_eq!(
        app.call("/mcp", &tokens.access).await.status,
        StatusCode::UNAUTHORIZED
    );
    send(&app, "GET", &uri, &token, None)
        .await
        .assert_error(401, "invalid_token");
    app.token(&params).await.assert_error(401, "invalid_client");
}

#[tokio::test]
async fn only_the_clients_own_token_manages_it() {
    let app = app();
    let (_, uri, token) = register(&app).await;
    let (_, other_uri, other) = register(&app).await;
    for method in ["GET", "PUT", "DELETE"] {
        for (uri, token) in [
            (&uri, ""),
            (&uri, "guess"),
            (&uri, other.as_str()),
            (&other_uri, token.as_str()),
        ] {
            let answer = send(&app, method, uri, token, None).await;
            answer.assert_error(401, "invalid_token");
            assert_eq!(
                answer.header("www-authenticate"),
                "Bearer error=\"invalid_token\""
            );
        }
    }
    for uri in [
        "https://api.example.com/oauth/register",
        "https://api.example.com/oauth/register?client_id=%ff",
    ] {
        send(&app, "GET", uri, &token, None)
            .await
            .assert_error(401, "invalid_token");
    }
}

#[tokio::test]
async fn a_public_client_is_everybodys_and_nobody_manages_it() {
    let app = app();
    let body = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"});
    let registered = app.register(body.clone()).await.json();
    assert_eq!(registered.get("registration_access_token"), None);
    assert_eq!(app.register(body).await.json(), registered);
}

#[tokio::test]
async fn where_it_is_not_switched_on_there_is_only_post() {
    let app = App::new();
    let registered = app
        .register(json!({"redirect_uris": [CALLBACK]}))
        .await
        .json();
    assert_eq!(registered.get("registration_client_uri"), None);
    let answer = app.get("/oauth/register?client_id=x").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), "POST, OPTIONS");
}

#[tokio::test]
async fn the_application_has_its_say_about_changes_too() {
    struct NoOthers;

    impl RegistrationPolicy for NoOthers {
        async fn decide(
            &self,
            _: &http::request::Parts,
            client: &ClientMetadata,
        ) -> Result<Registration, PolicyError> {
            Ok(match client.client_name.as_deref() {
                Some("before") => Registration::Allow,
                _ => Registration::Deny {
                    reason: "another name".to_owned(),
                },
            })
        }
    }

    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .registration_management(true)
            .registration_policy(NoOthers)
    });
    let (registered, uri, token) = register(&app).await;
    let renamed = json!({
        "client_id": registered["client_id"], "redirect_uris": [CALLBACK], "client_name": "after",
    });
    send(&app, "PUT", &uri, &token, Some(renamed))
        .await
        .assert_error(403, "access_denied");
    let kept = send(&app, "GET", &uri, &token, None).await.json();
    assert_eq!(kept["client_name"], "before");
}

#[tokio::test]
async fn nothing_more_goes_to_an_address_that_a_client_took_back() {
    let app = app();
    let (registered, uri, token) = register(&app).await;
    let text = |name: &str| registered[name].as_str().unwrap();
    let id = text("client_id");
    let secret = ("client_secret", text("client_secret"));
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(id, &[]).await;
    let begun = browser.authorize(id, &[]).await;
    let request = Request::post("/oauth/par")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(authorize_params(id, &[secret])));
    let pushed = app.send(request.unwrap()).await.json();
    let name = pushed["request_uri"].as_str().unwrap();

    let changed = json!({"client_id": id, "redirect_uris": ["https://client.example/new"]});
    let answer = send(&app, "PUT", &uri, &token, Some(changed)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");

    let pushed = form(&[("client_id", id), ("request_uri", name)]);
    for answer in [
        browser.decide(&page, "approve").await,
        browser.decide(&page, "deny").await,
        browser.get(begun.header("location")).await,
        browser.get(&format!("/oauth/authorize?{pushed}")).await,
    ] {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert_eq!(answer.header("location"), "");
    }
}
