//! A store in memory: for tests, and for servers whose users may sign in again after a restart.

pub(super) mod rows;

use std::{
    convert::Infallible,
    fmt,
    sync::{Mutex, PoisonError},
};

use self::rows::Rows;
use super::{
    kv::{
        Read, devices, keys, ops,
        revoke::{self, Many, Reach},
        table, upkeep,
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

    async fn update_client(
        &self,
        client: ClientRecord,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.run(|rows| ops::update_client(rows, &client, now))
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

    async fn issue_tokens(
        &self,
        issue: IssueTokens,
        max_used: u64,
        now: Timestamp,
    ) -> Result<IssueTokensOutcome, StoreError> {
        self.run(|rows| ops::issue_tokens(rows, &issue, max_used, now))
    }

    async fn use_once(
        &self,
        digest: Digest,
        expires_at: Timestamp,
        max: u64,
        now: Timestamp,
    ) -> Result<UseOnce, StoreError> {
        self.run(|rows| ops::use_once(rows, &digest, expires_at, max, now))
    }

    async fn begin_device(
        &self,
        device: Digest,
        record: DeviceRecord,
        max: u64,
        now: Timestamp,
    ) -> Result<BeginDevice, StoreError> {
        self.run(|rows| {
            let same_code = rows.scan(&keys::devices_of_user_code(&record.user_code));
            devices::begin(rows, &same_code, &device, &record, max, now)
        })
    }

    async fn device_by_user_code(
        &self,
        user_code: Digest,
        now: Timestamp,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        self.run(|rows| {
            let same_code = rows.scan(&keys::devices_of_user_code(&user_code));
            let found = devices::by_user_code(rows, &same_code, now)?;
            Ok(found.map(|(_, device)| device))
        })
    }

    async fn decide_device(
        &self,
        user_code: Digest,
        decision: DecideDevice,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.run(|rows| {
            let same_code = rows.scan(&keys::devices_of_user_code(&user_code));
            devices::decide(rows, &same_code, &decision, now)
        })
    }

    async fn poll_device(
        &self,
        device: Digest,
        client: ClientId,
        now: Timestamp,
    ) -> Result<PollDevice, StoreError> {
        self.run(|rows| devices::poll(rows, &device, &client, now))
    }

    async fn redeem_device(
        &self,
        device: Digest,
        redeem: DeviceTokens,
        now: Timestamp,
    ) -> Result<RedeemDevice, StoreError> {
        self.run(|rows| devices::redeem(rows, &device, &redeem, now))
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

    async fn revoked_among(
        &self,
        grants: Vec<GrantId>,
        access_tokens: Vec<Digest>,
    ) -> Result<Revocation, StoreError> {
        self.run(|rows| revoke::among(rows, &grants, &access_tokens))
    }

    async fn revoke(&self, target: RevokeTarget, now: Timestamp) -> Result<Revocation, StoreError> {
        self.run(|rows| match Reach::from(target) {
            Reach::One(one) => revoke::one(rows, &one, now),
            Reach::Many(many) => rows.revoke_many(&many, now),
        })
    }

    async fn grants(
        &self,
        subject: Subject,
        now: Timestamp,
    ) -> Result<Vec<GrantRecord>, StoreError> {
        let prefix = keys::grants_of_subject(&subject, None);
        self.run(|rows| Ok(rows.grants(&prefix, now)))
    }

    async fn consent(
        &self,
        subject: Subject,
        client: ClientId,
        resource: ResourceUri,
        destination: Option<Destination>,
    ) -> Result<Option<ConsentRecord>, StoreError> {
        let key = keys::consent(&subject, &client, &resource, destination.as_ref());
        self.run(|rows| rows.read(&key))
    }

    async fn consents(&self, subject: Subject) -> Result<Vec<ConsentRecord>, StoreError> {
        self.run(|rows| Ok(rows.list(&keys::consents(&subject, None))))
    }

    async fn keys(&self, purpose: KeyPurpose) -> Result<Vec<KeyRecord>, StoreError> {
        self.run(|rows| Ok(rows.list(&keys::keys(purpose))))
    }

    async fn add_key(
        &self,
        key: KeyRecord,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Vec<KeyRecord>, StoreError> {
        self.run(|rows| {
            let stored = rows.list(&keys::keys(key.purpose));
            upkeep::add_key(rows, &stored, &key, overlap, now)
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
                .try_for_each(|record| upkeep::import(rows, record))
        })
    }
}
