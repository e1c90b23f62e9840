//! The order machine: where every order of ours stands, and which of its fills are booked.
//!
//! Owns: the table of orders (open, and a bounded past), its indices by our id, the client's and the venue's, the
//! ids of booked fills, and the time that each order may spend waiting. Does not: talk to a venue, decide what may
//! be traded (risk does), hold positions (the portfolio does), or read a clock.

use crate::instrument::InstrumentIndex;
use crate::order::{
    ClientId, ExecutionReport, Fill, OrderId, OrderState, OrderStatus, OwnTrade, Side,
};
use crate::risk::Admitted;
use crate::units::{Lots, Nanos, Ticks, VenueMillis};

/// How long an order may wait for what, and when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OmsConfig {
    /// Longest wait for the answer to a placement; then the venue is asked.
    pub answer_max: Nanos,
    /// Longest wait for the outcome of a cancel.
    pub cancel_max: Nanos,
    /// Longest wait for the outcome of an amend or a replacement.
    pub replace_max: Nanos,
    /// How long what is most likely under way already (a fill that a cumulative quantity is ahead of, the end of an
    /// order that a cancel did not find) is waited for before the venue is asked. Zero asks at once.
    pub grace: Nanos,
    /// First wait between two questions about one order; doubles with each that did not settle it.
    pub ask_again: Nanos,
    /// How long after its sending a placement can still reach the matching engine: the request's receive window
    /// and a guard. Not to be found proves nothing before.
    pub answer_horizon: Nanos,
}

/// What is to be asked of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Where this order stands; by its venue id when it is known, else by its client id at the venue.
    Status(OrderId),
    /// All trades of this order; its venue id is known.
    Trades(OrderId),
}

labelled! {
    /// What is wrong with what was told.
    pub enum OmsFault {
        /// It is about an order of ours that the table does not hold. A fill in it is not booked: adopt the order,
        /// then apply the same again.
        UnknownOrder = "unknown_order",
        /// More was filled than was ordered. The fill is booked all the same: it happened.
        Overfill = "overfill",
        /// Something older than what is known. It changed nothing, except that a fill not seen before is booked.
        WentBack = "went_back",
        /// It says the opposite of what the venue said before: another side, price or id, a larger quantity, another end.
        Contradicted = "contradicted",
        /// An order that was taken for never accepted is alive; its exposure counts again.
        Reopened = "reopened",
        /// The venue does not know an order that it has shown before.
        Vanished = "vanished",
        /// An order was asked about so often that answers cannot be expected any more.
        AskedInVain = "asked_in_vain",
        /// Whether this fill is booked cannot be told any more; the order's trades are asked for.
        FillForgotten = "fill_forgotten",
        /// An input that the state does not allow: our own mistake. It changed nothing.
        Illegal = "illegal",
    }
}

impl OmsFault {
    /// Whether trading must stop: what is held may differ from what is booked.
    pub const fn halts(self) -> bool {
        match self {
            Self::UnknownOrder
            | Self::Overfill
            | Self::Contradicted
            | Self::Reopened
            | Self::Vanished
            | Self::AskedInVain
            | Self::Illegal => true,
            Self::WentBack | Self::FillForgotten => false,
        }
    }
}

