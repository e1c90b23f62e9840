//! What the account holds, what it is worth, and what trading made of it.
//!
//! Owns: balances, positions, their valuation in the account currency, the day's and the peak's equity. Does not: know
//! orders, decide anything, or read a clock.
//!
//! **Mark.** The mark of an instrument is the middle of its touch, in half ticks, exact. What is worth something in
//! account currency is worth it at the marks along its path (`conversion`), and every mark moves at once what depends
//! on it.
//!
//! **Positions** are per instrument and come from fills. What is held of a base asset above its configured baseline at
//! the start is the initial position of the first instrument with that base (unless it is the account currency, which
//! is earned and not at risk); it enters at the first mark, or at the price of the first fill if that comes before. Deposits, withdrawals and fees in a third asset move balances, never
//! positions. Fees in base make the position smaller and count at the price of their fill, fees in quote count as they
//! are, fees in a third asset at its mark. A fill that reduces a position ends a round trip of what it closes, won or
//! lost before fees.
//!
//! **Balances** follow the venue's absolute amounts and, between two of them, our fills (`holding`). A difference that
//! our fills do not explain came from outside and counts as a flow, so it is nobody's profit.
//!
//! **Equity** is the worth of all assets with a conversion, baselines included.
//!
//! **Start.** Tell the first account answer by [`Portfolio::balance`] and [`Portfolio::listed`], then call
//! [`Portfolio::start`], then book fills: those that the first amounts contain are recognised by their time (`start`).
//!
//! Invariants: `realized + unrealized - fees` of a position is what its fills changed, to the last unit (`position`);
//! equity and exposures are the sums of their parts, kept as the parts change.

mod conversion;
mod day;
mod edge;
mod exact;
mod figures;
mod holding;
mod position;
mod start;
mod statement;
mod valuation;

pub use conversion::NoConversion;
pub use day::Restored;
pub use figures::{Exposure, Figures};
pub use holding::BalanceChange;
pub use position::Position;
pub use start::Missed;

use crate::instrument::{AssetIndex, Assets, InstrumentIndex, Instruments};
use crate::order::{Balance, Fill, Side};
use crate::units::{E8, Ticks, VenueMillis};
use conversion::Conversion;
use day::Day;
use edge::{Edge, Lacking};
use exact::{Exact, Price};
use figures::Results;
use holding::{Holding, Moved};
use position::Made;
use valuation::Unexplained;

/// What the portfolio is told at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortfolioConfig {
    /// In which asset everything is valued.
    pub account_currency: AssetIndex,
    /// What is held of an asset beside trading and is no position; for assets that are not listed, what is held when
    /// the portfolio starts.
    pub baselines: Vec<(AssetIndex, E8)>,
}

/// What telling a fill did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booked {
    /// The initial position contains it already.
    Contained,
    /// It is in the position now.
    Counted {
        /// What it realized before fees, in the quote asset, rounded down.
        realized: E8,
    },
}

/// An asset, what is held of it and what that is worth.
#[derive(Clone, Copy, Debug, Default)]
struct Asset {
    holding: Holding,
    /// `None` until the portfolio starts, where none is configured.
    baseline: Option<E8>,
    /// In account currency; `None` while its path lacks a mark, and without a path.
    worth: Option<Exact>,
    /// Whether it should have a worth and has none.
    is_unvalued: bool,
    unexplained: Unexplained,
    /// What changed the total since the first amount and was no fill of an instrument with this base.
    outside: E8,
    /// What the first amount lacks of its own millisecond.
    edge: Edge,
    /// The instrument whose position holds what was there at the start; `None` where nothing has a position of it.
    holder: Option<InstrumentIndex>,
    /// Deposits minus withdrawals, and fees, that nothing could value yet; in the asset.
    flows_unvalued: Exact,
    fees_unvalued: Exact,
}

impl Asset {
    /// An absolute amount was told, and the total was `before` it; what of it the first amount lacks.
    fn took(&mut self, before: E8, change: BalanceChange) -> Option<Lacking> {
        if change == BalanceChange::Older {
            return None;
        }
        if !self.holding.is_listed() {
            self.outside = E8(0);
            return None;
        }
        let by = E8(self.holding.total().0.saturating_sub(before.0));
        self.outside.0 = self.outside.0.saturating_add(by.0);
        self.edge.amount(
            by,
            change == BalanceChange::Agreed,
            self.holding.absolute_at(),
            self.holding.first_at(),
        )
    }

