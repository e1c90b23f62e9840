//! What positions may come to, by the records alone.
//!
//! Owns: [`Exposures`], open orders and positions as the records of all runs tell them. Does not: look into the engine, or
//! know limits. Invariant: an order counts in full from its admission until it is over, an unresolved one too; of an order
//! and its replacement, of which the venue takes one only when the other is gone untouched, the larger counts, and the old
//! one alone once it traded.

use std::collections::BTreeMap;
use veloz_core::instrument::{Assets, InstrumentIndex, Instruments};
use veloz_core::order::{OrderId, OrderState, Side};
use veloz_core::telemetry::records::RecordBody;
use veloz_core::units::Lots;

/// One open order.
#[derive(Clone, Copy, Debug)]
struct Open {
    instrument: usize,
    side: Side,
    qty: i64,
    /// What states and what fills said of how much of it traded.
    told: i64,
    filled: i64,
}

impl Open {
    fn remaining(&self) -> i128 {
        i128::from((self.qty - self.told.max(self.filled)).max(0))
    }
}

/// One instrument.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// 1e-8 of base in a lot.
    lot_e8: i128,
    /// Index of its base among the assets.
    base: Option<u16>,
    /// What the fills made, less fees in base, in 1e-8.
    position: i128,
}

/// An order with what is to replace it, as long as the venue may have the new one only without the old.
#[derive(Clone, Copy, Debug)]
struct Pair {
    old: OrderId,
    new: OrderId,
    /// The old one traded since: the venue refuses the new one.
    traded: bool,
}

/// What is open and what is held.
pub(super) struct Exposures {
    orders: BTreeMap<OrderId, Open>,
    pairs: Vec<Pair>,
    lines: Vec<Line>,
    /// The last admission of the event.
    last: Option<OrderId>,
}

impl Exposures {
    pub(super) fn new(instruments: &Instruments) -> Self {
        let assets = Assets::new(instruments, &[]);
        let lines = instruments.iter().map(|(_, instrument)| Line {
            lot_e8: i128::from(instrument.lot.unit().0),
            base: assets.find(instrument.base.as_bytes()).map(|asset| asset.0),
            position: 0,
        });
        Self {
            orders: BTreeMap::new(),
            pairs: Vec::new(),
            lines: lines.collect(),
            last: None,
        }
    }

    /// Another engine begins, and says what it finds open.
    pub(super) fn restarted(&mut self) {
        self.orders.clear();
        self.pairs.clear();
        self.last = None;
    }

    /// One record; a fill that `is_told_again` is in the position already.
    pub(super) fn record(&mut self, body: &RecordBody, is_told_again: bool) {
        match *body {
            RecordBody::OrderAdmitted {
                order,
                instrument,
                side,
                qty,
                ..
            } => {
                self.open(order, instrument, side, qty);
                self.last = Some(order);
            }
            RecordBody::OrderAdopted {
                order,
                instrument,
                side,
                ..
            } => self.open(order, instrument, side, Lots(0)),
            RecordBody::OrderState {
                order,
                to: OrderState::Done(_),
                ..
            } => {
                self.orders.remove(&order);
                self.pairs
                    .retain(|pair| pair.new != order && (pair.old != order || pair.traded));
            }
            RecordBody::OrderState {
                order,
                to,
                executed,
                qty,
                ..
            } => {
                if let Some(open) = self.orders.get_mut(&order) {
                    (open.qty, open.told) = (qty.0, executed.0);
                    // Admitted a moment ago, on the same side: its replacement. An order that is made smaller has none.
                    if to == OrderState::ReplaceSent
                        && let Some(new) = self.last.take()
                        && self.is_replacement(order, new)
                    {
                        self.pairs.push(Pair {
                            old: order,
                            new,
                            traded: false,
                        });
                    }
                }
            }
            RecordBody::Fill {
                order,
                instrument,
                side,
                fee_asset,
                qty,
                fee,
                ..
            } => {
                if let Some(open) = self.orders.get_mut(&order) {
                    open.filled += qty.0;
                }
                for pair in self.pairs.iter_mut().filter(|pair| pair.old == order) {
                    pair.traded = true;
                }
                if is_told_again {
                    return;
                }
                let line = &mut self.lines[instrument.as_usize()];
                line.position += i128::from(side.sign() * qty.0) * line.lot_e8;
                if line.base == Some(fee_asset.0) {
                    line.position -= i128::from(fee.0);
                }
            }
            _ => {}
        }
    }

    /// The event is over: what it admitted replaces nothing that comes later.
    pub(super) fn end_of_event(&mut self) {
        self.last = None;
    }

    fn open(&mut self, order: OrderId, instrument: InstrumentIndex, side: Side, qty: Lots) {
        let open = Open {
            instrument: instrument.as_usize(),
            side,
            qty: qty.0,
            told: 0,
            filled: 0,
        };
        self.orders.insert(order, open);
    }

    fn is_replacement(&self, old: OrderId, new: OrderId) -> bool {
        match (self.orders.get(&old), self.orders.get(&new)) {
            (Some(old), Some(new)) => (old.instrument, old.side) == (new.instrument, new.side),
            (_, _) => false,
        }
    }

    /// Open orders of an instrument, an order and its replacement as one.
    pub(super) fn open_count(&self, instrument: usize) -> usize {
        let of = |order: &OrderId| self.orders.get(order).map(|open| open.instrument);
        let open = self.orders.values();
        let pairs = self.pairs.iter();
        open.filter(|open| open.instrument == instrument).count()
            - pairs
                .filter(|pair| of(&pair.new) == Some(instrument))
                .count()
    }

    /// What is held of an instrument's base, and the ends that its position can come to, in 1e-8: longest, and shortest
    /// without its sign.
    pub(super) fn ends(&self, instrument: usize) -> (i128, i128, i128) {
        let mut open = self.open_lots(instrument);
        for pair in &self.pairs {
            let Some(new) = self.orders.get(&pair.new) else {
                continue;
            };
            if new.instrument == instrument {
                let old = self.orders.get(&pair.old).map_or(0, Open::remaining);
                open[usize::from(new.side == Side::Sell)] -= if pair.traded {
                    new.remaining()
                } else {
                    new.remaining().min(old)
                };
            }
        }
        self.ends_with(instrument, open)
    }

    /// What is open to buy and to sell, in lots, each order for itself.
    fn open_lots(&self, instrument: usize) -> [i128; 2] {
        let mut open = [0; 2];
        for order in self.orders.values() {
            if order.instrument == instrument {
                open[usize::from(order.side == Side::Sell)] += order.remaining();
            }
        }
        open
    }

    fn ends_with(&self, instrument: usize, open: [i128; 2]) -> (i128, i128, i128) {
        let line = self.lines[instrument];
        (
            line.position,
            line.position + open[0] * line.lot_e8,
            open[1] * line.lot_e8 - line.position,
        )
    }

    /// The largest position either way that it can come to, without its sign.
    pub(super) fn worst(&self, instrument: usize) -> i128 {
        let (_, long, short) = self.ends(instrument);
        long.abs().max(short.abs())
    }

    /// The same, with a replacement counted beside its order.
    pub(super) fn worst_in_full(&self, instrument: usize) -> i128 {
        let (_, long, short) = self.ends_with(instrument, self.open_lots(instrument));
        long.abs().max(short.abs())
    }
}
