//! What changes in the market's book.
//!
//! Owns: the random choices behind every book change: how the touch moves, what an aggressive
//! order eats, where levels come, go and are resized. Does not: know time beyond how long the
//! touch rests, number or publish.
//!
//! Prices move in trends that the recordings show, and lean back towards where they started in
//! proportion to the distance, so that days of virtual time end in a sane market. Quantities near
//! the touch follow the table of their rank: when levels change rank, [`Process::settle`] brings
//! back those that no longer fit.

use std::sync::Arc;

use super::book::{Book, BookLevel, Side};
use super::measure::DEPTH_LEVELS;
use super::profile::{BANDS, GAP_CLASS_US, Model};
use super::publication::{Fill, PublicBook};
use super::random::Random;
use super::touch::{TouchMove, next_move};

/// A new best price shows its resting quantity at once when it rests longer than this, else what a
/// price shows while the market moves.
const REST_US: u64 = GAP_CLASS_US[3];

/// Largest step of the touch's place in its table of quantities, as a share of 2^32.
const TOUCH_STEP: u32 = 1 << 28;

/// The golden ratio's fraction as a share of 2^32.
const GOLDEN_RATIO: u32 = 0x9e37_79b9;

/// Quantities stay while within this many thousandths of their table's.
const SETTLE_PERMILLE: i64 = 100;

/// Of a thousand price changes away from the start price, how many turn round for each thousandth
/// of distance.
const LEAN_PERMILLE: u64 = 1;

/// Levels a side at most: a multiple of what the bands ask for. Beyond it no level is added.
const LEVELS_MAX: usize = 20_000;

/// Update ids owed by changes outside the bands at most; beyond it they are forgotten.
const OWED_IDS_MAX: u64 = 1_024;

/// The random choices of one symbol.
#[derive(Clone, Debug)]
pub(super) struct Process {
    model: Arc<Model>,
    random: Random,
    band_weights: [u32; BANDS],
    start_bid_ticks: i64,
    /// Way of the last price change.
    upward: bool,
    /// Place of the best bid's and ask's quantity in their tables.
    touch_position: [u32; 2],
    /// Places of levels near the touch in their tables of quantities. They follow the golden ratio
    /// instead of being drawn: the few levels of a side then always cover the table evenly.
    near_position: [u32; 2],
    /// Ids that changes near the touch took ahead of [`Process::accompany_touch`].
    owed_ids: u64,
}

impl Process {
    pub(super) fn new(model: Arc<Model>, random: Random, start_bid_ticks: i64) -> Self {
        let mut band_weights = [0; BANDS];
        for (weight, band) in band_weights.iter_mut().zip(&model.bands) {
            *weight = band.change_weight;
        }
        Self {
            model,
            random,
            band_weights,
            start_bid_ticks,
            upward: true,
            touch_position: [u32::MAX / 2; 2],
            near_position: [0; 2],
            owed_ids: 0,
        }
    }

    /// The book that the market opens with: every band holds its usual number of levels.
    pub(super) fn opening_book(&mut self) -> Book {
        let mut book = Book::default();
        let model = Arc::clone(&self.model);
        let bests = [
            (Side::Bid, -self.start_bid_ticks),
            (Side::Ask, self.start_bid_ticks + 1),
        ];
        for (side, best) in bests {
            let mut keys = vec![best];
            for (index, band) in model.bands.iter().enumerate() {
                let Some((from, to)) = band_keys(side, best, index) else {
                    continue;
                };
                let extra = self.random.chance(band.levels_milli % 1_000);
                let wanted = band.levels_milli / 1_000 + u32::from(extra);
                keys.extend((0..wanted).map(|_| self.random_key(from, to)));
            }
            keys.sort_unstable();
            keys.dedup();
            keys.truncate(LEVELS_MAX);
            for (rank, &key) in keys.iter().enumerate() {
                let position = self.random.uniform();
                let level = BookLevel {
                    key,
                    qty_lots: self.usual_qty(side, rank, key - best, position),
                    position,
                };
                book.set(side, level);
            }
        }
        book
    }

