//! Strategies: what looks at the market and says what it wants.
//!
//! Owns: the trait [`Strategy`], what it is shown ([`View`]) and what comes back ([`Actions`]), the
//! strategies themselves, and the [`Funnel`] of counts from signal to fill. Does not: send anything;
//! risk looks at each order first, and the engine keeps the orders.
//!
//! Invariants: a strategy sees a book only while it is live; what it does depends on its calls alone, so
//! the same calls give the same actions; it never allocates after construction. Prices and quantities
//! are integers; only a signal may be a float, through `libm`.

mod actions;
mod configured;
mod funnel;
mod imbalance;
mod market_maker;
mod sizing;

#[cfg(test)]
mod tests;

pub use actions::{Action, Actions, Quote, Suppression, Wish};
pub use configured::{Configured, NoStrategy, StrategyConfig};
pub use funnel::{FUNNEL_ROWS, Funnel, Identity, Leak, Stage, Standing};
pub use imbalance::{Imbalance, ImbalanceConfig};
pub use market_maker::{MarketMaker, MarketMakerConfig};
pub use sizing::OutOfRange;

use crate::book::{self, Book};
use crate::instrument::{Instrument, InstrumentIndex};
use crate::oms::{Oms, Order};
use crate::order::{Fill, OrderId, OrderState, Origin, Side};
use crate::risk::TradingState;
use crate::units::{E8, Lots, Nanos, Ticks};

/// A live book.
#[derive(Clone, Copy)]
pub struct LiveBook<'a> {
    /// Its levels.
    pub book: &'a Book,
    /// When its last update was received.
    pub updated_at: Nanos,
}

/// An open order of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnOrder {
    /// Our number of it.
    pub id: OrderId,
    /// Who wanted it: a strategy leaves an operator's orders alone.
    pub origin: Origin,
    /// Which way it goes.
    pub side: Side,
    /// Its price; zero for market orders.
    pub price: Ticks,
    /// Its whole quantity, what traded included.
    pub qty: Lots,
    /// What it may still fill.
    pub remaining: Lots,
    /// Where it stands; never done.
    pub state: OrderState,
}

impl OwnOrder {
    fn of(order: &Order) -> Self {
        Self {
            id: order.id(),
            origin: order.origin(),
            side: order.side(),
            price: order.price(),
            qty: order.qty(),
            remaining: order.remaining(),
            state: order.state(),
        }
    }
}

/// Our open orders of one instrument, oldest first, read where they stand: a strategy that does not look pays nothing.
#[derive(Clone, Copy, Default)]
pub struct OwnOrders<'a> {
    oms: Option<(&'a Oms, InstrumentIndex)>,
    list: &'a [OwnOrder],
}

impl<'a> OwnOrders<'a> {
    /// Those that the order machine holds.
    pub fn of(oms: &'a Oms, instrument: InstrumentIndex) -> Self {
        Self {
            oms: Some((oms, instrument)),
            list: &[],
        }
    }

    /// These, for tests of strategies.
    pub fn listed(list: &'a [OwnOrder]) -> Self {
        Self { oms: None, list }
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = OwnOrder> + Clone + 'a {
        let held = self.oms.into_iter();
        let held = held.flat_map(|(oms, instrument)| oms.open(instrument).map(OwnOrder::of));
        held.chain(self.list.iter().copied())
    }
}

/// One instrument at one moment.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The event's time.
    pub now: Nanos,
    /// Which instrument.
    pub instrument: InstrumentIndex,
    /// Its grids and rules.
    pub rules: &'a Instrument,
    /// Its book; `None` while that is not live.
    pub book: Option<LiveBook<'a>>,
    /// Position in the base asset: balance minus baseline.
    pub position: E8,
    /// Its open orders, from `Admitted` on, all origins.
    pub own: OwnOrders<'a>,
    /// What may be traded.
    pub trading: TradingState,
}

impl View<'_> {
    /// Best bid and ask of a live book that has both, not crossed, at positive prices whose sum fits 64
    /// bits: what a middle price can be made of.
    pub fn touch(&self) -> Option<(Ticks, Ticks)> {
        let live = self.book?;
        let bid = live.book.best(book::Side::Bid)?.price;
        let ask = live.book.best(book::Side::Ask)?.price;
        (bid.0 > 0 && bid < ask && bid.0.checked_add(ask.0).is_some()).then_some((bid, ask))
    }

    /// Whether an order of this side and price would meet one of ours that is open on the other.
    pub fn meets_own(&self, side: Side, price: Ticks) -> bool {
        self.own
            .iter()
            .filter(|order| order.side != side && order.price.0 > 0)
            .any(|order| (price.0 - order.price.0) * side.sign() >= 0)
    }

    /// What our open orders of a side may still fill, in 1e-8 of the base asset.
    pub fn open_e8(&self, side: Side) -> i128 {
        let lot_e8 = i128::from(self.rules.lot.unit().0);
        self.own
            .iter()
            .filter(|order| order.side == side)
            .map(|order| i128::from(order.remaining.0) * lot_e8)
            .sum()
    }
}

/// A trade between others, or of ours with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicTrade {
    /// At what price.
    pub price: Ticks,
    /// How much.
    pub qty: Lots,
    /// Which way the order went that took.
    pub taker: Side,
}

/// What became of an order of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderUpdate {
    /// Which one; it is in [`View::own`] unless it is done.
    pub id: OrderId,
    /// Who wanted it.
    pub origin: Origin,
    /// Which way it goes.
    pub side: Side,
    /// Where it stands now.
    pub state: OrderState,
    /// What it may still fill.
    pub remaining: Lots,
    /// The fill, when there was one.
    pub fill: Option<Fill>,
}

/// Something that trades. Called for one instrument at a time; what it asks for is done, or refused by
/// risk, before the next call, and the next [`View::own`] shows which: a refused order is not in it, and
/// no call tells of it, so a strategy waits a while by itself before it tries again.
/// `core/tests/strategy_example` shows how to write one.
pub trait Strategy {
    /// Its name: a closed label of metrics and logs.
    fn name(&self) -> &'static str;

    /// The live book of the instrument changed, became live, or (with no book in the view) stopped being
    /// live.
    fn on_book(&mut self, view: &View<'_>, actions: &mut Actions);

    /// A public trade of the instrument.
    fn on_trade(&mut self, view: &View<'_>, trade: &PublicTrade, actions: &mut Actions);

    /// An own order changed its state or was filled.
    fn on_order(&mut self, view: &View<'_>, update: &OrderUpdate, actions: &mut Actions);

    /// [`Strategy::next_timer`] has passed; called once for each instrument. Afterwards the next timer
    /// is later.
    fn on_timer(&mut self, view: &View<'_>, actions: &mut Actions);

    /// When [`Strategy::on_timer`] wants to be called.
    fn next_timer(&self) -> Nanos {
        Nanos::MAX
    }
}
