//! Orders placed, cancelled, replaced and made smaller by commands, and every way in which the venue answers.

use veloz_core::book::Side as BookSide;
use veloz_core::event::{Command, OrderRef};
use veloz_core::instrument::InstrumentIndex;
use veloz_core::limits::SHOWN_LEVELS_MAX;
use veloz_core::order::{ClientId, DoneReason, OrderId, OrderState, Side};
use veloz_core::risk::{InstrumentLimits, Rejection, TradingState};
use veloz_core::strategy::Stage;
use veloz_core::telemetry::gauges::DepthGauges;
use veloz_core::telemetry::histograms::Stage as Latency;
use veloz_core::telemetry::records::{CommandResult, HaltCause, OrderRequest, RecordBody};
use veloz_core::units::{E8, E8_ONE, Level, Lots, Nanos, Ticks};
use veloz_core::venue::binance::fault::VenueFault;

use crate::desk::{BTC, Desk, Held, Setup, WHOLE, limit, lots, ticks};

const UNKNOWN_ORDER: &str = r#"{"code":-2011,"msg":"Unknown order sent."}"#;
const NO_SUCH_ORDER: &str = r#"{"code":-2013,"msg":"Order does not exist."}"#;
const CLOCK: &str =
    r#"{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}"#;
const AMEND: &str = "order.amend.keepPriority";
const REPLACE: &str = "order.cancelReplace";
const TIMEOUT: &str = r#"{"code":-1007,"msg":"Timeout waiting for response from backend server. Send status unknown; execution status unknown."}"#;

fn ready() -> Desk {
    Desk::ready(&Setup::default())
}

fn done(reason: DoneReason) -> OrderState {
    OrderState::Done(reason)
}

fn open_buys(desk: &Desk) -> i128 {
    desk.engine
        .oms()
        .expect("an account")
        .totals(BTC)
        .buy_remaining_lots
}

fn was_refused(desk: &Desk, id: OrderId, kind: OrderRequest, number: i32) -> bool {
    desk.recorded(|record| {
        matches!(record, RecordBody::VenueRefused { order, request, code, .. }
            if *order == id && *request == kind && *code == number)
    })
}

#[test]
fn an_order_s_latency_begins_when_the_kernel_has_it() {
    let mut desk = ready();
    let latencies = |desk: &mut Desk| {
        let reader = &mut desk.reader.histograms;
        reader.request();
        desk.engine.telemetry().histograms.swap();
        let mut told = None;
        reader.take(|set| {
            let latency = set.stage(Latency::OrderAck);
            told = Some((latency.count(), latency.sum_ns()));
        });
        told.expect("handed over")
    };
    latencies(&mut desk);
    desk.place(Side::Buy, 9_990, WHOLE);
    // The edge took three milliseconds for signing, writing and sending.
    let stamp = desk.now.plus(Nanos::from_ms(3));
    desk.engine.orders_in_kernel(desk.now, stamp);
    let asked = desk.take("order.place");
    let held = Held::of(&asked, 4_711);
    desk.advance(10);
    // Another event's stamp is not this order's.
    desk.engine.orders_in_kernel(desk.now, desk.now);
    desk.answer(&asked, &held.placed(desk.unix_ms()));
    assert_eq!(latencies(&mut desk), (1, Nanos::from_ms(7).0));

    // Nobody performed it: the event that caused it stands for that.
    desk.place(Side::Buy, 9_980, WHOLE);
    let asked = desk.take("order.place");
    let held = Held::of(&asked, 4_712);
    desk.advance(10);
    desk.answer(&asked, &held.placed(desk.unix_ms()));
    assert_eq!(latencies(&mut desk), (1, Nanos::from_ms(10).0));
}

#[test]
fn answers_and_reports_of_an_order_come_in_any_order_and_twice() {
    for script in [
        "ack new half rest",
        "new ack half rest",
        "half ack rest new",
        "half half ack rest rest half",
        "rest half ack",
        "new half rest ack ack",
    ] {
        let mut desk = ready();
        let id = desk.place(Side::Buy, 9_990, 2 * WHOLE);
        let asked = desk.take("order.place");
        assert_eq!(asked.text("price"), "99.90");
        assert_eq!(asked.text("newClientOrderId"), "vz-mm1_7_1");
        assert_eq!(desk.state(id), OrderState::Sent, "{script}");
        let mut held = Held::of(&asked, 41);
        assert_eq!((held.qty, held.side.as_str()), (2 * WHOLE, "BUY"));
        for step in script.split(' ') {
            let (executed, fill) = match step {
                "half" => (WHOLE, Some((1, WHOLE))),
                "rest" => (2 * WHOLE, Some((2, WHOLE))),
                _ => (0, None),
            };
            held.executed = executed;
            match step {
                "ack" => desk.answer(&asked, &held.placed(desk.unix_ms())),
                "new" => desk.report(&held, "NEW", "NEW", None),
                "half" => desk.report(&held, "TRADE", "PARTIALLY_FILLED", fill),
                _ => desk.report(&held, "TRADE", "FILLED", fill),
            }
        }
        assert_eq!(desk.state(id), done(DoneReason::Filled), "{script}");
        assert_eq!(desk.position(BTC), 2 * WHOLE, "{script}");
        let mut fills = desk.fills();
        fills.sort_unstable();
        assert_eq!(fills, [(id, 1, WHOLE), (id, 2, WHOLE)], "{script}");
        assert_eq!(
            desk.states(id).iter().filter(|it| **it == "filled").count(),
            1
        );
        desk.advance(1_000);
        desk.expect_quiet();
        let risk = desk.engine.risk().expect("an account");
        assert_eq!(risk.state(), TradingState::Active, "{script}");
    }
}

