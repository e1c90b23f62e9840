//! The table against its own rules, and the whole page of a hand-fed engine against golden files.

use super::*;
use crate::analytics::Analysis;
use crate::analytics::EquityRecorder;
use crate::audit::metrics::{AuditMetrics, Loss};
use crate::auth::metrics::AuthMetrics;
use crate::auth::metrics::{Means, Outcome};
use crate::exposition::{Exemplar, Format, Page};
use crate::faults::{ProcessFault, ProcessFaults};
use crate::http::requests::{Answer, Observation, RequestMetrics};
use crate::http::requests::{ConnectionEnd, Refusal};
use crate::latency::LatencyTotals;
use crate::log::LogCounts;
use crate::process::ProcessStats;
use crate::published::Published;
use crate::stream::Hub;
use crate::stream::event::{EngineStarted, StreamEvent};
use crate::testing::{INSTRUMENTS, instruments, trading_view};
use crate::traces::TraceCounts;
use crate::trading::TradingView;
use crate::wall::UnixMs;
use opentelemetry::trace::TraceId;
use std::collections::BTreeSet;
use veloz_core::event::{LinkDown, Token};
use veloz_core::instrument::{AssetIndex, InstrumentIndex};
use veloz_core::oms::OmsFault;
use veloz_core::order::{DoneReason, OrderId, OrderKind, OrderState, Origin, Side, TimeInForce};
use veloz_core::risk::{Limit, LimitUse, TradingState, Utilization};
use veloz_core::strategy::{Funnel, Stage as FunnelStage};
use veloz_core::telemetry::counters::{Counter, MessageKind};
use veloz_core::telemetry::gauges::{
    BookGauges, Gauge, GaugeWriter, Marked, NOT_MEASURED, PositionGauges, Touch,
};
use veloz_core::telemetry::histograms::{BUCKET_BOUNDS_NS, Stage};
use veloz_core::telemetry::records::{
    BookState, CommandResult, OrderRequest, Record, RecordBody, ResyncCause, TradingPhase,
};
use veloz_core::telemetry::{Sizes, telemetry};
use veloz_core::units::{E8, E8_ONE, Lots, Ticks};
use veloz_core::venue::binance::fault::VenueFault;
use veloz_core::venue::binance::order_error::{ErrorKind, classify};

