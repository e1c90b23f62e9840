//! What the synthetic market knows about a symbol: the figures to reproduce and the tables that
//! reproduce them.
//!
//! Owns: [`SymbolProfile`], its text form and its validation, and the two shipped profiles. The
//! shipped text is written by `cargo run -p veloz --example calibrate_flow` from recordings and
//! holds distributions only, no recorded message. Does not: sample.
//!
//! How the tables divide the market:
//! - *Slots* are the moments of touch changes and trades: a Markov chain over (burst class, kind,
//!   gap class), conditioned on the time since the last trade, with a distribution of gaps for
//!   each state. The burst class says how many slots stand around this one.
//! - *Touch rows* say what a touch change does to the spread, given the spread, the time until the
//!   next change, and whether an aggressive order causes it.
//! - *Bands* are distances from the touch, doubling in width; each has a share of the changes away
//!   from the touch, a number of levels that it returns to, and a distribution of quantities.
//! - *Depth tables* are the quantities at each of the best levels.

use serde::{Deserialize, Serialize};
use veloz_core::units::E8;

use super::measure::{DEPTH_LEVELS, Statistics};
use super::quantiles::Quantiles;
use crate::venue::source::SymbolSpec;

/// Upper bounds of the gap classes in microseconds, exclusive; the last class has none.
pub const GAP_CLASS_US: [u64; 6] = [4, 50, 1_000, 4_000, 15_000, 50_000];
/// Gap classes.
pub const GAP_CLASSES: usize = GAP_CLASS_US.len() + 1;
/// How far around a slot its neighbours are counted.
pub const BURST_WINDOW_US: u64 = 50_000;
/// Upper bounds of the burst classes in slots around, exclusive; the last class has none.
pub const BURST_CLASS_SLOTS: [usize; 2] = [10, 40];
/// Burst classes.
pub const BURST_CLASSES: usize = BURST_CLASS_SLOTS.len() + 1;
/// Slot states: burst class, then touch change or trade, then gap class.
pub const SLOT_STATES: usize = BURST_CLASSES * 2 * GAP_CLASSES;
/// Upper bounds of the classes of time since the last trade in microseconds, exclusive.
pub const QUIET_CLASS_US: [u64; 4] = [5_000, 25_000, 100_000, 300_000];
/// Classes of time since the last trade.
pub const QUIET_CLASSES: usize = QUIET_CLASS_US.len() + 1;
/// Upper bounds of the spread classes in ticks, exclusive; the last class has none.
pub const SPREAD_CLASS_TICKS: [i64; 5] = [2, 4, 16, 64, 256];
/// Spread classes.
pub const SPREAD_CLASSES: usize = SPREAD_CLASS_TICKS.len() + 1;
/// Classes of aggressive orders: none, up to two fills, more.
pub const TAKER_CLASSES: usize = 3;
/// Outcomes of a touch change: same prices, both prices shifted, or a new spread of a class.
pub const TOUCH_OUTCOMES: usize = 2 + SPREAD_CLASSES;
/// Outcome: prices stay, a quantity changes.
pub const OUTCOME_SAME: usize = 0;
/// Outcome: both prices move the same way.
pub const OUTCOME_SHIFT: usize = 1;
/// Distance bands: band `n` holds distances in `[2^n, 2^(n+1))` ticks.
pub const BANDS: usize = 24;
/// A trade belongs to the touch change before it when it follows within this time.
pub const TAKER_LEAD_US: u64 = 5_000;
/// Trades closer together than this are fills of one order.
pub const FILL_GAP_US: u64 = 20;

/// Where a market starts: a touch change in quiet times, after a short gap.
pub const FIRST_SLOT_STATE: usize = 0;

/// Quantities and prices stay far inside 64 bits; a table beyond this is damaged.
const VALUE_MAX: i64 = 1 << 40;

/// A symbol of the synthetic market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymbolProfile {
    /// `BTCUSDT`.
    pub symbol: String,
    /// `BTC`.
    pub base: String,
    /// `USDT`.
    pub quote: String,
    /// Price grid in 1e-8.
    pub tick_e8: i64,
    /// Quantity grid in 1e-8.
    pub lot_e8: i64,
    /// Best bid at the start, and the price that the market returns to over days.
    pub start_bid_ticks: i64,
    /// What the recordings measured.
    pub measured: Statistics,
    /// The tables.
    pub model: Model,
}

