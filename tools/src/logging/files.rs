//! Log files that rotate by size and by day, and do not stay for ever.
//!
//! Owns: [`Files`] (all lines in one file, errors again in another) and the rotation of each. Does not:
//! read a clock: the time of a line decides. A full or old file is renamed to `<name>.<UTC time>`, so
//! its name ends in no suffix that collectors follow, and is removed when its days are over or more
//! than [`ROTATED_MAX`] of its kind lie there.
//!
//! Invariants: a file is larger than its bound by less than one line; a write that failed is not
//! tried again, and what it left torn does not spoil the next line; the directory holds a bounded
//! number of bytes.

use crate::config::LogSection;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use time::{Date, Duration, OffsetDateTime};

/// Rotated files of one kind: with files of 64 MiB that is 4 GiB, and the oldest goes first.
const ROTATED_MAX: usize = 64;

/// The log's files.
pub(super) struct Files {
    all: Rotating,
    errors: Rotating,
}

impl Files {
    /// Makes the directory if it has to, and opens both files.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(section: &LogSection) -> io::Result<Self> {
        fs::create_dir_all(&section.dir)?;
        let rotating = |name, keep_days: u16| Rotating {
            path: section.dir.join(name),
            bytes_max: u64::from(section.file_mb) << 20,
            keep: Duration::days(i64::from(keep_days)),
            file: None,
            torn: false,
        };
        let mut files = Self {
            all: rotating("veloz.log", section.keep_days),
            errors: rotating("veloz-error.ndjson", section.error_keep_days),
        };
        for file in [&mut files.all, &mut files.errors] {
            file.open()?;
        }
        Ok(files)
    }

    /// Appends a line; an error into both files.
    ///
    /// # Errors
    /// What the system says; the other file was tried all the same.
    pub(super) fn write(&mut self, at: OffsetDateTime, line: &[u8], error: bool) -> io::Result<()> {
        let all = self.all.write(at, line);
        if error {
            all.and(self.errors.write(at, line))
        } else {
            all
        }
    }

    /// Closes both and opens them by name again.
    pub(super) fn reopen(&mut self) {
        for file in [&mut self.all, &mut self.errors] {
            file.file = None;
            // The next line tries again, and its failure is counted.
            let _ = file.open();
        }
    }
}

struct Rotating {
    path: PathBuf,
    bytes_max: u64,
    keep: Duration,
    file: Option<Open>,
    /// The last write failed, perhaps in the middle of a line.
    torn: bool,
}

struct Open {
    file: File,
    bytes: u64,
    /// The day of its newest line; `None` for an empty file.
    day: Option<Date>,
}

