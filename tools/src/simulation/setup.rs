//! What a run begins with: a venue with drawn latencies, its instruments, and an engine with an account there.
//!
//! Owns: the configuration of both sides. Does not: run anything. Invariant: what is drawn comes from the run's own
//! generator.

use super::limits::Limits;
use super::network;
use super::{BEGINS_AT, Brain, RECONCILE_EVERY, SYMBOLS, SimulationConfig, SimulationError};
use crate::venue::{
    AccountConfig, AnswerOrder, ClientKeys, ExchangeConfig, Latency, MarketConfig, VenueConfig,
    VenueInProcess,
};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use veloz_core::config::{EngineConfig, KnownTrades, TradingConfig};
use veloz_core::engine::{Account, Engine, NoStopwatch};
use veloz_core::instrument::{Instruments, Symbol};
use veloz_core::oms::OmsConfig;
use veloz_core::portfolio::Restored;
use veloz_core::strategy::{Configured, MarketMakerConfig, StrategyConfig};
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{E8, Nanos};
use veloz_core::venue::binance::exchange_info;
use veloz_core::venue::binance::order_entry::{ApiKey, Credentials};
use veloz_core::venue::binance::rate::OrderLimit;
use veloz_core::wire::sign::Signer;

/// A venue of the run's own seed.
pub(super) fn venue_config(config: &SimulationConfig, random: &mut SmallRng) -> VenueConfig {
    VenueConfig {
        seed: random.random(),
        market: MarketConfig::Synthetic {
            symbols: SYMBOLS.map(str::to_owned).to_vec(),
            seed: random.random(),
        },
        latency: Latency {
            request_to_engine_us: random.random_range(0..3_000),
            engine_to_response_us: random.random_range(0..3_000),
            engine_to_event_us: random.random_range(0..3_000),
        },
        answer_order: match random.random_range(0..3) {
            0 => AnswerOrder::EventFirst,
            1 => AnswerOrder::ResponseFirst,
            _ => AnswerOrder::Random,
        },
        backend_timeout_ms: 1_000,
        ping_interval_ms: 20_000,
        // One account in four pays its fees in an asset that it does not trade.
        exchange: ExchangeConfig {
            accounts: vec![account(config)],
            ..ExchangeConfig::default()
        },
        connects_per_five_minutes: if config.faults { 300 } else { 100_000 },
        ..VenueConfig::default()
    }
}

fn account(config: &SimulationConfig) -> AccountConfig {
    let account = AccountConfig {
        fees_in_bnb: config.seed % 4 == 1,
        ..AccountConfig::default()
    };
    match Limits::of_seed(config.seed).balances {
        Some(balances) => AccountConfig {
            balances: balances
                .map(|(asset, free)| (asset.to_owned(), free))
                .to_vec(),
            ..account
        },
        None => account,
    }
}

/// The instruments, as the venue describes them.
pub(super) fn read_instruments(venue: &mut VenueInProcess) -> Result<Instruments, SimulationError> {
    let answer = network::ask_once(
        venue,
        BEGINS_AT,
        r#"{"id":1,"method":"exchangeInfo","params":{"symbols":["BTCUSDT","ETHUSDT"]}}"#,
    )
    .ok_or_else(|| SimulationError::Setup("the venue does not answer exchangeInfo".to_owned()))?;
    let info = exchange_info::parse(answer.as_bytes(), &SYMBOLS)
        .map_err(|error| SimulationError::Setup(error.to_string()))?;
    Instruments::new(info.instruments).map_err(|error| SimulationError::Setup(error.to_string()))
}

/// What one process leaves to the next in the state file.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    pub(super) baselines: Vec<(Symbol, E8)>,
    pub(super) trades_known: Vec<KnownTrades>,
    pub(super) kill_switch: bool,
    pub(super) restored: Option<Restored>,
}

/// An engine that trades there, as the run's `run`-th process.
pub(super) fn start_engine(
    venue: &VenueInProcess,
    instruments: &Instruments,
    config: &SimulationConfig,
    run: u32,
    left: Left,
) -> Result<(Brain, TelemetryReader), SimulationError> {
    let keys = venue
        .client_keys()
        .ok_or_else(|| SimulationError::Setup("the venue made no keys".to_owned()))?;
    let (writer, reader) = telemetry(instruments.count(), Sizes::default());
    let strategy = StrategyConfig::MarketMaker(MarketMakerConfig {
        warm_up_updates: 10,
        ..MarketMakerConfig::default()
    });
    let account = Account {
        config: trading_config(run, instruments, Limits::of_seed(config.seed), left),
        credentials: credentials(keys, config.seed.is_multiple_of(3))?,
        strategy: Configured::new(&strategy, instruments.count())
            .map_err(|error| SimulationError::Setup(error.to_string()))?,
    };
    let engine_config = EngineConfig {
        seed: config.seed,
        ..EngineConfig::default()
    };
    let engine = Engine::with_account(
        engine_config,
        instruments.clone(),
        writer,
        NoStopwatch,
        Some(account),
    )?;
    Ok((engine, reader))
}

/// Every third seed signs each request instead of logging on.
fn credentials(keys: &ClientKeys, signs_each: bool) -> Result<Credentials, SimulationError> {
    let setup = |error: String| SimulationError::Setup(error);
    let (api_key, signer) = if signs_each {
        let signer = Signer::hmac(keys.hmac_secret.as_bytes());
        (&keys.hmac_api_key, signer)
    } else {
        let signer = Signer::from_pem(keys.ed25519_private_pem.as_bytes());
        (&keys.ed25519_api_key, signer)
    };
    Ok(Credentials {
        api_key: ApiKey::new(api_key).map_err(|error| setup(error.to_string()))?,
        signer: signer.map_err(|error| setup(error.to_string()))?,
    })
}

fn trading_config(
    run: u32,
    instruments: &Instruments,
    limits: Limits,
    left: Left,
) -> TradingConfig {
    let Left {
        baselines,
        trades_known,
        kill_switch,
        restored,
    } = left;
    TradingConfig {
        prefix: "sim".to_owned(),
        run,
        recv_window_ms: 5_000,
        account_currency: Symbol::new("USDT").expect("short"),
        baselines,
        trades_known,
        global_limits: limits.global(),
        instrument_limits: (0..instruments.count())
            .map(|instrument| limits.of_instrument(instrument))
            .collect(),
        orders: OmsConfig {
            answer_max: Nanos::from_secs(2),
            cancel_max: Nanos::from_secs(2),
            replace_max: Nanos::from_secs(2),
            grace: Nanos::from_ms(250),
            ask_again: Nanos::from_secs(1),
            answer_horizon: Nanos::from_secs(6),
        },
        order_limits: vec![
            OrderLimit {
                window: Nanos::from_secs(10),
                limit: 100,
            },
            OrderLimit {
                window: Nanos::from_secs(86_400),
                limit: 200_000,
            },
        ],
        reconcile_every: RECONCILE_EVERY,
        kill_switch,
        restored,
        strategy_runs: true,
    }
}
