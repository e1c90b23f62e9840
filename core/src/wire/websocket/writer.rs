//! Client frames, masked into one send buffer.
//!
//! The caller queues messages and control frames, offers [`Writer::pending`] to whatever comes
//! next (a TLS layer or a socket), and says with [`Writer::consumed`] how much of it went. The last
//! [`CONTROL_RESERVE_BYTES`] of the buffer are for control frames alone, so that a full buffer
//! still takes pongs and a close.
//!
//! Mask keys come from a seeded generator. RFC 6455 section 5.3 wants them unpredictable, to stop
//! scripts in a browser from steering the bytes that a proxy sees; no foreign script composes our
//! messages, so a seed from the system's entropy is enough, and tests fix it.

use super::{
    CONTROL_BYTES_MAX, CloseCode, FIN, HEADER_BYTES_MAX, LENGTH_16, LENGTH_64, MASKED, opcode,
};

/// Room that only control frames may use: eight pongs of the largest size, the most that may wait unsent.
const CONTROL_RESERVE_BYTES: usize = 8 * (CONTROL_BYTES_MAX + HEADER_BYTES_MAX);

/// The peer stopped reading: the frame does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the send buffer is full")]
pub struct SendBufferFull;

/// Frames that wait to be sent, in order.
pub struct Writer {
    buffer: Box<[u8]>,
    head: usize,
    tail: usize,
    mask_state: u64,
}

impl Writer {
    /// A writer that holds `bytes_max` bytes of framed messages, and control frames beyond that.
    pub fn new(bytes_max: usize, mask_seed: u64) -> Self {
        let mut buffer = vec![0; bytes_max + CONTROL_RESERVE_BYTES].into_boxed_slice();
        // A fresh zeroed allocation is one shared page until it is written.
        buffer.fill(b' ');
        Self {
            buffer,
            head: 0,
            tail: 0,
            mask_state: mask_seed,
        }
    }

    /// Queues one text message.
    ///
    /// # Errors
    /// [`SendBufferFull`]; nothing of it was queued.
    pub fn text(&mut self, message: &[u8]) -> Result<(), SendBufferFull> {
        self.frame(opcode::TEXT, message, CONTROL_RESERVE_BYTES)
    }

    /// Queues the answer to a ping: its own bytes.
    ///
    /// # Errors
    /// [`SendBufferFull`]; nothing of it was queued.
    ///
    /// # Panics
    /// When `ping` is longer than a control frame may be; the reader hands out none that is.
    pub fn pong(&mut self, ping: &[u8]) -> Result<(), SendBufferFull> {
        assert!(ping.len() <= CONTROL_BYTES_MAX, "not the bytes of a ping");
        self.frame(opcode::PONG, ping, 0)
    }

    /// Queues a close frame.
    ///
    /// # Errors
    /// [`SendBufferFull`]; nothing of it was queued.
    pub fn close(&mut self, reason: Option<CloseCode>) -> Result<(), SendBufferFull> {
        match reason {
            Some(code) => self.frame(opcode::CLOSE, &code.get().to_be_bytes(), 0),
            None => self.frame(opcode::CLOSE, &[], 0),
        }
    }

    /// The framed bytes to send next.
    #[inline]
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.head..self.tail]
    }

    /// The first `len` pending bytes went out.
    ///
    /// # Panics
    /// When fewer were pending.
    #[inline]
    pub fn consumed(&mut self, len: usize) {
        assert!(len <= self.tail - self.head, "more than was pending");
        self.head += len;
        if self.head == self.tail {
            self.head = 0;
            self.tail = 0;
        }
    }

    fn frame(&mut self, code: u8, payload: &[u8], reserve: usize) -> Result<(), SendBufferFull> {
        let header_bytes = match payload.len() {
            0..126 => 6,
            126..0x1_0000 => 8,
            _ => 14,
        };
        let bytes = header_bytes + payload.len();
        let limit = self.buffer.len() - reserve;
        if self.tail - self.head + bytes > limit {
            return Err(SendBufferFull);
        }
        if self.tail + bytes > limit {
            self.buffer.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }

        let mask = self.next_mask();
        let frame = &mut self.buffer[self.tail..self.tail + bytes];
        let (header, body) = frame.split_at_mut(header_bytes);
        header[0] = FIN | code;
        match header_bytes {
            6 => header[1] = MASKED | payload.len() as u8,
            8 => {
                header[1] = MASKED | LENGTH_16;
                header[2..4].copy_from_slice(&(payload.len() as u16).to_be_bytes());
            }
            _ => {
                header[1] = MASKED | LENGTH_64;
                header[2..10].copy_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        header[header_bytes - 4..].copy_from_slice(&mask);
        copy_masked(body, payload, mask);
        self.tail += bytes;
        Ok(())
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): every state has one successor and no short cycle.
    fn next_mask(&mut self) -> [u8; 4] {
        self.mask_state = self.mask_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.mask_state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) as u32).to_le_bytes()
    }
}

/// Copies `from` into `to`, masked: 32 bytes at a time, which become vectors, then eight.
fn copy_masked(to: &mut [u8], from: &[u8], mask: [u8; 4]) {
    let word = u64::from(u32::from_le_bytes(mask)) * 0x1_0000_0001;
    let (to_chunks, to_rest) = to.as_chunks_mut::<32>();
    let (from_chunks, from_rest) = from.as_chunks::<32>();
    for (to, from) in to_chunks.iter_mut().zip(from_chunks) {
        for at in 0..32 {
            to[at] = from[at] ^ mask[at % 4];
        }
    }
    let (to_words, to_rest) = to_rest.as_chunks_mut::<8>();
    let (from_words, from_rest) = from_rest.as_chunks::<8>();
    for (to, from) in to_words.iter_mut().zip(from_words) {
        *to = (u64::from_le_bytes(*from) ^ word).to_le_bytes();
    }
    for (at, (to, from)) in to_rest.iter_mut().zip(from_rest).enumerate() {
        *to = from ^ mask[at % 4];
    }
}
