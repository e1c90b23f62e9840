//! The description of every route, as OpenAPI 3.1.
//!
//! Owns: [`document`], [`NOT_SERVED`]. Invariant: every route of `http::routes` is described here and nothing else is; a
//! test holds the two together.

use super::answer::{Answer, ok};
use crate::auth::permission::Permission;
use crate::catalogue::VERSION;
use crate::http::routes::{Access, ROUTES, Verb};
use crate::stream::event::{Kind, NOT_STREAMED};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// What documents of the earlier system name and this one does not serve, with the reason.
pub const NOT_SERVED: [(&str, &str); 3] = [
    (
        "/api/marketplace/*",
        "there is no marketplace: strategies are part of the build",
    ),
    (
        "/ws/market",
        "the same events come from GET /api/stream, which resumes where it was cut",
    ),
    (
        "/ws/orders",
        "the same events come from GET /api/stream, which resumes where it was cut",
    ),
];

/// A route as it is described.
struct Doc {
    verb: Verb,
    path: &'static str,
    summary: &'static str,
    /// Query parameters: name, whether it must be there, schema.
    query: &'static [(&'static str, bool, &'static str)],
    /// Name of the body's schema.
    body: Option<&'static str>,
    /// Statuses of success.
    good: &'static [u16],
}

const fn read(
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, bool, &'static str)],
) -> Doc {
    Doc {
        verb: Verb::Get,
        path,
        summary,
        query,
        body: None,
        good: &[200],
    }
}

const fn write(
    path: &'static str,
    summary: &'static str,
    body: Option<&'static str>,
    good: &'static [u16],
) -> Doc {
    Doc {
        verb: Verb::Post,
        path,
        summary,
        query: &[],
        body,
        good,
    }
}

const fn take(
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, bool, &'static str)],
) -> Doc {
    Doc {
        verb: Verb::Delete,
        path,
        summary,
        query,
        body: None,
        good: &[200],
    }
}

