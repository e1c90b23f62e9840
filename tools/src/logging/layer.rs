//! From events of `tracing` to lines in the queue.
//!
//! Owns: [`Lines`], and the [`filter`] in front of it. Does not: write. Fields of the spans around an
//! event (a request's trace, say) stand on its line too, unless the event says them itself.

use super::Shape;
use super::line::{Fields, render};
use super::queue::{Entry, Sender};
use std::sync::Arc;
use time::OffsetDateTime;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use veloz_exporter::log::LogCounts;

/// What passes at `level`, and what sets another one.
pub(super) fn filter<S: Subscriber + Send + Sync + 'static>(
    level: Level,
) -> (
    reload::Layer<Targets, S>,
    impl Fn(Level) + Send + Sync + 'static,
) {
    let (filter, handle) = reload::Layer::new(targets(level));
    let set_level = move |level| {
        // It fails only when the subscriber is gone, and then there is nothing to filter.
        let _ = handle.reload(targets(level));
    };
    (filter, set_level)
}

/// Our own lines at `level`, others' only from warnings up. The exporter of traces tells each failed
/// attempt; those are counted instead, and one line of ours tells when it begins and ends.
fn targets(level: Level) -> Targets {
    let level = LevelFilter::from_level(level);
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("veloz", level)
        .with_target("opentelemetry", LevelFilter::OFF)
}

/// Lays events out and hands the lines over.
pub(super) struct Lines {
    json: bool,
    text: bool,
    sender: Sender,
    counts: Arc<LogCounts>,
}

impl Lines {
    /// Lines in these shapes.
    pub(super) fn new(
        shapes: impl IntoIterator<Item = Shape>,
        sender: Sender,
        counts: Arc<LogCounts>,
    ) -> Self {
        let shapes: Vec<Shape> = shapes.into_iter().collect();
        Self {
            json: shapes.contains(&Shape::Json),
            text: shapes.contains(&Shape::Text),
            sender,
            counts,
        }
    }
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.inherit(outer);
            }
        }
        let at = OffsetDateTime::now_utc();
        let (level, from) = (*event.metadata().level(), event.metadata().target());
        let shaped = |wanted: bool, shape| wanted.then(|| render(shape, at, level, from, &fields));
        let taken = self.sender.send(Entry {
            at,
            error: level == Level::ERROR,
            json: shaped(self.json, Shape::Json),
            text: shaped(self.text, Shape::Text),
        });
        if taken {
            self.counts.accepted(level);
        } else {
            self.counts.dropped();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::QUEUE_LINES_MAX;
    use super::*;
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// What `write` logs at `level`, as JSON; and the counts.
    fn logged(level: Level, write: impl FnOnce(&dyn Fn(Level))) -> (Vec<Value>, Arc<LogCounts>) {
        let (sender, receiver) = Sender::pair();
        let counts = Arc::<LogCounts>::default();
        let (filter, set_level) = filter(level);
        let lines = Lines::new([Shape::Json, Shape::Text], sender, Arc::clone(&counts));
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        tracing::subscriber::with_default(subscriber, || write(&set_level));
        let lines = receiver
            .try_iter()
            .map(|entry| {
                assert!(entry.text.is_some_and(|text| text.ends_with('\n')));
                serde_json::from_str(&entry.json.expect("both shapes")).expect("JSON")
            })
            .collect();
        (lines, counts)
    }

    #[test]
    fn fields_spans_and_reserved_names_become_keys_that_stand_once() {
        let (lines, counts) = logged(Level::INFO, |_| {
            let outer = tracing::info_span!(
                "request",
                trace_id = "aa",
                symbol = "ETHUSDT",
                status = tracing::field::Empty
            );
            let _entered = outer.enter();
            outer.record("status", 202u64);
            let inner = tracing::info_span!("order", component = "execution", order_id = "web-1");
            let _entered = inner.enter();
            tracing::warn!(
                event_type = "order_update",
                symbol = "BTCUSDT",
                level = 3,
                timestamp = true,
                "as {}",
                "said"
            );
        });
        let line = &lines[0];
        for (key, expected) in [
            ("level", Value::from("WARN")),
            ("component", "execution".into()),
            ("message", "as said".into()),
            ("event_type", "order_update".into()),
            ("symbol", "BTCUSDT".into()),
            ("event_level", 3.into()),
            ("event_timestamp", true.into()),
            ("trace_id", "aa".into()),
            ("status", 202.into()),
            ("order_id", "web-1".into()),
        ] {
            assert_eq!(line[key], expected, "{key}");
        }
        assert_eq!(
            counts.lines().find(|(level, _)| *level == "WARN"),
            Some(("WARN", 1))
        );
    }

    #[test]
    fn the_level_changes_while_it_runs() {
        let (lines, _) = logged(Level::INFO, |set| {
            tracing::debug!("no");
            set(Level::DEBUG);
            tracing::debug!("yes");
            set(Level::ERROR);
            tracing::warn!("no");
            tracing::error!("yes");
        });
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line["message"] == "yes"));
    }

    #[test]
    fn other_crates_are_heard_from_warnings_up_and_the_trace_exporter_never() {
        let (lines, _) = logged(Level::TRACE, |_| {
            tracing::trace!(target: "veloz_exporter::drain", "ours");
            tracing::info!(target: "hyper::proto", "chatter");
            tracing::warn!(target: "h2", "theirs");
            tracing::error!(target: "opentelemetry_sdk", "no collector");
            tracing::error!(target: "opentelemetry-otlp", "no collector");
        });
        let heard: Vec<_> = lines.iter().map(|line| line["message"].clone()).collect();
        assert_eq!(heard, ["ours", "theirs"]);
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (lines, counts) = logged(Level::INFO, |_| {
            for number in 0..QUEUE_LINES_MAX + 3 {
                tracing::info!(number, "again");
            }
        });
        assert_eq!(lines.len(), QUEUE_LINES_MAX);
        assert_eq!(counts.lines_dropped(), 3);
    }
}
