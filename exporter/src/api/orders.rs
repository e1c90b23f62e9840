//! `/api/order*`, `/api/cancel*`, `/api/trades`: what is asked of orders, and what is known of them.
//!
//! Owns: the handlers. Does not: decide whether an order is sound beyond its form (risk does, in the core).
//! Invariants: an answer says what is known: taken or refused by the venue, or, once [`ANSWER_TIME_MAX`] has
//! passed, 202 with the state; never a guess. A client's id is taken before its order goes to the core and given back only when the
//! core says that there is no order.

use super::answer::{Answer, OrderBody, answer, ok};
use super::client_ids::NotTaken;
use super::idempotency::Keyed;
use super::number;
use crate::audit::record::LogType;
use crate::auth::Principal;
use crate::http::HttpState;
use crate::http::body::{self, Fields, expected};
use crate::http::exchange::Caller;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::status;
use crate::stream::event::Decimal;
use crate::trading::{Asked, OrderEvent, OrderLine, OrderStatus, Reason, Refusal};
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use opentelemetry::trace::SpanContext;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use veloz_core::event::{Command, OrderRef};
use veloz_core::instrument::{Instrument, InstrumentIndex};
use veloz_core::order::{
    ClientId, Intent, OrderId, OrderKind, Origin, SelfTradePrevention, Side, TimeInForce,
};
use veloz_core::risk::{Rejection, TradingState};
use veloz_core::telemetry::records::{CommandResult, OrderRequest, TradingPhase};
use veloz_core::units::{Lots, Ticks};
use veloz_core::venue::binance::order_error::Cause;

/// How long an answer waits for the venue's: the median is below a tenth of a second. Then it is 202 with the state.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

/// Orders, events or trades of one answer.
const LIMIT_MAX: usize = 1_000;
/// The same, when nothing is said; what existing clients expect.
const LIMIT_DEFAULT: usize = 200;

/// Who asked.
pub(crate) struct Who<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) principal: &'a Principal,
    pub(crate) context: Option<SpanContext>,
}

impl Who<'_> {
    pub(crate) fn asked(&self, command: &'static str, client_id: Option<ClientId>) -> Asked {
        Asked {
            command,
            client_id,
            context: self.context.clone(),
            ..Asked::default()
        }
    }

    /// Gives a record about orders.
    pub(crate) fn record(&self, state: &HttpState, action: &'static str, details: Value) {
        state.record(|at| {
            self.caller
                .entry(LogType::Order, action, &self.principal.user_id, details, at)
        });
    }
}

/// What an order is to be, as a request says.
struct Wanted {
    intent: Intent,
    client_id: Option<ClientId>,
}

fn wanted(state: &HttpState, fields: &Fields) -> Result<Wanted, Problem> {
    fields.only(&[
        "side",
        "symbol",
        "qty",
        "price",
        "client_order_id",
        "type",
        "order_type",
        "tif",
        "time_in_force",
    ])?;
    let side = match fields.text("side")?.to_ascii_uppercase().as_str() {
        "BUY" => Side::Buy,
        "SELL" => Side::Sell,
        _ => return Err(expected("side", "BUY or SELL")),
    };
    let (index, instrument) = state.instrument("symbol", fields.text("symbol")?)?;
    let (kind, time_in_force) = kind_of(fields)?;
    let qty = number::qty(fields, "qty", instrument)?;
    let price = price_of(fields, kind, instrument)?;
    Ok(Wanted {
        intent: Intent {
            instrument: index,
            side,
            kind,
            time_in_force,
            price,
            qty,
            self_trade_prevention: prevention(state, instrument),
            origin: Origin::Operator,
        },
        client_id: client_id(fields, "client_order_id")?,
    })
}

/// What is configured, where the venue allows it for the instrument; else what the venue does by itself.
fn prevention(state: &HttpState, instrument: &Instrument) -> SelfTradePrevention {
    let rules = &instrument.order_rules;
    state
        .api
        .profile
        .self_trade_prevention
        .filter(|mode| rules.allows(*mode))
        .unwrap_or(rules.self_trade_prevention)
}

