//! What must not be lost: numbered records of fixed size on a lossless ring.
//!
//! Owns: [`Record`], [`RecordWriter`], [`RecordReader`]; what records say is in `records/body.rs`, their bytes in
//! `records/encoding.rs`. Does not: write files, wait for its reader.
//!
//! Invariants:
//! - sequence numbers rise by one with every record that should have been written; a hole in them
//!   is exactly the records that the ring had no room for;
//! - above the high-water mark there is room for [`RECORDS_HEADROOM`] records, so that what is open
//!   when new work is refused can still be told;
//! - a loss latches: [`RecordWriter::loss`] stays `Some`.

mod body;
mod encoding;

pub use body::{
    BookState, CommandResult, EngineState, HaltCause, OrderRequest, RecordBody, ResyncCause,
    TradesKnown, TradingPhase, VenueRequest,
};
pub use encoding::{RECORD_VERSION, RecordError};

use super::occupancy::{ConsumerCount, Occupancy, ProducerCounts, occupancy};
use crate::limits::RECORDS_HEADROOM;
use crate::units::Nanos;
use rtrb::{Consumer, Producer, RingBuffer};
use std::mem::{offset_of, size_of};

/// One record as it lies in the ring: one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Record {
    /// Its number, from 0, without holes unless records were lost.
    pub sequence: u64,
    /// When the event that caused it was received, on the engine's clock.
    pub at: Nanos,
    /// What happened.
    pub body: RecordBody,
}

/// Bytes of a record, in the ring and encoded.
pub const RECORD_BYTES: usize = 64;

const _: () = assert!(size_of::<Record>() == RECORD_BYTES);
const _: () = assert!(offset_of!(Record, sequence) == 0);
const _: () = assert!(offset_of!(Record, at) == 8);
const _: () = assert!(offset_of!(Record, body) == 16);

/// The records that the ring had no room for. It may have taken some between the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The first sequence number lost.
    pub first: u64,
    /// The last sequence number lost.
    pub last: u64,
    /// How many were lost.
    pub count: u64,
}

/// The core's end.
pub struct RecordWriter {
    ring: Producer<Record>,
    next_sequence: u64,
    above_mark: bool,
    reported_above_mark: bool,
    loss: Option<Loss>,
    counts: ProducerCounts,
}

/// The sidecar's end.
pub struct RecordReader {
    ring: Consumer<Record>,
    count: ConsumerCount,
    occupancy: Occupancy,
}

/// A ring of `size` records.
///
/// # Panics
/// When `size` is no power of two above [`RECORDS_HEADROOM`].
pub fn records(size: usize) -> (RecordWriter, RecordReader) {
    assert!(size.is_power_of_two(), "ring sizes are powers of two");
    assert!(size > RECORDS_HEADROOM, "no room below the high-water mark");
    let (producer, consumer) = RingBuffer::new(size);
    let (counts, count, occupancy) = occupancy(size);
    (
        RecordWriter {
            ring: producer,
            next_sequence: 0,
            above_mark: false,
            reported_above_mark: false,
            loss: None,
            counts,
        },
        RecordReader {
            ring: consumer,
            count,
            occupancy,
        },
    )
}

impl RecordWriter {
    /// Numbers a record and hands it over; when the ring is full the number is spent and counted as lost.
    #[inline]
    pub fn push(&mut self, at: Nanos, body: RecordBody) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        // The cached count is a lower bound and touches no line of the reader's.
        if self.ring.cached_slots() <= RECORDS_HEADROOM {
            self.above_mark = self.ring.slots() <= RECORDS_HEADROOM;
        }
        let record = Record { sequence, at, body };
        if self.ring.push(record).is_ok() {
            self.counts.accepted();
        } else {
            self.lose(sequence);
        }
    }

    /// Whether the ring crossed its high-water mark since the last call: `Some(true)` upwards,
    /// `Some(false)` downwards. The loop turns it into [`crate::event::Event::Backlog`], once a turn.
    #[inline]
    pub fn backlog_change(&mut self) -> Option<bool> {
        if self.above_mark {
            self.above_mark = self.ring.slots() <= RECORDS_HEADROOM;
        }
        if self.above_mark == self.reported_above_mark {
            return None;
        }
        self.reported_above_mark = self.above_mark;
        Some(self.above_mark)
    }

    /// The records lost since the start, if any were.
    #[inline]
    pub fn loss(&self) -> Option<Loss> {
        self.loss
    }

    /// Records numbered so far, lost ones included.
    pub fn pushed(&self) -> u64 {
        self.next_sequence
    }

    #[cold]
    fn lose(&mut self, sequence: u64) {
        let loss = self.loss.get_or_insert(Loss {
            first: sequence,
            last: sequence,
            count: 0,
        });
        loss.last = sequence;
        loss.count += 1;
        self.counts.lost();
    }
}

