//! MCP's own clients where nobody is behind them (MCP's extension for client credentials): services
//! that the operator knows by a secret or by a key. Where they prove a key of their own with each
//! request, the server asks for nonces.
#![cfg(feature = "jwt")]

#[path = "common/jws.rs"]
mod jws;
#[path = "../examples/server/notes.rs"]
mod notes;
mod outside;

use axum::Router;
use http::request::Parts;
use jws::Key;
use notes::{Notes, NotesServer};
use outside::{
    run,
    scripts::{node, python},
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};
use tower::Layer;
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, DpopNonces, McpAuth, MemoryStore, SignedIn, StaticClient,
};

#[tokio::test]
async fn typescript_client_2() {
    let steps = ["secret", "secret, DPoP", "key", "key, DPoP"];
    passes(node("machine.mjs"), &steps).await;
}

#[tokio::test]
async fn python_2() {
    let steps = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    passes(python("machine.py"), &steps).await;
}

async fn passes(client: Option<Command>, steps: &[&str]) {
    let Some(mut client) = client else { return };
    let (key, pem) = Key::p256_as_pem();
    client.arg(mcp_server(&key).await).env("KEY", pem);
    let summary: Value = serde_json::from_str(&run(client).await).unwrap();
    let expected: Value = steps.iter().map(|step| (*step, json!("passed"))).collect();
    assert_eq!(summary["steps"], expected);
}

struct Nobody;

impl Authenticator for Nobody {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(None)
    }
}

async fn mcp_server(key: &Key) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let mcp_url = format!("{origin}/mcp");
    let auth = McpAuth::builder(&origin)
        .login_page("/sign-in")
        .authenticator(Nobody)
        .resource(&mcp_url, ["notes:read"])
        .client(StaticClient::confidential("robot", "secret: +%", [""; 0]))
        .client(StaticClient::with_keys("keyed", key.jwks("one"), [""; 0]))
        .dpop_nonces(DpopNonces::random())
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let notes = Notes::default();
    let mcp = StreamableHttpService::new(
        move || Ok(NotesServer::new(notes.clone())),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    let protected = auth.protect("/mcp").unwrap().require("notes:read");
    let app = Router::new()
        .nest_service("/mcp", protected.layer(mcp))
        .nest_service(auth.endpoints_path(), auth.endpoints())
        .layer(auth.well_known());
    tokio::spawn(axum::serve(listener, app).into_future());
    mcp_url
}