#[test]
fn a_cancel_is_answered_before_its_report_and_after_it() {
    for script in ["answer report", "report answer", "report report", "answer"] {
        let mut desk = ready();
        let (id, held) = desk.rest(Side::Buy, 9_990, WHOLE);
        let answer = desk.cancel(id);
        assert_eq!(answer, (CommandResult::Done, None, Some(id)));
        assert_eq!(desk.state(id), OrderState::CancelSent);
        assert_eq!(desk.cancel(id).0, CommandResult::NotOpen);
        let asked = desk.take("order.cancel");
        assert_eq!(asked.params["orderId"], held.venue_id);
        for step in script.split(' ') {
            match step {
                "answer" => desk.answer(&asked, &held.cancelled(desk.unix_ms())),
                _ => desk.report(&held, "CANCELED", "CANCELED", None),
            }
        }
        assert_eq!(desk.state(id), done(DoneReason::Cancelled), "{script}");
        assert_eq!(desk.states(id).last(), Some(&"cancelled"));
        assert_eq!(desk.cancel(id).0, CommandResult::NotOpen);
        desk.advance(3_000);
        desk.expect_quiet();
        assert_eq!(open_buys(&desk), 0);
    }
}

#[test]
fn a_cancel_that_found_nothing_waits_for_the_fill_and_then_asks() {
    // The fill is under way.
    let mut desk = ready();
    let (id, mut held) = desk.rest(Side::Buy, 9_990, WHOLE);
    assert_eq!(desk.cancel(id).0, CommandResult::Done);
    let asked = desk.take("order.cancel");
    desk.refuse(&asked, 400, UNKNOWN_ORDER);
    assert_eq!(desk.state(id), OrderState::Unresolved);
    assert_eq!(open_buys(&desk), i128::from(WHOLE));
    desk.fill(&mut held, 5, WHOLE);
    assert_eq!(desk.state(id), done(DoneReason::Filled));
    desk.advance(2_000);
    desk.expect_quiet();
    assert_eq!(desk.position(BTC), WHOLE);

    // Nothing comes: the venue is asked.
    let mut desk = ready();
    let (id, held) = desk.rest(Side::Buy, 9_990, WHOLE);
    assert_eq!(desk.cancel(id).0, CommandResult::Done);
    let asked = desk.take("order.cancel");
    desk.refuse(&asked, 400, UNKNOWN_ORDER);
    desk.advance(200);
    desk.expect_quiet();
    desk.advance(100);
    let asked = desk.take("order.status");
    desk.answer(&asked, &held.status("CANCELED", desk.unix_ms()));
    assert_eq!(desk.state(id), done(DoneReason::Cancelled));
    assert!(was_refused(&desk, id, OrderRequest::Cancel, -2011));
}

