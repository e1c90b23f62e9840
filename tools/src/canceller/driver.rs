//! A canceller with its socket and its clock.
//!
//! Owns: [`Driver`], which performs what the canceller wants and hears what the venue says. Does not: decide
//! anything. Connecting has a thread of its own, because a resolver can hang.

use super::requests::ANSWER_BYTES_MAX;
use super::{Canceller, Input, Notice, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::{Conversation, Endpoint, RequestError};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::rate::API_CONNECT_WEIGHT;

/// Attempts to connect that may hang in the resolver; then no further one is made until one of them ends.
const CONNECT_THREADS_MAX: usize = 4;
/// How long after its own deadline an attempt to connect may still say what failed.
const GRACE: Nanos = Nanos::from_ms(250);
/// How long a goodbye may take.
const GOODBYE: Nanos = Nanos::from_ms(100);

/// What the caller of a driver hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something that somebody should know.
    Notice(Notice),
    /// Request weight that was spent, connections included. What the venue carries out is free there, and counts here.
    Weight(u32),
}

enum Wire {
    Closed,
    Connecting {
        answered: Receiver<Result<Conversation, Lost>>,
        given_up_at: Nanos,
    },
    Open(Box<Conversation>),
}

/// Why there is no connection.
struct Lost {
    why: String,
    status: Option<u16>,
    pause: Option<Nanos>,
}

impl Lost {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            status: None,
            pause: None,
        }
    }
}

impl Lost {
    fn input(&self) -> Input<'_> {
        Input::Down {
            why: &self.why,
            status: self.status,
            pause: self.pause,
        }
    }
}

impl From<RequestError> for Lost {
    fn from(error: RequestError) -> Self {
        let (status, pause) = match &error {
            RequestError::Connect { fault, .. } => (fault.status, fault.pause),
            RequestError::Io { .. }
            | RequestError::Frame { .. }
            | RequestError::Closed { .. }
            | RequestError::NotText { .. } => (None, None),
        };
        Self {
            why: error.to_string(),
            status,
            pause,
        }
    }
}

enum Heard {
    Up,
    Down(Lost),
    Message(String),
    Nothing,
}

/// Drives one canceller.
pub struct Driver {
    /// What decides.
    pub canceller: Canceller,
    clock: Clock,
    endpoint: Arc<Endpoint>,
    connect_timeout: Nanos,
    send_timeout: Nanos,
    wire: Wire,
    threads: Arc<AtomicUsize>,
}

impl Driver {
    /// A driver that is not connected yet. `connect_timeout` bounds an attempt to connect, resolving aside;
    /// `send_timeout` is how long the kernel may take for one message.
    pub fn new(
        canceller: Canceller,
        endpoint: Endpoint,
        clock: Clock,
        connect_timeout: Nanos,
        send_timeout: Nanos,
    ) -> Self {
        Self {
            canceller,
            clock,
            endpoint: Arc::new(endpoint),
            connect_timeout,
            send_timeout,
            wire: Wire::Closed,
            threads: Arc::default(),
        }
    }

    /// Does what is due, then listens until something is said, a deadline of the canceller passes, or `until`.
    pub fn turn(&mut self, until: Nanos, tell: &mut impl FnMut(Told)) {
        self.handle(Input::Tick, tell);
        let deadline = self
            .canceller
            .next_deadline()
            .map_or(until, |deadline| deadline.min(until));
        match self.listen(deadline) {
            Heard::Up => self.handle(Input::Up, tell),
            Heard::Down(lost) => self.handle(lost.input(), tell),
            Heard::Message(text) => self.handle(Input::Message(&text), tell),
            Heard::Nothing => self.handle(Input::Tick, tell),
        }
    }

    /// Ends the connection.
    pub fn close(&mut self) {
        if let Wire::Open(conversation) = std::mem::replace(&mut self.wire, Wire::Closed) {
            conversation.close(self.clock.now().plus(GOODBYE));
        }
    }

