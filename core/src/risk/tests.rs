//! Each rule of admission, produced; and what was admitted, held against a slow model.

use super::Rejection::{BadPrice, BadQuantity, MaxOrderNotional};
use super::*;
use crate::instrument::{Bounds, Instrument, OrderRules};
use crate::order::{OrderKind, Origin, SelfTradePrevention, Side, TimeInForce};
use crate::units::{E8_ONE, Ticks};
use proptest::prelude::*;

const NOW: Nanos = Nanos::from_secs(100);
const INDEX: InstrumentIndex = InstrumentIndex(0);
/// Lots of 0.001, ticks of 0.01: prices around 100.00.
const LOT_E8: i64 = 100_000;
const TICK_E8: i64 = 1_000_000;

/// Everything that one admission depends on.
#[derive(Clone)]
struct Case {
    global: GlobalLimits,
    limits: InstrumentLimits,
    instrument: Instrument,
    conditions: Conditions,
    intent: Intent,
    state: TradingState,
    killed: bool,
    admitted_before: u32,
}

impl Case {
    /// An order to buy 2.000 at 100.00, just below a touch of 100.05 and 100.07, that nothing forbids.
    fn clean() -> Self {
        Self {
            global: GlobalLimits::default(),
            limits: InstrumentLimits::default(),
            instrument: crate::instrument::tests::instrument("ABCUSDT", TICK_E8, LOT_E8),
            conditions: conditions(),
            intent: intent(Side::Buy, 10_000, 2_000),
            state: TradingState::Active,
            killed: false,
            admitted_before: 0,
        }
    }

    fn risk(&self) -> Risk {
        let mut risk = Risk::new(self.global, vec![self.limits]).expect("legal limits");
        risk.set_state(self.state).expect("not latched");
        if self.killed {
            risk.kill();
        }
        for _ in 0..self.admitted_before {
            risk.times.push(NOW);
        }
        risk
    }

    fn admit(&self) -> Result<Admitted, Rejection> {
        self.risk()
            .admit(NOW, &self.intent, &self.instrument, &self.conditions)
    }

    fn market(&mut self, side: Side) {
        self.intent = intent(side, 0, 2_000);
        self.intent.kind = OrderKind::Market;
    }
}

fn intent(side: Side, price: i64, qty: i64) -> Intent {
    Intent {
        instrument: INDEX,
        side,
        kind: OrderKind::Limit,
        time_in_force: TimeInForce::Gtc,
        price: Ticks(price),
        qty: Lots(qty),
        self_trade_prevention: SelfTradePrevention::ExpireMaker,
        origin: Origin::Strategy,
    }
}

fn conditions() -> Conditions {
    Conditions {
        ready: true,
        backlog: false,
        link_backpressure: false,
        duplicate_client_id: false,
        venue_budget_ready: true,
        clock_offset_ns: Some(0),
        touch: Some(Touch {
            bid: Some(Ticks(10_005)),
            ask: Some(Ticks(10_007)),
            updated_at: NOW,
        }),
        position: E8(0),
        open_buys: OpenOrders::default(),
        open_sells: OpenOrders::default(),
        counts_twice: false,
        open_orders_total: 0,
        available_base: E8(10 * E8_ONE),
        available_quote: E8(1_000 * E8_ONE),
        equity: E8(2_000 * E8_ONE),
        gross_exposure: Some(E8(0)),
        instrument_exposure: E8(0),
        quote_to_account: Ratio::ONE,
        day_change: Some(E8(0)),
        drawdown_bps: Some(0),
    }
}

/// Makes a case break one rule. A new reason does not compile until it has its case here.
fn spoil(case: &mut Case, reason: Rejection) {
    let conditions = &mut case.conditions;
    match reason {
        Rejection::KillSwitch => case.killed = true,
        Rejection::NotReady => conditions.ready = false,
        Rejection::BookNotLive => conditions.touch = None,
        Rejection::StaleMarketData => {
            case.global.market_data_age_max = Some(Nanos::from_ms(500));
            if let Some(touch) = &mut conditions.touch {
                touch.updated_at = Nanos(NOW.0 - Nanos::from_ms(500).0 - 1);
            }
        }
        Rejection::TelemetryBacklog => conditions.backlog = true,
        Rejection::LinkBackpressure => conditions.link_backpressure = true,
        Rejection::ClockUntrusted => {
            case.global.clock_offset_max = Some(Nanos::from_ms(1));
            conditions.clock_offset_ns = Some(-1_000_001);
        }
        Rejection::BadQuantity => case.instrument.order_rules.qty_step = Lots(7),
        Rejection::BadPrice => case.instrument.price_bounds.max = Some(Ticks(9_999)),
        Rejection::MinNotional => case.instrument.notional_min = Some(E8(200 * E8_ONE + 1)),
        Rejection::MaxOrderQty => case.limits.order_qty_max = Some(Lots(1_999)),
        Rejection::MaxOrderNotional => {
            case.limits.order_notional_max = Some(E8(200 * E8_ONE - 1));
        }
        Rejection::MaxPosition => case.limits.position_max = Some(E8(2 * E8_ONE - 1)),
        Rejection::MaxOpenOrders => {
            case.limits.open_orders_max = Some(3);
            conditions.open_buys.count = 2;
            conditions.open_sells.count = 1;
        }
        Rejection::PriceCollar => case.limits.price_collar_bps = Some(5),
        Rejection::OrderRate => {
            case.global.orders_per_second_max = Some(4);
            case.admitted_before = 4;
        }
        Rejection::MaxLeverage => {
            case.global.leverage_max_percent = Some(100);
            conditions.gross_exposure = Some(E8(1_900 * E8_ONE));
        }
        Rejection::MaxConcentration => {
            case.global.concentration_max_percent = Some(50);
            case.global.concentration_from = E8(1_000 * E8_ONE);
            conditions.gross_exposure = Some(E8(1_900 * E8_ONE));
            conditions.instrument_exposure = E8(900 * E8_ONE);
        }
        Rejection::DailyLoss => {
            case.global.daily_loss_max = Some(E8(50 * E8_ONE));
            conditions.day_change = Some(E8(-50 * E8_ONE));
        }
        Rejection::MaxDrawdown => {
            case.global.drawdown_max_bps = Some(1_000);
            conditions.drawdown_bps = Some(1_000);
        }
        Rejection::SelfTrade => conditions.open_sells.best_price = Some(Ticks(10_000)),
        Rejection::DuplicateClientOrderId => conditions.duplicate_client_id = true,
        Rejection::InsufficientBalance => conditions.available_quote = E8(200 * E8_ONE - 1),
        Rejection::VenueRateBudget => conditions.venue_budget_ready = false,
    }
}

