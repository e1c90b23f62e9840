//! Reads recorded market data for measuring.
//!
//! Owns: the way from lines `<receive time, ns> <JSON as received>` (gzip, a snapshot is a bare
//! object) to [`Observed`] messages of one symbol. Does not: replay, or tolerate: what it cannot
//! read fails the calibration with file and line.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use veloz_core::units::{E8, Grid};

use super::fit::{Recording, fit};
use super::measure::{Message, Observed, ObservedLevel};
use super::profile::SymbolProfile;

/// Why a recording cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not what a recording holds.
    #[error("{path}:{line}: {cause}", path = .path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Line number, from one.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// Some kind of message never occurs.
    #[error("the recording of {symbol} lacks tickers, trades, diffs or a snapshot")]
    Incomplete {
        /// Which symbol.
        symbol: &'static str,
    },
}

/// A recording that a shipped profile is made from.
#[derive(Clone, Copy, Debug)]
pub struct RecordedSymbol {
    /// What is fixed about the symbol.
    pub about: Recording<'static>,
    /// Its files, in order, relative to the folder of recordings.
    pub files: &'static [&'static str],
}

/// The recordings of the shipped profiles.
pub const RECORDINGS: [RecordedSymbol; 2] = [
    RecordedSymbol {
        about: Recording {
            symbol: "BTCUSDT",
            base: "BTC",
            quote: "USDT",
            tick_e8: 1_000_000,
            lot_e8: 1_000,
        },
        files: &["btcusdt_20240808.gz", "btcusdt_20240809.gz"],
    },
    RecordedSymbol {
        about: Recording {
            symbol: "ETHUSDT",
            base: "ETH",
            quote: "USDT",
            tick_e8: 1_000_000,
            lot_e8: 10_000,
        },
        files: &["ethusdt_20240808.gz"],
    },
];

impl RecordedSymbol {
    /// Reads the recording in `folder` and fits its profile.
    ///
    /// # Errors
    /// As [`RecordedError`] says.
    pub fn profile(&self, folder: &Path) -> Result<SymbolProfile, RecordedError> {
        let paths: Vec<PathBuf> = self.files.iter().map(|file| folder.join(file)).collect();
        let grid = |unit_e8| Grid::new(E8(unit_e8)).expect("a constant above is positive");
        let grids = Grids {
            tick: grid(self.about.tick_e8),
            lot: grid(self.about.lot_e8),
        };
        fit(self.about, &read(&paths, grids)?).ok_or(RecordedError::Incomplete {
            symbol: self.about.symbol,
        })
    }
}

/// Price and quantity grid of a recording.
#[derive(Clone, Copy, Debug)]
pub struct Grids {
    /// Price grid.
    pub tick: Grid,
    /// Quantity grid.
    pub lot: Grid,
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    stream: &'a str,
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
}

#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(rename = "lastUpdateId")]
    last_id: u64,
    #[serde(borrow)]
    bids: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    asks: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
struct Diff<'a> {
    #[serde(rename = "U")]
    first_id: u64,
    #[serde(rename = "u")]
    last_id: u64,
    #[serde(borrow, rename = "b")]
    bids: Vec<(&'a str, &'a str)>,
    #[serde(borrow, rename = "a")]
    asks: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    #[serde(rename = "u")]
    update_id: u64,
    #[serde(rename = "b")]
    bid: &'a str,
    #[serde(rename = "B")]
    bid_qty: &'a str,
    #[serde(rename = "a")]
    ask: &'a str,
    #[serde(rename = "A")]
    ask_qty: &'a str,
}

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(rename = "t")]
    id: u64,
    #[serde(rename = "p")]
    price: &'a str,
    #[serde(rename = "q")]
    qty: &'a str,
}

/// Reads the files of one recording, in order.
///
/// # Errors
/// As [`RecordedError`] says.
pub fn read(paths: &[PathBuf], grids: Grids) -> Result<Vec<Observed>, RecordedError> {
    let mut observed = Vec::new();
    for path in paths {
        read_file(path, grids, &mut observed)?;
    }
    Ok(observed)
}

fn read_file(path: &Path, grids: Grids, out: &mut Vec<Observed>) -> Result<(), RecordedError> {
    let io = |source| RecordedError::Io {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(io)?;
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
    for (index, line) in lines.enumerate() {
        let line = line.map_err(io)?;
        let observed = read_line(&line, grids).map_err(|cause| RecordedError::Line {
            path: path.to_owned(),
            line: index + 1,
            cause,
        })?;
        out.push(observed);
    }
    Ok(())
}

fn read_line(line: &str, grids: Grids) -> Result<Observed, String> {
    let json = |error: serde_json::Error| error.to_string();
    let (time, body) = line.split_once(' ').ok_or("no space after the time")?;
    let at_ns = time.parse().map_err(|_| format!("not a time: {time}"))?;
    let Ok(wrapped) = serde_json::from_str::<Wrapped<'_>>(body) else {
        let snapshot: Snapshot<'_> = serde_json::from_str(body).map_err(json)?;
        let message = Message::Snapshot {
            last_id: snapshot.last_id,
            bids: levels(&snapshot.bids, grids)?,
            asks: levels(&snapshot.asks, grids)?,
        };
        return Ok(Observed { at_ns, message });
    };
    let data = wrapped.data.get();
    let (_, kind) = wrapped.stream.split_once('@').ok_or("no @ in the stream")?;
    let message = match kind {
        "depth@100ms" => {
            let diff: Diff<'_> = serde_json::from_str(data).map_err(json)?;
            Message::Depth {
                first_id: diff.first_id,
                last_id: diff.last_id,
                bids: levels(&diff.bids, grids)?,
                asks: levels(&diff.asks, grids)?,
            }
        }
        "bookTicker" => {
            let ticker: Ticker<'_> = serde_json::from_str(data).map_err(json)?;
            Message::Ticker {
                update_id: ticker.update_id,
                bid: level(ticker.bid, ticker.bid_qty, grids)?,
                ask: level(ticker.ask, ticker.ask_qty, grids)?,
            }
        }
        "trade" => {
            let trade: Trade<'_> = serde_json::from_str(data).map_err(json)?;
            let (price, qty) = level(trade.price, trade.qty, grids)?;
            Message::Trade {
                id: trade.id,
                price,
                qty,
            }
        }
        other => return Err(format!("unexpected stream {other}")),
    };
    Ok(Observed { at_ns, message })
}

fn levels(texts: &[(&str, &str)], grids: Grids) -> Result<Vec<ObservedLevel>, String> {
    texts
        .iter()
        .map(|(price, qty)| level(price, qty, grids))
        .collect()
}

fn level(price: &str, qty: &str, grids: Grids) -> Result<ObservedLevel, String> {
    let value = |text: &str| E8::parse(text.as_bytes()).map_err(|error| format!("{text}: {error}"));
    let ticks = grids
        .tick
        .divide_exact(value(price)?)
        .ok_or_else(|| format!("{price} is not on the grid of {}", grids.tick.unit()))?;
    // Old orders far from the touch still stand in a finer lot size than the one in force: their
    // levels count in whole lots, and never as removed.
    let qty = value(qty)?;
    let lots = qty.0 / grids.lot.unit().0;
    Ok((ticks, if qty.0 > 0 { lots.max(1) } else { 0 }))
}
