//! Why the exchange does not do what was asked.
//!
//! Owns: the typed reasons. Does not: know codes or words of the venue's errors.

use super::order::OrderType;

/// A refused request or half of one; it changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The filter of this name: `PRICE_FILTER`, `LOT_SIZE`, ...
    FilterFailure(&'static str),
    /// The account has too little free.
    InsufficientBalance,
    /// A LIMIT_MAKER that would take.
    WouldMatch,
    /// An open order of the account on the symbol has this client order id.
    Duplicate,
    /// Nothing to cancel or amend: unknown, or no longer open.
    UnknownOrder,
    /// The order is not in the state that the cancel is restricted to.
    CancelRestrictions,
    /// The symbol's status does not allow it.
    MarketClosed,
    /// The symbol does not allow this self-trade prevention mode.
    StpNotAllowed,
    /// The symbol does not take orders of this type.
    TypeNotSupported(OrderType),
    /// The symbol takes no MARKET order for a quantity of quote.
    QuoteQuantityNotSupported,
    /// A query for an order that is not known, or no longer.
    OrderDoesNotExist,
    /// An order id and a client order id that belong to different orders.
    ClientIdMismatch,
    /// An amendment that does not reduce the quantity to something above zero.
    AmendNotReducing,
    /// The order was amended as often as the symbol allows.
    TooManyAmends,
    /// Price times quantity is zero, or too large for a number.
    PriceTimesQtyZero,
}
