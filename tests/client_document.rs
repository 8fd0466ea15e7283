//! A client that does not register: its id is the address of its description, which is fetched over
//! TLS. The server trusts the test's own authority, and this machine may describe clients.

#[path = "../examples/server/notes.rs"]
mod notes;
mod outside;

use std::path::Path;

use axum::Router;
use http::request::Parts;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde_json::Value;
use tokio::net::TcpListener;
use tower::Layer;
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, Fetcher, McpAuth, MemoryStore, Operation, Resource,
    SignedIn, StaticClient, Subject,
};

use self::{
    notes::{Notes, NotesServer},
    outside::{run, scripts::node_22},
};

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/tls");

/// Everyone who comes is demo.
struct Demo;

impl Authenticator for Demo {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(Some(SignedIn::new(Subject::new("demo")?)))
    }
}

/// Serves the notes; the origin.
async fn serve(fetcher: Fetcher) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let auth = McpAuth::builder(&origin)
        .login_page("/sign-in")
        .authenticator(Demo)
        .resource_with(
            Resource::new(format!("{origin}/mcp"))
                .scopes(["notes:read", "notes:write"])
                .challenge(["notes:read"])
                .operation(Operation::tool("delete_note"), ["notes:write"]),
        )
        .client(StaticClient::confidential("robot", "secret", [""; 0]))
        .fetcher(fetcher)
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let notes = Notes::default();
    let mcp = StreamableHttpService::new(
        move || Ok(NotesServer::new(notes.clone())),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    let protected = auth.protect_operations("/mcp").unwrap();
    let app = Router::new()
        .nest_service("/mcp", protected.require("notes:read").layer(mcp))
        .nest_service(auth.endpoints_path(), auth.endpoints())
        .layer(auth.well_known());
    tokio::spawn(async move { axum::serve(listener, app).await });
    origin
}

#[tokio::test]
async fn inspector_signs_in_with_a_document_over_tls() {
    let Some(mut client) = node_22("client_document.mjs") else {
        return;
    };
    let authority = std::fs::read(Path::new(TLS).join("authority.pem")).unwrap();
    let fetcher = Fetcher::builder()
        .danger_allow_loopback(true)
        .root_certificates(authority);
    let origin = serve(fetcher.build().unwrap()).await;
    let fetcher = Fetcher::builder().danger_allow_loopback(true);
    let without_authority = serve(fetcher.build().unwrap()).await;
    client
        .args([origin, without_authority])
        .env("TLS", TLS)
        .env("CONFIGURED_CLIENT", "robot:secret");
    let summary: Value = serde_json::from_str(&run(client).await).unwrap();
    for step in [
        "unknown authority",
        "sign-in and tool call",
        "the address is the client",
        "the document is kept",
        "stored token",
    ] {
        assert_eq!(summary["steps"][step], "passed", "{step}: {summary}");
    }
}
