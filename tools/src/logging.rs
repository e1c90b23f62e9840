//! Log lines of the sidecar threads and the start: JSON or text, to standard output.
//!
//! Owns: the layout of a line, and the one writer that the live status shares with it. Does not: run
//! on the core thread, which never logs. A JSON line has `timestamp` (RFC 3339, UTC, milliseconds),
//! `level`, `component`, `message`, then the event's own fields.

use crate::config::{LogFormat, LogLevel, LogSection};
use crate::status::Screen;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Installs the process's one logger.
///
/// # Errors
/// A sentence when the process has one already.
pub fn install(section: &LogSection, screen: &Arc<Screen>) -> Result<(), String> {
    let json = match section.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stdout().is_terminal(),
    };
    let level = match section.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(Lines(Arc::clone(screen)))
        .event_format(Layout { json })
        .try_init()
        .map_err(|error| format!("logging cannot be set up: {error}"))
}

/// Hands out writers of whole lines.
struct Lines(Arc<Screen>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// One line; the formatter hands it over in one piece.
struct Line<'a>(&'a Screen);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.line(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Layout {
    json: bool,
}

impl<S, N> FormatEvent<S, N> for Layout
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts {
            json: self.json,
            ..Parts::default()
        };
        event.record(&mut parts);
        let metadata = event.metadata();
        let component = parts.component.as_deref().unwrap_or(metadata.target());
        out.write_str(&line(
            OffsetDateTime::now_utc(),
            metadata.level().as_str(),
            component,
            &parts,
        ))
    }
}

/// A whole line, newline included.
fn line(at: OffsetDateTime, level: &str, component: &str, parts: &Parts) -> String {
    let mut text = String::with_capacity(160);
    let (date, time) = (at.date(), at.time());
    let timestamp = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    );
    if parts.json {
        let _ = write!(
            text,
            "{{\"timestamp\":\"{timestamp}\",\"level\":\"{level}\",\"component\":{},\"message\":{}{}}}",
            quoted(component),
            quoted(&parts.message),
            parts.fields
        );
    } else {
        let _ = write!(
            text,
            "{timestamp} {level:<5} {component}: {}{}",
            parts.message.escape_debug(),
            parts.fields
        );
    }
    text.push('\n');
    text
}

/// An event's fields, rendered as they come.
#[derive(Default)]
struct Parts {
    json: bool,
    message: String,
    component: Option<String>,
    fields: String,
}

impl Parts {
    fn field(&mut self, name: &str, json: &str, text: &dyn fmt::Display) {
        let _ = if self.json {
            write!(self.fields, ",{}:{json}", quoted(name))
        } else {
            write!(self.fields, " {name}={text}")
        };
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "component" => self.component = Some(value.to_owned()),
            name => self.field(name, &quoted(value), &value.escape_debug()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field.name(), &value.to_string(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field.name(), &value.to_string(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field.name(), &value.to_string(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON knows no infinities and no NaN.
        let json = if value.is_finite() {
            format!("{value:?}")
        } else {
            format!("\"{value}\"")
        };
        self.field(field.name(), &json, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(json: bool) -> Parts {
        let mut parts = Parts {
            json,
            message: "link \"up\"\nagain".to_owned(),
            ..Parts::default()
        };
        parts.field("symbol", &quoted("BTCUSDT"), &"BTCUSDT");
        parts.field("count", "3", &3);
        parts
    }

    #[test]
    fn a_line_is_one_json_object_or_one_line_of_text() {
        let at =
            OffsetDateTime::from_unix_timestamp_nanos(1_795_400_111_146_999_999).expect("in range");
        assert_eq!(
            line(at, "INFO", "core", &parts(true)),
            "{\"timestamp\":\"2026-11-23T02:15:11.146Z\",\"level\":\"INFO\",\"component\":\"core\",\
             \"message\":\"link \\\"up\\\"\\nagain\",\"symbol\":\"BTCUSDT\",\"count\":3}\n"
        );
        assert_eq!(
            line(at, "INFO", "core", &parts(false)),
            "2026-11-23T02:15:11.146Z INFO  core: link \\\"up\\\"\\nagain symbol=BTCUSDT count=3\n"
        );
    }
}
