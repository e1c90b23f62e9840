//! Subscriptions, liveness and limits of the stream connections.

use super::*;
use crate::venue::Fault;
use tungstenite::Message;

#[test]
fn the_golden_transcript() {
    let script = btc()
        .book(START, 0, book(1_000, vec![], vec![]))
        .then(
            at_ms(50),
            0,
            MarketEvent::BookTicker {
                update_id: 1_005,
                bid: level("100", "1"),
                ask: level("100.01", "2"),
            },
        )
        .then(
            at_ms(100),
            0,
            diff(1_001, 1_005, vec![level("100", "1")], vec![]),
        )
        .book(at_ms(150), 0, book(1_007, vec![level("100", "1")], vec![]))
        .then(at_ms(200), 0, diff(1_006, 1_006, vec![], vec![]))
        .then(
            at_ms(300),
            0,
            diff(1_007, 1_010, vec![], vec![level("100.02", "0")]),
        );
    let venue = start(config(), script);
    let path = "/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade";
    let mut client = Client::connect(&venue, path);
    let (head, body) = client::get(&venue, "/api/v3/depth?symbol=BTCUSDT&limit=1000");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("x-mbx-used-weight-1m: 50"), "{head}");
    assert_eq!(body, r#"{"lastUpdateId":1000,"bids":[],"asks":[]}"#);

    venue.advance(MS_100);
    assert_eq!(
        client.text(),
        concat!(
            r#"{"stream":"btcusdt@bookTicker","data":{"u":1005,"s":"BTCUSDT","#,
            r#""b":"100.00000000","B":"1.00000000","a":"100.01000000","A":"2.00000000"}}"#
        )
    );
    assert_eq!(
        client.text(),
        concat!(
            r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1700000040100,"#,
            r#""s":"BTCUSDT","U":1001,"u":1005,"b":[["100.00000000","1.00000000"]],"a":[]}}"#
        )
    );
    venue.advance(MS_100);
    let (_, body) = client::get(&venue, "/api/v3/depth?symbol=BTCUSDT&limit=1000");
    assert!(body.starts_with(r#"{"lastUpdateId":1007,"#), "{body}");
    assert_eq!(client.json()["data"]["u"], 1_006);
    venue.advance(MS_100);
    assert_eq!(client.json()["data"]["U"], 1_007);
    venue.stop();
}

#[test]
fn one_event_suits_every_connection() {
    let trade = MarketEvent::Trade(Trade {
        id: 7,
        price: level("100.5", "2").price,
        qty: level("100.5", "2").qty,
        buyer_is_maker: true,
    });
    let aggregate = MarketEvent::AggTrade {
        id: 3,
        first_trade_id: 7,
        last_trade_id: 8,
        price: level("100.5", "2").price,
        qty: level("100.5", "2").qty,
        buyer_is_maker: false,
    };
    let partial = |speed| MarketEvent::PartialDepth { speed };
    let bids = (0..30)
        .map(|n| level(&format!("{}", 100 - n), "1"))
        .collect();
    let script = btc()
        .book(START, 0, book(5, bids, vec![level("101", "1")]))
        .then(at_ms(1), 0, trade)
        .then(at_ms(1), 0, aggregate)
        .then(at_ms(1), 0, partial(DepthSpeed::Ms100))
        .then(at_ms(1), 0, partial(DepthSpeed::Ms1000));
    let venue = start(config(), script);
    let mut raw = Client::connect(&venue, "/ws/btcusdt@trade/btcusdt@depth5@100ms");
    let mut micro = Client::connect_plain(
        &venue,
        "/stream?streams=btcusdt%40aggTrade/btcusdt@depth20&timeUnit=MICROSECOND",
    );
    venue.advance(MS_100);
    assert_eq!(
        raw.text(),
        concat!(
            r#"{"e":"trade","E":1700000040001,"s":"BTCUSDT","t":7,"p":"100.50000000","#,
            r#""q":"2.00000000","T":1700000040001,"m":true,"M":true}"#
        )
    );
    let top = raw.json();
    assert_eq!(top["bids"].as_array().map(Vec::len), Some(5));
    assert_eq!(
        micro.text(),
        concat!(
            r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000040001000,"#,
            r#""s":"BTCUSDT","a":3,"p":"100.50000000","q":"2.00000000","f":7,"l":8,"#,
            r#""T":1700000040001000,"m":false,"M":true}}"#
        )
    );
    let top = micro.json();
    assert_eq!(top["stream"], "btcusdt@depth20");
    assert_eq!(top["data"]["bids"].as_array().map(Vec::len), Some(20));
}

#[test]
fn subscriptions_change_while_connected() {
    let venue = start(config(), diffs(10));
    let mut client = Client::connect(&venue, "/ws");
    venue.advance(MS_100);
    let subscribe =
        r#"{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms","nosuch@trade"],"id":1}"#;
    assert_eq!(client.ask(subscribe), r#"{"result":null,"id":1}"#);
    // Subscribing twice is no error and delivers once.
    assert_eq!(client.ask(subscribe), r#"{"result":null,"id":1}"#);
    assert_eq!(
        client.ask(r#"{"method":"LIST_SUBSCRIPTIONS","id":"a"}"#),
        r#"{"result":["btcusdt@depth@100ms","nosuch@trade"],"id":"a"}"#
    );
    venue.advance(MS_100);
    assert_eq!(client.json()["u"], 1_002, "nothing is replayed");
    assert_eq!(
        client.ask(r#"{"method":"SET_PROPERTY","params":["combined",true],"id":2}"#),
        r#"{"result":null,"id":2}"#
    );
    assert_eq!(
        client.ask(r#"{"method":"GET_PROPERTY","params":["combined"],"id":null}"#),
        r#"{"result":true,"id":null}"#
    );
    venue.advance(MS_100);
    assert_eq!(client.json()["data"]["u"], 1_003);
    assert_eq!(
        client.ask(r#"{"method":"UNSUBSCRIBE","params":["btcusdt@depth@100ms"],"id":3}"#),
        r#"{"result":null,"id":3}"#
    );
    venue.advance(MS_100);
    assert_eq!(
        client.ask(r#"{"method":"LIST_SUBSCRIPTIONS"}"#),
        r#"{"result":["nosuch@trade"],"id":null}"#
    );
    assert!(client.ask("{").starts_with(r#"{"error":{"code":3,"#));
}

#[test]
fn a_connection_carries_1024_streams() {
    let venue = start(config(), diffs(1));
    let mut client = Client::connect(&venue, "/stream");
    let names = |from: u32, to: u32| {
        let names: Vec<_> = (from..to).map(|n| format!(r#""s{n}@trade""#)).collect();
        let names = names.join(",");
        format!(r#"{{"method":"SUBSCRIBE","params":[{names}],"id":1}}"#)
    };
    assert_eq!(client.ask(&names(0, 1_024)), r#"{"result":null,"id":1}"#);
    assert_eq!(client.ask(&names(0, 1_024)), r#"{"result":null,"id":1}"#);
    assert_eq!(
        client.ask(&names(1_024, 1_025)),
        r#"{"error":{"code":4,"msg":"Too many subscriptions"},"id":1}"#
    );
}

#[test]
fn the_sixth_frame_in_a_second_ends_the_connection() {
    let venue = start(
        VenueConfig {
            enforce_client_frames: true,
            ..config()
        },
        diffs(1),
    );
    let mut client = Client::connect(&venue, "/ws");
    for _ in 0..5 {
        client.send(r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
    }
    for _ in 0..5 {
        assert_eq!(client.text(), r#"{"result":[],"id":1}"#);
    }
    // Control frames count too.
    client.0.send(Message::Ping("x".into())).expect("connected");
    assert_eq!(client.close_code(), 1008);
    assert_eq!(venue.stats().frame_rate_closes, 1);
}

#[test]
fn pings_come_every_20_s_and_silence_ends_after_60_s() {
    let venue = start(config(), diffs(1));
    let mut client = Client::connect_plain(&venue, "/ws");
    venue.advance(Duration::from_millis(19_999));
    client.settle();
    venue.advance(Duration::from_millis(1));
    let Message::Ping(payload) = client.next().expect("connected") else {
        panic!("a ping is due");
    };
    assert!(!payload.is_empty());
    // tungstenite writes its pong with the next read or flush.
    client.settle();
    venue.advance(Duration::from_secs(59));
    client.settle();
    // From here on nobody answers: the client's next ping leaves at second 80, this one's at 99.
    let mut silent = Client::connect_plain(&venue, "/ws");
    venue.advance(Duration::from_mins(1));
    venue.advance(Duration::from_secs(1));
    assert_eq!(client.close_code(), 1008);
    venue.advance(Duration::from_secs(19));
    assert_eq!(silent.close_code(), 1008);
}

#[test]
fn a_connection_ends_after_24_hours() {
    let venue = start(
        VenueConfig {
            connection_life_ms: 10_000,
            ..config()
        },
        diffs(1),
    );
    let mut client = Client::connect(&venue, "/ws");
    venue.advance(Duration::from_secs(10));
    assert_eq!(client.close_code(), 1001);
}

#[test]
fn a_shutdown_is_announced_and_then_happens() {
    let venue = start(config(), diffs(1));
    let mut raw = Client::connect(&venue, "/ws");
    let mut combined = Client::connect(&venue, "/stream");
    let mut api = Client::connect(&venue, "/ws-api/v3");
    venue.inject(Fault::ServerShutdown);
    venue.inject_on(Fault::ServerShutdown, super::super::Surface::Api);
    assert_eq!(raw.text(), r#"{"e":"serverShutdown","E":1700000040000}"#);
    assert_eq!(
        combined.text(),
        concat!(
            r#"{"stream":"!serverShutdown","data":"#,
            r#"{"e":"serverShutdown","E":1700000040000}}"#
        )
    );
    assert_eq!(
        api.text(),
        r#"{"event":{"e":"serverShutdown","E":1700000040000}}"#
    );
    venue.advance(Duration::from_secs(1));
    for client in [&mut raw, &mut combined, &mut api] {
        assert_eq!(client.close_code(), 1001);
    }
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    let venue = start(
        VenueConfig {
            client_queue_frames: 100,
            send_buffer_bytes: Some(4_096),
            // Liveness is not what is tested.
            ping_interval_ms: u64::MAX,
            ..config()
        },
        diffs(100_000),
    );
    let mut slow = Client::connect_plain(&venue, "/ws/btcusdt@depth@100ms");
    // The kernel's buffers and the venue's take some thousands; the rest is too much.
    let mut rounds = 0;
    while venue.stats().slow_consumers == 0 {
        rounds += 1;
        assert!(rounds <= 1_000, "the client is still not too slow");
        venue.advance(Duration::from_secs(5));
    }
    assert_eq!(venue.stats().connections, 0);
    let mut frames = 0u64;
    while let Ok(Message::Text(_) | Message::Ping(_)) = slow.next() {
        frames += 1;
    }
    assert!(frames < venue.stats().frames);
}

#[test]
fn a_stranger_is_not_trusted_and_the_ca_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    let venue = start(
        VenueConfig {
            ca_file: Some(ca_file.clone()),
            ..config()
        },
        diffs(1),
    );
    assert_eq!(
        std::fs::read_to_string(ca_file).expect("written"),
        venue.ca_pem()
    );
    let other = start(config(), diffs(1));
    assert!(client::secure(&venue, other.ca_pem()).is_err());
    assert!(client::secure(&venue, venue.ca_pem()).is_ok());
}

#[test]
fn connects_beyond_the_limit_are_refused() {
    let venue = start(
        VenueConfig {
            connects_per_five_minutes: 2,
            enforce_connects: true,
            ..config()
        },
        diffs(1),
    );
    let _first = Client::connect_plain(&venue, "/ws");
    let _second = Client::connect_plain(&venue, "/ws");
    assert!(Client::over(Box::new(client::plain(&venue)), "/ws").is_err());
    // A new window of five minutes.
    venue.advance(Duration::from_mins(5));
    let _third = Client::connect_plain(&venue, "/ws");
}
