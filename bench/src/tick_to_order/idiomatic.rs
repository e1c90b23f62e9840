//! The same job by the stack that one reaches for first: rustls' stream, tungstenite with its defaults, serde_json,
//! `BTreeMap` books of floats, `format!` for what is signed, the `hmac` crate for the signature.
//!
//! Owns: [`Idiomatic`], in two manners: [`Manner::Owning`] has the message in a struct of owned strings, which are parsed
//! afterwards, and the order in a `json!` value; [`Manner::Borrowing`] parses where the text lies and formats the order
//! directly. Both keep a map of open orders and a handful of limits where ours has the whole order machine, the account
//! and every risk check, and their books have floats instead of decimals: all of that is in their favour.

use super::account::{API_KEY, SECRET};
use super::far_end::{Authority, FarEnd, server_name};
use super::flow::{Flow, LEVELS, SYMBOL, Tick, UNIX_MS_AT_ZERO};
use super::venue::answers;
use super::wire::KERNEL_BYTES;
use super::{BETWEEN_TICKS, Proof};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustls::{ClientConnection, StreamOwned};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::json;
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

/// How messages and orders are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Owned strings, and a value of `json!`.
    Owning,
    /// Borrowed text, numbers parsed as they are read, and `format!`.
    Borrowing,
}

/// The message as it stands in the venue's documentation, owned.
#[derive(Deserialize)]
struct CombinedOwned {
    #[serde(rename = "data")]
    depth: DepthOwned,
}

#[derive(Deserialize)]
struct DepthOwned {
    #[serde(rename = "s")]
    symbol: String,
    #[serde(rename = "U")]
    first_id: u64,
    #[serde(rename = "u")]
    last_id: u64,
    #[serde(rename = "b")]
    bids: Vec<[String; 2]>,
    #[serde(rename = "a")]
    asks: Vec<[String; 2]>,
}

