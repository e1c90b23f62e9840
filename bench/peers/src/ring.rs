//! The core's end of the records ring, numbering and high-water check included, against the bare
//! ring beneath it with the same record, size and batches.

use crate::measure::{Gate, Peer, compare, timed};
use std::hint::black_box;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::limits::{RECORDS_HEADROOM, RECORDS_RING_SIZE};
use veloz_core::telemetry::records::{BookState, Record, RecordBody, records};
use veloz_core::units::Nanos;

/// Below the high-water mark, as in a healthy run; the ring is emptied between rounds.
const PUSHES: usize = RECORDS_RING_SIZE - RECORDS_HEADROOM - 1;
const ROUNDS: usize = 401;

pub fn run() -> bool {
    let (mut writer, mut reader) = records(RECORDS_RING_SIZE);
    let (mut producer, mut consumer) = rtrb::RingBuffer::<Record>::new(RECORDS_RING_SIZE);
    let mut sequence = 0;

    let ours = move |_| {
        let took = timed(|| {
            for nth in 0..PUSHES as u64 {
                writer.push(Nanos(black_box(nth)), body(nth));
            }
        });
        assert!(writer.loss().is_none());
        let mut count = 0;
        while reader.pop().is_some() {
            count += 1;
        }
        assert_eq!(count, PUSHES);
        took
    };
    let bare = move |_| {
        let took = timed(|| {
            for nth in 0..PUSHES as u64 {
                let record = Record {
                    sequence,
                    at: Nanos(black_box(nth)),
                    body: body(nth),
                };
                producer.push(record).expect("room");
            }
        });
        sequence += 1;
        let mut count = 0;
        while consumer.pop().is_ok() {
            count += 1;
        }
        assert_eq!(count, PUSHES);
        took
    };
    // The bare ring is the yardstick here, so it stands first.
    compare(
        "record push, 64 bytes, consumer idle",
        PUSHES,
        ROUNDS,
        &mut [
            Peer::new("rtrb push", Gate::None, bare),
            Peer::new("veloz-core RecordWriter::push", Gate::AtMost(1.5), ours),
        ],
    )
}

#[inline(always)]
fn body(nth: u64) -> RecordBody {
    RecordBody::BookState {
        instrument: InstrumentIndex(black_box(nth) as u16),
        from: BookState::Syncing,
        to: BookState::Live,
        last_update_id: nth,
    }
}
