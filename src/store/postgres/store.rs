//! Each operation, as the call that it is.

use serde_json::{Value, json};

use super::{
    PostgresStore,
    columns::Column,
    outcomes::*,
    revoke::Reach,
    rows::*,
    tokens::{FirstTokens, access_token, refresh_token},
    transfer::{self, Cursor},
};
use crate::{
    scope,
    store::{record::*, *},
};

/// How many records one step of a list, a sweep, an export or an import takes: others get their
/// turn in between.
const CHUNK: usize = 1000;

impl Store for PostgresStore {
    async fn create_client(
        &self,
        client: ClientRecord,
        max: u64,
        now: Timestamp,
    ) -> Result<CreateClient, StoreError> {
        let given = json!({
            "client": ClientRow(client), "max": max.to_json(), "now": now.to_json(),
        });
        let answer: CreateClientAnswer = self.calls.change("create_client", given).await?;
        Ok(answer.into())
    }

    async fn client(
        &self,
        id: ClientId,
        now: Timestamp,
    ) -> Result<Option<ClientRecord>, StoreError> {
        let given = json!({"id": id, "now": now.to_json()});
        let found: Option<ClientRow> = self.calls.question("client", given).await?;
        Ok(found.map(|row| row.0))
    }

    async fn update_client(
        &self,
        client: ClientRecord,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let given = json!({"client": ClientRow(client), "now": now.to_json()});
        self.calls.change("update_client", given).await
    }

    async fn delete_client(&self, id: ClientId, now: Timestamp) -> Result<Revocation, StoreError> {
        let mut reach = Reach::of_client(id);
        reach.forget = true;
        self.revoke_grants(reach, now).await
    }

    async fn begin_authorization(
        &self,
        id: Digest,
        pending: PendingAuthorization,
        max: u64,
        now: Timestamp,
    ) -> Result<BeginAuthorization, StoreError> {
        let row = PendingRow(pending);
        let given = json!({
            "pending": ById { id, row }, "max": max.to_json(), "now": now.to_json(),
        });
        let answer: BeginAuthorizationAnswer =
            self.calls.change("begin_authorization", given).await?;
        Ok(answer.0)
    }

    async fn pending_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Result<Option<PendingAuthorization>, StoreError> {
        let given = json!({"id": id.to_json(), "now": now.to_json()});
        let found: Option<PendingRow> = self.calls.question("pending_authorization", given).await?;
        Ok(found.map(|row| row.0))
    }

    async fn end_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Result<Option<PendingAuthorization>, StoreError> {
        let given = json!({"id": id.to_json(), "now": now.to_json()});
        let taken: Option<PendingRow> = self.calls.change("end_authorization", given).await?;
        Ok(taken.map(|row| row.0))
    }

    async fn issue_code(
        &self,
        issue: IssueCode,
        now: Timestamp,
    ) -> Result<IssueCodeOutcome, StoreError> {
        let mut grant = issue.grant;
        transition::outlive(&mut grant, issue.code.expires_at);
        let given = json!({
            "pending": issue.pending.to_json(),
            "code": ByDigest { digest: issue.digest, row: CodeRow(issue.code) },
            "grant": GrantRow(grant),
            "consent": issue.consent.map(ConsentRow::from),
            "renew_client": issue.renew_client.to_json(),
            "max_scopes": scope::MAX_TOKENS,
            "now": now.to_json(),
        });
        let answer: IssueCodeAnswer = self.calls.change("issue_code", given).await?;
        Ok(answer.0)
    }

    async fn code(&self, digest: Digest) -> Result<Option<(CodeRecord, GrantRecord)>, StoreError> {
        let given = json!({"digest": digest.to_json()});
        let found: Option<(CodeRow, GrantRow)> = self.calls.question("code", given).await?;
        Ok(found.map(|(code, grant)| (code.0, grant.0)))
    }

    async fn redeem_code(
        &self,
        redeem: RedeemCode,
        now: Timestamp,
    ) -> Result<RedeemCodeOutcome, StoreError> {
        let tokens = FirstTokens::new(
            redeem.access,
            redeem.refresh,
            redeem.dpop_jkt,
            redeem.renew_client,
        );
        let given = json!({
            "code": redeem.code.to_json(), "tokens": tokens, "now": now.to_json(),
        });
        let answer: RedeemCodeAnswer = self.calls.change("redeem_code", given).await?;
        Ok(answer.0)
    }

    async fn issue_tokens(
        &self,
        issue: IssueTokens,
        max_used: u64,
        now: Timestamp,
    ) -> Result<IssueTokensOutcome, StoreError> {
        let mut grant = issue.grant;
        transition::endow(&mut grant, &issue.access.1, issue.refresh.as_ref());
        let used = issue.used;
        let given = json!({
            "used": used.map(|(digest, expires_at)| UsedRow { digest, expires_at }),
            "grant": GrantRow(grant),
            "access": access_token(issue.access),
            "refresh": issue.refresh.map(refresh_token),
            "renew_client": issue.renew_client.to_json(),
            "max": max_used.to_json(),
            "now": now.to_json(),
        });
        let answer: IssueTokensAnswer = self.calls.change("issue_tokens", given).await?;
        Ok(answer.0)
    }

