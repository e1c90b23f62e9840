//! The HTTP face of the sidecar: routes, what surrounds them, and their answers.
//!
//! Owns: [`router`], [`Surface`]. Does not: accept connections ([`server`] does), drain rings, read
//! clocks other than the ones it is given. Invariants: every answer that is not a page is JSON; a panic
//! in a handler is a counted 500; without authentication a request must name this machine by a loopback
//! name.
//!
//! A request passes, outermost first: compression, what surrounds it (`exchange.rs`), panics, its form
//! (`admission.rs`), CORS, its rate, time, size, and then the one entry of `routes.rs` that it matches.

pub mod addresses;
pub mod cors;
pub mod exchange;
pub mod guard;
pub mod ports;
pub mod problem;
pub mod rate;
pub mod requests;
pub mod routes;
pub mod server;
pub mod shape;
pub mod tls;

mod admission;
mod pages;

use crate::catalogue::METRICS;
use crate::exposition::Page;
use crate::health::{Health, Heartbeat};
use crate::log::Log;
use crate::process::ProcessStats;
use crate::published::Shared;
use crate::status;
use crate::wall::UnixMs;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use cors::Cors;
use problem::{Code, Problem};
use rate::{AddressBuckets, BucketClock, Buckets, RateRule};
use requests::RequestMetrics;
use routes::ROUTES;
use shape::ShapeLimits;
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

/// Time that a handler may take; a page takes well below a millisecond.
const HANDLER_TIME_MAX: Duration = Duration::from_secs(10);

/// Log lines about requests: so many at once, so many a second. A flood of bad requests must not become
/// a flood of lines; the counts hold them all.
const LINES: RateRule = RateRule::per_second(200, 50);

/// What handlers read.
pub struct HttpState {
    /// Reads the engine's clock.
    pub now: Arc<dyn Fn() -> Nanos + Send + Sync>,
    /// Reads wall time.
    pub unix: Box<dyn Fn() -> UnixMs + Send + Sync>,
    /// When the server started.
    pub started_at: Nanos,
    /// From which age on the core's heartbeat means that it stands still.
    pub heartbeat_age_max: Nanos,
    /// The venue's label.
    pub exchange: &'static str,
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

/// Whom a port believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whoever is on this machine, by the rules of `guard.rs`; nobody has to say who he is.
    Machine,
    /// Anybody.
    Anybody,
}

/// What a port serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every route.
    Everything,
    /// Metrics and health.
    Monitoring,
}

/// One port as its requests see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surface {
    /// What it serves.
    pub reach: Reach,
    /// Whom it believes.
    pub trust: Trust,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// Which web pages of other origins may read.
    pub cors: Cors,
    /// Bounds of a request's head.
    pub shape: ShapeLimits,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// How often one address may ask, unless the whole machine is believed.
    pub rate: RateRule,
}

impl Surface {
    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// What the layers of one port share.
struct Port {
    state: Arc<HttpState>,
    surface: Surface,
    /// `None` where nothing is limited.
    addresses: Option<AddressBuckets>,
    lines: Buckets<()>,
}

/// All routes of a port with their limits.
pub fn router(state: Arc<HttpState>, surface: Surface) -> Router {
    let served = ROUTES.iter().filter(|route| match surface.reach {
        Reach::Everything => true,
        Reach::Monitoring => route.is_for_monitoring(),
    });
    let routes = served.fold(Router::new(), |router, route| {
        router.route(route.path, (route.serve)())
    });
    guarded(routes, state, surface)
}

/// `routes` behind everything that a request passes.
fn guarded(routes: Router<Arc<HttpState>>, state: Arc<HttpState>, surface: Surface) -> Router {
    let clock = {
        let now = Arc::clone(&state.now);
        BucketClock::new(move || now())
    };
    let port = Arc::new(Port {
        addresses: match surface.trust {
            Trust::Machine => None,
            Trust::Anybody => Some(AddressBuckets::new(surface.rate, clock.clone())),
        },
        lines: Buckets::new(LINES, clock),
        surface,
        state: Arc::clone(&state),
    });
    let requests = Arc::clone(&state.requests);
    let routes = routes
        .fallback(|| async { Problem::new(Code::NotFound, "no such path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                Code::MethodNotAllowed,
                "this path does not take that method",
            )
        })
        .layer(RequestBodyLimitLayer::new(port.surface.body_bytes_max))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            HANDLER_TIME_MAX,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&port),
            admission::admit,
        ));
    let routes = match port.surface.cors.layer() {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes
        .layer(middleware::from_fn_with_state(
            Arc::clone(&port),
            admission::check_form,
        ))
        .layer(CatchPanicLayer::custom(
            move |panic: Box<dyn Any + Send + 'static>| {
                requests.panicked();
                panicked(panic.as_ref())
            },
        ))
        .layer(middleware::from_fn_with_state(port, exchange::surround))
        .layer(CompressionLayer::new())
        .with_state(state)
}

/// What a panic becomes.
fn panicked(panic: &(dyn Any + Send + 'static)) -> Response {
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
    Problem::new(
        Code::Internal,
        "the handler failed; the failure is counted and logged",
    )
    .into_response()
}

#[cfg(test)]
mod tests;
