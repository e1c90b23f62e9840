//! The last things that the core did, always on, for the dump of a panic.
//!
//! Owns: [`TraceEvent`], [`TraceRing`]. Does not: leave the core thread while it runs.
//! Invariant: the ring overwrites its oldest entries and never grows; a count per kind survives what
//! was overwritten.

use crate::event::{LinkDown, LinkId};
use crate::instrument::InstrumentIndex;
use crate::limits::TRACE_RING_SIZE;
use crate::telemetry::records::{BookState, EngineState, ResyncCause};
use crate::units::Nanos;
use std::fmt::Write;

/// One thing that the core did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// A connection came up.
    LinkUp(LinkId),
    /// A connection ended.
    LinkDown(LinkId, LinkDown),
    /// A message of this many bytes was handled.
    Message(LinkId, u32),
    /// The venue sent something that it must not; the number is the kind's.
    Fault(u8),
    /// A depth snapshot was asked for.
    SnapshotRequested(InstrumentIndex),
    /// A book changed its state.
    BookState(InstrumentIndex, BookState),
    /// A book is rebuilt.
    Resync(InstrumentIndex, ResyncCause),
    /// The engine changed its state.
    EngineState(EngineState),
    /// The records ring passed its mark, or fell below it again.
    Backlog(bool),
}

/// Labels of the kinds, in the order of [`TraceEvent::kind`].
const KINDS: [&str; 9] = [
    "link_up",
    "link_down",
    "message",
    "fault",
    "snapshot_requested",
    "book_state",
    "resync",
    "engine_state",
    "backlog",
];

impl TraceEvent {
    const fn kind(self) -> usize {
        match self {
            Self::LinkUp(..) => 0,
            Self::LinkDown(..) => 1,
            Self::Message(..) => 2,
            Self::Fault(..) => 3,
            Self::SnapshotRequested(..) => 4,
            Self::BookState(..) => 5,
            Self::Resync(..) => 6,
            Self::EngineState(..) => 7,
            Self::Backlog(..) => 8,
        }
    }
}

/// The ring.
pub struct TraceRing {
    entries: Box<[(Nanos, TraceEvent)]>,
    /// Events ever traced; the next one goes to this position modulo the size.
    count: u64,
    counts: [u64; KINDS.len()],
}

impl Default for TraceRing {
    fn default() -> Self {
        Self::new()
    }
}

impl TraceRing {
    /// An empty ring of [`TRACE_RING_SIZE`] entries, its memory touched.
    pub fn new() -> Self {
        Self {
            entries: vec![(Nanos::ZERO, TraceEvent::Backlog(false)); TRACE_RING_SIZE]
                .into_boxed_slice(),
            count: 0,
            counts: [0; KINDS.len()],
        }
    }

    /// Notes an event.
    #[inline]
    pub fn push(&mut self, at: Nanos, event: TraceEvent) {
        let position = self.count as usize & (TRACE_RING_SIZE - 1);
        self.entries[position] = (at, event);
        self.count += 1;
        self.counts[event.kind()] += 1;
    }

    /// The events still in the ring, oldest first.
    pub fn events(&self) -> impl Iterator<Item = (Nanos, TraceEvent)> {
        let held = self.count.min(TRACE_RING_SIZE as u64);
        (self.count - held..self.count)
            .map(|number| self.entries[number as usize & (TRACE_RING_SIZE - 1)])
    }

    /// Counts by kind, then the events in the ring, as lines of text. Allocates: for a panic, not
    /// for the path.
    pub fn dump(&self) -> String {
        let mut text = format!("trace: {} events\n", self.count);
        for (kind, count) in KINDS.iter().zip(self.counts) {
            if count > 0 {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "  {kind} {count}");
            }
        }
        for (at, event) in self.events() {
            let _ = writeln!(text, "{:>16} {event:?}", at.0);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_last_and_the_counts_keep_all() {
        let mut ring = TraceRing::new();
        assert_eq!(ring.events().count(), 0);
        ring.push(Nanos(1), TraceEvent::Fault(7));
        for number in 0..TRACE_RING_SIZE as u64 {
            ring.push(Nanos(2 + number), TraceEvent::Backlog(true));
        }
        let held: Vec<_> = ring.events().collect();
        assert_eq!(held.len(), TRACE_RING_SIZE);
        assert_eq!(held[0].0, Nanos(2), "the oldest was overwritten");
        assert!(held.is_sorted_by_key(|(at, _)| *at));

        let dump = ring.dump();
        assert!(dump.contains("fault 1\n"), "{dump}");
        assert!(dump.contains(&format!("backlog {TRACE_RING_SIZE}\n")));
        assert!(!dump.contains("link_up"));
        assert_eq!(dump.lines().count(), TRACE_RING_SIZE + 3);
    }
}
