//! The market's own order book: price levels, best last, of any depth.
//!
//! Owns: both sides' levels in ticks and lots. Does not: number updates, publish, or decide what
//! changes. Invariants: keys strictly ordered, quantities positive, sides not crossed (asserted
//! where the touch changes).
//!
//! A *key* makes both sides alike: the price of an ask, the negated price of a bid, so that a
//! smaller key is always the better price. Levels are stored worst first: most changes happen near
//! the touch and move little memory there.

/// Side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// Buyers.
    Bid,
    /// Sellers.
    Ask,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Bid, Self::Ask];

    pub(super) fn opposite(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }

    /// Price of a key, or key of a price: the mapping is its own inverse.
    pub(super) fn price(self, key: i64) -> i64 {
        match self {
            Self::Bid => -key,
            Self::Ask => key,
        }
    }
}

/// One level of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BookLevel {
    /// Price as a key.
    pub(super) key: i64,
    /// Quantity, positive.
    pub(super) qty_lots: i64,
    /// How large the level is among its like, as a position in a quantile table: it keeps its
    /// place in the distribution when its rank changes.
    pub(super) position: u32,
}

/// Levels of one side, worst first.
#[derive(Clone, Debug, Default)]
struct HalfBook(Vec<BookLevel>);

impl HalfBook {
    fn find(&self, key: i64) -> Result<usize, usize> {
        self.0.binary_search_by(|level| key.cmp(&level.key))
    }
}

/// Both sides.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    bids: HalfBook,
    asks: HalfBook,
}

impl Book {
    fn half(&self, side: Side) -> &HalfBook {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn half_mut(&mut self, side: Side) -> &mut HalfBook {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }

    /// Sets a level; a quantity of zero removes it.
    pub(super) fn set(&mut self, side: Side, level: BookLevel) {
        debug_assert!(level.qty_lots >= 0);
        let half = self.half_mut(side);
        match (half.find(level.key), level.qty_lots) {
            (Ok(index), 0) => drop(half.0.remove(index)),
            (Ok(index), _) => half.0[index] = level,
            (Err(_), 0) => {}
            (Err(index), _) => half.0.insert(index, level),
        }
    }

    /// How many levels a side has.
    pub(super) fn len(&self, side: Side) -> usize {
        self.half(side).0.len()
    }

    /// The level at `rank`, zero being the best.
    pub(super) fn rank(&self, side: Side, rank: usize) -> Option<BookLevel> {
        let levels = &self.half(side).0;
        levels
            .len()
            .checked_sub(rank + 1)
            .map(|index| levels[index])
    }

    /// The best level. The process never empties a side.
    pub(super) fn best(&self, side: Side) -> BookLevel {
        *self.half(side).0.last().expect("a side is never empty")
    }

    /// Ask minus bid, in ticks.
    pub(super) fn spread_ticks(&self) -> i64 {
        self.best(Side::Ask).key + self.best(Side::Bid).key
    }

    /// The level at exactly this key.
    pub(super) fn get(&self, side: Side, key: i64) -> Option<BookLevel> {
        let half = self.half(side);
        half.find(key).ok().map(|index| half.0[index])
    }

    /// Ranks of the levels whose keys lie in `[from, to)`, as a half-open range.
    pub(super) fn ranks(&self, side: Side, from: i64, to: i64) -> std::ops::Range<usize> {
        let levels = &self.half(side).0;
        let better_than =
            |key: i64| levels.len() - levels.partition_point(|level| level.key >= key);
        better_than(from)..better_than(to)
    }

    /// The best levels first.
    pub(super) fn levels(&self, side: Side) -> impl Iterator<Item = &BookLevel> {
        self.half(side).0.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_side_is_a_sorted_map(changes in prop::collection::vec((0i64..60, 0i64..4), 1..200), window in (0i64..60, 0i64..60)) {
            let mut book = Book::default();
            let mut map = BTreeMap::new();
            for (key, qty_lots) in changes {
                book.set(Side::Ask, BookLevel { key, qty_lots, position: 0 });
                if qty_lots == 0 { map.remove(&key); } else { map.insert(key, qty_lots); }
            }
            let levels: Vec<_> = book.levels(Side::Ask).map(|level| (level.key, level.qty_lots)).collect();
            let expected: Vec<_> = map.iter().map(|(&key, &qty)| (key, qty)).collect();
            prop_assert_eq!(&levels, &expected);
            for (rank, level) in expected.iter().enumerate() {
                prop_assert_eq!(book.rank(Side::Ask, rank).map(|level| level.key), Some(level.0));
                prop_assert_eq!(book.get(Side::Ask, level.0).map(|level| level.qty_lots), Some(level.1));
            }
            let (from, to) = (window.0.min(window.1), window.0.max(window.1));
            let ranks = book.ranks(Side::Ask, from, to);
            let inside = expected.iter().filter(|(key, _)| (from..to).contains(key)).count();
            prop_assert_eq!(ranks.len(), inside);
            for rank in ranks {
                prop_assert!((from..to).contains(&book.rank(Side::Ask, rank).expect("in range").key));
            }
        }
    }
}
