//! The venue's state: market, connections, subscriptions, limits, faults.
//!
//! Owns: every decision of the venue. Sans-IO: sockets report frames and ask for what to write,
//! time is an argument. Does not: render payloads, parse requests. Invariant: a stream's
//! subscribers and the connections' subscription lists agree; a connection that is gone is in
//! neither.

mod calls;
mod control;
mod disturb;
mod engine;
mod holdings;
mod publish;
mod replies;
mod trade;
mod unasked;
mod user_data;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::config::VenueConfig;
use super::connection::{Connection, Due, Opening, Out, Signals, Surface};
use super::faults::{Applies, Fault, FaultPlan};
use super::faulty_io::IoControl;
use super::fed::{FeedError, FeedUpdate};
use super::limits::{CONNECT_WEIGHT, Limits};
use super::market::Market;
use super::methods::ApiError;
use super::source::MarketSource as _;
use super::source::{Published, Snapshot, SymbolIndex, SymbolSpec, VenueMicros};
use super::streams::{Id, StreamNames};
use super::trading::agenda::Agenda;
use super::trading::{Trading, TradingError};
use replies::Reply;
use trade::Job;

pub(crate) use calls::RestRequest;
pub use holdings::{Holdings, Traded};
pub(crate) use replies::RestReply;

/// Most levels a side of any snapshot.
pub(crate) const SNAPSHOT_LEVELS_MAX: usize = 5_000;
/// Websocket connections at a time; the handshake of one more is refused with 503.
pub(crate) const CONNECTIONS_MAX: usize = 1_024;
/// Market steps of one call, so that clients are written to in between.
const MARKET_STEPS_MAX: usize = 1_024;
/// How far behind the first diff a stale snapshot stands, in update ids.
const STALE_BY: u64 = 1_000;

/// A connection's number; never used again.
pub(crate) type ConnectionId = u64;

/// What a client sent.
#[derive(Debug)]
pub(crate) enum ClientFrame<'a> {
    Text(&'a str),
    Binary,
    Ping,
    Pong(&'a [u8]),
}

/// Counters of a venue since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VenueStats {
    /// Websocket connections open now.
    pub connections: usize,
    /// Websocket connections accepted.
    pub accepted: u64,
    /// Market events that had at least one subscriber.
    pub published: u64,
    /// Text frames queued for clients.
    pub frames: u64,
    /// Clients dropped because they did not read fast enough.
    pub slow_consumers: u64,
    /// Clients closed because they sent too many frames.
    pub frame_rate_closes: u64,
    /// Requests answered, over websocket API and REST.
    pub requests: u64,
    /// Depth requests among them.
    pub depth_requests: u64,
    /// Requests refused with 429 or 418.
    pub refused: u64,
    /// Pongs that answered no ping.
    pub stray_pongs: u64,
    /// How often each fault fired, by name.
    pub faults: BTreeMap<&'static str, u64>,
}

pub(crate) struct Hub {
    config: VenueConfig,
    market: Market,
    specs: Arc<[SymbolSpec]>,
    names: Arc<[StreamNames]>,
    /// The books at the start, for answers that are too old.
    oldest: Vec<Snapshot>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_id: ConnectionId,
    subscribers: HashMap<String, Vec<ConnectionId>>,
    limits: Limits,
    faults: FaultPlan,
    /// Diffs held back by a reorder fault: they follow the next one of their stream.
    held: Vec<(String, ConnectionId, Out)>,
    /// Books by update id, newest last, for comparison; one list a symbol.
    history: Vec<VecDeque<Snapshot>>,
    stats: VenueStats,
    trading: Trading,
    /// Requests, answers and events under way.
    agenda: Agenda<Job, Reply>,
    /// HTTP requests that are never answered.
    lost: VecDeque<oneshot::Sender<RestReply>>,
    /// Until when a fault keeps each symbol closed.
    closed_until: Vec<Option<VenueMicros>>,
    /// A recorded flow waits for a client to read.
    blocked: bool,
    /// Reused between calls.
    due: Vec<Published>,
}

impl Hub {
    pub(crate) fn new(config: VenueConfig, market: Market) -> Result<Self, TradingError> {
        let specs: Arc<[SymbolSpec]> = market.symbols().into();
        let oldest = (0..specs.len())
            .map(|position| {
                let symbol = SymbolIndex(position);
                let mut book = market.snapshot(symbol, SNAPSHOT_LEVELS_MAX);
                book.last_update_id = market.first_id(symbol).saturating_sub(STALE_BY);
                book
            })
            .collect();
        Ok(Self {
            trading: Trading::new(&config, &specs)?,
            agenda: Agenda::new(),
            lost: VecDeque::new(),
            closed_until: vec![None; specs.len()],
            names: specs
                .iter()
                .map(|spec| StreamNames::new(&spec.symbol))
                .collect(),
            history: vec![VecDeque::new(); specs.len()],
            limits: Limits::new(config.request_weight_per_minute),
            faults: FaultPlan::new(&config.faults, config.seed),
            connections: BTreeMap::new(),
            next_id: 1,
            subscribers: HashMap::new(),
            held: Vec::new(),
            stats: VenueStats::default(),
            blocked: false,
            due: Vec::new(),
            oldest,
            specs,
            market,
            config,
        })
    }

