//! A trader at a venue in virtual time: signs requests, keeps replies and events apart.

use std::collections::VecDeque;

use serde_json::Value;

use super::*;
use crate::venue::scripted::Script;
use crate::venue::trading::keys::client::{ed25519_base64, hmac_hex};
use crate::venue::{ClientKeys, ConnectionNumber, Fault, Sent, Surface, VenueInProcess};

pub(super) struct Desk {
    pub(super) venue: VenueInProcess,
    pub(super) now: VenueMicros,
    pub(super) keys: ClientKeys,
    pub(super) link: ConnectionNumber,
    /// Texts that came and were not looked at yet.
    texts: VecDeque<String>,
    next_id: u64,
}

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Not at all: the session is logged on.
    Session,
    Hmac,
    Ed25519,
}

/// A market of one book that stands still: bids 100 and 99, asks 101 and 102, with 1, 5, 2, 5.
pub(super) fn still() -> Script {
    btc().book(START, 0, still_book())
}

pub(super) fn still_book() -> Snapshot {
    book(
        1_000,
        vec![level("100", "1"), level("99", "5")],
        vec![level("101", "2"), level("102", "5")],
    )
}

/// A print of the public flow.
pub(super) fn print(id: u64, price: &str, qty: &str, buyer_is_maker: bool) -> MarketEvent {
    let at = level(price, qty);
    MarketEvent::Trade(Trade {
        id,
        price: at.price,
        qty: at.qty,
        buyer_is_maker,
    })
}

impl Desk {
    /// A desk with an API connection that is neither logged on nor subscribed.
    pub(super) fn new(config: VenueConfig, script: Script) -> Self {
        let mut venue =
            VenueInProcess::with_market(config, Box::new(script)).expect("a sound configuration");
        let keys = venue.client_keys().expect("made by the venue").clone();
        let link = venue.open_api(START).expect("room");
        Self::over(venue, link, keys)
    }

    /// A desk at a connection.
    pub(super) fn over(venue: VenueInProcess, link: ConnectionNumber, keys: ClientKeys) -> Self {
        Self {
            venue,
            now: START,
            keys,
            link,
            texts: VecDeque::new(),
            next_id: 1,
        }
    }

    /// A desk that is logged on and listens to its account.
    pub(super) fn trading(config: VenueConfig, script: Script) -> Self {
        let mut desk = Self::new(config, script);
        let reply = desk.ask("session.logon", "", Sign::Ed25519);
        assert_eq!(reply["status"], 200, "{reply}");
        let reply = desk.ask_bare("userDataStream.subscribe");
        assert_eq!(reply["result"]["subscriptionId"], 0, "{reply}");
        desk
    }

