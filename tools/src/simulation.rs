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
mod network;
mod setup;

use crate::venue::{VenueInProcess, VenueMicros, VenueStartError};
use chaos::Chaos;
use checks::{Checks, Ledger};
use network::Network;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use setup::{Left, read_instruments, start_engine, venue_config};
use std::fmt;
use veloz_core::engine::{Engine, EngineError, NoStopwatch};
use veloz_core::event::{Command, Event, Token};
use veloz_core::instrument::Instruments;
use veloz_core::outbox::Outbox;
use veloz_core::strategy::Configured;
use veloz_core::telemetry::TelemetryReader;
use veloz_core::telemetry::records::TradingPhase;
use veloz_core::units::Nanos;

/// The venue's time when a run begins: some moment in 2026, a quarter of a second before a minute turns.
const BEGINS_AT: VenueMicros = VenueMicros(1_785_048_479_750_000);
/// Virtual time in which everything must have settled after the disturbances end. An order that the venue never
/// got is known to be gone after its horizon; a lost link comes back within half a minute.
const QUIET: Nanos = Nanos::from_secs(240);
/// How often the engine asks what the venue holds of it. What an event that was lost told is known after that.
const RECONCILE_EVERY: Nanos = Nanos::from_secs(10);
/// How long the market goes on before the accounts are compared: over a turn of the minute, at which the venue's
/// limits give room for every question, and a round of questions.
const AFTERMATH: Nanos = Nanos::from_secs(75);
/// Events of one run at most: beyond, something turns in circles.
const EVENTS_MAX: u64 = 5_000_000;
/// Most steps without time going on: several times what one instant needs, when every link and timer comes due in it.
const STEPS_OF_INSTANT_MAX: u32 = 10_000;
/// The account at the venue, and the asset that everything is valued in.
const ACCOUNT: &str = "main";
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Times that the engine was started anew.
    pub restarts: u64,
    /// A digest of every record, in order: two runs with the same one decided the same at the same times.
    pub digest: u64,
}

impl Report {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            orders: self.orders + other.orders,
            fills: self.fills + other.fills,
            unresolved: self.unresolved + other.unresolved,
            links_lost: self.links_lost + other.links_lost,
            faults: self.faults + other.faults,
            restarts: self.restarts + other.restarts,
            digest: self.digest.wrapping_mul(31).wrapping_add(other.digest),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events, {} orders, {} fills, {} unresolved for a while, {} order links lost, {} faults, {} restarts",
            self.events,
            self.orders,
            self.fills,
            self.unresolved,
            self.links_lost,
            self.faults,
            self.restarts
        )
    }
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
    steps_of_instant: u32,
    trace: bool,
}

/// Runs one seed; `trace` prints every message of the order link and every record.
///
/// # Errors
/// [`SimulationError::Violation`] when something does not hold.
pub fn simulate(config: SimulationConfig, trace: bool) -> Result<Report, SimulationError> {
    let mut random = SmallRng::seed_from_u64(config.seed);
    let mut venue = VenueInProcess::new(venue_config(&config, &mut random), BEGINS_AT)?;
    let instruments = read_instruments(&mut venue)?;
    let (engine, telemetry) = start_engine(&venue, &instruments, &config, 1, Left::default())?;
    let mut world = World {
        network: Network::new(SmallRng::seed_from_u64(random.random()), config.faults),
        chaos: Chaos::new(SmallRng::seed_from_u64(random.random()), config),
        checks: Checks::new(&instruments),
        now: Nanos::ZERO,
        out: Outbox::new(),
        run: 1,
        events: 0,
        restarts: 0,
        steps_of_instant: 0,
        config,
        venue,
        instruments,
        engine,
        telemetry,
        trace,
    };
    world.begin();
    world.busy()?;
    world.quiet()?;
    world.compare()?;
    Ok(world.report())
}

