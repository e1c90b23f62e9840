//! AES-GCM (NIST SP 800-38D) of short texts on CPUs that do two AES blocks at a time.
//!
//! Owns: [`WideGcm`]. Does not: choose nonces, or do what other CPUs and other ciphers need; aws-lc-rs does.
//!
//! Why: without AVX-512, the library's code for a record of some hundred bytes works a block at a time for
//! most of it and takes two to three times as long. GHASH is computed as POLYVAL (RFC 8452, appendix A) over reversed
//! blocks: the products of up to 34 blocks with powers of the key are added and reduced once.
//!
//! Invariants: no branch and no index depends on a key or a text, only on lengths; a tag is compared as a
//! whole; a text whose tag is wrong is cleared. Both keys are cleared on drop where they lie; registers and the
//! stack of a call are not. Tested against published cases, and against aws-lc-rs for every length.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128,
    _mm_clmulepi64_si128, _mm_set_epi64x, _mm_setr_epi8, _mm_setzero_si128, _mm_shuffle_epi8,
    _mm_shuffle_epi32, _mm_slli_si128, _mm_srli_si128, _mm_xor_si128, _mm256_add_epi32,
    _mm256_aesenc_epi128, _mm256_aesenclast_epi128, _mm256_broadcastsi128_si256,
    _mm256_castsi256_si128, _mm256_clmulepi64_epi128, _mm256_extracti128_si256, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_xor_si256, _mm256_zextsi128_si256,
};

use zeroize::Zeroize as _;

use super::{HEADER_BYTES, IV_BYTES, TAG_BYTES};

/// Bytes of an AES block.
const BLOCK_BYTES: usize = 16;
/// Bytes that are worked on at a time.
const WIDE_BYTES: usize = 2 * BLOCK_BYTES;
/// Vectors that are encrypted side by side, so that each waits for none.
const LANES: usize = 4;
/// Bytes between two reductions.
const PART_BYTES: usize = 512;
/// Powers of the hash key: for the blocks of a part, what stands before the first and behind the last.
const POWERS: usize = PART_BYTES / BLOCK_BYTES + 2;
/// Round keys of AES-256; AES-128 has four fewer.
const ROUND_KEYS_MAX: usize = 15;

type Block = [u8; BLOCK_BYTES];
type Wide = [u8; WIDE_BYTES];

/// A key of AES-128-GCM or AES-256-GCM.
pub(super) struct WideGcm {
    round_keys: [Block; ROUND_KEYS_MAX],
    rounds: usize,
    /// The hash key to the powers of [`POWERS`] down to 1, in the form that [`reduce`] wants.
    powers: [Block; POWERS],
}

impl WideGcm {
    /// A key of 16 or 32 bytes; `None` for another, on a CPU that cannot do it, and on one with AVX-512, for
    /// which the library has such code itself.
    pub(super) fn new(key: &[u8]) -> Option<Box<Self>> {
        let able = is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq");
        if !able || is_x86_feature_detected!("avx512f") {
            return None;
        }
        let rounds = match key.len() {
            16 => 10,
            32 => 14,
            _ => return None,
        };
        let mut it = Box::new(Self {
            round_keys: [[0; BLOCK_BYTES]; ROUND_KEYS_MAX],
            rounds,
            powers: [[0; BLOCK_BYTES]; POWERS],
        });
        // SAFETY: the CPU has what the function is compiled for.
        unsafe { it.expand(key) };
        Some(it)
    }

    /// Encrypts `text` in place; returns its tag.
    #[inline]
    pub(super) fn seal(
        &self,
        nonce: [u8; IV_BYTES],
        aad: [u8; HEADER_BYTES],
        text: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        // SAFETY: there is a key only where the CPU has what the functions are compiled for.
        unsafe {
            if self.rounds == 10 {
                self.run::<10, true>(nonce, aad, text)
            } else {
                self.run::<14, true>(nonce, aad, text)
            }
        }
    }

