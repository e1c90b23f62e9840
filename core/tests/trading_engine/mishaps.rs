//! What comes together rarely: halves of a replacement that end apart, a link that goes with answers outstanding, a
//! venue that is busy, tables that are full.

use veloz_core::event::{Command, LinkDown, LinkRole, OrderRef};
use veloz_core::limits::{ORDER_REQUESTS_MAX, ORDERS_OPEN_MAX};
use veloz_core::order::{DoneReason, OrderId, OrderState, Side};
use veloz_core::risk::Rejection;
use veloz_core::telemetry::records::{CommandResult, TradingPhase};
use veloz_core::units::{Lots, Ticks};

use crate::desk::{BTC, Desk, Held, Setup, WHOLE, limit};

const REJECTED: OrderState = OrderState::Done(DoneReason::Rejected);
const CANCELLED: OrderState = OrderState::Done(DoneReason::Cancelled);

fn open_buys(desk: &Desk) -> i64 {
    let oms = desk.engine.oms().expect("an account");
    i64::try_from(oms.totals(BTC).buy_remaining_lots).expect("small")
}

/// An order that rests, and the request to replace it with one twice as large.
fn replacing(desk: &mut Desk) -> (OrderId, Held, OrderId, crate::desk::Asked) {
    let (old, held) = desk.rest(Side::Buy, 9_990, WHOLE);
    let (result, _, new) = desk.command(|token| Command::Replace {
        token,
        order: OrderRef::Id(old),
        client_id: None,
        price: Ticks(9_985),
        qty: Lots(2 * WHOLE),
    });
    assert_eq!(result, CommandResult::Done);
    let asked = desk.take("order.cancelReplace");
    (old, held, new.expect("admitted"), asked)
}

#[test]
fn each_half_of_a_replacement_ends_for_itself() {
    const REFUSED: &str =
        r#"{"code":-2010,"msg":"Account has insufficient balance for requested action."}"#;
    const RESTRICTED: &str =
        r#"{"code":-2011,"msg":"Order was not canceled due to cancel restrictions."}"#;
    const TIMEOUT: &str = r#"{"code":-1007,"msg":"Timeout waiting for response from backend server. Send status unknown; execution status unknown."}"#;
    // Old half, its answer (`report` for a real one), new half, its answer; how old and new stand then.
    let cases = [
        ("SUCCESS", "report", "FAILURE", REFUSED, CANCELLED, REJECTED),
        (
            "FAILURE",
            RESTRICTED,
            "NOT_ATTEMPTED",
            "null",
            OrderState::Live,
            REJECTED,
        ),
        (
            "FAILURE",
            RESTRICTED,
            "FAILURE",
            REFUSED,
            OrderState::Live,
            REJECTED,
        ),
        // Never asked for, and told all the same.
        (
            "FAILURE",
            RESTRICTED,
            "SUCCESS",
            "report",
            OrderState::Live,
            OrderState::Live,
        ),
        (
            "FAILURE",
            TIMEOUT,
            "NOT_ATTEMPTED",
            "null",
            OrderState::Unresolved,
            REJECTED,
        ),
        (
            "SUCCESS",
            "report",
            "FAILURE",
            TIMEOUT,
            CANCELLED,
            OrderState::Unresolved,
        ),
    ];
    for (cancel, cancel_says, place, place_says, old_state, new_state) in cases {
        let mut desk = Desk::ready(&Setup::default());
        let (old, held, new, asked) = replacing(&mut desk);
        let next = Held::of(&asked, 77);
        let at = desk.unix_ms();
        let cancel_says = match cancel_says {
            "report" => held.cancelled(at),
            says => says.to_owned(),
        };
        let place_says = match place_says {
            "report" => next.placed(at),
            says => says.to_owned(),
        };
        let (status, code, text) = if cancel == "SUCCESS" || place == "SUCCESS" {
            (409, -2021, "Order cancel-replace partially failed.")
        } else {
            (400, -2022, "Order cancel-replace failed.")
        };
        let error = format!(
            r#"{{"code":{code},"msg":"{text}","data":{{"cancelResult":"{cancel}","newOrderResult":"{place}","cancelResponse":{cancel_says},"newOrderResponse":{place_says}}}}}"#
        );
        desk.refuse(&asked, status, &error);
        let name = format!("{cancel} {place}");
        assert_eq!(desk.state(old), old_state, "{name}");
        assert_eq!(desk.state(new), new_state, "{name}");
        // What may still stand counts, and nothing else.
        let counts = |state: OrderState, lots: i64| if state.is_done() { 0 } else { lots };
        let expected = counts(old_state, WHOLE) + counts(new_state, 2 * WHOLE);
        assert_eq!(open_buys(&desk), expected, "{name}");
        // What is unknown is asked for, one question each.
        desk.advance(1);
        for id in [(old, &held, old_state), (new, &next, new_state)] {
            let (id, held, state) = id;
            if state == OrderState::Unresolved {
                let asked = desk.take("order.status");
                desk.answer(&asked, &held.status("NEW", desk.unix_ms()));
                assert_eq!(desk.state(id), OrderState::Live, "{name}");
            }
        }
        desk.expect_quiet();
    }
}

