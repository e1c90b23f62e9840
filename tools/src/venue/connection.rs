//! One websocket client as the venue sees it: its queue, liveness and subscriptions.
//!
//! Owns: what waits to be written, outstanding pings, the frame rate, the deadlines. Does not:
//! touch a socket or read a clock. Invariant: the queue is bounded in frames and bytes; when it
//! is full the connection is lost, as the venue does with a slow consumer.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::config::VenueConfig;
use super::faulty_io::IoControl;
use super::limits::FrameRate;
use super::render::TimeUnit;
use super::source::VenueMicros;
use super::trading::session::Session;

/// Pings whose answer is awaited; a flood beyond it forgets the oldest.
const PINGS_OUTSTANDING_MAX: usize = 256;
/// How long a client may take to answer a close frame.
const CLOSE_ANSWER_US: u64 = 5_000_000;

/// Which service a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `/ws` and `/stream`.
    Streams,
    /// `/ws-api/v3`.
    Api,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// A text frame; not necessarily UTF-8, when a fault says so.
    Text(Bytes),
    /// A text message in three fragments with a ping between.
    Fragmented(Bytes),
    /// A text frame in segments of so many bytes.
    Split {
        bytes: usize,
        payload: Bytes,
    },
    /// Half a text frame, then the end of the connection.
    Truncated(Bytes),
    /// Hold back the next so many frames and write them at once.
    Merge(usize),
    Ping(Bytes),
    Pong(Bytes),
    Close(u16, &'static str),
}

impl Out {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(payload)
            | Self::Fragmented(payload)
            | Self::Split { payload, .. }
            | Self::Truncated(payload)
            | Self::Ping(payload)
            | Self::Pong(payload) => payload.len(),
            Self::Merge(_) | Self::Close(..) => 0,
        }
    }
}

/// What the connection's task waits for.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The queue holds something.
    pub(crate) queued: Notify,
    /// The venue is done with this connection: drop it without a word.
    pub(crate) gone: Notify,
}

/// How a client connected.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) ip: IpAddr,
    pub(crate) surface: Surface,
    pub(crate) combined: bool,
    pub(crate) unit: TimeUnit,
    pub(crate) return_rate_limits: bool,
    pub(crate) streams: Vec<String>,
}

/// What a timer pass found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// The connection is over and its task must end.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ip: IpAddr,
    pub(crate) surface: Surface,
    pub(crate) combined: bool,
    pub(crate) unit: TimeUnit,
    pub(crate) return_rate_limits: bool,
    pub(crate) subscriptions: Vec<String>,
    /// What a websocket API connection is logged on as and listens to.
    pub(crate) session: Session,
    pub(crate) signals: Arc<Signals>,
    pub(crate) io: Arc<IoControl>,
    pub(crate) rate: FrameRate,
    pub(crate) silent_until: Option<VenueMicros>,
    pub(crate) stalled_until: Option<VenueMicros>,
    /// When a close frame follows an announced shutdown.
    pub(crate) shutdown_at: Option<VenueMicros>,
    queue: VecDeque<Out>,
    queued_bytes: usize,
    next_ping: VenueMicros,
    ping_count: u64,
    pings: VecDeque<(Bytes, VenueMicros)>,
    life_ends: VenueMicros,
    close_by: Option<VenueMicros>,
}

impl Connection {
    pub(crate) fn new(
        now: VenueMicros,
        opening: &Opening,
        config: &VenueConfig,
        signals: Arc<Signals>,
        io: Arc<IoControl>,
    ) -> Self {
        Self {
            ip: opening.ip,
            surface: opening.surface,
            combined: opening.combined,
            unit: opening.unit,
            return_rate_limits: opening.return_rate_limits,
            subscriptions: Vec::new(),
            session: Session::new(now),
            signals,
            io,
            rate: FrameRate::default(),
            silent_until: None,
            stalled_until: None,
            shutdown_at: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            next_ping: after_ms(now, config.ping_interval_ms),
            ping_count: 0,
            pings: VecDeque::new(),
            life_ends: after_ms(now, config.connection_life_ms),
            close_by: None,
        }
    }

    /// Queues a frame; `false` when the client is too slow and must go.
    pub(crate) fn push(&mut self, out: Out, config: &VenueConfig) -> bool {
        if self.is_closing() || self.silent_until.is_some() {
            return true;
        }
        let bytes = self.queued_bytes + out.bytes();
        if self.queue.len() >= config.client_queue_frames || bytes > config.client_queue_bytes {
            return false;
        }
        self.queued_bytes = bytes;
        self.queue.push_back(out);
        if self.stalled_until.is_none() {
            self.signals.queued.notify_one();
        }
        true
    }

