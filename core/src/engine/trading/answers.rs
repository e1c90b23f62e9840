//! What the venue says on the order link: answers to our requests, and user data.
//!
//! Does not: decode, or send again what was refused (`retries` does). Invariants: an answer is matched to its request
//! by id and link, and frees its budget; a refusal goes by the one table of `order_error`, and whatever that does not
//! call definite leaves an order unresolved.

use crate::deadlines::Timer;
use crate::event::{LinkDown, LinkId, LinkRole};
use crate::oms::Input;
use crate::order::OrderId;
use crate::risk::TradingState;
use crate::strategy::Strategy;
use crate::telemetry::counters::Counter;
use crate::telemetry::histograms::Stage;
use crate::telemetry::records::{
    HaltCause, OrderRequest as OrderRequestKind, RecordBody, VenueRequest,
};
use crate::units::{Nanos, VenueMillis};
use crate::venue::binance::codec::orders::{
    CancelLeg, Limits, NewLeg, OrderMessage, OrderOutcome, Placed,
};
use crate::venue::binance::order_entry::RequestId;
use crate::venue::binance::order_error::{ErrorKind, OnError, Refusal};

use super::requests::{OrderRequest, Purpose};
use super::{Desk, Stopwatch};

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// One message of an order link.
    pub(in crate::engine) fn order_message(&mut self, link: LinkId, message: &OrderMessage<'_>) {
        match message {
            OrderMessage::Reply {
                id,
                status: _,
                limits,
                outcome,
            } => self.reply(link, *id, limits, outcome),
            OrderMessage::Report(report) => self.report(report),
            OrderMessage::Account {
                event: _,
                updated,
                balances,
            } => self.balances(balances, *updated),
            OrderMessage::BalanceDelta {
                asset,
                delta,
                event: _,
                cleared,
            } => {
                self.trading.portfolio.flow(*asset, *delta, *cleared);
                self.telemetry.counters.increment(Counter::BalanceFlows);
            }
            OrderMessage::ExternalLock {
                asset,
                delta,
                event: _,
                at,
            } => self.trading.portfolio.locked_outside(*asset, *delta, *at),
            // We make no lists.
            OrderMessage::ListStatus => self.telemetry.counters.increment(Counter::StaleUserData),
            // Whatever happens now is not told on this link any more.
            OrderMessage::StreamTerminated { .. } | OrderMessage::SessionRevoked { .. } => {
                self.fail_link(link);
            }
            OrderMessage::ServerShutdown { .. } => {
                self.session.venue_closes(link);
                self.deadlines.set_earlier(Timer::Links, self.now);
            }
            OrderMessage::Ignored => self.telemetry.counters.increment(Counter::Ignored),
        }
    }

    fn reply(
        &mut self,
        link: LinkId,
        id: Option<RequestId>,
        limits: &Limits,
        outcome: &OrderOutcome<'_>,
    ) {
        let request = id.and_then(|id| self.trading.requests.take(link, id));
        let refused = matches!(outcome, OrderOutcome::Error { .. });
        if let Some(request) = &request {
            self.settle(request, !refused);
        }
        // The venue's counts contain what it has answered.
        if let Some(weight) = limits.weight {
            self.budget.correct(self.now, weight.used, weight.limit);
        }
        for count in limits.orders.iter().flatten() {
            self.trading.order_budget.correct(self.now, *count);
        }
        let Some(request) = request else {
            // Given up already; what it says is asked for, or told by a report.
            self.telemetry.counters.increment(Counter::Ignored);
            return;
        };
        self.measure(&request);
        match *outcome {
            OrderOutcome::Error {
                refusal,
                retry_after,
            } => self.refused(&request, refusal, retry_after),
            OrderOutcome::LoggedOn { .. } if request.purpose == Purpose::LogOn => {
                self.introduce(link, Purpose::Subscribe);
            }
            OrderOutcome::Subscribed { .. } if request.purpose == Purpose::Subscribe => {
                self.subscribed(link);
            }
            OrderOutcome::Placed(placed) => self.placed(&request, &placed),
            OrderOutcome::Cancelled(status) => {
                if let Purpose::Cancel(order) = request.purpose {
                    self.status(order, &status, request.sent_at);
                }
            }
            OrderOutcome::CancelReplaced { cancel, new } => {
                self.replaced(&request, &cancel, &new);
            }
            OrderOutcome::Amended(status) => {
                if let Purpose::Amend(order, _) = request.purpose {
                    self.tell(order, Input::Amended(&status));
                }
            }
            OrderOutcome::OpenOrders(list) => self.open_orders_told(list, request.sent_at),
            OrderOutcome::Status(status) => {
                if let Purpose::Status(order) = request.purpose {
                    self.status(order, &status, request.sent_at);
                } else if let Purpose::Owner(_, venue_order_id) = request.purpose {
                    self.owner_told(venue_order_id, &status, request.sent_at);
                }
            }
            OrderOutcome::Account {
                balances,
                updated,
                can_trade,
            } => self.account_answered(balances, updated, can_trade),
            OrderOutcome::Trades(trades) => {
                if let Purpose::Missed(instrument) = request.purpose {
                    self.missed_told(instrument, trades);
                    return;
                }
                for trade in trades {
                    self.own_trade(trade);
                }
                if let Purpose::Trades(order, _) = request.purpose {
                    self.tell(order, Input::TradesComplete);
                }
            }
            // The counts are corrected above.
            OrderOutcome::OrderCounts if request.purpose == Purpose::OrderCounts => {
                self.order_counts_told();
            }
            // Answers of another kind than their request; the id says what was asked, so the venue is at fault.
            OrderOutcome::LoggedOn { .. }
            | OrderOutcome::Subscribed { .. }
            | OrderOutcome::AllCancelled(_)
            | OrderOutcome::OrderCounts
            | OrderOutcome::ServerTime(_)
            | OrderOutcome::Empty => {
                self.telemetry.counters.increment(Counter::Ignored);
                self.unanswered(&request);
            }
        }
    }

    /// The venue's first word on a request, in time. An order's begins when the kernel has it; where nobody performs
    /// actions, as in replay, with the event that caused it.
    fn measure(&mut self, request: &OrderRequest) {
        let in_kernel_at = request.in_kernel_at.unwrap_or(request.sent_at);
        let (stage, from) = match request.purpose {
            Purpose::Place(_) => (Stage::OrderAck, in_kernel_at),
            Purpose::Cancel(_) => (Stage::CancelRoundTrip, request.sent_at),
            Purpose::Replace { .. } => (Stage::ReplaceRoundTrip, request.sent_at),
            Purpose::Amend(..) => (Stage::AmendRoundTrip, request.sent_at),
            Purpose::LogOn => (Stage::LogOnRoundTrip, request.sent_at),
            Purpose::Subscribe => (Stage::SubscribeRoundTrip, request.sent_at),
            Purpose::Status(_) | Purpose::Owner(..) => {
                (Stage::OrderStatusRoundTrip, request.sent_at)
            }
            Purpose::Trades(..) | Purpose::Missed(_) => (Stage::TradesRoundTrip, request.sent_at),
            Purpose::OpenOrders => (Stage::OpenOrdersRoundTrip, request.sent_at),
            Purpose::Account => (Stage::AccountRoundTrip, request.sent_at),
            Purpose::OrderCounts => (Stage::OrderCountsRoundTrip, request.sent_at),
        };
        self.telemetry.histograms.record(stage, from, self.now);
    }

    fn subscribed(&mut self, link: LinkId) {
        self.session.logged_on(self.now, link, self.session_notices);
        self.deadlines.set_earlier(Timer::Links, self.now);
    }

    fn account_answered(
        &mut self,
        balances: &[crate::order::Balance],
        updated: VenueMillis,
        can_trade: bool,
    ) {
        self.account_told(balances, updated);
        if !can_trade && self.trading.risk.state() == TradingState::Active {
            self.halt(HaltCause::Venue);
        }
    }

    fn placed(&mut self, request: &OrderRequest, placed: &Placed) {
        match request.purpose {
            Purpose::Place(order) => self.acknowledged(order, placed),
            Purpose::Replace { new, .. } => self.acknowledged(new, placed),
            Purpose::LogOn
            | Purpose::Subscribe
            | Purpose::Cancel(_)
            | Purpose::Amend(..)
            | Purpose::Status(_)
            | Purpose::Trades(..)
            | Purpose::Missed(_)
            | Purpose::Owner(..)
            | Purpose::OpenOrders
            | Purpose::Account
            | Purpose::OrderCounts => self.telemetry.counters.increment(Counter::Ignored),
        }
    }

    fn acknowledged(&mut self, order: OrderId, placed: &Placed) {
        self.tell(
            order,
            Input::Acknowledged {
                venue_order_id: placed.venue_order_id,
                at: placed.at,
            },
        );
    }

    fn status(&mut self, order: OrderId, status: &crate::order::OrderStatus, asked_at: Nanos) {
        self.tell(order, Input::Status { status, asked_at });
    }

    /// What became of both halves of a replacement.
    fn replaced(&mut self, request: &OrderRequest, cancel: &CancelLeg, leg: &NewLeg) {
        let Purpose::Replace { old, new } = request.purpose else {
            self.telemetry.counters.increment(Counter::Ignored);
            return;
        };
        match cancel {
            CancelLeg::Cancelled(status) => self.status(old, status, request.sent_at),
            CancelLeg::Failed(refusal) => {
                self.tell_refusal(old, OrderRequestKind::Cancel, *refusal);
                self.tell(
                    old,
                    if refusal.kind.is_definite() {
                        Input::ReplaceRefused {
                            unknown_order: refusal.kind == ErrorKind::UnknownOrder,
                        }
                    } else {
                        Input::ReplaceUnknown
                    },
                );
            }
            CancelLeg::NotAttempted => self.tell(
                old,
                Input::ReplaceRefused {
                    unknown_order: false,
                },
            ),
        }
        match leg {
            NewLeg::Placed(placed) => self.acknowledged(new, placed),
            NewLeg::Failed(refusal) => {
                self.tell_refusal(new, OrderRequestKind::Replace, *refusal);
                self.tell(new, outcome_of(*refusal));
            }
            NewLeg::NotAttempted => self.tell(new, Input::Refused { code: 0 }),
        }
    }

    /// The venue refused a request, or does not know what became of it.
    fn refused(
        &mut self,
        request: &OrderRequest,
        refusal: Refusal,
        retry_after: Option<VenueMillis>,
    ) {
        self.telemetry.counters.order_error(refusal.kind as u8);
        if refusal.kind == ErrorKind::Clock {
            self.venue_clock.doubt(self.now);
        }
        if self.try_again(request, refusal) {
            return;
        }
        let unknown_order = refusal.kind == ErrorKind::UnknownOrder;
        let definite = refusal.kind.is_definite();
        match request.purpose {
            Purpose::Place(order) => {
                self.tell_refusal(order, OrderRequestKind::Place, refusal);
                self.tell(order, outcome_of(refusal));
            }
            Purpose::Cancel(order) => {
                self.tell_refusal(order, OrderRequestKind::Cancel, refusal);
                self.tell(
                    order,
                    if definite {
                        Input::CancelRefused { unknown_order }
                    } else {
                        Input::CancelUnknown
                    },
                );
                self.cancel_again(order, refusal.kind);
            }
            Purpose::Amend(order, _) => {
                self.tell_refusal(order, OrderRequestKind::Amend, refusal);
                self.tell(
                    order,
                    if definite {
                        Input::ReplaceRefused { unknown_order }
                    } else {
                        Input::ReplaceUnknown
                    },
                );
            }
            Purpose::Replace { old, new } => {
                self.tell_refusal(new, OrderRequestKind::Replace, refusal);
                self.tell(
                    old,
                    if definite {
                        Input::ReplaceRefused {
                            unknown_order: false,
                        }
                    } else {
                        Input::ReplaceUnknown
                    },
                );
                self.tell(new, outcome_of(refusal));
            }
            Purpose::Status(order) if unknown_order => self.tell(
                order,
                Input::StatusNotFound {
                    asked_at: request.sent_at,
                },
            ),
            // The machine asks again by itself.
            Purpose::Status(order) => {
                self.tell_refusal(order, OrderRequestKind::Query, refusal);
            }
            Purpose::Trades(order, _) => {
                self.tell_refusal(order, OrderRequestKind::Query, refusal);
            }
            Purpose::Subscribe if refusal.kind == ErrorKind::AlreadySubscribed => {
                self.subscribed(request.link);
            }
            Purpose::LogOn => {
                self.tell_request_refused(request, VenueRequest::LogOn, refusal);
                self.fail_link(request.link);
            }
            Purpose::Subscribe => {
                self.tell_request_refused(request, VenueRequest::UserData, refusal);
                self.fail_link(request.link);
            }
            Purpose::Missed(instrument) => {
                self.tell_request_refused(request, VenueRequest::MissedTrades, refusal);
                self.missed_refused(instrument);
            }
            Purpose::OpenOrders => {
                self.tell_request_refused(request, VenueRequest::OpenOrders, refusal);
            }
            Purpose::Account => {
                self.tell_request_refused(request, VenueRequest::Account, refusal);
            }
            // Our own count has to do.
            Purpose::OrderCounts => {
                self.tell_request_refused(request, VenueRequest::OrderCounts, refusal);
                self.order_counts_told();
            }
            Purpose::Owner(_, venue_order_id) => {
                self.tell_request_refused(request, VenueRequest::OrderOwner, refusal);
                let never = match refusal.kind.answer() {
                    OnError::Refuse | OnError::CarryOn => true,
                    OnError::Ask
                    | OnError::ResyncClock
                    | OnError::Wait
                    | OnError::Halt
                    | OnError::Reconnect
                    | OnError::Stop => false,
                };
                self.owner_refused(venue_order_id, never);
            }
        }
        self.answer_refusal(request.link, refusal, retry_after);
    }

    /// What the table says about a refusal, beside the order that it is about.
    fn answer_refusal(&mut self, link: LinkId, refusal: Refusal, retry_after: Option<VenueMillis>) {
        let retry_at = retry_after.map(|at| at.0);
        match refusal.kind.answer() {
            OnError::Refuse | OnError::Ask | OnError::CarryOn => {}
            OnError::ResyncClock => self.deadlines.set_earlier(Timer::VenueClock, self.now),
            OnError::Wait => match refusal.kind {
                ErrorKind::OrderCount => {
                    self.trading
                        .order_budget
                        .block(self.now, refusal.window, retry_at);
                }
                _ => self.budget.block_rate_limited(self.now, retry_at),
            },
            OnError::Halt => {
                self.budget.block_banned(self.now, retry_at);
                self.halt(HaltCause::Banned);
                let until = self.budget.blocked_until();
                self.session
                    .close_all(self.now, until, self.out, self.session_notices);
            }
            OnError::Reconnect => self.fail_link(link),
            OnError::Stop => self.halt(HaltCause::Venue),
        }
    }

    /// Replaces an order link.
    fn fail_link(&mut self, link: LinkId) {
        debug_assert!(link.role == LinkRole::Orders);
        self.session.fail(
            self.now,
            link,
            LinkDown::Requested,
            self.out,
            self.session_notices,
        );
    }

    /// Halts; an operator starts again.
    #[cold]
    fn halt(&mut self, cause: HaltCause) {
        let from = self.trading.risk.state();
        // Halting is always possible.
        let _ = self.trading.risk.set_state(TradingState::Halted);
        self.tell_trading_state(from, cause);
    }

    /// The refusal of a request that is about no order of ours.
    fn tell_request_refused(
        &mut self,
        request: &OrderRequest,
        what: VenueRequest,
        refusal: Refusal,
    ) {
        self.telemetry.records.push(
            self.now,
            RecordBody::RequestRefused {
                link: request.link,
                request: what,
                request_id: request.id.to_wire(),
                code: i64::from(refusal.code),
                kind: Some(refusal.kind),
            },
        );
    }

    pub(super) fn tell_refusal(
        &mut self,
        order: OrderId,
        request: OrderRequestKind,
        refusal: Refusal,
    ) {
        let Some(held) = self.trading.oms.order(order) else {
            return;
        };
        let instrument = held.instrument();
        self.telemetry.records.push(
            self.now,
            RecordBody::venue_refused(order, instrument, request, refusal),
        );
    }
}

/// What a refusal of a placement says about the order.
fn outcome_of(refusal: Refusal) -> Input<'static> {
    if refusal.kind.is_definite() {
        Input::Refused { code: refusal.code }
    } else {
        Input::OutcomeUnknown
    }
}
