//! Self-trade prevention: the taker's mode decides.

use super::*;

/// A rests 1 at 101 and 2 at 102; the public 1 at 103.
fn stage() -> (Stage, [u64; 2]) {
    let config = ExchangeConfig {
        allow_stp_none: true,
        ..config()
    };
    let mut stage = Stage::with(&config, PublicBook::new(&[("90", "1")], &[("103", "1")]));
    let first = stage.place(A, sell("1", "101"));
    let second = stage.place(A, sell("2", "102"));
    (stage, [first.order.id, second.order.id])
}

#[test]
fn the_takers_mode_decides() {
    let cases: [(StpMode, &[&str]); 6] = [
        (
            StpMode::None,
            &[
                "A 3 Trade PartiallyFilled 1@101 taker",
                "A 1 Trade Filled 1@101 maker",
                "A 3 Trade Filled 1@102 taker",
                "A 2 Trade PartiallyFilled 1@102 maker",
            ],
        ),
        (
            StpMode::ExpireTaker,
            &["A 3 TradePrevention ExpiredInMatch 2 of 1"],
        ),
        (
            StpMode::ExpireMaker,
            &[
                "A 1 TradePrevention ExpiredInMatch 1 of 1",
                "A 2 TradePrevention ExpiredInMatch 2 of 2",
                "A 3 Trade PartiallyFilled 1@103 taker",
            ],
        ),
        (
            StpMode::ExpireBoth,
            &[
                "A 3 TradePrevention ExpiredInMatch 2 of 1",
                "A 1 TradePrevention ExpiredInMatch 1 of 1",
            ],
        ),
        (
            StpMode::Decrement,
            &[
                "A 3 TradePrevention New 1 of 1",
                "A 1 TradePrevention ExpiredInMatch 1 of 1",
                "A 3 TradePrevention ExpiredInMatch 1 of 1",
                "A 2 TradePrevention New 1 of 1",
            ],
        ),
        // Within one account a transfer is a decrement.
        (
            StpMode::Transfer,
            &[
                "A 3 TradePrevention New 1 of 1",
                "A 1 TradePrevention ExpiredInMatch 1 of 1",
                "A 3 TradePrevention ExpiredInMatch 1 of 1",
                "A 2 TradePrevention New 1 of 1",
            ],
        ),
    ];
    for (mode, expected) in cases {
        let (mut stage, _) = stage();
        let lines = stage.enter(A, buy("2", "103").stp(mode));
        assert_eq!(lines[0], "A 3 New New");
        assert_eq!(lines[1..], *expected, "{mode:?}");
    }
}

#[test]
fn the_answer_lists_what_was_prevented() {
    let (mut stage, [first, second]) = stage();
    let placed = stage.place(A, buy("2", "103").stp(StpMode::ExpireMaker));
    let listed = |maker_order_id, price, qty, match_id| PreventedMatch {
        match_id,
        maker_order_id,
        price: e8(price),
        maker_prevented_qty: e8(qty),
        taker_prevented_qty: E8(0),
    };
    assert_eq!(
        placed.prevented,
        [listed(first, "101", "1", 1), listed(second, "102", "2", 2)]
    );
    assert_eq!(placed.order.prevented_qty, E8(0));
    assert_eq!(placed.order.status, OrderStatus::PartiallyFilled);
    assert_eq!(stage.order(A, first).prevented_qty, e8("1"));
    assert_eq!(stage.order(A, first).remaining(), E8(0));
}

#[test]
fn the_event_names_the_counterparty_and_the_price() {
    let (mut stage, [first, _]) = stage();
    let order = buy("0.5", "103").stp(StpMode::ExpireTaker);
    let placed = stage.try_place(A, order).expect("accepted");
    let reports = stage.reports();
    let prevented = reports[1].prevented.clone().expect("prevented");
    assert_eq!(
        prevented,
        Prevented {
            match_id: 1,
            counter_order_id: first,
            qty: e8("0.5"),
            price: e8("101"),
            match_qty: e8("0.5"),
            match_quote: e8("50.5"),
        }
    );
    assert_eq!(placed.order.status, OrderStatus::ExpiredInMatch);
}

#[test]
fn other_accounts_trade_and_the_makers_mode_does_not_matter() {
    let (mut stage, _) = stage();
    assert_eq!(
        stage.enter(B, buy("1", "103").stp(StpMode::ExpireBoth)),
        [
            "B 3 New New",
            "B 3 Trade Filled 1@101 taker",
            "A 1 Trade Filled 1@101 maker",
        ]
    );
}

#[test]
fn the_default_is_to_expire_the_maker_and_none_is_not_allowed() {
    let mut stage = Stage::new(PublicBook::new(&[], &[]));
    let refused = stage.try_place(A, buy("1", "100").stp(StpMode::None));
    assert_eq!(refused, Err(Refusal::StpNotAllowed));
    stage.place(A, sell("1", "100"));
    assert_eq!(
        stage.enter(A, buy("1", "100")),
        ["A 3 New New", "A 2 TradePrevention ExpiredInMatch 1 of 1"]
    );
}

#[test]
fn fok_does_not_count_what_would_be_prevented() {
    let (mut stage, _) = stage();
    let fok = |mode| buy("2", "103").within(TimeInForce::Fok).stp(mode);
    for mode in [
        StpMode::ExpireTaker,
        StpMode::ExpireMaker,
        StpMode::Decrement,
    ] {
        let lines = stage.enter(A, fok(mode));
        assert_eq!(lines[1..].len(), 1, "{lines:?}");
        assert!(
            lines[1].ends_with("Expired Expired UnfilledFok"),
            "{lines:?}"
        );
    }
}

#[test]
fn a_quote_quantity_is_prevented_in_base() {
    let (mut stage, _) = stage();
    let mut order = market(OrderSide::Buy, "1").stp(StpMode::ExpireTaker);
    order.qty = Quantity::Quote(e8("202"));
    assert_eq!(
        stage.enter(A, order),
        ["A 3 New New", "A 3 TradePrevention ExpiredInMatch 2 of 1"]
    );
}
