//! The compact form of a signed token (RFC 7515 §7.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    Algorithm, JwtError,
    jwk::{JwkSet, PublicKey},
};
use crate::json::parse_strictly;

/// The longest token that is looked at.
const MAX_TOKEN: usize = 16 * 1024;
/// How many keys one signature is tried with where the token does not say which.
const MAX_TRIES: usize = 8;

/// A signed token taken apart. Nothing in it is to be believed before
/// [`verify_with`](Self::verify_with) or [`verify_among`](Self::verify_among) has said so.
pub(crate) struct Jws<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    header: Map<String, Value>,
    payload: Map<String, Value>,
}

impl<'a> Jws<'a> {
    /// Takes apart what is one by its form.
    ///
    /// # Errors
    ///
    /// [`JwtError::Malformed`], or [`JwtError::Algorithm`] for an algorithm that does not exist here.
    pub(crate) fn parse(token: &'a str) -> Result<Self, JwtError> {
        if token.len() > MAX_TOKEN {
            return Err(JwtError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        let header = object(header)?;
        // An extension that must be understood, and none is.
        if header.contains_key("crit") {
            return Err(JwtError::Malformed);
        }
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(Algorithm::from_name)
            .ok_or(JwtError::Algorithm)?;
        Ok(Self {
            signed,
            signature: decode(signature)?,
            algorithm,
            payload: object(payload)?,
            header,
        })
    }

    /// `alg`.
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A member of the header.
    pub(crate) fn header(&self, name: &str) -> Option<&Value> {
        self.header.get(name)
    }

    /// Whether it says what it is.
    pub(crate) fn has_typ(&self) -> bool {
        self.header("typ").is_some()
    }

    /// Whether `typ` is `name`, also with `application/` in front (RFC 7515 §4.1.9).
    pub(crate) fn is_typ(&self, name: &str) -> bool {
        let Some(typ) = self.header("typ").and_then(Value::as_str) else {
            return false;
        };
        let bare = match typ.split_at_checked("application/".len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case("application/") => rest,
            _ => typ,
        };
        bare.eq_ignore_ascii_case(name)
    }

    /// A claim that nobody has vouched for yet: good for finding out whose keys to ask for.
    pub(crate) fn unverified(&self, claim: &str) -> Option<&str> {
        self.payload.get(claim)?.as_str()
    }

    /// The claims, if `key` signed them.
    ///
    /// # Errors
    ///
    /// [`JwtError::Signature`].
    pub(crate) fn verify_with(self, key: &PublicKey) -> Result<Map<String, Value>, JwtError> {
        self.is_signed_by(key)
            .then_some(self.payload)
            .ok_or(JwtError::Signature)
    }

    /// The claims, if one of `keys` signed them.
    ///
    /// # Errors
    ///
    /// [`JwtError::Signature`] where one that can be meant is named, else [`JwtError::UnknownKey`]: a
    /// newer set may have the right one.
    pub(crate) fn verify_among(self, keys: &JwkSet) -> Result<Map<String, Value>, JwtError> {
        let kid = match self.header("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.as_str()),
            Some(_) => return Err(JwtError::Malformed),
        };
        let candidates = || keys.select(kid, self.algorithm).take(MAX_TRIES);
        if candidates().next().is_none() {
            return Err(JwtError::UnknownKey);
        }
        if candidates().any(|key| self.is_signed_by(key)) {
            return Ok(self.payload);
        }
        Err(if kid.is_some_and(|kid| keys.has(kid)) {
            JwtError::Signature
        } else {
            JwtError::UnknownKey
        })
    }

    fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verify(self.algorithm, self.signed.as_bytes(), &self.signature)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| JwtError::Malformed)
}

fn object(part: &str) -> Result<Map<String, Value>, JwtError> {
    parse_strictly(&decode(part)?).ok_or(JwtError::Malformed)
}
