//! Latencies by stage: quantiles, exact buckets and sums, handed to the sidecar by swapping boxes.
//!
//! Owns: [`Stage`], [`BUCKET_BOUNDS_NS`], [`LatencySet`], [`HistogramWriter`], [`HistogramReader`].
//! Does not: read a clock, convert to seconds. Invariants: every observation is counted, none is
//! sampled; buckets are exact at their bounds, which a high-dynamic-range histogram alone is not;
//! the core never copies, clears or frees a set: when the sidecar has sent no empty one back, the
//! core goes on recording into the one it has.

use crate::limits::HISTOGRAM_SETS;
use crate::units::Nanos;
use rtrb::{Consumer, Producer, RingBuffer};
use std::hint::black_box;

labelled! {
    /// A pair of stamps whose distance is recorded for every event.
    pub enum Stage {
        /// Bytes in user space to a decoded update.
        RecvToDecoded = "recv_to_decoded",
        /// Decoded update to the updated book.
        DecodedToBook = "decoded_to_book",
        /// Bytes in user space to the updated book.
        RecvToBook = "recv_to_book",
        /// A turn of the core's loop that handled at least one event.
        LoopTurn = "loop_turn",
        /// Updated book to the strategy's wishes, every book update that a strategy saw.
        BookToDecided = "book_to_decided",
        /// The strategy's wish to risk's consent.
        DecidedToAdmitted = "decided_to_admitted",
        /// Risk's consent to the encoded, signed order.
        AdmittedToEncoded = "admitted_to_encoded",
        /// Encoded order to the kernel.
        EncodedToSent = "encoded_to_sent",
        /// Bytes in user space to the order that they caused in the kernel's hands.
        TickToOrder = "tick_to_order",
        /// An order in the kernel's hands to the venue's first word on it.
        OrderAck = "order_ack",
        /// A cancel to the venue's answer.
        CancelRoundTrip = "cancel_round_trip",
        /// A replacement to the venue's answer.
        ReplaceRoundTrip = "replace_round_trip",
        /// An amend to the venue's answer.
        AmendRoundTrip = "amend_round_trip",
        /// A log-on to the venue's answer.
        LogOnRoundTrip = "log_on_round_trip",
        /// A subscription to user data to the venue's answer.
        SubscribeRoundTrip = "subscribe_round_trip",
        /// A question about one order to the venue's answer.
        OrderStatusRoundTrip = "order_status_round_trip",
        /// A question about all open orders to the venue's answer.
        OpenOrdersRoundTrip = "open_orders_round_trip",
        /// A question about own trades to the venue's answer.
        TradesRoundTrip = "trades_round_trip",
        /// A question about the account to the venue's answer.
        AccountRoundTrip = "account_round_trip",
        /// A question about counts of orders to the venue's answer.
        OrderCountsRoundTrip = "order_counts_round_trip",
        /// A depth snapshot, from the request handed to the edge to the answer received.
        SnapshotRoundTrip = "snapshot_round_trip",
    }
}

/// Upper bounds of the exact buckets, inclusive. Below 100 µs for us; from there on every boundary
/// of the metrics that operators already have rules for, so that each of those can be cut from these.
pub const BUCKET_BOUNDS_NS: [u64; 31] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    20_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    2_500_000_000,
    4_000_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Buckets of one stage: one a bound, and one for what is above the last.
pub const BUCKETS: usize = BUCKET_BOUNDS_NS.len() + 1;

/// The first bucket that can hold a value of this bit length: one load instead of a search.
const FIRST_BUCKET: [u8; 65] = first_buckets();

/// What is above it counts as this value for quantiles.
const VALUE_MAX_NS: u64 = BUCKET_BOUNDS_NS[BUCKET_BOUNDS_NS.len() - 1];
/// Values below 256 have a place each, and every doubling from there on has 128 of them: two significant digits.
const EXACT_BITS: u32 = 8;
const PLACES_PER_DOUBLING: usize = 1 << (EXACT_BITS - 1);
const PLACES: usize = place_of(VALUE_MAX_NS) + 1;

/// Observations of one stage.
///
/// The places are those of an hdrhistogram of two digits. Written here because the bounds are constants then: its
/// record costs four times the instructions, several times a message.
pub struct Latency {
    places: Box<[u32; PLACES]>,
    buckets: [u64; BUCKETS],
    sum_ns: u64,
    max_ns: u64,
}

