//! The index by expiry: which rows a sweep has to look at, and when.
//!
//! One index row serves all rows that one transaction adds and that expire in the same second: the
//! first is named in its key, the others in its value. It is no promise that these rows are there,
//! or due: a row that goes before its time leaves its entry behind, and one that may stay longer
//! keeps the entry it has. The sweep sees, and such a row is then due again. What counts is that no
//! row with an expiry is without an entry at or before it.

use std::collections::BTreeMap;

use super::tx::{Damaged, SledTx, TxError};
use crate::{
    clock::Timestamp,
    store::kv::{Tx, keys},
};

/// What a transaction has to enter once it is complete.
#[derive(Default)]
pub(super) struct Entries(BTreeMap<Timestamp, Vec<Vec<u8>>>);

impl Entries {
    /// As [`Tx::expires`].
    pub(super) fn note(&mut self, key: &[u8], before: Option<Timestamp>, after: Option<Timestamp>) {
        match (before, after) {
            (Some(before), Some(after)) if before <= after => {}
            (_, Some(after)) => self.0.entry(after).or_default().push(key.to_vec()),
            (_, None) => {}
        }
    }

    /// Writes them.
    pub(super) fn write(self, tx: &mut SledTx<'_>) -> Result<(), TxError> {
        for (at, rows) in self.0 {
            let [first, others @ ..] = rows.as_slice() else {
                continue;
            };
            let mut entry = keys::expiry(at);
            entry.extend_from_slice(first);
            // The same row may have been entered for the same second before.
            let mut value = tx.value(&entry)?.unwrap_or_default().to_vec();
            for row in others {
                let length = u16::try_from(row.len()).map_err(|_| Damaged::Index)?;
                value.extend_from_slice(&length.to_be_bytes());
                value.extend_from_slice(row);
            }
            tx.set(&entry, value)?;
        }
        Ok(())
    }
}

/// The first entries of the index, and what they name.
#[derive(Default)]
pub(super) struct Due {
    /// The keys of index rows.
    entries: Vec<Vec<u8>>,
    /// The keys of the rows that they name.
    pub(super) rows: Vec<Vec<u8>>,
}

impl Due {
    /// Adds what an index row says.
    pub(super) fn add(&mut self, entry: &[u8], mut others: &[u8]) -> Result<(), Damaged> {
        self.rows.push(keys::expired(entry).to_vec());
        while let Some((length, rest)) = others.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (row, rest) = rest.split_at_checked(length).ok_or(Damaged::Index)?;
            self.rows.push(row.to_vec());
            others = rest;
        }
        if !others.is_empty() {
            return Err(Damaged::Index);
        }
        self.entries.push(entry.to_vec());
        Ok(())
    }

    /// Takes the entries out, but for those of the rows from `finished` on.
    pub(super) fn finish(
        &self,
        tx: &mut SledTx<'_>,
        finished: usize,
        now: Timestamp,
    ) -> Result<(), TxError> {
        for entry in &self.entries {
            tx.erase(entry)?;
        }
        for row in &self.rows[finished..] {
            tx.expires(row, None, Some(now))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::SledStore, *};
    use crate::{
        Digest,
        store::{Store, StoreError, record::Record},
    };

    const THEN: Timestamp = Timestamp::from_secs(2000);

    fn used(numbers: std::ops::Range<u32>, expires_at: Timestamp) -> Vec<Record> {
        let used = |number: u32| Record::Used {
            digest: Digest::of(&number.to_string()),
            expires_at,
        };
        numbers.map(used).collect()
    }

    fn entries(store: &SledStore) -> usize {
        store.engine.db.scan_prefix(b"X").count()
    }

    async fn left(store: &SledStore) -> usize {
        store.export(None, 256).await.unwrap().records.len()
    }

    #[tokio::test]
    async fn what_comes_together_and_goes_together_is_entered_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        store.import(used(0..100, THEN)).await.unwrap();
        assert_eq!(entries(&store), 1);
        for (limit, more) in [(1, 99), (40, 59), (58, 1)] {
            assert_eq!(store.sweep(THEN, limit).await.unwrap(), limit);
            assert_eq!(left(&store).await, more);
        }
        assert_eq!(store.sweep(THEN, 100).await.unwrap(), 1);
        assert_eq!(entries(&store), 0);
    }

    #[tokio::test]
    async fn nothing_is_left_out_where_an_entry_has_the_name_of_an_earlier_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        store.import(used(0..50, THEN)).await.unwrap();
        let first = used(0..1, THEN).remove(0);
        let Record::Used { digest, .. } = first else {
            unreachable!()
        };
        store.engine.db.remove(keys::used(&digest)).unwrap();
        let mut again = vec![first];
        again.extend(used(50..80, THEN));
        store.import(again).await.unwrap();
        assert_eq!(entries(&store), 1);
        // The first is named twice, and goes once.
        assert_eq!(store.sweep(THEN, 1000).await.unwrap(), 80);
        assert_eq!((left(&store).await, entries(&store)), (0, 0));
    }

    #[tokio::test]
    async fn what_stays_longer_is_due_again_and_what_goes_sooner_is_found_sooner() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        let at = Timestamp::from_secs;
        store.import(used(0..10, at(2000))).await.unwrap();
        store.import(used(0..10, at(3000))).await.unwrap();
        assert_eq!(entries(&store), 1, "nothing is entered twice");
        assert_eq!(store.sweep(at(2999), 1000).await.unwrap(), 0);
        assert_eq!(entries(&store), 1, "entered anew");
        store.import(used(0..5, at(1000))).await.unwrap();
        assert_eq!(store.sweep(at(1000), 1000).await.unwrap(), 5);
        assert_eq!(store.sweep(at(3000), 1000).await.unwrap(), 5);
        assert_eq!((left(&store).await, entries(&store)), (0, 0));
    }

    #[tokio::test]
    async fn an_entry_that_is_cut_short_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        let entry = [&keys::expiry(THEN)[..], b"jx"].concat();
        for value in [&b"\0"[..], b"\0\x02j", b"\0\x01j\0"] {
            store.engine.db.insert(&*entry, value).unwrap();
            let failed = store.sweep(THEN, 10).await;
            assert!(
                matches!(failed, Err(StoreError::Corrupt { .. })),
                "{failed:?}"
            );
        }
    }
}
