//! Everything that is decided before a thread of the engine runs.
//!
//! Owns: [`Boot`] and [`NotStarted`]: where threads run, which venue is spoken to, what it trades, whose account it
//! is. Does not: start the engine (`run/session.rs`). Invariant: whatever is wrong with the configuration or the
//! venue is told in one sentence before anything of ours is sent.

use super::account::{TradingSetup, trading_setup};
use super::api::api_config;
use super::settings::{engine_config, sidecar_config};
use super::{End, PATROL, fail, finish};
use crate::config::{self, Config, ExecutionMode, Source};
use crate::paper::{self, PaperConfig};
use crate::placement::{self, Cpus, Placement};
use crate::venue::source::SymbolSpec;
use crate::venue::{
    ExchangeConfig, ListedRules, MarketConfig, Recording, Speed, Venue, VenueConfig, VenueHandle,
};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use veloz_core::config::EngineConfig;
use veloz_core::edge::connector::request_once;
use veloz_core::edge::core_loop::EdgeConfig;
use veloz_core::edge::cpu::{self, Scheduling};
use veloz_core::edge::idle::IdleKind;
use veloz_core::instrument::Instruments;
use veloz_core::units::{Nanos, Ticks};
use veloz_core::venue::binance::exchange_info;
use veloz_core::venue::binance::rate::OrderLimit;
use veloz_exporter::ExporterConfig;
use veloz_exporter::traces::TraceConfig;

/// How long the venue may take to say what it trades.
const EXCHANGE_INFO_TIMEOUT: Nanos = Nanos::from_secs(10);
/// Silence after which the edge gives a socket up: the venue pings every 20 s, one may be lost.
const SOCKET_SILENCE_MIN: Nanos = Nanos::from_secs(45);

/// Why nothing runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// A signal came first.
    Asked,
    /// One sentence that says what failed and what to do.
    Failed(String),
}

impl From<String> for NotStarted {
    fn from(sentence: String) -> Self {
        Self::Failed(sentence)
    }
}

impl NotStarted {
    /// Logs it and gives the exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Asked => finish(&End::Asked),
            Self::Failed(sentence) => fail(sentence),
        }
    }
}

/// Everything that is decided before a thread of the engine runs.
pub struct Boot {
    /// Where the core thread will run.
    pub placement: Placement,
    /// What the engine will be told.
    pub engine: EngineConfig,
    /// What it will follow.
    pub instruments: Instruments,
    /// Where its data comes from, for people.
    pub source: String,
    pub(super) edge: EdgeConfig,
    pub(super) sidecar: ExporterConfig,
    pub(super) traces: TraceConfig,
    pub(super) venue: Option<Arc<VenueHandle>>,
    /// What feeds the venue, when its market is a live one.
    pub(super) paper: Option<PaperConfig>,
    pub(super) trading: Option<TradingSetup>,
    pub(super) shutdown_timeout: Duration,
    pub(super) analytics_period_s: u32,
}

impl Boot {
    /// Places the process, starts the embedded venue when it is the source or matches orders, and asks the venue
    /// for its instruments; gives up when `asked` says so.
    ///
    /// # Errors
    /// [`NotStarted`] says why.
    pub fn new(config: &Config, asked: impl Fn() -> bool) -> Result<Self, NotStarted> {
        let paper = config.venue.source == Source::Binance
            && config.venue.execution_mode == ExecutionMode::SimEngine;
        Self::prepare(config, paper, asked)
    }

    /// As [`new`](Self::new), without an account where a live market is followed and orders would be simulated:
    /// for what only watches.
    ///
    /// # Errors
    /// [`NotStarted`] says why.
    pub fn watching(config: &Config, asked: impl Fn() -> bool) -> Result<Self, NotStarted> {
        Self::prepare(config, false, asked)
    }

