//! Proofs of a key with a nonce in them (RFC 9449 §8 and §9).
#![cfg(feature = "jwt")]

mod common;
#[path = "common/proofs.rs"]
mod proofs;

use axum::body::Body;
use common::*;
use http::{Request, header};
use tower_mcp_auth::{Clock, DpopNonces, MemoryStore};

use self::proofs::{Key, Proof};

fn app() -> App {
    App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .dpop_nonces(DpopNonces::random())
    })
}

/// Sends a proof with `nonce` for this request and `token`.
async fn prove(
    app: &App,
    key: &Key,
    request: http::request::Builder,
    token: Option<&str>,
    nonce: Option<&str>,
    body: String,
) -> Answer {
    let mut request = request.body(Body::from(body)).unwrap();
    let url = format!("{ORIGIN}{}", request.uri());
    let now = app.clock.now().as_secs();
    let proof: Proof<'_> = key
        .proof(request.method().as_str(), &url, token, now)
        .claim("nonce", nonce);
    let headers = request.headers_mut();
    headers.insert("dpop", proof.sign().parse().unwrap());
    if let Some(token) = token {
        let line = format!("DPoP {token}").parse().unwrap();
        headers.insert(header::AUTHORIZATION, line);
    }
    app.send(request).await
}

async fn redeem(app: &App, key: &Key, client: &str, code: &str, nonce: Option<&str>) -> Answer {
    let body = form(&[
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("code_verifier", VERIFIER),
    ]);
    let request =
        Request::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded");
    prove(app, key, request, None, nonce, body).await
}

async fn get(app: &App, key: &Key, path: &str, token: &str, nonce: Option<&str>) -> Answer {
    let request = Request::get(path);
    prove(app, key, request, Some(token), nonce, String::new()).await
}

/// The nonce that an answer offers, which scripts can read too.
#[track_caller]
fn offered(answer: &Answer) -> String {
    let nonce = answer.header("dpop-nonce");
    assert_eq!(nonce.len(), 43, "{answer:?}");
    nonce.to_owned()
}

#[tokio::test]
async fn the_token_endpoint_asks_for_a_nonce_and_the_code_stays_good() {
    let (app, key) = (app(), Key::es256());
    let client = app.public_client().await;
    let code = Browser::of(&app, "alice").approve(&client, &[]).await;
    let mut nonce = String::new();
    for wrong in [None, Some(""), Some("of another server")] {
        let refused = redeem(&app, &key, &client, &code, wrong).await;
        refused.assert_error(400, "use_dpop_nonce");
        let exposed = refused.header("access-control-expose-headers");
        assert!(exposed.contains("DPoP-Nonce"), "{refused:?}");
        nonce = offered(&refused);
    }
    let answer = redeem(&app, &key, &client, &code, Some(&nonce)).await;
    assert_eq!(answer.json()["token_type"], "DPoP", "{answer:?}");
    assert_eq!(offered(&answer), nonce, "the same for some minutes");
}