impl World {
    /// Tells the engine what time it is.
    fn begin(&mut self) {
        let unix_ns_at_zero = (BEGINS_AT.0 * 1_000) as i64 + self.chaos.wall_clock_error_ns();
        self.handle(Event::WallClock { unix_ns_at_zero });
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
        let settled = self.now.plus(AFTERMATH);
        while self.now < settled {
            let at = self.next_at().min(settled);
            self.advance(at)?;
        }
        let holdings = self
            .venue
            .holdings(ACCOUNT)
            .ok_or_else(|| SimulationError::Setup(format!("the venue has no {ACCOUNT}")))?;
        let ledger = Ledger::of(holdings);
        self.checks
            .compare(&self.engine, &ledger)
            .map_err(|what| self.violation(what).into())
    }

    /// When something happens next.
    fn next_at(&self) -> Nanos {
        let engine = self.engine.next_deadline().unwrap_or(Nanos::MAX);
        let venue = self.venue.next_deadline().map_or(Nanos::MAX, engine_time);
        engine.min(venue).min(self.network.next_at())
    }

    /// Moves everything to `at`.
    fn advance(&mut self, at: Nanos) -> Result<(), SimulationError> {
        self.watch_progress(at)?;
        self.now = self.now.max(at);
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
        while let Some(arrival) = self.network.for_engine(self.now) {
            if self.trace && arrival.is_of_orders() {
                println!("{:>12} <- {arrival}", self.now.0);
            }
            arrival.with_event(|event| {
                self.engine.handle(self.now, event, &mut self.out);
            });
            self.after_event()?;
        }
        if self
            .engine
            .next_deadline()
            .is_some_and(|due| due <= self.now)
        {
            self.engine.handle(self.now, Event::Tick, &mut self.out);
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
        if at > self.now {
            self.steps_of_instant = 0;
            return Ok(());
        }
        self.steps_of_instant += 1;
        if self.steps_of_instant <= STEPS_OF_INSTANT_MAX {
            return Ok(());
        }
        let due = |at: Option<Nanos>| at.map_or("nothing".to_owned(), |at| format!("{} ns", at.0));
        Err(self
            .violation(format!(
                "time stands still: after {STEPS_OF_INSTANT_MAX} steps of one instant the engine is due at {}, the venue at {} and the network at {}",
                due(self.engine.next_deadline()),
                due(self.venue.next_deadline().map(engine_time)),
                due(Some(self.network.next_at())),
            ))
            .into())
    }

    /// Handles one event of the simulation's own.
    fn handle(&mut self, event: Event<'_>) {
        self.engine.handle(self.now, event, &mut self.out);
        self.perform();
    }

    /// Performs what the engine wants, and looks at what it says.
    fn after_event(&mut self) -> Result<(), SimulationError> {
        self.perform();
        if let Some(link) = self.network.prolonged() {
            let what = format!("{link:?} is asked for although the address is banned");
            return Err(self.violation(what).into());
        }
        checks::state(&self.engine, &self.instruments).map_err(|what| self.violation(what))?;
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
            self.checks
                .record(&record)
                .map_err(|what| self.violation(what))?;
        }
        while self.telemetry.samples.pop().is_some() {}
        self.checks.observe(&self.engine);
        Ok(())
    }

    fn perform(&mut self) {
        self.events += 1;
        self.network.perform(self.now, &self.out, &mut self.venue);
        self.out.clear();
    }

    /// One disturbance or wish.
    fn disturb(&mut self) -> Result<(), SimulationError> {
        match self.chaos.next(self.now, &self.instruments, &self.engine) {
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
            chaos::Act::Nothing => {}
        }
        Ok(())
    }

    /// The engine dies where it stands, and another starts in its place.
    fn restart(&mut self) -> Result<(), SimulationError> {
        // What was known when it died is what the state file keeps.
        let mut left = checks::left(&self.engine);
        // Two runs are compared by all that they recorded, the last words of an engine included.
        self.take_records()?;
        self.network.cut_all(&mut self.venue);
        left.trades_known = self.checks.trades_known();
        self.run += 1;
        self.restarts += 1;
        let (engine, telemetry) =
            start_engine(&self.venue, &self.instruments, &self.config, self.run, left)?;
        self.engine = engine;
        self.telemetry = telemetry;
        self.checks.restarted();
        self.begin();
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
        Report {
            events: self.events,
            restarts: self.restarts,
            faults: self.chaos.faults(),
            links_lost: self.network.order_links_lost(),
            ..self.checks.report()
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
