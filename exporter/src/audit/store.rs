//! Writing records: batches to files, and chains to the anchor.
//!
//! Owns: [`AuditStore`]. Does not: have a thread (`writer.rs`) or pack old files (`retention.rs`).
//! Invariants: one process writes a directory; records of a batch are on the disk, and the anchor knows
//! them, before anybody is told that they were written; of a batch that is told to be refused nothing
//! stays, neither a part of a line nor records that the anchor did not take; what the anchor knows and the
//! files lack is told, and the chain goes on from the anchor, so that the hole can be seen for ever.
//!
//! | module | what |
//! | --- | --- |
//! | `store/recovery.rs` | what files and anchor say after a crash, and from where a chain goes on |
//! | `store/copy.rs` | the file that every record goes to too |

mod copy;
mod recovery;

use super::files::{Anchor, Ends, LiveFile, sync_directory};
use super::record::{Entry, Link, LogType, seal};
use crate::lines::LineFile;
use crate::wall::UnixMs;
use copy::CopyFile;
use recovery::Found;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes of one file; a day that needs more has several.
pub const FILE_BYTES_MAX: u64 = 100 << 20;

/// Where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Where the files are; made if it is missing.
    pub directory: PathBuf,
    /// Where a copy of every record goes too, chain or no chain.
    pub copy: Option<PathBuf>,
    /// Where the ends of the chains are kept too, outside the directory; see [`super::files::heads_file`].
    pub heads: Option<PathBuf>,
    /// Days that every type is kept at least, if that is more than its own.
    pub retention_days_min: u32,
}

/// Why nothing can be recorded; a fault of the start.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The system refuses.
    #[error("{path}: cannot {act}: {cause}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// The system's reason.
        cause: io::Error,
    },
    /// Two writers would break every chain.
    #[error("{0}: another process writes its audit log here")]
    Taken(PathBuf),
}

/// The open audit log.
pub struct AuditStore {
    pub(super) directory: PathBuf,
    pub(super) anchor: Anchor,
    pub(super) retention_days_min: u32,
    streams: BTreeMap<LogType, Stream>,
    copy: Option<CopyFile>,
    heads: Option<PathBuf>,
    file_bytes_max: u64,
    /// Held as long as the store lives.
    _lock: File,
}

/// One chain and the file that it grows in.
struct Stream {
    log_type: LogType,
    ends: Ends,
    open: Option<Open>,
    /// Where the chain ended before this batch, and files that the batch filled: until the anchor knows it.
    before: Ends,
    filled: Vec<Open>,
    /// Files with records of a refused batch that could not be cut off yet. Nothing is recorded until they are.
    uncut: Vec<LineFile>,
}

struct Open {
    name: LiveFile,
    lines: LineFile,
    /// Bytes before this batch.
    before_bytes: u64,
}

/// What one batch came to, by type; types that it has no record of are left out.
pub type Written = BTreeMap<LogType, Result<(), String>>;

