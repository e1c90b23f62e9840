//! Who we are to the venue: an API key and the secret that proves it.
//!
//! Owns: [`ApiKey`], [`Credentials`]. Does not: read files. Invariant: neither is shown by any text.

use crate::wire::sign::Signer;
use std::fmt;

/// Bytes of an API key; the venue's have 64.
pub const API_KEY_BYTES_MAX: usize = 128;

/// The public half of a pair of credentials, as the venue hands it out.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    text: Box<str>,
}

/// Why a text is no API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Nothing, or more than [`API_KEY_BYTES_MAX`].
    #[error("it has {bytes} bytes; expected 1 to {API_KEY_BYTES_MAX}")]
    Length {
        /// How many it has.
        bytes: usize,
    },
    /// A character that no key has.
    #[error("its byte {position} is none of A-Z a-z 0-9 - _")]
    Character {
        /// Where, from 0.
        position: usize,
    },
}

impl ApiKey {
    /// A key from its text.
    ///
    /// # Errors
    /// [`ApiKeyError`], which shows nothing of it.
    pub fn new(text: &str) -> Result<Self, ApiKeyError> {
        if text.is_empty() || text.len() > API_KEY_BYTES_MAX {
            return Err(ApiKeyError::Length { bytes: text.len() });
        }
        let foreign = |byte: u8| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if let Some(position) = text.bytes().position(foreign) {
            return Err(ApiKeyError::Character { position });
        }
        Ok(Self { text: text.into() })
    }

    /// Its bytes, for requests.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Shows that there is one.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

/// What proves to the venue who sends a request.
#[derive(Debug)]
pub struct Credentials {
    /// Which key.
    pub api_key: ApiKey,
    /// Its secret.
    pub signer: Signer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_bounded_plain_and_never_shown() {
        let text = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
        let key = ApiKey::new(text).expect("as the venue makes them");
        assert_eq!(key.as_bytes(), text.as_bytes());
        assert_eq!(format!("{key:?}"), "ApiKey");
        assert_eq!(ApiKey::new(""), Err(ApiKeyError::Length { bytes: 0 }));
        let long = "x".repeat(129);
        assert_eq!(ApiKey::new(&long), Err(ApiKeyError::Length { bytes: 129 }));
        let error = ApiKey::new("abc\"d").expect_err("a quote");
        assert_eq!(error, ApiKeyError::Character { position: 3 });
        assert_eq!(error.to_string(), "its byte 3 is none of A-Z a-z 0-9 - _");
    }
}
