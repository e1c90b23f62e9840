//! From a symbol on the wire to the instrument's index.
//!
//! Owns: [`SymbolTable`], open addressing over at most [`INSTRUMENTS_MAX`] keys, built once. Does
//! not: change while trading, or know grids. Streams carry symbols in lower case, payloads in upper
//! case; only ASCII letters have a case here, as at the venue.

use crate::instrument::{InstrumentIndex, Instruments};
use crate::limits::{INSTRUMENTS_MAX, SYMBOL_BYTES_MAX};

/// Words of a padded key: a symbol, then zeros.
const KEY_WORDS: usize = 4;
const KEY_BYTES: usize = KEY_WORDS * 8;
const _: () = assert!(SYMBOL_BYTES_MAX < KEY_BYTES);

/// Twice the keys, so that a probe is short and always ends at a free slot.
const SLOTS: usize = INSTRUMENTS_MAX * 2;
const _: () = assert!(SLOTS.is_power_of_two());

/// A symbol as zero-padded little-endian words, and its length: a symbol may end in a zero byte on
/// the wire, though none of ours does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) words: [u64; KEY_WORDS],
    pub(super) bytes: usize,
}

/// One instrument's names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    /// As streams carry it.
    pub(super) lower: Key,
    /// As payloads carry it.
    pub(super) upper: Key,
}

/// All symbols of one engine.
#[derive(Clone, Debug)]
pub(super) struct SymbolTable {
    /// Index into `names` plus one; zero is a free slot.
    lower_slots: Box<[u16; SLOTS]>,
    /// The same for the upper-case names.
    upper_slots: Box<[u16; SLOTS]>,
    names: Vec<Names>,
}

impl SymbolTable {
    pub(super) fn new(instruments: &Instruments) -> Self {
        let mut table = Self {
            lower_slots: Box::new([0; SLOTS]),
            upper_slots: Box::new([0; SLOTS]),
            names: Vec::with_capacity(instruments.count()),
        };
        for (index, instrument) in instruments.iter() {
            let upper = instrument.symbol.as_bytes();
            let mut lower = [0; SYMBOL_BYTES_MAX];
            lower[..upper.len()].copy_from_slice(upper);
            lower.make_ascii_lowercase();
            let names = Names {
                lower: Key::new(&lower[..upper.len()]).expect("a symbol fits a key"),
                upper: Key::new(upper).expect("a symbol fits a key"),
            };
            // A symbol that JSON has to escape is left out: the scanner does not judge the bytes of a
            // name that it finds here. The venue has none.
            if upper
                .iter()
                .all(|&byte| byte >= b' ' && byte != b'"' && byte != b'\\')
            {
                insert(&mut table.lower_slots, &names.lower, index);
                insert(&mut table.upper_slots, &names.upper, index);
            }
            table.names.push(names);
        }
        table
    }

    /// The instrument whose lower-case name is `key`.
    #[inline]
    pub(super) fn by_lower(&self, key: &Key) -> Option<InstrumentIndex> {
        find(&self.lower_slots, key, |index| &self.names(index).lower)
    }

    /// The instrument whose upper-case name is `key`.
    #[inline]
    pub(super) fn by_upper(&self, key: &Key) -> Option<InstrumentIndex> {
        find(&self.upper_slots, key, |index| &self.names(index).upper)
    }

    /// The instrument of a stream name's symbol.
    pub(super) fn by_stream(&self, symbol: &[u8]) -> Option<InstrumentIndex> {
        self.by_lower(&Key::new(symbol)?)
    }

    /// The instrument of a payload's symbol.
    pub(super) fn by_payload(&self, symbol: &[u8]) -> Option<InstrumentIndex> {
        self.by_upper(&Key::new(symbol)?)
    }

    /// The names of an instrument of this table.
    #[inline]
    pub(super) fn names(&self, index: InstrumentIndex) -> &Names {
        &self.names[index.as_usize()]
    }
}

impl Key {
    /// `None` when the symbol is empty or longer than any of ours can be.
    fn new(symbol: &[u8]) -> Option<Self> {
        if symbol.is_empty() || symbol.len() > SYMBOL_BYTES_MAX {
            return None;
        }
        let mut padded = [0; KEY_BYTES];
        padded[..symbol.len()].copy_from_slice(symbol);
        let mut words = [0; KEY_WORDS];
        for (word, bytes) in words.iter_mut().zip(padded.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        }
        Some(Self {
            words,
            bytes: symbol.len(),
        })
    }

    /// Where the search for a key starts. Fibonacci hashing: the high bits of the product are well mixed.
    #[inline]
    fn home(&self) -> usize {
        let [a, b, c, d] = self.words;
        let folded = a ^ b.rotate_left(23) ^ c.rotate_left(41) ^ d.rotate_left(11);
        (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SLOTS.trailing_zeros())) as usize
    }
}

fn insert(slots: &mut [u16; SLOTS], key: &Key, index: InstrumentIndex) {
    let mut slot = key.home();
    while slots[slot] != 0 {
        slot = (slot + 1) % SLOTS;
    }
    slots[slot] = index.0 + 1;
}

#[inline]
fn find<'k>(
    slots: &[u16; SLOTS],
    key: &Key,
    name: impl Fn(InstrumentIndex) -> &'k Key,
) -> Option<InstrumentIndex> {
    let mut slot = key.home();
    while slots[slot] != 0 {
        let index = InstrumentIndex(slots[slot] - 1);
        if name(index) == key {
            return Some(index);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::tests::instrument;

    #[test]
    fn every_symbol_of_a_full_table_is_found_in_both_cases_and_no_other() {
        let symbols: Vec<String> = (0..INSTRUMENTS_MAX)
            .map(|n| format!("S{n}{}USDT", "X".repeat(n % 20)))
            .collect();
        let instruments = Instruments::new(
            symbols
                .iter()
                .map(|symbol| instrument(symbol, 1, 1))
                .collect(),
        )
        .expect("distinct");
        let table = SymbolTable::new(&instruments);
        for (position, symbol) in symbols.iter().enumerate() {
            let index = Some(InstrumentIndex(position as u16));
            assert_eq!(table.by_payload(symbol.as_bytes()), index);
            assert_eq!(table.by_stream(symbol.to_lowercase().as_bytes()), index);
            assert_eq!(table.by_payload(symbol.to_lowercase().as_bytes()), None);
            assert_eq!(table.by_stream(format!("{symbol}x").as_bytes()), None);
        }
        assert_eq!(table.by_payload(b""), None);
        assert_eq!(table.by_payload(&[b'A'; 200]), None);
    }

    #[test]
    fn a_symbol_may_be_non_ascii() {
        let instruments = Instruments::new(vec![instrument("币安人生USDT", 1, 1)]).expect("one");
        let table = SymbolTable::new(&instruments);
        assert_eq!(
            table.by_stream("币安人生usdt".as_bytes()),
            Some(InstrumentIndex(0))
        );
        assert_eq!(
            table.by_payload("币安人生USDT".as_bytes()),
            Some(InstrumentIndex(0))
        );
    }
}
