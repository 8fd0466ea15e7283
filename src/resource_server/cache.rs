//! Verdicts remembered for a while, and forgotten at once when something is revoked.
//!
//! The rule behind all of it: after [`TokenCache::revoke`] has returned, no request that starts
//! later is served with what was revoked. Three things could break it, and each has its answer:
//!
//! * an entry that is still there: revoking turns off the grant's `live` flag, which every entry of
//!   that grant shares, and removes the entries of single tokens;
//! * a lookup that read the store before the revocation and finishes after it: it is still counted
//!   in `Shared::loads`, so the revocation is kept in `Shared::recent` until it has looked there,
//!   and both happen under one lock;
//! * a request that would join such a lookup: it takes only outcomes of lookups that started after
//!   it arrived.

mod key;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    hash::BuildHasherDefault,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use self::key::{Key, KeyHasher};
use super::{
    session::McpSession,
    verifier::{ErasedVerifier, PresentedToken, Verdict, VerifierUnavailable},
};
use crate::{
    clock::{Clock, Timestamp},
    secret::{Digest, GrantId},
    store::Revocation,
};

/// How long a verdict is believed unless set otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(5 * 60);
/// The longest time that can be set.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How many verdicts are kept unless set otherwise.
const DEFAULT_MAX_ENTRIES: u64 = 100_000;

/// Remembers which tokens are good, so that most requests need no store at all.
///
/// Only good tokens are kept: a flood of garbage evicts nobody. An entry lives until its token
/// expires or the cache's own time is over, whichever comes first. Clones share everything.
#[derive(Clone)]
pub struct TokenCache(Arc<Inner>);

struct Inner {
    entries: moka::sync::Cache<Key, Arc<Entry>, BuildHasherDefault<KeyHasher>>,
    time_to_live: Duration,
    shared: Mutex<Shared>,
}

/// Settings of a [`TokenCache`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct TokenCacheBuilder {
    time_to_live: Duration,
    max_entries: u64,
}

impl TokenCacheBuilder {
    /// How long a verdict is believed: 5 minutes unless set, at most a day, and never longer than
    /// the token lives. Zero asks the verifier each time.
    ///
    /// This bounds how late a revocation is noticed that nobody told this cache of.
    pub fn time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = time_to_live.min(MAX_TTL);
        self
    }

    /// How many verdicts are kept: 100,000 unless set.
    pub fn max_entries(mut self, max_entries: u64) -> Self {
        self.max_entries = max_entries;
        self
    }

    /// The cache.
    #[must_use]
    pub fn build(self) -> TokenCache {
        TokenCache(Arc::new(Inner {
            entries: moka::sync::Cache::builder()
                .max_capacity(self.max_entries)
                .time_to_live(self.time_to_live)
                .build_with_hasher(BuildHasherDefault::default()),
            time_to_live: self.time_to_live,
            shared: Mutex::default(),
        }))
    }
}

/// Whether something may still be used; turned off once and never on again.
struct Live(AtomicBool);

impl Live {
    const fn new() -> Self {
        Self(AtomicBool::new(true))
    }

    fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Entry {
    session: McpSession,
    /// The token's expiry or the end of the cache's own time. The clock is asked on each hit; what
    /// moka does about time only frees memory.
    fresh_until: Timestamp,
    token: Live,
    /// Shared by all entries of one grant; `None` where the issuer has no grants.
    grant: Option<Arc<Live>>,
}

impl Entry {
    fn is_live(&self) -> bool {
        self.token.is_on() && self.grant.as_ref().is_none_or(|grant| grant.is_on())
    }
}

#[derive(Default)]
struct Shared {
    /// Orders arrivals, lookups and revocations.
    now: u64,
    /// When the lookups that are under way started.
    loads: BTreeSet<u64>,
    /// Revocations that a lookup under way may have missed, oldest first.
    recent: VecDeque<(u64, Revoked)>,
    grants: HashMap<GrantId, Weak<Live>>,
    /// Size of `grants` at which dead ones are looked for: twice what was alive the last time, so
    /// that the search costs each insertion a constant.
    grants_high_water: usize,
    /// Tokens that are being looked up, and how many requests wait for each. The last to leave takes
    /// it off the list.
    flights: HashMap<Key, (Arc<Flight>, usize), BuildHasherDefault<KeyHasher>>,
}

#[derive(PartialEq, Eq)]
enum Revoked {
    Grant(GrantId),
    Token(Key),
}

impl Shared {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn live_grant(&mut self, id: GrantId) -> Arc<Live> {
        if let Some(grant) = self.grants.get(&id).and_then(Weak::upgrade) {
            return grant;
        }
        if self.grants.len() >= self.grants_high_water {
            self.grants.retain(|_, grant| grant.strong_count() > 0);
            self.grants_high_water = (self.grants.len() * 2).max(64);
        }
        let grant = Arc::new(Live::new());
        self.grants.insert(id, Arc::downgrade(&grant));
        grant
    }
}

/// One token that is being looked up. Who holds the lock does it; the others wait for the lock, so
/// a request that goes away in the middle leaves nothing behind.
#[derive(Default)]
struct Flight(tokio::sync::Mutex<Option<Landed>>);

struct Landed {
    started: u64,
    outcome: Outcome,
}

#[derive(Clone)]
enum Outcome {
    Good(Arc<Entry>),
    Bad(Verdict),
    Unavailable(VerifierUnavailable),
}

impl Outcome {
    fn verdict(self) -> Result<Verdict, VerifierUnavailable> {
        match self {
            Self::Good(entry) if entry.is_live() => Ok(Verdict::Verified(entry.session.clone())),
            Self::Good(_) => Ok(Verdict::Revoked),
            Self::Bad(verdict) => Ok(verdict),
            Self::Unavailable(error) => Err(error),
        }
    }
}

impl TokenCache {
    /// A cache with the usual settings.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts with the usual settings.
    pub const fn builder() -> TokenCacheBuilder {
        TokenCacheBuilder {
            time_to_live: DEFAULT_TTL,
            max_entries: DEFAULT_MAX_ENTRIES,
        }
    }

