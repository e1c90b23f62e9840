//! From a book frame to an order sent, acknowledged, filled and ended, replaced, made smaller and cancelled, the whole
//! engine allocates nothing after it is warm. The allocator counts what this thread asks for inside `handle`.

use veloz_core::order::{DoneReason, OrderId, OrderState};
use veloz_core::strategy::Action;
use veloz_core::units::{Lots, Ticks};

use crate::desk::{Desk, Held, Setup, WHOLE};
use crate::heap;
use crate::strategies::{quote, want};

/// Everything that one round makes of orders; their numbers begin after `before`.
fn round(desk: &mut Desk, before: u32, trade_id: u64) -> u32 {
    let id = |number: u32| OrderId {
        run: 7,
        sequence: before + number,
    };
    // Filled in two parts.
    want(desk, quote(9_900, 2 * WHOLE));
    let mut held = desk.accept();
    desk.fill(&mut held, trade_id, WHOLE);
    desk.fill(&mut held, trade_id + 1, WHOLE);
    assert_eq!(desk.state(id(1)), OrderState::Done(DoneReason::Filled));

    // Replaced, made smaller, cancelled.
    want(desk, quote(9_900, 2 * WHOLE));
    let old = desk.accept();
    let replace = Action::Replace {
        order: id(2),
        price: Ticks(9_890),
        qty: Lots(2 * WHOLE),
    };
    want(desk, replace);
    let asked = desk.take("order.cancelReplace");
    let venue_id = desk.venue_id();
    let mut new = Held::of(&asked, venue_id);
    let result = format!(
        r#"{{"cancelResult":"SUCCESS","newOrderResult":"SUCCESS","cancelResponse":{},"newOrderResponse":{}}}"#,
        old.cancelled(desk.unix_ms()),
        new.placed(desk.unix_ms())
    );
    desk.answer(&asked, &result);
    assert_eq!(desk.state(id(3)), OrderState::Live);
    let amend = Action::Amend {
        order: id(3),
        qty: Lots(WHOLE),
    };
    want(desk, amend);
    let asked = desk.take("order.amend.keepPriority");
    new.qty = WHOLE;
    desk.answer(&asked, &new.amended("NEW", desk.unix_ms()));
    want(desk, Action::Cancel(id(3)));
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &new.cancelled(desk.unix_ms()));
    desk.report(&new, "CANCELED", "CANCELED", None);
    assert_eq!(desk.state(id(3)), OrderState::Done(DoneReason::Cancelled));

    // Unknown for a while, then refused by risk, then time passes.
    want(desk, quote(9_900, WHOLE));
    desk.take("order.place");
    desk.advance(2_100);
    let asked = desk.take("order.status");
    desk.refuse(
        &asked,
        400,
        r#"{"code":-2013,"msg":"Order does not exist."}"#,
    );
    for _ in 0..100 {
        if desk.state(id(4)) == OrderState::Done(DoneReason::Rejected) {
            break;
        }
        desk.advance(250);
        if !desk.asked.is_empty() {
            let asked = desk.take("order.status");
            desk.refuse(
                &asked,
                400,
                r#"{"code":-2013,"msg":"Order does not exist."}"#,
            );
        }
    }
    assert_eq!(desk.state(id(4)), OrderState::Done(DoneReason::Rejected));
    want(desk, quote(9_900, 0));
    desk.expect_quiet();
    before + 4
}

#[test]
fn an_orders_whole_life_allocates_nothing() {
    let mut desk = Desk::ready(&Setup {
        measure: heap::count,
        ..Setup::default()
    });
    let mut number = round(&mut desk, 0, 1);
    heap::take();
    for turn in 1..5 {
        number = round(&mut desk, number, 10 * turn);
    }
    assert_eq!(heap::take(), 0);
    assert_eq!(number, 20);
}
