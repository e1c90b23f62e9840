//! Which client order ids were ever used.
//!
//! Owns: [`ClientIds`]. Does not: know orders. Invariants: an id is taken once, over restarts too when there
//! is a file; it is in the file before its order goes to the core, so that a process that is killed between
//! the two loses an order that was never sent rather than an id that was; memory and file are bounded by [`IDS_MAX`].
//!
//! The file has a line an event: `+id` when it is taken, `-id` when its order came to nothing and it is free again,
//! `=id number` when the core gave its order a number, so that the next run finds the order by the client's id.
//! It is written and not synced: it outlives the process, not a power cut in the second before it.

use super::UnreadableState;
use crate::lines::LineFile;
use crate::trading::parse_id;
use crate::wall::UnixMs;
use sha2::{Digest as _, Sha256};
use std::collections::{HashSet, VecDeque};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use veloz_core::order::{ClientId, OrderId};

/// Ids that are kept: at an order a second by hand or by program, eleven days without a pause; 40 MB here and
/// 40 MB on disk. When it is full, orders through the API are refused until the file is moved away.
pub const IDS_MAX: usize = 1_000_000;

/// Numbers of orders that the next run is told: more than can be open. The oldest goes first.
pub const NUMBERED_MAX: usize = 1_024;

/// Lines of the file: each id may have been freed and taken again once, and have a number.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// Why an id is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It was used.
    #[error("an order with this client_order_id exists already")]
    Used,
    /// There is no room for another.
    #[error("as many client order ids as are kept were used")]
    Full,
    /// The file cannot be written.
    #[error("the client order id cannot be kept: {0}")]
    Io(io::Error),
}

/// All ids that were used.
#[derive(Debug, Default)]
pub struct ClientIds {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Half of each id's SHA-256: nobody finds two ids that share it.
    used: HashSet<u128>,
    /// Orders of earlier runs with their clients' ids, oldest first.
    numbered: VecDeque<(OrderId, ClientId)>,
    file: Option<LineFile>,
}

fn digest(id: &ClientId) -> u128 {
    let digest: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    u128::from_be_bytes(digest[..16].try_into().expect("sixteen of thirty-two"))
}

impl ClientIds {
    /// Those that a file tells of; it is made when it is not there.
    ///
    /// # Errors
    /// [`UnreadableState`].
    pub fn open(path: &Path) -> Result<Self, UnreadableState> {
        let unreadable = |cause: String| UnreadableState::new(path, &cause);
        let failed = |error: io::Error| unreadable(error.to_string());
        let text = match std::fs::metadata(path) {
            Ok(about) if about.len() > FILE_BYTES_MAX => {
                return Err(unreadable(format!("it has {} bytes", about.len())));
            }
            Ok(_) => std::fs::read_to_string(path).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut used = HashSet::new();
        let mut numbered = VecDeque::new();
        // A line without its end was cut by a kill or a power cut: its order was not sent yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        for (number, line) in whole.lines().enumerate() {
            let (sign, rest) = line.split_at_checked(1).unwrap_or(("", line));
            let (id, number_of_order) = match rest.split_once(' ') {
                Some((id, number)) if sign == "=" => (id, parse_id(number)),
                _ => (rest, None),
            };
            let Some(id) = ClientId::new(id) else {
                return Err(unreadable(format!("line {} is no id", number + 1)));
            };
            match (sign, number_of_order) {
                ("+", None) => {
                    used.insert(digest(&id));
                }
                ("-", None) => {
                    used.remove(&digest(&id));
                }
                ("=", Some(order)) => {
                    if numbered.len() == NUMBERED_MAX {
                        numbered.pop_front();
                    }
                    numbered.push_back((order, id));
                }
                _ => return Err(unreadable(format!("line {} is no event", number + 1))),
            }
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        // What was cut must not become the beginning of the next line.
        let file = LineFile::new(file, whole.len() as u64).map_err(failed)?;
        Ok(Self {
            kept: Mutex::new(Kept {
                used,
                numbered,
                file: Some(file),
            }),
        })
    }

    /// Takes an id.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn take(&self, id: &ClientId) -> Result<(), NotTaken> {
        let mut kept = self.lock();
        let key = digest(id);
        if kept.used.contains(&key) {
            return Err(NotTaken::Used);
        }
        if kept.used.len() >= IDS_MAX {
            return Err(NotTaken::Full);
        }
        kept.write('+', id).map_err(NotTaken::Io)?;
        kept.used.insert(key);
        Ok(())
    }

