//! The recorded sessions through the whole road: served by the venue over TLS and websockets on a
//! real socket, read by the edge, and the books compared with a reference that is built from the
//! files alone.
//!
//! Without faults every comparison must be exact and no book may resynchronise. With every fault
//! injected a live book must still equal the reference at its update id; whatever the venue does,
//! the worst outcome is a book that is not live.
//!
//! Needs `VELOZ_DATA_DIR`; says so and passes without it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;
use veloz::venue::{Fault, FaultRule, MarketConfig, Recording, Speed, Trigger, Venue, VenueConfig};
use veloz_core::book::{Book, Side};
use veloz_core::config::EngineConfig;
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::{Endpoint, request_once};
use veloz_core::edge::core_loop::{EdgeConfig, EventHandler, NoTap, spawn};
use veloz_core::edge::cpu::Scheduling;
use veloz_core::edge::idle::IdleKind;
use veloz_core::edge::tls::client_config;
use veloz_core::engine::Engine;
use veloz_core::event::{Command, Event};
use veloz_core::instrument::{InstrumentIndex, Instruments};
use veloz_core::outbox::Outbox;
use veloz_core::telemetry::counters::{InstrumentCounter, MessageKind};
use veloz_core::telemetry::records::RecordBody;
use veloz_core::telemetry::{Sizes, Telemetry, telemetry};
use veloz_core::units::{E8, Nanos};
use veloz_core::venue::binance::exchange_info;

/// Levels a side that a comparison with the reference looks at.
const COMPARED_LEVELS: usize = 50;
/// A run that takes longer than this hangs.
const HANGS_AFTER: Duration = Duration::from_mins(1);

/// No stream of this name is ever subscribed to.
const HELD: &str = "held@release";
/// Records that the message of a failure shows.
const RECORDS_SHOWN: usize = 40;
/// The venue's 6,000, for a flow that is twenty times as fast.
const WEIGHT_PER_MINUTE: u32 = 20 * 6_000;

type LevelE8 = (i64, i64);
type Touch = (LevelE8, LevelE8);

/// What the files alone say of one symbol's book.
#[derive(Default)]
struct Reference {
    /// The best levels of both sides after the diff that ends with this id.
    levels: BTreeMap<u64, [Vec<LevelE8>; 2]>,
    /// Best prices that the venue itself published with the id of a diff.
    touches: BTreeMap<u64, Vec<Touch>>,
    diffs: u64,
}

fn e8(text: &Value) -> i64 {
    E8::parse(text.as_str().expect("a decimal is a string").as_bytes())
        .expect("a decimal")
        .0
}

fn levels(side: &Value) -> Vec<LevelE8> {
    let side = side.as_array().expect("a side is a list");
    side.iter()
        .map(|level| (e8(&level[0]), e8(&level[1])))
        .collect()
}

fn reference(files: &[PathBuf]) -> Reference {
    let mut reference = Reference::default();
    let mut tickers: BTreeMap<u64, Vec<Touch>> = BTreeMap::new();
    let mut sides = [BTreeMap::new(), BTreeMap::new()];
    let mut waiting: Vec<(u64, u64, [Vec<LevelE8>; 2])> = Vec::new();
    let mut id = None;
    for file in files {
        let file = File::open(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let line = line.expect("a capture is text");
            let (_, json) = line.split_once(' ').expect("time, space, message");
            let message: Value = serde_json::from_str(json).expect("JSON");
            let data = &message["data"];
            if message.get("lastUpdateId").is_some() {
                id = message["lastUpdateId"].as_u64();
                for (side, name) in sides.iter_mut().zip(["bids", "asks"]) {
                    *side = levels(&message[name]).into_iter().collect();
                }
            } else if data["e"] == "depthUpdate" {
                let id_of = |key: &str| data[key].as_u64().expect("an id");
                waiting.push((
                    id_of("U"),
                    id_of("u"),
                    [levels(&data["b"]), levels(&data["a"])],
                ));
                reference.diffs += 1;
            } else if data.get("B").is_some() {
                let touch = (
                    (e8(&data["b"]), e8(&data["B"])),
                    (e8(&data["a"]), e8(&data["A"])),
                );
                tickers
                    .entry(data["u"].as_u64().expect("an id"))
                    .or_default()
                    .push(touch);
            }
            let Some(id) = &mut id else { continue };
            for (first, last, changes) in waiting.drain(..) {
                if last <= *id {
                    continue;
                }
                assert!(
                    first <= *id + 1,
                    "the capture itself has a gap before {first}"
                );
                *id = last;
                for (side, changes) in sides.iter_mut().zip(changes) {
                    for (price, qty) in changes {
                        if qty == 0 {
                            side.remove(&price);
                        } else {
                            side.insert(price, qty);
                        }
                    }
                }
                let best = |(price, qty): (&i64, &i64)| (*price, *qty);
                let bids = sides[0]
                    .iter()
                    .rev()
                    .take(COMPARED_LEVELS)
                    .map(best)
                    .collect();
                let asks = sides[1].iter().take(COMPARED_LEVELS).map(best).collect();
                reference.levels.insert(last, [bids, asks]);
            }
        }
    }
    tickers.retain(|id, _| reference.levels.contains_key(id));
    reference.touches = tickers;
    reference
}

