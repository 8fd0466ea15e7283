//! A store in memory: for tests, and for servers whose users may sign in again after a restart.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use super::{
    kv::{
        Read, Tx, keys, ops,
        revoke::{self, Many, Reach},
        table::{self, ReadRow, Row, Table},
    },
    *,
};

/// A [`Store`] that keeps everything in memory and forgets it when dropped.
///
/// Every operation is one step under one lock. Nothing is durable.
#[derive(Default)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn run<T>(
        &self,
        step: impl FnOnce(&mut Rows) -> Result<T, Infallible>,
    ) -> Result<T, StoreError> {
        // The steps below do not panic; if one did, its half of a change would be as lost here as
        // in a process that died.
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        match step(&mut rows) {
            Ok(value) => Ok(value),
            Err(never) => match never {},
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// One ordered map, so that indexes are ranges.
#[derive(Default)]
struct Rows(BTreeMap<Vec<u8>, Row>);

impl Rows {
    fn range(&self, start: &[u8], end: Option<&[u8]>) -> impl Iterator<Item = (&Vec<u8>, &Row)> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.range::<[u8], _>((Bound::Included(start), end))
    }

    fn scan(&self, prefix: &[u8]) -> Vec<Vec<u8>> {
        let end = keys::after_prefix(prefix);
        let rows = self.range(prefix, end.as_deref());
        rows.map(|(key, _)| key.clone()).collect()
    }

    fn list<T: Table>(&self, prefix: &[u8]) -> Vec<T> {
        let end = keys::after_prefix(prefix);
        let rows = self.range(prefix, end.as_deref());
        rows.filter_map(|(_, row)| ops::found(Some(row))).collect()
    }

    fn revoke_many(&mut self, many: &Many, now: Timestamp) -> Result<Revocation, Infallible> {
        let grants = self.scan(&many.grants);
        let consents = self.scan(&many.consents);
        revoke::many(self, many, &grants, &consents, now)
    }

    fn sweep(&mut self, now: Timestamp, limit: usize) -> Result<usize, Infallible> {
        let (start, end) = keys::expired_until(now);
        let due: Vec<_> = self
            .range(&start, Some(&end))
            .map(|(key, _)| key.clone())
            .take(limit)
            .collect();
        let consents: Vec<_> = due
            .iter()
            .filter_map(|entry| ops::expired_client(entry))
            .flat_map(|client| {
                let prefix = keys::consents_of_client(&client);
                let found = self.scan(&prefix);
                found
                    .into_iter()
                    .map(move |key| key[prefix.len()..].to_vec())
            })
            .collect();
        ops::sweep(self, &due, &consents, now)
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
}

impl ReadRow for &Row {
    type Error = Infallible;

    fn read<T: Table>(&mut self) -> Result<Option<T>, Infallible> {
        Ok(ops::found(Some(self)))
    }
}

impl Store for MemoryStore {
    async fn create_client(
        &self,
        client: ClientRecord,
        max: u64,
        now: Timestamp,
    ) -> Result<CreateClient, StoreError> {
        self.run(|rows| ops::create_client(rows, &client, max, now))
    }

    async fn client(
        &self,
        id: ClientId,
        now: Timestamp,
    ) -> Result<Option<ClientRecord>, StoreError> {
        let found: Option<ClientRecord> = self.run(|rows| rows.read(&keys::client(&id)))?;
        Ok(found.filter(|client| now < client.expires_at))
    }

    async fn delete_client(&self, id: ClientId, now: Timestamp) -> Result<Revocation, StoreError> {
        self.run(|rows| rows.revoke_many(&Many::forget_client(&id), now))
    }

    async fn begin_authorization(
        &self,
        id: Digest,
        pending: PendingAuthorization,
        max: u64,
        _now: Timestamp,
    ) -> Result<BeginAuthorization, StoreError> {
        self.run(|rows| ops::begin_authorization(rows, &id, &pending, max))
    }

    async fn pending_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Result<Option<PendingAuthorization>, StoreError> {
        let found: Option<PendingAuthorization> =
            self.run(|rows| rows.read(&keys::pending(&id)))?;
        Ok(found.filter(|pending| now < pending.expires_at))
    }

    async fn end_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Result<Option<PendingAuthorization>, StoreError> {
        self.run(|rows| ops::end_authorization(rows, &id, now))
    }

    async fn issue_code(
        &self,
        issue: IssueCode,
        now: Timestamp,
    ) -> Result<IssueCodeOutcome, StoreError> {
        self.run(|rows| ops::issue_code(rows, &issue, now))
    }

    async fn code(&self, digest: Digest) -> Result<Option<(CodeRecord, GrantRecord)>, StoreError> {
        self.run(|rows| ops::code(rows, &digest))
    }

    async fn redeem_code(
        &self,
        redeem: RedeemCode,
        now: Timestamp,
    ) -> Result<RedeemCodeOutcome, StoreError> {
        self.run(|rows| ops::redeem_code(rows, &redeem, now))
    }

    async fn refresh_token(
        &self,
        digest: Digest,
    ) -> Result<Option<(RefreshTokenRecord, GrantRecord)>, StoreError> {
        self.run(|rows| ops::refresh_token(rows, &digest))
    }

    async fn rotate_refresh(
        &self,
        rotate: RotateRefresh,
        now: Timestamp,
    ) -> Result<RotateRefreshOutcome, StoreError> {
        self.run(|rows| ops::rotate_refresh(rows, &rotate, now))
    }

    async fn access_token(&self, digest: Digest) -> Result<Option<AccessToken>, StoreError> {
        self.run(|rows| ops::access_token(rows, &digest))
    }

    async fn revoke(&self, target: RevokeTarget, now: Timestamp) -> Result<Revocation, StoreError> {
        self.run(|rows| match Reach::from(target) {
            Reach::One(one) => revoke::one(rows, &one, now),
            Reach::Many(many) => rows.revoke_many(&many, now),
        })
    }

    async fn consent(
        &self,
        subject: Subject,
        client: ClientId,
        resource: ResourceUri,
    ) -> Result<Option<ConsentRecord>, StoreError> {
        self.run(|rows| rows.read(&keys::consent(&subject, &client, &resource)))
    }

    async fn consents(&self, subject: Subject) -> Result<Vec<ConsentRecord>, StoreError> {
        self.run(|rows| Ok(rows.list(&keys::consents(&subject, None))))
    }

    async fn keys(
        &self,
        purpose: KeyPurpose,
        candidate: KeyRecord,
    ) -> Result<Vec<KeyRecord>, StoreError> {
        self.run(|rows| {
            let found = rows.list(&keys::keys(purpose));
            if found.is_empty() {
                return Ok(vec![ops::first_key(rows, purpose, &candidate)?]);
            }
            Ok(found)
        })
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.run(|rows| rows.sweep(now, limit))
    }

    async fn export(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ExportPage, StoreError> {
        let (first, end) = keys::EXPORTED;
        // A cursor of somebody's own making must not turn the range around.
        let start = cursor.map_or(first.to_vec(), |cursor| cursor.min(end.to_vec()));
        self.run(|rows| {
            let mut page = ExportPage::default();
            for (key, row) in rows.range(&start, Some(end)) {
                if page.records.len() == limit.max(1) {
                    page.next = Some(key.clone());
                    break;
                }
                page.records.extend(table::export(key, row)?);
            }
            Ok(page)
        })
    }

    async fn import(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.run(|rows| {
            records
                .iter()
                .try_for_each(|record| ops::import(rows, record))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