    async fn use_once(
        &self,
        digest: Digest,
        expires_at: Timestamp,
        max: u64,
        now: Timestamp,
    ) -> Result<UseOnce, StoreError> {
        let used = UsedRow { digest, expires_at };
        let given = json!({"used": used, "max": max.to_json(), "now": now.to_json()});
        let answer: UseOnceAnswer = self.calls.change("use_once", given).await?;
        Ok(answer.0)
    }

    async fn begin_device(
        &self,
        device: Digest,
        record: DeviceRecord,
        max: u64,
        now: Timestamp,
    ) -> Result<BeginDevice, StoreError> {
        let row = DeviceRow::from(record);
        let given = json!({
            "device": ByDigest { digest: device, row },
            "max": max.to_json(),
            "now": now.to_json(),
        });
        let answer: BeginDeviceAnswer = self.calls.change("begin_device", given).await?;
        Ok(answer.0)
    }

    async fn device_by_user_code(
        &self,
        user_code: Digest,
        now: Timestamp,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        let given = json!({"user_code": user_code.to_json(), "now": now.to_json()});
        let found: Option<DeviceRow> = self.calls.question("device_by_user_code", given).await?;
        Ok(found.map(DeviceRecord::from))
    }

    async fn decide_device(
        &self,
        user_code: Digest,
        decision: DecideDevice,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (grant, consent) = match decision {
            DecideDevice::Approve { grant, consent } => (Some(GrantRow(grant)), consent),
            DecideDevice::Deny => (None, None),
        };
        let given = json!({
            "user_code": user_code.to_json(),
            "grant": grant,
            "consent": consent.map(ConsentRow::from),
            "max_scopes": scope::MAX_TOKENS,
            "now": now.to_json(),
        });
        self.calls.change("decide_device", given).await
    }

    async fn poll_device(
        &self,
        device: Digest,
        client: ClientId,
        now: Timestamp,
    ) -> Result<PollDevice, StoreError> {
        let given = json!({
            "digest": device.to_json(), "client_id": client, "now": now.to_json(),
        });
        let answer: PollDeviceAnswer = self.calls.change("poll_device", given).await?;
        Ok(answer.into())
    }

    async fn redeem_device(
        &self,
        device: Digest,
        redeem: DeviceTokens,
        now: Timestamp,
    ) -> Result<RedeemDevice, StoreError> {
        let tokens = FirstTokens::new(
            redeem.access,
            redeem.refresh,
            redeem.dpop_jkt,
            redeem.renew_client,
        );
        let given = json!({
            "digest": device.to_json(), "tokens": tokens, "now": now.to_json(),
        });
        let answer: RedeemDeviceAnswer = self.calls.change("redeem_device", given).await?;
        Ok(answer.0)
    }

    async fn refresh_token(
        &self,
        digest: Digest,
    ) -> Result<Option<(RefreshTokenRecord, GrantRecord)>, StoreError> {
        let given = json!({"digest": digest.to_json()});
        let found: Option<(RefreshTokenRow, GrantRow)> =
            self.calls.question("refresh_token", given).await?;
        Ok(found.map(|(token, grant)| (token.into(), grant.0)))
    }

    async fn rotate_refresh(
        &self,
        rotate: RotateRefresh,
        now: Timestamp,
    ) -> Result<RotateRefreshOutcome, StoreError> {
        let given = json!({
            "presented": rotate.presented.to_json(),
            "successor": rotate.successor.to_json(),
            "successor_expires_at": rotate.successor_expires_at.to_json(),
            "key": rotate.key,
            "access": access_token(rotate.access),
            "grace": rotate.grace.to_json(),
            "max_access_tokens": rotate.max_access_tokens,
            "renew_client": rotate.renew_client.to_json(),
            "now": now.to_json(),
        });
        let answer: RotateRefreshAnswer = self.calls.change("rotate_refresh", given).await?;
        Ok(answer.0)
    }

    async fn access_token(&self, digest: Digest) -> Result<Option<AccessToken>, StoreError> {
        let given = json!({"digest": digest.to_json()});
        let found: Option<AccessTokenAnswer> = self.calls.question("access_token", given).await?;
        Ok(found.map(AccessToken::from))
    }

    async fn revoked_among(
        &self,
        grants: Vec<GrantId>,
        access_tokens: Vec<Digest>,
    ) -> Result<Revocation, StoreError> {
        let given = json!({
            "grants": grants.to_json(), "access_tokens": access_tokens.to_json(),
        });
        let revoked: RevokedAmong = self.calls.question("revoked_among", given).await?;
        Ok(revoked.into())
    }