#[test]
fn every_reason_is_produced() {
    assert!(Case::clean().admit().is_ok());
    for reason in Rejection::ALL {
        let mut case = Case::clean();
        spoil(&mut case, reason);
        assert_eq!(case.admit(), Err(reason), "{}", reason.label());
        case.intent.origin = Origin::Operator;
        assert_eq!(
            case.admit(),
            Err(reason),
            "an operator obeys {}",
            reason.label()
        );
    }
}

#[test]
fn losses_that_are_not_known_let_reductions_alone_pass() {
    let forget: [(fn(&mut Case), _); 2] = [
        (
            |case| {
                case.global.daily_loss_max = Some(E8(50 * E8_ONE));
                case.conditions.day_change = None;
            },
            Rejection::DailyLoss,
        ),
        (
            |case| {
                case.global.drawdown_max_bps = Some(1_000);
                case.conditions.drawdown_bps = None;
            },
            Rejection::MaxDrawdown,
        ),
    ];
    for (forget, reason) in forget {
        let mut case = Case::clean();
        forget(&mut case);
        assert_eq!(case.admit(), Err(reason));
        // The same buy makes a short position smaller.
        case.conditions.position = E8(-10 * E8_ONE);
        assert!(case.admit().is_ok(), "{:?}", case.admit());
    }
}

#[test]
fn the_first_broken_rule_in_the_order_of_the_table_is_the_reason() {
    for (position, first) in Rejection::ALL.into_iter().enumerate() {
        for second in Rejection::ALL.into_iter().skip(position + 1) {
            let mut case = Case::clean();
            spoil(&mut case, second);
            spoil(&mut case, first);
            let labels = (first.label(), second.label());
            assert_eq!(case.admit(), Err(first), "{labels:?}");
        }
    }
}

#[test]
fn each_rule_ends_exactly_at_its_limit() {
    let admits = |change: fn(&mut Case)| {
        let mut case = Case::clean();
        change(&mut case);
        assert!(case.admit().is_ok(), "{:?}", case.admit());
    };
    admits(|case| {
        case.global.market_data_age_max = Some(Nanos::from_ms(500));
        let touch = case.conditions.touch.as_mut().expect("live");
        touch.updated_at = Nanos(NOW.0 - Nanos::from_ms(500).0);
    });
    admits(|case| {
        case.global.clock_offset_max = Some(Nanos::from_ms(1));
        case.conditions.clock_offset_ns = Some(-1_000_000);
    });
    admits(|case| case.instrument.notional_min = Some(E8(200 * E8_ONE)));
    admits(|case| case.instrument.notional_max = Some(E8(200 * E8_ONE)));
    admits(|case| case.limits.order_qty_max = Some(Lots(2_000)));
    admits(|case| case.limits.order_notional_max = Some(E8(200 * E8_ONE)));
    admits(|case| {
        case.limits.position_max = Some(E8(3 * E8_ONE));
        case.conditions.position = E8(E8_ONE / 2);
        case.conditions.open_buys.remaining = Lots(500);
    });
    // The mark is 100.06; 100.00 is 5.997 basis points away.
    admits(|case| case.limits.price_collar_bps = Some(6));
    admits(|case| {
        case.global.leverage_max_percent = Some(100);
        // The order is worth its quantity times the mark, 200.12.
        case.conditions.gross_exposure = Some(E8(2_000 * E8_ONE - 20_012_000_000));
    });
    admits(|case| {
        case.global.daily_loss_max = Some(E8(50 * E8_ONE));
        case.conditions.day_change = Some(E8(-50 * E8_ONE + 1));
    });
    admits(|case| case.conditions.available_quote = E8(200 * E8_ONE));
}

#[test]
fn quantities_and_prices_obey_the_venue() {
    let refused = |change: fn(&mut Case), reason| {
        let mut case = Case::clean();
        change(&mut case);
        assert_eq!(case.admit(), Err(reason));
    };
    for qty in [0, -1, i64::MIN] {
        let mut case = Case::clean();
        case.intent.qty = Lots(qty);
        assert_eq!(case.admit(), Err(BadQuantity), "{qty}");
    }
    for price in [0, -1, i64::MIN, i64::MAX] {
        let mut case = Case::clean();
        case.intent.price = Ticks(price);
        assert_eq!(case.admit(), Err(BadPrice), "{price}");
    }
    refused(|case| case.intent.qty = Lots(i64::MAX), BadQuantity);
    refused(
        |case| case.instrument.qty_bounds.min = Some(Lots(2_001)),
        BadQuantity,
    );
    refused(
        |case| case.instrument.qty_bounds.max = Some(Lots(1_999)),
        BadQuantity,
    );
    refused(
        |case| case.instrument.price_bounds.min = Some(Ticks(10_001)),
        BadPrice,
    );
    refused(
        |case| case.instrument.notional_max = Some(E8(200 * E8_ONE - 1)),
        MaxOrderNotional,
    );
    // 9e10 of base at 100: more than 64 bits of 1e-8 quote.
    refused(
        |case| case.intent.qty = Lots(90_000_000_000_000),
        MaxOrderNotional,
    );
    let mut stepped = Case::clean();
    let mut risk = stepped.risk();
    for (step, admitted) in [
        (1_000, true),
        (3, false),
        (500, true),
        (16, true),
        (17, false),
    ] {
        stepped.instrument.order_rules.qty_step = Lots(step);
        let answer = risk.admit(
            NOW,
            &stepped.intent,
            &stepped.instrument,
            &stepped.conditions,
        );
        assert_eq!(answer.is_ok(), admitted, "step {step}");
    }
}

