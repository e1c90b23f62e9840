//! From nothing to `Ready`, and what earlier runs left.

use veloz_core::event::LinkRole;
use veloz_core::order::{OrderId, OrderState, Side};
use veloz_core::risk::Rejection;
use veloz_core::strategy::Stage;
use veloz_core::telemetry::counters::Counter;
use veloz_core::telemetry::records::{CommandResult, RecordBody, TradingPhase, VenueRequest};
use veloz_core::venue::binance::order_error::ErrorKind;

use crate::desk::{Desk, Held, Setup, WHOLE, limit, logged_on};

const NOT_READY: (CommandResult, Option<Rejection>) =
    (CommandResult::Rejected, Some(Rejection::NotReady));

#[test]
fn each_step_follows_the_answer_to_the_one_before() {
    let mut desk = Desk::new(&Setup::default());
    let refused = |desk: &mut Desk| {
        let (result, reason, _) = desk.place_intent(limit(Side::Buy, 9_000, WHOLE), None);
        assert_eq!((result, reason), NOT_READY);
    };
    desk.begin();
    refused(&mut desk);
    desk.expect_phase(TradingPhase::Starting);

    let ask = desk.take("session.logon");
    desk.expect_quiet();
    assert_eq!(ask.text("apiKey"), "key");
    assert_ne!(ask.text("signature"), "");
    desk.answer(&ask, &logged_on());
    let ask = desk.take("userDataStream.subscribe");
    desk.expect_quiet();
    desk.expect_phase(TradingPhase::Starting);
    desk.answer(&ask, r#"{"subscriptionId":0}"#);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Reconciling);
    refused(&mut desk);

    let ask = desk.take("openOrders.status");
    desk.expect_quiet();
    desk.answer(&ask, "[]");
    desk.advance(1);
    let ask = desk.take("account.status");
    desk.expect_quiet();
    desk.expect_phase(TradingPhase::Reconciling);
    refused(&mut desk);
    let account = desk.account();
    desk.answer(&ask, &account);
    desk.advance(1);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let ask = desk.take("myTrades");
        desk.expect_quiet();
        assert_eq!(ask.text("symbol"), symbol);
        desk.expect_phase(TradingPhase::Reconciling);
        refused(&mut desk);
        desk.answer(&ask, "[]");
        desk.advance(1);
    }
    desk.expect_phase(TradingPhase::Ready);

    let phases = desk.records.iter().filter_map(|record| match record {
        RecordBody::TradingPhase { from, to, .. } => Some((from.label(), to.label())),
        _ => None,
    });
    assert_eq!(
        phases.collect::<Vec<_>>(),
        [("starting", "reconciling"), ("reconciling", "ready")]
    );
}

#[test]
fn orders_of_an_earlier_run_are_taken_over_and_others_are_left_alone() {
    let mut desk = Desk::new(&Setup::default());
    desk.begin();
    let mut ours = Held {
        symbol: "BTCUSDT".to_owned(),
        client_id: "vz-mm1_6_3k".to_owned(),
        venue_id: 41,
        side: "SELL".to_owned(),
        price: "120.00000000".to_owned(),
        qty: 2 * WHOLE,
        executed: 0,
    };
    let foreign = Held {
        client_id: "web_1".to_owned(),
        venue_id: 42,
        ..ours.clone()
    };
    let other_instance = Held {
        client_id: "vz-mm2_6_3k".to_owned(),
        venue_id: 43,
        ..ours.clone()
    };
    let at = desk.unix_ms() - 60_000;
    let rows = [&ours, &foreign, &other_instance].map(|held| held.status("NEW", at));
    desk.introduce(&format!("[{}]", rows.join(",")));
    desk.expect_phase(TradingPhase::Ready);

    let id = OrderId {
        run: 6,
        sequence: 3 * 36 + 20,
    };
    let oms = desk.engine.oms().expect("an account");
    assert_eq!(oms.open_count(), 1);
    assert_eq!(desk.state(id), OrderState::Live);
    let funnel = desk.engine.funnel().expect("an account");
    assert_eq!(funnel.stage(Stage::Adopted), 1);
    assert_eq!(desk.reader.counters.plain(Counter::ForeignReports), 2);

    // It fills like any other, once.
    desk.fill(&mut ours, 7, WHOLE);
    desk.report(&ours, "TRADE", "PARTIALLY_FILLED", Some((7, WHOLE)));
    assert_eq!(desk.state(id), OrderState::PartiallyFilled);
    assert_eq!(desk.position(crate::desk::BTC), -WHOLE);

    // And it can be cancelled, and nothing else of the account.
    let (result, _, order) = desk.command(|token| veloz_core::event::Command::CancelAll {
        token,
        instrument: None,
    });
    assert_eq!((result, order), (CommandResult::Done, None));
    let ask = desk.take("order.cancel");
    desk.expect_quiet();
    assert_eq!(ask.params["orderId"], 41);
    desk.answer(&ask, &ours.cancelled(desk.unix_ms()));
    assert_eq!(desk.states(id).last(), Some(&"cancelled"));
}

