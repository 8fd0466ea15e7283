//! The operations of a [`Store`](crate::store::Store), each inside one transaction. Scans come
//! before and are the engine's: what they found is handed in.

use super::{
    Read, Tx, keys,
    table::{Row, Table},
};
use crate::{
    clock::Timestamp,
    id::ClientId,
    scope,
    secret::Digest,
    store::{
        AccessToken, BeginAuthorization, CreateClient, IssueCode, IssueCodeOutcome, RedeemCode,
        RedeemCodeOutcome, RotateRefresh, RotateRefreshOutcome,
        record::{
            AccessTokenRecord, ClientRecord, CodeRecord, ConsentRecord, GrantRecord, KeyPurpose,
            KeyRecord, PendingAuthorization, Record, RefreshTokenRecord,
        },
        transition,
    },
};

type Result<T, X> = std::result::Result<T, <X as Read>::Error>;

pub(crate) fn create_client<X: Tx>(
    tx: &mut X,
    client: &ClientRecord,
    max: u64,
    now: Timestamp,
) -> Result<CreateClient, X> {
    let key = keys::client(&client.id);
    match tx.read::<ClientRecord>(&key)? {
        Some(mut old) if now < old.expires_at => {
            // A program that registers again is in use. Most repeats write nothing.
            if now.until(old.expires_at) < now.until(client.expires_at) / 2 {
                old.expires_at = client.expires_at;
                tx.put(&key, &old)?;
            }
            return Ok(CreateClient::Exists(old));
        }
        // Takes the place of the one that expired: there are no more clients than before.
        Some(_) => {}
        None if tx.count(keys::CLIENTS)? >= max => return Ok(CreateClient::Full),
        None => {}
    }
    tx.put(&key, client)?;
    Ok(CreateClient::Created)
}

pub(crate) fn begin_authorization<X: Tx>(
    tx: &mut X,
    id: &Digest,
    pending: &PendingAuthorization,
    max: u64,
) -> Result<BeginAuthorization, X> {
    if tx.count(keys::PENDINGS)? >= max {
        return Ok(BeginAuthorization::Full);
    }
    tx.put(&keys::pending(id), pending)?;
    Ok(BeginAuthorization::Begun)
}

pub(crate) fn end_authorization<X: Tx>(
    tx: &mut X,
    id: &Digest,
    now: Timestamp,
) -> Result<Option<PendingAuthorization>, X> {
    let taken = tx.remove::<PendingAuthorization>(&keys::pending(id))?;
    Ok(taken.filter(|pending| now < pending.expires_at))
}

pub(crate) fn issue_code<X: Tx>(
    tx: &mut X,
    issue: &IssueCode,
    now: Timestamp,
) -> Result<IssueCodeOutcome, X> {
    if let Some(id) = &issue.pending {
        let key = keys::pending(id);
        let pending = tx.read::<PendingAuthorization>(&key)?;
        if pending.is_none_or(|pending| now >= pending.expires_at) {
            return Ok(IssueCodeOutcome::Gone);
        }
        tx.remove::<PendingAuthorization>(&key)?;
    }
    let mut grant = issue.grant.clone();
    transition::outlive(&mut grant, issue.code.expires_at);
    tx.put(&keys::code(&issue.digest), &issue.code)?;
    tx.put(&keys::grant(&grant.id), &grant)?;
    if let Some(consent) = &issue.consent {
        remember(tx, consent)?;
    }
    renew_client(tx, &grant.client_id, issue.renew_client)?;
    Ok(IssueCodeOutcome::Issued)
}

/// Adds a consent to what is remembered already.
fn remember<X: Tx>(tx: &mut X, consent: &ConsentRecord) -> Result<(), X> {
    let key = keys::consent(&consent.subject, &consent.client_id, &consent.resource);
    let mut merged = consent.clone();
    if let Some(old) = tx.read::<ConsentRecord>(&key)? {
        let scopes = merged.scopes.union(&old.scopes);
        // A set beyond the bound could not be read back. Then what was consented to last is what
        // counts, and the user is asked again for the rest.
        if scopes.len() <= scope::MAX_TOKENS {
            merged.scopes = scopes;
        }
    }
    tx.put(&key, &merged)
}

