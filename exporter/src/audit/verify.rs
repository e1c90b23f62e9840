//! Whether a directory of audit records is whole.
//!
//! Owns: [`verify`]. Does not: change anything. Invariants: every byte of every record is read; the first
//! record that is changed, missing or out of place is named, by file and line.

use super::files::{Anchor, Ends, Segment};
use super::record::{self, BadRecord, Link, LogType};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Sound records by type, up to the first fault.
    pub streams: BTreeMap<LogType, u64>,
    /// What is wrong first; `None` when nothing is.
    pub fault: Option<Fault>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A record.
    Record {
        /// The file's name.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        cause: BadRecord,
    },
    /// A chain ends before its anchor.
    CutOff {
        /// Which chain.
        log_type: LogType,
        /// The last record that is there.
        last: u64,
        /// The last one that the anchor knows.
        anchored: u64,
    },
    /// There are records, and nothing that says where they begin and end.
    NoAnchor {
        /// Of which chain.
        log_type: LogType,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { file, line, cause } => write!(f, "{file}:{line}: {cause}"),
            Self::CutOff {
                log_type,
                last,
                anchored,
            } => write!(
                f,
                "{}: records {} to {anchored} are missing at the end",
                log_type.label(),
                last + 1
            ),
            Self::NoAnchor { log_type } => {
                write!(
                    f,
                    "{}: anchor.json does not know these records",
                    log_type.label()
                )
            }
        }
    }
}

impl Report {
    /// Sound records of all types.
    pub fn records(&self) -> u64 {
        self.streams.values().sum()
    }
}

/// Reads everything in a directory.
///
/// # Errors
/// When a file cannot be read.
pub fn verify(directory: &Path) -> io::Result<Report> {
    verify_with(directory, None)
}

/// The same, with the file that knows the ends of the chains too, when there is one; see
/// [`super::files::heads_file`].
///
/// # Errors
/// When a file cannot be read.
pub fn verify_with(directory: &Path, heads: Option<&Path>) -> io::Result<Report> {
    // Before the anchor, which is written first: it knows at least as much, unless somebody changed it.
    let heads = match heads {
        Some(heads) => Anchor::read_file(heads)?,
        None => None,
    };
    let anchor = Anchor::read(directory)?;
    let mut report = Report {
        streams: BTreeMap::new(),
        fault: None,
    };
    for log_type in LogType::ALL {
        let ends = Anchor::or_heads(anchor.as_ref(), heads.as_ref(), log_type);
        let mut chain = Chain::new(log_type, ends);
        let fault = chain.follow(directory)?;
        report.streams.insert(log_type, chain.records);
        if fault.is_some() {
            report.fault = fault;
            break;
        }
    }
    Ok(report)
}

struct Chain {
    log_type: LogType,
    anchored: Option<Ends>,
    head: Link,
    records: u64,
    /// Where files ended that were followed, and where the chain begins.
    ends: BTreeSet<Link>,
}

impl Chain {
    fn new(log_type: LogType, anchored: Option<Ends>) -> Self {
        let head = anchored.map_or(Link::NONE, |ends| ends.start);
        Self {
            log_type,
            anchored,
            head,
            records: 0,
            ends: BTreeSet::from([head]),
        }
    }

    fn follow(&mut self, directory: &Path) -> io::Result<Option<Fault>> {
        let Some(ends) = self.anchored else {
            // A first write that failed leaves an empty file, and that is no record.
            for segment in Segment::list(directory, self.log_type)? {
                if lines(&segment.read(directory)?).next().is_some() {
                    return Ok(Some(Fault::NoAnchor {
                        log_type: self.log_type,
                    }));
                }
            }
            return Ok(None);
        };
        let mut passed_anchor = ends.head == self.head;
        for segment in Segment::list(directory, self.log_type)? {
            let text = segment.read(directory)?;
            if self.is_left_over(&text) {
                continue;
            }
            let path = segment.path(directory);
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            for (number, line) in lines(&text) {
                match record::check(line, self.head) {
                    Ok(link) => self.head = link,
                    Err(cause) => {
                        return Ok(Some(Fault::Record {
                            file: file.into_owned(),
                            line: number,
                            cause,
                        }));
                    }
                }
                self.records += 1;
                if self.head.seq == ends.head.seq && self.head != ends.head {
                    let seq = self.head.seq;
                    return Ok(Some(Fault::Record {
                        file: file.into_owned(),
                        line: number,
                        cause: BadRecord::Changed { seq },
                    }));
                }
                passed_anchor |= self.head == ends.head;
            }
            self.ends.insert(self.head);
        }
        Ok((!passed_anchor).then_some(Fault::CutOff {
            log_type: self.log_type,
            last: self.head.seq,
            anchored: ends.head.seq,
        }))
    }

