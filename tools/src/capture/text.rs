//! The text form of market data: a line is `<receive time, Unix ns> <JSON as received>`.
//!
//! Owns: reading it (plain or gzipped), merging several files by time, and [`survey`], which learns
//! symbols and grids from the numbers themselves. Does not: hand anything to an engine (`import.rs`).
//! A line with `stream` is a combined-stream message; a bare object is a depth snapshot of the file's
//! symbol, as the venue's REST interface answers. Invariant: memory is bounded by one line a file.

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use veloz_core::limits::{INSTRUMENTS_MAX, MESSAGE_BYTES_MAX};
use veloz_core::units::{E8, Grid};

/// Bytes of a line: the largest message, its time and a separator.
const LINE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 32;
/// First bytes of a gzip member (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What is wrong with a text file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {what}", path.display())]
pub struct TextError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 when it is the file itself.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

/// One line of a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLine<'a> {
    /// When it was received, in nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// The JSON as received.
    pub body: &'a [u8],
}

/// One text file, read line by line.
pub struct TextFile {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    consumed: Arc<AtomicU64>,
    line: u64,
    buffer: Vec<u8>,
    /// The line in `buffer`: its time and where its body starts.
    current: Option<(u64, usize)>,
}

impl TextFile {
    /// Opens a file, gzipped or plain, and reads its first line.
    ///
    /// # Errors
    /// [`TextError`] when it cannot be read or its first line is malformed.
    pub fn open(path: &Path) -> Result<Self, TextError> {
        let failed = |error: io::Error| TextError {
            path: path.to_owned(),
            line: 0,
            what: error.to_string(),
        };
        let consumed = Arc::new(AtomicU64::new(0));
        let mut raw = BufReader::new(Counted {
            inner: File::open(path).map_err(failed)?,
            consumed: Arc::clone(&consumed),
        });
        let gzipped = raw.fill_buf().map_err(failed)?.starts_with(&GZIP_MAGIC);
        let input: Box<dyn BufRead + Send> = if gzipped {
            Box::new(BufReader::new(MultiGzDecoder::new(raw)))
        } else {
            Box::new(raw)
        };
        let mut file = Self {
            path: path.to_owned(),
            input,
            consumed,
            line: 0,
            buffer: Vec::new(),
            current: None,
        };
        file.advance()?;
        Ok(file)
    }

    /// The line that is read; `None` after the last.
    pub fn current(&self) -> Option<TextLine<'_>> {
        self.current.map(|(unix_ns, start)| TextLine {
            unix_ns,
            body: &self.buffer[start..],
        })
    }

    /// Reads the next line.
    ///
    /// # Errors
    /// [`TextError`] when it cannot be read or is malformed.
    pub fn advance(&mut self) -> Result<(), TextError> {
        self.current = None;
        self.buffer.clear();
        self.line += 1;
        let read = (&mut self.input)
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut self.buffer);
        match read {
            Err(error) => return Err(self.fault(error.to_string())),
            Ok(0) => return Ok(()),
            Ok(count) if count > LINE_BYTES_MAX => {
                return Err(self.fault(format!("the line is longer than {LINE_BYTES_MAX} bytes")));
            }
            Ok(_) => {}
        }
        while matches!(self.buffer.last(), Some(b'\n' | b'\r')) {
            self.buffer.pop();
        }
        let split = self.buffer.iter().position(|byte| *byte == b' ');
        let time = split
            .and_then(|at| std::str::from_utf8(&self.buffer[..at]).ok())
            .and_then(|digits| digits.parse().ok());
        match (time, split) {
            (Some(unix_ns), Some(at)) if at + 1 < self.buffer.len() => {
                self.current = Some((unix_ns, at + 1));
                Ok(())
            }
            _ => Err(self.fault(
                "expected `<receive time in Unix ns> <JSON>`, such as `1723161253937085768 {...}`"
                    .to_owned(),
            )),
        }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A fault at the line that is read.
    pub fn fault(&self, what: String) -> TextError {
        TextError {
            path: self.path.clone(),
            line: self.line,
            what,
        }
    }

    /// Bytes of the file that were consumed, compressed where it is.
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    consumed: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.consumed.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Several text files as one, ordered by receive time; equal times in the order of the files.
pub struct TextFiles {
    files: Vec<TextFile>,
    current: Option<usize>,
}

