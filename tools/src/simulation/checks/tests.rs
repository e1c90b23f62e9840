//! Histories and accounts that break what must hold; each is seen as what it is.

use super::*;
use crate::simulation::SimulationConfig;
use crate::simulation::setup::{read_instruments, venue_config};
use crate::venue::{Traded as VenueTrade, VenueInProcess};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use veloz_core::event::{LinkId, LinkRole};
use veloz_core::instrument::InstrumentIndex;
use veloz_core::order::OrderId;
use veloz_core::strategy::Stage;
use veloz_core::units::Ticks;

/// The instruments of every run.
pub(crate) fn instruments() -> Instruments {
    let config = SimulationConfig {
        seed: 1,
        busy: Nanos::from_secs(1),
        faults: false,
        parked: None,
    };
    let mut random = SmallRng::seed_from_u64(1);
    let mut venue = VenueInProcess::new(
        venue_config(&config, &mut random),
        crate::simulation::BEGINS_AT,
    )
    .expect("a venue");
    read_instruments(&mut venue).expect("instruments")
}

pub(crate) fn order_id(sequence: u32) -> OrderId {
    OrderId { run: 1, sequence }
}

fn checks() -> Checks {
    Checks::new(&instruments(), Limits::WIDE, 1)
}

fn record(sequence: u64, body: RecordBody) -> Record {
    Record {
        sequence,
        at: Nanos(sequence),
        body,
    }
}

/// A buy of one tenth at 60,000, with a fee of 6 of money.
pub(crate) fn fill(trade_id: u64) -> RecordBody {
    RecordBody::Fill {
        order: order_id(1),
        instrument: InstrumentIndex(0),
        side: Side::Buy,
        is_maker: true,
        fee_asset: AssetIndex(1),
        trade_id,
        price: Ticks(6_000_000),
        qty: Lots(10_000_000),
        fee: E8(600_000_000),
    }
}

/// The same as the venue has it.
fn trade(id: u64) -> VenueTrade {
    VenueTrade {
        symbol: 0,
        id,
        buys: true,
        price: E8(6_000_000_000_000),
        qty: E8(10_000_000),
    }
}

/// The venue's account after that fill, and ours.
fn accounts() -> (Holdings, Ours) {
    let amounts = [("BTC", 110_000_000), ("USDT", 5_000), ("ETH", 0)];
    let holdings = Holdings {
        balances: amounts
            .map(|(asset, free)| (asset.to_owned(), E8(free), E8(0)))
            .to_vec(),
        trades: vec![trade(7)],
        open_orders: 0,
    };
    let held = |symbol: &str, base, baseline, qty| Held {
        symbol: symbol.to_owned(),
        base: AssetIndex(base),
        baseline: E8(baseline),
        qty: E8(qty),
        realized: E8(0),
    };
    let ours = Ours {
        totals: amounts
            .map(|(asset, total)| (asset.to_owned(), E8(total)))
            .to_vec(),
        positions: vec![
            held("BTCUSDT", 0, 100_000_000, 10_000_000),
            held("ETHUSDT", 2, 0, 0),
        ],
        funnel: Ok(()),
    };
    (holdings, ours)
}

/// What the comparison says after one fill, when something of the accounts is changed.
fn compared(change: impl FnOnce(&mut Holdings, &mut Ours)) -> Result<(), String> {
    let mut checks = checks();
    checks.record(&record(0, fill(7))).expect("a fill");
    let (mut holdings, mut ours) = accounts();
    change(&mut holdings, &mut ours);
    checks.compare(&ours, &Ledger::of(holdings))
}

fn violation(result: Result<(), String>, words: &str) {
    let what = result.expect_err(words);
    assert!(what.contains(words), "{what}");
}

#[test]
fn accounts_that_agree_break_nothing() {
    assert_eq!(compared(|_, _| {}), Ok(()));
}

#[test]
fn a_lost_fill_an_invented_one_and_one_at_another_price_are_each_seen() {
    let lost = compared(|venue, _| venue.trades.push(trade(8)));
    violation(lost, "we do not know the venue's trade (0, 8)");
    let invented = compared(|venue, _| venue.trades.clear());
    violation(invented, "the venue does not know our fill (0, 7)");
    let another = compared(|venue, _| venue.trades[0].price.0 += 1);
    violation(another, "the venue does not know our fill (0, 7)");
}

