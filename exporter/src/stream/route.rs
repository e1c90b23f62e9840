//! `GET /api/stream`.
//!
//! Owns: the handler. Does not: authenticate. A client goes on where it was with `?last_id=N` or, as
//! `EventSource` does by itself, the header `Last-Event-ID`; the header wins, because it is newer: the
//! library repeats the address with every reconnection.

use super::filter::{BadQuery, Filter, pairs};
use crate::http::HttpState;
use crate::http::problem::{Code, Problem};
use crate::http::server::LongAnswer;
use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::sync::Arc;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx not to collect the stream before it passes it on.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Seconds after which a client that found no seat may try again.
const RETRY_AFTER_S: u64 = 10;

/// The stream.
pub(crate) async fn stream(
    State(state): State<Arc<HttpState>>,
    connection: Option<Extension<LongAnswer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let find = |symbol: &str| state.instruments.find(symbol);
    let filter = Filter::parse(&query, &find).map_err(refused)?;
    let last_id = last_id(&query, &headers)?;
    let client = state.hub.subscribe(last_id, filter).ok_or_else(|| {
        Problem::new(Code::TooManyStreams, "all streams are taken").retry_after(RETRY_AFTER_S)
    })?;
    if let Some(Extension(connection)) = connection {
        connection.begins();
    }
    let frames = unfold(client, |mut client| async move {
        let bytes = client.next().await?;
        Some((Ok::<_, Infallible>(bytes), client))
    });
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

fn last_id(query: &str, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let bad = |name: &'static str| {
        Problem::new(Code::BadParams, "the id of an event is a whole number").field(name)
    };
    // A library that has seen no id sends an empty header.
    if let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
        let id = value.to_str().ok().and_then(|text| text.parse().ok());
        return id.map(Some).ok_or_else(|| bad("Last-Event-ID"));
    }
    let pairs = pairs(query).map_err(refused)?;
    let given = pairs.iter().rev().find(|(name, _)| name == "last_id");
    match given {
        None => Ok(None),
        Some((_, text)) => text.parse().map(Some).map_err(|_| bad("last_id")),
    }
}

fn refused(bad: BadQuery) -> Problem {
    Problem::new(Code::BadParams, format!("expected {}", bad.expected)).field(bad.parameter)
}
