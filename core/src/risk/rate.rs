//! How many orders a second: the times of the last admissions, in a ring.
//!
//! Owns: [`OrderTimes`]. Invariant: with a limit of `n`, no half-open window of one second holds more
//! than `n` admissions, because each is a second or more after the `n`-th before it.

use crate::limits::ORDERS_PER_SECOND_MAX;
use crate::units::Nanos;

const SECOND: Nanos = Nanos::from_secs(1);

/// Times of the last [`ORDERS_PER_SECOND_MAX`] admissions.
pub(super) struct OrderTimes {
    ring: Box<[Nanos]>,
    /// Admissions so far.
    count: u64,
}

impl OrderTimes {
    pub(super) fn new() -> Self {
        Self {
            ring: vec![Nanos::ZERO; ORDERS_PER_SECOND_MAX].into_boxed_slice(),
            count: 0,
        }
    }

    /// Whether one more now would stay within `limit`, `[1, ORDERS_PER_SECOND_MAX]`, a second.
    #[inline]
    pub(super) fn has_room(&self, now: Nanos, limit: u32) -> bool {
        let limit = u64::from(limit);
        self.count < limit || now.since(self.at(self.count - limit)) >= SECOND
    }

    /// Notes an admission. Time never goes back.
    #[inline]
    pub(super) fn push(&mut self, now: Nanos) {
        let slot = self.slot(self.count);
        self.ring[slot] = now;
        self.count += 1;
    }

    /// Admissions within the second that ends now; linear over them.
    pub(super) fn in_last_second(&self, now: Nanos) -> u32 {
        let kept = self.count.min(ORDERS_PER_SECOND_MAX as u64);
        (1..=kept)
            .take_while(|back| now.since(self.at(self.count - back)) < SECOND)
            .count() as u32
    }

    #[inline]
    fn at(&self, number: u64) -> Nanos {
        self.ring[self.slot(number)]
    }

    #[inline]
    fn slot(&self, number: u64) -> usize {
        number as usize & (self.ring.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_second_holds_more_than_the_limit(
            limit in 1u32..6,
            gaps in proptest::collection::vec(0u64..600_000_000, 1..200),
        ) {
            let mut times = OrderTimes::new();
            let mut admitted: Vec<u64> = Vec::new();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                let recent = admitted.iter().filter(|&&at| now - at < SECOND.0).count();
                prop_assert_eq!(times.in_last_second(Nanos(now)), recent as u32);
                prop_assert_eq!(times.has_room(Nanos(now), limit), recent < limit as usize);
                if times.has_room(Nanos(now), limit) {
                    times.push(Nanos(now));
                    admitted.push(now);
                }
            }
        }
    }

    #[test]
    fn the_ring_outlives_its_length() {
        let mut times = OrderTimes::new();
        let limit = ORDERS_PER_SECOND_MAX as u32;
        for _ in 0..limit {
            assert!(times.has_room(Nanos(5), limit));
            times.push(Nanos(5));
        }
        assert!(!times.has_room(Nanos(5), limit));
        assert_eq!(times.in_last_second(Nanos(5)), limit);
        assert!(times.has_room(Nanos::from_secs(1).plus(Nanos(5)), limit));
    }
}
