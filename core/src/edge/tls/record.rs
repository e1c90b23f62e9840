//! The record layer of TLS 1.3 after the handshake (RFC 8446, section 5), without a socket.
//!
//! Owns: [`RecordLayer`]: records opened where they lie and sealed where they are sent from, alerts, key
//! updates, messages after the handshake. Does not: shake hands, derive keys or keep tickets ([`KeySource`]
//! does), or hold bytes of records.
//!
//! Why not the TLS library's own: it allocates a buffer for every record, in each direction, and copies
//! into it, which takes as long as the decryption.
//!
//! Invariants: nothing is allocated but by [`KeySource`] (a new key, a ticket); a fault ends the session,
//! and what a fault sends goes out under our key; nothing is sealed after an alert; no key seals more
//! records than its cipher allows. How many the peer seals under one key is the peer's to count.

mod messages;
mod traffic_key;
#[cfg(target_arch = "x86_64")]
mod wide_gcm;

use std::ops::Range;

use self::messages::Messages;
pub use self::traffic_key::{IV_BYTES, Suite, TrafficKey};
use crate::limits::TLS_RECORDS_WITHOUT_DATA_MAX;

/// The most plaintext in a record (section 5.1).
pub const PLAINTEXT_BYTES_MAX: usize = 16 << 10;
/// Bytes of a record beyond its plaintext, unpadded: header, content type, tag.
pub const RECORD_OVERHEAD: usize = HEADER_BYTES + 1 + TAG_BYTES;
/// Content type, version and length.
const HEADER_BYTES: usize = 5;
/// All three ciphers' tag.
const TAG_BYTES: usize = 16;
/// The most ciphertext in a record (section 5.2): the limit has room for ciphers with a longer tag.
const BODY_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 256;
/// Type and version of every protected record, whatever it says.
const PROTECTED: [u8; 3] = [APPLICATION_DATA, 3, 3];

// Content types.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

// Types of handshake messages.
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

// Alerts (section 6) that mean no error, and their levels.
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// Why a record ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// A record that is not protected: a late `change_cipher_spec`, or bytes that are no TLS.
    #[error("a record of type {0} where all are protected")]
    Unprotected(u8),
    /// A protected record of another version.
    #[error("a record of version {0:#06x}")]
    Version(u16),
    /// A record, or the plaintext in it, above its bound.
    #[error("a record that is too long")]
    TooLong,
    /// A record that was not sealed with the peer's key as the next one: changed, lost, repeated, cut.
    #[error("a record that does not decrypt")]
    BadMac,
    /// Padding and nothing else.
    #[error("a record without a content type")]
    NoContentType,
    /// A content type that has no place after the handshake.
    #[error("a protected record of type {0}")]
    ContentType(u8),
    /// A handshake record that says nothing.
    #[error("a handshake record without content")]
    EmptyMessage,
    /// A record between the parts of a handshake message.
    #[error("a record between the parts of a message")]
    Interleaved,
    /// A handshake message that a server does not send after the handshake.
    #[error("a handshake message of type {0} after the handshake")]
    Message(u8),
    /// A handshake message above its bound.
    #[error(
        "a handshake message above {} bytes",
        crate::limits::TLS_MESSAGE_BYTES_MAX
    )]
    MessageTooBig,
    /// A ticket that cannot be read.
    #[error("a session ticket that cannot be read")]
    Ticket,
    /// A key update that has not one byte.
    #[error("a key update of {0} bytes")]
    KeyUpdateBytes(usize),
    /// A key update that asks for something unknown.
    #[error("a key update that asks for {0}")]
    KeyUpdateRequest(u8),
    /// A key update with more behind it in its record, which the new key does not protect.
    #[error("a key update that does not end its record")]
    KeyUpdateUnaligned,
    /// An alert that has not two bytes.
    #[error("an alert of {0} bytes")]
    AlertBytes(usize),
    /// The peer ends the session with this alert.
    #[error("the peer sent alert {0}")]
    Alert(u8),
    /// A row of records that bring no data.
    #[error("{TLS_RECORDS_WITHOUT_DATA_MAX} records in a row without data")]
    NoData,
    /// The next key cannot be derived.
    #[error("no next key")]
    Keys,
    /// A direction used all its numbers without a new key.
    #[error("no number for another record")]
    SequenceExhausted,
}

