//! What the account holds of one asset.
//!
//! Owns: [`Holding`]: the venue's absolute amounts, moved by our fills and announced deposits between two of them, and
//! the judgement which of the two knows more. Does not: know what it is worth.
//!
//! **Which is newer.** Every amount, fill and deposit carries the venue's time. An absolute amount holds all that
//! happened up to its time, so it is taken unless something newer is known, and a fill or deposit up to the time of the
//! last absolute amount is in it already. Two changes in one millisecond cannot be told apart this way: then a fill
//! after an absolute amount of its own millisecond is taken for contained, and the amount that follows it, which the
//! venue sends for every change, brings it. What that means for positions is judged in `edge`.

use super::exact::{Exact, PER_E8};
use crate::order::Balance;
use crate::units::{E8, VenueMillis};

/// What telling a balance did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalanceChange {
    /// It is older than what is known of the asset; nothing changed.
    Older,
    /// Nothing was known of the asset before; it was taken.
    First,
    /// It is what our own running total says.
    Agreed,
    /// It differs by no more than the venue's rounding of our fills; it was taken.
    Rounded {
        /// The venue's amount minus ours.
        by: E8,
    },
    /// It differs: a deposit not announced yet, a trade by hand, or a disagreement to count. It was taken, and the
    /// difference counts as a flow. If it stays unexplained, ask for the account again.
    Differed {
        /// The venue's amount minus ours.
        by: E8,
    },
}

/// What the account holds of one asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    total: E8,
    /// What fills made beyond whole 1e-8 units, `[0, PER_E8)`.
    below_e8: i64,
    locked: E8,
    /// Time of the newest of amounts, fills and deposits.
    newest: VenueMillis,
    /// Time of the last absolute amount.
    absolute_at: Option<VenueMillis>,
    /// Time of the first that counts, and what it said: the last before the account was listed. An event may tell less
    /// than all that happened in its millisecond.
    first: Option<(VenueMillis, E8)>,
    /// Whether the account was listed since: the first stays.
    is_listed: bool,
    /// Fills since then that were no whole number of 1e-8 units: the venue rounds each its own way.
    inexact_fills: i64,
    /// What was taken for contained though it happened in the millisecond of the last absolute amount.
    at_its_edge: Exact,
}

/// What a change that we know of did to the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// The total moved.
    Total,
    /// An absolute amount held it already, as a difference that nothing explained then.
    Explained,
    /// The first absolute amount holds it already.
    Contained,
}

impl Holding {
    pub(super) fn total(&self) -> E8 {
        self.total
    }

    pub(super) fn locked(&self) -> E8 {
        self.locked
    }

    pub(super) fn free(&self) -> E8 {
        E8(self.total.0 - self.locked.0)
    }

    /// Whether the account was listed.
    pub(super) fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Time of the last absolute amount; `None` while nothing was told.
    pub(super) fn absolute_at(&self) -> Option<VenueMillis> {
        self.absolute_at
    }

    /// Up to when the first absolute amount holds everything; `None` while nothing was told.
    pub(super) fn first_at(&self) -> Option<VenueMillis> {
        self.first.map(|(at, _)| at)
    }

    /// What the first absolute amount said; nothing while nothing was told.
    pub(super) fn first_total(&self) -> E8 {
        self.first.map_or(E8(0), |(_, total)| total)
    }

    /// The venue's amounts as of its time `as_of`.
    pub(super) fn set(&mut self, balance: &Balance, as_of: VenueMillis) -> BalanceChange {
        if as_of < self.newest {
            return BalanceChange::Older;
        }
        let told = E8(balance.free.0.saturating_add(balance.locked.0));
        let by = E8(told.0.saturating_sub(self.total.0));
        let change = if self.absolute_at.is_none() {
            BalanceChange::First
        } else if by == E8(0) || by == self.at_its_edge.to_e8() {
            BalanceChange::Agreed
        } else if by.0.saturating_abs() <= self.inexact_fills {
            BalanceChange::Rounded { by }
        } else {
            BalanceChange::Differed { by }
        };
        *self = Self {
            total: told,
            locked: balance.locked,
            newest: as_of,
            absolute_at: Some(as_of),
            first: self
                .first
                .filter(|_| self.is_listed)
                .or(Some((as_of, told))),
            is_listed: self.is_listed,
            ..Self::default()
        };
        change
    }

    /// The account is listed: what was told of it is the first amount, and where nothing was, nothing is held as of
    /// `as_of`.
    pub(super) fn listed(&mut self, as_of: VenueMillis) {
        self.is_listed = true;
        if self.absolute_at.is_none() {
            self.newest = self.newest.max(as_of);
            self.absolute_at = Some(as_of);
            self.first = Some((as_of, self.total));
        }
    }

    /// The first amount lacks so much of its own millisecond, or holds so much too much.
    pub(super) fn first_moves(&mut self, by: E8) {
        if let Some((_, total)) = &mut self.first {
            total.0 = total.0.saturating_add(by.0);
        }
    }

    /// So much more was locked at `at`, or less. It says nothing of the total: an absolute amount that is older than this
    /// is still taken, and the account may well answer with one, whose time need not be that of a lock.
    pub(super) fn lock(&mut self, delta: E8, at: VenueMillis) {
        if self.absolute_at.is_none_or(|absolute_at| at > absolute_at) {
            self.locked.0 = self.locked.0.saturating_add(delta.0).max(0);
        }
    }

