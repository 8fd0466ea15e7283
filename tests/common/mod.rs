//! A whole deployment in one process, and a browser and a client that talk to it without sockets.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use http::{HeaderMap, Request, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tower::ServiceExt;
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, Digest, McpAuth, McpAuthBuilder, McpSession, MemoryStore,
    Resource, Scopes, SignedIn, Subject, TestClock, Timestamp,
};

pub const ORIGIN: &str = "https://api.example.com";
pub const MCP: &str = "https://api.example.com/mcp";
pub const CALLBACK: &str = "https://client.example/cb";
/// Of RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Signs in whoever the `user` cookie names.
pub struct ByCookie;

impl Authenticator for ByCookie {
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        let Some(user) = cookie(&request.headers, "user") else {
            return Ok(None);
        };
        if user == "outage" {
            return Err("the directory is down".into());
        }
        let mut signed_in = SignedIn::new(Subject::new(&user)?).display_name(user.to_uppercase());
        if let Some(session) = cookie(&request.headers, "session") {
            signed_in = signed_in.session(session);
        }
        Ok(Some(match cookie(&request.headers, "auth_time") {
            Some(at) => signed_in.auth_time(Timestamp::from_secs(at.parse()?)),
            None => signed_in,
        }))
    }

    async fn claims(
        &self,
        subject: &Subject,
        scopes: &Scopes,
    ) -> Result<Option<Map<String, Value>>, AuthenticatorError> {
        if subject.as_str() == "gone" {
            return Ok(None);
        }
        if subject.as_str() == "mute" {
            return Err("the directory is down".into());
        }
        let mut claims = Map::new();
        claims.insert("sub".into(), json!("somebody else"));
        if scopes.contains("email") {
            claims.insert("email".into(), json!(format!("{subject}@example.com")));
        }
        Ok(Some(claims))
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split("; "))
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// The usual deployment, to be changed before it is built.
pub fn builder() -> McpAuthBuilder {
    McpAuth::builder(ORIGIN)
        .login_page("/sign-in")
        .authenticator(ByCookie)
        .resource_with(
            Resource::new(MCP)
                .scopes(["notes:read", "notes:write"])
                .challenge(["notes:read"])
                .name("Notes"),
        )
        .resource("https://api.example.com/files", ["files:read"])
}

/// One deployment behind one router.
#[derive(Clone)]
pub struct App {
    pub auth: McpAuth,
    pub clock: TestClock,
    /// Sees every request with its body, and the answer to it.
    pub tap: Option<Tap>,
    router: Router,
}

pub type Tap = Arc<dyn Fn(&Parts, &str, &Answer) + Send + Sync>;

/// A response that was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        assert!(
            self.header("content-type").starts_with("application/json"),
            "{self:?}"
        );
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The parameters of the address it redirects to, after checking where that is.
    pub fn redirect(&self, to: &str) -> BTreeMap<String, String> {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{self:?}");
        let location = self.header("location");
        let (base, query) = location.split_once('?').unwrap_or((location, ""));
        assert_eq!(base, to, "{self:?}");
        form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    }

    /// Asserts an error of RFC 6749 §5.2.
    #[track_caller]
    pub fn assert_error(&self, status: u16, error: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let body = self.json();
        assert_eq!(body["error"], error, "{self:?}");
        assert!(body["error_description"].is_string(), "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
    }

    /// The hidden fields of the form it shows.
    pub fn fields(&self) -> BTreeMap<String, String> {
        self.body
            .split("<input type=\"hidden\" name=\"")
            .skip(1)
            .map(|input| {
                let (name, rest) = input.split_once("\" value=\"").unwrap();
                (name.to_owned(), rest.split_once('"').unwrap().0.to_owned())
            })
            .collect()
    }
}

impl App {
    pub fn new() -> Self {
        Self::with(|builder| builder.store(MemoryStore::new()))
    }

