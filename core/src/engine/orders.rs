//! Where market data, commands and the order link reach trading.
//!
//! Does not: hold any state; `trading` does. Invariant: without an account nothing here costs more than a look at
//! an `Option`.

use crate::event::{Command, LinkDown, LinkId, Payload};
use crate::instrument::InstrumentIndex;
use crate::order::Side;
use crate::outbox::Outbox;
use crate::strategy::{PublicTrade, Strategy};
use crate::telemetry::counters::{Counter, MessageKind};
use crate::telemetry::records::{CommandResult, RecordBody};
use crate::telemetry::trace::TraceEvent;
use crate::units::Nanos;
use crate::venue::binance::codec::Trade;
use crate::venue::binance::fault::{Fault, OnFault};

use super::brain::Brain;
use super::trading::Look;
use super::{Engine, Stopwatch};

impl<T: Strategy> Brain<T> {
    /// A live book changed; `book_at` is the stopwatch's stamp of that.
    #[inline]
    pub(super) fn market_moved<S: Stopwatch>(
        &mut self,
        now: Nanos,
        index: InstrumentIndex,
        book_at: Nanos,
        watch: &S,
        out: &mut Outbox,
    ) {
        let Some(mut desk) = self.desk(now, watch, out) else {
            return;
        };
        desk.mark(index);
        if desk.trading.strategy_acts() {
            desk.look(index, Look::Book(book_at));
            desk.tell_news();
        }
    }

    /// Does what the table says about something on the order link that could not be read. It may have been a fill,
    /// and no book is the worse for it.
    #[cold]
    fn answer_order_fault<S: Stopwatch>(
        &mut self,
        now: Nanos,
        link: LinkId,
        fault: Fault,
        watch: &S,
        out: &mut Outbox,
    ) {
        match fault.response_to_orders() {
            OnFault::CountAndDrop => {}
            OnFault::Resync | OnFault::Reconcile => {
                if let Some(mut desk) = self.desk(now, watch, out) {
                    desk.reconcile();
                }
            }
            OnFault::Reconnect => {
                self.session
                    .fail(now, link, LinkDown::Requested, out, &mut self.notices);
            }
            OnFault::Halt => {
                let until = self.budget.blocked_until();
                self.session.close_all(now, until, out, &mut self.notices);
            }
        }
    }

    /// A public trade.
    #[inline]
    pub(super) fn traded<S: Stopwatch>(
        &mut self,
        now: Nanos,
        trade: &Trade,
        watch: &S,
        out: &mut Outbox,
    ) {
        let Some(mut desk) = self.desk(now, watch, out) else {
            return;
        };
        if desk.trading.strategy_acts() {
            let trade_of = PublicTrade {
                price: trade.price,
                qty: trade.qty,
                taker: if trade.buyer_is_maker {
                    Side::Sell
                } else {
                    Side::Buy
                },
            };
            desk.look(trade.instrument, Look::Trade(&trade_of));
            desk.tell_news();
        }
    }
}

impl<S: Stopwatch, T: Strategy> Engine<S, T> {
    /// An operator's command.
    pub(super) fn command(&mut self, now: Nanos, command: &Command, out: &mut Outbox) {
        let Self {
            brain, stopwatch, ..
        } = self;
        if let Command::ShowBook { token, instrument } = *command {
            brain.show_book(now, token, instrument);
            return;
        }
        if let Some(mut desk) = brain.desk(now, stopwatch, out) {
            desk.command(command);
            return;
        }
        // Without an account there is nothing that a command could change.
        if let Some(token) = command.token() {
            brain.telemetry.records.push(
                now,
                RecordBody::CommandDone {
                    token,
                    result: CommandResult::NotTrading,
                    reason: None,
                    order: None,
                },
            );
        }
    }

    /// A message of the order link.
    #[inline]
    pub(super) fn order_message(
        &mut self,
        now: Nanos,
        link: LinkId,
        payload: Payload<'_>,
        out: &mut Outbox,
    ) {
        let Self {
            orders,
            brain,
            stopwatch,
            ..
        } = self;
        let Some(decoder) = orders else {
            return;
        };
        if brain.session.heard(now, link).is_none() {
            brain.telemetry.counters.increment(Counter::Ignored);
            return;
        }
        let bytes = payload.bytes().len() as u32;
        brain
            .telemetry
            .trace
            .push(now, TraceEvent::Message(link, bytes));
        brain.telemetry.counters.message(MessageKind::Order);
        let message = match decoder.decode(payload) {
            Ok(message) => message,
            Err(fault) => {
                brain.count_fault(now, link, fault);
                brain.answer_order_fault(now, link, fault, stopwatch, out);
                return;
            }
        };
        if let Some(mut desk) = brain.desk(now, stopwatch, out) {
            desk.order_message(link, &message);
            desk.tell_news();
        }
    }
}
