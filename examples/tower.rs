//! No framework and no network: the parts are tower services, called here one after the other.
//!
//! ```sh
//! cargo run --example tower
//! ```

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, header::WWW_AUTHENTICATE, request::Parts};
use http_body_util::{BodyExt, Full};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, McpAuth, Resource, SignedIn, Subject, store::MemoryStore,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = McpAuth::builder("https://api.example.com")
        .login_page("/sign-in")
        .authenticator(AlwaysDemo)
        .resource_with(Resource::new("https://api.example.com/mcp").scopes(["notes:read"]))
        .store(MemoryStore::new())
        .build()?;

    let service = ServiceBuilder::new()
        .layer(auth.well_known())
        .layer(auth.endpoints_layer())
        .layer(auth.protect("/mcp")?)
        .service(service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::from("only with a token")))
        }));

    // What a client does first: it knocks, and is told where to read on.
    for path in [
        "/mcp",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
    ] {
        let request = Request::get(path).body(Full::default())?;
        let response = service.clone().oneshot(request).await?;
        println!("GET {path}\n{}", response.status());
        if let Some(challenge) = response.headers().get(WWW_AUTHENTICATE) {
            println!("WWW-Authenticate: {}", challenge.to_str()?);
        }
        let body = response.into_body().collect().await?.to_bytes();
        println!("{}\n", String::from_utf8_lossy(&body));
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
