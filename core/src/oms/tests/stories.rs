//! What takes more than one input to tell.

use super::*;
use crate::limits::{ASKS_MAX, FILLS_REMEMBERED_MAX, ORDERS_OPEN_MAX, ORDERS_REMEMBERED_MAX};

fn client(number: usize) -> ClientId {
    ClientId::new(&format!("web-{number}")).expect("legal")
}

#[test]
fn every_transient_state_ends_and_the_venue_is_asked() {
    let mut case = Case::admitted();
    assert_eq!(case.oms.due(), Nanos(1_010));
    assert_eq!(case.overdue(1_009), "");
    assert_eq!(case.overdue(1_010), "U?s");

    let mut case = Case::sent();
    assert_eq!(case.overdue(1_011), "U?s");

    let mut case = Case::live();
    case.expect(Input::CancelSent, "C");
    assert_eq!(case.overdue(case.now.0 + 1_999), "");
    assert_eq!(case.overdue(case.now.0 + 1), "U?s");

    let mut case = Case::live();
    case.expect(Input::ReplaceSent, "R");
    assert_eq!(case.overdue(case.now.0 + 2_999), "");
    assert_eq!(case.overdue(case.now.0 + 1), "U?s");

    // What the venue holds may stay as it is for ever.
    let mut case = Case::partially_filled();
    assert_eq!(case.overdue(u64::MAX - 1), "");
    assert_eq!(case.oms.due(), Nanos::MAX);
}

#[test]
fn questions_back_off_and_are_a_fault_when_there_were_too_many() {
    let mut case = Case::sent();
    case.expect(Input::OutcomeUnknown, "U?s");
    assert_eq!(case.oms.oldest_unresolved(), Some((case.id, Nanos(12))));
    let mut waits = Vec::new();
    let mut last = case.now.0;
    for _ in 1..ASKS_MAX {
        let due = case.oms.due().0;
        assert_eq!(case.overdue(due - 1), "");
        let said = case.overdue(due);
        assert!(said == "?s" || said == "!vain?s", "{said}");
        waits.push((due - last) / 500);
        last = due;
        if waits.len() == usize::from(ASKS_MAX) - 1 {
            assert_eq!(said, "!vain?s");
        }
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64, 64, 64, 64]);
    assert_eq!(
        case.overdue(case.oms.due().0),
        "?s",
        "it goes on, said once"
    );
}

#[test]
fn not_to_be_found_proves_nothing_before_the_horizon() {
    let mut case = Case::sent();
    assert_eq!(case.overdue(1_011), "U?s");
    // Asked 1,000 after the sending; it may still arrive until 6,000 after.
    case.expect(
        Input::StatusNotFound {
            asked_at: Nanos(1_011),
        },
        "-",
    );
    assert_eq!(case.oms.due(), Nanos(1_511), "may be early");
    assert_eq!(case.overdue(6_010), "");
    assert_eq!(case.overdue(6_011), "?s");
    case.expect(
        Input::StatusNotFound {
            asked_at: Nanos(6_010),
        },
        "-",
    );
    case.expect(
        Input::StatusNotFound {
            asked_at: Nanos(6_011),
        },
        "Dr",
    );
    assert_eq!(case.oms.open_count(), 0);

    // One that was sent again may arrive as long after that.
    let mut case = Case::sent();
    case.now = Nanos(500);
    case.expect(Input::SentAgain, "-");
    assert_eq!(case.overdue(1_500), "");
    assert_eq!(case.overdue(1_501), "U?s");
    for (asked_at, says) in [(6_500, "-"), (6_501, "Dr")] {
        let asked_at = Nanos(asked_at);
        case.expect(Input::StatusNotFound { asked_at }, says);
    }

    // While it may not have left at all, there is no horizon to count from.
    let mut case = Case::admitted();
    assert_eq!(case.overdue(1_010), "U?s");
    let asked_at = Nanos(1_000_000);
    case.expect(Input::StatusNotFound { asked_at }, "-");
    case.expect(Input::Sent, "-");
    case.expect(Input::StatusNotFound { asked_at }, "Dr");
    // And the kernel may give it back after all.
    let mut case = Case::admitted();
    assert_eq!(case.overdue(1_010), "U?s");
    case.expect(Input::NotSent, "Dr");
}

