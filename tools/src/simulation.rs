//! Engine and venue on one thread, in virtual time, with everything going wrong by a seed.
//!
//! Owns: [`simulate`], [`SimulationConfig`], [`Report`], [`Violation`]; the links between the two are in
//! `simulation/network.rs`, the disturbances in `simulation/chaos.rs`, what must hold in `simulation/checks.rs`.
//! Does not: read a clock or the system's randomness. Invariant: a seed decides everything, so a seed that fails
//! once fails always.
//!
//! One run has three parts: a market with orders and faults; then quiet, in which nothing new is wanted and nothing
//! is disturbed any more; then the account of the venue and the account of the engine are compared to the last unit.

mod chaos;
mod checks;
pub mod command;
mod exposure;
mod kept;
mod limits;
mod network;
mod progress;
mod setup;
#[cfg(test)]
mod tests;

use crate::venue::{Holdings, VenueInProcess, VenueMicros, VenueStartError};
use chaos::Chaos;
use checks::{Checks, Ledger, Ours};
use limits::Limits;
use network::Network;
use progress::{Progress, STEPS_OF_INSTANT_MAX};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use setup::{Left, read_instruments, start_engine, venue_config};
use std::collections::BTreeMap;
use std::fmt;
use veloz_core::engine::{Engine, EngineError, NoStopwatch};
use veloz_core::event::{Command, Event, Token};
use veloz_core::instrument::Instruments;
use veloz_core::outbox::Outbox;
use veloz_core::strategy::Configured;
use veloz_core::telemetry::TelemetryReader;
use veloz_core::telemetry::records::TradingPhase;
use veloz_core::units::{E8, Nanos};

/// The venue's time when a run begins: some moment in 2026, a quarter of a second before a minute turns.
const BEGINS_AT: VenueMicros = VenueMicros(1_785_048_479_750_000);
/// Virtual time in which everything must have settled after the disturbances end. An order that the venue never
/// got is known to be gone after its horizon; a lost link comes back within half a minute.
const QUIET: Nanos = Nanos::from_secs(240);
/// How often the engine asks what the venue holds of it. What an event that was lost told is known after that.
const RECONCILE_EVERY: Nanos = Nanos::from_secs(10);
/// When the accounts are compared for the first time: after a round of questions.
const FIRST_COMPARED: Nanos = Nanos::from_secs(12);
/// How long the market goes on before they must agree: over a turn of the minute, at which the venue's limits give room
/// for every question, and a round of questions.
const AFTERMATH: Nanos = Nanos::from_secs(75);
/// One seed in so many is watched to the end of [`AFTERMATH`] all the same: nothing may drift apart again.
const PATIENT_SEEDS: u64 = 16;
/// Events of one run at most: beyond, something turns in circles.
const EVENTS_MAX: u64 = 5_000_000;
/// The account at the venue, and the asset that everything is valued in.
const ACCOUNT: &str = "main";
const MONEY: &str = "USDT";
const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// What one run is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulationConfig {
    /// Decides everything.
    pub seed: u64,
    /// How long orders and faults go on, in virtual time.
    pub busy: Nanos,
    /// Whether anything goes wrong at all.
    pub faults: bool,
    /// From when until when the sidecar does nothing: no record and no sample is taken.
    pub parked: Option<(Nanos, Nanos)>,
}

/// What happened in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events that the engine handled.
    pub events: u64,
    /// Orders admitted.
    pub orders: u64,
    /// Fills booked.
    pub fills: u64,
    /// Orders whose outcome was unknown for a while.
    pub unresolved: u64,
    /// Order links lost.
    pub links_lost: u64,
    /// Faults injected.
    pub faults: u64,
    /// How often each kind of fault happened, by the names of [`fault_kinds`]; what was injected and met nothing is not
    /// in it. Beside them what the venue refused for its limits and for our clock, by its code.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// Times that the engine was started anew.
    pub restarts: u64,
    /// Fills that a death had lost from the state file, and that the next start recorded again.
    pub told_again: u64,
    /// A digest of every record, in order: two runs with the same one decided the same at the same times.
    pub digest: u64,
}

