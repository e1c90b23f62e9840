//! Takes when one side of the book outweighs the other, and leaves when it no longer does.
//!
//! Owns: [`Imbalance`] and its parameters. The signal is an integer ratio: with the lots of the best
//! levels bid `b` and asked `a`, the imbalance is `(b - a) / (b + a)`, from -1,000 to 1,000 thousandths.
//!
//! - **Entry**: the imbalance is `enter_permille` or more one way; an order of `order_notional` takes
//!   that way, up to `position_max_orders` orders of position.
//! - **Exit**: the imbalance seen from the position is below `exit_permille`, or the position is
//!   `hold_max` old; all of it goes. An exit comes before an entry, and ignores its cool-down.
//! - Every order is a limit at the best price of the other side, `IOC`: it takes what stands there and
//!   rests nowhere.
//!
//! The position is the account's: what an operator bought is left again by the rule of exit. Invariants:
//! at most one order under way for each instrument; with it filled, the position is within its bound; in
//! `REDUCE_ONLY` there are only exits, in `HALTED` nothing.

use super::sizing::{NOTIONAL_MAX, OutOfRange, Sizing, check, is_legal, whole_steps};
use super::{
    Action, Actions, OrderUpdate, OwnOrder, PublicTrade, Quote, Strategy, Suppression, View,
};
use crate::book;
use crate::limits::IMBALANCE_LEVELS_MAX;
use crate::order::{OrderId, OrderKind, OrderState, Origin, Side, TimeInForce};
use crate::risk::TradingState;
use crate::units::{E8, E8_ONE, Lots, Nanos, Ticks};

/// Ours rest for no longer than the venue's reports of them are apart. One that rests for longer is from
/// an earlier run with another strategy, and is cancelled.
const REST_MAX: Nanos = Nanos::from_secs(1);

/// Parameters of [`Imbalance`], the same for every instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImbalanceConfig {
    /// Best levels of each side that count, 1 to 20. Default 5.
    pub levels: u32,
    /// Imbalance that enters, in thousandths, 1 to 1,000. Default 800.
    pub enter_permille: i32,
    /// Imbalance seen from the position below which it is left, in thousandths, -1,000 to below
    /// `enter_permille`. Default -200: the book leans against it.
    pub exit_permille: i32,
    /// Worth of one order in the quote asset, `(0, 1e9]`. Default 200.
    pub order_notional: E8,
    /// Largest position either way, in orders, 1 to 1,000. Default 3.
    pub position_max_orders: u32,
    /// Time between two entries of one instrument, up to an hour. Default 5 s.
    pub cool_down: Nanos,
    /// Time between two tries of an exit, up to an hour. Default 500 ms.
    pub exit_interval: Nanos,
    /// Age at which a position is left, 1 ms to 24 hours. Default 30 s.
    pub hold_max: Nanos,
    /// A book without an update for longer is not traded on, 1 ms to an hour. Default 1 s.
    pub book_age_max: Nanos,
}

impl Default for ImbalanceConfig {
    fn default() -> Self {
        Self {
            levels: 5,
            enter_permille: 800,
            exit_permille: -200,
            order_notional: E8(200 * E8_ONE),
            position_max_orders: 3,
            cool_down: Nanos::from_secs(5),
            exit_interval: Nanos::from_ms(500),
            hold_max: Nanos::from_secs(30),
            book_age_max: Nanos::from_secs(1),
        }
    }
}

impl ImbalanceConfig {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// The first that is outside.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        const HOUR_NS: i64 = 3_600_000_000_000;
        let ns = |time: Nanos| i64::try_from(time.0).unwrap_or(i64::MAX);
        let enter = i64::from(self.enter_permille);
        check("levels", self.levels, 1, IMBALANCE_LEVELS_MAX.into())?;
        check("enter_permille", self.enter_permille, 1, 1_000)?;
        check("exit_permille", self.exit_permille, -1_000, enter - 1)?;
        check("order_notional", self.order_notional.0, 1, NOTIONAL_MAX)?;
        check("position_max_orders", self.position_max_orders, 1, 1_000)?;
        check("cool_down", ns(self.cool_down), 0, HOUR_NS)?;
        check("exit_interval", ns(self.exit_interval), 0, HOUR_NS)?;
        check("hold_max", ns(self.hold_max), 1_000_000, 24 * HOUR_NS)?;
        check("book_age_max", ns(self.book_age_max), 1_000_000, HOUR_NS)
    }
}

