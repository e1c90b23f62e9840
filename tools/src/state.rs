//! What must outlive a restart: one small file, replaced as a whole.
//!
//! Owns: [`State`], [`StateStore`], the lock that keeps two processes off one file. The bytes of the file are in
//! `state/file.rs`, limits as they are saved in `state/limits.rs`. Does not: decide what is saved; whoever learns
//! something worth it calls [`StateStore::update`].
//!
//! Invariants:
//! - A write is whole or not there: a new file is written and synced, renamed over the old one, and the
//!   directory synced. Killed anywhere between, the next start reads the old state or the new one.
//! - A file that cannot be read stops the start, with a sentence; nothing in it is ever replaced by a default.
//!   Only a file that is not there means a first start, so removing it by hand is how to start anew.
//! - A run number is never given twice, also when the clock goes back: each start takes the greater of the
//!   last one plus one and the Unix time in seconds, and saves it before anything uses it.

mod api_limits;
mod file;
mod limits;

pub use api_limits::{ApiLimits, HeldLimits};
pub use limits::{SavedGlobalLimits, SavedInstrumentLimits};

use crate::config::trading::StatePlace;
use file::FileFault;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use veloz_core::config::KnownTrades;
use veloz_core::instrument::{Instruments, Symbol};
use veloz_core::telemetry::records::RecordBody;

/// Trade ids of one instrument that are kept beside the one up to which none is missing. They go with each round of
/// questions to the venue, a minute after they came at most; when there are more, the lowest is taken for the one up to
/// which none is missing.
pub const TRADES_SINCE_MAX: usize = 64;
/// Bins of equity that are kept, the newest: with one a day almost three years. The file stays below
/// 100 kB (with 256 instruments 300 kB), so that it can be written as a whole every second.
pub const EQUITY_BINS_MAX: usize = 1_024;
/// Characters of a kill switch's reason; the rest is cut off.
pub const REASON_CHARS_MAX: usize = 200;

/// What must outlive a restart. Money is in 1e-8 units, times are Unix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Number of the present run, part of every order's id.
    pub run: u32,
    /// The kill switch, while it is latched.
    #[serde(deserialize_with = "present")]
    pub kill_switch: Option<KillSwitch>,
    /// The global limits, if they were changed while running.
    #[serde(deserialize_with = "present")]
    pub global_limits: Option<SavedGlobalLimits>,
    /// Limits of instruments that were changed while running, by symbol.
    pub instrument_limits: BTreeMap<String, SavedInstrumentLimits>,
    /// What files may not loosen, because it was set over the API.
    pub api_limits: ApiLimits,
    /// What the account held of each asset when this instance first saw it.
    pub baselines_e8: BTreeMap<String, i64>,
    /// Which trades of the account are booked, by symbol; an instrument that is missing never traded.
    pub trades: BTreeMap<String, SavedTrades>,
    /// Equity over time.
    pub equity: EquityHistory,
}

/// Which trades of one instrument are booked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedTrades {
    /// No trade with this id or a lower one is missing.
    pub through: u64,
    /// Ids above it that are booked, in the order in which they came, at most [`TRADES_SINCE_MAX`].
    pub since: VecDeque<u64>,
}

impl SavedTrades {
    /// A trade was booked.
    pub fn booked(&mut self, trade_id: u64) {
        if trade_id <= self.through || self.since.contains(&trade_id) {
            return;
        }
        self.since.push_back(trade_id);
        while self.since.len() > TRADES_SINCE_MAX {
            let lowest = self.since.iter().copied().min().expect("there are many");
            self.known_through(lowest);
        }
    }

    /// No trade up to this one is missing.
    pub fn known_through(&mut self, trade_id: u64) {
        self.through = self.through.max(trade_id);
        let through = self.through;
        self.since.retain(|since| *since > through);
    }
}

impl State {
    /// What a record says about trades; whether it says something.
    pub fn take_trade(&mut self, body: &RecordBody, instruments: &Instruments) -> bool {
        let symbol = |index| instruments.get(index).symbol.as_str().to_owned();
        match *body {
            RecordBody::Fill {
                instrument,
                trade_id,
                ..
            } => {
                // Before the first round with the venue nobody knows what is missing below it.
                let Some(trades) = self.trades.get_mut(&symbol(instrument)) else {
                    return false;
                };
                trades.booked(trade_id);
                true
            }
            RecordBody::TradesKnown {
                instrument,
                how: _,
                through,
            } => {
                let trades = self.trades.entry(symbol(instrument)).or_default();
                trades.known_through(through);
                true
            }
            _ => false,
        }
    }

