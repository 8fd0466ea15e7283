//! [`Store`] for [`SledStore`]. Point reads and single transactions run where they are called:
//! they take microseconds, less than it takes to hand them to another thread.

use ::sled::IVec;
use tokio::task::yield_now;

use super::{
    CHUNK, Cursor, Progress, SledStore,
    tx::{ReadError, Reader, Value, decode},
};
use crate::store::{
    kv::{
        Read, devices, keys, ops,
        revoke::{self, Many, Reach},
        table::{self, Table},
        upkeep,
    },
    *,
};

impl SledStore {
    /// Everything under a prefix of which there are only ever a few.
    fn list<T: Table>(&self, prefix: &[u8]) -> Result<Vec<T>, StoreError> {
        let rows = self.engine.db.scan_prefix(prefix);
        rows.map(|row| Ok(decode(&row?.1)?))
            .collect::<Result<_, ReadError>>()
            .map_err(|error| self.engine.read_error(error))
    }

    /// The index rows of a user code, of which there are only ever a few.
    fn same_code(&self, user_code: &Digest) -> Result<Vec<Vec<u8>>, StoreError> {
        Cursor::of(keys::devices_of_user_code(user_code)).next(&self.engine)
    }

    /// Of the grants that index rows name, those that live.
    fn live_among(&self, rows: &[Vec<u8>], now: Timestamp) -> Result<Vec<GrantRecord>, StoreError> {
        self.engine.guarded(|| {
            let mut live = Vec::new();
            for id in rows.iter().filter_map(|key| keys::grant_of_index(key)) {
                let grant = Reader(&self.engine.db).read::<GrantRecord>(&keys::grant(&id));
                let grant = grant.map_err(|error| self.engine.read_error(error))?;
                live.extend(grant.filter(|grant| transition::is_live(grant, now)));
            }
            Ok(live)
        })
    }

    async fn revoke_many(&self, many: Many, now: Timestamp) -> Result<Revocation, StoreError> {
        let mut progress = Progress::of(&many);
        let mut reached = self.engine.revoke_chunk(&many, &mut progress, now)?;
        while !progress.done() {
            yield_now().await;
            let more = self.engine.revoke_chunk(&many, &mut progress, now)?;
            reached.grants.extend(more.grants);
        }
        self.commits.durable().await?;
        Ok(reached)
    }

    fn export_page(&self, start: &[u8], end: &[u8], limit: usize) -> Result<ExportPage, ReadError> {
        let mut page = ExportPage::default();
        if start >= end {
            return Ok(page);
        }
        for row in self.engine.db.range(start..end) {
            let (key, value): (IVec, IVec) = row?;
            if page.records.len() == limit {
                page.next = Some(key.to_vec());
                break;
            }
            page.records.extend(table::export(&key, Value(value))?);
        }
        Ok(page)
    }
}

impl Store for SledStore {
    async fn create_client(
        &self,
        client: ClientRecord,
        max: u64,
        now: Timestamp,
    ) -> Result<CreateClient, StoreError> {
        self.add_durably(move |tx| ops::create_client(tx, &client, max, now))
            .await
    }

    async fn client(
        &self,
        id: ClientId,
        now: Timestamp,
    ) -> Result<Option<ClientRecord>, StoreError> {
        let found: Option<ClientRecord> = self.engine.read(|rows| rows.read(&keys::client(&id)))?;
        Ok(found.filter(|client| now < client.expires_at))
    }

    async fn update_client(
        &self,
        client: ClientRecord,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.add_durably(move |tx| ops::update_client(tx, &client, now))
            .await
    }

    async fn delete_client(&self, id: ClientId, now: Timestamp) -> Result<Revocation, StoreError> {
        self.revoke_many(Many::forget_client(&id), now).await
    }

    async fn begin_authorization(
        &self,
        id: Digest,
        pending: PendingAuthorization,
        max: u64,
        _now: Timestamp,
    ) -> Result<BeginAuthorization, StoreError> {
        self.engine.check_room()?;
        self.engine
            .change(|tx| ops::begin_authorization(tx, &id, &pending, max))
    }

