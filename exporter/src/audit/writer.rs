//! The thread that writes records, and the handle that others give them to.
//!
//! Owns: [`AuditLog`], [`AuditWriter`]. Does not: decide what is recorded. Invariants: giving a record
//! never waits; the queue is bounded, and what it has no room for is counted; whoever must know is told
//! only after the disk has the record; what was lost is itself recorded once writing works again.

use super::handed_in;
use super::metrics::{AuditMetrics, Loss};
use super::record::{Entry, LogType};
use super::retention::ArchiveStats;
use super::store::{AuditStore, Written};
use crate::wall::UnixMs;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Records that wait: at a thousand a second, eight seconds of a disk that stands still.
pub const QUEUE_MAX: usize = 8_192;
/// Records written together, with one wait for the disk.
const BATCH_MAX: usize = 512;
/// How long an administrative action waits for its record.
const CONFIRM_TIME_MAX: Duration = Duration::from_secs(5);
/// How often the writer looks at the day, and at what other processes handed in, when nothing comes.
const IDLE: Duration = Duration::from_secs(1);

/// What was lost, once that can be told.
const LOST: &str = "audit_records_lost";

enum Message {
    Record {
        entry: Entry,
        confirm: Option<oneshot::Sender<Result<(), Unwritten>>>,
    },
    Archive {
        now: UnixMs,
        done: oneshot::Sender<ArchiveStats>,
    },
}

/// A record that is not on the disk, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct Unwritten;

/// Takes records from everywhere.
#[derive(Clone)]
pub struct AuditLog {
    sender: SyncSender<Message>,
    metrics: Arc<AuditMetrics>,
    directory: PathBuf,
    retention_days_min: u32,
}

/// The other end; runs on a thread of its own.
pub struct AuditWriter {
    store: AuditStore,
    receiver: mpsc::Receiver<Message>,
    metrics: Arc<AuditMetrics>,
    /// The day that retention was last applied on.
    tidied: String,
    /// Records that were lost since the last time that this could be recorded.
    lost: u64,
}

/// The two ends of the queue; `findings` are the first records.
pub fn queue(
    store: AuditStore,
    findings: Vec<Entry>,
    metrics: Arc<AuditMetrics>,
) -> (AuditLog, AuditWriter) {
    let (sender, receiver) = mpsc::sync_channel(QUEUE_MAX);
    let log = AuditLog {
        sender,
        metrics: Arc::clone(&metrics),
        directory: store.directory().to_owned(),
        retention_days_min: store.retention_days_min(),
    };
    for finding in findings {
        tracing::error!(component = "audit", details = ?finding.details, "the audit log is damaged");
        log.record(finding);
    }
    let writer = AuditWriter {
        store,
        receiver,
        metrics,
        tidied: String::new(),
        lost: 0,
    };
    (log, writer)
}

impl AuditLog {
    /// Gives a record, without waiting. One that the queue has no room for is counted, and told in the
    /// log itself later.
    pub fn record(&self, entry: Entry) {
        // What is lost here is counted; nobody who calls this can do more.
        let _ = self.send(Message::Record {
            entry,
            confirm: None,
        });
    }

    /// Gives a record and waits until the disk has it: before an administrative action.
    ///
    /// # Errors
    /// [`Unwritten`] when it is not known that the disk has it.
    pub async fn record_durably(&self, entry: Entry) -> Result<(), Unwritten> {
        let (confirm, confirmed) = oneshot::channel();
        self.send(Message::Record {
            entry,
            confirm: Some(confirm),
        })?;
        let confirmed = tokio::time::timeout(CONFIRM_TIME_MAX, confirmed).await;
        confirmed
            .ok()
            .and_then(Result::ok)
            .unwrap_or(Err(Unwritten))
    }

    /// Packs and deletes what is old enough.
    ///
    /// # Errors
    /// [`Unwritten`] when the writer does not answer.
    pub async fn archive(&self, now: UnixMs) -> Result<ArchiveStats, Unwritten> {
        let (done, finished) = oneshot::channel();
        self.send(Message::Archive { now, done })?;
        finished.await.map_err(|_| Unwritten)
    }

    /// Days that every type is kept at least.
    pub fn retention_days_min(&self) -> u32 {
        self.retention_days_min
    }

