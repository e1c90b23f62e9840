//! Numbers of requests, from their text to an integer of their unit.
//!
//! Owns: [`decimal`], [`whole`], [`price`], [`qty`]. Invariants: nothing is rounded and nothing passes a float; a number that does
//! not fit its unit is refused, with the field named. An exponent is legal here (`1e-05` is how Python
//! prints a hundred-thousandth), although it stays a fault of a venue.

use crate::http::body::{Fields, expected};
use crate::http::problem::Problem;
use veloz_core::instrument::Instrument;
use veloz_core::units::{E8, E8_PLACES, Lots, Ticks};

/// Characters of a number that are read: no value of ours needs half of them.
const CHARS_MAX: usize = 64;

/// Why a text is no number of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadNumber {
    /// Not a decimal number.
    Syntax,
    /// Finer than 1e-8.
    TooFine,
    /// Larger than 64 bits of 1e-8.
    TooLarge,
}

/// Reads `-digits.digits e-digits`, every part but the first digits optional, as JSON has it.
pub(crate) fn decimal(text: &str) -> Result<E8, BadNumber> {
    if text.len() > CHARS_MAX {
        return Err(BadNumber::Syntax);
    }
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (rest, 0),
    };
    let (whole, places) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(BadNumber::Syntax),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(places) {
        return Err(BadNumber::Syntax);
    }
    let all = format!("{whole}{places}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Ok(E8(0));
    }
    let idle_zeros = all.len() - all.trim_end_matches('0').len();
    let shift = exponent + idle_zeros as i64 - places.len() as i64 + i64::from(E8_PLACES);
    if shift < 0 {
        return Err(BadNumber::TooFine);
    }
    // Significant digits that overflow an i64 times a power of ten do so without that power too.
    let power = u32::try_from(shift)
        .ok()
        .and_then(|shift| 10i64.checked_pow(shift));
    let value = significant
        .parse::<i64>()
        .ok()
        .zip(power)
        .and_then(|(digits, power)| digits.checked_mul(power))
        .ok_or(BadNumber::TooLarge)?;
    Ok(E8(if negative { -value } else { value }))
}

fn exponent_of(text: &str) -> Result<i64, BadNumber> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadNumber::Syntax);
    }
    // One that is longer moves the number out of every range, whatever it is exactly.
    let size = digits.trim_start_matches('0');
    let size: i64 = if size.len() > 4 {
        10_000
    } else {
        size.parse().unwrap_or(0)
    };
    Ok(if text.starts_with('-') { -size } else { size })
}

/// A decimal that may be missing.
///
/// # Errors
/// `bad_params` names the field.
pub(crate) fn optional_decimal(fields: &Fields, name: &'static str) -> Result<Option<E8>, Problem> {
    fields
        .optional_number(name)?
        .map(|text| decimal(text).map_err(|bad| refusal(name, bad)))
        .transpose()
}

/// A whole number from one to `max`.
///
/// # Errors
/// `bad_params` names the field.
pub(crate) fn whole(name: &'static str, text: &str, max: u64) -> Result<u64, Problem> {
    text.parse::<u64>()
        .ok()
        .filter(|number| (1..=max).contains(number))
        .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| expected(name, &format!("a whole number from 1 to {max}")))
}

/// What is wrong with a number, in words.
pub(crate) fn refusal(name: &'static str, bad: BadNumber) -> Problem {
    expected(
        name,
        match bad {
            BadNumber::Syntax => "a finite decimal number",
            BadNumber::TooFine => "a number of at most eight decimal places",
            BadNumber::TooLarge => "a number below 92233720368",
        },
    )
}

/// A positive price of an instrument that may be missing.
///
/// # Errors
/// `bad_params` names the field.
pub(crate) fn price(
    fields: &Fields,
    name: &'static str,
    instrument: &Instrument,
) -> Result<Option<Ticks>, Problem> {
    optional_decimal(fields, name)?
        .map(|value| on_grid(name, value, &instrument.tick, "price").map(Ticks))
        .transpose()
}

/// A positive quantity of an instrument.
///
/// # Errors
/// `bad_params` names the field.
pub(crate) fn qty(
    fields: &Fields,
    name: &'static str,
    instrument: &Instrument,
) -> Result<Lots, Problem> {
    let value = optional_decimal(fields, name)?.ok_or_else(|| expected(name, "a number"))?;
    on_grid(name, value, &instrument.lot, "quantity").map(Lots)
}

