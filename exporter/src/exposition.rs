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
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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

/// Writes whole pages; everything that does not change is rendered once, when it is made.
pub struct Page {
    families: Vec<Family>,
    /// Bytes of the largest page so far: the next one is likely no larger.
    bytes_max: AtomicUsize,
}

/// A metric, and the parts of its lines that are always the same.
struct Family {
    metric: &'static Metric,
    /// HELP and TYPE in both formats.
    text: String,
    open_metrics: String,
    lines: Lines,
}

/// The parts of one metric's sample lines around label values.
struct Lines {
    /// A line up to the first label's value, or up to the number where there are no labels.
    plain: String,
    /// The same for the sum and the count of a histogram.
    sum: String,
    count: String,
    /// A bucket's line up to the first label's value, or up to `le` where there are no other labels.
    bucket: String,
    /// Between the values of two labels, in order.
    between: Vec<String>,
    /// From the last value on: to the number, and to `le`.
    to_number: &'static str,
    to_bound: &'static str,
    /// `le` and its value up to the number, for each of a histogram's buckets.
    bounds: Vec<String>,
}

impl Lines {
    fn new(metric: &Metric) -> Self {
        let labels = metric.labels;
        let start = |suffix: &str, without_labels: &str| match labels.first() {
            Some(label) => format!("{}{suffix}{{{label}=\"", metric.name),
            None => format!("{}{suffix}{without_labels}", metric.name),
        };
        let rest = labels.iter().skip(1);
        let bounds = match metric.kind {
            Kind::Histogram(bounds) => {
                let one = metric.unit.divisor();
                let finite = bounds.iter().map(|&bound| bound_text(bound as f64 / one));
                let all = finite.chain(["+Inf".to_owned()]);
                all.map(|bound| format!("le=\"{bound}\"}} ")).collect()
            }
            Kind::Counter | Kind::Gauge => Vec::new(),
        };
        Self {
            plain: start("", " "),
            sum: start("_sum", " "),
            count: start("_count", " "),
            bucket: start("_bucket", "{"),
            between: rest.map(|label| format!("\",{label}=\"")).collect(),
            to_number: if labels.is_empty() { "" } else { "\"} " },
            to_bound: if labels.is_empty() { "" } else { "\"," },
            bounds,
        }
    }
}

impl Page {
    /// A page of these metrics.
    pub fn new(metrics: impl IntoIterator<Item = &'static Metric>) -> Self {
        let metrics = metrics.into_iter();
        let families = metrics.map(|metric| Family {
            metric,
            text: head(metric, Format::Text),
            open_metrics: head(metric, Format::OpenMetrics),
            lines: Lines::new(metric),
        });
        Self {
            families: families.collect(),
            bytes_max: AtomicUsize::new(0),
        }
    }

