//! Orders on their way out: placed and cancelled.
//!
//! Does not: judge an intent (risk does), write bytes (`venue` does), or replace an order and make it smaller (`changes`
//! does). Invariants: an order passes risk, then enters the table, then its bytes enter the outbox, in this order, and
//! what fails on the way leaves the order rejected in the table; only risk makes an
//! [`Admitted`](crate::risk::Admitted), and nothing else is encoded.

use crate::event::Token;
use crate::oms::{Input, Order};
use crate::order::{ClientId, Intent, OrderId};
use crate::outbox::Full;
use crate::risk::Rejection;
use crate::strategy::{Stage as FunnelStage, Strategy};
use crate::telemetry::counters::Counter;
use crate::telemetry::histograms::Stage;
use crate::telemetry::records::RecordBody;
use crate::telemetry::samples::Sample;
use crate::units::Nanos;
use crate::venue::binance::order_entry::{OrderTarget, RequestKind};

use super::requests::{OrderRequest, Purpose};
use super::retries::CLOCK_REFUSED;
use super::{Desk, Stopwatch};

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Risk refused.
    Risk(Rejection),
    /// The table of orders is full.
    TableFull,
    /// No such order.
    UnknownOrder,
    /// The order is over, or a change of it is under way.
    NotOpen,
    /// The new quantity is not smaller, or not above what traded.
    NotSmaller,
    /// There is no order link, or no room for a request.
    NoLink,
}

impl Refused {
    /// Whether a replacement did not even reach risk.
    pub(super) const fn is_in_vain(self) -> bool {
        match self {
            Self::UnknownOrder | Self::NotOpen | Self::NotSmaller | Self::NoLink => true,
            Self::Risk(_) | Self::TableFull => false,
        }
    }
}

/// Whether an order is placed for the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Placing {
    /// It is, and [`Desk::tell_admitted`] is due, for whoever waits with this.
    New(Token),
    /// The venue did not like the clock of the first try.
    Again,
}

/// A new order in the outbox that is not booked as sent yet.
#[derive(Clone, Copy)]
pub(super) struct SentOrder {
    order: OrderId,
    placing: Placing,
    decided: Nanos,
    admitted_at: Nanos,
    encoded: Nanos,
    request: OrderRequest,
}

