//! One instrument through the whole engine, as text: messages in, book state, actions and faults out.
//!
//! A line is `INPUT => STATE ID | ACTIONS | FAULTS`; a dash stands for none, and without `=>` nothing is
//! expected. Time stands still but for `t MS`, which serves every deadline on its way. Together the
//! scenarios produce every fault that there is.

use std::fmt::Write as _;
use veloz_core::config::EngineConfig;
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::event::{Command, Event, LinkDown, LinkId, LinkRole, PayloadBuf};
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::outbox::{Action, Outbox};
use veloz_core::telemetry::records::EngineState;
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{E8, Grid, Nanos};
use veloz_core::venue::binance::fault::VenueFault;

struct Desk {
    engine: Engine<NoStopwatch>,
    reader: TelemetryReader,
    out: Outbox,
    now: Nanos,
    newest: [Option<LinkId>; LinkRole::ALL.len()],
    subscribe_id: String,
    depth_id: String,
    time_id: String,
    happened: String,
    faults: Vec<u64>,
}

impl Desk {
    fn new() -> Self {
        let none = || Bounds {
            min: None,
            max: None,
        };
        let instrument = Instrument {
            symbol: Symbol::new("BTCUSDT").expect("short"),
            base: Symbol::new("BTC").expect("short"),
            quote: Symbol::new("USDT").expect("short"),
            tick: Grid::new(E8(1_000_000)).expect("positive"),
            lot: Grid::new(E8(1_000)).expect("positive"),
            price_bounds: none(),
            qty_bounds: Bounds {
                min: None,
                max: None,
            },
            notional_min: None,
            notional_max: None,
            order_rules: OrderRules::UNRESTRICTED,
            trading: true,
        };
        let sizes = Sizes {
            records: 1 << 14,
            samples: 1 << 8,
        };
        let (writer, reader) = telemetry(1, sizes);
        let instruments = Instruments::new(vec![instrument]).expect("one");
        let engine = Engine::new(EngineConfig::default(), instruments, writer, NoStopwatch)
            .expect("few streams");
        Self {
            engine,
            reader,
            out: Outbox::new(),
            now: Nanos::ZERO,
            newest: [None; LinkRole::ALL.len()],
            subscribe_id: String::new(),
            depth_id: String::new(),
            time_id: String::new(),
            happened: String::new(),
            faults: vec![0; VenueFault::ALL.len()],
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        self.engine.handle(self.now, event, &mut self.out);
        for action in self.out.actions() {
            let text = match action {
                Action::Connect { link } => {
                    self.newest[link.role as usize] = Some(link);
                    format!("connect {}", role_name(link.role))
                }
                Action::Close { link, cause } => {
                    format!("close {} {}", role_name(link.role), cause.label())
                }
                Action::Send { message, .. } => {
                    let json: serde_json::Value =
                        serde_json::from_slice(message).expect("we send JSON");
                    let id = json["id"].to_string();
                    match json["method"].as_str().expect("a method") {
                        "SUBSCRIBE" => {
                            self.subscribe_id = id;
                            "subscribe".to_owned()
                        }
                        "depth" => {
                            self.depth_id = id;
                            assert_eq!(json["params"]["symbol"], "BTCUSDT");
                            format!("depth {}", json["params"]["limit"])
                        }
                        "time" => {
                            self.time_id = id;
                            "time".to_owned()
                        }
                        other => panic!("we never ask {other}"),
                    }
                }
            };
            let comma = if self.happened.is_empty() { "" } else { ", " };
            write!(self.happened, "{comma}{text}").expect("a string");
        }
        self.out.clear();
    }

    fn message(&mut self, role: LinkRole, text: &str) {
        let buf = PayloadBuf::new(text.as_bytes());
        self.handle(Event::Message {
            link: self.newest[role as usize].expect("connected"),
            payload: buf.payload(),
        });
    }

    fn advance(&mut self, to: Nanos) {
        while let Some(due) = self.engine.next_deadline().filter(|due| *due <= to) {
            self.now = self.now.max(due);
            self.handle(Event::Tick);
        }
        self.now = to;
    }

    fn input(&mut self, input: &str) {
        let words: Vec<&str> = input.split_whitespace().collect();
        let word = |position: usize| *words.get(position).expect("another word");
        let market = LinkRole::Market;
        match word(0) {
            "t" => self.advance(Nanos::from_ms(word(1).parse().expect("ms"))),
            "up" => {
                let link = self.newest[role(word(1)) as usize].expect("asked");
                self.handle(Event::LinkUp { link });
            }
            "down" => {
                let link = self.newest[role(word(1)) as usize].expect("asked");
                self.handle(Event::LinkDown {
                    link,
                    cause: LinkDown::Closed,
                });
            }
            "accept" => {
                let text = format!("{{\"result\":null,\"id\":{}}}", self.subscribe_id);
                self.message(market, &text);
            }
            "refuse" => {
                let text = format!(
                    "{{\"error\":{{\"code\":2,\"msg\":\"no\"}},\"id\":{}}}",
                    self.subscribe_id
                );
                self.message(market, &text);
            }
            "diff" => {
                let text = diff(word(1), word(2), &levels(word(3)), &levels(word(4)));
                self.message(market, &text);
            }
            "ticker" => {
                let (bid, bid_qty) = level(word(2));
                let (ask, ask_qty) = level(word(3));
                let text = format!(
                    "{{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"u\":{},\"s\":\"BTCUSDT\",\"b\":\"{bid}\",\"B\":\"{bid_qty}\",\"a\":\"{ask}\",\"A\":\"{ask_qty}\"}}}}",
                    word(1)
                );
                self.message(market, &text);
            }
            "trade" => {
                let text = trade(word(1), "100.00000000", "0.50000000");
                self.message(market, &text);
            }
            "snapshot" => {
                let text = format!(
                    "{{\"id\":{},\"status\":200,\"result\":{{\"lastUpdateId\":{},\"bids\":{},\"asks\":{}}},\"rateLimits\":[{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":6000,\"count\":{}}}]}}",
                    self.depth_id,
                    word(1),
                    levels(word(2)),
                    levels(word(3)),
                    words.get(4).unwrap_or(&"252"),
                );
                self.message(LinkRole::Api, &text);
            }
            "time" => {
                let text = format!(
                    "{{\"id\":{},\"status\":200,\"result\":{{\"serverTime\":{}}}}}",
                    self.time_id,
                    1_700_000_000_000 + self.now.as_ms(),
                );
                self.message(LinkRole::Api, &text);
            }
            // error STATUS CODE [RETRY_AFTER_MS], to the newest depth request
            "error" => {
                let data = words.get(3).map_or(String::new(), |ms| {
                    format!(",\"data\":{{\"serverTime\":1,\"retryAfter\":{ms}}}")
                });
                let text = format!(
                    "{{\"id\":{},\"status\":{},\"error\":{{\"code\":{},\"msg\":\"no\"{data}}}}}",
                    self.depth_id,
                    word(1),
                    word(2)
                );
                self.message(LinkRole::Api, &text);
            }
            "wall" => self.handle(Event::WallClock {
                unix_ns_at_zero: word(1).parse().expect("ns"),
            }),
            "raw" => {
                let (_, text) = input.split_once(word(1)).expect("a role");
                self.message(role(word(1)), text.trim());
            }
            "stop" => self.handle(Event::Command(Command::Shutdown)),
            other => panic!("no input {other}"),
        }
    }

    /// What the last input did.
    fn outcome(&mut self) -> String {
        let (state, id) = self.engine.book_state(InstrumentIndex(0));
        let mut faults = String::new();
        for kind in VenueFault::ALL {
            let count = self.reader.counters.faults(kind as u8);
            if count > self.faults[kind as usize] {
                let space = if faults.is_empty() { "" } else { " " };
                write!(faults, "{space}{}", kind.label()).expect("a string");
                self.faults[kind as usize] = count;
            }
        }
        let dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        let happened = std::mem::take(&mut self.happened);
        format!("{state:?} {id} | {} | {}", dash(&happened), dash(&faults))
    }
}

fn role_name(role: LinkRole) -> &'static str {
    match role {
        LinkRole::Market => "market",
        LinkRole::Api => "api",
        LinkRole::Orders => "orders",
    }
}

