//! Metrics and health.
//!
//! Owns: the handlers of `/metrics` and `/health*`. Does not: judge health (`health.rs`) or know a
//! metric (`catalogue.rs`).

use super::HttpState;
use crate::catalogue::{Sources, VERSION};
use crate::exposition::Format;
use crate::health::{Health, Reported};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use veloz_core::units::Nanos;

pub(super) async fn metrics(State(state): State<Arc<HttpState>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(accept);
    let text = metrics_text(&state, format);
    (
        [
            (
                CONTENT_TYPE,
                HeaderValue::from_static(format.content_type()),
            ),
            (VARY, HeaderValue::from_static("accept")),
        ],
        text,
    )
        .into_response()
}

/// The metrics page as of now.
pub(super) fn metrics_text(state: &HttpState, format: Format) -> String {
    let published = state.shared.read();
    state.page.render(
        &Sources {
            now: (state.now)(),
            started_at: state.started_at,
            heartbeat_age_max: state.heartbeat_age_max,
            exchange: state.exchange,
            instruments: &state.instruments,
            counters: &state.counters,
            gauges: &state.gauges,
            published: &published,
            trading: &state.trading.counts(),
            requests: &state.requests,
            log: state.log.counts(),
            auth: &state.auth_metrics,
            client_ids_used: state.api.client_ids.used(),
            audit: &state.audit_metrics,
            stream: state.hub.counts(),
            traces: state.spans.counts(),
            faults: &state.faults,
            state_failures: state.state.as_ref().map_or(0, Reported::failures),
            process: &(state.process)(),
        },
        format,
    )
}

pub(super) async fn health() -> Response {
    json_answer(StatusCode::OK, &json!({ "ok": true, "version": VERSION }))
}

/// The same as readiness, for people and existing clients: always 200, because it answers.
pub(super) async fn api_health(State(state): State<Arc<HttpState>>) -> Response {
    let now = (state.now)();
    let health = state.health(now);
    let mut body = standing(&state, &health, now);
    body["engine"] = json!({ "connected": state.engine_runs(now) });
    json_answer(StatusCode::OK, &body)
}

pub(super) async fn live() -> Response {
    json_answer(StatusCode::OK, &json!({ "ok": true }))
}

pub(super) async fn ready(State(state): State<Arc<HttpState>>) -> Response {
    let now = (state.now)();
    let health = state.health(now);
    let mut body = standing(&state, &health, now);
    let status = if health.is_ready() {
        StatusCode::OK
    } else {
        body["failing"] = health.failing().collect();
        StatusCode::SERVICE_UNAVAILABLE
    };
    json_answer(status, &body)
}

fn standing(state: &HttpState, health: &Health, now: Nanos) -> Value {
    let components: serde_json::Map<String, Value> = health
        .components
        .iter()
        .map(|component| (component.name.to_owned(), component.text.clone().into()))
        .collect();
    json!({
        "ok": health.is_ready(),
        "components": components,
        "uptime_seconds": now.since(state.started_at).0 / 1_000_000_000,
        "version": VERSION,
    })
}

pub(super) async fn startup(State(state): State<Arc<HttpState>>) -> Response {
    if state.shared.read().was_ready {
        json_answer(StatusCode::OK, &json!({ "ok": true }))
    } else {
        json_answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "ok": false, "message": "no component was ever seen good together with all others" }),
        )
    }
}

/// An answer with a JSON body.
pub(super) fn json_answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, headers, Body::from(body.to_string())).into_response()
}
