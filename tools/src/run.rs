//! The threads of one engine process: started, wired and ended here, and nowhere else.
//!
//! Owns: [`Boot`] (everything before a thread of ours runs), [`Session`] (what runs) and `veloz run`;
//! what ends it is in `run/ends.rs`, the translation of the configuration in `run/settings.rs`. Does
//! not: decide anything about market data.
//!
//! | thread | what it does | where |
//! | --- | --- | --- |
//! | `veloz-core` | sockets, engine | its own CPU |
//! | `veloz-connector`, `veloz-connect-N` | make connections | every other CPU, nice +10 |
//! | `veloz-drain`, `veloz-http` | telemetry, `/health`, `/metrics` | every other CPU |
//! | `venue` | the embedded venue, when there is one | every other CPU |
//! | `veloz-start` | asks the venue for its instruments, then ends | every other CPU |
//! | `veloz-capture` | writes a capture, when there is one | every other CPU |
//! | `veloz-log` | writes log lines | every other CPU |
//! | main | signals, log of connections, live status | every other CPU |
//!
//! The first SIGINT or SIGTERM ends the process cleanly within two seconds, with exit code 0; the
//! second ends it at once. A thread that panics ends it with exit code 1 and a sentence.

pub mod ends;
mod settings;

use crate::capture::tap::{BlockWriter, Drained};
use crate::capture::writer::Totals;
use crate::cli::{EXIT_FAILURE, EXIT_OK, RunArgs};
use crate::config::{self, Config, Loaded, Source};
use crate::logging::{self, Logging};
use crate::placement::{self, Cpus, Placement};
use crate::status::{self, Screen};
use crate::venue::{MarketConfig, Recording, Speed, Venue, VenueConfig, VenueHandle};
use ends::{Panics, Signals, note_panic, watch_panics};
use settings::engine_config;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use veloz_core::config::EngineConfig;
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::request_once;
use veloz_core::edge::core_loop::{Core, EdgeConfig, NoTap, Tap, spawn};
use veloz_core::edge::cpu::{self, Outcome, Scheduling};
use veloz_core::edge::idle::IdleKind;
use veloz_core::engine::Engine;
use veloz_core::event::Command;
use veloz_core::instrument::Instruments;
use veloz_core::telemetry::{Sizes, telemetry};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::exchange_info;
use veloz_exporter::http::ports::HttpConfig;
use veloz_exporter::{ExporterConfig, SidecarHandle};

/// How long the venue may take to say what it trades.
const EXCHANGE_INFO_TIMEOUT: Nanos = Nanos::from_secs(10);
/// How long the core may take to close its links; then it is stopped where it is.
const CORE_STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the sidecar may take to empty the rings and finish its answers.
const SIDECAR_STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// A counter that runs further off than this was not calibrated but disturbed: 100 ppm.
const CLOCK_DRIFT_PPB_MAX: i64 = 100_000;
/// How often the main thread looks around.
const PATROL: Duration = Duration::from_millis(20);
/// How often the live status is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How long the capture's writer rests when no block waits.
const CAPTURE_REST: Duration = Duration::from_millis(5);
/// Silence after which the edge gives a socket up: the venue pings every 20 s, one may be lost.
const SOCKET_SILENCE_MIN: Nanos = Nanos::from_secs(45);

/// Why nothing runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// A signal came first.
    Asked,
    /// One sentence that says what failed and what to do.
    Failed(String),
}

impl From<String> for NotStarted {
    fn from(sentence: String) -> Self {
        Self::Failed(sentence)
    }
}

impl NotStarted {
    /// Logs it and gives the exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Asked => finish(&End::Asked),
            Self::Failed(sentence) => fail(sentence),
        }
    }
}

/// Everything that is decided before a thread of the engine runs.
pub struct Boot {
    /// Where the core thread will run.
    pub placement: Placement,
    /// What the engine will be told.
    pub engine: EngineConfig,
    /// What it will follow.
    pub instruments: Instruments,
    /// Where its data comes from, for people.
    pub source: String,
    edge: EdgeConfig,
    http: HttpConfig,
    venue: Option<VenueHandle>,
}

