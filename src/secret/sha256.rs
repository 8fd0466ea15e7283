//! SHA-256 of what is as short as a token.

use sha2::{Digest, Sha256, block_api::compress256};

/// The longest text that fits one block of 64 bytes: a bit and the length come after it.
const ONE_BLOCK: usize = 55;

/// What it starts from (FIPS 180-4 §5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// As [`Sha256::digest`], which is made to wait for more and costs more where nothing more comes.
pub(super) fn sha256(text: &[u8]) -> [u8; 32] {
    if text.len() > ONE_BLOCK {
        return Sha256::digest(text).into();
    }
    // FIPS 180-4 §5.1.1.
    let mut block = [0; 64];
    block[..text.len()].copy_from_slice(text);
    block[text.len()] = 0x80;
    block[56..].copy_from_slice(&(text.len() as u64 * 8).to_be_bytes());
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_have_the_digest_that_they_always_had() {
        let text: Vec<u8> = (0..200).collect();
        for length in 0..=text.len() {
            let text = &text[..length];
            assert_eq!(
                sha256(text),
                <[u8; 32]>::from(Sha256::digest(text)),
                "{length}"
            );
        }
    }

    #[test]
    fn an_opaque_token_fills_one_block() {
        use crate::secret::{SecretKey, opaque};
        assert_eq!(opaque(&SecretKey::random(), &[0; 32]).len(), ONE_BLOCK);
    }
}
