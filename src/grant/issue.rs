//! The records behind freshly issued codes and tokens.

use std::time::Duration;

use crate::{
    authenticator::SignedIn,
    client::destination::Destination,
    clock::Timestamp,
    id::{ClientId, Subject},
    resource::KnownResource,
    scope::Scopes,
    secret::GrantId,
    store::record::{
        AccessTokenRecord, AuthorizationRequest, CodeRecord, ConsentRecord, GrantHolder,
        GrantRecord, RefreshTokenRecord,
    },
};

/// How long things live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) code: Duration,
    pub(crate) device_code: Duration,
    pub(crate) access_token: Duration,
    pub(crate) refresh_token: Duration,
    pub(crate) refresh_grace: Duration,
    pub(crate) pending: Duration,
    pub(crate) unused_client: Duration,
    pub(crate) used_client: Duration,
}

impl Lifetimes {
    /// Where to move the expiry of a registered client that was just used: never before its
    /// tokens die, and only once half of its time has passed, so that most uses write nothing.
    pub(crate) fn renew_client(
        &self,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let span = self.used_client.max(self.refresh_token.saturating_mul(2));
        let expires_at = expires_at?;
        (now.until(expires_at) < span / 2).then(|| now.plus(span))
    }
}

/// What a user's approval brings into being.
#[derive(Debug)]
pub(crate) struct Approval {
    pub(crate) code: CodeRecord,
    pub(crate) grant: GrantRecord,
    pub(crate) consent: ConsentRecord,
}

/// Turns a request and the user who approved it into records.
pub(crate) fn approve(
    request: &AuthorizationRequest,
    user: &SignedIn,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Approval {
    let expires_at = now.plus(lifetimes.code);
    let grant = GrantRecord {
        id: GrantId::random(),
        client_id: request.client_id.clone(),
        subject: user.subject.clone(),
        scopes: request.scopes.clone(),
        resource: request.resource.clone(),
        created_at: now,
        expires_at,
        revoked_at: None,
        refresh_generation: 0,
        holder: GrantHolder::User,
        auth_time: user.auth_time,
        dpop_jkt: None,
        session: user.session.clone(),
    };
    Approval {
        code: CodeRecord {
            grant: grant.id,
            redirect_uri: request.redirect_uri.clone(),
            code_challenge: request.code_challenge.clone(),
            nonce: request.nonce.clone(),
            auth_time: user.auth_time,
            expires_at,
            redeemed_at: None,
            dpop_jkt: request.dpop_jkt.clone(),
        },
        consent: ConsentRecord {
            subject: user.subject.clone(),
            client_id: request.client_id.clone(),
            resource: request.resource.clone(),
            destination: Some(Destination::of(&request.redirect_uri)),
            scopes: request.scopes.clone(),
            granted_at: now,
        },
        grant,
    }
}

/// The grant of a client in its own name: its subject is the client itself.
pub(crate) fn client_grant(
    client_id: &ClientId,
    subject: Subject,
    scopes: Scopes,
    resource: &KnownResource,
    now: Timestamp,
) -> GrantRecord {
    GrantRecord {
        holder: GrantHolder::Client,
        ..user_grant(client_id, subject, scopes, resource, now)
    }
}

/// The grant of a user whom somebody else vouches for.
pub(crate) fn user_grant(
    client_id: &ClientId,
    subject: Subject,
    scopes: Scopes,
    resource: &KnownResource,
    now: Timestamp,
) -> GrantRecord {
    GrantRecord {
        id: GrantId::random(),
        client_id: client_id.clone(),
        subject,
        scopes,
        resource: resource.uri.clone(),
        created_at: now,
        expires_at: now,
        revoked_at: None,
        refresh_generation: 0,
        holder: GrantHolder::User,
        auth_time: None,
        dpop_jkt: None,
        session: None,
    }
}

/// The record of an access token of `grant`.
pub(crate) fn access_token(
    grant: &GrantRecord,
    scopes: Scopes,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> AccessTokenRecord {
    AccessTokenRecord {
        grant: grant.id,
        client_id: grant.client_id.clone(),
        subject: grant.subject.clone(),
        scopes,
        resource: grant.resource.clone(),
        issued_at: now,
        expires_at: now.plus(lifetimes.access_token),
        revoked_at: None,
        holder: grant.holder,
        dpop_jkt: grant.dpop_jkt.clone(),
    }
}

/// The record of the first refresh token of `grant`.
pub(crate) fn refresh_token(
    grant: &GrantRecord,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> RefreshTokenRecord {
    RefreshTokenRecord {
        grant: grant.id,
        generation: 0,
        expires_at: now.plus(lifetimes.refresh_token),
        used: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes {
        code: Duration::from_secs(600),
        device_code: Duration::from_secs(600),
        access_token: Duration::from_secs(3600),
        refresh_token: Duration::from_secs(1000),
        refresh_grace: Duration::from_secs(30),
        pending: Duration::from_secs(600),
        unused_client: Duration::from_secs(3600),
        used_client: Duration::from_secs(10_000),
    };

    #[test]
    fn a_client_is_renewed_once_half_of_its_time_has_passed() {
        let now = Timestamp::from_secs(1_800_000_000);
        let left = |secs| LIFETIMES.renew_client(Some(now.plus(Duration::from_secs(secs))), now);
        let anew = Some(now.plus(Duration::from_secs(10_000)));
        assert_eq!(left(10_000), None);
        assert_eq!(left(5_000), None);
        assert_eq!(left(4_999), anew);
        assert_eq!(left(0), anew);
        assert_eq!(LIFETIMES.renew_client(None, now), None);
    }

    #[test]
    fn a_client_outlives_its_tokens() {
        let now = Timestamp::from_secs(1_800_000_000);
        let lifetimes = Lifetimes {
            refresh_token: Duration::from_secs(9_000),
            ..LIFETIMES
        };
        let anew = lifetimes.renew_client(Some(now), now);
        assert_eq!(anew, Some(now.plus(Duration::from_secs(18_000))));
    }
}
