//! The version of the layout, and how older ones become the current one.
//!
//! | version | what is new |
//! |---|---|
//! | 1 | |
//! | 2 | grants count their refresh generations; grants and consents are indexed by client |

use std::path::Path;

use ::sled::{Db, IVec};

use super::{
    open::{classify, corrupt},
    tx::{SledTx, TxError, decode},
};
use crate::store::{
    StoreError,
    kv::{
        Tx,
        keys::{self, SCHEMA},
        ops,
        table::{Table, index_keys},
    },
    record::{ConsentRecord, GrantRecord, RefreshTokenRecord},
};

/// The version that this crate writes.
const CURRENT: u32 = 2;
/// How many rows one transaction of a migration touches.
const CHUNK: usize = 256;

/// Brings the database to the current version.
///
/// Each step may be interrupted at any point and run again: the version is written last.
pub(super) fn migrate(db: &Db, path: &Path) -> Result<(), StoreError> {
    let engine = |error| classify(path, error);
    let version = db.get(SCHEMA).map_err(engine)?;
    let found = match &version {
        Some(version) => {
            let bytes = version.as_ref().try_into();
            u32::from_be_bytes(bytes.map_err(|_| corrupt(path.to_owned(), "no schema version"))?)
        }
        None if db.is_empty() => CURRENT,
        None => {
            return Err(corrupt(
                path.to_owned(),
                "it is a database of something else",
            ));
        }
    };
    if found > CURRENT {
        return Err(StoreError::NewerSchema {
            found,
            supported: CURRENT,
        });
    }
    if found < 2 {
        each(db, path, &[keys::GRANT], |tx, key, value| {
            reindex(tx, key, &decode::<GrantRecord>(value)?)
        })?;
        each(db, path, &[keys::CONSENT], |tx, key, value| {
            reindex(tx, key, &decode::<ConsentRecord>(value)?)
        })?;
        each(db, path, &[keys::REFRESH_TOKEN], |tx, _, value| {
            ops::raise_generation(tx, &decode::<RefreshTokenRecord>(value)?)
        })?;
    }
    if version.is_none() || found < CURRENT {
        db.insert(SCHEMA, &CURRENT.to_be_bytes()).map_err(engine)?;
    }
    Ok(())
}

/// Writes all index rows of a row, of which some may be there.
fn reindex<T: Table>(tx: &mut SledTx<'_>, key: &[u8], row: &T) -> Result<(), TxError> {
    for index in index_keys(row, key) {
        tx.mark(&index)?;
    }
    Ok(())
}

/// Runs `step` on every row that starts with `prefix`, many rows a transaction.
fn each(
    db: &Db,
    path: &Path,
    prefix: &[u8],
    step: impl Fn(&mut SledTx<'_>, &[u8], &[u8]) -> Result<(), TxError>,
) -> Result<(), StoreError> {
    let mut rows = db.scan_prefix(prefix);
    loop {
        let chunk: Vec<(IVec, IVec)> = rows
            .by_ref()
            .take(CHUNK)
            .collect::<Result<_, _>>()
            .map_err(|error| classify(path, error))?;
        if chunk.is_empty() {
            return Ok(());
        }
        super::transact(db, path, |tx| {
            chunk
                .iter()
                .try_for_each(|(key, value)| step(tx, key, value))
        })
        .map_err(|failed| failed.error)?;
    }
}
