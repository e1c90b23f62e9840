//! The metrics page of a busy engine: the product's own, and the same series in two common crates.
//!
//! Ours is what a scrape runs on the sidecar: a copy of what the drain published, the core's counts read where they
//! lie, the page as text. The peers hold the same families, labels, buckets and values in their registries, read back
//! from our page, and must show the same samples before anybody is timed. What the kernel knows of the process is a
//! value for all of them: nobody reads `/proc` here.

use crate::measure::{Gate, Peer, compare, timed};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use veloz_core::instrument::{Bounds, Instrument, Instruments, OrderRules, Symbol};
use veloz_core::telemetry::counters::{Counter as CoreCounter, InstrumentCounter, MessageKind};
use veloz_core::telemetry::gauges::{
    BookGauges, Gauge as CoreGauge, Marked, PositionGauges, Touch,
};
use veloz_core::telemetry::histograms::{BUCKET_BOUNDS_NS, BUCKETS};
use veloz_core::telemetry::records::TradingPhase;
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{E8, E8_ONE, Grid, Lots, Nanos, Ticks};
use veloz_core::venue::binance;
use veloz_exporter::analytics::{Analysis, EquityRecorder};
use veloz_exporter::audit::metrics::AuditMetrics;
use veloz_exporter::auth::metrics::AuthMetrics;
use veloz_exporter::catalogue::{Sources, metrics};
use veloz_exporter::exposition::{Format, Page};
use veloz_exporter::faults::ProcessFaults;
use veloz_exporter::http::requests::{
    Answer, DURATION_BOUNDS_NS, Observation, RequestMetrics, SIZE_BOUNDS,
};
use veloz_exporter::log::LogCounts;
use veloz_exporter::process::ProcessStats;
use veloz_exporter::published::{Published, Shared};
use veloz_exporter::stream::Hub;
use veloz_exporter::traces::TraceCounts;
use veloz_exporter::trading::TradingView;
use veloz_exporter::wall::UnixMs;

const RENDERS_PER_ROUND: usize = 10;
const ROUNDS: usize = 101;

/// What a dashboard, a scraper and a trading client ask for.
const ENDPOINTS: [&str; 14] = [
    "/metrics",
    "/health",
    "/health/ready",
    "/api/config",
    "/api/status",
    "/api/market",
    "/api/book",
    "/api/orders",
    "/api/orders_state",
    "/api/account",
    "/api/positions",
    "/api/risk/limits",
    "/api/latency",
    "/api/stream",
];

pub fn run() -> bool {
    let engine = Busy::new();
    let text = engine.page(Format::Text);
    let families = families(&text);
    let registry = in_prometheus_client(&families);
    let handle = in_metrics(&families);

    let expected = samples(&text);
    println!(
        "\n{} samples in {} families, {} bytes",
        expected.len(),
        families.len(),
        text.len()
    );
    assert_same("prometheus-client", &expected, &samples(&encode(&registry)));
    assert_same("metrics-exporter", &expected, &samples(&handle.render()));

    let render = |format| {
        let engine = &engine;
        move |_| {
            timed(|| {
                for _ in 0..RENDERS_PER_ROUND {
                    black_box(engine.page(format));
                }
            })
        }
    };
    compare(
        "the whole metrics page, ns a page",
        RENDERS_PER_ROUND,
        ROUNDS,
        &mut [
            Peer::new("veloz-exporter Page", Gate::None, render(Format::Text)),
            Peer::new(
                "veloz-exporter Page, OpenMetrics",
                Gate::None,
                render(Format::OpenMetrics),
            ),
            Peer::new("prometheus-client", Gate::AtLeast(4.0), |_| {
                timed(|| {
                    for _ in 0..RENDERS_PER_ROUND {
                        black_box(encode(&registry));
                    }
                })
            }),
            Peer::new("metrics-exporter-prometheus", Gate::AtLeast(12.0), |_| {
                timed(|| {
                    for _ in 0..RENDERS_PER_ROUND {
                        black_box(handle.render());
                    }
                })
            }),
        ],
    )
}

/// An engine that has been busy with an account, as far as its page shows it.
struct Busy {
    page: Page,
    instruments: Instruments,
    core: TelemetryReader,
    shared: Shared,
    trading: TradingView,
    requests: RequestMetrics,
    log: LogCounts,
    auth: AuthMetrics,
    audit: AuditMetrics,
    hub: Hub,
    traces: TraceCounts,
    faults: ProcessFaults,
    process: ProcessStats,
}

