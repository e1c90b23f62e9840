//! The venue's limits on requests: what was spent, and when more may be.
//!
//! Owns: [`RequestBudget`] (weight a minute), [`OrderBudget`] (unfilled orders in aligned windows), [`Pace`]
//! (messages and connections in sliding windows), [`snapshot_plan`]. Does not: send anything or know what a
//! request is for beyond its [`Purpose`].
//! Invariants: in no minute of the venue's clock do we spend more than a purpose's part of its limit
//! ([`Purpose::percent`]), as long as our clock is within [`WINDOW_GUARD`] of the venue's; so cancels find at
//! least a tenth of every limit unused.
//!
//! The venue counts in windows aligned to the minute. Until the wall clock is known every 60 s count;
//! after that the window is the venue's minute, and what was spent close to its edge counts on both sides.
//! The venue's own count, which every reply carries, is believed when it is higher than ours: then
//! somebody else spends from the same address. A lower one is a reply from before a window's turn.

mod order_counts;
mod pace;

pub use order_counts::{OrderBudget, OrderLimit};
pub use pace::Pace;

use crate::limits::ORDER_MESSAGES_PER_SECOND_MAX;
use crate::units::Nanos;

labelled! {
    /// What a request is for, which says how much of a limit may be used when it is sent.
    pub enum Purpose {
        /// To know something: snapshots, the clock, where orders stand.
        Query = "query",
        /// To make or change an order.
        Order = "order",
        /// To take orders back.
        Cancel = "cancel",
    }
}

impl Purpose {
    /// How much of a limit may be used after such a request, in percent. What queries leave is for orders,
    /// what both leave is for cancels; the dead-man's connection cancels too.
    pub const fn percent(self) -> u32 {
        match self {
            Self::Query => SHARE_PERCENT,
            Self::Order => 90,
            Self::Cancel => 100,
        }
    }

    /// That much of a limit, at least one if there is a limit at all.
    pub const fn part(self, limit: u32) -> u32 {
        let part = (limit as u64 * self.percent() as u64 / 100) as u32;
        if part == 0 && limit > 0 { 1 } else { part }
    }
}

/// How much of a limit is used, for gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Used in the running window, ours and what is known of others.
    pub used: u32,
    /// Allowed by the venue.
    pub limit: u32,
}

impl Use {
    /// How much may still be used for this purpose.
    pub const fn headroom(&self, purpose: Purpose) -> u32 {
        purpose.part(self.limit).saturating_sub(self.used)
    }
}

/// Messages that we send on all orders links of a run, in any second.
pub type MessagePace = Pace<ORDER_MESSAGES_PER_SECOND_MAX>;

/// Seconds on either side of a window's edge that count into both windows: room for clock error
/// and for requests under way.
pub const WINDOW_GUARD: Nanos = Nanos::from_secs(2);

/// Part of the venue's limit that queries use. The rest is for orders, cancels, the dead-man's connection and
/// other programs behind the same address.
pub const SHARE_PERCENT: u32 = 80;

/// Part of the venue's limit that one snapshot of every instrument may cost. What is left of our
/// share pays for second tries, the clock, connecting, and the reconciliation of orders.
pub const SNAPSHOT_SHARE_PERCENT: u32 = 60;

/// Weight of a `time` request.
pub const TIME_WEIGHT: u32 = 1;

/// Weight of a connection to the websocket API.
pub const API_CONNECT_WEIGHT: u32 = 2;

/// How long to stop after "too many requests" without a time to come back: one window.
const RATE_LIMITED_WAIT: Nanos = Nanos::from_secs(60);

/// How long to stop after a ban without a time to come back: the venue's shortest ban.
const BANNED_WAIT: Nanos = Nanos::from_secs(120);

const NO_MINUTE: (Nanos, Nanos, u64) = (Nanos::ZERO, Nanos::ZERO, 0);

const MINUTE: u64 = Nanos::from_secs(60).0;
const SECOND: u64 = Nanos::from_secs(1).0;

/// Seconds remembered: a window, its guards, and the second that is just running.
const SECONDS: usize = 128;
const _: () = assert!(SECONDS as u64 * SECOND > MINUTE + 2 * WINDOW_GUARD.0 + 2 * SECOND);

