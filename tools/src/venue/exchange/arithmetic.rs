//! Products and quotients of 1e-8 numbers, with their rounding said.
//!
//! Owns: the few operations that money needs. Every product is made in 128 bits; `None` says that
//! a result leaves the range of [`E8`].

use veloz_core::units::{E8, E8_ONE};

const ONE: i128 = E8_ONE as i128;

/// Price times quantity, rounded down: what a fill of that size costs.
pub(super) fn worth(price: E8, qty: E8) -> Option<E8> {
    narrow(product(price, qty) / ONE)
}

/// Price times quantity, rounded up: what must be held so that every split into fills is paid.
pub(super) fn worth_at_most(price: E8, qty: E8) -> Option<E8> {
    narrow((product(price, qty) + ONE - 1) / ONE)
}

/// The largest multiple of `step` whose [`worth`] at `price` is within `budget`; a step of zero
/// is one unit of the last place.
pub(super) fn affordable(budget: E8, price: E8, step: E8) -> E8 {
    let step = i128::from(step.0.max(1));
    let qty = i128::from(budget.0) * ONE / i128::from(price.0.max(1));
    narrow(qty / step * step).unwrap_or(E8(i64::MAX / step as i64 * step as i64))
}

/// `rate` of an amount, rounded down.
///
/// # Panics
/// When the rate is above one and the result leaves the range.
pub(super) fn part(amount: E8, rate: E8) -> E8 {
    narrow(product(amount, rate) / ONE).expect("a part is not larger than its whole")
}

/// How much an amount counted in `of` is in a total that shrank to `to`, rounded up.
///
/// # Panics
/// When `of` is not positive or less than `to`.
pub(super) fn shrunk(amount: E8, to: E8, of: E8) -> E8 {
    assert!(of.0 > 0 && to.0 <= of.0, "only what is there shrinks");
    let of = i128::from(of.0);
    narrow((product(amount, to) + of - 1) / of).expect("it shrinks")
}

/// How many units at `price` are worth `value`, rounded down.
pub(super) fn converted(value: E8, price: E8) -> Option<E8> {
    if price.0 <= 0 {
        return None;
    }
    narrow(i128::from(value.0) * ONE / i128::from(price.0))
}

fn product(a: E8, b: E8) -> i128 {
    i128::from(a.0) * i128::from(b.0)
}

fn narrow(value: i128) -> Option<E8> {
    i64::try_from(value).ok().map(E8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounding_goes_where_it_is_said() {
        let (price, qty) = (E8(150_000_000), E8(3));
        assert_eq!(worth(price, qty), Some(E8(4)));
        assert_eq!(worth_at_most(price, qty), Some(E8(5)));
        assert_eq!(worth(E8(i64::MAX), E8(i64::MAX)), None);
        assert_eq!(affordable(E8(100), E8(300_000_000), E8(10)), E8(30));
        assert_eq!(affordable(E8(1), E8(300_000_000), E8(0)), E8(0));
        assert_eq!(part(E8(1_999), E8(100_000)), E8(1));
        assert_eq!(shrunk(E8(5), E8(2), E8(3)), E8(4));
        assert_eq!(converted(E8(7), E8(200_000_000)), Some(E8(3)));
        assert_eq!(converted(E8(7), E8(0)), None);
    }

    proptest! {
        #[test]
        fn what_is_held_pays_for_every_split(
            price in 1i64..1_000_000_000_000,
            first in 0i64..1_000_000_000,
            rest in 0i64..1_000_000_000,
        ) {
            let price = E8(price);
            let held = worth_at_most(price, E8(first + rest)).expect("small");
            let kept = worth_at_most(price, E8(rest)).expect("small");
            let paid = worth(price, E8(first)).expect("small");
            prop_assert!(held.0 - kept.0 >= paid.0);
        }

        #[test]
        fn what_is_affordable_is_within_the_budget_and_one_step_more_is_not(
            budget in 0i64..1_000_000_000_000,
            price in 1i64..1_000_000_000_000,
            step in 1i64..1_000_000,
        ) {
            let qty = affordable(E8(budget), E8(price), E8(step));
            let cost = worth(E8(price), qty).expect("within the budget");
            prop_assert!(cost.0 <= budget);
            if let Some(next) = qty.0.checked_add(step) {
                // In full precision: rounding down may hide the excess.
                let cost = i128::from(next) * i128::from(price);
                prop_assert!(cost > i128::from(budget) * ONE);
            }
        }
    }
}
