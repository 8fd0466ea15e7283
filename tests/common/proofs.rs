//! A client with a key of its own, which signs proofs (RFC 9449), good and bad.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_mcp_auth::Digest;

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A key.
pub(crate) struct Key {
    pair: Pair,
    pub(crate) jwk: Value,
}

impl Key {
    pub(crate) fn es256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) });
        Self {
            pair: Pair::P256(pair),
            jwk,
        }
    }

    pub(crate) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = base64url(pair.public_key());
        Self {
            pair: Pair::Ed25519(pair),
            jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": x }),
        }
    }

    /// RFC 7638.
    pub(crate) fn thumbprint(&self) -> String {
        let text = |name: &str| self.jwk[name].as_str().unwrap().to_owned();
        let y = match &self.pair {
            Pair::P256(_) => format!(r#","y":"{}""#, text("y")),
            Pair::Ed25519(_) => String::new(),
        };
        let members = format!(
            r#"{{"crv":"{}","kty":"{}","x":"{}"{y}}}"#,
            text("crv"),
            text("kty"),
            text("x")
        );
        base64url(Digest::of(&members).as_bytes())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                signature.unwrap().as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A proof for one request, at `now`.
    pub(crate) fn proof(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        now: u64,
    ) -> Proof<'_> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let alg = match self.pair {
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        };
        let jti = format!("proof {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut claims = json!({ "jti": jti, "htm": method, "htu": url, "iat": now });
        if let Some(token) = token {
            claims["ath"] = base64url(Digest::of(token).as_bytes()).into();
        }
        Proof {
            key: self,
            header: json!({ "typ": "dpop+jwt", "alg": alg, "jwk": self.jwk }),
            claims,
        }
    }
}

/// A proof that is not signed yet.
#[derive(Clone)]
pub(crate) struct Proof<'a> {
    key: &'a Key,
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Proof<'_> {
    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// With this claim; without it, where it is null.
    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        let claims = self.claims.as_object_mut().unwrap();
        match value.into() {
            Value::Null => claims.remove(name),
            value => claims.insert(name.to_owned(), value),
        };
        self
    }

    pub(crate) fn sign(&self) -> String {
        let header = base64url(self.header.to_string());
        let signed = format!("{header}.{}", base64url(self.claims.to_string()));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", base64url(signature))
    }
}
