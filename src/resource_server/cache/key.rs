//! Tokens as keys of a map.

use std::hash::{Hash, Hasher};

use crate::secret::Digest;

/// A digest as key. Compared the plain way: whoever could time it would have to find inputs of
/// SHA-256 for the digests they want compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) const fn of(digest: Digest) -> Self {
        Self(*digest.as_bytes())
    }

    pub(super) const fn digest(self) -> Digest {
        Digest::from_bytes(self.0)
    }

    /// A place in a table of `count`, which is a power of two.
    pub(super) const fn place(&self, count: usize) -> usize {
        let [.., a, b, c, d] = self.0;
        u32::from_ne_bytes([a, b, c, d]) as usize & (count - 1)
    }

    /// Tells most keys of one place apart.
    pub(super) const fn tag(&self) -> u16 {
        let [a, b, ..] = self.0;
        u16::from_ne_bytes([a, b])
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Takes the digest's own first bytes for its hash: SHA-256 has mixed them well enough, and only
/// tokens that an issuer chose get in.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
