//! The simplest store that one could write. It says what the others must answer, and shares no code with them.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tower_mcp_auth::{
    ClientId, Digest, GrantId, ResourceUri, Subject, Timestamp,
    store::{record::*, *},
};

use super::tables::Tables;

type Done<T> = Result<T, StoreError>;

/// The tables behind one lock.
#[derive(Default)]
pub struct Reference(Mutex<Tables>);

impl From<Tables> for Reference {
    fn from(tables: Tables) -> Self {
        Self(tables.into())
    }
}

impl Reference {
    pub fn tables(&self) -> Tables {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap()
    }

    /// Takes over what `store` says of the records that a crash may take along.
    pub async fn forget_as(&self, store: &impl Store, now: Timestamp) {
        let tables = self.tables();
        for id in tables.pendings.keys() {
            let digest = Digest::from_bytes(*id);
            let found = store.pending_authorization(digest, now).await.unwrap();
            if found.is_none() {
                self.lock().pendings.remove(id);
            }
        }
        for (id, device) in &tables.devices {
            let found = store.device_by_user_code(device.user_code, now).await;
            let mut tables = self.lock();
            match found.unwrap() {
                Some(found) => tables.devices.insert(*id, found),
                None => tables.devices.remove(id),
            };
        }
    }
}

impl Store for Reference {
    async fn create_client(
        &self,
        client: ClientRecord,
        max: u64,
        now: Timestamp,
    ) -> Done<CreateClient> {
        let mut tables = self.lock();
        let count = tables.clients.len() as u64;
        match tables.clients.get_mut(&client.id) {
            Some(old) if now < old.expires_at => {
                let (left, fresh) = (now.until(old.expires_at), now.until(client.expires_at));
                if left < fresh / 2 {
                    old.expires_at = client.expires_at;
                }
                return Ok(CreateClient::Exists(old.clone()));
            }
            None if count >= max => return Ok(CreateClient::Full),
            _ => {}
        }
        tables.clients.insert(client.id.clone(), client);
        Ok(CreateClient::Created)
    }

    async fn client(&self, id: ClientId, now: Timestamp) -> Done<Option<ClientRecord>> {
        let found = self.lock().clients.get(&id).cloned();
        Ok(found.filter(|client| now < client.expires_at))
    }