const DOCS: &[Doc] = &[
    read("/metrics", "Metrics, as text or OpenMetrics", &[]),
    read("/health", "The process serves", &[]),
    read(
        "/api/health",
        "The process serves, and whether the engine is connected",
        &[],
    ),
    read("/health/live", "The process serves", &[]),
    Doc {
        good: &[200, 503],
        ..read(
            "/health/ready",
            "Every configured component is good, or which is not",
            &[],
        )
    },
    Doc {
        good: &[200, 503],
        ..read("/health/startup", "Every component was good once", &[])
    },
    write(
        "/api/auth/login",
        "Tokens for a password",
        Some("Login"),
        &[200],
    ),
    write(
        "/api/auth/refresh",
        "New tokens for a refresh token",
        Some("RefreshToken"),
        &[200],
    ),
    write(
        "/api/auth/logout",
        "End of a session",
        Some("RefreshToken"),
        &[200],
    ),
    write(
        "/api/auth/stream-ticket",
        "A ticket for one stream",
        None,
        &[200],
    ),
    read("/api/auth/keys", "API keys, without their secrets", &[]),
    write(
        "/api/auth/keys",
        "A new API key, shown once; one of another user has no admin permission",
        Some("NewKey"),
        &[201],
    ),
    take(
        "/api/auth/keys",
        "Revokes an API key",
        &[("key_id", true, "text")],
    ),
    read(
        "/api/auth/roles",
        "Users and their roles",
        &[("user_id", false, "text")],
    ),
    write("/api/auth/roles", "Gives roles", Some("Roles"), &[200]),
    take(
        "/api/auth/roles",
        "Takes roles",
        &[
            ("user_id", true, "text"),
            ("roles", false, "text"),
            ("role", false, "text"),
        ],
    ),
    read(
        "/api/audit/logs",
        "Audit records",
        &[
            ("log_type", false, "log_type"),
            ("type", false, "log_type"),
            ("user_id", false, "text"),
            ("action", false, "text"),
            ("start_time", false, "text"),
            ("end_time", false, "text"),
            ("limit", false, "limit"),
            ("offset", false, "offset"),
        ],
    ),
    read("/api/audit/stats", "What audit records there are", &[]),
    write(
        "/api/audit/archive",
        "Packs old audit records",
        None,
        &[200],
    ),
    read("/api/config", "What the process is", &[]),
    write(
        "/api/config",
        "Checks and saves a configuration for a restart",
        Some("AnyObject"),
        &[200],
    ),
    read("/api/status", "Where the engine stands", &[]),
    read(
        "/api/execution/ping",
        "Whether orders could get to the venue",
        &[],
    ),
    read(
        "/api/latency",
        "Quantiles of every stage in nanoseconds",
        &[],
    ),
    write(
        "/api/start",
        "Trading is active, the strategy acts",
        None,
        &[200],
    ),
    write(
        "/api/stop",
        "The strategy rests, trading is halted, our orders are cancelled",
        None,
        &[200],
    ),
    write(
        "/api/control/start",
        "Another name of /api/start",
        None,
        &[200],
    ),
    write(
        "/api/control/stop",
        "Another name of /api/stop",
        None,
        &[200],
    ),
    write("/api/halt", "No new orders; cancels pass", None, &[200]),
    write(
        "/api/reduce-only",
        "Only what makes a position smaller",
        None,
        &[200],
    ),
    write("/api/resume", "Anything within the limits", None, &[200]),
    write(
        "/api/kill-switch/trip",
        "Halt, cancel everything, stay so over restarts",
        None,
        &[200],
    ),
    write(
        "/api/kill-switch/reset",
        "Unlatches the kill switch; trading stays halted",
        None,
        &[200],
    ),
    read(
        "/api/market",
        "The last price and the touch",
        &[("symbol", false, "text")],
    ),
    read(
        "/api/book",
        "The best levels of a book",
        &[("symbol", false, "text"), ("depth", false, "depth")],
    ),
    read(
        "/api/orders",
        "What happened to orders, oldest first",
        &[("limit", false, "limit")],
    ),
    read(
        "/api/orders_state",
        "Orders as they stand, newest first",
        &[
            ("limit", false, "limit"),
            ("symbol", false, "text"),
            ("open", false, "truth"),
        ],
    ),
    read(
        "/api/order_state",
        "One order as it stands",
        &[("client_order_id", true, "text")],
    ),
    read(
        "/api/trades",
        "Our fills, newest first",
        &[("limit", false, "limit"), ("symbol", false, "text")],
    ),
    write(
        "/api/order",
        "Places an order",
        Some("NewOrder"),
        &[200, 202],
    ),
    write(
        "/api/cancel",
        "Takes an order back",
        Some("Cancel"),
        &[200, 202],
    ),
    write(
        "/api/cancel-all",
        "Takes all orders back, or those of a symbol",
        Some("CancelAll"),
        &[200, 202],
    ),
    write(
        "/api/cancel-replace",
        "Takes an untouched order back and places another",
        Some("CancelReplace"),
        &[200, 202],
    ),
    write(
        "/api/amend",
        "Makes an order smaller; it keeps its place in the queue",
        Some("Amend"),
        &[200, 202],
    ),
    read("/api/account", "Balances and equity", &[]),
    read("/api/positions", "Positions that are not flat", &[]),
    read("/api/positions/{symbol}", "One position", &[]),
    read("/api/strategies", "What trades by itself", &[]),
    read("/api/strategies/{id}", "One strategy", &[]),
    write(
        "/api/strategies/{id}/start",
        "The strategy may act",
        None,
        &[200],
    ),
    write(
        "/api/strategies/{id}/stop",
        "The strategy acts no more; its orders stay",
        None,
        &[200],
    ),
    read(
        "/api/risk/limits",
        "Limits, and changes that wait for approval",
        &[],
    ),
    write(
        "/api/risk/limits",
        "Tightens limits, or proposes to loosen them",
        Some("LimitsChange"),
        &[200, 202],
    ),
    write(
        "/api/risk/limits/approve",
        "Approves what somebody else proposed, after a login: no API key approves",
        Some("Proposal"),
        &[200],
    ),
    write(
        "/api/risk/limits/withdraw",
        "Withdraws a proposal",
        Some("Proposal"),
        &[200],
    ),
    read(
        "/api/risk/utilization",
        "How much of every limit is used",
        &[],
    ),
    read(
        "/api/settings",
        "What the process is, and what a user interface keeps",
        &[],
    ),
    write(
        "/api/settings",
        "Keeps sections of a user interface",
        Some("AnyObject"),
        &[200],
    ),
    read("/api/settings/export", "The settings as a document", &[]),
    write(
        "/api/settings/import",
        "Takes a document of settings",
        Some("SettingsDocument"),
        &[200],
    ),
    read(
        "/api/exchange-keys",
        "The venue's key, without its secret",
        &[],
    ),
    write(
        "/api/exchange-keys",
        "Keeps a key of the venue",
        Some("ExchangeKey"),
        &[201],
    ),
    take(
        "/api/exchange-keys",
        "Removes the key",
        &[("exchange", false, "text"), ("key_id", false, "text")],
    ),
    write(
        "/api/exchange-keys/test",
        "Asks the venue whether the key is good",
        Some("Exchange"),
        &[200],
    ),
    read("/api/admin/log-level", "The log's level", &[]),
    write(
        "/api/admin/log-level",
        "Sets the log's level",
        Some("LogLevel"),
        &[200],
    ),
    write(
        "/api/admin/maintenance",
        "Begins or ends maintenance",
        Some("Maintenance"),
        &[200],
    ),
    write("/api/admin/ready", "Ends maintenance", None, &[200]),
    write(
        "/api/admin/readonly",
        "The API takes no orders",
        None,
        &[200],
    ),
    write("/api/admin/readwrite", "The API takes orders", None, &[200]),
    write(
        "/api/admin/reload-config",
        "Reads the configured limits anew",
        None,
        &[200],
    ),
    read("/api/openapi.json", "This document", &[]),
    read(
        "/api/stream",
        "Events as they happen (server-sent events)",
        &[
            ("last_id", false, "offset"),
            ("events", false, "events"),
            ("filter", false, "events"),
            ("symbols", false, "symbols"),
            ("ticket", false, "text"),
        ],
    ),
];

