//! What answers look like.
//!
//! Owns: [`schemas`]. Does not: make an answer; the handlers do. Invariants: objects are closed; words of a closed set
//! are read from the set's own table. Those about trading are in `openapi/answers/trading.rs`.

mod trading;

use super::super::settings;
use super::shape::{
    count, just, like, list_of, map_of, named, object, object_with, one_of, or_null, text, time,
    truth,
};
use crate::audit::record::LogType;
use crate::auth::permission::{Permission, Role};
use serde_json::{Map, Value, json};
use veloz_core::risk::TradingState;
use veloz_core::telemetry::histograms::Stage;
use veloz_core::telemetry::records::{HaltCause, TradingPhase};

/// Every schema of an answer, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut all = Map::new();
    for group in [
        health(),
        identities(),
        audit(),
        engine(),
        trading::market(),
        trading::orders(),
        trading::account(),
        trading::limits(),
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
