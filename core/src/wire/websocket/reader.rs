//! Server frames, read where they were received.
//!
//! One buffer: `[slack][assembled message .. gap .. unread bytes .. room][slack]`. An unfragmented
//! message is handed out where it lies. The pieces of a fragmented one are moved together as they
//! become complete, each byte at most once for that and once for making room, so a peer cannot make
//! the reader quadratic. Control frames between fragments lie in the gap and cost nothing.
//!
//! The caller polls until `None`, then offers more bytes: `space` + `filled`, or `push`. After an
//! error every poll repeats it; after a close frame every poll returns `None`.

use super::{
    CONTROL_BYTES_MAX, CloseCode, FIN, FrameError, HEADER_BYTES_MAX, LENGTH_16, LENGTH_64, MASKED,
    opcode,
};
use crate::event::Payload;
use crate::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};

/// What a [`Frame`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A whole text message.
    Text,
    /// A whole binary message.
    Binary,
    /// A ping; its bytes must go back in a pong.
    Ping,
    /// A pong.
    Pong,
    /// The peer closes, for this reason if it gave one. Nothing is read after it.
    Close(Option<CloseCode>),
}

/// A whole message or control frame in the reader's buffer. Its range is good until the reader is
/// next polled or offered bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    start: usize,
    end: usize,
}

impl Frame {
    /// Bytes of payload.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// A fragmented message that still lacks its end.
#[derive(Clone, Copy)]
struct Assembly {
    kind: FrameKind,
    start: usize,
    end: usize,
}

/// One frame's header, checked.
#[derive(Clone, Copy)]
struct Header {
    first: u8,
    bytes: usize,
    payload: usize,
}

/// Reads a server's frames out of one fixed buffer.
pub struct Reader {
    buffer: Box<[u8]>,
    /// First unread byte.
    head: usize,
    /// End of the received bytes.
    tail: usize,
    message_bytes_max: usize,
    assembly: Option<Assembly>,
    closed: bool,
}

impl Reader {
    /// Free bytes that [`Reader::space`] offers at least, once [`Reader::poll`] returned `None`: a
    /// whole TLS record (16 KiB) and more fits without asking.
    pub const ROOM_BYTES_MIN: usize = 32 << 10;

    /// A reader of messages up to `message_bytes_max` bytes; reserves its buffer, and touches it so
    /// that no page fault waits on the hot path.
    pub fn new(message_bytes_max: usize) -> Self {
        let capacity = PAYLOAD_SLACK_BEFORE
            + message_bytes_max
            + HEADER_BYTES_MAX
            + CONTROL_BYTES_MAX
            + Self::ROOM_BYTES_MIN
            + PAYLOAD_SLACK_AFTER;
        let mut buffer = vec![0; capacity].into_boxed_slice();
        // A fresh zeroed allocation is one shared page until it is written.
        buffer.fill(b' ');
        Self {
            buffer,
            head: PAYLOAD_SLACK_BEFORE,
            tail: PAYLOAD_SLACK_BEFORE,
            message_bytes_max,
            assembly: None,
            closed: false,
        }
    }

    /// The next whole message or control frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the bytes received so far break the protocol or the bound.
    #[inline]
    pub fn poll(&mut self) -> Result<Option<Frame>, FrameError> {
        // The live tick: one unfragmented text message of 126 to 65,535 bytes, whole.
        let unread = self.tail - self.head;
        let fixed: [u8; 4] = self.peek();
        if unread >= 4
            && fixed[0] == FIN | opcode::TEXT
            && fixed[1] == LENGTH_16
            && self.assembly.is_none()
        {
            let len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
            let end = 4 + len;
            if len >= 126 && len <= self.message_bytes_max && end <= unread {
                let start = self.head + 4;
                self.head += end;
                return Ok(Some(Frame {
                    kind: FrameKind::Text,
                    start,
                    end: self.head,
                }));
            }
        }
        self.poll_any()
    }

    /// The bytes of a frame.
    ///
    /// # Panics
    /// May panic, or show other bytes, for a frame of an earlier poll.
    #[inline]
    pub fn bytes(&self, frame: Frame) -> &[u8] {
        &self.buffer[frame.start..frame.end]
    }

    /// A message as an event carries it.
    ///
    /// # Panics
    /// As [`Reader::bytes`].
    #[inline]
    pub fn payload(&self, frame: Frame) -> Payload<'_> {
        Payload::new(&self.buffer, frame.start, frame.end)
    }

    /// Where to receive bytes into; say how many came with [`Reader::filled`]. At least
    /// [`Reader::ROOM_BYTES_MIN`] long after a poll that returned `None`.
    pub fn space(&mut self) -> &mut [u8] {
        self.make_room();
        let end = self.space_end();
        &mut self.buffer[self.tail..end]
    }

    /// `len` bytes were received into [`Reader::space`]. Bytes behind a close frame are ignored.
    ///
    /// # Panics
    /// When that is more than there was space.
    pub fn filled(&mut self, len: usize) {
        assert!(len <= self.space_end() - self.tail, "more than the space");
        if !self.closed {
            self.tail += len;
        }
    }