#[test]
fn a_lost_answer_leaves_the_order_unresolved_until_the_venue_says() {
    // It is there.
    let mut desk = ready();
    let id = desk.place(Side::Buy, 9_990, WHOLE);
    let held = Held::of(&desk.take("order.place"), 41);
    desk.advance(1_900);
    desk.expect_quiet();
    desk.advance(200);
    assert_eq!(desk.state(id), OrderState::Unresolved);
    assert_eq!(open_buys(&desk), i128::from(WHOLE));
    let asked = desk.take("order.status");
    assert_eq!(asked.text("origClientOrderId"), held.client_id);
    desk.answer(&asked, &held.status("NEW", desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Live);
    let funnel = desk.engine.funnel().expect("an account");
    assert_eq!(
        (funnel.stage(Stage::Unknown), funnel.stage(Stage::Found)),
        (1, 1)
    );

    // It never arrived, which is known only when it cannot arrive any more.
    let mut desk = ready();
    let id = desk.place(Side::Buy, 9_990, WHOLE);
    let late = desk.take("order.place");
    let sent = desk.now;
    desk.advance(2_100);
    while desk.state(id) == OrderState::Unresolved {
        assert_eq!(open_buys(&desk), i128::from(WHOLE));
        if !desk.asked.is_empty() {
            let asked = desk.take("order.status");
            desk.refuse(&asked, 400, NO_SUCH_ORDER);
        }
        assert!(desk.now.since(sent).as_ms() < 60_000, "never resolved");
        desk.advance(250);
    }
    assert!(desk.now.since(sent).as_ms() >= 6_000);
    assert_eq!(desk.state(id), done(DoneReason::Rejected));
    assert_eq!(open_buys(&desk), 0);
    let funnel = desk.engine.funnel().expect("an account");
    assert_eq!(funnel.stage(Stage::NeverArrived), 1);
    // What the venue still says to a request that was given up is nothing.
    desk.refuse(
        &late,
        400,
        r#"{"code":-2010,"msg":"Order would immediately match and take."}"#,
    );
    assert_eq!(desk.state(id), done(DoneReason::Rejected));
}

#[test]
fn an_unknown_outcome_is_asked_for_with_its_trades() {
    let mut desk = ready();
    let id = desk.place(Side::Buy, 9_990, WHOLE);
    let asked = desk.take("order.place");
    let mut held = Held::of(&asked, 41);
    desk.refuse(&asked, 504, TIMEOUT);
    assert_eq!(desk.state(id), OrderState::Unresolved);
    desk.advance(0);
    held.executed = WHOLE;
    let asked = desk.take("order.status");
    desk.answer(&asked, &held.status("FILLED", desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Unresolved);
    assert_eq!(desk.position(BTC), 0);
    desk.advance(300);
    let asked = desk.take("myTrades");
    assert_eq!(asked.params["orderId"], 41);
    let trade = format!(
        r#"[{{"symbol":"BTCUSDT","id":9,"orderId":41,"orderListId":-1,"price":"{}","qty":"{}","quoteQty":"99.9","commission":"0.00000000","commissionAsset":"USDT","time":{},"isBuyer":true,"isMaker":true,"isBestMatch":true}}]"#,
        ticks(9_990),
        lots(WHOLE),
        desk.unix_ms()
    );
    desk.answer(&asked, &trade);
    assert_eq!(desk.state(id), done(DoneReason::Filled));
    assert_eq!(desk.fills(), [(id, 9, WHOLE)]);
    assert_eq!(desk.position(BTC), WHOLE);
}

#[test]
fn a_refused_clock_is_measured_and_the_order_sent_once_more() {
    for accepted in [true, false] {
        let mut desk = ready();
        let id = desk.place(Side::Buy, 9_990, WHOLE);
        let first = desk.take("order.place");
        let times = desk.times_asked;
        desk.refuse(&first, 400, CLOCK);
        assert_eq!(desk.state(id), OrderState::Sent);
        desk.advance(1);
        assert_eq!(desk.times_asked, times + 1);
        let again = desk.take("order.place");
        assert_ne!(again.id, first.id);
        assert_eq!(
            again.text("newClientOrderId"),
            first.text("newClientOrderId")
        );
        if accepted {
            let held = Held::of(&again, 41);
            desk.answer(&again, &held.placed(desk.unix_ms()));
            assert_eq!(desk.state(id), OrderState::Live);
        } else {
            desk.refuse(&again, 400, CLOCK);
            desk.advance(1);
            assert_eq!(desk.state(id), done(DoneReason::Rejected));
        }
        desk.expect_quiet();
    }
}

#[test]
fn a_clock_that_stepped_is_measured_anew_before_the_order_goes_again() {
    let mut desk = ready();
    // Several answers on the old clock are remembered.
    desk.advance(60_000);
    desk.clock_ahead_ms = 7_000;
    let id = desk.place(Side::Buy, 9_990, WHOLE);
    let first = desk.take("order.place");
    assert_eq!(first.params["timestamp"], desk.unix_ms() - 7_000);
    desk.refuse(&first, 400, CLOCK);
    desk.advance(1);
    let again = desk.take("order.place");
    let at = again.params["timestamp"].as_u64().expect("a number");
    assert!(at.abs_diff(desk.unix_ms()) <= 2, "{at}");
    let held = Held::of(&again, 41);
    desk.answer(&again, &held.placed(desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Live);
}

#[test]
fn an_order_that_waits_for_the_clock_is_not_sent_when_it_may_not_be_any_more() {
    type Change = fn(&mut Desk, OrderId);
    let changes: [Change; 5] = [
        |desk, _| {
            desk.command(|token| Command::TripKillSwitch { token });
        },
        |desk, _| {
            let state = TradingState::Halted;
            desk.command(|token| Command::SetTradingState { token, state });
        },
        |desk, _| {
            let state = TradingState::ReduceOnly;
            desk.command(|token| Command::SetTradingState { token, state });
        },
        |desk, _| desk.handle(veloz_core::event::Event::Command(Command::Stop)),
        |desk, id| assert_eq!(desk.cancel(id).0, CommandResult::Done),
    ];
    for change in changes {
        let mut desk = ready();
        let id = desk.place(Side::Buy, 9_990, WHOLE);
        let first = desk.take("order.place");
        desk.refuse(&first, 400, CLOCK);
        assert_eq!(desk.state(id), OrderState::Sent);
        change(&mut desk, id);
        desk.advance(1);
        assert_eq!(desk.state(id), done(DoneReason::Rejected));
        desk.expect_quiet();
    }
}

#[test]
fn an_order_that_waits_for_the_clock_when_its_link_goes_was_refused() {
    let mut desk = ready();
    let id = desk.place(Side::Buy, 9_990, WHOLE);
    let asked = desk.take("order.place");
    desk.refuse(&asked, 400, CLOCK);
    desk.link_down(veloz_core::event::LinkDown::Closed);
    desk.advance(1);
    assert_eq!(desk.state(id), done(DoneReason::Rejected));
    assert!(!desk.engine.risk().expect("an account").is_killed());
}

#[test]
fn a_refused_clock_is_measured_and_the_amend_sent_once_more() {
    for accepted in [true, false] {
        let mut desk = ready();
        let (id, mut held) = desk.rest(Side::Buy, 9_990, 3 * WHOLE);
        assert_eq!(amend(&mut desk, id, WHOLE), CommandResult::Done);
        let first = desk.take(AMEND);
        let times = desk.times_asked;
        desk.refuse(&first, 400, CLOCK);
        assert_eq!(desk.state(id), OrderState::ReplaceSent);
        assert_eq!(amend(&mut desk, id, WHOLE), CommandResult::NotOpen);
        desk.advance(1);
        assert_eq!(desk.times_asked, times + 1);
        let again = desk.take(AMEND);
        assert_ne!(again.id, first.id);
        assert_eq!(again.text("newQty"), first.text("newQty"));
        if accepted {
            held.qty = WHOLE;
            desk.answer(&again, &held.amended("NEW", desk.unix_ms()));
        } else {
            desk.refuse(&again, 400, CLOCK);
            desk.advance(1);
        }
        assert_eq!(
            was_refused(&desk, id, OrderRequest::Amend, -1021),
            !accepted
        );
        assert_eq!(desk.state(id), OrderState::Live);
        let left = if accepted { WHOLE } else { 3 * WHOLE };
        assert_eq!(open_buys(&desk), i128::from(left));
        desk.expect_quiet();
    }
}

#[test]
fn a_refused_clock_is_measured_and_the_replacement_sent_once_more() {
    for accepted in [true, false] {
        // Both at once would be more than the limit allows: the old order does not count beside the new one.
        let mut desk = Desk::ready(&Setup {
            limits: InstrumentLimits {
                position_max: Some(E8(2 * E8_ONE)),
                ..InstrumentLimits::default()
            },
            ..Setup::default()
        });
        let (old, held) = desk.rest(Side::Buy, 9_990, WHOLE);
        let (result, _, new) = replace(&mut desk, old);
        assert_eq!(result, CommandResult::Done);
        let new = new.expect("admitted");
        let first = desk.take(REPLACE);
        let times = desk.times_asked;
        desk.refuse(&first, 400, CLOCK);
        assert_eq!(desk.state(old), OrderState::ReplaceSent);
        assert_eq!(desk.state(new), OrderState::Sent);
        desk.advance(1);
        assert_eq!(desk.times_asked, times + 1);
        let again = desk.take(REPLACE);
        assert_ne!(again.id, first.id);
        for name in ["newClientOrderId", "price", "quantity"] {
            assert_eq!(again.text(name), first.text(name));
        }
        if accepted {
            let next = Held::of(&again, 77);
            let result = format!(
                r#"{{"cancelResult":"SUCCESS","newOrderResult":"SUCCESS","cancelResponse":{},"newOrderResponse":{}}}"#,
                held.cancelled(desk.unix_ms()),
                next.placed(desk.unix_ms())
            );
            desk.answer(&again, &result);
            assert_eq!(desk.state(old), done(DoneReason::Cancelled));
            assert_eq!(desk.state(new), OrderState::Live);
        } else {
            desk.refuse(&again, 400, CLOCK);
            desk.advance(1);
            assert_eq!(desk.state(old), OrderState::Live);
            assert_eq!(desk.state(new), done(DoneReason::Rejected));
            assert!(was_refused(&desk, new, OrderRequest::Replace, -1021));
        }
        desk.expect_quiet();
    }
}

/// Answers the cancel of an order, the only request that may be under way.
fn goes(desk: &mut Desk, id: OrderId, held: &Held) {
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(id), done(DoneReason::Cancelled));
}

#[test]
fn an_amend_that_waits_for_the_clock_is_not_sent_when_the_order_changed_or_is_to_go() {
    type Change = fn(&mut Desk, OrderId, &mut Held);
    let changes: [(Change, bool); 5] = [
        (
            |desk, _, _| {
                desk.command(|token| Command::TripKillSwitch { token });
            },
            true,
        ),
        (
            |desk, _, _| desk.handle(veloz_core::event::Event::Command(Command::Stop)),
            true,
        ),
        (
            |desk, id, _| assert_eq!(desk.cancel(id).0, CommandResult::Done),
            true,
        ),
        // As much traded as was to be left, and all of it.
        (|desk, _, held| desk.fill(held, 1, WHOLE), false),
        (|desk, _, held| desk.fill(held, 1, 3 * WHOLE), false),
    ];
    for (change, is_to_go) in changes {
        let mut desk = ready();
        let (id, mut held) = desk.rest(Side::Buy, 9_990, 3 * WHOLE);
        amend(&mut desk, id, WHOLE);
        let first = desk.take(AMEND);
        desk.refuse(&first, 400, CLOCK);
        change(&mut desk, id, &mut held);
        desk.advance(1);
        if is_to_go {
            goes(&mut desk, id, &held);
        }
        assert_ne!(desk.state(id), OrderState::ReplaceSent);
        desk.expect_quiet();
    }
}

#[test]
fn a_replacement_that_waits_for_the_clock_is_not_sent_when_it_may_not_be_any_more() {
    type Change = fn(&mut Desk, [OrderId; 2], &mut Held);
    let changes: [(Change, bool); 8] = [
        (
            |desk, _, _| {
                desk.command(|token| Command::TripKillSwitch { token });
            },
            true,
        ),
        (
            |desk, _, _| desk.handle(veloz_core::event::Event::Command(Command::Stop)),
            true,
        ),
        (
            |desk, [old, _], _| assert_eq!(desk.cancel(old).0, CommandResult::Done),
            true,
        ),
        (
            |desk, [_, new], _| assert_eq!(desk.cancel(new).0, CommandResult::Done),
            false,
        ),
        (
            |desk, _, _| {
                let state = TradingState::Halted;
                desk.command(|token| Command::SetTradingState { token, state });
            },
            false,
        ),
        (
            |desk, _, _| {
                let state = TradingState::ReduceOnly;
                desk.command(|token| Command::SetTradingState { token, state });
            },
            false,
        ),
        (|desk, _, held| desk.fill(held, 1, WHOLE / 2), false),
        (|desk, _, held| desk.fill(held, 1, WHOLE), false),
    ];
    for (change, is_to_go) in changes {
        let mut desk = ready();
        let (old, mut held) = desk.rest(Side::Buy, 9_990, WHOLE);
        let (_, _, new) = replace(&mut desk, old);
        let new = new.expect("admitted");
        let first = desk.take(REPLACE);
        desk.refuse(&first, 400, CLOCK);
        change(&mut desk, [old, new], &mut held);
        desk.advance(1);
        if is_to_go {
            goes(&mut desk, old, &held);
        }
        assert_eq!(desk.state(new), done(DoneReason::Rejected));
        assert_ne!(desk.state(old), OrderState::ReplaceSent);
        desk.expect_quiet();
    }
}

#[test]
fn what_waits_for_the_clock_when_its_link_goes_was_refused() {
    let mut desk = ready();
    let (smaller, _) = desk.rest(Side::Buy, 9_990, 3 * WHOLE);
    let (old, _) = desk.rest(Side::Buy, 9_980, WHOLE);
    amend(&mut desk, smaller, WHOLE);
    let amended = desk.take(AMEND);
    let (_, _, new) = replace(&mut desk, old);
    let new = new.expect("admitted");
    let replaced = desk.take(REPLACE);
    desk.refuse(&amended, 400, CLOCK);
    desk.refuse(&replaced, 400, CLOCK);
    desk.link_down(veloz_core::event::LinkDown::Closed);
    desk.advance(1);
    assert_eq!(desk.state(smaller), OrderState::Live);
    assert_eq!(desk.state(old), OrderState::Live);
    assert_eq!(desk.state(new), done(DoneReason::Rejected));
    assert!(!desk.engine.risk().expect("an account").is_killed());
}

#[test]
fn a_rate_limit_is_waited_out() {
    let mut desk = ready();
    let (resting, held) = desk.rest(Side::Buy, 9_980, WHOLE);
    let id = desk.place(Side::Buy, 9_990, WHOLE);
    let asked = desk.take("order.place");
    let until = desk.unix_ms() + 30_000;
    let error = format!(
        r#"{{"code":-1003,"msg":"Too much request weight used; current limit is 6000 request weight per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.","data":{{"serverTime":{},"retryAfter":{until}}}}}"#,
        desk.unix_ms()
    );
    desk.refuse(&asked, 429, &error);
    assert_eq!(desk.state(id), done(DoneReason::Rejected));
    let (result, reason, _) = desk.place_intent(limit(Side::Buy, 9_990, WHOLE), None);
    assert_eq!(
        (result, reason),
        (CommandResult::Rejected, Some(Rejection::VenueRateBudget))
    );
    assert_eq!(desk.cancel(resting).0, CommandResult::Done);
    desk.advance(29_000);
    desk.expect_quiet();
    // Two clocks and a guard between them.
    desk.advance(3_500);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(resting), done(DoneReason::Cancelled));
}

#[test]
fn a_refused_connection_is_not_tried_again_before_the_venue_allows_it() {
    // Status, the pause that it names, and how long nothing is asked or connected: two seconds of guard behind it.
    let cases = [
        (418, Some(300), 302),
        (418, None, 122),
        (429, Some(45), 47),
        (429, None, 62),
    ];
    for (status, pause, seconds) in cases {
        let mut desk = ready();
        desk.feed = false;
        desk.refusal = Some((status, pause.map(veloz_core::units::Nanos::from_secs)));
        desk.link_down(veloz_core::event::LinkDown::Closed);
        let connects = desk.connects;
        for _ in 0..600 {
            desk.advance(100);
            if desk.connects > connects {
                break;
            }
        }
        assert_eq!(desk.connects, connects + 1, "{status}");
        let kind = match status {
            418 => VenueFault::Banned,
            _ => VenueFault::RateLimited,
        };
        assert_eq!(desk.reader.counters.faults(kind as u8), 1);
        let times = desk.times_asked;
        desk.advance((seconds - 1) * 1_000);
        assert_eq!(desk.connects, connects + 1, "{status}");
        assert_eq!(desk.times_asked, times, "{status}");
        if status == 418 {
            assert_eq!(desk.closed.len(), 2, "the links that were up");
        }
        desk.refusal = None;
        desk.feed = true;
        desk.advance_to_log_on();
        desk.introduce("[]");
        desk.advance(2_000);
        desk.expect_phase(veloz_core::telemetry::records::TradingPhase::Ready);
    }
}

#[test]
fn a_ban_halts_and_nothing_is_sent_until_it_is_over() {
    let mut desk = ready();
    let id = desk.place(Side::Buy, 9_990, WHOLE);
    let asked = desk.take("order.place");
    let until = desk.unix_ms() + 60_000;
    let error = format!(
        r#"{{"code":-1003,"msg":"Way too much request weight used; IP banned until {until}. Please use WebSocket Streams for live updates to avoid bans.","data":{{"serverTime":{},"retryAfter":{until}}}}}"#,
        desk.unix_ms()
    );
    desk.refuse(&asked, 418, &error);
    assert_eq!(desk.state(id), done(DoneReason::Rejected));
    assert!(desk.recorded(|record| matches!(
        record,
        RecordBody::TradingState {
            to: TradingState::Halted,
            cause: HaltCause::Banned,
            ..
        }
    )));
    assert_eq!(desk.closed.len(), 3);
    let times = desk.times_asked;
    desk.feed = false;
    desk.advance(59_000);
    assert_eq!(desk.times_asked, times);
    desk.expect_quiet();
    desk.feed = true;
    desk.advance_to_log_on();
    desk.introduce("[]");
    desk.advance(2_000);
    // The ban is over; trading again is an operator's decision.
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, 9_990, WHOLE), None);
    assert_eq!(reason, Some(Rejection::NotReady));
    let (result, _, _) = desk.command(|token| Command::SetTradingState {
        token,
        state: TradingState::Active,
    });
    assert_eq!(result, CommandResult::Done);
    desk.place(Side::Buy, 9_990, WHOLE);
}

