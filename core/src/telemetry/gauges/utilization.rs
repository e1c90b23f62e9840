//! How much of every limit one instrument uses, as words.
//!
//! Owns: [`LimitGauges`]. Does not: compute anything; risk does. Invariant: use and limit of all limits belong to
//! one moment: they are one seqlock snapshot.

use super::NOT_MEASURED;
use crate::risk::{Limit, LimitUse, Utilization};

/// Words of one instrument's limits: use and limit of each, and the highest use.
pub(super) const LIMIT_WORDS: usize = 2 * Limit::ALL.len() + 1;

/// How much of every limit one instrument uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitGauges {
    uses: [(Option<i64>, Option<i64>); Limit::ALL.len()],
    highest_bps: u32,
}

impl LimitGauges {
    /// What risk told.
    pub(super) fn new(utilization: &Utilization) -> Self {
        Self {
            uses: Limit::ALL.map(|limit| {
                let LimitUse { used, max, bps: _ } = *utilization.of(limit);
                (used, max)
            }),
            highest_bps: utilization.highest_bps,
        }
    }

    /// Nothing used, nothing bound.
    pub(super) const fn unknown() -> Self {
        Self {
            uses: [(None, None); Limit::ALL.len()],
            highest_bps: 0,
        }
    }

    /// Use and limit, each in the limit's unit; `None` where it cannot be told, or does not bind.
    pub fn of(&self, limit: Limit) -> (Option<i64>, Option<i64>) {
        self.uses[limit.index()]
    }

    /// The highest use of what adds up, in hundredths of a percent.
    pub fn highest_bps(&self) -> u32 {
        self.highest_bps
    }

    pub(super) fn to_words(self) -> [u64; LIMIT_WORDS] {
        let mut words = [0; LIMIT_WORDS];
        let word = |value: Option<i64>| value.unwrap_or(NOT_MEASURED) as u64;
        for (pair, (used, max)) in words.chunks_exact_mut(2).zip(self.uses) {
            pair[0] = word(used);
            pair[1] = word(max);
        }
        words[LIMIT_WORDS - 1] = u64::from(self.highest_bps);
        words
    }

    pub(super) fn from_words(words: &[u64; LIMIT_WORDS]) -> Self {
        let value = |word: u64| Some(word as i64).filter(|value| *value != NOT_MEASURED);
        let mut gauges = Self::unknown();
        for (uses, pair) in gauges.uses.iter_mut().zip(words.chunks_exact(2)) {
            *uses = (value(pair[0]), value(pair[1]));
        }
        gauges.highest_bps = words[LIMIT_WORDS - 1] as u32;
        gauges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_survive_their_words() {
        let mut gauges = LimitGauges::unknown();
        assert_eq!(LimitGauges::from_words(&gauges.to_words()), gauges);
        for (position, uses) in gauges.uses.iter_mut().enumerate() {
            *uses = (Some(position as i64 - 3), (position % 2 == 0).then_some(7));
        }
        gauges.highest_bps = 12_345;
        assert_eq!(LimitGauges::from_words(&gauges.to_words()), gauges);
    }
}
