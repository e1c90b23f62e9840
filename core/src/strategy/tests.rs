//! The strategies on made-up books, in virtual time, with a venue that answers as the test says.

use super::*;
use crate::instrument::tests::instrument;
use crate::order::{DoneReason, OrderKind, TimeInForce};
use crate::units::{E8_ONE, VenueMillis};
use proptest::prelude::{Just, any, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;

const INDEX: InstrumentIndex = InstrumentIndex(0);
const LOT_E8: i64 = 1_000;
/// Book windows are large; the smallest does for a few levels.
const WINDOW_TICKS: usize = 1 << 14;

/// One instrument, its orders, and a strategy.
struct Desk<S> {
    strategy: S,
    rules: Instrument,
    book: Book,
    is_live: bool,
    updated_at: Nanos,
    now: Nanos,
    position: i64,
    own: Vec<OwnOrder>,
    kinds: Vec<(OrderKind, TimeInForce)>,
    /// Replacements under way: the old order, the new one.
    replacements: Vec<(OrderId, OrderId)>,
    trading: TradingState,
    sequence: u32,
    log: Vec<Action>,
    last: Actions,
}

impl<S: Strategy> Desk<S> {
    fn new(strategy: S) -> Self {
        let mut rules = instrument("BTCUSDT", 1_000_000, LOT_E8);
        rules.notional_min = Some(E8(5 * E8_ONE));
        rules.order_rules.qty_step = Lots(10);
        Self {
            strategy,
            rules,
            book: Book::new(WINDOW_TICKS, 64),
            is_live: true,
            updated_at: Nanos::ZERO,
            now: Nanos::from_secs(1),
            position: 0,
            own: Vec::new(),
            kinds: Vec::new(),
            replacements: Vec::new(),
            trading: TradingState::Active,
            sequence: 0,
            log: Vec::new(),
            last: Actions::new(),
        }
    }

    fn call(&mut self, call: impl FnOnce(&mut S, &View<'_>, &mut Actions)) -> &[Action] {
        let mut actions = Actions::new();
        let view = View {
            now: self.now,
            instrument: INDEX,
            rules: &self.rules,
            book: self.is_live.then_some(LiveBook {
                book: &self.book,
                updated_at: self.updated_at,
            }),
            position: E8(self.position * LOT_E8),
            own: OwnOrders::listed(&self.own),
            trading: self.trading,
        };
        call(&mut self.strategy, &view, &mut actions);
        let start = self.log.len();
        for action in actions.as_slice() {
            self.perform(*action);
        }
        self.last = actions;
        &self.log[start..]
    }

    fn perform(&mut self, action: Action) {
        self.log.push(action);
        match action {
            Action::Place(quote) => {
                self.add(
                    quote.side,
                    quote.price,
                    quote.qty,
                    (quote.kind, quote.time_in_force),
                );
            }
            Action::Replace { order, price, qty } => {
                let old = self.find(order);
                assert_eq!(self.own[old].origin, Origin::Strategy);
                assert!(matches!(
                    self.own[old].state,
                    OrderState::Live | OrderState::PartiallyFilled
                ));
                self.own[old].state = OrderState::ReplaceSent;
                let new = self.add(self.own[old].side, price, qty, self.kinds[old]);
                self.replacements.push((order, new));
            }
            Action::Amend { .. } => panic!("no strategy here amends"),
            Action::Cancel(order) => {
                let order = self.find(order);
                assert_eq!(self.own[order].origin, Origin::Strategy);
                self.own[order].state = OrderState::CancelSent;
            }
        }
    }

    fn add(
        &mut self,
        side: Side,
        price: Ticks,
        qty: Lots,
        kind: (OrderKind, TimeInForce),
    ) -> OrderId {
        self.sequence += 1;
        let id = OrderId {
            run: 1,
            sequence: self.sequence,
        };
        self.own.push(OwnOrder {
            id,
            origin: Origin::Strategy,
            side,
            price,
            qty,
            remaining: qty,
            state: OrderState::Sent,
        });
        self.kinds.push(kind);
        id
    }

    fn find(&self, id: OrderId) -> usize {
        self.own
            .iter()
            .position(|order| order.id == id)
            .expect("an open order")
    }

    fn remove(&mut self, index: usize) -> OwnOrder {
        self.kinds.remove(index);
        self.own.remove(index)
    }

    /// The book's touch and the time of one update, 100 ms later.
    fn book(&mut self, levels: &[(book::Side, i64, i64)]) -> &[Action] {
        self.book.clear();
        for &(side, price, qty) in levels {
            self.book.set(side, Ticks(price), Lots(qty)).expect("room");
        }
        self.now = self.now.plus(Nanos::from_ms(100));
        self.updated_at = self.now;
        self.call(S::on_book)
    }

    fn touch(&mut self, bid: i64, ask: i64) -> &[Action] {
        self.book(&[(book::Side::Bid, bid, 100), (book::Side::Ask, ask, 100)])
    }

    /// The venue's answer to whatever is under way about an order; refusals leave it as it was before.
    fn answer(&mut self, index: usize, accept: bool) {
        let order = self.own[index];
        match order.state {
            OrderState::Sent => {
                if let Some(pair) = self
                    .replacements
                    .iter()
                    .position(|(_, new)| *new == order.id)
                {
                    let (old, _) = self.replacements.remove(pair);
                    if let Some(old) = self.own.iter().position(|order| order.id == old) {
                        if accept {
                            self.remove(old);
                        } else {
                            self.own[old].state = OrderState::Live;
                        }
                    }
                }
                let index = self.find(order.id);
                let rests = self.kinds[index].1 == TimeInForce::Gtc;
                if accept && rests {
                    self.own[index].state = OrderState::Live;
                } else {
                    self.remove(index);
                }
            }
            OrderState::CancelSent if accept => {
                self.remove(index);
            }
            OrderState::CancelSent => self.own[index].state = OrderState::Live,
            OrderState::Admitted
            | OrderState::Live
            | OrderState::PartiallyFilled
            | OrderState::ReplaceSent
            | OrderState::Unresolved
            | OrderState::Done(_) => {}
        }
    }

    fn answer_all(&mut self) {
        while let Some(index) = self
            .own
            .iter()
            .position(|order| matches!(order.state, OrderState::Sent | OrderState::CancelSent))
        {
            self.answer(index, true);
        }
    }

    /// Part of an order trades, and the strategy is told.
    fn fill(&mut self, index: usize, qty: i64) -> &[Action] {
        let order = &mut self.own[index];
        let qty = qty.min(order.remaining.0);
        order.remaining.0 -= qty;
        self.position += order.side.sign() * qty;
        let mut update = OrderUpdate {
            id: order.id,
            origin: order.origin,
            side: order.side,
            state: order.state,
            remaining: order.remaining,
            fill: Some(Fill {
                trade_id: 1,
                price: order.price,
                qty: Lots(qty),
                fee: E8(0),
                fee_asset: None,
                is_maker: true,
                at: VenueMillis(0),
            }),
        };
        if order.remaining == Lots::ZERO {
            update.state = OrderState::Done(DoneReason::Filled);
            self.replacements.retain(|(old, _)| *old != update.id);
            self.remove(index);
        } else if order.state == OrderState::Live {
            order.state = OrderState::PartiallyFilled;
            update.state = order.state;
        }
        self.call(|strategy, view, actions| strategy.on_order(view, &update, actions))
    }

    fn later(&mut self, ms: u64) {
        self.now = self.now.plus(Nanos::from_ms(ms));
    }

    fn of(&self, side: Side) -> Option<&OwnOrder> {
        self.own.iter().find(|order| order.side == side)
    }
}

fn maker_config() -> MarketMakerConfig {
    MarketMakerConfig {
        // 0.01 at 50,000.00: 1,000 lots.
        quote_notional: E8(500 * E8_ONE),
        inventory_max_quotes: 3,
        warm_up_updates: 4,
        requote_ticks: 3,
        requote_percent: 0,
        requote_interval: Nanos::from_secs(1),
        ..MarketMakerConfig::default()
    }
}

/// A market maker that has seen enough of a still market at 50,000.00 to quote.
fn warm_maker() -> Desk<MarketMaker> {
    let mut desk = Desk::new(MarketMaker::new(maker_config(), 1).expect("legal"));
    for _ in 0..4 {
        assert_eq!(desk.touch(4_999_999, 5_000_000), []);
        assert_eq!(desk.last.suppressed(Suppression::WarmingUp), 2);
    }
    desk
}

const STILL: (i64, i64) = (4_999_999, 5_000_000);

fn still(desk: &mut Desk<MarketMaker>) -> Vec<Action> {
    desk.touch(STILL.0, STILL.1).to_vec()
}

#[test]
fn the_maker_quotes_both_sides_once() {
    let mut desk = warm_maker();
    let actions = still(&mut desk);
    let [Action::Place(bid), Action::Place(ask)] = actions[..] else {
        panic!("{actions:?}")
    };
    for quote in [bid, ask] {
        assert_eq!(quote.kind, OrderKind::LimitMaker);
        assert_eq!(quote.time_in_force, TimeInForce::Gtc);
        assert_eq!(quote.qty, Lots(1_000));
    }
    // Nothing moves: half of the spread is ln(1 + g/k)/g = 9.9 ticks around 4,999,999.5.
    assert_eq!((bid.side, bid.price), (Side::Buy, Ticks(4_999_989)));
    assert_eq!((ask.side, ask.price), (Side::Sell, Ticks(5_000_010)));

    assert_eq!(still(&mut desk), []);
    assert_eq!(desk.last.suppressed(Suppression::InFlight), 2);
    desk.answer_all();
    assert_eq!(still(&mut desk), []);
    assert_eq!(desk.last.suppressed(Suppression::NoChange), 2);
    assert_eq!(desk.own.len(), 2);
}

#[test]
fn the_maker_follows_only_beyond_its_hysteresis_and_not_too_often() {
    let mut desk = warm_maker();
    still(&mut desk);
    desk.answer_all();
    desk.later(10_000);
    // Two ticks are less than three. The estimate of movement widens the quotes by less than one.
    assert_eq!(desk.touch(4_999_997, 4_999_998), []);
    assert_eq!(desk.last.suppressed(Suppression::NoChange), 2);
    let moved = desk.touch(5_000_029, 5_000_030).to_vec();
    assert_eq!(moved.len(), 2);
    assert!(moved.iter().all(|action| action.wish() == Wish::Replace));
    desk.answer_all();
    assert_eq!(desk.touch(5_000_059, 5_000_060), [], "too soon");
    assert_eq!(desk.last.suppressed(Suppression::CoolDown), 2);
    desk.later(1_000);
    assert_eq!(desk.touch(5_000_059, 5_000_060).len(), 2);
}

#[test]
fn a_refused_quote_is_not_tried_again_at_once() {
    let mut desk = warm_maker();
    still(&mut desk);
    while !desk.own.is_empty() {
        desk.answer(0, false);
    }
    assert_eq!(still(&mut desk), []);
    assert_eq!(desk.last.suppressed(Suppression::CoolDown), 2);
    desk.later(1_000);
    assert_eq!(still(&mut desk).len(), 2);
}

#[test]
fn inventory_skews_the_quotes_and_ends_a_side() {
    let mut desk = warm_maker();
    // Some movement, so that risk has a price.
    for step in 0..20 {
        desk.position = 0;
        desk.trading = TradingState::Halted;
        desk.touch(4_999_990 + 20 * (step % 2), 4_999_991 + 20 * (step % 2));
    }
    desk.trading = TradingState::Active;
    let prices = |desk: &mut Desk<MarketMaker>, position| {
        desk.own.clear();
        desk.kinds.clear();
        desk.position = position;
        desk.later(5_000);
        desk.updated_at = desk.now;
        desk.call(MarketMaker::on_timer);
        [Side::Buy, Side::Sell].map(|side| desk.of(side).map(|order| order.price.0))
    };
    let flat = prices(&mut desk, 0);
    let long = prices(&mut desk, 1_000);
    let short = prices(&mut desk, -1_000);
    assert!(
        long[0] < flat[0] && short[0] > flat[0],
        "{flat:?} {long:?} {short:?}"
    );
    assert!(
        long[1] < flat[1] && short[1] > flat[1],
        "{flat:?} {long:?} {short:?}"
    );
    assert_eq!(
        prices(&mut desk, 3_000)[0],
        None,
        "three quotes are the most"
    );
    assert_eq!(desk.last.suppressed(Suppression::Inventory), 1);
    assert_eq!(prices(&mut desk, -3_000)[1], None);
    prices(&mut desk, 2_405);
    assert_eq!(
        desk.of(Side::Buy).expect("there is room").qty,
        Lots(590),
        "in whole steps"
    );
    assert_eq!(
        prices(&mut desk, 2_995)[0],
        None,
        "less than the venue takes"
    );
}

#[test]
fn a_quote_without_room_is_cancelled() {
    let mut desk = warm_maker();
    still(&mut desk);
    desk.answer_all();
    // Somebody else bought: with the bid of 1,000 it is more than three quotes.
    desk.position = 2_500;
    let bid = desk.of(Side::Buy).expect("quoted").id;
    assert_eq!(still(&mut desk)[..1], [Action::Cancel(bid)]);
    desk.answer_all();
    desk.later(1_000);
    assert!(
        matches!(still(&mut desk)[..], [Action::Place(_)]),
        "with what there is room for"
    );
    assert_eq!(desk.of(Side::Buy).expect("quoted").qty, Lots(500));
}

#[test]
fn what_is_left_of_a_quote_is_filled_up() {
    let mut desk = warm_maker();
    still(&mut desk);
    desk.answer_all();
    desk.later(1_000);
    let bid = desk
        .own
        .iter()
        .position(|order| order.side == Side::Buy)
        .expect("quoted");
    assert_eq!(desk.fill(bid, 400), [], "more than half is left");
    let id = desk.own[bid].id;
    let actions = desk.fill(bid, 200).to_vec();
    assert!(
        matches!(actions[..], [Action::Replace { order, qty: Lots(1_000), .. }] if order == id)
    );
}

#[test]
fn quotes_go_when_the_book_is_not_to_be_trusted() {
    let quoted = || {
        let mut desk = warm_maker();
        still(&mut desk);
        desk.answer_all();
        desk
    };
    let cancels = |desk: &Desk<MarketMaker>| {
        let count = desk.last.as_slice().len();
        assert!(
            desk.last
                .as_slice()
                .iter()
                .all(|action| action.wish() == Wish::Cancel)
        );
        count
    };
    let mut crossed = quoted();
    crossed.touch(5_000_000, 5_000_000);
    assert_eq!(cancels(&crossed), 2);

    let mut one_sided = quoted();
    one_sided.book(&[(book::Side::Bid, 4_999_999, 1)]);
    assert_eq!(cancels(&one_sided), 2);

    let mut lost = quoted();
    lost.is_live = false;
    lost.call(MarketMaker::on_book);
    assert_eq!(cancels(&lost), 2);
    lost.answer_all();
    lost.call(MarketMaker::on_book);
    assert_eq!(lost.last.suppressed(Suppression::BookNotLive), 2);

    let mut old = quoted();
    old.later(2_000);
    old.call(MarketMaker::on_timer);
    assert_eq!(cancels(&old), 0, "as old as it may be");
    assert_eq!(old.strategy.next_timer(), old.now.plus(Nanos::from_secs(1)));
    old.later(1_000);
    old.call(MarketMaker::on_timer);
    assert_eq!(cancels(&old), 2);
}

#[test]
fn trading_states_bind_the_maker() {
    let mut desk = warm_maker();
    desk.trading = TradingState::Halted;
    assert_eq!(still(&mut desk), []);
    assert_eq!(desk.last.suppressed(Suppression::State), 2);

    desk.trading = TradingState::ReduceOnly;
    assert_eq!(still(&mut desk), [], "there is nothing to reduce");
    assert_eq!(desk.last.suppressed(Suppression::State), 2);
    desk.position = 700;
    let actions = still(&mut desk);
    let [Action::Place(ask)] = actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((ask.side, ask.qty), (Side::Sell, Lots(700)));
}

#[test]
fn an_operators_orders_are_counted_and_left_alone() {
    let mut desk = warm_maker();
    let operator = |side, price, qty| OwnOrder {
        id: OrderId {
            run: 9,
            sequence: price as u32,
        },
        origin: Origin::Operator,
        side,
        price: Ticks(price),
        qty: Lots(qty),
        remaining: Lots(qty),
        state: OrderState::Live,
    };
    desk.own.push(operator(Side::Buy, 4_990_000, 2_400));
    desk.own.push(operator(Side::Sell, 4_999_980, 100));
    desk.kinds = vec![(OrderKind::Limit, TimeInForce::Gtc); 2];
    let actions = still(&mut desk);
    let [Action::Place(ask)] = actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(ask.side, Side::Sell);
    assert_eq!(
        desk.last.suppressed(Suppression::OwnOrder),
        1,
        "the bid would meet the offer"
    );
    desk.own.retain(|order| order.side == Side::Buy);
    desk.kinds.truncate(desk.own.len());
    desk.later(1_000);
    still(&mut desk);
    let bid = desk
        .own
        .iter()
        .find(|order| order.id.run == 1 && order.side == Side::Buy);
    assert_eq!(bid.expect("quoted").qty, Lots(600), "3,000 less 2,400");
}

#[test]
fn a_surplus_quote_is_cancelled() {
    let mut desk = warm_maker();
    for price in [4_999_989, 4_999_900] {
        desk.add(
            Side::Buy,
            Ticks(price),
            Lots(1_000),
            (OrderKind::LimitMaker, TimeInForce::Gtc),
        );
    }
    desk.answer_all();
    let surplus = desk.own[1].id;
    assert_eq!(still(&mut desk)[0], Action::Cancel(surplus));
    assert_eq!(desk.last.suppressed(Suppression::NoChange), 1);
}

#[test]
fn a_size_that_the_venue_refuses_is_not_quoted() {
    let mut desk = warm_maker();
    desk.rules.notional_min = Some(E8(501 * E8_ONE));
    assert_eq!(still(&mut desk), []);
    assert_eq!(desk.last.suppressed(Suppression::NoRoom), 2);
    desk.rules.notional_min = None;
    desk.rules.price_bounds.max = Some(Ticks(4_999_995));
    assert_eq!(still(&mut desk).len(), 1, "the bid alone");
    assert_eq!(desk.last.suppressed(Suppression::NoRoom), 1);
}

type ChangeMaker = fn(&mut MarketMakerConfig);
type ChangeTaker = fn(&mut ImbalanceConfig);

#[test]
fn parameters_have_ranges() {
    let makers: [(ChangeMaker, &str); 13] = [
        (|c| c.quote_notional = E8(0), "quote_notional"),
        (|c| c.inventory_max_quotes = 0, "inventory_max_quotes"),
        (|c| c.risk_aversion_e6 = 0, "risk_aversion_e6"),
        (|c| c.horizon_updates = 0, "horizon_updates"),
        (|c| c.arrival_decay_e3 = 0, "arrival_decay_e3"),
        (
            |c| c.volatility_half_life_updates = 0,
            "volatility_half_life_updates",
        ),
        (|c| c.warm_up_updates = 0, "warm_up_updates"),
        (|c| c.offset_max_ticks = 0, "offset_max_ticks"),
        (
            |c| c.half_spread_min_ticks = c.offset_max_ticks + 1,
            "half_spread_min_ticks",
        ),
        (|c| c.requote_ticks = 0, "requote_ticks"),
        (|c| c.requote_percent = 1_001, "requote_percent"),
        (|c| c.requote_interval = Nanos::MAX, "requote_interval"),
        (|c| c.book_age_max = Nanos(1), "book_age_max"),
    ];
    for (change, name) in makers {
        let mut config = MarketMakerConfig::default();
        assert_eq!(config.validate(), Ok(()));
        change(&mut config);
        let error = StrategyConfig::MarketMaker(config)
            .validate()
            .expect_err(name);
        assert_eq!(error.field, name);
        assert!(Configured::new(&StrategyConfig::MarketMaker(config), 1).is_err());
    }
    let takers: [(ChangeTaker, &str); 9] = [
        (|c| c.levels = 21, "levels"),
        (|c| c.enter_permille = 0, "enter_permille"),
        (|c| c.exit_permille = c.enter_permille, "exit_permille"),
        (|c| c.order_notional = E8(-1), "order_notional"),
        (|c| c.position_max_orders = 0, "position_max_orders"),
        (|c| c.cool_down = Nanos::MAX, "cool_down"),
        (|c| c.exit_interval = Nanos::MAX, "exit_interval"),
        (|c| c.hold_max = Nanos(0), "hold_max"),
        (|c| c.book_age_max = Nanos(0), "book_age_max"),
    ];
    for (change, name) in takers {
        let mut config = ImbalanceConfig::default();
        assert_eq!(config.validate(), Ok(()));
        change(&mut config);
        let error = StrategyConfig::Imbalance(config)
            .validate()
            .expect_err(name);
        assert_eq!(error.field, name);
        assert!(Configured::new(&StrategyConfig::Imbalance(config), 1).is_err());
    }
}

#[test]
fn the_configured_strategy_is_the_one_that_was_named() {
    let of = |config| Configured::new(&config, 1).expect("legal");
    let mut none = Desk::new(of(StrategyConfig::None));
    assert_eq!(none.strategy.name(), "none");
    assert_eq!(none.strategy.next_timer(), Nanos::MAX);
    for _ in 0..100 {
        assert_eq!(none.touch(4_999_999, 5_000_000), []);
    }
    none.call(Configured::on_timer);
    assert_eq!(none.last.signals(), 0);

    let mut maker = Desk::new(of(StrategyConfig::MarketMaker(maker_config())));
    assert_eq!(maker.strategy.name(), "market_maker");
    for _ in 0..10 {
        maker.touch(4_999_999, 5_000_000);
    }
    assert_eq!(maker.own.len(), 2);
    let trade = PublicTrade {
        price: Ticks(5_000_000),
        qty: Lots(1),
        taker: Side::Buy,
    };
    let actions = maker.call(|strategy, view, actions| strategy.on_trade(view, &trade, actions));
    assert_eq!(actions, []);
    maker.call(Configured::on_timer);
    assert!(maker.strategy.next_timer() > maker.now);

    let mut taker = Desk::new(of(StrategyConfig::Imbalance(ImbalanceConfig::default())));
    assert_eq!(taker.strategy.name(), "imbalance");
    assert_eq!(taker.book(&LEANS_UP).len(), 1);
}

// ---- imbalance ------------------------------------------------------------------------------

const LEANS_UP: [(book::Side, i64, i64); 2] = [
    (book::Side::Bid, 4_999_999, 900),
    (book::Side::Ask, 5_000_000, 100),
];
const LEANS_DOWN: [(book::Side, i64, i64); 2] = [
    (book::Side::Bid, 4_999_999, 100),
    (book::Side::Ask, 5_000_000, 900),
];
const EVEN: [(book::Side, i64, i64); 2] = [
    (book::Side::Bid, 4_999_999, 500),
    (book::Side::Ask, 5_000_000, 500),
];

fn taker() -> Desk<Imbalance> {
    let config = ImbalanceConfig {
        levels: 2,
        order_notional: E8(500 * E8_ONE),
        ..ImbalanceConfig::default()
    };
    Desk::new(Imbalance::new(config, 1).expect("legal"))
}

/// The only thing asked for.
fn placed(actions: &[Action]) -> Quote {
    let [Action::Place(quote)] = actions else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (quote.kind, quote.time_in_force),
        (OrderKind::Limit, TimeInForce::Ioc)
    );
    *quote
}

#[test]
fn imbalance_enters_at_the_far_touch() {
    for (levels, side, price) in [
        (&LEANS_UP, Side::Buy, 5_000_000),
        (&LEANS_DOWN, Side::Sell, 4_999_999),
    ] {
        let mut desk = taker();
        assert_eq!(desk.book(&EVEN), []);
        let quote = placed(desk.book(levels));
        assert_eq!(
            (quote.side, quote.price, quote.qty),
            (side, Ticks(price), Lots(1_000))
        );
        assert_eq!(desk.book(levels), []);
        assert_eq!(desk.last.suppressed(Suppression::InFlight), 1);
    }
    // 799 and 800 thousandths: the sum of two levels counts, the third does not.
    let bids = |near, far| {
        [
            (book::Side::Bid, 4_999_999, near),
            (book::Side::Bid, 4_999_990, far),
            (book::Side::Bid, 4_999_980, 5_000),
            (book::Side::Ask, 5_000_000, 1_000),
        ]
    };
    let mut desk = taker();
    assert_eq!(desk.book(&bids(8_000, 999)), []);
    assert_eq!(placed(desk.book(&bids(8_000, 1_000))).side, Side::Buy);
}

#[test]
fn imbalance_cools_down_and_stops_at_its_bound() {
    let mut desk = taker();
    for held in 1..=3 {
        placed(desk.book(&LEANS_UP));
        desk.fill(0, 1_000);
        assert_eq!(desk.position, held * 1_000);
        assert_eq!(desk.book(&LEANS_UP), []);
        assert_eq!(desk.last.suppressed(Suppression::CoolDown), 1);
        desk.later(5_000);
    }
    assert_eq!(desk.book(&LEANS_UP), []);
    assert_eq!(desk.last.suppressed(Suppression::Inventory), 1);
}

#[test]
fn imbalance_leaves_when_the_book_turns_or_the_time_is_up() {
    let entered = || {
        let mut desk = taker();
        placed(desk.book(&LEANS_UP));
        desk.fill(0, 990);
        desk.own.clear();
        desk.kinds.clear();
        desk
    };
    let mut turned = entered();
    assert_eq!(turned.book(&EVEN), [], "even is no turn");
    let quote = placed(turned.book(&LEANS_DOWN));
    assert_eq!(
        (quote.side, quote.price, quote.qty),
        (Side::Sell, Ticks(4_999_999), Lots(990))
    );
    // Half of it finds no liquidity: the rest is tried again after the interval.
    turned.fill(0, 500);
    turned.own.clear();
    turned.kinds.clear();
    assert_eq!(turned.book(&LEANS_DOWN), []);
    assert_eq!(turned.last.suppressed(Suppression::CoolDown), 1);
    turned.later(500);
    assert_eq!(placed(turned.book(&LEANS_DOWN)).qty, Lots(490));

    let mut old = entered();
    assert_eq!(old.book(&EVEN), []);
    old.later(28_900);
    old.updated_at = old.now;
    assert_eq!(old.call(Imbalance::on_timer), []);
    assert_eq!(old.strategy.next_timer(), old.now.plus(Nanos::from_secs(1)));
    old.later(1_000);
    old.updated_at = old.now;
    assert_eq!(placed(old.call(Imbalance::on_timer)).side, Side::Sell);

    let mut blind = entered();
    blind.later(60_000);
    assert_eq!(blind.call(Imbalance::on_timer), [], "the book is old");
    assert_eq!(blind.last.suppressed(Suppression::BookNotLive), 1);
}

#[test]
fn a_rest_too_small_to_sell_is_no_position() {
    let mut desk = taker();
    desk.position = 9;
    desk.later(100_000);
    assert_eq!(desk.book(&EVEN), []);
    assert_eq!(placed(desk.book(&LEANS_UP)).side, Side::Buy, "it enters");
    desk.fill(0, 1_000);
    assert_eq!(desk.book(&EVEN), [], "held since now, not since the rest");
}

#[test]
fn trading_states_bind_the_taker() {
    let mut desk = taker();
    desk.trading = TradingState::ReduceOnly;
    assert_eq!(desk.book(&LEANS_UP), []);
    assert_eq!(desk.last.suppressed(Suppression::State), 1);
    desk.position = -1_000;
    let quote = placed(desk.book(&LEANS_UP));
    assert_eq!((quote.side, quote.qty), (Side::Buy, Lots(1_000)), "an exit");
    let mut halted = taker();
    halted.trading = TradingState::Halted;
    halted.position = -1_000;
    assert_eq!(halted.book(&LEANS_UP), []);
    assert_eq!(halted.last.suppressed(Suppression::State), 1);
}

#[test]
fn a_quote_of_an_earlier_run_is_cancelled() {
    let mut desk = taker();
    let left = desk.add(
        Side::Buy,
        Ticks(4_990_000),
        Lots(1_000),
        (OrderKind::LimitMaker, TimeInForce::Gtc),
    );
    desk.answer_all();
    assert_eq!(
        desk.book(&EVEN),
        [],
        "it might be one of ours that is just being reported"
    );
    desk.later(1_000);
    assert_eq!(desk.book(&EVEN), [Action::Cancel(left)]);
}

// ---- whatever happens -----------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Happening {
    /// The middle moves, the touch is this wide, one side may be missing; levels weigh so much.
    Book(i64, i64, u8, i64, i64),
    Lost,
    Later(u64),
    Answer(usize, bool),
    Fill(usize, i64),
    Unknown(usize),
    Operator(bool, i64, i64),
    Position(i64),
    State(TradingState),
}