/// What can happen to one order.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The kernel took the last byte of its placement.
    Sent,
    /// Not a byte of its placement left, and none will.
    NotSent,
    /// The placement was accepted.
    Acknowledged {
        /// The venue's id of the order.
        venue_order_id: u64,
        /// When the venue accepted it.
        at: VenueMillis,
    },
    /// The placement was refused, and definitely so.
    Refused {
        /// The venue's error code.
        code: i32,
    },
    /// The placement's outcome cannot be known from its answer: a timeout at the venue, a 5xx, a lost link.
    OutcomeUnknown,
    /// A report of the user data stream.
    Report(&'a ExecutionReport),
    /// The order as an answer shows it: to a question, to a cancel that succeeded, in the list of open orders.
    Status {
        /// How it stands.
        status: &'a OrderStatus,
        /// When the request that this answers was sent.
        asked_at: Nanos,
    },
    /// The venue does not know the order.
    StatusNotFound {
        /// When the question was sent.
        asked_at: Nanos,
    },
    /// One trade of the order: from the list of trades, or from the answer to its placement.
    Trade(&'a OwnTrade),
    /// Every trade that the list showed has been told.
    TradesComplete {
        /// When the list was asked for.
        asked_at: Nanos,
    },
    /// A cancel was handed to the kernel.
    CancelSent,
    /// The cancel had no effect, or never left.
    CancelRefused {
        /// Whether because the venue does not know the order as open.
        unknown_order: bool,
    },
    /// The cancel's outcome cannot be known from its answer.
    CancelUnknown,
    /// An amend, or a replacement whose cancelled half this order is, was handed to the kernel.
    ReplaceSent,
    /// The amend or the cancelling half had no effect, or never left.
    ReplaceRefused {
        /// Whether because the venue does not know the order as open.
        unknown_order: bool,
    },
    /// The amend's or replacement's outcome cannot be known from its answer.
    ReplaceUnknown,
    /// The amend succeeded; the order as it is now.
    Amended(&'a OrderStatus),
}

/// What an input did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a fill must be booked, a fault answered, a question asked"]
pub struct Applied {
    /// From which state to which; `None` when it stayed.
    pub transition: Option<(OrderState, OrderState)>,
    /// A fill to book. Each is handed out exactly once.
    pub fill: Option<Fill>,
    /// What was wrong.
    pub fault: Option<OmsFault>,
    /// What to ask the venue now.
    pub ask: Option<Ask>,
}

/// What came due of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a question must be asked"]
pub struct Overdue {
    /// Whose time passed.
    pub id: OrderId,
    /// From which state to which; `None` when it stayed.
    pub transition: Option<(OrderState, OrderState)>,
    /// What to ask the venue now.
    pub ask: Ask,
    /// What is wrong.
    pub fault: Option<OmsFault>,
}

/// An order from an earlier run that is in the table now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a question must be asked"]
pub struct Adopted {
    /// Its id.
    pub id: OrderId,
    /// Where it stands.
    pub state: OrderState,
    /// What to ask the venue now.
    pub ask: Option<Ask>,
}

/// Why an order cannot enter the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// As many orders are open as the table holds.
    #[error("as many orders are open as the table of orders holds")]
    Full,
    /// It is not ours.
    #[error("the order was not made by this instance")]
    Foreign,
    /// It is in the table already; apply what was told instead.
    #[error("the order is known already")]
    Known,
}

/// As many orders are open as the table holds, or the run's ids are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many orders are open as the table of orders holds")]
pub struct Full;

/// One order.
#[derive(Clone, Debug)]
pub struct Order {
    /// Our number of it.
    pub id: OrderId,
}

impl Order {
    /// The client's alias.
    pub fn client_id(&self) -> Option<&ClientId> {
        todo!()
    }
    /// What risk admitted; `None` for an order of an earlier run.
    pub fn admitted(&self) -> Option<&Admitted> {
        todo!()
    }
    /// What is traded.
    pub fn instrument(&self) -> InstrumentIndex {
        todo!()
    }
    /// Which way.
    pub fn side(&self) -> Side {
        todo!()
    }
    /// At what price; zero for market orders.
    pub fn price(&self) -> Ticks {
        todo!()
    }
    /// How much is ordered, amends included.
    pub fn qty(&self) -> Lots {
        todo!()
    }
    /// How much of it is booked as filled.
    pub fn executed(&self) -> Lots {
        todo!()
    }
    /// How much can still fill, as far as is known: what counts against limits.
    pub fn remaining(&self) -> Lots {
        todo!()
    }
    /// Sum of price x quantity over the booked fills, in ticks x lots. Over [`Order::executed`] it is the exact VWAP.
    pub fn executed_notional(&self) -> i128 {
        todo!()
    }
    /// Where it stands.
    pub fn state(&self) -> OrderState {
        todo!()
    }
    /// The venue's id, once known.
    pub fn venue_order_id(&self) -> Option<u64> {
        todo!()
    }
    /// When it was admitted or adopted.
    pub fn admitted_at(&self) -> Nanos {
        todo!()
    }
    /// When the kernel took its last byte; `None` while that is not told, and for an order of an earlier run.
    pub fn sent_at(&self) -> Option<Nanos> {
        todo!()
    }
}

/// What the open orders of one instrument add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Orders that are not over.
    pub open_count: u32,
    /// Those of them whose state at the venue is unknown.
    pub unresolved_count: u32,
    /// Lots that buys can still fill. Wider than [`Lots`], because a sum of them can leave their range.
    pub buy_remaining_lots: i128,
    /// Lots that sells can still fill.
    pub sell_remaining_lots: i128,
    /// Sum of limit price x remaining over buys, in ticks x lots: what the quote asset owes them.
    pub buy_notional: i128,
    /// Lots of `buy_remaining_lots` that have no price (market orders) and are not in `buy_notional`.
    pub buy_unpriced_lots: i128,
    /// Highest price of a buy that may stand in the book.
    pub best_bid: Option<Ticks>,
    /// Lowest price of a sell that may stand in the book.
    pub best_ask: Option<Ticks>,
}

