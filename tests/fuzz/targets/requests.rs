//! Single requests to every endpoint whose headers, query and body are any bytes: the readers of
//! forms, cookies, Basic credentials, media types, JSON.
#![no_main]

use std::cell::RefCell;

use arbitrary::Arbitrary;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request};
use libfuzzer_sys::fuzz_target;
use tower_mcp_auth_fuzz::{Judge, World, names_keys, runtime};

const PATHS: &[&str] = &[
    "/oauth/token",
    "/oauth/authorize",
    "/oauth/register",
    "/oauth/revoke",
    "/oauth/introspect",
    "/oauth/consent",
    "/oauth/userinfo",
    "/oauth/get-session",
    "/oauth/par",
    "/oauth/device-authorization",
    "/oauth/device",
    "/oauth/end-session",
    "/.well-known/oauth-protected-resource/mcp",
];

const NAMES: &[&str] = &[
    "authorization",
    "content-type",
    "cookie",
    "origin",
    "sec-fetch-site",
    "dpop",
    "host",
    "content-length",
    "x-forwarded-host",
    "accept",
];

const METHODS: &[Method] = &[
    Method::POST,
    Method::GET,
    Method::OPTIONS,
    Method::PUT,
    Method::HEAD,
];

/// How many requests one deployment gets: what they leave behind must not add up for hours.
const LIFETIME: u32 = 2000;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    path: u8,
    method: u8,
    kind: u8,
    robot: bool,
    alice: bool,
    headers: Vec<(u8, &'a [u8])>,
    query: &'a str,
    body: &'a [u8],
}

thread_local! {
    static WORLD: RefCell<(World, Judge, u32)> =
        RefCell::new((World::new(), Judge::default(), 0));
}

fuzz_target!(|input: Input<'_>| {
    if names_keys(input.body) {
        return;
    }
    let path = PATHS[usize::from(input.path) % PATHS.len()];
    let mut request = Request::builder()
        .method(METHODS[usize::from(input.method) % METHODS.len()].clone())
        .uri(format!("{path}?{}", input.query));
    request = match input.kind % 3 {
        0 => request.header("content-type", "application/x-www-form-urlencoded"),
        1 => request.header("content-type", "application/json"),
        _ => request,
    };
    if input.robot {
        // robot and its secret
        let basic = "Basic cm9ib3Q6dGhlLXNlY3JldC1vZi1yb2JvdA==";
        request = request.header("authorization", basic);
    }
    if input.alice {
        request = request.header("cookie", "user=alice");
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
    WORLD.with_borrow_mut(|(world, judge, age)| {
        if *age == LIFETIME {
            (*world, *judge, *age) = (World::new(), Judge::default(), 0);
        }
        *age += 1;
        let answer = runtime().block_on(world.send(request));
        judge.look(&answer);
    });
});
