//! Balances that change without a trade: deposits, withdrawals, and what something outside locks.
//!
//! Owns: the change and its event. Does not: tell that it was a deposit; who asked for it does.

use veloz_core::units::E8;

use super::Exchange;
use super::order::AccountIndex;
use crate::venue::source::VenueMicros;

impl Exchange {
    /// Adds to what an account has free of an asset, or takes from it when `delta` is negative;
    /// what comes and goes is the market outside's. `false`, and nothing happens, when the venue
    /// has no such asset, the account has not so much free, or the sum leaves the range of
    /// [`E8`].
    pub(crate) fn deposit(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        asset: &str,
        delta: E8,
    ) -> bool {
        let held = self.balances(account).find(|held| held.asset == asset);
        let (Some(held), Some(index)) = (held, self.ledger.asset(asset)) else {
            return false;
        };
        let fits = |free: i64| free >= 0 && free.checked_add(held.locked.0).is_some();
        if !held.free.0.checked_add(delta.0).is_some_and(fits) {
            return false;
        }
        self.now = now;
        if delta.0 < 0 {
            self.ledger.pay(account, index, E8(-delta.0));
        } else {
            self.ledger.receive(account, index, delta);
        }
        self.finish();
        true
    }

    /// Locks some of what an account has free of an asset, or frees it again when `delta` is negative,
    /// for something that is no order; its event is its own, no balances are told. `false`, and nothing
    /// happens, when the venue has no such asset or there is not so much free, or locked.
    pub(crate) fn lock_outside(&mut self, account: AccountIndex, asset: &str, delta: E8) -> bool {
        self.ledger
            .asset(asset)
            .is_some_and(|asset| self.ledger.lock_outside(account, asset, delta))
    }
}
