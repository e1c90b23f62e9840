//! The day's and the peak's equity.
//!
//! Owns: [`Day`]. Does not: know what equity is made of.
//!
//! A day is a UTC day. Deposits and withdrawals move the reference, not the result: they are taken out of the day's
//! change, and the peak moves with them. What flowed while nothing ran is not known and looks like a result.

use super::exact::Exact;
use crate::units::E8;

/// What must survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Days since the Unix epoch, UTC.
    pub day: u64,
    /// Equity when that day began, or when it was first known in it.
    pub day_start_equity: E8,
    /// Highest equity so far, moved by deposits and withdrawals as equity is.
    pub peak_equity: E8,
    /// Deposits minus withdrawals since that day's start.
    pub flows: E8,
}

/// References for the day's change and the drawdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Day {
    /// Days since the Unix epoch.
    today: Option<u64>,
    start: Option<Exact>,
    flows: Exact,
    peak: Option<Exact>,
    drawdown_max_bps: u32,
}

impl Day {
    /// Rolls the day and follows the peak. Returns whether a day began. A clock that goes back begins none.
    pub(super) fn observe(&mut self, now_unix_ms: u64, equity: Option<Exact>) -> bool {
        let today = now_unix_ms / DAY_MS;
        let begins = self.today.is_none_or(|day| day < today);
        if begins {
            self.today = Some(today);
            self.start = None;
            self.flows = Exact::ZERO;
        }
        if let Some(equity) = equity {
            self.start.get_or_insert(equity);
            self.peak = self.peak.max(Some(equity));
            self.drawdown_max_bps = self.drawdown_max_bps.max(self.drawdown_bps(equity));
        }
        begins
    }

    /// A deposit, or a withdrawal below zero.
    pub(super) fn flow(&mut self, amount: Exact) {
        // What flowed before the first equity is in it.
        if self.start.is_some() {
            self.flows += amount;
        }
        if let Some(peak) = &mut self.peak {
            *peak += amount;
        }
    }

    pub(super) fn change(&self, equity: Exact) -> Option<Exact> {
        self.start.map(|start| equity - start - self.flows)
    }

    pub(super) fn flows(&self) -> E8 {
        self.flows.to_e8()
    }

    pub(super) fn peak(&self) -> Option<E8> {
        self.peak.map(Exact::to_e8)
    }

    /// How far `equity` is below the peak, in basis points of it, rounded down; zero without a peak above zero.
    pub(super) fn drawdown_bps(&self, equity: Exact) -> u32 {
        let Some(peak) = self.peak.filter(|&peak| peak > Exact::ZERO) else {
            return 0;
        };
        let below = (peak - equity).max(Exact::ZERO);
        if below == Exact::ZERO {
            return 0;
        }
        bps_of(below.0, peak.0)
    }

    pub(super) fn drawdown_max_bps(&self) -> u32 {
        self.drawdown_max_bps
    }

    pub(super) fn restore(&mut self, restored: &Restored) {
        *self = Self {
            today: Some(restored.day),
            start: Some(Exact::from_e8(restored.day_start_equity)),
            flows: Exact::from_e8(restored.flows),
            peak: Some(Exact::from_e8(restored.peak_equity)),
            drawdown_max_bps: self.drawdown_max_bps,
        };
    }

    pub(super) fn to_save(self) -> Option<Restored> {
        Some(Restored {
            day: self.today?,
            day_start_equity: self.start?.to_e8(),
            peak_equity: self.peak?.to_e8(),
            flows: self.flows.to_e8(),
        })
    }
}

/// `part` in basis points of `whole`, rounded down; both above zero.
fn bps_of(part: i128, whole: i128) -> u32 {
    if part > whole || whole >> 112 != 0 {
        return bps_of_wide(part, whole);
    }
    // Estimated from the highest 48 bits and put right: a division of 128 bits costs as much as a whole risk check.
    let shift = (i128::BITS - whole.leading_zeros()).saturating_sub(48);
    let (short_part, short_whole) = ((part >> shift) as u64, (whole >> shift) as u64);
    let mut bps = i128::from(short_part * 10_000 / short_whole);
    while bps * whole > part * 10_000 {
        bps -= 1;
    }
    while (bps + 1) * whole <= part * 10_000 {
        bps += 1;
    }
    bps as u32
}

