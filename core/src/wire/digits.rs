//! Decimal digits of an integer, without allocation or formatting machinery.
//!
//! Owns: [`Digits`]. Does not: know signs or fractions.

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
}
