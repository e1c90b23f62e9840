//! How changes of the market's book become public: update ids, diffs, tickers, trades.
//!
//! Owns: [`PublicBook`], the one door through which the book changes, and the numbering of what is
//! published about it. Does not: decide what changes or when anything is published.
//! Invariants: every change takes one update id; a diff starts at the id after its predecessor's
//! last and names every price that changed since, with the quantity it has now, also prices that
//! came and went unseen; a ticker follows every change of a best price or quantity; trade ids
//! count up by one.

use veloz_core::units::E8;

use super::book::{Book, BookLevel, Side};
use crate::venue::source::{DepthSpeed, Level, MarketEvent, Snapshot, Trade};

/// Ids start where a market that has run for years stands: clients must hold more than 32 bits.
const FIRST_UPDATE_ID: u64 = 50_000_000_000;
const FIRST_TRADE_ID: u64 = 3_700_000_000;
const FIRST_AGGREGATE_ID: u64 = 3_100_000_000;

/// Touched keys that a side of a diff holds before repeats are removed; what remains is bounded by
/// the prices of a second's changes.
const TOUCHED_KEYS: usize = 4_096;

/// One fill of an aggressive order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    /// Side that rested.
    pub(super) side: Side,
    /// Price as a key of that side.
    pub(super) key: i64,
    /// Quantity.
    pub(super) qty_lots: i64,
    /// The order's last fill at this price.
    pub(super) closes_aggregate: bool,
}

/// Keys changed since a stream's last diff.
#[derive(Clone, Debug)]
struct DiffStream {
    next_first_id: u64,
    bids: Touched,
    asks: Touched,
}

/// The prices in a side of a diff.
#[derive(Clone, Debug)]
struct Touched {
    keys: Vec<i64>,
    /// Length at which repeats are removed next: twice what was left the last time.
    dedup_at: usize,
}

impl Touched {
    fn new() -> Self {
        Self {
            keys: Vec::new(),
            dedup_at: TOUCHED_KEYS,
        }
    }

    fn push(&mut self, key: i64) {
        self.keys.push(key);
        if self.keys.len() >= self.dedup_at {
            self.dedup();
            self.dedup_at = TOUCHED_KEYS.max(self.keys.len() * 2);
        }
    }

    fn dedup(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
    }
}

/// Fills of one aggressive order at one price so far.
#[derive(Clone, Copy, Debug)]
struct Aggregate {
    first_trade_id: u64,
    qty_lots: i64,
}

/// The book and what the public has been told about it.
#[derive(Clone, Debug)]
pub(super) struct PublicBook {
    book: Book,
    tick_e8: i64,
    lot_e8: i64,
    last_id: u64,
    next_trade_id: u64,
    next_aggregate_id: u64,
    aggregate: Option<Aggregate>,
    ticker: Option<(BookLevel, BookLevel)>,
    fast: DiffStream,
    slow: DiffStream,
}

impl PublicBook {
    /// Opens a book to the public.
    pub(super) fn new(book: Book, tick: E8, lot: E8) -> Self {
        let stream = DiffStream {
            next_first_id: FIRST_UPDATE_ID + 1,
            bids: Touched::new(),
            asks: Touched::new(),
        };
        let ticker = Some((book.best(Side::Bid), book.best(Side::Ask)));
        Self {
            book,
            tick_e8: tick.0,
            lot_e8: lot.0,
            last_id: FIRST_UPDATE_ID,
            next_trade_id: FIRST_TRADE_ID,
            next_aggregate_id: FIRST_AGGREGATE_ID,
            aggregate: None,
            ticker,
            fast: stream.clone(),
            slow: stream,
        }
    }

    /// The book as it stands.
    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    /// Changes a level; a quantity of zero removes it.
    pub(super) fn change(&mut self, side: Side, level: BookLevel) {
        self.last_id += 1;
        self.book.set(side, level);
        for stream in [&mut self.fast, &mut self.slow] {
            match side {
                Side::Bid => stream.bids.push(level.key),
                Side::Ask => stream.asks.push(level.key),
            }
        }
    }

