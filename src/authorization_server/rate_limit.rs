//! How often one caller may ask (RFC 9700 §4.15 and RFC 6749 §10.10 want guessing bounded).
//!
//! A caller is a client together with what the application's
//! [`client_key`](crate::McpAuthBuilder::client_key) makes of the request: usually its address. So
//! the users of one hosted client do not starve each other. A stranger can have as many clients as
//! they like, so what comes from one address, whichever client it names, is limited too.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{
    Quota,
    clock::{Clock as _, DefaultClock},
    state::keyed::HashMapStateStore,
};
use http::request::Parts;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{Endpoint, request::is_sent_without_a_click};
use crate::id::Subject;

/// How many callers are told apart; more share one allowance.
const MAX_CALLERS: usize = 100_000;
/// How much more is allowed where all users of a client look the same, and to all clients together
/// that come from one address.
const SHARED_FACTOR: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// What the application makes of a request to tell callers apart.
pub(crate) type ClientKey = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;

/// How many requests a minute one caller may send to each endpoint, all of them at once if it
/// likes. Where no [`client_key`](crate::McpAuthBuilder::client_key) tells the users of a client
/// apart, they share ten times as much; where it does, so do all clients of one key. Where a browser
/// says that a page of another site sent its visitor here and nobody clicked, half of that, apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    register: NonZeroU32,
    authorize: NonZeroU32,
    token: NonZeroU32,
}

impl Default for RateLimits {
    fn default() -> Self {
        const fn per_minute(number: u32) -> NonZeroU32 {
            match NonZeroU32::new(number) {
                Some(number) => number,
                None => NonZeroU32::MIN,
            }
        }
        Self {
            register: per_minute(120),
            authorize: per_minute(600),
            token: per_minute(1200),
        }
    }
}

impl RateLimits {
    /// Registrations a minute: 120 by default.
    #[must_use]
    pub const fn register(mut self, per_minute: NonZeroU32) -> Self {
        self.register = per_minute;
        self
    }

    /// Authorization requests a minute, with those to sign out: 600 by default. As many that clients
    /// push ahead or begin on devices, and as many on the pages where users decide, where callers are
    /// told apart. No user is given more codes in that time, whether or not a page was needed.
    #[must_use]
    pub const fn authorize(mut self, per_minute: NonZeroU32) -> Self {
        self.authorize = per_minute;
        self
    }

    /// Token, revocation and introspection requests a minute, together: 1200 by default. Of a
    /// configured client's introspection, which strangers cause by what they present to it, only what
    /// comes without the right secret or key counts.
    #[must_use]
    pub const fn token(mut self, per_minute: NonZeroU32) -> Self {
        self.token = per_minute;
        self
    }
}

type Direct = governor::RateLimiter<u64, HashMapStateStore<u64>, DefaultClock>;

/// The allowances at one kind of endpoint.
struct Limiter {
    /// By client and key.
    callers: Direct,
    /// By key alone.
    keys: Direct,
}

impl Limiter {
    fn new(per_minute: NonZeroU32, has_client_key: bool) -> Self {
        let shared = per_minute.saturating_mul(SHARED_FACTOR);
        let own = if has_client_key { per_minute } else { shared };
        Self {
            callers: Direct::hashmap(Quota::per_minute(own)),
            keys: Direct::hashmap(Quota::per_minute(shared)),
        }
    }
}

/// How many documents of new clients, and keys of clients, one caller may have fetched: eight at
/// once, a sixth of all places even where each takes three seconds to find that nobody is there; then
/// one a second.
#[cfg(any(feature = "cimd", feature = "jwt"))]
fn fetches(has_client_key: bool) -> Quota {
    const A_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
    const AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);
    let share = |own: NonZeroU32| match has_client_key {
        true => own,
        false => own.saturating_mul(SHARED_FACTOR),
    };
    Quota::per_minute(share(A_MINUTE)).allow_burst(share(AT_ONCE))
}

/// The allowances of all callers.
pub(crate) struct RateLimiter {
    client_key: Option<ClientKey>,
    register: Limiter,
    authorize: Limiter,
    /// As many as of those, where any site's script may ask: it shall not use up what its visitor
    /// signs in by.
    ahead: Limiter,
    /// As many, on a page of our own.
    pages: Limiter,
    /// Codes by user, whichever client and address they come through: each makes rows.
    users: Direct,
    token: Limiter,
    /// Who has been wrong more often than that, and until when.
    wrong: Cache<u64, Instant>,
    /// What has to be fetched first, by key: each may keep a place among the fetches for as long as a
    /// silent host likes. Apart where any site's script may ask.
    #[cfg(any(feature = "cimd", feature = "jwt"))]
    fetches: Direct,
    /// Keyed at random: nobody can choose whose allowance to share.
    hasher: RandomState,
    clock: DefaultClock,
    max_callers: usize,
}

impl RateLimiter {
    pub(crate) fn new(limits: RateLimits, client_key: Option<ClientKey>) -> Self {
        let limiter = |per_minute| Limiter::new(per_minute, client_key.is_some());
        Self {
            register: limiter(limits.register),
            authorize: limiter(limits.authorize),
            ahead: limiter(limits.authorize),
            pages: limiter(limits.authorize),
            users: Direct::hashmap(Quota::per_minute(limits.authorize)),
            token: limiter(limits.token),
            wrong: Cache::builder()
                .max_capacity(MAX_CALLERS as u64)
                // Any other policy may turn a newcomer away, who then could guess for ever.
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            #[cfg(any(feature = "cimd", feature = "jwt"))]
            fetches: Direct::hashmap(fetches(client_key.is_some())),
            client_key,
            hasher: RandomState::new(),
            clock: DefaultClock::default(),
            max_callers: MAX_CALLERS,
        }
    }

