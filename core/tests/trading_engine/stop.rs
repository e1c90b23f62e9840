//! The end: orders are taken back, waited for, and what is left is told.

use veloz_core::event::{Command, Event, LinkDown};
use veloz_core::order::{DoneReason, OrderState, Side};
use veloz_core::risk::Rejection;
use veloz_core::telemetry::records::{EngineState, RecordBody, TradingPhase};

use crate::desk::{Desk, Held, Setup, WHOLE, limit};

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
