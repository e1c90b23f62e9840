//! The book against the venue's own word: recorded sessions whose best-price stream must agree with
//! the book that their snapshot and diffs build, in price and quantity, on both sides.
//!
//! Reads the captures with a plain JSON parser and follows the venue's rules in a loop of its own,
//! so that only the book is under test. Needs `VELOZ_DATA_DIR`; says so and passes without it.

use flate2::read::GzDecoder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use veloz_core::book::{Book, Side};
use veloz_core::limits::{BOOK_FAR_LEVELS_MAX, BOOK_WINDOW_TICKS};
use veloz_core::units::{E8, Grid, Level, Lots, Ticks};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    data: Option<Data<'a>>,
    #[serde(rename = "lastUpdateId")]
    last_update_id: Option<u64>,
    #[serde(borrow, default)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow, default)]
    asks: Vec<[&'a str; 2]>,
}

/// A diff or a best-price message; what else the streams carry leaves most fields empty.
#[derive(Deserialize)]
struct Data<'a> {
    e: Option<&'a str>,
    #[serde(rename = "U")]
    first: Option<u64>,
    u: Option<u64>,
    pu: Option<u64>,
    #[serde(borrow)]
    b: Option<PriceOrLevels<'a>>,
    #[serde(borrow)]
    a: Option<PriceOrLevels<'a>>,
    #[serde(rename = "B")]
    bid_qty: Option<&'a str>,
    #[serde(rename = "A")]
    ask_qty: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PriceOrLevels<'a> {
    Price(&'a str),
    #[serde(borrow)]
    Levels(Vec<[&'a str; 2]>),
}

/// One product's grids and continuity rules.
struct Session {
    files: &'static [&'static str],
    tick: E8,
    /// Spot needs 1e-8 here: old resting orders (25.42618900 BTC at 200,000) are off the venue's
    /// present lot size.
    lot: E8,
    futures: bool,
    comparisons: usize,
}

struct Diff {
    first: u64,
    last: u64,
    previous: Option<u64>,
    levels: Vec<(Side, Level)>,
}

impl Session {
    fn check(&self) {
        let Some(dir) = std::env::var_os("VELOZ_DATA_DIR").map(PathBuf::from) else {
            eprintln!("skipped: VELOZ_DATA_DIR does not say where the captures are");
            return;
        };
        let mut tickers = BTreeMap::new();
        let mut diffs = Vec::new();
        let mut snapshot = None;
        for file in self.files {
            let path = dir.join(file);
            let file = File::open(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            for line in BufReader::new(GzDecoder::new(file)).lines() {
                let line = line.expect("a capture is text");
                let (_, json) = line.split_once(' ').expect("time, space, message");
                let line: Line<'_> = serde_json::from_str(json).expect("a recorded message");
                if let Some(id) = line.last_update_id {
                    let mut levels = self.levels(Side::Bid, &line.bids);
                    levels.extend(self.levels(Side::Ask, &line.asks));
                    snapshot = Some((id, levels));
                }
                let Some(data) = line.data else { continue };
                match (data.e, data.u, data.b, data.a) {
                    (
                        Some("depthUpdate"),
                        Some(last),
                        Some(PriceOrLevels::Levels(bids)),
                        Some(PriceOrLevels::Levels(asks)),
                    ) => {
                        let mut levels = self.levels(Side::Bid, &bids);
                        levels.extend(self.levels(Side::Ask, &asks));
                        diffs.push(Diff {
                            first: data.first.expect("U"),
                            last,
                            previous: data.pu,
                            levels,
                        });
                    }
                    (
                        None | Some("bookTicker"),
                        Some(id),
                        Some(PriceOrLevels::Price(bid)),
                        Some(PriceOrLevels::Price(ask)),
                    ) => {
                        let bid = self.level([bid, data.bid_qty.expect("B")]);
                        let ask = self.level([ask, data.ask_qty.expect("A")]);
                        tickers.insert(id, [bid, ask]);
                    }
                    _ => {}
                }
            }
        }

        let (snapshot_id, levels) = snapshot.expect("a snapshot");
        let mut book = Book::new(BOOK_WINDOW_TICKS, BOOK_FAR_LEVELS_MAX);
        apply(&mut book, &levels);
        let mut id = snapshot_id;
        let mut bridged = false;
        let mut compared = 0;
        for (nth, diff) in diffs.iter().enumerate() {
            if self.is_older(diff, snapshot_id) {
                continue;
            }
            let continuous = match (self.futures, bridged) {
                (false, _) => diff.first <= id + 1 && id < diff.last,
                (true, false) => diff.first <= id && id <= diff.last,
                (true, true) => diff.previous == Some(id),
            };
            assert!(continuous, "a gap in a capture without gaps, after {id}");
            bridged = true;
            id = diff.last;
            apply(&mut book, &diff.levels);
            assert!(!book.is_crossed(), "crossed after update {id}");
            if let Some(ticker) = tickers.get(&id) {
                let best = Side::ALL.map(|side| book.best(side).expect("a side with levels"));
                assert_eq!(best, *ticker, "best prices at update {id}");
                compared += 1;
            }
            if nth % 512 == 0 {
                book.assert_invariants();
            }
        }
        assert_eq!(
            compared, self.comparisons,
            "comparisons in {:?}",
            self.files
        );
    }

    fn is_older(&self, diff: &Diff, snapshot_id: u64) -> bool {
        if self.futures {
            diff.last < snapshot_id
        } else {
            diff.last <= snapshot_id
        }
    }

    fn levels(&self, side: Side, texts: &[[&str; 2]]) -> Vec<(Side, Level)> {
        let level = |text: &[&str; 2]| (side, self.level(*text));
        texts.iter().map(level).collect()
    }

    fn level(&self, [price, qty]: [&str; 2]) -> Level {
        let units = |unit, text: &str| {
            let grid = Grid::new(unit).expect("positive");
            grid.parse(text.as_bytes()).expect("a number on its grid")
        };
        Level {
            price: Ticks(units(self.tick, price)),
            qty: Lots(units(self.lot, qty)),
        }
    }
}

fn apply(book: &mut Book, levels: &[(Side, Level)]) {
    for (side, level) in levels {
        book.set(*side, level.price, level.qty).expect("room");
    }
}

#[test]
fn spot_btcusdt_equals_its_tickers() {
    Session {
        files: &["spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"],
        tick: E8(1_000_000),
        lot: E8(1),
        futures: false,
        comparisons: 1_072,
    }
    .check();
}

#[test]
fn spot_ethusdt_equals_its_tickers() {
    Session {
        files: &["spot/ethusdt_20240808.gz"],
        tick: E8(1_000_000),
        lot: E8(1),
        futures: false,
        comparisons: 577,
    }
    .check();
}

#[test]
fn futures_btcusdt_equals_its_tickers() {
    Session {
        files: &["usdm/btcusdt_20240808.gz"],
        tick: E8(10_000_000),
        lot: E8(100_000),
        futures: true,
        comparisons: 629,
    }
    .check();
}
