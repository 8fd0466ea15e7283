//! Clients that describe themselves sign in with the documents that they really publish. Only
//! where these stand is changed: on this machine.
#![cfg(all(feature = "jwt", feature = "cimd"))]

mod common;
#[path = "common/jws.rs"]
mod jws;
#[path = "common/site.rs"]
mod site;

use axum::body::Body;
use common::*;
use http::Request;
use jws::Key;
use serde_json::{Value, json};
use site::Site;
use tower_mcp_auth::{Fetcher, MemoryStore};

const CLAUDE_CODE: &str = include_str!("documents/claude_code.json");
const CHATGPT: &str = include_str!("documents/chatgpt.json");
const NOW: u64 = 1_800_000_000;

fn app() -> App {
    App::with(|builder| {
        let fetcher = Fetcher::builder().danger_allow_loopback(true);
        builder
            .store(MemoryStore::new())
            .fetcher(fetcher.build().unwrap())
    })
}

/// Publishes `document` at this machine; the client's id.
fn publish(site: &Site, origin: &str, document: &str) -> (String, Value) {
    let id = format!("{origin}/client");
    let mut document: Value = serde_json::from_str(document).unwrap();
    document["client_id"] = json!(id);
    if document.get("jwks_uri").is_some() {
        document["jwks_uri"] = json!(format!("{origin}/keys"));
    }
    site.put("client", 200, &document);
    (id, document)
}

async fn approve(app: &App, user: &Browser<'_>, page: &Answer, id: &str, callback: &str) -> Tokens {
    let code = user.decide(page, "approve").await.redirect(callback)["code"].clone();
    let redeem = [
        ("grant_type", "authorization_code"),
        ("client_id", id),
        ("code", &*code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", callback),
        ("resource", MCP),
    ];
    Tokens::from(&app.token(&redeem).await)
}

/// A port of its own each time, which its document does not name.
#[tokio::test]
async fn claude_code_signs_in_from_any_port_and_is_asked_about_each_time() {
    let (app, site) = (app(), Site::default());
    let (id, _) = publish(&site, &site.serve().await, CLAUDE_CODE);
    let browser = Browser::of(&app, "alice");
    for callback in [
        "http://localhost:55611/callback",
        "http://127.0.0.1:52163/callback",
        "http://localhost/callback",
    ] {
        let page = browser
            .consent_page(&id, &[("redirect_uri", callback)])
            .await;
        let host = callback.split('/').nth(2).unwrap();
        for told in ["Claude Code", "described by", host, "on your own computer"] {
            assert!(page.body.contains(told), "{told}: {page:?}");
        }
        let tokens = approve(&app, &browser, &page, &id, callback).await;
        assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
        Tokens::from(&app.refresh(&id, &tokens.refresh).await);
    }
    for elsewhere in [
        "http://localhost:55611/callback/",
        "http://localhost:55611/other",
        "http://127.0.0.2:55611/callback",
        "https://localhost:55611/callback",
    ] {
        let answer = browser.authorize(&id, &[("redirect_uri", elsewhere)]).await;
        assert_eq!(answer.status.as_u16(), 400, "{elsewhere}: {answer:?}");
    }
}

/// It authenticates with its key wherever that is offered.
#[tokio::test]
async fn chatgpt_signs_in_and_refreshes_with_its_key() {
    let (app, site) = (app(), Site::default());
    let (id, document) = publish(&site, &site.serve().await, CHATGPT);
    let key = Key::rsa();
    site.put("keys", 200, &key.jwks("cimd-20260428030119"));
    let callback = document["redirect_uris"][0].as_str().unwrap();
    let offered = app.get("/.well-known/oauth-authorization-server").await;
    let offered = offered.json();
    let lists = |name: &str, what: &str| offered[name].as_array().unwrap().contains(&json!(what));
    assert!(lists(
        "token_endpoint_auth_methods_supported",
        "private_key_jwt"
    ));
    assert!(lists(
        "token_endpoint_auth_signing_alg_values_supported",
        "RS256"
    ));

    let mut number = 0;
    let mut assertion = || {
        number += 1;
        let claims = json!({"iss": id, "sub": id, "aud": ORIGIN, "jti": format!("{number}"),
            "iat": NOW, "exp": NOW + 60});
        key.sign(json!({"kid": "cimd-20260428030119"}), &claims)
    };
    let mut send = async |params: &[(&str, &str)]| {
        let assertion = assertion();
        let proof = [
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &*assertion),
        ];
        app.token(&[params, &proof].concat()).await
    };
    let browser = Browser::of(&app, "alice");
    let page = browser
        .consent_page(&id, &[("redirect_uri", callback)])
        .await;
    for told in ["ChatGPT", "chatgpt.com", "described by"] {
        assert!(page.body.contains(told), "{told}: {page:?}");
    }
    assert!(!page.body.contains("on your own computer"), "{page:?}");
    let code = browser.decide(&page, "approve").await.redirect(callback)["code"].clone();
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", callback),
        ("resource", MCP),
    ];
    let tokens = Tokens::from(&send(&redeem).await);
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*tokens.refresh),
    ];
    Tokens::from(&send(&refresh).await);
}

/// Whatever became of its document: a token that is given back is good no longer.
#[tokio::test]
async fn tokens_of_a_client_whose_document_is_gone_can_be_given_back() {
    let (app, site) = (app(), Site::default());
    let origin = site.serve().await;
    let (id, _) = publish(&site, &origin, CLAUDE_CODE);
    let callback = "http://localhost:55611/callback";
    let browser = Browser::of(&app, "alice");
    let page = browser
        .consent_page(&id, &[("redirect_uri", callback)])
        .await;
    let tokens = approve(&app, &browser, &page, &id, callback).await;
    let stranger = app.public_client().await;
    let others = app.tokens(&stranger, "alice", &[]).await;

    site.put("client", 404, "");
    app.advance(601);
    app.refresh(&id, &tokens.refresh)
        .await
        .assert_error(401, "invalid_client");
    let revoke = async |token: &str| {
        let body = form(&[("client_id", &id), ("token", token)]);
        let request = Request::post("/oauth/revoke")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body));
        app.send(request.unwrap()).await
    };
    revoke(&others.access)
        .await
        .assert_error(400, "unauthorized_client");
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    for token in [&tokens.access, &tokens.refresh] {
        let answer = revoke(token).await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    }
    assert_eq!(app.call("/mcp", &tokens.access).await.status.as_u16(), 401);
    publish(&site, &origin, CLAUDE_CODE);
    app.advance(61);
    app.refresh(&id, &tokens.refresh)
        .await
        .assert_error(400, "invalid_grant");
}
