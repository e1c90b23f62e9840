//! A venue that another venue's public flow is pushed into.

use super::*;
use crate::venue::scripted::usdt_symbol;
use crate::venue::{FeedError, FeedUpdate, MarketConfig, VenueInProcess};

fn fed() -> Desk {
    let config = VenueConfig {
        market: MarketConfig::Fed {
            symbols: vec![usdt_symbol("BTCUSDT")],
        },
        ..config()
    };
    let mut venue = VenueInProcess::new(config, START).expect("a sound configuration");
    let snapshot = FeedUpdate::Snapshot(desk::still_book());
    assert_eq!(venue.feed(START, 0, snapshot), Ok(()));
    let keys = venue.client_keys().expect("made by the venue").clone();
    let link = venue.open_api(START).expect("room");
    let mut desk = Desk::over(venue, link, keys);
    assert_eq!(desk.ask("session.logon", "", Sign::Ed25519)["status"], 200);
    assert_eq!(desk.ask_bare("userDataStream.subscribe")["status"], 200);
    desk
}

#[test]
fn orders_are_matched_against_what_is_fed() {
    let mut desk = fed();
    let order = concat!(
        r#""symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","price":"101","#,
        r#""quantity":"3","newClientOrderId":"a""#
    );
    let reply = desk.order("order.place", order);
    assert_eq!(reply["result"]["executedQty"], "2.00000000", "{reply}");
    assert_eq!(
        desk.story(),
        [
            "a NEW NEW",
            "a TRADE PARTIALLY_FILLED",
            "outboundAccountPosition"
        ]
    );
    desk.now.0 += 1_000;
    let trade = |price: &str| match desk::print(1, price, "9", true) {
        MarketEvent::Trade(trade) => FeedUpdate::Trade(trade),
        other => panic!("a trade: {other:?}"),
    };
    assert_eq!(desk.venue.feed(desk.now, 0, trade("100.5")), Ok(()));
    assert_eq!(desk.story(), ["a TRADE FILLED", "outboundAccountPosition"]);
}

#[test]
fn what_is_fed_is_served_as_well() {
    let mut desk = fed();
    let streams = ["btcusdt@depth@100ms", "btcusdt@bookTicker"].map(str::to_owned);
    let link = desk
        .venue
        .open_streams(desk.now, streams.to_vec())
        .expect("room");
    desk.link = link;
    let update = |first_id, last_id| FeedUpdate::Depth {
        first_id,
        last_id,
        bids: vec![level("100", "4")],
        asks: vec![],
    };
    assert_eq!(desk.venue.feed(desk.now, 0, update(1_001, 1_002)), Ok(()));
    let ticker = FeedUpdate::BookTicker {
        update_id: 1_002,
        bid: level("100", "4"),
        ask: level("101", "2"),
    };
    assert_eq!(desk.venue.feed(desk.now, 0, ticker), Ok(()));
    let texts = desk.rest();
    assert!(texts[0].contains(r#""U":1001,"u":1002,"b":[["100.00000000","4.00000000"]]"#));
    assert!(texts[1].contains(r#""u":1002,"s":"BTCUSDT","b":"100.00000000""#));
    let book = desk.venue.book_now("BTCUSDT", 1).expect("a symbol");
    assert_eq!(
        (book.last_update_id, book.bids),
        (1_002, vec![level("100", "4")])
    );
    let gap = desk.venue.feed(desk.now, 0, update(1_005, 1_006));
    assert_eq!(
        gap,
        Err(FeedError::Gap {
            at: 1_002,
            got: 1_005
        })
    );
    assert!(
        desk.venue
            .book_now("BTCUSDT", 1)
            .expect("a symbol")
            .bids
            .is_empty()
    );
}

#[test]
fn only_a_fed_market_is_fed() {
    let mut desk = Desk::new(config(), still());
    let update = FeedUpdate::Snapshot(desk::still_book());
    assert_eq!(desk.venue.feed(desk.now, 0, update), Err(FeedError::NotFed));
}
