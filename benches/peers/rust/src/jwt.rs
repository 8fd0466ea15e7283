//! Signed tokens of one issuer (ES256): our verifier, and tower-oauth2-resource-server.

use std::{
    net::Ipv4Addr,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use axum::{Json, Router, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_mcp_auth::{JwtVerifier, ProtectedResource};
use tower_oauth2_resource_server::{server::OAuth2ResourceServer, tenant::TenantConfiguration};

use crate::Served;

const RESOURCE: &str = "https://api.example.com/mcp";

/// An issuer's keys and a hundred of its tokens.
struct Issuer {
    keys: Value,
    tokens: Vec<String>,
}

impl Issuer {
    fn new(name: &str) -> Self {
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref()).unwrap();
        let point = pair.public_key().as_ref();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256",
            "x": text(&point[1..33]), "y": text(&point[33..]),
        }]});
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let header = Header {
            typ: Some("at+jwt".to_owned()),
            kid: Some("1".to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        let token = |index: usize| {
            let claims = json!({
                "iss": name, "aud": RESOURCE, "sub": format!("user-{index}"), "client_id": "bench",
                "scope": "notes:read", "jti": index.to_string(),
                "iat": now.as_secs(), "exp": now.as_secs() + 3600,
            });
            encode(&header, &claims, &key).unwrap()
        };
        let tokens = (0..100).map(token).collect();
        Self { keys, tokens }
    }
}

async fn echo() -> &'static str {
    "ok"
}

/// The issuer is served on the side, since ours always fetches its keys.
pub async fn ours() -> Served {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let name = format!("http://{}", listener.local_addr().unwrap());
    let issuer = Issuer::new(&name);
    let document = json!({"issuer": name, "jwks_uri": format!("{name}/jwks")});
    let keys = issuer.keys;
    let site = Router::new()
        .route(
            "/.well-known/oauth-authorization-server",
            get(async move || Json(document)),
        )
        .route("/jwks", get(async move || Json(keys)));
    tokio::spawn(async { axum::serve(listener, site).await });
    let verifier = JwtVerifier::builder(&name, RESOURCE).build().unwrap();
    let resource = ProtectedResource::builder(RESOURCE, verifier)
        .scopes("notes:read")
        .build()
        .unwrap();
    let layer = resource.layer().require("notes:read");
    let app = Router::new().route("/echo", get(echo).layer(layer));
    (json!({"tokens": issuer.tokens}), app)
}

#[derive(Clone, Deserialize)]
struct Claims {
    #[expect(dead_code, reason = "a handler would read it")]
    scope: String,
}

pub async fn theirs() -> Served {
    let name = "https://login.example.com";
    let issuer = Issuer::new(name);
    let tenant = TenantConfiguration::static_builder(issuer.keys.to_string())
        .audiences(&[RESOURCE])
        .build()
        .unwrap();
    let server = OAuth2ResourceServer::<Claims>::builder().add_tenant(tenant);
    let layer = server.build().await.unwrap().into_layer();
    let app = Router::new().route("/echo", get(echo).layer(layer));
    (json!({"tokens": issuer.tokens}), app)
}
