//! What is remembered, and for how long.

use super::super::accounts::{Account, DONE_ORDERS_MAX, TRADES_MAX};
use super::*;

fn stage() -> Stage {
    Stage::new(PublicBook::new(&[("100", "2000")], &[("101", "3000")]))
}

#[test]
fn trades_are_filtered() {
    let mut stage = stage();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let placed = stage.place(A, market(OrderSide::Buy, "0.1"));
        ids.push(placed.fills[0].trade_id);
    }
    let list = |filter: TradeFilter| {
        let trades = stage.exchange.trades(A, SYMBOL, &filter);
        let ids: Vec<_> = trades.map(|trade| trade.fill.trade_id).collect();
        ids
    };
    let all = TradeFilter {
        limit: 10,
        ..TradeFilter::default()
    };
    assert_eq!(list(all), ids);
    assert_eq!(
        list(TradeFilter { limit: 2, ..all }),
        ids[3..],
        "the last ones"
    );
    let from_id = Some(ids[1]);
    assert_eq!(
        list(TradeFilter {
            limit: 2,
            from_id,
            ..all
        }),
        ids[1..3]
    );
    let at: Vec<_> = stage
        .exchange
        .trades(A, SYMBOL, &all)
        .map(|trade| trade.at)
        .collect();
    let (start, end) = (Some(at[1]), Some(at[3]));
    assert_eq!(list(TradeFilter { start, end, ..all }), ids[1..4]);
    assert_eq!(
        list(TradeFilter {
            start,
            limit: 1,
            ..all
        }),
        ids[1..2]
    );
    let order_id = stage
        .exchange
        .order(A, SYMBOL, &OrderRef::ClientId("3".into()))
        .map(|order| order.id)
        .ok();
    assert_eq!(list(TradeFilter { order_id, ..all }), ids[2..3]);
    assert_eq!(stage.exchange.trades(B, SYMBOL, &all).count(), 0);
}

#[test]
fn a_name_used_again_means_the_open_order_or_else_the_newest() {
    let mut stage = stage();
    let by = OrderRef::ClientId("x".into());
    let ioc = || buy("1", "99").within(TimeInForce::Ioc).named("x");
    stage.place(A, ioc());
    let newest = stage.place(A, ioc()).order.id;
    let found = |stage: &Stage| stage.exchange.order(A, SYMBOL, &by).map(|order| order.id);
    assert_eq!(found(&stage), Ok(newest));
    // An amendment can give an older order the name.
    let open = stage.place(A, buy("1", "90").named("y")).order.id;
    stage.place(A, ioc());
    let which = OrderRef::Id(open);
    stage
        .exchange
        .amend(stage.now, A, SYMBOL, &which, e8("0.5"), "x".into())
        .expect("reduced");
    assert_eq!(found(&stage), Ok(open));
}

#[test]
fn the_oldest_are_forgotten_and_open_orders_are_not() {
    let mut stage = stage();
    let open = stage.place(A, buy("1", "90").named("open")).order;
    let trade = {
        stage.place(A, market(OrderSide::Buy, "0.1"));
        let all = TradeFilter {
            limit: 1,
            ..TradeFilter::default()
        };
        let trade = stage.exchange.trades(A, SYMBOL, &all).next().cloned();
        trade.expect("one trade")
    };
    let mut account = Account::default();
    account.insert(open.clone());
    for id in 0..=DONE_ORDERS_MAX as u64 {
        let mut order = open.clone();
        order.id = id;
        account.insert(order);
        account.change(SYMBOL, id, |order| order.status = OrderStatus::Canceled);
    }
    let found = |id| {
        account
            .find(SYMBOL, &OrderRef::Id(id))
            .map(|order| order.id)
    };
    assert_eq!(found(0), Err(Refusal::OrderDoesNotExist));
    assert_eq!(found(1), Ok(1));
    assert_eq!(found(open.id), Ok(open.id));

    for trade_id in 0..=TRADES_MAX as u64 {
        let mut trade = trade.clone();
        trade.fill.trade_id = trade_id;
        account.traded(trade);
    }
    let from_id = Some(0);
    let first = TradeFilter {
        from_id,
        limit: 1,
        ..TradeFilter::default()
    };
    let oldest = account.trades(SYMBOL, &first).next();
    assert_eq!(oldest.map(|trade| trade.fill.trade_id), Some(1));
}

#[test]
fn accounts_start_with_what_was_configured() {
    let config = ExchangeConfig::default();
    let specs = [usdt_symbol("BTCUSDT"), usdt_symbol("S001USDT")];
    let exchange = Exchange::new(&config, &specs);
    let account = exchange.account("main").expect("configured");
    assert_eq!(exchange.account("nobody"), None);
    assert_eq!(exchange.account_config(account).taker_fee, e8("0.001"));
    let balances: Vec<_> = exchange
        .balances(account)
        .map(|balance| format!("{} {}", balance.asset, short(balance.free)))
        .collect();
    assert_eq!(
        balances,
        ["BNB 100", "BTC 10", "ETH 100", "S001 1000", "USDT 1000000"]
    );
}

#[test]
fn order_ids_increase_a_symbol_and_open_orders_are_listed_by_it() {
    let mut stage = stage();
    let first = stage.place(A, buy("1", "90")).order.id;
    let second = stage.place(A, buy("1", "91")).order.id;
    assert!(second > first && first > u64::from(u32::MAX));
    let listed = |symbol| {
        let orders = stage.exchange.open_orders(A, symbol);
        orders.map(|order| order.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(None), [first, second]);
    assert_eq!(listed(Some(SYMBOL)), [first, second]);
    assert_eq!(listed(Some(SymbolIndex(1))), [0; 0]);
}