impl TextFiles {
    /// Opens all files.
    ///
    /// # Errors
    /// As [`TextFile::open`].
    pub fn open(paths: &[PathBuf]) -> Result<Self, TextError> {
        let files = paths
            .iter()
            .map(|path| TextFile::open(path))
            .collect::<Result<Vec<_>, _>>()?;
        let mut merged = Self {
            files,
            current: None,
        };
        merged.choose();
        Ok(merged)
    }

    /// Position of the file that has the current line, and the line; `None` after the last.
    pub fn current(&self) -> Option<(usize, TextLine<'_>)> {
        let file = self.current?;
        self.files[file].current().map(|line| (file, line))
    }

    /// The file at a position.
    pub fn file(&self, position: usize) -> &TextFile {
        &self.files[position]
    }

    /// Reads on.
    ///
    /// # Errors
    /// As [`TextFile::advance`].
    pub fn advance(&mut self) -> Result<(), TextError> {
        if let Some(file) = self.current {
            self.files[file].advance()?;
            self.choose();
        }
        Ok(())
    }

    /// Bytes of all files that were consumed.
    pub fn consumed(&self) -> u64 {
        self.files.iter().map(TextFile::consumed).sum()
    }

    fn choose(&mut self) {
        self.current = self
            .files
            .iter()
            .enumerate()
            .filter_map(|(position, file)| Some((file.current()?.unix_ns, position)))
            .min()
            .map(|(_, position)| position);
    }
}

/// What a line holds, as far as the exchange with captures needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A combined-stream message of this symbol, upper case.
    Stream(Cow<'a, str>),
    /// A depth snapshot.
    Snapshot,
}

/// Tells a stream message from a snapshot; `None` when it is neither.
pub fn content(body: &[u8]) -> Option<Content<'_>> {
    #[derive(Deserialize)]
    struct Outline<'a> {
        #[serde(borrow)]
        stream: Option<Cow<'a, str>>,
        #[serde(rename = "lastUpdateId")]
        last_update_id: Option<u64>,
    }
    let outline: Outline<'_> = serde_json::from_slice(body).ok()?;
    match (outline.stream, outline.last_update_id) {
        (Some(stream), _) => {
            let symbol = stream.split('@').next().unwrap_or_default().to_uppercase();
            (!symbol.is_empty()).then_some(Content::Stream(Cow::Owned(symbol)))
        }
        (None, Some(_)) => Some(Content::Snapshot),
        (None, None) => None,
    }
}

/// What the files hold: learnt by reading them once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Tick and lot of each symbol that hold every number of the files.
    pub grids: BTreeMap<String, (Grid, Grid)>,
    /// The symbol of each file that holds one only; its snapshots are that symbol's.
    pub symbol_of_file: Vec<Option<String>>,
}

/// Reads all files and learns their symbols and the coarsest grid of each that holds all its numbers.
///
/// `known` grids are taken as they are. Numbers that cannot be read are left to the engine to judge.
///
/// # Errors
/// [`TextError`] when a file cannot be read, names too many symbols, or a symbol has no numbers.
pub fn survey(
    paths: &[PathBuf],
    known: &BTreeMap<String, (Grid, Grid)>,
) -> Result<Survey, TextError> {
    let mut units: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut symbol_of_file = Vec::new();
    for path in paths {
        let mut file = TextFile::open(path)?;
        let mut symbols: Vec<String> = Vec::new();
        let mut snapshot_units = (0, 0);
        while let Some(line) = file.current() {
            match content(line.body) {
                None => {
                    return Err(
                        file.fault("neither a stream message nor a depth snapshot".to_owned())
                    );
                }
                Some(Content::Snapshot) => {
                    if let Ok(levels) = serde_json::from_slice::<Snapshot<'_>>(line.body) {
                        levels.fold_into(&mut snapshot_units);
                    }
                }
                Some(Content::Stream(symbol)) => {
                    if !symbols.iter().any(|seen| **seen == *symbol) {
                        symbols.push(symbol.clone().into_owned());
                    }
                    if units.len() > INSTRUMENTS_MAX {
                        return Err(file.fault(format!("more than {INSTRUMENTS_MAX} symbols")));
                    }
                    if !known.contains_key(&*symbol) {
                        let unit = units.entry(symbol.into_owned()).or_default();
                        if let Ok(message) = serde_json::from_slice::<Message<'_>>(line.body) {
                            message.fold_into(unit);
                        }
                    }
                }
            }
            file.advance()?;
        }
        let only = (symbols.len() == 1).then(|| symbols.remove(0));
        if let Some(unit) = only.as_ref().and_then(|symbol| units.get_mut(symbol)) {
            unit.0 = gcd(unit.0, snapshot_units.0);
            unit.1 = gcd(unit.1, snapshot_units.1);
        }
        symbol_of_file.push(only);
    }
    let mut grids = known.clone();
    for (symbol, (tick, lot)) in units {
        let grid = |unit: i64, what: &str| {
            Grid::new(E8(unit)).ok_or_else(|| TextError {
                path: paths[0].clone(),
                line: 0,
                what: format!("{symbol} has no {what} to learn its grid from; give it with --grid {symbol}=TICK/LOT"),
            })
        };
        let pair = (grid(tick, "price")?, grid(lot, "quantity")?);
        grids.insert(symbol, pair);
    }
    Ok(Survey {
        grids,
        symbol_of_file,
    })
}

