//! Endpoints as layers, for stacks without a router.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    AuthorizationServer, Endpoint,
    service::{EndpointFuture, Endpoints, answer},
};
use crate::{intercept::InterceptFuture, resource_server::ResponseBody};

/// Puts all endpoints in front of another service: their own paths are answered, everything else
/// passes. For stacks without a router, such as plain hyper.
#[derive(Clone, Debug)]
#[must_use]
pub struct EndpointsLayer {
    endpoints: Endpoints,
}

impl EndpointsLayer {
    pub(crate) fn new(endpoints: Endpoints) -> Self {
        Self { endpoints }
    }
}

impl<S> Layer<S> for EndpointsLayer {
    type Service = EndpointsLayerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        EndpointsLayerService {
            endpoints: self.endpoints.clone(),
            inner,
        }
    }
}

/// The service of an [`EndpointsLayer`].
#[derive(Clone, Debug)]
pub struct EndpointsLayerService<S> {
    endpoints: Endpoints,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for EndpointsLayerService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = InterceptFuture<EndpointFuture, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let below = request
            .uri()
            .path()
            .strip_prefix(self.endpoints.path())
            .is_some_and(|rest| rest.starts_with('/'));
        if below {
            InterceptFuture::own(self.endpoints.call(request))
        } else {
            InterceptFuture::inner(self.inner.call(request))
        }
    }
}

/// Answers `/authorize`, `/token` and `/register` at the origin, where clients of MCP 2025-03-26
/// look when they find no document, or do not look for one; everything else passes.
#[derive(Clone, Debug)]
#[must_use]
pub struct FallbackLayer {
    server: Arc<AuthorizationServer>,
}

impl FallbackLayer {
    pub(crate) fn new(server: Arc<AuthorizationServer>) -> Self {
        Self { server }
    }
}

impl<S> Layer<S> for FallbackLayer {
    type Service = FallbackService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService {
            server: Arc::clone(&self.server),
            inner,
        }
    }
}

/// Marks a request that came to an endpoint's address at the origin.
#[derive(Clone, Copy)]
pub(super) struct AtOrigin;

/// The service of a [`FallbackLayer`].
#[derive(Clone, Debug)]
pub struct FallbackService<S> {
    server: Arc<AuthorizationServer>,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for FallbackService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = InterceptFuture<EndpointFuture, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let endpoint = match request.uri().path() {
            "/authorize" => Endpoint::Authorize,
            "/token" => Endpoint::Token,
            "/register" => Endpoint::Register,
            _ => return InterceptFuture::inner(self.inner.call(request)),
        };
        let server = Arc::clone(&self.server);
        request.extensions_mut().insert(AtOrigin);
        InterceptFuture::own(answer(server, Some(endpoint), request))
    }
}
