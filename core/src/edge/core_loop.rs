//! The loop of the core thread: sockets in, [`EventHandler::handle`], actions out.
//!
//! A turn is bounded and its order is written down:
//! 1. at most [`EVENTS_PER_TURN_MAX`] events; what each one causes is performed before the next is read,
//! 2. one timer pass: [`Event::Tick`] when the engine's deadline has passed,
//! 3. one housekeeping job of [`Job`], in rotation.
//!
//! Owns: the order of everything, the clamp that keeps `now` from going back; [`links`] holds the links.
//! Does not: decide anything about trading, connect, or free what it retires (the connector does).
//! With one or two links each turn reads them directly; with three or more it asks the poll first.

mod links;
mod thread;

pub use thread::{CommandSender, Core, EdgeConfig, Endpoints, EngineBusy, StartError, spawn};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;
use rtrb::Consumer;

use super::connector::{CoreEnds, FromConnector, WALL_UNKNOWN};
use super::idle::{Idle, IdleKind, POLL_MS_MAX, Rest};
use super::link::{Link, Polled};
use crate::engine::{Engine, Stopwatch};
use crate::event::{Command, Event, LinkDown};
use crate::limits::{EVENTS_PER_TURN_MAX, LINKS_MAX};
use crate::outbox::Outbox;
use crate::strategy::Strategy;
use crate::telemetry::Telemetry;
use crate::telemetry::counters::Counter;
use crate::telemetry::gauges::Gauge;
use crate::telemetry::histograms::Stage;
use crate::telemetry::samples::Sample;
use crate::units::Nanos;
use links::{Links, POLLED_LINKS_MIN};

/// What the loop drives: the engine, or a test's stand-in.
pub trait EventHandler {
    /// Handles one event; see [`crate::engine::Engine::handle`].
    fn handle(&mut self, now: Nanos, event: Event<'_>, out: &mut Outbox);

    /// When it wants [`Event::Tick`].
    fn next_deadline(&self) -> Option<Nanos>;

    /// The kernel took the orders that the event of `now` caused; see [`Engine::orders_in_kernel`].
    fn orders_in_kernel(&mut self, now: Nanos, stamp: Nanos);

    /// The core's end of telemetry, for what the loop itself counts.
    fn telemetry(&mut self) -> &mut Telemetry;
}

impl<S: Stopwatch, T: Strategy> EventHandler for Engine<S, T> {
    #[inline]
    fn handle(&mut self, now: Nanos, event: Event<'_>, out: &mut Outbox) {
        Self::handle(self, now, event, out);
    }

    #[inline]
    fn next_deadline(&self) -> Option<Nanos> {
        Self::next_deadline(self)
    }

    #[inline]
    fn orders_in_kernel(&mut self, now: Nanos, stamp: Nanos) {
        Self::orders_in_kernel(self, now, stamp);
    }