#[test]
fn a_doubled_fill_is_seen_over_restarts_too() {
    let mut checks = checks();
    checks.record(&record(0, fill(7))).expect("a fill");
    violation(
        checks.record(&record(1, fill(7))),
        "trade 7 of BTCUSDT is booked twice",
    );
    let mut checks = self::checks();
    checks.record(&record(0, fill(7))).expect("a fill");
    // Long after it was written.
    checks.restarted(Nanos::from_secs(10));
    violation(
        checks.record(&record(0, fill(7))),
        "trade 7 of BTCUSDT is booked twice",
    );
}

#[test]
fn a_hole_in_the_records_is_seen() {
    let mut checks = checks();
    checks.record(&record(0, fill(7))).expect("a fill");
    violation(
        checks.record(&record(2, fill(8))),
        "record 2 follows record 0",
    );
}

#[test]
fn balances_positions_and_what_was_realized_must_be_the_venues() {
    let balance = compared(|_, ours| ours.totals[1].1.0 += 1);
    violation(balance, "the venue has 0.00005000 USDT, we have 0.00005001");
    let locked = compared(|venue, _| venue.balances[2].2 = E8(1));
    violation(locked, "ETH are locked, and nothing is open");
    let open = compared(|venue, _| venue.open_orders = 1);
    violation(open, "1 orders are open at the venue");
    let position = compared(|_, ours| ours.positions[0].qty.0 += 1);
    violation(
        position,
        "BTCUSDT: 10000000 above the baseline are held, and the position is 10000001",
    );
    let realized = compared(|_, ours| ours.positions[1].realized.0 -= 1);
    violation(
        realized,
        "ETHUSDT: the venue's trades realized 0, and the position says -1",
    );
}

#[test]
fn sums_of_funnel_and_of_open_orders_must_hold() {
    let mut funnel = Funnel::new();
    assert_eq!(funnel_holds(&funnel, &Standing::default()), Ok(()));
    funnel.count(Stage::Admitted);
    violation(
        funnel_holds(&funnel, &Standing::default()),
        "the funnel leaks",
    );
    let leak = compared(|_, ours| ours.funnel = Err("the funnel leaks".to_owned()));
    violation(leak, "the funnel leaks");
    // An order of each kind stands where it belongs.
    let orders = [
        (true, OrderState::Unresolved),
        (false, OrderState::Unresolved),
        (false, OrderState::Sent),
    ];
    let standing = standing(orders.into_iter());
    assert_eq!(
        (standing.open, standing.unresolved, standing.unanswered),
        (1, 1, 1)
    );

    let orders = || [(Side::Buy, Lots(3)), (Side::Sell, Lots(5))].into_iter();
    assert_eq!(sums_agree("BTCUSDT", orders(), (2, 3, 5)), Ok(()));
    for counted in [(1, 3, 5), (2, 4, 5), (2, 3, 4)] {
        violation(
            sums_agree("BTCUSDT", orders(), counted),
            "BTCUSDT: 2 orders with 3 and 5 lots are counted as",
        );
    }
}

#[test]
fn what_an_engine_says_of_itself_is_taken_at_its_word() {
    let link = LinkId {
        role: LinkRole::Orders,
        generation: 1,
    };
    let differs = RecordBody::Fault {
        link,
        instrument: None,
        kind: VenueFault::PositionDiffers as u8,
        detail: 3,
    };
    violation(
        checks().record(&record(0, differs)),
        "a position is not what is held: 3",
    );
    let tripped = |cause| RecordBody::KillSwitch {
        latched: true,
        cause,
    };
    violation(
        checks().record(&record(0, tripped(HaltCause::Overfill))),
        "the kill switch tripped",
    );
}

#[test]
fn a_request_that_is_repeated_over_and_over_is_seen() {
    let ask = |checks: &mut Checks, method: &str, number: u64, ms: u64| {
        // Number, time and signature are what differs between repetitions.
        let text = format!(
            r#"{{"id":{number},"method":"{method}","params":{{"orderId":5,"timestamp":{ms}}}}}"#
        );
        checks.asked(Nanos::from_ms(ms), &text)
    };
    for (method, most, said) in [
        ("order.status", REPEATS_MAX, "asked 9 times within 1000 ms"),
        ("order.cancel", CANCELS_MAX, "asked 17 times within 1000 ms"),
    ] {
        let mut checks = checks();
        for number in 0..most as u64 {
            ask(&mut checks, method, number, number).expect("not so often");
        }
        violation(ask(&mut checks, method, 100, 900), said);
        ask(&mut checks, method, 101, 2_000).expect("a second later");
    }
}
