//! A device, and the person who lets it in.
#![allow(dead_code, reason = "every test file uses a part of it")]

use http::{Request, StatusCode, header};
use serde_json::json;

use super::common::*;

pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub const PAGE: &str = "https://api.example.com/oauth/device";
pub const LOGIN: &str = "https://api.example.com/sign-in";

/// What the device was given.
pub struct Device {
    pub code: String,
    pub user_code: String,
    pub client: String,
}

pub async fn begin(app: &App, params: &[(&str, &str)]) -> Answer {
    let request = Request::post("/oauth/device-authorization")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form(params).into());
    app.send(request.unwrap()).await
}

/// A client that knows no other grant.
pub async fn device_client(app: &App, name: &str) -> String {
    let answer = app
        .register(json!({
            "client_name": name, "token_endpoint_auth_method": "none",
            "grant_types": [GRANT, "refresh_token"], "response_types": [],
        }))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

pub async fn device(app: &App) -> Device {
    let client = device_client(app, "Television").await;
    device_of(app, &client).await
}

pub async fn device_of(app: &App, client: &str) -> Device {
    let answer = begin(
        app,
        &[
            ("client_id", client),
            ("scope", "notes:read"),
            ("resource", MCP),
        ],
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let body = answer.json();
    Device {
        code: body["device_code"].as_str().unwrap().to_owned(),
        user_code: body["user_code"].as_str().unwrap().to_owned(),
        client: client.to_owned(),
    }
}

pub async fn poll_as(app: &App, client: &str, code: &str) -> Answer {
    app.token(&[
        ("grant_type", GRANT),
        ("client_id", client),
        ("device_code", code),
    ])
    .await
}

pub async fn poll(app: &App, device: &Device) -> Answer {
    poll_as(app, &device.client, &device.code).await
}

/// Sends the form of `page` back, with `more` typed into it or pressed on it.
pub async fn submit(browser: &Browser<'_>, page: &Answer, more: &[(&str, &str)]) -> Answer {
    let fields = page.fields();
    let hidden = fields.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let pairs: Vec<_> = hidden.chain(more.iter().copied()).collect();
    browser.post(PAGE, form(&pairs)).await
}

/// Types a code into a fresh form.
pub async fn type_code(browser: &Browser<'_>, code: &str) -> Answer {
    let page = browser.get(PAGE).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    submit(browser, &page, &[("user_code", code)]).await
}

pub async fn confirm_page(browser: &Browser<'_>, device: &Device) -> Answer {
    let page = type_code(browser, &device.user_code).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(page.body.contains("Approve"), "{page:?}");
    page
}

pub async fn decide(browser: &Browser<'_>, page: &Answer, decision: &str) -> Answer {
    submit(browser, page, &[("decision", decision)]).await
}

pub async fn approve(app: &App, user: &str, device: &Device) {
    let browser = Browser::of(app, user);
    let page = confirm_page(&browser, device).await;
    let done = decide(&browser, &page, "approve").await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert!(done.body.contains("go back to your device"), "{done:?}");
}
