//! Requests to a protected resource whose operations take scopes: headers and bodies of any kind.
#![no_main]

use std::sync::OnceLock;

use arbitrary::Arbitrary;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request};
use libfuzzer_sys::fuzz_target;
use tower_mcp_auth_fuzz::{Judge, World, runtime};

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
    body: Content<'a>,
}

#[derive(Arbitrary, Debug)]
enum Content<'a> {
    Bytes(&'a [u8]),
    Messages(Vec<Message<'a>>, bool),
}

#[derive(Arbitrary, Debug)]
struct Message<'a> {
    members: Vec<(Name<'a>, Word<'a>)>,
    params: Vec<(Name<'a>, Word<'a>)>,
}

#[derive(Arbitrary, Debug)]
enum Name<'a> {
    Method,
    Params,
    Named,
    Id,
    Own(&'a str),
}

#[derive(Arbitrary, Debug)]
enum Word<'a> {
    Call,
    Delete,
    Params,
    Null,
    Own(&'a str),
    Raw(&'a str),
}

impl Message<'_> {
    fn write(&self, text: &mut String) {
        write_members(text, &self.members, &self.params);
    }
}

/// By hand: members may stand twice here.
fn write_members(
    text: &mut String,
    members: &[(Name<'_>, Word<'_>)],
    params: &[(Name<'_>, Word<'_>)],
) {
    text.push('{');
    for (index, (name, word)) in members.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let name = match name {
            Name::Method => "method",
            Name::Params => "params",
            Name::Named => "name",
            Name::Id => "id",
            Name::Own(name) => name,
        };
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push(':');
        match word {
            Word::Call => text.push_str("\"tools/call\""),
            Word::Delete => text.push_str("\"delete\""),
            Word::Params => write_members(text, params, &[]),
            Word::Null => text.push_str("null"),
            Word::Own(word) => text.push_str(&serde_json::Value::from(*word).to_string()),
            Word::Raw(word) => text.push_str(word),
        }
    }
    text.push('}');
}

impl Content<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Messages(messages, is_batch) => {
                let mut text = String::new();
                text.push_str(if *is_batch { "[" } else { "" });
                for (index, message) in messages.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    message.write(&mut text);
                }
                text.push_str(if *is_batch { "]" } else { "" });
                text.into_bytes()
            }
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    // Nothing here changes anything, so one world does.
    static WORLD: OnceLock<(World, String)> = OnceLock::new();
    let (world, token) = WORLD.get_or_init(|| {
        let world = World::new();
        let token = world.robots_token(&[]);
        (world, token)
    });
    let mut request = Request::builder()
        .method(
            [Method::POST, Method::GET, Method::DELETE, Method::OPTIONS]
                [usize::from(input.method) % 4]
                .clone(),
        )
        .uri("/mcp");
    if input.has_token {
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
    let Ok(request) = request.body(Body::from(input.body.bytes())) else {
        return;
    };
    let answer = runtime().block_on(world.send(request));
    Judge::default().look(&answer);
    let is_preflight = input.method % 4 == 3;
    assert!(
        input.has_token || is_preflight || !answer.status().is_success(),
        "let in without a token"
    );
});
