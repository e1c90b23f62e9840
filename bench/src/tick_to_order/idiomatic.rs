//! The same job by the stack that one reaches for first: rustls' stream, tungstenite with its defaults, serde_json
//! into structs, `BTreeMap` books of floats, `format!` for the order, the `hmac` crate for its signature.
//!
//! Owns: [`Idiomatic`]. It keeps a map of open orders and a handful of limits where ours has the whole order machine,
//! the account and every risk check, and its books have floats instead of decimals: both are in its favour.

use super::Proof;
use super::far_end::{Authority, FarEnd, server_name};
use super::flow::{Flow, LEVELS, SYMBOL, Tick, UNIX_MS_AT_ZERO};
use super::ours::{API_KEY, SECRET};
use super::venue::answers;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustls::{ClientConnection, StreamOwned};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use sha2::Sha256;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::rc::Rc;
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Error, Message};
use veloz_core::units::Nanos;

/// A price as a key of a book.
#[derive(Clone, Copy, PartialEq)]
struct Price(f64);

impl Eq for Price {}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Price {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The message as a user of serde would declare it.
#[derive(Deserialize)]
struct Combined<'a> {
    #[serde(borrow, rename = "data")]
    depth: Depth<'a>,
}

#[derive(Deserialize)]
struct Depth<'a> {
    #[serde(borrow, rename = "s")]
    symbol: &'a str,
    #[serde(rename = "U")]
    first_id: u64,
    #[serde(rename = "u")]
    last_id: u64,
    #[serde(rename = "b")]
    bids: Vec<Level>,
    #[serde(rename = "a")]
    asks: Vec<Level>,
}

#[derive(Deserialize)]
struct Level(
    #[serde(deserialize_with = "number")] f64,
    #[serde(deserialize_with = "number")] f64,
);

/// A number in a string.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// A connection in memory.
#[derive(Clone, Default)]
struct Pipe {
    ends: Rc<RefCell<Ends>>,
}