/// What is kept of one instrument.
#[derive(Clone, Copy)]
struct Taken {
    sizing: Sizing,
    entered: Option<Nanos>,
    left: Option<Nanos>,
    /// The side that the position came from, and since when.
    held: Option<(Side, Nanos)>,
    /// An order that rests, and since when.
    resting: Option<(OrderId, Nanos)>,
}

/// Takes on imbalance; see the module's text.
pub struct Imbalance {
    config: ImbalanceConfig,
    instruments: Vec<Taken>,
    timer: Nanos,
}

/// What the book says.
#[derive(Clone, Copy)]
struct Picture {
    bid: Ticks,
    ask: Ticks,
    /// Lots bid minus lots asked.
    difference: i128,
    /// Lots bid plus lots asked; positive.
    sum: i128,
}

impl Picture {
    /// Whether the imbalance, seen from an order of this side, is at least so many thousandths.
    fn leans(&self, side: Side, permille: i32) -> bool {
        self.difference * i128::from(side.sign()) * 1_000 >= self.sum * i128::from(permille)
    }

    /// The best price that an order of this side meets.
    fn far_touch(&self, side: Side) -> Ticks {
        match side {
            Side::Buy => self.ask,
            Side::Sell => self.bid,
        }
    }
}

impl Imbalance {
    /// The strategy over `instrument_count` instruments.
    ///
    /// # Errors
    /// When a parameter is outside its range.
    pub fn new(config: ImbalanceConfig, instrument_count: usize) -> Result<Self, OutOfRange> {
        config.validate()?;
        let taken = Taken {
            sizing: Sizing::new(config.order_notional),
            entered: None,
            left: None,
            held: None,
            resting: None,
        };
        Ok(Self {
            config,
            instruments: vec![taken; instrument_count],
            timer: Nanos::ZERO,
        })
    }

    fn look(&mut self, view: &View<'_>, actions: &mut Actions) {
        let picture = self.picture(view);
        self.note_position(view, picture);
        let is_busy = self.is_busy(view, actions);
        let exit = self.exit(view, picture);
        let (signal, is_exit) = match exit {
            Some(exit) => (Some(exit), true),
            None => (picture.and_then(|picture| self.entry(picture)), false),
        };
        let Some(side) = signal else { return };
        match self.order(side, is_exit, is_busy, view, picture) {
            Ok(quote) => {
                let own = &mut self.instruments[view.instrument.as_usize()];
                if is_exit {
                    own.left = Some(view.now);
                } else {
                    own.entered = Some(view.now);
                }
                actions.push(Action::Place(quote));
            }
            Err(reason) => actions.suppress(reason),
        }
    }

    /// Whether an order is open; one that rests is cancelled.
    fn is_busy(&mut self, view: &View<'_>, actions: &mut Actions) -> bool {
        let own = &mut self.instruments[view.instrument.as_usize()];
        let is_ours = |order: &OwnOrder| order.origin == Origin::Strategy;
        let resting = view
            .own
            .iter()
            .filter(is_ours)
            .find(|order| rests(order.state));
        own.resting = resting.map(|order| match own.resting {
            Some((id, since)) if id == order.id => (id, since),
            Some(_) | None => (order.id, view.now),
        });
        if let Some((id, since)) = own.resting
            && view.now.since(since) >= REST_MAX
            && view.trading != TradingState::Halted
        {
            actions.push(Action::Cancel(id));
        }
        view.own.iter().any(|order| is_ours(&order))
    }

    /// Keeps how long a position is held: from when it was first seen, or seen to have changed its sign.
    /// What is too small for an order is no position: fees taken in base leave such rests.
    fn note_position(&mut self, view: &View<'_>, picture: Option<Picture>) {
        let own = &mut self.instruments[view.instrument.as_usize()];
        let side = match view.position.0.signum() {
            1 => Side::Buy,
            -1 => Side::Sell,
            _ => {
                own.held = None;
                return;
            }
        };
        let is_rest = picture.is_some_and(|picture| {
            let price = picture.far_touch(side.opposite());
            !is_legal(view.rules, price, position_lots(view))
        });
        if is_rest {
            own.held = None;
        } else if own.held.is_none_or(|(held, _)| held != side) {
            own.held = Some((side, view.now));
        }
    }

    fn picture(&self, view: &View<'_>) -> Option<Picture> {
        let live = view.book?;
        if view.now.since(live.updated_at) > self.config.book_age_max {
            return None;
        }
        let levels = self.config.levels as usize;
        let sum = |side| -> i128 {
            live.book
                .levels(side)
                .take(levels)
                .map(|level| i128::from(level.qty.0))
                .sum()
        };
        let (bid, ask) = view.touch()?;
        let (bids, asks) = (sum(book::Side::Bid), sum(book::Side::Ask));
        Some(Picture {
            bid,
            ask,
            difference: bids - asks,
            sum: bids + asks,
        })
    }