#[test]
fn market_orders_count_at_the_touch_and_a_buy_with_the_collar() {
    let mut case = Case::clean();
    case.market(Side::Buy);
    // 2.000 at 100.07 is 200.14; with 1 % on the price, rounded up to 101.08, it is 202.16.
    case.conditions.available_quote = E8(20_014_000_000);
    assert!(case.admit().is_ok());
    case.limits.price_collar_bps = Some(100);
    assert_eq!(case.admit(), Err(Rejection::InsufficientBalance));
    case.conditions.available_quote = E8(20_216_000_000);
    assert!(case.admit().is_ok());
    case.conditions.available_quote.0 -= 1;
    assert_eq!(case.admit(), Err(Rejection::InsufficientBalance));

    let mut own = Case::clean();
    own.limits.price_collar_bps = Some(100);
    own.market(Side::Buy);
    own.conditions.open_sells.best_price = Some(Ticks(10_108));
    assert_eq!(own.admit(), Err(Rejection::SelfTrade), "within the collar");
    own.conditions.open_sells.best_price = Some(Ticks(10_109));
    assert!(own.admit().is_ok());
    own.market(Side::Sell);
    own.conditions.open_buys.best_price = Some(Ticks(9_904));
    assert_eq!(own.admit(), Err(Rejection::SelfTrade), "100.05 less 1.01");
    own.conditions.open_buys.best_price = Some(Ticks(9_903));
    assert!(own.admit().is_ok());

    let mut rules = Case::clean();
    rules.market(Side::Buy);
    rules.instrument.notional_min = Some(E8(1_000 * E8_ONE));
    rules.instrument.notional_max = Some(E8(1));
    assert!(rules.admit().is_ok(), "neither binds market orders");
    rules.instrument.order_rules.notional_min_market = true;
    assert_eq!(rules.admit(), Err(Rejection::MinNotional));
    rules.instrument.notional_min = None;
    rules.instrument.order_rules.notional_max_market = true;
    assert_eq!(rules.admit(), Err(Rejection::MaxOrderNotional));
    rules.instrument.notional_max = None;
    rules.instrument.order_rules.market_qty_step = Lots(1_500);
    assert_eq!(rules.admit(), Err(Rejection::BadQuantity));
    rules.instrument.order_rules = OrderRules::UNRESTRICTED;
    rules.instrument.order_rules.market_qty_bounds = Bounds {
        min: None,
        max: Some(Lots(1_999)),
    };
    assert_eq!(rules.admit(), Err(Rejection::BadQuantity));
    rules.instrument.order_rules = OrderRules::UNRESTRICTED;
    rules.intent.price = Ticks(1);
    assert_eq!(
        rules.admit(),
        Err(Rejection::BadPrice),
        "a price on a market order"
    );

    // A wide touch is a bad price for an order that takes it.
    let mut wide = Case::clean();
    wide.market(Side::Buy);
    wide.limits.price_collar_bps = Some(50);
    wide.conditions.touch.as_mut().expect("live").ask = Some(Ticks(10_207));
    assert_eq!(wide.admit(), Err(Rejection::PriceCollar));
}

#[test]
fn a_book_without_the_side_that_is_needed_is_not_live() {
    let mut case = Case::clean();
    let touch = |bid, ask| Touch {
        bid,
        ask,
        updated_at: NOW,
    };
    case.conditions.touch = Some(touch(None, None));
    assert_eq!(case.admit(), Err(Rejection::BookNotLive));
    case.conditions.touch = Some(touch(Some(Ticks(10_005)), None));
    assert!(case.admit().is_ok(), "the bid alone makes a mark");
    case.market(Side::Buy);
    assert_eq!(case.admit(), Err(Rejection::BookNotLive));
    case.market(Side::Sell);
    assert!(case.admit().is_ok());
    case.conditions.touch = Some(touch(None, Some(Ticks(10_005))));
    assert_eq!(case.admit(), Err(Rejection::BookNotLive));
}

#[test]
fn an_unknown_clock_is_trusted_only_without_a_bound() {
    let mut case = Case::clean();
    case.conditions.clock_offset_ns = None;
    assert!(case.admit().is_ok());
    case.global.clock_offset_max = Some(Nanos::from_secs(1));
    assert_eq!(case.admit(), Err(Rejection::ClockUntrusted));
    case.conditions.clock_offset_ns = Some(i64::MIN);
    assert_eq!(case.admit(), Err(Rejection::ClockUntrusted));
}

#[test]
fn spot_sells_only_what_it_holds() {
    let mut case = Case::clean();
    case.intent = intent(Side::Sell, 10_010, 2_000);
    case.conditions.available_base = E8(2 * E8_ONE);
    assert!(case.admit().is_ok());
    case.conditions.available_base = E8(2 * E8_ONE - 1);
    assert_eq!(case.admit(), Err(Rejection::InsufficientBalance));
}

#[test]
fn a_maker_that_would_take_is_left_to_the_venue() {
    let mut case = Case::clean();
    case.intent = intent(Side::Buy, 10_020, 1_000);
    case.intent.kind = OrderKind::LimitMaker;
    assert!(case.admit().is_ok());
}

#[test]
fn a_mode_of_prevention_must_be_allowed() {
    let mut case = Case::clean();
    case.instrument.order_rules.self_trade_prevention_allowed =
        1 << SelfTradePrevention::ExpireTaker as u8;
    assert_eq!(case.admit(), Err(Rejection::SelfTrade));
    case.intent.self_trade_prevention = SelfTradePrevention::ExpireTaker;
    assert!(case.admit().is_ok());
}

#[test]
fn own_orders_on_the_other_side_are_not_met() {
    for (side, price, own, met) in [
        (Side::Buy, 10_000, 10_001, false),
        (Side::Buy, 10_000, 9_999, true),
        (Side::Sell, 10_010, 10_009, false),
        (Side::Sell, 10_010, 10_011, true),
    ] {
        let mut case = Case::clean();
        case.intent = intent(side, price, 1_000);
        let other = match side {
            Side::Buy => &mut case.conditions.open_sells,
            Side::Sell => &mut case.conditions.open_buys,
        };
        other.best_price = Some(Ticks(own));
        assert_eq!(
            case.admit() == Err(Rejection::SelfTrade),
            met,
            "{side:?} {own}"
        );
    }
}

#[test]
fn open_orders_have_three_bounds() {
    let mut case = Case::clean();
    case.conditions.open_buys.count = 2;
    case.conditions.open_orders_total = 5;
    for (own, venue, all, admitted) in [
        (Some(3), Some(3), Some(6), true),
        (Some(2), None, None, false),
        (None, Some(2), None, false),
        (None, None, Some(5), false),
    ] {
        case.limits.open_orders_max = own;
        case.instrument.order_rules.open_orders_max = venue;
        case.global.open_orders_max = all;
        assert_eq!(case.admit().is_ok(), admitted, "{own:?} {venue:?} {all:?}");
    }
}

