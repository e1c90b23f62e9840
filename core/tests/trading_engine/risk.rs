//! Every reason for which the engine refuses an order, out of a whole engine; trading states, limits, the kill switch.

use veloz_core::event::{Command, Event, LinkRole};
use veloz_core::limits::RECORDS_HEADROOM;
use veloz_core::order::{
    DoneReason, Intent, OrderId, OrderKind, OrderState, SelfTradePrevention, Side, TimeInForce,
};
use veloz_core::portfolio::Portfolio;
use veloz_core::risk::{GlobalLimits, InstrumentLimits, LimitsChange, Rejection, TradingState};
use veloz_core::telemetry::Sizes;
use veloz_core::telemetry::records::{CommandResult, HaltCause, RecordBody};
use veloz_core::units::{E8, E8_ONE, Lots, Nanos, Ticks};

use crate::desk::{BTC, Desk, ETH, Held, Setup, WHOLE, limit};

const MID: i64 = 10_000;

fn with_global(global: GlobalLimits) -> Desk {
    Desk::ready(&Setup {
        global,
        ..Setup::default()
    })
}

fn with_limits(limits: InstrumentLimits) -> Desk {
    Desk::ready(&Setup {
        limits,
        ..Setup::default()
    })
}

/// Buys so many lots at the price.
fn bought(desk: &mut Desk, price: i64, qty: i64) {
    let (id, mut held) = desk.rest(Side::Buy, price, qty);
    desk.fill(&mut held, 900, qty);
    assert_eq!(desk.state(id), OrderState::Done(DoneReason::Filled));
}

