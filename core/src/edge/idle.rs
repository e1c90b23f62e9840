//! What the core does when a turn found nothing: spin, yield, or back off.
//!
//! Owns: [`IdleKind`], and [`Idle`], which counts empty turns and names the next [`Rest`]. Does not:
//! choose the strategy, or wait itself; the loop does, because only it owns the poll.

/// The strategy, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleKind {
    /// Look again at once. Wants a CPU of its own.
    Spin,
    /// Give the CPU to whoever is ready, then look again.
    Yield,
    /// Spin, then yield, then sleep in the poll until a socket, a waker or a bound ends it.
    Backoff,
}

impl IdleKind {
    /// The name in configuration and reports.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Yield => "yield",
            Self::Backoff => "backoff",
        }
    }
}

/// How to spend the time until the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Not at all, or with the CPU's hint for spinning.
    Spin,
    /// With `sched_yield`.
    Yield,
    /// In the poll, for at most [`POLL_MS_MAX`] or until the engine's next deadline.
    Poll,
}

/// Counts empty turns.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    kind: IdleKind,
    empty_turns: u32,
}

impl Idle {
    /// A strategy at its beginning.
    pub fn new(kind: IdleKind) -> Self {
        Self {
            kind,
            empty_turns: 0,
        }
    }

    /// After a turn that found something (`busy`) or nothing.
    #[inline]
    pub fn after_turn(&mut self, busy: bool) -> Rest {
        if busy {
            self.empty_turns = 0;
            return Rest::Spin;
        }
        self.empty_turns = self.empty_turns.saturating_add(1);
        match self.kind {
            IdleKind::Spin => Rest::Spin,
            IdleKind::Yield => Rest::Yield,
            IdleKind::Backoff if self.empty_turns <= SPIN_TURNS => Rest::Spin,
            IdleKind::Backoff if self.empty_turns <= SPIN_TURNS + YIELD_TURNS => Rest::Yield,
            IdleKind::Backoff => Rest::Poll,
        }
    }

    /// The poll was ended by something to do: look around before sleeping again.
    pub fn woken(&mut self) {
        self.empty_turns = 0;
    }
}

/// Empty turns before yielding: about 50 us of empty reads, longer than most gaps inside a burst.
const SPIN_TURNS: u32 = 100;
/// Empty turns of yielding before sleeping.
const YIELD_TURNS: u32 = 20;
/// The longest sleep in the poll, in milliseconds: what housekeeping may wait for.
pub const POLL_MS_MAX: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backing_off_spins_yields_and_sleeps_until_woken() {
        let mut idle = Idle::new(IdleKind::Backoff);
        let rests: Vec<Rest> = (0..SPIN_TURNS + YIELD_TURNS + 2)
            .map(|_| idle.after_turn(false))
            .collect();
        let count = |rest| rests.iter().filter(|other| **other == rest).count() as u32;
        assert_eq!(count(Rest::Spin), SPIN_TURNS);
        assert_eq!(count(Rest::Yield), YIELD_TURNS);
        assert_eq!(count(Rest::Poll), 2);
        assert_eq!(rests.last(), Some(&Rest::Poll));
        idle.woken();
        assert_eq!(idle.after_turn(false), Rest::Spin);

        let mut idle = Idle::new(IdleKind::Backoff);
        for _ in 0..500 {
            idle.after_turn(false);
        }
        assert_eq!(idle.after_turn(true), Rest::Spin);
        assert_eq!(idle.after_turn(false), Rest::Spin);
    }

    #[test]
    fn spinning_and_yielding_never_sleep() {
        for (kind, rest) in [(IdleKind::Spin, Rest::Spin), (IdleKind::Yield, Rest::Yield)] {
            let mut idle = Idle::new(kind);
            assert!((0..10_000).all(|_| idle.after_turn(false) == rest));
        }
    }
}
