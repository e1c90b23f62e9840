//! What must not be lost: numbered records of fixed size on a lossless ring.
//!
//! Owns: [`RecordBody`], [`Record`] and its bytes, [`RecordWriter`], [`RecordReader`], the states and
//! causes that records name. Does not: write files, wait for its reader.
//!
//! Invariants:
//! - sequence numbers rise by one with every record that should have been written; a hole in them
//!   is exactly the records that the ring had no room for;
//! - above the high-water mark there is room for [`RECORDS_HEADROOM`] records, so that what is open
//!   when new work is refused can still be told;
//! - a loss latches: [`RecordWriter::loss`] stays `Some`.

use crate::event::{LinkDown, LinkId, LinkRole};
use crate::instrument::InstrumentIndex;
use crate::limits::RECORDS_HEADROOM;
use crate::units::Nanos;
use crossbeam_utils::CachePadded;
use rtrb::{Consumer, Producer, RingBuffer};
use std::mem::{offset_of, size_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

labelled! {
    /// Where the local copy of a book stands.
    pub enum BookState {
        /// No stream delivers updates of it.
        Waiting = "waiting",
        /// Updates are buffered until a snapshot joins them, for the first time on this connection.
        Syncing = "syncing",
        /// Equal to the venue's book as of the last update; the only state in which it may be used.
        Live = "live",
        /// It was live and is being rebuilt.
        Resyncing = "resyncing",
    }
}

labelled! {
    /// Why a book is rebuilt.
    pub enum ResyncCause {
        /// An update id is missing.
        Gap = "gap",
        /// Update ids went back.
        IdsWentBack = "ids_went_back",
        /// The best bid reached the best ask.
        Crossed = "crossed",
        /// The snapshot is older than the first buffered update.
        SnapshotTooOld = "snapshot_too_old",
        /// The venue refused the snapshot request or did not answer it in time.
        SnapshotFailed = "snapshot_failed",
        /// More updates arrived than the buffer holds before a snapshot joined them.
        BufferFull = "buffer_full",
        /// An update could not be read: the book may miss it.
        Unreadable = "unreadable",
        /// A level does not fit the book's bounds.
        Capacity = "capacity",
        /// The connection that carried its updates ended.
        LinkDown = "link_down",
        /// Its updates stopped while the venue's other streams went on.
        Silent = "silent",
        /// Its best price is not the one that the venue published for the same update id.
        TouchMismatch = "touch_mismatch",
    }
}

labelled! {
    /// Where the engine stands.
    pub enum EngineState {
        /// Connections are being made.
        Starting = "starting",
        /// Every book is live.
        Ready = "ready",
        /// At least one book is not live.
        Degraded = "degraded",
        /// An operator asked for the end.
        Stopping = "stopping",
        /// All links are closed.
        Stopped = "stopped",
    }
}

/// What happened. Every variant is `Copy` and holds numbers only; text is made by the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordBody {
    /// A connection came up.
    LinkUp {
        /// Which one.
        link: LinkId,
    },
    /// A connection ended or did not come up.
    LinkDown {
        /// Which one.
        link: LinkId,
        /// Why.
        cause: LinkDown,
    },
    /// A book changed its state.
    BookState {
        /// Which book.
        instrument: InstrumentIndex,
        /// Its state before.
        from: BookState,
        /// Its state now.
        to: BookState,
        /// The last update id applied, or 0 when there is none.
        last_update_id: u64,
    },
    /// A book is rebuilt.
    Resync {
        /// Which book.
        instrument: InstrumentIndex,
        /// Why.
        cause: ResyncCause,
        /// The update id that should have come, or 0 where ids are not the cause.
        expected: u64,
        /// The update id that came, or 0 where ids are not the cause.
        got: u64,
    },
    /// The venue sent something that it must not.
    Fault {
        /// The connection that carried it.
        link: LinkId,
        /// The instrument, where the message named one of ours.
        instrument: Option<InstrumentIndex>,
        /// The number of its kind: the discriminant of the venue's fault enum.
        kind: u8,
        /// A number that the kind explains: an offset, a length, an id.
        detail: u64,
    },
    /// The venue refused a request.
    RequestRefused {
        /// The connection that carried it.
        link: LinkId,
        /// Our id of the request.
        request_id: u64,
        /// The venue's error code.
        code: i64,
    },
    /// The engine changed its state.
    EngineState {
        /// Before.
        from: EngineState,
        /// Now.
        to: EngineState,
    },
    /// The last record of a run: the links still up were closed.
    Shutdown {
        /// How many were up.
        links_closed: u32,
    },
}

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

