//! What was there at the start, and which fills it contains.
//!
//! Owns: [`Missed`], the initial positions and their corrections. Does not: keep balances (`holding` does) or judge the
//! millisecond of a first amount (`edge` does).
//!
//! A contained fill that an earlier run booked is nothing new. One that no run booked, because it happened while none
//! was there, is taken out of the initial position and booked as what it was ([`Missed`], [`Portfolio::late`]):
//! positions are the same, and what it realized counts. One of the very millisecond of the first amounts is taken for
//! contained until an amount proves that it was not; then what was there is corrected (`edge`).
//!
//! Invariant: whatever moves an initial position leaves the positions of an asset at what is held of it above its
//! baseline, deposits and fees in third assets left out ([`Portfolio::disagreement`] recounts that).

use super::edge::Lacking;
use super::position::Position;
use super::{Asset, Booked, Portfolio, Terms};
use crate::instrument::{AssetIndex, InstrumentIndex};
use crate::order::{Fill, Side};
use crate::units::E8;

/// A fill that was told before the portfolio started and that no earlier run booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// What was traded.
    pub instrument: InstrumentIndex,
    /// Which way.
    pub side: Side,
    /// The fill.
    pub fill: Fill,
}

impl Portfolio {
    /// Balances are listed: what the first amounts hold above the baselines becomes the initial positions, less the
    /// `missed` fills that they contain; these and all others of `missed` are booked then, in their order. Their
    /// balances were told before ([`Portfolio::moved_by`]). Before any other fill, once.
    ///
    /// # Panics
    /// When it was called before.
    pub fn start(&mut self, missed: &[Missed]) {
        assert!(!self.is_started, "a portfolio starts once");
        self.is_started = true;
        for asset in &mut self.assets {
            let held = asset.holding.first_total();
            asset.baseline.get_or_insert(held);
        }
        for position in 0..self.lines.len() {
            let base = self.pair(position).base;
            if self.is_first_of_base(position) && base != self.account_currency {
                let Asset {
                    holding, baseline, ..
                } = &self.assets[base.as_usize()];
                let baseline = baseline.expect("every asset has one by now");
                let qty = E8(holding.first_total().0.saturating_sub(baseline.0));
                self.lines[position].position = Position::held(qty);
            }
        }
        for missed in missed {
            if self.is_contained(missed.instrument, &missed.fill) {
                let change = self.base_change(missed.instrument, missed.side, &missed.fill);
                let holder = self.holder(missed.instrument);
                let position = &mut self.lines[holder].position;
                *position = Position::held(E8(position.qty().0.saturating_sub(change.0)));
            }
        }
        for missed in missed {
            self.book(missed.instrument, missed.side, &missed.fill);
        }
        for position in 0..self.lines.len() {
            let instrument = InstrumentIndex(position as u16);
            if let Some(mark) = self.conversion.mark(instrument) {
                self.lines[position].position.price(mark);
            }
            self.revalue_line(instrument);
        }
    }

    /// Books a fill that [`Portfolio::fill`] called contained and that no earlier run booked.
    pub fn late(&mut self, instrument: InstrumentIndex, side: Side, fill: &Fill) -> Booked {
        self.rewind(instrument, side, fill);
        self.book(instrument, side, fill)
    }

    /// The first amount of an asset lacks a fill that was taken for contained in it: what was there at the start is
    /// that much more, and the difference came from no outside.
    #[cold]
    pub(super) fn lacked(&mut self, asset: AssetIndex, lacking: Lacking) {
        let Lacking { amount, price } = lacking;
        let table = &mut self.assets[asset.as_usize()];
        table.outside.0 = table.outside.0.saturating_sub(amount.0);
        if !self.is_started {
            table.holding.first_moves(amount);
        } else if let Some(holder) = table.holder {
            let taken_out = E8(amount.0.saturating_neg());
            let position = &mut self.lines[holder.as_usize()].position;
            position.rewind(taken_out, price);
            self.revalue_line(holder);
        }
    }

    /// Takes a contained fill out of the position that holds what was there at the start.
    #[cold]
    fn rewind(&mut self, instrument: InstrumentIndex, side: Side, fill: &Fill) {
        let Terms { price, .. } = self.terms(instrument, side, fill);
        let change = self.base_change(instrument, side, fill);
        let holder = self.holder(instrument);
        self.lines[holder].position.rewind(change, price);
        self.revalue_line(InstrumentIndex(holder as u16));
    }

    /// Whether the first amount of its base contains a fill.
    pub(super) fn is_contained(&self, instrument: InstrumentIndex, fill: &Fill) -> bool {
        let base = self.conversion.pair(instrument).base;
        let first_at = self.assets[base.as_usize()].holding.first_at();
        first_at.is_some_and(|first_at| fill.at <= first_at)
    }

    /// The instrument whose position holds what was there of this one's base.
    fn holder(&self, instrument: InstrumentIndex) -> usize {
        let base = self.conversion.pair(instrument).base;
        (0..self.lines.len())
            .find(|position| self.pair(*position).base == base)
            .expect("the instrument itself has it")
    }

    /// By how much a fill changes what is held of its base.
    fn base_change(&self, instrument: InstrumentIndex, side: Side, fill: &Fill) -> E8 {
        let terms = self.terms(instrument, side, fill);
        E8(terms.qty.0.saturating_sub(terms.base_fee.0))
    }

    /// Whether no earlier instrument has the same base.
    pub(super) fn is_first_of_base(&self, position: usize) -> bool {
        let base = self.pair(position).base;
        (0..position).all(|earlier| self.pair(earlier).base != base)
    }
}
