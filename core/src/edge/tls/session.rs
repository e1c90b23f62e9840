//! One TLS client session, without a socket: ciphertext in and out of two fixed buffers.
//!
//! rustls' unbuffered connection decrypts inside our receive buffer and leaves the rest to us, so a
//! backlog of records is walked with an offset and moved once, not once a record. Its one allocation
//! a record, in each direction, is all that happens here after the handshake.
//!
//! The caller: `space` + `filled` when bytes came, `advance` until [`Progress::NeedsBytes`],
//! `encrypt` for what goes out, and sends `outgoing` after each of these.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls_pki_types::ServerName;

use crate::limits::{TLS_INCOMING_BYTES, TLS_OUTGOING_BYTES};

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TlsFault {
    /// The peer's certificate does not verify.
    #[error("the certificate does not verify: {0}")]
    Certificate(rustls::CertificateError),
    /// Anything else that the TLS library refuses.
    #[error(transparent)]
    Protocol(rustls::Error),
    /// The peer makes us answer (key updates, alerts) and does not read the answers.
    #[error("the peer does not read what TLS must answer")]
    OutgoingFull,
    /// The library is in a state that this use of it excludes.
    #[error("TLS reached a state that it should not have")]
    State,
}

impl From<rustls::Error> for TlsFault {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(why) => Self::Certificate(why),
            other => Self::Protocol(other),
        }
    }
}

/// What [`TlsSession::advance`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// One record of plaintext was handed over; there may be more.
    Plaintext,
    /// All received bytes are dealt with, up to a partial record.
    NeedsBytes,
    /// The peer said that it sends no more.
    PeerClosed,
}

/// A TLS client session.
pub struct TlsSession {
    connection: UnbufferedClientConnection,
    incoming: Box<[u8]>,
    in_head: usize,
    in_tail: usize,
    /// Bytes from `in_head` that are known to hold no whole record. Encrypting runs the library's
    /// state machine, which looks at the received bytes too: it is shown these only, so that no
    /// plaintext comes out while nobody can take it.
    in_settled: usize,
    outgoing: Box<[u8]>,
    out_head: usize,
    out_tail: usize,
    ready: bool,
}

impl TlsSession {
    /// A session that is about to send its first flight.
    ///
    /// # Errors
    /// [`TlsFault::Protocol`] when the configuration does not allow one.
    pub fn new(config: Arc<ClientConfig>, server: ServerName<'static>) -> Result<Self, TlsFault> {
        let mut incoming = vec![0; TLS_INCOMING_BYTES].into_boxed_slice();
        let mut outgoing = vec![0; TLS_OUTGOING_BYTES].into_boxed_slice();
        // Fresh zeroed allocations are one shared page until they are written.
        incoming.fill(1);
        outgoing.fill(1);
        Ok(Self {
            connection: UnbufferedClientConnection::new(config, server)?,
            incoming,
            in_head: 0,
            in_tail: 0,
            in_settled: 0,
            outgoing,
            out_head: 0,
            out_tail: 0,
            ready: false,
        })
    }

    /// Whether the handshake is done and data may be encrypted.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Where to receive ciphertext into; never empty after `advance` said [`Progress::NeedsBytes`].
    pub fn space(&mut self) -> &mut [u8] {
        if self.in_head == self.in_tail {
            self.in_head = 0;
            self.in_tail = 0;
        } else if self.incoming.len() - self.in_tail < RECORD_BYTES_MAX {
            self.incoming.copy_within(self.in_head..self.in_tail, 0);
            self.in_tail -= self.in_head;
            self.in_head = 0;
        }
        &mut self.incoming[self.in_tail..]
    }

    /// `len` bytes were received into [`TlsSession::space`].
    ///
    /// # Panics
    /// When that is more than there was space.
    pub fn filled(&mut self, len: usize) {
        assert!(
            len <= self.incoming.len() - self.in_tail,
            "more than the space"
        );
        self.in_tail += len;
    }

