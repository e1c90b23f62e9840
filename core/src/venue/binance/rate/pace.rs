//! How many of something may happen in any span of time, wherever it begins.
//!
//! Owns: [`Pace`], for messages of a link and for connections. Does not: know aligned windows. Invariant: of
//! the times that it was asked about and allowed, no window holds more than a purpose's part of `N`.

use super::{Purpose, Use};
use crate::units::Nanos;

/// The last `N` of something; each is forgotten one window later.
#[derive(Clone, Debug)]
pub struct Pace<const N: usize> {
    window: Nanos,
    /// When each may be forgotten; the oldest at `next`.
    forgotten_at: [Nanos; N],
    next: usize,
}

impl<const N: usize> Pace<N> {
    /// At most `N` in any `window`; none so far.
    pub fn new(window: Nanos) -> Self {
        Self {
            window,
            forgotten_at: [Nanos::ZERO; N],
            next: 0,
        }
    }

    /// When one more may happen for this purpose; in the past when it may happen now.
    #[inline]
    pub fn ready_at(&self, purpose: Purpose) -> Nanos {
        // With the k-th newest forgotten, fewer than k count.
        let allowed = purpose.part(N as u32) as usize;
        self.forgotten_at[(self.next + N - allowed) % N]
    }

    /// Notes one that happens, asked for or not.
    #[inline]
    pub fn note(&mut self, now: Nanos) {
        self.forgotten_at[self.next] = now.plus(self.window);
        self.next = (self.next + 1) % N;
    }

    /// Notes one if it may happen now.
    #[must_use = "what is refused must not happen"]
    pub fn try_note(&mut self, now: Nanos, purpose: Purpose) -> bool {
        let ready = self.ready_at(purpose) <= now;
        if ready {
            self.note(now);
        }
        ready
    }

    /// How many count now.
    pub fn usage(&self, now: Nanos) -> Use {
        let used = self.forgotten_at.iter().filter(|at| **at > now).count();
        Use {
            used: used as u32,
            limit: N as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitter::Jitter;

    const SECOND: Nanos = Nanos::from_secs(1);

    #[test]
    fn each_purpose_has_its_part() {
        let mut pace = Pace::<10>::new(SECOND);
        let now = Nanos::from_ms(500);
        for _ in 0..8 {
            assert!(pace.try_note(now, Purpose::Query));
        }
        assert!(!pace.try_note(now, Purpose::Query));
        assert!(pace.try_note(now, Purpose::Order));
        assert!(!pace.try_note(now, Purpose::Order));
        assert!(pace.try_note(now, Purpose::Cancel));
        assert!(!pace.try_note(now, Purpose::Cancel));
        assert_eq!(
            pace.usage(now),
            Use {
                used: 10,
                limit: 10
            }
        );
        assert_eq!(pace.ready_at(Purpose::Cancel), now.plus(SECOND));
        assert!(pace.try_note(now.plus(SECOND), Purpose::Query));
    }

    /// Against a list of all times that were allowed.
    #[test]
    fn no_window_holds_more_than_a_purposes_part() {
        for seed in 0..100 {
            let mut jitter = Jitter::new(seed);
            let mut pace = Pace::<20>::new(SECOND);
            let mut allowed: Vec<Nanos> = Vec::new();
            let mut now = Nanos::ZERO;
            for _ in 0..2_000 {
                let purpose = Purpose::ALL[jitter.below(Nanos(3)).0 as usize];
                let in_window = allowed.iter().filter(|at| at.plus(SECOND) > now).count();
                let expected = in_window < purpose.part(20) as usize;
                assert_eq!(pace.usage(now).used as usize, in_window);
                assert_eq!(pace.try_note(now, purpose), expected, "seed {seed}");
                if expected {
                    allowed.push(now);
                }
                now = now.plus(jitter.below(Nanos::from_ms(90)));
            }
        }
    }
}
