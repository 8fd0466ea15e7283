//! A client in its own name.

mod common;
#[cfg(feature = "jwt")]
#[path = "common/jws.rs"]
mod jws;

use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use http::StatusCode;
use serde_json::json;
use tower_mcp_auth::{MemoryStore, StaticClient};

fn app() -> App {
    App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::confidential(
                "robot",
                "secret",
                Vec::<String>::new(),
            ))
    })
}

async fn ask(app: &App, more: &[(&str, &str)]) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode("robot:secret"));
    let mut params = vec![("grant_type", "client_credentials")];
    params.extend_from_slice(more);
    app.token_as(Some(&basic), &params).await
}

#[tokio::test]
async fn a_configured_client_gets_a_token_without_refresh_for_what_the_resource_challenges() {
    let app = app();
    let tokens = Tokens::from(&ask(&app, &[]).await);
    assert_eq!(
        (tokens.scope.as_str(), tokens.refresh.as_str()),
        ("notes:read", "")
    );
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "robot");
    let files = "https://api.example.com/files";
    let tokens = Tokens::from(&ask(&app, &[("resource", files), ("scope", "files:read")]).await);
    assert_eq!(
        app.call("/files", &tokens.access).await.status,
        StatusCode::OK
    );
    assert_eq!(
        app.call("/mcp", &tokens.access).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[cfg(feature = "jwt")]
mod by_key {
    use super::{jws::Key, *};
    use serde_json::Value;
    use tower_mcp_auth::{ConfigError, McpAuth};

    const NOW: u64 = 1_800_000_000;

    pub(super) async fn ask(app: &App, key: &Key, jti: &str) -> Answer {
        let claims = json!({"iss": "robot", "sub": "robot", "aud": ORIGIN, "jti": jti,
            "iat": NOW, "exp": NOW + 60});
        let assertion = key.sign(json!({"kid": "one"}), &claims);
        app.token(&[
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &assertion),
        ])
        .await
    }

    #[tokio::test]
    async fn a_configured_client_may_have_a_key_instead_of_a_secret() {
        for key in [Key::ed25519(), Key::p256(), Key::rsa()] {
            let keyed = StaticClient::with_keys("robot", key.jwks("one"), [""; 0]);
            let app = App::with(|builder| builder.store(MemoryStore::new()).client(keyed));
            let tokens = Tokens::from(&ask(&app, &key, "1").await);
            assert_eq!(
                (tokens.scope.as_str(), tokens.refresh.as_str()),
                ("notes:read", "")
            );
            assert_eq!(app.call("/mcp", &tokens.access).await.body, "robot");
            ask(&app, &key, "1")
                .await
                .assert_error(401, "invalid_client");
            ask(&app, &Key::p256(), "2")
                .await
                .assert_error(401, "invalid_client");
            for authorization in [None, Some("Basic cm9ib3Q6c2VjcmV0")] {
                let params = [("grant_type", "client_credentials"), ("client_id", "robot")];
                app.token_as(authorization, &params)
                    .await
                    .assert_error(401, "invalid_client");
            }
        }
    }

    #[test]
    fn keys_that_cannot_be_used_are_found_before_a_request_is_served() {
        let build = |client: StaticClient| -> Result<McpAuth, ConfigError> {
            builder().store(MemoryStore::new()).client(client).build()
        };
        for keys in [
            Value::Null,
            json!({}),
            json!({"keys": []}),
            json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}),
        ] {
            let built = build(StaticClient::with_keys("robot", keys.clone(), [""; 0]));
            assert!(matches!(built, Err(ConfigError::Keys(_))), "{keys}");
        }
        let at = |url: &str| build(StaticClient::with_keys_at("robot", url, [""; 0]));
        assert!(matches!(at("/keys"), Err(ConfigError::Uri(_))));
        assert!(at("https://robot.example/keys").is_ok());
    }
}

/// Whatever time passes between: what was used is in the store.
#[cfg(all(feature = "jwt", feature = "sled"))]
#[test]
fn a_restart_does_not_make_a_client_assertion_good_again() {
    use jws::Key;
    use tower_mcp_auth::SledStore;

    let directory = tempfile::tempdir().unwrap();
    let key = Key::ed25519();
    for (jti, status) in [("kept", 200), ("kept", 401), ("new", 200)] {
        // With its runtime everything ends that holds the store.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = SledStore::open(directory.path()).unwrap();
            let keyed = StaticClient::with_keys("robot", key.jwks("one"), [""; 0]);
            let app = App::with(|builder| builder.store(store).client(keyed));
            let answer = by_key::ask(&app, &key, jti).await;
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        });
    }
}

#[tokio::test]
async fn scopes_about_users_are_not_for_clients() {
    let app = app();
    let tokens = Tokens::from(&ask(&app, &[("scope", "openid notes:write offline_access")]).await);
    assert_eq!(tokens.scope, "notes:write");
    ask(&app, &[("scope", "openid")])
        .await
        .assert_error(400, "invalid_scope");
    ask(&app, &[("scope", "quo\"te")])
        .await
        .assert_error(400, "invalid_scope");
    ask(&app, &[("resource", "https://other.example")])
        .await
        .assert_error(400, "invalid_target");
}

#[tokio::test]
async fn a_client_is_not_the_user_of_the_same_name() {
    let app = app();
    let robot = Tokens::from(&ask(&app, &[]).await);
    let mut headers = http::HeaderMap::new();
    headers.insert(
        "authorization",
        format!("Bearer {}", robot.access).parse().unwrap(),
    );
    let session = app.auth.get_mcp_session(&headers).await.unwrap().unwrap();
    assert!(session.is_client());
    let user = tower_mcp_auth::Subject::new("robot").unwrap();
    app.auth.revoke_user(&user).await.unwrap();
    assert_eq!(app.call("/mcp", &robot.access).await.body, "robot");
}

#[tokio::test]
async fn who_registered_itself_gets_nothing_without_a_user() {
    let app = app();
    let public = app.public_client().await;
    let params = [
        ("grant_type", "client_credentials"),
        ("client_id", public.as_str()),
    ];
    app.token(&params)
        .await
        .assert_error(400, "unauthorized_client");
    let body = app
        .register(json!({"redirect_uris": [CALLBACK]}))
        .await
        .json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let params = [
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", &secret),
    ];
    app.token(&params)
        .await
        .assert_error(400, "unauthorized_client");
}
