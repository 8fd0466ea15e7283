//! The verifiers against an issuer that is made up: what it publishes is set line by line.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::{IntrospectionVerifier, JwtVerifier};
use crate::{
    clock::{Clock, Timestamp},
    fetch::{
        BasicCredentials, BoxFuture, CachePolicy, Fetch, FetchError, FetchResult, Fetched, Limits,
    },
    jwt::{Algorithm, SigningKey, generate_key},
    resource_server::{PresentedToken, TokenVerifier, Verdict},
};

const ISSUER: &str = "https://login.example.com";
const MCP: &str = "https://api.example.com/mcp";
const DOCUMENT: &str = "https://login.example.com/.well-known/oauth-authorization-server";
const OPENID: &str = "https://login.example.com/.well-known/openid-configuration";
const KEYS: &str = "https://login.example.com/keys";
const ASK: &str = "https://login.example.com/ask";

#[derive(Clone, Default)]
struct Net(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    pages: HashMap<String, Value>,
    asked: Vec<String>,
    now: u64,
    /// The status where there is no page; 503 unless told.
    missing: Option<u16>,
}

impl Net {
    fn new() -> Self {
        let net = Self::default();
        net.turn(1_800_000_000);
        let document = json!({
            "issuer": ISSUER, "jwks_uri": KEYS, "introspection_endpoint": ASK,
        });
        net.serve(DOCUMENT, document);
        net
    }

    fn serve(&self, url: &str, page: Value) {
        self.0.lock().unwrap().pages.insert(url.to_owned(), page);
    }

    fn remove(&self, url: &str) {
        self.0.lock().unwrap().pages.remove(url);
    }

    fn turn(&self, seconds: u64) {
        self.0.lock().unwrap().now += seconds;
    }

    /// How often `url` was asked for.
    fn asked(&self, url: &str) -> usize {
        let state = self.0.lock().unwrap();
        state.asked.iter().filter(|asked| *asked == url).count()
    }

    fn answer(&self, url: &str) -> BoxFuture<'static, FetchResult> {
        let mut state = self.0.lock().unwrap();
        state.asked.push(url.to_owned());
        let page = state.pages.get(url).map(|page| Fetched {
            body: page.to_string().into(),
            cache: CachePolicy::default(),
        });
        let missing = state.missing.unwrap_or(503);
        Box::pin(async move {
            tokio::task::yield_now().await;
            page.ok_or(FetchError::Status(missing))
        })
    }
}

impl Fetch for Net {
    fn get(&self, url: &str, _: Limits) -> BoxFuture<'static, FetchResult> {
        self.answer(url)
    }

    fn post_form(
        &self,
        url: &str,
        _: Option<BasicCredentials<'_>>,
        _: String,
        _: Limits,
    ) -> BoxFuture<'static, FetchResult> {
        self.answer(url)
    }
}

impl Clock for Net {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.lock().unwrap().now)
    }
}

fn key() -> SigningKey {
    let der = generate_key(Algorithm::EdDSA).unwrap();
    SigningKey::from_pkcs8(Algorithm::EdDSA, None, &der).unwrap()
}

fn publish(net: &Net, keys: &[&SigningKey]) {
    let keys: Vec<_> = keys.iter().map(|key| key.public_jwk()).collect();
    net.serve(KEYS, json!({ "keys": keys }));
}

fn token(net: &Net, key: &SigningKey) -> String {
    let claims = json!({
        "iss": ISSUER, "sub": "alice", "aud": MCP, "client_id": "agent", "scope": "notes:read",
        "exp": net.now().as_secs() + 7200,
    });
    key.sign("at+jwt", &claims).unwrap()
}

fn verifier(net: &Net) -> JwtVerifier {
    let builder = JwtVerifier::builder(ISSUER, MCP).clock(net.clone());
    builder.fetch_with(Arc::new(net.clone())).build().unwrap()
}

/// `None` where nobody can say.
async fn judge(verifier: &impl TokenVerifier, token: &str) -> Option<Verdict> {
    verifier.verify(&PresentedToken::new(token)).await.ok()
}

