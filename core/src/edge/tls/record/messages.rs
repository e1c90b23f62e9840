//! Handshake messages that come after the handshake, cut out of the records that carry them.
//!
//! Owns: [`Messages`], which joins what is split over records. Does not: decide what a message means.
//! Invariant: what waits is less than one message and never more than [`TLS_MESSAGE_BYTES_MAX`].

use super::RecordFault;
use crate::limits::TLS_MESSAGE_BYTES_MAX;

/// Bytes before a message's body: its type, and its length in three.
const HEADER_BYTES: usize = 4;

/// A message that waits for the rest of it.
pub(super) struct Messages {
    waiting: Box<[u8]>,
    len: usize,
}

impl Messages {
    pub(super) fn new() -> Self {
        Self {
            waiting: vec![0; TLS_MESSAGE_BYTES_MAX].into_boxed_slice(),
            len: 0,
        }
    }

    /// Whether only a part of a message came so far.
    #[inline]
    pub(super) fn is_within_one(&self) -> bool {
        self.len > 0
    }

    /// Hands out every message that `content` completes: its type, its body, and whether the content ends
    /// with it. The rest waits.
    ///
    /// # Errors
    /// [`RecordFault::MessageTooBig`], and what `take` returns.
    pub(super) fn push(
        &mut self,
        mut content: &[u8],
        mut take: impl FnMut(u8, &[u8], bool) -> Result<(), RecordFault>,
    ) -> Result<(), RecordFault> {
        while self.len > 0 && !content.is_empty() {
            // What waits is short of a header, or of the body that its header tells.
            let bytes = match message_bytes(&self.waiting[..self.len])? {
                None => HEADER_BYTES,
                Some(bytes) => bytes,
            };
            let (next, rest) = content.split_at(content.len().min(bytes - self.len));
            self.waiting[self.len..self.len + next.len()].copy_from_slice(next);
            self.len += next.len();
            content = rest;
            let waiting = &self.waiting[..self.len];
            if message_bytes(waiting)? == Some(self.len) {
                self.len = 0;
                take(waiting[0], &waiting[HEADER_BYTES..], content.is_empty())?;
            }
        }
        while let Some(bytes) = message_bytes(content)?
            && bytes <= content.len()
        {
            let (message, rest) = content.split_at(bytes);
            take(message[0], &message[HEADER_BYTES..], rest.is_empty())?;
            content = rest;
        }
        if !content.is_empty() {
            self.waiting[..content.len()].copy_from_slice(content);
            self.len = content.len();
        }
        Ok(())
    }
}

/// Bytes of the message that `begun` begins with, header included; `None` while its length is not there.
fn message_bytes(begun: &[u8]) -> Result<Option<usize>, RecordFault> {
    let [_, high, middle, low, ..] = begun else {
        return Ok(None);
    };
    let bytes = HEADER_BYTES + u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    if bytes > TLS_MESSAGE_BYTES_MAX {
        return Err(RecordFault::MessageTooBig);
    }
    Ok(Some(bytes))
}