#[test]
fn an_order_that_was_shown_does_not_vanish_silently() {
    let mut case = Case::live();
    let shown_at = case.now;
    case.expect(Input::StatusNotFound { asked_at: shown_at }, "-");
    let asked_at = shown_at.plus(CONFIG.grace);
    case.expect(Input::StatusNotFound { asked_at }, "U!vanish?t");
    case.expect(Input::TradesComplete, "-");
    assert_eq!(case.overdue(case.now.0 + 500), "?s");
    let asked_at = case.now;
    case.expect(Input::StatusNotFound { asked_at }, "!vanish?t");
    // It was the venue's error.
    let status = case.order_status(VenueStatus::New, 0);
    let (status, asked_at) = (&status, case.now);
    case.expect(Input::Status { status, asked_at }, "L");
}

#[test]
fn a_fill_is_booked_once_whatever_tells_of_it() {
    let mut case = Case::live();
    let first = case.trade_report(1, 4, 4);
    let second = case.trade_report(2, 3, 7);
    let third = case.trade_report(3, 3, 10);
    // The answer to the placement, the stream, the list; backwards and twice.
    let trade = own_trade(2, 3);
    case.expect(Input::Trade(&trade), "P+3");
    case.expect(Input::Report(&third), "U+3");
    assert_eq!(case.order().remaining(), Lots(4));
    case.expect(Input::Report(&third), "-");
    case.expect(Input::Report(&second), "!back");
    case.expect(Input::Report(&first), "Df+4");
    for trade_id in [1, 2, 3] {
        let trade = own_trade(trade_id, 3);
        case.expect(Input::Trade(&trade), "-");
    }
    assert_eq!(case.order().executed(), Lots(10));
    assert_eq!(case.order().executed_notional(), 10_000);
}

#[test]
fn the_average_price_is_exact() {
    let mut case = Case::live();
    let mut notional = 0;
    for (trade_id, qty, price) in [(1, 3, 1_000), (2, 3, 999), (3, 4, i64::MAX / 4)] {
        let mut trade = own_trade(trade_id, qty);
        trade.fill.price = Ticks(price);
        notional += i128::from(qty) * i128::from(price);
        let applied = case.apply(Input::Trade(&trade));
        assert_eq!(applied.fill, Some(trade.fill));
    }
    assert_eq!(case.order().executed_notional(), notional);
    assert_eq!(case.state(), OrderState::Done(DoneReason::Filled));
}

#[test]
fn an_end_waits_for_its_fills() {
    let mut case = Case::live();
    let status = case.order_status(VenueStatus::Canceled, 6);
    let (status, asked_at) = (&status, case.now);
    case.expect(Input::Status { status, asked_at }, "U");
    assert_eq!(case.order().remaining(), Lots(6));
    let totals = *case.oms.totals(HERE);
    assert_eq!((totals.buy_remaining_lots, totals.best_bid), (6, None));
    assert_eq!(totals.unresolved_count, 1);
    assert_eq!(case.oms.cancellable(None).count(), 0);

    // After the grace their list is asked for; a list that lags behind is asked for again.
    assert_eq!(case.overdue(case.now.0 + 100), "?t");
    let trade = own_trade(1, 4);
    case.expect(Input::Trade(&trade), "+4");
    case.expect(Input::TradesComplete, "-");
    assert_eq!(case.overdue(case.now.0 + 499), "");
    assert_eq!(case.overdue(case.now.0 + 1), "?t");
    let trade = own_trade(2, 2);
    case.expect(Input::Trade(&trade), "Dc+2");
    assert_eq!(*case.oms.totals(HERE), Totals::default());
}

