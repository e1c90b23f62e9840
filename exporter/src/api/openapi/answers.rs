//! What answers look like.
//!
//! Owns: [`schemas`]. Does not: make an answer; the handlers do. Invariants: objects are closed; words of a closed set
//! are read from the set's own table.

use super::super::settings;
use super::shape::{
    count, decimal, decimal_text, just, like, list_of, map_of, named, object, object_with, one_of,
    or_null, text, time, truth, unix_ns,
};
use crate::audit::record::LogType;
use crate::auth::permission::{Permission, Role};
use crate::trading::OrderStatus;
use serde_json::{Map, Value, json};
use veloz_core::order::{DoneReason, OrderKind, OrderState, Origin, Side, TimeInForce};
use veloz_core::risk::{Limit, Rejection, Scope, TradingState};
use veloz_core::telemetry::histograms::Stage;
use veloz_core::telemetry::records::{BookState, HaltCause, TradingPhase};

/// Every schema of an answer, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut all = Map::new();
    for group in [
        health(),
        identities(),
        audit(),
        engine(),
        market(),
        orders(),
        account(),
        limits(),
        administration(),
    ] {
        let Value::Object(group) = group else {
            unreachable!("schemas have names");
        };
        for (name, schema) in group {
            let before = all.insert(name, schema);
            assert!(before.is_none(), "a name stands for one schema");
        }
    }
    all
}

fn ok() -> Value {
    just(true)
}

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

fn health() -> Value {
    let components = object_with(
        json!({ "engine": text(), "websocket": text(), "books": text() }),
        json!({ "user_stream": text(), "trading": text(), "clock": text(), "database": text() }),
    );
    let names = [
        "engine",
        "websocket",
        "books",
        "user_stream",
        "trading",
        "clock",
        "database",
    ];
    json!({
        "Metrics": {
            "type": "string",
            "description": "One line a series, in the text format of Prometheus or in OpenMetrics",
        },
        "Health": object(json!({ "ok": ok(), "version": text() })),
        "Alive": object(json!({ "ok": ok() })),
        "NotStarted": object(json!({ "ok": just(false), "message": text() })),
        "ApiHealth": object(json!({
            "ok": truth(),
            "components": components,
            "uptime_seconds": count(),
            "version": text(),
            "engine": object(json!({ "connected": truth() })),
        })),
        "Ready": object(json!({
            "ok": ok(), "components": components, "uptime_seconds": count(), "version": text(),
        })),
        "NotReady": object(json!({
            "ok": just(false),
            "components": components,
            "uptime_seconds": count(),
            "version": text(),
            "failing": { "type": "array", "items": one_of(names), "minItems": 1 },
        })),
    })
}

fn identities() -> Value {
    let roles = list_of(&one_of(Role::ALL.map(Role::label)));
    let counts: Map<String, Value> = Role::ALL
        .map(|role| (role.label().to_owned(), count()))
        .into_iter()
        .collect();
    let key_id = json!({ "type": "string", "pattern": "^vk_[0-9a-f]{16}$" });
    json!({
        "Tokens": object(json!({
            "access_token": text(),
            "refresh_token": text(),
            "token_type": just("Bearer"),
            "expires_in": count(),
        })),
        "Done": object(json!({ "ok": ok(), "message": text() })),
        "Ticket": object(json!({ "ticket": text(), "expires_in": count() })),
        "Keys": object(json!({ "keys": list_of(&named("Key")) })),
        "Key": object(json!({
            "key_id": key_id,
            "user_id": text(),
            "name": text(),
            "created_at": time(),
            "last_used_at": or_null(&time()),
            "expires_at": or_null(&time()),
            "revoked": truth(),
            "permissions": list_of(&one_of(Permission::ALL.map(Permission::label))),
            "allowed_ips": list_of(&text()),
            "rate_limit": or_null(&object(json!({
                "capacity": { "type": "integer", "minimum": 1 },
                "refill": { "type": "number", "exclusiveMinimum": 0 },
            }))),
        })),
        "KeyMade": object(json!({
            "key_id": key_id,
            "api_key": { "type": "string", "pattern": "^veloz_[0-9a-f]{64}$" },
            "message": text(),
        })),
        "KeyRevoked": object(json!({ "ok": ok(), "key_id": key_id })),
        "RolesOfUsers": object(json!({
            "users": map_of(&roles),
            "metrics": object(json!({ "total_users": count(), "role_counts": object(counts.into()) })),
            "available_roles": roles,
        })),
        "RolesGiven": object(json!({ "ok": ok(), "user_id": text(), "roles": roles })),
        "RolesTaken": object(json!({ "ok": ok(), "user_id": text(), "removed_roles": roles })),
    })
}

fn audit() -> Value {
    let of_each_type = |value: &Value| -> Value {
        LogType::ALL
            .map(|log_type| (log_type.label().to_owned(), value.clone()))
            .into_iter()
            .collect::<Map<_, _>>()
            .into()
    };
    let hash = json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    json!({
        "AuditPage": object(json!({
            "logs": list_of(&named("AuditRecord")),
            "total": count(),
            "limit": { "type": "integer", "minimum": 1 },
            "offset": count(),
            "has_more": truth(),
        })),
        "AuditRecord": object(json!({
            "timestamp": { "type": "number", "minimum": 0, "description": "Unix seconds" },
            "datetime": time(),
            "log_type": one_of(LogType::ALL.map(LogType::label)),
            "action": text(),
            "user_id": text(),
            "ip_address": or_null(&text()),
            "details": { "type": "object", "description": "What else there is to say; its names go with the action" },
            "request_id": text(),
            "seq": { "type": "integer", "minimum": 1 },
            "prev": hash,
            "hash": hash,
        })),
        "AuditStats": object(json!({
            "status": one_of(["active", "failing"]),
            "policies": object(of_each_type(&object(json!({
                "retention_days": count(),
                "archive_before_delete": truth(),
                "max_file_size_mb": count(),
            })))),
            "log_files": object(of_each_type(&object(json!({ "count": count(), "size_bytes": count() })))),
            "archive_files": count(),
            "total_size_bytes": count(),
            "archive_size_bytes": count(),
        })),
        "AuditArchived": object(json!({
            "ok": ok(),
            "stats": object(json!({
                "archived_files": count(),
                "deleted_files": count(),
                "bytes_freed": count(),
                "errors": list_of(&text()),
            })),
        })),
    })
}