/// The tables of one symbol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A row for each (slot state, quiet class): the next slot states and their weights. A row
    /// that never occurred is empty; the state's nearest quiet class stands in for it.
    pub slot_rows: Vec<Vec<(usize, u32)>>,
    /// Gap before a slot in microseconds, by slot state.
    pub slot_gap_us: Vec<Quantiles>,
    /// A row for each (spread class, class of the gap that follows, taker class): weights of
    /// the outcomes.
    pub touch_rows: Vec<[u32; TOUCH_OUTCOMES]>,
    /// Spreads of each class in ticks.
    pub spread_ticks: Vec<Quantiles>,
    /// How far both prices shift together, in ticks.
    pub shift_ticks: Quantiles,
    /// Of a thousand narrowing changes, how many go the way of the price change before.
    pub narrow_continues_permille: u32,
    /// The same for widening changes.
    pub widen_continues_permille: u32,
    /// The same for shifts.
    pub shift_continues_permille: u32,
    /// Update ids that a touch change brings with it, its own included.
    pub touch_ids: Quantiles,
    /// Of a thousand of those, how many change a level behind the touch.
    pub touch_level_permille: u32,
    /// Update ids of 100 ms in which the touch rests.
    pub rest_ids: Quantiles,
    /// Of a thousand of those, how many change a level.
    pub rest_level_permille: u32,
    /// Of a thousand such changes, how many resize a level.
    pub resize_permille: u32,
    /// Of a thousand such changes, how many add a level and remove it at once.
    pub flash_permille: u32,
    /// Where changes away from the touch happen.
    pub bands: Vec<Band>,
    /// Quantity in lots at each bid level, best first.
    pub bid_qty_lots: Vec<Quantiles>,
    /// Quantity in lots at each ask level, best first.
    pub ask_qty_lots: Vec<Quantiles>,
    /// Quantity in lots at a price that has just become the best.
    pub fresh_touch_qty_lots: Quantiles,
    /// Quantity of a fill in lots.
    pub trade_qty_lots: Quantiles,
}

/// One band of distances from the touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Weight among the changes away from the touch.
    pub change_weight: u32,
    /// Levels that stand in the band on average, on one side, in thousandths.
    pub levels_milli: u32,
    /// Quantity of those levels in lots.
    pub qty_lots: Quantiles,
}

/// Why profile text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not the form of a profile.
    #[error("not a market profile: {0}")]
    Form(#[from] toml::de::Error),
    /// A table has the wrong size or values out of range.
    #[error("market profile of {symbol}: table {table} is damaged")]
    Table {
        /// Which symbol.
        symbol: String,
        /// Which table.
        table: &'static str,
    },
}

impl SymbolProfile {
    /// BTCUSDT as recorded on 2024-08-08 and 09.
    pub fn btcusdt() -> Self {
        Self::parse(include_str!("profile/btcusdt.toml")).expect("the shipped profile is valid")
    }

    /// ETHUSDT as recorded on 2024-08-08.
    pub fn ethusdt() -> Self {
        Self::parse(include_str!("profile/ethusdt.toml")).expect("the shipped profile is valid")
    }

    /// A symbol for tests with many instruments: `S007USDT` and so on, alternately with the
    /// tables of BTCUSDT and ETHUSDT, each around a price of its own.
    pub fn numbered(number: u16) -> Self {
        let mut profile = if number.is_multiple_of(2) {
            Self::btcusdt()
        } else {
            Self::ethusdt()
        };
        profile.base = format!("S{number:03}");
        profile.symbol = format!("{}{}", profile.base, profile.quote);
        profile.start_bid_ticks += profile.start_bid_ticks / 64 * i64::from(number % 64);
        profile
    }

