//! The token endpoint: who gets tokens, who does not, and what a mistake costs.

mod common;

use std::time::Duration;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower_mcp_auth::{MemoryStore, StaticClient};

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

async fn confidential(app: &App) -> (String, String) {
    confidential_by(app, "client_secret_basic").await
}

async fn confidential_by(app: &App, method: &str) -> (String, String) {
    let registered = app
        .register(json!({
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": method,
        }))
        .await
        .json();
    let text = |name: &str| registered[name].as_str().unwrap().to_owned();
    (text("client_id"), text("client_secret"))
}

async fn code(app: &App, client: &str) -> String {
    Browser::of(app, "alice")
        .approve(client, &[("prompt", "consent")])
        .await
}

#[tokio::test]
async fn what_is_no_token_request_is_refused_in_oauth_terms() {
    let app = App::new();
    let client = app.public_client().await;
    let id = ("client_id", client.as_str());
    for (params, status, error) in [
        (vec![], 401, "invalid_client"),
        (vec![id], 400, "invalid_request"),
        (vec![id, ("grant_type", "")], 400, "invalid_request"),
        (
            vec![id, ("grant_type", "password")],
            400,
            "unsupported_grant_type",
        ),
        (
            vec![id, ("grant_type", "authorization_code")],
            400,
            "invalid_request",
        ),
        (
            vec![
                id,
                ("grant_type", "authorization_code"),
                ("code", "nonsense"),
            ],
            400,
            "invalid_grant",
        ),
        (
            vec![id, ("grant_type", "refresh_token")],
            400,
            "invalid_request",
        ),
        (
            vec![
                id,
                ("grant_type", "refresh_token"),
                ("refresh_token", "nonsense"),
            ],
            400,
            "invalid_grant",
        ),
        (vec![id, id], 400, "invalid_request"),
        (
            vec![id, ("grant_type", "x"), ("grant_type", "y")],
            400,
            "invalid_request",
        ),
        (
            vec![("client_id", "nobody"), ("grant_type", "refresh_token")],
            401,
            "invalid_client",
        ),
        (
            vec![("client_id", "no\u{fc}"), ("grant_type", "refresh_token")],
            401,
            "invalid_client",
        ),
    ] {
        let answer = app.token(&params).await;
        answer.assert_error(status, error);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("www-authenticate"), "", "{params:?}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_forms_are_refused_as_json() {
    let app = App::new();
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, status) in [
        ("application/json", b"{}".to_vec(), 400),
        ("text/plain", b"grant_type=x".to_vec(), 400),
        ("multipart/form-data", b"x".to_vec(), 400),
        (form, b"grant_type=\xff".to_vec(), 400),
        (form, b"grant_type=%ff".to_vec(), 400),
        (form, b"grant_type=%".to_vec(), 400),
        (form, b"grant_type=%00".to_vec(), 400),
        (form, vec![b'a'; 64 * 1024 + 1], 413),
        (form, b"a=b&".repeat(65), 400),
    ] {
        let request = Request::post("/oauth/token")
            .header("content-type", content_type)
            .body(Body::from(body));
        app.send(request.unwrap())
            .await
            .assert_error(status, "invalid_request");
    }
    let bare = Request::post("/oauth/token")
        .body(Body::from("grant_type=x"))
        .unwrap();
    app.send(bare).await.assert_error(400, "invalid_request");
    let broken = Body::from_stream(tokio_stream::once(Err::<Vec<u8>, _>(
        std::io::Error::other("cut"),
    )));
    let request = Request::post("/oauth/token")
        .header("content-type", form)
        .body(broken);
    app.send(request.unwrap())
        .await
        .assert_error(400, "invalid_request");
}

#[tokio::test]
async fn other_methods_are_told_which_ones_there_are() {
    let app = App::new();
    for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD", "BREW"] {
        let request = Request::builder()
            .method(method)
            .uri("/oauth/token")
            .body(Body::empty());
        let answer = app.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.header("allow"), "POST, OPTIONS", "{method}");
    }
    let preflight = Request::options("/oauth/token")
        .body(Body::empty())
        .unwrap();
    let answer = app.send(preflight).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(
        answer
            .header("access-control-allow-headers")
            .contains("authorization")
    );
    app.get("/oauth/nothing")
        .await
        .assert_error(404, "not_found");
}

