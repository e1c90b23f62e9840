//! Requests about orders that wait for an answer.
//!
//! Owns: [`OrderRequests`]. Does not: send, encode or judge answers. Bound: [`ORDER_REQUESTS_MAX`]; what does
//! not fit is not sent. Invariant: a request is in the table from the moment its bytes are in the outbox until it
//! is answered, given up or its link is gone.

use crate::event::LinkId;
use crate::instrument::InstrumentIndex;
use crate::limits::ORDER_REQUESTS_MAX;
use crate::order::OrderId;
use crate::units::{Lots, Nanos};
use crate::venue::binance::order_entry::RequestId;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Purpose {
    /// To be let in.
    LogOn,
    /// To hear user data.
    Subscribe,
    /// A new order.
    Place(OrderId),
    /// An order to go.
    Cancel(OrderId),
    /// An order to go and another to come in its stead.
    Replace {
        /// The one that goes.
        old: OrderId,
        /// The one that comes.
        new: OrderId,
    },
    /// An order to become smaller, of this size.
    Amend(OrderId, Lots),
    /// Where an order stands.
    Status(OrderId),
    /// The trades of an order.
    Trades(OrderId, InstrumentIndex),
    /// The trades of an instrument that may be missed.
    Missed(InstrumentIndex),
    /// Whose an order is that a missed trade names, by the venue's id of it.
    Owner(InstrumentIndex, u64),
    /// All open orders.
    OpenOrders,
    /// All balances.
    Account,
    /// How many orders the venue has counted.
    OrderCounts,
}

impl Purpose {
    /// Whether a link that does not answer it is dead. The outcome of an order is asked for instead.
    pub(super) const fn proves_the_link(self) -> bool {
        match self {
            Self::LogOn
            | Self::Subscribe
            | Self::Status(_)
            | Self::Trades(..)
            | Self::Missed(_)
            | Self::Owner(..)
            | Self::OpenOrders
            | Self::Account
            | Self::OrderCounts => true,
            Self::Place(_) | Self::Cancel(_) | Self::Replace { .. } | Self::Amend(..) => false,
        }
    }
}

/// One request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct OrderRequest {
    pub(super) id: RequestId,
    pub(super) link: LinkId,
    pub(super) purpose: Purpose,
    /// Request weight booked for it.
    pub(super) weight: u32,
    /// The event's time.
    pub(super) sent_at: Nanos,
    /// When the kernel took it, by the stopwatch of who performs actions; for telemetry alone.
    pub(super) in_kernel_at: Option<Nanos>,
    /// Whether it was sent before and the venue did not like the clock.
    pub(super) retried: bool,
}

/// All requests under way, oldest first.
#[derive(Debug)]
pub(in crate::engine) struct OrderRequests {
    list: Vec<OrderRequest>,
}

impl OrderRequests {
    pub(super) fn new() -> Self {
        Self {
            list: Vec::with_capacity(ORDER_REQUESTS_MAX),
        }
    }

    /// Whether one more fits.
    pub(super) fn has_room(&self) -> bool {
        self.list.len() < ORDER_REQUESTS_MAX
    }

    /// Whether none is under way on this link.
    pub(super) fn is_quiet(&self, link: LinkId) -> bool {
        self.list.iter().all(|request| request.link != link)
    }

    /// Adds a request that was sent.
    ///
    /// # Panics
    /// When there is no room: the caller asks first.
    pub(super) fn push(&mut self, request: OrderRequest) {
        assert!(self.has_room(), "requests are bounded");
        self.list.push(request);
    }

    /// The kernel took what the event of `now` caused, and has it since `stamp`.
    pub(super) fn in_kernel(&mut self, now: Nanos, stamp: Nanos) {
        // The newest are last.
        let of_event = self.list.iter_mut().rev();
        for request in of_event.take_while(|request| request.sent_at == now) {
            request.in_kernel_at.get_or_insert(stamp);
        }
    }

    /// The request with this id on this link, which waits no longer.
    pub(super) fn take(&mut self, link: LinkId, id: RequestId) -> Option<OrderRequest> {
        let position = self
            .list
            .iter()
            .position(|request| request.id == id && request.link == link)?;
        Some(self.list.remove(position))
    }

    /// Some request of this link, which waits no longer.
    pub(super) fn take_of(&mut self, link: LinkId) -> Option<OrderRequest> {
        let position = self.list.iter().position(|request| request.link == link)?;
        Some(self.list.remove(position))
    }

    /// The oldest request sent at or before `sent_at`, which waits no longer.
    pub(super) fn take_sent_before(&mut self, sent_at: Nanos) -> Option<OrderRequest> {
        let oldest = self.list.first()?;
        (oldest.sent_at <= sent_at).then(|| self.list.remove(0))
    }

    /// Whether something like this is under way.
    pub(super) fn any(&self, wanted: impl Fn(Purpose) -> bool) -> bool {
        self.list.iter().any(|request| wanted(request.purpose))
    }

    /// When the oldest was sent.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        self.list.first().map(|request| request.sent_at)
    }
}
