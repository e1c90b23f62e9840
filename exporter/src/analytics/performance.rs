//! How well it went: return against risk, drawdown, wins against losses.
//!
//! Owns: the ratios, [`Outcomes`]. Does not: know what a period is; who calls says how many make a
//! year. Rates (`risk_free`, `minimum`) are those of one period.

use super::moments::{deviation, mean};

/// Mean excess return over its deviation (one degree of freedom off), annualised. NaN when the returns
/// do not deviate.
pub fn sharpe(returns: &[f64], risk_free: f64, periods_per_year: f64) -> f64 {
    let excess: Vec<f64> = returns.iter().map(|value| value - risk_free).collect();
    ratio(mean(&excess), deviation(&excess, 1)) * periods_per_year.sqrt()
}

/// Mean return above `minimum` over the downside risk, annualised. NaN when no return is below.
pub fn sortino(returns: &[f64], minimum: f64, periods_per_year: f64) -> f64 {
    let excess: Vec<f64> = returns.iter().map(|value| value - minimum).collect();
    ratio(mean(&excess), downside(&excess)) * periods_per_year.sqrt()
}

/// Root of the mean square of the returns below `minimum`, over all observations, annualised.
pub fn downside_risk(returns: &[f64], minimum: f64, periods_per_year: f64) -> f64 {
    let excess: Vec<f64> = returns.iter().map(|value| value - minimum).collect();
    downside(&excess) * periods_per_year.sqrt()
}

fn downside(excess: &[f64]) -> f64 {
    let squares: f64 = excess.iter().map(|value| value.min(0.0).powi(2)).sum();
    (squares / excess.len() as f64).sqrt()
}

/// Compound annual growth rate; NaN of nothing and of a record that fell below nothing.
pub fn cagr(returns: &[f64], periods_per_year: f64) -> f64 {
    let growth: f64 = returns.iter().map(|value| 1.0 + value).product();
    if returns.is_empty() || growth < 0.0 {
        return f64::NAN;
    }
    growth.powf(periods_per_year / returns.len() as f64) - 1.0
}

/// Growth over the largest drawdown, both as fractions; NaN without a drawdown.
pub fn calmar(cagr: f64, max_drawdown: f64) -> f64 {
    ratio(cagr, max_drawdown)
}

/// Largest fall from a peak as a fraction of the peak, of equity that starts at one; NaN of nothing.
pub fn max_drawdown(returns: &[f64]) -> f64 {
    drawdowns(returns).reduce(f64::max).unwrap_or(f64::NAN)
}

/// Fall from the peak at the end as a fraction of the peak; NaN of nothing.
pub fn current_drawdown(returns: &[f64]) -> f64 {
    drawdowns(returns).last().unwrap_or(f64::NAN)
}

fn drawdowns(returns: &[f64]) -> impl Iterator<Item = f64> {
    let (mut equity, mut peak) = (1.0, 1.0);
    returns.iter().map(move |value| {
        equity *= 1.0 + value;
        peak = f64::max(peak, equity);
        1.0 - equity / peak
    })
}

/// `above / below`, and NaN where nothing is below.
fn ratio(above: f64, below: f64) -> f64 {
    if below == 0.0 {
        f64::NAN
    } else {
        above / below
    }
}

/// Gains and losses added up, one outcome (a return, or the profit of a trade) at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcomes {
    gains: u64,
    losses: u64,
    gained: f64,
    lost: f64,
}

impl Outcomes {
    /// All of these.
    pub fn of(outcomes: &[f64]) -> Self {
        let mut sum = Self::default();
        for &outcome in outcomes {
            sum.add(outcome);
        }
        sum
    }

    /// One more. An outcome of zero is neither.
    pub fn add(&mut self, outcome: f64) {
        if outcome > 0.0 {
            self.gains += 1;
            self.gained += outcome;
        } else if outcome < 0.0 {
            self.losses += 1;
            self.lost -= outcome;
        }
    }

    /// Gains among all that were not zero, as a fraction; NaN while there are none.
    pub fn win_rate(&self) -> f64 {
        self.gains as f64 / (self.gains + self.losses) as f64
    }

    /// Gains over losses: infinite without a loss, and zero while there is neither.
    pub fn profit_factor(&self) -> f64 {
        if self.gains + self.losses == 0 {
            0.0
        } else {
            self.gained / self.lost
        }
    }
}
