//! When the touch changes and when trades happen.
//!
//! Owns: the Markov chain of slots and the look-ahead that says which trades belong to one
//! aggressive order and how long the touch then rests. Does not: know prices.

use std::collections::VecDeque;
use std::sync::Arc;

use super::profile::{FILL_GAP_US, FIRST_SLOT_STATE, Model, TAKER_LEAD_US, is_trade, quiet_class};
use super::random::Random;

/// How far a search for the next touch change looks. Runs of trades are hundreds long at most;
/// beyond this the touch counts as resting until the last slot that was looked at.
const LOOK_AHEAD_SLOTS: usize = 4_096;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The touch changes, perhaps through an aggressive order.
    Touch {
        /// When each fill of that order is published; empty without one.
        fills_at_us: Vec<u64>,
        /// Until the next touch change.
        rest_us: u64,
    },
    /// An aggressive order that leaves the touch as it was.
    Unseen {
        /// When each of its fills is published; the first is now.
        fills_at_us: Vec<u64>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    at_us: u64,
    gap_us: u64,
    state: usize,
}

impl Slot {
    fn is_trade(&self) -> bool {
        is_trade(self.state)
    }
}

/// The slots of one symbol.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    model: Arc<Model>,
    random: Random,
    /// Never empty.
    ahead: VecDeque<Slot>,
    last_trade_us: u64,
}

impl Schedule {
    /// Starts after `start_us`.
    pub(super) fn new(model: Arc<Model>, random: Random, start_us: u64) -> Self {
        let first = Slot {
            at_us: start_us,
            gap_us: 0,
            state: FIRST_SLOT_STATE,
        };
        Self {
            model,
            random,
            ahead: VecDeque::from([first]),
            last_trade_us: start_us,
        }
    }

    /// When [`Schedule::take`] is due.
    pub(super) fn next_at_us(&self) -> u64 {
        self.ahead.front().map_or(u64::MAX, |slot| slot.at_us)
    }

    /// Takes what is due at [`Schedule::next_at_us`].
    pub(super) fn take(&mut self) -> Due {
        let slot = self.peek(0);
        let mut fills_at_us = Vec::new();
        if slot.is_trade() {
            fills_at_us.push(slot.at_us);
        }
        self.ahead.pop_front();
        loop {
            let next = self.peek(0);
            let limit_us = if fills_at_us.is_empty() {
                TAKER_LEAD_US
            } else {
                FILL_GAP_US
            };
            let full = fills_at_us.len() >= LOOK_AHEAD_SLOTS;
            if !next.is_trade() || next.gap_us > limit_us || full {
                break;
            }
            fills_at_us.push(next.at_us);
            self.ahead.pop_front();
        }
        if slot.is_trade() {
            return Due::Unseen { fills_at_us };
        }
        let mut index = 0;
        while self.peek(index).is_trade() && index < LOOK_AHEAD_SLOTS {
            index += 1;
        }
        Due::Touch {
            fills_at_us,
            rest_us: self.peek(index).at_us - slot.at_us,
        }
    }

    fn peek(&mut self, index: usize) -> Slot {
        while self.ahead.len() <= index + 1 {
            self.extend();
        }
        self.ahead[index]
    }

    fn extend(&mut self) {
        let last = *self.ahead.back().expect("one slot is always planned");
        if last.is_trade() {
            self.last_trade_us = last.at_us;
        }
        let quiet = quiet_class(last.at_us - self.last_trade_us);
        let row = self.model.slot_row(last.state, quiet);
        let weights = row.iter().map(|&(_, weight)| weight);
        let index = self.random.weighted(weights).expect("rows have weight");
        let state = row[index].0;
        let gap_us = self.model.slot_gap_us[state].at(self.random.uniform()) as u64;
        self.ahead.push_back(Slot {
            at_us: last.at_us + gap_us,
            gap_us,
            state,
        });
    }
}
