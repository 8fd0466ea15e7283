//! Rows in sled: how values are written, and [`Tx`] over one sled transaction.

use std::{cell::Cell, path::Path};

use ::sled::{
    Db, IVec, Tree,
    transaction::{
        ConflictableTransactionError, TransactionError, TransactionalTree,
        UnabortableTransactionError,
    },
};

use super::{due::Entries, open::corrupt, sync::too_many_open};
use crate::{
    clock::Timestamp,
    store::{
        StoreError,
        kv::{
            Read, Tx,
            table::{ReadRow, Table},
        },
    },
};

/// The first byte of every value: how the rest is written.
const JSON: u8 = 1;

/// A value that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damaged {
    #[error("a value is written in a form (number {0}) that is not known")]
    Form(u8),
    #[error("a value is empty")]
    Empty,
    #[error("a value is not what its key says: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a counter is not a number of eight bytes")]
    Counter,
    #[error("a row of the index by expiry is cut short")]
    Index,
}

pub(super) fn encode<T: Table>(row: &T) -> Result<Vec<u8>, Damaged> {
    let mut value = vec![JSON];
    serde_json::to_writer(&mut value, row)?;
    Ok(value)
}

pub(super) fn decode<T: Table>(value: &[u8]) -> Result<T, Damaged> {
    match value.split_first() {
        Some((&JSON, json)) => Ok(serde_json::from_slice(json)?),
        Some((&form, _)) => Err(Damaged::Form(form)),
        None => Err(Damaged::Empty),
    }
}

/// Why a step of a transaction stopped.
#[derive(Debug)]
pub(super) enum TxError {
    Engine(UnabortableTransactionError),
    Damaged(Damaged),
}

impl From<UnabortableTransactionError> for TxError {
    fn from(error: UnabortableTransactionError) -> Self {
        Self::Engine(error)
    }
}

impl From<Damaged> for TxError {
    fn from(error: Damaged) -> Self {
        Self::Damaged(error)
    }
}

/// A sled transaction.
///
/// Single rows only: a scan takes the lock that the transaction holds, and would wait for ever.
pub(super) struct SledTx<'a> {
    tree: &'a TransactionalTree,
    /// Whether there is anything to commit.
    pub(super) wrote: bool,
    entries: Entries,
}

impl<'a> SledTx<'a> {
    pub(super) fn new(tree: &'a TransactionalTree) -> Self {
        Self {
            tree,
            wrote: false,
            entries: Entries::default(),
        }
    }

    /// Writes what is only known at the end.
    fn complete(&mut self) -> Result<(), TxError> {
        std::mem::take(&mut self.entries).write(self)
    }

    /// Whether `step` writes anything.
    pub(super) fn writes(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), TxError>,
    ) -> Result<bool, TxError> {
        let before = std::mem::take(&mut self.wrote);
        step(self)?;
        let writes = self.wrote;
        self.wrote |= before;
        Ok(writes)
    }

    pub(super) fn value(&self, key: &[u8]) -> Result<Option<IVec>, TxError> {
        Ok(self.tree.get(key)?)
    }

    pub(super) fn set(&mut self, key: &[u8], value: impl Into<IVec>) -> Result<(), TxError> {
        self.wrote = true;
        self.tree.insert(key, value)?;
        Ok(())
    }
}

impl Read for SledTx<'_> {
    type Error = TxError;

    fn read<T: Table>(&mut self, key: &[u8]) -> Result<Option<T>, TxError> {
        let value = self.tree.get(key)?;
        Ok(value.map(|value| decode(&value)).transpose()?)
    }
}

impl Tx for SledTx<'_> {
    fn write<T: Table>(&mut self, key: &[u8], row: &T) -> Result<(), TxError> {
        let value = encode(row)?;
        self.set(key, value)
    }

    fn mark(&mut self, key: &[u8]) -> Result<(), TxError> {
        self.set(key, IVec::default())
    }

    fn erase(&mut self, key: &[u8]) -> Result<(), TxError> {
        self.wrote = true;
        self.tree.remove(key)?;
        Ok(())
    }

    fn count(&mut self, counter: &'static [u8]) -> Result<u64, TxError> {
        let Some(value) = self.tree.get(counter)? else {
            return Ok(0);
        };
        let bytes = value.as_ref().try_into().map_err(|_| Damaged::Counter)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn set_count(&mut self, counter: &'static [u8], value: u64) -> Result<(), TxError> {
        self.set(counter, &value.to_be_bytes())
    }

    fn expires(
        &mut self,
        key: &[u8],
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) -> Result<(), TxError> {
        self.entries.note(key, before, after);
        Ok(())
    }
}

