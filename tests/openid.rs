//! OpenID Connect: who signed in, said in a form that clients can check.
#![cfg(feature = "jwt")]

mod common;
#[path = "common/published.rs"]
mod published;

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use common::*;
use http::Method;
use serde_json::{Value, json};
use tower_mcp_auth::MemoryStore;

const DAY: u64 = 24 * 3600;

/// The header and the claims of a signed token, checked against the published keys.
async fn read(app: &App, token: &str) -> (Value, Value) {
    published::read(&app.get("/oauth/jwks").await.json(), token)
}

async fn sign_in(app: &App, client: &str, user: &str, more: &[(&str, &str)]) -> Value {
    let browser = Browser::of(app, user);
    let code = browser.approve(client, more).await;
    app.redeem(client, &code).await.json()
}

fn id_token(answer: &Value) -> &str {
    answer["id_token"].as_str().expect("an id_token")
}

#[tokio::test]
async fn an_id_token_says_who_signed_in_and_can_be_checked() {
    let app = App::new();
    let client = app.public_client().await;
    let scope = ("scope", "openid notes:read");
    let answer = sign_in(&app, &client, "alice", &[scope, ("nonce", "n-0S6_WzA2Mj")]).await;
    let (header, claims) = read(&app, id_token(&answer)).await;
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["typ"], "JWT");
    let at_hash = digest(answer["access_token"].as_str().unwrap());
    assert_eq!(
        claims,
        json!({
            "iss": ORIGIN, "sub": "alice", "aud": client, "nonce": "n-0S6_WzA2Mj",
            "iat": 1_800_000_000, "exp": 1_800_003_600,
            "at_hash": BASE64.encode(&at_hash.as_bytes()[..16]),
        })
    );
}

#[tokio::test]
async fn there_is_none_for_who_did_not_ask_and_no_nonce_that_was_not_sent() {
    let app = App::new();
    let client = app.public_client().await;
    let plain = sign_in(&app, &client, "alice", &[("scope", "notes:read")]).await;
    assert_eq!(plain.get("id_token"), None);
    let answer = sign_in(&app, &client, "alice", &[("scope", "openid")]).await;
    let (_, claims) = read(&app, id_token(&answer)).await;
    assert_eq!(claims.get("nonce"), None);
}

#[tokio::test]
async fn a_client_may_register_for_ed25519() {
    let app = App::new();
    let metadata = |alg| {
        json!({
            "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
            "id_token_signed_response_alg": alg,
        })
    };
    let registered = app.register(metadata("EdDSA")).await.json();
    assert_eq!(registered["id_token_signed_response_alg"], "EdDSA");
    let client = registered["client_id"].as_str().unwrap();
    let answer = sign_in(&app, client, "alice", &[("scope", "openid")]).await;
    let (header, claims) = read(&app, id_token(&answer)).await;
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(claims["sub"], "alice");
    for wrong in ["none", "HS256", "ES256"] {
        let refused = app.register(metadata(wrong)).await;
        refused.assert_error(400, "invalid_client_metadata");
    }
}

#[tokio::test]
async fn a_refresh_says_it_again_about_the_first_sign_in() {
    let app = App::new();
    let client = app.public_client().await;
    let scope = ("scope", "openid offline_access notes:read");
    let (user, session) = ("alice", "s-1");
    let browser = Browser::of(&app, user);
    browser.set("auth_time", "1799999000");
    browser.set("session", session);
    let code = browser.approve(&client, &[scope, ("nonce", "n")]).await;
    let first = app.redeem(&client, &code).await.json();
    let (_, claims) = read(&app, id_token(&first)).await;
    assert_eq!(claims["auth_time"], 1_799_999_000);
    assert_eq!(claims["sid"], session);

    app.advance(60);
    let refresh = first["refresh_token"].as_str().unwrap();
    let next = app.refresh(&client, refresh).await.json();
    let (_, again) = read(&app, id_token(&next)).await;
    assert_eq!(again["auth_time"], claims["auth_time"]);
    assert_eq!(again["sid"], session);
    assert_eq!(again["sub"], claims["sub"]);
    assert_eq!(again["iat"], 1_800_000_060);
    // OpenID Connect Core §12.2.
    assert_eq!(again.get("nonce"), None);

    app.advance(5);
    let repeated = app.refresh(&client, refresh).await.json();
    assert_eq!(id_token(&repeated), id_token(&next), "a repeat is the same");

    let successor = next["refresh_token"].as_str().unwrap();
    let narrowed = app
        .token(&[
            ("grant_type", "refresh_token"),
            ("client_id", &client),
            ("refresh_token", successor),
            ("scope", "notes:read"),
        ])
        .await
        .json();
    assert_eq!(narrowed.get("id_token"), None);
}