/// One of two names of the same field.
fn either<'a>(
    fields: &'a Fields,
    name: &'static str,
    other: &'static str,
) -> Result<Option<&'a str>, Problem> {
    match (fields.optional_text(name)?, fields.optional_text(other)?) {
        (Some(_), Some(_)) => Err(expected(name, &format!("it or {other}, not both,"))),
        (one, other) => Ok(one.or(other).filter(|text| !text.is_empty())),
    }
}

/// Type and time in force, with what clients that say neither expect.
fn kind_of(fields: &Fields) -> Result<(OrderKind, TimeInForce), Problem> {
    let kind = match either(fields, "type", "order_type")?
        .unwrap_or("LIMIT")
        .to_ascii_uppercase()
        .as_str()
    {
        "LIMIT" | "L" => OrderKind::Limit,
        "MARKET" | "M" => OrderKind::Market,
        "LIMIT_MAKER" => OrderKind::LimitMaker,
        _ => return Err(expected("type", "LIMIT, MARKET or LIMIT_MAKER")),
    };
    let Some(word) = either(fields, "tif", "time_in_force")? else {
        return Ok((kind, TimeInForce::Gtc));
    };
    match (kind, word.to_ascii_uppercase().as_str()) {
        (_, "GTC") => Ok((kind, TimeInForce::Gtc)),
        (OrderKind::Limit, "IOC") => Ok((kind, TimeInForce::Ioc)),
        (OrderKind::Limit, "FOK") => Ok((kind, TimeInForce::Fok)),
        // Good till crossing: another word for post-only.
        (OrderKind::Limit | OrderKind::LimitMaker, "GTX") => {
            Ok((OrderKind::LimitMaker, TimeInForce::Gtc))
        }
        (OrderKind::Limit, _) => Err(expected("tif", "GTC, IOC, FOK or GTX")),
        (OrderKind::LimitMaker, _) => Err(expected("tif", "GTC or GTX, with LIMIT_MAKER,")),
        (OrderKind::Market, _) => Err(expected("tif", "GTC or nothing, with MARKET,")),
    }
}

fn price_of(fields: &Fields, kind: OrderKind, instrument: &Instrument) -> Result<Ticks, Problem> {
    match kind {
        OrderKind::Limit | OrderKind::LimitMaker => {
            number::price(fields, "price", instrument)?.ok_or_else(|| expected("price", "a number"))
        }
        OrderKind::Market => match number::optional_decimal(fields, "price")? {
            None => Ok(Ticks(0)),
            Some(price) if price.0 == 0 => Ok(Ticks(0)),
            Some(_) => Err(expected("price", "nothing or 0, with MARKET,")),
        },
    }
}

fn client_id(fields: &Fields, name: &'static str) -> Result<Option<ClientId>, Problem> {
    let text = fields.optional_text(name)?;
    text.filter(|text| !text.is_empty())
        .map(|text| {
            ClientId::new(text)
                .ok_or_else(|| expected(name, "1 to 36 characters of A-Z, a-z, 0-9, _ and -"))
        })
        .transpose()
}

/// The client's id of an order to come: its own, or the default.
fn take_id(state: &HttpState, own: Option<ClientId>) -> Result<ClientId, Problem> {
    let ids = &state.api.client_ids;
    let taken = match own {
        Some(id) => ids.take(&id).map(|()| id),
        None => ids.take_default((state.unix)()),
    };
    taken.map_err(|refused| match refused {
        NotTaken::Used => used(own.as_ref()),
        NotTaken::Full | NotTaken::Io(_) => {
            tracing::error!(component = "gateway", error = %refused, "an order is refused");
            let why = if matches!(refused, NotTaken::Full) {
                "as many client order ids as are kept were used, so nothing was done; an order without one passes"
            } else {
                "the client order id cannot be kept, so nothing was done"
            };
            Problem::new(Code::StorageUnavailable, why)
        }
    })
}

/// Keeps beside the request's key which order it is about to make, so that a repeat after a crash finds it.
fn name_order(
    state: &HttpState,
    keyed: Option<Extension<Keyed>>,
    client_id: &ClientId,
) -> Result<(), Problem> {
    name_request(keyed, client_id).inspect_err(|_| {
        state.api.client_ids.give_back(client_id);
    })
}

/// The same for a request about an order that is there.
pub(super) fn name_request(
    keyed: Option<Extension<Keyed>>,
    client_id: &ClientId,
) -> Result<(), Problem> {
    keyed.map_or(Ok(()), |Extension(keyed)| keyed.names(client_id))
}