/// Why a row could not be read outside of a transaction.
#[derive(Debug)]
pub(super) enum ReadError {
    Engine(::sled::Error),
    Damaged(Damaged),
}

impl From<::sled::Error> for ReadError {
    fn from(error: ::sled::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Damaged> for ReadError {
    fn from(error: Damaged) -> Self {
        Self::Damaged(error)
    }
}

/// Reads rows outside of any transaction.
pub(super) struct Reader<'a>(pub(super) &'a Tree);

impl Read for Reader<'_> {
    type Error = ReadError;

    fn read<T: Table>(&mut self, key: &[u8]) -> Result<Option<T>, ReadError> {
        let value = self.0.get(key)?;
        Ok(value.map(|value| decode(&value)).transpose()?)
    }
}

/// A value at hand.
pub(super) struct Value(pub(super) IVec);

impl ReadRow for Value {
    type Error = ReadError;

    fn read<T: Table>(&mut self) -> Result<Option<T>, ReadError> {
        Ok(Some(decode(&self.0)?))
    }
}

/// A transaction that did not happen.
pub(super) struct Failed {
    pub(super) error: StoreError,
    /// Or that may have happened in part, or after an error of the log: what sled holds in memory
    /// can no longer be trusted.
    pub(super) distrusted: bool,
}

/// Why a transaction was called off.
enum Off<T> {
    /// There is nothing to commit. sled would write a record even so.
    Unchanged(T),
    Damaged(Damaged),
}

/// Runs `step` as one sled transaction and says whether it changed anything.
pub(super) fn transact<T>(
    db: &Db,
    path: &Path,
    step: impl Fn(&mut SledTx<'_>) -> Result<T, TxError>,
) -> Result<(T, bool), Failed> {
    let committing = Cell::new(false);
    let outcome = db.transaction(|tree| {
        // sled runs this anew after a conflict.
        committing.set(false);
        let mut tx = SledTx::new(tree);
        match step(&mut tx).and_then(|value| tx.complete().map(|()| value)) {
            Ok(value) if tx.wrote => {
                committing.set(true);
                Ok(value)
            }
            Ok(value) => Err(ConflictableTransactionError::Abort(Off::Unchanged(value))),
            Err(TxError::Engine(UnabortableTransactionError::Conflict)) => {
                Err(ConflictableTransactionError::Conflict)
            }
            Err(TxError::Engine(UnabortableTransactionError::Storage(error))) => {
                Err(ConflictableTransactionError::Storage(error))
            }
            Err(TxError::Damaged(damaged)) => {
                Err(ConflictableTransactionError::Abort(Off::Damaged(damaged)))
            }
        }
    });
    let failed = |error, distrusted| Failed { error, distrusted };
    match outcome {
        Ok(value) => Ok((value, true)),
        Err(TransactionError::Abort(Off::Unchanged(value))) => Ok((value, false)),
        Err(TransactionError::Abort(Off::Damaged(damaged))) => {
            Err(failed(corrupt(path.to_owned(), damaged), false))
        }
        Err(TransactionError::Storage(error)) => {
            let distrusted = committing.get() || is_of_the_log(&error);
            Err(failed(engine_error(path, error), distrusted))
        }
    }
}

/// Whether sled may tell an error again whatever is asked for. It keeps the first one of its log, which
/// is written in the background, and even a read meets it where it has to split a page.
pub(super) fn is_of_the_log(error: &::sled::Error) -> bool {
    matches!(error, ::sled::Error::Io(error) if !too_many_open(error))
}

/// What an error of sled's means to whoever uses an open store.
pub(super) fn engine_error(path: &Path, error: ::sled::Error) -> StoreError {
    match error {
        ::sled::Error::Corruption { .. } => corrupt(path.to_owned(), error),
        other => StoreError::unavailable(other),
    }
}
