//! The same parts on plain hyper: layers around one service, no router.
//!
//! ```sh
//! cargo run --example hyper
//! curl -i http://127.0.0.1:3000/mcp
//! ```

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};
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
        .resource_with(Resource::new("http://127.0.0.1:3000/mcp").scopes(["notes:read"]))
        .store(MemoryStore::new())
        .build()?;

    let service = ServiceBuilder::new()
        // Each of these answers its own paths and passes the rest on,
        .layer(auth.well_known())
        .layer(auth.endpoints_layer())
        // so that only requests with a token get past the third.
        .layer(auth.protect("/mcp")?.require(["notes:read"]))
        .service(service_fn(hello));

    println!("http://127.0.0.1:3000/mcp needs a token");
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            if let Err(error) = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
            {
                eprintln!("{error}");
            }
        });
    }
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let session = request.extensions().get::<McpSession>();
    let subject = session.map_or("nobody", |session| session.subject().as_str());
    let text = format!("Hello {subject}!\n");
    Ok(Response::new(Full::from(text)))
}

/// Stands for the application's own sign-in: here everyone is demo.
struct AlwaysDemo;

impl Authenticator for AlwaysDemo {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(Some(SignedIn::new(Subject::new("demo")?)))
    }
}
