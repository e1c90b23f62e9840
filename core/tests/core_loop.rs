//! The loop around a engine that the test wrote: order, bounds, adoption, ends, and the threads.
//! Turns are taken by the test where it matters; nothing sleeps.

#[path = "support/server.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod server;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crossbeam_channel::{Sender, bounded};
use server::{Pki, answer_to, frame, read_frame, read_request, read_to_end, serve_websocket};
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::{
    ConnectorEnds, Endpoint, FromConnector, ToConnector, WALL_UNKNOWN, connect_link, rings,
};
use veloz_core::edge::core_loop::{
    CoreLoop, EdgeConfig, EventHandler, LoopConfig, NoTap, StartError, Surroundings, Tap, spawn,
};
use veloz_core::edge::cpu::Scheduling;
use veloz_core::edge::idle::IdleKind;
use veloz_core::edge::link::Link;
use veloz_core::edge::tls::config_of_roots;
use veloz_core::engine::Stopwatch;
use veloz_core::event::{Command, Event, LinkDown, LinkId, LinkRole};
use veloz_core::limits::{EVENTS_PER_TURN_MAX, LINKS_MAX, RECORDS_HEADROOM};
use veloz_core::outbox::Outbox;
use veloz_core::telemetry::counters::Counter;
use veloz_core::telemetry::records::RecordBody;
use veloz_core::telemetry::{Sizes, Telemetry, TelemetryReader, telemetry};
use veloz_core::units::Nanos;

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Up(LinkId),
    Down(LinkId, LinkDown),
    Refused(LinkId, u16, Option<Nanos>),
    Message(LinkId, Vec<u8>),
    Command(Command),
    Tick,
    Backlog(bool),
    Wall(i64),
    Blocked(LinkId, bool),
}

fn seen(event: &Event<'_>) -> Seen {
    match *event {
        Event::LinkUp { link } => Seen::Up(link),
        Event::LinkDown { link, cause } => Seen::Down(link, cause),
        Event::LinkRefused {
            link,
            status,
            pause,
        } => Seen::Refused(link, status, pause),
        Event::Message { link, payload } => Seen::Message(link, payload.bytes().to_vec()),
        Event::Command(command) => Seen::Command(command),
        Event::Tick => Seen::Tick,
        Event::Backlog(above) => Seen::Backlog(above),
        Event::WallClock { unix_ns_at_zero } => Seen::Wall(unix_ns_at_zero),
        Event::LinkBlocked { link, blocked } => Seen::Blocked(link, blocked),
    }
}

/// What a scripted engine does at an event.
type Reaction = Box<dyn FnMut(&Seen, &mut Outbox, &mut Telemetry) + Send>;

/// A engine that keeps what it saw and does what the test says.
struct Script {
    log: Vec<(Nanos, Seen)>,
    react: Reaction,
    deadline: Option<Nanos>,
    telemetry: Telemetry,
}

impl Script {
    fn new(
        react: impl FnMut(&Seen, &mut Outbox, &mut Telemetry) + Send + 'static,
    ) -> (Self, TelemetryReader) {
        let (telemetry, reader) = telemetry(1, Sizes::default());
        let script = Self {
            log: Vec::new(),
            react: Box::new(react),
            deadline: None,
            telemetry,
        };
        (script, reader)
    }

    fn events(&self) -> Vec<Seen> {
        self.log.iter().map(|(_, seen)| seen.clone()).collect()
    }
}

impl EventHandler for Script {
    fn handle(&mut self, now: Nanos, event: Event<'_>, out: &mut Outbox) {
        let seen = seen(&event);
        if seen == Seen::Tick {
            self.deadline = None;
        }
        (self.react)(&seen, out, &mut self.telemetry);
        self.log.push((now, seen));
    }

    fn next_deadline(&self) -> Option<Nanos> {
        self.deadline
    }

    fn orders_in_kernel(&mut self, _: Nanos, _: Nanos) {}

    fn telemetry(&mut self) -> &mut Telemetry {
        &mut self.telemetry
    }
}