/// A desk and an order that it refuses for this reason. A reason without a way to it does not compile.
fn provoked(reason: Rejection) -> (Desk, Intent, Option<&'static str>) {
    let buy = limit(Side::Buy, MID - 100, WHOLE);
    let plain = |desk: Desk| (desk, buy, None);
    let ready = || Desk::ready(&Setup::default());
    match reason {
        Rejection::KillSwitch => {
            let mut desk = ready();
            desk.command(|token| Command::TripKillSwitch { token });
            plain(desk)
        }
        Rejection::NotReady => plain(Desk::new(&Setup::default())),
        Rejection::BookNotLive => {
            let mut desk = ready();
            desk.break_book();
            plain(desk)
        }
        Rejection::StaleMarketData => {
            let mut desk = with_global(GlobalLimits {
                market_data_age_max: Some(Nanos::from_secs(2)),
                ..GlobalLimits::default()
            });
            desk.feed = false;
            desk.advance(3_000);
            plain(desk)
        }
        Rejection::TelemetryBacklog => {
            let mut desk = Desk::ready(&Setup {
                sizes: Sizes {
                    records: (RECORDS_HEADROOM + 1).next_power_of_two(),
                    samples: 1 << 8,
                },
                ..Setup::default()
            });
            desk.handle(Event::Backlog(true));
            plain(desk)
        }
        Rejection::LinkBackpressure => {
            let mut desk = ready();
            let link = desk.link(LinkRole::Orders);
            desk.handle(Event::LinkBlocked {
                link,
                blocked: true,
            });
            plain(desk)
        }
        Rejection::ClockUntrusted => {
            let mut desk = Desk::new(&Setup {
                global: GlobalLimits {
                    clock_offset_max: Some(Nanos::from_secs(1)),
                    ..GlobalLimits::default()
                },
                ..Setup::default()
            });
            desk.clock_ahead_ms = 10_000;
            desk.begin();
            desk.introduce("[]");
            desk.advance(2_000);
            plain(desk)
        }
        Rejection::BadQuantity => (ready(), limit(Side::Buy, MID - 100, 0), None),
        Rejection::BadPrice => (ready(), limit(Side::Buy, 0, WHOLE), None),
        Rejection::MinNotional => (ready(), limit(Side::Buy, 100, WHOLE), None),
        Rejection::MaxOrderQty => plain(with_limits(InstrumentLimits {
            order_qty_max: Some(Lots(WHOLE - 1)),
            ..InstrumentLimits::default()
        })),
        Rejection::MaxOrderNotional => plain(with_limits(InstrumentLimits {
            order_notional_max: Some(E8(98 * E8_ONE)),
            ..InstrumentLimits::default()
        })),
        Rejection::MaxPosition => {
            let mut desk = with_limits(InstrumentLimits {
                position_max: Some(E8(3 * E8_ONE / 2)),
                ..InstrumentLimits::default()
            });
            // What rests counts as if it filled.
            desk.rest(Side::Buy, MID - 100, WHOLE);
            plain(desk)
        }
        Rejection::MaxOpenOrders => {
            let mut desk = with_limits(InstrumentLimits {
                open_orders_max: Some(1),
                ..InstrumentLimits::default()
            });
            desk.rest(Side::Buy, MID - 100, WHOLE);
            plain(desk)
        }
        Rejection::PriceCollar => {
            let desk = with_limits(InstrumentLimits {
                price_collar_bps: Some(50),
                ..InstrumentLimits::default()
            });
            plain(desk)
        }
        Rejection::OrderRate => {
            let mut desk = with_global(GlobalLimits {
                orders_per_second_max: Some(1),
                ..GlobalLimits::default()
            });
            desk.rest(Side::Buy, MID - 100, WHOLE);
            plain(desk)
        }
        Rejection::MaxLeverage => {
            let mut desk = Desk::new(&Setup {
                global: GlobalLimits {
                    leverage_max_percent: Some(1),
                    ..GlobalLimits::default()
                },
                ..Setup::default()
            });
            // Nothing but 1,000 USDT: a hundredth of it is 10.
            desk.free = [0, 0, 1_000];
            desk.begin();
            desk.introduce("[]");
            desk.advance(1_500);
            plain(desk)
        }
        Rejection::MaxConcentration => plain(with_global(GlobalLimits {
            concentration_max_percent: Some(50),
            ..GlobalLimits::default()
        })),
        Rejection::DailyLoss => {
            let mut desk = with_global(GlobalLimits {
                daily_loss_max: Some(E8(20 * E8_ONE)),
                ..GlobalLimits::default()
            });
            fall(&mut desk);
            (desk, limit(Side::Buy, 4_900, WHOLE), None)
        }
        Rejection::MaxDrawdown => {
            let mut desk = with_global(GlobalLimits {
                drawdown_max_bps: Some(1),
                ..GlobalLimits::default()
            });
            fall(&mut desk);
            (desk, limit(Side::Buy, 4_900, WHOLE), None)
        }
        Rejection::SelfTrade => {
            let mut desk = ready();
            desk.rest(Side::Sell, MID + 100, WHOLE);
            (desk, limit(Side::Buy, MID + 100, WHOLE), None)
        }
        Rejection::DuplicateClientOrderId => {
            let mut desk = ready();
            desk.place_intent(buy, Some("web-1"));
            (desk, buy, Some("web-1"))
        }
        // Ten are held.
        Rejection::InsufficientBalance => (ready(), limit(Side::Sell, MID + 100, 11 * WHOLE), None),
        Rejection::VenueRateBudget => {
            let mut desk = Desk::ready(&Setup {
                order_limit: 2,
                ..Setup::default()
            });
            for price in [MID - 300, MID - 200] {
                desk.place_intent(limit(Side::Buy, price, WHOLE), None);
            }
            plain(desk)
        }
    }
}

/// Buys one and halves its price.
fn fall(desk: &mut Desk) {
    bought(desk, MID, WHOLE);
    desk.touch[0] = (4_999, 5_001);
    desk.advance(2_000);
}