    #[inline]
    fn telemetry(&mut self) -> &mut Telemetry {
        Self::telemetry(self)
    }
}

/// Sees every event right before the engine does; `veloz record` keeps them.
pub trait Tap {
    /// `event` is about to be handled at `now`.
    fn see(&mut self, now: Nanos, event: &Event<'_>);
}

/// Looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTap;

impl Tap for NoTap {
    #[inline]
    fn see(&mut self, _: Nanos, _: &Event<'_>) {}
}

/// What surrounds the loop.
pub struct Surroundings {
    /// The core's ends of the rings to the connector.
    pub links: CoreEnds,
    /// Commands from the sidecar.
    pub commands: Receiver<Command>,
    /// Unix nanoseconds at clock zero, as the connector measures it.
    pub unix_ns_at_zero: Arc<AtomicI64>,
    /// Ends the loop without asking the engine.
    pub stop: Arc<AtomicBool>,
    /// The poll that the waker of the others belongs to.
    pub poll: mio::Poll,
}

/// How the loop behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopConfig {
    /// What to do in an empty turn.
    pub idle: IdleKind,
    /// A link that carries nothing for longer is given up.
    pub silence_max: Nanos,
}

/// One small job a turn, in this order, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// When the connector has an answer: adopt a ready link, or tell of a failure.
    Adopt,
    /// When the sidecar sent a command: handle one.
    Command,
    /// When the ring to the connector was full: try again.
    Connector,
    /// When a link has bytes that the kernel did not take: offer them again.
    Unsent,
    /// When a link has been silent for too long: give it up.
    Silence,
    /// When wall time was measured anew: tell the engine.
    Wall,
    /// When the records ring emptied again: tell the engine. (Filling is seen after every event.)
    Backlog,
    /// Always: heartbeat, gauges, byte counts, the histogram swap.
    Publish,
}

impl Job {
    const ALL: [Self; 8] = [
        Self::Adopt,
        Self::Command,
        Self::Connector,
        Self::Unsent,
        Self::Silence,
        Self::Wall,
        Self::Backlog,
        Self::Publish,
    ];
}

/// The loop's state.
pub struct CoreLoop<E, S, T> {
    engine: E,
    tap: T,
    watch: S,
    outbox: Outbox,
    links: Links,
    from_connector: Consumer<FromConnector>,
    commands: Receiver<Command>,
    unix_ns_at_zero: Arc<AtomicI64>,
    wall_told: i64,
    stop: Arc<AtomicBool>,
    idle: Idle,
    silence_max: Nanos,
    now: Nanos,
    first_link: usize,
    next_job: usize,
    ending: bool,
}

impl<E: EventHandler, S: Stopwatch, T: Tap> CoreLoop<E, S, T> {
    /// A loop before its first turn; all its memory is reserved here.
    pub fn new(
        engine: E,
        watch: S,
        tap: T,
        config: LoopConfig,
        surroundings: Surroundings,
    ) -> Self {
        Self {
            engine,
            tap,
            now: watch.stamp(),
            watch,
            outbox: Outbox::new(),
            links: Links::new(surroundings.poll, surroundings.links.to_connector),
            from_connector: surroundings.links.from_connector,
            commands: surroundings.commands,
            unix_ns_at_zero: surroundings.unix_ns_at_zero,
            wall_told: WALL_UNKNOWN,
            stop: surroundings.stop,
            idle: Idle::new(config.idle),
            silence_max: config.silence_max,
            first_link: 0,
            next_job: 0,
            ending: false,
        }
    }

    /// Turns until [`Command::Shutdown`] was handled or the stop flag is up, then closes every link.
    pub fn run(&mut self) {
        while !self.ending && !self.stop.load(Ordering::Relaxed) {
            let busy = self.turn();
            self.rest(busy);
        }
        self.links.close_all();
    }

    /// One turn; whether it found anything to do.
    pub fn turn(&mut self) -> bool {
        let started = self.stamp();
        let polled = self.links.count() >= POLLED_LINKS_MIN;
        if polled {
            self.links.ask_poll(Duration::ZERO);
        }

        let events = self.read_links(polled);

        let now = self.stamp();
        let tick = self.engine.next_deadline().is_some_and(|at| at <= now);
        if tick {
            self.handle(now, Event::Tick);
        }

        let counters = &mut self.engine.telemetry().counters;
        counters.increment(Counter::LoopTurns);
        if events > 0 || tick {
            counters.increment(Counter::LoopBusyTurns);
            let ended = self.watch.stamp();
            self.engine
                .telemetry()
                .histograms
                .record(Stage::LoopTurn, started, ended);
        }

        let job = Job::ALL[self.next_job];
        self.next_job = (self.next_job + 1) % Job::ALL.len();
        let worked = self.housekeep(job, now);
        events > 0 || tick || worked
    }

    /// The engine, for whoever ran the loop.
    pub fn engine(&mut self) -> &mut E {
        &mut self.engine
    }

    /// What is left when the loop is done.
    pub fn into_parts(self) -> (E, T) {
        (self.engine, self.tap)
    }

