//! The description of every route, as OpenAPI 3.1.
//!
//! Owns: [`document`], [`NOT_SERVED`]. Invariants: every route of `http::routes` is described here and nothing else is; a
//! test holds the two together; every answer, good or not, has a schema, and a status that is not described is not
//! answered, which a conformance tool asks the server about.
//!
//! | module | what |
//! | --- | --- |
//! | `openapi/shape.rs` | of what schemas are made |
//! | `openapi/requests.rs` | parameters and bodies |
//! | `openapi/answers.rs` | what answers look like |
//! | `openapi/refusals.rs` | what refusals look like, and which a route has |

mod answers;
mod refusals;
mod requests;
mod shape;

use super::answer::{Answer, ok};
use crate::catalogue::VERSION;
use crate::exposition::Format;
use crate::http::routes::{Access, ROUTES, Verb};
use crate::stream::event::NOT_STREAMED;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Statuses whose answer is the route's own, with the name of its schema.
    good: &'static [(u16, &'static str)],
    /// Statuses of refusals that only this route has (`refusals::of` knows the others).
    refused: &'static [u16],
}

impl Doc {
    const fn refusing(self, refused: &'static [u16]) -> Self {
        Self { refused, ..self }
    }
}

const fn read(
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, bool, &'static str)],
    good: &'static [(u16, &'static str)],
) -> Doc {
    Doc {
        verb: Verb::Get,
        path,
        summary,
        query,
        body: None,
        good,
        refused: &[],
    }
}

const fn write(
    path: &'static str,
    summary: &'static str,
    body: Option<&'static str>,
    good: &'static [(u16, &'static str)],
) -> Doc {
    Doc {
        verb: Verb::Post,
        path,
        summary,
        query: &[],
        body,
        good,
        refused: &[],
    }
}

const fn take(
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, bool, &'static str)],
    good: &'static [(u16, &'static str)],
) -> Doc {
    Doc {
        verb: Verb::Delete,
        path,
        summary,
        query,
        body: None,
        good,
        refused: &[],
    }
}

