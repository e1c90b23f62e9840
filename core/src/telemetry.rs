//! What the core tells the sidecar: counters, gauges, histograms, records, samples, and its own trace ring.
//!
//! Owns: the two ends [`Telemetry`] (core thread, the only writer) and [`TelemetryReader`] (sidecar).
//! Does not: format, log, block, allocate after [`telemetry`] returned, or read a clock.
//! Invariant: the core never waits here. Records are lossless up to their ring's size and say so when
//! they are not; samples are dropped when their ring is full, and counted; everything else is a
//! relaxed store into memory that has one writer.

pub mod counters;
pub mod gauges;
pub mod histograms;
pub mod occupancy;
pub mod records;
pub mod samples;
pub mod seqlock;
pub mod trace;

use crate::limits::{RECORDS_RING_SIZE, SAMPLES_RING_SIZE};
use counters::{CounterReader, CounterWriter};
use gauges::{GaugeReader, GaugeWriter};
use histograms::{HistogramReader, HistogramWriter};
use records::{RecordReader, RecordWriter};
use samples::{SampleReader, SampleWriter};
use trace::TraceRing;

/// The core's end. The fields are separate so that a borrow of one leaves the others free.
pub struct Telemetry {
    /// Monotonic counts.
    pub counters: CounterWriter,
    /// Current values, and the published state of every book.
    pub gauges: GaugeWriter,
    /// Latencies by stage.
    pub histograms: HistogramWriter,
    /// What must not be lost.
    pub records: RecordWriter,
    /// What may be lost.
    pub samples: SampleWriter,
    /// The last events, for a panic's dump.
    pub trace: TraceRing,
}

/// The sidecar's end.
pub struct TelemetryReader {
    /// Monotonic counts; cheap to clone, any number of readers.
    pub counters: CounterReader,
    /// Current values; cheap to clone, any number of readers.
    pub gauges: GaugeReader,
    /// The other half of the histogram swap.
    pub histograms: HistogramReader,
    /// The one consumer of records.
    pub records: RecordReader,
    /// The one consumer of samples.
    pub samples: SampleReader,
}

/// Ring sizes in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Records; a power of two above [`crate::limits::RECORDS_HEADROOM`].
    pub records: usize,
    /// Samples; a power of two.
    pub samples: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            records: RECORDS_RING_SIZE,
            samples: SAMPLES_RING_SIZE,
        }
    }
}

/// Both ends for an engine of `instrument_count` instruments; all memory is reserved and touched here.
///
/// # Panics
/// When a size is no power of two or leaves no room below the high-water mark: a bug in the caller.
pub fn telemetry(instrument_count: usize, sizes: Sizes) -> (Telemetry, TelemetryReader) {
    let (counters, counter_reader) = counters::counters(instrument_count);
    let (gauges, gauge_reader) = gauges::gauges(instrument_count);
    let (histograms, histogram_reader) = histograms::histograms();
    let (records, record_reader) = records::records(sizes.records);
    let (samples, sample_reader) = samples::samples(sizes.samples);
    (
        Telemetry {
            counters,
            gauges,
            histograms,
            records,
            samples,
            trace: TraceRing::new(),
        },
        TelemetryReader {
            counters: counter_reader,
            gauges: gauge_reader,
            histograms: histogram_reader,
            records: record_reader,
            samples: sample_reader,
        },
    )
}
