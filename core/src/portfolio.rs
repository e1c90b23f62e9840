//! What the account holds, what it is worth, and what trading made of it.
//!
//! Owns: balances, positions, their valuation in the account currency, the day's and the peak's equity. Does not: know
//! orders, decide anything, or read a clock.

use crate::instrument::{AssetIndex, Assets, InstrumentIndex, Instruments};
use crate::order::{Balance, Fill, Side};
use crate::units::{E8, Ticks, VenueMillis};

/// What the portfolio is told at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortfolioConfig {
    /// In which asset everything is valued.
    pub account_currency: AssetIndex,
    /// What of an asset is held beside trading and is no position; zero for assets that are not listed.
    pub baselines: Vec<(AssetIndex, E8)>,
}

/// An asset cannot be valued in the account currency through the instruments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asset} has no conversion to {account_currency} through the configured instruments")]
pub struct NoConversion {
    /// The asset.
    pub asset: crate::instrument::Symbol,
    /// The account currency.
    pub account_currency: crate::instrument::Symbol,
}

/// What telling a balance did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalanceChange {
    /// It is older than what is known of the asset; nothing changed.
    Older,
    /// It is what our own running total says.
    Agreed,
    /// It differs by no more than the venue's rounding of our fills; it was taken.
    Rounded {
        /// The venue's amount minus ours.
        by: E8,
    },
    /// It differs: a deposit, a trade by hand, or a disagreement to count. It was taken, and counts as a flow.
    Differed {
        /// The venue's amount minus ours.
        by: E8,
    },
}

/// What telling a fill did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booked {
    /// The balances at start contain it already; nothing changed.
    Contained,
    /// It is in the position now.
    Counted {
        /// What it realized before fees, in the quote asset, rounded down.
        realized: E8,
    },
}

/// What one instrument's trading holds and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    qty: E8,
}

impl Position {
    /// How much of the base asset; below zero when short of the baseline.
    pub fn qty(&self) -> E8 {
        self.qty
    }
    /// Average price of what is held, in quote per whole base, rounded down; `None` when nothing is.
    pub fn average_entry(&self) -> Option<E8> {
        todo!()
    }
    /// Gains minus losses of what was closed, before fees, in the quote asset.
    pub fn realized(&self) -> E8 {
        todo!()
    }
    /// Fees in base and quote, in the quote asset.
    pub fn fees(&self) -> E8 {
        todo!()
    }
}

/// Figures of one instrument, or of all, in the account currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Gains minus losses of what was closed, before fees, each valued when it was made.
    pub realized: E8,
    /// The gains alone; never falls.
    pub realized_profit: E8,
    /// The losses alone, as a positive amount; never falls.
    pub realized_loss: E8,
    /// Fees, each valued when it was paid; never falls.
    pub fees: E8,
    /// What closing at the mark would realize.
    pub unrealized: E8,
    /// Fills that reduced a position with a gain.
    pub won: u64,
    /// Fills that reduced a position with a loss.
    pub lost: u64,
    /// Fills that reduced a position with neither.
    pub even: u64,
}

/// Position values at the mark, in the account currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Long positions.
    pub long: E8,
    /// Short positions, as a positive amount.
    pub short: E8,
    /// Positions that are in neither sum because nothing values them yet.
    pub unmarked: u32,
}

impl Exposure {
    /// Long plus short.
    pub fn gross(&self) -> E8 {
        todo!()
    }
    /// Long minus short.
    pub fn net(&self) -> E8 {
        todo!()
    }
}

/// What must survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Days since the Unix epoch, UTC.
    pub day: u64,
    /// Equity when that day began, or when it was first known in it.
    pub day_start_equity: E8,
    /// Highest equity so far, moved by deposits and withdrawals as equity is.
    pub peak_equity: E8,
    /// Deposits minus withdrawals of that day.
    pub flows: E8,
}

/// The portfolio.
pub struct Portfolio {}

impl Portfolio {
    /// A portfolio without balances.
    ///
    /// # Errors
    /// [`NoConversion`] for the first base or quote that cannot be valued.
    pub fn new(
        instruments: &Instruments,
        assets: &Assets,
        config: PortfolioConfig,
    ) -> Result<Self, NoConversion> {
        let _ = (instruments, assets, config);
        todo!()
    }

    /// Tells the venue's absolute amounts of one asset.
    pub fn balance(&mut self, balance: Balance, as_of: VenueMillis) -> BalanceChange {
        let _ = (balance, as_of);
        todo!()
    }