    /// Something that happened at `at` changed it by `delta`; `from_locked` of what it took was bound in an order.
    pub(super) fn add(&mut self, delta: Exact, from_locked: Exact, at: VenueMillis) -> Moved {
        if let Some(absolute_at) = self.absolute_at
            && at <= absolute_at
        {
            if at == absolute_at {
                self.at_its_edge += delta;
            }
            return if self.first_at().is_some_and(|first_at| at <= first_at) {
                Moved::Contained
            } else {
                Moved::Explained
            };
        }
        self.newest = self.newest.max(at);
        if delta.below_e8() != 0 {
            self.inexact_fills += 1;
        }
        let exact = delta + Exact(i128::from(self.below_e8));
        self.total.0 = self.total.0.saturating_add(exact.to_e8().0);
        self.below_e8 = exact.below_e8();
        self.locked.0 = (self.locked.0 - from_locked.to_e8().0).max(0);
        Moved::Total
    }
}

const _: () = assert!(PER_E8 <= i64::MAX as i128);

#[cfg(test)]
mod tests {
    use super::*;

    fn told(free: i64, locked: i64) -> Balance {
        Balance {
            asset: crate::instrument::AssetIndex(0),
            free: E8(free),
            locked: E8(locked),
        }
    }

    fn add(holding: &mut Holding, delta: i64, at: u64) -> Moved {
        holding.add(Exact::from_e8(E8(delta)), Exact::ZERO, VenueMillis(at))
    }

    #[test]
    fn amounts_are_taken_unless_something_newer_is_known() {
        let mut holding = Holding::default();
        assert_eq!(
            holding.set(&told(100, 20), VenueMillis(10)),
            BalanceChange::First
        );
        holding.listed(VenueMillis(10));
        assert_eq!(
            holding.set(&told(0, 0), VenueMillis(9)),
            BalanceChange::Older
        );
        assert_eq!(
            (holding.total(), holding.free(), holding.locked()),
            (E8(120), E8(100), E8(20))
        );

        // A fill at 15: what the venue said at 12 is older, what it says at 15 has it.
        assert_eq!(add(&mut holding, -30, 15), Moved::Total);
        assert_eq!(
            holding.set(&told(100, 20), VenueMillis(12)),
            BalanceChange::Older
        );
        assert_eq!(holding.total(), E8(90));
        assert_eq!(
            holding.set(&told(70, 20), VenueMillis(15)),
            BalanceChange::Agreed
        );

        // Found late, a fill that the amount has already.
        assert_eq!(add(&mut holding, 5, 14), Moved::Explained);
        assert_eq!(add(&mut holding, 5, 10), Moved::Contained);
        assert_eq!(holding.total(), E8(90));
        assert_eq!(
            holding.set(&told(75, 20), VenueMillis(20)),
            BalanceChange::Differed { by: E8(5) }
        );
    }

    #[test]
    fn a_lock_from_outside_hides_no_older_amount() {
        // Nothing is known yet: the account's first answer has a time before the lock.
        let mut holding = Holding::default();
        holding.lock(E8(30), VenueMillis(20));
        let change = holding.set(&told(70, 30), VenueMillis(10));
        assert_eq!(change, BalanceChange::First);
        holding.listed(VenueMillis(10));
        assert_eq!((holding.total(), holding.locked()), (E8(100), E8(30)));

        // A deposit whose events were lost, between two locks.
        holding.lock(E8(-30), VenueMillis(40));
        let change = holding.set(&told(105, 0), VenueMillis(30));
        assert_eq!(change, BalanceChange::Differed { by: E8(5) });
        assert_eq!((holding.total(), holding.locked()), (E8(105), E8(0)));
    }

    #[test]
    fn two_changes_in_one_millisecond_settle_with_the_next_amount() {
        let mut holding = Holding::default();
        assert_eq!(
            holding.set(&told(100, 0), VenueMillis(10)),
            BalanceChange::First
        );
        assert_eq!(add(&mut holding, -30, 10), Moved::Contained);
        assert_eq!(
            holding.set(&told(70, 0), VenueMillis(10)),
            BalanceChange::Agreed
        );
        assert_eq!(holding.total(), E8(70));
    }

    #[test]
    fn the_venues_rounding_of_fills_is_no_difference() {
        let mut holding = Holding::default();
        assert_eq!(
            holding.set(&told(100, 0), VenueMillis(10)),
            BalanceChange::First
        );
        // Twice a third of a unit more than ten.
        let delta = Exact(10 * PER_E8 + PER_E8 / 3);
        for at in [11, 12] {
            assert_eq!(
                holding.add(delta, Exact::ZERO, VenueMillis(at)),
                Moved::Total
            );
        }
        assert_eq!(holding.total(), E8(120));
        assert_eq!(
            holding.set(&told(122, 0), VenueMillis(12)),
            BalanceChange::Rounded { by: E8(2) }
        );
        assert_eq!(
            holding.set(&told(123, 0), VenueMillis(12)),
            BalanceChange::Differed { by: E8(1) }
        );
    }

    #[test]
    fn what_a_maker_spends_was_locked() {
        let mut holding = Holding::default();
        assert_eq!(
            holding.set(&told(100, 50), VenueMillis(10)),
            BalanceChange::First
        );
        let spent = Exact::from_e8(E8(30));
        assert_eq!(holding.add(-spent, spent, VenueMillis(11)), Moved::Total);
        assert_eq!(
            (holding.total(), holding.free(), holding.locked()),
            (E8(120), E8(100), E8(20))
        );
        assert_eq!(holding.add(-spent, spent, VenueMillis(12)), Moved::Total);
        assert_eq!((holding.free(), holding.locked()), (E8(90), E8(0)));
    }

    #[test]
    fn what_an_account_does_not_list_is_nothing() {
        let mut holding = Holding::default();
        holding.listed(VenueMillis(10));
        assert_eq!(
            holding.set(&told(7, 0), VenueMillis(11)),
            BalanceChange::Differed { by: E8(7) }
        );
        holding.listed(VenueMillis(12));
        assert_eq!(holding.total(), E8(7));
    }
}
