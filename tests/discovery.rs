//! The documents: where clients look for them, and what they need to find.

mod common;

use axum::{Router, body::Body, routing::get};
use common::*;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_mcp_auth::{McpAuth, MemoryStore, Resource};

const SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";
const RESOURCE: &str = "/.well-known/oauth-protected-resource";

#[tokio::test]
async fn the_authorization_server_says_what_it_can_do_and_nothing_more() {
    let document = App::new().get(SERVER).await.json();
    assert_eq!(
        document,
        json!({
            "issuer": "https://api.example.com",
            "authorization_endpoint": "https://api.example.com/oauth/authorize",
            "token_endpoint": "https://api.example.com/oauth/token",
            "registration_endpoint": "https://api.example.com/oauth/register",
            "scopes_supported": ["email", "files:read", "notes:read", "notes:write", "offline_access", "openid", "profile"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "device_authorization_endpoint": "https://api.example.com/oauth/device-authorization",
            "grant_types_supported": [
                "authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code",
            ],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic", "private_key_jwt"],
            "client_id_metadata_document_supported": true,
            "token_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256", "PS256", "RS256"],
            "revocation_endpoint": "https://api.example.com/oauth/revoke",
            "revocation_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic", "private_key_jwt"],
            "revocation_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256", "PS256", "RS256"],
            "introspection_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256", "PS256", "RS256"],
            "introspection_endpoint": "https://api.example.com/oauth/introspect",
            "introspection_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
            "pushed_authorization_request_endpoint": "https://api.example.com/oauth/par",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "dpop_signing_alg_values_supported": ["EdDSA", "ES256", "PS256", "RS256"],
            "jwks_uri": "https://api.example.com/oauth/jwks",
            "userinfo_endpoint": "https://api.example.com/oauth/userinfo",
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "EdDSA"],
            "claims_supported": ["iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "sid", "at_hash"],
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "request_uri_parameter_supported": false,
            "protected_resources": ["https://api.example.com/mcp", "https://api.example.com/files"],
        })
    );
}

#[tokio::test]
async fn each_resource_has_a_document_of_its_own() {
    let app = App::new();
    assert_eq!(
        app.get("/.well-known/oauth-protected-resource/mcp")
            .await
            .json(),
        json!({
            "resource": "https://api.example.com/mcp",
            "authorization_servers": ["https://api.example.com"],
            "scopes_supported": ["notes:read", "notes:write"],
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": ["EdDSA", "ES256", "PS256", "RS256"],
            "resource_name": "Notes",
        })
    );
    let files = app
        .get("/.well-known/oauth-protected-resource/files")
        .await
        .json();
    assert_eq!(files["resource"], "https://api.example.com/files");
}

#[tokio::test]
async fn every_place_where_a_client_may_look_is_answered() {
    let app = App::new();
    for path in [SERVER, OPENID] {
        for form in [
            path.to_owned(),
            format!("{path}/"),
            format!("{path}?x=1"),
            format!("/oauth{path}"),
        ] {
            assert_eq!(app.get(&form).await.json()["issuer"], ORIGIN, "{form}");
        }
    }
    for form in [
        format!("{RESOURCE}/mcp"),
        format!("{RESOURCE}/mcp/"),
        format!("{RESOURCE}/mcp?x=1"),
        format!("/mcp{RESOURCE}"),
        RESOURCE.to_owned(),
        format!("{RESOURCE}/"),
        format!("/oauth{RESOURCE}"),
    ] {
        assert_eq!(app.get(&form).await.json()["resource"], MCP, "{form}");
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_is_found_before_and_after_it_and_not_at_the_root() {
    let auth = McpAuth::builder("https://api.example.com/tenant")
        .login_page("/sign-in")
        .authenticator(ByCookie)
        .endpoints("/api/auth")
        .resource("https://api.example.com/tenant/mcp", ["notes:read"])
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let router: Router = Router::new()
        .nest_service("/api/auth", auth.endpoints())
        .layer(auth.well_known());
    let status = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    };
    for path in [
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/openid-configuration/tenant",
        "/tenant/.well-known/openid-configuration",
        "/tenant/.well-known/oauth-authorization-server",
        "/api/auth/.well-known/oauth-authorization-server",
        "/api/auth/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/tenant/mcp",
    ] {
        assert_eq!(status(path).await, StatusCode::OK, "{path}");
    }
    // There another issuer would be expected, and finding this one is an error to strict clients.
    for path in [SERVER, OPENID] {
        assert_eq!(status(path).await, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_rest_of_the_namespace_is_a_json_404_and_everything_else_passes() {
    let app = App::new();
    for path in [
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/oauth-protected-resource/unknown",
        "/mcp/.well-known/openid-configuration",
        "/deep/down/.well-known/oauth-protected-resource",
        "/oauth/.well-known/oauth-authorization-server/x",
    ] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["error"], "not_found", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
    for path in [
        "/.well-known/security.txt",
        "/.well-known/oauth-protected-resources",
        "/nowhere",
    ] {
        let answer = app.get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::NOT_FOUND, ""),
            "{path}"
        );
    }
}

#[tokio::test]
async fn documents_are_cached_conditional_and_shared() {
    let app = App::new();
    let answer = app.get(SERVER).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let etag = answer.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.len() > 10, "{etag}");

    let send = |method: &'static str, known: Option<String>| {
        let mut request = Request::builder().method(method).uri(SERVER);
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        app.send(request.body(Body::empty()).unwrap())
    };
    for known in [
        etag.clone(),
        format!("W/{etag}"),
        format!("\"x\", {etag}"),
        "*".to_owned(),
    ] {
        let unchanged = send("GET", Some(known.clone())).await;
        assert_eq!(
            (unchanged.status, unchanged.body.as_str()),
            (StatusCode::NOT_MODIFIED, ""),
            "{known}"
        );
        assert_eq!(unchanged.header("etag"), etag);
    }
    assert_eq!(
        send("GET", Some("\"other\"".into())).await.status,
        StatusCode::OK
    );

    let head = send("HEAD", None).await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.header("content-length"), answer.body.len().to_string());
    let preflight = send("OPTIONS", None).await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert!(
        preflight
            .header("access-control-allow-headers")
            .contains("mcp-protocol-version")
    );
    for method in ["POST", "PUT", "DELETE"] {
        let refused = send(method, None).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS", "{method}");
    }
}