#[test]
fn a_refused_order_is_over() {
    let mut desk = ready();
    let id = desk.place(Side::Buy, 9_990, WHOLE);
    let asked = desk.take("order.place");
    let error = r#"{"code":-2010,"msg":"Account has insufficient balance for requested action."}"#;
    desk.refuse(&asked, 400, error);
    assert_eq!(desk.state(id), done(DoneReason::Rejected));
    assert_eq!(desk.states(id), ["sent", "rejected"]);
    assert!(was_refused(&desk, id, OrderRequest::Place, -2010));
    assert_eq!(open_buys(&desk), 0);
    let funnel = desk.engine.funnel().expect("an account");
    assert_eq!(funnel.stage(Stage::Refused), 1);
}

fn replace(desk: &mut Desk, id: OrderId) -> (CommandResult, Option<Rejection>, Option<OrderId>) {
    desk.command(|token| Command::Replace {
        token,
        order: OrderRef::Id(id),
        client_id: None,
        price: Ticks(9_985),
        qty: Lots(2 * WHOLE),
    })
}

fn amend(desk: &mut Desk, id: OrderId, qty: i64) -> CommandResult {
    let (result, _, _) = desk.command(|token| Command::Amend {
        token,
        order: OrderRef::Id(id),
        qty: Lots(qty),
    });
    result
}

