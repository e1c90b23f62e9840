use super::*;

fn symbols() -> Vec<String> {
    vec!["ETHUSDT".to_owned(), "BTCUSDT".to_owned()]
}

fn level(price: i64, qty: i64) -> Level {
    Level {
        price: E8(price),
        qty: E8(qty),
    }
}

#[test]
fn stream_messages_become_updates() {
    let depth = r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":7,"b":[["61837.63000000","0.00000000"]],"a":[["61838.00000001","1.50000000"]]}}"#;
    let expected = FeedUpdate::Depth {
        first_id: 5,
        last_id: 7,
        bids: vec![level(6_183_763_000_000, 0)],
        asks: vec![level(6_183_800_000_001, 150_000_000)],
    };
    assert_eq!(read(depth, &symbols()), Ok(Said::Update(1, expected)));
    let ticker = r#"{"stream":"ethusdt@bookTicker","data":{"u":9,"s":"ETHUSDT","b":"1","B":"2","a":"3","A":"4"}}"#;
    let expected = FeedUpdate::BookTicker {
        update_id: 9,
        bid: level(100_000_000, 200_000_000),
        ask: level(300_000_000, 400_000_000),
    };
    assert_eq!(read(ticker, &symbols()), Ok(Said::Update(0, expected)));
    let trade = r#"{"stream":"ethusdt@trade","data":{"e":"trade","E":1,"s":"ETHUSDT","t":4,"p":"1","q":"2","T":1,"m":true,"M":true}}"#;
    let expected = FeedUpdate::Trade(Trade {
        id: 4,
        price: E8(100_000_000),
        qty: E8(200_000_000),
        buyer_is_maker: true,
    });
    assert_eq!(read(trade, &symbols()), Ok(Said::Update(0, expected)));
}

#[test]
fn other_messages_say_nothing() {
    for text in [
        r#"{"result":null,"id":1}"#,
        r#"{"stream":"dogeusdt@trade","data":{}}"#,
        r#"{"stream":"btcusdt@newEvent","data":{}}"#,
        r#"{"stream":"!all","data":{}}"#,
        r#"{"e":"serverShutdown","E":1}"#,
    ] {
        assert_eq!(read(text, &symbols()), Ok(Said::Nothing), "{text}");
    }
}

#[test]
fn what_is_missing_or_inexact_is_a_fault() {
    for text in [
        r#"{"stream":"btcusdt@trade","data":{"t":4,"p":"1","q":"2"}}"#,
        r#"{"stream":"btcusdt@trade","data":{"t":4,"p":1,"q":"2","m":true}}"#,
        r#"{"stream":"btcusdt@trade","data":{"t":4,"p":"0.000000001","q":"2","m":true}}"#,
        r#"{"stream":"btcusdt@depth@100ms","data":{"U":1,"u":2,"b":[["1"]],"a":[]}}"#,
        r#"{"stream":"btcusdt@tra"#,
    ] {
        let fault = read(text, &symbols());
        assert!(matches!(fault, Err(MessageFault::Unreadable(_))), "{text}");
    }
    let refused = read(r#"{"error":{"code":2,"msg":"no"},"id":1}"#, &symbols());
    assert!(matches!(refused, Err(MessageFault::Refused { .. })));
}

#[test]
fn answers_become_books_or_say_how_long_to_be_quiet() {
    let book = r#"{"id":"paper","status":200,"result":{"lastUpdateId":7,"bids":[["1","2"]],"asks":[]},"rateLimits":[]}"#;
    let expected = Snapshot {
        last_update_id: 7,
        bids: vec![level(100_000_000, 200_000_000)],
        asks: vec![],
    };
    assert_eq!(read_book(book), Ok(expected));
    let refused = |status: u16, data: &str| {
        let text = format!(
            r#"{{"id":"paper","status":{status},"error":{{"code":-1003,"msg":"much"{data}}}}}"#
        );
        match read_book(&text) {
            Err(MessageFault::Refused { quiet, .. }) => quiet,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(400, ""), None);
    assert_eq!(refused(429, ""), Some(QUIET));
    let until = r#","data":{"serverTime":1000,"retryAfter":4000}"#;
    assert_eq!(refused(418, until), Some(Nanos::from_secs(3)));
    assert!(matches!(
        read_book(r#"{"id":"paper","status":200}"#),
        Err(MessageFault::Unreadable(_))
    ));
}

#[test]
fn everything_is_subscribed_in_few_messages() {
    let one = subscriptions(&symbols());
    assert_eq!(one.len(), 1);
    assert!(one[0].contains("btcusdt@depth@100ms") && one[0].contains("ethusdt@trade"));
    let many: Vec<String> = (0..256).map(|n| format!("S{n:03}USDT")).collect();
    assert!(subscriptions(&many).len() <= 4);
}
