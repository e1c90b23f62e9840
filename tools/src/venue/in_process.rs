//! The venue without sockets, threads or a clock: for simulations in virtual time.
//!
//! Owns: [`VenueInProcess`], the hub behind a surface that is told the time with every call. Does
//! not: decide anything. Invariant: with the same configuration and the same calls it says the
//! same, but for keys that it makes itself.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use veloz_core::units::E8;

use super::connection::{Opening, Out, Signals, Surface};
use super::faulty_io::IoControl;
use super::fed::{FeedError, FeedUpdate};
use super::hub::{ClientFrame, Holdings, Hub};
use super::market::Market;
use super::methods::Detail;
use super::render::TimeUnit;
use super::source::{Snapshot, SymbolIndex, VenueMicros};
use super::trading::keys::ClientKeys;
use super::{Fault, VenueConfig, VenueStartError, VenueStats, give_keys};

/// A connection; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionNumber(u64);

/// What the venue wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A text frame; half of one, or not UTF-8, when a fault says so.
    Text(Bytes),
    /// A ping, which wants its payload back.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A close frame with its code; nothing follows.
    Close(u16),
}

/// The venue.
pub struct VenueInProcess {
    hub: Hub,
    client_keys: Option<ClientKeys>,
    refusal: Option<Refused>,
}

/// With what a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// When the venue listens again, if it says.
    pub until: Option<VenueMicros>,
}

