//! The operations.

use std::time::Duration;

use super::{
    RedisStore,
    asking::{at, grant_id, rows, those, use_once},
    error::damaged,
    keys::{Kind, consent_name, name, purpose_name},
    revoke::Many,
    rows::Found,
    scripts,
};
use crate::{
    client::destination::Destination,
    clock::Timestamp,
    id::{ClientId, Subject},
    secret::{Digest, GrantId},
    store::{
        AccessToken, BeginAuthorization, BeginDevice, CreateClient, DecideDevice, DeviceTokens,
        ExportPage, Feed, IssueCode, IssueCodeOutcome, IssueTokens, IssueTokensOutcome, PollDevice,
        RedeemCode, RedeemCodeOutcome, RedeemDevice, Revocation, RevokeTarget, RotateRefresh,
        RotateRefreshOutcome, Store, StoreError, UseOnce,
        record::{
            AccessTokenRecord, ClientRecord, CodeRecord, ConsentRecord, DeviceRecord, GrantRecord,
            KeyPurpose, KeyRecord, PendingAuthorization, Record, RefreshTokenRecord,
        },
        transition,
    },
    uri::ResourceUri,
};

type Result<T> = std::result::Result<T, StoreError>;

impl Store for RedisStore {
    async fn create_client(
        &self,
        client: ClientRecord,
        max: u64,
        now: Timestamp,
    ) -> Result<CreateClient> {
        let call = self
            .ask_at(&scripts::CREATE_CLIENT, now)
            .record(Kind::Client, self.keys.client(&client.id), &client)?
            .number(max);
        let (outcome, other): (String, Found) = self.link.call(&call).await?;
        match (&*outcome, other.row()?) {
            ("created", None) => Ok(CreateClient::Created),
            ("full", None) => Ok(CreateClient::Full),
            ("exists", Some(other)) => Ok(CreateClient::Exists(other)),
            _ => Err(damaged(outcome)),
        }
    }

    async fn client(&self, id: ClientId, now: Timestamp) -> Result<Option<ClientRecord>> {
        let found: Option<ClientRecord> = self.read(self.keys.client(&id)).await?;
        Ok(found.filter(|client| now < client.expires_at))
    }

    async fn update_client(&self, client: ClientRecord, now: Timestamp) -> Result<bool> {
        let call = self.ask_at(&scripts::UPDATE_CLIENT, now).record(
            Kind::Client,
            self.keys.client(&client.id),
            &client,
        )?;
        self.link.call(&call).await
    }

    async fn delete_client(&self, id: ClientId, now: Timestamp) -> Result<Revocation> {
        let many = Many {
            grants: self.keys.grants_to(&id),
            consents: Some(self.keys.consents_to(&id)),
            forgotten: Some(id),
            ..Many::default()
        };
        self.revoke_many(many, now).await
    }

    async fn begin_authorization(
        &self,
        id: Digest,
        pending: PendingAuthorization,
        max: u64,
        now: Timestamp,
    ) -> Result<BeginAuthorization> {
        let record = self.keys.digest(Kind::Pending, &id);
        let call = self
            .ask_at(&scripts::BEGIN_AUTHORIZATION, now)
            .record(Kind::Pending, record, &pending)?
            .number(max);
        let begun: bool = self.link.call(&call).await?;
        Ok(match begun {
            true => BeginAuthorization::Begun,
            false => BeginAuthorization::Full,
        })
    }

    async fn pending_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Result<Option<PendingAuthorization>> {
        let found: Option<PendingAuthorization> =
            self.read(self.keys.digest(Kind::Pending, &id)).await?;
        Ok(found.filter(|pending| now < pending.expires_at))
    }

    async fn end_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> Result<Option<PendingAuthorization>> {
        let call = self
            .ask_at(&scripts::END_AUTHORIZATION, now)
            .key(self.keys.digest(Kind::Pending, &id))
            .touch(Kind::Pending);
        let found: Found = self.link.call(&call).await?;
        let taken: Option<PendingAuthorization> = found.row()?;
        Ok(taken.filter(|pending| now < pending.expires_at))
    }

