//! The one table of all metrics: name, type, unit, labels, buckets, help, and where the value is.
//!
//! Owns: [`METRICS`], from which the metrics page and METRICS.md are made. Does not: write text formats.
//! Its entries stand in one file a family (`catalogue/`), and nothing else stands there.
//! Invariants: no metric exists outside this table; each entry shows a real value, and one whose value
//! is not known shows no sample; a histogram's bounds are among those that are counted exactly.
//!
//! Names and types from [`veloz_http_requests_total`] to the system group are an external contract and
//! do not follow our own rule (unit last, `_total` for counters) everywhere; those below it do.

mod account;
mod document;
mod engine;
mod http;
mod market;
mod process;
mod sources;
mod trading;

pub use document::document;
pub use sources::Sources;

use crate::exposition::Samples;
use crate::status::RingLine;
use veloz_core::event::LinkRole;
use veloz_core::telemetry::counters::InstrumentCounter;
use veloz_core::units::Nanos;

/// A metric's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Never falls while the process lives.
    Counter,
    /// May go both ways.
    Gauge,
    /// Counts at or below each of these bounds, in nanoseconds or bytes.
    Histogram(&'static [u64]),
}

/// A metric's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    None,
    /// Seconds; kept inside as nanoseconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Milliseconds, for one name of the contract; kept inside as nanoseconds.
    Milliseconds,
}

/// One entry of the table.
pub struct Metric {
    /// The name of its samples.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence for people.
    pub help: &'static str,
    /// Left out of OpenMetrics, where its name would be another family's.
    pub text_only: bool,
    /// Writes its samples.
    pub collect: fn(&Sources<'_>, &mut Samples<'_>),
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    collect: fn(&Sources<'_>, &mut Samples<'_>),
) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        unit: Unit::None,
        labels,
        help,
        text_only: false,
        collect,
    }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    collect: fn(&Sources<'_>, &mut Samples<'_>),
) -> Metric {
    Metric {
        kind: Kind::Gauge,
        ..counter(name, labels, help, collect)
    }
}

const fn histogram(
    name: &'static str,
    bounds: &'static [u64],
    labels: &'static [&'static str],
    help: &'static str,
    collect: fn(&Sources<'_>, &mut Samples<'_>),
) -> Metric {
    Metric {
        kind: Kind::Histogram(bounds),
        unit: Unit::Seconds,
        ..counter(name, labels, help, collect)
    }
}

impl Metric {
    const fn seconds(self) -> Self {
        Self {
            unit: Unit::Seconds,
            ..self
        }
    }

    const fn bytes(self) -> Self {
        Self {
            unit: Unit::Bytes,
            ..self
        }
    }

    const fn milliseconds(self) -> Self {
        Self {
            unit: Unit::Milliseconds,
            ..self
        }
    }

    const fn text_only(self) -> Self {
        Self {
            text_only: true,
            ..self
        }
    }
}

/// The table: every metric, in the order of the page.
pub static METRICS: &[&[Metric]] = &[
    http::HTTP,
    trading::TRADING,
    market::MARKET,
    engine::ENGINE,
    engine::LOOP,
    market::BOOKS,
    trading::LIMITS,
    account::ACCOUNT,
    http::SERVER,
    process::PROCESS,
];

/// Every metric of the table, one after the other.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().copied().flatten()
}

/// The version that health and build information name.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const PROFILE: &str = if cfg!(debug_assertions) {
    "debug"
} else {
    "release"
};

/// The stable label of a connection's role.
pub const fn role_label(role: LinkRole) -> &'static str {
    match role {
        LinkRole::Market => "market",
        LinkRole::Api => "api",
        LinkRole::Orders => "orders",
    }
}

fn seconds(duration: Nanos) -> f64 {
    duration.0 as f64 / 1e9
}

fn optional(samples: &mut Samples<'_>, value: Option<u64>) {
    if let Some(value) = value {
        samples.value(&[], value);
    }
}

fn of_instruments(from: &Sources<'_>, samples: &mut Samples<'_>, counter: InstrumentCounter) {
    for (index, instrument) in from.instruments.iter() {
        let count = from.counters.instrument(index, counter);
        samples.value(&[instrument.symbol.as_str()], count);
    }
}

fn of_rings(from: &Sources<'_>, samples: &mut Samples<'_>, number: fn(&RingLine) -> u64) {
    for ring in [&from.published.records, &from.published.samples] {
        samples.value(&[ring.name], number(ring));
    }
}

#[cfg(test)]
mod tests;
