//! Trades that happened while nothing ran: asked for at the start, told once, booked as what they were.

use veloz_core::config::KnownTrades;
use veloz_core::event::LinkDown;
use veloz_core::instrument::Symbol;
use veloz_core::limits::{MISSED_PAGES_MAX, MISSED_TRIES_MAX, OWN_TRADES_MAX};
use veloz_core::order::{DoneReason, Intent, OrderId, OrderState, Side};
use veloz_core::risk::{GlobalLimits, Rejection};
use veloz_core::telemetry::counters::Counter;
use veloz_core::telemetry::records::{HaltCause, RecordBody, TradesKnown, TradingPhase};
use veloz_core::units::E8;
use veloz_core::venue::binance::fault::VenueFault;

use crate::desk::{BTC, Desk, ETH, Held, Setup, WHOLE, limit, lots, ticks};

/// An order of an earlier run: `vz-mm1_6_3k`.
const EARLIER: OrderId = OrderId {
    run: 6,
    sequence: 3 * 36 + 20,
};

fn symbol(text: &str) -> Symbol {
    Symbol::new(text).expect("short")
}

/// A desk whose last run knew all trades up to 100, and 103; of the other instrument all.
fn setup() -> Setup {
    let known = |name: &str, through, since: &[u64]| KnownTrades {
        symbol: symbol(name),
        through,
        since: since.to_vec(),
    };
    Setup {
        baselines: vec![(symbol("BTC"), E8(10 * 100_000_000))],
        trades_known: vec![known("BTCUSDT", 100, &[103]), known("ETHUSDT", 0, &[])],
        ..Setup::default()
    }
}

fn order(client_id: &str, venue_id: u64, side: &str, price: i64) -> Held {
    Held {
        symbol: "BTCUSDT".to_owned(),
        client_id: client_id.to_owned(),
        venue_id,
        side: side.to_owned(),
        price: ticks(price),
        qty: WHOLE,
        executed: WHOLE,
    }
}

fn trade(id: u64, order: &Held, at: u64) -> String {
    format!(
        r#"{{"symbol":"BTCUSDT","id":{id},"orderId":{},"orderListId":-1,"price":"{}","qty":"{}","quoteQty":"1","commission":"0.00000000","commissionAsset":"USDT","time":{at},"isBuyer":{},"isMaker":true,"isBestMatch":true}}"#,
        order.venue_id,
        order.price,
        lots(order.executed),
        order.side == "BUY"
    )
}

