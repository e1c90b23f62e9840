//! Quotes both sides of a book, and leans against what it holds.
//!
//! Owns: [`MarketMaker`] and its parameters. The prices are those of Avellaneda & Stoikov (`estimate`);
//! this file turns them into at most one bid and one ask for each instrument, always `LIMIT_MAKER`.
//!
//! What a side does, in this order:
//!
//! | there is | and | then |
//! | --- | --- | --- |
//! | a request under way, or an unknown outcome | | nothing (`in_flight`) |
//! | more than one quote at rest | | all but the first are cancelled |
//! | a quote | none is wanted, or the inventory leaves no room for it | it is cancelled |
//! | a quote | the wanted price is `requote_ticks` and `requote_percent` away, or less than half of what it could be is left | it is replaced, or cancelled when both together are too much |
//! | a quote | else | it stays (`no_change`) |
//! | none | one is wanted | it is placed |
//!
//! Nothing is placed or replaced where it would meet an order of ours, for example the other quote on
//! its way.
//!
//! None is wanted while the book is not live, older than `book_age_max`, crossed or one-sided; before
//! the estimate has warmed up; when inventory or the venue's rules leave nothing. In `REDUCE_ONLY` only
//! the side that closes the position is quoted, up to the position; in `HALTED` nothing is asked,
//! because the engine cancels.
//!
//! Invariants: a quote never reaches the other side's best price of the book it was computed on; the
//! position with every open order of a side filled never comes to more than the bound on inventory by an
//! order of ours; an operator's orders are counted and never touched; two requests of a side are
//! `requote_interval` apart, cancels excepted.

mod estimate;

use super::sizing::{NOTIONAL_MAX, OutOfRange, Sizing, check, is_legal, whole_steps};
use super::{
    Action, Actions, OrderUpdate, OwnOrder, PublicTrade, Quote, Strategy, Suppression, View,
};
use crate::order::{OrderKind, OrderState, Origin, Side, TimeInForce};
use crate::risk::TradingState;
use crate::units::{E8, E8_ONE, Lots, Nanos, Ticks};
use estimate::{Model, Volatility};

/// Parameters of [`MarketMaker`], the same for every instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketMakerConfig {
    /// Worth of one quote in the quote asset, `(0, 1e9]`. Default 200.
    pub quote_notional: E8,
    /// Largest position either way, in quotes, 1 to 1,000. Default 5. Limits of risk should leave one
    /// quote more: while a quote is replaced both count.
    pub inventory_max_quotes: u32,
    /// Risk aversion in 1e-6 per tick and quote, 1 to 10,000,000. Larger leans harder and quotes wider.
    /// Default 2,000.
    pub risk_aversion_e6: u32,
    /// How long inventory is expected to be held, in book updates, 1 to 100,000. Default 100, ten
    /// seconds of the venue's diff stream.
    pub horizon_updates: u32,
    /// How fast orders thin out with distance from the middle, in 1e-3 per tick, 1 to 1,000,000. Smaller
    /// quotes wider. Default 100.
    pub arrival_decay_e3: u32,
    /// Book updates after which a change of price counts half, 1 to 100,000. Default 300.
    pub volatility_half_life_updates: u32,
    /// Book updates before the first quote, 1 to 100,000. Default 50.
    pub warm_up_updates: u32,
    /// Smallest distance of a quote from the reservation price in ticks, 0 to `offset_max_ticks`.
    /// Default 1.
    pub half_spread_min_ticks: u32,
    /// Largest distance of a quote from the reservation price, and of that from the middle, in ticks, 1
    /// to 1,000,000. Default 300.
    pub offset_max_ticks: u32,
    /// A quote stays until the wanted price is this many ticks away, 1 to 1,000,000. Default 2.
    pub requote_ticks: u32,
    /// A quote stays until the wanted price is this part of half the distance between both wanted quotes
    /// away, in percent, 0 to 1,000; 0 leaves it to `requote_ticks`. Default 50: a wide quote need not
    /// follow every tick.
    pub requote_percent: u32,
    /// Time between two requests of one side, cancels excepted, up to an hour. Default 2 s: with it two
    /// instruments stay below the venue's orders of a day.
    pub requote_interval: Nanos,
    /// A book without an update for longer is not quoted on, 1 ms to an hour. Default 2 s.
    pub book_age_max: Nanos,
}

impl Default for MarketMakerConfig {
    fn default() -> Self {
        Self {
            quote_notional: E8(200 * E8_ONE),
            inventory_max_quotes: 5,
            risk_aversion_e6: 2_000,
            horizon_updates: 100,
            arrival_decay_e3: 100,
            volatility_half_life_updates: 300,
            warm_up_updates: 50,
            half_spread_min_ticks: 1,
            offset_max_ticks: 300,
            requote_ticks: 2,
            requote_percent: 50,
            requote_interval: Nanos::from_secs(2),
            book_age_max: Nanos::from_secs(2),
        }
    }
}

/// Longest time that a parameter may name, one hour.
const TIME_MAX_NS: i64 = Nanos::from_secs(3_600).0 as i64;

