//! One question to the venue before anything runs: connect, ask, read one answer, hang up.

use super::conversation::Conversation;
use super::endpoint::Endpoint;
use super::upgrade::ConnectFault;
use crate::edge::clock::Clock;
use crate::limits::BOOT_MESSAGE_BYTES_MAX;
use crate::units::Nanos;
use crate::wire::websocket::FrameError;

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
    let clock = Clock::kernel();
    let until = clock.now().plus(timeout);
    let mut conversation = Conversation::open(endpoint, BOOT_MESSAGE_BYTES_MAX, clock, until)?;
    conversation.send(request, until)?;
    let answer = conversation
        .receive(until)?
        .ok_or_else(|| RequestError::Io {
            url: endpoint.url().to_owned(),
            source: std::io::ErrorKind::TimedOut.into(),
        })?;
    conversation.close(until);
    Ok(answer)
}
