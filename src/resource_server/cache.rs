//! Verdicts remembered for a while, and forgotten at once when something is revoked.
//!
//! The rule behind all of it: after [`TokenCache::revoke`] has returned, no request that starts
//! later is served with what was revoked. Three things could break it, and each has its answer:
//!
//! * an entry that is still there: revoking turns off the `Live` of the grant or the token, which
//!   every entry of it shares, and removes the entries of single tokens;
//! * a lookup that read the store before the revocation and finishes after it: it is still counted
//!   in `Shared::loads`, so the revocation is kept in `Shared::recent` until it has looked there,
//!   and both happen under one lock;
//! * a request that would join such a lookup: it takes only outcomes of lookups that started after
//!   it arrived.
//!
//! Whatever was admitted and is still under way shares the same `Live`: an open response stream
//! hears of its end, whether or not the token's entry was evicted meanwhile.

mod follow;
mod front;
mod key;
mod live;
mod pool;
mod shelves;
mod standing;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

pub use self::follow::StaleFeed;
pub(crate) use self::standing::Standing;
use self::{
    follow::Following,
    front::Front,
    key::Key,
    live::{End, Register},
    pool::Pool,
    shelves::Shelves,
};
use super::{
    Refusal,
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
    front: Front,
    entries: Shelves,
    time_to_live: Duration,
    shared: Mutex<Shared>,
    /// Set where several machines share the store behind this.
    following: OnceLock<Following>,
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
            front: Front::new(self.max_entries),
            entries: Shelves::new(self.max_entries, self.time_to_live),
            time_to_live: self.time_to_live,
            shared: Mutex::default(),
            following: OnceLock::new(),
        }))
    }
}

/// What is known of a token: that it is good, or why not.
pub(crate) type Found = Result<Standing, Refusal>;

#[derive(Default)]
struct Shared {
    /// Orders arrivals, lookups and revocations.
    now: u64,
    /// When the lookups that are under way started.
    loads: BTreeSet<u64>,
    /// Revocations that a lookup under way may have missed, oldest first.
    recent: VecDeque<(u64, Revoked)>,
    /// What is in the cache or under way.
    grants: Register<GrantId>,
    tokens: Register<Key>,
    /// Tokens that are being looked up, and how many requests wait for each. The last to leave takes
    /// it off the list.
    flights: HashMap<Key, (Arc<Flight>, usize)>,
    pool: Pool,
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
}

/// One token that is being looked up. Who holds the lock does it; the others wait for the lock, so
/// a request that goes away in the middle leaves nothing behind.
#[derive(Default)]
struct Flight(tokio::sync::Mutex<Option<Landed>>);

struct Landed {
    /// Who arrived before may have it, too.
    before: u64,
    outcome: Outcome,
}

#[derive(Clone)]
enum Outcome {
    Good(Standing),
    Bad(Refusal),
    Unavailable(VerifierUnavailable),
}

