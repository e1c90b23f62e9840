//! The stream of events at `/api/stream`: server-sent events for any number of clients.
//!
//! Owns: [`Hub`], which takes events and wakes clients, and [`StreamCounts`]. The parts:
//!
//! | module | what |
//! | --- | --- |
//! | `stream/event.rs` | every kind of event and its payload |
//! | `stream/history.rs` | the last events with their ids, and where they end |
//! | `stream/filter.rs` | which events a client wants |
//! | `stream/client.rs` | one client: its place in the history, its frames |
//! | `stream/route.rs` | the route |
//! | `stream/market.rs` | events of markets and of the engine |
//! | `stream/trading.rs` | events of orders, the account, the strategy and risk |
//!
//! Does not: know sockets. An event is rendered once, by whoever publishes it, and lies in the history;
//! a client has no queue of its own but a place in that history, and copies references from there. So a
//! publisher does the same little work for one client and for a thousand, a slow client costs nobody
//! anything, and one that is overtaken is told which ids it missed.
//!
//! Invariants: ids rise by one with each event, over restarts too (they begin at the Unix time of the start in
//! microseconds); nothing is held while a socket is written; memory is bounded by the history and
//! [`CLIENTS_MAX`]; what a client did not get is in a `gap` event with its range.

pub mod event;
pub mod market;
pub mod route;
pub mod trading;

mod client;
mod filter;
mod history;

pub use event::{Kind, StreamEvent};

use crate::wall::UnixMs;
use axum::body::Bytes;
use client::Client;
use filter::Filter;
use history::{Cursor, History};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use veloz_core::instrument::InstrumentIndex;

/// Clients at once; the next one is told to try again later.
pub const CLIENTS_MAX: usize = 1_000;

/// Up to so many clients are woken by every event at once.
const CLIENTS_AT_ONCE: usize = 32;
/// With more of them, wakings are so far apart, and each brings all events since: a waking costs a
/// system call a client, an event in it nearly nothing.
const WAKE_EVERY: Duration = Duration::from_millis(20);

/// What became of events.
#[derive(Debug, Default)]
pub struct StreamCounts {
    published: [AtomicU64; Kind::ALL.len()],
    sent: AtomicU64,
    gaps: AtomicU64,
    refused: AtomicU64,
    clients: AtomicUsize,
}

impl StreamCounts {
    /// Events published, by their kind's label.
    pub fn published(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Kind::ALL
            .into_iter()
            .map(|kind| (kind.label(), self.published[kind.index()].load(Relaxed)))
    }

    /// Events handed to connections, all clients together.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Gaps told to clients.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Relaxed)
    }

    /// Clients refused because too many were there.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Clients connected.
    pub fn clients(&self) -> usize {
        self.clients.load(Relaxed)
    }
}

/// Takes events and wakes clients; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    history: Mutex<History>,
    counts: StreamCounts,
    /// From publishers to [`Hub::dispatch`].
    fresh: Notify,
    /// From there to clients: the id that comes next.
    next_id: watch::Sender<u64>,
    /// No more events come.
    closed: watch::Sender<bool>,
}

impl Hub {
    /// A hub that starts at `now`.
    pub fn new(now: UnixMs) -> Self {
        let first_id = now.0.saturating_mul(1_000).max(1);
        Self {
            shared: Arc::new(Shared {
                history: Mutex::new(History::new(first_id)),
                counts: StreamCounts::default(),
                fresh: Notify::new(),
                next_id: watch::Sender::new(first_id),
                closed: watch::Sender::new(false),
            }),
        }
    }

    /// What became of events.
    pub fn counts(&self) -> &StreamCounts {
        &self.shared.counts
    }

    /// Puts an event into the history; `instrument` is the one that it is about. Clients see it after the
    /// next [`Hub::announce`].
    pub fn publish(&self, event: &StreamEvent<'_>, instrument: Option<InstrumentIndex>) {
        let kind = event.kind();
        let body = event.render();
        self.history().push(kind, instrument, &body);
        self.shared.counts.published[kind.index()].fetch_add(1, Relaxed);
    }

    /// Says that events were published; costs one waking however many clients there are.
    pub fn announce(&self) {
        self.shared.fresh.notify_one();
    }

    /// Wakes clients when events were announced. Runs on the runtime of the HTTP server until `stop` goes;
    /// then streams end.
    pub async fn dispatch(&self, mut stop: watch::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                () = self.shared.fresh.notified() => {}
            }
            let next_id = self.history().next_id();
            self.shared.next_id.send_replace(next_id);
            if self.shared.counts.clients() > CLIENTS_AT_ONCE {
                tokio::time::sleep(WAKE_EVERY).await;
            }
        }
        self.shared.closed.send_replace(true);
    }

    /// A client that goes on after event `last_id`; `None` starts with the next event, zero with the oldest
    /// that is there. `None` as a result when too many are there.
    fn subscribe(&self, last_id: Option<u64>, filter: Filter) -> Option<Client> {
        let seat = Seat::take(self)?;
        let cursor = match last_id {
            None => Cursor::at(self.history().next_id()),
            Some(0) => self.history().oldest(),
            Some(last_id) => Cursor::at(last_id.saturating_add(1)),
        };
        Some(Client::new(seat, cursor, filter))
    }

    fn history(&self) -> MutexGuard<'_, History> {
        // A panic while pushing leaves a history that lacks its newest event.
        self.shared
            .history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place among [`CLIENTS_MAX`], until it is dropped.
struct Seat {
    hub: Hub,
}

impl Seat {
    fn take(hub: &Hub) -> Option<Self> {
        let counts = &hub.shared.counts;
        let taken = counts
            .clients
            .fetch_update(Relaxed, Relaxed, |clients| {
                (clients < CLIENTS_MAX).then_some(clients + 1)
            })
            .is_ok();
        if !taken {
            counts.refused.fetch_add(1, Relaxed);
            return None;
        }
        Some(Self { hub: hub.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.shared.counts.clients.fetch_sub(1, Relaxed);
    }
}

/// One event as it is sent.
type FrameBytes = Bytes;

#[cfg(test)]
mod tests;
