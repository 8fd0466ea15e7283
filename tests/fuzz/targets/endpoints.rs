//! Requests to every endpoint, one after the other, which may use what earlier answers said.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, header};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_mcp_auth_fuzz::{CALLBACK, Judge, SECRET, World, names_keys, runtime};

const PATHS: &[&str] = &[
    "/oauth/authorize",
    "/oauth/consent",
    "/oauth/token",
    "/oauth/register",
    "/oauth/revoke",
    "/oauth/introspect",
    "/oauth/userinfo",
    "/oauth/get-session",
    "/oauth/par",
    "/oauth/jwks",
    "/oauth/device-authorization",
    "/oauth/device",
    "/oauth/end-session",
    "/authorize",
    "/token",
    "/register",
    "/mcp",
    "/files",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource/mcp",
    "/oauth/",
];

const NAMES: &[&str] = &[
    "client_id",
    "client_secret",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "resource",
    "code",
    "code_verifier",
    "code_challenge",
    "code_challenge_method",
    "grant_type",
    "nonce",
    "refresh_token",
    "token",
    "token_type_hint",
    "device_code",
    "user_code",
    "prompt",
    "max_age",
    "login_hint",
    "id_token_hint",
    "request_uri",
    "request",
    "transaction",
    "decision",
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "dpop_jkt",
    "post_logout_redirect_uri",
    "redirect_uris",
    "grant_types",
    "response_types",
    "token_endpoint_auth_method",
    "client_name",
    "application_type",
    "jwks",
    "post_logout_redirect_uris",
    "dpop_bound_access_tokens",
    "error",
    "id_token_signed_response_alg",
    "response_mode",
    "client_uri",
    "contacts",
];

const WORDS: &[&str] = &[
    "web",
    "native",
    "robot",
    SECRET,
    CALLBACK,
    "http://127.0.0.1:4711/cb",
    "code",
    "S256",
    "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "notes:read",
    "notes:write openid offline_access",
    "openid",
    "none",
    "login",
    "consent",
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "EdDSA",
    "RS256",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "approve",
    "deny",
    "0",
    "native",
    "https://api.example.com/mcp",
    "https://api.example.com/files",
    "client_secret_post",
    "https://evil.example/",
    "javascript:alert(1)",
    "http://[::1]/x",
    "com.example.app:/cb",
    "<script>",
    "\u{202e}",
    "\r\nLocation: https://evil.example",
    "eyJhbGciOiJub25lIn0.e30.",
    "",
];

const METHODS: &[Method] = &[
    Method::GET,
    Method::POST,
    Method::POST,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::OPTIONS,
    Method::HEAD,
    Method::PATCH,
];

#[derive(Arbitrary, Debug)]
enum Text<'a> {
    Word(u8),
    /// Something that an earlier answer said.
    Learned(u8),
    Own(&'a str),
}

