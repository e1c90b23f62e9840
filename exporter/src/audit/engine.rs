//! What the engine met and did by itself as records: faults and bans as type `error`, halts and the kill switch as type
//! `order`.
//!
//! Owns: [`EngineRecords`]. Does not: record what somebody asked for; the API does, with who. Invariants: giving a record
//! never waits; a venue that sends nothing but faults makes [`ERRORS_PER_MINUTE_MAX`] records a minute, and one that
//! says how many were left out.

use super::record::{Entry, LogType};
use super::writer::AuditLog;
use crate::wall::UnixMs;
use serde_json::{Value, json};
use std::sync::Arc;
use veloz_core::instrument::{InstrumentIndex, Instruments};
use veloz_core::telemetry::records::{HaltCause, RecordBody};
use veloz_core::venue::binance::fault::VenueFault;

/// Records of faults in one minute: what somebody reads. What is left out is in the metrics.
pub const ERRORS_PER_MINUTE_MAX: u32 = 30;

const MINUTE_MS: u64 = 60_000;

/// Makes records of what the engine met and did.
pub struct EngineRecords {
    log: AuditLog,
    instruments: Arc<Instruments>,
    minute: u64,
    errors: u32,
    left_out: u64,
    /// Why the state is not saved, as far as that is recorded.
    unsaved: Option<String>,
}

impl EngineRecords {
    /// For the log that `log` gives records to.
    pub fn new(log: AuditLog, instruments: Arc<Instruments>) -> Self {
        Self {
            log,
            instruments,
            minute: 0,
            errors: 0,
            left_out: 0,
            unsaved: None,
        }
    }

