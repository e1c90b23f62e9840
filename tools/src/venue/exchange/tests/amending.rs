//! Cancels, amendments, cancel-replace, and what the exchange does unasked.

use super::*;

fn stage() -> Stage {
    Stage::new(PublicBook::new(&[("100", "2")], &[("101", "3")]))
}

fn amend(stage: &mut Stage, id: u64, qty: &str, client_id: &str) -> Result<Amended, Refusal> {
    let which = OrderRef::Id(id);
    stage
        .exchange
        .amend(stage.now, A, SYMBOL, &which, e8(qty), client_id.into())
}

#[test]
fn a_cancel_releases_what_was_held() {
    let mut stage = stage();
    let placed = stage.place(A, buy("5", "101"));
    assert_eq!(stage.balance(A, "USDT"), ("999495".into(), "202".into()));
    let canceled = stage.cancel(A, placed.order.id).expect("open");
    assert_eq!(stage.events(), ["A 1 Canceled Canceled by cancel"]);
    assert_eq!(canceled.executed_qty, e8("3"));
    assert_eq!(stage.balance(A, "USDT"), ("999697".into(), "0".into()));
    assert_eq!(stage.cancel(A, placed.order.id), Err(Refusal::UnknownOrder));
    assert_eq!(stage.cancel(B, placed.order.id), Err(Refusal::UnknownOrder));
}

#[test]
fn orders_are_found_by_either_id_and_both_must_agree() {
    let mut stage = stage();
    let id = stage.place(A, buy("1", "90").named("x")).order.id;
    let by = |client: &str| OrderRef::ClientId(client.into());
    let both = |id, client: &str| OrderRef::Both {
        id,
        client_id: client.into(),
    };
    let exchange = &mut stage.exchange;
    for (which, found) in [
        (OrderRef::Id(id), Ok(id)),
        (OrderRef::Id(id + 1), Err(Refusal::OrderDoesNotExist)),
        (by("x"), Ok(id)),
        (by("y"), Err(Refusal::OrderDoesNotExist)),
        (both(id, "x"), Ok(id)),
        (both(id, "y"), Err(Refusal::ClientIdMismatch)),
        (both(id + 1, "x"), Err(Refusal::OrderDoesNotExist)),
    ] {
        let order = exchange.order(A, SYMBOL, &which);
        assert_eq!(order.map(|order| order.id), found, "{which:?}");
    }
    for (which, refusal) in [
        (by("y"), Refusal::UnknownOrder),
        (both(id, "y"), Refusal::ClientIdMismatch),
        (both(id + 1, "x"), Refusal::UnknownOrder),
    ] {
        let canceled = exchange.cancel(stage.now, A, SYMBOL, &which, "c", None);
        assert_eq!(canceled, Err(refusal), "{which:?}");
    }
    let canceled = exchange.cancel(stage.now, A, SYMBOL, &both(id, "x"), "c", None);
    assert!(canceled.is_ok());
    let done = exchange.order(A, SYMBOL, &by("x"));
    assert_eq!(done.map(|order| order.status), Ok(OrderStatus::Canceled));
}

#[test]
fn a_cancel_can_be_restricted() {
    let mut stage = stage();
    let new = stage.place(A, buy("1", "90")).order.id;
    let partly = stage.place(A, buy("5", "101")).order.id;
    let mut cancel = |id, restriction| {
        let which = OrderRef::Id(id);
        let canceled = stage
            .exchange
            .cancel(stage.now, A, SYMBOL, &which, "c", Some(restriction));
        canceled.map(|order| order.id)
    };
    let refused = Err(Refusal::CancelRestrictions);
    assert_eq!(cancel(new, CancelRestriction::OnlyPartiallyFilled), refused);
    assert_eq!(cancel(partly, CancelRestriction::OnlyNew), refused);
    assert_eq!(cancel(new, CancelRestriction::OnlyNew), Ok(new));
    assert_eq!(
        cancel(partly, CancelRestriction::OnlyPartiallyFilled),
        Ok(partly)
    );
}

