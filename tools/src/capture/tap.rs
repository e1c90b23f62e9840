//! From the core thread to a capture file: blocks travel to a writer thread and back.
//!
//! Owns: [`CaptureTap`] (core's end) and [`BlockWriter`] (the writer thread's end). Does not: start
//! the thread (`run.rs` does). Invariants: the core's end never waits, allocates or frees; when every
//! block is under way the events are counted as lost, and the capture notes how many and where.

use super::block::EventBlock;
use super::writer::{CaptureWriter, Totals};
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::io::{self, Write};
use veloz_core::edge::core_loop::Tap;
use veloz_core::event::Event;
use veloz_core::units::Nanos;

/// Blocks under way. A quarter of a megabyte each in use, so that a disk may stall for a second at
/// 8 MB/s of market data, more than 64 busy instruments send.
const BLOCKS: usize = 32;
/// A block that is not full is handed over when it is this old, so that a crash loses no more.
const HAND_OVER_AFTER: Nanos = Nanos::from_secs(1);

/// The core's end.
pub struct CaptureTap {
    open: Option<Box<EventBlock>>,
    filled: Producer<Box<EventBlock>>,
    empty: Consumer<Box<EventBlock>>,
    lost: u64,
    lost_since: Nanos,
}

/// The writer thread's end.
pub struct BlockWriter<W: Write> {
    filled: Consumer<Box<EventBlock>>,
    empty: Producer<Box<EventBlock>>,
    capture: CaptureWriter<W>,
}

/// Both ends, with all blocks reserved.
pub fn tap<W: Write>(capture: CaptureWriter<W>) -> (CaptureTap, BlockWriter<W>) {
    let (filled_in, filled_out) = RingBuffer::new(BLOCKS);
    let (mut empty_in, empty_out) = RingBuffer::new(BLOCKS);
    for _ in 0..BLOCKS {
        let pushed = empty_in.push(Box::default());
        assert!(pushed.is_ok(), "the ring holds every block");
    }
    (
        CaptureTap {
            open: None,
            filled: filled_in,
            empty: empty_out,
            lost: 0,
            lost_since: Nanos::ZERO,
        },
        BlockWriter {
            filled: filled_out,
            empty: empty_in,
            capture,
        },
    )
}

impl CaptureTap {
    /// Takes an event that the engine handled at `now`.
    pub fn record(&mut self, now: Nanos, event: &Event<'_>) {
        let Some(mut block) = self.open.take().or_else(|| self.empty.pop().ok()) else {
            if self.lost == 0 {
                self.lost_since = now;
            }
            self.lost += 1;
            return;
        };
        if self.lost > 0 {
            block.push_lost(self.lost_since, self.lost);
            self.lost = 0;
        }
        block.push(now, event);
        if block.is_full() || now.since(block.opened()) >= HAND_OVER_AFTER {
            self.hand_over(block);
        } else {
            self.open = Some(block);
        }
    }

    fn hand_over(&mut self, block: Box<EventBlock>) {
        match self.filled.push(block) {
            Ok(()) => {}
            // As many places as blocks: only a bug gets here.
            Err(PushError::Full(_)) => unreachable!("the ring holds every block"),
        }
    }
}

impl Tap for CaptureTap {
    #[inline]
    fn see(&mut self, now: Nanos, event: &Event<'_>) {
        self.record(now, event);
    }
}

/// What is still open goes to the writer, which ends when it has written it.
impl Drop for CaptureTap {
    fn drop(&mut self) {
        let open = self.open.take().or_else(|| {
            // Losses at the very end need a block to be noted in, if one is back.
            (self.lost > 0).then(|| self.empty.pop().ok()).flatten()
        });
        if let Some(mut block) = open {
            if self.lost > 0 {
                block.push_lost(self.lost_since, self.lost);
            }
            self.hand_over(block);
        }
    }
}

/// What came of a look at the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Some were written.
    Some,
    /// None waited.
    None,
    /// None waited and none will come: [`BlockWriter::finish`] it.
    Ended,
}

