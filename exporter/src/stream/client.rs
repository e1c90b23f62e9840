//! One client: its place in the history, and the bytes that it gets.
//!
//! Owns: [`Client`]. Does not: write to a socket; the connection asks for the next bytes when it has sent
//! the last. So a client that does not read is not asked for, keeps its place, and finds it overtaken when
//! it reads again.

use super::filter::Filter;
use super::history::{Cursor, Gap, GapReason};
use super::{FrameBytes, Seat};
use axum::body::Bytes;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// How often a comment is sent, so that proxies and peers see that the connection lives.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
/// Sent at once, so that the client's library reports an open stream before the first event.
const GREETING: &[u8] = b": stream\n\n";

pub(super) struct Client {
    seat: Seat,
    cursor: Cursor,
    filter: Filter,
    next_id: watch::Receiver<u64>,
    closed: watch::Receiver<bool>,
    /// Begins with the first wait.
    keep_alive: Option<Interval>,
    greeted: bool,
}

impl Client {
    pub(super) fn new(seat: Seat, cursor: Cursor, filter: Filter) -> Self {
        let shared = &seat.hub.shared;
        Self {
            next_id: shared.next_id.subscribe(),
            closed: shared.closed.subscribe(),
            cursor,
            filter,
            keep_alive: None,
            greeted: false,
            seat,
        }
    }

    /// What is to be sent next; waits until there is something. `None` ends the stream.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            return Some(Bytes::from_static(GREETING));
        }
        loop {
            self.next_id.mark_unchanged();
            if let Some(bytes) = self.read() {
                return Some(bytes);
            }
            // What was published before the end is sent before it.
            if *self.closed.borrow_and_update() {
                return None;
            }
            let keep_alive = self.keep_alive.get_or_insert_with(keep_alive);
            tokio::select! {
                biased;
                _ = self.next_id.changed() => {}
                _ = self.closed.changed() => {}
                _ = keep_alive.tick() => return Some(Bytes::from_static(KEEP_ALIVE)),
            }
        }
    }

    /// What lies there and is wanted.
    fn read(&mut self) -> Option<Bytes> {
        loop {
            let found = self.seat.hub.history().read(&mut self.cursor, &self.filter);
            let counts = &self.seat.hub.shared.counts;
            counts.sent.fetch_add(found.frames.len() as u64, Relaxed);
            if found.gap.is_some() {
                counts.gaps.fetch_add(1, Relaxed);
            }
            match (found.gap, found.frames.as_slice()) {
                // The bytes that lie in the history, for all clients the same.
                (None, [one]) => return Some(one.clone()),
                (None, []) if found.more => {}
                (None, []) => return None,
                (gap, frames) => return Some(joined(gap, frames)),
            }
        }
    }
}

fn keep_alive() -> Interval {
    let mut every = interval_at(Instant::now() + KEEP_ALIVE_EVERY, KEEP_ALIVE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}

fn joined(gap: Option<Gap>, frames: &[FrameBytes]) -> Bytes {
    let size = frames.iter().map(FrameBytes::len).sum::<usize>();
    let mut bytes = Vec::with_capacity(size + 128);
    if let Some(gap) = gap {
        bytes.extend_from_slice(gap_frame(gap).as_bytes());
    }
    for frame in frames {
        bytes.extend_from_slice(frame);
    }
    bytes.into()
}

/// Without an id of its own: who reconnects right after it names the event before it, and is told again.
fn gap_frame(gap: Gap) -> String {
    let Gap { from, to, reason } = gap;
    let range = match reason {
        GapReason::NotKept => format!("\"from\":{from},\"to\":{to},\"reason\":\"not_kept\""),
        // An id that was never given is no beginning of a range.
        GapReason::UnknownId => format!("\"to\":{to},\"reason\":\"unknown_last_id\""),
    };
    format!("event: gap\ndata: {{\"type\":\"gap\",{range}}}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_tells_its_range_where_there_is_one() {
        let frame = |reason| {
            gap_frame(Gap {
                from: 7,
                to: 9,
                reason,
            })
        };
        assert_eq!(
            frame(GapReason::NotKept),
            "event: gap\ndata: {\"type\":\"gap\",\"from\":7,\"to\":9,\"reason\":\"not_kept\"}\n\n"
        );
        assert_eq!(
            frame(GapReason::UnknownId),
            "event: gap\ndata: {\"type\":\"gap\",\"to\":9,\"reason\":\"unknown_last_id\"}\n\n"
        );
    }
}
