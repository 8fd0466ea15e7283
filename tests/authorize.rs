//! The authorization endpoint: what is refused, where, and how.

mod common;

use axum::body::Body;
use common::*;
use http::{Request, StatusCode};
use serde_json::json;
use tower_mcp_auth::{MemoryStore, StaticClient};

/// An error that must not be redirected: a page for people, JSON for programs.
async fn assert_refused_here(app: &App, query: &str, code: &str) {
    let browser = Browser::of(app, "alice");
    let page = browser.get(&format!("/oauth/authorize?{query}")).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}: {page:?}");
    assert_eq!(page.header("location"), "", "{query}");
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{query}: {page:?}"
    );
    assert!(page.body.contains(code), "{query}: {page:?}");
    let answer = app.get(&format!("/oauth/authorize?{query}")).await;
    assert_eq!(answer.header("location"), "", "{query}");
    answer.assert_error(400, code);
}

#[tokio::test]
async fn without_a_known_client_and_redirect_uri_nothing_is_redirected() {
    let app = App::new();
    let client = app.public_client().await;
    for (query, code) in [
        (String::new(), "invalid_request"),
        (authorize_params("", &[]), "invalid_request"),
        (authorize_params("nobody", &[]), "invalid_client"),
        (
            authorize_params(&client, &[("redirect_uri", "https://evil.example/cb")]),
            "invalid_request",
        ),
        (
            authorize_params(&client, &[("redirect_uri", "https://client.example/cb/")]),
            "invalid_request",
        ),
        (
            authorize_params(
                &client,
                &[("redirect_uri", "https://client.example:8443/cb")],
            ),
            "invalid_request",
        ),
        (
            authorize_params(&client, &[("redirect_uri", "https://client.example/cb#x")]),
            "invalid_request",
        ),
        (
            authorize_params(&client, &[("redirect_uri", "javascript:alert(1)")]),
            "invalid_request",
        ),
        (
            format!("{}&client_id={client}", authorize_params(&client, &[])),
            "invalid_request",
        ),
        (
            format!(
                "{}&redirect_uri=https%3A%2F%2Fevil.example%2F",
                authorize_params(&client, &[])
            ),
            "invalid_request",
        ),
        (
            format!("{}&x=%ff", authorize_params(&client, &[])),
            "invalid_request",
        ),
        (
            format!("{}&x=%zz", authorize_params(&client, &[])),
            "invalid_request",
        ),
        (
            format!("{}&x=%00", authorize_params(&client, &[])),
            "invalid_request",
        ),
        (
            format!("{}{}", authorize_params(&client, &[]), "&a=b".repeat(64)),
            "invalid_request",
        ),
    ] {
        assert_refused_here(&app, &query, code).await;
    }
}

