//! Binance Spot order entry over the websocket API: requests as bytes.
//!
//! Owns: [`OrderEntry`], which writes every request of the orders link and numbers it, the credentials, and
//! through [`ClientOrderIds`] the ids of our orders at the venue. Does not: decide, send, remember what is
//! under way, or read answers ([`super::codec::orders`] does).
//!
//! Invariants: a new order is written from an [`Admitted`] and nothing else; prices and quantities are exact;
//! a session that logged on (Ed25519) signs nothing more, an HMAC key signs every request over its parameters
//! sorted by name, unencoded, `apiKey` included and `signature` left out; nothing is allocated after
//! construction (but by the library that signs the log-on).

pub mod client_ids;
mod credentials;
mod message;
mod new_order;
pub mod request_id;

pub use client_ids::ClientOrderIds;
pub use credentials::{API_KEY_BYTES_MAX, ApiKey, ApiKeyError, Credentials};
pub use request_id::{RequestId, RequestKind};

use crate::instrument::{InstrumentIndex, Instruments, Symbol};
use crate::limits::OWN_TRADES_MAX;
use crate::order::{Intent, OrderId};
use crate::risk::Admitted;
use crate::units::{E8, Grid, Lots, VenueMillis};
use crate::wire::sign::SignatureText;
use message::{Block, Buffer, MESSAGE_BYTES_MAX, Writer, places_of};
use new_order::{NewOrder, NewOrderTexts};

/// Longest `recvWindow`, in milliseconds (venue rule).
pub const RECV_WINDOW_MS_MAX: u16 = 60_000;

/// One request, ready to be sent as a text message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRequest<'a> {
    /// Its answer carries this id.
    pub id: RequestId,
    /// Request weight that it costs, unless [`RequestKind::is_free_on_success`] and it succeeds.
    pub weight: u32,
    /// Its bytes.
    pub message: &'a [u8],
}

/// Which order of ours at the venue a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderTarget {
    /// What it trades.
    pub instrument: InstrumentIndex,
    /// Our number of it.
    pub order: OrderId,
    /// The venue's id, once it is known: the venue finds an order faster by it.
    pub venue_order_id: Option<u64>,
}

/// Which own trades are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradesQuery {
    /// Those of one order.
    OfOrder {
        /// The venue's id of it.
        venue_order_id: u64,
    },
    /// Those from one trade id on, oldest first.
    From {
        /// The first id that is of interest.
        trade_id: u64,
        /// How many at most, `[1, OWN_TRADES_MAX]`.
        limit: u16,
    },
}

/// Why requests cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderEntryError {
    /// A symbol that JSON would have to escape.
    #[error("the symbol {0} cannot stand in a request as it is")]
    Symbol(Symbol),
    /// Outside of what the venue takes.
    #[error("recvWindow is {0} ms; expected 1 to {RECV_WINDOW_MS_MAX}")]
    RecvWindow(u16),
}

/// What requests need to know of one instrument.
struct Row {
    symbol: Block<32>,
    tick: Grid,
    price_places: u32,
    lot: Grid,
    qty_places: u32,
}

/// Writes the requests of one orders link.
pub struct OrderEntry {
    rows: Vec<Row>,
    ids: ClientOrderIds,
    credentials: Credentials,
    recv_window_ms: u16,
    texts: NewOrderTexts,
    /// The number of the last request.
    sequence: u64,
    message: Box<Buffer>,
    payload: Box<Buffer>,
}

/// The value of one parameter.
#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a [u8]),
    Number(u64),
    Decimal(E8, u32),
    /// The id of an order at the venue.
    Order(OrderId),
}

type Param<'a> = (&'static str, Value<'a>);

/// How a request proves who sends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Not at all, or by the session that it is sent on.
    None,
    /// By key and signature.
    Signature,
}

