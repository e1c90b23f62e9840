//! What a log line looks like.
//!
//! Owns: [`Fields`], [`render`]. Does not: know where lines go. The JSON shape is the contract in
//! `logging/line.schema.json`: `timestamp` (RFC 3339, UTC, milliseconds), `level`, `component`,
//! `message`, then the event's own fields under their own names (`event_type`, `order_id`, `symbol`,
//! `side`, `latency_ms`, `trace_id`, `span_id`, ...).
//!
//! Invariants: a line is one line whatever text it carries; no key stands twice; no value is longer
//! than [`VALUE_BYTES_MAX`].

use super::Shape;
use std::fmt::{self, Write as _};
use time::OffsetDateTime;
use tracing::Level;
use tracing::field::{Field, Visit};

/// Bytes of one text value; what is longer is cut and ends in `...`. A queue of lines is bounded in
/// bytes only if its lines are, and no message of ours comes near.
pub(super) const VALUE_BYTES_MAX: usize = 4_096;

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Bool(bool),
    Float(f64),
}

/// The fields of an event or of a span around it, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) component: Option<String>,
    pub(super) others: Vec<(&'static str, Value)>,
}

impl Fields {
    /// Adds what an outer span knows and this does not say itself.
    pub(super) fn inherit(&mut self, outer: &Self) {
        if self.component.is_none() {
            self.component.clone_from(&outer.component);
        }
        for (name, value) in &outer.others {
            if self.others.iter().all(|(own, _)| own != name) {
                self.others.push((name, value.clone()));
            }
        }
    }

