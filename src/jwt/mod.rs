//! Signed tokens (RFC 7515, RFC 7519): those of others, looked at with suspicion, and our own.
//!
//! Only asymmetric algorithms exist here, so no key can be taken for a shared secret, and `none` is
//! not a word anybody knows. Time is always passed in.

mod assertion;
mod at_jwt;
mod dpop;
mod jwk;
mod jws;
mod keys;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    assertion::{Claims, Expect, Typ, audience, text, time, verify},
    at_jwt::{
        AccessToken, AccessTokenClaims, Confirmation, ExpectAccessToken, scopes, thumbprint,
        verify_access_token,
    },
    dpop::{DpopError, DpopProof},
    jwk::JwkSet,
    jws::Jws,
    keys::{SigningKey, generate_key},
};

/// The algorithms there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    RS256,
    /// RSASSA-PSS with SHA-256 (RFC 7518 §3.5).
    PS256,
    /// ECDSA on P-256 with SHA-256 (RFC 7518 §3.4).
    ES256,
    /// Ed25519 (RFC 8037 §3.1).
    EdDSA,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 4] = [Self::EdDSA, Self::ES256, Self::PS256, Self::RS256];

    /// Its name in `alg`. RFC 9864 renames EdDSA on Ed25519 to say which curve it is.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::RS256,
            "PS256" => Self::PS256,
            "ES256" => Self::ES256,
            "EdDSA" | "Ed25519" => Self::EdDSA,
            _ => return None,
        })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// Why a token is not believed. Holds nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    /// No compact JWS of JSON objects without repeated members, or too large.
    #[error("it is not a well-formed signed token")]
    Malformed,
    /// `alg` is none that is accepted.
    #[error("its algorithm is not accepted")]
    Algorithm,
    /// `typ` says that it is something else.
    #[error("it is not the kind of token that belongs here")]
    Type,
    /// No key of that name and kind: there may be a newer set.
    #[error("it is signed with a key that is not known")]
    UnknownKey,
    /// The signature is somebody else's, or none.
    #[error("its signature is not valid")]
    Signature,
    /// `iss`.
    #[error("it is not from the expected issuer")]
    Issuer,
    /// `sub`.
    #[error("it is not about the expected subject")]
    Subject,
    /// `aud`.
    #[error("it is meant for somebody else")]
    Audience,
    /// `exp`.
    #[error("it has expired")]
    Expired,
    /// `nbf` or `iat`.
    #[error("it is not valid yet")]
    NotYetValid,
    /// `exp` is too far away.
    #[error("it is valid for too long")]
    Lifetime,
    /// A claim that is needed is absent or of the wrong type.
    #[error("it has no usable `{0}`")]
    Claim(&'static str),
}

impl JwtError {
    /// Why, in one stable word for counting.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_jwt",
            Self::Algorithm => "jwt_algorithm",
            Self::Type => "jwt_type",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "bad_signature",
            Self::Issuer => "wrong_issuer",
            Self::Subject => "wrong_subject",
            Self::Audience => "wrong_audience",
            Self::Expired => "expired_jwt",
            Self::NotYetValid => "jwt_not_yet_valid",
            Self::Lifetime => "jwt_lifetime",
            Self::Claim(_) => "missing_claim",
        }
    }
}
