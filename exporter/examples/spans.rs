//! One span of each kind to a collector, for a check that they arrive.
//!
//! `spans http/protobuf|grpc URL [name=value,...]`: exports an order's trace (request, command, check,
//! order, answer) below a caller's span and a market trace (message, signal), waits until they are gone,
//! and prints what it sent as one JSON object. `tools/checks/otlp.py` is the other side.

use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use veloz_core::order::{OrderKind, Side};
use veloz_core::risk::Rejection;
use veloz_core::units::Nanos;
use veloz_exporter::traces::config::pairs;
use veloz_exporter::traces::{
    CommandSpan, Endpoint, ExecuteSpan, HttpSpan, MarketSpan, Opened, Outcome, PlaceSpan, Protocol,
    RiskSpan, SignalSpan, Times, TraceConfig, Traces,
};

const CALLER_TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const CALLER_SPAN: u64 = 0xb7ad_6b71_6920_3331;

fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let protocol = match arguments.next().as_deref() {
        Some("http/protobuf") => Protocol::HttpProtobuf,
        Some("grpc") => Protocol::Grpc,
        _ => return Err("spans http/protobuf|grpc URL [name=value,...]".to_owned()),
    };
    let url = arguments
        .next()
        .ok_or("the collector's address is missing")?;
    let headers = pairs(&arguments.next().unwrap_or_default())
        .map_err(|position| format!("header {position} is none"))?;
    let traces = Traces::start(
        &TraceConfig {
            endpoint: Some(Endpoint {
                protocol,
                url,
                headers,
                timeout: Duration::from_secs(5),
                gzip: true,
            }),
            resource: vec![("service.name".to_owned(), "veloz-gateway".to_owned())],
            ..TraceConfig::default()
        },
        None,
    )
    .map_err(|error| error.to_string())?;
    let spans = traces.spans();
    let zero = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|error| error.to_string())?
        .as_nanos() as i64;
    spans.set_wall_clock(zero);

    let caller = SpanContext::new(
        CALLER_TRACE.into(),
        CALLER_SPAN.into(),
        TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    let times = |start: u64, end: u64| Times {
        start: Nanos(start),
        end: Nanos(end),
    };
    let mut sent = Vec::new();
    let mut note = |name: &str, opened: &Opened, parent: String, start: u64, end: u64| {
        sent.push(json!({
            "name": name,
            "trace_id": opened.context().trace_id().to_string(),
            "span_id": opened.context().span_id().to_string(),
            "parent_span_id": parent,
            "start_unix_ns": zero as u64 + start,
            "end_unix_ns": zero as u64 + end,
        }));
    };
    let id = |opened: &Opened| opened.context().span_id().to_string();

    let request = spans.open(Some(&caller));
    let command = spans.open(Some(request.context()));
    let check = spans.open(Some(command.context()));
    let order = spans.open(Some(command.context()));
    let answer = spans.open(Some(order.context()));
    spans.risk(
        &check,
        &RiskSpan {
            times: times(1_100, 1_200),
            rejection: None,
        },
    );
    note("risk.check", &check, id(&command), 1_100, 1_200);
    spans.place(
        &order,
        &PlaceSpan {
            times: times(1_200, 9_001),
            symbol: "BTCUSDT",
            side: Side::Buy,
            kind: OrderKind::Limit,
            outcome: Outcome::Good,
        },
    );
    note("order.place", &order, id(&command), 1_200, 9_001);
    spans.execute(
        &answer,
        &ExecuteSpan {
            times: times(9_001, 4_009_001),
            order_id: "web-1",
            venue: "binance",
            outcome: Outcome::Rejected("-2010"),
        },
    );
    note("order.execute", &answer, id(&order), 9_001, 4_009_001);
    spans.command(
        &command,
        &CommandSpan {
            times: times(1_000, 4_010_000),
            command: "place",
            symbol: Some("BTCUSDT"),
            outcome: Outcome::Good,
        },
    );
    note("engine.command", &command, id(&request), 1_000, 4_010_000);
    spans.http(
        &request,
        &HttpSpan {
            times: times(0, 4_020_000),
            method: "POST",
            url: "http://127.0.0.1:8080/api/order",
            status: 400,
        },
    );
    note(
        "http.request",
        &request,
        caller.span_id().to_string(),
        0,
        4_020_000,
    );

    let message = spans.open(None);
    let signal = spans.open(Some(message.context()));
    let refused = spans.open(Some(signal.context()));
    spans.market(
        &message,
        &MarketSpan {
            times: times(500, 1_300),
            event_type: "depth",
            symbol: "ETHUSDT",
        },
    );
    note("market.process", &message, String::new(), 500, 1_300);
    spans.signal(
        &signal,
        &SignalSpan {
            times: times(1_300, 1_450),
            strategy: "market_maker",
            signal: "quote",
        },
    );
    note("strategy.signal", &signal, id(&message), 1_300, 1_450);
    spans.risk(
        &refused,
        &RiskSpan {
            times: times(1_450, 1_460),
            rejection: Some(Rejection::PriceCollar),
        },
    );
    note("risk.check", &refused, id(&signal), 1_450, 1_460);

    traces.stop(Duration::from_secs(10));
    println!(
        "{}",
        json!({ "spans": sent, "counts": spans.counts().spans() })
    );
    Ok(())
}
