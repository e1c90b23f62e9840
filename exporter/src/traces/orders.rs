//! Spans of orders and commands, built after the fact from the stamps of the core.
//!
//! Owns: [`OrderSpans`]. Does not: take stamps or export. One order of an HTTP request gives this tree:
//!
//! ```text
//! http.request ─ engine.command ┬ risk.check    decided → admitted
//!                               └ order.place   decided → the kernel has it
//!                                    └ order.execute   the kernel has it → the venue's first word
//! ```
//!
//! One of the strategy begins with `strategy.signal` instead: its message received → decided. An order's stamps come
//! on the samples ring, which may lose them; then its spans stand at the times of its records, which are those of the
//! events that caused them.
//!
//! Invariants: what an order's spans need is held from its admission to the venue's first word, and bounded; without
//! anybody who takes spans nothing is held at all.

use super::{
    CommandSpan, ExecuteSpan, Opened, Outcome, PlaceSpan, RiskSpan, SignalSpan, Spans, Times,
};
use crate::trading::{OrderLine, OrderStatus, Told};
use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use std::collections::BTreeMap;
use std::sync::Arc;
use veloz_core::event::Token;
use veloz_core::instrument::{InstrumentIndex, Instruments};
use veloz_core::limits::ORDERS_OPEN_MAX;
use veloz_core::order::{OrderId, OrderKind, OrderState, Origin, Side};
use veloz_core::telemetry::records::{CommandResult, Record, RecordBody};
use veloz_core::units::Nanos;

/// Orders whose spans are not told yet, and whose traces are known: all that can be open, twice, since those that ended wait for their stamps. The
/// oldest is forgotten then.
const HELD_MAX: usize = 2 * ORDERS_OPEN_MAX;

/// An order's time to the venue's first word, for exemplars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its trace.
    pub trace: TraceId,
    /// From the kernel to the answer.
    pub took: Nanos,
    /// When the answer came, on the engine's clock.
    pub at: Nanos,
}

/// Holds orders until their spans can be told.
pub struct OrderSpans {
    spans: Spans,
    venue: &'static str,
    strategy: &'static str,
    instruments: Arc<Instruments>,
    held: BTreeMap<OrderId, Held>,
    /// Traces of the newest orders, and the span in each that the order's go under, for the lines about them.
    traces: BTreeMap<OrderId, (TraceId, SpanId)>,
    /// Encoded, and not yet known to be with the kernel.
    unsent: Vec<OrderId>,
    /// The command whose records come now, and its span.
    command: Option<(Token, Opened)>,
}

struct Held {
    /// Under which its spans go.
    parent: SpanContext,
    /// The strategy's signal, when that began it.
    signal: Option<Opened>,
    instrument: InstrumentIndex,
    side: Side,
    kind: OrderKind,
    /// When the event came that caused it.
    received: Nanos,
    stamps: Option<Stamps>,
    sent: Option<Nanos>,
    end: Option<End>,
}

#[derive(Clone, Copy)]
struct Stamps {
    decided: Nanos,
    admitted: Nanos,
    encoded: Nanos,
}

/// How the placement came out.
struct End {
    name: String,
    at: Nanos,
    outcome: Outcome,
    /// Whether it reached the venue's connection at all.
    left: bool,
}

impl OrderSpans {
    /// Spans of orders at `venue`, of people and of `strategy`.
    pub fn new(
        spans: Spans,
        venue: &'static str,
        strategy: &'static str,
        instruments: Arc<Instruments>,
    ) -> Self {
        Self {
            spans,
            venue,
            strategy,
            instruments,
            held: BTreeMap::new(),
            traces: BTreeMap::new(),
            unsent: Vec::new(),
            command: None,
        }
    }

