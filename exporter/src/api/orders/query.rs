//! What is known of orders: how they stand, what happened to them, and our fills.
//!
//! Owns: the handlers of `/api/orders`, `/api/orders_state`, `/api/order_state` and `/api/trades`. Does not: ask the core
//! or the venue for anything. Invariant: an answer holds at most [`LIMIT_MAX`] entries, the newest ones.

use super::outcomes::unknown;
use crate::api::answer::{Answer, OrderBody, ok};
use crate::http::HttpState;
use crate::http::body::expected;
use crate::http::query::Query;
use crate::stream::event::Decimal;
use crate::trading::OrderEvent;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use std::sync::Arc;
use veloz_core::order::Side;

/// Orders, events or trades of one answer.
const LIMIT_MAX: usize = 1_000;
/// The same, when nothing is said; what existing clients expect.
const LIMIT_DEFAULT: usize = 200;

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
