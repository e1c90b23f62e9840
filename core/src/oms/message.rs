//! What the order machine is told and what it answers.
//!
//! Owns: [`Input`], [`Applied`], [`Overdue`], [`Ask`], [`OmsFault`]. Does not: hold state.

use crate::order::{ExecutionReport, Fill, OrderId, OrderState, OrderStatus, OwnTrade};
use crate::units::{Nanos, VenueMillis};

/// What can happen to one order.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Its placement is in the outbox, with the time that its receive window counts from: the edge performs that before the
    /// next event. Bytes that the kernel does not take at once leave later or, when their link goes, never; but they are
    /// as old as this then, and the venue refuses what is older than its window. So every horizon counts from here, and
    /// the order counts against every limit since it was admitted.
    Sent,
    /// Its placement was refused for our clock, and sent once more with the right time.
    SentAgain,
    /// Its placement found no room in the outbox: not a byte of it left, and none will.
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
    /// The placement's outcome cannot be known from its answer: a timeout at the venue, a 5xx, a link lost after
    /// bytes left.
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
    /// One trade of the order: from the list of trades, or from the answer to its placement. A list is told whole
    /// and in the order of its trade ids.
    Trade(&'a OwnTrade),
    /// The list of the order's trades has been told to its end.
    TradesComplete,
    /// A cancel is in the outbox.
    CancelSent,
    /// The cancel had no effect, or never left.
    CancelRefused {
        /// Whether because the venue does not know the order as open.
        unknown_order: bool,
    },
    /// The cancel's outcome cannot be known from its answer.
    CancelUnknown,
    /// An amend, or a replacement whose cancelled half this order is, is in the outbox.
    ReplaceSent,
    /// The amend or the replacement was refused for our clock, and sent once more with the right time.
    ReplaceSentAgain,
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

impl Applied {
    pub(super) const fn only(fault: OmsFault) -> Self {
        Self {
            transition: None,
            fill: None,
            fault: Some(fault),
            ask: None,
        }
    }
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

/// What is to be asked of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Where this order stands; by its venue id when it is known, else by its client id at the venue.
    Status(OrderId),
    /// All trades of this order, from its first; its venue id is known.
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
        /// It says the opposite of what is known: another instrument, side, price or id, a larger quantity, or
        /// another end.
        Contradicted = "contradicted",
        /// An order that was taken for never accepted is alive; its exposure counts again.
        Reopened = "reopened",
        /// The venue does not know an order that it has shown before.
        Vanished = "vanished",
        /// An order was asked about so often that no answer can be expected any more.
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
