//! A venue that says just enough for one engine with one instrument to hold a live book, and then
//! as many market messages as the test asks for, each in a TLS record of its own.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use crate::server::{Pki, Tls, frame, read_frame, serve_websocket};
use veloz_core::config::EngineConfig;
use veloz_core::edge::clock::{Clock, WallOffset};
use veloz_core::engine::{Engine, Stopwatch};
use veloz_core::instrument::{Bounds, Instrument, Instruments, OrderRules, Symbol};
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{E8, Grid};

/// The market half: answers SUBSCRIBE, then sends so many messages whenever the test says a number.
/// They are depth differences, tickers and trades in turn; `sent_id` holds the last update id sent.
pub(crate) fn market(
    pki: &Pki,
    counts: Receiver<usize>,
    sent_id: Arc<AtomicU64>,
) -> (u16, JoinHandle<()>) {
    serve_websocket(pki, move |mut tls| {
        let streams = subscribed(&mut tls);
        let mut next = 0;
        for count in counts {
            for _ in 0..count {
                let text = message(&streams, next);
                if tls.write_all(&frame(0x81, text.as_bytes())).is_err() {
                    return;
                }
                sent_id.store(update_id(next), Ordering::Release);
                next += 1;
            }
        }
    })
}

/// The websocket API: time and depth at `sent_id`, until the client goes.
pub(crate) fn api(pki: &Pki, sent_id: Arc<AtomicU64>) -> (u16, JoinHandle<()>) {
    serve_websocket(pki, move |mut tls| {
        while let Ok((0x81, request)) = read_frame(&mut tls) {
            let request: serde_json::Value = serde_json::from_slice(&request).expect("JSON");
            let id = &request["id"];
            let result = match request["method"].as_str() {
                Some("time") => format!("{{\"serverTime\":{}}}", unix_ms()),
                Some("depth") => format!(
                    "{{\"lastUpdateId\":{},\"bids\":[[\"60000.00000000\",\"1.00000000\"]],\
                     \"asks\":[[\"60000.01000000\",\"1.00000000\"]]}}",
                    sent_id.load(Ordering::Acquire)
                ),
                other => panic!("what is {other:?}"),
            };
            let answer = format!("{{\"id\":{id},\"status\":200,\"result\":{result}}}");
            if tls.write_all(&frame(0x81, answer.as_bytes())).is_err() {
                return;
            }
        }
    })
}

/// An engine for that venue's instrument.
pub(crate) fn engine<S: Stopwatch>(watch: S) -> (Engine<S>, TelemetryReader) {
    let (writer, reader) = telemetry(1, Sizes::default());
    let none = Bounds {
        min: None,
        max: None,
    };
    let instrument = Instrument {
        symbol: Symbol::new("BTCUSDT").expect("short"),
        base: Symbol::new("BTC").expect("short"),
        quote: Symbol::new("USDT").expect("short"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        lot: Grid::new(E8(1_000)).expect("positive"),
        price_bounds: none,
        qty_bounds: Bounds {
            min: None,
            max: None,
        },
        notional_min: None,
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    };
    let instruments = Instruments::new(vec![instrument]).expect("one");
    let engine = Engine::new(EngineConfig::default(), instruments, writer, watch);
    (engine.expect("few streams"), reader)
}

/// Answers one subscription; the stream names in it.
fn subscribed(tls: &mut Tls) -> Vec<String> {
    let (_, request) = read_frame(tls).expect("a subscription");
    let request: serde_json::Value = serde_json::from_slice(&request).expect("JSON");
    assert_eq!(request["method"], "SUBSCRIBE");
    let answer = format!("{{\"result\":null,\"id\":{}}}", request["id"]);
    tls.write_all(&frame(0x81, answer.as_bytes()))
        .expect("sent");
    request["params"]
        .as_array()
        .expect("stream names")
        .iter()
        .map(|name| name.as_str().expect("text").to_owned())
        .collect()
}

/// Message number `n`: the touch stays, its quantities and five levels behind it change.
fn message(streams: &[String], n: u64) -> String {
    let stream = |part: &str| {
        streams
            .iter()
            .find(|name| name.contains(part))
            .expect("subscribed")
    };
    let (id, now) = (update_id(n), unix_ms());
    let qty = |level: u64| {
        format!(
            "{}.{:05}000",
            1 + (id + level) % 7,
            (id * 37 + level) % 99_999
        )
    };
    match n % 3 {
        0 => {
            let levels = |base: i64, step: i64| {
                (0..6)
                    .map(|level: i64| {
                        let cents = base + step * level;
                        let qty = qty(level.unsigned_abs());
                        format!("[\"{}.{:02}000000\",\"{qty}\"]", cents / 100, cents % 100)
                    })
                    .collect::<Vec<_>>()
                    .join(",")
            };
            format!(
                "{{\"stream\":\"{}\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{now},\"s\":\"BTCUSDT\",\
                 \"U\":{id},\"u\":{id},\"b\":[{}],\"a\":[{}]}}}}",
                stream("@depth"),
                levels(6_000_000, -1),
                levels(6_000_001, 1)
            )
        }
        1 => format!(
            "{{\"stream\":\"{}\",\"data\":{{\"u\":{id},\"s\":\"BTCUSDT\",\"b\":\"60000.00000000\",\
             \"B\":\"{}\",\"a\":\"60000.01000000\",\"A\":\"{}\"}}}}",
            stream("@bookTicker"),
            qty(0),
            qty(0)
        ),
        _ => format!(
            "{{\"stream\":\"{}\",\"data\":{{\"e\":\"trade\",\"E\":{now},\"s\":\"BTCUSDT\",\"t\":{n},\
             \"p\":\"60000.00000000\",\"q\":\"0.01000000\",\"T\":{now},\"m\":true,\"M\":true}}}}",
            stream("@trade")
        ),
    }
}

/// The update id of message number `n`.
fn update_id(n: u64) -> u64 {
    1_000 + n / 3
}

fn unix_ms() -> i64 {
    WallOffset::measure(&Clock::kernel()).unix_ns_at_zero / 1_000_000
}
