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
//! [`Portfolio::start`], then book fills: those that the first amounts contain are recognised by their time. A contained
//! fill that an earlier run booked is nothing new. One that no run booked, because it happened while none was there, is
//! taken out of the initial position and booked as what it was ([`Missed`], [`Portfolio::late`]): positions are the same,
//! and what it realized counts. One of the very millisecond of the first amounts is taken for contained until an amount
//! proves that it was not; then what was there is corrected (`edge`).
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
mod valuation;

pub use conversion::NoConversion;
pub use day::Restored;
pub use figures::{Exposure, Figures};
pub use holding::BalanceChange;
pub use position::Position;

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

    /// Books a fill that [`Portfolio::fill`] called contained and that no earlier run booked.
    pub fn late(&mut self, instrument: InstrumentIndex, side: Side, fill: &Fill) -> Booked {
        self.rewind(instrument, side, fill);
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

    /// The first amount of an asset lacks a fill that was taken for contained in it: what was there at the start is
    /// that much more, and the difference came from no outside.
    #[cold]
    fn lacked(&mut self, asset: AssetIndex, lacking: Lacking) {
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
    fn is_contained(&self, instrument: InstrumentIndex, fill: &Fill) -> bool {
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
    fn is_first_of_base(&self, position: usize) -> bool {
        let base = self.pair(position).base;
        (0..position).all(|earlier| self.pair(earlier).base != base)
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

/// What there is to read.
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

#[cfg(test)]
mod tests;
