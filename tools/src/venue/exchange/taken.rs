//! Public liquidity that our accounts have taken and the public book still shows.
//!
//! Owns: [`Taken`], how much of each public level is gone although it is displayed. Does not: know
//! orders. Invariant: of no level more is taken than it shows.
//!
//! The public flow does not know of our trades: a level stays as it is after an order of ours
//! took it. What was taken is remembered against the level's quantity at that time and cannot be
//! taken again. When the level grows, the growth is new and can be taken; when it shrinks, what
//! left is as likely to have been taken before as not, so the taken part shrinks in proportion,
//! rounded up; when it is gone, so is the memory of it.

use std::collections::BTreeMap;

use veloz_core::units::E8;

use super::arithmetic::shrunk;
use super::order::OrderSide;
use crate::venue::source::Level;

/// Levels of a side remembered; a book has no more levels that are ever read. When full, the one
/// farthest from the touch is forgotten, and could be taken again if a price came back to it.
pub(super) const TAKEN_LEVELS_MAX: usize = 5_000;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// What the level showed.
    of: E8,
    taken: E8,
}

impl Entry {
    fn against(self, shown: E8) -> Self {
        let taken = if shown >= self.of {
            self.taken
        } else {
            shrunk(self.taken, shown, self.of)
        };
        Self { of: shown, taken }
    }
}

/// What is gone of one side of the public book.
#[derive(Debug)]
pub(super) struct Taken {
    /// Whose orders stand on this side.
    side: OrderSide,
    levels: BTreeMap<E8, Entry>,
}

impl Taken {
    pub(super) fn new(side: OrderSide) -> Self {
        Self {
            side,
            levels: BTreeMap::new(),
        }
    }

    /// What can still be taken of a level that shows this.
    pub(super) fn available(&self, shown: Level) -> E8 {
        match self.levels.get(&shown.price) {
            Some(entry) => E8(shown.qty.0 - entry.against(shown.qty).taken.0),
            None => shown.qty,
        }
    }

    /// Takes from a level that shows this.
    ///
    /// # Panics
    /// When it has not so much available: the caller looked.
    pub(super) fn take(&mut self, shown: Level, qty: E8) {
        assert!(qty <= self.available(shown), "nothing is taken twice");
        if !self.levels.contains_key(&shown.price) && self.levels.len() >= TAKEN_LEVELS_MAX {
            match self.side {
                OrderSide::Buy => self.levels.pop_first(),
                OrderSide::Sell => self.levels.pop_last(),
            };
        }
        let entry = self.levels.entry(shown.price).or_insert(Entry {
            of: shown.qty,
            taken: E8(0),
        });
        *entry = entry.against(shown.qty);
        entry.taken = E8(entry.taken.0 + qty.0);
    }

    /// The level was published with this quantity.
    pub(super) fn published(&mut self, shown: Level) {
        if let Some(entry) = self.levels.get_mut(&shown.price) {
            *entry = entry.against(shown.qty);
            if entry.taken.0 == 0 {
                self.levels.remove(&shown.price);
            }
        }
    }

    /// This was published as the best price of the side: better levels are gone.
    pub(super) fn published_best(&mut self, best: E8) {
        match self.side {
            OrderSide::Buy => self.levels.retain(|&price, _| price <= best),
            OrderSide::Sell => self.levels.retain(|&price, _| price >= best),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn level(price: i64, qty: i64) -> Level {
        Level {
            price: E8(price),
            qty: E8(qty),
        }
    }

    #[test]
    fn what_was_taken_stays_taken_and_growth_is_new() {
        let mut taken = Taken::new(OrderSide::Sell);
        taken.take(level(7, 100), E8(40));
        assert_eq!(taken.available(level(7, 100)), E8(60));
        assert_eq!(taken.available(level(7, 130)), E8(90));
        assert_eq!(taken.available(level(7, 50)), E8(30));
        assert_eq!(taken.available(level(8, 5)), E8(5));
        taken.published(level(7, 50));
        taken.published(level(7, 100));
        assert_eq!(taken.available(level(7, 100)), E8(80), "20 of the 40 left");
        taken.published(level(7, 0));
        assert_eq!(taken.available(level(7, 100)), E8(100));
    }

    #[test]
    fn levels_better_than_the_best_are_gone() {
        for (side, gone, kept) in [(OrderSide::Sell, 7, 9), (OrderSide::Buy, 9, 7)] {
            let mut taken = Taken::new(side);
            taken.take(level(7, 10), E8(10));
            taken.take(level(9, 10), E8(10));
            taken.published_best(E8(8));
            assert_eq!(taken.available(level(gone, 10)), E8(10));
            assert_eq!(taken.available(level(kept, 10)), E8(0));
        }
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_farthest() {
        for (side, farthest, nearest) in [(OrderSide::Sell, 5_000, 1), (OrderSide::Buy, 1, 5_000)] {
            let mut taken = Taken::new(side);
            for price in 1..=TAKEN_LEVELS_MAX as i64 {
                taken.take(level(price, 10), E8(10));
            }
            taken.take(level(2_500_000, 10), E8(10));
            assert_eq!(taken.levels.len(), TAKEN_LEVELS_MAX);
            assert_eq!(taken.available(level(farthest, 10)), E8(10));
            assert_eq!(taken.available(level(nearest, 10)), E8(0));
        }
    }

    proptest! {
        #[test]
        fn no_more_is_taken_than_was_ever_shown(
            steps in prop::collection::vec((0i64..100, 0i64..100), 1..60),
        ) {
            let mut taken = Taken::new(OrderSide::Buy);
            let (mut shown_before, mut appeared, mut sum) = (0, 0, 0);
            for (shown, wish) in steps {
                appeared += (shown - shown_before).max(0);
                shown_before = shown;
                taken.published(level(1, shown));
                let available = taken.available(level(1, shown)).0;
                prop_assert!((0..=shown).contains(&available));
                let qty = wish.min(available);
                taken.take(level(1, shown), E8(qty));
                sum += qty;
                prop_assert!(sum <= appeared);
            }
        }
    }
}