    pub fn with(change: impl FnOnce(McpAuthBuilder) -> McpAuthBuilder) -> Self {
        let clock = TestClock::at(Timestamp::from_secs(1_800_000_000));
        let auth = change(builder()).clock(clock.clone()).build().unwrap();
        let whoami = get(|session: McpSession| async move { session.subject().to_string() });
        let router = Router::new()
            .nest_service(auth.endpoints_path(), auth.endpoints())
            .route("/mcp", whoami.clone().layer(auth.protect("/mcp").unwrap()))
            .route("/files", whoami.layer(auth.protect("/files").unwrap()))
            .route(
                "/open",
                get(|session: Option<McpSession>| async move { session.is_some().to_string() }),
            )
            .route(
                "/unlayered",
                get(|session: McpSession| async move { session.subject().to_string() }),
            )
            .layer(auth.well_known());
        Self {
            auth,
            clock,
            tap: None,
            router,
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let Some(tap) = &self.tap else {
            return self.answer(request).await;
        };
        let (asked, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let answer = self
            .answer(Request::from_parts(asked.clone(), body.into()))
            .await;
        tap(&asked, &text, &answer);
        answer
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let response: Response<Body> = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn register(&self, metadata: Value) -> Answer {
        let request = Request::post("/oauth/register")
            .header(header::CONTENT_TYPE, "application/json")
            .body(metadata.to_string().into());
        self.send(request.unwrap()).await
    }

    /// A public client that answers at [`CALLBACK`].
    pub async fn public_client(&self) -> String {
        let answer = self
            .register(json!({
                "redirect_uris": [CALLBACK],
                "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code", "refresh_token"],
            }))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    pub async fn token(&self, params: &[(&str, &str)]) -> Answer {
        self.token_as(None, params).await
    }

    pub async fn token_as(&self, authorization: Option<&str>, params: &[(&str, &str)]) -> Answer {
        let mut request = Request::post("/oauth/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.send(request.body(form(params).into()).unwrap()).await
    }

    pub async fn redeem(&self, client: &str, code: &str) -> Answer {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ])
        .await
    }

    pub async fn refresh(&self, client: &str, token: &str) -> Answer {
        self.token(&[
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("refresh_token", token),
        ])
        .await
    }

    pub async fn call(&self, path: &str, token: &str) -> Answer {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Signs `user` in, approves, and redeems the code.
    pub async fn tokens(&self, client: &str, user: &str, more: &[(&str, &str)]) -> Tokens {
        let code = Browser::of(self, user).approve(client, more).await;
        Tokens::from(&self.redeem(client, &code).await)
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// What the token endpoint gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub scope: String,
    pub expires_in: u64,
}

impl Tokens {
    #[track_caller]
    pub fn from(answer: &Answer) -> Self {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let body = answer.json();
        assert_eq!(body["token_type"], "Bearer");
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
            scope: text("scope"),
            expires_in: body["expires_in"].as_u64().unwrap(),
        }
    }
}

pub fn form(params: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish()
}

/// A good authorization request of `client`, with `more` in place of what it usually says (an
/// empty value leaves the parameter out).
pub fn authorize_params(client: &str, more: &[(&str, &str)]) -> String {
    let usual = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "a state&more"),
        ("scope", "notes:read"),
        ("resource", MCP),
    ];
    let kept = usual
        .into_iter()
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let params: Vec<_> = kept
        .chain(more.iter().copied())
        .filter(|(_, value)| !value.is_empty())
        .collect();
    form(&params)
}

/// A browser: cookies, and whoever is signed in.
pub struct Browser<'a> {
    app: &'a App,
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
}

impl<'a> Browser<'a> {
    pub fn new(app: &'a App) -> Self {
        Self {
            app,
            cookies: Arc::default(),
        }
    }

    pub fn of(app: &'a App, user: &str) -> Self {
        let browser = Self::new(app);
        browser.sign_in(user);
        browser
    }

    pub fn sign_in(&self, user: &str) {
        self.set("user", user);
    }

    pub fn set(&self, name: &str, value: &str) {
        self.cookies
            .lock()
            .unwrap()
            .insert(name.to_owned(), value.to_owned());
    }

    /// What the browser keeps under a name, and its owner can look up.
    pub fn cookie(&self, name: &str) -> String {
        self.cookies.lock().unwrap()[name].clone()
    }

    pub fn forget(&self, name: &str) {
        self.cookies.lock().unwrap().remove(name);
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        let line = {
            let cookies = self.cookies.lock().unwrap();
            let pairs: Vec<_> = cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.join("; ")
        };
        request
            .headers_mut()
            .insert(header::COOKIE, line.parse().unwrap());
        request
            .headers_mut()
            .entry(header::ACCEPT)
            .or_insert_with(|| "text/html,*/*;q=0.8".parse().unwrap());
        let answer = self.app.send(request).await;
        for set in answer.headers.get_all(header::SET_COOKIE) {
            let line = set.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.forget(name);
            } else {
                self.set(name, value);
            }
        }
        answer
    }

    pub async fn get(&self, url: &str) -> Answer {
        let path = url.strip_prefix(ORIGIN).unwrap_or(url);
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn post(&self, path: &str, body: String) -> Answer {
        let path = path.strip_prefix(ORIGIN).unwrap_or(path);
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .header(header::ORIGIN, "null");
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn authorize(&self, client: &str, more: &[(&str, &str)]) -> Answer {
        self.get(&format!(
            "/oauth/authorize?{}",
            authorize_params(client, more)
        ))
        .await
    }

    /// Begins an authorization as a signed-in user and opens the consent page.
    pub async fn consent_page(&self, client: &str, more: &[(&str, &str)]) -> Answer {
        let begun = self.authorize(client, more).await;
        assert_eq!(begun.status, StatusCode::SEE_OTHER, "{begun:?}");
        let page = self.get(begun.header("location")).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        page
    }

    pub async fn decide(&self, page: &Answer, decision: &str) -> Answer {
        let mut fields = page.fields();
        fields.insert("decision".to_owned(), decision.to_owned());
        let pairs: Vec<_> = fields
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        self.post("/oauth/consent", form(&pairs)).await
    }

    /// Approves, unless an earlier consent answers, and returns the code.
    pub async fn approve(&self, client: &str, more: &[(&str, &str)]) -> String {
        let callback = more
            .iter()
            .find(|(name, uri)| *name == "redirect_uri" && !uri.is_empty())
            .map_or(CALLBACK, |(_, uri)| uri);
        let begun = self.authorize(client, more).await;
        if begun.header("location").starts_with(callback) {
            return begun.redirect(callback)["code"].clone();
        }
        let page = self.get(begun.header("location")).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let answer = self.decide(&page, "approve").await;
        answer.redirect(callback)["code"].clone()
    }
}

/// The digest under which a store keeps a token.
pub fn digest(token: &str) -> Digest {
    Digest::of(token)
}