    async fn update_client(&self, mut client: ClientRecord, now: Timestamp) -> Done<bool> {
        let mut tables = self.lock();
        match tables.clients.get_mut(&client.id) {
            Some(old) if now < old.expires_at => {
                client.expires_at = client.expires_at.max(old.expires_at);
                *old = client;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn delete_client(&self, id: ClientId, now: Timestamp) -> Done<Revocation> {
        let mut tables = self.lock();
        tables.clients.remove(&id);
        tables.consents.retain(|_, row| row.client_id != id);
        Ok(tables.revoke_grants(now, |grant| grant.client_id == id))
    }

    async fn begin_authorization(
        &self,
        id: Digest,
        pending: PendingAuthorization,
        max: u64,
        _now: Timestamp,
    ) -> Done<BeginAuthorization> {
        let mut tables = self.lock();
        if tables.pendings.len() as u64 >= max {
            return Ok(BeginAuthorization::Full);
        }
        tables.pendings.insert(*id.as_bytes(), pending);
        Ok(BeginAuthorization::Begun)
    }

    async fn pending_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Done<Option<PendingAuthorization>> {
        let found = self.lock().pendings.get(id.as_bytes()).cloned();
        Ok(found.filter(|pending| now < pending.expires_at))
    }

    async fn end_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Done<Option<PendingAuthorization>> {
        let taken = self.lock().pendings.remove(id.as_bytes());
        Ok(taken.filter(|pending| now < pending.expires_at))
    }

    async fn issue_code(&self, issue: IssueCode, now: Timestamp) -> Done<IssueCodeOutcome> {
        let mut tables = self.lock();
        if let Some(id) = issue.pending {
            let waits = tables.pendings.get(id.as_bytes());
            if waits.is_none_or(|pending| now >= pending.expires_at) {
                return Ok(IssueCodeOutcome::Gone);
            }
            tables.pendings.remove(id.as_bytes());
        }
        let until = issue.code.expires_at;
        tables.codes.insert(*issue.digest.as_bytes(), issue.code);
        let (id, client) = (issue.grant.id, issue.grant.client_id.clone());
        tables.grants.insert(id, issue.grant);
        tables.outlive(id, until);
        if let Some(consent) = &issue.consent {
            tables.remember(consent);
        }
        tables.renew(&client, issue.renew_client);
        Ok(IssueCodeOutcome::Issued)
    }

    async fn code(&self, digest: Digest) -> Done<Option<(CodeRecord, GrantRecord)>> {
        let tables = self.lock();
        let code = tables.codes.get(digest.as_bytes());
        Ok(code.and_then(|code| Some((code.clone(), tables.grants.get(&code.grant)?.clone()))))
    }

    async fn redeem_code(&self, redeem: RedeemCode, now: Timestamp) -> Done<RedeemCodeOutcome> {
        let mut tables = self.lock();
        let Some(code) = tables.codes.get(redeem.code.as_bytes()).cloned() else {
            return Ok(RedeemCodeOutcome::Unknown);
        };
        let Some(grant) = tables.grants.get(&code.grant).cloned() else {
            return Ok(RedeemCodeOutcome::Unknown);
        };
        if code.redeemed_at.is_some() {
            tables.revoke_grants(now, |other| other.id == grant.id);
            return Ok(RedeemCodeOutcome::Replayed(grant.id));
        }
        if now >= code.expires_at {
            return Ok(RedeemCodeOutcome::Expired);
        }
        if grant.revoked_at.is_some() {
            return Ok(RedeemCodeOutcome::Revoked);
        }
        let redeemed = CodeRecord {
            redeemed_at: Some(now),
            ..code
        };
        tables.codes.insert(*redeem.code.as_bytes(), redeemed);
        tables.bind(grant.id, redeem.dpop_jkt);
        tables.first_tokens(grant.id, &redeem.access, redeem.refresh.as_ref());
        tables.renew(&grant.client_id, redeem.renew_client);
        Ok(RedeemCodeOutcome::Redeemed)
    }

    async fn issue_tokens(
        &self,
        issue: IssueTokens,
        max_used: u64,
        now: Timestamp,
    ) -> Done<IssueTokensOutcome> {
        let mut tables = self.lock();
        if let Some((digest, until)) = &issue.used {
            match tables.use_once(digest, *until, max_used, now) {
                UseOnce::Again => return Ok(IssueTokensOutcome::Used),
                UseOnce::Full => return Ok(IssueTokensOutcome::Full),
                _ => {}
            }
        }
        let (id, client) = (issue.grant.id, issue.grant.client_id.clone());
        tables.grants.insert(id, issue.grant);
        tables.first_tokens(id, &issue.access, issue.refresh.as_ref());
        tables.renew(&client, issue.renew_client);
        Ok(IssueTokensOutcome::Issued)
    }

    async fn use_once(
        &self,
        digest: Digest,
        expires_at: Timestamp,
        max: u64,
        now: Timestamp,
    ) -> Done<UseOnce> {
        Ok(self.lock().use_once(&digest, expires_at, max, now))
    }

    async fn begin_device(
        &self,
        device: Digest,
        record: DeviceRecord,
        max: u64,
        now: Timestamp,
    ) -> Done<BeginDevice> {
        let mut tables = self.lock();
        if tables.devices.len() as u64 >= max {
            return Ok(BeginDevice::Full);
        }
        if tables.device_of(&record.user_code, now).is_some() {
            return Ok(BeginDevice::UserCodeTaken);
        }
        tables.devices.insert(*device.as_bytes(), record);
        Ok(BeginDevice::Begun)
    }

    async fn device_by_user_code(
        &self,
        user_code: Digest,
        now: Timestamp,
    ) -> Done<Option<DeviceRecord>> {
        let tables = self.lock();
        let found = tables.device_of(&user_code, now);
        Ok(found.and_then(|id| tables.devices.get(&id).cloned()))
    }

    async fn decide_device(
        &self,
        user_code: Digest,
        decision: DecideDevice,
        now: Timestamp,
    ) -> Done<bool> {
        let mut tables = self.lock();
        let Some(id) = tables.device_of(&user_code, now) else {
            return Ok(false);
        };
        let mut device = tables.devices[&id].clone();
        if device.decision.is_some() {
            return Ok(false);
        }
        device.decision = Some(match decision {
            DecideDevice::Approve { grant, consent } => {
                let named = grant.id;
                tables.grants.insert(named, grant);
                tables.outlive(named, device.expires_at);
                if let Some(consent) = &consent {
                    tables.remember(consent);
                }
                DeviceDecision::Approved { grant: named }
            }
            _ => DeviceDecision::Denied,
        });
        tables.devices.insert(id, device);
        Ok(true)
    }

    async fn poll_device(
        &self,
        device: Digest,
        client: ClientId,
        now: Timestamp,
    ) -> Done<PollDevice> {
        let mut tables = self.lock();
        let found = tables.devices.get(device.as_bytes()).cloned();
        let Some(mut record) = found.filter(|device| device.client_id == client) else {
            return Ok(PollDevice::Unknown);
        };
        if now >= record.expires_at {
            return Ok(PollDevice::Expired);
        }
        match record.decision {
            Some(DeviceDecision::Approved { grant }) => {
                let grant = tables.grants.get(&grant).cloned();
                Ok(
                    grant.map_or(PollDevice::Unknown, |grant| PollDevice::Approved {
                        record,
                        grant,
                    }),
                )
            }
            Some(_) => Ok(PollDevice::Denied),
            None => {
                let too_soon = record
                    .last_poll
                    .is_some_and(|last| now.as_secs() < last.as_secs() + record.interval);
                record.last_poll = Some(now);
                if too_soon {
                    record.interval += 5;
                }
                let interval = record.interval;
                tables.devices.insert(*device.as_bytes(), record);
                Ok(match too_soon {
                    true => PollDevice::SlowDown { interval },
                    false => PollDevice::Pending,
                })
            }
        }
    }

    async fn redeem_device(
        &self,
        device: Digest,
        redeem: DeviceTokens,
        now: Timestamp,
    ) -> Done<RedeemDevice> {
        let mut tables = self.lock();
        let Some(found) = tables.devices.get(device.as_bytes()) else {
            return Ok(RedeemDevice::Gone);
        };
        let Some(DeviceDecision::Approved { grant }) = found.decision else {
            return Ok(RedeemDevice::Gone);
        };
        if now >= found.expires_at {
            return Ok(RedeemDevice::Gone);
        }
        let Some(grant) = tables.grants.get(&grant).cloned() else {
            return Ok(RedeemDevice::Gone);
        };
        if grant.revoked_at.is_some() {
            return Ok(RedeemDevice::Revoked);
        }
        tables.devices.remove(device.as_bytes());
        tables.bind(grant.id, redeem.dpop_jkt);
        tables.first_tokens(grant.id, &redeem.access, redeem.refresh.as_ref());
        tables.renew(&grant.client_id, redeem.renew_client);
        Ok(RedeemDevice::Redeemed)
    }

    async fn refresh_token(
        &self,
        digest: Digest,
    ) -> Done<Option<(RefreshTokenRecord, GrantRecord)>> {
        let tables = self.lock();
        let found = tables.refresh.get(digest.as_bytes());
        Ok(found.and_then(|token| Some((token.clone(), tables.grants.get(&token.grant)?.clone()))))
    }

    async fn rotate_refresh(
        &self,
        rotate: RotateRefresh,
        now: Timestamp,
    ) -> Done<RotateRefreshOutcome> {
        Ok(self.lock().rotate(&rotate, now))
    }

    async fn access_token(&self, digest: Digest) -> Done<Option<AccessToken>> {
        let tables = self.lock();
        let found = tables.access.get(digest.as_bytes()).cloned();
        Ok(found.map(|record| {
            let grant = tables.grants.get(&record.grant);
            let grant_lives = grant.is_some_and(|grant| grant.revoked_at.is_none());
            AccessToken {
                revoked: record.revoked_at.is_some() || !grant_lives,
                record,
            }
        }))
    }

    async fn revoked_among(
        &self,
        grants: Vec<GrantId>,
        access_tokens: Vec<Digest>,
    ) -> Done<Revocation> {
        let tables = self.lock();
        let lives = |id: &GrantId| {
            let grant = tables.grants.get(id);
            grant.is_some_and(|grant| grant.revoked_at.is_none())
        };
        Ok(Revocation {
            grants: grants.into_iter().filter(|id| !lives(id)).collect(),
            access_tokens: access_tokens
                .into_iter()
                .filter(|digest| {
                    let token = tables.access.get(digest.as_bytes());
                    token.is_none_or(|token| token.revoked_at.is_some() || !lives(&token.grant))
                })
                .collect(),
        })
    }

    async fn revoke(&self, target: RevokeTarget, now: Timestamp) -> Done<Revocation> {
        let mut tables = self.lock();
        Ok(match target {
            RevokeTarget::AccessToken(digest) => {
                let mut reached = Revocation::default();
                if let Some(token) = tables.access.get_mut(digest.as_bytes()) {
                    token.revoked_at.get_or_insert(now);
                    reached.access_tokens.push(digest);
                }
                reached
            }
            RevokeTarget::RefreshToken(digest) => {
                let of = tables
                    .refresh
                    .get(digest.as_bytes())
                    .map(|token| token.grant);
                tables.revoke_grants(now, |grant| Some(grant.id) == of)
            }
            RevokeTarget::Grant(id) => tables.revoke_grants(now, |grant| grant.id == id),
            RevokeTarget::Consent(subject, client) => {
                tables
                    .consents
                    .retain(|_, row| row.subject != subject || row.client_id != client);
                tables.revoke_grants(now, |grant| {
                    is_of(grant, &subject) && grant.client_id == client
                })
            }
            RevokeTarget::Subject(subject) => {
                tables.consents.retain(|_, row| row.subject != subject);
                tables.revoke_grants(now, |grant| is_of(grant, &subject))
            }
            RevokeTarget::Client(client) => {
                tables.consents.retain(|_, row| row.client_id != client);
                tables.revoke_grants(now, |grant| grant.client_id == client)
            }
            RevokeTarget::Session(subject, session) => tables.revoke_grants(now, |grant| {
                is_of(grant, &subject) && grant.session.as_ref() == Some(&session)
            }),
            other => panic!("the reference does not know {other:?}"),
        })
    }

    async fn grants(&self, subject: Subject, now: Timestamp) -> Done<Vec<GrantRecord>> {
        let tables = self.lock();
        let grants = tables.grants.values().filter(|grant| {
            is_of(grant, &subject) && grant.revoked_at.is_none() && now < grant.expires_at
        });
        Ok(grants.cloned().collect())
    }

    async fn consent(
        &self,
        subject: Subject,
        client: ClientId,
        resource: ResourceUri,
        destination: Option<Destination>,
    ) -> Done<Option<ConsentRecord>> {
        let tables = self.lock();
        let found = tables.consents.values().find(|row| {
            row.subject == subject
                && row.client_id == client
                && row.resource == resource
                && row.destination == destination
        });
        Ok(found.cloned())
    }

    async fn consents(&self, subject: Subject) -> Done<Vec<ConsentRecord>> {
        let tables = self.lock();
        let found = tables
            .consents
            .values()
            .filter(|row| row.subject == subject);
        Ok(found.cloned().collect())
    }

    async fn keys(&self, purpose: KeyPurpose) -> Done<Vec<KeyRecord>> {
        let tables = self.lock();
        let keys = tables.keys.iter().filter(|key| key.purpose == purpose);
        Ok(keys.cloned().collect())
    }

    async fn add_key(
        &self,
        key: KeyRecord,
        overlap: Duration,
        now: Timestamp,
    ) -> Done<Vec<KeyRecord>> {
        let mut tables = self.lock();
        let purpose = key.purpose;
        let ids = tables.keys.iter().filter(|old| old.purpose == purpose);
        let next = ids.map(|old| old.id + 1).max().unwrap_or(0);
        if key.id == next {
            for old in &mut tables.keys {
                if old.purpose == purpose && old.retires_at.is_none() {
                    old.retires_at = Some(now);
                    old.expires_at = Some(now.plus(overlap));
                }
            }
            tables.keys.push(key);
        }
        let keys = tables.keys.iter().filter(|key| key.purpose == purpose);
        let alive = keys.filter(|key| key.expires_at.is_none_or(|at| now < at));
        Ok(alive.cloned().collect())
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Done<usize> {
        assert_eq!(limit, usize::MAX, "which ones a limit spares is not said");
        Ok(self.lock().sweep(now))
    }

    async fn export(&self, _cursor: Option<Vec<u8>>, _limit: usize) -> Done<ExportPage> {
        Ok(ExportPage {
            records: self.lock().records(),
            next: None,
        })
    }

    async fn import(&self, _records: Vec<Record>) -> Done<()> {
        unreachable!("no history imports")
    }
}

/// Whether that user gave it. A client in its own name is no user.
fn is_of(grant: &GrantRecord, subject: &Subject) -> bool {
    grant.holder == GrantHolder::User && grant.subject == *subject
}
