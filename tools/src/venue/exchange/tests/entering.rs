//! New orders: matching on entry, time in force, refusals.

use super::*;

/// One public level a side.
fn narrow() -> Stage {
    Stage::new(PublicBook::new(&[("100", "2")], &[("101", "3")]))
}

#[test]
fn a_market_order_that_empties_the_book_has_the_documented_sequence() {
    let book = PublicBook::new(&[("99", "1")], &[("100", "2"), ("101", "2")]);
    let mut stage = Stage::new(book);
    let placed = stage
        .try_place(A, market(OrderSide::Buy, "6"))
        .expect("accepted");
    let reports = stage.reports();
    let lines: Vec<_> = reports.iter().map(describe).collect();
    assert_eq!(
        lines,
        [
            "A 1 New New",
            "A 1 Trade PartiallyFilled 2@100 taker",
            "A 1 Trade PartiallyFilled 2@101 taker",
            "A 1 Expired Expired InsufficientLiquidity",
        ]
    );
    // The public counterparties used the numbers between.
    let first = reports[0].execution_id;
    let ids: Vec<_> = reports
        .iter()
        .map(|report| report.execution_id - first)
        .collect();
    assert_eq!(ids, [0, 1, 3, 5]);
    let on_book: Vec<_> = reports.iter().map(|report| report.on_book).collect();
    assert_eq!(on_book, [true, false, false, false]);
    assert!(reports.iter().all(|report| report.at == stage.now));
    assert_eq!(placed.fills.len(), 2);
    assert_eq!(placed.fills[1].trade_id, placed.fills[0].trade_id + 1);
    assert_eq!(placed.order.cumulative_quote, e8("402"));
    assert_eq!(
        placed.order.expiry,
        Some(ExpiryReason::InsufficientLiquidity)
    );
    assert_eq!(stage.balance(A, "BTC"), ("14".into(), "0".into()));
    assert_eq!(stage.balance(A, "USDT"), ("999598".into(), "0".into()));
}

#[test]
fn public_liquidity_is_taken_once_until_the_level_changes() {
    let mut stage = narrow();
    let ioc = |qty| buy(qty, "101").within(TimeInForce::Ioc);
    assert_eq!(
        stage.enter(A, ioc("2")),
        ["A 1 New New", "A 1 Trade Filled 2@101 taker"]
    );
    assert_eq!(
        stage.enter(B, ioc("2")),
        [
            "B 2 New New",
            "B 2 Trade PartiallyFilled 1@101 taker",
            "B 2 Expired Expired UnfilledIoc",
        ]
    );
    stage.diff(OrderSide::Sell, "101", "4");
    assert_eq!(
        stage.place(B, ioc("2")).order.executed_qty,
        e8("1"),
        "the growth"
    );
    stage.diff(OrderSide::Sell, "101", "0");
    stage.diff(OrderSide::Sell, "101", "4");
    assert_eq!(
        stage.place(B, ioc("9")).order.executed_qty,
        e8("4"),
        "a new level"
    );
}

#[test]
fn a_limit_order_trades_what_it_can_and_rests_at_its_price() {
    let mut stage = narrow();
    assert_eq!(
        stage.enter(A, buy("5", "101")),
        ["A 1 New New", "A 1 Trade PartiallyFilled 3@101 taker"]
    );
    assert_eq!(stage.balance(A, "USDT"), ("999495".into(), "202".into()));
    // The other account's best offer is now A's order, not the level that A took.
    assert_eq!(
        stage.enter(B, market(OrderSide::Sell, "1")),
        [
            "B 2 New New",
            "B 2 Trade Filled 1@101 taker",
            "A 1 Trade PartiallyFilled 1@101 maker",
        ]
    );
}

#[test]
fn a_limit_order_pays_the_better_price_and_gets_the_difference_back() {
    let mut stage = narrow();
    stage.place(A, buy("1", "110"));
    assert_eq!(stage.balance(A, "USDT"), ("999899".into(), "0".into()));
}

