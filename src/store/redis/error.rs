//! What can go wrong beside what Redis says itself.

use std::{error::Error, time::Duration};

use crate::store::StoreError;

/// Redis did not answer in time. Whether it did what it was asked, nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("Redis did not answer within {0:?}")]
pub(super) struct Late(pub(super) Duration);

#[derive(Debug, thiserror::Error)]
#[error("what is stored in Redis, or what it answered, cannot be read: {0}")]
struct Damaged(#[source] Box<dyn Error + Send + Sync>);

/// Something stored is not as this crate writes it.
pub(super) fn damaged(what: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::unavailable(Damaged(what.into()))
}