    /// Now, never earlier than anything stamped before.
    #[inline]
    fn stamp(&mut self) -> Nanos {
        self.now = self.now.max(self.watch.stamp());
        self.now
    }

    /// Handles what the links have, up to the turn's bound; returns how much that was. The link that
    /// comes first changes every turn, so none can starve another.
    fn read_links(&mut self, polled: bool) -> u32 {
        let mut events = 0;
        self.first_link = (self.first_link + 1) % LINKS_MAX;
        for offset in 0..LINKS_MAX {
            let at = (self.first_link + offset) % LINKS_MAX;
            while events < EVENTS_PER_TURN_MAX {
                let Some(slot) = self.links.slot(at) else {
                    break;
                };
                if polled && !slot.ready {
                    break;
                }
                match slot.link.poll(&self.watch) {
                    Polled::Message(frame) => {
                        let now = self.now.max(slot.link.received_at());
                        let event = Event::Message {
                            link: slot.link.id(),
                            payload: slot.link.payload(frame),
                        };
                        self.now = now;
                        self.tap.see(now, &event);
                        self.engine.handle(now, event, &mut self.outbox);
                        self.settle(now);
                    }
                    Polled::Busy => {}
                    Polled::Dry => {
                        slot.ready = false;
                        break;
                    }
                    Polled::Down(cause) => {
                        let link = slot.link.id();
                        self.links.fall(link, cause);
                        let now = self.stamp();
                        self.settle(now);
                    }
                }
                events += 1;
            }
        }
        events
    }

    /// One event that is no message, and everything that follows from it.
    fn handle(&mut self, now: Nanos, event: Event<'_>) {
        self.tap.see(now, &event);
        self.engine.handle(now, event, &mut self.outbox);
        self.settle(now);
    }

    /// Performs what the last event caused, and handles what that causes in turn: ends of links, order
    /// links that the kernel blocks, and a records ring above its mark. Bounded: each end takes a link or a
    /// wish away, a blocked link takes no new order, the mark is passed once.
    #[inline]
    fn settle(&mut self, now: Nanos) {
        loop {
            if !self.outbox.is_empty() {
                self.links.perform(&self.outbox);
                if let Some(encoded) = self.outbox.order_encoded() {
                    self.stamp_sent(now, encoded);
                }
                self.outbox.clear();
            }
            let event = if let Some((link, cause)) = self.links.next_fallen() {
                Event::LinkDown { link, cause }
            } else if let Some((link, blocked)) = self.links.next_block_change() {
                Event::LinkBlocked { link, blocked }
            } else if let Some(above) = self.engine.telemetry().records.backlog_change() {
                Event::Backlog(above)
            } else {
                return;
            };
            self.tap.see(now, &event);
            self.engine.handle(now, event, &mut self.outbox);
        }
    }

    /// An order caused by an event of `now` went to the kernel.
    fn stamp_sent(&mut self, now: Nanos, encoded: Nanos) {
        let sent = self.watch.stamp();
        let telemetry = self.engine.telemetry();
        telemetry
            .histograms
            .record(Stage::EncodedToSent, encoded, sent);
        telemetry.histograms.record(Stage::TickToOrder, now, sent);
        telemetry.samples.push(Sample::OrdersSent { sent });
        self.engine.orders_in_kernel(now, sent);
    }

