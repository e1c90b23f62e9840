//! Risk and performance figures from the account's equity and positions.
//!
//! Owns: the definitions (`analytics/`), and [`EquityRecorder`], which turns marks of the equity into
//! period returns. Does not: read a clock, know venues or orders, or decide anything: limits are the
//! core's, in integers. These figures are statistics for people, so they are floats.
//!
//! | module | what |
//! | --- | --- |
//! | `analytics/moments.rs` | mean, deviation, quantile |
//! | `analytics/tail.rs` | value at risk and expected shortfall |
//! | `analytics/performance.rs` | Sharpe, Sortino, CAGR, Calmar, drawdown, wins and losses |
//! | `analytics/exposure.rs` | exposure, leverage, concentration |
//! | `analytics/equity.rs` | the recorder |
//! | `analytics/feed.rs` | what the core publishes of the account, to the recorder |
//!
//! Invariants: what is not defined (too few returns, no deviation, no equity) is NaN and never 0; a
//! loss is a positive number wherever its name says loss, risk or drawdown; fractions are fractions,
//! and only the metrics page shows percent.

#![expect(
    clippy::float_cmp,
    reason = "zero, one and infinity are meant exactly where they are compared with"
)]

pub mod equity;
pub mod exposure;
pub mod feed;
pub mod moments;
pub mod performance;
pub mod tail;

pub use equity::{EquityBin, EquityRecorder};
pub use exposure::{Concentration, Exposure};
pub use feed::{EquityFeed, FlowMeter};
pub use performance::Outcomes;
pub use tail::Confidence;

use veloz_core::units::{E8, E8_ONE};

/// Everything that is said about a track record, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Period returns that it stands on.
    pub returns: usize,
    /// Historical value at risk of one period, as a fraction of the equity.
    pub var_95: f64,
    /// The same at 99 %.
    pub var_99: f64,
    /// Mean loss of the periods beyond `var_95`, as a fraction of the equity.
    pub shortfall_95: f64,
    /// The same at 99 %.
    pub shortfall_99: f64,
    /// Value at risk of one period if returns were normal, as a fraction of the equity.
    pub parametric_var_95: f64,
    /// The same at 99 %.
    pub parametric_var_99: f64,
    /// Annualised Sharpe ratio.
    pub sharpe: f64,
    /// Annualised Sortino ratio.
    pub sortino: f64,
    /// Compound annual growth rate, as a fraction.
    pub cagr: f64,
    /// CAGR over the largest drawdown.
    pub calmar: f64,
    /// Largest fall from a peak, as a fraction of the peak.
    pub max_drawdown: f64,
    /// Present fall from the peak, as a fraction of the peak.
    pub current_drawdown: f64,
    /// Periods with a gain among those that were not flat, as a fraction.
    pub win_rate: f64,
    /// Gains over losses; infinite without a loss.
    pub profit_factor: f64,
}

impl Figures {
    /// Nothing was recorded yet.
    pub const UNKNOWN: Self = Self {
        returns: 0,
        var_95: f64::NAN,
        var_99: f64::NAN,
        shortfall_95: f64::NAN,
        shortfall_99: f64::NAN,
        parametric_var_95: f64::NAN,
        parametric_var_99: f64::NAN,
        sharpe: f64::NAN,
        sortino: f64::NAN,
        cagr: f64::NAN,
        calmar: f64::NAN,
        max_drawdown: f64::NAN,
        current_drawdown: f64::NAN,
        win_rate: f64::NAN,
        profit_factor: f64::NAN,
    };

    /// The figures of `returns`, of which `periods_per_year` make a year, and of drawdowns that were
    /// followed apart. Value at risk and shortfall stay NaN until there are enough returns for one of
    /// them to lie beyond: 20 at 95 %, 100 at 99 %.
    pub fn of(
        returns: &[f64],
        periods_per_year: f64,
        max_drawdown: f64,
        current_drawdown: f64,
    ) -> Self {
        let sorted = moments::sorted(returns);
        let at = |confidence: Confidence, figure: fn(&[f64], Confidence) -> f64| {
            if returns.len() < confidence.returns_min() {
                f64::NAN
            } else {
                figure(&sorted, confidence)
            }
        };
        let outcomes = Outcomes::of(returns);
        let cagr = performance::cagr(returns, periods_per_year);
        Self {
            returns: returns.len(),
            var_95: at(Confidence::P95, tail::historical_var),
            var_99: at(Confidence::P99, tail::historical_var),
            shortfall_95: at(Confidence::P95, tail::expected_shortfall),
            shortfall_99: at(Confidence::P99, tail::expected_shortfall),
            parametric_var_95: tail::parametric_var(returns, Confidence::P95),
            parametric_var_99: tail::parametric_var(returns, Confidence::P99),
            sharpe: performance::sharpe(returns, 0.0, periods_per_year),
            sortino: performance::sortino(returns, 0.0, periods_per_year),
            cagr,
            calmar: performance::calmar(cagr, max_drawdown),
            max_drawdown,
            current_drawdown,
            win_rate: outcomes.win_rate(),
            profit_factor: outcomes.profit_factor(),
        }
    }
}

/// An account as one moment shows it: the figures, and the amounts that they are fractions of. Amounts
/// are in the account currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Analysis {
    /// Of the track record.
    pub figures: Figures,
    /// Length of the periods that the figures are made of, in seconds.
    pub period_s: u64,
    /// What the account is worth.
    pub equity: f64,
    /// Of the open positions.
    pub exposure: Exposure,
    /// Of the open positions.
    pub concentration: Concentration,
}

impl Analysis {
    /// Of a recorder and the positions at their marks; `None` before the first mark.
    pub fn of(recorder: &EquityRecorder, notionals: &[f64]) -> Option<Self> {
        let whole = |amount: E8| amount.0 as f64 / E8_ONE as f64;
        let equity = whole(recorder.equity()?);
        Some(Self {
            figures: recorder.figures(),
            period_s: recorder.period_s(),
            equity,
            exposure: Exposure::of(notionals, equity),
            concentration: Concentration::of(notionals),
        })
    }
}

#[cfg(test)]
mod tests;