fn on_grid(
    name: &'static str,
    value: E8,
    grid: &veloz_core::units::Grid,
    what: &str,
) -> Result<i64, Problem> {
    if value.0 <= 0 {
        return Err(expected(name, "a number above zero"));
    }
    grid.divide_exact(value).ok_or_else(|| {
        let unit = grid.unit();
        expected(name, &format!("a multiple of the finest {what}, {unit},"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Code;
    use crate::testing::instruments;
    use proptest::prelude::*;
    use veloz_core::instrument::InstrumentIndex;

    #[test]
    fn numbers_are_what_their_text_says() {
        for (text, e8) in [
            ("1e-05", 1_000),
            ("1E-8", 1),
            ("0.00001", 1_000),
            ("61837.63", 6_183_763_000_000),
            ("6.183763e4", 6_183_763_000_000),
            ("0", 0),
            ("-0.0e99999999", 0),
            ("-1.50", -150_000_000),
            ("1000000000000000000000e-18", 100_000_000_000),
            ("92233720368.54775807", i64::MAX),
            ("100e+2", 1_000_000_000_000),
            ("0000.5", 50_000_000),
        ] {
            assert_eq!(decimal(text), Ok(E8(e8)), "{text}");
        }
        for (text, bad) in [
            ("", BadNumber::Syntax),
            ("-", BadNumber::Syntax),
            (".5", BadNumber::Syntax),
            ("1.", BadNumber::Syntax),
            ("+1", BadNumber::Syntax),
            ("NaN", BadNumber::Syntax),
            ("nan", BadNumber::Syntax),
            ("Infinity", BadNumber::Syntax),
            ("inf", BadNumber::Syntax),
            ("-inf", BadNumber::Syntax),
            ("1e", BadNumber::Syntax),
            ("1e+", BadNumber::Syntax),
            ("1e1.5", BadNumber::Syntax),
            ("0x10", BadNumber::Syntax),
            ("1 ", BadNumber::Syntax),
            ("1\n2", BadNumber::Syntax),
            ("1_000", BadNumber::Syntax),
            ("\u{661}", BadNumber::Syntax),
            ("1e-9", BadNumber::TooFine),
            ("0.000000001", BadNumber::TooFine),
            ("1e-99999999999999999999", BadNumber::TooFine),
            ("92233720368.54775808", BadNumber::TooLarge),
            ("1e99999999999999999999", BadNumber::TooLarge),
            ("99999999999999999999", BadNumber::TooLarge),
        ] {
            assert_eq!(decimal(text), Err(bad), "{text:?}");
        }
        assert_eq!(decimal(&"1".repeat(65)), Err(BadNumber::Syntax));
    }

    #[test]
    fn prices_and_quantities_lie_on_their_grids() {
        let instruments = instruments();
        // Cents, and lots of 0.00001.
        let bitcoin = instruments.get(InstrumentIndex(0));
        let fields = Fields::parse(
            br#"{"good":"61837.63","off":61837.635,"zero":0,"small":1e-05,"negative":-1,"fine":1e-6,"word":"NaN"}"#,
        )
        .expect("JSON");
        assert_eq!(price(&fields, "good", bitcoin), Ok(Some(Ticks(6_183_763))));
        assert_eq!(price(&fields, "absent", bitcoin), Ok(None));
        assert_eq!(qty(&fields, "small", bitcoin), Ok(Lots(1)));
        for refused in [
            price(&fields, "off", bitcoin).map(|_| ()),
            price(&fields, "zero", bitcoin).map(|_| ()),
            qty(&fields, "negative", bitcoin).map(|_| ()),
            qty(&fields, "fine", bitcoin).map(|_| ()),
            qty(&fields, "word", bitcoin).map(|_| ()),
            qty(&fields, "absent", bitcoin).map(|_| ()),
        ] {
            assert_eq!(refused.expect_err("refused").code(), Code::BadParams);
        }
    }

    proptest! {
        /// What we print reads back, and an exponent moves the point.
        #[test]
        fn any_amount_reads_back(e8 in any::<i64>().prop_filter("has a positive twin", |e8| *e8 != i64::MIN)) {
            prop_assert_eq!(decimal(&E8(e8).to_string()), Ok(E8(e8)));
            prop_assert_eq!(decimal(&format!("{e8}e-8")), Ok(E8(e8)));
            prop_assert_eq!(decimal(&format!("{e8}000e-11")), Ok(E8(e8)));
        }

        #[test]
        fn no_text_panics(text in "[-+.0-9eE]{0,24}") {
            let _ = decimal(&text);
        }
    }
}
