//! How much of each limit is used, to be read and not to decide by.
//!
//! Owns: [`Limit`], [`LimitUse`], [`Utilization`]. Does not: run on the order path; it divides.
//!
//! Invariant: the highest use of all counts only limits on what adds up or was lost (orders open, rate,
//! position, leverage, concentration, losses). The others are shown beside it: a limit on one order is
//! used by the last order and free for the next, and a limit on the age of data or the clock says
//! nothing of risk taken.

use super::admission::{LastOrder, Risk, open_count};
use super::conditions::Conditions;
use super::exposure::remaining;
use super::{Rejection, worst_position};
use crate::instrument::{Instrument, InstrumentIndex};
use crate::units::{E8, E8_ONE, Nanos};

labelled! {
    /// Over what a limit holds.
    pub enum Scope {
        /// One instrument, by our configuration.
        Instrument = "instrument",
        /// One instrument, by the venue's rules.
        Venue = "venue",
        /// All instruments.
        Global = "global",
    }
}

labelled! {
    /// A limit whose use can be read. The label is its name in configuration and answers.
    pub enum Limit {
        /// Quantity of one order, in lots; used by the last admitted order.
        OrderQty = "order_qty_max",
        /// Notional of one order, in 1e-8 of quote; used by the last admitted order.
        OrderNotional = "order_notional_max",
        /// Distance of a price from the mark, in basis points, rounded down; used by the last admitted
        /// order.
        PriceCollar = "price_collar_bps",
        /// Position with everything open on either side filled, in 1e-8 of base.
        Position = "position_max",
        /// Open orders of the instrument, by configuration.
        InstrumentOpenOrders = "instrument_open_orders_max",
        /// Open orders of the instrument, by the venue.
        VenueOpenOrders = "venue_open_orders_max",
        /// Open orders of all instruments.
        OpenOrders = "open_orders_max",
        /// Orders admitted in the last second.
        OrderRate = "orders_per_second_max",
        /// Gross exposure in percent of equity, rounded up; [`i64::MAX`] when equity is gone.
        Leverage = "leverage_max_percent",
        /// The instrument's part of gross exposure in percent, rounded up; zero while gross exposure is
        /// at most `concentration_from`.
        Concentration = "concentration_max_percent",
        /// The day's loss, in 1e-8 of the account currency; zero after a gain.
        DailyLoss = "daily_loss_max",
        /// Fall of equity from its peak, in basis points.
        Drawdown = "drawdown_max_bps",
        /// Age of the book's last update in nanoseconds.
        MarketDataAge = "market_data_age_max",
        /// Size of the offset to the venue's clock in nanoseconds; [`i64::MAX`] while it is unknown.
        ClockOffset = "clock_offset_max",
    }
}

impl Limit {
    /// The reason with which an order is refused that breaks it.
    pub const fn rejection(self) -> Rejection {
        match self {
            Self::OrderQty => Rejection::MaxOrderQty,
            Self::OrderNotional => Rejection::MaxOrderNotional,
            Self::PriceCollar => Rejection::PriceCollar,
            Self::Position => Rejection::MaxPosition,
            Self::InstrumentOpenOrders | Self::VenueOpenOrders | Self::OpenOrders => {
                Rejection::MaxOpenOrders
            }
            Self::OrderRate => Rejection::OrderRate,
            Self::Leverage => Rejection::MaxLeverage,
            Self::Concentration => Rejection::MaxConcentration,
            Self::DailyLoss => Rejection::DailyLoss,
            Self::Drawdown => Rejection::MaxDrawdown,
            Self::MarketDataAge => Rejection::StaleMarketData,
            Self::ClockOffset => Rejection::ClockUntrusted,
        }
    }

    /// Over what it holds.
    pub const fn scope(self) -> Scope {
        match self {
            Self::OrderQty
            | Self::OrderNotional
            | Self::PriceCollar
            | Self::Position
            | Self::InstrumentOpenOrders => Scope::Instrument,
            Self::VenueOpenOrders => Scope::Venue,
            Self::OpenOrders
            | Self::OrderRate
            | Self::Leverage
            | Self::Concentration
            | Self::DailyLoss
            | Self::Drawdown
            | Self::MarketDataAge
            | Self::ClockOffset => Scope::Global,
        }
    }

    /// Whether it is on what adds up or was lost, and so counts in [`Utilization::highest_bps`].
    pub const fn accumulates(self) -> bool {
        match self {
            Self::OrderQty
            | Self::OrderNotional
            | Self::PriceCollar
            | Self::MarketDataAge
            | Self::ClockOffset => false,
            Self::Position
            | Self::InstrumentOpenOrders
            | Self::VenueOpenOrders
            | Self::OpenOrders
            | Self::OrderRate
            | Self::Leverage
            | Self::Concentration
            | Self::DailyLoss
            | Self::Drawdown => true,
        }
    }
}

/// One limit and its use, in the unit that its [`Limit`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitUse {
    /// How much is used; `None` when nothing used it yet or it cannot be told (no live book).
    pub used: Option<i64>,
    /// The limit; `None` when it does not bind.
    pub max: Option<i64>,
    /// Used over limit in basis points, rounded down; above 10,000 when a limit was made smaller than
    /// its use. Zero where either is missing.
    pub bps: u32,
}

/// All limits as one instrument sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utilization {
    /// By [`Limit::index`]. Global limits read the same from every instrument, concentration excepted.
    pub limits: [LimitUse; Limit::ALL.len()],
    /// The highest of those that [`Limit::accumulates`], in basis points.
    pub highest_bps: u32,
}

