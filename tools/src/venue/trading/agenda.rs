//! What is on its way between clients and the matching engine.
//!
//! Owns: requests, answers and events with the time at which each arrives. Does not: carry
//! anything out. Invariants: what is due at the same time comes out in the order in which it went
//! in; at most [`AGENDA_MAX`] requests are under way, and one more is refused before it starts.

use std::collections::BTreeMap;

use super::super::source::{SymbolIndex, VenueMicros};
use super::events::UserEvent;

/// Requests under way: a client that does not wait for answers would fill memory otherwise.
const AGENDA_MAX: usize = 65_536;

/// Something that arrives.
#[derive(Debug)]
pub(crate) enum Arrival<Request, Reply> {
    /// A request at the matching engine.
    Request(Box<Request>),
    /// An answer at its client.
    Reply(Reply),
    /// The events of one transaction at the account's subscribers.
    Events(Vec<UserEvent>),
    /// A halted symbol's hour of trading again.
    Reopening(SymbolIndex),
}

/// Everything under way.
#[derive(Debug)]
pub(crate) struct Agenda<Request, Reply> {
    entries: BTreeMap<(VenueMicros, u64), Arrival<Request, Reply>>,
    count: u64,
}

impl<Request, Reply> Agenda<Request, Reply> {
    pub(crate) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            count: 0,
        }
    }

    /// Whether another request may be started.
    pub(crate) fn has_room(&self) -> bool {
        self.entries.len() < AGENDA_MAX
    }

    pub(crate) fn add(&mut self, due: VenueMicros, arrival: Arrival<Request, Reply>) {
        self.entries.insert((due, self.count), arrival);
        self.count += 1;
    }

    /// When the next thing arrives.
    pub(crate) fn next_at(&self) -> Option<VenueMicros> {
        self.entries.keys().next().map(|(due, _)| *due)
    }

    /// The next thing that arrives at or before `now`, with its time.
    pub(crate) fn pop(
        &mut self,
        now: VenueMicros,
    ) -> Option<(VenueMicros, Arrival<Request, Reply>)> {
        let entry = self.entries.first_entry()?;
        let (due, _) = *entry.key();
        (due <= now).then(|| (due, entry.remove()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_arrive_by_time_and_then_in_their_order() {
        let mut agenda: Agenda<u32, u32> = Agenda::new();
        for (due, reply) in [(20, 1), (10, 2), (20, 3), (10, 4)] {
            agenda.add(VenueMicros(due), Arrival::Reply(reply));
        }
        assert_eq!(agenda.next_at(), Some(VenueMicros(10)));
        let mut order = Vec::new();
        assert!(agenda.pop(VenueMicros(9)).is_none());
        while let Some((due, arrival)) = agenda.pop(VenueMicros(20)) {
            match arrival {
                Arrival::Reply(reply) => order.push((due.0, reply)),
                Arrival::Request(_) | Arrival::Events(_) | Arrival::Reopening(_) => {
                    panic!("only replies went in")
                }
            }
        }
        assert_eq!(order, [(10, 2), (10, 4), (20, 1), (20, 3)]);
        assert_eq!(agenda.next_at(), None);
    }

    #[test]
    fn requests_under_way_are_bounded() {
        let mut agenda: Agenda<u32, u32> = Agenda::new();
        for _ in 0..AGENDA_MAX {
            assert!(agenda.has_room());
            agenda.add(VenueMicros(1), Arrival::Request(Box::new(0)));
        }
        assert!(!agenda.has_room());
    }
}