    /// Decrypts `text` in place; false when the tag is another, and then the text is cleared.
    #[inline]
    pub(super) fn open(
        &self,
        nonce: [u8; IV_BYTES],
        aad: [u8; HEADER_BYTES],
        text: &mut [u8],
        tag: [u8; TAG_BYTES],
    ) -> bool {
        // SAFETY: as above.
        let expected = unsafe {
            if self.rounds == 10 {
                self.run::<10, false>(nonce, aad, text)
            } else {
                self.run::<14, false>(nonce, aad, text)
            }
        };
        // One comparison of all bytes: how many agree is not told by time.
        let right = u128::from_ne_bytes(expected) ^ u128::from_ne_bytes(tag) == 0;
        if !right {
            text.fill(0);
        }
        right
    }

    #[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
    fn expand(&mut self, key: &[u8]) {
        let words = key.len() / BLOCK_BYTES;
        for (round_key, part) in self.round_keys.iter_mut().zip(key.as_chunks().0) {
            *round_key = *part;
        }
        // FIPS 197, section 5.2, four words at a time.
        let mut constant = 1_u8;
        for at in words..=self.rounds {
            let (rotated, constant_now) = if words == 1 || at % 2 == 0 {
                (true, constant)
            } else {
                (false, 0)
            };
            let last = load(&self.round_keys[at - 1]);
            let substituted = _mm_aeskeygenassist_si128::<0>(last);
            let word = if rotated {
                constant = (constant << 1) ^ (0x1B * (constant >> 7));
                let round = _mm_set_epi64x(0, i64::from(constant_now));
                let word = _mm_shuffle_epi32::<0xFF>(substituted);
                _mm_xor_si128(word, _mm_shuffle_epi32::<0>(round))
            } else {
                _mm_shuffle_epi32::<0xAA>(substituted)
            };
            let mut next = load(&self.round_keys[at - words]);
            for _ in 0..3 {
                next = _mm_xor_si128(next, _mm_slli_si128::<4>(next));
            }
            store(&mut self.round_keys[at], _mm_xor_si128(next, word));
        }

        let mut hash_key = [0; BLOCK_BYTES];
        let zero = _mm_setzero_si128();
        store(&mut hash_key, reversed(self.encrypt(zero)));
        // Times x in POLYVAL's field: what makes the one hash of the other.
        let number = u128::from_le_bytes(hash_key);
        let carry = (number >> 127).wrapping_neg() & (0xC2 << 120 | 1);
        hash_key = ((number << 1) ^ carry).to_le_bytes();
        let first = load(&hash_key);
        let mut power = first;
        for place in self.powers.iter_mut().rev() {
            store(place, power);
            let mut sum = Sum::new();
            sum.add_one(power, first);
            power = sum.reduced();
        }
        hash_key.zeroize();
    }

    /// One block, for the hash key.
    #[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
    fn encrypt(&self, block: __m128i) -> __m128i {
        let mut state = _mm_xor_si128(block, load(&self.round_keys[0]));
        for round_key in &self.round_keys[1..self.rounds] {
            state = _mm_aesenc_si128(state, load(round_key));
        }
        _mm_aesenclast_si128(state, load(&self.round_keys[self.rounds]))
    }