impl OrderEntry {
    /// Requests for these instruments. `recv_window_ms` is how old the venue lets a request become.
    ///
    /// # Errors
    /// [`OrderEntryError`], each with what was expected.
    pub fn new(
        instruments: &Instruments,
        ids: ClientOrderIds,
        credentials: Credentials,
        recv_window_ms: u16,
    ) -> Result<Self, OrderEntryError> {
        if recv_window_ms == 0 || recv_window_ms > RECV_WINDOW_MS_MAX {
            return Err(OrderEntryError::RecvWindow(recv_window_ms));
        }
        let mut rows = Vec::with_capacity(instruments.count());
        for (_, instrument) in instruments.iter() {
            let symbol = instrument.symbol.as_bytes();
            let plain = |&byte: &u8| byte > b' ' && !matches!(byte, b'"' | b'\\' | b'&');
            if !symbol.iter().all(plain) {
                return Err(OrderEntryError::Symbol(instrument.symbol));
            }
            let step = instrument.qty(instrument.order_rules.qty_step);
            rows.push(Row {
                symbol: Block::new(&[symbol]),
                tick: instrument.tick,
                price_places: places_of(instrument.tick.unit()),
                lot: instrument.lot,
                qty_places: places_of(step),
            });
        }
        Ok(Self {
            rows,
            ids,
            texts: NewOrderTexts::new(recv_window_ms),
            credentials,
            recv_window_ms,
            sequence: 0,
            message: Box::new([0; size_of::<Buffer>()]),
            payload: Box::new([0; size_of::<Buffer>()]),
        })
    }

    /// The ids of our orders.
    pub const fn ids(&self) -> &ClientOrderIds {
        &self.ids
    }

    /// Whether the session is logged on before anything else is sent; if not, every request is signed.
    pub const fn logs_on(&self) -> bool {
        self.credentials.signer.can_log_on()
    }

