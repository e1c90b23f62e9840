//! A credential that prints as `[redacted]`.

use super::layers::REDACTED;
use serde::Deserialize;
use std::fmt;

/// Text that no message, log or dump shows; empty when it was not given.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// This text.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, for what signs with it or sends it to the venue.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether one was given.
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { REDACTED } else { "\"\"" })
    }
}
