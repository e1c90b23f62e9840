//! Where orders live: slots that are reserved once, lists through them, and indices to them.
//!
//! Owns: the slots; the list of open orders, one such list an instrument, the list of those that are over; the
//! indices by our id, the client's and the venue's. Does not: know what an order's state means, except whether it is
//! over.
//!
//! Invariants: every slot is in exactly one of *open*, *remembered*, *free*; an open one is in its instrument's list
//! too; lists are oldest first; an index holds exactly the slots that have its key.

use super::index::{Index, hash_bytes};
use super::order::Order;
use crate::instrument::InstrumentIndex;
use crate::limits::{ORDERS_OPEN_MAX, ORDERS_REMEMBERED_MAX};
use crate::order::{ClientId, OrderId};

/// Position of an order in the table, `[0, SLOTS)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u16);

const SLOTS: usize = ORDERS_OPEN_MAX + ORDERS_REMEMBERED_MAX;
const NONE: Slot = Slot(u16::MAX);

/// Which of its two lists a slot's links belong to.
#[derive(Clone, Copy)]
enum Chain {
    /// Open or remembered, over all instruments.
    All,
    /// Open, of one instrument.
    Own,
}

#[derive(Clone, Copy)]
struct Links {
    before: Slot,
    after: Slot,
}

const UNLINKED: Links = Links {
    before: NONE,
    after: NONE,
};

struct Entry {
    order: Option<Order>,
    links: [Links; 2],
}

#[derive(Clone, Copy)]
struct List {
    first: Slot,
    last: Slot,
    count: usize,
}

const EMPTY: List = List {
    first: NONE,
    last: NONE,
    count: 0,
};

/// All orders that are known.
pub(super) struct Table {
    entries: Box<[Entry]>,
    open: List,
    remembered: List,
    own: Box<[List]>,
    free: Vec<Slot>,
    by_id: Index,
    by_client: Index,
    by_venue: Index,
}

impl Table {
    pub(super) fn new(instrument_count: usize) -> Self {
        let entry = |_| Entry {
            order: None,
            links: [UNLINKED; 2],
        };
        Self {
            entries: (0..SLOTS).map(entry).collect(),
            open: EMPTY,
            remembered: EMPTY,
            own: vec![EMPTY; instrument_count].into_boxed_slice(),
            free: (0..SLOTS as u16).rev().map(Slot).collect(),
            by_id: Index::new(SLOTS),
            by_client: Index::new(SLOTS),
            by_venue: Index::new(SLOTS),
        }
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.count
    }

    /// Adds an open order; `None` when [`ORDERS_OPEN_MAX`] are. Forgets the oldest that is over when it has to.
    pub(super) fn insert(&mut self, order: Order) -> Option<Slot> {
        if self.open.count >= ORDERS_OPEN_MAX {
            return None;
        }
        if self.free.is_empty() {
            self.forget(self.remembered.first);
        }
        let slot = self.free.pop().expect("one was made");
        self.by_id.insert(hash_id(order.id), slot);
        if let Some(client_id) = &order.client_id {
            self.by_client
                .insert(hash_bytes(client_id.as_bytes()), slot);
        }
        if let Some(id) = order.venue_order_id {
            self.by_venue.insert(hash_venue(order.instrument, id), slot);
        }
        let instrument = order.instrument;
        self.entry_mut(slot).order = Some(order);
        self.link(slot, Chain::All, |table| &mut table.open);
        self.link(slot, Chain::Own, |table| {
            &mut table.own[instrument.as_usize()]
        });
        Some(slot)
    }

    /// Moves an open order that is over now to those that are remembered.
    pub(super) fn close(&mut self, slot: Slot) {
        let instrument = self.order(slot).instrument;
        self.unlink(slot, Chain::All, |table| &mut table.open);
        self.unlink(slot, Chain::Own, |table| {
            &mut table.own[instrument.as_usize()]
        });
        self.link(slot, Chain::All, |table| &mut table.remembered);
    }

    /// Moves a remembered order that is not over after all to the open ones, beyond their bound if it must be.
    pub(super) fn reopen(&mut self, slot: Slot) {
        let instrument = self.order(slot).instrument;
        self.unlink(slot, Chain::All, |table| &mut table.remembered);
        self.link(slot, Chain::All, |table| &mut table.open);
        self.link(slot, Chain::Own, |table| {
            &mut table.own[instrument.as_usize()]
        });
    }

    /// Makes an order that has learned its venue id findable by it. Returns whether no other order has that id.
    pub(super) fn index_venue(&mut self, slot: Slot) -> bool {
        let order = self.order(slot);
        let instrument = order.instrument;
        let id = order.venue_order_id.expect("it was learned");
        let is_new = self.find_venue(instrument, id).is_none();
        if is_new {
            self.by_venue.insert(hash_venue(instrument, id), slot);
        } else {
            self.order_mut(slot).venue_order_id = None;
        }
        is_new
    }

    pub(super) fn order(&self, slot: Slot) -> &Order {
        occupied(&self.entries, slot)
    }

    pub(super) fn order_mut(&mut self, slot: Slot) -> &mut Order {
        self.entry_mut(slot).order.as_mut().expect("a slot in use")
    }

    pub(super) fn find(&self, id: OrderId) -> Option<Slot> {
        self.by_id
            .find(hash_id(id), |slot| self.order(slot).id == id)
    }

    pub(super) fn find_client(&self, client_id: &ClientId) -> Option<Slot> {
        self.by_client
            .find(hash_bytes(client_id.as_bytes()), |slot| {
                self.order(slot).client_id.as_ref() == Some(client_id)
            })
    }

    pub(super) fn find_venue(&self, instrument: InstrumentIndex, id: u64) -> Option<Slot> {
        self.by_venue.find(hash_venue(instrument, id), |slot| {
            let order = self.order(slot);
            order.instrument == instrument && order.venue_order_id == Some(id)
        })
    }

