//! The servers that are compared: one thread each, which can be given a core.

use std::net::Ipv4Addr;

use axum::{Router, routing::get};
use http::header;
use tokio::net::TcpListener;

use crate::everybody::resource;

/// Serves one of them until killed; the port is the first line of the output.
pub fn serve(kind: &str) {
    let app = match kind {
        "bare" => Router::new().route("/mcp", get(|| async { "ok" })),
        "layered" => {
            let layer = resource(2_000_000).layer().require("notes:read");
            Router::new()
                .route("/mcp", get(|| async { "ok" }))
                .layer(layer)
        }
        "document" => {
            let document = resource(1).metadata(["https://api.example.com"]);
            Router::new().route_service("/mcp", document)
        }
        "static" => Router::new().route("/mcp", get(document)),
        other => panic!("there is no {other}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        axum::serve(listener, app).await.unwrap();
    });
}

/// The same bytes with the same headers, as somebody would write it by hand.
async fn document() -> ([(header::HeaderName, &'static str); 5], &'static str) {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::ETAG, "\"AAAAAAAAAAAAAAAA\""),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let body = r#"{"resource":"https://api.example.com/mcp","authorization_servers":["https://api.example.com"],"scopes_supported":["notes:read","notes:write"],"bearer_methods_supported":["header"]}"#;
    (headers, body)
}
