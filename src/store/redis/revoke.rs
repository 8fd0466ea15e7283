//! Revocations that reach any number of records, some at a time.

use super::{CHUNK, RedisStore, keys::Kind, scripts};
use crate::{
    clock::Timestamp,
    id::ClientId,
    store::{Revocation, StoreError},
};

/// What to revoke.
#[derive(Default)]
pub(super) struct Many {
    /// The list of grants.
    pub(super) grants: String,
    /// Of the grants and consents, those to this client only.
    pub(super) client: Option<ClientId>,
    /// Of the grants, those of this sign-in session only.
    pub(super) session: Option<String>,
    /// The list of consents; `None` where they stay.
    pub(super) consents: Option<String>,
    /// The client that is to be forgotten as well.
    pub(super) forgotten: Option<ClientId>,
}

/// How far a script came: the last name in each list, or [`END`].
const END: &str = "~";

impl RedisStore {
    pub(super) async fn revoke_many(
        &self,
        many: Many,
        now: Timestamp,
    ) -> Result<Revocation, StoreError> {
        let mut reached = Revocation::default();
        let (mut grant, mut consent) = (String::new(), String::new());
        while grant != END || consent != END {
            let mut call = self
                .ask_at(&scripts::REVOKE_MANY, now)
                .key(many.grants.clone())
                .number(CHUNK as u64)
                .maybe(many.client.as_ref().map(ClientId::as_str))
                .maybe(many.session.as_deref())
                .flag(many.consents.is_some())
                .revoking()
                .touch(Kind::Consent);
            if let Some(consents) = &many.consents {
                call = call.key(consents.clone());
            }
            call = call.flag(many.forgotten.is_some());
            if let Some(client) = &many.forgotten {
                call = call.key(self.keys.client(client)).touch(Kind::Client);
            }
            let call = call.arg(grant).arg(consent);
            let ids: Vec<String>;
            (grant, consent, ids) = self.link.call(&call).await?;
            for id in ids {
                reached.grants.push(super::asking::grant_id(&id)?);
            }
        }
        Ok(reached)
    }
}
