//! Where records lie: names of files, and the anchor.
//!
//! Owns: the names, [`Anchor`]. Does not: read or write records. The directory holds
//! `{log_type}_{YYYY-MM-DD}.ndjson` (with `.1`, `.2`, ... before the extension when a day needs more than
//! one file), `archive/{log_type}_{YYYYMMDD_HHMMSS}.ndjson.gz`, named by the time of its last record, and
//! `anchor.json`, which says where each chain begins and ends.

use super::record::{Link, LogType, from_hex};
use crate::random::to_hex;
use crate::wall::UnixMs;
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The file in `state` that knows the ends of the chains in `directory` too: whoever empties the directory, its anchor
/// included, leaves it. Each directory has its own.
pub fn heads_file(state: &Path, directory: &Path) -> PathBuf {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let digest = Sha256::digest(directory.as_os_str().as_bytes());
    state.join(format!("audit-heads-{}.json", to_hex(&digest[..8])))
}

/// The folder of packed files.
pub(super) const ARCHIVE: &str = "archive";
const ANCHOR: &str = "anchor.json";

/// One file of records that are not packed. The order is that of their records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiveFile {
    /// Whose records.
    pub log_type: LogType,
    /// Of which day.
    pub date: String,
    /// Which file of that day.
    pub part: u32,
}

impl LiveFile {
    /// The name in the directory.
    pub fn name(&self) -> String {
        let Self {
            log_type,
            date,
            part,
        } = self;
        let log_type = log_type.label();
        match part {
            0 => format!("{log_type}_{date}.ndjson"),
            part => format!("{log_type}_{date}.{part}.ndjson"),
        }
    }

    /// The file of this name; `None` for others.
    pub fn named(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".ndjson")?;
        let (log_type, rest) = stem.rsplit_once('_')?;
        let (date, part) = match rest.split_once('.') {
            None => (rest, 0),
            Some((date, part)) => (date, part.parse().ok()?),
        };
        let file = Self {
            log_type: LogType::named(log_type)?,
            date: date.to_owned(),
            part,
        };
        // Only names that we would give: no leading zeros, a date that is one.
        (file.name() == name && day_start(date).is_some()).then_some(file)
    }

    /// When its day is over.
    pub fn day_end(&self) -> UnixMs {
        let start = day_start(&self.date).expect("checked with the name");
        start.plus_ms(DAY_MS)
    }

    /// All of a directory, in order.
    pub fn list(directory: &Path) -> io::Result<Vec<Self>> {
        let mut found: Vec<Self> = names(directory)?
            .iter()
            .filter_map(|name| Self::named(name))
            .collect();
        found.sort();
        Ok(found)
    }
}

/// A day.
pub(super) const DAY_MS: u64 = 86_400_000;

fn day_start(date: &str) -> Option<UnixMs> {
    let at = UnixMs::parse(&format!("{date}T00:00:00Z"))?;
    (at.date() == date).then_some(at)
}

/// One packed file. The order is that of their records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveFile {
    /// Whose records.
    pub log_type: LogType,
    /// The time of the last record, to the second.
    pub last: UnixMs,
}

impl ArchiveFile {
    /// The name in the folder.
    pub fn name(&self) -> String {
        let text = self.last.rfc3339();
        let digits: String = text[..19].chars().filter(char::is_ascii_digit).collect();
        let (date, time) = digits.split_at(8);
        format!("{}_{date}_{time}.ndjson.gz", self.log_type.label())
    }

    /// The file of this name; `None` for others.
    pub fn named(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".ndjson.gz")?;
        let (rest, time) = stem.rsplit_once('_')?;
        let (log_type, date) = rest.rsplit_once('_')?;
        if date.len() != 8 || time.len() != 6 || !stem.is_ascii() {
            return None;
        }
        let text = format!(
            "{}-{}-{}T{}:{}:{}Z",
            &date[..4],
            &date[4..6],
            &date[6..],
            &time[..2],
            &time[2..4],
            &time[4..]
        );
        let file = Self {
            log_type: LogType::named(log_type)?,
            last: UnixMs::parse(&text)?,
        };
        (file.name() == name).then_some(file)
    }

    /// All of a directory's archive, in order.
    pub fn list(directory: &Path) -> io::Result<Vec<Self>> {
        let folder = directory.join(ARCHIVE);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut found: Vec<Self> = names(&folder)?
            .iter()
            .filter_map(|name| Self::named(name))
            .collect();
        found.sort();
        Ok(found)
    }
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// One file of a chain, packed or not. The order is that of their records: what is packed is older.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// Packed.
    Archived(ArchiveFile),
    /// Not packed.
    Live(LiveFile),
}

