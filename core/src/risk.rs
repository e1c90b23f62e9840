//! Pre-trade risk: what may become an order.
//!
//! Owns: the limits, the trading state, the reasons of refusal, and [`Risk::admit`], the only maker of
//! [`Admitted`]. Does not: know orders, books or accounts ([`Conditions`] tells of them), cancel, or
//! change the trading state by itself; whoever finds an overfill or a lost record halts through
//! [`Risk::set_state`].
//!
//! Limits are integers in the unit of their name; a limit that is `None` does not bind. Global limits
//! are in the account currency. Orders of a strategy and of an operator obey the same rules.
//!
//! **Precedence.** The first rule that an intent breaks is its reason; rules are tried in this order,
//! which is that of [`Rejection::ALL`]:
//!
//! | reason | refused when | told by |
//! | --- | --- | --- |
//! | `kill_switch` | the kill switch is latched | [`Risk::kill`] |
//! | `not_ready` | not reconciled, stopping, `HALTED`, or the venue says that the instrument does not trade | [`Conditions::ready`], [`Risk::state`], [`Instrument::trading`] |
//! | `book_not_live` | the book is not live, has no side at all, or not the one that a market order meets | [`Conditions::touch`] |
//! | `stale_market_data` | now - last update > `market_data_age_max` | [`Touch::updated_at`] |
//! | `telemetry_backlog` | the records ring is above its mark | [`Conditions::backlog`] |
//! | `link_backpressure` | the order link is missing or behind | [`Conditions::link_backpressure`] |
//! | `clock_untrusted` | the offset is unknown, or its size > `clock_offset_max` | [`Conditions::clock_offset_ns`] |
//! | `bad_quantity` | zero, negative, off the step, outside the bounds; market orders: also their own step and bounds | [`OrderRules`], [`Instrument::qty_bounds`] |
//! | `bad_price` | zero, negative, outside the bounds; market orders: not zero | [`Instrument::price_bounds`] |
//! | `min_notional` | price x quantity < the venue's minimum | [`Instrument::notional_min`] |
//! | `max_order_qty` | quantity > `order_qty_max` | limit |
//! | `max_order_notional` | price x quantity > `order_notional_max`, the venue's maximum, or the range of [`E8`] | limit, [`Instrument::notional_max`] |
//! | `max_position` | position + everything open on that side + this > `position_max`; in `REDUCE_ONLY`: it does not only reduce | limit, [`Conditions::position`] |
//! | `max_open_orders` | one more is too many for the instrument, the venue, or all | limits, [`OrderRules::open_orders_max`] |
//! | `price_collar` | distance to the mark > `price_collar_bps` of the mark, either way | limit, [`Conditions::touch`] |
//! | `order_rate` | more than `orders_per_second_max` in some second | limit, times of admission |
//! | `max_leverage` | exposure grows, and gross exposure > `leverage_max_percent` of equity or not known, or by more than [`E8`] holds | limit, [`Conditions::gross_exposure`] |
//! | `max_concentration` | exposure grows, and gross exposure is not known, or > `concentration_from` and this instrument's part > `concentration_max_percent` of it | limit, [`Conditions::instrument_exposure`] |
//! | `daily_loss` | the day's loss >= `daily_loss_max` or not known, and the order does not only reduce | limit, [`Conditions::day_change`] |
//! | `max_drawdown` | the drawdown >= `drawdown_max_bps` or not known, and the order does not only reduce | limit, [`Conditions::drawdown_bps`] |
//! | `self_trade` | it reaches our own best price on the other side, or asks for a mode of prevention that the venue does not allow here | [`OpenOrders::best_price`], [`OrderRules`] |
//! | `duplicate_client_order_id` | the client's id is taken | [`Conditions::duplicate_client_id`] |
//! | `insufficient_balance` | a buy's notional > free quote; a sale's quantity > free base: spot sells only what it holds | [`Conditions::available_quote`], [`Conditions::available_base`] |
//! | `venue_rate_budget` | no room in the venue's budgets | [`Conditions::venue_budget_ready`] |
//!
//! **Prices.** The mark is the middle of the touch, or its only side. A limit order counts at its price.
//! A market order counts at the touch that it meets; it is thought to reach `price_collar_bps` farther,
//! which counts for `self_trade`, and for a buy wherever more money is worse. A `LIMIT_MAKER` that would
//! take by our book is not refused here: the book may be behind, and only the venue knows; strategies
//! keep their own quotes from crossing.
//!
//! **Only reduces**: the order goes against the position, and with everything open on its side filled
//! too the position has at most come to zero. That is what passes in `REDUCE_ONLY`, and after
//! `daily_loss` and `max_drawdown`, which change no state: they stop what adds risk and let out what
//! takes it away.
//!
//! **Exposure** is the mark times the worst position ([`worst_position`]). An order adds the growth of
//! that, so closing a position, or quoting the smaller side, is never refused for leverage or
//! concentration; except that only what reduces is let through unseen while an order is unresolved or a
//! replacement under way (whether or not its order was told to go since), because the larger side may be
//! so only by an order that is counted twice ([`Conditions::counts_twice`]).
//!
//! **Kill switch.** [`Risk::kill`] latches: the state is `HALTED` and cannot be set to another until
//! [`Risk::reset_kill_switch`]; after that it still is `HALTED`, and starting again is a second
//! decision.

mod admission;
mod bounds;
mod conditions;
mod exposure;
mod pricing;
mod rate;
mod utilization;

