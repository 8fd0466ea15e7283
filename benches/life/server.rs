//! The server: echo and a stream behind the layer, the endpoints, and codes for whoever asks.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::header, routing::get};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::net::TcpListener;
use tokio_stream::{StreamExt, wrappers::IntervalStream};
use tower_mcp_auth::{Clock, SledStore, Timestamp, TokenCache};

use crate::common;

/// A clock on which two minutes are eight hours, so that tokens come, expire and are swept as they
/// would in a day.
struct Hasty(Instant);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000).plus(self.0.elapsed() * crate::HASTE)
    }
}

/// Serves until killed; the port is the first line of the output.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        let auth = common::builder(store)
            .clock(Hasty(Instant::now()))
            // Memory is freed by the machine's own clock, which the tokens outrun: without a bound
            // the cache would hold on to all of two minutes.
            .cache(TokenCache::builder().max_entries(2 * crate::PEOPLE).build())
            .access_token_ttl(crate::ACCESS * crate::HASTE)
            .refresh_token_ttl(crate::REFRESH * crate::HASTE)
            .build()
            .unwrap();
        let layer = auth.protect("/mcp").unwrap().require("notes:read");
        let endpoints = auth.endpoints();
        let path = auth.endpoints_path().to_owned();
        let code = async move || common::redemption(&common::code(&auth).await);
        let app = Router::new()
            .route("/mcp", get(|| async { "ok" }))
            .route("/events", get(events))
            .layer(layer)
            .route("/code", get(code))
            .nest_service(&path, endpoints);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        axum::serve(listener, app).await.unwrap();
    });
}

/// A sign of life each second, for ever.
async fn events() -> ([(header::HeaderName, &'static str); 1], Body) {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    let frames = ticks.map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b":\n\n"))));
    let headers = [(header::CONTENT_TYPE, "text/event-stream")];
    (headers, Body::new(StreamBody::new(frames)))
}
