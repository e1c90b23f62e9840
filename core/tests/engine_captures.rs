//! The whole engine against the recorded sessions: every message through `Engine::handle`, as it
//! came, and the book must have the venue's own best price whenever one carries the book's update id.
//!
//! Needs `VELOZ_DATA_DIR`; says so and passes without it.

use flate2::read::GzDecoder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use veloz_core::book::Side;
use veloz_core::config::EngineConfig;
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::event::{Event, LinkDown, LinkId, PayloadBuf};
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::jitter::Jitter;
use veloz_core::outbox::{Action, Outbox};
use veloz_core::telemetry::counters::{Counter, MessageKind};
use veloz_core::telemetry::records::EngineState;
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{E8, Grid, Level, Lots, Nanos, Ticks};
use veloz_core::venue::binance::fault::VenueFault;
use veloz_core::venue::binance::resync::SyncState;

/// The recorder's files start at the same wall time; the engine's clock starts a second before.
const RECORDED_ZERO_NS: u64 = 1_723_161_252_000_000_000;

const BOOK: InstrumentIndex = InstrumentIndex(0);

#[derive(Deserialize)]
struct Envelope<'a> {
    stream: Option<&'a str>,
    #[serde(borrow)]
    data: Option<Ticker<'a>>,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    u: Option<u64>,
    #[serde(rename = "B")]
    bid_qty: Option<&'a str>,
    #[serde(rename = "A")]
    ask_qty: Option<&'a str>,
    #[serde(borrow)]
    b: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    a: Option<&'a serde_json::value::RawValue>,
}

fn lines(dir: &Path, files: &[&str], mut each: impl FnMut(Nanos, &str)) {
    for file in files {
        let path = dir.join(file);
        let file = File::open(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let line = line.expect("a capture is text");
            let (at, json) = line.split_once(' ').expect("time, space, message");
            let at: u64 = at.parse().expect("nanoseconds");
            each(Nanos(at - RECORDED_ZERO_NS), json);
        }
    }
}

