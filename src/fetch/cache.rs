//! Fetched things, kept for as long as they may be, and fetched once for all who wait.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    FetchError,
    policy::{CachePolicy, Lifetimes},
};
use crate::clock::{Clock, Span, Timestamp};

/// How long who asks waits for what is new where there is what was good until now (RFC 5861 §3).
const PATIENCE: Duration = Duration::from_secs(2);

/// How a [`FetchCache`] keeps things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheSettings {
    /// How many keys; then the least used make room.
    pub(crate) capacity: u64,
    pub(crate) lifetimes: Lifetimes,
    /// How long a failure is remembered: nobody can make us knock at a door more often than that.
    pub(crate) failure: Duration,
    /// The shortest time between two fetches of one key that [`FetchCache::refresh`] asks for.
    pub(crate) refetch: Duration,
    /// For how long after its time something is still used while it cannot be fetched anew
    /// (RFC 5861 §4).
    pub(crate) stale: Duration,
    /// Whether a site that says that there is nothing has taken it away. Else that is an outage, too.
    pub(crate) may_be_withdrawn: bool,
}

/// What others published, by address, parsed. Cloning shares everything.
pub(crate) struct FetchCache<T>(Arc<Inner<T>>);

struct Inner<T> {
    slots: moka::sync::Cache<String, Arc<Slot<T>>>,
    settings: CacheSettings,
    clock: Arc<dyn Clock>,
}

/// One key. `state` is only ever locked for a moment, so what is fresh is served while somebody
/// fetches; whoever fetches holds `flight`.
struct Slot<T> {
    state: Mutex<State<T>>,
    flight: Arc<tokio::sync::Mutex<()>>,
}

