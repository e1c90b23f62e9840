//! A file that grows by whole lines.
//!
//! Owns: [`LineFile`]. Does not: know what a line says, or open files. Invariants: what was refused leaves no part
//! behind, also when a full disk took half a line; while such a part cannot be cut off, nothing is written after it.

use std::fs::File;
use std::io::{self, Write as _};

/// The file, opened to append, and where its last whole line ends.
#[derive(Debug)]
pub(crate) struct LineFile {
    file: File,
    good_bytes: u64,
    /// Whether there may be a part of a line behind it.
    torn: bool,
}

impl LineFile {
    /// A file that was opened to append; what is behind `good_bytes` is cut off.
    ///
    /// # Errors
    /// The system's, when that is refused.
    pub(crate) fn new(file: File, good_bytes: u64) -> io::Result<Self> {
        let torn = file.metadata()?.len() != good_bytes;
        let mut lines = Self {
            file,
            good_bytes,
            torn,
        };
        lines.mend()?;
        Ok(lines)
    }

    /// Bytes of whole lines.
    pub(crate) fn bytes(&self) -> u64 {
        self.good_bytes
    }

    /// Writes whole lines, all or none.
    ///
    /// # Errors
    /// The system's; then nothing was written, as far as who reads the file later can see.
    pub(crate) fn append(&mut self, text: &str) -> io::Result<()> {
        self.write(text, |_| Ok(()))
    }

    /// The same, and waits for the disk.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub(crate) fn append_durably(&mut self, text: &str) -> io::Result<()> {
        self.write(text, File::sync_data)
    }

    /// Takes back what is behind `bytes`, and waits for the disk. Nothing is appended until that is cut off.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn cut_durably(&mut self, bytes: u64) -> io::Result<()> {
        self.torn |= self.good_bytes != bytes;
        self.good_bytes = bytes;
        self.mend()?;
        self.file.sync_data()
    }

    fn write(&mut self, text: &str, wait: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        self.mend()?;
        self.torn = true;
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| wait(&self.file));
        if let Err(error) = written {
            // At once, because the process may end before the next line; when it fails, the next line tries again.
            let _ = self.mend();
            return Err(error);
        }
        self.torn = false;
        self.good_bytes += text.len() as u64;
        Ok(())
    }

    /// Puts another file in its place, such as one that can be neither cut nor written.
    #[cfg(test)]
    pub(crate) fn put_file(&mut self, file: File) {
        self.file = file;
    }

    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.good_bytes)?;
            self.torn = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SMALL_FILE_BYTES, with_small_files};
    use std::fs::OpenOptions;

    #[test]
    fn what_a_full_disk_took_of_a_line_is_cut_off() {
        let name = "lines::tests::what_a_full_disk_took_of_a_line_is_cut_off";
        with_small_files(name, || {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("lines");
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .expect("made");
            let mut lines = LineFile::new(file, 0).expect("new");
            let long = format!("{}\n", "x".repeat(299));
            assert!(2 * long.len() as u64 > SMALL_FILE_BYTES);
            lines.append(&long).expect("room");
            assert!(lines.append(&long).is_err());
            assert!(lines.append_durably(&long).is_err());
            assert_eq!(lines.bytes(), 300);
            assert_eq!(std::fs::read_to_string(&path).expect("read"), long);
            lines.append("short\n").expect("room");
            let text = std::fs::read_to_string(&path).expect("read");
            assert_eq!(text, format!("{long}short\n"));
            lines.cut_durably(300).expect("cut");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), long);
        });
    }

    #[test]
    fn nothing_is_written_behind_what_cannot_be_cut_off() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lines");
        std::fs::write(&path, "good\nbro").expect("written");
        let mut lines = LineFile {
            // It can neither be cut nor written.
            file: File::open(&path).expect("there"),
            good_bytes: 5,
            torn: true,
        };
        assert!(lines.append("more\n").is_err());
        assert!(lines.cut_durably(5).is_err());
        lines.file = OpenOptions::new().append(true).open(&path).expect("there");
        lines.append("more\n").expect("cut and written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(text, "good\nmore\n");
        assert!(LineFile::new(File::open(&path).expect("there"), 5).is_err());
    }
}
