//! How a venue is set up.
//!
//! Owns: [`VenueConfig`] and its defaults, each the venue's own figure where it has one. Does not:
//! read files or arguments; the command does.

use std::path::PathBuf;

use serde::Deserialize;

use super::clock::ClockMode;
use super::exchange::ExchangeConfig;
use super::faults::FaultRule;
use super::limits::{
    CONNECTS_PER_FIVE_MINUTES, ORDERS_PER_DAY, ORDERS_PER_TEN_SECONDS, REQUEST_WEIGHT_PER_MINUTE,
};
use super::market::MarketConfig;
use super::streams::ControlErrorForm;
use super::trading::keys::ApiKeyConfig;
use super::trading::{AnswerOrder, Latency};

/// Everything about a venue. Times are of the venue's clock.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VenueConfig {
    /// TLS port on loopback; 0 takes a free one.
    pub port: u16,
    /// A second port without TLS; `None` for none, 0 takes a free one.
    pub plain_port: Option<u16>,
    /// Where to write the CA certificate that clients must trust, PEM.
    pub ca_file: Option<PathBuf>,
    /// Seed of ping payloads and of drawn faults.
    pub seed: u64,
    /// Between two pings of the venue, milliseconds.
    pub ping_interval_ms: u64,
    /// Without a valid pong for so long the connection is closed, milliseconds.
    pub pong_timeout_ms: u64,
    /// A connection lives at most so long, milliseconds.
    pub connection_life_ms: u64,
    /// Between a `serverShutdown` event and the close, milliseconds.
    pub shutdown_delay_ms: u64,
    /// Request weight of one address in an aligned minute.
    pub request_weight_per_minute: u32,
    /// Unfilled orders of one account in aligned ten seconds.
    pub orders_per_ten_seconds: u32,
    /// Unfilled orders of one account in a day of UTC.
    pub orders_per_day: u32,
    /// How long requests, answers and events are under way.
    pub latency: Latency,
    /// Which leaves first when an answer and its events are due together.
    pub answer_order: AnswerOrder,
    /// After how long a request whose outcome nobody knows is answered with -1007, milliseconds.
    pub backend_timeout_ms: u64,
    /// Connection attempts of one address in five minutes.
    pub connects_per_five_minutes: u32,
    /// Whether the attempts above are refused or only counted.
    pub enforce_connects: bool,
    /// Whether five client frames a second on stream connections are enforced.
    pub enforce_client_frames: bool,
    /// Frames that wait for one client; a client that falls further behind is disconnected.
    pub client_queue_frames: usize,
    /// Bytes that wait for one client, as above.
    pub client_queue_bytes: usize,
    /// Kernel send buffer of a connection, bytes; `None` leaves it to the kernel.
    pub send_buffer_bytes: Option<usize>,
    /// How control errors look.
    pub control_errors: ControlErrorForm,
    /// Books remembered a symbol for comparison ([`VenueHandle::book_at`]); 0 remembers none.
    ///
    /// [`VenueHandle::book_at`]: super::VenueHandle::book_at
    pub book_history: usize,
    /// Accounts, their balances and fees.
    #[serde(skip)]
    pub exchange: ExchangeConfig,
    /// API keys of the accounts. Without any, the venue makes two for its first account
    /// ([`VenueHandle::client_keys`]).
    ///
    /// [`VenueHandle::client_keys`]: super::VenueHandle::client_keys
    #[serde(skip)]
    pub keys: Vec<ApiKeyConfig>,
    /// Where the keys that the venue makes are kept; those that are there already are taken.
    pub key_dir: Option<PathBuf>,
    /// Where the public flow comes from.
    #[serde(skip)]
    pub market: MarketConfig,
    /// Scheduled faults.
    #[serde(skip)]
    pub faults: Vec<FaultRule>,
    /// Whose time it is.
    #[serde(skip)]
    pub clock: ClockMode,
}

impl Default for VenueConfig {
    fn default() -> Self {
        Self {
            port: 0,
            plain_port: None,
            ca_file: None,
            seed: 1,
            ping_interval_ms: 20_000,
            pong_timeout_ms: 60_000,
            connection_life_ms: 24 * 3_600 * 1_000,
            shutdown_delay_ms: 1_000,
            request_weight_per_minute: REQUEST_WEIGHT_PER_MINUTE,
            orders_per_ten_seconds: ORDERS_PER_TEN_SECONDS,
            orders_per_day: ORDERS_PER_DAY,
            latency: Latency::default(),
            answer_order: AnswerOrder::default(),
            backend_timeout_ms: 10_000,
            connects_per_five_minutes: CONNECTS_PER_FIVE_MINUTES,
            enforce_connects: false,
            enforce_client_frames: true,
            client_queue_frames: 16_384,
            client_queue_bytes: 32 << 20,
            send_buffer_bytes: None,
            control_errors: ControlErrorForm::default(),
            book_history: 0,
            exchange: ExchangeConfig::default(),
            keys: Vec::new(),
            key_dir: None,
            market: MarketConfig::default(),
            faults: Vec::new(),
            clock: ClockMode::default(),
        }
    }
}
