//! The follower with its sockets and its clock.
//!
//! Owns: [`Driver`]: the stream's connection, its probe and its end, questions, and what is logged. Does not: decide
//! which book is asked for. Connecting and questions have threads of their own, because a resolver can hang.
//!
//! | link | on | to |
//! | --- | --- | --- |
//! | down | its time | connecting |
//! | connecting | up | open: everything is subscribed |
//! | open | nothing said for [`PROBE_AFTER`] | open; something is asked that has to be answered |
//! | open | nothing said for [`SILENCE_MAX`], lost, or a refusal | down until the back-off ends; books are emptied |

use super::SILENCE_MAX;
use super::follower::{Answered, Follower};
use super::messages::{self, MessageFault, PROBE, Said, read, read_book, subscriptions};
use crate::venue::VenueHandle;
use std::fmt::Display;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Duration;
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::{Conversation, Endpoint, request_once};
use veloz_core::jitter::Jitter;
use veloz_core::limits::MESSAGE_BYTES_MAX;
use veloz_core::units::Nanos;

/// How long a turn waits for something to happen: how late an answer to a question, or a stop, is seen.
const TURN: Nanos = Nanos::from_ms(20);
/// How long one attempt to connect, or one question, may take, resolving aside.
const ATTEMPT_MAX: Nanos = Nanos::from_secs(5);
/// How long after that its thread may still say what failed; then it hangs in the resolver.
const GRACE: Nanos = Nanos::from_ms(250);
/// How long the kernel may take for one message.
const SEND_MAX: Nanos = Nanos::from_secs(1);
/// A stream without a word for so long is asked whether it lives.
const PROBE_AFTER: Nanos = Nanos::from_secs(2);
/// How long a goodbye may take.
const GOODBYE: Nanos = Nanos::from_ms(100);
/// First wait after a failure to connect; doubles with each in a row.
const BACKOFF_BASE: Nanos = Nanos::from_ms(500);
/// Longest such wait.
const BACKOFF_MAX: Nanos = Nanos::from_secs(30);
/// Threads that may hang in the resolver; then none is started until one of them ends.
const THREADS_MAX: usize = 4;
/// Shortest time between two warnings; those between are counted.
const WARN_EVERY: Nanos = Nanos::from_secs(1);

enum Wire {
    Down {
        retry_at: Nanos,
    },
    Connecting {
        answered: Receiver<Result<Conversation, String>>,
        given_up_at: Nanos,
    },
    Open {
        conversation: Box<Conversation>,
        heard_at: Nanos,
        probed: bool,
    },
}

struct Question {
    answered: Receiver<Result<String, String>>,
    given_up_at: Nanos,
    symbol: usize,
}

/// Drives one feed.
pub(super) struct Driver {
    clock: Clock,
    market: Arc<Endpoint>,
    api: Arc<Endpoint>,
    symbols: Vec<String>,
    venue: Arc<VenueHandle>,
    follower: Follower,
    wire: Wire,
    question: Option<Question>,
    threads: Arc<AtomicUsize>,
    jitter: Jitter,
    /// Connections in a row that brought nothing.
    failures: u32,
    warned_at: Option<Nanos>,
    withheld: u64,
}

impl Driver {
    /// A driver that is not connected yet. Positions of `symbols` are those of `venue`.
    pub(super) fn new(
        market: Endpoint,
        api: Endpoint,
        symbols: Vec<String>,
        venue: Arc<VenueHandle>,
    ) -> Self {
        let mut jitter = Jitter::new(RandomState::new().build_hasher().finish());
        let seed = jitter.below(Nanos(u64::MAX)).0;
        Self {
            clock: Clock::kernel(),
            market: Arc::new(market),
            api: Arc::new(api),
            follower: Follower::new(symbols.len(), seed),
            symbols,
            venue,
            wire: Wire::Down {
                retry_at: Nanos::ZERO,
            },
            question: None,
            threads: Arc::default(),
            jitter,
            failures: 0,
            warned_at: None,
            withheld: 0,
        }
    }

    /// Does what is due and waits a moment for more.
    pub(super) fn turn(&mut self) {
        self.listen();
        self.hear_answer();
        self.ask();
    }

