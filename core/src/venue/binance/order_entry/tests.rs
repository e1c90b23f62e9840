use super::*;
use crate::instrument::tests::instrument;
use crate::order::{Intent, OrderKind, Origin, SelfTradePrevention, Side, TimeInForce};
use crate::units::{Lots, Ticks};
use crate::wire::sign::{SignatureText, Signer};
use proptest::prelude::*;
use serde_json::Value as Json;

const API_KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
const SECRET: &[u8] = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u
-----END PRIVATE KEY-----
";
const NOW: VenueMillis = VenueMillis(1_645_423_376_532);
const BTC: InstrumentIndex = InstrumentIndex(0);
const PEPE: InstrumentIndex = InstrumentIndex(1);

fn instruments() -> Instruments {
    let mut btc = instrument("BTCUSDT", 1_000_000, 1);
    btc.order_rules.qty_step = Lots(1_000);
    Instruments::new(vec![btc, instrument("PEPEUSDT", 1, 100_000_000)]).expect("two")
}

fn entry(signer: Signer) -> OrderEntry {
    let credentials = Credentials {
        api_key: ApiKey::new(API_KEY).expect("plain"),
        signer,
    };
    let ids = ClientOrderIds::new("mm1").expect("legal");
    OrderEntry::new(&instruments(), ids, credentials, 5_000).expect("legal")
}

fn session() -> OrderEntry {
    entry(Signer::from_pem(KEY.as_bytes()).expect("a key"))
}

fn hmac() -> OrderEntry {
    entry(Signer::hmac(SECRET).expect("not empty"))
}

fn id(sequence: u32) -> OrderId {
    OrderId { run: 7, sequence }
}

fn target(sequence: u32, venue_order_id: Option<u64>) -> OrderTarget {
    OrderTarget {
        instrument: BTC,
        order: id(sequence),
        venue_order_id,
    }
}

fn intent(side: Side, kind: OrderKind, time_in_force: TimeInForce) -> Intent {
    Intent {
        instrument: BTC,
        side,
        kind,
        time_in_force,
        price: Ticks(5_200_000),
        qty: Lots(1_000_000),
        self_trade_prevention: SelfTradePrevention::ExpireMaker,
        origin: Origin::Strategy,
    }
}

fn limit() -> Intent {
    intent(Side::Sell, OrderKind::Limit, TimeInForce::Gtc)
}

fn text(request: OrderRequest<'_>) -> String {
    String::from_utf8(request.message.to_vec()).expect("UTF-8")
}