    /// What the engine is told of these instruments.
    pub fn trades_known(&self, instruments: &Instruments) -> Vec<KnownTrades> {
        let known = |symbol: Symbol| {
            let saved = self.trades.get(symbol.as_str())?;
            Some(KnownTrades {
                symbol,
                through: saved.through,
                since: saved.since.iter().copied().collect(),
            })
        };
        instruments
            .iter()
            .filter_map(|(_, instrument)| known(instrument.symbol))
            .collect()
    }
}

/// Why and since when nothing may be traded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KillSwitch {
    /// For people.
    pub reason: String,
    /// When it was tripped.
    pub since_unix_ms: u64,
}

impl KillSwitch {
    /// Tripped now; a longer reason is cut off after [`REASON_CHARS_MAX`] characters.
    pub fn new(reason: &str, since_unix_ms: u64) -> Self {
        Self {
            reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            since_unix_ms,
        }
    }
}

/// Equity over time, for the figures that need more than one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EquityHistory {
    /// Length of a bin in seconds; zero while there is none.
    pub period_s: u32,
    /// The bins, oldest first, at most [`EQUITY_BINS_MAX`].
    pub bins: VecDeque<EquityBin>,
    /// The day and the peak.
    #[serde(deserialize_with = "present")]
    pub marks: Option<EquityMarks>,
}

/// Equity at the end of one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EquityBin {
    /// Which period: Unix seconds divided by its length.
    pub index: u64,
    /// Equity.
    pub equity_e8: i64,
    /// Deposits minus withdrawals in it.
    pub flows_e8: i64,
}

/// What today's loss and the drawdown are measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EquityMarks {
    /// Days since the Unix epoch, UTC.
    pub day: u64,
    /// Equity when that day began.
    pub day_start_e8: i64,
    /// Deposits minus withdrawals of that day.
    pub day_flows_e8: i64,
    /// Highest equity so far.
    pub peak_e8: i64,
}

impl EquityHistory {
    /// Appends the bin of a period of `period_s` seconds, or replaces the last if it is of the same one. Bins of
    /// another length tell nothing about these and go; so does the oldest when there are too many.
    pub fn push(&mut self, period_s: u32, bin: EquityBin) {
        if self.period_s != period_s {
            self.period_s = period_s;
            self.bins.clear();
        }
        while self.bins.back().is_some_and(|last| last.index >= bin.index) {
            self.bins.pop_back();
        }
        if self.bins.len() == EQUITY_BINS_MAX {
            self.bins.pop_front();
        }
        self.bins.push_back(bin);
    }
}

/// A key that must be there, be it `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// Why the state cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory or a file in it cannot be used.
    #[error("the state in {}: cannot {act}: {cause} (state.dir decides where it is)", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process has it.
    #[error(
        "the state of instance {instance} in {} is in use by {owner}: two processes must not trade under one prefix; end it, or give this one another account.instance",
        directory.display()
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The prefix.
        instance: String,
        /// The other process, as far as it is known.
        owner: String,
    },
    /// The file is not what was written.
    #[error(
        "{}: {fault}; nothing is assumed in its place: restore the file, or move it away to start anew without its kill switch, changed limits, baselines, known trades and equity",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// The last number was given.
    #[error("{}: run number {} was the last one that exists; use another account.instance", path.display(), u32::MAX)]
    RunsExhausted {
        /// The file.
        path: PathBuf,
    },
}

/// The state of one instance, held by this process alone. Shared by reference between sidecar threads; the core
/// never sees it.
#[derive(Debug)]
pub struct StateStore {
    kept: Mutex<Kept>,
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Kept {
    state: State,
    /// Whether the file says the same.
    saved: bool,
}

#[derive(Debug)]
struct Disk {
    directory: PathBuf,
    instance: String,
    /// Held as long as the store lives.
    _lock: File,
}

impl StateStore {
    /// Takes the state of `instance` for this process and numbers this run, at Unix time `now_unix_s`. Makes the
    /// directory if it is missing, for its owner alone.
    ///
    /// # Errors
    /// [`StateError`]: another process has it, it cannot be read, or cannot be written.
    pub fn open(place: &StatePlace, instance: &str, now_unix_s: u64) -> Result<Self, StateError> {
        let directory = match place {
            StatePlace::Nowhere => {
                return Ok(Self::new(
                    State {
                        run: next_run(None, now_unix_s).expect("none was given yet"),
                        ..State::default()
                    },
                    None,
                ));
            }
            StatePlace::Directory(directory) => directory,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed(directory, "make the directory"))?;
        let disk = Disk {
            directory: directory.clone(),
            instance: instance.to_owned(),
            _lock: lock(directory, instance)?,
        };
        let path = disk.path();
        let last = load(&path, instance)?;
        let run = next_run(last.as_ref().map(|state| state.run), now_unix_s)
            .ok_or(StateError::RunsExhausted { path })?;
        let store = Self::new(last.unwrap_or_default(), Some(disk));
        store.update(|state| state.run = run)?;
        Ok(store)
    }

