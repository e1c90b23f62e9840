//! JSON as the venue might send it one day: keys in any order, keys that we do not know, white
//! space, escapes. Built on `serde_json`.
//!
//! Owns: [`Members`], [`each_element`] and the readers of scalars. Does not: know a venue's keys,
//! copy values. Invariants: object keys are compared by case; a key that was asked for and
//! stands twice is a fault; nothing outside the text is read.
//!
//! `serde_json` boxes its errors, so a message at fault costs an allocation; a good one costs none
//! unless it holds escapes.

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
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
    values: [Option<&'a RawValue>; N],
}

impl<'a, const N: usize> Members<'a, N> {
    /// Reads the object that is the whole of `text` and keeps the values of `keys`.
    ///
    /// # Errors
    /// [`JsonFault::WrongType`] when the text is valid JSON but no object.
    pub fn read(text: &'a str, keys: &'static [&'static str; N]) -> Result<Self, JsonFault> {
        let mut duplicate = None;
        let mut members = Self { values: [None; N] };
        let mut json = serde_json::Deserializer::from_str(text);
        let read = json.deserialize_map(MembersVisitor {
            keys,
            values: &mut members.values,
            duplicate: &mut duplicate,
        });
        match read.and_then(|()| json.end()) {
            Ok(()) => Ok(members),
            Err(_) if duplicate.is_some() => {
                Err(duplicate.map_or(JsonFault::Syntax, JsonFault::DuplicateKey))
            }
            Err(error) if error.is_data() && serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                Err(JsonFault::WrongType)
            }
            Err(_) => Err(JsonFault::Syntax),
        }
    }

    /// The raw value of `keys[position]`, when the object had that key.
    pub fn get(&self, position: usize) -> Option<&'a RawValue> {
        self.values[position]
    }
}

struct MembersVisitor<'m, 'a, const N: usize> {
    keys: &'static [&'static str; N],
    values: &'m mut [Option<&'a RawValue>; N],
    duplicate: &'m mut Option<&'static str>,
}

impl<'de, const N: usize> Visitor<'de> for MembersVisitor<'_, 'de, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(position) = map.next_key_seed(KeySeed(self.keys))? {
            let Some(position) = position else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&'de RawValue>()?;
            if self.values[position].replace(value).is_some() {
                *self.duplicate = Some(self.keys[position]);
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(())
    }
}

struct KeySeed(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == key))
    }
}

/// Calls `read` with the raw text of each element of an array, until it fails.
///
/// # Errors
/// What `read` returns; [`JsonFault::WrongType`] when `array` is no array.
pub fn each_element<'a, E: From<JsonFault>>(
    array: &'a RawValue,
    read: impl FnMut(&'a RawValue) -> Result<(), E>,
) -> Result<(), E> {
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_str(array.get());
    let done = json.deserialize_seq(ElementsVisitor {
        read,
        fault: &mut fault,
    });
    match (done, fault) {
        (_, Some(fault)) => Err(fault),
        (Ok(()), None) => Ok(()),
        (Err(_), None) => Err(JsonFault::WrongType.into()),
    }
}

struct ElementsVisitor<'f, F, E> {
    read: F,
    fault: &'f mut Option<E>,
}

impl<'de, E, F: FnMut(&'de RawValue) -> Result<(), E>> Visitor<'de> for ElementsVisitor<'_, F, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&'de RawValue>()? {
            if let Err(fault) = (self.read)(element) {
                *self.fault = Some(fault);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// Calls `read` with the text of a string, escapes resolved.
///
/// # Errors
/// [`JsonFault::WrongType`] for anything but a string, [`JsonFault::Syntax`] for one with a broken
/// escape.
pub fn with_text<R>(value: &RawValue, read: impl FnOnce(&str) -> R) -> Result<R, JsonFault> {
    if !value.get().starts_with('"') {
        return Err(JsonFault::WrongType);
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
pub fn unsigned(value: &RawValue) -> Result<u64, JsonFault> {
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
pub fn signed(value: &RawValue) -> Result<i64, JsonFault> {
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
pub fn boolean(value: &RawValue) -> Result<bool, JsonFault> {
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
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("valid JSON");
        assert_eq!(unsigned(&raw("18446744073709551615")), Ok(u64::MAX));
        assert_eq!(
            unsigned(&raw("18446744073709551616")),
            Err(JsonFault::Range)
        );
        for wrong in ["-1", "1.0", "1e3", "\"1\"", "null", "[]"] {
            assert_eq!(unsigned(&raw(wrong)), Err(JsonFault::WrongType), "{wrong}");
        }
        assert_eq!(signed(&raw("-2015")), Ok(-2015));
        assert_eq!(signed(&raw("-0.5")), Err(JsonFault::WrongType));
        assert_eq!(boolean(&raw("true")), Ok(true));
        assert_eq!(boolean(&raw("1")), Err(JsonFault::WrongType));
        assert_eq!(
            with_text(&raw(r#""\u0031.5""#), str::to_owned),
            Ok("1.5".to_owned())
        );
        assert_eq!(
            with_text(&raw(r#""\ud800""#), str::to_owned),
            Err(JsonFault::Syntax)
        );
        assert_eq!(
            with_text(&raw("1"), str::to_owned),
            Err(JsonFault::WrongType)
        );
    }
}
