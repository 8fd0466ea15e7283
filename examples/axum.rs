//! Protects the routes of an axum application; no MCP library is involved.
//!
//! ```sh
//! cargo run --example axum
//! curl -i http://127.0.0.1:3000/notes
//! ```

use axum::{Json, Router, routing::get};
use http::request::Parts;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, McpAuth, McpSession, Resource, SignedIn, Subject,
    store::MemoryStore,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let auth = McpAuth::builder("http://127.0.0.1:3000")
        .login_page("/sign-in")
        .authenticator(AlwaysDemo)
        .resource_with(
            Resource::new("http://127.0.0.1:3000/notes")
                .scopes(["notes:read"])
                .name("Notes"),
        )
        .store(MemoryStore::new())
        .build()?;

    let app = Router::new()
        // Only this route needs a token. The handler gets the session as an argument.
        .route(
            "/notes",
            get(notes).layer(auth.protect("/notes")?.require(["notes:read"])),
        )
        .route("/", get(|| async { "Everyone may read this.\n" }))
        // Authorize, consent, token, register, ...
        .nest_service(auth.endpoints_path(), auth.endpoints())
        // The discovery documents; every other request passes through.
        .layer(auth.well_known());

    println!("http://127.0.0.1:3000/notes needs a token");
    axum::serve(listener, app).await?;
    Ok(())
}

async fn notes(session: McpSession) -> Json<Value> {
    Json(json!({ "owner": session.subject().as_str(), "notes": [] }))
}

/// Stands for the application's own sign-in: here everyone is demo.
struct AlwaysDemo;

impl Authenticator for AlwaysDemo {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(Some(SignedIn::new(Subject::new("demo")?)))
    }
}
