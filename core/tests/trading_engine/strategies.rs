//! When a strategy is called, and what becomes of what it wants.

use veloz_core::event::{Command, LinkDown};
use veloz_core::order::{
    DoneReason, OrderId, OrderKind, OrderState, SelfTradePrevention, Side, TimeInForce,
};
use veloz_core::strategy::{Action, Quote, Stage, Wish};
use veloz_core::units::{Lots, Ticks};

use crate::desk::{BTC, Call, Desk, Held, Setup, WHOLE};

/// What the strategy's first order is called.
pub(crate) const FIRST: OrderId = OrderId {
    run: 7,
    sequence: 1,
};

pub(crate) fn quote(price: i64, qty: i64) -> Action {
    Action::Place(Quote {
        side: Side::Buy,
        kind: OrderKind::LimitMaker,
        time_in_force: TimeInForce::Gtc,
        price: Ticks(price),
        qty: Lots(qty),
        self_trade_prevention: SelfTradePrevention::ExpireMaker,
    })
}

pub(crate) fn want(desk: &mut Desk, action: Action) {
    desk.script.borrow_mut().wants.push_back(action);
    desk.tick_book(BTC);
    desk.advance(0);
}

fn calls(desk: &Desk) -> usize {
    desk.script.borrow().calls.len()
}

#[test]
fn a_strategy_is_called_only_while_trading_is_ready_and_it_may_act() {
    let mut desk = Desk::new(&Setup::default());
    desk.begin();
    desk.advance(2_000);
    assert_eq!(calls(&desk), 0);
    desk.introduce("[]");
    desk.advance(2_000);
    assert_ne!(calls(&desk), 0);
    for running in [false, true] {
        desk.command(|token| Command::RunStrategy { token, running });
        let before = calls(&desk);
        desk.advance(2_000);
        assert_eq!(calls(&desk) > before, running);
    }
    desk.link_down(LinkDown::Closed);
    desk.advance(0);
    let before = calls(&desk);
    desk.advance(2_000);
    assert_eq!(calls(&desk), before);
}

#[test]
fn a_strategys_order_is_placed_from_a_book_frame_and_it_hears_of_it() {
    let mut desk = Desk::ready(&Setup::default());
    want(&mut desk, quote(9_900, WHOLE));
    let asked = desk.take("order.place");
    assert_eq!(asked.text("type"), "LIMIT_MAKER");
    let mut held = Held::of(&asked, 31);
    desk.answer(&asked, &held.placed(desk.unix_ms()));
    desk.fill(&mut held, 1, WHOLE);
    assert_eq!(desk.state(FIRST), OrderState::Done(DoneReason::Filled));
    let heard: Vec<_> = desk
        .script
        .borrow()
        .calls
        .iter()
        .filter(|call| matches!(call, Call::Order(..)))
        .copied()
        .collect();
    assert_eq!(
        heard,
        [
            Call::Order(FIRST, OrderState::Live),
            Call::Order(FIRST, OrderState::Done(DoneReason::Filled))
        ]
    );
}

#[test]
fn a_lost_book_takes_the_strategys_orders_back_and_no_others() {
    let mut desk = Desk::ready(&Setup::default());
    let (manual, _) = desk.rest(Side::Buy, 9_800, WHOLE);
    want(&mut desk, quote(9_900, WHOLE));
    let held = desk.accept();
    desk.break_book();
    desk.advance(0);
    let asked = desk.take("order.cancel");
    desk.expect_quiet();
    assert_eq!(asked.params["orderId"], held.venue_id);
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(manual), OrderState::Live);
    assert!(desk.script.borrow().calls.contains(&Call::NoBook));
}

fn elsewhere(order: OrderId) -> Action {
    Action::Replace {
        order,
        price: Ticks(9_890),
        qty: Lots(2 * WHOLE),
    }
}

#[test]
fn a_strategys_order_is_replaced_or_where_something_traded_withdrawn() {
    let mut desk = Desk::ready(&Setup::default());
    want(&mut desk, quote(9_900, 2 * WHOLE));
    let mut held = desk.accept();
    want(&mut desk, elsewhere(FIRST));
    let asked = desk.take("order.cancelReplace");
    let error = r#"{"code":-2022,"msg":"Order cancel-replace failed.","data":{"cancelResult":"FAILURE","newOrderResult":"NOT_ATTEMPTED","cancelResponse":{"code":-2011,"msg":"Order was not canceled due to cancel restrictions."},"newOrderResponse":null}}"#;
    desk.fill(&mut held, 1, WHOLE);
    desk.refuse(&asked, 400, error);
    assert_eq!(desk.state(FIRST), OrderState::PartiallyFilled);

    want(&mut desk, elsewhere(FIRST));
    let asked = desk.take("order.cancel");
    desk.expect_quiet();
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(FIRST), OrderState::Done(DoneReason::Cancelled));
    assert_eq!(desk.position(BTC), WHOLE);
    let funnel = desk.engine.funnel().expect("an account");
    assert_eq!(funnel.wishes(Wish::Replace), 2);
    assert_eq!(funnel.stage(Stage::ReplacedInVain), 1);
}
