//! What tracing is told at start.
//!
//! Owns: [`TraceConfig`] and its parts, and the two header formats of the OpenTelemetry variables. Does
//! not: read variables or files; the command does.

use opentelemetry::trace::{SpanContext, TraceId};
use std::time::Duration;
use veloz_core::units::Nanos;

/// How tracing runs. The default exports nothing.
#[derive(Clone, Debug)]
pub struct TraceConfig {
    /// Where spans go.
    pub endpoint: Option<Endpoint>,
    /// Whether each span is a log line too.
    pub console: bool,
    /// Which traces are kept.
    pub sampling: Sampling,
    /// From which length on a span is slow.
    pub slow: SlowBounds,
    /// Spans that wait for the exporter; more are dropped and counted.
    pub queue_size: usize,
    /// Spans of one request to the collector.
    pub batch_size: usize,
    /// Longest time that a span waits for others to go with.
    pub batch_delay: Duration,
    /// Who we are: attributes of every span's resource.
    pub resource: Vec<(String, String)>,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            console: false,
            sampling: Sampling {
                follow_parent: true,
                ratio_ppm: Sampling::ALL_PPM,
            },
            slow: SlowBounds::default(),
            queue_size: 2_048,
            batch_size: 512,
            batch_delay: Duration::from_secs(5),
            resource: Vec::new(),
        }
    }
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// The whole address: for HTTP with its path, for gRPC without.
    pub url: String,
    /// Headers (gRPC: metadata) of every request; they may be credentials.
    pub headers: Vec<(String, String)>,
    /// Longest time that one request takes, retries included.
    pub timeout: Duration,
    /// Whether requests are gzipped.
    pub gzip: bool,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP as protobuf over HTTP.
    HttpProtobuf,
    /// OTLP over gRPC.
    Grpc,
}

/// Which traces are kept, decided at their first span by the trace's id, so that everybody who knows the
/// id decides alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Whether a caller's own decision counts more.
    pub follow_parent: bool,
    /// Kept of a million, in `[0, 1_000_000]`.
    pub ratio_ppm: u32,
}

impl Sampling {
    /// All traces.
    pub const ALL_PPM: u32 = 1_000_000;

    /// Whether the trace is kept.
    pub fn samples(self, parent: Option<&SpanContext>, trace_id: TraceId) -> bool {
        match parent {
            Some(parent) if self.follow_parent => parent.is_sampled(),
            Some(_) | None => self.keeps(trace_id),
        }
    }

    /// The algorithm of OpenTelemetry's TraceIdRatioBased: 63 bits of the id below the same part of 2^63.
    fn keeps(self, trace_id: TraceId) -> bool {
        let bytes = trace_id.to_bytes();
        let low = u64::from_be_bytes(bytes[8..].try_into().expect("16 bytes"));
        let bound = (u128::from(self.ratio_ppm) << 63) / u128::from(Self::ALL_PPM);
        u128::from(low >> 1) < bound
    }
}

/// From which length on a span is slow, and its trace kept whatever the sampling says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowBounds {
    /// Spans inside the core: message, signal, check, order up to the kernel.
    pub market: Nanos,
    /// Spans that wait for somebody else: the venue, the core's answer, an HTTP handler.
    pub request: Nanos,
}

impl Default for SlowBounds {
    fn default() -> Self {
        Self {
            // The service level of market processing: 10 ms at the 99th percentile.
            market: Nanos::from_ms(10),
            // The service level of an order's way: 100 ms at the 99th percentile.
            request: Nanos::from_ms(100),
        }
    }
}

/// Pairs of `key=value,key=value` as OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES write them:
/// W3C Baggage without properties, values percent-encoded.
///
/// # Errors
/// The first part that is no pair, by its position: its text may be a credential.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, usize> {
    text.split(',')
        .enumerate()
        .filter(|(_, part)| !part.trim().is_empty())
        .map(|(position, part)| {
            let (key, value) = part.split_once('=').ok_or(position)?;
            let (key, value) = (key.trim(), value.trim());
            let value = percent_decoded(value).filter(|_| !key.is_empty());
            Ok((key.to_owned(), value.ok_or(position)?))
        })
        .collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_or_refused_by_position() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            pairs("api-key=a%3Db, x = 1 ,,flag="),
            Ok(vec![
                pair("api-key", "a=b"),
                pair("x", "1"),
                pair("flag", "")
            ])
        );
        assert_eq!(pairs(""), Ok(Vec::new()));
        for (text, position) in [
            ("a=1,b", 1),
            ("=x", 0),
            ("a=%2", 0),
            ("a=%zz", 0),
            ("a=%ff", 0),
            ("a=%+1", 0),
        ] {
            assert_eq!(pairs(text), Err(position), "{text}");
        }
    }

    #[test]
    fn the_ratio_is_the_specifications() {
        let id = |low: u64| TraceId::from(u128::from(low) | 7 << 64);
        let quarter = Sampling {
            follow_parent: true,
            ratio_ppm: 250_000,
        };
        assert!(quarter.samples(None, id(0)));
        assert!(quarter.samples(None, id((1 << 62) - 1)));
        assert!(!quarter.samples(None, id(1 << 62)));
        let [none, all] = [0, Sampling::ALL_PPM].map(|ratio_ppm| Sampling {
            ratio_ppm,
            ..quarter
        });
        assert!(!none.samples(None, id(0)) && all.samples(None, id(u64::MAX)));
    }
}
