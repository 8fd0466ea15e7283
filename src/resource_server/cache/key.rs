//! Tokens as keys of a map.

use std::hash::Hasher;

use crate::secret::Digest;

/// A digest as key. Compared the plain way: whoever could time it would have to find inputs of
/// SHA-256 for the digests they want compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) const fn of(digest: Digest) -> Self {
        Self(*digest.as_bytes())
    }

    pub(super) const fn digest(self) -> Digest {
        Digest::from_bytes(self.0)
    }

    /// Its first bits, which are all but certain to be nobody else's.
    pub(super) const fn start(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    }

    /// One of `count` shelves.
    pub(super) const fn shelf(&self, count: u32) -> u32 {
        // The upper half of a product is as even as the factor.
        (((self.start() >> 32) * count as u64) >> 32) as u32
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

/// Takes bits of the digest for a hash: SHA-256 has mixed them well enough, and only tokens that an
/// issuer chose get in.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u32(&mut self, shelf: u32) {
        // Shelves are numbered from zero: a multiplication makes all bits of it.
        self.0 = u64::from(shelf).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u64(&mut self, start: u64) {
        self.0 = start;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn keys() -> impl Iterator<Item = Key> {
        (0..4096).map(|number: u32| Key::of(Digest::of(&number.to_string())))
    }

    #[test]
    fn keys_spread_over_all_places_and_none_beyond() {
        let shelves: HashSet<_> = keys().map(|key| key.shelf(100)).collect();
        assert_eq!(shelves, (0..100).collect());
        let places: HashSet<_> = keys().map(|key| key.place(64)).collect();
        assert_eq!(places, (0..64).collect());
        let tags: HashSet<_> = keys().map(|key| key.tag()).collect();
        assert!(tags.len() > 3500, "{}", tags.len());
    }

    #[test]
    fn hashes_differ_as_their_keys_do() {
        let hash = |feed: &dyn Fn(&mut KeyHasher)| {
            let mut hasher = KeyHasher::default();
            feed(&mut hasher);
            hasher.finish()
        };
        let hashes: [HashSet<_>; 3] = [
            keys()
                .map(|key| hash(&|hasher| hasher.write(&key.0)))
                .collect(),
            keys()
                .map(|key| hash(&|hasher| hasher.write_u64(key.start())))
                .collect(),
            (0..4096)
                .map(|shelf| hash(&|hasher| hasher.write_u32(shelf)))
                .collect(),
        ];
        assert_eq!(hashes.map(|all| all.len()), [4096; 3]);
    }
}