#[test]
fn fills_ahead_of_their_reports_are_asked_for_while_the_order_stands() {
    let mut case = Case::live();
    let report = case.trade_report(2, 1, 5);
    case.expect(Input::Report(&report), "P+1");
    assert_eq!(case.order().remaining(), Lots(9), "not yet in any position");
    assert_eq!(case.overdue(case.now.0 + 100), "?t");
    let trade = own_trade(1, 4);
    case.expect(Input::Trade(&trade), "+4");
    assert_eq!(case.overdue(u64::MAX - 1), "");
}

#[test]
fn without_grace_everything_is_asked_at_once() {
    let mut case = Case::live();
    case.oms.config.grace = Nanos::ZERO;
    let report = case.trade_report(2, 1, 5);
    case.expect(Input::Report(&report), "P+1?t");
    case.expect(Input::CancelSent, "C");
    let unknown_order = true;
    case.expect(Input::CancelRefused { unknown_order }, "U?s");
}

#[test]
fn a_cancel_that_loses_to_a_fill_waits_for_the_report() {
    let mut case = Case::live();
    case.expect(Input::CancelSent, "C");
    let unknown_order = true;
    case.expect(Input::CancelRefused { unknown_order }, "U");
    let report = case.trade_report(1, 10, 10);
    case.expect(Input::Report(&report), "Df+10");

    let mut case = Case::live();
    case.expect(Input::CancelSent, "C");
    case.expect(Input::CancelRefused { unknown_order }, "U");
    assert_eq!(case.overdue(case.now.0 + 100), "?s");
    // The answer to an older question is no answer.
    let status = case.order_status(VenueStatus::New, 0);
    let (status, asked_at) = (&status, Nanos(5));
    case.expect(Input::Status { status, asked_at }, "-");
    let asked_at = case.now;
    case.expect(Input::Status { status, asked_at }, "L");
}

#[test]
fn a_cancel_may_overtake_its_order() {
    let mut case = Case::sent();
    case.expect(Input::CancelSent, "-");
    assert_eq!(case.oms.cancellable(None).count(), 0);
    case.expect(ACKNOWLEDGED, "C");

    let mut case = Case::sent();
    case.expect(Input::CancelSent, "-");
    let unknown_order = true;
    case.expect(Input::CancelRefused { unknown_order }, "-");
    assert_eq!(case.oms.cancellable(None).count(), 1);
    case.expect(ACKNOWLEDGED, "L");

    // Of what is in doubt a cancel is an answer too.
    let mut case = Case::sent();
    case.expect(Input::OutcomeUnknown, "U?s");
    case.expect(Input::CancelSent, "-");
    let status = case.order_status(VenueStatus::Canceled, 0);
    let (status, asked_at) = (&status, case.now);
    case.expect(Input::Status { status, asked_at }, "Dc");
}

#[test]
fn an_amend_makes_an_order_smaller_and_old_quantities_are_old() {
    let mut case = Case::partially_filled();
    let mut old = case.report(ExecutionKind::New, VenueStatus::PartiallyFilled, 4);
    old.execution_id = 150;
    case.expect(Input::ReplaceSent, "R");
    let mut status = case.order_status(VenueStatus::PartiallyFilled, 4);
    status.qty = Lots(6);
    case.expect(Input::Amended(&status), "P");
    assert_eq!(
        (case.order().qty(), case.order().remaining()),
        (Lots(6), Lots(2))
    );
    case.expect(Input::Report(&old), "-");
    assert_eq!(case.order().qty(), Lots(6));
    let mut report = case.trade_report(2, 2, 6);
    report.qty = Lots(6);
    report.execution_id = 200;
    report.status = VenueStatus::Filled;
    case.expect(Input::Report(&report), "Df+2");

    // A report of the amend settles the doubt about it.
    let mut case = Case::live();
    case.expect(Input::ReplaceSent, "R");
    case.expect(Input::ReplaceUnknown, "U?s");
    let mut report = case.report(ExecutionKind::Replaced, VenueStatus::New, 0);
    report.qty = Lots(6);
    case.expect(Input::Report(&report), "L");
}

