//! What store operations are given, and what they answer.

use super::record::{
    AccessTokenRecord, ClientRecord, CodeRecord, ConsentRecord, DeviceRecord, GrantRecord, Record,
    RefreshTokenRecord,
};
use crate::{
    clock::Timestamp,
    id::{ClientId, Subject},
    secret::{Digest, GrantId},
};

/// What became of [`Store::create_client`](super::Store::create_client).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one such value lives for a moment per registration"
)]
#[non_exhaustive]
pub enum CreateClient {
    /// It is stored.
    Created,
    /// A client of that id is there already, unexpired: here it is. Only its expiry was moved
    /// later, if less than half of the time that the new one would have had was left.
    Exists(ClientRecord),
    /// As many clients as allowed are stored.
    Full,
}

/// What became of [`Store::begin_authorization`](super::Store::begin_authorization).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeginAuthorization {
    /// It is stored.
    Begun,
    /// As many authorizations as allowed are pending.
    Full,
}

/// Everything that comes into being when a user approves.
#[derive(Clone, Debug)]
pub struct IssueCode {
    /// The pending authorization this answers; it is used up. `None` where the answer needed no
    /// page.
    pub pending: Option<Digest>,
    /// Digest of the new code.
    pub digest: Digest,
    /// The code.
    pub code: CodeRecord,
    /// The grant it will give, not revoked.
    pub grant: GrantRecord,
    /// The consent to remember; its scopes are added to what is remembered already for the same
    /// subject, client, resource and destination.
    pub consent: Option<ConsentRecord>,
    /// Move the registered client's expiry to at least here.
    pub renew_client: Option<Timestamp>,
}

/// What became of [`Store::issue_code`](super::Store::issue_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssueCodeOutcome {
    /// Code, grant and consent are stored.
    Issued,
    /// The pending authorization was answered before, or has expired. Nothing changed.
    Gone,
}

/// The tokens that a code is redeemed for.
#[derive(Clone, Debug)]
pub struct RedeemCode {
    /// Digest of the code.
    pub code: Digest,
    /// The access token.
    pub access: (Digest, AccessTokenRecord),
    /// The refresh token of generation 0, if one is issued.
    pub refresh: Option<(Digest, RefreshTokenRecord)>,
    /// The key that the grant's refresh tokens are bound to from now on, by its thumbprint.
    pub dpop_jkt: Option<String>,
    /// Move the registered client's expiry to at least here.
    pub renew_client: Option<Timestamp>,
}

/// What became of [`Store::redeem_code`](super::Store::redeem_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedeemCodeOutcome {
    /// The tokens are stored and the code is used up.
    Redeemed,
    /// The code was redeemed before. Its grant is revoked now, by this very operation.
    Replayed(GrantId),
    /// The grant was revoked before the code was redeemed.
    Revoked,
    /// The code's time is over.
    Expired,
    /// There is no such code.
    Unknown,
}

/// A refresh, as decided from the records read before.
#[derive(Clone, Debug)]
pub struct RotateRefresh {
    /// Digest of the token presented.
    pub presented: Digest,
    /// Digest of its successor.
    pub successor: Digest,
    /// When the successor expires.
    pub successor_expires_at: Timestamp,
    /// The key the successor was derived with.
    pub key: u32,
    /// The access token.
    pub access: (Digest, AccessTokenRecord),
    /// How long after its first use the presented token is still answered, in seconds. The last
    /// second counts whole.
    pub grace: u64,
    /// How many different access tokens one generation may give.
    pub max_access_tokens: u8,
    /// Move the registered client's expiry to at least here.
    pub renew_client: Option<Timestamp>,
}

/// What became of [`Store::rotate_refresh`](super::Store::rotate_refresh).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RotateRefreshOutcome {
    /// Successor and access token are stored; the presented token is marked as used.
    Rotated,
    /// The presented token was used before, within the grace window, and with the same key: the
    /// caller's successor is the one stored then. The access token is stored too (it was, or it
    /// is one of the few more that a generation may give).
    Repeated {
        /// When the token was first used.
        first_used_at: Timestamp,
    },
    /// As [`Repeated`](Self::Repeated), but the first use derived the successor with another key:
    /// derive it anew with that one. Nothing changed.
    OtherKey {
        /// The key of the first use.
        key: u32,
        /// When the token was first used.
        first_used_at: Timestamp,
    },
    /// The presented token was used before and its window is over, or its successor has been used
    /// too. Its grant is revoked now, by this very operation.
    Replayed(GrantId),
    /// As many different access tokens as allowed were issued for this generation.
    TooManyAccessTokens,
    /// The grant was revoked before.
    Revoked,
    /// The token's time is over.
    Expired,
    /// There is no such token.
    Unknown,
}

