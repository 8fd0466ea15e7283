//! Revocation: from what is named to the rows it reaches.

use super::{Read, Tx, keys, ops};
use crate::{
    clock::Timestamp,
    id::ClientId,
    secret::{Digest, GrantId},
    store::{
        Revocation, RevokeTarget,
        record::{AccessTokenRecord, ClientRecord, ConsentRecord, GrantRecord, RefreshTokenRecord},
        transition,
    },
};

/// How far a revocation reaches.
pub(crate) enum Reach {
    /// One token or grant, found by its own name.
    One(One),
    /// Everything that a scan finds.
    Many(Many),
}

/// A revocation that needs no scan.
pub(crate) enum One {
    AccessToken(Digest),
    RefreshToken(Digest),
    Grant(GrantId),
}

/// What to scan for; all rows that start with these.
pub(crate) struct Many {
    /// An index of grants.
    pub(crate) grants: Vec<u8>,
    /// Of those grants, the ones of this sign-in session only.
    pub(crate) session: Option<String>,
    /// Consents themselves, or their index; `None` where they stay.
    pub(crate) consents: Option<Vec<u8>>,
    /// The client that is to be forgotten as well.
    pub(crate) client: Option<Vec<u8>>,
}

impl From<RevokeTarget> for Reach {
    fn from(target: RevokeTarget) -> Self {
        let many = |grants, consents| {
            Self::Many(Many {
                grants,
                session: None,
                consents: Some(consents),
                client: None,
            })
        };
        match target {
            RevokeTarget::AccessToken(digest) => Self::One(One::AccessToken(digest)),
            RevokeTarget::RefreshToken(digest) => Self::One(One::RefreshToken(digest)),
            RevokeTarget::Grant(id) => Self::One(One::Grant(id)),
            RevokeTarget::Consent(subject, client) => many(
                keys::grants_of_subject(&subject, Some(&client)),
                keys::consents(&subject, Some(&client)),
            ),
            RevokeTarget::Subject(subject) => many(
                keys::grants_of_subject(&subject, None),
                keys::consents(&subject, None),
            ),
            RevokeTarget::Client(client) => many(
                keys::grants_of_client(&client),
                keys::consents_of_client(&client),
            ),
            RevokeTarget::Session(subject, session) => Self::Many(Many {
                grants: keys::grants_of_subject(&subject, None),
                session: Some(session),
                consents: None,
                client: None,
            }),
        }
    }
}

impl Many {
    /// Everything to do with one client, and the client itself.
    pub(crate) fn forget_client(id: &ClientId) -> Self {
        Self {
            grants: keys::grants_of_client(id),
            session: None,
            consents: Some(keys::consents_of_client(id)),
            client: Some(keys::client(id)),
        }
    }

    /// The consent that a row of the scan stands for.
    fn consent<'a>(&self, found: &'a [u8]) -> &'a [u8] {
        if found.first() == Some(&keys::CONSENT) {
            found
        } else {
            let prefix = self.consents.as_ref().map_or(0, Vec::len);
            found.get(prefix..).unwrap_or_default()
        }
    }

    fn reaches(&self, grant: &GrantRecord) -> bool {
        self.session.is_none() || self.session == grant.session
    }
}

/// Which of these are good no longer.
pub(crate) fn among<X: Read>(
    rows: &mut X,
    grants: &[GrantId],
    access_tokens: &[Digest],
) -> Result<Revocation, X::Error> {
    let mut revoked = Revocation::default();
    for id in grants {
        let grant = rows.read::<GrantRecord>(&keys::grant(id))?;
        if grant.is_none_or(|grant| grant.revoked_at.is_some()) {
            revoked.grants.push(*id);
        }
    }
    for digest in access_tokens {
        let token = ops::access_token(rows, digest)?;
        if token.is_none_or(|token| token.revoked) {
            revoked.access_tokens.push(*digest);
        }
    }
    Ok(revoked)
}

/// Revokes one token or grant.
pub(crate) fn one<X: Tx>(tx: &mut X, one: &One, now: Timestamp) -> Result<Revocation, X::Error> {
    let mut reached = Revocation::default();
    let grant = match one {
        One::AccessToken(digest) => {
            let key = keys::access_token(digest);
            if let Some(mut token) = tx.read::<AccessTokenRecord>(&key)? {
                if token.revoked_at.is_none() {
                    token.revoked_at = Some(now);
                    tx.put(&key, &token)?;
                }
                reached.access_tokens.push(*digest);
            }
            return Ok(reached);
        }
        One::RefreshToken(digest) => {
            match tx.read::<RefreshTokenRecord>(&keys::refresh_token(digest))? {
                Some(token) => token.grant,
                None => return Ok(reached),
            }
        }
        One::Grant(id) => *id,
    };
    revoke_grant(tx, grant, now, |_| true, &mut reached)?;
    Ok(reached)
}

/// Revokes the grants and deletes the consents that a scan found.
pub(crate) fn many<X: Tx>(
    tx: &mut X,
    many: &Many,
    grants: &[Vec<u8>],
    consents: &[Vec<u8>],
    now: Timestamp,
) -> Result<Revocation, X::Error> {
    let mut reached = Revocation::default();
    if let Some(client) = &many.client {
        tx.remove::<ClientRecord>(client)?;
    }
    for id in grants.iter().filter_map(|key| keys::grant_of_index(key)) {
        revoke_grant(tx, id, now, |grant| many.reaches(grant), &mut reached)?;
    }
    for found in consents {
        tx.remove::<ConsentRecord>(many.consent(found))?;
    }
    Ok(reached)
}

fn revoke_grant<X: Tx>(
    tx: &mut X,
    id: GrantId,
    now: Timestamp,
    is_meant: impl FnOnce(&GrantRecord) -> bool,
    reached: &mut Revocation,
) -> Result<(), X::Error> {
    let key = keys::grant(&id);
    if let Some(mut grant) = tx.read::<GrantRecord>(&key)?.filter(is_meant) {
        if transition::revoke(&mut grant, now) {
            tx.put(&key, &grant)?;
        }
        reached.grants.push(id);
    }
    Ok(())
}
