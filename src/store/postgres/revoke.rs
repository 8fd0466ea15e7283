//! Revocation, in as many steps as it takes.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    PostgresStore,
    columns::{Column, column},
    outcomes::{Reached, RevokedGrant},
};
use crate::{
    clock::Timestamp,
    id::{ClientId, Subject},
    secret::{Digest, GrantId},
    store::{Revocation, StoreError},
};

/// How many grants one step reaches: others get their turn in between.
const CHUNK: usize = 1000;

/// What a revocation reaches that needs a search.
#[derive(Serialize)]
pub(super) struct Reach {
    subject: Option<Subject>,
    pub(super) client_id: Option<ClientId>,
    /// Of those grants, the ones of this sign-in session only.
    pub(super) session: Option<String>,
    /// Whether consents go too.
    pub(super) consents: bool,
    /// Whether the client is to be forgotten as well.
    pub(super) forget: bool,
}

impl Reach {
    pub(super) fn of_subject(subject: Subject) -> Self {
        Self {
            subject: Some(subject),
            client_id: None,
            session: None,
            consents: true,
            forget: false,
        }
    }

    pub(super) fn of_client(client: ClientId) -> Self {
        Self {
            subject: None,
            client_id: Some(client),
            session: None,
            consents: true,
            forget: false,
        }
    }
}

#[derive(Serialize)]
struct Step<'a> {
    #[serde(flatten)]
    reach: &'a Reach,
    #[serde(with = "column")]
    after: Option<GrantId>,
    limit: usize,
    #[serde(with = "column")]
    now: Timestamp,
}

impl PostgresStore {
    pub(super) async fn revoke_access_token(
        &self,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Revocation, StoreError> {
        let given = json!({"digest": digest.to_json(), "now": now.to_json()});
        let is_there: bool = self.calls.change("revoke_access_token", given).await?;
        Ok(Revocation {
            grants: Vec::new(),
            access_tokens: is_there.then_some(digest).into_iter().collect(),
        })
    }

    /// Revokes one grant; `named` says which.
    pub(super) async fn revoke_grant(&self, named: Value) -> Result<Revocation, StoreError> {
        let found: RevokedGrant = self.calls.change("revoke_grant", named).await?;
        Ok(Revocation {
            grants: found.0.into_iter().collect(),
            access_tokens: Vec::new(),
        })
    }

    pub(super) async fn revoke_grants(
        &self,
        reach: Reach,
        now: Timestamp,
    ) -> Result<Revocation, StoreError> {
        let mut reached = Revocation::default();
        loop {
            let step = Step {
                reach: &reach,
                after: reached.grants.last().copied(),
                limit: CHUNK,
                now,
            };
            let more: Reached = self.calls.change("revoke_grants", step).await?;
            reached.grants.extend(more.grants);
            if more.is_last {
                return Ok(reached);
            }
        }
    }
}
