//! Tokens that are bound to a key (RFC 9449), from the token endpoint to the layer.

mod common;
#[path = "common/device.rs"]
mod device;
#[path = "common/proofs.rs"]
mod proofs;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower_mcp_auth::{MemoryStore, Resource, StaticClient};

use self::proofs::{Key, Proof, base64url};

const TOKEN: &str = "https://api.example.com/oauth/token";

/// Tokens, and whether they are bound.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    access: String,
    refresh: String,
}

#[track_caller]
fn bound(answer: &Answer) -> Bound {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["token_type"], "DPoP", "{answer:?}");
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    Bound {
        access: text("access_token"),
        refresh: text("refresh_token"),
    }
}

fn now(app: &App) -> u64 {
    use tower_mcp_auth::Clock;
    app.clock.now().as_secs()
}

fn for_token<'a>(app: &App, key: &'a Key) -> Proof<'a> {
    key.proof("POST", TOKEN, None, now(app))
}

fn for_mcp<'a>(app: &App, key: &'a Key, token: &str) -> Proof<'a> {
    key.proof("GET", MCP, Some(token), now(app))
}

/// Asks the token endpoint with these `DPoP` headers.
async fn ask(app: &App, proofs: &[&str], params: &[(&str, &str)]) -> Answer {
    let mut request =
        Request::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded");
    for proof in proofs {
        request = request.header("DPoP", *proof);
    }
    app.send(request.body(form(params).into()).unwrap()).await
}

async fn redeem(app: &App, proofs: &[&str], client: &str, code: &str) -> Answer {
    let params = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("code_verifier", VERIFIER),
    ];
    ask(app, proofs, &params).await
}

async fn refresh(app: &App, proofs: &[&str], client: &str, token: &str) -> Answer {
    let params = [
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("refresh_token", token),
    ];
    ask(app, proofs, &params).await
}

/// A token of alice's that is bound to `key`.
async fn bound_to(app: &App, key: &Key, client: &str) -> Bound {
    let code = Browser::of(app, "alice").approve(client, &[]).await;
    bound(&redeem(app, &[&for_token(app, key).sign()], client, &code).await)
}

/// Calls with a token in some scheme and these `DPoP` headers.
async fn call(app: &App, path: &str, scheme: &str, token: &str, proofs: &[&str]) -> Answer {
    let mut request = Request::get(path).header("authorization", format!("{scheme} {token}"));
    for proof in proofs {
        request = request.header("DPoP", *proof);
    }
    app.send(request.body(Body::empty()).unwrap()).await
}

#[track_caller]
fn assert_challenge(answer: &Answer, scheme: &str, error: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    let challenge = answer.header("www-authenticate");
    let start = format!("{scheme} error=\"{error}\", error_description=\"");
    assert!(challenge.starts_with(&start), "{challenge}");
    let algorithms = challenge.contains(", algs=\"EdDSA ES256 PS256 RS256\", ");
    assert_eq!(algorithms, scheme == "DPoP", "{challenge}");
    assert!(challenge.contains("resource_metadata=\"https://api.example.com/.well-known/"));
}

