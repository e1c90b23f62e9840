//! What should not come, from an operator or from the venue: each with its typed answer, and no order or fill lost.

use veloz_core::oms::OmsFault;
use veloz_core::order::{DoneReason, OrderState, Side};
use veloz_core::risk::{GlobalLimits, Rejection, TradingState};
use veloz_core::telemetry::counters::Counter;
use veloz_core::telemetry::records::{CommandResult, HaltCause, RecordBody};
use veloz_core::units::{Lots, Nanos};
use veloz_core::venue::binance::fault::VenueFault;

use crate::desk::{BTC, Desk, Held, Setup, WHOLE, limit};

#[test]
fn prices_and_quantities_that_no_venue_takes_are_refused() {
    let quantity = Some(Rejection::BadQuantity);
    let price = Some(Rejection::BadPrice);
    let cases = [
        ("zero quantity", 9_900, 0, quantity),
        ("negative quantity", 9_900, -WHOLE, quantity),
        ("smallest number", 9_900, i64::MIN, quantity),
        ("off the step", 9_900, WHOLE + 1, quantity),
        ("below the smallest", 9_900, 50, quantity),
        ("above the largest", 9_900, 10_001 * WHOLE, quantity),
        ("largest number", 9_900, i64::MAX, quantity),
        ("zero price", 0, WHOLE, price),
        ("negative price", -9_900, WHOLE, price),
        ("smallest price number", i64::MIN, WHOLE, price),
        ("below the lowest price", 99, WHOLE, price),
        ("above the highest price", 10_000_001, WHOLE, price),
        ("largest price number", i64::MAX, WHOLE, price),
        (
            "worth too little",
            9_900,
            1_000,
            Some(Rejection::MinNotional),
        ),
        ("legal", 9_900, WHOLE, None),
    ];
    let mut setup = Setup::default();
    setup.rules.qty_step = Lots(50);
    let mut desk = Desk::ready(&setup);
    for (name, price, qty, expected) in cases {
        let (_, reason, _) = desk.place_intent(limit(Side::Buy, price, qty), None);
        assert_eq!(reason, expected, "{name}");
    }
    // Only the legal one left.
    desk.take("order.place");
    desk.expect_quiet();
}

#[test]
fn a_clients_id_is_taken_once_also_after_its_order_is_over() {
    let mut desk = Desk::ready(&Setup::default());
    let intent = limit(Side::Buy, 9_900, WHOLE);
    let (_, _, id) = desk.place_intent(intent, Some("web-1"));
    let id = id.expect("admitted");
    let mut held = desk.accept();
    let duplicate = (
        CommandResult::Rejected,
        Some(Rejection::DuplicateClientOrderId),
        None,
    );
    assert_eq!(desk.place_intent(intent, Some("web-1")), duplicate);
    desk.fill(&mut held, 1, WHOLE);
    assert_eq!(desk.state(id), OrderState::Done(DoneReason::Filled));
    assert_eq!(desk.place_intent(intent, Some("web-1")), duplicate);
    assert_eq!(desk.place_intent(intent, Some("web-2")).1, None);
}

#[test]
fn a_fill_of_an_order_that_we_do_not_know_is_booked_and_halts() {
    let mut desk = Desk::ready(&Setup::default());
    let (known, resting) = desk.rest(Side::Buy, 9_900, WHOLE);
    let mut stranger = Held {
        client_id: "vz-mm1_3_9".to_owned(),
        venue_id: 77,
        ..resting.clone()
    };
    stranger.executed = WHOLE;
    desk.report(&stranger, "TRADE", "FILLED", Some((5, WHOLE)));
    assert_eq!(desk.position(BTC), WHOLE);
    assert_eq!(desk.fills().len(), 1);
    assert!(desk.recorded(|record| matches!(
        record,
        RecordBody::OrderFault {
            fault: OmsFault::UnknownOrder,
            ..
        }
    )));
    assert!(desk.recorded(|record| matches!(
        record,
        RecordBody::KillSwitch {
            latched: true,
            cause: HaltCause::UnknownOrder
        }
    )));
    // The others are taken back.
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &resting.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(known), OrderState::Done(DoneReason::Cancelled));
}

#[test]
fn an_overfill_is_booked_and_halts() {
    let mut desk = Desk::ready(&Setup::default());
    let (id, mut held) = desk.rest(Side::Buy, 9_900, WHOLE);
    desk.fill(&mut held, 1, WHOLE);
    held.executed = 2 * WHOLE;
    desk.report(&held, "TRADE", "FILLED", Some((2, WHOLE)));
    assert_eq!(desk.fills().len(), 2);
    assert_eq!(desk.position(BTC), 2 * WHOLE);
    assert_eq!(desk.state(id), OrderState::Done(DoneReason::Filled));
    assert_eq!(desk.reader.counters.order_fault(OmsFault::Overfill), 1);
    let risk = desk.engine.risk().expect("an account");
    assert!(risk.is_killed());
}

