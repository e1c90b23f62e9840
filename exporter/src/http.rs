//! The HTTP face of the sidecar: routes, what surrounds them, and their answers.
//!
//! Owns: [`router`], [`Surface`]. Does not: accept connections ([`server`] does), drain rings, read
//! clocks other than the ones it is given. Invariants: every answer that is not a page is JSON; a panic
//! in a handler is a counted 500; without authentication a request must name this machine by a loopback
//! name.
//!
//! A request passes, outermost first: compression, its span (`traces/layer.rs`), what
//! surrounds it (`exchange.rs`), panics, its form
//! (`admission.rs`), CORS, its rate, time, size, the names of its parameters, whether it was made before (`api/idempotency.rs`), and then the one entry of `routes.rs` that it matches.

pub mod addresses;
pub mod body;
pub mod cors;
pub mod exchange;
pub mod guard;
pub mod ports;
pub mod problem;
pub mod query;
pub mod rate;
pub mod requests;
pub mod routes;
pub mod server;
pub mod shape;
pub mod tls;

mod admission;
mod audit_routes;
mod auth_routes;
mod credentials;
mod pages;

use crate::api::{Api, idempotency};
use crate::audit::metrics::AuditMetrics;
use crate::audit::record::{Entry, LogType};
use crate::audit::writer::AuditLog;
use crate::auth::Auth;
use crate::auth::digest::SecretDigest;
use crate::auth::metrics::AuthMetrics;
use crate::catalogue::metrics;
use crate::exposition::{Format, Page};
use crate::faults::ProcessFaults;
use crate::health::{AccountHealth, Health, Heartbeat, Reported};
use crate::log::Log;
use crate::process::ProcessStats;
use crate::published::Shared;
use crate::status;
use crate::stream::Hub;
use crate::traces::{Spans, layer};
use crate::trading::TradingView;
use crate::wall::UnixMs;
use axum::Router;
use axum::body::HttpBody;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use cors::Cors;
use exchange::Sensitive;
use problem::{Code, Problem};
use rate::{BucketClock, Buckets, ClientBuckets, RateRule};
use requests::RequestMetrics;
use routes::{ROUTES, Route};
use serde_json::json;
use shape::ShapeLimits;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate};
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
    /// What the handlers of the API share.
    pub api: Arc<Api>,
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
    /// How it is with the state that must be saved; `None` where none is.
    pub state: Option<Reported>,
    /// What the drain knows of trading.
    pub trading: TradingView,
    /// The server's own counts.
    pub requests: Arc<RequestMetrics>,
    /// The process's log.
    pub log: Arc<Log>,
    /// Who knows identities; `None` where nobody has to say who he is.
    pub auth: Option<Arc<Auth>>,
    /// Who was let in, and who was not.
    pub auth_metrics: Arc<AuthMetrics>,
    /// Recognises the scraper's token, when there is one.
    pub scrape_token: Option<SecretDigest>,
    /// Takes audit records; `None` where none are kept.
    pub audit: Option<AuditLog>,
    /// What the audit log knows about itself.
    pub audit_metrics: Arc<AuditMetrics>,
    /// Gives turns to who reads the audit log.
    pub audit_readers: Semaphore,
    /// The stream of events.
    pub hub: Hub,
    /// Faults beside the core that nothing else counts.
    pub faults: ProcessFaults,
    /// Where requests tell their spans.
    pub spans: Spans,
    /// Reads the process' state.
    pub process: fn() -> ProcessStats,
    /// The metrics page with its heads rendered.
    pub page: Page,
}

impl HttpState {
    /// The page of all metrics.
    pub fn all_metrics() -> Page {
        Page::new(metrics())
    }

    /// The metrics page as of now.
    pub fn metrics_page(&self, format: Format) -> String {
        pages::metrics_text(self, format)
    }

    /// Gives a record of now, where records are kept.
    pub(crate) fn record(&self, entry: impl FnOnce(UnixMs) -> Entry) {
        if let Some(audit) = &self.audit {
            audit.record(entry((self.unix)()));
        }
    }