const DOCS: &[Doc] = &[
    read(
        "/metrics",
        "Metrics, as text or OpenMetrics",
        &[],
        &[(200, "Metrics")],
    ),
    read("/health", "The process serves", &[], &[(200, "Health")]),
    read(
        "/api/health",
        "The process serves, and whether the engine is connected",
        &[],
        &[(200, "ApiHealth")],
    ),
    read("/health/live", "The process serves", &[], &[(200, "Alive")]),
    read(
        "/health/ready",
        "Every configured component is good, or which is not",
        &[],
        &[(200, "Ready"), (503, "NotReady")],
    ),
    read(
        "/health/startup",
        "Every component was good once",
        &[],
        &[(200, "Alive"), (503, "NotStarted")],
    ),
    write(
        "/api/auth/login",
        "Tokens for a password",
        Some("Login"),
        &[(200, "Tokens")],
    ),
    write(
        "/api/auth/refresh",
        "New tokens for a refresh token",
        Some("RefreshToken"),
        &[(200, "Tokens")],
    ),
    write(
        "/api/auth/logout",
        "End of a session",
        Some("RefreshToken"),
        &[(200, "Done")],
    ),
    write(
        "/api/auth/stream-ticket",
        "A ticket for one stream",
        None,
        &[(200, "Ticket")],
    ),
    read(
        "/api/auth/keys",
        "API keys, without their secrets",
        &[],
        &[(200, "Keys")],
    )
    .refusing(&[409]),
    write(
        "/api/auth/keys",
        "A new API key, shown once; one of another user has no admin permission",
        Some("NewKey"),
        &[(201, "KeyMade")],
    ),
    take(
        "/api/auth/keys",
        "Revokes an API key",
        &[("key_id", true, "text")],
        &[(200, "KeyRevoked")],
    )
    .refusing(&[404, 409]),
    read(
        "/api/auth/roles",
        "Users and their roles",
        &[("user_id", false, "text")],
        &[(200, "RolesOfUsers")],
    )
    .refusing(&[404, 409]),
    write(
        "/api/auth/roles",
        "Gives roles",
        Some("Roles"),
        &[(200, "RolesGiven")],
    )
    .refusing(&[404]),
    take(
        "/api/auth/roles",
        "Takes roles",
        &[
            ("user_id", true, "text"),
            ("roles", false, "text"),
            ("role", false, "text"),
        ],
        &[(200, "RolesTaken")],
    )
    .refusing(&[404, 409]),
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
        &[(200, "AuditPage")],
    )
    .refusing(&[409]),
    read(
        "/api/audit/stats",
        "What audit records there are",
        &[],
        &[(200, "AuditStats")],
    )
    .refusing(&[409]),
    write(
        "/api/audit/archive",
        "Packs old audit records",
        None,
        &[(200, "AuditArchived")],
    ),
    read(
        "/api/config",
        "What the process is",
        &[],
        &[(200, "Config")],
    ),
    write(
        "/api/config",
        "Checks and saves a configuration for a restart",
        Some("AnyObject"),
        &[(200, "ConfigSaved")],
    ),
    read(
        "/api/status",
        "Where the engine stands",
        &[],
        &[(200, "Status")],
    ),
    read(
        "/api/execution/ping",
        "Whether orders could get to the venue",
        &[],
        &[(200, "Ping")],
    )
    .refusing(&[409]),
    read(
        "/api/latency",
        "Quantiles of every stage in nanoseconds",
        &[],
        &[(200, "Latencies")],
    ),
    write(
        "/api/start",
        "Trading is active, the strategy acts",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/stop",
        "The strategy rests, trading is halted, our orders are cancelled",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/control/start",
        "Another name of /api/start",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/control/stop",
        "Another name of /api/stop",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/halt",
        "No new orders; cancels pass",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/reduce-only",
        "Only what makes a position smaller",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/resume",
        "Anything within the limits",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/kill-switch/trip",
        "Halt, cancel everything, stay so over restarts",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/kill-switch/reset",
        "Unlatches the kill switch; trading stays halted",
        None,
        &[(200, "Operated")],
    ),
    read(
        "/api/market",
        "The last price and the touch",
        &[("symbol", false, "text")],
        &[(200, "Market")],
    ),
    read(
        "/api/book",
        "The best levels of a book",
        &[("symbol", false, "text"), ("depth", false, "depth")],
        &[(200, "Book")],
    )
    .refusing(&[409]),
    read(
        "/api/orders",
        "What happened to orders, oldest first",
        &[("limit", false, "limit")],
        &[(200, "OrderEvents")],
    ),
    read(
        "/api/orders_state",
        "Orders as they stand, newest first",
        &[
            ("limit", false, "limit"),
            ("symbol", false, "text"),
            ("open", false, "truth"),
        ],
        &[(200, "Orders")],
    ),
    read(
        "/api/order_state",
        "One order as it stands",
        &[("client_order_id", true, "text")],
        &[(200, "Order")],
    )
    .refusing(&[404]),
    read(
        "/api/trades",
        "Our fills, newest first",
        &[("limit", false, "limit"), ("symbol", false, "text")],
        &[(200, "Trades")],
    ),
    write(
        "/api/order",
        "Places an order",
        Some("NewOrder"),
        &[(200, "OrderDone"), (202, "UnderWay")],
    ),
    write(
        "/api/cancel",
        "Takes an order back",
        Some("Cancel"),
        &[(200, "OrderDone"), (202, "UnderWay")],
    )
    .refusing(&[404]),
    write(
        "/api/cancel-all",
        "Takes all orders back, or those of a symbol",
        Some("CancelAll"),
        &[(200, "CancelledAll"), (202, "CancelledAll")],
    ),
    write(
        "/api/cancel-replace",
        "Takes an untouched order back and places another",
        Some("CancelReplace"),
        &[(200, "OrderDone"), (202, "UnderWay")],
    )
    .refusing(&[404]),
    write(
        "/api/amend",
        "Makes an order smaller; it keeps its place in the queue",
        Some("Amend"),
        &[(200, "OrderDone"), (202, "UnderWay")],
    )
    .refusing(&[404]),
    read(
        "/api/account",
        "Balances and equity",
        &[],
        &[(200, "Account")],
    ),
    read(
        "/api/positions",
        "Positions that are not flat",
        &[],
        &[(200, "Positions")],
    ),
    read(
        "/api/positions/{symbol}",
        "One position",
        &[],
        &[(200, "Position")],
    )
    .refusing(&[404]),
    read(
        "/api/strategies",
        "What trades by itself",
        &[],
        &[(200, "Strategies")],
    ),
    read(
        "/api/strategies/{id}",
        "One strategy",
        &[],
        &[(200, "StrategyDetail")],
    )
    .refusing(&[404]),
    write(
        "/api/strategies/{id}/start",
        "The strategy may act",
        None,
        &[(200, "Done")],
    )
    .refusing(&[404]),
    write(
        "/api/strategies/{id}/stop",
        "The strategy acts no more; its orders stay",
        None,
        &[(200, "Done")],
    )
    .refusing(&[404]),
    read(
        "/api/risk/limits",
        "Limits, and changes that wait for approval",
        &[],
        &[(200, "Limits")],
    ),
    write(
        "/api/risk/limits",
        "Tightens limits, or proposes to loosen them",
        Some("LimitsChange"),
        &[(200, "LimitsMade"), (202, "LimitsProposed")],
    ),
    write(
        "/api/risk/limits/approve",
        "Approves what somebody else proposed, after a login: no API key approves",
        Some("Proposal"),
        &[(200, "LimitsApproved")],
    )
    .refusing(&[404]),
    write(
        "/api/risk/limits/withdraw",
        "Withdraws a proposal",
        Some("Proposal"),
        &[(200, "LimitsWithdrawn")],
    )
    .refusing(&[404]),
    read(
        "/api/risk/utilization",
        "How much of every limit is used",
        &[],
        &[(200, "Utilization")],
    ),
    read(
        "/api/settings",
        "What the process is, and what a user interface keeps",
        &[],
        &[(200, "Settings")],
    ),
    write(
        "/api/settings",
        "Keeps sections of a user interface",
        Some("AnyObject"),
        &[(200, "SettingsSaved")],
    ),
    read(
        "/api/settings/export",
        "The settings as a document",
        &[],
        &[(200, "SettingsExport")],
    ),
    write(
        "/api/settings/import",
        "Takes a document of settings",
        Some("SettingsDocument"),
        &[(200, "SettingsImported")],
    ),
    read(
        "/api/exchange-keys",
        "The venue's key, without its secret",
        &[],
        &[(200, "ExchangeKeys")],
    ),
    write(
        "/api/exchange-keys",
        "Keeps a key of the venue",
        Some("ExchangeKey"),
        &[(201, "ExchangeKeyKept")],
    ),
    take(
        "/api/exchange-keys",
        "Removes the key",
        &[("exchange", false, "text"), ("key_id", false, "text")],
        &[(200, "ExchangeKeyRemoved")],
    )
    .refusing(&[404]),
    write(
        "/api/exchange-keys/test",
        "Asks the venue whether the key is good",
        Some("Exchange"),
        &[(200, "ExchangeKeyTested")],
    )
    .refusing(&[404]),
    read(
        "/api/admin/log-level",
        "The log's level",
        &[],
        &[(200, "LogLevelNow")],
    ),
    write(
        "/api/admin/log-level",
        "Sets the log's level",
        Some("LogLevel"),
        &[(200, "LogLevelSet")],
    ),
    write(
        "/api/admin/maintenance",
        "Begins or ends maintenance",
        Some("Maintenance"),
        &[(200, "MaintenanceNow")],
    ),
    write(
        "/api/admin/ready",
        "Ends maintenance; an API that was made read-only stays so",
        None,
        &[(200, "MaintenanceNow")],
    ),
    write(
        "/api/admin/readonly",
        "The API takes no orders until readwrite, whatever maintenance does",
        None,
        &[(200, "ReadOnlyNow")],
    ),
    write(
        "/api/admin/readwrite",
        "The API takes orders again, unless there is maintenance",
        None,
        &[(200, "ReadOnlyNow")],
    ),
    write(
        "/api/admin/reload-config",
        "Reads the configured limits anew",
        None,
        &[(200, "Done")],
    ),
    read(
        "/api/openapi.json",
        "This document",
        &[],
        &[(200, "Description")],
    ),
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
        &[(200, "Events")],
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

