//! How often we may connect.
//!
//! Owns: [`Attempts`]. Invariant: in no 5 minutes more than [`CONNECTS_ASKED_MAX`] connections are asked for.

use crate::limits::{CONNECT_WINDOW, CONNECTS_ASKED_MAX};
use crate::units::Nanos;
use crate::venue::binance::rate::{Pace, Purpose};

/// The last connections that were asked for.
#[derive(Clone, Debug)]
pub struct Attempts {
    pace: Pace<CONNECTS_ASKED_MAX>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            pace: Pace::new(CONNECT_WINDOW),
        }
    }
}

impl Attempts {
    /// When one more may be made; in the past when it may be made now.
    pub fn allowed_at(&self) -> Nanos {
        self.pace.ready_at(Purpose::Cancel)
    }

    /// Notes one.
    ///
    /// # Panics
    /// When it was not allowed yet.
    pub fn note(&mut self, now: Nanos) {
        assert!(self.allowed_at() <= now, "too many connections");
        self.pace.note(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides() {
        let mut attempts = Attempts::default();
        for second in 0..CONNECTS_ASKED_MAX as u64 {
            assert!(attempts.allowed_at() <= Nanos::from_secs(second));
            attempts.note(Nanos::from_secs(second));
        }
        assert_eq!(attempts.allowed_at(), Nanos::from_secs(300));
        attempts.note(Nanos::from_secs(300));
        assert_eq!(attempts.allowed_at(), Nanos::from_secs(301));
    }
}