/// Position, open on the order's side, order; whether the order only reduces.
const REDUCTIONS: [(i64, i64, Side, i64, bool); 9] = [
    (0, 0, Side::Buy, 1, false),
    (0, 0, Side::Sell, 1, false),
    (2_000, 0, Side::Sell, 2_000, true),
    (2_000, 0, Side::Sell, 2_001, false),
    (2_000, 500, Side::Sell, 1_500, true),
    (2_000, 501, Side::Sell, 1_500, false),
    (2_000, 0, Side::Buy, 1, false),
    (-2_000, 500, Side::Buy, 1_500, true),
    (-2_000, 500, Side::Buy, 1_501, false),
];

#[test]
fn what_only_reduces_passes_where_nothing_else_does() {
    for (position, open, side, qty, admitted) in REDUCTIONS {
        let price = match side {
            Side::Buy => 10_000,
            Side::Sell => 10_010,
        };
        let mut case = Case::clean();
        case.intent = intent(side, price, qty);
        case.conditions.position = E8(position * LOT_E8);
        let same = match side {
            Side::Buy => &mut case.conditions.open_buys,
            Side::Sell => &mut case.conditions.open_sells,
        };
        same.remaining = Lots(open);
        assert!(case.admit().is_ok());

        let expect = |case: &Case, reason| {
            let answer = case.admit();
            let expected = if admitted { None } else { Some(reason) };
            assert_eq!(answer.err(), expected, "{position} {open} {side:?} {qty}");
        };
        let mut reduce_only = case.clone();
        reduce_only.state = TradingState::ReduceOnly;
        expect(&reduce_only, Rejection::MaxPosition);
        for reason in [Rejection::DailyLoss, Rejection::MaxDrawdown] {
            let mut after_loss = case.clone();
            spoil(&mut after_loss, reason);
            expect(&after_loss, reason);
        }
    }
}

#[test]
fn the_position_limit_counts_what_is_open_on_its_side() {
    let mut case = Case::clean();
    case.limits.position_max = Some(E8(3 * E8_ONE));
    case.conditions.position = E8(-10 * E8_ONE);
    assert!(case.admit().is_ok(), "far too short: buying is the way out");
    case.conditions.position = E8(0);
    case.conditions.open_buys.remaining = Lots(1_001);
    assert_eq!(case.admit(), Err(Rejection::MaxPosition));
    case.intent = intent(Side::Sell, 10_010, 2_000);
    assert!(case.admit().is_ok(), "open buys say nothing of a sale");
    case.conditions.position = E8(-E8_ONE - 1);
    assert_eq!(case.admit(), Err(Rejection::MaxPosition));
}

#[test]
fn what_does_not_grow_exposure_is_not_refused_for_it() {
    for reason in [Rejection::MaxLeverage, Rejection::MaxConcentration] {
        let mut case = Case::clean();
        spoil(&mut case, reason);
        // Long 5, nothing open: selling 2 can only bring it to 3.
        case.conditions.position = E8(5 * E8_ONE);
        assert_eq!(case.admit(), Err(reason));
        case.intent = intent(Side::Sell, 10_010, 2_000);
        assert!(case.admit().is_ok());
        // Selling 7 ends at 2 the other way, still less than 5.
        case.intent = intent(Side::Sell, 10_010, 7_000);
        assert!(case.admit().is_ok());
        // Where what is open may hold an order twice, only what reduces is certain not to grow it.
        let before = case.conditions;
        case.conditions.counts_twice = true;
        case.conditions.gross_exposure = Some(E8(60_000 * E8_ONE));
        case.conditions.instrument_exposure = E8(50_000 * E8_ONE);
        assert_eq!(case.admit(), Err(reason));
        case.intent = intent(Side::Sell, 10_010, 5_000);
        assert!(case.admit().is_ok(), "it ends at nothing");
        case.conditions = before;
        case.conditions.available_base = E8(20 * E8_ONE);
        case.intent = intent(Side::Sell, 10_010, 15_000);
        assert_eq!(case.admit(), Err(reason));
    }
    let mut broke = Case::clean();
    broke.global.leverage_max_percent = Some(100_000);
    broke.conditions.equity = E8(0);
    assert_eq!(
        broke.admit(),
        Err(Rejection::MaxLeverage),
        "no equity, no exposure"
    );
}

#[test]
fn concentration_binds_only_above_its_threshold() {
    let mut case = Case::clean();
    case.global.concentration_max_percent = Some(40);
    case.global.concentration_from = E8(201 * E8_ONE);
    assert!(case.admit().is_ok(), "200.12 in all, all of it in one");
    case.global.concentration_from = E8(200 * E8_ONE);
    assert_eq!(case.admit(), Err(Rejection::MaxConcentration));
    // 200.12 of 500.30 is exactly 40 %.
    case.conditions.gross_exposure = Some(E8(30_018_000_000));
    assert!(case.admit().is_ok());
    case.conditions.gross_exposure = Some(E8(30_018_000_000 - 1));
    assert_eq!(case.admit(), Err(Rejection::MaxConcentration));
}

#[test]
fn exposures_that_are_not_known_are_refused_by_the_limit_that_they_may_pass() {
    let mut case = Case::clean();
    case.conditions.gross_exposure = None;
    assert!(case.admit().is_ok(), "nothing limits them");
    case.global.concentration_max_percent = Some(100);
    case.global.concentration_from = E8(i64::MAX);
    assert_eq!(case.admit(), Err(Rejection::MaxConcentration));
    case.global.leverage_max_percent = Some(100_000);
    assert_eq!(case.admit(), Err(Rejection::MaxLeverage));
    case.conditions.position = E8(10 * E8_ONE);
    case.conditions.available_base = E8(10 * E8_ONE);
    case.intent = intent(Side::Sell, 10_010, 2_000);
    assert!(case.admit().is_ok(), "it makes them smaller");
}

#[test]
fn exposure_is_converted_to_the_account_currency() {
    let mut case = Case::clean();
    case.global.leverage_max_percent = Some(100);
    // 200.12 of quote are 300.18 of the account's currency.
    case.conditions.quote_to_account = Ratio::new(3, 2).expect("positive");
    case.conditions.equity = E8(30_018_000_000);
    assert!(case.admit().is_ok());
    case.conditions.equity.0 -= 1;
    assert_eq!(case.admit(), Err(Rejection::MaxLeverage));
    case.conditions.equity = E8(i64::MAX);
    case.conditions.quote_to_account = Ratio::new(1 << 36, 1).expect("positive");
    case.limits = InstrumentLimits::default();
    case.intent.qty = Lots(8_000);
    assert_eq!(
        case.admit(),
        Err(Rejection::MaxLeverage),
        "no amount is so large"
    );
}