    async fn issue_code(&self, issue: IssueCode, now: Timestamp) -> Result<IssueCodeOutcome> {
        let mut grant = issue.grant;
        transition::outlive(&mut grant, issue.code.expires_at);
        let mut call = self
            .ask_at(&scripts::ISSUE_CODE, now)
            .flag(issue.pending.is_some());
        if let Some(id) = &issue.pending {
            let pending = self.keys.digest(Kind::Pending, id);
            call = call.key(pending).touch(Kind::Pending);
        }
        let code = self.keys.digest(Kind::Code, &issue.digest);
        let call = call
            .record(Kind::Code, code, &issue.code)?
            .grant(&grant)?
            .remember(issue.consent.as_ref())?
            .renewal_of(&grant.client_id, issue.renew_client);
        let issued: bool = self.link.call(&call).await?;
        Ok(match issued {
            true => IssueCodeOutcome::Issued,
            false => IssueCodeOutcome::Gone,
        })
    }

    async fn code(&self, digest: Digest) -> Result<Option<(CodeRecord, GrantRecord)>> {
        self.with_grant(self.keys.digest(Kind::Code, &digest)).await
    }

    async fn redeem_code(&self, redeem: RedeemCode, now: Timestamp) -> Result<RedeemCodeOutcome> {
        let call = self
            .ask_at(&scripts::REDEEM_CODE, now)
            .key(self.keys.digest(Kind::Code, &redeem.code))
            .tokens(&redeem.access, redeem.refresh.as_ref())?
            .maybe(redeem.dpop_jkt)
            .renewal(redeem.renew_client)
            .revoking();
        let (outcome, grant): (String, String) = self.link.call(&call).await?;
        Ok(match &*outcome {
            "redeemed" => RedeemCodeOutcome::Redeemed,
            "replayed" => RedeemCodeOutcome::Replayed(grant_id(&grant)?),
            "revoked" => RedeemCodeOutcome::Revoked,
            "expired" => RedeemCodeOutcome::Expired,
            "unknown" => RedeemCodeOutcome::Unknown,
            _ => return Err(damaged(outcome)),
        })
    }

    async fn issue_tokens(
        &self,
        issue: IssueTokens,
        max_used: u64,
        now: Timestamp,
    ) -> Result<IssueTokensOutcome> {
        let mut grant = issue.grant;
        transition::endow(&mut grant, &issue.access.1, issue.refresh.as_ref());
        let mut call = self
            .ask_at(&scripts::ISSUE_TOKENS, now)
            .grant(&grant)?
            .tokens(&issue.access, issue.refresh.as_ref())?
            .flag(issue.used.is_some());
        if let Some((digest, until)) = &issue.used {
            call = call.used(digest, *until);
        }
        let call = call
            .number(max_used)
            .renewal_of(&grant.client_id, issue.renew_client);
        let outcome: String = self.link.call(&call).await?;
        Ok(match use_once(outcome)? {
            UseOnce::First => IssueTokensOutcome::Issued,
            UseOnce::Again => IssueTokensOutcome::Used,
            UseOnce::Full => IssueTokensOutcome::Full,
        })
    }

    async fn use_once(
        &self,
        digest: Digest,
        expires_at: Timestamp,
        max: u64,
        now: Timestamp,
    ) -> Result<UseOnce> {
        let call = self
            .ask_at(&scripts::USE_ONCE, now)
            .used(&digest, expires_at)
            .number(max);
        use_once(self.link.call(&call).await?)
    }

    async fn begin_device(
        &self,
        device: Digest,
        record: DeviceRecord,
        max: u64,
        now: Timestamp,
    ) -> Result<BeginDevice> {
        self.begin(&device, &record, max, now).await
    }

