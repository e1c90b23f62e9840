//! A client of the simulated venue that places orders, by hand so to speak, with the venue's own keys.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use veloz::venue::{Venue, VenueConfig, VenueHandle};
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::{Conversation, Endpoint};
use veloz_core::edge::tls::client_config;
use veloz_core::limits::MESSAGE_BYTES_MAX;
use veloz_core::units::Nanos;
use veloz_core::wire::sign::{SignatureText, Signer};

/// Only something that is broken takes so long.
const PATIENCE: Nanos = Nanos::from_secs(60);

/// A venue with keys in a folder.
pub(crate) struct Exchange {
    pub(crate) venue: VenueHandle,
    folder: tempfile::TempDir,
}

impl Exchange {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let venue = Venue::start(VenueConfig {
            // Not a key, but where the clients find it.
            ca_file: Some(folder.path().join("ca.pem")),
            key_dir: Some(folder.path().join("keys")),
            ..VenueConfig::default()
        })
        .expect("a venue");
        Self { venue, folder }
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join("keys").join(name)
    }

    pub(crate) fn api_url(&self) -> String {
        format!("wss://{}/ws-api/v3", self.venue.address())
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let tls = client_config(&[], &[self.venue.ca_pem().to_owned()]).expect("its own CA");
        Endpoint::new(&self.api_url(), &tls).expect("an address")
    }
}

/// One connection that signs each request.
pub(crate) struct Trader<'v> {
    exchange: &'v Exchange,
    clock: Clock,
    talk: Conversation,
    api_key: String,
    signer: Signer,
    requests: u64,
}

impl<'v> Trader<'v> {
    pub(crate) fn new(exchange: &'v Exchange) -> Self {
        let clock = Clock::kernel();
        let until = clock.now().plus(PATIENCE);
        let text = |path: &Path| std::fs::read_to_string(path).expect("a key file");
        Self {
            clock,
            talk: Conversation::open(&exchange.endpoint(), MESSAGE_BYTES_MAX, clock, until)
                .expect("a connection"),
            api_key: text(&exchange.key("hmac_api_key")),
            signer: Signer::hmac(text(&exchange.key("hmac_secret")).as_bytes()).expect("a secret"),
            exchange,
            requests: 0,
        }
    }

    /// The result of a request.
    pub(crate) fn ask(&mut self, method: &str, params: &[(&str, Value)]) -> Value {
        self.requests += 1;
        let mut params = params.to_vec();
        params.push(("apiKey", self.api_key.as_str().into()));
        params.push(("timestamp", (self.exchange.venue.now().0 / 1_000).into()));
        params.sort_by_key(|(name, _)| *name);
        let pairs: Vec<String> = params
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map_or(value.to_string(), str::to_owned);
                format!("{name}={text}")
            })
            .collect();
        let mut room = SignatureText::default();
        let signature = self.signer.sign(pairs.join("&").as_bytes(), &mut room);
        let signature = std::str::from_utf8(signature).expect("ASCII").to_owned();
        let mut object: serde_json::Map<String, Value> = params
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        object.insert("signature".to_owned(), signature.into());
        let request = json!({"id": self.requests, "method": method, "params": object});
        let until = self.clock.now().plus(PATIENCE);
        self.talk.send(&request.to_string(), until).expect("sent");
        let answer = self
            .talk
            .receive(until)
            .expect("open")
            .expect("an answer in time");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["status"], 200, "{method}: {answer}");
        answer["result"].clone()
    }

    /// A bid that nobody takes, under this id.
    pub(crate) fn bid(&mut self, symbol: &str, client_order_id: &str) -> u64 {
        let book = self.exchange.venue.book_now(symbol, 1).expect("a book");
        let cents = book.bids[0].price.0 / 1_000_000 * 9 / 10;
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let order = self.ask(
            "order.place",
            &[
                ("symbol", symbol.into()),
                ("side", "BUY".into()),
                ("type", "LIMIT".into()),
                ("timeInForce", "GTC".into()),
                ("price", price.into()),
                ("quantity", "0.01".into()),
                ("newClientOrderId", client_order_id.into()),
            ],
        );
        order["orderId"].as_u64().expect("an id")
    }

    /// The client ids of all open orders.
    pub(crate) fn open(&mut self) -> Vec<String> {
        let list = self.ask("openOrders.status", &[]);
        let mut ids: Vec<String> = list
            .as_array()
            .expect("a list")
            .iter()
            .map(|order| order["clientOrderId"].as_str().expect("an id").to_owned())
            .collect();
        ids.sort();
        ids
    }
}
