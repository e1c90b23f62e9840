//! What the HTTP server knows about itself.
//!
//! Owns: [`RequestMetrics`]. Does not: serve. Invariants: label values come from fixed lists, so the
//! tables stay small whatever a client sends; every answer is counted once, in its own series or in that of
//! [`OVERFLOW`].

use crate::exposition::Exemplar;
use opentelemetry::trace::TraceId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use veloz_core::labelled;

labelled! {
    /// Why a connection was closed before it said anything.
    pub enum Refusal {
        /// Too many are open.
        Full = "full",
        /// Too many of its address are open.
        AddressFull = "address_full",
        /// Its address may not connect.
        Address = "address",
    }
}

labelled! {
    /// How a connection ended that did not end well.
    pub enum ConnectionEnd {
        /// What came is no HTTP.
        Malformed = "malformed",
        /// A head larger than the buffer for it.
        HeadTooLarge = "head_too_large",
        /// A head did not come in time.
        Timeout = "timeout",
        /// No TLS session came about.
        Tls = "tls",
    }
}

impl ConnectionEnd {
    /// What an error of the connection means; `None` when the peer only went away.
    pub(super) fn of(error: &hyper::Error) -> Option<Self> {
        if error.is_parse_too_large() {
            Some(Self::HeadTooLarge)
        } else if error.is_parse() {
            Some(Self::Malformed)
        } else if error.is_timeout() {
            Some(Self::Timeout)
        } else {
            None
        }
    }
}

/// Upper bounds of request durations.
pub const DURATION_BOUNDS_NS: [u64; 12] = [
    1_000_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Upper bounds of body sizes in bytes.
pub const SIZE_BOUNDS: [u64; 9] = [
    100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000,
];

/// Most different (method, endpoint, status) triples: a test holds that the lists make no more. If they grow, further
/// ones are counted under [`OVERFLOW`], by their status.
pub(super) const ANSWERED_MAX: usize = 4_096;

/// The `endpoint` of answers whose own series has no room; their `method` is [`OTHER`].
pub const OVERFLOW: &str = "overflow";

/// The `method` that no route of the endpoint takes.
pub const OTHER: &str = "OTHER";

/// Labels of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// The method, or `OTHER`.
    pub method: &'static str,
    /// The route, or `unmatched`.
    pub endpoint: &'static str,
    /// The status code.
    pub status: u16,
}

/// Labels of one route's distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The method, or `OTHER`.
    pub method: &'static str,
    /// The route, or `unmatched`.
    pub endpoint: &'static str,
}

/// Counts at or below fixed bounds, and a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets<const N: usize> {
    bounds: &'static [u64; N],
    counts: [u64; N],
    count: u64,
    sum: u64,
}

impl<const N: usize> Buckets<N> {
    const fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            counts: [0; N],
            count: 0,
            sum: 0,
        }
    }

    fn record(&mut self, value: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Observations at or below `bound`, one of the bounds.
    pub fn cumulative(&self, bound: u64) -> u64 {
        let included = self.bounds.partition_point(|&other| other <= bound);
        self.counts[..included].iter().sum()
    }

    /// All observations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all observations.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

/// The newest request of each slow bucket that belongs to a trace which is exported. The first bucket is what is normal,
/// and has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slowest {
    buckets: [Option<Exemplar>; DURATION_BOUNDS_NS.len() + 1],
}

impl Slowest {
    fn note(&mut self, exemplar: Exemplar) {
        let bucket = DURATION_BOUNDS_NS.partition_point(|bound| *bound < exemplar.value);
        if bucket > 0 {
            self.buckets[bucket] = Some(exemplar);
        }
    }

    /// Of the bucket with this upper bound, one of [`DURATION_BOUNDS_NS`]; `None` is the last one.
    pub fn of(&self, bound_ns: Option<u64>) -> Option<Exemplar> {
        let bucket = match bound_ns {
            None => DURATION_BOUNDS_NS.len(),
            Some(bound_ns) => DURATION_BOUNDS_NS.binary_search(&bound_ns).ok()?,
        };
        self.buckets[bucket]
    }
}

/// Distributions of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distributions {
    /// Request's head to answer's head.
    pub duration_ns: Buckets<12>,
    /// Requests that were slow.
    pub slowest: Slowest,
    /// Declared body size.
    pub request_bytes: Buckets<9>,
    /// Body size before compression.
    pub response_bytes: Buckets<9>,
}

#[derive(Default)]
struct Tables {
    answered: BTreeMap<Answer, u64>,
    distributions: BTreeMap<Route, Distributions>,
}