fn renew_client<X: Tx>(tx: &mut X, id: &ClientId, until: Option<Timestamp>) -> Result<(), X> {
    let Some(until) = until else { return Ok(()) };
    let key = keys::client(id);
    match tx.read::<ClientRecord>(&key)? {
        Some(mut client) if client.expires_at < until => {
            client.expires_at = until;
            tx.put(&key, &client)
        }
        _ => Ok(()),
    }
}

pub(crate) fn redeem_code<X: Tx>(
    tx: &mut X,
    redeem: &RedeemCode,
    now: Timestamp,
) -> Result<RedeemCodeOutcome, X> {
    let code_key = keys::code(&redeem.code);
    let Some(mut code) = tx.read::<CodeRecord>(&code_key)? else {
        return Ok(RedeemCodeOutcome::Unknown);
    };
    let grant_key = keys::grant(&code.grant);
    let Some(mut grant) = tx.read::<GrantRecord>(&grant_key)? else {
        return Ok(RedeemCodeOutcome::Unknown);
    };
    let revoked_before = grant.revoked_at.is_some();
    let outcome = transition::redeem(&mut code, &mut grant, redeem, now);
    match outcome {
        RedeemCodeOutcome::Redeemed => {
            tx.put(&code_key, &code)?;
            tx.put(&grant_key, &grant)?;
            tx.put(&keys::access_token(&redeem.access.0), &redeem.access.1)?;
            if let Some((digest, refresh)) = &redeem.refresh {
                tx.put(&keys::refresh_token(digest), refresh)?;
            }
            renew_client(tx, &grant.client_id, redeem.renew_client)?;
        }
        RedeemCodeOutcome::Replayed(_) if !revoked_before => tx.put(&grant_key, &grant)?,
        _ => {}
    }
    Ok(outcome)
}

pub(crate) fn rotate_refresh<X: Tx>(
    tx: &mut X,
    rotate: &RotateRefresh,
    now: Timestamp,
) -> Result<RotateRefreshOutcome, X> {
    let presented_key = keys::refresh_token(&rotate.presented);
    let Some(mut presented) = tx.read::<RefreshTokenRecord>(&presented_key)? else {
        return Ok(RotateRefreshOutcome::Unknown);
    };
    let grant_key = keys::grant(&presented.grant);
    let Some(mut grant) = tx.read::<GrantRecord>(&grant_key)? else {
        return Ok(RotateRefreshOutcome::Unknown);
    };
    let access_key = keys::access_token(&rotate.access.0);
    let access_exists = tx.read::<AccessTokenRecord>(&access_key)?.is_some();

    let rotation = transition::rotate(&mut presented, &mut grant, rotate, access_exists, now);
    if rotation.changed {
        tx.put(&presented_key, &presented)?;
        tx.put(&grant_key, &grant)?;
    }
    if let Some(successor) = &rotation.successor {
        tx.put(&keys::refresh_token(&rotate.successor), successor)?;
        renew_client(tx, &grant.client_id, rotate.renew_client)?;
    }
    if rotation.store_access {
        tx.put(&access_key, &rotate.access.1)?;
    }
    Ok(rotation.outcome)
}

pub(crate) fn code<X: Read>(
    tx: &mut X,
    digest: &Digest,
) -> Result<Option<(CodeRecord, GrantRecord)>, X> {
    let Some(code) = tx.read::<CodeRecord>(&keys::code(digest))? else {
        return Ok(None);
    };
    let grant = tx.read(&keys::grant(&code.grant))?;
    Ok(grant.map(|grant| (code, grant)))
}

pub(crate) fn refresh_token<X: Read>(
    tx: &mut X,
    digest: &Digest,
) -> Result<Option<(RefreshTokenRecord, GrantRecord)>, X> {
    let Some(token) = tx.read::<RefreshTokenRecord>(&keys::refresh_token(digest))? else {
        return Ok(None);
    };
    let grant = tx.read(&keys::grant(&token.grant))?;
    Ok(grant.map(|grant| (token, grant)))
}

pub(crate) fn access_token<X: Read>(tx: &mut X, digest: &Digest) -> Result<Option<AccessToken>, X> {
    let Some(record) = tx.read::<AccessTokenRecord>(&keys::access_token(digest))? else {
        return Ok(None);
    };
    let grant = tx.read::<GrantRecord>(&keys::grant(&record.grant))?;
    // A grant outlives its tokens; one that is missing all the same vouches for nothing.
    let grant_live = grant.is_some_and(|grant| grant.revoked_at.is_none());
    Ok(Some(AccessToken {
        revoked: !grant_live || record.revoked_at.is_some(),
        record,
    }))
}

