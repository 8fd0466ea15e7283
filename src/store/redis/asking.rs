//! What several operations are made of.

use super::{
    CHUNK, RedisStore,
    error::damaged,
    keys::Kind,
    rows::{Found, Row, timestamp},
    scripts,
};
use crate::{
    clock::Timestamp,
    id::Subject,
    secret::{Digest, GrantId},
    store::{Revocation, StoreError, UseOnce, record::GrantRecord},
};

type Result<T> = std::result::Result<T, StoreError>;

impl RedisStore {
    /// Reads one record.
    pub(super) async fn read<T: Row>(&self, record: String) -> Result<Option<T>> {
        let mut command = ::redis::cmd("HGETALL");
        let found: Found = self.link.query(command.arg(record)).await?;
        found.row()
    }

    /// Reads one record together with its grant.
    pub(super) async fn with_grant<T: Row>(
        &self,
        record: String,
    ) -> Result<Option<(T, GrantRecord)>> {
        let call = self.ask(&scripts::WITH_GRANT).key(record);
        let (record, grant): (Found, Found) = self.link.call(&call).await?;
        Ok(record.row()?.zip(grant.row()?))
    }

    /// Reads the records that a list names.
    pub(super) async fn listed<T: Row>(&self, list: String, index: String) -> Result<Vec<T>> {
        let call = self.ask(&scripts::LISTED).key(list).key(index);
        rows(self.link.call(&call).await?)
    }

    pub(super) async fn live_grants(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Vec<GrantRecord>> {
        let (mut live, mut position) = (Vec::new(), String::new());
        loop {
            let call = self
                .ask_at(&scripts::GRANTS_LISTED, now)
                .key(self.keys.grants_of(subject))
                .number(CHUNK as u64)
                .arg(position);
            let found: Vec<Found>;
            (position, found) = self.link.call(&call).await?;
            live.extend(rows(found)?);
            if position.is_empty() {
                return Ok(live);
            }
        }
    }

    /// Revokes one grant, named by itself or by a record of it.
    pub(super) async fn revoke_grant(
        &self,
        record: String,
        is_grant: bool,
        now: Timestamp,
    ) -> Result<Revocation> {
        let call = self.ask_at(&scripts::REVOKE_GRANT, now);
        let call = call.key(record).flag(is_grant).revoking();
        let ids: Vec<String> = self.link.call(&call).await?;
        Ok(Revocation {
            grants: ids.iter().map(|id| grant_id(id)).collect::<Result<_>>()?,
            access_tokens: Vec::new(),
        })
    }

    pub(super) async fn revoke_access_token(
        &self,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Revocation> {
        let call = self
            .ask_at(&scripts::REVOKE_ACCESS_TOKEN, now)
            .key(self.keys.digest(Kind::Access, &digest))
            .revoking();
        let is_revoked: bool = self.link.call(&call).await?;
        Ok(Revocation {
            grants: Vec::new(),
            access_tokens: is_revoked.then_some(digest).into_iter().collect(),
        })
    }
}

pub(super) fn rows<T: Row>(found: Vec<Found>) -> Result<Vec<T>> {
    let rows = found.into_iter();
    rows.filter_map(|found| found.row().transpose()).collect()
}

pub(super) fn those<T>(all: Vec<T>, are_meant: Vec<bool>) -> Vec<T> {
    let all = all.into_iter().zip(are_meant);
    all.filter_map(|(one, is_meant)| is_meant.then_some(one))
        .collect()
}

pub(super) fn grant_id(text: &str) -> Result<GrantId> {
    text.parse().map_err(damaged)
}

pub(super) fn at(seconds: &str) -> Result<Timestamp> {
    Ok(timestamp(seconds.parse().map_err(damaged)?))
}

pub(super) fn use_once(outcome: String) -> Result<UseOnce> {
    Ok(match &*outcome {
        "first" => UseOnce::First,
        "again" => UseOnce::Again,
        "full" => UseOnce::Full,
        _ => return Err(damaged(outcome)),
    })
}
