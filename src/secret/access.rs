//! The forms in which access tokens come.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Access, Digest, Kind, SECRET_CHARS, SecretKey, Token, base64url, is_base64url};
use crate::{
    clock::Timestamp,
    store::{ErasedStore, Keys, SharedKeys, StoreError, record::KeyPurpose},
};

/// The length of a seal: 30 bits, and a token that just fits one block of SHA-256.
const SEAL_CHARS: usize = 5;

/// What an access token of a deployment may look like. Clones share the seal.
#[derive(Clone)]
pub(crate) struct AccessForms {
    /// Whether some are signed (RFC 9068) rather than opaque.
    pub(crate) signed: bool,
    /// A seal keeps no secret, it only spares the store questions, so it needs no key of its own.
    seals: Arc<SharedKeys>,
}

impl Default for AccessForms {
    fn default() -> Self {
        Self::new(false)
    }
}

impl AccessForms {
    pub(crate) fn new(signed: bool) -> Self {
        Self {
            signed,
            seals: Arc::new(SharedKeys::new(KeyPurpose::SessionBinding)),
        }
    }

    /// Fetches what this deployment's tokens are sealed with. Until then a token is judged by its
    /// looks.
    pub(crate) async fn prepare(
        &self,
        store: &dyn ErasedStore,
        now: Timestamp,
    ) -> Result<SecretKey, StoreError> {
        let keys = self.seals.get(store, now).await?;
        first(keys)
            .cloned()
            .ok_or_else(|| StoreError::unavailable("the store has no key for tokens"))
    }

    /// The digest that a presented token is stored under, `None` when its form shows that it is
    /// none of ours: garbage is refused without a store read.
    pub(crate) fn digest(&self, text: &str, now: impl FnOnce() -> Timestamp) -> Option<Digest> {
        (self.is_sealed(text, now) || self.signed && is_signed(text)).then(|| Digest::of(text))
    }

    /// As [`digest`](Self::digest), of whatever any machine of the deployment issued, however it is
    /// configured: what one made, all can revoke.
    pub(crate) fn digest_of_any(
        &self,
        text: &str,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<Digest> {
        (self.is_sealed(text, now) || is_signed(text)).then(|| Digest::of(text))
    }

    /// The time is only asked for where it matters.
    fn is_sealed(&self, text: &str, now: impl FnOnce() -> Timestamp) -> bool {
        is_opaque(text)
            && self.seals.fresh(now()).is_none_or(|keys| {
                let (token, claimed) = text.split_at(text.len() - SEAL_CHARS);
                let seal = first(keys).map(|key| seal(key, token));
                seal.is_some_and(|seal| seal.as_bytes().ct_eq(claimed.as_bytes()).into())
            })
    }
}

impl fmt::Debug for AccessForms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessForms")
            .field("signed", &self.signed)
            .finish_non_exhaustive()
    }
}

/// The first key there was: every machine has it, and it is older than any token.
fn first(keys: &Keys) -> Option<&SecretKey> {
    keys.first().map(|(_, key)| key)
}

/// The opaque token that carries exactly these bits.
pub(crate) fn opaque(key: &SecretKey, bits: &[u8; 32]) -> Zeroizing<String> {
    let token = Token::<Access>::from_bytes(bits);
    let seal = seal(key, token.reveal());
    Zeroizing::new([token.reveal(), &seal].concat())
}

/// Shows that a token was made by who knows `key`, all but once in a thousand million times.
fn seal(key: &SecretKey, token: &str) -> Zeroizing<String> {
    let mac = key.derive(&[b"access-token", token.as_bytes()]);
    let mut seal = Zeroizing::new(base64url(&mac[..4]));
    seal.truncate(SEAL_CHARS);
    seal
}

fn is_opaque(text: &str) -> bool {
    text.strip_prefix(Access::PREFIX).is_some_and(|rest| {
        rest.len() == SECRET_CHARS + SEAL_CHARS && rest.bytes().all(is_base64url)
    })
}

/// Whether this has the form of a compact signed token with a JSON header (RFC 7515 §3.1). What is
/// signed needs no checking here: only what was issued is in the store.
fn is_signed(text: &str) -> bool {
    let mut parts = text.split('.');
    let mut part = || {
        let part = parts.next()?;
        (!part.is_empty() && part.bytes().all(is_base64url)).then_some(())
    };
    let three = part().and_then(|()| part()).and_then(|()| part()).is_some();
    text.starts_with("eyJ") && three && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{secret::random, store::MemoryStore};

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[test]
    fn signed_tokens_are_told_by_their_form_and_only_where_there_are_any() {
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln";
        let signed = AccessForms::new(true);
        assert_eq!(signed.digest(token, || NOW), Some(Digest::of(token)));
        assert_eq!(AccessForms::default().digest(token, || NOW), None);
        let any = AccessForms::default().digest_of_any(token, || NOW);
        assert_eq!(any, Some(Digest::of(token)));
        for garbage in [
            "eyJ",
            "eyJ.a",
            "eyJ.a.",
            "eyJ.a.b.c",
            "a.b.c",
            "eyJ.a b.c",
            "eyJ..c",
        ] {
            assert_eq!(signed.digest(garbage, || NOW), None, "{garbage}");
            assert_eq!(signed.digest_of_any(garbage, || NOW), None, "{garbage}");
        }
        let opaque = opaque(&SecretKey::random(), &random());
        for forms in [signed, AccessForms::default()] {
            assert_eq!(forms.digest(&opaque, || NOW), Some(Digest::of(&opaque)));
        }
    }

    #[tokio::test]
    async fn a_forged_token_is_told_by_its_seal_on_every_machine() {
        let store: Arc<dyn ErasedStore> = Arc::new(MemoryStore::new());
        let (here, there) = (AccessForms::default(), AccessForms::default());
        let key = here.prepare(&*store, NOW).await.unwrap();
        let token = opaque(&key, &random());
        let forged = opaque(&SecretKey::random(), &random());
        assert!(there.digest(&forged, || NOW).is_some(), "it looks good");
        there.prepare(&*store, NOW).await.unwrap();
        for forms in [&here, &there, &there.clone()] {
            assert_eq!(forms.digest(&token, || NOW), Some(Digest::of(&token)));
            assert_eq!(forms.digest(&forged, || NOW), None);
            for index in 0..token.len() {
                let mut other = token.as_bytes().to_vec();
                other[index] = if other[index] == b'x' { b'y' } else { b'x' };
                let other = String::from_utf8(other).unwrap();
                assert_eq!(forms.digest(&other, || NOW), None);
                assert_eq!(forms.digest_of_any(&other, || NOW), None);
            }
        }
    }
}
