//! Limits that make sense, and changes that loosen none.
//!
//! Owns: the ranges of every limit ([`LimitsError`] names the one that is left) and the order between
//! two sets of them. Does not: apply a change.

use super::{GlobalLimits, InstrumentLimits};
use crate::instrument::InstrumentIndex;
use crate::limits::{ORDERS_OPEN_MAX, ORDERS_PER_SECOND_MAX};
use crate::units::Nanos;

/// Why limits were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A limit is outside its range. A limit that is to forbid everything is a trading state instead.
    #[error("{field} is {value}, expected {min} to {max}")]
    Range {
        /// The limit's name.
        field: &'static str,
        /// What it was, in its unit.
        value: i128,
        /// Smallest legal value.
        min: i128,
        /// Largest legal value.
        max: i128,
    },
    /// There is no instrument with this index.
    #[error("there is no instrument with index {}", .0.0)]
    UnknownInstrument(InstrumentIndex),
}

/// Longest age and largest clock offset that a limit may name, one hour.
const AGE_MAX: Nanos = Nanos::from_secs(3_600);

/// What the table of orders holds.
const OPEN_ORDERS_MAX: u32 = ORDERS_OPEN_MAX as u32;

fn check(
    field: &'static str,
    value: Option<impl Into<i128>>,
    max: impl Into<i128>,
) -> Result<(), LimitsError> {
    let max = max.into();
    match value.map(Into::into) {
        Some(value) if !(1..=max).contains(&value) => Err(LimitsError::Range {
            field,
            value,
            min: 1,
            max,
        }),
        Some(_) | None => Ok(()),
    }
}

impl InstrumentLimits {
    /// Checks each limit against its range: everything that is set is positive, and a collar is at most
    /// 10,000 basis points.
    ///
    /// # Errors
    /// The first limit that is outside.
    pub fn validate(&self) -> Result<(), LimitsError> {
        check(
            "order_qty_max",
            self.order_qty_max.map(|lots| lots.0),
            i64::MAX,
        )?;
        check(
            "order_notional_max",
            self.order_notional_max.map(|e8| e8.0),
            i64::MAX,
        )?;
        check("position_max", self.position_max.map(|e8| e8.0), i64::MAX)?;
        check("open_orders_max", self.open_orders_max, OPEN_ORDERS_MAX)?;
        check("price_collar_bps", self.price_collar_bps, 10_000)
    }

    /// Whether nothing is looser than in `old`; equal limits are not looser.
    pub fn is_within(&self, old: &Self) -> bool {
        within(self.order_qty_max, old.order_qty_max)
            && within(self.order_notional_max, old.order_notional_max)
            && within(self.position_max, old.position_max)
            && within(self.open_orders_max, old.open_orders_max)
            && within(self.price_collar_bps, old.price_collar_bps)
    }
}

impl GlobalLimits {
    /// Checks each limit against its range: everything that is set is positive; leverage is at most
    /// 100,000 %, concentration 100 %, drawdown 10,000 basis points, orders a second
    /// [`ORDERS_PER_SECOND_MAX`], open orders [`ORDERS_OPEN_MAX`], age and clock offset an hour.
    ///
    /// # Errors
    /// The first limit that is outside.
    pub fn validate(&self) -> Result<(), LimitsError> {
        let orders_per_second = ORDERS_PER_SECOND_MAX as i64;
        let age = |limit: Option<Nanos>| limit.map(|nanos| nanos.0);
        check("open_orders_max", self.open_orders_max, OPEN_ORDERS_MAX)?;
        check(
            "orders_per_second_max",
            self.orders_per_second_max,
            orders_per_second,
        )?;
        check("leverage_max_percent", self.leverage_max_percent, 100_000)?;
        check(
            "concentration_max_percent",
            self.concentration_max_percent,
            100,
        )?;
        // Zero is legal here: concentration then binds from the first unit on.
        if self.concentration_from.0 < 0 {
            return Err(LimitsError::Range {
                field: "concentration_from",
                value: self.concentration_from.0.into(),
                min: 0,
                max: i64::MAX.into(),
            });
        }
        check(
            "daily_loss_max",
            self.daily_loss_max.map(|e8| e8.0),
            i64::MAX,
        )?;
        check("drawdown_max_bps", self.drawdown_max_bps, 10_000)?;
        check(
            "market_data_age_max",
            age(self.market_data_age_max),
            AGE_MAX.0,
        )?;
        check("clock_offset_max", age(self.clock_offset_max), AGE_MAX.0)
    }

    /// Whether nothing is looser than in `old`; equal limits are not looser.
    pub fn is_within(&self, old: &Self) -> bool {
        within(self.open_orders_max, old.open_orders_max)
            && within(self.orders_per_second_max, old.orders_per_second_max)
            && within(self.leverage_max_percent, old.leverage_max_percent)
            && within(
                self.concentration_max_percent,
                old.concentration_max_percent,
            )
            && self.concentration_from <= old.concentration_from
            && within(self.daily_loss_max, old.daily_loss_max)
            && within(self.drawdown_max_bps, old.drawdown_max_bps)
            && within(self.market_data_age_max, old.market_data_age_max)
            && within(self.clock_offset_max, old.clock_offset_max)
    }
}

/// Whether a limit binds at least as hard as another; every limit of ours is an upper bound.
fn within<T: PartialOrd>(new: Option<T>, old: Option<T>) -> bool {
    match (new, old) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(new), Some(old)) => new <= old,
    }
}
