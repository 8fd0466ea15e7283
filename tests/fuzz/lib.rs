//! What the fuzz targets share: one deployment in memory, and a person who signs in by a cookie.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is what the fuzzer looks for, and here it would be a mistake of the target"
)]

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    body::Body,
    routing::{any, any_service},
};
use http::{Request, Response, header, request::Parts};
use http_body_util::BodyExt;
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_auth::{
    AssertedSubject, Authenticator, AuthenticatorError, Fetcher, McpAuth, McpSession, MemoryStore,
    Operation, Resource, SignOut, SignedIn, StaticClient, Subject, TestClock, Timestamp,
    store::{self, record::Record},
};

/// The deployment's origin.
pub const ORIGIN: &str = "https://api.example.com";
/// Where its clients are answered.
pub const CALLBACK: &str = "https://client.example/cb";
/// A secret that must never come back.
pub const SECRET: &str = "the-secret-of-robot";
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
    async fn sign_out(&self, _: &Parts) -> Result<http::HeaderMap, AuthenticatorError> {
        Ok(http::HeaderMap::new())
    }
}

/// A deployment that begins anew.
pub struct World {
    router: Router,
    /// Its time.
    pub clock: TestClock,
}

async fn whoami<B>(request: Request<B>) -> Result<Response<Body>, Infallible> {
    let session = request.extensions().get::<McpSession>().unwrap();
    let body = serde_json::to_vec(session).unwrap();
    Ok(Response::new(Body::from(body)))
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
                Resource::new("https://api.example.com/mcp")
                    .scopes(["notes:read", "notes:write"])
                    .implies("notes:write", ["notes:read"])
                    .operation(Operation::tool("delete"), ["notes:write"])
                    .jwt_access_tokens(),
            )
            .resource("https://api.example.com/files", ["files:read"])
            .client(StaticClient::public("web", [CALLBACK]))
            .client(StaticClient::public("native", ["http://127.0.0.1/cb"]))
            .client(StaticClient::confidential("robot", SECRET, [CALLBACK]))
            .registration_management(true)
            // Nothing here goes out to the network.
            .trust_client_hosts(|_: &str| false)
            .fetcher(Fetcher::builder().build().unwrap())
            .clock(clock.clone())
            .store(store);
        let auth = builder.build().unwrap();
        let mcp = auth
            .protect_operations("/mcp")
            .unwrap()
            .layer(service_fn(whoami));
        let files = auth.protect("/files").unwrap().layer(service_fn(whoami));
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
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// What holds for every answer to anybody.
pub fn judge(answer: &Response<Vec<u8>>) {
    let status = answer.status().as_u16();
    assert!(status < 500, "{status}");
    assert!(answer.body().len() < 256 * 1024, "an answer has an end");
    let text = String::from_utf8_lossy(answer.body());
    assert!(!text.contains(SECRET), "a secret came back");
    for value in answer.headers().values() {
        assert!(!String::from_utf8_lossy(value.as_bytes()).contains(SECRET));
    }
}
