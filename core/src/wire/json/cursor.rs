//! A place in one message, from which expected text, integers and decimals are read.
//!
//! Owns: [`Cursor`], the only code of the scanner that loads bytes through a pointer, together
//! with the AVX2 reader of level arrays. Does not: explain; what is not as expected is `None`, and
//! the cursor is then of no further use.
//!
//! Invariant: the cursor never passes the end of its message. Loads reach at most
//! [`PAYLOAD_SLACK_BEFORE`] bytes back and [`PAYLOAD_SLACK_AFTER`] bytes on, which [`Payload`]
//! promises to be readable from every place in the message.

#![expect(
    clippy::inline_always,
    reason = "one message is one straight run of code; a call for every token costs a third of it"
)]

use super::swar;
use crate::event::Payload;
use crate::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use crate::units::{E8, Grid};
use std::marker::PhantomData;

/// A place in one message.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    at: *const u8,
    end: *const u8,
    message: PhantomData<&'a [u8]>,
}

impl<'a> Cursor<'a> {
    /// The start of a message.
    #[inline]
    pub fn new(payload: &Payload<'a>) -> Self {
        let range = payload.bytes().as_ptr_range();
        Self {
            at: range.start,
            end: range.end,
            message: PhantomData,
        }
    }

    /// The bytes at `offset` from here, in `[-PAYLOAD_SLACK_BEFORE, PAYLOAD_SLACK_AFTER)`.
    #[inline(always)]
    pub(super) fn load<const N: usize>(&self, offset: isize) -> [u8; N] {
        debug_assert!(offset >= -(PAYLOAD_SLACK_BEFORE as isize));
        debug_assert!(offset + N as isize <= PAYLOAD_SLACK_AFTER as isize);
        // SAFETY: `at` is inside its message or at its end, and the slack around every payload
        // makes all offsets in the asserted range readable; an array has no alignment.
        unsafe { self.at.offset(offset).cast::<[u8; N]>().read() }
    }

    /// Eight bytes at `offset` from here, the first one lowest.
    #[inline(always)]
    pub(super) fn word(&self, offset: isize) -> u64 {
        u64::from_le_bytes(self.load(offset))
    }

    /// Two bytes at `offset` from here.
    #[inline(always)]
    pub(super) fn two(&self, offset: isize) -> u32 {
        u32::from(u16::from_le_bytes(self.load(offset)))
    }

    /// Four bytes at `offset` from here.
    #[inline(always)]
    pub(super) fn four(&self, offset: isize) -> u32 {
        u32::from_le_bytes(self.load(offset))
    }

    /// The byte that comes next; whatever the slack holds when the message has ended.
    #[inline(always)]
    pub fn peek(&self, offset: usize) -> u8 {
        self.load::<1>(offset as isize)[0]
    }

    /// Where the cursor stands, for vector loads.
    #[inline(always)]
    pub(super) fn pointer(&self) -> *const u8 {
        self.at
    }

    /// Bytes of the message that are still ahead.
    #[inline(always)]
    pub fn remaining(&self) -> usize {
        self.end as usize - self.at as usize
    }