/// What each request looks like on a session that is logged on.
#[test]
fn requests_of_a_session_are_these_bytes() {
    let mut it = session();
    assert!(it.logs_on());
    let log_on = text(it.log_on(NOW).expect("an Ed25519 key logs on"));
    let signer = Signer::from_pem(KEY.as_bytes()).expect("a key");
    let payload = format!("apiKey={API_KEY}&recvWindow=5000&timestamp=1645423376532");
    let expected = format!(
        r#"{{"id":16,"method":"session.logon","params":{{"recvWindow":5000,"timestamp":1645423376532,"apiKey":"{API_KEY}","signature":"{}"}}}}"#,
        signature(&signer, &payload)
    );
    assert_eq!(log_on, expected);
    let cases = [
        (
            text(it.subscribe(NOW)),
            r#"{"id":33,"method":"userDataStream.subscribe"}"#,
        ),
        (
            text(it.write_place(NOW, id(1), &limit())),
            r#"{"id":50,"method":"order.place","params":{"symbol":"BTCUSDT","side":"SELL","type":"LIMIT","timeInForce":"GTC","newOrderRespType":"ACK","selfTradePreventionMode":"EXPIRE_MAKER","recvWindow":5000,"price":"52000.00","quantity":"0.01000","newClientOrderId":"vz-mm1_7_1","timestamp":1645423376532}}"#,
        ),
        (
            text(it.write_place(
                NOW,
                id(2),
                &intent(Side::Buy, OrderKind::LimitMaker, TimeInForce::Gtc),
            )),
            r#"{"id":66,"method":"order.place","params":{"symbol":"BTCUSDT","side":"BUY","type":"LIMIT_MAKER","newOrderRespType":"ACK","selfTradePreventionMode":"EXPIRE_MAKER","recvWindow":5000,"price":"52000.00","quantity":"0.01000","newClientOrderId":"vz-mm1_7_2","timestamp":1645423376532}}"#,
        ),
        (
            text(it.write_place(
                NOW,
                id(3),
                &intent(Side::Buy, OrderKind::Market, TimeInForce::Gtc),
            )),
            r#"{"id":82,"method":"order.place","params":{"symbol":"BTCUSDT","side":"BUY","type":"MARKET","newOrderRespType":"ACK","selfTradePreventionMode":"EXPIRE_MAKER","recvWindow":5000,"quantity":"0.01000","newClientOrderId":"vz-mm1_7_3","timestamp":1645423376532}}"#,
        ),
        (
            text(it.cancel(NOW, target(1, Some(12_569_099_453)))),
            r#"{"id":99,"method":"order.cancel","params":{"symbol":"BTCUSDT","newClientOrderId":"vc-mm1_7_1","orderId":12569099453,"recvWindow":5000,"timestamp":1645423376532}}"#,
        ),
        (
            text(it.cancel(NOW, target(1, None))),
            r#"{"id":115,"method":"order.cancel","params":{"symbol":"BTCUSDT","newClientOrderId":"vc-mm1_7_1","origClientOrderId":"vz-mm1_7_1","recvWindow":5000,"timestamp":1645423376532}}"#,
        ),
        (
            text(it.write_cancel_replace(NOW, target(1, Some(5)), id(4), &limit())),
            r#"{"id":132,"method":"order.cancelReplace","params":{"cancelReplaceMode":"STOP_ON_FAILURE","cancelNewClientOrderId":"vc-mm1_7_1","cancelOrderId":5,"symbol":"BTCUSDT","side":"SELL","type":"LIMIT","timeInForce":"GTC","newOrderRespType":"ACK","selfTradePreventionMode":"EXPIRE_MAKER","recvWindow":5000,"price":"52000.00","quantity":"0.01000","newClientOrderId":"vz-mm1_7_4","timestamp":1645423376532}}"#,
        ),
        (
            text(it.write_cancel_replace(NOW, target(1, None), id(4), &limit())),
            r#"{"id":148,"method":"order.cancelReplace","params":{"cancelReplaceMode":"STOP_ON_FAILURE","cancelNewClientOrderId":"vc-mm1_7_1","cancelOrigClientOrderId":"vz-mm1_7_1","symbol":"BTCUSDT","side":"SELL","type":"LIMIT","timeInForce":"GTC","newOrderRespType":"ACK","selfTradePreventionMode":"EXPIRE_MAKER","recvWindow":5000,"price":"52000.00","quantity":"0.01000","newClientOrderId":"vz-mm1_7_4","timestamp":1645423376532}}"#,
        ),
        (
            text(it.amend(NOW, target(1, Some(5)), Lots(500_000))),
            r#"{"id":165,"method":"order.amend.keepPriority","params":{"newClientOrderId":"vz-mm1_7_1","newQty":"0.00500","orderId":5,"recvWindow":5000,"symbol":"BTCUSDT","timestamp":1645423376532}}"#,
        ),
        (
            text(it.amend(NOW, target(1, None), Lots(500_000))),
            r#"{"id":181,"method":"order.amend.keepPriority","params":{"newClientOrderId":"vz-mm1_7_1","newQty":"0.00500","origClientOrderId":"vz-mm1_7_1","recvWindow":5000,"symbol":"BTCUSDT","timestamp":1645423376532}}"#,
        ),
        (
            text(it.cancel_all(NOW, PEPE)),
            r#"{"id":198,"method":"openOrders.cancelAll","params":{"recvWindow":5000,"symbol":"PEPEUSDT","timestamp":1645423376532}}"#,
        ),
        (
            text(it.open_orders(NOW, Some(BTC))),
            r#"{"id":215,"method":"openOrders.status","params":{"recvWindow":5000,"symbol":"BTCUSDT","timestamp":1645423376532}}"#,
        ),
        (
            text(it.open_orders(NOW, None)),
            r#"{"id":231,"method":"openOrders.status","params":{"recvWindow":5000,"timestamp":1645423376532}}"#,
        ),
        (
            text(it.status(NOW, target(1, None))),
            r#"{"id":248,"method":"order.status","params":{"origClientOrderId":"vz-mm1_7_1","recvWindow":5000,"symbol":"BTCUSDT","timestamp":1645423376532}}"#,
        ),
        (
            text(it.account(NOW)),
            r#"{"id":265,"method":"account.status","params":{"recvWindow":5000,"timestamp":1645423376532}}"#,
        ),
        (
            text(it.my_trades(NOW, BTC, TradesQuery::OfOrder { venue_order_id: 9 })),
            r#"{"id":282,"method":"myTrades","params":{"limit":1000,"orderId":9,"recvWindow":5000,"symbol":"BTCUSDT","timestamp":1645423376532}}"#,
        ),
        (
            text(it.my_trades(
                NOW,
                BTC,
                TradesQuery::From {
                    trade_id: 77,
                    limit: u16::MAX,
                },
            )),
            r#"{"id":298,"method":"myTrades","params":{"fromId":77,"limit":1000,"recvWindow":5000,"symbol":"BTCUSDT","timestamp":1645423376532}}"#,
        ),
        (
            text(it.order_counts(NOW)),
            r#"{"id":315,"method":"account.rateLimits.orders","params":{"recvWindow":5000,"timestamp":1645423376532}}"#,
        ),
        (text(it.time()), r#"{"id":332,"method":"time"}"#),
        (text(it.ping()), r#"{"id":349,"method":"ping"}"#),
    ];
    for (written, expected) in cases {
        assert_eq!(written, expected);
    }
}

fn signature(signer: &Signer, payload: &str) -> String {
    let mut out = SignatureText::default();
    let text = signer.sign(payload.as_bytes(), &mut out);
    String::from_utf8(text.to_vec()).expect("ASCII")
}

/// The venue's own check, from the message alone: all parameters but the signature, sorted, unencoded.
fn check_signature(message: &str) {
    let message: Json = serde_json::from_str(message).expect("JSON");
    let params = message["params"].as_object().expect("parameters");
    let mut pairs: Vec<String> = params
        .iter()
        .filter(|(name, _)| *name != "signature")
        .map(|(name, value)| match value {
            Json::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    pairs.sort();
    let signer = Signer::hmac(SECRET).expect("not empty");
    assert_eq!(params["apiKey"], API_KEY);
    assert_eq!(
        params["signature"].as_str().expect("text"),
        signature(&signer, &pairs.join("&")),
        "{message}"
    );
}

/// Every request of either kind of key, as text; new orders from these intents.
fn all(it: &mut OrderEntry, intents: &[Intent]) -> Vec<(RequestKind, String)> {
    let mut requests = Vec::new();
    let mut add = |request: OrderRequest<'_>| {
        assert!(request.weight > 0);
        requests.push((request.id.kind, text(request)));
    };
    let other = OrderTarget {
        instrument: PEPE,
        ..target(u32::MAX, Some(u64::MAX))
    };
    add(it.subscribe(NOW));
    for intent in intents {
        add(it.write_place(NOW, id(u32::MAX), intent));
        for venue_order_id in [None, Some(5), Some(u64::MAX)] {
            let cancel = OrderTarget {
                instrument: intent.instrument,
                ..target(3, venue_order_id)
            };
            add(it.write_cancel_replace(NOW, cancel, id(9), intent));
        }
    }
    for target in [target(1, None), target(1, Some(5)), other] {
        add(it.cancel(NOW, target));
        add(it.amend(NOW, target, Lots(3)));
        add(it.status(NOW, target));
    }
    for instrument in [BTC, PEPE] {
        add(it.cancel_all(NOW, instrument));
        add(it.open_orders(NOW, Some(instrument)));
        add(it.my_trades(NOW, instrument, TradesQuery::OfOrder { venue_order_id: 9 }));
        let query = TradesQuery::From {
            trade_id: 0,
            limit: 0,
        };
        add(it.my_trades(NOW, instrument, query));
    }
    add(it.open_orders(NOW, None));
    add(it.account(NOW));
    add(it.order_counts(NOW));
    requests
}

fn intents() -> Vec<Intent> {
    let mut intents = Vec::new();
    for side in Side::ALL {
        for self_trade_prevention in SelfTradePrevention::ALL {
            for kind in OrderKind::ALL {
                for time_in_force in TimeInForce::ALL {
                    intents.push(Intent {
                        self_trade_prevention,
                        ..intent(side, kind, time_in_force)
                    });
                }
            }
        }
    }
    intents.push(Intent {
        instrument: PEPE,
        price: Ticks(1_234),
        qty: Lots(5_000_000_000),
        ..limit()
    });
    intents
}

#[test]
fn an_hmac_key_signs_every_request_over_its_sorted_parameters() {
    let mut it = hmac();
    assert!(!it.logs_on());
    assert_eq!(it.log_on(NOW), None);
    let requests = all(&mut it, &intents());
    for (kind, message) in &requests {
        check_signature(message);
        let method = if *kind == RequestKind::Subscribe {
            "userDataStream.subscribe.signature"
        } else {
            kind.label()
        };
        assert!(
            message.contains(&format!("\"method\":\"{method}\"")),
            "{message}"
        );
        assert!(message.len() < MESSAGE_BYTES_MAX);
    }
    assert_eq!(text(it.time()).matches("apiKey").count(), 0);
}

/// A request of a session says the same as a signed one, but for key and signature.
#[test]
fn both_kinds_of_key_ask_the_same() {
    let (mut plain, mut signed) = (session(), hmac());
    let intents = intents();
    let pairs = all(&mut plain, &intents)
        .into_iter()
        .zip(all(&mut signed, &intents));
    for ((kind, plain), (_, signed)) in pairs {
        if kind == RequestKind::Subscribe {
            continue;
        }
        let plain: Json = serde_json::from_str(&plain).expect("JSON");
        let mut signed: Json = serde_json::from_str(&signed).expect("JSON");
        let params = signed["params"].as_object_mut().expect("parameters");
        params.remove("apiKey").expect("signed");
        params.remove("signature").expect("signed");
        assert_eq!(plain, signed);
    }
}

#[test]
fn a_new_order_has_the_parameters_of_its_kind_and_no_others() {
    let mut it = session();
    for intent in intents() {
        let message = text(it.write_place(NOW, id(1), &intent));
        let message: Json = serde_json::from_str(&message).expect("JSON");
        let params = message["params"].as_object().expect("parameters");
        assert_eq!(params["side"], intent.side.label());
        assert_eq!(params["type"], intent.kind.label());
        assert_eq!(
            params["selfTradePreventionMode"],
            intent.self_trade_prevention.label()
        );
        assert_eq!(params["newOrderRespType"], "ACK");
        let time_in_force =
            (intent.kind == OrderKind::Limit).then(|| Json::from(intent.time_in_force.label()));
        assert_eq!(params.get("timeInForce"), time_in_force.as_ref());
        assert_eq!(
            params.contains_key("price"),
            intent.kind != OrderKind::Market
        );
    }
}

#[test]
fn what_cannot_be_written_is_refused_at_the_start() {
    let make = |symbol: &str, recv_window_ms: u16| {
        let table = Instruments::new(vec![instrument(symbol, 1, 1)]).expect("one");
        let credentials = Credentials {
            api_key: ApiKey::new(API_KEY).expect("plain"),
            signer: Signer::hmac(SECRET).expect("not empty"),
        };
        let ids = ClientOrderIds::new("mm1").expect("legal");
        OrderEntry::new(&table, ids, credentials, recv_window_ms).err()
    };
    assert_eq!(make("币安人生USDT", 60_000), None);
    assert_eq!(make("A", 0), Some(OrderEntryError::RecvWindow(0)));
    assert_eq!(make("A", 60_001), Some(OrderEntryError::RecvWindow(60_001)));
    let symbol = Symbol::new("A\"B").expect("short");
    assert_eq!(make("A\"B", 1), Some(OrderEntryError::Symbol(symbol)));
}

/// The widest message there can be fits its buffer.
#[test]
fn the_longest_request_fits() {
    let symbol = "币安人生币安人生币USDT";
    assert_eq!(symbol.len(), crate::limits::SYMBOL_BYTES_MAX);
    let table = Instruments::new(vec![instrument(symbol, 1, 1)]).expect("one");
    let credentials = Credentials {
        api_key: ApiKey::new(&"k".repeat(API_KEY_BYTES_MAX)).expect("plain"),
        signer: Signer::hmac(SECRET).expect("not empty"),
    };
    let ids = ClientOrderIds::new("ABCDEFghi-12").expect("legal");
    let mut it = OrderEntry::new(&table, ids, credentials, RECV_WINDOW_MS_MAX).expect("legal");
    let order = OrderId {
        run: u32::MAX,
        sequence: u32::MAX,
    };
    let cancel = OrderTarget {
        instrument: BTC,
        order,
        venue_order_id: None,
    };
    let widest = Intent {
        price: Ticks(i64::MAX),
        qty: Lots(i64::MAX),
        ..limit()
    };
    it.sequence = (1 << 59) - 2;
    let message = text(it.write_cancel_replace(VenueMillis(u64::MAX), cancel, order, &widest));
    assert!(message.len() <= MESSAGE_BYTES_MAX, "{}", message.len());
    assert!(message.contains("\"price\":\"92233720368.54775807\""));
}

proptest! {
    #[test]
    fn numbers_arrive_exactly(price in 1i64..=9_000_000_000_000, qty in 1i64..=90_000_000_000_000_000) {
        let mut it = hmac();
        let order = Intent { price: Ticks(price), qty: Lots(qty), ..limit() };
        let message = text(it.write_place(NOW, id(1), &order));
        check_signature(&message);
        let message: Json = serde_json::from_str(&message).expect("JSON");
        let read = |name: &str| E8::parse(message["params"][name].as_str().expect("text").as_bytes());
        prop_assert_eq!(read("price"), Ok(E8(price * 1_000_000)));
        prop_assert_eq!(read("quantity"), Ok(E8(qty)));
    }
}