    /// A file that retention had packed, or had decided to delete, when the process ended: it ends where
    /// another one ended, or where the chain begins.
    fn is_left_over(&self, text: &[u8]) -> bool {
        text.split(|byte| *byte == b'\n')
            .rev()
            .find_map(|line| record::read(line).ok())
            .is_some_and(|place| self.ends.contains(&place.link))
    }
}

/// Lines that say something, with their numbers, from 1.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::store::tests::{NOON, open, write};
    use std::fs;

    /// A directory with five records of one day, and its one file.
    fn written() -> (tempfile::TempDir, std::path::PathBuf, Vec<String>) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        write(&mut store, LogType::Auth, &[NOON; 5]);
        let path = directory.path().join("auth_2026-02-23.ndjson");
        let text = fs::read_to_string(&path).expect("there");
        let lines = text.lines().map(str::to_owned).collect();
        (directory, path, lines)
    }

    fn fault_after(change: impl FnOnce(&mut Vec<String>)) -> Option<String> {
        let (directory, path, mut lines) = written();
        change(&mut lines);
        fs::write(&path, lines.join("\n") + "\n").expect("written");
        let report = verify(directory.path()).expect("read");
        report.fault.map(|fault| fault.to_string())
    }

    #[test]
    fn whatever_is_done_to_the_records_is_named() {
        type Case = (&'static str, fn(&mut Vec<String>));
        assert_eq!(fault_after(|_| {}), None);
        let cases: [Case; 7] = [
            (
                "auth_2026-02-23.ndjson:4: record 4 is missing: record 3 follows instead",
                |lines| lines.insert(3, lines[2].clone()),
            ),
            (
                "auth_2026-02-23.ndjson:3: record 3 was changed: its hash does not fit its content",
                |lines| lines[2] = lines[2].replace("admin", "nobody"),
            ),
            (
                "auth_2026-02-23.ndjson:3: record 3 is missing: record 4 follows instead",
                |lines| drop(lines.remove(2)),
            ),
            (
                "auth_2026-02-23.ndjson:2: record 2 is missing: record 3 follows instead",
                |lines| lines.swap(1, 2),
            ),
            (
                "auth_2026-02-23.ndjson:2: this is no audit record",
                |lines| lines[1] = "hello".to_owned(),
            ),
            ("auth: records 4 to 5 are missing at the end", |lines| {
                lines.truncate(3);
            }),
            ("auth: records 1 to 5 are missing at the end", Vec::clear),
        ];
        for (expected, change) in cases {
            assert_eq!(fault_after(change).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_history_that_was_written_anew_does_not_fit_the_anchor() {
        let fault = fault_after(|lines| {
            let mut head = Link::NONE;
            for line in lines.iter_mut() {
                let entry = crate::audit::record::tests::entry(LogType::Auth, "other", NOON);
                let (text, link) = record::seal(&entry, head);
                text.trim_end().clone_into(line);
                head = link;
            }
        });
        assert_eq!(
            fault.as_deref(),
            Some(
                "auth_2026-02-23.ndjson:5: record 5 was changed: its hash does not fit its content"
            )
        );
    }

    #[test]
    fn records_without_an_anchor_prove_nothing() {
        let (directory, _, _) = written();
        fs::remove_file(directory.path().join("anchor.json")).expect("removed");
        let report = verify(directory.path()).expect("read");
        assert_eq!(
            report.fault,
            Some(Fault::NoAnchor {
                log_type: LogType::Auth
            })
        );
        for name in ["auth_2026-02-23.ndjson", "auth_2026-02-24.ndjson"] {
            fs::write(directory.path().join(name), "").expect("written");
        }
        let report = verify(directory.path()).expect("read");
        assert_eq!(report.fault, None, "what a failed first write leaves");
        fs::write(directory.path().join("auth_2026-02-24.ndjson"), "x").expect("written");
        assert!(verify(directory.path()).expect("read").fault.is_some());
        let empty = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(verify(empty.path()).expect("read").records(), 0);
        assert!(verify(&empty.path().join("nowhere")).is_err());
    }
}
