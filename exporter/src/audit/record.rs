//! What is recorded, and how a record is bound to the one before it.
//!
//! Owns: [`LogType`], [`Entry`], [`Link`], [`seal`], [`check`]. Does not: touch files. Invariants: a
//! record is one line of JSON whose last member is the SHA-256 of everything before it on the line; that
//! includes the number of the record and the hash of the one before, so no record can be changed, left
//! out, doubled or moved without the next one telling.

use crate::random::to_hex;
use crate::wall::UnixMs;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::net::IpAddr;
use veloz_core::labelled;

labelled! {
    /// Which stream a record belongs to. Each has its own files, its own chain and its own retention.
    pub enum LogType {
        /// Logins, logouts, refreshes, refusals, roles.
        Auth = "auth",
        /// Orders, cancellations, fills, and what decides about them.
        Order = "order",
        /// API keys.
        ApiKey = "api_key",
        /// Faults of the system.
        Error = "error",
        /// Every other request of somebody known.
        Access = "access",
    }
}

impl LogType {
    /// Days that records stay readable in place.
    pub const fn retention_days(self) -> u32 {
        match self {
            Self::Auth => 90,
            Self::Order | Self::ApiKey => 365,
            Self::Error => 30,
            Self::Access => 14,
        }
    }

    /// Whether records are packed and kept as long again, instead of being deleted.
    pub const fn is_archived(self) -> bool {
        match self {
            Self::Auth | Self::Order | Self::ApiKey | Self::Error => true,
            Self::Access => false,
        }
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|log_type| log_type.label() == name)
    }
}

/// Bytes of the details of one record; larger ones are left out, and the record says so.
const DETAILS_BYTES_MAX: usize = 8 << 10;
/// Characters of each text of a record that a client chose.
const TEXT_CHARS_MAX: usize = 128;

/// Something worth a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: UnixMs,
    /// Where it goes.
    pub log_type: LogType,
    /// What was done, such as `login_success`.
    pub action: Cow<'static, str>,
    /// By whom; empty when nobody is known.
    pub user_id: String,
    /// From where; `None` for the system itself.
    pub address: Option<IpAddr>,
    /// What else there is to say.
    pub details: Map<String, Value>,
    /// The request that it came with; empty without one.
    pub request_id: String,
}

impl Entry {
    /// An entry of the system itself.
    pub fn of_system(log_type: LogType, action: &'static str, at: UnixMs, details: Value) -> Self {
        Self {
            at,
            log_type,
            action: Cow::Borrowed(action),
            user_id: "system".to_owned(),
            address: None,
            details: match details {
                Value::Object(details) => details,
                other => Map::from_iter([("value".to_owned(), other)]),
            },
            request_id: String::new(),
        }
    }
}

/// The end of a chain: what the next record builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Records so far.
    pub seq: u64,
    /// The hash of the last one.
    pub hash: [u8; 32],
}

impl Link {
    /// Before the first record.
    pub const NONE: Self = Self {
        seq: 0,
        hash: [0; 32],
    };
}

/// The line of an entry that follows `head`, newline included, and the new head.
pub fn seal(entry: &Entry, head: Link) -> (String, Link) {
    let short = |text: &str| -> String { text.chars().take(TEXT_CHARS_MAX).collect() };
    let mut details = Value::from(entry.details.clone()).to_string();
    if details.len() > DETAILS_BYTES_MAX {
        details = json!({ "left_out_bytes": details.len() }).to_string();
    }
    let seq = head.seq + 1;
    let mut line = format!(
        "{{\"timestamp\":{}.{:03},\"datetime\":\"{}\",\"log_type\":\"{}\",\"action\":{},\"user_id\":{},\"ip_address\":{},\"details\":{details},\"request_id\":{},\"seq\":{seq},\"prev\":\"{}\"",
        entry.at.seconds(),
        entry.at.0 % 1_000,
        entry.at.rfc3339(),
        entry.log_type.label(),
        Value::from(short(&entry.action)),
        Value::from(short(&entry.user_id)),
        entry
            .address
            .map_or(Value::Null, |address| address.to_string().into()),
        Value::from(short(&entry.request_id)),
        to_hex(&head.hash),
    );
    let hash: [u8; 32] = Sha256::digest(line.as_bytes()).into();
    line.push_str(HASH);
    line.push_str(&to_hex(&hash));
    line.push_str("\"}\n");
    (line, Link { seq, hash })
}

