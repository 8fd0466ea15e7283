//! Keys that a deployment keeps in its store.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, de};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{base64_bytes, base64url, random};

/// A 256-bit key for deriving successors and binding sessions. `Debug` shows nothing of it.
#[derive(Clone, Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct SecretKey(#[serde(with = "base64_bytes")] [u8; 32]);

impl SecretKey {
    #[cfg(feature = "jwt")]
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh random key.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }

    /// HMAC-SHA256 (RFC 2104) over `parts`, each preceded by its length so that no two lists of
    /// parts give the same input.
    pub(crate) fn derive(&self, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A key of any length, as a store keeps it: 256 random bits, or a PKCS#8 document. `Debug` shows
/// nothing of it.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct KeyMaterial(Vec<u8>);

impl KeyMaterial {
    /// Takes a key over as it is.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as one of 256 bits, `None` when it is none.
    #[must_use]
    pub fn secret_key(&self) -> Option<SecretKey> {
        self.0.as_slice().try_into().ok().map(SecretKey)
    }
}

impl From<SecretKey> for KeyMaterial {
    fn from(key: SecretKey) -> Self {
        Self(key.0.to_vec())
    }
}

impl PartialEq for KeyMaterial {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyMaterial {}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(..)")
    }
}

impl Serialize for KeyMaterial {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(base64url(&self.0));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for KeyMaterial {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes());
        bytes
            .map(Self)
            .map_err(|_| de::Error::custom("not base64url"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_material_is_written_as_keys_always_were() {
        let key = SecretKey::random();
        let written = serde_json::to_string(&key).unwrap();
        let material = KeyMaterial::from(key.clone());
        assert_eq!(serde_json::to_string(&material).unwrap(), written);
        let read: KeyMaterial = serde_json::from_str(&written).unwrap();
        assert_eq!(read.secret_key(), Some(key));

        let document = KeyMaterial::new((0..=255).collect());
        let written = serde_json::to_string(&document).unwrap();
        let read: KeyMaterial = serde_json::from_str(&written).unwrap();
        assert_eq!(read.as_bytes(), document.as_bytes());
        assert_eq!(read.secret_key(), None);
        assert!(serde_json::from_str::<KeyMaterial>("\"%\"").is_err());
    }

    #[test]
    fn derivation_depends_on_where_one_part_ends() {
        let key = SecretKey::random();
        assert_ne!(*key.derive(&[b"ab", b"c"]), *key.derive(&[b"a", b"bc"]));
    }
}