#[test]
fn names_are_unique_and_follow_their_type() {
    let mut names: Vec<_> = metrics().map(|metric| metric.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands twice");
    for metric in metrics() {
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
    for metric in metrics() {
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

/// What the core publishes of an account that trades.
fn account_gauges(gauges: &mut GaugeWriter) {
    let ready = TradingPhase::Ready.index() as i64;
    for (gauge, value) in [
        (Gauge::TradingPhase, ready),
        (Gauge::TradingState, TradingState::ReduceOnly.index() as i64),
        (Gauge::KillSwitch, 1),
        (Gauge::StrategyRunning, 1),
        (Gauge::OpenOrders, 3),
        (Gauge::UnresolvedOrders, 1),
        (Gauge::OldestUnresolvedNs, 55_500_000_000),
        (Gauge::RiskUtilizationBps, 1_234),
        (Gauge::Equity, 1_020 * E8_ONE),
        (Gauge::DayChange, -E8_ONE / 2),
        (Gauge::RealizedTotal, -3 * E8_ONE),
        (Gauge::UnrealizedTotal, 4 * E8_ONE),
        (Gauge::TelemetryBacklog, 1),
        (Gauge::WeightHeadroom, 5_000),
        (Gauge::WeightLimit, 6_000),
        (Gauge::OrdersHeadroom, 99),
        (Gauge::OrdersLimit, 100),
        (Gauge::OrdersDayHeadroom, NOT_MEASURED),
        (Gauge::OrdersDayLimit, NOT_MEASURED),
    ] {
        gauges.set(gauge, value);
    }
    let position = PositionGauges {
        qty: E8(-5 * E8_ONE),
        entry: E8(60 * E8_ONE),
        realized: E8(-3 * E8_ONE),
        realized_profit: E8(E8_ONE),
        realized_loss: E8(4 * E8_ONE),
        marked: Some(Marked {
            unrealized: E8(4 * E8_ONE),
            notional: E8(-300 * E8_ONE),
        }),
    };
    gauges.position(InstrumentIndex(0), position);
    let mut utilization = Utilization {
        limits: Limit::ALL.map(|_| LimitUse {
            used: None,
            max: None,
            bps: 0,
        }),
        highest_bps: 1_234,
    };
    utilization.limits[Limit::Position.index()] = LimitUse {
        used: Some(1),
        max: Some(8),
        bps: 1_250,
    };
    gauges.limits(InstrumentIndex(0), &utilization);
}

/// A view of one order that filled and one that the venue refused.
fn traded() -> TradingView {
    let view = trading_view();
    let order = |sequence| OrderId { run: 1, sequence };
    let admitted = |sequence| RecordBody::OrderAdmitted {
        order: order(sequence),
        instrument: InstrumentIndex(0),
        side: Side::Sell,
        kind: OrderKind::LimitMaker,
        time_in_force: TimeInForce::Gtc,
        origin: Origin::Strategy,
        price: Ticks(100),
        qty: Lots(1),
        token: Token(0),
    };
    let state = |sequence, from, to| RecordBody::OrderState {
        order: order(sequence),
        instrument: InstrumentIndex(0),
        from,
        to,
        venue_order_id: 5,
        executed: Lots(0),
        qty: Lots(1),
    };
    let bodies = [
        admitted(1),
        state(1, OrderState::Admitted, OrderState::Sent),
        RecordBody::Fill {
            order: order(1),
            instrument: InstrumentIndex(0),
            side: Side::Sell,
            is_maker: true,
            fee_asset: AssetIndex(0),
            trade_id: 1,
            price: Ticks(100),
            qty: Lots(1),
            fee: E8(0),
        },
        admitted(2),
        state(2, OrderState::Admitted, OrderState::Sent),
        state(2, OrderState::Live, OrderState::Done(DoneReason::Cancelled)),
        RecordBody::venue_refused(
            order(2),
            InstrumentIndex(0),
            OrderRequest::Place,
            classify(400, -2_010, ""),
        ),
        RecordBody::CommandDone {
            token: Token(1),
            result: CommandResult::Done,
            reason: None,
            order: None,
        },
    ];
    for (sequence, body) in (0..).zip(bodies) {
        let at = Nanos(sequence);
        view.record(&Record { sequence, at, body });
    }
    view
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
    counters.order_fault(OmsFault::WentBack);
    counters.order_error(ErrorKind::Rejected as u8);
    let mut funnel = Funnel::new();
    funnel.count(FunnelStage::Admitted);
    funnel.count_rejected(veloz_core::risk::Rejection::PriceCollar);
    counters.funnel(&funnel);
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
    account_gauges(gauges);
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
    published.order_exemplars.note(Exemplar {
        trace: TraceId::from(0xabcu128),
        value: 2_000_000,
        unix_ms: 1_763_900_000_123,
    });
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
        trace: Some((TraceId::from(0xdefu128), 1_763_900_000_123)),
    });
    let trading = traded();
    let hub = Hub::new(UnixMs(1));
    let started = StreamEvent::EngineStarted(EngineStarted { version: "1" });
    hub.publish(&started, None);
    let log = LogCounts::default();
    log.accepted(tracing::Level::WARN);
    log.dropped();
    log.failed();
    log.failed();
    let audit = AuditMetrics::default();
    audit.lost(Loss::QueueFull);
    let faults = ProcessFaults::default();
    for (position, fault) in ProcessFault::ALL.into_iter().enumerate() {
        for _ in 0..=position {
            faults.count(fault);
        }
    }
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
    let text = Page::new(metrics()).render(
        &Sources {
            now: Nanos(60 * second.0),
            started_at: second,
            heartbeat_age_max: second,
            exchange: "binance",
            instruments: &instruments(),
            counters: &reader.counters,
            gauges: &reader.gauges,
            published: &published,
            trading: &trading.counts(),
            requests: &requests,
            log: &log,
            stream: hub.counts(),
            traces: &TraceCounts::told(202, 203),
            faults: &faults,
            state_failures: 204,
            auth: &auth,
            client_ids_used: 205,
            audit: &audit,
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
fn errors_of_every_component_are_counted() {
    let page = page(Format::Text);
    for line in [
        "{type=\"queue_full\",component=\"audit\"} 1",
        "{type=\"queue_full\",component=\"log\"} 1",
        "{type=\"write\",component=\"log\"} 2",
        "{type=\"export\",component=\"traces\"} 202",
        "{type=\"queue_full\",component=\"traces\"} 203",
        "{type=\"write\",component=\"state\"} 204",
        "{type=\"core_stalled\",component=\"dead_man\"} 1",
        "{type=\"cancel_failed\",component=\"dead_man\"} 2",
        "{type=\"no_connection\",component=\"dead_man\"} 3",
        "{type=\"core_not_told\",component=\"dead_man\"} 4",
        "{type=\"not_kept\",component=\"storage\"} 5",
    ] {
        let whole = format!("\nveloz_errors_total{line}\n");
        assert!(page.contains(&whole), "{line}");
    }
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
            // An exemplar follows its bucket.
            let line = line.split_once(" # ").map_or(line, |(sample, _)| sample);
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
fn an_exemplar_stands_at_its_bucket_in_open_metrics_alone() {
    let of = |format| {
        page(format)
            .lines()
            .filter(|line| line.contains(" # "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(of(Format::Text).iter().all(|line| line.starts_with('#')));
    let shown = of(Format::OpenMetrics);
    assert_eq!(
        shown,
        [
            "veloz_http_request_duration_seconds_bucket{method=\"GET\",endpoint=\"/health\",le=\"0.01\"} 1 # \
                {trace_id=\"00000000000000000000000000000def\"} 0.005000001 1763900000.123",
            "veloz_order_latency_seconds_bucket{le=\"0.002\"} 5 # \
                {trace_id=\"00000000000000000000000000000abc\"} 0.002 1763900000.123",
        ]
    );
}

/// Every metric of the contract with its type, its labels, and at least its buckets.
#[test]
fn the_contract_is_kept() {
    // Both can fall, so they are gauges here; ARCHITECTURE.md says so.
    let fall = [
        "veloz_position_realized_pnl",
        "veloz_position_total_realized_pnl",
    ];
    for line in CONTRACT.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, kind, labels, buckets] = fields[..] else {
            panic!("{line:?} is no line of the contract");
        };
        let metric = metrics()
            .find(|metric| metric.name == name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        let has = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let wanted = if fall.contains(&name) { "gauge" } else { kind };
        assert_eq!(has, wanted, "{name}");
        assert_eq!(metric.labels.join(","), labels.trim_matches('-'), "{name}");
        if let Kind::Histogram(bounds) = metric.kind {
            for bound in buckets.split(',') {
                let bound: f64 = bound.parse().expect("a bound");
                let inside = (bound * metric.unit.divisor()).round() as u64;
                assert!(bounds.contains(&inside), "{name} lacks {bound}");
            }
        }
    }
}

/// The metrics that existing dashboards and rules use: name, type, labels, buckets.
const CONTRACT: &str = include_str!("contract.txt");

#[test]
fn what_is_not_known_shows_no_sample() {
    let page = page(Format::Text);
    assert!(!page.contains("process_max_fds"));
    assert!(!page.contains("budget=\"orders_day\""));
    assert!(!page.contains("veloz_position_value{symbol=\"ETHUSDT\""));
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
