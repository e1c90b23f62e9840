//! What a stream of market data looks like in figures: rates, gaps, spreads, depth, sizes.
//!
//! Owns: [`Observed`] messages, [`Measure`] that reads them in order of arrival, and the
//! [`Statistics`] that come out. The same code measures recordings and the synthetic market, which
//! is what makes the two comparable. Does not: read files, or know the model.
//!
//! Definitions. Rates are messages over the time from the first message to the last. A gap is the
//! time between arrivals, in whole microseconds. The spread is sampled at every book ticker and,
//! from the book rebuilt out of snapshot and diffs, after every diff; depth is the quantity at
//! each of the best 20 levels of that book after every diff, each side by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quantiles::of_sorted;

/// Levels a side whose quantities are measured.
pub const DEPTH_LEVELS: usize = 20;

/// The points of each distribution that are compared, in thousandths.
pub const COMPARED_PERMILLE: [u32; 4] = [100, 500, 900, 990];

/// A level as measured: price in ticks, quantity in lots.
pub type ObservedLevel = (i64, i64);

/// One message of a market data stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Answer of the `depth` request.
    Snapshot {
        /// Update id that it includes.
        last_id: u64,
        /// Bids, best first.
        bids: Vec<ObservedLevel>,
        /// Asks, best first.
        asks: Vec<ObservedLevel>,
    },
    /// A 100 ms diff.
    Depth {
        /// First update id covered.
        first_id: u64,
        /// Last update id covered.
        last_id: u64,
        /// Changed bids.
        bids: Vec<ObservedLevel>,
        /// Changed asks.
        asks: Vec<ObservedLevel>,
    },
    /// Best prices and quantities.
    Ticker {
        /// Update id.
        update_id: u64,
        /// Best bid.
        bid: ObservedLevel,
        /// Best ask.
        ask: ObservedLevel,
    },
    /// A trade.
    Trade {
        /// Trade id.
        id: u64,
        /// Price in ticks.
        price: i64,
        /// Quantity in lots.
        qty: i64,
    },
}

/// A message and when it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Arrival, in nanoseconds of one clock that does not step back.
    pub at_ns: u64,
    /// The message.
    pub message: Message,
}

/// A distribution at [`COMPARED_PERMILLE`].
pub type Points = [i64; COMPARED_PERMILLE.len()];

/// The figures that the synthetic market has to reproduce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// From the first message to the last.
    pub duration_us: u64,
    /// 100 ms diffs.
    pub depth_count: u64,
    /// Book tickers.
    pub ticker_count: u64,
    /// Trades.
    pub trade_count: u64,
    /// Spread in ticks, at every book ticker.
    pub spread_at_ticker_ticks: Points,
    /// Spread in ticks, after every diff.
    pub spread_at_depth_ticks: Points,
    /// Microseconds between diffs.
    pub depth_gap_us: Points,
    /// Microseconds between book tickers.
    pub ticker_gap_us: Points,
    /// Microseconds between trades.
    pub trade_gap_us: Points,
    /// Microseconds between messages of any of the three kinds.
    pub any_gap_us: Points,
    /// Quantity of a trade in lots.
    pub trade_qty_lots: Points,
    /// Levels in a diff, both sides. With the next, a figure that the market approaches and no test
    /// compares: the largest diffs of the recordings are up to twice as large.
    pub diff_levels: Points,
    /// Update ids that a diff covers.
    pub diff_ids: Points,
    /// Quantity in lots at each bid level, best first.
    pub bid_qty_lots: Vec<Points>,
    /// Quantity in lots at each ask level, best first.
    pub ask_qty_lots: Vec<Points>,
}

/// A book rebuilt the way a client does it.
#[derive(Clone, Debug, Default)]
pub struct RebuiltBook {
    /// Update id that it stands at.
    pub id: u64,
    /// Quantity by price.
    pub bids: BTreeMap<i64, i64>,
    /// Quantity by price.
    pub asks: BTreeMap<i64, i64>,
}

impl RebuiltBook {
    /// Starts from a snapshot.
    pub fn new(id: u64, bids: &[ObservedLevel], asks: &[ObservedLevel]) -> Self {
        Self {
            id,
            bids: bids.iter().copied().collect(),
            asks: asks.iter().copied().collect(),
        }
    }

    /// Applies a diff unless the book already includes it; whether it did.
    ///
    /// # Panics
    /// On a gap: a recording or a market with gaps cannot be measured.
    pub fn apply(
        &mut self,
        first_id: u64,
        last_id: u64,
        bids: &[ObservedLevel],
        asks: &[ObservedLevel],
    ) -> bool {
        if last_id <= self.id {
            return false;
        }
        assert!(first_id <= self.id + 1, "gap: {first_id} after {}", self.id);
        for (side, changes) in [(&mut self.bids, bids), (&mut self.asks, asks)] {
            for &(price, qty) in changes {
                if qty == 0 {
                    side.remove(&price);
                } else {
                    side.insert(price, qty);
                }
            }
        }
        self.id = last_id;
        true
    }

    /// Best bid and best ask.
    pub fn touch(&self) -> Option<(ObservedLevel, ObservedLevel)> {
        let bid = self.bids.last_key_value()?;
        let ask = self.asks.first_key_value()?;
        Some(((*bid.0, *bid.1), (*ask.0, *ask.1)))
    }
}

