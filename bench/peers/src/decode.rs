//! Decoding one diff-depth message of the combined stream to integers, at 2, 20 and 200 levels a
//! side.
//!
//! Peers get the message as their typed structs would want it: borrowed text, and prices and
//! quantities through a visitor straight to 1e-8 integers, with a parser as plain as can be. Ours
//! also finds the instrument and divides by tick and lot size.

use crate::measure::{Gate, Peer, Random, compare, timed};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt::Write;
use std::hint::black_box;
use veloz_core::event::PayloadBuf;
use veloz_core::instrument::{Bounds, Instrument, Instruments, OrderRules, Symbol};
use veloz_core::units::{E8, Grid, Level};
use veloz_core::venue::binance::codec::{Decoder, Update};
use veloz_core::wire::json::Scanner;

const TICK: E8 = E8(1_000_000);
const LOT: E8 = E8(1_000);
const ROUNDS: usize = 41;
/// Levels of both sides that one round decodes, about.
const LEVELS_PER_ROUND: usize = 80_000;

/// The message as a user of serde would declare it.
#[derive(serde::Deserialize)]
struct Combined<'a> {
    #[serde(borrow, rename = "stream")]
    _stream: &'a str,
    data: Depth<'a>,
}

#[derive(serde::Deserialize)]
struct Depth<'a> {
    #[serde(rename = "E")]
    event_ms: u64,
    #[serde(borrow, rename = "s")]
    symbol: &'a str,
    #[serde(rename = "U")]
    first_id: u64,
    #[serde(rename = "u")]
    last_id: u64,
    #[serde(rename = "b")]
    bids: Vec<[Decimal; 2]>,
    #[serde(rename = "a")]
    asks: Vec<[Decimal; 2]>,
}

/// 1e-8 units.
struct Decimal(i64);

