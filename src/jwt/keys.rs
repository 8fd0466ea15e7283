//! Private keys, and what is signed with them.

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Algorithm,
    jwk::{PublicKey, RawPublicKey},
};
use crate::secret::base64url;

/// A key could not be made, read or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot be used")]
pub(crate) struct KeyError;

/// A fresh private key, as PKCS#8 in DER. RSA (2048 bits) takes a good part of a second.
///
/// # Errors
///
/// When the system has no randomness to give.
pub(crate) fn generate_key(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let random = SystemRandom::new();
    let der = match algorithm {
        Algorithm::EdDSA => Ed25519KeyPair::generate_pkcs8(&random)
            .map(|der| der.as_ref().to_vec())
            .map_err(|_| KeyError)?,
        Algorithm::ES256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map(|der| der.as_ref().to_vec())
            .map_err(|_| KeyError)?,
        Algorithm::RS256 | Algorithm::PS256 => RsaKeyPair::generate(KeySize::Rsa2048)
            .and_then(|pair| pair.as_der())
            .map(|der| der.as_ref().to_vec())
            .map_err(|_| KeyError)?,
    };
    Ok(Zeroizing::new(der))
}

/// A private key, ready to sign. Its memory belongs to the cryptographic library, which wipes it.
pub(crate) struct SigningKey {
    algorithm: Algorithm,
    kid: String,
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// Takes what [`generate_key`] made. Without a name it goes by its thumbprint.
    ///
    /// # Errors
    ///
    /// When it is no such key.
    pub(crate) fn from_pkcs8(
        algorithm: Algorithm,
        kid: Option<&str>,
        der: &[u8],
    ) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::EdDSA => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyError)?)
            }
            Algorithm::ES256 => Pair::P256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                    .map_err(|_| KeyError)?,
            ),
            Algorithm::RS256 | Algorithm::PS256 => {
                Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError)?)
            }
        };
        let named = |kid: Option<String>| match &pair {
            Pair::Ed25519(pair) => {
                let point = RawPublicKey::Point(pair.public_key().as_ref());
                PublicKey::from_raw(algorithm, kid, point)
            }
            Pair::P256(pair) => {
                let point = RawPublicKey::Point(pair.public_key().as_ref());
                PublicKey::from_raw(algorithm, kid, point)
            }
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } =
                    RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                PublicKey::from_raw(algorithm, kid, RawPublicKey::Rsa { n: &n, e: &e })
            }
        };
        let kid = match kid {
            Some(kid) => kid.to_owned(),
            None => named(None).ok_or(KeyError)?.thumbprint(),
        };
        let public = named(Some(kid.clone())).ok_or(KeyError)?;
        Ok(Self {
            algorithm,
            kid,
            pair,
            public,
        })
    }

    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half.
    pub(crate) const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The public half as it is published.
    pub(crate) fn public_jwk(&self) -> Value {
        self.public.to_jwk()
    }

    /// `claims` as a signed token that says it is a `typ`.
    ///
    /// # Errors
    ///
    /// When the claims are no JSON, or the library refuses to sign.
    pub(crate) fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, KeyError> {
        let header = json!({ "alg": self.algorithm.name(), "typ": typ, "kid": self.kid });
        self.sign_with_header(&header, claims)
    }

    /// As [`sign`](Self::sign), with a header of the caller's. DPoP proofs carry their key in it.
    pub(super) fn sign_with_header(
        &self,
        header: &Value,
        claims: &impl Serialize,
    ) -> Result<String, KeyError> {
        let claims = serde_json::to_vec(claims).map_err(|_| KeyError)?;
        let mut token = base64url(header.to_string().as_bytes());
        token.push('.');
        token.push_str(&base64url(&claims));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        token.push_str(&base64url(&signature));
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError),
            Pair::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if self.algorithm == Algorithm::PS256 {
                        &RSA_PSS_SHA256
                    } else {
                        &RSA_PKCS1_SHA256
                    };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature)
                    .map_err(|_| KeyError)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
