//! Balances, positions, and how far trading may go, as records told.
//!
//! Owns: [`Account`], [`BalanceLine`], [`PositionLine`], [`Standing`]. Does not: value anything: marks and worth are
//! in the core's gauges, and [`positions`] reads them there. Invariant: one line an asset or instrument.

use super::TradingView;
use std::cmp::Ordering;
use veloz_core::instrument::{AssetIndex, Assets, InstrumentIndex, Instruments, Symbol};
use veloz_core::order::Origin;
use veloz_core::risk::TradingState;
use veloz_core::telemetry::gauges::{GaugeReader, Marked};
use veloz_core::telemetry::records::{HaltCause, Record, RecordBody, TradingPhase};
use veloz_core::units::{E8, VenueMillis};

/// One asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceLine {
    /// Which.
    pub asset: Symbol,
    /// What can be used.
    pub free: E8,
    /// What open orders hold.
    pub locked: E8,
    /// The venue's time of it.
    pub at: VenueMillis,
    /// When we heard of it, Unix time in nanoseconds.
    pub ts_ns: i64,
}

/// One position, at its mark where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionLine {
    /// In what.
    pub instrument: InstrumentIndex,
    /// The same by the venue's name.
    pub symbol: Symbol,
    /// In the base asset; negative when short.
    pub qty: E8,
    /// Average entry price; `None` when flat.
    pub entry: Option<E8>,
    /// Realised result.
    pub realized: E8,
    /// Unrealised result and value at the mark; `None` before the first mark.
    pub marked: Option<Marked>,
    /// When a fill last moved it, Unix time in nanoseconds; `None` before the first.
    pub last_ts_ns: Option<i64>,
}

/// Something that changed, why, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause<T> {
    /// What it is now.
    pub now: T,
    /// Why.
    pub cause: HaltCause,
    /// Since when, Unix time in nanoseconds.
    pub since_ns: i64,
}

/// How far trading has come and may go; each `None` until a record told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How far it has come.
    pub phase: Option<TradingPhase>,
    /// What may be traded.
    pub state: Option<Cause<TradingState>>,
    /// Whether the kill switch is latched.
    pub kill_switch: Option<Cause<bool>>,
}

/// Fills that made a position smaller, by how they came out before fees: one that realised more than nothing is a win,
/// one that realised less is a loss, and one that realised nothing is neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closings {
    /// With a profit.
    pub wins: u64,
    /// With a loss.
    pub losses: u64,
}

impl Closings {
    fn count(&mut self, came_out: Ordering) {
        match came_out {
            Ordering::Less => self.losses += 1,
            Ordering::Equal => {}
            Ordering::Greater => self.wins += 1,
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Account {
    /// Realised result of each position when a fill last moved it.
    realized: Vec<E8>,
    /// Whether the strategy wanted the order whose fill last came, an instrument.
    filled_strategy: Vec<bool>,
    closings: Closings,
    strategy_closings: Closings,
    balances: Vec<Option<Balance>>,
    position_changed_ns: Vec<Option<i64>>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug)]
struct Balance {
    free: E8,
    locked: E8,
    at: VenueMillis,
    ts_ns: i64,
}

impl Account {
    pub(super) fn new(instruments: usize, assets: usize) -> Self {
        Self {
            realized: vec![E8(0); instruments],
            filled_strategy: vec![false; instruments],
            closings: Closings::default(),
            strategy_closings: Closings::default(),
            balances: vec![None; assets],
            position_changed_ns: vec![None; instruments],
            standing: Standing::default(),
        }
    }

    /// Takes note of a fill: the record of the position that it moved comes behind it.
    pub(super) fn filled(&mut self, instrument: InstrumentIndex, origin: Option<Origin>) {
        self.filled_strategy[instrument.as_usize()] = origin == Some(Origin::Strategy);
    }

    /// Applies what is about the account.
    pub(super) fn record(&mut self, record: &Record, ts_ns: i64) {
        match record.body {
            RecordBody::Position {
                instrument,
                realized,
                ..
            } => {
                let before = std::mem::replace(&mut self.realized[instrument.as_usize()], realized);
                let came_out = realized.cmp(&before);
                self.closings.count(came_out);
                if self.filled_strategy[instrument.as_usize()] {
                    self.strategy_closings.count(came_out);
                }
                self.position_changed_ns[instrument.as_usize()] = Some(ts_ns);
            }
            RecordBody::Balance {
                asset,
                free,
                locked,
                at,
            } => {
                self.balances[asset.as_usize()] = Some(Balance {
                    free,
                    locked,
                    at,
                    ts_ns,
                });
            }
            RecordBody::TradingPhase { to, .. } => self.standing.phase = Some(to),
            RecordBody::TradingState { to, cause, .. } => {
                self.standing.state = Some(Cause {
                    now: to,
                    cause,
                    since_ns: ts_ns,
                });
            }
            RecordBody::KillSwitch { latched, cause } => {
                self.standing.kill_switch = Some(Cause {
                    now: latched,
                    cause,
                    since_ns: ts_ns,
                });
            }
            RecordBody::LinkUp { .. }
            | RecordBody::LinkDown { .. }
            | RecordBody::BookState { .. }
            | RecordBody::Resync { .. }
            | RecordBody::Fault { .. }
            | RecordBody::RequestRefused { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::Shutdown { .. }
            | RecordBody::OrderAdmitted { .. }
            | RecordBody::OrderAlias { .. }
            | RecordBody::OrderAdopted { .. }
            | RecordBody::OrderState { .. }
            | RecordBody::Fill { .. }
            | RecordBody::OrderRejected { .. }
            | RecordBody::VenueRefused { .. }
            | RecordBody::OrderFault { .. }
            | RecordBody::CommandDone { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::Limits { .. } => {}
        }
    }

    pub(super) fn balances(&self, assets: &Assets) -> Vec<BalanceLine> {
        let lines = self.balances.iter().enumerate();
        lines
            .filter_map(|(index, balance)| {
                let balance = (*balance)?;
                Some(BalanceLine {
                    asset: assets.get(AssetIndex(index as u16)),
                    free: balance.free,
                    locked: balance.locked,
                    at: balance.at,
                    ts_ns: balance.ts_ns,
                })
            })
            .collect()
    }

    pub(super) fn closings(&self) -> Closings {
        self.closings
    }

    pub(super) fn strategy_closings(&self) -> Closings {
        self.strategy_closings
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    pub(super) fn position_changed_ns(&self, instrument: InstrumentIndex) -> Option<i64> {
        self.position_changed_ns[instrument.as_usize()]
    }
}

/// All positions, flat ones too, as the core publishes them now; one that it stands still in the middle of
/// publishing is left out.
pub fn positions(
    instruments: &Instruments,
    gauges: &GaugeReader,
    view: &TradingView,
) -> Vec<PositionLine> {
    instruments
        .iter()
        .filter_map(|(index, instrument)| {
            let position = gauges.position(index)?;
            Some(PositionLine {
                instrument: index,
                symbol: instrument.symbol,
                qty: position.qty,
                entry: Some(position.entry).filter(|_| position.qty.0 != 0),
                realized: position.realized,
                marked: position.marked,
                last_ts_ns: view.position_changed_ns(index),
            })
        })
        .collect()
}