    /// Queues a close frame; nothing is sent after it.
    pub(crate) fn close(&mut self, now: VenueMicros, code: u16, reason: &'static str) {
        if self.is_closing() {
            return;
        }
        self.queue.push_back(Out::Close(code, reason));
        self.close_by = Some(VenueMicros(now.0 + CLOSE_ANSWER_US));
        self.stalled_until = None;
        self.signals.queued.notify_one();
    }

    /// Sends a ping now, with a payload that no other ping has.
    pub(crate) fn ping(&mut self, now: VenueMicros, config: &VenueConfig) -> bool {
        if self.is_closing() || self.silent_until.is_some() {
            return true;
        }
        self.ping_count += 1;
        let payload = Bytes::from(format!("{}-{}", now.0 / 1_000, self.ping_count));
        if self.pings.len() == PINGS_OUTSTANDING_MAX {
            self.pings.pop_front();
        }
        self.pings.push_back((payload.clone(), now));
        self.push(Out::Ping(payload), config)
    }

    /// Takes a pong; `false` when it answers no ping of ours but carries a payload.
    pub(crate) fn pong(&mut self, payload: &[u8]) -> bool {
        if let Some(position) = self.pings.iter().position(|(sent, _)| sent == payload) {
            self.pings.drain(..=position);
            return true;
        }
        payload.is_empty()
    }

    /// One timer pass; pings, cuts and timeouts happen here.
    pub(crate) fn tick(&mut self, now: VenueMicros, config: &VenueConfig) -> Due {
        if self.close_by.is_some_and(|at| at <= now) {
            return Due::Gone;
        }
        if self.silent_until.is_some_and(|at| at <= now) {
            self.silent_until = None;
        }
        if self.stalled_until.is_some_and(|at| at <= now) {
            self.stalled_until = None;
            self.signals.queued.notify_one();
        }
        if self.shutdown_at.is_some_and(|at| at <= now) {
            self.close(now, 1001, "server shutdown");
        }
        if self.life_ends <= now {
            self.close(now, 1001, "connection lifetime reached");
        }
        if self.pong_deadline(config).is_some_and(|at| at <= now) {
            self.close(now, 1008, "Pong timeout");
        }
        if self.next_ping <= now {
            self.next_ping = after_ms(now, config.ping_interval_ms);
            if !self.ping(now, config) {
                return Due::Gone;
            }
        }
        Due::Nothing
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn deadline(&self, config: &VenueConfig) -> VenueMicros {
        if let Some(close_by) = self.close_by {
            return close_by;
        }
        [
            Some(self.next_ping),
            Some(self.life_ends),
            self.pong_deadline(config),
            self.silent_until,
            self.stalled_until,
            self.shutdown_at,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.next_ping)
    }

    /// Moves up to `max` frames out of the queue.
    pub(crate) fn take(&mut self, max: usize, batch: &mut Vec<Out>) {
        if self.stalled_until.is_some() {
            return;
        }
        let count = self.queue.len().min(max);
        for out in self.queue.drain(..count) {
            self.queued_bytes -= out.bytes();
            batch.push(out);
        }
    }

    /// Whether the flow of a recorded session should wait for this client: its queue is half full,
    /// or the answer to its request has not gone out. Served as fast as possible, the flow would
    /// otherwise overtake the snapshot that the client's book waits for, by thousands of frames.
    pub(crate) fn is_behind(&self, config: &VenueConfig) -> bool {
        let answer_waits = self.surface == Surface::Api && !self.queue.is_empty();
        answer_waits
            || self.queue.len() * 2 > config.client_queue_frames
            || self.queued_bytes * 2 > config.client_queue_bytes
    }

    /// Nothing waits to be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.close_by.is_some()
    }

    /// Ends the connection's life now: the 24 h cut.
    pub(crate) fn cut(&mut self, now: VenueMicros) {
        self.life_ends = now;
    }

    fn pong_deadline(&self, config: &VenueConfig) -> Option<VenueMicros> {
        let (_, sent_at) = self.pings.front()?;
        Some(after_ms(*sent_at, config.pong_timeout_ms))
    }
}

/// A time so many milliseconds later.
pub(crate) fn after_ms(now: VenueMicros, ms: u64) -> VenueMicros {
    VenueMicros(now.0.saturating_add(ms.saturating_mul(1_000)))
}
