//! Tokens as functions are given them.

use serde::Serialize;

use super::{
    columns::column,
    rows::{AccessTokenRow, ByDigest, RefreshTokenRow},
};
use crate::{
    clock::Timestamp,
    secret::Digest,
    store::record::{AccessTokenRecord, RefreshTokenRecord},
};

pub(super) fn access_token(
    (digest, record): (Digest, AccessTokenRecord),
) -> ByDigest<AccessTokenRow> {
    let row = AccessTokenRow(record);
    ByDigest { digest, row }
}

pub(super) fn refresh_token(
    (digest, record): (Digest, RefreshTokenRecord),
) -> ByDigest<RefreshTokenRow> {
    let row = record.into();
    ByDigest { digest, row }
}

/// The first tokens of a grant that is there already.
#[derive(Serialize)]
pub(super) struct FirstTokens {
    access: ByDigest<AccessTokenRow>,
    refresh: Option<ByDigest<RefreshTokenRow>>,
    /// Until when the grant must be kept for them.
    #[serde(with = "column")]
    until: Timestamp,
    dpop_jkt: Option<String>,
    #[serde(with = "column")]
    renew_client: Option<Timestamp>,
}

impl FirstTokens {
    pub(super) fn new(
        access: (Digest, AccessTokenRecord),
        refresh: Option<(Digest, RefreshTokenRecord)>,
        dpop_jkt: Option<String>,
        renew_client: Option<Timestamp>,
    ) -> Self {
        let lives = refresh.as_ref().map(|(_, refresh)| refresh.expires_at);
        Self {
            until: access.1.expires_at.max(lives.unwrap_or_default()),
            access: access_token(access),
            refresh: refresh.map(refresh_token),
            dpop_jkt,
            renew_client,
        }
    }
}
