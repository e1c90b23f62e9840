//! What surrounds every request and its answer.
//!
//! Owns: [`surround`]: ids, headers of the answer, counts, the log line, the body of errors; and
//! [`Caller`], by which handlers know whom they answer. Does not: admit or refuse anything.
//! Invariants: every answer of a handler, a layer or the router passes here; an id that a client made
//! up reaches a header or a log line only when it is short and plain.

use super::problem::{self, Code, Problem};
use super::requests::{Answer, OTHER, Observation};
use super::routes::Route;
use super::{Port, Trust, routes};
use crate::audit::record::{Entry, LogType};
use crate::auth::Principal;
use crate::faults::ProcessFault;
use crate::wall::UnixMs;
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, USER_AGENT, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    X_XSS_PROTECTION,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::trace::SpanContext;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use veloz_core::units::Nanos;

/// Who is at the other end of the connection; the server adds it to each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Whom a handler answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The address of the connection.
    pub address: IpAddr,
    /// The client's id of this request, or ours.
    pub request_id: String,
    /// What program it says that it is, as far as that is a short text.
    pub user_agent: Option<String>,
}

impl Caller {
    /// An audit entry about something that this caller did, or tried; the program's name goes with it.
    pub(crate) fn entry(
        &self,
        log_type: LogType,
        action: &'static str,
        user_id: &str,
        details: Value,
        at: UnixMs,
    ) -> Entry {
        let mut entry = Entry::of_system(log_type, action, at, details);
        user_id.clone_into(&mut entry.user_id);
        entry.address = Some(self.address);
        self.request_id.clone_into(&mut entry.request_id);
        if let Some(program) = &self.user_agent {
            let program = Value::from(program.as_str());
            entry.details.insert("user_agent".to_owned(), program);
        }
        entry
    }
}

/// Marks an answer that holds a secret. It is not compressed, because its length would tell about it.
#[derive(Clone, Copy)]
pub(crate) struct Sensitive;

/// Marks the refusal of a request whose form is none: unless it is for a route, whose statuses are few, it is counted with
/// the paths that are none of ours.
#[derive(Clone, Copy)]
pub(super) struct Unformed;

/// Characters of an id that a client made up.
const ID_CHARS_MAX: usize = 128;

/// Characters of a program's name that are recorded.
const USER_AGENT_CHARS_MAX: usize = 200;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// What every answer says to a browser: keep nothing, guess nothing, run nothing, tell nobody.
const SECURITY_HEADERS: [(HeaderName, &str); 7] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (X_XSS_PROTECTION, "1; mode=block"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
];

/// For a year, over TLS: do not ask without it.
const STRICT_TRANSPORT: &str = "max-age=31536000";

/// The outermost of our layers.
pub(super) async fn surround(
    State(port): State<Arc<Port>>,
    mut request: Request,
    next: Next,
) -> Response {
    let state = &port.state;
    let started = (state.now)();
    let method = request.method().clone();
    let pattern = request.extensions().get::<MatchedPath>().cloned();
    let endpoint = routes::endpoint(port.table, pattern.as_ref().map(MatchedPath::as_str));
    let route = routes::find(
        port.table,
        &method,
        pattern.as_ref().map(MatchedPath::as_str),
    );
    let context = request.extensions().get::<SpanContext>().cloned();
    let request_bytes = declared_length(request.headers());
    let request_id = id_of(request.headers(), &REQUEST_ID)
        .unwrap_or_else(|| format!("req-{}", crate::random::hex::<8>()));
    let correlation_id =
        id_of(request.headers(), &CORRELATION_ID).unwrap_or_else(|| request_id.clone());
    let Peer(address) = *request
        .extensions()
        .get()
        .expect("the server says who is at the other end");
    let caller = Caller {
        address,
        request_id: request_id.clone(),
        user_agent: user_agent(request.headers()),
    };
    request.extensions_mut().insert(caller.clone());

    let response = next.run(request).await;
    let problem = response.extensions().get::<Problem>();
    if problem.is_some_and(|problem| problem.code() == Code::StorageUnavailable) {
        state.faults.count(ProcessFault::NotKept);
    }
    let mut response = problem::render(response, &request_id);

    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if port.surface.tls {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static(STRICT_TRANSPORT),
        );
    }
    for (name, id) in [(REQUEST_ID, &request_id), (CORRELATION_ID, &correlation_id)] {
        let value = HeaderValue::from_str(id).expect("plain characters");
        headers.insert(name, value);
    }
    let status = response.status();
    let duration_ns = (state.now)().since(started).0;
    let unformed = response.extensions().get::<Unformed>().is_some();
    let (counted_method, counted_endpoint) = match route {
        Some(_) => (method_label(&method), endpoint),
        None if unformed => (OTHER, routes::UNMATCHED),
        None if endpoint == routes::UNMATCHED => (method_label(&method), endpoint),
        // A method that the path does not take: by its name where that alone was the fault, or there were too many series.
        None if status == StatusCode::METHOD_NOT_ALLOWED => (method_label(&method), endpoint),
        None => (OTHER, endpoint),
    };
    state.requests.record(&Observation {
        answer: Answer {
            method: counted_method,
            endpoint: counted_endpoint,
            status: status.as_u16(),
        },
        duration_ns,
        request_bytes,
        response_bytes: response.body().size_hint().exact().unwrap_or(0),
        trace: context
            .filter(|context| state.spans.keeps_request(context, Nanos(duration_ns)))
            .map(|context| (context.trace_id(), (state.unix)().0)),
    });
    if let Some(principal) = response.extensions().get::<Principal>()
        && port.surface.trust == Trust::Identities
        && !route.is_some_and(Route::is_for_monitoring)
    {
        state.record(|at| {
            let details = json!({
                "method": method_label(&method),
                "endpoint": endpoint,
                "status": status.as_u16(),
                "duration_ms": duration_ns as f64 / 1e6,
                "auth_method": principal.via.label(),
                "correlation_id": correlation_id,
            });
            caller.entry(LogType::Access, "request", &principal.user_id, details, at)
        });
    }
    if is_worth_a_line(&method, status) {
        if port.lines.take(&()).retry_in.is_some() {
            state.requests.line_suppressed();
        } else {
            tracing::info!(
                component = "gateway",
                event_type = "http_request",
                request_id,
                correlation_id,
                method = method_label(&method),
                endpoint,
                status = status.as_u16(),
                latency_ms = duration_ns as f64 / 1e6,
                duration_ms = duration_ns as f64 / 1e6,
                ip_address = %address,
                "request"
            );
        }
    } else {
        tracing::debug!(
            component = "gateway",
            event_type = "http_request",
            request_id,
            correlation_id,
            method = method_label(&method),
            endpoint,
            status = status.as_u16(),
            latency_ms = duration_ns as f64 / 1e6,
            duration_ms = duration_ns as f64 / 1e6,
            ip_address = %address,
            "request"
        );
    }
    response
}

/// Reads that went well are for those who debug; what changes something, or failed, is for all. A probe
/// that says "not ready" said what it was asked for.
fn is_worth_a_line(method: &Method, status: StatusCode) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let fine = status.as_u16() < 400 || status == StatusCode::SERVICE_UNAVAILABLE;
    !(reads && fine)
}

/// The one id in a header, when it is short and plain.
fn id_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = value.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain);
    fits.then(|| text.to_owned())
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    (text.len() <= USER_AGENT_CHARS_MAX).then(|| text.to_owned())
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
        .map_or(OTHER, |(_, label)| label)
}
