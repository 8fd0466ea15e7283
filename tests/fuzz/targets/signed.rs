//! Signed things of others, well signed and wrong in every other way: access tokens of an issuer,
//! its documents and answers, proofs of possession, assertions of clients and identity providers.
#![no_main]

use std::cell::RefCell;

use arbitrary::Arbitrary;
use axum::body::Body;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Request;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use tower_mcp_auth::{Digest, TestClock, Timestamp, fuzz};
use tower_mcp_auth_fuzz::{
    AUDIENCE, CALLBACK, IDP, Judge, Members, ORIGIN, SECRET, START, Signer, World, runtime,
};

const HEADER: &[&str] = &["alg", "typ", "kid", "jwk", "crit", "b64"];
const CLAIMS: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "client_id",
    "scope",
    "scp",
    "cnf",
    "azp",
    "resource",
    "htm",
    "htu",
    "ath",
    "nonce",
    "auth_time",
    "authorization_details",
];
const JWK: &[&str] = &[
    "kty", "crv", "x", "y", "n", "e", "alg", "use", "kid", "key_ops", "d", "k",
];
const ANSWER: &[&str] = &[
    "active",
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "client_id",
    "scope",
    "token_type",
    "token_use",
    "cnf",
    "azp",
];
const DOCUMENT: &[&str] = &["issuer", "jwks_uri", "introspection_endpoint"];

const LIFETIME: u32 = 2000;
const TOKEN: &str = "https://api.example.com/oauth/token";