impl RecordFault {
    /// What the peer is told (section 6.2); `None` after its own alert.
    pub const fn alert(self) -> Option<u8> {
        const UNEXPECTED_MESSAGE: u8 = 10;
        const BAD_RECORD_MAC: u8 = 20;
        const RECORD_OVERFLOW: u8 = 22;
        const ILLEGAL_PARAMETER: u8 = 47;
        const DECODE_ERROR: u8 = 50;
        const PROTOCOL_VERSION: u8 = 70;
        const INTERNAL_ERROR: u8 = 80;
        Some(match self {
            Self::Unprotected(_)
            | Self::NoContentType
            | Self::ContentType(_)
            | Self::EmptyMessage
            | Self::Interleaved
            | Self::Message(_)
            | Self::KeyUpdateUnaligned
            | Self::NoData => UNEXPECTED_MESSAGE,
            Self::BadMac => BAD_RECORD_MAC,
            Self::TooLong => RECORD_OVERFLOW,
            Self::KeyUpdateRequest(_) => ILLEGAL_PARAMETER,
            Self::MessageTooBig | Self::Ticket | Self::KeyUpdateBytes(_) | Self::AlertBytes(_) => {
                DECODE_ERROR
            }
            Self::Version(_) => PROTOCOL_VERSION,
            Self::Keys | Self::SequenceExhausted => INTERNAL_ERROR,
            Self::Alert(_) => return None,
        })
    }
}

/// The secrets that later keys come from; they belong to who shook hands.
pub trait KeySource {
    /// The key that follows the peer's present one.
    ///
    /// # Errors
    /// [`RecordFault::Keys`].
    fn next_rx(&mut self) -> Result<TrafficKey, RecordFault>;

    /// The key that follows our present one.
    ///
    /// # Errors
    /// [`RecordFault::Keys`].
    fn next_tx(&mut self) -> Result<TrafficKey, RecordFault>;

    /// The body of a `NewSessionTicket`.
    ///
    /// # Errors
    /// [`RecordFault::Ticket`] when it cannot be read.
    fn ticket(&mut self, body: &[u8]) -> Result<(), RecordFault>;
}

/// What [`RecordLayer::open`] found at the beginning of the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// No whole record yet.
    Partial,
    /// A record of `bytes` with plaintext, which stands at `data` of the received bytes; never empty.
    Data {
        /// Length of the record.
        bytes: usize,
        /// Where the plaintext stands.
        data: Range<usize>,
    },
    /// A record of `bytes` without plaintext; the protocol may owe an answer: [`RecordLayer::answer`].
    Control {
        /// Length of the record.
        bytes: usize,
    },
    /// The peer said that it sends no more. Whatever comes after that is ignored.
    Closed,
}

/// What [`RecordLayer::seal`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Bytes of plaintext that were taken.
    pub taken: usize,
    /// Bytes of records that were written.
    pub written: usize,
}

/// Both directions of a session whose handshake is done; we are the client.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own: what is owed, awaited, and over on either side"
)]
pub struct RecordLayer<K> {
    rx: TrafficKey,
    tx: TrafficKey,
    source: K,
    messages: Messages,
    /// Number of the record that carries our key update, at the latest.
    renew_at: u64,
    /// The peer asked for our next key. Any number of such requests takes one answer (section 4.6.3).
    owes_update: bool,
    /// We asked for the peer's next key, and it has not come.
    awaits_update: bool,
    /// Records without data since the last one with.
    without_data: u32,
    peer_closed: bool,
    /// We said goodbye, or why the session is over.
    closed: bool,
}

impl<K: KeySource> RecordLayer<K> {
    /// A session that goes on with these keys. `records_per_key` is the cipher's bound on records that one
    /// of our keys may seal (section 5.5); both sides get new keys before it.
    ///
    /// # Panics
    /// When `records_per_key` is below 2: then there is no room for data.
    pub fn new(rx: TrafficKey, tx: TrafficKey, records_per_key: u64, source: K) -> Self {
        assert!(records_per_key >= 2, "one record for the key update itself");
        Self {
            rx,
            tx,
            source,
            messages: Messages::new(),
            renew_at: records_per_key - 1,
            owes_update: false,
            awaits_update: false,
            without_data: 0,
            peer_closed: false,
            closed: false,
        }
    }