/// Weight of a depth snapshot with this many levels a side.
pub const fn snapshot_weight(levels: u16) -> u32 {
    match levels {
        0..=100 => 5,
        101..=500 => 25,
        501..=1_000 => 50,
        1_001..=u16::MAX => 250,
    }
}

/// The deepest snapshot with which `instruments` books resync within one minute's weight:
/// levels a side. Books beyond what even the smallest allows wait for the next minute.
pub const fn snapshot_plan(instruments: usize, weight_per_minute: u32) -> u16 {
    let affordable = weight_per_minute as u64 * SNAPSHOT_SHARE_PERCENT as u64 / 100;
    let steps = [5_000, 1_000, 500];
    let mut position = 0;
    while position < steps.len() {
        if instruments as u64 * snapshot_weight(steps[position]) as u64 <= affordable {
            return steps[position];
        }
        position += 1;
    }
    100
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Which second of the engine's clock this is, counted from 1; zero when unused.
    number: u64,
    weight: u32,
}

/// The weight of one address, spent by one engine.
#[derive(Clone, Debug)]
pub struct RequestBudget {
    limit: u32,
    unix_ns_at_zero: Option<i64>,
    seconds: [Second; SECONDS],
    /// The first second that `counted` contains; every remembered one from it on is in.
    counted_from: u64,
    /// Their weight, so that a check before an order does not add up a minute.
    counted: u64,
    unanswered: u32,
    blocked_until: Nanos,
    /// The venue's minute of the last spending, so that the next one needs no division: since when it is, when it is
    /// over, and the first second that counts in it.
    minute: (Nanos, Nanos, u64),
}

impl RequestBudget {
    /// A budget of the venue's limit, nothing spent, wall clock unknown.
    pub fn new(weight_per_minute: u32) -> Self {
        Self {
            limit: weight_per_minute,
            unix_ns_at_zero: None,
            seconds: [Second::default(); SECONDS],
            counted_from: 1,
            counted: 0,
            unanswered: 0,
            blocked_until: Nanos::ZERO,
            minute: NO_MINUTE,
        }
    }

    /// Sets the wall clock: Unix nanoseconds at the engine's zero, as the venue's clock would show them.
    pub fn set_wall_clock(&mut self, unix_ns_at_zero: i64) {
        self.unix_ns_at_zero = Some(unix_ns_at_zero);
        self.minute = NO_MINUTE;
    }

    /// What queries may spend in any window.
    pub fn share(&self) -> u32 {
        Purpose::Query.part(self.limit)
    }

    /// How much of the limit is used.
    pub fn usage(&self, now: Nanos) -> Use {
        Use {
            used: self.spent(now),
            limit: self.limit,
        }
    }

    /// Weight spent in the window of `now`.
    #[inline]
    pub fn spent(&self, now: Nanos) -> u32 {
        u32::try_from(self.weight_from(self.first_second(now))).unwrap_or(u32::MAX)
    }

    /// Takes weight for a query that is about to be sent; refuses what the window does not hold.
    #[must_use = "a refused request must not be sent"]
    pub fn try_spend(&mut self, now: Nanos, weight: u32) -> bool {
        self.try_spend_for(now, Purpose::Query, weight)
    }

    /// As [`RequestBudget::try_spend`], for any purpose.
    #[must_use = "a refused request must not be sent"]
    pub fn try_spend_for(&mut self, now: Nanos, purpose: Purpose, weight: u32) -> bool {
        if self.ready_at_for(now, purpose, weight) > now {
            return false;
        }
        self.add(now, weight);
        self.unanswered += weight;
        true
    }

    /// Books weight that cannot be refused: a connection that is made anyway.
    pub fn spend_unasked(&mut self, now: Nanos, weight: u32) {
        self.add(now, weight);
    }

    /// The earliest time at which a query of this weight may be asked for again; `now` when it may be sent.
    pub fn ready_at(&self, now: Nanos, weight: u32) -> Nanos {
        self.ready_at_for(now, Purpose::Query, weight)
    }

