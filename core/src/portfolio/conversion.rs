//! How assets become account currency: through which instruments, and which marks that depends on.
//!
//! Owns: the marks, the path of every asset, and who depends on which instrument. Does not: know amounts.
//!
//! A path is found once, breadth first from the account currency, instruments in the order of their table: the fewest
//! instruments, the first of equals. An instrument converts its base at the mark and its quote at the mark's inverse.
//! Invariant: paths never change, so a mark moves exactly the values that its dependents name.

use super::exact::{Exact, Price};
use crate::instrument::{AssetIndex, Assets, InstrumentIndex, Instruments, Symbol};
use crate::limits::CONVERSION_STEPS_MAX;
use crate::units::E8;

/// An asset cannot be valued in the account currency through the instruments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{asset} has no conversion to {account_currency} within {CONVERSION_STEPS_MAX} instruments; \
     add an instrument that trades one against the other"
)]
pub struct NoConversion {
    /// The asset.
    pub asset: Symbol,
    /// The account currency.
    pub account_currency: Symbol,
}

/// What an instrument is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) base: AssetIndex,
    pub(super) quote: AssetIndex,
    pub(super) tick: E8,
    pub(super) lot: E8,
}

/// One instrument on the way to the account currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    instrument: InstrumentIndex,
    /// From base to quote, else from quote to base.
    is_direct: bool,
}

/// Whose values a mark moves.
#[derive(Clone, Debug, Default)]
pub(super) struct Dependents {
    pub(super) assets: Box<[AssetIndex]>,
    pub(super) positions: Box<[InstrumentIndex]>,
}

#[derive(Clone, Debug)]
pub(super) struct Conversion {
    pairs: Box<[Pair]>,
    marks: Box<[Option<Price>]>,
    /// By asset; `None` when there is none.
    paths: Box<[Option<Box<[Step]>>]>,
    dependents: Box<[Dependents]>,
}

impl Conversion {
    pub(super) fn new(
        instruments: &Instruments,
        assets: &Assets,
        account_currency: AssetIndex,
    ) -> Result<Self, NoConversion> {
        let index_of = |name: Symbol| {
            assets
                .find(name.as_bytes())
                .expect("the assets are those of the instruments")
        };
        let pairs: Box<[Pair]> = instruments
            .iter()
            .map(|(_, instrument)| Pair {
                base: index_of(instrument.base),
                quote: index_of(instrument.quote),
                tick: instrument.tick.unit(),
                lot: instrument.lot.unit(),
            })
            .collect();
        let paths = paths(&pairs, assets.count(), account_currency);
        for pair in &pairs {
            for asset in [pair.base, pair.quote] {
                if paths[asset.as_usize()].is_none() {
                    return Err(NoConversion {
                        asset: assets.get(asset),
                        account_currency: assets.get(account_currency),
                    });
                }
            }
        }
        let dependents = (0..pairs.len())
            .map(|position| dependents(InstrumentIndex(position as u16), &pairs, &paths))
            .collect();
        Ok(Self {
            marks: vec![None; pairs.len()].into_boxed_slice(),
            pairs,
            paths,
            dependents,
        })
    }

    pub(super) fn pair(&self, instrument: InstrumentIndex) -> Pair {
        self.pairs[instrument.as_usize()]
    }

    pub(super) fn mark(&self, instrument: InstrumentIndex) -> Option<Price> {
        self.marks[instrument.as_usize()]
    }

    /// Returns what was there before.
    pub(super) fn set_mark(&mut self, instrument: InstrumentIndex, mark: Price) -> Option<Price> {
        self.marks[instrument.as_usize()].replace(mark)
    }

    pub(super) fn dependents(&self, instrument: InstrumentIndex) -> &Dependents {
        &self.dependents[instrument.as_usize()]
    }

    pub(super) fn has_path(&self, asset: AssetIndex) -> bool {
        self.paths[asset.as_usize()].is_some()
    }

    /// An amount in account currency, rounded towards zero at each step by less than 5e-17 of that step's asset;
    /// `None` while a mark on the path is missing, or when there is no path.
    pub(super) fn convert(&self, asset: AssetIndex, amount: Exact) -> Option<Exact> {
        let path = self.paths[asset.as_usize()].as_ref()?;
        self.walk(path, amount)
    }

    /// As [`Conversion::convert`]; without a division when the path is one direct step, which is the ordinary one.
    pub(super) fn convert_e8(&self, asset: AssetIndex, amount: E8) -> Option<Exact> {
        let path = self.paths[asset.as_usize()].as_ref()?;
        match path.split_first() {
            Some((first, rest)) if first.is_direct => {
                let price = self.marks[first.instrument.as_usize()]?;
                self.walk(rest, Exact::value(amount, price))
            }
            Some(_) | None => self.walk(path, Exact::from_e8(amount)),
        }
    }

    fn walk(&self, path: &[Step], amount: Exact) -> Option<Exact> {
        path.iter().try_fold(amount, |amount, step| {
            let price = self.marks[step.instrument.as_usize()]?;
            Some(if step.is_direct {
                amount.base_to_quote(price)
            } else {
                amount.quote_to_base(price)
            })
        })
    }
}

fn paths(
    pairs: &[Pair],
    asset_count: usize,
    account_currency: AssetIndex,
) -> Box<[Option<Box<[Step]>>]> {
    let mut paths: Box<[Option<Box<[Step]>>]> = vec![None; asset_count].into_boxed_slice();
    paths[account_currency.as_usize()] = Some(Box::default());
    let mut reached = vec![account_currency];
    let mut next = 0;
    while let Some(&asset) = reached.get(next) {
        next += 1;
        for (position, pair) in pairs.iter().enumerate() {
            let (from, is_direct) = if pair.quote == asset {
                (pair.base, true)
            } else if pair.base == asset {
                (pair.quote, false)
            } else {
                continue;
            };
            let rest = paths[asset.as_usize()].as_deref().expect("it was reached");
            if paths[from.as_usize()].is_some() || rest.len() == CONVERSION_STEPS_MAX {
                continue;
            }
            let step = Step {
                instrument: InstrumentIndex(position as u16),
                is_direct,
            };
            let path = std::iter::once(step).chain(rest.iter().copied()).collect();
            paths[from.as_usize()] = Some(path);
            reached.push(from);
        }
    }
    paths
}

fn dependents(
    instrument: InstrumentIndex,
    pairs: &[Pair],
    paths: &[Option<Box<[Step]>>],
) -> Dependents {
    let goes_through = |asset: AssetIndex| {
        paths[asset.as_usize()]
            .iter()
            .flatten()
            .any(|step| step.instrument == instrument)
    };
    Dependents {
        assets: (0..paths.len() as u16)
            .map(AssetIndex)
            .filter(|&asset| goes_through(asset))
            .collect(),
        positions: (0..pairs.len() as u16)
            .map(InstrumentIndex)
            .filter(|&other| other == instrument || goes_through(pairs[other.as_usize()].quote))
            .collect(),
    }
}