impl Rotating {
    fn open(&mut self) -> io::Result<&mut Open> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)?;
        let metadata = file.metadata()?;
        let day = match metadata.len() {
            0 => None,
            _ => Some(OffsetDateTime::from(metadata.modified()?).date()),
        };
        Ok(self.file.insert(Open {
            file,
            bytes: metadata.len(),
            day,
        }))
    }

    fn write(&mut self, at: OffsetDateTime, line: &[u8]) -> io::Result<()> {
        let bytes_max = self.bytes_max;
        let open = match &mut self.file {
            Some(open) => open,
            None => self.open()?,
        };
        let full = open.bytes > 0 && open.bytes + line.len() as u64 > bytes_max;
        let rotated = if full || open.day.is_some_and(|day| day < at.date()) {
            self.rotate(at)
        } else {
            Ok(())
        };
        let torn = std::mem::take(&mut self.torn);
        let open = match &mut self.file {
            Some(open) => open,
            None => self.open()?,
        };
        let written = if torn {
            open.file
                .write_all(b"\n")
                .and_then(|()| open.file.write_all(line))
        } else {
            open.file.write_all(line)
        };
        if let Err(error) = written {
            self.torn = true;
            self.file = None;
            return Err(error);
        }
        open.bytes += line.len() as u64;
        open.day = Some(at.date());
        // The line is there; that its file is too large or too old has to be told all the same.
        rotated
    }

    /// Renames the file and removes what is too old or too much.
    fn rotate(&mut self, at: OffsetDateTime) -> io::Result<()> {
        let mut target = self.rotated_name(&stamp(at));
        // Two rotations within one millisecond.
        for again in 1.. {
            if !target.exists() {
                break;
            }
            target = self.rotated_name(&format!("{}-{again}", stamp(at)));
        }
        self.file = None;
        fs::rename(&self.path, &target)?;
        self.prune(at)
    }

    fn rotated_name(&self, stamp: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(stamp);
        name.into()
    }

    fn prune(&self, at: OffsetDateTime) -> io::Result<()> {
        let mut rotated = self.rotated()?;
        rotated.sort_unstable();
        let oldest_kept = stamp(at - self.keep);
        let surplus = rotated.len().saturating_sub(ROTATED_MAX);
        for (position, (stamp, path)) in rotated.iter().enumerate() {
            if position < surplus || *stamp < oldest_kept {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Rotated files of this kind with their stamps.
    fn rotated(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let file_name = path.file_name().unwrap_or_default().to_string_lossy();
            let stamp = file_name
                .strip_prefix(name.as_ref())
                .and_then(|rest| rest.strip_prefix('.'))
                .filter(|stamp| is_stamp(stamp));
            if let Some(stamp) = stamp {
                found.push((stamp.to_owned(), path.clone()));
            }
        }
        Ok(found)
    }
}

/// `20261123T021511.146Z`: sorts as time does.
fn stamp(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

/// Whether somebody of us named it so; other files beside ours are left alone.
fn is_stamp(text: &str) -> bool {
    const SHAPE: &[u8] = b"ddddddddTdddddd.dddZ";
    let (stamp, again) = text.split_at_checked(SHAPE.len()).unwrap_or_default();
    let again = again.strip_prefix('-').unwrap_or(again);
    stamp.len() == SHAPE.len()
        && stamp.bytes().zip(SHAPE).all(|(letter, shape)| match shape {
            b'd' => letter.is_ascii_digit(),
            other => letter == *other,
        })
        && again.bytes().all(|letter| letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const START: i64 = 1_795_400_111;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(START + seconds).expect("in range")
    }

    fn section(dir: &Path) -> LogSection {
        let text = "[log]\nfile_mb = 1\nkeep_days = 2\nerror_keep_days = 30\n";
        let mut section = config::load_text("test.toml", text)
            .expect("valid")
            .config
            .log;
        dir.clone_into(&mut section.dir);
        section
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .expect("readable")
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn size_and_day_rotate_and_no_line_is_lost_or_torn() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dir = directory.path();
        let mut files = Files::open(&section(dir)).expect("a directory");
        let line = [b"x".repeat(399_999), b"\n".to_vec()].concat();
        for second in 0..5 {
            files.write(at(second), &line, false).expect("written");
        }
        // The next day, UTC.
        files
            .write(at(86_400), b"new day\n", false)
            .expect("written");
        let names = names(dir);
        assert_eq!(
            names,
            [
                "veloz-error.ndjson",
                "veloz.log",
                "veloz.log.20261123T021513.000Z",
                "veloz.log.20261123T021515.000Z",
                "veloz.log.20261124T021511.000Z"
            ]
        );
        let sizes: Vec<u64> = names
            .iter()
            .map(|name| fs::metadata(dir.join(name)).expect("there").len())
            .collect();
        assert_eq!(sizes, [0, 8, 800_000, 800_000, 400_000]);
    }

    #[test]
    fn two_rotations_in_a_millisecond_keep_both_files() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut files = Files::open(&section(directory.path())).expect("a directory");
        let line = b"y".repeat(700_000);
        for _ in 0..3 {
            files.write(at(0), &line, false).expect("written");
        }
        let names = names(directory.path());
        assert_eq!(
            names[2..],
            [
                "veloz.log.20261123T021511.000Z",
                "veloz.log.20261123T021511.000Z-1"
            ]
        );
    }

    #[test]
    fn the_past_is_kept_for_its_days_and_errors_longer_than_the_rest() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dir = directory.path();
        fs::write(dir.join("veloz.log.notes"), "not ours").expect("written");
        let mut files = Files::open(&section(dir)).expect("a directory");
        for day in 0..33 {
            files
                .write(at(day * 86_400), b"error\n", true)
                .expect("written");
        }
        let count = |prefix: &str| {
            names(dir)
                .iter()
                .filter(|name| name.starts_with(prefix))
                .count()
        };
        assert_eq!(
            count("veloz.log.20"),
            3,
            "two days and the one that just ended"
        );
        assert_eq!(count("veloz-error.ndjson.20"), 31);
        assert_eq!(count("veloz.log.notes"), 1);
    }

    #[test]
    fn no_more_than_the_bound_of_rotated_files_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut files = Files::open(&section(directory.path())).expect("a directory");
        let line = b"z".repeat(1 << 20);
        for second in 0..ROTATED_MAX as i64 + 6 {
            files.write(at(second), &line, false).expect("written");
        }
        let rotated = files.all.rotated().expect("readable");
        assert_eq!(rotated.len(), ROTATED_MAX);
        assert!(
            rotated
                .iter()
                .all(|(stamp, _)| *stamp > super::stamp(at(5)))
        );
    }

    #[test]
    fn a_file_of_yesterday_is_rotated_by_todays_first_line() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dir = directory.path();
        let path = dir.join("veloz.log");
        fs::write(&path, "before\n").expect("written");
        let file = File::options().append(true).open(&path).expect("there");
        file.set_modified(at(-86_400).into()).expect("settable");
        let mut files = Files::open(&section(dir)).expect("a directory");
        files.write(at(0), b"today\n", false).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "today\n");
        assert_eq!(names(dir).len(), 3);
    }

    #[test]
    fn after_reopening_lines_go_to_the_new_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dir = directory.path();
        let mut files = Files::open(&section(dir)).expect("a directory");
        files.write(at(0), b"one\n", false).expect("written");
        fs::rename(dir.join("veloz.log"), dir.join("moved")).expect("movable");
        files.write(at(1), b"two\n", false).expect("written");
        files.reopen();
        files.write(at(2), b"three\n", false).expect("written");
        let read = |name: &str| fs::read_to_string(dir.join(name)).expect("there");
        assert_eq!(read("moved"), "one\ntwo\n");
        assert_eq!(read("veloz.log"), "three\n");
    }

    #[test]
    fn the_line_after_a_failed_one_stands_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dir = directory.path();
        let mut files = Files::open(&section(dir)).expect("a directory");
        files.write(at(0), b"half a li", false).expect("written");
        // As if the disk had been full in its middle.
        files.all.torn = true;
        files.write(at(1), b"whole\n", false).expect("written");
        let written = fs::read_to_string(dir.join("veloz.log")).expect("there");
        assert_eq!(written, "half a li\nwhole\n");
    }
}
