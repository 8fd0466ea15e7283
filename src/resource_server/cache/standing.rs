//! Whether what was admitted may go on.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

use super::Key;
use crate::{
    clock::{Clock, Timestamp},
    resource_server::{McpSession, Refusal},
};

/// How long a wait for an expiry trusts the machine's timer: a clock that was set, or a machine that
/// slept, is noticed after this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How often the clock is asked in the last second, which it cannot divide.
const LAST_SECOND: Duration = Duration::from_millis(100);

/// Whether something may still be used; turned off once and never on again.
pub(super) struct Live {
    on: AtomicBool,
    over: Notify,
}

impl Live {
    fn new() -> Self {
        Self {
            on: AtomicBool::new(true),
            over: Notify::new(),
        }
    }

    pub(super) fn end(&self) {
        self.on.store(false, Ordering::Release);
        self.over.notify_waiters();
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    async fn ended(&self) {
        // Woken by whatever ends after this line, so that looking comes second.
        let over = self.over.notified();
        if self.is_on() {
            over.await;
        }
    }
}

/// What somebody still holds, by name: all who hold one name hold the same [`Live`].
pub(super) struct Register<K, S> {
    live: HashMap<K, Weak<Live>, S>,
    /// Size at which dead ones are looked for: twice what was alive the last time, so that the
    /// search costs each insertion a constant.
    high_water: usize,
}

impl<K, S: Default> Default for Register<K, S> {
    fn default() -> Self {
        Self {
            live: HashMap::default(),
            high_water: 0,
        }
    }
}

impl<K: Eq + Hash, S: BuildHasher> Register<K, S> {
    pub(super) fn hold(&mut self, name: K) -> Arc<Live> {
        if let Some(live) = self.live.get(&name).and_then(Weak::upgrade) {
            return live;
        }
        if self.live.len() >= self.high_water {
            self.live.retain(|_, live| live.strong_count() > 0);
            self.high_water = (self.live.len() * 2).max(64);
        }
        let live = Arc::new(Live::new());
        self.live.insert(name, Arc::downgrade(&live));
        live
    }

    /// Whether anybody held it.
    pub(super) fn end(&mut self, name: &K) -> bool {
        let Some(live) = self.live.remove(name).and_then(|live| live.upgrade()) else {
            return false;
        };
        live.end();
        true
    }

    /// What is held.
    pub(super) fn names(&self) -> impl Iterator<Item = &K> {
        let held = self.live.iter().filter(|(_, live)| live.strong_count() > 0);
        held.map(|(name, _)| name)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }
}

/// A token that was good when somebody looked, and whether it still is. Cloning it copies one
/// pointer.
#[derive(Clone)]
pub(crate) struct Standing(Arc<Inner>);

struct Inner {
    key: Key,
    session: McpSession,
    /// The token's expiry or the end of the cache's own time. The clock is asked on each hit; what
    /// moka does about time only frees memory.
    fresh_until: Timestamp,
    token: Arc<Live>,
    /// `None` where the issuer has no grants.
    grant: Option<Arc<Live>>,
    /// The number of the layer that last found the session good for it.
    suits: AtomicU64,
}

impl Standing {
    pub(super) fn new(
        key: Key,
        session: McpSession,
        fresh_until: Timestamp,
        token: Arc<Live>,
        grant: Option<Arc<Live>>,
    ) -> Self {
        Self(Arc::new(Inner {
            key,
            session,
            fresh_until,
            token,
            grant,
            suits: AtomicU64::new(0),
        }))
    }

    /// What it is known by.
    pub(super) fn key(&self) -> &Key {
        &self.0.key
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

    /// Why it is good no longer.
    pub(crate) fn lost(&self, now: Timestamp) -> Option<Refusal> {
        if !self.is_live() {
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
