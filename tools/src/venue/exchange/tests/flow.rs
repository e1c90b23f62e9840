//! Resting orders against the public flow, synthetic and recorded.

use bytes::Bytes;

use super::*;

fn stage() -> Stage {
    Stage::new(PublicBook::new(&[("100", "2")], &[("101", "3")]))
}

fn ahead(stage: &Stage, side: OrderSide) -> Vec<String> {
    let resting = stage.exchange.markets[0].resting.iter(side);
    resting
        .map(|resting| short(resting.queue.ahead()))
        .collect()
}

#[test]
fn prints_eat_the_queue_ahead_and_then_the_order() {
    let mut stage = stage();
    stage.place(A, buy("1", "100"));
    assert_eq!(ahead(&stage, OrderSide::Buy), ["2"]);
    assert_eq!(stage.print(OrderSide::Sell, "1.5", "100"), [""; 0]);
    assert_eq!(ahead(&stage, OrderSide::Buy), ["0.5"]);
    assert_eq!(
        stage.print(OrderSide::Sell, "1", "100"),
        ["A 1 Trade PartiallyFilled 0.5@100 maker"]
    );
    // A buyer's print does not touch bids.
    assert_eq!(stage.print(OrderSide::Buy, "1", "100"), [""; 0]);
    assert_eq!(
        stage.print(OrderSide::Sell, "3", "100"),
        ["A 1 Trade Filled 0.5@100 maker"]
    );
}

#[test]
fn a_print_is_shared_in_the_order_of_arrival() {
    let mut stage = stage();
    stage.place(A, sell("1", "101"));
    stage.diff(OrderSide::Sell, "101", "4");
    stage.place(B, sell("1", "101"));
    assert_eq!(ahead(&stage, OrderSide::Sell), ["3", "4"]);
    // 3 public, A's 1, 0.5 public; the level shows what it lost.
    assert_eq!(
        stage.print(OrderSide::Buy, "4.5", "101"),
        ["A 1 Trade Filled 1@101 maker"]
    );
    assert_eq!(ahead(&stage, OrderSide::Sell), ["0.5"]);
    assert_eq!(
        stage.print(OrderSide::Buy, "2", "101"),
        ["B 2 Trade Filled 1@101 maker"]
    );
}

#[test]
fn losses_without_prints_shrink_the_queue_and_gains_do_not_lengthen_it() {
    let mut stage = stage();
    stage.place(A, buy("1", "100"));
    stage.diff(OrderSide::Buy, "100", "4");
    assert_eq!(ahead(&stage, OrderSide::Buy), ["2"]);
    stage.diff(OrderSide::Buy, "100", "3");
    assert_eq!(ahead(&stage, OrderSide::Buy), ["1.5"]);
    // The loss that a print explains is no cancel.
    stage.print(OrderSide::Sell, "1", "100");
    stage.diff(OrderSide::Buy, "100", "2");
    assert_eq!(ahead(&stage, OrderSide::Buy), ["0.5"]);
    // A diff that does not name the level: what traded was replaced.
    stage.print(OrderSide::Sell, "0.1", "100");
    stage.diff(OrderSide::Buy, "99", "5");
    stage.diff(OrderSide::Buy, "100", "1.9");
    assert_eq!(ahead(&stage, OrderSide::Buy), ["0.38"]);
}

#[test]
fn a_print_through_an_order_fills_it_first_and_by_no_more_than_it_has() {
    let mut stage = stage();
    stage.place(A, buy("1", "100"));
    stage.place(B, buy("2", "99.5"));
    assert_eq!(
        stage.print(OrderSide::Sell, "2", "99"),
        [
            "A 1 Trade Filled 1@100 maker",
            "B 2 Trade PartiallyFilled 1@99.5 maker",
        ]
    );
    assert_eq!(ahead(&stage, OrderSide::Buy), ["0"]);
}

#[test]
fn a_book_that_crosses_an_order_fills_it_once() {
    let mut stage = stage();
    stage.place(A, buy("3", "100.5"));
    assert_eq!(
        stage.diff(OrderSide::Sell, "100.4", "1"),
        ["A 1 Trade PartiallyFilled 1@100.5 maker"]
    );
    // Nothing new to take, then a growth of one.
    assert_eq!(stage.diff(OrderSide::Sell, "102", "1"), [""; 0]);
    assert_eq!(
        stage.diff(OrderSide::Sell, "100.4", "2"),
        ["A 1 Trade PartiallyFilled 1@100.5 maker"]
    );
    // Nor is it there for anyone else.
    assert_eq!(
        stage.enter(B, buy("1", "100.4").within(TimeInForce::Ioc)),
        ["B 2 New New", "B 2 Expired Expired UnfilledIoc"]
    );
}