impl<'de> Deserialize<'de> for Decimal {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Decimal;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a decimal in a string")
            }

            #[inline]
            fn visit_str<E: Error>(self, text: &str) -> Result<Decimal, E> {
                let mut value = 0i64;
                let mut places = 0;
                let mut seen_point = false;
                for byte in text.bytes() {
                    match byte {
                        b'0'..=b'9' => {
                            value = value.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
                            places += u32::from(seen_point);
                        }
                        b'.' => seen_point = true,
                        _ => return Err(E::custom("not a decimal")),
                    }
                }
                let scale = 8u32
                    .checked_sub(places)
                    .ok_or_else(|| E::custom("more than eight places"))?;
                Ok(Decimal(value.wrapping_mul(10i64.pow(scale))))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

pub fn run() -> bool {
    [2, 20, 200]
        .into_iter()
        .fold(true, |held, levels| held & group(levels))
}

fn group(levels: usize) -> bool {
    // Few enough that a branch predictor learns small ones by heart. That favours the peers: with
    // ten times as many their times double at 20 levels a side, and ours do not change.
    let variants = 32;
    let mut random = Random(0x0f1e_2d3c_4b5a_6978);
    let texts: Vec<String> = (0..variants)
        .map(|_| message(levels, &mut random))
        .collect();
    let payloads: Vec<PayloadBuf> = texts
        .iter()
        .map(|text| PayloadBuf::new(text.as_bytes()))
        .collect();
    let per_round = LEVELS_PER_ROUND / (2 * levels);

    let instruments = instruments();
    let mut decoders = scanners().map(|(_, scanner)| Decoder::with_scanner(&instruments, scanner));
    for (text, payload) in texts.iter().zip(&payloads) {
        let sonic: Combined<'_> = sonic_rs::from_str(text).expect("valid");
        let serde: Combined<'_> = serde_json::from_str(text).expect("valid");
        assert_eq!(numbers(&sonic.data), numbers(&serde.data));
        for decoder in &mut decoders {
            let Ok(Update::Depth(diff)) = decoder.decode(payload.payload()) else {
                panic!("not a diff: {text}");
            };
            let mut ours = vec![
                diff.event_ms.0 as i64,
                diff.first_id as i64,
                diff.last_id as i64,
            ];
            for side in [diff.bids, diff.asks] {
                let both = |level: &Level| [level.price.0 * TICK.0, level.qty.0 * LOT.0];
                ours.extend(side.iter().flat_map(both));
            }
            assert_eq!(ours, numbers(&serde.data));
        }
    }

    let sonic = |_| {
        timed(|| {
            for text in texts.iter().cycle().take(per_round) {
                let message: Combined<'_> = sonic_rs::from_slice(text.as_bytes()).expect("valid");
                black_box(&message);
            }
        })
    };
    let serde = |_| {
        timed(|| {
            for text in texts.iter().cycle().take(per_round) {
                let message: Combined<'_> = serde_json::from_slice(text.as_bytes()).expect("valid");
                black_box(&message);
            }
        })
    };
    let mut held = true;
    for (gates, (name, scanner)) in [(3.5, 5.0), (2.0, 3.5)].into_iter().zip(scanners()) {
        let mut decoder = Decoder::with_scanner(&instruments, scanner);
        let ours = |_| {
            timed(|| {
                for payload in payloads.iter().cycle().take(per_round) {
                    black_box(&decoder.decode(payload.payload()))
                        .as_ref()
                        .expect("valid");
                }
            })
        };
        held &= compare(
            &format!(
                "decode: depth, {levels} levels a side, {} bytes",
                texts[0].len()
            ),
            per_round,
            ROUNDS,
            &mut [
                Peer::new(name, Gate::None, ours),
                Peer::new("sonic-rs, typed to i64", Gate::AtLeast(gates.0), sonic),
                Peer::new("serde_json, typed to i64", Gate::AtLeast(gates.1), serde),
            ],
        );
    }
    held
}

fn numbers(depth: &Depth<'_>) -> Vec<i64> {
    assert_eq!(depth.symbol, "BTCUSDT");
    let mut numbers = vec![
        depth.event_ms as i64,
        depth.first_id as i64,
        depth.last_id as i64,
    ];
    for side in [&depth.bids, &depth.asks] {
        numbers.extend(side.iter().flatten().map(|decimal| decimal.0));
    }
    numbers
}

fn message(levels: usize, random: &mut Random) -> String {
    let first = 50_093_239_189 + random.below(1_000_000);
    let last = first + random.below(500);
    let time = 1_723_161_255_208 + random.below(1_000_000);
    let mut text = format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":{time},"s":"BTCUSDT","U":{first},"u":{last}"#
    );
    for (key, sign) in [("b", -1), ("a", 1)] {
        write!(text, r#","{key}":["#).expect("memory");
        let mut price = 6_183_763;
        for nth in 0..levels {
            price += sign * (1 + random.below(200) as i64);
            // A third of all updates removes; quantities span the lengths that real ones have.
            let lots = match random.below(9) {
                0..3 => 0,
                3..5 => random.below(100),
                5..8 => random.below(100_000),
                _ => random.below(5_000_000),
            };
            let comma = if nth == 0 { "" } else { "," };
            let price = E8(price * TICK.0);
            let qty = E8(lots as i64 * LOT.0);
            write!(text, r#"{comma}["{price}","{qty}"]"#).expect("memory");
        }
        text.push(']');
    }
    text.push_str("}}");
    text
}

fn instruments() -> Instruments {
    let symbol = |text| Symbol::new(text).expect("short");
    let instrument = Instrument {
        symbol: symbol("BTCUSDT"),
        base: symbol("BTC"),
        quote: symbol("USDT"),
        tick: Grid::new(TICK).expect("positive"),
        lot: Grid::new(LOT).expect("positive"),
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
    };
    Instruments::new(vec![instrument]).expect("one instrument")
}

/// Both scanners with their names; a CPU without AVX2 is measured twice with the portable one.
fn scanners() -> [(&'static str, Scanner); 2] {
    [
        ("veloz-core, AVX2", Scanner::detect()),
        ("veloz-core, portable", Scanner::Portable),
    ]
}
