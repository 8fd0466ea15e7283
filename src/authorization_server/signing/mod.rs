//! The keys that tokens are signed with: shared through the store, rotated by themselves.
//!
//! A new key is published for [`AHEAD`] before it signs anything, so that no node and no cache of
//! the published set meets a signature that it cannot check. A key that has stopped signing stays
//! published until everything it signed has expired.

mod ring;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, RwLock},
    time::timeout,
};

pub(crate) use self::ring::Ring;
use super::AuthorizationServer;
use crate::{
    clock::Timestamp,
    jwt::{Algorithm, generate_key},
    secret::KeyMaterial,
    store::{
        StoreError,
        record::{KeyPurpose, KeyRecord},
    },
};

/// How long a key signs before the next one is made, unless configured.
pub(crate) const DEFAULT_ROTATION: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long a new key is published before it signs.
const AHEAD: Duration = Duration::from_secs(3600);
/// How long a node goes on with the keys it has before it looks for new ones.
const RELOAD: Duration = Duration::from_secs(300);
/// How long nobody asks again after the store has failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long a request waits for newer keys than those that are known.
const PATIENCE: Duration = Duration::from_secs(2);
/// What can be signed with; the first is what everybody understands.
pub(crate) const ALGORITHMS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::EdDSA];
/// What signs: an algorithm, and under which name the store keeps its keys.
const SIGNERS: [(Algorithm, KeyPurpose); 2] = [
    (ALGORITHMS[0], KeyPurpose::SignRs256),
    (ALGORITHMS[1], KeyPurpose::SignEdDsa),
];

/// The keys as this node knows them.
pub(crate) struct SigningKeys {
    ring: RwLock<Option<Arc<Ring>>>,
    /// Held by the one who loads or makes keys.
    turn: Mutex<()>,
    /// When the store is asked again that has failed, in seconds as [`Timestamp`] has it.
    retry_at: AtomicU64,
    /// How often it has failed.
    failures: AtomicU64,
    rotation: Duration,
}

/// Why a store was not asked, or not waited for.
#[derive(Debug, thiserror::Error)]
#[error("the store did not give its keys")]
struct NotNow;

impl SigningKeys {
    pub(crate) fn new(rotation: Duration) -> Self {
        Self {
            ring: RwLock::new(None),
            turn: Mutex::new(()),
            retry_at: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            rotation,
        }
    }

    async fn current(&self, now: Timestamp) -> Option<Arc<Ring>> {
        let ring = self.ring.read().await;
        ring.clone()
            .filter(|ring| now < ring.loaded_at().plus(RELOAD) || self.has_failed(now))
    }

    /// A moment ago.
    fn has_failed(&self, now: Timestamp) -> bool {
        now.as_secs() < self.retry_at.load(Ordering::Acquire)
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys")
            .field("rotation", &self.rotation)
            .finish_non_exhaustive()
    }
}

impl AuthorizationServer {
    /// The keys, making them where there are none and a new one where the newest is old.
    ///
    /// # Errors
    ///
    /// When the store fails and this node has no keys yet; those it has outlast an outage.
    pub(super) async fn signing_keys(&self) -> Result<Arc<Ring>, StoreError> {
        let keys = &self.signing_keys;
        if let Some(ring) = keys.current(self.now()).await {
            return Ok(ring);
        }
        let known = keys.ring.read().await.clone();
        let failures = keys.failures.load(Ordering::Acquire);
        let _turn = match (keys.turn.try_lock(), &known) {
            (Ok(turn), _) => turn,
            // Nobody waits for who is about to find out, unless there is nothing yet.
            (Err(_), Some(known)) => return Ok(Arc::clone(known)),
            (Err(_), None) => keys.turn.lock().await,
        };
        let now = self.now();
        if let Some(ring) = keys.current(now).await {
            return Ok(ring);
        }
        // One failure is enough for all who waited for it.
        if keys.failures.load(Ordering::Acquire) != failures {
            return known.ok_or_else(|| StoreError::unavailable(NotNow));
        }
        let loading = self.load_keys();
        let loaded = match known {
            Some(_) => timeout(PATIENCE, loading)
                .await
                .unwrap_or_else(|_| Err(StoreError::unavailable(NotNow))),
            None => loading.await,
        };
        match (loaded, known) {
            (Ok(ring), _) => {
                let ring = Arc::new(ring);
                *keys.ring.write().await = Some(Arc::clone(&ring));
                Ok(ring)
            }
            (Err(error), known) => {
                let retry_at = self.now().plus(RETRY_AFTER);
                keys.retry_at.store(retry_at.as_secs(), Ordering::Release);
                keys.failures.fetch_add(1, Ordering::AcqRel);
                let Some(known) = known else {
                    return Err(error);
                };
                self.store_failed(&error);
                Ok(known)
            }
        }
    }

    async fn load_keys(&self) -> Result<Ring, StoreError> {
        let now = self.now();
        let mut records = Vec::new();
        for (algorithm, purpose) in SIGNERS {
            let mut stored = self.store.keys(purpose).await?;
            let newest = stored.last();
            let due = newest
                .is_none_or(|newest| newest.created_at.plus(self.signing_keys.rotation) <= now);
            if due {
                let id = newest.map_or(0, |newest| newest.id.saturating_add(1));
                stored = self.make_key(algorithm, purpose, id, now).await?;
            }
            records.extend(stored.into_iter().map(|record| (algorithm, record)));
        }
        Ring::new(records, now)
    }

    /// Makes the next key. Nobody waits on another node: whoever is first wins.
    async fn make_key(
        &self,
        algorithm: Algorithm,
        purpose: KeyPurpose,
        id: u32,
        now: Timestamp,
    ) -> Result<Vec<KeyRecord>, StoreError> {
        // RSA takes a good part of a second of computing.
        let der = tokio::task::spawn_blocking(move || generate_key(algorithm))
            .await
            .map_err(StoreError::unavailable)?
            .map_err(StoreError::unavailable)?;
        let key = KeyRecord {
            purpose,
            id,
            key: KeyMaterial::new(der.to_vec()),
            created_at: now,
            retires_at: None,
            expires_at: None,
        };
        // Everything signed until then has expired by the end of it, on clocks that are a little
        // apart too.
        let overlap = self.lifetimes.access_token.saturating_add(AHEAD);
        self.store.add_key(key, overlap, now.plus(AHEAD)).await
    }
}