impl AuditStore {
    /// Opens a directory and looks at what a crash may have left. The entries that come with it say what
    /// was found, for the log itself.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn open(config: &AuditConfig, now: UnixMs) -> Result<(Self, Vec<Entry>), AuditError> {
        Self::open_with(config, now, FILE_BYTES_MAX)
    }

    pub(super) fn open_with(
        config: &AuditConfig,
        now: UnixMs,
        file_bytes_max: u64,
    ) -> Result<(Self, Vec<Entry>), AuditError> {
        let directory = &config.directory;
        let failed = |act: &'static str| {
            move |cause| AuditError::Io {
                path: directory.clone(),
                act,
                cause,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("make the directory"))?;
        let lock = lock(directory)?;
        let copy = config.copy.as_deref().map(CopyFile::open).transpose()?;
        let anchored = Anchor::read(directory).map_err(failed("read anchor.json in it"))?;
        let heads_file = config.heads.as_deref().filter(|path| has_place(path));
        let heads = heads_file
            .map(|path| {
                Anchor::read_file(path).map_err(|cause| AuditError::Io {
                    path: path.to_owned(),
                    act: "read it",
                    cause,
                })
            })
            .transpose()?
            .flatten();
        let mut findings = Vec::new();
        let mut anchor = anchored.clone().unwrap_or_default();
        let mut streams = BTreeMap::new();
        for log_type in LogType::ALL {
            let known = Anchor::or_heads(anchored.as_ref(), heads.as_ref(), log_type);
            let found =
                Found::in_files(directory, log_type, known).map_err(failed("read files in it"))?;
            let (ends, finding) = found.reconcile(known);
            // The ends are known from elsewhere: the chain goes on, and that the anchor is gone is told.
            let is_missing = anchored.is_none() && known.is_some();
            let finding = finding.or(is_missing.then_some("anchor_missing"));
            if let Some(finding) = finding {
                let details = json!({
                    "log_type": log_type.label(),
                    "finding": finding,
                    "anchored_seq": known.map(|ends| ends.head.seq),
                    "found_seq": found.last.map(|place| place.link.seq),
                });
                let entry = Entry::of_system(LogType::Error, "audit_log_damaged", now, details);
                findings.push(entry);
            }
            if ends != Ends::NONE {
                anchor.set(log_type, ends);
            }
            let stream = Stream {
                log_type,
                ends,
                open: None,
                before: ends,
                filled: Vec::new(),
                uncut: Vec::new(),
            };
            streams.insert(log_type, stream);
        }
        let store = Self {
            directory: directory.clone(),
            anchor,
            retention_days_min: config.retention_days_min,
            streams,
            copy,
            heads: heads_file.map(Path::to_owned),
            file_bytes_max,
            _lock: lock,
        };
        Ok((store, findings))
    }

    /// Days that every type is kept at least.
    pub fn retention_days_min(&self) -> u32 {
        self.retention_days_min
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a batch, and waits for the disk.
    pub fn append(&mut self, batch: &[Entry]) -> Written {
        let mut lines_of: BTreeMap<LogType, Vec<&Entry>> = BTreeMap::new();
        for entry in batch {
            lines_of.entry(entry.log_type).or_default().push(entry);
        }
        let mut written = Written::new();
        let mut copies = String::new();
        let mut anchor = self.anchor.clone();
        for (log_type, entries) in lines_of {
            let stream = self.streams.get_mut(&log_type).expect("one for each type");
            let result = stream.append(&self.directory, &entries, self.file_bytes_max);
            if let Ok(lines) = &result {
                copies.push_str(lines);
                anchor.set(log_type, stream.ends);
            }
            written.insert(
                log_type,
                result.map(|_| ()).map_err(|error| error.to_string()),
            );
        }
        if written.values().any(Result::is_ok) {
            match self.write_anchor(anchor) {
                Ok(()) => {
                    for stream in self.streams.values_mut() {
                        stream.filled.clear();
                    }
                }
                Err(error) => {
                    copies.clear();
                    for (log_type, result) in &mut written {
                        if result.is_ok() {
                            *result = Err(format!("anchor.json: {error}"));
                            let stream = self.streams.get_mut(log_type);
                            stream.expect("one for each type").take_back();
                        }
                    }
                }
            }
        }
        // After the anchor: what is known here is on the disk there.
        if let Some(heads) = &self.heads
            && written.values().any(Result::is_ok)
            && let Err(error) = self.anchor.write_file(heads)
        {
            tracing::error!(component = "audit", %error, "the ends of the audit log are kept in its directory alone");
        }
        if let Some(copy) = &mut self.copy
            && let Some(last) = batch.last()
        {
            copy.append(&copies, last.at);
        }
        written
    }

    /// Records since the last time that this was asked that the log has and its copy has not.
    pub(super) fn take_not_copied(&mut self) -> u64 {
        self.copy
            .as_mut()
            .map_or(0, |copy| std::mem::take(&mut copy.uncounted))
    }

    /// Has the anchor know what was written.
    fn write_anchor(&mut self, anchor: Anchor) -> io::Result<()> {
        if let Err(error) = anchor.write(&self.directory) {
            // In its place, and only its name may not outlive a power cut: whichever anchor does, these records fit it.
            if Anchor::read(&self.directory).ok().flatten().as_ref() != Some(&anchor) {
                return Err(error);
            }
            tracing::error!(component = "audit", %error, "anchor.json is in its place, and may be an older one after a power cut");
        }
        self.anchor = anchor;
        Ok(())
    }

    /// Lets go of the files, so that they can be packed; the next record opens its own.
    pub(super) fn close_files(&mut self) {
        for stream in self.streams.values_mut() {
            stream.open = None;
        }
    }

    /// Takes back what was refused and is still there, so that it is not packed.
    pub(super) fn cut_refused(&mut self, log_type: LogType) -> io::Result<()> {
        let stream = self.streams.get_mut(&log_type);
        stream.expect("one for each type").cut_refused()
    }

    /// Moves the beginning of a chain behind records that are about to be deleted, and waits for the disk.
    pub(super) fn forget_until(&mut self, log_type: LogType, last: Link) -> io::Result<()> {
        let stream = self.streams.get_mut(&log_type).expect("one for each type");
        let mut ends = stream.ends;
        ends.start = last;
        let mut anchor = self.anchor.clone();
        anchor.set(log_type, ends);
        anchor.write(&self.directory)?;
        stream.ends = ends;
        self.anchor = anchor;
        Ok(())
    }

    /// Where a chain begins and ends.
    pub(super) fn ends(&self, log_type: LogType) -> Ends {
        self.streams[&log_type].ends
    }
}