impl Boot {
    /// Places the process, starts the embedded venue when it is the source, and asks the venue for
    /// its instruments; gives up when `asked` says so.
    ///
    /// # Errors
    /// [`NotStarted`] says why.
    pub fn new(config: &Config, asked: impl Fn() -> bool) -> Result<Self, NotStarted> {
        let allowed = cpu::allowed_cpus();
        let isolated = cpu::isolated_cpus();
        let cpus = Cpus {
            allowed: &allowed,
            isolated: &isolated,
        };
        let placement = placement::place(&config.core, cpus).map_err(|error| error.to_string())?;
        if let Some(core_cpu) = placement.cpu {
            // Threads inherit this mask; a refusal only means that they share the CPU.
            cpu::leave_core_cpu(core_cpu);
        }

        let venue = match config.venue.source {
            Source::Embedded => Some(start_venue(config)?),
            Source::Binance => None,
        };
        let (market_url, api_url, source) = match &venue {
            Some(venue) => {
                let address = venue.address();
                (
                    format!("wss://{address}/stream"),
                    format!("wss://{address}/ws-api/v3"),
                    format!("embedded venue on {address}"),
                )
            }
            None => (
                config.venue.market_url.clone(),
                config.venue.api_url.clone(),
                config.venue.market_url.clone(),
            ),
        };
        let ca_file = &config.venue.ca_file;
        let silence = Nanos::from_ms(config.market_data.silence_ms);
        let edge = EdgeConfig {
            market_url,
            api_url,
            ca_files: if venue.is_some() || ca_file.as_os_str().is_empty() {
                Vec::new()
            } else {
                vec![ca_file.clone()]
            },
            ca_pems: venue
                .iter()
                .map(|venue| venue.ca_pem().to_owned())
                .collect(),
            cpu: placement.cpu,
            scheduling: match config.core.realtime_priority {
                0 => Scheduling::Other,
                priority => Scheduling::Fifo { priority },
            },
            lock_memory: config.core.lock_memory,
            idle: match placement.idle {
                config::Idle::Spin => IdleKind::Spin,
                config::Idle::Yield => IdleKind::Yield,
                config::Idle::Backoff | config::Idle::Auto => IdleKind::Backoff,
            },
            connect_timeout: EngineConfig::default().links.connect_timeout,
            silence_max: silence.max(SOCKET_SILENCE_MIN),
        };
        let answer = ask_exchange_info(&edge, config, asked)?;
        let (instruments, weight_per_minute) = read_exchange_info(&answer, config)?;
        let mut engine = engine_config(config, RandomState::new().build_hasher().finish());
        engine.requests.weight_per_minute =
            engine.requests.weight_per_minute.min(weight_per_minute);
        Ok(Self {
            placement,
            engine,
            instruments,
            source,
            edge,
            http: config.http.server(),
            venue,
        })
    }

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
        let sidecar = veloz_exporter::start(
            ExporterConfig {
                http: self.http,
                core_cpu: self.placement.cpu,
                ..ExporterConfig::default()
            },
            sidecar_end,
            &self.instruments,
            clock,
            Arc::clone(&logging.log),
            note_panic,
        )
        .map_err(|error| {
            format!("{error}; choose another with http.port (--set http.port=0 takes a free one)")
        })?;
        let engine = Engine::new(self.engine, self.instruments, core_end, clock)
            .map_err(|error| error.to_string())?;
        let core = spawn(&self.edge, clock, engine, tap).map_err(|error| error.to_string())?;
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
            venue: self.venue,
            panics,
        })
    }
}

/// A running engine with everything around it.
pub struct Session<T> {
    core: Core<Engine<Clock>, T>,
    sidecar: SidecarHandle,
    venue: Option<VenueHandle>,
    panics: Panics,
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

    /// Ends everything in order: the core closes its links, the sidecar empties the rings, the venue
    /// goes last. Returns the tap.
    pub fn stop(self) -> T {
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
        let (_, tap) = self.core.join();
        if let Err(error) = self.sidecar.stop(SIDECAR_STOP_TIMEOUT) {
            tracing::warn!(component = "gateway", "{error}");
        }
        drop(self.venue);
        tap
    }
}