/// What stands between the hashed part of a line and its hash.
const HASH: &str = ",\"hash\":\"";
/// Bytes from there to the end of the line, newline not included.
const TAIL_BYTES: usize = HASH.len() + 64 + 2;

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Not a line that [`seal`] writes.
    #[error("this is no audit record")]
    NotARecord,
    /// Its hash is not that of its content.
    #[error("record {seq} was changed: its hash does not fit its content")]
    Changed {
        /// The number that it has now.
        seq: u64,
    },
    /// Another number than the next.
    #[error("record {expected} is missing: record {found} follows instead")]
    Missing {
        /// The next number.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// The right number, and another past.
    #[error("record {seq} does not continue the one before it")]
    Detached {
        /// Its number.
        seq: u64,
    },
}

/// What a line says about its place, whatever came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it says that it follows.
    pub after: Link,
    /// What it is.
    pub link: Link,
}

#[derive(Deserialize)]
struct Numbers {
    seq: u64,
    prev: String,
}

/// Reads a line, without its newline, and compares its hash with its content.
///
/// # Errors
/// [`BadRecord`].
pub fn read(line: &[u8]) -> Result<Place, BadRecord> {
    let at = line
        .len()
        .checked_sub(TAIL_BYTES)
        .ok_or(BadRecord::NotARecord)?;
    let (content, tail) = line.split_at(at);
    let hash = tail
        .strip_prefix(HASH.as_bytes())
        .and_then(|rest| rest.strip_suffix(b"\"}"))
        .and_then(from_hex)
        .ok_or(BadRecord::NotARecord)?;
    let numbers: Numbers = serde_json::from_slice(line).map_err(|_| BadRecord::NotARecord)?;
    let before = numbers.seq.checked_sub(1).ok_or(BadRecord::NotARecord)?;
    let prev = from_hex(numbers.prev.as_bytes()).ok_or(BadRecord::NotARecord)?;
    if <[u8; 32]>::from(Sha256::digest(content)) != hash {
        return Err(BadRecord::Changed { seq: numbers.seq });
    }
    Ok(Place {
        after: Link {
            seq: before,
            hash: prev,
        },
        link: Link {
            seq: numbers.seq,
            hash,
        },
    })
}

/// Whether a line, without its newline, follows `head`; gives the new head.
///
/// # Errors
/// [`BadRecord`].
pub fn check(line: &[u8], head: Link) -> Result<Link, BadRecord> {
    let Place { after, link } = read(line)?;
    if after.seq != head.seq {
        return Err(BadRecord::Missing {
            expected: head.seq + 1,
            found: link.seq,
        });
    }
    if after.hash != head.hash {
        return Err(BadRecord::Detached { seq: link.seq });
    }
    Ok(link)
}

