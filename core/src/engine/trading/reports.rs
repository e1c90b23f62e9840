//! What the venue tells of orders, and what follows from every change of one.
//!
//! Owns: [`Desk::tell`], through which everything about an order goes: the machine is told, and its answer
//! becomes records, counts, positions, questions, news for the strategy, and where needed a halt. Invariant: no
//! change of an order passes by it, so records and counts cannot forget one.

use crate::instrument::InstrumentIndex;
use crate::oms::{Ask, Input, OmsFault};
use crate::order::{
    DoneReason, ExecutionReport, Fill, OrderId, OrderKey, OrderState, OrderStatus, OwnTrade, Side,
};
use crate::portfolio::Booked;
use crate::strategy::{OrderUpdate, Stage as FunnelStage, Strategy};
use crate::telemetry::counters::Counter;
use crate::telemetry::records::{HaltCause, RecordBody};
use crate::units::{E8, Nanos};

use super::retries::AwaitsClock;
use super::{Desk, News, Stopwatch};
use crate::limits::ORDER_NEWS_MAX;

/// What was known of an order before it was told something.
#[derive(Clone, Copy)]
struct Before {
    state: OrderState,
    known_at_venue: bool,
}

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Tells the machine what happened to an order, and does what follows.
    pub(super) fn tell(&mut self, id: OrderId, input: Input<'_>) {
        let Some(order) = self.trading.oms.order(id) else {
            self.telemetry.counters.increment(Counter::Ignored);
            return;
        };
        let instrument = order.instrument();
        let before = Before {
            state: order.state(),
            known_at_venue: order.venue_order_id().is_some(),
        };
        let applied = self.trading.oms.apply(self.now, id, input);
        if let Some(fill) = &applied.fill {
            self.book_fill(id, instrument, fill);
        }
        self.changed(id, before, applied.transition, applied.fill);
        if let Some(ask) = applied.ask {
            self.question(ask);
        }
        if let Some(fault) = applied.fault {
            self.order_fault(id, instrument, fault);
        }
    }

    /// Serves orders whose time has passed: they become unresolved, and the venue is asked.
    pub(super) fn serve_overdue(&mut self) {
        for _ in 0..crate::limits::ORDERS_OPEN_MAX {
            let Some(overdue) = self.trading.oms.overdue(self.now) else {
                return;
            };
            let order = self
                .trading
                .oms
                .order(overdue.id)
                .expect("an order that came due is in the table");
            let instrument = order.instrument();
            let before = Before {
                state: overdue.transition.map_or(order.state(), |(from, _)| from),
                known_at_venue: order.venue_order_id().is_some(),
            };
            self.changed(overdue.id, before, overdue.transition, None);
            self.question(overdue.ask);
            if let Some(fault) = overdue.fault {
                self.order_fault(overdue.id, instrument, fault);
            }
        }
    }

    /// An order of an earlier run, or one long forgotten, that the venue shows as open.
    pub(super) fn adopt(&mut self, status: &OrderStatus, asked_at: Nanos) -> Option<OrderId> {
        let Ok(adopted) = self.trading.oms.adopt(self.now, status, asked_at) else {
            // Foreign orders are not ours to keep; a full table cannot keep one of ours.
            if let OrderKey::Ours(id) = status.key {
                self.order_fault(id, status.instrument, OmsFault::UnknownOrder);
            }
            return None;
        };
        if !adopted.state.is_done() {
            self.trading.funnel.count(FunnelStage::Adopted);
        }
        self.telemetry.records.push(
            self.now,
            RecordBody::OrderAdopted {
                order: adopted.id,
                instrument: status.instrument,
                side: status.side,
                price: status.price,
            },
        );
        self.telemetry.records.push(
            self.now,
            RecordBody::OrderState {
                order: adopted.id,
                instrument: status.instrument,
                from: OrderState::Unresolved,
                to: adopted.state,
                venue_order_id: status.venue_order_id,
                executed: status.executed,
                qty: status.qty,
            },
        );
        self.trading.refresh_exposure(status.instrument);
        if let Some(ask) = adopted.ask {
            self.question(ask);
        }
        Some(adopted.id)
    }

    /// A report of the user data stream.
    pub(in crate::engine) fn report(&mut self, report: &ExecutionReport) {
        let OrderKey::Ours(id) = report.key else {
            self.telemetry.counters.increment(Counter::ForeignReports);
            return;
        };
        if self.trading.oms.order(id).is_none() {
            self.stranger(id, report);
            return;
        }
        self.tell(id, Input::Report(report));
    }

    /// A report about an order of ours that the table does not hold. While the venue is still being asked what it
    /// holds of us it will be in that answer; later it is a fault.
    fn stranger(&mut self, id: OrderId, report: &ExecutionReport) {
        let status = OrderStatus {
            instrument: report.instrument,
            key: report.key,
            venue_order_id: report.venue_order_id,
            status: report.status,
            side: report.side,
            price: report.price,
            qty: report.qty,
            executed: report.executed,
            updated: report.transacted,
        };
        if self.adopt(&status, self.now).is_some() {
            self.tell(id, Input::Report(report));
        }
        if self.trading.reconcile.is_over() && report.fill.is_some() {
            self.order_fault(id, report.instrument, OmsFault::UnknownOrder);
        }
    }

    /// One of our trades from the list of trades.
    pub(super) fn own_trade(&mut self, trade: &OwnTrade) {
        if let Some(id) = self
            .trading
            .oms
            .find_venue(trade.instrument, trade.venue_order_id)
        {
            self.tell(id, Input::Trade(trade));
        }
    }

    /// Everything that follows from a change of an order's state.
    fn changed(
        &mut self,
        id: OrderId,
        before: Before,
        transition: Option<(OrderState, OrderState)>,
        fill: Option<Fill>,
    ) {
        let order = self.trading.oms.order(id).expect("the caller looked");
        let (instrument, origin, side) = (order.instrument(), order.origin(), order.side());
        let (state, remaining) = (order.state(), order.remaining());
        let (venue_order_id, executed, qty) =
            (order.venue_order_id(), order.executed(), order.qty());
        self.count_steps(before, state, venue_order_id.is_some());
        if transition.is_none() && fill.is_none() {
            return;
        }
        if let Some((from, to)) = transition {
            self.telemetry.records.push(
                self.now,
                RecordBody::OrderState {
                    order: id,
                    instrument,
                    from,
                    to,
                    venue_order_id: venue_order_id.unwrap_or_default(),
                    executed,
                    qty,
                },
            );
            if to.is_done() {
                self.trading.cancels.retain(|waiting| *waiting != id);
                // The other order of a replacement is told when the clock was measured.
                self.trading
                    .awaiting_clock
                    .retain(|waiting| match *waiting {
                        AwaitsClock::Place(order) | AwaitsClock::Amend(order, _) => order != id,
                        AwaitsClock::Replace { .. } => true,
                    });
                self.trading
                    .cancelled_again
                    .retain(|waiting| waiting.order != id);
            }
        }
        // What our own request changed at once is no news to whoever asked for it, moves no quantity, and leaves
        // nothing to be served but its time-out, which the sender sets.
        let own_step = matches!(
            transition,
            Some((
                _,
                OrderState::Sent | OrderState::CancelSent | OrderState::ReplaceSent
            ))
        );
        if own_step && fill.is_none() {
            return;
        }
        self.trading.refresh_exposure(instrument);
        if !own_step && self.trading.news.len() < ORDER_NEWS_MAX {
            self.trading.news.push_back(News {
                instrument,
                update: OrderUpdate {
                    id,
                    origin,
                    side,
                    state,
                    remaining,
                    fill,
                },
            });
        }
        self.wake();
    }

    /// Counts the steps of one order, each once.
    fn count_steps(&mut self, before: Before, state: OrderState, known_at_venue: bool) {
        let funnel = &mut self.trading.funnel;
        let was_unknown = before.state == OrderState::Unresolved;
        let ended = !before.state.is_done() && state.is_done();
        // A rejection in the matching engine names an order id too, and yet the venue never held the order.
        let never_held = state == OrderState::Done(DoneReason::Rejected);
        if !before.known_at_venue {
            if known_at_venue && !never_held {
                funnel.count(if was_unknown {
                    FunnelStage::Found
                } else {
                    FunnelStage::Acknowledged
                });
            } else if ended && never_held {
                match before.state {
                    OrderState::Unresolved => funnel.count(FunnelStage::NeverArrived),
                    // Whoever could not write it counted that.
                    OrderState::Admitted => {}
                    OrderState::Sent
                    | OrderState::Live
                    | OrderState::PartiallyFilled
                    | OrderState::CancelSent
                    | OrderState::ReplaceSent
                    | OrderState::Done(_) => funnel.count(FunnelStage::Refused),
                }
            } else if state == OrderState::Unresolved && !was_unknown {
                funnel.count(FunnelStage::Unknown);
            }
        }
        if let OrderState::Done(reason) = state
            && ended
        {
            funnel.count_ended(reason);
        }
    }

    /// Books a fill that the machine hands out, which it does once.
    pub(super) fn book_fill(&mut self, id: OrderId, instrument: InstrumentIndex, fill: &Fill) {
        let order = self.trading.oms.order(id).expect("the caller looked");
        let side = order.side();
        let trading = &mut *self.trading;
        trading.missed.note(instrument, fill.trade_id);
        if !trading.portfolio.is_started() {
            self.early_fill(id, instrument, side, fill);
            return;
        }
        if trading.portfolio.fill(instrument, side, fill) == Booked::Contained {
            if !trading.missed.is_new(instrument, fill.trade_id) {
                return;
            }
            trading.portfolio.late(instrument, side, fill);
        }
        self.tell_fill(id, instrument, side, fill);
        self.publish_position(instrument);
    }

    /// Counts and records a fill that is booked.
    pub(super) fn tell_fill(
        &mut self,
        id: OrderId,
        instrument: InstrumentIndex,
        side: Side,
        fill: &Fill,
    ) {
        let trading = &mut *self.trading;
        trading.funnel.count(FunnelStage::Fills);
        let quote = trading.pairs[instrument.as_usize()].quote;
        self.telemetry.records.push(
            self.now,
            RecordBody::Fill {
                order: id,
                instrument,
                side,
                is_maker: fill.is_maker,
                fee_asset: fill.fee_asset.unwrap_or(quote),
                trade_id: fill.trade_id,
                price: fill.price,
                qty: fill.qty,
                fee: fill.fee,
            },
        );
    }

    /// Records and publishes a position that a fill changed.
    pub(super) fn publish_position(&mut self, instrument: InstrumentIndex) {
        let position = self.trading.portfolio.position(instrument);
        self.telemetry.records.push(
            self.now,
            RecordBody::Position {
                instrument,
                qty: position.qty(),
                entry: position.average_entry().unwrap_or(E8(0)),
                realized: position.realized(),
            },
        );
        self.publish_gauges_of(instrument);
    }

    /// Something told of an order does not fit.
    #[cold]
    pub(super) fn order_fault(
        &mut self,
        id: OrderId,
        instrument: InstrumentIndex,
        fault: OmsFault,
    ) {
        self.telemetry.counters.order_fault(fault);
        self.telemetry.records.push(
            self.now,
            RecordBody::OrderFault {
                order: id,
                instrument,
                fault,
            },
        );
        if fault.halts() {
            self.kill(match fault {
                OmsFault::Overfill => HaltCause::Overfill,
                OmsFault::UnknownOrder => HaltCause::UnknownOrder,
                OmsFault::WentBack
                | OmsFault::Contradicted
                | OmsFault::Reopened
                | OmsFault::Vanished
                | OmsFault::AskedInVain
                | OmsFault::FillForgotten
                | OmsFault::Illegal => HaltCause::Books,
            });
        }
    }

    /// Puts a question to the venue in line, unless it stands there or is under way.
    pub(super) fn question(&mut self, ask: Ask) {
        let trading = &mut *self.trading;
        if !trading.questions.contains(&ask)
            && trading.questions.len() < 2 * crate::limits::ORDERS_OPEN_MAX
        {
            trading.questions.push_back(ask);
        }
        self.wake();
    }
}
