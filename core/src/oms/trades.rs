//! Which fills are booked, by instrument and trade id.
//!
//! Owns: the newest [`FILLS_REMEMBERED_MAX`] booked ids of every instrument. Does not: know orders.
//!
//! **The floor.** A venue numbers the trades of an instrument upwards, so the lowest id is forgotten when the memory
//! is full, and the floor is the highest id that was forgotten. An id above the floor that is not remembered was
//! never booked. One at or below it may have been: [`Trades::look`] says so, and the order decides from its own
//! fills or asks. The two sides of a trade between two orders of ours are two fills.

use crate::instrument::InstrumentIndex;
use crate::limits::FILLS_REMEMBERED_MAX;
use crate::order::Side;
use std::collections::VecDeque;

/// What is known of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It was never booked.
    New,
    /// It is booked.
    Booked,
    /// It is below the floor and may have been booked.
    Forgotten,
}

#[derive(Debug)]
struct Memory {
    /// Sorted; `trade_id << 1 | side`.
    keys: VecDeque<u128>,
    /// The highest key that was forgotten.
    floor: Option<u128>,
}

/// The booked fills of all instruments.
#[derive(Debug)]
pub(super) struct Trades {
    memories: Box<[Memory]>,
}

impl Trades {
    pub(super) fn new(instrument_count: usize) -> Self {
        let memory = |_| Memory {
            keys: VecDeque::with_capacity(FILLS_REMEMBERED_MAX),
            floor: None,
        };
        Self {
            memories: (0..instrument_count).map(memory).collect(),
        }
    }

    /// What is known of a fill.
    pub(super) fn look(&self, instrument: InstrumentIndex, side: Side, trade_id: u64) -> Seen {
        let memory = &self.memories[instrument.as_usize()];
        let key = key(side, trade_id);
        if memory.keys.binary_search(&key).is_ok() {
            Seen::Booked
        } else if memory.floor.is_some_and(|floor| key <= floor) {
            Seen::Forgotten
        } else {
            Seen::New
        }
    }

    /// Remembers a fill that is not remembered.
    pub(super) fn insert(&mut self, instrument: InstrumentIndex, side: Side, trade_id: u64) {
        let memory = &mut self.memories[instrument.as_usize()];
        let key = key(side, trade_id);
        if memory.keys.len() == FILLS_REMEMBERED_MAX {
            let lowest = *memory.keys.front().expect("it is full");
            memory.floor = memory.floor.max(Some(lowest.min(key)));
            if key < lowest {
                return;
            }
            memory.keys.pop_front();
        }
        let place = memory.keys.partition_point(|&earlier| earlier < key);
        memory.keys.insert(place, key);
    }
}

const fn key(side: Side, trade_id: u64) -> u128 {
    (trade_id as u128) << 1 | side as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: InstrumentIndex = InstrumentIndex(0);

    #[test]
    fn the_lowest_ids_are_forgotten_and_the_floor_says_so() {
        let mut trades = Trades::new(2);
        let count = FILLS_REMEMBERED_MAX as u64;
        for id in (1..=count).rev() {
            trades.insert(HERE, Side::Buy, 10 * id);
        }
        assert_eq!(trades.look(HERE, Side::Buy, 10), Seen::Booked);
        assert_eq!(trades.look(HERE, Side::Sell, 10), Seen::New);
        assert_eq!(trades.look(HERE, Side::Buy, 5), Seen::New);
        assert_eq!(trades.look(InstrumentIndex(1), Side::Buy, 10), Seen::New);

        // A new id pushes the lowest out; one lower than all is forgotten at once.
        trades.insert(HERE, Side::Buy, 10 * count + 10);
        assert_eq!(trades.look(HERE, Side::Buy, 10), Seen::Forgotten);
        assert_eq!(trades.look(HERE, Side::Buy, 11), Seen::New);
        trades.insert(HERE, Side::Buy, 12);
        assert_eq!(trades.look(HERE, Side::Buy, 12), Seen::Forgotten);
        assert_eq!(trades.look(HERE, Side::Buy, 20), Seen::Booked);
        trades.insert(HERE, Side::Buy, 25);
        assert_eq!(trades.look(HERE, Side::Buy, 20), Seen::Forgotten);
        assert_eq!(trades.look(HERE, Side::Buy, 25), Seen::Booked);
        assert_eq!(trades.look(HERE, Side::Buy, u64::MAX), Seen::New);
        trades.insert(HERE, Side::Sell, u64::MAX);
        assert_eq!(trades.look(HERE, Side::Sell, u64::MAX), Seen::Booked);
    }
}
