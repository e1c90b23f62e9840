//! The engine as a machine: errors, memory, its loop, its rings.

use super::{Metric, counter, gauge, histogram, of_rings, optional, seconds};
use crate::audit::metrics::Loss;
use crate::faults::ProcessFault;
use veloz_core::event::LinkDown;
use veloz_core::oms::OmsFault;
use veloz_core::telemetry::counters::Counter;
use veloz_core::telemetry::gauges::Gauge;
use veloz_core::telemetry::histograms::{BUCKET_BOUNDS_NS, Stage};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::fault::VenueFault;

/// Errors, memory, and the loop.
pub(super) static ENGINE: &[Metric] = &[
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
                    samples.value(
                        &[cause.label(), "websocket"],
                        from.counters.link_downs(cause),
                    );
                }
            }
            for fault in OmsFault::ALL {
                samples.value(&[fault.label(), "orders"], from.counters.order_fault(fault));
            }
            let full = from.counters.plain(Counter::OutboxFull);
            samples.value(&["outbox_full", "engine"], full);
            samples.value(&["records_lost", "telemetry"], from.published.records.lost);
            samples.value(&["panic", "gateway"], from.requests.panics());
            for loss in Loss::ALL {
                samples.value(&[loss.label(), "audit"], from.audit.lost_by(loss));
            }
            samples.value(&["queue_full", "log"], from.log.lines_dropped());
            samples.value(&["write", "log"], from.log.writes_failed());
            samples.value(&["export", "traces"], from.traces.failed());
            samples.value(&["queue_full", "traces"], from.traces.dropped());
            samples.value(&["write", "state"], from.state_failures);
            for fault in ProcessFault::ALL {
                samples.value(&[fault.label(), fault.component()], from.faults.of(fault));
            }
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
        "Time between two stamps, on a message's way to the book, an order's to the kernel, or a request's to its answer; each is counted.",
        |from, samples| {
            for stage in Stage::ALL {
                match stage {
                    // Metrics of their own.
                    Stage::RecvToBook | Stage::LoopTurn => {}
                    Stage::RecvToDecoded
                    | Stage::DecodedToBook
                    | Stage::BookToDecided
                    | Stage::DecidedToAdmitted
                    | Stage::AdmittedToEncoded
                    | Stage::EncodedToSent
                    | Stage::TickToOrder
                    | Stage::OrderAck
                    | Stage::CancelRoundTrip
                    | Stage::ReplaceRoundTrip
                    | Stage::AmendRoundTrip
                    | Stage::LogOnRoundTrip
                    | Stage::SubscribeRoundTrip
                    | Stage::OrderStatusRoundTrip
                    | Stage::OpenOrdersRoundTrip
                    | Stage::TradesRoundTrip
                    | Stage::AccountRoundTrip
                    | Stage::OrderCountsRoundTrip
                    | Stage::SnapshotRoundTrip => {
                        from.latency(samples, &[stage.label()], stage);
                    }
                }
            }
        },
    ),
];

/// The core's turns, and the rings from it.
pub(super) static LOOP: &[Metric] = &[
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
        "Elements waiting now, also while nobody takes them out.",
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
];