    /// Works through received bytes until one record of plaintext was given to `take`, or no whole
    /// record is left. What the protocol itself must answer is in [`TlsSession::outgoing`] after it.
    ///
    /// # Errors
    /// [`TlsFault`]; the session is over, an alert may wait in [`TlsSession::outgoing`].
    pub fn advance(&mut self, mut take: impl FnMut(&[u8])) -> Result<Progress, TlsFault> {
        loop {
            let UnbufferedStatus { mut discard, state } = self
                .connection
                .process_tls_records(&mut self.incoming[self.in_head..self.in_tail]);
            let mut progress = None;
            let mut failed = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        take(record.payload);
                    }
                    progress = Some(Progress::Plaintext);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    self.out_tail += encode(&mut data, &mut self.outgoing[self.out_tail..])?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake) => progress = Some(Progress::NeedsBytes),
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.ready = true;
                    progress = Some(Progress::NeedsBytes);
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    progress = Some(Progress::PeerClosed);
                }
                Ok(_) => return Err(TlsFault::State),
                Err(error) => failed = Some(error),
            }
            self.in_head += discard;
            self.in_settled = self.in_settled.saturating_sub(discard);
            if let Some(error) = failed {
                self.encode_alert();
                return Err(error.into());
            }
            match progress {
                None => {}
                Some(Progress::NeedsBytes) => {
                    if self.in_tail - self.in_head >= self.incoming.len() {
                        // A handshake message that no sane peer sends.
                        return Err(TlsFault::State);
                    }
                    self.in_settled = self.in_tail - self.in_head;
                    return Ok(Progress::NeedsBytes);
                }
                Some(progress) => {
                    self.in_settled = 0;
                    return Ok(progress);
                }
            }
        }
    }

    /// Encrypts the beginning of `plaintext` as one record; returns how much of it that was, zero
    /// when the unsent records leave no room.
    ///
    /// # Errors
    /// [`TlsFault`]; the session is over.
    pub fn encrypt(&mut self, plaintext: &[u8]) -> Result<usize, TlsFault> {
        if self.outgoing.len() - self.out_tail < RECORD_BYTES_MAX {
            self.outgoing.copy_within(self.out_head..self.out_tail, 0);
            self.out_tail -= self.out_head;
            self.out_head = 0;
        }
        let room = self.outgoing.len() - self.out_tail;
        let len = plaintext
            .len()
            .min(PLAINTEXT_BYTES_MAX)
            .min(room.saturating_sub(RECORD_OVERHEAD));
        if len == 0 {
            return Ok(0);
        }
        loop {
            let settled = self.in_head..self.in_head + self.in_settled;
            let UnbufferedStatus { discard, state } = self
                .connection
                .process_tls_records(&mut self.incoming[settled]);
            let mut done = None;
            match state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let sent =
                        traffic.encrypt(&plaintext[..len], &mut self.outgoing[self.out_tail..]);
                    done = Some(match sent {
                        Ok(bytes) => {
                            self.out_tail += bytes;
                            len
                        }
                        Err(EncryptError::InsufficientSize(_)) => 0,
                        Err(EncryptError::EncryptExhausted) => return Err(TlsFault::State),
                    });
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    self.out_tail += encode(&mut data, &mut self.outgoing[self.out_tail..])?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => return Err(TlsFault::State),
            }
            self.in_head += discard;
            self.in_settled -= discard;
            if let Some(len) = done {
                return Ok(len);
            }
        }
    }

    /// Says goodbye, if there is room to.
    pub fn close(&mut self) {
        let settled = self.in_head..self.in_head + self.in_settled;
        let UnbufferedStatus { state, .. } = self
            .connection
            .process_tls_records(&mut self.incoming[settled]);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state
            && let Ok(bytes) = traffic.queue_close_notify(&mut self.outgoing[self.out_tail..])
        {
            self.out_tail += bytes;
        }
    }

    /// Ciphertext to send next.
    #[inline]
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.out_head..self.out_tail]
    }

    /// The first `len` bytes of [`TlsSession::outgoing`] were sent.
    ///
    /// # Panics
    /// When there were fewer.
    #[inline]
    pub fn sent(&mut self, len: usize) {
        assert!(len <= self.out_tail - self.out_head, "more than was there");
        self.out_head += len;
        if self.out_head == self.out_tail {
            self.out_head = 0;
            self.out_tail = 0;
        }
    }

    /// After a fault: puts the alert that tells the peer why behind the outgoing bytes, if it fits.
    fn encode_alert(&mut self) {
        let status = self
            .connection
            .process_tls_records(&mut self.incoming[self.in_head..self.in_tail]);
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state
            && let Ok(bytes) = data.encode(&mut self.outgoing[self.out_tail..])
        {
            self.out_tail += bytes;
        }
    }
}

/// Encodes what the protocol itself sends; returns its bytes.
fn encode(
    data: &mut rustls::unbuffered::EncodeTlsData<'_, rustls::client::ClientConnectionData>,
    room: &mut [u8],
) -> Result<usize, TlsFault> {
    match data.encode(room) {
        Ok(bytes) => Ok(bytes),
        Err(EncodeError::InsufficientSize(_)) => Err(TlsFault::OutgoingFull),
        Err(EncodeError::AlreadyEncoded) => Err(TlsFault::State),
    }
}

/// The most plaintext in a record (RFC 8446 section 5.1).
const PLAINTEXT_BYTES_MAX: usize = 16 << 10;
/// Header, content type, tag and explicit nonce of a record, generously.
const RECORD_OVERHEAD: usize = 64;
/// The most bytes of a whole record: TLS 1.2 allows 2,048 of expansion, and a header of five.
const RECORD_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 2_048 + 5;

// Three whole records and a partial one fit, so that a burst takes few receives.
const _: () = assert!(TLS_INCOMING_BYTES >= 3 * RECORD_BYTES_MAX);
const _: () = assert!(TLS_OUTGOING_BYTES >= 3 * RECORD_BYTES_MAX);
