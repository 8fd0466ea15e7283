//! The endpoints as tower services.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request::Parts};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::{
    AuthorizationServer, Endpoint, request,
    response::{self, EndpointResponse},
};
#[cfg(feature = "jwt")]
use crate::resource_server::proof::DPOP;
use crate::{grant::Refusal, store::BoxFuture};

const OF_ANOTHER_SITE: Refusal = Refusal::invalid_request(
    "cross_site_fetch",
    "no page of another site may ask for this by itself; send the browser here",
);

/// The future of an endpoint's answer.
pub struct EndpointFuture(BoxFuture<'static, EndpointResponse>);

impl fmt::Debug for EndpointFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointFuture")
    }
}

impl Future for EndpointFuture {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

/// One endpoint, for mounting it by itself. It does not look at the path.
#[derive(Clone, Debug)]
pub struct EndpointService {
    server: Arc<AuthorizationServer>,
    endpoint: Endpoint,
}

impl EndpointService {
    pub(crate) fn new(server: Arc<AuthorizationServer>, endpoint: Endpoint) -> Self {
        Self { server, endpoint }
    }
}

impl<B> Service<Request<B>> for EndpointService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = EndpointFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        answer(Arc::clone(&self.server), Some(self.endpoint), request)
    }
}

/// All endpoints: the last part of the path says which. Below whatever path this is mounted it
/// also answers `.well-known` requests, as clients of servers with a base path send them.
#[derive(Clone, Debug)]
pub struct Endpoints {
    server: Arc<AuthorizationServer>,
}

impl Endpoints {
    pub(crate) fn new(server: Arc<AuthorizationServer>) -> Self {
        Self { server }
    }

    /// Where they are mounted.
    pub(super) fn path(&self) -> &str {
        &self.server.endpoints_path
    }
}

impl<B> Service<Request<B>> for Endpoints
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = EndpointFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // A router may have stripped the prefix already (axum) or not (hyper).
        let path = request.uri().path();
        let path = path
            .strip_prefix(&*self.server.endpoints_path)
            .unwrap_or(path);
        if let Some(response) = self.server.documents.answer_below_base(path, &request) {
            return EndpointFuture(Box::pin(std::future::ready(response)));
        }
        let endpoint = Endpoint::ALL
            .iter()
            .copied()
            .find(|endpoint| path.trim_matches('/') == endpoint.segment());
        answer(Arc::clone(&self.server), endpoint, request)
    }
}

/// Answers one request. What changes anything runs in a task of its own: a client that hangs up
/// must not stop a commit half-way to the caches that depend on it.
pub(super) fn answer<B>(
    server: Arc<AuthorizationServer>,
    endpoint: Option<Endpoint>,
    request: Request<B>,
) -> EndpointFuture
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    EndpointFuture(Box::pin(async move {
        server.sweeper.start();
        let Some(endpoint) = endpoint.filter(|endpoint| server.serves(*endpoint)) else {
            let mut response = response::error(
                StatusCode::NOT_FOUND,
                "not_found",
                "there is no such endpoint",
            );
            response::cross_origin(&mut response);
            return response;
        };
        let (parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        #[cfg(feature = "jwt")]
        let proved = parts
            .headers
            .contains_key(DPOP)
            .then(|| Arc::clone(&server));
        let mut response = if !endpoint.allows(&parts.method) {
            response::method_not_allowed(endpoint.allow())
        } else if parts.method == Method::OPTIONS {
            response::preflight(endpoint.allow())
        } else {
            match request::collect(&parts, body).await {
                Ok(body) => run(server, endpoint, parts, body).await,
                Err(refused) => refused,
            }
        };
        if endpoint.is_cross_origin() {
            response::cross_origin(&mut response);
        }
        #[cfg(feature = "jwt")]
        if let Some(server) = proved {
            server.gate.offer_nonce(response.headers_mut());
        }
        if is_head {
            response::without_body(&mut response);
        }
        response
    }))
}

async fn run(
    server: Arc<AuthorizationServer>,
    endpoint: Endpoint,
    parts: Parts,
    body: Bytes,
) -> EndpointResponse {
    let task = tokio::spawn(async move { server.handle(endpoint, parts, body).await });
    // The task is never aborted: an error means that it panicked or the runtime is going away.
    task.await.unwrap_or_else(|_| response::unavailable())
}

impl AuthorizationServer {
    /// Whether there is such an endpoint here.
    fn serves(&self, endpoint: Endpoint) -> bool {
        match endpoint {
            #[cfg(feature = "jwt")]
            Endpoint::EndSession => self.sign_out.is_some(),
            _ => true,
        }
    }

    async fn handle(&self, endpoint: Endpoint, parts: Parts, body: Bytes) -> EndpointResponse {
        // Before it counts: a page must not use up what its visitor may do.
        if !endpoint.is_cross_origin() && request::is_of_another_sites_page(&parts) {
            return self.refuse_here(&parts, endpoint, None, &OF_ANOTHER_SITE);
        }
        // Whose page it is turns out later, where it costs something.
        if matches!(endpoint, Endpoint::Consent | Endpoint::Device)
            && let Some(limited) = self.limited(endpoint, None, &parts)
        {
            return self.limited_here(&parts, limited);
        }
        match endpoint {
            Endpoint::Authorize => self.authorize(&parts, &body).await,
            Endpoint::Consent if parts.method == Method::POST => {
                self.decide_consent(&parts, &body).await
            }
            Endpoint::Consent => self.resume(&parts).await,
            Endpoint::PushedAuthorization => self.push(&parts, &body).await,
            Endpoint::Token => self.token(&parts, &body).await,
            Endpoint::DeviceAuthorization => self.begin_device(&parts, &body).await,
            Endpoint::Device if parts.method == Method::POST => {
                self.answer_device_form(&parts, &body).await
            }
            Endpoint::Device => self.device_page(&parts).await,
            Endpoint::Revoke => self.revoke_token(&parts, &body).await,
            Endpoint::Introspect => self.introspect(&parts, &body).await,
            Endpoint::Register if parts.method != Method::POST => self.manage(&parts, &body).await,
            Endpoint::Register => self.register(&parts, &body).await,
            Endpoint::Userinfo => self.userinfo(&parts).await,
            #[cfg(feature = "jwt")]
            Endpoint::Jwks => self.jwks().await,
            #[cfg(feature = "jwt")]
            Endpoint::EndSession => self.end_session(&parts, &body).await,
            Endpoint::GetSession => self.get_session(&parts).await,
        }
    }
}
