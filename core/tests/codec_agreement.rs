//! The scanner against the tolerant parser: whatever bytes arrive, both must say the same.
//!
//! Every decoder starts with its scanner and falls back, so equal results mean both halves of the
//! rule: what the scanner accepts the tolerant parser reads alike, and what the tolerant parser
//! faults no scanner accepts. Messages are generated in every kind, form and damage that the format
//! allows; recorded ones need `VELOZ_DATA_DIR`, and their tests say so where it is not set.

#[path = "support/messages.rs"]
mod messages;

use flate2::read::GzDecoder;
use messages::{Dice, Generator, Member};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use veloz_core::event::Payload;
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::limits::{LEVELS_PER_SIDE_MAX, PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use veloz_core::units::{E8, Grid};
use veloz_core::venue::binance::codec::{Decoder, DecoderCounts, Update};
use veloz_core::venue::binance::fault::{Fault, VenueFault};
use veloz_core::wire::json::Scanner;

/// The request id under which generated snapshots arrive.
const SNAPSHOT_ID: i64 = 7;

/// Symbols with tick and lot in 1e-8: cents with the finest lots (recorded books hold old orders that are
/// off the present lot size), coins of many decimals, a long name, a non-ASCII one.
const INSTRUMENTS: [(&str, i64, i64); 5] = [
    ("BTCUSDT", 1_000_000, 1),
    ("ETHUSDT", 1_000_000, 1),
    ("PEPEUSDT", 1, 100_000_000),
    ("1000SATSFDUSD", 1, 100_000_000),
    ("币安人生USDT", 1_000, 10_000),
];

fn instrument(symbol: &str, tick: i64, lot: i64) -> Instrument {
    Instrument {
        symbol: Symbol::new(symbol).expect("short"),
        base: Symbol::new("BASE").expect("short"),
        quote: Symbol::new("QUOTE").expect("short"),
        tick: Grid::new(E8(tick)).expect("positive"),
        lot: Grid::new(E8(lot)).expect("positive"),
        price_bounds: Bounds {
            min: None,
            max: None,
        },
        qty_bounds: Bounds {
            min: None,
            max: None,
        },
        notional_min: None,
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    }
}

/// One decoder for each scanner of this CPU, the tolerant one first.
struct Decoders {
    all: Vec<Decoder>,
    buffer: Vec<u8>,
}

impl Decoders {
    fn new() -> Self {
        let list = INSTRUMENTS
            .iter()
            .map(|(symbol, tick, lot)| instrument(symbol, *tick, *lot))
            .collect();
        let table = Instruments::new(list).expect("distinct");
        let mut all = Vec::new();
        for scanner in Scanner::ALL {
            if scanner.is_available() {
                all.push(Decoder::with_scanner(&table, scanner));
            } else {
                println!("this CPU has no {scanner:?}: not tested");
            }
        }
        Self {
            all,
            buffer: Vec::new(),
        }
    }

    /// Decodes `message`, which `after` follows in the receive buffer, by all scanners, and checks that
    /// they agree.
    fn decode(&mut self, message: &[u8], after: &[u8]) -> Result<Update<'_>, Fault> {
        self.buffer.clear();
        self.buffer.extend([b'8'; PAYLOAD_SLACK_BEFORE]);
        self.buffer.extend(message);
        self.buffer.extend(after);
        self.buffer.extend([b'9'; PAYLOAD_SLACK_AFTER]);
        let payload = Payload::new(
            &self.buffer,
            PAYLOAD_SLACK_BEFORE,
            PAYLOAD_SLACK_BEFORE + message.len(),
        );
        for decoder in &mut self.all {
            decoder.forget_all_snapshots();
            decoder
                .expect_snapshot(SNAPSHOT_ID, InstrumentIndex(1))
                .expect("room");
        }
        let (tolerant, scanners) = self.all.split_first_mut().expect("always there");
        let expected = tolerant.decode(payload);
        for scanner in scanners {
            assert_eq!(
                scanner.decode(payload),
                expected,
                "{}",
                String::from_utf8_lossy(message)
            );
        }
        expected
    }

    /// What every decoder but the tolerant one counted.
    fn scanner_counts(&self) -> impl Iterator<Item = DecoderCounts> {
        self.all[1..].iter().map(Decoder::counts)
    }
}

