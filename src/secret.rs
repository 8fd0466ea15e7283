//! Tokens, codes and client secrets: made here, shown once, kept only as digests.

mod access;
mod key;
mod sha256;

use std::{fmt, marker::PhantomData};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize, de};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub(crate) use self::access::{AccessForms, opaque};
pub use self::key::{KeyMaterial, SecretKey};

/// Bytes of randomness in every token, code and client secret.
const SECRET_BYTES: usize = 32;
/// What [`SECRET_BYTES`] take as unpadded base64url.
const SECRET_CHARS: usize = 43;

/// Random bytes from the operating system.
///
/// # Panics
///
/// When the operating system has no randomness to give: there is no safe way on from there, and
/// no request can bring it about.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "documented above")]
    SysRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system gives random bytes");
    bytes
}

/// `bytes` as unpadded base64url.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A fresh unguessable handle of 256 bits for things that are no credential by themselves.
pub(crate) fn random_handle() -> Zeroizing<String> {
    let bytes: Zeroizing<[u8; SECRET_BYTES]> = Zeroizing::new(random());
    Zeroizing::new(base64url(&*bytes))
}

/// Whether `text` has the form of [`random_handle`].
pub(crate) fn is_handle(text: &str) -> bool {
    text.len() == SECRET_CHARS && text.bytes().all(is_base64url)
}

/// Whether `text` is long and opaque enough to be a token, a key or a handle of anybody's.
pub(crate) fn looks_secret(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii() || !is_base64url(c as u8))
        .any(|run| run.len() >= SECRET_CHARS)
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// The SHA-256 digest of a secret: the only form in which a store ever sees one.
///
/// Comparing digests takes the same time wherever they differ.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    pub(crate) fn of_bytes(text: &[u8]) -> Self {
        Self(sha256::sha256(text))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest from its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl std::hash::Hash for Digest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to follow one token through a trace, too little to search for.
        write!(f, "Digest({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// Bytes that travel through JSON as unpadded base64url.
mod base64_bytes {
    use super::*;

    pub(super) fn serialize<const N: usize, S: serde::Serializer>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url(bytes))
    }

    pub(super) fn deserialize<'de, const N: usize, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        URL_SAFE_NO_PAD
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| de::Error::custom("not base64url of the right length"))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        base64_bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        base64_bytes::deserialize(deserializer).map(Self)
    }
}

/// What a token is for; its prefix lets people and secret scanners tell which kind leaked.
pub(crate) trait Kind {
    const PREFIX: &'static str;
}

/// Marks access tokens.
pub(crate) enum Access {}
/// Marks refresh tokens.
pub(crate) enum Refresh {}
/// Marks authorization codes.
pub(crate) enum Code {}
/// Marks device codes.
pub(crate) enum Device {}
/// Marks client secrets.
pub(crate) enum Client {}

/// Marks registration access tokens.
pub(crate) enum Management {}

impl Kind for Management {
    const PREFIX: &'static str = "mcp_mt_";
}
impl Kind for Access {
    const PREFIX: &'static str = "mcp_at_";
}
impl Kind for Refresh {
    const PREFIX: &'static str = "mcp_rt_";
}
impl Kind for Code {
    const PREFIX: &'static str = "mcp_ac_";
}
impl Kind for Device {
    const PREFIX: &'static str = "mcp_dc_";
}
impl Kind for Client {
    const PREFIX: &'static str = "mcp_cs_";
}

/// A token on its way out. Wiped when dropped, never shown by `Debug`.
pub(crate) struct Token<K>(Zeroizing<String>, PhantomData<fn() -> K>);

impl<K: Kind> Token<K> {
    /// A fresh token of 256 random bits.
    pub(crate) fn random() -> Self {
        Self::from_bytes(&Zeroizing::new(random()))
    }

    /// The token that carries exactly these bits.
    pub(crate) fn from_bytes(bytes: &[u8; SECRET_BYTES]) -> Self {
        let mut text = String::with_capacity(K::PREFIX.len() + SECRET_CHARS);
        text.push_str(K::PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        Self(Zeroizing::new(text), PhantomData)
    }

    /// What the store is given.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// The token itself, for the one response that carries it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The digest of a token that someone presents, `None` when its form shows that it is none of
    /// ours: garbage is refused without a store read.
    pub(crate) fn digest_of_presented(text: &str) -> Option<Digest> {
        let rest = text.strip_prefix(K::PREFIX)?;
        is_handle(rest).then(|| Digest::of(text))
    }
}

impl<K> fmt::Debug for Token<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Names one grant: what one user allowed one client to do, with every token that came of it.
///
/// No secret: it may stand in logs and audit trails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId([u8; 16]);

impl GrantId {
    /// A fresh random id.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// An id from its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantId({self})")
    }
}

impl std::str::FromStr for GrantId {
    type Err = crate::error::InvalidIdentifier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(crate::error::InvalidIdentifier("grant id"))
    }
}

impl Serialize for GrantId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        base64_bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for GrantId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        base64_bytes::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_its_kind_and_is_recognised_by_its_form() {
        let token = Token::<Access>::random();
        assert!(token.reveal().starts_with("mcp_at_"));
        assert_eq!(
            Token::<Access>::digest_of_presented(token.reveal()),
            Some(token.digest())
        );
        assert!(Token::<Refresh>::digest_of_presented(token.reveal()).is_none());
        for garbage in [
            "",
            "mcp_at_",
            "mcp_at_short",
            &format!("{}=", token.reveal()),
        ] {
            assert!(
                Token::<Access>::digest_of_presented(garbage).is_none(),
                "{garbage}"
            );
        }
    }

    #[test]
    fn nothing_secret_is_debugged() {
        let token = Token::<Client>::random();
        let key = SecretKey::random();
        assert_eq!(format!("{token:?} {key:?}"), "Token(..) SecretKey(..)");
        let material = KeyMaterial::new(b"a document".to_vec());
        assert_eq!(format!("{material:?}"), "KeyMaterial(..)");
    }
}
