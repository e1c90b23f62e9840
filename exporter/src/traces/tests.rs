//! Spans as they leave: names, attributes, ids, times; what is kept; and an exporter without a collector.

use super::*;
use std::collections::BTreeMap;
use std::net::TcpListener;
use veloz_core::order::{OrderKind, Side};
use veloz_core::risk::Rejection;

/// Where the engine's clock read zero.
const ZERO_UNIX_NS: i64 = 1_795_400_000_000_000_000;

#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<Vec<SpanData>>>);

impl Collected {
    pub(crate) fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut self.0.lock().expect("one thread"))
    }
}

fn spans(sampling: Sampling) -> (Spans, Collected) {
    let collected = Collected::default();
    let into = collected.clone();
    let sink: Sink = Arc::new(move |span| into.0.lock().expect("one thread").push(span));
    let config = TraceConfig {
        sampling,
        ..TraceConfig::default()
    };
    let spans = Spans::new(&config, Some(sink), Arc::default());
    spans.set_wall_clock(ZERO_UNIX_NS);
    (spans, collected)
}

/// Spans of every trace, and what they told.
pub(crate) fn collecting() -> (Spans, Collected) {
    spans(ALL)
}

const ALL: Sampling = Sampling {
    follow_parent: true,
    ratio_ppm: Sampling::ALL_PPM,
};
const NONE: Sampling = Sampling {
    follow_parent: true,
    ratio_ppm: 0,
};

const fn times(start: u64, end: u64) -> Times {
    Times {
        start: Nanos(start),
        end: Nanos(end),
    }
}

const TICK: MarketSpan<'static> = MarketSpan {
    times: times(1_000, 1_700),
    event_type: "depth",
    symbol: "BTCUSDT",
};

fn executed(outcome: Outcome) -> ExecuteSpan<'static> {
    ExecuteSpan {
        times: times(3_000, 5_003_000),
        order_id: "web-1",
        venue: "binance",
        outcome,
    }
}

#[test]
fn every_kind_has_its_name_and_attributes() {
    type Expected = (&'static str, &'static [(&'static str, &'static str)], bool);
    let (spans, collected) = spans(ALL);
    let opened = spans.open(None);
    spans.http(
        &opened,
        &HttpSpan {
            times: times(0, 9),
            method: "POST",
            url: "http://localhost/api/order",
            status: 202,
        },
    );
    spans.command(
        &opened,
        &CommandSpan {
            times: times(0, 9),
            command: "place",
            symbol: Some("BTCUSDT"),
            outcome: Outcome::Good,
        },
    );
    spans.place(
        &opened,
        &PlaceSpan {
            times: times(0, 9),
            symbol: "BTCUSDT",
            side: Side::Sell,
            kind: OrderKind::LimitMaker,
            outcome: Outcome::Good,
        },
    );
    spans.execute(&opened, &executed(Outcome::Rejected("-2010")));
    spans.market(&opened, &TICK);
    spans.signal(
        &opened,
        &SignalSpan {
            times: times(0, 9),
            strategy: "maker",
            signal: "quote",
        },
    );
    for rejection in [None, Some(Rejection::PriceCollar)] {
        spans.risk(
            &opened,
            &RiskSpan {
                times: times(0, 9),
                rejection,
            },
        );
    }
    let expected: [Expected; 8] = [
        (
            "http.request",
            &[
                ("http.method", "POST"),
                ("http.status_code", "202"),
                ("http.url", "http://localhost/api/order"),
            ],
            false,
        ),
        (
            "engine.command",
            &[("command.symbol", "BTCUSDT"), ("command.type", "place")],
            false,
        ),
        (
            "order.place",
            &[
                ("order.side", "SELL"),
                ("order.symbol", "BTCUSDT"),
                ("order.type", "LIMIT_MAKER"),
            ],
            false,
        ),
        (
            "order.execute",
            &[("order.id", "web-1"), ("venue.name", "binance")],
            true,
        ),
        (
            "market.process",
            &[("event.type", "depth"), ("symbol", "BTCUSDT")],
            false,
        ),
        (
            "strategy.signal",
            &[("signal.type", "quote"), ("strategy.name", "maker")],
            false,
        ),
        (
            "risk.check",
            &[("check.name", "pre_trade"), ("check.result", "passed")],
            false,
        ),
        (
            "risk.check",
            &[("check.name", "price_collar"), ("check.result", "rejected")],
            true,
        ),
    ];
    let got = collected.take();
    assert_eq!(got.len(), expected.len());
    for (span, (name, attributes, is_error)) in got.iter().zip(expected) {
        assert_eq!(span.name, name);
        let has: BTreeMap<String, String> = span
            .attributes
            .iter()
            .map(|attribute| (attribute.key.to_string(), attribute.value.to_string()))
            .collect();
        let has: Vec<_> = has.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(has, attributes, "{name}");
        assert_eq!(
            matches!(span.status, Status::Error { .. }),
            is_error,
            "{name}"
        );
    }
}