/// Until the trades of the first instrument are asked for.
fn begin(desk: &mut Desk, open_orders: &str) {
    desk.begin();
    let ask = desk.take("session.logon");
    desk.answer(&ask, &crate::desk::logged_on());
    let ask = desk.take("userDataStream.subscribe");
    desk.answer(&ask, r#"{"subscriptionId":0}"#);
    desk.advance(1);
    let ask = desk.take("openOrders.status");
    desk.answer(&ask, open_orders);
    desk.advance(1);
    let ask = desk.take("account.status");
    let account = desk.account();
    desk.answer(&ask, &account);
    desk.advance(1);
}

/// Answers the question for missed trades that waits, which begins at `from`.
fn list(desk: &mut Desk, name: &str, from: u64, rows: &[String]) {
    let ask = desk.take("myTrades");
    assert_eq!(ask.text("symbol"), name);
    assert_eq!(ask.params["fromId"], from);
    assert_eq!(ask.params["limit"], OWN_TRADES_MAX);
    desk.answer(&ask, &format!("[{}]", rows.join(",")));
    desk.advance(1);
}

/// Answers whose an order is.
fn owner(desk: &mut Desk, order: &Held, status: &str) {
    let ask = desk.take("order.status");
    desk.expect_quiet();
    assert_eq!(ask.params["orderId"], order.venue_id);
    let at = desk.unix_ms();
    desk.answer(&ask, &order.status(status, at));
    desk.advance(1);
}

fn known(desk: &Desk) -> Vec<(u16, TradesKnown, u64)> {
    let known = desk.records.iter().filter_map(|record| match record {
        RecordBody::TradesKnown {
            instrument,
            how,
            through,
        } => Some((instrument.0, *how, *through)),
        _ => None,
    });
    known.collect()
}

fn realized(desk: &Desk) -> E8 {
    let portfolio = desk.engine.portfolio().expect("an account");
    portfolio.position(BTC).realized()
}

#[test]
fn what_was_missed_is_booked_once_and_as_what_it_was() {
    let mut desk = Desk::new(&setup());
    begin(&mut desk, "[]");
    let at = desk.unix_ms() - 60_000;
    let bought = order("vz-mm1_6_3k", 41, "BUY", 9_800);
    let by_hand = order("web_1", 50, "BUY", 9_900);
    let sold = order("vz-mm1_6_3l", 42, "SELL", 11_000);
    list(
        &mut desk,
        "BTCUSDT",
        101,
        &[
            trade(102, &bought, at),
            // Booked by the last run: not even asked about.
            trade(103, &order("", 40, "SELL", 9_700), at + 1),
            trade(104, &by_hand, at + 2),
            trade(105, &sold, at + 3),
        ],
    );
    owner(&mut desk, &bought, "FILLED");
    owner(&mut desk, &by_hand, "FILLED");
    desk.expect_phase(TradingPhase::Reconciling);
    assert_eq!(desk.fills(), []);
    owner(&mut desk, &sold, "FILLED");
    list(&mut desk, "ETHUSDT", 1, &[]);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Ready);
    desk.expect_quiet();

    let later = OrderId {
        sequence: EARLIER.sequence + 1,
        ..EARLIER
    };
    assert_eq!(desk.fills(), [(EARLIER, 102, WHOLE), (later, 105, WHOLE)]);
    for id in [EARLIER, later] {
        assert_eq!(desk.state(id), OrderState::Done(DoneReason::Filled));
    }
    assert_eq!(desk.reader.counters.plain(Counter::ForeignReports), 1);
    // Ten are held and ten are the baseline; one was bought at 98 and sold at 110 in between.
    assert_eq!(desk.position(BTC), 0);
    assert_eq!(realized(&desk), E8(12 * 100_000_000));
    assert_eq!(known(&desk), [(0, TradesKnown::CaughtUp, 105)]);

    // Told again, by a report: nothing new.
    desk.report(&sold, "TRADE", "FILLED", Some((105, WHOLE)));
    assert_eq!(desk.fills().len(), 2);
    assert_eq!(desk.position(BTC), 0);
}

#[test]
fn a_position_that_a_missed_fill_opened_costs_what_it_cost() {
    let mut desk = Desk::new(&Setup {
        baselines: vec![(symbol("BTC"), E8(9 * 100_000_000))],
        ..setup()
    });
    begin(&mut desk, "[]");
    let bought = order("vz-mm1_6_3k", 41, "BUY", 9_800);
    let at = desk.unix_ms() - 60_000;
    list(&mut desk, "BTCUSDT", 101, &[trade(102, &bought, at)]);
    owner(&mut desk, &bought, "FILLED");
    list(&mut desk, "ETHUSDT", 1, &[]);
    desk.advance(1_500);
    let portfolio = desk.engine.portfolio().expect("an account");
    let position = portfolio.position(BTC);
    assert_eq!(position.qty(), E8(100_000_000));
    // Not the mark, which is 100.00.
    assert_eq!(position.average_entry(), Some(E8(98 * 100_000_000)));
}