    /// The whole of it in either direction; returns the tag of the ciphertext.
    #[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
    #[inline]
    fn run<const ROUNDS: usize, const SEALS: bool>(
        &self,
        nonce: [u8; IV_BYTES],
        aad: [u8; HEADER_BYTES],
        text: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        let mut keys = [_mm256_setzero_si256(); ROUND_KEYS_MAX];
        for (wide, round_key) in keys.iter_mut().zip(&self.round_keys[..=ROUNDS]) {
            *wide = _mm256_broadcastsi128_si256(load(round_key));
        }
        // The counter's last word is counted as a number; 1 is the tag's, the text begins with 2.
        let mut first = [0; BLOCK_BYTES];
        first[..IV_BYTES].copy_from_slice(&nonce);
        let base = _mm256_broadcastsi128_si256(load(&first));
        let mut counter = _mm256_add_epi32(base, _mm256_setr_epi32(0, 0, 0, 1, 0, 0, 0, 2));
        let [mask, _, _, _] = stream::<ROUNDS, 1>(&keys, &mut counter, 1);
        let mask = _mm256_castsi256_si128(mask);

        let mut block = [0; BLOCK_BYTES];
        block[..HEADER_BYTES].copy_from_slice(&aad);
        let mut carried = reversed(load(&block));
        let text_bits = 8 * text.len() as u64;
        let mut rest = text;
        // Powers that the additional data needs beside the text.
        let mut before = 1;
        loop {
            let (part, later) = rest.split_at_mut(rest.len().min(PART_BYTES));
            let behind = usize::from(later.is_empty());
            let blocks = part.len().div_ceil(BLOCK_BYTES);
            let mut powers = &self.powers[POWERS - blocks - behind..];
            let mut sum = Sum::new();
            let carried_power = &self.powers[POWERS - blocks - behind - before..][0];
            sum.add_one(carried, load(carried_power));

            let (fours, tail) = part.as_chunks_mut::<{ LANES * WIDE_BYTES }>();
            for four in fours {
                let masks = stream::<ROUNDS, LANES>(&keys, &mut counter, 2);
                let (now, next) = powers.split_at(2 * LANES);
                powers = next;
                let wides = four.as_chunks_mut::<WIDE_BYTES>().0.iter_mut();
                let pairs = now.as_flattened().as_chunks::<WIDE_BYTES>().0;
                for ((wide, mask), pair) in wides.zip(masks).zip(pairs) {
                    let was = load_wide(wide);
                    let is = _mm256_xor_si256(was, mask);
                    store_wide(wide, is);
                    sum.add(if SEALS { is } else { was }, load_wide(pair));
                }
            }
            if !tail.is_empty() {
                let masks = stream::<ROUNDS, LANES>(&keys, &mut counter, 2);
                let mut padded = [0; LANES * WIDE_BYTES];
                padded[..tail.len()].copy_from_slice(tail);
                let mut hashed = padded;
                for (wide, mask) in padded.as_chunks_mut().0.iter_mut().zip(masks) {
                    store_wide(wide, _mm256_xor_si256(load_wide(wide), mask));
                }
                tail.copy_from_slice(&padded[..tail.len()]);
                if SEALS {
                    hashed[..tail.len()].copy_from_slice(tail);
                }
                let blocks = tail.len().div_ceil(BLOCK_BYTES);
                let (now, next) = powers.split_at(blocks);
                powers = next;
                let (pairs, one) = now.as_flattened().as_chunks::<WIDE_BYTES>();
                let wides = hashed.as_chunks::<WIDE_BYTES>().0;
                for (wide, pair) in wides.iter().zip(pairs) {
                    sum.add(load_wide(wide), load_wide(pair));
                }
                if let Some(power) = one.first_chunk() {
                    let block = hashed.as_chunks().0[blocks - 1];
                    sum.add_one(reversed(load(&block)), load(power));
                }
            }
            before = 0;
            rest = later;
            if let [last] = powers
                && rest.is_empty()
            {
                let lengths = _mm_set_epi64x(8 * HEADER_BYTES as i64, text_bits as i64);
                sum.add_one(lengths, load(last));
                let mut tag = [0; TAG_BYTES];
                store(&mut tag, _mm_xor_si128(reversed(sum.reduced()), mask));
                return tag;
            }
            carried = sum.reduced();
        }
    }
}

impl Drop for WideGcm {
    fn drop(&mut self) {
        self.round_keys.zeroize();
        self.powers.zeroize();
    }
}

