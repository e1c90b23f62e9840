//! The table against its own rules, and the whole page of a hand-fed engine against golden files.

use super::*;
use crate::analytics::EquityRecorder;
use crate::audit::metrics::AuditMetrics;
use crate::auth::metrics::AuthMetrics;
use crate::exposition::{Format, Page};
use crate::http::requests::{Answer, Observation, RequestMetrics};
use crate::latency::LatencyTotals;
use crate::log::LogCounts;
use crate::process::ProcessStats;
use crate::published::Published;
use crate::stream::Hub;
use crate::stream::event::{EngineStarted, StreamEvent};
use crate::testing::{INSTRUMENTS, instruments};
use crate::traces::TraceCounts;
use crate::wall::UnixMs;
use std::collections::BTreeSet;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::telemetry::gauges::{BookGauges, Touch};
use veloz_core::telemetry::{Sizes, telemetry};
use veloz_core::units::{E8, E8_ONE, Lots, Ticks};

#[test]
fn names_are_unique_and_follow_their_type() {
    let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands twice");
    for metric in METRICS {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(metric.name.chars().all(legal), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
        let counts = metric.kind == Kind::Counter && !metric.text_only;
        assert_eq!(
            metric.name.ends_with("_total"),
            counts,
            "{}: counters and only counters end in _total",
            metric.name
        );
        if let Some(suffix) = metric.unit.suffix() {
            let base = metric.name.trim_end_matches("_total");
            assert!(base.ends_with(suffix), "{} lacks its unit", metric.name);
        }
    }
}

#[test]
fn bounds_are_counted_exactly() {
    for metric in METRICS {
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{}", metric.name);
        }
    }
    // The boundaries that operators' rules rely on, in seconds.
    let contract = [
        0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0,
        2.5, 5.0, 10.0,
    ];
    for seconds in contract {
        let ns = (seconds * 1e9_f64).round() as u64;
        assert!(BUCKET_BOUNDS_NS.contains(&ns), "{seconds} s");
    }
}

#[test]
fn the_document_is_generated_from_this_table() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("METRICS.md");
    if std::env::var_os("VELOZ_BLESS").is_some() {
        std::fs::write(&file, document()).expect("METRICS.md can be written");
    }
    let on_disk = std::fs::read_to_string(&file).expect("METRICS.md can be read");
    assert!(
        on_disk == document(),
        "METRICS.md is stale: run this test with VELOZ_BLESS=1"
    );
}

/// Compares with a file of this folder, or writes it when asked to.
fn golden(name: &str, text: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/catalogue/golden")
        .join(name);
    if std::env::var_os("VELOZ_BLESS").is_some() {
        std::fs::write(&file, text).expect("golden files can be written");
    }
    let expected = std::fs::read_to_string(&file).expect("golden files can be read");
    let differing = expected
        .lines()
        .zip(text.lines())
        .find(|(expected, got)| expected != got);
    assert!(
        expected == text,
        "the page differs from {name} at {differing:?}; VELOZ_BLESS=1 rewrites it"
    );
}

/// An account that won, lost, and holds two positions; too young for a value at risk.
fn account() -> Analysis {
    let mut recorder = EquityRecorder::new(1);
    for (second, equity) in [(0, 1_000), (1, 1_010), (2, 1_005), (3, 1_020)] {
        recorder.mark(second * 1_000, E8(equity * E8_ONE));
    }
    Analysis::of(&recorder, &[300.0, -100.0]).expect("marked")
}

