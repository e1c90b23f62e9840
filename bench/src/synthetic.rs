//! A fixed market-data flow: the same bytes in every run and on every machine, so that counts of
//! instructions and allocations mean something. Its mix is that of ten recorded minutes of spot
//! BTCUSDT: of 100 messages 68 tickers, 24 trades, 8 diffs with 36 levels each on average.
//!
//! Owns: [`session`], the messages and the snapshot that they continue. Does not: aim at realism
//! beyond that mix; the simulated venue's flow does. Invariants: the diffs' update ids are contiguous,
//! the book never crosses, a ticker names a later update id than all messages before it, and so the
//! engine finds no fault.

use crate::numbers::{Random, cents, lots};
use crate::session::{Session, SessionError};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use veloz::capture::import::PlayError;

/// Price around which both books stand, in cents.
const MID: i64 = 6_183_763;
/// Levels of one side that the snapshot brings.
const SNAPSHOT_LEVELS: u64 = 1_000;
/// Diffs' levels stand within this distance of the mid price, in ticks, but for the far ones.
const NEAR_TICKS: u64 = 2_000;
/// Distance of the far ones: outside a book's window.
const FAR_TICKS: u64 = 200_000;

/// Messages of a flow before its snapshot: time for the engine to connect and see a first diff.
const MESSAGES_BEFORE_SNAPSHOT: usize = 100;
/// Time between two messages of one flow.
const INTERVAL_NS: u64 = 1_000_000;

/// A session of two instruments with at least `messages` messages behind the one at which both books
/// went live.
///
/// # Errors
/// [`SessionError`] when the temporary files cannot be written or the books do not go live.
pub fn session(messages: usize) -> Result<Session, SessionError> {
    begun(messages).map(|(session, _)| session)
}

/// The same, and the flows as they stand at its end.
pub(crate) fn begun(messages: usize) -> Result<(Session, [Flow; 2]), SessionError> {
    let dir = tempfile::tempdir().map_err(PlayError::Write)?;
    let mut flows = [Flow::new("BTCUSDT", 7), Flow::new("ETHUSDT", 11)];
    let mut paths = Vec::new();
    for flow in &mut flows {
        let path = dir.path().join(flow.symbol);
        let lines = 2 * MESSAGES_BEFORE_SNAPSHOT + messages.div_ceil(2);
        write(&path, flow, lines).map_err(PlayError::Write)?;
        paths.push(path);
    }
    Ok((Session::record(&paths)?, flows))
}

/// Writes a flow in the text form of captures.
fn write(path: &Path, flow: &mut Flow, messages: usize) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for nth in 0..messages {
        let unix_ns = 1_723_161_255_000_000_000 + nth as u64 * INTERVAL_NS;
        if nth == MESSAGES_BEFORE_SNAPSHOT {
            writeln!(out, "{unix_ns} {}", flow.snapshot())?;
        }
        writeln!(out, "{unix_ns} {}", flow.next_message())?;
    }
    out.flush()
}

/// One instrument's flow.
pub(crate) struct Flow {
    symbol: &'static str,
    random: Random,
    /// The last update id that a diff brought.
    last_id: u64,
    /// The last update id that a ticker or a diff named.
    named_id: u64,
    trade_id: u64,
    event_ms: u64,
    /// Quantity in 1e-5 by price in cents: bids and asks.
    sides: [BTreeMap<i64, u64>; 2],
}

impl Flow {
    /// The flow of a symbol; different seeds make different flows.
    fn new(symbol: &'static str, seed: u64) -> Self {
        let mut flow = Self {
            symbol,
            random: Random(seed | 1),
            last_id: 50_093_239_189,
            named_id: 50_093_239_189,
            trade_id: 3_700_000_000,
            event_ms: 1_723_161_255_208,
            sides: [BTreeMap::new(), BTreeMap::new()],
        };
        for side in 0..2 {
            for nth in 1..=SNAPSHOT_LEVELS {
                let qty = flow.qty();
                flow.sides[side].insert(price(side, nth), qty);
            }
        }
        flow
    }