#[test]
fn a_replacement_comes_only_when_the_old_order_went() {
    let mut desk = ready();
    let (old, held) = desk.rest(Side::Buy, 9_990, WHOLE);
    let (result, _, new) = replace(&mut desk, old);
    assert_eq!(result, CommandResult::Done);
    let new = new.expect("admitted");
    assert_eq!(desk.state(old), OrderState::ReplaceSent);
    assert_eq!(desk.state(new), OrderState::Sent);
    let asked = desk.take("order.cancelReplace");
    assert_eq!(asked.text("cancelReplaceMode"), "STOP_ON_FAILURE");
    assert_eq!(asked.text("cancelRestrictions"), "ONLY_NEW");
    let next = Held::of(&asked, 77);
    let result = format!(
        r#"{{"cancelResult":"SUCCESS","newOrderResult":"SUCCESS","cancelResponse":{},"newOrderResponse":{}}}"#,
        held.cancelled(desk.unix_ms()),
        next.placed(desk.unix_ms())
    );
    desk.answer(&asked, &result);
    assert_eq!(desk.state(old), done(DoneReason::Cancelled));
    assert_eq!(desk.state(new), OrderState::Live);
    assert_eq!(open_buys(&desk), i128::from(2 * WHOLE));
}

#[test]
fn an_order_of_which_something_traded_is_not_replaced() {
    let mut desk = ready();
    let (old, mut held) = desk.rest(Side::Buy, 9_990, 2 * WHOLE);
    // The venue sees the fill first: it refuses both halves.
    let (_, _, new) = replace(&mut desk, old);
    let new = new.expect("admitted");
    let asked = desk.take("order.cancelReplace");
    desk.fill(&mut held, 3, WHOLE);
    let error = r#"{"code":-2022,"msg":"Order cancel-replace failed.","data":{"cancelResult":"FAILURE","newOrderResult":"NOT_ATTEMPTED","cancelResponse":{"code":-2011,"msg":"Order was not canceled due to cancel restrictions."},"newOrderResponse":null}}"#;
    desk.refuse(&asked, 400, error);
    assert_eq!(desk.state(old), OrderState::PartiallyFilled);
    assert_eq!(desk.state(new), done(DoneReason::Rejected));
    assert_eq!(open_buys(&desk), i128::from(WHOLE));
    // And so do we, once we know.
    assert_eq!(replace(&mut desk, old).0, CommandResult::NotOpen);
    desk.expect_quiet();
    assert_eq!(desk.position(BTC), WHOLE);
}

