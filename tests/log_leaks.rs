//! No secret is written down: not in a log line at the most talkative level, and not by whoever
//! prints what the crate hands out. Every endpoint is driven through its successes and failures,
//! and with secrets in each place where they do not belong.
#![cfg(all(feature = "jwt", feature = "tracing", feature = "sled"))]

mod common;
#[path = "common/device.rs"]
mod devices;
#[path = "common/jws.rs"]
mod jws;
#[path = "common/proofs.rs"]
mod proofs;
#[path = "common/secrets.rs"]
mod secrets;

use std::{
    io,
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use http::{HeaderMap, Request, header, request::Parts};
use secrets::Secrets;
use serde_json::{Value, json};
use tower_mcp_auth::{
    AssertedSubject, Authenticator, AuthenticatorError, Clock, ConsentPage, DeviceCodePage,
    DeviceConfirmPage, ErrorPage, Event, McpAuthBuilder, MemoryStore, MessagePage, Pages,
    RateLimits, Resource, SignOut, SignOutPage, SignedIn, SledStore, StaticClient, Store, Subject,
    TrustedIssuer, store::record::KeyPurpose,
};

const IDP: &str = "https://acme.idp.example";
const SIGNED: &str = "https://api.example.com/signed";
const ASSERTION_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Chosen by an operator, so it has no form by which it could be told.
const CHOSEN: &str = "correct horse battery staple";

/// All that was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<String>>);

impl Written {
    fn add(&self, text: &str) {
        let mut all = self.0.lock().unwrap();
        all.push_str(text);
        all.push('\n');
    }

    fn all(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap();
        all.push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets Acme's people in, and everybody else as [`ByCookie`] does.
struct Everybody;

impl Authenticator for Everybody {
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        ByCookie.signed_in(request).await
    }

    async fn enterprise_subject(
        &self,
        asserted: &AssertedSubject,
    ) -> Result<Option<Subject>, AuthenticatorError> {
        match asserted.subject() {
            "outage" => Err("the directory is down".into()),
            "stranger" => Ok(None),
            known => Ok(Some(Subject::new(known)?)),
        }
    }
}

impl SignOut for Everybody {
    async fn sign_out(&self, request: &Parts) -> Result<HeaderMap, AuthenticatorError> {
        let cookies = request.headers[header::COOKIE].to_str()?;
        match cookies.contains("user=stuck") {
            true => Err("the session server is down".into()),
            false => Ok(HeaderMap::new()),
        }
    }
}

/// Pages of an application that prints what it is handed while it looks for a mistake.
struct Printing(Written);

impl Printing {
    fn page(&self, page: &dyn std::fmt::Debug, fields: &[(&'static str, &str)]) -> String {
        self.0.add(&format!("{page:?}"));
        let inputs = fields.iter().map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">")
        });
        inputs.collect()
    }
}

impl Pages for Printing {
    fn consent(&self, page: &ConsentPage<'_>) -> String {
        self.page(page, &page.fields)
    }

    fn error(&self, page: &ErrorPage<'_>) -> String {
        self.page(page, &[])
    }

    fn device_code(&self, page: &DeviceCodePage<'_>) -> String {
        self.page(page, &page.fields)
    }

    fn device_confirm(&self, page: &DeviceConfirmPage<'_>) -> String {
        self.page(page, &page.fields)
    }

    fn sign_out(&self, page: &SignOutPage<'_>) -> String {
        self.page(page, &page.fields)
    }

    fn message(&self, page: &MessagePage<'_>) -> String {
        self.page(page, &[])
    }
}

struct World {
    app: App,
    secrets: Secrets,
    idp: jws::Key,
}

impl World {
    fn new(change: impl FnOnce(McpAuthBuilder) -> McpAuthBuilder) -> Self {
        let idp = jws::Key::ed25519();
        let secrets = Secrets::default();
        secrets.note(CHOSEN);
        let mut app = App::with(|builder| {
            let builder = builder
                .authenticator(Everybody)
                .sign_out(Everybody)
                .client(StaticClient::confidential("robot", CHOSEN, [CALLBACK]))
                .trust_issuer(TrustedIssuer::new(IDP).jwks(idp.jwks("one")))
                .resource_with(Resource::new(SIGNED).scopes(["s"]).jwt_access_tokens())
                .initial_access_token("an initial access token of some length")
                .registration_management(true);
            change(builder)
        });
        app.tap = Some(secrets.tap());
        Self { app, secrets, idp }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request =
            Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.app.send(request.body(body.into()).unwrap()).await
    }

    async fn robot(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode(format!("robot:{CHOSEN}")));
        let headers = [("authorization", &*basic)];
        self.post(path, &headers, form(params)).await
    }

    async fn register(&self, method: &str, more: Value) -> Value {
        let mut metadata = json!({
            "redirect_uris": [CALLBACK], "token_endpoint_auth_method": method,
            "grant_types": ["authorization_code", "refresh_token", devices::GRANT],
        });
        for (name, value) in more.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        let request = Request::post("/oauth/register")
            .header("content-type", "application/json")
            .header(
                "authorization",
                "Bearer an initial access token of some length",
            )
            .body(metadata.to_string().into());
        let answer = self.app.send(request.unwrap()).await;
        assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
        answer.json()
    }
}