/// The query parameters of a route; `None` when it is not described.
pub(crate) fn parameters(
    verb: Verb,
    path: &str,
) -> Option<impl Iterator<Item = &'static str> + Clone> {
    let doc = DOCS
        .iter()
        .find(|doc| doc.verb == verb && doc.path == path)?;
    Some(doc.query.iter().map(|(name, ..)| *name))
}

/// Schemas of query parameters.
fn parameter_schema(kind: &str) -> Value {
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
        "truth" => json!({ "type": "string", "enum": ["true", "false"] }),
        "log_type" => {
            json!({ "type": "string", "enum": ["auth", "order", "api_key", "error", "access"] })
        }
        _ => json!({ "type": "string" }),
    }
}

fn schemas() -> Value {
    let number = json!({
        "description": "An exact decimal, as a number or as its text; an exponent is legal. It is never rounded.",
        "anyOf": [
            { "type": "number", "exclusiveMinimum": 0 },
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$" },
        ],
    });
    let client_id = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,36}$" });
    let object = |properties: Value, required: Value| {
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    };
    let permissions: Vec<&str> = Permission::ALL
        .into_iter()
        .map(Permission::label)
        .chain(["read", "write", "admin"])
        .collect();
    json!({
        "AnyObject": { "type": "object" },
        "Login": object(
            json!({ "user_id": { "type": "string" }, "password": { "type": "string" } }),
            json!(["user_id", "password"])
        ),
        "RefreshToken": object(json!({ "refresh_token": { "type": "string" } }), json!(["refresh_token"])),
        "NewKey": object(
            json!({
                "name": { "type": "string", "minLength": 1, "maxLength": 100 },
                "permissions": {
                    "type": "array",
                    "items": { "type": "string", "enum": permissions },
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
                "rate_limit": {
                    "type": "object",
                    "properties": {
                        "capacity": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
                        "refill": { "description": "A second", "type": ["number", "string"] },
                    },
                    "required": ["capacity", "refill"],
                    "additionalProperties": false,
                },
            }),
            json!(["name"])
        ),
        "Roles": object(
            json!({
                "user_id": { "type": "string" },
                "roles": { "type": "array", "items": { "type": "string", "enum": ["viewer", "trader", "admin"] } },
                "role": { "type": "string", "enum": ["viewer", "trader", "admin"], "description": "Instead of roles" },
            }),
            json!(["user_id"])
        ),
        "NewOrder": object(
            json!({
                "side": { "type": "string", "enum": ["BUY", "SELL"] },
                "symbol": { "type": "string" },
                "qty": number,
                "price": number,
                "client_order_id": client_id,
                "type": { "type": "string", "enum": ["LIMIT", "MARKET", "LIMIT_MAKER"], "default": "LIMIT" },
                "tif": { "type": "string", "enum": ["GTC", "IOC", "FOK", "GTX"], "default": "GTC" },
                "order_type": { "type": "string", "description": "Another name of type" },
                "time_in_force": { "type": "string", "description": "Another name of tif" },
            }),
            json!(["side", "symbol", "qty"])
        ),
        "Cancel": object(
            json!({ "client_order_id": { "type": "string" }, "symbol": { "type": "string" } }),
            json!(["client_order_id"])
        ),
        "CancelAll": object(json!({ "symbol": { "type": "string" } }), json!([])),
        "CancelReplace": object(
            json!({
                "client_order_id": { "type": "string" },
                "new_client_order_id": client_id,
                "symbol": { "type": "string" },
                "price": number,
                "qty": number,
            }),
            json!(["client_order_id", "price", "qty"])
        ),
        "Amend": object(
            json!({ "client_order_id": { "type": "string" }, "symbol": { "type": "string" }, "qty": number }),
            json!(["client_order_id", "qty"])
        ),
        "LimitsChange": object(
            json!({
                "global": { "type": "object" },
                "instruments": { "type": "object", "additionalProperties": { "type": "object" } },
            }),
            json!([])
        ),
        "Proposal": object(json!({ "proposal_id": { "type": "integer", "minimum": 1 } }), json!(["proposal_id"])),
        "SettingsDocument": object(
            json!({
                "version": { "type": "string", "const": "1.0" },
                "settings": { "type": "object" },
                "import_exchange_keys": { "type": "boolean" },
                "exported_at": { "type": "string" },
                "exchange_keys": { "type": "array", "items": { "type": "object" } },
            }),
            json!(["version", "settings"])
        ),
        "ExchangeKey": object(
            json!({
                "exchange": { "type": "string", "enum": ["binance"] },
                "api_key": { "type": "string" },
                "apiKey": { "type": "string" },
                "api_secret": { "type": "string" },
                "apiSecret": { "type": "string" },
                "name": { "type": "string", "maxLength": 100 },
                "permissions": { "type": "array", "items": { "type": "string" } },
                "testnet": { "type": "boolean" },
                "passphrase": { "type": "string" },
            }),
            json!(["exchange"])
        ),
        "Exchange": object(
            json!({ "exchange": { "type": "string", "enum": ["binance"] } }),
            json!(["exchange"])
        ),
        "LogLevel": object(
            json!({ "level": { "type": "string", "enum": ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"] } }),
            json!(["level"])
        ),
        "Maintenance": object(json!({ "enabled": { "type": "boolean" } }), json!(["enabled"])),
        "Problem": {
            "type": "object",
            "description": "Every refusal: `error` and `message` for existing clients, the members of RFC 9457 beside them, and the field at fault",
            "properties": {
                "error": { "type": "string" },
                "message": { "type": "string" },
                "field": { "type": "string" },
                "type": { "type": "string" },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
                "instance": { "type": "string" },
            },
            "required": ["error", "message", "type", "title", "status", "detail", "instance"],
        },
    })
}

/// Bodies that may come as a form too.
const FORMS: [&str; 6] = [
    "NewOrder",
    "Cancel",
    "CancelAll",
    "CancelReplace",
    "Amend",
    "LogLevel",
];

fn operation(doc: &Doc) -> Value {
    let route = ROUTES
        .iter()
        .find(|route| route.verb == doc.verb && route.path == doc.path);
    let mut parameters: Vec<Value> = doc
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
        })
        .collect();
    parameters.extend(doc.query.iter().map(|(name, required, kind)| {
        json!({ "name": name, "in": "query", "required": required, "schema": parameter_schema(kind) })
    }));
    if doc.verb == Verb::Post {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Equal requests with one key have one effect and one answer, for 24 hours",
            "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
        }));
    }
    let mut responses = Map::new();
    for status in doc.good {
        let reason = StatusCode::from_u16(*status)
            .ok()
            .and_then(|status| status.canonical_reason());
        responses.insert(
            status.to_string(),
            json!({ "description": reason.unwrap_or("OK") }),
        );
    }
    responses.insert(
        "default".to_owned(),
        json!({
            "description": "A refusal",
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        }),
    );
    let permission = route.and_then(|route| match route.access {
        Access::Needs(permission) | Access::Stream(permission) => Some(permission.label()),
        Access::Probe | Access::Public | Access::Scrape => None,
    });
    let mut operation = json!({
        "summary": doc.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(permission) = permission {
        operation["security"] = json!([{ "bearer": [permission] }, { "apiKey": [permission] }]);
    }
    if let Some(name) = doc.body {
        let schema = json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
        let mut content = Map::from_iter([("application/json".to_owned(), schema.clone())]);
        if FORMS.contains(&name) {
            content.insert("application/x-www-form-urlencoded".to_owned(), schema);
        }
        operation["requestBody"] = json!({ "required": name != "CancelAll", "content": content });
    }
    operation
}

/// The whole description.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for doc in DOCS {
        let verb = match doc.verb {
            Verb::Get => "get",
            Verb::Post => "post",
            Verb::Delete => "delete",
        };
        let of_path = paths
            .entry(doc.path.to_owned())
            .or_insert_with(|| json!({}));
        of_path[verb] = operation(doc);
    }
    let paths_not_served = NOT_SERVED
        .iter()
        .map(|(path, reason)| json!({ "path": path, "reason": reason }));
    let events_not_sent = NOT_STREAMED
        .iter()
        .map(|(event, reason)| json!({ "event": event, "reason": reason }));
    let not_served: Vec<Value> = paths_not_served.chain(events_not_sent).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "VeloZ",
            "version": VERSION,
            "description": "Trading and administration. Where the earlier gateway was wrong, this one differs: an unknown order is not cancelled but 404, a client_order_id is used once, NaN and line breaks are refused, roles bind each method of a path. A query parameter that a route does not know is refused; `_`, which keeps caches off, is taken everywhere and means nothing.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
        },
        "x-not-served": not_served,
    })
}