#[test]
fn an_order_becomes_smaller_by_answer_and_by_report() {
    for report_first in [true, false] {
        let mut desk = ready();
        let (id, mut held) = desk.rest(Side::Buy, 9_990, 3 * WHOLE);
        let amend = |desk: &mut Desk, qty| amend(desk, id, qty);
        assert_eq!(amend(&mut desk, 3 * WHOLE), CommandResult::InvalidValue);
        assert_eq!(amend(&mut desk, WHOLE), CommandResult::Done);
        assert_eq!(desk.state(id), OrderState::ReplaceSent);
        assert_eq!(amend(&mut desk, WHOLE), CommandResult::NotOpen);
        let asked = desk.take("order.amend.keepPriority");
        assert_eq!(open_buys(&desk), i128::from(3 * WHOLE));
        held.qty = WHOLE;
        if report_first {
            desk.report(&held, "REPLACED", "NEW", None);
        }
        desk.answer(&asked, &held.amended("NEW", desk.unix_ms()));
        desk.report(&held, "REPLACED", "NEW", None);
        assert_eq!(desk.state(id), OrderState::Live, "{report_first}");
        assert_eq!(open_buys(&desk), i128::from(WHOLE));

        // A refusal leaves it as it was.
        assert_eq!(amend(&mut desk, WHOLE / 2), CommandResult::Done);
        let asked = desk.take("order.amend.keepPriority");
        let error =
            r#"{"code":-2038,"msg":"The requested action would change no state; rejecting."}"#;
        desk.refuse(&asked, 400, error);
        assert_eq!(desk.state(id), OrderState::Live);
        assert_eq!(open_buys(&desk), i128::from(WHOLE));
    }
}