    async fn pending_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Result<Option<PendingAuthorization>, StoreError> {
        let found: Option<PendingAuthorization> =
            self.engine.read(|rows| rows.read(&keys::pending(&id)))?;
        Ok(found.filter(|pending| now < pending.expires_at))
    }

    async fn end_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Result<Option<PendingAuthorization>, StoreError> {
        self.engine
            .change(|tx| ops::end_authorization(tx, &id, now))
    }

    async fn issue_code(
        &self,
        issue: IssueCode,
        now: Timestamp,
    ) -> Result<IssueCodeOutcome, StoreError> {
        self.add_durably(move |tx| ops::issue_code(tx, &issue, now))
            .await
    }

    async fn code(&self, digest: Digest) -> Result<Option<(CodeRecord, GrantRecord)>, StoreError> {
        self.engine.read(|rows| ops::code(rows, &digest))
    }

    async fn redeem_code(
        &self,
        redeem: RedeemCode,
        now: Timestamp,
    ) -> Result<RedeemCodeOutcome, StoreError> {
        if let Err(full) = self.engine.check_room() {
            let found = self.engine.read(|rows| ops::code(rows, &redeem.code))?;
            // A second use takes rights away.
            if found.is_none_or(|(code, _)| code.redeemed_at.is_none()) {
                return Err(full);
            }
        }
        self.change_durably(move |tx| ops::redeem_code(tx, &redeem, now))
            .await
    }

    async fn issue_tokens(
        &self,
        issue: IssueTokens,
        max_used: u64,
        now: Timestamp,
    ) -> Result<IssueTokensOutcome, StoreError> {
        self.add_durably(move |tx| ops::issue_tokens(tx, &issue, max_used, now))
            .await
    }

    async fn use_once(
        &self,
        digest: Digest,
        expires_at: Timestamp,
        max: u64,
        now: Timestamp,
    ) -> Result<UseOnce, StoreError> {
        self.add_durably(move |tx| ops::use_once(tx, &digest, expires_at, max, now))
            .await
    }

    async fn begin_device(
        &self,
        device: Digest,
        record: DeviceRecord,
        max: u64,
        now: Timestamp,
    ) -> Result<BeginDevice, StoreError> {
        self.engine.check_room()?;
        self.engine.in_turn(|| {
            let same_code = self.same_code(&record.user_code)?;
            let begun = self
                .engine
                .transact(|tx| devices::begin(tx, &same_code, &device, &record, max, now))?;
            Ok(begun.0)
        })
    }

    async fn device_by_user_code(
        &self,
        user_code: Digest,
        now: Timestamp,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        self.engine.guarded(|| {
            let same_code = self.same_code(&user_code)?;
            let found = devices::by_user_code(&mut Reader(&self.engine.db), &same_code, now);
            let found = found.map_err(|error| self.engine.read_error(error))?;
            Ok(found.map(|(_, device)| device))
        })
    }

    async fn decide_device(
        &self,
        user_code: Digest,
        decision: DecideDevice,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.engine.check_room()?;
        let decided = self.engine.in_turn(|| {
            let same_code = self.same_code(&user_code)?;
            self.engine
                .commit(|tx| devices::decide(tx, &same_code, &decision, now))
        })?;
        self.commits.durable().await?;
        Ok(decided)
    }

    async fn poll_device(
        &self,
        device: Digest,
        client: ClientId,
        now: Timestamp,
    ) -> Result<PollDevice, StoreError> {
        self.engine
            .change(|tx| devices::poll(tx, &device, &client, now))
    }

    async fn redeem_device(
        &self,
        device: Digest,
        redeem: DeviceTokens,
        now: Timestamp,
    ) -> Result<RedeemDevice, StoreError> {
        self.add_durably(move |tx| devices::redeem(tx, &device, &redeem, now))
            .await
    }

    async fn refresh_token(
        &self,
        digest: Digest,
    ) -> Result<Option<(RefreshTokenRecord, GrantRecord)>, StoreError> {
        self.engine.read(|rows| ops::refresh_token(rows, &digest))
    }