#[tokio::test]
async fn every_other_error_goes_back_to_the_client_with_state_and_issuer() {
    let app = App::new();
    let client = app.public_client().await;
    let plain = "a".repeat(43);
    for (more, code) in [
        (vec![("response_type", "")], "invalid_request"),
        (
            vec![("response_type", "token")],
            "unsupported_response_type",
        ),
        (vec![("response_mode", "fragment")], "invalid_request"),
        (vec![("code_challenge", "")], "invalid_request"),
        (vec![("code_challenge_method", "")], "invalid_request"),
        (
            vec![
                ("code_challenge", plain.as_str()),
                ("code_challenge_method", "plain"),
            ],
            "invalid_request",
        ),
        (vec![("code_challenge", "short")], "invalid_request"),
        (vec![("scope", "unheard:of")], "invalid_scope"),
        (vec![("scope", "quo\"te")], "invalid_scope"),
        (
            vec![("resource", "https://other.example/mcp")],
            "invalid_target",
        ),
        (vec![("resource", "not a url")], "invalid_target"),
        (
            vec![("resource", "https://api.example.com/mcp#f")],
            "invalid_target",
        ),
        (
            vec![
                ("resource", MCP),
                ("resource", "https://api.example.com/files"),
            ],
            "invalid_target",
        ),
        (vec![("nonce", "1"), ("nonce", "2")], "invalid_request"),
        (vec![("prompt", "none login")], "invalid_request"),
        (vec![("request", "eyJ")], "request_not_supported"),
        (vec![("request_uri", "urn:x")], "request_uri_not_supported"),
    ] {
        let answer = Browser::of(&app, "alice").authorize(&client, &more).await;
        let error = answer.redirect(CALLBACK);
        assert_eq!(error["error"], code, "{more:?}");
        assert_eq!(error["state"], "a state&more", "{more:?}");
        assert_eq!(error["iss"], ORIGIN, "{more:?}");
        assert!(!error["error_description"].is_empty(), "{more:?}");
    }
    let repeated = format!("{}&state=two", authorize_params(&client, &[]));
    let answer = Browser::of(&app, "alice")
        .get(&format!("/oauth/authorize?{repeated}"))
        .await;
    let error = answer.redirect(CALLBACK);
    assert_eq!(error["error"], "invalid_request");
    assert!(
        !error.contains_key("state"),
        "nobody knows which one was meant: {error:?}"
    );
}

#[tokio::test]
async fn a_resource_may_be_spelled_in_every_equivalent_way() {
    let app = App::new();
    let client = app.public_client().await;
    for resource in [
        MCP,
        "HTTPS://API.example.com/mcp",
        "https://api.example.com:443/mcp",
    ] {
        let tokens = app
            .tokens(&client, "alice", &[("resource", resource)])
            .await;
        assert_eq!(
            app.call("/mcp", &tokens.access).await.status,
            StatusCode::OK,
            "{resource}"
        );
    }
}

#[tokio::test]
async fn unknown_scopes_are_left_out_and_the_answer_says_so() {
    let app = App::new();
    let client = app.public_client().await;
    let asked = "notes:read openid offline_access unheard:of files:read";
    let tokens = app.tokens(&client, "alice", &[("scope", asked)]).await;
    assert_eq!(tokens.scope, "notes:read offline_access openid");
}

#[tokio::test]
async fn a_registered_scope_stands_in_for_one_that_is_not_sent() {
    let app = App::new();
    let registered = app
        .register(json!({
            "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "scope": "notes:write",
        }))
        .await
        .json();
    assert_eq!(registered["scope"], "notes:write");
    let client = registered["client_id"].as_str().unwrap();
    let tokens = app.tokens(client, "alice", &[("scope", "")]).await;
    assert_eq!(tokens.scope, "notes:write");
}

#[tokio::test]
async fn a_loopback_client_answers_on_whatever_port_it_got() {
    let app = App::new();
    let metadata = json!({
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    });
    let client = app.register(metadata).await.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    for uri in [
        "http://localhost:52301/callback",
        "http://127.0.0.1:9/callback",
    ] {
        let code = Browser::of(&app, "alice")
            .approve(&client, &[("redirect_uri", uri)])
            .await;
        assert!(code.starts_with("mcp_ac_"), "{uri}");
    }
    let query = authorize_params(&client, &[("redirect_uri", "http://[::1]:9/callback")]);
    assert_refused_here(&app, &query, "invalid_request").await;
}

#[tokio::test]
async fn the_only_redirect_uri_may_be_left_out() {
    let app = App::new();
    let client = app.public_client().await;
    let code = Browser::of(&app, "alice")
        .approve(&client, &[("redirect_uri", "")])
        .await;
    Tokens::from(&app.redeem(&client, &code).await);
    let two = json!({
        "redirect_uris": [CALLBACK, "https://client.example/other"],
        "token_endpoint_auth_method": "none",
    });
    let client = app.register(two).await.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_refused_here(
        &app,
        &authorize_params(&client, &[("redirect_uri", "")]),
        "invalid_request",
    )
    .await;
}

