//! Decimal digits of an integer, without allocation or formatting machinery.
//!
//! Owns: [`Digits`], and eight digits at once as a word. Does not: know signs or fractions.

/// The digits of one number.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    bytes: [u8; Self::LEN_MAX],
    start: usize,
}

impl Digits {
    /// Digits of the largest 64-bit number.
    pub const LEN_MAX: usize = 20;

    /// The digits of `number`.
    pub const fn new(mut number: u64) -> Self {
        let mut bytes = [0; Self::LEN_MAX];
        let mut start = Self::LEN_MAX;
        loop {
            start -= 1;
            bytes[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { bytes, start };
            }
        }
    }

    /// The digits, most significant first, at least one.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// `'0'` in every byte.
pub(crate) const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight digits of a number below 100,000,000, zeros in front, the first one in the lowest byte.
///
/// Halves, quarters and single digits part by multiplications that serve all lanes at once.
#[inline]
pub(crate) const fn eight_digits(number: u32) -> u64 {
    let number = number as u64;
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007F_0000_007F;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000F_000F_000F_000F;
    (tens | ((twos - 10 * tens) << 8)) + ZEROS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        let mut number = 1u64;
        for _ in 0..200 {
            for near in [number - 1, number, number.wrapping_add(1)] {
                assert_eq!(Digits::new(near).bytes(), near.to_string().as_bytes());
            }
            number = number.wrapping_mul(3).max(1);
        }
        assert_eq!(
            Digits::new(u64::MAX).bytes().len(),
            Digits::LEN_MAX,
            "the bound is tight"
        );
    }

    #[test]
    fn eight_digits_are_those_of_the_standard_library() {
        let check = |number: u32| {
            let text = eight_digits(number).to_le_bytes();
            assert_eq!(text, format!("{number:08}").as_bytes(), "{number}");
        };
        // Every quarter alone and with its neighbour, then a walk through all magnitudes.
        for four in 0..10_000 {
            check(four);
            check(four * 10_000);
            check(four * 10_000 + (9_999 - four));
        }
        for step in 0..100_000 {
            check(step * 997 % 100_000_000);
        }
        check(99_999_999);
    }
}