fn happenings() -> impl Generator<Value = Vec<Happening>> {
    let book = (-40i64..40, 0i64..6, 0u8..12, 1i64..1_000, 1i64..1_000)
        .prop_map(|(step, width, sides, bid, ask)| Happening::Book(step, width, sides, bid, ask));
    let happening = prop_oneof![
        10 => book,
        1 => Just(Happening::Lost),
        3 => (0u64..3_000).prop_map(Happening::Later),
        8 => (0usize..8, prop_oneof![4 => Just(true), 1 => Just(false)])
            .prop_map(|(which, accept)| Happening::Answer(which, accept)),
        4 => (0usize..8, 1i64..1_500).prop_map(|(which, qty)| Happening::Fill(which, qty)),
        1 => (0usize..8).prop_map(Happening::Unknown),
        1 => (any::<bool>(), -30i64..30, 1i64..2_000)
            .prop_map(|(buy, off, qty)| Happening::Operator(buy, off, qty)),
        1 => (-4_000i64..4_000).prop_map(Happening::Position),
        1 => proptest::sample::select(&TradingState::ALL[..]).prop_map(Happening::State),
    ];
    proptest::collection::vec(happening, 1..120)
}

/// Lets one thing happen, and returns what the strategy wanted.
fn happen<S: Strategy>(desk: &mut Desk<S>, middle: &mut i64, happening: &Happening) -> Vec<Action> {
    match *happening {
        Happening::Book(step, width, sides, bid, ask) => {
            *middle += step;
            desk.is_live = true;
            let both = [
                (book::Side::Bid, *middle, bid),
                (book::Side::Ask, *middle + width, ask),
            ];
            // One side is missing in two cases of twelve.
            let levels = match sides {
                0 => &both[..1],
                1 => &both[1..],
                _ => &both[..],
            };
            desk.book(levels).to_vec()
        }
        Happening::Lost => {
            desk.is_live = false;
            desk.call(S::on_book).to_vec()
        }
        Happening::Later(ms) => {
            desk.later(ms);
            desk.call(S::on_timer).to_vec()
        }
        Happening::Answer(which, accept) => {
            if desk.own.is_empty() {
                return Vec::new();
            }
            let which = which % desk.own.len();
            let before = desk.own[which];
            desk.answer(which, accept);
            let update = OrderUpdate {
                id: before.id,
                origin: before.origin,
                side: before.side,
                state: OrderState::Live,
                remaining: before.remaining,
                fill: None,
            };
            desk.call(|strategy, view, actions| strategy.on_order(view, &update, actions))
                .to_vec()
        }
        Happening::Fill(which, qty) => {
            if desk.own.is_empty() {
                return Vec::new();
            }
            let which = which % desk.own.len();
            desk.fill(which, qty).to_vec()
        }
        Happening::Unknown(which) => {
            if !desk.own.is_empty() {
                let which = which % desk.own.len();
                desk.own[which].state = OrderState::Unresolved;
            }
            Vec::new()
        }
        Happening::Operator(buy, off, qty) => {
            let side = if buy { Side::Buy } else { Side::Sell };
            desk.add(
                side,
                Ticks(*middle + off),
                Lots(qty),
                (OrderKind::Limit, TimeInForce::Gtc),
            );
            let own = desk.own.last_mut().expect("just added");
            own.origin = Origin::Operator;
            own.state = OrderState::Live;
            Vec::new()
        }
        Happening::Position(position) => {
            desk.position = position;
            Vec::new()
        }
        Happening::State(state) => {
            desk.trading = state;
            Vec::new()
        }
    }
}

