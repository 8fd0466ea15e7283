//! Users whom an enterprise's identity provider vouches for (ID-JAG): what its assertions give, and
//! all that makes them worth nothing.
#![cfg(feature = "jwt")]

mod common;
#[path = "common/jws.rs"]
mod jws;
#[path = "common/proofs.rs"]
mod proofs;

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use axum::{Router, body::Body, response::IntoResponse, routing::get};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use common::*;
use http::{Request, StatusCode, header, request::Parts};
use jws::Key;
use serde_json::{Map, Value, json};
use tower_mcp_auth::{
    AssertedSubject, Authenticator, AuthenticatorError, ClientId, ConfigError, Event, McpAuth,
    McpAuthBuilder, MemoryStore, Resource, SignedIn, SledStore, StaticClient, Subject,
    TrustedIssuer,
};

const NOW: u64 = 1_800_000_000;
const IDP: &str = "https://acme.idp.example";
const FILES: &str = "https://api.example.com/files";
const TOKEN: &str = "https://api.example.com/oauth/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Knows the people of Acme by their name or, where it has none of that, by their address.
#[derive(Clone, Default)]
struct Directory(Arc<Mutex<Vec<AssertedSubject>>>);

impl Authenticator for Directory {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(None)
    }

    async fn enterprise_subject(
        &self,
        asserted: &AssertedSubject,
    ) -> Result<Option<Subject>, AuthenticatorError> {
        self.0.lock().unwrap().push(asserted.clone());
        let email = asserted.email().unwrap_or_default();
        Ok(match asserted.subject() {
            "outage" => return Err("the directory is down".into()),
            "U-alice" => Some(Subject::new("alice")?),
            _ if email.ends_with("@acme.example") => Some(Subject::new(email)?),
            _ => None,
        })
    }
}

/// A deployment that trusts Acme's identity provider.
struct Acme {
    app: App,
    key: Key,
    directory: Directory,
    refusals: Arc<Mutex<Vec<String>>>,
}

impl Acme {
    fn new() -> Self {
        Self::trusting(|issuer| issuer)
    }

    fn trusting(change: impl FnOnce(TrustedIssuer) -> TrustedIssuer) -> Self {
        Self::with(Key::ed25519(), change, |builder| {
            builder.store(MemoryStore::new())
        })
    }

    fn with(
        key: Key,
        change: impl FnOnce(TrustedIssuer) -> TrustedIssuer,
        more: impl FnOnce(McpAuthBuilder) -> McpAuthBuilder,
    ) -> Self {
        let (directory, refusals) = (Directory::default(), Arc::<Mutex<Vec<String>>>::default());
        let seen = Arc::clone(&refusals);
        let issuer = change(TrustedIssuer::new(IDP).jwks(key.jwks("one")));
        let app = App::with(|builder| {
            let none = Vec::<String>::new;
            more(builder.authenticator(directory.clone()))
                .observer(move |event: &Event<'_>| {
                    if let Event::EndpointRefused { reason, .. } = event {
                        seen.lock().unwrap().push((*reason).to_owned());
                    }
                })
                .client(StaticClient::confidential("assistant", "secret", none()))
                .client(StaticClient::confidential("other", "secret", none()))
                .client(StaticClient::public("program", [CALLBACK]))
                .trust_issuer(issuer)
        });
        Self {
            app,
            key,
            directory,
            refusals,
        }
    }

    /// An assertion about alice for the assistant, changed by `change`; null leaves a claim out.
    fn claims(change: &Value) -> Value {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut claims = json!({"iss": IDP, "sub": "U-alice", "aud": ORIGIN, "client_id": "assistant",
            "jti": format!("assertion {}", NUMBER.fetch_add(1, Ordering::Relaxed)),
            "iat": NOW, "exp": NOW + 300, "resource": MCP, "scope": "notes:read"});
        let members = claims.as_object_mut().unwrap();
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => members.remove(name),
                value => members.insert(name.clone(), value.clone()),
            };
        }
        claims
    }

    fn assertion(&self, change: &Value) -> String {
        let header = json!({"typ": "oauth-id-jag+jwt", "kid": "one"});
        self.key.sign(header, &Self::claims(change))
    }

    async fn send(&self, assertion: &str, more: &[(&str, &str)]) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode("assistant:secret"));
        self.send_as(Some(&basic), assertion, more).await
    }

    async fn send_as(
        &self,
        authorization: Option<&str>,
        assertion: &str,
        more: &[(&str, &str)],
    ) -> Answer {
        let mut params = vec![("grant_type", GRANT), ("assertion", assertion)];
        params.extend_from_slice(more);
        self.app.token_as(authorization, &params).await
    }

    /// Sends an assertion with this change, which is answered with this error for this reason.
    async fn refuses(&self, change: &Value, error: &str, reason: &str) {
        let assertion = self.assertion(change);
        self.refuses_token(assertion, error, reason).await;
    }

    async fn refuses_token(&self, assertion: String, error: &str, reason: &str) {
        let answer = self.send(&assertion, &[]).await;
        self.assert_refused(&answer, error, reason);
    }

    #[track_caller]
    fn assert_refused(&self, answer: &Answer, error: &str, reason: &str) {
        answer.assert_error(400, error);
        assert_eq!(answer.json().get("access_token"), None);
        let last = self.refusals.lock().unwrap().last().cloned();
        assert_eq!(last.as_deref(), Some(reason), "{answer:?}");
    }
}

