//! Reads a capture, event by event, up to its end or to its first damage.
//!
//! Owns: [`CaptureReader`]. Invariants: a block's events come out only when its checksum held; memory
//! is bounded by one block; after an error nothing more is read.

use super::block::{self, Entry};
use super::header::{CaptureHeader, fill};
use super::writer::{KIND_END, KIND_EVENTS};
use super::{
    BLOCK_BYTES_MAX, BLOCK_HEAD_BYTES, BLOCK_MAGIC, BLOCK_STORED_BYTES_MAX, CaptureError, Damage,
};
use std::io::Read;
use veloz_core::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use zstd::bulk::Decompressor;

/// A capture being read.
pub struct CaptureReader<R: Read> {
    input: R,
    header: CaptureHeader,
    decompressor: Decompressor<'static>,
    stored: Vec<u8>,
    /// The open block's entries at `[at, end)`, with slack on both sides.
    raw: Vec<u8>,
    at: usize,
    end: usize,
    /// File offset of the open block's head.
    block_offset: u64,
    /// File offset of what comes next.
    offset: u64,
    events: u64,
    /// Number that the event after the open block has.
    events_in_blocks: u64,
    lost: u64,
    ended: bool,
}

impl<R: Read> CaptureReader<R> {
    /// Reads the file header.
    ///
    /// # Errors
    /// [`CaptureError`] when this is no capture, or its header is damaged.
    pub fn new(mut input: R) -> Result<Self, CaptureError> {
        let (header, offset) = CaptureHeader::read(&mut input)?;
        let decompressor = Decompressor::new().map_err(|error| CaptureError {
            offset,
            cause: error.into(),
        })?;
        Ok(Self {
            input,
            header,
            decompressor,
            stored: Vec::new(),
            raw: Vec::new(),
            at: 0,
            end: 0,
            block_offset: offset,
            offset,
            events: 0,
            events_in_blocks: 0,
            lost: 0,
            ended: false,
        })
    }

    /// What stands before the events.
    pub fn header(&self) -> &CaptureHeader {
        &self.header
    }

    /// Bytes of the file that were read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Events that came out so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Events that the recorder lost, as far as read.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The next entry; `None` after the last.
    ///
    /// # Errors
    /// [`CaptureError`] with the offset of the damaged part; every entry before it came out.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, CaptureError> {
        while self.at == self.end {
            if self.ended || !self.open_block()? {
                return Ok(None);
            }
        }
        match block::decode(&self.raw, self.at, self.end) {
            Ok((entry, next)) => {
                self.at = next;
                match entry {
                    Entry::Event { .. } => self.events += 1,
                    Entry::Lost { count, .. } => self.lost = self.lost.saturating_add(count),
                }
                Ok(Some(entry))
            }
            Err(what) => {
                // Field by field: the entry of the other arm still borrows the block.
                self.ended = true;
                self.at = self.end;
                Err(CaptureError {
                    offset: self.block_offset,
                    cause: Damage::Event {
                        number: self.events,
                        what,
                    },
                })
            }
        }
    }

    /// Reads the next block; `false` after the end block.
    fn open_block(&mut self) -> Result<bool, CaptureError> {
        if self.events != self.events_in_blocks {
            return Err(self.stop(Damage::BlockHead("it counts other events than it holds")));
        }
        self.block_offset = self.offset;
        let mut head = [0; BLOCK_HEAD_BYTES];
        match self.fill_from_input(&mut head)? {
            0 => return Err(self.stop(Damage::Unfinished)),
            BLOCK_HEAD_BYTES => {}
            _ => return Err(self.stop(Damage::Truncated)),
        }
        let number =
            |from: usize| u32::from_le_bytes(head[from..from + 4].try_into().expect("four bytes"));
        let raw_len = number(8) as usize;
        let stored_len = number(12) as usize;
        let event_count = number(16);
        let first_event = u64::from_le_bytes(head[20..28].try_into().expect("eight bytes"));
        if head[..4] != BLOCK_MAGIC {
            return Err(self.stop(Damage::BlockHead("it does not start with BLCK")));
        }
        if raw_len > BLOCK_BYTES_MAX || stored_len > BLOCK_STORED_BYTES_MAX {
            return Err(self.stop(Damage::BlockHead("it names a size beyond any block's")));
        }
        let mut stored = std::mem::take(&mut self.stored);
        stored.resize(stored_len, 0);
        let filled = self.fill_from_input(&mut stored)?;
        self.stored = stored;
        if filled < stored_len {
            return Err(self.stop(Damage::Truncated));
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head[..28]);
        hasher.update(&self.stored);
        if hasher.finalize() != number(28) {
            return Err(self.stop(Damage::Checksum));
        }
        if first_event != self.events_in_blocks {
            let expected = self.events_in_blocks;
            return Err(self.stop(Damage::Sequence {
                expected,
                found: first_event,
            }));
        }
        match head[4] {
            KIND_EVENTS => self.decompress(raw_len, event_count),
            KIND_END => self.close(),
            _ => Err(self.stop(Damage::BlockHead("its kind is unknown"))),
        }
    }

    fn decompress(&mut self, raw_len: usize, event_count: u32) -> Result<bool, CaptureError> {
        self.raw.clear();
        self.raw
            .resize(PAYLOAD_SLACK_BEFORE + raw_len + PAYLOAD_SLACK_AFTER, 0);
        let entries = &mut self.raw[PAYLOAD_SLACK_BEFORE..PAYLOAD_SLACK_BEFORE + raw_len];
        match self
            .decompressor
            .decompress_to_buffer(&self.stored, entries)
        {
            Ok(len) if len == raw_len && raw_len > 0 => {}
            _ => return Err(self.stop(Damage::Decompress)),
        }
        self.at = PAYLOAD_SLACK_BEFORE;
        self.end = PAYLOAD_SLACK_BEFORE + raw_len;
        self.events_in_blocks += u64::from(event_count);
        Ok(true)
    }

    fn close(&mut self) -> Result<bool, CaptureError> {
        let totals: Vec<u64> = self
            .stored
            .chunks(8)
            .map(|bytes| bytes.try_into().map_or(u64::MAX, u64::from_le_bytes))
            .collect();
        if totals != [self.events, self.lost] {
            return Err(self.stop(Damage::BlockHead("the end block counts other events")));
        }
        let mut one = [0];
        if self.fill_from_input(&mut one)? > 0 {
            return Err(self.stop(Damage::Trailing));
        }
        self.ended = true;
        Ok(false)
    }

    fn fill_from_input(&mut self, buffer: &mut [u8]) -> Result<usize, CaptureError> {
        match fill(&mut self.input, buffer) {
            Ok(filled) => {
                self.offset += filled as u64;
                Ok(filled)
            }
            Err(error) => Err(self.stop(error.into())),
        }
    }

    /// The error at the open block; nothing is read after it.
    fn stop(&mut self, cause: Damage) -> CaptureError {
        self.ended = true;
        self.at = 0;
        self.end = 0;
        CaptureError {
            offset: self.block_offset,
            cause,
        }
    }
}