/// The first order may come before the first diff does, and is judged by what everything is worth now.
#[test]
fn a_book_that_is_live_again_values_what_is_held_at_once() {
    let mut desk = Desk::ready(&Setup::default());
    bought(&mut desk, MID, WHOLE);
    let equity = |desk: &Desk| desk.engine.portfolio().and_then(Portfolio::equity);
    let before = equity(&desk).expect("known");
    desk.feed = false;
    desk.touch[0] = (MID / 2 - 1, MID / 2 + 1);
    desk.snapshots_are_late = true;
    desk.break_book();
    assert!(desk.engine.book(BTC).is_none());
    assert_eq!(equity(&desk), Some(before), "no book, no other mark");
    // The window's first diff; a second one, and the snapshot, come at once.
    desk.tick_book(BTC);
    assert!(desk.engine.book(BTC).is_some());
    assert!(equity(&desk).expect("known") < before);
}

#[test]
fn every_reason_comes_out_of_a_whole_engine() {
    for reason in Rejection::ALL {
        let (mut desk, intent, client_id) = provoked(reason);
        let label = reason.label();
        let before = desk.engine.funnel().expect("an account").rejected(reason);
        let sent = desk.asked.len();
        let (result, given, order) = desk.place_intent(intent, client_id);
        assert_eq!(given.map(Rejection::label), Some(label));
        assert_eq!((result, order), (CommandResult::Rejected, None), "{label}");
        let funnel = desk.engine.funnel().expect("an account");
        assert_eq!(funnel.rejected(reason), before + 1, "{label}");
        // A full ring gets no records of refusals; the command's answer says why.
        let recorded = desk.recorded(|record| {
            matches!(record, RecordBody::OrderRejected { reason: told, .. } if *told == reason)
        });
        assert_eq!(recorded, reason != Rejection::TelemetryBacklog, "{label}");
        assert_eq!(desk.asked.len(), sent, "{label}");
    }
}

#[test]
fn what_loses_may_still_be_sold() {
    for global in [
        GlobalLimits {
            daily_loss_max: Some(E8(20 * E8_ONE)),
            ..GlobalLimits::default()
        },
        GlobalLimits {
            drawdown_max_bps: Some(1),
            ..GlobalLimits::default()
        },
    ] {
        let mut desk = with_global(global);
        fall(&mut desk);
        desk.place(Side::Sell, 5_100, WHOLE);
    }
}

fn set_state(desk: &mut Desk, state: TradingState) -> (CommandResult, Option<Rejection>) {
    let (result, reason, _) = desk.command(|token| Command::SetTradingState { token, state });
    (result, reason)
}

#[test]
fn a_trading_state_says_what_may_be_sent() {
    let mut desk = Desk::ready(&Setup::default());
    bought(&mut desk, MID - 100, WHOLE);
    let (resting, held) = desk.rest(Side::Buy, MID - 200, WHOLE);

    assert_eq!(
        set_state(&mut desk, TradingState::ReduceOnly),
        (CommandResult::Done, None)
    );
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, MID - 100, WHOLE), None);
    assert_eq!(reason, Some(Rejection::MaxPosition));
    let (_, reason, _) = desk.place_intent(limit(Side::Sell, MID + 100, 2 * WHOLE), None);
    assert_eq!(reason, Some(Rejection::MaxPosition));
    let (sale, mut sold) = desk.rest(Side::Sell, MID + 100, WHOLE);

    assert_eq!(
        set_state(&mut desk, TradingState::Halted).0,
        CommandResult::Done
    );
    let (_, reason, _) = desk.place_intent(limit(Side::Sell, MID + 200, 1_000), None);
    assert_eq!(reason, Some(Rejection::NotReady));
    // What stands stands; it fills, and cancels pass.
    desk.expect_quiet();
    desk.fill(&mut sold, 901, WHOLE);
    assert_eq!(desk.state(sale), OrderState::Done(DoneReason::Filled));
    assert_eq!(desk.position(BTC), 0);
    assert_eq!(desk.cancel(resting).0, CommandResult::Done);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));

    assert_eq!(
        set_state(&mut desk, TradingState::Active).0,
        CommandResult::Done
    );
    desk.place(Side::Buy, MID - 100, WHOLE);
    let changes = desk.records.iter().filter_map(|record| match record {
        RecordBody::TradingState { to, cause, .. } => Some((to.label(), cause.label())),
        _ => None,
    });
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [
            ("REDUCE_ONLY", "operator"),
            ("HALTED", "operator"),
            ("ACTIVE", "operator")
        ]
    );
}