async fn browser_and_tokens(world: &World, client: &str) {
    let app = &world.app;
    let everything = [("scope", "openid notes:read"), ("nonce", "n")];
    let browser = Browser::of(app, "alice");
    let page = browser.consent_page(client, &everything).await;
    browser.decide(&page, "deny").await;
    let page = browser.consent_page(client, &everything).await;
    Browser::of(app, "bob").decide(&page, "approve").await;
    let code = browser.decide(&page, "approve").await.redirect(CALLBACK)["code"].clone();
    app.redeem("robot", &code).await;
    let first = app.redeem(client, &code).await.json();
    let text = |name: &str| first[name].as_str().unwrap().to_owned();
    app.call("/mcp", &text("access_token")).await;
    app.call("/files", &text("access_token")).await;
    app.call("/oauth/userinfo", &text("access_token")).await;
    app.call("/oauth/get-session", &text("access_token")).await;
    // Signing out: asked, refused, failing, done.
    let hint = text("id_token");
    for (user, more) in [
        ("alice", ""),
        ("bob", ""),
        ("stuck", ""),
        ("alice", "&client_id=x"),
    ] {
        let path = format!("/oauth/end-session?id_token_hint={hint}{more}");
        Browser::of(app, user).get(&path).await;
    }
    // Refreshed, repeated, replayed.
    let next = Tokens::from(&app.refresh(client, &text("refresh_token")).await);
    app.refresh(client, &text("refresh_token")).await;
    app.refresh(client, &next.refresh).await;
    app.refresh(client, &text("refresh_token"))
        .await
        .assert_error(400, "invalid_grant");
    app.call("/mcp", &next.access).await;
    app.redeem(client, &code).await;
    // A code that is replayed at once, and one that expires; a user nobody can tell.
    let code = browser.approve(client, &[]).await;
    Tokens::from(&app.redeem(client, &code).await);
    app.redeem(client, &code)
        .await
        .assert_error(400, "invalid_grant");
    let code = browser.approve(client, &[]).await;
    app.advance(600);
    app.redeem(client, &code)
        .await
        .assert_error(400, "invalid_grant");
    Browser::of(app, "outage").authorize(client, &[]).await;
    let signed = [("resource", SIGNED), ("scope", "s")];
    let tokens = app.tokens(client, "alice", &signed).await;
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        world.robot(path, &[("token", &tokens.access)]).await;
        world.robot(path, &[("token", &tokens.refresh)]).await;
    }
    let mine = [("client_id", client), ("token", &*tokens.refresh)];
    world.post("/oauth/revoke", &[], form(&mine)).await;
    app.call("/mcp", &tokens.access).await;
}

async fn devices_and_pushes(world: &World, client: &str) {
    let app = &world.app;
    for decision in ["approve", "deny"] {
        let device = devices::device_of(app, client).await;
        devices::poll(app, &device).await;
        devices::poll(app, &device).await;
        let browser = Browser::of(app, "alice");
        browser
            .get(&format!("{}?user_code={}", devices::PAGE, device.user_code))
            .await;
        let page = devices::type_code(&browser, &device.user_code).await;
        devices::decide(&Browser::of(app, "bob"), &page, decision).await;
        devices::decide(&browser, &page, decision).await;
        devices::poll(app, &device).await;
        devices::poll_as(app, "robot", &device.code).await;
    }
    for _ in 0..12 {
        devices::type_code(&Browser::of(app, "mallory"), "BBBB-BBBB").await;
    }
    let pushed = authorize_params(client, &[]);
    let name = world.post("/oauth/par", &[], pushed).await.json();
    let name = name["request_uri"].as_str().unwrap();
    for id in ["robot", client, client] {
        let query = form(&[("client_id", id), ("request_uri", name)]);
        Browser::of(app, "alice")
            .get(&format!("/oauth/authorize?{query}"))
            .await;
    }
}