impl Generator {
    /// Two ids in order, or not.
    fn id_range(&mut self) -> (String, String) {
        if self.dice.chance(self.wild) {
            return (self.id(), self.id());
        }
        let first = self.dice.roll() >> 20;
        (
            first.to_string(),
            (first + self.dice.roll() % 100).to_string(),
        )
    }

    fn levels(&mut self, tick: i64, lot: i64) -> String {
        let mut text = String::from("[");
        // Some sides are empty, some are longer than any register.
        let count = *self.dice.pick(&[0, 1, 1, 2, 3, 7, 20]);
        let (price_digits, qty_digits) = (
            1 + self.dice.below(7) as u32,
            1 + self.dice.below(10) as u32,
        );
        for position in 0..count {
            if position > 0 {
                text.push(',');
            }
            let (price, qty) = (
                self.decimal(tick, price_digits),
                self.decimal(lot, qty_digits),
            );
            if self.dice.chance(self.wild) {
                let form = *self.dice.pick(&[
                    "[\"1.00000000\"]",
                    "[]",
                    "null",
                    "[1.0,\"1\"]",
                    "[\"1.00000000\",\"1.00000000\",[]]",
                    "[ \"1.00000000\",\"1.00000000\"]",
                    "{\"0\":\"1\"}",
                    "[\"1.00000000\",\"1.00000000\"],",
                    "[\"1.00000000\" ,\"1.00000000\"]",
                    "[[\"1\",\"1\"]]",
                ]);
                text.push_str(form);
            } else if price.bytes().all(|byte| matches!(byte, b'0' | b'.')) && self.wild == 0 {
                write!(text, "[\"61837.63000000\",\"{qty}\"]").expect("a string");
            } else {
                write!(text, "[\"{price}\",\"{qty}\"]").expect("a string");
            }
        }
        text.push(']');
        text
    }

    fn message(&mut self) -> Vec<u8> {
        let (symbol, tick, lot) = *self.dice.pick(&INSTRUMENTS);
        let quoted = format!("\"{symbol}\"");
        let text = |name: &str| format!("\"{name}\"");
        let positive = |text: String| {
            let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
            if zero {
                "100.00000000".to_owned()
            } else {
                text
            }
        };
        let (stream, members): (&str, Vec<Member>) = match self.dice.below(6) {
            0 | 1 => {
                let (first, last) = self.id_range();
                let members = vec![
                    ("e", text("depthUpdate")),
                    ("E", self.id()),
                    ("s", quoted),
                    ("U", first),
                    ("u", last),
                    ("b", self.levels(tick, lot)),
                    ("a", self.levels(tick, lot)),
                ];
                (*self.dice.pick(&["depth", "depth@100ms"]), members)
            }
            2 => {
                let members = vec![
                    ("u", self.id()),
                    ("s", quoted),
                    ("b", text(&self.decimal(tick, 7))),
                    ("B", text(&self.decimal(lot, 10))),
                    ("a", text(&self.decimal(tick, 7))),
                    ("A", text(&self.decimal(lot, 10))),
                ];
                ("bookTicker", members)
            }
            3 => {
                let members = vec![
                    ("e", text("trade")),
                    ("E", self.id()),
                    ("s", quoted),
                    ("t", self.id()),
                    ("p", text(&positive(self.decimal(tick, 7)))),
                    ("q", text(&positive(self.decimal(lot, 10)))),
                    ("T", self.id()),
                    ("m", self.boolean()),
                    ("M", self.boolean()),
                ];
                ("trade", members)
            }
            4 => {
                let (first, last) = self.id_range();
                let members = vec![
                    ("e", text("aggTrade")),
                    ("E", self.id()),
                    ("s", quoted),
                    ("a", self.id()),
                    ("p", text(&positive(self.decimal(tick, 7)))),
                    ("q", text(&positive(self.decimal(lot, 10)))),
                    ("f", first),
                    ("l", last),
                    ("T", self.id()),
                    ("m", self.boolean()),
                    ("M", self.boolean()),
                ];
                ("aggTrade", members)
            }
            _ => {
                let snapshot = self.dice.chance(50);
                let (tick, lot) = if snapshot {
                    (INSTRUMENTS[1].1, INSTRUMENTS[1].2)
                } else {
                    (tick, lot)
                };
                let members = vec![
                    ("lastUpdateId", self.id()),
                    ("bids", self.levels(tick, lot)),
                    ("asks", self.levels(tick, lot)),
                ];
                if snapshot {
                    return self.api_reply(&members);
                }
                (
                    *self
                        .dice
                        .pick(&["depth5", "depth10@100ms", "depth20", "depth20@100ms"]),
                    members,
                )
            }
        };
        let partial = members.len() == 3;
        let payload = self.object(members);
        if !partial && self.dice.chance(25) {
            return payload.into_bytes();
        }
        let name = if self.dice.chance(self.wild) {
            let forms = [
                "\"!ticker@arr\"",
                "\"ethusdt@depth\"",
                "\"btcusdt\"",
                "\"btcusdt@depth@1000ms\"",
                "7",
                "null",
                "\"btcusdt\\u0040trade\"",
                "\"BTCUSDT@depth\"",
                "\"btcusdt\u{0}@depth\"",
                "\"btc\\\"usdt@depth\"",
                "\"\"",
            ];
            (*self.dice.pick(&forms)).to_owned()
        } else {
            format!("\"{}@{stream}\"", symbol.to_ascii_lowercase())
        };
        self.object(vec![("stream", name), ("data", payload)])
            .into_bytes()
    }