#[derive(Arbitrary, Debug)]
struct Changes<'a> {
    header: Members<'a>,
    claims: Members<'a>,
    /// In place of it all.
    raw: Option<&'a str>,
    /// Signed by somebody else.
    stranger: bool,
}

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Token(Changes<'a>, Members<'a>),
    Keys(&'a [u8], Changes<'a>),
    Answer(Members<'a>, Members<'a>),
    RawAnswer(&'a [u8], &'a [u8]),
    Proof(Changes<'a>),
    ProofForToken(Changes<'a>),
    Client(Changes<'a>),
    Idp(Changes<'a>),
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// A token, and its claims if it is signed with the key that it is said to be.
fn token(
    changes: &Changes<'_>,
    signer: &Signer,
    header: Value,
    claims: Value,
) -> (String, Option<Value>) {
    if let Some(raw) = changes.raw {
        return (raw.to_owned(), None);
    }
    let (mut header, mut claims) = (object(header), object(claims));
    changes.header.change(&mut header, HEADER, START);
    changes.claims.change(&mut claims, CLAIMS, START);
    let stranger = Signer::new(9);
    let signer = if changes.stranger { &stranger } else { signer };
    let (header, claims) = (Value::from(header), Value::from(claims));
    let token = signer.sign(&header, &claims);
    (token, (!changes.stranger).then_some(claims))
}

/// A moment in claims.
fn seconds(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Whether `aud` or `resource` is or has `name`.
fn names(value: &Value, name: impl Fn(&str) -> bool) -> bool {
    match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).any(name),
        one => one.as_str().is_some_and(name),
    }
}

fn is_resource(name: &str) -> bool {
    name.to_ascii_lowercase()
        .starts_with("https://api.example.com")
        && name.contains("/mcp")
}

fn clock() -> TestClock {
    TestClock::at(Timestamp::from_secs(START))
}

fn document(changes: Option<&Members<'_>>) -> Vec<u8> {
    let mut document = object(json!({
        "issuer": fuzz::ISSUER,
        "jwks_uri": "https://login.example.com/keys",
        "introspection_endpoint": "https://login.example.com/ask",
    }));
    if let Some(changes) = changes {
        changes.change(&mut document, DOCUMENT, START);
    }
    Value::from(document).to_string().into_bytes()
}

fn access_token() -> Value {
    json!({
        "iss": fuzz::ISSUER, "sub": "alice", "aud": AUDIENCE, "client_id": "web",
        "iat": START, "exp": START + 60, "jti": "1", "scope": "notes:read",
    })
}

/// A deployment with a client that has a key, and a token that is bound to one.
struct Scene {
    world: World,
    judge: Judge,
    client: String,
    bound: String,
    age: u32,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let body = json!({
            "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "private_key_jwt",
            "jwks": Signer::new(3).jwks(),
        });
        let request = Request::post("/oauth/register")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let answer = runtime().block_on(world.send(request));
        let answer: Value = serde_json::from_slice(answer.body()).expect("JSON");
        let client = answer["client_id"].as_str().expect("an id").to_owned();
        let proof =
            Signer::new(2).sign(&proof_header(), &proof_claims("POST", TOKEN, "first", None));
        let bound = world.robots_token(&[("dpop", &proof)]);
        Self {
            world,
            judge: Judge::default(),
            client,
            bound,
            age: 0,
        }
    }

    fn jti(&mut self) -> String {
        self.age += 1;
        format!("jti-{}", self.age)
    }
}

fn proof_header() -> Value {
    json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": Signer::new(2).jwk() })
}

fn proof_claims(method: &str, url: &str, jti: &str, token: Option<&str>) -> Value {
    let mut claims = json!({ "htm": method, "htu": url, "iat": START, "jti": jti });
    if let Some(token) = token {
        claims["ath"] = URL_SAFE_NO_PAD.encode(Digest::of(token).as_bytes()).into();
    }
    claims
}

fn check_proof(claims: &Value, method: &str, url: &str) {
    assert_eq!(claims["htm"], method);
    let htu = claims["htu"]
        .as_str()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let origin = "https://api.example.com";
    assert!(htu.starts_with(origin), "{htu} is not {url}");
    #[allow(clippy::cast_precision_loss, reason = "small enough")]
    let away = (seconds(&claims["iat"]) - START as f64).abs();
    assert!(away <= 301.0, "made {away} s from now");
}

thread_local! {
    static SCENE: RefCell<Scene> = RefCell::new(Scene::new());
}

#[allow(clippy::cast_precision_loss, reason = "small enough")]
fn check_lifetime(claims: &Value, leeway: f64) {
    let now = START as f64;
    assert!(seconds(&claims["exp"]) + leeway >= now, "expired");
    for begin in ["iat", "nbf"] {
        let begin = &claims[begin];
        assert!(
            begin.is_null() || seconds(begin) <= now + leeway + 1.0,
            "not yet"
        );
    }
}

fn issuers(input: &Input<'_>) {
    match input {
        Input::Token(changes, key) => {
            let mut jwk = object(Signer::new(4).jwk());
            key.change(&mut jwk, JWK, START);
            let keys = json!({ "keys": [jwk] }).to_string().into_bytes();
            let header = json!({ "typ": "at+jwt", "alg": "EdDSA" });
            let (token, claims) = token(changes, &Signer::new(4), header, access_token());
            let judged = fuzz::signed(document(None), keys, &token, AUDIENCE, clock());
            if runtime().block_on(judged).is_some() {
                let claims = claims.expect("signed by a stranger");
                assert_eq!(claims["iss"], fuzz::ISSUER);
                assert!(names(&claims["aud"], is_resource), "for somebody else");
                assert!(claims["cnf"].is_null() || claims["cnf"]["jkt"].is_string());
                check_lifetime(&claims, 60.0);
            }
        }
        Input::Keys(keys, changes) => {
            let header = json!({ "typ": "at+jwt", "alg": "EdDSA" });
            let (token, _) = token(changes, &Signer::new(4), header, access_token());
            let judged = fuzz::signed(document(None), keys.to_vec(), &token, AUDIENCE, clock());
            runtime().block_on(judged);
        }
        Input::Answer(answer, changes) => {
            let mut members = object(json!({
                "active": true, "sub": "alice", "aud": AUDIENCE, "client_id": "web",
                "exp": START + 60, "scope": "notes:read",
            }));
            answer.change(&mut members, ANSWER, START);
            let members = Value::from(members);
            let answer = members.to_string().into_bytes();
            let judged = fuzz::introspect(document(Some(changes)), answer, AUDIENCE, clock());
            if runtime().block_on(judged).is_some() {
                assert_eq!(members["active"], true);
                assert!(names(&members["aud"], is_resource), "for somebody else");
                assert!(members["cnf"].is_null(), "bound to a key");
                assert!(members["exp"].is_null() || seconds(&members["exp"]) > 1.8e9);
            }
        }
        Input::RawAnswer(document, answer) => {
            let judged = fuzz::introspect(document.to_vec(), answer.to_vec(), AUDIENCE, clock());
            let judged = runtime().block_on(judged);
            assert!(judged.is_none() || !answer.is_empty());
        }
        _ => {}
    }
}

fn endpoints(scene: &mut Scene, input: &Input<'_>) {
    let jti = scene.jti();
    let robot = [("client_id", "robot"), ("client_secret", SECRET)];
    match input {
        Input::Proof(changes) => {
            let claims = proof_claims("POST", TOKEN, &jti, None);
            let (proof, claims) = token(changes, &Signer::new(2), proof_header(), claims);
            if http::HeaderValue::from_str(&proof).is_err() {
                return;
            }
            let form = [&robot[..], &[("grant_type", "client_credentials")]].concat();
            let answer = scene.world.ask(&form, &[("dpop", &proof)]);
            scene.judge.look(&answer);
            if answer.status().is_success() {
                check_proof(&claims.expect("signed by a stranger"), "POST", TOKEN);
            }
        }
        Input::ProofForToken(changes) => {
            let claims = proof_claims("GET", AUDIENCE, &jti, Some(&scene.bound));
            let ath = claims["ath"].clone();
            let (proof, claims) = token(changes, &Signer::new(2), proof_header(), claims);
            let request = Request::get("/mcp")
                .header("authorization", format!("DPoP {}", scene.bound))
                .header("dpop", proof)
                .body(Body::empty());
            let Ok(request) = request else { return };
            let answer = runtime().block_on(scene.world.send(request));
            scene.judge.look(&answer);
            if answer.status().is_success() {
                let claims = claims.expect("signed by a stranger");
                check_proof(&claims, "GET", AUDIENCE);
                assert_eq!(claims["ath"], ath);
            }
        }
        Input::Client(changes) => {
            let header = json!({ "alg": "EdDSA" });
            let client = scene.client.clone();
            let claims = json!({
                "iss": client, "sub": client, "aud": ORIGIN, "jti": jti,
                "iat": START, "exp": START + 60,
            });
            let (assertion, claims) = token(changes, &Signer::new(3), header, claims);
            let form = [
                ("client_assertion", assertion.as_str()),
                (
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ),
                ("grant_type", "refresh_token"),
            ];
            let answer = scene.world.ask(&form, &[]);
            scene.judge.look(&answer);
            let refusal: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            // Past the door, it lacks the refresh token.
            if refusal["error"] == "invalid_request"
                && let Some(claims) = claims
            {
                let description = refusal["error_description"].as_str().unwrap_or_default();
                if description.contains("refresh_token") {
                    assert_eq!(claims["iss"], client);
                    assert_eq!(claims["sub"], client);
                    assert!(names(&claims["aud"], |name| name == ORIGIN));
                    check_lifetime(&claims, 61.0);
                }
            }
        }
        Input::Idp(changes) => {
            let header = json!({ "typ": "oauth-id-jag+jwt", "alg": "EdDSA" });
            let claims = json!({
                "iss": IDP, "sub": "alice", "aud": ORIGIN, "client_id": "robot", "jti": jti,
                "iat": START, "exp": START + 60, "resource": AUDIENCE, "scope": "notes:read",
            });
            let (assertion, claims) = token(changes, &Signer::new(1), header, claims);
            let bearer = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", assertion.as_str()),
            ];
            let form = [&robot[..], &bearer[..]].concat();
            let answer = scene.world.ask(&form, &[]);
            scene.judge.look(&answer);
            if answer.status().is_success() {
                let claims = claims.expect("signed by a stranger");
                assert_eq!(claims["iss"], IDP);
                assert_eq!(claims["client_id"], "robot");
                assert!(names(&claims["aud"], |name| name == ORIGIN));
                check_lifetime(&claims, 61.0);
            }
        }
        _ => {}
    }
}

fuzz_target!(|input: Input<'_>| {
    issuers(&input);
    SCENE.with_borrow_mut(|scene| {
        if scene.age >= LIFETIME {
            *scene = Scene::new();
        }
        endpoints(scene, &input);
    });
});
