//! What the endpoints have in common: who may call them from where, and that nobody keeps answers.

mod common;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use http::{Request, StatusCode};
use serde_json::json;
use tower_mcp_auth::{MemoryStore, StaticClient};

fn app() -> App {
    App::with(|builder| {
        let none = Vec::<String>::new();
        let robot = StaticClient::confidential("robot", "secret", none);
        builder.store(MemoryStore::new()).client(robot)
    })
}

fn request(method: &str, endpoint: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("/oauth/{endpoint}"))
        .header("origin", "https://app.example")
}

async fn post(app: &App, endpoint: &str, params: &[(&str, &str)]) -> Answer {
    let request = request("POST", endpoint)
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            format!("Basic {}", STANDARD.encode("robot:secret")),
        );
    app.send(request.body(form(params).into()).unwrap()).await
}

#[tokio::test]
async fn scripts_of_every_origin_may_call_what_no_cookie_decides_about() {
    let app = app();
    for (endpoint, method) in [
        ("token", "POST"),
        ("register", "POST"),
        ("par", "POST"),
        ("device-authorization", "POST"),
        ("revoke", "POST"),
        ("introspect", "POST"),
        ("userinfo", "GET"),
        ("userinfo", "POST"),
        ("jwks", "GET"),
        ("get-session", "GET"),
    ] {
        let preflight = request("OPTIONS", endpoint)
            .header("access-control-request-method", method)
            .body(Body::empty());
        let preflight = app.send(preflight.unwrap()).await;
        assert_eq!(preflight.status, StatusCode::NO_CONTENT, "{endpoint}");
        let methods = preflight.header("access-control-allow-methods");
        assert!(methods.split(", ").any(|m| m == method), "{endpoint}");
        let allowed = preflight.header("access-control-allow-headers");
        for header in [
            "authorization",
            "content-type",
            "mcp-protocol-version",
            "dpop",
        ] {
            let mut allowed = allowed.split(", ");
            assert!(allowed.any(|h| h == header), "{endpoint} {header}");
        }
        let answer = request(method, endpoint).body(Body::empty());
        let answer = app.send(answer.unwrap()).await;
        for answer in [preflight, answer] {
            assert_eq!(
                answer.header("access-control-allow-origin"),
                "*",
                "{endpoint}"
            );
            assert_eq!(
                answer.header("access-control-allow-credentials"),
                "",
                "{endpoint}"
            );
        }
    }
}

/// RFC 9110 §9.3.2: what GET would say, without its body.
#[tokio::test]
async fn what_is_only_read_answers_head() {
    let app = app();
    for endpoint in ["jwks", "userinfo", "get-session"] {
        let ask = |method| app.send(request(method, endpoint).body(Body::empty()).unwrap());
        let (get, head) = (ask("GET").await, ask("HEAD").await);
        assert_eq!(head.status, get.status, "{endpoint}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert_eq!(head.header("content-length"), get.body.len().to_string());
        assert_eq!((head.body.as_str(), get.body.is_empty()), ("", false));
    }
}

#[tokio::test]
async fn no_script_of_another_origin_may_call_what_shows_pages() {
    let app = app();
    for endpoint in ["authorize", "consent", "device"] {
        let preflight = request("OPTIONS", endpoint)
            .header("access-control-request-method", "POST")
            .body(Body::empty());
        let preflight = app.send(preflight.unwrap()).await;
        assert_eq!(preflight.status, StatusCode::METHOD_NOT_ALLOWED);
        let get = app.send(request("GET", endpoint).body(Body::empty()).unwrap());
        for answer in [preflight, get.await] {
            assert_eq!(
                answer.header("access-control-allow-origin"),
                "",
                "{endpoint}"
            );
        }
    }
}

/// RFC 6749 §5.1 and whoever refers to it.
#[tokio::test]
async fn nobody_keeps_what_is_answered() {
    let app = app();
    let metadata = json!({
        "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
    });
    let registered = app.register(metadata).await;
    let client = registered.json()["client_id"].as_str().unwrap().to_owned();
    let token = post(&app, "token", &[("grant_type", "client_credentials")]).await;
    let access = token.json()["access_token"].as_str().unwrap().to_owned();
    let openid = app.tokens(&client, "alice", &[("scope", "openid")]).await;
    let bare = async |endpoint: &str, params: String| {
        let request =
            request("POST", endpoint).header("content-type", "application/x-www-form-urlencoded");
        app.send(request.body(params.into()).unwrap()).await
    };
    let answers = [
        (registered, 201),
        (token, 200),
        (post(&app, "introspect", &[("token", &access)]).await, 200),
        (post(&app, "revoke", &[("token", &access)]).await, 200),
        (bare("par", authorize_params(&client, &[])).await, 201),
        (
            bare("device-authorization", form(&[("client_id", &client)])).await,
            200,
        ),
        (app.call("/oauth/userinfo", &openid.access).await, 200),
        (app.call("/oauth/get-session", &openid.access).await, 200),
        (bare("token", String::new()).await, 401),
        (bare("register", String::new()).await, 400),
        (app.get("/oauth/userinfo").await, 401),
    ];
    for (answer, status) in answers {
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
        assert_eq!(answer.header("pragma"), "no-cache", "{answer:?}");
        if !answer.body.is_empty() {
            answer.json();
        }
    }
}