    fn prepare(config: &Config, paper: bool, asked: impl Fn() -> bool) -> Result<Self, NotStarted> {
        let allowed = cpu::allowed_cpus();
        let isolated = cpu::isolated_cpus();
        let cpus = Cpus {
            allowed: &allowed,
            isolated: &isolated,
        };
        let placement = placement::place(&config.core, cpus).map_err(|error| error.to_string())?;
        if let Some(core_cpu) = placement.cpu {
            // Threads inherit this mask; a refusal only means that they share the CPU.
            cpu::leave_core_cpu(core_cpu);
        }

        let mut venue = match config.venue.source {
            Source::Embedded => Some(Arc::new(start_venue(config)?)),
            Source::Binance => None,
        };
        let (market_url, api_url, source) = match &venue {
            Some(venue) => {
                let address = venue.address();
                (
                    format!("wss://{address}/stream"),
                    format!("wss://{address}/ws-api/v3"),
                    format!("embedded venue on {address}"),
                )
            }
            None => (
                config.venue.market_url.clone(),
                config.venue.api_url.clone(),
                config.venue.market_url.clone(),
            ),
        };
        let ca_file = &config.venue.ca_file;
        let silence = Nanos::from_ms(config.market_data.silence_ms);
        let mut edge = EdgeConfig {
            market_url,
            orders_url: api_url.clone(),
            api_url,
            ca_files: if venue.is_some() || ca_file.as_os_str().is_empty() {
                Vec::new()
            } else {
                vec![ca_file.clone()]
            },
            ca_pems: venue
                .iter()
                .map(|venue| venue.ca_pem().to_owned())
                .collect(),
            cpu: placement.cpu,
            scheduling: match config.core.realtime_priority {
                0 => Scheduling::Other,
                priority => Scheduling::Fifo { priority },
            },
            lock_memory: config.core.lock_memory,
            idle: match placement.idle {
                config::Idle::Spin => IdleKind::Spin,
                config::Idle::Yield => IdleKind::Yield,
                config::Idle::Backoff | config::Idle::Auto => IdleKind::Backoff,
            },
            connect_timeout: EngineConfig::default().links.connect_timeout,
            silence_max: silence.max(SOCKET_SILENCE_MIN),
        };
        let answer = ask_exchange_info(&edge, config, asked)?;
        let (instruments, weight_per_minute, order_limits) = read_exchange_info(&answer, config)?;
        let paper = paper.then(|| PaperConfig {
            market_url: edge.market_url.clone(),
            api_url: edge.api_url.clone(),
            ca_files: edge.ca_files.clone(),
            ca_pems: Vec::new(),
            symbols: config.market_data.symbols.clone(),
            core_cpu: placement.cpu,
        });
        if paper.is_some() {
            let listed = ListedRules::read(&answer, &config.market_data.symbols)
                .map_err(|error| format!("{error} (market_data.symbols decides this)"))?;
            let fed = start_fed_venue(config, &instruments, &order_limits, listed)?;
            edge.orders_url = format!("wss://{}/ws-api/v3", fed.address());
            edge.ca_pems.push(fed.ca_pem().to_owned());
            venue = Some(Arc::new(fed));
        }
        let trading = trading_setup(config, venue.as_deref(), &instruments, order_limits)?;
        let mut engine = engine_config(config, RandomState::new().build_hasher().finish());
        engine.requests.weight_per_minute =
            engine.requests.weight_per_minute.min(weight_per_minute);
        if paper.is_some() {
            // The feed asks the same venue from the same address.
            engine.requests.weight_per_minute = engine
                .requests
                .weight_per_minute
                .saturating_sub(paper::WEIGHT_PER_MINUTE)
                .max(paper::WEIGHT_PER_MINUTE.min(weight_per_minute));
        }
        let mut sidecar = sidecar_config(config, placement.cpu)?;
        sidecar.api = api_config(
            config,
            &instruments,
            trading.as_ref(),
            edge.endpoints().map_err(|error| error.to_string())?.orders,
        )?;
        Ok(Self {
            placement,
            engine,
            instruments,
            source,
            edge,
            sidecar,
            traces: config.traces.config(),
            venue,
            paper,
            trading,
            shutdown_timeout: Duration::from_millis(config.orders.shutdown_timeout_ms),
            analytics_period_s: config.analytics_period_s(),
        })
    }
}

/// Starts the embedded venue.
fn start_venue(config: &Config) -> Result<VenueHandle, String> {
    let embedded = &config.embedded;
    let recorded = !embedded.capture.as_os_str().is_empty();
    let market = if recorded {
        MarketConfig::Recorded(Recording {
            files: vec![embedded.capture.clone()],
            speed: match embedded.speed {
                config::Speed::Max => Speed::Max,
                config::Speed::Times(times) => Speed::Times(f64::from(times)),
            },
            wait_for: None,
        })
    } else {
        MarketConfig::Synthetic {
            symbols: config.market_data.symbols.clone(),
            seed: embedded.seed,
        }
    };
    let ca_file = &embedded.ca_file;
    Venue::start(VenueConfig {
        port: embedded.port,
        ca_file: (!ca_file.as_os_str().is_empty()).then(|| ca_file.clone()),
        seed: embedded.seed,
        market,
        ..VenueConfig::default()
    })
    .map_err(|error| {
        format!("{error} (embedded.port, embedded.ca_file, embedded.capture and market_data.symbols decide this)")
    })
}