#[tokio::test]
async fn an_assertion_gives_its_user_a_token_for_its_resource_and_no_refresh_token() {
    for key in [Key::ed25519(), Key::p256()] {
        let acme = Acme::with(key, |issuer| issuer, |b| b.store(MemoryStore::new()));
        let tokens = Tokens::from(&acme.send(&acme.assertion(&json!({})), &[]).await);
        assert_eq!(
            (tokens.scope.as_str(), tokens.refresh.as_str()),
            ("notes:read", "")
        );
        assert_eq!(tokens.expires_in, 3590);
        assert_eq!(acme.app.call("/mcp", &tokens.access).await.body, "alice");
        assert_eq!(
            acme.app.call("/files", &tokens.access).await.status,
            StatusCode::UNAUTHORIZED
        );
        // It is a grant of the user like any other.
        let alice = Subject::new("alice").unwrap();
        assert_eq!(acme.app.auth.grants(&alice).await.unwrap().len(), 1);
        acme.app.auth.revoke_user(&alice).await.unwrap();
        assert_eq!(
            acme.app.call("/mcp", &tokens.access).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
}

#[tokio::test]
async fn a_forged_assertion_is_worth_nothing() {
    let acme = Acme::new();
    let header = json!({"typ": "oauth-id-jag+jwt", "kid": "one"});
    let forged = Key::ed25519().sign(header, &Acme::claims(&json!({})));
    acme.refuses_token(forged, "invalid_grant", "bad_signature")
        .await;
    let header = json!({"typ": "oauth-id-jag+jwt", "kid": "two"});
    let forged = Key::ed25519().sign(header, &Acme::claims(&json!({})));
    acme.refuses_token(forged, "invalid_grant", "unknown_key")
        .await;
    let good = acme.assertion(&json!({}));
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    acme.refuses_token(unsigned, "invalid_grant", "bad_signature")
        .await;
    for garbage in ["x", "x.y.z", &"x".repeat(20_000)] {
        acme.refuses_token(garbage.to_owned(), "invalid_grant", "malformed_jwt")
            .await;
    }
    let answer = acme.send("", &[]).await;
    acme.assert_refused(&answer, "invalid_request", "assertion_missing");
    assert!(acme.directory.0.lock().unwrap().is_empty(), "nobody asked");
}

#[tokio::test]
async fn an_assertion_has_its_time() {
    let acme = Acme::new();
    for (change, reason) in [
        (json!({"iat": NOW - 400, "exp": NOW - 60}), "expired_jwt"),
        (json!({"iat": NOW + 61}), "jwt_not_yet_valid"),
        (json!({"nbf": NOW + 61}), "jwt_not_yet_valid"),
        (json!({"exp": NOW + 3661}), "jwt_lifetime"),
        (json!({"iat": NOW - 3500, "exp": NOW + 300}), "jwt_lifetime"),
    ] {
        acme.refuses(&change, "invalid_grant", reason).await;
    }
    let late = acme.assertion(&json!({}));
    acme.app.advance(360);
    acme.refuses_token(late, "invalid_grant", "expired_jwt")
        .await;
}

#[tokio::test]
async fn only_its_issuers_algorithms_count() {
    let acme = Acme::trusting(|issuer| issuer.algorithms(["ES256", "RS256"]));
    acme.refuses(&json!({}), "invalid_grant", "jwt_algorithm")
        .await;
    let acme = Acme::new();
    for alg in ["none", "HS256", "ES384"] {
        let header = json!({"typ": "oauth-id-jag+jwt", "kid": "one", "alg": alg});
        let token = acme.key.sign(header, &Acme::claims(&json!({})));
        acme.refuses_token(token, "invalid_grant", "jwt_algorithm")
            .await;
    }
}

#[tokio::test]
async fn tokens_of_other_kinds_are_no_assertions() {
    let acme = Acme::new();
    for header in [
        json!({"kid": "one"}),
        json!({"typ": "JWT", "kid": "one"}),
        json!({"typ": "at+jwt", "kid": "one"}),
    ] {
        let token = acme.key.sign(header, &Acme::claims(&json!({})));
        acme.refuses_token(token, "invalid_grant", "jwt_type").await;
    }
}

#[tokio::test]
async fn an_assertion_is_for_this_issuer_alone_letter_for_letter() {
    let acme = Acme::new();
    for aud in [
        json!("https://other.example"),
        json!("https://api.example.com/"),
        json!(TOKEN),
        json!(MCP),
        json!([ORIGIN, "https://other.example"]),
        json!([ORIGIN, ORIGIN]),
        json!([]),
        Value::Null,
    ] {
        let change = json!({ "aud": aud });
        acme.refuses(&change, "invalid_grant", "wrong_audience")
            .await;
    }
    Tokens::from(
        &acme
            .send(&acme.assertion(&json!({"aud": [ORIGIN]})), &[])
            .await,
    );
}

#[tokio::test]
async fn an_assertion_is_for_the_client_that_sends_it() {
    let acme = Acme::new();
    for (client, reason) in [
        (json!("other"), "assertion_other_client"),
        (json!("ASSISTANT"), "assertion_other_client"),
        (Value::Null, "missing_claim"),
    ] {
        acme.refuses(&json!({ "client_id": client }), "invalid_grant", reason)
            .await;
    }
    // Somebody else's assertion, found unused, still is its own client's.
    let assertion = acme.assertion(&json!({}));
    let thief = format!("Basic {}", STANDARD.encode("other:secret"));
    let answer = acme.send_as(Some(&thief), &assertion, &[]).await;
    acme.assert_refused(&answer, "invalid_grant", "assertion_other_client");
    Tokens::from(&acme.send(&assertion, &[]).await);
    let wrong = format!("Basic {}", STANDARD.encode("assistant:wrong"));
    let answer = acme.send_as(Some(&wrong), &assertion, &[]).await;
    answer.assert_error(401, "invalid_client");
}

#[tokio::test]
async fn an_issuer_speaks_for_the_clients_it_may_speak_for() {
    let acme = Acme::trusting(|issuer| issuer.clients(["other"]));
    acme.refuses(&json!({}), "invalid_grant", "assertion_client_not_allowed")
        .await;
}

#[tokio::test]
async fn nobody_else_may_vouch_for_users() {
    let acme = Acme::new();
    for iss in [
        json!("https://evil.example"),
        json!("https://acme.idp.example/"),
        json!(ORIGIN),
    ] {
        acme.refuses(&json!({ "iss": iss }), "invalid_grant", "wrong_issuer")
            .await;
    }
    acme.refuses(&json!({"iss": null}), "invalid_grant", "missing_claim")
        .await;
}

#[tokio::test]
async fn nothing_that_an_assertion_needs_may_be_missing() {
    let acme = Acme::new();
    for name in ["sub", "jti", "iat", "exp"] {
        let gone = json!({ name: null });
        acme.refuses(&gone, "invalid_grant", "missing_claim").await;
        for odd in [json!(""), json!([]), json!({})] {
            let odd = json!({ name: odd });
            acme.refuses(&odd, "invalid_grant", "missing_claim").await;
        }
    }
}

#[tokio::test]
async fn an_assertion_is_good_once() {
    let acme = Acme::new();
    let assertion = acme.assertion(&json!({"jti": "mine"}));
    let first = Tokens::from(&acme.send(&assertion, &[]).await);
    for _ in 0..2 {
        acme.refuses_token(assertion.clone(), "invalid_grant", "assertion_replayed")
            .await;
    }
    // Also under another signature.
    let change = json!({"jti": "mine", "scope": "notes:write"});
    acme.refuses(&change, "invalid_grant", "assertion_replayed")
        .await;
    // What it gave the first time stays good: a client may have repeated itself.
    assert_eq!(acme.app.call("/mcp", &first.access).await.body, "alice");
    // To its last second, and then it has expired.
    acme.app.advance(359);
    acme.refuses_token(assertion.clone(), "invalid_grant", "assertion_replayed")
        .await;
    acme.app.advance(1);
    acme.refuses_token(assertion, "invalid_grant", "expired_jwt")
        .await;
}

#[tokio::test]
async fn many_at_once_get_one_token() {
    let acme = Acme::new();
    let assertion = acme.assertion(&json!({}));
    let answers = tokio::join!(
        acme.send(&assertion, &[]),
        acme.send(&assertion, &[]),
        acme.send(&assertion, &[]),
    );
    let answers = [answers.0, answers.1, answers.2];
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1, "{answers:?}");
}

#[tokio::test]
async fn a_refused_assertion_is_not_used_up() {
    let acme = Acme::new();
    let assertion = acme.assertion(&json!({}));
    let answer = acme.send(&assertion, &[("scope", "notes:write")]).await;
    acme.assert_refused(&answer, "invalid_scope", "scope_not_asserted");
    Tokens::from(&acme.send(&assertion, &[]).await);
}

#[cfg(feature = "sled")]
#[test]
fn a_restart_does_not_make_an_assertion_good_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut key = Key::ed25519();
    for (jti, status) in [("kept", 200), ("kept", 400), ("new", 200)] {
        // With its runtime everything ends that holds the store.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        key = runtime.block_on(async {
            let store = SledStore::open(directory.path()).unwrap();
            let acme = Acme::with(key, |issuer| issuer, |builder| builder.store(store));
            let assertion = acme.assertion(&json!({ "jti": jti }));
            let answer = acme.send(&assertion, &[]).await;
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
            if status == 400 {
                acme.assert_refused(&answer, "invalid_grant", "assertion_replayed");
            }
            acme.key
        });
    }
}

