//! The links of one role: a main one, and at times another beside it.
//!
//! Owns: [`Role`], [`Link`] and its [`Phase`]. Does not: send, or decide when; the session does.

use crate::event::{LinkDown, LinkId};
use crate::units::Nanos;
use crate::venue::binance::resync::SOURCES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting {
        until: Nanos,
    },
    Subscribing {
        /// Request id of the first message; the others follow.
        first_id: i64,
        /// Messages sent.
        sent: usize,
        /// Messages answered, a bit each.
        answered: u32,
        next_at: Nanos,
        reply_by: Nanos,
    },
    /// Orders: the log-on and the subscription to user data are under way.
    LoggingOn {
        reply_by: Nanos,
    },
    Ready {
        since: Nanos,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) phase: Phase,
    /// When anything last arrived.
    pub(super) heard_at: Nanos,
    /// When it is to be replaced.
    pub(super) rotate_at: Nanos,
    /// It is to be closed, and the outbox had no room to say so.
    pub(super) doomed: Option<LinkDown>,
}

impl Link {
    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }
}

/// The links of one role.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) slots: [Option<Link>; SOURCES],
    pub(super) main: usize,
    /// Whether the main link is to be replaced.
    pub(super) replace: bool,
    /// When the link that is not the main one goes, if it is the old one.
    pub(super) retire_at: Nanos,
    /// Not before this the next connection is asked for.
    pub(super) connect_at: Nanos,
    pub(super) failures: u32,
    pub(super) was_up: bool,
    /// Whether the old link still has something unanswered on it and must not retire yet.
    pub(super) kept: bool,
}

impl Role {
    pub(super) const fn new() -> Self {
        Self {
            slots: [None; SOURCES],
            main: 0,
            replace: false,
            retire_at: Nanos::MAX,
            connect_at: Nanos::ZERO,
            failures: 0,
            was_up: false,
            kept: false,
        }
    }

    pub(super) const fn other(&self) -> usize {
        1 - self.main
    }

    pub(super) fn slot_of(&self, link: LinkId) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.is_some_and(|held| held.id == link))
    }

    /// The slot for a new connection, if one is wanted.
    pub(super) fn wanted_slot(&self) -> Option<usize> {
        if self.slots[self.main].is_none() {
            debug_assert!(
                self.slots[self.other()].is_none(),
                "it would be the main one"
            );
            return Some(self.main);
        }
        (self.replace && self.slots[self.other()].is_none()).then_some(self.other())
    }
}