    /// Changes the touch; the fills are those of the aggressive order that does it, if any.
    pub(super) fn change_touch(
        &mut self,
        book: &mut PublicBook,
        fill_count: usize,
        rest_us: u64,
    ) -> Vec<Fill> {
        let spread = book.book().spread_ticks();
        let random = &mut self.random;
        match next_move(&self.model, random, spread, rest_us, fill_count) {
            TouchMove::Resize => {
                let side = self.unsettled_side(book.book());
                self.resize_touch(book, side, fill_count)
            }
            TouchMove::Shift(ticks) => {
                self.turn(book.book(), self.model.shift_continues_permille);
                let fills = self.retreat(book, ticks, fill_count, rest_us);
                self.advance(book, ticks, rest_us);
                fills
            }
            TouchMove::Widen(ticks) => {
                self.turn(book.book(), self.model.widen_continues_permille);
                self.retreat(book, ticks, fill_count, rest_us)
            }
            TouchMove::Narrow(ticks) => {
                self.turn(book.book(), self.model.narrow_continues_permille);
                let fills = if fill_count > 0 {
                    let side = self.retreating_side();
                    self.fill_unseen(book, side, fill_count)
                } else {
                    Vec::new()
                };
                self.advance(book, ticks, rest_us);
                fills
            }
        }
    }

    /// An aggressive order that leaves the touch as it was: what it takes is shown again at once,
    /// as an iceberg order does.
    pub(super) fn change_unseen(&mut self, book: &mut PublicBook, fill_count: usize) -> Vec<Fill> {
        let side = self.random_side();
        self.fill_unseen(book, side, fill_count)
    }

    /// Lets the update ids pass that come with a touch change.
    pub(super) fn accompany_touch(&mut self, book: &mut PublicBook) {
        let ids = self.model.touch_ids.at(self.random.uniform()) as u64 - 1;
        let owed = self.owed_ids.min(ids);
        self.owed_ids -= owed;
        self.pass(book, ids - owed, self.model.touch_level_permille);
    }

    /// How many update ids pass in 100 ms whatever the touch does.
    pub(super) fn ids_at_rest(&mut self) -> u64 {
        self.model.rest_ids.at(self.random.uniform()) as u64
    }

    /// Lets some of the ids of [`Process::ids_at_rest`] pass.
    pub(super) fn rest(&mut self, book: &mut PublicBook, ids: u64) {
        self.pass(book, ids, self.model.rest_level_permille);
    }

    fn pass(&mut self, book: &mut PublicBook, ids: u64, level_permille: u32) {
        for _ in 0..ids {
            if self.random.chance(level_permille) {
                self.change_away(book);
            } else {
                book.change_nothing();
            }
        }
    }

    /// Brings quantities of the best levels back to the tables of their ranks, and resizes one of
    /// them on each side: also in quiet times no level stands unchanged for long.
    pub(super) fn settle(&mut self, book: &mut PublicBook) {
        for side in Side::BOTH {
            let resized = 1 + self.random.below(DEPTH_LEVELS as u64 - 1) as usize;
            if let Some(level) = book.book().rank(side, resized) {
                self.set_away(book, side, level.key);
                self.owe(1);
            }
            for rank in 1..DEPTH_LEVELS {
                let Some(level) = book.book().rank(side, rank) else {
                    break;
                };
                let usual = self.rank_qty(side, rank, level.position);
                if (level.qty_lots - usual).abs() * 1_000 > usual * SETTLE_PERMILLE {
                    let qty_lots = usual;
                    book.change(side, BookLevel { qty_lots, ..level });
                    self.owe(1);
                }
            }
        }
    }

    fn random_side(&mut self) -> Side {
        if self.random.coin() {
            Side::Bid
        } else {
            Side::Ask
        }
    }

    /// The side whose best quantity is not what its table says, after a price change or a fill;
    /// either one when both or neither are.
    fn unsettled_side(&mut self, book: &Book) -> Side {
        let settled = Side::BOTH.map(|side| {
            let usual = self.rank_qty(side, 0, self.touch_position[side as usize]);
            book.best(side).qty_lots == usual
        });
        match settled {
            [false, true] => Side::Bid,
            [true, false] => Side::Ask,
            [true, true] | [false, false] => self.random_side(),
        }
    }

    /// Side that gives way in the direction of the last price change.
    fn retreating_side(&self) -> Side {
        if self.upward { Side::Ask } else { Side::Bid }
    }

    /// Chooses the way of the next price change.
    fn turn(&mut self, book: &Book, continues_permille: u32) {
        if !self.random.chance(continues_permille) {
            self.upward = !self.upward;
        }
        let bid = Side::Bid.price(book.best(Side::Bid).key);
        let away = if bid >= self.start_bid_ticks {
            self.upward
        } else {
            !self.upward
        };
        let off = (bid - self.start_bid_ticks).unsigned_abs();
        if away && self.random.below(self.start_bid_ticks as u64) < off * LEAN_PERMILLE {
            self.upward = !self.upward;
        }
    }

