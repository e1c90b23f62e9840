//! The millisecond of an asset's first amount, of which nobody says how much that amount holds.
//!
//! Owns: [`Edge`], the judgement which fills of that millisecond the first amount lacks. Does not: move anything; the
//! portfolio does. A fill of it is taken for contained, because one that was told before the account was listed nearly
//! always is. The amounts that follow prove the contrary: one of the same millisecond that moves, or a later one that
//! moves just as the newest of these fills would have moved it. Fill and amount may come in either order.
//!
//! Bound: [`FILLS_MAX`]; an older fill than those is taken for contained for good. Invariants: no fill and no difference
//! is used twice; what is lacking never exceeds what was told of either.

use super::exact::Price;
use crate::units::{E8, VenueMillis};

/// How many fills of one millisecond are remembered between two amounts. The venue tells an amount after each event
/// that trades, so that only events that were lost make them more than those of one.
const FILLS_MAX: usize = 8;

/// See the module's text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edge {
    /// By how much fills changed it that were taken for contained since the last amount, oldest first.
    contained: [E8; FILLS_MAX],
    count: usize,
    /// What amounts of this millisecond differed by, and no fill explains.
    differed: E8,
    /// The price of the newest of the fills.
    price: Option<Price>,
}

/// What the first amount lacks of a fill that was taken for contained in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lacking {
    /// Of the asset, as the fill changed it.
    pub(super) amount: E8,
    /// At which it was traded.
    pub(super) price: Price,
}

impl Edge {
    /// A fill of the first amount's millisecond changed the asset by `delta`. `is_last`: no later amount was told.
    pub(super) fn fill(&mut self, delta: E8, price: Price, is_last: bool) -> Option<Lacking> {
        self.price = Some(price);
        let lacking = common(delta, self.differed);
        self.differed.0 -= lacking.0;
        if is_last && lacking != delta {
            if self.count == FILLS_MAX {
                self.contained.rotate_left(1);
                self.count -= 1;
            }
            self.contained[self.count] = E8(delta.0 - lacking.0);
            self.count += 1;
        }
        self.lacking(lacking)
    }

    /// An amount moved the total by `by`: as of `at`, where the first is as of `first_at`. `is_explained`: the fills of
    /// its own millisecond explain all of it.
    pub(super) fn amount(
        &mut self,
        by: E8,
        is_explained: bool,
        at: Option<VenueMillis>,
        first_at: Option<VenueMillis>,
    ) -> Option<Lacking> {
        let fills = &self.contained[..std::mem::take(&mut self.count)];
        let mut contained = E8(0);
        let mut is_of_the_newest = false;
        for delta in fills.iter().rev() {
            contained.0 = contained.0.saturating_add(delta.0);
            is_of_the_newest |= contained == by;
        }
        if by == E8(0) {
            return None;
        }
        if is_explained {
            return self.lacking(contained);
        }
        if is_of_the_newest {
            return self.lacking(by);
        }
        if at != first_at {
            return None;
        }
        self.differed.0 = self.differed.0.saturating_add(by.0);
        let lacking = common(contained, self.differed);
        self.differed.0 -= lacking.0;
        self.lacking(lacking)
    }

    fn lacking(&self, amount: E8) -> Option<Lacking> {
        (amount != E8(0)).then(|| Lacking {
            amount,
            price: self.price.expect("only a fill is lacking"),
        })
    }
}

/// What two changes of the same direction have in common.
fn common(one: E8, other: E8) -> E8 {
    if one.0.signum() == other.0.signum() {
        E8(one.0.signum() * one.0.saturating_abs().min(other.0.saturating_abs()))
    } else {
        E8(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Option<VenueMillis> = Some(VenueMillis(10));
    const LATER: Option<VenueMillis> = Some(VenueMillis(11));

    fn price() -> Price {
        Price::new(2, E8(1))
    }

    fn lacks(amount: i64) -> Lacking {
        Lacking {
            amount: E8(amount),
            price: price(),
        }
    }

    #[test]
    fn a_fill_that_an_amount_of_its_millisecond_brings_is_lacking_whichever_is_told_first() {
        let mut edge = Edge::default();
        // The first is contained, the second is not.
        assert_eq!(edge.fill(E8(-2), price(), true), None);
        assert_eq!(edge.fill(E8(-3), price(), true), None);
        assert_eq!(edge.amount(E8(-3), false, AT, AT), Some(lacks(-3)));
        assert_eq!(edge.amount(E8(0), true, AT, AT), None);

        let mut edge = Edge::default();
        assert_eq!(edge.amount(E8(-3), false, AT, AT), None);
        assert_eq!(edge.fill(E8(-2), price(), true), Some(lacks(-2)));
        assert_eq!(edge.fill(E8(-3), price(), true), Some(lacks(-1)));
        assert_eq!(edge.fill(E8(-4), price(), true), None);
    }

    #[test]
    fn a_later_amount_proves_nothing_unless_it_is_just_what_was_taken_for_contained() {
        let mut edge = Edge::default();
        assert_eq!(edge.fill(E8(5), price(), true), None);
        assert_eq!(edge.amount(E8(4), false, LATER, AT), None);
        assert_eq!(edge.amount(E8(5), true, LATER, AT), None);

        assert_eq!(edge.fill(E8(5), price(), true), None);
        assert_eq!(edge.amount(E8(5), true, LATER, AT), Some(lacks(5)));
        // The first is contained, the two after it are not.
        for delta in [5, 2, -3] {
            assert_eq!(edge.fill(E8(delta), price(), true), None);
        }
        assert_eq!(edge.amount(E8(-1), false, LATER, AT), Some(lacks(-1)));
        // More than are remembered: the oldest stay contained.
        for _ in 0..=FILLS_MAX {
            assert_eq!(edge.fill(E8(1), price(), true), None);
        }
        let all = E8(FILLS_MAX as i64 + 1);
        assert_eq!(edge.amount(all, false, LATER, AT), None);
        // A fill that is found after a later amount is explained by a difference alone.
        assert_eq!(edge.fill(E8(5), price(), false), None);
        assert_eq!(edge.amount(E8(5), true, LATER, AT), None);
    }

    #[test]
    fn what_moves_the_other_way_is_no_fill() {
        let mut edge = Edge::default();
        assert_eq!(edge.fill(E8(5), price(), true), None);
        assert_eq!(edge.amount(E8(-5), false, AT, AT), None);
        assert_eq!(edge.fill(E8(5), price(), true), None);
        assert_eq!(edge.fill(E8(-6), price(), true), Some(lacks(-5)));
    }
}