    /// Where the files are, for who reads them.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn send(&self, message: Message) -> Result<(), Unwritten> {
        // Counted first, so that the writer never takes more than was given.
        self.metrics.queued();
        self.sender.try_send(message).map_err(|error| {
            self.metrics.taken(1);
            self.metrics.lost(match error {
                TrySendError::Full(_) => Loss::QueueFull,
                TrySendError::Disconnected(_) => Loss::Ended,
            });
            Unwritten
        })
    }
}

impl AuditWriter {
    /// Writes until every [`AuditLog`] is gone and the queue is empty. `unix` reads wall time.
    pub fn run(mut self, unix: impl Fn() -> UnixMs) {
        loop {
            let first = match self.receiver.recv_timeout(IDLE) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.step(first, unix());
        }
    }

    /// Writes what waits, up to a batch, and looks after old files once a day.
    fn step(&mut self, first: Option<Message>, now: UnixMs) {
        let mut entries = Vec::new();
        let mut confirms = Vec::new();
        let mut archives = Vec::new();
        let more = std::iter::from_fn(|| self.receiver.try_recv().ok());
        for message in first.into_iter().chain(more).take(BATCH_MAX) {
            self.metrics.taken(1);
            match message {
                Message::Record { entry, confirm } => {
                    confirms.extend(confirm.map(|confirm| (entry.log_type, confirm)));
                    entries.push(entry);
                }
                Message::Archive { now, done } => archives.push((now, done)),
            }
        }
        self.write_handed_in(now);
        self.tell_losses(&mut entries, now);
        let written = self.write(&entries);
        for (log_type, confirm) in confirms {
            let result = written[&log_type]
                .as_ref()
                .map_or(Err(Unwritten), |()| Ok(()));
            // Whoever asked may have given up.
            let _ = confirm.send(result);
        }
        for (now, done) in archives {
            let _ = done.send(self.tidy(now));
        }
        let day = now.date();
        if day != self.tidied {
            self.tidied = day;
            self.tidy(now);
        }
    }

