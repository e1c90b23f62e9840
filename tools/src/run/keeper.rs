//! The thread that keeps the state file true while the engine runs.
//!
//! Owns: [`Keeper`]. Does not: decide anything; records and gauges tell it. Invariants: what a record changed is on
//! disk before the next one is looked at, but for fills, which come in numbers: they are on disk [`TRADES_WITHIN`]
//! later, and a process that dies in between books them a second time at its next start; a file that cannot be written is told once a minute, and what could not be
//! saved is tried again with the next change.

use crate::state::{EquityMarks, KillSwitch, StateError, StateStore};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use veloz_core::edge::cpu;
use veloz_core::instrument::{Assets, Instruments};
use veloz_core::telemetry::gauges::{AccountGauges, GaugeReader};
use veloz_core::telemetry::records::{Record, RecordBody};
use veloz_core::venue::binance;

/// How often the account's marks are saved, if they changed.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How soon after a fill its trade is known to the next start.
const TRADES_WITHIN: Duration = Duration::from_millis(50);
/// Records of trades that are saved at once.
const TRADES_AT_ONCE_MAX: usize = 1_024;
/// How often a failure is told.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// What the thread works with.
pub(super) struct Keeper {
    state: Arc<StateStore>,
    instruments: Instruments,
    assets: Assets,
    gauges: GaugeReader,
    /// Fills and what is known of trades, not on disk yet; and since when.
    trades: Vec<RecordBody>,
    trades_since: Option<Instant>,
    told: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(
        state: Arc<StateStore>,
        instruments: &Instruments,
        gauges: GaugeReader,
    ) -> Self {
        Self {
            state,
            assets: binance::assets(instruments),
            instruments: instruments.clone(),
            gauges,
            trades: Vec::with_capacity(TRADES_AT_ONCE_MAX),
            trades_since: None,
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
                loop {
                    let wait = self.trades_since.map_or(SAVE_EVERY, |since| {
                        TRADES_WITHIN.saturating_sub(since.elapsed())
                    });
                    match records.recv_timeout(wait) {
                        Ok(record) => self.record(&record.body),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                    let is_due = |since: Instant| since.elapsed() >= TRADES_WITHIN;
                    if self.trades_since.is_some_and(is_due)
                        || self.trades.len() >= TRADES_AT_ONCE_MAX
                    {
                        self.save_trades();
                    }
                    if saved.elapsed() >= SAVE_EVERY {
                        saved = Instant::now();
                        self.save_marks();
                    }
                }
                self.save_trades();
                self.save_marks();
            })
    }

    /// Keeps which trades are booked.
    fn save_trades(&mut self) {
        self.trades_since = None;
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
            RecordBody::KillSwitch { latched, cause } => self.state.update(|state| {
                state.kill_switch = latched.then(|| KillSwitch::new(cause.label(), unix_ms()));
            }),
            RecordBody::Baseline { asset, amount } => {
                let name = self.assets.get(asset);
                self.state.update(|state| {
                    state
                        .baselines_e8
                        .insert(name.as_str().to_owned(), amount.0);
                })
            }
            RecordBody::Fill { .. } | RecordBody::TradesKnown { .. } => {
                self.trades.push(*body);
                self.trades_since.get_or_insert_with(Instant::now);
                return;
            }
            // The rest is no state of its own.
            _ => return,
        };
        self.tell(saved);
    }

    /// Keeps what the day and the peak are measured from.
    fn save_marks(&mut self) {
        let Some(AccountGauges { restored, .. }) = self.gauges.account() else {
            return;
        };
        let Some(restored) = restored else {
            return;
        };
        let saved = self.state.update(|state| {
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
            return;
        };
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