#[tokio::test]
async fn what_one_issuer_used_another_may_still_use() {
    let globex = "https://globex.idp.example";
    let other = Key::p256();
    let trusted = TrustedIssuer::new(globex).jwks(other.jwks("one"));
    let acme = Acme::with(
        Key::ed25519(),
        |issuer| issuer,
        |builder| builder.store(MemoryStore::new()).trust_issuer(trusted),
    );
    Tokens::from(&acme.send(&acme.assertion(&json!({"jti": "1"})), &[]).await);
    let header = json!({"typ": "oauth-id-jag+jwt", "kid": "one"});
    let claims = Acme::claims(&json!({"jti": "1", "iss": globex}));
    let theirs = other.sign(header.clone(), &claims);
    Tokens::from(&acme.send(&theirs, &[]).await);
    // And none may sign for the other.
    let forged = other.sign(header, &Acme::claims(&json!({})));
    acme.refuses_token(forged, "invalid_grant", "unknown_key")
        .await;
}

#[tokio::test]
async fn resubmission_is_for_who_asks_for_it() {
    let acme = Acme::trusting(TrustedIssuer::danger_allow_resubmission);
    let assertion = acme.assertion(&json!({}));
    let first = Tokens::from(&acme.send(&assertion, &[]).await);
    let second = Tokens::from(&acme.send(&assertion, &[]).await);
    assert_ne!(first.access, second.access);
    acme.app.advance(360);
    acme.refuses_token(assertion, "invalid_grant", "expired_jwt")
        .await;
}