impl Busy {
    fn new() -> Self {
        let instruments = instruments();
        let (mut writer, core) = telemetry(instruments.count(), Sizes::default());
        for counter in CoreCounter::ALL {
            writer.counters.add(counter, 9_876_543_210);
        }
        for (nth, kind) in MessageKind::ALL.into_iter().enumerate() {
            for _ in 0..1_000 * (nth + 1) {
                writer.counters.message(kind);
            }
        }
        for (index, _) in instruments.iter() {
            for _ in 0..123_456 {
                writer
                    .counters
                    .instrument(index, InstrumentCounter::Messages);
            }
        }
        feed_gauges(&mut writer.gauges, &instruments);

        let mut published = Published::new(instruments.count());
        for (nth, stage) in published.latencies.iter_mut().enumerate() {
            // Values on the bounds, so that a peer which observes them finds the same buckets and sum.
            stage.counts = std::array::from_fn(|bucket| (7 * (nth + bucket) % 40) as u64);
            stage.sum_ns = (0..BUCKETS)
                .map(|bucket| stage.counts[bucket] * value_in(&BUCKET_BOUNDS_NS, bucket))
                .sum();
        }
        published.records.capacity = 16_384;
        published.samples.capacity = 16_384;
        published.analysis = Some(analysis());

        let requests = RequestMetrics::default();
        for (nth, endpoint) in ENDPOINTS.into_iter().enumerate() {
            for request in 0..30 {
                requests.record(&Observation {
                    answer: Answer {
                        method: "GET",
                        endpoint,
                        status: if request % 10 == 9 { 404 } else { 200 },
                    },
                    duration_ns: value_in(&DURATION_BOUNDS_NS, (request + nth) % 5),
                    request_bytes: value_in(&SIZE_BOUNDS, 0),
                    response_bytes: value_in(&SIZE_BOUNDS, request % 6),
                    trace: None,
                });
            }
        }
        let assets = binance::assets(&instruments);
        Self {
            page: Page::new(metrics()),
            trading: TradingView::new(instruments.clone().into(), assets.into()),
            instruments,
            core,
            shared: Shared::new(published),
            requests,
            log: LogCounts::default(),
            auth: AuthMetrics::default(),
            audit: AuditMetrics::default(),
            hub: Hub::new(UnixMs(1_763_900_000_000)),
            traces: TraceCounts::default(),
            faults: ProcessFaults::default(),
            process: ProcessStats {
                // Whole: `metrics` counts in integers.
                cpu_seconds: Some(1_234.0),
                resident_bytes: Some(80_000_000),
                virtual_bytes: Some(900_000_000),
                open_fds: Some(120),
                max_fds: Some(65_536),
                threads: Some(9),
                start_time_seconds: Some(1_763_900_000.5),
                memory_limit_bytes: Some(8_000_000_000),
            },
        }
    }

    /// What a scrape runs.
    fn page(&self, format: Format) -> String {
        let published = self.shared.read();
        self.page.render(
            &Sources {
                now: Nanos::from_secs(3_600),
                started_at: Nanos::from_secs(1),
                heartbeat_age_max: Nanos::from_secs(1),
                exchange: "binance",
                instruments: &self.instruments,
                counters: &self.core.counters,
                gauges: &self.core.gauges,
                published: &published,
                trading: &self.trading.counts(),
                requests: &self.requests,
                log: &self.log,
                auth: &self.auth,
                audit: &self.audit,
                stream: self.hub.counts(),
                traces: &self.traces,
                client_ids_used: 123_456,
                faults: &self.faults,
                state_failures: 0,
                process: &self.process,
            },
            format,
        )
    }
}

/// The value that stands for a bucket: its bound, or twice the last one.
fn value_in(bounds: &[u64], bucket: usize) -> u64 {
    bounds
        .get(bucket)
        .copied()
        .unwrap_or_else(|| 2 * bounds[bounds.len() - 1])
}

fn feed_gauges(gauges: &mut veloz_core::telemetry::gauges::GaugeWriter, instruments: &Instruments) {
    gauges.heartbeat(Nanos(3_600_000_000_000 - 2_345));
    for (gauge, value) in [
        (CoreGauge::TradingPhase, TradingPhase::Ready.index() as i64),
        (CoreGauge::VenueClockOffsetNs, -1_534_987),
        (CoreGauge::MemoryReservedBytes, 90_123_456),
        (CoreGauge::MemoryUsedBytes, 45_678_901),
        (CoreGauge::OpenOrders, 4),
        (CoreGauge::RiskUtilizationBps, 1_234),
        (CoreGauge::Equity, 1_020 * E8_ONE + 12_345_678),
        (CoreGauge::DayChange, -E8_ONE / 2),
        (CoreGauge::RealizedTotal, -3 * E8_ONE),
        (CoreGauge::UnrealizedTotal, 4 * E8_ONE + 1),
        (CoreGauge::WeightHeadroom, 5_000),
        (CoreGauge::WeightLimit, 6_000),
        (CoreGauge::OrdersHeadroom, 99),
        (CoreGauge::OrdersLimit, 100),
        (CoreGauge::OrdersDayHeadroom, 160_000),
        (CoreGauge::OrdersDayLimit, 200_000),
    ] {
        gauges.set(gauge, value);
    }
    for (index, _) in instruments.iter() {
        let touch = Touch {
            bid: Some((Ticks(6_183_763), Lots(5))),
            ask: Some((Ticks(6_183_764), Lots(7))),
        };
        let live = BookGauges::live(touch, 42, Nanos::from_secs(3_599));
        gauges.book(index, live.levels(1_000, 900).lag(2_512_345));
        gauges.position(
            index,
            PositionGauges {
                qty: E8(-5 * E8_ONE),
                entry: E8(60_123 * E8_ONE),
                realized: E8(-3 * E8_ONE),
                realized_profit: E8(E8_ONE),
                realized_loss: E8(4 * E8_ONE),
                marked: Some(Marked {
                    unrealized: E8(4 * E8_ONE),
                    notional: E8(-300 * E8_ONE),
                }),
            },
        );
    }
}

