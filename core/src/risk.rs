//! Pre-trade risk: what may become an order.
//!
//! Owns: the limits, the trading state, the reasons of refusal.
//!
//! Limits are integers in the unit of their name; a limit that is `None` does not bind. Global limits are
//! in the account currency.

use crate::instrument::InstrumentIndex;
use crate::order::Intent;
use crate::units::{E8, Lots, Nanos};

labelled! {
    /// Why an intent did not become an order. The labels are the `reason` of metrics, logs and answers.
    pub enum Rejection {
        /// The kill switch is latched.
        KillSwitch = "kill_switch",
        /// The engine has not reconciled with the venue, or trading is halted or ending.
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
        /// The position would be above its limit if everything open filled.
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