#[test]
fn a_cancel_that_the_venue_refuses_is_not_sent_again_at_once() {
    const CLOSED: &str = r#"{"code":-2011,"msg":"Market is closed."}"#;
    for stops in [false, true] {
        let mut desk = Desk::ready(&Setup::default());
        let (id, held) = desk.rest(Side::Buy, 9_900, WHOLE);
        if stops {
            desk.handle(Event::Command(Command::Stop));
        } else {
            desk.command(|token| Command::TripKillSwitch { token });
        }
        let (mut sent, mut waits, mut last) = (0, Vec::new(), desk.now);
        for _ in 0..60_000 {
            desk.advance(1);
            if desk
                .asked
                .iter()
                .any(|asked| asked.method == "order.cancel")
            {
                let asked = desk.take("order.cancel");
                desk.refuse(&asked, 400, CLOSED);
                assert_eq!(desk.state(id), OrderState::Live);
                waits.push(desk.now.since(last).as_ms());
                last = desk.now;
                sent += 1;
            }
        }
        assert_eq!(
            waits[1..9],
            [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]
        );
        assert!((12..=14).contains(&sent), "{sent}");
        // When the market opens again the order goes.
        while desk
            .asked
            .iter()
            .all(|asked| asked.method != "order.cancel")
        {
            assert!(desk.now.since(last) <= Nanos::from_secs(10));
            desk.advance(1);
        }
        let asked = desk.take("order.cancel");
        desk.answer(&asked, &held.cancelled(desk.unix_ms()));
        assert_eq!(desk.state(id), OrderState::Done(DoneReason::Cancelled));
    }
}

#[test]
fn the_kill_switch_takes_everything_back_and_stays() {
    let mut desk = Desk::ready(&Setup::default());
    let (first, held) = desk.rest(Side::Buy, MID - 100, WHOLE);
    // Not answered yet: it cannot be lost either.
    let second = desk.place(Side::Buy, MID - 200, WHOLE);
    let placing = desk.take("order.place");
    let (result, _, _) = desk.command(|token| Command::TripKillSwitch { token });
    assert_eq!(result, CommandResult::Done);
    let late = Held::of(&placing, 55);
    desk.answer(&placing, &late.placed(desk.unix_ms()));
    desk.advance(1);
    for (id, held) in [(first, held), (second, late)] {
        let asked = desk.take("order.cancel");
        desk.answer(&asked, &held.cancelled(desk.unix_ms()));
        desk.advance(1);
        assert_eq!(desk.state(id), OrderState::Done(DoneReason::Cancelled));
    }
    desk.expect_quiet();

    assert_eq!(
        set_state(&mut desk, TradingState::Active),
        (CommandResult::Rejected, Some(Rejection::KillSwitch))
    );
    let (result, _, _) = desk.command(|token| Command::ResetKillSwitch { token });
    assert_eq!(result, CommandResult::Done);
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, MID - 100, WHOLE), None);
    assert_eq!(reason, Some(Rejection::NotReady));
    assert_eq!(
        set_state(&mut desk, TradingState::Active).0,
        CommandResult::Done
    );
    desk.place(Side::Buy, MID - 100, WHOLE);
    let latches = desk.records.iter().filter_map(|record| match record {
        RecordBody::KillSwitch { latched, cause } => Some((*latched, *cause)),
        _ => None,
    });
    assert_eq!(
        latches.collect::<Vec<_>>(),
        [(true, HaltCause::Operator), (false, HaltCause::Operator)]
    );
}