#[test]
fn a_replacement_refused_as_a_whole_changes_nothing_or_leaves_both_in_doubt() {
    let cases = [
        (
            429,
            r#"{"code":-1015,"msg":"Too many new orders; current limit is 100 orders per 10 SECOND."}"#,
            OrderState::Live,
            REJECTED,
        ),
        (
            503,
            r#"{"code":-1008,"msg":"Server is currently overloaded with other requests. Please try again in a few minutes."}"#,
            OrderState::Unresolved,
            OrderState::Unresolved,
        ),
    ];
    for (status, error, old_state, new_state) in cases {
        let mut desk = Desk::ready(&Setup::default());
        let (old, _, new, asked) = replacing(&mut desk);
        desk.refuse(&asked, status, error);
        assert_eq!((desk.state(old), desk.state(new)), (old_state, new_state));
    }
}

#[test]
fn too_many_orders_stop_new_ones_until_the_window_turns_and_no_cancel() {
    let mut desk = Desk::ready(&Setup::default());
    let (resting, held) = desk.rest(Side::Buy, 9_900, WHOLE);
    let id = desk.place(Side::Buy, 9_900, WHOLE);
    let asked = desk.take("order.place");
    desk.refuse(
        &asked,
        429,
        r#"{"code":-1015,"msg":"Too many new orders; current limit is 100 orders per 10 SECOND."}"#,
    );
    assert_eq!(desk.state(id), REJECTED);
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, 9_900, WHOLE), None);
    assert_eq!(reason, Some(Rejection::VenueRateBudget));
    desk.cancel(resting);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(resting), CANCELLED);
    // Ten seconds of the venue's clock, and the guard.
    desk.advance(12_500);
    desk.place(Side::Buy, 9_900, WHOLE);
}

