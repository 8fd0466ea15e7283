//! The client and the server in one process, connected by a loopback port.

use axum::Router;
use http::request::Parts;
use rmcp::{
    ServerHandler,
    handler::server::{tool::Extension, wrapper::Parameters},
    model::{ServerCapabilities, ServerConfig},
    schemars, tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use rmcp_client::{first, second};
use tower_layer::Layer;
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, McpAuth, McpSession, Operation, Resource, SignedIn, Subject,
    store::{MemoryStore, SledStore, Store},
};

#[tokio::test]
async fn on_the_memory_store() {
    let mcp_url = serve(MemoryStore::new()).await;
    let kept = first(&mcp_url).await.unwrap();
    second(&mcp_url, kept).await.unwrap();
}

#[tokio::test]
async fn on_sled() {
    let data = tempfile::tempdir().unwrap();
    let mcp_url = serve(SledStore::open(data.path().join("auth")).unwrap()).await;
    let kept = first(&mcp_url).await.unwrap();
    second(&mcp_url, kept).await.unwrap();
}

/// One person, who is always signed in: there is only consent to give.
struct AlwaysDemo;

impl Authenticator for AlwaysDemo {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(Some(SignedIn::new(Subject::new("demo")?)))
    }
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Message {
    message: String,
}

#[derive(Clone)]
struct Tools;

#[tool_router]
impl Tools {
    #[tool]
    fn echo(&self, Parameters(Message { message }): Parameters<Message>) -> String {
        message
    }

    #[tool]
    fn whoami(&self, Extension(parts): Extension<Parts>) -> String {
        let session = parts.extensions.get::<McpSession>();
        session.map_or_else(String::new, |session| session.subject().to_string())
    }

    #[tool]
    fn delete_note(&self, Parameters(Message { .. }): Parameters<Message>) -> String {
        "There was no such note.".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

/// Serves on a free port for as long as the test runs.
async fn serve(store: impl Store) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let public = format!("http://{}", listener.local_addr().unwrap());
    let mcp_url = format!("{public}/mcp");
    let auth = McpAuth::builder(&public)
        .login_page("/sign-in")
        .authenticator(AlwaysDemo)
        .resource_with(
            Resource::new(&mcp_url)
                .scopes(["notes:read", "notes:write"])
                .challenge(["notes:read"]),
        )
        .store(store)
        .build()
        .unwrap();
    let mcp = StreamableHttpService::new(
        || Ok(Tools),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    let protected = auth
        .protect("/mcp")
        .unwrap()
        .require(["notes:read"])
        .require_for(Operation::tool("delete_note"), ["notes:write"]);
    let app = Router::new()
        .nest_service("/mcp", protected.layer(mcp))
        .nest_service(auth.endpoints_path(), auth.endpoints())
        .layer(auth.well_known());
    tokio::spawn(axum::serve(listener, app).into_future());
    mcp_url
}
