//! Requests to a protected resource whose operations take scopes: headers and bodies of any kind.
#![no_main]

use arbitrary::Arbitrary;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request};
use libfuzzer_sys::fuzz_target;
use tower_mcp_auth_fuzz::{World, judge, runtime};

const NAMES: &[&str] = &[
    "authorization",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "origin",
    "host",
    "content-type",
    "content-length",
    "dpop",
    "accept",
    "access-control-request-method",
    "last-event-id",
];

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    method: u8,
    has_token: bool,
    modern: bool,
    headers: Vec<(u8, &'a [u8])>,
    body: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let world = World::new();
    let form = "grant_type=client_credentials&client_id=robot&client_secret=the-secret-of-robot";
    let asked = Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .expect("a request");
    let mut request = Request::builder()
        .method(
            [Method::POST, Method::GET, Method::DELETE, Method::OPTIONS]
                [usize::from(input.method) % 4]
                .clone(),
        )
        .uri("/mcp");
    if input.has_token {
        let answer = runtime().block_on(world.send(asked));
        let answer: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
        let token = answer["access_token"].as_str().expect("a token");
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if input.modern {
        request = request.header("mcp-protocol-version", "2026-07-28");
    }
    for (name, value) in &input.headers {
        let name = HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]);
        let Ok(value) = HeaderValue::from_bytes(value) else {
            return;
        };
        request = request.header(name, value);
    }
    let Ok(request) = request.body(Body::from(input.body.to_vec())) else {
        return;
    };
    let answer = runtime().block_on(world.send(request));
    judge(&answer);
    let is_preflight = input.method % 4 == 3;
    assert!(
        input.has_token || is_preflight || !answer.status().is_success(),
        "let in without a token"
    );
});