    /// Gives a record of an administrative action and waits until it is on the disk: before it is done. When nobody can
    /// wait any longer the record may still get there, so a second one, `failed`, follows it.
    ///
    /// # Errors
    /// `audit_unavailable`; then it must not be done.
    pub(crate) async fn record_first(
        &self,
        entry: Entry,
        failed: &'static str,
    ) -> Result<(), Problem> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        let mut second = entry.clone();
        audit.record_durably(entry).await.map_err(|_| {
            let problem = audit_routes::unavailable();
            second.at = (self.unix)();
            second.action = failed.into();
            let details = [("error", problem.code().label()), ("outcome", "refused")];
            let details = details.map(|(name, word)| (name.to_owned(), word.into()));
            second.details.extend(details);
            audit.record(second);
            problem
        })
    }

    fn engine_runs(&self, now: Nanos) -> bool {
        Heartbeat::judge(now, self.gauges.heartbeat(), self.heartbeat_age_max) == Heartbeat::Beating
    }

    fn health(&self, now: Nanos) -> Health {
        let heartbeat = Heartbeat::judge(now, self.gauges.heartbeat(), self.heartbeat_age_max);
        let books = status::books(&self.instruments, &self.counters, &self.gauges, now);
        let account = AccountHealth::read(&self.gauges);
        Health::judge(
            heartbeat,
            self.gauges.links_up(LinkRole::Market),
            &books,
            account.as_ref(),
            self.state.as_ref(),
        )
    }
}

/// Whom a port believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whoever is on this machine, by the rules of `guard.rs`; nobody has to say who he is.
    Machine,
    /// Anybody.
    Anybody,
    /// The scraper, by its token, and probes.
    Scraper,
    /// Whoever says who he is.
    Identities,
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
    /// How often one client may ask, unless the whole machine is believed.
    pub rate: RateRule,
    /// Whether a user is one client wherever he comes from.
    pub rate_per_user: bool,
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
    table: &'static [Route],
    /// `None` where nothing is limited.
    rates: Option<ClientBuckets>,
    lines: Buckets<()>,
}

/// All routes of a port with their limits.
pub fn router(state: Arc<HttpState>, surface: Surface) -> Router {
    router_of(ROUTES, state, surface)
}

/// The routes of a table, behind everything that a request passes.
fn router_of(table: &'static [Route], state: Arc<HttpState>, surface: Surface) -> Router {
    let served = table.iter().filter(|route| match surface.reach {
        Reach::Everything => true,
        Reach::Monitoring => route.is_for_monitoring(),
    });
    let routes = served.fold(Router::new(), |router, route| {
        router.route(route.path, (route.serve)())
    });
    let clock = {
        let now = Arc::clone(&state.now);
        BucketClock::new(move || now())
    };
    let port = Arc::new(Port {
        rates: match surface.trust {
            Trust::Machine => None,
            Trust::Anybody | Trust::Scraper | Trust::Identities => Some(ClientBuckets::new(
                surface.rate,
                surface.rate_per_user,
                clock.clone(),
            )),
        },
        lines: Buckets::new(LINES, clock),
        surface,
        table,
        state: Arc::clone(&state),
    });
    let of_panics = Arc::clone(&state);
    let scheme = port.surface.scheme();
    let routes = routes
        .fallback(|| async { Problem::new(Code::NotFound, "no such path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                Code::MethodNotAllowed,
                "this path does not take that method",
            )
        })
        .layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            idempotency::once,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&port),
            admission::check_parameters,
        ))
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
                of_panics.requests.panicked();
                panicked(&of_panics, panic.as_ref())
            },
        ))
        .layer(middleware::from_fn_with_state(port, exchange::surround))
        .layer(middleware::from_fn_with_state(
            (Arc::clone(&state), scheme),
            layer::trace_request,
        ))
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(Harmless)))
        .with_state(state)
}

/// Lets answers without secrets be compressed.
#[derive(Clone, Copy)]
struct Harmless;

impl Predicate for Harmless {
    fn should_compress<B: HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        response.extensions().get::<Sensitive>().is_none()
    }
}

/// What a panic becomes.
fn panicked(state: &HttpState, panic: &(dyn Any + Send + 'static)) -> Response {
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
    state.record(|at| {
        let details = json!({ "component": "gateway", "panic": text });
        Entry::of_system(LogType::Error, "handler_panicked", at, details)
    });
    Problem::new(
        Code::Internal,
        "the handler failed; the failure is counted and logged",
    )
    .into_response()
}

#[cfg(test)]
mod tests;