#[tokio::test]
async fn scopes_are_those_that_everyone_allows() {
    let acme = Acme::new();
    for (asserted, asked, given) in [
        (
            json!("notes:read notes:write"),
            "",
            "notes:read notes:write",
        ),
        (
            json!("notes:read notes:write"),
            "notes:write",
            "notes:write",
        ),
        (json!("notes:read"), "notes:read notes:write", "notes:read"),
        (json!("notes:read unheard:of files:read"), "", "notes:read"),
        (json!("notes:read openid offline_access"), "", "notes:read"),
        // The challenge's.
        (Value::Null, "", "notes:read"),
    ] {
        let assertion = acme.assertion(&json!({ "scope": asserted }));
        let tokens = Tokens::from(&acme.send(&assertion, &[("scope", asked)]).await);
        assert_eq!(tokens.scope, given, "{asserted} {asked}");
        assert_eq!(tokens.refresh, "");
    }
    for (asserted, asked, error, reason) in [
        (
            json!("unheard:of"),
            "",
            "invalid_grant",
            "assertion_scope_unknown",
        ),
        (json!(""), "", "invalid_grant", "assertion_scope_unknown"),
        (
            json!("quo\"te"),
            "",
            "invalid_grant",
            "assertion_scope_malformed",
        ),
        (
            json!(["notes:read"]),
            "",
            "invalid_grant",
            "assertion_scope_malformed",
        ),
        (
            json!("notes:read"),
            "notes:write",
            "invalid_scope",
            "scope_not_asserted",
        ),
        (
            Value::Null,
            "notes:write",
            "invalid_scope",
            "scope_not_asserted",
        ),
        (
            json!("notes:read"),
            "unheard:of",
            "invalid_scope",
            "scope_not_asserted",
        ),
        (
            json!("notes:read"),
            "quo\"te",
            "invalid_scope",
            "scope_malformed",
        ),
    ] {
        let assertion = acme.assertion(&json!({ "scope": asserted }));
        let answer = acme.send(&assertion, &[("scope", asked)]).await;
        acme.assert_refused(&answer, error, reason);
    }
}