/// A tap that keeps what it saw.
#[derive(Default)]
struct Log(Vec<(Nanos, Seen)>);

impl Tap for Log {
    fn see(&mut self, now: Nanos, event: &Event<'_>) {
        self.0.push((now, seen(event)));
    }
}

/// A clock that the test sets.
#[derive(Clone, Default)]
struct HandClock(Arc<AtomicU64>);

impl HandClock {
    fn set(&self, now: Nanos) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Stopwatch for HandClock {
    fn stamp(&self) -> Nanos {
        Nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A loop whose connector is the test.
struct Bench {
    core: CoreLoop<Script, HandClock, Log>,
    connector: ConnectorEnds,
    commands: Sender<Command>,
    wall: Arc<AtomicI64>,
    clock: HandClock,
    telemetry: TelemetryReader,
}

const SILENCE_MAX: Nanos = Nanos::from_secs(45);
/// Turns after which every housekeeping job had its turn.
const ROUND: usize = 8;

impl Bench {
    fn new(react: impl FnMut(&Seen, &mut Outbox, &mut Telemetry) + Send + 'static) -> Self {
        let (engine, telemetry) = Script::new(react);
        let (links, connector) = rings();
        let (commands, command_receiver) = bounded(8);
        let wall = Arc::new(AtomicI64::new(WALL_UNKNOWN));
        let clock = HandClock::default();
        let core = CoreLoop::new(
            engine,
            clock.clone(),
            Log::default(),
            LoopConfig {
                idle: IdleKind::Spin,
                silence_max: SILENCE_MAX,
            },
            Surroundings {
                links,
                commands: command_receiver,
                unix_ns_at_zero: Arc::clone(&wall),
                stop: Arc::new(AtomicBool::new(false)),
                poll: mio::Poll::new().expect("a poll"),
            },
        );
        Self {
            core,
            connector,
            commands,
            wall,
            clock,
            telemetry,
        }
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.core.turn();
        }
    }

    /// Turns until the engine saw `count` events of some kind.
    fn turns_until(&mut self, what: impl Fn(&[(Nanos, Seen)]) -> bool) {
        while !what(&self.core.engine().log) {
            self.core.turn();
        }
    }

    /// Takes the wish that the engine just made and answers it with a real connection to `port`.
    fn fulfil(&mut self, port: u16) -> LinkId {
        let wish = loop {
            match self.connector.from_core.pop() {
                Ok(ToConnector::Connect(link)) => break link,
                Ok(ToConnector::Retire(link)) => drop(link),
                Ok(ToConnector::Forget(link)) => panic!("{link:?} was taken back"),
                Err(_) => self.turns(1),
            }
        };
        let ready = FromConnector::Ready(plain_link(port, wish));
        assert!(self.connector.to_core.push(ready).is_ok());
        wish
    }

    fn retired(&mut self) -> Vec<LinkId> {
        self.turns(ROUND);
        let mut ids = Vec::new();
        while let Ok(said) = self.connector.from_core.pop() {
            if let ToConnector::Retire(link) = said {
                ids.push(link.id());
            }
        }
        ids
    }
}

fn id(generation: u32) -> LinkId {
    LinkId {
        role: LinkRole::Market,
        generation,
    }
}

fn plain_link(port: u16, link: LinkId) -> Box<Link> {
    let tls = config_of_roots(rustls::RootCertStore::empty());
    let to = Endpoint::new(&format!("ws://127.0.0.1:{port}/"), &tls).expect("a URL");
    connect_link(&to, link, Clock::kernel(), Nanos::from_secs(60)).expect("a good server")
}

/// Accepts websockets without TLS and hands the peers' sockets to the test.
fn plain_server(count: usize) -> (u16, crossbeam_channel::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let (accepted, sockets) = bounded(count);
    std::thread::spawn(move || {
        for _ in 0..count {
            let (mut socket, _) = listener.accept().expect("a client");
            socket.set_nodelay(true).expect("a TCP socket");
            let answer = answer_to(&read_request(&mut socket));
            socket.write_all(answer.as_bytes()).expect("sent");
            if accepted.send(socket).is_err() {
                return;
            }
        }
    });
    (port, sockets)
}

/// A engine that asks for `count` links at the first tick.
fn connects(count: u32) -> impl FnMut(&Seen, &mut Outbox, &mut Telemetry) + Send + 'static {
    move |event, out, _| {
        if *event == Seen::Tick {
            for generation in 1..=count {
                out.connect(id(generation)).expect("room");
            }
        }
    }
}

fn messages(log: &[(Nanos, Seen)]) -> Vec<Vec<u8>> {
    log.iter()
        .filter_map(|(_, seen)| match seen {
            Seen::Message(_, bytes) => Some(bytes.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn what_an_event_causes_is_sent_before_the_next_is_handled() {
    let (port, sockets) = plain_server(1);
    let (peer_socket, from_test) = bounded::<TcpStream>(1);
    let mut peer: Option<TcpStream> = None;
    let mut answered = 0;
    let mut bench = Bench::new(move |event, out, _| match event {
        Seen::Tick => out.connect(id(1)).expect("room"),
        Seen::Message(link, bytes) => {
            let peer = peer.get_or_insert_with(|| from_test.recv().expect("the peer's socket"));
            // The answer to the message before this one was sent: the only thread that could send it
            // now is here, waiting for it. (The time only ends a test that fails.)
            if answered > 0 {
                peer.set_read_timeout(Some(std::time::Duration::from_secs(30)))
                    .expect("a socket");
                let (_, text) = read_frame(peer).expect("it is on its way");
                assert_eq!(text, format!("answer {answered}").as_bytes());
            }
            answered += 1;
            assert_eq!(bytes, format!("question {answered}").as_bytes());
            let answer = format!("answer {answered}");
            out.send(*link, &[answer.as_bytes()]).expect("room");
        }
        _ => {}
    });
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.fulfil(port);
    let mut socket = sockets.recv().expect("connected");
    peer_socket
        .send(socket.try_clone().expect("a socket"))
        .expect("the engine waits");
    let burst: Vec<u8> = (1..=20)
        .flat_map(|n| frame(0x81, format!("question {n}").as_bytes()))
        .collect();
    socket.write_all(&burst).expect("sent");
    bench.turns_until(|log| messages(log).len() == 20);
}

#[test]
fn a_turn_is_bounded_and_timers_come_between() {
    let (port, sockets) = plain_server(1);
    let mut bench = Bench::new(connects(1));
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.fulfil(port);
    bench.turns_until(|log| log.last().is_some_and(|(_, seen)| *seen == Seen::Up(id(1))));
    let count = 5 * EVENTS_PER_TURN_MAX as usize;
    let burst = frame(0x81, b"{}").repeat(count);
    sockets
        .recv()
        .expect("connected")
        .write_all(&burst)
        .expect("sent");

    let mut handled = 0;
    while handled < count {
        // A timer is due in every turn, whatever comes from the socket.
        bench.core.engine().deadline = Some(Nanos::ZERO);
        let before = bench.core.engine().log.len();
        bench.turns(1);
        let turn = bench.core.engine().log[before..].to_vec();
        let (last, events) = turn.split_last().expect("at least the tick");
        assert_eq!(last.1, Seen::Tick);
        assert!(events.len() <= EVENTS_PER_TURN_MAX as usize);
        handled += events.len();
    }
    bench.turns(ROUND);
    let counters = &bench.telemetry.counters;
    assert_eq!(counters.plain(Counter::BytesReceived), burst.len() as u64);
    assert!(counters.plain(Counter::LoopTurns) > counters.plain(Counter::LoopBusyTurns));
    assert!(counters.plain(Counter::LoopBusyTurns) >= 5);
}

#[test]
fn the_tap_sees_what_the_brain_sees_and_time_never_goes_back() {
    let (port, sockets) = plain_server(1);
    let mut bench = Bench::new(connects(1));
    bench.clock.set(Nanos::from_secs(10));
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.fulfil(port);
    let mut socket = sockets.recv().expect("connected");
    for (second, text) in [(12, "a"), (5, "b"), (13, "c"), (1, "d")] {
        socket
            .write_all(&frame(0x81, text.as_bytes()))
            .expect("sent");
        bench.clock.set(Nanos::from_secs(second));
        bench.turns_until(|log| {
            messages(log)
                .last()
                .is_some_and(|last| last == text.as_bytes())
        });
    }
    bench.wall.store(1_700_000_000, Ordering::Relaxed);
    bench.turns(2 * ROUND);
    let log = bench.core.engine().log.clone();
    assert!(log.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    assert_eq!(
        log.iter()
            .filter(|(_, seen)| matches!(seen, Seen::Wall(_)))
            .count(),
        1,
        "told once"
    );
    let (_, tap) = bench.core.into_parts();
    assert_eq!(tap.0, log);
}

#[test]
fn a_silent_link_is_given_up_and_sent_back() {
    let (port, sockets) = plain_server(1);
    let mut bench = Bench::new(connects(1));
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.fulfil(port);
    let mut socket = sockets.recv().expect("connected");
    socket.write_all(&frame(0x81, b"{}")).expect("sent");
    bench.clock.set(Nanos::from_secs(100));
    bench.turns_until(|log| messages(log).len() == 1);

    bench.clock.set(Nanos::from_secs(145));
    bench.turns(ROUND);
    assert_eq!(
        bench.core.engine().events().last(),
        Some(&Seen::Message(id(1), b"{}".to_vec()))
    );
    bench.clock.set(Nanos(145_000_000_001));
    bench.turns(ROUND);
    assert_eq!(
        bench.core.engine().events().last(),
        Some(&Seen::Down(id(1), LinkDown::Silent))
    );
    assert_eq!(bench.retired(), [id(1)]);
}

#[test]
fn ends_are_heard_once_each() {
    // The peer hangs up; the peer sends a close frame; the attempt fails.
    let (port, sockets) = plain_server(2);
    let mut bench = Bench::new(connects(3));
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.fulfil(port);
    drop(sockets.recv().expect("connected"));
    bench.fulfil(port);
    let mut socket = sockets.recv().expect("connected");
    socket.write_all(&frame(0x88, b"\x03\xe9")).expect("sent");
    let failed = loop {
        if let Ok(ToConnector::Connect(link)) = bench.connector.from_core.pop() {
            break link;
        }
    };
    let failure = FromConnector::Failed(failed, LinkDown::Resolve);
    assert!(bench.connector.to_core.push(failure).is_ok());
    bench.turns_until(|log| {
        log.iter()
            .filter(|(_, seen)| matches!(seen, Seen::Down(..)))
            .count()
            == 3
    });
    assert_eq!(
        read_frame(&mut socket).expect("a close"),
        (0x88, vec![3, 0xe9])
    );
    bench.turns(5 * ROUND);
    let mut downs: Vec<Seen> = bench.core.engine().events();
    downs.retain(|seen| matches!(seen, Seen::Down(..)));
    downs.sort_by_key(|seen| match seen {
        Seen::Down(link, _) => *link,
        _ => id(0),
    });
    assert_eq!(
        downs,
        [
            Seen::Down(id(1), LinkDown::Closed),
            Seen::Down(id(2), LinkDown::CloseFrame),
            Seen::Down(id(3), LinkDown::Resolve),
        ]
    );
}

#[test]
fn a_link_that_breaks_while_sending_is_told_at_once() {
    let (port, sockets) = plain_server(1);
    let mut bench = Bench::new(|event, out, _| match event {
        Seen::Tick => out.connect(id(1)).expect("room"),
        Seen::Message(link, _) => {
            // More than the kernel and our buffer hold: the peer does not read.
            for _ in 0..30 {
                out.send(*link, &[&[b'x'; 4_000]]).expect("room");
            }
        }
        Seen::Down(link, _) => {
            // What the end causes is performed too.
            out.connect(LinkId {
                generation: link.generation + 1,
                ..*link
            })
            .expect("room");
        }
        _ => {}
    });
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.fulfil(port);
    let mut socket = sockets.recv().expect("connected");
    let mut rounds = 0;
    while !matches!(bench.core.engine().events().last(), Some(Seen::Down(..))) {
        rounds += 1;
        let _ = socket.write_all(&frame(0x81, b"more"));
        bench.turns(1);
    }
    assert!(rounds > 1);
    let events = bench.core.engine().events();
    assert_eq!(
        events.last(),
        Some(&Seen::Down(id(1), LinkDown::SendBufferFull))
    );
    let mut said = Vec::new();
    bench.turns(ROUND);
    while let Ok(message) = bench.connector.from_core.pop() {
        said.push(match message {
            ToConnector::Connect(link) => ("connect", link),
            ToConnector::Retire(link) => ("retire", link.id()),
            ToConnector::Forget(link) => ("forget", link),
        });
    }
    assert_eq!(said, [("retire", id(1)), ("connect", id(2))]);
}

#[test]
fn a_wish_that_was_taken_back_is_never_heard_of() {
    let (port, sockets) = plain_server(1);
    let mut bench = Bench::new(|event, out, _| match event {
        Seen::Tick => out.connect(id(1)).expect("room"),
        Seen::Command(_) => out.close(id(1), LinkDown::Requested).expect("room"),
        _ => {}
    });
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.turns(1);
    bench.commands.send(Command::Shutdown).expect("room");
    bench.turns(ROUND);
    let said = [(); 2].map(|()| bench.connector.from_core.pop());
    assert!(matches!(said[0], Ok(ToConnector::Connect(link)) if link == id(1)));
    assert!(matches!(said[1], Ok(ToConnector::Forget(link)) if link == id(1)));
    // It was on its way already.
    let ready = FromConnector::Ready(plain_link(port, id(1)));
    assert!(bench.connector.to_core.push(ready).is_ok());
    assert_eq!(bench.retired(), [id(1)]);
    assert_eq!(
        bench.core.engine().events(),
        [Seen::Tick, Seen::Command(Command::Shutdown)]
    );
    // It was closed politely all the same.
    let mut socket = sockets.recv().expect("connected");
    assert_eq!(
        read_frame(&mut socket).expect("a close"),
        (0x88, vec![3, 0xe8])
    );
}

#[test]
fn more_wishes_than_slots_fail_at_once() {
    let mut bench = Bench::new(connects(LINKS_MAX as u32 + 2));
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.turns(1);
    let generations = LINKS_MAX as u32 + 1..=LINKS_MAX as u32 + 2;
    let expected: Vec<Seen> = std::iter::once(Seen::Tick)
        .chain(generations.map(|generation| Seen::Down(id(generation), LinkDown::Connect)))
        .collect();
    assert_eq!(bench.core.engine().events(), expected);
}

#[test]
fn many_links_are_polled_and_none_goes_deaf() {
    let count = 5;
    let (port, sockets) = plain_server(count);
    let mut bench = Bench::new(connects(count as u32));
    bench.core.engine().deadline = Some(Nanos::ZERO);
    let mut peers = Vec::new();
    for at in 0..count {
        bench.fulfil(port);
        let mut socket = sockets.recv().expect("connected");
        // Data that is there before the link is adopted, and when the loop changes to polling.
        socket.write_all(&frame(0x81, b"first")).expect("sent");
        peers.push(socket);
        bench.turns_until(|log| messages(log).len() == at + 1);
    }
    // Each of them, alone and together, over and over.
    let mut expected = count;
    for round in 0..50 {
        for (at, socket) in peers.iter_mut().enumerate() {
            if (round + at) % 3 != 0 {
                socket
                    .write_all(&frame(0x81, b"again").repeat(at + 1))
                    .expect("sent");
                expected += at + 1;
            }
        }
        bench.turns_until(|log| messages(log).len() == expected);
    }
    // Down to two, which are read directly again.
    for _ in 0..3 {
        drop(peers.pop());
    }
    bench.turns_until(|log| {
        log.iter()
            .filter(|(_, seen)| matches!(seen, Seen::Down(..)))
            .count()
            == 3
    });
    for socket in &mut peers {
        socket.write_all(&frame(0x81, b"last")).expect("sent");
    }
    bench.turns_until(|log| messages(log).len() == expected + 2);
}

#[test]
fn one_busy_link_does_not_starve_another() {
    let (port, sockets) = plain_server(2);
    let mut bench = Bench::new(connects(2));
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.fulfil(port);
    bench.fulfil(port);
    bench.turns_until(|log| {
        log.iter()
            .filter(|(_, seen)| matches!(seen, Seen::Up(_)))
            .count()
            == 2
    });
    let mut busy = sockets.recv().expect("connected");
    let mut quiet = sockets.recv().expect("connected");
    busy.write_all(&frame(0x81, b"busy").repeat(20 * EVENTS_PER_TURN_MAX as usize))
        .expect("sent");
    quiet.write_all(&frame(0x81, b"quiet")).expect("sent");
    bench.turns_until(|log| messages(log).iter().any(|bytes| bytes == b"quiet"));
    let seen = messages(&bench.core.engine().log);
    // In every eight turns each link comes first at least once.
    assert!(
        seen.len() <= LINKS_MAX * EVENTS_PER_TURN_MAX as usize,
        "{}",
        seen.len()
    );
}

#[test]
fn a_full_records_ring_is_told_before_the_next_event() {
    let (port, sockets) = plain_server(1);
    let size = Sizes::default().records;
    let mut bench = Bench::new(move |event, out, telemetry| match event {
        Seen::Tick => out.connect(id(1)).expect("room"),
        Seen::Message(_, bytes) if bytes == b"burst" => {
            for _ in 0..=size - RECORDS_HEADROOM {
                telemetry
                    .records
                    .push(Nanos::ZERO, RecordBody::LinkUp { link: id(1) });
            }
        }
        _ => {}
    });
    bench.core.engine().deadline = Some(Nanos::ZERO);
    bench.fulfil(port);
    let mut socket = sockets.recv().expect("connected");
    let bytes = [frame(0x81, b"burst"), frame(0x81, b"next")].concat();
    socket.write_all(&bytes).expect("sent");
    bench.turns_until(|log| messages(log).len() == 2);
    let events = bench.core.engine().events();
    let burst = events
        .iter()
        .position(|seen| *seen == Seen::Message(id(1), b"burst".to_vec()))
        .expect("it came");
    assert_eq!(events[burst + 1], Seen::Backlog(true));

    while bench.telemetry.records.pop().is_some() {}
    bench.turns(ROUND);
    assert_eq!(
        bench.core.engine().events().last(),
        Some(&Seen::Backlog(false))
    );
}

fn config(market_url: String, ca_files: Vec<std::path::PathBuf>) -> EdgeConfig {
    EdgeConfig {
        api_url: market_url.clone(),
        orders_url: market_url.clone(),
        market_url,
        ca_files,
        ca_pems: Vec::new(),
        cpu: None,
        scheduling: Scheduling::Other,
        lock_memory: false,
        idle: IdleKind::Backoff,
        connect_timeout: Nanos::from_secs(60),
        silence_max: SILENCE_MAX,
    }
}

#[test]
fn the_threads_start_trade_messages_and_end() {
    let pki = Pki::new();
    let ca = pki.ca_file("core-loop");
    let (port, peer) = serve_websocket(&pki, |mut tls| {
        let hello = read_frame(&mut tls).expect("a greeting");
        for n in 0..100u8 {
            tls.write_all(&frame(0x81, &[b'a' + n % 26; 300]))
                .expect("sent");
            let (_, echo) = read_frame(&mut tls).expect("an echo");
            assert_eq!(echo, [b'a' + n % 26; 300]);
        }
        let goodbye = read_frame(&mut tls).expect("a close");
        read_to_end(&mut tls);
        (hello, goodbye)
    });
    let (done, is_done) = bounded(1);
    let mut echoed = 0;
    let (mut engine, reader) = Script::new(move |event, out, _| match event {
        Seen::Tick => out.connect(id(1)).expect("room"),
        Seen::Up(link) => out.send(*link, &[b"hello"]).expect("room"),
        Seen::Message(link, bytes) => {
            out.send(*link, &[bytes]).expect("room");
            echoed += 1;
            if echoed == 100 {
                done.send(()).expect("the test waits");
            }
        }
        _ => {}
    });
    engine.deadline = Some(Nanos::ZERO);
    let mut config = config(format!("wss://localhost:{port}/stream"), vec![ca.clone()]);
    // Pinning must work wherever the tests run; so it is to a CPU that is allowed.
    config.cpu = veloz_core::edge::cpu::allowed_cpus().last().copied();
    let core = spawn(&config, Clock::calibrate(), engine, Log::default()).expect("started");
    is_done.recv().expect("all messages");
    assert!(!core.placements.is_empty());
    core.commands.send(Command::Shutdown).expect("room");
    let (engine, tap) = core.join();
    assert_eq!(tap.0, engine.log);
    assert_eq!(
        engine.events().last(),
        Some(&Seen::Command(Command::Shutdown))
    );
    assert!(
        engine
            .events()
            .iter()
            .any(|seen| matches!(seen, Seen::Wall(_)))
    );
    assert!(reader.gauges.heartbeat() > Nanos::ZERO);
    let (hello, goodbye) = peer.join().expect("no panic");
    assert_eq!(hello, (0x81, b"hello".to_vec()));
    assert_eq!(goodbye, (0x88, vec![3, 0xe8]));
    std::fs::remove_file(ca).expect("ours to remove");
}

#[test]
fn stopping_needs_no_brain_and_bad_configuration_no_thread() {
    let (engine, _reader) = Script::new(|_, _, _| {});
    let url = "wss://localhost:1/".to_owned();
    let core = spawn(&config(url, vec![]), Clock::kernel(), engine, NoTap).expect("started");
    core.stop();
    let (engine, _) = core.join();
    assert!(!engine.events().contains(&Seen::Command(Command::Shutdown)));

    let (engine, _reader) = Script::new(|_, _, _| {});
    let bad = config("https://localhost/".to_owned(), vec![]);
    assert!(matches!(
        spawn(&bad, Clock::kernel(), engine, NoTap),
        Err(StartError::Endpoint(_))
    ));
    let (engine, _reader) = Script::new(|_, _, _| {});
    let bad = config(
        "wss://localhost/".to_owned(),
        vec!["/no/such/file.pem".into()],
    );
    assert!(matches!(
        spawn(&bad, Clock::kernel(), engine, NoTap),
        Err(StartError::Trust(_))
    ));
}

/// Set for the child process that is to panic.
const PANIC_VARIABLE: &str = "VELOZ_TEST_PANIC_ON_CORE_THREAD";

#[test]
fn a_panic_on_the_core_thread_dumps_the_trace_and_aborts() {
    if std::env::var_os(PANIC_VARIABLE).is_some() {
        let (mut engine, _reader) = Script::new(|_, _, telemetry| {
            let event = veloz_core::telemetry::trace::TraceEvent::Fault(7);
            telemetry.trace.push(Nanos::from_ms(3), event);
            panic!("a broken invariant");
        });
        engine.deadline = Some(Nanos::ZERO);
        let url = "wss://localhost:1/".to_owned();
        let core = spawn(&config(url, vec![]), Clock::kernel(), engine, NoTap).expect("started");
        core.join();
        unreachable!("the process is gone");
    }
    let child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "a_panic_on_the_core_thread_dumps_the_trace_and_aborts",
            "--nocapture",
        ])
        .env(PANIC_VARIABLE, "1")
        .output()
        .expect("a child");
    let signal = std::os::unix::process::ExitStatusExt::signal(&child.status);
    assert_eq!(signal, Some(6), "SIGABRT");
    let stderr = String::from_utf8_lossy(&child.stderr);
    assert!(stderr.contains("a broken invariant"), "{stderr}");
    assert!(stderr.contains("trace: 1 events"), "{stderr}");
}