#[tokio::test]
async fn a_query_in_the_redirect_uri_is_kept() {
    let app = App::new();
    let metadata = json!({
        "redirect_uris": ["https://client.example/cb?tenant=1"],
        "token_endpoint_auth_method": "none",
    });
    let client = app.register(metadata).await.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let more = [("redirect_uri", "https://client.example/cb?tenant=1")];
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&client, &more).await;
    let location = browser
        .decide(&page, "approve")
        .await
        .header("location")
        .to_owned();
    assert!(
        location.starts_with("https://client.example/cb?tenant=1&code=mcp_ac_"),
        "{location}"
    );
}

#[tokio::test]
async fn requests_may_come_by_post_too() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let begun = browser
        .post("/oauth/authorize", authorize_params(&client, &[]))
        .await;
    assert!(
        begun
            .redirect("https://api.example.com/oauth/consent")
            .contains_key("transaction")
    );
    let request = Request::post("/oauth/authorize")
        .header("content-type", "text/plain")
        .body(Body::from("x"));
    app.send(request.unwrap())
        .await
        .assert_error(400, "invalid_request");
}

#[tokio::test]
async fn prompt_none_shows_nothing_and_says_what_is_missing() {
    let app = App::new();
    let client = app.public_client().await;
    let none = [("prompt", "none")];
    let answer = Browser::new(&app).authorize(&client, &none).await;
    assert_eq!(answer.redirect(CALLBACK)["error"], "login_required");
    let browser = Browser::of(&app, "alice");
    let answer = browser.authorize(&client, &none).await;
    assert_eq!(answer.redirect(CALLBACK)["error"], "consent_required");
    browser.approve(&client, &[]).await;
    let answer = browser.authorize(&client, &none).await;
    assert!(answer.redirect(CALLBACK).contains_key("code"));
}

#[tokio::test]
async fn prompt_login_wants_a_sign_in_that_is_newer_than_the_request() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    browser.set("auth_time", "1799999000");
    let begun = browser.authorize(&client, &[("prompt", "login")]).await;
    let transaction = begun.redirect("https://api.example.com/sign-in")["transaction"].clone();
    let skipped = browser.get(&app.auth.resume_url(&transaction)).await;
    skipped.redirect("https://api.example.com/sign-in");
    browser.set("auth_time", "1800000000");
    let page = browser.get(&app.auth.resume_url(&transaction)).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
}

#[tokio::test]
async fn an_application_that_cannot_answer_is_no_server_error_for_the_client() {
    let app = App::new();
    let client = app.public_client().await;
    let answer = Browser::of(&app, "outage").authorize(&client, &[]).await;
    assert_eq!(
        answer.redirect(CALLBACK)["error"],
        "temporarily_unavailable"
    );
}

#[tokio::test]
async fn pending_authorizations_are_bounded() {
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .max_pending_authorizations(2)
    });
    let client = app.public_client().await;
    for _ in 0..2 {
        let begun = Browser::new(&app).authorize(&client, &[]).await;
        begun.redirect("https://api.example.com/sign-in");
    }
    let full = Browser::new(&app).authorize(&client, &[]).await;
    assert_eq!(full.redirect(CALLBACK)["error"], "temporarily_unavailable");
}

#[tokio::test]
async fn nothing_about_authorizing_may_be_called_by_scripts_of_other_origins() {
    let app = App::new();
    let client = app.public_client().await;
    for path in ["/oauth/authorize", "/oauth/consent"] {
        let answer = app
            .get(&format!("{path}?{}", authorize_params(&client, &[])))
            .await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        let preflight = Request::options(path)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "POST")
            .body(Body::empty());
        let answer = app.send(preflight.unwrap()).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}

#[tokio::test]
async fn configured_clients_need_no_registration() {
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::public("cli", [CALLBACK]).name("The CLI"))
    });
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page("cli", &[]).await;
    assert!(page.body.contains("The CLI"), "{page:?}");
    let code = browser.decide(&page, "approve").await.redirect(CALLBACK)["code"].clone();
    Tokens::from(&app.redeem("cli", &code).await);
}

