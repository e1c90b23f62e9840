//! Seeded randomness that spreads retries, so that many books or many processes do not come back at once.
//!
//! Owns: [`Jitter`]. Does not: ask the operating system for anything; the same seed gives the same
//! delays, so a replay repeats every decision. It is no source of secrets.

use crate::units::Nanos;

/// A SplitMix64 generator (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Jitter {
    state: u64,
}

impl Jitter {
    /// A generator; equal seeds give equal sequences.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A delay in `[0, bound)`; zero when the bound is zero.
    pub fn below(&mut self, bound: Nanos) -> Nanos {
        // The high half of a 128-bit product maps 64 random bits onto the range without a division.
        Nanos(((u128::from(self.next()) * u128::from(bound.0)) >> 64) as u64)
    }

    /// The wait after `failures` failures in a row: uniform in the upper half of `base * 2^failures`,
    /// which grows no further than `max`.
    pub fn backoff(&mut self, base: Nanos, max: Nanos, failures: u32) -> Nanos {
        let factor = 1u64.checked_shl(failures).unwrap_or(u64::MAX);
        let full = base.0.saturating_mul(factor).min(max.0);
        let half = full / 2;
        Nanos(half + self.below(Nanos(full - half + 1)).0)
    }

    /// A generator of its own for another owner, so that the two do not disturb each other.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // First outputs of the reference implementation for seed 1234567.
        let mut jitter = Jitter::new(1_234_567);
        assert_eq!(jitter.next(), 6_457_827_717_110_365_317);
        assert_eq!(jitter.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn back_off_doubles_and_stays_inside_its_bounds() {
        let mut jitter = Jitter::new(7);
        let (base, max) = (Nanos::from_ms(100), Nanos::from_secs(10));
        for failures in [0, 1, 2, 6, 7, 63, 64, 1_000] {
            let full = (100u64 << failures.min(20)).min(10_000) * 1_000_000;
            for _ in 0..200 {
                let delay = jitter.backoff(base, max, failures);
                assert!(
                    (full / 2..=full).contains(&delay.0),
                    "{failures}: {delay:?}"
                );
            }
        }
        assert_eq!(jitter.below(Nanos::ZERO), Nanos::ZERO);
    }
}
