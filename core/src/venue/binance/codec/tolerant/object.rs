//! The keys that we read, and an object's values by key.
//!
//! Owns: the list of keys, typed access to values, and the fault that each failed access is. Does not:
//! know which object needs which keys. One list serves all objects, so a key of ours that stands
//! twice is a fault also where it means nothing.

use crate::units::{Grid, VenueMillis};
use crate::venue::binance::fault::{Fault, VenueFault};
use crate::wire::json::tolerant::{JsonFault, Members, boolean, signed, unsigned, with_text};
use serde_json::value::RawValue;

/// One key: its place in the list.
#[derive(Clone, Copy)]
pub(super) struct Key(usize);

macro_rules! keys {
    ($($name:ident = $text:literal),* $(,)?) => {
        const KEYS: [&str; [$($text),*].len()] = [$($text),*];
        $(pub(super) const $name: Key = Key(place($text));)*
    };
}

keys! {
    STREAM = "stream",
    DATA = "data",
    EVENT_TYPE = "e",
    EVENT_MS = "E",
    SYMBOL = "s",
    FIRST_ID = "U",
    LAST_ID = "u",
    SMALL_B = "b",
    BIG_B = "B",
    SMALL_A = "a",
    BIG_A = "A",
    TRADE_ID = "t",
    PRICE = "p",
    QTY = "q",
    TRADE_MS = "T",
    BUYER_IS_MAKER = "m",
    FIRST_TRADE_ID = "f",
    LAST_TRADE_ID = "l",
    LAST_UPDATE_ID = "lastUpdateId",
    BIDS = "bids",
    ASKS = "asks",
    RESULT = "result",
    ERROR = "error",
    CODE = "code",
    REQUEST_ID = "id",
    STATUS = "status",
    RATE_LIMITS = "rateLimits",
    EVENT = "event",
    SERVER_TIME = "serverTime",
    RETRY_AFTER = "retryAfter",
    LIMIT_TYPE = "rateLimitType",
    LIMIT = "limit",
    COUNT = "count",
}

/// One object of a message.
pub(super) type Object<'a> = Members<'a, { KEYS.len() }>;

impl Key {
    /// The key as the venue writes it.
    pub(super) const fn name(self) -> &'static str {
        KEYS[self.0]
    }
}

/// The keys of an object; `None` when the text is valid JSON of another type.
pub(super) fn object(text: &str) -> Result<Option<Object<'_>>, Fault> {
    match Members::read(text, &KEYS) {
        Ok(members) => Ok(Some(members)),
        Err(JsonFault::WrongType) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

pub(super) fn json(fault: JsonFault, key: Key) -> Fault {
    match fault {
        JsonFault::Syntax => Fault::field(VenueFault::Malformed, key.name()),
        JsonFault::WrongType => Fault::field(VenueFault::WrongType, key.name()),
        JsonFault::DuplicateKey(name) => Fault::field(VenueFault::DuplicateKey, name),
        JsonFault::Range => Fault::field(VenueFault::NumberRange, key.name()),
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

impl<'a> Object<'a> {
    /// The value of a key that may be there.
    pub(super) fn optional(&self, key: Key) -> Option<&'a RawValue> {
        self.get(key.0)
    }

    /// Whether it has this key.
    pub(super) fn has(&self, key: Key) -> bool {
        self.optional(key).is_some()
    }

    /// The value of a key that must be there.
    pub(super) fn raw(&self, key: Key) -> Result<&'a RawValue, Fault> {
        self.optional(key)
            .ok_or(Fault::field(VenueFault::MissingField, key.name()))
    }

    pub(super) fn unsigned(&self, key: Key) -> Result<u64, Fault> {
        unsigned(self.raw(key)?).map_err(|fault| json(fault, key))
    }

    pub(super) fn millis(&self, key: Key) -> Result<VenueMillis, Fault> {
        self.unsigned(key).map(VenueMillis)
    }

    pub(super) fn boolean(&self, key: Key) -> Result<bool, Fault> {
        boolean(self.raw(key)?).map_err(|fault| json(fault, key))
    }

    pub(super) fn decimal(&self, key: Key, grid: Grid) -> Result<i64, Fault> {
        with_text(self.raw(key)?, |text| grid.parse(text.as_bytes()))
            .map_err(|fault| json(fault, key))?
            .map_err(|error| Fault::field(error.into(), key.name()))
    }

    pub(super) fn code(&self) -> Result<i32, Fault> {
        let code = signed(self.raw(CODE)?).map_err(|fault| json(fault, CODE))?;
        i32::try_from(code).map_err(|_| Fault::field(VenueFault::NumberRange, CODE.name()))
    }

    /// The request's id where it is an integer, as all of ours are.
    pub(super) fn request_id(&self) -> Option<i64> {
        signed(self.optional(REQUEST_ID)?).ok()
    }
}

/// The place of a key in [`KEYS`], found when the program is built.
const fn place(key: &str) -> usize {
    let key = key.as_bytes();
    let mut place = 0;
    while place < KEYS.len() {
        let candidate = KEYS[place].as_bytes();
        let mut same = candidate.len() == key.len();
        let mut at = 0;
        while same && at < key.len() {
            same = candidate[at] == key[at];
            at += 1;
        }
        if same {
            return place;
        }
        place += 1;
    }
    panic!("no such key")
}