fn analysis() -> Analysis {
    let mut recorder = EquityRecorder::new(1);
    for (second, equity) in [1_000, 1_010, 1_005, 1_020, 1_018, 1_030]
        .into_iter()
        .enumerate()
    {
        recorder.mark(second as u64 * 1_000, E8(equity * E8_ONE));
    }
    Analysis::of(&recorder, &[300.0, -100.0]).expect("marked")
}

fn instruments() -> Instruments {
    let symbol = |text: &str| Symbol::new(text).expect("short");
    let unbounded = Bounds {
        min: None,
        max: None,
    };
    let instrument = |base: &str| Instrument {
        symbol: symbol(&format!("{base}USDT")),
        base: symbol(base),
        quote: symbol("USDT"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        lot: Grid::new(E8(1_000)).expect("positive"),
        price_bounds: unbounded,
        qty_bounds: Bounds {
            min: None,
            max: None,
        },
        notional_min: None,
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    };
    Instruments::new(["BTC", "ETH", "SOL"].map(instrument).into()).expect("three instruments")
}

/// What a sample is told apart by: its name as all three print it, and its labels in alphabetical order.
type Series = (String, Vec<(String, String)>);

/// One family of our page.
struct OfFamily {
    name: String,
    help: String,
    kind: String,
    /// Labels without `le`, and what stands there.
    series: BTreeMap<Vec<(String, String)>, Value>,
}

#[derive(Default)]
struct Value {
    plain: f64,
    /// Bounds and cumulative counts, the last without a bound.
    buckets: Vec<(f64, u64)>,
}

impl OfFamily {
    fn is_whole(&self) -> bool {
        self.series
            .values()
            .all(|value| value.plain.fract() == 0.0 && value.plain.abs() < 9e15)
    }

    fn bounds(&self) -> Vec<f64> {
        let any = self.series.values().next().expect("a family has samples");
        let finite = any.buckets.iter().map(|(bound, _)| *bound);
        finite.filter(|bound| bound.is_finite()).collect()
    }
}

impl Value {
    /// Every observation that the buckets tell of.
    fn observations(&self) -> impl Iterator<Item = f64> + '_ {
        let last = self.buckets.len() - 2;
        let mut below = 0;
        self.buckets.iter().flat_map(move |(bound, cumulative)| {
            let count = cumulative - below;
            below = *cumulative;
            let value = if bound.is_finite() {
                *bound
            } else {
                2.0 * self.buckets[last].0
            };
            (0..count).map(move |_| value)
        })
    }
}

fn families(page: &str) -> Vec<OfFamily> {
    let mut families: Vec<OfFamily> = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a text");
            families.push(OfFamily {
                name: name.to_owned(),
                help: help.to_owned(),
                kind: String::new(),
                series: BTreeMap::new(),
            });
            continue;
        }
        let family = families.last_mut().expect("HELP stands first");
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            rest.rsplit(' ')
                .next()
                .expect("a type")
                .clone_into(&mut family.kind);
            continue;
        }
        let (name, mut labels, value) = parse(line);
        if family.kind != "histogram" {
            family.series.entry(labels).or_default().plain = value;
        } else if name.ends_with("_bucket") {
            let le = labels.iter().position(|(name, _)| name == "le");
            let (_, bound) = labels.remove(le.expect("a bucket has a bound"));
            let bound = bound.parse().expect("a number");
            let of = family.series.entry(labels).or_default();
            of.buckets.push((bound, value as u64));
        }
    }
    families
}

/// Name, labels sorted by name, and value of a sample.
fn parse(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a sample");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').expect("labels end");
    // No label value of this page has a comma or a quote in it.
    let mut labels: Vec<(String, String)> = labels
        .split(',')
        .filter(|label| !label.is_empty())
        .map(|label| {
            let (name, value) = label.split_once('=').expect("a label");
            (name.to_owned(), value.trim_matches('"').to_owned())
        })
        .collect();
    labels.sort();
    (name.to_owned(), labels, value.parse().expect("a number"))
}