impl Report {
    /// The sum of two.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        for (kind, count) in other.by_kind {
            *self.by_kind.entry(kind).or_default() += count;
        }
        Self {
            events: self.events + other.events,
            orders: self.orders + other.orders,
            fills: self.fills + other.fills,
            unresolved: self.unresolved + other.unresolved,
            links_lost: self.links_lost + other.links_lost,
            faults: self.faults + other.faults,
            by_kind: self.by_kind,
            restarts: self.restarts + other.restarts,
            told_again: self.told_again + other.told_again,
            digest: self.digest.wrapping_mul(31).wrapping_add(other.digest),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events, {} orders, {} fills, {} unresolved for a while, {} order links lost, {} faults, {} restarts, {} fills told again after one",
            self.events,
            self.orders,
            self.fills,
            self.unresolved,
            self.links_lost,
            self.faults,
            self.restarts,
            self.told_again
        )?;
        for (position, (kind, count)) in self.by_kind.iter().enumerate() {
            let before = if position == 0 { "; " } else { ", " };
            write!(f, "{before}{kind} {count}")?;
        }
        Ok(())
    }
}

/// Every kind of fault that happens in simulations, by name.
pub fn fault_kinds() -> impl Iterator<Item = &'static str> {
    chaos::kinds()
}

/// Something that must hold does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, {} ms after its start: {what}", at.as_ms())]
pub struct Violation {
    /// Which run.
    pub seed: u64,
    /// When, in virtual time.
    pub at: Nanos,
    /// What.
    pub what: String,
}

/// Why a run cannot be made: a mistake in the simulation itself.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// Something does not hold.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// There is no venue.
    #[error(transparent)]
    Venue(#[from] VenueStartError),
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The venue's own answers or keys cannot be used.
    #[error("{0}")]
    Setup(String),
}

/// The engine with its sidecar's ends.
type Brain = Engine<NoStopwatch, Configured>;

/// One run.
struct World {
    config: SimulationConfig,
    now: Nanos,
    venue: VenueInProcess,
    instruments: Instruments,
    engine: Brain,
    telemetry: TelemetryReader,
    out: Outbox,
    network: Network,
    chaos: Chaos,
    checks: Checks,
    run: u32,
    events: u64,
    restarts: u64,
    progress: Progress,
    /// How wrong the machine's wall clock is.
    wall_error_ns: i64,
    /// How long the machine has slept: its monotonic clock, which is the engine's, stood still.
    slept: Nanos,
    /// Until when it sleeps, and since when.
    asleep: Option<(Nanos, Nanos)>,
    /// What something outside keeps locked of the account's money.
    locked_outside: E8,
    trace: bool,
    #[cfg(test)]
    sabotage: Option<tests::Sabotage>,
}

/// Runs one seed; `trace` prints every message of the order link and every record.
///
/// # Errors
/// [`SimulationError::Violation`] when something does not hold.
pub fn simulate(config: SimulationConfig, trace: bool) -> Result<Report, SimulationError> {
    let mut world = World::new(config, trace)?;
    world.run()?;
    Ok(world.report())
}

impl World {
    fn new(config: SimulationConfig, trace: bool) -> Result<Self, SimulationError> {
        let mut random = SmallRng::seed_from_u64(config.seed);
        let mut venue = VenueInProcess::new(venue_config(&config, &mut random), BEGINS_AT)?;
        let instruments = read_instruments(&mut venue)?;
        let limits = Limits::of_seed(config.seed);
        let (engine, telemetry) = start_engine(&venue, &instruments, &config, 1, Left::default())?;
        let mut world = Self {
            network: Network::new(SmallRng::seed_from_u64(random.random()), config.faults),
            chaos: Chaos::new(SmallRng::seed_from_u64(random.random()), config),
            checks: Checks::new(&instruments, limits, config.seed),
            now: Nanos::ZERO,
            out: Outbox::new(),
            run: 1,
            events: 0,
            restarts: 0,
            progress: Progress::default(),
            wall_error_ns: 0,
            slept: Nanos::ZERO,
            asleep: None,
            locked_outside: E8(0),
            #[cfg(test)]
            sabotage: None,
            config,
            venue,
            instruments,
            engine,
            telemetry,
            trace,
        };
        world.wall_error_ns = world.chaos.wall_clock_error_ns();
        Ok(world)
    }

    fn run(&mut self) -> Result<(), SimulationError> {
        self.tell_time();
        self.busy()?;
        self.quiet()?;
        self.compare()
    }

    /// Tells the engine what time it is.
    fn tell_time(&mut self) {
        let right = (BEGINS_AT.0 * 1_000 + self.slept.0) as i64;
        self.handle(Event::WallClock {
            unix_ns_at_zero: right + self.wall_error_ns,
        });
    }

