//! Looking records up.
//!
//! Owns: [`AuditQuery`], [`AuditPage`], [`overview`]. Does not: write. Invariants: records come newest
//! first; the total is exact; a query reads at most [`SCAN_BYTES_MAX`] and remembers no more records than
//! it may answer with.

use super::files::{ArchiveFile, DAY_MS, LiveFile, Segment, archive_path};
use super::record::LogType;
use crate::wall::UnixMs;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs;
use std::io;
use std::path::Path;

/// Records of one answer.
pub const LIMIT_MAX: usize = 1_000;
/// Records of one answer when nobody says how many.
pub const LIMIT_DEFAULT: usize = 100;
/// Records that one query may pass over; who wants older ones names a time.
pub const OFFSET_MAX: usize = 10_000;
/// Bytes that one query reads: some two seconds.
const SCAN_BYTES_MAX: u64 = 512 << 20;

/// Which records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Of this type; all when `None`.
    pub log_type: Option<LogType>,
    /// Of this user.
    pub user_id: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// Not before.
    pub from: Option<UnixMs>,
    /// Not after.
    pub until: Option<UnixMs>,
    /// At most so many.
    pub limit: usize,
    /// Passing over so many.
    pub offset: usize,
}

/// What was found.
#[derive(Debug)]
pub struct AuditPage {
    /// The records, newest first.
    pub records: Vec<Box<RawValue>>,
    /// Records that fit, those before and after this page included.
    pub total: usize,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The files cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// There is more than one query may read.
    #[error(
        "the range holds more than one query reads: narrow start_time and end_time, or name a type"
    )]
    TooMuch,
}

#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    datetime: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    seq: u64,
}

/// A record that fits; the order is that of time, and within one moment that of writing.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    at: UnixMs,
    log_type: LogType,
    seq: u64,
    line: String,
}

impl AuditQuery {
    /// Runs the query over the files of a directory that are not packed.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn run(&self, directory: &Path) -> Result<AuditPage, QueryError> {
        let files: Vec<LiveFile> = LiveFile::list(directory)?
            .into_iter()
            .filter(|file| self.may_hold(file))
            .collect();
        let mut bytes = 0;
        for file in &files {
            bytes += fs::metadata(directory.join(file.name()))?.len();
        }
        if bytes > SCAN_BYTES_MAX {
            return Err(QueryError::TooMuch);
        }
        let wanted = self.offset + self.limit;
        let mut newest: BinaryHeap<Reverse<Fit>> = BinaryHeap::new();
        let mut total = 0;
        for file in files {
            let log_type = file.log_type;
            let text = Segment::Live(file).read(directory)?;
            // What follows the last newline is being written.
            let whole = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
            for line in text[..whole].split(|byte| *byte == b'\n') {
                let Some(fit) = self.fit(log_type, line) else {
                    continue;
                };
                total += 1;
                newest.push(Reverse(fit));
                if newest.len() > wanted {
                    newest.pop();
                }
            }
        }
        let mut fits: Vec<Fit> = newest.into_iter().map(|Reverse(fit)| fit).collect();
        fits.sort_unstable_by(|a, b| b.cmp(a));
        let records = fits
            .into_iter()
            .skip(self.offset)
            .filter_map(|fit| RawValue::from_string(fit.line).ok())
            .collect();
        Ok(AuditPage { records, total })
    }

    fn may_hold(&self, file: &LiveFile) -> bool {
        let begins = UnixMs(file.day_end().0 - DAY_MS);
        self.log_type.is_none_or(|log_type| log_type == file.log_type)
            // When the clock goes back, a file takes records of earlier days: only its end is a bound
            // that holds, and the day before is let pass with it.
            && self.from.is_none_or(|from| file.day_end() > from)
            && self.until.is_none_or(|until| begins <= until.plus_ms(DAY_MS))
    }

    fn fit(&self, log_type: LogType, line: &[u8]) -> Option<Fit> {
        let seen: Seen<'_> = serde_json::from_slice(line).ok()?;
        let at = UnixMs::parse(&seen.datetime)?;
        let fits = self
            .user_id
            .as_ref()
            .is_none_or(|user| *user == seen.user_id)
            && self
                .action
                .as_ref()
                .is_none_or(|action| *action == seen.action)
            && self.from.is_none_or(|from| at >= from)
            && self.until.is_none_or(|until| at <= until);
        fits.then(|| Fit {
            at,
            log_type,
            seq: seen.seq,
            line: String::from_utf8_lossy(line).into_owned(),
        })
    }
}

/// What lies in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Files that are not packed, and their bytes, by type.
    pub live: BTreeMap<LogType, (u64, u64)>,
    /// Packed files.
    pub archive_files: u64,
    /// Their bytes.
    pub archive_bytes: u64,
}

impl Overview {
    /// Bytes of the files that are not packed.
    pub fn live_bytes(&self) -> u64 {
        self.live.values().map(|(_, bytes)| bytes).sum()
    }
}