    /// Takes what other processes handed in into the chain; what fails stays for the next turn.
    fn write_handed_in(&mut self, now: UnixMs) {
        let (entries, files) = match handed_in::take(self.store.directory(), now) {
            Ok(taken) => taken,
            Err(error) => {
                tracing::error!(component = "audit", %error, "what was handed in cannot be read");
                return;
            }
        };
        let written = self.append(&entries);
        if let Some(error) = written.values().find_map(|result| result.as_ref().err()) {
            tracing::error!(
                component = "audit",
                error,
                "what was handed in was not written"
            );
            return;
        }
        for log_type in written.into_keys() {
            let of_type = entries.iter().filter(|entry| entry.log_type == log_type);
            self.metrics.written(log_type, of_type.count() as u64);
        }
        for file in files {
            // What stays is recorded again, which is better than not at all.
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::error!(component = "audit", %error, file = %file.display(), "it was recorded and stays");
            }
        }
    }

    /// Puts a record of what was lost before the others.
    fn tell_losses(&mut self, entries: &mut Vec<Entry>, now: UnixMs) {
        self.lost += self.metrics.take_untold();
        if self.lost > 0 && !entries.is_empty() {
            let details = json!({ "records": self.lost });
            entries.insert(0, Entry::of_system(LogType::Error, LOST, now, details));
        }
    }

    fn append(&mut self, entries: &[Entry]) -> Written {
        let written = self.store.append(entries);
        self.metrics.not_copied(self.store.take_not_copied());
        written
    }

    fn write(&mut self, entries: &[Entry]) -> Written {
        let written = self.append(entries);
        for (log_type, result) in &written {
            // What this thread adds by itself was given by nobody.
            let given = |entry: &&Entry| entry.log_type == *log_type && entry.action != LOST;
            let count = entries.iter().filter(given).count() as u64;
            match result {
                Ok(()) => {
                    self.metrics.written(*log_type, count);
                    if *log_type == LogType::Error {
                        self.lost = 0;
                    }
                }
                Err(error) => {
                    tracing::error!(
                        component = "audit",
                        log_type = log_type.label(),
                        records = count,
                        error,
                        "audit records were not written"
                    );
                    self.metrics.failed(count);
                }
            }
        }
        if !written.is_empty() {
            self.metrics
                .set_writable(written.values().all(Result::is_ok));
        }
        written
    }

    fn tidy(&mut self, now: UnixMs) -> ArchiveStats {
        let stats = self.store.apply_retention(now);
        for error in &stats.errors {
            tracing::error!(
                component = "audit",
                error,
                "old audit records were not packed"
            );
        }
        if stats.archived_files + stats.deleted_files > 0 {
            tracing::info!(
                component = "audit",
                archived_files = stats.archived_files,
                deleted_files = stats.deleted_files,
                bytes_freed = stats.bytes_freed,
                "old audit records were packed or deleted"
            );
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::query::{AuditQuery, LIMIT_DEFAULT};
    use crate::audit::record::tests::entry;
    use crate::audit::store::AuditConfig;
    use crate::audit::store::tests::{DAY, NOON, config};
    use crate::audit::verify::verify;
    use std::fs;

    struct Fixture {
        directory: tempfile::TempDir,
        log: AuditLog,
        writer: AuditWriter,
        metrics: Arc<AuditMetrics>,
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = config(&directory.path().join("audit"));
        let (store, findings) = AuditStore::open(&config, UnixMs(NOON)).expect("opens");
        let metrics = Arc::new(AuditMetrics::default());
        let (log, writer) = queue(store, findings, Arc::clone(&metrics));
        Fixture {
            directory,
            log,
            writer,
            metrics,
        }
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    fn actions(log: &AuditLog) -> Vec<String> {
        let query = AuditQuery {
            limit: LIMIT_DEFAULT,
            ..AuditQuery::default()
        };
        let page = query.run(log.directory()).expect("read");
        page.records
            .iter()
            .map(|record| {
                let record: serde_json::Value = serde_json::from_str(record.get()).expect("JSON");
                record["action"].as_str().expect("a text").to_owned()
            })
            .collect()
    }

    #[test]
    fn what_is_given_is_written_and_confirmed() {
        let mut fixture = fixture();
        fixture
            .log
            .record(entry(LogType::Auth, "login_success", NOON));
        let log = fixture.log.clone();
        let confirmed = block_on(async {
            let durable = log.record_durably(entry(LogType::ApiKey, "api_key_created", NOON + 1));
            let write = async { fixture.writer.step(None, UnixMs(NOON)) };
            tokio::join!(durable, write).0
        });
        assert_eq!(confirmed, Ok(()));
        assert_eq!(actions(&fixture.log), ["api_key_created", "login_success"]);
        assert_eq!(fixture.metrics.written_of(LogType::Auth), 1);
        assert_eq!(fixture.metrics.queue_used(), 0);
        assert!(fixture.metrics.is_writable());
    }

    #[test]
    fn a_disk_that_takes_nothing_is_told_to_who_waits_and_in_the_log_afterwards() {
        let mut fixture = fixture();
        let inner = fixture.directory.path().join("audit");
        let moved = fixture.directory.path().join("moved");
        fs::rename(&inner, &moved).expect("moved");
        let log = fixture.log.clone();
        let confirmed = block_on(async {
            let durable = log.record_durably(entry(LogType::ApiKey, "api_key_created", NOON));
            let write = async { fixture.writer.step(None, UnixMs(NOON)) };
            tokio::join!(durable, write).0
        });
        assert_eq!(confirmed, Err(Unwritten));
        assert!(!fixture.metrics.is_writable());
        assert_eq!(fixture.metrics.lost_by(Loss::Write), 1);

        fs::rename(&moved, &inner).expect("moved back");
        fixture.log.record(entry(LogType::Auth, "logout", NOON + 1));
        fixture.writer.step(None, UnixMs(NOON + 1));
        assert_eq!(actions(&fixture.log), ["audit_records_lost", "logout"]);
        assert!(fixture.metrics.is_writable());
        fixture.log.record(entry(LogType::Auth, "logout", NOON + 2));
        fixture.writer.step(None, UnixMs(NOON + 2));
        assert_eq!(actions(&fixture.log).len(), 3, "told once");
        assert_eq!(verify(&inner).expect("read").fault, None);
    }

    #[test]
    fn what_the_copy_does_not_take_is_counted_and_stops_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = AuditConfig {
            copy: Some("/dev/full".into()),
            ..config(directory.path())
        };
        let (store, findings) = AuditStore::open(&config, UnixMs(NOON)).expect("opens");
        let metrics = Arc::new(AuditMetrics::default());
        let (log, mut writer) = queue(store, findings, Arc::clone(&metrics));
        for at in [NOON, NOON + 1] {
            log.record(entry(LogType::Auth, "logout", at));
            writer.step(None, UnixMs(at));
        }
        assert_eq!(metrics.lost_by(Loss::Copy), 2);
        assert!(metrics.is_writable());
        assert_eq!(actions(&log), ["logout", "logout"], "the log lost nothing");
    }

    #[test]
    fn a_full_queue_loses_what_comes_then_and_counts_it() {
        let mut fixture = fixture();
        for _ in 0..QUEUE_MAX {
            fixture
                .log
                .record(entry(LogType::Order, "order_placed", NOON));
        }
        assert_eq!(fixture.metrics.queue_used(), QUEUE_MAX as u64);
        fixture
            .log
            .record(entry(LogType::Order, "order_placed", NOON));
        assert_eq!(fixture.metrics.lost_by(Loss::QueueFull), 1);
        let durable = fixture
            .log
            .record_durably(entry(LogType::ApiKey, "x", NOON));
        assert_eq!(block_on(durable), Err(Unwritten));
        fixture.writer.step(None, UnixMs(NOON));
        assert_eq!(fixture.metrics.queue_used() as usize, QUEUE_MAX - BATCH_MAX);
        assert!(actions(&fixture.log).contains(&"audit_records_lost".to_owned()));
    }

    #[test]
    fn a_writer_that_does_not_answer_is_not_waited_for() {
        let fixture = fixture();
        let durable = fixture
            .log
            .record_durably(entry(LogType::ApiKey, "x", NOON));
        assert_eq!(block_on(durable), Err(Unwritten));
        drop(fixture.writer);
        let durable = fixture
            .log
            .record_durably(entry(LogType::ApiKey, "x", NOON));
        assert_eq!(block_on(durable), Err(Unwritten));
        assert_eq!(fixture.metrics.lost_by(Loss::Ended), 1);
    }

    #[test]
    fn old_files_are_looked_after_once_a_day_and_when_asked() {
        let mut fixture = fixture();
        fixture.log.record(entry(LogType::Access, "get", NOON));
        fixture.writer.step(None, UnixMs(NOON));
        let exists = |fixture: &Fixture| {
            fixture
                .log
                .directory()
                .join("access_2026-02-23.ndjson")
                .exists()
        };
        fixture.writer.step(None, UnixMs(NOON + 14 * DAY));
        assert!(exists(&fixture));
        fixture.writer.step(None, UnixMs(NOON + 15 * DAY));
        assert!(!exists(&fixture));

        fixture
            .log
            .record(entry(LogType::Access, "get", NOON + 15 * DAY));
        fixture.writer.step(None, UnixMs(NOON + 15 * DAY));
        let log = fixture.log.clone();
        let stats = block_on(async {
            let archive = log.archive(UnixMs(NOON + 30 * DAY));
            let write = async { fixture.writer.step(None, UnixMs(NOON + 15 * DAY)) };
            tokio::join!(archive, write).0
        });
        assert_eq!(stats.expect("answered").deleted_files, 1);
    }

    #[test]
    fn what_another_process_handed_in_joins_the_chain_once() {
        let mut fixture = fixture();
        let config = config(fixture.log.directory());
        let act = entry(LogType::Auth, "user_added", NOON);
        handed_in::record_act(&config, act).expect("handed in");
        let inner = fixture.directory.path().join("audit");
        let moved = fixture.directory.path().join("moved");
        fs::rename(&inner, &moved).expect("moved");
        fixture.writer.step(None, UnixMs(NOON));
        fs::rename(&moved, &inner).expect("moved back");
        for _ in 0..2 {
            fixture.writer.step(None, UnixMs(NOON));
            assert_eq!(actions(&fixture.log), ["user_added"]);
        }
        assert_eq!(verify(&inner).expect("read").fault, None);
    }

    #[test]
    fn the_thread_ends_when_nobody_can_give_it_anything_any_more() {
        let fixture = fixture();
        fixture.log.record(entry(LogType::Auth, "logout", NOON));
        let directory = fixture.log.directory().to_owned();
        drop(fixture.log);
        fixture.writer.run(|| UnixMs(NOON));
        assert_eq!(verify(&directory).expect("read").records(), 1);
    }
}