/// The next `N` vectors of the key stream (the others stay zero); each moves the counters by `step`.
#[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
#[inline]
fn stream<const ROUNDS: usize, const N: usize>(
    keys: &[__m256i; ROUND_KEYS_MAX],
    counter: &mut __m256i,
    step: i32,
) -> [__m256i; LANES] {
    // Bytes of the last word of each half, turned round.
    let turn = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12,
    ));
    let step = _mm256_setr_epi32(0, 0, 0, step, 0, 0, 0, step);
    let mut states = [_mm256_setzero_si256(); LANES];
    for state in &mut states[..N] {
        *state = _mm256_xor_si256(_mm256_shuffle_epi8(*counter, turn), keys[0]);
        *counter = _mm256_add_epi32(*counter, step);
    }
    for key in &keys[1..ROUNDS] {
        for state in &mut states[..N] {
            *state = _mm256_aesenc_epi128(*state, *key);
        }
    }
    for state in &mut states[..N] {
        *state = _mm256_aesenclast_epi128(*state, keys[ROUNDS]);
    }
    states
}

/// Products without carries, added up: low, middle and high, of both halves.
struct Sum {
    low: __m256i,
    middle: __m256i,
    high: __m256i,
}

impl Sum {
    #[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
    #[inline]
    fn new() -> Self {
        let zero = _mm256_setzero_si256();
        Self {
            low: zero,
            middle: zero,
            high: zero,
        }
    }

    /// Two blocks as they stand in the text, times two powers.
    #[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
    #[inline]
    fn add(&mut self, blocks: __m256i, powers: __m256i) {
        let blocks = _mm256_shuffle_epi8(blocks, _mm256_broadcastsi128_si256(reversal()));
        self.add_reversed(blocks, powers);
    }

    /// One block, reversed already, times one power.
    #[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
    #[inline]
    fn add_one(&mut self, block: __m128i, power: __m128i) {
        self.add_reversed(_mm256_zextsi128_si256(block), _mm256_zextsi128_si256(power));
    }

    #[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
    #[inline]
    fn add_reversed(&mut self, blocks: __m256i, powers: __m256i) {
        let add = |sum: &mut __m256i, product| *sum = _mm256_xor_si256(*sum, product);
        add(
            &mut self.low,
            _mm256_clmulepi64_epi128::<0x00>(blocks, powers),
        );
        add(
            &mut self.high,
            _mm256_clmulepi64_epi128::<0x11>(blocks, powers),
        );
        let crossed = _mm256_xor_si256(
            _mm256_clmulepi64_epi128::<0x01>(blocks, powers),
            _mm256_clmulepi64_epi128::<0x10>(blocks, powers),
        );
        add(&mut self.middle, crossed);
    }

    #[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
    #[inline]
    fn reduced(&self) -> __m128i {
        let both = |wide: __m256i| {
            _mm_xor_si128(
                _mm256_castsi256_si128(wide),
                _mm256_extracti128_si256::<1>(wide),
            )
        };
        let middle = both(self.middle);
        reduce(
            _mm_xor_si128(both(self.low), _mm_slli_si128::<8>(middle)),
            _mm_xor_si128(both(self.high), _mm_srli_si128::<8>(middle)),
        )
    }
}

/// A product of 256 bits times x to the power of -128, in POLYVAL's field: Montgomery's reduction, 64 bits
/// at a time.
#[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
#[inline]
fn reduce(low: __m128i, high: __m128i) -> __m128i {
    let polynomial = _mm_set_epi64x(0, (0xC2_u64 << 56) as i64);
    let mut low = low;
    for _ in 0..2 {
        let product = _mm_clmulepi64_si128::<0x00>(low, polynomial);
        low = _mm_xor_si128(_mm_shuffle_epi32::<0x4E>(low), product);
    }
    _mm_xor_si128(low, high)
}

#[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
#[inline]
fn reversal() -> __m128i {
    _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
}

#[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
#[inline]
fn reversed(block: __m128i) -> __m128i {
    _mm_shuffle_epi8(block, reversal())
}

#[inline]
fn load(from: &Block) -> __m128i {
    // SAFETY: any sixteen bytes are a vector.
    unsafe { std::mem::transmute::<Block, __m128i>(*from) }
}