#[tokio::test]
async fn single_documents_can_be_mounted_anywhere() {
    let app = App::new();
    let resource = app.auth.protected_resource_metadata("/files").unwrap();
    let router: Router = Router::new()
        .route_service(
            "/api/auth/.well-known/oauth-authorization-server",
            app.auth.authorization_server_metadata(),
        )
        .route_service("/here", resource)
        .route("/other", get(|| async { "other" }));
    for (path, member, value) in [
        (
            "/api/auth/.well-known/oauth-authorization-server",
            "issuer",
            ORIGIN,
        ),
        ("/here", "resource", "https://api.example.com/files"),
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document[member], value);
    }
    assert!(app.auth.protected_resource_metadata("/nothing").is_err());
    assert!(app.auth.protect("/nothing").is_err());
}

#[tokio::test]
async fn a_challenge_points_at_a_document_that_is_there() {
    let app = App::new();
    for path in ["/mcp", "/files"] {
        let challenge = app.get(path).await.header("www-authenticate").to_owned();
        let url = challenge
            .split("resource_metadata=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let document = app.get(url.strip_prefix(ORIGIN).unwrap()).await.json();
        assert_eq!(document["resource"], format!("{ORIGIN}{path}"));
    }
}

#[tokio::test]
async fn the_protocol_version_changes_nothing() {
    let app = App::new();
    let plain = app.get(SERVER).await;
    for version in ["2024-11-05", "2025-03-26", "2026-07-28", "9999-99-99", ""] {
        for path in [SERVER, OPENID] {
            let request = Request::get(path).header("mcp-protocol-version", version);
            let answer = app.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(
                (answer.status, answer.body),
                (plain.status, plain.body.clone())
            );
        }
    }
}

#[tokio::test]
async fn a_resources_document_says_what_there_is_to_say_and_leaves_offline_access_out() {
    let url = "https://api.example.com/docs";
    let app = App::with(|builder| {
        let resource = Resource::new(url)
            .scopes(["docs:read", "offline_access"])
            .name("Documents")
            .documentation("https://docs.example.com/");
        builder.store(MemoryStore::new()).resource_with(resource)
    });
    let document = app.get(&format!("{RESOURCE}/docs")).await.json();
    assert_eq!(document["scopes_supported"], json!(["docs:read"]));
    assert_eq!(document["resource_name"], "Documents");
    assert_eq!(
        document["resource_documentation"],
        "https://docs.example.com/"
    );
    let issuer = app.get(SERVER).await.json();
    let offered = issuer["scopes_supported"].as_array().unwrap();
    assert!(offered.contains(&json!("offline_access")));
    // What is asked for at the door is what a request without `scope` gets.
    let client = app.public_client().await;
    let more = [("resource", url), ("scope", "")];
    let tokens = app.tokens(&client, "alice", &more).await;
    assert_eq!(tokens.scope, "docs:read openid");
}
