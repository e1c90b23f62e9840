//! Books: one update and the read of both best levels after it.
//!
//! One million updates, 21 % at the touch, 90 % within 20 levels of it. All peers get the same
//! updates in their own native form, and must show the same best levels before they are timed.

use crate::measure::{Gate, Peer, Random, compare, timed};
use barter_data::books::{Level as BarterLevel, OrderBookSide};
use hftbacktest::depth::{L2MarketDepth, MarketDepth, ROIVectorMarketDepth};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::time::Duration;
use veloz_core::book::{Book, Side};
use veloz_core::limits::{BOOK_FAR_LEVELS_MAX, BOOK_WINDOW_TICKS};
use veloz_core::units::{Lots, Ticks};

const UPDATES: usize = 1_000_000;
/// Long enough that a round is about the book, not about the caches that the peer before it left behind.
const UPDATES_PER_ROUND: usize = 250_000;
const ROUNDS: usize = 5 * UPDATES / UPDATES_PER_ROUND;
/// The price around which the books stand, in cents: the mid price is drawn back to it.
const CENTRE: i64 = 6_183_763;
/// hftbacktest's range of interest, each way; the updates must stay in it, or it would ignore them.
const ROI_TICKS: i64 = 1 << 16;
const TICK: f64 = 0.01;
const LOT: f64 = 0.001;

#[derive(Clone, Copy)]
struct Update {
    side: Side,
    price: i64,
    qty: i64,
}

/// Best levels, bid then ask, in ticks and lots.
type Bbo = [(i64, i64); 2];

trait Contestant {
    /// Applies one update by its position.
    fn apply(&mut self, nth: usize);
    /// Reads the best levels, in whatever units, so that the compiler cannot leave it out.
    fn read(&self) -> u64;
    fn bbo(&self) -> Bbo;
}

pub fn run() -> bool {
    let mut held = true;
    for (name, levels, gap) in [
        ("book A: 1,000 levels a side, gap 1.5 ticks", 1_000, 3),
        ("book B: 1,000 levels a side, gap 10 ticks", 1_000, 20),
        ("book C: 5,000 levels a side, gap 4 ticks", 5_000, 8),
    ] {
        let flow = Flow::generate(levels, gap);
        held &= group(name, &flow);
    }
    held
}

fn group(name: &str, flow: &Flow) -> bool {
    let mut expected: Option<Vec<Bbo>> = None;
    let mut check = |name: &str, mut book: Box<dyn Contestant + '_>| {
        let mut samples = Vec::new();
        for nth in 0..UPDATES {
            book.apply(nth);
            if nth % 1_000 == 999 {
                samples.push(book.bbo());
            }
        }
        match &expected {
            None => expected = Some(samples),
            Some(expected) => assert_eq!(&samples, expected, "{name} shows another book"),
        }
    };
    let ours = Ours::updates(flow);
    let hft = HftBacktest::updates(flow);
    let barter = Barter::updates(flow);
    check("veloz-core", Box::new(Ours::new(flow, &ours)));
    check("std BTreeMap", Box::new(Maps::new(flow, &ours)));
    check("hftbacktest", Box::new(HftBacktest::new(flow, &hft)));
    check("barter-data", Box::new(Barter::new(flow, &barter)));

    compare(
        name,
        UPDATES_PER_ROUND,
        ROUNDS,
        &mut [
            Peer::new(
                "veloz-core Book",
                Gate::None,
                rounds(|| Ours::new(flow, &ours)),
            ),
            Peer::new(
                "hftbacktest ROIVectorMarketDepth",
                Gate::AtLeast(2.0),
                rounds(|| HftBacktest::new(flow, &hft)),
            ),
            Peer::new(
                "std BTreeMap x 2",
                Gate::AtLeast(3.5),
                rounds(|| Maps::new(flow, &ours)),
            ),
            Peer::new(
                "barter-data OrderBookSide x 2",
                Gate::AtLeast(6.0),
                rounds(|| Barter::new(flow, &barter)),
            ),
        ],
    )
}

/// Walks one book through the stream, a round at a time, and again from the start at its end.
fn rounds<C: Contestant>(new: impl Fn() -> C) -> impl FnMut(usize) -> Duration {
    // The fresh books stand ready, so that no round pays for building one.
    let mut fresh: Vec<C> = (0..ROUNDS * UPDATES_PER_ROUND / UPDATES)
        .map(|_| new())
        .collect();
    let mut book = fresh.pop().expect("at least one pass");
    move |round| {
        let start = round * UPDATES_PER_ROUND % UPDATES;
        if start == 0 && round > 0 {
            book = fresh.pop().expect("one book a pass");
        }
        timed(|| {
            let mut sum = 0u64;
            for nth in start..start + UPDATES_PER_ROUND {
                book.apply(nth);
                sum = sum.wrapping_add(book.read());
            }
            std::hint::black_box(sum);
        })
    }
}

