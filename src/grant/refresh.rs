//! Refreshing: who may, for what, and what comes next.
//!
//! The successor of a refresh token is *derived* from it, so that presenting the same token again
//! gives the same successor without anyone having to remember it: a lost response or a second
//! process sharing the credential costs nothing. Only whoever holds both the token and the key
//! can derive it.

use zeroize::Zeroizing;

use super::{ErrorCode, Refusal, code::check_resources};
use crate::{
    client::Client,
    scope::Scopes,
    secret::{GrantId, Refresh, SecretKey, Token},
    store::record::{GrantRecord, RefreshTokenRecord},
};

/// What a client sends to refresh (RFC 6749 §6, RFC 8707 §2.2).
#[derive(Debug)]
pub(crate) struct RefreshRequest<'a> {
    pub(crate) scope: Option<&'a str>,
    pub(crate) resources: Vec<&'a str>,
}

/// Checks everything that does not depend on time or on other requests, and says which scopes the
/// new access token gets. Narrowing concerns that token alone: the next refresh can ask for all.
pub(crate) fn check(
    request: &RefreshRequest<'_>,
    client: &Client,
    grant: &GrantRecord,
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
    match Scopes::parse(asked) {
        Ok(scopes) if !scopes.is_empty() && grant.scopes.contains_all(&scopes) => Ok(scopes),
        _ => Err(Refusal::new(
            ErrorCode::InvalidScope,
            "scope_not_granted",
            "a refresh cannot ask for more than was granted",
        )),
    }
}

/// What follows a refresh token: its successor and an access token.
pub(crate) struct Successor {
    pub(crate) refresh: Token<Refresh>,
    /// The bits of the access token.
    pub(crate) access: Zeroizing<[u8; 32]>,
}

/// Derives what follows `presented`. The same inputs give the same tokens, for ever.
pub(crate) fn successor(
    key: &SecretKey,
    grant: &GrantRecord,
    record: &RefreshTokenRecord,
    presented: &str,
    scopes: &Scopes,
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
            ],
        ),
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
