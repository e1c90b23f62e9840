//! Distributions as tables of quantiles.
//!
//! Owns: [`Quantiles`], measured from samples and sampled again by inverting the table. The nodes
//! hold the 1, 10, 50, 90 and 99 % points exactly; between nodes values are interpolated. Integers
//! only, so a draw is the same on every machine.

use serde::{Deserialize, Serialize};

/// Where the table has its values, in thousandths. Quantities of levels jump by orders of magnitude
/// within a hundredth, so the nodes stand closer around the points that are compared.
pub const NODES_PERMILLE: [u32; NODES] = [
    0, 5, 10, 25, 50, 75, 90, 100, 102, 105, 110, 125, 150, 200, 300, 400, 450, 480, 490, 500, 510,
    520, 550, 600, 700, 800, 850, 880, 900, 910, 950, 975, 985, 990, 992, 995, 1_000,
];
const NODES: usize = 37;

/// Node at or below each thousandth, so that a draw needs no search.
const NODE_OF_PERMILLE: [u8; 1_000] = {
    let mut table = [0u8; 1_000];
    let mut permille = 0;
    let mut node = 0;
    while permille < 1_000 {
        if NODES_PERMILLE[node + 1] as usize == permille {
            node += 1;
        }
        table[permille] = node as u8;
        permille += 1;
    }
    table
};

/// A distribution of integers: its value at each of [`NODES_PERMILLE`], ascending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<i64>", into = "Vec<i64>")]
pub struct Quantiles([i64; NODES]);

impl TryFrom<Vec<i64>> for Quantiles {
    type Error = String;

    fn try_from(values: Vec<i64>) -> Result<Self, String> {
        let found = values.len();
        let values: [i64; NODES] = values
            .try_into()
            .map_err(|_| format!("a table has {NODES} values, not {found}"))?;
        if values.is_sorted() {
            Ok(Self(values))
        } else {
            Err("the values of a table ascend".to_owned())
        }
    }
}

impl From<Quantiles> for Vec<i64> {
    fn from(quantiles: Quantiles) -> Self {
        quantiles.0.to_vec()
    }
}

impl Quantiles {
    /// The distribution of `samples`, which are sorted in place; `None` when there are none.
    pub fn of(samples: &mut [i64]) -> Option<Self> {
        samples.sort_unstable();
        if samples.is_empty() {
            return None;
        }
        Some(Self(
            NODES_PERMILLE.map(|permille| of_sorted(samples, permille)),
        ))
    }

    /// The value below which `position / 2^32` of the distribution lies.
    pub fn at(&self, position: u32) -> i64 {
        let scaled = u64::from(position) * 1_000;
        let node = usize::from(NODE_OF_PERMILLE[(scaled >> 32) as usize]);
        let (low, high) = (self.0[node], self.0[node + 1]);
        // 16 bits of the fraction are kept: the product stays inside 64 bits for values below 2^40.
        let from = u64::from(NODES_PERMILLE[node]) << 16;
        let width = (u64::from(NODES_PERMILLE[node + 1]) << 16) - from;
        low + (high - low) * ((scaled >> 16) - from) as i64 / width as i64
    }

    /// Whether all values lie in `range`.
    pub fn is_within(&self, range: std::ops::RangeInclusive<i64>) -> bool {
        self.0.iter().all(|value| range.contains(value))
    }
}

/// The value at `permille` of ascending `samples`, which must not be empty.
pub(super) fn of_sorted(samples: &[i64], permille: u32) -> i64 {
    let index = samples.len() * permille as usize / 1_000;
    samples[index.min(samples.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_reproduced_and_values_between_them_interpolated() {
        let mut samples: Vec<i64> = (0..10_000).collect();
        let table = Quantiles::of(&mut samples).expect("samples");
        let at = |permille: u64| table.at(((permille << 32) / 1_000) as u32 + 1);
        for permille in [10u64, 100, 500, 900, 990] {
            assert_eq!(at(permille), permille as i64 * 10, "{permille}");
        }
        assert_eq!(at(520), 5_200);
        assert_eq!(table.at(0), 0);
        assert!(table.at(u32::MAX) >= 9_990);
        assert!(table.is_within(0..=9_999));
        assert!(!table.is_within(1..=9_999));
        assert_eq!(Quantiles::of(&mut []), None);
    }
}
