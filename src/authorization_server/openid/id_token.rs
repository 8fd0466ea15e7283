//! Statements about who signed in, signed for one client (OpenID Connect Core §2).

use serde::Serialize;
use sha2::{Digest as _, Sha256, Sha512};

use super::super::AuthorizationServer;
use crate::{
    client::Client,
    clock::Timestamp,
    id::{ClientId, Subject},
    jwt::Algorithm,
    secret::base64url,
    store::{StoreError, record::GrantRecord},
};

#[derive(Serialize)]
struct IdToken<'a> {
    iss: &'a str,
    sub: &'a Subject,
    aud: &'a ClientId,
    iat: Timestamp,
    exp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    at_hash: String,
}

impl AuthorizationServer {
    /// The statement that goes with an access token, signed the way the client registered.
    pub(in super::super) async fn sign_id_token(
        &self,
        client: &Client,
        grant: &GrantRecord,
        nonce: Option<&str>,
        access_token: &str,
        issued_at: Timestamp,
    ) -> Result<String, StoreError> {
        let algorithm = client.id_token_algorithm();
        let ring = self.signing_keys().await?;
        let claims = IdToken {
            iss: self.issuer.as_str(),
            sub: &grant.subject,
            aud: &client.id,
            iat: issued_at,
            exp: issued_at.plus(self.lifetimes.access_token),
            auth_time: grant.auth_time,
            nonce,
            sid: grant.session.as_deref(),
            at_hash: half_hash(algorithm, access_token),
        };
        ring.signer(algorithm, issued_at)?
            .sign("JWT", &claims)
            .map_err(StoreError::unavailable)
    }
}

/// The left half of a token's hash (OpenID Connect Core §3.1.3.6), by the hash function that the
/// signature uses: SHA-512 in Ed25519 (RFC 8032 §5.1).
fn half_hash(algorithm: Algorithm, token: &str) -> String {
    match algorithm {
        Algorithm::EdDSA => base64url(&Sha512::digest(token)[..32]),
        _ => base64url(&Sha256::digest(token)[..16]),
    }
}