    /// Ends the connection; the books are emptied.
    pub(super) fn close(mut self) {
        let now = self.clock.now();
        let wire = std::mem::replace(&mut self.wire, Wire::Down { retry_at: now });
        if let Wire::Open { conversation, .. } = wire {
            conversation.close(now.plus(GOODBYE));
        }
        self.empty(now);
    }

    fn listen(&mut self) {
        let now = self.clock.now();
        match &mut self.wire {
            Wire::Down { retry_at } if *retry_at <= now => self.connect(now),
            Wire::Down { .. } => thread::sleep(Duration::from_nanos(TURN.0)),
            Wire::Connecting {
                answered,
                given_up_at,
            } => match answered.recv_timeout(Duration::from_nanos(TURN.0)) {
                Ok(Ok(conversation)) => self.opened(Box::new(conversation)),
                Ok(Err(why)) => self.down(&why),
                Err(RecvTimeoutError::Timeout) if now < *given_up_at => {}
                Err(RecvTimeoutError::Timeout) => self.down(&"the resolver does not answer"),
                Err(RecvTimeoutError::Disconnected) => {
                    self.down(&"the thread that connects panicked");
                }
            },
            Wire::Open {
                conversation,
                heard_at,
                probed,
            } => match conversation.receive(now.plus(TURN)) {
                Ok(Some(text)) => {
                    *heard_at = now;
                    *probed = false;
                    self.hear(now, &text);
                }
                Ok(None) => {
                    let silence = now.since(*heard_at);
                    if silence >= SILENCE_MAX {
                        self.down(&"it says nothing");
                    } else if silence >= PROBE_AFTER && !*probed {
                        *probed = true;
                        if let Err(error) = conversation.send(PROBE, now.plus(SEND_MAX)) {
                            self.down(&error);
                        }
                    }
                }
                Err(error) => self.down(&error),
            },
        }
    }

    fn connect(&mut self, now: Nanos) {
        let (endpoint, clock) = (Arc::clone(&self.market), self.clock);
        let until = now.plus(ATTEMPT_MAX);
        let started = self.aside(move || {
            Conversation::open(&endpoint, MESSAGE_BYTES_MAX, clock, until)
                .map_err(|error| error.to_string())
        });
        match started {
            Ok(answered) => {
                self.wire = Wire::Connecting {
                    answered,
                    given_up_at: until.plus(GRACE),
                }
            }
            Err(why) => self.down(&why),
        }
    }

    fn opened(&mut self, mut conversation: Box<Conversation>) {
        let now = self.clock.now();
        for message in subscriptions(&self.symbols) {
            if let Err(error) = conversation.send(&message, now.plus(SEND_MAX)) {
                return self.down(&error);
            }
        }
        tracing::info!(
            component = "paper",
            url = self.market.url(),
            "the live market is connected"
        );
        self.wire = Wire::Open {
            conversation,
            heard_at: now,
            probed: false,
        };
    }