    /// Takes one request off the caller's allowance, or says how long to wait.
    pub(crate) fn check(
        &self,
        endpoint: Endpoint,
        client_id: Option<&str>,
        parts: &Parts,
    ) -> Result<(), Duration> {
        let caller = self.client_key.as_ref().and_then(|key| key(parts));
        let limiter = match endpoint {
            Endpoint::Register => &self.register,
            Endpoint::Authorize => &self.authorize,
            Endpoint::PushedAuthorization | Endpoint::DeviceAuthorization => &self.ahead,
            Endpoint::Token | Endpoint::Revoke | Endpoint::Introspect => &self.token,
            #[cfg(feature = "jwt")]
            Endpoint::Jwks => return Ok(()),
            #[cfg(feature = "jwt")]
            Endpoint::EndSession => &self.authorize,
            // One allowance for everybody would be everybody's to use up.
            Endpoint::Consent | Endpoint::Device if caller.is_none() => return Ok(()),
            Endpoint::Consent | Endpoint::Device => &self.pages,
            Endpoint::Userinfo | Endpoint::GetSession => return Ok(()),
        };
        let clicked = is_clicked(endpoint, parts);
        // In this order: one client that goes on and on takes nothing from the others that come from
        // where it does.
        let own = self.hasher.hash_one((client_id, &caller, clicked));
        self.take(&limiter.callers, own, clicked)?;
        match &caller {
            Some(caller) => {
                let key = self.hasher.hash_one((caller, clicked));
                self.take(&limiter.keys, key, clicked)
            }
            None => Ok(()),
        }
    }

    /// Whether a caller may try to authenticate, or how long to wait: who tries in earnest is not
    /// counted, and who was wrong too often is not even told whether this would have been right.
    pub(crate) fn check_wrong(&self, client_id: &str, parts: &Parts) -> Result<(), Duration> {
        let until = self.wrong.get(&self.wrong_key(client_id, parts));
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(wait),
        }
    }

    /// Takes an attempt that was wrong off the caller's allowance.
    pub(crate) fn count_wrong(&self, endpoint: Endpoint, client_id: &str, parts: &Parts) {
        if let Err(wait) = self.check(endpoint, Some(client_id), parts) {
            let key = self.wrong_key(client_id, parts);
            self.wrong.insert(key, Instant::now() + wait);
        }
    }

    fn wrong_key(&self, client_id: &str, parts: &Parts) -> u64 {
        let caller = self.client_key.as_ref().and_then(|key| key(parts));
        self.hasher.hash_one((client_id, caller))
    }

    /// Takes one fetch of what is not known yet off the caller's allowance, or says how long to wait.
    #[cfg(any(feature = "cimd", feature = "jwt"))]
    pub(crate) fn check_fetch(&self, endpoint: Endpoint, parts: &Parts) -> Result<(), Duration> {
        let caller = self.client_key.as_ref().and_then(|key| key(parts));
        let clicked = is_clicked(endpoint, parts);
        let key = (endpoint.is_cross_origin(), clicked, caller);
        let key = self.hasher.hash_one(key);
        self.take(&self.fetches, key, clicked)
    }

    /// Takes one code off a user's allowance, or says how long to wait.
    pub(crate) fn check_user(&self, user: &Subject, parts: &Parts) -> Result<(), Duration> {
        let clicked = is_clicked(Endpoint::Authorize, parts);
        self.take(&self.users, self.hasher.hash_one((user, clicked)), clicked)
    }

    /// Takes one off an allowance, or two where nobody `clicked`: else who says so would have twice
    /// as much as all others.
    fn take(&self, limiter: &Direct, mut key: u64, clicked: bool) -> Result<(), Duration> {
        if limiter.len() >= self.max_callers {
            limiter.retain_recent();
            if limiter.len() >= self.max_callers {
                key = 0;
            }
        }
        let many = if clicked { NonZeroU32::MIN } else { TWO };
        // An allowance of one is never enough for two.
        let checked = limiter.check_key_n(&key, many);
        checked
            .unwrap_or_else(|_| limiter.check_key(&key))
            .map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

/// Whether a request counts as its visitor's own: what another site's script does, with their
/// browser and where their cookies decide, takes nothing from what they do.
fn is_clicked(endpoint: Endpoint, parts: &Parts) -> bool {
    endpoint.is_cross_origin() || !is_sent_without_a_click(parts)
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("has_client_key", &self.client_key.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telling_apart(max_callers: usize) -> RateLimiter {
        let all = RateLimiter::new(RateLimits::default(), None);
        assert_eq!(all.max_callers, MAX_CALLERS);
        RateLimiter { max_callers, ..all }
    }

    #[test]
    fn only_so_many_callers_are_told_apart() {
        let all = telling_apart(100);
        let limiter = Direct::hashmap(Quota::per_minute(NonZeroU32::MIN));
        for caller in 1..=100 {
            assert_eq!(all.take(&limiter, caller, true), Ok(()), "{caller}");
        }
        // From here on there is one allowance for all newcomers.
        assert_eq!(all.take(&limiter, 101, true), Ok(()));
        assert!(all.take(&limiter, 102, true).is_err());
        assert_eq!(limiter.len(), 101);
    }

    #[test]
    fn who_has_not_asked_for_long_makes_room() {
        let all = telling_apart(100);
        // Each could ask again at once, and so is forgotten at once.
        let limiter = Direct::hashmap(Quota::per_second(NonZeroU32::MAX));
        for caller in 1..=1000 {
            assert_eq!(all.take(&limiter, caller, true), Ok(()), "{caller}");
            assert!(limiter.len() <= 100);
        }
    }
}
