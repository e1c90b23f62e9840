//! The dead-man beside the engine: what it is given, and what becomes of what it tells.
//!
//! Owns: [`Setup`] and the start of the thread. Does not: watch (`dead_man.rs`) or cancel (`canceller.rs`).
//! Invariant: when the core is back after a sweep it hears of it before it trades, since its orders may be gone.

use crate::canceller::{CancellerConfig, Scope};
use crate::config::Config;
use crate::dead_man::{DeadMan, DeadManConfig, Report};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::thread;
use std::time::Duration;
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::Endpoint;
use veloz_core::edge::core_loop::CommandSender;
use veloz_core::event::{Command, Token};
use veloz_core::telemetry::gauges::GaugeReader;
use veloz_core::units::Nanos;
use veloz_core::venue::binance::order_entry::{ClientOrderIds, Credentials};

/// Back-off between attempts to connect, and its end.
const BACKOFF_BASE: Nanos = Nanos::from_ms(200);
const BACKOFF_MAX: Nanos = Nanos::from_secs(10);
/// How often a core that is back but has a full queue is told again, and how long a rest is.
const TELLINGS_MAX: u32 = 500;
const TELLING_REST: Duration = Duration::from_millis(2);

/// What the thread needs.
pub(super) struct Setup {
    bound: Nanos,
    canceller: CancellerConfig,
    credentials: Credentials,
}

impl Setup {
    /// The instance's own orders, by the same key.
    pub(super) fn new(config: &Config, ids: ClientOrderIds, credentials: Credentials) -> Self {
        Self {
            bound: Nanos::from_ms(config.orders.heartbeat_bound_ms),
            canceller: CancellerConfig {
                scope: Scope::Instance(ids),
                symbol: None,
                recv_window_ms: config.account.recv_window_ms,
                answer_max: Nanos::from_ms(config.orders.cancel_timeout_ms),
                settle: Nanos::from_ms(config.account.recv_window_ms),
                backoff_base: BACKOFF_BASE,
                backoff_max: BACKOFF_MAX,
                seed: RandomState::new().build_hasher().finish(),
            },
            credentials,
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(
        self,
        endpoint: Endpoint,
        clock: Clock,
        gauges: GaugeReader,
        commands: CommandSender,
        core_cpu: Option<usize>,
    ) -> io::Result<DeadMan> {
        let config = DeadManConfig {
            bound: self.bound,
            canceller: self.canceller,
            core_cpu,
        };
        DeadMan::start(
            config,
            self.credentials,
            endpoint,
            clock,
            move || gauges.heartbeat(),
            move |report| tell(&report, &commands),
        )
    }
}

/// Logs what the dead-man did, and has the core reconcile when it is back.
fn tell(report: &Report, commands: &CommandSender) {
    match report {
        Report::Ready(true) => tracing::info!(
            component = "dead_man",
            "ready to cancel should the core stand still"
        ),
        Report::Ready(false) => tracing::warn!(
            component = "dead_man",
            event_type = "dead_man",
            "no connection: a core that stands still now would leave its orders open"
        ),
        Report::Stuck { age } => tracing::error!(
            component = "dead_man",
            event_type = "dead_man",
            age_ms = age.as_ms(),
            "the core stands still: its orders are cancelled"
        ),
        Report::Notice(notice) => {
            tracing::warn!(component = "dead_man", event_type = "dead_man", "{notice}");
        }
        Report::Back { stuck_for } => {
            tracing::error!(
                component = "dead_man",
                event_type = "dead_man",
                stuck_for_ms = stuck_for.as_ms(),
                "the core turns again: it halts and asks the venue what is left"
            );
            let fired = Command::DeadManFired {
                token: Token::default(),
            };
            for _ in 0..TELLINGS_MAX {
                if commands.send(fired).is_ok() {
                    return;
                }
                thread::sleep(TELLING_REST);
            }
            tracing::error!(
                component = "dead_man",
                event_type = "dead_man",
                "the core takes no command: it does not know that its orders are gone"
            );
        }
    }
}