/// All samples of a page, under names without the suffix that some libraries give to counters.
fn samples(page: &str) -> BTreeMap<Series, f64> {
    let mut samples = BTreeMap::new();
    let lines = page.lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, mut labels, value) = parse(line);
        let name = name.strip_suffix("_total").unwrap_or(&name).to_owned();
        for (label, bound) in &mut labels {
            if label == "le" {
                *bound = bound.parse::<f64>().expect("a number").to_string();
            }
        }
        let before = samples.insert((name, labels), value);
        assert!(before.is_none(), "{line} stands twice");
    }
    samples
}

fn assert_same(who: &str, expected: &BTreeMap<Series, f64>, got: &BTreeMap<Series, f64>) {
    for (series, value) in expected {
        let theirs = got.get(series);
        let theirs = theirs.unwrap_or_else(|| panic!("{who} lacks {series:?}"));
        let same = theirs == value || (theirs.is_nan() && value.is_nan());
        // Sums are added up in another order.
        let near = (theirs - value).abs() <= 1e-9 * value.abs();
        assert!(
            same || near,
            "{who}: {series:?} is {theirs} instead of {value}"
        );
    }
    if let Some(series) = got.keys().find(|series| !expected.contains_key(*series)) {
        panic!("{who} has {series:?} as well");
    }
}

type Labels = Vec<(&'static str, String)>;

fn labels_of(labels: &[(String, String)]) -> Labels {
    let leak = |name: &str| -> &'static str { name.to_owned().leak() };
    let pairs = labels.iter();
    pairs
        .map(|(name, value)| (leak(name), value.clone()))
        .collect()
}

fn in_prometheus_client(families: &[OfFamily]) -> Registry {
    let mut registry = Registry::default();
    for family in families {
        // It adds a full stop to the help and `_total` to a counter by itself.
        let help = family.help.trim_end_matches('.');
        let counter = family.name.strip_suffix("_total");
        let series = family.series.iter();
        let series = series.map(|(labels, value)| (labels_of(labels), value));
        match (family.kind.as_str(), counter) {
            ("histogram", _) => {
                let bounds = family.bounds();
                let constructor = move || Histogram::new(bounds.iter().copied());
                let of = Family::<Labels, Histogram, _>::new_with_constructor(constructor);
                for (labels, value) in series {
                    let histogram = of.get_or_create(&labels);
                    value
                        .observations()
                        .for_each(|value| histogram.observe(value));
                }
                registry.register(&family.name, help, of);
            }
            ("counter", Some(name)) => {
                let of = Family::<Labels, Counter>::default();
                for (labels, value) in series {
                    of.get_or_create(&labels).inc_by(value.plain as u64);
                }
                registry.register(name, help, of);
            }
            // A counter without the suffix can only be a gauge there.
            _ if family.is_whole() => {
                let of = Family::<Labels, Gauge>::default();
                for (labels, value) in series {
                    of.get_or_create(&labels).set(value.plain as i64);
                }
                registry.register(&family.name, help, of);
            }
            _ => {
                let of = Family::<Labels, Gauge<f64, AtomicU64>>::default();
                for (labels, value) in series {
                    of.get_or_create(&labels).set(value.plain);
                }
                registry.register(&family.name, help, of);
            }
        }
    }
    registry
}

fn encode(registry: &Registry) -> String {
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, registry).expect("memory");
    // An empty label set is printed as `{}`, which is the same series.
    page
}

fn in_metrics(families: &[OfFamily]) -> PrometheusHandle {
    let mut builder = PrometheusBuilder::new();
    for family in families.iter().filter(|family| family.kind == "histogram") {
        let matcher = Matcher::Full(family.name.clone());
        builder = builder
            .set_buckets_for_metric(matcher, &family.bounds())
            .expect("there are bounds");
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        for family in families {
            let name = family.name.clone();
            let help = family.help.clone();
            match family.kind.as_str() {
                "counter" => metrics::describe_counter!(name, help),
                "histogram" => metrics::describe_histogram!(name, help),
                _ => metrics::describe_gauge!(name, help),
            }
            for (labels, value) in &family.series {
                let name = family.name.clone();
                match family.kind.as_str() {
                    "counter" => metrics::counter!(name, labels).absolute(value.plain as u64),
                    "histogram" => {
                        let histogram = metrics::histogram!(name, labels);
                        value
                            .observations()
                            .for_each(|value| histogram.record(value));
                    }
                    _ => metrics::gauge!(name, labels).set(value.plain),
                }
            }
        }
    });
    // What was observed is sorted into buckets now, not while pages are timed.
    handle.run_upkeep();
    handle
}
