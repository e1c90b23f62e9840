//! What answers about trading look like: markets, orders, the account, limits.
//!
//! Owns: those schemas. Invariants: as for all of `openapi/answers.rs`; prices, quantities and amounts are decimals.

use super::ok;
use crate::api::openapi::shape::{
    count, decimal, decimal_text, just, list_of, map_of, named, object, object_with, one_of,
    or_null, text, time, truth, unix_ns,
};
use crate::trading::OrderStatus;
use serde_json::{Value, json};
use veloz_core::order::{DoneReason, OrderKind, OrderState, Origin, Side, TimeInForce};
use veloz_core::risk::{Limit, Rejection, Scope};
use veloz_core::telemetry::records::BookState;

/// A word of an order's state.
fn order_state() -> Vec<&'static str> {
    [
        OrderState::Admitted,
        OrderState::Sent,
        OrderState::Live,
        OrderState::PartiallyFilled,
        OrderState::CancelSent,
        OrderState::ReplaceSent,
        OrderState::Unresolved,
    ]
    .into_iter()
    .chain(DoneReason::ALL.map(OrderState::Done))
    .map(OrderState::label)
    .collect()
}

pub(super) fn market() -> Value {
    let maybe = or_null(&decimal());
    let level = json!({ "type": "array", "items": decimal(), "minItems": 2, "maxItems": 2 });
    json!({
        "Market": object(json!({
            "symbol": text(),
            "price": maybe,
            "ts_ns": or_null(&unix_ns()),
            "best_bid": maybe,
            "best_bid_qty": maybe,
            "best_ask": maybe,
            "best_ask_qty": maybe,
            "book": or_null(&one_of(BookState::ALL.map(BookState::label))),
        })),
        "Book": object(json!({
            "symbol": text(),
            "last_update_id": count(),
            "ts_ns": unix_ns(),
            "bids": list_of(&level),
            "asks": list_of(&level),
        })),
        "Events": {
            "type": "string",
            "description": "Server-sent events: `id`, `event` and `data` with one JSON object; a comment keeps the connection alive",
        },
    })
}

pub(super) fn orders() -> Value {
    let side = one_of(Side::ALL.map(Side::label));
    let status = one_of(OrderStatus::ALL.map(OrderStatus::label));
    let order = json!({
        "client_order_id": text(),
        "symbol": text(),
        "side": or_null(&side),
        "order_type": or_null(&one_of(OrderKind::ALL.map(OrderKind::label))),
        "order_qty": decimal(),
        "limit_price": or_null(&decimal()),
        "status": status,
        "reason": text(),
        "executed_qty": decimal(),
        "avg_price": or_null(&decimal()),
        "last_ts_ns": unix_ns(),
        "order_id": text(),
        "time_in_force": or_null(&one_of(TimeInForce::ALL.map(TimeInForce::label))),
        "state": one_of(order_state()),
        "origin": or_null(&one_of(Origin::ALL.map(Origin::label))),
        "created_ts_ns": unix_ns(),
    });
    let known_later = json!({ "venue_order_id": text() });
    let mut done = order.clone();
    done["ok"] = ok();
    let on_its_way = order_state()
        .into_iter()
        .chain(["not_answered", "reconciling"]);
    json!({
        "Order": object_with(order, known_later.clone()),
        "OrderDone": object_with(done, known_later),
        "Orders": object(json!({ "items": list_of(&named("Order")) })),
        "UnderWay": object(json!({
            "ok": ok(),
            "client_order_id": text(),
            "status": just(OrderStatus::Pending.label()),
            "state": one_of(on_its_way),
            "message": text(),
        })),
        "CancelledAll": object(json!({
            "ok": ok(), "orders": count(), "not_confirmed": list_of(&text()),
        })),
        "OrderEvents": object(json!({
            "items": list_of(&object_with(
                json!({
                    "type": just("order_update"),
                    "ts_ns": unix_ns(),
                    "client_order_id": text(),
                    "status": status,
                    "symbol": text(),
                    "qty": decimal(),
                    "executed_qty": decimal(),
                }),
                json!({ "venue_order_id": text(), "side": side, "price": decimal(), "reason": text() }),
            )),
        })),
        "Trades": object(json!({
            "trades": list_of(&object(json!({
                "ts_ns": unix_ns(),
                "client_order_id": text(),
                "order_id": text(),
                "symbol": text(),
                "side": side,
                "price": decimal(),
                "qty": decimal(),
                "fee": decimal(),
                "fee_asset": text(),
                "trade_id": count(),
                "is_maker": truth(),
            }))),
        })),
    })
}