#[test]
fn all_are_cancelled_in_one_transaction() {
    let mut stage = stage();
    stage.place(A, buy("1", "90"));
    stage.place(B, buy("1", "90"));
    stage.place(A, sell("1", "110"));
    let canceled = stage.exchange.cancel_all(stage.now, A, SYMBOL, "c");
    assert_eq!(canceled.map(|orders| orders.len()), Ok(2));
    let mut events = Vec::new();
    stage.exchange.take_events(&mut events);
    stage.audit(&events);
    assert_eq!(events.len(), 3, "two reports, one of balances");
    let again = stage.exchange.cancel_all(stage.now, A, SYMBOL, "c");
    assert_eq!(again, Err(Refusal::UnknownOrder));
}

#[test]
fn the_exchange_expires_orders_unasked() {
    let mut stage = stage();
    stage.place(A, buy("1", "90"));
    stage.place(A, buy("5", "101"));
    stage.exchange.set_status(SYMBOL, SymbolStatus::Halt);
    stage.exchange.expire_all(stage.now, A, SYMBOL);
    assert_eq!(
        stage.events(),
        [
            "A 1 Expired Expired ExchangeCanceled",
            "A 2 Expired Expired ExchangeCanceled",
        ]
    );
    stage.exchange.expire_all(stage.now, A, SYMBOL);
    assert_eq!(stage.events(), [""; 0]);
}

#[test]
fn an_amendment_reduces_and_keeps_the_place() {
    let mut stage = stage();
    let first = stage.place(A, buy("2", "99")).order.id;
    stage.place(B, buy("1", "99"));
    let amended = amend(&mut stage, first, "1.5", "n").expect("reduced");
    assert_eq!(stage.events(), ["A n Replaced New was 1, 1.5 left"]);
    assert_eq!(amended.previous_client_id, "1");
    assert_eq!(amended.order.amends, 1);
    assert_eq!(amended.execution_id, stage.last_execution_id);
    assert_eq!(
        stage.balance(A, "USDT"),
        ("999851.5".into(), "148.5".into())
    );
    // The public bids first, then A before B.
    assert_eq!(
        stage.enter(B, market(OrderSide::Sell, "4")),
        [
            "B 3 New New",
            "B 3 Trade PartiallyFilled 2@100 taker",
            "B 3 Trade PartiallyFilled 1.5@99 taker",
            "A n Trade Filled 1.5@99 maker",
            "B 2 TradePrevention ExpiredInMatch 1 of 0.5",
            "B 3 Expired Expired InsufficientLiquidity",
        ]
    );
}

#[test]
fn an_amendment_below_what_was_done_expires_the_order() {
    for (qty, left) in [("3", "3"), ("1", "3")] {
        let mut stage = stage();
        let id = stage.place(A, buy("5", "101")).order.id;
        let amended = amend(&mut stage, id, qty, "n").expect("reduced");
        assert_eq!(amended.order.orig_qty, e8(left));
        assert_eq!(stage.events(), ["A n Expired Expired was 1, 0 left"]);
        assert_eq!(stage.balance(A, "USDT"), ("999697".into(), "0".into()));
    }
}

#[test]
fn amendments_are_refused_for_each_reason() {
    let mut stage = stage();
    let id = stage.place(A, buy("2", "99").named("x")).order.id;
    stage.place(A, buy("2", "99").named("y"));
    for (qty, client_id, refusal) in [
        ("2", "n", Refusal::AmendNotReducing),
        ("3", "n", Refusal::AmendNotReducing),
        ("0", "n", Refusal::AmendNotReducing),
        ("1", "y", Refusal::Duplicate),
        ("1.000001", "n", Refusal::FilterFailure("LOT_SIZE")),
        ("0.01", "n", Refusal::FilterFailure("NOTIONAL")),
    ] {
        assert_eq!(amend(&mut stage, id, qty, client_id), Err(refusal), "{qty}");
    }
    assert_eq!(
        amend(&mut stage, id + 9, "1", "n"),
        Err(Refusal::UnknownOrder)
    );
    // Its own id is not another's.
    for count in 0..10 {
        let qty = short(E8(e8("1.9").0 - count * e8("0.1").0));
        amend(&mut stage, id, &qty, "x").expect("ten amendments");
        stage.events();
    }
    assert_eq!(
        amend(&mut stage, id, "0.5", "x"),
        Err(Refusal::TooManyAmends)
    );
    assert_eq!(stage.events(), [""; 0]);
}

