//! gRPC behind the same layer: tonic's health service, asked without a token.
//!
//! ```sh
//! cargo run --example tonic
//! ```

use http::request::Parts;
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server, server::TcpIncoming};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, McpAuth, Resource, SignedIn, Subject, store::MemoryStore,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let public = format!("http://{}", listener.local_addr()?);
    let auth = McpAuth::builder(&public)
        .login_page("/sign-in")
        .authenticator(AlwaysDemo)
        .resource_with(Resource::new(format!("{public}/grpc")).scopes(["health:read"]))
        .store(MemoryStore::new())
        .build()?;

    let (_reporter, health) = tonic_health::server::health_reporter();
    let server = Server::builder()
        .layer(auth.protect("/grpc")?.require(["health:read"]))
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);

    let mut client = HealthClient::new(Endpoint::from_shared(public)?.connect().await?);
    let answer = client.check(HealthCheckRequest::default()).await;
    match answer {
        Ok(_) => println!("the service answered without a token"),
        Err(status) => println!("{:?}: {status}", status.code()),
    }
    Ok(())
}

/// Stands for the application's own sign-in: here everyone is demo.
struct AlwaysDemo;

impl Authenticator for AlwaysDemo {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(Some(SignedIn::new(Subject::new("demo")?)))
    }
}