#[test]
fn an_order_that_is_told_to_go_is_still_being_replaced() {
    let replacing = |case: &Case| case.oms.totals(HERE).replacing_count;
    let mut case = Case::live();
    case.expect(Input::ReplaceSent, "R");
    assert_eq!(replacing(&case), 1);
    case.expect(Input::CancelSent, "C");
    assert_eq!(replacing(&case), 1, "its replacement may still come");
    case.expect(
        Input::ReplaceRefused {
            unknown_order: false,
        },
        "-",
    );
    assert_eq!(replacing(&case), 0);

    let mut case = Case::live();
    case.expect(Input::ReplaceSent, "R");
    case.expect(Input::CancelSent, "C");
    let report = case.report(ExecutionKind::Canceled, VenueStatus::Canceled, 0);
    case.expect(Input::Report(&report), "Dc");
    assert_eq!(replacing(&case), 0, "it is gone");
}

#[test]
fn what_self_trade_prevention_took_does_not_fill() {
    let mut case = Case::live();
    let mut report = case.report(ExecutionKind::TradePrevention, VenueStatus::New, 0);
    report.prevented = Lots(4);
    case.expect(Input::Report(&report), "-");
    assert_eq!(case.order().remaining(), Lots(6));
    let mut report = case.trade_report(1, 6, 6);
    report.prevented = Lots(4);
    case.expect(Input::Report(&report), "P+6");
    assert_eq!(case.order().remaining(), Lots(0));
    let report = case.trade_report(2, 1, 7);
    case.expect(Input::Report(&report), "+1!over");
}

#[test]
fn a_trade_between_two_of_our_orders_is_two_fills() {
    let mut case = Case::live();
    let sell = Admitted::unchecked(intent(Side::Sell, PRICE, QTY));
    let other = case.oms.admit(case.now, sell, None).expect("room");
    let report = case.trade_report(1, 10, 10);
    case.expect(Input::Report(&report), "Df+10");
    let report = ExecutionReport {
        side: Side::Sell,
        venue_order_id: VENUE_ID + 1,
        ..report
    };
    let applied = case.oms.apply(case.now, other, Input::Report(&report));
    assert_eq!(describe(&applied), "Df+10");
}

#[test]
fn what_is_not_about_this_order_changes_nothing() {
    let spoil: [fn(&mut ExecutionReport); 5] = [
        |report| report.instrument = InstrumentIndex(1),
        |report| report.side = Side::Sell,
        |report| report.price = Ticks(1_001),
        |report| report.venue_order_id = VENUE_ID + 1,
        |report| report.qty = Lots(11),
    ];
    for spoil in spoil {
        let mut case = Case::live();
        let mut report = case.trade_report(1, 4, 4);
        spoil(&mut report);
        case.expect(Input::Report(&report), "!contra");
        assert_eq!(case.state(), OrderState::Live);
    }
    let mut case = Case::live();
    let mut trade = own_trade(1, 4);
    trade.venue_order_id += 1;
    case.expect(Input::Trade(&trade), "!contra");
    let acknowledged = Input::Acknowledged {
        venue_order_id: VENUE_ID + 1,
        at: VenueMillis(1),
    };
    case.expect(acknowledged, "!contra");
    // Two orders cannot have one id at the venue.
    let other = case.oms.admit(case.now, buy(), None).expect("room");
    let applied = case.oms.apply(case.now, other, ACKNOWLEDGED);
    assert_eq!(applied.fault, Some(OmsFault::Contradicted));
    assert_eq!(case.oms.find_venue(HERE, VENUE_ID), Some(case.id));
    case.oms.table.assert_invariants();
}

#[test]
fn a_last_word_that_holds_less_than_is_booked_contradicts() {
    let mut case = Case::partially_filled();
    let report = case.report(ExecutionKind::Canceled, VenueStatus::Canceled, 3);
    case.expect(Input::Report(&report), "Dc!contra");
}