fn schemas() -> Map<String, Value> {
    let mut all = requests::schemas();
    for (name, schema) in answers::schemas().into_iter().chain(refusals::schemas()) {
        let before = all.insert(name, schema);
        assert!(before.is_none(), "a name stands for one schema");
    }
    all
}

/// Types of an answer that is not JSON.
fn types_of(schema: &str) -> Vec<&'static str> {
    match schema {
        "Metrics" => vec![
            Format::Text.content_type(),
            Format::OpenMetrics.content_type(),
        ],
        "Events" => vec!["text/event-stream"],
        _ => vec!["application/json"],
    }
}

fn responses(doc: &Doc, refused: &BTreeSet<u16>) -> Value {
    let mut schemas: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (status, name) in doc.good {
        schemas.entry(*status).or_default().push((*name).to_owned());
    }
    for status in refused {
        schemas
            .entry(*status)
            .or_default()
            .push(refusals::name(*status));
    }
    let responses = schemas.into_iter().map(|(status, names)| {
        let reason = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason());
        let schema = match names.as_slice() {
            [one] => shape::named(one),
            several => {
                let several: Vec<Value> = several.iter().map(|name| shape::named(name)).collect();
                json!({ "oneOf": several })
            }
        };
        let content: Map<String, Value> = types_of(&names[0])
            .into_iter()
            .map(|kind| (kind.to_owned(), json!({ "schema": schema })))
            .collect();
        let response = json!({ "description": reason.unwrap_or("An answer"), "content": content });
        (status.to_string(), response)
    });
    Value::Object(responses.collect())
}