/// Version of the encoding; a journal names it in its header.
pub const RECORD_VERSION: u16 = 1;

const _: () = assert!(size_of::<Record>() == RECORD_BYTES);
const _: () = assert!(offset_of!(Record, sequence) == 0);
const _: () = assert!(offset_of!(Record, at) == 8);
const _: () = assert!(offset_of!(Record, body) == 16);

/// Offsets of the encoding. All integers are little-endian; bytes not named are zero.
mod field {
    pub(super) const SEQUENCE: usize = 0;
    pub(super) const AT: usize = 8;
    pub(super) const KIND: usize = 16;
    /// Three small numbers: states, causes, roles, flags.
    pub(super) const SMALL: [usize; 3] = [17, 18, 19];
    pub(super) const GENERATION: usize = 20;
    pub(super) const INSTRUMENT: usize = 24;
    pub(super) const LARGE: [usize; 2] = [32, 40];
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The kind byte names no kind of this version.
    #[error("record kind {0} is unknown to version {RECORD_VERSION}")]
    Kind(u8),
    /// A state, cause, role or flag is outside its range.
    #[error("record field at byte {offset} holds {value}, which means nothing there")]
    Field {
        /// Where.
        offset: usize,
        /// What stands there.
        value: u8,
    },
}

impl Record {
    /// The record with its stamp zeroed: what a replay must reproduce bit for bit.
    #[must_use]
    pub fn masked(mut self) -> Self {
        self.at = Nanos::ZERO;
        self
    }

    /// The record as bytes of version [`RECORD_VERSION`].
    pub fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        put(&mut bytes, field::SEQUENCE, self.sequence.to_le_bytes());
        put(&mut bytes, field::AT, self.at.0.to_le_bytes());
        let [small0, small1, small2] = field::SMALL;
        let [large0, large1] = field::LARGE;
        let link = |bytes: &mut [u8; RECORD_BYTES], link: LinkId| {
            bytes[small0] = link.role as u8;
            put(bytes, field::GENERATION, link.generation.to_le_bytes());
        };
        bytes[field::KIND] = match self.body {
            RecordBody::LinkUp { link: id } => {
                link(&mut bytes, id);
                0
            }
            RecordBody::LinkDown { link: id, cause } => {
                link(&mut bytes, id);
                bytes[small1] = cause as u8;
                1
            }
            RecordBody::BookState {
                instrument,
                from,
                to,
                last_update_id,
            } => {
                bytes[small0] = from as u8;
                bytes[small1] = to as u8;
                put(&mut bytes, field::INSTRUMENT, instrument.0.to_le_bytes());
                put(&mut bytes, large0, last_update_id.to_le_bytes());
                2
            }
            RecordBody::Resync {
                instrument,
                cause,
                expected,
                got,
            } => {
                bytes[small0] = cause as u8;
                put(&mut bytes, field::INSTRUMENT, instrument.0.to_le_bytes());
                put(&mut bytes, large0, expected.to_le_bytes());
                put(&mut bytes, large1, got.to_le_bytes());
                3
            }
            RecordBody::Fault {
                link: id,
                instrument,
                kind,
                detail,
            } => {
                link(&mut bytes, id);
                bytes[small1] = kind;
                if let Some(instrument) = instrument {
                    bytes[small2] = 1;
                    put(&mut bytes, field::INSTRUMENT, instrument.0.to_le_bytes());
                }
                put(&mut bytes, large0, detail.to_le_bytes());
                4
            }
            RecordBody::RequestRefused {
                link: id,
                request_id,
                code,
            } => {
                link(&mut bytes, id);
                put(&mut bytes, large0, request_id.to_le_bytes());
                put(&mut bytes, large1, code.to_le_bytes());
                5
            }
            RecordBody::EngineState { from, to } => {
                bytes[small0] = from as u8;
                bytes[small1] = to as u8;
                6
            }
            RecordBody::Shutdown { links_closed } => {
                put(&mut bytes, large0, u64::from(links_closed).to_le_bytes());
                7
            }
        };
        bytes
    }

    /// Reads what [`Record::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Result<Self, RecordError> {
        let [small0, small1, small2] = field::SMALL;
        let [large0, large1] = field::LARGE;
        let instrument = || InstrumentIndex(u16::from_le_bytes(take(bytes, field::INSTRUMENT)));
        let large = |offset| u64::from_le_bytes(take(bytes, offset));
        let link = || -> Result<LinkId, RecordError> {
            Ok(LinkId {
                role: one_of(&LinkRole::ALL, bytes, small0)?,
                generation: u32::from_le_bytes(take(bytes, field::GENERATION)),
            })
        };
        let body = match bytes[field::KIND] {
            0 => RecordBody::LinkUp { link: link()? },
            1 => RecordBody::LinkDown {
                link: link()?,
                cause: one_of(&LinkDown::ALL, bytes, small1)?,
            },
            2 => RecordBody::BookState {
                instrument: instrument(),
                from: one_of(&BookState::ALL, bytes, small0)?,
                to: one_of(&BookState::ALL, bytes, small1)?,
                last_update_id: large(large0),
            },
            3 => RecordBody::Resync {
                instrument: instrument(),
                cause: one_of(&ResyncCause::ALL, bytes, small0)?,
                expected: large(large0),
                got: large(large1),
            },
            4 => RecordBody::Fault {
                link: link()?,
                instrument: one_of(&[false, true], bytes, small2)?.then(instrument),
                kind: bytes[small1],
                detail: large(large0),
            },
            5 => RecordBody::RequestRefused {
                link: link()?,
                request_id: large(large0),
                code: large(large1) as i64,
            },
            6 => RecordBody::EngineState {
                from: one_of(&EngineState::ALL, bytes, small0)?,
                to: one_of(&EngineState::ALL, bytes, small1)?,
            },
            7 => RecordBody::Shutdown {
                links_closed: large(large0) as u32,
            },
            kind => return Err(RecordError::Kind(kind)),
        };
        Ok(Self {
            sequence: u64::from_le_bytes(take(bytes, field::SEQUENCE)),
            at: Nanos(u64::from_le_bytes(take(bytes, field::AT))),
            body,
        })
    }
}

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
    /// The count of [`RecordWriter::loss`] where the sidecar sees it; written only on a loss.
    lost: Arc<CachePadded<AtomicU64>>,
}