/// Counts the files of a directory.
///
/// # Errors
/// When it cannot be read.
pub fn overview(directory: &Path) -> io::Result<Overview> {
    let mut overview = Overview::default();
    for log_type in LogType::ALL {
        overview.live.insert(log_type, (0, 0));
    }
    for file in LiveFile::list(directory)? {
        let (count, bytes) = overview.live.entry(file.log_type).or_default();
        *count += 1;
        *bytes += fs::metadata(directory.join(file.name()))?.len();
    }
    for file in ArchiveFile::list(directory)? {
        overview.archive_files += 1;
        overview.archive_bytes += fs::metadata(archive_path(directory, &file))?.len();
    }
    Ok(overview)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::tests::entry;
    use crate::audit::store::tests::{DAY, NOON, open};
    use serde_json::Value;

    fn written() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        let mut batch = Vec::new();
        for number in 0..10 {
            let mut auth = entry(LogType::Auth, "login_success", NOON + 1_000 * number);
            if number % 2 == 1 {
                auth.action = "login_failed".into();
                auth.user_id = "mallory".to_owned();
            }
            batch.push(auth);
        }
        batch.push(entry(LogType::Order, "order_placed", NOON + 2_500));
        batch.push(entry(LogType::Auth, "logout", NOON + DAY));
        assert!(store.append(&batch).values().all(Result::is_ok));
        directory
    }

    fn run(directory: &Path, query: &AuditQuery) -> (Vec<(String, u64)>, usize) {
        let page = query.run(directory).expect("read");
        let records = page
            .records
            .iter()
            .map(|record| {
                let record: Value = serde_json::from_str(record.get()).expect("JSON");
                let text = record["action"].as_str().expect("a text").to_owned();
                (text, record["seq"].as_u64().expect("a number"))
            })
            .collect();
        (records, page.total)
    }

    fn all() -> AuditQuery {
        AuditQuery {
            limit: LIMIT_DEFAULT,
            ..AuditQuery::default()
        }
    }

    #[test]
    fn records_come_newest_first_in_pages_and_the_total_is_exact() {
        let directory = written();
        let (records, total) = run(directory.path(), &all());
        assert_eq!((records.len(), total), (12, 12));
        assert_eq!(records[0].0, "logout");
        assert_eq!(
            records[8].0, "order_placed",
            "between the third and the fourth login"
        );
        let mut paged = Vec::new();
        for offset in (0..15).step_by(5) {
            let query = AuditQuery {
                limit: 5,
                offset,
                ..all()
            };
            let (page, total) = run(directory.path(), &query);
            assert_eq!(total, 12);
            paged.extend(page);
        }
        assert_eq!(paged, records);
    }

    #[test]
    fn each_filter_narrows_by_itself_and_with_others() {
        let directory = written();
        let total = |query: AuditQuery| run(directory.path(), &query).1;
        let of = |log_type| AuditQuery {
            log_type: Some(log_type),
            ..all()
        };
        assert_eq!(total(of(LogType::Auth)), 11);
        assert_eq!(total(of(LogType::Order)), 1);
        assert_eq!(total(of(LogType::ApiKey)), 0);
        let mallory = AuditQuery {
            user_id: Some("mallory".to_owned()),
            ..all()
        };
        assert_eq!(total(mallory.clone()), 5);
        let from = |from| AuditQuery {
            from: Some(UnixMs(from)),
            ..mallory.clone()
        };
        assert_eq!(total(from(NOON + 5_000)), 3, "inclusive");
        assert_eq!(total(from(NOON + 5_001)), 2);
        let until = AuditQuery {
            until: Some(UnixMs(NOON + 1_000)),
            ..mallory.clone()
        };
        assert_eq!(total(until), 1);
        let action = AuditQuery {
            action: Some("logout".to_owned()),
            ..all()
        };
        assert_eq!(total(action.clone()), 1);
        let neither = AuditQuery {
            user_id: Some("mallory".to_owned()),
            ..action
        };
        assert_eq!(total(neither), 0);
    }

    #[test]
    fn a_record_that_is_being_written_is_not_seen_yet() {
        let directory = written();
        let path = directory.path().join("auth_2026-02-24.ndjson");
        let mut text = fs::read_to_string(&path).expect("there");
        text.push_str("{\"datetime\":\"2026-02-24T12:00:00.000Z\",\"action\":\"x\",\"user_id\":\"\",\"seq\":12}");
        fs::write(&path, text).expect("written");
        assert_eq!(run(directory.path(), &all()).1, 12);
    }

    #[test]
    fn the_overview_counts_files_and_bytes() {
        let directory = written();
        let overview = overview(directory.path()).expect("read");
        assert_eq!(overview.live[&LogType::Auth].0, 2);
        assert_eq!(overview.live[&LogType::Access], (0, 0));
        assert_eq!(overview.archive_files, 0);
        let bytes: u64 = ["auth_2026-02-23", "auth_2026-02-24", "order_2026-02-23"]
            .map(|name| directory.path().join(format!("{name}.ndjson")))
            .iter()
            .map(|path| fs::metadata(path).expect("there").len())
            .sum();
        assert_eq!(overview.live_bytes(), bytes);
    }
}