/// Reads `BTCUSDT=0.01/0.00001`.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_grid(text: &str) -> Result<(String, (Grid, Grid)), String> {
    let parsed = text.split_once('=').and_then(|(symbol, sizes)| {
        let (tick, lot) = sizes.split_once('/')?;
        let grid = |size: &str| Grid::new(E8::parse(size.trim().as_bytes()).ok()?);
        Some((symbol.trim().to_uppercase(), (grid(tick)?, grid(lot)?)))
    });
    parsed.ok_or_else(|| {
        format!("--grid {text:?}: expected SYMBOL=TICK/LOT, such as BTCUSDT=0.01/0.00001")
    })
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(borrow)]
    bids: Vec<(&'a str, &'a str)>,
    asks: Vec<(&'a str, &'a str)>,
}

/// The numbers of every stream's payload; keys that a payload lacks are absent.
#[derive(Deserialize)]
struct Numbers<'a> {
    #[serde(borrow, default)]
    b: Option<Side<'a>>,
    #[serde(default)]
    a: Option<Side<'a>>,
    #[serde(rename = "B", default)]
    bid_qty: Option<&'a str>,
    #[serde(rename = "A", default)]
    ask_qty: Option<&'a str>,
    #[serde(rename = "p", default)]
    price: Option<&'a str>,
    #[serde(rename = "q", default)]
    qty: Option<&'a str>,
    #[serde(default)]
    bids: Vec<(&'a str, &'a str)>,
    #[serde(default)]
    asks: Vec<(&'a str, &'a str)>,
}

/// `b` and `a` are levels in a diff, a price in a book ticker, an id in an aggregate trade.
#[derive(Deserialize)]
#[serde(untagged)]
enum Side<'a> {
    #[serde(borrow)]
    Levels(Vec<(&'a str, &'a str)>),
    Price(&'a str),
    Id(#[expect(dead_code, reason = "an id has no grid")] u64),
}

impl Snapshot<'_> {
    fn fold_into(&self, unit: &mut (i64, i64)) {
        for (price, qty) in self.bids.iter().chain(&self.asks) {
            fold(&mut unit.0, price);
            fold(&mut unit.1, qty);
        }
    }
}

impl Message<'_> {
    fn fold_into(&self, unit: &mut (i64, i64)) {
        let Ok(numbers) = serde_json::from_str::<Numbers<'_>>(self.data.get()) else {
            return;
        };
        for side in [&numbers.b, &numbers.a].into_iter().flatten() {
            match side {
                Side::Price(price) => fold(&mut unit.0, price),
                Side::Levels(levels) => {
                    for (price, qty) in levels {
                        fold(&mut unit.0, price);
                        fold(&mut unit.1, qty);
                    }
                }
                Side::Id(_) => {}
            }
        }
        for (price, qty) in numbers.bids.iter().chain(&numbers.asks) {
            fold(&mut unit.0, price);
            fold(&mut unit.1, qty);
        }
        if let Some(price) = numbers.price {
            fold(&mut unit.0, price);
        }
        for qty in [numbers.bid_qty, numbers.ask_qty, numbers.qty]
            .iter()
            .flatten()
        {
            fold(&mut unit.1, qty);
        }
    }
}

