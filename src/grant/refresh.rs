//! Refreshing: who may, for what, and what comes next.
//!
//! The successor of a refresh token is *derived* from it, so that presenting the same token again
//! gives the same successor without anyone having to remember it: a lost response or a second
//! process sharing the credential costs nothing. Only whoever holds both the token and the key
//! can derive it.

use zeroize::Zeroizing;

use super::{ErrorCode, Refusal, code::check_resources, issue::Lifetimes};
use crate::{
    client::Client,
    clock::Timestamp,
    scope::Scopes,
    secret::{Digest, GrantId, Refresh, SecretKey, Token},
    store::{
        RotateRefresh,
        record::{AccessTokenRecord, GrantRecord, RefreshTokenRecord},
    },
};

/// How many different access tokens one refresh token may give within its grace window: one for
/// each way a client narrows its scopes.
const MAX_ACCESS_TOKENS: u8 = 8;

/// What a client sends to refresh (RFC 6749 §6, RFC 8707 §2.2).
#[derive(Debug)]
pub(crate) struct RefreshRequest<'a> {
    pub(crate) scope: Option<&'a str>,
    pub(crate) resources: Vec<&'a str>,
}

/// Checks everything that does not depend on time or on other requests, and says which scopes the
/// new access token gets. Narrowing concerns that token alone: the next refresh can ask for all.
///
/// Scopes that are not `grantable` to anybody at the resource are left out, as they were when the
/// client asked for the grant: it may ask for the same again.
pub(crate) fn check(
    request: &RefreshRequest<'_>,
    client: &Client,
    grant: &GrantRecord,
    grantable: &Scopes,
) -> Result<Scopes, Refusal> {
    if grant.client_id != client.id {
        return Err(Refusal::invalid_grant(
            "refresh_token_of_other_client",
            "the refresh token was issued to another client",
        ));
    }
    check_resources(&request.resources, grant)?;
    let Some(asked) = request.scope else {
        return Ok(grant.scopes.clone());
    };
    let known = grantable.union(&grant.scopes);
    match Scopes::parse(asked).map(|asked| asked.intersection(&known)) {
        Ok(scopes) if !scopes.is_empty() && grant.scopes.contains_all(&scopes) => Ok(scopes),
        _ => Err(Refusal::new(
            ErrorCode::InvalidScope,
            "scope_not_granted",
            "a refresh cannot ask for more than was granted",
        )),
    }
}

/// What follows a refresh token, or a device code: a refresh token and an access token.
pub(crate) struct Successor {
    pub(crate) refresh: Token<Refresh>,
    /// The bits of the access token.
    pub(crate) access: Zeroizing<[u8; 32]>,
}

/// Derives what follows `presented`; the access token is bound to the key `dpop`. The same inputs
/// give the same tokens, for ever.
pub(crate) fn successor(
    key: &SecretKey,
    grant: &GrantRecord,
    record: &RefreshTokenRecord,
    presented: &str,
    scopes: &Scopes,
    dpop: Option<&str>,
) -> Successor {
    let generation = record.generation.saturating_add(1).to_be_bytes();
    Successor {
        refresh: Token::from_bytes(&derive(
            key,
            b"refresh",
            grant.id,
            generation,
            presented,
            &[],
        )),
        access: derive(
            key,
            b"access",
            grant.id,
            generation,
            presented,
            &[
                scopes.to_string().as_bytes(),
                grant.resource.canonical().as_bytes(),
                // No thumbprint is empty.
                dpop.unwrap_or_default().as_bytes(),
            ],
        ),
    }
}

/// When the access token of a refresh begins to live. That of a repeat lives no longer than that
/// of the first use: otherwise one that was revoked and forgotten meanwhile could come back.
pub(crate) fn issued_at(record: &RefreshTokenRecord, now: Timestamp) -> Timestamp {
    record.used.as_ref().map_or(now, |used| used.at)
}

/// What the store is asked to do, once `key` has given a successor and the access token is made.
pub(crate) fn rotation(
    presented: Digest,
    successor: &Token<Refresh>,
    key: u32,
    access: (Digest, AccessTokenRecord),
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> RotateRefresh {
    RotateRefresh {
        presented,
        successor: successor.digest(),
        successor_expires_at: now.plus(lifetimes.refresh_token),
        key,
        access,
        grace: lifetimes.refresh_grace.as_secs(),
        max_access_tokens: MAX_ACCESS_TOKENS,
        renew_client: None,
    }
}

fn derive(
    key: &SecretKey,
    label: &[u8],
    grant: GrantId,
    generation: [u8; 4],
    presented: &str,
    more: &[&[u8]],
) -> Zeroizing<[u8; 32]> {
    let mut parts = vec![label, grant.as_bytes(), &generation, presented.as_bytes()];
    parts.extend_from_slice(more);
    key.derive(&parts)
}