#[cold]
fn bps_of_wide(part: i128, whole: i128) -> u32 {
    // Equity is bounded by the sum of all assets, far below the range that a factor of 10,000 would leave.
    u32::try_from(part.saturating_mul(10_000) / whole).unwrap_or(u32::MAX)
}

const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn basis_points_are_those_of_a_wide_division(whole in 1i128..1 << 120, shift in 0u32..120, part: u64, more in 0i128..3) {
            let whole = (whole >> shift).max(1);
            // From nothing to three times the whole.
            let part = (whole.saturating_mul(i128::from(part)) >> 64) + more * whole / 2;
            prop_assume!(part > 0);
            prop_assert_eq!(bps_of(part, whole), bps_of_wide(part, whole));
        }
    }

    fn exact(units: i64) -> Exact {
        Exact::from_e8(E8(units))
    }

    fn change(day: &Day, equity: i64) -> Option<E8> {
        day.change(exact(equity)).map(Exact::to_e8)
    }

    #[test]
    fn the_day_rolls_at_midnight_and_flows_are_no_result() {
        let mut day = Day::default();
        assert_eq!(day.to_save(), None);
        assert!(day.observe(DAY_MS - 2, None));
        day.flow(exact(1_000));
        assert_eq!(change(&day, 5), None);
        assert!(!day.observe(DAY_MS - 1, Some(exact(10_000))));
        day.flow(exact(500));
        assert_eq!(change(&day, 10_700), Some(E8(200)));
        assert_eq!(day.flows(), E8(500));
        assert_eq!(day.peak(), Some(E8(10_500)));

        assert!(day.observe(DAY_MS, Some(exact(10_700))));
        assert_eq!(change(&day, 10_600), Some(E8(-100)));
        assert_eq!(day.flows(), E8(0));
        assert!(
            !day.observe(DAY_MS - 1, Some(exact(10_700))),
            "a clock that goes back"
        );
        assert!(day.observe(3 * DAY_MS, Some(exact(10_650))));
        assert_eq!(change(&day, 10_650), Some(E8(0)));
    }

    #[test]
    fn the_drawdown_is_of_a_peak_that_moves_with_flows() {
        let mut day = Day::default();
        assert_eq!(day.drawdown_bps(Exact::ZERO), 0);
        let _ = day.observe(0, Some(exact(10_000)));
        let _ = day.observe(1, Some(exact(9_500)));
        assert_eq!(day.drawdown_bps(exact(9_500)), 500);
        // Half is withdrawn: no further drawdown in money, twice as much in parts.
        day.flow(exact(-5_000));
        assert_eq!(day.drawdown_bps(exact(4_500)), 1_000);
        let _ = day.observe(2, Some(exact(5_000)));
        assert_eq!(day.drawdown_bps(exact(5_000)), 0);
        assert_eq!(day.drawdown_max_bps(), 500);
        assert_eq!(day.drawdown_bps(exact(4_999)), 2);
        assert_eq!(day.drawdown_bps(exact(-5_000)), 20_000);
    }

    #[test]
    fn a_restart_in_the_same_day_goes_on_with_it() {
        let saved = Restored {
            day: 5,
            day_start_equity: E8(1_000),
            peak_equity: E8(1_200),
            flows: E8(50),
        };
        let mut day = Day::default();
        day.restore(&saved);
        assert_eq!(day.to_save(), Some(saved));
        assert!(!day.observe(5 * DAY_MS, Some(exact(1_100))));
        assert_eq!(change(&day, 1_100), Some(E8(50)));
        assert!(day.observe(6 * DAY_MS, Some(exact(1_100))));
        assert_eq!(
            day.to_save(),
            Some(Restored {
                day: 6,
                day_start_equity: E8(1_100),
                peak_equity: E8(1_200),
                flows: E8(0),
            })
        );
    }
}
