//! Turns recorded market data into the tables of a [`SymbolProfile`].
//!
//! Owns: what each table of [`Model`] counts. Does not: read files or sample. Run by the
//! `calibrate_flow` example, and by the test that holds the shipped profiles against recordings.

use std::sync::Arc;

use super::measure::{DEPTH_LEVELS, Measure, Message, Observed, ObservedLevel, RebuiltBook};
use super::profile::{
    BANDS, BURST_WINDOW_US, Band, FILL_GAP_US, GAP_CLASS_US, GAP_CLASSES, Model, OUTCOME_SAME,
    OUTCOME_SHIFT, QUIET_CLASSES, SLOT_STATES, SPREAD_CLASSES, SymbolProfile, TAKER_CLASSES,
    TAKER_LEAD_US, TOUCH_OUTCOMES, band, burst_class, gap_class, quiet_class, slot_row, slot_state,
    spread_class, taker_class, touch_row,
};
use super::quantiles::Quantiles;
use super::random::Random;
use super::schedule::{Due, Schedule};
use super::touch::{TouchMove, next_move};

/// Rows with fewer samples borrow from their neighbours.
const ROW_SAMPLES_MIN: u32 = 20;
/// Neutral weight of a touch row when closings are scaled.
const CLOSING_PERMILLE: u32 = 1_000;
/// Between which scales the right one is looked for.
const CLOSING_RANGE_PERMILLE: (u32, u32) = (100, 3_000);
/// What the tuning aims at: the 90 % point of the spread.
const WIDE_SHARE_PPM: u64 = 100_000;
/// Touch changes that are drawn for each scale: four hours of BTCUSDT.
const TUNING_TOUCHES: u64 = 1_600_000;
/// Any seed: the same draws for each scale make the share fall smoothly.
const TUNING_SEED: u64 = 1;
/// Touch changes closer than this are one burst.
const BURST_GAP_US: u64 = GAP_CLASS_US[REST_CLASS - 1];
/// Gap classes from this one on are rests between bursts.
const REST_CLASS: usize = 4;
/// Diffs with at least this many tickers show what bursts do.
const BURST_TICKERS_MIN: u64 = 16;

/// What is fixed about the symbol of a recording.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// `BTCUSDT`.
    pub symbol: &'a str,
    /// `BTC`.
    pub base: &'a str,
    /// `USDT`.
    pub quote: &'a str,
    /// Price grid in 1e-8.
    pub tick_e8: i64,
    /// Quantity grid in 1e-8.
    pub lot_e8: i64,
}