#[test]
fn a_fill_below_the_floor_is_booked_only_when_it_was_certainly_not() {
    let mut case = Case::live();
    let report = case.trade_report(10_000, 1, 1);
    case.expect(Input::Report(&report), "P+1");
    let report = case.trade_report(10_004, 1, 4);
    case.expect(Input::Report(&report), "+1");
    // So many fills of the instrument since that all of these are forgotten.
    for id in 0..=FILLS_REMEMBERED_MAX as u64 {
        case.oms.trades.insert(HERE, Side::Buy, 20_000 + id);
    }
    // The two that are booked are known by the order itself.
    for trade_id in [10_000, 10_004] {
        let trade = own_trade(trade_id, 1);
        case.expect(Input::Trade(&trade), "-");
    }
    // One between them may have been booked or not, as far as can be told.
    let trade = own_trade(10_002, 1);
    case.expect(Input::Trade(&trade), "!forgot?t");
    // Those outside of what the order booked were not.
    for (trade_id, said) in [(9_999, "+1"), (10_005, "+1")] {
        let trade = own_trade(trade_id, 1);
        case.expect(Input::Trade(&trade), said);
    }
    // Now nothing is missing: everything up to the last is booked.
    case.expect(Input::Trade(&trade), "-");
    assert_eq!(case.order().executed(), Lots(4));
}

#[test]
fn missing_fills_that_no_list_brings_are_a_fault() {
    let mut case = Case::live();
    let report = case.report(ExecutionKind::Canceled, VenueStatus::Canceled, 4);
    case.expect(Input::Report(&report), "U");
    let mut said = Vec::new();
    while said.len() < usize::from(ASKS_MAX) {
        // A due time may be early: then nothing is said.
        let now = case.overdue(case.oms.due().0);
        if !now.is_empty() {
            said.push(now);
            case.expect(Input::TradesComplete, "-");
        }
    }
    assert_eq!(said.pop().as_deref(), Some("!vain?t"));
    assert!(said.iter().all(|said| said == "?t"));
    assert!(OmsFault::AskedInVain.halts());
}

#[test]
fn absence_from_a_list_is_judged_by_what_was_known_when_it_was_asked_for() {
    // Shown before the question: its absence counts.
    let mut case = Case::live();
    let asked_at = case.now.plus(Nanos(1));
    case.now = asked_at;
    assert_eq!(case.oms.end_of_open_orders(case.now, None, asked_at), 1);
    assert_eq!(case.overdue(case.now.0), "U?s");
    let report = case.report(ExecutionKind::Canceled, VenueStatus::Canceled, 0);
    case.expect(Input::Report(&report), "Dc");

    // Shown after it, or never, or told by it, or of another instrument: it does not.
    let mut case = Case::live();
    let asked_at = case.now;
    assert_eq!(case.oms.end_of_open_orders(case.now, None, asked_at), 0);
    let asked_at = asked_at.plus(Nanos(1));
    let elsewhere = Some(InstrumentIndex(1));
    assert_eq!(
        case.oms.end_of_open_orders(asked_at, elsewhere, asked_at),
        0
    );
    let status = case.order_status(VenueStatus::New, 0);
    let status = &status;
    case.expect(Input::Status { status, asked_at }, "-");
    assert_eq!(
        case.oms.end_of_open_orders(asked_at, Some(HERE), asked_at),
        0
    );
    let mut case = Case::sent();
    let asked_at = Nanos(500);
    assert_eq!(case.oms.end_of_open_orders(asked_at, None, asked_at), 0);
    assert_eq!(case.overdue(500), "");
    case.expect(ACKNOWLEDGED, "L");

    // A cancel under way does not hide it.
    let mut case = Case::live();
    case.expect(Input::CancelSent, "C");
    let asked_at = case.now;
    assert_eq!(case.oms.end_of_open_orders(asked_at, None, asked_at), 1);
    assert_eq!(case.overdue(asked_at.0), "U?s");
}

