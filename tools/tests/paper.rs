//! One venue plays the live one, a second is fed from it over real sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};
use veloz::paper::{PaperConfig, PaperFeed};
use veloz::venue::source::{Snapshot, SymbolSpec};
use veloz::venue::{Fault, MarketConfig, Venue, VenueConfig, VenueHandle};
use veloz_core::edge::connector::{Endpoint, request_once};
use veloz_core::edge::tls::client_config;
use veloz_core::units::{E8, E8_ONE, Nanos};
use veloz_core::wire::sign::{SignatureText, Signer};

const SYMBOL: &str = "BTCUSDT";
/// Only so that a test that fails ends.
const STUCK: Duration = Duration::from_mins(2);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(2);
/// Levels that are compared: the book asked for has more.
const LEVELS: usize = 100;

struct Pair {
    live: VenueHandle,
    fed: Arc<VenueHandle>,
    feed: PaperFeed,
}

impl Pair {
    fn start() -> Self {
        let live = Venue::start(VenueConfig {
            book_history: 1_000,
            market: MarketConfig::Synthetic {
                symbols: vec![SYMBOL.to_owned()],
                seed: 7,
            },
            ..VenueConfig::default()
        });
        let live = live.expect("the live venue");
        let spec = SymbolSpec {
            symbol: SYMBOL.to_owned(),
            base: "BTC".to_owned(),
            quote: "USDT".to_owned(),
            tick: E8(1_000_000),
            lot: E8(1_000),
        };
        let fed = Venue::start(VenueConfig {
            market: MarketConfig::Fed {
                symbols: vec![spec],
            },
            ..VenueConfig::default()
        });
        let fed = Arc::new(fed.expect("the fed venue"));
        let config = PaperConfig {
            market_url: format!("wss://{}/stream", live.address()),
            api_url: format!("wss://{}/ws-api/v3", live.address()),
            ca_files: vec![],
            ca_pems: vec![live.ca_pem().to_owned()],
            symbols: vec![SYMBOL.to_owned()],
            core_cpu: None,
        };
        let feed = PaperFeed::start(config, Arc::clone(&fed)).expect("a feed");
        Self { live, fed, feed }
    }

    /// Waits until the fed book was that of the live venue at so many of its update ids, and never another.
    fn follows(&self, ids: usize) {
        let mut seen = 0;
        let mut newest = 0;
        wait("the fed book follows", || {
            let fed = book(&self.fed);
            if fed.last_update_id == newest {
                return false;
            }
            newest = fed.last_update_id;
            // Between two diffs, or empty.
            let Some(live) = self.live.book_at(SYMBOL, newest) else {
                return false;
            };
            assert_eq!(fed.bids, live.bids[..fed.bids.len()], "at {newest}");
            assert_eq!(fed.asks, live.asks[..fed.asks.len()], "at {newest}");
            assert_eq!((fed.bids.len(), fed.asks.len()), (LEVELS, LEVELS));
            seen += 1;
            seen == ids
        });
    }
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < STUCK, "waited in vain: {what}");
        std::thread::sleep(LOOK);
    }
}

fn book(venue: &VenueHandle) -> Snapshot {
    venue.book_now(SYMBOL, LEVELS).expect("a symbol")
}

/// Buys a little at any price up to `price` or not at all; the answer's result.
fn buy(venue: &VenueHandle, price: E8) -> serde_json::Value {
    let keys = venue.client_keys().expect("made by the venue");
    let timestamp = venue.now().0 / 1_000;
    let payload = format!(
        "apiKey={}&price={price}&quantity=0.00100000&side=BUY&symbol={SYMBOL}&timeInForce=IOC&timestamp={timestamp}&type=LIMIT",
        keys.hmac_api_key
    );
    let signer = Signer::hmac(keys.hmac_secret.as_bytes()).expect("a secret");
    let mut signature = SignatureText::default();
    let signature = signer.sign(payload.as_bytes(), &mut signature);
    let request = serde_json::json!({
        "id": 1,
        "method": "order.place",
        "params": {
            "apiKey": keys.hmac_api_key,
            "price": price.to_string(),
            "quantity": "0.00100000",
            "side": "BUY",
            "symbol": SYMBOL,
            "timeInForce": "IOC",
            "timestamp": timestamp,
            "type": "LIMIT",
            "signature": std::str::from_utf8(signature).expect("text"),
        },
    });
    let tls = client_config(&[], &[venue.ca_pem().to_owned()]).expect("its CA");
    let url = format!("wss://{}/ws-api/v3", venue.address());
    let api = Endpoint::new(&url, &tls).expect("an address");
    let answer = request_once(&api, &request.to_string(), Nanos::from_secs(60));
    let answer = answer.expect("an answer");
    let mut answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["status"], 200, "{answer}");
    answer["result"].take()
}

#[test]
fn the_fed_book_is_the_live_book_and_recovers() {
    let pair = Pair::start();
    pair.follows(30);
    for fault in [Fault::Gap, Fault::Reset, Fault::Silence { ms: 600_000 }] {
        let asked = pair.live.stats().depth_requests;
        assert!(pair.live.inject(fault));
        wait("a new book is asked for", || {
            pair.live.stats().depth_requests > asked
        });
        pair.follows(10);
    }
}

#[test]
fn orders_at_the_fed_venue_fill_at_the_live_price_and_not_on_old_data() {
    let pair = Pair::start();
    pair.follows(3);
    let live = book(&pair.live).asks[0].price;
    // On the grid of whole units, 5 % above.
    let limit = E8(live.0 / 100 * 105 / E8_ONE * E8_ONE);
    let bought = buy(&pair.fed, limit);
    assert_eq!(bought["status"], "FILLED", "{bought}");
    let price = bought["fills"][0]["price"].as_str().expect("a price");
    let price = E8::parse(price.as_bytes()).expect("a price");
    assert!(
        (price.0 - live.0).abs() < live.0 / 100,
        "{price} is not {live}"
    );
    let Pair { live, fed, feed } = pair;
    drop(feed);
    assert!(book(&fed).asks.is_empty());
    let bought = buy(&fed, limit);
    assert_eq!(bought["status"], "EXPIRED", "{bought}");
    assert_eq!(bought["executedQty"], "0.00000000");
    live.stop();
}
