//! A recorded session as a market: the frames of a capture, resent unchanged.
//!
//! Owns: the order and pace of the frames, the books that they add up to, and the gate: the flow
//! is held until the expected streams are subscribed to and every symbol's depth was asked for. A
//! client may want to see a diff before it asks, so after [`GRACE_US`] the frames up to the place
//! where the recorder fetched a snapshot are let out, and there the flow waits for the request. Does not: know
//! clients; the hub says who subscribed and when a queue is too full to go on.
//! Invariant: no frame is changed, skipped or overtaken. Before the flow starts, depth requests
//! are answered with the captured snapshot; later with the book that the frames sent so far make
//! of it, so that a client that lost its book can get a new one.

mod lines;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

use bytes::Bytes;
use serde::Deserialize;
use veloz_core::units::E8;

use super::render::unwrap_combined;
use super::source::{
    Level, MarketEvent, Published, Snapshot, SymbolIndex, SymbolSpec, VenueMicros,
};
use lines::{Line, LineKind, Lines};

pub use lines::RecordedError;

/// How fast a recorded session is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded; 1 is the original pace.
    Times(f64),
    /// As fast as the clients read.
    Max,
}

/// Why text is no [`Speed`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a speed: expected `max` or a positive number such as 1 or 0.5")]
pub struct SpeedError(String);

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        text.trim_end_matches('x')
            .parse()
            .ok()
            .filter(|&times: &f64| times > 0.0 && times.is_finite())
            .map(Self::Times)
            .ok_or_else(|| SpeedError(text.to_owned()))
    }
}

/// Which captures to serve, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Files in the text format, `<receive time, ns> <raw JSON>`, gzip or plain; merged by time.
    pub files: Vec<PathBuf>,
    /// The pace.
    pub speed: Speed,
    /// Streams that must be subscribed to before the flow starts; `None` for all that the
    /// captures hold.
    pub wait_for: Option<Vec<String>>,
}

/// How long the first frame waits for depth requests once the streams are subscribed to,
/// microseconds of the venue's clock. An engine asks within a quarter of it.
const GRACE_US: u64 = 1_000_000;
/// How far the last answer is ahead of the first frame, microseconds: they travel on different
/// connections, and a client that reads the frames first has to splice.
const HEAD_START_US: u64 = 50_000;

