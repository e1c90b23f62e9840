//! How long records stay, and what becomes of them then.
//!
//! Owns: [`AuditStore::apply_retention`], [`ArchiveStats`]. Does not: know when it is time (`writer.rs`).
//! Invariants: a day is touched only when all of it is older than its retention; what is archived is on
//! the disk, packed, before the original goes; what is deleted moves the anchor's beginning first; every
//! step can be repeated after a crash.

use super::files::{ARCHIVE, ArchiveFile, DAY_MS, LiveFile, Segment, archive_path, sync_directory};
use super::record::{self, Link, LogType};
use super::store::AuditStore;
use crate::wall::UnixMs;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// What one pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStats {
    /// Files packed.
    pub archived_files: u64,
    /// Files deleted.
    pub deleted_files: u64,
    /// Bytes less on the disk.
    pub bytes_freed: u64,
    /// What failed, a sentence each; it is tried again with the next pass.
    pub errors: Vec<String>,
}

/// Days that records of a type stay in place.
pub fn retention_days(log_type: LogType, days_min: u32) -> u32 {
    log_type.retention_days().max(days_min)
}

impl AuditStore {
    /// Packs and deletes what is old enough at `now`.
    pub fn apply_retention(&mut self, now: UnixMs) -> ArchiveStats {
        let mut stats = ArchiveStats::default();
        self.close_files();
        for log_type in LogType::ALL {
            let days = retention_days(log_type, self.retention_days_min);
            if let Err(error) = self.apply_to(log_type, days, now, &mut stats) {
                stats.errors.push(format!("{}: {error}", log_type.label()));
            }
        }
        stats
    }

