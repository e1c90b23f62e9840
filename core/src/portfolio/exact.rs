//! Amounts of an asset without rounding.
//!
//! Owns: [`Exact`]. One unit is 5e-17 of an asset (1/2e8 of an [`E8`] unit), because then a quantity (1e-8) times a
//! price in half ticks times a tick (1e-8) is a whole number of them: every fill and every value at a mid price is
//! exact. The range is +-8.5e21 whole units of an asset; sums beyond saturate.

use crate::units::E8;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// Exact units in one [`E8`] unit.
pub(super) const PER_E8: i128 = 200_000_000;

/// An amount in units of 5e-17.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exact(pub(super) i128);

impl Exact {
    pub(super) const ZERO: Self = Self(0);

    pub(super) const fn from_e8(amount: E8) -> Self {
        Self(amount.0 as i128 * PER_E8)
    }

    /// `qty` of base at a price, in quote.
    pub(super) const fn value(qty: E8, price: Price) -> Self {
        Self((qty.0 as i128).saturating_mul(price.exact))
    }

    /// Rounded down; saturates.
    #[inline]
    pub(super) fn to_e8(self) -> E8 {
        let magnitude = self.0.unsigned_abs();
        if magnitude >> 64 >= PER_E8 as u128 / 2 {
            return if self.0 < 0 {
                E8(i64::MIN)
            } else {
                E8(i64::MAX)
            };
        }
        // Long division by a constant, in halves of a word: a division of 128 bits is a call that knows no constant.
        let (high, low) = ((magnitude >> 64) as u64, magnitude as u64);
        let step = |rest: u64, half: u64| {
            let part = rest << 32 | half;
            (part / PER_E8 as u64, part % PER_E8 as u64)
        };
        let (upper, rest) = step(high, low >> 32);
        let (lower, rest) = step(rest, low & 0xFFFF_FFFF);
        let whole = (upper << 32 | lower) as i64;
        if self.0 < 0 {
            E8(-whole - i64::from(rest != 0))
        } else {
            E8(whole)
        }
    }

    /// What of it is below one [`E8`] unit, `[0, PER_E8)`.
    pub(super) const fn below_e8(self) -> i64 {
        self.0.rem_euclid(PER_E8) as i64
    }

    /// `self * part / whole`, rounded towards zero; all of it when `part` is `whole`.
    pub(super) const fn share(self, part: u64, whole: u64) -> Self {
        Self(mul_div(self.0, part as i128, whole as i128))
    }

    /// An amount of base in quote, rounded towards zero.
    pub(super) const fn base_to_quote(self, price: Price) -> Self {
        Self(mul_div(self.0, price.exact, PER_E8))
    }

    /// An amount of quote in base, rounded towards zero.
    pub(super) const fn quote_to_base(self, price: Price) -> Self {
        Self(mul_div(self.0, PER_E8, price.exact))
    }
}

impl Add for Exact {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Exact {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Exact {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl AddAssign for Exact {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Exact {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// A price: exact units of quote for one [`E8`] unit of base. Positive, below 2^65.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Price {
    exact: i128,
    half_ticks: i64,
}

impl Price {
    /// A price in half ticks; `tick` is the size of one.
    ///
    /// # Panics
    /// When it is not above zero, or no price of its instrument.
    pub(super) fn new(half_ticks: i64, tick: E8) -> Self {
        let exact = i128::from(half_ticks) * i128::from(tick.0);
        assert!(
            exact > 0 && exact <= 2 * i128::from(i64::MAX),
            "a price of its instrument"
        );
        Self { exact, half_ticks }
    }

    pub(super) const fn half_ticks(self) -> i64 {
        self.half_ticks
    }

    /// Quote per whole base, rounded down.
    pub(super) const fn e8(self) -> E8 {
        E8((self.exact / 2) as i64)
    }
}

/// `a * b / c` rounded towards zero, without the product leaving the range: `b` and `c` are below 2^65, one of them
/// below 2^62. The quotient saturates.
const fn mul_div(a: i128, b: i128, c: i128) -> i128 {
    let whole = (a / c).saturating_mul(b);
    whole.saturating_add((a % c) * b / c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Long multiplication and division bit by bit: slow and obvious.
    fn model(a: i128, b: i128, c: i128) -> i128 {
        let (mut quotient, mut rest) = (0i128, 0i128);
        let magnitude = a.unsigned_abs();
        for bit in (0..128).rev() {
            quotient *= 2;
            rest *= 2;
            if magnitude >> bit & 1 == 1 {
                rest += b;
            }
            quotient += rest / c;
            rest %= c;
        }
        if a < 0 { -quotient } else { quotient }
    }

    proptest! {
        #[test]
        fn products_do_not_leave_the_range(
            a in -(1i128 << 90)..1i128 << 90,
            half_ticks in 1i64..1 << 36,
        ) {
            let price = Price::new(half_ticks, E8(1));
            let times = i128::from(half_ticks);
            prop_assert_eq!(Exact(a).base_to_quote(price).0, model(a, times, PER_E8));
            prop_assert_eq!(Exact(a).quote_to_base(price).0, model(a, PER_E8, times));
        }

        #[test]
        fn shares_are_exact(
            cost in -(1i128 << 110)..1i128 << 110,
            whole in 1u64..1 << 62,
            part in 0u64..1 << 62,
        ) {
            let part = part.min(whole);
            let expected = model(cost, i128::from(part), i128::from(whole));
            prop_assert_eq!(Exact(cost).share(part, whole).0, expected);
            prop_assert_eq!(Exact(cost).share(whole, whole).0, cost);
        }
    }

    proptest! {
        #[test]
        fn amounts_are_those_of_a_wide_division(amount: i128, shift in 0u32..128) {
            let amount = amount >> shift;
            let whole = amount.div_euclid(PER_E8);
            let expected = whole.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
            prop_assert_eq!(Exact(amount).to_e8(), E8(expected));
        }
    }

    #[test]
    fn amounts_round_down_and_saturate() {
        assert_eq!(Exact(PER_E8 - 1).to_e8(), E8(0));
        assert_eq!(Exact(-1).to_e8(), E8(-1));
        assert_eq!(Exact(-1).below_e8(), 199_999_999);
        assert_eq!(Exact(i128::MAX).to_e8(), E8(i64::MAX));
        assert_eq!(Exact(i128::MIN).to_e8(), E8(i64::MIN));
        assert_eq!(Exact::from_e8(E8(i64::MIN)).to_e8(), E8(i64::MIN));
        // One coin at 61,837.63 and a half tick of a cent.
        let price = Price::new(2 * 6_183_763 + 1, E8(1_000_000));
        assert_eq!(price.e8(), E8(6_183_763_500_000));
        assert_eq!(
            Exact::value(E8(100_000_000), price).to_e8(),
            E8(6_183_763_500_000)
        );
    }

    #[test]
    #[should_panic(expected = "a price of its instrument")]
    fn zero_is_no_price() {
        let _ = Price::new(0, E8(1));
    }
}
