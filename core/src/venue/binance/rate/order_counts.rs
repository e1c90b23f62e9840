//! The venue's limits on unfilled orders: so many in 10 seconds, so many in a day.
//!
//! Owns: [`OrderBudget`]. Does not: count cancels, which the venue does not count here, or request weight.
//! Invariant: in no window of the venue's clock do we send more than [`Purpose::Order`]'s part of its limit,
//! as long as the venue counts an order within the window's guard of the time that we sent it at. While the
//! venue's clock is unknown no order is ready: none could be stamped either.
//!
//! Windows are aligned to the venue's clock. An order that is sent close to an edge counts on both sides. The
//! venue's count comes with its answers. In short windows it is believed when it is higher than ours, since
//! answers overtake each other and the window is soon over. In long ones it is believed both ways: fills take
//! orders off the count (a maker's first fill several), and a day's count that only grew would end the day
//! early. It is then off by at most the orders under way.

use super::{Purpose, Use, WINDOW_GUARD};
use crate::limits::ORDER_WINDOWS_MAX;
use crate::units::Nanos;
use crate::venue::binance::codec::orders::OrderCount;

/// A limit on unfilled orders, as `exchangeInfo` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLimit {
    /// How long the window is; aligned to the venue's clock.
    pub window: Nanos,
    /// Orders that it holds.
    pub limit: u32,
}

/// A window longer than this is corrected in both directions.
const SHORT_WINDOW: Nanos = Nanos::from_secs(60);

/// Part of a window that counts into its neighbour, at either edge, up to [`WINDOW_GUARD`].
const GUARD_PART: u64 = 20;
const _: () = assert!(
    GUARD_PART > 2,
    "both guards together are shorter than a window"
);

/// Neighbouring windows that are remembered: the running one and, near an edge, the one before or after.
const REMEMBERED: usize = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Which window since 1970, counted from 1; zero when unused.
    number: u64,
    orders: u32,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    span: u64,
    limit: u32,
    counts: [Count; REMEMBERED],
    /// The venue wants no order before this.
    blocked_until: Nanos,
    /// The span of the last order, so that the next one needs no division.
    last_seen: Stretch,
}

/// A stretch of time in which orders count in the same windows.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: Nanos,
    /// The first time that is not of it.
    until: Nanos,
    /// First and last window.
    numbers: (u64, u64),
}

impl Stretch {
    const NONE: Self = Self {
        from: Nanos::ZERO,
        until: Nanos::ZERO,
        numbers: (0, 0),
    };

    #[inline]
    fn contains(&self, now: Nanos) -> bool {
        self.from <= now && now < self.until
    }
}

/// The unfilled orders of one account, as far as one engine sends them.
#[derive(Clone, Debug)]
pub struct OrderBudget {
    windows: Vec<Window>,
    unix_ns_at_zero: Option<i64>,
    unanswered: u32,
}

impl OrderBudget {
    /// A budget of these limits, nothing sent, the venue's clock unknown. Without limits everything is ready.
    ///
    /// # Panics
    /// When there are more than [`ORDER_WINDOWS_MAX`], or one of no length: `exchange_info` reads none such.
    pub fn new(limits: &[OrderLimit]) -> Self {
        assert!(limits.len() <= ORDER_WINDOWS_MAX, "windows are bounded");
        assert!(limits.iter().all(|limit| limit.window > Nanos::ZERO));
        Self {
            windows: limits
                .iter()
                .map(|limit| Window {
                    span: limit.window.0,
                    limit: limit.limit,
                    counts: [Count::default(); REMEMBERED],
                    blocked_until: Nanos::ZERO,
                    last_seen: Stretch::NONE,
                })
                .collect(),
            unix_ns_at_zero: None,
            unanswered: 0,
        }
    }

    /// Sets the wall clock: Unix nanoseconds at the engine's zero, as the venue's clock would show them.
    pub fn set_wall_clock(&mut self, unix_ns_at_zero: i64) {
        self.unix_ns_at_zero = Some(unix_ns_at_zero);
        for window in &mut self.windows {
            window.last_seen = Stretch::NONE;
        }
    }

