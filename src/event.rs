//! What happened, for logs and audit trails: one event a decision, never with a secret in it.

mod admissions;
mod log;
#[cfg(feature = "metrics")]
mod metrics;

use std::{
    error::Error,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use crate::{
    authorization_server::Endpoint,
    error::{AuthenticatorError, PolicyError},
    id::{ClientId, Subject},
    resource_server::{McpSession, Refusal, VerifierUnavailable},
    scope::Scopes,
    secret::GrantId,
    store::StoreError,
    uri::ResourceUri,
};

pub(crate) use self::admissions::Admissions;

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
    /// A response was still streaming when its token expired or was revoked, and was ended.
    #[non_exhaustive]
    StreamEnded {
        /// Where it came from.
        resource: &'a ResourceUri,
        /// Who it was for.
        session: &'a McpSession,
        /// What another request with that token is told.
        refusal: Refusal,
    },
    /// A client introduced itself.
    #[non_exhaustive]
    ClientRegistered {
        /// Its id.
        client_id: &'a ClientId,
        /// `false` when the same program had registered before and got its id back.
        is_new: bool,
    },
    /// A browser without a session was sent to sign in.
    #[non_exhaustive]
    SignInRequired {
        /// For which client.
        client_id: &'a ClientId,
    },
    /// A user allowed a client something.
    #[non_exhaustive]
    CodeIssued {
        /// The client.
        client_id: &'a ClientId,
        /// The user.
        subject: &'a Subject,
        /// What came of it.
        grant: GrantId,
        /// What was allowed.
        scopes: &'a Scopes,
        /// Whether an earlier consent answered, without a page.
        remembered: bool,
    },
    /// A user said no.
    #[non_exhaustive]
    ConsentDenied {
        /// The client.
        client_id: &'a ClientId,
        /// The user.
        subject: &'a Subject,
    },
    /// A device began to wait for its user.
    #[non_exhaustive]
    DeviceBegun {
        /// The client.
        client_id: &'a ClientId,
    },
    /// A user let a device in, which may come for its tokens now.
    #[non_exhaustive]
    DeviceApproved {
        /// The client.
        client_id: &'a ClientId,
        /// The user.
        subject: &'a Subject,
        /// What came of it.
        grant: GrantId,
        /// What was allowed.
        scopes: &'a Scopes,
    },
    /// A code was redeemed, a device came for its tokens, or a client for what it may have without
    /// asking its user: in its own name, or because an identity provider said so.
    #[non_exhaustive]
    TokensIssued {
        /// The client.
        client_id: &'a ClientId,
        /// The user.
        subject: &'a Subject,
        /// The grant.
        grant: GrantId,
        /// What the tokens allow.
        scopes: &'a Scopes,
        /// Whether a device came once more, within the grace window.
        repeated: bool,
    },
    /// A refresh token was used.
    #[non_exhaustive]
    Refreshed {
        /// The client.
        client_id: &'a ClientId,
        /// The user.
        subject: &'a Subject,
        /// The grant.
        grant: GrantId,
        /// Which generation was presented.
        generation: u32,
        /// Whether it had been used before, within the grace window.
        repeated: bool,
    },
    /// A code was redeemed a second time: its grant is revoked.
    #[non_exhaustive]
    CodeReplayed {
        /// The client.
        client_id: &'a ClientId,
        /// The grant.
        grant: GrantId,
    },
    /// A refresh token was used after its window, or after its successor: its grant is revoked.
    #[non_exhaustive]
    RefreshReplayed {
        /// The client.
        client_id: &'a ClientId,
        /// The grant.
        grant: GrantId,
    },
    /// A client sent its user to sign out, and the application ended the session.
    #[non_exhaustive]
    SignedOut {
        /// The client, where the request named one.
        client_id: Option<&'a ClientId>,
        /// The user.
        subject: &'a Subject,
        /// Whether the user was asked first, which the client's id_token can make unnecessary.
        asked: bool,
    },
    /// The application revoked something.
    #[non_exhaustive]
    Revoked {
        /// The grants.
        grants: &'a [GrantId],
        /// How many single access tokens.
        access_tokens: usize,
    },
    /// An endpoint turned a request away.
    #[non_exhaustive]
    EndpointRefused {
        /// Which one.
        endpoint: Endpoint,
        /// The client it named, whether or not there is one of that name. `None` also where it
        /// named none that could be: what it sent may be a secret in the wrong place.
        client_id: Option<&'a str>,
        /// The code that the client saw.
        error: &'a str,
        /// Why, more precisely: stable, for counting.
        reason: &'a str,
    },
    /// The store failed; the request was answered with 503.
    #[non_exhaustive]
    StoreFailed {
        /// What it said.
        error: &'a StoreError,
    },
    /// It is not heard what other machines revoke, for longer than
    /// [`Feed::stale_after`](crate::store::Feed::stale_after): from now on each request is decided
    /// as [`StaleFeed`](crate::StaleFeed) says.
    FeedBehind,
    /// Everything that other machines revoked is known here again.
    FeedCaughtUp,
    /// The application could not say who is signed in, or who somebody is.
    #[non_exhaustive]
    AuthenticatorFailed {
        /// What it said.
        error: &'a AuthenticatorError,
    },
    /// The application could not end a session; the user was told to try again.
    #[non_exhaustive]
    SignOutFailed {
        /// What it said.
        error: &'a AuthenticatorError,
    },
    /// The application could not decide on a registration.
    #[non_exhaustive]
    PolicyFailed {
        /// What it said.
        error: &'a PolicyError,
    },
    /// An endpoint could not look a token up, or not judge what an identity provider signed; the
    /// request was answered with 503.
    #[non_exhaustive]
    VerifierFailed {
        /// What failed.
        cause: &'a VerifierUnavailable,
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
/// Called while a request waits: hand anything slow to a task of your own. What an observer panics
/// with is lost, and nothing else.
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
        unharmed(|| {
            #[cfg(feature = "metrics")]
            metrics::count(event);
            match &self.0 {
                Some(observer) => observer.on_event(event),
                None => log::write(event),
            }
        });
    }

    /// For events too frequent to log: `event` is built only when somebody observes.
    pub(crate) fn observe<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if let Some(observer) = &self.0 {
            unharmed(|| observer.on_event(&event()));
        }
    }
}

/// What is told of is done: whoever hears of it may panic, as some loggers do where the disk is full,
/// and neither the answer nor whoever waits for the next event is lost with them.
fn unharmed(tell: impl FnOnce()) {
    // What the panic was about, the process' panic hook has said.
    let _ = panic::catch_unwind(AssertUnwindSafe(tell));
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
