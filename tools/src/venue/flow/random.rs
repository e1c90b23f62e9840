//! The random numbers of the synthetic market.
//!
//! Owns: one small generator (xoshiro256++, Blackman & Vigna 2019, seeded by SplitMix64) and the
//! integer draws made from it. Written out here because a market must be the same for a seed on
//! every machine and after every update of a dependency, which the generators of `rand` do not
//! promise. Does not: touch floating point, know what is drawn for.

/// A seeded stream of random integers.
#[derive(Clone, Debug)]
pub(super) struct Random([u64; 4]);

impl Random {
    /// The stream of `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| split_mix(&mut state)))
    }

    /// The stream of `seed` for one symbol: adding a symbol does not disturb the others.
    pub(super) fn for_symbol(seed: u64, symbol: &str) -> Self {
        let hash = symbol.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self::new(seed ^ hash)
    }

    fn next_u64(&mut self) -> u64 {
        let state = &mut self.0;
        let result = state[0]
            .wrapping_add(state[3])
            .rotate_left(23)
            .wrapping_add(state[0]);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// Uniform over the whole range.
    pub(super) fn uniform(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// Uniform in `[0, bound)`; zero for a bound of zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True `permille` times in a thousand.
    pub(super) fn chance(&mut self, permille: u32) -> bool {
        self.below(1_000) < u64::from(permille)
    }

    /// True or false, evenly.
    pub(super) fn coin(&mut self) -> bool {
        self.next_u64() >> 63 == 1
    }

    /// An index drawn in proportion to its weight; `None` when every weight is zero.
    pub(super) fn weighted(
        &mut self,
        mut weights: impl Iterator<Item = u32> + Clone,
    ) -> Option<usize> {
        let total: u64 = weights.clone().map(u64::from).sum();
        let mut left = self.below(total);
        weights.position(|weight| {
            let hit = left < u64::from(weight);
            left = left.saturating_sub(u64::from(weight));
            hit
        })
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs of SplitMix64 from zero and of xoshiro256++ from 1, 2, 3, 4, as their
        // authors' reference code prints them.
        let mut state = 0;
        assert_eq!(split_mix(&mut state), 0xe220_a839_7b1d_cdaf);
        assert_eq!(split_mix(&mut state), 0x6e78_9e6a_a1b9_65f4);
        let mut random = Random([1, 2, 3, 4]);
        assert_eq!(random.next_u64(), 41_943_041);
        assert_eq!(random.next_u64(), 58_720_359);
        assert_eq!(random.next_u64(), 3_588_806_011_781_223);
    }

    #[test]
    fn draws_keep_their_bounds_and_weights() {
        let mut random = Random::new(1);
        let mut hits = [0u32; 4];
        for _ in 0..40_000 {
            hits[random.weighted([1, 0, 2, 1].into_iter()).expect("weights")] += 1;
            assert!(random.below(7) < 7);
        }
        assert_eq!(hits[1], 0);
        assert!(hits[2].abs_diff(20_000) < 600, "{hits:?}");
        assert_eq!(random.weighted([0, 0].into_iter()), None);
        assert_eq!(random.below(0), 0);
    }
}
