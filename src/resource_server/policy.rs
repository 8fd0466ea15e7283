//! Scopes for single operations of an MCP server.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Refusal, bearer,
    body::ResponseBody,
    cache::Standing,
    guard::{Protection, Refused},
    layer::{McpAuthLayer, usable},
    mcp_headers, message,
    operation::{Needs, Operation, Rules},
    policy_future::{OperationFuture, Upload},
    request_body::RequestBody,
    service::McpAuthService,
    session::McpSession,
};
use crate::scope::{IntoScopes, Scopes};

/// How long a body may be that has to be read unless set otherwise: what MCP servers take too.
const DEFAULT_BODY_LIMIT: usize = 4 * 1024 * 1024;
/// How long such a body may take unless set otherwise: as at the endpoints.
const DEFAULT_BODY_DEADLINE: Duration = Duration::from_secs(30);

/// A [`McpAuthLayer`] that also asks for scopes by operation. Made by
/// [`McpAuthLayer::require_for`].
///
/// What a request asks for is in its headers since MCP 2026-07-28, and the server behind refuses it
/// if its body says otherwise; the body then streams through untouched. For older protocol versions
/// the body is read, up to a limit and a deadline, and handed on. Requests without a JSON-RPC message (`GET`,
/// `DELETE`) need only what [`require`](Self::require) asks for.
///
/// A token that does not suffice is answered with 403 and every scope that the operation takes, so
/// that the client has to ask its user only once.
///
/// ```
/// # use tower_mcp_auth::{Operation, ProtectedResource};
/// # fn layer(resource: &ProtectedResource) -> impl Sized {
/// resource
///     .layer()
///     .require("notes:read")
///     .require_for(Operation::tool("delete_note"), "notes:write")
///     .require_for(Operation::method("resources/read"), ["files:read"])
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct McpOperationLayer {
    protection: Arc<Protection>,
    policy: Arc<Policy>,
}

#[derive(Clone)]
struct Policy {
    rules: Rules,
    body_limit: usize,
    body_deadline: Duration,
    trust_headers: bool,
}

impl McpAuthLayer {
    /// Lets only tokens with these scopes do `operation`. Operations that are not named need
    /// nothing more than [`require`](Self::require) asks for.
    ///
    /// # Panics
    ///
    /// When a scope is not well-formed: a mistake that shows when the server starts.
    #[track_caller]
    pub fn require_for(self, operation: Operation, scopes: impl IntoScopes) -> McpOperationLayer {
        self.by_operation().require_for(operation, scopes)
    }

    /// The same layer, ready for rules by operation.
    pub(crate) fn by_operation(self) -> McpOperationLayer {
        let Protection {
            guard, required, ..
        } = &*self.protection;
        McpOperationLayer {
            protection: Arc::new(Protection::new(Arc::clone(guard), required.clone(), true)),
            policy: Arc::new(Policy {
                rules: Rules::default(),
                body_limit: DEFAULT_BODY_LIMIT,
                body_deadline: DEFAULT_BODY_DEADLINE,
                trust_headers: true,
            }),
        }
    }
}

impl McpOperationLayer {
    /// As [`McpAuthLayer::require_for`]. Several rules for one operation add up.
    ///
    /// # Panics
    ///
    /// When a scope is not well-formed.
    #[track_caller]
    pub fn require_for(mut self, operation: Operation, scopes: impl IntoScopes) -> Self {
        let scopes = usable(scopes);
        Arc::make_mut(&mut self.policy)
            .rules
            .add(operation, &scopes);
        self
    }

    /// As [`McpAuthLayer::require`].
    ///
    /// # Panics
    ///
    /// When a scope is not well-formed.
    #[track_caller]
    pub fn require(mut self, scopes: impl IntoScopes) -> Self {
        let required = self.protection.required.union(&usable(scopes));
        let guard = Arc::clone(&self.protection.guard);
        self.protection = Arc::new(Protection::new(guard, required, true));
        self
    }

    /// How long a body may be that has to be read: 4 MiB unless set. A longer one is answered
    /// with 413.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.policy).body_limit = bytes;
        self
    }

    /// How long a body that has to be read may take to come, to its last byte: 30 s unless set. A
    /// slower one is answered with 408. A body that is passed on is not timed: that is the server's
    /// part. Either way the token has to be good until all of it is there. Needs tokio's time driver where a body does not come at once.
    pub fn body_deadline(mut self, deadline: Duration) -> Self {
        Arc::make_mut(&mut self.policy).body_deadline = deadline;
        self
    }

    /// Goes by the body whatever the headers say.
    ///
    /// For a server that claims MCP 2026-07-28 and does not compare `Mcp-Method` and `Mcp-Name`
    /// with the body, as it must.
    pub fn always_read_body(mut self) -> Self {
        Arc::make_mut(&mut self.policy).trust_headers = false;
        self
    }
}

impl<S> Layer<S> for McpOperationLayer {
    type Service = McpAuthService<McpOperationService<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        let service = McpOperationService {
            inner,
            gate: Gate {
                protection: Arc::clone(&self.protection),
                policy: Arc::clone(&self.policy),
            },
        };
        McpAuthService::new(service, Arc::clone(&self.protection))
    }
}

