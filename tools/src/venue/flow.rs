//! Synthetic public flow, seeded and calibrated on recorded market data.
//!
//! Owns: [`SyntheticMarket`], a [`MarketSource`] whose books, tickers and trades follow the
//! distributions of a [`SymbolProfile`]. Does not: read clocks, serve clients, or match anyone's
//! orders. Invariants: the same seed, profiles and start give the same events on every machine,
//! however time is sliced; books are never crossed; update ids and trade ids have no gaps.
//!
//! `schedule` says when, `process` says what, `publication` is the one door to the book and numbers
//! what comes out, `market` puts the three in the order of time. `measure` and `fit` are the way
//! from recordings to the tables in `profile`.

pub mod fit;
pub mod measure;
pub mod profile;
pub mod quantiles;
pub mod recorded;

mod book;
mod market;
mod process;
mod publication;
mod random;
mod schedule;
mod touch;

#[cfg(test)]
mod calibration;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub use profile::SymbolProfile;

use super::source::{MarketSource, Published, Snapshot, SymbolIndex, SymbolSpec, VenueMicros};
use market::SymbolMarket;

/// A market of synthetic symbols.
#[derive(Clone, Debug)]
pub struct SyntheticMarket {
    specs: Vec<SymbolSpec>,
    markets: Vec<SymbolMarket>,
    /// One entry a symbol: when it is due.
    due: BinaryHeap<Reverse<(VenueMicros, usize)>>,
}

impl SyntheticMarket {
    /// Opens a market at `start`. A symbol's flow depends on the seed, its profile and its name,
    /// not on the other symbols.
    pub fn new(seed: u64, start: VenueMicros, profiles: &[SymbolProfile]) -> Self {
        let markets: Vec<_> = profiles
            .iter()
            .enumerate()
            .map(|(index, profile)| SymbolMarket::new(SymbolIndex(index), profile, seed, start))
            .collect();
        Self {
            specs: profiles.iter().map(SymbolProfile::spec).collect(),
            due: markets
                .iter()
                .enumerate()
                .map(|(index, market)| Reverse((market.next_at(), index)))
                .collect(),
            markets,
        }
    }
}

impl MarketSource for SyntheticMarket {
    fn symbols(&self) -> &[SymbolSpec] {
        &self.specs
    }

    fn next_at(&self) -> Option<VenueMicros> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    fn advance(&mut self, now: VenueMicros, out: &mut Vec<Published>) {
        while let Some(mut due) = self.due.peek_mut() {
            let Reverse((at, index)) = *due;
            if at > now {
                break;
            }
            let market = &mut self.markets[index];
            market.step(out);
            *due = Reverse((market.next_at(), index));
        }
    }

    fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot {
        self.markets[symbol.0].snapshot(limit)
    }
}