fn fold(unit: &mut i64, text: &str) {
    if let Ok(value) = E8::parse(text.as_bytes()) {
        *unit = gcd(*unit, value.0);
    }
}

/// Greatest common divisor; `gcd(0, x)` is `x`.
fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn put(directory: &Path, name: &str, text: &str) -> PathBuf {
        let path = directory.join(name);
        let file = File::create(&path).expect("created");
        if path.extension().is_some_and(|suffix| suffix == "gz") {
            let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            out.write_all(text.as_bytes()).expect("written");
            out.finish().expect("written");
        } else {
            (&file).write_all(text.as_bytes()).expect("written");
        }
        path
    }

    const DIFF: &str = r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["100.50","0.30"]],"a":[]}}"#;
    const TICKER: &str = r#"{"stream":"ethusdt@bookTicker","data":{"u":9,"s":"ETHUSDT","b":"10.00","B":"1.000","a":"10.25","A":"0.250"}}"#;
    const AGG: &str =
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","a":7,"p":"100.25","q":"0.20"}}"#;
    const SNAPSHOT: &str = r#"{"lastUpdateId":1,"bids":[["100.75","0.10"]],"asks":[]}"#;

    #[test]
    fn files_merge_by_time_whatever_their_compression() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let paths = [
            put(directory.path(), "a.gz", &format!("10 {DIFF}\n30 {AGG}\n")),
            put(
                directory.path(),
                "b",
                &format!("10 {TICKER}\r\n20 {TICKER}"),
            ),
        ];
        let mut files = TextFiles::open(&paths).expect("opens");
        let mut order = Vec::new();
        while let Some((file, line)) = files.current() {
            assert_eq!(line.body.first(), Some(&b'{'));
            assert_eq!(line.body.last(), Some(&b'}'));
            order.push((line.unix_ns, file));
            files.advance().expect("reads");
        }
        assert_eq!(order, [(10, 0), (10, 1), (20, 1), (30, 0)]);
        assert!(files.consumed() > 0);
    }

    #[test]
    fn a_survey_finds_the_coarsest_grid_that_holds_every_number() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let paths = [
            put(
                directory.path(),
                "a",
                &format!("1 {DIFF}\n2 {SNAPSHOT}\n3 {AGG}\n"),
            ),
            put(directory.path(), "b", &format!("1 {TICKER}\n")),
        ];
        let grid = |unit: i64| Grid::new(E8(unit)).expect("positive");
        let found = survey(&paths, &BTreeMap::new()).expect("surveyed");
        assert_eq!(
            found.grids["BTCUSDT"],
            (grid(25_000_000), grid(10_000_000)),
            "0.25 and 0.1"
        );
        assert_eq!(found.grids["ETHUSDT"], (grid(25_000_000), grid(25_000_000)));
        assert_eq!(
            found.symbol_of_file,
            [Some("BTCUSDT".to_owned()), Some("ETHUSDT".to_owned())]
        );

        let (symbol, sizes) = parse_grid("btcusdt=0.01/0.00001").expect("valid");
        let known = BTreeMap::from([(symbol, sizes)]);
        let found = survey(&paths, &known).expect("surveyed");
        assert_eq!(found.grids["BTCUSDT"], (grid(1_000_000), grid(1_000)));
        for wrong in ["BTCUSDT", "BTCUSDT=1", "BTCUSDT=0/1", "BTCUSDT=1e-2/1"] {
            assert!(parse_grid(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_malformed_is_named_by_file_and_line() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let long = "x".repeat(LINE_BYTES_MAX);
        let cases = [
            (
                format!("1 {DIFF}\nnonsense\n"),
                ":2: expected `<receive time",
            ),
            ("1 \n".to_owned(), ":1: expected `<receive time"),
            (
                format!("1 {DIFF}\n2 {{\"result\":null}}\n"),
                ":2: neither a stream",
            ),
            (format!("1 {long}\n"), ":1: the line is longer"),
            (
                "1 {\"stream\":\"a@trade\",\"data\":{}}\n".to_owned(),
                ":0: A has no price",
            ),
        ];
        for (text, expected) in cases {
            let path = put(directory.path(), "x", &text);
            let error = survey(&[path], &BTreeMap::new()).expect_err("refused");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
