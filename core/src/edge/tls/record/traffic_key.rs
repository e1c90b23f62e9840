//! The key of one direction, and the number of the next record under it (RFC 8446, sections 5.2 and 5.3).
//!
//! Owns: [`TrafficKey`], [`Suite`]. Does not: know what a record says, or count how many are too many.
//! Invariant: no number is used twice, because each use takes the next one; nothing is allocated after
//! [`TrafficKey::new`]. Keys are cleared where they lie: here, or in the library's memory by the library.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use zeroize::Zeroize as _;

#[cfg(target_arch = "x86_64")]
use super::wide_gcm::WideGcm;
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

/// Who encrypts.
enum Cipher {
    /// Our own AES-GCM, on CPUs where it is faster.
    #[cfg(target_arch = "x86_64")]
    Wide(Box<WideGcm>),
    /// aws-lc-rs.
    Library(LessSafeKey),
}

impl Cipher {
    fn new(suite: Suite, key: &[u8]) -> Result<Self, RecordFault> {
        let unbound = UnboundKey::new(suite.algorithm(), key).map_err(|_| RecordFault::Keys)?;
        #[cfg(target_arch = "x86_64")]
        if suite != Suite::Chacha20Poly1305
            && let Some(wide) = WideGcm::new(key)
        {
            return Ok(Self::Wide(wide));
        }
        Ok(Self::Library(LessSafeKey::new(unbound)))
    }
}

/// Protects the records of one direction until its key is replaced.
pub struct TrafficKey {
    cipher: Cipher,
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
        Ok(Self {
            cipher: Cipher::new(suite, key)?,
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
        match &self.cipher {
            #[cfg(target_arch = "x86_64")]
            Cipher::Wide(cipher) => {
                let Some((text, tag)) = body.split_last_chunk_mut::<TAG_BYTES>() else {
                    return Err(RecordFault::BadMac);
                };
                if cipher.open(nonce, header, text, *tag) {
                    Ok(text)
                } else {
                    Err(RecordFault::BadMac)
                }
            }
            Cipher::Library(cipher) => cipher
                .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(header), body)
                .map_err(|_| RecordFault::BadMac),
        }
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
        let (text, tag) = body.split_at_mut(plaintext.len() + 1);
        assert_eq!(tag.len(), TAG_BYTES, "the room of one record");
        text[..plaintext.len()].copy_from_slice(plaintext);
        text[plaintext.len()] = kind;
        match &self.cipher {
            #[cfg(target_arch = "x86_64")]
            Cipher::Wide(cipher) => tag.copy_from_slice(&cipher.seal(nonce, header, text)),
            Cipher::Library(cipher) => {
                let made = cipher
                    .seal_in_place_separate_tag(
                        Nonce::assume_unique_for_key(nonce),
                        Aad::from(header),
                        text,
                    )
                    .expect("its length is below the cipher's bound");
                tag.copy_from_slice(made.as_ref());
            }
        }
        Ok(())
    }

    #[inline]
    fn next_nonce(&mut self) -> Result<[u8; IV_BYTES], RecordFault> {
        if self.sequence == u64::MAX {
            return Err(RecordFault::SequenceExhausted);
        }
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        Ok(nonce)
    }
}

impl Drop for TrafficKey {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}
