//! What a store keeps. Secrets are here as digests only; each record has an expiry of its own.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    id::{ClientId, Subject},
    pkce::CodeChallenge,
    scope::Scopes,
    secret::{Digest, GrantId, SecretKey},
    uri::ResourceUri,
};

pub use crate::client::metadata::ClientMetadata;

/// A program that registered itself (RFC 7591).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRecord {
    /// Its `client_id`.
    pub id: ClientId,
    /// Digest of its secret; `None` for a public client.
    pub secret: Option<Digest>,
    /// When the secret stops being accepted; `None` for never.
    pub secret_expires_at: Option<Timestamp>,
    /// What it registered, after validation.
    pub metadata: ClientMetadata,
    /// When it registered.
    pub issued_at: Timestamp,
    /// When it may be forgotten; moved later whenever it is used.
    pub expires_at: Timestamp,
}

/// What a client asked of the authorization endpoint, fully validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client_id: ClientId,
    /// Where the answer goes: a registered URI, with the port the client asked for on loopback.
    pub redirect_uri: String,
    /// The scopes that a user may now consent to.
    pub scopes: Scopes,
    /// The one resource the tokens will be for.
    pub resource: ResourceUri,
    /// Handed back as it came.
    pub state: Option<String>,
    /// RFC 7636.
    pub code_challenge: CodeChallenge,
    /// OpenID Connect `nonce`.
    pub nonce: Option<String>,
    /// Whether the client insists on the consent page (`prompt=consent`).
    pub prompt_consent: bool,
    /// Whether the user must sign in anew (`prompt=login`, `select_account`).
    pub prompt_login: bool,
}

/// An authorization request that waits for its user to sign in or to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingAuthorization {
    /// The request.
    pub request: AuthorizationRequest,
    /// Digest of the browser's cookie: only that browser may go on with it.
    pub browser: Digest,
    /// When the request came.
    pub created_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// An authorization code. The grant it will give is stored beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRecord {
    /// The grant.
    pub grant: GrantId,
    /// Where the code was sent.
    pub redirect_uri: String,
    /// RFC 7636.
    pub code_challenge: CodeChallenge,
    /// OpenID Connect `nonce`.
    pub nonce: Option<String>,
    /// When the user signed in, where the application knows.
    pub auth_time: Option<Timestamp>,
    /// Until when it can be redeemed; a redeemed one is kept as long, to notice replays.
    pub expires_at: Timestamp,
    /// When it was redeemed.
    pub redeemed_at: Option<Timestamp>,
}

/// What one user allowed one client to do at one resource. Owns every token that came of it:
/// a revoked grant has no live token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRecord {
    /// Its name.
    pub id: GrantId,
    /// Who may use it.
    pub client_id: ClientId,
    /// Who gave it.
    pub subject: Subject,
    /// What it allows.
    pub scopes: Scopes,
    /// Where it allows that.
    pub resource: ResourceUri,
    /// When it was given.
    pub created_at: Timestamp,
    /// When the last token of it has expired.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The newest generation of its refresh token. Using a generation makes the next one, so a
    /// presented generation's successor is unused exactly when the successor is the newest.
    #[serde(default)]
    pub refresh_generation: u32,
}

/// One access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenRecord {
    /// The grant it came of.
    pub grant: GrantId,
    /// The client it was issued to.
    pub client_id: ClientId,
    /// Who it speaks for.
    pub subject: Subject,
    /// What it allows: the grant's scopes or fewer.
    pub scopes: Scopes,
    /// Where it is accepted.
    pub resource: ResourceUri,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Timestamp,
    /// When it alone was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// One generation of a grant's refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshTokenRecord {
    /// The grant it came of.
    pub grant: GrantId,
    /// How many refreshes came before it.
    pub generation: u32,
    /// From when on it is refused.
    pub expires_at: Timestamp,
    /// Set at its first use, and never changed by later ones.
    pub used: Option<RefreshUse>,
}

/// The first use of a refresh token: everything a repeat needs to give the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshUse {
    /// When it was first presented: the grace window is counted from here.
    pub at: Timestamp,
    /// The key that the successor was derived with.
    pub key: u32,
    /// How many different access tokens have been issued for this generation: a repeat with the
    /// same scopes adds none, and the number of others is bounded.
    pub access_tokens: u8,
}

/// What a user allowed a client, remembered for the next time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// Who consented.
    pub subject: Subject,
    /// To which client.
    pub client_id: ClientId,
    /// At which resource.
    pub resource: ResourceUri,
    /// To what: the union of everything consented to so far.
    pub scopes: Scopes,
    /// When last.
    pub granted_at: Timestamp,
}

/// What a stored key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyPurpose {
    /// Deriving the successor of a refresh token.
    RefreshSuccessor,
    /// Binding an MCP session to the grant that opened it.
    SessionBinding,
}

/// A key that every node of a deployment shares through the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Its number within its purpose.
    pub id: u32,
    /// The key.
    pub key: SecretKey,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Any record, as `export` writes and `import` reads it: one JSON object per line.
///
/// Pending authorizations are left out: they live for minutes and belong to one browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A registered client.
    Client(ClientRecord),
    /// An authorization code.
    Code {
        /// Under which digest.
        digest: Digest,
        /// The code.
        record: CodeRecord,
    },
    /// A grant.
    Grant(GrantRecord),
    /// An access token.
    AccessToken {
        /// Under which digest.
        digest: Digest,
        /// The token.
        record: AccessTokenRecord,
    },
    /// A refresh token.
    RefreshToken {
        /// Under which digest.
        digest: Digest,
        /// The token.
        record: RefreshTokenRecord,
    },
    /// A remembered consent.
    Consent(ConsentRecord),
    /// A shared key. Whoever has it together with an unexpired refresh token can derive that
    /// token's successor: keep exports as safe as the store itself.
    Key(KeyRecord),
}
