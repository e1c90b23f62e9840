//! JSON as the venue might send it one day: keys in any order, keys that we do not know, white
//! space, escapes.
//!
//! Owns: [`Members`], [`each_element`] and the readers of scalars. Does not: know a venue's keys,
//! copy values. Invariants: object keys are compared by case; a key that was asked for and
//! stands twice is a fault; nothing outside the text is read; nothing is allocated but for strings that hold
//! escapes, which `serde_json` resolves.

use super::raw::{Raw, Scan};
use serde::Deserializer as _;
use serde::de::Visitor;
use std::fmt;

/// Why a text is not the object or value that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// Not JSON.
    Syntax,
    /// JSON, but of another type.
    WrongType,
    /// This key stands twice.
    DuplicateKey(&'static str),
    /// An integer that does not fit 64 bits.
    Range,
}

/// The values of some keys of one object, as raw text.
#[derive(Clone, Copy)]
pub struct Members<'a, const N: usize> {
    values: [Option<Raw<'a>>; N],
}

impl<'a, const N: usize> Members<'a, N> {
    /// Reads the object that is the whole of `text` and keeps the values of `keys`.
    ///
    /// # Errors
    /// [`JsonFault::WrongType`] when the text is valid JSON but no object.
    pub fn read(text: &'a str, keys: &'static [&'static str; N]) -> Result<Self, JsonFault> {
        let mut members = Self { values: [None; N] };
        let mut scan = Scan::new(text);
        if !scan.take(b'{') {
            return Err(match Raw::new(text) {
                Some(_) => JsonFault::WrongType,
                None => JsonFault::Syntax,
            });
        }
        if !scan.take(b'}') {
            loop {
                let key = scan.key().ok_or(JsonFault::Syntax)?;
                let position = with_text(key, |key| keys.iter().position(|known| *known == key))?;
                let value = scan.value().ok_or(JsonFault::Syntax)?;
                if let Some(position) = position
                    && members.values[position].replace(value).is_some()
                {
                    return Err(JsonFault::DuplicateKey(keys[position]));
                }
                if !scan.take(b',') {
                    break;
                }
            }
            if !scan.take(b'}') {
                return Err(JsonFault::Syntax);
            }
        }
        if scan.is_at_end() {
            Ok(members)
        } else {
            Err(JsonFault::Syntax)
        }
    }

    /// The raw value of `keys[position]`, when the object had that key.
    pub fn get(&self, position: usize) -> Option<Raw<'a>> {
        self.values[position]
    }
}

/// Calls `read` with the raw text of each element of an array, until it fails.
///
/// # Errors
/// What `read` returns; [`JsonFault::WrongType`] when `array` is no array.
pub fn each_element<'a, E: From<JsonFault>>(
    array: Raw<'a>,
    mut read: impl FnMut(Raw<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut scan = Scan::new(array.get());
    if !scan.take(b'[') {
        return Err(JsonFault::WrongType.into());
    }
    if scan.take(b']') {
        return Ok(());
    }
    loop {
        let element = scan.value().expect("an array is a whole one");
        read(element)?;
        if !scan.take(b',') {
            return Ok(());
        }
    }
}

/// Calls `read` with the text of a string, escapes resolved.
///
/// # Errors
/// [`JsonFault::WrongType`] for anything but a string, [`JsonFault::Syntax`] for one with a broken
/// escape.
pub fn with_text<R>(value: Raw<'_>, read: impl FnOnce(&str) -> R) -> Result<R, JsonFault> {
    let Some(quoted) = value.get().strip_prefix('"') else {
        return Err(JsonFault::WrongType);
    };
    if !quoted.contains('\\') {
        return Ok(read(quoted.strip_suffix('"').unwrap_or(quoted)));
    }
    serde_json::Deserializer::from_str(value.get())
        .deserialize_str(TextVisitor(read))
        .map_err(|_| JsonFault::Syntax)
}

struct TextVisitor<F>(F);

impl<R, F: FnOnce(&str) -> R> Visitor<'_> for TextVisitor<F> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<R, E> {
        Ok((self.0)(text))
    }
}

/// A non-negative integer without fraction or exponent.
///
/// # Errors
/// [`JsonFault::Range`] when it is one beyond 64 bits, else [`JsonFault::WrongType`].
pub fn unsigned(value: Raw<'_>) -> Result<u64, JsonFault> {
    let text = value.get();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(JsonFault::WrongType);
    }
    text.parse().map_err(|_| JsonFault::Range)
}

/// An integer that may be negative, without fraction or exponent.
///
/// # Errors
/// [`JsonFault::Range`] when it is one beyond 64 bits, else [`JsonFault::WrongType`].
pub fn signed(value: Raw<'_>) -> Result<i64, JsonFault> {
    let text = value.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(JsonFault::WrongType);
    }
    text.parse().map_err(|_| JsonFault::Range)
}

/// `true` or `false`.
///
/// # Errors
/// [`JsonFault::WrongType`] for anything else.
pub fn boolean(value: Raw<'_>) -> Result<bool, JsonFault> {
    match value.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(JsonFault::WrongType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 2] = ["a", "A"];

    fn read(text: &str) -> Result<[Option<String>; 2], JsonFault> {
        let members = Members::read(text, &KEYS)?;
        Ok([0, 1].map(|position| members.get(position).map(|raw| raw.get().to_owned())))
    }

    #[test]
    fn an_object_gives_up_the_keys_that_were_asked_for() {
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(
            read(r#"{"A":1,"a":[2, 3]}"#),
            Ok([text("[2, 3]"), text("1")])
        );
        assert_eq!(
            read(" {\"x\":{\"a\":9} , \"a\" : null}\n"),
            Ok([text("null"), None])
        );
        assert_eq!(read(r#"{"\u0061":1}"#), Ok([text("1"), None]));
        assert_eq!(
            read(r#"{"a":1,"\u0061":1}"#),
            Err(JsonFault::DuplicateKey("a"))
        );
        assert_eq!(read("[1]"), Err(JsonFault::WrongType));
        for broken in [
            "",
            "{",
            r#"{"a":1"#,
            r#"{"a":01}"#,
            "{}x",
            "[1",
            "nul",
            r#"{"a"}"#,
        ] {
            assert_eq!(read(broken), Err(JsonFault::Syntax), "{broken:?}");
        }
    }

    #[test]
    fn scalars_are_strict() {
        fn raw(text: &str) -> Raw<'_> {
            Raw::new(text).expect("valid JSON")
        }
        assert_eq!(unsigned(raw("18446744073709551615")), Ok(u64::MAX));
        assert_eq!(unsigned(raw("18446744073709551616")), Err(JsonFault::Range));
        for wrong in ["-1", "1.0", "1e3", "\"1\"", "null", "[]"] {
            assert_eq!(unsigned(raw(wrong)), Err(JsonFault::WrongType), "{wrong}");
        }
        assert_eq!(signed(raw("-2015")), Ok(-2015));
        assert_eq!(signed(raw("-0.5")), Err(JsonFault::WrongType));
        assert_eq!(boolean(raw("true")), Ok(true));
        assert_eq!(boolean(raw("1")), Err(JsonFault::WrongType));
        assert_eq!(
            with_text(raw(r#""\u0031.5""#), str::to_owned),
            Ok("1.5".to_owned())
        );
        assert_eq!(
            with_text(raw(r#""\ud800""#), str::to_owned),
            Err(JsonFault::Syntax)
        );
        assert_eq!(
            with_text(raw("1"), str::to_owned),
            Err(JsonFault::WrongType)
        );
    }
}
