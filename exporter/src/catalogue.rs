//! The one table of all metrics: name, type, unit, labels, buckets, help, and where the value is.
//!
//! Owns: [`METRICS`], from which the metrics page and METRICS.md are made. Does not: write text formats.
//! It is long because it is one table; nothing else stands here.
//! Invariants: no metric exists outside this table; each entry shows a real value, and one whose value
//! is not known shows no sample; a histogram's bounds are among those that are counted exactly.
//!
//! Names and types from [`veloz_http_requests_total`] to the system group are an external contract and
//! do not follow our own rule (unit last, `_total` for counters) everywhere; those below it do.

mod document;
mod sources;

pub use document::document;
pub use sources::Sources;

use crate::analytics::Analysis;
use crate::audit::metrics::Loss;
use crate::audit::record::LogType;
use crate::audit::writer::QUEUE_MAX;
use crate::auth::metrics::{Means, Outcome};
use crate::exposition::Samples;
use crate::http::requests::{ConnectionEnd, DURATION_BOUNDS_NS, Refusal, SIZE_BOUNDS};
use crate::status::RingLine;
use veloz_core::event::{LinkDown, LinkRole};
use veloz_core::telemetry::counters::{Counter, InstrumentCounter, MessageKind};
use veloz_core::telemetry::gauges::Gauge;
use veloz_core::telemetry::histograms::{BUCKET_BOUNDS_NS, Stage};
use veloz_core::telemetry::records::{BookState, ResyncCause};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::fault::VenueFault;

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

/// Kinds that move prices or levels: all but answers to requests.
const MARKET_KINDS: [MessageKind; 6] = [
    MessageKind::DepthDiff,
    MessageKind::DepthPartial,
    MessageKind::DepthSnapshot,
    MessageKind::BookTicker,
    MessageKind::Trade,
    MessageKind::AggTrade,
];

/// Kinds that hold price levels.
const LEVEL_KINDS: [MessageKind; 3] = [
    MessageKind::DepthDiff,
    MessageKind::DepthPartial,
    MessageKind::DepthSnapshot,
];

/// Faults that are the venue's answer, or missing answer, to a request of ours.
const API_FAULTS: [VenueFault; 5] = [
    VenueFault::ReplyTimeout,
    VenueFault::SubscribeRefused,
    VenueFault::RequestRefused,
    VenueFault::RateLimited,
    VenueFault::Banned,
];

