//! One order as clients see it, and what happened to it.
//!
//! Owns: [`OrderLine`], [`OrderStatus`], [`OrderEvent`], [`FillLine`]. Does not: hold more than one of them.
//! Invariants: prices and quantities are exact; an average price is the exact sum over the fills divided once and
//! rounded half to even at the eighth place; what the records did not tell is `None`.

use std::fmt;
use veloz_core::event::Token;
use veloz_core::instrument::AssetIndex;
use veloz_core::instrument::{InstrumentIndex, Symbol};
use veloz_core::labelled;
use veloz_core::oms::OmsFault;
use veloz_core::order::{
    ClientId, DoneReason, OrderId, OrderKind, OrderState, Origin, Side, TimeInForce,
};
use veloz_core::risk::Rejection;
use veloz_core::telemetry::records::OrderRequest;
use veloz_core::units::{E8, E8_ONE};
use veloz_core::venue::binance::order_error::{Cause, ErrorKind};

labelled! {
    /// Where an order stands, in the words of existing clients.
    pub enum OrderStatus {
        /// On its way, or its outcome is unknown.
        Pending = "PENDING",
        /// The venue holds it, nothing traded.
        Accepted = "ACCEPTED",
        /// The venue holds it, some of it traded.
        PartiallyFilled = "PARTIALLY_FILLED",
        /// All of it traded.
        Filled = "FILLED",
        /// Taken back.
        Cancelled = "CANCELLED",
        /// Refused, by us or by the venue.
        Rejected = "REJECTED",
        /// Ended by its terms, by the venue, or by self-trade prevention.
        Expired = "EXPIRED",
    }
}

/// A request about an order that the venue refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked.
    pub request: OrderRequest,
    /// The venue's error code.
    pub code: i32,
    /// What the refusal means, by its status, its code and its words.
    pub kind: ErrorKind,
    /// What its words say besides.
    pub cause: Cause,
}

/// Why an order did not go well. Its text is what clients are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Our own risk refused it.
    Risk(Rejection),
    /// The venue refused it.
    Venue(Refusal),
    /// The venue ended it in the matching engine without a refusal of the request.
    MatchingEngine,
    /// It could not be written, and never left.
    NotSent,
    /// Self-trade prevention ended it.
    SelfTradePrevention,
    /// Nobody knows yet; the venue is being asked.
    OutcomeUnknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Risk(reason) => f.write_str(reason.label()),
            Self::Venue(refusal) => {
                write!(f, "venue_{} ({})", refusal.kind.label(), refusal.code)
            }
            Self::MatchingEngine => f.write_str("venue_matching_engine"),
            Self::NotSent => f.write_str("not_sent"),
            Self::SelfTradePrevention => f.write_str("self_trade_prevention"),
            Self::OutcomeUnknown => f.write_str("outcome_unknown"),
        }
    }
}

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLine {
    /// Our number.
    pub id: OrderId,
    /// The client's own id, if it gave one.
    pub client_id: Option<ClientId>,
    /// The venue's id, once it is known.
    pub venue_order_id: Option<u64>,
    /// What is traded.
    pub instrument: InstrumentIndex,
    /// The same by the venue's name.
    pub symbol: Symbol,
    /// Which way; `None` only when the record of its admission was lost.
    pub side: Option<Side>,
    /// What it may do to the book; `None` for an order of an earlier run.
    pub kind: Option<OrderKind>,
    /// How long it stands; `None` for an order of an earlier run.
    pub time_in_force: Option<TimeInForce>,
    /// Who wanted it; `None` for an order of an earlier run.
    pub origin: Option<Origin>,
    /// The command that asked for it; zero for the strategy's own and for orders of an earlier run.
    pub token: Token,
    /// Its price; `None` for a market order.
    pub price: Option<E8>,
    /// Its quantity now, amends included.
    pub qty: E8,
    /// How much of it traded. Of an order of an earlier run fills that change no state show with its next state.
    pub executed: E8,
    /// Where it stands.
    pub state: OrderState,
    /// The last request about it that the venue refused.
    pub refusal: Option<Refusal>,
    /// How many requests about it the venue refused: two refusals may be alike in all else.
    pub refusals: u64,
    /// The last thing told of it that does not fit.
    pub fault: Option<OmsFault>,
    /// When it was admitted or taken over, Unix time in nanoseconds.
    pub created_ns: i64,
    /// When anything last changed, Unix time in nanoseconds.
    pub last_ts_ns: i64,
    /// Whether it never left.
    pub(super) unsent: bool,
    /// Fills seen: their sum in 1e-8 of base, and of price x quantity in 1e-16 of quote.
    pub(super) filled_e8: i64,
    pub(super) filled_notional_e16: i128,
    /// What its last event said.
    pub(super) told: Option<(OrderStatus, E8, Option<Reason>)>,
    /// Which place it has among the finished ones.
    pub(super) finished: Option<u64>,
}

impl OrderLine {
    /// The name under which clients know it: their own id, or our number as text.
    pub fn name(&self) -> String {
        self.client_id.map_or_else(
            || self.id.to_string(),
            |client_id| client_id.as_str().to_owned(),
        )
    }

