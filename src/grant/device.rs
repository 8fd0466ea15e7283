//! The device grant (RFC 8628): what a device may ask for, what an approval brings into being, and
//! what comes of it.

use std::time::Duration;

use super::{ErrorCode, Refusal, authorize, issue::Lifetimes, refresh::Successor};
use crate::{
    authenticator::SignedIn,
    client::Client,
    clock::Timestamp,
    params::Params,
    resource::Catalog,
    secret::{Digest, GrantId, SecretKey, Token},
    store::record::{ConsentRecord, DeviceRecord, GrantHolder, GrantRecord, RefreshTokenRecord},
};

/// How clients name this grant at the token endpoint and in their registration.
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How many seconds a device waits between polls, until it is told to slow down.
pub(crate) const INTERVAL: u64 = 5;

/// Only a client that registered the grant may use it (RFC 6749 §5.2).
pub(crate) fn check_client(client: &Client) -> Result<(), Refusal> {
    if client.may_use(GRANT_TYPE) {
        Ok(())
    } else {
        Err(Refusal::new(
            ErrorCode::UnauthorizedClient,
            "device_grant_unregistered",
            "the client did not register the grant type \
             urn:ietf:params:oauth:grant-type:device_code",
        ))
    }
}

/// Decides on the parameters of a device authorization request, as for any other authorization.
pub(crate) fn decide(
    params: &Params<'_>,
    client: &Client,
    catalog: &Catalog,
    user_code: Digest,
    ttl: Duration,
    now: Timestamp,
) -> Result<DeviceRecord, Refusal> {
    check_client(client)?;
    let resource = authorize::resource(params, catalog)?;
    Ok(DeviceRecord {
        client_id: client.id.clone(),
        scopes: authorize::scopes(params, client, resource, catalog)?,
        resource: resource.uri.clone(),
        user_code,
        created_at: now,
        expires_at: now.plus(ttl),
        interval: INTERVAL,
        last_poll: None,
        decision: None,
        client: client.snapshot(),
        dpop_jkt: None,
    })
}

/// What comes of the approval of `device` by `user`: the grant, and the consent to remember.
pub(crate) fn approve(
    device: &DeviceRecord,
    user: &SignedIn,
    now: Timestamp,
) -> (GrantRecord, ConsentRecord) {
    let subject = &user.subject;
    let grant = GrantRecord {
        id: GrantId::random(),
        client_id: device.client_id.clone(),
        subject: subject.clone(),
        scopes: device.scopes.clone(),
        resource: device.resource.clone(),
        created_at: now,
        expires_at: device.expires_at,
        revoked_at: None,
        refresh_generation: 0,
        holder: GrantHolder::User,
        auth_time: user.auth_time,
        dpop_jkt: None,
        session: user.session.clone(),
    };
    let consent = ConsentRecord {
        subject: subject.clone(),
        client_id: device.client_id.clone(),
        resource: device.resource.clone(),
        destination: None,
        scopes: device.scopes.clone(),
        granted_at: now,
    };
    (grant, consent)
}

/// What a device code gives, derived from it as what follows a refresh token is: a device whose
/// connection broke asks again (RFC 8628 §3.5), and is to have the same. The access token is bound to
/// the key `dpop`.
pub(crate) fn tokens(key: &SecretKey, device_code: &str, dpop: Option<&str>) -> Successor {
    let derive = |label: &[u8], more: &str| {
        let code = device_code.as_bytes();
        key.derive(&[b"device", label, code, more.as_bytes()])
    };
    Successor {
        refresh: Token::from_bytes(&derive(b"refresh", "")),
        // No thumbprint is empty.
        access: derive(b"access", dpop.unwrap_or_default()),
    }
}

/// When a device was given the refresh token of `record`, where it may be told so once more: it has
/// not used it, and it is not too late, as for a refresh.
pub(crate) fn told_at(
    record: &RefreshTokenRecord,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Option<Timestamp> {
    let (until, grace) = (record.expires_at, lifetimes.refresh_grace);
    let at = until
        .as_secs()
        .checked_sub(lifetimes.refresh_token.as_secs())?;
    let at = Timestamp::from_secs(at);
    let in_time = !grace.is_zero() && now <= at.plus(grace);
    (record.used.is_none() && in_time).then_some(at)
}
