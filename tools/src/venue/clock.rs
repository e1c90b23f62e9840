//! The venue's own clock.
//!
//! Owns: [`VenueClock`], the only place of the venue that reads time. Does not: wait, schedule.
//! Invariant: time never goes back. A manual clock moves only when told, so that pings, timeouts
//! and the 24 h cut are tested without waiting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::source::VenueMicros;

/// Where the venue's time comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockMode {
    /// The machine's clock, read once and carried on monotonically.
    #[default]
    System,
    /// Stands still until [`advance`](super::VenueHandle::advance) moves it; starts here.
    Manual(VenueMicros),
}

/// The venue's time in microseconds since the Unix epoch.
#[derive(Debug)]
pub(crate) enum VenueClock {
    System { started: Instant, started_us: u64 },
    Manual { now_us: AtomicU64 },
}

impl VenueClock {
    pub(crate) fn new(mode: ClockMode) -> Self {
        match mode {
            ClockMode::System => {
                // A machine whose clock stands before 1970 gets a venue that starts in 1970.
                let since_epoch = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Self::System {
                    started: Instant::now(),
                    started_us: since_epoch.as_micros() as u64,
                }
            }
            ClockMode::Manual(start) => Self::Manual {
                now_us: AtomicU64::new(start.0),
            },
        }
    }

    pub(crate) fn now(&self) -> VenueMicros {
        match self {
            Self::System {
                started,
                started_us,
            } => VenueMicros(started_us + started.elapsed().as_micros() as u64),
            Self::Manual { now_us } => VenueMicros(now_us.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock forward; a system clock moves by itself.
    pub(crate) fn set(&self, at: VenueMicros) {
        if let Self::Manual { now_us } = self {
            now_us.fetch_max(at.0, Ordering::AcqRel);
        }
    }

    /// Whether time passes without being told to.
    pub(crate) fn runs_by_itself(&self) -> bool {
        matches!(self, Self::System { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_forward_and_only_when_told() {
        let clock = VenueClock::new(ClockMode::Manual(VenueMicros(1_000)));
        assert_eq!(clock.now(), VenueMicros(1_000));
        clock.set(VenueMicros(2_000));
        clock.set(VenueMicros(1_500));
        assert_eq!(clock.now(), VenueMicros(2_000));
    }
}