    async fn device_by_user_code(
        &self,
        user_code: Digest,
        now: Timestamp,
    ) -> Result<Option<DeviceRecord>> {
        self.device_of(&user_code, now).await
    }

    async fn decide_device(
        &self,
        user_code: Digest,
        decided: DecideDevice,
        now: Timestamp,
    ) -> Result<bool> {
        self.decide(&user_code, decided, now).await
    }

    async fn poll_device(
        &self,
        device: Digest,
        client: ClientId,
        now: Timestamp,
    ) -> Result<PollDevice> {
        self.poll(&device, &client, now).await
    }

    async fn redeem_device(
        &self,
        device: Digest,
        redeem: DeviceTokens,
        now: Timestamp,
    ) -> Result<RedeemDevice> {
        self.redeem_approved(&device, redeem, now).await
    }

    async fn refresh_token(
        &self,
        digest: Digest,
    ) -> Result<Option<(RefreshTokenRecord, GrantRecord)>> {
        self.with_grant(self.keys.digest(Kind::Refresh, &digest))
            .await
    }

    async fn rotate_refresh(
        &self,
        rotate: RotateRefresh,
        now: Timestamp,
    ) -> Result<RotateRefreshOutcome> {
        use RotateRefreshOutcome as Outcome;

        let (digest, access) = &rotate.access;
        // Whose it is and which generation the script finds out.
        let successor = RefreshTokenRecord {
            grant: access.grant,
            generation: 0,
            expires_at: rotate.successor_expires_at,
            used: None,
        };
        let keys = &self.keys;
        let call = self
            .ask_at(&scripts::ROTATE_REFRESH, now)
            .key(keys.digest(Kind::Refresh, &rotate.presented))
            .record(
                Kind::Refresh,
                keys.digest(Kind::Refresh, &rotate.successor),
                &successor,
            )?
            .record(Kind::Access, keys.digest(Kind::Access, digest), access)?
            .number(access.issued_at.until(access.expires_at).as_secs())
            .number(rotate.key.into())
            // First uses before that are out of the window.
            .number(match rotate.grace {
                // No first use is late enough.
                0 => u64::MAX,
                grace => now.as_secs().saturating_sub(grace),
            })
            .number(rotate.max_access_tokens.into())
            .renewal(rotate.renew_client)
            .revoking();
        let answer: Vec<String> = self.link.call(&call).await?;
        let mut answer = answer.iter().map(String::as_str);
        let outcome = answer.next().unwrap_or_default();
        let mut next = || answer.next().ok_or_else(|| damaged("the answer is short"));
        Ok(match outcome {
            "rotated" => Outcome::Rotated,
            "repeated" => Outcome::Repeated {
                first_used_at: at(next()?)?,
            },
            "other_key" => Outcome::OtherKey {
                first_used_at: at(next()?)?,
                key: next()?.parse().map_err(damaged)?,
            },
            "replayed" => Outcome::Replayed(grant_id(next()?)?),
            "too_many" => Outcome::TooManyAccessTokens,
            "revoked" => Outcome::Revoked,
            "expired" => Outcome::Expired,
            "unknown" => Outcome::Unknown,
            other => return Err(damaged(other)),
        })
    }

    async fn access_token(&self, digest: Digest) -> Result<Option<AccessToken>> {
        let call = self
            .ask(&scripts::ACCESS_TOKEN)
            .key(self.keys.digest(Kind::Access, &digest));
        let (token, grant_lives): (Found, bool) = self.link.call(&call).await?;
        let token: Option<AccessTokenRecord> = token.row()?;
        Ok(token.map(|record| AccessToken {
            revoked: record.revoked_at.is_some() || !grant_lives,
            record,
        }))
    }

