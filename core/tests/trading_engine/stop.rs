//! The end: orders are taken back, waited for, and what is left is told.

use veloz_core::event::{Command, Event, LinkDown, LinkRole};
use veloz_core::order::{DoneReason, OrderState, Side};
use veloz_core::risk::Rejection;
use veloz_core::telemetry::gauges::Gauge;
use veloz_core::telemetry::records::{EngineState, RecordBody, TradingPhase};

use crate::desk::{Desk, Held, Setup, WHOLE, limit, logged_on};

fn stop(desk: &mut Desk) {
    desk.handle(Event::Command(Command::Stop));
    desk.advance(0);
}

#[test]
fn a_stop_takes_orders_back_and_waits_for_the_last() {
    let mut desk = Desk::ready(&Setup::default());
    let (first, held) = desk.rest(Side::Buy, 9_900, WHOLE);
    let second = desk.place(Side::Buy, 9_800, WHOLE);
    let placing = desk.take("order.place");
    stop(&mut desk);
    desk.expect_phase(TradingPhase::Stopping);
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, 9_900, WHOLE), None);
    assert_eq!(reason, Some(Rejection::NotReady));
    let late = Held::of(&placing, 91);
    desk.answer(&placing, &late.placed(desk.unix_ms()));
    desk.advance(1);
    for (id, held) in [(first, held), (second, late)] {
        desk.expect_phase(TradingPhase::Stopping);
        let asked = desk.take("order.cancel");
        desk.answer(&asked, &held.cancelled(desk.unix_ms()));
        assert_eq!(desk.state(id), OrderState::Done(DoneReason::Cancelled));
        desk.advance(1);
    }
    desk.expect_phase(TradingPhase::Stopped);
    assert!(desk.recorded(|record| matches!(
        record,
        RecordBody::TradingPhase {
            to: TradingPhase::Stopped,
            open_orders: 0,
            unresolved: 0,
            ..
        }
    )));
    // A second stop and more time change nothing.
    stop(&mut desk);
    desk.advance(1_000);
    desk.expect_phase(TradingPhase::Stopped);
    desk.expect_quiet();
}

#[test]
fn a_stop_goes_on_over_a_lost_link() {
    let mut desk = Desk::ready(&Setup::default());
    let (id, held) = desk.rest(Side::Buy, 9_900, WHOLE);
    stop(&mut desk);
    desk.take("order.cancel");
    desk.link_down(LinkDown::Closed);
    desk.advance_to_log_on();
    desk.expect_phase(TradingPhase::Stopping);
    assert_eq!(desk.state(id), OrderState::Unresolved);
    let rows = format!("[{}]", held.status("NEW", desk.unix_ms()));
    desk.introduce(&rows);
    desk.advance(10);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    desk.advance(10);
    desk.expect_phase(TradingPhase::Stopped);
}

#[test]
fn a_shutdown_is_the_last_thing() {
    let mut desk = Desk::ready(&Setup::default());
    desk.rest(Side::Buy, 9_900, WHOLE);
    stop(&mut desk);
    // Nobody answers; the edge waits no longer, and the records say what was left.
    desk.advance(1_000);
    let left = desk.records.iter().rev().find_map(|record| match record {
        RecordBody::TradingPhase {
            to, open_orders, ..
        } => Some((to.label(), *open_orders)),
        _ => None,
    });
    assert_eq!(left, Some(("stopping", 1)));
    desk.handle(Event::Command(Command::Shutdown));
    assert_eq!(desk.engine.state(), EngineState::Stopped);
    assert_eq!(desk.closed.len(), 3);
    assert!(matches!(
        desk.records.last(),
        Some(RecordBody::Shutdown { links_closed: 3 })
    ));
}

/// Whatever an earlier run left is ours to take back, also for a run that never traded.
#[test]
fn a_stop_before_the_first_list_waits_for_it_and_takes_back_what_it_shows() {
    let mut desk = Desk::new(&Setup::default());
    desk.begin();
    stop(&mut desk);
    desk.advance(100);
    desk.expect_phase(TradingPhase::Stopping);
    assert!(!desk.engine.has_listed_orders());
    let ask = desk.take("session.logon");
    desk.answer(&ask, &logged_on());
    let ask = desk.take("userDataStream.subscribe");
    desk.answer(&ask, r#"{"subscriptionId":0}"#);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Stopping);
    let ours = Held {
        symbol: "BTCUSDT".to_owned(),
        client_id: "vz-mm1_6_3k".to_owned(),
        venue_id: 41,
        side: "SELL".to_owned(),
        price: "120.00000000".to_owned(),
        qty: WHOLE,
        executed: 0,
    };
    let ask = desk.take("openOrders.status");
    let rows = format!("[{}]", ours.status("NEW", desk.unix_ms()));
    desk.answer(&ask, &rows);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Stopping);
    let asked = desk.take("order.cancel");
    assert_eq!(asked.params["orderId"], 41);
    desk.answer(&asked, &ours.cancelled(desk.unix_ms()));
    desk.advance(1);
    desk.expect_phase(TradingPhase::Stopped);
    assert!(desk.engine.has_listed_orders());
}

#[test]
fn a_stop_without_a_link_never_claims_that_nothing_is_open() {
    let mut desk = Desk::new(&Setup::default());
    desk.begin();
    stop(&mut desk);
    desk.take("session.logon");
    let link = desk.link(LinkRole::Orders);
    desk.handle(Event::LinkDown {
        link,
        cause: LinkDown::Closed,
    });
    desk.advance(2_000);
    desk.expect_phase(TradingPhase::Stopping);
    assert!(!desk.engine.has_listed_orders());
    desk.handle(Event::Command(Command::Shutdown));
    assert_eq!(desk.engine.state(), EngineState::Stopped);
    desk.expect_phase(TradingPhase::Stopping);
}

/// Whoever stops an engine reads how far trading has come off the gauge, perhaps before the first event.
#[test]
fn an_engine_that_heard_nothing_yet_shows_that_it_trades() {
    let desk = Desk::new(&Setup::default());
    let shown = desk.reader.gauges.plain(Gauge::TradingPhase);
    assert_eq!(shown, TradingPhase::Starting.index() as i64);
}