    /// Whether a new order may be sent now.
    #[inline]
    pub fn is_ready(&self, now: Nanos) -> bool {
        let Some(at_zero) = self.unix_ns_at_zero else {
            return false;
        };
        let mut windows = self.windows.iter();
        windows.all(|window| window.has_room(now, window.numbers(now, at_zero)))
    }

    /// The earliest time at which a new order may be sent; `now` when it may be sent at once, and
    /// [`Nanos::MAX`] while the venue's clock is unknown.
    pub fn ready_at(&self, now: Nanos) -> Nanos {
        let Some(at_zero) = self.unix_ns_at_zero else {
            return Nanos::MAX;
        };
        self.windows
            .iter()
            .map(|window| window.ready_at(now, at_zero))
            .fold(now, Nanos::max)
    }

    /// Takes one order that is about to be sent out of every window; refuses what one of them does not hold.
    #[must_use = "a refused order must not be sent"]
    pub fn try_spend(&mut self, now: Nanos) -> bool {
        if !self.is_ready(now) {
            return false;
        }
        let at_zero = self.unix_ns_at_zero.expect("else nothing is ready");
        for window in &mut self.windows {
            if !window.last_seen.contains(now) {
                window.last_seen = window.stretch(now, at_zero);
            }
            let (first, last) = window.last_seen.numbers;
            for number in first..=last {
                let count = window.count_mut(number);
                count.orders = count.orders.saturating_add(1);
            }
        }
        self.unanswered += 1;
        true
    }

    /// An order was answered, however, or given up.
    pub fn settle(&mut self) {
        debug_assert!(self.unanswered > 0, "settled more than was sent");
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// The venue's own count, from an answer whose order is settled. Windows that we do not know are skipped.
    pub fn correct(&mut self, now: Nanos, venue: OrderCount) {
        let Some(at_zero) = self.unix_ns_at_zero else {
            return;
        };
        let unanswered = self.unanswered;
        let Some(window) = self.find(venue.window) else {
            return;
        };
        window.limit = venue.limit;
        // Near an edge it may be the count of the window that is just over: there it does no harm.
        let (number, _) = window.numbers(now, at_zero);
        let long = window.span > SHORT_WINDOW.0;
        let count = window.count_mut(number);
        let actual = venue.used.saturating_add(unanswered);
        if long || actual > count.orders {
            count.orders = actual;
        }
    }

    /// The venue refused an order because `window` is full, or one that it did not name, and told when to come
    /// back, Unix milliseconds, if it did: nothing is ready before that, or before the window is over.
    pub fn block(&mut self, now: Nanos, window: Option<Nanos>, retry_after: Option<u64>) {
        let Some(at_zero) = self.unix_ns_at_zero else {
            return;
        };
        let named = window.and_then(|named| self.find(named).map(|found| found.span));
        let told = retry_after
            .map(|unix_ms| i128::from(unix_ms) * 1_000_000 - i128::from(at_zero))
            .and_then(|ns| u64::try_from(ns).ok())
            .map(Nanos)
            .filter(|at| *at > now);
        // A window that was not named is taken to be the shortest: the others are corrected by counts.
        let shortest = self.windows.iter().map(|window| window.span).min();
        let Some(window) = self
            .windows
            .iter_mut()
            .find(|window| Some(window.span) == named.or(shortest))
        else {
            return;
        };
        let (_, last) = window.numbers(now, at_zero);
        let over = window.end(last, at_zero);
        let until = told.map_or(over, |at| at.plus(Nanos(window.guard())));
        window.blocked_until = window.blocked_until.max(until);
    }

    /// How much of each limit is used, with the length of its window.
    pub fn usage(&self, now: Nanos) -> impl Iterator<Item = (Nanos, Use)> {
        let at_zero = self.unix_ns_at_zero;
        self.windows.iter().map(move |window| {
            let used = at_zero.map_or(0, |at_zero| window.used(now, at_zero));
            let limit = window.limit;
            (Nanos(window.span), Use { used, limit })
        })
    }

    fn find(&mut self, span: Nanos) -> Option<&mut Window> {
        self.windows.iter_mut().find(|window| window.span == span.0)
    }
}

impl Window {
    /// How far the venue's count of an order may lie from the time that we sent it at.
    fn guard(&self) -> u64 {
        (self.span / GUARD_PART).min(WINDOW_GUARD.0)
    }