    /// What the engine's clock shows.
    fn engine_now(&self) -> Nanos {
        Nanos(self.now.0 - self.slept.0)
    }

    /// When the engine is due; never while it sleeps.
    fn engine_due(&self) -> Option<Nanos> {
        let due = self.engine.next_deadline()?;
        (self.asleep.is_none() && due != Nanos::MAX).then(|| due.plus(self.slept))
    }

    /// The market goes on, orders are wanted, things go wrong.
    fn busy(&mut self) -> Result<(), SimulationError> {
        let until = self.config.busy;
        while self.now < until {
            let at = self.next_at().min(self.chaos.next_at()).min(until);
            self.advance(at)?;
            if self.chaos.next_at() <= self.now {
                self.disturb()?;
            }
        }
        Ok(())
    }

    /// Nothing new is wanted, and nothing goes wrong any more, until all is settled.
    fn quiet(&mut self) -> Result<(), SimulationError> {
        self.network.heal();
        self.free_outside();
        self.wall_error_ns = self.chaos.wall_clock_error_ns();
        if self.asleep.is_none() {
            self.tell_time();
        }
        let until = self.now.plus(QUIET);
        for command in [
            Command::RunStrategy {
                token: Token(u64::MAX),
                running: false,
            },
            Command::CancelAll {
                token: Token(u64::MAX),
                instrument: None,
            },
        ] {
            self.handle(Event::Command(command));
        }
        let mut swept = self.now;
        while self.now < until {
            if self.is_settled() {
                return Ok(());
            }
            // What turned out to be alive after all is taken back too.
            if self.now.since(swept) >= Nanos::from_secs(10) {
                swept = self.now;
                self.handle(Event::Command(Command::CancelAll {
                    token: Token(u64::MAX),
                    instrument: None,
                }));
            }
            let at = self.next_at().min(until);
            self.advance(at)?;
        }
        let open: Vec<String> = self
            .engine
            .oms()
            .into_iter()
            .flat_map(veloz_core::oms::Oms::open_all)
            .map(|order| format!("{} {}", order.id(), order.state().label()))
            .collect();
        Err(self
            .violation(format!(
                "{} s of quiet were not enough: trading is {}, open orders {open:?}",
                QUIET.as_ms() / 1_000,
                self.engine.trading_phase().label()
            ))
            .into())
    }

    fn is_settled(&self) -> bool {
        self.engine.trading_phase() == TradingPhase::Ready
            && self.engine.oms().is_some_and(|oms| oms.open_count() == 0)
            && self.network.is_idle()
    }

    /// Both sides must have come to the same.
    fn compare(&mut self) -> Result<(), SimulationError> {
        // What the last lost event told is asked for by then; the market goes on without us.
        let last = self.now.plus(AFTERMATH);
        let patient = self.config.seed.is_multiple_of(PATIENT_SEEDS);
        let mut until = if patient {
            last
        } else {
            self.now.plus(FIRST_COMPARED)
        };
        loop {
            while self.now < until {
                let at = self.next_at().min(until);
                self.advance(at)?;
            }
            let ledger = Ledger::of(self.holdings()?);
            let ours = Ours::of(&self.engine, &self.instruments);
            match ours.and_then(|ours| self.checks.compare(&ours, &ledger)) {
                // What is still asked or told might change it.
                Ok(()) if self.is_settled() || until == last => return Ok(()),
                Err(what) if until == last => return Err(self.violation(what).into()),
                Ok(()) | Err(_) => until = until.plus(RECONCILE_EVERY).min(last),
            }
        }
    }

    fn holdings(&self) -> Result<Holdings, SimulationError> {
        self.venue
            .holdings(ACCOUNT)
            .ok_or_else(|| SimulationError::Setup(format!("the venue has no {ACCOUNT}")))
    }

    /// When something happens next.
    fn next_at(&self) -> Nanos {
        let venue = self.venue.next_deadline().map_or(Nanos::MAX, engine_time);
        let others = venue.min(self.network.next_at_venue());
        if let Some((_, until)) = self.asleep {
            others.min(until)
        } else {
            let engine = self.engine_due().unwrap_or(Nanos::MAX);
            others.min(engine).min(self.network.next_at_engine())
        }
    }

