//! Mean, deviation and quantile.
//!
//! Owns: the estimators that every other figure stands on. Does not: know what the numbers mean.

/// Arithmetic mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation with `ddof` degrees of freedom taken off; NaN when not more than that are there.
/// Equal values deviate by exactly zero, whatever the rounding of their mean.
pub fn deviation(values: &[f64], ddof: usize) -> f64 {
    if values.len() <= ddof {
        return f64::NAN;
    }
    if values.iter().all(|value| *value == values[0]) {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - ddof) as f64).sqrt()
}

/// The values in ascending order.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Quantile by linear interpolation between order statistics (Hyndman and Fan 1996, type 7), of values
/// in ascending order, `fraction` in `[0, 1]`; NaN of nothing.
pub fn quantile(ascending: &[f64], fraction: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = last as f64 * fraction;
    let below = position.floor();
    let index = below as usize;
    let low = ascending[index];
    let high = ascending[(index + 1).min(last)];
    low + (high - low) * (position - below)
}
