//! `/api/order*`, `/api/cancel*`, `/api/trades`: what is asked of orders, and what is known of them.
//!
//! Owns: [`Who`], the handlers that place, cancel and replace. Does not: decide whether an order is sound beyond its form
//! (risk does, in the core).
//! Invariants: an answer says what is known: taken or refused by the venue, or, once [`ANSWER_TIME_MAX`] has
//! passed, 202 with the state; never a guess. A client's id is taken before its order goes to the core and given back only when the
//! core says that there is no order.
//!
//! | module | what |
//! | --- | --- |
//! | `orders/terms.rs` | what an order is to be, as a request says it |
//! | `orders/outcomes.rs` | what came of a request, as answers and records say it |
//! | `orders/query.rs` | orders as they stand, what happened to them, fills |

mod outcomes;
mod query;
mod terms;

pub(crate) use outcomes::not_done;
pub(super) use outcomes::{Placed, outcome, over, under_way, venue_refuses};
pub(crate) use query::{events, one, states, trades};

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
use crate::trading::{Asked, OrderLine, OrderStatus};
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use opentelemetry::trace::SpanContext;
use outcomes::{refused_by_venue, unknown, used};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use terms::{Wanted, client_id, wanted};
use tokio::time::Instant;
use veloz_core::event::{Command, OrderRef};
use veloz_core::instrument::InstrumentIndex;
use veloz_core::order::{ClientId, Intent, OrderId};
use veloz_core::risk::Rejection;
use veloz_core::telemetry::records::{CommandResult, OrderRequest, TradingPhase};
use veloz_core::units::{Lots, Ticks};

/// How long an answer waits for the venue's: the median is below a tenth of a second. Then it is 202 with the state.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

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
