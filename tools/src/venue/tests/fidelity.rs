//! A book built by the venue's rules from what a client receives is the venue's own book.

use std::collections::BTreeMap;

use super::*;
use crate::venue::{MarketConfig, source};
use serde_json::Value;

type Side = BTreeMap<String, String>;

fn apply(side: &mut Side, levels: &Value) {
    for level in levels.as_array().expect("levels") {
        let text = |position: usize| level[position].as_str().expect("text").to_owned();
        if text(1) == "0.00000000" {
            side.remove(&text(0));
        } else {
            side.insert(text(0), text(1));
        }
    }
}

fn side(levels: &[source::Level]) -> Side {
    levels
        .iter()
        .map(|level| (level.price.to_string(), level.qty.to_string()))
        .collect()
}

#[test]
fn a_synthetic_book_can_be_followed_at_every_update_id() {
    const DIFFS: usize = 300;
    let venue = Venue::start(VenueConfig {
        book_history: DIFFS,
        market: MarketConfig::Synthetic {
            symbols: vec!["BTCUSDT".to_owned()],
            seed: 5,
        },
        ..config()
    })
    .expect("loopback is free");
    let mut client = Client::connect(&venue, "/ws/btcusdt@depth@100ms");
    venue.advance(Duration::from_millis(250));
    let (_, body) = client::get(&venue, "/api/v3/depth?symbol=BTCUSDT&limit=5000");
    let snapshot: Value = serde_json::from_str(&body).expect("JSON");
    let (mut bids, mut asks) = (Side::new(), Side::new());
    apply(&mut bids, &snapshot["bids"]);
    apply(&mut asks, &snapshot["asks"]);
    assert!(bids.len() > 20, "{}", bids.len());
    let mut book_id = snapshot["lastUpdateId"].as_u64().expect("an id");

    let mut compared = 0;
    let mut last_id = None;
    while compared < DIFFS {
        venue.advance(MS_100);
        while last_id.is_none_or(|last_id| last_id < newest(&venue)) {
            let diff = client.json();
            let (first, last) = (diff["U"].as_u64(), diff["u"].as_u64());
            let (first, last) = (first.expect("an id"), last.expect("an id"));
            if let Some(last_id) = last_id {
                assert_eq!(first, last_id + 1, "no gap and no overlap");
            }
            last_id = Some(last);
            if last <= book_id {
                continue;
            }
            assert!(first <= book_id + 1, "{first} {book_id}");
            apply(&mut bids, &diff["b"]);
            apply(&mut asks, &diff["a"]);
            book_id = last;
            let truth = venue.book_at("BTCUSDT", last).expect("remembered");
            assert_eq!(side(&truth.bids), bids, "bids at {last}");
            assert_eq!(side(&truth.asks), asks, "asks at {last}");
            compared += 1;
        }
    }
}

/// The last id of the newest diff: the venue remembers a book at each.
fn newest(venue: &VenueHandle) -> u64 {
    let (_, body) = client::get(venue, "/sim/v1/books?symbol=BTCUSDT");
    let ids: Vec<u64> = serde_json::from_str(&body).expect("JSON");
    *ids.last().expect("a diff every 100 ms")
}
