//! What ChatGPT signs, by what it publishes.

use http::request::Parts;
use serde_json::json;

use super::super::{AuthorizationServer, Endpoint};
use crate::{
    Authenticator, AuthenticatorError, McpAuth, MemoryStore, SignedIn,
    client::{Client, document, registration::Offer},
    clock::{Clock, SystemClock},
    id::ClientId,
    jwt::{Algorithm, SigningKey, generate_key},
    scope::Scopes,
};

const ISSUER: &str = "https://api.example.com";
const TOKEN_ENDPOINT: &str = "https://api.example.com/oauth/token";
const DOCUMENT: &str = include_str!("../../../tests/documents/chatgpt.json");
const CHATGPT: &str = "https://chatgpt.com/oauth/kDmjx77UnKOM/client.json";

struct Nobody;

impl Authenticator for Nobody {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(None)
    }
}

/// What `id` publishes is what ChatGPT does, but with `key` instead of an address of keys.
fn described(id: &str, key: &SigningKey) -> Client {
    let mut text: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
    text["client_id"] = json!(id);
    text.as_object_mut().unwrap().remove("jwks_uri").unwrap();
    text["jwks"] = json!({ "keys": [key.public_jwk()] });
    let offer = Offer {
        scopes: Scopes::none(),
        jwt_bearer: false,
    };
    let document = document::parse(id, text.to_string().as_bytes(), &offer).unwrap();
    Client {
        id: ClientId::new(id).unwrap(),
        secret: None,
        secret_expires_at: None,
        metadata: document.metadata,
        allows_none: document.allows_none,
        expires_at: None,
    }
}

async fn is_taken(server: &AuthorizationServer, id: &str, audience: &str) -> bool {
    let der = generate_key(Algorithm::RS256).unwrap();
    let key = SigningKey::from_pkcs8(Algorithm::RS256, None, &der).unwrap();
    let now = SystemClock.now().as_secs();
    let claims = json!({"iss": id, "sub": id, "aud": audience, "jti": audience, "iat": now, "exp": now + 60});
    let assertion = key.sign("JWT", &claims).unwrap();
    let client = described(id, &key);
    let (parts, ()) = http::Request::new(()).into_parts();
    let judged = server.check_assertion(Endpoint::Token, &parts, &client, &assertion);
    let Ok(judged) = judged.await else {
        panic!("the store answers");
    };
    judged.is_ok()
}

#[tokio::test]
async fn chatgpt_may_sign_for_the_token_endpoint_and_nobody_else_may() {
    let auth = McpAuth::builder(ISSUER)
        .login_page("/sign-in")
        .authenticator(Nobody)
        .resource("https://api.example.com/mcp", ["notes:read"])
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let server = auth.server();
    assert!(is_taken(server, CHATGPT, TOKEN_ENDPOINT).await);
    assert!(is_taken(server, CHATGPT, ISSUER).await);
    assert!(!is_taken(server, CHATGPT, "https://api.example.com/oauth/revoke").await);
    for other in [
        "https://chatgpt.com.evil.example/client.json",
        "https://evil.example/chatgpt.com/client.json",
        "https://www.chatgpt.com/client.json",
    ] {
        assert!(is_taken(server, other, ISSUER).await, "{other}");
        assert!(!is_taken(server, other, TOKEN_ENDPOINT).await, "{other}");
    }
}
