//! The copy of the audit log: one file that every record goes to too.
//!
//! Owns: [`CopyFile`]. Does not: have a chain, so it proves nothing. Invariants: what it does not take stops nothing and is
//! counted; a part of a line is ended and never cut off, because others may read the file; what is written goes to the file
//! that the path names then, also when the one before was rotated or deleted.

use super::{AuditError, append_to};
use crate::wall::UnixMs;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How often the log says that the copy does not take records.
const TELL_AGAIN_MS: u64 = 60_000;

/// The file that every record goes to too. It proves nothing, so what it does not take stops nothing.
pub(super) struct CopyFile {
    path: PathBuf,
    file: File,
    /// Whether it may end within a line.
    torn: bool,
    /// Records that it did not take, or not whole: for the metric, and for the next line of the log.
    pub(super) uncounted: u64,
    untold: u64,
    told_at: Option<UnixMs>,
}

impl CopyFile {
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        let file = append_to(path).map_err(|cause| AuditError::Io {
            path: path.to_owned(),
            act: "append to it",
            cause,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            torn: false,
            uncounted: 0,
            untold: 0,
            told_at: None,
        })
    }

    /// Opens the path anew when it is another file than the one that is open, or none: it was rotated or deleted, and what
    /// is written to the old one nobody would find.
    fn follow(&mut self) -> io::Result<()> {
        let open = self.file.metadata()?;
        let same = |there: fs::Metadata| (there.dev(), there.ino()) == (open.dev(), open.ino());
        if fs::metadata(&self.path).is_ok_and(same) {
            return Ok(());
        }
        self.file = append_to(&self.path)?;
        self.torn = false;
        Ok(())
    }

    /// Writes lines, or counts them and says so, at most once in [`TELL_AGAIN_MS`].
    pub(super) fn append(&mut self, lines: &str, now: UnixMs) {
        if lines.is_empty() {
            return;
        }
        let written = self.follow().and_then(|()| {
            // Others may read it or have a pipe there, so a part of a line is not cut off but ended.
            let end = if self.torn { "\n" } else { "" };
            let written = self.file.write_all(format!("{end}{lines}").as_bytes());
            self.torn = written.is_err();
            written
        });
        let Err(error) = written else {
            return;
        };
        let lost = lines.lines().count() as u64;
        self.uncounted += lost;
        self.untold += lost;
        let is_time = |told: UnixMs| told.0.abs_diff(now.0) >= TELL_AGAIN_MS;
        if self.told_at.is_none_or(is_time) {
            tracing::error!(component = "audit", %error, records = self.untold, "the copy of the audit log is incomplete");
            self.told_at = Some(now);
            self.untold = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::LogType;
    use crate::audit::store::tests::{NOON, config, write};
    use crate::audit::store::{AuditConfig, AuditStore};
    use crate::audit::verify::verify;

    #[test]
    fn a_copy_takes_every_record() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let copy = directory.path().join("audit.log");
        let config = AuditConfig {
            copy: Some(copy.clone()),
            ..config(&directory.path().join("audit"))
        };
        let (mut store, _) = AuditStore::open(&config, UnixMs(NOON)).expect("opens");
        write(&mut store, LogType::Auth, &[NOON]);
        write(&mut store, LogType::Order, &[NOON, NOON]);
        let lines = |path: &Path| fs::read_to_string(path).expect("there").lines().count();
        assert_eq!(lines(&copy), 3);
        // Rotated, as `logrotate` does.
        let rotated = directory.path().join("audit.log.1");
        fs::rename(&copy, &rotated).expect("renamed");
        write(&mut store, LogType::Auth, &[NOON]);
        assert_eq!((lines(&rotated), lines(&copy)), (3, 1));
        fs::remove_file(&copy).expect("deleted");
        write(&mut store, LogType::Auth, &[NOON, NOON]);
        assert_eq!(lines(&copy), 2);
        // It cannot be opened anew: that is counted as any other loss.
        fs::remove_file(&copy).expect("deleted");
        fs::create_dir(&copy).expect("in its way");
        write(&mut store, LogType::Auth, &[NOON]);
        assert_eq!(store.take_not_copied(), 1);
    }

    #[test]
    fn what_a_copy_does_not_take_is_counted_and_stops_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = AuditConfig {
            copy: Some("/dev/full".into()),
            ..config(&directory.path().join("audit"))
        };
        let (mut store, _) = AuditStore::open(&config, UnixMs(NOON)).expect("opens");
        write(&mut store, LogType::Auth, &[NOON, NOON]);
        // The log was told of two; what follows within a minute waits.
        let untold = |store: &AuditStore| store.copy.as_ref().expect("open").untold;
        assert_eq!(untold(&store), 0);
        write(&mut store, LogType::Order, &[NOON + TELL_AGAIN_MS - 1]);
        assert_eq!(untold(&store), 1);
        assert_eq!(store.take_not_copied(), 3);
        assert_eq!(store.take_not_copied(), 0);
        // It takes records again: the part of a line that it may have taken is ended first.
        let path = directory.path().join("audit.log");
        fs::write(&path, "{\"cut").expect("written");
        let copy = store.copy.as_mut().expect("open");
        copy.file = append_to(&path).expect("there");
        copy.path.clone_from(&path);
        write(&mut store, LogType::Auth, &[NOON + TELL_AGAIN_MS]);
        write(&mut store, LogType::Auth, &[NOON + TELL_AGAIN_MS]);
        let text = fs::read_to_string(&path).expect("there");
        let whole = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(text.lines().filter(whole).count(), 2, "{text}");
        assert_eq!(store.take_not_copied(), 0);
        let report = verify(&directory.path().join("audit")).expect("read");
        assert_eq!((report.fault.clone(), report.records()), (None, 5));
    }
}
