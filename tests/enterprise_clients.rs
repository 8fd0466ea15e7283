//! MCP's own clients for users who signed in at their enterprise: each trades what the identity
//! provider says for access here, and asks it for more when a tool needs more. Nobody sees a page.
#![cfg(feature = "jwt")]

#[path = "common/jws.rs"]
mod jws;
#[path = "../examples/server/notes.rs"]
mod notes;
mod outside;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jws::Key;
use notes::{Notes, NotesServer};
use outside::{
    rmcp::built,
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
    AssertedSubject, Authenticator, AuthenticatorError, Clock, McpAuth, MemoryStore, Operation,
    Resource, SignedIn, StaticClient, Subject, SystemClock, TrustedIssuer,
};

#[tokio::test]
async fn typescript_client_2() {
    if let Some(client) = node("enterprise.mjs") {
        plays(client).await;
    }
}

#[tokio::test]
async fn python_2() {
    if let Some(client) = python("enterprise.py") {
        plays(client).await;
    }
}

#[tokio::test]
async fn rmcp_3() {
    let mut client = Command::new(built());
    client.arg("enterprise");
    plays(client).await;
}

async fn plays(mut client: Command) {
    let idp = identity_provider().await;
    let mcp_url = mcp_server(&idp).await;
    client.arg(mcp_url).arg(idp);
    run(client).await;
}

/// People are known here as they are there.
struct AsAtAcme;

impl Authenticator for AsAtAcme {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(None)
    }

    async fn enterprise_subject(
        &self,
        asserted: &AssertedSubject,
    ) -> Result<Option<Subject>, AuthenticatorError> {
        Ok(Some(Subject::new(asserted.subject())?))
    }
}

/// Serves on a free port for as long as the test runs.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    (listener, origin)
}

async fn mcp_server(idp: &str) -> String {
    let (listener, origin) = listen().await;
    let mcp_url = format!("{origin}/mcp");
    let none = Vec::<String>::new();
    let auth = McpAuth::builder(&origin)
        .login_page("/sign-in")
        .authenticator(AsAtAcme)
        .resource_with(
            Resource::new(&mcp_url)
                .scopes(["notes:read", "notes:write"])
                .challenge(["notes:read"]),
        )
        .client(StaticClient::confidential("assistant", "secret: +%", none))
        .trust_issuer(TrustedIssuer::new(idp).clients(["assistant"]))
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let notes = Notes::default();
    let mcp = StreamableHttpService::new(
        move || Ok(NotesServer::new(notes.clone())),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    let protected = auth
        .protect("/mcp")
        .unwrap()
        .require("notes:read")
        .require_for(Operation::tool("delete_note"), "notes:write");
    let app = Router::new()
        .nest_service("/mcp", protected.layer(mcp))
        .nest_service(auth.endpoints_path(), auth.endpoints())
        .layer(auth.well_known());
    tokio::spawn(axum::serve(listener, app).into_future());
    mcp_url
}

/// Acme's, as far as these clients need it: alice is signed in at the assistant already, and may
/// have whatever she asks for, `notes:read` unless she says.
struct IdentityProvider {
    origin: String,
    key: Key,
    number: AtomicU64,
}

async fn identity_provider() -> String {
    let (listener, origin) = listen().await;
    let document = json!({
        "issuer": origin,
        "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"),
        "jwks_uri": format!("{origin}/keys"),
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    });
    let key = Key::p256();
    let keys = key.jwks("acme-1");
    let idp = Arc::new(IdentityProvider {
        origin: origin.clone(),
        key,
        number: AtomicU64::new(0),
    });
    let app = Router::new()
        .route(
            "/.well-known/oauth-authorization-server",
            get(async || Json(document)),
        )
        .route("/keys", get(async || Json(keys)))
        .route("/token", post(exchange))
        .with_state(idp);
    tokio::spawn(axum::serve(listener, app).into_future());
    origin
}

/// RFC 8693, as ID-JAG §4.3 profiles it.
async fn exchange(
    State(idp): State<Arc<IdentityProvider>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let field = |name: &str| form.get(name).map(String::as_str);
    let by_header = format!("Basic {}", STANDARD.encode("assistant-at-acme:acme+secret"));
    let is_assistant = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|line| line.as_bytes() == by_header.as_bytes())
        || (field("client_id") == Some("assistant-at-acme")
            && field("client_secret") == Some("acme secret"));
    let is_exchange = field("grant_type")
        == Some("urn:ietf:params:oauth:grant-type:token-exchange")
        && field("requested_token_type") == Some("urn:ietf:params:oauth:token-type:id-jag")
        && field("subject_token_type") == Some("urn:ietf:params:oauth:token-type:id_token")
        && field("subject_token") == Some("the id_token of alice");
    if !is_assistant || !is_exchange {
        let error = json!({"error": "invalid_request", "error_description": "not in this play"});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    let now = SystemClock.now().as_secs();
    let scope = field("scope").unwrap_or("notes:read");
    let number = idp.number.fetch_add(1, Ordering::Relaxed);
    let claims = json!({
        "iss": idp.origin, "sub": "alice", "aud": field("audience"), "resource": field("resource"),
        "client_id": "assistant", "scope": scope, "jti": format!("acme {number}"),
        "iat": now, "exp": now + 300, "email": "alice@acme.example",
    });
    let header = json!({"typ": "oauth-id-jag+jwt", "kid": "acme-1"});
    let answer: Value = json!({
        "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag",
        "access_token": idp.key.sign(header, &claims),
        "token_type": "N_A", "scope": scope, "expires_in": 300,
    });
    Json(answer).into_response()
}