/// What stood before a call.
struct Before {
    own: Vec<OwnOrder>,
    touch: Option<(Ticks, Ticks)>,
    position: i64,
}

/// The new order of an action: side, price, lots.
fn wanted(action: &Action, before: &Before) -> Option<(Side, Ticks, Lots)> {
    match *action {
        Action::Place(quote) => Some((quote.side, quote.price, quote.qty)),
        Action::Replace { order, price, qty } => {
            let old = before
                .own
                .iter()
                .find(|own| own.id == order)
                .expect("an open order");
            Some((old.side, price, qty))
        }
        Action::Amend { .. } | Action::Cancel(_) => None,
    }
}

/// Runs a strategy through what happens and holds its actions to `check`; returns all actions.
fn live_through<S: Strategy>(
    strategy: S,
    happenings: &[Happening],
    mut check: impl FnMut(&Desk<S>, &Before, &Action),
) -> Vec<Action> {
    let mut desk = Desk::new(strategy);
    let mut middle = 5_000_000;
    for happening in happenings {
        // What the strategy was shown is what stood before its actions were performed.
        let log_before = desk.log.len();
        let _ = happen(&mut desk, &mut middle, happening);
        let actions = desk.log[log_before..].to_vec();
        if actions.is_empty() {
            continue;
        }
        let mut own = desk.own.clone();
        let placed = actions
            .iter()
            .filter(|action| matches!(action.wish(), Wish::Place | Wish::Replace));
        own.truncate(own.len() - placed.count());
        let best = |side| desk.book.best(side).map(|level| level.price);
        let before = Before {
            own,
            touch: best(book::Side::Bid).zip(best(book::Side::Ask)),
            position: desk.position,
        };
        assert_ne!(
            desk.trading,
            TradingState::Halted,
            "nothing is asked for in HALTED"
        );
        for action in &actions {
            check(&desk, &before, action);
        }
    }
    desk.log
}