impl Segment {
    /// All of a type, oldest first.
    pub fn list(directory: &Path, log_type: LogType) -> io::Result<Vec<Self>> {
        let archived = ArchiveFile::list(directory)?
            .into_iter()
            .filter(|file| file.log_type == log_type)
            .map(Self::Archived);
        let live = LiveFile::list(directory)?
            .into_iter()
            .filter(|file| file.log_type == log_type)
            .map(Self::Live);
        Ok(archived.chain(live).collect())
    }

    /// Its path.
    pub fn path(&self, directory: &Path) -> PathBuf {
        match self {
            Self::Archived(file) => archive_path(directory, file),
            Self::Live(file) => directory.join(file.name()),
        }
    }

    /// Its records as text, unpacked.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than any file that is written.
    pub fn read(&self, directory: &Path) -> io::Result<Vec<u8>> {
        /// Twice what a file may grow to: the last batch goes over.
        const TEXT_BYTES_MAX: u64 = 2 * super::store::FILE_BYTES_MAX;
        let file = File::open(self.path(directory))?;
        let mut text = Vec::new();
        let read = match self {
            Self::Archived(_) => GzDecoder::new(file)
                .take(TEXT_BYTES_MAX)
                .read_to_end(&mut text)?,
            Self::Live(_) => file.take(TEXT_BYTES_MAX).read_to_end(&mut text)?,
        };
        if read as u64 == TEXT_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is too large",
            ));
        }
        Ok(text)
    }
}

/// Where each chain begins and ends, kept apart from the chains: a file that is cut short, or gone, still
/// has its end here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    streams: BTreeMap<LogType, Ends>,
}

/// The ends of one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// What the first record that is still kept builds on.
    pub start: Link,
    /// The last record.
    pub head: Link,
}

impl Ends {
    /// Of a chain without records.
    pub const NONE: Self = Self {
        start: Link::NONE,
        head: Link::NONE,
    };
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    streams: BTreeMap<String, DocumentEnds>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentEnds {
    start_seq: u64,
    start_hash: String,
    head_seq: u64,
    head_hash: String,
}

impl Anchor {
    /// The ends of a chain; `None` for one that nothing was written of.
    pub fn of(&self, log_type: LogType) -> Option<Ends> {
        self.streams.get(&log_type).copied()
    }

    /// Sets the ends of a chain.
    pub fn set(&mut self, log_type: LogType, ends: Ends) {
        self.streams.insert(log_type, ends);
    }

    /// The anchor of a directory; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is no anchor.
    pub fn read(directory: &Path) -> io::Result<Option<Self>> {
        Self::read_file(&directory.join(ANCHOR))
    }

    /// The same of a file.
    pub(super) fn read_file(path: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let bad = || {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            io::Error::new(io::ErrorKind::InvalidData, format!("{name} is no anchor"))
        };
        let document: Document = serde_json::from_slice(&text).map_err(|_| bad())?;
        if document.version != 1 {
            return Err(bad());
        }
        let link = |seq, hash: &str| {
            Some(Link {
                seq,
                hash: from_hex(hash.as_bytes())?,
            })
        };
        let streams: Option<BTreeMap<LogType, Ends>> = document
            .streams
            .iter()
            .map(|(name, ends)| {
                let ends = Ends {
                    start: link(ends.start_seq, &ends.start_hash)?,
                    head: link(ends.head_seq, &ends.head_hash)?,
                };
                Some((LogType::named(name)?, ends))
            })
            .collect();
        let streams = streams.ok_or_else(bad)?;
        Ok(Some(Self { streams }))
    }

    /// Replaces the anchor of a directory as a whole, and waits for the disk.
    ///
    /// # Errors
    /// When the system refuses; the old one is still there then.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        self.write_file(&directory.join(ANCHOR))
    }

