//! The operations of a [`Store`](crate::store::Store), each inside one transaction. Scans come
//! before and are the engine's: what they found is handed in.

use super::{
    Read, Tx, keys,
    table::{Row, Table, Used},
};
use crate::{
    clock::Timestamp,
    id::ClientId,
    scope,
    secret::Digest,
    store::{
        AccessToken, BeginAuthorization, CreateClient, IssueCode, IssueCodeOutcome, IssueTokens,
        IssueTokensOutcome, RedeemCode, RedeemCodeOutcome, RotateRefresh, RotateRefreshOutcome,
        UseOnce,
        record::{
            AccessTokenRecord, ClientRecord, CodeRecord, ConsentRecord, GrantRecord,
            PendingAuthorization, RefreshTokenRecord,
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

/// Replaces a client. Its expiry may have been moved later since the caller read it.
pub(crate) fn update_client<X: Tx>(
    tx: &mut X,
    client: &ClientRecord,
    now: Timestamp,
) -> Result<bool, X> {
    let key = keys::client(&client.id);
    match tx.read::<ClientRecord>(&key)? {
        Some(old) if now < old.expires_at => {
            let mut client = client.clone();
            client.expires_at = client.expires_at.max(old.expires_at);
            tx.put(&key, &client)?;
            Ok(true)
        }
        _ => Ok(false),
    }
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

/// Adds a consent to what is remembered already for the same destination.
pub(super) fn remember<X: Tx>(tx: &mut X, consent: &ConsentRecord) -> Result<(), X> {
    let key = keys::key_of_consent(consent);
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

pub(super) fn renew_client<X: Tx>(
    tx: &mut X,
    id: &ClientId,
    until: Option<Timestamp>,
) -> Result<(), X> {
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
    let (old_code, old_grant) = (code.clone(), grant.clone());
    let outcome = transition::redeem(&mut code, &mut grant, redeem, now);
    match outcome {
        RedeemCodeOutcome::Redeemed => {
            tx.replace(&code_key, Some(&old_code), &code)?;
            tx.replace(&grant_key, Some(&old_grant), &grant)?;
            put_tokens(tx, &redeem.access, redeem.refresh.as_ref())?;
            renew_client(tx, &grant.client_id, redeem.renew_client)?;
        }
        RedeemCodeOutcome::Replayed(_) if grant != old_grant => {
            tx.replace(&grant_key, Some(&old_grant), &grant)?;
        }
        _ => {}
    }
    Ok(outcome)
}

/// Stores the first tokens of a grant.
pub(super) fn put_tokens<X: Tx>(
    tx: &mut X,
    (digest, access): &(Digest, AccessTokenRecord),
    refresh: Option<&(Digest, RefreshTokenRecord)>,
) -> Result<(), X> {
    tx.put(&keys::access_token(digest), access)?;
    if let Some((digest, refresh)) = refresh {
        tx.put(&keys::refresh_token(digest), refresh)?;
    }
    Ok(())
}

pub(crate) fn issue_tokens<X: Tx>(
    tx: &mut X,
    issue: &IssueTokens,
    max_used: u64,
    now: Timestamp,
) -> Result<IssueTokensOutcome, X> {
    if let Some((digest, expires_at)) = &issue.used {
        match use_once(tx, digest, *expires_at, max_used, now)? {
            UseOnce::First => {}
            UseOnce::Again => return Ok(IssueTokensOutcome::Used),
            UseOnce::Full => return Ok(IssueTokensOutcome::Full),
        }
    }
    let mut grant = issue.grant.clone();
    transition::endow(&mut grant, &issue.access.1, issue.refresh.as_ref());
    tx.put(&keys::grant(&grant.id), &grant)?;
    put_tokens(tx, &issue.access, issue.refresh.as_ref())?;
    renew_client(tx, &grant.client_id, issue.renew_client)?;
    Ok(IssueTokensOutcome::Issued)
}

pub(crate) fn use_once<X: Tx>(
    tx: &mut X,
    digest: &Digest,
    expires_at: Timestamp,
    max: u64,
    now: Timestamp,
) -> Result<UseOnce, X> {
    let key = keys::used(digest);
    match tx.read::<Used>(&key)? {
        Some(used) if now < used.expires_at => return Ok(UseOnce::Again),
        // Takes the place of the one that expired.
        Some(_) => {}
        None if tx.count(keys::USES)? >= max => return Ok(UseOnce::Full),
        None => {}
    }
    tx.put(&key, &Used { expires_at })?;
    Ok(UseOnce::First)
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

    let (old_presented, old_grant) = (presented.clone(), grant.clone());
    let rotation = transition::rotate(&mut presented, &mut grant, rotate, access_exists, now);
    if rotation.changed {
        tx.replace(&presented_key, Some(&old_presented), &presented)?;
        tx.replace(&grant_key, Some(&old_grant), &grant)?;
    }
    if let Some(successor) = &rotation.successor {
        tx.put(&keys::refresh_token(&rotate.successor), successor)?;
        renew_client(tx, &grant.client_id, rotate.renew_client)?;
    }
    if let Some(access) = &rotation.access {
        // Only where none was stored.
        tx.replace(&access_key, None, access)?;
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

/// A row of a map that keeps rows as they are.
pub(crate) fn found<T: Table>(row: Option<&Row>) -> Option<T> {
    row.and_then(T::from_row).cloned()
}