impl Outcome {
    fn found(self) -> Result<Found, VerifierUnavailable> {
        match self {
            Self::Good(standing) if standing.is_live() => Ok(Ok(standing)),
            Self::Good(standing) if standing.is_unsure() => Err(unheard()),
            Self::Good(_) => Ok(Err(Refusal::RevokedToken)),
            Self::Bad(refusal) => Ok(Err(refusal)),
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
    /// no lookup that is under way will be, and responses that are still streaming end.
    ///
    /// Call it after the revocation is committed where the verifier looks, and before you tell
    /// anybody that it is done.
    pub fn revoke(&self, revocation: &Revocation) {
        let mut shared = self.lock();
        let now = shared.tick();
        let someone_looks = !shared.loads.is_empty();
        for id in &revocation.grants {
            shared.grants.end(*id, End::Revoked);
            if someone_looks {
                shared.recent.push_back((now, Revoked::Grant(*id)));
            }
        }
        for digest in &revocation.access_tokens {
            let key = Key::of(*digest);
            shared.tokens.end(key, End::Revoked);
            self.forget(&key);
            if someone_looks {
                shared.recent.push_back((now, Revoked::Token(key)));
            }
        }
    }

    /// Gives up whatever is held here, since nobody could say for too long what of it was revoked:
    /// responses that are still streaming end. A lookup vouches for each anew.
    fn let_go(&self) {
        let mut shared = self.lock();
        let held: Vec<Key> = shared.tokens.names().collect();
        for key in held {
            shared.tokens.end(key, End::Unsure);
            self.forget(&key);
        }
    }

    /// What is known of a token without asking anybody: nothing, while others may have revoked it
    /// unheard.
    pub(crate) fn get(&self, digest: Digest, now: Timestamp) -> Option<Found> {
        if let Some(following) = self.0.following.get()
            && !following.is_current()
        {
            return None;
        }
        let standing = self.find(&Key::of(digest), now)?;
        if !standing.is_live() {
            // A grant never comes back to life, so this needs no second opinion.
            (!standing.is_unsure()).then_some(Err(Refusal::RevokedToken))
        } else if standing.is_fresh(now) {
            Some(Ok(standing))
        } else {
            let expired = standing.session().expires_at() <= now;
            expired.then_some(Err(Refusal::ExpiredToken))
        }
    }

    fn find(&self, key: &Key, now: Timestamp) -> Option<Standing> {
        if let Some(standing) = self.0.front.get(key) {
            // Otherwise there may be a newer one behind.
            if standing.is_held() && standing.is_fresh(now) {
                return Some(standing);
            }
        }
        let standing = self.0.entries.get(key)?;
        self.0.front.put(&standing);
        Some(standing)
    }

    fn forget(&self, key: &Key) {
        self.0.entries.remove(key);
        self.0.front.remove(key);
    }

    /// Asks the verifier, once for all requests that wait for the same token.
    pub(crate) async fn load(
        &self,
        verifier: &dyn ErasedVerifier,
        token: &PresentedToken,
        clock: &dyn Clock,
    ) -> Result<Found, VerifierUnavailable> {
        if let Some(following) = self.0.following.get() {
            following.start(self);
            if following.when_stale == StaleFeed::Refuse && !following.is_current() {
                return Err(unheard());
            }
        }
        let seat = self.board(Key::of(token.digest()));
        let mut landed = seat.flight.0.lock().await;
        if let Some(landed) = &*landed
            && landed.before > seat.arrived
        {
            return landed.outcome.clone().found();
        }
        let load = self.start();
        let started_at = clock.now();
        let verdict = verifier.verify(token).await.map(Verdict::session);
        let (outcome, before) = match verdict {
            Ok(Ok(session)) => {
                let outcome = self.land(&load, seat.key, session, started_at);
                (outcome, load.started)
            }
            Ok(Err(refusal)) => (self.reject(seat.key, refusal), load.started),
            // Nothing can have changed in it, and nobody waits for more than one failure.
            Err(error) => (Outcome::Unavailable(error), self.lock().tick()),
        };
        *landed = Some(Landed {
            before,
            outcome: outcome.clone(),
        });
        outcome.found()
    }

    /// Keeps a good verdict, unless it is one no longer.
    fn land(
        &self,
        load: &Load<'_>,
        key: Key,
        mut session: McpSession,
        started_at: Timestamp,
    ) -> Outcome {
        if session.expires_at() <= started_at {
            return Outcome::Bad(Refusal::ExpiredToken);
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
            return Outcome::Bad(Refusal::RevokedToken);
        }
        let fresh_until = session
            .expires_at()
            .min(started_at.plus(self.0.time_to_live));
        shared.pool.share(&mut session);
        let token = shared.tokens.hold(key);
        let grant = session.grant_id().map(|id| shared.grants.hold(id));
        let standing = Standing::new(session, fresh_until, token, grant);
        // Under the lock, so that a revocation comes either before (and was seen just now) or
        // after (and finds the entry).
        self.0.entries.insert(&standing, started_at);
        Outcome::Good(standing)
    }

    /// What an earlier lookup let in ends too: somebody else knew of a revocation first.
    fn reject(&self, key: Key, refusal: Refusal) -> Outcome {
        // For another resource, which says nothing about this one.
        if refusal != Refusal::WrongAudience {
            let mut shared = self.lock();
            if shared.tokens.end(key, End::Revoked) {
                self.forget(&key);
            }
        }
        Outcome::Bad(refusal)
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
            .field("entries", &self.0.entries.len())
            .field("time_to_live", &self.0.time_to_live)
            .finish_non_exhaustive()
    }
}

fn unheard() -> VerifierUnavailable {
    VerifierUnavailable::new("what other machines revoke is not heard here")
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