#[test]
fn orders_of_an_earlier_run_are_taken_over_with_their_fills_to_ask_for() {
    let mut case = Case::live();
    let earlier = OrderId {
        run: 6,
        sequence: 900,
    };
    let status = OrderStatus {
        key: OrderKey::Ours(earlier),
        venue_order_id: 5,
        ..case.order_status(VenueStatus::PartiallyFilled, 4)
    };
    let foreign = OrderStatus {
        key: OrderKey::Foreign,
        ..status
    };
    let nothing = OrderStatus {
        qty: Lots(0),
        ..status
    };
    let now = case.now;
    let adopt = |oms: &mut Oms, status: &OrderStatus| oms.adopt(now, status, Nanos(5));
    assert_eq!(adopt(&mut case.oms, &foreign), Err(AdoptError::Foreign));
    assert_eq!(adopt(&mut case.oms, &nothing), Err(AdoptError::Nothing));
    let known = case.order_status(VenueStatus::New, 0);
    assert_eq!(adopt(&mut case.oms, &known), Err(AdoptError::Known));
    let adopted = adopt(&mut case.oms, &status).expect("room");
    assert_eq!(
        adopted,
        Adopted {
            id: earlier,
            state: OrderState::PartiallyFilled,
            ask: None
        }
    );
    let order = case.oms.order(earlier).expect("adopted");
    assert!(order.admitted().is_none() && order.sent_at().is_none());
    assert_eq!((order.executed(), order.remaining()), (Lots(0), Lots(10)));
    assert_eq!(case.oms.find_venue(HERE, 5), Some(earlier));
    assert_eq!(case.oms.totals(HERE).open_count, 2);
    let same_venue_id = OrderStatus {
        key: OrderKey::Ours(OrderId {
            run: 6,
            sequence: 901,
        }),
        ..status
    };
    assert_eq!(adopt(&mut case.oms, &same_venue_id), Err(AdoptError::Known));

    case.id = earlier;
    assert_eq!(case.overdue(now.0 + 100), "?t");
    let mut trade = own_trade(1, 4);
    trade.venue_order_id = 5;
    case.expect(Input::Trade(&trade), "+4");
    let over = OrderStatus {
        executed: Lots(4),
        status: VenueStatus::Canceled,
        ..status
    };
    let (status, asked_at) = (&over, case.now);
    case.expect(Input::Status { status, asked_at }, "Dc");
}

#[test]
fn what_is_told_of_an_unknown_order_is_a_fault_and_loses_nothing() {
    let mut case = Case::live();
    let stranger = OrderId {
        run: 6,
        sequence: 900,
    };
    let mut report = case.trade_report(1, 4, 4);
    report.venue_order_id = 5;
    let status = OrderStatus {
        key: OrderKey::Ours(stranger),
        venue_order_id: 5,
        ..case.order_status(VenueStatus::PartiallyFilled, 4)
    };
    let mut trade = own_trade(1, 4);
    trade.venue_order_id = 5;
    let unknown_order = true;
    let asked_at = case.now;
    let said = |oms: &mut Oms, input: Input<'_>| describe(&oms.apply(asked_at, stranger, input));
    for input in [
        ACKNOWLEDGED,
        Input::Report(&report),
        Input::Status {
            status: &status,
            asked_at,
        },
        Input::Trade(&trade),
        Input::Amended(&status),
    ] {
        assert_eq!(said(&mut case.oms, input), "!unknown");
    }
    for input in [
        Input::Sent,
        Input::SentAgain,
        Input::NotSent,
        Input::CancelSent,
        Input::ReplaceSent,
        Input::ReplaceSentAgain,
    ] {
        assert_eq!(said(&mut case.oms, input), "!ill");
    }
    for input in [
        Input::Refused { code: -2010 },
        Input::OutcomeUnknown,
        Input::StatusNotFound { asked_at },
        Input::TradesComplete,
        Input::CancelRefused { unknown_order },
        Input::CancelUnknown,
        Input::ReplaceRefused { unknown_order },
        Input::ReplaceUnknown,
    ] {
        assert_eq!(said(&mut case.oms, input), "-");
    }
    // Adopted, it gets the same report again.
    let adopted = case.oms.adopt(case.now, &status, case.now).expect("room");
    assert_eq!(adopted.state, OrderState::PartiallyFilled);
    assert_eq!(said(&mut case.oms, Input::Report(&report)), "+4");
}