    async fn revoked_among(
        &self,
        grants: Vec<GrantId>,
        access_tokens: Vec<Digest>,
    ) -> Result<Revocation> {
        let mut call = self.ask(&scripts::REVOKED_AMONG);
        call = call.number(grants.len() as u64);
        for id in &grants {
            call = call.key(self.keys.record(Kind::Grant, &id.to_string()));
        }
        call = call.number(access_tokens.len() as u64);
        for digest in &access_tokens {
            call = call.key(self.keys.digest(Kind::Access, digest));
        }
        let (dead_grants, dead_tokens): (Vec<bool>, Vec<bool>) = self.link.call(&call).await?;
        Ok(Revocation {
            grants: those(grants, dead_grants),
            access_tokens: those(access_tokens, dead_tokens),
        })
    }

    fn feed(&self) -> Option<Feed> {
        Some(self.listener.feed(&self.link, &self.keys))
    }

    async fn revoke(&self, target: RevokeTarget, now: Timestamp) -> Result<Revocation> {
        let keys = &self.keys;
        let many = match target {
            RevokeTarget::AccessToken(digest) => {
                return self.revoke_access_token(digest, now).await;
            }
            RevokeTarget::RefreshToken(digest) => {
                let token = keys.digest(Kind::Refresh, &digest);
                return self.revoke_grant(token, false, now).await;
            }
            RevokeTarget::Grant(id) => {
                let grant = keys.record(Kind::Grant, &id.to_string());
                return self.revoke_grant(grant, true, now).await;
            }
            RevokeTarget::Consent(subject, client) => Many {
                grants: keys.grants_of(&subject),
                client: Some(client),
                consents: Some(keys.consents_of(&subject)),
                ..Many::default()
            },
            RevokeTarget::Subject(subject) => Many {
                grants: keys.grants_of(&subject),
                consents: Some(keys.consents_of(&subject)),
                ..Many::default()
            },
            RevokeTarget::Client(client) => Many {
                grants: keys.grants_to(&client),
                consents: Some(keys.consents_to(&client)),
                ..Many::default()
            },
            RevokeTarget::Session(subject, session) => Many {
                grants: keys.grants_of(&subject),
                session: Some(session),
                ..Many::default()
            },
        };
        self.revoke_many(many, now).await
    }

    async fn grants(&self, subject: Subject, now: Timestamp) -> Result<Vec<GrantRecord>> {
        self.live_grants(&subject, now).await
    }

    async fn consent(
        &self,
        subject: Subject,
        client: ClientId,
        resource: ResourceUri,
        destination: Option<Destination>,
    ) -> Result<Option<ConsentRecord>> {
        let destination = destination.as_ref();
        let name = name(&consent_name(&subject, &client, &resource, destination));
        self.read(self.keys.record(Kind::Consent, &name)).await
    }

    async fn consents(&self, subject: Subject) -> Result<Vec<ConsentRecord>> {
        let list = self.keys.consents_of(&subject);
        self.listed(list, self.keys.index(Kind::Consent)).await
    }

    async fn keys(&self, purpose: KeyPurpose) -> Result<Vec<KeyRecord>> {
        let list = self.keys.numbers(purpose);
        self.listed(list, self.keys.keys_of(purpose)).await
    }

    async fn add_key(
        &self,
        key: KeyRecord,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Vec<KeyRecord>> {
        let call = self
            .ask_at(&scripts::ADD_KEY, now)
            .key(self.keys.numbers(key.purpose))
            .arg(purpose_name(key.purpose))
            .number(key.id.into())
            .record(Kind::Key, self.keys.key(&key), &key)?
            .time(now.plus(overlap));
        rows(self.link.call(&call).await?)
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize> {
        self.sweep_expired(now, limit).await
    }

    async fn export(&self, cursor: Option<Vec<u8>>, limit: usize) -> Result<ExportPage> {
        self.export_page(cursor, limit).await
    }

    async fn import(&self, records: Vec<Record>) -> Result<()> {
        self.import_all(&records).await
    }
}