#[test]
fn a_latch_of_the_last_run_holds() {
    let mut desk = Desk::ready(&Setup {
        kill_switch: true,
        ..Setup::default()
    });
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, MID - 100, WHOLE), None);
    assert_eq!(reason, Some(Rejection::KillSwitch));
}

#[test]
fn the_dead_mans_cancels_are_asked_after() {
    let mut desk = Desk::ready(&Setup::default());
    let (id, held) = desk.rest(Side::Buy, MID - 100, WHOLE);
    // A list that was asked for in the same instant as the order came says nothing about it.
    desk.advance(100);
    let (result, _, _) = desk.command(|token| Command::DeadManFired { token });
    assert_eq!(result, CommandResult::Done);
    assert!(desk.recorded(|record| matches!(
        record,
        RecordBody::KillSwitch {
            latched: true,
            cause: HaltCause::DeadMan
        }
    )));
    // Ours goes out as well, and finds nothing any more.
    let asked = desk.take("order.cancel");
    desk.refuse(&asked, 400, r#"{"code":-2011,"msg":"Unknown order sent."}"#);
    let list = desk.take("openOrders.status");
    desk.answer(&list, "[]");
    desk.advance(300);
    let asked = desk.take("order.status");
    desk.answer(&asked, &held.status("CANCELED", desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Done(DoneReason::Cancelled));
    desk.take("account.status");
}

#[test]
fn limits_bind_the_next_order_and_nothing_before() {
    let mut desk = Desk::ready(&Setup::default());
    desk.rest(Side::Buy, MID - 100, WHOLE);
    let tighter = InstrumentLimits {
        order_qty_max: Some(Lots(WHOLE / 2)),
        ..InstrumentLimits::default()
    };
    let set = |desk: &mut Desk, change| {
        let (result, _, _) = desk.command(|token| Command::SetLimits { token, change });
        result
    };
    let change = LimitsChange::Instrument(BTC, tighter);
    assert_eq!(set(&mut desk, change), CommandResult::Done);
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, MID - 100, WHOLE), None);
    assert_eq!(reason, Some(Rejection::MaxOrderQty));
    desk.place(Side::Buy, MID - 100, WHOLE / 2);
    // Another instrument has its own.
    let (_, reason, _) = desk.place_intent(
        Intent {
            instrument: ETH,
            ..limit(Side::Buy, 990, WHOLE)
        },
        None,
    );
    assert_eq!(reason, None);
    // What is no limit changes nothing.
    let zero = InstrumentLimits {
        order_qty_max: Some(Lots(0)),
        ..tighter
    };
    let change = LimitsChange::Instrument(BTC, zero);
    assert_eq!(set(&mut desk, change), CommandResult::InvalidValue);
    let global = GlobalLimits {
        open_orders_max: Some(3),
        ..GlobalLimits::default()
    };
    assert_eq!(
        set(&mut desk, LimitsChange::Global(global)),
        CommandResult::Done
    );
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, MID - 100, 10_000), None);
    assert_eq!(reason, Some(Rejection::MaxOpenOrders));
    assert!(desk.recorded(|record| matches!(record, RecordBody::Limits { .. })));
}

#[test]
fn a_market_order_is_priced_at_the_touch_and_named_by_our_number() {
    let mut desk = Desk::ready(&Setup::default());
    let market = Intent {
        kind: OrderKind::Market,
        time_in_force: TimeInForce::Gtc,
        price: Ticks(0),
        self_trade_prevention: SelfTradePrevention::ExpireTaker,
        ..limit(Side::Buy, 0, WHOLE)
    };
    let (_, reason, id) = desk.place_intent(market, None);
    assert_eq!(reason, None);
    assert_eq!(
        id,
        Some(OrderId {
            run: 7,
            sequence: 1
        })
    );
    let asked = desk.take("order.place");
    assert_eq!(asked.text("type"), "MARKET");
    assert_eq!(asked.text("price"), "");
}