    /// The touch's price stays: a quantity changes or is taken from.
    fn resize_touch(&mut self, book: &mut PublicBook, side: Side, fill_count: usize) -> Vec<Fill> {
        let position = self.step_touch(side);
        let best = book.book().best(side);
        let rested = self.rank_qty(side, 0, position);
        let mut fills = self.fills(side, fill_count);
        if fills.is_empty() {
            let qty_lots = if rested == best.qty_lots {
                rested + 1
            } else {
                rested
            };
            book.change(
                side,
                BookLevel {
                    key: best.key,
                    qty_lots,
                    position,
                },
            );
            return fills;
        }
        let taken: i64 = fills.iter().map(|fill| fill.qty_lots).sum();
        let mut left = best.qty_lots;
        if left <= taken {
            left = taken + rested;
            book.change(
                side,
                BookLevel {
                    key: best.key,
                    qty_lots: left,
                    position,
                },
            );
            self.owe(1);
        }
        for fill in &mut fills {
            fill.key = best.key;
            left -= fill.qty_lots;
            book.change(
                side,
                BookLevel {
                    key: best.key,
                    qty_lots: left,
                    position,
                },
            );
        }
        self.owe(fills.len() as u64);
        close_aggregates(&mut fills);
        fills
    }

    /// A better price appears on the side that follows the price.
    fn advance(&mut self, book: &mut PublicBook, ticks: i64, rest_us: u64) {
        let side = self.retreating_side().opposite();
        let room = book.book().spread_ticks() - 1;
        let key = book.book().best(side).key - ticks.min(room);
        self.set_new_touch(book, side, key, rest_us);
    }

    /// The side that gives way loses its levels within `ticks`: what an order fills is taken, the
    /// rest is cancelled.
    fn retreat(
        &mut self,
        book: &mut PublicBook,
        ticks: i64,
        fill_count: usize,
        rest_us: u64,
    ) -> Vec<Fill> {
        let side = self.retreating_side();
        let best = book.book().best(side).key;
        // A price of zero ends every market.
        let key = if side == Side::Bid {
            (best + ticks).min(-1)
        } else {
            best + ticks
        };
        let swept = book.book().ranks(side, best, key).len();
        if swept == 0 {
            return self.resize_touch(book, side, fill_count);
        }
        let mut fills = self.fills(side, fill_count);
        let filled_levels = swept.min(fill_count);
        let mut next_fill = 0;
        for index in 0..swept {
            let level = book.book().best(side);
            let mut taken = 0;
            while next_fill < fill_count && next_fill * filled_levels / fill_count == index {
                fills[next_fill].key = level.key;
                taken += fills[next_fill].qty_lots;
                next_fill += 1;
            }
            if taken > 0 && taken != level.qty_lots {
                let qty_lots = taken;
                book.change(side, BookLevel { qty_lots, ..level });
                self.owe(1);
            }
            // The last level goes together with the arrival of the new one, so that the side is
            // never empty.
            if index + 1 == swept {
                self.set_new_touch(book, side, key, rest_us);
            }
            book.change(
                side,
                BookLevel {
                    qty_lots: 0,
                    ..level
                },
            );
            self.owe(1);
        }
        close_aggregates(&mut fills);
        fills
    }

    fn set_new_touch(&mut self, book: &mut PublicBook, side: Side, key: i64, rest_us: u64) {
        let position = self.random.uniform();
        self.touch_position[side as usize] = position;
        let qty_lots = if rest_us >= REST_US {
            self.rank_qty(side, 0, position)
        } else {
            self.model.fresh_touch_qty_lots.at(position)
        };
        book.change(
            side,
            BookLevel {
                key,
                qty_lots,
                position,
            },
        );
    }

    fn fill_unseen(&mut self, book: &mut PublicBook, side: Side, count: usize) -> Vec<Fill> {
        let best = book.book().best(side);
        let mut fills = self.fills(side, count);
        let taken: i64 = fills.iter().map(|fill| fill.qty_lots).sum();
        for fill in &mut fills {
            fill.key = best.key;
        }
        let shown = best.qty_lots + taken;
        book.change(
            side,
            BookLevel {
                qty_lots: shown,
                ..best
            },
        );
        book.change(side, best);
        self.owe(2);
        close_aggregates(&mut fills);
        fills
    }

    fn fills(&mut self, side: Side, count: usize) -> Vec<Fill> {
        (0..count)
            .map(|_| Fill {
                side,
                key: 0,
                qty_lots: self.model.trade_qty_lots.at(self.random.uniform()),
                closes_aggregate: false,
            })
            .collect()
    }