    /// Takes an update id for a change that leaves every level as it was.
    pub(super) fn change_nothing(&mut self) {
        self.last_id += 1;
    }

    /// The ticker, if a best price or quantity differs from what it showed last.
    pub(super) fn ticker(&mut self) -> Option<MarketEvent> {
        let (bid, ask) = (self.book.best(Side::Bid), self.book.best(Side::Ask));
        assert!(bid.key + ask.key > 0, "the book is never crossed");
        let shown = |level: BookLevel| (level.key, level.qty_lots);
        let last = self.ticker.map(|(bid, ask)| (shown(bid), shown(ask)));
        if last == Some((shown(bid), shown(ask))) {
            return None;
        }
        self.ticker = Some((bid, ask));
        Some(MarketEvent::BookTicker {
            update_id: self.last_id,
            bid: self.level(Side::Bid, bid.key, bid.qty_lots),
            ask: self.level(Side::Ask, ask.key, ask.qty_lots),
        })
    }

    /// The trade of a fill and, with an order's last fill at a price, their aggregate.
    pub(super) fn trade(&mut self, fill: Fill) -> (MarketEvent, Option<MarketEvent>) {
        let id = self.next_trade_id;
        self.next_trade_id += 1;
        let Level { price, qty } = self.level(fill.side, fill.key, fill.qty_lots);
        let buyer_is_maker = fill.side == Side::Bid;
        let so_far = self.aggregate.take();
        let aggregate = Aggregate {
            first_trade_id: so_far.map_or(id, |so_far| so_far.first_trade_id),
            qty_lots: fill.qty_lots + so_far.map_or(0, |so_far| so_far.qty_lots),
        };
        let closed = if fill.closes_aggregate {
            self.next_aggregate_id += 1;
            Some(MarketEvent::AggTrade {
                id: self.next_aggregate_id - 1,
                first_trade_id: aggregate.first_trade_id,
                last_trade_id: id,
                price,
                qty: E8(aggregate.qty_lots * self.lot_e8),
                buyer_is_maker,
            })
        } else {
            self.aggregate = Some(aggregate);
            None
        };
        let trade = MarketEvent::Trade(Trade {
            id,
            price,
            qty,
            buyer_is_maker,
        });
        (trade, closed)
    }

    /// The diff of a stream since its last one; `None` when no level changed.
    pub(super) fn diff(&mut self, speed: DepthSpeed) -> Option<MarketEvent> {
        let stream = match speed {
            DepthSpeed::Ms100 => &mut self.fast,
            DepthSpeed::Ms1000 => &mut self.slow,
        };
        if stream.bids.keys.is_empty() && stream.asks.keys.is_empty() {
            return None;
        }
        let next = DiffStream {
            next_first_id: self.last_id + 1,
            bids: Touched::new(),
            asks: Touched::new(),
        };
        let mut done = std::mem::replace(stream, next);
        Some(MarketEvent::Depth {
            speed,
            first_id: done.next_first_id,
            last_id: self.last_id,
            bids: self.changed(Side::Bid, &mut done.bids),
            asks: self.changed(Side::Ask, &mut done.asks),
        })
    }

    /// At most `limit` levels a side.
    pub(super) fn snapshot(&self, limit: usize) -> Snapshot {
        let side = |side: Side| {
            self.book
                .levels(side)
                .take(limit)
                .map(|level| self.level(side, level.key, level.qty_lots))
                .collect()
        };
        Snapshot {
            last_update_id: self.last_id,
            bids: side(Side::Bid),
            asks: side(Side::Ask),
        }
    }

    fn changed(&self, side: Side, touched: &mut Touched) -> Vec<Level> {
        touched.dedup();
        touched
            .keys
            .iter()
            .map(|&key| {
                let qty_lots = self.book.get(side, key).map_or(0, |level| level.qty_lots);
                self.level(side, key, qty_lots)
            })
            .collect()
    }

    fn level(&self, side: Side, key: i64, qty_lots: i64) -> Level {
        Level {
            price: E8(side.price(key) * self.tick_e8),
            qty: E8(qty_lots * self.lot_e8),
        }
    }
}