/// Starts the embedded venue for a live market that is fed into it, with the live venue's rules and limits on orders.
fn start_fed_venue(
    config: &Config,
    instruments: &Instruments,
    order_limits: &[OrderLimit],
    listed: Vec<ListedRules>,
) -> Result<VenueHandle, String> {
    let specs = instruments.iter().map(|(_, instrument)| SymbolSpec {
        symbol: instrument.symbol.to_string(),
        base: instrument.base.to_string(),
        quote: instrument.quote.to_string(),
        tick: instrument.price(Ticks(1)),
        lot: instrument.qty(instrument.order_rules.qty_step),
    });
    let limit = |window: Nanos, otherwise: u32| {
        order_limits
            .iter()
            .find(|limit| limit.window == window)
            .map_or(otherwise, |limit| limit.limit)
    };
    let defaults = VenueConfig::default();
    let embedded = &config.embedded;
    let ca_file = &embedded.ca_file;
    Venue::start(VenueConfig {
        port: embedded.port,
        ca_file: (!ca_file.as_os_str().is_empty()).then(|| ca_file.clone()),
        seed: embedded.seed,
        orders_per_ten_seconds: limit(Nanos::from_secs(10), defaults.orders_per_ten_seconds),
        orders_per_day: limit(Nanos::from_secs(86_400), defaults.orders_per_day),
        market: MarketConfig::Fed {
            symbols: specs.collect(),
        },
        exchange: ExchangeConfig {
            listed,
            ..defaults.exchange
        },
        ..defaults
    })
    .map_err(|error| format!("{error} (embedded.port and embedded.ca_file decide this)"))
}

/// Asks the venue what it trades. The question blocks, so it has a thread of its own, which is left
/// behind when the process is asked to end meanwhile.
fn ask_exchange_info(
    edge: &EdgeConfig,
    config: &Config,
    asked: impl Fn() -> bool,
) -> Result<String, NotStarted> {
    let api = edge.endpoints().map_err(|error| error.to_string())?.api;
    let request = serde_json::json!({
        "id": "start",
        "method": "exchangeInfo",
        "params": { "symbols": config.market_data.symbols },
    })
    .to_string();
    let (answer, answered) = mpsc::channel();
    std::thread::Builder::new()
        .name("veloz-start".to_owned())
        .spawn(move || {
            // Nobody listens any more when the process ends meanwhile.
            let _ = answer.send(request_once(&api, &request, EXCHANGE_INFO_TIMEOUT));
        })
        .map_err(|error| format!("no thread to ask the venue: {error}"))?;
    loop {
        match answered.recv_timeout(PATROL) {
            Ok(Ok(text)) => return Ok(text),
            Ok(Err(error)) => {
                return Err(NotStarted::Failed(format!(
                    "the venue does not say what it trades: {error} (venue.api_url, venue.ca_file and the network decide this)"
                )));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(NotStarted::Failed(
                    "the thread that asks the venue panicked".to_owned(),
                ));
            }
            Err(RecvTimeoutError::Timeout) if asked() => return Err(NotStarted::Asked),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The instruments of an answer, the venue's request weight a minute, and its limits on orders.
fn read_exchange_info(
    answer: &str,
    config: &Config,
) -> Result<(Instruments, u32, Vec<OrderLimit>), String> {
    let symbols: Vec<&str> = config
        .market_data
        .symbols
        .iter()
        .map(String::as_str)
        .collect();
    let info = exchange_info::parse(answer.as_bytes(), &symbols)
        .map_err(|error| format!("{error} (market_data.symbols decides this)"))?;
    let instruments = Instruments::new(info.instruments).map_err(|error| error.to_string())?;
    Ok((instruments, info.weight_per_minute, info.order_limits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    #[test]
    fn a_signal_ends_the_wait_for_a_venue_that_does_not_answer() {
        // A socket that nobody accepts: the connection is made, the handshake is not.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = silent.local_addr().expect("bound").port();
        let text = format!(
            "[venue]\nsource = \"binance\"\napi_url = \"ws://127.0.0.1:{port}/ws-api/v3\"\n[core]\ncpu = \"none\"\n"
        );
        let config = load_text("test.toml", &text).expect("valid").config;
        let refused = Boot::new(&config, || true).err();
        assert_eq!(refused, Some(NotStarted::Asked));
    }
}