/// `veloz run`.
pub fn run(loaded: &Loaded, arguments: &RunArgs) -> u8 {
    let (logging, screen) = match install_logging(loaded) {
        Ok(installed) => installed,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            return EXIT_FAILURE;
        }
    };
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(sentence) => return fail(&sentence),
    };
    let boot = match Boot::new(&loaded.config, || signals.asked()) {
        Ok(boot) => boot,
        Err(not_started) => return not_started.exit_code(),
    };
    let title = format!(
        "{}, core {}, {}",
        boot.source,
        boot.placement
            .cpu
            .map_or_else(|| "not pinned".to_owned(), |cpu| format!("on CPU {cpu}")),
        boot.edge.idle.label()
    );
    let session = match boot.start(NoTap, &logging) {
        Ok(session) => session,
        Err(sentence) => return fail(&sentence),
    };
    let end = observe(
        &session,
        &screen,
        &title,
        arguments.seconds,
        !arguments.no_status,
        || {
            reopen_on_hangup(&signals, &logging);
            signals.asked()
        },
    );
    session.stop();
    finish(&end)
}

/// Sets up logging and writes what the configuration has to say. The log goes on while its handle lives.
///
/// # Errors
/// A sentence that says why there is no log.
pub fn install_logging(loaded: &Loaded) -> Result<(Logging, Arc<Screen>), String> {
    let screen = Arc::new(Screen::stdout());
    let logging = logging::install(&loaded.config.log, &screen)?;
    for warning in &loaded.warnings {
        tracing::warn!(component = "config", "{warning}");
    }
    if loaded.config.venue.execution_mode != config::ExecutionMode::SimEngine
        || loaded.config.venue.api_key.is_set()
    {
        tracing::warn!(
            component = "config",
            "this version sends no orders: market data only"
        );
    }
    Ok((logging, screen))
}

/// Opens the log's files anew when SIGHUP came.
pub fn reopen_on_hangup(signals: &Signals, logging: &Logging) {
    if !signals.asked() && signals.take_hangup() {
        logging.reopen();
        tracing::info!(
            component = "core",
            event_type = "log_reopened",
            "SIGHUP: log files are opened anew"
        );
    }
}

/// Stays with a session until its time is over, `asked` says so or something breaks; shows the live
/// status when that is wished and standard output is a terminal.
pub fn observe<T>(
    session: &Session<T>,
    screen: &Screen,
    title: &str,
    seconds: Option<u64>,
    live: bool,
    asked: impl Fn() -> bool,
) -> End {
    let url = session.sidecar.url();
    tracing::info!(
        component = "core",
        event_type = "started",
        health = format!("{url}/health"),
        metrics = format!("{url}/metrics"),
        "running; open the addresses to look inside, Ctrl-C ends it"
    );
    let live = live && std::io::stdout().is_terminal();
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let end = session.watch(
        || asked() || until.is_some_and(|until| Instant::now() >= until),
        |session| {
            if live {
                let status = session.sidecar.status();
                let frame = status::render(&status, title, url, status::terminal_size());
                // A terminal that is gone ends the process by a signal, not by this.
                let _ = screen.draw(&frame);
            }
        },
    );
    if live {
        let _ = screen.draw("");
    }
    end
}

/// Starts the thread that writes a capture; it ends when the tap is gone and everything is on disk.
///
/// # Errors
/// When the system has no thread left.
pub fn capture_thread(mut blocks: BlockWriter<File>) -> io::Result<JoinHandle<io::Result<Totals>>> {
    std::thread::Builder::new()
        .name("veloz-capture".to_owned())
        .spawn(move || {
            cpu::lower_priority();
            loop {
                match blocks.drain()? {
                    Drained::Some => {}
                    Drained::None => std::thread::sleep(CAPTURE_REST),
                    Drained::Ended => break,
                }
            }
            let (totals, file) = blocks.finish()?;
            file.sync_all()?;
            Ok(totals)
        })
}

/// Logs why a session ended and gives the exit code.
pub fn finish(end: &End) -> u8 {
    match end {
        End::Asked => {
            tracing::info!(component = "core", event_type = "stopped", "stopped");
            EXIT_OK
        }
        End::Panic(thread) => fail(&format!(
            "the thread {thread} panicked (its words are on standard error); the process ends, because it would go on half blind"
        )),
        End::CoreEnded => fail("the core ended although nobody asked it to"),
    }
}

