//! A table from hashed keys to slots, in constant time and without allocation.
//!
//! Owns: open addressing with linear probing; removal shifts what follows back, so there are no tombstones. Does
//! not: hold keys: the slots do, and the caller compares. Invariant: at most half of the cells are taken, so a
//! probe ends soon.

use super::table::Slot;

const EMPTY: u16 = u16::MAX;

/// Slots by the hash of a key of theirs.
pub(super) struct Index {
    cells: Box<[u16]>,
}

impl Index {
    /// Room for `slots_max` slots.
    pub(super) fn new(slots_max: usize) -> Self {
        Self {
            cells: vec![EMPTY; (2 * slots_max).next_power_of_two()].into_boxed_slice(),
        }
    }

    /// The slot under a hash that `is_it` accepts.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(Slot) -> bool) -> Option<Slot> {
        let mut cell = self.home(hash);
        loop {
            match self.cells[cell] {
                EMPTY => return None,
                number if is_it(Slot(number)) => return Some(Slot(number)),
                _ => cell = self.after(cell),
            }
        }
    }

    /// Adds a slot that is not in it under this hash.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot) {
        let mut cell = self.home(hash);
        while self.cells[cell] != EMPTY {
            cell = self.after(cell);
        }
        self.cells[cell] = slot.0;
    }

    /// Removes a slot that is in it; `hash_of` gives the hash of any slot that is.
    pub(super) fn remove(&mut self, hash: u64, slot: Slot, hash_of: impl Fn(Slot) -> u64) {
        let mut hole = self.home(hash);
        while self.cells[hole] != slot.0 {
            assert!(self.cells[hole] != EMPTY, "an indexed slot is found");
            hole = self.after(hole);
        }
        let mut cell = self.after(hole);
        while self.cells[cell] != EMPTY {
            let home = self.home(hash_of(Slot(self.cells[cell])));
            // What stands here may move to the hole unless its home lies behind the hole.
            if self.distance(home, cell) >= self.distance(hole, cell) {
                self.cells[hole] = self.cells[cell];
                hole = cell;
            }
            cell = self.after(cell);
        }
        self.cells[hole] = EMPTY;
    }

    fn home(&self, hash: u64) -> usize {
        // The high bits of the product depend on all bits of the key.
        (spread(hash) >> 32) as usize & (self.cells.len() - 1)
    }

    fn after(&self, cell: usize) -> usize {
        (cell + 1) & (self.cells.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.cells.len() - 1)
    }
}

/// Multiplication by 2^64 over the golden ratio: neighbouring keys land far apart.
const fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// FNV-1a over bytes.
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Few distinct hashes, so that probes collide, wrap and shift.
        #[test]
        fn it_agrees_with_a_set(steps in proptest::collection::vec((0u16..24, any::<bool>()), 1..200)) {
            let hash_of = |slot: Slot| u64::from(slot.0 % 5) * 0x1234_5678_9abc_def1;
            let mut index = Index::new(24);
            let mut model = BTreeSet::new();
            for (number, adds) in steps {
                let slot = Slot(number);
                if adds && model.insert(number) {
                    index.insert(hash_of(slot), slot);
                } else if !adds && model.remove(&number) {
                    index.remove(hash_of(slot), slot, hash_of);
                }
                for number in 0..24 {
                    let found = index.find(hash_of(Slot(number)), |slot| slot.0 == number);
                    prop_assert_eq!(found.is_some(), model.contains(&number));
                }
            }
        }
    }
}
