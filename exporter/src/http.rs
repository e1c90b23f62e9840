//! The HTTP face of the sidecar: routes, what surrounds them, and their answers.
//!
//! Owns: [`router`]. Does not: accept connections ([`server`] does), drain rings, read clocks other
//! than the one it is given. Invariants: every answer that is not a page is JSON; a panic in a handler
//! is a counted 500; without authentication a request must name this machine by a loopback name.

pub mod guard;
pub mod requests;
pub mod server;

use crate::catalogue::{METRICS, Sources, VERSION};
use crate::exposition::{Format, Page};
use crate::health::{Health, Heartbeat};
use crate::log::Log;
use crate::process::ProcessStats;
use crate::published::Shared;
use crate::status;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use requests::{Answer, Observation, RequestMetrics};
use serde_json::{Value, json};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use veloz_core::event::LinkRole;
use veloz_core::instrument::Instruments;
use veloz_core::telemetry::counters::CounterReader;
use veloz_core::telemetry::gauges::GaugeReader;
use veloz_core::units::Nanos;

/// Bytes of a request's body: no route reads one yet, and a JSON command is far below.
const REQUEST_BODY_BYTES_MAX: usize = 64 << 10;

/// Time that a handler may take; a page takes well below a millisecond.
const HANDLER_TIME_MAX: Duration = Duration::from_secs(10);

/// Every route, as the `endpoint` label shows it.
const ENDPOINTS: [&str; 5] = [
    "/metrics",
    "/health",
    "/health/live",
    "/health/ready",
    "/health/startup",
];

/// The `endpoint` label of a path that is none of ours.
const UNMATCHED: &str = "unmatched";

/// What handlers read.
pub struct HttpState {
    /// Reads the engine's clock.
    pub now: Box<dyn Fn() -> Nanos + Send + Sync>,
    /// When the server started.
    pub started_at: Nanos,
    /// From which age on the core's heartbeat means that it stands still.
    pub heartbeat_age_max: Nanos,
    /// The venue's label.
    pub exchange: &'static str,
    /// Whether `Host` must be a loopback name.
    pub loopback_only: bool,
    /// All instruments.
    pub instruments: Arc<Instruments>,
    /// The core's counts.
    pub counters: CounterReader,
    /// The core's values.
    pub gauges: GaugeReader,
    /// What the drain found.
    pub shared: Shared,
    /// The server's own counts.
    pub requests: Arc<RequestMetrics>,
    /// The process's log.
    pub log: Arc<Log>,
    /// Reads the process' state.
    pub process: fn() -> ProcessStats,
    /// The metrics page with its heads rendered.
    pub page: Page,
}

impl HttpState {
    /// The page of all metrics.
    pub fn all_metrics() -> Page {
        Page::new(METRICS)
    }

    fn health(&self, now: Nanos) -> Health {
        let heartbeat = Heartbeat::judge(now, self.gauges.heartbeat(), self.heartbeat_age_max);
        let books = status::books(&self.instruments, &self.counters, &self.gauges);
        Health::judge(heartbeat, self.gauges.links_up(LinkRole::Market), &books)
    }
}

/// All routes with their limits.
pub fn router(state: Arc<HttpState>) -> Router {
    guarded(
        Router::new()
            .route("/metrics", get(metrics))
            .route("/health", get(health))
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .route("/health/startup", get(startup)),
        state,
    )
}

/// `routes` behind everything that a request passes, outermost first: compression, counting, the check
/// of its host, panics, time, size.
fn guarded(routes: Router<Arc<HttpState>>, state: Arc<HttpState>) -> Router {
    let requests = Arc::clone(&state.requests);
    let on_panic = move |panic: Box<dyn Any + Send + 'static>| -> Response {
        requests.panicked();
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no text");
        tracing::error!(
            component = "gateway",
            event_type = "panic",
            panic = text,
            "a handler panicked"
        );
        failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the handler failed; the failure is counted and logged",
        )
    };
    routes
        .fallback(|| async { failure(StatusCode::NOT_FOUND, "not_found", "no such path") })
        .method_not_allowed_fallback(|| async {
            failure(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path does not take that method",
            )
        })
        .layer(RequestBodyLimitLayer::new(REQUEST_BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            HANDLER_TIME_MAX,
        ))
        .layer(CatchPanicLayer::custom(on_panic))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            check_host,
        ))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), count))
        .layer(CompressionLayer::new())
        .with_state(state)
}

