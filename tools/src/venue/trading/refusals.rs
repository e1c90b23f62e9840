//! What the exchange refuses, in the venue's words.
//!
//! Owns: code and sentence of each [`Refusal`], which differ by what was asked. Does not: decide.
//! Source: Binance Spot `errors.md`.

use super::super::exchange::{OrderType, Refusal};
use super::super::methods::ApiError;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    NewOrder,
    Cancel,
    Amend,
    Query,
}

/// The error that a client gets.
pub(crate) fn error(refusal: Refusal, asked: Asked) -> ApiError {
    // What the matching engine says no to carries the code of what was asked.
    let code = match asked {
        Asked::NewOrder => -2010,
        Asked::Cancel => -2011,
        Asked::Amend => -2038,
        Asked::Query => -2013,
    };
    let (code, msg) = match refusal {
        Refusal::FilterFailure(name) => {
            return ApiError::bad_request(-1013, format!("Filter failure: {name}"));
        }
        Refusal::TooManyAmends => (-1013, "Filter failure: MAX_NUM_ORDER_AMENDS"),
        Refusal::StpNotAllowed => (
            -1013,
            "This symbol does not allow the specified self-trade prevention mode.",
        ),
        Refusal::TypeNotSupported(kind) => {
            let name = match kind {
                OrderType::Limit => "Limit",
                OrderType::LimitMaker => "Limit maker",
                OrderType::Market => "Market",
            };
            let msg = format!("{name} orders are not supported for this symbol.");
            return ApiError::bad_request(-2010, msg);
        }
        Refusal::QuoteQuantityNotSupported => (
            -2010,
            "Quote order qty market orders are not support for this symbol.",
        ),
        Refusal::InsufficientBalance => (
            code,
            "Account has insufficient balance for requested action.",
        ),
        Refusal::WouldMatch => (code, "Order would immediately match and take."),
        Refusal::Duplicate => (code, "Duplicate order sent."),
        Refusal::UnknownOrder => (code, "Unknown order sent."),
        Refusal::CancelRestrictions => (code, "Order was not canceled due to cancel restrictions."),
        Refusal::MarketClosed => (code, "Market is closed."),
        Refusal::OrderDoesNotExist => (-2013, "Order does not exist."),
        Refusal::ClientIdMismatch => (-2039, "Client order ID is not correct for this order ID."),
        Refusal::AmendNotReducing => (code, "Order amend (quantity increase) is not supported."),
        Refusal::PriceTimesQtyZero => (code, "Price * QTY is zero or less."),
    };
    ApiError::bad_request(code, msg)
}

/// An amendment to the quantity that the order has already.
pub(crate) fn no_change() -> ApiError {
    ApiError::bad_request(
        -2038,
        "The requested action would change no state; rejecting",
    )
}

/// `r`: why an order was rejected, as its event says it.
pub(crate) fn reject_reason(refusal: Option<Refusal>) -> &'static str {
    match refusal {
        Some(Refusal::InsufficientBalance) => "INSUFFICIENT_BALANCES",
        Some(Refusal::WouldMatch) => "WOULD_MATCH_IMMEDIATELY",
        Some(
            Refusal::FilterFailure(_)
            | Refusal::Duplicate
            | Refusal::UnknownOrder
            | Refusal::CancelRestrictions
            | Refusal::MarketClosed
            | Refusal::StpNotAllowed
            | Refusal::TypeNotSupported(_)
            | Refusal::QuoteQuantityNotSupported
            | Refusal::OrderDoesNotExist
            | Refusal::ClientIdMismatch
            | Refusal::AmendNotReducing
            | Refusal::TooManyAmends
            | Refusal::PriceTimesQtyZero,
        )
        | None => "NONE",
    }
}

/// Whether the order got as far as the matching engine, and counts among the account's orders.
pub(crate) fn reached_the_engine(refusal: Refusal) -> bool {
    match refusal {
        Refusal::FilterFailure(_)
        | Refusal::StpNotAllowed
        | Refusal::TypeNotSupported(_)
        | Refusal::QuoteQuantityNotSupported
        | Refusal::TooManyAmends => false,
        Refusal::InsufficientBalance
        | Refusal::WouldMatch
        | Refusal::Duplicate
        | Refusal::UnknownOrder
        | Refusal::CancelRestrictions
        | Refusal::MarketClosed
        | Refusal::OrderDoesNotExist
        | Refusal::ClientIdMismatch
        | Refusal::AmendNotReducing
        | Refusal::PriceTimesQtyZero => true,
    }
}