    /// The same of a file.
    pub(super) fn write_file(&self, path: &Path) -> io::Result<()> {
        let document = Document {
            version: 1,
            streams: self
                .streams
                .iter()
                .map(|(log_type, ends)| {
                    let ends = DocumentEnds {
                        start_seq: ends.start.seq,
                        start_hash: to_hex(&ends.start.hash),
                        head_seq: ends.head.seq,
                        head_hash: to_hex(&ends.head.hash),
                    };
                    (log_type.label().to_owned(), ends)
                })
                .collect(),
        };
        let text = serde_json::to_string_pretty(&document).expect("an anchor is JSON");
        let fresh = path.with_extension("json.new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))
    }

    /// The ends of a chain as this anchor knows them, or `heads`, which is kept elsewhere, when that knows more records:
    /// then the anchor was taken away, or an older one put in its place.
    pub(super) fn or_heads(
        anchor: Option<&Self>,
        heads: Option<&Self>,
        log_type: LogType,
    ) -> Option<Ends> {
        let anchored = anchor.and_then(|anchor| anchor.of(log_type));
        let elsewhere = heads.and_then(|heads| heads.of(log_type));
        match (anchored, elsewhere) {
            (Some(anchored), Some(elsewhere)) if elsewhere.head.seq > anchored.head.seq => {
                Some(Ends {
                    start: anchored.start,
                    head: elsewhere.head,
                })
            }
            (Some(anchored), _) => Some(anchored),
            (None, elsewhere) => elsewhere,
        }
    }
}

/// Waits until names of a directory are on the disk.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The path of a packed file.
pub(super) fn archive_path(directory: &Path, file: &ArchiveFile) -> PathBuf {
    directory.join(ARCHIVE).join(file.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract_and_read_back() {
        let file = LiveFile {
            log_type: LogType::ApiKey,
            date: "2026-02-23".to_owned(),
            part: 0,
        };
        assert_eq!(file.name(), "api_key_2026-02-23.ndjson");
        assert_eq!(LiveFile::named(&file.name()), Some(file.clone()));
        assert_eq!(file.day_end().rfc3339(), "2026-02-24T00:00:00.000Z");
        let more = LiveFile { part: 2, ..file };
        assert_eq!(more.name(), "api_key_2026-02-23.2.ndjson");
        assert_eq!(LiveFile::named(&more.name()), Some(more));
        let packed = ArchiveFile {
            log_type: LogType::ApiKey,
            last: UnixMs(1_771_840_800_999),
        };
        assert_eq!(packed.name(), "api_key_20260223_100000.ndjson.gz");
        let read = ArchiveFile::named(&packed.name()).expect("our own name");
        assert_eq!(read.last, UnixMs(1_771_840_800_000));
    }

    #[test]
    fn other_names_are_nobodys() {
        for name in [
            "",
            "anchor.json",
            "audit.log",
            "admin_2026-02-23.ndjson",
            "auth_2026-02-30.ndjson",
            "auth_2026-2-23.ndjson",
            "auth_2026-02-23.0.ndjson",
            "auth_2026-02-23.01.ndjson",
            "auth_2026-02-23.ndjson.new",
            "auth_../../etc.ndjson",
        ] {
            assert_eq!(LiveFile::named(name), None, "{name}");
        }
        for name in [
            "auth_20260223_100000.ndjson",
            "auth_20260230_100000.ndjson.gz",
            "auth_2026022_100000.ndjson.gz",
            "auth_20260223_1000.ndjson.gz",
            "auth_2026é23_100000.ndjson.gz",
        ] {
            assert_eq!(ArchiveFile::named(name), None, "{name}");
        }
    }

    #[test]
    fn an_anchor_survives_its_file_and_nonsense_is_none() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Anchor::read(directory.path()).expect("no file"), None);
        let mut anchor = Anchor::default();
        let link = |seq| Link {
            seq,
            hash: [seq as u8; 32],
        };
        let ends = Ends {
            start: link(3),
            head: link(9),
        };
        anchor.set(LogType::Order, ends);
        anchor.write(directory.path()).expect("written");
        let read = Anchor::read(directory.path())
            .expect("read")
            .expect("there");
        assert_eq!(read, anchor);
        assert_eq!(read.of(LogType::Order), Some(ends));
        assert_eq!(read.of(LogType::Auth), None);
        for bad in ["", "{}", "{\"version\":2,\"streams\":{}}"] {
            fs::write(directory.path().join(ANCHOR), bad).expect("written");
            assert!(Anchor::read(directory.path()).is_err(), "{bad}");
        }
    }
}
