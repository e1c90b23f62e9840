//! The strategies against the synthetic market, in virtual time: they trade, and they stay within their
//! bounds.
//!
//! The venue here is a few lines: orders arrive [`LATENCY_US`] late, a maker waits behind what is shown
//! at its price, public trades eat that queue, and a touch that passes an order fills it. It answers one
//! question, whether the shipped parameters trade on the shipped market; matching as the venue does it
//! is tested where it lives.

use std::collections::VecDeque;

use veloz::venue::flow::{SymbolProfile, SyntheticMarket};
use veloz::venue::source::{
    DepthSpeed, Level as VenueLevel, MarketEvent, MarketSource, SymbolIndex, VenueMicros,
};
use veloz_core::book::{Book, Side as BookSide};
use veloz_core::instrument::{Bounds, Instrument, InstrumentIndex, OrderRules, Symbol};
use veloz_core::limits::{BOOK_FAR_LEVELS_MAX, BOOK_WINDOW_TICKS};
use veloz_core::order::{
    DoneReason, Fill, OrderId, OrderKind, OrderState, Origin, Side, TimeInForce,
};
use veloz_core::risk::{
    Conditions, GlobalLimits, InstrumentLimits, OpenOrders, Ratio, Rejection, Risk, Touch,
    worst_position,
};
use veloz_core::strategy::{
    Action, Actions, Configured, Funnel, ImbalanceConfig, LiveBook, MarketMakerConfig, OrderUpdate,
    OwnOrder, OwnOrders, PublicTrade, Quote, Stage, Standing, Strategy, StrategyConfig, View,
};
use veloz_core::units::{E8, E8_ONE, Grid, Lots, Nanos, Ticks, VenueMillis};

const START: VenueMicros = VenueMicros(1_723_161_254_000_000);
const LATENCY_US: u64 = 2_000;
const INDEX: InstrumentIndex = InstrumentIndex(0);
/// What the account starts with, in quote.
const QUOTE_AT_START: i64 = 1_000_000 * E8_ONE;

/// An order as the venue and we both see it.
#[derive(Clone, Copy, Debug)]
struct Order {
    own: OwnOrder,
    kind: OrderKind,
    time_in_force: TimeInForce,
    /// Lots that were shown at its price before it.
    ahead: i64,
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Place(OrderId),
    Cancel(OrderId),
    /// The old one goes, then the new one comes.
    Replace(OrderId, OrderId),
}

struct World {
    rules: Instrument,
    book: Book,
    updated_at: Nanos,
    /// The venue's touch now: ahead of the book between two diffs.
    touch: [i64; 2],
    orders: Vec<Order>,
    requests: VecDeque<(u64, Request)>,
    position: i64,
    quote: i64,
    risk: Risk,
    strategy: Configured,
    actions: Actions,
    funnel: Funnel,
    sequence: u32,
    updates: VecDeque<OrderUpdate>,
    now_us: u64,
    worst_position_seen: i64,
    fills: [u32; 2],
}

fn instrument(profile: &SymbolProfile) -> Instrument {
    let symbol = |text: &str| Symbol::new(text).expect("short");
    Instrument {
        symbol: symbol(&profile.symbol),
        base: symbol(&profile.base),
        quote: symbol(&profile.quote),
        tick: Grid::new(E8(profile.tick_e8)).expect("positive"),
        // As the engine has it: the precision of the asset, with the venue's lot as a step.
        lot: Grid::new(E8(1)).expect("positive"),
        price_bounds: Bounds {
            min: None,
            max: None,
        },
        qty_bounds: Bounds {
            min: None,
            max: None,
        },
        notional_min: Some(E8(5 * E8_ONE)),
        notional_max: Some(E8(9_000_000 * E8_ONE)),
        order_rules: OrderRules {
            qty_step: Lots(profile.lot_e8),
            open_orders_max: Some(200),
            ..OrderRules::UNRESTRICTED
        },
        trading: true,
    }
}

