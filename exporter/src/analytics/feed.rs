//! What the core publishes of the account, on its way to the recorder.
//!
//! Owns: [`EquityFeed`], and [`FlowMeter`], which tells what was paid in or out between two looks. Does not: read a
//! clock or gauges itself. Invariant: equity and flows of one look belong to one moment, because the core publishes
//! them in one piece; else a deposit would look like a gain for a moment, which a drawdown never forgets.

use super::EquityRecorder;
use veloz_core::portfolio::Restored;
use veloz_core::telemetry::gauges::AccountGauges;
use veloz_core::units::E8;

/// Flows between two looks, from sums that begin anew each day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowMeter {
    last: Option<(u64, E8)>,
}

impl FlowMeter {
    /// A meter that knows what the sum was when the last run ended: what was paid while nobody looked counts too.
    pub fn after(day: u64, flows: E8) -> Self {
        Self {
            last: Some((day, flows)),
        }
    }

    /// What was paid in minus taken out since the last look; nothing at the first. Of a day that ended in between,
    /// what came between its last look and midnight is not known any more and left out.
    pub fn since(&mut self, now: &Restored) -> E8 {
        let before = self.last.replace((now.day, now.flows));
        match before {
            None => E8(0),
            Some((day, flows)) if day == now.day => E8(now.flows.0.saturating_sub(flows.0)),
            Some(_) => now.flows,
        }
    }
}

/// Follows the account as the core publishes it.
#[derive(Clone, Debug)]
pub struct EquityFeed {
    recorder: EquityRecorder,
    meter: FlowMeter,
}

impl EquityFeed {
    /// Goes on with a record.
    pub fn new(recorder: EquityRecorder, meter: FlowMeter) -> Self {
        Self { recorder, meter }
    }

    /// Takes the account as published at `unix_ms`.
    pub fn step(&mut self, account: &AccountGauges, unix_ms: u64) {
        let (Some(restored), Some(equity)) = (&account.restored, account.equity) else {
            return;
        };
        self.recorder.flow(self.meter.since(restored));
        self.recorder.mark(unix_ms, equity);
    }

    /// The record.
    pub fn recorder(&self) -> &EquityRecorder {
        &self.recorder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(day: u64, equity: i64, flows: i64) -> AccountGauges {
        AccountGauges {
            restored: Some(Restored {
                day,
                day_start_equity: E8(1),
                peak_equity: E8(1),
                flows: E8(flows),
            }),
            equity: Some(E8(equity)),
        }
    }

    #[test]
    fn money_paid_in_is_no_gain_also_over_midnight_and_a_restart() {
        let mut feed = EquityFeed::new(EquityRecorder::new(1), FlowMeter::default());
        // What was paid in before the first look is no news.
        feed.step(&account(1, 1_000, 50), 1_000);
        feed.step(&account(1, 1_500, 550), 2_000);
        feed.step(&account(1, 1_500, 550), 3_000);
        // A new day's sum begins at zero, and holds what came since midnight.
        feed.step(&account(2, 1_700, 200), 4_000);
        feed.step(&AccountGauges::default(), 5_000);
        assert_eq!(feed.recorder().returns(), [0.0, 0.0]);
        assert_eq!(feed.recorder().figures().max_drawdown, 0.0);
        assert_eq!(feed.recorder().equity(), Some(E8(1_700)));

        let bins = [super::super::EquityBin {
            index: 4,
            equity: E8(1_700),
            flows: E8(0),
        }];
        let resumed = EquityRecorder::resumed(1, bins);
        let mut feed = EquityFeed::new(resumed, FlowMeter::after(2, E8(200)));
        feed.step(&account(2, 1_000, -500), 10_000);
        feed.step(&account(2, 1_000, -500), 11_000);
        assert_eq!(feed.recorder().returns(), [0.0]);
        assert_eq!(
            feed.recorder().figures().max_drawdown,
            0.0,
            "taken out, not lost"
        );
    }
}
