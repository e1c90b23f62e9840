//! The span of an HTTP request: read from its headers, told when it is answered.
//!
//! Owns: [`trace_request`]. Does not: route or count. The request carries its [`SpanContext`] as an
//! extension, for the commands that it causes; log lines of its handling carry `trace_id` and `span_id`; the
//! answer names both in `traceparent`. The span ends with the answer's head: a stream goes on after it.

use super::{HttpSpan, Times, context};
use crate::http::HttpState;
use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use tracing::Instrument as _;

/// Longest address that a span repeats.
const URL_BYTES_MAX: usize = 2_048;

/// Runs the rest of the way inside the request's span.
pub(crate) async fn trace_request(
    State((state, scheme)): State<(Arc<HttpState>, &'static str)>,
    mut request: Request,
    next: Next,
) -> Response {
    let (spans, now) = (&state.spans, &state.now);
    let start = now();
    let opened = spans.open(context::extract(request.headers()).as_ref());
    let method = request.method().clone();
    let url = url_without_query(scheme, &request);
    request.extensions_mut().insert(opened.context().clone());
    // At the level that is always on: it only gives its fields to lines that pass by their own.
    let around = tracing::error_span!(
        "request",
        trace_id = %opened.context().trace_id(),
        span_id = %opened.context().span_id()
    );
    let mut response = next.run(request).instrument(around).await;
    context::inject(opened.context(), response.headers_mut());
    spans.http(
        &opened,
        &HttpSpan {
            times: Times { start, end: now() },
            method: method.as_str(),
            url: &url,
            status: response.status().as_u16(),
        },
    );
    response
}

fn url_without_query(scheme: &str, request: &Request) -> String {
    let path = request.uri().path();
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let mut url = format!("{scheme}://{host}{path}");
    url.truncate(url.floor_char_boundary(URL_BYTES_MAX));
    url
}