#[test]
fn a_link_that_is_not_let_in_is_replaced() {
    for (step, status, error, told) in [
        (
            "session.logon",
            401,
            r#"{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}"#,
            (VenueRequest::LogOn, ErrorKind::SessionRevoked),
        ),
        (
            "userDataStream.subscribe",
            400,
            r#"{"code":-1000,"msg":"An unknown error occurred while processing the request."}"#,
            (VenueRequest::UserData, ErrorKind::Unknown),
        ),
    ] {
        let mut desk = Desk::new(&Setup::default());
        desk.begin();
        let first = desk.link(LinkRole::Orders);
        let mut ask = desk.take("session.logon");
        if step != "session.logon" {
            desk.answer(&ask, &logged_on());
            ask = desk.take(step);
        }
        desk.refuse(&ask, status, error);
        desk.advance_to_log_on();
        assert_ne!(desk.link(LinkRole::Orders), first, "{step}");
        assert!(desk.recorded(
            |record| matches!(record, RecordBody::RequestRefused { request, kind: Some(kind), .. }
                if (*request, *kind) == told)
        ));
        desk.introduce("[]");
        desk.expect_phase(TradingPhase::Ready);
    }
}

#[test]
fn an_account_that_may_not_trade_halts() {
    let mut desk = Desk::new(&Setup::default());
    desk.begin();
    let ask = desk.take("session.logon");
    desk.answer(&ask, &logged_on());
    let ask = desk.take("userDataStream.subscribe");
    desk.answer(&ask, r#"{"subscriptionId":0}"#);
    desk.advance(1);
    let ask = desk.take("openOrders.status");
    desk.answer(&ask, "[]");
    desk.advance(1);
    let ask = desk.take("account.status");
    let account = desk
        .account()
        .replace("\"canTrade\":true", "\"canTrade\":false");
    desk.answer(&ask, &account);
    desk.advance(1);
    let (result, reason, _) = desk.place_intent(limit(Side::Buy, 9_000, WHOLE), None);
    assert_eq!((result, reason), NOT_READY);
    assert!(desk.recorded(|record| matches!(record, RecordBody::TradingState { .. })));
}

#[test]
fn orders_that_an_earlier_run_sent_count() {
    let mut desk = Desk::new(&Setup::default());
    desk.orders_counted = 100;
    desk.begin();
    desk.introduce("[]");
    desk.advance(100);
    desk.expect_phase(TradingPhase::Ready);
    assert_eq!(desk.counts_asked, 1);
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, 9_000, WHOLE), None);
    assert_eq!(reason, Some(Rejection::VenueRateBudget));
    // Once in a run: the counts of every answer follow.
    desk.link_down(veloz_core::event::LinkDown::Closed);
    desk.advance_to_log_on();
    desk.introduce("[]");
    desk.advance(100);
    assert_eq!(desk.counts_asked, 1);
}

#[test]
fn what_is_locked_outside_cannot_be_used() {
    let mut desk = Desk::ready(&Setup::default());
    let at = desk.unix_ms() + 1;
    let lock = |delta: &str, at: u64| {
        format!(
            r#"{{"subscriptionId":0,"event":{{"e":"externalLockUpdate","E":{at},"a":"USDT","d":"{delta}","T":{at}}}}}"#
        )
    };
    let assets = desk.engine.assets().expect("an account");
    let usdt = assets.find(b"USDT").expect("a quote");
    let portfolio = desk.engine.portfolio().expect("an account");
    let before = portfolio.free(usdt);
    desk.tell(&lock("99950.00000000", at));
    let portfolio = desk.engine.portfolio().expect("an account");
    assert_eq!(before.0 - portfolio.free(usdt).0, 99_950 * 100_000_000);
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, 9_000, WHOLE), None);
    assert_eq!(reason, Some(Rejection::InsufficientBalance));
    desk.tell(&lock("-99950.00000000", at + 1));
    desk.place(Side::Buy, 9_000, WHOLE);
    // What the venue's amounts contain already changes nothing.
    desk.tell(&lock("99950.00000000", at - 10_000));
    desk.place(Side::Buy, 9_000, WHOLE);
}