#[test]
fn all_orders_go_at_once_and_orders_go_by_the_clients_id() {
    let mut desk = ready();
    let alias = ClientId::new("web-1").expect("legal");
    let (_, _, first) = desk.place_intent(limit(Side::Buy, 9_990, WHOLE), Some("web-1"));
    let first = first.expect("admitted");
    let held = desk.accept();
    let others = [9_980, 9_970].map(|price| desk.rest(Side::Buy, price, WHOLE));
    let (result, _, order) = desk.command(|token| Command::Cancel {
        token,
        order: OrderRef::Client(alias),
    });
    assert_eq!((result, order), (CommandResult::Done, Some(first)));
    let nobody = OrderId {
        run: 1,
        sequence: 1,
    };
    assert_eq!(desk.cancel(nobody).0, CommandResult::UnknownOrder);
    let (result, _, _) = desk.command(|token| Command::CancelAll {
        token,
        instrument: Some(BTC),
    });
    assert_eq!(result, CommandResult::Done);
    // One cancel each, the first's as well.
    let all = [(first, held)].into_iter().chain(others);
    for (id, held) in all {
        let asked = desk.take("order.cancel");
        assert_eq!(asked.params["orderId"], held.venue_id);
        desk.answer(&asked, &held.cancelled(desk.unix_ms()));
        assert_eq!(desk.state(id), done(DoneReason::Cancelled));
    }
    desk.expect_quiet();
}

/// The venue's time after which it takes requests again, as it names it.
fn too_many(code: i32, retry_at: u64) -> String {
    format!(
        r#"{{"code":{code},"msg":"Too much request weight used.","data":{{"serverTime":1,"retryAfter":{retry_at}}}}}"#
    )
}

