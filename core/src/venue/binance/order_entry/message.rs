//! One message being written: fixed texts, integers and decimals, without formatting machinery.
//!
//! Owns: [`Writer`] over a buffer of fixed size, and [`Block`], a text padded so that copying it takes a
//! size known to the compiler. Does not: know parameters. Invariant: the buffer's last bytes are slack for
//! the padding, so a write that would not fit is a panic, never a cut message.

#![expect(
    clippy::inline_always,
    reason = "one request is one straight run of code; a call for every piece costs more than the piece"
)]

use super::client_ids::ClientOrderIdRoom;
use crate::units::{E8, E8_ONE, E8_PLACES};
use crate::wire::digits::{ZEROS, eight_digits};

/// Bytes of the longest message: a signed replacement with the longest ids and numbers is below 1,100.
pub(super) const MESSAGE_BYTES_MAX: usize = 1_200;
/// Bytes that the widest block may reach beyond its text.
const SLACK_BYTES: usize = 256;
/// A message's buffer.
pub(super) type Buffer = [u8; MESSAGE_BYTES_MAX + SLACK_BYTES];

/// A text in front of padding.
#[derive(Clone, Copy)]
pub(super) struct Block<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Block<N> {
    /// The concatenation of `parts`.
    ///
    /// # Panics
    /// When it is longer than `N`: the caller chose `N` for the longest there can be.
    pub(super) fn new(parts: &[&[u8]]) -> Self {
        const { assert!(N <= SLACK_BYTES) };
        let mut block = Self {
            bytes: [0; N],
            len: 0,
        };
        for part in parts {
            block.bytes[block.len..block.len + part.len()].copy_from_slice(part);
            block.len += part.len();
        }
        block
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Appends to a buffer.
pub(super) struct Writer<'b> {
    buffer: &'b mut Buffer,
    at: usize,
}

impl<'b> Writer<'b> {
    /// The start of a message.
    #[inline(always)]
    pub(super) fn new(buffer: &'b mut Buffer) -> Self {
        Self { buffer, at: 0 }
    }

    /// The message.
    #[inline(always)]
    pub(super) fn finish(self) -> &'b [u8] {
        &self.buffer[..self.at]
    }

    /// The message so far, to be signed.
    pub(super) fn text(&self) -> &[u8] {
        &self.buffer[..self.at]
    }

    /// Text of a length known to the compiler.
    #[inline(always)]
    pub(super) fn literal<const N: usize>(&mut self, text: &[u8; N]) {
        self.padded(text, N);
    }

    /// Text that was rendered before.
    #[inline(always)]
    pub(super) fn block<const N: usize>(&mut self, block: &Block<N>) {
        self.padded(&block.bytes, block.len);
    }

    /// Text of any length.
    pub(super) fn bytes(&mut self, text: &[u8]) {
        self.buffer[self.at..self.at + text.len()].copy_from_slice(text);
        self.at += text.len();
    }

    /// Text that `write` puts at the front of its room; it says how many bytes.
    #[inline(always)]
    pub(super) fn id(&mut self, write: impl FnOnce(&mut ClientOrderIdRoom) -> usize) {
        let room = self.buffer[self.at..]
            .first_chunk_mut()
            .expect("the slack is wider than an id");
        self.at += write(room);
    }

    /// An integer.
    #[inline(always)]
    pub(super) fn unsigned(&mut self, number: u64) {
        const EIGHT: u64 = 100_000_000;
        if number < EIGHT {
            self.leading(number as u32);
        } else if number < EIGHT * EIGHT {
            self.leading((number / EIGHT) as u32);
            self.word(eight_digits((number % EIGHT) as u32), 8);
        } else {
            self.leading((number / (EIGHT * EIGHT)) as u32);
            self.word(eight_digits((number / EIGHT % EIGHT) as u32), 8);
            self.word(eight_digits((number % EIGHT) as u32), 8);
        }
    }