/// Tokens that need no code, with the grant they are of.
#[derive(Clone, Debug)]
pub struct IssueTokens {
    /// The new grant, not revoked.
    pub grant: GrantRecord,
    /// The access token.
    pub access: (Digest, AccessTokenRecord),
    /// The refresh token of generation 0, if one is issued.
    pub refresh: Option<(Digest, RefreshTokenRecord)>,
    /// The assertion that is used up for it, and until when that is remembered.
    pub used: Option<(Digest, Timestamp)>,
    /// Move the registered client's expiry to at least here.
    pub renew_client: Option<Timestamp>,
}

/// What became of [`Store::issue_tokens`](super::Store::issue_tokens).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssueTokensOutcome {
    /// Grant and tokens are stored, and the assertion is used up.
    Issued,
    /// The assertion was used before. Nothing changed.
    Used,
    /// As many used things as allowed are remembered. Nothing changed.
    Full,
}

/// What became of [`Store::use_once`](super::Store::use_once).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UseOnce {
    /// It was good, and is used up now.
    First,
    /// It was used before.
    Again,
    /// As many as allowed are remembered: nobody can say.
    Full,
}

/// What became of [`Store::begin_device`](super::Store::begin_device).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeginDevice {
    /// It is stored.
    Begun,
    /// Another device has that user code: try with another one.
    UserCodeTaken,
    /// As many devices as allowed are waiting.
    Full,
}

/// What a user decides about a device.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one such value lives for a moment per decision"
)]
#[non_exhaustive]
pub enum DecideDevice {
    /// It may have this.
    Approve {
        /// The new grant, not revoked.
        grant: GrantRecord,
        /// The consent to remember; its scopes are added to what is remembered already.
        consent: Option<ConsentRecord>,
    },
    /// It may have nothing.
    Deny,
}

/// What [`Store::poll_device`](super::Store::poll_device) answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one such value lives for a moment per poll"
)]
#[non_exhaustive]
pub enum PollDevice {
    /// Its user has not decided.
    Pending,
    /// Its user has not decided, and it asked too soon.
    SlowDown {
        /// How many seconds it must wait between polls from now on.
        interval: u64,
    },
    /// Its user refused.
    Denied,
    /// Its time is over.
    Expired,
    /// There is no such device of that client.
    Unknown,
    /// Its user approved: redeem it.
    Approved {
        /// The device.
        record: DeviceRecord,
        /// Its grant, whatever its state.
        grant: GrantRecord,
    },
}

/// The tokens that an approved device is redeemed for.
#[derive(Clone, Debug)]
pub struct DeviceTokens {
    /// The access token.
    pub access: (Digest, AccessTokenRecord),
    /// The refresh token of generation 0, if one is issued.
    pub refresh: Option<(Digest, RefreshTokenRecord)>,
    /// The key that the grant's refresh tokens are bound to from now on, by its thumbprint.
    pub dpop_jkt: Option<String>,
    /// Move the registered client's expiry to at least here.
    pub renew_client: Option<Timestamp>,
}

/// What became of [`Store::redeem_device`](super::Store::redeem_device).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedeemDevice {
    /// The tokens are stored and the device is used up.
    Redeemed,
    /// It was redeemed before, has expired, or is no approved device.
    Gone,
    /// Its grant was revoked before.
    Revoked,
}

/// An access token and whether it is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// The token.
    pub record: AccessTokenRecord,
    /// Whether it, or its grant, was revoked.
    pub revoked: bool,
}

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevokeTarget {
    /// One access token and nothing else.
    AccessToken(Digest),
    /// The grant that a refresh token belongs to, with every token of it.
    RefreshToken(Digest),
    /// One grant, with every token of it.
    Grant(GrantId),
    /// Every grant of one user to one client, and the consents remembered for the two.
    Consent(Subject, ClientId),
    /// Every grant of one user, and all consents of that user.
    Subject(Subject),
    /// Every grant to one client, and all consents to it.
    Client(ClientId),
    /// Every grant that one user gave in one sign-in session. Consents stay.
    Session(Subject, String),
}

/// What a revocation reached: what caches must forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    /// The grants that are revoked now, those that were so before among them.
    pub grants: Vec<GrantId>,
    /// Single access tokens that are revoked now.
    pub access_tokens: Vec<Digest>,
}

/// One page of [`Store::export`](super::Store::export).
#[derive(Clone, Debug, Default)]
pub struct ExportPage {
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<Vec<u8>>,
}