#[test]
fn times_are_exact_and_children_know_their_parent() {
    let (spans, collected) = spans(ALL);
    let tick = spans.open(None);
    let order = spans.open(Some(tick.context()));
    spans.market(&tick, &TICK);
    spans.execute(&order, &executed(Outcome::Good));
    let got = collected.take();
    let at = |ns: u64| UNIX_EPOCH + Duration::from_nanos(ZERO_UNIX_NS as u64 + ns);
    assert_eq!((got[0].start_time, got[0].end_time), (at(1_000), at(1_700)));
    assert_eq!(
        (got[1].start_time, got[1].end_time),
        (at(3_000), at(5_003_000))
    );
    assert_eq!(got[0].parent_span_id, SpanId::INVALID);
    assert_eq!(got[1].parent_span_id, got[0].span_context.span_id());
    assert_eq!(
        got[1].span_context.trace_id(),
        got[0].span_context.trace_id()
    );
    assert!(!got[1].parent_span_is_remote);
    assert_ne!(got[1].span_context.span_id(), got[0].span_context.span_id());
}

#[test]
fn a_trace_that_was_not_to_be_kept_goes_out_whole_when_it_matters() {
    let (spans, collected) = spans(NONE);
    let traces: Vec<_> = (0..3).map(|_| spans.open(None)).collect();
    for trace in &traces {
        assert!(!trace.context().is_sampled());
        spans.market(trace, &TICK);
    }
    assert!(collected.take().is_empty());
    let order = spans.open(Some(traces[1].context()));
    spans.execute(&order, &executed(Outcome::Rejected("-2010")));
    let later = spans.open(Some(order.context()));
    spans.market(&later, &TICK);
    let got = collected.take();
    let names: Vec<_> = got.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["market.process", "order.execute", "market.process"]);
    for span in &got {
        assert_eq!(span.span_context.trace_id(), traces[1].context().trace_id());
        assert!(
            span.span_context.is_sampled(),
            "the exporter takes no other"
        );
    }

    // Slow is as good a reason.
    spans.market(
        &traces[0],
        &MarketSpan {
            times: times(0, Nanos::from_ms(10).0),
            ..TICK
        },
    );
    assert_eq!(collected.take().len(), 2);
    assert_eq!(spans.counts().spans()[3], ("sampled_out", 0));
}

#[test]
fn what_is_held_back_is_bounded_and_the_rest_is_counted() {
    let (spans, collected) = spans(NONE);
    for _ in 0..5_000 {
        spans.market(&spans.open(None), &TICK);
    }
    assert!(collected.take().is_empty());
    assert_eq!(spans.counts().spans()[3], ("sampled_out", 5_000 - 4_096));
}

