//! The thread that keeps the state file true while the engine runs.
//!
//! Owns: [`Keeper`], and what [`equity_feed`] makes of an earlier run. Does not: decide anything; records and gauges tell it. Invariants: what a record changed is on
//! disk before the next one is looked at, but for trades, which come in numbers: those that are there when the thread
//! looks are written at once, and those that come while it writes, with the next write. The file never knows a record
//! without all before it, so a process that dies records again, at its next start, what the last write and those that
//! waited for it would have said, and nothing older. A file that cannot be written is told once a minute, and what could
//! not be saved is tried again with the next change.

use crate::state::{EquityBin, EquityHistory, EquityMarks, KillSwitch, StateError, StateStore};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use veloz_core::edge::cpu;
use veloz_core::instrument::{Assets, Instruments};
use veloz_core::telemetry::gauges::{AccountGauges, GaugeReader};
use veloz_core::telemetry::records::{Record, RecordBody};
use veloz_core::units::E8;
use veloz_core::venue::binance;
use veloz_exporter::analytics::{self, EquityFeed, EquityRecorder, FlowMeter};
use veloz_exporter::health::Reported;

/// How often the account's marks are saved, if they changed.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Records of trades that are written at once; more that are there go with the next write.
const TRADES_AT_ONCE_MAX: usize = 1_024;
/// How often a failure is told.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// What the thread works with.
pub(super) struct Keeper {
    state: Arc<StateStore>,
    instruments: Instruments,
    assets: Assets,
    gauges: GaugeReader,
    /// Fills and what is known of trades, not on disk yet.
    trades: Vec<RecordBody>,
    /// Length of a period of the track record.
    period_s: u32,
    flows: FlowMeter,
    kept: Reported,
    told: Option<Instant>,
}

/// Follows the account's equity, from where the last run left it.
pub(super) fn equity_feed(state: Option<&StateStore>, period_s: u32) -> EquityFeed {
    let recorder = EquityRecorder::resumed(
        period_s.into(),
        state
            .map(|state| state.read(|state| bins_of(&state.equity, period_s)))
            .unwrap_or_default(),
    );
    EquityFeed::new(recorder, state.map(flow_meter).unwrap_or_default())
}

/// The saved bins, when they are as long as those of now.
fn bins_of(history: &EquityHistory, period_s: u32) -> Vec<analytics::EquityBin> {
    if history.period_s != period_s {
        return Vec::new();
    }
    let bins = history.bins.iter();
    bins.map(|bin| analytics::EquityBin {
        index: bin.index,
        equity: E8(bin.equity_e8),
        flows: E8(bin.flows_e8),
    })
    .collect()
}

/// A meter that knows what was paid in and out before this run.
fn flow_meter(state: &StateStore) -> FlowMeter {
    state
        .read(|state| state.equity.marks)
        .map_or_else(FlowMeter::default, |marks| {
            FlowMeter::after(marks.day, E8(marks.day_flows_e8))
        })
}

impl Keeper {
    pub(super) fn new(
        state: Arc<StateStore>,
        instruments: &Instruments,
        gauges: GaugeReader,
        period_s: u32,
        kept: Reported,
    ) -> Self {
        Self {
            flows: flow_meter(&state),
            period_s,
            kept,
            state,
            assets: binance::assets(instruments),
            instruments: instruments.clone(),
            gauges,
            trades: Vec::with_capacity(TRADES_AT_ONCE_MAX),
            told: None,
        }
    }