    /// Looks at the first record of `received` and decrypts it in place, if it is whole. The caller takes
    /// its bytes off before the next call.
    ///
    /// # Errors
    /// [`RecordFault`]; the session is over, and [`RecordLayer::alert`] says so to the peer.
    #[inline]
    pub fn open(&mut self, received: &mut [u8]) -> Result<Opened, RecordFault> {
        if self.peer_closed {
            return Ok(Opened::Closed);
        }
        let Some((&mut header, rest)) = received.split_first_chunk_mut::<HEADER_BYTES>() else {
            return Ok(Opened::Partial);
        };
        let body_bytes = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[..3] != PROTECTED || body_bytes > BODY_BYTES_MAX {
            return Err(header_fault(header));
        }
        let Some(body) = rest.get_mut(..body_bytes) else {
            return Ok(Opened::Partial);
        };
        let bytes = HEADER_BYTES + body_bytes;
        let inner = self.rx.open(header, body)?;
        if inner.len() > PLAINTEXT_BYTES_MAX + 1 {
            return Err(RecordFault::TooLong);
        }
        // Content, its type, and any number of zeros.
        let Some(end) = inner.iter().rposition(|byte| *byte != 0) else {
            return Err(RecordFault::NoContentType);
        };
        if inner[end] == APPLICATION_DATA && end > 0 && !self.messages.is_within_one() {
            self.without_data = 0;
            return Ok(Opened::Data {
                bytes,
                data: HEADER_BYTES..HEADER_BYTES + end,
            });
        }
        let (content, kind) = (&inner[..end], inner[end]);
        if self.control(kind, content)? {
            Ok(Opened::Control { bytes })
        } else {
            self.peer_closed = true;
            Ok(Opened::Closed)
        }
    }

    /// Seals the beginning of `plaintext` as one record at the beginning of `room`, behind our key update
    /// when one is due. Takes nothing when the room is too small, or after our last word.
    ///
    /// # Errors
    /// [`RecordFault::Keys`], [`RecordFault::SequenceExhausted`]; the session is over.
    #[inline]
    pub fn seal(&mut self, plaintext: &[u8], room: &mut [u8]) -> Result<Sealed, RecordFault> {
        let mut sealed = Sealed::default();
        if self.closed {
            return Ok(sealed);
        }
        if self.owes_update || self.tx.sequence() >= self.renew_at {
            sealed.written = self.renew(room)?;
            if sealed.written == 0 {
                return Ok(sealed);
            }
        }
        let room = &mut room[sealed.written..];
        sealed.taken = plaintext
            .len()
            .min(PLAINTEXT_BYTES_MAX)
            .min(room.len().saturating_sub(RECORD_OVERHEAD));
        if sealed.taken > 0 {
            sealed.written += self.write(APPLICATION_DATA, &plaintext[..sealed.taken], room)?;
        }
        Ok(sealed)
    }

    /// Writes what the protocol itself owes the peer, if there is room: our key update, when the peer asked
    /// for it. Returns its bytes; an answer that finds no room stays owed.
    ///
    /// # Errors
    /// As [`RecordLayer::seal`].
    pub fn answer(&mut self, room: &mut [u8]) -> Result<usize, RecordFault> {
        if self.owes_update && !self.closed {
            self.renew(room)
        } else {
            Ok(0)
        }
    }

    /// Writes the alert for a fault, if it has one and there is room. It is our last word.
    pub fn alert(&mut self, fault: RecordFault, room: &mut [u8]) -> usize {
        if let Some(description) = fault.alert() {
            self.last_word(FATAL, description, room)
        } else {
            self.closed = true;
            0
        }
    }

    /// Says goodbye, if there is room. It is our last word.
    pub fn close(&mut self, room: &mut [u8]) -> usize {
        self.last_word(WARNING, CLOSE_NOTIFY, room)
    }

    fn last_word(&mut self, level: u8, description: u8, room: &mut [u8]) -> usize {
        let fits = room.len() >= RECORD_OVERHEAD + 2;
        if std::mem::replace(&mut self.closed, true) || !fits {
            return 0;
        }
        self.write(ALERT, &[level, description], room).unwrap_or(0)
    }