#[test]
fn a_ticker_tells_at_once() {
    let mut stage = stage();
    stage.place(A, buy("1", "100.5"));
    let ticker = |update_id, ask: Level| MarketEvent::BookTicker {
        update_id,
        bid: level("99", "1"),
        ask,
    };
    assert_eq!(
        stage.publish(ticker(101, level("100.5", "0.4"))),
        ["A 1 Trade PartiallyFilled 0.4@100.5 maker"]
    );
    assert_eq!(stage.publish(ticker(101, level("100.5", "0.4"))), [""; 0]);
    // Older than the newest.
    assert_eq!(stage.publish(ticker(99, level("90", "5"))), [""; 0]);
    // The snapshot is still at 100: the touch of the ticker lies over it.
    let taken = stage.place(B, market(OrderSide::Sell, "0.6"));
    assert_eq!(taken.fills.len(), 1, "A's bid");
    let taken = stage.place(B, market(OrderSide::Sell, "2"));
    assert_eq!(
        taken.order.executed_qty,
        e8("1"),
        "the ticker's bid, not the snapshot's"
    );
    // A side without orders reads zero.
    stage.publish(ticker(102, level("0", "0")));
    let taken = stage.place(B, market(OrderSide::Buy, "2"));
    assert_eq!(taken.order.executed_qty, E8(0));
    stage.book.0.last_update_id = 102;
    let taken = stage.place(B, market(OrderSide::Buy, "2"));
    assert_eq!(taken.order.executed_qty, e8("2"), "the book has caught up");
}

#[test]
fn our_takers_move_the_queue_and_are_not_counted_as_ahead() {
    let mut stage = stage();
    stage.place(A, sell("1", "101"));
    stage.place(B, buy("2", "101"));
    assert_eq!(ahead(&stage, OrderSide::Sell), ["1"]);
    stage.place(B, sell("1", "101"));
    assert_eq!(ahead(&stage, OrderSide::Sell), ["1", "1"]);
}

#[test]
fn the_slow_diff_repeats_the_fast_one() {
    let mut stage = stage();
    stage.place(A, buy("1", "100"));
    stage.diff(OrderSide::Buy, "100", "1");
    assert_eq!(ahead(&stage, OrderSide::Buy), ["1"]);
    stage.print(OrderSide::Sell, "0.5", "100");
    let id = stage.book.0.last_update_id;
    stage.publish(MarketEvent::Depth {
        speed: DepthSpeed::Ms1000,
        first_id: 1,
        last_id: id,
        bids: vec![level("100", "1")],
        asks: vec![],
    });
    stage.diff(OrderSide::Buy, "100", "0.5");
    assert_eq!(
        ahead(&stage, OrderSide::Buy),
        ["0.5"],
        "the print still explains it"
    );
}

#[test]
fn a_halt_keeps_orders_and_a_trade_after_it_fills() {
    let mut stage = stage();
    stage.place(A, buy("1", "100.5"));
    stage.exchange.set_status(SYMBOL, SymbolStatus::Halt);
    assert_eq!(stage.diff(OrderSide::Sell, "100.4", "5"), [""; 0]);
    assert_eq!(stage.print(OrderSide::Sell, "5", "90"), [""; 0]);
    stage.exchange.set_status(SYMBOL, SymbolStatus::Trading);
    assert_eq!(
        stage.diff(OrderSide::Sell, "105", "1"),
        ["A 1 Trade Filled 1@100.5 maker"]
    );
}

#[test]
fn recorded_frames_are_read() {
    let mut stage = stage();
    stage.place(A, buy("3", "100"));
    let mut frame = |stream: &str, payload: &str| {
        let frame = format!(r#"{{"stream":"btcusdt@{stream}","data":{payload}}}"#);
        stage.publish(MarketEvent::Recorded {
            stream: format!("btcusdt@{stream}"),
            frame: Bytes::from(frame),
        })
    };
    let trade = concat!(
        r#"{"e":"trade","E":1,"s":"BTCUSDT","t":7,"p":"100.00000000","q":"2.50000000","#,
        r#""T":1,"m":true,"M":true}"#
    );
    assert_eq!(
        frame("trade", trade),
        ["A 1 Trade PartiallyFilled 0.5@100 maker"]
    );
    let diff = concat!(
        r#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":101,"u":102,"#,
        r#""b":[["100.00000000","0.00000000"]],"a":[]}"#
    );
    assert_eq!(frame("depth@100ms", diff), [""; 0]);
    let ticker = concat!(
        r#"{"u":103,"s":"BTCUSDT","b":"99.00000000","B":"1.00000000","#,
        r#""a":"99.50000000","A":"1.50000000"}"#
    );
    assert_eq!(
        frame("bookTicker", ticker),
        ["A 1 Trade PartiallyFilled 1.5@100 maker"]
    );
    // Aggregates repeat trades; what is no frame of the venue says nothing.
    assert_eq!(frame("aggTrade", trade), [""; 0]);
    for (stream, payload) in [
        ("trade", "{}"),
        ("trade", r#"{"p":"x","q":"1","m":true}"#),
        ("trade", r#"{"p":"0","q":"9","m":true}"#),
        ("bookTicker", "[1]"),
        ("depth", r#"{"u":200,"b":[["1"]],"a":[]}"#),
        ("depth@100ms", "null"),
    ] {
        assert_eq!(frame(stream, payload), [""; 0], "{stream} {payload}");
    }
    assert_eq!(
        stage.publish(MarketEvent::Recorded {
            stream: "nothing".into(),
            frame: Bytes::from("{}"),
        }),
        [""; 0]
    );
}
