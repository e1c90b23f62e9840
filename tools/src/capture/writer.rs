//! Writes a capture, block by block.

use super::block::EventBlock;
use super::header::CaptureHeader;
use super::{BLOCK_HEAD_BYTES, BLOCK_MAGIC, BLOCK_STORED_BYTES_MAX};
use std::io::{self, Write};
use veloz_core::event::Event;
use veloz_core::units::Nanos;
use zstd::bulk::Compressor;

/// zstd level: 3 keeps up with a recorder on one sidecar thread many times over.
const LEVEL: i32 = 3;

/// What a finished capture holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events.
    pub events: u64,
    /// Events that were lost between the blocks; a capture is complete when this is 0.
    pub lost: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A capture being written. Without [`CaptureWriter::finish`] the file says that it is unfinished.
pub struct CaptureWriter<W: Write> {
    out: W,
    compressor: Compressor<'static>,
    stored: Vec<u8>,
    open: EventBlock,
    totals: Totals,
}

impl<W: Write> CaptureWriter<W> {
    /// Begins a capture.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(mut out: W, header: &CaptureHeader) -> io::Result<Self> {
        let bytes = header.write(&mut out)?;
        Ok(Self {
            out,
            compressor: Compressor::new(LEVEL)?,
            stored: Vec::with_capacity(BLOCK_STORED_BYTES_MAX),
            open: EventBlock::default(),
            totals: Totals {
                bytes,
                ..Totals::default()
            },
        })
    }

    /// Appends one event.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn push(&mut self, now: Nanos, event: &Event<'_>) -> io::Result<()> {
        self.open.push(now, event);
        if self.open.is_full() {
            self.close_block()?;
        }
        Ok(())
    }

    /// Appends a block that was filled elsewhere.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn push_block(&mut self, block: &EventBlock) -> io::Result<()> {
        self.close_block()?;
        self.write_block(block)
    }

    /// Writes what is pending and the end block, and gives the output back.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn finish(mut self) -> io::Result<(Totals, W)> {
        self.close_block()?;
        let mut end = Vec::with_capacity(16);
        end.extend(self.totals.events.to_le_bytes());
        end.extend(self.totals.lost.to_le_bytes());
        let head = block_head(KIND_END, end.len(), &end, 0, self.totals.events);
        self.out.write_all(&head)?;
        self.out.write_all(&end)?;
        self.out.flush()?;
        self.totals.bytes += (head.len() + end.len()) as u64;
        Ok((self.totals, self.out))
    }

    fn close_block(&mut self) -> io::Result<()> {
        let mut block = std::mem::take(&mut self.open);
        let written = self.write_block(&block);
        block.clear();
        self.open = block;
        written
    }

    fn write_block(&mut self, block: &EventBlock) -> io::Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        self.stored.clear();
        self.compressor
            .compress_to_buffer(block.raw(), &mut self.stored)?;
        let head = block_head(
            KIND_EVENTS,
            block.raw().len(),
            &self.stored,
            block.events(),
            self.totals.events,
        );
        self.out.write_all(&head)?;
        self.out.write_all(&self.stored)?;
        self.totals.events += u64::from(block.events());
        self.totals.lost += block.lost();
        self.totals.bytes += (head.len() + self.stored.len()) as u64;
        Ok(())
    }
}

/// A block of events.
pub(super) const KIND_EVENTS: u8 = 0;
/// The last block.
pub(super) const KIND_END: u8 = 1;

fn block_head(
    kind: u8,
    raw_len: usize,
    stored: &[u8],
    events: u32,
    first_event: u64,
) -> [u8; BLOCK_HEAD_BYTES] {
    let mut head = [0; BLOCK_HEAD_BYTES];
    head[..4].copy_from_slice(&BLOCK_MAGIC);
    head[4] = kind;
    head[8..12].copy_from_slice(&(raw_len as u32).to_le_bytes());
    head[12..16].copy_from_slice(&(stored.len() as u32).to_le_bytes());
    head[16..20].copy_from_slice(&events.to_le_bytes());
    head[20..28].copy_from_slice(&first_event.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..28]);
    hasher.update(stored);
    head[28..].copy_from_slice(&hasher.finalize().to_le_bytes());
    head
}