    fn apply_to(
        &mut self,
        log_type: LogType,
        days: u32,
        now: UnixMs,
        stats: &mut ArchiveStats,
    ) -> io::Result<()> {
        self.cut_refused(log_type)?;
        let life_ms = u64::from(days) * DAY_MS;
        let directory = self.directory.clone();
        for segment in Segment::list(&directory, log_type)? {
            // In order, so that the chain is never opened in its middle.
            match &segment {
                Segment::Archived(file) => {
                    if file.last.plus_ms(2 * life_ms) > now {
                        continue;
                    }
                    self.delete(&directory, &segment, stats)?;
                }
                Segment::Live(file) => {
                    if file.day_end().plus_ms(life_ms) > now {
                        break;
                    }
                    if log_type.is_archived() {
                        self.pack(&directory, file, stats)?;
                    } else {
                        self.delete(&directory, &segment, stats)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn delete(
        &mut self,
        directory: &Path,
        segment: &Segment,
        stats: &mut ArchiveStats,
    ) -> io::Result<()> {
        let text = segment.read(directory)?;
        let (Segment::Archived(ArchiveFile { log_type, .. })
        | Segment::Live(LiveFile { log_type, .. })) = segment;
        if let Some((last, _)) = last_record(&text)
            && last.seq > self.ends(*log_type).start.seq
        {
            self.forget_until(*log_type, last)?;
        }
        let path = segment.path(directory);
        let bytes = fs::metadata(&path)?.len();
        fs::remove_file(&path)?;
        stats.deleted_files += 1;
        stats.bytes_freed += bytes;
        Ok(())
    }

    fn pack(
        &mut self,
        directory: &Path,
        file: &LiveFile,
        stats: &mut ArchiveStats,
    ) -> io::Result<()> {
        let segment = Segment::Live(file.clone());
        let text = segment.read(directory)?;
        let Some((_, last)) = last_record(&text) else {
            // Nothing in it; nothing to keep.
            return self.delete(directory, &segment, stats);
        };
        let folder = directory.join(ARCHIVE);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        // By the time of its last record, so that a pass that was interrupted makes the same file again.
        let packed = ArchiveFile {
            log_type: file.log_type,
            last,
        };
        let fresh = folder.join("packing.tmp");
        let target = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        let mut encoder = GzEncoder::new(target, Compression::default());
        encoder.write_all(&text)?;
        encoder.finish()?.sync_all()?;
        let path = archive_path(directory, &packed);
        fs::rename(&fresh, &path)?;
        sync_directory(&folder)?;
        fs::remove_file(segment.path(directory))?;
        stats.archived_files += 1;
        let packed_bytes = fs::metadata(&path)?.len();
        stats.bytes_freed += (text.len() as u64).saturating_sub(packed_bytes);
        Ok(())
    }
}

/// The last sound record of a text and when it was made.
fn last_record(text: &[u8]) -> Option<(Link, UnixMs)> {
    #[derive(Deserialize)]
    struct Dated {
        datetime: String,
    }
    text.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let place = record::read(line).ok()?;
        let dated: Dated = serde_json::from_slice(line).ok()?;
        Some((place.link, UnixMs::parse(&dated.datetime)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::store::tests::{DAY, NOON, open, write};
    use crate::audit::verify::verify;
    use std::collections::BTreeSet;

    fn names(directory: &Path) -> BTreeSet<String> {
        let live = LiveFile::list(directory).expect("listed");
        let packed = ArchiveFile::list(directory).expect("listed");
        live.iter()
            .map(LiveFile::name)
            .chain(packed.iter().map(ArchiveFile::name))
            .collect()
    }

    fn is_whole(directory: &Path) {
        let report = verify(directory).expect("read");
        assert_eq!(report.fault, None);
    }

    /// The day after the one of `NOON` in which records of that day are old enough.
    fn due(days: u64) -> UnixMs {
        UnixMs(NOON + DAY / 2 + days * DAY)
    }

    #[test]
    fn each_type_stays_as_long_as_the_contract_says_and_twice_that_when_packed() {
        for log_type in LogType::ALL {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let (mut store, _) = open(directory.path());
            write(&mut store, log_type, &[NOON, NOON + 1, NOON + DAY]);
            let days = u64::from(log_type.retention_days());
            let first = format!("{}_2026-02-23.ndjson", log_type.label());
            let second = format!("{}_2026-02-24.ndjson", log_type.label());
            let packed = format!("{}_20260223_120000.ndjson.gz", log_type.label());

            let early = store.apply_retention(UnixMs(due(days).0 - 1));
            assert_eq!(early, ArchiveStats::default(), "{log_type:?}");
            let stats = store.apply_retention(due(days));
            assert_eq!(stats.errors, [""; 0]);
            let kept = BTreeSet::from([second.clone()]);
            if log_type.is_archived() {
                assert_eq!((stats.archived_files, stats.deleted_files), (1, 0));
                let with_packed: BTreeSet<_> =
                    kept.iter().cloned().chain([packed.clone()]).collect();
                assert_eq!(names(directory.path()), with_packed);
                assert_eq!(verify(directory.path()).expect("read").records(), 3);
                let late = UnixMs(NOON + 2 * days * DAY - 1);
                assert_eq!(store.apply_retention(late).deleted_files, 0);
                let stats = store.apply_retention(UnixMs(late.0 + 1));
                assert_eq!(stats.deleted_files, 1, "{log_type:?}");
            } else {
                assert_eq!((stats.archived_files, stats.deleted_files), (0, 1));
                assert_eq!(names(directory.path()), kept);
                assert!(stats.bytes_freed > 0);
            }
            assert!(!names(directory.path()).contains(&first));
            assert!(!names(directory.path()).contains(&packed));
            is_whole(directory.path());
            // And the chain goes on.
            write(&mut store, log_type, &[NOON + 900 * DAY]);
            assert_eq!(store.ends(log_type).head.seq, 4);
            is_whole(directory.path());
        }
    }

    #[test]
    fn a_longer_minimum_binds_every_type() {
        assert_eq!(retention_days(LogType::Access, 90), 90);
        assert_eq!(retention_days(LogType::Order, 90), 365);
        assert_eq!(retention_days(LogType::Error, 0), 30);
    }

    #[test]
    fn a_pass_that_was_interrupted_is_repeated_without_a_trace() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        write(&mut store, LogType::Auth, &[NOON, NOON + 1]);
        write(&mut store, LogType::Access, &[NOON, NOON + 1]);
        let originals: Vec<_> = ["auth", "access"]
            .map(|name| directory.path().join(format!("{name}_2026-02-23.ndjson")))
            .map(|path| (path.clone(), fs::read(path).expect("there")))
            .into();
        store.apply_retention(due(365));
        // As if the process had ended right before the originals went.
        for (path, text) in &originals {
            fs::write(path, text).expect("written");
        }
        drop(store);
        is_whole(directory.path());
        let (mut store, findings) = open(directory.path());
        assert!(findings.is_empty(), "{findings:?}");
        let stats = store.apply_retention(due(100));
        assert_eq!(stats.errors, [""; 0]);
        assert_eq!(
            names(directory.path()),
            BTreeSet::from(["auth_20260223_120000.ndjson.gz".to_owned()])
        );
        is_whole(directory.path());
        write(&mut store, LogType::Auth, &[NOON + 200 * DAY]);
        is_whole(directory.path());
    }

    #[test]
    fn a_chain_that_was_packed_or_deleted_as_a_whole_goes_on_after_a_restart() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        write(&mut store, LogType::Auth, &[NOON]);
        write(&mut store, LogType::Access, &[NOON]);
        store.apply_retention(due(100));
        drop(store);
        let (mut store, findings) = open(directory.path());
        assert!(findings.is_empty(), "{findings:?}");
        write(&mut store, LogType::Auth, &[NOON + 100 * DAY]);
        write(&mut store, LogType::Access, &[NOON + 100 * DAY]);
        assert_eq!(store.ends(LogType::Access).head.seq, 2);
        is_whole(directory.path());
    }

    #[test]
    fn what_cannot_be_packed_is_told_and_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        write(&mut store, LogType::Auth, &[NOON]);
        // A file where the folder should be.
        fs::write(directory.path().join(ARCHIVE), "").expect("written");
        let stats = store.apply_retention(due(90));
        assert_eq!(stats.archived_files, 0);
        assert!(stats.errors[0].starts_with("auth: "), "{:?}", stats.errors);
        assert!(directory.path().join("auth_2026-02-23.ndjson").exists());
    }
}
