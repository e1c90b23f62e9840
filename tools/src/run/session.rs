//! The running engine with everything around it: started, watched and ended here.
//!
//! Owns: [`Session`], [`End`]. Does not: decide what runs (`run/boot.rs`). Invariant: the end is in order: no new
//! orders, ours cancelled, the core, the dead-man, the sidecar, the state file, the venue.

use super::PATROL;
use super::agreement;
use super::boot::Boot;
use super::ends::{Panics, note_panic, watch_panics};
use super::keeper::{Keeper, equity_feed};
use super::settings::with_advice;
use crate::config::limits::Limits;
use crate::dead_man::DeadMan;
use crate::logging::Logging;
use crate::paper::PaperFeed;
use crate::state::{HeldLimits, StateError, StateStore};
use crate::venue::VenueHandle;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use veloz_core::edge::clock::Clock;
use veloz_core::edge::core_loop::{Core, Tap, spawn};
use veloz_core::edge::cpu::Outcome;
use veloz_core::engine::Engine;
use veloz_core::event::Command;
use veloz_core::instrument::Instruments;
use veloz_core::oms::Order;
use veloz_core::order::OrderId;
use veloz_core::strategy::Configured;
use veloz_core::telemetry::gauges::{Gauge, GaugeReader};
use veloz_core::telemetry::records::TradingPhase;
use veloz_core::telemetry::{Sizes, telemetry};
use veloz_exporter::health::Reported;
use veloz_exporter::traces::Traces;
use veloz_exporter::{Outlets, SidecarHandle};

/// How long the core may take to close its links; then it is stopped where it is.
const CORE_STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the sidecar may take to empty the rings and finish its answers.
const SIDECAR_STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// A counter that runs further off than this was not calibrated but disturbed: 100 ppm.
const CLOCK_DRIFT_PPB_MAX: i64 = 100_000;
/// Records that wait for the state thread: fills above all. It takes all that are there at once, but for the few
/// milliseconds of a write. Of one beyond, the next start asks the venue again and would book it a second time.
const KEPT_RECORDS_MAX: usize = 8_192;
/// How often the live status is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// What may still be open at the venue when a session has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Orders of ours that it did not confirm to be gone.
    pub orders: Vec<OrderId>,
    /// Whether there can be no others: the venue has listed what earlier runs left.
    pub is_all: bool,
}