#[inline]
fn store(to: &mut Block, vector: __m128i) {
    // SAFETY: a vector is sixteen bytes.
    *to = unsafe { std::mem::transmute::<__m128i, Block>(vector) };
}

#[inline]
fn load_wide(from: &Wide) -> __m256i {
    // SAFETY: any 32 bytes are a vector.
    unsafe { std::mem::transmute::<Wide, __m256i>(*from) }
}

#[inline]
fn store_wide(to: &mut Wide, vector: __m256i) {
    // SAFETY: a vector is 32 bytes.
    *to = unsafe { std::mem::transmute::<__m256i, Wide>(vector) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    fn library(key: &[u8]) -> LessSafeKey {
        let algorithm = if key.len() == 16 {
            &AES_128_GCM
        } else {
            &AES_256_GCM
        };
        LessSafeKey::new(UnboundKey::new(algorithm, key).expect("a key"))
    }

    /// Bytes without a pattern.
    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed;
        let step = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(step).take(len).collect()
    }

    /// Nothing to test where the library does it all.
    fn on_able_cpus(key: &[u8], test: impl Fn(&WideGcm, &LessSafeKey)) {
        if let Some(wide) = WideGcm::new(key) {
            test(&wide, &library(key));
        }
    }

    #[test]
    fn every_length_is_sealed_and_opened_as_by_the_library() {
        let lengths = || (0..1_200).chain([2_047, 2_048, 2_049, 16_385, 16_640]);
        for key_bytes in [16, 32] {
            for seed in 0..3 {
                on_able_cpus(&noise(seed, key_bytes), |wide, library| {
                    for len in lengths() {
                        let nonce: [u8; IV_BYTES] =
                            noise(len as u64, IV_BYTES).try_into().expect("its length");
                        let aad = [23, 3, 3, (len >> 8) as u8, len as u8];
                        let text = noise(seed + 7, len);
                        let mut theirs = text.clone();
                        let their_tag = library
                            .seal_in_place_separate_tag(
                                Nonce::assume_unique_for_key(nonce),
                                Aad::from(aad),
                                &mut theirs,
                            )
                            .expect("a text of that length");
                        let mut ours = text.clone();
                        let tag = wide.seal(nonce, aad, &mut ours);
                        assert_eq!(ours, theirs, "{len}");
                        assert_eq!(tag, their_tag.as_ref(), "{len}");
                        assert!(wide.open(nonce, aad, &mut ours, tag), "{len}");
                        assert_eq!(ours, text, "{len}");
                    }
                });
            }
        }
    }

    #[test]
    fn whatever_is_changed_the_tag_is_wrong_and_nothing_is_told() {
        on_able_cpus(&noise(1, 16), |wide, _| {
            let (nonce, aad) = ([7; IV_BYTES], [1; HEADER_BYTES]);
            for len in [0, 1, 16, 31, 130, 600] {
                let mut sealed = noise(2, len);
                let tag = wide.seal(nonce, aad, &mut sealed);
                let refused = |nonce, aad, mut text: Vec<u8>, tag| {
                    assert!(!wide.open(nonce, aad, &mut text, tag), "{len}");
                    assert!(text.iter().all(|byte| *byte == 0), "{len}");
                };
                for bit in 0..128 {
                    let mut tag = tag;
                    tag[bit / 8] ^= 1 << (bit % 8);
                    refused(nonce, aad, sealed.clone(), tag);
                }
                for position in 0..len {
                    let mut text = sealed.clone();
                    text[position] ^= 0x10;
                    refused(nonce, aad, text, tag);
                }
                for position in 0..HEADER_BYTES {
                    let mut aad = aad;
                    aad[position] ^= 1;
                    refused(nonce, aad, sealed.clone(), tag);
                }
                for position in 0..IV_BYTES {
                    let mut nonce = nonce;
                    nonce[position] ^= 1;
                    refused(nonce, aad, sealed.clone(), tag);
                }
                let mut longer = sealed.clone();
                longer.push(0);
                refused(nonce, aad, longer, tag);
            }
        });
    }

    #[test]
    fn only_keys_of_these_ciphers_are_keys() {
        for bytes in [0, 15, 17, 24, 31, 33] {
            assert!(WideGcm::new(&vec![0; bytes]).is_none());
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |two: &[u8]| {
            let two = std::str::from_utf8(two).expect("ASCII");
            u8::from_str_radix(two, 16).expect("hexadecimal")
        };
        digits.chunks(2).map(byte).collect()
    }

    fn number(hex: &str) -> u128 {
        u128::from_str_radix(hex, 16).expect("hexadecimal")
    }

    /// SP 800-38D, algorithms 1 and 2, a bit at a time: the hash of both texts, padded, and their lengths.
    fn ghash(hash_key: u128, aad: &[u8], text: &[u8]) -> u128 {
        let lengths = ((8 * aad.len() as u128) << 64) | (8 * text.len() as u128);
        let parts = aad.chunks(BLOCK_BYTES).chain(text.chunks(BLOCK_BYTES));
        let numbers = parts.map(|part| {
            let mut block = [0; BLOCK_BYTES];
            block[..part.len()].copy_from_slice(part);
            u128::from_be_bytes(block)
        });
        numbers.chain([lengths]).fold(0, |sum, number| {
            let factor = sum ^ number;
            let (mut product, mut shifted) = (0, hash_key);
            for bit in (0..128).rev() {
                product ^= ((factor >> bit) & 1) * shifted;
                shifted = (shifted >> 1) ^ ((shifted & 1) * (0xE1 << 120));
            }
            product
        })
    }

    /// McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B: those with a nonce of 96 bits
    /// and a key of 128 or 256 (1 to 4, 13 to 16). Their additional data is none or 20 bytes and ours is a
    /// header of five: in their tag, their hash is replaced by that of the same ciphertext behind a header.
    #[test]
    fn the_published_cases_come_out() {
        const ZERO: &str = "00000000000000000000000000000000";
        const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
        const FEFF: &str = "feffe9928665731c6d6a8f9467308308";
        const FEFFS: &str = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
        const NO_NONCE: &str = "000000000000000000000000";
        const NONCE: &str = "cafebabefacedbaddecaf888";
        const AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
        const TEXT: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
            1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
        const SEALED: [&str; 2] = [
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
            21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
            8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
        ];
        const ONE_SEALED: [&str; 2] = [
            "0388dace60b6a392f328c2b971b2fe78",
            "cea7403d4d606b6e074ec5d3baf39d18",
        ];
        // What AES makes of zeros.
        const OF_ZERO: &str = "66e94bd4ef8a2c3b884cfa59ca342b2e";
        const OF_ZEROS: &str = "dc95c078a2408989ad48a21492842087";
        const OF_FEFF: &str = "b83b533708bf535d0aa6e52980d53b78";
        const OF_FEFFS: &str = "acbef20579b4b8ebce889bac8732dad7";
        // Key, hash key, nonce, additional data, text, ciphertext, hash and tag.
        #[rustfmt::skip]
        let cases = [
            (1, ZERO, OF_ZERO, NO_NONCE, "", "", "", ZERO, "58e2fccefa7e3061367f1d57a4e7455a"),
            (2, ZERO, OF_ZERO, NO_NONCE, "", ZERO, ONE_SEALED[0],
                "f38cbb1ad69223dcc3457ae5b6b0f885", "ab6e47d42cec13bdf53a67b21257bddf"),
            (3, FEFF, OF_FEFF, NONCE, "", TEXT, SEALED[0],
                "7f1b32b81b820d02614f8895ac1d4eac", "4d5c2af327cd64a62cf35abd2ba6fab4"),
            (4, FEFF, OF_FEFF, NONCE, AAD, TEXT, SEALED[0],
                "698e57f70e6ecc7fd9463b7260a9ae5f", "5bc94fbc3221a5db94fae95ae7121a47"),
            (13, ZEROS, OF_ZEROS, NO_NONCE, "", "", "", ZERO, "530f8afbc74536b9a963b4f1c4cb738b"),
            (14, ZEROS, OF_ZEROS, NO_NONCE, "", ZERO, ONE_SEALED[1],
                "83de425c5edc5d498f382c441041ca92", "d0d1c8a799996bf0265b98b5d48ab919"),
            (15, FEFFS, OF_FEFFS, NONCE, "", TEXT, SEALED[1],
                "4db870d37cb75fcb46097c36230d1612", "b094dac5d93471bdec1a502270e3cc6c"),
            (16, FEFFS, OF_FEFFS, NONCE, AAD, TEXT, SEALED[1],
                "8bd0c4d8aacd391e67cca447e8c38f65", "76fc6ece0f4e1768cddf8853bb2d551b"),
        ];
        for (case, key, hash_key, nonce, aad, text, sealed, hash, tag) in cases {
            let (hash_key, hash, tag) = (number(hash_key), number(hash), number(tag));
            let nonce: [u8; IV_BYTES] = bytes(nonce).try_into().expect("a nonce");
            let (aad, mut text, mut sealed) = (bytes(aad), bytes(text), bytes(sealed));
            if !aad.is_empty() {
                text.truncate(60);
                sealed.truncate(60);
            }
            assert_eq!(ghash(hash_key, &aad, &sealed), hash, "{case}: the hash");
            let Some(wide) = WideGcm::new(&bytes(key)) else {
                continue; // The library's, on this CPU.
            };
            for header in [[0; HEADER_BYTES], [23, 3, 3, 0, 77]] {
                let expected = tag ^ hash ^ ghash(hash_key, &header, &sealed);
                let mut ours = text.clone();
                let tag = wide.seal(nonce, header, &mut ours);
                assert_eq!(ours, sealed, "{case}: the ciphertext");
                assert_eq!(tag, expected.to_be_bytes(), "{case}: the tag");
                assert!(wide.open(nonce, header, &mut ours, tag), "{case}");
                assert_eq!(ours, text, "{case}: and back");
            }
        }
    }

    /// RFC 8448, section 3: the records of data and the goodbyes, as they stand there.
    #[test]
    fn the_records_of_the_published_trace_come_out() {
        let client = (
            "17422dda596ed5d9acd890e3c63f5051",
            "5b78923dee08579033e523d9",
        );
        let server = (
            "9f02283b6c9c07efc26bb9f2ac92e356",
            "cf782b88dd83549aadf1e984",
        );
        let data: Vec<u8> = (0..50).chain([23]).collect();
        let goodbye = vec![1, 0, 21];
        #[rustfmt::skip]
        let records = [
            (client, 0, &data,
                "1703030043 a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395b
                d54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4"),
            (server, 1, &data,
                "1703030043 2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc
                602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d"),
            (client, 1, &goodbye, "1703030013 c9872760655666b74d7ff1153efd6db6d0b0e3"),
            (server, 2, &goodbye, "1703030013 b58fd67166ebf599d24720cfbe7efa7a8864a9"),
        ];
        for ((key, iv), sequence, inner, record) in records {
            let Some(wide) = WideGcm::new(&bytes(key)) else {
                continue;
            };
            let record = bytes(record);
            let (header, body) = record.split_first_chunk().expect("a header");
            let (text, tag) = body.split_last_chunk().expect("a tag");
            let mut nonce: [u8; IV_BYTES] = bytes(iv).try_into().expect("an IV");
            nonce[IV_BYTES - 1] ^= sequence;
            let mut opened = text.to_vec();
            assert!(wide.open(nonce, *header, &mut opened, *tag), "{sequence}");
            assert_eq!(&opened, inner);
            assert_eq!(wide.seal(nonce, *header, &mut opened), *tag, "{sequence}");
            assert_eq!(opened, text);
        }
    }
}