    /// What is still ahead.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        // SAFETY: `at..end` is inside the message that the cursor was made from.
        unsafe { std::slice::from_raw_parts(self.at, self.remaining()) }
    }

    /// Moves on, but not past the end.
    #[inline(always)]
    pub(super) fn advance(&mut self, count: usize) -> Option<()> {
        if count > self.remaining() {
            return None;
        }
        // SAFETY: not past the end of the message.
        self.at = unsafe { self.at.add(count) };
        Some(())
    }

    /// Expects exactly this text, at most [`PAYLOAD_SLACK_AFTER`] bytes of it.
    #[inline(always)]
    pub fn expect<const N: usize>(&mut self, text: &[u8; N]) -> Option<()> {
        const { assert!(N <= PAYLOAD_SLACK_AFTER) };
        if self.differs(text) {
            return None;
        }
        self.advance(N)
    }

    /// Whether something else stands here. In words, the last of which overlaps: comparing arrays of more than 32
    /// bytes is a call of the library, and spills what the caller holds in registers.
    #[inline(always)]
    fn differs<const N: usize>(&self, text: &[u8; N]) -> bool {
        if N < 8 {
            return self.load::<N>(0) != *text;
        }
        let word_of = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&text[at..at + 8]);
            self.word(at as isize) ^ u64::from_le_bytes(bytes)
        };
        let mut difference = word_of(N - 8);
        for word in 0..(N - 1) / 8 {
            difference |= word_of(8 * word);
        }
        difference != 0
    }

    /// Takes this text if it stands here; says whether it did.
    #[inline(always)]
    pub fn take<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        self.expect(text).is_some()
    }

    /// Expects the end of the message.
    #[inline(always)]
    pub fn expect_end(&self) -> Option<()> {
        (self.remaining() == 0).then_some(())
    }

    /// `true` or `false`.
    #[inline(always)]
    pub fn boolean(&mut self) -> Option<bool> {
        if self.take(b"true") {
            return Some(true);
        }
        self.expect(b"false").map(|()| false)
    }

    /// A non-negative integer of at most 19 digits, without leading zeros.
    #[inline(always)]
    pub fn unsigned(&mut self) -> Option<u64> {
        let first = self.word(0);
        let run = swar::digit_run(first);
        if run < 8 {
            if run == 0 || (run > 1 && first as u8 == b'0') {
                return None;
            }
            self.advance(run)?;
            return Some(swar::eight(swar::leading(first, run)));
        }
        if first as u8 == b'0' {
            return None;
        }
        let high = swar::eight(first ^ swar::ZEROS);
        let second = self.word(8);
        let run = swar::digit_run(second);
        if run == 0 {
            self.advance(8)?;
            return Some(high);
        }
        let value = high * POWERS_OF_TEN[run] + swar::eight(swar::leading(second, run));
        if run < 8 {
            self.advance(8 + run)?;
            return Some(value);
        }
        self.advance(16)?;
        self.last_digits(value)
    }

    /// As [`Cursor::unsigned`], trying first whether it has as many digits as the last one of its kind.
    ///
    /// Then the place of what follows does not wait for this integer to be measured.
    #[inline(always)]
    pub fn unsigned_like(&mut self, last: &mut Digits) -> Option<u64> {
        let beyond_eight = last.0 - 8;
        let first = self.word(0) ^ swar::ZEROS;
        let second = swar::leading(self.word(8), beyond_eight);
        let digits = swar::above_nine(first) | swar::above_nine(second) == 0;
        if digits && first as u8 != 0 && !self.peek(last.0).is_ascii_digit() {
            self.advance(last.0)?;
            return Some(swar::eight(first) * POWERS_OF_TEN[beyond_eight] + swar::eight(second));
        }
        let (next, value) = self.other_unsigned()?;
        let digits = self.remaining() - next.remaining();
        if (9..16).contains(&digits) {
            last.0 = digits;
        }
        *self = next;
        Some(value)
    }

    /// An integer of another length than was guessed. By value: a cursor whose address is given away lives in memory.
    #[cold]
    #[inline(never)]
    fn other_unsigned(mut self) -> Option<(Self, u64)> {
        let value = self.unsigned()?;
        Some((self, value))
    }

    /// The digits after the sixteenth of an integer, at most three: 19 digits always fit 64 bits.
    fn last_digits(&mut self, mut value: u64) -> Option<u64> {
        for _ in 0..3 {
            let byte = self.peek(0);
            if !byte.is_ascii_digit() {
                return Some(value);
            }
            value = value * 10 + u64::from(byte - b'0');
            self.advance(1)?;
        }
        (!self.peek(0).is_ascii_digit()).then_some(value)
    }

    /// The bytes up to but without `stop`, at most 31 of them, as zero-padded words, and their number.
    ///
    /// No byte is judged: a caller compares them with bytes that are known to be good.
    #[inline(always)]
    pub fn key_until(&mut self, stop: u8) -> Option<([u64; 4], usize)> {
        let mut words = [0; 4];
        for position in 0..words.len() {
            let word = self.word(8 * position as isize);
            let stopped = swar::equal(word, stop);
            if stopped != 0 {
                let bytes = (stopped.trailing_zeros() / 8) as usize;
                words[position] = word & ((1 << (8 * bytes)) - 1);
                let bytes = 8 * position + bytes;
                self.advance(bytes)?;
                return Some((words, bytes));
            }
            words[position] = word;
        }
        None
    }

    /// Expects the bytes that [`Cursor::key_until`] would give as these words.
    #[inline(always)]
    pub fn expect_key(&mut self, words: &[u64; 4], bytes: usize) -> Option<()> {
        let mut difference = 0;
        for (position, expected) in words.iter().enumerate() {
            let Some(left) = bytes.checked_sub(8 * position + 1) else {
                break;
            };
            let mask = u64::MAX >> (56 - 8 * left.min(7));
            difference |= (self.word(8 * position as isize) & mask) ^ expected;
        }
        if difference != 0 {
            return None;
        }
        self.advance(bytes)
    }

    /// A string whose opening quote was read, of printable ASCII without escapes: its bytes are its text. Takes
    /// the closing quote.
    #[inline]
    pub fn plain_text(&mut self) -> Option<&'a [u8]> {
        let text = self.rest();
        let mut bytes = 0;
        loop {
            let word = self.word(0);
            let closing = swar::equal(word, b'"').trailing_zeros();
            if swar::not_plain(word).trailing_zeros() < closing {
                return None;
            }
            if closing < 64 {
                let last = (closing / 8) as usize;
                self.advance(last + 1)?;
                return Some(&text[..bytes + last]);
            }
            self.advance(8)?;
            bytes += 8;
        }
    }

    /// A decimal in a string whose opening quote was read, as whole units of a grid; takes the closing quote.
    #[inline(always)]
    pub fn decimal(&mut self, grid: &Grid) -> Option<i64> {
        let first = self.word(0);
        let run = swar::digit_run(first);
        // Up to seven digits, the point, eight places, the quote: how the venue prints nearly all.
        if run == 8 {
            return self.long_decimal(grid);
        }
        let point = run as isize;
        let fraction = self.word(point + 1) ^ swar::ZEROS;
        let marks = u32::from(self.peek(run) ^ b'.') | u32::from(self.peek(run + 9) ^ b'"');
        if run == 0 || swar::above_nine(fraction) | u64::from(marks) != 0 {
            return self.any_decimal(grid);
        }
        self.advance(run + 10)?;
        let whole = swar::eight(swar::leading(first, run));
        let value = whole * E8_PER_ONE + swar::eight(fraction);
        grid.divide_exact(E8(value as i64))
    }

    /// As [`Cursor::decimal`], for eight to ten digits before the point: quantities of coins that cost next to nothing.
    #[inline(never)]
    fn long_decimal(&mut self, grid: &Grid) -> Option<i64> {
        let first = self.word(0) ^ swar::ZEROS;
        let second = self.word(8);
        let run = swar::digit_run(second);
        let point = 8 + run;
        let fraction = self.word(point as isize + 1) ^ swar::ZEROS;
        let marks = u32::from(self.peek(point) ^ b'.') | u32::from(self.peek(point + 9) ^ b'"');
        if run > 2 || swar::above_nine(fraction) | u64::from(marks) != 0 {
            return self.any_decimal(grid);
        }
        self.advance(point + 10)?;
        let mut whole = swar::eight(first);
        if run > 0 {
            whole = whole * POWERS_OF_TEN[run] + swar::eight(swar::leading(second, run));
        }
        // At most 9,999,999,999: far below the range of 1e-8 units.
        let value = whole * E8_PER_ONE + swar::eight(fraction);
        grid.divide_exact(E8(value as i64))
    }

    /// As [`Cursor::decimal`], trying first whether it has as many bytes as the last one of its kind.
    #[inline(always)]
    pub fn decimal_like(&mut self, grid: &Grid, last: &mut NumberBytes) -> Option<i64> {
        let digits = last.digits();
        let point = digits as isize;
        let whole = swar::trailing(self.word(point - 8), digits);
        let fraction = self.word(point + 1) ^ swar::ZEROS;
        let marks = u32::from(self.peek(digits) ^ b'.') | u32::from(self.peek(last.0) ^ b'"');
        if swar::above_nine(whole) | swar::above_nine(fraction) | u64::from(marks) == 0 {
            self.advance(last.0 + 1)?;
            let value = swar::eight(whole) * E8_PER_ONE + swar::eight(fraction);
            return grid.divide_exact(E8(value as i64));
        }
        let (next, value) = self.other_decimal(grid)?;
        if let Some(bytes) = NumberBytes::new(self.remaining() - next.remaining() - 1) {
            *last = bytes;
        }
        *self = next;
        Some(value)
    }

    /// A decimal of another length than was guessed. By value, as [`Cursor::other_unsigned`].
    #[inline(never)]
    fn other_decimal(mut self, grid: &Grid) -> Option<(Self, i64)> {
        let value = self.decimal(grid)?;
        Some((self, value))
    }

    /// As [`Cursor::decimal`], for any number of digits and places.
    #[cold]
    #[inline(never)]
    pub(super) fn any_decimal(&mut self, grid: &Grid) -> Option<i64> {
        let text = self.rest();
        let text = &text[..text.len().min(DECIMAL_BYTES_MAX + 1)];
        let length = text.iter().position(|&byte| byte == b'"')?;
        self.advance(length + 1)?;
        grid.parse(&text[..length]).ok()
    }
}