    /// Takes a record, and what it changed.
    pub fn record(&mut self, record: &Record, told: &Told) {
        if !self.spans.wanted() {
            return;
        }
        match record.body {
            RecordBody::OrderAdmitted {
                order,
                instrument,
                side,
                kind,
                origin,
                token,
                ..
            } => {
                let signal = match origin {
                    Origin::Strategy => Some(self.spans.open_order(order)),
                    Origin::Operator => None,
                };
                let parent = match &signal {
                    Some(signal) => signal.context().clone(),
                    None => self.command_of(token, told).context().clone(),
                };
                if self.held.len() >= HELD_MAX {
                    self.held.pop_first();
                }
                if self.traces.len() >= HELD_MAX {
                    self.traces.pop_first();
                }
                let place = (parent.trace_id(), parent.span_id());
                self.traces.insert(order, place);
                let held = Held {
                    parent,
                    signal,
                    instrument,
                    side,
                    kind,
                    received: record.at,
                    stamps: None,
                    sent: None,
                    end: None,
                };
                self.held.insert(order, held);
            }
            RecordBody::OrderRejected {
                reason,
                origin,
                token,
                ..
            } => {
                let opened = match origin {
                    Origin::Strategy => self.spans.open(None),
                    Origin::Operator => {
                        let command = self.command_of(token, told).context().clone();
                        self.spans.open(Some(&command))
                    }
                };
                let span = RiskSpan {
                    times: at_once(record.at),
                    rejection: Some(reason),
                };
                self.spans.risk(&opened, &span);
            }
            RecordBody::OrderState {
                order, from, to, ..
            } => {
                if let Some(line) = &told.order
                    && let Some(held) = self.held.get_mut(&order)
                    && held.end.is_none()
                    && let Some(outcome) = outcome_of(line, to)
                {
                    held.end = Some(End {
                        name: line.name(),
                        at: record.at,
                        outcome,
                        left: from != OrderState::Admitted,
                    });
                }
            }
            RecordBody::CommandDone {
                token,
                result,
                order,
                ..
            } => self.command_done(record.at, token, result, order, told),
            RecordBody::LinkUp { .. }
            | RecordBody::LinkDown { .. }
            | RecordBody::BookState { .. }
            | RecordBody::Resync { .. }
            | RecordBody::Fault { .. }
            | RecordBody::RequestRefused { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::Shutdown { .. }
            | RecordBody::OrderAlias { .. }
            | RecordBody::OrderAdopted { .. }
            | RecordBody::Fill { .. }
            | RecordBody::VenueRefused { .. }
            | RecordBody::OrderFault { .. }
            | RecordBody::Position { .. }
            | RecordBody::Balance { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::TradingState { .. }
            | RecordBody::KillSwitch { .. }
            | RecordBody::Limits { .. } => {}
        }
    }

    /// Takes an order's stamps.
    pub fn stamped(&mut self, order: OrderId, decided: Nanos, admitted: Nanos, encoded: Nanos) {
        if let Some(held) = self.held.get_mut(&order) {
            held.stamps = Some(Stamps {
                decided,
                admitted,
                encoded,
            });
            self.unsent.push(order);
        }
    }

    /// The kernel took every order that was stamped before.
    pub fn sent(&mut self, sent: Nanos) {
        for order in self.unsent.drain(..) {
            if let Some(held) = self.held.get_mut(&order) {
                held.sent.get_or_insert(sent);
            }
        }
    }

    /// Tells the spans of orders whose placement came out, after all samples of the same moment were taken.
    pub fn flush(&mut self, mut answered: impl FnMut(Answered)) {
        let ended: Vec<OrderId> = self
            .held
            .iter()
            .filter(|(_, held)| held.end.is_some())
            .map(|(order, _)| *order)
            .collect();
        for order in ended {
            if let Some(held) = self.held.remove(&order)
                && let Some(end) = &held.end
            {
                self.tell(&held, end, &mut answered);
            }
        }
    }

    /// The trace of the order that a record is about, and the span in it that the order's go under, if it is one of the
    /// newest; `None` when nobody takes spans.
    pub fn trace_of(&self, body: &RecordBody) -> Option<(TraceId, SpanId)> {
        if !self.spans.wanted() {
            return None;
        }
        let order = match *body {
            RecordBody::OrderAdmitted { order, .. }
            | RecordBody::OrderAlias { order, .. }
            | RecordBody::OrderAdopted { order, .. }
            | RecordBody::OrderState { order, .. }
            | RecordBody::Fill { order, .. }
            | RecordBody::VenueRefused { order, .. }
            | RecordBody::OrderFault { order, .. } => order,
            RecordBody::CommandDone { order, .. } => order?,
            RecordBody::LinkUp { .. }
            | RecordBody::LinkDown { .. }
            | RecordBody::BookState { .. }
            | RecordBody::Resync { .. }
            | RecordBody::Fault { .. }
            | RecordBody::RequestRefused { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::Shutdown { .. }
            | RecordBody::OrderRejected { .. }
            | RecordBody::Position { .. }
            | RecordBody::Balance { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::TradingState { .. }
            | RecordBody::KillSwitch { .. }
            | RecordBody::Limits { .. } => return None,
        };
        self.traces.get(&order).copied()
    }

    /// The span of the command whose records come now.
    fn command_of(&mut self, token: Token, told: &Told) -> &Opened {
        let is_known = self
            .command
            .as_ref()
            .is_some_and(|(known, _)| *known == token && token != Token::default());
        if !is_known {
            self.command = None;
        }
        let context = told.asked.as_ref().and_then(|asked| asked.context.as_ref());
        let spans = &self.spans;
        let (_, opened) = self
            .command
            .get_or_insert_with(|| (token, spans.open(context)));
        opened
    }

    fn command_done(
        &mut self,
        at: Nanos,
        token: Token,
        result: CommandResult,
        order: Option<OrderId>,
        told: &Told,
    ) {
        let Some(asked) = &told.asked else {
            // Nobody's request: the dead-man's, or the configuration's.
            self.command = None;
            return;
        };
        let opened = self.command_of(token, told).clone();
        let instrument = order
            .and_then(|order| self.held.get(&order))
            .map(|held| held.instrument);
        let span = CommandSpan {
            times: Times {
                start: asked.at,
                end: at.max(asked.at),
            },
            command: asked.command,
            symbol: instrument.map(|index| self.instruments.get(index).symbol.as_str()),
            outcome: if result == CommandResult::Done {
                Outcome::Good
            } else {
                Outcome::Rejected(result.label())
            },
        };
        self.spans.command(&opened, &span);
        self.command = None;
    }

    fn tell(&self, held: &Held, end: &End, answered: &mut impl FnMut(Answered)) {
        let stamps = held.stamps.unwrap_or(Stamps {
            decided: held.received,
            admitted: held.received,
            encoded: held.received,
        });
        let sent = held.sent.unwrap_or(stamps.encoded);
        if let Some(signal) = &held.signal {
            let span = SignalSpan {
                times: Times {
                    start: held.received,
                    end: stamps.decided,
                },
                strategy: self.strategy,
                signal: held.side.label(),
            };
            self.spans.signal(signal, &span);
        }
        let risk = RiskSpan {
            times: Times {
                start: stamps.decided,
                end: stamps.admitted,
            },
            rejection: None,
        };
        self.spans.risk(&self.spans.open(Some(&held.parent)), &risk);
        let place = self.spans.open(Some(&held.parent));
        let span = PlaceSpan {
            times: Times {
                start: stamps.decided,
                end: sent,
            },
            symbol: self.instruments.get(held.instrument).symbol.as_str(),
            side: held.side,
            kind: held.kind,
            outcome: if end.left { Outcome::Good } else { end.outcome },
        };
        self.spans.place(&place, &span);
        if !end.left {
            return;
        }
        let span = ExecuteSpan {
            times: Times {
                start: sent,
                end: end.at,
            },
            order_id: &end.name,
            venue: self.venue,
            outcome: end.outcome,
        };
        self.spans
            .execute(&self.spans.open(Some(place.context())), &span);
        answered(Answered {
            trace: held.parent.trace_id(),
            took: end.at.since(sent),
            at: end.at,
        });
    }
}

/// What the venue's first word on a placement was; `None` while there is none.
fn outcome_of(line: &OrderLine, to: OrderState) -> Option<Outcome> {
    match to {
        OrderState::Admitted | OrderState::Sent => None,
        OrderState::Unresolved => Some(Outcome::Failed("outcome_unknown")),
        OrderState::Live
        | OrderState::PartiallyFilled
        | OrderState::CancelSent
        | OrderState::ReplaceSent => Some(Outcome::Good),
        OrderState::Done(_) if line.status() == OrderStatus::Rejected => {
            Some(if line.reason() == Some(crate::trading::Reason::NotSent) {
                Outcome::Failed("not_sent")
            } else {
                Outcome::Rejected("venue")
            })
        }
        OrderState::Done(_) => Some(Outcome::Good),
    }
}

fn at_once(at: Nanos) -> Times {
    Times { start: at, end: at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instruments, trading_view};
    use crate::traces::tests::{Collected, collecting};
    use crate::trading::{Asked, TradingView};
    use opentelemetry::trace::{SpanId, Status};
    use opentelemetry_sdk::trace::SpanData;
    use veloz_core::order::{DoneReason, TimeInForce};
    use veloz_core::risk::Rejection;
    use veloz_core::units::{Lots, Ticks};

    struct Bench {
        view: TradingView,
        orders: OrderSpans,
        spans: Spans,
        collected: Collected,
        told: Vec<SpanData>,
        answered: Vec<Answered>,
    }

    fn bench() -> Bench {
        let (spans, collected) = collecting();
        spans.set_wall_clock(0);
        Bench {
            view: trading_view(),
            orders: OrderSpans::new(
                spans.clone(),
                "binance",
                "market_maker",
                Arc::new(instruments()),
            ),
            spans,
            collected,
            told: Vec::new(),
            answered: Vec::new(),
        }
    }

    impl Bench {
        fn record(&mut self, at: u64, body: RecordBody) {
            let record = Record {
                sequence: 0,
                at: Nanos(at),
                body,
            };
            let told = self.view.record(&record);
            self.orders.record(&record, &told);
            self.told.extend(self.collected.take());
        }

        fn flush(&mut self) {
            let answered = &mut self.answered;
            self.orders.flush(|one| answered.push(one));
            self.told.extend(self.collected.take());
        }

        /// Name, start and end of each span, in the order told.
        fn told(&self) -> Vec<(String, u64, u64)> {
            let unix = |time: std::time::SystemTime| {
                let since = time.duration_since(std::time::UNIX_EPOCH);
                since.expect("after the epoch").as_nanos() as u64
            };
            let line = |span: &SpanData| {
                (
                    span.name.to_string(),
                    unix(span.start_time),
                    unix(span.end_time),
                )
            };
            self.told.iter().map(line).collect()
        }

        fn span(&self, name: &str) -> SpanData {
            let mut of = self.told.iter().filter(|span| span.name == name);
            of.next().expect("told").clone()
        }
    }

    const ORDER: OrderId = OrderId {
        run: 1,
        sequence: 1,
    };

    fn admitted(origin: Origin, token: Token) -> RecordBody {
        RecordBody::OrderAdmitted {
            order: ORDER,
            instrument: InstrumentIndex(0),
            side: Side::Buy,
            kind: OrderKind::Limit,
            time_in_force: TimeInForce::Gtc,
            origin,
            price: Ticks(1),
            qty: Lots(1),
            token,
        }
    }

    fn state(from: OrderState, to: OrderState) -> RecordBody {
        RecordBody::OrderState {
            order: ORDER,
            instrument: InstrumentIndex(0),
            from,
            to,
            venue_order_id: 0,
            executed: Lots(0),
            qty: Lots(1),
        }
    }

    #[test]
    fn an_order_of_a_request_goes_under_it_with_the_stamps_of_the_core() {
        let mut bench = bench();
        let request = bench.spans.open(None);
        let token = bench.view.commands().issue(Asked {
            command: "place_order",
            client_id: None,
            context: Some(request.context().clone()),
            at: Nanos(50),
        });
        bench.record(100, admitted(Origin::Operator, token));
        bench.record(100, state(OrderState::Admitted, OrderState::Sent));
        bench.record(
            100,
            RecordBody::CommandDone {
                token,
                result: CommandResult::Done,
                reason: None,
                order: Some(ORDER),
            },
        );
        bench.flush();
        // The answer may be drained before the samples of the same millisecond.
        bench.record(900, state(OrderState::Sent, OrderState::Live));
        bench
            .orders
            .stamped(ORDER, Nanos(110), Nanos(120), Nanos(130));
        bench.orders.sent(Nanos(140));
        bench.flush();
        let line = |name: &str, start, end| (name.to_owned(), start, end);
        assert_eq!(
            bench.told(),
            [
                line("engine.command", 50, 100),
                line("risk.check", 110, 120),
                line("order.place", 110, 140),
                line("order.execute", 140, 900),
            ]
        );
        let command = bench.span("engine.command");
        let place = bench.span("order.place");
        assert_eq!(command.parent_span_id, request.context().span_id());
        assert_eq!(place.parent_span_id, command.span_context.span_id());
        assert_eq!(
            bench.span("risk.check").parent_span_id,
            command.span_context.span_id()
        );
        let execute = bench.span("order.execute");
        assert_eq!(execute.parent_span_id, place.span_context.span_id());
        let trace = request.context().trace_id();
        assert_eq!(execute.span_context.trace_id(), trace);
        let body = state(OrderState::Sent, OrderState::Live);
        let (of_line, span) = bench.orders.trace_of(&body).expect("for log lines");
        assert_eq!(of_line, trace);
        assert_ne!(span, SpanId::INVALID);
        assert_eq!(
            bench.answered,
            [Answered {
                trace,
                took: Nanos(760),
                at: Nanos(900)
            }]
        );
    }

    #[test]
    fn an_order_of_the_strategy_begins_with_its_signal() {
        let mut bench = bench();
        bench.record(100, admitted(Origin::Strategy, Token(0)));
        bench.record(100, state(OrderState::Admitted, OrderState::Sent));
        let done = OrderState::Done(DoneReason::Rejected);
        bench.record(500, state(OrderState::Sent, done));
        bench.flush();
        // Its stamps were lost.
        let signal = bench.span("strategy.signal");
        assert_eq!(signal.parent_span_id, SpanId::INVALID);
        assert_eq!(
            signal.span_context.trace_id(),
            bench.spans.trace_of_order(ORDER)
        );
        assert_eq!(
            bench.span("order.place").parent_span_id,
            signal.span_context.span_id()
        );
        assert_eq!(bench.span("order.execute").status, Status::error("venue"));
        bench.flush();
        assert_eq!(bench.told().len(), 4, "told once");
    }

    #[test]
    fn what_never_left_and_what_risk_refused_have_no_answer() {
        let mut bench = bench();
        bench.record(100, admitted(Origin::Strategy, Token(0)));
        let done = OrderState::Done(DoneReason::Rejected);
        bench.record(100, state(OrderState::Admitted, done));
        bench.flush();
        assert_eq!(bench.span("order.place").status, Status::error("not_sent"));
        assert!(
            bench
                .told()
                .iter()
                .all(|(name, ..)| name != "order.execute")
        );

        let mut bench = self::bench();
        bench.record(
            7,
            RecordBody::OrderRejected {
                instrument: InstrumentIndex(0),
                reason: Rejection::PriceCollar,
                side: Side::Buy,
                origin: Origin::Strategy,
                price: Ticks(1),
                qty: Lots(1),
                token: Token(0),
            },
        );
        assert_eq!(bench.told(), [("risk.check".to_owned(), 7, 7)]);
        assert_eq!(
            bench.span("risk.check").status,
            Status::error("price_collar")
        );
    }

    #[test]
    fn orders_whose_end_was_lost_do_not_add_up() {
        let mut bench = bench();
        for sequence in 0..HELD_MAX as u32 + 5 {
            let RecordBody::OrderAdmitted {
                instrument,
                side,
                kind,
                time_in_force,
                origin,
                price,
                qty,
                token,
                ..
            } = admitted(Origin::Strategy, Token(0))
            else {
                unreachable!("made above")
            };
            let order = OrderId { run: 1, sequence };
            bench.record(
                1,
                RecordBody::OrderAdmitted {
                    order,
                    instrument,
                    side,
                    kind,
                    time_in_force,
                    origin,
                    price,
                    qty,
                    token,
                },
            );
        }
        assert_eq!(bench.orders.held.len(), HELD_MAX);
        assert_eq!(bench.orders.traces.len(), HELD_MAX);
    }
}