async fn is_good(verifier: &impl TokenVerifier, token: &str) -> bool {
    matches!(judge(verifier, token).await, Some(Verdict::Verified(_)))
}

/// Clients are told the same of all bad tokens; whoever runs the server can find out more.
#[cfg(feature = "tracing")]
#[tokio::test]
async fn the_log_says_what_is_wrong_with_a_token_and_not_the_token() {
    use tracing_subscriber::{filter::LevelFilter, util::SubscriberInitExt};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let log = Log::default();
    let ours = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(move || ours.clone());
    let _logging = subscriber.finish().set_default();
    let (net, key) = (Net::new(), key());
    publish(&net, &[&key]);
    let (verifier, token) = (verifier(&net), token(&net, &key));
    net.turn(8000);
    assert_eq!(judge(&verifier, &token).await, Some(Verdict::Expired));
    let written = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(written.contains(ISSUER), "{written}");
    assert!(
        written.contains(crate::jwt::JwtError::Expired.reason()),
        "{written}"
    );
    assert!(!written.contains(&token), "{written}");
}

#[tokio::test]
async fn many_first_tokens_fetch_the_documents_once() {
    let (net, key) = (Net::new(), key());
    publish(&net, &[&key]);
    let (verifier, token) = (Arc::new(verifier(&net)), token(&net, &key));
    let many: Vec<_> = (0..20)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            tokio::spawn(async move { is_good(&*verifier, &token).await })
        })
        .collect();
    for one in many {
        assert!(one.await.unwrap());
    }
    assert_eq!((net.asked(DOCUMENT), net.asked(KEYS)), (1, 1));
}

#[tokio::test]
async fn strangers_cause_no_fetch_at_all() {
    let (net, key) = (Net::new(), key());
    let verifier = verifier(&net);
    let stranger = key
        .sign("at+jwt", &json!({ "iss": "https://other.example" }))
        .unwrap();
    for garbage in [
        stranger.as_str(),
        "a.b.c",
        "ey.ey.ey",
        "eyJhbGciOiJub25lIn0.e30.",
    ] {
        assert_eq!(
            judge(&verifier, garbage).await,
            Some(Verdict::Unknown),
            "{garbage}"
        );
    }
    for garbage in ["", "opaque", "eyJhbGciOiJub25lIn0", "ey.a", "ey.a.b.c.d"] {
        assert!(!verifier.recognises(garbage), "{garbage}");
    }
    assert_eq!(net.asked(DOCUMENT), 0);
}

#[tokio::test]
async fn unknown_keys_are_looked_for_and_not_more_often_than_every_ten_seconds() {
    let (net, old, new) = (Net::new(), key(), key());
    publish(&net, &[&old]);
    let verifier = verifier(&net);
    assert!(is_good(&verifier, &token(&net, &old)).await);
    publish(&net, &[&old, &new]);
    for _ in 0..5 {
        assert_eq!(
            judge(&verifier, &token(&net, &new)).await,
            Some(Verdict::Unknown)
        );
    }
    assert_eq!(net.asked(KEYS), 1);
    net.turn(10);
    assert!(is_good(&verifier, &token(&net, &new)).await);
    assert!(is_good(&verifier, &token(&net, &old)).await);
    assert_eq!((net.asked(KEYS), net.asked(DOCUMENT)), (2, 1));
}

#[tokio::test]
async fn an_outage_of_the_issuer_is_bridged_for_an_hour() {
    // What stands in front of it may know of nothing while it starts anew.
    for status in [503, 404] {
        let (net, key) = (Net::new(), key());
        net.0.lock().unwrap().missing = Some(status);
        publish(&net, &[&key]);
        let verifier = verifier(&net);
        assert!(is_good(&verifier, &token(&net, &key)).await);
        net.remove(KEYS);
        net.remove(DOCUMENT);
        net.turn(3600 + 3599);
        for _ in 0..5 {
            assert!(is_good(&verifier, &token(&net, &key)).await, "{status}");
        }
        assert_eq!(net.asked(KEYS), 2, "a failure is not tried again at once");
        net.turn(11);
        assert_eq!(judge(&verifier, &token(&net, &key)).await, None);
    }
}