#[tokio::test]
async fn who_may_have_the_broad_scope_may_have_the_narrow_one() {
    let acme = Acme::with(
        Key::ed25519(),
        |issuer| issuer,
        |builder| {
            let admin = Resource::new("https://api.example.com/admin")
                .scopes(["admin", "read"])
                .implies("admin", ["read"]);
            builder.store(MemoryStore::new()).resource_with(admin)
        },
    );
    for (asserted, asked, given) in [
        ("admin", "", "admin"),
        ("admin", "read", "read"),
        ("read", "admin", "read"),
        ("admin", "admin read", "admin read"),
    ] {
        let admin = "https://api.example.com/admin";
        let assertion = acme.assertion(&json!({"resource": admin, "scope": asserted}));
        let tokens = Tokens::from(&acme.send(&assertion, &[("scope", asked)]).await);
        assert_eq!(tokens.scope, given, "{asserted} {asked}");
    }
}

#[tokio::test]
async fn the_token_is_for_the_assertions_resource() {
    let acme = Acme::new();
    for (named, asked, path) in [
        (json!(FILES), "", "/files"),
        (json!([FILES]), FILES, "/files"),
        (json!("HTTPS://API.example.com:443/files"), "", "/files"),
        (json!([MCP, FILES]), FILES, "/files"),
        (json!([FILES, FILES]), "", "/files"),
        (Value::Null, FILES, "/files"),
        (Value::Null, "", "/mcp"),
    ] {
        let change = json!({"resource": named, "scope": "files:read notes:read"});
        let assertion = acme.assertion(&change);
        let tokens = Tokens::from(&acme.send(&assertion, &[("resource", asked)]).await);
        let answer = acme.app.call(path, &tokens.access).await;
        assert_eq!(answer.status, StatusCode::OK, "{named} {asked}");
    }
    for named in [
        json!("https://other.example/mcp"),
        json!([MCP, "https://other.example/mcp"]),
        json!("https://api.example.com/mcp/deeper"),
        json!([]),
        json!(7),
        json!([7]),
        json!(""),
    ] {
        let change = json!({ "resource": named });
        acme.refuses(&change, "invalid_grant", "assertion_other_resource")
            .await;
    }
    for (named, asked, reason) in [
        (json!(MCP), FILES, "resource_not_asserted"),
        (json!(MCP), "https://other.example", "resource_unknown"),
        (json!([MCP, FILES]), "", "resource_ambiguous"),
    ] {
        let assertion = acme.assertion(&json!({ "resource": named }));
        let answer = acme.send(&assertion, &[("resource", asked)]).await;
        acme.assert_refused(&answer, "invalid_target", reason);
    }
}

#[tokio::test]
async fn what_is_narrowed_in_unknown_ways_is_refused() {
    let acme = Acme::new();
    let details = json!({"authorization_details": [{"type": "note", "actions": ["read"]}]});
    acme.refuses(&details, "invalid_grant", "assertion_authorization_details")
        .await;
    let none = acme.assertion(&json!({"authorization_details": []}));
    Tokens::from(&acme.send(&none, &[]).await);
}