fn engine() -> Value {
    let state = one_of(TradingState::ALL.map(TradingState::label));
    let cause = or_null(&one_of(HaltCause::ALL.map(HaltCause::label)));
    let phase = one_of(TradingPhase::ALL.map(TradingPhase::label));
    let quantiles = or_null(&object(json!({
        "count": { "type": "integer", "minimum": 1 },
        "p50_ns": count(), "p90_ns": count(), "p99_ns": count(), "p999_ns": count(), "max_ns": count(),
    })));
    json!({
        "Config": object(json!({
            "market_source": one_of(["sim", "binance_rest"]),
            "market_symbol": text(),
            "binance_base_url": or_null(&text()),
            "execution_mode": one_of(["sim_engine", "binance_testnet_spot", "binance_spot"]),
            "binance_trade_enabled": truth(),
            "binance_trade_base_url": or_null(&text()),
            "binance_user_stream_connected": truth(),
            "auth_enabled": truth(),
            "audit_enabled": truth(),
            "symbols": list_of(&text()),
        })),
        "Status": object(json!({
            "state": one_of(["Starting", "Running", "Stopping", "Stopped"]),
            "uptime_ms": count(),
            "strategies_loaded": count(),
            "strategies_running": count(),
            "trading": or_null(&object(json!({
                "phase": phase,
                "state": state,
                "state_cause": cause,
                "kill_switch": truth(),
                "kill_switch_cause": cause,
                "open_orders": count(),
                "unresolved_orders": count(),
            }))),
            "read_only": truth(),
            "maintenance": truth(),
            "version": text(),
        })),
        "Ping": object(json!({
            "ok": ok(),
            "result": object(json!({
                "phase": phase,
                "venue_clock_offset_ms": { "type": ["number", "null"] },
            })),
        })),
        "Operated": object(json!({
            "ok": ok(),
            "message": text(),
            "trading_state": or_null(&state),
            "kill_switch": or_null(&truth()),
        })),
        "Latencies": object(json!({
            "stages": list_of(&object(json!({
                "stage": one_of(Stage::ALL.map(Stage::label)),
                "last_second": quantiles,
                "since_start": quantiles,
            }))),
        })),
    })
}

fn market() -> Value {
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

fn orders() -> Value {
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

fn account() -> Value {
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

fn limits() -> Value {
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

fn administration() -> Value {
    let exchange = just("binance");
    let level = one_of(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]);
    let tested = json!({
        "oneOf": [
            object(json!({
                "ok": just(true), "success": just(true), "exchange": exchange,
                "permissions": list_of(&text()), "latencyMs": count(),
            })),
            object(json!({
                "ok": just(false), "success": just(false), "exchange": exchange,
                "error": just("invalid_api_key"), "message": text(), "latencyMs": count(),
            })),
        ],
    });
    let settings = object(json!({ "settings": named("SettingsNow") }));
    json!({
        "SettingsNow": settings_now(),
        "Settings": settings,
        "SettingsSaved": object(json!({ "ok": ok(), "settings": named("SettingsNow") })),
        "SettingsExport": object(json!({
            "version": just("1.0"),
            "exported_at": time(),
            "settings": named("SettingsNow"),
            "exchange_keys": list_of(&object(json!({ "exchange": exchange, "name": text() }))),
        })),
        "SettingsImported": object(json!({
            "ok": ok(),
            "imported": object(json!({ "settings": just(true), "exchange_keys": just(false) })),
        })),
        "ConfigSaved": object(json!({ "ok": ok(), "message": text(), "config_file": text() })),
        "ExchangeKeys": object(json!({
            "keys": list_of(&object(json!({
                "exchange": exchange,
                "name": text(),
                "created_at": time(),
                "has_secret": just(true),
                "permissions": list_of(&text()),
            }))),
        })),
        "ExchangeKeyKept": object(json!({
            "ok": ok(), "exchange": exchange, "name": text(), "keyId": exchange, "message": text(),
        })),
        "ExchangeKeyRemoved": object(json!({ "ok": ok(), "exchange": exchange })),
        "ExchangeKeyTested": tested,
        "LogLevelNow": object(json!({ "level": level })),
        "LogLevelSet": object(json!({ "ok": ok(), "level": level, "before": level })),
        "MaintenanceNow": object(json!({ "ok": ok(), "maintenance": truth() })),
        "ReadOnlyNow": object(json!({ "ok": ok(), "read_only": truth() })),
        "Description": {
            "type": "object",
            "description": "This document",
            "required": ["openapi", "info", "paths", "components", "x-not-served"],
            "properties": { "openapi": just("3.1.0") },
        },
    })
}

/// What the process is, and the sections that are kept, with the names and types of their defaults.
fn settings_now() -> Value {
    let mut members = json!({
        "market_source": one_of(["sim", "binance_rest"]),
        "market_symbol": text(),
        "execution_mode": one_of(["sim_engine", "binance_testnet_spot", "binance_spot"]),
        "auth_enabled": truth(),
        "audit_enabled": truth(),
    });
    for (name, section) in settings::defaults() {
        members[name] = like(&section);
    }
    object(members)
}