/// `GET /api/openapi.json`.
pub(crate) async fn serve() -> Answer {
    ok(&document())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_once_and_nothing_else_is() {
        for route in ROUTES {
            let found = DOCS
                .iter()
                .filter(|doc| doc.verb == route.verb && doc.path == route.path);
            assert_eq!(found.count(), 1, "{:?} {}", route.verb, route.path);
        }
        assert_eq!(
            DOCS.len(),
            ROUTES.len(),
            "something is described that is not there"
        );
    }

    /// The events of contract 1, as its clients know them, and `risk_alert` of its runbooks.
    const EVENTS: [&str; 30] = [
        "market",
        "order_update",
        "fill",
        "order_state",
        "account",
        "error",
        "trade",
        "book_top",
        "book_delta",
        "kline",
        "subscription_status",
        "order_received",
        "cancel_received",
        "query_received",
        "strategy_command_received",
        "strategy_loaded",
        "strategy_started",
        "strategy_stopped",
        "strategy_paused",
        "strategy_resumed",
        "strategy_unloaded",
        "strategy_list",
        "strategy_status",
        "strategy_status_all",
        "strategy_params_updated",
        "strategy_metrics",
        "strategy_metrics_summary",
        "engine_started",
        "engine_stopped",
        "risk_alert",
    ];

    #[test]
    fn every_event_that_clients_know_is_sent_or_stands_in_the_list_with_its_reason() {
        let document = document();
        let listed = document["x-not-served"].as_array().expect("a list");
        for event in EVENTS {
            let is_sent = Kind::ALL.into_iter().any(|kind| kind.label() == event);
            let excuse = listed.iter().find(|entry| entry["event"] == event);
            assert_eq!(is_sent, excuse.is_none(), "{event}");
            let reason = excuse.map_or("sent", |entry| entry["reason"].as_str().expect("a text"));
            assert!(!reason.is_empty(), "{event}");
        }
        let excused = listed.iter().filter(|entry| !entry["event"].is_null());
        assert_eq!(excused.count(), NOT_STREAMED.len());
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let text = document().to_string();
        let schemas = schemas();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().expect("a name");
            assert!(schemas.get(name).is_some(), "{name}");
        }
        for name in DOCS.iter().filter_map(|doc| doc.body) {
            assert!(schemas.get(name).is_some(), "{name}");
        }
    }
}