/// The sidecar's end.
pub struct RecordReader {
    ring: Consumer<Record>,
    capacity: usize,
    lost: Arc<CachePadded<AtomicU64>>,
}

/// A ring of `size` records.
///
/// # Panics
/// When `size` is no power of two above [`RECORDS_HEADROOM`].
pub fn records(size: usize) -> (RecordWriter, RecordReader) {
    assert!(size.is_power_of_two(), "ring sizes are powers of two");
    assert!(size > RECORDS_HEADROOM, "no room below the high-water mark");
    let (producer, consumer) = RingBuffer::new(size);
    let lost = Arc::new(CachePadded::new(AtomicU64::new(0)));
    (
        RecordWriter {
            ring: producer,
            next_sequence: 0,
            above_mark: false,
            reported_above_mark: false,
            loss: None,
            lost: Arc::clone(&lost),
        },
        RecordReader {
            ring: consumer,
            capacity: size,
            lost,
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
        if self.ring.push(record).is_err() {
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
        self.lost.store(loss.count, Relaxed);
    }
}

impl RecordReader {
    /// The oldest record.
    #[inline]
    pub fn pop(&mut self) -> Option<Record> {
        self.ring.pop().ok()
    }

    /// Records waiting.
    pub fn waiting(&self) -> usize {
        self.ring.slots()
    }

    /// Records that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Records that the ring had no room for, since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Whether the core's end is gone; what waits can still be popped.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }
}

fn put<const N: usize>(bytes: &mut [u8; RECORD_BYTES], offset: usize, value: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&value);
}

fn take<const N: usize>(bytes: &[u8; RECORD_BYTES], offset: usize) -> [u8; N] {
    *bytes[offset..]
        .first_chunk()
        .expect("offsets are constants inside the record")
}

/// The value whose discriminant stands at `offset`.
fn one_of<T: Copy>(all: &[T], bytes: &[u8; RECORD_BYTES], offset: usize) -> Result<T, RecordError> {
    let value = bytes[offset];
    all.get(usize::from(value))
        .copied()
        .ok_or(RecordError::Field { offset, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn the_encoding_is_pinned() {
        let record = Record {
            sequence: 0x0102_0304_0506_0708,
            at: Nanos(0x1112_1314_1516_1718),
            body: RecordBody::Fault {
                link: LinkId {
                    role: LinkRole::Api,
                    generation: 0x2122_2324,
                },
                instrument: Some(InstrumentIndex(0x3132)),
                kind: 9,
                detail: 0x4142_4344_4546_4748,
            },
        };
        let mut expected = [0; RECORD_BYTES];
        expected[..8].copy_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]);
        expected[8..16].copy_from_slice(&[0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        expected[16..20].copy_from_slice(&[4, 1, 9, 1]);
        expected[20..24].copy_from_slice(&[0x24, 0x23, 0x22, 0x21]);
        expected[24..26].copy_from_slice(&[0x32, 0x31]);
        expected[32..40].copy_from_slice(&[0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41]);
        assert_eq!(record.to_bytes(), expected);
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        let mut bytes = [0; RECORD_BYTES];
        bytes[field::KIND] = 8;
        assert_eq!(Record::from_bytes(&bytes), Err(RecordError::Kind(8)));
        bytes[field::KIND] = 6;
        bytes[field::SMALL[1]] = 99;
        assert_eq!(
            Record::from_bytes(&bytes),
            Err(RecordError::Field {
                offset: field::SMALL[1],
                value: 99
            })
        );
    }

    fn any_link() -> impl Strategy<Value = LinkId> {
        (proptest::sample::select(&LinkRole::ALL[..]), any::<u32>())
            .prop_map(|(role, generation)| LinkId { role, generation })
    }

    fn any_body() -> impl Strategy<Value = RecordBody> {
        use proptest::sample::select;
        let index = || any::<u16>().prop_map(InstrumentIndex);
        prop_oneof![
            any_link().prop_map(|link| RecordBody::LinkUp { link }),
            (any_link(), select(&LinkDown::ALL[..]))
                .prop_map(|(link, cause)| RecordBody::LinkDown { link, cause }),
            (
                index(),
                select(&BookState::ALL[..]),
                select(&BookState::ALL[..]),
                any::<u64>()
            )
                .prop_map(|(instrument, from, to, last_update_id)| {
                    RecordBody::BookState {
                        instrument,
                        from,
                        to,
                        last_update_id,
                    }
                }),
            (
                index(),
                select(&ResyncCause::ALL[..]),
                any::<u64>(),
                any::<u64>()
            )
                .prop_map(|(instrument, cause, expected, got)| RecordBody::Resync {
                    instrument,
                    cause,
                    expected,
                    got
                }),
            (
                any_link(),
                proptest::option::of(index()),
                any::<u8>(),
                any::<u64>()
            )
                .prop_map(|(link, instrument, kind, detail)| RecordBody::Fault {
                    link,
                    instrument,
                    kind,
                    detail
                }),
            (any_link(), any::<u64>(), any::<i64>()).prop_map(|(link, request_id, code)| {
                RecordBody::RequestRefused {
                    link,
                    request_id,
                    code,
                }
            }),
            (select(&EngineState::ALL[..]), select(&EngineState::ALL[..]))
                .prop_map(|(from, to)| RecordBody::EngineState { from, to }),
            any::<u32>().prop_map(|links_closed| RecordBody::Shutdown { links_closed }),
        ]
    }

    proptest! {
        #[test]
        fn encoding_and_decoding_are_inverse(sequence: u64, at: u64, body in any_body()) {
            let record = Record { sequence, at: Nanos(at), body };
            prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record));
            prop_assert_eq!(record.masked(), Record { at: Nanos::ZERO, ..record });
        }

        #[test]
        fn decoding_never_panics_and_encodes_back(bytes: [u8; 32]) {
            let mut whole = [0; RECORD_BYTES];
            whole[..32].copy_from_slice(&bytes);
            whole[16] %= 9;
            if let Ok(record) = Record::from_bytes(&whole) {
                prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record));
            }
        }
    }
}
