//! Fees: rates, assets, rounding.

use super::*;

fn stage(fees_in_bnb: bool, bnb: &str, bases: &[&str]) -> Stage {
    let account = AccountConfig {
        balances: vec![
            ("BTC".into(), e8("10")),
            ("USDT".into(), e8("1000")),
            ("BNB".into(), e8(bnb)),
        ],
        maker_fee: e8("0.001"),
        taker_fee: e8("0.002"),
        fees_in_bnb,
        ..AccountConfig::default()
    };
    let config = ExchangeConfig {
        accounts: vec![account.clone(), account],
        ..config()
    };
    let mut stage = Stage::with(&config, PublicBook::new(&[("100", "2")], &[("101", "3")]));
    let specs: Vec<_> = bases
        .iter()
        .map(|base| usdt_symbol(&format!("{base}USDT")))
        .collect();
    stage.exchange = Exchange::new(&config, &specs);
    stage.totals = stage.exchange.ledger.totals();
    stage
}

#[test]
fn fees_come_from_what_is_received() {
    let mut stage = stage(false, "0", &["BTC"]);
    assert_eq!(
        stage.enter(A, market(OrderSide::Buy, "1")),
        ["A 1 New New", "A 1 Trade Filled 1@101 taker fee 0.002 BTC"]
    );
    assert_eq!(stage.balance(A, "BTC").0, "10.998");
    stage.place(A, sell("1", "100.5"));
    assert_eq!(
        stage.enter(B, buy("1", "100.5")),
        [
            "B 3 New New",
            "B 3 Trade Filled 1@100.5 taker fee 0.002 BTC",
            "A 2 Trade Filled 1@100.5 maker fee 0.1005 USDT",
        ]
    );
}

#[test]
fn fees_round_down() {
    let mut stage = stage(false, "0", &["BTC"]);
    stage.book = PublicBook::new(&[("100.01", "1")], &[("101", "1")]);
    // 0.05001 * 100.01 = 5.0015001; 0.2 % of it is 0.0100030002.
    assert_eq!(
        stage.enter(A, market(OrderSide::Sell, "0.05001"))[1],
        "A 1 Trade Filled 0.05001@100.01 taker fee 0.010003 USDT"
    );
}

#[test]
fn fees_in_bnb_are_discounted_while_there_is_some() {
    let mut stage = stage(true, "0.0003", &["BTC"]);
    // 101 * 0.2 % * 75 % / 600.
    assert_eq!(
        stage.enter(A, market(OrderSide::Buy, "1"))[1],
        "A 1 Trade Filled 1@101 taker fee 0.0002525 BNB"
    );
    assert_eq!(stage.balance(A, "BNB").0, "0.0000475");
    assert_eq!(
        stage.enter(A, market(OrderSide::Buy, "1"))[1],
        "A 2 Trade Filled 1@101 taker fee 0.002 BTC"
    );
}

#[test]
fn the_price_of_bnb_is_its_last_trade_where_it_trades() {
    let mut stage = stage(true, "1", &["BTC", "BNB"]);
    stage.exchange.markets[1].last_price = Some(e8("303"));
    assert_eq!(
        stage.enter(A, market(OrderSide::Buy, "1"))[1],
        "A 1 Trade Filled 1@101 taker fee 0.0005 BNB"
    );
    // Without any price the fee is in what is received.
    stage.exchange.markets[1].last_price = None;
    stage.exchange.config.bnb_prices.clear();
    assert_eq!(
        stage.enter(A, market(OrderSide::Buy, "1"))[1],
        "A 2 Trade Filled 1@101 taker fee 0.002 BTC"
    );
}

#[test]
fn bnb_that_is_traded_pays_its_own_fees() {
    let mut stage = stage(true, "10", &["BNB"]);
    assert_eq!(
        stage.enter(A, market(OrderSide::Buy, "1"))[1],
        "A 1 Trade Filled 1@101 taker fee 0.0015 BNB"
    );
    // What is sold cannot pay as well: all of it may be spoken for.
    assert_eq!(
        stage.enter(A, market(OrderSide::Sell, "1"))[1],
        "A 2 Trade Filled 1@100 taker fee 0.2 USDT"
    );
}
