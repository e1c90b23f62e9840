//! The engine's timers: one slot a kind, and the earliest of them at hand.
//!
//! Owns: [`Timer`], [`Deadlines`]. Does not: read a clock; the edge asks for the earliest deadline
//! every turn and sends a tick when it has passed.

use crate::units::Nanos;

/// What a deadline is for. Each kind stands for the earliest wish of all its owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Timer {
    /// When to ask for a connection, send the next subscription, rotate a link or give up on one.
    Links = 0,
    /// When to look at a book that waits: for its turn, a retry, a snapshot, or a sign of life.
    Books = 1,
    /// When to give up on an unanswered request.
    Requests = 2,
    /// When to ask the venue for its time.
    VenueClock = 3,
    /// When to look at trading: cancels, questions and time-outs of orders, the strategy's timer, the account.
    Orders = 4,
}

impl Timer {
    /// All timers, in order of their discriminants.
    pub const ALL: [Self; 5] = [
        Self::Links,
        Self::Books,
        Self::Requests,
        Self::VenueClock,
        Self::Orders,
    ];
}

/// One deadline a timer; [`Nanos::MAX`] where it does not run.
#[derive(Clone, Debug)]
pub struct Deadlines {
    at: [Nanos; Timer::ALL.len()],
    earliest: Nanos,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            at: [Nanos::MAX; Timer::ALL.len()],
            earliest: Nanos::MAX,
        }
    }
}

impl Deadlines {
    /// Sets a timer; [`Nanos::MAX`] stops it.
    pub fn set(&mut self, timer: Timer, at: Nanos) {
        self.at[timer as usize] = at;
        self.earliest = self.at.into_iter().min().expect("there are timers");
    }

    /// Brings a timer forward; one that is due earlier stays.
    pub fn set_earlier(&mut self, timer: Timer, at: Nanos) {
        if at < self.at[timer as usize] {
            self.set(timer, at);
        }
    }

    /// Whether a timer is due at `now`; a due timer is stopped.
    #[must_use = "a due timer is stopped and has to be served"]
    pub fn take_due(&mut self, timer: Timer, now: Nanos) -> bool {
        let due = self.at[timer as usize] <= now;
        if due {
            self.set(timer, Nanos::MAX);
        }
        due
    }

    /// Whether a timer is due at `now`; it runs on.
    #[inline]
    pub fn is_due(&self, timer: Timer, now: Nanos) -> bool {
        self.at[timer as usize] <= now
    }

    /// The earliest deadline; `None` while no timer runs.
    #[inline]
    pub fn earliest(&self) -> Option<Nanos> {
        (self.earliest != Nanos::MAX).then_some(self.earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_is_known_and_a_due_timer_stops() {
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.earliest(), None);
        deadlines.set(Timer::Books, Nanos(50));
        deadlines.set(Timer::Links, Nanos(30));
        deadlines.set_earlier(Timer::Links, Nanos(40));
        assert_eq!(deadlines.earliest(), Some(Nanos(30)));
        assert!(!deadlines.take_due(Timer::Links, Nanos(29)));
        assert!(deadlines.take_due(Timer::Links, Nanos(30)));
        assert!(!deadlines.take_due(Timer::Links, Nanos(1_000)));
        deadlines.set_earlier(Timer::Books, Nanos(10));
        assert_eq!(deadlines.earliest(), Some(Nanos(10)));
        deadlines.set(Timer::Books, Nanos::MAX);
        assert_eq!(deadlines.earliest(), None);
        for (position, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, position);
        }
    }
}
