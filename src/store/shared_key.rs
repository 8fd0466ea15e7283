//! The keys that all nodes of a deployment share.

use std::time::Duration;

use super::{
    ErasedStore, StoreError,
    record::{KeyPurpose, KeyRecord},
};
use crate::{clock::Timestamp, secret::SecretKey};

/// The 256-bit keys of one purpose, lowest number first; makes the first one where there is none.
pub(crate) async fn shared_secret(
    store: &dyn ErasedStore,
    purpose: KeyPurpose,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, StoreError> {
    let keys = store.keys(purpose).await?;
    if !keys.is_empty() {
        return Ok(keys);
    }
    let first = KeyRecord {
        purpose,
        id: 0,
        key: SecretKey::random().into(),
        created_at: now,
        retires_at: None,
        expires_at: None,
    };
    // Another node may have been faster: then this returns that one's.
    store.add_key(first, Duration::ZERO, now).await
}
