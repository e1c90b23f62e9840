//! Keeping worths and sums in accord with what is held, made and marked.
//!
//! Owns: the bookkeeping behind [`Portfolio`]'s sums. Invariant: after each call of it, `equity`, `long` and `short` are
//! the sums of their parts ([`Portfolio::assert_invariants`] recounts them).

use super::conversion::Pair;
use super::exact::Exact;
use super::holding::Moved;
use super::position::Made;
use super::{Line, Portfolio};
use crate::instrument::{AssetIndex, InstrumentIndex};
use crate::units::{E8, VenueMillis};

/// Differences of this day that looked like flows, and what they were worth when they came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unexplained {
    amount: E8,
    worth: Exact,
}

impl Unexplained {
    fn add(&mut self, amount: E8, worth: Exact) {
        self.amount.0 = self.amount.0.saturating_add(amount.0);
        self.worth += worth;
    }

    /// Something explains `amount` of it; returns what that part was worth.
    pub(super) fn take(&mut self, amount: E8) -> Exact {
        if amount.0.signum() * self.amount.0.signum() <= 0 {
            return Exact::ZERO;
        }
        let all = self.amount.0.unsigned_abs();
        let part = amount.0.unsigned_abs().min(all);
        let worth = self.worth.share(part, all);
        self.amount.0 -= self.amount.0.signum() * part as i64;
        self.worth -= worth;
        worth
    }
}

impl Portfolio {
    pub(super) fn pair(&self, position: usize) -> Pair {
        self.conversion.pair(InstrumentIndex(position as u16))
    }

    pub(super) fn exact_equity(&self) -> Option<Exact> {
        (self.is_started && self.unvalued == 0).then_some(self.equity)
    }

    pub(super) fn exact_unrealized(&self, instrument: InstrumentIndex) -> Option<Exact> {
        let mark = self.conversion.mark(instrument)?;
        let unrealized = self.lines[instrument.as_usize()].position.unrealized(mark);
        let quote = self.conversion.pair(instrument).quote;
        self.conversion.convert(quote, unrealized)
    }

    /// A fill moved what is held of an asset.
    pub(super) fn moved(
        &mut self,
        asset: AssetIndex,
        delta: Exact,
        is_from_locked: bool,
        at: VenueMillis,
    ) -> Moved {
        let from_locked = if is_from_locked { -delta } else { Exact::ZERO };
        let holding = &mut self.assets[asset.as_usize()].holding;
        let moved = holding.add(delta, from_locked, at);
        match moved {
            Moved::Total => self.revalue_asset(asset),
            Moved::Explained => self.explained(asset, delta),
            Moved::Contained => {}
        }
        moved
    }

    /// The same for an asset of which the fill makes no position: its quote, or that of a third fee.
    pub(super) fn moved_beside(
        &mut self,
        asset: AssetIndex,
        delta: Exact,
        is_from_locked: bool,
        at: VenueMillis,
    ) {
        let before = self.assets[asset.as_usize()].holding.total();
        self.moved(asset, delta, is_from_locked, at);
        let asset = &mut self.assets[asset.as_usize()];
        let by = asset.holding.total().0.saturating_sub(before.0);
        asset.outside.0 = asset.outside.0.saturating_add(by);
    }

    /// What looked like a flow was a fill.
    pub(super) fn explained(&mut self, asset: AssetIndex, delta: Exact) {
        let asset = &mut self.assets[asset.as_usize()];
        if asset.flows_unvalued == Exact::ZERO {
            let flow = asset.unexplained.take(delta.to_e8());
            self.day.flow(-flow);
        } else {
            asset.flows_unvalued -= delta;
        }
    }

    /// An absolute amount differs from ours: a flow, until something explains it.
    pub(super) fn unexplained(&mut self, asset: AssetIndex, by: E8) {
        if let Some(worth) = self.conversion.convert_e8(asset, by) {
            self.assets[asset.as_usize()].unexplained.add(by, worth);
        }
        self.flowed(asset, Exact::from_e8(by));
    }

    /// Something came from outside, or went there.
    pub(super) fn flowed(&mut self, asset: AssetIndex, amount: Exact) {
        match self.conversion.convert(asset, amount) {
            Some(amount) => self.day.flow(amount),
            None => self.assets[asset.as_usize()].flows_unvalued += amount,
        }
    }

    /// A fee was taken in an asset that is neither base nor quote.
    pub(super) fn third_fee(&mut self, instrument: InstrumentIndex, asset: AssetIndex, fee: E8) {
        match self.conversion.convert_e8(asset, fee) {
            Some(fee) => self.lines[instrument.as_usize()].made.fees += fee,
            None => self.assets[asset.as_usize()].fees_unvalued += Exact::from_e8(fee),
        }
    }

