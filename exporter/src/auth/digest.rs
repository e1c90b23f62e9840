//! Secrets that are random enough to be kept as a plain digest.
//!
//! Owns: [`SecretDigest`]. Invariants: the secret itself is not kept; comparing takes the same time
//! wherever the digests differ.

use crate::random::to_hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 of a secret.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Of this secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Whether this is its secret.
    pub fn is_of(&self, secret: &str) -> bool {
        self.is(&Self::of(secret))
    }

    /// Whether both are of one secret.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Serialize for SecretDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        to_hex(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |position: usize| char::from(text.as_bytes()[position]).to_digit(16);
        let bytes: Option<Vec<u8>> = (text.len() == 64)
            .then(|| {
                (0..32)
                    .map(|byte| Some((digit(2 * byte)? << 4 | digit(2 * byte + 1)?) as u8))
                    .collect()
            })
            .flatten();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("64 hexadecimal digits are expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_its_text_and_other_text_is_refused() {
        let digest = SecretDigest::of("abc");
        let text = serde_json::to_string(&digest).expect("text");
        assert_eq!(
            text,
            "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
        );
        let read: SecretDigest = serde_json::from_str(&text).expect("its own text");
        assert!(read.is(&digest));
        assert!(!read.is(&SecretDigest::of("abd")));
        let short = &text[..64];
        for bad in [
            "\"\"",
            "\"zz\"",
            &format!("{short}\""),
            &text.replace('b', "g"),
        ] {
            assert!(serde_json::from_str::<SecretDigest>(bad).is_err(), "{bad}");
        }
    }
}