impl Stream {
    /// Writes entries of this stream, all or none; gives the lines.
    fn append(
        &mut self,
        directory: &Path,
        entries: &[&Entry],
        file_bytes_max: u64,
    ) -> io::Result<String> {
        self.cut_refused()?;
        self.before = self.ends;
        self.filled.clear();
        if let Some(open) = &mut self.open {
            open.before_bytes = open.lines.bytes();
        }
        self.extend(directory, entries, file_bytes_max)
            .inspect_err(|_| self.take_back())
    }

    /// Cuts off what could not be when it was refused.
    fn cut_refused(&mut self) -> io::Result<()> {
        while let Some(lines) = self.uncut.last_mut() {
            lines.cut_durably(lines.bytes())?;
            self.uncut.pop();
        }
        Ok(())
    }

    /// Takes back what this batch wrote. The next record opens its file anew.
    fn take_back(&mut self) {
        self.ends = self.before;
        for mut open in self.filled.drain(..).chain(self.open.take()) {
            if let Err(error) = open.lines.cut_durably(open.before_bytes) {
                tracing::error!(component = "audit", %error, "records that were refused cannot be taken back yet");
                self.uncut.push(open.lines);
            }
        }
    }

    fn extend(
        &mut self,
        directory: &Path,
        entries: &[&Entry],
        file_bytes_max: u64,
    ) -> io::Result<String> {
        let mut all = String::new();
        let mut rest = entries;
        // One turn for each file that the entries belong to: usually one.
        while let Some(first) = rest.first() {
            self.open_for(directory, first.at, file_bytes_max)?;
            let open = self.open.as_mut().expect("opened above");
            let mut head = self.ends.head;
            let mut text = String::new();
            let mut taken = 0;
            for entry in rest {
                let other_day = entry.at.date() > open.name.date;
                let full = open.lines.bytes() + text.len() as u64 >= file_bytes_max;
                if taken > 0 && (other_day || full) {
                    break;
                }
                let (line, next) = seal(entry, head);
                text.push_str(&line);
                head = next;
                taken += 1;
            }
            open.lines.append_durably(&text)?;
            self.ends.head = head;
            all.push_str(&text);
            rest = &rest[taken..];
        }
        Ok(all)
    }

    /// Opens the file for a record of this moment. A day that is over is not opened again when the clock
    /// goes back: records stay in their order.
    fn open_for(&mut self, directory: &Path, at: UnixMs, file_bytes_max: u64) -> io::Result<()> {
        let date = at.date();
        let fits = |name: &LiveFile, bytes: u64| name.date >= date && bytes < file_bytes_max;
        if let Some(open) = &self.open
            && fits(&open.name, open.lines.bytes())
        {
            return Ok(());
        }
        self.filled.extend(self.open.take());
        let newest = LiveFile::list(directory)?
            .into_iter()
            .rfind(|file| file.log_type == self.log_type);
        let fresh = |date: String, part: u32| LiveFile {
            log_type: self.log_type,
            date,
            part,
        };
        let name = match newest {
            Some(newest) => {
                let bytes = fs::metadata(directory.join(newest.name()))?.len();
                if fits(&newest, bytes) {
                    newest
                } else if newest.date >= date {
                    fresh(newest.date, newest.part + 1)
                } else {
                    fresh(date, 0)
                }
            }
            None => fresh(date, 0),
        };
        self.open = Some(Open::at(directory, name)?);
        Ok(())
    }
}

impl Open {
    fn at(directory: &Path, name: LiveFile) -> io::Result<Self> {
        let path = directory.join(name.name());
        let is_new = !path.exists();
        let file = append_to(&path)?;
        if is_new {
            sync_directory(directory)?;
        }
        let bytes = file.metadata()?.len();
        // What a crash may have left is cut off.
        let lines = LineFile::new(file, whole_lines(&path, bytes)?)?;
        Ok(Self {
            name,
            before_bytes: lines.bytes(),
            lines,
        })
    }
}

