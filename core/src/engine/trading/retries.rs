//! What the venue refused and what goes again: orders that it refused for our clock, and cancels.
//!
//! Owns: [`AwaitsClock`], [`CancelAgain`], and what an order is when its request does not go again. Does not: judge a
//! refusal (`answers` does, by the table of `order_error`) or write a request (`orders`, `changes`). Invariants: a
//! placement, an amend or a replacement goes again once, and only while nothing else was asked or told of its orders; a
//! cancel goes again by itself [`CANCEL_TRIES_MAX`] times at most, and whoever else wants another but an operator waits
//! for it, longer after each refusal.

use crate::deadlines::Timer;
use crate::limits::{
    CANCEL_BACK_OFF_FIRST, CANCEL_BACK_OFF_MAX, CANCEL_TRIES_MAX, ORDERS_OPEN_MAX,
};
use crate::oms::{Input, Order};
use crate::order::{OrderId, OrderState};
use crate::strategy::Strategy;
use crate::telemetry::records::OrderRequest as OrderRequestKind;
use crate::units::{Lots, Nanos};
use crate::venue::binance::order_error::{Cause, ErrorKind, OnError, Refusal};

use super::orders::Placing;
use super::requests::{OrderRequest, Purpose};
use super::{Desk, Stopwatch};

/// The venue's code for a request whose time it does not like: the only one after which an order is sent again.
pub(super) const CLOCK_REFUSED: Refusal = Refusal {
    code: -1021,
    kind: ErrorKind::Clock,
    cause: Cause::Unnamed,
    window: None,
};

/// Refusals after which the wait for the next cancel grows no more.
const CANCEL_DOUBLINGS_MAX: u8 = 7;

/// An order whose cancel the venue refused.
#[derive(Clone, Copy)]
pub(super) struct CancelAgain {
    pub(super) order: OrderId,
    /// How often it was sent again by itself, or is about to be.
    tries: u8,
    /// Whether the clock is measured first.
    awaits_clock: bool,
    /// How often it was refused.
    refusals: u8,
    /// Only an operator sends another before this.
    pub(super) not_before: Nanos,
}

/// What the venue refused for our clock alone: it goes once more when that was measured. Until then its orders are in
/// the states of a request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AwaitsClock {
    /// A new order.
    Place(OrderId),
    /// An order to become smaller, of this size.
    Amend(OrderId, Lots),
    /// An order to go and another to come in its stead.
    Replace {
        /// The one that goes.
        old: OrderId,
        /// The one that comes.
        new: OrderId,
    },
}

