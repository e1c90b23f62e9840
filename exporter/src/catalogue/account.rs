//! Analytics of the account: definitions in `analytics.rs`. Fractions become percent here.

use super::{Metric, Sources, gauge};
use crate::analytics::Analysis;
use crate::exposition::Samples;

/// What a whole is in the names that end in percent or count by it.
const PERCENT: f64 = 100.0;

fn of_account(from: &Sources<'_>, samples: &mut Samples<'_>, value: fn(&Analysis) -> f64) {
    if let Some(analysis) = &from.published.analysis {
        samples.value(&[], value(analysis));
    }
}

/// Risk, performance, exposure.
pub(super) static ACCOUNT: &[Metric] = &[
    gauge(
        "veloz_risk_var_95",
        &[],
        "Historical value at risk of one period at 95 %, in the account currency; NaN below 20 periods.",
        |from, samples| of_account(from, samples, |of| of.figures.var_95 * of.equity),
    ),
    gauge(
        "veloz_risk_var_99",
        &[],
        "Historical value at risk of one period at 99 %, in the account currency; NaN below 100 periods.",
        |from, samples| of_account(from, samples, |of| of.figures.var_99 * of.equity),
    ),
    gauge(
        "veloz_risk_expected_shortfall_95",
        &[],
        "Mean loss of the periods beyond the 95 % value at risk, in the account currency; NaN below 20 periods.",
        |from, samples| of_account(from, samples, |of| of.figures.shortfall_95 * of.equity),
    ),
    gauge(
        "veloz_risk_period_seconds",
        &[],
        "Length of the periods whose returns value at risk, shortfall and the ratios are made of.",
        |from, samples| of_account(from, samples, |of| of.period_s as f64),
    ),
    gauge(
        "veloz_risk_max_drawdown",
        &[],
        "Largest fall of the equity from a peak, in percent of the peak.",
        |from, samples| of_account(from, samples, |of| of.figures.max_drawdown * PERCENT),
    ),
    gauge(
        "veloz_risk_current_drawdown",
        &[],
        "Present fall of the equity from its peak, in percent of the peak.",
        |from, samples| of_account(from, samples, |of| of.figures.current_drawdown * PERCENT),
    ),
    gauge(
        "veloz_risk_sharpe_ratio",
        &[],
        "Annualised Sharpe ratio of the period returns; NaN while they do not deviate.",
        |from, samples| of_account(from, samples, |of| of.figures.sharpe),
    ),
    gauge(
        "veloz_risk_sortino_ratio",
        &[],
        "Annualised Sortino ratio of the period returns; NaN without a loss.",
        |from, samples| of_account(from, samples, |of| of.figures.sortino),
    ),
    gauge(
        "veloz_risk_calmar_ratio",
        &[],
        "Annual growth over the largest drawdown; NaN without a drawdown.",
        |from, samples| of_account(from, samples, |of| of.figures.calmar),
    ),
    gauge(
        "veloz_risk_win_rate",
        &[],
        "Periods with a gain among those that were not flat, in percent; NaN before the first.",
        |from, samples| of_account(from, samples, |of| of.figures.win_rate * PERCENT),
    ),
    gauge(
        "veloz_risk_profit_factor",
        &[],
        "Gains over losses of the period returns; +Inf without a loss, 0 with neither.",
        |from, samples| of_account(from, samples, |of| of.figures.profit_factor),
    ),
    gauge(
        "veloz_exposure_gross",
        &[],
        "Sum of the sizes of all positions, in the account currency.",
        |from, samples| of_account(from, samples, |of| of.exposure.gross),
    ),
    gauge(
        "veloz_exposure_net",
        &[],
        "Long minus short positions, in the account currency.",
        |from, samples| of_account(from, samples, |of| of.exposure.net),
    ),
    gauge(
        "veloz_exposure_long",
        &[],
        "Sum of long positions, in the account currency.",
        |from, samples| of_account(from, samples, |of| of.exposure.long),
    ),
    gauge(
        "veloz_exposure_short",
        &[],
        "Sum of short positions as a positive number, in the account currency.",
        |from, samples| of_account(from, samples, |of| of.exposure.short),
    ),
    gauge(
        "veloz_exposure_leverage_ratio",
        &[],
        "Gross exposure over equity; NaN without equity.",
        |from, samples| of_account(from, samples, |of| of.exposure.leverage),
    ),
    gauge(
        "veloz_concentration_largest_pct",
        &[],
        "The largest position in percent of the gross exposure.",
        |from, samples| of_account(from, samples, |of| of.concentration.largest * PERCENT),
    ),
    gauge(
        "veloz_concentration_top3_pct",
        &[],
        "The three largest positions in percent of the gross exposure.",
        |from, samples| of_account(from, samples, |of| of.concentration.top_3 * PERCENT),
    ),
    gauge(
        "veloz_concentration_hhi",
        &[],
        "Herfindahl-Hirschman index of the positions, 0 to 1.",
        |from, samples| of_account(from, samples, |of| of.concentration.hhi),
    ),
    gauge(
        "veloz_concentration_position_count",
        &[],
        "Open positions.",
        |from, samples| of_account(from, samples, |of| of.concentration.positions as f64),
    ),
];