impl Latency {
    fn new() -> Self {
        // Ones first, so that the zeros are written and the core takes no page fault here.
        let places = vec![1; PLACES].into_boxed_slice();
        let mut latency = Self {
            places: places.try_into().expect("so many were made"),
            buckets: [0; BUCKETS],
            sum_ns: 0,
            max_ns: 0,
        };
        black_box(&mut latency).clear();
        latency
    }

    #[inline]
    fn record(&mut self, ns: u64) {
        let place = &mut self.places[place_of(ns.min(VALUE_MAX_NS))];
        *place = place.saturating_add(1);
        self.buckets[bucket_of(ns)] += 1;
        self.sum_ns = self.sum_ns.wrapping_add(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    fn clear(&mut self) {
        self.places.fill(0);
        self.buckets = [0; BUCKETS];
        self.sum_ns = 0;
        self.max_ns = 0;
    }

    /// Values and their counts for quantiles, ascending, at two significant digits: each is the highest of those
    /// that count as the same; values above the last bound count as that bound.
    pub fn values(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let counted = self.places.iter().enumerate();
        counted
            .filter(|(_, count)| **count > 0)
            .map(|(place, count)| (highest_of(place), *count))
    }

    /// Observations in each bucket, not cumulative.
    pub fn buckets(&self) -> &[u64; BUCKETS] {
        &self.buckets
    }

    /// Sum of all observations.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The largest observation.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// One interval's observations of every stage.
pub struct LatencySet {
    stages: [Latency; Stage::ALL.len()],
}

impl LatencySet {
    fn new() -> Self {
        Self {
            stages: std::array::from_fn(|_| Latency::new()),
        }
    }

    /// The observations of one stage.
    pub fn stage(&self, stage: Stage) -> &Latency {
        &self.stages[stage.index()]
    }
}

/// The core's end.
pub struct HistogramWriter {
    set: Box<LatencySet>,
    filled: Producer<Box<LatencySet>>,
    empty: Consumer<Box<LatencySet>>,
}

/// The sidecar's end.
pub struct HistogramReader {
    filled: Consumer<Box<LatencySet>>,
    empty: Producer<Box<LatencySet>>,
    /// The set that waits here until the next [`HistogramReader::request`].
    spare: Option<Box<LatencySet>>,
}

/// Both ends, with [`HISTOGRAM_SETS`] sets between them.
pub fn histograms() -> (HistogramWriter, HistogramReader) {
    let (filled_in, filled_out) = RingBuffer::new(HISTOGRAM_SETS);
    let (empty_in, empty_out) = RingBuffer::new(HISTOGRAM_SETS);
    (
        HistogramWriter {
            set: Box::new(LatencySet::new()),
            filled: filled_in,
            empty: empty_out,
        },
        HistogramReader {
            filled: filled_out,
            empty: empty_in,
            spare: Some(Box::new(LatencySet::new())),
        },
    )
}

impl HistogramWriter {
    /// Records the distance of two stamps; zero when `to` is earlier.
    #[inline]
    pub fn record(&mut self, stage: Stage, from: Nanos, to: Nanos) {
        self.set.stages[stage.index()].record(to.since(from).0);
    }

    /// Hands the filled set over if the sidecar has sent an empty one. Belongs into housekeeping.
    #[inline]
    pub fn swap(&mut self) {
        if let Ok(empty) = self.empty.pop() {
            let filled = std::mem::replace(&mut self.set, empty);
            let pushed = self.filled.push(filled);
            debug_assert!(pushed.is_ok(), "as many slots as sets exist");
        }
    }
}

impl HistogramReader {
    /// Asks the core for its set by sending an empty one; nothing happens while one is on its way.
    pub fn request(&mut self) {
        if let Some(spare) = self.spare.take()
            && let Err(rtrb::PushError::Full(spare)) = self.empty.push(spare)
        {
            self.spare = Some(spare);
        }
    }

    /// Reads the set that the core handed over since the last call, if it did; it is cleared afterwards.
    pub fn take(&mut self, read: impl FnOnce(&LatencySet)) -> bool {
        let Ok(mut set) = self.filled.pop() else {
            return false;
        };
        read(&set);
        for stage in &mut set.stages {
            stage.clear();
        }
        self.spare = Some(set);
        true
    }
}

/// Where a value counts.
#[inline]
const fn place_of(ns: u64) -> usize {
    let exact = (1 << EXACT_BITS) - 1;
    let doublings = u64::BITS - EXACT_BITS - (ns | exact).leading_zeros();
    doublings as usize * PLACES_PER_DOUBLING + (ns >> doublings) as usize
}

/// The highest value that counts there.
const fn highest_of(place: usize) -> u64 {
    let doublings = (place / PLACES_PER_DOUBLING).saturating_sub(1);
    let first = place - doublings * PLACES_PER_DOUBLING;
    ((first as u64 + 1) << doublings) - 1
}

/// The first bucket whose bound is not below `ns`.
#[inline]
fn bucket_of(ns: u64) -> usize {
    let bits = u64::BITS - ns.leading_zeros();
    let mut bucket = usize::from(FIRST_BUCKET[bits as usize]);
    // At most four bounds share one bit length.
    while bucket < BUCKET_BOUNDS_NS.len() && BUCKET_BOUNDS_NS[bucket] < ns {
        bucket += 1;
    }
    bucket
}

const fn first_buckets() -> [u8; 65] {
    let mut first = [0; 65];
    let mut bits = 1;
    while bits <= 64 {
        let smallest = 1u64 << (bits - 1);
        let mut bucket = 0;
        while bucket < BUCKET_BOUNDS_NS.len() && BUCKET_BOUNDS_NS[bucket] < smallest {
            bucket += 1;
        }
        first[bits] = bucket as u8;
        bits += 1;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_rise_and_every_value_on_a_bound_belongs_to_it() {
        assert!(BUCKET_BOUNDS_NS.is_sorted_by(|a, b| a < b));
        for (bucket, &bound) in BUCKET_BOUNDS_NS.iter().enumerate() {
            assert_eq!(bucket_of(bound), bucket);
            assert_eq!(bucket_of(bound + 1), bucket + 1);
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn no_observation_is_lost_over_swaps() {
        let (mut writer, mut reader) = histograms();
        let mut count = 0;
        let mut sum_ns = 0;
        let mut read = |set: &LatencySet| {
            let latency = set.stage(Stage::LoopTurn);
            count += latency.count();
            sum_ns += latency.sum_ns();
            let values = latency.values().map(|(_, count)| u64::from(count));
            assert_eq!(values.sum::<u64>(), latency.count());
            assert_eq!(set.stage(Stage::RecvToBook).count(), 0);
        };
        for round in 0..10u64 {
            for ns in 0..100 {
                writer.record(
                    Stage::LoopTurn,
                    Nanos(1_000),
                    Nanos(1_000 + round * 100 + ns),
                );
            }
            // Every third time the sidecar asks too late: the core keeps its set.
            if round % 3 != 0 {
                reader.request();
            }
            writer.swap();
            reader.take(&mut read);
        }
        reader.request();
        writer.swap();
        assert!(reader.take(&mut read));
        assert!(!reader.take(|_| panic!("there is no second set")));
        assert_eq!((count, sum_ns), (1_000, (0..1_000).sum()));
    }

    #[test]
    fn values_past_the_last_bound_are_counted_above_it() {
        let mut latency = Latency::new();
        latency.record(VALUE_MAX_NS * 3);
        assert_eq!(latency.buckets()[BUCKETS - 1], 1);
        assert_eq!(latency.max_ns(), VALUE_MAX_NS * 3);
        assert!(latency.values().all(|(value, _)| value >= VALUE_MAX_NS));
    }

    proptest! {
        #[test]
        fn values_are_those_of_an_hdrhistogram(ns: u64, shift in 0u32..64) {
            let ns = ns >> shift;
            let mut latency = Latency::new();
            latency.record(ns);
            let mut reference = hdrhistogram::Histogram::<u32>::new_with_bounds(1, VALUE_MAX_NS, 2).expect("in range");
            reference.saturating_record(ns.min(VALUE_MAX_NS));
            let expected = reference.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value()));
            prop_assert!(latency.values().eq(expected));
        }

        #[test]
        fn the_table_agrees_with_a_search(ns: u64) {
            let searched = BUCKET_BOUNDS_NS.partition_point(|&bound| bound < ns);
            prop_assert_eq!(bucket_of(ns), searched);
            prop_assert_eq!(bucket_of(ns >> 20), BUCKET_BOUNDS_NS.partition_point(|&bound| bound < ns >> 20));
        }
    }
}