    /// As [`RequestBudget::ready_at`], for any purpose.
    pub fn ready_at_for(&self, now: Nanos, purpose: Purpose, weight: u32) -> Nanos {
        if self.blocked_until > now {
            return self.blocked_until;
        }
        if self.spent(now).saturating_add(weight) <= purpose.part(self.limit) {
            return now;
        }
        match self.window_age(now) {
            Some(into) => now.plus(Nanos(MINUTE).since(into)),
            None => now.plus(Nanos(SECOND)),
        }
    }

    /// A request of this weight was answered, or given up.
    pub fn settle(&mut self, weight: u32) {
        debug_assert!(self.unanswered >= weight, "settled more than was spent");
        self.unanswered = self.unanswered.saturating_sub(weight);
    }

    /// A request of this weight, sent at `sent_at`, was answered with success and cost nothing: new orders and
    /// cancels that the venue carries out are free.
    pub fn settle_free(&mut self, sent_at: Nanos, weight: u32) {
        self.settle(weight);
        let number = sent_at.0 / SECOND + 1;
        let second = &mut self.seconds[(number % SECONDS as u64) as usize];
        if second.number == number {
            let given_back = weight.min(second.weight);
            second.weight -= given_back;
            if number >= self.counted_from {
                self.counted -= u64::from(given_back);
            }
        }
    }

    /// The venue's own count for the running minute, from a reply whose request is settled.
    pub fn correct(&mut self, now: Nanos, venue_count: u32, venue_limit: u32) {
        self.limit = self.limit.min(venue_limit);
        let known = self.spent(now);
        let actual = venue_count.saturating_add(self.unanswered);
        if actual > known {
            self.add(now, actual - known);
        }
    }

    /// The venue said that we ask too much: nothing is sent before `retry_after`, Unix milliseconds.
    pub fn block_rate_limited(&mut self, now: Nanos, retry_after: Option<u64>) {
        self.block(now, retry_after, RATE_LIMITED_WAIT);
    }

    /// The venue has banned our address until `retry_after`, Unix milliseconds.
    pub fn block_banned(&mut self, now: Nanos, retry_after: Option<u64>) {
        self.block(now, retry_after, BANNED_WAIT);
    }

    /// The venue refused a connection for our rate and wants `pause`, if it says.
    pub fn pause_rate_limited(&mut self, now: Nanos, pause: Option<Nanos>) {
        self.pause(now, pause.unwrap_or(RATE_LIMITED_WAIT));
    }

    /// The venue has banned our address for `pause`, if it says.
    pub fn pause_banned(&mut self, now: Nanos, pause: Option<Nanos>) {
        self.pause(now, pause.unwrap_or(BANNED_WAIT));
    }

    fn pause(&mut self, now: Nanos, pause: Nanos) {
        // Headers count whole seconds.
        let until = now.plus(pause).plus(WINDOW_GUARD);
        self.blocked_until = self.blocked_until.max(until);
    }

    /// Until when the venue wants to hear nothing; in the past when it never said so.
    pub fn blocked_until(&self) -> Nanos {
        self.blocked_until
    }

    fn block(&mut self, now: Nanos, retry_after_unix_ms: Option<u64>, otherwise: Nanos) {
        let named = match (retry_after_unix_ms, self.unix_ns_at_zero) {
            (Some(unix_ms), Some(at_zero)) => {
                let engine_ns = i128::from(unix_ms) * 1_000_000 - i128::from(at_zero);
                u64::try_from(engine_ns)
                    .ok()
                    .map(|ns| Nanos(ns).plus(WINDOW_GUARD))
            }
            (None, _) | (_, None) => None,
        };
        let until = named.filter(|at| *at > now).unwrap_or(now.plus(otherwise));
        self.blocked_until = self.blocked_until.max(until);
    }

    fn add(&mut self, now: Nanos, weight: u32) {
        if !self.is_this_minute(now)
            && let Some(into) = self.window_age(now)
        {
            let from = now.since(into);
            let until = now.plus(Nanos(MINUTE - into.0));
            // At the engine's start the minute began before there was a time for it.
            if from.plus(into) == now {
                self.minute = (from, until, self.first_second(now));
            }
        }
        // Before a second's place is used again its weight has left the count: it is older than any window.
        let from = self.first_second(now);
        self.counted = self.weight_from(from);
        self.counted_from = from;
        let number = now.0 / SECOND + 1;
        let second = &mut self.seconds[(number % SECONDS as u64) as usize];
        if second.number != number {
            *second = Second { number, weight: 0 };
        }
        let before = second.weight;
        second.weight = before.saturating_add(weight);
        self.counted += u64::from(second.weight - before);
    }

