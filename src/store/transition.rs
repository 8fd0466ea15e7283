//! What redeeming, rotating and revoking do to the records involved: pure, without storage or
//! clock. Every engine reads the rows, calls one of these inside its transaction, and writes back
//! what changed; so there is one place to get it right, and one to check.

use std::time::Duration;

use super::{
    PollDevice, RedeemCode, RedeemCodeOutcome, RotateRefresh, RotateRefreshOutcome,
    record::{
        AccessTokenRecord, CodeRecord, DeviceRecord, GrantRecord, RefreshTokenRecord, RefreshUse,
    },
};
use crate::{clock::Timestamp, secret::Digest};

/// By how many seconds a device that polls too often must slow down (RFC 8628 §3.5).
pub(crate) const SLOW_DOWN: u64 = 5;

/// Marks a grant as revoked and says whether that is news.
pub(crate) fn revoke(grant: &mut GrantRecord, now: Timestamp) -> bool {
    let news = grant.revoked_at.is_none();
    grant.revoked_at.get_or_insert(now);
    news
}

/// Whether a grant is neither revoked nor expired.
pub(crate) fn is_live(grant: &GrantRecord, now: Timestamp) -> bool {
    grant.revoked_at.is_none() && now < grant.expires_at
}

/// Redeems a code. The caller writes back `code` and `grant`, and on
/// [`Redeemed`](RedeemCodeOutcome::Redeemed) stores the tokens of `request`.
pub(crate) fn redeem(
    code: &mut CodeRecord,
    grant: &mut GrantRecord,
    request: &RedeemCode,
    now: Timestamp,
) -> RedeemCodeOutcome {
    // Before the expiry: a second use is a replay for as long as the code is remembered.
    if code.redeemed_at.is_some() {
        revoke(grant, now);
        return RedeemCodeOutcome::Replayed(grant.id);
    }
    if now >= code.expires_at {
        return RedeemCodeOutcome::Expired;
    }
    if grant.revoked_at.is_some() {
        return RedeemCodeOutcome::Revoked;
    }
    code.redeemed_at = Some(now);
    bind(grant, request.dpop_jkt.as_ref());
    endow(grant, &request.access.1, request.refresh.as_ref());
    RedeemCodeOutcome::Redeemed
}

/// Binds the refresh tokens of a grant to a key, if one was proven.
pub(crate) fn bind(grant: &mut GrantRecord, jkt: Option<&String>) {
    if let Some(jkt) = jkt {
        grant.dpop_jkt = Some(jkt.clone());
    }
}

/// Makes a grant know of its first tokens.
pub(crate) fn endow(
    grant: &mut GrantRecord,
    access: &AccessTokenRecord,
    refresh: Option<&(Digest, RefreshTokenRecord)>,
) {
    outlive(grant, access.expires_at);
    if let Some((_, refresh)) = refresh {
        outlive(grant, refresh.expires_at);
        grant.refresh_generation = refresh.generation;
    }
}

/// Notes that a device asked, whose user has not decided.
pub(crate) fn poll(device: &mut DeviceRecord, now: Timestamp) -> PollDevice {
    let interval = Duration::from_secs(device.interval);
    let too_soon = device
        .last_poll
        .is_some_and(|last| now < last.plus(interval));
    device.last_poll = Some(now);
    if too_soon {
        device.interval = device.interval.saturating_add(SLOW_DOWN);
        return PollDevice::SlowDown {
            interval: device.interval,
        };
    }
    PollDevice::Pending
}

/// What a rotation decided, beside the records it changed in place.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    /// The answer.
    pub(crate) outcome: RotateRefreshOutcome,
    /// The successor to store.
    pub(crate) successor: Option<RefreshTokenRecord>,
    /// The access token to store.
    pub(crate) access: Option<AccessTokenRecord>,
    /// Whether `presented` or `grant` changed.
    pub(crate) changed: bool,
}

impl Rotation {
    fn unchanged(outcome: RotateRefreshOutcome) -> Self {
        Self {
            outcome,
            successor: None,
            access: None,
            changed: false,
        }
    }
}

/// Rotates a refresh token. `access_exists` says whether the access token of `request` is stored
/// already, in whatever state: such a one is never stored again, since it may have been revoked.
pub(crate) fn rotate(
    presented: &mut RefreshTokenRecord,
    grant: &mut GrantRecord,
    request: &RotateRefresh,
    access_exists: bool,
    now: Timestamp,
) -> Rotation {
    use RotateRefreshOutcome as Outcome;

    if grant.revoked_at.is_some() {
        return Rotation::unchanged(Outcome::Revoked);
    }
    if now >= presented.expires_at {
        return Rotation::unchanged(Outcome::Expired);
    }
    let next = presented.generation.saturating_add(1);
    let Some(first) = &mut presented.used else {
        presented.used = Some(RefreshUse {
            at: now,
            key: request.key,
            access_tokens: 1,
        });
        grant.refresh_generation = next;
        outlive(grant, request.successor_expires_at);
        outlive(grant, request.access.1.expires_at);
        return Rotation {
            outcome: Outcome::Rotated,
            successor: Some(RefreshTokenRecord {
                grant: grant.id,
                generation: next,
                expires_at: request.successor_expires_at,
                used: None,
            }),
            access: (!access_exists).then(|| request.access.1.clone()),
            changed: true,
        };
    };

    // Of no length it has no first second either.
    let is_late = request.grace == 0 || now > first.at.plus(Duration::from_secs(request.grace));
    let successor_unused = grant.refresh_generation == next;
    if is_late || !successor_unused {
        revoke(grant, now);
        return Rotation {
            changed: true,
            ..Rotation::unchanged(Outcome::Replayed(grant.id))
        };
    }
    let first_used_at = first.at;
    if first.key != request.key {
        return Rotation::unchanged(Outcome::OtherKey {
            key: first.key,
            first_used_at,
        });
    }
    let repeated = Outcome::Repeated { first_used_at };
    if access_exists {
        return Rotation::unchanged(repeated);
    }
    if first.access_tokens >= request.max_access_tokens {
        return Rotation::unchanged(Outcome::TooManyAccessTokens);
    }
    first.access_tokens += 1;
    let access = of_repeat(&request.access.1, first_used_at);
    outlive(grant, access.expires_at);
    Rotation {
        outcome: repeated,
        successor: None,
        access: Some(access),
        changed: true,
    }
}

/// An access token that a repeat gives: it dies no later than one of the first use, even if the
/// caller read the records before that. Otherwise one that was revoked, and swept once its time was
/// over, could come back.
fn of_repeat(access: &AccessTokenRecord, first_used_at: Timestamp) -> AccessTokenRecord {
    let life = access.issued_at.until(access.expires_at);
    AccessTokenRecord {
        expires_at: access.expires_at.min(first_used_at.plus(life)),
        ..access.clone()
    }
}

/// A grant is kept at least as long as anything that came of it: a token without its grant could
/// not be judged.
pub(crate) fn outlive(grant: &mut GrantRecord, token: Timestamp) {
    grant.expires_at = grant.expires_at.max(token);
}
