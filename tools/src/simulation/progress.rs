//! Whether time goes on.
//!
//! Owns: [`Progress`], the count of steps of one instant. Does not: know what is due. Invariant: it counts from zero with
//! every instant.

use veloz_core::units::Nanos;

/// Most steps without time going on: several times what one instant needs, when every link and timer comes due in it.
pub(super) const STEPS_OF_INSTANT_MAX: u32 = 10_000;

/// Steps of the instant that it is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    steps: u32,
}

impl Progress {
    /// One step, from `now` to `at`; `false` when there were too many of one instant: something is due again and again,
    /// and never ends.
    pub(super) fn step(&mut self, now: Nanos, at: Nanos) -> bool {
        self.steps = if at > now { 0 } else { self.steps + 1 };
        self.steps <= STEPS_OF_INSTANT_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_stands_still_is_seen_and_a_busy_instant_is_not() {
        let mut progress = Progress::default();
        let (now, later) = (Nanos(5), Nanos(6));
        for _ in 0..STEPS_OF_INSTANT_MAX {
            assert!(progress.step(now, now));
        }
        assert!(progress.step(now, later), "it went on in time");
        for _ in 0..STEPS_OF_INSTANT_MAX {
            assert!(progress.step(later, later));
        }
        assert!(!progress.step(later, later));
        // What is due in the past does not move time either.
        assert!(!progress.step(later, now));
    }
}