    /// The first second that counts now.
    #[inline]
    fn first_second(&self, now: Nanos) -> u64 {
        if self.is_this_minute(now) {
            return self.minute.2;
        }
        self.window_start(now).0 / SECOND + 1
    }

    #[inline]
    fn is_this_minute(&self, now: Nanos) -> bool {
        self.minute.0 <= now && now < self.minute.1
    }

    /// Weight of the remembered seconds from `from` on.
    #[inline]
    fn weight_from(&self, from: u64) -> u64 {
        match from.checked_sub(self.counted_from) {
            Some(0) => self.counted,
            Some(gone) if gone < SECONDS as u64 => {
                let left = (self.counted_from..from).map(|number| {
                    let second = self.seconds[(number % SECONDS as u64) as usize];
                    u64::from(second.weight) * u64::from(second.number == number)
                });
                self.counted - left.sum::<u64>()
            }
            // Long ago, or a clock that was set made the window longer.
            Some(_) | None => self.add_up(from),
        }
    }

    #[cold]
    fn add_up(&self, from: u64) -> u64 {
        let counts = self.seconds.iter().filter(|second| second.number >= from);
        counts.map(|second| u64::from(second.weight)).sum()
    }

    /// The start of the span that counts now, on the engine's clock.
    fn window_start(&self, now: Nanos) -> Nanos {
        match self.window_age(now) {
            Some(into) => now.since(into.plus(Nanos(2 * WINDOW_GUARD.0))),
            None => now.since(Nanos(MINUTE + WINDOW_GUARD.0)),
        }
    }

