//! Histories that break a limit, told by records; each is seen.

use super::*;
use crate::simulation::checks::tests::{instruments, order_id};
use veloz_core::event::Token;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::order::{DoneReason, OrderState, Origin, Side, TimeInForce};
use veloz_core::telemetry::records::RecordBody;
use veloz_core::units::Lots;

/// 60,000 and 2,500 for one, twice; 20,000 of equity.
fn moment() -> Moment {
    Moment {
        now: Nanos::from_secs(10),
        marks: vec![
            Some(120_000 * i128::from(E8_ONE)),
            Some(5_000 * i128::from(E8_ONE)),
        ],
        equity: Some(20_000 * i128::from(E8_ONE)),
        wall_error_ns: 0,
    }
}

/// What watches an engine that got market data a moment ago.
fn watched(limits: Limits) -> (Watch, Exposures) {
    let instruments = instruments();
    let mut watch = Watch::new(limits, &instruments);
    watch.market_came(Nanos::from_secs(9));
    (watch, Exposures::new(&instruments))
}

/// A buy of so much base, in 1e-8, at so much money.
fn admit(
    watch: &mut Watch,
    exposures: &mut Exposures,
    number: u32,
    instrument: u16,
    qty: i64,
    price: i64,
) -> Result<(), String> {
    let price = Ticks(price * 100);
    exposures.record(
        &RecordBody::OrderAdmitted {
            order: order_id(number),
            instrument: InstrumentIndex(instrument),
            side: Side::Buy,
            kind: OrderKind::Limit,
            time_in_force: TimeInForce::Gtc,
            origin: Origin::Operator,
            price,
            qty: Lots(qty),
            token: Token(0),
        },
        false,
    );
    let admission = Admission {
        instrument: usize::from(instrument),
        kind: OrderKind::Limit,
        price,
    };
    watch.admitted(Nanos::from_secs(10), admission)
}

fn state(exposures: &mut Exposures, number: u32, to: OrderState, qty: i64) {
    exposures.record(
        &RecordBody::OrderState {
            order: order_id(number),
            instrument: InstrumentIndex(0),
            from: OrderState::Sent,
            to,
            venue_order_id: 0,
            executed: Lots(0),
            qty: Lots(qty),
        },
        false,
    );
}

fn violation(looked: Result<(), String>, words: &str) {
    let what = looked.expect_err(words);
    assert!(what.contains(words), "{what}");
}

#[test]
fn an_unresolved_order_counts_until_it_is_over() {
    let (mut watch, mut exposures) = watched(Limits::WIDE);
    admit(&mut watch, &mut exposures, 1, 0, 30_000_000, 60_000).expect("room");
    state(&mut exposures, 1, OrderState::Unresolved, 30_000_000);
    assert_eq!(watch.look(&exposures, Some(&moment())), Ok(()));
    admit(&mut watch, &mut exposures, 2, 0, 20_000_001, 60_000).expect("room");
    violation(
        watch.look(&exposures, Some(&moment())),
        "BTCUSDT: a position of 0 that can come to 50000001",
    );
    // Known to be gone.
    state(
        &mut exposures,
        1,
        OrderState::Done(DoneReason::Rejected),
        30_000_000,
    );
    assert_eq!(watch.look(&exposures, None), Ok(()));
}

#[test]
fn of_an_order_and_its_replacement_the_larger_counts_and_the_old_alone_once_it_traded() {
    let (mut watch, mut exposures) = watched(Limits::WIDE);
    admit(&mut watch, &mut exposures, 1, 0, 30_000_000, 60_000).expect("room");
    exposures.end_of_event();
    admit(&mut watch, &mut exposures, 2, 0, 40_000_000, 60_000).expect("room");
    assert_eq!(exposures.worst(0), 70_000_000);
    state(&mut exposures, 1, OrderState::ReplaceSent, 30_000_000);
    assert_eq!(
        (exposures.worst(0), exposures.worst_in_full(0)),
        (40_000_000, 70_000_000)
    );
    assert_eq!(exposures.open_count(0), 1);
    exposures.record(
        &RecordBody::Fill {
            order: order_id(1),
            instrument: InstrumentIndex(0),
            side: Side::Buy,
            is_maker: true,
            fee_asset: veloz_core::instrument::AssetIndex(0),
            trade_id: 1,
            price: Ticks(1),
            qty: Lots(10_000_000),
            fee: E8(10_000),
        },
        false,
    );
    assert_eq!(exposures.worst(0), 30_000_000 - 10_000);
    // The old one is over without having traded: only the new one is left.
    let (mut watch, mut exposures) = watched(Limits::WIDE);
    admit(&mut watch, &mut exposures, 1, 0, 30_000_000, 60_000).expect("room");
    exposures.end_of_event();
    admit(&mut watch, &mut exposures, 2, 0, 40_000_000, 60_000).expect("room");
    state(&mut exposures, 1, OrderState::ReplaceSent, 30_000_000);
    state(
        &mut exposures,
        1,
        OrderState::Done(DoneReason::Cancelled),
        30_000_000,
    );
    assert_eq!(exposures.worst(0), 40_000_000);
}