/// A recorded session being served.
pub(crate) struct Recorded {
    lines: Lines,
    speed: Speed,
    symbols: Vec<SymbolSpec>,
    books: Vec<Book>,
    /// Expected streams that nobody has subscribed to yet.
    missing: BTreeSet<String>,
    /// Whose depth nobody has asked for yet.
    unasked: Vec<bool>,
    /// Whether a frame was handed over, or the gate opened by hand.
    started: bool,
    /// Until when the first frame waits; set when the streams are there.
    grace_ends: Option<VenueMicros>,
    /// Venue time and receive time that belong together; `None` while the flow is held.
    pace: Option<(VenueMicros, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Book {
    id: u64,
    /// Of the snapshot in the capture.
    captured_id: u64,
    /// Of the first diff in the capture.
    first_id: Option<u64>,
    bids: BTreeMap<E8, E8>,
    asks: BTreeMap<E8, E8>,
}

/// What a survey of the captures found about a symbol.
#[derive(Default)]
struct Found {
    snapshot: Option<Book>,
    first_id: Option<u64>,
}

impl Recorded {
    /// Reads the captures once to learn their symbols, streams and snapshots, and opens them
    /// again for serving.
    pub(crate) fn open(recording: &Recording) -> Result<Self, RecordedError> {
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        let mut streams = BTreeSet::new();
        // File by file: a snapshot names no symbol, but belongs to one of its file's.
        for path in &recording.files {
            survey(path, &mut found, &mut streams)?;
        }
        let mut symbols = Vec::new();
        let mut books = Vec::new();
        for (symbol, found) in found {
            let Some(mut book) = found.snapshot else {
                return Err(RecordedError::NoSnapshot { symbol });
            };
            book.first_id = found.first_id;
            symbols.push(spec(&symbol, &book));
            books.push(book);
        }
        if symbols.is_empty() {
            return Err(RecordedError::Empty);
        }
        Ok(Self {
            lines: Lines::open(&recording.files)?,
            speed: recording.speed,
            unasked: vec![true; symbols.len()],
            started: false,
            grace_ends: None,
            missing: match &recording.wait_for {
                Some(names) => names.iter().cloned().collect(),
                None => streams,
            },
            symbols,
            books,
            pace: None,
        })
    }

    pub(crate) fn symbols(&self) -> &[SymbolSpec] {
        &self.symbols
    }

    /// Somebody subscribed to a stream.
    pub(crate) fn subscribed(&mut self, stream: &str) {
        self.restart_pace();
        self.missing.remove(stream);
    }

    /// Somebody asked for a symbol's depth.
    pub(crate) fn asked(&mut self, symbol: SymbolIndex) {
        self.restart_pace();
        self.unasked[symbol.0] = false;
    }

    /// Opens the gate, whoever is there.
    pub(crate) fn release(&mut self) {
        self.restart_pace();
        self.started = true;
        self.missing.clear();
        self.unasked.fill(false);
    }

    /// What the flow waits for: names of streams, and `depth SYMBOL`.
    pub(crate) fn waits_for(&self) -> Vec<String> {
        let depths = self
            .symbols
            .iter()
            .zip(&self.unasked)
            .filter(|&(_, &unasked)| unasked)
            .map(|(spec, _)| format!("depth {}", spec.symbol));
        self.missing.iter().cloned().chain(depths).collect()
    }

    /// Every frame has been handed over.
    pub(crate) fn is_finished(&self) -> bool {
        self.lines.peek().is_none()
    }

    /// When [`poll`](Self::poll) has a frame; `None` while the flow is held and after its end.
    pub(crate) fn next_at(&self) -> Option<VenueMicros> {
        let line = self.lines.peek()?;
        if self.is_held(line) {
            return None;
        }
        if !self.started {
            // Due at once when the time has not begun: polling begins it.
            return Some(self.grace_ends.unwrap_or_default());
        }
        Some(self.due(line).unwrap_or_default())
    }

    /// The next frame, if it is due.
    pub(crate) fn poll(&mut self, now: VenueMicros) -> Option<Published> {
        if !self.started && self.missing.is_empty() {
            let wait = if self.unasked.contains(&true) {
                GRACE_US
            } else {
                HEAD_START_US
            };
            let ends = self.grace_ends.get_or_insert(VenueMicros(now.0 + GRACE_US));
            *ends = (*ends).min(VenueMicros(now.0 + wait));
            if now < *ends {
                return None;
            }
        }
        loop {
            let line = self.lines.peek()?;
            if self.is_held(line) || self.due(line).is_some_and(|due| due > now) {
                return None;
            }
            let received_ns = line.received_ns;
            let line = self.lines.next()?;
            let LineKind::Frame { stream, symbol } = line.kind else {
                continue;
            };
            self.started = true;
            self.pace.get_or_insert((now, received_ns));
            let symbol = self.position(&symbol)?;
            if is_diff(&stream) {
                self.books[symbol.0].apply(&line.json);
            }
            return Some(Published {
                at: now,
                symbol,
                event: MarketEvent::Recorded {
                    stream,
                    frame: line.json,
                },
            });
        }
    }

    /// The book after the frames served so far.
    pub(crate) fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot {
        self.books[symbol.0].snapshot(limit)
    }

    /// The first update id of the symbol's diffs.
    pub(crate) fn first_id(&self, symbol: SymbolIndex) -> Option<u64> {
        self.books[symbol.0].first_id
    }

    /// Time spent at the gate is not made up for.
    fn restart_pace(&mut self) {
        if !self.started {
            self.grace_ends = None;
        }
        if self.lines.peek().is_some_and(|line| self.is_held(line)) {
            self.pace = None;
        }
    }

    fn is_held(&self, line: &Line) -> bool {
        if !self.missing.is_empty() {
            return true;
        }
        match &line.kind {
            LineKind::Frame { .. } => false,
            LineKind::Snapshot { last_update_id } => self
                .books
                .iter()
                .zip(&self.unasked)
                .any(|(book, &unasked)| unasked && book.captured_id == *last_update_id),
        }
    }

    fn due(&self, line: &Line) -> Option<VenueMicros> {
        let (start, received_ns) = self.pace?;
        let Speed::Times(times) = self.speed else {
            return None;
        };
        let since_ns = line.received_ns.saturating_sub(received_ns);
        Some(VenueMicros(
            start.0 + (since_ns as f64 / times / 1_000.0) as u64,
        ))
    }

    fn position(&self, symbol: &str) -> Option<SymbolIndex> {
        self.symbols
            .iter()
            .position(|spec| spec.symbol == symbol)
            .map(SymbolIndex)
    }
}

/// Collects what a capture holds.
fn survey(
    path: &PathBuf,
    found: &mut BTreeMap<String, Found>,
    streams: &mut BTreeSet<String>,
) -> Result<(), RecordedError> {
    let mut lines = Lines::open(std::slice::from_ref(path))?;
    let mut snapshots = Vec::new();
    let mut first_ids: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(line) = lines.next() {
        match line.kind {
            LineKind::Frame { stream, symbol } => {
                if !streams.contains(&stream) {
                    streams.insert(stream.clone());
                }
                if first_ids.contains_key(&symbol) {
                    continue;
                }
                found.entry(symbol.clone()).or_default();
                if is_diff(&stream)
                    && let Some(diff) = Diff::parse(&line.json)
                {
                    first_ids.insert(symbol, diff.first_id);
                }
            }
            LineKind::Snapshot { .. } => {
                let book = Book::parse(&line.json).ok_or_else(|| RecordedError::Line {
                    path: path.clone(),
                    line: line.number,
                })?;
                snapshots.push(book);
            }
        }
    }
    lines.finish()?;
    for book in snapshots {
        // The symbol whose ids are nearest: ids of two symbols are far apart.
        let nearest = first_ids
            .iter()
            .min_by_key(|&(_, first_id)| first_id.abs_diff(book.id));
        if let Some((symbol, _)) = nearest
            && let Some(found) = found.get_mut(symbol)
        {
            found.snapshot.get_or_insert(book);
        }
    }
    for (symbol, first_id) in first_ids {
        if let Some(found) = found.get_mut(&symbol) {
            found.first_id.get_or_insert(first_id);
        }
    }
    Ok(())
}

fn is_diff(stream: &str) -> bool {
    stream.ends_with("@depth") || stream.ends_with("@depth@100ms")
}

/// Grids that captures cannot tell, and those inferred from the snapshot's own numbers.
fn spec(symbol: &str, book: &Book) -> SymbolSpec {
    const QUOTES: [&str; 8] = ["USDT", "USDC", "FDUSD", "TUSD", "BTC", "ETH", "BNB", "EUR"];
    let quote = QUOTES
        .into_iter()
        .find(|quote| symbol.len() > quote.len() && symbol.ends_with(quote))
        .unwrap_or("");
    let (tick, lot) = match symbol {
        "BTCUSDT" => (E8(1_000_000), E8(1_000)),
        "ETHUSDT" => (E8(1_000_000), E8(10_000)),
        _ => {
            let levels = || book.bids.iter().chain(&book.asks);
            let common = |values: &mut dyn Iterator<Item = i64>| {
                let divisor = values.fold(0, greatest_common_divisor);
                E8(if divisor == 0 { 1 } else { divisor })
            };
            (
                common(&mut levels().map(|(price, _)| price.0)),
                common(&mut levels().map(|(_, qty)| qty.0)),
            )
        }
    };
    SymbolSpec {
        symbol: symbol.to_owned(),
        base: symbol[..symbol.len() - quote.len()].to_owned(),
        quote: quote.to_owned(),
        tick,
        lot,
    }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

type RawLevels<'a> = Vec<[&'a str; 2]>;

#[derive(Deserialize)]
struct RawSnapshot<'a> {
    #[serde(rename = "lastUpdateId")]
    last_update_id: u64,
    #[serde(borrow)]
    bids: RawLevels<'a>,
    #[serde(borrow)]
    asks: RawLevels<'a>,
}

#[derive(Deserialize)]
struct Diff<'a> {
    #[serde(rename = "U")]
    first_id: u64,
    #[serde(rename = "u")]
    last_id: u64,
    #[serde(borrow, rename = "b")]
    bids: RawLevels<'a>,
    #[serde(borrow, rename = "a")]
    asks: RawLevels<'a>,
}