    /// Adds what a fill made, and what nothing could value before, to the results in account currency.
    pub(super) fn made(&mut self, instrument: InstrumentIndex, made: &Made) {
        let quote = self.conversion.pair(instrument).quote;
        let Line {
            made: results,
            unvalued,
            ..
        } = &mut self.lines[instrument.as_usize()];
        unvalued.profit += made.realized.max(Exact::ZERO);
        unvalued.loss += (-made.realized).max(Exact::ZERO);
        unvalued.fees += made.fee;
        for (result, unvalued) in [
            (&mut results.profit, &mut unvalued.profit),
            (&mut results.loss, &mut unvalued.loss),
            (&mut results.fees, &mut unvalued.fees),
        ] {
            if *unvalued == Exact::ZERO {
                continue;
            }
            if let Some(valued) = self.conversion.convert(quote, *unvalued) {
                *result += valued;
                *unvalued = Exact::ZERO;
            }
        }
    }

    /// The first mark that an asset needed is there: values what waited for it.
    pub(super) fn value_late(&mut self, asset: AssetIndex) {
        let waiting = self.assets[asset.as_usize()];
        if let Some(flows) = self.conversion.convert(asset, waiting.flows_unvalued)
            && let Some(fees) = self.conversion.convert(asset, waiting.fees_unvalued)
        {
            self.day.flow(flows);
            self.late_fees += fees;
            let asset = &mut self.assets[asset.as_usize()];
            asset.flows_unvalued = Exact::ZERO;
            asset.fees_unvalued = Exact::ZERO;
        }
    }

    pub(super) fn revalue_asset(&mut self, index: AssetIndex) {
        let asset = &mut self.assets[index.as_usize()];
        let total = asset.holding.total();
        let before = asset.worth;
        asset.worth = self.conversion.convert_e8(index, total);
        self.equity += asset.worth.unwrap_or_default() - before.unwrap_or_default();
        let is_unvalued =
            asset.worth.is_none() && total != E8(0) && self.conversion.has_path(index);
        if asset.is_unvalued != is_unvalued {
            asset.is_unvalued = is_unvalued;
            self.unvalued = if is_unvalued {
                self.unvalued + 1
            } else {
                self.unvalued - 1
            };
        }
    }

    pub(super) fn revalue_line(&mut self, instrument: InstrumentIndex) {
        let quote = self.conversion.pair(instrument).quote;
        let mark = self.conversion.mark(instrument);
        let line = &mut self.lines[instrument.as_usize()];
        let qty = line.position.qty();
        let worth = mark.and_then(|mark| self.conversion.convert(quote, Exact::value(qty, mark)));
        let before = line.worth.unwrap_or_default();
        line.worth = worth;
        let is_unmarked = worth.is_none() && qty != E8(0);
        if line.is_unmarked != is_unmarked {
            line.is_unmarked = is_unmarked;
            self.unmarked = if is_unmarked {
                self.unmarked + 1
            } else {
                self.unmarked - 1
            };
        }
        let after = worth.unwrap_or_default();
        self.long += after.max(Exact::ZERO) - before.max(Exact::ZERO);
        self.short += (-after).max(Exact::ZERO) - (-before).max(Exact::ZERO);
    }

    /// Checks the sums against a recount. Reads everything: for tests and checks outside the hot path.
    ///
    /// # Panics
    /// When one is wrong.
    pub fn assert_invariants(&self) {
        let worths = self.assets.iter().filter_map(|asset| asset.worth);
        assert_eq!(
            worths.fold(Exact::ZERO, |sum, worth| sum + worth),
            self.equity
        );
        for (position, asset) in self.assets.iter().enumerate() {
            let index = AssetIndex(position as u16);
            let worth = self.conversion.convert_e8(index, asset.holding.total());
            assert_eq!(worth, asset.worth, "{index:?}");
        }
        let (mut long, mut short) = (Exact::ZERO, Exact::ZERO);
        for (position, line) in self.lines.iter().enumerate() {
            let worth = line.worth.unwrap_or_default();
            long += worth.max(Exact::ZERO);
            short += (-worth).max(Exact::ZERO);
            let instrument = InstrumentIndex(position as u16);
            let pair = self.conversion.pair(instrument);
            let expected = self.conversion.mark(instrument).and_then(|mark| {
                let value = Exact::value(line.position.qty(), mark);
                self.conversion.convert(pair.quote, value)
            });
            assert_eq!(line.worth, expected, "{instrument:?}");
        }
        assert_eq!((long, short), (self.long, self.short));
    }
}
