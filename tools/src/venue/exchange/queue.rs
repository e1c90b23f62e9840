//! Where a resting order stands among the public quantity at its price.
//!
//! Owns: [`Queue`], the model of one order's place. Does not: know prices or other orders.
//!
//! The public book shows one number a level, not who stands where, so an order's place is an
//! estimate. It joins behind everything visible. Trades at its price eat from the front. What a
//! level loses beyond its trades was cancelled somewhere in it; each unit is taken to be as likely
//! as any other, so the part ahead shrinks in proportion, rounded up. What a level gains joins
//! behind. This is the simplest of the probability queue models in hftbacktest's sense (there, a
//! function of the shares in front and behind; here, the shares themselves).
//!
//! Levels are compared once a published diff, not once a ticker: a ticker may run ahead of the
//! trades that explain it, and a loss seen before its trades would be counted twice. For the same
//! reason an order that joins between a change of the book and the print of its trade is up to one
//! print further ahead than it should be.

use veloz_core::units::E8;

use super::arithmetic::shrunk;

/// One order's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    /// Public quantity that trades first.
    ahead: E8,
    /// The level as last compared.
    level: E8,
    /// Traded at the price since then.
    traded: E8,
}

impl Queue {
    /// Joins a level that shows `level`, of which `ahead` is still there.
    pub(super) fn join(level: E8, ahead: E8) -> Self {
        Self {
            ahead: ahead.min(level),
            level,
            traded: E8(0),
        }
    }

    pub(super) fn ahead(&self) -> E8 {
        self.ahead
    }

    /// So much public quantity ahead went to somebody.
    pub(super) fn advance(&mut self, qty: E8) {
        self.ahead = E8((self.ahead.0 - qty.0).max(0));
    }

    /// The price was traded through: nothing is ahead any more.
    pub(super) fn reach_front(&mut self) {
        self.ahead = E8(0);
    }

    /// The public flow printed a trade at the price.
    pub(super) fn printed(&mut self, qty: E8) {
        self.traded = E8(self.traded.0.saturating_add(qty.0));
    }

    /// A diff says what the level is now.
    pub(super) fn compare(&mut self, level: E8) {
        let expected = E8((self.level.0 - self.traded.0).max(0));
        if level < expected {
            self.ahead = shrunk(self.ahead.min(expected), level, expected);
        }
        self.ahead = self.ahead.min(level);
        self.level = level;
        self.traded = E8(0);
    }

    /// A diff does not name the level: what was traded was replaced, behind.
    pub(super) fn unchanged(&mut self) {
        self.traded = E8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn trades_are_not_taken_for_cancels() {
        let mut queue = Queue::join(E8(100), E8(100));
        queue.printed(E8(30));
        queue.advance(E8(30));
        queue.compare(E8(70));
        assert_eq!(queue.ahead(), E8(70));
    }

    #[test]
    fn cancels_shrink_what_is_ahead_in_proportion_and_gains_join_behind() {
        let mut queue = Queue::join(E8(100), E8(100));
        queue.compare(E8(200));
        assert_eq!(queue.ahead(), E8(100));
        queue.compare(E8(101));
        assert_eq!(queue.ahead(), E8(51), "half, rounded up");
        queue.compare(E8(0));
        assert_eq!(queue.ahead(), E8(0));
    }

    #[test]
    fn a_level_that_shows_less_than_is_ahead_has_lost_it() {
        let mut queue = Queue::join(E8(10), E8(10));
        queue.printed(E8(50));
        queue.compare(E8(4));
        assert_eq!(queue.ahead(), E8(4));
    }

    proptest! {
        #[test]
        fn nobody_gets_ahead_of_an_order(
            start in 0i64..1_000,
            changes in prop::collection::vec((0i64..50, 0i64..1_000), 0..50),
        ) {
            let mut queue = Queue::join(E8(start), E8(start));
            for (print, level) in changes {
                let before = queue.ahead();
                queue.printed(E8(print));
                queue.advance(E8(print));
                queue.compare(E8(level));
                prop_assert!(queue.ahead() <= before);
                prop_assert!(queue.ahead().0 >= 0 && queue.ahead() <= E8(level));
            }
        }
    }
}