    /// The windows that an order sent now may count in.
    #[inline]
    fn numbers(&self, now: Nanos, at_zero: i64) -> (u64, u64) {
        if self.last_seen.contains(now) {
            self.last_seen.numbers
        } else {
            self.stretch(now, at_zero).numbers
        }
    }

    /// The same, and since when and until when these are the windows.
    fn stretch(&self, now: Nanos, at_zero: i64) -> Stretch {
        let guard = self.guard();
        let latest = at_zero.saturating_add_unsigned(now.0);
        let latest = latest.saturating_add_unsigned(guard);
        // One division for both: two guards are a part of a window.
        let span = i64::try_from(self.span).unwrap_or(i64::MAX);
        let last = latest.div_euclid(span);
        let into = latest - last * span;
        let first = last - i64::from(into < 2 * guard as i64);
        let number = |from_zero: i64| u64::try_from(from_zero + 1).unwrap_or(0).max(1);
        // Within the span: in the guards both windows, between them one.
        let guards = 2 * guard as i64;
        let (begun, ends) = if into < guards {
            (into, guards)
        } else {
            (into - guards, span)
        };
        Stretch {
            from: now.since(Nanos(begun as u64)),
            until: now.plus(Nanos((ends - into) as u64)),
            numbers: (number(first), number(last)),
        }
    }

    /// Whether nothing stands against one more order in these windows, which are one or two.
    #[inline]
    fn has_room(&self, now: Nanos, (first, last): (u64, u64)) -> bool {
        let part = Purpose::Order.part(self.limit);
        self.blocked_until <= now
            && self.count(first) < part
            && (first == last || self.count(last) < part)
    }

    /// When a window is certainly over, on the engine's clock.
    fn end(&self, number: u64, at_zero: i64) -> Nanos {
        let wall = i128::from(number) * i128::from(self.span) + i128::from(self.guard());
        let engine = wall - i128::from(at_zero);
        Nanos(u64::try_from(engine.max(0)).unwrap_or(u64::MAX))
    }

    fn ready_at(&self, now: Nanos, at_zero: i64) -> Nanos {
        let mut at = now.max(self.blocked_until);
        // The windows that an order may count in are at most two, and both may be full.
        for _ in 0..REMEMBERED {
            let (first, last) = self.numbers(at, at_zero);
            let full = |number: u64| self.count(number) >= Purpose::Order.part(self.limit);
            match (first..=last).rev().find(|number| full(*number)) {
                Some(number) => at = self.end(number, at_zero),
                None => break,
            }
        }
        at
    }

    fn used(&self, now: Nanos, at_zero: i64) -> u32 {
        let (first, last) = self.numbers(now, at_zero);
        (first..=last)
            .map(|number| self.count(number))
            .max()
            .unwrap_or(0)
    }

    fn count(&self, number: u64) -> u32 {
        let count = self.counts[(number % REMEMBERED as u64) as usize];
        if count.number == number {
            count.orders
        } else {
            0
        }
    }

