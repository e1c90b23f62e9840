//! What came of a request about an order, in the words of answers and records.
//!
//! Owns: those words, and the codes that go with them. Does not: wait for an outcome; the handlers do. Invariants: what
//! risk refuses, what the venue refuses and what never left are told apart; what is not known yet is 202 and no refusal.

use crate::api::answer::{Answer, OrderBody, answer};
use crate::http::HttpState;
use crate::http::problem::{Code, Problem};
use crate::status;
use crate::stream::event::Decimal;
use crate::trading::{OrderLine, OrderStatus, Reason, Refusal};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use veloz_core::order::ClientId;
use veloz_core::risk::{Rejection, TradingState};
use veloz_core::telemetry::records::CommandResult;
use veloz_core::venue::binance::order_error::Cause;

/// An order that a request made or changed.
#[derive(Serialize)]
pub(in crate::api) struct Placed {
    pub(in crate::api) ok: bool,
    #[serde(flatten)]
    pub(in crate::api) order: OrderBody,
}

/// 202: the request is under way, and this is all that is known.
pub(in crate::api) fn under_way(name: &str, state: &'static str) -> axum::response::Response {
    let body = json!({
        "ok": true,
        "client_order_id": name,
        "status": OrderStatus::Pending.label(),
        "state": state,
        "message": "the outcome is not known yet: ask GET /api/order_state",
    });
    answer(StatusCode::ACCEPTED, &body)
}

/// A command that the core did not carry out.
pub(crate) fn not_done(
    state: &HttpState,
    result: CommandResult,
    reason: Option<Rejection>,
    name: &str,
) -> Problem {
    let problem = match result {
        CommandResult::Rejected | CommandResult::Full | CommandResult::Done => {
            if reason == Some(Rejection::DuplicateClientOrderId) {
                return used(ClientId::new(name).as_ref());
            }
            let label = reason.map_or("max_open_orders", Rejection::label);
            // The reason stands for a halt too, which an operator ends and nothing else does.
            let halted = status::trading(&state.gauges)
                .map(|line| line.state)
                .filter(|_| reason == Some(Rejection::NotReady))
                .filter(|state| *state == TradingState::Halted);
            let problem = match halted {
                Some(halted) => Problem::new(
                    Code::OrderRejected,
                    format!("risk refuses the order: {label}, trading is halted"),
                )
                .with("trading_state", halted.label()),
                None => Problem::new(
                    Code::OrderRejected,
                    format!("risk refuses the order: {label}"),
                ),
            };
            problem
                .with("reason", label)
                .with("order_status", OrderStatus::Rejected.label())
        }
        CommandResult::UnknownOrder => Problem::new(
            Code::NotFound,
            "no order with this client_order_id is known",
        )
        .field("client_order_id"),
        CommandResult::NotOpen => Problem::new(
            Code::NotOpen,
            "the order is over, or a change of it is under way",
        ),
        CommandResult::NotTrading => Problem::new(
            Code::ExecutionUnavailable,
            "the order link is down; nothing was sent",
        ),
        CommandResult::InvalidValue => {
            Problem::new(Code::BadParams, "a value that the engine does not take")
        }
    };
    problem.with("client_order_id", name)
}

/// What the venue said of a request.
pub(in crate::api) fn venue_refuses(what: &str, refusal: Refusal) -> Problem {
    let (kind, cause) = (refusal.kind.label(), refusal.cause.label());
    let words = match refusal.cause {
        Cause::Unnamed => kind.to_owned(),
        Cause::InsufficientBalance
        | Cause::WouldMatch
        | Cause::DuplicateOrder
        | Cause::UnknownOrder
        | Cause::MarketClosed
        | Cause::Filter
        | Cause::SelfTradeMode
        | Cause::NotPermitted
        | Cause::NotSupported
        | Cause::ZeroNotional
        | Cause::CancelRestricted
        | Cause::NoReduction
        | Cause::Illiquid
        | Cause::WouldTrigger => format!("{kind}, {cause}"),
    };
    Problem::new(
        Code::BinanceError,
        format!("the venue refuses the {what}: {words}"),
    )
    .with(
        "details",
        json!({ "code": refusal.code, "kind": kind, "cause": cause }),
    )
}

pub(super) fn refused_by_venue(line: &OrderLine) -> Problem {
    let name = line.name();
    let reason = line.reason();
    let problem = match reason {
        Some(Reason::Venue(refusal)) => venue_refuses("order", refusal),
        Some(Reason::NotSent) => Problem::new(
            Code::ExecutionUnavailable,
            "the order could not be sent; it never left",
        ),
        Some(
            Reason::Risk(_)
            | Reason::MatchingEngine
            | Reason::SelfTradePrevention
            | Reason::OutcomeUnknown,
        )
        | None => Problem::new(Code::BinanceError, "the venue rejected the order"),
    };
    problem
        .with(
            "reason",
            reason.map_or_else(String::new, |reason| reason.to_string()),
        )
        .with("order_status", line.status().label())
        .with("client_order_id", name)
}

/// The details of a record of what came of an order.
pub(in crate::api) fn outcome(client_id: &str, answer: &Answer) -> Value {
    let (status, error) = match answer {
        Ok(response) => (response.status(), None),
        Err(problem) => (problem.code().status(), Some(problem.code().label())),
    };
    json!({
        "client_order_id": client_id,
        "status": status.as_u16(),
        "error": error,
    })
}

pub(super) fn unknown() -> Problem {
    Problem::new(
        Code::NotFound,
        "no order with this client_order_id is known",
    )
    .field("client_order_id")
}

pub(in crate::api) fn over(line: &OrderLine) -> Problem {
    Problem::new(Code::NotOpen, "the order is over")
        .with("client_order_id", line.name())
        .with("order_status", line.status().label())
        .with("executed_qty", Decimal(line.executed))
}

pub(super) fn used(id: Option<&ClientId>) -> Problem {
    Problem::new(
        Code::DuplicateClientOrderId,
        "an order with this client_order_id exists already: each is used once, for ever",
    )
    .field("client_order_id")
    .with("client_order_id", id.map(ClientId::as_str))
}
