//! The way of commands to the core.
//!
//! Owns: [`Commands`]. Does not: decide what is asked for, or keep what came of it (`crate::trading` does).
//! Invariant: a command is sent without waiting, or not at all.

use crate::http::HttpState;
use crate::http::problem::{Code, Problem};
use crate::trading::{Answer, Asked};
use std::sync::OnceLock;
use std::time::Duration;
use veloz_core::edge::core_loop::EngineBusy;
use veloz_core::event::{Command, Token};

/// How long the core may take to answer a command; it looks for commands in every turn.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// When to come back to an engine that is busy: it empties its queue in every turn.
const BUSY_RETRY_SECONDS: u64 = 1;

/// How commands get to the core.
type Send = dyn Fn(Command) -> Result<(), EngineBusy> + std::marker::Send + Sync;

/// Where commands are given.
#[derive(Default)]
pub struct Commands {
    send: OnceLock<Box<Send>>,
}

impl Commands {
    /// Says how commands get to the core. Until then the engine is busy: it starts.
    ///
    /// # Panics
    /// When it was said before.
    pub fn connect(
        &self,
        send: impl Fn(Command) -> Result<(), EngineBusy> + std::marker::Send + Sync + 'static,
    ) {
        let first = self.send.set(Box::new(send)).is_ok();
        assert!(first, "one process has one core");
    }

    fn send(&self, command: Command) -> Result<(), EngineBusy> {
        self.send
            .get()
            .map_or(Err(EngineBusy), |send| send(command))
    }
}

impl HttpState {
    /// Sends the command that `make` makes with its number; `asked` says whose it is.
    ///
    /// # Errors
    /// `engine_busy` when as many commands wait as may, or the core does not run yet, or no longer.
    pub(crate) fn send(
        &self,
        asked: Asked,
        make: impl FnOnce(Token) -> Command,
    ) -> Result<Token, Problem> {
        let results = self.trading.commands();
        let at = (self.now)();
        let token = results.issue(Asked { at, ..asked });
        self.api.commands.send(make(token)).map_err(|EngineBusy| {
            results.withdraw(token);
            Problem::new(
                Code::EngineBusy,
                "the engine takes no command now; nothing was done",
            )
            .retry_after(BUSY_RETRY_SECONDS)
        })?;
        Ok(token)
    }

    /// What the core made of a command.
    ///
    /// # Errors
    /// `timed_out` when the core does not say in time: whether it was carried out is not known then.
    pub(crate) async fn answer_to(&self, token: Token) -> Result<Answer, Problem> {
        let answer = self.trading.commands().wait(token);
        tokio::time::timeout(ANSWER_TIME_MAX, answer)
            .await
            .ok()
            .flatten()
            .ok_or_else(|| {
                Problem::new(
                    Code::TimedOut,
                    "the engine took the command and does not answer: whether it is carried out is not known",
                )
            })
    }
}
