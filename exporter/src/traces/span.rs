//! The kinds of spans: what each says, and how its attributes are called.
//!
//! Owns: one plain struct a kind. Does not: know ids, samplers or collectors. Names and attributes are
//! the operators' contract; what stands beside them (`http.route`, `order.outcome`) is ours.

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use veloz_core::order::{OrderKind, Side};
use veloz_core::risk::Rejection;
use veloz_core::units::Nanos;

/// Start and end on the engine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it began.
    pub start: Nanos,
    /// When it ended; not before `start`.
    pub end: Nanos,
}

/// How it went. What is not good is kept whatever the sampling says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Good,
    /// Somebody said no, for this reason.
    Rejected(&'static str),
    /// It did not work, for this reason.
    Failed(&'static str),
}

impl Outcome {
    /// Whether somebody will want to see it.
    pub const fn is_bad(self) -> bool {
        match self {
            Self::Good => false,
            Self::Rejected(_) | Self::Failed(_) => true,
        }
    }
}

/// `market.process`: bytes in user space to the updated book.
#[derive(Clone, Copy, Debug)]
pub struct MarketSpan<'a> {
    /// From receiving to the book.
    pub times: Times,
    /// What kind of message it was.
    pub event_type: &'static str,
    /// Of what.
    pub symbol: &'a str,
}

/// `strategy.signal`: updated book to the decision.
#[derive(Clone, Copy, Debug)]
pub struct SignalSpan<'a> {
    /// From the book to the decision.
    pub times: Times,
    /// Which strategy.
    pub strategy: &'a str,
    /// What it wants.
    pub signal: &'static str,
}

/// `risk.check`: decision to admission.
#[derive(Clone, Copy, Debug)]
pub struct RiskSpan {
    /// From the decision to the verdict.
    pub times: Times,
    /// Why not; `None` when it passed.
    pub rejection: Option<Rejection>,
}

/// `order.place`: decision to the kernel.
#[derive(Clone, Copy, Debug)]
pub struct PlaceSpan<'a> {
    /// From the decision to the moment when the kernel had it.
    pub times: Times,
    /// Of what.
    pub symbol: &'a str,
    /// Which way.
    pub side: Side,
    /// What it may do to the book.
    pub kind: OrderKind,
    /// How it went.
    pub outcome: Outcome,
}

/// `order.execute`: kernel to the venue's answer.
#[derive(Clone, Copy, Debug)]
pub struct ExecuteSpan<'a> {
    /// From the kernel to the answer.
    pub times: Times,
    /// The order's id as clients know it.
    pub order_id: &'a str,
    /// Who answered.
    pub venue: &'static str,
    /// What the answer was.
    pub outcome: Outcome,
}

/// `http.request`: a request's head to its answer's head.
#[derive(Clone, Copy, Debug)]
pub struct HttpSpan<'a> {
    /// From head to head.
    pub times: Times,
    /// The method.
    pub method: &'a str,
    /// The address without its query, which may hold a ticket.
    pub url: &'a str,
    /// The status code of the answer; from 500 on the span failed.
    pub status: u16,
}

/// `engine.command`: a command from its sender to the core's answer.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpan<'a> {
    /// From sending to the answer.
    pub times: Times,
    /// Which command.
    pub command: &'static str,
    /// About what, when it is about one instrument.
    pub symbol: Option<&'a str>,
    /// What the core said.
    pub outcome: Outcome,
}

/// A span without ids.
pub(super) struct Facts {
    pub(super) name: &'static str,
    pub(super) kind: SpanKind,
    pub(super) times: Times,
    pub(super) outcome: Outcome,
    pub(super) attributes: Vec<KeyValue>,
}

fn text(key: &'static str, value: &str) -> KeyValue {
    KeyValue::new(key, value.to_owned())
}

impl MarketSpan<'_> {
    pub(super) fn data(&self) -> Facts {
        Facts {
            name: "market.process",
            kind: SpanKind::Consumer,
            times: self.times,
            outcome: Outcome::Good,
            attributes: vec![
                KeyValue::new("event.type", self.event_type),
                text("symbol", self.symbol),
            ],
        }
    }
}

impl SignalSpan<'_> {
    pub(super) fn data(&self) -> Facts {
        Facts {
            name: "strategy.signal",
            kind: SpanKind::Internal,
            times: self.times,
            outcome: Outcome::Good,
            attributes: vec![
                text("strategy.name", self.strategy),
                KeyValue::new("signal.type", self.signal),
            ],
        }
    }
}

impl RiskSpan {
    pub(super) fn data(&self) -> Facts {
        // All checks are one walk; the one that said no names itself.
        let (check, result, outcome) = match self.rejection {
            None => ("pre_trade", "passed", Outcome::Good),
            Some(rejection) => {
                let label = rejection.label();
                (label, "rejected", Outcome::Rejected(label))
            }
        };
        Facts {
            name: "risk.check",
            kind: SpanKind::Internal,
            times: self.times,
            outcome,
            attributes: vec![
                KeyValue::new("check.name", check),
                KeyValue::new("check.result", result),
            ],
        }
    }
}

impl PlaceSpan<'_> {
    pub(super) fn data(&self) -> Facts {
        Facts {
            name: "order.place",
            kind: SpanKind::Internal,
            times: self.times,
            outcome: self.outcome,
            attributes: vec![
                text("order.symbol", self.symbol),
                KeyValue::new("order.side", self.side.label()),
                KeyValue::new("order.type", self.kind.label()),
            ],
        }
    }
}

impl ExecuteSpan<'_> {
    pub(super) fn data(&self) -> Facts {
        Facts {
            name: "order.execute",
            kind: SpanKind::Client,
            times: self.times,
            outcome: self.outcome,
            attributes: vec![
                text("order.id", self.order_id),
                KeyValue::new("venue.name", self.venue),
            ],
        }
    }
}

impl HttpSpan<'_> {
    pub(super) fn data(&self) -> Facts {
        Facts {
            name: "http.request",
            kind: SpanKind::Server,
            times: self.times,
            outcome: if self.status >= 500 {
                Outcome::Failed("server error")
            } else {
                Outcome::Good
            },
            attributes: vec![
                text("http.method", self.method),
                text("http.url", self.url),
                KeyValue::new("http.status_code", i64::from(self.status)),
            ],
        }
    }
}

impl CommandSpan<'_> {
    pub(super) fn data(&self) -> Facts {
        let mut attributes = vec![KeyValue::new("command.type", self.command)];
        if let Some(symbol) = self.symbol {
            attributes.push(text("command.symbol", symbol));
        }
        Facts {
            name: "engine.command",
            kind: SpanKind::Client,
            times: self.times,
            outcome: self.outcome,
            attributes,
        }
    }
}
