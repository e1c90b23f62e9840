//! What requests may hold.
//!
//! Owns: [`parameter`], [`schemas`] of bodies, [`FORMS`]. Does not: check a request; the handlers do, and a conformance
//! tool holds the two together. Invariant: what a handler does not read stands in no schema.

use super::shape::{
    asked, in_any_case, list_of, map_of, object, object_with, one_of, text, time, truth,
};
use crate::audit::record::LogType;
use crate::auth::permission::{Permission, Role};
use crate::stream::event::Kind;
use serde_json::{Map, Value, json};

/// Bodies that may come as a form too.
pub(super) const FORMS: [&str; 8] = [
    "NewOrder",
    "Cancel",
    "CancelAll",
    "CancelReplace",
    "Amend",
    "LogLevel",
    "Maintenance",
    "Exchange",
];

/// The schema of a query parameter.
pub(super) fn parameter(kind: &str, required: bool) -> Value {
    match kind {
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": 1_000 }),
        "depth" => json!({ "type": "integer", "minimum": 1, "maximum": 100 }),
        "offset" => json!({ "type": "integer", "minimum": 0 }),
        "events" => {
            let kinds: Vec<&str> = Kind::ALL.into_iter().map(Kind::label).collect();
            json!({
                "type": "string",
                "description": format!("Separated by commas; any of {}", kinds.join(", ")),
            })
        }
        "symbols" => {
            json!({ "type": "string", "description": "Separated by commas, in either case" })
        }
        "truth" => one_of(["true", "false"]),
        "log_type" => one_of(LogType::ALL.map(LogType::label)),
        // Where it may be missing, an empty one says as little.
        _ if required => word(),
        _ => text(),
    }
}

/// A text that says something.
fn word() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

/// A whole number, or its digits as a text.
fn whole(max: u64) -> Value {
    json!({
        "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": max },
            { "type": "string", "pattern": "^[0-9]+$" },
        ],
    })
}

/// A limit: `none`, or the `null` by which it is shown, takes it away.
fn limit(value: &Value) -> Value {
    json!({ "anyOf": [value, { "const": "none" }, { "type": "null" }] })
}

/// Every schema of a body, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let Value::Object(all) = schemas_value() else {
        unreachable!("schemas have names");
    };
    all
}

