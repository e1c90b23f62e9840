//! The table of metrics as a document for people.
//!
//! Owns: [`document`]. Does not: hold a word that the table does not.

use super::{Kind, Unit, metrics};
use crate::http::requests::{DURATION_BOUNDS_NS, SIZE_BOUNDS};
use std::fmt::Write;
use veloz_core::telemetry::histograms::BUCKET_BOUNDS_NS;

/// The table as the Markdown document METRICS.md.
pub fn document() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         `GET /metrics`, in the Prometheus text format, or in OpenMetrics for who asks for it. This page is\n\
         generated from `exporter/src/catalogue/`; a test compares the two.\n\n\
         | name | type | labels | unit | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for metric in metrics() {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let unit = match metric.unit {
            Unit::None => "",
            Unit::Seconds => "s",
            Unit::Bytes => "bytes",
            Unit::Milliseconds => "ms",
        };
        let only = if metric.text_only {
            " Text format only: in OpenMetrics this name belongs to the `_total` family."
        } else {
            ""
        };
        let labels = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let _ = writeln!(
            out,
            "| `{}` | {kind} | {labels} | {unit} | {}{only} |",
            metric.name, metric.help
        );
    }
    out.push_str("\n## Buckets\n\n");
    for (title, bounds, one) in [
        (
            "Latencies, in seconds. They hold every bound that existing rules and dashboards use, and go on below it",
            &BUCKET_BOUNDS_NS[..],
            1e9,
        ),
        (
            "`veloz_http_request_duration_seconds`, in seconds",
            &DURATION_BOUNDS_NS[..],
            1e9,
        ),
        (
            "`veloz_http_request_size_bytes` and `veloz_http_response_size_bytes`",
            &SIZE_BOUNDS[..],
            1.0,
        ),
    ] {
        let bounds = bounds
            .iter()
            .map(|&bound| (bound as f64 / one).to_string())
            .collect::<Vec<_>>()
            .join(", ");
        let _ = writeln!(out, "- {title}: {bounds}.");
    }
    out
}