/// The order machine.
pub struct Oms {
    config: OmsConfig,
}

impl Oms {
    /// An empty table with all its memory reserved. `run` numbers this start of the instance and must be larger than
    /// every earlier one's.
    pub fn new(instrument_count: usize, run: u32, config: OmsConfig) -> Self {
        let _ = (instrument_count, run);
        Self { config }
    }

    /// Takes an admitted order in; its exposure counts from here on.
    ///
    /// # Errors
    /// [`Full`].
    ///
    /// # Panics
    /// When the client id is in the table already: look with [`Oms::find_client`] first.
    pub fn admit(
        &mut self,
        now: Nanos,
        admitted: Admitted,
        client_id: Option<ClientId>,
    ) -> Result<OrderId, Full> {
        let _ = (now, admitted, client_id, self.config);
        todo!()
    }

    /// Takes in an order of ours that the table does not hold: one of an earlier run, or one long forgotten. Fills that
    /// it has already are asked for, none is assumed to be booked; the portfolio knows which its start contains.
    ///
    /// # Errors
    /// As [`AdoptError`] says; the table is unchanged.
    pub fn adopt(
        &mut self,
        now: Nanos,
        status: &OrderStatus,
        asked_at: Nanos,
    ) -> Result<Adopted, AdoptError> {
        let _ = (now, status, asked_at);
        todo!()
    }

    /// Tells what happened to an order.
    pub fn apply(&mut self, now: Nanos, id: OrderId, input: Input<'_>) -> Applied {
        let _ = (now, id, input);
        todo!()
    }

    /// The list of open orders (of one instrument, or of all) that was asked for at `asked_at` has been told, each of
    /// ours by [`Input::Status`] or [`Oms::adopt`]. Orders that should have been in it and were not come due at once;
    /// call [`Oms::overdue`] until it returns `None`. Returns how many.
    pub fn end_of_open_orders(
        &mut self,
        now: Nanos,
        instrument: Option<InstrumentIndex>,
        asked_at: Nanos,
    ) -> usize {
        let _ = (now, instrument, asked_at);
        todo!()
    }

    /// When to call [`Oms::overdue`]; [`Nanos::MAX`] while nothing waits. May be early.
    pub fn due(&self) -> Nanos {
        todo!()
    }

    /// One order whose time has passed. Call until it returns `None`.
    pub fn overdue(&mut self, now: Nanos) -> Option<Overdue> {
        let _ = now;
        todo!()
    }

    /// An order, open or remembered.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        let _ = id;
        todo!()
    }

    /// The order with a client's id, open or remembered.
    pub fn find_client(&self, client_id: &ClientId) -> Option<OrderId> {
        let _ = client_id;
        todo!()
    }

    /// The order with a venue's id, open or remembered.
    pub fn find_venue(&self, instrument: InstrumentIndex, venue_order_id: u64) -> Option<OrderId> {
        let _ = (instrument, venue_order_id);
        todo!()
    }

    /// The open orders of an instrument, oldest first.
    pub fn open(&self, instrument: InstrumentIndex) -> impl Iterator<Item = &Order> {
        let _ = instrument;
        std::iter::empty()
    }

    /// All open orders, oldest first.
    pub fn open_all(&self) -> impl Iterator<Item = &Order> {
        std::iter::empty()
    }

    /// The open orders (of one instrument, or of all) that a cancel would mean something to: sent, perhaps held by the
    /// venue, and no cancel of ours under way.
    pub fn cancellable(&self, instrument: Option<InstrumentIndex>) -> impl Iterator<Item = &Order> {
        let _ = instrument;
        std::iter::empty()
    }

    /// Number of open orders.
    pub fn open_count(&self) -> usize {
        todo!()
    }

    /// What the open orders of an instrument add up to.
    pub fn totals(&self, instrument: InstrumentIndex) -> &Totals {
        let _ = instrument;
        todo!()
    }

    /// Since when the longest unresolved order is so.
    pub fn oldest_unresolved(&self) -> Option<(OrderId, Nanos)> {
        todo!()
    }
}