/// A proof is for the address that is called (RFC 9449 §4.3), also where clients of MCP 2025-03-26
/// look for the endpoint.
#[tokio::test]
async fn a_proof_is_for_the_address_that_is_called() {
    let (app, key) = (App::new(), Key::es256());
    let client = app.public_client().await;
    let code = Browser::of(&app, "alice").approve(&client, &[]).await;
    let proof = |url| key.proof("POST", url, None, now(&app)).sign();
    let refresh = bound(&redeem(&app, &[&proof(TOKEN)], &client, &code).await).refresh;
    let at_origin: axum::Router = axum::Router::new().layer(app.auth.fallback_endpoints());
    let params = [
        ("grant_type", "refresh_token"),
        ("client_id", &*client),
        ("refresh_token", &*refresh),
    ];
    for (url, status) in [(TOKEN, 400), ("https://api.example.com/token", 200)] {
        let request = Request::post("/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("DPoP", proof(url));
        let request = request.body(Body::from(form(&params))).unwrap();
        let answer = tower::ServiceExt::oneshot(at_origin.clone(), request).await;
        assert_eq!(answer.unwrap().status().as_u16(), status, "{url}");
    }
}

#[tokio::test]
async fn a_bound_token_gets_in_with_its_key_each_time_anew() {
    for key in [Key::es256(), Key::ed25519()] {
        let app = App::new();
        let client = app.public_client().await;
        let tokens = bound_to(&app, &key, &client).await;
        for _ in 0..3 {
            let proof = for_mcp(&app, &key, &tokens.access).sign();
            let answer = call(&app, "/mcp", "DPoP", &tokens.access, &[&proof]).await;
            assert_eq!(answer.body, "alice", "{answer:?}");
            let again = call(&app, "/mcp", "dpop", &tokens.access, &[&proof]).await;
            assert_challenge(&again, "DPoP", "invalid_dpop_proof");
        }
        // Its audience counts as ever, after the key.
        let files = "https://api.example.com/files";
        let proof = key.proof("GET", files, Some(&tokens.access), now(&app));
        let answer = call(&app, "/files", "DPoP", &tokens.access, &[&proof.sign()]).await;
        assert_challenge(&answer, "DPoP", "invalid_token");
        assert!(answer.body.contains("another resource"), "{answer:?}");
    }
}

#[tokio::test]
async fn the_scheme_has_to_fit_the_token() {
    let (app, key) = (App::new(), Key::es256());
    let client = app.public_client().await;
    let tokens = bound_to(&app, &key, &client).await;
    let proof = for_mcp(&app, &key, &tokens.access).sign();
    for proofs in [&[][..], &[proof.as_str()]] {
        let stolen = call(&app, "/mcp", "Bearer", &tokens.access, proofs).await;
        assert_challenge(&stolen, "Bearer", "invalid_token");
        assert_eq!(
            call(&app, "/oauth/userinfo", "Bearer", &tokens.access, proofs)
                .await
                .status,
            StatusCode::UNAUTHORIZED
        );
    }
    let plain = app.tokens(&client, "alice", &[]).await;
    let proof = for_mcp(&app, &key, &plain.access).sign();
    let unbound = call(&app, "/mcp", "DPoP", &plain.access, &[&proof]).await;
    assert_challenge(&unbound, "DPoP", "invalid_token");
    assert_eq!(app.call("/mcp", &plain.access).await.body, "alice");
    for token in ["nonsense", "mcp_at_nonsense"] {
        let proof = for_mcp(&app, &key, token).sign();
        let unknown = call(&app, "/mcp", "DPoP", token, &[&proof]).await;
        assert_challenge(&unknown, "DPoP", "invalid_token");
    }
}

/// What is wrong with a proof wherever it is sent.
fn bad_proofs(good: &Proof<'_>, at: u64) -> Vec<(&'static str, String)> {
    let good = || good.clone();
    let mut private = good().header["jwk"].clone();
    private["d"] = base64url([7; 32]).into();
    let unsigned = {
        let none = good().header("alg", "none").sign();
        let (signed, _) = none.rsplit_once('.').unwrap();
        format!("{signed}.")
    };
    let forged = {
        let other = Key::es256();
        let jwk = other.jwk.clone();
        good().header("jwk", jwk).header("alg", "ES256").sign()
    };
    vec![
        ("no token", "nonsense".to_owned()),
        ("typ", good().header("typ", "JWT").sign()),
        ("none", unsigned),
        ("HS256", good().header("alg", "HS256").sign()),
        ("private", good().header("jwk", private).sign()),
        ("no key", good().header("jwk", Value::Null).sign()),
        ("not its key", forged),
        ("htm", good().claim("htm", "PUT").sign()),
        ("no htm", good().claim("htm", Value::Null).sign()),
        (
            "htu",
            good().claim("htu", "https://api.example.com/other").sign(),
        ),
        (
            "other host",
            good().claim("htu", "https://evil.example/mcp").sign(),
        ),
        ("no htu", good().claim("htu", Value::Null).sign()),
        ("old", good().claim("iat", at - 301).sign()),
        ("future", good().claim("iat", at + 301).sign()),
        ("over", good().claim("exp", at).sign()),
        ("not yet", good().claim("nbf", at + 301).sign()),
        ("no date", good().claim("exp", "tomorrow").sign()),
        ("no iat", good().claim("iat", Value::Null).sign()),
        ("no jti", good().claim("jti", Value::Null).sign()),
    ]
}

#[tokio::test]
async fn the_layer_refuses_every_bad_proof() {
    let (app, key, other) = (App::new(), Key::es256(), Key::ed25519());
    let client = app.public_client().await;
    let token = bound_to(&app, &key, &client).await.access;
    let good = || for_mcp(&app, &key, &token);
    let mut bad = bad_proofs(&good(), now(&app));
    bad.push(("no ath", good().claim("ath", Value::Null).sign()));
    bad.push(("ath", good().claim("ath", base64url([0; 32])).sign()));
    for (what, proof) in bad {
        let answer = call(&app, "/mcp", "DPoP", &token, &[&proof]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
        assert_challenge(&answer, "DPoP", "invalid_dpop_proof");
        let is_about_time = answer.header("www-authenticate").contains("too old");
        let expected = ["old", "future", "over", "not yet"].contains(&what);
        assert_eq!(is_about_time, expected, "{what}: {answer:?}");
    }
    let two = [good().sign(), good().sign()];
    let none = call(&app, "/mcp", "DPoP", &token, &[]).await;
    assert_challenge(&none, "DPoP", "invalid_dpop_proof");
    let both = call(&app, "/mcp", "DPoP", &token, &[&two[0], &two[1]]).await;
    assert_challenge(&both, "DPoP", "invalid_dpop_proof");
    let stranger = for_mcp(&app, &other, &token).sign();
    let stranger = call(&app, "/mcp", "DPoP", &token, &[&stranger]).await;
    assert_challenge(&stranger, "DPoP", "invalid_token");
    // At the edges of the window, and after all that.
    for at in [now(&app) - 300, now(&app) + 300] {
        let proof = good().claim("iat", at).sign();
        assert_eq!(
            call(&app, "/mcp", "DPoP", &token, &[&proof]).await.body,
            "alice"
        );
    }
}

#[tokio::test]
async fn the_token_endpoint_refuses_every_bad_proof_and_the_code_stays_good() {
    let (app, key) = (App::new(), Key::es256());
    let client = app.public_client().await;
    let code = Browser::of(&app, "alice").approve(&client, &[]).await;
    let good = || for_token(&app, &key);
    for (what, proof) in bad_proofs(&good(), now(&app)) {
        let answer = redeem(&app, &[&proof], &client, &code).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
        answer.assert_error(400, "invalid_dpop_proof");
    }
    let two = [good().sign(), good().sign()];
    redeem(&app, &[&two[0], &two[1]], &client, &code)
        .await
        .assert_error(400, "invalid_dpop_proof");
    let proof = good().sign();
    let tokens = bound(&redeem(&app, &[&proof], &client, &code).await);
    // The same proof again, until its time is over.
    app.advance(300);
    refresh(&app, &[&proof], &client, &tokens.refresh)
        .await
        .assert_error(400, "invalid_dpop_proof");
    // Another key's proof of the same name is another one.
    let jti = "the same".to_owned();
    let fresh = || good().claim("jti", jti.clone());
    bound(&refresh(&app, &[&fresh().sign()], &client, &tokens.refresh).await);
    let elsewhere = for_token(&app, &Key::ed25519()).header.clone();
    assert_eq!(elsewhere["alg"], "EdDSA");
    let other = Key::ed25519();
    let code = Browser::of(&app, "bob").approve(&client, &[]).await;
    let proof = for_token(&app, &other).claim("jti", jti.clone()).sign();
    bound(&redeem(&app, &[&proof], &client, &code).await);
}

#[tokio::test]
async fn a_code_is_for_the_key_that_it_was_asked_with() {
    let (app, key, other) = (App::new(), Key::es256(), Key::es256());
    let client = app.public_client().await;
    let jkt = key.thumbprint();
    let bind = [("dpop_jkt", jkt.as_str())];
    let code = Browser::of(&app, "alice").approve(&client, &bind).await;
    redeem(&app, &[], &client, &code)
        .await
        .assert_error(400, "invalid_grant");
    redeem(&app, &[&for_token(&app, &other).sign()], &client, &code)
        .await
        .assert_error(400, "invalid_grant");
    bound(&redeem(&app, &[&for_token(&app, &key).sign()], &client, &code).await);
}

#[tokio::test]
async fn a_pushed_request_binds_its_code_by_proof() {
    let (app, key, other) = (App::new(), Key::es256(), Key::es256());
    let client = app.public_client().await;
    let par = "https://api.example.com/oauth/par";
    let push = |proof: String, more: Vec<(&'static str, String)>| {
        let (app, client) = (app.clone(), client.clone());
        async move {
            let more: Vec<_> = more.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let request = Request::post("/oauth/par")
                .header("content-type", "application/x-www-form-urlencoded")
                .header("DPoP", proof)
                .body(Body::from(authorize_params(&client, &more)));
            app.send(request.unwrap()).await
        }
    };
    let proof = || key.proof("POST", par, None, now(&app));
    push(proof().claim("htu", TOKEN).sign(), vec![])
        .await
        .assert_error(400, "invalid_dpop_proof");
    push(proof().sign(), vec![("dpop_jkt", other.thumbprint())])
        .await
        .assert_error(400, "invalid_request");
    let name = push(proof().sign(), vec![]).await.json()["request_uri"].clone();
    let query = form(&[
        ("client_id", &client),
        ("request_uri", name.as_str().unwrap()),
    ]);
    let browser = Browser::of(&app, "alice");
    let begun = browser.get(&format!("/oauth/authorize?{query}")).await;
    let page = browser.get(begun.header("location")).await;
    let code = browser.decide(&page, "approve").await.redirect(CALLBACK)["code"].clone();
    redeem(&app, &[&for_token(&app, &other).sign()], &client, &code)
        .await
        .assert_error(400, "invalid_grant");
    bound(&redeem(&app, &[&for_token(&app, &key).sign()], &client, &code).await);
}

/// A device that proved `key` when it asked for its code, or none; approved by alice.
async fn approved_device(app: &App, client: &str, key: Option<&Key>) -> String {
    let mut request = Request::post("/oauth/device-authorization")
        .header("content-type", "application/x-www-form-urlencoded");
    if let Some(key) = key {
        let url = "https://api.example.com/oauth/device-authorization";
        request = request.header("DPoP", key.proof("POST", url, None, now(app)).sign());
    }
    let params = form(&[("client_id", client), ("scope", "notes:read")]);
    let begun = app.send(request.body(params.into()).unwrap()).await;
    assert_eq!(begun.status, StatusCode::OK, "{begun:?}");
    let text = |name: &str| begun.json()[name].as_str().unwrap().to_owned();
    let device = device::Device {
        code: text("device_code"),
        user_code: text("user_code"),
        client: client.to_owned(),
    };
    device::approve(app, "alice", &device).await;
    device.code
}

async fn poll(app: &App, proofs: &[&str], client: &str, code: &str) -> Answer {
    let params = [
        ("grant_type", device::GRANT),
        ("client_id", client),
        ("device_code", code),
    ];
    ask(app, proofs, &params).await
}

#[tokio::test]
async fn a_device_code_is_for_the_key_that_it_was_asked_with() {
    let (app, key, other) = (App::new(), Key::es256(), Key::ed25519());
    let client = device::device_client(&app, "Television").await;
    let code = approved_device(&app, &client, Some(&key)).await;
    let sign = |key: &Key| for_token(&app, key).sign();
    poll(&app, &[], &client, &code)
        .await
        .assert_error(400, "invalid_grant");
    poll(&app, &[&sign(&other)], &client, &code)
        .await
        .assert_error(400, "invalid_grant");
    // Neither cost the device its code.
    let tokens = bound(&poll(&app, &[&sign(&key)], &client, &code).await);

    let proof = for_mcp(&app, &key, &tokens.access).sign();
    let answer = call(&app, "/mcp", "DPoP", &tokens.access, &[&proof]).await;
    assert_eq!(answer.body, "alice");
    let stolen = call(&app, "/mcp", "Bearer", &tokens.access, &[]).await;
    assert_challenge(&stolen, "Bearer", "invalid_token");
    for proofs in [&[][..], &[sign(&other).as_str()]] {
        refresh(&app, proofs, &client, &tokens.refresh)
            .await
            .assert_error(400, "invalid_grant");
    }
    bound(&refresh(&app, &[&sign(&key)], &client, &tokens.refresh).await);
}

#[tokio::test]
async fn a_device_may_prove_its_key_when_it_polls() {
    let (app, key) = (App::new(), Key::es256());
    let client = device::device_client(&app, "Television").await;
    let code = approved_device(&app, &client, None).await;
    let sign = || for_token(&app, &key).sign();
    let tokens = bound(&poll(&app, &[&sign()], &client, &code).await);
    // What it may hear once more is for that key as well.
    let another = for_token(&app, &Key::ed25519()).sign();
    for proofs in [&[][..], &[another.as_str()]] {
        poll(&app, proofs, &client, &code)
            .await
            .assert_error(400, "invalid_grant");
    }
    let again = bound(&poll(&app, &[&sign()], &client, &code).await);
    assert_eq!(again.access, tokens.access);
    refresh(&app, &[], &client, &tokens.refresh)
        .await
        .assert_error(400, "invalid_grant");
    bound(&refresh(&app, &[&sign()], &client, &tokens.refresh).await);
}

#[tokio::test]
async fn a_device_is_refused_its_code_for_a_bad_proof() {
    let (app, key) = (App::new(), Key::es256());
    let client = device::device_client(&app, "Television").await;
    let request = Request::post("/oauth/device-authorization")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("DPoP", for_token(&app, &key).sign())
        .body(form(&[("client_id", &client)]).into());
    app.send(request.unwrap())
        .await
        .assert_error(400, "invalid_dpop_proof");
}

#[tokio::test]
async fn the_refresh_token_of_a_public_client_needs_the_key() {
    let (app, key, other) = (App::new(), Key::es256(), Key::es256());
    let client = app.public_client().await;
    let first = bound_to(&app, &key, &client).await;
    let sign = |key: &Key| for_token(&app, key).sign();
    refresh(&app, &[], &client, &first.refresh)
        .await
        .assert_error(400, "invalid_grant");
    refresh(&app, &[&sign(&other)], &client, &first.refresh)
        .await
        .assert_error(400, "invalid_grant");
    let second = bound(&refresh(&app, &[&sign(&key)], &client, &first.refresh).await);
    let repeat = bound(&refresh(&app, &[&sign(&key)], &client, &first.refresh).await);
    assert_eq!(second, repeat, "a repeat is answered alike");
    let third = bound(&refresh(&app, &[&sign(&key)], &client, &second.refresh).await);
    let proof = for_mcp(&app, &key, &third.access).sign();
    assert_eq!(
        call(&app, "/mcp", "DPoP", &third.access, &[&proof])
            .await
            .body,
        "alice"
    );
    let proof = for_mcp(&app, &other, &third.access).sign();
    let stranger = call(&app, "/mcp", "DPoP", &third.access, &[&proof]).await;
    assert_challenge(&stranger, "DPoP", "invalid_token");
}

/// Else a thief could bind what was stolen, or use it on with any key.
#[tokio::test]
async fn a_refresh_token_without_a_key_is_bound_to_none_later() {
    let (app, key) = (App::new(), Key::es256());
    let client = app.public_client().await;
    let first = app.tokens(&client, "alice", &[]).await;
    let proof = for_token(&app, &key).sign();
    refresh(&app, &[&proof], &client, &first.refresh)
        .await
        .assert_error(400, "invalid_grant");
    // Which cost nothing.
    let second = Tokens::from(&refresh(&app, &[], &client, &first.refresh).await);
    assert_eq!(app.call("/mcp", &second.access).await.body, "alice");
}

#[tokio::test]
async fn a_client_with_a_secret_may_change_its_key() {
    let (app, key, other) = (App::new(), Key::es256(), Key::es256());
    let body = json!({"redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"]});
    let body = app.register(body).await.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let code = Browser::of(&app, "alice").approve(&id, &[]).await;
    let with = |more: [(&'static str, String); 2]| {
        let mut params = vec![("client_id", id.clone()), ("client_secret", secret.clone())];
        params.extend(more);
        params
    };
    let send = |proof: Option<String>, params: Vec<(&'static str, String)>| {
        let app = app.clone();
        async move {
            let params: Vec<_> = params.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let proofs: Vec<_> = proof.iter().map(String::as_str).collect();
            ask(&app, &proofs, &params).await
        }
    };
    let mut params = with([
        ("grant_type", "authorization_code".to_owned()),
        ("code", code),
    ]);
    params.push(("code_verifier", VERIFIER.to_owned()));
    let first = bound(&send(Some(for_token(&app, &key).sign()), params).await);
    let again = || {
        with([
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", first.refresh.clone()),
        ])
    };
    let one = bound(&send(Some(for_token(&app, &key).sign()), again()).await);
    let two = bound(&send(Some(for_token(&app, &other).sign()), again()).await);
    assert_eq!(one.refresh, two.refresh, "one successor");
    assert_ne!(one.access, two.access, "an access token for each key");
    assert_eq!(
        one,
        bound(&send(Some(for_token(&app, &key).sign()), again()).await)
    );
    let plain = Tokens::from(&send(None, again()).await);
    assert_ne!(plain.access, one.access);
    assert_eq!(app.call("/mcp", &plain.access).await.body, "alice");
    for (key, tokens) in [(&key, &one), (&other, &two)] {
        let proof = for_mcp(&app, key, &tokens.access).sign();
        assert_eq!(
            call(&app, "/mcp", "DPoP", &tokens.access, &[&proof])
                .await
                .body,
            "alice"
        );
    }
}

#[tokio::test]
async fn a_client_may_insist_on_bound_tokens() {
    let (app, key) = (App::new(), Key::es256());
    let answer = app
        .register(json!({
            "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
            "dpop_bound_access_tokens": true,
        }))
        .await
        .json();
    assert_eq!(answer["dpop_bound_access_tokens"], true);
    let client = answer["client_id"].as_str().unwrap();
    let code = Browser::of(&app, "alice").approve(client, &[]).await;
    redeem(&app, &[], client, &code)
        .await
        .assert_error(400, "invalid_dpop_proof");
    bound(&redeem(&app, &[&for_token(&app, &key).sign()], client, &code).await);
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode("robot:secret"))
}

/// With a client `robot` that may introspect, and a resource that takes only bound tokens.
fn strict() -> App {
    App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::confidential("robot", "secret", [CALLBACK]))
            .resource_with(
                Resource::new("https://api.example.com/strict")
                    .scopes(["notes:read"])
                    .require_dpop(),
            )
    })
}

