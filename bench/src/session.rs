//! A recorded engine session: every event of a run, prepared once, then handled again and again by
//! fresh engines, with nothing else in the loop.
//!
//! Owns: [`Session`]. Does not: measure. Invariant: the engine is deterministic, so a fresh one asks
//! for the same connections and requests as the one that was recorded, and the recorded answers fit.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use veloz::capture::import::{self, Handler, PlayError, TextSession};
use veloz::capture::text;
use veloz_core::config::EngineConfig;
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::event::{Command, Event, LinkId, PayloadBuf};
use veloz_core::instrument::Instruments;
use veloz_core::outbox::Outbox;
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::fault::VenueFault;

/// Why there is no session to measure.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The text files could not be played.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// The engine would never get to work.
    #[error("a book was not live at the end")]
    NotLive,
    /// What would be measured is the answer to faults.
    #[error("the engine took {count} messages for faults: {}", .kind.label())]
    Fault {
        /// Which one.
        kind: VenueFault,
        /// How often.
        count: u64,
    },
}

/// An engine and what must live beside it.
pub struct Rig {
    engine: Engine<NoStopwatch>,
    telemetry: TelemetryReader,
    /// Emptied after every event, as the edge does.
    outbox: Outbox,
}

impl Rig {
    /// Empties the rings, as a sidecar would meanwhile.
    pub fn drain(&mut self) {
        while self.telemetry.records.pop().is_some() {}
        while self.telemetry.samples.pop().is_some() {}
    }
}

/// One event as it was handled.
enum Handled {
    Message(LinkId, PayloadBuf),
    /// An event without a payload.
    Plain(Event<'static>),
}

impl Handled {
    fn new(event: &Event<'_>) -> Self {
        Self::Plain(match *event {
            Event::Message { link, payload } => {
                return Self::Message(link, PayloadBuf::new(payload.bytes()));
            }
            Event::LinkUp { link } => Event::LinkUp { link },
            Event::LinkDown { link, cause } => Event::LinkDown { link, cause },
            Event::LinkRefused {
                link,
                status,
                pause,
            } => Event::LinkRefused {
                link,
                status,
                pause,
            },
            Event::LinkBlocked { link, blocked } => Event::LinkBlocked { link, blocked },
            Event::Command(command) => Event::Command(command),
            Event::Tick => Event::Tick,
            Event::Backlog(above) => Event::Backlog(above),
            Event::WallClock { unix_ns_at_zero } => Event::WallClock { unix_ns_at_zero },
        })
    }

    #[inline]
    fn event(&self) -> Event<'_> {
        match self {
            Self::Message(link, message) => Event::Message {
                link: *link,
                payload: message.payload(),
            },
            Self::Plain(event) => *event,
        }
    }
}

/// All events of a run up to its shutdown, and what an engine needs to handle them again.
pub struct Session {
    instruments: Instruments,
    events: Vec<(Nanos, Handled)>,
    /// Position of the first event that found every book live.
    live: usize,
    messages: usize,
}

impl Session {
    /// Plays captures in text form to an engine and records what it handled.
    pub fn record(paths: &[PathBuf]) -> Result<Self, SessionError> {
        let survey =
            text::survey(paths, &std::collections::BTreeMap::new()).map_err(PlayError::Text)?;
        let instruments = import::instruments(&survey)?;
        let mut recording = Recording {
            rig: rig(instruments.clone()),
            events: Vec::new(),
            live: None,
            live_at_shutdown: false,
        };
        TextSession::open(paths, &survey)?.play(&mut recording, &mut |_| {})?;
        for kind in VenueFault::ALL {
            let count = recording.rig.telemetry.counters.faults(kind as u8);
            if count > 0 {
                return Err(SessionError::Fault { kind, count });
            }
        }
        let Some(live) = recording.live.filter(|_| recording.live_at_shutdown) else {
            return Err(SessionError::NotLive);
        };
        let messages = recording
            .events
            .iter()
            .filter(|(_, handled)| is_message(handled));
        Ok(Self {
            messages: messages.count(),
            instruments,
            events: recording.events,
            live,
        })
    }

    /// A fresh engine for this session.
    pub fn rig(&self) -> Rig {
        rig(self.instruments.clone())
    }

    /// What is traded.
    pub(crate) fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// Every event and its time, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = (Nanos, Event<'_>)> {
        let events = self.events.iter();
        events.map(|(now, handled)| (*now, handled.event()))
    }

    /// Websocket messages among the events.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Position of the first event that finds every book live.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Events; one behind the last position.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The position behind the `messages` messages that follow position `start`.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn position_after(&self, start: usize, messages: usize) -> usize {
        let Some(last) = messages.checked_sub(1) else {
            return start;
        };
        let mut positions = (start..self.len()).filter(|&at| is_message(&self.events[at].1));
        positions.nth(last).expect("the session is long enough") + 1
    }

    /// Handles the events at `range`, in order; all earlier ones must have been handled.
    pub fn handle(&self, rig: &mut Rig, range: Range<usize>) {
        for (now, handled) in &self.events[range] {
            rig.engine.handle(*now, handled.event(), &mut rig.outbox);
            rig.outbox.clear();
        }
    }
}

fn is_message(handled: &Handled) -> bool {
    matches!(handled, Handled::Message(..))
}

fn rig(instruments: Instruments) -> Rig {
    let (writer, reader) = telemetry(instruments.count(), Sizes::default());
    let engine = Engine::new(EngineConfig::default(), instruments, writer, NoStopwatch);
    Rig {
        engine: engine.expect("a few streams"),
        telemetry: reader,
        outbox: Outbox::new(),
    }
}

/// Handles what a text session plays, and keeps it.
struct Recording {
    rig: Rig,
    events: Vec<(Nanos, Handled)>,
    live: Option<usize>,
    live_at_shutdown: bool,
}

impl Handler for Recording {
    fn handle(&mut self, now: Nanos, event: &Event<'_>, out: &mut Outbox) -> io::Result<()> {
        let engine = &self.rig.engine;
        let is_live = engine
            .instruments()
            .iter()
            .all(|(index, _)| engine.book(index).is_some());
        if is_live && self.live.is_none() {
            self.live = Some(self.events.len());
        }
        if matches!(event, Event::Command(Command::Shutdown)) {
            self.live_at_shutdown = is_live;
        } else {
            self.events.push((now, Handled::new(event)));
        }
        self.rig.engine.handle(now, *event, out);
        Ok(())
    }

    fn next_deadline(&self) -> Option<Nanos> {
        self.rig.engine.next_deadline()
    }
}