    /// Appends received bytes; returns how many fitted.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let len = bytes.len().min(space.len());
        space[..len].copy_from_slice(&bytes[..len]);
        self.filled(len);
        len
    }

    /// Bytes received and not yet part of anything handed out.
    pub fn unread(&self) -> usize {
        self.tail - self.head
    }

    fn space_end(&self) -> usize {
        self.buffer.len() - PAYLOAD_SLACK_AFTER
    }

    /// The next `N` bytes, whether received or not: the slack makes the read safe.
    #[inline]
    fn peek<const N: usize>(&self) -> [u8; N] {
        const { assert!(N <= PAYLOAD_SLACK_AFTER) };
        *self.buffer[self.head..]
            .first_chunk()
            .expect("slack follows the received bytes")
    }

    fn poll_any(&mut self) -> Result<Option<Frame>, FrameError> {
        while let Some(header) = self.header()? {
            if self.tail - self.head < header.bytes + header.payload {
                break;
            }
            if let Some(frame) = self.take(header)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Reads and checks the header at `head`; everything that can be refused is refused before the
    /// payload is waited for.
    fn header(&self) -> Result<Option<Header>, FrameError> {
        let unread = self.tail - self.head;
        if unread < 2 {
            return Ok(None);
        }
        let fixed: [u8; 10] = self.peek();
        let (first, second) = (fixed[0], fixed[1]);
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBits);
        }
        if second & MASKED != 0 {
            return Err(FrameError::Masked);
        }
        let code = first & 0x0f;
        match code {
            opcode::TEXT | opcode::BINARY if self.assembly.is_some() => {
                return Err(FrameError::MessageInsideMessage);
            }
            opcode::CONTINUATION if self.assembly.is_none() => {
                return Err(FrameError::NothingToContinue);
            }
            opcode::CONTINUATION | opcode::TEXT | opcode::BINARY => {}
            opcode::CLOSE | opcode::PING | opcode::PONG => {
                if first & FIN == 0 {
                    return Err(FrameError::ControlFragmented);
                }
                if usize::from(second) > CONTROL_BYTES_MAX {
                    return Err(FrameError::ControlTooLong);
                }
            }
            reserved => return Err(FrameError::Opcode(reserved)),
        }

        let (bytes, length, length_min) = match second {
            LENGTH_16 if unread < 4 => return Ok(None),
            LENGTH_16 => {
                let length = u16::from_be_bytes([fixed[2], fixed[3]]);
                (4, u64::from(length), 126)
            }
            LENGTH_64 if unread < 10 => return Ok(None),
            LENGTH_64 => {
                let [_, _, length @ ..] = fixed;
                (10, u64::from_be_bytes(length), 0x1_0000)
            }
            short => (2, u64::from(short), 0),
        };
        if length < length_min || length >> 63 != 0 {
            return Err(FrameError::LengthForm);
        }
        let assembled = self.assembly.map_or(0, |part| part.end - part.start);
        let budget = if code >= opcode::CLOSE {
            CONTROL_BYTES_MAX
        } else {
            self.message_bytes_max - assembled
        };
        if length > budget as u64 {
            return Err(FrameError::TooBig);
        }
        Ok(Some(Header {
            first,
            bytes,
            payload: length as usize,
        }))
    }

    /// Takes a frame that is whole; `None` when it was a fragment before the last.
    fn take(&mut self, header: Header) -> Result<Option<Frame>, FrameError> {
        let start = self.head + header.bytes;
        let end = start + header.payload;
        let fin = header.first & FIN != 0;
        let code = header.first & 0x0f;
        let whole = |kind| Ok(Some(Frame { kind, start, end }));
        match code {
            opcode::PING => {
                self.head = end;
                whole(FrameKind::Ping)
            }
            opcode::PONG => {
                self.head = end;
                whole(FrameKind::Pong)
            }
            opcode::CLOSE => {
                let reason = match self.buffer[start..end] {
                    [] => None,
                    [high, low, ..] => Some(
                        CloseCode::new(u16::from_be_bytes([high, low]))
                            .ok_or(FrameError::BadClose)?,
                    ),
                    [_] => return Err(FrameError::BadClose),
                };
                self.closed = true;
                self.head = self.tail;
                whole(FrameKind::Close(reason))
            }
            opcode::CONTINUATION => {
                let assembly = self.assembly.as_mut().expect("the header was checked");
                self.buffer.copy_within(start..end, assembly.end);
                assembly.end += header.payload;
                self.head = end;
                if !fin {
                    return Ok(None);
                }
                let done = *assembly;
                self.assembly = None;
                Ok(Some(Frame {
                    kind: done.kind,
                    start: done.start,
                    end: done.end,
                }))
            }
            data => {
                let kind = if data == opcode::TEXT {
                    FrameKind::Text
                } else {
                    FrameKind::Binary
                };
                self.head = end;
                if fin {
                    return whole(kind);
                }
                self.assembly = Some(Assembly { kind, start, end });
                Ok(None)
            }
        }
    }

    /// Moves what is still needed to the front when the room behind it runs low.
    fn make_room(&mut self) {
        let base = PAYLOAD_SLACK_BEFORE;
        if self.head == self.tail && self.assembly.is_none() {
            self.head = base;
            self.tail = base;
            return;
        }
        if self.space_end() - self.tail >= Self::ROOM_BYTES_MIN {
            return;
        }
        let mut front = base;
        if let Some(assembly) = &mut self.assembly {
            let len = assembly.end - assembly.start;
            self.buffer.copy_within(assembly.start..assembly.end, front);
            assembly.start = front;
            assembly.end = front + len;
            front += len;
        }
        self.buffer.copy_within(self.head..self.tail, front);
        self.tail = front + (self.tail - self.head);
        self.head = front;
    }
}