#[test]
fn at_one_price_public_quantity_and_orders_trade_in_the_order_of_arrival() {
    let mut stage = narrow();
    let first = stage.place(A, sell("1", "101"));
    stage.diff(OrderSide::Sell, "101", "5");
    let second = stage.place(B, sell("1", "101"));
    stage.diff(OrderSide::Sell, "101", "6");
    // 3 public, A's 1, 2 public, B's 1, 1 public.
    let taker = buy("4.5", "101").stp(StpMode::ExpireTaker);
    assert_eq!(
        stage.enter(B, taker),
        [
            "B 3 New New",
            "B 3 Trade PartiallyFilled 3@101 taker",
            "B 3 Trade PartiallyFilled 1@101 taker",
            "A 1 Trade Filled 1@101 maker",
            "B 3 Trade Filled 0.5@101 taker",
        ]
    );
    assert_eq!(stage.order(A, first.order.id).status, OrderStatus::Filled);
    assert_eq!(stage.order(B, second.order.id).status, OrderStatus::New);
    assert_eq!(
        stage.enter(A, buy("4", "101").within(TimeInForce::Ioc)),
        [
            "A 4 New New",
            "A 4 Trade PartiallyFilled 1.5@101 taker",
            "A 4 Trade PartiallyFilled 1@101 taker",
            "B 2 Trade Filled 1@101 maker",
            "A 4 Trade PartiallyFilled 1@101 taker",
            "A 4 Expired Expired UnfilledIoc",
        ]
    );
}

#[test]
fn a_better_resting_order_trades_before_the_public_book() {
    let mut stage = narrow();
    stage.place(A, sell("1", "100.5"));
    assert_eq!(
        stage.enter(B, market(OrderSide::Buy, "2")),
        [
            "B 2 New New",
            "B 2 Trade PartiallyFilled 1@100.5 taker",
            "A 1 Trade Filled 1@100.5 maker",
            "B 2 Trade Filled 1@101 taker",
        ]
    );
}

#[test]
fn fok_fills_whole_or_not_at_all() {
    let mut stage = narrow();
    let fok = |qty| buy(qty, "101").within(TimeInForce::Fok);
    assert_eq!(
        stage.enter(A, fok("3.1")),
        ["A 1 New New", "A 1 Expired Expired UnfilledFok"]
    );
    assert_eq!(stage.balance(A, "USDT"), ("1000000".into(), "0".into()));
    assert_eq!(
        stage.enter(A, fok("3")),
        ["A 2 New New", "A 2 Trade Filled 3@101 taker"]
    );
}

#[test]
fn a_maker_order_rests_or_is_refused() {
    let mut stage = narrow();
    assert_eq!(
        stage.try_place(A, buy("1", "101").maker()),
        Err(Refusal::WouldMatch)
    );
    assert_eq!(stage.enter(A, buy("1", "100.99").maker()), ["A 2 New New"]);
    // Another account's order counts, and so does its own.
    for account in [A, B] {
        let refused = stage.try_place(account, sell("1", "100.99").maker());
        assert_eq!(refused, Err(Refusal::WouldMatch));
    }
    assert_eq!(stage.enter(B, sell("1", "101").maker()), ["B 5 New New"]);
}

#[test]
fn a_quote_quantity_buys_whole_steps_within_the_budget() {
    let book = PublicBook::new(&[("100", "2")], &[("101", "1"), ("103", "5")]);
    let mut stage = Stage::new(book);
    let of = |side, quote| {
        let mut order = market(side, "1");
        order.qty = Quantity::Quote(e8(quote));
        order
    };
    let placed = stage
        .try_place(A, of(OrderSide::Buy, "150"))
        .expect("accepted");
    // 101 for one, then 49 / 103 = 0.475728...
    assert_eq!(
        stage.events(),
        [
            "A 1 New New",
            "A 1 Trade PartiallyFilled 1@101 taker",
            "A 1 Trade Filled 0.47572@103 taker",
        ]
    );
    assert_eq!(placed.order.orig_qty, e8("1.47572"));
    assert_eq!(placed.order.quote_order_qty, e8("150"));
    assert!(placed.order.cumulative_quote <= e8("150"));

    // The book runs out: the rest is counted at the last price.
    let placed = stage
        .try_place(A, of(OrderSide::Sell, "300"))
        .expect("accepted");
    assert_eq!(
        stage.events(),
        [
            "A 2 New New",
            "A 2 Trade PartiallyFilled 2@100 taker",
            "A 2 Expired Expired InsufficientLiquidity",
        ]
    );
    assert_eq!(placed.order.orig_qty, e8("3"));

    // Nobody is there at all.
    stage.book.0.bids.clear();
    assert_eq!(
        stage.enter(A, of(OrderSide::Sell, "300")),
        ["A 3 New New", "A 3 Expired Expired InsufficientLiquidity"]
    );
}