async fn metrics(State(state): State<Arc<HttpState>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(accept);
    let published = state.shared.read();
    let text = state.page.render(
        &Sources {
            now: (state.now)(),
            started_at: state.started_at,
            heartbeat_age_max: state.heartbeat_age_max,
            exchange: state.exchange,
            instruments: &state.instruments,
            counters: &state.counters,
            gauges: &state.gauges,
            published: &published,
            requests: &state.requests,
            log: state.log.counts(),
            process: &(state.process)(),
        },
        format,
    );
    (
        [
            (
                CONTENT_TYPE,
                HeaderValue::from_static(format.content_type()),
            ),
            (VARY, HeaderValue::from_static("accept")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ],
        text,
    )
        .into_response()
}

async fn health() -> Response {
    answer(StatusCode::OK, &json!({ "ok": true, "version": VERSION }))
}

async fn live() -> Response {
    answer(StatusCode::OK, &json!({ "ok": true }))
}

async fn ready(State(state): State<Arc<HttpState>>) -> Response {
    let now = (state.now)();
    let health = state.health(now);
    let components: serde_json::Map<String, Value> = health
        .components
        .iter()
        .map(|component| (component.name.to_owned(), component.text.clone().into()))
        .collect();
    let mut body = json!({
        "ok": health.is_ready(),
        "components": components,
        "uptime_seconds": now.since(state.started_at).0 / 1_000_000_000,
        "version": VERSION,
    });
    let status = if health.is_ready() {
        StatusCode::OK
    } else {
        body["failing"] = health.failing().collect();
        StatusCode::SERVICE_UNAVAILABLE
    };
    answer(status, &body)
}

async fn startup(State(state): State<Arc<HttpState>>) -> Response {
    if state.shared.read().was_ready {
        answer(StatusCode::OK, &json!({ "ok": true }))
    } else {
        answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "ok": false, "message": "no component was ever seen good together with all others" }),
        )
    }
}

/// Refuses requests that name another machine.
async fn check_host(State(state): State<Arc<HttpState>>, request: Request, next: Next) -> Response {
    if state.loopback_only && !guard::names_loopback(request.headers(), request.uri()) {
        return failure(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "without authentication the Host must be a loopback name",
        );
    }
    next.run(request).await
}

/// Counts what was answered and how long it took.
async fn count(State(state): State<Arc<HttpState>>, request: Request, next: Next) -> Response {
    let started = (state.now)();
    let method = method_label(request.method());
    let path = request.uri().path();
    let endpoint = ENDPOINTS
        .iter()
        .find(|known| **known == path)
        .copied()
        .unwrap_or(UNMATCHED);
    let request_bytes = declared_length(request.headers());
    let response = next.run(request).await;
    state.requests.record(&Observation {
        answer: Answer {
            method,
            endpoint,
            status: response.status().as_u16(),
        },
        duration_ns: (state.now)().since(started).0,
        request_bytes,
        response_bytes: response.body().size_hint().exact().unwrap_or(0),
    });
    response
}

fn declared_length(headers: &HeaderMap) -> u64 {
    headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// A method as a label: the known ones by name, whatever a client makes up as `OTHER`.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 7] = [
        (Method::GET, "GET"),
        (Method::HEAD, "HEAD"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::DELETE, "DELETE"),
        (Method::PATCH, "PATCH"),
        (Method::OPTIONS, "OPTIONS"),
    ];
    KNOWN
        .iter()
        .find(|(known, _)| known == method)
        .map_or("OTHER", |(_, label)| label)
}

fn failure(status: StatusCode, error: &str, message: &str) -> Response {
    answer(status, &json!({ "error": error, "message": message }))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, Body::from(body.to_string())).into_response()
}

#[cfg(test)]
mod tests;