    /// The stream is lost, or never came up.
    fn down(&mut self, why: &dyn Display) {
        let now = self.clock.now();
        let wait = self
            .jitter
            .backoff(BACKOFF_BASE, BACKOFF_MAX, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.wire = Wire::Down {
            retry_at: now.plus(wait),
        };
        self.question = None;
        self.empty(now);
        let url = self.market.url().to_owned();
        self.warn(
            now,
            &format!("no live market from {url}: {why}; orders do not fill until it is back"),
        );
    }

    fn empty(&mut self, now: Nanos) {
        let venue = &self.venue;
        let emptied = self
            .follower
            .lost(now, &mut |symbol, update| venue.feed(symbol, update));
        if let Err(error) = emptied {
            self.warn(now, &format!("a book was not emptied: {error}"));
        }
    }

    fn hear(&mut self, now: Nanos, text: &str) {
        match read(text, &self.symbols) {
            Ok(Said::Update(symbol, update)) => {
                self.failures = 0;
                let venue = &self.venue;
                let fed = self
                    .follower
                    .update(now, symbol, update, &mut |symbol, update| {
                        venue.feed(symbol, update)
                    });
                if let Err(error) = fed {
                    let name = self.symbols[symbol].clone();
                    self.warn(
                        now,
                        &format!("{name}: {error}; its orders do not fill until a new book is in"),
                    );
                }
            }
            Ok(Said::Nothing) => {}
            Err(fault @ MessageFault::Refused { .. }) => self.down(&fault),
            // A diff that is missing shows as a gap.
            Err(fault @ MessageFault::Unreadable(_)) => {
                self.warn(now, &format!("a message of the stream {fault}"));
            }
        }
    }

    fn ask(&mut self) {
        let Wire::Open { .. } = self.wire else {
            return;
        };
        let now = self.clock.now();
        let Some(symbol) = self.follower.question(now) else {
            return;
        };
        let endpoint = Arc::clone(&self.api);
        let question = messages::question(&self.symbols[symbol]);
        let started = self.aside(move || {
            request_once(&endpoint, &question, ATTEMPT_MAX).map_err(|error| error.to_string())
        });
        match started {
            Ok(answered) => {
                self.question = Some(Question {
                    answered,
                    given_up_at: now.plus(ATTEMPT_MAX).plus(GRACE),
                    symbol,
                });
            }
            Err(why) => self.no_book(now, symbol, None, &why),
        }
    }

    fn hear_answer(&mut self) {
        let Some(question) = &self.question else {
            return;
        };
        let now = self.clock.now();
        let symbol = question.symbol;
        let answer = match question.answered.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) if now < question.given_up_at => return,
            Err(TryRecvError::Empty) => Err("the resolver does not answer".to_owned()),
            Err(TryRecvError::Disconnected) => Err("the thread that asks panicked".to_owned()),
        };
        self.question = None;
        let text = match answer {
            Ok(text) => text,
            Err(why) => return self.no_book(now, symbol, None, &why),
        };
        let snapshot = match read_book(&text) {
            Ok(snapshot) => snapshot,
            Err(fault) => {
                let quiet = match &fault {
                    MessageFault::Refused { quiet, .. } => *quiet,
                    MessageFault::Unreadable(_) => None,
                };
                return self.no_book(now, symbol, quiet, &fault);
            }
        };
        let venue = &self.venue;
        let fed = self
            .follower
            .snapshot(now, snapshot, &mut |symbol, update| {
                venue.feed(symbol, update)
            });
        let name = self.symbols[symbol].clone();
        match fed {
            Ok(Answered::Following) => {
                tracing::info!(component = "paper", symbol = name, "follows the live book");
            }
            Ok(Answered::Stale) => {
                self.warn(now, &format!("{name}: the book is older than its diffs"));
            }
            Ok(Answered::Unasked) => {}
            Err(error) => self.warn(now, &format!("{name}: {error}")),
        }
    }

    fn no_book(&mut self, now: Nanos, symbol: usize, quiet: Option<Nanos>, why: &dyn Display) {
        self.follower.refused(now, quiet);
        let text = format!("no book of {}: {why}", self.symbols[symbol]);
        self.warn(now, &text);
    }

    /// Runs `work` on a thread of its own. Nobody listens any more when it was given up.
    fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Receiver<T>, String> {
        if self.threads.load(Ordering::Acquire) >= THREADS_MAX {
            return Err("the resolver does not answer".to_owned());
        }
        let (answer, answered) = mpsc::channel();
        let threads = Arc::clone(&self.threads);
        threads.fetch_add(1, Ordering::AcqRel);
        let started = thread::Builder::new()
            .name("veloz-paper-ask".to_owned())
            .spawn(move || {
                let _ = answer.send(work());
                threads.fetch_sub(1, Ordering::AcqRel);
            });
        match started {
            Ok(_) => Ok(answered),
            Err(error) => {
                self.threads.fetch_sub(1, Ordering::AcqRel);
                Err(format!("no thread: {error}"))
            }
        }
    }

    fn warn(&mut self, now: Nanos, words: &str) {
        if self.warned_at.is_some_and(|at| now.since(at) < WARN_EVERY) {
            self.withheld += 1;
            return;
        }
        self.warned_at = Some(now);
        let withheld = std::mem::take(&mut self.withheld);
        tracing::warn!(component = "paper", withheld, "{words}");
    }
}
