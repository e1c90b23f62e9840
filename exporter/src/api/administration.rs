//! What the process does for the API beyond the sidecar.
//!
//! Owns: [`Administration`]. Invariant: its calls may wait for a disk or a network, so they are made on blocking threads.

use crate::http::body::Fields;
use std::path::PathBuf;
use veloz_core::risk::LimitsChange;

/// Why something was not done, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// What was asked for cannot be.
    Unsound(String),
    /// It could not be kept.
    NotKept(String),
    /// This process has no place, or no use, for it.
    NotHere(String),
}

/// What the process does for the API.
pub trait Administration: Send + Sync {
    /// Keeps limits that were changed while running, so that the next start has them, and that files do not loosen them;
    /// `before` are those that they take the place of, one for one.
    ///
    /// # Errors
    /// [`NotDone`].
    fn keep_limits(&self, before: &[LimitsChange], changes: &[LimitsChange])
    -> Result<(), NotDone>;

    /// Reads the configured limits anew, as SIGHUP does; that they are read is told in the log.
    ///
    /// # Errors
    /// [`NotDone`].
    fn reload(&self) -> Result<(), NotDone>;

    /// Checks a configuration and saves it beside the state; it changes nothing of what runs.
    ///
    /// # Errors
    /// [`NotDone`].
    fn save_config(&self, config: &Fields) -> Result<PathBuf, NotDone>;

    /// Asks the venue whether a key is good: `Ok` holds what it may, as the venue names it.
    ///
    /// # Errors
    /// [`NotDone::Unsound`] when the venue refuses it.
    fn test_key(&self, api_key: &str, api_secret: &str) -> Result<Vec<String>, NotDone>;
}

/// A sidecar alone: nothing is kept, nothing can be read anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Administration for Alone {
    fn keep_limits(&self, _: &[LimitsChange], _: &[LimitsChange]) -> Result<(), NotDone> {
        Ok(())
    }

    fn reload(&self) -> Result<(), NotDone> {
        Err(NotDone::NotHere(NOTHING.to_owned()))
    }

    fn save_config(&self, _: &Fields) -> Result<PathBuf, NotDone> {
        Err(NotDone::NotHere(NOTHING.to_owned()))
    }

    fn test_key(&self, _: &str, _: &str) -> Result<Vec<String>, NotDone> {
        Err(NotDone::NotHere(NOTHING.to_owned()))
    }
}

const NOTHING: &str = "this process has no configuration of its own";
