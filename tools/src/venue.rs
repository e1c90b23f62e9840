//! The simulated venue: a real server on loopback that speaks Binance Spot.
//!
//! One TLS port (and a plain one if asked for) serves the JSON streams (`/ws`, `/ws/<streams>`,
//! `/stream?streams=`), the websocket API (`/ws-api/v3`) and the REST twins (`/api/v3/...`), so a
//! client that knows the real venue works against this one by URL and CA alone. What the venue
//! does is decided by one state machine ([`hub`]) that is told the time; sockets live in
//! [`server`] on a thread of their own. Only `/sim/v1/...` has no counterpart at the real venue:
//! `book?symbol=&updateId=` and `books?symbol=` show the venue's own books for comparison.
//!
//! Market data is synthetic ([`flow`]), recorded (`recorded`), or any other
//! [`MarketSource`](source::MarketSource).

pub mod clock;
mod config;
mod connection;
mod exchange;
pub mod faults;
mod faulty_io;
mod fed;
pub mod flow;
mod foreground;
mod hub;
mod in_process;
mod key_files;
pub mod limits;
mod market;
mod methods;
mod recorded;
mod render;
#[cfg(test)]
mod scripted;
mod server;
pub mod source;
mod streams;
mod tls;
mod trading;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_rustls::TlsAcceptor;

pub use clock::ClockMode;
pub use config::VenueConfig;
pub use connection::Surface;
pub use exchange::{AccountConfig, ExchangeConfig, ListedRules, ListedRulesError};
pub use faults::{Fault, FaultRule, Trigger};
pub use fed::{FeedError, FeedUpdate};
pub use foreground::{VenueArgs, run_foreground};
pub use hub::{Holdings, Traded, VenueStats};
pub use in_process::{ConnectionNumber, Refused, Sent, VenueInProcess};
pub use key_files::KeyFileError;
pub use market::{MarketConfig, MarketError};
pub use recorded::{RecordedError, Recording, Speed, SpeedError};
pub use streams::ControlErrorForm;
pub use trading::keys::{ApiKeyConfig, ClientKeys, Credential, KeyError};
pub use trading::{AnswerOrder, Latency, TradingError};

use clock::VenueClock;
use hub::Hub;
use market::Market;
use server::Shared;
pub use source::VenueMicros;
use source::{Snapshot, SymbolIndex};
use veloz_core::units::E8;