/// The books are live, and their middles stay where they are, before the account says what is held.
#[test]
fn what_an_earlier_run_left_counts_from_the_first_order_on() {
    let mut desk = Desk::new(&Setup {
        baselines: vec![(symbol("BTC"), E8(9 * 100_000_000))],
        global: GlobalLimits {
            concentration_max_percent: Some(60),
            concentration_from: E8(1),
            ..GlobalLimits::default()
        },
        ..setup()
    });
    begin(&mut desk, "[]");
    list(&mut desk, "BTCUSDT", 101, &[]);
    list(&mut desk, "ETHUSDT", 1, &[]);
    desk.expect_phase(TradingPhase::Ready);
    assert_eq!(desk.position(BTC), WHOLE);
    // 100 of BTC are held: of ETH up to 150 may be.
    let (bid, _) = desk.touch[1];
    let intent = Intent {
        instrument: ETH,
        ..limit(Side::Buy, bid, WHOLE)
    };
    assert_eq!(desk.place_intent(intent, None).1, None);
    let more = limit(Side::Buy, 9_900, WHOLE);
    assert_eq!(
        desk.place_intent(more, None).1,
        Some(Rejection::MaxConcentration)
    );
}

#[test]
fn a_first_run_learns_where_to_begin_and_books_nothing() {
    let mut desk = Desk::new(&Setup::default());
    begin(&mut desk, "[]");
    let old = order("web_1", 50, "BUY", 9_900);
    let at = desk.unix_ms() - 60_000;
    let ask = desk.take("myTrades");
    assert_eq!(ask.params["limit"], 1);
    assert!(ask.params.get("fromId").is_none());
    desk.answer(&ask, &format!("[{}]", trade(77, &old, at)));
    desk.advance(1);
    let ask = desk.take("myTrades");
    desk.answer(&ask, "[]");
    desk.advance(1);
    desk.expect_phase(TradingPhase::Ready);
    assert_eq!(desk.fills(), []);
    assert_eq!(
        known(&desk),
        [
            (0, TradesKnown::FirstRun, 77),
            (1, TradesKnown::FirstRun, 0)
        ]
    );
}

#[test]
fn a_fill_between_two_words_of_the_venue_is_recorded_once() {
    // Told by a report before the balances, and contained in them; then by the list of trades as well.
    let mut desk = Desk::new(&setup());
    desk.begin();
    let ask = desk.take("session.logon");
    desk.answer(&ask, &crate::desk::logged_on());
    let ask = desk.take("userDataStream.subscribe");
    desk.answer(&ask, r#"{"subscriptionId":0}"#);
    desk.advance(1);
    let mut open = order("vz-mm1_6_3k", 41, "SELL", 11_000);
    open.executed = 0;
    let ask = desk.take("openOrders.status");
    let rows = format!("[{}]", open.status("NEW", desk.unix_ms() - 5));
    desk.answer(&ask, &rows);
    desk.advance(1);
    open.executed = WHOLE;
    let at = desk.unix_ms();
    desk.report(&open, "TRADE", "FILLED", Some((101, WHOLE)));
    desk.advance(1);
    let ask = desk.take("account.status");
    desk.free = [9, 100, 100_000];
    let account = desk.account();
    desk.answer(&ask, &account);
    desk.advance(1);
    list(&mut desk, "BTCUSDT", 101, &[trade(101, &open, at)]);
    list(&mut desk, "ETHUSDT", 1, &[]);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Ready);
    assert_eq!(desk.fills(), [(EARLIER, 101, WHOLE)]);
    assert_eq!(desk.position(BTC), -WHOLE);
    // One after the balances moves the position from there, told before the portfolio starts or after it.
    let funnel = desk.engine.funnel().expect("an account");
    assert_eq!(funnel.stage(veloz_core::strategy::Stage::Fills), 1);
}

/// What the account holds of BTC and USDT, in lots of the first, as of one millisecond.
fn amounts(btc: i64, at: u64) -> String {
    format!(
        r#"{{"subscriptionId":0,"event":{{"e":"outboundAccountPosition","E":{at},"u":{at},"B":[{{"a":"BTC","f":"{}","l":"0.00000000"}}]}}}}"#,
        lots(btc)
    )
}