/// How many digits an integer had, in `[9, 15]`: what the next one of its kind is taken to have.
#[derive(Clone, Copy, Debug)]
pub struct Digits(usize);

impl Default for Digits {
    /// Those of milliseconds since 1970.
    fn default() -> Self {
        Self(13)
    }
}

/// How many bytes a decimal of eight places had, in `[10, 17]`: what the next one of its kind is taken to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberBytes(usize);

impl NumberBytes {
    /// `None` beyond one to eight digits, the point and eight places.
    #[inline(always)]
    pub(super) const fn new(bytes: usize) -> Option<Self> {
        if bytes > PLACES_BYTES && bytes <= PLACES_BYTES + 8 {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// `None` unless there are one to eight digits before the point.
    #[inline(always)]
    pub(super) const fn of_digits(digits: usize) -> Option<Self> {
        Self::new(digits + PLACES_BYTES)
    }

    /// How many.
    #[inline(always)]
    pub(super) const fn count(self) -> usize {
        self.0
    }

    /// How many of them are digits before the point.
    #[inline(always)]
    pub(super) const fn digits(self) -> usize {
        self.0 - PLACES_BYTES
    }
}

impl Default for NumberBytes {
    /// The shortest: `0.00000000`.
    fn default() -> Self {
        Self(1 + PLACES_BYTES)
    }
}

/// Bytes of the point and the eight places after it.
const PLACES_BYTES: usize = 9;

/// One whole unit in 1e-8.
pub(super) const E8_PER_ONE: u64 = 100_000_000;

/// Bytes of a decimal that the scanner looks through for its end: 11 digits, the point, 8 places, and as many zeros again.
const DECIMAL_BYTES_MAX: usize = 40;

const POWERS_OF_TEN: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PayloadBuf;
    use proptest::prelude::*;

    fn unsigned(text: &str) -> Option<u64> {
        let buf = PayloadBuf::new(text.as_bytes());
        let mut cursor = Cursor::new(&buf.payload());
        let value = cursor.unsigned()?;
        cursor.expect(b",")?;
        Some(value)
    }

    fn decimal(text: &str) -> Option<i64> {
        let buf = PayloadBuf::new(text.as_bytes());
        let mut cursor = Cursor::new(&buf.payload());
        let value = cursor.decimal(&Grid::new(E8(1)).expect("positive"))?;
        cursor.expect(b",")?;
        Some(value)
    }

    #[test]
    fn integers_are_strict() {
        for (text, expected) in [
            ("0,", Some(0)),
            ("7,", Some(7)),
            ("12345678,", Some(12_345_678)),
            ("1723161255208,", Some(1_723_161_255_208)),
            ("1234567890123456,", Some(1_234_567_890_123_456)),
            ("9999999999999999999,", Some(9_999_999_999_999_999_999)),
            ("10000000000000000000,", None),
            ("01,", None),
            ("00000000,", None),
            ("-1,", None),
            ("1.0,", None),
            ("1e3,", None),
            (",", None),
        ] {
            assert_eq!(unsigned(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_is_plain_and_closed() {
        let long = "x".repeat(100);
        let text = |text: &str| {
            let buf = PayloadBuf::new(text.as_bytes());
            let mut cursor = Cursor::new(&buf.payload());
            let read = cursor.plain_text()?.to_vec();
            cursor.expect(b",")?;
            Some(String::from_utf8(read).expect("ASCII"))
        };
        for (json, expected) in [
            ("\",", Some("")),
            ("a\",", Some("a")),
            ("1234567\",", Some("1234567")),
            ("12345678\",", Some("12345678")),
            ("vz-mm1_7_3k\",\\", Some("vz-mm1_7_3k")),
            ("\u{7f}~ \",", Some("\u{7f}~ ")),
            ("ab\\\",", None),
            ("a\u{1f}\",", None),
            ("12345678\u{0}\",", None),
            ("\u{e4}\",", None),
            ("never closed", None),
        ] {
            assert_eq!(text(json).as_deref(), expected, "{json:?}");
        }
        assert_eq!(text(&format!("{long}\",")), Some(long.clone()));
    }

    #[test]
    fn nothing_is_read_past_the_end_of_the_message() {
        // The next message of the receive buffer continues the number, the text and the decimal.
        let whole = [&[b'9'; 16][..], b"1234,", b"5678\",true", &[b'9'; 64][..]].concat();
        let cursor = |end| Cursor::new(&Payload::new(&whole, 16, end));
        assert_eq!(cursor(16 + 2).unsigned(), None);
        assert_eq!(cursor(16 + 4).expect(b"1234,"), None);
        assert_eq!(cursor(16 + 4).unsigned(), Some(1234));
        let mut rest = cursor(16 + 6);
        rest.advance(5).expect("inside");
        assert_eq!(rest.any_decimal(&Grid::new(E8(1)).expect("positive")), None);
        assert_eq!(rest.rest(), b"5");
        assert_eq!(
            cursor(16 + 9).plain_text(),
            None,
            "the quote is the next message's"
        );
    }

    proptest! {
        #[test]
        fn integers_agree_with_the_standard_library(number: u64) {
            let expected = (number <= 9_999_999_999_999_999_999).then_some(number);
            prop_assert_eq!(unsigned(&format!("{number},")), expected);
        }

        #[test]
        fn decimals_agree_with_the_reference(text in "[0-9]{1,12}(\\.[0-9]{0,9})?|[0-9.eE+-]{0,20}") {
            prop_assert_eq!(decimal(&format!("{text}\",")), E8::parse(text.as_bytes()).ok().map(|e8| e8.0));
        }
    }
}
