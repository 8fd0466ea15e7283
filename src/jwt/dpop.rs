//! Proof that whoever sends a token holds a key (RFC 9449).

use std::time::Duration;

use serde_json::Value;

use super::{Algorithm, JwtError, assertion::time, jwk::PublicKey, jws::Jws};
use crate::{
    clock::Timestamp,
    secret::{Digest, base64url},
    uri::Parts,
};

/// The longest `jti` that is looked at.
const MAX_JTI: usize = 512;

/// Why a proof is not believed. Holds nothing of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DpopError {
    /// It is no signed token, or not signed with the key that it carries.
    #[error("the DPoP proof: {0}")]
    Jwt(#[from] JwtError),
    /// The key in it is absent, private, or of a kind that is not accepted.
    #[error("the DPoP proof carries no public key that can be used")]
    Key,
    /// `htm`.
    #[error("the DPoP proof is for another method")]
    Method,
    /// `htu`.
    #[error("the DPoP proof is for another address")]
    Url,
    /// `iat`, or `exp` or `nbf` where they are there.
    #[error("the DPoP proof is too old, or from the future")]
    Time,
    /// `ath`.
    #[error("the DPoP proof is for another access token")]
    AccessToken,
}

impl DpopError {
    /// Why, in one stable word for counting.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Jwt(error) => error.reason(),
            Self::Key => "dpop_key",
            Self::Method => "dpop_method",
            Self::Url => "dpop_url",
            Self::Time => "dpop_time",
            Self::AccessToken => "dpop_access_token",
        }
    }
}

/// A proof that is good for one request. That it is not used twice is for the caller to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifiedProof {
    /// The key's thumbprint, as in `cnf.jkt`.
    pub(crate) jkt: String,
    /// Stands for the proof where replays are looked for: its `jti` together with its key, so that
    /// nobody can use up another's.
    pub(crate) jti_digest: Digest,
    pub(crate) issued_at: Timestamp,
    /// The nonce that it was made with, if any.
    pub(crate) nonce: Option<String>,
}

/// Checks proofs.
pub(crate) struct DpopProof;

impl DpopProof {
    /// Judges the proof of a request with `method` to `url` (RFC 9449 §4.3), with `access_token`
    /// where one is presented along with it. A query of `url` does not matter.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub(crate) fn verify(
        proof: &str,
        method: &str,
        url: &str,
        access_token: Option<&str>,
        now: Timestamp,
        max_age: Duration,
    ) -> Result<VerifiedProof, DpopError> {
        let token = access_token.map(Digest::of);
        Self::verify_among(proof, method, &[url], token, now, max_age)
    }

    /// As [`verify`](Self::verify), where what the client called is one of `urls`, and the token is
    /// known by its digest.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub(crate) fn verify_among(
        proof: &str,
        method: &str,
        urls: &[&str],
        access_token: Option<Digest>,
        now: Timestamp,
        max_age: Duration,
    ) -> Result<VerifiedProof, DpopError> {
        let proof = Jws::parse(proof)?;
        if !proof.is_typ("dpop+jwt") {
            return Err(JwtError::Type.into());
        }
        let jwk = proof.header("jwk").and_then(Value::as_object);
        let key = match jwk.map(PublicKey::from_jwk) {
            Some(Ok(Some(key))) if key.fits(proof.algorithm()) => key,
            _ => return Err(DpopError::Key),
        };
        let claims = proof.verify_with(&key)?;

        let text = |name: &'static str| {
            let value = claims.get(name).and_then(Value::as_str);
            value.ok_or(JwtError::Claim(name))
        };
        if text("htm")? != method {
            return Err(DpopError::Method);
        }
        let named = target(text("htu")?);
        if named.is_none() || !urls.iter().any(|url| target(url) == named) {
            return Err(DpopError::Url);
        }
        let issued_at = time(&claims, "iat")?.ok_or(JwtError::Claim("iat"))?;
        if issued_at.plus(max_age) < now || issued_at > now.plus(max_age) {
            return Err(DpopError::Time);
        }
        // Neither has to be there, and both count where they are (RFC 7519 §4.1.4, §4.1.5). Whose
        // clock is slow may make a proof that is from the past, but need not say that it is over.
        if time(&claims, "exp")?.is_some_and(|end| end <= now)
            || time(&claims, "nbf")?.is_some_and(|begin| begin > now.plus(max_age))
        {
            return Err(DpopError::Time);
        }
        let jti = text("jti")?;
        if jti.is_empty() || jti.len() > MAX_JTI {
            return Err(JwtError::Claim("jti").into());
        }
        if let Some(token) = access_token {
            let ath = base64url(token.as_bytes());
            if text("ath").ok() != Some(ath.as_str()) {
                return Err(DpopError::AccessToken);
            }
        }
        let jkt = key.thumbprint();
        Ok(VerifiedProof {
            jti_digest: Digest::of(&format!("{jkt} {jti}")),
            jkt,
            issued_at,
            nonce: text("nonce").ok().map(str::to_owned),
        })
    }

    /// The algorithms of proofs that are accepted, by name.
    pub(crate) fn algorithms() -> impl Iterator<Item = &'static str> {
        Algorithm::ALL.into_iter().map(Algorithm::name)
    }
}

/// An address without its query, as RFC 9449 §4.3 compares them.
fn target(url: &str) -> Option<String> {
    let parts = Parts::parse(url)?;
    if parts.host.is_empty() || parts.userinfo.is_some() {
        return None;
    }
    let bare = Parts {
        query: None,
        ..parts
    };
    Some(bare.canonical())
}