#[test]
fn leverage_and_concentration_are_measured_against_the_venues_account() {
    let leverage = Limits {
        leverage_max_percent: Some(4),
        ..Limits::WIDE
    };
    // 780 of 800, then 900.
    let (mut watch, mut exposures) = watched(leverage);
    admit(&mut watch, &mut exposures, 1, 0, 1_300_000, 60_000).expect("room");
    assert_eq!(watch.look(&exposures, Some(&moment())), Ok(()));
    admit(&mut watch, &mut exposures, 2, 0, 200_000, 60_000).expect("room");
    violation(watch.look(&exposures, Some(&moment())), "more than 4 % of");

    let concentration = Limits {
        concentration_max_percent: Some(60),
        concentration_from: E8(500 * E8_ONE),
        ..Limits::WIDE
    };
    // 300 and 250, then 500 and 250.
    let (mut watch, mut exposures) = watched(concentration);
    admit(&mut watch, &mut exposures, 1, 0, 500_000, 60_000).expect("room");
    admit(&mut watch, &mut exposures, 2, 1, 10_000_000, 2_500).expect("room");
    assert_eq!(watch.look(&exposures, Some(&moment())), Ok(()));
    admit(&mut watch, &mut exposures, 3, 0, 333_333, 60_000).expect("room");
    violation(watch.look(&exposures, Some(&moment())), "more than 60 % of");
}

#[test]
fn orders_are_counted_open_and_by_the_second() {
    let limits = Limits {
        open_orders_max: [2, 3],
        ..Limits::WIDE
    };
    let (mut watch, mut exposures) = watched(limits);
    for number in 1..=2 {
        admit(&mut watch, &mut exposures, number, 0, 1_000, 60_000).expect("room");
    }
    assert_eq!(watch.look(&exposures, Some(&moment())), Ok(()));
    admit(&mut watch, &mut exposures, 3, 0, 1_000, 60_000).expect("room");
    violation(
        watch.look(&exposures, Some(&moment())),
        "as its 3th and the 3th of all",
    );

    let limits = Limits {
        orders_per_second_max: 2,
        ..Limits::WIDE
    };
    let (mut watch, mut exposures) = watched(limits);
    for number in 1..=2 {
        admit(&mut watch, &mut exposures, number, 0, 1_000, 60_000).expect("room");
    }
    violation(
        admit(&mut watch, &mut exposures, 3, 0, 1_000, 60_000),
        "3 orders are admitted in a second",
    );
}

#[test]
fn prices_data_and_clocks_are_held_to_their_limits() {
    let limits = Limits {
        price_collar_bps: 100,
        ..Limits::WIDE
    };
    let (mut watch, mut exposures) = watched(limits);
    admit(&mut watch, &mut exposures, 1, 0, 1_000, 59_400).expect("room");
    assert_eq!(watch.look(&exposures, Some(&moment())), Ok(()));
    admit(&mut watch, &mut exposures, 2, 0, 1_000, 59_399).expect("room");
    violation(
        watch.look(&exposures, Some(&moment())),
        "more than 100 bps from",
    );

    let late = Moment {
        now: Nanos::from_secs(12),
        ..moment()
    };
    let wrong = Moment {
        wall_error_ns: -3_000_000_000,
        ..moment()
    };
    for (moment, words) in [(late, "market data of"), (wrong, "-3000000000 ns wrong")] {
        admit(&mut watch, &mut exposures, 3, 0, 1_000, 60_000).expect("room");
        violation(watch.look(&exposures, Some(&moment)), words);
    }
}
