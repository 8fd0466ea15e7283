//! The rows, and what is done to them under the lock.

use std::{collections::BTreeMap, convert::Infallible, ops::Bound};

use crate::{
    clock::Timestamp,
    store::{
        Revocation,
        kv::{
            Read, Tx, keys, ops,
            revoke::{self, Many},
            table::{ReadRow, Row, Table},
            upkeep,
        },
        record::{ClientRecord, GrantRecord},
        transition,
    },
};

/// One ordered map, so that indexes are ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Rows(BTreeMap<Vec<u8>, Row>);

impl Rows {
    pub(in crate::store) fn range(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> impl Iterator<Item = (&Vec<u8>, &Row)> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.range::<[u8], _>((Bound::Included(start), end))
    }

    pub(in crate::store) fn scan(&self, prefix: &[u8]) -> Vec<Vec<u8>> {
        let end = keys::after_prefix(prefix);
        let rows = self.range(prefix, end.as_deref());
        rows.map(|(key, _)| key.clone()).collect()
    }

    pub(in crate::store) fn list<T: Table>(&self, prefix: &[u8]) -> Vec<T> {
        let end = keys::after_prefix(prefix);
        let rows = self.range(prefix, end.as_deref());
        rows.filter_map(|(_, row)| ops::found(Some(row))).collect()
    }

    /// The unrevoked, unexpired grants under a prefix of the users' index.
    pub(in crate::store) fn grants(&self, prefix: &[u8], now: Timestamp) -> Vec<GrantRecord> {
        let found = self.scan(prefix);
        let ids = found.iter().filter_map(|key| keys::grant_of_index(key));
        ids.filter_map(|id| ops::found(self.0.get(&keys::grant(&id))))
            .filter(|grant| transition::is_live(grant, now))
            .collect()
    }

    pub(in crate::store) fn revoke_many(
        &mut self,
        many: &Many,
        now: Timestamp,
    ) -> Result<Revocation, Infallible> {
        let grants = self.scan(&many.grants);
        let consents = many.consents.as_ref();
        let consents = consents.map_or_else(Vec::new, |prefix| self.scan(prefix));
        revoke::many(self, many, &grants, &consents, now)
    }

    pub(in crate::store) fn sweep(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, Infallible> {
        let (start, end) = keys::expired_until(now);
        let due: Vec<_> = self
            .range(&start, Some(&end))
            .map(|(key, _)| keys::expired(key).to_vec())
            .take(limit)
            .collect();
        let plan = upkeep::plan(&due, limit, |key, room| {
            let client: Option<ClientRecord> = ops::found(self.0.get(key));
            let Some(client) = client else {
                return Ok(Vec::new());
            };
            let consents = keys::consents_of_client(&client.id);
            let found = self.scan(&consents).into_iter().take(room);
            Ok::<_, Infallible>(found.map(|key| key[consents.len()..].to_vec()).collect())
        })?;
        upkeep::sweep(self, &due[..plan.finished], &plan.consents, now)
    }
}

impl Read for Rows {
    type Error = Infallible;

    fn read<T: Table>(&mut self, key: &[u8]) -> Result<Option<T>, Infallible> {
        Ok(ops::found(self.0.get(key)))
    }
}

impl Tx for Rows {
    fn write<T: Table>(&mut self, key: &[u8], row: &T) -> Result<(), Infallible> {
        self.0.insert(key.to_vec(), row.clone().into_row());
        Ok(())
    }

    fn mark(&mut self, key: &[u8]) -> Result<(), Infallible> {
        self.0.insert(key.to_vec(), Row::Mark);
        Ok(())
    }

    fn erase(&mut self, key: &[u8]) -> Result<(), Infallible> {
        self.0.remove(key);
        Ok(())
    }

    fn count(&mut self, counter: &'static [u8]) -> Result<u64, Infallible> {
        Ok(match self.0.get(counter) {
            Some(Row::Count(count)) => *count,
            _ => 0,
        })
    }

    fn set_count(&mut self, counter: &'static [u8], value: u64) -> Result<(), Infallible> {
        self.0.insert(counter.to_vec(), Row::Count(value));
        Ok(())
    }

    fn expires(
        &mut self,
        key: &[u8],
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) -> Result<(), Infallible> {
        let entry = |at| [&keys::expiry(at), key].concat();
        if let Some(before) = before {
            self.0.remove(&entry(before));
        }
        if let Some(after) = after {
            self.0.insert(entry(after), Row::Mark);
        }
        Ok(())
    }
}

impl ReadRow for &Row {
    type Error = Infallible;

    fn read<T: Table>(&mut self) -> Result<Option<T>, Infallible> {
        Ok(ops::found(Some(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, GrantId, store::record::RefreshTokenRecord};

    #[test]
    fn a_row_that_changes_leaves_no_index_row_behind() {
        let mut rows = Rows::default();
        let mut token = RefreshTokenRecord {
            grant: GrantId::random(),
            generation: 0,
            expires_at: Timestamp::from_secs(1),
            used: None,
        };
        let key = keys::refresh_token(&Digest::of("token"));
        for expires_at in [1, 5, 3] {
            token.expires_at = Timestamp::from_secs(expires_at);
            let Ok(()) = rows.put(&key, &token);
            assert_eq!(rows.0.len(), 2, "the row and its expiry");
        }
        let Ok(taken) = rows.remove::<RefreshTokenRecord>(&key);
        assert_eq!(taken, Some(token));
        assert!(rows.0.is_empty());
    }
}