#[tokio::test]
async fn the_time_of_signing_in_is_the_applications_word_and_nobody_elses() {
    for known in [None, Some(1_800_000_020)] {
        let app = App::new();
        let client = app.public_client().await;
        let browser = Browser::new(&app);
        let ask = [("scope", "openid"), ("max_age", "300")];
        let page = browser.authorize(&client, &ask).await;
        let transaction = page.redirect("https://api.example.com/sign-in")["transaction"].clone();
        app.advance(30);
        browser.sign_in("alice");
        if let Some(at) = known {
            browser.set("auth_time", &at.to_string());
        }
        let page = browser
            .get(&format!("/oauth/consent?transaction={transaction}"))
            .await;
        let answer = browser.decide(&page, "approve").await;
        let code = answer.redirect(CALLBACK)["code"].clone();
        let answer = app.redeem(&client, &code).await.json();
        let (_, claims) = read(&app, id_token(&answer)).await;
        assert_eq!(claims.get("auth_time"), known.map(Value::from).as_ref());
    }
}

#[tokio::test]
async fn a_hint_names_the_user_who_is_meant() {
    let app = App::new();
    let client = app.public_client().await;
    let other = app.register(json!({
        "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "other",
    }));
    let other = other.await.json()["client_id"].as_str().unwrap().to_owned();
    let scope = ("scope", "openid");
    let answer = sign_in(&app, &client, "alice", &[scope]).await;
    let alice = id_token(&answer).to_owned();
    let silent = ("prompt", "none");
    // Long expired: it still says whom it is about.
    app.advance(7200);

    let mut forged = alice.clone();
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    let access = answer["access_token"].as_str().unwrap();
    for (user, id, hint, error) in [
        ("alice", &client, alice.as_str(), ""),
        ("bob", &client, &alice, "login_required"),
        ("alice", &other, &alice, "login_required"),
        ("alice", &client, &forged, "login_required"),
        ("alice", &client, access, "login_required"),
        ("alice", &client, "nonsense", "login_required"),
    ] {
        let browser = Browser::of(&app, user);
        let ask = [scope, silent, ("id_token_hint", hint)];
        let answer = browser.authorize(id, &ask).await;
        let answer = answer.redirect(CALLBACK);
        let got = answer.get("error").map_or("", String::as_str);
        assert_eq!(got, error, "{user} {hint}");
        assert_eq!(answer.contains_key("code"), error.is_empty());
    }

    // Shown pages, somebody else is asked to sign in, and a hint that says nothing is left alone.
    for (user, hint, page) in [
        ("bob", &alice, "/sign-in"),
        ("bob", &forged, "/oauth/consent"),
    ] {
        let browser = Browser::of(&app, user);
        let ask = [scope, ("id_token_hint", hint)];
        let answer = browser.authorize(&client, &ask).await;
        answer.redirect(&format!("{ORIGIN}{page}"));
    }
}