#[cfg(test)]
mod tests;

pub use admission::{Latched, Risk};
pub use bounds::LimitsError;
pub use conditions::{Conditions, OpenOrders, Ratio, Touch, worst_position};
pub use utilization::{Limit, LimitUse, Scope, Utilization};

use crate::instrument::InstrumentIndex;
#[cfg(doc)]
use crate::instrument::{Instrument, OrderRules};
use crate::order::Intent;
use crate::units::{E8, Lots, Nanos};

labelled! {
    /// Why an intent did not become an order. The labels are the `reason` of metrics, logs and answers.
    pub enum Rejection {
        /// The kill switch is latched.
        KillSwitch = "kill_switch",
        /// The engine has not reconciled with the venue, trading is halted or ending, or the instrument
        /// does not trade.
        NotReady = "not_ready",
        /// The instrument's book is not live.
        BookNotLive = "book_not_live",
        /// The book's last update is older than allowed.
        StaleMarketData = "stale_market_data",
        /// The sidecar is so far behind that records of new orders might be lost.
        TelemetryBacklog = "telemetry_backlog",
        /// The order link has bytes that the kernel did not take, or too many requests unanswered.
        LinkBackpressure = "link_backpressure",
        /// The offset to the venue's clock is unknown or beyond its bound.
        ClockUntrusted = "clock_untrusted",
        /// The quantity is zero, negative, off the step, or outside the venue's bounds.
        BadQuantity = "bad_quantity",
        /// The price is zero, negative, or outside the venue's bounds.
        BadPrice = "bad_price",
        /// Price x quantity is below the venue's minimum.
        MinNotional = "min_notional",
        /// The quantity is above our limit.
        MaxOrderQty = "max_order_qty",
        /// Price x quantity is above our limit or the venue's.
        MaxOrderNotional = "max_order_notional",
        /// The position would be above its limit if everything open filled, or may only become smaller.
        MaxPosition = "max_position",
        /// Too many orders are open.
        MaxOpenOrders = "max_open_orders",
        /// The price is too far from the mark.
        PriceCollar = "price_collar",
        /// Too many orders in one second.
        OrderRate = "order_rate",
        /// Gross exposure over equity would be above its limit.
        MaxLeverage = "max_leverage",
        /// One position would be too large a part of all.
        MaxConcentration = "max_concentration",
        /// The day's loss has reached its limit.
        DailyLoss = "daily_loss",
        /// The drawdown from the peak has reached its limit.
        MaxDrawdown = "max_drawdown",
        /// It would trade against an order of ours.
        SelfTrade = "self_trade",
        /// An order with this client id exists already.
        DuplicateClientOrderId = "duplicate_client_order_id",
        /// The account does not hold what it needs.
        InsufficientBalance = "insufficient_balance",
        /// The venue's request or order budget is used up.
        VenueRateBudget = "venue_rate_budget",
    }
}

labelled! {
    /// What the engine may do with orders.
    pub enum TradingState {
        /// Anything within the limits.
        Active = "ACTIVE",
        /// Only what makes a position smaller.
        ReduceOnly = "REDUCE_ONLY",
        /// Nothing new; cancels pass.
        Halted = "HALTED",
    }
}

/// Limits of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstrumentLimits {
    /// Largest quantity of one order.
    pub order_qty_max: Option<Lots>,
    /// Largest price x quantity of one order, in the quote asset.
    pub order_notional_max: Option<E8>,
    /// Largest position either way, in the base asset, with everything open on that side filled.
    pub position_max: Option<E8>,
    /// Most open orders.
    pub open_orders_max: Option<u32>,
    /// Farthest distance of a limit price from the mark, in basis points of the mark.
    pub price_collar_bps: Option<u32>,
}

/// Limits over all instruments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalLimits {
    /// Most open orders.
    pub open_orders_max: Option<u32>,
    /// Most new orders in any window of one second.
    pub orders_per_second_max: Option<u32>,
    /// Largest gross exposure over equity, in hundredths: 300 is three times.
    pub leverage_max_percent: Option<u32>,
    /// Largest part of gross exposure that one instrument may have, in percent, once gross exposure is
    /// above `concentration_from`.
    pub concentration_max_percent: Option<u32>,
    /// Gross exposure below which concentration does not bind, in the account currency.
    pub concentration_from: E8,
    /// Largest loss since the venue's midnight (UTC), in the account currency.
    pub daily_loss_max: Option<E8>,
    /// Largest fall of equity from its peak, in hundredths of a percent (basis points) of the peak.
    pub drawdown_max_bps: Option<u32>,
    /// Oldest update of a book that may be traded on.
    pub market_data_age_max: Option<Nanos>,
    /// Largest distance of the venue's clock to ours that is trusted.
    pub clock_offset_max: Option<Nanos>,
}

/// Which limits a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitsChange {
    /// The global ones.
    Global(GlobalLimits),
    /// Those of one instrument.
    Instrument(InstrumentIndex, InstrumentLimits),
}

/// An intent that passed every check: the only thing that the encoder of orders takes, and only risk
/// makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted(Intent);

impl Admitted {
    /// What was admitted.
    #[inline]
    pub const fn intent(&self) -> &Intent {
        &self.0
    }

    /// An intent that nothing checked, for tests of what comes after risk.
    #[cfg(test)]
    pub(crate) const fn unchecked(intent: Intent) -> Self {
        Self(intent)
    }
}