#[tokio::test]
async fn what_the_issuer_publishes_is_not_believed_blindly() {
    let (net, key) = (Net::new(), key());
    publish(&net, &[&key]);
    let token = token(&net, &key);
    for document in [
        json!({ "issuer": "https://login.example.com/", "jwks_uri": KEYS }),
        json!({ "issuer": "https://evil.example", "jwks_uri": KEYS }),
        json!({ "issuer": null, "jwks_uri": KEYS }),
        json!({ "jwks_uri": KEYS }),
        json!({ "issuer": ISSUER }),
        json!({ "issuer": ISSUER, "jwks_uri": 7 }),
        json!([ISSUER]),
    ] {
        net.serve(DOCUMENT, document.clone());
        assert_eq!(judge(&verifier(&net), &token).await, None, "{document}");
    }
    // There is nothing at the first address: then at that of OpenID Connect.
    net.remove(DOCUMENT);
    net.serve(OPENID, json!({ "issuer": ISSUER, "jwks_uri": KEYS }));
    assert!(is_good(&verifier(&net), &token).await);

    let mut leaked = key.public_jwk();
    leaked["d"] = "AA".into();
    for keys in [json!({ "keys": [leaked] }), json!({}), json!("keys")] {
        net.serve(KEYS, keys.clone());
        assert_eq!(judge(&verifier(&net), &token).await, None, "{keys}");
    }
}

/// The key that a token is bound to, if it is good.
async fn key_of(verifier: &impl TokenVerifier, token: &str) -> Option<String> {
    let Some(Verdict::Verified(session)) = judge(verifier, token).await else {
        return None;
    };
    session.dpop_thumbprint().map(str::to_owned)
}

/// A user may be called as a program is (RFC 9068 §5), and a program has no user.
#[tokio::test]
async fn a_token_of_a_client_for_itself_is_no_users() {
    let (net, key) = (Net::new(), key());
    publish(&net, &[&key]);
    let of_client = |verdict: Option<Verdict>| match verdict {
        Some(Verdict::Verified(session)) => session.is_client(),
        other => panic!("{other:?}"),
    };
    for (subject, is_client) in [(json!("alice"), false), (json!("agent"), true)] {
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": MCP, "client_id": "agent", "active": true,
            "exp": net.now().as_secs() + 60,
        });
        let token = key.sign("at+jwt", &claims).unwrap();
        net.serve(ASK, claims);
        for verdict in [
            judge(&verifier(&net), &token).await,
            judge(&introspection(&net), "t").await,
        ] {
            assert_eq!(of_client(verdict), is_client, "{subject}");
        }
    }
    let nobody = json!({
        "aud": MCP, "client_id": "agent", "active": true, "exp": net.now().as_secs() + 60,
    });
    net.serve(ASK, nobody);
    assert!(of_client(judge(&introspection(&net), "t").await));
}

/// The layer asks whoever sends it for a proof of that key.
#[tokio::test]
async fn the_key_that_a_token_is_bound_to_is_passed_on() {
    let (net, key) = (Net::new(), key());
    publish(&net, &[&key]);
    let claims = json!({
        "iss": ISSUER, "sub": "alice", "aud": MCP, "client_id": "agent",
        "exp": net.now().as_secs() + 60, "cnf": { "jkt": key.public_key().thumbprint() },
    });
    let bound = key.sign("at+jwt", &claims).unwrap();
    let thumbprint = key.public_key().thumbprint();
    assert_eq!(key_of(&verifier(&net), &bound).await, Some(thumbprint));

    let mut answer = claims;
    answer["active"] = true.into();
    answer["cnf"]["jkt"] = "x".into();
    for kind in [Value::Null, "Bearer".into(), "DPoP".into()] {
        answer["token_type"] = kind;
        net.serve(ASK, answer.clone());
        let key = key_of(&introspection(&net), "t").await;
        assert_eq!(key.as_deref(), Some("x"), "{answer}");
    }
}

// --- introspection

fn introspection(net: &Net) -> IntrospectionVerifier {
    IntrospectionVerifier::builder(ISSUER, MCP)
        .credentials("us", "our secret")
        .clock(net.clone())
        .fetch_with(Arc::new(net.clone()))
        .build()
        .unwrap()
}