#[tokio::test]
async fn a_wrong_attempt_costs_the_right_client_nothing() {
    let app = App::new();
    let client = app.public_client().await;
    let (other, secret) = confidential(&app).await;
    let code = code(&app, &client).await;
    let right = [
        ("grant_type", "authorization_code"),
        ("client_id", client.as_str()),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
        ("resource", MCP),
    ];
    let with = |name: &'static str, value: &'static str| -> Vec<(&str, &str)> {
        let kept = right.iter().copied().filter(|(key, _)| *key != name);
        kept.chain([(name, value)]).collect()
    };
    for (params, error) in [
        (
            with(
                "code_verifier",
                "wrong-verifier-that-is-long-enough-to-be-one",
            ),
            "invalid_grant",
        ),
        (with("code_verifier", "short"), "invalid_grant"),
        (with("code_verifier", CHALLENGE), "invalid_grant"),
        (with("code_verifier", ""), "invalid_request"),
        (
            with("redirect_uri", "https://evil.example/cb"),
            "invalid_grant",
        ),
        (
            with("resource", "https://api.example.com/files"),
            "invalid_target",
        ),
        (with("resource", "nonsense"), "invalid_target"),
    ] {
        app.token(&params).await.assert_error(400, error);
    }
    let stolen: Vec<_> = right
        .iter()
        .copied()
        .filter(|(key, _)| *key != "client_id")
        .collect();
    app.token_as(Some(&basic(&other, &secret)), &stolen)
        .await
        .assert_error(400, "invalid_grant");
    Tokens::from(&app.token(&right).await);
}

#[tokio::test]
async fn a_code_expires() {
    let app = App::new();
    let client = app.public_client().await;
    let code = code(&app, &client).await;
    app.advance(600);
    app.redeem(&client, &code)
        .await
        .assert_error(400, "invalid_grant");
}

/// Some clients use it until then, and have their user sign in again where they are refused.
#[tokio::test]
async fn a_token_is_good_for_longer_than_is_said() {
    for (lives, said) in [(3600, 3590), (60, 54), (2, 1)] {
        let app = App::with(|builder| {
            let builder = builder.store(MemoryStore::new());
            builder.access_token_ttl(Duration::from_secs(lives))
        });
        let client = app.public_client().await;
        let first = app.tokens(&client, "alice", &[]).await;
        let second = Tokens::from(&app.refresh(&client, &first.refresh).await);
        assert_eq!((first.expires_in, second.expires_in), (said, said));
        app.advance(said);
        for token in [&first.access, &second.access] {
            assert_eq!(app.call("/mcp", token).await.status, StatusCode::OK);
        }
        app.advance(lives - said);
        for token in [&first.access, &second.access] {
            let refused = app.call("/mcp", token).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test]
async fn a_second_redemption_fails_and_takes_the_first_ones_tokens_along() {
    let app = App::new();
    let client = app.public_client().await;
    let code = code(&app, &client).await;
    let tokens = Tokens::from(&app.redeem(&client, &code).await);
    assert_eq!(
        app.call("/mcp", &tokens.access).await.status,
        StatusCode::OK
    );
    app.redeem(&client, &code)
        .await
        .assert_error(400, "invalid_grant");
    assert_eq!(
        app.call("/mcp", &tokens.access).await.status,
        StatusCode::UNAUTHORIZED
    );
    app.refresh(&client, &tokens.refresh)
        .await
        .assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn of_twenty_redemptions_at_once_exactly_one_succeeds() {
    let app = App::new();
    let client = app.public_client().await;
    let code = code(&app, &client).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (app, client, code) = (app.clone(), client.clone(), code.clone());
        tasks.spawn(async move { app.redeem(&client, &code).await });
    }
    let answers = tasks.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == StatusCode::OK);
    assert_eq!(won.len(), 1);
    lost.iter()
        .for_each(|answer| answer.assert_error(400, "invalid_grant"));
    // One of them was a thief, and nobody can tell which.
    let access = Tokens::from(won[0]).access;
    assert_eq!(
        app.call("/mcp", &access).await.status,
        StatusCode::UNAUTHORIZED
    );
}

/// A code for `id`, redeemed with its secret in the header or in the body.
async fn redeem_with_secret(app: &App, (id, secret): (&str, &str), by_header: bool) -> Answer {
    let code = code(app, id).await;
    let mut params = vec![
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
        ("client_id", id),
    ];
    let header = basic(id, secret);
    if !by_header {
        params.push(("client_secret", secret));
    }
    app.token_as(by_header.then_some(header.as_str()), &params)
        .await
}

#[tokio::test]
async fn a_secret_is_accepted_by_header_and_by_body() {
    let app = App::new();
    for method in ["client_secret_basic", "client_secret_post"] {
        let (id, secret) = confidential_by(&app, method).await;
        for by_header in [true, false] {
            Tokens::from(&redeem_with_secret(&app, (&id, &secret), by_header).await);
        }
    }
}

#[tokio::test]
async fn where_the_registered_method_is_required_the_other_one_is_refused() {
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::confidential("robot", "secret", [CALLBACK]))
            .require_registered_auth_method()
    });
    let basic = confidential_by(&app, "client_secret_basic").await;
    let post = confidential_by(&app, "client_secret_post").await;
    for ((id, secret), method) in [
        ((basic.0.as_str(), basic.1.as_str()), "client_secret_basic"),
        (("robot", "secret"), "client_secret_basic"),
        ((&post.0, &post.1), "client_secret_post"),
    ] {
        let registered = method == "client_secret_basic";
        let refused = redeem_with_secret(&app, (id, secret), !registered).await;
        refused.assert_error(401, "invalid_client");
        let description = refused.json()["error_description"].to_string();
        assert!(description.contains(method), "{description}");
        // The challenge is owed to whoever tried the header (RFC 6749 §5.2).
        let challenge = if registered {
            ""
        } else {
            "Basic realm=\"token\""
        };
        assert_eq!(refused.header("www-authenticate"), challenge);

        Tokens::from(&redeem_with_secret(&app, (id, secret), registered).await);
    }
    // Nothing changes for who has no secret.
    let public = app.public_client().await;
    app.tokens(&public, "alice", &[]).await;
}

