//! The key of one direction, and the number of the next record under it (RFC 8446, sections 5.2 and 5.3).
//!
//! Owns: [`TrafficKey`], [`Suite`]. Does not: know what a record says, or count how many are too many.
//! Invariant: no number is used twice, because each use takes the next one; nothing is allocated after
//! [`TrafficKey::new`]. The cipher's key is in the library's memory, which clears it.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use zeroize::Zeroize as _;

use super::{HEADER_BYTES, RecordFault, TAG_BYTES};

/// Bytes of a nonce, and of the IV that makes it.
pub const IV_BYTES: usize = 12;

/// An AEAD of TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `TLS_AES_128_GCM_SHA256`.
    Aes128Gcm,
    /// `TLS_AES_256_GCM_SHA384`.
    Aes256Gcm,
    /// `TLS_CHACHA20_POLY1305_SHA256`.
    Chacha20Poly1305,
}

impl Suite {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::Aes256Gcm => &AES_256_GCM,
            Self::Chacha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

/// Protects the records of one direction until its key is replaced.
pub struct TrafficKey {
    cipher: LessSafeKey,
    iv: [u8; IV_BYTES],
    /// Of the next record; `u64::MAX` is never used.
    sequence: u64,
}

impl TrafficKey {
    /// A key whose next record has the number `sequence`.
    ///
    /// # Errors
    /// [`RecordFault::Keys`] when `key` has another length than the suite's.
    pub fn new(
        suite: Suite,
        key: &[u8],
        iv: [u8; IV_BYTES],
        sequence: u64,
    ) -> Result<Self, RecordFault> {
        let key = UnboundKey::new(suite.algorithm(), key).map_err(|_| RecordFault::Keys)?;
        Ok(Self {
            cipher: LessSafeKey::new(key),
            iv,
            sequence,
        })
    }

    /// How many records it has protected.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Decrypts `body`, ciphertext with its tag, where it lies. `header` is the record's own.
    ///
    /// # Errors
    /// [`RecordFault::BadMac`]; the body holds nothing of use then.
    #[inline]
    pub fn open<'b>(
        &mut self,
        header: [u8; HEADER_BYTES],
        body: &'b mut [u8],
    ) -> Result<&'b mut [u8], RecordFault> {
        let nonce = self.next_nonce()?;
        self.cipher
            .open_in_place(nonce, Aad::from(header), body)
            .map_err(|_| RecordFault::BadMac)
    }

    /// Encrypts `plaintext` and then the byte `kind` into `body`, which ends with the tag.
    ///
    /// # Errors
    /// [`RecordFault::SequenceExhausted`].
    ///
    /// # Panics
    /// When `body` has not room for exactly that.
    #[inline]
    pub fn seal(
        &mut self,
        header: [u8; HEADER_BYTES],
        plaintext: &[u8],
        kind: u8,
        body: &mut [u8],
    ) -> Result<(), RecordFault> {
        let nonce = self.next_nonce()?;
        let (content, rest) = body.split_at_mut(plaintext.len());
        assert_eq!(rest.len(), 1 + TAG_BYTES, "the room of one record");
        content.copy_from_slice(plaintext);
        let sealed =
            self.cipher
                .seal_in_place_scatter(nonce, Aad::from(header), content, &[kind], rest);
        sealed.expect("lengths agree and are below the cipher's bound");
        Ok(())
    }

    #[inline]
    fn next_nonce(&mut self) -> Result<Nonce, RecordFault> {
        if self.sequence == u64::MAX {
            return Err(RecordFault::SequenceExhausted);
        }
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

impl Drop for TrafficKey {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}
