//! Starting and ending the core: its thread, the connector beside it, and what others hold of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};

use super::links::WAKER;
use super::{CoreLoop, EventHandler, LoopConfig, Surroundings, Tap};
use crate::edge::clock::Clock;
use crate::edge::connector::{
    self, ConnectReport, ConnectorConfig, ConnectorShared, Endpoint, EndpointError, WALL_UNKNOWN,
};
use crate::edge::cpu::{self, Placement, Scheduling};
use crate::edge::idle::IdleKind;
use crate::edge::tls::{TrustError, client_config};
use crate::event::Command;
use crate::limits::{COMMANDS_MAX, CONNECT_REPORTS_MAX};
use crate::units::Nanos;

/// Everything that the edge is told at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeConfig {
    /// Market-data endpoint: `wss://host[:port]/path`, or `ws://` without TLS.
    pub market_url: String,
    /// Websocket API endpoint for snapshots and the venue's clock, likewise.
    pub api_url: String,
    /// Websocket API endpoint for orders and user data, likewise.
    pub orders_url: String,
    /// PEM files with CAs that are trusted beside the web's.
    pub ca_files: Vec<PathBuf>,
    /// More such CAs, as PEM text: a venue inside this process has no file.
    pub ca_pems: Vec<String>,
    /// The core thread's CPU; `None` leaves it to the kernel.
    pub cpu: Option<usize>,
    /// The core thread's scheduling class.
    pub scheduling: Scheduling,
    /// Whether to lock memory, as far as the limits allow.
    pub lock_memory: bool,
    /// What to do in an empty turn.
    pub idle: IdleKind,
    /// One connection attempt, from resolving to the upgrade.
    pub connect_timeout: Nanos,
    /// A link that carries nothing for longer is given up. The venue pings every 20 s: 45 s leaves
    /// one ping to be lost.
    pub silence_max: Nanos,
}

impl EdgeConfig {
    /// The endpoints of every role.
    ///
    /// # Errors
    /// [`StartError`] names the URL or the CA file.
    pub fn endpoints(&self) -> Result<Endpoints, StartError> {
        let tls = client_config(&self.ca_files, &self.ca_pems)?;
        Ok(Endpoints {
            market: Endpoint::new(&self.market_url, &tls)?,
            api: Endpoint::new(&self.api_url, &tls)?,
            orders: Endpoint::new(&self.orders_url, &tls)?,
        })
    }
}

/// Where links go, by role.
#[derive(Clone)]
pub struct Endpoints {
    /// Market data.
    pub market: Endpoint,
    /// Snapshots and the venue's clock.
    pub api: Endpoint,
    /// Orders and user data.
    pub orders: Endpoint,
}

/// Why the edge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An endpoint's URL.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A CA file.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The system has no thread or no poll left.
    #[error("starting the core: {0}")]
    System(#[from] std::io::Error),
}

/// The command was not taken: too many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine is busy")]
pub struct EngineBusy;

/// Sends commands to the core. Never blocks; any number of clones.
#[derive(Clone)]
pub struct CommandSender {
    commands: Sender<Command>,
    waker: Arc<mio::Waker>,
}

impl CommandSender {
    /// Hands a command to the core.
    ///
    /// # Errors
    /// [`EngineBusy`] when `COMMANDS_MAX` wait, or the core has ended.
    pub fn send(&self, command: Command) -> Result<(), EngineBusy> {
        self.commands.try_send(command).map_err(|_| EngineBusy)?;
        // Only an idle core sleeps in the poll; it would find the command a millisecond later anyway.
        let _ = self.waker.wake();
        Ok(())
    }
}

/// A running core.
pub struct Core<E, T> {
    /// Commands to it.
    pub commands: CommandSender,
    /// Failed connection attempts in words.
    pub connect_reports: Receiver<ConnectReport>,
    /// What came of placing the core thread.
    pub placements: Vec<Placement>,
    clock_drift_ppb: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    connector_stop: Arc<AtomicBool>,
    waker: Arc<mio::Waker>,
    loop_thread: JoinHandle<(E, T)>,
    connector_thread: JoinHandle<()>,
}

