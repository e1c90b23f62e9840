//! The bad end of the returns: value at risk and expected shortfall.
//!
//! Owns: [`Confidence`] and the estimators. Does not: refuse few returns; [`super::Figures`] does.
//! Invariant: a loss is positive, so a negative value at risk means a gain even at that quantile.

use super::moments::{deviation, mean, quantile};

/// How sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// 95 %.
    P95,
    /// 99 %.
    P99,
}

impl Confidence {
    /// The part of the returns that lies beyond.
    pub const fn beyond(self) -> f64 {
        match self {
            Self::P95 => 0.05,
            Self::P99 => 0.01,
        }
    }

    /// Returns from which on one of them lies beyond: 1 / (1 - confidence).
    pub const fn returns_min(self) -> usize {
        match self {
            Self::P95 => 20,
            Self::P99 => 100,
        }
    }

    /// Quantile of the standard normal distribution.
    const fn normal_quantile(self) -> f64 {
        match self {
            Self::P95 => 1.644_853_626_951_472_2,
            Self::P99 => 2.326_347_874_040_840_8,
        }
    }

    /// Density of the standard normal distribution at that quantile, over the part beyond.
    fn normal_shortfall(self) -> f64 {
        let quantile = self.normal_quantile();
        (-quantile * quantile / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() / self.beyond()
    }
}

/// Historical value at risk: minus the quantile (type 7) of returns in ascending order.
pub fn historical_var(ascending: &[f64], confidence: Confidence) -> f64 {
    -quantile(ascending, confidence.beyond())
}

/// Expected shortfall (CVaR): minus the mean of the lowest `floor((n - 1) beyond) + 1` returns, in
/// ascending order. These are the returns at or below the order statistic under the type-7 quantile.
pub fn expected_shortfall(ascending: &[f64], confidence: Confidence) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else {
        return f64::NAN;
    };
    let lowest = (last as f64 * confidence.beyond()) as usize + 1;
    -mean(&ascending[..lowest])
}

/// Value at risk of normal returns with this mean and deviation (variance-covariance method).
pub fn parametric_var(returns: &[f64], confidence: Confidence) -> f64 {
    confidence.normal_quantile() * deviation(returns, 1) - mean(returns)
}

/// Expected shortfall of normal returns with this mean and deviation.
pub fn parametric_shortfall(returns: &[f64], confidence: Confidence) -> f64 {
    confidence.normal_shortfall() * deviation(returns, 1) - mean(returns)
}
