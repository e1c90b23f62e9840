//! What a refusal looks like, status by status.
//!
//! Owns: [`schemas`], [`of`]. Does not: refuse (`http/problem.rs`). Invariant: a status has a schema here when some
//! [`Code`] has that status, and its words are those of the codes.

use super::shape::{decimal, just, named, object, object_with, one_of, or_null, text};
use crate::http::problem::Code;
use crate::http::routes::{Access, Route, Verb};
use crate::trading::OrderStatus;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use veloz_core::risk::TradingState;
use veloz_core::venue::binance::order_error::{Cause, ErrorKind};

/// What any route may answer: a target, a host or headers that are none of ours, a fault, a handler that is late.
const ANY: [StatusCode; 6] = [
    StatusCode::BAD_REQUEST,
    StatusCode::URI_TOO_LONG,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// What a route may answer where it is asked who asks.
const ADMITTED: [StatusCode; 3] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::TOO_MANY_REQUESTS,
];

/// What a route that does something may answer: a body that is too large or late, a state of things or an
/// `Idempotency-Key` that it goes against, an order that risk refuses.
const POSTED: [StatusCode; 4] = [
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::CONFLICT,
    StatusCode::UNPROCESSABLE_ENTITY,
];

/// The schema of the refusals with a status.
pub(super) fn name(status: u16) -> String {
    format!("Refusal{status}")
}

/// Statuses of refusals that a route may answer with; `own` are those that only it has.
pub(super) fn of(route: &Route, reads_body: bool, own: &[u16]) -> BTreeSet<u16> {
    let mut statuses: BTreeSet<u16> = own.iter().copied().collect();
    statuses.extend(ANY.map(|status| status.as_u16()));
    match route.access {
        Access::Probe => {}
        Access::Public | Access::Scrape | Access::Needs(_) | Access::Stream(_) => {
            statuses.extend(ADMITTED.map(|status| status.as_u16()));
        }
    }
    match route.verb {
        Verb::Get | Verb::Delete => {}
        Verb::Post => statuses.extend(POSTED.map(|status| status.as_u16())),
    }
    if reads_body {
        statuses.insert(StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16());
    }
    statuses
}

/// One schema a status.
pub(super) fn schemas() -> Map<String, Value> {
    let statuses: BTreeSet<u16> = Code::ALL
        .into_iter()
        .map(|code| code.status().as_u16())
        .collect();
    let mut all: Map<String, Value> = statuses
        .iter()
        .map(|status| (name(*status), with_status(*status)))
        .collect();
    all.insert(
        "Problem".to_owned(),
        json!({
            "description": "Every refusal: `error` and `message` for existing clients, the members of RFC 9457 beside them, and the field at fault",
            "oneOf": statuses.iter().map(|status| named(&name(*status))).collect::<Vec<_>>(),
        }),
    );
    all
}

fn with_status(status: u16) -> Value {
    let codes = || {
        Code::ALL
            .into_iter()
            .filter(move |code| code.status().as_u16() == status)
    };
    let types: Vec<String> = codes()
        .map(|code| format!("urn:veloz:problem:{}", code.label()))
        .collect();
    let venue_words = object(json!({
        "code": { "type": "integer" },
        "kind": one_of(ErrorKind::ALL.map(ErrorKind::label)),
        "cause": one_of(Cause::ALL.map(Cause::label)),
    }));
    object_with(
        json!({
            "error": one_of(codes().map(Code::label)),
            "message": text(),
            "type": one_of(types.iter().map(String::as_str)),
            "title": one_of(codes().map(Code::title)),
            "status": just(status),
            "detail": text(),
            "instance": { "type": "string", "pattern": "^urn:veloz:request:" },
        }),
        json!({
            "field": text(),
            "ok": just(false),
            "reason": or_null(&text()),
            "client_order_id": or_null(&text()),
            "order_status": one_of(OrderStatus::ALL.map(OrderStatus::label)),
            "trading_state": one_of(TradingState::ALL.map(TradingState::label)),
            "order_qty": decimal(),
            "executed_qty": decimal(),
            "details": venue_words,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::ROUTES;

    #[test]
    fn every_code_stands_in_the_schema_of_its_status_and_in_no_other() {
        let schemas = schemas();
        for code in Code::ALL {
            let with: Vec<&String> = schemas
                .iter()
                .filter(|(_, schema)| {
                    schema["properties"]["error"]["enum"]
                        .as_array()
                        .is_some_and(|words| words.contains(&code.label().into()))
                })
                .map(|(name, _)| name)
                .collect();
            assert_eq!(with, [&name(code.status().as_u16())]);
        }
    }

    #[test]
    fn every_status_that_a_route_may_have_has_a_schema() {
        let schemas = schemas();
        for route in ROUTES {
            for status in of(route, true, &[404]) {
                assert!(schemas.contains_key(&name(status)), "{status}");
            }
        }
        assert_eq!(
            schemas["Problem"]["oneOf"].as_array().map(Vec::len),
            Some(schemas.len() - 1)
        );
    }
}
