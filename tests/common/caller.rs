//! A client and its user's browser over HTTP, on connections that are kept alive.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::common::{Answer, CALLBACK, authorize_params, form};

/// Where the server says it is. It listens elsewhere, and anew after each restart.
pub(crate) const PUBLIC: &str = "https://notes.example.com";
/// What it protects.
pub(crate) const RESOURCE: &str = "https://notes.example.com/mcp";

/// Nothing was acknowledged.
#[derive(Debug)]
pub(crate) enum Broken {
    /// No whole answer came.
    Connection(Box<dyn std::error::Error + Send + Sync>),
    /// 503: the store cannot say.
    Unavailable(Box<Answer>),
    /// A sign-in under way is gone, as it may be when a database crashed that does not sync those.
    Forgotten,
}

/// One client program and the browser of the user who sits at it.
pub(crate) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    /// Each request goes to the next one.
    origins: Vec<String>,
    sent: AtomicUsize,
    user: &'static str,
    cookies: BTreeMap<String, String>,
}

impl Caller {
    /// Talks to the server at `origin`; the user's password is the name.
    pub(crate) fn new(origin: &str, user: &'static str) -> Self {
        Self::over(&[origin.to_owned()], user)
    }

    /// Talks to several servers in turn, as if there was a load balancer in between.
    pub(crate) fn over(origins: &[String], user: &'static str) -> Self {
        Self {
            // What is sent again is for the test to say.
            client: Client::builder(TokioExecutor::new())
                .retry_canceled_requests(false)
                .build_http(),
            origins: origins.to_vec(),
            sent: AtomicUsize::new(0),
            user,
            cookies: BTreeMap::new(),
        }
    }

    fn address(&self, path: &str) -> String {
        let turn = self.sent.fetch_add(1, Ordering::Relaxed) % self.origins.len();
        format!("{}{path}", self.origins[turn])
    }

    /// Sends `body` of a content type, or nothing; with `authorization` where it is not empty.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        authorization: &str,
        content: (&str, String),
    ) -> Result<Answer, Broken> {
        let mut request = Request::builder().method(method).uri(self.address(path));
        if !authorization.is_empty() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if !content.0.is_empty() {
            request = request.header(header::CONTENT_TYPE, content.0);
        }
        self.finish(request.body(content.1.into()).unwrap()).await
    }

    async fn finish(&self, request: Request<Full<Bytes>>) -> Result<Answer, Broken> {
        let answered = self.client.request(request).await;
        let broken = |error| Broken::Connection(error);
        let (parts, body) = answered.map_err(|e| broken(e.into()))?.into_parts();
        let body = body.collect().await.map_err(|e| broken(e.into()))?;
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_bytes().to_vec()).unwrap(),
        };
        match answer.status {
            StatusCode::SERVICE_UNAVAILABLE => Err(Broken::Unavailable(answer.into())),
            _ => Ok(answer),
        }
    }

    /// Sends a form, as clients do.
    pub(crate) async fn call(&self, path: &str, pairs: &[(&str, &str)]) -> Result<Answer, Broken> {
        let content = ("application/x-www-form-urlencoded", form(pairs));
        self.send(Method::POST, path, "", content).await
    }

    /// Sends JSON, as clients do to register.
    pub(crate) async fn register(&self, metadata: &serde_json::Value) -> Result<Answer, Broken> {
        let content = ("application/json", metadata.to_string());
        self.send(Method::POST, "/oauth/register", "", content)
            .await
    }

    /// Registers a client without a secret, which may refresh.
    pub(crate) async fn public_client(&self, name: &str) -> String {
        let metadata = serde_json::json!({
            "client_name": name,
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        });
        let registered = self.register(&metadata).await.unwrap();
        registered.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// Calls `path` with a token.
    pub(crate) async fn bearing(
        &self,
        method: Method,
        path: &str,
        token: &str,
    ) -> Result<Answer, Broken> {
        let authorization = format!("Bearer {token}");
        self.send(method, path, &authorization, ("", String::new()))
            .await
    }

    /// What the browser does: with cookies, and a form where there is one to send.
    pub(crate) async fn browse(
        &mut self,
        url: &str,
        fields: Option<&BTreeMap<String, String>>,
    ) -> Result<Answer, Broken> {
        let path = url.strip_prefix(PUBLIC).unwrap_or(url);
        let cookies = self.cookies.iter().map(|(k, v)| format!("{k}={v}"));
        let mut request = Request::builder()
            .uri(self.address(path))
            .header(header::ACCEPT, "text/html,*/*;q=0.8")
            .header(header::COOKIE, cookies.collect::<Vec<_>>().join("; "));
        let mut body = String::new();
        if let Some(fields) = fields {
            let pairs: Vec<_> = fields.iter().map(|(k, v)| (&**k, &**v)).collect();
            body = form(&pairs);
            request = request
                .method(Method::POST)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header("sec-fetch-site", "same-origin")
                .header(header::ORIGIN, "null");
        }
        let answer = self.finish(request.body(body.into()).unwrap()).await?;
        for set in answer.headers.get_all(header::SET_COOKIE) {
            let line = set.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }

    /// As [`browse`](Self::browse), in the middle of a sign-in.
    async fn browse_on(
        &mut self,
        url: &str,
        fields: Option<&BTreeMap<String, String>>,
    ) -> Result<Answer, Broken> {
        let answer = self.browse(url, fields).await?;
        let is_gone = answer.body.contains("This sign-in was answered already");
        if answer.status == StatusCode::BAD_REQUEST && is_gone {
            return Err(Broken::Forgotten);
        }
        Ok(answer)
    }

    /// Asks for a code, with `more` as for [`authorize_params`].
    pub(crate) async fn authorize(
        &mut self,
        client: &str,
        more: &[(&str, &str)],
    ) -> Result<Answer, Broken> {
        let more = [&[("resource", RESOURCE)], more].concat();
        let url = format!("/oauth/authorize?{}", authorize_params(client, &more));
        self.browse(&url, None).await
    }

    /// Signs in and approves where asked to, and returns the code.
    pub(crate) async fn approve(&mut self, client: &str) -> Result<String, Broken> {
        let mut answer = self.authorize(client, &[]).await?;
        // Signing in, consent, and back: each is asked for once at most.
        for _ in 0..4 {
            let location = answer.header("location").to_owned();
            if location.starts_with(CALLBACK) {
                return Ok(answer.redirect(CALLBACK)["code"].clone());
            }
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
            let page = self.browse_on(&location, None).await?;
            if page.status == StatusCode::SEE_OTHER {
                answer = page;
                continue;
            }
            assert_eq!(page.status, StatusCode::OK, "{page:?}");
            let mut fields = page.fields();
            let target = if location.contains("/sign-in") {
                fields.insert("username".to_owned(), self.user.to_owned());
                fields.insert("password".to_owned(), self.user.to_owned());
                "/sign-in"
            } else {
                fields.insert("decision".to_owned(), "approve".to_owned());
                "/oauth/consent"
            };
            answer = self.browse_on(target, Some(&fields)).await?;
        }
        panic!("approval goes round in circles: {answer:?}");
    }
}