/// What is known of an order that a request with a key made, when the answer to that request is lost.
pub(super) async fn recalled(state: &HttpState, client_id: &ClientId) -> Answer {
    let name = client_id.as_str();
    if let Some(line) = state.trading.find_order(name) {
        return new_order(state, line.id, name, Instant::now() + ANSWER_TIME_MAX).await;
    }
    match state.phase() {
        Some(TradingPhase::Starting | TradingPhase::Reconciling) => {
            Ok(under_way(name, "reconciling"))
        }
        Some(
            TradingPhase::Off
            | TradingPhase::Ready
            | TradingPhase::Stopping
            | TradingPhase::Stopped,
        )
        | None => Err(Problem::new(
            Code::Conflict,
            "the engine ended while this order was on its way, and it is not open now: look at the trades, then use another Idempotency-Key",
        )
        .with("client_order_id", name)),
    }
}

fn used(id: Option<&ClientId>) -> Problem {
    Problem::new(
        Code::DuplicateClientOrderId,
        "an order with this client_order_id exists already: each is used once, for ever",
    )
    .field("client_order_id")
    .with("client_order_id", id.map(ClientId::as_str))
}

pub(crate) async fn place(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    context: Option<Extension<SpanContext>>,
    keyed: Option<Extension<Keyed>>,
    request: Request,
) -> Answer {
    let who = Who {
        caller: &caller,
        principal: &principal,
        context: context.map(|Extension(context)| context),
    };
    let fields = body::read_fields(request).await?;
    let Wanted { intent, client_id } = wanted(&state, &fields)?;
    state.takes_writes()?;
    state.needs_account()?;
    let client_id = take_id(&state, client_id)?;
    name_order(&state, keyed, &client_id)?;
    let instrument = state.instruments.get(intent.instrument);
    let details = json!({
        "client_order_id": client_id.as_str(),
        "symbol": instrument.symbol.as_str(),
        "side": intent.side.label(),
        "type": intent.kind.label(),
        "time_in_force": intent.time_in_force.label(),
        "qty": instrument.qty(intent.qty).to_string(),
        "price": instrument.price(intent.price).to_string(),
    });
    who.record(&state, "order_requested", details);
    let placed = placed(&state, &who, client_id, intent).await;
    who.record(
        &state,
        "order_answered",
        outcome(client_id.as_str(), &placed),
    );
    placed
}

async fn placed(state: &HttpState, who: &Who<'_>, client_id: ClientId, intent: Intent) -> Answer {
    let until = Instant::now() + ANSWER_TIME_MAX;
    let sent = state.send(who.asked("place_order", Some(client_id)), |token| {
        Command::Place {
            token,
            client_id: Some(client_id),
            intent,
        }
    });
    let token = sent.inspect_err(|_| state.api.client_ids.give_back(&client_id))?;
    let answered = tokio::time::timeout_at(until, state.trading.commands().wait(token)).await;
    let Some(core) = answered.ok().flatten() else {
        return Ok(under_way(client_id.as_str(), "not_answered"));
    };
    if core.result != CommandResult::Done && core.reason != Some(Rejection::DuplicateClientOrderId)
    {
        state.api.client_ids.give_back(&client_id);
    }
    let Some(id) = core.order else {
        return Err(not_done(
            state,
            core.result,
            core.reason,
            client_id.as_str(),
        ));
    };
    state.api.client_ids.number(&client_id, id);
    new_order(state, id, client_id.as_str(), until).await
}

/// What the venue makes of a new order.
async fn new_order(state: &HttpState, id: OrderId, name: &str, until: Instant) -> Answer {
    let answered = state.trading.wait_order(id, OrderLine::is_answered);
    let answered = tokio::time::timeout_at(until, answered).await;
    let Some(line) = answered.ok().flatten() else {
        let known = state.trading.order(id);
        return Ok(under_way(
            name,
            known.map_or("not_answered", |line| line.state.label()),
        ));
    };
    if line.status() == OrderStatus::Rejected {
        return Err(refused_by_venue(&line));
    }
    ok(&Placed {
        ok: true,
        order: OrderBody::new(&line),
    })
}

