//! The exchange's state of one symbol: rules, resting orders, what is gone of the public book, ids.
//!
//! Owns: the public book as orders meet it. Does not: match. Ids are what a venue's would be after
//! years, so that clients must hold more than 32 bits. Trades of accounts are numbered in a range
//! of their own, far above the public flow's ids, as that is served as it comes, recorded flow to
//! the byte; the public trade stream does not show them, as the public book does not show orders.

use veloz_core::units::E8;

use super::Liquidity;
use super::frames::Touch;
use super::ledger::AssetIndex;
use super::order::OrderSide;
use super::resting::{RestingBook, reaches};
use super::rules::SymbolRules;
use super::taken::Taken;
use crate::venue::source::{Level, SymbolIndex};

const FIRST_ORDER_ID: u64 = 42_000_000_000;
/// Of trades of accounts; the public flow's ids are around 4e9.
pub(super) const FIRST_TRADE_ID: u64 = 1_000_000_000_001;

/// One symbol.
#[derive(Debug)]
pub(super) struct TradedSymbol {
    pub(super) rules: SymbolRules,
    base: AssetIndex,
    quote: AssetIndex,
    pub(super) resting: RestingBook,
    taken_bids: Taken,
    taken_asks: Taken,
    /// The newest ticker.
    pub(super) touch: Option<Touch>,
    /// Update id of the newest diff.
    pub(super) last_diff_id: u64,
    pub(super) last_price: Option<E8>,
    pub(super) next_order_id: u64,
    pub(super) next_trade_id: u64,
    pub(super) next_match_id: u64,
    /// The order that is being matched: open, and not on the book yet.
    pub(super) incoming: Option<u64>,
}

/// The public book as it was read: best first.
#[derive(Debug)]
pub(super) struct Shown {
    bids: Side,
    asks: Side,
}

#[derive(Debug)]
struct Side {
    levels: Vec<Level>,
    /// Nothing follows them.
    whole: bool,
}

impl TradedSymbol {
    pub(super) fn new(rules: SymbolRules, base: AssetIndex, quote: AssetIndex) -> Self {
        Self {
            rules,
            base,
            quote,
            resting: RestingBook::default(),
            taken_bids: Taken::new(OrderSide::Buy),
            taken_asks: Taken::new(OrderSide::Sell),
            touch: None,
            last_diff_id: 0,
            last_price: None,
            next_order_id: FIRST_ORDER_ID,
            next_trade_id: FIRST_TRADE_ID,
            next_match_id: 1,
            incoming: None,
        }
    }

    /// What an order of this side pays with, and what it receives.
    pub(super) fn assets(&self, side: OrderSide) -> (AssetIndex, AssetIndex) {
        match side {
            OrderSide::Buy => (self.quote, self.base),
            OrderSide::Sell => (self.base, self.quote),
        }
    }

    pub(super) fn taken(&self, side: OrderSide) -> &Taken {
        match side {
            OrderSide::Buy => &self.taken_bids,
            OrderSide::Sell => &self.taken_asks,
        }
    }

    pub(super) fn taken_mut(&mut self, side: OrderSide) -> &mut Taken {
        match side {
            OrderSide::Buy => &mut self.taken_bids,
            OrderSide::Sell => &mut self.taken_asks,
        }
    }

    /// The public book now, at most `limit` levels a side; where the newest ticker is newer than
    /// the book, as in a recorded flow between two diffs, with the ticker's touch.
    pub(super) fn shown(&self, symbol: SymbolIndex, book: &dyn Liquidity, limit: usize) -> Shown {
        let snapshot = book.snapshot(symbol, limit);
        let side = |levels: Vec<Level>| Side {
            whole: levels.len() < limit || limit >= Shown::WHOLE,
            levels,
        };
        let mut shown = Shown {
            bids: side(snapshot.bids),
            asks: side(snapshot.asks),
        };
        if let Some(touch) = self.touch
            && touch.update_id > snapshot.last_update_id
        {
            overlay(OrderSide::Buy, &mut shown.bids.levels, touch.bid);
            overlay(OrderSide::Sell, &mut shown.asks.levels, touch.ask);
        }
        shown
    }

    /// A diff named these levels of a side.
    pub(super) fn levels_changed(&mut self, side: OrderSide, levels: &[Level]) {
        for &level in levels {
            self.taken_mut(side).published(level);
        }
        for resting in self.resting.iter_mut(side) {
            let named = levels.iter().find(|level| level.price == resting.price);
            match named {
                Some(level) => resting.queue.compare(level.qty),
                None => resting.queue.unchanged(),
            }
        }
    }

    /// What can be taken of a side, best first.
    pub(super) fn available(&self, side: OrderSide, shown: &Shown) -> Vec<Level> {
        let levels = shown.levels(side).iter();
        let left = levels.map(|&level| Level {
            price: level.price,
            qty: self.taken(side).available(level),
        });
        left.filter(|level| level.qty.0 > 0).collect()
    }
}

impl Shown {
    /// Levels that nearly every order finds enough in.
    pub(super) const NEAR: usize = 100;
    /// Levels that are ever read: what a client can ask for.
    pub(super) const WHOLE: usize = 5_000;

    /// The level of a price as it is shown, zero when it is not.
    pub(super) fn level(&self, side: OrderSide, price: E8) -> Level {
        let found = self.levels(side).iter().find(|level| level.price == price);
        found.copied().unwrap_or(Level { price, qty: E8(0) })
    }

    /// Whether the levels that were read reach as far as this price.
    pub(super) fn covers(&self, side: OrderSide, price: Option<E8>) -> bool {
        let Side { levels, whole } = self.side(side);
        // An order of the other side that takes up to this price gets past the last level only
        // if it reaches it.
        let beyond = |last: &Level| !reaches(side.opposite(), price, last.price);
        *whole || levels.last().is_some_and(beyond)
    }

    /// A side's levels, best first.
    pub(super) fn levels(&self, side: OrderSide) -> &[Level] {
        &self.side(side).levels
    }

    fn side(&self, side: OrderSide) -> &Side {
        match side {
            OrderSide::Buy => &self.bids,
            OrderSide::Sell => &self.asks,
        }
    }
}

/// Puts a side's best level over what was read.
fn overlay(side: OrderSide, levels: &mut Vec<Level>, best: Level) {
    if best.qty.0 == 0 {
        levels.clear();
        return;
    }
    // What is better than the best, or is the best, makes place.
    levels.retain(|level| !reaches(side.opposite(), Some(best.price), level.price));
    levels.insert(0, best);
}
