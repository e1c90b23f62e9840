//! What trading is told at start, beside market data.
//!
//! Owns: [`TradingConfig`], [`KnownTrades`]. Does not: read files or hold a key.

use crate::instrument::Symbol;
use crate::oms::OmsConfig;
use crate::portfolio::Restored;
use crate::risk::{GlobalLimits, InstrumentLimits};
use crate::units::{E8, Nanos};
use crate::venue::binance::rate::OrderLimit;

/// Everything about trading that decides what the engine does; a replay needs all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradingConfig {
    /// The instance's part of every order id at the venue, `[A-Za-z0-9-]{1,12}`; the same across restarts.
    pub prefix: String,
    /// Which start of the instance this is; larger than every earlier one.
    pub run: u32,
    /// How old a request may be when the venue gets it, milliseconds, `[1, 60000]`.
    pub recv_window_ms: u16,
    /// In which asset equity, exposure and losses are counted.
    pub account_currency: Symbol,
    /// What of an asset is held beside trading and is no position.
    pub baselines: Vec<(Symbol, E8)>,
    /// What earlier runs knew of the account's trades, by instrument; of those that are not listed nothing.
    pub trades_known: Vec<KnownTrades>,
    /// Limits over all instruments.
    pub global_limits: GlobalLimits,
    /// Limits of each instrument, in the order of their indices.
    pub instrument_limits: Vec<InstrumentLimits>,
    /// How long orders wait for what.
    pub orders: OmsConfig,
    /// The venue's limits on unfilled orders of one account.
    pub order_limits: Vec<OrderLimit>,
    /// How often the venue is asked what it holds of us although nothing is in doubt; at least 10 s.
    pub reconcile_every: Nanos,
    /// Whether the kill switch was latched when the last run ended.
    pub kill_switch: bool,
    /// What the last run knew of the day and the peak.
    pub restored: Option<Restored>,
    /// Whether the strategy may act as soon as trading is ready.
    pub strategy_runs: bool,
}

/// Which trades of one instrument earlier runs have booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTrades {
    /// The venue's name of the instrument.
    pub symbol: Symbol,
    /// No trade of ours with this id or a lower one is missing.
    pub through: u64,
    /// Ids above it that are booked. Few: they are told in no order, but soon after one another.
    pub since: Vec<u64>,
}
