//! Latencies on the sidecar's side: what the core's swapped sets add up to.
//!
//! Owns: [`LatencyTotals`] (since the start, and of the last window) and the plain numbers that others
//! read from them. Does not: talk to the core. Invariant: bucket counts are the exact sums of the sets.

use crate::exposition::Exemplar;
use hdrhistogram::Histogram;
use veloz_core::telemetry::histograms::{BUCKET_BOUNDS_NS, BUCKETS, LatencySet, Stage};

/// Exact counts of one stage since the start: what the metrics page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageBuckets {
    /// Observations in each bucket of [`BUCKET_BOUNDS_NS`], not cumulative; the last is above all bounds.
    pub counts: [u64; BUCKETS],
    /// Sum of all observations.
    pub sum_ns: u64,
}

impl StageBuckets {
    /// No observation.
    pub const EMPTY: Self = Self {
        counts: [0; BUCKETS],
        sum_ns: 0,
    };

    /// Observations at or below `bound_ns`, which must be one of [`BUCKET_BOUNDS_NS`].
    pub fn cumulative(&self, bound_ns: u64) -> u64 {
        let bucket = BUCKET_BOUNDS_NS
            .binary_search(&bound_ns)
            .expect("metric bounds are taken from the core's; a test of the catalogue checks it");
        self.counts[..=bucket].iter().sum()
    }

    /// [`Self::cumulative`] for bounds that rise from call to call: every count is read once.
    pub fn rising(&self) -> impl FnMut(u64) -> u64 + '_ {
        let mut bounds = BUCKET_BOUNDS_NS.iter().zip(&self.counts).peekable();
        let mut below = 0;
        move |bound_ns| {
            while let Some((_, count)) = bounds.next_if(|(bound, _)| **bound <= bound_ns) {
                below += count;
            }
            below
        }
    }

    /// All observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The newest observation of each bucket that belongs to a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplars {
    buckets: [Option<Exemplar>; BUCKETS],
}

impl Exemplars {
    /// None yet.
    pub const NONE: Self = Self {
        buckets: [None; BUCKETS],
    };

    /// Takes an observation in nanoseconds in place of the last one of its bucket.
    pub fn note(&mut self, exemplar: Exemplar) {
        let bucket = BUCKET_BOUNDS_NS.partition_point(|bound| *bound < exemplar.value);
        self.buckets[bucket] = Some(exemplar);
    }

    /// Of the bucket with this upper bound, one of [`BUCKET_BOUNDS_NS`]; `None` is the last one.
    pub fn of(&self, bound_ns: Option<u64>) -> Option<Exemplar> {
        let bucket = match bound_ns {
            None => BUCKETS - 1,
            Some(bound_ns) => BUCKET_BOUNDS_NS.binary_search(&bound_ns).ok()?,
        };
        self.buckets[bucket]
    }
}

/// Quantiles of one stage in nanoseconds, at two significant digits; zero without observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Observations.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// The largest, exact.
    pub max_ns: u64,
}

struct Accumulated {
    values: Histogram<u64>,
    max_ns: u64,
}

impl Accumulated {
    fn new() -> Self {
        let highest = BUCKET_BOUNDS_NS[BUCKET_BOUNDS_NS.len() - 1];
        Self {
            values: Histogram::new_with_bounds(1, highest, 2).expect("constant bounds are valid"),
            max_ns: 0,
        }
    }

    fn add(&mut self, set: &LatencySet, stage: Stage) {
        let latency = set.stage(stage);
        for (value, count) in latency.values() {
            self.values.saturating_record_n(value, u64::from(count));
        }
        self.max_ns = self.max_ns.max(latency.max_ns());
    }

    fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.values.value_at_quantile(quantile).min(self.max_ns);
        Quantiles {
            count: self.values.len(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: self.max_ns,
        }
    }

    fn clear(&mut self) {
        self.values.reset();
        self.max_ns = 0;
    }
}

struct StageTotal {
    buckets: StageBuckets,
    since_start: Accumulated,
    window: Accumulated,
}

/// All stages, since the start and in the current window.
pub struct LatencyTotals {
    stages: [StageTotal; Stage::ALL.len()],
}

impl Default for LatencyTotals {
    fn default() -> Self {
        Self {
            stages: std::array::from_fn(|_| StageTotal {
                buckets: StageBuckets::EMPTY,
                since_start: Accumulated::new(),
                window: Accumulated::new(),
            }),
        }
    }
}

impl LatencyTotals {
    /// Adds what the core recorded in one interval.
    pub fn add(&mut self, set: &LatencySet) {
        for stage in Stage::ALL {
            let total = &mut self.stages[stage.index()];
            let latency = set.stage(stage);
            for (sum, count) in total.buckets.counts.iter_mut().zip(latency.buckets()) {
                *sum += count;
            }
            total.buckets.sum_ns += latency.sum_ns();
            total.since_start.add(set, stage);
            total.window.add(set, stage);
        }
    }

    /// Exact buckets of a stage since the start.
    pub fn buckets(&self, stage: Stage) -> StageBuckets {
        self.stages[stage.index()].buckets
    }

    /// Quantiles of a stage since the start.
    pub fn since_start(&self, stage: Stage) -> Quantiles {
        self.stages[stage.index()].since_start.quantiles()
    }

    /// Quantiles of a stage in the current window, which ends here.
    pub fn end_window(&mut self, stage: Stage) -> Quantiles {
        let window = &mut self.stages[stage.index()].window;
        let quantiles = window.quantiles();
        window.clear();
        quantiles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veloz_core::telemetry::histograms::histograms;
    use veloz_core::units::Nanos;

    #[test]
    fn sets_add_up_and_windows_end() {
        let (mut writer, mut reader) = histograms();
        let mut totals = LatencyTotals::default();
        for ns in 1..=1_000u64 {
            writer.record(Stage::LoopTurn, Nanos::ZERO, Nanos(ns * 1_000));
            if ns % 100 == 0 {
                reader.request();
                writer.swap();
                assert!(reader.take(|set| totals.add(set)));
            }
        }
        let buckets = totals.buckets(Stage::LoopTurn);
        assert_eq!(buckets.count(), 1_000);
        assert_eq!(buckets.cumulative(1_000), 1);
        assert_eq!(buckets.cumulative(100_000), 100);
        assert_eq!(buckets.cumulative(1_000_000), 1_000);
        let mut rising = buckets.rising();
        for bound in BUCKET_BOUNDS_NS {
            assert_eq!(rising(bound), buckets.cumulative(bound));
        }
        assert_eq!(
            buckets.sum_ns,
            (1..=1_000).map(|us| us * 1_000).sum::<u64>()
        );

        let window = totals.end_window(Stage::LoopTurn);
        assert_eq!(window, totals.since_start(Stage::LoopTurn));
        assert_eq!((window.count, window.max_ns), (1_000, 1_000_000));
        let near = |got: u64, exact: u64| got.abs_diff(exact) * 100 <= exact;
        assert!(near(window.p50_ns, 500_000), "{window:?}");
        assert!(near(window.p999_ns, 999_000), "{window:?}");

        assert_eq!(totals.end_window(Stage::LoopTurn), Quantiles::default());
        assert_eq!(totals.since_start(Stage::RecvToBook), Quantiles::default());
    }
}
