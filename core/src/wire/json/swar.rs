//! Digits in general registers: eight bytes of text in one word, first byte lowest.
//!
//! Owns: the test for digits and the conversion of eight of them. Does not: load anything.

#![expect(
    clippy::inline_always,
    reason = "one message is one straight run of code; a call for every token costs a third of it"
)]

/// `'0'` in every byte.
pub(super) const ZEROS: u64 = 0x3030_3030_3030_3030;

/// One byte repeated eight times.
pub(super) const fn splat(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

/// Non-zero if and only if some byte is above nine. The lowest set bit marks the first such byte;
/// what stands above it may be a carry and means nothing.
#[inline(always)]
pub(super) const fn above_nine(values: u64) -> u64 {
    (values.wrapping_add(splat(0x76)) | values) & splat(0x80)
}

/// Non-zero if and only if some byte of `text` is `byte`. The lowest set bit marks the first one.
#[inline(always)]
pub(super) const fn equal(text: u64, byte: u8) -> u64 {
    let difference = text ^ splat(byte);
    difference.wrapping_sub(splat(1)) & !difference & splat(0x80)
}

/// Non-zero if and only if some byte is a control character, a backslash, or no ASCII. The lowest set bit
/// marks the first one.
#[inline(always)]
pub(super) const fn not_plain(text: u64) -> u64 {
    let control = text.wrapping_sub(splat(0x20)) & !text & splat(0x80);
    control | (text & splat(0x80)) | equal(text, b'\\')
}

/// How many of the eight bytes of text, from the first on, are digits.
#[inline(always)]
pub(super) const fn digit_run(text: u64) -> usize {
    (above_nine(text ^ ZEROS).trailing_zeros() / 8) as usize
}

/// The number that eight digit **values** (not characters) make, most significant first.
#[inline(always)]
pub(super) const fn eight(values: u64) -> u64 {
    // Neighbours join: 8 digits, 4 pairs, then two multiplications add up pairs 0+2 and 1+3.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let mask = 0x0000_00FF_0000_00FF;
    let even = (pairs & mask).wrapping_mul(100 + (1_000_000 << 32));
    let odd = ((pairs >> 16) & mask).wrapping_mul(1 + (10_000 << 32));
    even.wrapping_add(odd) >> 32
}

/// The values of the first `count` digits of a word, moved to its end with zeros before them;
/// `count` in `[1, 8]`.
#[inline(always)]
pub(super) const fn leading(text: u64, count: usize) -> u64 {
    (text ^ ZEROS) << (64 - 8 * count)
}

/// The values of the last `count` digits of a word, with zeros in place of what stands before them;
/// `count` in `[1, 8]`.
#[inline(always)]
pub(super) const fn trailing(text: u64, count: usize) -> u64 {
    let outside = 64 - 8 * count;
    ((text ^ ZEROS) >> outside) << outside
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(text: &str) -> u64 {
        u64::from_le_bytes(text.as_bytes().try_into().expect("eight bytes"))
    }

    #[test]
    fn digits_become_their_number() {
        assert_eq!(eight(word("00000000") ^ ZEROS), 0);
        assert_eq!(eight(word("12345678") ^ ZEROS), 12_345_678);
        assert_eq!(eight(word("99999999") ^ ZEROS), 99_999_999);
        assert_eq!(eight(leading(word("123,\"U\":"), 3)), 123);
        assert_eq!(eight(trailing(word(",[\"61837"), 5)), 61_837);
        assert_eq!(digit_run(word("12345678")), 8);
        assert_eq!(digit_run(word("1234:678")), 4);
        assert_eq!(digit_run(word("/2345678")), 0);
    }

    proptest! {
        #[test]
        fn the_first_byte_that_is_not_plain_is_marked(bytes: [u8; 8]) {
            let plain = |byte: &u8| (0x20..0x80).contains(byte) && *byte != b'\\';
            let expected = bytes.iter().position(|byte| !plain(byte)).unwrap_or(8);
            let found = not_plain(u64::from_le_bytes(bytes)).trailing_zeros() / 8;
            prop_assert_eq!(found as usize, expected);
        }

        #[test]
        fn a_run_of_digits_ends_where_the_first_other_byte_stands(bytes: [u8; 8]) {
            let expected = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(8);
            prop_assert_eq!(digit_run(u64::from_le_bytes(bytes)), expected);
        }

        #[test]
        fn eight_digits_agree_with_the_standard_library(number in 0u64..100_000_000) {
            prop_assert_eq!(eight(word(&format!("{number:08}")) ^ ZEROS), number);
        }
    }
}
