//! The loop in its steady state, on the test's own thread: an echo, or the engine with a live book.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use crate::server::Pki;
use crate::venue;
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::{
    ConnectorEnds, Endpoint, FromConnector, ToConnector, WALL_UNKNOWN, connect_link, rings,
};
use veloz_core::edge::core_loop::{CoreLoop, EventHandler, LoopConfig, NoTap, Surroundings};
use veloz_core::edge::idle::IdleKind;
use veloz_core::edge::tls::config_of_roots;
use veloz_core::engine::Engine;
use veloz_core::event::{Event, LinkId, LinkRole};
use veloz_core::instrument::InstrumentIndex;
use veloz_core::outbox::Outbox;
use veloz_core::telemetry::counters::MessageKind;
use veloz_core::telemetry::{Sizes, Telemetry, TelemetryReader, telemetry};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::resync::SyncState;

/// A loop on this thread, and the connector's side of it.
pub(crate) struct Bench<E> {
    pub(crate) core: CoreLoop<E, Clock, NoTap>,
    connector: ConnectorEnds,
    endpoints: Vec<Endpoint>,
    clock: Clock,
}

impl<E: EventHandler> Bench<E> {
    /// Market links go to the first port, and on to the next with each generation; API links to the
    /// last.
    pub(crate) fn new(pki: &Pki, engine: E, clock: Clock, ports: &[u16]) -> Self {
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
        let endpoint = |port| Endpoint::new(&format!("wss://localhost:{port}/"), &tls);
        let endpoints = ports
            .iter()
            .map(|port| endpoint(port).expect("a URL"))
            .collect();
        Self {
            core,
            connector,
            endpoints,
            clock,
        }
    }

    /// Turns until `done`.
    pub(crate) fn turn_until(&mut self, done: impl Fn(&mut E) -> bool) {
        while !done(self.core.engine()) {
            self.turn();
        }
    }

    /// One turn, and the connections that it asked for.
    pub(crate) fn turn(&mut self) {
        self.core.turn();
        while let Ok(ToConnector::Connect(wish)) = self.connector.from_core.pop() {
            let at = match wish.role {
                LinkRole::Market => wish.generation as usize - 1,
                LinkRole::Api | LinkRole::Orders => self.endpoints.len() - 1,
            };
            let endpoint = &self.endpoints[at];
            let link = connect_link(endpoint, wish, self.clock, Nanos::from_secs(60));
            let ready = FromConnector::Ready(link.expect("a good server"));
            assert!(self.connector.to_core.push(ready).is_ok());
        }
    }
}

/// Asks for its links at once and answers every message with its own bytes.
pub(crate) struct Echo {
    links: u32,
    asked: bool,
    pub(crate) messages: u64,
    telemetry: Telemetry,
}

impl Echo {
    pub(crate) fn new(links: u32) -> Self {
        Self {
            links,
            asked: false,
            messages: 0,
            telemetry: telemetry(1, Sizes::default()).0,
        }
    }
}

impl EventHandler for Echo {
    fn react(&mut self, _: Nanos, event: Event<'_>, out: &mut Outbox) {
        match event {
            Event::Tick => {
                self.asked = true;
                for generation in 1..=self.links {
                    let role = LinkRole::Market;
                    out.connect(LinkId { role, generation }).expect("room");
                }
            }
            Event::Message { link, payload } => {
                self.messages += 1;
                out.send(link, &[payload.bytes()]).expect("room");
            }
            Event::LinkDown { cause, .. } => panic!("down: {cause:?}"),
            _ => {}
        }
    }

    fn finish(&mut self, _: &mut Outbox) {}

    fn next_deadline(&self) -> Option<Nanos> {
        (!self.asked).then_some(Nanos::ZERO)
    }

    fn orders_in_kernel(&mut self, _: Nanos, _: Nanos) {}

    fn telemetry(&mut self) -> &mut Telemetry {
        &mut self.telemetry
    }
}

/// An engine whose one book is live, and the venue behind it.
pub(crate) struct LiveBook {
    bench: Bench<Engine<Clock>>,
    reader: TelemetryReader,
    say: Sender<usize>,
    said: u64,
    venue: [JoinHandle<()>; 2],
}

/// Connects an engine to a venue and synchronises its book.
pub(crate) fn live_book() -> LiveBook {
    let pki = Pki::new();
    let (say, counts) = std::sync::mpsc::channel();
    let sent_id = Arc::new(AtomicU64::new(0));
    let (market_port, market) = venue::market(&pki, counts, Arc::clone(&sent_id));
    let (api_port, api) = venue::api(&pki, sent_id);
    let clock = Clock::calibrate();
    let (engine, reader) = venue::engine(clock);
    let mut live = LiveBook {
        bench: Bench::new(&pki, engine, clock, &[market_port, api_port]),
        reader,
        say,
        said: 0,
        venue: [market, api],
    };
    // A book that synchronises wants a diff to bridge with, and not more than its window holds.
    loop {
        let book = live.bench.core.engine().book_state(InstrumentIndex(0));
        match book {
            (SyncState::Live, _) => return live,
            (SyncState::Buffering, 0) | (SyncState::Bridging, _) => {
                let total = live.say(3);
                live.turn_until_messages(total);
            }
            _ => live.bench.turn(),
        }
    }
}

impl LiveBook {
    /// Has the venue send `count` market messages; how many that makes since the start.
    pub(crate) fn say(&mut self, count: u64) -> u64 {
        self.say.send(count as usize).expect("it listens");
        self.said += count;
        self.said
    }

    /// Market messages handled since the start.
    pub(crate) fn messages(&self) -> u64 {
        market_messages(&self.reader)
    }

    /// Turns until so many market messages were handled since the start.
    pub(crate) fn turn_until_messages(&mut self, count: u64) {
        let Self { bench, reader, .. } = self;
        bench.turn_until(|_| market_messages(reader) >= count);
    }

    pub(crate) fn book_is_live(&mut self) -> bool {
        let engine = self.bench.core.engine();
        engine.book(InstrumentIndex(0)).is_some()
    }

    /// Hangs up, and waits for the venue to notice.
    pub(crate) fn end(self) {
        drop(self.bench);
        drop(self.say);
        for thread in self.venue {
            thread.join().expect("no panic");
        }
    }
}

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
