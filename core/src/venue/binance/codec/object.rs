//! An object's values by key, and the fault that each failed access is.
//!
//! Owns: [`Key`], the macro `keys!` that makes a list of them, and typed access to the values of an object
//! that was read with such a list. Does not: know which object needs which keys. One list serves all objects
//! of its kind of message, so a key of ours that stands twice is a fault also where it means nothing.

use crate::units::{E8, Grid, VenueMillis};
use crate::venue::binance::fault::{Fault, VenueFault};
use crate::wire::json::raw::Raw;
use crate::wire::json::tolerant::{JsonFault, Members, boolean, signed, unsigned, with_text};

/// One key of a list of `N`.
#[derive(Clone, Copy)]
pub(super) struct Key<const N: usize> {
    place: usize,
    name: &'static str,
}

impl<const N: usize> Key<N> {
    /// The key of this name, found when the program is built.
    pub(super) const fn of(keys: &[&'static str; N], name: &'static str) -> Self {
        let mut place = 0;
        while place < N {
            if same(keys[place].as_bytes(), name.as_bytes()) {
                return Self { place, name };
            }
            place += 1;
        }
        panic!("no such key")
    }

    /// The key as the venue writes it.
    pub(super) const fn name(self) -> &'static str {
        self.name
    }
}

/// Declares the keys of one kind of message, the type of its objects, and how they are read.
macro_rules! keys {
    ($($name:ident = $text:literal),* $(,)?) => {
        const KEYS: [&str; [$($text),*].len()] = [$($text),*];
        $(pub(super) const $name: Key = Key::of(&KEYS, $text);)*

        /// One key of this list.
        pub(super) type Key = $crate::venue::binance::codec::object::Key<{ KEYS.len() }>;

        /// One object of a message.
        pub(super) type Object<'a> = $crate::wire::json::tolerant::Members<'a, { KEYS.len() }>;

        /// The keys of an object; `None` when the text is valid JSON of another type.
        pub(super) fn object(
            text: &str,
        ) -> Result<Option<Object<'_>>, $crate::venue::binance::fault::Fault> {
            $crate::venue::binance::codec::object::read(text, &KEYS)
        }
    };
}
pub(super) use keys;

/// The keys of an object; `None` when the text is valid JSON of another type.
pub(super) fn read<'a, const N: usize>(
    text: &'a str,
    keys: &'static [&'static str; N],
) -> Result<Option<Members<'a, N>>, Fault> {
    match Members::read(text, keys) {
        Ok(members) => Ok(Some(members)),
        Err(JsonFault::WrongType) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// A fault in the value of a key.
pub(super) fn json<const N: usize>(fault: JsonFault, key: Key<N>) -> Fault {
    match fault {
        JsonFault::Syntax => Fault::field(VenueFault::Malformed, key.name),
        JsonFault::WrongType => Fault::field(VenueFault::WrongType, key.name),
        JsonFault::DuplicateKey(name) => Fault::field(VenueFault::DuplicateKey, name),
        JsonFault::Range => Fault::field(VenueFault::NumberRange, key.name),
    }
}

impl From<JsonFault> for Fault {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::Syntax => Self::new(VenueFault::Malformed),
            JsonFault::WrongType => Self::new(VenueFault::WrongType),
            JsonFault::DuplicateKey(name) => Self::field(VenueFault::DuplicateKey, name),
            JsonFault::Range => Self::new(VenueFault::NumberRange),
        }
    }
}

impl<'a, const N: usize> Members<'a, N> {
    /// The value of a key that may be there.
    pub(super) fn optional(&self, key: Key<N>) -> Option<Raw<'a>> {
        self.get(key.place)
    }

    /// Whether it has this key.
    pub(super) fn has(&self, key: Key<N>) -> bool {
        self.optional(key).is_some()
    }

    /// The value of a key that must be there.
    pub(super) fn raw(&self, key: Key<N>) -> Result<Raw<'a>, Fault> {
        self.optional(key)
            .ok_or(Fault::field(VenueFault::MissingField, key.name))
    }

    pub(super) fn unsigned(&self, key: Key<N>) -> Result<u64, Fault> {
        unsigned(self.raw(key)?).map_err(|fault| json(fault, key))
    }

    pub(super) fn signed(&self, key: Key<N>) -> Result<i64, Fault> {
        signed(self.raw(key)?).map_err(|fault| json(fault, key))
    }

    /// A number that fits 32 bits.
    pub(super) fn unsigned_32(&self, key: Key<N>) -> Result<u32, Fault> {
        u32::try_from(self.unsigned(key)?)
            .map_err(|_| Fault::field(VenueFault::NumberRange, key.name))
    }

    /// The venue's status of an answer.
    pub(super) fn status(&self, key: Key<N>) -> Result<u16, Fault> {
        u16::try_from(self.unsigned(key)?)
            .map_err(|_| Fault::field(VenueFault::NumberRange, key.name))
    }

    /// The venue's code of an error.
    pub(super) fn code(&self, key: Key<N>) -> Result<i32, Fault> {
        i32::try_from(self.signed(key)?)
            .map_err(|_| Fault::field(VenueFault::NumberRange, key.name))
    }

    pub(super) fn millis(&self, key: Key<N>) -> Result<VenueMillis, Fault> {
        self.unsigned(key).map(VenueMillis)
    }

    pub(super) fn boolean(&self, key: Key<N>) -> Result<bool, Fault> {
        boolean(self.raw(key)?).map_err(|fault| json(fault, key))
    }

    /// A decimal in a string, as whole units of a grid.
    pub(super) fn decimal(&self, key: Key<N>, grid: Grid) -> Result<i64, Fault> {
        self.text(key, |text| grid.parse(text.as_bytes()))?
            .map_err(|error| Fault::field(error.into(), key.name))
    }

    /// A decimal in a string.
    pub(super) fn amount(&self, key: Key<N>) -> Result<E8, Fault> {
        self.text(key, |text| E8::parse(text.as_bytes()))?
            .map_err(|error| Fault::field(error.into(), key.name))
    }

    /// A decimal in a string, with a minus in front if it is negative.
    pub(super) fn signed_amount(&self, key: Key<N>) -> Result<E8, Fault> {
        self.text(key, |text| match text.strip_prefix('-') {
            Some(magnitude) => E8::parse(magnitude.as_bytes()).map(|value| E8(-value.0)),
            None => E8::parse(text.as_bytes()),
        })?
        .map_err(|error| Fault::field(error.into(), key.name))
    }

    /// What `read` makes of a string, escapes resolved.
    pub(super) fn text<R>(&self, key: Key<N>, read: impl FnOnce(&str) -> R) -> Result<R, Fault> {
        with_text(self.raw(key)?, read).map_err(|fault| json(fault, key))
    }

    /// A request's id where it is an integer, as all of ours are.
    pub(super) fn request_id(&self, key: Key<N>) -> Option<i64> {
        signed(self.optional(key)?).ok()
    }
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
