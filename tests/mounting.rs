//! The layer where people put it: in front of an rmcp server in axum, and of axum handlers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "that is how a test fails"
)]

#[path = "common/resource.rs"]
mod resource;

use axum::{Json, Router, body::Body, response::IntoResponse, routing::get};
use http::Request;
use http_body_util::Full;
use rmcp::{
    ErrorData, ServerHandler,
    model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock},
    service::{RequestContext, RoleServer},
    transport::streamable_http_server::{
        StreamableHttpService, session::local::LocalSessionManager,
    },
};
use tower::Layer;
use tower_mcp_auth::{McpSession, Operation};

use self::resource::{Session, empty, post, resource, send};

/// One tool, whatever its name: who calls?
#[derive(Clone)]
struct WhoAmI;

impl ServerHandler for WhoAmI {
    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<http::request::Parts>();
        let session = parts.and_then(|parts| parts.extensions.get::<McpSession>());
        let who = session.map_or("nobody", |session| session.subject().as_str());
        Ok(CallToolResult::success(vec![ContentBlock::text(who)]).into())
    }
}

fn rmcp() -> StreamableHttpService<WhoAmI, LocalSessionManager> {
    StreamableHttpService::new(|| Ok(WhoAmI), Default::default(), Default::default())
}

fn message(method: &str, params: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn request(token: &str, session: Option<&str>, message: &serde_json::Value) -> Request<Body> {
    let mut request = post(Some(token))
        .header("host", "localhost")
        .header("accept", "application/json, text/event-stream");
    if let Some(session) = session {
        request = request.header("mcp-session-id", session);
    }
    request.body(Body::from(message.to_string())).unwrap()
}

#[tokio::test]
async fn an_rmcp_session_belongs_to_whoever_opened_it() {
    let (resource, told, _) = resource();
    let mallory = Session {
        subject: "mallory",
        ..Session::default()
    };
    told.good("mallory", mallory.build());
    let layer = resource
        .layer()
        .require_for(Operation::tool("delete_note"), "notes:write");
    let app = Router::new().nest_service("/mcp", layer.layer(rmcp()));

    let hello = message(
        "initialize",
        &serde_json::json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }),
    );
    let answer = send(&app, request("alice", None, &hello)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.header("mcp-session-id").to_owned();

    let ready = serde_json::json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let answer = send(&app, request("alice", Some(&id), &ready)).await;
    assert_eq!(answer.status, 202, "{answer:?}");

    let call = |tool: &str| message("tools/call", &serde_json::json!({"name": tool}));
    let answer = send(&app, request("alice", Some(&id), &call("whoami"))).await;
    assert!(answer.text().contains("alice"), "{answer:?}");
    let answer = send(&app, request("alice", Some(&id), &call("delete_note"))).await;
    assert_eq!(answer.status, 403);
    let answer = send(&app, request("mallory", Some(&id), &call("whoami"))).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["message"], "Session not found");
}

/// In 2026-07-28 the layer goes by the headers: rmcp behind it sees to it that the body says the
/// same, and takes no batch.
#[tokio::test]
async fn who_says_one_thing_and_does_another_is_refused() {
    let (resource, ..) = resource();
    let layer = resource
        .layer()
        .require_for(Operation::tool("delete_note"), "notes:write");
    let app = Router::new().nest_service("/mcp", layer.layer(rmcp()));
    let meta = serde_json::json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let call = |tool: &str| {
        let params = serde_json::json!({"name": tool, "arguments": {}, "_meta": meta});
        message("tools/call", &params)
    };
    let send = async |method: &str, name: &str, body: &serde_json::Value| {
        let mut request = request("alice", None, body);
        let headers = request.headers_mut();
        headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
        headers.insert("mcp-method", method.parse().unwrap());
        headers.insert("mcp-name", name.parse().unwrap());
        send(&app, request).await
    };
    let honest = send("tools/call", "whoami", &call("whoami")).await;
    assert_eq!(honest.status, 200, "{honest:?}");
    let honest = send("tools/call", "delete_note", &call("delete_note")).await;
    assert_eq!(honest.status, 403, "{honest:?}");
    let batch = serde_json::json!([call("whoami"), call("delete_note")]);
    for (method, body, status) in [
        ("tools/call", call("delete_note"), 400),
        ("tools/list", call("delete_note"), 400),
        ("tools/call", batch, 415),
    ] {
        let answer = send(method, "whoami", &body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn handlers_get_the_session() {
    let (resource, ..) = resource();
    let whoami = |session: McpSession| async move { Json(session) };
    let maybe = |session: Option<McpSession>| async move {
        session.map_or_else(
            || "nobody".into_response(),
            |session| Json(session).into_response(),
        )
    };
    let app: Router = Router::new()
        .route(
            "/whoami",
            get(whoami).layer(resource.layer().require("notes:read")),
        )
        .route("/maybe", get(maybe))
        .route("/forgotten", get(whoami));
    let ask = async |path: &str| {
        let request = Request::get(path).header("authorization", "Bearer alice");
        send(&app, empty(request).map(|_: Full<_>| Body::empty())).await
    };
    assert_eq!(ask("/whoami").await.json()["subject"], "alice");
    assert_eq!(ask("/maybe").await.text(), "nobody");
    let answer = ask("/forgotten").await;
    assert_eq!(answer.status, 500);
    assert!(
        answer
            .text()
            .contains("Is McpAuthLayer in front of this handler?")
    );
}
