//! What may be lost: top of book, trades and stage stamps, on a ring that drops the newest when full.
//!
//! Owns: [`Sample`], [`SampleWriter`], [`SampleReader`]. Does not: count what records count.
//! Invariant: every sample is either in the ring or in the count of dropped ones.

use super::occupancy::{ConsumerCount, Occupancy, ProducerCounts, occupancy};
use crate::instrument::InstrumentIndex;
use crate::order::OrderId;
use crate::units::{Lots, Nanos, Ticks, VenueMillis};
use rtrb::{Consumer, Producer, RingBuffer};

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// The best bid or ask of a live book changed.
    TopOfBook {
        /// Which book.
        instrument: InstrumentIndex,
        /// When its update was received.
        at: Nanos,
        /// Highest bid, if there is a bid.
        bid: Option<(Ticks, Lots)>,
        /// Lowest ask, if there is an ask.
        ask: Option<(Ticks, Lots)>,
    },
    /// A trade between others.
    Trade {
        /// Of what.
        instrument: InstrumentIndex,
        /// When it was received.
        at: Nanos,
        /// When the venue made it.
        venue_time: VenueMillis,
        /// The venue's number of it.
        trade_id: u64,
        /// At what price.
        price: Ticks,
        /// How much.
        qty: Lots,
        /// Whether the buyer's order was in the book and the seller took it.
        buyer_is_maker: bool,
    },
    /// The stamps of one message on its way to the book.
    Stages {
        /// Of what.
        instrument: InstrumentIndex,
        /// Bytes in user space.
        recv: Nanos,
        /// Update decoded.
        decoded: Nanos,
        /// Book updated.
        book: Nanos,
    },
    /// The stamps of one order on its way into the outbox.
    Order {
        /// Which one.
        order: OrderId,
        /// The wish for it.
        decided: Nanos,
        /// Risk's consent.
        admitted: Nanos,
        /// Its bytes, signed.
        encoded: Nanos,
    },
    /// The kernel took every order whose stamps came before this sample.
    OrdersSent {
        /// When.
        sent: Nanos,
    },
}

const _: () = assert!(
    size_of::<Sample>() <= 64,
    "a sample fits one cache line of the ring"
);

/// The core's end.
pub struct SampleWriter {
    ring: Producer<Sample>,
    counts: ProducerCounts,
}

/// The sidecar's end.
pub struct SampleReader {
    ring: Consumer<Sample>,
    count: ConsumerCount,
    occupancy: Occupancy,
}

/// A ring of `size` samples.
///
/// # Panics
/// When `size` is no power of two.
pub fn samples(size: usize) -> (SampleWriter, SampleReader) {
    assert!(size.is_power_of_two(), "ring sizes are powers of two");
    let (producer, consumer) = RingBuffer::new(size);
    let (counts, count, occupancy) = occupancy(size);
    (
        SampleWriter {
            ring: producer,
            counts,
        },
        SampleReader {
            ring: consumer,
            count,
            occupancy,
        },
    )
}

impl SampleWriter {
    /// Hands a sample over, or counts it as dropped when the ring is full.
    #[inline]
    pub fn push(&mut self, sample: Sample) {
        if self.ring.push(sample).is_ok() {
            self.counts.accepted();
        } else {
            self.counts.lost();
        }
    }
}

impl SampleReader {
    /// The oldest sample.
    #[inline]
    pub fn pop(&mut self) -> Option<Sample> {
        let sample = self.ring.pop().ok()?;
        self.count.taken();
        Some(sample)
    }

    /// Samples waiting.
    pub fn waiting(&self) -> usize {
        self.ring.slots()
    }

    /// Samples that fit.
    pub fn capacity(&self) -> usize {
        self.occupancy.capacity()
    }

    /// Samples dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.occupancy.lost()
    }

    /// How full the ring is, for others than its consumer.
    pub fn occupancy(&self) -> Occupancy {
        self.occupancy.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_dropped_and_counted() {
        let (mut writer, mut reader) = samples(4);
        let sample = |number: u64| Sample::Stages {
            instrument: InstrumentIndex(0),
            recv: Nanos(number),
            decoded: Nanos(number),
            book: Nanos(number),
        };
        for number in 0..6 {
            writer.push(sample(number));
        }
        assert_eq!(reader.dropped(), 2);
        assert_eq!((reader.waiting(), reader.capacity()), (4, 4));
        let seen = reader.occupancy();
        assert_eq!((seen.used(), seen.taken(), seen.lost()), (4, 0, 2));
        for number in 0..4 {
            assert_eq!(reader.pop(), Some(sample(number)));
        }
        assert_eq!(reader.pop(), None);
        writer.push(sample(9));
        assert_eq!(reader.pop(), Some(sample(9)));
        assert_eq!(reader.dropped(), 2);
        assert_eq!((seen.used(), seen.taken(), seen.lost()), (0, 5, 2));
    }
}