/// The engine, watched: after each event every live book is compared with its reference.
struct Judge {
    engine: Engine<Clock>,
    references: Vec<Reference>,
    judged: Vec<u64>,
    verdict: Verdict,
    done: SyncSender<()>,
}

#[derive(Default, Debug)]
struct Verdict {
    touches_compared: u64,
    books_compared: u64,
    wrong: Vec<String>,
}

impl Judge {
    fn judge(&mut self) {
        for position in 0..self.references.len() {
            let instrument = InstrumentIndex(position as u16);
            let Some(book) = self.engine.book(instrument) else {
                continue;
            };
            let (_, id) = self.engine.book_state(instrument);
            if id == self.judged[position] {
                continue;
            }
            self.judged[position] = id;
            let reference = &self.references[position];
            let Some(expected) = reference.levels.get(&id) else {
                continue;
            };
            let found = Side::ALL.map(|side| self.best_levels(instrument, book, side));
            self.verdict.books_compared += 1;
            if found != *expected {
                self.verdict.wrong.push(format!("book {position} at {id}"));
            }
            for touch in reference.touches.get(&id).into_iter().flatten() {
                self.verdict.touches_compared += 1;
                if (found[0][0], found[1][0]) != *touch {
                    self.verdict.wrong.push(format!("touch {position} at {id}"));
                }
            }
            let last_ids = self.references.iter().map(|r| r.levels.keys().next_back());
            if last_ids.eq(self.judged.iter().map(Some)) {
                // The test may have stopped waiting.
                let _ = self.done.try_send(());
            }
        }
    }

    fn best_levels(&self, instrument: InstrumentIndex, book: &Book, side: Side) -> Vec<LevelE8> {
        let spec = self.engine.instruments().get(instrument);
        let level =
            |level: veloz_core::units::Level| (spec.price(level.price).0, spec.qty(level.qty).0);
        book.levels(side).take(COMPARED_LEVELS).map(level).collect()
    }
}

impl EventHandler for Judge {
    fn react(&mut self, now: Nanos, event: Event<'_>, out: &mut Outbox) {
        self.engine.react(now, event, out);
    }

    fn finish(&mut self, out: &mut Outbox) {
        self.engine.finish(out);
        self.judge();
    }

    fn next_deadline(&self) -> Option<Nanos> {
        self.engine.next_deadline()
    }

    fn orders_in_kernel(&mut self, now: Nanos, stamp: Nanos) {
        self.engine.orders_in_kernel(now, stamp);
    }

    fn telemetry(&mut self) -> &mut Telemetry {
        self.engine.telemetry()
    }
}

struct Outcome {
    verdict: Verdict,
    /// The first records, for the message of a failure.
    records: Vec<RecordBody>,
    diffs: u64,
    gaps: u64,
    resyncs: u64,
    faults_fired: BTreeMap<&'static str, u64>,
    messages: u64,
}

