//! The file of what `Idempotency-Key`s stand for.
//!
//! Owns: its lines, one JSON object an event. Does not: decide what is remembered. Invariants: a key is
//! in the file before its request reaches the handler, and an order's client id before the order is sent, so that no
//! end of the process turns a repeat into a second order; no line holds a key itself, a secret, or a request's body; the
//! file is rewritten once it has doubled, so it stays below twice what is remembered.
//!
//! It is written and not synced: it outlives the process, not a power cut in the second before it.

use super::{Answer, Digest, KEYS_MAX};
use crate::api::UnreadableState;
use crate::api::journal::{self, Journal};
use crate::http::problem::{KeptProblem, Problem};
use crate::random::to_hex;
use crate::wall::UnixMs;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use veloz_core::order::ClientId;

/// Bytes of the file; what is remembered makes less than half of it, and escapes of JSON the rest.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// What a key stands for, as the file tells it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) at: UnixMs,
    pub(super) body: Digest,
    pub(super) order: Option<ClientId>,
    pub(super) end: End,
}

/// What became of a request.
#[derive(Debug, Default)]
pub(super) enum End {
    /// The process ended first.
    #[default]
    Open,
    /// It was answered.
    Answered(Box<Answer>),
    /// It was answered with a secret, which is not kept.
    Shown,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Began {
        key: String,
        body: String,
        at: u64,
    },
    Order {
        key: String,
        client_order_id: String,
    },
    Answered {
        key: String,
        status: u16,
        content_type: Option<String>,
        retry_after: Option<String>,
        text: String,
        problem: Option<KeptProblem>,
    },
    Shown {
        key: String,
    },
    Forgotten {
        key: String,
    },
}

/// All lines of one key.
pub(super) fn lines_of(key: &Digest, kept: &Kept) -> String {
    let mut lines = began(key, &kept.body, kept.at);
    if let Some(order) = &kept.order {
        lines += &ordered(key, order);
    }
    match &kept.end {
        End::Open => {}
        End::Answered(answer) => lines += &answered(key, answer),
        End::Shown => lines += &shown(key),
    }
    lines
}

/// A request reaches its handler.
pub(super) fn began(key: &Digest, body: &Digest, at: UnixMs) -> String {
    text(&Line::Began {
        key: to_hex(key),
        body: to_hex(body),
        at: at.0,
    })
}

/// It makes an order.
pub(super) fn ordered(key: &Digest, client_id: &ClientId) -> String {
    text(&Line::Order {
        key: to_hex(key),
        client_order_id: client_id.as_str().to_owned(),
    })
}

/// It was answered.
pub(super) fn answered(key: &Digest, answer: &Answer) -> String {
    let plain = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    text(&Line::Answered {
        key: to_hex(key),
        status: answer.status.as_u16(),
        content_type: answer.content_type.as_ref().and_then(plain),
        retry_after: answer.retry_after.as_ref().and_then(plain),
        // Bodies of handlers that write are JSON.
        text: String::from_utf8_lossy(&answer.body).into_owned(),
        problem: answer.problem.as_ref().map(Problem::keep),
    })
}

/// It was answered with a secret.
pub(super) fn shown(key: &Digest) -> String {
    text(&Line::Shown { key: to_hex(key) })
}

/// Nothing happened: it may come again.
pub(super) fn forgotten(key: &Digest) -> String {
    text(&Line::Forgotten { key: to_hex(key) })
}

fn text(line: &Line) -> String {
    let mut text = serde_json::to_string(line).expect("plain values");
    text.push('\n');
    text
}

/// Opens a file, and what it tells, oldest first; it is made when it is not there.
///
/// # Errors
/// [`UnreadableState`].
pub(super) fn open(path: PathBuf) -> Result<(Journal, Vec<(Digest, Kept)>), UnreadableState> {
    let kept = read(&path)?;
    let lines: String = kept.iter().map(|(key, kept)| lines_of(key, kept)).collect();
    Ok((Journal::open(path, &lines, FILE_BYTES_MAX)?, kept))
}

fn read(path: &Path) -> Result<Vec<(Digest, Kept)>, UnreadableState> {
    let text = journal::read(path, FILE_BYTES_MAX)?;
    let mut table = HashMap::new();
    let mut ages = VecDeque::new();
    for (number, line) in text.lines().enumerate() {
        let line = serde_json::from_str(line).ok();
        if line
            .and_then(|line| take(&mut table, &mut ages, line))
            .is_none()
        {
            return Err(UnreadableState::new(
                path,
                &format!("line {} is no event", number + 1),
            ));
        }
        if ages.len() > KEYS_MAX
            && let Some(oldest) = ages.pop_front()
        {
            table.remove(&oldest);
        }
    }
    Ok(ages
        .into_iter()
        .filter_map(|key| Some((key, table.remove(&key)?)))
        .collect())
}