    /// The average price of the fills seen; `None` before the first.
    pub fn avg_price(&self) -> Option<E8> {
        if self.filled_e8 <= 0 {
            return None;
        }
        let divisor = i128::from(self.filled_e8);
        let (whole, rest) = (
            self.filled_notional_e16 / divisor,
            self.filled_notional_e16 % divisor,
        );
        let up = match (2 * rest).cmp(&divisor) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => whole % 2,
            std::cmp::Ordering::Greater => 1,
        };
        // Between the lowest and the highest price of its fills.
        i64::try_from(whole + up).ok().map(E8)
    }

    /// What was paid or got for the fills seen, in the quote asset, rounded down at the eighth place.
    pub fn filled_notional(&self) -> Option<E8> {
        i64::try_from(self.filled_notional_e16 / i128::from(E8_ONE))
            .ok()
            .map(E8)
    }

    /// Where it stands, in the words of existing clients.
    pub fn status(&self) -> OrderStatus {
        match self.state {
            OrderState::Admitted | OrderState::Sent | OrderState::Unresolved => {
                OrderStatus::Pending
            }
            OrderState::Live
            | OrderState::PartiallyFilled
            | OrderState::CancelSent
            | OrderState::ReplaceSent => {
                if self.executed.0 > 0 {
                    OrderStatus::PartiallyFilled
                } else {
                    OrderStatus::Accepted
                }
            }
            OrderState::Done(reason) => match reason {
                DoneReason::Filled => OrderStatus::Filled,
                DoneReason::Cancelled => OrderStatus::Cancelled,
                DoneReason::Rejected => OrderStatus::Rejected,
                DoneReason::Expired | DoneReason::ExpiredInMatch => OrderStatus::Expired,
            },
        }
    }

    /// Why it did not go well; `None` while there is nothing to say.
    pub fn reason(&self) -> Option<Reason> {
        match self.state {
            OrderState::Unresolved => Some(Reason::OutcomeUnknown),
            OrderState::Done(DoneReason::Rejected) if self.unsent => Some(Reason::NotSent),
            OrderState::Done(DoneReason::Rejected) => Some(
                self.refusal
                    .filter(|refusal| places(refusal.request))
                    .map_or(Reason::MatchingEngine, Reason::Venue),
            ),
            OrderState::Done(DoneReason::ExpiredInMatch) => Some(Reason::SelfTradePrevention),
            OrderState::Admitted
            | OrderState::Sent
            | OrderState::Live
            | OrderState::PartiallyFilled
            | OrderState::CancelSent
            | OrderState::ReplaceSent
            | OrderState::Done(DoneReason::Filled | DoneReason::Cancelled | DoneReason::Expired) => {
                None
            }
        }
    }

    /// Whether the venue's word on the placement is known: taken or refused. An unknown outcome is no answer.
    pub fn is_answered(&self) -> bool {
        match self.state {
            OrderState::Admitted | OrderState::Sent | OrderState::Unresolved => false,
            OrderState::Live
            | OrderState::PartiallyFilled
            | OrderState::CancelSent
            | OrderState::ReplaceSent
            | OrderState::Done(_) => true,
        }
    }

    /// Whether nothing can happen to it any more.
    pub fn is_done(&self) -> bool {
        self.state.is_done()
    }
}

/// Whether a request brings a new order.
pub(super) const fn places(request: OrderRequest) -> bool {
    match request {
        OrderRequest::Place | OrderRequest::Replace => true,
        OrderRequest::Cancel | OrderRequest::Amend | OrderRequest::Query => false,
    }
}

/// Something that happened to an order, as clients are told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// When, Unix time in nanoseconds.
    pub ts_ns: i64,
    /// Our number; `None` for one that risk refused.
    pub order: Option<OrderId>,
    /// The client's own id, if it gave one.
    pub client_id: Option<ClientId>,
    /// The venue's id, once it is known.
    pub venue_order_id: Option<u64>,
    /// What is traded.
    pub symbol: Symbol,
    /// Which way, where it is known.
    pub side: Option<Side>,
    /// At what price; `None` for a market order, or where it is not known.
    pub price: Option<E8>,
    /// How much was asked for.
    pub qty: E8,
    /// How much traded.
    pub executed: E8,
    /// Where it stands.
    pub status: OrderStatus,
    /// Why, when it did not go well.
    pub reason: Option<Reason>,
}

impl OrderEvent {
    pub(super) fn of(line: &OrderLine) -> Self {
        Self {
            ts_ns: line.last_ts_ns,
            order: Some(line.id),
            client_id: line.client_id,
            venue_order_id: line.venue_order_id,
            symbol: line.symbol,
            side: line.side,
            price: line.price,
            qty: line.qty,
            executed: line.executed,
            status: line.status(),
            reason: line.reason(),
        }
    }

    /// The name under which clients know the order; empty for a refused one without a client's id.
    pub fn name(&self) -> String {
        match (self.client_id, self.order) {
            (Some(client_id), _) => client_id.as_str().to_owned(),
            (None, Some(order)) => order.to_string(),
            (None, None) => String::new(),
        }
    }
}

/// One fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillLine {
    /// When we heard of it, Unix time in nanoseconds.
    pub ts_ns: i64,
    /// Whose.
    pub order: OrderId,
    /// The client's own id of that order, if it gave one.
    pub client_id: Option<ClientId>,
    /// What was traded.
    pub instrument: InstrumentIndex,
    /// The same by the venue's name.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// At what price.
    pub price: E8,
    /// How much.
    pub qty: E8,
    /// What the venue took.
    pub fee: E8,
    /// In which asset.
    pub fee_asset: AssetIndex,
    /// The venue's number of the trade.
    pub trade_id: u64,
    /// Whether our order rested.
    pub is_maker: bool,
}

impl FillLine {
    /// The name under which clients know the order.
    pub fn name(&self) -> String {
        self.client_id.map_or_else(
            || self.order.to_string(),
            |client_id| client_id.as_str().to_owned(),
        )
    }
}