fn run(sessions: &[&[&str]], speed: Speed, faults: Vec<FaultRule>) -> Option<Outcome> {
    let Some(data) = std::env::var_os("VELOZ_DATA_DIR") else {
        eprintln!("skipped: VELOZ_DATA_DIR is not set");
        return None;
    };
    let spot = Path::new(&data).join("spot");
    let sessions: Vec<Vec<PathBuf>> = sessions
        .iter()
        .map(|files| files.iter().map(|file| spot.join(file)).collect())
        .collect();
    let references: Vec<Reference> = sessions.iter().map(|files| reference(files)).collect();
    let diffs = references.iter().map(|reference| reference.diffs).sum();
    let faulty = !faults.is_empty();

    // The flow of a clean session waits for a stream that nobody wants until the snapshot is in the
    // book, so that no id is passed unseen; with faults the venue's own gate decides.
    let wait_for = (!faulty).then(|| vec![HELD.to_owned()]);
    let recording = Recording {
        files: sessions.concat(),
        speed,
        wait_for,
    };
    let venue = Venue::start(VenueConfig {
        market: MarketConfig::Recorded(recording),
        faults,
        // Pings come with faults, and the flow is faster than recorded: the answers would be too many.
        enforce_client_frames: false,
        // So much faster than recorded, a minute of the session must hold a minute's weight.
        request_weight_per_minute: WEIGHT_PER_MINUTE,
        ..VenueConfig::default()
    })
    .expect("a free port");

    let base = format!("wss://localhost:{}", venue.address().port());
    let edge = EdgeConfig {
        market_url: format!("{base}/stream"),
        api_url: format!("{base}/ws-api/v3"),
        orders_url: format!("{base}/ws-api/v3"),
        ca_files: Vec::new(),
        ca_pems: vec![venue.ca_pem().to_owned()],
        cpu: None,
        scheduling: Scheduling::Other,
        lock_memory: false,
        idle: IdleKind::Backoff,
        connect_timeout: Nanos::from_secs(10),
        silence_max: Nanos::from_secs(45),
    };
    let api = Endpoint::new(
        &edge.api_url,
        &client_config(&edge.ca_files, &edge.ca_pems).expect("the CA"),
    )
    .expect("a URL");
    let info = request_once(
        &api,
        r#"{"id":1,"method":"exchangeInfo","params":{}}"#,
        Nanos::from_secs(10),
    )
    .expect("exchangeInfo");
    let symbols: Vec<&str> = if sessions.len() == 2 {
        vec!["BTCUSDT", "ETHUSDT"]
    } else {
        vec!["BTCUSDT"]
    };
    let list = exchange_info::parse(info.as_bytes(), &symbols).expect("both symbols");
    let instruments = Instruments::new(list.instruments).expect("a table");

    let (writer, mut reader) = telemetry(symbols.len(), Sizes::default());
    let clock = Clock::calibrate();
    let mut config = EngineConfig::default();
    if faulty {
        // The flow is faster than recorded; longer waits would sleep through most of it.
        config.requests.weight_per_minute = WEIGHT_PER_MINUTE;
        config.links.backoff_max = config.links.backoff_base;
        config.links.silence_max = Nanos::from_ms(500);
        config.books.backoff_max = config.books.backoff_base;
    }
    let engine = Engine::new(config, instruments, writer, clock).expect("few streams");
    let (done, finished) = mpsc::sync_channel(1);
    let judge = Judge {
        engine,
        judged: vec![0; references.len()],
        references,
        verdict: Verdict::default(),
        done,
    };
    let core = spawn(&edge, clock, judge, NoTap).expect("threads");

    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    let mut records = Vec::new();
    loop {
        while let Some(record) = reader.records.pop() {
            if records.len() < RECORDS_SHOWN {
                records.push(record.body);
            }
        }
        while reader.samples.pop().is_some() {}
        if reader.counters.messages(MessageKind::DepthSnapshot) == symbols.len() as u64 {
            venue.release();
        }
        match finished.recv_timeout(step) {
            Ok(()) => break,
            // With faults the last diff may be among the lost: then the venue says when it is over.
            Err(RecvTimeoutError::Timeout) if faulty && venue.is_finished() => break,
            Err(RecvTimeoutError::Timeout) => waited += step,
            Err(RecvTimeoutError::Disconnected) => panic!("the core ended early"),
        }
        if waited >= HANGS_AFTER {
            let books: Vec<_> = (0..symbols.len())
                .map(|position| reader.gauges.book(InstrumentIndex(position as u16)))
                .collect();
            panic!(
                "the session does not end; the venue waits for {:?}, {:?}; books: {books:?}",
                venue.waits_for(),
                venue.stats(),
            );
        }
    }
    // Counted before the end, which takes every book with it.
    let per_instrument = |counter| -> u64 {
        (0..symbols.len())
            .map(|position| {
                reader
                    .counters
                    .instrument(InstrumentIndex(position as u16), counter)
            })
            .sum()
    };
    let (gaps, resyncs, messages) = (
        per_instrument(InstrumentCounter::Gaps),
        per_instrument(InstrumentCounter::Resyncs),
        per_instrument(InstrumentCounter::Messages),
    );
    core.commands
        .send(Command::Shutdown)
        .expect("room for a command");
    let (judge, NoTap) = core.join();
    records.extend(std::iter::from_fn(|| reader.records.pop()).map(|record| record.body));
    let fired = venue.stats().faults;
    venue.stop();

    Some(Outcome {
        verdict: judge.verdict,
        records,
        diffs,
        gaps,
        resyncs,
        messages,
        faults_fired: fired,
    })
}