struct Flow {
    snapshot: Vec<Update>,
    updates: Vec<Update>,
}

impl Flow {
    /// A book of `levels` a side whose neighbours are `half_gap_max / 2` ticks apart on average,
    /// and updates that keep it so.
    fn generate(levels: usize, half_gap_max: u64) -> Self {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        // Distances from the centre, best first; a side's price is centre -/+ distance.
        let mut sides: [Vec<i64>; 2] = [(); 2].map(|()| {
            let mut at = 0;
            let mut next = || {
                at += 1 + random.below(half_gap_max.max(2) - 1) as i64;
                at
            };
            (0..levels).map(|_| next()).collect()
        });
        let price = |side: Side, distance: i64| match side {
            Side::Bid => CENTRE - distance,
            Side::Ask => CENTRE + distance,
        };
        let mut snapshot = Vec::new();
        for side in Side::ALL {
            for &distance in &sides[side as usize] {
                snapshot.push(Update {
                    side,
                    price: price(side, distance),
                    qty: 1 + random.below(100_000) as i64,
                });
            }
        }
        let mut updates = Vec::with_capacity(UPDATES);
        while updates.len() < UPDATES {
            let side = Side::ALL[random.below(2) as usize];
            let distances = &mut sides[side as usize];
            let rank = match random.below(100) {
                0..21 => 0,
                21..90 => 1 + random.below(19) as usize,
                _ => 20 + random.below(distances.len() as u64 - 20) as usize,
            };
            let kind = random.below(100);
            let (distance, qty) = if kind < 60 {
                (distances[rank], 1 + random.below(100_000) as i64)
            } else if kind < 80 && distances.len() > levels * 9 / 10 {
                (distances.remove(rank), 0)
            } else {
                // A new level in front of this one, if there is room before its neighbour; the
                // spread never closes, because distances stay positive.
                let front = if rank == 0 { 0 } else { distances[rank - 1] };
                let room = distances[rank] - front - 1;
                if room == 0 || distances.len() > levels * 11 / 10 {
                    continue;
                }
                let distance = front + 1 + random.below(room as u64) as i64;
                distances.insert(rank, distance);
                (distance, 1 + random.below(100_000) as i64)
            };
            updates.push(Update {
                side,
                price: price(side, distance),
                qty,
            });
        }
        for update in snapshot.iter().chain(&updates) {
            assert!((update.price - CENTRE).abs() < ROI_TICKS);
        }
        Self { snapshot, updates }
    }
}

struct Ours<'a> {
    book: Book,
    updates: &'a [Update],
}

impl<'a> Ours<'a> {
    fn updates(flow: &Flow) -> Vec<Update> {
        flow.updates.clone()
    }

    fn new(flow: &Flow, updates: &'a [Update]) -> Self {
        let mut book = Book::new(BOOK_WINDOW_TICKS, BOOK_FAR_LEVELS_MAX);
        for update in &flow.snapshot {
            book.set(update.side, Ticks(update.price), Lots(update.qty))
                .expect("room");
        }
        Self { book, updates }
    }
}

impl Contestant for Ours<'_> {
    #[inline(always)]
    fn apply(&mut self, nth: usize) {
        let update = self.updates[nth];
        self.book
            .set(update.side, Ticks(update.price), Lots(update.qty))
            .expect("room");
    }

    #[inline(always)]
    fn read(&self) -> u64 {
        Side::ALL.into_iter().fold(0u64, |sum, side| {
            let level = self.book.best(side).expect("a side with levels");
            sum.wrapping_add((level.price.0 ^ level.qty.0) as u64)
        })
    }

    fn bbo(&self) -> Bbo {
        Side::ALL.map(|side| {
            let level = self.book.best(side).expect("a side with levels");
            (level.price.0, level.qty.0)
        })
    }
}

struct Maps<'a> {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    updates: &'a [Update],
}

impl<'a> Maps<'a> {
    fn new(flow: &Flow, updates: &'a [Update]) -> Self {
        let mut maps = Self {
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            updates,
        };
        for update in &flow.snapshot {
            maps.set(*update);
        }
        maps
    }

    #[inline(always)]
    fn set(&mut self, update: Update) {
        let side = match update.side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        if update.qty == 0 {
            side.remove(&update.price);
        } else {
            side.insert(update.price, update.qty);
        }
    }
}

