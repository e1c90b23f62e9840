//! From finished spans to the collector: the queue, its thread, and what became of each span.
//!
//! Owns: [`Export`], [`TraceCounts`]. Does not: build spans. The batch processor of OpenTelemetry waits on
//! a thread of its own with a blocking exporter; for gRPC a second thread drives the connection.
//! Invariants: both threads leave the core's CPU; handing a span over never waits; a span that finds the
//! queue full is dropped and counted; a collector that is down or silent costs its spans and nothing else,
//! and the log tells it once when it begins and once when it ends.

use super::Sink;
use super::client::Client;
use super::config::{Endpoint, Protocol, TraceConfig};
use crate::sidecar::step_back;
use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    Compression, ExporterBuildError, SpanExporter as Otlp, WithExportConfig as _,
    WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;

/// Room in the processor's queue beyond our own bound, so that two threads that pass the bound together
/// do not lose a span uncounted.
const QUEUE_SLACK: usize = 64;

/// What became of spans.
#[derive(Debug, Default)]
pub struct TraceCounts {
    accepted: AtomicU64,
    /// Taken out of the queue by the exporter.
    taken: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    sampled_out: AtomicU64,
}

impl TraceCounts {
    /// Spans by what became of them, with the label.
    pub fn spans(&self) -> [(&'static str, u64); 4] {
        [
            ("exported", self.exported.load(Relaxed)),
            ("failed", self.failed.load(Relaxed)),
            ("dropped", self.dropped.load(Relaxed)),
            ("sampled_out", self.sampled_out.load(Relaxed)),
        ]
    }

    /// Spans that the collector did not take.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Spans that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Counts of a test.
    #[cfg(test)]
    pub(crate) fn told(failed: u64, dropped: u64) -> Self {
        Self {
            failed: AtomicU64::new(failed),
            dropped: AtomicU64::new(dropped),
            ..Self::default()
        }
    }

    /// Spans that wait for the exporter.
    pub fn waiting(&self) -> u64 {
        let taken = self.taken.load(Relaxed);
        self.accepted.load(Relaxed).saturating_sub(taken)
    }

    pub(super) fn sampled_out(&self, count: u64) {
        self.sampled_out.fetch_add(count, Relaxed);
    }
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The endpoint or its headers cannot be.
    #[error("spans cannot be exported to {url}: {cause}")]
    Endpoint {
        /// The configured address.
        url: String,
        /// What is wrong with it.
        cause: ExporterBuildError,
    },
    /// A header's name or value is not one; it is not shown, because it may be a credential.
    #[error(
        "a header for the trace collector is not one: names are tokens, values printable ASCII"
    )]
    Header,
    /// The system gave no thread or no event queue.
    #[error("the exporter of spans has no thread: {0}")]
    Thread(std::io::Error),
}

/// The running exporter.
pub(super) struct Export {
    processor: Arc<BatchSpanProcessor>,
    counts: Arc<TraceCounts>,
    queue_size: u64,
    /// Ends the thread behind gRPC.
    _stop: oneshot::Sender<()>,
}

impl Export {
    pub(super) fn start(
        config: &TraceConfig,
        core_cpu: Option<usize>,
        counts: Arc<TraceCounts>,
    ) -> Result<Self, StartError> {
        let (built, result) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let queue_size = config.queue_size as u64;
        let plan = Plan {
            config: config.clone(),
            counts: Arc::clone(&counts),
        };
        // The processor starts its thread where it is made, and threads inherit where they may run.
        std::thread::Builder::new()
            .name("veloz-traces".to_owned())
            .spawn(move || {
                step_back(core_cpu);
                let runtime = match plan.runtime() {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _ = built.send(Err(error));
                        return;
                    }
                };
                let inside = runtime.as_ref().map(tokio::runtime::Runtime::enter);
                // Who asked waits below and takes it.
                let _ = built.send(plan.processor());
                drop(inside);
                if let Some(runtime) = runtime {
                    // Ends when the sender goes.
                    let _ = runtime.block_on(stopped);
                }
            })
            .map_err(StartError::Thread)?;
        let processor = result.recv().unwrap_or_else(|_| {
            Err(StartError::Thread(std::io::Error::other(
                "it ended before it had begun",
            )))
        })?;
        Ok(Self {
            processor: Arc::new(processor),
            counts,
            queue_size,
            _stop: stop,
        })
    }

    pub(super) fn sink(&self) -> Sink {
        let (processor, counts) = (Arc::clone(&self.processor), Arc::clone(&self.counts));
        let queue_size = self.queue_size;
        Arc::new(move |span| {
            if counts.waiting() >= queue_size {
                counts.dropped.fetch_add(1, Relaxed);
            } else {
                counts.accepted.fetch_add(1, Relaxed);
                processor.on_end(span);
            }
        })
    }

    pub(super) fn stop(self, bound: Duration) {
        if self.processor.shutdown_with_timeout(bound).is_err() {
            tracing::warn!(
                component = "telemetry",
                event_type = "traces_lost",
                spans = self.counts.waiting(),
                "the trace collector did not take the last spans in time"
            );
        }
    }
}