    /// A fill of an instrument with this base changed it by `delta`; what of it the first amount lacks.
    fn traded(
        &mut self,
        delta: E8,
        price: Price,
        moved: Moved,
        at: VenueMillis,
    ) -> Option<Lacking> {
        match moved {
            Moved::Total => None,
            // The difference that it was taken for is its own.
            Moved::Explained => {
                self.outside.0 = self.outside.0.saturating_sub(delta.0);
                None
            }
            Moved::Contained if Some(at) == self.holding.first_at() => {
                let is_last = Some(at) == self.holding.absolute_at();
                self.edge.fill(delta, price, is_last)
            }
            Moved::Contained => None,
        }
    }
}

/// An instrument's position, what it is worth and what it made.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    position: Position,
    /// Signed, in account currency; `None` while a mark is missing.
    worth: Option<Exact>,
    is_unmarked: bool,
    made: Results,
    /// In quote: what nothing could value yet.
    unvalued: Results,
}

/// A fill in the units of its assets.
struct Terms {
    price: Price,
    /// Above zero for a buy.
    qty: E8,
    base_fee: E8,
    quote_fee: E8,
}

/// The portfolio; see the module's text.
#[derive(Clone, Debug)]
pub struct Portfolio {
    conversion: Conversion,
    account_currency: AssetIndex,
    assets: Box<[Asset]>,
    lines: Box<[Line]>,
    is_started: bool,
    /// Fees in third assets that were valued after their fill: of no instrument.
    late_fees: Exact,
    /// Sum of the assets' worths.
    equity: Exact,
    /// Assets with a conversion that are held and have no worth yet.
    unvalued: u32,
    long: Exact,
    short: Exact,
    unmarked: u32,
    day: Day,
}

impl Portfolio {
    /// A portfolio without balances.
    ///
    /// # Errors
    /// [`NoConversion`] for the first base or quote that cannot be valued.
    ///
    /// # Panics
    /// When `assets` is not a table of these instruments, or an index is not of it.
    pub fn new(
        instruments: &Instruments,
        assets: &Assets,
        config: PortfolioConfig,
    ) -> Result<Self, NoConversion> {
        let conversion = Conversion::new(instruments, assets, config.account_currency)?;
        let mut table = vec![Asset::default(); assets.count()].into_boxed_slice();
        for (asset, baseline) in config.baselines {
            table[asset.as_usize()].baseline = Some(baseline);
        }
        for position in 0..assets.count() {
            let index = AssetIndex(position as u16);
            table[position].worth = conversion.convert_e8(index, E8(0));
        }
        for (instrument, _) in instruments.iter() {
            let base = conversion.pair(instrument).base;
            if base != config.account_currency {
                table[base.as_usize()].holder.get_or_insert(instrument);
            }
        }
        Ok(Self {
            conversion,
            account_currency: config.account_currency,
            assets: table,
            lines: vec![Line::default(); instruments.count()].into_boxed_slice(),
            is_started: false,
            late_fees: Exact::ZERO,
            equity: Exact::ZERO,
            unvalued: 0,
            long: Exact::ZERO,
            short: Exact::ZERO,
            unmarked: 0,
            day: Day::default(),
        })
    }

    /// Tells the venue's absolute amounts of one asset as of its time `as_of`.
    pub fn balance(&mut self, balance: Balance, as_of: VenueMillis) -> BalanceChange {
        let asset = &mut self.assets[balance.asset.as_usize()];
        let before = asset.holding.total();
        let change = asset.holding.set(&balance, as_of);
        let lacking = asset.took(before, change);
        match change {
            BalanceChange::Differed { by } => {
                self.unexplained(balance.asset, by);
                if let Some(lacking) = lacking {
                    self.explained(balance.asset, Exact::from_e8(lacking.amount));
                }
            }
            BalanceChange::Older
            | BalanceChange::First
            | BalanceChange::Agreed
            | BalanceChange::Rounded { .. } => {}
        }
        if let Some(lacking) = lacking {
            self.lacked(balance.asset, lacking);
        }
        self.revalue_asset(balance.asset);
        change
    }