#[tokio::test]
async fn nobody_answers_for_the_user_that_a_hint_names() {
    let app = App::new();
    let client = app.public_client().await;
    let scope = ("scope", "openid");
    let answer = sign_in(&app, &client, "alice", &[scope]).await;
    let ask = [scope, ("id_token_hint", id_token(&answer))];

    // Sent to sign in, the user comes back as somebody else: who never consented, or who did.
    for consented in [false, true] {
        let browser = Browser::of(&app, "bob");
        if consented {
            browser.approve(&client, &[scope]).await;
        }
        let begun = browser.authorize(&client, &ask).await;
        let begun = begun.redirect(&format!("{ORIGIN}/sign-in"));
        let resume = app.auth.resume_url(&begun["transaction"]);
        let answer = browser.get(&resume).await.redirect(CALLBACK);
        assert_eq!(answer["error"], "login_required", "{answer:?}");
        assert_eq!(answer["state"], "a state&more");
        assert_eq!(browser.get(&resume).await.status, 400, "it is over");
    }

    // Nor does somebody else press the button.
    let browser = Browser::new(&app);
    let ask = [ask[0], ask[1], ("prompt", "consent")];
    let begun = browser.authorize(&client, &ask).await;
    let begun = begun.redirect(&format!("{ORIGIN}/sign-in"));
    let resume = app.auth.resume_url(&begun["transaction"]);
    browser.sign_in("alice");
    let page = browser.get(&resume).await;
    browser.sign_in("bob");
    let answer = browser.decide(&page, "approve").await.redirect(CALLBACK);
    assert_eq!(answer["error"], "login_required", "{answer:?}");
}

#[tokio::test]
async fn keys_are_published_before_they_sign_and_until_all_they_signed_has_expired() {
    let month = Duration::from_secs(30 * DAY);
    let app = App::with(|builder| {
        let builder = builder.store(MemoryStore::new());
        builder.signing_key_rotation(month)
    });
    let client = app.public_client().await;
    let kids = async || {
        let answer = app.get("/oauth/jwks").await;
        assert_eq!(answer.header("cache-control"), "public, max-age=300");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let keys = answer.json()["keys"].as_array().unwrap().clone();
        for key in &keys {
            for secret in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert_eq!(key.get(secret), None, "only the public half");
            }
        }
        keys.iter()
            .filter(|key| key["alg"] == "RS256")
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let signer = async || {
        let answer = sign_in(&app, &client, "alice", &[("scope", "openid")]).await;
        let (header, _) = read(&app, id_token(&answer)).await;
        header["kid"].as_str().unwrap().to_owned()
    };
    let first = kids().await;
    assert_eq!(first.len(), 1);
    assert_eq!(signer().await, first[0]);

    app.advance(30 * DAY);
    let both = kids().await;
    assert_eq!(both.len(), 2, "the next one is published");
    assert_eq!(both[0], first[0]);
    assert_eq!(signer().await, both[0], "and signs nothing yet");
    app.advance(3599);
    assert_eq!(signer().await, both[0]);
    app.advance(1);
    assert_eq!(signer().await, both[1]);
    assert_eq!(kids().await, both, "what the old one signed is still good");
    app.advance(3600 + 3600);
    assert_eq!(kids().await, both[1..]);
}

#[tokio::test]
async fn two_nodes_on_one_store_sign_with_the_same_keys() {
    let store = Arc::new(MemoryStore::new());
    let one = App::with(|builder| builder.store(Arc::clone(&store)));
    let two = App::with(|builder| builder.store(store));
    let (a, b) = tokio::join!(one.get("/oauth/jwks"), two.get("/oauth/jwks"));
    assert_eq!(a.json(), b.json());
    let client = one.public_client().await;
    let answer = sign_in(&one, &client, "alice", &[("scope", "openid")]).await;
    read(&two, id_token(&answer)).await;
}

#[tokio::test]
async fn request_objects_are_refused_by_name() {
    let app = App::new();
    let client = app.public_client().await;
    for (name, error) in [
        ("request", "request_not_supported"),
        ("request_uri", "request_uri_not_supported"),
        ("registration", "registration_not_supported"),
    ] {
        let browser = Browser::of(&app, "alice");
        let answer = browser
            .authorize(&client, &[(name, "https://x.example")])
            .await;
        assert_eq!(answer.redirect(CALLBACK)["error"], error);
    }
}

#[tokio::test]
async fn keys_are_only_ever_read() {
    let app = App::new();
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let request = http::Request::builder().method(method).uri("/oauth/jwks");
        let answer = app.send(request.body(axum::body::Body::empty()).unwrap());
        assert_eq!(answer.await.status, 405);
    }
}
