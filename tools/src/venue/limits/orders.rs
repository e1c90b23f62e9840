//! The venue's limit of unfilled orders of an account.
//!
//! Owns: the counts of both windows. Does not: know orders. Invariants: windows are aligned to the
//! clock; a count is never below zero; a refused order counts nowhere. Source: Binance Spot
//! `faqs/order_count_decrement.md`; limits as exchangeInfo showed them in 2026-09.

use super::super::source::VenueMicros;
use super::SECOND_US;

/// Unfilled orders of an account in ten seconds.
pub const ORDERS_PER_TEN_SECONDS: u32 = 100;
/// Unfilled orders of an account in a day of UTC.
pub const ORDERS_PER_DAY: u32 = 200_000;
/// What an order gives back when its first fill comes while it rests; the venue's own example.
const MAKER_CREDIT: u32 = 5;
/// What an order gives back when its first fill comes at once.
const TAKER_CREDIT: u32 = 1;

const TEN_SECONDS_US: u64 = 10 * SECOND_US;
const DAY_US: u64 = 86_400 * SECOND_US;

/// The limits in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderLimits {
    pub(crate) per_ten_seconds: u32,
    pub(crate) per_day: u32,
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrdersExceeded {
    pub(crate) limit: u32,
    /// As the venue's sentence calls the window.
    pub(crate) interval: &'static str,
    pub(crate) retry_at: VenueMicros,
}

/// The counts of one account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OrderCount {
    ten_seconds: Window,
    day: Window,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    number: u64,
    count: u32,
}

impl Window {
    fn at(&mut self, now: VenueMicros, length_us: u64) -> &mut u32 {
        let number = now.0 / length_us;
        if self.number != number {
            *self = Self { number, count: 0 };
        }
        &mut self.count
    }
}

impl OrderCount {
    /// Counts of the ten seconds and of the day of `now`.
    pub(crate) fn counts(&mut self, now: VenueMicros) -> (u32, u32) {
        let ten_seconds = *self.ten_seconds.at(now, TEN_SECONDS_US);
        (ten_seconds, *self.day.at(now, DAY_US))
    }

    /// Whether one more order may be placed; the day, being longer to wait for, is named first.
    pub(crate) fn check(
        &mut self,
        now: VenueMicros,
        limits: OrderLimits,
    ) -> Result<(), OrdersExceeded> {
        let end = |length_us| VenueMicros((now.0 / length_us + 1) * length_us);
        let (ten_seconds, day) = self.counts(now);
        if day >= limits.per_day {
            return Err(OrdersExceeded {
                limit: limits.per_day,
                interval: "1 DAY",
                retry_at: end(DAY_US),
            });
        }
        if ten_seconds >= limits.per_ten_seconds {
            return Err(OrdersExceeded {
                limit: limits.per_ten_seconds,
                interval: "10 SECOND",
                retry_at: end(TEN_SECONDS_US),
            });
        }
        Ok(())
    }

    /// Counts an order.
    pub(crate) fn add(&mut self, now: VenueMicros) {
        *self.ten_seconds.at(now, TEN_SECONDS_US) += 1;
        *self.day.at(now, DAY_US) += 1;
    }

    /// Other clients of the account place what it may still place in these ten seconds.
    pub(crate) fn use_up(&mut self, now: VenueMicros, limits: OrderLimits) {
        let ten_seconds = self.ten_seconds.at(now, TEN_SECONDS_US);
        let left = limits.per_ten_seconds.saturating_sub(*ten_seconds);
        *ten_seconds += left;
        *self.day.at(now, DAY_US) += left;
    }

    /// Takes back an order that never reached the matching engine.
    pub(crate) fn remove(&mut self, added_at: VenueMicros, now: VenueMicros) {
        if added_at.0 / TEN_SECONDS_US == now.0 / TEN_SECONDS_US {
            let count = self.ten_seconds.at(now, TEN_SECONDS_US);
            *count = count.saturating_sub(1);
        }
        if added_at.0 / DAY_US == now.0 / DAY_US {
            let count = self.day.at(now, DAY_US);
            *count = count.saturating_sub(1);
        }
    }

    /// An order traded for the first time, whenever it was placed.
    pub(crate) fn first_fill(&mut self, now: VenueMicros, maker: bool) {
        let credit = if maker { MAKER_CREDIT } else { TAKER_CREDIT };
        for count in [
            self.ten_seconds.at(now, TEN_SECONDS_US),
            self.day.at(now, DAY_US),
        ] {
            *count = count.saturating_sub(credit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OrderLimits = OrderLimits {
        per_ten_seconds: 3,
        per_day: 5,
    };

    #[test]
    fn windows_are_aligned_and_the_longer_one_is_named_first() {
        let mut count = OrderCount::default();
        let midnight = VenueMicros(20_000 * DAY_US);
        let at = |seconds: u64| VenueMicros(midnight.0 + seconds * SECOND_US);
        for _ in 0..3 {
            assert_eq!(count.check(at(9), LIMITS), Ok(()));
            count.add(at(9));
        }
        let short = OrdersExceeded {
            limit: 3,
            interval: "10 SECOND",
            retry_at: at(10),
        };
        assert_eq!(count.check(at(9), LIMITS), Err(short));
        assert_eq!(count.counts(at(9)), (3, 3));
        for _ in 0..2 {
            assert_eq!(count.check(at(10), LIMITS), Ok(()));
            count.add(at(10));
        }
        let long = OrdersExceeded {
            limit: 5,
            interval: "1 DAY",
            retry_at: at(86_400),
        };
        assert_eq!(count.check(at(10), LIMITS), Err(long));
        assert_eq!(count.counts(at(86_400)), (0, 0));
    }

    #[test]
    fn orders_of_other_clients_leave_none_until_the_window_turns() {
        let mut count = OrderCount::default();
        let (now, later) = (VenueMicros(0), VenueMicros(TEN_SECONDS_US));
        count.add(now);
        count.use_up(now, LIMITS);
        assert_eq!(count.counts(now), (3, 3));
        assert!(count.check(now, LIMITS).is_err());
        count.use_up(now, LIMITS);
        assert_eq!(count.counts(now), (3, 3));
        assert_eq!(count.check(later, LIMITS), Ok(()));
    }

    #[test]
    fn first_fills_give_back_as_the_venues_examples_show() {
        let mut count = OrderCount::default();
        let now = VenueMicros(0);
        for _ in 0..5 {
            count.add(now);
        }
        count.first_fill(now, true);
        assert_eq!(count.counts(now), (0, 0));
        count.add(now);
        count.add(now);
        count.first_fill(now, false);
        assert_eq!(count.counts(now), (1, 1));
        count.first_fill(now, true);
        assert_eq!(count.counts(now), (0, 0), "never below zero");
        // An order of the last window gives back in this one.
        count.add(now);
        let later = VenueMicros(TEN_SECONDS_US);
        count.add(later);
        count.first_fill(later, false);
        assert_eq!(count.counts(later), (0, 1));
    }

    #[test]
    fn an_order_is_taken_back_from_the_windows_that_it_counts_in() {
        let mut count = OrderCount::default();
        let (now, later) = (VenueMicros(0), VenueMicros(TEN_SECONDS_US));
        count.add(now);
        count.remove(now, now);
        assert_eq!(count.counts(now), (0, 0));
        count.add(now);
        count.add(later);
        count.remove(now, later);
        assert_eq!(count.counts(later), (1, 1));
    }
}
