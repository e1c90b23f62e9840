//! How much one order of a strategy is: a worth in quote, turned into whole steps of lots.
//!
//! Owns: [`Sizing`], [`OutOfRange`] of strategies' parameters, and what the venue's rules say to an
//! order's size. Invariant: a size is a whole number of steps, and stays the same while the price stays
//! near the one that it was computed at, so that quotes are not replaced for their size.

use crate::instrument::Instrument;
use crate::units::{E8, E8_ONE, Lots, Ticks};

/// A parameter of a strategy is outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {min} to {max}")]
pub struct OutOfRange {
    /// The parameter's name.
    pub field: &'static str,
    /// What it was, in its unit.
    pub value: i64,
    /// Smallest legal value.
    pub min: i64,
    /// Largest legal value.
    pub max: i64,
}

/// Holds a parameter to its range, both ends legal.
pub(super) fn check(
    field: &'static str,
    value: impl Into<i64>,
    min: i64,
    max: i64,
) -> Result<(), OutOfRange> {
    let value = value.into();
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(OutOfRange {
        field,
        value,
        min,
        max,
    })
}

/// Largest worth of one order that a strategy may be told, one billion.
pub(super) const NOTIONAL_MAX: i64 = 1_000_000_000 * E8_ONE;

/// The size of one order of one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizing {
    notional: E8,
    /// Twice the middle price that `size` was computed at; zero before the first.
    twice_mid: i64,
    size: Lots,
}

impl Sizing {
    pub(super) const fn new(notional: E8) -> Self {
        Self {
            notional,
            twice_mid: 0,
            size: Lots::ZERO,
        }
    }

    /// Lots of one order near a price, rounded down to the step and to the venue's largest; zero when
    /// the worth is below one step. Computed again when the price has moved by 1/64.
    #[inline]
    pub(super) fn lots(&mut self, rules: &Instrument, twice_mid: i64) -> Lots {
        if (twice_mid - self.twice_mid).abs() > self.twice_mid >> 6 || self.twice_mid == 0 {
            self.twice_mid = twice_mid;
            self.size = self.compute(rules);
        }
        self.size
    }

    fn compute(&self, rules: &Instrument) -> Lots {
        // Both units and the price are positive; the product of three 63-bit numbers may not fit.
        let worth = i128::from(self.twice_mid)
            .saturating_mul(rules.tick.unit().0.into())
            .saturating_mul(rules.lot.unit().0.into());
        let lots = 2 * i128::from(self.notional.0) * i128::from(E8_ONE) / worth.max(1);
        let most = rules.qty_bounds.max.map_or(i64::MAX, |max| max.0);
        whole_steps(rules, Lots(lots.min(most.into()) as i64))
    }
}

/// A quantity rounded down to the venue's step.
#[inline]
pub(super) fn whole_steps(rules: &Instrument, qty: Lots) -> Lots {
    Lots(qty.0 - qty.0 % rules.order_rules.qty_step.0)
}

/// Whether the venue takes a limit order of whole steps at this price.
#[inline]
pub(super) fn is_legal(rules: &Instrument, price: Ticks, qty: Lots) -> bool {
    let within = |value: i64, min: Option<i64>, max: Option<i64>| {
        min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
    };
    let (prices, qtys) = (&rules.price_bounds, &rules.qty_bounds);
    price.0 > 0
        && qty.0 > 0
        && within(
            price.0,
            prices.min.map(|min| min.0),
            prices.max.map(|max| max.0),
        )
        && within(qty.0, qtys.min.map(|min| min.0), qtys.max.map(|max| max.0))
        && rules.notional_min.is_none_or(|min| {
            let price_e8 = i128::from(price.0) * i128::from(rules.tick.unit().0);
            let qty_e8 = i128::from(qty.0) * i128::from(rules.lot.unit().0);
            price_e8.saturating_mul(qty_e8) >= i128::from(min.0) * i128::from(E8_ONE)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::tests::instrument;

    #[test]
    fn a_worth_becomes_whole_steps_and_stays_while_the_price_does() {
        let mut rules = instrument("BTCUSDT", 1_000_000, 1_000);
        rules.order_rules.qty_step = Lots(10);
        rules.notional_min = Some(E8(5 * E8_ONE));
        let mut sizing = Sizing::new(E8(1_000 * E8_ONE));
        // 1,000 at 50,000.00 is 0.02, in lots of 0.00001.
        assert_eq!(sizing.lots(&rules, 2 * 5_000_000), Lots(2_000));
        assert_eq!(sizing.lots(&rules, 2 * 5_050_000), Lots(2_000));
        assert_eq!(sizing.lots(&rules, 2 * 6_000_000), Lots(1_660));
        assert!(is_legal(&rules, Ticks(5_000_000), Lots(10)));
        assert!(!is_legal(&rules, Ticks(4_999_999), Lots(10)), "below 5");
        assert!(!is_legal(&rules, Ticks(0), Lots(10)));
        rules.qty_bounds.max = Some(Lots(15));
        assert_eq!(sizing.lots(&rules, 2 * 1_000_000), Lots(10));
        assert!(!is_legal(&rules, Ticks(5_000_000), Lots(20)));
        let mut tiny = Sizing::new(E8(1));
        assert_eq!(tiny.lots(&rules, 2 * 5_000_000), Lots(0));
    }
}