impl Contestant for Maps<'_> {
    #[inline(always)]
    fn apply(&mut self, nth: usize) {
        self.set(self.updates[nth]);
    }

    #[inline(always)]
    fn read(&self) -> u64 {
        let [bid, ask] = self.bbo();
        ((bid.0 ^ bid.1) as u64).wrapping_add((ask.0 ^ ask.1) as u64)
    }

    #[inline(always)]
    fn bbo(&self) -> Bbo {
        let bid = self.bids.last_key_value().expect("bids");
        let ask = self.asks.first_key_value().expect("asks");
        [(*bid.0, *bid.1), (*ask.0, *ask.1)]
    }
}

struct HftBacktest<'a> {
    depth: ROIVectorMarketDepth,
    updates: &'a [(Side, f64, f64)],
}

impl<'a> HftBacktest<'a> {
    fn native(update: &Update) -> (Side, f64, f64) {
        (
            update.side,
            update.price as f64 * TICK,
            update.qty as f64 * LOT,
        )
    }

    fn updates(flow: &Flow) -> Vec<(Side, f64, f64)> {
        flow.updates.iter().map(Self::native).collect()
    }

    fn new(flow: &Flow, updates: &'a [(Side, f64, f64)]) -> Self {
        let bound = |ticks: i64| ticks as f64 * TICK;
        let low = bound(CENTRE - ROI_TICKS);
        let high = bound(CENTRE + ROI_TICKS);
        let mut book = Self {
            depth: ROIVectorMarketDepth::new(TICK, LOT, low, high),
            updates,
        };
        for update in &flow.snapshot {
            book.set(Self::native(update));
        }
        book
    }

    #[inline(always)]
    fn set(&mut self, (side, price, qty): (Side, f64, f64)) {
        match side {
            Side::Bid => self.depth.update_bid_depth(price, qty, 0),
            Side::Ask => self.depth.update_ask_depth(price, qty, 0),
        };
    }
}

impl Contestant for HftBacktest<'_> {
    #[inline(always)]
    fn apply(&mut self, nth: usize) {
        self.set(self.updates[nth]);
    }

    #[inline(always)]
    fn read(&self) -> u64 {
        let bid = self.depth.best_bid_tick() as u64 ^ self.depth.best_bid_qty().to_bits();
        let ask = self.depth.best_ask_tick() as u64 ^ self.depth.best_ask_qty().to_bits();
        bid.wrapping_add(ask)
    }

    fn bbo(&self) -> Bbo {
        let lots = |qty: f64| (qty / LOT).round() as i64;
        [
            (self.depth.best_bid_tick(), lots(self.depth.best_bid_qty())),
            (self.depth.best_ask_tick(), lots(self.depth.best_ask_qty())),
        ]
    }
}

struct Barter<'a> {
    bids: OrderBookSide<barter_data::books::Bids>,
    asks: OrderBookSide<barter_data::books::Asks>,
    updates: &'a [(Side, BarterLevel)],
}

impl<'a> Barter<'a> {
    fn native(update: &Update) -> (Side, BarterLevel) {
        let price = Decimal::new(update.price, 2);
        (
            update.side,
            BarterLevel::new(price, Decimal::new(update.qty, 3)),
        )
    }

    fn updates(flow: &Flow) -> Vec<(Side, BarterLevel)> {
        flow.updates.iter().map(Self::native).collect()
    }

    fn new(flow: &Flow, updates: &'a [(Side, BarterLevel)]) -> Self {
        let side = |wanted: Side| {
            let levels = flow.snapshot.iter().map(Self::native);
            levels.filter_map(move |(side, level)| (side == wanted).then_some(level))
        };
        Self {
            bids: OrderBookSide::bids(side(Side::Bid)),
            asks: OrderBookSide::asks(side(Side::Ask)),
            updates,
        }
    }
}

impl Contestant for Barter<'_> {
    #[inline(always)]
    fn apply(&mut self, nth: usize) {
        let (side, level) = self.updates[nth];
        match side {
            Side::Bid => self
                .bids
                .upsert_single(level, |held| held.price.cmp(&level.price).reverse()),
            Side::Ask => self
                .asks
                .upsert_single(level, |held| held.price.cmp(&level.price)),
        }
    }

    #[inline(always)]
    fn read(&self) -> u64 {
        let bid = self.bids.best().expect("bids");
        let ask = self.asks.best().expect("asks");
        let bits = |level: &BarterLevel| (level.price.mantissa() ^ level.amount.mantissa()) as u64;
        bits(bid).wrapping_add(bits(ask))
    }

    fn bbo(&self) -> Bbo {
        let best = |level: Option<&BarterLevel>| {
            let level = level.expect("a side with levels");
            (
                level.price.mantissa() as i64,
                level.amount.mantissa() as i64,
            )
        };
        [best(self.bids.best()), best(self.asks.best())]
    }
}