    fn put(&mut self, field: &Field, value: Value) {
        // The keys that every line starts with are not an event's to set.
        let name = match field.name() {
            "timestamp" => "event_timestamp",
            "level" => "event_level",
            name => name,
        };
        match self.others.iter_mut().find(|(own, _)| *own == name) {
            Some((_, old)) => *old = value,
            None => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let value = cut(value);
        match field.name() {
            "message" => self.message = value,
            "component" => self.component = Some(value),
            _ => self.put(field, Value::Text(value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Unsigned(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::Float(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn cut(text: &str) -> String {
    if text.len() <= VALUE_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(VALUE_BYTES_MAX);
    format!("{}...", &text[..end])
}

/// A whole line, newline included.
pub(super) fn render(
    shape: Shape,
    at: OffsetDateTime,
    level: Level,
    from: &str,
    fields: &Fields,
) -> String {
    let mut text = String::with_capacity(256);
    let component = fields.component.as_deref().unwrap_or(from);
    match shape {
        Shape::Json => {
            text.push_str("{\"timestamp\":\"");
            timestamp(&mut text, at);
            let _ = write!(text, "\",\"level\":\"{level}\",\"component\":");
            quote(&mut text, component);
            text.push_str(",\"message\":");
            quote(&mut text, &fields.message);
            for (name, value) in &fields.others {
                text.push(',');
                quote(&mut text, name);
                text.push(':');
                json(&mut text, value);
            }
            text.push('}');
        }
        Shape::Text => {
            timestamp(&mut text, at);
            let message = fields.message.escape_debug();
            let _ = write!(
                text,
                " {:<5} {}: {message}",
                level.as_str(),
                component.escape_debug()
            );
            for (name, value) in &fields.others {
                let _ = match value {
                    Value::Text(value) => write!(text, " {name}={}", value.escape_debug()),
                    Value::Signed(value) => write!(text, " {name}={value}"),
                    Value::Unsigned(value) => write!(text, " {name}={value}"),
                    Value::Bool(value) => write!(text, " {name}={value}"),
                    Value::Float(value) => write!(text, " {name}={value}"),
                };
            }
        }
    }
    text.push('\n');
    text
}

fn timestamp(out: &mut String, at: OffsetDateTime) {
    let (date, time) = (at.date(), at.time());
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    );
}

fn json(out: &mut String, value: &Value) {
    let _ = match value {
        Value::Text(value) => {
            quote(out, value);
            Ok(())
        }
        Value::Signed(value) => write!(out, "{value}"),
        Value::Unsigned(value) => write!(out, "{value}"),
        Value::Bool(value) => write!(out, "{value}"),
        // JSON knows no infinities and no NaN.
        Value::Float(value) if value.is_finite() => write!(out, "{value:?}"),
        Value::Float(value) => write!(out, "\"{value}\""),
    };
}

fn quote(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields() -> Fields {
        Fields {
            message: "link \"up\"\nagain".to_owned(),
            component: None,
            others: vec![
                ("symbol", Value::Text("BTCUSDT".to_owned())),
                ("count", Value::Unsigned(3)),
                ("latency_ms", Value::Float(0.5)),
                ("ratio", Value::Float(f64::NAN)),
            ],
        }
    }

    fn at() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(1_795_400_111_146_999_999).expect("in range")
    }

    #[test]
    fn a_line_is_one_json_object_or_one_line_of_text() {
        assert_eq!(
            render(Shape::Json, at(), Level::INFO, "core", &fields()),
            "{\"timestamp\":\"2026-11-23T02:15:11.146Z\",\"level\":\"INFO\",\"component\":\"core\",\
             \"message\":\"link \\\"up\\\"\\nagain\",\"symbol\":\"BTCUSDT\",\"count\":3,\
             \"latency_ms\":0.5,\"ratio\":\"NaN\"}\n"
        );
        assert_eq!(
            render(Shape::Text, at(), Level::INFO, "core", &fields()),
            "2026-11-23T02:15:11.146Z INFO  core: link \\\"up\\\"\\nagain symbol=BTCUSDT count=3 \
             latency_ms=0.5 ratio=NaN\n"
        );
    }

    #[test]
    fn an_inner_word_wins_over_an_outer_one() {
        let mut inner = fields();
        inner.inherit(&Fields {
            message: "never".to_owned(),
            component: Some("gateway".to_owned()),
            others: vec![
                ("symbol", Value::Text("ETHUSDT".to_owned())),
                ("trace_id", Value::Text("ab".to_owned())),
            ],
        });
        assert_eq!(inner.message, fields().message);
        assert_eq!(inner.component.as_deref(), Some("gateway"));
        assert_eq!(inner.others[0], fields().others[0]);
        let last = inner.others.last().expect("five fields");
        assert_eq!(*last, ("trace_id", Value::Text("ab".to_owned())));
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let long = "é".repeat(VALUE_BYTES_MAX);
        let cut = cut(&long);
        assert!(cut.len() <= VALUE_BYTES_MAX + 3 && cut.ends_with("é..."));
    }

    proptest! {
        /// Whatever a text holds, it can neither end its line nor its JSON string, and it comes back.
        #[test]
        fn no_text_breaks_out(message in any::<String>(), component in any::<String>(), value in any::<String>(), number in any::<f64>()) {
            let fields = Fields {
                message: message.clone(),
                component: Some(component.clone()),
                others: vec![
                    ("symbol", Value::Text(value.clone())),
                    ("latency_ms", Value::Float(number)),
                ],
            };
            let line = render(Shape::Json, at(), Level::WARN, "x", &fields);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(line.ends_with('\n'));
            prop_assert!(!line.trim_end().chars().any(|letter| letter < ' '));
            let read: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&line).expect("one JSON object");
            prop_assert_eq!(read.len(), 6);
            prop_assert_eq!(read["message"].as_str(), Some(message.as_str()));
            prop_assert_eq!(read["component"].as_str(), Some(component.as_str()));
            prop_assert_eq!(read["symbol"].as_str(), Some(value.as_str()));
            if number.is_finite() {
                prop_assert_eq!(read["latency_ms"].as_f64(), Some(number));
            }

            let line = render(Shape::Text, at(), Level::WARN, "x", &fields);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
        }
    }
}
