//! One order: what was ordered, what is known of it, and the state that follows from that.
//!
//! Owns: [`Order`]. Does not: decide what an input means (`turn` does).
//!
//! Invariant: [`Order::state`] is a function of the facts (`settled`), never set by hand:
//!
//! | facts, first that holds | state |
//! | --- | --- |
//! | an end is known, no told fill is missing | `Done` |
//! | an end is known, told fills are missing | `Unresolved` |
//! | there is a doubt | `Unresolved` |
//! | the venue never showed it; its bytes are in the outbox, or not | `Sent`, `Admitted` |
//! | a cancel of ours is under way | `CancelSent` |
//! | an amend or a replacement of ours is under way | `ReplaceSent` |
//! | something of it traded, or nothing | `PartiallyFilled`, `Live` |

use crate::instrument::InstrumentIndex;
use crate::order::{ClientId, DoneReason, OrderId, OrderState, OrderStatus, Origin, Side};
use crate::risk::Admitted;
use crate::units::{Lots, Nanos, Ticks, VenueMillis};

/// Why it is not known whether the venue holds an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Its placement has no certain outcome.
    Placement,
    /// A cancel has no certain outcome, or did not find it.
    Cancel,
    /// An amend or replacement has no certain outcome, or did not find it.
    Replace,
    /// The venue said what does not fit: it was missing in a list, not found, or refused after it was shown.
    Word,
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) reason: DoneReason,
    /// Whether the venue said so of the order itself, or all of it traded. What a refusal or an absence says may
    /// turn out to be wrong.
    pub(super) is_final: bool,
}

/// One order, open or remembered.
#[derive(Clone, Debug)]
pub struct Order {
    pub(super) id: OrderId,
    pub(super) client_id: Option<ClientId>,
    pub(super) admitted: Option<Admitted>,
    pub(super) instrument: InstrumentIndex,
    pub(super) side: Side,
    pub(super) price: Ticks,
    pub(super) qty: Lots,
    /// Whether `qty` was ever lowered: then a larger one is an old one.
    pub(super) amended: bool,
    /// What self-trade prevention took.
    pub(super) prevented: Lots,
    /// Booked.
    pub(super) executed: Lots,
    pub(super) executed_notional: i128,
    /// The highest cumulative quantity that the venue told.
    pub(super) told: Lots,
    /// Lowest and highest booked trade id.
    pub(super) trade_ids: Option<(u64, u64)>,
    /// All fills up to this trade id are booked.
    pub(super) complete_through: Option<u64>,
    pub(super) state: OrderState,
    pub(super) since: Nanos,
    pub(super) admitted_at: Nanos,
    pub(super) sent_at: Option<Nanos>,
    pub(super) venue_order_id: Option<u64>,
    pub(super) updated: VenueMillis,
    pub(super) refusal: Option<i32>,
    pub(super) last_execution_id: Option<u64>,
    /// The latest time for which the venue is known to have held it; `None` when it never showed it.
    pub(super) held_at: Option<Nanos>,
    pub(super) doubt: Option<Doubt>,
    /// When the doubt arose.
    pub(super) doubt_at: Nanos,
    pub(super) end: Option<End>,
    pub(super) cancel_under_way: bool,
    pub(super) replace_under_way: bool,
    /// Questions since something was settled.
    pub(super) asks: u8,
    /// When the state has lasted too long, or its question is due again.
    pub(super) state_due: Nanos,
    /// When to ask for missing fills.
    pub(super) fills_due: Nanos,
}

impl Order {
    /// An order that risk admitted.
    pub(super) fn admit(
        id: OrderId,
        admitted: Admitted,
        client_id: Option<ClientId>,
        now: Nanos,
        due: Nanos,
    ) -> Self {
        let intent = admitted.intent();
        Self {
            client_id,
            admitted: Some(admitted),
            state_due: due,
            ..Self::unknown(
                id,
                intent.instrument,
                intent.side,
                intent.price,
                intent.qty,
                now,
            )
        }
    }

    /// An order as an earlier run left it, before anything that the venue tells of it is taken in.
    pub(super) fn adopt(id: OrderId, status: &OrderStatus, now: Nanos) -> Self {
        Self::unknown(
            id,
            status.instrument,
            status.side,
            status.price,
            status.qty,
            now,
        )
    }

    fn unknown(
        id: OrderId,
        instrument: InstrumentIndex,
        side: Side,
        price: Ticks,
        qty: Lots,
        now: Nanos,
    ) -> Self {
        assert!(qty > Lots::ZERO, "an order is for something");
        Self {
            id,
            client_id: None,
            admitted: None,
            instrument,
            side,
            price,
            qty,
            amended: false,
            prevented: Lots::ZERO,
            executed: Lots::ZERO,
            executed_notional: 0,
            told: Lots::ZERO,
            trade_ids: None,
            complete_through: None,
            state: OrderState::Admitted,
            since: now,
            admitted_at: now,
            sent_at: None,
            venue_order_id: None,
            updated: VenueMillis(0),
            refusal: None,
            last_execution_id: None,
            held_at: None,
            doubt: None,
            doubt_at: now,
            end: None,
            cancel_under_way: false,
            replace_under_way: false,
            asks: 0,
            state_due: Nanos::MAX,
            fills_due: Nanos::MAX,
        }
    }

