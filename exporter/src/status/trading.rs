//! Orders, positions and money, as the core publishes them now.
//!
//! Owns: [`TradingLine`] and [`PositionLine`]. Does not: compute a figure; the core's portfolio did. Invariant: a
//! figure that is not known yet is `None`, never zero.

use veloz_core::instrument::Instruments;
use veloz_core::risk::TradingState;
use veloz_core::telemetry::gauges::{Gauge, GaugeReader, NOT_MEASURED};
use veloz_core::telemetry::records::TradingPhase;
use veloz_core::units::E8;

/// Everything about the account but its positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradingLine {
    /// How far trading has come.
    pub phase: TradingPhase,
    /// What may be traded.
    pub state: TradingState,
    /// Whether the kill switch is latched.
    pub is_killed: bool,
    /// Whether the strategy may act.
    pub strategy_runs: bool,
    /// Orders that are not over.
    pub open_orders: u64,
    /// Those of them whose outcome is unknown.
    pub unresolved_orders: u64,
    /// Equity in the account currency; `None` before every asset has a mark.
    pub equity: Option<E8>,
    /// Realised result of all positions, account currency.
    pub realized: E8,
    /// Unrealised result of all positions, account currency.
    pub unrealized: E8,
    /// Highest use of any limit, in hundredths of a percent.
    pub utilization_bps: u64,
}

/// One position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionLine {
    /// The venue's name of the instrument.
    pub symbol: String,
    /// In the base asset, negative when short.
    pub qty: E8,
    /// Average entry price; zero when flat.
    pub entry: E8,
    /// Realised result in the quote asset.
    pub realized: E8,
    /// Unrealised result in the quote asset; `None` without a mark.
    pub unrealized: Option<E8>,
}

/// The account; `None` when this engine has none.
pub fn trading(gauges: &GaugeReader) -> Option<TradingLine> {
    let position = |gauge| usize::try_from(gauges.plain(gauge)).ok();
    let count = |gauge| u64::try_from(gauges.plain(gauge)).unwrap_or_default();
    let phase = *TradingPhase::ALL.get(position(Gauge::TradingPhase)?)?;
    let state = *TradingState::ALL.get(position(Gauge::TradingState)?)?;
    if phase == TradingPhase::Off {
        return None;
    }
    Some(TradingLine {
        phase,
        state,
        is_killed: gauges.plain(Gauge::KillSwitch) != 0,
        strategy_runs: gauges.plain(Gauge::StrategyRunning) != 0,
        open_orders: count(Gauge::OpenOrders),
        unresolved_orders: count(Gauge::UnresolvedOrders),
        equity: Some(gauges.plain(Gauge::Equity))
            .filter(|equity| *equity != NOT_MEASURED)
            .map(E8),
        realized: E8(gauges.plain(Gauge::RealizedTotal)),
        unrealized: E8(gauges.plain(Gauge::UnrealizedTotal)),
        utilization_bps: count(Gauge::RiskUtilizationBps),
    })
}

/// All positions; one that the core stands still in the middle of publishing is left out.
pub fn positions(instruments: &Instruments, gauges: &GaugeReader) -> Vec<PositionLine> {
    instruments
        .iter()
        .filter_map(|(index, instrument)| {
            let position = gauges.position(index)?;
            Some(PositionLine {
                symbol: instrument.symbol.as_str().to_owned(),
                qty: position.qty,
                entry: position.entry,
                realized: position.realized,
                unrealized: position.marked.map(|marked| marked.unrealized),
            })
        })
        .collect()
}