#[test]
fn a_cancel_that_the_venue_has_no_time_for_goes_again_when_it_has() {
    for (status, code) in [(429, -1003), (429, -1015), (400, -1003)] {
        let mut desk = ready();
        let (id, held) = desk.rest(Side::Buy, 9_990, WHOLE);
        desk.cancel(id);
        let asked = desk.take("order.cancel");
        let retry_at = desk.unix_ms() + 3_000;
        desk.refuse(&asked, status, &too_many(code, retry_at));
        // Nothing is under way, and nothing is pretended.
        assert_eq!(desk.state(id), OrderState::Live);
        assert!(was_refused(&desk, id, OrderRequest::Cancel, code));
        if code == -1015 {
            // Of orders there may be too many, of cancels not: no such answer is known.
            desk.advance(10_000);
            desk.expect_quiet();
            continue;
        }
        desk.advance(2_900);
        desk.expect_quiet();
        // The time that it named, and the guard of our clock.
        desk.advance(2_300);
        let asked = desk.take("order.cancel");
        assert_eq!(desk.state(id), OrderState::CancelSent);
        desk.answer(&asked, &held.cancelled(desk.unix_ms()));
        assert_eq!(desk.state(id), done(DoneReason::Cancelled));
        desk.advance(5_000);
        desk.expect_quiet();
    }
}

#[test]
fn a_cancel_that_a_ban_met_goes_on_the_next_link() {
    let mut desk = ready();
    let (id, held) = desk.rest(Side::Buy, 9_990, WHOLE);
    desk.cancel(id);
    let asked = desk.take("order.cancel");
    let retry_at = desk.unix_ms() + 60_000;
    desk.refuse(&asked, 418, &too_many(-1003, retry_at));
    assert_eq!(desk.state(id), OrderState::Live);
    desk.advance(59_000);
    desk.expect_quiet();
    desk.advance_to_log_on();
    let rows = format!("[{}]", held.status("NEW", desk.unix_ms()));
    desk.introduce(&rows);
    desk.advance(10);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(id), done(DoneReason::Cancelled));
}

#[test]
fn a_cancel_at_a_wrong_time_goes_again_when_the_clock_was_asked() {
    let mut desk = ready();
    let (id, held) = desk.rest(Side::Buy, 9_990, WHOLE);
    desk.cancel(id);
    let asked = desk.take("order.cancel");
    let times = desk.times_asked;
    desk.refuse(&asked, 400, CLOCK);
    assert_eq!(desk.state(id), OrderState::Live);
    desk.expect_quiet();
    desk.advance(1);
    assert_eq!(desk.times_asked, times + 1);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(id), done(DoneReason::Cancelled));
}

#[test]
fn a_cancel_is_sent_again_a_few_times_only() {
    let mut desk = ready();
    let (id, held) = desk.rest(Side::Buy, 9_990, WHOLE);
    desk.cancel(id);
    for _ in 0..=veloz_core::limits::CANCEL_TRIES_MAX {
        let asked = desk.take("order.cancel");
        desk.refuse(&asked, 400, CLOCK);
        desk.advance(10);
    }
    desk.advance(60_000);
    desk.expect_quiet();
    assert_eq!(desk.state(id), OrderState::Live);
    // Whoever asks anew is heard.
    assert_eq!(desk.cancel(id).0, CommandResult::Done);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    assert_eq!(desk.state(id), done(DoneReason::Cancelled));
}

#[test]
fn an_order_that_ends_meanwhile_is_not_cancelled_again() {
    let mut desk = ready();
    let (id, mut held) = desk.rest(Side::Buy, 9_990, WHOLE);
    desk.cancel(id);
    let asked = desk.take("order.cancel");
    let retry_at = desk.unix_ms() + 3_000;
    desk.refuse(&asked, 429, &too_many(-1003, retry_at));
    desk.fill(&mut held, 1, WHOLE);
    assert_eq!(desk.state(id), done(DoneReason::Filled));
    desk.advance(10_000);
    desk.expect_quiet();
}

#[test]
fn a_book_is_shown_to_who_asks_at_most_every_tenth_of_a_second() {
    let mut desk = ready();
    let shown = |desk: &Desk| desk.reader.gauges.depth(BTC).expect("the core turns");
    let show = |desk: &mut Desk, instrument| {
        desk.command(|token| Command::ShowBook { token, instrument });
    };
    assert_eq!(shown(&desk), DepthGauges::default(), "nobody asked");
    show(&mut desk, BTC);
    let first = shown(&desk);
    let book = desk.engine.book(BTC).expect("live");
    let levels = |side| -> Vec<Level> { book.levels(side).take(SHOWN_LEVELS_MAX).collect() };
    assert!(first.is_live && !first.bids.is_empty());
    assert_eq!(first.bids, levels(BookSide::Bid));
    assert_eq!(first.asks, levels(BookSide::Ask));
    assert_eq!(first.last_update_id, desk.engine.book_state(BTC).1);
    show(&mut desk, BTC);
    assert_eq!(shown(&desk), first, "too soon");
    desk.advance(100);
    show(&mut desk, BTC);
    let second = shown(&desk);
    assert!(second.at > first.at);
    desk.break_book();
    desk.advance(100);
    if desk.engine.book(BTC).is_none() {
        show(&mut desk, BTC);
        assert!(
            !shown(&desk).is_live,
            "a book that is not live has no levels"
        );
    }
    show(&mut desk, InstrumentIndex(999));
    assert!(desk.recorded(|record| matches!(
        record,
        RecordBody::CommandDone {
            result: CommandResult::InvalidValue,
            ..
        }
    )));
}
