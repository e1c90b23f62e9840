//! What a crash, or somebody, left of a chain, and from where it goes on.
//!
//! Owns: [`Found`]. Does not: write, cut off a part of a line, or prove a chain (`verify.rs`): it reads files at its two ends.
//! Invariants: records that the anchor did not hear of count when they build on what it knows; anything else that
//! files and anchor do not agree on has a name, and then the chain goes on from the anchor where there is one.

use crate::audit::files::{Ends, Segment};
use crate::audit::record::{self, Link, LogType, Place};
use std::io;
use std::path::Path;

/// What the files say about a chain.
pub(super) struct Found {
    /// What the oldest record builds on.
    start: Option<Link>,
    /// The newest record.
    pub(super) last: Option<Place>,
    /// Whether the record that the anchor calls the last is in the newest file, or right before it.
    holds_anchored: bool,
}

impl Found {
    pub(super) fn in_files(
        directory: &Path,
        log_type: LogType,
        known: Option<Ends>,
    ) -> io::Result<Self> {
        let segments = Segment::list(directory, log_type)?;
        let mut start = None;
        for segment in &segments {
            // A first write that failed leaves an empty file.
            start = places(&segment.read(directory)?)
                .next()
                .map(|place| place.after);
            if start.is_some() {
                break;
            }
        }
        for segment in segments.iter().rev() {
            let text = segment.read(directory)?;
            let mut last = None;
            let mut holds_anchored = false;
            for place in places(&text) {
                let head = known.map(|ends| ends.head);
                holds_anchored |= head == Some(place.link) || head == Some(place.after);
                last = Some(place);
            }
            if last.is_some() {
                return Ok(Self {
                    start,
                    last,
                    holds_anchored,
                });
            }
        }
        Ok(Self {
            start: None,
            last: None,
            holds_anchored: false,
        })
    }

    /// From where the chain goes on, and what is wrong.
    pub(super) fn reconcile(&self, known: Option<Ends>) -> (Ends, Option<&'static str>) {
        match (known, self.last) {
            (None, None) => (Ends::NONE, None),
            (None, Some(last)) => {
                let ends = Ends {
                    start: self.start.unwrap_or(last.after),
                    head: last.link,
                };
                (ends, Some("anchor_missing"))
            }
            (Some(ends), last) => {
                let head = last.map_or(ends.start, |place| place.link);
                if head == ends.head {
                    (ends, None)
                } else if head.seq > ends.head.seq && self.holds_anchored {
                    // The process ended between the records and the anchor.
                    (Ends { head, ..ends }, None)
                } else if head.seq < ends.head.seq {
                    (ends, Some("records_missing"))
                } else {
                    (ends, Some("records_changed"))
                }
            }
        }
    }
}

/// The records of a text that are sound by themselves.
fn places(text: &[u8]) -> impl Iterator<Item = Place> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| record::read(line).ok())
}

#[cfg(test)]
mod tests {
    use crate::audit::record::tests::entry;
    use crate::audit::record::{self, Entry, LogType, seal};
    use crate::audit::store::tests::{NOON, config, lines, open, write};
    use crate::audit::store::{AuditConfig, AuditStore};
    use crate::audit::verify::{Fault, verify, verify_with};
    use crate::wall::UnixMs;
    use std::fs;
    use std::path::Path;