#[test]
fn a_quote_quantity_below_one_step_fails_lot_size() {
    let mut stage = narrow();
    stage.book = PublicBook::new(&[], &[("999999", "1")]);
    // Six is above the smallest notional, but 0.00001 costs 9.99999.
    let mut order = market(OrderSide::Buy, "1");
    order.qty = Quantity::Quote(e8("6"));
    assert_eq!(
        stage.try_place(A, order),
        Err(Refusal::FilterFailure("LOT_SIZE"))
    );
}

#[test]
fn each_filter_refuses() {
    let mut stage = narrow();
    let quote = |quote| {
        let mut order = market(OrderSide::Buy, "1");
        order.qty = Quantity::Quote(e8(quote));
        order
    };
    let cases = [
        (buy("1", "100.001"), "PRICE_FILTER"),
        (buy("1", "0"), "PRICE_FILTER"),
        (buy("1", "1000000.01"), "PRICE_FILTER"),
        (buy("0.000001", "100"), "LOT_SIZE"),
        (buy("0", "100"), "LOT_SIZE"),
        (buy("9000.00001", "100"), "LOT_SIZE"),
        (market(OrderSide::Buy, "120.00001"), "MARKET_LOT_SIZE"),
        (buy("1", "502.51"), "PERCENT_PRICE_BY_SIDE"),
        (buy("1", "20.09"), "PERCENT_PRICE_BY_SIDE"),
        (sell("1", "502.51"), "PERCENT_PRICE_BY_SIDE"),
        (sell("1", "20.09"), "PERCENT_PRICE_BY_SIDE"),
        (buy("0.04999", "100"), "NOTIONAL"),
        (buy("9000", "500.01").within(TimeInForce::Ioc), ""),
        (market(OrderSide::Buy, "0.04"), "NOTIONAL"),
        (quote("4.99"), "NOTIONAL"),
    ];
    for (order, filter) in cases {
        let expected = match filter {
            "" => Err(Refusal::InsufficientBalance),
            _ => Err(Refusal::FilterFailure(filter)),
        };
        if !filter.is_empty() {
            let tested = stage.exchange.test(A, &order, &stage.book);
            assert_eq!(tested, Err(Refusal::FilterFailure(filter)));
        }
        assert_eq!(stage.try_place(A, order.clone()), expected, "{order:?}");
    }
    assert_eq!(
        stage.try_place(A, quote("0")),
        Err(Refusal::PriceTimesQtyZero)
    );
    let notional = &mut stage.exchange.markets[0].rules.notional;
    notional.as_mut().expect("there is one").max = e8("1000");
    let too_large = stage.try_place(A, buy("11", "100"));
    assert_eq!(too_large, Err(Refusal::FilterFailure("NOTIONAL")));
    assert_eq!(stage.events(), [""; 0]);
}

#[test]
fn prices_are_measured_by_the_last_trade_and_before_it_by_the_middle() {
    let mut stage = narrow();
    let reference = |stage: &Stage| stage.exchange.reference_price(SYMBOL, &stage.book);
    assert_eq!(reference(&stage), Some(e8("100.5")));
    stage.print(OrderSide::Buy, "1", "10");
    assert_eq!(reference(&stage), Some(e8("10")));
    let refused = stage.try_place(A, buy("1", "100"));
    assert_eq!(
        refused,
        Err(Refusal::FilterFailure("PERCENT_PRICE_BY_SIDE"))
    );
    stage.place(A, market(OrderSide::Buy, "1"));
    assert_eq!(reference(&stage), Some(e8("101")), "our trades count");

    let mut empty = Stage::new(PublicBook::new(&[], &[("101", "3")]));
    assert_eq!(reference(&empty), None);
    assert_eq!(
        empty.enter(A, buy("5", "1")),
        ["A 1 New New"],
        "nothing to measure by"
    );
    let refused = empty.try_place(A, market(OrderSide::Buy, "0.00001"));
    assert!(refused.is_ok(), "no notional either");
}

#[test]
fn open_orders_are_counted_and_takers_are_not() {
    let mut stage = narrow();
    stage.exchange.markets[0].rules.orders_max = 2;
    let first = stage.place(A, buy("1", "90"));
    stage.place(A, buy("1", "90"));
    let full = Err(Refusal::FilterFailure("MAX_NUM_ORDERS"));
    assert_eq!(stage.try_place(A, buy("1", "90")), full);
    assert_eq!(stage.try_place(A, buy("1", "90").maker()), full);
    stage.place(A, buy("1", "101").within(TimeInForce::Ioc));
    stage.place(A, market(OrderSide::Buy, "1"));
    stage.place(B, buy("1", "90"));
    stage.cancel(A, first.order.id).expect("open");
    stage.events();
    stage.place(A, buy("1", "90"));
}

