//! The track record: marks of the account's equity, turned into period returns and drawdowns.
//!
//! Owns: [`EquityRecorder`], and [`EquityState`], which is what outlives a restart. Does not: read a
//! clock, write files, know orders.
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
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use veloz_core::units::E8;

/// Closes that are held: ten years of days, or an hour of seconds. More would make the figures slow
/// rather than better.
pub const EQUITY_BINS_MAX: usize = 3_660;

/// Every period counts: crypto trades around the clock.
const SECONDS_PER_YEAR: f64 = 365.0 * 86_400.0;

const DAY_MS: u64 = 86_400_000;

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
    /// Days since the Unix epoch.
    day: u64,
    equity_at_midnight: E8,
    flow_of_day: E8,
}

/// A recorder as it is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EquityState {
    /// Length of a period.
    pub period_s: u64,
    /// The index at the ends of the last whole periods, oldest first.
    pub closes: Vec<f64>,
    /// Number of the open period since the Unix epoch.
    pub open_period: u64,
    /// The index now.
    pub index: f64,
    /// Its highest value.
    pub peak: f64,
    /// Largest fall from a peak, as a fraction of the peak.
    pub max_drawdown: f64,
    /// The last equity in 1e-8 of the account currency.
    pub equity_e8: i64,
    /// Days since the Unix epoch.
    pub day: u64,
    /// Equity at that day's start in 1e-8 of the account currency.
    pub equity_at_midnight_e8: i64,
    /// Paid in minus taken out on that day in 1e-8 of the account currency.
    pub flow_of_day_e8: i64,
}

/// Why a saved recorder is not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Returns of different periods do not belong into one distribution.
    #[error("the saved periods are {saved_s} s long, now they are {configured_s} s")]
    OtherPeriod {
        /// Of the saved ones.
        saved_s: u64,
        /// As configured.
        configured_s: u64,
    },
    /// A number that the recorder never writes.
    #[error("the saved {0} cannot be")]
    Damaged(&'static str),
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

    /// Goes on with a saved record.
    ///
    /// # Errors
    /// [`RestoreError`] says why it cannot; then a new one has to be started.
    pub fn restore(state: EquityState, period_s: u64) -> Result<Self, RestoreError> {
        if state.period_s != period_s {
            return Err(RestoreError::OtherPeriod {
                saved_s: state.period_s,
                configured_s: period_s,
            });
        }
        let index = |value: f64| value.is_finite() && value >= 0.0;
        if state.closes.len() > EQUITY_BINS_MAX || !state.closes.iter().all(|close| index(*close)) {
            return Err(RestoreError::Damaged("list of closes"));
        }
        if !index(state.index) || !index(state.peak) || state.peak < state.index {
            return Err(RestoreError::Damaged("index"));
        }
        if !(0.0..=1.0).contains(&state.max_drawdown) {
            return Err(RestoreError::Damaged("drawdown"));
        }
        let mut recorder = Self::new(period_s);
        recorder.track = Some(Track {
            closes: state.closes.into(),
            period: state.open_period,
            index: state.index,
            peak: state.peak,
            max_drawdown: state.max_drawdown,
            equity: E8(state.equity_e8),
            day: state.day,
            equity_at_midnight: E8(state.equity_at_midnight_e8),
            flow_of_day: E8(state.flow_of_day_e8),
        });
        recorder.judge_closes();
        Ok(recorder)
    }

    /// What has to be saved; `None` before the first mark.
    pub fn state(&self) -> Option<EquityState> {
        let track = self.track.as_ref()?;
        Some(EquityState {
            period_s: self.period_s,
            closes: track.closes.iter().copied().collect(),
            open_period: track.period,
            index: track.index,
            peak: track.peak,
            max_drawdown: track.max_drawdown,
            equity_e8: track.equity.0,
            day: track.day,
            equity_at_midnight_e8: track.equity_at_midnight.0,
            flow_of_day_e8: track.flow_of_day.0,
        })
    }

    /// The account is worth `equity` in its currency at `unix_ms`.
    pub fn mark(&mut self, unix_ms: u64, equity: E8) {
        let period = unix_ms / 1_000 / self.period_s;
        let day = unix_ms / DAY_MS;
        let Some(track) = self.track.as_mut().filter(|track| !track.is_over(equity)) else {
            if equity.0 > 0 {
                self.track = Some(Track::starting(period, day, equity));
                self.judge_closes();
            }
            return;
        };
        if day > track.day {
            track.day = day;
            track.equity_at_midnight = track.equity;
            track.flow_of_day = E8(0);
        }
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
            track.flow_of_day = E8(track.flow_of_day.0.saturating_add(amount.0));
        }
    }

    /// The last mark, with the flows since; `None` before the first.
    pub fn equity(&self) -> Option<E8> {
        self.track.as_ref().map(|track| track.equity)
    }

    /// Change of the equity since midnight UTC without flows; `None` before the first mark.
    pub fn change_of_day(&self) -> Option<E8> {
        let track = self.track.as_ref()?;
        Some(E8(track
            .equity
            .0
            .saturating_sub(track.equity_at_midnight.0)
            .saturating_sub(track.flow_of_day.0)))
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
    fn starting(period: u64, day: u64, equity: E8) -> Self {
        Self {
            closes: VecDeque::new(),
            period,
            index: 1.0,
            peak: 1.0,
            max_drawdown: 0.0,
            equity,
            day,
            equity_at_midnight: equity,
            flow_of_day: E8(0),
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
