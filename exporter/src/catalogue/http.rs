//! The sidecar's own server: requests, connections, and the stream of events.

use super::{Metric, counter, gauge, histogram, seconds};
use crate::http::requests::{ConnectionEnd, DURATION_BOUNDS_NS, Refusal, SIZE_BOUNDS};
use veloz_core::event::LinkRole;

/// Requests, and what the gateway is.
pub(super) static HTTP: &[Metric] = &[
    // HTTP requests.
    counter(
        "veloz_http_requests_total",
        &["method", "endpoint", "status"],
        "HTTP requests answered.",
        |from, samples| {
            for (labels, count) in from.requests.answered() {
                let status = labels.status.to_string();
                samples.value(&[labels.method, labels.endpoint, &status], count);
            }
        },
    ),
    histogram(
        "veloz_http_request_duration_seconds",
        &DURATION_BOUNDS_NS,
        &["method", "endpoint"],
        "Time from a request's head to its answer's head.",
        |from, samples| {
            for (labels, of) in from.requests.distributions() {
                let labels = [labels.method, labels.endpoint];
                let buckets = &of.duration_ns;
                samples.histogram_with(
                    &labels,
                    |bound| buckets.cumulative(bound),
                    buckets.count(),
                    buckets.sum(),
                    |bound| of.slowest.of(bound),
                );
            }
        },
    ),
    histogram(
        "veloz_http_request_size_bytes",
        &SIZE_BOUNDS,
        &["method", "endpoint"],
        "Declared size of a request's body.",
        |from, samples| {
            for (labels, of) in from.requests.distributions() {
                let labels = [labels.method, labels.endpoint];
                let buckets = &of.request_bytes;
                samples.histogram(
                    &labels,
                    |bound| buckets.cumulative(bound),
                    buckets.count(),
                    buckets.sum(),
                );
            }
        },
    )
    .bytes(),
    histogram(
        "veloz_http_response_size_bytes",
        &SIZE_BOUNDS,
        &["method", "endpoint"],
        "Size of an answer's body before compression.",
        |from, samples| {
            for (labels, of) in from.requests.distributions() {
                let labels = [labels.method, labels.endpoint];
                let buckets = &of.response_bytes;
                samples.histogram(
                    &labels,
                    |bound| buckets.cumulative(bound),
                    buckets.count(),
                    buckets.sum(),
                );
            }
        },
    )
    .bytes(),
    // Gateway state.
    gauge(
        "veloz_gateway_uptime_seconds",
        &[],
        "Time since the HTTP server started.",
        |from, samples| samples.value(&[], seconds(from.now.since(from.started_at))),
    )
    .seconds(),
    gauge(
        "veloz_engine_running",
        &[],
        "1 while the core's heartbeat is younger than its bound, else 0.",
        |from, samples| samples.value(&[], from.engine_running()),
    ),
    gauge(
        "veloz_active_connections",
        &[],
        "Open HTTP connections.",
        |from, samples| samples.value(&[], from.requests.connections()),
    ),
    gauge(
        "veloz_websocket_connected",
        &[],
        "1 while a market-data connection is up, else 0.",
        |from, samples| samples.value(&[], from.gauges.links_up(LinkRole::Market) > 0),
    ),
];

/// Connections, and clients of the stream.
pub(super) static SERVER: &[Metric] = &[
    // The sidecar's server.
    counter(
        "veloz_http_connections_refused_total",
        &["reason"],
        "HTTP connections closed at once: too many were open, or the address may not connect.",
        |from, samples| {
            for refusal in Refusal::ALL {
                samples.value(
                    &[refusal.label()],
                    from.requests.connections_refused(refusal),
                );
            }
        },
    ),
    counter(
        "veloz_http_connections_failed_total",
        &["cause"],
        "HTTP connections ended because of what came over them, or did not come.",
        |from, samples| {
            for end in ConnectionEnd::ALL {
                samples.value(&[end.label()], from.requests.connections_failed(end));
            }
        },
    ),
    counter(
        "veloz_http_rate_limited_total",
        &[],
        "Requests refused because their client asked too often.",
        |from, samples| samples.value(&[], from.requests.rate_limit_hits()),
    ),
    // The stream of events.
    gauge(
        "veloz_sse_clients",
        &[],
        "Connected clients of the event stream.",
        |from, samples| samples.value(&[], from.stream.clients()),
    ),
    counter(
        "veloz_sse_events_total",
        &["event"],
        "Events published to the stream, however many clients there are.",
        |from, samples| {
            for (event, count) in from.stream.published() {
                samples.value(&[event], count);
            }
        },
    ),
    counter(
        "veloz_sse_sent_total",
        &[],
        "Events handed to connections, all clients together.",
        |from, samples| samples.value(&[], from.stream.sent()),
    ),
    counter(
        "veloz_sse_gaps_total",
        &[],
        "Gaps told to clients that were away too long or read too slowly.",
        |from, samples| samples.value(&[], from.stream.gaps()),
    ),
    counter(
        "veloz_sse_clients_refused_total",
        &[],
        "Clients turned away because all streams were taken.",
        |from, samples| samples.value(&[], from.stream.refused()),
    ),
];
