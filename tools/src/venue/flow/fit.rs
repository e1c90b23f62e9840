//! Turns recorded market data into the tables of a [`SymbolProfile`].
//!
//! Owns: what each table of [`Model`] counts. Does not: read files or sample. Run by the
//! `calibrate_flow` example, and by the test that holds the shipped profiles against recordings.

mod depth;
mod slots;
mod touch;

use super::measure::{Measure, Message, Observed};
use super::profile::{Model, SymbolProfile};
use super::quantiles::Quantiles;
use depth::DepthTables;
use slots::{slot_tables, slots};
use touch::{TouchTables, tune_closing};

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