    /// Time since the venue's minute turned for certain: the guard after our clock says so. `None`
    /// while the wall clock is unknown.
    fn window_age(&self, now: Nanos) -> Option<Nanos> {
        let wall = self.unix_ns_at_zero?.saturating_add_unsigned(now.0);
        let wall = wall.saturating_sub_unsigned(WINDOW_GUARD.0);
        Some(Nanos(wall.rem_euclid(MINUTE as i64) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitter::Jitter;
    use proptest::prelude::*;

    fn secs(secs: u64) -> Nanos {
        Nanos::from_secs(secs)
    }

    #[test]
    fn all_instruments_fit_one_minute() {
        let cases = [
            (1, 5_000),
            (2, 5_000),
            (14, 5_000),
            (15, 1_000),
            (64, 1_000),
            (72, 1_000),
            (73, 500),
            (144, 500),
            (145, 100),
            (256, 100),
        ];
        for (instruments, levels) in cases {
            assert_eq!(snapshot_plan(instruments, 6_000), levels, "{instruments}");
            let cost = instruments as u32 * snapshot_weight(levels);
            assert!(cost <= 6_000 * SNAPSHOT_SHARE_PERCENT / 100);
        }
    }

    #[test]
    fn before_the_wall_clock_is_known_every_minute_counts() {
        let mut budget = RequestBudget::new(1_000);
        assert!(budget.try_spend(secs(10), 800));
        assert!(!budget.try_spend(secs(10), 1));
        assert!(!budget.try_spend(secs(70), 1));
        assert!(budget.try_spend(secs(73), 800));
    }

    #[test]
    fn a_known_minute_turns_with_its_guard() {
        let mut budget = RequestBudget::new(1_000);
        // The engine's zero is 30 s into a minute: the venue's windows turn at 30, 90, ...
        budget.set_wall_clock(1_700_000_010_000_000_000);
        assert_eq!(1_700_000_010 % 60, 30);
        assert!(budget.try_spend(secs(3), 800));
        assert_eq!(budget.ready_at(secs(20), 1), secs(32));
        assert!(!budget.try_spend(secs(31), 1));
        assert!(budget.try_spend(secs(32), 300), "the next window");
        // Spent just before the edge: it counts on both sides.
        assert!(budget.try_spend(secs(89), 500));
        assert_eq!(budget.spent(secs(93)), 500);
        assert_eq!(budget.spent(secs(152)), 0);
    }

    #[test]
    fn the_venue_is_believed_when_it_counts_more() {
        let mut budget = RequestBudget::new(1_000);
        assert!(budget.try_spend(secs(1), 50));
        assert!(budget.try_spend(secs(1), 50));
        budget.settle(50);
        budget.correct(secs(2), 50, 6_000);
        assert_eq!(budget.spent(secs(2)), 100, "the other 50 are under way");
        budget.settle(50);
        budget.correct(secs(2), 400, 500);
        assert_eq!(budget.spent(secs(2)), 400);
        assert_eq!(budget.share(), 400, "the smaller limit wins");
        budget.correct(secs(2), 2, 500);
        assert_eq!(budget.spent(secs(2)), 400, "a lower count is an old one");
    }

    #[test]
    fn a_block_holds_until_the_time_the_venue_names() {
        let mut budget = RequestBudget::new(1_000);
        budget.block_rate_limited(secs(5), Some(1_700_000_100_000));
        assert_eq!(
            budget.ready_at(secs(6), 1),
            secs(65),
            "no wall clock: one window"
        );

        let mut budget = RequestBudget::new(1_000);
        budget.set_wall_clock(1_700_000_000_000_000_000);
        budget.block_banned(secs(5), Some(1_700_000_500_000));
        assert_eq!(budget.ready_at(secs(6), 1), secs(502));
        budget.block_rate_limited(secs(7), Some(1_700_000_010_000));
        assert_eq!(budget.blocked_until(), secs(502), "a block never shortens");
        budget.block_banned(secs(600), Some(3));
        assert_eq!(
            budget.blocked_until(),
            secs(720),
            "a time in the past is not believed"
        );
        assert!(!budget.try_spend(secs(719), 1));
        assert!(budget.try_spend(secs(720), 1));
    }

    #[test]
    fn what_the_venue_carries_out_for_nothing_is_given_back() {
        let mut budget = RequestBudget::new(100);
        assert!(budget.try_spend_for(secs(5), Purpose::Order, 1));
        assert!(budget.try_spend_for(secs(5), Purpose::Order, 1));
        budget.settle_free(secs(5), 1);
        assert_eq!(
            budget.usage(secs(6)),
            Use {
                used: 1,
                limit: 100
            }
        );
        budget.settle(1);
        assert_eq!(budget.spent(secs(6)), 1, "a refused one costs");
        // Long after the second is forgotten there is nothing to give back.
        assert!(budget.try_spend_for(secs(7), Purpose::Cancel, 1));
        assert!(budget.try_spend_for(secs(7 + SECONDS as u64), Purpose::Order, 3));
        budget.settle_free(secs(7), 1);
        assert_eq!(budget.spent(secs(7 + SECONDS as u64)), 3);
    }

    #[test]
    fn cancels_may_use_what_others_leave() {
        let mut budget = RequestBudget::new(100);
        assert!(budget.try_spend_for(secs(1), Purpose::Query, 80));
        assert!(!budget.try_spend_for(secs(1), Purpose::Query, 1));
        assert!(budget.try_spend_for(secs(1), Purpose::Order, 10));
        assert!(!budget.try_spend_for(secs(1), Purpose::Order, 1));
        for _ in 0..10 {
            assert_eq!(budget.ready_at_for(secs(1), Purpose::Cancel, 1), secs(1));
            assert!(budget.try_spend_for(secs(1), Purpose::Cancel, 1));
        }
        assert!(!budget.try_spend_for(secs(1), Purpose::Cancel, 1));
        let use_of = |used| Use { used, limit: 100 };
        assert_eq!(use_of(85).headroom(Purpose::Query), 0);
        assert_eq!(use_of(85).headroom(Purpose::Order), 5);
        assert_eq!(use_of(85).headroom(Purpose::Cancel), 15);
        assert_eq!(use_of(120).headroom(Purpose::Cancel), 0);
        assert_eq!(Purpose::Order.part(1), 1, "a limit of one is one");
        assert_eq!(Purpose::Order.part(0), 0);
    }

    /// Greedy queries and orders never take what a cancel needs, whatever the minute brings.
    #[test]
    fn a_tenth_of_every_minute_is_left_to_cancels() {
        for seed in 0..200 {
            let mut jitter = Jitter::new(seed);
            let mut budget = RequestBudget::new(1_000);
            budget.set_wall_clock(1_700_000_010_000_000_000 + jitter.below(secs(60)).0 as i64);
            let mut now = Nanos::ZERO;
            while now < secs(300) {
                let (purpose, weight) = match jitter.below(Nanos(3)).0 {
                    0 => (Purpose::Query, 20),
                    1 => (Purpose::Order, 4),
                    _ => (Purpose::Order, 1),
                };
                if budget.try_spend_for(now, purpose, weight) {
                    if jitter.below(Nanos(2)).0 == 0 {
                        budget.settle_free(now, weight);
                    } else {
                        budget.settle(weight);
                    }
                }
                assert!(budget.spent(now) <= 900, "seed {seed}");
                assert_eq!(budget.ready_at_for(now, Purpose::Cancel, 100), now);
                now = now.plus(jitter.below(Nanos::from_ms(40)));
            }
        }
    }

    proptest! {
        /// The running sum is what adding up says, whatever is spent, given back and corrected, across jumps of
        /// the engine's clock over remembered seconds and of the venue's in both directions.
        #[test]
        fn the_running_sum_is_the_sum(
            steps in proptest::collection::vec((0u8..6, 0u64..2_000, 0u32..60), 1..300),
            long in 0u64..200_000,
        ) {
            let mut budget = RequestBudget::new(1_000_000);
            let mut now = Nanos::ZERO;
            let mut sent = Vec::new();
            for (what, by_ms, weight) in steps {
                now = now.plus(Nanos::from_ms(by_ms));
                match what {
                    0 if budget.try_spend_for(now, Purpose::Cancel, weight) => {
                        sent.push((now, weight));
                    }
                    0 => {}
                    1 => {
                        if let Some((at, weight)) = sent.pop() {
                            budget.settle_free(at, weight);
                        }
                    }
                    2 => budget.spend_unasked(now, weight),
                    3 => budget.correct(now, weight * 20, 1_000_000),
                    4 if weight < 6 => now = now.plus(Nanos::from_ms(long)),
                    5 if weight < 6 => {
                        let at_zero = 1_700_000_010_000_000_000 + i64::from(weight) * 13_000_000_000;
                        budget.set_wall_clock(at_zero - by_ms as i64 * 10_000_000);
                    }
                    _ => {}
                }
                for ahead_secs in [0, 1, 5, 61, 130] {
                    let at = now.plus(secs(ahead_secs));
                    let from = budget.first_second(at);
                    prop_assert_eq!(u64::from(budget.spent(at)), budget.add_up(from));
                }
            }
        }
    }

    /// A greedy client against the venue's own counter, with clock error and delay inside the guard.
    #[test]
    fn no_venue_minute_is_overspent() {
        const FIRST_MINUTE: i64 = 1_699_999_980_000_000_000;
        assert_eq!(FIRST_MINUTE % MINUTE as i64, 0);
        for seed in 0..300 {
            let mut jitter = Jitter::new(seed);
            let mut budget = RequestBudget::new(6_000);
            let at_zero = FIRST_MINUTE + jitter.below(secs(60)).0 as i64;
            let skew_ns = jitter.below(secs(2)).0 as i64 - Nanos::from_secs(1).0 as i64;
            let mut counts = [0u32; 13];
            let mut now = Nanos::ZERO;
            let known_at = jitter.below(secs(90));
            while now < secs(600) {
                if now >= known_at {
                    budget.set_wall_clock(at_zero);
                }
                let weight = [1, 5, 25, 50, 250][jitter.below(Nanos(5)).0 as usize];
                if budget.try_spend(now, weight) {
                    budget.settle(weight);
                    let delay = jitter.below(Nanos::from_ms(900)).0 as i64;
                    let venue = at_zero + skew_ns + now.0 as i64 + delay;
                    let minute = (venue - FIRST_MINUTE).div_euclid(MINUTE as i64) + 1;
                    counts[minute as usize] += weight;
                }
                now = now.plus(jitter.below(Nanos::from_ms(200)));
            }
            assert!(
                counts.iter().all(|count| *count <= 4_800),
                "seed {seed}: {counts:?}"
            );
            assert!(
                counts.iter().any(|count| *count > 3_500),
                "seed {seed}: never used {counts:?}"
            );
        }
    }
}