    /// What is kept now.
    pub fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.lock().state)
    }

    /// Changes what is kept, and returns when it is on disk. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`StateError::Io`] when it could not be saved. The change holds in this process all the same, and the next
    /// update saves it too.
    pub fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> Result<R, StateError> {
        let mut kept = self.lock();
        let before = kept.state.clone();
        let result = change(&mut kept.state);
        kept.saved &= kept.state == before;
        if let Some(disk) = &self.disk
            && !kept.saved
        {
            file::write(&disk.path(), &disk.instance, &kept.state)
                .map_err(failed(&disk.directory, "save it"))?;
            kept.saved = true;
        }
        Ok(result)
    }

    /// Where the file is; `None` when nothing is kept.
    pub fn path(&self) -> Option<PathBuf> {
        self.disk.as_ref().map(Disk::path)
    }

    fn new(state: State, disk: Option<Disk>) -> Self {
        Self {
            kept: Mutex::new(Kept {
                state,
                saved: false,
            }),
            disk,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A change that panicked halfway ends the process; until then the rest may be read.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspected {
    /// There is no file: the next start would be the first.
    Nothing,
    /// This.
    State(Box<State>),
}

/// Looks at what is kept of an instance, without taking it.
///
/// # Errors
/// [`StateError`]: it cannot be read.
pub fn inspect(directory: &Path, instance: &str) -> Result<Inspected, StateError> {
    load(&path_in(directory, instance), instance).map(|state| {
        state.map_or(Inspected::Nothing, |state| {
            Inspected::State(Box::new(state))
        })
    })
}

fn load(path: &Path, instance: &str) -> Result<Option<State>, StateError> {
    match file::read(path, instance) {
        Ok(state) => Ok(state),
        Err(file::ReadError::Io(cause)) => Err(failed(path, "read it")(cause)),
        Err(file::ReadError::Fault(fault)) => Err(StateError::Unreadable {
            path: path.to_owned(),
            fault,
        }),
    }
}

fn path_in(directory: &Path, instance: &str) -> PathBuf {
    directory.join(format!("{instance}.state"))
}

impl Disk {
    fn path(&self) -> PathBuf {
        path_in(&self.directory, &self.instance)
    }
}

/// The number of a run that starts now; `None` when there is none left.
fn next_run(last: Option<u32>, now_unix_s: u64) -> Option<u32> {
    let now = u32::try_from(now_unix_s).unwrap_or(u32::MAX);
    match last {
        None => Some(now.max(1)),
        Some(last) => last.checked_add(1).map(|next| next.max(now)),
    }
}

/// Takes the lock of an instance. It is a file of its own, because the state file is replaced at every write.
fn lock(directory: &Path, instance: &str) -> Result<File, StateError> {
    let path = directory.join(format!("{instance}.lock"));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed(&path, "open the lock"))?;
    match file.try_lock() {
        Ok(()) => {
            // For the sentence that another process would print; the lock itself is the kernel's. Always as
            // long, so that nothing is left of the last one.
            writeln!(file, "{:<10}", std::process::id())
                .map_err(failed(&path, "write the lock"))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let known = file
                .take(16)
                .read_to_string(&mut owner)
                .is_ok_and(|_| owner.trim().parse::<u32>().is_ok());
            Err(StateError::InUse {
                directory: directory.to_owned(),
                instance: instance.to_owned(),
                owner: if known {
                    format!("process {}", owner.trim())
                } else {
                    "another process".to_owned()
                },
            })
        }
        Err(TryLockError::Error(cause)) => Err(failed(&path, "take the lock")(cause)),
    }
}

fn failed(path: &Path, act: &'static str) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |cause| StateError::Io { path, act, cause }
}

#[cfg(test)]
mod tests;
