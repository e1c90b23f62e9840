//! The tables of touch changes, and the tuning of those that say how wide spreads close.

use std::sync::Arc;

use super::slots::{Slot, SlotKind};
use crate::venue::flow::fit::tables;
use crate::venue::flow::profile::{
    FILL_GAP_US, GAP_CLASS_US, GAP_CLASSES, Model, OUTCOME_SAME, OUTCOME_SHIFT, SPREAD_CLASSES,
    TAKER_CLASSES, TAKER_LEAD_US, TOUCH_OUTCOMES, gap_class, spread_class, taker_class, touch_row,
};
use crate::venue::flow::quantiles::Quantiles;
use crate::venue::flow::random::Random;
use crate::venue::flow::schedule::{Due, Schedule};
use crate::venue::flow::touch::{TouchMove, next_move};

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

/// What touch changes do.
pub(super) struct TouchTables {
    pub(super) rows: Vec<[u32; TOUCH_OUTCOMES]>,
    pub(super) spread_ticks: Vec<Quantiles>,
    pub(super) shift_ticks: Quantiles,
    pub(super) narrow_continues_permille: u32,
    pub(super) widen_continues_permille: u32,
    pub(super) shift_continues_permille: u32,
    pub(super) ids: Quantiles,
    pub(super) fresh_qty_lots: Quantiles,
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
    pub(super) fn of(slots: &[Slot]) -> Option<Self> {
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
pub(super) fn tune_closing(model: &mut Model, wide_ticks: i64) {
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
fn sum(row: &[u32]) -> u32 {
    row.iter().sum()
}