/// Why a venue does not start.
#[derive(Debug, thiserror::Error)]
pub enum VenueStartError {
    /// A port is taken or not allowed.
    #[error("the simulated venue cannot listen on {address}: {cause}")]
    Listen {
        /// Where it wanted to listen.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// There is no market to serve.
    #[error(transparent)]
    Market(#[from] MarketError),
    /// The certificates could not be made.
    #[error(transparent)]
    Identity(#[from] tls::IdentityError),
    /// The CA could not be written.
    #[error("the simulated venue cannot write its CA to {path}: {cause}")]
    CaFile {
        /// Where it was to go.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The keys cannot be used.
    #[error(transparent)]
    Trading(#[from] TradingError),
    /// No keys could be made.
    #[error("the simulated venue cannot make API keys: {0}")]
    Keys(#[from] KeyError),
    /// The key files cannot be read or written.
    #[error(transparent)]
    KeyFiles(#[from] KeyFileError),
    /// The thread or its runtime could not be made.
    #[error("the simulated venue cannot start its thread: {0}")]
    Thread(io::Error),
}

/// The simulated venue.
pub struct Venue;

impl Venue {
    /// Starts a venue with the market that its configuration names: it serves when this returns.
    pub fn start(config: VenueConfig) -> Result<VenueHandle, VenueStartError> {
        let clock = VenueClock::new(config.clock);
        let market = Market::open(&config.market, clock.now())?;
        Self::serve(config, clock, market)
    }

    /// As [`start`](Self::start) with a market of a test's own, which gets the venue's time.
    #[cfg(test)]
    fn start_with(
        config: VenueConfig,
        market: impl FnOnce(VenueMicros) -> Box<dyn source::MarketSource>,
    ) -> Result<VenueHandle, VenueStartError> {
        let clock = VenueClock::new(config.clock);
        let market = Market::Source(market(clock.now()));
        Self::serve(config, clock, market)
    }

    fn serve(
        mut config: VenueConfig,
        clock: VenueClock,
        market: Market,
    ) -> Result<VenueHandle, VenueStartError> {
        let first_account = config
            .exchange
            .accounts
            .first()
            .map(|account| account.name.clone());
        let client_keys = give_keys(&mut config)?;
        let identity = tls::Identity::generate()?;
        let (secure, address) = listen(config.port)?;
        let (plain, plain_address) = match config.plain_port {
            Some(port) => {
                let (listener, address) = listen(port)?;
                (Some(listener), Some(address))
            }
            None => (None, None),
        };
        if let Some(path) = &config.ca_file {
            identity
                .write_ca(path)
                .map_err(|cause| VenueStartError::CaFile {
                    path: path.clone(),
                    cause,
                })?;
        }
        let send_buffer_bytes = config.send_buffer_bytes;
        let hub = Hub::new(config, market)?;
        let shared = Arc::new(Shared::new(hub, clock, send_buffer_bytes));
        let acceptor = TlsAcceptor::from(identity.server);
        let thread = spawn(shared.clone(), secure, plain, acceptor)?;
        Ok(VenueHandle {
            shared,
            address,
            plain_address,
            ca_pem: identity.ca_pem,
            client_keys,
            first_account,
            thread: Some(thread),
        })
    }
}

/// Makes keys for the first account when the configuration has none for anybody.
fn give_keys(config: &mut VenueConfig) -> Result<Option<ClientKeys>, VenueStartError> {
    let first = config.exchange.accounts.first();
    match (config.keys.is_empty(), first) {
        (true, Some(first)) => {
            let keys = match &config.key_dir {
                Some(folder) => key_files::read_or_make(folder)?,
                None => ClientKeys::generate()?,
            };
            config.keys = keys.configs(&first.name)?;
            Ok(Some(keys))
        }
        (true, None) | (false, _) => Ok(None),
    }
}

fn listen(port: u16) -> Result<(TcpListener, SocketAddr), VenueStartError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|cause| VenueStartError::Listen { address, cause })
}

fn spawn(
    shared: Arc<Shared>,
    secure: TcpListener,
    plain: Option<TcpListener>,
    acceptor: TlsAcceptor,
) -> Result<JoinHandle<()>, VenueStartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(VenueStartError::Thread)?;
    std::thread::Builder::new()
        .name("venue".to_owned())
        .spawn(move || {
            let served = runtime.block_on(server::serve(shared, secure, plain, acceptor));
            if let Err(error) = served {
                tracing::error!(%error, "the simulated venue stopped serving");
            }
            runtime.shutdown_timeout(Duration::from_millis(100));
        })
        .map_err(VenueStartError::Thread)
}

/// A running venue; dropping it stops it.
pub struct VenueHandle {
    shared: Arc<Shared>,
    address: SocketAddr,
    plain_address: Option<SocketAddr>,
    ca_pem: String,
    client_keys: Option<ClientKeys>,
    first_account: Option<String>,
    thread: Option<JoinHandle<()>>,
}

impl VenueHandle {
    /// Where TLS is served. The certificate is valid for `localhost` and `127.0.0.1`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the same is served without TLS.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        self.plain_address
    }

    /// The CA that clients must trust, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The client's side of the keys that the venue made for its first account; `None` when keys
    /// were configured.
    pub fn client_keys(&self) -> Option<&ClientKeys> {
        self.client_keys.as_ref()
    }

    /// The venue's time now.
    pub fn now(&self) -> VenueMicros {
        self.shared.clock.now()
    }

    /// Moves a manual clock forward, stopping at each deadline on the way, so that every event
    /// carries its own time. When this returns, all of it is in the clients' queues.
    pub fn advance(&self, by: Duration) {
        if self.shared.clock.runs_by_itself() {
            return;
        }
        let mut hub = self.shared.hub();
        let target = VenueMicros(self.shared.clock.now().0 + by.as_micros() as u64);
        while let Some(at) = hub.next_deadline().filter(|&at| at <= target) {
            self.shared.clock.set(at);
            hub.advance(self.shared.clock.now());
        }
        self.shared.clock.set(target);
        hub.advance(target);
    }

    /// Injects a fault on stream connections, now or on the next thing that it applies to;
    /// `false` when too many wait already.
    pub fn inject(&self, fault: Fault) -> bool {
        self.inject_on(fault, Surface::Streams)
    }

    /// As [`inject`](Self::inject), for faults of connections, on one kind of them.
    pub fn inject_on(&self, fault: Fault, surface: Surface) -> bool {
        let injected = self
            .shared
            .hub()
            .inject(self.shared.clock.now(), fault, surface);
        self.shared.wake.notify_one();
        injected
    }

    /// Pushes a piece of another venue's public flow into a fed market; `symbol` is a position in
    /// the configured list.
    pub fn feed(&self, symbol: usize, update: FeedUpdate) -> Result<(), FeedError> {
        let now = self.shared.clock.now();
        let fed = self.shared.hub().feed(now, SymbolIndex(symbol), update);
        self.shared.wake.notify_one();
        fed
    }

    /// Adds to what an account has free of an asset, or takes from it when negative; `false`, and
    /// nothing happens, for an unknown account or asset, or when there is not so much.
    pub fn deposit(&self, account: &str, asset: &str, delta: E8) -> bool {
        let now = self.shared.clock.now();
        let known = self
            .shared
            .hub()
            .deposit_by_name(now, account, asset, delta);
        self.shared.wake.notify_one();
        known
    }

    /// What the first account holds, as the exchange itself has it; `None` when there is no account.
    pub fn first_account_holdings(&self) -> Option<Holdings> {
        self.shared.hub().holdings(self.first_account.as_deref()?)
    }

    /// Counters since the start.
    pub fn stats(&self) -> VenueStats {
        self.shared.hub().stats()
    }

    /// The venue's own book of a symbol after exactly this update id, when
    /// [`VenueConfig::book_history`] still remembers it.
    pub fn book_at(&self, symbol: &str, update_id: u64) -> Option<Snapshot> {
        self.shared.hub().book_at(symbol, update_id)
    }

    /// The venue's own book of a symbol now.
    pub fn book_now(&self, symbol: &str, limit: usize) -> Option<Snapshot> {
        self.shared.hub().book_now(symbol, limit)
    }

    /// What a recorded flow still waits for before it starts or goes on: stream names, and
    /// `depth SYMBOL`. Empty when it runs, and for other markets.
    pub fn waits_for(&self) -> Vec<String> {
        self.shared.hub().waits_for()
    }

    /// Lets a recorded flow go without waiting for anyone.
    pub fn release(&self) {
        self.shared.hub().release();
        self.shared.wake.notify_one();
    }

    /// Whether a recorded session is over and all of it has been written to the clients.
    pub fn is_finished(&self) -> bool {
        self.shared.hub().is_finished()
    }

    /// Says goodbye to the clients and ends the venue's thread.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.shared.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the simulated venue's thread panicked");
        }
    }
}

impl Drop for VenueHandle {
    fn drop(&mut self) {
        self.halt();
    }
}

#[cfg(test)]
mod tests;