proptest! {
    #[test]
    fn the_maker_keeps_its_word(happenings in happenings()) {
        let config = maker_config();
        let strategy = MarketMaker::new(config, 1).expect("legal");
        let log = live_through(strategy, &happenings, |desk, before, action| {
            if let Action::Cancel(order) = action {
                let own = before.own.iter().find(|own| own.id == *order).expect("open");
                assert_eq!(own.origin, Origin::Strategy);
                return;
            }
            let (side, price, qty) = wanted(action, before).expect("a quote");
            // Never over the other side's best price, never against one of ours.
            let (bid, ask) = before.touch.expect("a quote needs both sides");
            assert!(desk.is_live && bid < ask);
            match side {
                Side::Buy => assert!(price < ask),
                Side::Sell => assert!(price > bid),
            }
            for own in before.own.iter().filter(|own| own.side != side) {
                assert!((price.0 - own.price.0) * side.sign() < 0, "{own:?}");
            }
            // Never more than the bound, whatever fills.
            let open: i64 =
                before.own.iter().filter(|own| own.side == side).map(|own| own.remaining.0).sum();
            let end = before.position * side.sign() + open + qty.0;
            let bound = match desk.trading {
                TradingState::Active => 3 * 1_000,
                TradingState::ReduceOnly | TradingState::Halted => 0,
            };
            assert!(end <= bound, "{end} of {bound}");
            assert!(qty.0 > 0 && qty.0 % 10 == 0 && qty.0 <= 1_000);
            // One quote of a side, and nothing under way about it.
            let quotes: Vec<_> = before
                .own
                .iter()
                .filter(|own| own.side == side && own.origin == Origin::Strategy)
                .collect();
            match action {
                Action::Place(quote) => {
                    assert!(quotes.is_empty(), "{quotes:?}");
                    assert_eq!(quote.kind, OrderKind::LimitMaker);
                }
                Action::Replace { order, .. } => {
                    let old = quotes.iter().find(|own| own.id == *order).expect("a quote");
                    let moved = (old.price.0 - price.0).abs() >= i64::from(config.requote_ticks);
                    assert!(moved || old.remaining.0 * 2 < 1_000, "hysteresis");
                    let others = quotes.iter().filter(|own| own.id != *order);
                    assert!(others.clone().all(|own| own.state == OrderState::CancelSent));
                }
                Action::Amend { .. } | Action::Cancel(_) => panic!("{action:?}"),
            }
        });
        // The same happenings give the same actions.
        let again = MarketMaker::new(config, 1).expect("legal");
        prop_assert_eq!(live_through(again, &happenings, |_, _, _| {}), log);
    }

    #[test]
    fn the_taker_keeps_its_word(happenings in happenings()) {
        let config = ImbalanceConfig {
            order_notional: E8(500 * E8_ONE),
            ..ImbalanceConfig::default()
        };
        let strategy = Imbalance::new(config, 1).expect("legal");
        let log = live_through(strategy, &happenings, |desk, before, action| {
            let Some((side, price, qty)) = wanted(action, before) else {
                return;
            };
            let (bid, ask) = before.touch.expect("an order needs both sides");
            assert!(desk.is_live && bid < ask);
            match side {
                Side::Buy => assert_eq!(price, ask),
                Side::Sell => assert_eq!(price, bid),
            }
            let ours = before.own.iter().filter(|own| own.origin == Origin::Strategy);
            assert_eq!(ours.count(), 0, "one at a time");
            let held = before.position * side.sign();
            // Twenty lots can be sold at any of these prices; less may be a rest that is no position.
            if held <= -20 {
                assert!(qty.0 <= -held, "an exit never turns the position");
            } else {
                assert!(held + qty.0 <= 3 * 1_000);
            }
            assert!(qty.0 > 0 && qty.0 % 10 == 0);
        });
        let again = Imbalance::new(config, 1).expect("legal");
        prop_assert_eq!(live_through(again, &happenings, |_, _, _| {}), log);
    }
}
