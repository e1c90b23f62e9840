//! `[traces]`: which spans are exported, where to, and what that is for the sidecar.
//!
//! Owns: [`TracesSection`] and the rules between its keys. Does not: export anything. The keys have the
//! names and defaults of OpenTelemetry's variables, which set them.

use super::layers::{Fault, Origin};
use super::limits::E8Text;
use super::secret::Secret;
use serde::Deserialize;
use std::time::Duration;
use veloz_core::units::{E8_ONE, Nanos};
use veloz_exporter::traces::config::{SlowBounds, pairs};
use veloz_exporter::traces::{Endpoint, Protocol, Sampling, TraceConfig};

/// `[traces]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesSection {
    /// Whether spans are exported.
    pub enabled: bool,
    /// Turns everything of OpenTelemetry off.
    pub sdk_disabled: bool,
    /// The collector's base address; empty for none.
    pub endpoint: String,
    /// The whole address for spans; empty to make it from `endpoint`.
    pub full_endpoint: String,
    /// How the collector is spoken to.
    pub protocol: TraceProtocol,
    /// Headers of each request.
    #[serde(default)]
    pub headers: Secret,
    /// Longest time of a request, in milliseconds.
    pub timeout_ms: u64,
    /// Whether requests are compressed.
    pub compression: TraceCompression,
    /// Which traces are kept.
    pub sampler: TraceSampler,
    /// Which part of them, where the sampler asks.
    pub sampler_ratio: E8Text,
    /// From which length on a span that waits for somebody is kept in any case, in milliseconds.
    pub slow_ms: u64,
    /// Spans that wait for the exporter.
    pub queue_size: usize,
    /// Spans of one request.
    pub batch_size: usize,
    /// Longest time that a span waits for others, in milliseconds.
    pub batch_delay_ms: u64,
    /// Whether each span is a log line too.
    pub console: bool,
    /// Our name.
    pub service_name: String,
    /// Where we run.
    pub environment: String,
    /// What else is said of us.
    pub resource_attributes: String,
}

/// How the collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum TraceProtocol {
    /// gRPC on its usual port 4317, else HTTP.
    #[serde(rename = "auto")]
    Auto,
    /// Protobuf over HTTP.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// Whether requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceCompression {
    /// No.
    None,
    /// By gzip.
    Gzip,
}

/// Which traces are kept, in OpenTelemetry's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceSampler {
    /// All.
    AlwaysOn,
    /// Those that matter.
    AlwaysOff,
    /// A part.
    #[serde(rename = "traceidratio")]
    TraceIdRatio,
    /// As the caller says, else all.
    #[serde(rename = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    /// As the caller says, else those that matter.
    #[serde(rename = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    /// As the caller says, else a part.
    #[serde(rename = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

/// gRPC's registered port of OTLP.
const GRPC_PORT: &str = "4317";
/// Where a collector takes spans over HTTP.
const HTTP_PATH: &str = "v1/traces";

impl TracesSection {
    /// Rules between the keys, and the lists inside them.
    pub fn contradictions(&self, origin: impl Fn(&str) -> Origin) -> Vec<Fault> {
        let mut found = Vec::new();
        let mut fault = |key: &str, expected: &str| {
            let path = format!("traces.{key}");
            found.push(Fault::Contradiction(format!(
                "{}: `{path}` {expected}",
                origin(&path)
            )));
        };
        if self.sampler_ratio.0.0 > E8_ONE {
            fault(
                "sampler_ratio",
                "is above 1, expected a part of all traces from 0 to 1",
            );
        }
        if self.batch_size > self.queue_size {
            fault(
                "batch_size",
                "is larger than `traces.queue_size`, expected at most as much",
            );
        }
        // The text is not repeated: it may be a credential.
        if pairs(self.headers.expose()).is_err() {
            fault(
                "headers",
                "is not a list, expected name=value,name=value, percent-encoded",
            );
        }
        if pairs(&self.resource_attributes).is_err() {
            fault(
                "resource_attributes",
                "is not a list, expected key=value,key=value, percent-encoded",
            );
        }
        found
    }

    /// What the sidecar is told.
    pub fn config(&self) -> TraceConfig {
        let on = self.enabled && !self.sdk_disabled;
        let (follow_parent, part) = match self.sampler {
            TraceSampler::AlwaysOn => (false, None),
            TraceSampler::AlwaysOff => (false, Some(0)),
            TraceSampler::TraceIdRatio => (false, Some(self.ratio_ppm())),
            TraceSampler::ParentBasedAlwaysOn => (true, None),
            TraceSampler::ParentBasedAlwaysOff => (true, Some(0)),
            TraceSampler::ParentBasedTraceIdRatio => (true, Some(self.ratio_ppm())),
        };
        TraceConfig {
            endpoint: self.endpoint().filter(|_| on),
            console: self.console && on,
            sampling: Sampling {
                follow_parent,
                ratio_ppm: part.unwrap_or(Sampling::ALL_PPM),
            },
            slow: SlowBounds {
                request: Nanos::from_ms(self.slow_ms),
                ..SlowBounds::default()
            },
            queue_size: self.queue_size,
            batch_size: self.batch_size,
            batch_delay: Duration::from_millis(self.batch_delay_ms),
            resource: self.resource(),
        }
    }

    fn ratio_ppm(&self) -> u32 {
        (self.sampler_ratio.0.0 * i64::from(Sampling::ALL_PPM) / E8_ONE) as u32
    }

