//! The tables of levels behind the touch.

use crate::venue::flow::fit::tables;
use crate::venue::flow::measure::{DEPTH_LEVELS, Message, Observed, RebuiltBook};
use crate::venue::flow::profile::{BANDS, Band, band};
use crate::venue::flow::quantiles::Quantiles;

/// Diffs with at least this many tickers show what bursts do.
const BURST_TICKERS_MIN: u64 = 16;

/// What happens behind the touch.
pub(super) struct DepthTables {
    pub(super) touch_level_permille: u32,
    pub(super) rest_ids: Quantiles,
    pub(super) rest_level_permille: u32,
    pub(super) resize_permille: u32,
    pub(super) flash_permille: u32,
    pub(super) bands: Vec<Band>,
    pub(super) bid_qty_lots: Vec<Quantiles>,
    pub(super) ask_qty_lots: Vec<Quantiles>,
}

/// Counts of what diffs do away from the touch.
#[derive(Default)]
struct DepthCounts {
    /// Update ids of tickers not yet covered by a diff.
    tickers: Vec<u64>,
    /// Ids of each diff that covers no ticker.
    rest_ids: Vec<i64>,
    rest_levels: u64,
    /// Ids of diffs with many tickers, the tickers' own left out.
    burst_ids: u64,
    burst_levels: u64,
    changes: u64,
    resized: u64,
    removed_unseen: u64,
    weights: [u32; BANDS],
    /// Books sampled, both sides counted.
    books: u64,
    levels: [u64; BANDS],
    qty: Vec<Vec<i64>>,
    bid_qty: Vec<Vec<i64>>,
    ask_qty: Vec<Vec<i64>>,
}

impl DepthTables {
    pub(super) fn of(observed: &[Observed]) -> Option<Self> {
        let mut counts = DepthCounts {
            qty: vec![Vec::new(); BANDS],
            bid_qty: vec![Vec::new(); DEPTH_LEVELS],
            ask_qty: vec![Vec::new(); DEPTH_LEVELS],
            ..DepthCounts::default()
        };
        let mut book: Option<RebuiltBook> = None;
        let mut early: Vec<&Observed> = Vec::new();
        for (index, one) in observed.iter().enumerate() {
            match (&one.message, &mut book) {
                (
                    Message::Snapshot {
                        last_id,
                        bids,
                        asks,
                    },
                    _,
                ) => {
                    let mut rebuilt = RebuiltBook::new(*last_id, bids, asks);
                    for earlier in early.drain(..) {
                        counts.diff(&mut rebuilt, &earlier.message);
                    }
                    book = Some(rebuilt);
                }
                (Message::Depth { .. }, None) => early.push(one),
                (Message::Depth { .. }, Some(book)) => {
                    counts.diff(book, &one.message);
                    counts.touch(book);
                    // Levels beyond the snapshot become known only as they change: the second
                    // half of a recording knows more of them.
                    if index * 2 > observed.len() {
                        counts.sample(book);
                    }
                }
                (Message::Ticker { update_id, .. }, _) => counts.tickers.push(*update_id),
                (Message::Trade { .. }, _) => {}
            }
        }
        counts.finish()
    }
}

impl DepthCounts {
    fn diff(&mut self, book: &mut RebuiltBook, message: &Message) {
        let Message::Depth {
            first_id,
            last_id,
            bids,
            asks,
        } = message
        else {
            return;
        };
        let Some((best_bid, best_ask)) = book.touch().filter(|_| *last_id > book.id) else {
            return;
        };
        let (ids, levels) = (last_id + 1 - first_id, (bids.len() + asks.len()) as u64);
        let known = self.tickers.len();
        self.tickers.retain(|id| id > last_id);
        let tickers = (known - self.tickers.len()) as u64;
        if tickers == 0 {
            self.rest_ids.push(ids as i64);
            self.rest_levels += levels;
        } else if tickers >= BURST_TICKERS_MIN {
            self.burst_ids += ids.saturating_sub(tickers);
            self.burst_levels += levels;
        }
        let distances = [
            (&book.bids, bids, -1, best_bid.0),
            (&book.asks, asks, 1, best_ask.0),
        ];
        for (side, changes, sign, best) in distances {
            for (price, qty) in changes {
                let Some(band) = band((price - best) * sign).filter(|_| (price - best) * sign > 0)
                else {
                    continue;
                };
                self.changes += 1;
                self.weights[band] += 1;
                match (side.contains_key(price), *qty) {
                    (true, 1..) => self.resized += 1,
                    (false, 0) => self.removed_unseen += 1,
                    _ => {}
                }
            }
        }
        book.apply(*first_id, *last_id, bids, asks);
    }

    /// Quantities of the best levels, as [`Measure`] samples them.
    fn touch(&mut self, book: &RebuiltBook) {
        for (samples, &qty) in self.bid_qty.iter_mut().zip(book.bids.values().rev()) {
            samples.push(qty);
        }
        for (samples, &qty) in self.ask_qty.iter_mut().zip(book.asks.values()) {
            samples.push(qty);
        }
    }

    fn sample(&mut self, book: &RebuiltBook) {
        let Some((best_bid, best_ask)) = book.touch() else {
            return;
        };
        // Quantities change slowly: one book in 64 is enough of them.
        let with_qty = self.books.is_multiple_of(64);
        let bids = book
            .bids
            .iter()
            .map(|(price, qty)| (best_bid.0 - price, *qty));
        let asks = book
            .asks
            .iter()
            .map(|(price, qty)| (price - best_ask.0, *qty));
        for (distance, qty) in bids.chain(asks) {
            let Some(band) = band(distance).filter(|_| distance > 0) else {
                continue;
            };
            self.levels[band] += 1;
            if with_qty {
                self.qty[band].push(qty);
            }
        }
        self.books += 2;
    }

    fn finish(mut self) -> Option<DepthTables> {
        let permille = |part: u64, whole: u64| (part * 1_000).checked_div(whole).map(|p| p as u32);
        let mut levels_milli = self
            .levels
            .map(|count| (count * 1_000).checked_div(self.books).unwrap_or(0) as u32);
        // A snapshot of 1,000 levels cuts the book off; beyond its densest band each band of
        // the market holds at least three quarters as many levels as the band before.
        let densest = (0..BANDS).max_by_key(|&band| levels_milli[band])?;
        for band in densest + 1..BANDS {
            levels_milli[band] = levels_milli[band].max(levels_milli[band - 1] / 4 * 3);
        }
        let qty = tables(self.qty)?;
        let rest_ids = self.rest_ids.iter().map(|&ids| ids as u64).sum();
        let bands = (self.weights.into_iter().zip(levels_milli).zip(qty))
            .map(|((change_weight, levels_milli), qty_lots)| Band {
                change_weight,
                levels_milli,
                qty_lots,
            })
            .collect();
        Some(DepthTables {
            touch_level_permille: permille(self.burst_levels, self.burst_ids)?.min(1_000),
            rest_level_permille: permille(self.rest_levels, rest_ids)?.min(1_000),
            rest_ids: Quantiles::of(&mut self.rest_ids)?,
            resize_permille: permille(self.resized, self.changes)?,
            flash_permille: permille(self.removed_unseen, self.changes)?,
            bands,
            bid_qty_lots: tables(self.bid_qty)?,
            ask_qty_lots: tables(self.ask_qty)?,
        })
    }
}
