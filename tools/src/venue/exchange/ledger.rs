//! Who owns what: accounts, the market outside, and the fees.
//!
//! Owns: balances free and locked. Does not: know orders, prices or rates. Invariants: nothing is
//! negative except what the market outside has; the sum of an asset over all accounts, the market
//! and the fees never changes.

use std::collections::{BTreeMap, BTreeSet};

use veloz_core::units::E8;

use super::config::ExchangeConfig;
use super::event::Balance;
use super::order::AccountIndex;
use crate::venue::source::SymbolSpec;

/// The asset that fees may be paid in.
pub(super) const BNB: &str = "BNB";

/// Position of an asset among all, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AssetIndex(usize);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Funds {
    free: E8,
    locked: E8,
}

/// All balances.
#[derive(Debug)]
pub(super) struct Ledger {
    assets: Vec<String>,
    /// By account, then by asset.
    accounts: Vec<Vec<Funds>>,
    /// What went out to the public market; negative where it came from there.
    market: Vec<i128>,
    fees: Vec<i128>,
    /// What the running transaction may have changed.
    touched: BTreeSet<(AccountIndex, AssetIndex)>,
}

impl Ledger {
    /// The balances of the start.
    ///
    /// # Panics
    /// When a configured balance is negative.
    pub(super) fn new(config: &ExchangeConfig, specs: &[SymbolSpec]) -> Self {
        let mut names = BTreeSet::from([BNB]);
        let mut bases = BTreeSet::new();
        for spec in specs {
            names.extend([spec.base.as_str(), spec.quote.as_str()]);
            bases.insert(spec.base.as_str());
        }
        for account in &config.accounts {
            names.extend(account.balances.iter().map(|(asset, _)| asset.as_str()));
        }
        let accounts = config.accounts.iter().map(|account| {
            let given: BTreeMap<&str, E8> = account
                .balances
                .iter()
                .map(|(asset, amount)| (asset.as_str(), *amount))
                .collect();
            let funds = names.iter().map(|name| {
                let otherwise = if bases.contains(name) {
                    account.other_bases
                } else {
                    E8(0)
                };
                let free = given.get(name).copied().unwrap_or(otherwise);
                assert!(free.0 >= 0, "a balance is not negative");
                Funds {
                    free,
                    locked: E8(0),
                }
            });
            funds.collect()
        });
        Self {
            accounts: accounts.collect(),
            market: vec![0; names.len()],
            fees: vec![0; names.len()],
            assets: names.into_iter().map(str::to_owned).collect(),
            touched: BTreeSet::new(),
        }
    }

    pub(super) fn asset(&self, name: &str) -> Option<AssetIndex> {
        self.assets
            .binary_search_by(|asset| asset.as_str().cmp(name))
            .ok()
            .map(AssetIndex)
    }

    pub(super) fn name(&self, asset: AssetIndex) -> &str {
        &self.assets[asset.0]
    }

    pub(super) fn free(&self, account: AccountIndex, asset: AssetIndex) -> E8 {
        self.accounts[account.0][asset.0].free
    }

    /// All assets of an account.
    pub(super) fn balances(&self, account: AccountIndex) -> impl Iterator<Item = Balance> {
        self.assets
            .iter()
            .zip(&self.accounts[account.0])
            .map(|(asset, funds)| Balance {
                asset: asset.clone(),
                free: funds.free,
                locked: funds.locked,
            })
    }

    /// Changes what is held for an order from `before` to `after`.
    ///
    /// # Panics
    /// When the account has not so much: the caller looked.
    pub(super) fn hold(&mut self, account: AccountIndex, asset: AssetIndex, before: E8, after: E8) {
        let funds = self.touch(account, asset);
        let more = after.0 - before.0;
        funds.free = E8(funds.free.0 - more);
        funds.locked = E8(funds.locked.0 + more);
        assert!(funds.free.0 >= 0, "more is held than there was");
        assert!(funds.locked.0 >= 0, "more is released than was held");
    }

    /// Moves some of what is free to what is locked, or back when negative, without a transaction;
    /// `false`, and nothing happens, when there is not so much.
    pub(super) fn lock_outside(
        &mut self,
        account: AccountIndex,
        asset: AssetIndex,
        delta: E8,
    ) -> bool {
        let funds = &mut self.accounts[account.0][asset.0];
        let (free, locked) = (
            funds.free.0.checked_sub(delta.0),
            funds.locked.0.checked_add(delta.0),
        );
        match (free, locked) {
            (Some(free), Some(locked)) if free >= 0 && locked >= 0 => {
                *funds = Funds {
                    free: E8(free),
                    locked: E8(locked),
                };
                true
            }
            (_, _) => false,
        }
    }

    /// From what is free to the market outside or, before [`receive`](Self::receive), to another
    /// account.
    ///
    /// # Panics
    /// When the account has not so much: the caller looked.
    pub(super) fn pay(&mut self, account: AccountIndex, asset: AssetIndex, amount: E8) {
        let funds = self.touch(account, asset);
        funds.free = E8(funds.free.0 - amount.0);
        assert!(funds.free.0 >= 0, "more is paid than there was");
        self.market[asset.0] += i128::from(amount.0);
    }

    /// From the market outside or, after [`pay`](Self::pay), from another account.
    ///
    /// # Panics
    /// When a balance leaves the range of [`E8`], 92 billion.
    pub(super) fn receive(&mut self, account: AccountIndex, asset: AssetIndex, amount: E8) {
        let funds = self.touch(account, asset);
        let free = funds.free.0.checked_add(amount.0);
        let free = free.filter(|free| free.checked_add(funds.locked.0).is_some());
        funds.free = E8(free.expect("balances stay within 92 billion"));
        self.market[asset.0] -= i128::from(amount.0);
    }

    /// From what is free to the fees.
    ///
    /// # Panics
    /// When the account has not so much: the caller looked.
    pub(super) fn charge(&mut self, account: AccountIndex, asset: AssetIndex, fee: E8) {
        let funds = self.touch(account, asset);
        funds.free = E8(funds.free.0 - fee.0);
        assert!(funds.free.0 >= 0, "a fee is more than there was");
        self.fees[asset.0] += i128::from(fee.0);
    }

    /// Ends a transaction: what each account that it touched now has of the assets concerned.
    pub(super) fn take_touched(&mut self) -> BTreeMap<AccountIndex, Vec<Balance>> {
        let mut touched: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (account, asset) in std::mem::take(&mut self.touched) {
            let funds = self.accounts[account.0][asset.0];
            touched.entry(account).or_default().push(Balance {
                asset: self.assets[asset.0].clone(),
                free: funds.free,
                locked: funds.locked,
            });
        }
        touched
    }

    fn touch(&mut self, account: AccountIndex, asset: AssetIndex) -> &mut Funds {
        self.touched.insert((account, asset));
        &mut self.accounts[account.0][asset.0]
    }

    /// Everything of every asset: what must never change.
    #[cfg(test)]
    pub(super) fn totals(&self) -> Vec<i128> {
        let of = |asset: usize| {
            let accounts = self
                .accounts
                .iter()
                .map(|funds| i128::from(funds[asset].free.0) + i128::from(funds[asset].locked.0));
            accounts.sum::<i128>() + self.market[asset] + self.fees[asset]
        };
        (0..self.assets.len()).map(of).collect()
    }
}
