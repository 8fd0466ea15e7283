//! One deployment in memory, and a person who signs in by a cookie.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    body::Body,
    routing::{any, any_service},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, Request, Response, header, request::Parts};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_auth::{
    AssertedSubject, Authenticator, AuthenticatorError, Fetcher, McpAuth, McpSession, MemoryStore,
    Operation, Resource, SignOut, SignedIn, StaticClient, Subject, TestClock, Timestamp,
    TrustedIssuer,
    store::{self, record::Record},
};

use crate::Signer;

/// The deployment's origin.
pub const ORIGIN: &str = "https://api.example.com";
/// Its protected resource whose operations take scopes.
pub const AUDIENCE: &str = "https://api.example.com/mcp";
/// Where its clients are answered.
pub const CALLBACK: &str = "https://client.example/cb";
/// A secret that must never come back.
pub const SECRET: &str = "the-secret-of-robot";
/// An identity provider that it trusts, with the key `Signer::new(1)`.
pub const IDP: &str = "https://idp.example";
/// When everything begins.
pub const START: u64 = 1_800_000_000;

struct Cookies;

impl Authenticator for Cookies {
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        let cookies = request.headers.get_all(header::COOKIE).iter();
        let names_alice = cookies.filter_map(|line| line.to_str().ok());
        Ok(names_alice
            .flat_map(|line| line.split("; "))
            .any(|cookie| cookie == "user=alice")
            .then(|| Subject::new("alice").map(SignedIn::new))
            .transpose()?)
    }

    async fn enterprise_subject(
        &self,
        asserted: &AssertedSubject,
    ) -> Result<Option<Subject>, AuthenticatorError> {
        Ok(Subject::new(asserted.subject()).ok())
    }
}

impl SignOut for Cookies {
    async fn sign_out(&self, _: &Parts) -> Result<HeaderMap, AuthenticatorError> {
        Ok(HeaderMap::new())
    }
}

/// Whether a body names an address for keys, which would be fetched.
pub fn names_keys(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|json| json.get("jwks_uri").is_some())
}

/// A deployment that begins anew.
pub struct World {
    router: Router,
    /// Its time.
    pub clock: TestClock,
}

/// A server behind the layer: it says who is there, and knows what must not have got this far.
async fn serve<B>(request: Request<B>) -> Result<Response<Body>, Infallible>
where
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let (parts, body) = request.into_parts();
    let session = parts.extensions.get::<McpSession>().unwrap();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    if let Ok(message) = serde_json::from_slice(&body.unwrap_or_default()) {
        let is_deletion = match &message {
            Value::Array(batch) => batch.iter().any(|one| is_deletion(&parts.headers, one)),
            one => is_deletion(&parts.headers, one),
        };
        let may_write = session.scopes().contains("notes:write");
        assert!(may_write || !is_deletion, "a tool without its scope");
    }
    let body = serde_json::to_vec(session).unwrap();
    Ok(Response::new(Body::from(body)))
}

/// Whether a server calls the tool that takes more. Of the version with headers, one refuses what
/// differs from them.
fn is_deletion(headers: &HeaderMap, message: &Value) -> bool {
    let called = message["method"] == "tools/call" && message["params"]["name"] == "delete";
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_modern = text("mcp-protocol-version") == Some("2026-07-28");
    let (Some(method), true) = (text("mcp-method"), is_modern) else {
        return called;
    };
    let name = text("mcp-name").unwrap_or_default();
    let coded = name.strip_prefix("=?base64?").and_then(|rest| {
        let bytes = STANDARD.decode(rest.strip_suffix("?=")?).ok()?;
        String::from_utf8(bytes).ok()
    });
    let agrees = method == "tools/call" && coded.as_deref().unwrap_or(name) == "delete";
    called && agrees
}

/// One runtime for all inputs.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    })
}

/// Signing keys, which take too long to be made for each input.
fn keys() -> Vec<Record> {
    static KEYS: OnceLock<Vec<Record>> = OnceLock::new();
    let made = KEYS.get_or_init(|| {
        let store = Arc::new(MemoryStore::new());
        let world = World::on(Arc::clone(&store));
        runtime().block_on(async {
            let request = Request::get("/oauth/jwks").body(Body::empty()).unwrap();
            world.send(request).await;
            let mut written = Vec::new();
            store::export(&*store, &mut written).await.unwrap();
            let lines = written.split(|byte| *byte == b'\n');
            lines
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect()
        })
    });
    made.clone()
}

impl World {
    /// A fresh one, with keys.
    pub fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let import = store::Store::import(&*store, keys());
        runtime().block_on(import).unwrap();
        Self::on(store)
    }

    fn on(store: Arc<MemoryStore>) -> Self {
        let clock = TestClock::at(Timestamp::from_secs(START));
        let builder = McpAuth::builder(ORIGIN)
            .login_page("/sign-in")
            .authenticator(Cookies)
            .sign_out(Cookies)
            .resource_with(
                Resource::new(AUDIENCE)
                    .scopes(["notes:read", "notes:write"])
                    .challenge(["notes:read"])
                    .implies("notes:write", ["notes:read"])
                    .operation(Operation::tool("delete"), ["notes:write"])
                    .jwt_access_tokens(),
            )
            .resource("https://api.example.com/files", ["files:read"])
            .client(StaticClient::public("web", [CALLBACK]))
            .client(StaticClient::public("native", ["http://127.0.0.1/cb"]))
            .client(StaticClient::confidential("robot", SECRET, [CALLBACK]))
            .registration_management(true)
            .trust_issuer(TrustedIssuer::new(IDP).jwks(Signer::new(1).jwks()))
            // Nothing here goes out to the network, and the fuzzer is one caller for hours.
            .trust_client_hosts(|_: &str| false)
            .fetcher(Fetcher::builder().build().unwrap())
            .danger_no_rate_limits()
            .clock(clock.clone())
            .store(store);
        let auth = builder.build().unwrap();
        let mcp = auth
            .protect_operations("/mcp")
            .unwrap()
            .layer(service_fn(serve));
        let files = auth.protect("/files").unwrap().layer(service_fn(serve));
        let router = Router::new()
            .route_service("/mcp", any_service(mcp))
            .route_service("/files", any_service(files))
            .nest_service(auth.endpoints_path(), auth.endpoints())
            .fallback(any(|| async { http::StatusCode::NOT_FOUND }))
            .layer(auth.fallback_endpoints())
            .layer(auth.well_known());
        Self { router, clock }
    }

    /// The answer to a request, whole.
    pub async fn send(&self, request: Request<Body>) -> Response<Vec<u8>> {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Response::from_parts(parts, body)
    }

    /// What the token endpoint says to `form`, with these headers besides.
    pub fn ask(&self, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Response<Vec<u8>> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = Request::post("/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        runtime().block_on(self.send(request))
    }

    /// A token that robot gets in its own name.
    pub fn robots_token(&self, headers: &[(&str, &str)]) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "robot"),
            ("client_secret", SECRET),
            ("scope", "notes:read"),
        ];
        let answer = self.ask(&form, headers);
        let answer: Value = serde_json::from_slice(answer.body()).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
