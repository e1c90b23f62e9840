//! The tables of slots: when the touch changes and when trades happen.

use crate::venue::flow::fit::tables;
use crate::venue::flow::measure::{Message, Observed, ObservedLevel};
use crate::venue::flow::profile::{
    BURST_WINDOW_US, QUIET_CLASSES, SLOT_STATES, burst_class, gap_class, quiet_class, slot_row,
    slot_state,
};
use crate::venue::flow::quantiles::Quantiles;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotKind {
    Touch {
        update_id: u64,
        bid: ObservedLevel,
        ask: ObservedLevel,
    },
    Trade,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) at_us: u64,
    /// Since the slot before; zero for the first.
    pub(super) gap_us: u64,
    pub(super) kind: SlotKind,
}

/// The touch changes and trades of a recording.
pub(super) fn slots(observed: &[Observed]) -> Vec<Slot> {
    let mut slots: Vec<Slot> = Vec::new();
    let mut last_ns = None;
    for one in observed {
        let kind = match one.message {
            Message::Ticker {
                update_id,
                bid,
                ask,
            } => SlotKind::Touch {
                update_id,
                bid,
                ask,
            },
            Message::Trade { .. } => SlotKind::Trade,
            Message::Snapshot { .. } | Message::Depth { .. } => continue,
        };
        let since_ns = one.at_ns - last_ns.unwrap_or(one.at_ns);
        last_ns = Some(one.at_ns);
        slots.push(Slot {
            at_us: one.at_ns / 1_000,
            gap_us: since_ns / 1_000,
            kind,
        });
    }
    slots
}

/// Slot rows, and the gaps of each slot state.
pub(super) type SlotTables = (Vec<Vec<(usize, u32)>>, Vec<Quantiles>);

pub(super) fn slot_tables(slots: &[Slot]) -> Option<SlotTables> {
    let states = slot_states(slots);
    let mut rows = vec![[0u32; SLOT_STATES]; SLOT_STATES * QUIET_CLASSES];
    let mut gaps: Vec<Vec<i64>> = vec![Vec::new(); SLOT_STATES];
    let mut last_trade_us = slots.first()?.at_us;
    for (slots, states) in slots.windows(2).zip(states.windows(2)) {
        if slots[0].kind == SlotKind::Trade {
            last_trade_us = slots[0].at_us;
        }
        let quiet = quiet_class(slots[0].at_us - last_trade_us);
        rows[slot_row(states[0], quiet)][states[1]] += 1;
        gaps[states[1]].push(slots[1].gap_us as i64);
    }
    // The recording's end leads on to its start, so that no state is a dead end.
    rows[slot_row(*states.last()?, 0)][*states.first()?] += 1;
    let sparse = |row: [u32; SLOT_STATES]| {
        let weights = row.into_iter().enumerate();
        weights.filter(|&(_, weight)| weight > 0).collect()
    };
    Some((rows.into_iter().map(sparse).collect(), tables(gaps)?))
}

fn slot_states(slots: &[Slot]) -> Vec<usize> {
    let around = |slot: &Slot| {
        let from = slots.partition_point(|other| other.at_us + BURST_WINDOW_US < slot.at_us);
        let to = slots.partition_point(|other| other.at_us <= slot.at_us + BURST_WINDOW_US);
        to - from
    };
    slots
        .iter()
        .map(|slot| {
            let is_trade = slot.kind == SlotKind::Trade;
            slot_state(burst_class(around(slot)), is_trade, gap_class(slot.gap_us))
        })
        .collect()
}