#[test]
fn a_table_that_is_full_refuses_and_forgets_only_what_is_over() {
    let mut oms = Oms::new(1, 7, CONFIG);
    let mut ids = Vec::new();
    for number in 0..ORDERS_OPEN_MAX {
        let id = oms.admit(Nanos(number as u64), buy(), Some(client(number)));
        ids.push(id.expect("room"));
    }
    assert_eq!(oms.admit(Nanos(999), buy(), None), Err(Full));
    let status = OrderStatus {
        key: OrderKey::Ours(OrderId {
            run: 1,
            sequence: 1,
        }),
        ..Case::live().order_status(VenueStatus::New, 0)
    };
    assert_eq!(
        oms.adopt(Nanos(999), &status, Nanos(999)),
        Err(AdoptError::Full)
    );
    assert_eq!(oms.totals(HERE).open_count as usize, ORDERS_OPEN_MAX);
    assert_eq!(
        oms.totals(HERE).buy_remaining_lots,
        10 * ORDERS_OPEN_MAX as i128
    );

    // One after the other ends and makes room; the first to end is forgotten when no slot is left, not before.
    let total = ORDERS_OPEN_MAX + ORDERS_REMEMBERED_MAX;
    for number in ORDERS_OPEN_MAX..=total {
        let applied = oms.apply(Nanos(1_000), ids[number - ORDERS_OPEN_MAX], Input::NotSent);
        assert_eq!(describe(&applied), "Dr");
        if number % 500 == 0 || number + 2 > total {
            oms.table.assert_invariants();
        }
        let id = oms.admit(Nanos(1_000), buy(), Some(client(number)));
        ids.push(id.expect("room"));
        let is_forgotten = number == total;
        assert_eq!(oms.find_client(&client(0)).is_none(), is_forgotten);
        assert_eq!(oms.order(ids[0]).is_none(), is_forgotten);
    }
    assert_eq!(oms.find_client(&client(1)), Some(ids[1]));
    assert_eq!(oms.open_all().count(), ORDERS_OPEN_MAX);
    assert_eq!(
        oms.open_all().next().map(Order::id),
        Some(ids[ids.len() - ORDERS_OPEN_MAX])
    );
    let applied = oms.apply(Nanos(1_000), ids[0], ACKNOWLEDGED);
    assert_eq!(describe(&applied), "!unknown");
    let id = oms.order(ids[1]).expect("remembered").client_id().copied();
    assert_eq!(id, Some(client(1)));
}

#[test]
fn a_duplicate_of_a_forgotten_order_is_no_fault() {
    let mut oms = Oms::new(1, 7, CONFIG);
    let id = oms.admit(Nanos(1), buy(), None).expect("room");
    let mut case = Case {
        oms,
        id,
        now: Nanos(1),
        execution_id: 1,
    };
    let report = case.trade_report(1, 10, 10);
    case.expect(Input::Report(&report), "Df+10");
    for _ in 0..ORDERS_OPEN_MAX + ORDERS_REMEMBERED_MAX {
        let id = case.oms.admit(Nanos(2), buy(), None).expect("room");
        let _ = case.oms.apply(Nanos(2), id, Input::NotSent);
    }
    assert!(case.oms.order(id).is_none());
    let applied = case.oms.apply(Nanos(3), id, Input::Report(&report));
    assert_eq!(describe(&applied), "-");
    let trade = own_trade(1, 10);
    assert_eq!(
        describe(&case.oms.apply(Nanos(3), id, Input::Trade(&trade))),
        "-"
    );
}

#[test]
#[should_panic(expected = "a client id is used once")]
fn a_client_id_is_used_once() {
    let mut oms = Oms::new(1, 7, CONFIG);
    for _ in 0..2 {
        let _ = oms.admit(Nanos(1), buy(), Some(client(1)));
    }
}

