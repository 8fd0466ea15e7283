//! See the [module docs](super).

use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    guard::{Guard, Protection},
    service::McpAuthService,
};
use crate::scope::{IntoScopes, Scopes};

/// Lets only requests with a good token through, and puts their [`McpSession`](super::McpSession)
/// in the request's extensions. See the [module docs](super).
///
/// A client that is refused while it still sends its message would find the connection broken before
/// it sees why, so the rest is read first: up to 16 MiB, for up to 30 s, until nothing
/// has come for 2 s. Needs tokio's time driver where a refused body does not come at once.
#[derive(Clone)]
#[must_use]
pub struct McpAuthLayer {
    pub(crate) protection: Arc<Protection>,
}

impl McpAuthLayer {
    pub(crate) fn new(guard: Arc<Guard>) -> Self {
        Self {
            protection: Arc::new(Protection::new(guard, Scopes::none(), false)),
        }
    }

    /// Lets only tokens through that have all of these scopes, besides those asked for before.
    ///
    /// # Panics
    ///
    /// When a scope is not well-formed: a mistake that shows when the server starts.
    #[track_caller]
    pub fn require(self, scopes: impl IntoScopes) -> Self {
        let required = self.protection.required.union(&usable(scopes));
        let guard = Arc::clone(&self.protection.guard);
        Self {
            protection: Arc::new(Protection::new(guard, required, false)),
        }
    }
}

/// The scopes, or a panic that names the caller's line.
#[track_caller]
pub(crate) fn usable(scopes: impl IntoScopes) -> Scopes {
    match scopes.into_scopes() {
        Ok(scopes) => scopes,
        #[expect(
            clippy::panic,
            reason = "a wiring mistake, documented where this is called"
        )]
        Err(error) => panic!("cannot require this scope: {error}"),
    }
}

impl<S> Layer<S> for McpAuthLayer {
    type Service = McpAuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        McpAuthService::new(inner, Arc::clone(&self.protection))
    }
}

impl fmt::Debug for McpAuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpAuthLayer")
            .field("resource", &self.protection.guard.resource)
            .field("required", &self.protection.required)
            .finish_non_exhaustive()
    }
}
