//! Events as bytes, back to back in one block.
//!
//! Owns: [`EventBlock`] (encode) and [`decode`]. An event is a tag, its time, and its fields; a tag of
//! its own marks events that a recorder lost. Invariant: `decode` of what [`EventBlock::push`] wrote
//! gives the same event; nothing that `decode` is given makes it panic or read past its input.

mod command;

use super::BLOCK_BYTES_TARGET;
use veloz_core::event::{Event, LinkDown, LinkId, LinkRole, Payload};
use veloz_core::limits::{MESSAGE_BYTES_MAX, PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use veloz_core::units::Nanos;

/// Bytes of the largest event beside its message. A command that changes limits is the longest: tag, time,
/// kind, token, scope, and nine limits of nine bytes.
pub const EVENT_HEAD_BYTES_MAX: usize = 1 + 8 + 1 + 8 + 1 + 9 * 9;

const LINK_UP: u8 = 0;
const LINK_DOWN: u8 = 1;
const MESSAGE: u8 = 2;
const COMMAND: u8 = 3;
const TICK: u8 = 4;
const BACKLOG: u8 = 5;
const WALL_CLOCK: u8 = 6;
const LINK_BLOCKED: u8 = 7;
const LINK_REFUSED: u8 = 8;
const LOST: u8 = 255;

/// What a block holds.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// The engine handled this.
    Event {
        /// When.
        now: Nanos,
        /// What.
        event: Event<'a>,
    },
    /// Events that the recorder could not keep up with are missing here.
    Lost {
        /// When the first of them was handled.
        since: Nanos,
        /// How many.
        count: u64,
    },
}

/// Events back to back, not yet compressed. All its memory is reserved when it is made.
#[derive(Debug)]
pub struct EventBlock {
    raw: Vec<u8>,
    events: u32,
    lost: u64,
    opened: Nanos,
}

impl Default for EventBlock {
    fn default() -> Self {
        Self {
            raw: Vec::with_capacity(super::BLOCK_BYTES_MAX),
            events: 0,
            lost: 0,
            opened: Nanos::ZERO,
        }
    }
}

impl EventBlock {
    /// Appends an event.
    ///
    /// # Panics
    /// When the block [is full](Self::is_full), or a message is larger than `MESSAGE_BYTES_MAX`,
    /// which no edge hands to an engine.
    pub fn push(&mut self, now: Nanos, event: &Event<'_>) {
        assert!(!self.is_full(), "a full block takes no more events");
        match *event {
            Event::LinkUp { link } => {
                self.start(LINK_UP, now);
                self.link(link);
            }
            Event::LinkDown { link, cause } => {
                self.start(LINK_DOWN, now);
                self.link(link);
                self.raw.push(cause as u8);
            }
            Event::LinkRefused {
                link,
                status,
                pause,
            } => {
                self.start(LINK_REFUSED, now);
                self.link(link);
                self.raw.extend(status.to_le_bytes());
                self.raw.push(u8::from(pause.is_some()));
                self.raw.extend(pause.unwrap_or_default().0.to_le_bytes());
            }
            Event::Message { link, payload } => {
                let bytes = payload.bytes();
                assert!(bytes.len() <= MESSAGE_BYTES_MAX, "no edge delivers this");
                self.start(MESSAGE, now);
                self.link(link);
                self.raw.extend((bytes.len() as u32).to_le_bytes());
                self.raw.extend_from_slice(bytes);
            }
            Event::LinkBlocked { link, blocked } => {
                self.start(LINK_BLOCKED, now);
                self.link(link);
                self.raw.push(u8::from(blocked));
            }
            Event::Command(command) => {
                self.start(COMMAND, now);
                command::write(&mut self.raw, &command);
            }
            Event::Tick => self.start(TICK, now),
            Event::Backlog(on) => {
                self.start(BACKLOG, now);
                self.raw.push(u8::from(on));
            }
            Event::WallClock { unix_ns_at_zero } => {
                self.start(WALL_CLOCK, now);
                self.raw.extend(unix_ns_at_zero.to_le_bytes());
            }
        }
        self.events += 1;
    }

    /// Notes that `count` events from `since` on are missing here.
    pub fn push_lost(&mut self, since: Nanos, count: u64) {
        assert!(!self.is_full(), "a full block takes no more events");
        self.start(LOST, since);
        self.raw.extend(count.to_le_bytes());
        self.lost += count;
    }