/// 32 bytes from lower-case hexadecimal digits.
pub(crate) fn from_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn entry(log_type: LogType, action: &'static str, at: u64) -> Entry {
        Entry {
            at: UnixMs(at),
            log_type,
            action: action.into(),
            user_id: "admin".to_owned(),
            address: Some(IpAddr::from([192, 168, 1, 100])),
            details: Map::from_iter([("auth_method".to_owned(), Value::from("password"))]),
            request_id: "req-abc123".to_owned(),
        }
    }

    #[test]
    fn a_record_has_the_fields_of_the_contract() {
        let entry = entry(LogType::Auth, "login_success", 1_771_840_800_123);
        let (line, link) = seal(&entry, Link::NONE);
        assert!(line.starts_with("{\"timestamp\":1771840800.123,"), "{line}");
        let mut record: Value = serde_json::from_str(&line).expect("JSON");
        let hash = record["hash"].take();
        assert_eq!(hash, to_hex(&link.hash));
        assert_eq!(
            record,
            json!({
                "timestamp": 1_771_840_800.123,
                "datetime": "2026-02-23T10:00:00.123Z",
                "log_type": "auth",
                "action": "login_success",
                "user_id": "admin",
                "ip_address": "192.168.1.100",
                "details": { "auth_method": "password" },
                "request_id": "req-abc123",
                "seq": 1,
                "prev": "0".repeat(64),
                "hash": null,
            })
        );
    }

    #[test]
    fn what_is_not_the_next_record_is_named() {
        let (first, one) = seal(&entry(LogType::Auth, "a", 1), Link::NONE);
        let (second, two) = seal(&entry(LogType::Auth, "b", 2), one);
        let (third, _) = seal(&entry(LogType::Auth, "c", 3), two);
        let line = |text: &str| text.trim_end().as_bytes().to_vec();
        assert_eq!(check(&line(&first), Link::NONE), Ok(one));
        assert_eq!(check(&line(&second), one), Ok(two));
        assert_eq!(
            check(&line(&third), one),
            Err(BadRecord::Missing {
                expected: 2,
                found: 3
            })
        );
        let other = seal(&entry(LogType::Auth, "x", 1), Link::NONE).1;
        assert_eq!(
            check(&line(&second), other),
            Err(BadRecord::Detached { seq: 2 })
        );
        let changed = first.replace("admin", "mallo");
        assert_eq!(
            check(&line(&changed), Link::NONE),
            Err(BadRecord::Changed { seq: 1 })
        );
        for bad in ["", "{}", "null", &first[..first.len() - 5]] {
            assert_eq!(
                check(bad.as_bytes(), Link::NONE),
                Err(BadRecord::NotARecord)
            );
        }
    }

    #[test]
    fn a_record_is_one_short_line_whatever_a_client_wrote() {
        let mut entry = entry(LogType::Access, "x", 1);
        entry.user_id = "a\n\"}\u{0}".repeat(1_000);
        entry.request_id = "\r\n".repeat(1_000);
        entry
            .details
            .insert("text".to_owned(), "x".repeat(100_000).into());
        let (line, _) = seal(&entry, Link::NONE);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.len() < 2_000, "{} bytes", line.len());
        let record: Value = serde_json::from_str(&line).expect("JSON");
        assert!(
            record["details"]["left_out_bytes"]
                .as_u64()
                .is_some_and(|bytes| bytes > 100_000)
        );
    }

    #[test]
    fn retention_is_that_of_the_contract() {
        let days = LogType::ALL.map(LogType::retention_days);
        assert_eq!(days, [90, 365, 365, 30, 14]);
        let archived = LogType::ALL.map(LogType::is_archived);
        assert_eq!(archived, [true, true, true, true, false]);
        assert_eq!(LogType::named("api_key"), Some(LogType::ApiKey));
        assert_eq!(LogType::named("admin"), None);
    }

    proptest! {
        /// Any single byte that is changed, removed or added is noticed.
        #[test]
        fn no_byte_can_be_changed(
            action in "[a-z_]{1,20}", user in "\\PC{0,20}", at in 0u64..4_000_000_000_000,
            position in any::<proptest::sample::Index>(), byte in any::<u8>(), how in 0..3,
        ) {
            let mut entry = entry(LogType::Order, "x", at);
            entry.action = action.into();
            entry.user_id = user;
            let (line, link) = seal(&entry, Link::NONE);
            let line = line.trim_end_matches('\n').as_bytes();
            prop_assert_eq!(check(line, Link::NONE), Ok(link));
            let mut changed = line.to_vec();
            let at = position.index(line.len());
            match how {
                0 => changed[at] = byte,
                1 => { changed.remove(at); }
                _ => changed.insert(at, byte),
            }
            if changed != line {
                prop_assert!(check(&changed, Link::NONE) != Ok(link));
            }
        }
    }
}