    /// The book as it stands, as the `result` of a depth request.
    fn snapshot(&self) -> String {
        let mut text = format!(r#"{{"lastUpdateId":{}"#, self.last_id);
        let bids = self.sides[0].iter().rev();
        let asks = self.sides[1].iter();
        write_levels(&mut text, "bids", bids.map(|(&price, &qty)| (price, qty)));
        write_levels(&mut text, "asks", asks.map(|(&price, &qty)| (price, qty)));
        text.push('}');
        text
    }

    /// The next message of the combined stream.
    pub(crate) fn next_message(&mut self) -> String {
        self.event_ms += 1 + self.random.below(20);
        match self.random.below(100) {
            0..68 => self.ticker(),
            68..92 => self.trade(),
            _ => self.diff(),
        }
    }

    fn ticker(&mut self) -> String {
        // A ticker is ahead of the diff that will bring its update.
        self.named_id += 1 + self.random.below(3);
        let [bids, asks] = &self.sides;
        let bid = bids.last_key_value().expect("the mid level never goes");
        let ask = asks.first_key_value().expect("the mid level never goes");
        format!(
            r#"{{"stream":"{}@bookTicker","data":{{"u":{},"s":"{}","b":"{}","B":"{}","a":"{}","A":"{}"}}}}"#,
            self.symbol.to_lowercase(),
            self.named_id,
            self.symbol,
            cents(*bid.0),
            lots(*bid.1),
            cents(*ask.0),
            lots(*ask.1),
        )
    }

    fn trade(&mut self) -> String {
        self.trade_id += 1;
        let side = self.random.below(2) as usize;
        let [bids, asks] = &self.sides;
        let touch = [bids.last_key_value(), asks.first_key_value()][side];
        let at = *touch.expect("the mid level never goes").0;
        let qty = self.qty();
        format!(
            r#"{{"stream":"{}@trade","data":{{"e":"trade","E":{},"s":"{}","t":{},"p":"{}","q":"{}","T":{},"m":{},"M":true}}}}"#,
            self.symbol.to_lowercase(),
            self.event_ms,
            self.symbol,
            self.trade_id,
            cents(at),
            lots(qty),
            self.event_ms,
            side == 0,
        )
    }

    fn diff(&mut self) -> String {
        // Half of all diffs have few levels and a tenth has many, 36 on average.
        let count = match self.random.below(100) {
            0..50 => 2 + self.random.below(14),
            50..90 => 16 + self.random.below(40),
            _ => 70 + self.random.below(200),
        };
        let mut changed = [BTreeMap::new(), BTreeMap::new()];
        for _ in 0..count {
            let side = self.random.below(2) as usize;
            let distance = match self.random.below(100) {
                0..20 => 2 + self.random.below(3),
                20..60 => 2 + self.random.below(60),
                60..95 => 2 + self.random.below(NEAR_TICKS),
                _ => FAR_TICKS + self.random.below(NEAR_TICKS),
            };
            // Forty of a hundred updates remove; at distance 1 nothing is ever removed.
            let qty = match self.random.below(100) {
                0..40 => 0,
                _ => self.qty(),
            };
            changed[side].insert(price(side, distance), qty);
        }
        for (side, changes) in self.sides.iter_mut().zip(&changed) {
            for (&price, &qty) in changes {
                if qty == 0 {
                    side.remove(&price);
                } else {
                    side.insert(price, qty);
                }
            }
        }
        let first = self.last_id + 1;
        self.named_id += self.random.below(30);
        self.last_id = self.named_id.max(first);
        self.named_id = self.last_id;
        let mut text = format!(
            r#"{{"stream":"{}@depth@100ms","data":{{"e":"depthUpdate","E":{},"s":"{}","U":{first},"u":{}"#,
            self.symbol.to_lowercase(),
            self.event_ms,
            self.symbol,
            self.last_id,
        );
        let [bids, asks] = changed;
        write_levels(&mut text, "b", bids.into_iter().rev());
        write_levels(&mut text, "a", asks.into_iter());
        text.push_str("}}");
        text
    }

    /// A positive quantity in 1e-5, of a length that real ones have.
    fn qty(&mut self) -> u64 {
        let digits = 2 + self.random.below(5) as u32;
        1 + self.random.below(10u64.pow(digits))
    }
}

/// The price of a side at a distance from the mid price.
fn price(side: usize, distance: u64) -> i64 {
    if side == 0 {
        MID - distance as i64
    } else {
        MID + distance as i64
    }
}

fn write_levels(text: &mut String, key: &str, levels: impl Iterator<Item = (i64, u64)>) {
    write!(text, r#","{key}":["#).expect("memory");
    for (nth, (price, qty)) in levels.enumerate() {
        let comma = if nth == 0 { "" } else { "," };
        write!(text, r#"{comma}["{}","{}"]"#, cents(price), lots(qty)).expect("memory");
    }
    text.push(']');
}
