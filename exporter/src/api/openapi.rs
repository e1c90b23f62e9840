//! The description of every route, as OpenAPI 3.1.
//!
//! Owns: [`document`], [`NOT_SERVED`]. Invariants: every route of `http::routes` is described and nothing else is; a
//! test holds the two together; every answer, good or not, has a schema, and a status that is not described is not
//! answered, which a conformance tool asks the server about.
//!
//! | module | what |
//! | --- | --- |
//! | `openapi/operations.rs` | every operation: what it takes and what it answers |
//! | `openapi/shape.rs` | of what schemas are made |
//! | `openapi/requests.rs` | parameters and bodies |
//! | `openapi/answers.rs` | what answers look like; `answers/trading.rs` those about trading |
//! | `openapi/refusals.rs` | what refusals look like, and which a route has |

mod answers;
mod operations;
mod refusals;
mod requests;
mod shape;

use super::answer::{Answer, ok};
use crate::catalogue::VERSION;
use crate::exposition::Format;
use crate::http::routes::{Access, ROUTES, Verb};
use crate::stream::event::NOT_STREAMED;
use axum::http::StatusCode;
use operations::DOCS;
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