#[tokio::test]
async fn a_bound_assertion_takes_a_proof_of_its_key() {
    let acme = Acme::new();
    let (mine, other) = (proofs::Key::es256(), proofs::Key::ed25519());
    let send = async |assertion: &str, proof: &str| {
        let basic = format!("Basic {}", STANDARD.encode("assistant:secret"));
        let request = Request::post("/oauth/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, basic)
            .header("dpop", proof);
        let body = form(&[("grant_type", GRANT), ("assertion", assertion)]);
        let request: Request<Body> = request.body(body.into()).unwrap();
        acme.app.send(request).await
    };
    let proof = |key: &proofs::Key| key.proof("POST", TOKEN, None, NOW).sign();
    let bound = acme.assertion(&json!({"cnf": {"jkt": mine.thumbprint()}}));
    acme.refuses_token(bound.clone(), "invalid_grant", "dpop_other_key")
        .await;
    let answer = send(&bound, &proof(&other)).await;
    acme.assert_refused(&answer, "invalid_grant", "dpop_other_key");
    let answer = send(&bound, "nonsense").await;
    answer.assert_error(400, "invalid_dpop_proof");
    let answer = send(&bound, &proof(&mine)).await;
    assert_eq!(answer.json()["token_type"], "DPoP", "{answer:?}");
    let access = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(
        acme.app.call("/mcp", &access).await.status,
        StatusCode::UNAUTHORIZED,
        "it is no bearer token"
    );
    // An assertion that is not bound may be traded in for a token that is.
    let answer = send(&acme.assertion(&json!({})), &proof(&other)).await;
    assert_eq!(answer.json()["token_type"], "DPoP", "{answer:?}");
    // What it is bound to otherwise, nobody here can check.
    for cnf in [json!({"x5t#S256": "x"}), json!({}), json!("x")] {
        acme.refuses(&json!({ "cnf": cnf }), "invalid_grant", "missing_claim")
            .await;
    }
}

#[tokio::test]
async fn the_application_says_who_is_let_in() {
    let acme = Acme::new();
    acme.refuses(
        &json!({"sub": "U-mallory"}),
        "invalid_grant",
        "assertion_subject_refused",
    )
    .await;
    let new = json!({"sub": "U-new", "email": "new@acme.example", "tenant": "t1", "aud_sub": "42",
        "aud_tenant": "ours", "department": "sales"});
    let tokens = Tokens::from(&acme.send(&acme.assertion(&new), &[]).await);
    assert_eq!(
        acme.app.call("/mcp", &tokens.access).await.body,
        "new@acme.example"
    );
    let asked = acme.directory.0.lock().unwrap().last().unwrap().clone();
    assert_eq!((asked.issuer(), asked.subject()), (IDP, "U-new"));
    assert_eq!(asked.email(), Some("new@acme.example"));
    assert_eq!(
        (asked.tenant(), asked.audience_subject()),
        (Some("t1"), Some("42"))
    );
    assert_eq!(asked.audience_tenant(), Some("ours"));
    assert_eq!(asked.claim("department"), Some(&json!("sales")));
    assert!(!format!("{asked:?}").contains("new@"), "{asked:?}");
    let answer = acme
        .send(&acme.assertion(&json!({"sub": "outage"})), &[])
        .await;
    answer.assert_error(503, "temporarily_unavailable");
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_token_that_can_be_read_says_when_its_user_signed_in() {
    let signed = "https://api.example.com/signed";
    let acme = Acme::with(
        Key::ed25519(),
        |issuer| issuer,
        |builder| {
            let resource = Resource::new(signed).scopes(["read"]).jwt_access_tokens();
            builder.store(MemoryStore::new()).resource_with(resource)
        },
    );
    let change = json!({"resource": signed, "scope": "read", "auth_time": NOW - 30});
    let tokens = Tokens::from(&acme.send(&acme.assertion(&change), &[]).await);
    let payload = tokens.access.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["aud"]),
        (&json!("alice"), &json!(signed))
    );
    assert_eq!(claims["auth_time"], NOW - 30);
    acme.refuses(
        &json!({"auth_time": "today"}),
        "invalid_grant",
        "missing_claim",
    )
    .await;
}

#[tokio::test]
async fn an_application_that_says_nothing_admits_nobody() {
    let key = Key::ed25519();
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::confidential(
                "assistant",
                "secret",
                [CALLBACK],
            ))
            .trust_issuer(TrustedIssuer::new(IDP).jwks(key.jwks("one")))
    });
    let header = json!({"typ": "oauth-id-jag+jwt", "kid": "one"});
    let assertion = key.sign(header, &Acme::claims(&json!({"sub": "alice"})));
    let basic = format!("Basic {}", STANDARD.encode("assistant:secret"));
    let params = [("grant_type", GRANT), ("assertion", &*assertion)];
    app.token_as(Some(&basic), &params)
        .await
        .assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn a_public_client_is_refused() {
    let acme = Acme::new();
    let assertion = acme.assertion(&json!({"client_id": "program"}));
    let id = [("client_id", "program")];
    let answer = acme.send_as(None, &assertion, &id).await;
    acme.assert_refused(&answer, "unauthorized_client", "jwt_bearer_public_client");

    let acme = Acme::trusting(TrustedIssuer::danger_allow_public_clients);
    let assertion = acme.assertion(&json!({"client_id": "program"}));
    Tokens::from(&acme.send_as(None, &assertion, &id).await);
}

#[tokio::test]
async fn a_client_registers_for_the_grant() {
    let acme = Acme::new();
    let register = async |grants: Value| {
        let body = json!({"redirect_uris": [CALLBACK], "grant_types": grants});
        let answer = acme.app.register(body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
        let (id, secret) = (text("client_id"), text("client_secret"));
        let assertion = acme.assertion(&json!({ "client_id": id }));
        let more = [("client_id", &*id), ("client_secret", &secret)];
        acme.send_as(None, &assertion, &more).await
    };
    Tokens::from(&register(json!([GRANT])).await);
    Tokens::from(&register(json!(["authorization_code", GRANT])).await);
    let answer = register(json!(["authorization_code"])).await;
    acme.assert_refused(&answer, "unauthorized_client", "jwt_bearer_unregistered");
}

/// Knows everybody, and has the client that asks deleted meanwhile.
#[derive(Clone, Default)]
struct Deletes(Arc<OnceLock<(McpAuth, ClientId)>>);

impl Authenticator for Deletes {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(None)
    }

    async fn enterprise_subject(
        &self,
        asserted: &AssertedSubject,
    ) -> Result<Option<Subject>, AuthenticatorError> {
        if let Some((auth, client)) = self.0.get() {
            auth.delete_client(client).await?;
        }
        Ok(Some(Subject::new(asserted.subject())?))
    }
}