/// Bytes of a file up to the end of its last whole line. Only its end is read.
fn whole_lines(path: &Path, bytes: u64) -> io::Result<u64> {
    /// More than the longest line.
    const TAIL_BYTES: u64 = 64 << 10;
    let from = bytes.saturating_sub(TAIL_BYTES);
    let mut tail = Vec::new();
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(match tail.iter().rposition(|byte| *byte == b'\n') {
        Some(position) => from + position as u64 + 1,
        None => from,
    })
}

/// Whether there is a directory for the file of the ends, made if it is missing; the log does without.
fn has_place(path: &Path) -> bool {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path.parent().unwrap_or(Path::new(".")));
    if let Err(error) = &made {
        tracing::warn!(component = "audit", %error, "the ends of the audit log are kept in its directory alone");
    }
    made.is_ok()
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

fn lock(directory: &Path) -> Result<File, AuditError> {
    let path = directory.join("audit.lock");
    let failed = |cause| AuditError::Io {
        path: path.clone(),
        act: "lock it",
        cause,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AuditError::Taken(directory.to_owned())),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::audit::record::tests::entry;
    use crate::audit::verify::verify;
    use std::io::Write as _;

    pub(crate) const DAY: u64 = 86_400_000;
    /// Noon of 2026-02-23.
    pub(crate) const NOON: u64 = 1_771_848_000_000;

    pub(crate) fn config(directory: &Path) -> AuditConfig {
        AuditConfig {
            directory: directory.to_owned(),
            copy: None,
            heads: None,
            retention_days_min: 0,
        }
    }

    pub(crate) fn open(directory: &Path) -> (AuditStore, Vec<Entry>) {
        AuditStore::open(&config(directory), UnixMs(NOON)).expect("opens")
    }

    pub(crate) fn write(store: &mut AuditStore, log_type: LogType, times: &[u64]) {
        let batch: Vec<Entry> = times
            .iter()
            .map(|at| entry(log_type, "login_success", *at))
            .collect();
        let written = store.append(&batch);
        assert!(written.values().all(Result::is_ok), "{written:?}");
    }

    fn names(directory: &Path) -> Vec<String> {
        let files = LiveFile::list(directory).expect("listed");
        files.iter().map(LiveFile::name).collect()
    }

    pub(crate) fn lines(directory: &Path, name: &str) -> Vec<String> {
        let text = fs::read_to_string(directory.join(name)).expect("there");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_type_and_day_has_its_file_and_each_type_its_chain() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, findings) = open(directory.path());
        assert!(findings.is_empty());
        write(&mut store, LogType::Auth, &[NOON, NOON + 1, NOON + DAY]);
        write(&mut store, LogType::Order, &[NOON]);
        // The clock goes back: the record follows the last one all the same.
        write(&mut store, LogType::Auth, &[NOON]);
        assert_eq!(
            names(directory.path()),
            [
                "auth_2026-02-23.ndjson",
                "auth_2026-02-24.ndjson",
                "order_2026-02-23.ndjson"
            ]
        );
        assert_eq!(lines(directory.path(), "auth_2026-02-24.ndjson").len(), 2);
        assert_eq!(store.ends(LogType::Auth).head.seq, 4);
        let report = verify(directory.path()).expect("read");
        assert_eq!(report.fault, None);
        assert_eq!(report.records(), 5);
    }

    #[test]
    fn a_chain_goes_on_after_a_restart_and_two_writers_are_one_too_many() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        write(&mut store, LogType::Auth, &[NOON]);
        let second = AuditStore::open(&config(directory.path()), UnixMs(NOON));
        assert!(matches!(second, Err(AuditError::Taken(_))));
        drop(store);
        let (mut store, findings) = open(directory.path());
        assert!(findings.is_empty(), "{findings:?}");
        write(&mut store, LogType::Auth, &[NOON + 1]);
        assert_eq!(store.ends(LogType::Auth).head.seq, 2);
        assert_eq!(verify(directory.path()).expect("read").fault, None);
    }

    #[test]
    fn a_file_that_is_full_is_followed_by_another_of_the_same_day() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) =
            AuditStore::open_with(&config(directory.path()), UnixMs(NOON), 1_000).expect("opens");
        write(&mut store, LogType::Auth, &[NOON; 6]);
        write(&mut store, LogType::Auth, &[NOON; 1]);
        let names = names(directory.path());
        assert_eq!(
            names[..2],
            ["auth_2026-02-23.ndjson", "auth_2026-02-23.1.ndjson"]
        );
        assert!(names.len() > 2);
        let report = verify(directory.path()).expect("read");
        assert_eq!((report.fault.clone(), report.records()), (None, 7));
    }

    #[test]
    fn a_write_that_fails_is_told_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let inner = directory.path().join("audit");
        let (mut store, _) = open(&inner);
        write(&mut store, LogType::Auth, &[NOON]);
        // No new file can be made any more; the open one still takes records.
        let moved = directory.path().join("moved");
        fs::rename(&inner, &moved).expect("moved");
        let order = store.append(&[entry(LogType::Order, "order_placed", NOON)]);
        assert!(order[&LogType::Order].is_err());
        assert_eq!(store.ends(LogType::Order).head.seq, 0);
        let auth = store.append(&[entry(LogType::Auth, "logout", NOON)]);
        assert!(auth[&LogType::Auth].is_err(), "the anchor was not written");
        fs::rename(&moved, &inner).expect("moved back");
        write(&mut store, LogType::Order, &[NOON]);
        let report = verify(&inner).expect("read");
        assert_eq!((report.fault.clone(), report.records()), (None, 2));
    }

    #[test]
    fn records_that_the_anchor_did_not_take_are_taken_back() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Three records a file, so that a batch fills several.
        let (mut store, _) =
            AuditStore::open_with(&config(directory.path()), UnixMs(NOON), 1_000).expect("opens");
        write(&mut store, LogType::Auth, &[NOON]);
        let files = || -> Vec<(String, Vec<String>)> {
            let names = names(directory.path()).into_iter();
            let read = names.map(|name| (name.clone(), lines(directory.path(), &name)));
            read.filter(|(_, lines)| !lines.is_empty()).collect()
        };
        let before = files();
        // The records can be written, the anchor cannot.
        let fresh = directory.path().join("anchor.json.new");
        fs::create_dir(&fresh).expect("made");
        for times in [&[NOON; 1][..], &[NOON; 9], &[NOON, NOON + DAY]] {
            let refused: Vec<Entry> = times
                .iter()
                .flat_map(|at| [LogType::Auth, LogType::Order].map(|of| entry(of, "refused", *at)))
                .collect();
            let written = store.append(&refused);
            assert!(written.values().all(Result::is_err), "{written:?}");
            assert_eq!(files(), before);
            assert_eq!(store.ends(LogType::Auth).head.seq, 1);
            assert_eq!(store.ends(LogType::Order), Ends::NONE);
            let report = verify(directory.path()).expect("read");
            assert_eq!((report.fault.clone(), report.records()), (None, 1));
        }
        fs::remove_dir(&fresh).expect("removed");
        write(&mut store, LogType::Auth, &[NOON + DAY]);
        write(&mut store, LogType::Order, &[NOON]);
        drop(store);
        let report = verify(directory.path()).expect("read");
        assert_eq!((report.fault.clone(), report.records()), (None, 3));
        let (store, findings) = open(directory.path());
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(store.ends(LogType::Auth).head.seq, 2);
    }

    #[test]
    fn records_that_cannot_be_taken_back_yet_stop_the_chain_until_they_are() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        write(&mut store, LogType::Auth, &[NOON]);
        let path = directory.path().join("auth_2026-02-23.ndjson");
        let text = fs::read_to_string(&path).expect("there");
        // As a disk that takes records and cannot cut them leaves it.
        append_to(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("written");
        let stream = store.streams.get_mut(&LogType::Auth).expect("there");
        stream.open = None;
        let mut uncut = LineFile::new(append_to(&path).expect("there"), 2 * text.len() as u64)
            .expect("whole lines");
        uncut.put_file(File::open(&path).expect("there"));
        assert!(uncut.cut_durably(text.len() as u64).is_err());
        stream.uncut.push(uncut);
        let more = [entry(LogType::Auth, "logout", NOON)];
        assert!(store.append(&more)[&LogType::Auth].is_err());
        let tidied = store.apply_retention(UnixMs(NOON + 1_000 * DAY));
        assert_eq!((tidied.errors.len(), tidied.archived_files), (1, 0));
        let stream = store.streams.get_mut(&LogType::Auth).expect("there");
        stream.uncut[0].put_file(append_to(&path).expect("there"));
        assert!(store.append(&more)[&LogType::Auth].is_ok());
        let report = verify(directory.path()).expect("read");
        assert_eq!((report.fault.clone(), report.records()), (None, 2));
    }
}