    /// The page as of the sources' moment.
    pub fn render(&self, sources: &Sources<'_>, format: Format) -> String {
        let bytes_max = self.bytes_max.load(Relaxed);
        let mut out = String::with_capacity(bytes_max + PAGE_BYTES_MORE);
        for family in &self.families {
            if family.metric.text_only && format == Format::OpenMetrics {
                continue;
            }
            let before = out.len();
            out.push_str(match format {
                Format::Text => &family.text,
                Format::OpenMetrics => &family.open_metrics,
            });
            let first_sample = out.len();
            (family.metric.collect)(
                sources,
                &mut Samples {
                    metric: family.metric,
                    lines: &family.lines,
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
        self.bytes_max.fetch_max(out.len(), Relaxed);
        out
    }
}

/// Room beyond the largest page so far; where it is not enough, a page costs a reallocation.
const PAGE_BYTES_MORE: usize = 4 << 10;

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
    lines: &'a Lines,
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
        self.start(&self.lines.plain, values, self.lines.to_number);
        push_number(self.out, number.into());
        self.out.push('\n');
    }

    /// One histogram. `cumulative` gives the observations at or below each of the metric's bounds; it is asked for
    /// them once each, in rising order.
    pub fn histogram(
        &mut self,
        values: &[&str],
        cumulative: impl FnMut(u64) -> u64,
        count: u64,
        sum: u64,
    ) {
        self.histogram_with(values, cumulative, count, sum, |_| None);
    }

    /// The same with exemplars: `exemplar` gives that of the bucket with this upper bound, `None` for the last.
    pub fn histogram_with(
        &mut self,
        values: &[&str],
        mut cumulative: impl FnMut(u64) -> u64,
        count: u64,
        sum: u64,
        exemplar: impl Fn(Option<u64>) -> Option<Exemplar>,
    ) {
        let Kind::Histogram(bounds) = self.metric.kind else {
            unreachable!("{} is no histogram", self.metric.name)
        };
        let lines = self.lines;
        let finite = bounds.iter().map(|bound| Some(*bound));
        let buckets = finite.chain([None]).zip(&lines.bounds);
        // Every bucket's line begins like the first one's.
        let first = self.out.len();
        self.start(&lines.bucket, values, lines.to_bound);
        let start = first..self.out.len();
        for (bound, text) in buckets {
            if bound != bounds.first().copied() {
                self.out.extend_from_within(start.clone());
            }
            self.out.push_str(text);
            push_unsigned(self.out, bound.map_or(count, &mut cumulative));
            if self.format == Format::OpenMetrics
                && let Some(exemplar) = exemplar(bound)
            {
                self.exemplar(&exemplar);
            }
            self.out.push('\n');
        }
        self.start(&lines.sum, values, lines.to_number);
        push_parts(self.out, sum, self.metric.unit.places());
        self.out.push('\n');
        self.start(&lines.count, values, lines.to_number);
        push_unsigned(self.out, count);
        self.out.push('\n');
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let value = exemplar.value as f64 / self.metric.unit.divisor();
        let _ = write!(
            self.out,
            " # {{trace_id=\"{}\"}} {value} {}.{:03}",
            exemplar.trace,
            exemplar.unix_ms / 1_000,
            exemplar.unix_ms % 1_000
        );
    }

    /// A line up to its number, or to its bound.
    fn start(&mut self, first: &str, values: &[&str], last: &str) {
        assert_eq!(
            values.len(),
            self.metric.labels.len(),
            "{} has other labels",
            self.metric.name
        );
        self.out.push_str(first);
        let mut between = self.lines.between.iter();
        for (nth, value) in values.iter().enumerate() {
            if nth > 0
                && let Some(between) = between.next()
            {
                self.out.push_str(between);
            }
            escape(self.out, value, true);
        }
        self.out.push_str(last);
    }
}

/// Escapes a label value, or with `quotes` off a HELP text.
fn escape(out: &mut String, text: &str, quotes: bool) {
    if !stands_out(text.as_bytes()) {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

/// Whether there is a backslash, a line feed or a quotation mark: eight bytes at once, for nearly no text has one.
fn stands_out(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const fn has(word: u64, byte: u8) -> u64 {
        let zero_where = word ^ (ONES * byte as u64);
        zero_where.wrapping_sub(ONES) & !zero_where & (ONES << 7)
    }
    let (words, rest) = text.as_chunks();
    let found = words.iter().fold(0, |found, word| {
        let word = u64::from_le_bytes(*word);
        found | has(word, b'\\') | has(word, b'\n') | has(word, b'"')
    });
    let stands_out = |byte: &u8| matches!(byte, b'\\' | b'\n' | b'"');
    found != 0 || rest.iter().any(stands_out)
}

fn push_number(out: &mut String, number: Number) {
    match number {
        Number::Unsigned(value) => push_unsigned(out, value),
        Number::Signed(value) => {
            if value < 0 {
                out.push('-');
            }
            push_unsigned(out, value.unsigned_abs());
        }
        Number::Float(value) if value.is_nan() => out.push_str("NaN"),
        Number::Float(f64::INFINITY) => out.push_str("+Inf"),
        Number::Float(f64::NEG_INFINITY) => out.push_str("-Inf"),
        Number::Float(value) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{value}");
        }
    }
}

fn push_unsigned(out: &mut String, value: u64) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// `value` over `10^places`, exactly and as short as it can be written.
fn push_parts(out: &mut String, value: u64, places: u32) {
    let one = 10u64.pow(places);
    push_unsigned(out, value / one);
    let mut rest = value % one;
    if rest == 0 {
        return;
    }
    out.push('.');
    let mut place = one / 10;
    while rest > 0 {
        out.push(char::from(b'0' + (rest / place) as u8));
        rest %= place;
        place /= 10;
    }
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

    /// The same as a power of ten.
    const fn places(self) -> u32 {
        match self {
            Self::None | Self::Bytes => 0,
            Self::Seconds => 9,
            Self::Milliseconds => 6,
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
            push_number(&mut out, number);
            out
        };
        assert_eq!(text(Number::Float(f64::NAN)), "NaN");
        assert_eq!(text(Number::Float(f64::INFINITY)), "+Inf");
        assert_eq!(text(Number::Float(f64::NEG_INFINITY)), "-Inf");
        assert_eq!(text(Number::Signed(-3)), "-3");
        assert_eq!(text(Number::Signed(i64::MIN)), i64::MIN.to_string());
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
            let (format, lines) = (Format::Text, &Lines::new(&METRIC));
            Samples { metric: &METRIC, lines, format, out: &mut out }.value(&[&a, &b], 1u64);
            let line = out.strip_suffix('\n').expect("a line ends");
            prop_assert!(!line.contains('\n'));
            let (values, rest) = read_back(line);
            prop_assert_eq!(values, vec![a, b]);
            prop_assert_eq!(rest, " 1");
        }

        #[test]
        fn what_stands_out_is_found_anywhere(text in "[\\\\\"\n!#\\[\\]\u{b}é\u{80}-\u{ff}]{0,20}") {
            let expected = text.contains(['\\', '\n', '"']);
            prop_assert_eq!(stands_out(text.as_bytes()), expected);
        }

        #[test]
        fn integers_are_those_of_the_standard_library(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut out = String::new();
            push_unsigned(&mut out, value);
            prop_assert_eq!(out, value.to_string());
        }

        #[test]
        fn parts_read_back(value: u64, shift in 0u32..64, places in prop::sample::select(vec![0u32, 6, 9])) {
            let value = value >> shift;
            let mut out = String::new();
            push_parts(&mut out, value, places);
            let (whole, rest) = out.split_once('.').unwrap_or((&out, ""));
            prop_assert!(!rest.ends_with('0') && rest.len() <= places as usize);
            let digits = format!("{whole}{rest:0<width$}", width = places as usize);
            prop_assert_eq!(digits.parse::<u64>(), Ok(value));
        }
    }
}