    /// Forgets what was revoked: when this returns, no request that starts later is served with it,
    /// and no lookup that is under way will be.
    ///
    /// Call it after the revocation is committed where the verifier looks, and before you tell
    /// anybody that it is done.
    pub fn revoke(&self, revocation: &Revocation) {
        let mut shared = self.lock();
        let now = shared.tick();
        let someone_looks = !shared.loads.is_empty();
        for id in &revocation.grants {
            if let Some(grant) = shared.grants.remove(id).and_then(|grant| grant.upgrade()) {
                grant.end();
            }
            if someone_looks {
                shared.recent.push_back((now, Revoked::Grant(*id)));
            }
        }
        for digest in &revocation.access_tokens {
            let key = Key::of(*digest);
            if let Some(entry) = self.0.entries.remove(&key) {
                entry.token.end();
            }
            if someone_looks {
                shared.recent.push_back((now, Revoked::Token(key)));
            }
        }
    }

    /// What is known of a token without asking anybody.
    pub(crate) fn get(&self, digest: Digest, now: Timestamp) -> Option<Verdict> {
        let entry = self.0.entries.get(&Key::of(digest))?;
        if !entry.is_live() {
            // A grant never comes back to life, so this needs no second opinion.
            Some(Verdict::Revoked)
        } else if now < entry.fresh_until {
            Some(Verdict::Verified(entry.session.clone()))
        } else {
            (entry.session.expires_at() <= now).then_some(Verdict::Expired)
        }
    }

    /// Asks the verifier, once for all requests that wait for the same token.
    pub(crate) async fn load(
        &self,
        verifier: &dyn ErasedVerifier,
        token: &PresentedToken,
        clock: &dyn Clock,
    ) -> Result<Verdict, VerifierUnavailable> {
        let seat = self.board(Key::of(token.digest()));
        let mut landed = seat.flight.0.lock().await;
        if let Some(landed) = &*landed
            && landed.started > seat.arrived
        {
            return landed.outcome.clone().verdict();
        }
        let load = self.start();
        let started_at = clock.now();
        let outcome = match verifier.verify(token).await {
            Ok(Verdict::Verified(session)) => self.land(&load, seat.key, session, started_at),
            Ok(verdict) => Outcome::Bad(verdict),
            Err(error) => Outcome::Unavailable(error),
        };
        *landed = Some(Landed {
            started: load.started,
            outcome: outcome.clone(),
        });
        outcome.verdict()
    }

    /// Keeps a good verdict, unless it is one no longer.
    fn land(
        &self,
        load: &Load<'_>,
        key: Key,
        session: McpSession,
        started_at: Timestamp,
    ) -> Outcome {
        if session.expires_at() <= started_at {
            return Outcome::Bad(Verdict::Expired);
        }
        let mut shared = self.lock();
        let revoked = shared.recent.iter().any(|(when, what)| {
            *when > load.started
                && match what {
                    Revoked::Grant(id) => session.grant_id() == Some(*id),
                    Revoked::Token(token) => *token == key,
                }
        });
        if revoked {
            return Outcome::Bad(Verdict::Revoked);
        }
        let entry = Arc::new(Entry {
            fresh_until: session
                .expires_at()
                .min(started_at.plus(self.0.time_to_live)),
            token: Live::new(),
            grant: session.grant_id().map(|id| shared.live_grant(id)),
            session,
        });
        // Under the lock, so that a revocation comes either before (and was seen just now) or
        // after (and finds the entry).
        self.0.entries.insert(key, Arc::clone(&entry));
        Outcome::Good(entry)
    }

    /// Joins those who wait for a token.
    fn board(&self, key: Key) -> Seat<'_> {
        let mut shared = self.lock();
        let arrived = shared.tick();
        let (flight, waiting) = shared.flights.entry(key).or_default();
        *waiting += 1;
        Seat {
            cache: self,
            key,
            arrived,
            flight: Arc::clone(flight),
        }
    }

    /// Counts a lookup as under way.
    fn start(&self) -> Load<'_> {
        let mut shared = self.lock();
        let started = shared.tick();
        shared.loads.insert(started);
        Load {
            cache: self,
            started,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing that can panic leaves `Shared` half changed.
        self.0.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("entries", &self.0.entries.entry_count())
            .field("time_to_live", &self.0.time_to_live)
            .finish_non_exhaustive()
    }
}

/// A request that waits for a lookup.
struct Seat<'a> {
    cache: &'a TokenCache,
    key: Key,
    arrived: u64,
    flight: Arc<Flight>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut shared = self.cache.lock();
        if let Some((_, waiting)) = shared.flights.get_mut(&self.key) {
            *waiting -= 1;
            if *waiting == 0 {
                shared.flights.remove(&self.key);
            }
        }
    }
}

/// A lookup under way.
struct Load<'a> {
    cache: &'a TokenCache,
    started: u64,
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        let mut shared = self.cache.lock();
        shared.loads.remove(&self.started);
        let oldest = shared.loads.first().copied().unwrap_or(u64::MAX);
        while shared
            .recent
            .front()
            .is_some_and(|(when, _)| *when < oldest)
        {
            shared.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
