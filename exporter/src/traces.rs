//! Traces: what one request, signal or order went through, as spans for a collector.
//!
//! Owns: [`Traces`] (what runs) and [`Spans`] (what others hold to tell spans). The parts:
//!
//! | module | what |
//! | --- | --- |
//! | `traces/config.rs` | what it is told at start |
//! | `traces/context.rs` | W3C trace context, in and out |
//! | `traces/span.rs` | the seven kinds of spans and their attributes |
//! | `traces/sampling.rs` | which traces are kept, and the spans held back until one turns out to matter |
//! | `traces/export.rs` | the exporter, its thread, its counts |
//! | `traces/client.rs` | HTTP for the exporter |
//! | `traces/layer.rs` | the span of an HTTP request |
//! | `traces/orders.rs` | the spans of orders and commands, from the core's stamps |
//!
//! Does not: measure. Spans are built here, after the fact, from stamps that the core (or the HTTP
//! server) took on the engine's clock; the wall time of that clock's zero comes from the drain. Their
//! ids are ours, so that a log line and a span of the same moment carry the same ones.
//!
//! Invariants: telling a span never waits for a collector; a span that is told is exported, dropped,
//! failed or sampled out, and each is counted; without an endpoint nothing is built at all.

pub mod config;
pub mod context;
pub mod layer;
pub mod orders;
pub mod span;

mod client;
mod export;
mod sampling;

pub use config::{Endpoint, Protocol, Sampling, TraceConfig};
pub use export::{StartError, TraceCounts};
pub use span::{
    CommandSpan, ExecuteSpan, HttpSpan, MarketSpan, Outcome, PlaceSpan, RiskSpan, SignalSpan, Times,
};

use config::SlowBounds;
use export::Export;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};
use sampling::HeldBack;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use veloz_core::order::OrderId;
use veloz_core::units::Nanos;

/// Tracing as it runs.
pub struct Traces {
    spans: Spans,
    export: Option<Export>,
}

impl Traces {
    /// Starts what `config` asks for; `core_cpu` is the one that its threads leave alone.
    ///
    /// # Errors
    /// [`StartError`] when the endpoint cannot be or no thread is left.
    pub fn start(config: &TraceConfig, core_cpu: Option<usize>) -> Result<Self, StartError> {
        let counts = Arc::<TraceCounts>::default();
        let export = if config.endpoint.is_some() || config.console {
            Some(Export::start(config, core_cpu, Arc::clone(&counts))?)
        } else {
            None
        };
        let spans = Spans::new(config, export.as_ref().map(Export::sink), counts);
        Ok(Self { spans, export })
    }

    /// No tracing, for a sidecar without it.
    pub fn none() -> Self {
        Self {
            spans: Spans::new(&TraceConfig::default(), None, Arc::default()),
            export: None,
        }
    }

    /// The end that tells spans.
    pub fn spans(&self) -> Spans {
        self.spans.clone()
    }

    /// Exports what waits and ends, within `bound`; what is left after it is lost.
    pub fn stop(self, bound: Duration) {
        if let Some(export) = self.export {
            export.stop(bound);
        }
    }
}

/// Where finished spans go.
type Sink = Arc<dyn Fn(SpanData) + Send + Sync>;

/// The end that tells spans; cheap to clone.
#[derive(Clone)]
pub struct Spans {
    shared: Arc<Shared>,
}

struct Shared {
    sink: Option<Sink>,
    counts: Arc<TraceCounts>,
    sampling: Sampling,
    slow: SlowBounds,
    held_back: Mutex<HeldBack>,
    ids: RandomIdGenerator,
    /// High half of the trace ids that belong to orders.
    order_seed: u64,
    unix_ns_at_zero: AtomicI64,
    scope: InstrumentationScope,
}

/// A span that has its ids and no end yet: what its children need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    context: SpanContext,
    parent: SpanId,
    parent_is_remote: bool,
}

impl Opened {
    /// The ids, for children, logs and headers.
    pub fn context(&self) -> &SpanContext {
        &self.context
    }
}

impl Spans {
    fn new(config: &TraceConfig, sink: Option<Sink>, counts: Arc<TraceCounts>) -> Self {
        let ids = RandomIdGenerator::default();
        let order_seed = u64::from_be_bytes(ids.new_span_id().to_bytes());
        Self {
            shared: Arc::new(Shared {
                sink,
                counts,
                sampling: config.sampling,
                slow: config.slow,
                held_back: Mutex::default(),
                ids,
                order_seed,
                unix_ns_at_zero: AtomicI64::new(0),
                scope: InstrumentationScope::builder("veloz")
                    .with_version(env!("CARGO_PKG_VERSION"))
                    .build(),
            }),
        }
    }

    /// Whether anybody takes spans; without one, spans for their own sake need not be told.
    pub fn wanted(&self) -> bool {
        self.shared.sink.is_some()
    }

    /// What became of spans.
    pub fn counts(&self) -> &TraceCounts {
        &self.shared.counts
    }

    /// Says what Unix time it was, in nanoseconds, when the engine's clock read zero.
    pub fn set_wall_clock(&self, unix_ns_at_zero: i64) {
        self.shared.unix_ns_at_zero.store(unix_ns_at_zero, Relaxed);
    }