/// What one line changes; `None` when it cannot be.
fn take(table: &mut HashMap<Digest, Kept>, ages: &mut VecDeque<Digest>, line: Line) -> Option<()> {
    let digest = |text: &str| crate::audit::record::from_hex(text.as_bytes());
    match line {
        Line::Began { key, body, at } => {
            let (key, body) = (digest(&key)?, digest(&body)?);
            let kept = Kept {
                at: UnixMs(at),
                body,
                ..Kept::default()
            };
            if table.insert(key, kept).is_some() {
                ages.retain(|other| *other != key);
            }
            ages.push_back(key);
        }
        Line::Order {
            key,
            client_order_id,
        } => {
            let client_id = ClientId::new(&client_order_id)?;
            // Its beginning may be out of the bound.
            if let Some(kept) = table.get_mut(&digest(&key)?) {
                kept.order = Some(client_id);
            }
        }
        Line::Answered {
            key,
            status,
            content_type,
            retry_after,
            text,
            problem,
        } => {
            let value = |text: Option<String>| match text {
                None => Some(None),
                Some(text) => HeaderValue::from_str(&text).ok().map(Some),
            };
            let answer = Answer {
                status: StatusCode::from_u16(status).ok()?,
                content_type: value(content_type)?,
                retry_after: value(retry_after)?,
                body: Bytes::from(text),
                problem: match problem {
                    None => None,
                    Some(problem) => Some(Problem::kept(problem)?),
                },
                sensitive: false,
            };
            if let Some(kept) = table.get_mut(&digest(&key)?) {
                kept.end = End::Answered(Box::new(answer));
            }
        }
        Line::Shown { key } => {
            if let Some(kept) = table.get_mut(&digest(&key)?) {
                kept.end = End::Shown;
            }
        }
        Line::Forgotten { key } => {
            let key = digest(&key)?;
            table.remove(&key);
            ages.retain(|other| *other != key);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Code;
    use crate::testing::with_small_files;

    fn path(directory: &tempfile::TempDir) -> PathBuf {
        directory.path().join("idempotency-keys")
    }

    #[test]
    fn what_was_written_is_read_and_what_was_cut_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let order = ClientId::new("mine").expect("legal");
        let problem = Problem::new(Code::NotOpen, "over")
            .field("x")
            .retry_after(3)
            .with("order_status", "FILLED");
        let answer = Answer {
            status: StatusCode::CONFLICT,
            content_type: Some(HeaderValue::from_static("application/json")),
            retry_after: None,
            body: Bytes::from_static("{\"ä\":1}".as_bytes()),
            problem: Some(problem.clone()),
            sensitive: false,
        };
        {
            let (mut file, kept) = open(path(&directory)).expect("new");
            assert!(kept.is_empty());
            for (key, lines) in [
                (1, [ordered(&[1; 32], &order), answered(&[1; 32], &answer)]),
                (2, [ordered(&[2; 32], &order), String::new()]),
                (3, [shown(&[3; 32]), String::new()]),
                (4, [forgotten(&[4; 32]), String::new()]),
            ] {
                let at = UnixMs(u64::from(key));
                file.append(&began(&[key; 32], &[9; 32], at))
                    .expect("written");
                for line in lines {
                    file.append(&line).expect("written");
                }
            }
            file.append(&shown(&[2; 32])[..20]).expect("cut by a kill");
        }
        // The second time it is the rewritten file.
        for _ in 0..2 {
            let (_, kept) = open(path(&directory)).expect("there");
            let keys: Vec<u8> = kept.iter().map(|(key, _)| key[0]).collect();
            assert_eq!(keys, [1, 2, 3]);
            assert!(kept.iter().all(|(_, kept)| kept.body == [9; 32]));
            assert_eq!((kept[1].1.at, kept[1].1.order), (UnixMs(2), Some(order)));
            assert!(matches!(kept[1].1.end, End::Open));
            assert!(matches!(kept[2].1.end, End::Shown));
            let End::Answered(again) = &kept[0].1.end else {
                panic!("it was answered");
            };
            assert_eq!((again.status, &again.body), (answer.status, &answer.body));
            assert_eq!(again.content_type, answer.content_type);
            assert_eq!(again.problem, Some(problem.clone()));
        }
    }

    #[test]
    fn a_disk_that_was_full_for_a_moment_stops_no_start() {
        let name =
            "api::idempotency::file::tests::a_disk_that_was_full_for_a_moment_stops_no_start";
        with_small_files(name, || {
            let directory = tempfile::tempdir().expect("a directory");
            let (mut file, _) = open(path(&directory)).expect("new");
            let mut written = 0u8;
            while file
                .append(&began(&[written; 32], &[9; 32], UnixMs(1)))
                .is_ok()
            {
                written += 1;
            }
            assert!(written > 0);
            // A shorter line still fits.
            file.append(&shown(&[0; 32])).expect("room");
            let (_, kept) = open(path(&directory)).expect("whole lines");
            assert_eq!(kept.len(), usize::from(written));
            assert!(matches!(kept[0].1.end, End::Shown));
        });
    }

    #[test]
    fn a_file_that_is_none_stops_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let began = began(&[1; 32], &[2; 32], UnixMs(1));
        for text in [
            "\n\n".to_owned(),
            "{}\n".to_owned(),
            began.replace("0101", "01"),
            began.replace("\"at\"", "\"when\""),
            began.replace("began", "ended"),
            format!(
                "{began}{}",
                ordered(&[1; 32], &ClientId::new("a").expect("legal")).replace("\"a\"", "\"a b\"")
            ),
        ] {
            std::fs::write(path(&directory), &text).expect("written");
            let error = open(path(&directory)).expect_err("refused");
            assert!(error.to_string().contains("line"), "{error} {text}");
        }
    }
}