    fn api_reply(&mut self, book: &[Member]) -> Vec<u8> {
        let result = self.object(book.to_vec());
        let id = if self.dice.chance(self.wild) {
            self.id()
        } else {
            SNAPSHOT_ID.to_string()
        };
        let mut members = vec![("id", id), ("status", "200".to_owned()), ("result", result)];
        if self.dice.chance(70) {
            let limits = r#"[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000,"count":321}]"#;
            members.push(("rateLimits", limits.to_owned()));
        }
        if self.dice.chance(self.wild) {
            members.push(("rateLimits", "[],\"id\":7".to_owned()));
        }
        self.object(members).into_bytes()
    }
}

/// One message of this seed, through all decoders.
fn run(decoders: &mut Decoders, seed: u64) {
    let mut dice = Dice(seed);
    let wild = *dice.pick(&[0, 2, 5, 30]);
    let mut generator = Generator { dice, wild };
    let mut message = generator.message();
    let after = if generator.dice.chance(50) {
        generator.damage(&mut message)
    } else {
        Vec::new()
    };
    let _ = decoders.decode(&message, &after);
}

#[test]
fn the_usual_forms_are_read_by_the_scanner() {
    const MESSAGES: u64 = 3_000;
    let mut decoders = Decoders::new();
    for seed in 0..MESSAGES {
        let mut generator = Generator {
            dice: Dice(seed),
            wild: 0,
        };
        let message = generator.message();
        let decoded = decoders.decode(&message, b"");
        assert!(
            decoded.is_ok_and(|update| update != Update::Ignored),
            "{decoded:?} {}",
            String::from_utf8_lossy(&message)
        );
    }
    for counts in decoders.scanner_counts() {
        assert_eq!((counts.fast, counts.tolerant), (MESSAGES, 0));
    }
}

#[test]
fn twenty_thousand_odd_and_damaged_messages_are_read_alike() {
    let mut decoders = Decoders::new();
    for seed in 0..20_000 {
        run(&mut decoders, seed);
    }
}