/// Counts and distributions of all requests.
#[derive(Default)]
pub struct RequestMetrics {
    tables: Mutex<Tables>,
    connections: AtomicU64,
    refusals: [AtomicU64; Refusal::ALL.len()],
    connection_ends: [AtomicU64; ConnectionEnd::ALL.len()],
    rate_limited: AtomicU64,
    lines_suppressed: AtomicU64,
    panics: AtomicU64,
}

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// Its labels.
    pub answer: Answer,
    /// Request's head to answer's head.
    pub duration_ns: u64,
    /// Declared body size of the request.
    pub request_bytes: u64,
    /// Body size of the answer before compression.
    pub response_bytes: u64,
    /// Its trace, if that is exported, and when it was answered, in Unix milliseconds.
    pub trace: Option<(TraceId, u64)>,
}

impl RequestMetrics {
    /// Counts an answered request.
    pub fn record(&self, observation: &Observation) {
        let Answer {
            method, endpoint, ..
        } = observation.answer;
        let mut tables = self.lock();
        let has_room = tables.answered.len() < ANSWERED_MAX
            || tables.answered.contains_key(&observation.answer);
        let counted = if has_room {
            observation.answer
        } else {
            Answer {
                method: OTHER,
                endpoint: OVERFLOW,
                ..observation.answer
            }
        };
        *tables.answered.entry(counted).or_default() += 1;
        let of = tables
            .distributions
            .entry(Route { method, endpoint })
            .or_insert_with(|| Distributions {
                duration_ns: Buckets::new(&DURATION_BOUNDS_NS),
                slowest: Slowest::default(),
                request_bytes: Buckets::new(&SIZE_BOUNDS),
                response_bytes: Buckets::new(&SIZE_BOUNDS),
            });
        of.duration_ns.record(observation.duration_ns);
        if let Some((trace, unix_ms)) = observation.trace {
            of.slowest.note(Exemplar {
                trace,
                value: observation.duration_ns,
                unix_ms,
            });
        }
        of.request_bytes.record(observation.request_bytes);
        of.response_bytes.record(observation.response_bytes);
    }

    /// Counts a handler that panicked.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    /// Counts a connection that was closed at once.
    pub fn connection_refused(&self, refusal: Refusal) {
        self.refusals[refusal.index()].fetch_add(1, Relaxed);
    }

    /// Counts a connection that ended badly.
    pub fn connection_failed(&self, end: ConnectionEnd) {
        self.connection_ends[end.index()].fetch_add(1, Relaxed);
    }

    /// Counts an open connection.
    pub fn connection_opened(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// Counts it no longer.
    pub fn connection_closed(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Counts a request that came too soon.
    pub fn rate_limited(&self) {
        self.rate_limited.fetch_add(1, Relaxed);
    }

    /// Counts a log line that was left out.
    pub fn line_suppressed(&self) {
        self.lines_suppressed.fetch_add(1, Relaxed);
    }

    /// Answers by their labels.
    pub fn answered(&self) -> Vec<(Answer, u64)> {
        let tables = self.lock();
        tables
            .answered
            .iter()
            .map(|(answer, count)| (*answer, *count))
            .collect()
    }

    /// Distributions by route.
    pub fn distributions(&self) -> Vec<(Route, Distributions)> {
        let tables = self.lock();
        tables
            .distributions
            .iter()
            .map(|(route, distributions)| (*route, *distributions))
            .collect()
    }

    /// Open connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Connections closed at once.
    pub fn connections_refused(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal.index()].load(Relaxed)
    }

    /// Connections that ended badly.
    pub fn connections_failed(&self, end: ConnectionEnd) -> u64 {
        self.connection_ends[end.index()].load(Relaxed)
    }

    /// Requests that came too soon.
    pub fn rate_limit_hits(&self) -> u64 {
        self.rate_limited.load(Relaxed)
    }

    /// Log lines left out.
    pub fn lines_suppressed(&self) -> u64 {
        self.lines_suppressed.load(Relaxed)
    }

    /// Handlers that panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // A panic between two additions leaves counts that are one off, which is better than none.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_room_is_counted_by_its_status() {
        const MANY: usize = ANSWERED_MAX + 100;
        let metrics = RequestMetrics::default();
        for number in 0..MANY {
            let status = 100 + (number % 500) as u16;
            let endpoint: &'static str =
                ["/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/i"][number / 500];
            metrics.record(&Observation {
                answer: Answer {
                    method: "GET",
                    endpoint,
                    status,
                },
                duration_ns: 1,
                request_bytes: 0,
                response_bytes: 0,
                trace: None,
            });
        }
        let answered = metrics.answered();
        let all: u64 = answered.iter().map(|(_, count)| count).sum();
        assert_eq!(all, MANY as u64, "none is lost");
        let over = answered
            .iter()
            .filter(|(answer, _)| answer.endpoint == OVERFLOW);
        assert_eq!(over.map(|(_, count)| count).sum::<u64>(), 100);
    }
}