impl<E, T> Core<E, T> {
    /// Ends the loop after its turn, whatever the engine is at. A graceful end is [`Command::Shutdown`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
    }

    /// How fast the core's clock runs against the kernel's, in parts per billion; measured every
    /// second. Intervals are off by this; wall time is not, its offset is measured anew.
    pub fn clock_drift_ppb(&self) -> i64 {
        self.clock_drift_ppb.load(Ordering::Relaxed)
    }

    /// Whether the loop has ended.
    pub fn is_finished(&self) -> bool {
        self.loop_thread.is_finished()
    }

    /// Waits for the loop's end, then ends the connector; returns what the loop drove.
    pub fn join(self) -> (E, T) {
        let parts = self
            .loop_thread
            .join()
            .expect("a panic on the core thread aborts the process");
        self.connector_stop.store(true, Ordering::Release);
        if self.connector_thread.join().is_err() {
            // Its panic message is on stderr; everything it owned is gone with it.
            eprintln!("the connector thread panicked");
        }
        parts
    }
}

/// Starts the connector and the core thread, which places itself and then turns.
///
/// A panic on the core thread dumps the trace ring to stderr and aborts: an engine with a broken
/// invariant must not go on, and must not leave its process looking alive.
///
/// # Errors
/// [`StartError`] for configuration and for a system without threads.
pub fn spawn<E, T>(
    config: &EdgeConfig,
    clock: Clock,
    engine: E,
    tap: T,
) -> Result<Core<E, T>, StartError>
where
    E: EventHandler + Send + 'static,
    T: Tap + Send + 'static,
{
    let endpoints = config.endpoints()?;
    let poll = mio::Poll::new()?;
    let waker = Arc::new(mio::Waker::new(poll.registry(), WAKER)?);
    let unix_ns_at_zero = Arc::new(AtomicI64::new(WALL_UNKNOWN));
    let clock_drift_ppb = Arc::new(AtomicI64::new(0));
    let (commands, command_receiver) = crossbeam_channel::bounded(COMMANDS_MAX);
    let (reports, connect_reports) = crossbeam_channel::bounded(CONNECT_REPORTS_MAX);
    let (core_ends, connector_ends) = connector::rings();
    let connector_stop = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));

    let connector_thread = connector::spawn(
        ConnectorConfig {
            market: endpoints.market,
            api: endpoints.api,
            orders: endpoints.orders,
            timeout: config.connect_timeout,
            clock,
            core_cpu: config.cpu,
        },
        connector_ends,
        ConnectorShared {
            stop: Arc::clone(&connector_stop),
            unix_ns_at_zero: Arc::clone(&unix_ns_at_zero),
            clock_drift_ppb: Arc::clone(&clock_drift_ppb),
            waker: Arc::clone(&waker),
            reports,
        },
    )?;

    let surroundings = Surroundings {
        links: core_ends,
        commands: command_receiver,
        unix_ns_at_zero,
        stop: Arc::clone(&stop),
        poll,
    };
    let loop_config = LoopConfig {
        idle: config.idle,
        silence_max: config.silence_max,
    };
    let (placed, placements) = crossbeam_channel::bounded(1);
    let (cpu, scheduling, lock_memory) = (config.cpu, config.scheduling, config.lock_memory);
    let loop_thread = thread::Builder::new()
        .name("veloz-core".to_owned())
        .stack_size(CORE_STACK_BYTES)
        .spawn(move || {
            let mut core = CoreLoop::new(engine, clock, tap, loop_config, surroundings);
            // A receiver that is gone does not want to know.
            let _ = placed.send(place(cpu, scheduling, lock_memory));
            if catch_unwind(AssertUnwindSafe(|| core.run())).is_err() {
                let trace =
                    catch_unwind(AssertUnwindSafe(|| core.engine().telemetry().trace.dump()));
                eprintln!("{}", trace.unwrap_or_else(|_| "no trace".to_owned()));
                std::process::abort();
            }
            core.into_parts()
        })
        .inspect_err(|_| connector_stop.store(true, Ordering::Release))?;

    Ok(Core {
        commands: CommandSender {
            commands,
            waker: Arc::clone(&waker),
        },
        connect_reports,
        placements: placements.recv().unwrap_or_default(),
        clock_drift_ppb,
        stop,
        connector_stop,
        waker,
        loop_thread,
        connector_thread,
    })
}

/// Places the calling thread as the core.
fn place(cpu: Option<usize>, scheduling: Scheduling, lock_memory: bool) -> Vec<Placement> {
    let mut placements = Vec::with_capacity(4);
    if let Some(cpu) = cpu {
        placements.push(cpu::pin_current_thread(cpu));
    }
    if scheduling != Scheduling::Other {
        placements.push(cpu::set_scheduling(scheduling));
    }
    placements.push(cpu::prefault_stack());
    if lock_memory {
        placements.push(cpu::lock_memory());
    }
    placements
}

/// The core's stack: eight times what is touched at the start.
const CORE_STACK_BYTES: usize = 2 << 20;