    /// One change of a level behind the touch.
    fn change_away(&mut self, book: &mut PublicBook) {
        let side = self.random_side();
        let Some(index) = self.random.weighted(self.band_weights.into_iter()) else {
            return book.change_nothing();
        };
        let best = book.book().best(side).key;
        let Some((from, to)) = band_keys(side, best, index) else {
            return book.change_nothing();
        };
        let resize = self.model.resize_permille;
        let flash = self.model.flash_permille;
        let kind = self.random.below(1_000) as u32;
        let ranks = book.book().ranks(side, from, to);
        if kind < flash {
            let key = self.random_key(from, to);
            if book.book().get(side, key).is_none() {
                self.set_away(book, side, key);
                remove(book, side, key);
                self.owe(1);
                return;
            }
        }
        let wanted = u64::from(self.model.bands[index].levels_milli);
        let standing = ranks.len() as u64 * 1_000;
        if kind >= flash + resize && self.random.below(wanted + standing) < wanted {
            if book.book().len(side) < LEVELS_MAX {
                let key = self.random_key(from, to);
                return self.set_away(book, side, key);
            }
        } else if !ranks.is_empty() {
            let rank = ranks.start + self.random.below(ranks.len() as u64) as usize;
            if let Some(level) = book.book().rank(side, rank) {
                if kind < flash + resize {
                    self.set_away(book, side, level.key);
                } else {
                    remove(book, side, level.key);
                }
                return;
            }
        }
        book.change_nothing();
    }

    /// Gives a level behind the touch a new quantity, adding it if need be.
    fn set_away(&mut self, book: &mut PublicBook, side: Side, key: i64) {
        let best = book.book().best(side).key;
        let rank = book.book().ranks(side, best, key).len();
        let position = if rank < DEPTH_LEVELS {
            self.next_near_position(side)
        } else {
            self.random.uniform()
        };
        book.change(
            side,
            BookLevel {
                key,
                qty_lots: self.usual_qty(side, rank, key - best, position),
                position,
            },
        );
    }

    /// The next place of a side's best quantity: a walk that turns back at both ends, under which
    /// every place stays equally likely.
    fn step_touch(&mut self, side: Side) -> u32 {
        let step = self.random.below(u64::from(TOUCH_STEP)) as u32;
        let up = self.random.coin();
        let position = &mut self.touch_position[side as usize];
        *position = if up {
            let (sum, over) = position.overflowing_add(step);
            if over { !sum } else { sum }
        } else {
            let (difference, under) = position.overflowing_sub(step);
            if under { !difference } else { difference }
        };
        *position
    }

    fn next_near_position(&mut self, side: Side) -> u32 {
        let position = &mut self.near_position[side as usize];
        *position = position.wrapping_add(GOLDEN_RATIO);
        *position
    }

    fn usual_qty(&self, side: Side, rank: usize, distance: i64, position: u32) -> i64 {
        if rank < DEPTH_LEVELS {
            return self.rank_qty(side, rank, position);
        }
        let band = distance.max(1).ilog2() as usize;
        self.model.bands[band.min(BANDS - 1)].qty_lots.at(position)
    }

    fn rank_qty(&self, side: Side, rank: usize, position: u32) -> i64 {
        let tables = match side {
            Side::Bid => &self.model.bid_qty_lots,
            Side::Ask => &self.model.ask_qty_lots,
        };
        tables[rank].at(position)
    }

    fn random_key(&mut self, from: i64, to: i64) -> i64 {
        from + self.random.below((to - from) as u64) as i64
    }

    fn owe(&mut self, ids: u64) {
        self.owed_ids = (self.owed_ids + ids).min(OWED_IDS_MAX);
    }
}

fn remove(book: &mut PublicBook, side: Side, key: i64) {
    book.change(
        side,
        BookLevel {
            key,
            qty_lots: 0,
            position: 0,
        },
    );
}

/// Keys of a band behind the best, half-open; `None` when none of its prices is positive.
fn band_keys(side: Side, best: i64, band: usize) -> Option<(i64, i64)> {
    let (from, to) = (best + (1 << band), best + (2 << band));
    let to = if side == Side::Bid { to.min(0) } else { to };
    (from < to).then_some((from, to))
}

/// Marks the last fill at each price.
fn close_aggregates(fills: &mut [Fill]) {
    for index in 0..fills.len() {
        fills[index].closes_aggregate = fills
            .get(index + 1)
            .is_none_or(|next| next.key != fills[index].key);
    }
}
