//! What MCP's own conformance suite wants to find in a server, behind the bearer layer:
//!
//! ```sh
//! cargo run --example conformance -- --listen 127.0.0.1:3000
//! ```
//!
//! The suite knows nothing of tokens, so something has to add one on the way (the tests do). That it
//! then passes as it does without the layer shows that the layer hides nothing and changes nothing:
//! streams, sessions, status codes, headers, error bodies.

mod catalogue;
mod fixtures;
mod rounds;
#[path = "../server/sign_in.rs"]
mod sign_in;

use std::{io::IsTerminal, net::SocketAddr};

use axum::Router;
use clap::Parser;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use tokio::net::TcpListener;
use tower::Layer;
use tower_mcp_auth::{McpAuth, Operation, Resource, store::MemoryStore};
use tracing_subscriber::EnvFilter;

use self::{
    fixtures::Fixtures,
    sign_in::{Login, SessionKey},
};

#[derive(Debug, Parser)]
struct Flags {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,rmcp=error".into()),
        )
        .init();
    let listener = TcpListener::bind(Flags::parse().listen).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let login = Login::new(&origin, SessionKey::random()?);
    let auth = McpAuth::builder(&origin)
        .login_page("/sign-in")
        .authenticator(login.clone())
        .resource_with(
            Resource::new(format!("{origin}/mcp"))
                .scopes(["mcp:use", "mcp:fail"])
                // With a rule for one tool the layer looks at what each request asks for: at its
                // headers, or, for older protocol versions, at its body.
                .operation(Operation::tool("test_error_handling"), ["mcp:fail"])
                .name("Conformance fixtures"),
        )
        .store(MemoryStore::new())
        .danger_no_rate_limits()
        .build()?;

    let fixtures = Fixtures::default();
    let mcp = StreamableHttpService::new(
        move || Ok(fixtures.clone()),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    let protected = auth.protect_operations("/mcp")?.require(["mcp:use"]);

    let app = Router::new()
        .nest_service("/mcp", protected.layer(mcp))
        .nest_service(auth.endpoints_path(), auth.endpoints())
        .merge(sign_in::routes(auth.clone(), login))
        .layer(auth.well_known());
    tracing::info!(address = %listener.local_addr()?, "listening");
    println!("MCP server    {origin}/mcp");
    axum::serve(listener, app).await?;
    Ok(())
}