impl AwaitsClock {
    /// Whether it is about this order.
    pub(super) fn concerns(self, id: OrderId) -> bool {
        match self {
            Self::Place(order) | Self::Amend(order, _) => order == id,
            Self::Replace { old, new } => old == id || new == id,
        }
    }
}

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Has a placement, an amend or a replacement sent once more when the venue only disliked our clock; whether it will
    /// be. Cancels have a way of their own, and what else is asked is asked again by who waits for it.
    pub(super) fn try_again(&mut self, request: &OrderRequest, refusal: Refusal) -> bool {
        let waiting = match request.purpose {
            Purpose::Place(order) => AwaitsClock::Place(order),
            Purpose::Amend(order, qty) => AwaitsClock::Amend(order, qty),
            Purpose::Replace { old, new } => AwaitsClock::Replace { old, new },
            Purpose::LogOn
            | Purpose::Subscribe
            | Purpose::Cancel(_)
            | Purpose::Status(_)
            | Purpose::Trades(..)
            | Purpose::Missed(_)
            | Purpose::Owner(..)
            | Purpose::OpenOrders
            | Purpose::Account
            | Purpose::OrderCounts => return false,
        };
        if refusal.kind.answer() != OnError::ResyncClock
            || request.retried
            || !self.still_waits(waiting)
            || self.trading.awaiting_clock.len() == ORDERS_OPEN_MAX
        {
            return false;
        }
        self.trading.awaiting_clock.push(waiting);
        self.deadlines.set_earlier(Timer::VenueClock, self.now);
        true
    }

    /// A cancel was refused: the next one waits for a while, longer each time. One that could be carried out but for the
    /// venue's rate or our clock goes again by itself, a few times: when the venue takes requests again (the budget
    /// knows), or when its clock was measured. Until then the order is what it is: open, without a cancel under way.
    pub(super) fn cancel_again(&mut self, order: OrderId, kind: ErrorKind) {
        let trading = &mut *self.trading;
        if !trading.oms.order(order).is_some_and(Order::is_cancellable) {
            return;
        }
        let list = &mut trading.cancelled_again;
        let known = list.iter().position(|again| again.order == order);
        let position = match known {
            Some(position) => position,
            None if list.len() < ORDERS_OPEN_MAX => {
                list.push(CancelAgain {
                    order,
                    tries: 0,
                    awaits_clock: false,
                    refusals: 0,
                    not_before: self.now,
                });
                list.len() - 1
            }
            None => return,
        };
        let again = &mut list[position];
        let wait = CANCEL_BACK_OFF_FIRST.0 << again.refusals.min(CANCEL_DOUBLINGS_MAX);
        again.not_before = self.now.plus(Nanos(wait).min(CANCEL_BACK_OFF_MAX));
        again.refusals = again.refusals.saturating_add(1);
        let awaits_clock = match kind {
            ErrorKind::Clock => true,
            ErrorKind::RateLimited | ErrorKind::Banned => false,
            ErrorKind::Rejected
            | ErrorKind::BadRequest
            | ErrorKind::Unknown
            | ErrorKind::OrderCount
            | ErrorKind::UnknownOrder
            | ErrorKind::SessionRevoked
            | ErrorKind::BadCredentials
            | ErrorKind::Overloaded
            | ErrorKind::LinkUnusable
            | ErrorKind::AlreadySubscribed => return,
        };
        if again.tries == CANCEL_TRIES_MAX {
            return;
        }
        again.tries += 1;
        again.awaits_clock = awaits_clock;
        if awaits_clock {
            // The refusal has the clock measured, and that comes back here.
            return;
        }
        // Nothing goes before the venue's time; then this goes first.
        let _ = self.cancel(order);
    }

    /// Whether the last cancel of an order was refused so lately that only an operator sends another.
    pub(super) fn cancel_backs_off(&self, order: OrderId) -> bool {
        let mut list = self.trading.cancelled_again.iter();
        list.any(|again| again.order == order && again.not_before > self.now)
    }

    /// The venue's clock was measured: requests and cancels that waited for it go once more.
    pub(super) fn clock_measured(&mut self) {
        for position in 0..self.trading.cancelled_again.len() {
            let again = &mut self.trading.cancelled_again[position];
            if std::mem::take(&mut again.awaits_clock) {
                let order = again.order;
                // One that ended or is being taken back needs none.
                let _ = self.cancel(order);
            }
        }
        while let Some(waiting) = self.trading.awaiting_clock.pop() {
            let goes = self.still_waits(waiting)
                && match waiting {
                    AwaitsClock::Place(order) => {
                        let stamp = self.watch.stamp();
                        self.place(order, stamp, stamp, Placing::Again);
                        self.book_sent();
                        true
                    }
                    AwaitsClock::Amend(order, qty) => self.amend_again(order, qty),
                    AwaitsClock::Replace { old, new } => self.replace_again(old, new),
                };
            if !goes {
                self.stays_refused(waiting);
            }
        }
    }

    /// What the venue refused for our clock is not sent again: what it was about is as the venue has it.
    pub(super) fn stays_refused(&mut self, waiting: AwaitsClock) {
        match waiting {
            AwaitsClock::Place(order) => self.never_was(order),
            AwaitsClock::Amend(order, _) => {
                self.tell_refusal(order, OrderRequestKind::Amend, CLOCK_REFUSED);
                self.stays_as_it_was(order);
            }
            AwaitsClock::Replace { old, new } => {
                self.tell_refusal(new, OrderRequestKind::Replace, CLOCK_REFUSED);
                self.stays_as_it_was(old);
                self.never_was(new);
            }
        }
    }

    /// Whether the orders of a refused request are still as it left them: nothing else was asked or told of them since.
    fn still_waits(&self, waiting: AwaitsClock) -> bool {
        let oms = &self.trading.oms;
        let is = |id, state| oms.order(id).is_some_and(|order| order.state() == state);
        match waiting {
            AwaitsClock::Place(order) => is(order, OrderState::Sent),
            AwaitsClock::Amend(order, _) => {
                is(order, OrderState::ReplaceSent) && !self.is_asked_anew(order)
            }
            AwaitsClock::Replace { old, new } => {
                is(old, OrderState::ReplaceSent)
                    && !self.is_asked_anew(old)
                    && is(new, OrderState::Sent)
            }
        }
    }

    /// Whether another amend or replacement of this order is under way.
    fn is_asked_anew(&self, id: OrderId) -> bool {
        self.trading.requests.any(|purpose| match purpose {
            Purpose::Amend(order, _) => order == id,
            Purpose::Replace { old, .. } => old == id,
            Purpose::LogOn
            | Purpose::Subscribe
            | Purpose::Place(_)
            | Purpose::Cancel(_)
            | Purpose::Status(_)
            | Purpose::Trades(..)
            | Purpose::Missed(_)
            | Purpose::Owner(..)
            | Purpose::OpenOrders
            | Purpose::Account
            | Purpose::OrderCounts => false,
        })
    }

    /// An order was not changed, unless by what was asked since.
    fn stays_as_it_was(&mut self, id: OrderId) {
        if !self.is_asked_anew(id) {
            let unknown_order = false;
            self.tell(id, Input::ReplaceRefused { unknown_order });
        }
    }

    /// A new order that the venue refused for our clock never was there.
    fn never_was(&mut self, id: OrderId) {
        let order = self.trading.oms.order(id);
        if order.is_some_and(|order| !order.state().is_done() && order.venue_order_id().is_none()) {
            let code = CLOCK_REFUSED.code;
            self.tell(id, Input::Refused { code });
        }
    }
}