pub(super) fn account() -> Value {
    let maybe = or_null(&decimal());
    let strategy = json!({
        "id": text(),
        "name": text(),
        "type": text(),
        "state": one_of(["Running", "Stopped"]),
        "pnl": maybe,
        "trade_count": count(),
    });
    let figure = |of: &str| json!({ "type": ["number", "null"], "description": of });
    let counted = |of: &str| {
        let mut schema = count();
        schema["description"] = of.into();
        schema
    };
    let mut detail = strategy.clone();
    for (name, schema) in [
        ("is_running", truth()),
        (
            "max_drawdown",
            figure("Of the account's equity in this run, as a fraction"),
        ),
        (
            "win_count",
            counted(
                "Fills of the strategy's own orders in this run that closed with a gain before fees",
            ),
        ),
        (
            "lose_count",
            counted(
                "Fills of the strategy's own orders in this run that closed with a loss before fees",
            ),
        ),
        (
            "win_rate",
            figure(
                "`win_count` of `win_count` and `lose_count` together; null when there are none",
            ),
        ),
        (
            "profit_factor",
            figure("Of the account's periods: gains over losses"),
        ),
    ] {
        detail[name] = schema;
    }
    let mut described = object(detail);
    described["description"] =
        "Wins and losses are the strategy's alone; result, drawdown and profit factor are the account's. What is not defined yet is null"
            .into();
    json!({
        "Account": object(json!({
            "ts_ns": or_null(&unix_ns()),
            "balances": list_of(&object(json!({
                "asset": text(), "free": decimal(), "locked": decimal(),
            }))),
            "equity": maybe,
            "equity_change_day": maybe,
            "realized_pnl": decimal(),
            "unrealized_pnl": decimal(),
            "drawdown_bps": { "type": "integer" },
        })),
        "Position": object(json!({
            "symbol": text(),
            "venue": text(),
            "side": one_of(["LONG", "SHORT", "FLAT"]),
            "qty": decimal(),
            "avg_entry_price": maybe,
            "current_price": maybe,
            "unrealized_pnl": maybe,
            "realized_pnl": decimal(),
            "notional": maybe,
            "last_update_ts_ns": or_null(&unix_ns()),
        })),
        "Positions": object(json!({ "positions": list_of(&named("Position")) })),
        "Strategies": object(json!({ "strategies": list_of(&object(strategy)) })),
        "StrategyDetail": described,
    })
}

pub(super) fn limits() -> Value {
    let whole = json!({ "type": ["integer", "null"], "minimum": 0 });
    let amount = or_null(&decimal_text());
    let change = object_with(
        json!({}),
        json!({ "global": named("GlobalLimits"), "instruments": map_of(&named("InstrumentLimits")) }),
    );
    json!({
        "GlobalLimits": object(json!({
            "open_orders_max": whole,
            "orders_per_second_max": whole,
            "leverage_max_percent": whole,
            "concentration_max_percent": whole,
            "concentration_from": decimal_text(),
            "daily_loss_max": amount,
            "drawdown_max_bps": whole,
            "market_data_age_max_ms": whole,
            "clock_offset_max_ms": whole,
        })),
        "InstrumentLimits": object(json!({
            "order_qty_max": amount,
            "order_notional_max": amount,
            "position_max": amount,
            "open_orders_max": whole,
            "price_collar_bps": whole,
        })),
        "Limits": object(json!({
            "global": named("GlobalLimits"),
            "instruments": map_of(&named("InstrumentLimits")),
            "proposals": list_of(&object(json!({
                "proposal_id": count(),
                "proposed_by": text(),
                "proposed_at": time(),
                "expires_at": time(),
                "current": truth(),
                "change": change,
            }))),
        })),
        "LimitsMade": object(json!({ "ok": ok(), "applied": just(true), "changed": truth() })),
        "LimitsProposed": object(json!({
            "ok": ok(),
            "applied": just(false),
            "proposal_id": count(),
            "expires_at": time(),
            "message": text(),
        })),
        "LimitsApproved": object(json!({ "ok": ok(), "applied": just(true), "proposal_id": count() })),
        "LimitsWithdrawn": object(json!({ "ok": ok(), "proposal_id": count() })),
        "Utilization": object(json!({
            "highest_percent": { "type": "number" },
            "instruments": list_of(&object(json!({
                "symbol": text(),
                "highest_percent": { "type": "number" },
                "limits": list_of(&object(json!({
                    "limit": one_of(Limit::ALL.map(Limit::label)),
                    "scope": one_of(Scope::ALL.map(Scope::label)),
                    "reason": one_of(Rejection::ALL.map(Rejection::label)),
                    "used": or_null(&decimal()),
                    "max": or_null(&decimal()),
                    "percent": { "type": ["number", "null"] },
                }))),
            }))),
        })),
    })
}