    /// A decimal with so many places, `[0, 8]`; with all eight where it has more than that.
    ///
    /// # Panics
    /// When it is negative: no price or quantity is.
    #[inline(always)]
    pub(super) fn decimal(&mut self, value: E8, places: u32) {
        assert!(value.0 >= 0, "prices and quantities are not negative");
        let (whole, fraction) = (value.0 / E8_ONE, value.0 % E8_ONE);
        self.unsigned(whole as u64);
        let digits = eight_digits(fraction as u32);
        let beyond = (digits ^ ZEROS).checked_shr(8 * places).unwrap_or(0);
        let places = if beyond == 0 { places } else { E8_PLACES };
        if places > 0 {
            self.literal(b".");
            self.word(digits, places as usize);
        }
    }

    /// The digits of a number below 100,000,000 without zeros in front, at least one.
    #[inline(always)]
    fn leading(&mut self, number: u32) {
        let digits = eight_digits(number);
        let zeros = ((digits ^ ZEROS).trailing_zeros() / 8).min(7);
        self.word(digits >> (8 * zeros), 8 - zeros as usize);
    }

    #[inline(always)]
    fn word(&mut self, word: u64, len: usize) {
        self.padded(&word.to_le_bytes(), len);
    }

    #[inline(always)]
    fn padded<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        *self.buffer[self.at..]
            .first_chunk_mut::<N>()
            .expect("the slack is wider than a block") = *bytes;
        self.at += len;
    }
}

/// Places that a step of this size needs, `[0, 8]`: 2 for 0.01.
pub(super) const fn places_of(step: E8) -> u32 {
    let mut places = E8_PLACES;
    let mut step = step.0;
    while places > 0 && step % 10 == 0 {
        step /= 10;
        places -= 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut buffer = [b'x'; MESSAGE_BYTES_MAX + SLACK_BYTES];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer);
        String::from_utf8(writer.finish().to_vec()).expect("ASCII")
    }

    #[test]
    fn decimals_have_the_places_of_their_grid_and_more_if_they_need_them() {
        let cases = [
            (6_183_763_000_000, 2, "61837.63"),
            (6_183_763_000_000, 8, "61837.63000000"),
            (6_183_763_000_000, 1, "61837.63000000"),
            (0, 2, "0.00"),
            (0, 0, "0"),
            (700_000_000, 0, "7"),
            (700_000_001, 0, "7.00000001"),
            (1, 8, "0.00000001"),
            (i64::MAX, 8, "92233720368.54775807"),
        ];
        for (value, places, expected) in cases {
            assert_eq!(written(|it| it.decimal(E8(value), places)), expected);
        }
    }

    #[test]
    fn a_step_needs_so_many_places() {
        let cases = [
            (1, 8),
            (10, 7),
            (1_000, 5),
            (1_000_000, 2),
            (50_000_000, 1),
            (100_000_000, 0),
            (25_000_000, 2),
            (1_000_000_000, 0),
        ];
        for (step, places) in cases {
            assert_eq!(places_of(E8(step)), places, "{step}");
        }
    }

    #[test]
    fn pieces_follow_each_other() {
        let block = Block::<32>::new(&[b"bl", b"ock"]);
        let text = written(|it| {
            it.literal(b"literal,");
            it.block(&block);
            it.bytes(b",bytes,");
            it.id(|room| {
                room[..2].copy_from_slice(b"id");
                2
            });
        });
        assert_eq!(text, "literal,block,bytes,id");
    }

    proptest! {
        #[test]
        fn integers_are_those_of_the_standard_library(number: u64, shift in 0u32..64) {
            let number = number >> shift;
            prop_assert_eq!(written(|it| it.unsigned(number)), number.to_string());
        }

        #[test]
        fn decimals_read_back_as_themselves(value in 0i64..=i64::MAX, shift in 0u32..63, places in 0u32..=8) {
            let value = E8(value >> shift);
            let text = written(|it| it.decimal(value, places));
            prop_assert_eq!(E8::parse(text.as_bytes()), Ok(value), "{}", text);
        }
    }
}