/// How requests name an order.
pub(super) fn target_of(order: &Order) -> OrderTarget {
    OrderTarget {
        instrument: order.instrument(),
        order: order.id(),
        venue_order_id: order.venue_order_id(),
    }
}

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Asks risk for an order and sends it. `decided` is the stopwatch's stamp of the wish.
    pub(super) fn submit(
        &mut self,
        intent: &Intent,
        client_id: Option<ClientId>,
        token: Token,
        decided: Nanos,
    ) -> Result<OrderId, Refused> {
        let id = self.submit_unbooked(intent, client_id, token, decided);
        self.book_sent();
        id
    }

    /// The same, leaving to [`Desk::book_sent`] what need not be done before the order's bytes go.
    pub(super) fn submit_unbooked(
        &mut self,
        intent: &Intent,
        client_id: Option<ClientId>,
        token: Token,
        decided: Nanos,
    ) -> Result<OrderId, Refused> {
        let id = self.admit(intent, client_id, token, None)?;
        let admitted_at = self.watch.stamp();
        self.place(id, decided, admitted_at, Placing::New(token));
        Ok(id)
    }

    /// Asks risk for an order and takes it into the table; [`Desk::tell_admitted`] must follow.
    pub(super) fn admit(
        &mut self,
        intent: &Intent,
        client_id: Option<ClientId>,
        token: Token,
        replaced: Option<OrderId>,
    ) -> Result<OrderId, Refused> {
        self.trading.funnel.count_intent(intent.origin);
        let left_out = replaced.as_slice();
        let conditions = self.conditions(intent.instrument, client_id.as_ref(), left_out);
        let instrument = self.instruments.get(intent.instrument);
        let admitted = self
            .trading
            .risk
            .admit(self.now, intent, instrument, &conditions);
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(reason) => {
                self.rejected(intent, reason, token);
                return Err(Refused::Risk(reason));
            }
        };
        let Ok(id) = self.trading.oms.admit(self.now, admitted, client_id) else {
            // The table's bound is one of the limits on open orders.
            self.rejected(intent, Rejection::MaxOpenOrders, token);
            return Err(Refused::TableFull);
        };
        Ok(id)
    }

    /// Counts and records an order that the table took, and what it may come to. Before anything else is told of it.
    pub(super) fn tell_admitted(&mut self, id: OrderId, token: Token) {
        let order = self.trading.oms.order(id).expect("the caller admitted it");
        let (instrument, client_id) = (order.instrument(), order.client_id().copied());
        let admitted = order.admitted().expect("orders of this run are admitted");
        let record = RecordBody::admitted(id, admitted.intent(), token);
        self.trading.funnel.count(FunnelStage::Admitted);
        self.telemetry.records.push(self.now, record);
        if let Some(client_id) = client_id {
            let alias = RecordBody::OrderAlias {
                order: id,
                client_id,
            };
            self.telemetry.records.push(self.now, alias);
        }
        self.trading.refresh_exposure(instrument);
    }

    /// Counts a refusal, and records it unless there are too many or the ring has no room for them.
    #[cold]
    fn rejected(&mut self, intent: &Intent, reason: Rejection, token: Token) {
        let trading = &mut *self.trading;
        trading.funnel.count_rejected(reason);
        if reason == Rejection::TelemetryBacklog {
            return;
        }
        let second = self.now.0 / Nanos::from_secs(1).0;
        if second != trading.rejection_second {
            trading.rejection_second = second;
            trading.rejection_records = 0;
        }
        // What a command asked for is always told: somebody waits for it.
        if token == Token::default() {
            if trading.rejection_records >= crate::limits::REJECTION_RECORDS_PER_SECOND_MAX {
                return;
            }
            trading.rejection_records += 1;
        }
        self.telemetry
            .records
            .push(self.now, RecordBody::rejected(intent, reason, token));
    }

    /// Writes an admitted order into the outbox. Both stamps are of this moment where it is sent again.
    pub(super) fn place(
        &mut self,
        id: OrderId,
        decided: Nanos,
        admitted_at: Nanos,
        placing: Placing,
    ) {
        debug_assert!(self.trading.sent.is_none(), "one is booked before the next");
        let Some(link) = self.session.orders() else {
            self.not_placed(id, placing);
            return;
        };
        let Some(at) = self.clocks.venue(self.now) else {
            self.not_placed(id, placing);
            return;
        };
        // Risk looked a moment ago, but not for an order that is sent again.
        let is_refused = placing == Placing::Again && !self.is_admitted_again(id, &[id]);
        if is_refused || !self.trading.requests.has_room() {
            self.not_placed(id, placing);
            return;
        }
        let trading = &mut *self.trading;
        let order = trading.oms.order(id).expect("the caller admitted it");
        let admitted = *order.admitted().expect("orders of this run are admitted");
        let request = trading.entry.place(at, id, &admitted);
        let (request_id, weight) = (request.id, request.weight);
        if self.out.send(link, &[request.message]) == Err(Full) {
            self.telemetry.counters.increment(Counter::OutboxFull);
            self.not_placed(id, placing);
            return;
        }
        let encoded = self.watch.stamp();
        self.out.note_order(encoded);
        self.trading.sent = Some(SentOrder {
            order: id,
            placing,
            decided,
            admitted_at,
            encoded,
            request: OrderRequest {
                id: request_id,
                link,
                purpose: Purpose::Place(id),
                weight,
                sent_at: self.now,
                in_kernel_at: None,
                retried: placing == Placing::Again,
            },
        });
    }

    /// Books the new order that the outbox holds, or held: budgets, the table of requests, the order machine, counts
    /// and stamps. Before anything else looks at one of them.
    #[inline]
    pub(in crate::engine) fn book_sent(&mut self) {
        if let Some(sent) = self.trading.sent.take() {
            self.book(sent);
        }
    }

    #[inline(never)]
    fn book(&mut self, sent: SentOrder) {
        let SentOrder {
            order,
            placing,
            decided,
            admitted_at,
            encoded,
            request,
        } = sent;
        if let Placing::New(token) = placing {
            self.tell_admitted(order, token);
        }
        let histograms = &mut self.telemetry.histograms;
        if !request.retried {
            histograms.record(Stage::DecidedToAdmitted, decided, admitted_at);
        }
        histograms.record(Stage::AdmittedToEncoded, admitted_at, encoded);
        self.telemetry.samples.push(Sample::Order {
            order,
            decided,
            admitted: admitted_at,
            encoded,
        });
        let spent = self.spend(RequestKind::Place, request.weight);
        debug_assert!(spent, "risk looked at the budget, or we did");
        self.trading.requests.push(request);
        if request.retried {
            self.tell(order, Input::SentAgain);
        } else {
            self.trading.funnel.count(FunnelStage::Encoded);
            self.trading.funnel.count(FunnelStage::Sent);
            self.tell(order, Input::Sent);
        }
        self.trading.oms.make_room();
        self.wake_for_answers();
    }

    /// Whether risk would admit an order of the table now: what may be traded, and everything that risk looks at, may have
    /// changed since it was. It does not count beside itself, nor beside the order that it replaces.
    #[cold]
    pub(super) fn is_admitted_again(&mut self, id: OrderId, left_out: &[OrderId]) -> bool {
        let order = self.trading.oms.order(id).expect("the caller looked");
        let admitted = order.admitted().expect("orders of this run are admitted");
        let intent = *admitted.intent();
        let conditions = self.conditions(intent.instrument, None, left_out);
        let instrument = self.instruments.get(intent.instrument);
        let risk = &mut self.trading.risk;
        risk.admit(self.now, &intent, instrument, &conditions)
            .is_ok()
    }

    /// An order that could not be placed.
    #[cold]
    fn not_placed(&mut self, id: OrderId, placing: Placing) {
        if let Placing::New(token) = placing {
            self.tell_admitted(id, token);
        }
        self.not_encoded(id, placing == Placing::Again);
    }

    /// An admitted order that could not be written; one that is `retried` was, and the venue refused it.
    pub(super) fn not_encoded(&mut self, id: OrderId, retried: bool) {
        if retried {
            self.tell(
                id,
                Input::Refused {
                    code: CLOCK_REFUSED.code,
                },
            );
            return;
        }
        self.trading.funnel.count(FunnelStage::Unencoded);
        self.tell(id, Input::NotSent);
    }

    /// Takes an order back; a cancel that cannot go now waits, and goes before anything else.
    pub(super) fn cancel(&mut self, id: OrderId) -> Result<(), Refused> {
        let order = self.trading.oms.order(id).ok_or(Refused::UnknownOrder)?;
        if !order.is_cancellable() {
            return Err(Refused::NotOpen);
        }
        if !self.trading.cancels.contains(&id) {
            self.trading.cancels.push_back(id);
        }
        self.wake();
        Ok(())
    }

    /// Takes all orders back, or those of one instrument.
    pub(super) fn cancel_all(
        &mut self,
        instrument: Option<crate::instrument::InstrumentIndex>,
    ) -> usize {
        let trading = &mut *self.trading;
        let (mut count, mut fresh) = (0, false);
        for order in trading.oms.cancellable(instrument) {
            count += 1;
            if !trading.cancels.contains(&order.id()) {
                trading.cancels.push_back(order.id());
                fresh = true;
            }
        }
        if fresh {
            self.wake();
        }
        count
    }

    /// Takes all orders back whose last cancel was not refused a moment ago.
    pub(super) fn cancel_rest(&mut self) {
        let trading = &mut *self.trading;
        let mut fresh = false;
        for order in trading.oms.cancellable(None) {
            let mut refused = trading.cancelled_again.iter();
            let backs_off =
                refused.any(|again| again.order == order.id() && again.not_before > self.now);
            if !backs_off && !trading.cancels.contains(&order.id()) {
                trading.cancels.push_back(order.id());
                fresh = true;
            }
        }
        if fresh {
            self.wake();
        }
    }

    /// Sends one cancel; `false` when it cannot go now.
    pub(super) fn send_cancel(&mut self, id: OrderId) -> bool {
        let awaiting = &mut self.trading.awaiting_clock;
        if let Some(position) = awaiting.iter().position(|waiting| waiting.concerns(id)) {
            // The venue refused it and it was not sent again: a new order is nowhere, and an old one is as it was.
            let waiting = awaiting.swap_remove(position);
            self.stays_refused(waiting);
            if !self
                .trading
                .oms
                .order(id)
                .is_some_and(Order::is_cancellable)
            {
                return true;
            }
        }
        let Some(link) = self.session.orders() else {
            return false;
        };
        let Some(at) = self.clocks.venue(self.now) else {
            return false;
        };
        if !self.trading.requests.has_room() || !self.budget_takes(RequestKind::Cancel, 1) {
            return false;
        }
        let trading = &mut *self.trading;
        let Some(order) = trading.oms.order(id) else {
            return true;
        };
        if !order.is_cancellable() {
            // It ended since, or is being taken back already.
            return true;
        }
        let request = trading.entry.cancel(at, target_of(order));
        let (request_id, weight) = (request.id, request.weight);
        if self.out.send(link, &[request.message]) == Err(Full) {
            self.telemetry.counters.increment(Counter::OutboxFull);
            return false;
        }
        let spent = self.spend(RequestKind::Cancel, weight);
        debug_assert!(spent, "looked at above");
        self.trading.requests.push(OrderRequest {
            id: request_id,
            link,
            purpose: Purpose::Cancel(id),
            weight,
            sent_at: self.now,
            in_kernel_at: None,
            retried: false,
        });
        self.tell(id, Input::CancelSent);
        self.wake_for_answers();
        true
    }
}
