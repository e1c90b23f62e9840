//! The track record: marks of the account's equity, turned into period returns and drawdowns.
//!
//! Owns: [`EquityRecorder`], and [`EquityBin`], which is what outlives a restart. Does not: read a
//! clock, write files, know orders or days.
//!
//! The record is an index that starts at one and follows the equity, except that money paid in or taken
//! out (a *flow*) leaves it where it is: a deposit is no gain and a withdrawal no drawdown. A period
//! ends at a whole multiple of its length in Unix time; its close is the last mark in it. The first
//! period is cut short, so its close is where the returns start. A period without a mark has no
//! return: the next one spans the gap. Drawdowns follow every mark, not only the closes.
//!
//! Invariants: at most [`EQUITY_BINS_MAX`] closes are held, the oldest goes first, while peak and
//! largest drawdown remember it; a clock that goes back ends no period; after a total loss the record
//! starts anew with the next money.

use super::{Figures, performance};
use std::collections::VecDeque;
use veloz_core::units::E8;

/// Closes that are held: ten years of days, or an hour of seconds. More would make the figures slow
/// rather than better.
pub const EQUITY_BINS_MAX: usize = 3_660;

/// Every period counts: crypto trades around the clock.
const SECONDS_PER_YEAR: f64 = 365.0 * 86_400.0;

/// Follows one account's equity.
#[derive(Clone, Debug)]
pub struct EquityRecorder {
    period_s: u64,
    track: Option<Track>,
    /// Of the closes as they stand; only drawdowns change between two of them.
    at_close: Figures,
}

#[derive(Clone, Debug)]
struct Track {
    closes: VecDeque<f64>,
    /// The open period: its start in Unix time over its length.
    period: u64,
    index: f64,
    peak: f64,
    max_drawdown: f64,
    /// The last mark, with the flows since.
    equity: E8,
}

/// Equity at the end of one period: what outlives a restart, and what a record is made from again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EquityBin {
    /// Which period: Unix seconds divided by its length.
    pub index: u64,
    /// Equity in the account currency.
    pub equity: E8,
    /// Paid in minus taken out during the period.
    pub flows: E8,
}

impl EquityRecorder {
    /// An empty record of periods of `period_s` seconds.
    ///
    /// # Panics
    /// When `period_s` is zero.
    pub fn new(period_s: u64) -> Self {
        assert!(period_s > 0, "a period has a length");
        Self {
            period_s,
            track: None,
            at_close: Figures::UNKNOWN,
        }
    }

    /// Goes on after these periods, oldest first; one that is not younger than the one before is left out. What
    /// the equity did inside a period is not in them, so drawdowns are those of the closes.
    ///
    /// # Panics
    /// When `period_s` is zero.
    pub fn resumed(period_s: u64, bins: impl IntoIterator<Item = EquityBin>) -> Self {
        let mut recorder = Self::new(period_s);
        for bin in bins {
            let is_older = recorder
                .track
                .as_ref()
                .is_some_and(|track| bin.index <= track.period);
            if is_older {
                continue;
            }
            recorder.flow(bin.flows);
            recorder.mark(
                bin.index.saturating_mul(period_s).saturating_mul(1_000),
                bin.equity,
            );
        }
        recorder
    }

    /// The account is worth `equity` in its currency at `unix_ms`.
    pub fn mark(&mut self, unix_ms: u64, equity: E8) {
        let period = unix_ms / 1_000 / self.period_s;
        let Some(track) = self.track.as_mut().filter(|track| !track.is_over(equity)) else {
            if equity.0 > 0 {
                self.track = Some(Track::starting(period, equity));
                self.judge_closes();
            }
            return;
        };
        let closed = period > track.period;
        if closed {
            track.period = period;
            if track.closes.len() == EQUITY_BINS_MAX {
                track.closes.pop_front();
            }
            track.closes.push_back(track.index);
        }
        track.mark(equity);
        if closed {
            self.judge_closes();
        }
    }

    /// `amount` came into the account (or left it, when negative) without a trade, before the next mark.
    pub fn flow(&mut self, amount: E8) {
        if let Some(track) = &mut self.track {
            track.equity = E8(track.equity.0.saturating_add(amount.0));
        }
    }

    /// The last mark, with the flows since; `None` before the first.
    pub fn equity(&self) -> Option<E8> {
        self.track.as_ref().map(|track| track.equity)
    }

    /// Length of a period in seconds.
    pub fn period_s(&self) -> u64 {
        self.period_s
    }

    /// Closed periods from the second on, as returns.
    pub fn returns(&self) -> Vec<f64> {
        let Some(track) = &self.track else {
            return Vec::new();
        };
        let later = track.closes.iter().skip(1);
        track
            .closes
            .iter()
            .zip(later)
            .map(|(before, after)| after / before - 1.0)
            .collect()
    }

    /// All figures now.
    pub fn figures(&self) -> Figures {
        let Some(track) = &self.track else {
            return Figures::UNKNOWN;
        };
        Figures {
            max_drawdown: track.max_drawdown,
            current_drawdown: 1.0 - track.index / track.peak,
            calmar: performance::calmar(self.at_close.cagr, track.max_drawdown),
            ..self.at_close
        }
    }

    fn judge_closes(&mut self) {
        let per_year = SECONDS_PER_YEAR / self.period_s as f64;
        self.at_close = Figures::of(&self.returns(), per_year, f64::NAN, f64::NAN);
    }
}

impl Track {
    fn starting(period: u64, equity: E8) -> Self {
        Self {
            closes: VecDeque::new(),
            period,
            index: 1.0,
            peak: 1.0,
            max_drawdown: 0.0,
            equity,
        }
    }

    /// Everything was lost, and there is money again.
    fn is_over(&self, equity: E8) -> bool {
        self.index == 0.0 && equity.0 > 0
    }

    fn mark(&mut self, equity: E8) {
        // Without money before there is nothing that could have gained or lost.
        if self.equity.0 > 0 {
            self.index *= equity.0.max(0) as f64 / self.equity.0 as f64;
        }
        self.equity = equity;
        self.peak = self.peak.max(self.index);
        self.max_drawdown = self.max_drawdown.max(1.0 - self.index / self.peak);
    }
}
