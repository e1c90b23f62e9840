//! The core of the bench: the product's engine with its telemetry on, and the messages that it handles.
//!
//! Owns: [`Core`]. Does not: measure. The engine is brought up in the virtual time of a recorded session and goes on
//! in real time with the flows behind it. A turn is that of `edge::core_loop` without sockets: the message's frame,
//! the engine, counts of the turn, and when nothing is due the heartbeat and the swap of histograms.
//!
//! Invariant: nothing here allocates, and no tick is served, while messages are paced; ticks come between windows.

use crate::numbers::Random;
use crate::session::SessionError;
use crate::synthetic::{self, Flow};
use serde_json::Value;
use std::collections::VecDeque;
use veloz_core::config::EngineConfig;
use veloz_core::edge::clock::Clock;
use veloz_core::engine::Engine;
use veloz_core::event::{Event, LinkId, LinkRole, PayloadBuf};
use veloz_core::instrument::Instruments;
use veloz_core::limits::MESSAGE_BYTES_MAX;
use veloz_core::outbox::{Action, Outbox};
use veloz_core::telemetry::counters::{Counter, CounterReader};
use veloz_core::telemetry::histograms::Stage;
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::fault::VenueFault;
use veloz_core::wire::websocket::Reader;

/// One of so many messages is of the second instrument, whose trades the streams show.
const SECOND_INSTRUMENT_EVERY: u64 = 100;
/// The real loop comes to its housekeeping about so often when it reads two sockets in between.
const PUBLISH_EVERY: Nanos = Nanos(3_000);

/// Frames of messages, one behind the other.
#[derive(Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// An unmasked text frame of a server.
    fn push(&mut self, text: &str) {
        const TEXT: u8 = 0x81;
        self.bytes.push(TEXT);
        match text.len() {
            len @ 0..126 => self.bytes.push(len as u8),
            len @ 126..=0xffff => {
                self.bytes.push(126);
                self.bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                self.bytes.push(127);
                self.bytes.extend((len as u64).to_be_bytes());
            }
        }
        self.bytes.extend(text.as_bytes());
        self.ends.push(self.bytes.len());
    }

    fn get(&self, nth: usize) -> &[u8] {
        let start = if nth == 0 { 0 } else { self.ends[nth - 1] };
        &self.bytes[start..self.ends[nth]]
    }
}

/// The engine and what is around it on the core's thread.
pub(super) struct Core {
    clock: Clock,
    engine: Engine<Clock>,
    out: Outbox,
    reader: Reader,
    market: LinkId,
    counters: CounterReader,
    flows: [Flow; 2],
    random: Random,
    publish_at: Nanos,
}

impl Core {
    /// An engine with live books, on this clock; and the sidecar's end of its telemetry.
    ///
    /// # Errors
    /// [`SessionError`] when its first messages cannot be played.
    pub(super) fn start(
        clock: Clock,
    ) -> Result<(Self, TelemetryReader, Instruments), SessionError> {
        let (session, flows) = synthetic::begun(0)?;
        let instruments = session.instruments().clone();
        let (writer, telemetry) = telemetry(instruments.count(), Sizes::default());
        let config = EngineConfig::default();
        let engine = Engine::new(config, instruments.clone(), writer, clock);
        let mut engine = engine.expect("the session had one");
        let mut out = Outbox::new();
        let mut last = Nanos::ZERO;
        let mut market = None;
        for (now, event) in session.events() {
            if let Event::LinkUp { link } = event
                && link.role == LinkRole::Market
            {
                market = Some(link);
            }
            last = now;
            engine.handle(now, event, &mut out);
            out.clear();
        }
        // From here on time is real, and it must not go back.
        while clock.now() <= last {
            std::thread::yield_now();
        }
        let core = Self {
            clock,
            engine,
            out,
            reader: Reader::new(MESSAGE_BYTES_MAX),
            market: market.expect("a book went live over a link"),
            counters: telemetry.counters.clone(),
            flows,
            random: Random(0x9e37_79b9_7f4a_7c15),
            publish_at: Nanos::ZERO,
        };
        Ok((core, telemetry, instruments))
    }

    /// Writes the next `count` messages.
    pub(super) fn write(&mut self, count: usize, frames: &mut Frames) {
        frames.clear();
        for _ in 0..count {
            let second = self.random.below(SECOND_INSTRUMENT_EVERY) == 0;
            frames.push(&self.flows[usize::from(second)].next_message());
        }
    }

    /// Puts a message where the kernel would put it.
    #[inline]
    pub(super) fn receive(&mut self, frames: &Frames, nth: usize) {
        let frame = frames.get(nth);
        self.reader.space()[..frame.len()].copy_from_slice(frame);
        self.reader.filled(frame.len());
    }

