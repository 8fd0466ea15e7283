//! What the functions of the database answer.

use serde::Deserialize;

use super::{
    columns::column,
    rows::{AccessTokenRow, ClientRow, DeviceRow, GrantRow},
};
use crate::{
    clock::Timestamp,
    secret::{Digest, GrantId},
    store::{
        AccessToken, BeginAuthorization, BeginDevice, CreateClient, IssueCodeOutcome,
        IssueTokensOutcome, PollDevice, RedeemCodeOutcome, RedeemDevice, Revocation,
        RotateRefreshOutcome, UseOnce,
    },
};

#[derive(Deserialize)]
#[serde(remote = "BeginAuthorization", rename_all = "snake_case")]
pub(super) enum BeginAuthorizationText {
    Begun,
    Full,
}

#[derive(Deserialize)]
#[serde(remote = "IssueCodeOutcome", rename_all = "snake_case")]
pub(super) enum IssueCodeText {
    Issued,
    Gone,
}

#[derive(Deserialize)]
#[serde(remote = "RedeemCodeOutcome", rename_all = "snake_case")]
pub(super) enum RedeemCodeText {
    Redeemed,
    Replayed(#[serde(with = "column")] GrantId),
    Revoked,
    Expired,
    Unknown,
}

#[derive(Deserialize)]
#[serde(remote = "RotateRefreshOutcome", rename_all = "snake_case")]
pub(super) enum RotateRefreshText {
    Rotated,
    Repeated { first_used_at: Timestamp },
    OtherKey { key: u32, first_used_at: Timestamp },
    Replayed(#[serde(with = "column")] GrantId),
    TooManyAccessTokens,
    Revoked,
    Expired,
    Unknown,
}

#[derive(Deserialize)]
#[serde(remote = "IssueTokensOutcome", rename_all = "snake_case")]
pub(super) enum IssueTokensText {
    Issued,
    Used,
    Full,
}

#[derive(Deserialize)]
#[serde(remote = "UseOnce", rename_all = "snake_case")]
pub(super) enum UseOnceText {
    First,
    Again,
    Full,
}

#[derive(Deserialize)]
#[serde(remote = "BeginDevice", rename_all = "snake_case")]
pub(super) enum BeginDeviceText {
    Begun,
    UserCodeTaken,
    Full,
}

#[derive(Deserialize)]
#[serde(remote = "RedeemDevice", rename_all = "snake_case")]
pub(super) enum RedeemDeviceText {
    Redeemed,
    Gone,
    Revoked,
}

/// An outcome that is nothing but one of the names above.
macro_rules! plain {
    ($($answer:ident($text:literal => $outcome:ident))*) => {
        $(
            #[derive(Deserialize)]
            pub(super) struct $answer(#[serde(with = $text)] pub(super) $outcome);
        )*
    };
}

plain! {
    BeginAuthorizationAnswer("BeginAuthorizationText" => BeginAuthorization)
    IssueCodeAnswer("IssueCodeText" => IssueCodeOutcome)
    RedeemCodeAnswer("RedeemCodeText" => RedeemCodeOutcome)
    RotateRefreshAnswer("RotateRefreshText" => RotateRefreshOutcome)
    IssueTokensAnswer("IssueTokensText" => IssueTokensOutcome)
    UseOnceAnswer("UseOnceText" => UseOnce)
    BeginDeviceAnswer("BeginDeviceText" => BeginDevice)
    RedeemDeviceAnswer("RedeemDeviceText" => RedeemDevice)
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CreateClientAnswer {
    Created,
    Exists(Box<ClientRow>),
    Full,
}

impl From<CreateClientAnswer> for CreateClient {
    fn from(answer: CreateClientAnswer) -> Self {
        match answer {
            CreateClientAnswer::Created => Self::Created,
            CreateClientAnswer::Exists(client) => Self::Exists(client.0),
            CreateClientAnswer::Full => Self::Full,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PollDeviceAnswer {
    Pending,
    SlowDown { interval: u64 },
    Denied,
    Expired,
    Unknown,
    Approved(Box<ApprovedDevice>),
}

#[derive(Deserialize)]
pub(super) struct ApprovedDevice {
    record: DeviceRow,
    grant: GrantRow,
}

impl From<PollDeviceAnswer> for PollDevice {
    fn from(answer: PollDeviceAnswer) -> Self {
        match answer {
            PollDeviceAnswer::Pending => Self::Pending,
            PollDeviceAnswer::SlowDown { interval } => Self::SlowDown { interval },
            PollDeviceAnswer::Denied => Self::Denied,
            PollDeviceAnswer::Expired => Self::Expired,
            PollDeviceAnswer::Unknown => Self::Unknown,
            PollDeviceAnswer::Approved(approved) => Self::Approved {
                record: approved.record.into(),
                grant: approved.grant.0,
            },
        }
    }
}

#[derive(Deserialize)]
pub(super) struct AccessTokenAnswer {
    record: AccessTokenRow,
    revoked: bool,
}

impl From<AccessTokenAnswer> for AccessToken {
    fn from(answer: AccessTokenAnswer) -> Self {
        Self {
            record: answer.record.0,
            revoked: answer.revoked,
        }
    }
}

/// One step of a revocation that may reach many grants.
#[derive(Deserialize)]
pub(super) struct Reached {
    #[serde(with = "column")]
    pub(super) grants: Vec<GrantId>,
    pub(super) is_last: bool,
}

/// The grant that was named, if there is one.
#[derive(Deserialize)]
pub(super) struct RevokedGrant(#[serde(with = "column")] pub(super) Option<GrantId>);

/// What is good no longer.
#[derive(Deserialize)]
pub(super) struct RevokedAmong {
    #[serde(with = "column")]
    grants: Vec<GrantId>,
    #[serde(with = "column")]
    access_tokens: Vec<Digest>,
}

impl From<RevokedAmong> for Revocation {
    fn from(revoked: RevokedAmong) -> Self {
        Self {
            grants: revoked.grants,
            access_tokens: revoked.access_tokens,
        }
    }
}