    /// Sends our key update, the last record under the present key. Returns its bytes, zero without room.
    #[cold]
    fn renew(&mut self, room: &mut [u8]) -> Result<usize, RecordFault> {
        const MESSAGE_BYTES: usize = 5;
        if room.len() < RECORD_OVERHEAD + MESSAGE_BYTES {
            return Ok(0);
        }
        // Whoever answers does not ask back; and nobody asks twice.
        let asks = !self.owes_update && !self.awaits_update;
        let message: [u8; MESSAGE_BYTES] = [KEY_UPDATE, 0, 0, 1, u8::from(asks)];
        let written = self.write(HANDSHAKE, &message, room)?;
        self.tx = self.source.next_tx()?;
        self.owes_update = false;
        self.awaits_update |= asks;
        Ok(written)
    }

    /// Writes one record; returns its bytes. There is room.
    #[inline]
    fn write(&mut self, kind: u8, content: &[u8], room: &mut [u8]) -> Result<usize, RecordFault> {
        let bytes = content.len() + RECORD_OVERHEAD;
        let [high, low] = ((bytes - HEADER_BYTES) as u16).to_be_bytes();
        let header = [PROTECTED[0], PROTECTED[1], PROTECTED[2], high, low];
        let (place, body) = room[..bytes].split_at_mut(HEADER_BYTES);
        place.copy_from_slice(&header);
        self.tx.seal(header, content, kind, body)?;
        Ok(bytes)
    }

    /// A record that brings no data; false when it was the peer's goodbye.
    #[cold]
    fn control(&mut self, kind: u8, content: &[u8]) -> Result<bool, RecordFault> {
        self.without_data += 1;
        if self.without_data > TLS_RECORDS_WITHOUT_DATA_MAX {
            return Err(RecordFault::NoData);
        }
        match kind {
            HANDSHAKE | ALERT if content.is_empty() => return Err(RecordFault::EmptyMessage),
            ALERT => match content {
                [_, CLOSE_NOTIFY] => return Ok(false),
                // RFC 8446 section 5.1: nothing stands between the parts of a message.
                [_, USER_CANCELED] if self.messages.is_within_one() => {
                    return Err(RecordFault::Interleaved);
                }
                [_, USER_CANCELED] => {}
                // All others end the session, whatever level they claim.
                [_, description] => return Err(RecordFault::Alert(*description)),
                _ => return Err(RecordFault::AlertBytes(content.len())),
            },
            HANDSHAKE => {
                self.messages
                    .push(content, |kind, body, ends_record| match (kind, body) {
                        (NEW_SESSION_TICKET, body) => self.source.ticket(body),
                        (KEY_UPDATE, _) if !ends_record => Err(RecordFault::KeyUpdateUnaligned),
                        (KEY_UPDATE, [asks @ (0 | 1)]) => {
                            self.rx = self.source.next_rx()?;
                            self.owes_update |= *asks == 1;
                            self.awaits_update = false;
                            Ok(())
                        }
                        (KEY_UPDATE, [other]) => Err(RecordFault::KeyUpdateRequest(*other)),
                        (KEY_UPDATE, body) => Err(RecordFault::KeyUpdateBytes(body.len())),
                        (other, _) => Err(RecordFault::Message(other)),
                    })?;
            }
            // Without content it only hides how much is said.
            APPLICATION_DATA if content.is_empty() && !self.messages.is_within_one() => {}
            APPLICATION_DATA => return Err(RecordFault::Interleaved),
            other => return Err(RecordFault::ContentType(other)),
        }
        Ok(true)
    }
}

/// What is wrong with a header that is not a protected record's.
#[cold]
fn header_fault(header: [u8; HEADER_BYTES]) -> RecordFault {
    let [kind, major, minor, ..] = header;
    if kind != APPLICATION_DATA {
        RecordFault::Unprotected(kind)
    } else if [major, minor] == PROTECTED[1..] {
        RecordFault::TooLong
    } else {
        RecordFault::Version(u16::from_be_bytes([major, minor]))
    }
}

#[cfg(test)]
mod tests;
