//! What is counted: requests to an axum router in this process, one after the other.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::{Router, body::Body, routing::get};
use http::{HeaderValue, Request, header};
use http_body::Body as _;
use tower::{Service, util::MapRequestLayer};

use crate::everybody::{resource, token};

/// `bare` comes first: the others are compared with it.
pub const ALL: &[&str] = &[
    "bare",
    "one_extension",
    "hit_1",
    "hit_10k",
    "hit_mcp",
    "foreign",
];

/// How many are counted.
pub fn requests(case: &str) -> usize {
    if case == "hit_10k" { 10_000 } else { 1000 }
}

pub fn run(case: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let bare = Router::new().route("/mcp", get(|| async { "ok" }));
    let (mut app, tokens, status) = match case {
        "bare" => (bare, own(1), 200),
        "one_extension" => (bare.layer(one_extension()), own(1), 200),
        "hit_1" | "hit_mcp" => (
            bare.layer(resource(20_000).layer().require("notes:read")),
            own(1),
            200,
        ),
        "hit_10k" => (
            bare.layer(resource(20_000).layer().require("notes:read")),
            own(requests(case)),
            200,
        ),
        "foreign" => (
            bare.layer(resource(20_000).layer()),
            vec!["foreign".to_owned()],
            401,
        ),
        other => panic!("there is no {other}"),
    };
    // As `axum::serve` does.
    app = app.with_state(());
    // Every token is known by now, and found behind the first table once.
    for token in tokens.iter().chain(&tokens) {
        assert_eq!(call(&mut app, request(token)), status);
    }
    let request = if case == "hit_mcp" { mcp } else { request };
    for index in 0..requests(case) {
        let request = request(&tokens[index * 7919 % tokens.len()]);
        assert_eq!(measured(&mut app, request), status);
    }
}

/// Only what happens in here is counted.
#[inline(never)]
fn measured(app: &mut Router, request: Request<Body>) -> u16 {
    call(app, request)
}

fn call(app: &mut Router, request: Request<Body>) -> u16 {
    let cx = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = pin!(app.call(request)).poll(cx) else {
        panic!("decided at once");
    };
    let status = response.status().as_u16();
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(cx) {}
    status
}

fn request(token: &str) -> Request<Body> {
    Request::get("/mcp")
        .header(header::HOST, "api.example.com")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap()
}

/// The same with all that an MCP client of 2026-07-28 sends.
fn mcp(token: &str) -> Request<Body> {
    let mut request = request(token);
    for (name, value) in [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
        ("user-agent", "an-agent/1.0"),
        ("accept-encoding", "gzip"),
        ("content-length", "0"),
    ] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    request
}

/// Tokens of our own form, the same each time.
fn own(count: usize) -> Vec<String> {
    (0..count).map(token).collect()
}

/// What any layer does that tells the handler something.
fn one_extension() -> MapRequestLayer<impl Fn(Request<Body>) -> Request<Body> + Clone> {
    #[derive(Clone)]
    struct Told(#[expect(dead_code, reason = "only its size matters")] Arc<()>);

    let told = Told(Arc::new(()));
    MapRequestLayer::new(move |mut request: Request<Body>| {
        request.extensions_mut().insert(told.clone());
        request
    })
}
