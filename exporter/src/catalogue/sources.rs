//! Where the values of the metrics page come from.
//!
//! Owns: [`Sources`], all of one moment, and the few sums that several metrics need. Does not: name metrics.

use crate::audit::metrics::AuditMetrics;
use crate::auth::metrics::AuthMetrics;
use crate::exposition::Samples;
use crate::faults::ProcessFaults;
use crate::health::Heartbeat;
use crate::http::requests::RequestMetrics;
use crate::log::LogCounts;
use crate::process::ProcessStats;
use crate::published::Published;
use crate::stream::StreamCounts;
use crate::traces::TraceCounts;
use crate::trading::TradingCounts;
use veloz_core::event::LinkRole;
use veloz_core::instrument::Instruments;
use veloz_core::telemetry::counters::{CounterReader, MessageKind};
use veloz_core::telemetry::gauges::{Gauge, GaugeReader};
use veloz_core::telemetry::histograms::Stage;
use veloz_core::telemetry::records::TradingPhase;
use veloz_core::units::Nanos;

/// Where values come from.
pub struct Sources<'a> {
    /// The moment of the page, on the engine's clock.
    pub now: Nanos,
    /// When the sidecar started, on the engine's clock.
    pub started_at: Nanos,
    /// From which age on the core's heartbeat means that it stands still.
    pub heartbeat_age_max: Nanos,
    /// The venue's label.
    pub exchange: &'static str,
    /// All instruments.
    pub instruments: &'a Instruments,
    /// The core's counts.
    pub counters: &'a CounterReader,
    /// The core's values.
    pub gauges: &'a GaugeReader,
    /// What the drain found in the rings.
    pub published: &'a Published,
    /// What records tell of trading.
    pub trading: &'a TradingCounts,
    /// The sidecar's own HTTP server.
    pub requests: &'a RequestMetrics,
    /// What became of log lines.
    pub log: &'a LogCounts,
    /// Who was let in, and who was not.
    pub auth: &'a AuthMetrics,
    /// Clients' own order ids that are kept.
    pub client_ids_used: usize,
    /// What the audit log knows about itself.
    pub audit: &'a AuditMetrics,
    /// What became of events for clients.
    pub stream: &'a StreamCounts,
    /// What became of spans.
    pub traces: &'a TraceCounts,
    /// Faults beside the core that nothing else counts.
    pub faults: &'a ProcessFaults,
    /// How often the state could not be saved.
    pub state_failures: u64,
    /// The process as the kernel sees it.
    pub process: &'a ProcessStats,
}

impl Sources<'_> {
    pub(super) fn engine_running(&self) -> bool {
        let heartbeat = self.gauges.heartbeat();
        Heartbeat::judge(self.now, heartbeat, self.heartbeat_age_max) == Heartbeat::Beating
    }

    /// Whether this engine trades at all.
    pub(super) fn has_account(&self) -> bool {
        self.gauges.plain(Gauge::TradingPhase) != TradingPhase::Off.index() as i64
    }

    pub(super) fn links_up(&self) -> usize {
        LinkRole::ALL
            .iter()
            .map(|&role| self.gauges.links_up(role))
            .sum()
    }

    pub(super) fn messages(&self, kinds: &[MessageKind]) -> u64 {
        kinds.iter().map(|&kind| self.counters.messages(kind)).sum()
    }

    pub(super) fn latency(&self, samples: &mut Samples<'_>, labels: &[&str], stage: Stage) {
        let buckets = &self.published.latencies[stage.index()];
        samples.histogram(labels, buckets.rising(), buckets.count(), buckets.sum_ns);
    }

    /// The same with exemplars of orders.
    pub(super) fn latency_with_exemplars(
        &self,
        samples: &mut Samples<'_>,
        labels: &[&str],
        stage: Stage,
    ) {
        let buckets = &self.published.latencies[stage.index()];
        samples.histogram_with(
            labels,
            buckets.rising(),
            buckets.count(),
            buckets.sum_ns,
            |bound| self.published.order_exemplars.of(bound),
        );
    }
}