struct State<T> {
    value: Option<(Arc<T>, Span)>,
    failed: Option<(FetchError, Span)>,
    /// While the last fetch is too short a time ago for another one.
    asked: Option<Span>,
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self {
            state: Mutex::new(State {
                value: None,
                failed: None,
                asked: None,
            }),
            flight: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// What can be said without asking anybody.
    fn known(&self, now: Timestamp, stale: Duration) -> Option<Result<Arc<T>, FetchError>> {
        if let Some((value, fresh)) = &self.value
            && fresh.has(now)
        {
            return Some(Ok(Arc::clone(value)));
        }
        let (error, remembered) = self.failed.as_ref()?;
        let old = || self.old(now, stale).ok_or(*error);
        remembered.has(now).then(old)
    }

    /// What there is since `seen`, or `seen` where it is too early to ask for more. Where that could
    /// not be had a moment ago, nobody can say.
    #[cfg(feature = "jwt")]
    fn settled(&self, seen: &Arc<T>, now: Timestamp) -> Option<Result<Arc<T>, FetchError>> {
        match (&self.value, self.failed, self.asked) {
            (Some((value, _)), ..) if !Arc::ptr_eq(value, seen) => Some(Ok(Arc::clone(value))),
            (_, Some((error, remembered)), _) => remembered.has(now).then_some(Err(error)),
            (.., Some(asked)) if asked.has(now) => Some(Ok(Arc::clone(seen))),
            _ => None,
        }
    }

    /// What there is, or was until a while ago.
    fn old(&self, now: Timestamp, stale: Duration) -> Option<Arc<T>> {
        let (value, fresh) = self.value.as_ref()?;
        (now < fresh.until().plus(stale)).then(|| Arc::clone(value))
    }
}

impl<T: Send + Sync + 'static> FetchCache<T> {
    pub(crate) fn new(settings: CacheSettings, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            slots: moka::sync::Cache::new(settings.capacity),
            settings,
            clock,
        }))
    }

    /// What is at `key`: from memory, or from `load`, which then runs to its end even if nobody
    /// waits any more. Many who ask at once make one fetch, and where there is what was good until
    /// now only who makes it waits for it, a moment.
    ///
    /// # Errors
    ///
    /// Whatever `load` fails with, also a little while ago.
    pub(crate) async fn get<F>(&self, key: &str, load: F) -> Result<Arc<T>, FetchError>
    where
        F: Future<Output = Result<(T, CachePolicy), FetchError>> + Send + 'static,
    {
        self.get_if(key, || Ok(()), load).await
    }

    /// As [`get`](Self::get), asking `may_fetch` of who makes the fetch, and of nobody who waits. A
    /// key that was never fetched has no place before that.
    ///
    /// # Errors
    ///
    /// Also what `may_fetch` says, where there is nothing that was good until now.
    pub(crate) async fn get_if<F, E: From<FetchError>>(
        &self,
        key: &str,
        may_fetch: impl Fn() -> Result<(), E>,
        load: F,
    ) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<(T, CachePolicy), FetchError>> + Send + 'static,
    {
        let found = self.0.slots.get(key);
        let is_new = found.is_none();
        if is_new {
            may_fetch()?;
        }
        let slot = found.unwrap_or_else(|| self.slot(key));
        let (now, stale) = (self.0.clock.now(), self.0.settings.stale);
        if let Some(known) = slot.state().known(now, stale) {
            return Ok(known?);
        }
        let old = slot.state().old(now, stale);
        let flight = match (Arc::clone(&slot.flight).try_lock_owned(), &old) {
            (Ok(flight), _) => flight,
            (Err(_), Some(old)) => return Ok(Arc::clone(old)),
            (Err(_), None) => Arc::clone(&slot.flight).lock_owned().await,
        };
        if let Some(known) = slot.state().known(self.0.clock.now(), stale) {
            return Ok(known?);
        }
        if !is_new && let Err(refused) = may_fetch() {
            return old.ok_or(refused);
        }
        let loaded = self.load(Arc::clone(&slot), flight, load);
        let loaded = match old {
            Some(old) => tokio::time::timeout(PATIENCE, loaded)
                .await
                .unwrap_or(Ok(old)),
            None => loaded.await,
        };
        // Unless that was taken away with it.
        let old = |error| slot.state().old(self.0.clock.now(), stale).ok_or(error);
        Ok(loaded.or_else(old)?)
    }

    /// What is at `key` now that `seen` turned out to lack something: fetched anew, unless that was
    /// done since, or too short a time ago. Then it is `seen` once more. `may_fetch` is asked of who
    /// makes the fetch, and of nobody who waits.
    ///
    /// # Errors
    ///
    /// Whatever `load` fails with, also a little while ago, and what `may_fetch` says.
    #[cfg(feature = "jwt")]
    pub(crate) async fn refresh_if<F, E: From<FetchError>>(
        &self,
        key: &str,
        seen: &Arc<T>,
        may_fetch: impl FnOnce() -> Result<(), E>,
        load: F,
    ) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<(T, CachePolicy), FetchError>> + Send + 'static,
    {
        let slot = self.slot(key);
        // Somebody may be about to have what is lacking.
        let flight = Arc::clone(&slot.flight).lock_owned().await;
        if let Some(settled) = slot.state().settled(seen, self.0.clock.now()) {
            return Ok(settled?);
        }
        may_fetch()?;
        Ok(self.load(slot, flight, load).await?)
    }

    fn slot(&self, key: &str) -> Arc<Slot<T>> {
        self.0
            .slots
            .get(key)
            .unwrap_or_else(|| self.0.slots.get_with_by_ref(key, || Arc::new(Slot::new())))
    }

    /// A task of its own: whoever asks and goes away must not make the next one ask again.
    async fn load<F>(
        &self,
        slot: Arc<Slot<T>>,
        flight: tokio::sync::OwnedMutexGuard<()>,
        load: F,
    ) -> Result<Arc<T>, FetchError>
    where
        F: Future<Output = Result<(T, CachePolicy), FetchError>> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        slot.state().asked = Some(Span::new(inner.clock.now(), inner.settings.refetch));
        let task = tokio::spawn(async move {
            let loaded = load.await;
            let (now, settings) = (inner.clock.now(), &inner.settings);
            let mut state = slot.state();
            let outcome = match loaded {
                Ok((value, policy)) => {
                    let value = Arc::new(value);
                    let fresh = Span::new(now, policy.lifetime(&settings.lifetimes));
                    state.value = Some((Arc::clone(&value), fresh));
                    state.failed = None;
                    Ok(value)
                }
                Err(error) => {
                    // Until its time is over it is good, whoever had it asked for again.
                    let is_over = |(_, fresh): &mut (_, Span)| !fresh.has(now);
                    if settings.may_be_withdrawn && error.is_withdrawal() {
                        state.value.take_if(is_over);
                    }
                    state.failed = Some((error, Span::new(now, settings.failure)));
                    Err(error)
                }
            };
            drop(state);
            drop(flight);
            outcome
        });
        task.await.unwrap_or(Err(FetchError::Connection))
    }
}

impl<T> Clone for FetchCache<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests;