fn operation(doc: &Doc) -> Value {
    let route = ROUTES
        .iter()
        .find(|route| route.verb == doc.verb && route.path == doc.path)
        .expect("what is described is there");
    let mut parameters: Vec<Value> = doc
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
        })
        .collect();
    parameters.extend(doc.query.iter().map(|(name, required, kind)| {
        json!({ "name": name, "in": "query", "required": required, "schema": requests::parameter(kind, *required) })
    }));
    if doc.verb == Verb::Post {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Equal requests with one key have one effect and one answer, for 24 hours",
            "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
        }));
    }
    let permission = match route.access {
        Access::Needs(permission) | Access::Stream(permission) => Some(permission.label()),
        Access::Probe | Access::Public | Access::Scrape => None,
    };
    let refused = refusals::of(route, doc.body.is_some(), doc.refused);
    let mut operation = json!({
        "summary": doc.summary,
        "parameters": parameters,
        "responses": responses(doc, &refused),
    });
    if let Some(permission) = permission {
        operation["security"] = json!([{ "bearer": [permission] }, { "apiKey": [permission] }]);
    }
    if let Some(name) = doc.body {
        let schema = json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
        let mut content = Map::from_iter([("application/json".to_owned(), schema.clone())]);
        if requests::FORMS.contains(&name) {
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
    use crate::stream::event::Kind;

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
        for (_, name) in DOCS.iter().flat_map(|doc| doc.good) {
            assert!(schemas.get(*name).is_some(), "{name}");
        }
    }
}