#[test]
fn what_an_order_needs_must_be_free() {
    let mut stage = narrow();
    let insufficient = Err(Refusal::InsufficientBalance);
    assert_eq!(stage.try_place(A, buy("9000", "112")), insufficient);
    assert_eq!(stage.try_place(A, sell("10.00001", "101")), insufficient);
    assert_eq!(
        stage.try_place(A, market(OrderSide::Sell, "10.00001")),
        insufficient
    );
    stage.place(A, sell("9", "102"));
    assert_eq!(stage.balance(A, "BTC"), ("1".into(), "9".into()));
    assert_eq!(stage.try_place(A, sell("1.00001", "102")), insufficient);
    stage.place(A, sell("1", "102"));

    // A market purchase needs what the book asks for it.
    stage.place(B, buy("8999", "100").maker());
    stage.book = PublicBook::new(&[], &[("101", "50"), ("9999", "99")]);
    assert_eq!(
        stage.try_place(B, market(OrderSide::Buy, "120")),
        insufficient
    );
    stage.place(B, market(OrderSide::Buy, "50"));
}

#[test]
fn a_worth_that_is_no_number_is_refused() {
    let levels: Vec<_> = (0..3)
        .map(|tick| Level {
            price: E8(E8_ONE_MILLION + tick),
            qty: E8(E8_ONE_MILLION),
        })
        .collect();
    let mut stage = narrow();
    stage.book.0.asks = levels;
    stage.exchange.markets[0].rules.market_lot.max = E8(0);
    stage.exchange.markets[0].rules.lot.max = E8(0);
    let refused = stage.try_place(A, market(OrderSide::Buy, "1000000"));
    assert_eq!(refused, Err(Refusal::PriceTimesQtyZero));
}

const E8_ONE_MILLION: i64 = 1_000_000 * 100_000_000;

#[test]
fn an_id_is_used_by_one_open_order_at_a_time() {
    let mut stage = narrow();
    let first = stage.place(A, buy("1", "90").named("x"));
    let again = stage.try_place(A, sell("1", "110").named("x"));
    assert_eq!(again, Err(Refusal::Duplicate));
    stage.place(B, buy("1", "90").named("x"));
    stage.cancel(A, first.order.id).expect("open");
    stage.events();
    stage.place(A, buy("1", "90").named("x"));
}

#[test]
fn a_closed_symbol_takes_no_orders() {
    let mut stage = narrow();
    let open = stage.place(A, buy("1", "90"));
    for (status, cancels) in [
        (SymbolStatus::Halt, false),
        (SymbolStatus::CancelOnly, true),
    ] {
        stage.exchange.set_status(SYMBOL, status);
        assert_eq!(stage.exchange.rules(SYMBOL).status, status);
        assert_eq!(
            stage.try_place(A, buy("1", "90")),
            Err(Refusal::MarketClosed)
        );
        assert!(stage.exchange.test(A, &buy("1", "90"), &stage.book).is_ok());
        let which = OrderRef::Id(open.order.id);
        let amended = stage
            .exchange
            .amend(stage.now, A, SYMBOL, &which, e8("0.5"), "n".into());
        assert_eq!(amended, Err(Refusal::MarketClosed));
        assert_eq!(stage.print(OrderSide::Sell, "5", "80"), [""; 0]);
        let canceled = stage.cancel(A, open.order.id);
        assert_eq!(canceled.is_ok(), cancels);
        let all = stage.exchange.cancel_all(stage.now, B, SYMBOL, "c");
        let expected = if cancels {
            Refusal::UnknownOrder
        } else {
            Refusal::MarketClosed
        };
        assert_eq!(all, Err(expected));
        stage.events();
    }
    stage.exchange.set_status(SYMBOL, SymbolStatus::Trading);
    stage.place(A, buy("1", "90"));
}

#[test]
fn deep_orders_read_the_whole_book() {
    let asks = (0..300).map(|tick| Level {
        price: E8(e8("101").0 + tick * e8("0.01").0),
        qty: e8("0.1"),
    });
    let mut stage = narrow();
    stage.book.0.asks = asks.collect();
    let taken = stage.place(A, buy("25", "103.49").within(TimeInForce::Ioc));
    assert_eq!(taken.order.executed_qty, e8("25"));
    stage.place(B, sell("1", "103.99"));
    let queue = stage.exchange.markets[0]
        .resting
        .iter(OrderSide::Sell)
        .next();
    assert_eq!(queue.map(|resting| resting.queue.ahead()), Some(e8("0.1")));
}