    /// Starts the thread; it ends when the sender of `records` is gone, after a last look.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn spawn(
        mut self,
        records: Receiver<Record>,
        core_cpu: Option<usize>,
    ) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("veloz-state".to_owned())
            .spawn(move || {
                if let Some(core_cpu) = core_cpu {
                    cpu::leave_core_cpu(core_cpu);
                }
                cpu::lower_priority();
                let mut saved = Instant::now();
                while self.step(&records, SAVE_EVERY) {
                    if saved.elapsed() >= SAVE_EVERY {
                        saved = Instant::now();
                        self.save_account(unix_ms() / 1_000);
                    }
                }
                self.save_account(unix_ms() / 1_000);
            })
    }

    /// Waits for a record, and returns when that and what else is there are on disk; `false` when none will come any more.
    fn step(&mut self, records: &Receiver<Record>, wait: Duration) -> bool {
        let goes_on = match records.recv_timeout(wait) {
            Ok(record) => {
                self.record(&record.body);
                while self.trades.len() < TRADES_AT_ONCE_MAX
                    && let Ok(record) = records.try_recv()
                {
                    self.record(&record.body);
                }
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        };
        self.save_trades();
        goes_on
    }

    /// Keeps which trades are booked.
    fn save_trades(&mut self) {
        if self.trades.is_empty() {
            return;
        }
        let saved = self.state.update(|state| {
            for body in &self.trades {
                state.take_trade(body, &self.instruments);
            }
        });
        self.trades.clear();
        self.tell(saved);
    }

    /// Keeps what one record says.
    fn record(&mut self, body: &RecordBody) {
        let saved = match *body {
            RecordBody::KillSwitch { latched, cause } => {
                // What came before it is not on disk after it.
                self.save_trades();
                self.state.update(|state| {
                    state.kill_switch = latched.then(|| KillSwitch::new(cause.label(), unix_ms()));
                })
            }
            RecordBody::Baseline { asset, amount } => {
                self.save_trades();
                let name = self.assets.get(asset);
                self.state.update(|state| {
                    state
                        .baselines_e8
                        .insert(name.as_str().to_owned(), amount.0);
                })
            }
            RecordBody::Fill { .. } | RecordBody::TradesKnown { .. } => {
                self.trades.push(*body);
                return;
            }
            // The rest is no state of its own.
            _ => return,
        };
        self.tell(saved);
    }

    /// Keeps what the day and the peak are measured from, and the period that is under way.
    fn save_account(&mut self, unix_s: u64) {
        let Some(AccountGauges { restored, equity }) = self.gauges.account() else {
            return;
        };
        let Some(restored) = restored else {
            return;
        };
        let bin = equity.map(|equity| (equity, self.flows.since(&restored)));
        let (period_s, index) = (self.period_s, unix_s / u64::from(self.period_s));
        let saved = self.state.update(|state| {
            if let Some((equity, flows)) = bin {
                let before = state
                    .equity
                    .bins
                    .back()
                    .filter(|last| last.index == index && state.equity.period_s == period_s);
                let flows_e8 = before
                    .map_or(0, |last| last.flows_e8)
                    .saturating_add(flows.0);
                state.equity.push(
                    period_s,
                    EquityBin {
                        index,
                        equity_e8: equity.0,
                        flows_e8,
                    },
                );
            }
            state.equity.marks = Some(EquityMarks {
                day: restored.day,
                day_start_e8: restored.day_start_equity.0,
                day_flows_e8: restored.flows.0,
                peak_e8: restored.peak_equity.0,
            });
        });
        self.tell(saved);
    }

    fn tell(&mut self, saved: Result<(), StateError>) {
        let Err(error) = saved else {
            self.kept.report(Ok(()));
            return;
        };
        self.kept.report(Err(format!("not saved: {error}")));
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            tracing::error!(
                component = "state",
                event_type = "error",
                "the state is not saved: {error}"
            );
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::trading::StatePlace;
    use crate::state::{Inspected, inspect};
    use std::sync::mpsc;
    use veloz_core::instrument::{AssetIndex, InstrumentIndex};
    use veloz_core::order::{OrderId, Side};
    use veloz_core::portfolio::Restored;
    use veloz_core::telemetry::gauges::{GaugeWriter, gauges};
    use veloz_core::telemetry::records::{HaltCause, TradesKnown};
    use veloz_core::units::{Lots, Nanos, Ticks};

    fn publish(writer: &mut GaugeWriter, equity: i64, flows: i64) {
        writer.account(AccountGauges {
            restored: Some(Restored {
                day: 3,
                day_start_equity: E8(100),
                peak_equity: E8(200),
                flows: E8(flows),
            }),
            equity: Some(E8(equity)),
        });
    }

    fn record(body: RecordBody) -> Record {
        Record {
            sequence: 0,
            at: Nanos::ZERO,
            body,
        }
    }

    fn fill(trade_id: u64) -> Record {
        record(RecordBody::Fill {
            order: OrderId::from_bits(1),
            instrument: InstrumentIndex(0),
            side: Side::Buy,
            is_maker: true,
            fee_asset: AssetIndex(0),
            trade_id,
            price: Ticks(1),
            qty: Lots(1),
            fee: E8(0),
        })
    }

    #[test]
    fn what_is_there_is_on_disk_before_anything_else_is_waited_for() {
        let directory = std::env::temp_dir().join(format!("veloz-keeper-{}", std::process::id()));
        let place = StatePlace::Directory(directory.clone());
        let state = Arc::new(StateStore::open(&place, "test", 1).expect("a directory"));
        let instruments = crate::config::limits::tests::instruments();
        let symbol = instruments
            .get(InstrumentIndex(0))
            .symbol
            .as_str()
            .to_owned();
        let (_, gauges) = gauges(instruments.count());
        let kept = Reported::default();
        let mut keeper = Keeper::new(state, &instruments, gauges, 10, kept);
        let on_disk = || match inspect(&directory, "test").expect("readable") {
            Inspected::State(state) => {
                let trades = state.trades.get(&symbol).cloned().unwrap_or_default();
                (
                    trades.through,
                    Vec::from(trades.since),
                    state.kill_switch.is_some(),
                )
            }
            Inspected::Nothing => panic!("it was opened"),
        };
        let (sender, records) = mpsc::sync_channel(8);
        let send = |record| sender.send(record).expect("room");
        send(record(RecordBody::TradesKnown {
            instrument: InstrumentIndex(0),
            how: TradesKnown::FirstRun,
            through: 5,
        }));
        assert!(keeper.step(&records, Duration::ZERO));
        assert_eq!(on_disk(), (5, vec![], false));
        // One alone, and what came while that was written.
        send(fill(6));
        assert!(keeper.step(&records, Duration::ZERO));
        assert_eq!(on_disk(), (5, vec![6], false));
        send(fill(7));
        send(record(RecordBody::KillSwitch {
            latched: true,
            cause: HaltCause::Operator,
        }));
        send(fill(8));
        assert!(keeper.step(&records, Duration::ZERO));
        assert_eq!(on_disk(), (5, vec![6, 7, 8], true));
        assert!(keeper.step(&records, Duration::ZERO), "nothing came");
        drop(sender);
        assert!(!keeper.step(&records, Duration::ZERO));
        std::fs::remove_dir_all(directory).expect("its own");
    }

    #[test]
    fn periods_outlive_a_restart_with_what_was_paid_in() {
        let state = Arc::new(StateStore::open(&StatePlace::Nowhere, "test", 1).expect("in memory"));
        let instruments = crate::config::limits::tests::instruments();
        let (mut writer, reader) = gauges(instruments.count());
        let keeper = || {
            let kept = Reported::default();
            Keeper::new(Arc::clone(&state), &instruments, reader.clone(), 10, kept)
        };
        let mut first = keeper();
        first.save_account(100);
        assert!(
            state.read(|state| state.equity.bins.is_empty()),
            "nothing is known"
        );
        publish(&mut writer, 1_000, 50);
        first.save_account(100);
        publish(&mut writer, 1_500, 550);
        first.save_account(105);
        first.save_account(109);
        // Paid in while nobody looked.
        publish(&mut writer, 1_800, 850);
        let mut second = keeper();
        second.save_account(112);
        let bins: Vec<_> = state.read(|state| {
            let bins = state.equity.bins.iter();
            bins.map(|bin| (bin.index, bin.equity_e8, bin.flows_e8))
                .collect()
        });
        assert_eq!(bins, [(10, 1_500, 500), (11, 1_800, 300)]);

        let mut feed = equity_feed(Some(&state), 10);
        let account = reader.account().expect("not torn");
        feed.step(&account, 125_000);
        assert_eq!(feed.recorder().equity(), Some(E8(1_800)));
        assert_eq!(feed.recorder().returns(), [0.0], "nothing was gained");
        assert!(equity_feed(Some(&state), 20).recorder().equity().is_none());
        assert!(equity_feed(None, 10).recorder().equity().is_none());
    }
}
