//! Answers and how they get back: the websocket API's envelope, HTTP's status and headers.
//!
//! Owns: who asked, what an answer carries next to its body, delivery. Does not: know methods.
//! Invariant: an answer has the form of the way on which its question came.

use std::net::IpAddr;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::connection::Out;
use super::super::limits::SECOND_US;
use super::super::methods::{ApiError, Listing};
use super::super::render::TimeUnit;
use super::super::source::VenueMicros;
use super::super::streams::Id;
use super::super::trading::answers;
use super::{ConnectionId, Hub};

/// HTTP requests whose answers a fault has lost: they stay open, so that the client waits. When
/// full, the oldest is cut.
const LOST_MAX: usize = 256;

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestReply {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// `X-MBX-USED-WEIGHT-1M`.
    pub(crate) used_weight: u32,
    /// `X-MBX-ORDER-COUNT-10S` and `-1D`.
    pub(crate) order_counts: Option<(u32, u32)>,
    /// `Retry-After`, seconds.
    pub(crate) retry_after_s: Option<u64>,
}

/// Who asked.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) ip: IpAddr,
    pub(crate) unit: TimeUnit,
    pub(crate) to: ReplyTo,
    /// Whether a websocket API answer lists the limits.
    pub(crate) with_limits: bool,
}

/// Where the answer goes.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    Socket { connection: ConnectionId, id: Id },
    Http(oneshot::Sender<RestReply>),
}

impl Caller {
    pub(super) fn listing(&self) -> Listing {
        match self.to {
            ReplyTo::Socket { .. } => Listing::WebsocketApi,
            ReplyTo::Http(_) => Listing::Rest,
        }
    }

    /// The websocket on which the question came.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        match self.to {
            ReplyTo::Socket { connection, .. } => Some(connection),
            ReplyTo::Http(_) => None,
        }
    }
}

/// What was found out, and the counts of orders that are told with it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) result: Result<String, ApiError>,
    pub(super) order_counts: Option<(u32, u32)>,
}

impl From<Result<String, ApiError>> for Answer {
    fn from(result: Result<String, ApiError>) -> Self {
        Self {
            result,
            order_counts: None,
        }
    }
}

/// An answer that is ready to leave.
#[derive(Debug)]
pub(crate) enum Reply {
    Socket(ConnectionId, Bytes),
    Http(oneshot::Sender<RestReply>, RestReply),
    /// The connection breaks instead.
    Break(ReplyTo),
}

impl Hub {
    /// Answers at once.
    pub(super) fn answer(&mut self, now: VenueMicros, caller: Caller, answer: impl Into<Answer>) {
        let reply = self.compose(now, caller, answer.into());
        self.deliver_reply(reply);
    }

    /// The answer as it will be read; counts and times are those of `now`.
    pub(super) fn compose(&mut self, now: VenueMicros, caller: Caller, answer: Answer) -> Reply {
        let Caller {
            ip,
            unit,
            to,
            with_limits,
        } = caller;
        match to {
            ReplyTo::Socket { connection, id } => {
                let limits = with_limits.then(|| self.rate_limits(now, ip, answer.order_counts));
                let text = envelope(now, unit, &id, &answer.result, limits.as_deref());
                Reply::Socket(connection, Bytes::from(text))
            }
            ReplyTo::Http(sender) => {
                let reply = self.rest_reply(now, ip, answer);
                Reply::Http(sender, reply)
            }
        }
    }

    pub(super) fn deliver_reply(&mut self, reply: Reply) {
        match reply {
            Reply::Socket(connection, text) => self.send(connection, Out::Text(text)),
            // A client that went away does not want its answer.
            Reply::Http(sender, reply) => drop(sender.send(reply)),
            Reply::Break(ReplyTo::Socket { connection, .. }) => {
                if let Some(broken) = self.connections.get(&connection) {
                    broken.io.reset_on_close();
                }
                self.closed(connection);
            }
            Reply::Break(ReplyTo::Http(sender)) => drop(sender),
        }
    }

    /// Never answers, but keeps the client waiting.
    pub(super) fn lose(&mut self, to: ReplyTo) {
        match to {
            ReplyTo::Socket { .. } => {}
            ReplyTo::Http(sender) => {
                if self.lost.len() == LOST_MAX {
                    self.lost.pop_front();
                }
                self.lost.push_back(sender);
            }
        }
    }

    /// The entries of `rateLimits`.
    fn rate_limits(
        &mut self,
        now: VenueMicros,
        ip: IpAddr,
        order_counts: Option<(u32, u32)>,
    ) -> String {
        let orders = order_counts.map_or_else(String::new, |counts| {
            format!("{},", answers::order_counts(self.trading.limits, counts))
        });
        format!(
            concat!(
                r#"{}{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"#,
                r#""limit":{},"count":{}}}"#
            ),
            orders,
            self.limits.weight_max(),
            self.limits.used(now, ip)
        )
    }

    fn rest_reply(&mut self, now: VenueMicros, ip: IpAddr, answer: Answer) -> RestReply {
        let used_weight = self.limits.used(now, ip);
        let order_counts = answer.order_counts;
        match answer.result {
            Ok(body) => RestReply {
                status: 200,
                body,
                used_weight,
                order_counts,
                retry_after_s: None,
            },
            Err(error) => RestReply {
                status: error.status,
                body: error.rest_json(),
                used_weight,
                order_counts,
                retry_after_s: error
                    .retry_at()
                    .map(|at| at.0.saturating_sub(now.0).div_ceil(SECOND_US)),
            },
        }
    }
}

/// The websocket API's envelope.
fn envelope(
    now: VenueMicros,
    unit: TimeUnit,
    id: &Id,
    result: &Result<String, ApiError>,
    rate_limits: Option<&str>,
) -> String {
    let (status, member, body) = match result {
        Ok(result) => (200, "result", result.clone()),
        Err(error) => (error.status, "error", error.json(unit.of(now), unit)),
    };
    let limits =
        rate_limits.map_or_else(String::new, |limits| format!(r#","rateLimits":[{limits}]"#));
    format!(
        r#"{{"id":{},"status":{status},"{member}":{body}{limits}}}"#,
        id.json()
    )
}
