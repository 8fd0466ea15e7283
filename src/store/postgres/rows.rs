//! Records as rows: which column holds what.
//!
//! Where a record's fields are columns one to one, serde writes and reads the record itself; the
//! structs that say how are never made.

use serde::{Deserialize, Serialize};

use super::columns::column;
use crate::{
    client::destination::Destination,
    clock::Timestamp,
    id::{ClientId, Subject},
    pkce::CodeChallenge,
    scope::Scopes,
    secret::{Digest, GrantId, KeyMaterial},
    store::record::{
        AccessTokenRecord, AuthorizationRequest, ClientMetadata, ClientRecord, CodeRecord,
        ConsentRecord, DeviceDecision, DeviceRecord, GrantHolder, GrantRecord, KeyPurpose,
        KeyRecord, PendingAuthorization, RefreshTokenRecord, RefreshUse,
    },
    uri::ResourceUri,
};

/// A record as the row of its table.
macro_rules! row {
    ($row:ident($columns:literal => $record:ident)) => {
        #[derive(Serialize, Deserialize)]
        pub(super) struct $row(#[serde(with = $columns)] pub(super) $record);
    };
}

row!(ClientRow("ClientColumns" => ClientRecord));

#[derive(Serialize, Deserialize)]
#[serde(remote = "ClientRecord")]
struct ClientColumns {
    id: ClientId,
    #[serde(with = "column")]
    secret: Option<Digest>,
    #[serde(with = "column")]
    secret_expires_at: Option<Timestamp>,
    metadata: ClientMetadata,
    #[serde(with = "column")]
    issued_at: Timestamp,
    #[serde(with = "column")]
    expires_at: Timestamp,
    #[serde(with = "column")]
    management: Option<Digest>,
}

row!(PendingRow("PendingColumns" => PendingAuthorization));

#[derive(Serialize, Deserialize)]
#[serde(remote = "PendingAuthorization")]
struct PendingColumns {
    request: AuthorizationRequest,
    #[serde(with = "column")]
    browser: Option<Digest>,
    client: Option<Box<ClientMetadata>>,
    #[serde(with = "column")]
    created_at: Timestamp,
    #[serde(with = "column")]
    expires_at: Timestamp,
}

row!(CodeRow("CodeColumns" => CodeRecord));

#[derive(Serialize, Deserialize)]
#[serde(remote = "CodeRecord")]
struct CodeColumns {
    #[serde(rename = "grant_id", with = "column")]
    grant: GrantId,
    redirect_uri: String,
    code_challenge: CodeChallenge,
    nonce: Option<String>,
    #[serde(with = "column")]
    auth_time: Option<Timestamp>,
    #[serde(with = "column")]
    expires_at: Timestamp,
    #[serde(with = "column")]
    redeemed_at: Option<Timestamp>,
    dpop_jkt: Option<String>,
}

row!(GrantRow("GrantColumns" => GrantRecord));

#[derive(Serialize, Deserialize)]
#[serde(remote = "GrantRecord")]
struct GrantColumns {
    #[serde(with = "column")]
    id: GrantId,
    client_id: ClientId,
    subject: Subject,
    scopes: Scopes,
    resource: ResourceUri,
    #[serde(with = "column")]
    created_at: Timestamp,
    #[serde(with = "column")]
    expires_at: Timestamp,
    #[serde(with = "column")]
    revoked_at: Option<Timestamp>,
    refresh_generation: u32,
    holder: GrantHolder,
    #[serde(with = "column")]
    auth_time: Option<Timestamp>,
    dpop_jkt: Option<String>,
    session: Option<String>,
}

row!(AccessTokenRow("AccessTokenColumns" => AccessTokenRecord));

#[derive(Serialize, Deserialize)]
#[serde(remote = "AccessTokenRecord")]
struct AccessTokenColumns {
    #[serde(rename = "grant_id", with = "column")]
    grant: GrantId,
    client_id: ClientId,
    subject: Subject,
    scopes: Scopes,
    resource: ResourceUri,
    #[serde(with = "column")]
    issued_at: Timestamp,
    #[serde(with = "column")]
    expires_at: Timestamp,
    #[serde(with = "column")]
    revoked_at: Option<Timestamp>,
    holder: GrantHolder,
    dpop_jkt: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RefreshTokenRow {
    #[serde(rename = "grant_id", with = "column")]
    grant: GrantId,
    pub(super) generation: u32,
    #[serde(with = "column")]
    expires_at: Timestamp,
    #[serde(with = "column")]
    used_at: Option<Timestamp>,
    used_key: Option<u32>,
    access_tokens: Option<u8>,
}

impl From<RefreshTokenRecord> for RefreshTokenRow {
    fn from(record: RefreshTokenRecord) -> Self {
        let used = record.used;
        Self {
            grant: record.grant,
            generation: record.generation,
            expires_at: record.expires_at,
            used_at: used.as_ref().map(|used| used.at),
            used_key: used.as_ref().map(|used| used.key),
            access_tokens: used.map(|used| used.access_tokens),
        }
    }
}

impl From<RefreshTokenRow> for RefreshTokenRecord {
    fn from(row: RefreshTokenRow) -> Self {
        let used = row.used_at.zip(row.used_key).zip(row.access_tokens);
        Self {
            grant: row.grant,
            generation: row.generation,
            expires_at: row.expires_at,
            used: used.map(|((at, key), access_tokens)| RefreshUse {
                at,
                key,
                access_tokens,
            }),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ConsentRow {
    subject: Subject,
    client_id: ClientId,
    #[serde(with = "column")]
    resource_key: Digest,
    resource: ResourceUri,
    #[serde(with = "column")]
    destination_key: Digest,
    destination: Option<Destination>,
    scopes: Scopes,
    #[serde(with = "column")]
    granted_at: Timestamp,
}

/// What stands in a key for a resource, however it is spelled and however long it is.
pub(super) fn resource_key(resource: &ResourceUri) -> Digest {
    Digest::of(resource.canonical())
}

/// What stands in a key for a destination; none is as good as an empty one.
pub(super) fn destination_key(destination: Option<&Destination>) -> Digest {
    Digest::of(destination.map_or("", Destination::as_str))
}

impl From<ConsentRecord> for ConsentRow {
    fn from(record: ConsentRecord) -> Self {
        Self {
            resource_key: resource_key(&record.resource),
            destination_key: destination_key(record.destination.as_ref()),
            subject: record.subject,
            client_id: record.client_id,
            resource: record.resource,
            destination: record.destination,
            scopes: record.scopes,
            granted_at: record.granted_at,
        }
    }
}

impl From<ConsentRow> for ConsentRecord {
    fn from(row: ConsentRow) -> Self {
        Self {
            subject: row.subject,
            client_id: row.client_id,
            resource: row.resource,
            destination: row.destination,
            scopes: row.scopes,
            granted_at: row.granted_at,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct DeviceRow {
    client_id: ClientId,
    scopes: Scopes,
    resource: ResourceUri,
    #[serde(with = "column")]
    user_code: Digest,
    #[serde(with = "column")]
    created_at: Timestamp,
    #[serde(with = "column")]
    expires_at: Timestamp,
    #[serde(with = "column")]
    poll_interval: u64,
    #[serde(with = "column")]
    last_poll: Option<Timestamp>,
    decision: Option<Decision>,
    #[serde(with = "column")]
    grant_id: Option<GrantId>,
    client: Option<Box<ClientMetadata>>,
    dpop_jkt: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Approved,
    Denied,
}

impl From<DeviceRecord> for DeviceRow {
    fn from(record: DeviceRecord) -> Self {
        let (decision, grant_id) = match record.decision {
            Some(DeviceDecision::Approved { grant }) => (Some(Decision::Approved), Some(grant)),
            Some(DeviceDecision::Denied) => (Some(Decision::Denied), None),
            None => (None, None),
        };
        Self {
            client_id: record.client_id,
            scopes: record.scopes,
            resource: record.resource,
            user_code: record.user_code,
            created_at: record.created_at,
            expires_at: record.expires_at,
            poll_interval: record.interval,
            last_poll: record.last_poll,
            decision,
            grant_id,
            client: record.client,
            dpop_jkt: record.dpop_jkt,
        }
    }
}

impl From<DeviceRow> for DeviceRecord {
    fn from(row: DeviceRow) -> Self {
        let decision = match (row.decision, row.grant_id) {
            (Some(Decision::Approved), Some(grant)) => Some(DeviceDecision::Approved { grant }),
            // One that was approved for nothing gets nothing.
            (Some(_), _) => Some(DeviceDecision::Denied),
            (None, _) => None,
        };
        Self {
            client_id: row.client_id,
            scopes: row.scopes,
            resource: row.resource,
            user_code: row.user_code,
            created_at: row.created_at,
            expires_at: row.expires_at,
            interval: row.poll_interval,
            last_poll: row.last_poll,
            decision,
            client: row.client,
            dpop_jkt: row.dpop_jkt,
        }
    }
}

row!(KeyRow("KeyColumns" => KeyRecord));

#[derive(Serialize, Deserialize)]
#[serde(remote = "KeyRecord")]
struct KeyColumns {
    purpose: KeyPurpose,
    id: u32,
    #[serde(rename = "material", with = "column")]
    key: KeyMaterial,
    #[serde(with = "column")]
    created_at: Timestamp,
    #[serde(with = "column")]
    retires_at: Option<Timestamp>,
    #[serde(with = "column")]
    expires_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct UsedRow {
    #[serde(with = "column")]
    pub(super) digest: Digest,
    #[serde(with = "column")]
    pub(super) expires_at: Timestamp,
}

/// A row whose key is the digest of a secret.
#[derive(Serialize, Deserialize)]
pub(super) struct ByDigest<R> {
    #[serde(with = "column")]
    pub(super) digest: Digest,
    #[serde(flatten)]
    pub(super) row: R,
}

/// A row whose key is an id that the record itself does not have.
#[derive(Serialize)]
pub(super) struct ById<R> {
    #[serde(with = "column")]
    pub(super) id: Digest,
    #[serde(flatten)]
    pub(super) row: R,
}
