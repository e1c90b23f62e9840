//! A websocket for threads that may wait: texts out, texts in, each wait with its end.
//!
//! Owns: [`Conversation`], which answers pings by itself. Does not: reconnect, or know what is said. For the
//! start and for the sidecar, never for the core thread; it allocates freely.

use std::io::{self, Read, Write};

use super::endpoint::Endpoint;
use super::entropy;
use super::request::RequestError;
use super::upgrade::{BlockingStream, connect_and_upgrade};
use crate::edge::clock::Clock;
use crate::limits::OUTBOX_BYTES_MAX;
use crate::units::Nanos;
use crate::wire::websocket::{CloseCode, FrameKind, Reader, Writer};

/// One open websocket.
pub struct Conversation {
    url: String,
    stream: BlockingStream,
    reader: Reader,
    writer: Writer,
}

impl Conversation {
    /// Connects to `endpoint`, with both handshakes done before `until` on `clock`, resolving aside. Messages longer
    /// than `message_bytes_max` end it. Counts as one connection attempt at the venue.
    ///
    /// # Errors
    /// [`RequestError::Connect`] with the step that failed.
    pub fn open(
        endpoint: &Endpoint,
        message_bytes_max: usize,
        clock: Clock,
        until: Nanos,
    ) -> Result<Self, RequestError> {
        let upgraded =
            connect_and_upgrade(endpoint, clock, until).map_err(|fault| RequestError::Connect {
                url: endpoint.url().to_owned(),
                fault,
            })?;
        let mut reader = Reader::new(message_bytes_max);
        let kept = reader.push(&upgraded.tail);
        assert_eq!(
            kept,
            upgraded.tail.len(),
            "the upgrade reads less than the room"
        );
        Ok(Self {
            url: endpoint.url().to_owned(),
            stream: upgraded.stream,
            reader,
            writer: Writer::new(OUTBOX_BYTES_MAX, entropy()),
        })
    }

    /// Sends one text; waits no longer than `until` for the kernel to take it. After an error the conversation is
    /// over.
    ///
    /// # Errors
    /// [`RequestError::Io`]; how much of it went out is unknown.
    pub fn send(&mut self, text: &str, until: Nanos) -> Result<(), RequestError> {
        self.stream.set_deadline(until);
        // Pongs that wait make room.
        self.flush()?;
        self.writer
            .text(text.as_bytes())
            .map_err(|full| self.io(io::Error::new(io::ErrorKind::WriteZero, full)))?;
        self.flush()
    }

    /// The next text, or `None` when none came before `until`. Pongs are given to the kernel without waiting, even
    /// when the time is over: one that it does not take waits for the next call. After an error the conversation is
    /// over.
    ///
    /// # Errors
    /// [`RequestError`]: it ended, or what came is no text.
    pub fn receive(&mut self, until: Nanos) -> Result<Option<String>, RequestError> {
        self.stream.set_deadline(until);
        loop {
            while let Some(frame) = self.reader.poll().map_err(|source| RequestError::Frame {
                url: self.url.clone(),
                source,
            })? {
                match frame.kind {
                    FrameKind::Text => {
                        return match std::str::from_utf8(self.reader.bytes(frame)) {
                            Ok(text) => Ok(Some(text.to_owned())),
                            Err(_) => Err(RequestError::NotText {
                                url: self.url.clone(),
                            }),
                        };
                    }
                    FrameKind::Binary => {
                        return Err(RequestError::NotText {
                            url: self.url.clone(),
                        });
                    }
                    FrameKind::Close(_) => {
                        return Err(RequestError::Closed {
                            url: self.url.clone(),
                        });
                    }
                    FrameKind::Pong => {}
                    // A venue that pings and does not read is found out by what it leaves unanswered.
                    FrameKind::Ping => drop(self.writer.pong(self.reader.bytes(frame))),
                }
            }
            if !self.writer.pending().is_empty() {
                let taken = self.stream.offer(self.writer.pending());
                self.writer.consumed(taken.map_err(|error| self.io(error))?);
            }
            match self.stream.read(self.reader.space()) {
                Ok(0) => return Err(self.io(io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => self.reader.filled(len),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
                // The process was stopped and went on, or is looked at.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.io(error)),
            }
        }
    }

    /// Says goodbye, if the peer listens before `until`.
    pub fn close(mut self, until: Nanos) {
        self.stream.set_deadline(until);
        if self.writer.close(Some(CloseCode::NORMAL)).is_ok() {
            // A polite end; it ends whether this arrives or not.
            let _ = self.flush();
        }
    }

    fn flush(&mut self) -> Result<(), RequestError> {
        if self.writer.pending().is_empty() {
            return Ok(());
        }
        if let Err(error) = self.stream.write_all(self.writer.pending()) {
            return Err(self.io(error));
        }
        self.writer.consumed(self.writer.pending().len());
        Ok(())
    }

    fn io(&self, source: io::Error) -> RequestError {
        RequestError::Io {
            url: self.url.clone(),
            source,
        }
    }
}
