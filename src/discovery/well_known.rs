//! Every discovery document of a deployment as one layer.

use std::{
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{Documents, MetadataFuture, documents::Paths};
use crate::{intercept::InterceptFuture, resource_server::ResponseBody};

/// Answers every discovery path that a client may try, and a JSON 404 for the rest of that
/// namespace; everything else reaches the inner service untouched.
///
/// Put it outside of everything else, routers included: these documents are public.
#[derive(Clone, Debug)]
#[must_use]
pub struct WellKnownLayer {
    paths: Arc<Paths>,
}

impl WellKnownLayer {
    pub(crate) fn new(documents: &Documents) -> Self {
        Self::of(documents.paths())
    }

    pub(super) const fn of(paths: Arc<Paths>) -> Self {
        Self { paths }
    }
}

impl<S> Layer<S> for WellKnownLayer {
    type Service = WellKnownService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WellKnownService {
            paths: Arc::clone(&self.paths),
            inner,
        }
    }
}

/// The service of a [`WellKnownLayer`].
#[derive(Clone, Debug)]
pub struct WellKnownService<S> {
    paths: Arc<Paths>,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for WellKnownService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = InterceptFuture<MetadataFuture, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.paths.answer(&request) {
            Some(response) => InterceptFuture::own(ready(Ok(response))),
            None => InterceptFuture::inner(self.inner.call(request)),
        }
    }
}
