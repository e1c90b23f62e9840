//! The law of the hot path, counted: after warm-up the core thread allocates nothing of its own.
//! rustls 0.23 allocates one buffer for each record that it decrypts or encrypts; that is the whole
//! budget here, to the last allocation. Its rarer ones (new keys, tickets) are counted too.

#[path = "support/server.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod server;
#[path = "support/venue.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod venue;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use server::{Pki, frame, read_frame, read_to_end, serve_websocket};
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::{
    ConnectorEnds, Endpoint, FromConnector, ToConnector, WALL_UNKNOWN, connect_link, rings,
};
use veloz_core::edge::core_loop::{CoreLoop, EventHandler, LoopConfig, NoTap, Surroundings};
use veloz_core::edge::idle::IdleKind;
use veloz_core::edge::tls::config_of_roots;
use veloz_core::event::{Event, LinkId, LinkRole};
use veloz_core::instrument::InstrumentIndex;
use veloz_core::outbox::Outbox;
use veloz_core::telemetry::counters::MessageKind;
use veloz_core::telemetry::{Sizes, Telemetry, TelemetryReader, telemetry};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::resync::SyncState;

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts what armed threads allocate.
struct Counting;

fn note() {
    if ARMED.get() {
        COUNT.set(COUNT.get() + 1);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches only a thread-local
// without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is the callee's demand.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread inside `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.set(0);
    ARMED.set(true);
    work();
    ARMED.set(false);
    COUNT.get()
}

/// A loop on this thread, and the connector's side of it.
struct Bench<E> {
    core: CoreLoop<E, Clock, NoTap>,
    connector: ConnectorEnds,
    endpoints: [Endpoint; 2],
    clock: Clock,
}

impl<E: EventHandler> Bench<E> {
    fn new(pki: &Pki, engine: E, clock: Clock, ports: [u16; 2]) -> Self {
        let (links, connector) = rings();
        let core = CoreLoop::new(
            engine,
            clock,
            NoTap,
            LoopConfig {
                idle: IdleKind::Spin,
                silence_max: Nanos::from_secs(45),
            },
            Surroundings {
                links,
                commands: crossbeam_channel::bounded(1).1,
                unix_ns_at_zero: Arc::new(AtomicI64::new(WALL_UNKNOWN)),
                stop: Arc::new(AtomicBool::new(false)),
                poll: mio::Poll::new().expect("a poll"),
            },
        );
        let tls = config_of_roots(pki.roots.clone());
        let endpoints = ports
            .map(|port| Endpoint::new(&format!("wss://localhost:{port}/"), &tls).expect("a URL"));
        Self {
            core,
            connector,
            endpoints,
            clock,
        }
    }

    /// Turns until `done`.
    fn turn_until(&mut self, done: impl Fn(&mut E) -> bool) {
        while !done(self.core.engine()) {
            self.turn();
        }
    }

    /// One turn, and the connections that it asked for.
    fn turn(&mut self) {
        self.core.turn();
        while let Ok(ToConnector::Connect(wish)) = self.connector.from_core.pop() {
            let endpoint = &self.endpoints[wish.role as usize];
            let link = connect_link(endpoint, wish, self.clock, Nanos::from_secs(60));
            let ready = FromConnector::Ready(link.expect("a good server"));
            assert!(self.connector.to_core.push(ready).is_ok());
        }
    }
}

/// Connects at once and answers every message with its own bytes.
struct Echo {
    asked: bool,
    messages: u64,
    telemetry: Telemetry,
}

impl Echo {
    fn new() -> Self {
        Self {
            asked: false,
            messages: 0,
            telemetry: telemetry(1, Sizes::default()).0,
        }
    }
}

impl EventHandler for Echo {
    fn handle(&mut self, _: Nanos, event: Event<'_>, out: &mut Outbox) {
        match event {
            Event::Tick => {
                self.asked = true;
                let role = LinkRole::Market;
                out.connect(LinkId {
                    role,
                    generation: 1,
                })
                .expect("room");
            }
            Event::Message { link, payload } => {
                self.messages += 1;
                out.send(link, &[payload.bytes()]).expect("room");
            }
            Event::LinkDown { cause, .. } => panic!("down: {cause:?}"),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Nanos> {
        (!self.asked).then_some(Nanos::ZERO)
    }

    fn telemetry(&mut self) -> &mut Telemetry {
        &mut self.telemetry
    }
}

#[test]
fn a_record_in_and_a_record_out_are_one_allocation_each() {
    const WARM_UP: u64 = 200;
    const ROUNDS: u64 = 2_000;
    let pki = Pki::new();
    let (go, may_go) = std::sync::mpsc::channel();
    // In lock-step: a ping and its pong, a message and its echo.
    let (port, peer) = serve_websocket(&pki, move |mut tls| {
        for round in 0..WARM_UP + ROUNDS {
            if round == WARM_UP {
                may_go.recv().expect("the counted part begins");
            }
            let size = 100 + (round * 97 % 1_400) as usize;
            tls.write_all(&frame(0x89, &[b'p'; 20])).expect("sent");
            assert_eq!(read_frame(&mut tls).expect("a pong").1, [b'p'; 20]);
            tls.write_all(&frame(0x81, &vec![b'x'; size]))
                .expect("sent");
            assert_eq!(read_frame(&mut tls).expect("an echo").1.len(), size);
        }
        read_to_end(&mut tls);
    });
    let mut bench = Bench::new(&pki, Echo::new(), Clock::calibrate(), [port; 2]);
    bench.turn_until(|echo| echo.messages == WARM_UP);
    go.send(()).expect("it waits");
    let count = allocations(|| bench.turn_until(|echo| echo.messages == WARM_UP + ROUNDS));
    assert_eq!(
        count,
        4 * ROUNDS,
        "two records in and two out a round, and nothing else"
    );
    drop(bench);
    peer.join().expect("no panic");
}

#[test]
fn new_keys_and_tickets_cost_a_known_number() {
    const WARM_UP: u64 = 50;
    const ROUNDS: u64 = 20;
    let pki = Pki::new();
    let (go, may_go) = std::sync::mpsc::channel();
    let (port, peer) = serve_websocket(&pki, move |mut tls| {
        for round in 0..WARM_UP + ROUNDS {
            if round == WARM_UP {
                may_go.recv().expect("the counted part begins");
            }
            if round >= WARM_UP {
                tls.conn.refresh_traffic_keys().expect("TLS 1.3");
            }
            tls.write_all(&frame(0x81, b"message")).expect("sent");
            read_frame(&mut tls).expect("an echo");
        }
        read_to_end(&mut tls);
    });
    let mut bench = Bench::new(&pki, Echo::new(), Clock::calibrate(), [port; 2]);
    bench.turn_until(|echo| echo.messages == WARM_UP);
    go.send(()).expect("it waits");
    let count = allocations(|| bench.turn_until(|echo| echo.messages == WARM_UP + ROUNDS));
    let each = (count - 2 * ROUNDS) / ROUNDS;
    assert_eq!(count, (2 + each) * ROUNDS, "the same every time");
    assert!(each <= NEW_KEYS_ALLOCATIONS_MAX, "{each} for new keys");
    drop(bench);
    peer.join().expect("no panic");
}

/// What rustls allocates when the peer changes its keys and asks for ours, beside the records.
const NEW_KEYS_ALLOCATIONS_MAX: u64 = 9;

fn market_messages(reader: &TelemetryReader) -> u64 {
    let kinds = [
        MessageKind::DepthDiff,
        MessageKind::BookTicker,
        MessageKind::Trade,
    ];
    kinds
        .iter()
        .map(|kind| reader.counters.messages(*kind))
        .sum()
}

#[test]
fn the_engine_holds_a_live_book_without_allocating() {
    const WARM_UP: u64 = 3_000;
    const COUNTED: u64 = 30_000;
    let pki = Pki::new();
    let (say, counts) = std::sync::mpsc::channel();
    let sent_id = Arc::new(AtomicU64::new(0));
    let (market_port, market) = venue::market(&pki, counts, Arc::clone(&sent_id));
    let (api_port, api) = venue::api(&pki, sent_id);
    let clock = Clock::calibrate();
    let (engine, mut reader) = venue::engine(clock);
    let mut bench = Bench::new(&pki, engine, clock, [market_port, api_port]);
    // A book that synchronises wants a diff to bridge with, and not more than its window holds.
    let mut said = 0;
    loop {
        match bench.core.engine().book_state(InstrumentIndex(0)) {
            (SyncState::Live, _) => break,
            (SyncState::Buffering, 0) | (SyncState::Bridging, _) => {
                say.send(3).expect("it listens");
                said += 3;
                bench.turn_until(|_| market_messages(&reader) == said);
            }
            _ => bench.turn(),
        }
    }
    let total = said + WARM_UP + COUNTED;
    say.send((WARM_UP + COUNTED) as usize).expect("it listens");
    bench.turn_until(|_| market_messages(&reader) >= said + WARM_UP);

    // At the end of a turn every decrypted record is handled, and each holds one message.
    let before = market_messages(&reader);
    let count = allocations(|| {
        bench.turn_until(|_| market_messages(&reader) == total);
    });
    assert_eq!(count, total - before, "one a record");

    let book = bench.core.engine().book(InstrumentIndex(0));
    assert!(book.is_some(), "it was live all along");
    while let Some(record) = reader.records.pop() {
        assert!(record.at < clock.now());
    }
    drop(bench);
    drop(say);
    market.join().expect("no panic");
    api.join().expect("no panic");
}
