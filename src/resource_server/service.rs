//! See the [module docs](super).

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    body::ResponseBody,
    cors,
    future::ResponseFuture,
    guard::{Decision, Protection, Refused},
};

/// Lets only requests with a good token through to `S`. Made by
/// [`McpAuthLayer`](super::McpAuthLayer).
#[derive(Clone)]
pub struct McpAuthService<S> {
    inner: S,
    protection: Arc<Protection>,
}

impl<S> McpAuthService<S> {
    pub(crate) const fn new(inner: S, protection: Arc<Protection>) -> Self {
        Self { inner, protection }
    }

    /// The service behind.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind.
    #[must_use]
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for McpAuthService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpAuthService")
            .field("inner", &self.inner)
            .field("resource", &self.protection.guard.resource)
            .finish_non_exhaustive()
    }
}

impl<S, B, RB> Service<Request<B>> for McpAuthService<S>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    B: Body,
    RB: Body,
{
    type Response = Response<ResponseBody<RB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if cors::is_preflight(&request) {
            return ResponseFuture::answered(cors::preflight(request.headers()));
        }
        let refuse = |request: Request<B>, refused: &Refused| {
            let response = self.protection.refuse_to(request.headers(), refused);
            ResponseFuture::refusing(request, response)
        };
        match self.protection.decide(&request) {
            Decision::Admit(standing, marks) => {
                match self.protection.admit(standing, marks, &mut request) {
                    Ok(admitted) => ResponseFuture::inner(self.inner.call(request), admitted),
                    Err(refused) => refuse(request, &refused),
                }
            }
            Decision::Refuse(refused) => refuse(request, &refused),
            Decision::Ask(question) => {
                // The clone may not be ready: the service that was polled goes with the request.
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::asking(Arc::clone(&self.protection), question, ready, request)
            }
        }
    }
}