    /// The first account answer has been told: assets that it did not list are held at zero as of `as_of`.
    pub fn listed(&mut self, as_of: VenueMillis) {
        for asset in &mut self.assets {
            if asset.holding.first_at().is_none() {
                asset.outside = E8(0);
            }
            asset.holding.listed(as_of);
        }
    }

    /// What of an asset is no position; `None` before [`Portfolio::start`] where none is configured.
    pub fn baseline(&self, asset: AssetIndex) -> Option<E8> {
        self.assets[asset.as_usize()].baseline
    }

    /// The instrument whose position holds what was there of an asset at the start, and which an amount may correct;
    /// `None` for the account currency and for what is no base.
    #[inline]
    pub fn holder_of(&self, asset: AssetIndex) -> Option<InstrumentIndex> {
        self.assets[asset.as_usize()].holder
    }

    /// Whether [`Portfolio::start`] was called.
    #[inline]
    pub fn is_started(&self) -> bool {
        self.is_started
    }

    /// Books a fill. Whether it was booked before is the order machine's business.
    ///
    /// # Panics
    /// Before [`Portfolio::start`].
    pub fn fill(&mut self, instrument: InstrumentIndex, side: Side, fill: &Fill) -> Booked {
        assert!(self.is_started, "balances come before fills");
        self.moved_by(instrument, side, fill);
        if self.is_contained(instrument, fill) {
            return Booked::Contained;
        }
        self.book(instrument, side, fill)
    }

    /// Moves the balances by a fill that was told before [`Portfolio::start`] and after [`Portfolio::listed`]; later
    /// [`Portfolio::fill`] does it.
    pub fn moved_by(&mut self, instrument: InstrumentIndex, side: Side, fill: &Fill) {
        let pair = self.conversion.pair(instrument);
        let Terms {
            price,
            qty,
            base_fee,
            quote_fee,
        } = self.terms(instrument, side, fill);
        let base = Exact::from_e8(E8(qty.0.saturating_sub(base_fee.0)));
        let quote = -(Exact::value(qty, price) + Exact::from_e8(quote_fee));
        let is_locked = fill.is_maker;
        let moved = self.moved(pair.base, base, is_locked && side == Side::Sell, fill.at);
        let asset = &mut self.assets[pair.base.as_usize()];
        if let Some(lacking) = asset.traded(base.to_e8(), price, moved, fill.at) {
            self.explained(pair.base, Exact::from_e8(lacking.amount));
            self.lacked(pair.base, lacking);
        }
        self.moved_beside(pair.quote, quote, is_locked && side == Side::Buy, fill.at);
        if let Some(asset) = self.third_asset(instrument, fill) {
            self.moved_beside(asset, -Exact::from_e8(fill.fee), false, fill.at);
        }
    }

    /// The first asset whose positions are not what is held above the baseline, deposits and fees in third assets left
    /// out, and by how much they are less: something was booked into one and not into the other. `None` when all agree,
    /// and before [`Portfolio::start`].
    #[cold]
    pub fn disagreement(&self) -> Option<(AssetIndex, E8)> {
        if !self.is_started {
            return None;
        }
        (0..self.lines.len()).find_map(|position| {
            let base = self.pair(position).base;
            if base == self.account_currency || !self.is_first_of_base(position) {
                return None;
            }
            let positions: i64 = (position..self.lines.len())
                .filter(|other| self.pair(*other).base == base)
                .map(|other| self.lines[other].position.qty().0)
                .sum();
            let asset = &self.assets[base.as_usize()];
            let baseline = asset.baseline.expect("every asset has one by now");
            let by = asset.holding.total().0 - baseline.0 - asset.outside.0 - positions;
            (by != 0).then_some((base, E8(by)))
        })
    }