impl fmt::Debug for McpOperationLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpOperationLayer")
            .field("resource", &self.protection.guard.resource)
            .field("required", &self.protection.required)
            .field("rules", &self.policy.rules)
            .finish_non_exhaustive()
    }
}

/// Stands between [`McpAuthService`] and the MCP server and decides operation by operation. Made by
/// [`McpOperationLayer`].
#[derive(Clone)]
pub struct McpOperationService<S> {
    inner: S,
    gate: Gate,
}

impl<S> McpOperationService<S> {
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

impl<S: fmt::Debug> fmt::Debug for McpOperationService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpOperationService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, B, RB> Service<Request<B>> for McpOperationService<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<RB>> + Clone,
    B: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<RB>>;
    type Error = S::Error;
    type Future = OperationFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let standing = parts.extensions.remove::<Standing>();
        let too_long = body.size_hint().lower() > self.gate.policy.body_limit as u64;
        let decided = match self.gate.by_head(&parts, !body.is_end_stream()) {
            Ok(false) if too_long => Err(Refusal::MessageTooLarge.into()),
            decided => decided,
        };
        match decided {
            Ok(true) => {
                let upload = standing
                    .filter(|_| !body.is_end_stream())
                    .map(|standing| self.gate.upload(standing, &parts));
                let open = upload.as_ref().map(Upload::open);
                let body = RequestBody::passed_through(body, open);
                OperationFuture::inner(self.inner.call(Request::from_parts(parts, body)), upload)
            }
            Ok(false) => {
                // As in `McpAuthService::call`: the service that is ready goes with the request.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                OperationFuture::reading(ready, self.gate.clone(), parts, standing, body)
            }
            Err(denied) => {
                let response = self.gate.answer(&parts, &denied);
                OperationFuture::refusing(&parts, body, response)
            }
        }
    }
}

/// The decision, for service and future alike.
#[derive(Clone)]
pub(crate) struct Gate {
    protection: Arc<Protection>,
    policy: Arc<Policy>,
}

/// Whether requests of that method come with a message. Any that is not known might be taken for a
/// POST by a lenient server.
fn has_message(method: &Method) -> bool {
    !matches!(
        *method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
    )
}

/// Why an operation is refused.
pub(crate) enum Denied {
    /// The token allows too little: this is what it takes.
    Needs(Scopes),
    For(Refusal),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::For(refusal)
    }
}

impl Gate {
    pub(crate) fn body_limit(&self) -> usize {
        self.policy.body_limit
    }

    pub(crate) fn body_deadline(&self) -> Duration {
        self.policy.body_deadline
    }

    fn upload(&self, standing: Standing, parts: &Parts) -> Upload {
        let scheme = bearer::scheme(&parts.headers);
        Upload::new(standing, &self.protection, scheme)
    }

    /// Why a token that was good is good no longer.
    pub(crate) fn lost(&self, standing: &Standing) -> Option<Refusal> {
        standing.lost(self.protection.guard.clock.now())
    }

    /// Decides without the body; `false` where that takes the body.
    fn by_head(&self, parts: &Parts, has_body: bool) -> Result<bool, Denied> {
        let mut needs = self.policy.rules.needs();
        // A lenient server might read what comes with a GET as well.
        if (has_body || has_message(&parts.method))
            && !(self.policy.trust_headers && mcp_headers::read(&parts.headers, &mut needs)?)
        {
            return Ok(false);
        }
        self.check(&needs, parts).map(|()| true)
    }

    /// Decides by the body.
    pub(crate) fn by_body(&self, parts: &Parts, body: &[u8]) -> Result<(), Denied> {
        let mut needs = self.policy.rules.needs();
        if !body.is_empty() || has_message(&parts.method) {
            message::read(body, &mut needs)?;
        }
        self.check(&needs, parts)
    }

    fn check(&self, needs: &Needs<'_>, parts: &Parts) -> Result<(), Denied> {
        let Some(session) = parts.extensions.get::<McpSession>() else {
            // Somebody took this service out of its McpAuthService.
            return Err(Refusal::NoCredentials.into());
        };
        let required = &self.protection.required;
        let (granted, hierarchy) = (session.scopes(), &self.protection.guard.hierarchy);
        if hierarchy.suffices(granted, required) && needs.are_met_by(granted, hierarchy) {
            Ok(())
        } else {
            Err(Denied::Needs(needs.with(required)))
        }
    }

    pub(crate) fn answer(&self, parts: &Parts, denied: &Denied) -> Response<Bytes> {
        let session = parts.extensions.get::<McpSession>().cloned();
        let scheme = bearer::scheme(&parts.headers);
        match denied {
            Denied::For(refusal) => {
                let refusal = *refusal;
                self.protection
                    .refuse(&Refused { refusal, session }, scheme)
            }
            Denied::Needs(scopes) => {
                self.protection.guard.report(&Refused {
                    refusal: Refusal::InsufficientScope,
                    session,
                });
                self.protection.challenges.insufficient(scopes, scheme)
            }
        }
    }
}
