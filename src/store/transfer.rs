//! Backups, and the way from one store to another: JSON lines, one [`Record`] each.

use std::io::{self, BufRead, Write};

use tokio::task::yield_now;

use super::{Store, StoreError, record::Record};

/// How many records go between store and file at once.
const PAGE: usize = 256;

/// Why an [`export`] or [`import`] stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be written or read.
    #[error("the export cannot be written or read: {0}")]
    Io(#[from] io::Error),
    /// A line is no record. Those before it may have been imported.
    #[error("line {line} is no record: {source}")]
    Line {
        /// Which, counted from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Writes everything in `store` but waiting authorizations and devices, and returns how many records that were.
///
/// Records are written one by one while the store is in use, so what changes meanwhile may be
/// there in part. For a move to another store stop the server first: a copy of a store that went
/// on would bring back what was used up or revoked since.
///
/// The shared keys are in it: keep an export as safe as the store.
///
/// # Errors
///
/// When the store or the writer fails.
pub async fn export(store: &impl Store, mut writer: impl Write) -> Result<u64, TransferError> {
    let (mut count, mut cursor) = (0, None);
    loop {
        let page = store.export(cursor, PAGE).await?;
        for record in page.records {
            let line = serde_json::to_vec(&record).map_err(io::Error::from)?;
            writer.write_all(&line)?;
            writer.write_all(b"\n")?;
            count += 1;
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        yield_now().await;
    }
    writer.flush()?;
    Ok(count)
}

/// Stores every record that [`export`] wrote, and returns how many they were. What is there
/// already under the same name is replaced, so an import that stopped can be run again. Into a store
/// that was in use since, it brings back what was revoked or used up there.
///
/// # Errors
///
/// When the store or the reader fails, and at the first line that is no record.
pub async fn import(store: &impl Store, reader: impl BufRead) -> Result<u64, TransferError> {
    let (mut count, mut page) = (0, Vec::with_capacity(PAGE));
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let record: Record = serde_json::from_str(&line).map_err(|source| TransferError::Line {
            line: number,
            source,
        })?;
        page.push(record);
        count += 1;
        if page.len() == PAGE {
            let full = std::mem::replace(&mut page, Vec::with_capacity(PAGE));
            store.import(full).await?;
        }
    }
    store.import(page).await?;
    Ok(count)
}

/// Copies everything that [`export`] would write straight into another store, and returns how many
/// records that were: the way to a larger engine. Every live token stays good. Stop the server
/// first, as for an export.
///
/// The other store has to be empty: had it been in use since an earlier copy, this one would bring
/// back what was revoked or used up there.
///
/// ```no_run
/// # #[cfg(feature = "sled")]
/// # async fn move_house(to: impl tower_mcp_auth::store::Store) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_mcp_auth::store::{self, SledStore};
///
/// let from = SledStore::open("data/auth")?;
/// let moved = store::copy(&from, &to).await?;
/// println!("{moved} records");
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`StoreError::NotEmpty`] where there is anything in the other store; and when one of them fails:
/// what was copied until then is there, and has to go before it is tried again.
pub async fn copy(from: &impl Store, to: &impl Store) -> Result<u64, StoreError> {
    if !is_empty(to).await? {
        return Err(StoreError::NotEmpty);
    }
    let (mut count, mut cursor) = (0, None);
    loop {
        let page = from.export(cursor, PAGE).await?;
        count += page.records.len() as u64;
        to.import(page.records).await?;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(count);
        }
        yield_now().await;
    }
}

async fn is_empty(store: &impl Store) -> Result<bool, StoreError> {
    let mut cursor = None;
    loop {
        // A page may have nothing in it and not be the last.
        let page = store.export(cursor, 1).await?;
        if !page.records.is_empty() {
            return Ok(false);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Scopes, Timestamp,
        store::{MemoryStore, record::ConsentRecord},
    };

    async fn filled(consents: usize) -> MemoryStore {
        let store = MemoryStore::new();
        let records = (0..consents).map(|number| {
            Record::Consent(ConsentRecord {
                subject: crate::Subject::new("ann").unwrap(),
                client_id: crate::ClientId::new(format!("app{number}")).unwrap(),
                resource: crate::ResourceUri::parse("https://a.example/mcp").unwrap(),
                destination: None,
                scopes: Scopes::parse("a b").unwrap(),
                granted_at: Timestamp::from_secs(1),
            })
        });
        store.import(records.collect()).await.unwrap();
        store
    }

    #[tokio::test]
    async fn many_pages_travel_as_lines() {
        let mut file = Vec::new();
        let written = export(&filled(600).await, &mut file).await.unwrap();
        assert_eq!(written, 600);
        assert_eq!(file.iter().filter(|byte| **byte == b'\n').count(), 600);
        let copy = MemoryStore::new();
        assert_eq!(import(&copy, &*file).await.unwrap(), 600);
        let mut again = Vec::new();
        export(&copy, &mut again).await.unwrap();
        assert_eq!(file, again);
    }

    #[tokio::test]
    async fn a_copy_is_the_same_store() {
        let (from, to) = (filled(600).await, MemoryStore::new());
        assert_eq!(copy(&from, &to).await.unwrap(), 600);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        export(&from, &mut one).await.unwrap();
        export(&to, &mut other).await.unwrap();
        assert_eq!(one, other);
    }

    #[tokio::test]
    async fn nothing_is_copied_over_what_may_have_been_revoked_since() {
        let (from, to) = (filled(2).await, filled(1).await);
        let refused = copy(&from, &to).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotEmpty), "{refused:?}");
        let mut kept = Vec::new();
        assert_eq!(export(&to, &mut kept).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_line_that_is_no_record_is_named() {
        let mut file = Vec::new();
        export(&filled(2).await, &mut file).await.unwrap();
        file.extend_from_slice(b"\n{\"kind\":\"consent\"}\n");
        let failed = import(&MemoryStore::new(), &*file).await.unwrap_err();
        assert!(
            matches!(failed, TransferError::Line { line: 4, .. }),
            "{failed}"
        );
        assert!(failed.to_string().starts_with("line 4 is no record"));
    }
}
