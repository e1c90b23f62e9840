//! How often we may connect.
//!
//! Owns: [`Attempts`]. Invariant: in no 5 minutes more than [`CONNECTS_ASKED_MAX`] connections are asked for.

use crate::limits::{CONNECT_WINDOW, CONNECTS_ASKED_MAX};
use crate::units::Nanos;

/// The last connections that were asked for.
#[derive(Clone, Debug)]
pub struct Attempts {
    /// When each may be forgotten; the oldest at `next`.
    forgotten_at: [Nanos; CONNECTS_ASKED_MAX],
    next: usize,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            forgotten_at: [Nanos::ZERO; CONNECTS_ASKED_MAX],
            next: 0,
        }
    }
}

impl Attempts {
    /// When one more may be made; in the past when it may be made now.
    pub fn allowed_at(&self) -> Nanos {
        self.forgotten_at[self.next]
    }

    /// Notes one.
    ///
    /// # Panics
    /// When it was not allowed yet.
    pub fn note(&mut self, now: Nanos) {
        assert!(self.allowed_at() <= now, "too many connections");
        self.forgotten_at[self.next] = now.plus(CONNECT_WINDOW);
        self.next = (self.next + 1) % CONNECTS_ASKED_MAX;
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
