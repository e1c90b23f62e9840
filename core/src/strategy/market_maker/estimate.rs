//! The signal of the market maker: how much the price moves, and where the two quotes belong.
//!
//! Owns: [`Volatility`] and [`Model`]. Does not: know books, orders or bounds of inventory; what comes
//! out is whole ticks. Floats live in this file alone. Invariant: only `+ - * /` and `libm` are used, so
//! the same updates give the same ticks on every machine.
//!
//! Avellaneda & Stoikov, "High-frequency trading in a limit order book", Quantitative Finance 8 (2008),
//! with a horizon that rolls along instead of the end of a session. With the middle price `s`, the
//! inventory `q` in quotes, the risk aversion `g` per tick and quote, the variance `v` per book update
//! in square ticks, the horizon `t` in book updates, and orders that thin out with the distance `d` from
//! the middle as `exp(-k d)`:
//!
//! - reservation price: `s - q g v t`
//! - half of the spread: `g v t / 2 + ln(1 + g / k) / g`
//!
//! Bid and ask stand half of the spread below and above the reservation price, rounded away from it.

#![expect(
    clippy::disallowed_types,
    reason = "a signal: what leaves this file is whole ticks"
)]

use super::MarketMakerConfig;
use crate::units::{E8, Ticks};

/// Variance of the middle price from one book update to the next, exponentially weighted.
#[derive(Clone, Debug)]
pub(super) struct Volatility {
    /// Weight of the newest change once as many were seen as it stands for.
    weight: f64,
    /// Square ticks per update.
    variance: f64,
    changes: u32,
    twice_mid: Option<i64>,
}

impl Volatility {
    pub(super) fn new(half_life_updates: u32) -> Self {
        Self {
            weight: 1.0 - libm::exp2(-1.0 / f64::from(half_life_updates)),
            variance: 0.0,
            changes: 0,
            twice_mid: None,
        }
    }

    /// One more update of the book. The first ones count alike, so that the start is a plain mean.
    pub(super) fn update(&mut self, twice_mid: i64) {
        if let Some(before) = self.twice_mid.replace(twice_mid) {
            self.changes = self.changes.saturating_add(1);
            let change = (twice_mid - before) as f64 / 2.0;
            let weight = self.weight.max(1.0 / f64::from(self.changes));
            self.variance += weight * (change * change - self.variance);
        }
    }

    /// The book was lost: what the price did meanwhile is no change from one update to the next.
    pub(super) fn interrupt(&mut self) {
        self.twice_mid = None;
    }

    /// Changes seen.
    pub(super) fn changes(&self) -> u32 {
        self.changes
    }
}

/// The parameters in the formulas' units.
#[derive(Clone, Debug)]
pub(super) struct Model {
    aversion: f64,
    horizon: f64,
    /// `ln(1 + g / k) / g`.
    arrival_half_spread: f64,
    half_spread_min: f64,
    offset_max: f64,
}

impl Model {
    pub(super) fn new(config: &MarketMakerConfig) -> Self {
        let aversion = f64::from(config.risk_aversion_e6) / 1e6;
        let decay = f64::from(config.arrival_decay_e3) / 1e3;
        Self {
            aversion,
            horizon: f64::from(config.horizon_updates),
            arrival_half_spread: libm::log1p(aversion / decay) / aversion,
            half_spread_min: f64::from(config.half_spread_min_ticks),
            offset_max: f64::from(config.offset_max_ticks),
        }
    }

    /// Bid and ask. `position` and `quote_size` are in the base asset; the size is positive.
    pub(super) fn quotes(
        &self,
        twice_mid: i64,
        volatility: &Volatility,
        position: E8,
        quote_size: E8,
    ) -> (Ticks, Ticks) {
        let risk = self.aversion * volatility.variance * self.horizon;
        let inventory = position.0 as f64 / quote_size.0 as f64;
        let skew = (inventory * risk).clamp(-self.offset_max, self.offset_max);
        let half_spread =
            (risk / 2.0 + self.arrival_half_spread).clamp(self.half_spread_min, self.offset_max);
        let reservation = twice_mid as f64 / 2.0 - skew;
        (
            Ticks(libm::floor(reservation - half_spread) as i64),
            Ticks(libm::ceil(reservation + half_spread) as i64),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volatility(mids: impl IntoIterator<Item = i64>) -> Volatility {
        let mut volatility = Volatility::new(20);
        for mid in mids {
            volatility.update(2 * mid);
        }
        volatility
    }

    #[test]
    fn variance_starts_as_a_mean_and_forgets() {
        let steady = volatility([100, 102, 100, 102, 100]);
        assert!((steady.variance - 4.0).abs() < 1e-12);
        let mut calmed = volatility((0..200).map(|step| 100 + 10 * (step % 2)));
        let moving = calmed.variance;
        for _ in 0..20 {
            calmed.update(2 * 110);
        }
        assert!(
            (calmed.variance / moving - 0.5).abs() < 1e-6,
            "one half-life"
        );

        let mut gap = volatility([100, 102, 100]);
        gap.interrupt();
        gap.update(2 * 9_000);
        assert_eq!(gap.changes(), 2);
        assert!((gap.variance - 4.0).abs() < 1e-12);
    }

    #[test]
    fn quotes_follow_the_paper() {
        let config = MarketMakerConfig {
            risk_aversion_e6: 10_000,
            horizon_updates: 100,
            arrival_decay_e3: 500,
            half_spread_min_ticks: 1,
            offset_max_ticks: 1_000,
            ..MarketMakerConfig::default()
        };
        let model = Model::new(&config);
        let moving = volatility([1_000, 1_002, 1_000, 1_002, 1_000]);
        // g v t = 0.01 * 4 * 100 = 4; ln(1 + 0.02) / 0.01 = 1.98; half of the spread 3.98.
        let flat = model.quotes(2_000, &moving, E8(0), E8(10));
        assert_eq!(flat, (Ticks(996), Ticks(1_004)));
        // Two quotes long: the reservation price is 8 lower.
        let long = model.quotes(2_000, &moving, E8(20), E8(10));
        assert_eq!(long, (Ticks(988), Ticks(996)));
        let short = model.quotes(2_000, &moving, E8(-20), E8(10));
        assert_eq!(short, (Ticks(1_004), Ticks(1_012)));
        // Far too long: the skew stops at its bound.
        let bound = model.quotes(2_000, &moving, E8(1 << 40), E8(10));
        assert_eq!(bound, (Ticks(-4), Ticks(4)));
        // Nothing moves: what is left is the arrival of orders.
        let still = model.quotes(2_001, &volatility([1_000; 5]), E8(20), E8(10));
        assert_eq!(still, (Ticks(998), Ticks(1_003)));
    }
}