impl MarketMakerConfig {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// The first that is outside.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let offset_max = i64::from(self.offset_max_ticks);
        let ns = |time: Nanos| i64::try_from(time.0).unwrap_or(i64::MAX);
        check("quote_notional", self.quote_notional.0, 1, NOTIONAL_MAX)?;
        check("inventory_max_quotes", self.inventory_max_quotes, 1, 1_000)?;
        check("risk_aversion_e6", self.risk_aversion_e6, 1, 10_000_000)?;
        check("horizon_updates", self.horizon_updates, 1, 100_000)?;
        check("arrival_decay_e3", self.arrival_decay_e3, 1, 1_000_000)?;
        check(
            "volatility_half_life_updates",
            self.volatility_half_life_updates,
            1,
            100_000,
        )?;
        check("warm_up_updates", self.warm_up_updates, 1, 100_000)?;
        check("offset_max_ticks", self.offset_max_ticks, 1, 1_000_000)?;
        check(
            "half_spread_min_ticks",
            self.half_spread_min_ticks,
            0,
            offset_max,
        )?;
        check("requote_ticks", self.requote_ticks, 1, 1_000_000)?;
        check("requote_percent", self.requote_percent, 0, 1_000)?;
        check(
            "requote_interval",
            ns(self.requote_interval),
            0,
            TIME_MAX_NS,
        )?;
        check(
            "book_age_max",
            ns(self.book_age_max),
            1_000_000,
            TIME_MAX_NS,
        )
    }
}

/// What is kept of one instrument.
struct Quoted {
    volatility: Volatility,
    sizing: Sizing,
    /// When each side last placed or replaced.
    requested: [Option<Nanos>; Side::ALL.len()],
}

/// Quotes both sides; see the module's text.
pub struct MarketMaker {
    config: MarketMakerConfig,
    model: Model,
    instruments: Vec<Quoted>,
    timer: Nanos,
}

/// Where both quotes should stand, and one of them in full.
#[derive(Clone, Copy)]
struct Wanted {
    bid: Ticks,
    ask: Ticks,
    size: Lots,
}

impl MarketMaker {
    /// A market maker of `instrument_count` instruments.
    ///
    /// # Errors
    /// When a parameter is outside its range.
    pub fn new(config: MarketMakerConfig, instrument_count: usize) -> Result<Self, OutOfRange> {
        config.validate()?;
        let quoted = || Quoted {
            volatility: Volatility::new(config.volatility_half_life_updates),
            sizing: Sizing::new(config.quote_notional),
            requested: [None; Side::ALL.len()],
        };
        Ok(Self {
            config,
            model: Model::new(&config),
            instruments: std::iter::repeat_with(quoted)
                .take(instrument_count)
                .collect(),
            timer: Nanos::ZERO,
        })
    }

    fn look(&mut self, view: &View<'_>, actions: &mut Actions) {
        let wanted = self.wanted(view);
        for side in Side::ALL {
            self.quote(side, wanted, view, actions);
        }
    }

    /// Where the quotes belong, whatever the inventory leaves of them.
    fn wanted(&mut self, view: &View<'_>) -> Result<Wanted, Suppression> {
        let live = view.book.ok_or(Suppression::BookNotLive)?;
        let (bid, ask) = view.touch().ok_or(Suppression::BookNotLive)?;
        if view.now.since(live.updated_at) > self.config.book_age_max {
            return Err(Suppression::BookNotLive);
        }
        let own = &mut self.instruments[view.instrument.as_usize()];
        if own.volatility.changes() < self.config.warm_up_updates {
            return Err(Suppression::WarmingUp);
        }
        let twice_mid = bid.0 + ask.0;
        let size = own.sizing.lots(view.rules, twice_mid);
        let size_e8 = view.rules.lot.value(size.0).ok_or(Suppression::NoRoom)?;
        if size == Lots::ZERO {
            return Err(Suppression::NoRoom);
        }
        let (own_bid, own_ask) =
            self.model
                .quotes(twice_mid, &own.volatility, view.position, size_e8);
        Ok(Wanted {
            bid: own_bid.min(Ticks(ask.0 - 1)),
            ask: own_ask.max(Ticks(bid.0 + 1)),
            size,
        })
    }