    /// The frame of a signed request; `params` are JSON members without braces.
    pub(super) fn frame(&mut self, method: &str, params: &str, sign: Sign) -> String {
        self.next_id += 1;
        let timestamp = self.now.0;
        let separator = if params.is_empty() { "" } else { "," };
        let id = self.next_id;
        let unsigned = format!(r#"{params}{separator}"timestamp":{timestamp}"#);
        let whole =
            |params: &str| format!(r#"{{"id":{id},"method":"{method}","params":{{{params}}}}}"#);
        let (key, secret) = match sign {
            Sign::Session => return whole(&unsigned),
            Sign::Hmac => (&self.keys.hmac_api_key, &self.keys.hmac_secret),
            Sign::Ed25519 => (&self.keys.ed25519_api_key, &self.keys.ed25519_private_pem),
        };
        let with_key = format!(r#"{unsigned},"apiKey":"{key}""#);
        let payload = crate::venue::trading::signing::websocket_payload(&whole(&with_key));
        let payload = payload.expect("a request");
        let signature = match sign {
            Sign::Hmac => hmac_hex(secret, &payload),
            Sign::Ed25519 | Sign::Session => ed25519_base64(secret, &payload),
        };
        whole(&format!(r#"{with_key},"signature":"{signature}""#))
    }

    pub(super) fn send(&mut self, frame: &str) {
        self.venue.text(self.now, self.link, frame);
        self.collect();
    }

    /// Sends a signed request; returns its reply as text. Events before and behind it are kept.
    pub(super) fn ask_text(&mut self, method: &str, params: &str, sign: Sign) -> String {
        let frame = self.frame(method, params, sign);
        self.send(&frame);
        let id = self.next_id;
        self.reply_to(id).expect("a reply at once")
    }

    pub(super) fn ask(&mut self, method: &str, params: &str, sign: Sign) -> Value {
        serde_json::from_str(&self.ask_text(method, params, sign)).expect("JSON")
    }

    /// A request of the session.
    pub(super) fn order(&mut self, method: &str, params: &str) -> Value {
        self.ask(method, params, Sign::Session)
    }

    /// A request without any parameter.
    pub(super) fn ask_bare(&mut self, method: &str) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&format!(r#"{{"id":{id},"method":"{method}"}}"#));
        let reply = self.reply_to(id).expect("a reply at once");
        serde_json::from_str(&reply).expect("JSON")
    }

    /// Status and error code of a refused request, with its sentence.
    pub(super) fn refused(&mut self, method: &str, params: &str) -> (u64, i64, String) {
        error_of(&self.order(method, params))
    }

    fn reply_to(&mut self, id: u64) -> Option<String> {
        let start = format!(r#"{{"id":{id},"#);
        let position = self
            .texts
            .iter()
            .position(|text| text.starts_with(&start))?;
        self.texts.remove(position)
    }

    /// The next text, whatever it is.
    pub(super) fn next(&mut self) -> Option<String> {
        self.collect();
        self.texts.pop_front()
    }

    /// All texts that came and were not looked at.
    pub(super) fn rest(&mut self) -> Vec<String> {
        self.collect();
        self.texts.drain(..).collect()
    }

    /// The events among them: all there may be.
    pub(super) fn events(&mut self) -> Vec<Value> {
        self.rest()
            .iter()
            .map(|text| {
                let value: Value = serde_json::from_str(text).expect("JSON");
                assert_eq!(value["subscriptionId"], 0, "an event: {value}");
                value["event"].clone()
            })
            .collect()
    }

    /// One line an event: what it is, and for reports the execution and the status.
    pub(super) fn story(&mut self) -> Vec<String> {
        self.events().iter().map(summary).collect()
    }

    /// What the connection has sent; `false` when it is gone.
    pub(super) fn collect(&mut self) -> bool {
        let mut sent = Vec::new();
        let is_open = self.venue.take(self.link, &mut sent);
        for sent in sent {
            match sent {
                Sent::Text(text) => {
                    let text = String::from_utf8(text.to_vec()).expect("UTF-8");
                    self.texts.push_back(text);
                }
                Sent::Ping(payload) => self.venue.pong(self.now, self.link, &payload),
                Sent::Pong(_) => {}
                Sent::Close(code) => self.texts.push_back(format!("close {code}")),
            }
        }
        is_open
    }

    /// Moves time on, through every deadline.
    pub(super) fn pass(&mut self, us: u64) {
        let end = VenueMicros(self.now.0 + us);
        while let Some(at) = self.venue.next_deadline().filter(|&at| at <= end) {
            self.now = at.max(self.now);
            self.venue.advance(self.now);
            self.collect();
        }
        self.now = end;
        self.venue.advance(end);
        self.collect();
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        assert!(self.venue.inject(self.now, fault, Surface::Api));
        self.collect();
    }
}

pub(super) fn error_of(reply: &Value) -> (u64, i64, String) {
    let error = &reply["error"];
    (
        reply["status"].as_u64().expect("a status"),
        error["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("an error: {reply}")),
        error["msg"].as_str().expect("a sentence").to_owned(),
    )
}

/// One line about an event.
pub(super) fn summary(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or("?").to_owned();
    match event["e"].as_str() {
        Some("executionReport") => format!("{} {} {}", text("c"), text("x"), text("X")),
        Some(kind) => kind.to_owned(),
        None => format!("{event}"),
    }
}
