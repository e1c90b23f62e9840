//! Limits that were changed while running, as they are saved.
//!
//! Owns: [`SavedGlobalLimits`], [`SavedInstrumentLimits`], and how each is made of the core's limits and read back.
//! Does not: decide which limits hold (`state/api_limits.rs` has a say). Invariants: every limit of the core is there;
//! limits with a quantity off the instrument's present grid are not given back, and never rounded.

use super::present;
use serde::{Deserialize, Serialize};
use veloz_core::instrument::Instrument;
use veloz_core::risk::{GlobalLimits, InstrumentLimits};
use veloz_core::units::{E8, Lots, Nanos};

/// [`GlobalLimits`] as they are saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedGlobalLimits {
    #[serde(deserialize_with = "present")]
    pub(super) open_orders_max: Option<u32>,
    #[serde(deserialize_with = "present")]
    pub(super) orders_per_second_max: Option<u32>,
    #[serde(deserialize_with = "present")]
    pub(super) leverage_max_percent: Option<u32>,
    #[serde(deserialize_with = "present")]
    pub(super) concentration_max_percent: Option<u32>,
    pub(super) concentration_from_e8: i64,
    #[serde(deserialize_with = "present")]
    pub(super) daily_loss_max_e8: Option<i64>,
    #[serde(deserialize_with = "present")]
    pub(super) drawdown_max_bps: Option<u32>,
    #[serde(deserialize_with = "present")]
    pub(super) market_data_age_max_ns: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub(super) clock_offset_max_ns: Option<u64>,
}

impl From<GlobalLimits> for SavedGlobalLimits {
    fn from(limits: GlobalLimits) -> Self {
        Self {
            open_orders_max: limits.open_orders_max,
            orders_per_second_max: limits.orders_per_second_max,
            leverage_max_percent: limits.leverage_max_percent,
            concentration_max_percent: limits.concentration_max_percent,
            concentration_from_e8: limits.concentration_from.0,
            daily_loss_max_e8: limits.daily_loss_max.map(|e8| e8.0),
            drawdown_max_bps: limits.drawdown_max_bps,
            market_data_age_max_ns: limits.market_data_age_max.map(|age| age.0),
            clock_offset_max_ns: limits.clock_offset_max.map(|offset| offset.0),
        }
    }
}

impl From<SavedGlobalLimits> for GlobalLimits {
    fn from(saved: SavedGlobalLimits) -> Self {
        Self {
            open_orders_max: saved.open_orders_max,
            orders_per_second_max: saved.orders_per_second_max,
            leverage_max_percent: saved.leverage_max_percent,
            concentration_max_percent: saved.concentration_max_percent,
            concentration_from: E8(saved.concentration_from_e8),
            daily_loss_max: saved.daily_loss_max_e8.map(E8),
            drawdown_max_bps: saved.drawdown_max_bps,
            market_data_age_max: saved.market_data_age_max_ns.map(Nanos),
            clock_offset_max: saved.clock_offset_max_ns.map(Nanos),
        }
    }
}

/// [`InstrumentLimits`] as they are saved: quantities as decimals, because a venue may change its grids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedInstrumentLimits {
    #[serde(deserialize_with = "present")]
    pub(super) order_qty_max_e8: Option<i64>,
    #[serde(deserialize_with = "present")]
    pub(super) order_notional_max_e8: Option<i64>,
    #[serde(deserialize_with = "present")]
    pub(super) position_max_e8: Option<i64>,
    #[serde(deserialize_with = "present")]
    pub(super) open_orders_max: Option<u32>,
    #[serde(deserialize_with = "present")]
    pub(super) price_collar_bps: Option<u32>,
}

impl SavedInstrumentLimits {
    /// The limits of `instrument` for saving.
    pub fn new(limits: InstrumentLimits, instrument: &Instrument) -> Self {
        Self {
            order_qty_max_e8: limits.order_qty_max.map(|lots| instrument.qty(lots).0),
            order_notional_max_e8: limits.order_notional_max.map(|e8| e8.0),
            position_max_e8: limits.position_max.map(|e8| e8.0),
            open_orders_max: limits.open_orders_max,
            price_collar_bps: limits.price_collar_bps,
        }
    }

    /// The saved limits on the instrument's present grid; `None` when a quantity is off it.
    pub fn on_grid_of(&self, instrument: &Instrument) -> Option<InstrumentLimits> {
        let order_qty_max = match self.order_qty_max_e8 {
            None => None,
            Some(e8) => Some(Lots(instrument.lot.divide_exact(E8(e8))?)),
        };
        Some(InstrumentLimits {
            order_qty_max,
            order_notional_max: self.order_notional_max_e8.map(E8),
            position_max: self.position_max_e8.map(E8),
            open_orders_max: self.open_orders_max,
            price_collar_bps: self.price_collar_bps,
        })
    }
}