    /// The first account answer has been told by [`Portfolio::balance`]: what is above the baselines becomes the initial
    /// positions, which enter at their first mark. Fills up to `as_of` are in them. Before the first fill, once.
    pub fn start(&mut self, as_of: VenueMillis) {
        let _ = as_of;
        todo!()
    }

    /// Whether [`Portfolio::start`] was called.
    pub fn is_started(&self) -> bool {
        todo!()
    }

    /// Books a fill. Whether it is new is the order machine's business.
    pub fn fill(&mut self, instrument: InstrumentIndex, side: Side, fill: &Fill) -> Booked {
        let _ = (instrument, side, fill);
        todo!()
    }

    /// A deposit (positive) or withdrawal (negative) that the venue announced.
    pub fn flow(&mut self, asset: AssetIndex, delta: E8, at: VenueMillis) {
        let _ = (asset, delta, at);
        todo!()
    }

    /// Tells the touch of a live book; the mark is its middle.
    pub fn mark(&mut self, instrument: InstrumentIndex, bid: Ticks, ask: Ticks) {
        let _ = (instrument, bid, ask);
        todo!()
    }

    /// Rolls the UTC day and follows the peak. Returns whether a day began.
    pub fn observe(&mut self, now_unix_ms: u64) -> bool {
        let _ = now_unix_ms;
        todo!()
    }

    /// Takes over what an earlier run saved.
    pub fn restore(&mut self, restored: Restored) {
        let _ = restored;
        todo!()
    }

    /// What to save; `None` while equity was never known.
    pub fn to_save(&self) -> Option<Restored> {
        todo!()
    }

    /// Free plus locked.
    pub fn total(&self, asset: AssetIndex) -> E8 {
        let _ = asset;
        todo!()
    }

    /// Free to use, as the venue told and our fills moved it.
    pub fn free(&self, asset: AssetIndex) -> E8 {
        let _ = asset;
        todo!()
    }

    /// Bound in open orders, as the venue told and our fills moved it.
    pub fn locked(&self, asset: AssetIndex) -> E8 {
        let _ = asset;
        todo!()
    }

    /// What a new order may use while open orders of ours reserve `reserved`; at least zero.
    pub fn available(&self, asset: AssetIndex, reserved: E8) -> E8 {
        let _ = (asset, reserved);
        todo!()
    }

    /// The position of an instrument, in its own assets.
    pub fn position(&self, instrument: InstrumentIndex) -> &Position {
        let _ = instrument;
        todo!()
    }

    /// The middle of the last touch, in half ticks.
    pub fn mark_half_ticks(&self, instrument: InstrumentIndex) -> Option<i64> {
        let _ = instrument;
        todo!()
    }

    /// What closing at the mark would realize, in the quote asset.
    pub fn unrealized(&self, instrument: InstrumentIndex) -> Option<E8> {
        let _ = instrument;
        todo!()
    }

    /// The position's value at the mark in the account currency, signed; `None` while something on the way to it has no
    /// mark, zero when there is no position.
    pub fn position_value(&self, instrument: InstrumentIndex) -> Option<E8> {
        let _ = instrument;
        todo!()
    }

    /// An amount of an asset in the account currency at the marks, rounded down; `None` while a mark is missing.
    pub fn in_account_currency(&self, asset: AssetIndex, amount: E8) -> Option<E8> {
        let _ = (asset, amount);
        todo!()
    }

    /// One instrument's figures in the account currency.
    pub fn figures(&self, instrument: InstrumentIndex) -> Figures {
        let _ = instrument;
        todo!()
    }

    /// All instruments' figures together, and fees in other assets.
    pub fn figures_total(&self) -> Figures {
        todo!()
    }

    /// Position values by direction.
    pub fn exposure(&self) -> Exposure {
        todo!()
    }

    /// All assets with a conversion, baselines included, at the marks, in the account currency; `None` while one that is
    /// held has no mark.
    pub fn equity(&self) -> Option<E8> {
        todo!()
    }

    /// Equity now minus equity at the start of the day, without deposits and withdrawals; `None` while unknown.
    pub fn day_change(&self) -> Option<E8> {
        todo!()
    }

    /// How far equity is below its peak, in basis points of the peak, rounded down; zero while unknown.
    pub fn drawdown_bps(&self) -> u32 {
        todo!()
    }

    /// Fees of an asset that nothing could value yet, in that asset.
    pub fn fees_unvalued(&self, asset: AssetIndex) -> E8 {
        let _ = asset;
        todo!()
    }
}