    /// Open orders, oldest first.
    pub(super) fn open(&self) -> Orders<'_> {
        Orders {
            table: self,
            next: self.open.first,
            chain: Chain::All,
        }
    }

    /// Open orders of an instrument, oldest first.
    pub(super) fn open_of(&self, instrument: InstrumentIndex) -> Orders<'_> {
        Orders {
            table: self,
            next: self.own[instrument.as_usize()].first,
            chain: Chain::Own,
        }
    }

    /// The open order after one.
    pub(super) fn open_after(&self, slot: Slot) -> Option<Slot> {
        let after = self.entries[usize::from(slot.0)].links[Chain::All as usize].after;
        (after != NONE).then_some(after)
    }

    /// Forgets the oldest order that is over, if the next one that comes would have to: what is forgotten lies long
    /// back and in memory that no cache holds.
    pub(super) fn make_room(&mut self) {
        if self.free.is_empty() && self.remembered.count > 0 {
            self.forget(self.remembered.first);
        }
    }

    #[inline(never)]
    fn forget(&mut self, slot: Slot) {
        self.unlink(slot, Chain::All, |table| &mut table.remembered);
        let order = self.order(slot);
        let (id, client_id) = (order.id, order.client_id);
        let venue = order.venue_order_id.map(|id| (order.instrument, id));
        let entries = &self.entries;
        self.by_id.remove(hash_id(id), slot, |slot| {
            hash_id(occupied(entries, slot).id)
        });
        if let Some(client_id) = client_id {
            self.by_client
                .remove(hash_bytes(client_id.as_bytes()), slot, |slot| {
                    let client_id = occupied(entries, slot).client_id;
                    hash_bytes(client_id.expect("it is indexed by it").as_bytes())
                });
        }
        if let Some((instrument, id)) = venue {
            self.by_venue
                .remove(hash_venue(instrument, id), slot, |slot| {
                    let order = occupied(entries, slot);
                    let id = order.venue_order_id.expect("it is indexed by it");
                    hash_venue(order.instrument, id)
                });
        }
        self.entry_mut(slot).order = None;
        self.free.push(slot);
    }

    fn entry_mut(&mut self, slot: Slot) -> &mut Entry {
        &mut self.entries[usize::from(slot.0)]
    }

    fn links_mut(&mut self, slot: Slot, chain: Chain) -> &mut Links {
        &mut self.entry_mut(slot).links[chain as usize]
    }

    /// Appends to a list.
    fn link(&mut self, slot: Slot, chain: Chain, list: impl Fn(&mut Self) -> &mut List) {
        let at = list(self);
        let last = at.last;
        at.last = slot;
        at.count += 1;
        if last == NONE {
            at.first = slot;
        } else {
            self.links_mut(last, chain).after = slot;
        }
        *self.links_mut(slot, chain) = Links {
            before: last,
            after: NONE,
        };
    }

    fn unlink(&mut self, slot: Slot, chain: Chain, list: impl Fn(&mut Self) -> &mut List) {
        let Links { before, after } = *self.links_mut(slot, chain);
        if before != NONE {
            self.links_mut(before, chain).after = after;
        }
        if after != NONE {
            self.links_mut(after, chain).before = before;
        }
        let at = list(self);
        at.count -= 1;
        if before == NONE {
            at.first = after;
        }
        if after == NONE {
            at.last = before;
        }
    }

    /// Checks the invariants: reads the whole table.
    ///
    /// # Panics
    /// When one is broken.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let used = self.entries.iter().filter(|entry| entry.order.is_some());
        assert_eq!(used.count() + self.free.len(), SLOTS);
        assert_eq!(
            self.open.count + self.remembered.count + self.free.len(),
            SLOTS
        );
        let own: usize = self.own.iter().map(|list| list.count).sum();
        assert_eq!(own, self.open.count);
        assert_eq!(self.open().count(), self.open.count);
        for (position, list) in self.own.iter().enumerate() {
            let instrument = InstrumentIndex(position as u16);
            assert_eq!(self.open_of(instrument).count(), list.count);
            assert!(
                self.open_of(instrument)
                    .all(|(_, order)| order.instrument == instrument)
            );
        }
        assert!(self.open().all(|(_, order)| !order.state.is_done()));
        for (position, entry) in self.entries.iter().enumerate() {
            let Some(order) = &entry.order else { continue };
            let slot = Some(Slot(position as u16));
            assert_eq!(self.find(order.id), slot);
            if let Some(client_id) = &order.client_id {
                assert_eq!(self.find_client(client_id), slot);
            }
            if let Some(id) = order.venue_order_id {
                assert_eq!(self.find_venue(order.instrument, id), slot);
            }
        }
    }
}

/// The orders of one list, oldest first.
#[derive(Clone)]
pub(super) struct Orders<'a> {
    table: &'a Table,
    next: Slot,
    chain: Chain,
}

impl<'a> Iterator for Orders<'a> {
    type Item = (Slot, &'a Order);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == NONE {
            return None;
        }
        let slot = self.next;
        let entry = &self.table.entries[usize::from(slot.0)];
        self.next = entry.links[self.chain as usize].after;
        Some((slot, entry.order.as_ref().expect("a listed slot is in use")))
    }
}

fn occupied(entries: &[Entry], slot: Slot) -> &Order {
    entries[usize::from(slot.0)]
        .order
        .as_ref()
        .expect("a slot in use")
}

fn hash_id(id: OrderId) -> u64 {
    id.to_bits()
}

fn hash_venue(instrument: InstrumentIndex, id: u64) -> u64 {
    id ^ u64::from(instrument.0).rotate_right(16)
}
