//! Orders that change at the venue: replaced by another, or made smaller.
//!
//! Does not: judge an intent (risk does) or take an order into the table (`orders` does). Invariants: what replaces an
//! order passes risk as every new order does, which leaves the old one out; only an order of which nothing traded is
//! replaced, and an amend only makes smaller, to more than has traded; an order is changed while it rests and nothing
//! else of it is under way.

use crate::event::{LinkId, Token};
use crate::oms::Input;
use crate::order::{ClientId, Intent, OrderId, OrderKind, OrderState, Origin, TimeInForce};
use crate::outbox::Full;
use crate::strategy::{Stage as FunnelStage, Strategy};
use crate::telemetry::counters::Counter;
use crate::telemetry::histograms::Stage;
use crate::telemetry::samples::Sample;
use crate::units::{Lots, Nanos, Ticks, VenueMillis};
use crate::venue::binance::order_entry::RequestKind;

use super::orders::{Refused, target_of};
use super::requests::{OrderRequest, Purpose};
use super::{Desk, Stopwatch};

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Takes an order back and places another of the same kind and side in its stead. `decided` as for
    /// [`Desk::submit`].
    #[expect(
        clippy::too_many_arguments,
        reason = "what a replacement says, and whose it is"
    )]
    pub(super) fn replace(
        &mut self,
        old: OrderId,
        price: Ticks,
        qty: Lots,
        origin: Origin,
        client_id: Option<ClientId>,
        token: Token,
        decided: Nanos,
    ) -> Result<OrderId, Refused> {
        let intent = self.replacement(old, price, qty, origin)?;
        let (Some(link), Some(at)) = (self.session.orders(), self.clocks.venue(self.now)) else {
            return Err(Refused::NoLink);
        };
        if !self.trading.requests.has_room() {
            return Err(Refused::NoLink);
        }
        let new = self.admit(&intent, client_id, token, Some(old))?;
        let admitted_at = self.watch.stamp();
        self.tell_admitted(new, token);
        self.telemetry
            .histograms
            .record(Stage::DecidedToAdmitted, decided, admitted_at);
        if !self.send_replacement(link, at, (old, new), decided, admitted_at, false) {
            self.not_encoded(new, false);
            return Err(Refused::NoLink);
        }
        self.trading.funnel.count(FunnelStage::Encoded);
        self.trading.funnel.count(FunnelStage::Sent);
        self.tell(old, Input::ReplaceSent);
        self.tell(new, Input::Sent);
        self.wake_for_answers();
        Ok(new)
    }

    /// Sends a replacement once more, whose time the venue did not like; `false` when it does not go: something of the
    /// old order traded, it is to go anyhow, or risk would not admit the new one now.
    #[cold]
    pub(super) fn replace_again(&mut self, old: OrderId, new: OrderId) -> bool {
        let (Some(link), Some(at)) = (self.session.orders(), self.clocks.venue(self.now)) else {
            return false;
        };
        let order = self.trading.oms.order(old).expect("the caller looked");
        if order.executed() > Lots::ZERO
            || self.is_to_go(old)
            || !self.trading.requests.has_room()
            || !self.is_admitted_again(new, &[old, new])
        {
            return false;
        }
        let stamp = self.watch.stamp();
        if !self.send_replacement(link, at, (old, new), stamp, stamp, true) {
            return false;
        }
        self.tell(old, Input::ReplaceSentAgain);
        self.tell(new, Input::SentAgain);
        self.wake_for_answers();
        true
    }

    /// Whether an order is to be taken back, now or soon.
    fn is_to_go(&self, id: OrderId) -> bool {
        self.trading.takes_everything_back() || self.trading.cancels.contains(&id)
    }

    /// Writes a replacement of the first order by the second; `false` when the outbox has no room.
    fn send_replacement(
        &mut self,
        link: LinkId,
        at: VenueMillis,
        (old, new): (OrderId, OrderId),
        decided: Nanos,
        admitted_at: Nanos,
        retried: bool,
    ) -> bool {
        let trading = &mut *self.trading;
        let target = target_of(trading.oms.order(old).expect("the caller looked"));
        let order = trading.oms.order(new).expect("the caller admitted it");
        let admitted = *order.admitted().expect("orders of this run are admitted");
        let request = trading.entry.cancel_replace(at, target, new, &admitted);
        let (request_id, weight) = (request.id, request.weight);
        if self.out.send(link, &[request.message]) == Err(Full) {
            self.telemetry.counters.increment(Counter::OutboxFull);
            return false;
        }
        let encoded = self.watch.stamp();
        self.telemetry
            .histograms
            .record(Stage::AdmittedToEncoded, admitted_at, encoded);
        self.stamped(new, decided, admitted_at, encoded);
        let spent = self.spend(RequestKind::CancelReplace, weight);
        debug_assert!(spent, "risk looked at the budget");
        self.trading.requests.push(OrderRequest {
            id: request_id,
            link,
            purpose: Purpose::Replace { old, new },
            weight,
            sent_at: self.now,
            in_kernel_at: None,
            retried,
        });
        true
    }

    /// Tells the stamps of an order that is in the outbox now.
    fn stamped(&mut self, order: OrderId, decided: Nanos, admitted: Nanos, encoded: Nanos) {
        self.out.note_order(encoded);
        self.telemetry.samples.push(Sample::Order {
            order,
            decided,
            admitted,
            encoded,
        });
    }

    /// The intent that takes the place of an order of which nothing has traded: the rest of another could trade before
    /// it is taken back, and the replacement after that. The intent it belongs to whoever wants it, whosever the order was.
    fn replacement(
        &self,
        old: OrderId,
        price: Ticks,
        qty: Lots,
        origin: Origin,
    ) -> Result<Intent, Refused> {
        let order = self.trading.oms.order(old).ok_or(Refused::UnknownOrder)?;
        match order.state() {
            OrderState::Live => {}
            OrderState::PartiallyFilled
            | OrderState::Admitted
            | OrderState::Sent
            | OrderState::CancelSent
            | OrderState::ReplaceSent
            | OrderState::Unresolved
            | OrderState::Done(_) => return Err(Refused::NotOpen),
        }
        let admitted = order.admitted().map(crate::risk::Admitted::intent);
        Ok(Intent {
            instrument: order.instrument(),
            side: order.side(),
            kind: admitted.map_or(OrderKind::Limit, |intent| intent.kind),
            time_in_force: admitted.map_or(TimeInForce::Gtc, |intent| intent.time_in_force),
            price,
            qty,
            self_trade_prevention: admitted.map_or(
                self.instruments
                    .get(order.instrument())
                    .order_rules
                    .self_trade_prevention,
                |intent| intent.self_trade_prevention,
            ),
            origin,
        })
    }

    /// Makes an order smaller; it keeps its place.
    pub(super) fn amend(&mut self, id: OrderId, qty: Lots) -> Result<(), Refused> {
        let order = self.trading.oms.order(id).ok_or(Refused::UnknownOrder)?;
        match order.state() {
            OrderState::Live | OrderState::PartiallyFilled => {}
            OrderState::Admitted
            | OrderState::Sent
            | OrderState::CancelSent
            | OrderState::ReplaceSent
            | OrderState::Unresolved
            | OrderState::Done(_) => return Err(Refused::NotOpen),
        }
        self.send_amend(id, qty, false)?;
        self.tell(id, Input::ReplaceSent);
        self.wake_for_answers();
        Ok(())
    }

    /// Sends an amend once more, whose time the venue did not like; `false` when it does not go: the order is to go, or
    /// has traded or become too small for it.
    #[cold]
    pub(super) fn amend_again(&mut self, id: OrderId, qty: Lots) -> bool {
        if self.is_to_go(id) || self.send_amend(id, qty, true).is_err() {
            return false;
        }
        self.tell(id, Input::ReplaceSentAgain);
        self.wake_for_answers();
        true
    }

    /// Writes an amend.
    fn send_amend(&mut self, id: OrderId, qty: Lots, retried: bool) -> Result<(), Refused> {
        let order = self.trading.oms.order(id).ok_or(Refused::UnknownOrder)?;
        if qty >= order.qty() || qty <= order.executed() {
            return Err(Refused::NotSmaller);
        }
        let (Some(link), Some(at)) = (self.session.orders(), self.clocks.venue(self.now)) else {
            return Err(Refused::NoLink);
        };
        if !self.trading.requests.has_room() || !self.budget_takes(RequestKind::Amend, 4) {
            return Err(Refused::NoLink);
        }
        let trading = &mut *self.trading;
        let target = target_of(trading.oms.order(id).expect("looked at above"));
        let request = trading.entry.amend(at, target, qty);
        let (request_id, weight) = (request.id, request.weight);
        if self.out.send(link, &[request.message]) == Err(Full) {
            self.telemetry.counters.increment(Counter::OutboxFull);
            return Err(Refused::NoLink);
        }
        let spent = self.spend(RequestKind::Amend, weight);
        debug_assert!(spent, "looked at above");
        self.trading.requests.push(OrderRequest {
            id: request_id,
            link,
            purpose: Purpose::Amend(id, qty),
            weight,
            sent_at: self.now,
            in_kernel_at: None,
            retried,
        });
        Ok(())
    }
}
