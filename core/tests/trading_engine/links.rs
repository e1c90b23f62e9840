//! Order links that go, come back, or are taken away by the venue, with orders on them.

use veloz_core::event::{LinkDown, LinkRole};
use veloz_core::order::{DoneReason, OrderState, Side};
use veloz_core::risk::Rejection;
use veloz_core::strategy::Stage;
use veloz_core::telemetry::records::{CommandResult, TradingPhase};

use crate::desk::{BTC, Desk, Held, Setup, WHOLE, limit};

const REVOKED: &str = r#"{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}"#;
const NO_KEY: &str = r#"{"code":-1102,"msg":"Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed."}"#;

fn buys(desk: &Desk) -> i128 {
    let oms = desk.engine.oms().expect("an account");
    oms.totals(BTC).buy_remaining_lots
}

#[test]
fn an_order_sent_on_a_lost_link_counts_until_the_next_link_tells() {
    for arrived in [true, false] {
        let mut desk = Desk::ready(&Setup::default());
        let id = desk.place(Side::Buy, 9_900, WHOLE);
        let held = Held::of(&desk.take("order.place"), 41);
        let lost = desk.link(LinkRole::Orders);
        desk.link_down(LinkDown::Closed);
        desk.advance(0);
        assert_eq!(desk.state(id), OrderState::Unresolved);
        assert_eq!(buys(&desk), i128::from(WHOLE));
        desk.expect_phase(TradingPhase::Starting);
        let (_, reason, _) = desk.place_intent(limit(Side::Buy, 9_900, WHOLE), None);
        assert_eq!(reason, Some(Rejection::NotReady));

        desk.advance_to_log_on();
        assert_ne!(desk.link(LinkRole::Orders), lost);
        if arrived {
            let rows = format!("[{}]", held.status("NEW", desk.unix_ms()));
            desk.introduce(&rows);
            desk.advance(1_000);
            assert_eq!(desk.state(id), OrderState::Live);
        } else {
            desk.introduce("[]");
            // Not to be found proves something only when it can arrive no more; until then nothing new is sent.
            for _ in 0..100 {
                if desk.state(id) != OrderState::Unresolved {
                    break;
                }
                desk.expect_phase(TradingPhase::Reconciling);
                assert_eq!(buys(&desk), i128::from(WHOLE));
                if !desk.asked.is_empty() {
                    let asked = desk.take("order.status");
                    desk.refuse(
                        &asked,
                        400,
                        r#"{"code":-2013,"msg":"Order does not exist."}"#,
                    );
                }
                desk.advance(250);
            }
            assert_eq!(desk.state(id), OrderState::Done(DoneReason::Rejected));
            let funnel = desk.engine.funnel().expect("an account");
            assert_eq!(funnel.stage(Stage::NeverArrived), 1);
        }
        desk.advance(10);
        desk.expect_phase(TradingPhase::Ready);
        desk.place(Side::Buy, 9_800, WHOLE);
    }
}

#[test]
fn what_happened_between_two_links_is_found_out() {
    let mut desk = Desk::ready(&Setup::default());
    let (filled, mut gone) = desk.rest(Side::Buy, 9_900, WHOLE);
    let (resting, held) = desk.rest(Side::Buy, 9_800, WHOLE);
    desk.advance(100);
    desk.link_down(LinkDown::Closed);
    desk.advance_to_log_on();
    let rows = format!("[{}]", held.status("NEW", desk.unix_ms()));
    desk.introduce(&rows);
    assert_eq!(desk.state(resting), OrderState::Live);
    assert_eq!(desk.state(filled), OrderState::Unresolved);
    desk.expect_phase(TradingPhase::Reconciling);
    gone.executed = WHOLE;
    let at = desk.unix_ms();
    let asked = desk.take("order.status");
    desk.answer(&asked, &gone.status("FILLED", at));
    desk.advance(300);
    let asked = desk.take("myTrades");
    let trade = format!(
        r#"[{{"symbol":"BTCUSDT","id":1,"orderId":{},"orderListId":-1,"price":"{}","qty":"1.00000000","quoteQty":"99","commission":"0.00000000","commissionAsset":"USDT","time":{at},"isBuyer":true,"isMaker":true,"isBestMatch":true}}]"#,
        gone.venue_id, gone.price
    );
    desk.answer(&asked, &trade);
    desk.advance(10);
    assert_eq!(desk.state(filled), OrderState::Done(DoneReason::Filled));
    assert_eq!(desk.position(BTC), WHOLE);
    desk.expect_phase(TradingPhase::Ready);
}

#[test]
fn a_revoked_session_is_logged_on_anew() {
    for error in [REVOKED, NO_KEY] {
        let mut desk = Desk::ready(&Setup::default());
        let (resting, held) = desk.rest(Side::Buy, 9_800, WHOLE);
        let open = desk.place(Side::Buy, 9_850, WHOLE);
        let unanswered = Held::of(&desk.take("order.place"), 51);
        let refused = desk.place(Side::Buy, 9_900, WHOLE);
        let asked = desk.take("order.place");
        let status = if error == REVOKED { 401 } else { 400 };
        let first = desk.link(LinkRole::Orders);
        desk.refuse(&asked, status, error);
        desk.advance(0);
        assert_eq!(desk.state(refused), OrderState::Done(DoneReason::Rejected));
        assert_eq!(desk.state(open), OrderState::Unresolved);
        assert_eq!(desk.state(resting), OrderState::Live);
        desk.advance_to_log_on();
        assert_ne!(desk.link(LinkRole::Orders), first);
        let at = desk.unix_ms();
        let rows = [&held, &unanswered].map(|held| held.status("NEW", at));
        desk.introduce(&format!("[{}]", rows.join(",")));
        desk.advance(10);
        desk.expect_phase(TradingPhase::Ready);
        assert_eq!(desk.state(open), OrderState::Live);
    }
}

#[test]
fn a_session_that_the_venue_ends_by_itself_is_replaced() {
    for text in [
        r#"{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}}"#,
        r#"{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1728973001334}}"#,
    ] {
        let mut desk = Desk::ready(&Setup::default());
        let first = desk.link(LinkRole::Orders);
        desk.tell(text);
        assert_eq!(desk.closed, [(LinkRole::Orders, LinkDown::Requested)]);
        desk.advance_to_log_on();
        assert_ne!(desk.link(LinkRole::Orders), first);
        desk.introduce("[]");
        desk.advance(10);
        desk.expect_phase(TradingPhase::Ready);
    }
}

#[test]
fn a_cancel_waits_for_the_next_link() {
    let mut desk = Desk::ready(&Setup::default());
    let (id, held) = desk.rest(Side::Buy, 9_900, WHOLE);
    desk.link_down(LinkDown::Closed);
    assert_eq!(desk.cancel(id).0, CommandResult::Done);
    desk.expect_quiet();
    desk.advance_to_log_on();
    let ask = desk.take("session.logon");
    desk.answer(&ask, &crate::desk::logged_on());
    let ask = desk.take("userDataStream.subscribe");
    desk.answer(&ask, r#"{"subscriptionId":0}"#);
    desk.advance(0);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Done(DoneReason::Cancelled));
}