    fn feed(&self) -> Option<Feed> {
        Some(self.listening.feed())
    }

    async fn revoke(&self, target: RevokeTarget, now: Timestamp) -> Result<Revocation, StoreError> {
        match target {
            RevokeTarget::AccessToken(digest) => self.revoke_access_token(digest, now).await,
            RevokeTarget::RefreshToken(digest) => {
                let named = json!({"refresh_token": digest.to_json(), "now": now.to_json()});
                self.revoke_grant(named).await
            }
            RevokeTarget::Grant(id) => {
                let named = json!({"grant_id": id.to_json(), "now": now.to_json()});
                self.revoke_grant(named).await
            }
            RevokeTarget::Consent(subject, client) => {
                let mut reach = Reach::of_subject(subject);
                reach.client_id = Some(client);
                self.revoke_grants(reach, now).await
            }
            RevokeTarget::Subject(subject) => {
                self.revoke_grants(Reach::of_subject(subject), now).await
            }
            RevokeTarget::Client(client) => self.revoke_grants(Reach::of_client(client), now).await,
            RevokeTarget::Session(subject, session) => {
                let mut reach = Reach::of_subject(subject);
                reach.session = Some(session);
                reach.consents = false;
                self.revoke_grants(reach, now).await
            }
        }
    }

    async fn grants(
        &self,
        subject: Subject,
        now: Timestamp,
    ) -> Result<Vec<GrantRecord>, StoreError> {
        let mut grants: Vec<GrantRecord> = Vec::new();
        loop {
            let given = json!({
                "subject": subject,
                "after": grants.last().map(|grant| grant.id.to_json()),
                "limit": CHUNK,
                "now": now.to_json(),
            });
            let found: Vec<GrantRow> = self.calls.question("grants", given).await?;
            let is_last = found.len() < CHUNK;
            grants.extend(found.into_iter().map(|row| row.0));
            if is_last {
                return Ok(grants);
            }
        }
    }

    async fn consent(
        &self,
        subject: Subject,
        client: ClientId,
        resource: ResourceUri,
        destination: Option<Destination>,
    ) -> Result<Option<ConsentRecord>, StoreError> {
        let given = json!({
            "subject": subject,
            "client_id": client,
            "resource_key": resource_key(&resource).to_json(),
            "destination_key": destination_key(destination.as_ref()).to_json(),
        });
        let found: Option<ConsentRow> = self.calls.question("consent", given).await?;
        Ok(found.map(ConsentRecord::from))
    }

    async fn consents(&self, subject: Subject) -> Result<Vec<ConsentRecord>, StoreError> {
        let given = json!({"subject": subject});
        let found: Vec<ConsentRow> = self.calls.question("consents", given).await?;
        Ok(found.into_iter().map(ConsentRecord::from).collect())
    }

    async fn keys(&self, purpose: KeyPurpose) -> Result<Vec<KeyRecord>, StoreError> {
        let given = json!({"purpose": purpose});
        let found: Vec<KeyRow> = self.calls.question("keys", given).await?;
        Ok(found.into_iter().map(|row| row.0).collect())
    }

    async fn add_key(
        &self,
        key: KeyRecord,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Vec<KeyRecord>, StoreError> {
        let given = json!({
            "key": KeyRow(key), "overlap": overlap.as_secs().to_json(), "now": now.to_json(),
        });
        let all: Vec<KeyRow> = self.calls.secret_change("add_key", given).await?;
        Ok(all.into_iter().map(|row| row.0).collect())
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut removed = 0;
        while removed < limit {
            let chunk = CHUNK.min(limit - removed);
            let given = json!({"limit": chunk, "now": now.to_json()});
            let count: usize = self.calls.change("sweep", given).await?;
            removed += count;
            if count < chunk {
                break;
            }
        }
        Ok(removed)
    }

    async fn export(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ExportPage, StoreError> {
        let mut cursor = cursor.map_or(Ok(Cursor::default()), |bytes| Cursor::parse(&bytes))?;
        let limit = limit.clamp(1, CHUNK);
        let mut page = ExportPage::default();
        while let Some(table) = cursor.table() {
            let left = limit - page.records.len();
            let given = json!({"table": table, "after": cursor.after(), "limit": left});
            let rows: Vec<Value> = self.calls.question("export", given).await?;
            let is_whole = rows.len() < left;
            for row in rows {
                cursor.pass(&row);
                page.records.push(transfer::record(table, row)?);
            }
            if !is_whole {
                page.next = Some(cursor.to_bytes());
                break;
            }
            cursor.next_table();
        }
        Ok(page)
    }

    async fn import(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let mut records = records.into_iter().map(transfer::item).peekable();
        while records.peek().is_some() {
            let chunk: Vec<Value> = records.by_ref().take(CHUNK).collect();
            let given = json!({"records": chunk});
            self.calls.secret_change::<()>("import", given).await?;
        }
        Ok(())
    }
}
