//! HMAC-SHA256 (RFC 2104) for many short texts under one key.
//!
//! Owns: [`HmacKey`]. Does not: hash by itself; sha2's compression function does, with the CPU's own
//! instructions where it has them. Invariants: what is the same for every text (both blocks of the key, and
//! whole blocks of a beginning that most texts have) is hashed once; nothing is allocated by
//! [`HmacKey::sign`], and no copy of a secret is left to clear: a state that a text went into is a hash.

use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// Bytes of a signature.
pub(super) const SIGNATURE_BYTES: usize = 32;
/// Bytes that are hashed at a time.
const BLOCK_BYTES: usize = 64;
/// Bytes of a text's length in bits, at the end of its last block.
const LENGTH_BYTES: usize = 8;
/// What a text ends with, before zeros and its length (FIPS 180-4, section 5.1.1).
const END: u8 = 0x80;
/// The state of a hash of nothing (FIPS 180-4, section 5.3.3).
const INITIAL: State = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

type State = [u32; 8];
type Block = [u8; BLOCK_BYTES];

/// A key, as states of the hash.
pub(super) struct HmacKey {
    /// After the key's block of the inner hash.
    inner: State,
    /// After the key's block of the outer hash.
    outer: State,
    /// What texts begin with.
    beginning: Vec<u8>,
    /// After the whole blocks of the beginning.
    begun: State,
}

impl HmacKey {
    pub(super) fn new(secret: &[u8]) -> Self {
        let mut block: Block = [0; BLOCK_BYTES];
        if secret.len() > BLOCK_BYTES {
            let mut hash = Sha256::digest(secret);
            block[..SIGNATURE_BYTES].copy_from_slice(&hash);
            hash.zeroize();
        } else {
            block[..secret.len()].copy_from_slice(secret);
        }
        let after = |pad: u8| {
            // In the array that is hashed: a copy would be left behind.
            let mut padded = [block.map(|byte| byte ^ pad)];
            let mut state = INITIAL;
            compress256(&mut state, &padded);
            padded.zeroize();
            state
        };
        let (inner, outer) = (after(0x36), after(0x5c));
        block.zeroize();
        Self {
            inner,
            outer,
            beginning: Vec::new(),
            begun: inner,
        }
    }

    /// Tells what texts begin with. Others are signed as well.
    pub(super) fn begin_with(&mut self, beginning: &[u8]) {
        self.beginning = beginning.to_vec();
        self.begun = self.inner;
        compress256(&mut self.begun, beginning.as_chunks::<BLOCK_BYTES>().0);
    }

    #[inline]
    pub(super) fn sign(&self, text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let (mut state, rest) = if text.starts_with(&self.beginning) {
            let hashed = self.beginning.len() / BLOCK_BYTES * BLOCK_BYTES;
            (self.begun, &text[hashed..])
        } else {
            (self.inner, text)
        };
        let (blocks, tail) = rest.as_chunks::<BLOCK_BYTES>();
        compress256(&mut state, blocks);
        let mut last = [[0; BLOCK_BYTES]; 2];
        let bytes = last.as_flattened_mut();
        bytes[..tail.len()].copy_from_slice(tail);
        bytes[tail.len()] = END;
        let count = (tail.len() + 1 + LENGTH_BYTES).div_ceil(BLOCK_BYTES);
        let bits = 8 * (BLOCK_BYTES + text.len()) as u64;
        last[count - 1][BLOCK_BYTES - LENGTH_BYTES..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut state, &last[..count]);

        let mut block: Block = [0; BLOCK_BYTES];
        block[..SIGNATURE_BYTES].copy_from_slice(&bytes_of(state));
        block[SIGNATURE_BYTES] = END;
        let bits = 8 * (BLOCK_BYTES + SIGNATURE_BYTES) as u64;
        block[BLOCK_BYTES - LENGTH_BYTES..].copy_from_slice(&bits.to_be_bytes());
        let mut state = self.outer;
        compress256(&mut state, &[block]);
        bytes_of(state)
    }
}

impl Drop for HmacKey {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
        self.begun.zeroize();
    }
}

#[inline]
fn bytes_of(state: State) -> [u8; SIGNATURE_BYTES] {
    let mut bytes = [0; SIGNATURE_BYTES];
    for (four, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *four = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use proptest::prelude::*;

    fn reference(secret: &[u8], text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut hmac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
        hmac.update(text);
        hmac.finalize().into_bytes().into()
    }

    #[test]
    fn every_length_of_text_beginning_and_key() {
        let bytes: Vec<u8> = (0..400).map(|byte| byte as u8).collect();
        for secret in [1, 63, 64, 65, 200] {
            let secret = &bytes[..secret];
            let mut key = HmacKey::new(secret);
            for beginning in [0, 1, 63, 64, 65, 72, 127, 128, 130] {
                key.begin_with(&bytes[..beginning]);
                for len in 0..300 {
                    let text = &bytes[..len];
                    assert_eq!(key.sign(text), reference(secret, text), "{beginning} {len}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_signs_as_the_library_does(
            secret in proptest::collection::vec(any::<u8>(), 1..150),
            mut text in proptest::collection::vec(any::<u8>(), 0..500),
            beginning in 0..200_usize,
            changed in any::<proptest::sample::Index>(),
        ) {
            let mut key = HmacKey::new(&secret);
            key.begin_with(&text[..beginning.min(text.len())]);
            prop_assert_eq!(key.sign(&text), reference(&secret, &text));
            // One that begins with something else.
            if !text.is_empty() {
                let position = changed.index(text.len());
                text[position] ^= 1;
                prop_assert_eq!(key.sign(&text), reference(&secret, &text));
            }
        }
    }
}