fn role(name: &str) -> LinkRole {
    LinkRole::ALL
        .into_iter()
        .find(|role| role_name(*role) == name)
        .expect("market or api")
}

/// `100.00x1` as price and quantity with eight places.
fn level(text: &str) -> (String, String) {
    let (price, qty) = text.split_once('x').expect("price x quantity");
    let eight = |text: &str| E8::parse(text.as_bytes()).expect("a number").to_string();
    (eight(price), eight(qty))
}

/// `100.00x1,99.99x2` as the venue writes levels.
fn levels(text: &str) -> String {
    let list: Vec<String> = text
        .split(',')
        .filter(|level| *level != "-")
        .map(|text| {
            let (price, qty) = level(text);
            format!("[\"{price}\",\"{qty}\"]")
        })
        .collect();
    format!("[{}]", list.join(","))
}

fn diff(first: &str, last: &str, bids: &str, asks: &str) -> String {
    format!(
        "{{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":1700000000100,\"s\":\"BTCUSDT\",\"U\":{first},\"u\":{last},\"b\":{bids},\"a\":{asks}}}}}"
    )
}

fn trade(id: &str, price: &str, qty: &str) -> String {
    format!(
        "{{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":1700000000100,\"s\":\"BTCUSDT\",\"t\":{id},\"p\":\"{price}\",\"q\":\"{qty}\",\"T\":1700000000100,\"m\":true,\"M\":true}}}}"
    )
}

