//! One ready connection: a non-blocking socket, TLS unless it is plain, and websocket frames.
//!
//! Owns: the socket and every buffer between it and a message. Does not: connect, reconnect, or know
//! what a message says. Pings are answered and close frames returned here; the engine sees messages
//! and the end.
//!
//! The road in: socket → `TlsSession` (ciphertext, decrypted where it lies) → [`Reader`] (the one copy) →
//! message, in place. Without TLS the socket is read into the reader.
//! [`Link::poll`] yields one thing at a time, so that the loop handles each message, and sends what
//! it caused, before the next is even decrypted.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use super::tls::{Progress, TlsFault, TlsSession};
use crate::engine::Stopwatch;
use crate::event::{LinkDown, LinkId, Payload};
use crate::limits::{MESSAGE_BYTES_MAX, REFILLS_PER_POLL_MAX, SEND_BUFFER_BYTES_MAX};
use crate::units::Nanos;
use crate::wire::websocket::{CloseCode, Frame, FrameError, FrameKind, Reader, Writer};

/// What [`Link::poll`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// One whole message; see [`Link::payload`].
    Message(Frame),
    /// Work was done and nothing came of it for the engine (a ping, a part of a message): poll again.
    Busy,
    /// Everything received is dealt with and the socket has nothing more: the next readiness counts.
    Dry,
    /// The connection is over.
    Down(LinkDown),
}

/// A ready connection.
pub struct Link {
    id: LinkId,
    socket: TcpStream,
    tls: Option<Box<TlsSession>>,
    reader: Reader,
    writer: Writer,
    received_at: Nanos,
    bytes_received: u64,
    bytes_sent: u64,
}

/// What came of trying to get more bytes.
enum Refill {
    Bytes,
    Dry,
    Down(LinkDown),
}

impl Link {
    /// A link over a connection whose handshakes are done. `leftover` is what came after the 101:
    /// bytes of the first frames, parsed before the socket is read.
    pub(super) fn new(
        id: LinkId,
        socket: TcpStream,
        tls: Option<Box<TlsSession>>,
        leftover: &[u8],
        mask_seed: u64,
        now: Nanos,
    ) -> Self {
        let mut reader = Reader::new(MESSAGE_BYTES_MAX);
        let kept = reader.push(leftover);
        assert_eq!(kept, leftover.len(), "the upgrade reads less than the room");
        Self {
            id,
            socket,
            tls,
            reader,
            writer: Writer::new(SEND_BUFFER_BYTES_MAX, mask_seed),
            received_at: now,
            bytes_received: leftover.len() as u64,
            bytes_sent: 0,
        }
    }

    /// The wish that this link fulfils.
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// The socket, for the poll to register.
    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// When bytes last reached user space, or the link was made.
    #[inline]
    pub fn received_at(&self) -> Nanos {
        self.received_at
    }

    /// Whether nothing arrived for longer than `silence_max`. A venue that pings keeps a quiet link
    /// from being silent.
    pub fn is_silent(&self, now: Nanos, silence_max: Nanos) -> bool {
        now.since(self.received_at) > silence_max
    }

    /// Bytes of frames received, after TLS, and of messages given out for sending, before TLS, since
    /// the last call.
    pub fn take_bytes(&mut self) -> (u64, u64) {
        (
            std::mem::take(&mut self.bytes_received),
            std::mem::take(&mut self.bytes_sent),
        )
    }

    /// The next message, or why there is none. `watch` stamps the moment bytes reached user space.
    #[inline]
    pub fn poll(&mut self, watch: &impl Stopwatch) -> Polled {
        let mut refills = 0;
        loop {
            match self.reader.poll() {
                Ok(Some(frame)) => match frame.kind {
                    FrameKind::Text | FrameKind::Binary => return Polled::Message(frame),
                    FrameKind::Ping | FrameKind::Pong | FrameKind::Close(_) => {
                        return self.control(frame);
                    }
                },
                Ok(None) if refills == REFILLS_PER_POLL_MAX => return Polled::Busy,
                Ok(None) => match self.refill(watch) {
                    Refill::Bytes => refills += 1,
                    Refill::Dry => return Polled::Dry,
                    Refill::Down(cause) => return Polled::Down(cause),
                },
                Err(error) => return self.broken(error),
            }
        }
    }