    /// Logs the session on; `None` when the key cannot.
    pub fn log_on(&mut self, at: VenueMillis) -> Option<OrderRequest<'_>> {
        if !self.logs_on() {
            return None;
        }
        let params = [
            ("recvWindow", Value::Number(u64::from(self.recv_window_ms))),
            ("timestamp", Value::Number(at.0)),
        ];
        let method = RequestKind::LogOn.label();
        Some(self.request(RequestKind::LogOn, method, 2, Proof::Signature, &params))
    }

    /// Subscribes to the account's user data events on this link.
    pub fn subscribe(&mut self, at: VenueMillis) -> OrderRequest<'_> {
        let kind = RequestKind::Subscribe;
        if self.logs_on() {
            return self.request(kind, kind.label(), 2, Proof::None, &[]);
        }
        let params = [
            ("recvWindow", Value::Number(u64::from(self.recv_window_ms))),
            ("timestamp", Value::Number(at.0)),
        ];
        let method = "userDataStream.subscribe.signature";
        self.request(kind, method, 2, Proof::Signature, &params)
    }

    /// A new order under our number `id`; answered as soon as the venue has it (`ACK`).
    #[inline]
    pub fn place(&mut self, at: VenueMillis, id: OrderId, order: &Admitted) -> OrderRequest<'_> {
        self.write_place(at, id, order.intent())
    }

    /// Takes back `cancel` and, if that succeeded, places a new order under our number `id`.
    #[inline]
    pub fn cancel_replace(
        &mut self,
        at: VenueMillis,
        cancel: OrderTarget,
        id: OrderId,
        order: &Admitted,
    ) -> OrderRequest<'_> {
        self.write_cancel_replace(at, cancel, id, order.intent())
    }

    /// Takes an order back.
    #[inline]
    pub fn cancel(&mut self, at: VenueMillis, target: OrderTarget) -> OrderRequest<'_> {
        let id = next_id(&mut self.sequence, RequestKind::Cancel);
        let Self {
            rows, ids, message, ..
        } = self;
        let row = &rows[target.instrument.as_usize()];
        let mut json = Writer::new(message);
        json.literal(b"{\"id\":");
        json.unsigned(id.to_wire());
        json.literal(b",\"method\":\"order.cancel\",\"params\":{\"symbol\":\"");
        json.block(&row.symbol);
        json.literal(b"\",\"newClientOrderId\":\"");
        json.id(|room| ids.cancel(target.order, room).len());
        match target.venue_order_id {
            Some(venue_order_id) => {
                json.literal(b"\",\"orderId\":");
                json.unsigned(venue_order_id);
            }
            None => {
                json.literal(b"\",\"origClientOrderId\":\"");
                json.id(|room| ids.order(target.order, room).len());
                json.literal(b"\"");
            }
        }
        json.literal(b",\"recvWindow\":");
        json.unsigned(u64::from(self.recv_window_ms));
        json.literal(b",\"timestamp\":");
        json.unsigned(at.0);
        let message = if self.credentials.signs_each() {
            let mut payload = Writer::new(&mut self.payload);
            self.credentials.begin_payload(&mut payload);
            payload.literal(b"newClientOrderId=");
            payload.id(|room| ids.cancel(target.order, room).len());
            match target.venue_order_id {
                Some(venue_order_id) => {
                    payload.literal(b"&orderId=");
                    payload.unsigned(venue_order_id);
                }
                None => {
                    payload.literal(b"&origClientOrderId=");
                    payload.id(|room| ids.order(target.order, room).len());
                }
            }
            payload.literal(b"&recvWindow=");
            payload.unsigned(u64::from(self.recv_window_ms));
            payload.literal(b"&symbol=");
            payload.block(&row.symbol);
            payload.literal(b"&timestamp=");
            payload.unsigned(at.0);
            self.credentials.close_signed(json, &payload)
        } else {
            close(json)
        };
        OrderRequest {
            id,
            weight: 1,
            message,
        }
    }

    /// Makes an order smaller: `qty` is its new quantity, what traded included. It keeps its id.
    pub fn amend(&mut self, at: VenueMillis, target: OrderTarget, qty: Lots) -> OrderRequest<'_> {
        let row = &self.rows[target.instrument.as_usize()];
        let (symbol, qty) = (row.symbol, Value::Decimal(row.qty(qty), row.qty_places));
        let params = [
            ("newClientOrderId", Value::Order(target.order)),
            ("newQty", qty),
            target.param(),
            ("recvWindow", Value::Number(u64::from(self.recv_window_ms))),
            ("symbol", Value::Text(symbol.text())),
            ("timestamp", Value::Number(at.0)),
        ];
        self.signed(RequestKind::Amend, 4, &params)
    }

    /// Takes back all open orders of one instrument, **also those that are not ours**.
    pub fn cancel_all(&mut self, at: VenueMillis, instrument: InstrumentIndex) -> OrderRequest<'_> {
        self.of_instrument(at, RequestKind::CancelAll, 1, instrument)
    }

    /// Asks for the open orders of one instrument, or of all.
    pub fn open_orders(
        &mut self,
        at: VenueMillis,
        instrument: Option<InstrumentIndex>,
    ) -> OrderRequest<'_> {
        match instrument {
            Some(index) => self.of_instrument(at, RequestKind::OpenOrders, 6, index),
            None => self.of_account(at, RequestKind::OpenOrders, 80),
        }
    }

    /// Asks where one order stands.
    pub fn status(&mut self, at: VenueMillis, target: OrderTarget) -> OrderRequest<'_> {
        let symbol = self.rows[target.instrument.as_usize()].symbol;
        let params = [
            target.param(),
            ("recvWindow", Value::Number(u64::from(self.recv_window_ms))),
            ("symbol", Value::Text(symbol.text())),
            ("timestamp", Value::Number(at.0)),
        ];
        self.signed(RequestKind::Status, 4, &params)
    }

    /// Asks for the account: all balances, also those that are zero.
    pub fn account(&mut self, at: VenueMillis) -> OrderRequest<'_> {
        self.of_account(at, RequestKind::Account, 20)
    }

    /// Asks for own trades of one instrument.
    pub fn my_trades(
        &mut self,
        at: VenueMillis,
        instrument: InstrumentIndex,
        query: TradesQuery,
    ) -> OrderRequest<'_> {
        let symbol = self.rows[instrument.as_usize()].symbol;
        let recv_window = ("recvWindow", Value::Number(u64::from(self.recv_window_ms)));
        let symbol = ("symbol", Value::Text(symbol.text()));
        let timestamp = ("timestamp", Value::Number(at.0));
        match query {
            TradesQuery::OfOrder { venue_order_id } => {
                let limit = ("limit", Value::Number(OWN_TRADES_MAX as u64));
                let order = ("orderId", Value::Number(venue_order_id));
                let params = [limit, order, recv_window, symbol, timestamp];
                self.signed(RequestKind::Trades, 5, &params)
            }
            TradesQuery::From { trade_id, limit } => {
                let from = ("fromId", Value::Number(trade_id));
                let limit = limit.clamp(1, OWN_TRADES_MAX as u16);
                let limit = ("limit", Value::Number(u64::from(limit)));
                let params = [from, limit, recv_window, symbol, timestamp];
                self.signed(RequestKind::Trades, 20, &params)
            }
        }
    }

    /// Asks how many orders count against the limits.
    pub fn order_counts(&mut self, at: VenueMillis) -> OrderRequest<'_> {
        self.of_account(at, RequestKind::OrderCounts, 40)
    }

    /// Asks for the venue's time.
    pub fn time(&mut self) -> OrderRequest<'_> {
        let kind = RequestKind::Time;
        self.request(kind, kind.label(), 1, Proof::None, &[])
    }

    /// Asks for a sign of life.
    pub fn ping(&mut self) -> OrderRequest<'_> {
        let kind = RequestKind::Ping;
        self.request(kind, kind.label(), 1, Proof::None, &[])
    }

    #[inline]
    fn write_place(&mut self, at: VenueMillis, id: OrderId, intent: &Intent) -> OrderRequest<'_> {
        let request = next_id(&mut self.sequence, RequestKind::Place);
        let row = &self.rows[intent.instrument.as_usize()];
        let order = NewOrder::new(at, id, intent, row);
        let mut json = Writer::new(&mut self.message);
        json.literal(b"{\"id\":");
        json.unsigned(request.to_wire());
        json.literal(b",\"method\":\"order.place\",\"params\":{\"symbol\":\"");
        self.texts.json(&mut json, &order, &self.ids);
        let message = if self.credentials.signs_each() {
            let mut payload = Writer::new(&mut self.payload);
            self.credentials.begin_payload(&mut payload);
            self.texts.payload(&mut payload, &order, &self.ids);
            self.credentials.close_signed(json, &payload)
        } else {
            close(json)
        };
        OrderRequest {
            id: request,
            weight: 1,
            message,
        }
    }

    #[inline]
    fn write_cancel_replace(
        &mut self,
        at: VenueMillis,
        cancel: OrderTarget,
        id: OrderId,
        intent: &Intent,
    ) -> OrderRequest<'_> {
        debug_assert_eq!(cancel.instrument, intent.instrument, "one symbol a request");
        let request = next_id(&mut self.sequence, RequestKind::CancelReplace);
        let ids = &self.ids;
        let row = &self.rows[intent.instrument.as_usize()];
        let order = NewOrder::new(at, id, intent, row);
        let mut json = Writer::new(&mut self.message);
        json.literal(b"{\"id\":");
        json.unsigned(request.to_wire());
        json.literal(b",\"method\":\"order.cancelReplace\",\"params\":{");
        json.literal(b"\"cancelReplaceMode\":\"STOP_ON_FAILURE\",\"cancelNewClientOrderId\":\"");
        json.id(|room| ids.cancel(cancel.order, room).len());
        match cancel.venue_order_id {
            Some(venue_order_id) => {
                json.literal(b"\",\"cancelOrderId\":");
                json.unsigned(venue_order_id);
                json.literal(b",\"symbol\":\"");
            }
            None => {
                json.literal(b"\",\"cancelOrigClientOrderId\":\"");
                json.id(|room| ids.order(cancel.order, room).len());
                json.literal(b"\",\"symbol\":\"");
            }
        }
        self.texts.json(&mut json, &order, ids);
        let message = if self.credentials.signs_each() {
            let mut payload = Writer::new(&mut self.payload);
            self.credentials.begin_payload(&mut payload);
            payload.literal(b"cancelNewClientOrderId=");
            payload.id(|room| ids.cancel(cancel.order, room).len());
            match cancel.venue_order_id {
                Some(venue_order_id) => {
                    payload.literal(b"&cancelOrderId=");
                    payload.unsigned(venue_order_id);
                }
                None => {
                    payload.literal(b"&cancelOrigClientOrderId=");
                    payload.id(|room| ids.order(cancel.order, room).len());
                }
            }
            payload.literal(b"&cancelReplaceMode=STOP_ON_FAILURE&");
            self.texts.payload(&mut payload, &order, ids);
            self.credentials.close_signed(json, &payload)
        } else {
            close(json)
        };
        OrderRequest {
            id: request,
            weight: 1,
            message,
        }
    }

    fn of_account(&mut self, at: VenueMillis, kind: RequestKind, weight: u32) -> OrderRequest<'_> {
        let params = [
            ("recvWindow", Value::Number(u64::from(self.recv_window_ms))),
            ("timestamp", Value::Number(at.0)),
        ];
        self.signed(kind, weight, &params)
    }

    fn of_instrument(
        &mut self,
        at: VenueMillis,
        kind: RequestKind,
        weight: u32,
        instrument: InstrumentIndex,
    ) -> OrderRequest<'_> {
        let symbol = self.rows[instrument.as_usize()].symbol;
        let params = [
            ("recvWindow", Value::Number(u64::from(self.recv_window_ms))),
            ("symbol", Value::Text(symbol.text())),
            ("timestamp", Value::Number(at.0)),
        ];
        self.signed(kind, weight, &params)
    }

    /// A request of the account: by the session, or signed.
    fn signed(&mut self, kind: RequestKind, weight: u32, params: &[Param<'_>]) -> OrderRequest<'_> {
        let proof = if self.credentials.signs_each() {
            Proof::Signature
        } else {
            Proof::None
        };
        self.request(kind, kind.label(), weight, proof, params)
    }

    /// Any request; `params` are sorted by name, and none of them sorts before `apiKey`.
    fn request(
        &mut self,
        kind: RequestKind,
        method: &str,
        weight: u32,
        proof: Proof,
        params: &[Param<'_>],
    ) -> OrderRequest<'_> {
        debug_assert!(
            params.is_sorted_by_key(|(name, _)| *name),
            "sorted to be signed"
        );
        debug_assert!(params.iter().all(|(name, _)| *name > "apiKey"));
        let id = next_id(&mut self.sequence, kind);
        let mut json = Writer::new(&mut self.message);
        json.literal(b"{\"id\":");
        json.unsigned(id.to_wire());
        json.literal(b",\"method\":\"");
        json.bytes(method.as_bytes());
        json.literal(b"\"");
        for (position, (name, value)) in params.iter().enumerate() {
            if position == 0 {
                json.literal(b",\"params\":{\"");
            } else {
                json.literal(b",\"");
            }
            json.bytes(name.as_bytes());
            json.literal(b"\":");
            let quoted = match value {
                Value::Text(_) | Value::Decimal(..) | Value::Order(_) => true,
                Value::Number(_) => false,
            };
            if quoted {
                json.literal(b"\"");
            }
            value.write(&mut json, &self.ids);
            if quoted {
                json.literal(b"\"");
            }
        }
        let message = match (proof, params.is_empty()) {
            (Proof::None, true) => {
                json.literal(b"}");
                json.finish()
            }
            (Proof::None, false) => close(json),
            (Proof::Signature, _) => {
                let mut payload = Writer::new(&mut self.payload);
                self.credentials.begin_payload(&mut payload);
                for (position, (name, value)) in params.iter().enumerate() {
                    if position > 0 {
                        payload.literal(b"&");
                    }
                    payload.bytes(name.as_bytes());
                    payload.literal(b"=");
                    value.write(&mut payload, &self.ids);
                }
                self.credentials.close_signed(json, &payload)
            }
        };
        OrderRequest {
            id,
            weight,
            message,
        }
    }
}

impl Row {
    fn price(&self, ticks: i64) -> E8 {
        self.tick
            .value(ticks)
            .expect("risk bounds prices to their range")
    }

    fn qty(&self, lots: Lots) -> E8 {
        self.lot
            .value(lots.0)
            .expect("risk bounds quantities to their range")
    }
}

impl OrderTarget {
    /// The venue's id where it is known, else ours.
    fn param(&self) -> Param<'static> {
        match self.venue_order_id {
            Some(venue_order_id) => ("orderId", Value::Number(venue_order_id)),
            None => ("origClientOrderId", Value::Order(self.order)),
        }
    }
}