impl World {
    fn new(profile: &SymbolProfile, config: &StrategyConfig) -> Self {
        let global = GlobalLimits {
            open_orders_max: Some(10),
            orders_per_second_max: Some(20),
            market_data_age_max: Some(Nanos::from_secs(2)),
            ..GlobalLimits::default()
        };
        let limits = InstrumentLimits {
            price_collar_bps: Some(100),
            ..InstrumentLimits::default()
        };
        Self {
            rules: instrument(profile),
            book: Book::new(BOOK_WINDOW_TICKS, BOOK_FAR_LEVELS_MAX),
            updated_at: Nanos::ZERO,
            touch: [0; 2],
            orders: Vec::new(),
            requests: VecDeque::new(),
            position: 0,
            quote: QUOTE_AT_START,
            risk: Risk::new(global, vec![limits]).expect("legal limits"),
            strategy: Configured::new(config, 1).expect("legal parameters"),
            actions: Actions::new(),
            funnel: Funnel::new(),
            sequence: 0,
            updates: VecDeque::new(),
            now_us: 0,
            worst_position_seen: 0,
            fills: [0; 2],
        }
    }

    fn now(&self) -> Nanos {
        Nanos::from_us(self.now_us)
    }

    /// Calls the strategy and does what it asks for; then tells it of its own orders until nothing is
    /// new.
    fn look(&mut self, call: impl FnOnce(&mut Configured, &View<'_>, &mut Actions)) {
        self.call(call);
        while let Some(update) = self.updates.pop_front() {
            self.call(|strategy, view, actions| strategy.on_order(view, &update, actions));
        }
    }

    fn call(&mut self, call: impl FnOnce(&mut Configured, &View<'_>, &mut Actions)) {
        let own: Vec<OwnOrder> = self.orders.iter().map(|order| order.own).collect();
        let view = View {
            now: self.now(),
            instrument: INDEX,
            rules: &self.rules,
            book: Some(LiveBook {
                book: &self.book,
                updated_at: self.updated_at,
            }),
            position: E8(self.position),
            own: OwnOrders::listed(&own),
            trading: self.risk.state(),
        };
        call(&mut self.strategy, &view, &mut self.actions);
        self.funnel.count_look(&self.actions);
        let actions = self.actions.clone();
        self.actions.clear();
        for action in actions.as_slice() {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: &Action) {
        let due = self.now_us + LATENCY_US;
        match *action {
            Action::Place(quote) => {
                if let Some(id) = self.admit(quote) {
                    self.requests.push_back((due, Request::Place(id)));
                }
            }
            Action::Replace { order, price, qty } => {
                let old = self.find(order);
                let quote = Quote {
                    side: old.own.side,
                    kind: old.kind,
                    time_in_force: old.time_in_force,
                    price,
                    qty,
                    self_trade_prevention: self.rules.order_rules.self_trade_prevention,
                };
                if let Some(id) = self.admit(quote) {
                    self.find(order).own.state = OrderState::ReplaceSent;
                    self.requests.push_back((due, Request::Replace(order, id)));
                }
            }
            Action::Amend { .. } => panic!("no strategy here amends"),
            Action::Cancel(order) => {
                self.find(order).own.state = OrderState::CancelSent;
                self.requests.push_back((due, Request::Cancel(order)));
            }
        }
    }

    fn admit(&mut self, quote: Quote) -> Option<OrderId> {
        let intent = quote.intent(INDEX);
        self.funnel.count_intent(intent.origin);
        let conditions = self.conditions();
        match self
            .risk
            .admit(self.now(), &intent, &self.rules, &conditions)
        {
            Ok(admitted) => {
                for stage in [Stage::Admitted, Stage::Encoded, Stage::Sent] {
                    self.funnel.count(stage);
                }
                self.sequence += 1;
                let id = OrderId {
                    run: 1,
                    sequence: self.sequence,
                };
                let intent = admitted.intent();
                self.orders.push(Order {
                    own: OwnOrder {
                        id,
                        origin: Origin::Strategy,
                        side: intent.side,
                        price: intent.price,
                        qty: intent.qty,
                        remaining: intent.qty,
                        state: OrderState::Sent,
                    },
                    kind: intent.kind,
                    time_in_force: intent.time_in_force,
                    ahead: 0,
                });
                Some(id)
            }
            Err(reason) => {
                self.funnel.count_rejected(reason);
                None
            }
        }
    }

    fn conditions(&self) -> Conditions {
        let open = |side: Side| {
            let mut open = OpenOrders::default();
            for order in self.orders.iter().filter(|order| order.own.side == side) {
                open.remaining.0 += order.own.remaining.0;
                open.count += 1;
                let better = |best: Ticks| order.own.price.0 * side.sign() > best.0 * side.sign();
                if open.best_price.is_none_or(better) {
                    open.best_price = Some(order.own.price);
                }
            }
            open
        };
        let best = |side| self.book.best(side).map(|level| level.price);
        let exposure = |position: E8| {
            let mid = best(BookSide::Bid).map_or(0, |bid| bid.0) * self.rules.tick.unit().0;
            E8((i128::from(position.0) * i128::from(mid) / i128::from(E8_ONE)) as i64)
        };
        let (open_buys, open_sells) = (open(Side::Buy), open(Side::Sell));
        let worst = exposure(worst_position(
            E8(self.position),
            E8(open_buys.remaining.0),
            E8(open_sells.remaining.0),
        ));
        Conditions {
            ready: true,
            backlog: false,
            link_backpressure: false,
            duplicate_client_id: false,
            venue_budget_ready: true,
            clock_offset_ns: Some(0),
            touch: Some(Touch {
                bid: best(BookSide::Bid),
                ask: best(BookSide::Ask),
                updated_at: self.updated_at,
            }),
            position: E8(self.position),
            open_buys,
            open_sells,
            counts_twice: false,
            open_orders_total: self.orders.len() as u32,
            available_base: E8(100 * E8_ONE + self.position),
            available_quote: E8(self.quote),
            equity: E8(self.quote),
            gross_exposure: Some(worst),
            instrument_exposure: worst,
            quote_to_account: Ratio::ONE,
            day_change: Some(E8(0)),
            drawdown_bps: Some(0),
        }
    }

    fn find(&mut self, id: OrderId) -> &mut Order {
        self.orders
            .iter_mut()
            .find(|order| order.own.id == id)
            .expect("an open order")
    }

    /// The venue handles what has arrived by now.
    fn serve(&mut self) {
        while let Some(&(due, request)) = self.requests.front()
            && due <= self.now_us
        {
            self.requests.pop_front();
            match request {
                Request::Place(id) => self.accept(id),
                Request::Cancel(id) => {
                    self.end(id, DoneReason::Cancelled);
                }
                Request::Replace(old, new) => {
                    if self.end(old, DoneReason::Cancelled) {
                        self.accept(new);
                    } else {
                        self.refuse(new);
                    }
                }
            }
        }
    }

    /// Ends an order that is still there, and says whether it was.
    fn end(&mut self, id: OrderId, reason: DoneReason) -> bool {
        let Some(position) = self.orders.iter().position(|order| order.own.id == id) else {
            return false;
        };
        let order = self.orders.remove(position);
        self.funnel.count_ended(reason);
        self.tell(&order.own, OrderState::Done(reason), None);
        true
    }

    fn refuse(&mut self, id: OrderId) {
        self.funnel.count(Stage::Refused);
        self.end(id, DoneReason::Rejected);
    }

    fn tell(&mut self, own: &OwnOrder, state: OrderState, fill: Option<Fill>) {
        self.updates.push_back(OrderUpdate {
            id: own.id,
            origin: own.origin,
            side: own.side,
            state,
            remaining: own.remaining,
            fill,
        });
    }

    fn accept(&mut self, id: OrderId) {
        let order = *self.find(id);
        let far = self.touch[order.own.side.opposite().index()];
        let takes = (far - order.own.price.0) * order.own.side.sign() <= 0;
        match order.kind {
            OrderKind::LimitMaker if takes => return self.refuse(id),
            OrderKind::LimitMaker | OrderKind::Limit | OrderKind::Market => {}
        }
        self.funnel.count(Stage::Acknowledged);
        if takes {
            self.fill(id, Ticks(far), order.own.qty);
        } else {
            match order.time_in_force {
                TimeInForce::Ioc | TimeInForce::Fok => {
                    self.end(id, DoneReason::Expired);
                }
                TimeInForce::Gtc => {
                    let side = match order.own.side {
                        Side::Buy => BookSide::Bid,
                        Side::Sell => BookSide::Ask,
                    };
                    let shown = self
                        .book
                        .levels(side)
                        .take_while(|level| {
                            (level.price.0 - order.own.price.0) * order.own.side.sign() >= 0
                        })
                        .find(|level| level.price == order.own.price)
                        .map_or(0, |level| level.qty.0);
                    let resting = self.find(id);
                    resting.ahead = shown;
                    resting.own.state = OrderState::Live;
                    let own = resting.own;
                    self.tell(&own, OrderState::Live, None);
                }
            }
        }
    }

    fn fill(&mut self, id: OrderId, price: Ticks, qty: Lots) {
        let order = self.find(id);
        assert!(qty <= order.own.remaining);
        order.own.remaining.0 -= qty.0;
        let (own, is_maker) = (order.own, order.kind == OrderKind::LimitMaker);
        self.fills[own.side.index()] += 1;
        self.position += own.side.sign() * qty.0;
        self.worst_position_seen = self.worst_position_seen.max(self.position.abs());
        let worth = i128::from(qty.0) * i128::from(price.0) * i128::from(self.rules.tick.unit().0);
        self.quote -= own.side.sign() * (worth / i128::from(E8_ONE)) as i64;
        self.funnel.count(Stage::Fills);
        let fill = Some(Fill {
            trade_id: u64::from(self.fills[0] + self.fills[1]),
            price,
            qty,
            fee: E8(0),
            fee_asset: None,
            is_maker,
            at: VenueMillis(self.now_us / 1_000),
        });
        if own.remaining == Lots::ZERO {
            self.orders.retain(|order| order.own.id != id);
            self.funnel.count_ended(DoneReason::Filled);
            self.tell(&own, OrderState::Done(DoneReason::Filled), fill);
        } else {
            let state = match own.state {
                OrderState::Live => OrderState::PartiallyFilled,
                other => other,
            };
            self.find(id).own.state = state;
            self.tell(&own, state, fill);
        }
    }

    /// Orders at the venue that a trade or a touch at `price` reaches, coming from the other side.
    fn reached(&self, side: Side, price: i64) -> Vec<Order> {
        self.orders
            .iter()
            .filter(|order| order.own.side == side && order.own.state != OrderState::Sent)
            .filter(|order| (order.own.price.0 - price) * side.sign() >= 0)
            .copied()
            .collect()
    }

    fn trade(&mut self, price: i64, qty: i64, taker: Side) {
        for order in self.reached(taker.opposite(), price) {
            let mut left = qty;
            if order.own.price.0 == price {
                let ahead = order.ahead.min(left);
                self.find(order.own.id).ahead -= ahead;
                left -= ahead;
            }
            let filled = left.min(order.own.remaining.0);
            if filled > 0 {
                self.fill(order.own.id, order.own.price, Lots(filled));
            }
        }
    }

    fn move_touch(&mut self, bid: i64, ask: i64) {
        self.touch = [bid, ask];
        for (side, far) in [(Side::Buy, ask), (Side::Sell, bid)] {
            for order in self.reached(side, far) {
                self.fill(order.own.id, order.own.price, order.own.remaining);
            }
        }
    }

    fn apply(&mut self, side: BookSide, levels: &[VenueLevel]) {
        for level in levels {
            let price = self
                .rules
                .tick
                .divide_exact(level.price)
                .expect("on the grid");
            self.book
                .set(side, Ticks(price), Lots(level.qty.0))
                .expect("room");
        }
    }

    fn check(&self) {
        let count = |wanted: fn(OrderState) -> bool| {
            self.orders
                .iter()
                .filter(|order| wanted(order.own.state))
                .count() as u64
        };
        let unanswered = count(|state| state == OrderState::Sent);
        let standing = Standing {
            unanswered,
            open: self.orders.len() as u64 - unanswered,
            ..Standing::default()
        };
        assert_eq!(self.funnel.check(&standing), Ok(()));
    }
}

/// Runs a strategy for so many seconds of market time.
fn run(profile: &SymbolProfile, config: &StrategyConfig, seed: u64, seconds: u64) -> World {
    let mut market = SyntheticMarket::new(seed, START, std::slice::from_ref(profile));
    let mut world = World::new(profile, config);
    let snapshot = market.snapshot(SymbolIndex(0), 5_000);
    world.apply(BookSide::Bid, &snapshot.bids);
    world.apply(BookSide::Ask, &snapshot.asks);
    let price = |e8: E8| e8.0 / profile.tick_e8;
    world.touch = [price(snapshot.bids[0].price), price(snapshot.asks[0].price)];
    let mut out = Vec::new();
    while let Some(at) = market.next_at()
        && at.0 < START.0 + seconds * 1_000_000
    {
        market.advance(at, &mut out);
        for published in out.drain(..) {
            world.now_us = published.at.0 - START.0;
            world.serve();
            match published.event {
                MarketEvent::BookTicker { bid, ask, .. } => {
                    world.move_touch(price(bid.price), price(ask.price));
                    world.look(|_, _, _| {});
                }
                MarketEvent::Trade(trade) => {
                    let taker = if trade.buyer_is_maker {
                        Side::Sell
                    } else {
                        Side::Buy
                    };
                    world.trade(price(trade.price), trade.qty.0, taker);
                    let trade = PublicTrade {
                        price: Ticks(price(trade.price)),
                        qty: Lots(trade.qty.0),
                        taker,
                    };
                    world.look(|strategy, view, actions| strategy.on_trade(view, &trade, actions));
                }
                MarketEvent::Depth {
                    speed: DepthSpeed::Ms100,
                    bids,
                    asks,
                    ..
                } => {
                    world.apply(BookSide::Bid, &bids);
                    world.apply(BookSide::Ask, &asks);
                    world.updated_at = world.now();
                    world.look(Configured::on_book);
                }
                MarketEvent::Depth { .. }
                | MarketEvent::PartialDepth { .. }
                | MarketEvent::AggTrade { .. }
                | MarketEvent::Recorded { .. } => {}
            }
        }
        if world.strategy.next_timer() <= world.now() {
            world.look(Configured::on_timer);
        }
    }
    world.check();
    world
}

/// Both shipped symbols, each with its own seed.
fn markets() -> [(SymbolProfile, u64); 2] {
    [
        (SymbolProfile::btcusdt(), 19),
        (SymbolProfile::ethusdt(), 23),
    ]
}

/// So many orders of 200 in base, and what the price moves after they are sized.
fn bound(world: &World, orders: i64) -> i64 {
    let price_e8 = i128::from(world.touch[0]) * i128::from(world.rules.tick.unit().0);
    let one = 200 * i128::from(E8_ONE) * i128::from(E8_ONE) / price_e8;
    orders * (one * 102 / 100) as i64
}

const SECONDS: u64 = 600;

#[test]
fn the_market_maker_quotes_and_fills_and_stays_within_its_inventory() {
    let config = MarketMakerConfig::default();
    for (profile, seed) in markets() {
        let world = run(
            &profile,
            &StrategyConfig::MarketMaker(config),
            seed,
            SECONDS,
        );
        let counts: Vec<_> = world
            .funnel
            .rows()
            .filter(|(.., count)| *count > 0)
            .collect();
        assert!(
            world.fills.iter().all(|&fills| fills >= 20),
            "{:?}: {counts:?}",
            world.fills
        );
        assert!(world.worst_position_seen <= bound(&world, config.inventory_max_quotes.into()));
        // Two symbols together must stay below the venue's 200,000 orders a day, 2.3 a second.
        let sent = world.funnel.stage(Stage::Sent);
        assert!(sent <= SECONDS * 115 / 100, "{sent} orders: {counts:?}");
        // A maker that the venue refuses is the price of a book that is 100 ms old, not the rule.
        assert!(world.funnel.stage(Stage::Refused) * 4 <= sent, "{counts:?}");
        assert_eq!(world.funnel.stage(Stage::Overflowed), 0);
        let rejected: u64 = Rejection::ALL
            .iter()
            .map(|&r| world.funnel.rejected(r))
            .sum();
        assert_eq!(rejected, 0, "the shipped limits leave room: {counts:?}");
    }
}

#[test]
fn the_imbalance_taker_trades_both_ways_and_stays_within_its_bound() {
    let config = ImbalanceConfig::default();
    for (profile, seed) in markets() {
        let world = run(&profile, &StrategyConfig::Imbalance(config), seed, SECONDS);
        assert!(
            world.fills.iter().all(|&fills| fills >= 10),
            "{:?}",
            world.fills
        );
        assert!(world.worst_position_seen <= bound(&world, config.position_max_orders.into()));
    }
}

#[test]
fn the_same_market_gives_the_same_orders() {
    let config = StrategyConfig::MarketMaker(MarketMakerConfig::default());
    let once = || run(&SymbolProfile::ethusdt(), &config, 5, 120);
    let (first, second) = (once(), once());
    assert_eq!(first.funnel, second.funnel);
    assert_eq!(
        (first.position, first.quote),
        (second.position, second.quote)
    );
}