    /// Moves everything to `at`.
    fn advance(&mut self, at: Nanos) -> Result<(), SimulationError> {
        self.watch_progress(at)?;
        self.now = self.now.max(at);
        self.wake();
        self.venue.advance(venue_time(self.now));
        self.network.collect(self.now, &mut self.venue);
        while let Some(text) = self.network.for_venue(self.now) {
            if text.orders {
                if self.trace {
                    println!("{:>12} -> {}", self.now.0, text.text);
                }
                self.checks
                    .asked(self.now, &text.text)
                    .map_err(|what| self.violation(what))?;
            }
            self.venue
                .text(venue_time(self.now), text.connection, &text.text);
            self.network.collect(self.now, &mut self.venue);
        }
        if self.asleep.is_some() {
            return Ok(());
        }
        let now = self.engine_now();
        while let Some(arrival) = self.network.for_engine(self.now) {
            if self.trace && arrival.is_of_orders() {
                println!("{:>12} <- {arrival}", self.now.0);
            }
            self.checks.arrived(now, arrival.is_of_market());
            arrival.with_event(|event| {
                self.engine.handle(now, event, &mut self.out);
            });
            self.after_event()?;
        }
        if self.engine_due().is_some_and(|due| due <= self.now) {
            self.engine.handle(now, Event::Tick, &mut self.out);
            self.after_event()?;
        }
        // As the real loop does: how much the sidecar has left to take is what the core hears of it.
        while let Some(above) = self.engine.telemetry().records.backlog_change() {
            self.handle(Event::Backlog(above));
            self.after_event()?;
        }
        if self.events > EVENTS_MAX {
            return Err(self
                .violation(format!("more than {EVENTS_MAX} events"))
                .into());
        }
        Ok(())
    }

    /// Time must go on: something that is due again and again at one instant never ends.
    fn watch_progress(&mut self, at: Nanos) -> Result<(), SimulationError> {
        if self.progress.step(self.now, at) {
            return Ok(());
        }
        let due = |at: Option<Nanos>| at.map_or("nothing".to_owned(), |at| format!("{} ns", at.0));
        Err(self
            .violation(format!(
                "time stands still: after {STEPS_OF_INSTANT_MAX} steps of one instant the engine is due at {}, the venue at {} and the network at {}",
                due(self.engine_due()),
                due(self.venue.next_deadline().map(engine_time)),
                due(Some(self.network.next_at_venue().min(self.network.next_at_engine()))),
            ))
            .into())
    }

    /// Handles one event of the simulation's own.
    fn handle(&mut self, event: Event<'_>) {
        self.engine.handle(self.engine_now(), event, &mut self.out);
        self.perform();
    }

    /// Performs what the engine wants, and looks at what it says.
    fn after_event(&mut self) -> Result<(), SimulationError> {
        self.perform();
        if let Some(link) = self.network.prolonged() {
            let what = format!("{link:?} is asked for although the address is banned");
            return Err(self.violation(what).into());
        }
        checks::totals(&self.engine, &self.instruments).map_err(|what| self.violation(what))?;
        let parked = self.config.parked;
        if parked.is_some_and(|(from, until)| (from..until).contains(&self.now)) {
            // Read off the engine itself: when the records come, its positions have moved on.
            self.checks.observe(&self.engine);
            return Ok(());
        }
        self.take_records()
    }

    /// What the sidecar does.
    fn take_records(&mut self) -> Result<(), SimulationError> {
        let trace = self.trace;
        while let Some(record) = self.telemetry.records.pop() {
            if trace {
                println!("{:>12}    {:?}", record.at.0, record.body);
            }
            #[cfg(test)]
            let record = tests::Sabotage::spoil(&mut self.sabotage, record);
            self.checks
                .record(&record)
                .map_err(|what| self.violation(what))?;
        }
        while self.telemetry.samples.pop().is_some() {}
        self.checks.observe(&self.engine);
        self.check_limits()
    }

    /// What is admitted now must be within the limits now.
    fn check_limits(&mut self) -> Result<(), SimulationError> {
        // Records that waited for a sidecar tell of a moment that is over.
        let moment = if self.checks.admitted() == Some(self.engine_now()) {
            let marks = limits::marks(&self.engine, &self.instruments);
            Some(limits::Moment {
                now: self.engine_now(),
                equity: limits::equity(&self.holdings()?, &marks, &self.instruments),
                marks,
                wall_error_ns: self.wall_error_ns,
            })
        } else {
            None
        };
        self.checks
            .limits(moment.as_ref())
            .map_err(|what| self.violation(what).into())
    }

    fn perform(&mut self) {
        self.events += 1;
        self.network.perform(self.now, &self.out, &mut self.venue);
        self.out.clear();
    }