/// Two orders of the last run that are still open, asked for and told.
fn two_open(desk: &mut Desk, side: &str) -> [Held; 2] {
    desk.begin();
    let ask = desk.take("session.logon");
    desk.answer(&ask, &crate::desk::logged_on());
    let ask = desk.take("userDataStream.subscribe");
    desk.answer(&ask, r#"{"subscriptionId":0}"#);
    desk.advance(1);
    let mut open = [("vz-mm1_6_3k", 41), ("vz-mm1_6_3l", 42)]
        .map(|(name, venue_id)| order(name, venue_id, side, 11_000));
    let rows = open.each_mut().map(|open| {
        open.executed = 0;
        open.status("NEW", desk.unix_ms() - 5)
    });
    let ask = desk.take("openOrders.status");
    desk.answer(&ask, &format!("[{}]", rows.join(",")));
    desk.advance(1);
    open
}

#[test]
fn an_amount_that_lacks_a_fill_of_its_millisecond_is_not_what_the_start_counts_from() {
    // One taker fills two of our orders, and the first amount lacks the second fill; then the account is told.
    let mut desk = Desk::new(&setup());
    let [mut first, mut second] = two_open(&mut desk, "SELL");
    let at = desk.unix_ms();
    desk.tell(&amounts(9 * WHOLE, at));
    desk.fill(&mut first, 101, WHOLE);
    desk.tell(&amounts(8 * WHOLE, at));
    desk.fill(&mut second, 102, WHOLE);
    let ask = desk.take("account.status");
    desk.free = [8, 100, 100_000];
    let account = desk.account();
    desk.answer(&ask, &account);
    desk.advance(1);
    list(
        &mut desk,
        "BTCUSDT",
        101,
        &[trade(101, &first, at), trade(102, &second, at)],
    );
    list(&mut desk, "ETHUSDT", 1, &[]);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Ready);
    let ids: Vec<u64> = desk.fills().iter().map(|(_, id, _)| *id).collect();
    assert_eq!(ids, [101, 102]);
    assert_eq!(desk.position(BTC), -2 * WHOLE);
}

/// How often positions were not what the balances say.
fn disagreements(desk: &Desk) -> u64 {
    let kind = VenueFault::PositionDiffers as u8;
    desk.reader.counters.faults(kind)
}

/// Something that cannot be read: the engine asks what the venue holds of us.
fn unreadable(desk: &mut Desk) {
    desk.tell(r#"{"subscriptionId":0,"event":{"e":"executionReport"}}"#);
    desk.advance(1);
}

fn is_killed(desk: &Desk) -> bool {
    let wanted =
        |record: &RecordBody| matches!(record, RecordBody::KillSwitch { latched: true, .. });
    desk.recorded(wanted)
}

/// When the second of two fills of one millisecond is told, between which the account was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    BeforeStart,
    AfterStart,
    /// Its amount comes first, and the fill is found after the start.
    AfterItsAmount,
    /// Its amount is lost, and the next list of the account brings it.
    WithoutItsAmount,
}

