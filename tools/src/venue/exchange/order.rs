//! Orders: what a client asks for, what the exchange keeps, and what it answers.
//!
//! Owns: the vocabulary that requests, answers and events share. Does not: decide anything.
//! Invariant of every [`Order`]: executed + prevented + remaining = original quantity.
//! Source: Binance Spot `enums.md`, `rest-api.md`.

use veloz_core::units::E8;

use super::refusal::Refusal;
use crate::venue::source::{SymbolIndex, VenueMicros};

/// Position of an account in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountIndex(pub(crate) usize);

/// Which way an order trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OrderSide {
    Buy,
    Sell,
}

impl OrderSide {
    /// The side that it trades with.
    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

/// The order types that this exchange has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OrderType {
    Limit,
    LimitMaker,
    Market,
}

/// How long an order works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimeInForce {
    Gtc,
    Ioc,
    Fok,
}

/// What happens when an order meets one of its own account; the taker's mode decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StpMode {
    None,
    ExpireTaker,
    ExpireMaker,
    ExpireBoth,
    Decrement,
    /// Between accounts of one trade group; within one it is [`Decrement`](Self::Decrement).
    Transfer,
}

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OrderStatus {
    New,
    PartiallyFilled,
    Filled,
    Canceled,
    Rejected,
    Expired,
    ExpiredInMatch,
}

impl OrderStatus {
    /// Whether the order can still trade or be cancelled.
    pub(crate) const fn is_open(self) -> bool {
        match self {
            Self::New | Self::PartiallyFilled => true,
            Self::Filled
            | Self::Canceled
            | Self::Rejected
            | Self::Expired
            | Self::ExpiredInMatch => false,
        }
    }
}

/// Why an order expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ExpiryReason {
    UnfilledIoc,
    UnfilledFok,
    InsufficientLiquidity,
    ExchangeCanceled,
}

/// How much a new order trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Of the base asset.
    Base(E8),
    /// Of the quote asset: `quoteOrderQty`, MARKET only.
    Quote(E8),
}

/// `strategyId` and `strategyType`: echoed, never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strategy {
    pub(crate) id: i64,
    pub(crate) kind: Option<i64>,
}

/// A new order whose syntax, precision and enum values are checked; the exchange checks what
/// needs its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewOrder {
    pub(crate) symbol: SymbolIndex,
    pub(crate) side: OrderSide,
    pub(crate) kind: OrderType,
    /// GTC for MARKET and LIMIT_MAKER.
    pub(crate) time_in_force: TimeInForce,
    /// `None` for MARKET, and only for it.
    pub(crate) price: Option<E8>,
    pub(crate) qty: Quantity,
    pub(crate) client_order_id: String,
    /// `None` takes the symbol's default.
    pub(crate) stp: Option<StpMode>,
    pub(crate) strategy: Option<Strategy>,
}

/// An order: everything that an answer or an event prints about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) account: AccountIndex,
    pub(crate) symbol: SymbolIndex,
    /// Increasing a symbol.
    pub(crate) id: u64,
    /// As it is now: an amendment changes it, a cancel does not.
    pub(crate) client_order_id: String,
    pub(crate) side: OrderSide,
    pub(crate) kind: OrderType,
    pub(crate) time_in_force: TimeInForce,
    /// Zero for MARKET.
    pub(crate) price: E8,
    /// For `quoteOrderQty`: what that bought or sold.
    pub(crate) orig_qty: E8,
    /// Zero unless `quoteOrderQty` was sent.
    pub(crate) quote_order_qty: E8,
    pub(crate) executed_qty: E8,
    pub(crate) cumulative_quote: E8,
    /// Kept from trading by self-trade prevention.
    pub(crate) prevented_qty: E8,
    pub(crate) status: OrderStatus,
    pub(crate) stp: StpMode,
    pub(crate) strategy: Option<Strategy>,
    /// When it was accepted: `time`, `O`, and `workingTime`, `W`, as there are no stop orders.
    pub(crate) created: VenueMicros,
    /// When it changed last.
    pub(crate) updated: VenueMicros,
    /// How often it was amended.
    pub(crate) amends: u32,
    /// Why it expired, if it did.
    pub(crate) expiry: Option<ExpiryReason>,
}

impl Order {
    /// What can still trade of the original quantity; after the end, what never did.
    pub(crate) fn remaining(&self) -> E8 {
        E8(self.orig_qty.0 - self.executed_qty.0 - self.prevented_qty.0)
    }
}

/// One order's part in a trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) trade_id: u64,
    pub(crate) order_id: u64,
    pub(crate) price: E8,
    pub(crate) qty: E8,
    /// Price times quantity, rounded down.
    pub(crate) quote_qty: E8,
    pub(crate) commission: E8,
    pub(crate) commission_asset: String,
    /// This order rested.
    pub(crate) maker: bool,
}

/// A match that self-trade prevention kept from happening, as the answer to the taker lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PreventedMatch {
    pub(crate) match_id: u64,
    pub(crate) maker_order_id: u64,
    /// The maker's.
    pub(crate) price: E8,
    /// Zero when the maker stayed whole.
    pub(crate) maker_prevented_qty: E8,
    /// Zero when the taker stayed whole.
    pub(crate) taker_prevented_qty: E8,
}

/// What became of a new order within its own transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// As it is at the end of the transaction.
    pub(crate) order: Order,
    /// In the order of execution.
    pub(crate) fills: Vec<Fill>,
    /// In the order of meeting.
    pub(crate) prevented: Vec<PreventedMatch>,
}

/// Which order is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OrderRef {
    Id(u64),
    ClientId(String),
    /// The id finds, the client's id must agree.
    Both {
        id: u64,
        client_id: String,
    },
}

/// When a cancel is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelRestriction {
    OnlyNew,
    OnlyPartiallyFilled,
}

/// Whether a new order is placed although the old one could not be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplaceMode {
    StopOnFailure,
    AllowFailure,
}

/// A cancel and a new order in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CancelReplace {
    pub(crate) mode: ReplaceMode,
    pub(crate) cancel: OrderRef,
    pub(crate) cancel_id: String,
    pub(crate) restriction: Option<CancelRestriction>,
    /// Its symbol is the cancelled order's as well.
    pub(crate) new: NewOrder,
}

/// One half of a cancel-replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Half<T> {
    Done(T),
    Failed(Refusal),
    NotAttempted,
}

/// What became of a cancel-replace that got past its checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Never [`Half::NotAttempted`].
    pub(crate) cancel: Half<Order>,
    pub(crate) new: Half<Placed>,
}

/// What an amendment did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Amended {
    /// As it is now; expired when nothing was left to trade.
    pub(crate) order: Order,
    pub(crate) previous_client_id: String,
    pub(crate) execution_id: u64,
    pub(crate) at: VenueMicros,
}

/// A trade as `myTrades` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountTrade {
    pub(crate) symbol: SymbolIndex,
    pub(crate) side: OrderSide,
    pub(crate) at: VenueMicros,
    pub(crate) fill: Fill,
}

/// Which trades of a symbol are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TradeFilter {
    pub(crate) order_id: Option<u64>,
    /// From this trade id on.
    pub(crate) from_id: Option<u64>,
    /// At or after.
    pub(crate) start: Option<VenueMicros>,
    /// At or before.
    pub(crate) end: Option<VenueMicros>,
    /// At most so many: the first ones when `from_id` or `start` is given, else the last ones.
    pub(crate) limit: usize,
}
