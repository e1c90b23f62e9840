//! How full a ring is, for whoever is not one of its two ends.
//!
//! Owns: [`Occupancy`] and the two writers of its counts. Does not: see the ring itself. Invariants: each count has one
//! writer and only rises; what waits is told by counts of both ends, so it is true while the consumer stands still.

use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Written by the producer.
#[derive(Default)]
struct Given {
    accepted: AtomicU64,
    lost: AtomicU64,
}

/// The ends do not share a line: neither waits for the other's store.
#[derive(Default)]
struct Counts {
    given: CachePadded<Given>,
    taken: CachePadded<AtomicU64>,
}

/// Any number of readers; cheap to clone.
#[derive(Clone)]
pub struct Occupancy {
    counts: Arc<Counts>,
    capacity: usize,
}

/// The producer's counts.
pub(super) struct ProducerCounts {
    counts: Arc<Counts>,
    accepted: u64,
}

/// The consumer's count.
pub(super) struct ConsumerCount {
    counts: Arc<Counts>,
    taken: u64,
}

/// The counts of a ring of `capacity` elements.
pub(super) fn occupancy(capacity: usize) -> (ProducerCounts, ConsumerCount, Occupancy) {
    let counts = Arc::new(Counts::default());
    (
        ProducerCounts {
            counts: Arc::clone(&counts),
            accepted: 0,
        },
        ConsumerCount {
            counts: Arc::clone(&counts),
            taken: 0,
        },
        Occupancy { counts, capacity },
    )
}

impl ProducerCounts {
    /// The ring took an element. One writer: no locked instruction is needed.
    #[inline]
    pub(super) fn accepted(&mut self) {
        self.accepted += 1;
        self.counts.given.accepted.store(self.accepted, Relaxed);
    }

    /// The ring had no room for an element.
    #[cold]
    pub(super) fn lost(&mut self) {
        let lost = &self.counts.given.lost;
        lost.store(lost.load(Relaxed) + 1, Relaxed);
    }
}

impl ConsumerCount {
    /// An element was taken out.
    #[inline]
    pub(super) fn taken(&mut self) {
        self.taken += 1;
        self.counts.taken.store(self.taken, Relaxed);
    }
}

impl Occupancy {
    /// Elements waiting. Both ends may be at work: it is off by what passes between two loads, and never above
    /// [`Self::capacity`].
    pub fn used(&self) -> u64 {
        let taken = self.counts.taken.load(Relaxed);
        let accepted = self.counts.given.accepted.load(Relaxed);
        accepted.saturating_sub(taken).min(self.capacity as u64)
    }

    /// Elements that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Elements taken out since the start.
    pub fn taken(&self) -> u64 {
        self.counts.taken.load(Relaxed)
    }

    /// Elements that the ring had no room for since the start.
    pub fn lost(&self) -> u64 {
        self.counts.given.lost.load(Relaxed)
    }
}