    /// Counts a TCP connection; `false` when the address made too many.
    pub(crate) fn admit(&mut self, now: VenueMicros, ip: IpAddr) -> bool {
        let max = self.config.connects_per_five_minutes;
        self.limits.connect(now, ip, max) || !self.config.enforce_connects
    }

    /// Opens a websocket, unless there are too many or the address is over its weight.
    pub(crate) fn open(
        &mut self,
        now: VenueMicros,
        opening: &Opening,
        signals: Arc<Signals>,
        io: Arc<IoControl>,
    ) -> Result<ConnectionId, ApiError> {
        if self.connections.len() >= CONNECTIONS_MAX {
            return Err(ApiError::too_many_connections(CONNECTIONS_MAX));
        }
        if opening.surface == Surface::Api {
            self.charge(now, opening.ip, CONNECT_WEIGHT)?;
        }
        let id = self.next_id;
        self.next_id += 1;
        let connection = Connection::new(now, opening, &self.config, signals, io);
        self.connections.insert(id, connection);
        self.subscribe(id, &opening.streams);
        self.stats.accepted += 1;
        Ok(id)
    }

    /// Forgets a connection whose socket is gone.
    pub(crate) fn closed(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        for name in &connection.subscriptions {
            if let Some(ids) = self.subscribers.get_mut(name) {
                ids.retain(|&other| other != id);
                if ids.is_empty() {
                    self.subscribers.remove(name);
                }
            }
        }
        self.held.retain(|(_, other, _)| *other != id);
        connection.signals.gone.notify_one();
    }

    /// Takes what is to be written; `false` when the connection is gone.
    pub(crate) fn take(&mut self, id: ConnectionId, max: usize, batch: &mut Vec<Out>) -> bool {
        match self.connections.get_mut(&id) {
            Some(connection) => {
                connection.take(max, batch);
                true
            }
            None => false,
        }
    }

    /// Whether a client's queue is so full that a recorded flow waits for it.
    pub(crate) fn is_behind(&self, id: ConnectionId) -> bool {
        self.connections
            .get(&id)
            .is_some_and(|connection| connection.is_behind(&self.config))
    }

    /// Handles what a client sent.
    pub(crate) fn client_frame(
        &mut self,
        now: VenueMicros,
        id: ConnectionId,
        frame: &ClientFrame<'_>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.surface == Surface::Streams
            && self.config.enforce_client_frames
            && !connection.rate.count(now)
        {
            self.stats.frame_rate_closes += 1;
            connection.close(now, 1008, "Too many requests");
            return;
        }
        match (frame, connection.surface) {
            (ClientFrame::Ping, _) => {}
            (ClientFrame::Pong(payload), surface) => {
                if !connection.pong(payload) {
                    self.stats.stray_pongs += 1;
                    // The stream host was seen to tolerate it.
                    if surface == Surface::Api {
                        connection.close(now, 1008, "disconnected");
                    }
                }
            }
            (ClientFrame::Binary, _) => connection.close(now, 1003, "text frames only"),
            (ClientFrame::Text(text), Surface::Streams) => {
                let reply = self.control(id, text);
                self.send(id, Out::Text(Bytes::from(reply)));
            }
            (ClientFrame::Text(text), Surface::Api) => {
                let ip = connection.ip;
                // What happened before the request comes before it.
                self.catch_up(now);
                self.api_request(now, id, text);
                self.cut_if_banned(now, ip);
            }
        }
    }

    /// Brings everything up to `now`: market, requests under way, pings, timeouts.
    pub(crate) fn advance(&mut self, now: VenueMicros) {
        self.catch_up(now);
        let config = &self.config;
        let over: Vec<_> = self
            .connections
            .iter_mut()
            .filter_map(|(&id, connection)| {
                (connection.tick(now, config) == Due::Gone).then_some(id)
            })
            .collect();
        for id in over {
            self.closed(id);
        }
    }

    /// The market and what is under way, in the order of their times; the market first where they
    /// meet.
    fn catch_up(&mut self, now: VenueMicros) {
        self.blocked = false;
        for _ in 0..MARKET_STEPS_MAX {
            let Some(at) = self.market.next_at().filter(|&at| at <= now) else {
                break;
            };
            while let Some(due) = self.agenda.next_at().filter(|&due| due < at) {
                self.settle(due);
            }
            if !self.move_market(now, at) {
                break;
            }
        }
        self.settle(now);
    }