/// The message as somebody declares it who counts copies.
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
        // A kernel does not grow what it takes.
        pipe.ends.borrow_mut().outgoing.reserve(KERNEL_BYTES);
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
    manner: Manner,
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
    pub(super) fn new(
        flow: &Flow,
        proof: Proof,
        manner: Manner,
        authority: Option<&Authority>,
    ) -> Self {
        let [bids, asks] = flow.levels().map(|levels| {
            let level = |(price, qty)| (Price(price as f64 / 100.0), qty as f64 / 100_000.0);
            levels.into_iter().map(level).collect()
        });
        Self {
            market: Socket::new(authority),
            orders: Socket::new(authority),
            proof,
            manner,
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

    /// What arrives for a message.
    pub(super) fn arrival(&mut self, tick: &Tick) -> Vec<u8> {
        self.market.far.seal(tick.frame())
    }

    /// Lets it arrive.
    pub(super) fn arrive(&mut self, arrival: Vec<u8>) {
        self.now = self.now.plus(BETWEEN_TICKS);
        self.market.arrive(arrival);
    }

    /// One message, and the bytes of what it causes: all that is measured.
    #[inline]
    pub(super) fn receive(&mut self) {
        let message = self.market.websocket.read().expect("a message");
        let text = message.to_text().expect("UTF-8");
        match self.manner {
            Manner::Owning => {
                let combined: CombinedOwned = serde_json::from_str(text).expect("a diff");
                let depth = combined.depth;
                self.take_ids(&depth.symbol, depth.first_id, depth.last_id);
                for (side, levels) in [(&mut self.bids, &depth.bids), (&mut self.asks, &depth.asks)]
                {
                    for [price, qty] in levels {
                        let price = price.parse().expect("a number");
                        set(side, price, qty.parse().expect("a number"));
                    }
                }
            }
            Manner::Borrowing => {
                let combined: Combined<'_> = serde_json::from_str(text).expect("a diff");
                let depth = combined.depth;
                self.take_ids(depth.symbol, depth.first_id, depth.last_id);
                for (side, levels) in [(&mut self.bids, &depth.bids), (&mut self.asks, &depth.asks)]
                {
                    for Level(price, qty) in levels {
                        set(side, *price, *qty);
                    }
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
            ("BUY", bid.0)
        } else {
            ("SELL", ask.0)
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

    /// Checks that a diff continues the book.
    fn take_ids(&mut self, symbol: &str, first_id: u64, last_id: u64) {
        assert_eq!(symbol, SYMBOL);
        assert!(self.last_id == 0 || first_id == self.last_id + 1);
        self.last_id = last_id;
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
        let signature = match self.proof {
            Proof::Hmac => Some(signature(&order, &client_id, timestamp)),
            Proof::LogOn => None,
        };
        let signature = signature.as_deref();
        let text = match self.manner {
            Manner::Owning => value_text(id, &order, &client_id, timestamp, signature),
            Manner::Borrowing => format_text(id, &order, &client_id, timestamp, signature),
        };
        self.open.insert(client_id, order);
        let sent = self.orders.websocket.send(Message::text(text));
        sent.expect("memory takes everything");
    }

    /// Looks whether there is more to read, as any loop does.
    ///
    /// # Panics
    /// When there is.
    pub(super) fn look(&mut self) {
        let more = self.market.websocket.read();
        assert!(matches!(more, Err(Error::Io(why)) if why.kind() == io::ErrorKind::WouldBlock));
    }

    /// What became of the messages since the last call: the orders as the far end reads them. The venue's answers wait
    /// afterwards.
    pub(super) fn sent(&mut self) -> Vec<String> {
        let outgoing = &mut self.orders.pipe.ends.borrow_mut().outgoing;
        self.orders.far.open(outgoing);
        outgoing.clear();
        let mut orders = Vec::new();
        while let Some(order) = self.orders.far.next_message() {
            self.heard.extend(answers(self.now, &order, ""));
            orders.push(order);
        }
        orders
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

fn set(side: &mut BTreeMap<Price, f64>, price: f64, qty: f64) {
    if qty == 0.0 {
        side.remove(&Price(price));
    } else {
        side.insert(Price(price), qty);
    }
}

/// What the venue wants signed, signed.
fn signature(order: &Order, client_id: &str, timestamp: u64) -> String {
    let Order { side, price, qty } = order;
    let payload = format!(
        "apiKey={API_KEY}&newClientOrderId={client_id}&newOrderRespType=ACK&price={price:.2}&quantity={qty:.5}&recvWindow=5000&selfTradePreventionMode=EXPIRE_MAKER&side={side}&symbol={SYMBOL}&timeInForce=GTC&timestamp={timestamp}&type=LIMIT"
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length");
    mac.update(payload.as_bytes());
    let mut signature = String::with_capacity(64);
    for byte in mac.finalize().into_bytes() {
        write!(signature, "{byte:02x}").expect("memory");
    }
    signature
}

/// The request by way of a value.
fn value_text(
    id: u64,
    order: &Order,
    client_id: &str,
    timestamp: u64,
    signature: Option<&str>,
) -> String {
    let Order { side, price, qty } = order;
    // In one value: a value put into another by `json!` is copied whole.
    let mut request = json!({
        "id": id,
        "method": "order.place",
        "params": {
            "symbol": SYMBOL,
            "side": side,
            "type": "LIMIT",
            "timeInForce": "GTC",
            "newOrderRespType": "ACK",
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "recvWindow": 5000,
            "price": format!("{price:.2}"),
            "quantity": format!("{qty:.5}"),
            "newClientOrderId": client_id,
            "timestamp": timestamp,
        },
    });
    if let Some(signature) = signature {
        request["params"]["apiKey"] = API_KEY.into();
        request["params"]["signature"] = signature.into();
    }
    request.to_string()
}

/// The request in one go.
fn format_text(
    id: u64,
    order: &Order,
    client_id: &str,
    timestamp: u64,
    signature: Option<&str>,
) -> String {
    let Order { side, price, qty } = order;
    let mut text = format!(
        r#"{{"id":{id},"method":"order.place","params":{{"symbol":"{SYMBOL}","side":"{side}","type":"LIMIT","timeInForce":"GTC","newOrderRespType":"ACK","selfTradePreventionMode":"EXPIRE_MAKER","recvWindow":5000,"price":"{price:.2}","quantity":"{qty:.5}","newClientOrderId":"{client_id}","timestamp":{timestamp}"#
    );
    if let Some(signature) = signature {
        write!(text, r#","apiKey":"{API_KEY}","signature":"{signature}""#).expect("memory");
    }
    text.push_str("}}");
    text
}