#[test]
fn an_account_that_is_listed_between_two_fills_of_one_millisecond_halts_nothing() {
    for case in [
        Second::BeforeStart,
        Second::AfterStart,
        Second::AfterItsAmount,
        Second::WithoutItsAmount,
    ] {
        let mut desk = Desk::new(&setup());
        let [mut first, mut second] = two_open(&mut desk, "SELL");
        let at = desk.unix_ms();
        desk.fill(&mut first, 101, WHOLE);
        let ask = desk.take("account.status");
        desk.free = [9, 100, 100_000];
        let account = desk.account();
        desk.answer(&ask, &account);
        let mut second_filled = second.clone();
        second_filled.executed = WHOLE;
        let report = second_filled.report("TRADE", "FILLED", Some((102, WHOLE)), 900, at);
        match case {
            Second::BeforeStart => {
                desk.fill(&mut second, 102, WHOLE);
                desk.tell(&amounts(8 * WHOLE, at));
            }
            Second::AfterItsAmount => desk.tell(&amounts(8 * WHOLE, at)),
            Second::AfterStart | Second::WithoutItsAmount => {}
        }
        desk.advance(1);
        list(&mut desk, "BTCUSDT", 101, &[trade(101, &first, at)]);
        list(&mut desk, "ETHUSDT", 1, &[]);
        desk.advance(1);
        desk.expect_phase(TradingPhase::Ready);
        if case != Second::BeforeStart {
            desk.tell(&report);
            if case == Second::AfterStart {
                desk.tell(&amounts(8 * WHOLE, at));
            }
        }
        desk.free = [8, 100, 100_000];
        for _ in 0..3 {
            unreadable(&mut desk);
            desk.reconcile("[]");
            desk.expect_phase(TradingPhase::Ready);
        }
        let ids: Vec<u64> = desk.fills().iter().map(|(_, id, _)| *id).collect();
        assert_eq!(ids, [101, 102], "{case:?}");
        assert_eq!(desk.position(BTC), -2 * WHOLE, "{case:?}");
        assert_eq!(disagreements(&desk), 0, "{case:?}");
        assert!(!is_killed(&desk), "{case:?}");
    }
}

#[test]
fn positions_that_the_balances_contradict_are_asked_about_once_and_then_halt() {
    // More than can be counted is held, so a fill moves the position and cannot move the balance.
    let mut desk = Desk::new(&Setup {
        baselines: vec![(symbol("BTC"), E8(i64::MAX))],
        ..setup()
    });
    let [mut first, _] = two_open(&mut desk, "BUY");
    let ask = desk.take("account.status");
    let account = desk
        .account()
        .replacen("10.00000000", "92233720368.54775807", 1);
    desk.answer(&ask, &account);
    desk.advance(1);
    list(&mut desk, "BTCUSDT", 101, &[]);
    list(&mut desk, "ETHUSDT", 1, &[]);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Ready);
    desk.fill(&mut first, 101, WHOLE);
    unreadable(&mut desk);
    for round in 1..=2 {
        assert!(!is_killed(&desk));
        let ask = desk.take("openOrders.status");
        desk.answer(&ask, "[]");
        desk.advance(1);
        let ask = desk.take("account.status");
        desk.answer(&ask, &account);
        desk.advance(1);
        assert_eq!(disagreements(&desk), round);
    }
    assert!(desk.recorded(|record| matches!(
        record,
        RecordBody::KillSwitch {
            latched: true,
            cause: HaltCause::Books
        }
    )));
}

#[test]
fn lists_are_asked_for_to_the_end_or_to_the_bound() {
    let by_hand = order("web_1", 50, "BUY", 9_900);
    for pages in [2, u64::from(MISSED_PAGES_MAX) + 1] {
        let mut desk = Desk::new(&setup());
        begin(&mut desk, "[]");
        let at = desk.unix_ms() - 60_000;
        let mut from = 101;
        for _ in 0..pages {
            let rows: Vec<String> = (0..OWN_TRADES_MAX as u64)
                .map(|position| trade(from + 10 + position, &by_hand, at))
                .collect();
            list(&mut desk, "BTCUSDT", from, &rows);
            owner(&mut desk, &by_hand, "FILLED");
            // The weight of a minute does not hold all of them.
            for _ in 0..200 {
                if !desk.asked.is_empty() {
                    break;
                }
                desk.advance(1_000);
            }
            from += 10 + OWN_TRADES_MAX as u64;
        }
        let how = if pages == 2 {
            list(&mut desk, "BTCUSDT", from, &[]);
            TradesKnown::CaughtUp
        } else {
            TradesKnown::CutShort
        };
        list(&mut desk, "ETHUSDT", 1, &[]);
        desk.advance(1);
        desk.expect_phase(TradingPhase::Ready);
        assert_eq!(known(&desk), [(0, how, from - 1)]);
    }
}