    /// One step of the market; `false` when it waits for a client to read.
    fn move_market(&mut self, now: VenueMicros, at: VenueMicros) -> bool {
        let mut due = std::mem::take(&mut self.due);
        match &mut self.market {
            Market::Source(source) => source.advance(at, &mut due),
            Market::Fed(fed) => fed.advance(at, &mut due),
            Market::Recorded(recorded) => {
                let config = &self.config;
                self.blocked = self
                    .connections
                    .values()
                    .any(|connection| connection.is_behind(config));
                if !self.blocked {
                    due.extend(recorded.poll(now));
                }
            }
        }
        // A recording that is due at once has no time of its own.
        let at = self.trading.no_earlier(at);
        for published in due.drain(..) {
            self.publish(now, &published);
            self.trading.exchange.public(at, &published, &self.market);
            self.harvest(at);
        }
        self.due = due;
        !self.blocked
    }

    /// Takes an update of a fed market.
    pub(crate) fn feed(
        &mut self,
        now: VenueMicros,
        symbol: SymbolIndex,
        update: FeedUpdate,
    ) -> Result<(), FeedError> {
        let fed = self.market.fed().ok_or(FeedError::NotFed)?;
        let had_book = fed.has_book(symbol);
        let pushed = fed.push(now, symbol, update);
        if had_book && !fed.has_book(symbol) {
            self.trading.exchange.public_lost(symbol);
        }
        pushed?;
        self.catch_up(now);
        Ok(())
    }

    /// What a recorded flow waits for; nothing when it runs, and for other markets.
    pub(crate) fn waits_for(&mut self) -> Vec<String> {
        self.market
            .recorded()
            .map_or_else(Vec::new, |recorded| recorded.waits_for())
    }

    /// Lets a recorded flow go, whoever is there.
    pub(crate) fn release(&mut self) {
        if let Some(recorded) = self.market.recorded() {
            recorded.release();
        }
    }

    /// Whether a recorded session is over and every frame of it has been written.
    pub(crate) fn is_finished(&mut self) -> bool {
        let over = self
            .market
            .recorded()
            .is_some_and(|recorded| recorded.is_finished());
        over && self.connections.values().all(Connection::is_idle)
    }

    /// When [`advance`](Self::advance) has something to do; `None` when never.
    pub(crate) fn next_deadline(&self) -> Option<VenueMicros> {
        let connections = self
            .connections
            .values()
            .map(|connection| connection.deadline(&self.config));
        let market = self.market.next_at().filter(|_| !self.blocked);
        let agenda = self.agenda.next_at();
        market.into_iter().chain(agenda).chain(connections).min()
    }

    /// Injects a fault: at once on connections, else on the next thing that it applies to.
    pub(crate) fn inject(&mut self, now: VenueMicros, fault: Fault, on: Surface) -> bool {
        match fault.applies() {
            Applies::Connections => {
                self.faults.count(fault);
                self.disturb(now, fault, on);
                true
            }
            Applies::Exchange => {
                self.faults.count(fault);
                self.unasked(now, fault);
                true
            }
            Applies::Diff
            | Applies::Frame
            | Applies::Snapshot
            | Applies::Trading
            | Applies::Cancel
            | Applies::UserEvent => self.faults.arm(fault),
        }
    }

    /// The book of a symbol after exactly this update id, if it is still remembered.
    pub(crate) fn book_at(&self, symbol: &str, update_id: u64) -> Option<Snapshot> {
        let position = self.position(symbol)?.0;
        self.history[position]
            .iter()
            .find(|book| book.last_update_id == update_id)
            .cloned()
    }

    /// Update ids whose books are remembered, oldest first.
    pub(crate) fn book_ids(&self, symbol: &str) -> Vec<u64> {
        self.position(symbol).map_or_else(Vec::new, |position| {
            self.history[position.0]
                .iter()
                .map(|book| book.last_update_id)
                .collect()
        })
    }

    pub(crate) fn stats(&self) -> VenueStats {
        VenueStats {
            connections: self.connections.len(),
            faults: self.faults.fired().clone(),
            ..self.stats.clone()
        }
    }

    /// Says goodbye to every client.
    pub(crate) fn close_all(&mut self, now: VenueMicros) {
        for connection in self.connections.values_mut() {
            connection.close(now, 1001, "server stops");
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn position(&self, symbol: &str) -> Option<SymbolIndex> {
        self.specs
            .iter()
            .position(|spec| spec.symbol == symbol)
            .map(SymbolIndex)
    }

    /// Queues a frame for a client; one that is too slow is dropped.
    fn send(&mut self, id: ConnectionId, out: Out) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if matches!(
            out,
            Out::Text(_) | Out::Fragmented(_) | Out::Split { .. } | Out::Truncated(_)
        ) {
            self.stats.frames += 1;
        }
        if !connection.push(out, &self.config) {
            self.stats.slow_consumers += 1;
            self.closed(id);
        }
    }
}

/// The id that an unusable request is answered with.
const NO_ID: Id = Id::Null;
