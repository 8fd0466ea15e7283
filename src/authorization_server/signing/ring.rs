//! Which key signs, and which are published.

use serde_json::{Value, json};

use crate::{
    clock::Timestamp,
    jwt::{Algorithm, JwkSet, SigningKey},
    store::{StoreError, record::KeyRecord},
};

/// All keys of one moment, lowest number of each algorithm first.
pub(crate) struct Ring {
    keys: Vec<Entry>,
    loaded_at: Timestamp,
}

struct Entry {
    key: SigningKey,
    retires_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl Ring {
    /// Takes stored keys over.
    ///
    /// # Errors
    ///
    /// When one of them is none.
    pub(super) fn new(
        records: Vec<(Algorithm, KeyRecord)>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let keys = records
            .into_iter()
            .map(|(algorithm, record)| {
                Ok(Entry {
                    key: SigningKey::from_pkcs8(algorithm, None, record.key.as_bytes())
                        .map_err(StoreError::unavailable)?,
                    retires_at: record.retires_at,
                    expires_at: record.expires_at,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            keys,
            loaded_at: now,
        })
    }

    pub(super) fn loaded_at(&self) -> Timestamp {
        self.loaded_at
    }

    /// The key that signs what is issued `at` a time: the same one on every node and at every
    /// repeat.
    ///
    /// # Errors
    ///
    /// When there is none, which no store that keeps what it acknowledged brings about.
    pub(crate) fn signer(
        &self,
        algorithm: Algorithm,
        at: Timestamp,
    ) -> Result<&SigningKey, StoreError> {
        let signs = |entry: &&Entry| {
            entry.key.algorithm() == algorithm && entry.retires_at.is_none_or(|end| at < end)
        };
        let entry = self.keys.iter().find(signs);
        entry
            .map(|entry| &entry.key)
            .ok_or_else(|| StoreError::unavailable("the store has no key to sign with"))
    }

    fn published(&self, now: Timestamp) -> impl Iterator<Item = &SigningKey> {
        self.keys
            .iter()
            .filter(move |entry| entry.expires_at.is_none_or(|end| now < end))
            .map(|entry| &entry.key)
    }

    /// The public halves, as they are published (RFC 7517 §5).
    pub(crate) fn document(&self, now: Timestamp) -> Value {
        let keys: Vec<_> = self.published(now).map(SigningKey::public_jwk).collect();
        json!({ "keys": keys })
    }

    /// The public halves, for what we signed ourselves.
    pub(crate) fn public(&self, now: Timestamp) -> JwkSet {
        self.published(now)
            .map(|key| key.public_key().clone())
            .collect()
    }
}