    /// Takes a record of the core.
    pub fn record(&mut self, body: &RecordBody, at: UnixMs) {
        match *body {
            RecordBody::Fault {
                link,
                instrument,
                kind,
                detail,
            } => {
                let kind = VenueFault::ALL.get(usize::from(kind)).copied();
                let action = if kind == Some(VenueFault::Banned) {
                    "venue_banned"
                } else {
                    "venue_fault"
                };
                let details = json!({
                    "fault": kind.map_or("unknown", VenueFault::label),
                    "symbol": instrument.map(|index| self.symbol(index)),
                    "link": crate::catalogue::role_label(link.role),
                    "detail": detail,
                });
                self.error(action, at, details);
            }
            RecordBody::OrderFault {
                order,
                instrument,
                fault,
            } => {
                let details = json!({
                    "order_id": order.to_string(),
                    "symbol": self.symbol(instrument),
                    "fault": fault.label(),
                });
                self.error("order_fault", at, details);
            }
            RecordBody::TradingState { from, to, cause } if is_own(cause) => {
                let details = json!({
                    "from": from.label(),
                    "to": to.label(),
                    "cause": cause.label(),
                });
                self.act("trading_state_changed", at, details);
            }
            RecordBody::KillSwitch { latched, cause } if is_own(cause) => {
                let details = json!({ "latched": latched, "cause": cause.label() });
                self.act("kill_switch_changed", at, details);
            }
            RecordBody::TradingState { .. }
            | RecordBody::KillSwitch { .. }
            | RecordBody::LinkUp { .. }
            | RecordBody::LinkDown { .. }
            | RecordBody::BookState { .. }
            | RecordBody::Resync { .. }
            | RecordBody::RequestRefused { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::Shutdown { .. }
            | RecordBody::OrderAdmitted { .. }
            | RecordBody::OrderAlias { .. }
            | RecordBody::OrderAdopted { .. }
            | RecordBody::OrderState { .. }
            | RecordBody::Fill { .. }
            | RecordBody::OrderRejected { .. }
            | RecordBody::VenueRefused { .. }
            | RecordBody::CommandDone { .. }
            | RecordBody::Position { .. }
            | RecordBody::Balance { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::Limits { .. } => {}
        }
    }

    /// Records of the core between two numbers never came.
    pub fn hole(&mut self, expected: u64, got: u64, at: UnixMs) {
        let details = json!({ "expected": expected, "got": got });
        self.error("records_lost", at, details);
    }

    /// How it is with the state that must be saved; recorded when that changes.
    pub fn saved(&mut self, reason: Option<String>, at: UnixMs) {
        if reason == self.unsaved {
            return;
        }
        match &reason {
            Some(why) => self.error("state_not_saved", at, json!({ "reason": why })),
            None => self.error("state_saved_again", at, json!({})),
        }
        self.unsaved = reason;
    }

    fn act(&self, action: &'static str, at: UnixMs, details: Value) {
        self.log
            .record(Entry::of_system(LogType::Order, action, at, details));
    }

    fn error(&mut self, action: &'static str, at: UnixMs, details: Value) {
        let minute = at.0 / MINUTE_MS;
        if minute != self.minute {
            if self.left_out > 0 {
                let details = json!({ "left_out": self.left_out });
                let entry = Entry::of_system(LogType::Error, "errors_left_out", at, details);
                self.log.record(entry);
            }
            (self.minute, self.errors, self.left_out) = (minute, 0, 0);
        }
        if self.errors >= ERRORS_PER_MINUTE_MAX {
            self.left_out += 1;
            return;
        }
        self.errors += 1;
        self.log
            .record(Entry::of_system(LogType::Error, action, at, details));
    }

    fn symbol(&self, instrument: InstrumentIndex) -> &str {
        self.instruments.get(instrument).symbol.as_str()
    }
}

/// Whether nobody asked for it.
const fn is_own(cause: HaltCause) -> bool {
    match cause {
        HaltCause::Operator => false,
        HaltCause::Overfill
        | HaltCause::UnknownOrder
        | HaltCause::RecordsLost
        | HaltCause::Banned
        | HaltCause::DeadMan
        | HaltCause::Restored
        | HaltCause::Books
        | HaltCause::Venue => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::metrics::AuditMetrics;
    use crate::audit::store::tests::{NOON, open};
    use crate::audit::writer::queue;
    use crate::testing::instruments;
    use veloz_core::event::{LinkId, LinkRole};
    use veloz_core::risk::TradingState;

    /// What `tell` leaves on the disk, oldest first of each type.
    fn told(tell: impl FnOnce(&mut EngineRecords)) -> Vec<Value> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (store, findings) = open(directory.path());
        let (log, writer) = queue(store, findings, Arc::new(AuditMetrics::default()));
        let mut records = EngineRecords::new(log, Arc::new(instruments()));
        tell(&mut records);
        drop(records);
        writer.run(|| UnixMs(NOON));
        let mut lines = Vec::new();
        for log_type in ["error", "order"] {
            let path = directory
                .path()
                .join(format!("{log_type}_2026-02-23.ndjson"));
            let text = std::fs::read_to_string(path).unwrap_or_default();
            lines.extend(
                text.lines()
                    .map(|line| serde_json::from_str(line).expect("JSON")),
            );
        }
        lines
    }

    fn fault(kind: VenueFault) -> RecordBody {
        let place = VenueFault::ALL.iter().position(|known| *known == kind);
        RecordBody::Fault {
            link: LinkId {
                role: LinkRole::Orders,
                generation: 1,
            },
            instrument: Some(InstrumentIndex(0)),
            kind: place.expect("listed") as u8,
            detail: 418,
        }
    }

    #[test]
    fn what_nobody_asked_for_is_recorded_by_what_it_was() {
        let lines = told(|records| {
            records.record(&fault(VenueFault::Banned), UnixMs(NOON));
            records.hole(7, 9, UnixMs(NOON));
            for reason in [None, Some("no space"), Some("no space"), None] {
                records.saved(reason.map(str::to_owned), UnixMs(NOON));
            }
            for cause in [HaltCause::Banned, HaltCause::Operator] {
                let (from, to) = (TradingState::Active, TradingState::Halted);
                records.record(&RecordBody::TradingState { from, to, cause }, UnixMs(NOON));
                let latched = true;
                records.record(&RecordBody::KillSwitch { latched, cause }, UnixMs(NOON));
            }
        });
        let what: Vec<(&str, &str)> = lines
            .iter()
            .map(|line| {
                let text = |name: &str| line[name].as_str().expect("a text");
                (text("log_type"), text("action"))
            })
            .collect();
        assert_eq!(
            what,
            [
                ("error", "venue_banned"),
                ("error", "records_lost"),
                ("error", "state_not_saved"),
                ("error", "state_saved_again"),
                ("order", "trading_state_changed"),
                ("order", "kill_switch_changed"),
            ]
        );
        assert_eq!(lines[0]["details"]["symbol"], "BTCUSDT");
        assert_eq!(lines[4]["details"]["cause"], "banned");
        assert_eq!(lines[4]["user_id"], "system");
    }

    #[test]
    fn a_flood_of_faults_is_a_few_records_and_a_number() {
        let lines = told(|records| {
            for _ in 0..ERRORS_PER_MINUTE_MAX + 5 {
                records.record(&fault(VenueFault::Banned), UnixMs(NOON));
            }
            records.record(&fault(VenueFault::Banned), UnixMs(NOON + MINUTE_MS));
        });
        assert_eq!(lines.len(), ERRORS_PER_MINUTE_MAX as usize + 2);
        let number = &lines[ERRORS_PER_MINUTE_MAX as usize];
        assert_eq!(number["action"], "errors_left_out");
        assert_eq!(number["details"]["left_out"], 5);
    }
}