#[test]
fn a_message_cut_or_changed_at_any_byte_is_read_alike() {
    let mut decoders = Decoders::new();
    for seed in 0..40 {
        let mut generator = Generator {
            dice: Dice(seed),
            wild: 0,
        };
        let message = generator.message();
        if message.len() > 600 {
            continue;
        }
        for at in 0..message.len() {
            let (head, tail) = message.split_at(at);
            let cut = decoders.decode(head, tail);
            assert!(cut.is_err(), "{}", String::from_utf8_lossy(head));
            for byte in *b"\"09.,:[]{}\\ -e\x00\xff" {
                let mut changed = message.clone();
                changed[at] = byte;
                let _ = decoders.decode(&changed, b"");
            }
        }
    }
}

#[test]
fn a_side_holds_so_many_levels_and_no_more() {
    let mut decoders = Decoders::new();
    let mut decode = |count: usize| {
        let levels = vec![r#"["61837.63000000","0.10000000"]"#; count].join(",");
        let message = format!(
            r#"{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":1,"b":[],"a":[{levels}]}}"#
        );
        match decoders.decode(message.as_bytes(), b"") {
            Ok(Update::Depth(depth)) => Ok(depth.asks.len()),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.kind),
        }
    };
    assert_eq!(decode(LEVELS_PER_SIDE_MAX), Ok(LEVELS_PER_SIDE_MAX));
    assert_eq!(
        decode(LEVELS_PER_SIDE_MAX + 1),
        Err(VenueFault::TooManyLevels)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn any_seed_is_read_alike(seed: u64) {
        run(&mut Decoders::new(), seed);
    }

    #[test]
    fn any_bytes_are_read_alike(
        start in prop::sample::select(vec![
            "", "{", "{\"stream\":\"btcusdt@depth\",\"data\":{", "{\"e\":\"trade\",\"E\":", "{\"id\":7,\"status\":200,\"result\":",
            "{\"u\":1,\"s\":\"BTCUSDT\",\"b\":\"", "[",
        ]),
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\"0123456789.,:[]{}".to_vec())], 0..80),
    ) {
        let _ = Decoders::new().decode(&[start.as_bytes(), &bytes].concat(), b"");
    }
}

/// The recorded data, or `None` with a word about it.
fn data_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("VELOZ_DATA_DIR").map(PathBuf::from);
    if dir.is_none() {
        println!("skipped: VELOZ_DATA_DIR is not set");
    }
    dir
}

#[test]
fn recorded_spot_sessions_are_read_alike_and_by_the_scanner() {
    let Some(dir) = data_dir() else { return };
    for (file, streamed) in [
        ("btcusdt_20240808.gz", 41_248),
        ("btcusdt_20240809.gz", 58_325),
        ("ethusdt_20240808.gz", 33_617),
    ] {
        let mut decoders = Decoders::new();
        let path = dir.join("spot").join(file);
        let lines = BufReader::new(GzDecoder::new(File::open(path).expect("a capture")));
        for line in lines.lines() {
            let line = line.expect("text");
            let (_, message) = line.split_once(' ').expect("time and message");
            let decoded = decoders.decode(message.as_bytes(), b"");
            if message.starts_with("{\"stream\"") {
                assert!(
                    decoded.is_ok_and(|update| update != Update::Ignored),
                    "{message}"
                );
            }
        }
        for counts in decoders.scanner_counts() {
            // The REST snapshot in the first files names no symbol: the tolerant parser refuses it.
            assert_eq!(counts.fast, streamed, "{file}");
            assert!(counts.tolerant <= 1, "{file}");
        }
    }
}

#[test]
fn recorded_oddities_are_tolerated() {
    let Some(dir) = data_dir() else { return };
    let mut decoders = Decoders::new();
    let mut count = 0;
    for file in ["binance_messages.jsonl", "edge_cases.jsonl"] {
        let text = std::fs::read_to_string(dir.join(file)).expect("recorded messages");
        for line in text.lines().filter(|line| !line.is_empty()) {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let body = value
                .get("body")
                .and_then(|body| body.as_str())
                .unwrap_or(line);
            let decoded = decoders.decode(body.as_bytes(), b"");
            if body.contains(r#""X":"NA""#) {
                let fault = decoded.expect_err("no trade");
                assert_eq!(fault.kind, VenueFault::EmptyTrade);
            }
            count += 1;
        }
    }
    assert_eq!(count, 102);
}
