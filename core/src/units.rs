//! Units of the trading path: time, prices, quantities, and exact decimal text.
//!
//! Owns: [`Nanos`], [`Ticks`], [`Lots`], [`Level`], [`E8`], and the [`Grid`] that ties decimal text to a
//! venue's tick or lot size. Does not: know instruments, round, or touch floating point.
//! Invariant: text becomes an integer of its unit or a [`DecimalError`]; nothing is approximated.

use std::fmt;

/// Nanoseconds on the engine's monotonic clock; its zero is the clock's calibration at start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time that no deadline reaches.
    pub const MAX: Self = Self(u64::MAX);
    /// The clock's zero.
    pub const ZERO: Self = Self(0);

    /// Whole microseconds as nanoseconds.
    pub const fn from_us(us: u64) -> Self {
        Self(us * 1_000)
    }

    /// Whole milliseconds as nanoseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Whole seconds as nanoseconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// `self` plus a duration; saturates at [`Nanos::MAX`].
    #[must_use]
    pub const fn plus(self, duration: Self) -> Self {
        Self(self.0.saturating_add(duration.0))
    }
}

/// Milliseconds since the Unix epoch on the **venue's** clock, as its events carry them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct VenueMillis(pub u64);

/// A price in whole ticks of its instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Ticks(pub i64);

/// A quantity in whole lots of its instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Lots(pub i64);

impl Lots {
    /// No quantity: at a price level it means that the level is gone.
    pub const ZERO: Self = Self(0);
}

/// One price level of a book, or of a message about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level {
    /// Where.
    pub price: Ticks,
    /// How much stands there; [`Lots::ZERO`] in a message means that the level is gone.
    pub qty: Lots,
}

/// A decimal with eight places, as an integer of 1e-8 units: the venue's own resolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct E8(pub i64);

/// Decimal places of [`E8`].
pub const E8_PLACES: u32 = 8;
/// One whole unit in [`E8`].
pub const E8_ONE: i64 = 100_000_000;

/// Why decimal text is not a value of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not `digits[.digits]`: a sign, an exponent, a space, nothing at all, or a stray byte.
    #[error("not a plain decimal number")]
    Syntax,
    /// A valid decimal that is no whole multiple of the tick or lot size.
    #[error("not a multiple of the tick or lot size")]
    OffGrid,
    /// A valid decimal outside the range of 64-bit 1e-8 units.
    #[error("outside the range of 64-bit 1e-8 units")]
    Range,
}

impl E8 {
    /// Reads `digits[.digits]`, non-negative, without exponent, as venues print numbers.
    ///
    /// Places beyond the eighth must be zeros.
    ///
    /// # Errors
    /// [`DecimalError::OffGrid`] for a non-zero ninth place, else as the variant says.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let mut value: i64 = 0;
        let mut places: Option<u32> = None;
        let mut digits = 0usize;
        let mut off_grid = false;
        for &byte in text {
            match byte {
                b'0'..=b'9' => {
                    digits += 1;
                    let digit = i64::from(byte - b'0');
                    match &mut places {
                        Some(count) if *count == E8_PLACES => off_grid |= digit != 0,
                        counted => {
                            if let Some(count) = counted {
                                *count += 1;
                            }
                            value = value
                                .checked_mul(10)
                                .and_then(|v| v.checked_add(digit))
                                .ok_or_else(|| {
                                    if is_plain_decimal(text) {
                                        DecimalError::Range
                                    } else {
                                        DecimalError::Syntax
                                    }
                                })?;
                        }
                    }
                }
                b'.' if places.is_none() && digits > 0 => places = Some(0),
                _ => return Err(DecimalError::Syntax),
            }
        }
        if digits == 0 || text.last() == Some(&b'.') {
            return Err(DecimalError::Syntax);
        }
        if off_grid {
            return Err(DecimalError::OffGrid);
        }
        let scale = 10i64.pow(E8_PLACES - places.unwrap_or(0));
        value
            .checked_mul(scale)
            .map(Self)
            .ok_or(DecimalError::Range)
    }
}

/// Prints all eight places, as the venue does: `61837.63000000`.
impl fmt::Display for E8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let one = E8_ONE.unsigned_abs();
        write!(f, "{sign}{}.{:08}", magnitude / one, magnitude % one)
    }
}

/// A tick or lot size, prepared so that exact division costs one multiplication.
///
/// For a divisor `d = odd * 2^shift` and a value below 2^63 the quotient is
/// `rotate_right(value * odd^-1 mod 2^64, shift)`, and the division is exact if and only if that
/// is at most `(2^64 - 1) / d` (Granlund & Montgomery 1994, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    unit_e8: i64,
    inverse: u64,
    shift: u32,
    quotient_max: u64,
}

