//! Commands by their token: who asked, what came of it, and waiting for it.
//!
//! Owns: [`CommandResults`], [`Asked`], [`Answer`]. Does not: send commands. A token is given before its command is
//! sent, so the answer cannot come before somebody can wait for it, and it is kept for a while, so nobody who waits
//! late misses it.
//!
//! Invariants: a token is given once and is never zero, which is the strategy's; every table is bounded, and what it
//! forgets is the oldest.

use opentelemetry::trace::SpanContext;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use veloz_core::event::Token;
use veloz_core::order::{ClientId, OrderId};
use veloz_core::risk::Rejection;
use veloz_core::telemetry::records::CommandResult;
use veloz_core::units::Nanos;

/// Commands that are under way: sixteen times what the channel to the core holds. The oldest is forgotten then: it
/// is still carried out, but who asked is not known when it is answered.
pub const ISSUED_MAX: usize = 1_024;

/// Answers that are kept for whoever asks late. The oldest goes first.
pub const ANSWERS_KEPT_MAX: usize = 1_024;

/// Who asked for a command, and what it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// Its kind, as spans name it: `place_order`, `cancel_order`, ...
    pub command: &'static str,
    /// The client's own id of the order that it is about.
    pub client_id: Option<ClientId>,
    /// The span of the request that caused it; its order's spans go under it.
    pub context: Option<SpanContext>,
    /// When it was sent, on the engine's clock.
    pub at: Nanos,
}

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What became of it.
    pub result: CommandResult,
    /// Risk's reason, when that was it.
    pub reason: Option<Rejection>,
    /// The order that it was about, when there is one.
    pub order: Option<OrderId>,
    /// When the core answered, on the engine's clock.
    pub at: Nanos,
}

/// See the module's text; cheap to clone.
#[derive(Clone, Default)]
pub struct CommandResults {
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    last_token: u64,
    issued: BTreeMap<Token, Asked>,
    answers: HashMap<Token, Answer>,
    /// Tokens of `answers`, oldest first.
    answered: VecDeque<Token>,
    waiting: HashMap<Token, Vec<oneshot::Sender<Answer>>>,
}

impl CommandResults {
    /// A token for a command that is about to be sent.
    pub fn issue(&self, asked: Asked) -> Token {
        let mut held = self.held();
        held.last_token += 1;
        let token = Token(held.last_token);
        held.issued.insert(token, asked);
        if held.issued.len() > ISSUED_MAX {
            held.issued.pop_first();
        }
        token
    }

    /// The command was not sent after all.
    pub fn withdraw(&self, token: Token) {
        let mut held = self.held();
        held.issued.remove(&token);
        held.waiting.remove(&token);
    }

    /// What a command came to, if it is known and not yet forgotten.
    pub fn answer(&self, token: Token) -> Option<Answer> {
        self.held().answers.get(&token).copied()
    }

    /// Resolves with what a command came to. Never gives up by itself; `None` when the command was withdrawn.
    pub async fn wait(&self, token: Token) -> Option<Answer> {
        let answered = {
            let mut held = self.held();
            if let Some(answer) = held.answers.get(&token) {
                return Some(*answer);
            }
            let (sender, answered) = oneshot::channel();
            // Waiters that gave up leave nothing behind.
            held.waiting.retain(|_, waiting| {
                waiting.retain(|waiting| !waiting.is_closed());
                !waiting.is_empty()
            });
            held.waiting.entry(token).or_default().push(sender);
            answered
        };
        answered.await.ok()
    }

    /// Who asked for a command that is under way.
    pub fn asked(&self, token: Token) -> Option<Asked> {
        self.held().issued.get(&token).cloned()
    }

    /// The client's id that a command under way named.
    pub(super) fn client_of(&self, token: Token) -> Option<ClientId> {
        self.held().issued.get(&token)?.client_id
    }

    /// The core answered.
    pub(super) fn answered(&self, token: Token, answer: Answer) {
        if token == Token::default() {
            // Nobody waits: the dead-man's and the configuration's commands have no number.
            return;
        }
        let mut held = self.held();
        held.issued.remove(&token);
        if held.answers.insert(token, answer).is_none() {
            held.answered.push_back(token);
        }
        while held.answered.len() > ANSWERS_KEPT_MAX {
            if let Some(oldest) = held.answered.pop_front() {
                held.answers.remove(&oldest);
            }
        }
        let waiting = held.waiting.remove(&token);
        drop(held);
        for waiting in waiting.into_iter().flatten() {
            // Who does not wait any more needs no answer.
            let _ = waiting.send(answer);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Every change leaves the tables whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