    /// Takes the default of an order without an id: `web-<unix_ms>`, with `-n` behind it when that is taken.
    ///
    /// # Errors
    /// [`NotTaken::Full`] or [`NotTaken::Io`].
    pub fn take_default(&self, now: UnixMs) -> Result<ClientId, NotTaken> {
        let mut number = 0u32;
        loop {
            let text = match number {
                0 => format!("web-{}", now.0),
                number => format!("web-{}-{number}", now.0),
            };
            // Twenty digits of time and ten of the number at most.
            let id = ClientId::new(&text).expect("short and plain");
            match self.take(&id) {
                Err(NotTaken::Used) => number += 1,
                Ok(()) => return Ok(id),
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives an id back whose order came to nothing before it was one.
    pub fn give_back(&self, id: &ClientId) {
        let mut kept = self.lock();
        // One that cannot be given back stays used, which is safe.
        if kept.write('-', id).is_ok() {
            kept.used.remove(&digest(id));
        }
    }

    /// Keeps which order has this id.
    pub fn number(&self, id: &ClientId, order: OrderId) {
        // Without the line the next run finds the order by its number alone.
        if let Err(error) = self.lock().append(&format!("={} {order}\n", id.as_str())) {
            tracing::warn!(component = "gateway", %error, "the number of an order is not kept");
        }
    }

    /// The newest orders of earlier runs with their clients' ids.
    pub fn numbered(&self) -> Vec<(OrderId, ClientId)> {
        self.lock().numbered.iter().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        // A set and a file: no change of theirs can be half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn write(&mut self, sign: char, id: &ClientId) -> io::Result<()> {
        self.append(&format!("{sign}{}\n", id.as_str()))
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.append(line),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_small_files;
    use std::io::Write as _;

    fn id(text: &str) -> ClientId {
        ClientId::new(text).expect("legal")
    }

    #[test]
    fn an_id_is_taken_once_and_the_default_finds_a_free_one() {
        let ids = ClientIds::default();
        ids.take(&id("a")).expect("free");
        assert!(matches!(ids.take(&id("a")), Err(NotTaken::Used)));
        ids.give_back(&id("a"));
        ids.take(&id("a")).expect("free again");
        let now = UnixMs(1_708_689_600_123);
        ids.take(&id("web-1708689600123-1")).expect("free");
        let taken: Vec<String> = (0..3)
            .map(|_| ids.take_default(now).expect("one").as_str().to_owned())
            .collect();
        assert_eq!(
            taken,
            [
                "web-1708689600123",
                "web-1708689600123-2",
                "web-1708689600123-3"
            ]
        );
        assert!(ids.take_default(UnixMs(u64::MAX)).is_ok());
    }

    #[test]
    fn a_restart_forgets_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("client-order-ids");
        {
            let ids = ClientIds::open(&path).expect("new");
            for name in ["a", "-b", "c"] {
                ids.take(&id(name)).expect("free");
            }
            ids.give_back(&id("c"));
        }
        {
            let ids = ClientIds::open(&path).expect("there");
            assert_eq!(ids.numbered(), []);
            for sequence in 0..=(NUMBERED_MAX as u32) {
                ids.number(&id("a"), OrderId { run: 7, sequence });
            }
        }
        // Killed in the middle of a line.
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"+half").expect("written");
        for _ in 0..2 {
            let ids = ClientIds::open(&path).expect("there");
            for name in ["a", "-b"] {
                assert!(matches!(ids.take(&id(name)), Err(NotTaken::Used)), "{name}");
            }
            let numbered = ids.numbered();
            assert_eq!(numbered.len(), NUMBERED_MAX);
            let first = OrderId {
                run: 7,
                sequence: 1,
            };
            assert_eq!(numbered[0], (first, id("a")));
            for name in ["c", "half"] {
                ids.take(&id(name)).expect("free");
                ids.give_back(&id(name));
            }
        }
    }

    #[test]
    fn a_disk_that_was_full_for_a_moment_stops_no_start() {
        let name = "api::client_ids::tests::a_disk_that_was_full_for_a_moment_stops_no_start";
        with_small_files(name, || {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("client-order-ids");
            let ids = ClientIds::open(&path).expect("new");
            let long = |number: u32| id(&format!("{number:036}"));
            let taken = (0..).take_while(|number| ids.take(&long(*number)).is_ok());
            let taken = u32::try_from(taken.count()).expect("few");
            assert!(taken > 0);
            assert!(matches!(ids.take(&long(taken)), Err(NotTaken::Io(_))));
            ids.take(&id("short")).expect("room");
            let ids = ClientIds::open(&path).expect("whole lines");
            for name in (0..taken).map(long).chain([id("short")]) {
                assert!(matches!(ids.take(&name), Err(NotTaken::Used)), "{name:?}");
            }
        });
    }

    #[test]
    fn a_file_that_is_none_stops_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("client-order-ids");
        for text in [
            "a\n",
            "=a\n",
            "=a 7\n",
            "+a 7-1\n",
            "+\n",
            "+a b\n",
            "*a\n",
            "\n\n",
            "+a\n\u{e4}\n",
        ] {
            std::fs::write(&path, text).expect("written");
            let error = ClientIds::open(&path).expect_err("refused").to_string();
            assert!(error.contains("line"), "{error}");
        }
        std::fs::write(&path, b"+\xff\n").expect("written");
        assert!(ClientIds::open(&path).is_err());
        assert!(ClientIds::open(&directory.path().join("no/such")).is_err());
    }
}
