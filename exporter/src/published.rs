//! What the drain leaves for others to read.
//!
//! Owns: [`Published`] and the [`Shared`] place where it lies. Does not: hold what the core's counters
//! and gauges already tell; those are read where they are. Invariants: the lock is held for a copy and
//! never across a page, a log line or a wait, and the core does not know it; how full the rings are is looked up
//! when it is read, so that a drain that stands still is seen.

use crate::analytics::Analysis;
use crate::latency::{Exemplars, Quantiles, StageBuckets};
use crate::status::{Rates, RingLine, Slowest};
use std::sync::{Arc, Mutex, PoisonError};
use veloz_core::telemetry::histograms::Stage;
use veloz_core::telemetry::occupancy::Occupancy;
use veloz_core::telemetry::records::EngineState;
use veloz_core::units::{Lots, Nanos, Ticks};

/// Stages of the core.
const STAGES: usize = Stage::ALL.len();

/// A trade between others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTrade {
    /// When we saw it, on the engine's clock.
    pub at: Nanos,
    /// At what price.
    pub price: Ticks,
    /// How much.
    pub qty: Lots,
}

/// What the rings and swapped histograms added up to.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Exact bucket counts of each stage since the start.
    pub latencies: [StageBuckets; STAGES],
    /// Orders that took as long as the buckets of [`Stage::OrderAck`] say, with their traces.
    pub order_exemplars: Exemplars,
    /// Quantiles of each stage since the start.
    pub since_start: [Quantiles; STAGES],
    /// Quantiles of each stage over the last second.
    pub last_second: [Quantiles; STAGES],
    /// The records ring. The drain keeps the most that ever waited; the rest is looked up by [`Shared::read`].
    pub records: RingLine,
    /// The samples ring, in the same way.
    pub samples: RingLine,
    /// Log lines left out.
    pub log_lines_suppressed: u64,
    /// What happened in the last second.
    pub rates: Rates,
    /// Messages of each instrument in the last second.
    pub messages_per_second: Vec<u64>,
    /// The last trade seen of each instrument.
    pub last_trades: Vec<Option<LastTrade>>,
    /// The slowest message of the last second.
    pub slowest: Option<Slowest>,
    /// The engine's last word about itself.
    pub engine: Option<EngineState>,
    /// Whether every component was good at least once.
    pub was_ready: bool,
    /// Risk and performance of the account, once its equity is known.
    pub analysis: Option<Analysis>,
}

impl Published {
    /// Nothing happened yet.
    pub fn new(instrument_count: usize) -> Self {
        let ring = |name| RingLine {
            name,
            used: 0,
            used_max: 0,
            capacity: 0,
            taken: 0,
            lost: 0,
        };
        Self {
            latencies: [StageBuckets::EMPTY; STAGES],
            order_exemplars: Exemplars::NONE,
            since_start: [Quantiles::default(); STAGES],
            last_second: [Quantiles::default(); STAGES],
            records: ring("records"),
            samples: ring("samples"),
            log_lines_suppressed: 0,
            rates: Rates::default(),
            messages_per_second: vec![0; instrument_count],
            last_trades: vec![None; instrument_count],
            slowest: None,
            engine: None,
            was_ready: false,
            analysis: None,
        }
    }
}

/// The place where [`Published`] lies.
#[derive(Clone)]
pub struct Shared {
    published: Arc<Mutex<Published>>,
    rings: Option<Rings>,
}

/// The rings, seen from beside the drain.
#[derive(Clone)]
pub struct Rings {
    /// The records ring.
    pub records: Occupancy,
    /// The samples ring.
    pub samples: Occupancy,
}

impl Shared {
    /// A place that holds `published`.
    pub fn new(published: Published) -> Self {
        Self {
            published: Arc::new(Mutex::new(published)),
            rings: None,
        }
    }

    /// The same beside these rings, whose lines are then those of the moment of reading.
    pub fn beside(published: Published, rings: Rings) -> Self {
        Self {
            rings: Some(rings),
            ..Self::new(published)
        }
    }

    /// A copy of what lies there.
    pub fn read(&self) -> Published {
        let mut published = self.lock().clone();
        if let Some(rings) = &self.rings {
            look(&mut published.records, &rings.records);
            look(&mut published.samples, &rings.samples);
        }
        published
    }

    /// Replaces it; the memory of its lists is reused.
    pub fn write(&self, published: &Published) {
        self.lock().clone_from(published);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Published> {
        // A panic while copying numbers leaves numbers.
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most that ever waited is the drain's to remember; it cannot while it stands still.
fn look(line: &mut RingLine, ring: &Occupancy) {
    line.used = ring.used();
    line.used_max = line.used_max.max(line.used);
    line.capacity = ring.capacity() as u64;
    line.taken = ring.taken();
    line.lost = ring.lost();
}