/// Stores the first key of a purpose.
pub(crate) fn first_key<X: Tx>(
    tx: &mut X,
    purpose: KeyPurpose,
    candidate: &KeyRecord,
) -> Result<KeyRecord, X> {
    let mut first = candidate.clone();
    first.purpose = purpose;
    first.id = 0;
    tx.put(&keys::key(purpose, 0), &first)?;
    Ok(first)
}

/// Removes rows that the expiry index said have expired, with the rows in `dependents` that go
/// with them. Returns how many records it removed.
pub(crate) fn sweep<X: Tx>(
    tx: &mut X,
    index: &[Vec<u8>],
    dependents: &[Vec<u8>],
    now: Timestamp,
) -> Result<usize, X> {
    let mut removed = 0;
    for consent in dependents {
        removed += usize::from(tx.remove::<ConsentRecord>(consent)?.is_some());
    }
    for entry in index {
        let key = keys::expired(entry);
        let gone = match key.first() {
            Some(&keys::ACCESS_TOKEN) => take_expired::<AccessTokenRecord, X>(tx, key, now)?,
            Some(&keys::CLIENT) => take_expired::<ClientRecord, X>(tx, key, now)?,
            Some(&keys::CODE) => take_expired::<CodeRecord, X>(tx, key, now)?,
            Some(&keys::GRANT) => take_expired::<GrantRecord, X>(tx, key, now)?,
            Some(&keys::REFRESH_TOKEN) => take_expired::<RefreshTokenRecord, X>(tx, key, now)?,
            Some(&keys::PENDING) => take_expired::<PendingAuthorization, X>(tx, key, now)?,
            _ => false,
        };
        // An entry that led nowhere is gone as well, or the next sweep would meet it again.
        tx.erase(entry)?;
        removed += usize::from(gone);
    }
    Ok(removed)
}

fn take_expired<T: Table, X: Tx>(tx: &mut X, key: &[u8], now: Timestamp) -> Result<bool, X> {
    let row = tx.read::<T>(key)?;
    let due = row.and_then(|row| row.expires_at());
    if due.is_some_and(|at| at <= now) {
        tx.remove::<T>(key)?;
        return Ok(true);
    }
    Ok(false)
}

/// Stores a record as it is.
pub(crate) fn import<X: Tx>(tx: &mut X, record: &Record) -> Result<(), X> {
    match record {
        Record::Client(client) => tx.put(&keys::client(&client.id), client),
        Record::Code { digest, record } => tx.put(&keys::code(digest), record),
        Record::Grant(grant) => tx.put(&keys::grant(&grant.id), grant),
        Record::AccessToken { digest, record } => tx.put(&keys::access_token(digest), record),
        Record::RefreshToken { digest, record } => {
            raise_generation(tx, record)?;
            tx.put(&keys::refresh_token(digest), record)
        }
        Record::Consent(consent) => {
            let key = keys::consent(&consent.subject, &consent.client_id, &consent.resource);
            tx.put(&key, consent)
        }
        Record::Key(record) => tx.put(&keys::key(record.purpose, record.id), record),
    }
}

/// Makes a grant know of a generation: grants written before they counted generations do not.
pub(crate) fn raise_generation<X: Tx>(tx: &mut X, token: &RefreshTokenRecord) -> Result<(), X> {
    let key = keys::grant(&token.grant);
    match tx.read::<GrantRecord>(&key)? {
        Some(mut grant) if grant.refresh_generation < token.generation => {
            grant.refresh_generation = token.generation;
            tx.put(&key, &grant)
        }
        _ => Ok(()),
    }
}

/// The client that a row of the expiry index stands for. Its consents go with it, since nobody
/// can ask for them again.
pub(crate) fn expired_client(entry: &[u8]) -> Option<ClientId> {
    let (&kind, id) = keys::expired(entry).split_first()?;
    let id = std::str::from_utf8(id).ok()?;
    (kind == keys::CLIENT).then(|| ClientId::new(id).ok())?
}

/// A row of a map that keeps rows as they are.
pub(crate) fn found<T: Table>(row: Option<&Row>) -> Option<T> {
    row.and_then(T::from_row).cloned()
}
