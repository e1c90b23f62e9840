//! The numbers of our requests on the orders links: an answer tells by its id what was asked.
//!
//! Owns: [`RequestKind`] with each method's name and weight, and [`RequestId`]. Does not: remember what is
//! under way. Invariant: the low bits of an id on the wire are the request's kind, the others a number
//! that counts up from 1 over all orders links of a run and is never used twice in it.

labelled! {
    /// What was asked; the label is the API's method.
    pub enum RequestKind {
        /// Logs the session on with an Ed25519 signature.
        LogOn = "session.logon",
        /// Asks for the user data events of the account on this link.
        Subscribe = "userDataStream.subscribe",
        /// A new order.
        Place = "order.place",
        /// Takes an order back.
        Cancel = "order.cancel",
        /// Takes an order back and places another in its stead.
        CancelReplace = "order.cancelReplace",
        /// Makes an order smaller.
        Amend = "order.amend.keepPriority",
        /// Takes all orders of one instrument back, also those that are not ours.
        CancelAll = "openOrders.cancelAll",
        /// The open orders of one instrument or of all.
        OpenOrders = "openOrders.status",
        /// One order.
        Status = "order.status",
        /// The account's balances.
        Account = "account.status",
        /// Own trades of one instrument.
        Trades = "myTrades",
        /// How many orders count against the limits.
        OrderCounts = "account.rateLimits.orders",
        /// The venue's time.
        Time = "time",
        /// Whether the link is alive.
        Ping = "ping",
    }
}

impl RequestKind {
    /// Whether the venue charges no weight when it succeeds (since 2026-04-02). An amend is free only when
    /// it ends the order, which is not known in advance.
    pub const fn is_free_on_success(self) -> bool {
        match self {
            Self::Place | Self::Cancel | Self::CancelReplace | Self::CancelAll => true,
            Self::LogOn
            | Self::Subscribe
            | Self::Amend
            | Self::OpenOrders
            | Self::Status
            | Self::Account
            | Self::Trades
            | Self::OrderCounts
            | Self::Time
            | Self::Ping => false,
        }
    }

    /// Whether it counts as a new order in every window of the order limits. A replacement that is not
    /// attempted counts too.
    pub const fn counts_as_order(self) -> bool {
        matches!(self, Self::Place | Self::CancelReplace)
    }

    /// Whether it can only take orders back: it may use what the budgets keep free for such requests.
    pub const fn only_cancels(self) -> bool {
        matches!(self, Self::Cancel | Self::CancelAll)
    }
}

/// Bits of an id that say the kind.
const KIND_BITS: u32 = 4;
const _: () = assert!(RequestKind::ALL.len() <= 1 << KIND_BITS);

/// One request of the orders links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Counts up from 1 over all orders links of a run; below 2^59.
    pub sequence: u64,
    /// What was asked.
    pub kind: RequestKind,
}

impl RequestId {
    /// The id on the wire: the sequence times 16, plus the kind.
    #[inline]
    pub const fn to_wire(self) -> u64 {
        self.sequence << KIND_BITS | self.kind as u64
    }

    /// What [`RequestId::to_wire`] made; `None` for a number that it makes never.
    #[inline]
    pub fn from_wire(wire: i64) -> Option<Self> {
        let wire = u64::try_from(wire).ok()?;
        let sequence = wire >> KIND_BITS;
        let kind = (wire & ((1 << KIND_BITS) - 1)) as usize;
        if sequence == 0 {
            return None;
        }
        let kind = *RequestKind::ALL.get(kind)?;
        Some(Self { sequence, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_was_asked() {
        for kind in RequestKind::ALL {
            for sequence in [1, 2, 1 << 20, (1 << 59) - 1] {
                let id = RequestId { sequence, kind };
                let wire = i64::try_from(id.to_wire()).expect("the venue takes signed 64 bits");
                assert_eq!(RequestId::from_wire(wire), Some(id));
            }
        }
        for foreign in [-1, 0, 5, 16 + 14, 16 + 15, i64::MIN] {
            assert_eq!(RequestId::from_wire(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn only_requests_that_can_make_orders_count_as_such() {
        for kind in RequestKind::ALL {
            assert!(!(kind.only_cancels() && kind.counts_as_order()));
        }
    }
}
