//! What there is to read of the portfolio: balances, positions, marks, results and equity.
//!
//! Does not: change or value anything. Invariant: what lacks a mark is `None`, or left out of a sum that says so.

use super::exact::{Exact, Price};
use super::figures::Results;
use super::{Exposure, Figures, Portfolio, Position};
use crate::instrument::{AssetIndex, InstrumentIndex};
use crate::units::E8;

impl Portfolio {
    /// Free plus locked.
    #[inline]
    pub fn total(&self, asset: AssetIndex) -> E8 {
        self.assets[asset.as_usize()].holding.total()
    }

    /// Free to use: the venue's last word, moved by our fills.
    #[inline]
    pub fn free(&self, asset: AssetIndex) -> E8 {
        self.assets[asset.as_usize()].holding.free()
    }

    /// Bound in open orders: the venue's last word, less what resting orders of ours spent since.
    #[inline]
    pub fn locked(&self, asset: AssetIndex) -> E8 {
        self.assets[asset.as_usize()].holding.locked()
    }

    /// What a new order may use while open orders of ours need `reserved`; at least zero. The venue's own word on what
    /// is locked binds when it is more: orders that are not ours, or that it has not released yet.
    #[inline]
    pub fn available(&self, asset: AssetIndex, reserved: E8) -> E8 {
        let bound = reserved.max(self.locked(asset));
        E8(self.total(asset).0.saturating_sub(bound.0).max(0))
    }

    /// The position of an instrument, in its own assets.
    #[inline]
    pub fn position(&self, instrument: InstrumentIndex) -> &Position {
        &self.lines[instrument.as_usize()].position
    }

    /// The mark in half ticks: bid plus ask; `None` before the first.
    #[inline]
    pub fn mark_half_ticks(&self, instrument: InstrumentIndex) -> Option<i64> {
        self.conversion.mark(instrument).map(Price::half_ticks)
    }

    /// The mark in quote per whole base, rounded down to 1e-8; `None` before the first.
    pub fn mark_price(&self, instrument: InstrumentIndex) -> Option<E8> {
        self.conversion.mark(instrument).map(Price::e8)
    }

    /// What closing at the mark would realize, in quote, rounded down.
    pub fn unrealized(&self, instrument: InstrumentIndex) -> Option<E8> {
        let mark = self.conversion.mark(instrument)?;
        let position = &self.lines[instrument.as_usize()].position;
        Some(position.unrealized(mark).to_e8())
    }

    /// The position's value at the mark in account currency, signed, rounded down; `None` while a mark on the way is
    /// missing.
    #[inline]
    pub fn position_value(&self, instrument: InstrumentIndex) -> Option<E8> {
        self.lines[instrument.as_usize()].worth.map(Exact::to_e8)
    }

    /// Whether everything is valued in this asset.
    #[inline]
    pub fn is_account_currency(&self, asset: AssetIndex) -> bool {
        asset == self.account_currency
    }

    /// An amount of an asset in account currency at the marks, rounded down; `None` while a mark is missing, and for an
    /// asset without a conversion.
    pub fn in_account_currency(&self, asset: AssetIndex, amount: E8) -> Option<E8> {
        self.conversion.convert_e8(asset, amount).map(Exact::to_e8)
    }

    /// One instrument's results in account currency. A fee in a third asset that was valued after its fill is only in
    /// [`Portfolio::figures_total`].
    pub fn figures(&self, instrument: InstrumentIndex) -> Figures {
        let line = &self.lines[instrument.as_usize()];
        let unrealized = self.exact_unrealized(instrument).unwrap_or_default();
        let mut figures = Figures::of(&line.made, unrealized);
        figures.count(&line.position);
        figures
    }

    /// All instruments' results in account currency.
    pub fn figures_total(&self) -> Figures {
        let mut made = Results {
            fees: self.late_fees,
            ..Results::default()
        };
        let mut unrealized = Exact::ZERO;
        for (position, line) in self.lines.iter().enumerate() {
            made.profit += line.made.profit;
            made.loss += line.made.loss;
            made.fees += line.made.fees;
            let instrument = InstrumentIndex(position as u16);
            unrealized += self.exact_unrealized(instrument).unwrap_or_default();
        }
        let mut figures = Figures::of(&made, unrealized);
        for line in &self.lines {
            figures.count(&line.position);
        }
        figures
    }

    /// Position values by direction.
    #[inline]
    pub fn exposure(&self) -> Exposure {
        Exposure {
            long: self.long.to_e8(),
            short: self.short.to_e8(),
            unmarked: self.unmarked,
        }
    }

    /// All assets with a conversion, baselines included, at the marks, in account currency, rounded down; `None` before
    /// [`Portfolio::start`] and while one that is held has no mark.
    #[inline]
    pub fn equity(&self) -> Option<E8> {
        self.exact_equity().map(Exact::to_e8)
    }

    /// Equity now minus equity at the start of the day, without deposits and withdrawals; `None` while unknown.
    pub fn day_change(&self) -> Option<E8> {
        self.day.change(self.exact_equity()?).map(Exact::to_e8)
    }

    /// Deposits minus withdrawals since the day's start, differences that our fills do not explain among them.
    pub fn day_flows(&self) -> E8 {
        self.day.flows()
    }

    /// The highest equity that [`Portfolio::observe`] saw, moved by deposits and withdrawals since.
    pub fn peak_equity(&self) -> Option<E8> {
        self.day.peak()
    }

    /// How far equity is below its peak, in basis points of the peak, rounded down; `None` while unknown.
    pub fn drawdown_bps(&self) -> Option<u32> {
        self.exact_equity()
            .map(|equity| self.day.drawdown_bps(equity))
    }

    /// The largest drawdown that [`Portfolio::observe`] saw in this run.
    pub fn drawdown_max_bps(&self) -> u32 {
        self.day.drawdown_max_bps()
    }

    /// Fees in an asset that nothing could value yet, in that asset: they are in no figure.
    pub fn fees_unvalued(&self, asset: AssetIndex) -> E8 {
        self.assets[asset.as_usize()].fees_unvalued.to_e8()
    }
}
