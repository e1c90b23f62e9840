//! The hard budget of connection attempts: the venue bans an address that passes it, whatever the
//! reason was. The back-off between attempts is the engine's; this is the wall behind it.

use std::collections::VecDeque;

use crate::limits::{CONNECT_WINDOW, CONNECTS_PER_WINDOW_MAX};
use crate::units::Nanos;

/// Attempts of the last window.
pub(super) struct AttemptBudget {
    attempts: VecDeque<Nanos>,
}

impl AttemptBudget {
    pub(super) fn new() -> Self {
        Self {
            attempts: VecDeque::with_capacity(CONNECTS_PER_WINDOW_MAX),
        }
    }

    /// Takes one attempt at `now`.
    ///
    /// # Errors
    /// When the next one is free, if the window is full.
    pub(super) fn take(&mut self, now: Nanos) -> Result<(), Nanos> {
        while let Some(oldest) = self.attempts.front()
            && now.since(*oldest) >= CONNECT_WINDOW
        {
            self.attempts.pop_front();
        }
        if self.attempts.len() == CONNECTS_PER_WINDOW_MAX {
            return Err(self.attempts[0].plus(CONNECT_WINDOW));
        }
        self.attempts.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_window_says_when_it_opens() {
        let mut budget = AttemptBudget::new();
        for second in 0..CONNECTS_PER_WINDOW_MAX as u64 {
            assert_eq!(budget.take(Nanos::from_secs(second)), Ok(()));
        }
        let now = Nanos::from_secs(CONNECTS_PER_WINDOW_MAX as u64);
        assert_eq!(budget.take(now), Err(CONNECT_WINDOW), "the first was at 0");
        assert_eq!(budget.take(CONNECT_WINDOW), Ok(()));
        assert_eq!(
            budget.take(CONNECT_WINDOW),
            Err(CONNECT_WINDOW.plus(Nanos::from_secs(1)))
        );
    }

    proptest! {
        #[test]
        fn no_window_holds_more(gaps_ms in proptest::collection::vec(0u64..3_000, 1..2_000)) {
            let mut budget = AttemptBudget::new();
            let mut now = Nanos::ZERO;
            let mut taken: Vec<Nanos> = Vec::new();
            for gap in gaps_ms {
                now = now.plus(Nanos::from_ms(gap));
                if budget.take(now).is_ok() {
                    taken.push(now);
                }
            }
            for window in taken.windows(CONNECTS_PER_WINDOW_MAX + 1) {
                let span = window[CONNECTS_PER_WINDOW_MAX].since(window[0]);
                prop_assert!(span >= CONNECT_WINDOW);
            }
        }
    }
}
