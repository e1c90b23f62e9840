//! The text that Prometheus reads: its own text format, or OpenMetrics for who asks for that.
//!
//! Owns: [`Format`] and its negotiation, [`Page`], escaping, number text. Does not: know metrics.
//! Invariants: every family's HELP and TYPE stand once and before its samples, and its samples stand
//! together; buckets are cumulative and end in `+Inf`, which equals the count; a label value from
//! outside is escaped, so no text can end its line early.
//!
//! Sources: Prometheus "Exposition formats" (text format 0.0.4), OpenMetrics 1.0.

use crate::catalogue::{Kind, Metric, Sources, Unit};
use opentelemetry::trace::TraceId;
use std::fmt::Write;

/// Which dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4, the default.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for: OpenMetrics when it names it with a weight above zero and not
    /// below that of plain text.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut open_metrics = 0;
        let mut text = 0;
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let mut thousandths = 1_000;
            let mut version_known = true;
            for part in parts {
                if let Some(weight) = part.strip_prefix("q=") {
                    thousandths = quality_thousandths(weight);
                } else if let Some(version) = part.strip_prefix("version=") {
                    let version = version.trim_matches('"');
                    version_known = matches!(version, "1.0.0" | "0.0.1" | "0.0.4");
                }
            }
            if !version_known {
                continue;
            }
            match media {
                "application/openmetrics-text" => open_metrics = open_metrics.max(thousandths),
                "text/plain" => text = text.max(thousandths),
                _ => {}
            }
        }
        if open_metrics > 0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type` of a page in this format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A weight of RFC 9110 §12.4.2 in thousandths; a weight that is none counts as zero.
fn quality_thousandths(weight: &str) -> u32 {
    match weight.parse::<f64>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0) as u32,
        _ => 0,
    }
}

/// A number as a sample shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count.
    Unsigned(u64),
    /// A value that may be negative.
    Signed(i64),
    /// Anything else; also `NaN` for what is not defined.
    Float(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Unsigned(value as u64)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Self::Unsigned(u64::from(value))
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// Writes whole pages; the HELP and TYPE lines are rendered once, when it is made.
pub struct Page {
    metrics: Vec<&'static Metric>,
    text: Vec<String>,
    open_metrics: Vec<String>,
}

impl Page {
    /// A page of these metrics.
    pub fn new(metrics: impl IntoIterator<Item = &'static Metric>) -> Self {
        let metrics: Vec<_> = metrics.into_iter().collect();
        let heads = |format| metrics.iter().map(|metric| head(metric, format)).collect();
        let (text, open_metrics) = (heads(Format::Text), heads(Format::OpenMetrics));
        Self {
            metrics,
            text,
            open_metrics,
        }
    }

    /// The page as of the sources' moment.
    pub fn render(&self, sources: &Sources<'_>, format: Format) -> String {
        let heads = match format {
            Format::Text => &self.text,
            Format::OpenMetrics => &self.open_metrics,
        };
        let mut out = String::with_capacity(PAGE_BYTES_TYPICAL);
        for (metric, head) in self.metrics.iter().zip(heads) {
            if metric.text_only && format == Format::OpenMetrics {
                continue;
            }
            let before = out.len();
            out.push_str(head);
            let first_sample = out.len();
            (metric.collect)(
                sources,
                &mut Samples {
                    metric,
                    format,
                    out: &mut out,
                },
            );
            if out.len() == first_sample {
                // Without a sample the family says nothing.
                out.truncate(before);
            }
        }
        if format == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }
}

/// A page of a few instruments is some 30 kB; more only costs a reallocation.
const PAGE_BYTES_TYPICAL: usize = 64 << 10;

fn head(metric: &Metric, format: Format) -> String {
    let mut out = String::new();
    let family = match format {
        Format::OpenMetrics if metric.kind == Kind::Counter => {
            metric.name.strip_suffix("_total").unwrap_or(metric.name)
        }
        Format::Text | Format::OpenMetrics => metric.name,
    };
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let _ = write!(out, "# HELP {family} ");
    escape(&mut out, metric.help, format == Format::OpenMetrics);
    out.push('\n');
    let _ = writeln!(out, "# TYPE {family} {kind}");
    if format == Format::OpenMetrics
        && let Some(unit) = metric.unit.suffix()
        && family.ends_with(unit)
    {
        let _ = writeln!(out, "# UNIT {family} {unit}");
    }
    out
}

/// Takes the samples of one family.
pub struct Samples<'a> {
    metric: &'a Metric,
    format: Format,
    out: &'a mut String,
}

/// One observation of a bucket, and the trace that it belongs to. Only OpenMetrics shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace.
    pub trace: TraceId,
    /// What was observed, in what the metric's bounds are in.
    pub value: u64,
    /// When, Unix time in milliseconds.
    pub unix_ms: u64,
}

impl Samples<'_> {
    /// One sample of a counter or gauge; `values` go with the metric's label names, in order.
    pub fn value(&mut self, values: &[&str], number: impl Into<Number>) {
        self.out.push_str(self.metric.name);
        self.labels(values, None);
        self.out.push(' ');
        write_number(self.out, number.into());
        self.out.push('\n');
    }

    /// One histogram. `cumulative` gives the observations at or below each of the metric's bounds.
    pub fn histogram(
        &mut self,
        values: &[&str],
        cumulative: impl Fn(u64) -> u64,
        count: u64,
        sum: u64,
    ) {
        self.histogram_with(values, cumulative, count, sum, |_| None);
    }

    /// The same with exemplars: `exemplar` gives that of the bucket with this upper bound, `None` for the last.
    pub fn histogram_with(
        &mut self,
        values: &[&str],
        cumulative: impl Fn(u64) -> u64,
        count: u64,
        sum: u64,
        exemplar: impl Fn(Option<u64>) -> Option<Exemplar>,
    ) {
        let Kind::Histogram(bounds) = self.metric.kind else {
            unreachable!("{} is no histogram", self.metric.name)
        };
        let one = self.metric.unit.divisor();
        for &bound in bounds {
            let text = bound_text(bound as f64 / one);
            self.bucket(values, &text, cumulative(bound), exemplar(Some(bound)));
        }
        self.bucket(values, "+Inf", count, exemplar(None));
        for (suffix, number) in [
            ("_sum", Number::Float(sum as f64 / one)),
            ("_count", Number::Unsigned(count)),
        ] {
            self.out.push_str(self.metric.name);
            self.out.push_str(suffix);
            self.labels(values, None);
            self.out.push(' ');
            write_number(self.out, number);
            self.out.push('\n');
        }
    }

    fn bucket(&mut self, values: &[&str], bound: &str, count: u64, exemplar: Option<Exemplar>) {
        self.out.push_str(self.metric.name);
        self.out.push_str("_bucket");
        self.labels(values, Some(bound));
        let _ = write!(self.out, " {count}");
        if let Some(exemplar) = exemplar
            && self.format == Format::OpenMetrics
        {
            let value = exemplar.value as f64 / self.metric.unit.divisor();
            let _ = write!(
                self.out,
                " # {{trace_id=\"{}\"}} {value} {}.{:03}",
                exemplar.trace,
                exemplar.unix_ms / 1_000,
                exemplar.unix_ms % 1_000
            );
        }
        self.out.push('\n');
    }

    fn labels(&mut self, values: &[&str], bound: Option<&str>) {
        assert_eq!(
            values.len(),
            self.metric.labels.len(),
            "{} has other labels",
            self.metric.name
        );
        let mut separator = '{';
        let pairs = self
            .metric
            .labels
            .iter()
            .copied()
            .zip(values.iter().copied());
        for (name, value) in pairs.chain(bound.map(|bound| ("le", bound))) {
            self.out.push(separator);
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(self.out, value, true);
            self.out.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
    }
}

/// Escapes a label value, or with `quotes` off a HELP text.
fn escape(out: &mut String, text: &str, quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

fn write_number(out: &mut String, number: Number) {
    // Writing to a String cannot fail.
    let _ = match number {
        Number::Unsigned(value) => write!(out, "{value}"),
        Number::Signed(value) => write!(out, "{value}"),
        Number::Float(value) if value.is_nan() => write!(out, "NaN"),
        Number::Float(f64::INFINITY) => write!(out, "+Inf"),
        Number::Float(f64::NEG_INFINITY) => write!(out, "-Inf"),
        Number::Float(value) => write!(out, "{value}"),
    };
}

/// A bucket's bound in the canonical form of OpenMetrics, which is Go's: a point always, and exponents
/// below 1e-4 and from 1e6 on. Both formats use it, so that a series keeps its name in either.
fn bound_text(bound: f64) -> String {
    if bound != 0.0 && !(1e-4..1e6).contains(&bound) {
        let text = format!("{bound:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{bound:?}")
}

impl Unit {
    /// The suffix that names of this unit carry.
    pub const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Milliseconds => None,
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
        }
    }

    /// How many of the integers kept inside make one of this unit.
    pub const fn divisor(self) -> f64 {
        match self {
            Self::None | Self::Bytes => 1.0,
            Self::Seconds => 1e9,
            Self::Milliseconds => 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_accept_header_decides() {
        let cases = [
            (None, Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/plain"), Format::Text),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            // What Prometheus 2.42 sends.
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                Format::OpenMetrics,
            ),
            (
                Some("application/openmetrics-text; version=1.0.0; q=0.2, text/plain; q=0.9"),
                Format::Text,
            ),
            (Some("application/openmetrics-text;q=0"), Format::Text),
            (
                Some("application/openmetrics-text;version=2.0.0"),
                Format::Text,
            ),
            (
                Some("application/openmetrics-text;q=nonsense"),
                Format::Text,
            ),
            (Some(";;,,q=,"), Format::Text),
        ];
        for (accept, expected) in cases {
            assert_eq!(Format::negotiate(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn bounds_have_canonical_text() {
        let cases = [
            (1e-7, "1e-07"),
            (2.5e-7, "2.5e-07"),
            (1e-5, "1e-05"),
            (1e-4, "0.0001"),
            (0.0025, "0.0025"),
            (1.0, "1.0"),
            (2.5, "2.5"),
            (10.0, "10.0"),
            (100_000.0, "100000.0"),
            (1e6, "1e+06"),
        ];
        for (bound, expected) in cases {
            assert_eq!(bound_text(bound), expected);
        }
    }

    #[test]
    fn numbers_that_are_not_finite_have_their_names() {
        let text = |number| {
            let mut out = String::new();
            write_number(&mut out, number);
            out
        };
        assert_eq!(text(Number::Float(f64::NAN)), "NaN");
        assert_eq!(text(Number::Float(f64::INFINITY)), "+Inf");
        assert_eq!(text(Number::Float(f64::NEG_INFINITY)), "-Inf");
        assert_eq!(text(Number::Signed(-3)), "-3");
        assert_eq!(text(Number::Float(0.25)), "0.25");
    }

    fn two_labels(_: &Sources<'_>, _: &mut Samples<'_>) {}

    const METRIC: Metric = Metric {
        name: "veloz_test",
        kind: Kind::Gauge,
        unit: Unit::None,
        labels: &["a", "b"],
        help: "Test.",
        text_only: false,
        collect: two_labels,
    };

    /// Reads one sample line back by the grammar of the text format.
    fn read_back(line: &str) -> (Vec<String>, String) {
        let rest = line.strip_prefix("veloz_test{").expect("the name");
        let mut values = Vec::new();
        let mut characters = rest.chars();
        loop {
            let name: String = characters.by_ref().take_while(|c| *c != '=').collect();
            assert!(name == "a" || name == "b", "{name}");
            assert_eq!(characters.next(), Some('"'));
            let mut value = String::new();
            loop {
                match characters.next().expect("the value ends") {
                    '"' => break,
                    '\\' => match characters.next().expect("an escape has two characters") {
                        'n' => value.push('\n'),
                        escaped @ ('\\' | '"') => value.push(escaped),
                        other => panic!("unknown escape {other}"),
                    },
                    '\n' => panic!("a line ended inside a value"),
                    other => value.push(other),
                }
            }
            values.push(value);
            match characters.next() {
                Some(',') => {}
                Some('}') => break,
                other => panic!("{other:?} after a value"),
            }
        }
        (values, characters.collect())
    }

    proptest! {
        #[test]
        fn any_label_value_reads_back(a in any::<String>(), b in "[\\\\\"\n{},= a]{0,12}") {
            let mut out = String::new();
            Samples { metric: &METRIC, format: Format::Text, out: &mut out }.value(&[&a, &b], 1u64);
            let line = out.strip_suffix('\n').expect("a line ends");
            prop_assert!(!line.contains('\n'));
            let (values, rest) = read_back(line);
            prop_assert_eq!(values, vec![a, b]);
            prop_assert_eq!(rest, " 1");
        }
    }
}