    /// A new span under `parent`, or the first of a new trace.
    pub fn open(&self, parent: Option<&SpanContext>) -> Opened {
        match parent.filter(|parent| parent.is_valid()) {
            Some(parent) => self.opened(
                parent.trace_id(),
                self.shared
                    .sampling
                    .samples(Some(parent), parent.trace_id()),
                Some(parent),
            ),
            None => self.open_trace(self.shared.ids.new_trace_id()),
        }
    }

    /// The first span of the trace of an order of ours, when no request and no signal is its parent.
    pub fn open_order(&self, order: OrderId) -> Opened {
        self.open_trace(self.trace_of_order(order))
    }

    /// The trace of an order of ours: the same whenever it is asked for in this run, so that log lines,
    /// exemplars and spans agree without a table.
    pub fn trace_of_order(&self, order: OrderId) -> TraceId {
        let half = u128::from(self.shared.order_seed) << 64;
        // Sampling looks at the low bits: they must not count up with the orders.
        TraceId::from(half | u128::from(sampling::mixed(order.to_bits() ^ self.shared.order_seed)))
    }

    /// A market-data message on its way to the book.
    pub fn market(&self, opened: &Opened, span: &MarketSpan<'_>) {
        self.tell(opened, span.data(), self.shared.slow.market);
    }

    /// A strategy's decision.
    pub fn signal(&self, opened: &Opened, span: &SignalSpan<'_>) {
        self.tell(opened, span.data(), self.shared.slow.market);
    }

    /// A check before the trade.
    pub fn risk(&self, opened: &Opened, span: &RiskSpan) {
        self.tell(opened, span.data(), self.shared.slow.market);
    }

    /// An order from the decision to the kernel.
    pub fn place(&self, opened: &Opened, span: &PlaceSpan<'_>) {
        self.tell(opened, span.data(), self.shared.slow.market);
    }

    /// An order from the kernel to the venue's answer.
    pub fn execute(&self, opened: &Opened, span: &ExecuteSpan<'_>) {
        self.tell(opened, span.data(), self.shared.slow.request);
    }

    /// A request to our HTTP server.
    pub fn http(&self, opened: &Opened, span: &HttpSpan<'_>) {
        self.tell(opened, span.data(), self.shared.slow.request);
    }

    /// Whether the span of a request that took so long is exported.
    pub fn keeps_request(&self, context: &SpanContext, took: Nanos) -> bool {
        self.wanted() && (context.is_sampled() || took >= self.shared.slow.request)
    }

    /// A command on its way to the core and back.
    pub fn command(&self, opened: &Opened, span: &CommandSpan<'_>) {
        self.tell(opened, span.data(), self.shared.slow.request);
    }

    fn open_trace(&self, trace_id: TraceId) -> Opened {
        self.opened(trace_id, self.shared.sampling.samples(None, trace_id), None)
    }

    fn opened(&self, trace_id: TraceId, sampled: bool, parent: Option<&SpanContext>) -> Opened {
        let flags = if sampled {
            TraceFlags::SAMPLED
        } else {
            TraceFlags::default()
        };
        let state = parent.map_or(TraceState::NONE, |parent| parent.trace_state().clone());
        let span_id = self.shared.ids.new_span_id();
        Opened {
            context: SpanContext::new(trace_id, span_id, flags, false, state),
            parent: parent.map_or(SpanId::INVALID, SpanContext::span_id),
            parent_is_remote: parent.is_some_and(SpanContext::is_remote),
        }
    }

    fn tell(&self, opened: &Opened, facts: span::Facts, slow_from: Nanos) {
        let Some(sink) = &self.shared.sink else {
            return;
        };
        let times = facts.times;
        let matters = facts.outcome.is_bad() || times.end.since(times.start) >= slow_from;
        let data = self.span_data(opened, facts);
        if opened.context.is_sampled() {
            return sink(data);
        }
        // A lock that is never held across a wait; two sidecar threads at most want it.
        let mut held_back = self
            .shared
            .held_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (released, sampled_out) = held_back.add(data, matters);
        drop(held_back);
        self.shared.counts.sampled_out(sampled_out);
        for data in released {
            sink(data);
        }
    }

    fn span_data(&self, opened: &Opened, facts: span::Facts) -> SpanData {
        let status = match facts.outcome {
            Outcome::Good => Status::Unset,
            Outcome::Rejected(why) | Outcome::Failed(why) => Status::error(why),
        };
        SpanData {
            span_context: opened.context.clone(),
            parent_span_id: opened.parent,
            parent_span_is_remote: opened.parent_is_remote,
            span_kind: facts.kind,
            name: facts.name.into(),
            start_time: self.wall_time(facts.times.start),
            end_time: self.wall_time(facts.times.end.max(facts.times.start)),
            attributes: facts.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.shared.scope.clone(),
        }
    }

    fn wall_time(&self, at: Nanos) -> SystemTime {
        let zero = self.shared.unix_ns_at_zero.load(Relaxed);
        let unix_ns = u64::try_from(i128::from(zero) + i128::from(at.0)).unwrap_or(0);
        UNIX_EPOCH + Duration::from_nanos(unix_ns)
    }
}

#[cfg(test)]
pub(crate) mod tests;
