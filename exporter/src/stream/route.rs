//! `GET /api/stream`.
//!
//! Owns: the handler. Does not: authenticate. A client goes on where it was with `?last_id=N` or, as
//! `EventSource` does by itself, the header `Last-Event-ID`; the header wins, because it is newer: the
//! library repeats the address with every reconnection. Invariant: a stream ends, within
//! [`LOOK_EVERY`], when who opened it would not be let in any more.

use super::client::Client;
use super::filter::{BadQuery, Filter, pairs};
use crate::auth::{Auth, Principal};
use crate::http::HttpState;
use crate::http::problem::{Code, Problem};
use crate::http::routes::STREAM_PERMISSION;
use crate::http::server::LongAnswer;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx not to collect the stream before it passes it on.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Seconds after which a client that found no seat may try again.
const RETRY_AFTER_S: u64 = 10;

/// How often it is asked whether a client may still listen.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The stream.
pub(crate) async fn stream(
    State(state): State<Arc<HttpState>>,
    connection: Option<Extension<LongAnswer>>,
    principal: Option<Extension<Principal>>,
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
    let listener = Listener {
        client,
        standing: principal.and_then(|Extension(who)| Standing::of(&state, who)),
    };
    let frames = unfold(listener, |mut listener| async move {
        let bytes = listener.next().await?;
        Some((Ok::<_, Infallible>(bytes), listener))
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

/// A client, and whether it may still listen.
struct Listener {
    client: Client,
    /// `None` where nobody has to say who he is.
    standing: Option<Standing>,
}

impl Listener {
    async fn next(&mut self) -> Option<Bytes> {
        let Some(standing) = &mut self.standing else {
            return self.client.next().await;
        };
        tokio::select! {
            biased;
            () = standing.is_over() => None,
            bytes = self.client.next() => bytes,
        }
    }
}

/// Who listens, as long as he may.
struct Standing {
    state: Arc<HttpState>,
    auth: Arc<Auth>,
    who: Principal,
    look: Interval,
}

impl Standing {
    fn of(state: &Arc<HttpState>, who: Principal) -> Option<Self> {
        let mut look = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self {
            auth: state.auth.clone()?,
            state: Arc::clone(state),
            who,
            look,
        })
    }

    /// Returns when he may not any more.
    async fn is_over(&mut self) {
        loop {
            self.look.tick().await;
            let now = (self.state.unix)();
            if !self.auth.still_may(&self.who, STREAM_PERMISSION, now) {
                tracing::info!(
                    component = "auth",
                    user_id = self.who.user_id,
                    "a stream ends: who opened it may not listen any more"
                );
                return;
            }
        }
    }
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
