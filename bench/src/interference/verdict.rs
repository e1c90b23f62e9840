//! From windows in pairs to a verdict.
//!
//! Owns: [`Interval`], [`Verdict`], quantiles of one window. The estimate is the median of the pairs' relative
//! differences, and its interval the one that order statistics give: it holds for any distribution, however far single
//! pairs lie off when the machine was busy with something else, and every pair counts.

/// Confidence that an interval has at least.
const CONFIDENCE: f64 = 0.95;
/// With fewer pairs no interval has that confidence.
pub const PAIRS_MIN: usize = 6;

/// Where the median of the relative differences lies, and the values that it lies between with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower bound.
    pub low: f64,
    /// The median itself.
    pub median: f64,
    /// The upper bound.
    pub high: f64,
}

/// What an interval says about a band around zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it lies inside.
    Within,
    /// All of it lies outside, on one side.
    Beyond,
    /// Neither: more pairs or a calmer machine would tell.
    Undecided,
}

impl Interval {
    /// The interval of these differences.
    ///
    /// # Panics
    /// When there are fewer than [`PAIRS_MIN`].
    pub fn of(mut differences: Vec<f64>) -> Self {
        differences.sort_by(f64::total_cmp);
        let count = differences.len();
        let outside = outside(count);
        let middle = count / 2;
        let median = if count % 2 == 1 {
            differences[middle]
        } else {
            f64::midpoint(differences[middle - 1], differences[middle])
        };
        Self {
            low: differences[outside],
            median,
            high: differences[count - 1 - outside],
        }
    }

    /// What it says about `[-band, band]`.
    pub fn verdict(&self, band: f64) -> Verdict {
        if self.low >= -band && self.high <= band {
            Verdict::Within
        } else if self.low > band || self.high < -band {
            Verdict::Beyond
        } else {
            Verdict::Undecided
        }
    }
}

/// How many of `count` sorted values lie outside of the median's interval on either side: the most for which the
/// median is further out with a probability of at most a half of what confidence leaves.
fn outside(count: usize) -> usize {
    let mut probability = 0.5f64.powi(count as i32);
    let mut tail = probability;
    assert!(
        count >= PAIRS_MIN && tail <= (1.0 - CONFIDENCE) / 2.0,
        "{count} pairs are too few"
    );
    let mut outside = 0;
    loop {
        // The binomial probability of one value more below the median.
        probability *= (count - outside) as f64 / (outside + 1) as f64;
        tail += probability;
        if tail > (1.0 - CONFIDENCE) / 2.0 {
            return outside;
        }
        outside += 1;
    }
}

/// The value that `percent` of the values do not exceed. Sorts no more than it has to.
///
/// # Panics
/// When there is no value.
pub(super) fn quantile(values: &mut [u32], percent: usize) -> u32 {
    let at = (values.len() * percent / 100).min(values.len() - 1);
    *values.select_nth_unstable(at).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of every textbook: ranks of the 95 % interval of a median.
    #[test]
    fn ranks_are_those_of_the_sign_test() {
        for (count, rank) in [
            (6, 1),
            (8, 1),
            (9, 2),
            (10, 2),
            (20, 6),
            (50, 18),
            (100, 40),
        ] {
            assert_eq!(outside(count) + 1, rank, "{count} pairs");
        }
    }

    #[test]
    fn an_interval_is_made_of_values_and_has_the_median_inside() {
        let found = Interval::of((0..20).rev().map(f64::from).collect());
        assert_eq!((found.low, found.median, found.high), (5.0, 9.5, 14.0));
        let found = Interval::of((0..9).map(f64::from).collect());
        assert_eq!((found.low, found.median, found.high), (1.0, 4.0, 7.0));
    }

    #[test]
    fn a_verdict_needs_the_whole_interval() {
        let interval = |low, high| Interval {
            low,
            median: f64::midpoint(low, high),
            high,
        };
        let cases = [
            (-0.03, 0.03, Verdict::Within),
            (-0.01, 0.02, Verdict::Within),
            (-0.01, 0.04, Verdict::Undecided),
            (-0.5, 0.5, Verdict::Undecided),
            (0.029, 7.0, Verdict::Undecided),
            (0.04, 7.0, Verdict::Beyond),
            (-0.2, -0.031, Verdict::Beyond),
        ];
        for (low, high, verdict) in cases {
            assert_eq!(interval(low, high).verdict(0.03), verdict, "{low} {high}");
        }
    }

    #[test]
    #[should_panic(expected = "too few")]
    fn five_pairs_tell_nothing() {
        Interval::of(vec![0.0; PAIRS_MIN - 1]);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut values: Vec<u32> = (0..1_000).map(|nth| nth * 7_919 % 1_000).collect();
        assert_eq!(quantile(&mut values, 50), 500);
        assert_eq!(quantile(&mut values, 99), 990);
        assert_eq!(quantile(&mut values, 100), 999);
        assert_eq!(quantile(&mut [5], 99), 5);
    }
}