impl Boot {
    /// Starts the sidecar and the core.
    ///
    /// # Errors
    /// One sentence that says what failed and what to do.
    pub fn start<T: Tap + Send + 'static>(
        self,
        tap: T,
        logging: &Logging,
    ) -> Result<Session<T>, String> {
        logging.leave_core_cpu(self.placement.cpu);
        let panics = watch_panics();
        let clock = Clock::calibrate();
        let (core_end, sidecar_end) = telemetry(self.instruments.count(), Sizes::default());
        let gauges = sidecar_end.gauges.clone();
        let (account, state, dead_man) = match self.trading {
            Some(trading) => (
                Some(trading.account),
                Some(trading.state),
                Some(trading.dead_man),
            ),
            None => (None, None, None),
        };
        let saved = state.clone();
        let period_s = self.analytics_period_s;
        let equity = equity_feed(state.as_deref(), period_s);
        let (to_keeper, keeper, kept) = match state {
            Some(state) => {
                let (to_keeper, records) = mpsc::sync_channel(KEPT_RECORDS_MAX);
                let kept = Reported::default();
                let keeper = Keeper::new(
                    state,
                    &self.instruments,
                    gauges.clone(),
                    period_s,
                    kept.clone(),
                )
                .spawn(records, self.placement.cpu)
                .map_err(|error| format!("no thread for the state: {error}"))?;
                (Some(to_keeper), Some(keeper), Some(kept))
            }
            None => (None, None, None),
        };
        let outlets = Outlets {
            log: Arc::clone(&logging.log),
            traces: Traces::start(&self.traces, self.placement.cpu)
                .map_err(|error| error.to_string())?,
            keeper: to_keeper,
            state: kept,
            equity,
        };
        let sidecar = veloz_exporter::start(
            self.sidecar,
            sidecar_end,
            &self.instruments,
            clock,
            outlets,
            note_panic,
        )
        .map_err(|error| with_advice(&error))?;
        let paper = match (self.paper, &self.venue) {
            (Some(paper), Some(venue)) => Some(
                PaperFeed::start(paper, Arc::clone(venue)).map_err(|error| error.to_string())?,
            ),
            (Some(_), None) | (None, _) => None,
        };
        let engine = Engine::with_account(self.engine, self.instruments, core_end, clock, account)
            .map_err(|error| error.to_string())?;
        let core = spawn(&self.edge, clock, engine, tap).map_err(|error| error.to_string())?;
        let commands = core.commands.clone();
        sidecar
            .api()
            .commands()
            .connect(move |command| commands.send(command));
        let dead_man = match dead_man {
            Some(setup) => {
                let orders = self
                    .edge
                    .endpoints()
                    .map_err(|error| error.to_string())?
                    .orders;
                let commands = core.commands.clone();
                let started = setup.start(
                    orders,
                    clock,
                    gauges.clone(),
                    commands,
                    sidecar.records(),
                    sidecar.faults(),
                    self.placement.cpu,
                );
                Some(started.map_err(|error| format!("no thread for the dead-man: {error}"))?)
            }
            None => None,
        };
        for placed in &core.placements {
            match placed.outcome {
                Outcome::Done => tracing::debug!(component = "core", "{placed}"),
                Outcome::Limited(_) => tracing::info!(component = "core", "{placed}"),
                Outcome::Refused { .. } => {
                    tracing::warn!(
                        component = "core",
                        "{placed}; `veloz check` says what to do"
                    );
                }
            }
        }
        Ok(Session {
            core,
            sidecar,
            gauges,
            keeper,
            dead_man,
            paper,
            venue: self.venue,
            panics,
            state: saved,
            shutdown_timeout: self.shutdown_timeout,
        })
    }
}

/// A running engine with everything around it.
pub struct Session<T> {
    core: Core<Engine<Clock, Configured>, T>,
    sidecar: SidecarHandle,
    gauges: GaugeReader,
    keeper: Option<JoinHandle<()>>,
    dead_man: Option<DeadMan>,
    paper: Option<PaperFeed>,
    venue: Option<Arc<VenueHandle>>,
    panics: Panics,
    state: Option<Arc<StateStore>>,
    shutdown_timeout: Duration,
}

/// Why [`Session::watch`] returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A signal, the time limit or the caller asked for it.
    Asked,
    /// A thread panicked; its name.
    Panic(String),
    /// The core ended although nobody asked.
    CoreEnded,
}

impl<T> Session<T> {
    /// The telemetry thread and its HTTP server.
    pub(super) fn sidecar(&self) -> &SidecarHandle {
        &self.sidecar
    }

    /// Stays until `ended` says so or something breaks, logging connections and calling `draw` in
    /// between.
    pub fn watch(&self, mut ended: impl FnMut() -> bool, mut draw: impl FnMut(&Self)) -> End {
        let mut drawn = Instant::now();
        let mut drift_told = false;
        draw(self);
        loop {
            let drift_ppb = self.core.clock_drift_ppb();
            if drift_ppb.abs() > CLOCK_DRIFT_PPB_MAX && !drift_told {
                drift_told = true;
                tracing::warn!(
                    component = "core",
                    event_type = "clock_drift",
                    drift_ppb,
                    "the timestamp counter and the kernel's clock disagree: latencies are off by as much"
                );
            }
            if let Some(thread) = self.panics.get() {
                return End::Panic(thread.clone());
            }
            if self.core.is_finished() {
                return End::CoreEnded;
            }
            if ended() {
                return End::Asked;
            }
            if let Ok(report) = self.core.connect_reports.recv_timeout(PATROL) {
                tracing::warn!(
                    component = "connector",
                    event_type = "connect_failed",
                    url = report.url,
                    role = ?report.link.role,
                    cause = report.fault.cause.label(),
                    "no connection: {}",
                    report.fault
                );
            }
            if drawn.elapsed() >= DRAW_EVERY {
                drawn = Instant::now();
                draw(self);
            }
        }
    }