    fn finding(findings: &[Entry]) -> &str {
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].action, "audit_log_damaged");
        findings[0].details["finding"].as_str().expect("a text")
    }

    #[test]
    fn a_line_that_a_crash_cut_off_goes_and_what_the_anchor_did_not_hear_of_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        write(&mut store, LogType::Auth, &[NOON, NOON + 1]);
        let anchor = fs::read(directory.path().join("anchor.json")).expect("there");
        write(&mut store, LogType::Auth, &[NOON + 2]);
        drop(store);
        // As if the process had ended before the anchor of the third, and in the middle of a fourth.
        fs::write(directory.path().join("anchor.json"), anchor).expect("written");
        let path = directory.path().join("auth_2026-02-23.ndjson");
        let mut text = fs::read_to_string(&path).expect("there");
        text.push_str("{\"timestamp\":1771");
        fs::write(&path, text).expect("written");

        let (mut store, findings) = open(directory.path());
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(store.ends(LogType::Auth).head.seq, 3);
        write(&mut store, LogType::Auth, &[NOON + 3]);
        let report = verify(directory.path()).expect("read");
        assert_eq!((report.fault.clone(), report.records()), (None, 4));
    }

    #[test]
    fn records_that_are_gone_are_told_and_the_hole_stays_visible() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        write(&mut store, LogType::Auth, &[NOON, NOON + 1, NOON + 2]);
        drop(store);
        let path = directory.path().join("auth_2026-02-23.ndjson");
        let first = lines(directory.path(), "auth_2026-02-23.ndjson").remove(0);
        fs::write(&path, format!("{first}\n")).expect("written");
        let (mut store, findings) = open(directory.path());
        assert_eq!(finding(&findings), "records_missing");
        write(&mut store, LogType::Auth, &[NOON + 3]);
        let fault = verify(directory.path()).expect("read").fault;
        let expected = crate::audit::record::BadRecord::Missing {
            expected: 2,
            found: 4,
        };
        assert!(
            matches!(&fault, Some(Fault::Record { cause, line: 2, .. }) if *cause == expected),
            "{fault:?}"
        );
    }

    #[test]
    fn a_missing_anchor_and_a_changed_record_are_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = open(directory.path());
        write(&mut store, LogType::Auth, &[NOON, NOON + 1]);
        drop(store);
        let anchor = directory.path().join("anchor.json");
        let kept = fs::read(&anchor).expect("there");
        fs::remove_file(&anchor).expect("removed");
        let (store, findings) = open(directory.path());
        assert_eq!(finding(&findings), "anchor_missing");
        drop(store);

        fs::write(&anchor, kept).expect("written");
        // Another second record, sound by itself.
        let path = directory.path().join("auth_2026-02-23.ndjson");
        let first = lines(directory.path(), "auth_2026-02-23.ndjson").remove(0);
        let head = record::read(first.as_bytes()).expect("sound").link;
        let (other, _) = seal(&entry(LogType::Auth, "login_failed", NOON), head);
        fs::write(&path, format!("{first}\n{other}")).expect("written");
        let (_store, findings) = open(directory.path());
        assert_eq!(finding(&findings), "records_changed");
    }

    #[test]
    fn a_directory_that_was_emptied_or_put_back_is_noticed_by_the_next_start_and_by_who_verifies() {
        let state = tempfile::tempdir().expect("a temporary directory");
        let directory = state.path().join("audit");
        let heads = crate::audit::files::heads_file(state.path(), &directory);
        let config = AuditConfig {
            heads: Some(heads.clone()),
            ..config(&directory)
        };
        let open = || AuditStore::open(&config, UnixMs(NOON)).expect("opens");
        let (mut store, _) = open();
        write(&mut store, LogType::Auth, &[NOON]);
        drop(store);
        let earlier: Vec<_> = fs::read_dir(&directory)
            .expect("there")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).expect("read")))
            .collect();
        let (mut store, findings) = open();
        assert!(findings.is_empty());
        write(&mut store, LogType::Auth, &[NOON, NOON]);
        drop(store);
        let whole = |heads: Option<&Path>| verify_with(&directory, heads).expect("read").fault;
        assert_eq!(whole(Some(&heads)), None);

        // An older state of the whole directory, sound in itself.
        for (path, bytes) in &earlier {
            fs::write(path, bytes).expect("written");
        }
        assert_eq!(whole(None), None);
        let cut_off = |last| Fault::CutOff {
            log_type: LogType::Auth,
            last,
            anchored: 3,
        };
        assert_eq!(whole(Some(&heads)), Some(cut_off(1)));

        // Nothing at all.
        fs::remove_dir_all(&directory).expect("removed");
        fs::create_dir(&directory).expect("made");
        assert_eq!(whole(None), None);
        assert_eq!(whole(Some(&heads)), Some(cut_off(0)));
        let (mut store, findings) = open();
        assert_eq!(finding(&findings), "records_missing");
        write(&mut store, LogType::Auth, &[NOON]);
        assert_eq!(
            store.ends(LogType::Auth).head.seq,
            4,
            "the hole can be seen for ever"
        );
        drop(store);

        // The anchor alone.
        fs::remove_file(directory.join("anchor.json")).expect("removed");
        let (_, findings) = open();
        assert_eq!(finding(&findings), "anchor_missing");
        let other = crate::audit::files::heads_file(state.path(), &state.path().join("other"));
        assert_ne!(other, heads, "each directory has its own");
    }
}