#[test]
fn a_busy_venue_leaves_the_order_in_doubt_and_the_link_as_it_is() {
    let mut desk = Desk::ready(&Setup::default());
    let id = desk.place(Side::Buy, 9_900, WHOLE);
    let asked = desk.take("order.place");
    let held = Held::of(&asked, 41);
    desk.refuse(
        &asked,
        503,
        r#"{"code":-1008,"msg":"Server is currently overloaded with other requests. Please try again in a few minutes."}"#,
    );
    assert_eq!(desk.state(id), OrderState::Unresolved);
    assert_eq!(open_buys(&desk), WHOLE);
    assert_eq!(desk.closed, []);
    desk.expect_phase(TradingPhase::Ready);
    desk.advance(1);
    let asked = desk.take("order.status");
    desk.answer(&asked, &held.status("NEW", desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Live);
}

#[test]
fn a_service_that_shuts_down_is_left_and_its_orders_are_asked_after() {
    let mut desk = Desk::ready(&Setup::default());
    let id = desk.place(Side::Buy, 9_900, WHOLE);
    let asked = desk.take("order.place");
    let held = Held::of(&asked, 41);
    let first = desk.link(LinkRole::Orders);
    desk.refuse(
        &asked,
        400,
        r#"{"code":-1016,"msg":"This service is no longer available."}"#,
    );
    assert_eq!(desk.state(id), OrderState::Unresolved);
    assert_eq!(desk.closed, [(LinkRole::Orders, LinkDown::Requested)]);
    desk.advance_to_log_on();
    assert_ne!(desk.link(LinkRole::Orders), first);
    let rows = format!("[{}]", held.status("NEW", desk.unix_ms()));
    desk.introduce(&rows);
    desk.advance(10);
    assert_eq!(desk.state(id), OrderState::Live);
    desk.expect_phase(TradingPhase::Ready);
}

/// A planned change of links: nothing is lost that was asked on the old one.
#[test]
fn a_link_retires_when_the_last_answer_on_it_is_in() {
    let mut desk = Desk::ready(&Setup::default());
    let (resting, _) = desk.rest(Side::Buy, 9_800, WHOLE);
    let id = desk.place(Side::Buy, 9_900, WHOLE);
    let asked = desk.take("order.place");
    let held = Held::of(&asked, 41);
    let old = desk.link(LinkRole::Orders);
    desk.tell(r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#);
    desk.advance(0);
    assert_ne!(desk.link(LinkRole::Orders), old);
    assert_eq!(desk.state(id), OrderState::Sent);
    let resting_row = Held {
        price: "98.00000000".to_owned(),
        client_id: "vz-mm1_7_1".to_owned(),
        venue_id: 1_001,
        ..held.clone()
    };
    let rows = format!("[{}]", resting_row.status("NEW", desk.unix_ms()));
    desk.introduce(&rows);
    desk.expect_phase(TradingPhase::Ready);
    assert_eq!(desk.state(resting), OrderState::Live);

    // The overlap is over, the order overdue and asked for on the new link; the old one stays for its answer.
    desk.advance(3_000);
    assert_eq!(desk.closed, []);
    assert_eq!(desk.state(id), OrderState::Unresolved);
    let question = desk.take("order.status");
    assert_ne!(question.link, old);
    desk.answer(&asked, &held.placed(desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Live);
    desk.answer(&question, &held.status("NEW", desk.unix_ms()));
    // A link that was kept is looked at again after another overlap.
    desk.advance(2_000);
    assert_eq!(desk.closed, [(LinkRole::Orders, LinkDown::Requested)]);
    desk.expect_phase(TradingPhase::Ready);
    // Cancels of both go on the new link, by the venue's ids.
    desk.cancel(id);
    let asked = desk.take("order.cancel");
    assert_ne!(asked.link, old);
    assert_eq!(asked.params["orderId"], 41);
}

/// The same, with a link that never answers: it goes when the time for answers is over.
#[test]
fn a_link_that_owes_an_answer_for_too_long_retires_without_it() {
    let mut desk = Desk::ready(&Setup::default());
    let id = desk.place(Side::Buy, 9_900, WHOLE);
    desk.take("order.place");
    desk.tell(r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#);
    desk.advance(0);
    desk.introduce("[]");
    for _ in 0..100 {
        if !desk.closed.is_empty() {
            break;
        }
        desk.advance(100);
        while let Some(asked) = desk.asked.pop_front() {
            assert_eq!(asked.method, "order.status");
            desk.refuse(
                &asked,
                400,
                r#"{"code":-2013,"msg":"Order does not exist."}"#,
            );
        }
    }
    assert_eq!(desk.closed, [(LinkRole::Orders, LinkDown::Requested)]);
    assert!(matches!(
        desk.state(id),
        OrderState::Unresolved | OrderState::Done(DoneReason::Rejected)
    ));
}

#[test]
fn a_key_that_cannot_log_on_signs_its_subscription_and_every_request() {
    let mut desk = Desk::new(&Setup {
        hmac: true,
        ..Setup::default()
    });
    desk.begin();
    let is_signed = |asked: &crate::desk::Asked| {
        assert_eq!(asked.text("apiKey"), "key", "{}", asked.method);
        let signature = asked.text("signature");
        let is_hex = signature.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(signature.len() == 64 && is_hex, "{}", asked.method);
    };
    let asked = desk.take("userDataStream.subscribe.signature");
    desk.expect_quiet();
    is_signed(&asked);
    desk.answer(&asked, r#"{"subscriptionId":0}"#);
    desk.advance(1);
    is_signed(&desk.asked[0]);
    desk.reconcile("[]");
    desk.advance(1_500);
    desk.expect_phase(TradingPhase::Ready);
    let id = desk.place(Side::Buy, 9_900, WHOLE);
    let asked = desk.take("order.place");
    is_signed(&asked);
    let held = Held::of(&asked, 41);
    desk.answer(&asked, &held.placed(desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Live);
    desk.cancel(id);
    let asked = desk.take("order.cancel");
    is_signed(&asked);
}

/// Enough orders for both tables.
fn crowded() -> Setup {
    Setup {
        order_limit: 10_000,
        ..Setup::default()
    }
}

#[test]
fn the_table_of_orders_refuses_one_more_and_takes_it_when_one_is_over() {
    let mut desk = Desk::ready(&crowded());
    desk.advance(1_000);
    let mut resting = Vec::new();
    for _ in 0..ORDERS_OPEN_MAX {
        resting.push(desk.rest(Side::Buy, 9_900, WHOLE / 10));
    }
    let full = (CommandResult::Full, None, None);
    assert_eq!(
        desk.place_intent(limit(Side::Buy, 9_900, WHOLE / 10), None),
        full
    );
    desk.expect_quiet();
    let (_, mut held) = resting.swap_remove(7);
    desk.fill(&mut held, 1, WHOLE / 10);
    desk.place(Side::Buy, 9_900, WHOLE / 10);
}

#[test]
fn a_full_table_of_requests_refuses_orders_and_lets_questions_wait() {
    let mut desk = Desk::ready(&crowded());
    desk.advance(1_000);
    for _ in 0..ORDERS_OPEN_MAX {
        desk.place(Side::Buy, 9_900, WHOLE / 10);
    }
    // A placement, a cancel and a question of each, none of them answered, and slowly enough for the pace of messages.
    desk.advance(1_100);
    desk.command(|token| Command::CancelAll {
        token,
        instrument: None,
    });
    desk.advance(2_600);
    let asked = |desk: &Desk, method: &str| {
        let asked = desk.asked.iter();
        asked.filter(|asked| asked.method == method).count()
    };
    for method in ["order.place", "order.cancel", "order.status"] {
        assert_eq!(asked(&desk, method), ORDERS_OPEN_MAX, "{method}");
    }
    assert_eq!(desk.asked.len(), ORDER_REQUESTS_MAX);
    let one_more = |desk: &mut Desk| {
        let (result, reason, _) = desk.place_intent(limit(Side::Buy, 9_900, WHOLE / 10), None);
        (result, reason)
    };
    assert_eq!(
        one_more(&mut desk),
        (CommandResult::Rejected, Some(Rejection::LinkBackpressure))
    );
    // A question for everything that is open waits until one of them is answered.
    desk.command(|token| Command::DeadManFired { token });
    assert_eq!(asked(&desk, "openOrders.status"), 0);
    let question = desk.take("order.status");
    desk.refuse(
        &question,
        400,
        r#"{"code":-2013,"msg":"Order does not exist."}"#,
    );
    desk.advance(100);
    assert_eq!(asked(&desk, "openOrders.status"), 1);
}
