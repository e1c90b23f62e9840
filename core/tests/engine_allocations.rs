//! The engine allocates nothing after it is built: not for messages of any size, not for a resync,
//! not when links go and come. The allocator counts what this thread asks for inside `handle`.

#[path = "support/heap.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod heap;

use std::fmt::Write as _;
use veloz_core::config::EngineConfig;
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::event::{Event, LinkDown, LinkId, LinkRole, PayloadBuf};
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::outbox::{Action, Outbox};
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{E8, Grid, Nanos};
use veloz_core::venue::binance::resync::SyncState;

const SYMBOL: &str = "BTCUSDT";
const BOOK: InstrumentIndex = InstrumentIndex(0);

struct Desk {
    engine: Engine<NoStopwatch>,
    reader: TelemetryReader,
    out: Outbox,
    now: Nanos,
    links: [Option<LinkId>; LinkRole::ALL.len()],
    last_id: String,
    last_subscribe: String,
    allocations: u64,
}

impl Desk {
    fn new() -> Self {
        let none = || Bounds {
            min: None,
            max: None,
        };
        let instrument = Instrument {
            symbol: Symbol::new(SYMBOL).expect("short"),
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
        let (writer, reader) = telemetry(1, Sizes::default());
        let instruments = Instruments::new(vec![instrument]).expect("one");
        let engine = Engine::new(EngineConfig::default(), instruments, writer, NoStopwatch)
            .expect("few streams");
        Self {
            engine,
            reader,
            out: Outbox::new(),
            now: Nanos::ZERO,
            links: [None; LinkRole::ALL.len()],
            last_id: String::new(),
            last_subscribe: String::new(),
            allocations: 0,
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        self.allocations += heap::calls(|| self.engine.handle(self.now, event, &mut self.out));
        for action in self.out.actions() {
            match action {
                Action::Connect { link } => self.links[link.role as usize] = Some(link),
                Action::Close { .. } => {}
                Action::Send { message, .. } => {
                    let json: serde_json::Value =
                        serde_json::from_slice(message).expect("we send JSON");
                    if json["method"] == "SUBSCRIBE" {
                        self.last_subscribe = json["id"].to_string();
                    } else if json["method"] == "depth" {
                        self.last_id = json["id"].to_string();
                    }
                }
            }
        }
        self.out.clear();
        while self.reader.records.pop().is_some() {}
        while self.reader.samples.pop().is_some() {}
    }

    fn tick(&mut self, ms: u64) {
        let to = self.now.plus(Nanos::from_ms(ms));
        while let Some(due) = self.engine.next_deadline().filter(|due| *due <= to) {
            self.now = self.now.max(due);
            self.handle(Event::Tick);
        }
        self.now = to;
    }

    fn link(&self, role: LinkRole) -> LinkId {
        self.links[role as usize].expect("asked")
    }

    fn message(&mut self, role: LinkRole, text: &str) {
        let buf = PayloadBuf::new(text.as_bytes());
        self.handle(Event::Message {
            link: self.link(role),
            payload: buf.payload(),
        });
    }

    /// Both links from nothing to subscribed, and the book from nothing to live.
    fn come_up(&mut self, id: u64, levels: usize) {
        self.tick(1_000);
        for role in [LinkRole::Market, LinkRole::Api] {
            self.handle(Event::LinkUp {
                link: self.link(role),
            });
        }
        let accepted = format!("{{\"result\":null,\"id\":{}}}", self.last_subscribe);
        self.message(LinkRole::Market, &accepted);
        self.message(LinkRole::Market, &diff(id, levels));
        let snapshot = format!(
            "{{\"id\":{},\"status\":200,\"result\":{{\"lastUpdateId\":{id},\"bids\":{},\"asks\":{}}}}}",
            self.last_id,
            side(5_000, levels, false),
            side(6_000, levels, true)
        );
        self.message(LinkRole::Api, &snapshot);
        self.message(LinkRole::Market, &diff(id + 1, 2));
        assert_eq!(self.engine.book_state(BOOK).0, SyncState::Live);
    }
}

fn side(from: u64, count: usize, up: bool) -> String {
    let mut text = String::from("[");
    for offset in 0..count as u64 {
        let price = if up { from + offset } else { from - offset };
        let comma = if offset == 0 { "" } else { "," };
        write!(text, "{comma}[\"{price}.25000000\",\"1.50000000\"]").expect("a string");
    }
    text.push(']');
    text
}

fn diff(id: u64, levels: usize) -> String {
    format!(
        "{{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":1700000000100,\"s\":\"{SYMBOL}\",\"U\":{id},\"u\":{id},\"b\":{},\"a\":{}}}}}",
        side(5_000, levels, false),
        side(6_000, levels, true)
    )
}

#[test]
fn nothing_is_allocated_once_the_engine_is_built() {
    let mut desk = Desk::new();
    desk.come_up(100, 5_000);
    let mut id = 102;
    for levels in [0, 2, 20, 200, 5_000, 2] {
        desk.message(LinkRole::Market, &diff(id, levels));
        desk.message(
            LinkRole::Market,
            &format!(
                "{{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"u\":{id},\"s\":\"{SYMBOL}\",\"b\":\"5000.25000000\",\"B\":\"1.50000000\",\"a\":\"6000.25000000\",\"A\":\"1.50000000\"}}}}"
            ),
        );
        desk.message(
            LinkRole::Market,
            &format!(
                "{{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":1700000000100,\"s\":\"{SYMBOL}\",\"t\":{id},\"p\":\"5000.25000000\",\"q\":\"1.50000000\",\"T\":1700000000100,\"m\":true,\"M\":true}}}}"
            ),
        );
        // Keys in another order: the tolerant parser takes over.
        desk.message(
            LinkRole::Market,
            &format!(
                "{{\"data\":{{\"t\":{},\"E\":1700000000100,\"e\":\"trade\",\"s\":\"{SYMBOL}\",\"p\":\"5000.25000000\",\"q\":\"1.50000000\",\"T\":1700000000100,\"m\":true,\"M\":true}},\"stream\":\"btcusdt@trade\"}}",
                1_000_000 + id
            ),
        );
        id += 1;
    }
    // A gap, and the links lost and found.
    desk.message(LinkRole::Market, &diff(id + 5, 20));
    assert_ne!(desk.engine.book_state(BOOK).0, SyncState::Live);
    for role in [LinkRole::Market, LinkRole::Api] {
        desk.handle(Event::LinkDown {
            link: desk.link(role),
            cause: LinkDown::Closed,
        });
    }
    desk.come_up(10_000, 1_000);
    desk.tick(20_000);
    assert_eq!(desk.allocations, 0);
}