#[tokio::test]
async fn a_client_is_who_it_proves_to_be() {
    let app = App::new();
    let (id, secret) = confidential(&app).await;
    let public = app.public_client().await;
    let grant = ("grant_type", "refresh_token");
    // With the header tried, the challenge is owed (RFC 6749 §5.2).
    for header in [
        basic(&id, "wrong"),
        basic(&id, ""),
        basic("nobody", &secret),
        "Basic !!!".into(),
        "Bearer x".into(),
        "Basic".into(),
    ] {
        let answer = app.token_as(Some(&header), &[grant]).await;
        answer.assert_error(401, "invalid_client");
        assert_eq!(
            answer.header("www-authenticate"),
            "Basic realm=\"token\"",
            "{header}"
        );
    }
    for params in [
        vec![grant, ("client_id", &id)],
        vec![grant, ("client_id", &id), ("client_secret", "wrong")],
        vec![grant, ("client_id", &public), ("client_secret", "anything")],
    ] {
        let answer = app.token(&params).await;
        answer.assert_error(401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), "");
    }
    let header = basic(&id, &secret);
    for params in [
        vec![grant, ("client_secret", secret.as_str())],
        vec![grant, ("client_id", public.as_str())],
    ] {
        app.token_as(Some(&header), &params)
            .await
            .assert_error(400, "invalid_request");
    }
    let twice = Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", &header)
        .header("authorization", &header)
        .body(Body::from("grant_type=refresh_token"));
    app.send(twice.unwrap())
        .await
        .assert_error(400, "invalid_request");
}

#[tokio::test]
async fn configured_secrets_with_odd_characters_work_however_they_are_encoded() {
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::confidential("odd", "a+b%20c:d", [CALLBACK]))
    });
    for header in [basic("odd", "a+b%20c:d"), basic("odd", "a%2Bb%2520c%3Ad")] {
        let code = code(&app, "odd").await;
        let params = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", VERIFIER),
        ];
        Tokens::from(&app.token_as(Some(&header), &params).await);
    }
}

#[tokio::test]
async fn a_refresh_token_is_given_to_who_registered_for_one() {
    let app = App::new();
    let metadata = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"});
    let client = app.register(metadata).await.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let without = app.redeem(&client, &code(&app, &client).await).await.json();
    assert_eq!(without.get("refresh_token"), None::<&Value>, "{without}");
    let tokens = app
        .tokens(&client, "alice", &[("scope", "notes:read offline_access")])
        .await;
    assert!(tokens.refresh.starts_with("mcp_rt_"));
}

#[tokio::test]
async fn credentials_in_the_address_are_none() {
    let app = App::new();
    let (id, secret) = confidential(&app).await;
    let query = form(&[("client_id", &id), ("client_secret", &secret)]);
    let request = Request::post(format!("/oauth/token?{query}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("grant_type=refresh_token"));
    app.send(request.unwrap())
        .await
        .assert_error(401, "invalid_client");
}

#[tokio::test]
async fn what_it_does_not_know_changes_nothing() {
    let app = App::new();
    let client = app.public_client().await;
    let code = code(&app, &client).await;
    let params = [
        ("grant_type", "authorization_code"),
        ("client_id", &client),
        ("client_secret", ""),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("unheard_of", "x"),
        ("audience", "https://other.example"),
    ];
    Tokens::from(&app.token(&params).await);
}

#[tokio::test]
async fn who_cannot_redeem_a_used_code_cannot_end_what_it_gave() {
    let app = App::new();
    let client = app.public_client().await;
    let (other, secret) = confidential(&app).await;
    let code = code(&app, &client).await;
    let tokens = Tokens::from(&app.redeem(&client, &code).await);
    let guess = [
        ("grant_type", "authorization_code"),
        ("client_id", &client),
        ("code", &code),
        ("code_verifier", CHALLENGE),
    ];
    app.token(&guess).await.assert_error(400, "invalid_grant");
    let stolen = [guess[0], guess[2], ("code_verifier", VERIFIER)];
    app.token_as(Some(&basic(&other, &secret)), &stolen)
        .await
        .assert_error(400, "invalid_grant");
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    Tokens::from(&app.refresh(&client, &tokens.refresh).await);
}
