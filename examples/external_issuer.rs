//! An MCP endpoint that trusts an issuer run by somebody else: Keycloak, Auth0, another machine with
//! this crate. Nothing is issued or stored here.
//!
//! ```sh
//! cargo run --example external_issuer -- --issuer https://login.example.com
//! curl -i http://127.0.0.1:3000/mcp
//! ```
//!
//! With `--introspect ID:SECRET` it asks the issuer about each token instead of reading it.

use std::net::SocketAddr;

use axum::{Router, routing::any};
use clap::Parser;
use tokio::net::TcpListener;
use tower_mcp_auth::{IntrospectionVerifier, JwtVerifier, McpSession, ProtectedResource};

#[derive(Parser)]
struct Flags {
    /// The issuer, letter for letter as its own document names it.
    #[arg(long)]
    issuer: String,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The URL of the MCP endpoint as clients see it: http://LISTEN/mcp unless given. Tokens must
    /// be issued for it.
    #[arg(long)]
    resource: Option<String>,
    /// Another name of this resource, for issuers that do not use its URL in `aud`.
    #[arg(long)]
    audience: Option<String>,
    /// Also accept tokens that do not say that they are access tokens (`typ` other than `at+jwt`).
    #[arg(long)]
    danger_allow_plain_jwt: bool,
    /// Ask the issuer about each token, as this client.
    #[arg(long, value_name = "ID:SECRET")]
    introspect: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let flags = Flags::parse();
    let listener = TcpListener::bind(flags.listen).await?;
    let url = match &flags.resource {
        Some(url) => url.clone(),
        None => format!("http://{}/mcp", listener.local_addr()?),
    };

    let resource = protected(&flags, &url)?;
    let app = Router::new()
        // Where the MCP server belongs: any tower service. Here it only says who called.
        .route("/mcp", any(whoami).layer(resource.layer()))
        // Tells clients where to sign in; everything else passes through.
        .layer(resource.well_known([flags.issuer.as_str()]));

    println!("{url} takes tokens of {}", flags.issuer);
    axum::serve(listener, app).await?;
    Ok(())
}

fn protected(flags: &Flags, url: &str) -> Result<ProtectedResource, Box<dyn std::error::Error>> {
    let resource = match &flags.introspect {
        None => {
            let mut verifier = JwtVerifier::builder(&flags.issuer, url)
                .danger_allow_plain_jwt(flags.danger_allow_plain_jwt);
            if let Some(audience) = &flags.audience {
                verifier = verifier.audience(audience);
            }
            ProtectedResource::builder(url, verifier.build()?)
        }
        Some(client) => {
            let (id, secret) = client
                .split_once(':')
                .ok_or("--introspect takes ID:SECRET")?;
            let mut verifier =
                IntrospectionVerifier::builder(&flags.issuer, url).credentials(id, secret);
            if let Some(audience) = &flags.audience {
                verifier = verifier.audience(audience);
            }
            ProtectedResource::builder(url, verifier.build()?)
        }
    };
    Ok(resource.scopes(["notes:read"]).build()?)
}

async fn whoami(session: McpSession) -> String {
    format!(
        "{} through {}, allowed: {}\n",
        session.subject(),
        session.client_id(),
        session.scopes()
    )
}