fn replace(
    stage: &mut Stage,
    mode: ReplaceMode,
    cancel: u64,
    new: NewOrder,
) -> Result<Replaced, Refusal> {
    let request = CancelReplace {
        mode,
        cancel: OrderRef::Id(cancel),
        cancel_id: "c".into(),
        restriction: None,
        new,
    };
    stage
        .exchange
        .cancel_replace(stage.now, A, request, &stage.book)
}

#[test]
fn cancel_replace_has_its_matrix() {
    const STOP: ReplaceMode = ReplaceMode::StopOnFailure;
    const ALLOW: ReplaceMode = ReplaceMode::AllowFailure;
    // Mode, whether the cancel can work, whether the new order can.
    let cases: [(_, _, _, &[&str]); 6] = [
        (
            STOP,
            true,
            true,
            &["A x Canceled Canceled by c", "A x New New"],
        ),
        (
            ALLOW,
            true,
            true,
            &["A x Canceled Canceled by c", "A x New New"],
        ),
        (STOP, false, true, &[]),
        (ALLOW, false, true, &["A n New New"]),
        (
            ALLOW,
            true,
            false,
            &[
                "A x Canceled Canceled by c",
                "A x Rejected Rejected InsufficientBalance",
            ],
        ),
        (ALLOW, false, false, &[]),
    ];
    for (mode, cancels, places, expected) in cases {
        let mut stage = stage();
        let id = stage.place(A, buy("1", "90").named("x")).order.id;
        let id = if cancels { id } else { id + 1 };
        let name = if cancels { "x" } else { "n" };
        let qty = if places { "1" } else { "8000" };
        // 8,000 at 130 cost more than there is.
        let new = buy(qty, if places { "91" } else { "130" }).named(name);
        let replaced = replace(&mut stage, mode, id, new).expect("past the checks");
        assert_eq!(stage.events(), *expected);
        match replaced.cancel {
            Half::Done(order) => assert!(cancels && order.id == id),
            Half::Failed(refusal) => assert!(!cancels && refusal == Refusal::UnknownOrder),
            Half::NotAttempted => panic!("a cancel is always attempted"),
        }
        match replaced.new {
            Half::Done(placed) => assert!(places && placed.order.status.is_open()),
            Half::Failed(refusal) => {
                assert!(!places && refusal == Refusal::InsufficientBalance);
            }
            Half::NotAttempted => assert!(!cancels && mode == STOP),
        }
    }
}

#[test]
fn cancel_replace_looks_at_filters_before_it_cancels() {
    let mut stage = stage();
    let id = stage.place(A, buy("1", "90")).order.id;
    let bad = replace(
        &mut stage,
        ReplaceMode::AllowFailure,
        id,
        buy("1", "90.001"),
    );
    assert_eq!(bad, Err(Refusal::FilterFailure("PRICE_FILTER")));
    assert_eq!(stage.events(), [""; 0]);
    stage.exchange.markets[0].rules.orders_max = 1;
    let full = replace(&mut stage, ReplaceMode::AllowFailure, id, buy("1", "91"));
    assert_eq!(full, Err(Refusal::FilterFailure("MAX_NUM_ORDERS")));
    assert!(stage.order(A, id).status.is_open());
}

#[test]
fn a_replacing_order_loses_its_place() {
    let mut stage = stage();
    let first = stage.place(A, buy("1", "99")).order.id;
    stage.place(B, buy("1", "99"));
    replace(
        &mut stage,
        ReplaceMode::StopOnFailure,
        first,
        buy("1", "99").named("n"),
    )
    .expect("accepted");
    stage.events();
    let lines = stage.print(OrderSide::Sell, "1", "99");
    assert_eq!(lines, ["B 2 Trade Filled 1@99 maker"]);
}
