//! Whether a request gets as far as a handler.
//!
//! Owns: [`admit`]: shape, host and origin, rate. Does not: render the refusal (`problem.rs`) or count
//! it (`exchange.rs`). Invariant: what is refused here touched no state but its bucket.

use super::exchange::Caller;
use super::problem::{Code, Problem};
use super::rate::Verdict;
use super::routes::{self, Access};
use super::{Port, Trust, guard, shape};
use crate::wall::UnixMs;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;

const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Refuses what no route should have to look at.
pub(super) async fn check_form(
    State(port): State<Arc<Port>>,
    request: Request,
    next: Next,
) -> Response {
    let (uri, headers) = (request.uri(), request.headers());
    if let Err(problem) = shape::check(uri, headers, port.surface.shape) {
        return problem.into_response();
    }
    if port.surface.trust == Trust::Machine {
        if !guard::names_loopback(headers, uri) {
            return Problem::new(
                Code::Misdirected,
                "without authentication the Host must be a loopback name",
            )
            .into_response();
        }
        let cors = &port.surface.cors;
        if guard::is_foreign_write(request.method(), headers, port.surface.scheme(), cors) {
            return Problem::new(
                Code::Forbidden,
                "without authentication a web page of another origin changes nothing here",
            )
            .into_response();
        }
    }
    next.run(request).await
}

/// Takes a token for the request.
pub(super) async fn admit(State(port): State<Arc<Port>>, request: Request, next: Next) -> Response {
    let pattern = request.extensions().get::<MatchedPath>();
    let route = pattern.and_then(|pattern| routes::find(request.method(), pattern.as_str()));
    let unlimited = route.is_some_and(|route| route.access == Access::Probe);
    let Some(buckets) = port.addresses.as_ref().filter(|_| !unlimited) else {
        return next.run(request).await;
    };
    let caller: &Caller = request.extensions().get().expect("set by the outer layer");
    let verdict = buckets.take(caller.address);
    let mut response = match verdict.retry_in {
        None => next.run(request).await,
        Some(wait) => {
            port.state.requests.rate_limited();
            too_many(wait).into_response()
        }
    };
    state_rate(response.headers_mut(), verdict, (port.state.unix)());
    response
}

fn too_many(wait: Duration) -> Problem {
    Problem::new(Code::RateLimitExceeded, "too many requests from here")
        .retry_after(whole_seconds(wait).max(1))
}

fn state_rate(headers: &mut HeaderMap, verdict: Verdict, now: UnixMs) {
    headers.insert(RATE_LIMIT, verdict.limit.into());
    headers.insert(RATE_REMAINING, verdict.remaining.into());
    let reset = UnixMs(now.0.saturating_add(verdict.full_in.as_millis() as u64));
    headers.insert(
        RATE_RESET,
        whole_seconds(Duration::from_millis(reset.0)).into(),
    );
}

/// Seconds, rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