/// Logs why nothing goes on and gives the exit code.
pub fn fail(sentence: &str) -> u8 {
    tracing::error!(component = "core", event_type = "failed", "{sentence}");
    EXIT_FAILURE
}

/// Starts the embedded venue.
fn start_venue(config: &Config) -> Result<VenueHandle, String> {
    let embedded = &config.embedded;
    let recorded = !embedded.capture.as_os_str().is_empty();
    let market = if recorded {
        MarketConfig::Recorded(Recording {
            files: vec![embedded.capture.clone()],
            speed: match embedded.speed {
                config::Speed::Max => Speed::Max,
                config::Speed::Times(times) => Speed::Times(f64::from(times)),
            },
            wait_for: None,
        })
    } else {
        MarketConfig::Synthetic {
            symbols: config.market_data.symbols.clone(),
            seed: embedded.seed,
        }
    };
    let ca_file = &embedded.ca_file;
    Venue::start(VenueConfig {
        port: embedded.port,
        ca_file: (!ca_file.as_os_str().is_empty()).then(|| ca_file.clone()),
        seed: embedded.seed,
        market,
        ..VenueConfig::default()
    })
    .map_err(|error| {
        format!("{error} (embedded.port, embedded.ca_file, embedded.capture and market_data.symbols decide this)")
    })
}

/// Asks the venue what it trades. The question blocks, so it has a thread of its own, which is left
/// behind when the process is asked to end meanwhile.
fn ask_exchange_info(
    edge: &EdgeConfig,
    config: &Config,
    asked: impl Fn() -> bool,
) -> Result<String, NotStarted> {
    let (_, api) = edge.endpoints().map_err(|error| error.to_string())?;
    let request = serde_json::json!({
        "id": "start",
        "method": "exchangeInfo",
        "params": { "symbols": config.market_data.symbols },
    })
    .to_string();
    let (answer, answered) = mpsc::channel();
    std::thread::Builder::new()
        .name("veloz-start".to_owned())
        .spawn(move || {
            // Nobody listens any more when the process ends meanwhile.
            let _ = answer.send(request_once(&api, &request, EXCHANGE_INFO_TIMEOUT));
        })
        .map_err(|error| format!("no thread to ask the venue: {error}"))?;
    loop {
        match answered.recv_timeout(PATROL) {
            Ok(Ok(text)) => return Ok(text),
            Ok(Err(error)) => {
                return Err(NotStarted::Failed(format!(
                    "the venue does not say what it trades: {error} (venue.api_url, venue.ca_file and the network decide this)"
                )));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(NotStarted::Failed(
                    "the thread that asks the venue panicked".to_owned(),
                ));
            }
            Err(RecvTimeoutError::Timeout) if asked() => return Err(NotStarted::Asked),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The instruments of an answer, and the venue's request weight a minute.
fn read_exchange_info(answer: &str, config: &Config) -> Result<(Instruments, u32), String> {
    let symbols: Vec<&str> = config
        .market_data
        .symbols
        .iter()
        .map(String::as_str)
        .collect();
    let info = exchange_info::parse(answer.as_bytes(), &symbols)
        .map_err(|error| format!("{error} (market_data.symbols decides this)"))?;
    let instruments = Instruments::new(info.instruments).map_err(|error| error.to_string())?;
    Ok((instruments, info.weight_per_minute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    #[test]
    fn a_signal_ends_the_wait_for_a_venue_that_does_not_answer() {
        // A socket that nobody accepts: the connection is made, the handshake is not.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = silent.local_addr().expect("bound").port();
        let text = format!(
            "[venue]\nsource = \"binance\"\napi_url = \"ws://127.0.0.1:{port}/ws-api/v3\"\n[core]\ncpu = \"none\"\n"
        );
        let config = load_text("test.toml", &text).expect("valid").config;
        let refused = Boot::new(&config, || true).err();
        assert_eq!(refused, Some(NotStarted::Asked));
    }
}