async fn as_robot(app: &App, path: &str, proof: Option<&str>, params: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", basic());
    if let Some(proof) = proof {
        request = request.header("DPoP", proof);
    }
    app.send(request.body(form(params).into()).unwrap()).await
}

#[tokio::test]
async fn introspection_names_the_key() {
    let (app, key) = (strict(), Key::es256());
    let client = app.public_client().await;
    let tokens = bound_to(&app, &key, &client).await;
    let params = [("token", tokens.access.as_str())];
    let answer = as_robot(&app, "/oauth/introspect", None, &params).await;
    assert_eq!(answer.json()["cnf"], json!({ "jkt": key.thumbprint() }));
    assert_eq!(answer.json()["token_type"], "DPoP");
    let plain = app.tokens(&client, "alice", &[]).await;
    let params = [("token", plain.access.as_str())];
    let answer = as_robot(&app, "/oauth/introspect", None, &params)
        .await
        .json();
    assert_eq!(
        (&answer["token_type"], &answer["cnf"]),
        (&json!("Bearer"), &Value::Null)
    );
}

#[tokio::test]
async fn a_resource_may_insist_on_bound_tokens() {
    use tower::{Layer, ServiceExt, service_fn};

    let (app, key) = (strict(), Key::es256());
    let document = app
        .get("/.well-known/oauth-protected-resource/strict")
        .await
        .json();
    assert_eq!(document["dpop_bound_access_tokens_required"], true);
    let algorithms = json!(["EdDSA", "ES256", "PS256", "RS256"]);
    for path in ["oauth-protected-resource", "oauth-authorization-server"] {
        let document = app.get(&format!("/.well-known/{path}")).await.json();
        assert_eq!(document["dpop_signing_alg_values_supported"], algorithms);
        assert!(document.get("dpop_bound_access_tokens_required").is_none());
    }

    let url = "https://api.example.com/strict";
    let params = [("grant_type", "client_credentials"), ("resource", url)];
    as_robot(&app, "/oauth/token", None, &params)
        .await
        .assert_error(400, "invalid_dpop_proof");
    let proof = for_token(&app, &key).sign();
    let token = bound(&as_robot(&app, "/oauth/token", Some(&proof), &params).await).access;

    // As behind `nest_service`, which takes the resource's own path away, and with a second layer.
    let layer = app.auth.protect("/strict").unwrap();
    let service = (layer.clone(), layer).layer(service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    }));
    let send = |uri: &'static str, htu: String| {
        let proof = key.proof("POST", &htu, Some(&token), now(&app)).sign();
        let request = Request::post(uri)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof);
        let response = service
            .clone()
            .oneshot(request.body(String::new()).unwrap());
        async move { response.await.unwrap().status() }
    };
    assert_eq!(send("/", url.to_owned()).await, StatusCode::OK);
    assert_eq!(send("/", format!("{url}/")).await, StatusCode::OK);
    assert_eq!(send("/sub?x=1", format!("{url}/sub")).await, StatusCode::OK);
    assert_eq!(send("/strict", url.to_owned()).await, StatusCode::OK);
    assert_eq!(
        send("/sub", format!("{url}/other")).await,
        StatusCode::UNAUTHORIZED
    );

    let request = Request::post("/").body(String::new()).unwrap();
    let nobody = service.clone().oneshot(request).await.unwrap();
    assert_eq!(
        nobody.headers()["www-authenticate"],
        "DPoP algs=\"EdDSA ES256 PS256 RS256\", resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource/strict\", scope=\"notes:read\""
    );
}