    /// Books a fill into its position.
    fn book(&mut self, instrument: InstrumentIndex, side: Side, fill: &Fill) -> Booked {
        let Terms {
            price,
            qty,
            base_fee,
            quote_fee,
        } = self.terms(instrument, side, fill);
        if let Some(asset) = self.third_asset(instrument, fill) {
            self.third_fee(instrument, asset, fill.fee);
        }
        let line = &mut self.lines[instrument.as_usize()];
        let made = line.position.fill(qty, price, base_fee, quote_fee);
        self.made(instrument, &made);
        self.revalue_line(instrument);
        Booked::Counted {
            realized: made.realized.to_e8(),
        }
    }

    fn terms(&self, instrument: InstrumentIndex, side: Side, fill: &Fill) -> Terms {
        let pair = self.conversion.pair(instrument);
        let fee_in = |asset| {
            if fill.fee_asset == Some(asset) {
                fill.fee
            } else {
                E8(0)
            }
        };
        Terms {
            price: Price::new(2 * fill.price.0, pair.tick),
            qty: E8(side.sign() * fill.qty.0 * pair.lot.0),
            base_fee: fee_in(pair.base),
            quote_fee: fee_in(pair.quote),
        }
    }

    /// The asset of a fill's fee, if it is neither base nor quote.
    fn third_asset(&self, instrument: InstrumentIndex, fill: &Fill) -> Option<AssetIndex> {
        let pair = self.conversion.pair(instrument);
        fill.fee_asset
            .filter(|&asset| asset != pair.base && asset != pair.quote)
    }

    /// A deposit, or a withdrawal below zero, that the venue announced.
    pub fn flow(&mut self, asset: AssetIndex, delta: E8, at: VenueMillis) {
        let delta = Exact::from_e8(delta);
        let held = &mut self.assets[asset.as_usize()];
        match held.holding.add(delta, Exact::ZERO, at) {
            Moved::Total => {
                held.outside.0 = held.outside.0.saturating_add(delta.to_e8().0);
                self.flowed(asset, delta);
                self.revalue_asset(asset);
            }
            // It was taken for a flow when the amount that holds it differed, and is one.
            Moved::Explained => {
                let _ = self.assets[asset.as_usize()]
                    .unexplained
                    .take(delta.to_e8());
            }
            Moved::Contained => {}
        }
    }

    /// Somebody outside of trading locked `delta` of an asset at `at`, or unlocked it below zero. The total stays.
    pub fn locked_outside(&mut self, asset: AssetIndex, delta: E8, at: VenueMillis) {
        self.assets[asset.as_usize()].holding.lock(delta, at);
    }

    /// Tells the touch of a live book; the mark is its middle. Returns whether it moved.
    ///
    /// # Panics
    /// When the prices are not above zero.
    pub fn mark(&mut self, instrument: InstrumentIndex, bid: Ticks, ask: Ticks) -> bool {
        let mark = Price::new(bid.0 + ask.0, self.conversion.pair(instrument).tick);
        let before = self.conversion.set_mark(instrument, mark);
        if before == Some(mark) {
            return false;
        }
        let is_first = before.is_none();
        if is_first {
            self.lines[instrument.as_usize()].position.price(mark);
        }
        for index in 0..self.conversion.dependents(instrument).assets.len() {
            let asset = self.conversion.dependents(instrument).assets[index];
            self.revalue_asset(asset);
            if is_first {
                self.value_late(asset);
            }
        }
        for index in 0..self.conversion.dependents(instrument).positions.len() {
            let other = self.conversion.dependents(instrument).positions[index];
            if is_first {
                self.made(other, &Made::NOTHING);
            }
            self.revalue_line(other);
        }
        true
    }

    /// Rolls the UTC day and follows the peak; often enough for the figures that need it, at least after midnight.
    /// Returns whether a day began.
    pub fn observe(&mut self, now_unix_ms: u64) -> bool {
        let equity = self.exact_equity();
        let begins = self.day.observe(now_unix_ms, equity);
        if begins {
            for asset in &mut self.assets {
                asset.unexplained = Unexplained::default();
            }
        }
        begins
    }

    /// Takes over what an earlier run saved. Before the first [`Portfolio::observe`].
    pub fn restore(&mut self, restored: Restored) {
        self.day.restore(&restored);
    }

    /// What to save; `None` while the day's equity is not known.
    pub fn to_save(&self) -> Option<Restored> {
        self.day.to_save()
    }
}

#[cfg(test)]
mod tests;
