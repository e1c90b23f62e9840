//! One TLS client session, without a socket: ciphertext in and out of two fixed buffers.
//!
//! The handshake is rustls' (its unbuffered connection). With TLS 1.3 the records after it are our own
//! [`RecordLayer`]'s: decrypted where they were received, sealed where they are sent from, without
//! allocation. With TLS 1.2 they stay rustls', which allocates a buffer for each: no venue needs it, and
//! its records are another format. So they do when the configuration does not hand out secrets.
//!
//! A backlog of records is walked with an offset and moved once, not once a record.
//!
//! The caller: `space` + `filled` when bytes came, `advance` until [`Progress::NeedsBytes`],
//! `encrypt` for what goes out, and sends `outgoing` after each of these.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;

use super::record::{Opened, PLAINTEXT_BYTES_MAX, RecordFault, RecordLayer};
use super::takeover::{Kernel, take_over};
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
    /// A record after the handshake that ends the session.
    #[error(transparent)]
    Record(#[from] RecordFault),
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

/// Who reads and writes the records.
enum Records {
    /// The TLS library: in the handshake, and after it where we do not.
    Library(Box<UnbufferedClientConnection>),
    /// We: after a handshake of TLS 1.3.
    Ours(Box<RecordLayer<Kernel>>),
    /// Nobody: the one did not become the other.
    Lost,
}

/// A TLS client session.
pub struct TlsSession {
    records: Records,
    /// Whether the library hands out its secrets.
    takes_over: bool,
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
            takes_over: config.enable_secret_extraction,
            records: Records::Library(Box::new(UnbufferedClientConnection::new(config, server)?)),
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
    #[inline]
    pub fn advance(&mut self, mut take: impl FnMut(&[u8])) -> Result<Progress, TlsFault> {
        loop {
            let Records::Ours(records) = &mut self.records else {
                if let Some(progress) = self.advance_library(&mut take)? {
                    return Ok(progress);
                }
                continue;
            };
            let received = &mut self.incoming[self.in_head..self.in_tail];
            match records.open(received) {
                Ok(Opened::Data { bytes, data }) => {
                    take(&received[data]);
                    self.in_head += bytes;
                    return Ok(Progress::Plaintext);
                }
                Ok(Opened::Partial) => return Ok(Progress::NeedsBytes),
                Ok(Opened::Control { bytes }) => {
                    self.in_head += bytes;
                    self.out_tail += records.answer(&mut self.outgoing[self.out_tail..])?;
                }
                Ok(Opened::Closed) => return Ok(Progress::PeerClosed),
                Err(fault) => {
                    self.out_tail += records.alert(fault, &mut self.outgoing[self.out_tail..]);
                    return Err(fault.into());
                }
            }
        }
    }

    /// Encrypts the beginning of `plaintext` as one record; returns how much of it that was, zero
    /// when the unsent records leave no room, or after our goodbye.
    ///
    /// # Errors
    /// [`TlsFault`]; the session is over.
    #[inline]
    pub fn encrypt(&mut self, plaintext: &[u8]) -> Result<usize, TlsFault> {
        if self.outgoing.len() - self.out_tail < RECORD_BYTES_MAX {
            self.outgoing.copy_within(self.out_head..self.out_tail, 0);
            self.out_tail -= self.out_head;
            self.out_head = 0;
        }
        match &mut self.records {
            Records::Ours(records) => {
                let sealed = records.seal(plaintext, &mut self.outgoing[self.out_tail..])?;
                self.out_tail += sealed.written;
                Ok(sealed.taken)
            }
            Records::Library(_) | Records::Lost => self.encrypt_library(plaintext),
        }
    }

    /// Says goodbye, if there is room to.
    pub fn close(&mut self) {
        let room = &mut self.outgoing[self.out_tail..];
        match &mut self.records {
            Records::Ours(records) => self.out_tail += records.close(room),
            Records::Library(connection) => {
                let settled = self.in_head..self.in_head + self.in_settled;
                let UnbufferedStatus { state, .. } =
                    connection.process_tls_records(&mut self.incoming[settled]);
                if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state
                    && let Ok(bytes) = traffic.queue_close_notify(room)
                {
                    self.out_tail += bytes;
                }
            }
            Records::Lost => {}
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

    /// One step of the library's session; `None` when another has to follow.
    fn advance_library(
        &mut self,
        take: &mut impl FnMut(&[u8]),
    ) -> Result<Option<Progress>, TlsFault> {
        let Records::Library(connection) = &mut self.records else {
            return Err(TlsFault::State);
        };
        // What follows the server's `Finished` is for our record layer: the library must not have seen
        // it. It looks at received bytes only after it has sent its own `Finished`.
        let ends_here = self.takes_over
            && !connection.is_handshaking()
            && connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let shown = if ends_here {
            self.in_head..self.in_head
        } else {
            self.in_head..self.in_tail
        };
        let UnbufferedStatus { mut discard, state } =
            connection.process_tls_records(&mut self.incoming[shown]);
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
        if ends_here && self.ready {
            let Records::Library(connection) = std::mem::replace(&mut self.records, Records::Lost)
            else {
                return Err(TlsFault::State);
            };
            self.records = Records::Ours(Box::new(take_over(*connection)?));
            return Ok(None);
        }
        match progress {
            None => {}
            Some(Progress::NeedsBytes) => {
                if self.in_tail - self.in_head >= self.incoming.len() {
                    // A handshake message that no sane peer sends.
                    return Err(TlsFault::State);
                }
                self.in_settled = self.in_tail - self.in_head;
            }
            Some(Progress::Plaintext | Progress::PeerClosed) => self.in_settled = 0,
        }
        Ok(progress)
    }

    /// [`TlsSession::encrypt`] by the library.
    fn encrypt_library(&mut self, plaintext: &[u8]) -> Result<usize, TlsFault> {
        let Records::Library(connection) = &mut self.records else {
            return Err(TlsFault::State);
        };
        let room = self.outgoing.len() - self.out_tail;
        let len = plaintext
            .len()
            .min(PLAINTEXT_BYTES_MAX)
            .min(room.saturating_sub(LIBRARY_OVERHEAD));
        if len == 0 {
            return Ok(0);
        }
        loop {
            let settled = self.in_head..self.in_head + self.in_settled;
            let UnbufferedStatus { discard, state } =
                connection.process_tls_records(&mut self.incoming[settled]);
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

    /// After the library's fault: puts the alert that tells the peer why behind the outgoing bytes, if it
    /// fits.
    fn encode_alert(&mut self) {
        let Records::Library(connection) = &mut self.records else {
            return;
        };
        let status = connection.process_tls_records(&mut self.incoming[self.in_head..self.in_tail]);
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

/// Header, explicit nonce, content type and tag of the library's records, generously.
const LIBRARY_OVERHEAD: usize = 64;
/// The most bytes of a whole record: TLS 1.2 allows 2,048 of expansion, and a header of five.
const RECORD_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 2_048 + 5;

// Three whole records and a partial one fit, so that a burst takes few receives.
const _: () = assert!(TLS_INCOMING_BYTES >= 3 * RECORD_BYTES_MAX);
const _: () = assert!(TLS_OUTGOING_BYTES >= 3 * RECORD_BYTES_MAX);