    async fn rotate_refresh(
        &self,
        rotate: RotateRefresh,
        now: Timestamp,
    ) -> Result<RotateRefreshOutcome, StoreError> {
        if let Err(full) = self.engine.check_room() {
            let found = self
                .engine
                .read(|rows| ops::refresh_token(rows, &rotate.presented))?;
            // A repeat adds little, and a late one takes rights away.
            if found.is_none_or(|(token, _)| token.used.is_none()) {
                return Err(full);
            }
        }
        self.change_durably(move |tx| ops::rotate_refresh(tx, &rotate, now))
            .await
    }

    async fn access_token(&self, digest: Digest) -> Result<Option<AccessToken>, StoreError> {
        self.engine.read(|rows| ops::access_token(rows, &digest))
    }

    async fn revoked_among(
        &self,
        grants: Vec<GrantId>,
        access_tokens: Vec<Digest>,
    ) -> Result<Revocation, StoreError> {
        // Of one moment: without a turn it would see half of what others are committing.
        self.engine.in_turn(|| {
            let mut rows = Reader(&self.engine.db);
            revoke::among(&mut rows, &grants, &access_tokens)
                .map_err(|error| self.engine.read_error(error))
        })
    }

    async fn revoke(&self, target: RevokeTarget, now: Timestamp) -> Result<Revocation, StoreError> {
        match Reach::from(target) {
            Reach::One(one) => {
                self.change_durably(move |tx| revoke::one(tx, &one, now))
                    .await
            }
            Reach::Many(many) => self.revoke_many(many, now).await,
        }
    }

    async fn grants(
        &self,
        subject: Subject,
        now: Timestamp,
    ) -> Result<Vec<GrantRecord>, StoreError> {
        let mut index = Cursor::of(keys::grants_of_subject(&subject, None));
        let mut live = Vec::new();
        loop {
            let rows = index.next(&self.engine)?;
            live.extend(self.live_among(&rows, now)?);
            if index.done {
                return Ok(live);
            }
            yield_now().await;
        }
    }

    async fn consent(
        &self,
        subject: Subject,
        client: ClientId,
        resource: ResourceUri,
        destination: Option<Destination>,
    ) -> Result<Option<ConsentRecord>, StoreError> {
        let key = keys::consent(&subject, &client, &resource, destination.as_ref());
        self.engine.read(|rows| rows.read(&key))
    }

    async fn consents(&self, subject: Subject) -> Result<Vec<ConsentRecord>, StoreError> {
        self.engine
            .guarded(|| self.list(&keys::consents(&subject, None)))
    }

    async fn keys(&self, purpose: KeyPurpose) -> Result<Vec<KeyRecord>, StoreError> {
        let found = self.engine.in_turn(|| self.list(&keys::keys(purpose)))?;
        // Nothing may be derived from or signed with a key that a crash could take back.
        self.commits.durable().await?;
        Ok(found)
    }

    async fn add_key(
        &self,
        key: KeyRecord,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Vec<KeyRecord>, StoreError> {
        let keys = self.engine.in_turn(|| {
            let stored = self.list(&keys::keys(key.purpose))?;
            self.engine
                .commit(|tx| upkeep::add_key(tx, &stored, &key, overlap, now))
        })?;
        self.commits.durable().await?;
        Ok(keys)
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut removed = 0;
        while removed < limit {
            let (count, more) = self.engine.sweep_chunk(now, CHUNK.min(limit - removed))?;
            removed += count;
            if !more {
                break;
            }
            yield_now().await;
        }
        self.commits.durable().await?;
        Ok(removed)
    }

    async fn export(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ExportPage, StoreError> {
        let (first, end) = keys::EXPORTED;
        let start = cursor.unwrap_or_else(|| first.to_vec());
        // Not more at once than others should have to wait for.
        let limit = limit.clamp(1, CHUNK);
        self.engine.guarded(|| {
            self.export_page(&start, end, limit)
                .map_err(|error| self.engine.read_error(error))
        })
    }

    async fn import(&self, records: Vec<Record>) -> Result<(), StoreError> {
        for chunk in records.chunks(CHUNK) {
            self.engine.check_room()?;
            self.engine.in_turn(|| {
                self.engine
                    .commit(|tx| chunk.iter().try_for_each(|r| upkeep::import(tx, r)))
            })?;
            yield_now().await;
        }
        self.commits.durable().await
    }
}
