//! Making the text of an access token.

use std::fmt;

use zeroize::Zeroizing;

use super::super::AuthorizationServer;
use crate::{
    clock::Timestamp,
    secret::{self, Digest},
    store::{StoreError, record::AccessTokenRecord},
};

/// An access token on its way out, and the digest it is stored under.
pub(super) struct Minted {
    text: Zeroizing<String>,
    digest: Digest,
    token_type: &'static str,
}

impl Minted {
    fn new(text: Zeroizing<String>, record: &AccessTokenRecord) -> Self {
        Self {
            digest: Digest::of(&text),
            token_type: record.token_type(),
            text,
        }
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// How it is to be presented (RFC 6749 §7.1).
    pub(super) fn token_type(&self) -> &'static str {
        self.token_type
    }

    /// The token itself, for the one response that carries it.
    pub(super) fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minted(..)")
    }
}

impl AuthorizationServer {
    /// The access token of `record` that carries exactly these bits: the same inputs give the same
    /// token. `auth_time` is when the user signed in, for those who can read the token.
    pub(super) async fn mint(
        &self,
        bits: &[u8; 32],
        record: &AccessTokenRecord,
        auth_time: Option<Timestamp>,
    ) -> Result<Minted, StoreError> {
        let resource = self.catalog.find(&record.resource);
        let text = if resource.is_some_and(|resource| resource.jwt_access_tokens) {
            self.signed(bits, record, auth_time).await?
        } else {
            self.opaque(bits).await?
        };
        Ok(Minted::new(text, record))
    }

    async fn opaque(&self, bits: &[u8; 32]) -> Result<Zeroizing<String>, StoreError> {
        let key = self.access_forms.prepare(&*self.store, self.now()).await?;
        Ok(secret::opaque(&key, bits))
    }

    /// RFC 9068 §2.
    #[cfg(feature = "jwt")]
    async fn signed(
        &self,
        bits: &[u8; 32],
        record: &AccessTokenRecord,
        auth_time: Option<Timestamp>,
    ) -> Result<Zeroizing<String>, StoreError> {
        use crate::{
            jwt::{AccessTokenClaims, Algorithm, Confirmation},
            secret::base64url,
        };

        let ring = self.signing_keys().await?;
        let claims = AccessTokenClaims {
            iss: self.issuer.as_str(),
            sub: record.subject.as_str(),
            aud: record.resource.as_str(),
            client_id: record.client_id.as_str(),
            scope: &record.scopes.to_string(),
            jti: &base64url(&bits[..16]),
            iat: record.issued_at,
            exp: record.expires_at,
            auth_time,
            cnf: record.dpop_jkt.as_deref().map(|jkt| Confirmation { jkt }),
        };
        let key = ring.signer(Algorithm::RS256, record.issued_at)?;
        let signed = claims.sign(key).map_err(StoreError::unavailable)?;
        Ok(Zeroizing::new(signed))
    }

    /// No resource can have asked for it.
    #[cfg(not(feature = "jwt"))]
    async fn signed(
        &self,
        bits: &[u8; 32],
        _: &AccessTokenRecord,
        _: Option<Timestamp>,
    ) -> Result<Zeroizing<String>, StoreError> {
        self.opaque(bits).await
    }
}