#[test]
fn a_caller_decides_unless_it_is_told_otherwise() {
    let caller = |flags| SpanContext::new(7.into(), 9.into(), flags, true, TraceState::NONE);
    let (follows, _) = spans(NONE);
    let opened = follows.open(Some(&caller(TraceFlags::SAMPLED)));
    assert!(opened.context().is_sampled() && opened.parent_is_remote);
    assert_eq!(opened.context().trace_id(), 7.into());
    assert_eq!(opened.parent, 9.into());
    let (insists, _) = spans(Sampling {
        follow_parent: false,
        ratio_ppm: 0,
    });
    assert!(
        !insists
            .open(Some(&caller(TraceFlags::SAMPLED)))
            .context()
            .is_sampled()
    );
    let nobody = SpanContext::empty_context();
    assert_eq!(follows.open(Some(&nobody)).parent, SpanId::INVALID);
}

#[test]
fn an_orders_trace_is_the_same_whenever_it_is_asked_for() {
    let (spans, _) = spans(ALL);
    let order = |sequence| OrderId { run: 3, sequence };
    let first = spans.trace_of_order(order(1));
    assert_eq!(first, spans.trace_of_order(order(1)));
    assert_eq!(spans.open_order(order(1)).context().trace_id(), first);
    assert_ne!(first, spans.trace_of_order(order(2)));
    assert_ne!(first, TraceId::INVALID);
}

#[test]
fn without_an_endpoint_nothing_is_built() {
    let traces = Traces::start(&TraceConfig::default(), None).expect("nothing to start");
    let spans = traces.spans();
    assert!(!spans.wanted());
    let opened = spans.open(None);
    assert!(
        opened.context().is_valid(),
        "ids for logs and answers all the same"
    );
    spans.market(&opened, &TICK);
    assert_eq!(spans.counts().waiting(), 0);
    traces.stop(Duration::ZERO);
}

fn exporting(protocol: Protocol, url: String) -> TraceConfig {
    TraceConfig {
        endpoint: Some(Endpoint {
            protocol,
            url,
            headers: Vec::new(),
            timeout: Duration::from_millis(200),
            gzip: false,
        }),
        queue_size: 8,
        batch_size: 4,
        ..TraceConfig::default()
    }
}

#[test]
fn a_collector_that_is_down_costs_its_spans_and_they_are_counted() {
    // A port that was free a moment ago: nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let config = exporting(protocol, format!("http://{closed}"));
        let traces = Traces::start(&config, None).expect("the address is one");
        let spans = traces.spans();
        for _ in 0..3 {
            spans.market(&spans.open(None), &TICK);
        }
        traces.stop(Duration::from_secs(30));
        let expected = [
            ("exported", 0),
            ("failed", 3),
            ("dropped", 0),
            ("sampled_out", 0),
        ];
        assert_eq!(spans.counts().spans(), expected, "{protocol:?}");
    }
}

#[test]
fn a_collector_that_never_answers_fills_a_bounded_queue() {
    // Connections are made by the kernel and never accepted.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound");
    let config = exporting(Protocol::HttpProtobuf, format!("http://{address}"));
    let traces = Traces::start(&config, None).expect("the address is one");
    let spans = traces.spans();
    for _ in 0..100 {
        spans.market(&spans.open(None), &TICK);
    }
    assert!(spans.counts().waiting() <= 8);
    traces.stop(Duration::from_secs(30));
    let counts: BTreeMap<_, _> = spans.counts().spans().into();
    assert_eq!(counts["failed"] + counts["dropped"], 100);
    assert!(counts["dropped"] >= 80, "{counts:?}");
}

#[test]
fn what_cannot_be_an_endpoint_is_a_sentence() {
    let config = exporting(Protocol::Grpc, "http://".to_owned());
    let error = Traces::start(&config, None).err().expect("no host");
    assert!(
        error
            .to_string()
            .starts_with("spans cannot be exported to http://: ")
    );
    let mut config = exporting(Protocol::Grpc, "http://127.0.0.1:1".to_owned());
    let endpoint = config.endpoint.as_mut().expect("set above");
    endpoint.headers = vec![("bad name".to_owned(), "secret".to_owned())];
    let error = Traces::start(&config, None).err().expect("no token");
    assert!(!error.to_string().contains("secret"));
}