#[tokio::test]
async fn what_it_does_not_know_changes_nothing() {
    let app = App::new();
    let client = app.public_client().await;
    let more = [
        ("unheard_of", "x"),
        ("display", "popup"),
        ("ui_locales", "de fr"),
        ("acr_values", "urn:mace:incommon:iap:silver"),
        ("claims", "{}"),
        ("audience", "https://other.example"),
    ];
    let tokens = app.tokens(&client, "alice", &more).await;
    assert_eq!(tokens.scope, "notes:read");
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
}

#[tokio::test]
async fn a_parameter_without_a_value_was_not_sent() {
    let app = App::new();
    let client = app.public_client().await;
    let usual = authorize_params(&client, &[("scope", ""), ("resource", "")]);
    let browser = Browser::of(&app, "alice");
    let query = format!("{usual}&scope=&resource=&prompt=&nonce=&nonce=&max_age=&request=");
    let begun = browser.get(&format!("/oauth/authorize?{query}")).await;
    begun.redirect("https://api.example.com/oauth/consent");
    let query = usual.replace("response_type=code", "response_type=");
    let refused = browser.get(&format!("/oauth/authorize?{query}")).await;
    assert_eq!(refused.redirect(CALLBACK)["error"], "invalid_request");
}

#[tokio::test]
async fn a_state_that_was_not_sent_is_not_made_up() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&client, &[("state", "")]).await;
    let answer = browser.decide(&page, "approve").await.redirect(CALLBACK);
    assert_eq!(answer.keys().collect::<Vec<_>>(), ["code", "iss"]);
    let more = [("state", ""), ("scope", "unheard:of")];
    let refused = browser.authorize(&client, &more).await.redirect(CALLBACK);
    assert_eq!(
        refused.keys().collect::<Vec<_>>(),
        ["error", "error_description", "iss"]
    );
}

#[tokio::test]
async fn another_account_can_be_asked_for() {
    let app = App::new();
    let client = app.public_client().await;
    let ask = [("prompt", "select_account")];
    let browser = Browser::of(&app, "alice");
    let begun = browser.authorize(&client, &ask).await;
    begun.redirect("https://api.example.com/sign-in");
}

#[tokio::test]
async fn what_has_to_be_kept_for_a_client_is_bounded() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let of = |bytes: usize| "x".repeat(bytes);
    for (state, nonce, hint) in [(8192, 0, 0), (0, 8192, 0), (0, 0, 8192), (3000, 3000, 2192)] {
        let (state, nonce, fits, too_much) = (of(state), of(nonce), of(hint), of(hint + 1));
        let params = |hint| [("state", &*state), ("nonce", &*nonce), ("login_hint", hint)];
        browser.consent_page(&client, &params(&fits)).await;
        let answer = browser.authorize(&client, &params(&too_much)).await;
        assert_eq!(answer.redirect(CALLBACK)["error"], "invalid_request");
    }
}

#[tokio::test]
async fn an_id_that_can_be_none_is_told_to_nobody() {
    let told = std::sync::Arc::<std::sync::Mutex<Vec<_>>>::default();
    let seen = std::sync::Arc::clone(&told);
    let app = App::with(|builder| {
        builder.store(tower_mcp_auth::MemoryStore::new()).observer(
            move |event: &tower_mcp_auth::Event<'_>| {
                if let tower_mcp_auth::Event::EndpointRefused { client_id, .. } = event {
                    seen.lock().unwrap().push(client_id.map(str::len));
                }
            },
        )
    });
    let address = "http://127.0.0.1/";
    for length in [2048, 2049, 50_000] {
        let id = format!("{address}{}", "a/".repeat(length))[..length].to_owned();
        let answer = app.get(&format!("/oauth/authorize?client_id={id}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(*told.lock().unwrap(), [Some(2048), None, None]);
}