    fn count_mut(&mut self, number: u64) -> &mut Count {
        let count = &mut self.counts[(number % REMEMBERED as u64) as usize];
        if count.number != number {
            *count = Count { number, orders: 0 };
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitter::Jitter;
    use proptest::prelude::*;

    const TEN_SECONDS: Nanos = Nanos::from_secs(10);
    const DAY: Nanos = Nanos::from_secs(86_400);
    /// 22:13:20 of a day, at the start of a 10 s window.
    const AT_ZERO: i64 = 1_700_000_000_000_000_000;

    fn budget(ten_seconds: u32, day: u32) -> OrderBudget {
        let mut budget = OrderBudget::new(&[
            OrderLimit {
                window: TEN_SECONDS,
                limit: ten_seconds,
            },
            OrderLimit {
                window: DAY,
                limit: day,
            },
        ]);
        budget.set_wall_clock(AT_ZERO);
        budget
    }

    fn ms(ms: u64) -> Nanos {
        Nanos::from_ms(ms)
    }

    fn count(window: Nanos, used: u32, limit: u32) -> OrderCount {
        OrderCount {
            window,
            used,
            limit,
        }
    }

    proptest! {
        /// The windows on both sides of a guard are those that two divisions find.
        #[test]
        fn windows_are_those_of_the_guards_ends(
            span in 1u64..200_000_000_000_000,
            now in 0u64..1 << 50,
            at_zero in -1i64 << 50..1 << 61,
        ) {
            let window = Window {
                span,
                limit: 1,
                counts: [Count::default(); REMEMBERED],
                blocked_until: Nanos::ZERO,
                last_seen: Stretch::NONE,
            };
            let wall = i128::from(at_zero) + i128::from(now);
            let guard = i128::from(window.guard());
            let number = |wall: i128| (wall.div_euclid(i128::from(span)) + 1).max(1) as u64;
            let expected = (number(wall - guard), number(wall + guard));
            prop_assert_eq!(window.numbers(Nanos(now), at_zero), expected);
            // And they are so for a whole stretch, and not a nanosecond longer.
            let stretch = window.stretch(Nanos(now), at_zero);
            prop_assert!(stretch.contains(Nanos(now)));
            for (at, is_in) in [
                (stretch.from, true),
                (Nanos(stretch.until.0 - 1), true),
                (stretch.until, false),
            ] {
                let numbers = window.stretch(at, at_zero).numbers;
                prop_assert!(!is_in || numbers == expected);
                prop_assert!(is_in || numbers != expected || expected.0 == 1);
            }
        }
    }

    #[test]
    fn nothing_is_ready_before_the_venues_clock_is_known() {
        let mut budget = OrderBudget::new(&[]);
        assert_eq!(budget.ready_at(ms(1)), Nanos::MAX);
        assert!(!budget.try_spend(ms(1)));
        budget.set_wall_clock(AT_ZERO);
        assert!(budget.try_spend(ms(1)), "no limits, no bounds");
        budget.correct(ms(2), count(TEN_SECONDS, 1, 1));
        budget.block(ms(2), Some(TEN_SECONDS), None);
        assert_eq!(budget.ready_at(ms(3)), ms(3));
    }

    #[test]
    fn a_window_holds_nine_tenths_and_turns_with_the_venues_clock() {
        let mut budget = budget(10, 1_000);
        for _ in 0..9 {
            assert!(budget.try_spend(ms(1_000)));
        }
        assert!(!budget.try_spend(ms(1_000)));
        assert_eq!(
            budget.ready_at(ms(1_000)),
            ms(10_500),
            "the guard is half a second"
        );
        let usage: Vec<_> = budget.usage(ms(1_000)).collect();
        assert_eq!(usage[0], (TEN_SECONDS, Use { used: 9, limit: 10 }));
        assert_eq!(
            usage[1],
            (
                DAY,
                Use {
                    used: 9,
                    limit: 1_000
                }
            )
        );
        // Close to the edge it counts on both sides.
        assert!(budget.try_spend(ms(10_500)));
        for _ in 0..8 {
            assert!(budget.try_spend(ms(19_600)));
        }
        assert_eq!(budget.ready_at(ms(19_700)), ms(20_500));
        assert_eq!(
            budget.usage(ms(20_600)).next().map(|(_, it)| it.used),
            Some(8)
        );
    }

    #[test]
    fn a_short_window_believes_the_higher_count_and_a_long_one_the_venue() {
        let mut budget = budget(100, 1_000);
        for _ in 0..20 {
            assert!(budget.try_spend(ms(1_000)));
        }
        budget.settle();
        budget.correct(ms(1_100), count(TEN_SECONDS, 1, 100));
        budget.correct(ms(1_100), count(DAY, 501, 1_000));
        let used: Vec<_> = budget.usage(ms(1_200)).map(|(_, it)| it.used).collect();
        assert_eq!(used, [20, 520], "19 are under way");
        for _ in 0..19 {
            budget.settle();
        }
        budget.correct(ms(1_300), count(TEN_SECONDS, 95, 100));
        assert!(!budget.try_spend(ms(1_300)), "somebody else on the account");
        // Fills took orders off the day's count.
        budget.correct(ms(1_300), count(DAY, 30, 500));
        let used: Vec<_> = budget.usage(ms(1_400)).map(|(_, it)| it).collect();
        assert_eq!(
            used,
            [
                Use {
                    used: 95,
                    limit: 100
                },
                Use {
                    used: 30,
                    limit: 500
                }
            ]
        );
    }

    #[test]
    fn an_old_windows_count_does_not_fill_the_new_one() {
        let mut budget = budget(10, 1_000);
        budget.correct(ms(10_100), count(TEN_SECONDS, 9, 10));
        assert_eq!(
            budget.ready_at(ms(10_200)),
            ms(10_500),
            "it is the old window's"
        );
        assert!(budget.try_spend(ms(10_500)));
    }

    #[test]
    fn a_refusal_blocks_the_window_that_it_names() {
        let mut budget = budget(10, 1_000);
        budget.block(ms(3_000), Some(TEN_SECONDS), None);
        assert_eq!(budget.ready_at(ms(3_000)), ms(10_500));
        // A time that the venue names counts, with the guard; one in the past does not.
        budget.block(
            ms(11_000),
            Some(TEN_SECONDS),
            Some(AT_ZERO as u64 / 1_000_000 + 12_000),
        );
        assert_eq!(budget.ready_at(ms(11_000)), ms(12_500));
        budget.block(ms(13_000), None, Some(5));
        assert_eq!(
            budget.ready_at(ms(13_000)),
            ms(20_500),
            "the shortest, to its end"
        );
        let midnight = (DAY.0 as i64 - AT_ZERO % DAY.0 as i64) as u64;
        budget.block(ms(21_000), Some(DAY), None);
        assert_eq!(
            budget.ready_at(ms(21_000)),
            Nanos(midnight).plus(WINDOW_GUARD)
        );
    }

    /// A greedy sender against the venue's own counters, with clock error and delay inside the guard.
    #[test]
    fn no_window_of_the_venue_is_overspent() {
        const LIMIT: u32 = 50;
        for seed in 0..300 {
            let mut jitter = Jitter::new(seed);
            let mut budget = budget(LIMIT, 1_000_000);
            let skew_ns = jitter.below(ms(400)).0 as i64 - ms(200).0 as i64;
            let start = AT_ZERO - AT_ZERO % TEN_SECONDS.0 as i64;
            let mut counts = [0u32; 40];
            let mut under_way: Vec<Nanos> = Vec::new();
            let mut now = Nanos::ZERO;
            let mut greedy = true;
            while now < Nanos::from_secs(300) {
                if jitter.below(Nanos(200)).0 == 0 {
                    greedy = !greedy;
                }
                if greedy && budget.try_spend(now) {
                    let delay = jitter.below(ms(250)).0 as i64;
                    let venue = AT_ZERO + skew_ns + now.0 as i64 + delay;
                    let window = (venue - start).div_euclid(TEN_SECONDS.0 as i64) + 1;
                    counts[window as usize] += 1;
                    under_way.push(now.plus(ms(500)));
                    // An answer with the count of its window, some time later.
                    if jitter.below(Nanos(4)).0 == 0 {
                        let used = counts[window as usize];
                        budget.correct(now.plus(ms(1)), count(TEN_SECONDS, used, LIMIT));
                    }
                }
                while under_way.first().is_some_and(|at| *at <= now) {
                    under_way.remove(0);
                    budget.settle();
                }
                now = now.plus(jitter.below(ms(120)));
            }
            let allowed = Purpose::Order.part(LIMIT);
            assert!(
                counts.iter().all(|count| *count <= allowed),
                "seed {seed}: {counts:?}"
            );
            assert!(
                counts.iter().any(|count| *count > 30),
                "seed {seed}: {counts:?}"
            );
        }
    }

    /// The time that is named is the first at which an order may be sent.
    #[test]
    fn ready_at_is_exact() {
        for seed in 0..200 {
            let mut jitter = Jitter::new(seed);
            let mut budget = budget(5, 12);
            let mut now = Nanos::ZERO;
            for _ in 0..60 {
                let at = budget.ready_at(now);
                if at == now {
                    assert!(budget.try_spend(now));
                } else {
                    assert!(!budget.clone().try_spend(Nanos(at.0 - 1)), "seed {seed}");
                    now = at;
                    assert!(budget.try_spend(now), "seed {seed}: {budget:?}");
                }
                budget.settle();
                now = now.plus(jitter.below(ms(2_000)));
            }
        }
    }
}