/// Every metric, in the order of the page.
pub static METRICS: &[Metric] = &[
    // HTTP requests.
    counter(
        "veloz_http_requests_total",
        &["method", "endpoint", "status"],
        "HTTP requests answered.",
        |from, samples| {
            for (labels, count) in from.requests.answered() {
                let status = labels.status.to_string();
                samples.value(&[labels.method, labels.endpoint, &status], count);
            }
        },
    ),
    histogram(
        "veloz_http_request_duration_seconds",
        &DURATION_BOUNDS_NS,
        &["method", "endpoint"],
        "Time from a request's head to its answer's head.",
        |from, samples| {
            for (labels, of) in from.requests.distributions() {
                let labels = [labels.method, labels.endpoint];
                let buckets = &of.duration_ns;
                samples.histogram(
                    &labels,
                    |bound| buckets.cumulative(bound),
                    buckets.count(),
                    buckets.sum(),
                );
            }
        },
    ),
    histogram(
        "veloz_http_request_size_bytes",
        &SIZE_BOUNDS,
        &["method", "endpoint"],
        "Declared size of a request's body.",
        |from, samples| {
            for (labels, of) in from.requests.distributions() {
                let labels = [labels.method, labels.endpoint];
                let buckets = &of.request_bytes;
                samples.histogram(
                    &labels,
                    |bound| buckets.cumulative(bound),
                    buckets.count(),
                    buckets.sum(),
                );
            }
        },
    )
    .bytes(),
    histogram(
        "veloz_http_response_size_bytes",
        &SIZE_BOUNDS,
        &["method", "endpoint"],
        "Size of an answer's body before compression.",
        |from, samples| {
            for (labels, of) in from.requests.distributions() {
                let labels = [labels.method, labels.endpoint];
                let buckets = &of.response_bytes;
                samples.histogram(
                    &labels,
                    |bound| buckets.cumulative(bound),
                    buckets.count(),
                    buckets.sum(),
                );
            }
        },
    )
    .bytes(),
    // Gateway state.
    gauge(
        "veloz_gateway_uptime_seconds",
        &[],
        "Time since the HTTP server started.",
        |from, samples| samples.value(&[], seconds(from.now.since(from.started_at))),
    )
    .seconds(),
    gauge(
        "veloz_engine_running",
        &[],
        "1 while the core's heartbeat is younger than its bound, else 0.",
        |from, samples| samples.value(&[], from.engine_running()),
    ),
    gauge(
        "veloz_active_connections",
        &[],
        "Open HTTP connections.",
        |from, samples| samples.value(&[], from.requests.connections()),
    ),
    gauge(
        "veloz_websocket_connected",
        &[],
        "1 while a market-data connection is up, else 0.",
        |from, samples| samples.value(&[], from.gauges.links_up(LinkRole::Market) > 0),
    ),
    // Market data.
    counter(
        "veloz_market_updates_total",
        &["type"],
        "Market-data messages received.",
        |from, samples| {
            for kind in MARKET_KINDS {
                samples.value(&[kind.label()], from.counters.messages(kind));
            }
        },
    ),
    counter(
        "veloz_orderbook_updates_total",
        &[],
        "Messages with price levels received.",
        |from, samples| samples.value(&[], from.messages(&LEVEL_KINDS)),
    ),
    counter(
        "veloz_trade_updates_total",
        &[],
        "Trade messages received, single and aggregated.",
        |from, samples| {
            let trades = [MessageKind::Trade, MessageKind::AggTrade];
            samples.value(&[], from.messages(&trades));
        },
    ),
    gauge(
        "veloz_market_data_lag_ms",
        &[],
        "Receive time minus the venue's event time, clock offset taken out: the worst live book's; NaN while none is live.",
        |from, samples| {
            let worst = from
                .instruments
                .iter()
                .filter_map(|(index, _)| from.gauges.book(index)?.lag_ns())
                .max();
            let milliseconds = worst.map_or(f64::NAN, |ns| ns as f64 / 1e6);
            samples.value(&[], milliseconds);
        },
    )
    .milliseconds(),
    histogram(
        "veloz_market_processing_latency_seconds",
        &BUCKET_BOUNDS_NS,
        &[],
        "Bytes of a market-data message in user space to the updated book.",
        |from, samples| from.latency(samples, &[], Stage::RecvToBook),
    ),
    // Exchange connectivity.
    histogram(
        "veloz_exchange_api_latency_seconds",
        &BUCKET_BOUNDS_NS,
        &["exchange", "endpoint"],
        "Request to answer, by API method.",
        |from, samples| {
            from.latency(
                samples,
                &[from.exchange, "depth"],
                Stage::SnapshotRoundTrip,
            );
        },
    ),
    counter(
        "veloz_exchange_api_errors_total",
        &["exchange", "error_type"],
        "Requests that the exchange refused or did not answer.",
        |from, samples| {
            for fault in API_FAULTS {
                let count = from.counters.faults(fault as u8);
                samples.value(&[from.exchange, fault.label()], count);
            }
        },
    ),
    counter(
        "veloz_websocket_reconnects_total",
        &["exchange"],
        "Connections replaced, planned rotation included.",
        |from, samples| {
            samples.value(&[from.exchange], from.counters.plain(Counter::Reconnects));
        },
    ),
    // Errors.
    counter(
        "veloz_errors_total",
        &["type", "component"],
        "Errors of every component.",
        |from, samples| {
            for fault in VenueFault::ALL {
                let count = from.counters.faults(fault as u8);
                samples.value(&[fault.label(), "market_data"], count);
            }
            for cause in LinkDown::ALL {
                if cause != LinkDown::Requested {
                    samples.value(&[cause.label(), "websocket"], from.counters.link_downs(cause));
                }
            }
            let full = from.counters.plain(Counter::OutboxFull);
            samples.value(&["outbox_full", "engine"], full);
            samples.value(&["records_lost", "telemetry"], from.published.records.lost);
            samples.value(&["panic", "gateway"], from.requests.panics());
        },
    ),
    // System.
    gauge(
        "veloz_websocket_connections",
        &[],
        "Websocket connections that are up.",
        |from, samples| samples.value(&[], from.links_up()),
    ),
    counter(
        "veloz_websocket_reconnects",
        &[],
        "Connections replaced; without labels, kept for existing rules.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::Reconnects)),
    )
    .text_only(),
    gauge(
        "veloz_memory_pool_used_bytes",
        &[],
        "Bytes of the memory reserved at start that hold something.",
        |from, samples| samples.value(&[], from.gauges.plain(Gauge::MemoryUsedBytes)),
    )
    .bytes(),
    gauge(
        "veloz_memory_pool_allocated_bytes",
        &[],
        "Bytes reserved at start for books and rings.",
        |from, samples| samples.value(&[], from.gauges.plain(Gauge::MemoryReservedBytes)),
    )
    .bytes(),
    gauge(
        "veloz_memory_limit_bytes",
        &[],
        "Memory that the process may use: its control group's limit, else the machine's.",
        |from, samples| optional(samples, from.process.memory_limit_bytes),
    )
    .bytes(),
    gauge(
        "veloz_event_loop_pending_tasks",
        &[],
        "Commands and unparsed frames at the start of the core's last turn.",
        |from, samples| samples.value(&[], from.gauges.plain(Gauge::PendingTasks)),
    ),
    histogram(
        "veloz_event_loop_task_latency_seconds",
        &BUCKET_BOUNDS_NS,
        &[],
        "Length of the core's turns that handled at least one event.",
        |from, samples| from.latency(samples, &[], Stage::LoopTurn),
    ),
    gauge(
        "veloz_orderbook_depth",
        &[],
        "Price levels held, over all books.",
        |from, samples| {
            let levels: u64 = from
                .instruments
                .iter()
                .filter_map(|(index, _)| from.gauges.book(index))
                .map(|book| {
                    let (bids, asks) = book.level_counts();
                    u64::from(bids) + u64::from(asks)
                })
                .sum();
            samples.value(&[], levels);
        },
    ),
    gauge(
        "veloz_system_uptime",
        &[],
        "Seconds since the process started.",
        |from, samples| samples.value(&[], seconds(from.now)),
    ),
    // Beyond the contract: latency by stage.
    histogram(
        "veloz_stage_latency_seconds",
        &BUCKET_BOUNDS_NS,
        &["stage"],
        "Time between two stamps on a message's way to the book; every message is counted.",
        |from, samples| {
            for stage in [Stage::RecvToDecoded, Stage::DecodedToBook] {
                from.latency(samples, &[stage.label()], stage);
            }
        },
    ),
    // Books.
    gauge(
        "veloz_orderbook_state",
        &["symbol", "state"],
        "1 for the state that the book is in, 0 for the others.",
        |from, samples| {
            for (index, instrument) in from.instruments.iter() {
                let Some(book) = from.gauges.book(index) else {
                    continue;
                };
                for state in BookState::ALL {
                    let labels = [instrument.symbol.as_str(), state.label()];
                    samples.value(&labels, book.state() == state);
                }
            }
        },
    ),
    gauge(
        "veloz_orderbook_levels",
        &["symbol", "side"],
        "Price levels held.",
        |from, samples| {
            for (index, instrument) in from.instruments.iter() {
                let Some(book) = from.gauges.book(index) else {
                    continue;
                };
                let (bids, asks) = book.level_counts();
                samples.value(&[instrument.symbol.as_str(), "bid"], u64::from(bids));
                samples.value(&[instrument.symbol.as_str(), "ask"], u64::from(asks));
            }
        },
    ),
    gauge(
        "veloz_orderbook_lag_seconds",
        &["symbol"],
        "Receive time minus the venue's event time, clock offset taken out, of a live book's last update.",
        |from, samples| {
            for (index, instrument) in from.instruments.iter() {
                if let Some(ns) = from.gauges.book(index).and_then(|book| book.lag_ns()) {
                    samples.value(&[instrument.symbol.as_str()], ns as f64 / 1e9);
                }
            }
        },
    )
    .seconds(),
    counter(
        "veloz_orderbook_messages_total",
        &["symbol"],
        "Market-data messages received.",
        |from, samples| of_instruments(from, samples, InstrumentCounter::Messages),
    ),
    counter(
        "veloz_orderbook_resyncs_total",
        &["symbol"],
        "Times that the book was rebuilt.",
        |from, samples| of_instruments(from, samples, InstrumentCounter::Resyncs),
    ),
    counter(
        "veloz_orderbook_gaps_total",
        &["symbol"],
        "Holes found in the update ids.",
        |from, samples| of_instruments(from, samples, InstrumentCounter::Gaps),
    ),
    counter(
        "veloz_orderbook_resync_causes_total",
        &["cause"],
        "Why books were rebuilt.",
        |from, samples| {
            for cause in ResyncCause::ALL {
                samples.value(&[cause.label()], from.counters.resyncs(cause));
            }
        },
    ),
    // Venue and connections.
    counter(
        "veloz_venue_faults_total",
        &["exchange", "kind", "answer"],
        "Faults in what the venue sent, and what the engine does about each kind.",
        |from, samples| {
            for fault in VenueFault::ALL {
                let labels = [from.exchange, fault.label(), fault.response().label()];
                samples.value(&labels, from.counters.faults(fault as u8));
            }
        },
    ),
    gauge(
        "veloz_links_up",
        &["role"],
        "Websocket connections that are up, by purpose.",
        |from, samples| {
            for role in LinkRole::ALL {
                samples.value(&[role_label(role)], from.gauges.links_up(role));
            }
        },
    ),
    counter(
        "veloz_link_downs_total",
        &["cause"],
        "Connections that ended or did not come up.",
        |from, samples| {
            for cause in LinkDown::ALL {
                samples.value(&[cause.label()], from.counters.link_downs(cause));
            }
        },
    ),
    counter(
        "veloz_websocket_received_bytes_total",
        &[],
        "Bytes received, after TLS.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::BytesReceived)),
    )
    .bytes(),
    counter(
        "veloz_websocket_sent_bytes_total",
        &[],
        "Bytes sent, before TLS.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::BytesSent)),
    )
    .bytes(),
    counter(
        "veloz_tolerant_parses_total",
        &[],
        "Messages that the fast scanner handed to the tolerant parser.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::TolerantParses)),
    ),
    counter(
        "veloz_ignored_messages_total",
        &[],
        "Messages of types that the engine does not know or want.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::Ignored)),
    ),
    counter(
        "veloz_control_messages_total",
        &[],
        "Answers to requests, without market data.",
        |from, samples| samples.value(&[], from.messages(&[MessageKind::Control])),
    ),
    gauge(
        "veloz_venue_clock_offset_seconds",
        &[],
        "The venue's clock minus ours; NaN until it was measured.",
        |from, samples| {
            let ns = from.gauges.venue_clock_offset_ns();
            samples.value(&[], ns.map_or(f64::NAN, |ns| ns as f64 / 1e9));
        },
    )
    .seconds(),
    // Core loop.
    counter(
        "veloz_event_loop_turns_total",
        &[],
        "Turns of the core's loop.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::LoopTurns)),
    ),
    counter(
        "veloz_event_loop_busy_turns_total",
        &[],
        "Turns that handled at least one event.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::LoopBusyTurns)),
    ),
    gauge(
        "veloz_core_heartbeat_age_seconds",
        &[],
        "Time since the core last finished a turn; NaN before its first.",
        |from, samples| {
            let heartbeat = from.gauges.heartbeat();
            let age = if heartbeat == Nanos::ZERO {
                f64::NAN
            } else {
                seconds(from.now.since(heartbeat))
            };
            samples.value(&[], age);
        },
    )
    .seconds(),
    // Rings.
    gauge(
        "veloz_ring_used",
        &["ring"],
        "Elements found waiting when the ring was last drained.",
        |from, samples| of_rings(from, samples, |ring| ring.used),
    ),
    gauge(
        "veloz_ring_used_max",
        &["ring"],
        "The most elements ever found waiting.",
        |from, samples| of_rings(from, samples, |ring| ring.used_max),
    ),
    gauge(
        "veloz_ring_size",
        &["ring"],
        "Elements that fit.",
        |from, samples| of_rings(from, samples, |ring| ring.capacity),
    ),
    counter(
        "veloz_ring_taken_total",
        &["ring"],
        "Elements taken out.",
        |from, samples| of_rings(from, samples, |ring| ring.taken),
    ),
    counter(
        "veloz_ring_lost_total",
        &["ring"],
        "Elements that the ring had no room for: samples are dropped by design, a record is an incident.",
        |from, samples| of_rings(from, samples, |ring| ring.lost),
    ),
    counter(
        "veloz_log_lines_suppressed_total",
        &[],
        "Log lines left out because one kind of event came too often; other counts hold them all.",
        |from, samples| {
            let of_requests = from.requests.lines_suppressed();
            samples.value(&[], from.published.log_lines_suppressed + of_requests);
        },
    ),
    // The sidecar's server.
    counter(
        "veloz_http_connections_refused_total",
        &["reason"],
        "HTTP connections closed at once: too many were open, or the address may not connect.",
        |from, samples| {
            for refusal in Refusal::ALL {
                samples.value(&[refusal.label()], from.requests.connections_refused(refusal));
            }
        },
    ),
    counter(
        "veloz_http_connections_failed_total",
        &["cause"],
        "HTTP connections ended because of what came over them, or did not come.",
        |from, samples| {
            for end in ConnectionEnd::ALL {
                samples.value(&[end.label()], from.requests.connections_failed(end));
            }
        },
    ),
    counter(
        "veloz_http_rate_limited_total",
        &[],
        "Requests refused because their client asked too often.",
        |from, samples| samples.value(&[], from.requests.rate_limit_hits()),
    ),
    // Analytics of the account: definitions in `analytics.rs`. Fractions become percent here.
    gauge(
        "veloz_risk_var_95",
        &[],
        "Historical value at risk of one period at 95 %, in the account currency; NaN below 20 periods.",
        |from, samples| of_account(from, samples, |of| of.figures.var_95 * of.equity),
    ),
    gauge(
        "veloz_risk_var_99",
        &[],
        "Historical value at risk of one period at 99 %, in the account currency; NaN below 100 periods.",
        |from, samples| of_account(from, samples, |of| of.figures.var_99 * of.equity),
    ),
    gauge(
        "veloz_risk_expected_shortfall_95",
        &[],
        "Mean loss of the periods beyond the 95 % value at risk, in the account currency; NaN below 20 periods.",
        |from, samples| of_account(from, samples, |of| of.figures.shortfall_95 * of.equity),
    ),
    gauge(
        "veloz_risk_max_drawdown",
        &[],
        "Largest fall of the equity from a peak, in percent of the peak.",
        |from, samples| of_account(from, samples, |of| of.figures.max_drawdown * PERCENT),
    ),
    gauge(
        "veloz_risk_current_drawdown",
        &[],
        "Present fall of the equity from its peak, in percent of the peak.",
        |from, samples| of_account(from, samples, |of| of.figures.current_drawdown * PERCENT),
    ),
    gauge(
        "veloz_risk_sharpe_ratio",
        &[],
        "Annualised Sharpe ratio of the period returns; NaN while they do not deviate.",
        |from, samples| of_account(from, samples, |of| of.figures.sharpe),
    ),
    gauge(
        "veloz_risk_sortino_ratio",
        &[],
        "Annualised Sortino ratio of the period returns; NaN without a loss.",
        |from, samples| of_account(from, samples, |of| of.figures.sortino),
    ),
    gauge(
        "veloz_risk_calmar_ratio",
        &[],
        "Annual growth over the largest drawdown; NaN without a drawdown.",
        |from, samples| of_account(from, samples, |of| of.figures.calmar),
    ),
    gauge(
        "veloz_risk_win_rate",
        &[],
        "Periods with a gain among those that were not flat, in percent; NaN before the first.",
        |from, samples| of_account(from, samples, |of| of.figures.win_rate * PERCENT),
    ),
    gauge(
        "veloz_risk_profit_factor",
        &[],
        "Gains over losses of the period returns; +Inf without a loss, 0 with neither.",
        |from, samples| of_account(from, samples, |of| of.figures.profit_factor),
    ),
    gauge(
        "veloz_equity_change_day",
        &[],
        "Change of the equity since midnight UTC without deposits and withdrawals, in the account currency.",
        |from, samples| of_account(from, samples, |of| of.change_of_day),
    ),
    gauge(
        "veloz_exposure_gross",
        &[],
        "Sum of the sizes of all positions, in the account currency.",
        |from, samples| of_account(from, samples, |of| of.exposure.gross),
    ),
    gauge(
        "veloz_exposure_net",
        &[],
        "Long minus short positions, in the account currency.",
        |from, samples| of_account(from, samples, |of| of.exposure.net),
    ),
    gauge(
        "veloz_exposure_long",
        &[],
        "Sum of long positions, in the account currency.",
        |from, samples| of_account(from, samples, |of| of.exposure.long),
    ),
    gauge(
        "veloz_exposure_short",
        &[],
        "Sum of short positions as a positive number, in the account currency.",
        |from, samples| of_account(from, samples, |of| of.exposure.short),
    ),
    gauge(
        "veloz_exposure_leverage_ratio",
        &[],
        "Gross exposure over equity; NaN without equity.",
        |from, samples| of_account(from, samples, |of| of.exposure.leverage),
    ),
    gauge(
        "veloz_concentration_largest_pct",
        &[],
        "The largest position in percent of the gross exposure.",
        |from, samples| of_account(from, samples, |of| of.concentration.largest * PERCENT),
    ),
    gauge(
        "veloz_concentration_top3_pct",
        &[],
        "The three largest positions in percent of the gross exposure.",
        |from, samples| of_account(from, samples, |of| of.concentration.top_3 * PERCENT),
    ),
    gauge(
        "veloz_concentration_hhi",
        &[],
        "Herfindahl-Hirschman index of the positions, 0 to 1.",
        |from, samples| of_account(from, samples, |of| of.concentration.hhi),
    ),
    gauge(
        "veloz_concentration_position_count",
        &[],
        "Open positions.",
        |from, samples| of_account(from, samples, |of| of.concentration.positions as f64),
    ),
    // Log lines.
    counter(
        "veloz_log_lines_total",
        &["level"],
        "Log lines that were taken to be written.",
        |from, samples| {
            for (level, lines) in from.log.lines() {
                samples.value(&[level], lines);
            }
        },
    ),
    counter(
        "veloz_log_lines_dropped_total",
        &[],
        "Log lines lost because the queue to the disk or the terminal was full.",
        |from, samples| samples.value(&[], from.log.lines_dropped()),
    ),
    counter(
        "veloz_log_write_errors_total",
        &[],
        "Writes of log lines that the system refused.",
        |from, samples| samples.value(&[], from.log.writes_failed()),
    ),
    // Identities.
    counter(
        "veloz_auth_attempts_total",
        &["means", "outcome"],
        "Attempts to say who one is, by password, token, key or ticket, and what came of them.",
        |from, samples| {
            for means in Means::ALL {
                for outcome in Outcome::ALL {
                    let labels = [means.label(), outcome.label()];
                    samples.value(&labels, from.auth.attempts(means, outcome));
                }
            }
        },
    ),
    counter(
        "veloz_auth_denied_total",
        &[],
        "Requests of somebody known who may not make them.",
        |from, samples| samples.value(&[], from.auth.denied()),
    ),
    // The audit log.
    counter(
        "veloz_audit_records_total",
        &["log_type"],
        "Audit records on the disk.",
        |from, samples| {
            for log_type in LogType::ALL {
                samples.value(&[log_type.label()], from.audit.written_of(log_type));
            }
        },
    ),
    counter(
        "veloz_audit_lost_total",
        &["cause"],
        "Audit records that are not in the log: each is an incident.",
        |from, samples| {
            for loss in Loss::ALL {
                samples.value(&[loss.label()], from.audit.lost_by(loss));
            }
        },
    ),
    gauge(
        "veloz_audit_queue_used",
        &[],
        "Audit records that wait to be written.",
        |from, samples| samples.value(&[], from.audit.queue_used()),
    ),
    gauge(
        "veloz_audit_queue_size",
        &[],
        "Audit records that may wait.",
        |from, samples| {
            let _ = from;
            samples.value(&[], QUEUE_MAX);
        },
    ),
    gauge(
        "veloz_audit_writable",
        &[],
        "1 while the last audit records were written, else 0: then administrative actions are refused.",
        |from, samples| samples.value(&[], from.audit.is_writable()),
    ),
    // The stream of events.
    gauge(
        "veloz_sse_clients",
        &[],
        "Connected clients of the event stream.",
        |from, samples| samples.value(&[], from.stream.clients()),
    ),
    counter(
        "veloz_sse_events_total",
        &["event"],
        "Events published to the stream, however many clients there are.",
        |from, samples| {
            for (event, count) in from.stream.published() {
                samples.value(&[event], count);
            }
        },
    ),
    counter(
        "veloz_sse_sent_total",
        &[],
        "Events handed to connections, all clients together.",
        |from, samples| samples.value(&[], from.stream.sent()),
    ),
    counter(
        "veloz_sse_gaps_total",
        &[],
        "Gaps told to clients that were away too long or read too slowly.",
        |from, samples| samples.value(&[], from.stream.gaps()),
    ),
    counter(
        "veloz_sse_clients_refused_total",
        &[],
        "Clients turned away because all streams were taken.",
        |from, samples| samples.value(&[], from.stream.refused()),
    ),
    // Traces.
    counter(
        "veloz_trace_spans_total",
        &["result"],
        "Spans by what became of them: exported, failed (the collector did not take them), dropped (the queue was full), sampled_out.",
        |from, samples| {
            for (result, count) in from.traces.spans() {
                samples.value(&[result], count);
            }
        },
    ),
    gauge(
        "veloz_trace_spans_waiting",
        &[],
        "Spans that wait for the exporter.",
        |from, samples| samples.value(&[], from.traces.waiting()),
    ),
    // Build and process.
    gauge(
        "veloz_build_info",
        &["version", "profile", "arch"],
        "What runs; always 1.",
        |from, samples| {
            let _ = from;
            samples.value(&[VERSION, PROFILE, std::env::consts::ARCH], 1u64);
        },
    ),
    counter(
        "process_cpu_seconds_total",
        &[],
        "User and system time of all threads.",
        |from, samples| {
            if let Some(seconds) = from.process.cpu_seconds {
                samples.value(&[], seconds);
            }
        },
    )
    .seconds(),
    gauge(
        "process_resident_memory_bytes",
        &[],
        "Memory in RAM.",
        |from, samples| optional(samples, from.process.resident_bytes),
    )
    .bytes(),
    gauge(
        "process_virtual_memory_bytes",
        &[],
        "Address space.",
        |from, samples| optional(samples, from.process.virtual_bytes),
    )
    .bytes(),
    gauge(
        "process_open_fds",
        &[],
        "Open file descriptors.",
        |from, samples| optional(samples, from.process.open_fds),
    ),
    gauge(
        "process_max_fds",
        &[],
        "Most file descriptors that the process may open.",
        |from, samples| optional(samples, from.process.max_fds),
    ),
    gauge(
        "process_threads",
        &[],
        "Threads of the process.",
        |from, samples| optional(samples, from.process.threads),
    ),
    gauge(
        "process_start_time_seconds",
        &[],
        "Unix time of the process' start.",
        |from, samples| {
            if let Some(unix) = from.process.start_time_seconds {
                samples.value(&[], unix);
            }
        },
    )
    .seconds(),
];

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

/// What a whole is in the names that end in percent or count by it.
const PERCENT: f64 = 100.0;

fn of_account(from: &Sources<'_>, samples: &mut Samples<'_>, value: fn(&Analysis) -> f64) {
    if let Some(analysis) = &from.published.analysis {
        samples.value(&[], value(analysis));
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
