//! The bytes of the state file.
//!
//! Owns: its format, version 3, and how it is read and replaced; version 2, in which what was set
//! over the API is not told apart from what holds, and version 1, which knew no trades either, are read too. Does not: know who holds it.
//!
//! One line `veloz-state 1 <CRC-32 of the rest, 8 hexadecimal digits> <bytes of the rest>`, then that many
//! bytes of JSON: the instance and its state. Integers only, every key of the version is there, and none else.

use super::State;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What the file begins with.
const MAGIC: &str = "veloz-state";
/// The version that is written.
const VERSION: u32 = 3;
/// The version before it: the same without `api_limits`.
const VERSION_WITHOUT_API_LIMITS: u32 = 2;
/// The version before that: without `trades` too.
const VERSION_WITHOUT_TRADES: u32 = 1;
/// Bytes of a file: all that [`State`] bounds takes less than a tenth, and limits of 256 instruments 50 kB, their trades 200 kB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// Something else.
    #[error("this is no state file")]
    NotState,
    /// Written by another version of this program.
    #[error("its format is version {0}, expected {VERSION}: another version of veloz wrote it")]
    Version(u32),
    /// Cut off, or something was appended.
    #[error("it is torn: {found} bytes of state instead of {expected}")]
    Torn {
        /// As its first line says.
        expected: u64,
        /// As they are there.
        found: u64,
    },
    /// Changed after it was written.
    #[error("its checksum is wrong")]
    Checksum,
    /// The checksum is right, and yet.
    #[error("its content cannot be read: {0}")]
    Content(String),
    /// Copied or renamed.
    #[error("it belongs to instance {0}")]
    Instance(String),
    /// Far larger than anything that is written.
    #[error("it is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
}

/// Why there is no state.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    Fault(FileFault),
}

#[derive(Serialize)]
struct Written<'a> {
    instance: &'a str,
    state: &'a State,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    instance: String,
    state: State,
}

/// The state in the file; `None` when there is no file.
pub(super) fn read(path: &Path, instance: &str) -> Result<Option<State>, ReadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ReadError::Io(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ReadError::Fault(FileFault::TooLarge));
    }
    parse(&bytes, instance).map(Some).map_err(ReadError::Fault)
}

fn parse(bytes: &[u8], instance: &str) -> Result<State, FileFault> {
    let newline = bytes.iter().position(|byte| *byte == b'\n');
    let (head, rest) = newline.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 1..]));
    let head = std::str::from_utf8(head).map_err(|_| FileFault::NotState)?;
    let mut words = head.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(FileFault::NotState);
    }
    let mut number = |radix| {
        words
            .next()
            .and_then(|word| u64::from_str_radix(word, radix).ok())
    };
    let version = number(10).ok_or(FileFault::NotState)? as u32;
    if ![VERSION, VERSION_WITHOUT_API_LIMITS, VERSION_WITHOUT_TRADES].contains(&version) {
        return Err(FileFault::Version(version));
    }
    let (crc, expected) = number(16).zip(number(10)).ok_or(FileFault::NotState)?;
    if rest.len() as u64 != expected {
        return Err(FileFault::Torn {
            expected,
            found: rest.len() as u64,
        });
    }
    if u64::from(crc32fast::hash(rest)) != crc {
        return Err(FileFault::Checksum);
    }
    let unreadable = |error: serde_json::Error| FileFault::Content(error.to_string());
    let content: Content = if version == VERSION {
        serde_json::from_slice(rest).map_err(unreadable)?
    } else {
        let mut value: serde_json::Value = serde_json::from_slice(rest).map_err(unreadable)?;
        if let Some(state) = value
            .get_mut("state")
            .and_then(serde_json::Value::as_object_mut)
        {
            if version == VERSION_WITHOUT_TRADES {
                state.insert("trades".to_owned(), serde_json::json!({}));
            }
            // Only the API changed limits that are saved.
            let api_limits = serde_json::json!({
                "global": state.get("global_limits"),
                "instruments": state.get("instrument_limits"),
            });
            state.insert("api_limits".to_owned(), api_limits);
        }
        serde_json::from_value(value).map_err(unreadable)?
    };
    if content.instance != instance {
        return Err(FileFault::Instance(content.instance));
    }
    Ok(content.state)
}

/// The file's bytes.
pub(super) fn render(instance: &str, state: &State) -> Vec<u8> {
    let json = serde_json::to_vec(&Written { instance, state }).expect("plain values");
    let mut bytes = format!(
        "{MAGIC} {VERSION} {:08x} {}\n",
        crc32fast::hash(&json),
        json.len()
    )
    .into_bytes();
    bytes.extend(json);
    bytes
}

/// Replaces the file; when this returns, it is on the disk.
pub(super) fn write(path: &Path, instance: &str, state: &State) -> io::Result<()> {
    let fresh = path.with_extension("state.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(&render(instance, state))?;
    file.sync_all()?;
    drop(file);
    fs::rename(&fresh, path)?;
    // The name is in the directory, which has to reach the disk too.
    let directory = path.parent().expect("a file is in a directory");
    File::open(directory)?.sync_all()
}
