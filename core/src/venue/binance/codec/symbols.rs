//! From a symbol on the wire to the instrument's index.
//!
//! Owns: [`SymbolTable`], open addressing over at most [`INSTRUMENTS_MAX`] keys, built once. Does
//! not: change while trading, or know grids. Streams carry symbols in lower case, payloads in upper
//! case; only ASCII letters have a case here, as at the venue.

use crate::instrument::{InstrumentIndex, Instruments};
use crate::limits::{INSTRUMENTS_MAX, SYMBOL_BYTES_MAX};

/// Words of a padded key: a symbol, then zeros.
pub(super) const KEY_WORDS: usize = 4;
const KEY_BYTES: usize = KEY_WORDS * 8;
const _: () = assert!(SYMBOL_BYTES_MAX < KEY_BYTES);

/// Twice the keys, so that a probe is short and always ends at a free slot.
const SLOTS: usize = INSTRUMENTS_MAX * 2;
const _: () = assert!(SLOTS.is_power_of_two());

/// A symbol as zero-padded little-endian words.
pub(super) type Key = [u64; KEY_WORDS];

/// One instrument's names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    /// As streams carry it, lower case.
    pub(super) lower: Key,
    /// As payloads carry it.
    pub(super) upper: Key,
}

/// All symbols of one engine.
#[derive(Clone, Debug)]
pub(super) struct SymbolTable {
    /// Index into `names` plus one; zero is a free slot.
    slots: Box<[u16; SLOTS]>,
    names: Vec<Names>,
}

impl SymbolTable {
    pub(super) fn new(instruments: &Instruments) -> Self {
        let mut table = Self {
            slots: Box::new([0; SLOTS]),
            names: Vec::with_capacity(instruments.count()),
        };
        for (index, instrument) in instruments.iter() {
            let upper = instrument.symbol.as_bytes();
            let mut lower = [0; SYMBOL_BYTES_MAX];
            lower[..upper.len()].copy_from_slice(upper);
            lower.make_ascii_lowercase();
            let names = Names {
                lower: key(&lower[..upper.len()]).expect("a symbol fits a key"),
                upper: key(upper).expect("a symbol fits a key"),
            };
            let mut slot = home(&names.lower);
            while table.slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            table.slots[slot] = index.0 + 1;
            table.names.push(names);
        }
        table
    }

    /// The instrument whose lower-case name is `key`.
    #[inline]
    pub(super) fn by_lower(&self, key: &Key) -> Option<InstrumentIndex> {
        let mut slot = home(key);
        while self.slots[slot] != 0 {
            let position = self.slots[slot] - 1;
            if self.names[usize::from(position)].lower == *key {
                return Some(InstrumentIndex(position));
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }

    /// The instrument of a stream name's symbol.
    pub(super) fn by_stream(&self, symbol: &[u8]) -> Option<InstrumentIndex> {
        self.by_lower(&key(symbol)?)
    }

    /// The instrument of a payload's symbol.
    pub(super) fn by_payload(&self, symbol: &[u8]) -> Option<InstrumentIndex> {
        let exact = key(symbol)?;
        let mut lower = [0; KEY_BYTES];
        lower[..symbol.len()].copy_from_slice(symbol);
        lower.make_ascii_lowercase();
        self.by_stream(&lower[..symbol.len()])
            .filter(|index| self.names(*index).upper == exact)
    }

    /// The names of an instrument of this table.
    #[inline]
    pub(super) fn names(&self, index: InstrumentIndex) -> &Names {
        &self.names[index.as_usize()]
    }
}

/// `None` when the symbol is empty or longer than any of ours can be.
fn key(symbol: &[u8]) -> Option<Key> {
    if symbol.is_empty() || symbol.len() > SYMBOL_BYTES_MAX {
        return None;
    }
    let mut padded = [0; KEY_BYTES];
    padded[..symbol.len()].copy_from_slice(symbol);
    let mut words = [0; KEY_WORDS];
    for (word, bytes) in words.iter_mut().zip(padded.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    }
    Some(words)
}

/// Where the search for a key starts. Fibonacci hashing: the high bits of the product are well mixed.
#[inline]
fn home(key: &Key) -> usize {
    let folded = key[0] ^ key[1].rotate_left(23) ^ key[2].rotate_left(41) ^ key[3].rotate_left(11);
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SLOTS.trailing_zeros())) as usize
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
