//! Arrays of price levels by AVX2: both numbers of a level in one register.
//!
//! Owns: the vector form of [`super::pairs`]. Does not: read numbers of more than seven digits before the
//! point or other than eight places after it; those levels are read one number at a time.
//!
//! Both numbers are taken to be as long as the last ones; one load that finds the quotes corrects a
//! wrong guess. The 16 bytes that end each number are brought into one lane each, what stands before
//! the number is masked away, the point is squeezed out, and three multiply-adds join digits into two
//! 8-digit numbers a lane: whole and fraction.

#![expect(
    clippy::inline_always,
    reason = "one message is one straight run of code; a call for every token costs a third of it"
)]

use super::cursor::{Cursor, E8_PER_ONE, NumberBytes};
use super::pairs::{BETWEEN, CLOSE, Lengths, any_level, grid_level};
use crate::units::{Grid, Level};
use std::arch::x86_64::{
    __m256i, _mm_cvtsi128_si64, _mm_loadu_si128, _mm256_and_si256, _mm256_castsi256_si128,
    _mm256_cmpeq_epi8, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_movemask_epi8, _mm256_packus_epi32, _mm256_set_m128i,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_shuffle_epi8, _mm256_subs_epu8,
    _mm256_testz_si256, _mm256_xor_si256,
};

/// Whether this CPU has the vectors and the bit instructions.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

/// A number of `n` bytes keeps the bytes of `KEEP[n..n + 16]`: its own, at the end of 16.
const KEEP: [u8; 32] = {
    let mut keep = [0; 32];
    let mut at = 16;
    while at < 32 {
        keep[at] = 0xFF;
        at += 1;
    }
    keep
};

/// What must stand at each of the 16 bytes: digits, the point, eight places.
const FORM: [u8; 16] = *b"0000000.00000000";
/// How far each byte may exceed its form.
const EXCESS: [u8; 16] = [9, 9, 9, 9, 9, 9, 9, 0, 9, 9, 9, 9, 9, 9, 9, 9];
/// Moves the digits before the point onto it.
const SQUEEZE: [u8; 16] = [0x80, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/// Longest number that is read here.
const NUMBER_BYTES_MAX: usize = 16;

/// The levels after the array's opening bracket, and its closing one.
///
/// # Safety
/// The CPU has AVX2, BMI1 and BMI2: [`is_available`].
#[target_feature(enable = "avx2,bmi1,bmi2")]
pub(super) unsafe fn levels(
    place: &mut Cursor<'_>,
    grids: (Grid, Grid),
    lengths: &mut Lengths,
    side: &mut [Level],
) -> Option<usize> {
    let (tick, lot) = grids;
    // A copy, which can live in registers.
    let mut cursor = *place;
    let form = both_lanes(&FORM);
    let excess = both_lanes(&EXCESS);
    let squeeze = both_lanes(&SQUEEZE);
    let tens = _mm256_set1_epi16(0x010A);
    let hundreds = _mm256_set1_epi32(0x0001_0064);
    let ten_thousands = _mm256_set1_epi32(0x0001_2710);
    let mut guess = *lengths;
    if guess.price.count().max(guess.qty.count()) > NUMBER_BYTES_MAX {
        guess = Lengths::default();
    }
    let mut keep = keep_of(guess);

    let mut count = 0;
    cursor.expect(b"[\"")?;
    loop {
        // The cursor stands at the price's first byte.
        let price_end = guess.price.count() as isize;
        let qty_end = price_end + 3 + guess.qty.count() as isize;
        let text = cursor.pointer();
        // SAFETY: both offsets are in `[10, 35]`, so the loads begin at most 6 bytes before the
        // cursor and end inside the slack.
        let numbers = unsafe { two_lanes(text.offset(price_end - 16), text.offset(qty_end - 16)) };
        let values = _mm256_and_si256(_mm256_xor_si256(numbers, form), keep);
        let wrong = _mm256_subs_epu8(values, excess);
        let between = (cursor.four(price_end) ^ BETWEEN) & 0x00FF_FFFF;
        let close = cursor.two(qty_end) ^ CLOSE;
        if between | close != 0 || _mm256_testz_si256(wrong, wrong) == 0 {
            if let Some(measured) = measure(&cursor).filter(|measured| *measured != guess) {
                guess = measured;
                keep = keep_of(guess);
                continue;
            }
            let level;
            (cursor, level) = any_level(cursor, &tick, &lot)?;
            *side.get_mut(count)? = level;
            count += 1;
        } else {
            let digits = _mm256_shuffle_epi8(values, squeeze);
            let pairs = _mm256_maddubs_epi16(digits, tens);
            let fours = _mm256_madd_epi16(pairs, hundreds);
            let packed = _mm256_packus_epi32(fours, fours);
            let eights = _mm256_madd_epi16(packed, ten_thousands);
            let price = _mm_cvtsi128_si64(_mm256_castsi256_si128(eights)) as u64;
            let qty = _mm_cvtsi128_si64(_mm256_extracti128_si256::<1>(eights)) as u64;
            *side.get_mut(count)? = grid_level(e8(price), e8(qty), &tick, &lot)?;
            count += 1;
            cursor.advance(qty_end as usize + 2)?;
        }
        if !cursor.take(b",[\"") {
            *lengths = guess;
            cursor.expect(b"]")?;
            *place = cursor;
            return Some(count);
        }
    }
}

/// How long the numbers of the level are whose price begins here, if this file reads such numbers.
#[inline]
#[target_feature(enable = "avx2,bmi1")]
fn measure(cursor: &Cursor<'_>) -> Option<Lengths> {
    // SAFETY: 32 bytes from a place in the message are inside the slack.
    let text = unsafe { _mm256_loadu_si256(cursor.pointer().cast()) };
    let quotes = _mm256_cmpeq_epi8(text, _mm256_set1_epi8(b'"' as i8));
    let first = _mm256_movemask_epi8(quotes) as u32;
    let second = first & first.wrapping_sub(1);
    let third = second & second.wrapping_sub(1);
    let price = first.trailing_zeros() as usize;
    let qty = (third.trailing_zeros() as usize).checked_sub(price + 3)?;
    if third == 0 || price.max(qty) > NUMBER_BYTES_MAX {
        return None;
    }
    Some(Lengths {
        price: NumberBytes::new(price)?,
        qty: NumberBytes::new(qty)?,
    })
}

/// The mask that keeps the price in the low lane and the quantity in the high one.
#[inline]
#[target_feature(enable = "avx2")]
fn keep_of(lengths: Lengths) -> __m256i {
    let price = &KEEP[lengths.price.count()..][..16];
    let qty = &KEEP[lengths.qty.count()..][..16];
    // SAFETY: both are slices of 16 bytes.
    unsafe { two_lanes(price.as_ptr(), qty.as_ptr()) }
}

/// 1e-8 units from the whole number in the low half and the fraction in the high half.
#[inline(always)]
fn e8(halves: u64) -> u64 {
    (halves & 0xFFFF_FFFF) * E8_PER_ONE + (halves >> 32)
}

#[inline]
#[target_feature(enable = "avx2")]
fn both_lanes(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: the array is 16 bytes long.
    unsafe { two_lanes(bytes.as_ptr(), bytes.as_ptr()) }
}

/// Sixteen bytes into each lane.
///
/// # Safety
/// 16 bytes are readable at both places.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn two_lanes(low: *const u8, high: *const u8) -> __m256i {
    // SAFETY: the caller vouches for both; the loads need no alignment.
    unsafe { _mm256_set_m128i(_mm_loadu_si128(high.cast()), _mm_loadu_si128(low.cast())) }
}
