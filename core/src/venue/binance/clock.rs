//! What the venue's clock shows, from its answers to `time`.
//!
//! Owns: [`VenueClock`]. Does not: ask. Invariant: the estimate is off by at most half the shortest
//! round trip of the last [`SAMPLES`] answers, plus what the clocks drift apart meanwhile, unless one of them stepped;
//! when somebody doubts it, the next answer counts alone.

use crate::units::{Nanos, VenueMillis};

/// Answers remembered: with one every 15 s two minutes, in which clocks drift by well under a millisecond.
pub const SAMPLES: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Sample {
    round_trip: Nanos,
    unix_ns_at_zero: i64,
}

/// The venue's clock against the engine's.
#[derive(Clone, Debug, Default)]
pub struct VenueClock {
    samples: [Option<Sample>; SAMPLES],
    next: usize,
    /// What the sample of the shortest round trip says: read with every event, so it is not looked for then.
    unix_ns_at_zero: Option<i64>,
    /// Answers to what was asked before this are worth nothing.
    doubted_at: Option<Nanos>,
}

impl VenueClock {
    /// A question asked at `sent` was answered at `received` with the venue's time.
    pub fn answered(&mut self, sent: Nanos, received: Nanos, venue: VenueMillis) {
        let round_trip = received.since(sent);
        let middle = i128::from(sent.0) + i128::from(round_trip.0 / 2);
        // The venue cuts its time to milliseconds: half of one is the best guess at what it cut.
        let venue_ns = i128::from(venue.0) * 1_000_000 + 500_000;
        let Ok(unix_ns_at_zero) = i64::try_from(venue_ns - middle) else {
            return;
        };
        if let Some(doubted_at) = self.doubted_at {
            self.samples = [None; SAMPLES];
            // A question that was under way may have been answered on either side of the step.
            if sent >= doubted_at {
                self.doubted_at = None;
            }
        }
        self.samples[self.next] = Some(Sample {
            round_trip,
            unix_ns_at_zero,
        });
        self.next = (self.next + 1) % SAMPLES;
        self.unix_ns_at_zero = self
            .samples
            .iter()
            .flatten()
            .min_by_key(|sample| sample.round_trip)
            .map(|sample| sample.unix_ns_at_zero);
    }

    /// Something shows at `now` that one of the clocks stepped, as after a pause of the machine: the venue refused a time of
    /// ours, or our wall clock jumped. The next answer counts alone.
    pub fn doubt(&mut self, now: Nanos) {
        self.doubted_at = Some(now);
    }

    /// Whether no answer came since the last doubt: what is signed now may be refused, and how wrong our wall clock is
    /// nobody knows.
    #[inline]
    pub fn is_in_doubt(&self) -> bool {
        self.doubted_at.is_some()
    }

    /// Unix nanoseconds on the venue's clock when the engine's read zero; `None` before the first answer.
    #[inline]
    pub fn unix_ns_at_zero(&self) -> Option<i64> {
        self.unix_ns_at_zero
    }

    /// How far the venue's clock is ahead of a wall clock that read so much when the engine's read zero, in nanoseconds;
    /// `None` before the first answer, and while in doubt.
    #[inline]
    pub fn offset_ns(&self, wall_ns_at_zero: Option<i64>) -> Option<i64> {
        if self.is_in_doubt() {
            return None;
        }
        Some(self.unix_ns_at_zero?.saturating_sub(wall_ns_at_zero?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_doubt_the_next_answer_counts_however_slow() {
        let mut clock = VenueClock::default();
        let ms = Nanos::from_ms;
        clock.answered(ms(1_000), ms(1_002), VenueMillis(1_001));
        // Asked, then paused for ten seconds.
        assert!(!clock.is_in_doubt());
        clock.doubt(ms(3_000));
        clock.answered(ms(2_900), ms(3_100), VenueMillis(13_000));
        assert_eq!(clock.unix_ns_at_zero(), Some(10_000_500_000));
        assert!(clock.is_in_doubt());
        clock.answered(ms(3_000), ms(3_400), VenueMillis(13_210));
        assert_eq!(clock.unix_ns_at_zero(), Some(10_010_500_000));
        assert!(!clock.is_in_doubt());
        // From here on the fastest counts again.
        clock.answered(ms(4_000), ms(4_900), VenueMillis(14_999));
        assert_eq!(clock.unix_ns_at_zero(), Some(10_010_500_000));
    }

    #[test]
    fn the_fastest_of_the_last_answers_counts() {
        let mut clock = VenueClock::default();
        assert_eq!(clock.unix_ns_at_zero(), None);
        let ms = Nanos::from_ms;
        clock.answered(ms(1_000), ms(1_200), VenueMillis(1_700_000_001_150));
        assert_eq!(clock.unix_ns_at_zero(), Some(1_700_000_000_050_500_000));
        clock.answered(ms(2_000), ms(2_010), VenueMillis(1_700_000_002_005));
        assert_eq!(clock.unix_ns_at_zero(), Some(1_700_000_000_000_500_000));
        for second in 3..3 + SAMPLES as u64 {
            let sent = second * 1_000;
            clock.answered(ms(sent), ms(sent + 100), VenueMillis(sent + 50));
        }
        assert_eq!(
            clock.unix_ns_at_zero(),
            Some(500_000),
            "old ones are forgotten"
        );
        clock.answered(ms(0), ms(1), VenueMillis(u64::MAX));
        assert_eq!(clock.unix_ns_at_zero(), Some(500_000), "no time at all");
    }
}