fn schemas_value() -> Value {
    let number = json!({
        "description": "An exact decimal, as a number or as its text; an exponent is legal. It is never rounded.",
        "anyOf": [
            { "type": "number", "exclusiveMinimum": 0 },
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$" },
        ],
    });
    // Of a market order it may be 0 or nothing.
    let price = json!({
        "description": "An exact decimal; none, nothing or 0 with MARKET",
        "anyOf": [
            { "type": "number", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$" },
        ],
    });
    let client_id = json!({
        "type": "string",
        "pattern": "^[A-Za-z0-9_-]{0,36}$",
        "description": "One that was never used; one is made where there is none",
    });
    let order = json!({ "client_order_id": word() });
    let kind = in_any_case(&["LIMIT", "L", "MARKET", "M", "LIMIT_MAKER", ""]);
    let tif = in_any_case(&["GTC", "IOC", "FOK", "GTX", ""]);
    let permissions: Vec<&str> = Permission::ALL
        .into_iter()
        .map(Permission::label)
        .chain(["read", "write", "admin"])
        .collect();
    let role = one_of(Role::ALL.map(Role::label));
    let exchange = in_any_case(&["binance"]);
    let mut instruments = map_of(&instrument(&number));
    instruments["minProperties"] = 1.into();
    json!({
        "AnyObject": { "type": "object" },
        "Login": object(json!({ "user_id": word(), "password": word() })),
        "RefreshToken": object(json!({ "refresh_token": word() })),
        "NewKey": asked(
            json!({ "name": { "type": "string", "minLength": 1, "maxLength": 100 } }),
            json!({
                "permissions": {
                    "type": "array",
                    "items": one_of(permissions),
                    "minItems": 1,
                    "default": ["read", "write"],
                },
                "user_id": {
                    "type": "string",
                    "description": "Whose it is: one's own if not said; one of somebody else has no admin permission",
                },
                "expires_at": {
                    "description": "A time to come, in Unix seconds or RFC 3339; never if not said",
                    "type": ["number", "string"],
                },
                "allowed_ips": {
                    "description": "Addresses or networks; from anywhere if not said",
                    "type": "array",
                    "items": { "type": "string" },
                    "maxItems": 64,
                },
                "rate_limit": object(json!({
                    "capacity": whole(1_000_000),
                    "refill": { "description": "A second", "type": ["number", "string"] },
                })),
            })
        ),
        "Roles": asked(
            json!({ "user_id": word() }),
            json!({
                "roles": { "type": "array", "items": role, "minItems": 1 },
                "role": { "type": "string", "enum": Role::ALL.map(Role::label), "description": "Instead of roles" },
            })
        ),
        "NewOrder": asked(
            json!({ "side": in_any_case(&["BUY", "SELL"]), "symbol": word(), "qty": number }),
            json!({
                "price": price,
                "client_order_id": client_id,
                "type": kind,
                "tif": tif,
                "order_type": kind,
                "time_in_force": tif,
            })
        ),
        "Cancel": asked(order.clone(), json!({ "symbol": text() })),
        "CancelAll": asked(json!({}), json!({ "symbol": text() })),
        "CancelReplace": asked(
            json!({ "client_order_id": word(), "price": number, "qty": number }),
            json!({ "new_client_order_id": client_id, "symbol": text() })
        ),
        "Amend": asked(
            json!({ "client_order_id": word(), "qty": number }),
            json!({ "symbol": text() })
        ),
        "LimitsChange": says_something(json!({
            "global": global(&number),
            "instruments": instruments,
        })),
        "Proposal": object(json!({ "proposal_id": whole(u64::MAX) })),
        "SettingsDocument": asked(
            json!({ "version": { "const": "1.0" }, "settings": { "type": "object" } }),
            json!({
                "import_exchange_keys": { "anyOf": [truth(), one_of(["true", "false"])] },
                "exported_at": time(),
                "exchange_keys": list_of(&json!({ "type": "object" })),
            })
        ),
        "ExchangeKey": asked(
            json!({ "exchange": exchange }),
            json!({
                "api_key": text(),
                "apiKey": text(),
                "api_secret": text(),
                "apiSecret": text(),
                "name": { "type": "string", "maxLength": 100 },
                "permissions": { "type": "array", "items": { "type": "string" }, "maxItems": 16 },
                "testnet": truth(),
                "passphrase": text(),
            })
        ),
        "Exchange": object(json!({ "exchange": exchange })),
        "LogLevel": object(json!({ "level": in_any_case(&["ERROR", "WARN", "WARNING", "INFO", "DEBUG", "TRACE"]) })),
        "Maintenance": object(json!({ "enabled": { "anyOf": [truth(), one_of(["true", "false"])] } })),
    })
}

/// An object of which at least one member is there; a `null` is what its schema says.
fn says_something(optional: Value) -> Value {
    let mut schema = object_with(json!({}), optional);
    schema["minProperties"] = 1.into();
    schema
}

fn global(number: &Value) -> Value {
    let whole = || limit(&whole(u64::from(u32::MAX)));
    let millis = || limit(&self::whole(3_600_000));
    says_something(json!({
        "open_orders_max": whole(),
        "orders_per_second_max": whole(),
        "leverage_max_percent": whole(),
        "concentration_max_percent": whole(),
        "concentration_from": { "type": ["number", "string"] },
        "daily_loss_max": limit(number),
        "drawdown_max_bps": whole(),
        "market_data_age_max_ms": millis(),
        "clock_offset_max_ms": millis(),
    }))
}

fn instrument(number: &Value) -> Value {
    let whole = || limit(&whole(u64::from(u32::MAX)));
    let amount = || limit(number);
    says_something(json!({
        "order_qty_max": amount(),
        "order_notional_max": amount(),
        "position_max": amount(),
        "open_orders_max": whole(),
        "price_collar_bps": whole(),
    }))
}