#[test]
fn a_report_that_goes_back_in_time_changes_nothing_but_brings_its_fill() {
    let mut desk = Desk::ready(&Setup::default());
    let (id, mut held) = desk.rest(Side::Buy, 9_900, 3 * WHOLE);
    desk.advance(100);
    held.executed = 2 * WHOLE;
    desk.report(&held, "TRADE", "PARTIALLY_FILLED", Some((2, WHOLE)));
    let mut earlier = held.clone();
    earlier.executed = WHOLE;
    let at = desk.unix_ms() - 50;
    let text = earlier.report("TRADE", "PARTIALLY_FILLED", Some((1, WHOLE)), 5, at);
    desk.tell(&text);
    earlier.executed = 0;
    let text = earlier.report("NEW", "NEW", None, 4, at - 40);
    desk.tell(&text);
    assert_eq!(desk.state(id), OrderState::PartiallyFilled);
    assert_eq!(desk.fills(), [(id, 2, WHOLE), (id, 1, WHOLE)]);
    assert_eq!(desk.position(BTC), 2 * WHOLE);
    let risk = desk.engine.risk().expect("an account");
    assert_eq!(risk.state(), TradingState::Active);
    desk.advance(1_000);
    desk.expect_quiet();
}

#[test]
fn reports_of_others_and_of_unknown_symbols_touch_nothing() {
    let mut desk = Desk::ready(&Setup::default());
    let (id, held) = desk.rest(Side::Buy, 9_900, WHOLE);
    let mut foreign = held.clone();
    foreign.executed = WHOLE;
    foreign.client_id = "web_1".to_owned();
    desk.report(&foreign, "TRADE", "FILLED", Some((1, WHOLE)));
    let mut elsewhere = foreign.clone();
    elsewhere.symbol = "DOGEUSDT".to_owned();
    desk.report(&elsewhere, "TRADE", "FILLED", Some((2, WHOLE)));
    assert_eq!(desk.state(id), OrderState::Live);
    assert_eq!(desk.fills(), []);
    let counters = &desk.reader.counters;
    assert_eq!(counters.plain(Counter::ForeignReports), 1);
    assert!(counters.plain(Counter::Ignored) >= 1);
}

#[test]
fn a_report_that_cannot_be_read_is_a_fault_and_the_venue_is_asked() {
    let mut desk = Desk::ready(&Setup::default());
    let (id, mut held) = desk.rest(Side::Buy, 9_900, WHOLE);
    desk.advance(100);
    held.executed = WHOLE;
    let at = desk.unix_ms();
    let text = held.report("TRADE", "FILLED", Some((1, WHOLE)), 5, at);
    desk.tell(&text.replace("\"z\":", "\"zz\":"));
    let kind = VenueFault::MissingField as u8;
    assert_eq!(desk.reader.counters.faults(kind), 1);
    desk.advance(1);
    // It is not open any more, so its end is asked for, and then its trades.
    let list = desk.take("openOrders.status");
    desk.answer(&list, "[]");
    desk.advance(1);
    let asked = desk.take("order.status");
    desk.answer(&asked, &held.status("FILLED", desk.unix_ms()));
    desk.advance(300);
    let asked = desk.take("myTrades");
    let trade = format!(
        r#"[{{"symbol":"BTCUSDT","id":1,"orderId":{},"orderListId":-1,"price":"{}","qty":"1.00000000","quoteQty":"99","commission":"0.00000000","commissionAsset":"USDT","time":{at},"isBuyer":true,"isMaker":true,"isBestMatch":true}}]"#,
        held.venue_id, held.price
    );
    desk.answer(&asked, &trade);
    assert_eq!(desk.state(id), OrderState::Done(DoneReason::Filled));
    assert_eq!(desk.position(BTC), WHOLE);
}

#[test]
fn a_clock_ten_seconds_off_refuses_new_orders_and_lets_cancels_out() {
    let mut desk = Desk::ready(&Setup {
        global: GlobalLimits {
            clock_offset_max: Some(Nanos::from_secs(1)),
            ..GlobalLimits::default()
        },
        ..Setup::default()
    });
    let (id, held) = desk.rest(Side::Buy, 9_900, WHOLE);
    desk.clock_ahead_ms = 10_000;
    // As many answers as the estimate remembers.
    desk.advance(150_000);
    let (result, reason, _) = desk.place_intent(limit(Side::Buy, 9_900, WHOLE), None);
    assert_eq!(
        (result, reason),
        (CommandResult::Rejected, Some(Rejection::ClockUntrusted))
    );
    assert_eq!(desk.state(id), OrderState::Live);
    assert_eq!(desk.cancel(id).0, CommandResult::Done);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Done(DoneReason::Cancelled));
}

/// The machine sleeps for four seconds, and its wall clock is set back by as much less 400 ms: against what the venue's clock
/// was measured to be before, it is 400 ms wrong.
#[test]
fn a_wall_clock_that_jumped_is_trusted_when_the_venue_was_asked_again() {
    let mut desk = Desk::ready(&Setup {
        global: GlobalLimits {
            clock_offset_max: Some(Nanos::from_secs(1)),
            ..GlobalLimits::default()
        },
        ..Setup::default()
    });
    let place = |desk: &mut Desk| {
        let (result, reason, _) = desk.place_intent(limit(Side::Buy, 9_900, WHOLE), None);
        (result, reason)
    };
    let untrusted = (CommandResult::Rejected, Some(Rejection::ClockUntrusted));
    desk.clock_ahead_ms = 4_000;
    desk.wall_clock(400);
    assert_eq!(place(&mut desk), untrusted, "nobody knows");
    desk.advance(100);
    assert_eq!(place(&mut desk), untrusted, "it is 3.6 s wrong");
    desk.wall_clock(4_000);
    assert_eq!(place(&mut desk), untrusted, "nobody knows");
    desk.advance(100);
    assert_eq!(place(&mut desk), (CommandResult::Done, None));
    // Slewed, not set.
    desk.wall_clock(4_009);
    assert_eq!(place(&mut desk), (CommandResult::Done, None));
}