#[test]
fn a_clean_session_is_exact() {
    let files: &[&[&str]] = &[&["btcusdt_20240808.gz", "btcusdt_20240809.gz"]];
    let Some(outcome) = run(files, Speed::Max, Vec::new()) else {
        return;
    };
    assert_eq!(outcome.verdict.wrong, Vec::<String>::new());
    assert_eq!(outcome.gaps + outcome.resyncs, 0, "{:?}", outcome.records);
    assert_eq!(
        outcome.verdict.touches_compared, 1_072,
        "{:?}",
        outcome.records
    );
    assert!(
        outcome.verdict.books_compared + 10 > outcome.diffs,
        "{:?}",
        outcome.verdict
    );
    println!("{} messages, {:?}", outcome.messages, outcome.verdict);
}

#[test]
fn under_every_fault_a_book_is_right_or_not_live() {
    let files: &[&[&str]] = &[&["btcusdt_20240808.gz"], &["ethusdt_20240808.gz"]];
    let Some(outcome) = run(files, Speed::Times(20.0), all_faults()) else {
        return;
    };
    assert_eq!(outcome.verdict.wrong, Vec::<String>::new());
    assert!(
        outcome.gaps > 0 && outcome.resyncs > 0,
        "faults must have cost books"
    );
    for fault in Fault::MARKET {
        let fired = outcome.faults_fired.get(fault.name()).copied().unwrap_or(0);
        assert!(fired > 0, "{} never fired", fault.name());
    }
    let share = outcome.verdict.books_compared as f64 / outcome.diffs as f64;
    assert!(
        share > 0.2,
        "live for {share} of the diffs: too seldom to mean anything"
    );
    println!(
        "{} of {} diffs judged",
        outcome.verdict.books_compared, outcome.diffs
    );
}

/// Every fault, at intervals without common factors, so that they meet in ever new combinations.
/// What costs a book is rarer than what does not, and what costs a connection rarer still: books
/// must be live often enough to be compared.
fn all_faults() -> Vec<FaultRule> {
    let rule = |fault| {
        let (fault, trigger) = match fault {
            // Of 6,885 diffs.
            Fault::Gap => (fault, Trigger::Every(401)),
            Fault::Duplicate => (fault, Trigger::Every(53)),
            Fault::Reorder => (fault, Trigger::Every(307)),
            Fault::HugeEvent => (fault, Trigger::Every(211)),
            Fault::CrossedBook => (fault, Trigger::Every(503)),
            Fault::EmptyEvent => (fault, Trigger::Every(61)),
            // Of some 74,000 frames.
            Fault::UnknownKeys | Fault::UnknownEvent => (fault, Trigger::Every(101)),
            Fault::MalformedJson => (fault, Trigger::Every(9_001)),
            Fault::InvalidUtf8 => (fault, Trigger::Every(11_003)),
            Fault::TruncatedFrame => (fault, Trigger::Every(13_007)),
            Fault::Reset => (fault, Trigger::Every(15_013)),
            Fault::DailyCut => (fault, Trigger::Every(17_011)),
            Fault::ServerShutdown => (fault, Trigger::Every(19_013)),
            Fault::SplitSegments { .. } | Fault::MergeSegments { .. } | Fault::Fragment => {
                (fault, Trigger::Every(211))
            }
            Fault::Stall { .. } => (Fault::Stall { ms: 50 }, Trigger::Every(7_001)),
            Fault::WrongPong | Fault::UnsolicitedPong => (fault, Trigger::Every(2_003)),
            Fault::PingFlood { .. } => (fault, Trigger::Every(8_009)),
            Fault::Silence { .. } => (Fault::Silence { ms: 1_000 }, Trigger::At(40_009)),
            // Of the depth requests.
            Fault::StaleSnapshot => (fault, Trigger::Every(3)),
            Fault::ResponseLost
            | Fault::EventFirst
            | Fault::ResponseFirst
            | Fault::TimeoutAccepted
            | Fault::TimeoutRefused
            | Fault::DropAfterAccept
            | Fault::Unavailable
            | Fault::Ban
            | Fault::CancelDelayed { .. }
            | Fault::EventLost
            | Fault::EventDuplicate
            | Fault::SessionRevoked
            | Fault::StreamTerminated
            | Fault::UnsolicitedCancel
            | Fault::Halt { .. }
            | Fault::CancelOnly { .. }
            | Fault::Deposit { .. }
            | Fault::ExternalLock { .. }
            | Fault::OrdersUsedUp
            | Fault::WeightUsedUp => panic!("{} is not of market data", fault.name()),
        };
        FaultRule { fault, trigger }
    };
    Fault::MARKET.into_iter().map(rule).collect()
}