impl<'a> Diff<'a> {
    fn parse(frame: &'a [u8]) -> Option<Self> {
        let (_, payload) = unwrap_combined(frame)?;
        serde_json::from_slice(payload).ok()
    }
}

impl Book {
    fn parse(json: &[u8]) -> Option<Self> {
        let raw: RawSnapshot<'_> = serde_json::from_slice(json).ok()?;
        let mut book = Self {
            id: raw.last_update_id,
            captured_id: raw.last_update_id,
            ..Self::default()
        };
        set(&mut book.bids, &raw.bids)?;
        set(&mut book.asks, &raw.asks)?;
        Some(book)
    }

    /// Applies a diff unless the book includes it; a frame that is no diff changes nothing.
    fn apply(&mut self, frame: &Bytes) {
        if let Some(diff) = Diff::parse(frame)
            && diff.last_id > self.id
            && set(&mut self.bids, &diff.bids).is_some()
            && set(&mut self.asks, &diff.asks).is_some()
        {
            self.id = diff.last_id;
        }
    }

    fn snapshot(&self, limit: usize) -> Snapshot {
        let level = |(&price, &qty): (&E8, &E8)| Level { price, qty };
        Snapshot {
            last_update_id: self.id,
            bids: self.bids.iter().rev().take(limit).map(level).collect(),
            asks: self.asks.iter().take(limit).map(level).collect(),
        }
    }
}

fn set(side: &mut BTreeMap<E8, E8>, levels: &RawLevels<'_>) -> Option<()> {
    for [price, qty] in levels {
        let price = E8::parse(price.as_bytes()).ok()?;
        let qty = E8::parse(qty.as_bytes()).ok()?;
        if qty == E8(0) {
            side.remove(&price);
        } else {
            side.insert(price, qty);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_max_or_a_positive_factor() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("2x".parse(), Ok(Speed::Times(2.0)));
        assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
        for bad in ["0", "-1", "inf", "NaN", "fast", ""] {
            assert_eq!(bad.parse::<Speed>(), Err(SpeedError(bad.to_owned())));
        }
    }

    #[test]
    fn unknown_symbols_get_the_grids_of_their_numbers() {
        let json =
            br#"{"lastUpdateId":1,"bids":[["1.50","3.0"],["1.25","6.0"]],"asks":[["2.0","9"]]}"#;
        let spec = spec("XYZUSDC", &Book::parse(json).expect("a snapshot"));
        assert_eq!((spec.base.as_str(), spec.quote.as_str()), ("XYZ", "USDC"));
        assert_eq!(spec.tick.to_string(), "0.25000000");
        assert_eq!(spec.lot.to_string(), "3.00000000");
    }
}