impl RecordReader {
    /// The oldest record.
    #[inline]
    pub fn pop(&mut self) -> Option<Record> {
        let record = self.ring.pop().ok()?;
        self.count.taken();
        Some(record)
    }

    /// Records waiting.
    pub fn waiting(&self) -> usize {
        self.ring.slots()
    }

    /// Records that fit.
    pub fn capacity(&self) -> usize {
        self.occupancy.capacity()
    }

    /// Records that the ring had no room for, since the start.
    pub fn lost(&self) -> u64 {
        self.occupancy.lost()
    }

    /// How full the ring is, for others than its consumer.
    pub fn occupancy(&self) -> Occupancy {
        self.occupancy.clone()
    }

    /// Whether the core's end is gone; what waits can still be popped.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = RECORDS_HEADROOM.next_power_of_two() * 2;

    fn body(number: u32) -> RecordBody {
        RecordBody::Shutdown {
            links_closed: number,
        }
    }

    #[test]
    fn records_arrive_in_order_and_numbered() {
        let (mut writer, mut reader) = records(SIZE);
        for number in 0..10 {
            writer.push(Nanos(u64::from(number)), body(number));
        }
        for number in 0..10u32 {
            let record = reader.pop().expect("pushed");
            assert_eq!(record.sequence, u64::from(number));
            assert_eq!(record.at, Nanos(u64::from(number)));
            assert_eq!(record.body, body(number));
        }
        assert_eq!(reader.pop(), None);
        assert_eq!(writer.loss(), None);
    }

    #[test]
    fn the_mark_is_reported_once_each_way_and_leaves_its_headroom() {
        let (mut writer, mut reader) = records(SIZE);
        for number in 0..SIZE - RECORDS_HEADROOM {
            writer.push(Nanos::ZERO, body(number as u32));
            assert_eq!(writer.backlog_change(), None, "record {number}");
        }
        writer.push(Nanos::ZERO, body(0));
        assert_eq!(writer.backlog_change(), Some(true));
        assert_eq!(writer.backlog_change(), None);
        // The headroom takes what it promises, less the record that crossed the mark.
        for _ in 0..RECORDS_HEADROOM - 1 {
            writer.push(Nanos::ZERO, body(0));
        }
        assert_eq!(writer.loss(), None);
        assert_eq!(reader.waiting(), reader.capacity());

        while reader.pop().is_some() {}
        assert_eq!(writer.backlog_change(), Some(false));
        assert_eq!(writer.backlog_change(), None);
    }

    #[test]
    fn a_full_ring_spends_the_numbers_and_tells_the_range() {
        let (mut writer, mut reader) = records(SIZE);
        for _ in 0..SIZE + 3 {
            writer.push(Nanos::ZERO, body(0));
        }
        reader.pop().expect("full");
        writer.push(Nanos::ZERO, body(7));
        writer.push(Nanos::ZERO, body(8));
        let size = SIZE as u64;
        let expected = Loss {
            first: size,
            last: size + 4,
            count: 4,
        };
        assert_eq!(writer.loss(), Some(expected));
        assert_eq!(reader.lost(), 4);
        assert_eq!(writer.pushed(), size + 5);

        let mut seen = Vec::new();
        while let Some(record) = reader.pop() {
            seen.push(record.sequence);
        }
        assert_eq!(seen.last(), Some(&(size + 3)), "the hole is visible");
        assert_eq!(seen.len(), SIZE);
    }
}
