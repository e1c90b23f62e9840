//! `/api/amend`: an order made smaller, which keeps its place in the queue.
//!
//! Owns: the handler. Does not: change a price, or make an order larger: that is a new order (`/api/cancel-replace`).
//! Invariants: it only ever lessens what may trade, so it passes while the API is read-only, as cancels do; an answer says
//! what is known, as those of `api/orders.rs` do.

use super::answer::{Answer, OrderBody, ok};
use super::idempotency::Keyed;
use super::number;
use super::orders::{
    ANSWER_TIME_MAX, Placed, Who, find, name_request, not_done, outcome, over, under_way,
    venue_refuses,
};
use crate::auth::Principal;
use crate::http::HttpState;
use crate::http::body::{self, expected};
use crate::http::exchange::Caller;
use crate::http::problem::Problem;
use crate::stream::event::Decimal;
use crate::trading::OrderLine;
use axum::Extension;
use axum::extract::{Request, State};
use opentelemetry::trace::SpanContext;
use serde_json::json;
use std::sync::Arc;
use tokio::time::Instant;
use veloz_core::event::{Command, OrderRef};
use veloz_core::order::OrderState;
use veloz_core::telemetry::records::{CommandResult, OrderRequest};
use veloz_core::units::{E8, Lots};

/// `POST /api/amend`.
pub(crate) async fn amend(
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
    fields.only(&["client_order_id", "symbol", "qty"])?;
    state.needs_account()?;
    let line = find(&state, &fields)?;
    let instrument = state.instruments.get(line.instrument);
    let qty = number::qty(&fields, "qty", instrument)?;
    if line.is_done() {
        return Err(over(&line));
    }
    let wanted = instrument.qty(qty);
    if wanted >= line.qty || wanted <= line.executed {
        return Err(not_smaller(&line));
    }
    if let Some(client_id) = &line.client_id {
        name_request(keyed, client_id)?;
    }
    let details = json!({
        "client_order_id": line.name(),
        "symbol": line.symbol.as_str(),
        "qty": wanted.to_string(),
        "qty_before": line.qty.to_string(),
    });
    who.record(&state, "amend_requested", details);
    let amended = amended(&state, &who, &line, qty, wanted).await;
    who.record(&state, "amend_answered", outcome(&line.name(), &amended));
    amended
}

fn not_smaller(line: &OrderLine) -> Problem {
    expected(
        "qty",
        "a number below the order's own and above what traded",
    )
    .with("client_order_id", line.name())
    .with("order_qty", Decimal(line.qty))
    .with("executed_qty", Decimal(line.executed))
}

async fn amended(
    state: &HttpState,
    who: &Who<'_>,
    line: &OrderLine,
    qty: Lots,
    wanted: E8,
) -> Answer {
    let name = line.name();
    let until = Instant::now() + ANSWER_TIME_MAX;
    let before = line.refusals;
    let token = state.send(who.asked("amend_order", line.client_id), |token| {
        Command::Amend {
            token,
            order: OrderRef::Id(line.id),
            qty,
        }
    })?;
    let answered = tokio::time::timeout_at(until, state.trading.commands().wait(token)).await;
    let Some(core) = answered.ok().flatten() else {
        return Ok(under_way(&name, "not_answered"));
    };
    match core.result {
        CommandResult::Done => {}
        // It traded, or became smaller, since the handler looked.
        CommandResult::InvalidValue => {
            return Err(not_smaller(&state.trading.order(line.id).unwrap_or(*line)));
        }
        CommandResult::Rejected
        | CommandResult::UnknownOrder
        | CommandResult::NotOpen
        | CommandResult::NotTrading
        | CommandResult::Full => return Err(not_done(state, core.result, core.reason, &name)),
    }
    let refused = |now: &OrderLine| {
        now.refusal
            .filter(|refusal| refusal.request == OrderRequest::Amend && now.refusals != before)
    };
    // A refusal is told before the state that follows from it.
    let settled = |now: &OrderLine| {
        let waits = matches!(now.state, OrderState::ReplaceSent | OrderState::Unresolved);
        now.is_done() || now.qty == wanted || (refused(now).is_some() && !waits)
    };
    let settled = state.trading.wait_order(line.id, settled);
    let settled = tokio::time::timeout_at(until, settled).await;
    let Some(now) = settled.ok().flatten() else {
        let known = state.trading.order(line.id);
        return Ok(under_way(
            &name,
            known.map_or("not_answered", |line| line.state.label()),
        ));
    };
    if now.qty == wanted {
        return ok(&Placed {
            ok: true,
            order: OrderBody::new(&now),
        });
    }
    match refused(&now) {
        Some(refusal) if !now.is_done() => {
            Err(venue_refuses("amend", refusal).with("client_order_id", name))
        }
        Some(_) | None => Err(over(&now)),
    }
}