impl Value<'_> {
    fn write(self, text: &mut Writer<'_>, ids: &ClientOrderIds) {
        match self {
            Self::Text(bytes) => text.bytes(bytes),
            Self::Number(number) => text.unsigned(number),
            Self::Decimal(value, places) => text.decimal(value, places),
            Self::Order(order) => text.id(|room| ids.order(order, room).len()),
        }
    }
}

impl Credentials {
    /// Whether every request is signed, because there is no session that could be logged on.
    const fn signs_each(&self) -> bool {
        !self.signer.can_log_on()
    }

    /// The parameter that sorts before all others.
    #[inline]
    fn begin_payload(&self, payload: &mut Writer<'_>) {
        payload.literal(b"apiKey=");
        payload.bytes(self.api_key.as_bytes());
        payload.literal(b"&");
    }

    /// Ends a request with key and signature.
    #[inline]
    fn close_signed<'b>(&self, mut json: Writer<'b>, payload: &Writer<'_>) -> &'b [u8] {
        let mut text = SignatureText::default();
        let signature = self.signer.sign(payload.text(), &mut text);
        json.literal(b",\"apiKey\":\"");
        json.bytes(self.api_key.as_bytes());
        json.literal(b"\",\"signature\":\"");
        json.bytes(signature);
        json.literal(b"\"}}");
        json.finish()
    }
}

/// Ends a request with parameters.
#[inline]
fn close(mut json: Writer<'_>) -> &[u8] {
    json.literal(b"}}");
    json.finish()
}

#[inline]
fn next_id(sequence: &mut u64, kind: RequestKind) -> RequestId {
    *sequence += 1;
    RequestId {
        sequence: *sequence,
        kind,
    }
}

// The message is copied to the outbox whole.
const _: () = assert!(MESSAGE_BYTES_MAX < crate::limits::OUTBOX_BYTES_MAX);

#[cfg(test)]
mod tests;