#[test]
fn totals_know_the_best_of_our_own_prices_and_what_has_none() {
    let mut oms = Oms::new(2, 7, CONFIG);
    let mut place = |side, price, qty| {
        let admitted = Admitted::unchecked(intent(side, Ticks(price), Lots(qty)));
        oms.admit(Nanos(1), admitted, None).expect("room")
    };
    let low = place(Side::Buy, 90, 1);
    let high = place(Side::Buy, 95, 2);
    let same = place(Side::Buy, 95, 3);
    let market = place(Side::Buy, 0, 4);
    let far = place(Side::Sell, 120, 5);
    let near = place(Side::Sell, 110, 6);
    assert_eq!(
        *oms.totals(HERE),
        Totals {
            open_count: 6,
            buy_count: 4,
            unresolved_count: 0,
            replacing_count: 0,
            buy_remaining_lots: 10,
            sell_remaining_lots: 11,
            buy_notional: 90 + 95 * 5,
            buy_unpriced_lots: 4,
            best_bid: Some(Ticks(95)),
            best_ask: Some(Ticks(110)),
        }
    );
    assert_eq!(*oms.totals(InstrumentIndex(1)), Totals::default());
    assert_eq!(oms.open(HERE).count(), 6);
    assert_eq!(oms.open(InstrumentIndex(1)).count(), 0);
    let mut end = |id| {
        let applied = oms.apply(Nanos(2), id, Input::NotSent);
        assert_eq!(describe(&applied), "Dr");
        let totals = oms.totals(HERE);
        (
            totals.best_bid.map(|price| price.0),
            totals.best_ask.map(|price| price.0),
        )
    };
    assert_eq!(end(high), (Some(95), Some(110)));
    assert_eq!(end(same), (Some(90), Some(110)));
    assert_eq!(end(near), (Some(90), Some(120)));
    assert_eq!(end(market), (Some(90), Some(120)));
    assert_eq!(end(low), (None, Some(120)));
    assert_eq!(end(far), (None, None));
    assert_eq!(*oms.totals(HERE), Totals::default());
}

#[test]
fn an_order_says_what_is_known_of_it() {
    let mut oms = Oms::new(1, 7, CONFIG);
    let id = oms.admit(Nanos(1), buy(), Some(client(1))).expect("room");
    assert_eq!((id.run, id.sequence), (7, 1));
    assert_eq!(oms.cancellable(None).count(), 0, "its bytes have not left");
    let _ = oms.apply(Nanos(2), id, Input::Sent);
    assert_eq!(oms.cancellable(Some(HERE)).count(), 1);
    let _ = oms.apply(Nanos(3), id, ACKNOWLEDGED);
    let order = oms.order(id).expect("known");
    assert_eq!(order.admitted(), Some(&buy()));
    assert_eq!((order.instrument(), order.side()), (HERE, Side::Buy));
    assert_eq!((order.price(), order.qty()), (PRICE, QTY));
    assert_eq!(
        (order.admitted_at(), order.sent_at()),
        (Nanos(1), Some(Nanos(2)))
    );
    assert_eq!((order.since(), order.updated()), (Nanos(3), VenueMillis(5)));
    assert_eq!(order.venue_order_id(), Some(VENUE_ID));
    assert_eq!(order.refusal(), None);
    let id = oms.admit(Nanos(4), buy(), None).expect("room");
    let _ = oms.apply(Nanos(5), id, Input::Refused { code: -2010 });
    assert_eq!(oms.order(id).expect("remembered").refusal(), Some(-2010));
}

/// What is told of an order that was taken for rejected opens it again, beyond the bound if it must be.
#[test]
fn a_reopened_order_counts_even_when_the_table_is_full() {
    let mut oms = Oms::new(1, 7, CONFIG);
    let first = oms.admit(Nanos(1), buy(), None).expect("room");
    let _ = oms.apply(Nanos(2), first, Input::Refused { code: -2010 });
    for _ in 0..ORDERS_OPEN_MAX {
        let _ = oms.admit(Nanos(3), buy(), None).expect("room");
    }
    let applied = oms.apply(Nanos(4), first, ACKNOWLEDGED);
    assert_eq!(describe(&applied), "L!reopen");
    assert_eq!(oms.open_count(), ORDERS_OPEN_MAX + 1);
    assert_eq!(oms.totals(HERE).open_count as usize, ORDERS_OPEN_MAX + 1);
    assert_eq!(oms.admit(Nanos(5), buy(), None), Err(Full));
    oms.table.assert_invariants();
}
