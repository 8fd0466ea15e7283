//! A consent is remembered for where the answer went: what a user allowed there opens nothing for
//! whoever can be answered elsewhere in the same client's name.

mod common;
#[path = "common/device.rs"]
mod devices;

use axum::body::Body;
use common::*;
use devices::*;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower_mcp_auth::MemoryStore;

const CLAUDE: &str = "https://claude.ai/api/mcp/auth_callback";
const STRANGER: &str = "https://stranger.example/cb";
const LOCAL: &str = "http://127.0.0.1/cb";

async fn register(app: &App, method: &str, redirect_uris: Value) -> Value {
    let answer = app
        .register(json!({
            "client_name": "Claude",
            "redirect_uris": redirect_uris,
            "token_endpoint_auth_method": method,
            "grant_types": ["authorization_code", "refresh_token", GRANT],
        }))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

fn id(client: &Value) -> &str {
    client["client_id"].as_str().unwrap()
}

/// What comes of asking without a page.
async fn silently(browser: &Browser<'_>, client: &str, redirect_uri: &str) -> Answer {
    let more = [("redirect_uri", redirect_uri), ("prompt", "none")];
    browser.authorize(client, &more).await
}

async fn assert_asks(browser: &Browser<'_>, client: &str, redirect_uri: &str) {
    let answer = silently(browser, client, redirect_uri).await;
    let told = answer.redirect(redirect_uri);
    assert_eq!(told["error"], "consent_required", "{redirect_uri}");
    assert!(!told.contains_key("code"), "{redirect_uri}");
    let more = [("redirect_uri", redirect_uri)];
    let page = browser.consent_page(client, &more).await;
    let host = redirect_uri.split('/').nth(2).unwrap();
    assert!(page.body.contains(host), "{page:?}");
}

#[tokio::test]
async fn what_was_allowed_at_one_address_is_asked_for_again_at_another() {
    let app = App::new();
    let client = register(&app, "none", json!([CLAUDE, STRANGER])).await;
    let browser = Browser::of(&app, "alice");
    browser
        .approve(id(&client), &[("redirect_uri", CLAUDE)])
        .await;
    assert_asks(&browser, id(&client), STRANGER).await;
    let silent = silently(&browser, id(&client), CLAUDE).await;
    assert!(silent.redirect(CLAUDE).contains_key("code"));

    // Once both are allowed, each is, and no more than was allowed at it.
    let less = [("redirect_uri", STRANGER), ("scope", "notes:write")];
    browser.approve(id(&client), &less).await;
    let silent = browser.authorize(id(&client), &less).await;
    assert!(silent.redirect(STRANGER).contains_key("code"));
    assert_asks(&browser, id(&client), STRANGER).await;
}

#[tokio::test]
async fn an_address_that_is_registered_later_is_asked_for() {
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .registration_management(true)
    });
    let client = register(&app, "client_secret_basic", json!([CLAUDE])).await;
    let browser = Browser::of(&app, "alice");
    browser
        .approve(id(&client), &[("redirect_uri", CLAUDE)])
        .await;

    let text = |name: &str| client[name].as_str().unwrap();
    let path = text("registration_client_uri").strip_prefix(ORIGIN);
    let changed = json!({"client_id": id(&client), "redirect_uris": [STRANGER]});
    let request = Request::put(path.unwrap())
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", text("registration_access_token")),
        )
        .body(Body::from(changed.to_string()));
    let answer = app.send(request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_asks(&browser, id(&client), STRANGER).await;
}

#[tokio::test]
async fn a_web_site_that_was_allowed_is_no_local_program() {
    let app = App::new();
    let client = register(&app, "client_secret_basic", json!([CLAUDE, LOCAL])).await;
    let browser = Browser::of(&app, "alice");
    browser
        .approve(id(&client), &[("redirect_uri", CLAUDE)])
        .await;
    assert_asks(&browser, id(&client), "http://127.0.0.1:5555/cb").await;

    // A program that proves who it is has another port every time.
    let first = [("redirect_uri", "http://127.0.0.1:5555/cb")];
    browser.approve(id(&client), &first).await;
    let other = "http://127.0.0.1:6666/cb";
    let silent = silently(&browser, id(&client), other).await;
    assert!(silent.redirect(other).contains_key("code"));
}

#[tokio::test]
async fn what_a_device_was_allowed_goes_to_no_address() {
    let app = App::new();
    let client = register(&app, "none", json!([CLAUDE])).await;
    let device = device_of(&app, id(&client)).await;
    approve(&app, "alice", &device).await;
    assert_asks(&Browser::of(&app, "alice"), id(&client), CLAUDE).await;
}

#[tokio::test]
async fn tls_makes_no_web_site_of_a_local_program() {
    let app = App::new();
    for uri in ["https://localhost:8443/cb", "https://127.0.0.1/cb"] {
        let client = register(&app, "none", json!([uri])).await;
        let browser = Browser::of(&app, "alice");
        let more = [("redirect_uri", uri)];
        let page = browser.consent_page(id(&client), &more).await;
        assert!(page.body.contains("on your own computer"), "{page:?}");
        browser.approve(id(&client), &more).await;
        assert_asks(&browser, id(&client), uri).await;
    }
}