/// The profile of a recording; `None` when it lacks a kind of message that a table needs.
pub fn fit(recording: Recording<'_>, observed: &[Observed]) -> Option<SymbolProfile> {
    let mut measure = Measure::default();
    for one in observed {
        measure.observe(one);
    }
    let slots = slots(observed);
    let (slot_rows, slot_gap_us) = slot_tables(&slots)?;
    let touch = TouchTables::of(&slots)?;
    let depth = DepthTables::of(observed)?;
    let mut trade_qty: Vec<i64> = Vec::new();
    let mut start_bid_ticks = None;
    for one in observed {
        match &one.message {
            Message::Trade { qty, .. } => trade_qty.push(*qty),
            Message::Ticker { bid, .. } => _ = start_bid_ticks.get_or_insert(bid.0),
            Message::Snapshot { .. } | Message::Depth { .. } => {}
        }
    }
    let mut profile = SymbolProfile {
        symbol: recording.symbol.to_owned(),
        base: recording.base.to_owned(),
        quote: recording.quote.to_owned(),
        tick_e8: recording.tick_e8,
        lot_e8: recording.lot_e8,
        start_bid_ticks: start_bid_ticks?,
        measured: measure.finish()?,
        model: Model {
            slot_rows,
            slot_gap_us,
            touch_rows: touch.rows,
            spread_ticks: touch.spread_ticks,
            shift_ticks: touch.shift_ticks,
            narrow_continues_permille: touch.narrow_continues_permille,
            widen_continues_permille: touch.widen_continues_permille,
            shift_continues_permille: touch.shift_continues_permille,
            touch_ids: touch.ids,
            touch_level_permille: depth.touch_level_permille,
            rest_ids: depth.rest_ids,
            rest_level_permille: depth.rest_level_permille,
            resize_permille: depth.resize_permille,
            flash_permille: depth.flash_permille,
            bands: depth.bands,
            bid_qty_lots: depth.bid_qty_lots,
            ask_qty_lots: depth.ask_qty_lots,
            fresh_touch_qty_lots: touch.fresh_qty_lots,
            trade_qty_lots: Quantiles::of(&mut trade_qty)?,
        },
    };
    // The 90 % point: the share of tickers that show more than it is a tenth.
    let [_, _, wide_ticks, _] = profile.measured.spread_at_ticker_ticks;
    tune_closing(&mut profile.model, wide_ticks);
    Some(profile)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotKind {
    Touch {
        update_id: u64,
        bid: ObservedLevel,
        ask: ObservedLevel,
    },
    Trade,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    at_us: u64,
    /// Since the slot before; zero for the first.
    gap_us: u64,
    kind: SlotKind,
}

fn slots(observed: &[Observed]) -> Vec<Slot> {
    let mut slots: Vec<Slot> = Vec::new();
    let mut last_ns = None;
    for one in observed {
        let kind = match one.message {
            Message::Ticker {
                update_id,
                bid,
                ask,
            } => SlotKind::Touch {
                update_id,
                bid,
                ask,
            },
            Message::Trade { .. } => SlotKind::Trade,
            Message::Snapshot { .. } | Message::Depth { .. } => continue,
        };
        let since_ns = one.at_ns - last_ns.unwrap_or(one.at_ns);
        last_ns = Some(one.at_ns);
        slots.push(Slot {
            at_us: one.at_ns / 1_000,
            gap_us: since_ns / 1_000,
            kind,
        });
    }
    slots
}

type SlotTables = (Vec<Vec<(usize, u32)>>, Vec<Quantiles>);

fn slot_tables(slots: &[Slot]) -> Option<SlotTables> {
    let states = slot_states(slots);
    let mut rows = vec![[0u32; SLOT_STATES]; SLOT_STATES * QUIET_CLASSES];
    let mut gaps: Vec<Vec<i64>> = vec![Vec::new(); SLOT_STATES];
    let mut last_trade_us = slots.first()?.at_us;
    for (slots, states) in slots.windows(2).zip(states.windows(2)) {
        if slots[0].kind == SlotKind::Trade {
            last_trade_us = slots[0].at_us;
        }
        let quiet = quiet_class(slots[0].at_us - last_trade_us);
        rows[slot_row(states[0], quiet)][states[1]] += 1;
        gaps[states[1]].push(slots[1].gap_us as i64);
    }
    // The recording's end leads on to its start, so that no state is a dead end.
    rows[slot_row(*states.last()?, 0)][*states.first()?] += 1;
    let sparse = |row: [u32; SLOT_STATES]| {
        let weights = row.into_iter().enumerate();
        weights.filter(|&(_, weight)| weight > 0).collect()
    };
    Some((rows.into_iter().map(sparse).collect(), tables(gaps)?))
}

fn slot_states(slots: &[Slot]) -> Vec<usize> {
    let around = |slot: &Slot| {
        let from = slots.partition_point(|other| other.at_us + BURST_WINDOW_US < slot.at_us);
        let to = slots.partition_point(|other| other.at_us <= slot.at_us + BURST_WINDOW_US);
        to - from
    };
    slots
        .iter()
        .map(|slot| {
            let is_trade = slot.kind == SlotKind::Trade;
            slot_state(burst_class(around(slot)), is_trade, gap_class(slot.gap_us))
        })
        .collect()
}

struct TouchTables {
    rows: Vec<[u32; TOUCH_OUTCOMES]>,
    spread_ticks: Vec<Quantiles>,
    shift_ticks: Quantiles,
    narrow_continues_permille: u32,
    widen_continues_permille: u32,
    shift_continues_permille: u32,
    ids: Quantiles,
    fresh_qty_lots: Quantiles,
}

/// How often price changes of one kind go the way of the price change before.
#[derive(Default)]
struct Continuation {
    same: u32,
    all: u32,
}

impl Continuation {
    fn count(&mut self, direction: i64, last_direction: i64) {
        if direction != 0 && last_direction != 0 {
            self.all += 1;
            self.same += u32::from(direction == last_direction);
        }
    }

    fn permille(&self) -> u32 {
        (self.same * 1_000).checked_div(self.all).unwrap_or(500)
    }
}

impl TouchTables {
    fn of(slots: &[Slot]) -> Option<Self> {
        let mut rows = vec![[0u32; TOUCH_OUTCOMES]; SPREAD_CLASSES * GAP_CLASSES * TAKER_CLASSES];
        let mut spreads: Vec<Vec<i64>> = vec![Vec::new(); SPREAD_CLASSES];
        let [mut ids, mut shifts, mut fresh] = [(); 3].map(|()| Vec::new());
        let mut spread_at_rest = [[0u32; SPREAD_CLASSES]; GAP_CLASSES];
        let mut last_direction = 0;
        let [mut narrow, mut widen, mut shift] = [(); 3].map(|()| Continuation::default());
        let touches: Vec<usize> = (0..slots.len())
            .filter(|&index| slots[index].kind != SlotKind::Trade)
            .collect();
        for touch in touches.windows(3) {
            let [before, now, after] = [touch[0], touch[1], touch[2]].map(|index| slots[index]);
            let (
                SlotKind::Touch {
                    update_id: old_id,
                    bid: old_bid,
                    ask: old_ask,
                },
                SlotKind::Touch {
                    update_id,
                    bid,
                    ask,
                },
            ) = (before.kind, now.kind)
            else {
                continue;
            };
            // Over longer gaps most ids belong to the time that passes, not to the touch.
            if now.at_us - before.at_us < BURST_GAP_US {
                ids.push((update_id - old_id) as i64);
            }
            let (old_spread, spread) = (old_ask.0 - old_bid.0, ask.0 - bid.0);
            spreads[spread_class(spread)].push(spread);
            let (bid_moved, ask_moved) = (bid.0 - old_bid.0, ask.0 - old_ask.0);
            let direction = (bid_moved + ask_moved).signum();
            let outcome = if bid_moved == 0 && ask_moved == 0 {
                OUTCOME_SAME
            } else if spread == old_spread {
                shifts.push(bid_moved.abs());
                shift.count(direction, last_direction);
                OUTCOME_SHIFT
            } else {
                let kind = if spread < old_spread {
                    &mut narrow
                } else {
                    &mut widen
                };
                kind.count(direction, last_direction);
                OUTCOME_SHIFT + 1 + spread_class(spread)
            };
            if direction != 0 {
                last_direction = direction;
            }
            if bid_moved != 0 {
                fresh.push(bid.1);
            }
            if ask_moved != 0 {
                fresh.push(ask.1);
            }
            let gap = gap_class(after.at_us - now.at_us);
            spread_at_rest[gap][spread_class(spread)] += 1;
            let taker = taker_class(fills_after(slots, touch[1]));
            rows[touch_row(spread_class(old_spread), gap, taker)][outcome] += 1;
        }
        Some(Self {
            rows: pooled(&rows, &spread_at_rest),
            spread_ticks: tables(spreads)?,
            shift_ticks: Quantiles::of(&mut shifts)?,
            narrow_continues_permille: narrow.permille(),
            widen_continues_permille: widen.permille(),
            shift_continues_permille: shift.permille(),
            ids: Quantiles::of(&mut ids)?,
            fresh_qty_lots: Quantiles::of(&mut fresh)?,
        })
    }
}

/// Fills of the aggressive order that caused the touch change at `index`: the trades that follow
/// it at once.
fn fills_after(slots: &[Slot], index: usize) -> usize {
    slots[index + 1..]
        .iter()
        .enumerate()
        .take_while(|(position, slot)| {
            let limit = if *position == 0 {
                TAKER_LEAD_US
            } else {
                FILL_GAP_US
            };
            slot.kind == SlotKind::Trade && slot.gap_us <= limit
        })
        .count()
}

/// Rows with too few samples get those of all takers, then of all wide spreads, then of all gaps.
///
/// Before a long rest the recordings have wide spreads almost never, because bursts end before
/// they do. The market's gaps do not know the spread, so there a wide spread becomes what spreads
/// are at the start of such a rest.
fn pooled(
    rows: &[[u32; TOUCH_OUTCOMES]],
    spread_at_rest: &[[u32; SPREAD_CLASSES]; GAP_CLASSES],
) -> Vec<[u32; TOUCH_OUTCOMES]> {
    let total = |of: &mut dyn Iterator<Item = usize>| {
        of.fold([0u32; TOUCH_OUTCOMES], |mut total, index| {
            total.iter_mut().zip(rows[index]).for_each(|(a, b)| *a += b);
            total
        })
    };
    let mut result = Vec::with_capacity(rows.len());
    for spread in 0..SPREAD_CLASSES {
        for gap in 0..GAP_CLASSES {
            for taker in 0..TAKER_CLASSES {
                if spread > 0 && gap >= REST_CLASS {
                    let mut row = [0; TOUCH_OUTCOMES];
                    row[OUTCOME_SHIFT + 1..].copy_from_slice(&spread_at_rest[gap]);
                    result.push(row);
                    continue;
                }
                let own = rows[touch_row(spread, gap, taker)];
                let takers = total(&mut (0..TAKER_CLASSES).map(|t| touch_row(spread, gap, t)));
                let gaps = total(
                    &mut (0..GAP_CLASSES)
                        .flat_map(|g| (0..TAKER_CLASSES).map(move |t| touch_row(spread, g, t))),
                );
                let wide = total(
                    &mut (spread.min(1)..SPREAD_CLASSES)
                        .flat_map(|s| (0..TAKER_CLASSES).map(move |t| touch_row(s, gap, t))),
                );
                let enough = [own, takers, wide]
                    .into_iter()
                    .find(|row| sum(row) >= ROW_SAMPLES_MIN);
                result.push(enough.unwrap_or(gaps));
            }
        }
    }
    result
}

/// Scales how readily wide spreads close within bursts until a tenth of all tickers show
/// `wide_ticks` or more, half of the tickers with exactly that spread counted.
///
/// In the recordings wide spreads and quick successions of tickers come together; the market draws
/// gaps without knowing the spread, so the rows alone would close wide spreads too early.
fn tune_closing(model: &mut Model, wide_ticks: i64) {
    let fitted = model.clone();
    let scaled = |permille: u32| {
        let mut model = fitted.clone();
        for spread in 1..SPREAD_CLASSES {
            for gap in 0..REST_CLASS {
                for taker in 0..TAKER_CLASSES {
                    let row = &mut model.touch_rows[touch_row(spread, gap, taker)];
                    for (outcome, weight) in row.iter_mut().enumerate() {
                        let closes = outcome == OUTCOME_SHIFT + 1;
                        *weight *= if closes { permille } else { CLOSING_PERMILLE };
                    }
                }
            }
        }
        model
    };
    let (mut low, mut high) = CLOSING_RANGE_PERMILLE;
    while high - low > 1 {
        let middle = u32::midpoint(low, high);
        // Closing more readily leaves fewer wide spreads.
        if wide_share_ppm(scaled(middle), wide_ticks) > WIDE_SHARE_PPM {
            low = middle;
        } else {
            high = middle;
        }
    }
    *model = scaled(high);
}

/// Of a million touch changes, how many show a spread of `wide_ticks` or more, those with exactly
/// that spread counted half.
fn wide_share_ppm(model: Model, wide_ticks: i64) -> u64 {
    let model = Arc::new(model);
    let mut random = Random::new(TUNING_SEED);
    let mut schedule = Schedule::new(Arc::clone(&model), Random::new(TUNING_SEED + 1), 0);
    let (mut spread, mut halves) = (1, 0);
    let mut touches = 0;
    while touches < TUNING_TOUCHES {
        let Due::Touch {
            fills_at_us,
            rest_us,
        } = schedule.take()
        else {
            continue;
        };
        spread += match next_move(&model, &mut random, spread, rest_us, fills_at_us.len()) {
            TouchMove::Resize | TouchMove::Shift(_) => 0,
            TouchMove::Widen(ticks) => ticks,
            TouchMove::Narrow(ticks) => -ticks,
        };
        halves += u64::from(spread >= wide_ticks) + u64::from(spread > wide_ticks);
        touches += 1;
    }
    halves * 500_000 / touches
}

struct DepthTables {
    touch_level_permille: u32,
    rest_ids: Quantiles,
    rest_level_permille: u32,
    resize_permille: u32,
    flash_permille: u32,
    bands: Vec<Band>,
    bid_qty_lots: Vec<Quantiles>,
    ask_qty_lots: Vec<Quantiles>,
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
    fn of(observed: &[Observed]) -> Option<Self> {
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

/// A table for each list of samples; an empty one borrows its neighbour's.
fn tables(samples: Vec<Vec<i64>>) -> Option<Vec<Quantiles>> {
    let found: Vec<Option<Quantiles>> = samples
        .into_iter()
        .map(|mut samples| Quantiles::of(&mut samples))
        .collect();
    let nearest = |index: usize| {
        (0..found.len())
            .filter(|&other| found[other].is_some())
            .min_by_key(|other| other.abs_diff(index))
            .and_then(|other| found[other].clone())
    };
    (0..found.len()).map(nearest).collect()
}

fn sum(row: &[u32]) -> u32 {
    row.iter().sum()
}