    fn handle(&mut self, input: Input<'_>, tell: &mut impl FnMut(Told)) {
        let mut out = Vec::new();
        self.canceller.handle(self.clock.now(), input, &mut out);
        // A message that cannot be sent ends the connection, which may want something more.
        while let Some(lost) = self.perform(std::mem::take(&mut out), tell) {
            let now = self.clock.now();
            self.canceller.handle(now, lost.input(), &mut out);
        }
    }

    /// Performs outputs in order; what made the connection fail, if something did.
    fn perform(&mut self, outputs: Vec<Output>, tell: &mut impl FnMut(Told)) -> Option<Lost> {
        let mut failed = None;
        for output in outputs {
            match output {
                Output::Tell(notice) => tell(Told::Notice(notice)),
                Output::Connect => {
                    tell(Told::Weight(API_CONNECT_WEIGHT));
                    failed = failed.or(self.connect());
                }
                Output::Close => {
                    self.close();
                    failed = None;
                }
                Output::Send { text, weight } if failed.is_none() => {
                    tell(Told::Weight(weight));
                    failed = self.send(&text);
                }
                // On a connection that just ended.
                Output::Send { .. } => {}
            }
        }
        failed
    }

    fn connect(&mut self) -> Option<Lost> {
        if self.threads.load(Ordering::Acquire) >= CONNECT_THREADS_MAX {
            return Some(Lost::new("the resolver does not answer"));
        }
        let (answer, answered) = mpsc::channel();
        let (endpoint, clock) = (Arc::clone(&self.endpoint), self.clock);
        let until = clock.now().plus(self.connect_timeout);
        let threads = Arc::clone(&self.threads);
        threads.fetch_add(1, Ordering::AcqRel);
        let started = thread::Builder::new()
            .name("veloz-cancel-up".to_owned())
            .spawn(move || {
                let opened = Conversation::open(&endpoint, ANSWER_BYTES_MAX, clock, until);
                // Nobody listens any more when the attempt was given up.
                let _ = answer.send(opened.map_err(Lost::from));
                threads.fetch_sub(1, Ordering::AcqRel);
            });
        match started {
            Ok(_) => {
                self.wire = Wire::Connecting {
                    answered,
                    given_up_at: until.plus(GRACE),
                };
                None
            }
            Err(error) => {
                self.threads.fetch_sub(1, Ordering::AcqRel);
                Some(Lost::new(format!("no thread to connect: {error}")))
            }
        }
    }

    fn send(&mut self, text: &str) -> Option<Lost> {
        let until = self.clock.now().plus(self.send_timeout);
        let Wire::Open(conversation) = &mut self.wire else {
            return Some(Lost::new("there is no connection"));
        };
        let error = conversation.send(text, until).err()?;
        self.wire = Wire::Closed;
        Some(error.into())
    }

    fn listen(&mut self, until: Nanos) -> Heard {
        let now = self.clock.now();
        let pause = |until: Nanos| Duration::from_nanos(until.since(now).0);
        match &mut self.wire {
            Wire::Closed => {
                thread::sleep(pause(until));
                Heard::Nothing
            }
            Wire::Connecting {
                answered,
                given_up_at,
            } => match answered.recv_timeout(pause(until.min(*given_up_at))) {
                Ok(Ok(conversation)) => {
                    self.wire = Wire::Open(Box::new(conversation));
                    Heard::Up
                }
                Ok(Err(lost)) => {
                    self.wire = Wire::Closed;
                    Heard::Down(lost)
                }
                Err(RecvTimeoutError::Timeout) if *given_up_at <= now => {
                    self.wire = Wire::Closed;
                    Heard::Down(Lost::new("the resolver does not answer"))
                }
                Err(RecvTimeoutError::Timeout) => Heard::Nothing,
                Err(RecvTimeoutError::Disconnected) => {
                    self.wire = Wire::Closed;
                    Heard::Down(Lost::new("the thread that connects panicked"))
                }
            },
            Wire::Open(conversation) => match conversation.receive(until) {
                Ok(Some(text)) => Heard::Message(text),
                Ok(None) => Heard::Nothing,
                Err(error) => {
                    self.wire = Wire::Closed;
                    Heard::Down(error.into())
                }
            },
        }
    }
}