/// A client that signs for itself, whose assertions are good once each.
#[tokio::test]
async fn a_request_that_is_sent_again_with_a_nonce_may_have_the_same_assertion() {
    let (app, key) = (app(), Key::ed25519());
    let mut jwk = key.jwk.clone();
    jwk["kid"] = "one".into();
    let client = app
        .register(serde_json::json!({"redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [jwk]}}))
        .await;
    let client = client.json()["client_id"].as_str().unwrap().to_owned();
    let code = Browser::of(&app, "alice").approve(&client, &[]).await;
    let now = app.clock.now().as_secs();
    let assertion = key
        .proof("POST", "x", None, now)
        .header("typ", "JWT")
        .header("kid", "one")
        .claim("iss", &*client)
        .claim("sub", &*client)
        .claim("aud", ORIGIN)
        .claim("exp", now + 60)
        .sign();
    let redeem = async |nonce: Option<&str>| {
        let body = form(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", VERIFIER),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &assertion),
        ]);
        let request = Request::post("/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded");
        prove(&app, &key, request, None, nonce, body).await
    };
    let refused = redeem(None).await;
    refused.assert_error(400, "use_dpop_nonce");
    let answer = redeem(Some(&offered(&refused))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // Once it is.
    let again = redeem(Some(&offered(&refused))).await;
    again.assert_error(401, "invalid_client");
}

#[tokio::test]
async fn resources_and_userinfo_ask_for_the_same_nonce() {
    let (app, key) = (app(), Key::ed25519());
    let client = app.public_client().await;
    let openid = [("scope", "openid notes:read")];
    let code = Browser::of(&app, "alice").approve(&client, &openid).await;
    let nonce = offered(&redeem(&app, &key, &client, &code, None).await);
    let tokens = redeem(&app, &key, &client, &code, Some(&nonce)).await;
    let token = tokens.json()["access_token"].as_str().unwrap().to_owned();
    for path in ["/mcp", "/oauth/userinfo"] {
        let refused = get(&app, &key, path, &token, None).await;
        assert_eq!(refused.status.as_u16(), 401, "{refused:?}");
        let challenge = refused.header("www-authenticate");
        assert!(
            challenge.starts_with("DPoP error=\"use_dpop_nonce\", "),
            "{challenge}"
        );
        assert_eq!(offered(&refused), nonce, "{path}");
        let answer = get(&app, &key, path, &token, Some(&nonce)).await;
        assert!(answer.body.contains("alice"), "{answer:?}");
        assert_eq!(offered(&answer), nonce, "{path}");
    }
}

#[tokio::test]
async fn a_nonce_has_its_time_and_the_next_one_comes_before_it_is_over() {
    let (app, key) = (app(), Key::es256());
    let client = app.public_client().await;
    let code = Browser::of(&app, "alice").approve(&client, &[]).await;
    let first = offered(&redeem(&app, &key, &client, &code, None).await);
    let tokens = redeem(&app, &key, &client, &code, Some(&first)).await;
    let token = tokens.json()["access_token"].as_str().unwrap().to_owned();

    app.advance(300);
    let answer = get(&app, &key, "/mcp", &token, Some(&first)).await;
    assert_eq!(answer.body, "alice", "{answer:?}");
    let second = offered(&answer);
    assert_ne!(second, first);
    app.advance(300);
    let refused = get(&app, &key, "/mcp", &token, Some(&first)).await;
    assert_eq!(refused.status.as_u16(), 401, "{refused:?}");
    let answer = get(&app, &key, "/mcp", &token, Some(&second)).await;
    assert_eq!(answer.body, "alice", "{answer:?}");
}

#[tokio::test]
async fn nobody_hears_of_nonces_who_proves_nothing() {
    let app = app();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    let answer = app.call("/mcp", &tokens.access).await;
    assert_eq!((&*answer.body, answer.header("dpop-nonce")), ("alice", ""));
    let refused = app.call("/mcp", "garbage").await;
    assert_eq!(refused.header("dpop-nonce"), "");
}

/// What one machine hands out is good at another, where they share a secret.
#[tokio::test]
async fn machines_can_share_their_nonces() {
    let nonces = |secret| {
        App::with(|builder| {
            let nonces = DpopNonces::from_secret(secret);
            builder.store(MemoryStore::new()).dpop_nonces(nonces)
        })
    };
    let (one, same, other) = (nonces([1; 32]), nonces([1; 32]), nonces([2; 32]));
    let key = Key::es256();
    let nonce = offered(&redeem(&one, &key, &one.public_client().await, "x", None).await);
    for (app, error) in [(same, "invalid_grant"), (other, "use_dpop_nonce")] {
        let client = app.public_client().await;
        redeem(&app, &key, &client, "x", Some(&nonce))
            .await
            .assert_error(400, error);
    }
}