#[tokio::test]
async fn revocation_of_a_bound_token_counts_at_once() {
    let (app, key) = (App::new(), Key::es256());
    let client = app.public_client().await;
    let tokens = bound_to(&app, &key, &client).await;
    let send = || {
        let proof = for_mcp(&app, &key, &tokens.access).sign();
        let (app, token) = (app.clone(), tokens.access.clone());
        async move { call(&app, "/mcp", "DPoP", &token, &[&proof]).await }
    };
    assert_eq!(send().await.body, "alice");
    let params = form(&[("client_id", &client), ("token", &tokens.refresh)]);
    let request = Request::post("/oauth/revoke")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(params));
    assert_eq!(app.send(request.unwrap()).await.status, StatusCode::OK);
    assert_challenge(&send().await, "DPoP", "invalid_token");
}

#[tokio::test]
async fn userinfo_and_get_session_take_proofs_for_themselves() {
    let (app, key) = (App::new(), Key::es256());
    let client = app.public_client().await;
    let openid = [("scope", "openid notes:read")];
    let code = Browser::of(&app, "alice").approve(&client, &openid).await;
    let token = bound(&redeem(&app, &[&for_token(&app, &key).sign()], &client, &code).await).access;
    for path in ["/oauth/userinfo", "/oauth/get-session"] {
        let url = format!("{ORIGIN}{path}");
        let proof = key.proof("GET", &url, Some(&token), now(&app)).sign();
        let answer = call(&app, path, "DPoP", &token, &[&proof]).await;
        assert!(answer.body.contains("alice"), "{answer:?}");
    }
    let elsewhere = for_mcp(&app, &key, &token).sign();
    let refused = call(&app, "/oauth/userinfo", "DPoP", &token, &[&elsewhere]).await;
    refused.assert_error(401, "invalid_dpop_proof");
    let challenge = refused.header("www-authenticate");
    assert!(
        challenge.starts_with("DPoP error=\"invalid_dpop_proof\""),
        "{challenge}"
    );
    assert!(challenge.contains("algs=\"EdDSA "), "{challenge}");
    assert_eq!(
        call(&app, "/oauth/get-session", "DPoP", &token, &[&elsewhere])
            .await
            .json(),
        Value::Null
    );
}
