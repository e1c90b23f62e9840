//! A file of events, a line each, that is rewritten once most of it is about what is over.
//!
//! Owns: [`Journal`]. Does not: know what a line says. Invariants: a line is whole or not there; the file stays below
//! twice what it told when it was rewritten last, and a part that does not pay; what is written can be read again.
//!
//! It is written and not synced: it outlives the process, not a power cut in the second before it.

use super::UnreadableState;
use super::settings::replace;
use crate::lines::LineFile;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes that are appended before a rewriting pays.
pub(super) const GROWN_BYTES_MIN: u64 = 4 << 20;

/// Whole lines of a file; none when it is not there. A line without its end was cut by a kill or a power cut: what it
/// tells of had not happened yet, or is not known to have.
///
/// # Errors
/// [`UnreadableState`], also when it has more than `bytes_max`.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<String, UnreadableState> {
    let failed = |error: io::Error| UnreadableState::new(path, &error);
    let mut text = match std::fs::metadata(path) {
        Ok(about) if about.len() > bytes_max => {
            return Err(UnreadableState::new(
                path,
                &format!("it has {} bytes", about.len()),
            ));
        }
        Ok(_) => std::fs::read_to_string(path).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    Ok(text)
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    lines: LineFile,
    /// Bytes when it was rewritten last, or when that was last tried.
    fresh_bytes: u64,
    bytes_max: u64,
}

impl Journal {
    /// Opens a file that tells these lines and nothing else.
    ///
    /// # Errors
    /// [`UnreadableState`].
    pub(super) fn open(
        path: PathBuf,
        lines: &str,
        bytes_max: u64,
    ) -> Result<Self, UnreadableState> {
        let lines = rewritten(&path, lines).map_err(|error| UnreadableState::new(&path, &error))?;
        Ok(Self {
            path,
            fresh_bytes: lines.bytes(),
            lines,
            bytes_max,
        })
    }

    /// Writes one line; it is whole or not there.
    ///
    /// # Errors
    /// The system's, or that [`read`] would refuse a file of this size.
    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        if self.lines.bytes() + line.len() as u64 > self.bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.lines.append(line)
    }

    /// Whether most of the file is about what is over.
    pub(super) fn is_overgrown(&self) -> bool {
        self.lines.bytes() - self.fresh_bytes > self.fresh_bytes.max(GROWN_BYTES_MIN)
    }

    /// What it tells now.
    ///
    /// # Errors
    /// [`UnreadableState`].
    pub(super) fn read(&self) -> Result<String, UnreadableState> {
        read(&self.path, self.bytes_max)
    }

    /// Replaces the whole file, or says in the log why the old one stays, which is as good, only longer.
    pub(super) fn rewrite(&mut self, lines: &str) {
        match rewritten(&self.path, lines) {
            Ok(lines) => self.lines = lines,
            Err(error) => {
                tracing::warn!(component = "gateway", %error, path = %self.path.display(), "a file of the state directory is not shortened");
            }
        }
        // Not tried again with each line when it failed.
        self.fresh_bytes = self.lines.bytes();
    }
}

fn rewritten(path: &Path, lines: &str) -> io::Result<LineFile> {
    replace(path, lines.as_bytes())?;
    let file = OpenOptions::new().append(true).open(path)?;
    LineFile::new(file, lines.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rewritten_when_it_has_doubled() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("vz.journal");
        let bytes_max = 2 * GROWN_BYTES_MIN;
        let mut journal = Journal::open(path.clone(), "", bytes_max).expect("new");
        let large = "x".repeat(GROWN_BYTES_MIN as usize - 1) + "\n";
        journal.append(&large).expect("written");
        assert!(!journal.is_overgrown());
        journal.append("x\n").expect("written");
        assert!(journal.is_overgrown());
        // No other file can be made: the old one stays, and it is not tried with each line.
        std::fs::create_dir(directory.path().join("vz.new")).expect("made");
        journal.rewrite("y\n");
        assert!(!journal.is_overgrown());
        let refused = journal.append(&large).expect_err("too large to be read");
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(journal.read().expect("there"), large.clone() + "x\n");
        std::fs::remove_dir(directory.path().join("vz.new")).expect("removed");
        journal.rewrite("y\n");
        journal.append("z\n").expect("into the new file");
        assert_eq!(journal.read().expect("there"), "y\nz\n");
        assert!(read(&path, 3).is_err());
    }
}