/// What the thread builds.
struct Plan {
    config: TraceConfig,
    counts: Arc<TraceCounts>,
}

impl Plan {
    /// gRPC needs a runtime that drives its connection.
    fn runtime(&self) -> Result<Option<tokio::runtime::Runtime>, StartError> {
        match &self.config.endpoint {
            Some(endpoint) if endpoint.protocol == Protocol::Grpc => {
                tokio::runtime::Builder::new_current_thread()
                    .enable_io()
                    .enable_time()
                    .build()
                    .map(Some)
                    .map_err(StartError::Thread)
            }
            Some(_) | None => Ok(None),
        }
    }

    fn processor(&self) -> Result<BatchSpanProcessor, StartError> {
        let config = &self.config;
        let exporter = Counted {
            otlp: config.endpoint.as_ref().map(otlp).transpose()?,
            console: config.console,
            failing: AtomicBool::new(false),
            counts: Arc::clone(&self.counts),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(config.queue_size + QUEUE_SLACK)
            .with_max_export_batch_size(config.batch_size.min(config.queue_size))
            .with_scheduled_delay(config.batch_delay)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let attributes = config
            .resource
            .iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let resource = Resource::builder_empty()
            .with_attributes(attributes)
            .build();
        processor.set_resource(&resource);
        Ok(processor)
    }
}

fn otlp(endpoint: &Endpoint) -> Result<Otlp, StartError> {
    let timeout = endpoint.timeout;
    let built = match endpoint.protocol {
        Protocol::HttpProtobuf => {
            let mut builder = Otlp::builder()
                .with_http()
                .with_http_client(Client::new(timeout))
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .with_endpoint(&endpoint.url)
                .with_timeout(timeout)
                .with_headers(endpoint.headers.iter().cloned().collect());
            if endpoint.gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            builder.build()
        }
        Protocol::Grpc => {
            let mut builder = Otlp::builder()
                .with_tonic()
                .with_endpoint(&endpoint.url)
                .with_timeout(timeout)
                .with_metadata(metadata(&endpoint.headers)?);
            if endpoint.url.starts_with("https://") {
                builder = builder.with_tls_config(ClientTlsConfig::new().with_webpki_roots());
            }
            if endpoint.gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            builder.build()
        }
    };
    built.map_err(|cause| StartError::Endpoint {
        url: endpoint.url.clone(),
        cause,
    })
}

fn metadata(headers: &[(String, String)]) -> Result<MetadataMap, StartError> {
    let mut map = axum::http::HeaderMap::new();
    for (name, value) in headers {
        let name = name
            .parse::<axum::http::HeaderName>()
            .map_err(|_| StartError::Header)?;
        let value = value.parse().map_err(|_| StartError::Header)?;
        map.append(name, value);
    }
    Ok(MetadataMap::from_headers(map))
}

/// The exporter with its counts.
#[derive(Debug)]
struct Counted {
    otlp: Option<Otlp>,
    console: bool,
    failing: AtomicBool,
    counts: Arc<TraceCounts>,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        self.counts.taken.fetch_add(spans, Relaxed);
        if self.console {
            batch.iter().for_each(print);
        }
        let result = match &self.otlp {
            Some(otlp) => otlp.export(batch).await,
            None => Ok(()),
        };
        let (count, failing) = match &result {
            Ok(()) => (&self.counts.exported, false),
            Err(_) => (&self.counts.failed, true),
        };
        count.fetch_add(spans, Relaxed);
        if self.failing.swap(failing, Relaxed) != failing {
            match &result {
                Ok(()) => tracing::info!(
                    component = "telemetry",
                    event_type = "traces_exported_again",
                    "the trace collector takes spans again"
                ),
                Err(error) => tracing::warn!(
                    component = "telemetry",
                    event_type = "traces_not_exported",
                    %error,
                    "the trace collector does not take spans; they are counted"
                ),
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        match &self.otlp {
            Some(otlp) => otlp.shutdown_with_timeout(timeout),
            None => Ok(()),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(otlp) = &mut self.otlp {
            otlp.set_resource(resource);
        }
    }
}

/// A span as a log line.
fn print(span: &SpanData) {
    let length = span
        .end_time
        .duration_since(span.start_time)
        .unwrap_or_default();
    let attributes: Vec<String> = span
        .attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.key, attribute.value))
        .collect();
    tracing::info!(
        component = "trace",
        event_type = "span",
        trace_id = %span.span_context.trace_id(),
        span_id = %span.span_context.span_id(),
        parent_span_id = %span.parent_span_id,
        started_unix_ns = unix_ns(span.start_time),
        latency_ms = length.as_secs_f64() * 1e3,
        attributes = attributes.join(" "),
        "{}",
        span.name
    );
}

fn unix_ns(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}