    /// The side that leaves the position, when it is time.
    fn exit(&self, view: &View<'_>, picture: Option<Picture>) -> Option<Side> {
        let (side, since) = self.instruments[view.instrument.as_usize()].held?;
        let is_old = view.now.since(since) >= self.config.hold_max;
        let is_over =
            picture.is_some_and(|picture| !picture.leans(side, self.config.exit_permille));
        (is_old || is_over).then_some(side.opposite())
    }

    fn entry(&self, picture: Picture) -> Option<Side> {
        Side::ALL
            .into_iter()
            .find(|&side| picture.leans(side, self.config.enter_permille))
    }

    /// The order of a signal, or why there is none.
    fn order(
        &mut self,
        side: Side,
        is_exit: bool,
        is_busy: bool,
        view: &View<'_>,
        picture: Option<Picture>,
    ) -> Result<Quote, Suppression> {
        match (view.trading, is_exit) {
            (TradingState::Active, _) | (TradingState::ReduceOnly, true) => {}
            (TradingState::ReduceOnly, false) | (TradingState::Halted, _) => {
                return Err(Suppression::State);
            }
        }
        let picture = picture.ok_or(Suppression::BookNotLive)?;
        if is_busy {
            return Err(Suppression::InFlight);
        }
        let own = &mut self.instruments[view.instrument.as_usize()];
        let (last, wait) = if is_exit {
            (own.left, self.config.exit_interval)
        } else {
            (own.entered, self.config.cool_down)
        };
        if last.is_some_and(|at| view.now.since(at) < wait) {
            return Err(Suppression::CoolDown);
        }
        let price = picture.far_touch(side);
        let qty = if is_exit {
            position_lots(view)
        } else {
            let size = own.sizing.lots(view.rules, picture.bid.0 + picture.ask.0);
            let lot_e8 = i128::from(view.rules.lot.unit().0);
            let size_e8 = i128::from(size.0) * lot_e8;
            let position = i128::from(view.position.0) * i128::from(side.sign());
            let bound = size_e8 * i128::from(self.config.position_max_orders);
            if bound - position - view.open_e8(side) < size_e8 {
                return Err(Suppression::Inventory);
            }
            size
        };
        if !is_legal(view.rules, price, qty) {
            return Err(Suppression::NoRoom);
        }
        if view.meets_own(side, price) {
            return Err(Suppression::OwnOrder);
        }
        Ok(Quote {
            side,
            kind: OrderKind::Limit,
            time_in_force: TimeInForce::Ioc,
            price,
            qty,
            self_trade_prevention: view.rules.order_rules.self_trade_prevention,
        })
    }
}

/// Whether the venue holds the order and nothing is under way.
fn rests(state: OrderState) -> bool {
    match state {
        OrderState::Live | OrderState::PartiallyFilled => true,
        OrderState::Admitted
        | OrderState::Sent
        | OrderState::CancelSent
        | OrderState::ReplaceSent
        | OrderState::Unresolved
        | OrderState::Done(_) => false,
    }
}

/// The position without its sign, in whole steps and at most the venue's largest order.
fn position_lots(view: &View<'_>) -> Lots {
    let lots = (view.position.0.unsigned_abs() / view.rules.lot.unit().0.unsigned_abs()) as i64;
    let most = view.rules.qty_bounds.max.map_or(i64::MAX, |max| max.0);
    whole_steps(view.rules, Lots(lots.min(most)))
}

impl Strategy for Imbalance {
    fn name(&self) -> &'static str {
        "imbalance"
    }

    fn on_book(&mut self, view: &View<'_>, actions: &mut Actions) {
        self.look(view, actions);
    }

    fn on_trade(&mut self, _view: &View<'_>, _trade: &PublicTrade, _actions: &mut Actions) {}

    fn on_order(&mut self, view: &View<'_>, _update: &OrderUpdate, _actions: &mut Actions) {
        let picture = self.picture(view);
        self.note_position(view, picture);
    }

    fn on_timer(&mut self, view: &View<'_>, actions: &mut Actions) {
        self.timer = view.now.plus(self.config.book_age_max);
        self.look(view, actions);
    }

    /// `book_age_max` later each time: a position comes of age also when its book is silent.
    fn next_timer(&self) -> Nanos {
        self.timer
    }
}