#[derive(Default)]
struct Ends {
    incoming: Vec<u8>,
    read: usize,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ends = &mut *self.ends.borrow_mut();
        let rest = &ends.incoming[ends.read..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        ends.read += len;
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ends.borrow_mut().outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the websocket runs over.
enum Stream {
    Plain(Pipe),
    Tls(Box<StreamOwned<ClientConnection, Pipe>>),
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(pipe) => pipe.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(pipe) => pipe.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(pipe) => pipe.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// One websocket and its far end.
struct Socket {
    websocket: WebSocket<Stream>,
    pipe: Pipe,
    far: FarEnd,
}

impl Socket {
    fn new(authority: Option<&Authority>) -> Self {
        let pipe = Pipe::default();
        let (stream, far) = match authority {
            None => (Stream::Plain(pipe.clone()), FarEnd::plain()),
            Some(authority) => {
                let client = ClientConnection::new(authority.client.clone(), server_name());
                let mut client = client.expect("a configuration");
                let mut far = FarEnd::tls(authority);
                loop {
                    let mut said = Vec::new();
                    while client.wants_write() {
                        client.write_tls(&mut said).expect("memory");
                    }
                    far.open(&said);
                    let answer = far.seal(&[]);
                    let mut rest = &answer[..];
                    while !rest.is_empty() {
                        client.read_tls(&mut rest).expect("memory");
                        client.process_new_packets().expect("an honest peer");
                    }
                    if said.is_empty() && answer.is_empty() && !far.is_handshaking() {
                        break;
                    }
                }
                let stream = StreamOwned::new(client, pipe.clone());
                (Stream::Tls(Box::new(stream)), far)
            }
        };
        Self {
            websocket: WebSocket::from_raw_socket(stream, Role::Client, None),
            pipe,
            far,
        }
    }

    /// Lays bytes where the next read finds them, as the kernel would have.
    fn arrive(&self, bytes: Vec<u8>) {
        let ends = &mut *self.pipe.ends.borrow_mut();
        ends.incoming = bytes;
        ends.read = 0;
    }
}

struct Order {
    side: &'static str,
    price: f64,
    qty: f64,
}

/// The stack.
pub(super) struct Idiomatic {
    market: Socket,
    orders: Socket,
    proof: Proof,
    bids: BTreeMap<Price, f64>,
    asks: BTreeMap<Price, f64>,
    last_id: u64,
    open: HashMap<String, Order>,
    position: f64,
    sequence: u64,
    now: Nanos,
    heard: Vec<String>,
}

impl Idiomatic {
    /// A stack with the flow's book as it stands.
    pub(super) fn new(flow: &Flow, proof: Proof, authority: Option<&Authority>) -> Self {
        let [bids, asks] = flow.levels().map(|levels| {
            let level = |(price, qty)| (Price(price as f64 / 100.0), qty as f64 / 100_000.0);
            levels.into_iter().map(level).collect()
        });
        Self {
            market: Socket::new(authority),
            orders: Socket::new(authority),
            proof,
            bids,
            asks,
            last_id: 0,
            open: HashMap::new(),
            position: 0.0,
            sequence: 0,
            now: Nanos::ZERO,
            heard: Vec::new(),
        }
    }

    /// Lets a message arrive.
    pub(super) fn arrive(&mut self, tick: &Tick) {
        self.now = self.now.plus(Nanos::from_ms(1));
        let sealed = self.market.far.seal(tick.frame());
        self.market.arrive(sealed);
    }

    /// One message, and the bytes of what it causes: all that is measured.
    #[inline]
    pub(super) fn receive(&mut self) {
        let message = self.market.websocket.read().expect("a message");
        let text = message.to_text().expect("UTF-8");
        let combined: Combined<'_> = serde_json::from_str(text).expect("a diff");
        let depth = combined.depth;
        assert_eq!(depth.symbol, SYMBOL);
        assert!(self.last_id == 0 || depth.first_id == self.last_id + 1);
        self.last_id = depth.last_id;
        for (side, levels) in [(&mut self.bids, &depth.bids), (&mut self.asks, &depth.asks)] {
            for Level(price, qty) in levels {
                if *qty == 0.0 {
                    side.remove(&Price(*price));
                } else {
                    side.insert(Price(*price), *qty);
                }
            }
        }
        let (Some((bid, _)), Some((ask, _))) =
            (self.bids.last_key_value(), self.asks.first_key_value())
        else {
            return;
        };
        let bid_qty: f64 = self.bids.values().rev().take(LEVELS).sum();
        let ask_qty: f64 = self.asks.values().take(LEVELS).sum();
        let (side, price) = if bid_qty >= ask_qty {
            ("BUY", ask.0)
        } else {
            ("SELL", bid.0)
        };
        let mid = f64::midpoint(bid.0, ask.0);
        let order = Order {
            side,
            price,
            qty: 0.001,
        };
        if self.risk_allows(&order, mid) {
            self.place(order);
        }
    }

    /// The usual handful of limits.
    fn risk_allows(&self, order: &Order, mid: f64) -> bool {
        let notional = order.price * order.qty;
        order.qty > 0.0
            && order.qty <= 10.0
            && (5.0..=1_000_000.0).contains(&notional)
            && (order.price / mid - 1.0).abs() <= 0.05
            && (self.position.abs() + order.qty) <= 1_000.0
            && self.open.len() < 50
    }

    fn place(&mut self, order: Order) {
        self.sequence += 1;
        let id = self.sequence;
        let client_id = format!("bench-{id}");
        let timestamp = UNIX_MS_AT_ZERO + self.now.as_ms();
        let Order { side, price, qty } = &order;
        let text = match self.proof {
            Proof::Hmac => {
                let payload = format!(
                    "apiKey={API_KEY}&newClientOrderId={client_id}&newOrderRespType=ACK&price={price:.2}&quantity={qty:.5}&recvWindow=5000&selfTradePreventionMode=EXPIRE_MAKER&side={side}&symbol={SYMBOL}&timeInForce=IOC&timestamp={timestamp}&type=LIMIT"
                );
                let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length");
                mac.update(payload.as_bytes());
                let mut signature = String::with_capacity(64);
                for byte in mac.finalize().into_bytes() {
                    write!(signature, "{byte:02x}").expect("memory");
                }
                format!(
                    r#"{{"id":{id},"method":"order.place","params":{{"symbol":"{SYMBOL}","side":"{side}","type":"LIMIT","timeInForce":"IOC","newOrderRespType":"ACK","selfTradePreventionMode":"EXPIRE_MAKER","recvWindow":5000,"price":"{price:.2}","quantity":"{qty:.5}","newClientOrderId":"{client_id}","timestamp":{timestamp},"apiKey":"{API_KEY}","signature":"{signature}"}}}}"#
                )
            }
            Proof::LogOn => format!(
                r#"{{"id":{id},"method":"order.place","params":{{"symbol":"{SYMBOL}","side":"{side}","type":"LIMIT","timeInForce":"IOC","newOrderRespType":"ACK","selfTradePreventionMode":"EXPIRE_MAKER","recvWindow":5000,"price":"{price:.2}","quantity":"{qty:.5}","newClientOrderId":"{client_id}","timestamp":{timestamp}}}}}"#
            ),
        };
        self.open.insert(client_id, order);
        let sent = self.orders.websocket.send(Message::text(text));
        sent.expect("memory takes everything");
    }

    /// What became of the message: the order as the far end reads it. The venue's answers wait afterwards.
    ///
    /// # Panics
    /// When there was no order.
    pub(super) fn sent(&mut self) -> String {
        let more = self.market.websocket.read();
        assert!(matches!(more, Err(Error::Io(why)) if why.kind() == io::ErrorKind::WouldBlock));
        let outgoing = std::mem::take(&mut self.orders.pipe.ends.borrow_mut().outgoing);
        self.orders.far.open(&outgoing);
        let order = self.orders.far.next_message();
        let order = order.expect("an order for every message");
        self.heard = answers(self.now, &order, "");
        order
    }

    /// Hears what the venue answered.
    pub(super) fn settle(&mut self) {
        for answer in self.heard.drain(..) {
            let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
            let event = &answer["event"];
            if event["x"] == "EXPIRED" {
                let id = event["c"].as_str().expect("a text");
                self.open.remove(id).expect("an order of ours");
            }
        }
        assert!(self.open.is_empty(), "the venue ended every order");
    }
}
