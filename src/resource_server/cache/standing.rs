//! Whether what was admitted may go on.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::time::sleep;

use super::{key::Key, live::Live};
use crate::{
    clock::{Clock, Timestamp},
    resource_server::{McpSession, Refusal},
    secret::GrantId,
};

/// How long a wait for an expiry trusts the machine's timer: a clock that was set, or a machine that
/// slept, is noticed after this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How often the clock is asked in the last second, which it cannot divide.
const LAST_SECOND: Duration = Duration::from_millis(100);

/// A token that was good when somebody looked, and whether it still is. Cloning it copies one
/// pointer.
#[derive(Clone)]
pub(crate) struct Standing(Arc<Inner>);

struct Inner {
    session: McpSession,
    /// The token's expiry or the end of the cache's own time. The clock is asked on each hit; what
    /// moka does about time only frees memory.
    fresh_until: Timestamp,
    token: Arc<Live<Key>>,
    /// `None` where the issuer has no grants.
    grant: Option<Arc<Live<GrantId>>>,
    /// The number of the layer that last found the session good for it.
    suits: AtomicU64,
}

impl Standing {
    pub(super) fn new(
        session: McpSession,
        fresh_until: Timestamp,
        token: Arc<Live<Key>>,
        grant: Option<Arc<Live<GrantId>>>,
    ) -> Self {
        Self(Arc::new(Inner {
            session,
            fresh_until,
            token,
            grant,
            suits: AtomicU64::new(0),
        }))
    }

    /// What it is known by.
    pub(super) fn key(&self) -> &Key {
        &self.0.token.name
    }

    /// Who it speaks for.
    pub(crate) fn session(&self) -> &McpSession {
        &self.0.session
    }

    /// Whether `is_good` says that it is good for the layer of this number. A session never changes
    /// and neither does a layer, so the last one that it was good for need not look again.
    pub(crate) fn suits(&self, layer: u64, is_good: impl FnOnce() -> bool) -> bool {
        if self.0.suits.load(Ordering::Relaxed) == layer {
            return true;
        }
        let good = is_good();
        if good {
            self.0.suits.store(layer, Ordering::Relaxed);
        }
        good
    }

    /// Whether nobody has to be asked about it again.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.0.fresh_until
    }

    pub(super) fn is_live(&self) -> bool {
        self.is_held() && self.0.grant.as_ref().is_none_or(|grant| grant.is_on())
    }

    /// Whether the token itself was not given up; its grant may have been.
    pub(super) fn is_held(&self) -> bool {
        self.0.token.is_on()
    }

    /// Whether it was given up because nobody could say how it stands.
    pub(super) fn is_unsure(&self) -> bool {
        self.0.token.is_unsure()
    }

    /// Why it is good no longer.
    pub(crate) fn lost(&self, now: Timestamp) -> Option<Refusal> {
        if self.is_unsure() {
            Some(Refusal::VerifierUnavailable)
        } else if !self.is_live() {
            Some(Refusal::RevokedToken)
        } else if self.session().expires_at() <= now {
            Some(Refusal::ExpiredToken)
        } else {
            None
        }
    }

    /// Comes back when it may be good no longer. Needs tokio's time driver.
    pub(crate) async fn until_lost(&self, clock: &dyn Clock) {
        let grant = async {
            match &self.0.grant {
                Some(grant) => grant.ended().await,
                None => std::future::pending().await,
            }
        };
        let (mut token, mut grant) = (pin!(self.0.token.ended()), pin!(grant));
        let mut expired = pin!(expired(clock, self.session().expires_at()));
        std::future::poll_fn(|cx| {
            let over = token.as_mut().poll(cx).is_ready()
                || grant.as_mut().poll(cx).is_ready()
                || expired.as_mut().poll(cx).is_ready();
            if over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

async fn expired(clock: &dyn Clock, at: Timestamp) {
    loop {
        let left = clock.now().until(at);
        if left.is_zero() {
            return;
        }
        let whole = left.saturating_sub(Duration::from_secs(1));
        sleep(whole.clamp(LAST_SECOND, LOOK_AGAIN)).await;
    }
}
