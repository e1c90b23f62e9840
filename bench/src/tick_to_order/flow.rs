//! The market that all contestants trade: depth diffs of one instrument with five levels a side.
//!
//! Owns: [`Flow`], [`Tick`], and the decision that each message must lead to, worked out from the generator's own
//! book. Does not: frame bytes for a transport, or answer orders. Invariants: the same messages in every run; the
//! book never crosses and never loses a side; update ids are contiguous from the snapshot on.

use crate::numbers::{Random, cents, lots};
use std::fmt::Write as _;
use veloz_core::order::Side;

/// The instrument.
pub(super) const SYMBOL: &str = "BTCUSDT";
/// Levels of each side that a message changes, and that a decision looks at.
pub(super) const LEVELS: usize = 5;
/// The venue's time at the engine's zero, Unix milliseconds.
pub(super) const UNIX_MS_AT_ZERO: u64 = 1_785_048_479_750;

/// Price that bids stand below and asks above, in cents.
const MID: i64 = 6_183_763;
/// Distances from the middle, in ticks, at which levels come and go.
const NEAR: usize = 20;
/// Levels of one side that the snapshot brings; those beyond [`NEAR`] stay.
const SNAPSHOT_LEVELS: usize = 1_000;
/// Of a hundred updates so many remove a level.
const REMOVED_PERCENT: u64 = 20;

/// One message, and the order that it must lead to.
pub struct Tick {
    frame: Vec<u8>,
    side: Side,
    /// As the order prints it.
    price: String,
}

impl Tick {
    /// The unmasked websocket frame.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Whether a request is the order that the message must lead to.
    pub(super) fn is_answered_by(&self, request: &str) -> bool {
        let side = format!(r#""side":"{}""#, self.side.label());
        let price = format!(r#""price":"{}""#, self.price);
        [
            r#""method":"order.place""#,
            &side,
            &price,
            r#""quantity":"0.00100""#,
        ]
        .iter()
        .all(|part| request.contains(part))
    }
}

/// The generator.
pub struct Flow {
    random: Random,
    last_id: u64,
    event_ms: u64,
    /// Quantity in 1e-5 at each distance from the middle, bids and asks; zero where there is no level.
    sides: [[u64; SNAPSHOT_LEVELS]; 2],
}

impl Default for Flow {
    fn default() -> Self {
        Self::new()
    }
}

impl Flow {
    /// The flow before its first message.
    pub fn new() -> Self {
        let mut random = Random(7);
        let mut sides = [[0; SNAPSHOT_LEVELS]; 2];
        for qty in sides.iter_mut().flatten() {
            *qty = 1 + random.below(1_000_000);
        }
        Self {
            random,
            last_id: 50_093_239_189,
            event_ms: UNIX_MS_AT_ZERO,
            sides,
        }
    }

    /// The book as it stands, best levels first: price in cents and quantity in 1e-5; bids, then asks.
    pub(super) fn levels(&self) -> [Vec<(i64, u64)>; 2] {
        [0, 1].map(|side| {
            let levels = self.sides[side].iter().enumerate();
            levels
                .filter(|(_, qty)| **qty > 0)
                .map(|(distance, qty)| (price(side, distance), *qty))
                .collect()
        })
    }

    /// The book as it stands, as the `result` of a depth request.
    pub(super) fn snapshot(&self) -> String {
        let [bids, asks] = self.levels();
        format!(
            r#"{{"lastUpdateId":{},"bids":{},"asks":{}}}"#,
            self.last_id,
            levels_text(&bids),
            levels_text(&asks)
        )
    }

    /// The next message.
    pub fn next_tick(&mut self) -> Tick {
        self.event_ms += 1;
        self.last_id += 1;
        let changes = [0, 1].map(|side| {
            let mut distances = [NEAR; LEVELS];
            let mut count = 0;
            while count < LEVELS {
                let distance = self.random.below(NEAR as u64) as usize;
                if !distances[..count].contains(&distance) {
                    distances[count] = distance;
                    count += 1;
                }
            }
            // The venue tells the levels nearest to the touch first.
            distances.sort_unstable();
            distances.map(|distance| {
                let removes = self.random.below(100) < REMOVED_PERCENT;
                let qty = if removes {
                    0
                } else {
                    1 + self.random.below(1_000_000)
                };
                self.sides[side][distance] = qty;
                (price(side, distance), qty)
            })
        });
        let text = format!(
            r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":{},"s":"{SYMBOL}","U":{id},"u":{id},"b":{},"a":{}}}}}"#,
            self.event_ms,
            levels_text(&changes[0]),
            levels_text(&changes[1]),
            id = self.last_id,
        );
        let (side, at) = self.decision();
        Tick {
            frame: frame(text.as_bytes()),
            side,
            price: format!("{}.{:02}", at / 100, at % 100),
        }
    }

    /// Whoever has more in the five best levels is joined: buy at the highest bid, or sell at the lowest ask.
    fn decision(&self) -> (Side, i64) {
        let [bids, asks] = self.levels();
        let sum = |levels: &[(i64, u64)]| levels[..LEVELS].iter().map(|level| level.1).sum::<u64>();
        if sum(&bids) >= sum(&asks) {
            (Side::Buy, bids[0].0)
        } else {
            (Side::Sell, asks[0].0)
        }
    }
}

/// The price of a side at a distance from its best possible one.
fn price(side: usize, distance: usize) -> i64 {
    let distance = 1 + distance as i64;
    if side == 0 {
        MID - distance
    } else {
        MID + distance
    }
}

fn levels_text(levels: &[(i64, u64)]) -> String {
    let mut text = String::from("[");
    for (price, qty) in levels {
        let comma = if text.len() == 1 { "" } else { "," };
        write!(text, r#"{comma}["{}","{}"]"#, cents(*price), lots(*qty)).expect("memory");
    }
    text.push(']');
    text
}

/// A text frame of a server; the messages here are all of 126 to 65,535 bytes.
fn frame(text: &[u8]) -> Vec<u8> {
    const TEXT: u8 = 0x81;
    const LENGTH_16: u8 = 126;
    let mut frame = vec![TEXT, LENGTH_16];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend(text);
    frame
}