    /// Our number of it.
    #[inline]
    pub fn id(&self) -> OrderId {
        self.id
    }

    /// The client's alias.
    #[inline]
    pub fn client_id(&self) -> Option<&ClientId> {
        self.client_id.as_ref()
    }

    /// What risk admitted; `None` for an adopted order.
    #[inline]
    pub fn admitted(&self) -> Option<&Admitted> {
        self.admitted.as_ref()
    }

    /// Who wanted it; an order of an earlier run counts as an operator's, because no strategy of this run knows it.
    #[inline]
    pub fn origin(&self) -> Origin {
        self.admitted
            .as_ref()
            .map_or(Origin::Operator, |admitted| admitted.intent().origin)
    }

    /// What is traded.
    #[inline]
    pub fn instrument(&self) -> InstrumentIndex {
        self.instrument
    }

    /// Which way.
    #[inline]
    pub fn side(&self) -> Side {
        self.side
    }

    /// At what price; zero for market orders.
    #[inline]
    pub fn price(&self) -> Ticks {
        self.price
    }

    /// How much is ordered, amends included.
    #[inline]
    pub fn qty(&self) -> Lots {
        self.qty
    }

    /// How much of it is booked as filled.
    #[inline]
    pub fn executed(&self) -> Lots {
        self.executed
    }

    /// Sum of price x quantity over the booked fills, in ticks x lots. Over [`Order::executed`] it is the exact
    /// average price.
    #[inline]
    pub fn executed_notional(&self) -> i128 {
        self.executed_notional
    }

    /// How much can still be booked, as far as is known; what counts against limits. Of an order whose end is known
    /// that is what it traded and nobody told us the fills of.
    #[inline]
    pub fn remaining(&self) -> Lots {
        let left = match self.end {
            Some(_) => self.told.0 - self.executed.0,
            None => self.qty.0 - self.prevented.0 - self.executed.0,
        };
        Lots(left.max(0))
    }

    /// Where it stands.
    #[inline]
    pub fn state(&self) -> OrderState {
        self.state
    }

    /// Since when it stands there.
    #[inline]
    pub fn since(&self) -> Nanos {
        self.since
    }

    /// The venue's id, once known.
    #[inline]
    pub fn venue_order_id(&self) -> Option<u64> {
        self.venue_order_id
    }

    /// When the venue last changed it, as far as is told; zero when never.
    #[inline]
    pub fn updated(&self) -> VenueMillis {
        self.updated
    }

    /// The venue's error code, when it refused the placement.
    #[inline]
    pub fn refusal(&self) -> Option<i32> {
        self.refusal
    }

    /// When it was admitted or adopted.
    #[inline]
    pub fn admitted_at(&self) -> Nanos {
        self.admitted_at
    }

    /// When it was last sent; `None` while that is not told, and for an adopted order.
    #[inline]
    pub fn sent_at(&self) -> Option<Nanos> {
        self.sent_at
    }

    /// Whether a cancel would mean something: it was sent, may stand in the book, and no cancel of ours is under way.
    #[inline]
    pub fn is_cancellable(&self) -> bool {
        self.may_stand() && !self.cancel_under_way && self.state != OrderState::Admitted
    }

    /// Whether it may stand in the venue's book, now or when its bytes arrive.
    #[inline]
    pub(super) fn may_stand(&self) -> bool {
        self.end.is_none()
    }

    /// Lots that the venue says have traded and that are not booked; not above zero when none are missing.
    #[inline]
    pub(super) fn missing(&self) -> i64 {
        self.told.0 - self.executed.0
    }

    /// When something is due.
    #[inline]
    pub(super) fn due(&self) -> Nanos {
        self.state_due.min(self.fills_due)
    }

    /// The state that follows from the facts; the module's table.
    pub(super) fn settled(&self) -> OrderState {
        match self.end {
            Some(end) if self.missing() <= 0 => OrderState::Done(end.reason),
            Some(_) => OrderState::Unresolved,
            None if self.doubt.is_some() => OrderState::Unresolved,
            None if self.held_at.is_none() && self.sent_at.is_some() => OrderState::Sent,
            None if self.held_at.is_none() => OrderState::Admitted,
            None if self.cancel_under_way => OrderState::CancelSent,
            None if self.replace_under_way => OrderState::ReplaceSent,
            None if self.told.max(self.executed) > Lots::ZERO => OrderState::PartiallyFilled,
            None => OrderState::Live,
        }
    }
}