/// RS-19.
#[tokio::test]
async fn answers_about_tokens_are_judged() {
    let net = Net::new();
    let now = net.now().as_secs();
    let base = json!({
        "active": true, "client_id": "agent", "sub": "alice", "aud": MCP, "exp": now + 60,
        "scope": "notes:read", "iss": ISSUER, "token_type": "Bearer",
    });
    for (change, verdict) in [
        (json!({ "aud": null }), Some(Verdict::WrongAudience)),
        (
            json!({ "aud": ["https://other.example"] }),
            Some(Verdict::WrongAudience),
        ),
        (json!({ "aud": 7 }), Some(Verdict::Unknown)),
        (
            json!({ "iss": "https://other.example" }),
            Some(Verdict::Unknown),
        ),
        (json!({ "exp": now }), Some(Verdict::Expired)),
        (json!({ "client_id": null }), Some(Verdict::Unknown)),
        (json!({ "token_type": "DPoP" }), Some(Verdict::Unknown)),
        (json!({ "token_type": "N_A" }), Some(Verdict::Unknown)),
        (json!({ "token_type": ["DPoP"] }), Some(Verdict::Unknown)),
        (
            json!({ "iss": ["https://elsewhere.example"] }),
            Some(Verdict::Unknown),
        ),
        (
            json!({ "cnf": { "x5t#S256": "x" } }),
            Some(Verdict::Unknown),
        ),
        (
            json!({ "cnf": { "jkt": "x", "x5t#S256": "x" } }),
            Some(Verdict::Unknown),
        ),
        (
            json!({ "token_use": "refresh_token" }),
            Some(Verdict::Unknown),
        ),
        (json!({ "active": false }), Some(Verdict::Unknown)),
        (json!({ "active": "true" }), None),
        (json!({ "active": null }), None),
    ] {
        let mut answer = base.clone();
        for (name, value) in change.as_object().unwrap() {
            answer[name] = value.clone();
        }
        net.serve(ASK, answer);
        assert_eq!(judge(&introspection(&net), "t").await, verdict, "{change}");
    }
    for change in [
        json!({}),
        json!({ "aud": ["x", MCP] }),
        json!({ "exp": null }),
        json!({ "token_use": "access_token" }),
        json!({ "sub": null, "iss": null, "token_type": null, "iat": now }),
    ] {
        let mut answer = base.clone();
        for (name, value) in change.as_object().unwrap() {
            answer[name] = value.clone();
        }
        net.serve(ASK, answer);
        assert!(is_good(&introspection(&net), "t").await, "{change}");
    }
}

#[tokio::test]
async fn tokens_that_are_no_good_are_not_asked_about_all_the_time() {
    let net = Net::new();
    let verifier = introspection(&net);
    net.serve(ASK, json!({ "active": false }));
    for _ in 0..5 {
        assert_eq!(judge(&verifier, "t").await, Some(Verdict::Unknown));
    }
    assert_eq!((net.asked(ASK), net.asked(DOCUMENT)), (1, 1));
    net.turn(10);
    assert_eq!(judge(&verifier, "t").await, Some(Verdict::Unknown));
    assert_eq!(net.asked(ASK), 2);
    assert!(verifier.recognises(&"x".repeat(16_000)));
    net.remove(ASK);
    assert_eq!(
        judge(&verifier, "other").await,
        None,
        "an outage is no verdict"
    );
}

#[test]
fn nothing_secret_is_debugged() {
    let net = Net::new();
    let shown = format!("{:?} {:?}", introspection(&net), verifier(&net));
    assert!(!shown.contains("our secret"), "{shown}");
    let builder = IntrospectionVerifier::builder(ISSUER, MCP).credentials("us", "our secret");
    assert!(!format!("{builder:?}").contains("our secret"));
    assert!(IntrospectionVerifier::builder(ISSUER, MCP).build().is_err());
    assert!(
        JwtVerifier::builder("http://login.example.com", MCP)
            .build()
            .is_err()
    );
}