#[test]
fn a_lost_link_goes_on_where_it_was() {
    let mut desk = Desk::new(&setup());
    begin(&mut desk, "[]");
    let bought = order("vz-mm1_6_3k", 41, "BUY", 9_800);
    let sold = order("vz-mm1_6_3l", 42, "SELL", 11_000);
    let at = desk.unix_ms() - 60_000;
    let rows = [trade(101, &bought, at), trade(102, &sold, at)];
    list(&mut desk, "BTCUSDT", 101, &rows);
    owner(&mut desk, &bought, "FILLED");
    desk.take("order.status");
    desk.link_down(LinkDown::Closed);
    desk.advance_to_log_on();
    begin_again(&mut desk);
    owner(&mut desk, &sold, "FILLED");
    list(&mut desk, "ETHUSDT", 1, &[]);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Ready);
    let ids: Vec<u64> = desk.fills().iter().map(|(_, id, _)| *id).collect();
    assert_eq!(ids, [101, 102]);
}

fn begin_again(desk: &mut Desk) {
    let ask = desk.take("session.logon");
    desk.answer(&ask, &crate::desk::logged_on());
    let ask = desk.take("userDataStream.subscribe");
    desk.answer(&ask, r#"{"subscriptionId":0}"#);
    desk.advance(1);
    let ask = desk.take("openOrders.status");
    desk.answer(&ask, "[]");
    desk.advance(1);
    let ask = desk.take("account.status");
    let account = desk.account();
    desk.answer(&ask, &account);
    desk.advance(1);
}

#[test]
fn an_order_that_the_venue_does_not_find_is_asked_for_a_few_times_and_left_out() {
    let mut desk = Desk::new(&setup());
    begin(&mut desk, "[]");
    let archived = order("vz-mm1_6_3k", 41, "BUY", 9_800);
    let at = desk.unix_ms() - 60_000;
    list(&mut desk, "BTCUSDT", 101, &[trade(101, &archived, at)]);
    for _ in 0..MISSED_TRIES_MAX {
        let ask = desk.take("order.status");
        desk.refuse(&ask, 400, r#"{"code":-2013,"msg":"Order does not exist."}"#);
        desk.advance(1);
        desk.expect_phase(TradingPhase::Reconciling);
        desk.advance(1_000);
    }
    list(&mut desk, "ETHUSDT", 1, &[]);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Ready);
    assert_eq!(desk.fills(), []);
    assert_eq!(desk.position(BTC), 0);
}

#[test]
fn a_venue_that_lists_no_trades_does_not_keep_trading_from_ready() {
    let mut desk = Desk::new(&setup());
    begin(&mut desk, "[]");
    for _ in 0..MISSED_TRIES_MAX {
        let ask = desk.take("myTrades");
        assert_eq!(ask.text("symbol"), "BTCUSDT");
        desk.refuse(
            &ask,
            400,
            r#"{"code":-1000,"msg":"An unknown error occurred while processing the request."}"#,
        );
        desk.advance(1_001);
    }
    list(&mut desk, "ETHUSDT", 1, &[]);
    desk.advance(1);
    desk.expect_phase(TradingPhase::Ready);
    // Nothing more is known than before: the next run asks again from there.
    assert_eq!(known(&desk), []);
}

/// After a round with the venue in which nothing is in doubt, the next run need not ask for what was before it.
#[test]
fn a_round_without_doubts_moves_what_is_known() {
    let mut desk = Desk::ready(&Setup::default());
    let (_, mut held) = desk.rest(veloz_core::order::Side::Buy, 9_900, WHOLE);
    desk.fill(&mut held, 31, WHOLE / 2);
    desk.records.clear();
    desk.link_down(LinkDown::Closed);
    desk.advance_to_log_on();
    let row = format!("[{}]", held.status("PARTIALLY_FILLED", desk.unix_ms()));
    desk.introduce(&row);
    desk.advance(10);
    desk.expect_phase(TradingPhase::Ready);
    assert_eq!(known(&desk), [(0, TradesKnown::Settled, 31)]);
}