    /// Whether the block should be closed.
    pub fn is_full(&self) -> bool {
        self.raw.len() >= BLOCK_BYTES_TARGET
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Time of the first entry; zero while the block is empty.
    pub fn opened(&self) -> Nanos {
        self.opened
    }

    /// Events in the block.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// Lost events that the block notes.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The bytes so far.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Forgets everything; the memory stays.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.events = 0;
        self.lost = 0;
        self.opened = Nanos::ZERO;
    }

    fn start(&mut self, tag: u8, now: Nanos) {
        if self.raw.is_empty() {
            self.opened = now;
        }
        self.raw.push(tag);
        self.raw.extend(now.0.to_le_bytes());
    }

    fn link(&mut self, link: LinkId) {
        self.raw.push(link.role as u8);
        self.raw.extend(link.generation.to_le_bytes());
    }
}

/// Decodes the entry at `at` in `buffer[..end]` and returns it with the position after it.
///
/// The buffer has [`PAYLOAD_SLACK_BEFORE`] bytes before its first entry and
/// [`PAYLOAD_SLACK_AFTER`] after `end`, so that messages are read in place.
///
/// # Errors
/// What is wrong with the entry.
pub fn decode(buffer: &[u8], at: usize, end: usize) -> Result<(Entry<'_>, usize), &'static str> {
    assert!(at >= PAYLOAD_SLACK_BEFORE, "no slack before the entries");
    assert!(
        end + PAYLOAD_SLACK_AFTER <= buffer.len(),
        "no slack after the entries"
    );
    let mut cursor = Cursor { buffer, at, end };
    let tag = cursor.u8()?;
    let now = Nanos(cursor.u64()?);
    let event = match tag {
        LINK_UP => Event::LinkUp {
            link: cursor.link()?,
        },
        LINK_DOWN => Event::LinkDown {
            link: cursor.link()?,
            cause: LinkDown::ALL
                .get(usize::from(cursor.u8()?))
                .copied()
                .ok_or("unknown cause of a lost link")?,
        },
        LINK_REFUSED => Event::LinkRefused {
            link: cursor.link()?,
            status: u16::from_le_bytes(cursor.take()?),
            pause: {
                let is_named = cursor.u8()?;
                let pause = Nanos(cursor.u64()?);
                match is_named {
                    0 if pause == Nanos::ZERO => None,
                    1 => Some(pause),
                    _ => return Err("a pause that is neither named nor not"),
                }
            },
        },
        MESSAGE => {
            let link = cursor.link()?;
            let len = cursor.u32()? as usize;
            if len > MESSAGE_BYTES_MAX {
                return Err("a message larger than any edge delivers");
            }
            let start = cursor.at;
            cursor.skip(len)?;
            Event::Message {
                link,
                payload: Payload::new(buffer, start, cursor.at),
            }
        }
        LINK_BLOCKED => Event::LinkBlocked {
            link: cursor.link()?,
            blocked: match cursor.u8()? {
                0 => false,
                1 => true,
                _ => return Err("a link that is neither blocked nor free"),
            },
        },
        COMMAND => Event::Command(command::read(&mut cursor)?),
        TICK => Event::Tick,
        BACKLOG => match cursor.u8()? {
            0 => Event::Backlog(false),
            1 => Event::Backlog(true),
            _ => return Err("a backlog that is neither on nor off"),
        },
        WALL_CLOCK => Event::WallClock {
            unix_ns_at_zero: cursor.u64()? as i64,
        },
        LOST => {
            let count = cursor.u64()?;
            return Ok((Entry::Lost { since: now, count }, cursor.at));
        }
        _ => return Err("unknown tag"),
    };
    Ok((Entry::Event { now, event }, cursor.at))
}

struct Cursor<'a> {
    buffer: &'a [u8],
    at: usize,
    end: usize,
}

impl Cursor<'_> {
    fn skip(&mut self, len: usize) -> Result<(), &'static str> {
        if self.end - self.at < len {
            return Err("it ends too early");
        }
        self.at += len;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let start = self.at;
        self.skip(N)?;
        Ok(self.buffer[start..start + N]
            .try_into()
            .expect("a slice of N bytes"))
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        Ok(self.take::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.take().map(u64::from_le_bytes)
    }

    fn link(&mut self) -> Result<LinkId, &'static str> {
        Ok(LinkId {
            role: LinkRole::ALL
                .get(usize::from(self.u8()?))
                .copied()
                .ok_or("unknown role of a link")?,
            generation: self.u32()?,
        })
    }
}