fn instrument(symbol: &str) -> Instrument {
    let none = Bounds {
        min: None,
        max: None,
    };
    Instrument {
        symbol: Symbol::new(symbol).expect("short"),
        base: Symbol::new(symbol.trim_end_matches("USDT")).expect("short"),
        quote: Symbol::new("USDT").expect("short"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        // Old resting orders are off the venue's present lot size.
        lot: Grid::new(E8(1)).expect("positive"),
        price_bounds: none,
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

/// The engine, and a venue that connects, subscribes and tells the time at once, and answers the
/// depth request when the capture does.
struct Replay {
    engine: Engine<NoStopwatch>,
    reader: TelemetryReader,
    out: Outbox,
    now: Nanos,
    market: Option<LinkId>,
    depth_request: Option<(LinkId, String)>,
    closed: usize,
}

impl Replay {
    fn new(symbol: &str) -> Self {
        let (writer, reader) = telemetry(1, Sizes::default());
        let instruments = Instruments::new(vec![instrument(symbol)]).expect("one");
        let engine = Engine::new(EngineConfig::default(), instruments, writer, NoStopwatch)
            .expect("few streams");
        Self {
            engine,
            reader,
            out: Outbox::new(),
            now: Nanos::ZERO,
            market: None,
            depth_request: None,
            closed: 0,
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        self.engine.handle(self.now, event, &mut self.out);
        let mut answers = Vec::new();
        for action in self.out.actions() {
            match action {
                Action::Connect { link } => answers.push((link, None)),
                Action::Close { link, .. } => {
                    self.closed += 1;
                    if self.market == Some(link) {
                        self.market = None;
                    }
                }
                Action::Send { link, message } => {
                    let text = std::str::from_utf8(message).expect("text");
                    let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
                    let id = json["id"].to_string();
                    match json["method"].as_str() {
                        Some("SUBSCRIBE") => {
                            self.market = Some(link);
                            answers.push((link, Some(format!("{{\"result\":null,\"id\":{id}}}"))));
                        }
                        Some("time") => {
                            let ms = (RECORDED_ZERO_NS + self.now.0) / 1_000_000;
                            answers.push((
                                link,
                                Some(format!(
                                    "{{\"id\":{id},\"status\":200,\"result\":{{\"serverTime\":{ms}}}}}"
                                )),
                            ));
                        }
                        Some("depth") => self.depth_request = Some((link, id)),
                        other => panic!("what is {other:?}"),
                    }
                }
            }
        }
        self.out.clear();
        for (link, answer) in answers {
            match answer {
                None => self.handle(Event::LinkUp { link }),
                Some(text) => self.message(link, &text),
            }
        }
    }

    fn message(&mut self, link: LinkId, text: &str) {
        let buf = PayloadBuf::new(text.as_bytes());
        self.handle(Event::Message {
            link,
            payload: buf.payload(),
        });
    }

    fn advance(&mut self, to: Nanos) {
        while let Some(due) = self.engine.next_deadline().filter(|due| *due <= to) {
            self.now = self.now.max(due);
            self.handle(Event::Tick);
        }
        self.now = self.now.max(to);
    }
}

fn check(symbol: &str, files: &[&str], comparisons: usize) {
    let Some(dir) = std::env::var_os("VELOZ_DATA_DIR").map(PathBuf::from) else {
        eprintln!("skipped: VELOZ_DATA_DIR does not say where the captures are");
        return;
    };
    let spec = instrument(symbol);
    let level = |price: &str, qty: &str| Level {
        price: Ticks(spec.tick.parse(price.as_bytes()).expect("on the grid")),
        qty: Lots(spec.lot.parse(qty.as_bytes()).expect("on the grid")),
    };
    let mut tickers: BTreeMap<u64, [Level; 2]> = BTreeMap::new();
    lines(&dir, files, |_, json| {
        let envelope: Envelope<'_> = serde_json::from_str(json).expect("a recorded message");
        if let (Some(stream), Some(data)) = (envelope.stream, envelope.data)
            && stream.ends_with("@bookTicker")
        {
            let price = |raw: Option<&serde_json::value::RawValue>| {
                raw.expect("b and a").get().trim_matches('"').to_owned()
            };
            let bid = level(&price(data.b), data.bid_qty.expect("B"));
            let ask = level(&price(data.a), data.ask_qty.expect("A"));
            tickers.insert(data.u.expect("u"), [bid, ask]);
        }
    });

    let mut replay = Replay::new(symbol);
    let (mut compared, mut messages, mut last_seen) = (0, 0u64, 0);
    lines(&dir, files, |at, json| {
        replay.advance(at);
        messages += 1;
        if json.starts_with("{\"stream\"") {
            let link = replay.market.expect("connected at the first tick");
            replay.message(link, json);
        } else {
            let (link, id) = replay.depth_request.take().expect("asked before");
            replay.message(
                link,
                &format!("{{\"id\":{id},\"status\":200,\"result\":{json}}}"),
            );
        }
        let (state, id) = replay.engine.book_state(BOOK);
        if state == SyncState::Live && id != last_seen {
            last_seen = id;
            let book = replay.engine.book(BOOK).expect("live");
            if let Some(ticker) = tickers.get(&id) {
                let best = Side::ALL.map(|side| book.best(side).expect("a side with levels"));
                assert_eq!(best, *ticker, "best prices at update {id}");
                compared += 1;
            }
        }
        if messages > 20 {
            assert_eq!(state, SyncState::Live, "after message {messages}");
        }
    });
    assert_eq!(compared, comparisons, "comparisons in {files:?}");
    assert_eq!(replay.engine.state(), EngineState::Ready);
    assert_eq!(replay.closed, 0, "links closed during a sound session");
    let counters = &replay.reader.counters;
    for kind in VenueFault::ALL {
        assert_eq!(counters.faults(kind as u8), 0, "{}", kind.label());
    }
    assert_eq!(counters.plain(Counter::Ignored), 0);
    let counted: u64 = MessageKind::ALL
        .into_iter()
        .filter(|kind| *kind != MessageKind::Control)
        .map(|kind| counters.messages(kind))
        .sum();
    assert_eq!(counted, messages);
}

/// The recorded book, kept by two plain maps.
#[derive(Default)]
struct Reference {
    sides: [BTreeMap<i64, i64>; 2],
    id: u64,
}

#[derive(Deserialize)]
struct RecordedLevels {
    #[serde(rename = "U", default)]
    first: u64,
    #[serde(rename = "u", alias = "lastUpdateId")]
    last: u64,
    #[serde(rename = "b", alias = "bids")]
    bids: Vec<[String; 2]>,
    #[serde(rename = "a", alias = "asks")]
    asks: Vec<[String; 2]>,
}

#[derive(Deserialize)]
struct RecordedDiff {
    data: RecordedLevels,
}

impl Reference {
    fn apply(&mut self, spec: &Instrument, levels: &RecordedLevels) {
        if levels.last <= self.id {
            return;
        }
        assert!(
            self.id == 0 || levels.first <= self.id + 1,
            "a capture without gaps"
        );
        self.id = levels.last;
        for (side, levels) in self.sides.iter_mut().zip([&levels.bids, &levels.asks]) {
            for [price, qty] in levels {
                let price = spec.tick.parse(price.as_bytes()).expect("on the grid");
                let qty = spec.lot.parse(qty.as_bytes()).expect("on the grid");
                if qty == 0 {
                    side.remove(&price);
                } else {
                    side.insert(price, qty);
                }
            }
        }
    }

    /// All levels of a side, best first.
    fn levels(&self, side: Side) -> Vec<Level> {
        let level = |(price, qty): (&i64, &i64)| Level {
            price: Ticks(*price),
            qty: Lots(*qty),
        };
        let levels = self.sides[side as usize].iter().map(level);
        match side {
            Side::Bid => levels.rev().collect(),
            Side::Ask => levels.collect(),
        }
    }

    fn snapshot(&self, spec: &Instrument) -> String {
        let text = |side| {
            let levels: Vec<String> = self
                .levels(side)
                .iter()
                .map(|level| {
                    format!(
                        "[\"{}\",\"{}\"]",
                        spec.price(level.price),
                        spec.qty(level.qty)
                    )
                })
                .collect();
            levels.join(",")
        };
        format!(
            "{{\"lastUpdateId\":{},\"bids\":[{}],\"asks\":[{}]}}",
            self.id,
            text(Side::Bid),
            text(Side::Ask)
        )
    }
}

/// A recorded session with the venue's and the network's worst: the book equals the recorded one at
/// its update id, or it is not live.
fn check_with_faults(symbol: &str, files: &[&str], seed: u64) {
    let Some(dir) = std::env::var_os("VELOZ_DATA_DIR").map(PathBuf::from) else {
        eprintln!("skipped: VELOZ_DATA_DIR does not say where the captures are");
        return;
    };
    let spec = instrument(symbol);
    let mut jitter = Jitter::new(seed);
    let mut one_in = |bound: u64| jitter.below(Nanos(bound)).0 == 0;
    let mut reference = Reference::default();
    let mut early: Vec<RecordedLevels> = Vec::new();
    let mut replay = Replay::new(symbol);
    let mut held_back: Option<String> = None;
    let (mut compared, mut was_live, mut lost_live) = (0u64, false, 0u64);
    lines(&dir, files, |at, json| {
        replay.advance(at);
        let is_diff = json.contains("@depth");
        if is_diff {
            let diff: RecordedDiff = serde_json::from_str(json).expect("a diff");
            if reference.id == 0 {
                early.push(diff.data);
            } else {
                reference.apply(&spec, &diff.data);
            }
        } else if !json.starts_with("{\"stream\"") {
            let snapshot: RecordedLevels = serde_json::from_str(json).expect("a snapshot");
            reference.apply(&spec, &snapshot);
            for diff in early.drain(..) {
                reference.apply(&spec, &diff);
            }
        }
        if reference.id != 0
            && let Some((link, id)) = replay.depth_request.take()
        {
            if one_in(4) {
                // No answer; the engine asks again when it has waited long enough.
            } else {
                let snapshot = reference.snapshot(&spec);
                let reply = format!("{{\"id\":{id},\"status\":200,\"result\":{snapshot}}}");
                replay.message(link, &reply);
            }
        }
        if let Some(market) = replay.market
            && json.starts_with("{\"stream\"")
        {
            match () {
                () if is_diff && one_in(300) => {}
                () if one_in(500) => {
                    replay.message(market, json);
                    replay.message(market, json);
                }
                () if is_diff && one_in(300) => held_back = Some(json.to_owned()),
                () if one_in(6_000) => replay.message(market, &json[..json.len() / 2]),
                () if is_diff && one_in(400) => {
                    replay.message(market, &json.replacen("\"U\":", "\"U\":9", 1));
                }
                () if is_diff && one_in(400) => {
                    let crossing = "\"b\":[[\"199999.00000000\",\"1.00000000\"]";
                    let comma = if json.contains("\"b\":[]") { "" } else { "," };
                    let text = json.replacen("\"b\":[", &format!("{crossing}{comma}"), 1);
                    replay.message(market, &text);
                }
                () if one_in(20_000) => {
                    replay.market = None;
                    replay.handle(Event::LinkDown {
                        link: market,
                        cause: LinkDown::Closed,
                    });
                }
                () => {
                    replay.message(market, json);
                    if let Some(late) = held_back.take()
                        && let Some(market) = replay.market
                    {
                        replay.message(market, &late);
                    }
                }
            }
        }
        let (state, id) = replay.engine.book_state(BOOK);
        let is_live = state == SyncState::Live;
        lost_live += u64::from(was_live && !is_live);
        was_live = is_live;
        if is_live && is_diff && id == reference.id {
            let book = replay.engine.book(BOOK).expect("live");
            compared += 1;
            for side in Side::ALL {
                let best: Vec<Level> = book.levels(side).take(20).collect();
                let expected = reference.levels(side);
                assert_eq!(best, expected[..20], "{side:?} at update {id}");
                assert_eq!(book.level_count(side), expected.len());
            }
        }
    });
    eprintln!("{symbol}: {compared} comparisons, {lost_live} times not live");
    assert!(lost_live > 8, "the faults did hit");
    assert!(compared > 1_000, "and the book came back");
}

#[test]
fn recorded_sessions_with_every_fault() {
    for seed in 0..2 {
        check_with_faults(
            "BTCUSDT",
            &["spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"],
            seed,
        );
        check_with_faults("ETHUSDT", &["spot/ethusdt_20240808.gz"], seed);
    }
}

#[test]
fn spot_btcusdt_through_the_engine() {
    check(
        "BTCUSDT",
        &["spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"],
        1_072,
    );
}

#[test]
fn spot_ethusdt_through_the_engine() {
    check("ETHUSDT", &["spot/ethusdt_20240808.gz"], 577);
}
