//! Which books are followed, and which have to be asked for.
//!
//! Owns: [`Follower`], a state machine for each symbol and the pace of questions over all of them. Does not: touch a
//! socket; time is an argument, updates go to a sink.
//!
//! | symbol | on | to |
//! | --- | --- | --- |
//! | waiting | diff | waiting: held; the first one makes a question due |
//! | waiting | snapshot that the held diffs continue | following: it and they are fed |
//! | waiting | snapshot older than the held diffs, or a refusal | waiting; asked again after a back-off |
//! | following | anything that the sink takes | following |
//! | following | anything that it refuses (a gap) | waiting; the diff is held |
//! | any | connection lost | waiting; the fed book is emptied |

use super::QUESTION_EVERY;
use crate::venue::source::{Level, Snapshot};
use crate::venue::{FeedError, FeedUpdate};
use std::collections::VecDeque;
use veloz_core::jitter::Jitter;
use veloz_core::units::Nanos;

/// Diffs held for one symbol, 20 s of them. The oldest go when there are more: a snapshot is fresher than that, and
/// one that is not is asked for again.
const HELD_MAX: usize = 200;
/// First wait for a symbol whose question failed; doubles with each in a row.
const BACKOFF_BASE: Nanos = Nanos::from_secs(1);
/// Longest such wait.
const BACKOFF_MAX: Nanos = Nanos::from_secs(30);

/// A diff that waits for its snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    first_id: u64,
    last_id: u64,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

#[derive(Debug, Default)]
struct Symbol {
    following: bool,
    held: VecDeque<Held>,
    ask_at: Nanos,
    /// Questions in a row that gave no book that could be followed.
    failures: u32,
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// The symbol is followed from here on.
    Following,
    /// It did not continue what was held.
    Stale,
    /// Nobody asked, or the connection changed meanwhile.
    Unasked,
}

/// Follows the books of all symbols; see the module's text.
#[derive(Debug)]
pub(super) struct Follower {
    symbols: Vec<Symbol>,
    /// The symbol whose question is under way.
    asked: Option<usize>,
    next_question_at: Nanos,
    jitter: Jitter,
}

impl Follower {
    pub(super) fn new(count: usize, seed: u64) -> Self {
        Self {
            symbols: (0..count).map(|_| Symbol::default()).collect(),
            asked: None,
            next_question_at: Nanos::ZERO,
            jitter: Jitter::new(seed),
        }
    }

    /// The symbol whose book is to be asked for now, if any; answered by [`snapshot`](Self::snapshot) or
    /// [`refused`](Self::refused), unless the connection is lost before.
    pub(super) fn question(&mut self, now: Nanos) -> Option<usize> {
        if self.asked.is_some() || now < self.next_question_at {
            return None;
        }
        let due = self.symbols.iter().enumerate().filter(|(_, symbol)| {
            !symbol.following && !symbol.held.is_empty() && symbol.ask_at <= now
        });
        // Whoever waits longest goes first.
        let (which, _) = due.min_by_key(|(_, symbol)| symbol.ask_at)?;
        self.asked = Some(which);
        self.next_question_at = now.plus(QUESTION_EVERY);
        Some(which)
    }

    /// The question got no book; nothing is asked for `quiet`, if the venue said so.
    pub(super) fn refused(&mut self, now: Nanos, quiet: Option<Nanos>) {
        if let Some(quiet) = quiet {
            self.next_question_at = self.next_question_at.max(now.plus(quiet));
        }
        if let Some(which) = self.asked.take() {
            self.back_off(now, which);
        }
    }

    /// The question was answered.
    ///
    /// # Errors
    /// What the sink refused.
    pub(super) fn snapshot(
        &mut self,
        now: Nanos,
        snapshot: Snapshot,
        feed: &mut impl FnMut(usize, FeedUpdate) -> Result<(), FeedError>,
    ) -> Result<Answered, FeedError> {
        let Some(which) = self.asked.take() else {
            return Ok(Answered::Unasked);
        };
        let symbol = &mut self.symbols[which];
        let id = snapshot.last_update_id;
        let stale = symbol
            .held
            .front()
            .is_some_and(|oldest| oldest.first_id > id.saturating_add(1));
        if stale {
            self.back_off(now, which);
            return Ok(Answered::Stale);
        }
        let held = std::mem::take(&mut symbol.held);
        let mut fed = feed(which, FeedUpdate::Snapshot(snapshot));
        for diff in held {
            // Of those after a refused one the next question's snapshot is made.
            fed = fed.and_then(|()| feed(which, diff.update()));
        }
        match fed {
            Ok(()) => {
                symbol.following = true;
                Ok(Answered::Following)
            }
            Err(error) => {
                self.back_off(now, which);
                Err(error)
            }
        }
    }

    /// The stream brought something. While a symbol waits, its diffs are held, and the rest is left out: half a
    /// picture fills no order.
    ///
    /// # Errors
    /// What the sink refused; the symbol waits for a snapshot then.
    pub(super) fn update(
        &mut self,
        now: Nanos,
        which: usize,
        update: FeedUpdate,
        feed: &mut impl FnMut(usize, FeedUpdate) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        let symbol = &mut self.symbols[which];
        if !symbol.following {
            symbol.hold(&update);
            return Ok(());
        }
        let kept = Held::of(&update);
        match feed(which, update) {
            Ok(()) => {
                if kept.is_some() {
                    symbol.failures = 0;
                }
                Ok(())
            }
            Err(error) => {
                symbol.following = false;
                symbol.held.extend(kept);
                symbol.ask_at = now;
                Err(error)
            }
        }
    }

    /// The connection is lost: every book is.
    pub(super) fn lost(
        &mut self,
        now: Nanos,
        feed: &mut impl FnMut(usize, FeedUpdate) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        self.asked = None;
        let mut fed = Ok(());
        for (which, symbol) in self.symbols.iter_mut().enumerate() {
            symbol.following = false;
            symbol.held.clear();
            symbol.ask_at = symbol.ask_at.max(now);
            fed = fed.and(feed(which, FeedUpdate::Lost));
        }
        fed
    }

    fn back_off(&mut self, now: Nanos, which: usize) {
        let symbol = &mut self.symbols[which];
        let wait = self
            .jitter
            .backoff(BACKOFF_BASE, BACKOFF_MAX, symbol.failures);
        symbol.failures = symbol.failures.saturating_add(1);
        symbol.ask_at = now.plus(wait);
    }
}

impl Symbol {
    fn hold(&mut self, update: &FeedUpdate) {
        let Some(diff) = Held::of(update) else {
            return;
        };
        // A gap among them cannot be bridged by a snapshot from before it.
        if self
            .held
            .back()
            .is_some_and(|newest| diff.first_id > newest.last_id.saturating_add(1))
        {
            self.held.clear();
        }
        if self.held.len() == HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(diff);
    }
}

impl Held {
    fn of(update: &FeedUpdate) -> Option<Self> {
        match update {
            FeedUpdate::Depth {
                first_id,
                last_id,
                bids,
                asks,
            } => Some(Self {
                first_id: *first_id,
                last_id: *last_id,
                bids: bids.clone(),
                asks: asks.clone(),
            }),
            FeedUpdate::Snapshot(_)
            | FeedUpdate::Lost
            | FeedUpdate::BookTicker { .. }
            | FeedUpdate::Trade(_) => None,
        }
    }

    fn update(self) -> FeedUpdate {
        FeedUpdate::Depth {
            first_id: self.first_id,
            last_id: self.last_id,
            bids: self.bids,
            asks: self.asks,
        }
    }
}

#[cfg(test)]
mod tests;