/// Whose connections these are: the limits know one client.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl VenueInProcess {
    /// A venue whose time begins at `now`. Ports, files and the clock of the configuration are not
    /// used.
    pub fn new(mut config: VenueConfig, now: VenueMicros) -> Result<Self, VenueStartError> {
        let market = Market::open(&config.market, now)?;
        let client_keys = give_keys(&mut config)?;
        Ok(Self {
            hub: Hub::new(config, market)?,
            client_keys,
            refusal: None,
        })
    }

    /// As [`new`](Self::new) with a market of a test's own.
    #[cfg(test)]
    pub(super) fn with_market(
        mut config: VenueConfig,
        market: Box<dyn super::source::MarketSource>,
    ) -> Result<Self, VenueStartError> {
        let client_keys = give_keys(&mut config)?;
        Ok(Self {
            hub: Hub::new(config, Market::Source(market))?,
            client_keys,
            refusal: None,
        })
    }

    /// The client's side of the keys that the venue made; `None` when keys were configured.
    pub fn client_keys(&self) -> Option<&ClientKeys> {
        self.client_keys.as_ref()
    }

    /// Opens a websocket of the API.
    pub fn open_api(&mut self, now: VenueMicros) -> Option<ConnectionNumber> {
        self.open(now, Surface::Api, Vec::new())
    }

    /// Opens a websocket of combined streams, subscribed to these; `None` when the venue refuses.
    pub fn open_streams(
        &mut self,
        now: VenueMicros,
        streams: Vec<String>,
    ) -> Option<ConnectionNumber> {
        self.open(now, Surface::Streams, streams)
    }

    fn open(
        &mut self,
        now: VenueMicros,
        surface: Surface,
        streams: Vec<String>,
    ) -> Option<ConnectionNumber> {
        let opening = Opening {
            ip: CLIENT,
            surface,
            combined: true,
            unit: TimeUnit::Millisecond,
            return_rate_limits: true,
            streams,
        };
        self.refusal = None;
        if !self.hub.admit(now, CLIENT) {
            return None;
        }
        let (signals, io) = (Arc::new(Signals::default()), Arc::new(IoControl::default()));
        match self.hub.open(now, &opening, signals, io) {
            Ok(connection) => Some(ConnectionNumber(connection)),
            Err(error) => {
                self.refusal = Some(Refused {
                    status: error.status,
                    until: match error.detail {
                        Detail::Retry(until) => Some(until),
                        Detail::None | Detail::Data(_) => None,
                    },
                });
                None
            }
        }
    }

    /// With what the last connection was refused; `None` when the socket was not even accepted.
    pub fn refusal(&self) -> Option<Refused> {
        self.refusal
    }

    /// A text frame of the client.
    pub fn text(&mut self, now: VenueMicros, connection: ConnectionNumber, text: &str) {
        let frame = ClientFrame::Text(text);
        self.hub.client_frame(now, connection.0, &frame);
    }

    /// A ping of the client.
    pub fn ping(&mut self, now: VenueMicros, connection: ConnectionNumber) {
        self.hub.client_frame(now, connection.0, &ClientFrame::Ping);
    }

    /// A pong of the client.
    pub fn pong(&mut self, now: VenueMicros, connection: ConnectionNumber, payload: &[u8]) {
        let frame = ClientFrame::Pong(payload);
        self.hub.client_frame(now, connection.0, &frame);
    }

    /// The client is gone.
    pub fn close(&mut self, connection: ConnectionNumber) {
        self.hub.closed(connection.0);
    }

    /// Moves what the venue has written to the end of `sent`; `false` when the connection is gone,
    /// broken by the venue or closed by the client.
    pub fn take(&mut self, connection: ConnectionNumber, sent: &mut Vec<Sent>) -> bool {
        let mut batch = Vec::new();
        if !self.hub.take(connection.0, usize::MAX, &mut batch) {
            return false;
        }
        for out in batch {
            match out {
                Out::Text(text) | Out::Fragmented(text) | Out::Split { payload: text, .. } => {
                    sent.push(Sent::Text(text));
                }
                Out::Truncated(text) => {
                    sent.push(Sent::Text(text.slice(..text.len() / 2)));
                    self.hub.closed(connection.0);
                    return false;
                }
                Out::Ping(payload) => sent.push(Sent::Ping(payload)),
                Out::Pong(payload) => sent.push(Sent::Pong(payload)),
                Out::Close(code, _) => sent.push(Sent::Close(code)),
                // How many frames a write holds is nothing to a reader of frames.
                Out::Merge(_) => {}
            }
        }
        true
    }

    /// Brings everything up to `now`. Events carry their own times only if no
    /// [`next_deadline`](Self::next_deadline) is jumped over.
    pub fn advance(&mut self, now: VenueMicros) {
        self.hub.advance(now);
    }

    /// When [`advance`](Self::advance) has something to do; `None` when never.
    pub fn next_deadline(&self) -> Option<VenueMicros> {
        self.hub.next_deadline()
    }

    /// Injects a fault, on this kind of connections if it is one of connections; `false` when too
    /// many wait already.
    pub fn inject(&mut self, now: VenueMicros, fault: Fault, surface: Surface) -> bool {
        self.hub.inject(now, fault, surface)
    }

    /// Pushes a piece of another venue's public flow into a fed market.
    pub fn feed(
        &mut self,
        now: VenueMicros,
        symbol: usize,
        update: FeedUpdate,
    ) -> Result<(), FeedError> {
        self.hub.feed(now, SymbolIndex(symbol), update)
    }

    /// Adds to what an account has free of an asset, or takes from it when negative; `false`, and
    /// nothing happens, for an unknown account or asset, or when there is not so much.
    pub fn deposit(&mut self, now: VenueMicros, account: &str, asset: &str, delta: E8) -> bool {
        self.hub.deposit_by_name(now, account, asset, delta)
    }

    /// Something outside locks some of what an account has free of an asset, or unlocks it when
    /// negative; `false`, and nothing happens, for an unknown account or asset, or when there is not so
    /// much.
    pub fn lock_outside(
        &mut self,
        now: VenueMicros,
        account: &str,
        asset: &str,
        delta: E8,
    ) -> bool {
        self.hub.lock_by_name(now, account, asset, delta)
    }

    /// The venue's own book of a symbol now.
    pub fn book_now(&self, symbol: &str, limit: usize) -> Option<Snapshot> {
        self.hub.book_now(symbol, limit)
    }

    /// What an account holds, as the exchange itself has it; `None` when there is no such account.
    pub fn holdings(&self, account: &str) -> Option<Holdings> {
        self.hub.holdings(account)
    }

    /// Counters since the start.
    pub fn stats(&self) -> VenueStats {
        self.hub.stats()
    }
}
