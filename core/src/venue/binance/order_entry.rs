//! Binance Spot order entry over the websocket API: requests as bytes.
//!
//! Owns: [`OrderEntry`], which writes every request of the orders links and numbers it, the credentials, and
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
mod params;
pub mod request_id;
mod trading;

pub use client_ids::ClientOrderIds;
pub use credentials::{API_KEY_BYTES_MAX, ApiKey, ApiKeyError, Credentials};
pub use request_id::{RequestId, RequestKind};

use crate::instrument::{InstrumentIndex, Instruments, Symbol};
use crate::limits::OWN_TRADES_MAX;
use crate::order::OrderId;
use crate::units::{E8, Grid, Lots, VenueMillis};
use message::{Block, Buffer, MESSAGE_BYTES_MAX, places_of};
use new_order::NewOrderTexts;
use params::{Param, Proof, Value};

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
    /// The newest one of the instrument.
    Newest,
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

/// Writes the requests of all orders links of a run: a link and its successor share the numbers, so no answer can be
/// taken for another's.
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

impl OrderEntry {
    /// Requests for these instruments. `recv_window_ms` is how old the venue lets a request become.
    ///
    /// # Errors
    /// [`OrderEntryError`], each with what was expected.
    pub fn new(
        instruments: &Instruments,
        ids: ClientOrderIds,
        mut credentials: Credentials,
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
        let mut payload = Box::new([0; size_of::<Buffer>()]);
        credentials.know_beginning(&mut payload);
        Ok(Self {
            rows,
            ids,
            texts: NewOrderTexts::new(recv_window_ms),
            credentials,
            recv_window_ms,
            sequence: 0,
            message: Box::new([0; size_of::<Buffer>()]),
            payload,
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
            TradesQuery::Newest => {
                let params = [("limit", Value::Number(1)), recv_window, symbol, timestamp];
                self.signed(RequestKind::Trades, 20, &params)
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