impl Grid {
    /// A grid of `unit`; `None` unless it is positive.
    pub const fn new(unit: E8) -> Option<Self> {
        if unit.0 <= 0 {
            return None;
        }
        let divisor = unit.0 as u64;
        let shift = divisor.trailing_zeros();
        let odd = divisor >> shift;
        // Newton's iteration doubles the correct bits each round: 3 -> 6 -> ... -> 96.
        let mut inverse = odd.wrapping_mul(3) ^ 2;
        let mut round = 0;
        while round < 4 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
            round += 1;
        }
        Some(Self {
            unit_e8: unit.0,
            inverse,
            shift,
            quotient_max: u64::MAX / divisor,
        })
    }

    /// The size of one unit.
    pub const fn unit(&self) -> E8 {
        E8(self.unit_e8)
    }

    /// How many units `value` is, if it is a whole non-negative number of them.
    #[inline]
    pub const fn divide_exact(&self, value: E8) -> Option<i64> {
        if value.0 < 0 {
            return None;
        }
        let quotient = (value.0 as u64)
            .wrapping_mul(self.inverse)
            .rotate_right(self.shift);
        if quotient <= self.quotient_max {
            Some(quotient as i64)
        } else {
            None
        }
    }

    /// Whole units in decimal text.
    ///
    /// # Errors
    /// As [`DecimalError`] says: syntax, off the grid, or out of range.
    pub fn parse(&self, text: &[u8]) -> Result<i64, DecimalError> {
        self.divide_exact(E8::parse(text)?)
            .ok_or(DecimalError::OffGrid)
    }

    /// The decimal value of a number of units; `None` when it leaves the range of [`E8`].
    pub const fn value(&self, units: i64) -> Option<E8> {
        match units.checked_mul(self.unit_e8) {
            Some(value) => Some(E8(value)),
            None => None,
        }
    }
}

/// Whether the whole text is `digits[.digits]`: decides between "too large" and "not a number".
fn is_plain_decimal(text: &[u8]) -> bool {
    let mut parts = text.split(|&byte| byte == b'.');
    let all_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let whole = parts.next().is_some_and(all_digits);
    let fraction = parts.next().is_none_or(all_digits);
    whole && fraction && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_becomes_an_integer_or_a_typed_error() {
        let cases: &[(&str, Result<i64, DecimalError>)] = &[
            ("61837.63000000", Ok(6_183_763_000_000)),
            ("0.00000001", Ok(1)),
            ("0", Ok(0)),
            ("100", Ok(10_000_000_000)),
            ("007.5", Ok(750_000_000)),
            ("92233720368.54775807", Ok(i64::MAX)),
            ("92233720368.54775808", Err(DecimalError::Range)),
            ("999999999999999999999999999999", Err(DecimalError::Range)),
            ("99999999999999999999999999999x", Err(DecimalError::Syntax)),
            ("0.000000001", Err(DecimalError::OffGrid)),
            ("0.000000010000", Ok(1)),
            ("", Err(DecimalError::Syntax)),
            (".", Err(DecimalError::Syntax)),
            (".5", Err(DecimalError::Syntax)),
            ("5.", Err(DecimalError::Syntax)),
            ("-1.0", Err(DecimalError::Syntax)),
            ("1e5", Err(DecimalError::Syntax)),
            ("1.2.3", Err(DecimalError::Syntax)),
            ("NaN", Err(DecimalError::Syntax)),
            (" 1", Err(DecimalError::Syntax)),
        ];
        for (text, expected) in cases {
            assert_eq!(
                E8::parse(text.as_bytes()).map(|e8| e8.0),
                *expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_grid_refuses_what_it_cannot_hold() {
        let cent = Grid::new(E8(1_000_000)).expect("positive");
        assert_eq!(cent.parse(b"61837.63000000"), Ok(6_183_763));
        assert_eq!(cent.parse(b"61837.63500000"), Err(DecimalError::OffGrid));
        assert_eq!(cent.parse(b"0.00000000"), Ok(0));
        assert_eq!(Grid::new(E8(0)), None);
        assert_eq!(Grid::new(E8(-5)), None);
    }

    proptest! {
        #[test]
        fn exact_division_agrees_with_the_hardware(unit in 1i64..=i64::MAX, value in 0i64..=i64::MAX) {
            let grid = Grid::new(E8(unit)).expect("positive");
            let expected = (value % unit == 0).then_some(value / unit);
            prop_assert_eq!(grid.divide_exact(E8(value)), expected);
        }

        #[test]
        fn multiples_divide(unit in 1i64..=1_000_000_000, count in 0i64..=9_000_000_000) {
            let grid = Grid::new(E8(unit)).expect("positive");
            if let Some(value) = grid.value(count) {
                prop_assert_eq!(grid.divide_exact(value), Some(count));
            }
        }

        #[test]
        fn printing_and_parsing_are_inverse(value in 0i64..=i64::MAX) {
            prop_assert_eq!(E8::parse(E8(value).to_string().as_bytes()), Ok(E8(value)));
        }
    }
}