/// An order that a request made or changed.
#[derive(Serialize)]
pub(super) struct Placed {
    pub(super) ok: bool,
    #[serde(flatten)]
    pub(super) order: OrderBody,
}

/// 202: the request is under way, and this is all that is known.
pub(super) fn under_way(name: &str, state: &'static str) -> axum::response::Response {
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
pub(super) fn venue_refuses(what: &str, refusal: Refusal) -> Problem {
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

fn refused_by_venue(line: &OrderLine) -> Problem {
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
pub(super) fn outcome(client_id: &str, answer: &Answer) -> Value {
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

/// The order that a request means, by the client's id or by ours.
pub(super) fn find(state: &HttpState, fields: &Fields) -> Result<OrderLine, Problem> {
    let name = fields.text("client_order_id")?;
    let line = state.trading.find_order(name).ok_or_else(unknown)?;
    if let Some(symbol) = fields.optional_text("symbol")?
        && !symbol.eq_ignore_ascii_case(line.symbol.as_str())
    {
        return Err(expected("symbol", "the symbol of this order, or none,"));
    }
    Ok(line)
}

fn unknown() -> Problem {
    Problem::new(
        Code::NotFound,
        "no order with this client_order_id is known",
    )
    .field("client_order_id")
}

pub(super) fn over(line: &OrderLine) -> Problem {
    Problem::new(Code::NotOpen, "the order is over")
        .with("client_order_id", line.name())
        .with("order_status", line.status().label())
        .with("executed_qty", Decimal(line.executed))
}

pub(crate) async fn cancel(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    context: Option<Extension<SpanContext>>,
    request: Request,
) -> Answer {
    let who = Who {
        caller: &caller,
        principal: &principal,
        context: context.map(|Extension(context)| context),
    };
    let fields = body::read_fields(request).await?;
    fields.only(&["client_order_id", "symbol"])?;
    state.needs_account()?;
    let line = find(&state, &fields)?;
    let name = line.name();
    who.record(
        &state,
        "cancel_requested",
        json!({ "client_order_id": name, "symbol": line.symbol.as_str() }),
    );
    let cancelled = cancelled(&state, &who, &line).await;
    who.record(&state, "cancel_answered", outcome(&name, &cancelled));
    cancelled
}

async fn cancelled(state: &HttpState, who: &Who<'_>, line: &OrderLine) -> Answer {
    let name = line.name();
    if line.is_done() {
        return Err(over(line));
    }
    let until = Instant::now() + ANSWER_TIME_MAX;
    let token = state.send(who.asked("cancel_order", line.client_id), |token| {
        Command::Cancel {
            token,
            order: OrderRef::Id(line.id),
        }
    })?;
    let answered = tokio::time::timeout_at(until, state.trading.commands().wait(token)).await;
    if let Some(core) = answered.ok().flatten() {
        match core.result {
            // A cancel that is under way already is as good.
            CommandResult::Done | CommandResult::NotOpen => {}
            CommandResult::Rejected
            | CommandResult::UnknownOrder
            | CommandResult::NotTrading
            | CommandResult::InvalidValue
            | CommandResult::Full => return Err(not_done(state, core.result, core.reason, &name)),
        }
    }
    let before = line.refusals;
    let refused = |now: &OrderLine| {
        now.refusal
            .filter(|refusal| refusal.request == OrderRequest::Cancel && now.refusals != before)
    };
    let ended = state
        .trading
        .wait_order(line.id, |now| now.is_done() || refused(now).is_some());
    let ended = tokio::time::timeout_at(until, ended).await;
    let Some(now) = ended.ok().flatten() else {
        let known = state.trading.order(line.id);
        return Ok(under_way(
            &name,
            known.map_or("not_answered", |line| line.state.label()),
        ));
    };
    match (now.status(), refused(&now)) {
        (OrderStatus::Cancelled, _) => ok(&Placed {
            ok: true,
            order: OrderBody::new(&now),
        }),
        (_, Some(refusal)) if !now.is_done() => {
            Err(venue_refuses("cancel", refusal).with("client_order_id", name))
        }
        (_, _) => Err(over(&now)),
    }
}

pub(crate) async fn cancel_all(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    context: Option<Extension<SpanContext>>,
    request: Request,
) -> Answer {
    let who = Who {
        caller: &caller,
        principal: &principal,
        context: context.map(|Extension(context)| context),
    };
    let fields = body::read_optional_fields(request).await?;
    fields.only(&["symbol"])?;
    let instrument = fields
        .optional_text("symbol")?
        .map(|symbol| state.instrument("symbol", symbol))
        .transpose()?;
    let only = instrument.map(|(index, _)| index);
    state.needs_account()?;
    let symbol = instrument.map(|(_, instrument)| instrument.symbol.as_str());
    who.record(&state, "cancel_all_requested", json!({ "symbol": symbol }));
    let until = Instant::now() + ANSWER_TIME_MAX;
    let meant = open(&state, only);
    let token = state.send(who.asked("cancel_all", None), |token| Command::CancelAll {
        token,
        instrument: only,
    })?;
    let core = state.answer_to(token).await?;
    if core.result != CommandResult::Done {
        return Err(not_done(&state, core.result, core.reason, ""));
    }
    for line in &meant {
        let ended = state.trading.wait_order(line.id, OrderLine::is_done);
        if tokio::time::timeout_at(until, ended).await.is_err() {
            break;
        }
    }
    let left: Vec<String> = meant
        .iter()
        .filter_map(|line| state.trading.order(line.id))
        .filter(|line| !line.is_done())
        .map(|line| line.name())
        .collect();
    let status = if left.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let body = json!({ "ok": true, "orders": meant.len(), "not_confirmed": left });
    Ok(answer(status, &body))
}

fn open(state: &HttpState, only: Option<InstrumentIndex>) -> Vec<OrderLine> {
    state.trading.orders(usize::MAX, |line| {
        !line.is_done() && only.is_none_or(|index| line.instrument == index)
    })
}

pub(crate) async fn cancel_replace(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    context: Option<Extension<SpanContext>>,
    keyed: Option<Extension<Keyed>>,
    request: Request,
) -> Answer {
    let who = Who {
        caller: &caller,
        principal: &principal,
        context: context.map(|Extension(context)| context),
    };
    let fields = body::read_fields(request).await?;
    fields.only(&[
        "client_order_id",
        "new_client_order_id",
        "symbol",
        "price",
        "qty",
    ])?;
    let new_id = client_id(&fields, "new_client_order_id")?;
    state.takes_writes()?;
    state.needs_account()?;
    let old = find(&state, &fields)?;
    let instrument = state.instruments.get(old.instrument);
    let price = number::price(&fields, "price", instrument)?
        .ok_or_else(|| expected("price", "a number"))?;
    let qty = number::qty(&fields, "qty", instrument)?;
    if old.is_done() {
        return Err(over(&old));
    }
    let new_id = take_id(&state, new_id)?;
    name_order(&state, keyed, &new_id)?;
    let details = json!({
        "client_order_id": old.name(),
        "new_client_order_id": new_id.as_str(),
        "symbol": old.symbol.as_str(),
        "qty": instrument.qty(qty).to_string(),
        "price": instrument.price(price).to_string(),
    });
    who.record(&state, "replace_requested", details);
    let replaced = replaced(&state, &who, &old, new_id, price, qty).await;
    who.record(
        &state,
        "replace_answered",
        outcome(new_id.as_str(), &replaced),
    );
    replaced
}

async fn replaced(
    state: &HttpState,
    who: &Who<'_>,
    old: &OrderLine,
    new_id: ClientId,
    price: Ticks,
    qty: Lots,
) -> Answer {
    let until = Instant::now() + ANSWER_TIME_MAX;
    let sent = state.send(who.asked("replace_order", Some(new_id)), |token| {
        Command::Replace {
            token,
            order: OrderRef::Id(old.id),
            client_id: Some(new_id),
            price,
            qty,
        }
    });
    let token = sent.inspect_err(|_| state.api.client_ids.give_back(&new_id))?;
    let answered = tokio::time::timeout_at(until, state.trading.commands().wait(token)).await;
    let Some(core) = answered.ok().flatten() else {
        return Ok(under_way(new_id.as_str(), "not_answered"));
    };
    if core.result != CommandResult::Done && core.reason != Some(Rejection::DuplicateClientOrderId)
    {
        state.api.client_ids.give_back(&new_id);
    }
    let Some(id) = core.order else {
        return Err(not_done(state, core.result, core.reason, new_id.as_str()));
    };
    state.api.client_ids.number(&new_id, id);
    new_order(state, id, new_id.as_str(), until).await
}

/// `GET /api/orders`: what happened to orders.
pub(crate) async fn events(State(state): State<Arc<HttpState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let limit = query.whole("limit", 1..=LIMIT_MAX, LIMIT_DEFAULT)?;
    let events = state.trading.order_events();
    let newest = &events[events.len().saturating_sub(limit)..];
    let items: Vec<EventBody> = newest.iter().map(EventBody::new).collect();
    ok(&Items { items })
}

#[derive(Serialize)]
struct Items<T> {
    items: Vec<T>,
}

/// `order_update` of the stream, as a list has it.
#[derive(Serialize)]
struct EventBody {
    r#type: &'static str,
    ts_ns: i64,
    client_order_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    venue_order_id: Option<String>,
    status: &'static str,
    symbol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
    qty: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Decimal>,
    executed_qty: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl EventBody {
    fn new(event: &OrderEvent) -> Self {
        Self {
            r#type: "order_update",
            ts_ns: event.ts_ns,
            client_order_id: event.name(),
            venue_order_id: event.venue_order_id.map(|id| id.to_string()),
            status: event.status.label(),
            symbol: event.symbol.as_str().to_owned(),
            side: event.side.map(Side::label),
            qty: Decimal(event.qty),
            price: event.price.map(Decimal),
            executed_qty: Decimal(event.executed),
            reason: event.reason.map(|reason| reason.to_string()),
        }
    }
}

/// `GET /api/orders_state`: orders as they stand, newest first.
pub(crate) async fn states(State(state): State<Arc<HttpState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let limit = query.whole("limit", 1..=LIMIT_MAX, LIMIT_DEFAULT)?;
    let only = query
        .get("symbol")
        .map(|symbol| state.instrument("symbol", symbol).map(|(index, _)| index))
        .transpose()?;
    let open_only = match query.given("open") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(expected("open", "true or false")),
    };
    let lines = state.trading.orders(limit, |line| {
        only.is_none_or(|index| line.instrument == index) && !(open_only && line.is_done())
    });
    let items: Vec<OrderBody> = lines.iter().map(OrderBody::new).collect();
    ok(&Items { items })
}

/// `GET /api/order_state`: one of them.
pub(crate) async fn one(State(state): State<Arc<HttpState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let name = query.text("client_order_id")?;
    let line = state.trading.find_order(name).ok_or_else(unknown)?;
    ok(&OrderBody::new(&line))
}

#[derive(Serialize)]
struct TradeBody {
    ts_ns: i64,
    client_order_id: String,
    order_id: String,
    symbol: String,
    side: &'static str,
    price: Decimal,
    qty: Decimal,
    fee: Decimal,
    fee_asset: String,
    trade_id: u64,
    is_maker: bool,
}

#[derive(Serialize)]
struct Trades {
    trades: Vec<TradeBody>,
}

/// `GET /api/trades`: our fills, newest first.
pub(crate) async fn trades(State(state): State<Arc<HttpState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let limit = query.whole("limit", 1..=LIMIT_MAX, LIMIT_DEFAULT)?;
    let only = query
        .get("symbol")
        .map(|symbol| state.instrument("symbol", symbol).map(|(index, _)| index))
        .transpose()?;
    let fills = state.trading.fills(limit, |fill| {
        only.is_none_or(|index| fill.instrument == index)
    });
    let assets = veloz_core::venue::binance::assets(&state.instruments);
    let trades = fills
        .iter()
        .map(|fill| TradeBody {
            ts_ns: fill.ts_ns,
            client_order_id: fill.name(),
            order_id: fill.order.to_string(),
            symbol: fill.symbol.as_str().to_owned(),
            side: fill.side.label(),
            price: Decimal(fill.price),
            qty: Decimal(fill.qty),
            fee: Decimal(fill.fee),
            fee_asset: assets.get(fill.fee_asset).as_str().to_owned(),
            trade_id: fill.trade_id,
            is_maker: fill.is_maker,
        })
        .collect();
    ok(&Trades { trades })
}