    /// Reads and validates the text form.
    ///
    /// # Errors
    /// As [`ProfileError`] says.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text)?;
        match profile.damaged_table() {
            None => Ok(profile),
            Some(table) => Err(ProfileError::Table {
                symbol: profile.symbol,
                table,
            }),
        }
    }

    /// What `exchangeInfo` says about the symbol.
    pub fn spec(&self) -> SymbolSpec {
        SymbolSpec {
            symbol: self.symbol.clone(),
            base: self.base.clone(),
            quote: self.quote.clone(),
            tick: E8(self.tick_e8),
            lot: E8(self.lot_e8),
        }
    }

    fn damaged_table(&self) -> Option<&'static str> {
        let model = &self.model;
        let all = |tables: &[Quantiles], count: usize, low: i64| {
            tables.len() == count && tables.iter().all(|table| table.is_within(low..=VALUE_MAX))
        };
        let rows = |rows: &[&[u32]], count: usize| {
            rows.len() == count && rows.iter().all(|row| row.iter().any(|&weight| weight > 0))
        };
        let touch_rows: Vec<&[u32]> = model.touch_rows.iter().map(<[u32; _]>::as_slice).collect();
        let touch_row_count = SPREAD_CLASSES * GAP_CLASSES * TAKER_CLASSES;
        let band_qty: Vec<Quantiles> = model.bands.iter().map(|b| b.qty_lots.clone()).collect();
        let weights: Vec<u32> = model.bands.iter().map(|b| b.change_weight).collect();
        let checks = [
            ("tick_e8", self.tick_e8 > 0),
            ("lot_e8", self.lot_e8 > 0),
            (
                "start_bid_ticks",
                (1..VALUE_MAX).contains(&self.start_bid_ticks),
            ),
            ("slot_rows", model.slots_lead_on()),
            ("slot_gap_us", all(&model.slot_gap_us, SLOT_STATES, 0)),
            ("touch_rows", rows(&touch_rows, touch_row_count)),
            ("spread_ticks", all(&model.spread_ticks, SPREAD_CLASSES, 1)),
            ("shift_ticks", model.shift_ticks.is_within(1..=VALUE_MAX)),
            ("touch_ids", model.touch_ids.is_within(1..=VALUE_MAX)),
            ("rest_ids", model.rest_ids.is_within(1..=VALUE_MAX)),
            ("bands", rows(&[&weights], 1) && all(&band_qty, BANDS, 1)),
            ("bid_qty_lots", all(&model.bid_qty_lots, DEPTH_LEVELS, 1)),
            ("ask_qty_lots", all(&model.ask_qty_lots, DEPTH_LEVELS, 1)),
            (
                "fresh_touch_qty_lots",
                model.fresh_touch_qty_lots.is_within(1..=VALUE_MAX),
            ),
            (
                "trade_qty_lots",
                model.trade_qty_lots.is_within(1..=VALUE_MAX),
            ),
        ];
        checks
            .into_iter()
            .find_map(|(table, good)| (!good).then_some(table))
    }
}

impl Model {
    /// The row of a slot state; of the nearest quiet class where the exact one is empty.
    pub(super) fn slot_row(&self, state: usize, quiet: usize) -> &[(usize, u32)] {
        let row = |quiet: usize| self.slot_rows[slot_row(state, quiet)].as_slice();
        (0..QUIET_CLASSES)
            .filter(|&other| !row(other).is_empty())
            .min_by_key(|other| other.abs_diff(quiet))
            .map_or(&[], row)
    }

    /// Whether every slot state that can be entered can be left.
    fn slots_lead_on(&self) -> bool {
        let leads = |state: usize| state < SLOT_STATES && !self.slot_row(state, 0).is_empty();
        self.slot_rows.len() == SLOT_STATES * QUIET_CLASSES
            && leads(FIRST_SLOT_STATE)
            && self
                .slot_rows
                .iter()
                .flatten()
                .all(|&(next, weight)| weight > 0 && leads(next))
    }
}

/// Number of a slot state.
pub(super) fn slot_state(burst: usize, is_trade: bool, gap: usize) -> usize {
    (burst * 2 + usize::from(is_trade)) * GAP_CLASSES + gap
}

/// Whether a slot state is a trade.
pub(super) fn is_trade(state: usize) -> bool {
    state / GAP_CLASSES % 2 == 1
}

/// Class of the slots around.
pub(super) fn burst_class(slots: usize) -> usize {
    BURST_CLASS_SLOTS.partition_point(|&bound| bound <= slots)
}

/// Class of a gap.
pub(super) fn gap_class(gap_us: u64) -> usize {
    GAP_CLASS_US.partition_point(|&bound| bound <= gap_us)
}

/// Class of the time since the last trade.
pub(super) fn quiet_class(quiet_us: u64) -> usize {
    QUIET_CLASS_US.partition_point(|&bound| bound <= quiet_us)
}

/// Class of a spread.
pub(super) fn spread_class(ticks: i64) -> usize {
    SPREAD_CLASS_TICKS.partition_point(|&bound| bound <= ticks)
}

/// Class of an aggressive order.
pub(super) fn taker_class(fills: usize) -> usize {
    match fills {
        0 => 0,
        1 | 2 => 1,
        _ => 2,
    }
}

/// Band of a distance of one tick or more; `None` beyond the last.
pub(super) fn band(distance_ticks: i64) -> Option<usize> {
    let band = distance_ticks.checked_ilog2()? as usize;
    (band < BANDS).then_some(band)
}

/// Row of [`Model::slot_rows`].
pub(super) fn slot_row(state: usize, quiet: usize) -> usize {
    state * QUIET_CLASSES + quiet
}

/// Row of [`Model::touch_rows`].
pub(super) fn touch_row(spread: usize, gap: usize, taker: usize) -> usize {
    (spread * GAP_CLASSES + gap) * TAKER_CLASSES + taker
}
