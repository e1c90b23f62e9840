//! How much stands in the market, and how it is spread.
//!
//! Owns: [`Exposure`], [`Concentration`]. Does not: mark positions. A notional is quantity times mark
//! price in the account currency, negative for a short position; one of zero is no position.

/// Sums of positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exposure {
    /// Sum of all sizes.
    pub gross: f64,
    /// Long minus short.
    pub net: f64,
    /// Sum of long positions.
    pub long: f64,
    /// Sum of short positions, as a positive number.
    pub short: f64,
    /// Gross over equity; NaN without equity.
    pub leverage: f64,
    /// Size of the net over equity; NaN without equity.
    pub net_leverage: f64,
}

impl Exposure {
    /// Of these positions, against this equity.
    pub fn of(notionals: &[f64], equity: f64) -> Self {
        let sum = |keep: fn(f64) -> f64| notionals.iter().map(|&notional| keep(notional)).sum();
        let long: f64 = sum(|notional| notional.max(0.0));
        let short: f64 = sum(|notional| (-notional).max(0.0));
        let (gross, net) = (long + short, long - short);
        let over_equity = |amount: f64| {
            if equity > 0.0 {
                amount / equity
            } else {
                f64::NAN
            }
        };
        Self {
            gross,
            net,
            long,
            short,
            leverage: over_equity(gross),
            net_leverage: over_equity(net.abs()),
        }
    }
}

/// Positions summed for [`Concentration::top_3`].
const TOP: usize = 3;

/// How few positions hold how much; shares of the gross exposure, `[0, 1]`. All zero without one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Concentration {
    /// Open positions.
    pub positions: usize,
    /// The largest share.
    pub largest: f64,
    /// The three largest together.
    pub top_3: f64,
    /// Herfindahl-Hirschman index: the sum of squared shares, from 1/n to 1.
    pub hhi: f64,
    /// The index moved to `[0, 1]`; NaN for less than two positions.
    pub hhi_normalised: f64,
}

impl Concentration {
    /// Of these positions.
    pub fn of(notionals: &[f64]) -> Self {
        let mut sizes: Vec<f64> = notionals
            .iter()
            .map(|notional| notional.abs())
            .filter(|size| *size > 0.0)
            .collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        let gross: f64 = sizes.iter().sum();
        let count = sizes.len();
        if count == 0 {
            return Self {
                positions: 0,
                largest: 0.0,
                top_3: 0.0,
                hhi: 0.0,
                hhi_normalised: f64::NAN,
            };
        }
        let hhi = sizes.iter().map(|size| (size / gross).powi(2)).sum();
        let equal = 1.0 / count as f64;
        Self {
            positions: count,
            largest: sizes[0] / gross,
            top_3: sizes.iter().take(TOP).sum::<f64>() / gross,
            hhi,
            hhi_normalised: if count > 1 {
                (hhi - equal) / (1.0 - equal)
            } else {
                f64::NAN
            },
        }
    }
}