    /// A message of the last poll, where it lies.
    #[inline]
    pub fn payload(&self, frame: Frame) -> Payload<'_> {
        self.reader.payload(frame)
    }

    /// Sends one text message, as far as the kernel takes it now.
    ///
    /// # Errors
    /// [`LinkDown::SendBufferFull`] when the peer stopped reading, [`LinkDown::Closed`] or
    /// [`LinkDown::Tls`] when the connection is over. The link is of no use after any of them.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), LinkDown> {
        self.writer
            .text(message)
            .map_err(|_| LinkDown::SendBufferFull)?;
        self.bytes_sent += message.len() as u64;
        self.flush()
    }

    /// Whether bytes wait that the kernel did not take.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        !self.writer.pending().is_empty()
            || self
                .tls
                .as_ref()
                .is_some_and(|tls| !tls.outgoing().is_empty())
    }

    /// Hands waiting bytes to the kernel until it takes no more.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub fn flush(&mut self) -> Result<(), LinkDown> {
        loop {
            let sent = if let Some(tls) = &mut self.tls {
                while !self.writer.pending().is_empty() {
                    match tls
                        .encrypt(self.writer.pending())
                        .map_err(|fault| cause_of(&fault))?
                    {
                        0 => break,
                        len => self.writer.consumed(len),
                    }
                }
                if tls.outgoing().is_empty() {
                    return Ok(());
                }
                self.socket.write(tls.outgoing())
            } else {
                if self.writer.pending().is_empty() {
                    return Ok(());
                }
                self.socket.write(self.writer.pending())
            };
            match sent {
                Ok(len) => match &mut self.tls {
                    Some(tls) => tls.sent(len),
                    None => self.writer.consumed(len),
                },
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(LinkDown::Closed),
                },
            }
        }
    }

    /// Says goodbye as far as the kernel takes it at once. The socket closes when the link is dropped.
    pub fn close(&mut self, code: CloseCode) {
        self.say_close(Some(code));
    }

    /// Answers what is no message.
    #[cold]
    fn control(&mut self, frame: Frame) -> Polled {
        match frame.kind {
            FrameKind::Ping => {
                if self.writer.pong(self.reader.bytes(frame)).is_err() {
                    return Polled::Down(LinkDown::SendBufferFull);
                }
                match self.flush() {
                    Ok(()) => Polled::Busy,
                    Err(cause) => Polled::Down(cause),
                }
            }
            FrameKind::Close(reason) => {
                self.say_close(reason);
                Polled::Down(LinkDown::CloseFrame)
            }
            FrameKind::Pong | FrameKind::Text | FrameKind::Binary => Polled::Busy,
        }
    }

    #[cold]
    fn broken(&mut self, error: FrameError) -> Polled {
        self.say_close(Some(error.close_code()));
        Polled::Down(match error {
            FrameError::TooBig => LinkDown::TooBig,
            _ => LinkDown::Protocol,
        })
    }

    /// A close frame and TLS' own goodbye; the link ends either way, so what cannot go is let go.
    fn say_close(&mut self, reason: Option<CloseCode>) {
        if self.writer.close(reason).is_ok() && self.flush().is_ok() {
            if let Some(tls) = &mut self.tls {
                tls.close();
            }
            let _ = self.flush();
        }
    }

    /// More bytes for the reader: decrypted ones first, then one receive.
    #[inline]
    fn refill(&mut self, watch: &impl Stopwatch) -> Refill {
        let Some(tls) = &mut self.tls else {
            return match receive(&mut self.socket, self.reader.space()) {
                Ok(0) => Refill::Dry,
                Ok(len) => {
                    self.reader.filled(len);
                    self.bytes_received += len as u64;
                    self.received_at = watch.stamp();
                    Refill::Bytes
                }
                Err(cause) => Refill::Down(cause),
            };
        };

        let reader = &mut self.reader;
        let bytes_received = &mut self.bytes_received;
        let progress = tls.advance(|plaintext| {
            let kept = reader.push(plaintext);
            assert_eq!(kept, plaintext.len(), "the room holds a record");
            *bytes_received += plaintext.len() as u64;
        });
        match progress {
            Ok(Progress::Plaintext) => Refill::Bytes,
            Ok(Progress::NeedsBytes) => {
                // Answers of the protocol itself, such as a key update.
                if !tls.outgoing().is_empty()
                    && let Err(cause) = self.flush()
                {
                    return Refill::Down(cause);
                }
                let Some(tls) = &mut self.tls else {
                    unreachable!("it was there above");
                };
                match receive(&mut self.socket, tls.space()) {
                    Ok(0) => Refill::Dry,
                    Ok(len) => {
                        tls.filled(len);
                        self.received_at = watch.stamp();
                        Refill::Bytes
                    }
                    Err(cause) => Refill::Down(cause),
                }
            }
            Ok(Progress::PeerClosed) => {
                // RFC 8446 section 6.1: our goodbye before our side closes, if the kernel takes it.
                tls.close();
                let _ = self.socket.write(tls.outgoing());
                Refill::Down(LinkDown::Closed)
            }
            Err(fault) => {
                // The alert that says why, if the kernel takes it.
                let _ = self.socket.write(tls.outgoing());
                Refill::Down(cause_of(&fault))
            }
        }
    }
}

/// The event for a TLS fault.
pub(super) fn cause_of(fault: &TlsFault) -> LinkDown {
    match fault {
        TlsFault::Certificate(_) => LinkDown::Certificate,
        TlsFault::OutgoingFull => LinkDown::SendBufferFull,
        TlsFault::Protocol(_) | TlsFault::Record(_) | TlsFault::State => LinkDown::Tls,
    }
}

/// How many bytes came, zero when none are there now.
#[inline]
fn receive(socket: &mut TcpStream, space: &mut [u8]) -> Result<usize, LinkDown> {
    loop {
        return match socket.read(space) {
            Ok(0) => Err(LinkDown::Closed),
            Ok(len) => Ok(len),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(0),
                io::ErrorKind::Interrupted => continue,
                _ => Err(LinkDown::Closed),
            },
        };
    }
}