#[test]
fn the_kill_switch_latches() {
    let mut risk = Case::clean().risk();
    let case = Case::clean();
    let admit = |risk: &mut Risk| risk.admit(NOW, &case.intent, &case.instrument, &case.conditions);
    risk.kill();
    assert!(risk.is_killed());
    assert_eq!(risk.state(), TradingState::Halted);
    assert_eq!(risk.set_state(TradingState::Active), Err(Latched));
    assert_eq!(risk.set_state(TradingState::ReduceOnly), Err(Latched));
    assert_eq!(risk.set_state(TradingState::Halted), Ok(()));
    assert_eq!(admit(&mut risk), Err(Rejection::KillSwitch));
    risk.reset_kill_switch();
    assert_eq!(
        risk.state(),
        TradingState::Halted,
        "to start again is a second decision"
    );
    assert_eq!(admit(&mut risk), Err(Rejection::NotReady));
    risk.set_state(TradingState::Active).expect("reset");
    assert!(admit(&mut risk).is_ok());
    risk.set_state(TradingState::Halted).expect("always");
    assert_eq!(admit(&mut risk), Err(Rejection::NotReady));
}

#[test]
fn an_instrument_that_the_venue_does_not_trade_is_not_ready() {
    let mut case = Case::clean();
    case.instrument.trading = false;
    assert_eq!(case.admit(), Err(Rejection::NotReady));
}

