//! What happened to orders and balances, for the user data stream.
//!
//! Owns: [`Event`] and its parts. Does not: render. Invariants: a transaction's reports come in
//! the order in which things happened, for each order first the acceptance, then one report a
//! fill, then its end; one [`Event::Balances`] for each account that the transaction touched comes
//! after them; execution ids increase, with gaps where a counterparty outside used the number.

use veloz_core::units::E8;

use super::order::{AccountIndex, ExpiryReason, Fill, Order};
use super::refusal::Refusal;
use crate::venue::source::VenueMicros;

/// Something that a user data stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Something happened to an order.
    Report(Box<Report>),
    /// The assets that a transaction may have changed, as they are after it.
    Balances {
        account: AccountIndex,
        at: VenueMicros,
        assets: Vec<Balance>,
    },
}

/// One `executionReport`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) account: AccountIndex,
    /// As after this step.
    pub(crate) order: Order,
    pub(crate) execution: Execution,
    pub(crate) execution_id: u64,
    /// Transaction time.
    pub(crate) at: VenueMicros,
    /// `w`: the order is on the book, or about to be.
    pub(crate) on_book: bool,
    /// With [`Execution::Trade`].
    pub(crate) fill: Option<Fill>,
    /// With [`Execution::Expired`].
    pub(crate) expiry: Option<ExpiryReason>,
    /// With [`Execution::Rejected`]: `r`.
    pub(crate) reject: Option<Refusal>,
    /// With [`Execution::Canceled`]: the cancel's own id, `c`; then `C` is the order's.
    pub(crate) cancel_id: Option<String>,
    /// With [`Execution::Replaced`]: the order's id before, `C`.
    pub(crate) previous_client_id: Option<String>,
    /// With [`Execution::TradePrevention`].
    pub(crate) prevented: Option<Prevented>,
}

/// `x`: what an event tells about its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Execution {
    New,
    Trade,
    Canceled,
    Replaced,
    /// The new half of a cancel-replace whose cancel was done; other refusals make no event.
    Rejected,
    Expired,
    TradePrevention,
}

/// The fields of a prevented trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prevented {
    /// `v`.
    pub(crate) match_id: u64,
    /// `U`.
    pub(crate) counter_order_id: u64,
    /// `B`: of this order, now; `A` is the order's own sum.
    pub(crate) qty: E8,
    /// `pl`: where the trade would have been.
    pub(crate) price: E8,
    /// `pL`: how much would have traded.
    pub(crate) match_qty: E8,
    /// `pY`: its worth.
    pub(crate) match_quote: E8,
}

/// What an account has of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) asset: String,
    pub(crate) free: E8,
    /// Held for open orders.
    pub(crate) locked: E8,
}