    /// Ends everything in order: our orders are cancelled, the core closes its links, the sidecar empties the
    /// rings, the venue goes last. Returns the tap, and what may still be open.
    pub fn stop(self) -> (T, Left) {
        self.stop_trading();
        let asked = Instant::now();
        while self.core.commands.send(Command::Shutdown).is_err()
            && asked.elapsed() < CORE_STOP_TIMEOUT
        {
            std::thread::sleep(PATROL);
        }
        while !self.core.is_finished() && asked.elapsed() < CORE_STOP_TIMEOUT {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !self.core.is_finished() {
            tracing::warn!(
                component = "core",
                event_type = "core_stopped_late",
                "the core did not close its links in time and is stopped"
            );
            self.core.stop();
        }
        let (engine, tap) = self.core.join();
        // Only now: until here it watched over the last cancels too.
        if let Some(dead_man) = self.dead_man {
            dead_man.stop();
        }
        let left = Left {
            orders: engine
                .oms()
                .into_iter()
                .flat_map(|oms| oms.open_all().map(Order::id))
                .collect(),
            is_all: engine.trading_phase() == TradingPhase::Off || engine.has_listed_orders(),
        };
        if let Err(error) = self.sidecar.stop(SIDECAR_STOP_TIMEOUT) {
            tracing::warn!(component = "gateway", "{error}");
        }
        if let Some(keeper) = self.keeper
            && keeper.join().is_err()
        {
            // Its panic message is on stderr, and the watch has ended the session for it.
            tracing::error!(component = "state", "the state thread panicked");
        }
        drop(self.paper);
        if left.orders.is_empty()
            && left.is_all
            && let Some(venue) = &self.venue
        {
            agreement::tell(&engine, venue);
        }
        drop(self.venue);
        (tap, left)
    }

    /// Has the core trade no more and take its orders back, and waits until none is left or the time is over.
    fn stop_trading(&self) {
        let phase = || {
            usize::try_from(self.gauges.plain(Gauge::TradingPhase))
                .ok()
                .and_then(|position| TradingPhase::ALL.get(position).copied())
        };
        if phase() == Some(TradingPhase::Off) || self.core.is_finished() {
            return;
        }
        let asked = Instant::now();
        while self.core.commands.send(Command::Stop).is_err()
            && asked.elapsed() < self.shutdown_timeout
        {
            std::thread::sleep(PATROL);
        }
        while phase() != Some(TradingPhase::Stopped)
            && !self.core.is_finished()
            && asked.elapsed() < self.shutdown_timeout
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What holds of limits that files name, after those that were set over the API.
    ///
    /// # Errors
    /// One sentence when a quantity that was set does not fit its instrument's present grid.
    pub(super) fn hold_limits(
        &self,
        fresh: Limits,
        instruments: &Instruments,
    ) -> Result<HeldLimits, String> {
        match &self.state {
            Some(state) => state.read(|state| state.api_limits.hold(fresh, instruments)),
            None => Ok(HeldLimits {
                limits: fresh,
                kept: Vec::new(),
            }),
        }
    }

    /// Forgets limits that were changed while running: those of the configuration hold again, also after a restart, as
    /// far as what was set over the API lets them.
    pub(super) fn forget_changed_limits(&self) -> Result<(), StateError> {
        match &self.state {
            Some(state) => state.update(|state| {
                state.global_limits = None;
                state.instrument_limits.clear();
            }),
            None => Ok(()),
        }
    }

    /// Sends a command to the core; tries for a while when it is busy.
    pub(super) fn command(&self, command: Command) -> bool {
        let asked = Instant::now();
        while self.core.commands.send(command).is_err() {
            if asked.elapsed() > CORE_STOP_TIMEOUT {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}
