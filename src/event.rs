//! What happened, for logs and audit trails: one event a decision, never with a secret in it.

use std::{error::Error, fmt, sync::Arc};

use crate::{
    resource_server::{McpSession, Refusal},
    uri::ResourceUri,
};

/// One decision. Holds names (clients, subjects, resources) and reasons, never a token, a code or a
/// client secret, so all of it may be written down.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request came with a good token. Only an [`Observer`] sees this: it is not logged.
    #[non_exhaustive]
    Admitted {
        /// Where it went.
        resource: &'a ResourceUri,
        /// Who it speaks for.
        session: &'a McpSession,
    },
    /// A request was turned away at a protected resource.
    #[non_exhaustive]
    Refused {
        /// Where it went.
        resource: &'a ResourceUri,
        /// Why.
        refusal: Refusal,
        /// Who it speaks for, where the token was known.
        session: Option<&'a McpSession>,
    },
    /// Nobody could say whether a token is good: the request was answered with 503.
    #[non_exhaustive]
    VerifierUnavailable {
        /// Where it went.
        resource: &'a ResourceUri,
        /// What failed.
        cause: &'a (dyn Error + 'static),
    },
}

/// Sees every [`Event`], in place of the log lines that the feature `tracing` writes otherwise.
///
/// Called while a request waits: hand anything slow to a task of your own.
///
/// ```
/// use tower_mcp_auth::{Event, Observer};
///
/// let observer = |event: &Event<'_>| {
///     if let Event::Refused { refusal, .. } = event {
///         println!("refused: {}", refusal.reason());
///     }
/// };
/// # fn check(_: impl Observer) {}
/// # check(observer);
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Something was decided.
    fn on_event(&self, event: &Event<'_>);
}

impl<F> Observer for F
where
    F: Fn(&Event<'_>) + Send + Sync + 'static,
{
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Where events go: to the observer, or to `tracing` when there is none.
#[derive(Clone, Default)]
pub(crate) struct Events(Option<Arc<dyn Observer>>);

impl Events {
    pub(crate) fn to(observer: Arc<dyn Observer>) -> Self {
        Self(Some(observer))
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        match &self.0 {
            Some(observer) => observer.on_event(event),
            None => log(event),
        }
    }

    /// For events too frequent to log: `event` is built only when somebody observes.
    pub(crate) fn observe<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if let Some(observer) = &self.0 {
            observer.on_event(&event());
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Events(observer)"
        } else {
            "Events(log)"
        })
    }
}

#[cfg(feature = "tracing")]
fn log(event: &Event<'_>) {
    use tracing::field::display;

    match *event {
        Event::Admitted { .. } => {}
        Event::Refused {
            resource,
            refusal,
            session,
        } => {
            let client = session.map(|session| display(session.client_id()));
            let subject = session.map(|session| display(session.subject()));
            if refusal.is_routine() {
                // The first request of every client, and stale tokens: no news to an operator.
                tracing::debug!(reason = refusal.reason(), %resource, client, subject, "refused");
            } else {
                tracing::info!(reason = refusal.reason(), %resource, client, subject, "refused");
            }
        }
        Event::VerifierUnavailable { resource, cause } => {
            tracing::error!(%resource, error = cause, "tokens cannot be verified");
        }
    }
}

#[cfg(not(feature = "tracing"))]
const fn log(_: &Event<'_>) {}
