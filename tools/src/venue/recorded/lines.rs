//! Lines of several captures, merged by receive time.
//!
//! Owns: the open files and one line of each. Does not: interpret payloads beyond their kind.
//! Invariant: memory holds one line a file, however long the captures are; a line that is no
//! capture line is an error with its file and number.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::super::render::unwrap_combined;

/// Longest line: a snapshot of 5,000 levels a side has 350 KB.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Captures merged at a time: each holds a descriptor and a decompressor.
const FILES_MAX: usize = 256;

/// Why a recorded session cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// A capture cannot be read.
    #[error("cannot read the capture {path}: {cause}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A line is not `<ns> <combined frame or depth snapshot>`.
    #[error("line {line} of the capture {path} is neither a combined frame nor a snapshot")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from one.
        line: u64,
    },
    /// A symbol has no snapshot, so no client could build its book.
    #[error("the captures hold no depth snapshot of {symbol}")]
    NoSnapshot {
        /// Which symbol.
        symbol: String,
    },
    /// There is nothing to serve.
    #[error("the captures hold no market data")]
    Empty,
    /// More files than can be merged.
    #[error("{0} captures at once, at most {FILES_MAX} can be merged")]
    TooMany(usize),
}

/// One line of a capture.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) received_ns: u64,
    pub(super) json: Bytes,
    pub(super) kind: LineKind,
    pub(super) number: u64,
}

#[derive(Debug)]
pub(super) enum LineKind {
    /// A frame of a combined stream.
    Frame { stream: String, symbol: String },
    /// The answer to the recorder's depth request.
    Snapshot { last_update_id: u64 },
}

/// The merged lines.
pub(super) struct Lines {
    captures: Vec<Capture>,
    failed: Option<RecordedError>,
}

struct Capture {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    number: u64,
    head: Option<Line>,
}

impl Lines {
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self, RecordedError> {
        if paths.len() > FILES_MAX {
            return Err(RecordedError::TooMany(paths.len()));
        }
        let mut captures = Vec::with_capacity(paths.len());
        for path in paths {
            let mut capture = Capture {
                path: path.clone(),
                input: open(path).map_err(|cause| RecordedError::Read {
                    path: path.clone(),
                    cause,
                })?,
                number: 0,
                head: None,
            };
            capture.read()?;
            captures.push(capture);
        }
        Ok(Self {
            captures,
            failed: None,
        })
    }

    /// The earliest line that has not been taken.
    pub(super) fn peek(&self) -> Option<&Line> {
        self.captures
            .iter()
            .filter_map(|capture| capture.head.as_ref())
            .min_by_key(|line| line.received_ns)
    }

    /// Takes the earliest line. A capture that cannot be read on ends there; see `finish`.
    pub(super) fn next(&mut self) -> Option<Line> {
        let capture = self
            .captures
            .iter_mut()
            .filter(|capture| capture.head.is_some())
            .min_by_key(|capture| capture.head.as_ref().map(|line| line.received_ns))?;
        let line = capture.head.take();
        if let Err(error) = capture.read() {
            tracing::error!(%error, "a capture ends early");
            self.failed.get_or_insert(error);
        }
        line
    }

    /// Whether all lines could be read.
    pub(super) fn finish(self) -> Result<(), RecordedError> {
        self.failed.map_or(Ok(()), Err)
    }
}

impl Capture {
    fn read(&mut self) -> Result<(), RecordedError> {
        let mut text = Vec::new();
        let mut input = self.input.as_mut().take(LINE_BYTES_MAX);
        input
            .read_until(b'\n', &mut text)
            .map_err(|cause| RecordedError::Read {
                path: self.path.clone(),
                cause,
            })?;
        if text.is_empty() {
            return Ok(());
        }
        self.number += 1;
        if text.pop_if(|byte| *byte == b'\n').is_some() {
            text.pop_if(|byte| *byte == b'\r');
        }
        let line = parse(&Bytes::from(text), self.number).ok_or_else(|| RecordedError::Line {
            path: self.path.clone(),
            line: self.number,
        })?;
        self.head = Some(line);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::new(File::open(path)?);
    let gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip {
        Box::new(BufReader::with_capacity(
            64 << 10,
            MultiGzDecoder::new(file),
        ))
    } else {
        Box::new(file)
    })
}

fn parse(text: &Bytes, number: u64) -> Option<Line> {
    let space = text.iter().position(|&byte| byte == b' ')?;
    let received_ns = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    let json = text.slice(space + 1..);
    let kind = if let Some((stream, _)) = unwrap_combined(&json) {
        LineKind::Frame {
            symbol: stream.split('@').next()?.to_uppercase(),
            stream: stream.to_owned(),
        }
    } else {
        let rest = json.strip_prefix(br#"{"lastUpdateId":"#)?;
        let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        LineKind::Snapshot {
            last_update_id: std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?,
        }
    };
    Some(Line {
        received_ns,
        json,
        kind,
        number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    #[test]
    fn captures_are_merged_by_receive_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let frame =
            |ns: u64, stream: &str| format!("{ns} {{\"stream\":\"{stream}\",\"data\":{{}}}}\n");
        let first = file(folder.path(), "1", &(frame(1, "a@x") + &frame(5, "a@y")));
        let second = folder.path().join("2.gz");
        let mut gzip = flate2::write::GzEncoder::new(
            File::create(&second).expect("a file"),
            flate2::Compression::fast(),
        );
        gzip.write_all((frame(2, "b@x") + "3 {\"lastUpdateId\":9,\"bids\":[]}").as_bytes())
            .expect("written");
        gzip.finish().expect("written");
        let mut lines = Lines::open(&[first, second]).expect("two captures");
        let mut seen = Vec::new();
        while let Some(line) = lines.next() {
            let what = match line.kind {
                LineKind::Frame { stream, .. } => stream,
                LineKind::Snapshot { last_update_id } => last_update_id.to_string(),
            };
            seen.push((line.received_ns, what));
        }
        lines.finish().expect("sound");
        let expected = [(1, "a@x"), (2, "b@x"), (3, "9"), (5, "a@y")];
        assert_eq!(seen, expected.map(|(ns, what)| (ns, what.to_owned())));
    }

    #[test]
    fn damage_is_named_by_file_and_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let sound = "1 {\"stream\":\"a@x\",\"data\":{}}\n";
        for bad in ["hello\n", "x {}\n", "2 {\"e\":1}\n", "2\n"] {
            let path = file(folder.path(), "bad", &format!("{sound}{bad}"));
            let mut lines = Lines::open(&[path]).expect("the first line is sound");
            while lines.next().is_some() {}
            let error = lines.finish().expect_err(bad);
            assert!(
                matches!(error, RecordedError::Line { line: 2, .. }),
                "{error}"
            );
        }
        assert!(matches!(
            Lines::open(&[folder.path().join("none")]),
            Err(RecordedError::Read { .. })
        ));
    }
}