async fn keys_and_assertions(world: &World, client: &str) {
    let (app, now) = (&world.app, world.app.clock.now().as_secs());
    let key = proofs::Key::es256();
    let url = format!("{ORIGIN}/oauth/token");
    let code = Browser::of(app, "alice").approve(client, &[]).await;
    let proof = key.proof("POST", &url, None, now).sign();
    let redeem = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", &*code),
        ("code_verifier", VERIFIER),
    ];
    let bound = world
        .post("/oauth/token", &[("dpop", &proof)], form(&redeem))
        .await
        .json();
    world
        .post("/oauth/token", &[("dpop", &proof)], form(&redeem))
        .await;
    let token = bound["access_token"].as_str().unwrap();
    let scheme = format!("DPoP {token}");
    let proof = key.proof("GET", MCP, Some(token), now).sign();
    for proof in [&*proof, &proof, token, "", &proof[1..]] {
        let request = Request::get("/mcp")
            .header("authorization", &scheme)
            .header("dpop", proof);
        app.send(request.body(Body::empty()).unwrap()).await;
    }
    app.call("/mcp", token).await;

    let key = jws::Key::p256();
    let registered = world
        .register("private_key_jwt", json!({"jwks": key.jwks("one")}))
        .await;
    let id = registered["client_id"].as_str().unwrap();
    for (jti, kid) in [("a", "one"), ("a", "one"), ("b", "two")] {
        let claims = json!({"iss": id, "sub": id, "aud": ORIGIN, "exp": now + 60, "jti": jti});
        let assertion = key.sign(json!({"kid": kid}), &claims);
        let params = [
            ("grant_type", "refresh_token"),
            ("client_assertion_type", CLIENT_ASSERTION),
            ("client_assertion", &*assertion),
        ];
        app.token(&params).await;
    }
    for (sub, jti) in [
        ("U-1", "1"),
        ("U-1", "1"),
        ("stranger", "2"),
        ("outage", "3"),
        ("", "4"),
    ] {
        let claims = json!({
            "iss": IDP, "sub": sub, "aud": ORIGIN, "client_id": "robot", "jti": jti,
            "iat": now, "exp": now + 60, "email": "somebody@acme.example",
        });
        let header = json!({"typ": "oauth-id-jag+jwt", "kid": "one"});
        let assertion = world.idp.sign(header, &claims);
        let params = [("grant_type", ASSERTION_GRANT), ("assertion", &*assertion)];
        world.robot("/oauth/token", &params).await;
    }
}

