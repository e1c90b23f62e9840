//! What the engine wants done: a fixed-capacity list of actions that the edge performs in order.
//!
//! Owns: [`Outbox`], [`Action`]. Does not: perform anything. When it is full the caller gets
//! [`Full`] and keeps its state; nothing is dropped silently.

use crate::event::{LinkDown, LinkId};
use crate::limits::{ACTIONS_PER_EVENT_MAX, OUTBOX_BYTES_MAX};
use crate::units::Nanos;

/// One thing for the edge to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Make a connection; answered by `LinkUp` or `LinkDown` with the same id.
    Connect {
        /// The id that the new connection gets.
        link: LinkId,
    },
    /// Send one text message.
    Send {
        /// Where to.
        link: LinkId,
        /// The message, unframed.
        message: &'a [u8],
    },
    /// Close a connection and forget it; no `LinkDown` follows.
    Close {
        /// Which one.
        link: LinkId,
        /// Why, for records.
        cause: LinkDown,
    },
}

/// The outbox has no room for this action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox is full")]
pub struct Full;

#[derive(Clone, Copy)]
enum Entry {
    Connect {
        link: LinkId,
    },
    Send {
        link: LinkId,
        start: usize,
        end: usize,
    },
    Close {
        link: LinkId,
        cause: LinkDown,
    },
}

/// Actions of one event, in order.
pub struct Outbox {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// When the last new order among the messages was encoded.
    order_encoded: Option<Nanos>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An empty outbox with all its memory reserved.
    pub fn new() -> Self {
        Self {
            entries: Vec::with_capacity(ACTIONS_PER_EVENT_MAX),
            bytes: Vec::with_capacity(OUTBOX_BYTES_MAX),
            order_encoded: None,
        }
    }

    /// Asks for a connection.
    ///
    /// # Errors
    /// [`Full`] when [`ACTIONS_PER_EVENT_MAX`] actions wait.
    pub fn connect(&mut self, link: LinkId) -> Result<(), Full> {
        self.push(Entry::Connect { link })
    }

    /// Asks to close a connection.
    ///
    /// # Errors
    /// [`Full`] when [`ACTIONS_PER_EVENT_MAX`] actions wait.
    pub fn close(&mut self, link: LinkId, cause: LinkDown) -> Result<(), Full> {
        self.push(Entry::Close { link, cause })
    }

    /// Sends the concatenation of `parts` as one text message.
    ///
    /// # Errors
    /// [`Full`] when [`ACTIONS_PER_EVENT_MAX`] actions wait or [`OUTBOX_BYTES_MAX`] would be passed.
    pub fn send(&mut self, link: LinkId, parts: &[&[u8]]) -> Result<(), Full> {
        let start = self.bytes.len();
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if start + len > OUTBOX_BYTES_MAX || self.entries.len() == ACTIONS_PER_EVENT_MAX {
            return Err(Full);
        }
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.push(Entry::Send {
            link,
            start,
            end: start + len,
        })
    }

    /// Notes that a new order is among the messages, encoded at `stamp` of the engine's stopwatch; the edge
    /// measures from there to the kernel.
    #[inline]
    pub fn note_order(&mut self, stamp: Nanos) {
        self.order_encoded = Some(stamp);
    }

    /// When the last new order among the messages was encoded, if there is one.
    #[inline]
    pub fn order_encoded(&self) -> Option<Nanos> {
        self.order_encoded
    }

    /// The actions, in the order they were asked for.
    pub fn actions(&self) -> impl Iterator<Item = Action<'_>> {
        self.entries.iter().map(|entry| match *entry {
            Entry::Connect { link } => Action::Connect { link },
            Entry::Send { link, start, end } => Action::Send {
                link,
                message: &self.bytes[start..end],
            },
            Entry::Close { link, cause } => Action::Close { link, cause },
        })
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all actions; the memory stays.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.order_encoded = None;
    }

    fn push(&mut self, entry: Entry) -> Result<(), Full> {
        if self.entries.len() == ACTIONS_PER_EVENT_MAX {
            return Err(Full);
        }
        self.entries.push(entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LinkRole;

    #[test]
    fn actions_come_out_in_order_and_the_bounds_hold() {
        let link = LinkId {
            role: LinkRole::Market,
            generation: 1,
        };
        let mut out = Outbox::new();
        out.connect(link).expect("room");
        out.send(link, &[b"{\"id\":", b"1}"]).expect("room");
        let actions: Vec<_> = out.actions().collect();
        assert_eq!(
            actions,
            [
                Action::Connect { link },
                Action::Send {
                    link,
                    message: b"{\"id\":1}"
                }
            ]
        );

        assert_eq!(out.send(link, &[&vec![b' '; OUTBOX_BYTES_MAX]]), Err(Full));
        while out.connect(link).is_ok() {}
        assert_eq!(out.actions().count(), ACTIONS_PER_EVENT_MAX);
        assert_eq!(out.close(link, LinkDown::Requested), Err(Full));

        out.clear();
        assert!(out.is_empty());
    }
}