/// The page of an engine that did a little of everything.
fn page(format: Format) -> String {
    let (mut core, mut reader) = telemetry(INSTRUMENTS, Sizes::default());
    let (btc, eth) = (InstrumentIndex(0), InstrumentIndex(1));
    let second = Nanos::from_secs(1);
    let counters = &mut core.counters;
    for (number, counter) in Counter::ALL.into_iter().enumerate() {
        counters.add(counter, 100 + number as u64);
    }
    for (number, kind) in MessageKind::ALL.into_iter().enumerate() {
        for _ in 0..=number {
            counters.message(kind);
        }
    }
    counters.fault(VenueFault::Malformed as u8);
    counters.fault(VenueFault::RateLimited as u8);
    counters.link_down(LinkDown::Closed);
    counters.link_down(LinkDown::Requested);
    counters.resync(eth, ResyncCause::Gap);
    counters.instrument(eth, InstrumentCounter::Gaps);
    counters.instrument(btc, InstrumentCounter::Messages);
    let gauges = &mut core.gauges;
    gauges.heartbeat(Nanos(60 * second.0 - 250_000_000));
    gauges.set(Gauge::PendingTasks, 3);
    gauges.set(Gauge::VenueClockOffsetNs, -1_500_000);
    gauges.set(Gauge::MemoryReservedBytes, 1 << 20);
    gauges.set(Gauge::MemoryUsedBytes, 4_096);
    gauges.links_up(LinkRole::Market, 1);
    gauges.links_up(LinkRole::Api, 1);
    let touch = Touch {
        bid: Some((Ticks(6_183_763), Lots(5))),
        ask: Some((Ticks(6_183_764), Lots(7))),
    };
    let live = BookGauges::live(touch, 42, second).levels(1_000, 900);
    gauges.book(btc, live.lag(2_500_000));
    gauges.book(eth, BookGauges::not_live(BookState::Resyncing, second));
    for ns in [90, 100, 101, 5_000, 2_000_000, 20_000_000_000] {
        for stage in Stage::ALL {
            core.histograms.record(stage, Nanos::ZERO, Nanos(ns));
        }
    }
    let mut totals = LatencyTotals::default();
    reader.histograms.request();
    core.histograms.swap();
    assert!(reader.histograms.take(|set| totals.add(set)));

    let mut published = Published::new(INSTRUMENTS);
    published.latencies = Stage::ALL.map(|stage| totals.buckets(stage));
    published.records.capacity = 16_384;
    published.records.taken = 12;
    published.samples.used_max = 40;
    published.samples.lost = 2;
    published.log_lines_suppressed = 1;
    published.analysis = Some(account());
    let requests = RequestMetrics::default();
    requests.connection_opened();
    requests.connection_refused(Refusal::Full);
    requests.connection_failed(ConnectionEnd::Timeout);
    requests.rate_limited();
    requests.record(&Observation {
        answer: Answer {
            method: "GET",
            endpoint: "/health",
            status: 200,
        },
        duration_ns: 5_000_001,
        request_bytes: 0,
        response_bytes: 101,
    });
    let hub = Hub::new(UnixMs(1));
    let started = StreamEvent::EngineStarted(EngineStarted { version: "1" });
    hub.publish(&started, None);
    let log = LogCounts::default();
    log.accepted(tracing::Level::WARN);
    log.dropped();
    let auth = AuthMetrics::default();
    auth.count(Means::Password, Outcome::Failure);
    auth.count_denied();
    let process = ProcessStats {
        cpu_seconds: Some(1.25),
        resident_bytes: Some(50_000_000),
        virtual_bytes: Some(900_000_000),
        open_fds: Some(20),
        max_fds: None,
        threads: Some(5),
        start_time_seconds: Some(1_763_900_000.5),
        memory_limit_bytes: Some(8_000_000_000),
    };
    let text = Page::new(METRICS).render(
        &Sources {
            now: Nanos(60 * second.0),
            started_at: second,
            heartbeat_age_max: second,
            exchange: "binance",
            instruments: &instruments(),
            counters: &reader.counters,
            gauges: &reader.gauges,
            published: &published,
            requests: &requests,
            log: &log,
            stream: hub.counts(),
            traces: &TraceCounts::default(),
            auth: &auth,
            audit: &AuditMetrics::default(),
            process: &process,
        },
        format,
    );
    // These depend on how and where this test was built.
    text.replace(&format!("profile=\"{PROFILE}\""), "profile=\"any\"")
        .replace(
            &format!("arch=\"{}\"", std::env::consts::ARCH),
            "arch=\"any\"",
        )
        .replace(&format!("version=\"{VERSION}\""), "version=\"any\"")
}

#[test]
fn the_text_page_is_golden() {
    golden("page.txt", &page(Format::Text));
}

#[test]
fn the_open_metrics_page_is_golden() {
    golden("page.openmetrics.txt", &page(Format::OpenMetrics));
}

/// The rules that a scraper relies on, whatever the numbers are.
#[test]
fn families_stand_together_and_buckets_add_up() {
    for format in [Format::Text, Format::OpenMetrics] {
        let page = page(format);
        let mut seen = BTreeSet::new();
        let mut family = String::new();
        let mut last_bucket: Option<(String, u64)> = None;
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().expect("a name").to_owned();
                assert!(seen.insert(family.clone()), "{family} stands twice");
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(rest.starts_with(&format!("{family} ")), "{line}");
                continue;
            }
            if line.starts_with('#') {
                continue;
            }
            assert!(line.starts_with(&family), "{line} stands outside {family}");
            let (series, number) = line.rsplit_once(' ').expect("a sample");
            if let Some((labels, bound)) = series
                .strip_prefix(&format!("{family}_bucket"))
                .and_then(|labels| labels.split_once("le=\""))
            {
                let count = number.parse().expect("a count");
                if let Some((before, lower)) = &last_bucket
                    && before == labels
                {
                    assert!(*lower <= count, "{line} falls");
                }
                last_bucket = Some((labels.to_owned(), count));
                if bound.starts_with("+Inf") {
                    continue;
                }
                let bound = bound.trim_end_matches(['"', '}']);
                bound.parse::<f64>().expect("a bound");
            } else if let Some(rest) = series.strip_prefix(&format!("{family}_count")) {
                let (_, last) = last_bucket.take().expect("buckets stand first");
                assert_eq!(
                    number,
                    last.to_string(),
                    "{family}{rest}: +Inf is the count"
                );
            }
        }
        assert!(seen.len() > 50, "{} families", seen.len());
        assert_eq!(page.ends_with("# EOF\n"), format == Format::OpenMetrics);
    }
}

#[test]
fn what_is_not_known_shows_no_sample() {
    let page = page(Format::Text);
    assert!(!page.contains("process_max_fds"));
    assert!(!page.contains("veloz_orderbook_lag_seconds{symbol=\"ETHUSDT\""));
}

#[test]
fn one_reconnect_name_is_for_the_text_format_alone() {
    let has = |format, line: &str| page(format).lines().any(|has| has == line);
    let unsuffixed = "veloz_websocket_reconnects 102";
    let suffixed = "veloz_websocket_reconnects_total{exchange=\"binance\"} 102";
    assert!(has(Format::Text, unsuffixed));
    assert!(has(Format::Text, suffixed));
    assert!(!has(Format::OpenMetrics, unsuffixed));
    assert!(has(Format::OpenMetrics, suffixed));
}