#[test]
fn limits_have_ranges() {
    let mut risk = Case::clean().risk();
    let global = |change: fn(&mut GlobalLimits)| {
        let mut limits = GlobalLimits::default();
        change(&mut limits);
        LimitsChange::Global(limits)
    };
    let instrument = |change: fn(&mut InstrumentLimits)| {
        let mut limits = InstrumentLimits::default();
        change(&mut limits);
        LimitsChange::Instrument(INDEX, limits)
    };
    let bad = [
        (global(|l| l.open_orders_max = Some(0)), "open_orders_max"),
        (global(|l| l.open_orders_max = Some(257)), "open_orders_max"),
        (
            instrument(|l| l.open_orders_max = Some(257)),
            "open_orders_max",
        ),
        (
            global(|l| l.orders_per_second_max = Some(0)),
            "orders_per_second_max",
        ),
        (
            global(|l| l.orders_per_second_max = Some(1_025)),
            "orders_per_second_max",
        ),
        (
            global(|l| l.leverage_max_percent = Some(0)),
            "leverage_max_percent",
        ),
        (
            global(|l| l.leverage_max_percent = Some(100_001)),
            "leverage_max_percent",
        ),
        (
            global(|l| l.concentration_max_percent = Some(101)),
            "concentration_max_percent",
        ),
        (
            global(|l| l.concentration_from = E8(-1)),
            "concentration_from",
        ),
        (
            global(|l| l.daily_loss_max = Some(E8(-1))),
            "daily_loss_max",
        ),
        (
            global(|l| l.drawdown_max_bps = Some(10_001)),
            "drawdown_max_bps",
        ),
        (
            global(|l| l.market_data_age_max = Some(Nanos(0))),
            "market_data_age_max",
        ),
        (
            global(|l| l.clock_offset_max = Some(Nanos::MAX)),
            "clock_offset_max",
        ),
        (
            instrument(|l| l.order_qty_max = Some(Lots(0))),
            "order_qty_max",
        ),
        (
            instrument(|l| l.order_notional_max = Some(E8(0))),
            "order_notional_max",
        ),
        (
            instrument(|l| l.position_max = Some(E8(-1))),
            "position_max",
        ),
        (
            instrument(|l| l.open_orders_max = Some(0)),
            "open_orders_max",
        ),
        (
            instrument(|l| l.price_collar_bps = Some(10_001)),
            "price_collar_bps",
        ),
    ];
    for (change, name) in bad {
        match risk.set_limits(change) {
            Err(LimitsError::Range { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(
            risk.global_limits(),
            &GlobalLimits::default(),
            "nothing changed"
        );
        assert_eq!(risk.limits(INDEX), &InstrumentLimits::default());
    }
    let unknown = InstrumentIndex(1);
    assert_eq!(
        risk.set_limits(LimitsChange::Instrument(
            unknown,
            InstrumentLimits::default()
        )),
        Err(LimitsError::UnknownInstrument(unknown))
    );
    let bad = InstrumentLimits {
        price_collar_bps: Some(0),
        ..InstrumentLimits::default()
    };
    assert!(Risk::new(GlobalLimits::default(), vec![bad]).is_err());
}

#[test]
fn a_change_binds_the_next_order() {
    let case = Case::clean();
    let mut risk = case.risk();
    let mut admit = |change| {
        risk.set_limits(change).expect("legal");
        risk.admit(NOW, &case.intent, &case.instrument, &case.conditions)
    };
    let tight = InstrumentLimits {
        order_qty_max: Some(Lots(1)),
        ..InstrumentLimits::default()
    };
    assert_eq!(
        admit(LimitsChange::Instrument(INDEX, tight)),
        Err(Rejection::MaxOrderQty)
    );
    assert!(admit(LimitsChange::Instrument(INDEX, InstrumentLimits::default())).is_ok());
    // The rate counts what was admitted before there was a limit on it.
    let slow = GlobalLimits {
        orders_per_second_max: Some(1),
        ..GlobalLimits::default()
    };
    assert_eq!(admit(LimitsChange::Global(slow)), Err(Rejection::OrderRate));
}

#[test]
fn only_what_loosens_nothing_is_tightening() {
    let mut case = Case::clean();
    case.limits.order_qty_max = Some(Lots(10));
    case.global.daily_loss_max = Some(E8(10));
    case.global.concentration_from = E8(10);
    let risk = case.risk();
    let own = |change: fn(&mut InstrumentLimits)| {
        let mut limits = case.limits;
        change(&mut limits);
        risk.is_tightening(&LimitsChange::Instrument(INDEX, limits))
    };
    assert!(own(|_| {}), "no change");
    assert!(own(|limits| limits.order_qty_max = Some(Lots(9))));
    assert!(
        own(|limits| limits.position_max = Some(E8(1))),
        "a new limit"
    );
    assert!(!own(|limits| limits.order_qty_max = Some(Lots(11))));
    assert!(!own(|limits| limits.order_qty_max = None));
    assert!(!own(|limits| {
        limits.order_qty_max = Some(Lots(1));
        limits.order_qty_max = None;
        limits.price_collar_bps = Some(1);
    }));
    let all = |change: fn(&mut GlobalLimits)| {
        let mut limits = case.global;
        change(&mut limits);
        risk.is_tightening(&LimitsChange::Global(limits))
    };
    assert!(all(|limits| limits.daily_loss_max = Some(E8(9))));
    assert!(!all(|limits| limits.daily_loss_max = Some(E8(11))));
    assert!(all(|limits| limits.concentration_from = E8(9)));
    assert!(!all(|limits| limits.concentration_from = E8(11)));
    assert!(all(|limits| limits.clock_offset_max = Some(Nanos(1))));
}

#[test]
fn every_use_can_be_read() {
    let mut case = Case::clean();
    case.global = GlobalLimits {
        open_orders_max: Some(10),
        orders_per_second_max: Some(4),
        leverage_max_percent: Some(200),
        concentration_max_percent: Some(80),
        concentration_from: E8(0),
        daily_loss_max: Some(E8(100 * E8_ONE)),
        drawdown_max_bps: Some(1_000),
        market_data_age_max: Some(Nanos::from_secs(1)),
        clock_offset_max: Some(Nanos::from_ms(2)),
    };
    case.limits = InstrumentLimits {
        order_qty_max: Some(Lots(4_000)),
        order_notional_max: Some(E8(1_000 * E8_ONE)),
        position_max: Some(E8(10 * E8_ONE)),
        open_orders_max: Some(4),
        price_collar_bps: Some(10),
    };
    case.instrument.order_rules.open_orders_max = Some(200);
    let mut risk = case.risk();
    let read = |risk: &Risk, conditions| risk.utilization(NOW, INDEX, &case.instrument, conditions);
    let before = read(&risk, &case.conditions);
    assert_eq!(before.highest_bps, 0);
    assert_eq!(before.of(Limit::OrderQty).used, None, "no order yet");
    let mut spread_out = case.conditions;
    spread_out.gross_exposure = Some(E8(1_000 * E8_ONE));
    risk.admit(NOW, &case.intent, &case.instrument, &spread_out)
        .expect("clean");

    let mut conditions = case.conditions;
    conditions.open_buys.count = 1;
    conditions.open_buys.remaining = Lots(2_000);
    conditions.open_sells.remaining = Lots(500);
    conditions.open_orders_total = 3;
    conditions.position = E8(E8_ONE);
    conditions.gross_exposure = Some(E8(500 * E8_ONE));
    conditions.instrument_exposure = E8(300 * E8_ONE);
    conditions.equity = E8(1_500 * E8_ONE);
    conditions.day_change = Some(E8(-25 * E8_ONE));
    conditions.drawdown_bps = Some(700);
    conditions.clock_offset_ns = Some(-1_000_000);
    conditions.touch.as_mut().expect("live").updated_at = Nanos(NOW.0 - 100_000_000);
    let used = read(&risk, &conditions);
    for limit in Limit::ALL {
        let (units, bps) = match limit {
            Limit::OrderQty => (2_000, 5_000),
            Limit::OrderNotional => (200 * E8_ONE, 2_000),
            Limit::PriceCollar => (5, 5_000),
            Limit::Position => (3 * E8_ONE, 3_000),
            Limit::InstrumentOpenOrders => (1, 2_500),
            Limit::VenueOpenOrders => (1, 50),
            Limit::OpenOrders => (3, 3_000),
            Limit::OrderRate => (1, 2_500),
            Limit::Leverage => (34, 1_700),
            Limit::Concentration => (60, 7_500),
            Limit::DailyLoss => (25 * E8_ONE, 2_500),
            Limit::Drawdown => (700, 7_000),
            Limit::MarketDataAge => (100_000_000, 1_000),
            Limit::ClockOffset => (1_000_000, 5_000),
        };
        let row = used.of(limit);
        assert_eq!((row.used, row.bps), (Some(units), bps), "{}", limit.label());
        assert!(row.max.is_some());
    }
    assert_eq!(used.highest_bps, 7_500);

    let mut bare = Case::clean();
    bare.conditions.touch = None;
    bare.conditions.clock_offset_ns = None;
    bare.conditions.equity = E8(-1);
    bare.conditions.gross_exposure = Some(E8(1));
    let bare = bare
        .risk()
        .utilization(NOW, INDEX, &bare.instrument, &bare.conditions);
    assert!(
        bare.limits
            .iter()
            .all(|row| row.max.is_none() && row.bps == 0)
    );
    assert_eq!(bare.of(Limit::MarketDataAge).used, None);
    assert_eq!(bare.of(Limit::ClockOffset).used, Some(i64::MAX));
    assert_eq!(bare.of(Limit::Leverage).used, Some(i64::MAX));
}

#[test]
fn each_limit_is_refused_with_its_reason() {
    for limit in Limit::ALL {
        let mut case = Case::clean();
        spoil(&mut case, limit.rejection());
        assert_eq!(case.admit(), Err(limit.rejection()));
        // What holds for one instrument is changed with its limits, the rest with the global ones.
        let is_default = case.limits == InstrumentLimits::default();
        match limit.scope() {
            Scope::Instrument => assert!(!is_default),
            Scope::Global if limit != Limit::OpenOrders => assert!(is_default),
            // Three limits share the reason of too many open orders; it is produced with the
            // instrument's own.
            Scope::Venue | Scope::Global => assert!(!is_default),
        }
    }
}

// ---- the slow model -------------------------------------------------------------------------

/// Two instruments at fixed marks, with everything that risk should have bounded, counted the long way:
/// every subset of the open orders may fill.
struct Model {
    risk: Risk,
    global: GlobalLimits,
    limits: [InstrumentLimits; 2],
    instruments: [Instrument; 2],
    /// In lots; one lot is [`LOT_E8`].
    position: [i64; 2],
    base: [i64; 2],
    /// Side, lots, price in ticks.
    open: [Vec<(Side, i64, i64)>; 2],
    quote_e16: i128,
    now: u64,
    admitted_at: Vec<u64>,
    equity: E8,
    mark: [i64; 2],
}

impl Model {
    /// Every position that an instrument can come to.
    fn positions(&self, index: usize) -> Vec<i64> {
        let open = &self.open[index];
        (0..1u32 << open.len())
            .map(|subset| {
                let filled = open
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| subset >> bit & 1 == 1);
                self.position[index]
                    + filled
                        .map(|(_, (side, qty, _))| side.sign() * qty)
                        .sum::<i64>()
            })
            .collect()
    }

    /// Worst exposure of an instrument in 1e-16 of the account currency, which is the quote asset.
    fn exposure_e16(&self, index: usize) -> i128 {
        let worst = self
            .positions(index)
            .into_iter()
            .map(i64::abs)
            .max()
            .expect("one");
        i128::from(worst) * i128::from(LOT_E8) * i128::from(self.mark[index]) * i128::from(TICK_E8)
    }

    fn spent_e16(&self) -> i128 {
        (0..2)
            .flat_map(|index| &self.open[index])
            .filter(|(side, ..)| *side == Side::Buy)
            .map(|(_, qty, price)| {
                i128::from(*qty) * i128::from(LOT_E8) * i128::from(*price) * i128::from(TICK_E8)
            })
            .sum()
    }

    fn conditions(&self, index: usize) -> Conditions {
        let of = |side: Side| {
            let orders = self.open[index].iter().filter(|order| order.0 == side);
            OpenOrders {
                remaining: Lots(orders.clone().map(|order| order.1).sum()),
                count: orders.clone().count() as u32,
                best_price: match side {
                    Side::Buy => orders.map(|order| Ticks(order.2)).max(),
                    Side::Sell => orders.map(|order| Ticks(order.2)).min(),
                },
            }
        };
        let sold = of(Side::Sell).remaining.0;
        let e8_up = |e16: i128| E8(((e16 + i128::from(E8_ONE) - 1) / i128::from(E8_ONE)) as i64);
        let exposures = [0, 1].map(|index| e8_up(self.exposure_e16(index)));
        let available_e16 = self.quote_e16 - self.spent_e16();
        Conditions {
            touch: Some(Touch {
                bid: Some(Ticks(self.mark[index] - 1)),
                ask: Some(Ticks(self.mark[index] + 1)),
                updated_at: Nanos(self.now),
            }),
            position: E8(self.position[index] * LOT_E8),
            open_buys: of(Side::Buy),
            open_sells: of(Side::Sell),
            counts_twice: false,
            open_orders_total: (self.open[0].len() + self.open[1].len()) as u32,
            available_base: E8((self.base[index] - sold) * LOT_E8),
            available_quote: E8((available_e16 / i128::from(E8_ONE)) as i64),
            equity: self.equity,
            gross_exposure: Some(E8(exposures[0].0 + exposures[1].0)),
            instrument_exposure: exposures[index],
            ..conditions()
        }
    }

    fn submit(&mut self, index: usize, side: Side, price: i64, qty: i64) -> bool {
        let mut intent = intent(side, price, qty);
        intent.instrument = InstrumentIndex(index as u16);
        let conditions = self.conditions(index);
        let before = [self.exposure_e16(0), self.exposure_e16(1)];
        let admitted = self.risk.admit(
            Nanos(self.now),
            &intent,
            &self.instruments[index],
            &conditions,
        );
        if admitted.is_err() {
            return false;
        }
        self.open[index].push((side, qty, price));
        self.admitted_at.push(self.now);
        self.check(index, side, price, qty, before[0] + before[1]);
        true
    }

    /// Every limit, after an order was admitted.
    fn check(&self, index: usize, side: Side, price: i64, qty: i64, gross_before_e16: i128) {
        let limits = &self.limits[index];
        let notional_e16 =
            i128::from(qty) * i128::from(LOT_E8) * i128::from(price) * i128::from(TICK_E8);
        let e16 = |e8: E8| i128::from(e8.0) * i128::from(E8_ONE);
        assert!(limits.order_qty_max.is_none_or(|max| qty <= max.0));
        assert!(
            limits
                .order_notional_max
                .is_none_or(|max| notional_e16 <= e16(max))
        );
        if let Some(max) = limits.position_max {
            // Where the order can bring it, not where an older one could go the other way.
            let ends = self
                .positions(index)
                .into_iter()
                .map(|end| end * side.sign());
            assert!(i128::from(ends.max().expect("one")) * i128::from(LOT_E8) <= max.0.into());
        }
        let count = self.open[index].len() as u32;
        assert!(limits.open_orders_max.is_none_or(|max| count <= max));
        let total = (self.open[0].len() + self.open[1].len()) as u32;
        assert!(self.global.open_orders_max.is_none_or(|max| total <= max));
        if let Some(max) = limits.price_collar_bps {
            let off = (price - self.mark[index]).abs();
            assert!(off * 10_000 <= self.mark[index] * i64::from(max));
        }
        if let Some(max) = self.global.orders_per_second_max {
            let second = Nanos::from_secs(1).0;
            let recent = self
                .admitted_at
                .iter()
                .filter(|&&at| self.now - at < second)
                .count();
            assert!(recent <= max as usize);
        }
        let exposures = [self.exposure_e16(0), self.exposure_e16(1)];
        let gross_e16 = exposures[0] + exposures[1];
        if gross_e16 > gross_before_e16 {
            if let Some(max) = self.global.leverage_max_percent {
                assert!(gross_e16 * 100 <= e16(self.equity) * i128::from(max));
            }
            if let Some(max) = self.global.concentration_max_percent
                && gross_e16 > e16(self.global.concentration_from)
            {
                // Exposures reach risk in whole 1e-8 units, rounded up: that is the slack of two.
                let slack = 2 * i128::from(E8_ONE) * 100;
                assert!(exposures[index] * 100 <= gross_e16 * i128::from(max) + slack);
            }
        }
        assert!(self.spent_e16() <= self.quote_e16);
        let sold: i64 = self.open[index]
            .iter()
            .filter(|o| o.0 == Side::Sell)
            .map(|o| o.1)
            .sum();
        assert!(sold <= self.base[index]);
        let best = |wanted: Side| {
            self.open[index]
                .iter()
                .filter(move |o| o.0 == wanted)
                .map(|o| o.2)
        };
        if let (Some(bid), Some(ask)) = (best(Side::Buy).max(), best(Side::Sell).min()) {
            assert!(bid < ask, "two of ours would trade");
        }
    }

    /// Part of an open order fills at its price, or it goes.
    fn end(&mut self, index: usize, which: usize, percent: i64) {
        if self.open[index].is_empty() {
            return;
        }
        let which = which % self.open[index].len();
        let (side, qty, price) = self.open[index][which];
        let filled = qty * percent / 100;
        self.position[index] += side.sign() * filled;
        self.base[index] += side.sign() * filled;
        self.quote_e16 -= i128::from(side.sign())
            * i128::from(filled)
            * i128::from(LOT_E8)
            * i128::from(price)
            * i128::from(TICK_E8);
        if filled == qty || percent == 0 {
            self.open[index].remove(which);
        } else {
            self.open[index][which].1 -= filled;
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Submit(usize, bool, i64, i64),
    End(usize, usize, i64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..2, any::<bool>(), -300i64..300, 1i64..3_000)
            .prop_map(|(index, buy, off, qty)| Step::Submit(index, buy, off, qty)),
        3 => (0usize..2, 0usize..8, prop_oneof![Just(0i64), Just(100), 1i64..100])
            .prop_map(|(index, which, percent)| Step::End(index, which, percent)),
        1 => (0u64..800).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

fn maybe<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    prop_oneof![1 => Just(()).prop_map(|()| None), 3 => strategy.prop_map(Some)]
}

fn instrument_limits() -> impl Strategy<Value = InstrumentLimits> {
    (
        maybe(1i64..3_000),
        maybe(1i64..400),
        maybe(1i64..6),
        maybe(1u32..6),
        maybe(1u32..300),
    )
        .prop_map(|(qty, notional, position, open, collar)| InstrumentLimits {
            order_qty_max: qty.map(Lots),
            order_notional_max: notional.map(|whole| E8(whole * E8_ONE)),
            position_max: position.map(|whole| E8(whole * E8_ONE)),
            open_orders_max: open,
            price_collar_bps: collar,
        })
}

fn global_limits() -> impl Strategy<Value = GlobalLimits> {
    (
        maybe(1u32..9),
        maybe(1u32..5),
        maybe(1u32..150),
        maybe(1u32..=100),
        0i64..500,
    )
        .prop_map(|(open, rate, leverage, concentration, from)| GlobalLimits {
            open_orders_max: open,
            orders_per_second_max: rate,
            leverage_max_percent: leverage,
            concentration_max_percent: concentration,
            concentration_from: E8(from * E8_ONE),
            ..GlobalLimits::default()
        })
}

/// Any number, the strange ones often.
fn any_number() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -1_000i64..1_000,
        9_000i64..11_000,
        proptest::sample::select(&[0, 1, -1, i64::MIN, i64::MAX, i64::MAX / 2, 1 << 62][..]),
    ]
}

fn any_conditions() -> impl Strategy<Value = Conditions> {
    let open = || {
        (0i64..=i64::MAX, any::<u32>(), maybe(any_number())).prop_map(|(remaining, count, best)| {
            OpenOrders {
                remaining: Lots(remaining),
                count,
                best_price: best.map(Ticks),
            }
        })
    };
    let touch = (maybe(any_number()), maybe(any_number()), any::<u64>()).prop_map(
        |(bid, ask, updated_at)| Touch {
            bid: bid.map(Ticks),
            ask: ask.map(Ticks),
            updated_at: Nanos(updated_at),
        },
    );
    let ratio = (1..=i64::MAX, 1..=i64::MAX)
        .prop_map(|(numerator, denominator)| Ratio::new(numerator, denominator));
    (
        proptest::collection::vec(any_number(), 8),
        open(),
        open(),
        touch,
        ratio,
        maybe(any_number()),
        any::<u32>(),
    )
        .prop_map(
            |(numbers, open_buys, open_sells, touch, ratio, clock, count)| Conditions {
                clock_offset_ns: clock,
                touch: Some(touch),
                position: E8(numbers[0]),
                open_buys,
                open_sells,
                counts_twice: count % 2 == 1,
                open_orders_total: count,
                available_base: E8(numbers[1]),
                available_quote: E8(numbers[2]),
                equity: E8(numbers[3]),
                gross_exposure: Some(E8(numbers[4])),
                instrument_exposure: E8(numbers[5]),
                quote_to_account: ratio.unwrap_or(Ratio::ONE),
                day_change: Some(E8(numbers[6])),
                drawdown_bps: Some(numbers[7] as u32),
                ..conditions()
            },
        )
}

proptest! {
    #[test]
    fn no_moment_is_too_strange_to_judge(
        conditions in any_conditions(),
        price in any_number(),
        qty in any_number(),
        buy in any::<bool>(),
        market in any::<bool>(),
        global in global_limits(),
        limits in instrument_limits(),
        losses in (maybe(1..=i64::MAX), maybe(1u32..=10_000)),
    ) {
        let mut case = Case::clean();
        case.global = global;
        case.global.daily_loss_max = losses.0.map(E8);
        case.global.drawdown_max_bps = losses.1;
        case.limits = limits;
        case.conditions = conditions;
        case.intent = intent(if buy { Side::Buy } else { Side::Sell }, price, qty);
        if market {
            case.intent.kind = OrderKind::Market;
            case.intent.price = Ticks(0);
        }
        // Overflow is checked in this build: that nothing panics is the point.
        let _ = case.admit();
        let _ = case.risk().utilization(NOW, INDEX, &case.instrument, &case.conditions);
    }

    #[test]
    fn what_is_admitted_breaks_no_limit(
        global in global_limits(),
        limits in [instrument_limits(), instrument_limits()],
        marks in [9_000i64..11_000, 400i64..600],
        steps in steps(),
    ) {
        let instrument = || crate::instrument::tests::instrument("ABCUSDT", TICK_E8, LOT_E8);
        let mut model = Model {
            risk: Risk::new(global, limits.to_vec()).expect("legal"),
            global,
            limits,
            instruments: [instrument(), instrument()],
            position: [0; 2],
            base: [5_000, 8_000],
            open: [Vec::new(), Vec::new()],
            quote_e16: 1_500 * i128::from(E8_ONE) * i128::from(E8_ONE),
            now: 0,
            admitted_at: Vec::new(),
            equity: E8(2_000 * E8_ONE),
            mark: marks,
        };
        for step in steps {
            match step {
                Step::Submit(index, buy, off, qty) => {
                    let side = if buy { Side::Buy } else { Side::Sell };
                    // The subsets of eight orders are enough to count.
                    if model.open[index].len() < 8 {
                        model.submit(index, side, (marks[index] + off).max(1), qty);
                    }
                }
                Step::End(index, which, percent) => model.end(index, which, percent),
                Step::Wait(ms) => model.now += ms * 1_000_000,
            }
        }
    }
}