    fn endpoint(&self) -> Option<Endpoint> {
        let base = self.endpoint.trim_end_matches('/');
        let full = self.full_endpoint.as_str();
        let protocol = match self.protocol {
            TraceProtocol::HttpProtobuf => Protocol::HttpProtobuf,
            TraceProtocol::Grpc => Protocol::Grpc,
            TraceProtocol::Auto if port_of(base) == Some(GRPC_PORT) && full.is_empty() => {
                Protocol::Grpc
            }
            TraceProtocol::Auto => Protocol::HttpProtobuf,
        };
        let url = match (full, base, protocol) {
            ("", "", _) => return None,
            ("", base, Protocol::HttpProtobuf) => format!("{base}/{HTTP_PATH}"),
            ("", base, Protocol::Grpc) => base.to_owned(),
            (full, _, _) => full.to_owned(),
        };
        Some(Endpoint {
            protocol,
            url,
            headers: pairs(self.headers.expose()).expect("checked with the keys"),
            timeout: Duration::from_millis(self.timeout_ms),
            gzip: self.compression == TraceCompression::Gzip,
        })
    }

    /// Later ones win, and nothing is said twice.
    fn resource(&self) -> Vec<(String, String)> {
        let own = [
            ("service.name", self.service_name.as_str()),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("deployment.environment.name", self.environment.as_str()),
        ];
        let given = pairs(&self.resource_attributes).expect("checked with the keys");
        let mut all: Vec<(String, String)> = own
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .chain([("process.pid".to_owned(), std::process::id().to_string())])
            .collect();
        for (key, value) in given {
            // The name has a variable of its own, which counts more.
            if key == "service.name" {
                continue;
            }
            all.retain(|(known, _)| *known != key);
            all.push((key, value));
        }
        all
    }
}

fn port_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    authority.rsplit_once(':').map(|(_, port)| port)
}

#[cfg(test)]
mod tests {
    use crate::config::{Loaded, load};
    use veloz_exporter::traces::{Protocol, Sampling};

    fn loaded(variables: &[(&str, &str)]) -> Result<Loaded, String> {
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        load(&[], variables, &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn the_standard_variables_decide() {
        let config = loaded(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://jaeger:4317/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_SERVICE_NAME", "desk-7"),
            ("OTEL_RESOURCE_ATTRIBUTES", "host.name=a,service.version=x"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "50"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_CONSOLE_EXPORT", "true"),
            ("VELOZ_ENV", "staging"),
        ])
        .expect("all documented")
        .config
        .traces
        .config();
        let endpoint = config.endpoint.expect("given");
        assert_eq!(endpoint.protocol, Protocol::Grpc, "by its port");
        assert_eq!(endpoint.url, "http://jaeger:4317");
        assert_eq!(endpoint.headers, [("api-key".to_owned(), "a b".to_owned())]);
        assert_eq!((endpoint.timeout.as_millis(), endpoint.gzip), (2_000, true));
        assert!(config.console && config.sampling.follow_parent);
        assert_eq!(config.sampling.ratio_ppm, 250_000);
        assert_eq!((config.queue_size, config.batch_size), (100, 50));
        assert_eq!(config.batch_delay.as_millis(), 100);
        let of = |key: &str| {
            let values: Vec<_> = config
                .resource
                .iter()
                .filter(|(known, _)| known == key)
                .collect();
            assert_eq!(values.len(), 1, "{key}");
            values[0].1.clone()
        };
        assert_eq!(of("service.name"), "desk-7");
        assert_eq!(of("service.version"), "x");
        assert_eq!(of("host.name"), "a");
        assert_eq!(of("deployment.environment.name"), "staging");
    }

    #[test]
    fn the_address_for_http_has_its_path_and_a_whole_one_is_taken_as_it_is() {
        let url = |variables: &[(&str, &str)]| {
            let traces = loaded(variables).expect("valid").config.traces;
            traces.config().endpoint.map(|endpoint| endpoint.url)
        };
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318/otlp");
        assert_eq!(url(&[]), None);
        assert_eq!(
            url(&[base]).as_deref(),
            Some("https://collector:4318/otlp/v1/traces")
        );
        let full = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other/in");
        assert_eq!(url(&[base, full]).as_deref(), Some("http://other/in"));
        assert_eq!(url(&[base, ("OTEL_ENABLED", "false")]), None);
        assert_eq!(url(&[base, ("OTEL_SDK_DISABLED", "true")]), None);
    }

    #[test]
    fn every_sampler_has_its_meaning() {
        let all = Sampling::ALL_PPM;
        for (name, follow_parent, ratio_ppm) in [
            ("always_on", false, all),
            ("always_off", false, 0),
            ("traceidratio", false, 500_000),
            ("parentbased_always_on", true, all),
            ("parentbased_always_off", true, 0),
            ("parentbased_traceidratio", true, 500_000),
        ] {
            let variables = [
                ("OTEL_TRACES_SAMPLER", name),
                ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
            ];
            let sampling = loaded(&variables)
                .expect("valid")
                .config
                .traces
                .config()
                .sampling;
            assert_eq!(
                (sampling.follow_parent, sampling.ratio_ppm),
                (follow_parent, ratio_ppm)
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused_without_showing_a_credential() {
        let refused = |name, text| loaded(&[(name, text)]).expect_err("refused");
        for (name, text, expected) in [
            ("OTEL_TRACES_SAMPLER_ARG", "1.5", "from 0 to 1"),
            (
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                "5000",
                "traces.queue_size",
            ),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", "name=value"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "key=value"),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "collector:4317",
                "http:// or https://",
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf"),
        ] {
            let error = refused(name, text);
            assert!(error.contains(expected), "{name}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