    /// One side's decision; see the table above.
    fn quote(
        &mut self,
        side: Side,
        wanted: Result<Wanted, Suppression>,
        view: &View<'_>,
        actions: &mut Actions,
    ) {
        if view.trading == TradingState::Halted {
            return actions.suppress(Suppression::State);
        }
        let mut quotes = view.own.iter().filter(|order| is_quote(order, side));
        if quotes.clone().any(|order| is_in_flight(order.state)) {
            return actions.suppress(Suppression::InFlight);
        }
        let current = quotes.next();
        for surplus in quotes {
            actions.push(Action::Cancel(surplus.id));
        }
        let room_e8 = wanted.map(|wanted| (wanted, self.room_e8(side, wanted.size, view)));
        let (wanted, room_e8) = match (room_e8, current) {
            (Ok((wanted, room_e8)), None) => (wanted, room_e8),
            (Ok((wanted, room_e8)), Some(_)) if room_e8 >= 0 => (wanted, room_e8),
            (Ok(_) | Err(_), Some(current)) => return actions.push(Action::Cancel(current.id)),
            (Err(reason), None) => return actions.suppress(reason),
        };
        let price = match side {
            Side::Buy => wanted.bid,
            Side::Sell => wanted.ask,
        };
        let qty = affordable(room_e8, wanted.size, view);
        let is_possible = is_legal(view.rules, price, qty);
        if let Some(current) = current {
            let moved = (current.price.0 - price.0).unsigned_abs();
            let lot_e8 = i128::from(view.rules.lot.unit().0);
            let kept_e8 = i128::from(current.remaining.0) * lot_e8;
            let whole = affordable(room_e8 + kept_e8, wanted.size, view);
            if moved < self.requote_distance(wanted)
                && current.remaining.0 >= whole.0 - current.remaining.0
            {
                return actions.suppress(Suppression::NoChange);
            }
            if !is_possible {
                return actions.push(Action::Cancel(current.id));
            }
        } else if !is_possible {
            let is_whole = qty == wanted.size;
            return actions.suppress(match view.trading {
                TradingState::Active | TradingState::ReduceOnly if is_whole => Suppression::NoRoom,
                TradingState::Active => Suppression::Inventory,
                TradingState::ReduceOnly | TradingState::Halted => Suppression::State,
            });
        }
        let requested = &mut self.instruments[view.instrument.as_usize()].requested[side.index()];
        if requested.is_some_and(|at| view.now.since(at) < self.config.requote_interval) {
            return actions.suppress(Suppression::CoolDown);
        }
        if view.meets_own(side, price) {
            return actions.suppress(Suppression::OwnOrder);
        }
        *requested = Some(view.now);
        actions.push(match current {
            Some(current) => Action::Replace {
                order: current.id,
                price,
                qty,
            },
            None => Action::Place(Quote {
                side,
                kind: OrderKind::LimitMaker,
                time_in_force: TimeInForce::Gtc,
                price,
                qty,
                self_trade_prevention: view.rules.order_rules.self_trade_prevention,
            }),
        });
    }

    /// How far a wanted price has to be away for a quote to follow it, in ticks.
    fn requote_distance(&self, wanted: Wanted) -> u64 {
        let width = (wanted.ask.0 - wanted.bid.0).unsigned_abs();
        let part = width.saturating_mul(self.config.requote_percent.into()) / 200;
        part.max(self.config.requote_ticks.into())
    }

    /// What the bound on inventory leaves to a side with all its open orders filled, in 1e-8 of base;
    /// negative when those are too much already. In `REDUCE_ONLY` the bound is zero.
    fn room_e8(&self, side: Side, size: Lots, view: &View<'_>) -> i128 {
        let lot_e8 = i128::from(view.rules.lot.unit().0);
        let bound = match view.trading {
            TradingState::Active => {
                i128::from(size.0) * lot_e8 * i128::from(self.config.inventory_max_quotes)
            }
            TradingState::ReduceOnly | TradingState::Halted => 0,
        };
        let position = i128::from(view.position.0) * i128::from(side.sign());
        bound - position - view.open_e8(side)
    }
}

fn is_quote(order: &OwnOrder, side: Side) -> bool {
    order.side == side && order.origin == Origin::Strategy
}

fn is_in_flight(state: OrderState) -> bool {
    match state {
        OrderState::Live | OrderState::PartiallyFilled => false,
        OrderState::Admitted
        | OrderState::Sent
        | OrderState::CancelSent
        | OrderState::ReplaceSent
        | OrderState::Unresolved
        | OrderState::Done(_) => true,
    }
}

/// As much of a quote as there is room for, in whole steps.
fn affordable(room_e8: i128, size: Lots, view: &View<'_>) -> Lots {
    let lot_e8 = i128::from(view.rules.lot.unit().0);
    if room_e8 >= i128::from(size.0) * lot_e8 {
        size
    } else {
        whole_steps(view.rules, Lots((room_e8.max(0) / lot_e8) as i64))
    }
}

impl Strategy for MarketMaker {
    fn name(&self) -> &'static str {
        "market_maker"
    }

    fn on_book(&mut self, view: &View<'_>, actions: &mut Actions) {
        let volatility = &mut self.instruments[view.instrument.as_usize()].volatility;
        match view.touch() {
            Some((bid, ask)) => volatility.update(bid.0 + ask.0),
            None => volatility.interrupt(),
        }
        self.look(view, actions);
    }

    fn on_trade(&mut self, _view: &View<'_>, _trade: &PublicTrade, _actions: &mut Actions) {}

    fn on_order(&mut self, view: &View<'_>, _update: &OrderUpdate, actions: &mut Actions) {
        self.look(view, actions);
    }

    fn on_timer(&mut self, view: &View<'_>, actions: &mut Actions) {
        self.timer = view.now.plus(Nanos(self.config.book_age_max.0 / 2));
        self.look(view, actions);
    }

    /// Half of `book_age_max` later each time: that is how late a book is noticed that stopped without a
    /// word.
    fn next_timer(&self) -> Nanos {
        self.timer
    }
}
