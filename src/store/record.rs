//! What a store keeps. Secrets are here as digests only; each record has an expiry of its own.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    id::{ClientId, Subject},
    pkce::CodeChallenge,
    scope::Scopes,
    secret::{Digest, GrantId, KeyMaterial},
    uri::ResourceUri,
};

pub use crate::client::{destination::Destination, metadata::ClientMetadata};

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
    /// Digest of the token that it manages its registration with (RFC 7592); `None` where it
    /// cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<Digest>,
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
    /// Whether nothing may be shown to the user (`prompt=none`).
    #[serde(default)]
    pub prompt_none: bool,
    /// How many seconds ago the user may have signed in at most (OpenID Connect `max_age`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// Thumbprint of the key that the code is bound to (RFC 9449 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
    /// Who the client thinks will sign in (OpenID Connect `login_hint`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// Who the client knows will sign in, by an earlier statement of ours (OpenID Connect
    /// `id_token_hint`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hinted: Option<Subject>,
}

/// An authorization request that waits for its user to sign in or to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingAuthorization {
    /// The request.
    pub request: AuthorizationRequest,
    /// Digest of the browser's cookie: only that browser may go on with it. `None` for a request
    /// that the client pushed (RFC 9126) and no browser has taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<Digest>,
    /// What the client's metadata document said when the request came, where the client is known
    /// by one: what was checked then is what counts until the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Box<ClientMetadata>>,
    /// When the request came.
    pub created_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// An authorization code. The grant it will give is stored beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Thumbprint of the key that must be proven to redeem it (RFC 9449 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
}

/// Who the `subject` of a grant or token names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantHolder {
    /// A user of the application.
    #[default]
    User,
    /// The client itself (client credentials): no user is involved, and nothing that is done to
    /// the user of the same name reaches it.
    Client,
}

impl GrantHolder {
    /// For rows, which mostly are a user's and need not say so.
    pub(crate) fn is_user(&self) -> bool {
        *self == Self::User
    }
}

/// What one user allowed one client to do at one resource. Owns every token that came of it:
/// a revoked grant has no live token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Who `subject` names.
    #[serde(default, skip_serializing_if = "GrantHolder::is_user")]
    pub holder: GrantHolder,
    /// When the user signed in, where the application knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
    /// Thumbprint of the key that its refresh tokens are bound to (RFC 9449 §5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
    /// The sign-in session that it was given in (OpenID Connect `sid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// One access token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Who `subject` names.
    #[serde(default, skip_serializing_if = "GrantHolder::is_user")]
    pub holder: GrantHolder,
    /// Thumbprint of the key that it is bound to (RFC 9449); `None` for a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
}

impl AccessTokenRecord {
    /// How the token is to be presented (RFC 6749 §7.1).
    pub(crate) fn token_type(&self) -> &'static str {
        if self.dpop_jkt.is_some() {
            "DPoP"
        } else {
            "Bearer"
        }
    }
}

/// One generation of a grant's refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// Who consented.
    pub subject: Subject,
    /// To which client.
    pub client_id: ClientId,
    /// At which resource.
    pub resource: ResourceUri,
    /// Where the answer went; none for a device, which fetches its tokens itself. What was allowed
    /// there says nothing of what a stranger may fetch elsewhere in the same client's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// To what: the union of everything consented to so far.
    pub scopes: Scopes,
    /// When last.
    pub granted_at: Timestamp,
}

/// A device that waits for its user to approve it elsewhere (RFC 8628).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Who asks.
    pub client_id: ClientId,
    /// The scopes that a user may consent to.
    pub scopes: Scopes,
    /// The one resource the tokens will be for.
    pub resource: ResourceUri,
    /// Digest of the code that the user types.
    pub user_code: Digest,
    /// When the device asked.
    pub created_at: Timestamp,
    /// When it is forgotten, decided or not.
    pub expires_at: Timestamp,
    /// How many seconds it must wait between polls.
    pub interval: u64,
    /// When it polled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_poll: Option<Timestamp>,
    /// What the user decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DeviceDecision>,
    /// What the client's metadata document said when the device asked, where the client is known
    /// by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Box<ClientMetadata>>,
    /// Thumbprint of the key that the device proved when it asked (RFC 9449).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
}

/// What a user decided about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeviceDecision {
    /// It gets the tokens of this grant.
    Approved {
        /// The grant.
        grant: GrantId,
    },
    /// It gets nothing.
    Denied,
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
    /// Signing JWTs with EdDSA (Ed25519); the material is a PKCS#8 document.
    SignEdDsa,
    /// Signing JWTs with RS256; the material is a PKCS#8 document.
    SignRs256,
}

/// A key that every node of a deployment shares through the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Its number within its purpose.
    pub id: u32,
    /// The key.
    pub key: KeyMaterial,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs nothing new; `None` for the one in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires_at: Option<Timestamp>,
    /// From when on it is forgotten: nothing that it signed is accepted any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Any record, as `export` writes and `import` reads it: one JSON object per line.
///
/// Pending authorizations and devices are left out: they live for minutes, and whoever waits
/// starts again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a page of them lives for a moment per export or import"
)]
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
    /// Something that could be used once, and was: an assertion's id or the like.
    Used {
        /// Of what.
        digest: Digest,
        /// When it would have been refused anyway.
        expires_at: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_users_do_not_say_so_and_a_bound_token_says_how_to_present_it() {
        let mut token = AccessTokenRecord {
            grant: GrantId::random(),
            client_id: ClientId::new("app").unwrap(),
            subject: Subject::new("ann").unwrap(),
            scopes: Scopes::default(),
            resource: ResourceUri::parse("https://a.example/mcp").unwrap(),
            issued_at: Timestamp::from_secs(1),
            expires_at: Timestamp::from_secs(2),
            revoked_at: None,
            holder: GrantHolder::User,
            dpop_jkt: None,
        };
        let row = |token: &AccessTokenRecord| serde_json::to_value(token).unwrap();
        assert_eq!(row(&token).get("holder"), None);
        token.holder = GrantHolder::Client;
        assert_eq!(row(&token)["holder"], "client");
        assert_eq!(token.token_type(), "Bearer");
        token.dpop_jkt = Some("thumbprint".to_owned());
        assert_eq!(token.token_type(), "DPoP");
    }
}