#[tokio::test]
async fn a_client_that_is_deleted_meanwhile_gets_nothing() {
    let deletes = Deletes::default();
    let acme = Acme::with(
        Key::ed25519(),
        |issuer| issuer,
        |builder| {
            builder
                .store(MemoryStore::new())
                .authenticator(deletes.clone())
        },
    );
    let body = json!({"redirect_uris": [CALLBACK], "grant_types": [GRANT]});
    let registered = acme.app.register(body).await.json();
    let text = |name: &str| registered[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let send = async || {
        let assertion = acme.assertion(&json!({ "client_id": id }));
        let more = [("client_id", &*id), ("client_secret", &secret)];
        acme.send_as(None, &assertion, &more).await
    };
    let grants = async || {
        let user = Subject::new("U-alice").unwrap();
        acme.app.auth.grants(&user).await.unwrap().len()
    };
    Tokens::from(&send().await);
    assert_eq!(grants().await, 1);

    let client = ClientId::new(&id).unwrap();
    assert!(deletes.0.set((acme.app.auth.clone(), client)).is_ok());
    send().await.assert_error(401, "invalid_client");
    assert_eq!(grants().await, 0);
}

#[cfg(feature = "cimd")]
#[tokio::test]
async fn a_client_that_describes_itself_comes_with_its_key() {
    let key = Key::p256();
    let (origin, _) = serve(key.jwks("one")).await;
    let id = format!("{origin}/client");
    let fetcher = tower_mcp_auth::Fetcher::builder()
        .danger_allow_loopback(true)
        .build()
        .unwrap();
    let acme = Acme::with(
        Key::ed25519(),
        |issuer| issuer,
        |builder| builder.store(MemoryStore::new()).fetcher(fetcher),
    );
    let assertion = acme.assertion(&json!({ "client_id": id }));
    // Its document also names `none`, which is not good enough here.
    let answer = acme.send_as(None, &assertion, &[("client_id", &id)]).await;
    acme.assert_refused(&answer, "unauthorized_client", "jwt_bearer_public_client");
    let proof = json!({"iss": id, "sub": id, "aud": ORIGIN, "jti": "1", "exp": NOW + 60});
    let proof = key.sign(json!({"kid": "one"}), &proof);
    let by_key = [
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", &proof),
    ];
    Tokens::from(&acme.send_as(None, &assertion, &by_key).await);
}

/// A web site with an issuer's document and keys, and with a client's; and how often its keys were
/// asked for. Its keys may be taken away.
async fn serve(keys: Value) -> (String, Arc<(Mutex<Option<Value>>, AtomicUsize)>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new((Mutex::new(Some(keys)), AtomicUsize::new(0)));
    let published = Arc::clone(&state);
    let page = |body: Value| get(async move || axum::Json(body));
    let issuer = json!({"issuer": origin, "jwks_uri": format!("{origin}/keys")});
    let client = json!({"client_id": format!("{origin}/client"), "client_name": "App",
        "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", GRANT],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        "jwks_uri": format!("{origin}/keys")});
    let app: Router = Router::new()
        .route("/.well-known/openid-configuration", page(issuer))
        .route("/client", page(client))
        .route(
            "/keys",
            get(async move || {
                published.1.fetch_add(1, Ordering::Relaxed);
                match published.0.lock().unwrap().clone() {
                    Some(keys) => axum::Json(keys).into_response(),
                    None => StatusCode::BAD_GATEWAY.into_response(),
                }
            }),
        );
    tokio::spawn(axum::serve(listener, app).into_future());
    (origin, state)
}

/// A deployment that trusts an issuer by name, and what that issuer signs with a key.
fn trusting(origin: &str) -> Acme {
    let issuer = TrustedIssuer::new(origin);
    Acme::with(
        Key::ed25519(),
        |_| issuer,
        |builder| builder.store(MemoryStore::new()),
    )
}

fn signed(origin: &str, key: &Key, kid: &str) -> String {
    let header = json!({"typ": "oauth-id-jag+jwt", "kid": kid});
    key.sign(header, &Acme::claims(&json!({ "iss": origin })))
}

