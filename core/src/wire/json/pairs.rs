//! Arrays of price levels, `[["61837.63000000","0.10000000"],...]`, into ticks and lots.
//!
//! Owns: [`PairReader`], [`Lengths`], the loop over levels in its portable form, and the slow road for a
//! level of unusual form. Does not: accept anything between the tokens; white space sends the message to the
//! tolerant parser.

#![expect(
    clippy::inline_always,
    reason = "one message is one straight run of code; a call for every token costs a third of it"
)]

use super::Scanner;
use super::cursor::{Cursor, E8_PER_ONE, NumberBytes};
use super::swar;
use crate::units::{E8, Grid, Level, Lots, Ticks};

/// Bytes of the price and of the quantity of one level.
///
/// The next ones are mostly as long: guessing right, a level's place does not wait for the level before it
/// to be measured. The guess is kept per instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Of the price.
    pub price: NumberBytes,
    /// Of the quantity.
    pub qty: NumberBytes,
}

/// Reads arrays of levels.
#[derive(Clone, Copy, Debug)]
pub struct PairReader {
    vectors: bool,
}

impl PairReader {
    /// A reader of this kind.
    ///
    /// # Panics
    /// When this CPU does not have what the scanner needs.
    pub fn new(scanner: Scanner) -> Self {
        assert!(scanner.is_available(), "this CPU has no {scanner:?}");
        Self {
            vectors: scanner == Scanner::Avx2,
        }
    }

    /// Reads a whole array into the front of `side`; returns how many levels it had.
    ///
    /// `None` for anything unexpected, more levels than `side` holds, and price zero. Grids are those
    /// of price and quantity.
    #[inline]
    pub fn read(
        self,
        cursor: &mut Cursor<'_>,
        grids: (Grid, Grid),
        lengths: &mut Lengths,
        side: &mut [Level],
    ) -> Option<usize> {
        if cursor.take(b"[]") {
            return Some(0);
        }
        cursor.expect(b"[")?;
        #[cfg(target_arch = "x86_64")]
        if self.vectors {
            // SAFETY: `new` made sure that the CPU has the features.
            return unsafe { super::avx2::levels(cursor, grids, lengths, side) };
        }
        levels(cursor, grids, lengths, side)
    }
}

/// The levels after the array's opening bracket, and its closing one.
fn levels(
    place: &mut Cursor<'_>,
    grids: (Grid, Grid),
    lengths: &mut Lengths,
    side: &mut [Level],
) -> Option<usize> {
    let (tick, lot) = grids;
    // A copy, which can live in registers.
    let mut cursor = *place;
    let mut guess = *lengths;
    let mut count = 0;
    cursor.expect(b"[\"")?;
    loop {
        // The cursor stands at the price's first byte.
        let level = side.get_mut(count)?;
        if let Some((price, qty)) = guessed_level(&mut cursor, guess) {
            *level = grid_level(price, qty, &tick, &lot)?;
        } else if let Some(measured) = measure(&cursor).filter(|measured| *measured != guess) {
            guess = measured;
            continue;
        } else {
            (cursor, *level) = any_level(cursor, &tick, &lot)?;
        }
        count += 1;
        if !cursor.take(b",[\"") {
            *lengths = guess;
            cursor.expect(b"]")?;
            *place = cursor;
            return Some(count);
        }
    }
}

/// One level in 1e-8 units, if its numbers are as long as `guess` says.
#[inline(always)]
fn guessed_level(cursor: &mut Cursor<'_>, guess: Lengths) -> Option<(u64, u64)> {
    let (price_digits, qty_digits) = (guess.price.digits(), guess.qty.digits());
    let price_point = price_digits as isize;
    let price_end = guess.price.count() as isize;
    let qty_point = price_end + 3 + qty_digits as isize;
    let qty_end = price_end + 3 + guess.qty.count() as isize;
    let price_whole = swar::trailing(cursor.word(price_point - 8), price_digits);
    let price_fraction = cursor.word(price_point + 1) ^ swar::ZEROS;
    let qty_whole = swar::trailing(cursor.word(qty_point - 8), qty_digits);
    let qty_fraction = cursor.word(qty_point + 1) ^ swar::ZEROS;
    // `.`, `","`, `.`, `"]`: between them nothing but digits.
    let marks = u32::from(cursor.peek(price_point as usize) ^ b'.')
        | ((cursor.four(price_end) ^ BETWEEN) & 0x00FF_FFFF)
        | u32::from(cursor.peek(qty_point as usize) ^ b'.')
        | (cursor.two(qty_end) ^ CLOSE);
    let digits = swar::above_nine(price_whole)
        | swar::above_nine(price_fraction)
        | swar::above_nine(qty_whole)
        | swar::above_nine(qty_fraction);
    if u64::from(marks) | digits != 0 {
        return None;
    }
    cursor.advance(qty_end as usize + 2)?;
    Some((
        swar::eight(price_whole) * E8_PER_ONE + swar::eight(price_fraction),
        swar::eight(qty_whole) * E8_PER_ONE + swar::eight(qty_fraction),
    ))
}

/// How long the numbers of the level are whose price begins here, if both have one to eight digits before
/// the point and eight places.
#[inline]
fn measure(cursor: &Cursor<'_>) -> Option<Lengths> {
    let price = NumberBytes::of_digits(swar::digit_run(cursor.word(0)))?;
    let qty = cursor.word(price.count() as isize + 3);
    let qty = NumberBytes::of_digits(swar::digit_run(qty))?;
    Some(Lengths { price, qty })
}

/// One level whose price begins here, number by number, and the place behind it. By value: a cursor whose address is
/// given away lives in memory.
#[inline(never)]
pub(super) fn any_level<'m>(
    mut cursor: Cursor<'m>,
    tick: &Grid,
    lot: &Grid,
) -> Option<(Cursor<'m>, Level)> {
    let price = cursor.decimal(tick)?;
    cursor.expect(b",\"")?;
    let qty = cursor.decimal(lot)?;
    cursor.expect(b"]")?;
    let level = Level {
        price: Ticks(price),
        qty: Lots(qty),
    };
    (price != 0).then_some((cursor, level))
}

/// A level from 1e-8 units, if both are on their grids and the price is not zero.
#[inline(always)]
pub(super) fn grid_level(price: u64, qty: u64, tick: &Grid, lot: &Grid) -> Option<Level> {
    let price = tick.divide_exact(E8(price as i64))?;
    let qty = lot.divide_exact(E8(qty as i64))?;
    (price != 0).then_some(Level {
        price: Ticks(price),
        qty: Lots(qty),
    })
}

/// `","` as the low three bytes of four.
pub(super) const BETWEEN: u32 = u32::from_le_bytes(*b"\",\"\0");
/// `"]` as two bytes.
pub(super) const CLOSE: u32 = u16::from_le_bytes(*b"\"]") as u32;
