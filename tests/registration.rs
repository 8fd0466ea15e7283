//! Dynamic client registration as real clients send it, and what it costs the server.

mod common;
#[path = "common/device.rs"]
mod device;

use axum::body::Body;
use common::*;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower_mcp_auth::{ClientMetadata, MemoryStore, PolicyError, Registration, RegistrationPolicy};

#[tokio::test]
async fn real_clients_register_and_get_back_what_was_kept() {
    let app = App::new();
    let native = "native";
    for (name, metadata, kept) in [
        (
            "Claude",
            json!({
                "client_name": "Claude", "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
                "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
                "token_endpoint_auth_method": "none", "scope": "notes:read offline_access",
            }),
            1,
        ),
        (
            "Claude Code",
            json!({
                "client_name": "Claude Code (notes)", "redirect_uris": ["http://localhost:3118/callback"],
                "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
                "token_endpoint_auth_method": "none", "application_type": native,
            }),
            1,
        ),
        (
            "ChatGPT",
            json!({
                "client_name": "ChatGPT", "redirect_uris": ["https://chatgpt.com/connector/oauth/abc123"],
                "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
                "token_endpoint_auth_method": "client_secret_post",
            }),
            1,
        ),
        (
            "Cursor",
            json!({
                "client_name": "Cursor", "redirect_uris": [
                    "cursor://anysphere.cursor-mcp/oauth/callback",
                    "https://www.cursor.com/agents/mcp/oauth/callback",
                    "http://localhost:8787/callback",
                ], "token_endpoint_auth_method": "none", "response_types": ["code"],
            }),
            3,
        ),
        (
            "VS Code",
            json!({
                "client_name": "Visual Studio Code", "client_uri": "https://code.visualstudio.com",
                "redirect_uris": [
                    "https://insiders.vscode.dev/redirect", "https://vscode.dev/redirect",
                    "http://127.0.0.1/", "http://127.0.0.1:33418/",
                ], "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
                "response_types": ["code"], "token_endpoint_auth_method": "none", "application_type": native,
            }),
            4,
        ),
        (
            "Inspector",
            json!({
                "client_name": "MCP Inspector", "client_uri": "https://github.com/modelcontextprotocol/inspector",
                "redirect_uris": ["http://localhost:6274/oauth/callback"],
                "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
                "token_endpoint_auth_method": "none", "scope": "",
            }),
            1,
        ),
        (
            "mcp-remote",
            json!({
                "client_name": "MCP CLI Proxy", "client_uri": "https://github.com/modelcontextprotocol/mcp-cli",
                "redirect_uris": ["http://127.0.0.1:5091/oauth/callback"], "software_version": "0.1.16",
                "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d",
                "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
                "token_endpoint_auth_method": "none",
            }),
            1,
        ),
        (
            "one unusable",
            json!({
                "redirect_uris": ["https://client.example/cb", "http://client.example/cb", "javascript:alert(1)"],
                "token_endpoint_auth_method": "none", "logo_uri": null, "tos_uri": "",
            }),
            1,
        ),
    ] {
        let answer = app.register(metadata.clone()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{name}: {answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(
            !answer.body.contains("null"),
            "clients refuse null: {answer:?}"
        );
        let body = answer.json();
        assert_eq!(
            body["redirect_uris"].as_array().unwrap().len(),
            kept,
            "{name}"
        );
        assert!(body["client_id_issued_at"].is_u64(), "{name}");
        let has_secret = metadata["token_endpoint_auth_method"] != "none";
        assert_eq!(body["client_secret"].is_string(), has_secret, "{name}");
        assert_eq!(
            body.get("client_secret_expires_at").is_some(),
            has_secret,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_gets_a_secret() {
    let app = App::new();
    let body = app
        .register(json!({"redirect_uris": [CALLBACK]}))
        .await
        .json();
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(body["grant_types"], json!(["authorization_code"]));
    assert_eq!(body["response_types"], json!(["code"]));
    assert_eq!(body["client_secret_expires_at"], 0);
    assert!(
        body["client_secret"]
            .as_str()
            .unwrap()
            .starts_with("mcp_cs_")
    );
}

#[tokio::test]
async fn a_public_client_that_registers_again_is_the_same_client() {
    let app = App::new();
    let metadata = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "x"});
    let first = app.register(metadata.clone()).await.json();
    app.advance(60);
    let second = app.register(metadata.clone()).await.json();
    assert_eq!(first, second);
    let mut other = metadata.clone();
    other["client_name"] = json!("y");
    assert_ne!(
        first["client_id"],
        app.register(other).await.json()["client_id"]
    );
    // One that holds a secret is never given out twice.
    let mut confidential = metadata;
    confidential["token_endpoint_auth_method"] = json!("client_secret_basic");
    let one = app.register(confidential.clone()).await.json();
    let two = app.register(confidential).await.json();
    assert_ne!(one["client_id"], two["client_id"]);
    assert_ne!(one["client_secret"], two["client_secret"]);
}

#[tokio::test]
async fn what_is_no_registration_is_refused_in_the_terms_of_rfc_7591() {
    let app = App::new();
    for (body, code) in [
        ("", "invalid_client_metadata"),
        ("{", "invalid_client_metadata"),
        ("[]", "invalid_client_metadata"),
        ("\"x\"", "invalid_client_metadata"),
        ("{}", "invalid_redirect_uri"),
        (
            r#"{"redirect_uris":["https://c.example"],"redirect_uris":["https://evil.example"]}"#,
            "invalid_client_metadata",
        ),
        (
            r#"{"redirect_uris":["http://client.example/cb"]}"#,
            "invalid_redirect_uri",
        ),
        (
            r#"{"redirect_uris":["https://client.example/cb#f"]}"#,
            "invalid_redirect_uri",
        ),
        (
            r#"{"redirect_uris":["data:text/html,x"]}"#,
            "invalid_redirect_uri",
        ),
        (
            r#"{"redirect_uris":["https://client.example/\u0000"]}"#,
            "invalid_redirect_uri",
        ),
        (
            r#"{"redirect_uris":["https://c.example"],"token_endpoint_auth_method":"tls_client_auth"}"#,
            "invalid_client_metadata",
        ),
        (
            r#"{"redirect_uris":["https://c.example"],"policy_uri":"javascript:alert(1)"}"#,
            "invalid_client_metadata",
        ),
    ] {
        let request = Request::post("/oauth/register")
            .header("content-type", "application/json")
            .body(Body::from(body));
        app.send(request.unwrap()).await.assert_error(400, code);
    }
    let deep = format!(
        "{{\"redirect_uris\":{}{}}}",
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let invalid_utf8 = b"{\"redirect_uris\":[\"https://c.example/\xff\"]}".to_vec();
    for (content_type, body, status, code) in [
        ("text/plain", b"{}".to_vec(), 400, "invalid_client_metadata"),
        (
            "application/json",
            deep.into_bytes(),
            400,
            "invalid_client_metadata",
        ),
        (
            "application/json",
            invalid_utf8,
            400,
            "invalid_client_metadata",
        ),
        (
            "application/json",
            vec![b' '; 64 * 1024 + 1],
            413,
            "invalid_request",
        ),
    ] {
        let request = Request::post("/oauth/register")
            .header("content-type", content_type)
            .body(Body::from(body));
        app.send(request.unwrap()).await.assert_error(status, code);
    }
}

#[tokio::test]
async fn as_many_clients_as_allowed_can_register() {
    let app = App::with(|builder| builder.store(MemoryStore::new()).max_clients(2));
    let metadata = |name: &str| json!({"redirect_uris": [CALLBACK], "client_name": name, "token_endpoint_auth_method": "none"});
    assert_eq!(
        app.register(metadata("a")).await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        app.register(metadata("b")).await.status,
        StatusCode::CREATED
    );
    let full = app.register(metadata("c")).await;
    full.assert_error(429, "temporarily_unavailable");
    assert_ne!(full.header("retry-after"), "");
    assert_eq!(
        app.register(metadata("a")).await.status,
        StatusCode::CREATED,
        "known already"
    );
}

#[tokio::test]
async fn who_never_comes_back_is_forgotten_and_who_is_in_use_is_not() {
    let app = App::new();
    let metadata = |name: &str| {
        json!({"redirect_uris": [CALLBACK], "client_name": name, "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"]})
    };
    let id = |body: Value| body["client_id"].as_str().unwrap().to_owned();
    let unused = id(app.register(metadata("unused")).await.json());
    let used = id(app.register(metadata("used")).await.json());
    let mut tokens = app.tokens(&used, "alice", &[]).await;
    app.advance(24 * 3600);
    let answer = app
        .get(&format!(
            "/oauth/authorize?{}",
            authorize_params(&unused, &[])
        ))
        .await;
    answer.assert_error(400, "invalid_client");
    app.refresh(&unused, &tokens.refresh)
        .await
        .assert_error(401, "invalid_client");
    for _ in 0..40 {
        app.advance(5 * 24 * 3600);
        tokens = Tokens::from(&app.refresh(&used, &tokens.refresh).await);
    }
}

/// A client is forgotten between two sign-ins, not in the middle of one.
#[tokio::test]
async fn who_is_remembered_when_it_begins_is_remembered_to_the_end() {
    const WAITS: u64 = 600;
    let app = App::new();
    let metadata = json!({
        "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", device::GRANT],
    });
    let mut clients = Vec::new();
    for _ in 0..4 {
        let client = app.register(metadata.clone()).await.json();
        clients.push(client["client_id"].as_str().unwrap().to_owned());
    }
    let browser = Browser::of(&app, "alice");
    let push = async |client: &str| {
        let request = Request::post("/oauth/par")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(authorize_params(client, &[]).into());
        app.send(request.unwrap()).await
    };
    let begin = async |client: &str| {
        let params = [("client_id", client), ("resource", MCP)];
        device::begin(&app, &params).await
    };
    app.advance(24 * 3600 - WAITS - 91);
    let pushed = push(&clients[0]).await.json();
    push(&clients[3]).await;
    app.advance(89);
    let name = pushed["request_uri"].as_str().unwrap();
    let query = form(&[("client_id", &clients[0]), ("request_uri", name)]);
    let begun = browser.get(&format!("/oauth/authorize?{query}")).await;
    app.advance(1);
    let page = browser.consent_page(&clients[1], &[]).await;
    let device = device::device_of(&app, &clients[2]).await;
    app.advance(1);
    let begin_here = format!("/oauth/authorize?{}", authorize_params(&clients[3], &[]));
    app.get(&begin_here)
        .await
        .assert_error(400, "invalid_client");
    push(&clients[3]).await.assert_error(401, "invalid_client");
    begin(&clients[3]).await.assert_error(401, "invalid_client");

    app.advance(WAITS - 8);
    device::approve(&app, "alice", &device).await;
    Tokens::from(&device::poll(&app, &device).await);
    let pushed = browser.get(begun.header("location")).await;
    for (client, page) in [(&clients[0], &pushed), (&clients[1], &page)] {
        let answer = browser.decide(page, "approve").await.redirect(CALLBACK);
        app.advance(1);
        Tokens::from(&app.redeem(client, &answer["code"]).await);
    }
}

#[tokio::test]
async fn the_application_may_have_its_say() {
    struct OnlyHttps;

    impl RegistrationPolicy for OnlyHttps {
        async fn decide(
            &self,
            request: &http::request::Parts,
            client: &ClientMetadata,
        ) -> Result<Registration, PolicyError> {
            if request.headers.contains_key("x-outage") {
                return Err("the list is not there".into());
            }
            let https = |uri: &String| uri.starts_with("https://");
            Ok(if client.redirect_uris.iter().all(https) {
                Registration::Allow
            } else {
                Registration::Deny {
                    reason: "only web clients may register here".to_owned(),
                }
            })
        }
    }

    let app = App::with(|b| b.store(MemoryStore::new()).registration_policy(OnlyHttps));
    app.public_client().await;
    let local = json!({"redirect_uris": ["http://localhost/cb"]});
    app.register(local.clone())
        .await
        .assert_error(403, "access_denied");
    let request = Request::post("/oauth/register")
        .header("content-type", "application/json")
        .header("x-outage", "1")
        .body(Body::from(local.to_string()));
    app.send(request.unwrap())
        .await
        .assert_error(503, "temporarily_unavailable");
}

#[tokio::test]
async fn registering_may_take_a_token() {
    let app = App::with(|b| {
        b.store(MemoryStore::new())
            .initial_access_token("let-me-in")
    });
    let register = |authorization: Option<&'static str>| {
        let mut request =
            Request::post("/oauth/register").header("content-type", "application/json");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let body = json!({"redirect_uris": [CALLBACK]}).to_string();
        app.send(request.body(Body::from(body)).unwrap())
    };
    let nothing = register(None).await;
    nothing.assert_error(401, "invalid_token");
    assert_eq!(
        nothing.header("www-authenticate"),
        "Bearer realm=\"register\""
    );
    let wrong = register(Some("Bearer guess")).await;
    wrong.assert_error(401, "invalid_token");
    assert_eq!(
        wrong.header("www-authenticate"),
        "Bearer error=\"invalid_token\""
    );
    assert_eq!(
        register(Some("bearer let-me-in")).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_secret_that_expires_is_refused_from_then_on() {
    let day = std::time::Duration::from_secs(86_400);
    let app = App::with(|b| b.store(MemoryStore::new()).client_secret_ttl(day));
    let body = app.register(json!({"redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"]})).await.json();
    assert_eq!(body["client_secret_expires_at"], 1_800_086_400);
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let call = |app: App| {
        let params = [
            ("client_id", id.clone()),
            ("client_secret", secret.clone()),
            ("grant_type", "x".to_owned()),
        ];
        async move {
            let params: Vec<_> = params.iter().map(|(k, v)| (*k, v.as_str())).collect();
            app.token(&params).await
        }
    };
    // In use, so that the client itself is not forgotten.
    Browser::of(&app, "alice").approve(&id, &[]).await;
    app.advance(86_399);
    call(app.clone())
        .await
        .assert_error(400, "unsupported_grant_type");
    app.advance(1);
    call(app.clone()).await.assert_error(401, "invalid_client");
}

#[tokio::test]
async fn all_that_is_kept_is_said_and_what_is_unknown_is_ignored() {
    let app = App::new();
    let kept = json!({
        "redirect_uris": [CALLBACK, "http://127.0.0.1/cb"], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "application_type": "native", "scope": "notes:read notes:write", "client_name": "Agent",
        "client_uri": "https://client.example/", "logo_uri": "https://client.example/logo",
        "tos_uri": "https://client.example/tos", "policy_uri": "https://client.example/policy",
        "contacts": ["agent@client.example"], "software_id": "agent", "software_version": "1.2",
    });
    let mut sent = kept.clone();
    sent["unheard_of"] = json!({"x": [1]});
    sent["software_statement"] = json!("x.y.z");
    sent["client_id"] = json!("https://client.example/chosen");
    let answer = app.register(sent).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let mut body = answer.json();
    let members = body.as_object_mut().unwrap();
    let id = members.remove("client_id").unwrap();
    assert!(members.remove("client_id_issued_at").is_some());
    assert_eq!(body, kept);
    // Those are for clients that describe themselves.
    let secret = app.register(json!({"redirect_uris": [CALLBACK]})).await;
    for id in [&id, &secret.json()["client_id"]] {
        assert!(!id.as_str().unwrap().contains("://"), "{id}");
    }
}
