//! Subscriptions, and events that nobody's order caused.

use veloz_core::units::E8;

use super::*;
use crate::venue::Fault;
use desk::error_of;

#[test]
fn an_account_is_listened_to_once_a_connection() {
    let mut desk = Desk::trading(config(), still());
    let active = "User Data Stream subscription already active.".to_owned();
    assert_eq!(
        error_of(&desk.ask_bare("userDataStream.subscribe")),
        (400, -2035, active.clone())
    );
    let by_signature = desk.ask("userDataStream.subscribe.signature", "", Sign::Hmac);
    assert_eq!(error_of(&by_signature), (400, -2035, active));
    let list = desk.ask_bare("session.subscriptions");
    assert_eq!(list["result"], serde_json::json!([{"subscriptionId":0}]));
    let inactive = "User Data Stream subscription not active.".to_owned();
    let unsubscribe = |id: u64| {
        format!(
            r#"{{"id":77,"method":"userDataStream.unsubscribe","params":{{"subscriptionId":{id}}}}}"#
        )
    };
    desk.send(&unsubscribe(1));
    let reply = serde_json::from_str(&desk.next().expect("a reply")).expect("JSON");
    assert_eq!(error_of(&reply), (400, -2036, inactive));
    desk.send(&unsubscribe(0));
    assert!(
        desk.next()
            .expect("a reply")
            .contains(r#""status":200,"result":{}"#)
    );
    assert_eq!(
        desk.next().as_deref(),
        Some(r#"{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1700000040000}}"#)
    );
    assert_eq!(
        error_of(&desk.ask_bare("userDataStream.unsubscribe")).1,
        -2036
    );
    let list = desk.ask_bare("session.subscriptions");
    assert_eq!(list["result"], serde_json::json!([]));
    // Any kind of key may sign a subscription, and it outlives a logout.
    let reply = desk.ask("userDataStream.subscribe.signature", "", Sign::Hmac);
    assert_eq!(reply["result"]["subscriptionId"], 1);
    desk.ask_bare("session.logout");
    assert_eq!(desk.next(), None);
    assert_eq!(
        desk.ask_bare("session.status")["result"]["userDataStream"],
        true
    );
}

#[test]
fn every_subscriber_of_an_account_is_told() {
    let mut desk = Desk::trading(config(), still());
    let trader = desk.link;
    desk.link = desk.venue.open_api(desk.now).expect("room");
    let reply = desk.ask("userDataStream.subscribe.signature", "", Sign::Hmac);
    assert_eq!(reply["result"]["subscriptionId"], 0);
    let listener = std::mem::replace(&mut desk.link, trader);
    let order = r#""symbol":"BTCUSDT","side":"BUY","type":"MARKET","quantity":"1""#;
    desk.order("order.place", order);
    let own = desk.rest();
    desk.link = listener;
    assert_eq!(desk.rest(), own);
    assert_eq!(own.len(), 3);
}

#[test]
fn deposits_and_outside_locks_are_told() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::Deposit { units: 5 });
    let texts = desk.rest();
    assert_eq!(
        texts[0],
        concat!(
            r#"{"subscriptionId":0,"event":{"e":"balanceUpdate","E":1700000040000,"a":"USDT","#,
            r#""d":"5.00000000","T":1700000040000}}"#
        )
    );
    assert_eq!(
        texts[1],
        concat!(
            r#"{"subscriptionId":0,"event":{"e":"outboundAccountPosition","E":1700000040000,"#,
            r#""u":1700000040000,"B":[{"a":"USDT","f":"1000005.00000000","l":"0.00000000"}]}}"#
        )
    );
    desk.inject(Fault::ExternalLock { units: 3 });
    assert_eq!(
        desk.rest(),
        [concat!(
            r#"{"subscriptionId":0,"event":{"e":"externalLockUpdate","E":1700000040000,"#,
            r#""a":"USDT","d":"3.00000000","T":1700000040000}}"#
        )]
    );
    // What is locked there is the account's, but not free.
    let usdt = |desk: &Desk| {
        let holdings = desk.venue.holdings("main").expect("the account");
        let mut balances = holdings.balances.into_iter();
        balances
            .find(|(asset, ..)| asset == "USDT")
            .expect("listed")
    };
    let (_, free, locked) = usdt(&desk);
    assert_eq!(locked, E8(300_000_000));
    for (account, delta) in [("nobody", 1), ("main", free.0 + 1), ("main", -300_000_001)] {
        assert!(
            !desk
                .venue
                .lock_outside(desk.now, account, "USDT", E8(delta))
        );
    }
    assert!(desk.rest().is_empty());
    assert!(
        desk.venue
            .lock_outside(desk.now, "main", "USDT", E8(-300_000_000))
    );
    assert!(desk.rest()[0].contains(r#""a":"USDT","d":"-3.00000000""#));
    assert_eq!(usdt(&desk).2, E8(0));
    assert!(
        desk.venue
            .deposit(desk.now, "main", "BTC", E8(-100_000_000))
    );
    for (account, asset, delta) in [
        ("nobody", "BTC", 1),
        ("main", "XYZ", 1),
        ("main", "BTC", -1_000_000_000),
        ("main", "BTC", i64::MAX),
    ] {
        assert!(
            !desk.venue.deposit(desk.now, account, asset, E8(delta)),
            "{account} {asset}"
        );
    }
    let texts = desk.rest();
    assert!(
        texts[0].contains(r#""a":"BTC","d":"-1.00000000""#),
        "{texts:?}"
    );
    assert!(
        texts[1].contains(r#"{"a":"BTC","f":"9.00000000","l":"0.00000000"}"#),
        "{texts:?}"
    );
}

#[test]
fn a_revoked_session_is_told_so_and_knows_nobody() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::SessionRevoked);
    assert_eq!(
        desk.rest(),
        [concat!(
            r#"{"id":null,"status":401,"error":{"code":-2015,"#,
            r#""msg":"Invalid API-key, IP, or permissions for action."}}"#
        )]
    );
    assert_eq!(error_of(&desk.order("account.status", "")).1, -1102);
    let status = desk.ask_bare("session.status");
    assert_eq!(status["result"]["apiKey"], serde_json::Value::Null);
    assert_eq!(status["result"]["userDataStream"], false);
    // The key itself is good: the client logs on again.
    assert_eq!(desk.ask("session.logon", "", Sign::Ed25519)["status"], 200);
}

#[test]
fn a_terminated_stream_ends_every_subscription() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::StreamTerminated);
    assert_eq!(desk.story(), ["eventStreamTerminated"]);
    let order = r#""symbol":"BTCUSDT","side":"BUY","type":"MARKET","quantity":"1""#;
    assert_eq!(desk.order("order.place", order)["status"], 200);
    assert_eq!(desk.story(), Vec::<String>::new());
    assert_eq!(
        desk.ask_bare("userDataStream.subscribe")["result"]["subscriptionId"],
        1
    );
}

#[test]
fn a_shutdown_is_announced_on_the_api_too() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::ServerShutdown);
    assert_eq!(
        desk.rest(),
        [r#"{"event":{"e":"serverShutdown","E":1700000040000}}"#]
    );
    desk.pass(1_000_000);
    assert_eq!(desk.rest(), ["close 1001"]);
}
