//! One question to the venue before anything runs: connect, ask, read one answer, hang up.

use std::io::{Read, Write};

use super::endpoint::Endpoint;
use super::entropy;
use super::upgrade::{ConnectFault, connect_and_upgrade};
use crate::edge::clock::Clock;
use crate::limits::BOOT_MESSAGE_BYTES_MAX;
use crate::units::Nanos;
use crate::wire::websocket::{CloseCode, FrameError, FrameKind, Reader, Writer};

/// Why there is no answer; a fault of the start.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No connection.
    #[error("{url}: {fault}")]
    Connect {
        /// Whom we asked.
        url: String,
        /// What failed.
        fault: ConnectFault,
    },
    /// The connection ended or the time ran out before the answer.
    #[error("{url}: no answer: {source}")]
    Io {
        /// Whom we asked.
        url: String,
        /// What happened.
        source: std::io::Error,
    },
    /// The answer is no websocket message, or longer than 16 MiB.
    #[error("{url}: {source}")]
    Frame {
        /// Whom we asked.
        url: String,
        /// What was wrong.
        source: FrameError,
    },
    /// The venue closed instead of answering.
    #[error("{url}: closed instead of answering")]
    Closed {
        /// Whom we asked.
        url: String,
    },
    /// The answer is no text.
    #[error("{url}: the answer is no text")]
    NotText {
        /// Whom we asked.
        url: String,
    },
}

/// Sends `request` to `endpoint` and returns the first message that comes back, all within
/// `timeout` (resolving aside). Blocks: for the start, never on the core thread. Counts as one
/// connection attempt at the venue; the budget keeps a reserve for these.
///
/// # Errors
/// [`RequestError`] names the URL.
pub fn request_once(
    endpoint: &Endpoint,
    request: &str,
    timeout: Nanos,
) -> Result<String, RequestError> {
    let url = || endpoint.url().to_owned();
    let io = |source| RequestError::Io { url: url(), source };
    let clock = Clock::kernel();
    let upgraded = connect_and_upgrade(endpoint, clock, clock.now().plus(timeout))
        .map_err(|fault| RequestError::Connect { url: url(), fault })?;
    let mut stream = upgraded.stream;
    let mut reader = Reader::new(BOOT_MESSAGE_BYTES_MAX);
    let kept = reader.push(&upgraded.tail);
    assert_eq!(
        kept,
        upgraded.tail.len(),
        "the upgrade reads less than the room"
    );
    let mut writer = Writer::new(request.len() + 14, entropy());
    writer.text(request.as_bytes()).expect("sized for it");
    loop {
        while let Some(frame) = reader
            .poll()
            .map_err(|source| RequestError::Frame { url: url(), source })?
        {
            match frame.kind {
                FrameKind::Text => {
                    let answer = std::str::from_utf8(reader.bytes(frame))
                        .map_err(|_| RequestError::NotText { url: url() })?
                        .to_owned();
                    // A polite end; the answer is here whether it arrives or not.
                    if writer.close(Some(CloseCode::NORMAL)).is_ok() {
                        let _ = stream.write_all(writer.pending());
                    }
                    return Ok(answer);
                }
                FrameKind::Binary => return Err(RequestError::NotText { url: url() }),
                FrameKind::Close(_) => return Err(RequestError::Closed { url: url() }),
                FrameKind::Pong => {}
                // The connection ends long before anyone misses a pong that does not fit.
                FrameKind::Ping => drop(writer.pong(reader.bytes(frame))),
            }
        }
        stream.write_all(writer.pending()).map_err(io)?;
        writer.consumed(writer.pending().len());
        match stream.read(reader.space()).map_err(io)? {
            0 => return Err(io(std::io::ErrorKind::UnexpectedEof.into())),
            len => reader.filled(len),
        }
    }
}