#[tokio::test]
async fn an_issuers_keys_are_found_by_its_name_and_may_be_rotated() {
    let (old, new) = (Key::p256(), Key::p256());
    let (origin, site) = serve(old.jwks("old")).await;
    let acme = trusting(&origin);
    Tokens::from(&acme.send(&signed(&origin, &old, "old"), &[]).await);
    *site.0.lock().unwrap() = Some(new.jwks("new"));
    for _ in 0..3 {
        acme.refuses_token(signed(&origin, &new, "new"), "invalid_grant", "unknown_key")
            .await;
    }
    assert_eq!(
        site.1.load(Ordering::Relaxed),
        1,
        "a stranger's key names make us ask nobody"
    );
    acme.app.advance(10);
    Tokens::from(&acme.send(&signed(&origin, &new, "new"), &[]).await);
    acme.refuses_token(signed(&origin, &old, "old"), "invalid_grant", "unknown_key")
        .await;
}

#[tokio::test]
async fn while_an_issuer_cannot_be_asked_nothing_is_said_of_its_assertions() {
    let key = Key::p256();
    let (origin, site) = serve(key.jwks("one")).await;
    *site.0.lock().unwrap() = None;
    let acme = trusting(&origin);
    let assertion = signed(&origin, &key, "one");
    let answer = acme.send(&assertion, &[]).await;
    answer.assert_error(503, "temporarily_unavailable");
    assert!(!answer.header("retry-after").is_empty());
    *site.0.lock().unwrap() = Some(key.jwks("one"));
    acme.app.advance(10);
    Tokens::from(&acme.send(&assertion, &[]).await);
}

#[tokio::test]
async fn the_documents_say_so_and_only_then() {
    const DOCUMENT: &str = "/.well-known/oauth-authorization-server";
    let metadata = Acme::new().app.get(DOCUMENT).await.json();
    let grants = metadata["grant_types_supported"].as_array().unwrap();
    assert!(grants.contains(&json!(GRANT)), "{metadata}");
    assert_eq!(
        metadata["authorization_grant_profiles_supported"],
        json!(["urn:ietf:params:oauth:grant-profile:id-jag"])
    );

    let app = App::with(|builder| {
        let client = StaticClient::confidential("assistant", "secret", [CALLBACK]);
        builder.store(MemoryStore::new()).client(client)
    });
    let metadata = app.get(DOCUMENT).await.body;
    assert!(!metadata.contains(GRANT) && !metadata.contains("id-jag"));
    let basic = format!("Basic {}", STANDARD.encode("assistant:secret"));
    let params = [("grant_type", GRANT), ("assertion", "x.y.z")];
    app.token_as(Some(&basic), &params)
        .await
        .assert_error(400, "unsupported_grant_type");
    let body = json!({"redirect_uris": [CALLBACK], "grant_types": ["authorization_code", GRANT]});
    let registered = app.register(body).await.json();
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
}

#[test]
fn mistakes_are_found_before_a_request_is_served() {
    let build = |issuers: Vec<TrustedIssuer>| {
        let builder = builder().store(MemoryStore::new());
        let builder = issuers
            .into_iter()
            .fold(builder, McpAuthBuilder::trust_issuer);
        builder.build().map(drop).unwrap_err()
    };
    let keys = Key::ed25519().jwks("one");
    let acme = || TrustedIssuer::new(IDP);
    for own in [
        ORIGIN,
        "https://api.example.com/",
        "HTTPS://API.EXAMPLE.COM:443",
    ] {
        let error = build(vec![TrustedIssuer::new(own)]);
        assert!(matches!(error, ConfigError::OwnIssuer), "{own}: {error}");
    }
    let error = build(vec![acme(), acme()]);
    assert!(matches!(error, ConfigError::DuplicateIssuer(_)), "{error}");
    let error = build(vec![acme().algorithms(["none"])]);
    assert!(matches!(error, ConfigError::Algorithm(_)), "{error}");
    for jwks in [
        json!({"keys": []}),
        json!(7),
        json!({"keys": [{"kty": "oct", "k": "AAAA"}]}),
    ] {
        let error = build(vec![acme().jwks(jwks)]);
        assert!(matches!(error, ConfigError::Keys(_)), "{error}");
    }
    let error = build(vec![
        acme().jwks(keys).jwks_uri("https://acme.idp.example/keys"),
    ]);
    assert!(matches!(error, ConfigError::Keys(_)), "{error}");
    let error = build(vec![acme().jwks_uri("http://acme.idp.example/keys")]);
    assert!(matches!(error, ConfigError::Uri(_)), "{error}");
    let error = build(vec![TrustedIssuer::new("http://acme.idp.example")]);
    assert!(matches!(error, ConfigError::Uri(_)), "{error}");
    let error = build(vec![acme().clients(["no client\n"])]);
    assert!(matches!(error, ConfigError::Identifier(_)), "{error}");
}

#[test]
fn nothing_of_a_person_is_debugged() {
    let claims = Map::from_iter([("email".to_owned(), json!("alice@acme.example"))]);
    let asserted = AssertedSubject::new(IDP, "U-alice", claims);
    assert!(!format!("{asserted:?}").contains("alice@"));
}
