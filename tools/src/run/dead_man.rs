//! The dead-man beside the engine: what it is given, and what becomes of what it tells.
//!
//! Owns: [`Setup`] and the start of the thread. Does not: watch (`dead_man.rs`) or cancel (`canceller.rs`).
//! Invariants: each of its acts is in the audit log, where one is kept, and giving the record keeps no cancel waiting; when the core is back after a sweep it hears of it before it trades, since its orders may be gone.

use crate::canceller::{CancellerConfig, Notice, Scope};
use crate::config::Config;
use crate::dead_man::{DeadMan, DeadManConfig, Report};
use serde_json::json;
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
use veloz_exporter::audit::record::{Entry, LogType};
use veloz_exporter::audit::writer::AuditLog;
use veloz_exporter::faults::{ProcessFault, ProcessFaults};
use veloz_exporter::wall::UnixMs;

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
    #[expect(
        clippy::too_many_arguments,
        reason = "one call, with the ends of everything that it stands between"
    )]
    pub(super) fn start(
        self,
        endpoint: Endpoint,
        clock: Clock,
        gauges: GaugeReader,
        commands: CommandSender,
        records: Option<AuditLog>,
        faults: ProcessFaults,
        core_cpu: Option<usize>,
    ) -> io::Result<DeadMan> {
        let config = DeadManConfig {
            bound: self.bound,
            canceller: self.canceller,
            core_cpu,
        };
        let mut spent = Spent::default();
        DeadMan::start(
            config,
            self.credentials,
            endpoint,
            clock,
            move || gauges.heartbeat(),
            move |report| {
                spent.tell(&report, |command| commands.send(command).is_ok());
                if let Some(records) = &records
                    && let Some(entry) = act_of(&report, UnixMs::now())
                {
                    records.record(entry);
                }
                if let Some(fault) = fault_of(&report) {
                    faults.count(fault);
                }
                tell(&report, &commands, &faults);
            },
        )
    }
}

/// What the dead-man did, for the audit log; `None` for what is no act.
fn act_of(report: &Report, at: UnixMs) -> Option<Entry> {
    let (action, details) = match report {
        Report::Ready(_) | Report::Spent { .. } => return None,
        Report::Stuck { age } => ("dead_man_fired", json!({ "age_ms": age.as_ms() })),
        Report::Notice(notice) => ("dead_man_told", json!({ "notice": notice.to_string() })),
        Report::Back { stuck_for } => {
            let details = json!({ "stuck_for_ms": stuck_for.as_ms() });
            ("dead_man_ended", details)
        }
    };
    Some(Entry::of_system(LogType::Order, action, at, details))
}

/// Request weight that the core's budget does not know of yet.
#[derive(Default)]
struct Spent {
    weight: u32,
    /// The core stands still: commands for it would only take the place of an operator's.
    held: bool,
}

impl Spent {
    /// Has the core count it. One that has a full queue hears of it with the next report.
    fn tell(&mut self, report: &Report, send: impl FnOnce(Command) -> bool) {
        match report {
            Report::Spent { weight } => self.weight = self.weight.saturating_add(*weight),
            Report::Stuck { .. } => self.held = true,
            Report::Back { .. } => self.held = false,
            Report::Ready(_) | Report::Notice(_) => {}
        }
        let weight = self.weight;
        if weight > 0 && !self.held && send(Command::WeightSpent { weight }) {
            self.weight = 0;
        }
    }
}

/// What a report says that went wrong, for the metrics; `None` when nothing did.
const fn fault_of(report: &Report) -> Option<ProcessFault> {
    match report {
        Report::Ready(true) | Report::Back { .. } => None,
        Report::Ready(false) => Some(ProcessFault::NoConnection),
        Report::Stuck { .. } => Some(ProcessFault::CoreStalled),
        Report::Notice(notice) => match notice {
            Notice::Cancelled(_) | Notice::Gone(_) | Notice::Clean { .. } => None,
            Notice::Refused { .. } | Notice::Unknown { .. } => Some(ProcessFault::CancelFailed),
            Notice::Trouble(_) => Some(ProcessFault::NoConnection),
        },
        Report::Spent { .. } => None,
    }
}

/// Logs what the dead-man did, and has the core reconcile when it is back.
fn tell(report: &Report, commands: &CommandSender, faults: &ProcessFaults) {
    match report {
        Report::Spent { .. } => {}
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
            faults.count(ProcessFault::CoreNotTold);
            tracing::error!(
                component = "dead_man",
                event_type = "dead_man",
                "the core takes no command: it does not know that its orders are gone"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_told_once_and_all_at_once_when_the_core_is_back() {
        let mut spent = Spent::default();
        let mut told = Vec::new();
        let mut hear = |report: Report, takes: bool| {
            spent.tell(&report, |command| {
                if let (true, Command::WeightSpent { weight }) = (takes, command) {
                    told.push(weight);
                }
                takes
            });
        };
        let spends = |weight| Report::Spent { weight };
        let age = Nanos::from_secs(1);
        hear(Report::Ready(true), true);
        hear(spends(2), true);
        // Its queue is full.
        hear(spends(1), false);
        hear(spends(1), true);
        hear(Report::Stuck { age }, true);
        for _ in 0..100 {
            hear(spends(1), true);
        }
        hear(Report::Back { stuck_for: age }, true);
        hear(Report::Ready(false), true);
        assert_eq!(told, [2, 2, 100]);
    }

    #[test]
    fn what_went_wrong_is_counted_and_what_went_well_is_not() {
        let age = Nanos::from_ms(1_200);
        let notice = Report::Notice;
        for (report, fault) in [
            (Report::Ready(true), None),
            (Report::Ready(false), Some(ProcessFault::NoConnection)),
            (Report::Stuck { age }, Some(ProcessFault::CoreStalled)),
            (Report::Back { stuck_for: age }, None),
            (notice(Notice::Clean { cancelled: 2 }), None),
            (
                notice(Notice::Trouble("no route".to_owned())),
                Some(ProcessFault::NoConnection),
            ),
        ] {
            assert_eq!(fault_of(&report), fault, "{report:?}");
        }
    }

    #[test]
    fn each_act_is_a_record_and_a_connection_is_none() {
        let at = UnixMs(7);
        assert_eq!(act_of(&Report::Ready(false), at), None);
        let age = Nanos::from_ms(1_200);
        let fired = act_of(&Report::Stuck { age }, at).expect("an act");
        assert_eq!(
            (fired.log_type, fired.action.as_ref()),
            (LogType::Order, "dead_man_fired")
        );
        assert_eq!(fired.details["age_ms"], 1_200);
        let ended = act_of(&Report::Back { stuck_for: age }, at).expect("an act");
        assert_eq!(ended.action, "dead_man_ended");
        assert_eq!((ended.at, ended.user_id.as_str()), (at, "system"));
    }
}