    /// The machine wakes when its time has come: the engine's clock goes on where it stood, and is told the time.
    fn wake(&mut self) {
        if let Some((since, until)) = self.asleep
            && until <= self.now
        {
            self.asleep = None;
            self.slept = self.slept.plus(self.now.since(since));
            self.tell_time();
        }
    }

    /// Something outside locks so many percent of the free money.
    fn lock_outside(&mut self, percent: u8) -> Result<(), SimulationError> {
        let balances = self.holdings()?.balances;
        let free = balances
            .into_iter()
            .find(|(asset, ..)| asset == MONEY)
            .map_or(0, |(_, free, _)| free.0);
        let part = E8(free / 100 * i64::from(percent));
        let locked = self
            .venue
            .lock_outside(venue_time(self.now), ACCOUNT, MONEY, part);
        if locked {
            self.locked_outside.0 += part.0;
            self.network.collect(self.now, &mut self.venue);
        }
        Ok(())
    }

    /// And frees it.
    fn free_outside(&mut self) {
        let part = E8(-std::mem::take(&mut self.locked_outside).0);
        if part != E8(0) {
            let freed = self
                .venue
                .lock_outside(venue_time(self.now), ACCOUNT, MONEY, part);
            assert!(freed, "what was locked is locked");
            self.network.collect(self.now, &mut self.venue);
        }
    }

    /// One disturbance or wish.
    fn disturb(&mut self) -> Result<(), SimulationError> {
        match self.chaos.next(self.now, &self.instruments, &self.engine) {
            // Nobody reaches a machine that sleeps.
            chaos::Act::Command(_) | chaos::Act::Restart if self.asleep.is_some() => {}
            chaos::Act::Command(command) => {
                self.handle(Event::Command(command));
                self.after_event()?;
            }
            chaos::Act::Fault(fault, surface) => {
                self.venue.inject(venue_time(self.now), fault, surface);
                self.network.collect(self.now, &mut self.venue);
            }
            chaos::Act::CutLink => self.network.cut_one(self.now, &mut self.venue),
            chaos::Act::Restart => self.restart()?,
            chaos::Act::StepClock(error_ns) => {
                self.wall_error_ns = error_ns;
                if self.asleep.is_none() {
                    self.tell_time();
                    self.after_event()?;
                }
            }
            chaos::Act::Sleep(length) => {
                if self.asleep.is_none() {
                    self.asleep = Some((self.now, self.now.plus(length)));
                }
            }
            chaos::Act::LockOutside(percent) => self.lock_outside(percent)?,
            chaos::Act::FreeOutside => self.free_outside(),
            chaos::Act::Nothing => {}
        }
        Ok(())
    }

    /// The engine dies where it stands, and another starts in its place.
    fn restart(&mut self) -> Result<(), SimulationError> {
        // What was known when it died is what the state file keeps, but for the last trades.
        let mut left = checks::left(&self.engine);
        // Two runs are compared by all that they recorded, the last words of an engine included.
        self.take_records()?;
        self.network.cut_all(&mut self.venue);
        self.checks.restarted(self.engine_now());
        left.trades_known = self.checks.trades_known();
        self.run += 1;
        self.restarts += 1;
        let (engine, telemetry) =
            start_engine(&self.venue, &self.instruments, &self.config, self.run, left)?;
        self.engine = engine;
        self.telemetry = telemetry;
        self.tell_time();
        Ok(())
    }

    fn violation(&self, what: String) -> Violation {
        Violation {
            seed: self.config.seed,
            at: self.now,
            what,
        }
    }

    fn report(&self) -> Report {
        let mut by_kind = self.venue.stats().faults;
        for (kind, count) in self.chaos.others().iter().chain(self.checks.refusals()) {
            *by_kind.entry(kind).or_default() += count;
        }
        Report {
            by_kind,
            events: self.events,
            restarts: self.restarts,
            faults: self.chaos.faults(),
            links_lost: self.network.order_links_lost(),
            ..self.checks.report().clone()
        }
    }
}

/// The venue's clock at a moment of the engine's.
fn venue_time(now: Nanos) -> VenueMicros {
    VenueMicros(BEGINS_AT.0 + now.0 / 1_000)
}

/// The engine's clock at a moment of the venue's.
fn engine_time(at: VenueMicros) -> Nanos {
    Nanos(at.0.saturating_sub(BEGINS_AT.0) * 1_000)
}