    /// One job; whether there was anything to do.
    fn housekeep(&mut self, job: Job, now: Nanos) -> bool {
        match job {
            Job::Adopt => self.adopt(now),
            Job::Command => {
                let Ok(command) = self.commands.try_recv() else {
                    return false;
                };
                self.handle(now, Event::Command(command));
                self.ending |= command == Command::Shutdown;
                true
            }
            Job::Connector => self.links.say_again(),
            Job::Unsent => {
                let any = self.drop_links_that(now, |link| {
                    if link.has_unsent() {
                        link.flush().err()
                    } else {
                        None
                    }
                });
                self.links.look_for_blocks();
                self.settle(now);
                any
            }
            Job::Silence => {
                let silence_max = self.silence_max;
                self.drop_links_that(now, |link| {
                    link.is_silent(now, silence_max).then_some(LinkDown::Silent)
                })
            }
            Job::Wall => {
                let unix_ns_at_zero = self.unix_ns_at_zero.load(Ordering::Relaxed);
                if unix_ns_at_zero == self.wall_told {
                    return false;
                }
                self.wall_told = unix_ns_at_zero;
                self.handle(now, Event::WallClock { unix_ns_at_zero });
                true
            }
            Job::Backlog => {
                self.settle(now);
                false
            }
            Job::Publish => {
                self.publish(now);
                false
            }
        }
    }

    /// One answer of the connector. What came behind the 101 is read with the link's first poll,
    /// which goes on to the socket until that is dry: no readiness is trusted before.
    fn adopt(&mut self, now: Nanos) -> bool {
        match self.from_connector.pop() {
            Err(rtrb::PopError::Empty) => return false,
            Ok(FromConnector::Ready(link)) => {
                let id = link.id();
                if self.links.forget_wish(id) {
                    if self.links.adopt(link) {
                        self.handle(now, Event::LinkUp { link: id });
                    } else {
                        // The poll refused the socket: without it the link could go deaf.
                        let cause = LinkDown::Connect;
                        self.handle(now, Event::LinkDown { link: id, cause });
                    }
                } else {
                    // The engine closed it before it was up; it expects to hear nothing.
                    self.links.retire(link, true);
                }
            }
            Ok(FromConnector::Failed(link, cause)) => {
                if self.links.forget_wish(link) {
                    self.handle(now, Event::LinkDown { link, cause });
                }
            }
            Ok(FromConnector::Refused(link, status, pause)) => {
                // Also of a wish that was given up: it is about the address.
                self.links.forget_wish(link);
                self.handle(
                    now,
                    Event::LinkRefused {
                        link,
                        status,
                        pause,
                    },
                );
            }
        }
        true
    }

    /// Ends every link that `verdict` condemns.
    fn drop_links_that(
        &mut self,
        now: Nanos,
        mut verdict: impl FnMut(&mut Link) -> Option<LinkDown>,
    ) -> bool {
        let mut any = false;
        for at in 0..LINKS_MAX {
            if let Some(slot) = self.links.slot(at)
                && let Some(cause) = verdict(&mut slot.link)
            {
                let link = slot.link.id();
                self.links.fall(link, cause);
                any = true;
            }
        }
        if any {
            self.settle(now);
        }
        any
    }

    fn publish(&mut self, now: Nanos) {
        let pending = self.commands.len() + self.links.ready_count();
        let (received, sent) = self.links.take_bytes();
        let telemetry = self.engine.telemetry();
        telemetry.counters.add(Counter::BytesReceived, received);
        telemetry.counters.add(Counter::BytesSent, sent);
        telemetry.gauges.heartbeat(now);
        telemetry.gauges.set(Gauge::PendingTasks, pending as i64);
        telemetry.histograms.swap();
    }

    /// Spends the time until the next turn as the idle strategy says.
    fn rest(&mut self, busy: bool) {
        match self.idle.after_turn(busy) {
            Rest::Spin if busy => {}
            Rest::Spin => std::hint::spin_loop(),
            Rest::Yield => std::thread::yield_now(),
            Rest::Poll => {
                let sleep_max = Duration::from_millis(POLL_MS_MAX);
                let now = self.stamp();
                let due = self
                    .engine
                    .next_deadline()
                    .map(|at| Duration::from_nanos(at.since(now).0));
                // The poll counts in milliseconds: closer than that, it would oversleep.
                if due.is_some_and(|due| due < sleep_max) {
                    std::thread::yield_now();
                } else if self.links.ask_poll(sleep_max) {
                    self.idle.woken();
                }
            }
        }
    }
}
