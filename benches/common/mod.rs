//! A deployment whose tokens come the usual way, without sockets.
#![allow(dead_code, reason = "every bench uses a part of it")]

use std::{convert::Infallible, future::Ready};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Service, ServiceExt};
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, Endpoint, McpAuth, McpAuthBuilder, Resource, SignedIn,
    StaticClient, Store, Subject, TokenCache,
};

pub type Call = Request<Full<Bytes>>;
pub type Answer = Response<Full<Bytes>>;

pub const ORIGIN: &str = "https://api.example.com";
pub const CALLBACK: &str = "https://client.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// `bench:secret`
pub const BASIC: &str = "Basic YmVuY2g6c2VjcmV0";

/// Everybody is alice.
struct Alice;

impl Authenticator for Alice {
    async fn signed_in(
        &self,
        _: &http::request::Parts,
    ) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(Some(SignedIn::new(Subject::new("alice")?)))
    }
}

pub fn auth(store: impl Store) -> McpAuth {
    auth_with_cache(store, TokenCache::new())
}

pub fn auth_with_cache(store: impl Store, cache: TokenCache) -> McpAuth {
    builder(store).cache(cache).build().unwrap()
}

pub fn builder(store: impl Store) -> McpAuthBuilder {
    McpAuth::builder(ORIGIN)
        .login_page("/sign-in")
        .authenticator(Alice)
        .resource_with(Resource::new("https://api.example.com/mcp").scopes(["notes:read"]))
        .client(StaticClient::confidential("bench", "secret", [CALLBACK]))
        .store(store)
        .danger_no_rate_limits()
}

/// What stands behind the layer, and alone for comparison.
pub fn echo<B>(_: Request<B>) -> Ready<Result<Answer, Infallible>> {
    std::future::ready(Ok(Response::new(Full::from(Bytes::from_static(b"ok")))))
}

pub fn call(token: &str) -> Call {
    let mut request = Request::new(Full::default());
    let value = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, value);
    request
}

/// A code that waits to be redeemed: consent is remembered, so no page stands between.
pub async fn code(auth: &McpAuth) -> String {
    let query = format!(
        "/oauth/authorize?response_type=code&client_id=bench&redirect_uri={CALLBACK}\
         &code_challenge={CHALLENGE}&code_challenge_method=S256&scope=notes:read%20offline_access"
    );
    let begun = get(auth, Endpoint::Authorize, &query, "").await;
    let location = location(&begun);
    if let Some(code) = param(&location, "code") {
        return code;
    }
    let cookie = begun.headers()[header::SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = get(auth, Endpoint::Consent, &location, &cookie).await;
    // Somebody else gave consent meanwhile.
    if page.headers().contains_key(header::LOCATION) {
        return param(&self::location(&page), "code").unwrap();
    }
    let page = page.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(page.to_vec()).unwrap();
    let field = |name: &str| {
        let marker = format!("name=\"{name}\" value=\"");
        page.split(&marker)
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    };
    let (transaction, token) = (field("transaction"), field("token"));
    let form = format!("transaction={transaction}&token={token}&decision=approve");
    let answer = post(auth, Endpoint::Consent, form, &[(header::COOKIE, &cookie)]).await;
    param(&self::location(&answer), "code").unwrap()
}

async fn get(auth: &McpAuth, endpoint: Endpoint, uri: &str, cookie: &str) -> Answer {
    let request = Request::get(uri)
        .header(header::COOKIE, cookie)
        .body(Full::<Bytes>::default());
    auth.endpoint(endpoint)
        .oneshot(request.unwrap())
        .await
        .unwrap()
}

pub async fn post(
    auth: &McpAuth,
    endpoint: Endpoint,
    form: String,
    headers: &[(header::HeaderName, &str)],
) -> Answer {
    let mut request =
        Request::post("/").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Full::<Bytes>::from(form)).unwrap();
    auth.endpoint(endpoint).call(request).await.unwrap()
}

fn location(answer: &Answer) -> String {
    answer.headers()[header::LOCATION]
        .to_str()
        .unwrap()
        .to_owned()
}

fn param(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let pair = query
        .split('&')
        .find(|pair| pair.starts_with(&format!("{name}=")))?;
    Some(pair[name.len() + 1..].to_owned())
}

pub async fn token(auth: &McpAuth, form: String) -> Value {
    let basic = (header::AUTHORIZATION, BASIC);
    let answer = post(auth, Endpoint::Token, form, &[basic]).await;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// The body of a request that redeems a code.
pub fn redemption(code: &str) -> String {
    format!("grant_type=authorization_code&code={code}&code_verifier={VERIFIER}")
}

pub async fn redeem(auth: &McpAuth, code: &str) -> Value {
    token(auth, redemption(code)).await
}

pub async fn access_token(auth: &McpAuth) -> String {
    let code = code(auth).await;
    redeem(auth, &code).await["access_token"]
        .as_str()
        .unwrap()
        .to_owned()
}
