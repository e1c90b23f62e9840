//! The local copy of one instrument's order book.
//!
//! Owns: the levels of both sides. Does not: talk to the venue, know sequence ids (the venue's book
//! sync does), know our orders, or judge what it is told.
//!
//! **Two sides that share nothing.** Each side has its own window of flat cells, so the book holds
//! what it was told even while that is crossed: inside one message the bids are applied before the
//! asks, and may stand above asks that the same message is about to remove. One array for both
//! sides would halve the memory and lose a level in exactly that moment. [`Book::is_crossed`] after
//! a whole message is the caller's sign that the venue or the sync is wrong.
//!
//! **Window and far levels.** Each side keeps the ticks around its touch in an array with a
//! two-level bitmap, at least half of it behind the touch and the rest in front, and everything
//! farther behind in a sorted store. The window follows a touch that leaves its upper half and then
//! has a quarter of itself to go in either direction, so a touch that swings by less moves it once
//! at most. A move costs time in proportion to the levels that enter or leave, and no allocation;
//! the worst is a lone price far in front, which takes the window with it and back. A far level
//! costs a binary search, and inserting or removing one shifts those between it and the window.
//!
//! **Bounds.** All memory is reserved by [`Book::new`]. The window's capacity is its size; the far
//! store holds `far_levels_max` levels a side. A level that finds it full is refused with
//! [`BookFull`] and the book stays as it was: it is then consistent but no longer the venue's, and
//! the caller must resynchronise it. Dropping the farthest level instead would leave a book that
//! looks whole and lies. A fresh snapshot always fits (`limits` asserts it), so the answer ends.
//!
//! Invariants: each side strictly sorted, quantities positive, the best level at hand
//! ([`Book::assert_invariants`]).

mod ladder;

use crate::units::{Level, Lots, Ticks};
use ladder::Ladder;

/// A side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Side {
    /// Those who buy; the highest price is the best.
    Bid = 0,
    /// Those who sell; the lowest price is the best.
    Ask = 1,
}

impl Side {
    /// Both sides, in order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Bid, Self::Ask];

    /// The key of a price on this side's ladder, where higher is better. Its own inverse. Bitwise
    /// negation, unlike arithmetic, reverses the order of all 2^64 values without overflow.
    #[inline]
    const fn key(self, price: i64) -> i64 {
        match self {
            Self::Bid => price,
            Self::Ask => !price,
        }
    }

    #[inline]
    const fn level(self, (key, qty): (i64, i64)) -> Level {
        Level {
            price: Ticks(self.key(key)),
            qty: Lots(qty),
        }
    }
}

/// A level far from the touch found the store for such levels full; the book did not change and
/// must be resynchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the book has no room for another level far from the touch; it must be resynchronised")]
pub struct BookFull;

/// Both sides of one instrument's book; see the module's text.
pub struct Book {
    ladders: [Ladder; 2],
}

impl Book {
    /// An empty book with all its memory reserved and touched: 8 bytes a tick and 16 bytes a far
    /// level, for each side.
    ///
    /// # Panics
    /// When `window_ticks` is no power of two or below 16,384.
    pub fn new(window_ticks: usize, far_levels_max: usize) -> Self {
        Self {
            ladders: [(); 2].map(|()| Ladder::new(window_ticks, far_levels_max)),
        }
    }

    /// Removes all levels; the memory stays.
    pub fn clear(&mut self) {
        for ladder in &mut self.ladders {
            ladder.clear();
        }
    }

    /// Sets the whole quantity at a price; zero removes the level, and removing one that is not
    /// there is normal: the venue tells of levels that its snapshot did not reach.
    ///
    /// # Errors
    /// [`BookFull`] when the level, or one that would have to make way for it, finds the far store
    /// full. The book is unchanged.
    ///
    /// # Panics
    /// When the quantity is below zero: no codec lets one through.
    #[inline]
    pub fn set(&mut self, side: Side, price: Ticks, qty: Lots) -> Result<(), BookFull> {
        self.ladders[side as usize].set(side.key(price.0), qty.0)
    }

    /// The best level of a side, in constant time.
    #[inline]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.ladders[side as usize]
            .best()
            .map(|level| side.level(level))
    }

    /// Copies the best levels of a side to `out`, best first; returns how many there were.
    pub fn top(&self, side: Side, out: &mut [Level]) -> usize {
        let mut count = 0;
        for (slot, level) in out.iter_mut().zip(self.levels(side)) {
            *slot = level;
            count += 1;
        }
        count
    }

    /// All levels of a side, best first.
    #[inline]
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.ladders[side as usize]
            .levels()
            .map(move |level| side.level(level))
    }

    /// Lots between the touch and `price`, both included: what an order of the other side limited
    /// there could fill. Wider than [`Lots`], because a sum of them can leave their range.
    pub fn qty_to_price(&self, side: Side, price: Ticks) -> i128 {
        let limit = side.key(price.0);
        self.ladders[side as usize]
            .levels()
            .take_while(|&(key, _)| key >= limit)
            .map(|(_, qty)| i128::from(qty))
            .sum()
    }

    /// The worst price that filling `qty` reaches; `None` when the side holds less. The touch for
    /// a quantity of zero.
    pub fn price_to_qty(&self, side: Side, qty: Lots) -> Option<Ticks> {
        let mut filled = 0i128;
        self.levels(side).find_map(|level| {
            filled += i128::from(level.qty.0);
            (filled >= i128::from(qty.0)).then_some(level.price)
        })
    }

    /// Levels held on a side.
    pub fn level_count(&self, side: Side) -> usize {
        self.ladders[side as usize].level_count()
    }

    /// Whether the best bid is at or above the best ask.
    #[inline]
    pub fn is_crossed(&self) -> bool {
        match (self.best(Side::Bid), self.best(Side::Ask)) {
            (Some(bid), Some(ask)) => bid.price >= ask.price,
            _ => false,
        }
    }

    /// Bytes reserved for levels.
    pub fn bytes_reserved(&self) -> usize {
        self.ladders.iter().map(Ladder::bytes_reserved).sum()
    }

    /// Bytes of them that hold a level now.
    pub fn bytes_used(&self) -> usize {
        self.ladders.iter().map(Ladder::bytes_used).sum()
    }

    /// Checks every invariant of both sides. Reads the whole windows: for tests and checks outside
    /// the hot path.
    ///
    /// # Panics
    /// When one is broken.
    pub fn assert_invariants(&self) {
        for ladder in &self.ladders {
            ladder.assert_invariants();
        }
    }
}