/// Samples of everything that is measured.
#[derive(Debug, Default)]
pub struct Measure {
    first_ns: Option<u64>,
    last_ns: u64,
    last_depth_ns: Option<u64>,
    last_ticker_ns: Option<u64>,
    last_trade_ns: Option<u64>,
    last_any_ns: Option<u64>,
    book: Option<RebuiltBook>,
    /// Diffs that arrived before the snapshot.
    early: Vec<Message>,
    spread_at_ticker: Vec<i64>,
    spread_at_depth: Vec<i64>,
    depth_gap: Vec<i64>,
    ticker_gap: Vec<i64>,
    trade_gap: Vec<i64>,
    any_gap: Vec<i64>,
    trade_qty: Vec<i64>,
    diff_levels: Vec<i64>,
    diff_ids: Vec<i64>,
    bid_qty: [Vec<i64>; DEPTH_LEVELS],
    ask_qty: [Vec<i64>; DEPTH_LEVELS],
    ticker_count: u64,
    trade_count: u64,
}

impl Measure {
    /// Reads one message; messages come in order of arrival.
    pub fn observe(&mut self, observed: &Observed) {
        let now = observed.at_ns;
        match &observed.message {
            Message::Snapshot {
                last_id,
                bids,
                asks,
            } => {
                let mut book = RebuiltBook::new(*last_id, bids, asks);
                for message in std::mem::take(&mut self.early) {
                    apply(&mut book, &message);
                }
                self.book = Some(book);
                return;
            }
            Message::Depth {
                first_id,
                last_id,
                bids,
                asks,
            } => {
                gap(&mut self.last_depth_ns, now, &mut self.depth_gap);
                self.diff_levels.push((bids.len() + asks.len()) as i64);
                self.diff_ids.push((last_id + 1 - first_id) as i64);
                match &mut self.book {
                    None => self.early.push(observed.message.clone()),
                    Some(book) => {
                        if apply(book, &observed.message) {
                            self.sample_depth();
                        }
                    }
                }
            }
            Message::Ticker { bid, ask, .. } => {
                gap(&mut self.last_ticker_ns, now, &mut self.ticker_gap);
                self.ticker_count += 1;
                self.spread_at_ticker.push(ask.0 - bid.0);
            }
            Message::Trade { qty, .. } => {
                gap(&mut self.last_trade_ns, now, &mut self.trade_gap);
                self.trade_count += 1;
                self.trade_qty.push(*qty);
            }
        }
        gap(&mut self.last_any_ns, now, &mut self.any_gap);
        self.first_ns.get_or_insert(now);
        self.last_ns = now;
    }

    /// The figures; `None` when some kind of message was never seen.
    pub fn finish(self) -> Option<Statistics> {
        let depth_count = self.diff_levels.len() as u64;
        let side = |levels: [Vec<i64>; DEPTH_LEVELS]| {
            levels.into_iter().map(points).collect::<Option<Vec<_>>>()
        };
        Some(Statistics {
            duration_us: (self.last_ns - self.first_ns?) / 1_000,
            depth_count,
            ticker_count: self.ticker_count,
            trade_count: self.trade_count,
            spread_at_ticker_ticks: points(self.spread_at_ticker)?,
            spread_at_depth_ticks: points(self.spread_at_depth)?,
            depth_gap_us: points(self.depth_gap)?,
            ticker_gap_us: points(self.ticker_gap)?,
            trade_gap_us: points(self.trade_gap)?,
            any_gap_us: points(self.any_gap)?,
            trade_qty_lots: points(self.trade_qty)?,
            diff_levels: points(self.diff_levels)?,
            diff_ids: points(self.diff_ids)?,
            bid_qty_lots: side(self.bid_qty)?,
            ask_qty_lots: side(self.ask_qty)?,
        })
    }

    fn sample_depth(&mut self) {
        let Some(book) = &self.book else { return };
        for (samples, &qty) in self.bid_qty.iter_mut().zip(book.bids.values().rev()) {
            samples.push(qty);
        }
        for (samples, &qty) in self.ask_qty.iter_mut().zip(book.asks.values()) {
            samples.push(qty);
        }
        if let Some((bid, ask)) = book.touch() {
            self.spread_at_depth.push(ask.0 - bid.0);
        }
    }
}

fn apply(book: &mut RebuiltBook, message: &Message) -> bool {
    match message {
        Message::Depth {
            first_id,
            last_id,
            bids,
            asks,
        } => book.apply(*first_id, *last_id, bids, asks),
        Message::Snapshot { .. } | Message::Ticker { .. } | Message::Trade { .. } => false,
    }
}

fn gap(last_ns: &mut Option<u64>, now_ns: u64, gaps: &mut Vec<i64>) {
    if let Some(last) = last_ns.replace(now_ns) {
        gaps.push((now_ns.saturating_sub(last) / 1_000) as i64);
    }
}

fn points(mut samples: Vec<i64>) -> Option<Points> {
    samples.sort_unstable();
    (!samples.is_empty()).then(|| COMPARED_PERMILLE.map(|permille| of_sorted(&samples, permille)))
}