/// Plays a script; returns the desk for what a script cannot say.
fn check(name: &str, script: &str) -> Desk {
    let mut desk = Desk::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (input, expected) = match line.split_once("=>") {
            Some((input, expected)) => (input.trim(), Some(expected.trim())),
            None => (line, None),
        };
        desk.input(input);
        if let Some(expected) = expected {
            assert_eq!(desk.outcome(), expected, "{name}: {line}");
        }
    }
    desk
}

/// Links up, subscribed, the clock asked.
const UP: &str = "t 0           => Idle 0 | connect market, connect api | -
    up market           => Idle 0 | subscribe | -
    up api              => Idle 0 | - | -
    t 1                 => Idle 0 | time | -
    time                => Idle 0 | - | -
    accept              => Buffering 0 | - | -\n";

/// And the book live at 1010: 100.00 x 1 bid, 100.01 x 2 asked.
const LIVE: &str = "diff 1001 1005 100.00x1 - => Requested 1005 | depth 5000 | -
    snapshot 1003 99.99x3 100.01x2,100.02x5 => Live 1005 | - | -
    diff 1006 1010 - - => Live 1010 | - | -\n";

fn live(script: &str) -> String {
    format!("{UP}{LIVE}{script}")
}

#[test]
fn the_venues_golden_transcript() {
    let mut desk = check(
        "golden",
        &format!(
            "{UP}
            raw market {{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"u\":1005,\"s\":\"BTCUSDT\",\"b\":\"100.00000000\",\"B\":\"1.00000000\",\"a\":\"100.01000000\",\"A\":\"2.00000000\"}}}} => Buffering 0 | - | -
            raw market {{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":1700000000100,\"s\":\"BTCUSDT\",\"U\":1001,\"u\":1005,\"b\":[[\"100.00000000\",\"1.00000000\"]],\"a\":[]}}}} => Requested 1005 | depth 5000 | -
            snapshot 1000 100.00x1 100.01x2 => Buffering 1005 | - | snapshot_too_old
            t 101                           => Requested 1005 | depth 5000 | -
            snapshot 1007 100.00x1 100.01x2 => Bridging 1007 | - | -
            diff 1006 1006 - -              => Bridging 1007 | - | -
            diff 1007 1010 - -              => Live 1010 | - | -
            diff 1011 1020 100.00x4 -       => Live 1020 | - | -
            ticker 1020 100.00x4 100.01x2   => Live 1020 | - | -
            diff 1025 1030 - -              => Buffering 0 | - | sequence_gap"
        ),
    );
    assert!(desk.engine.book(InstrumentIndex(0)).is_none());
    assert_eq!(desk.engine.state(), EngineState::Degraded);
    desk.input("stop");
    assert_eq!(
        desk.outcome(),
        "Idle 0 | close market requested, close api requested | -"
    );
    assert_eq!(desk.engine.next_deadline(), None);
    desk.input("t 999999");
    desk.input("diff 1 2 - -");
    assert_eq!(desk.outcome(), "Idle 0 | - | -", "stopped is quiet");
}

#[test]
fn a_best_price_proves_the_book_or_refutes_it() {
    check(
        "before and after",
        &live(
            "ticker 1010 100.00x1 100.01x2 => Live 1010 | - | -
            ticker 1012 100.00x9 100.01x2  => Live 1010 | - | -
            diff 1011 1012 100.00x9 -      => Live 1012 | - | -
            ticker 1013 100.00x8 100.01x2  => Live 1012 | - | -
            diff 1013 1013 100.00x7 -      => Buffering 0 | - | touch_mismatch",
        ),
    );
    check(
        "an empty side is written as zeros",
        &live(
            "diff 1011 1012 100.00x0,99.99x0 - => Live 1012 | - | -
            ticker 1012 0.00x0 100.01x2    => Live 1012 | - | -
            diff 1013 1013 - 100.01x0      => Live 1013 | - | -
            ticker 1014 0.00x0 100.02x6    => Live 1013 | - | -
            diff 1014 1014 - 100.02x5      => Buffering 0 | - | touch_mismatch",
        ),
    );
}

#[test]
fn a_book_that_crosses_is_not_live() {
    check(
        "crossed by a diff",
        &live("diff 1011 1012 100.01x1 - => Buffering 0 | - | crossed_book"),
    );
    check(
        "crossed inside one message only",
        &live("diff 1011 1012 100.01x1 100.01x0 => Live 1012 | - | -"),
    );
    check(
        "crossed by a snapshot",
        &format!(
            "{UP} diff 1 5 - -
            snapshot 3 100.02x1 100.01x2 => Buffering 0 | depth 5000 | crossed_book"
        ),
    );
}

#[test]
fn a_stream_that_stays_behind_is_noticed() {
    check(
        "behind",
        &live(
            "ticker 1011 100.00x2 100.01x2  => Live 1010 | - | -
            t 400
            ticker 1012 100.00x3 100.01x2   => Live 1010 | - | -
            t 800
            ticker 1013 100.00x4 100.01x2   => Live 1010 | - | -
            t 1200
            ticker 1014 100.00x5 100.01x2   => Buffering 0 | - | stream_behind",
        ),
    );
}

#[test]
fn requests_that_fail_start_the_book_again() {
    check(
        "no answer",
        &format!(
            "{UP} diff 1 5 - -  => Requested 5 | depth 5000 | -
            t 5000              => Requested 5 | - | -
            t 5001              => Buffering 0 | - | reply_timeout"
        ),
    );
    check(
        "refused",
        &format!(
            "{UP} diff 1 5 - -
            error 400 -1121     => Buffering 0 | depth 5000 | request_refused
            diff 6 7 - -        => Requested 7 | depth 5000 | -
            error 400 -1121     => Waiting 0 | - | request_refused"
        ),
    );
    check(
        "rate limited",
        &format!(
            "wall 1700000000000000000
            {UP} diff 1 5 - -
            error 429 -1003 1700000030000 => Waiting 0 | depth 5000 | rate_limited
            t 9000              => Waiting 0 | - | -
            trade 1
            t 18000             => Waiting 0 | - | -
            trade 2
            t 27000
            trade 3
            t 31990             => Waiting 0 | - | -
            t 32001             => Buffering 0 | time | -"
        ),
    );
    check(
        "rate limited, and the link goes: connecting costs weight too",
        &format!(
            "wall 1700000000000000000
            {UP} diff 1 5 - -
            error 429 -1003 1700000007000
            down api            => Waiting 0 | depth 5000 | rate_limited
            t 8990              => Waiting 0 | - | -
            t 9000              => Waiting 0 | connect api | -"
        ),
    );
    check(
        "the venue counts what others spend from this address",
        &format!(
            "{UP} diff 1 5 - -
            snapshot 3 100.00x1 100.01x2 4700 => Live 5 | depth 5000 | -
            diff 7 8 - -        => Waiting 0 | - | sequence_gap
            {}
            t 41990             => Waiting 0 | time, time | -
            t 42001             => Buffering 0 | - | -",
            // The venue's clock says 20 s past the minute at our zero.
            keep_alive(1, 41)
        ),
    );
    check(
        "banned",
        &format!(
            "wall 1700000000000000000
            {UP} diff 1 5 - -
            error 418 -1003 1700000030000 => Idle 0 | depth 5000, close market requested, close api requested | banned
            t 31990             => Idle 0 | - | -
            t 32000             => Idle 0 | connect market, connect api | -"
        ),
    );
    check(
        "an API link that answers nothing",
        &live(
            "t 9000
            trade 1
            t 15001   => Live 1010 | time | -
            trade 2
            t 20001   => Live 1010 | close api requested | reply_timeout
            t 20300   => Live 1010 | connect api | -",
        ),
    );
}

/// The decoder is told of every request; what is lost must be taken back, or some day none fits.
#[test]
fn lost_requests_leave_nothing_behind() {
    let mut desk = check("up", UP);
    let (mut id, mut ms) = (1, 1);
    for round in 0..1_500 {
        desk.input(&format!("diff {id} {id} - -"));
        id += 1;
        if round % 2 == 0 {
            desk.input("down api");
        } else {
            ms += 5_001;
            desk.input(&format!("t {ms}"));
        }
        for _ in 0..8 {
            ms += 4_000;
            desk.input(&format!("trade {ms}"));
            desk.input(&format!("t {ms}"));
        }
        let up = desk.newest[LinkRole::Api as usize].expect("asked");
        desk.handle(Event::LinkUp { link: up });
        desk.input("time");
    }
    desk.outcome();
    ms += 21_000;
    desk.input(&format!("trade {ms}"));
    desk.input(&format!("diff {id} {id} - -"));
    desk.outcome();
    desk.input(&format!("snapshot {id} 100.00x1 100.01x2"));
    desk.input(&format!("diff {0} {0} - -", id + 1));
    assert_eq!(desk.outcome(), format!("Live {} | - | -", id + 1));
}

#[test]
fn subscriptions_that_fail_replace_the_link() {
    check(
        "refused",
        "t 0
        up market
        refuse => Idle 0 | connect market, connect api, subscribe, close market requested | subscribe_refused
        t 300  => Idle 0 | connect market | -",
    );
    check(
        "no answer",
        "t 0
        up market
        t 5000 => Idle 0 | connect market, connect api, subscribe, close market requested | reply_timeout",
    );
}

#[test]
fn a_lost_link_takes_its_books_at_once() {
    check(
        "market",
        &live(
            "down market => Idle 0 | - | -
            t 300        => Idle 0 | connect market | -
            up market
            accept       => Buffering 0 | subscribe | -",
        ),
    );
    check(
        "the API link: live books live on",
        &live(
            "down api   => Live 1010 | - | -
            diff 1012 1013 - - => Waiting 0 | - | sequence_gap
            t 300       => Waiting 0 | connect api | -
            up api      => Buffering 0 | - | -",
        ),
    );
    check(
        "silence",
        &live("t 10001 => Idle 0 | close market silent | -"),
    );
}

#[test]
fn a_closing_venue_is_left_in_time() {
    check(
        "server shutdown",
        &live(
            "raw market {\"stream\":\"!serverShutdown\",\"data\":{\"e\":\"serverShutdown\",\"E\":1770123456789}} => Live 1010 | - | -
            t 2  => Live 1010 | connect market | -
            up market => Live 1010 | subscribe | -
            accept    => Live 1010 | - | -
            diff 1006 1010 - - => Live 1010 | - | -
            diff 1011 1011 - - => Live 1011 | - | -
            t 2002    => Live 1011 | close market requested | -
            diff 1012 1013 - - => Live 1013 | - | -",
        ),
    );
    // Not one diff came on both: the book is handed over all the same, and a hole is a gap again.
    check(
        "a quiet book",
        &live(
            "raw market {\"stream\":\"!serverShutdown\",\"data\":{\"e\":\"serverShutdown\",\"E\":1770123456789}}
            t 2
            up market
            accept    => Live 1010 | connect market, subscribe | -
            t 2002    => Live 1010 | close market requested | -
            diff 1012 1013 - - => Buffering 0 | - | sequence_gap",
        ),
    );
}

/// Every kind of fault, a message that is one, and the state that it leaves a live book in.
#[test]
fn every_kind_of_fault_has_a_message_and_its_answer() {
    let many: Vec<String> = (0..5_001)
        .map(|number| format!("[\"{number}.01000000\",\"1.00000000\"]"))
        .collect();
    let one = "[[\"100.00000000\",\"1.00000000\"]]";
    let bid =
        |price: &str, qty: &str| diff("1011", "1012", &format!("[[\"{price}\",\"{qty}\"]]"), "[]");
    let cases: Vec<(VenueFault, String, &str)> = vec![
        (VenueFault::Malformed, "{\"stream\":".to_owned(), "close"),
        (
            VenueFault::DuplicateKey,
            diff("1011", "1012", one, "[]").replace("\"U\":1011", "\"U\":1011,\"U\":1011"),
            "close",
        ),
        (
            VenueFault::MissingField,
            diff("1011", "1012", one, "[]").replace("\"U\":1011,", ""),
            "resync",
        ),
        (
            VenueFault::WrongType,
            diff("1011", "1012", one, "[]").replace("1011", "\"1011\""),
            "resync",
        ),
        (VenueFault::NumberSyntax, bid("1e2", "1.0"), "resync"),
        (
            VenueFault::NumberOffGrid,
            bid("100.00100000", "1.0"),
            "resync",
        ),
        (
            VenueFault::NumberRange,
            bid("100.00", "999999999999999999999999999999"),
            "resync",
        ),
        (VenueFault::ZeroPrice, bid("0.00", "1.0"), "resync"),
        (
            VenueFault::EmptyTrade,
            trade("1", "100.00000000", "0.00000000"),
            "drop",
        ),
        (
            VenueFault::UnknownInstrument,
            diff("1011", "1012", one, "[]")
                .replace("BTCUSDT", "XRPUSDT")
                .replace("btcusdt", "xrpusdt"),
            "drop",
        ),
        (
            VenueFault::StreamMismatch,
            diff("1011", "1012", one, "[]").replace("btcusdt", "ethusdt"),
            "close",
        ),
        (
            VenueFault::TooManyLevels,
            diff("1011", "1012", &format!("[{}]", many.join(",")), "[]"),
            "resync",
        ),
        (
            VenueFault::IdsReversed,
            diff("1012", "1011", one, "[]"),
            "resync",
        ),
        (
            VenueFault::SequenceGap,
            diff("1012", "1013", one, "[]"),
            "resync",
        ),
        (
            VenueFault::IdWentBack,
            diff("1006", "1010", one, "[]"),
            "drop",
        ),
        (VenueFault::CrossedBook, bid("100.01", "1.0"), "resync"),
    ];
    let mut produced: Vec<VenueFault> = Vec::new();
    for (kind, message, answer) in cases {
        let mut desk = check(kind.label(), &live(""));
        desk.outcome();
        desk.message(LinkRole::Market, &message);
        let expected = match answer {
            "drop" => format!("Live 1010 | - | {}", kind.label()),
            "resync" => format!("Buffering 0 | - | {}", kind.label()),
            _ => format!("Idle 0 | close market requested | {}", kind.label()),
        };
        assert_eq!(desk.outcome(), expected, "{}", kind.label());
        produced.push(kind);
    }

    // These take more than one message: scripts, and what each ends with.
    let mut window = String::from(UP);
    for id in 1..=257 {
        writeln!(window, "diff {id} {id} - -").expect("a string");
    }
    let scripts = [
        (VenueFault::WindowFull, window),
        (
            VenueFault::SnapshotTooOld,
            format!("{UP} diff 10 12 - -\nsnapshot 9 - -"),
        ),
        (
            VenueFault::ReplyTimeout,
            format!("{UP} diff 10 12 - -\nt 5001"),
        ),
        (
            VenueFault::TouchMismatch,
            live("ticker 1010 100.00x2 100.01x2"),
        ),
        (
            VenueFault::StreamBehind,
            live(
                "ticker 1011 100.00x2 100.01x2\nt 500\nticker 1012 100.00x2 100.01x2
                t 1000\nticker 1013 100.00x2 100.01x2\nt 1100\nticker 1014 100.00x2 100.01x2",
            ),
        ),
        (VenueFault::StreamSilent, silent_stream()),
        (
            VenueFault::SubscribeRefused,
            "t 0\nup market\nrefuse".to_owned(),
        ),
        (
            VenueFault::RequestRefused,
            format!("{UP} diff 10 12 - -\nerror 400 -1121"),
        ),
        (
            VenueFault::RateLimited,
            format!("{UP} diff 10 12 - -\nerror 429 -1003"),
        ),
        (
            VenueFault::Banned,
            format!("{UP} diff 10 12 - -\nerror 418 -1003"),
        ),
    ];
    for (kind, script) in scripts {
        let desk = check(kind.label(), &script);
        assert!(
            desk.reader.counters.faults(kind as u8) > 0,
            "{} did not happen",
            kind.label()
        );
        produced.push(kind);
    }
    for kind in VenueFault::ALL {
        assert!(
            kind.is_of_orders() || produced.contains(&kind),
            "no scenario of {}",
            kind.label()
        );
    }
}

/// Keeps both links alive from `from` to `to` seconds.
fn keep_alive(from: u64, to: u64) -> String {
    let mut script = String::new();
    for second in from..to {
        writeln!(script, "t {}\ntrade {second}\ntime", second * 1_000).expect("a string");
    }
    script
}

/// A book whose diffs never come: the venue's id moves on and the stream does not.
fn silent_stream() -> String {
    let (first, second) = (keep_alive(1, 62), keep_alive(62, 64));
    format!(
        "{UP} t 252
        snapshot 1000 100.00x1 100.01x2 => Bridging 1000 | depth 5000 | -
        {first}
        snapshot 1007 100.00x1 100.01x2
        {second}"
    )
}

#[test]
fn a_stream_without_diffs_asks_for_a_successor_of_its_link() {
    check(
        "silent",
        &format!(
            "{} t 64000 => Requested 0 | time, time, time, time, depth 5, connect market, depth 5000 | stream_silent",
            silent_stream()
        ),
    );
}