impl Utilization {
    /// One limit's use.
    pub const fn of(&self, limit: Limit) -> &LimitUse {
        &self.limits[limit.index()]
    }
}

impl Risk {
    /// How much of every limit is used, for one instrument, in the moment that `conditions` tells of.
    /// The highest over all instruments is the account's utilization.
    pub fn utilization(
        &self,
        now: Nanos,
        index: InstrumentIndex,
        instrument: &Instrument,
        conditions: &Conditions,
    ) -> Utilization {
        let own = &self.instruments[index.as_usize()];
        let limits = Limit::ALL.map(|limit| {
            let last = |used: fn(&LastOrder) -> i64| own.last.as_ref().map(used);
            let (used, max) = match limit {
                Limit::OrderQty => (
                    last(|order| order.qty.0),
                    own.limits.order_qty_max.map(|lots| lots.0),
                ),
                Limit::OrderNotional => (
                    own.last.as_ref().map(|order| notional(order, instrument)),
                    own.limits.order_notional_max.map(|e8| e8.0),
                ),
                Limit::PriceCollar => (
                    last(distance_bps),
                    own.limits.price_collar_bps.map(i64::from),
                ),
                Limit::Position => (
                    Some(position_used(instrument, conditions)),
                    own.limits.position_max.map(|e8| e8.0),
                ),
                Limit::InstrumentOpenOrders => (
                    Some(open_count(conditions).into()),
                    own.limits.open_orders_max.map(i64::from),
                ),
                Limit::VenueOpenOrders => (
                    Some(open_count(conditions).into()),
                    instrument.order_rules.open_orders_max.map(i64::from),
                ),
                Limit::OpenOrders => (
                    Some(conditions.open_orders_total.into()),
                    self.global.open_orders_max.map(i64::from),
                ),
                Limit::OrderRate => (
                    Some(self.times.in_last_second(now).into()),
                    self.global.orders_per_second_max.map(i64::from),
                ),
                Limit::Leverage => (
                    conditions
                        .gross_exposure
                        .map(|gross| percent(gross, conditions.equity)),
                    self.global.leverage_max_percent.map(i64::from),
                ),
                Limit::Concentration => (
                    conditions.gross_exposure.map(|gross| {
                        if gross > self.global.concentration_from {
                            percent(conditions.instrument_exposure, gross)
                        } else {
                            0
                        }
                    }),
                    self.global.concentration_max_percent.map(i64::from),
                ),
                Limit::DailyLoss => (
                    conditions
                        .day_change
                        .map(|change| change.0.saturating_neg().max(0)),
                    self.global.daily_loss_max.map(|e8| e8.0),
                ),
                Limit::Drawdown => (
                    conditions.drawdown_bps.map(i64::from),
                    self.global.drawdown_max_bps.map(i64::from),
                ),
                Limit::MarketDataAge => (
                    conditions
                        .touch
                        .map(|touch| narrow(now.since(touch.updated_at).0.into())),
                    self.global
                        .market_data_age_max
                        .map(|age| narrow(age.0.into())),
                ),
                Limit::ClockOffset => (
                    Some(
                        conditions
                            .clock_offset_ns
                            .map_or(i64::MAX, |offset| narrow(offset.unsigned_abs().into())),
                    ),
                    self.global.clock_offset_max.map(|age| narrow(age.0.into())),
                ),
            };
            let bps = match (used, max) {
                (Some(used), Some(max)) => {
                    (i128::from(used) * 10_000 / i128::from(max)).clamp(0, u32::MAX.into()) as u32
                }
                (None, Some(_) | None) | (Some(_), None) => 0,
            };
            LimitUse { used, max, bps }
        });
        let highest_bps = Limit::ALL
            .into_iter()
            .filter(|limit| limit.accumulates())
            .map(|limit| limits[limit.index()].bps)
            .max()
            .unwrap_or(0);
        Utilization {
            limits,
            highest_bps,
        }
    }
}

/// The larger position of the two ways, as the limit on it counts: what is open on the other side closes
/// nothing.
fn position_used(instrument: &Instrument, conditions: &Conditions) -> i64 {
    let buys = remaining(&conditions.open_buys, instrument);
    let sells = remaining(&conditions.open_sells, instrument);
    worst_position(conditions.position, buys, sells).0
}

/// What an order was worth in 1e-8 of quote, rounded down.
fn notional(order: &LastOrder, instrument: &Instrument) -> i64 {
    let price_e8 = i128::from(instrument.price(order.dearest).0);
    let qty_e8 = i128::from(instrument.qty(order.qty).0);
    narrow(price_e8 * qty_e8 / i128::from(E8_ONE))
}

/// Distance of an order's price from the mark in basis points of the mark.
fn distance_bps(order: &LastOrder) -> i64 {
    let off = (2 * i128::from(order.price.0) - i128::from(order.twice_mark)).abs();
    narrow(off * 10_000 / i128::from(order.twice_mark.max(1)))
}

/// A part of a whole in percent, rounded up; [`i64::MAX`] of nothing or less.
fn percent(part: E8, whole: E8) -> i64 {
    if part.0 <= 0 {
        return 0;
    }
    if whole.0 <= 0 {
        return i64::MAX;
    }
    let whole = i128::from(whole.0);
    narrow((i128::from(part.0) * 100 + whole - 1) / whole)
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