#[derive(Arbitrary, Debug)]
enum Payload<'a> {
    Form(Vec<(u8, Text<'a>)>),
    Json(Vec<(u8, Shape<'a>)>),
    Bytes(&'a [u8], bool),
    /// The form of the page that came last, with its fields.
    Page(Vec<(u8, Text<'a>)>),
}

#[derive(Arbitrary, Debug)]
enum Shape<'a> {
    One(Text<'a>),
    Many(Vec<Text<'a>>),
    Number(i64),
    Truth(bool),
    Nothing,
}

#[derive(Arbitrary, Debug)]
struct Step<'a> {
    path: u8,
    method: u8,
    query: Vec<(u8, Text<'a>)>,
    payload: Payload<'a>,
    bearer: Option<Text<'a>>,
    basic: bool,
    dpop: Option<Text<'a>>,
    alice: bool,
    later: u16,
}

/// What the answers said.
#[derive(Default)]
struct Memory {
    learned: Vec<String>,
    fields: Vec<(String, String)>,
    cookies: Vec<String>,
}

impl Memory {
    fn text(&self, text: &Text<'_>) -> String {
        match text {
            Text::Word(number) => WORDS[usize::from(*number) % WORDS.len()].to_owned(),
            Text::Learned(number) if self.learned.is_empty() => number.to_string(),
            Text::Learned(number) => {
                // The newest first.
                let back = usize::from(*number) % self.learned.len();
                self.learned[self.learned.len() - 1 - back].clone()
            }
            Text::Own(text) => (*text).to_owned(),
        }
    }

    fn form(&self, pairs: &[(u8, Text<'_>)]) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            form.append_pair(NAMES[usize::from(*name) % NAMES.len()], &self.text(value));
        }
        form.finish()
    }

    fn shape(&self, shape: &Shape<'_>) -> Value {
        match shape {
            Shape::One(text) => self.text(text).into(),
            Shape::Many(texts) => texts.iter().map(|text| self.text(text)).collect(),
            Shape::Number(number) => (*number).into(),
            Shape::Truth(truth) => (*truth).into(),
            Shape::Nothing => Value::Null,
        }
    }

    fn learn(&mut self, answer: &Response<Vec<u8>>) {
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("cookies are ASCII");
            self.cookies
                .extend(cookie.split(';').next().map(str::to_owned));
        }
        if let Some(location) = answer.headers().get(header::LOCATION) {
            let location = location.to_str().expect("addresses are ASCII");
            let query = location.split_once('?').map_or("", |(_, query)| query);
            for (_, value) in form_urlencoded::parse(query.as_bytes()) {
                self.learned.push(value.into_owned());
            }
        }
        let text = String::from_utf8_lossy(answer.body());
        if let Ok(Value::Object(members)) = serde_json::from_str(&text) {
            for value in members.values() {
                self.learned.extend(value.as_str().map(str::to_owned));
            }
        } else if text.contains("<form") {
            self.fields.clear();
            for input in text.split("<input type=\"hidden\"").skip(1) {
                let attribute = |name: &str| {
                    let start = input.find(&format!(" {name}=\""))? + name.len() + 3;
                    input[start..].split('"').next().map(str::to_owned)
                };
                if let (Some(name), Some(value)) = (attribute("name"), attribute("value")) {
                    self.learned.push(value.clone());
                    self.fields.push((name, value));
                }
            }
        }
        // Enough for a whole flow, too little to drown in.
        let surplus = self.learned.len().saturating_sub(64);
        self.learned.drain(..surplus);
    }
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let world = World::new();
    let (mut memory, mut judge) = (Memory::default(), Judge::default());
    for step in steps.iter().take(12) {
        let (kind, body) = match &step.payload {
            Payload::Form(pairs) => (
                "application/x-www-form-urlencoded",
                memory.form(pairs).into(),
            ),
            Payload::Json(members) => {
                let members = members.iter().map(|(name, shape)| {
                    let name = NAMES[usize::from(*name) % NAMES.len()].to_owned();
                    (name, memory.shape(shape))
                });
                let object = Value::Object(members.collect());
                ("application/json", object.to_string().into_bytes())
            }
            Payload::Bytes(bytes, true) => ("application/json", bytes.to_vec()),
            Payload::Bytes(bytes, false) => ("application/x-www-form-urlencoded", bytes.to_vec()),
            Payload::Page(more) => {
                let mut form = form_urlencoded::Serializer::new(memory.form(more));
                form.extend_pairs(&memory.fields);
                (
                    "application/x-www-form-urlencoded",
                    form.finish().into_bytes(),
                )
            }
        };
        if names_keys(&body) {
            return;
        }
        let path = PATHS[usize::from(step.path) % PATHS.len()];
        let query = memory.form(&step.query);
        let mut request = Request::builder()
            .method(METHODS[usize::from(step.method) % METHODS.len()].clone())
            .uri(format!("{path}?{query}"))
            .header(header::CONTENT_TYPE, kind);
        if let Some(token) = &step.bearer {
            let value = format!("Bearer {}", memory.text(token));
            let Ok(value) = HeaderValue::from_str(&value) else {
                return;
            };
            request = request.header(header::AUTHORIZATION, value);
        } else if step.basic {
            // robot and its secret
            request = request.header(
                header::AUTHORIZATION,
                "Basic cm9ib3Q6dGhlLXNlY3JldC1vZi1yb2JvdA==",
            );
        }
        if let Some(proof) = &step.dpop {
            let Ok(value) = HeaderValue::from_str(&memory.text(proof)) else {
                return;
            };
            request = request.header("dpop", value);
        }
        let mut cookies = memory.cookies.clone();
        if step.alice {
            cookies.push("user=alice".to_owned());
        }
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        let Ok(request) = request.body(Body::from(body)) else {
            return;
        };
        let answer = runtime().block_on(world.send(request));
        judge.look(&answer);
        memory.learn(&answer);
        world
            .clock
            .advance(Duration::from_secs(u64::from(step.later)));
    }
});