impl<W: Write> BlockWriter<W> {
    /// Writes every block that waits.
    ///
    /// # Errors
    /// What the operating system says; the capture is then left unfinished.
    pub fn drain(&mut self) -> io::Result<Drained> {
        // Asked first: what was pushed before the other end went is then seen below.
        let ended = self.filled.is_abandoned();
        let mut drained = if ended { Drained::Ended } else { Drained::None };
        while let Ok(mut block) = self.filled.pop() {
            self.capture.push_block(&block)?;
            block.clear();
            // The other end may be gone; then the block is freed here.
            let _ = self.empty.push(block);
            drained = Drained::Some;
        }
        Ok(drained)
    }

    /// Writes the end of the capture.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn finish(self) -> io::Result<(Totals, W)> {
        self.capture.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::Entry;
    use super::super::reader::CaptureReader;
    use super::super::tests::header;
    use super::*;
    use veloz_core::event::{LinkId, LinkRole, PayloadBuf};

    fn entries(bytes: &[u8]) -> Vec<(u64, u64)> {
        let mut reader = CaptureReader::new(bytes).expect("a capture");
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().expect("intact") {
            found.push(match entry {
                Entry::Event { now, .. } => (now.0, 0),
                Entry::Lost { since, count } => (since.0, count),
            });
        }
        found
    }

    fn pair() -> (CaptureTap, BlockWriter<Vec<u8>>) {
        tap(CaptureWriter::new(Vec::new(), &header()).expect("memory"))
    }

    #[test]
    fn blocks_go_over_when_full_or_old_and_at_the_end() {
        let (mut tap, mut writer) = pair();
        tap.record(Nanos(1), &Event::Tick);
        assert_eq!(writer.drain().expect("memory"), Drained::None, "still open");
        tap.record(Nanos(1).plus(HAND_OVER_AFTER), &Event::Tick);
        assert_eq!(writer.drain().expect("memory"), Drained::Some, "too old");

        let large = PayloadBuf::new(&vec![b'x'; super::super::BLOCK_BYTES_TARGET]);
        let link = LinkId {
            role: LinkRole::Market,
            generation: 1,
        };
        let event = Event::Message {
            link,
            payload: large.payload(),
        };
        tap.record(Nanos::from_secs(2), &event);
        assert_eq!(writer.drain().expect("memory"), Drained::Some, "full");

        tap.record(Nanos::from_secs(3), &Event::Tick);
        drop(tap);
        assert_eq!(writer.drain().expect("memory"), Drained::Some);
        assert_eq!(writer.drain().expect("memory"), Drained::Ended);
        let (totals, bytes) = writer.finish().expect("memory");
        assert_eq!((totals.events, totals.lost), (4, 0));
        assert_eq!(entries(&bytes).len(), 4);
    }

    #[test]
    fn a_stalled_writer_costs_events_but_never_the_core_and_the_capture_says_so() {
        let (mut tap, mut writer) = pair();
        // Every event closes a block: a second passes between two.
        let at = |number: usize| Nanos::from_secs(10 * number as u64);
        let large = PayloadBuf::new(&vec![b'x'; super::super::BLOCK_BYTES_TARGET]);
        let event = Event::Message {
            link: LinkId {
                role: LinkRole::Market,
                generation: 1,
            },
            payload: large.payload(),
        };
        for number in 0..BLOCKS + 3 {
            tap.record(at(number), &event);
        }
        assert_eq!(writer.drain().expect("memory"), Drained::Some);
        tap.record(at(BLOCKS + 3), &event);
        drop(tap);
        writer.drain().expect("memory");
        let (totals, bytes) = writer.finish().expect("memory");
        assert_eq!((totals.events, totals.lost), (BLOCKS as u64 + 1, 3));
        let found = entries(&bytes);
        assert_eq!(found[BLOCKS], (at(BLOCKS).0, 3));
        assert_eq!(found[BLOCKS + 1], (at(BLOCKS + 3).0, 0));
    }
}