async fn registrations(world: &World) {
    let registered = world.register("client_secret_basic", json!({})).await;
    let text = |name: &str| registered[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let manage = text("registration_access_token");
    let path = format!("/oauth/register?client_id={id}");
    for (method, token, body) in [
        ("GET", &manage, ""),
        ("GET", &secret, ""),
        ("PUT", &manage, "{"),
        (
            "PUT",
            &manage,
            &*json!({"client_id": id, "client_secret": "wrong"}).to_string(),
        ),
        (
            "PUT",
            &manage,
            &*json!({"client_id": id, "client_secret": secret, "redirect_uris": [CALLBACK]})
                .to_string(),
        ),
        ("DELETE", &manage, ""),
        ("GET", &manage, ""),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(&path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        world
            .app
            .send(request.body(body.to_owned().into()).unwrap())
            .await;
    }
    world
        .robot("/oauth/token", &[("grant_type", "client_credentials")])
        .await;
}

/// Every secret that is known by now, in every place that it does not belong in.
async fn misplaced(world: &World) {
    const NAMES: &[&str] = &[
        "client_id",
        "redirect_uri",
        "scope",
        "resource",
        "state",
        "grant_type",
        "response_type",
        "code",
        "code_challenge",
        "token",
        "refresh_token",
        "device_code",
        "user_code",
        "prompt",
        "login_hint",
        "transaction",
        "decision",
        "request_uri",
        "id_token_hint",
        "max_age",
        "post_logout_redirect_uri",
        "client_assertion",
        "assertion",
        "dpop_jkt",
        "username",
    ];
    const PATHS: &[&str] = &[
        "authorize",
        "consent",
        "par",
        "token",
        "device-authorization",
        "device",
        "register",
        "revoke",
        "introspect",
        "userinfo",
        "end-session",
        "get-session",
        "jwks",
        "nowhere",
    ];
    for secret in world.secrets.samples() {
        for path in PATHS {
            let path = format!("/oauth/{path}");
            for name in NAMES {
                let query = form(&[(name, &secret), ("client_assertion_type", CLIENT_ASSERTION)]);
                world.app.get(&format!("{path}?{query}")).await;
                let headers = [("accept", "text/html"), ("sec-fetch-site", "same-origin")];
                world.post(&path, &headers, query).await;
            }
            let named = form(&[("client_id", "robot"), ("client_secret", &secret)]);
            world.post(&path, &[], named).await;
        }
        // A document's address with a secret in it. A short word of its path may be anything.
        let query = format!("https://127.0.0.1/c?key={secret}");
        let path = format!("https://127.0.0.1/{secret}");
        for address in [Some(query), Some(path).filter(|_| secret.len() >= 43)] {
            let address = address.unwrap_or_default();
            let named = form(&[("client_id", &*address), ("client_secret", "x")]);
            world.post("/oauth/token", &[], named.clone()).await;
            world.app.get(&format!("/oauth/authorize?{named}")).await;
        }
        let pair = STANDARD.encode(format!("{secret}:{secret}"));
        for credentials in [
            format!("Basic {pair}"),
            format!("Bearer {secret}"),
            format!("DPoP {secret}"),
            format!("Token {secret}"),
            secret.clone(),
            format!("Bearer {secret} {secret}"),
        ] {
            for path in [
                "/mcp",
                "/oauth/token",
                "/oauth/userinfo",
                "/oauth/register",
                "/unlayered",
            ] {
                let headers = [
                    ("authorization", &*credentials),
                    ("dpop", &secret),
                    ("origin", &secret),
                    ("mcp-session-id", &secret),
                    ("mcp-method", &secret),
                    ("cookie", &secret),
                ];
                world
                    .post(
                        path,
                        &headers,
                        format!("grant_type={secret}&client_id=robot"),
                    )
                    .await;
            }
        }
        let body = json!({"redirect_uris": [secret], "client_name": secret, "scope": secret,
            "grant_types": [secret], "token_endpoint_auth_method": secret});
        let request = Request::post("/oauth/register")
            .header("content-type", "application/json")
            .header(
                "authorization",
                "Bearer an initial access token of some length",
            );
        world
            .app
            .send(request.body(body.to_string().into()).unwrap())
            .await;
        let path = secret.replace(' ', "%20");
        world
            .app
            .get(&format!("/.well-known/oauth-authorization-server/{path}"))
            .await;
    }
}

async fn drive(world: &World, store: &impl Store) {
    let client = world.register("none", json!({})).await;
    let client = client["client_id"].as_str().unwrap();
    browser_and_tokens(world, client).await;
    devices_and_pushes(world, client).await;
    keys_and_assertions(world, client).await;
    registrations(world).await;
    misplaced(world).await;
    for purpose in [
        KeyPurpose::RefreshSuccessor,
        KeyPurpose::SessionBinding,
        KeyPurpose::SignRs256,
        KeyPurpose::SignEdDsa,
    ] {
        for record in store.keys(purpose).await.unwrap() {
            let key = serde_json::to_value(&record.key).unwrap();
            world.secrets.note(key.as_str().unwrap());
            world.secrets.note(&format!("{:?}", record.key.as_bytes()));
        }
    }
}

#[tokio::test]
async fn no_secret_is_in_a_log_line_an_event_or_what_is_printed() {
    let lines = Written::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(directory.path()).unwrap());
    let logging = World::new(|builder| {
        builder
            .store(Arc::clone(&store))
            .pages(Printing(lines.clone()))
            .danger_no_rate_limits()
    });
    drive(&logging, &store).await;

    let events = Written::default();
    let store = Arc::new(MemoryStore::new());
    let printed = events.clone();
    let observed = World::new(|builder| {
        builder
            .store(Arc::clone(&store))
            .pages(Printing(events.clone()))
            .danger_no_rate_limits()
            .observer(move |event: &Event<'_>| printed.add(&format!("{event:?}")))
    });
    drive(&observed, &store).await;

    // One caller that asks too often.
    let limited = World::new(|builder| {
        let one = RateLimits::default()
            .token(NonZeroU32::MIN)
            .authorize(NonZeroU32::MIN);
        builder.store(MemoryStore::new()).rate_limits(one)
    });
    for _ in 0..12 {
        for secret in logging.secrets.samples() {
            let named = form(&[("client_id", &*secret)]);
            limited.post("/oauth/token", &[], named.clone()).await;
            limited.app.get(&format!("/oauth/authorize?{named}")).await;
        }
    }

    for (written, expected) in [
        (
            &lines,
            [
                "access allowed",
                "refresh token replayed",
                "rate_limited",
                "code replayed",
            ],
        ),
        (
            &events,
            [
                "CodeIssued",
                "RefreshReplayed",
                "AuthenticatorFailed",
                "Admitted",
            ],
        ),
    ] {
        let all = written.all();
        for expected in expected {
            assert!(all.contains(expected), "{expected} did not happen");
        }
        for secrets in [&logging.secrets, &observed.secrets] {
            secrets.assert_none_in(&all);
        }
    }
}