    /// Handles what was received. Returns when that was done.
    #[inline]
    pub(super) fn turn(&mut self) -> Nanos {
        let now = self.clock.now();
        let frame = self.reader.poll().expect("a frame").expect("a whole one");
        let event = Event::Message {
            link: self.market,
            payload: self.reader.payload(frame),
        };
        self.engine.handle(now, event, &mut self.out);
        // What it asks of the venue is for `serve`, and that is rare.
        let ended = self.clock.now();
        let telemetry = self.engine.telemetry();
        telemetry.counters.increment(Counter::LoopTurns);
        telemetry.counters.increment(Counter::LoopBusyTurns);
        telemetry.histograms.record(Stage::LoopTurn, now, ended);
        assert_eq!(self.reader.poll(), Ok(None), "one frame a message");
        self.perform();
        ended
    }

    /// A turn with nothing to do.
    #[inline]
    pub(super) fn idle(&mut self, now: Nanos) {
        let telemetry = self.engine.telemetry();
        telemetry.counters.increment(Counter::LoopTurns);
        if now >= self.publish_at {
            self.publish_at = now.plus(PUBLISH_EVERY);
            telemetry.gauges.heartbeat(now);
            telemetry.histograms.swap();
        }
        std::hint::spin_loop();
    }

    /// Performs what an event outside of windows caused; inside of them there is nothing.
    #[inline]
    fn perform(&mut self) {
        if !self.out.is_empty() {
            self.answer();
        }
    }

    /// Serves due timers, with a venue that agrees to everything.
    pub(super) fn serve(&mut self) {
        let mut now = self.clock.now();
        while self.engine.next_deadline().is_some_and(|at| at <= now) {
            self.engine.handle(now, Event::Tick, &mut self.out);
            self.answer();
            now = self.clock.now();
        }
        self.idle(now);
    }

    #[cold]
    fn answer(&mut self) {
        enum Answer {
            Up(LinkId),
            Message(LinkId, PayloadBuf),
        }
        let mut answers = VecDeque::new();
        loop {
            for action in self.out.actions() {
                match action {
                    Action::Connect { link } => answers.push_back(Answer::Up(link)),
                    Action::Close { .. } => {}
                    Action::Send { link, message } => {
                        let text = reply(self.clock.now(), link, message);
                        answers.push_back(Answer::Message(link, PayloadBuf::new(text.as_bytes())));
                    }
                }
            }
            self.out.clear();
            let now = self.clock.now();
            match answers.pop_front() {
                None => return,
                Some(Answer::Up(link)) => {
                    if link.role == LinkRole::Market {
                        self.market = link;
                    }
                    self.engine
                        .handle(now, Event::LinkUp { link }, &mut self.out);
                }
                Some(Answer::Message(link, message)) => {
                    let payload = message.payload();
                    let event = Event::Message { link, payload };
                    self.engine.handle(now, event, &mut self.out);
                }
            }
        }
    }

    /// Faults that the engine found in its messages; each would mean that something else is measured.
    pub(super) fn faults(&self) -> u64 {
        let kinds = VenueFault::ALL.into_iter();
        kinds.map(|kind| self.counters.faults(kind as u8)).sum()
    }

    /// Whether both books are live.
    pub(super) fn is_live(&self) -> bool {
        let mut books = self.engine.instruments().iter();
        books.all(|(index, _)| self.engine.book(index).is_some())
    }
}

/// What the venue says to a request.
fn reply(now: Nanos, link: LinkId, message: &[u8]) -> String {
    let request: Value = serde_json::from_slice(message).expect("requests are JSON");
    let id = &request["id"];
    match (link.role, request["method"].as_str()) {
        (LinkRole::Api, Some("time")) => format!(
            r#"{{"id":{id},"status":200,"result":{{"serverTime":{}}}}}"#,
            1_723_161_255_000 + now.as_ms()
        ),
        (LinkRole::Market, _) => format!(r#"{{"result":null,"id":{id}}}"#),
        (LinkRole::Api | LinkRole::Orders, method) => {
            panic!("this venue has no answer to {method:?}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flow_goes_on_where_the_session_ended() {
        let (mut core, mut telemetry, _) = Core::start(Clock::kernel()).expect("a session");
        let mut frames = Frames::default();
        for _ in 0..3 {
            core.write(500, &mut frames);
            core.serve();
            for nth in 0..frames.ends.len() {
                core.receive(&frames, nth);
                core.turn();
            }
            while telemetry.samples.pop().is_some() {}
        }
        assert_eq!(core.faults(), 0);
        assert!(core.is_live());
    }
}
