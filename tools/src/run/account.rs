//! What the engine is told about its account: configuration, keys, state and the venue's answer, put together.
//!
//! Owns: [`TradingSetup`]. Does not: start anything. Invariant: whatever is wrong is found here, before a thread of
//! the engine runs, and told in one sentence.

use super::dead_man;
use crate::config::Config;
use crate::keys;
use crate::state::StateStore;
use crate::venue::{ClientKeys, VenueHandle};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use veloz_core::config::TradingConfig;
use veloz_core::engine::Account;
use veloz_core::instrument::{Instruments, Symbol};
use veloz_core::oms::OmsConfig;
use veloz_core::portfolio::Restored;
use veloz_core::strategy::Configured;
use veloz_core::units::{E8, Nanos};
use veloz_core::venue::binance;
use veloz_core::venue::binance::order_entry::{ApiKey, ClientOrderIds, Credentials};
use veloz_core::venue::binance::rate::OrderLimit;
use veloz_core::wire::sign::Signer;

/// How long after its sending a placement can still reach the matching engine, beyond its receive window.
const HORIZON_GUARD: Nanos = Nanos::from_secs(1);
/// First wait between two questions about one order.
const ASK_AGAIN: Nanos = Nanos::from_secs(1);
/// How long a fill that a cumulative quantity is ahead of may still be on its way before it is asked for.
const GRACE: Nanos = Nanos::from_ms(250);
/// How often the venue is asked what it holds of us although nothing is in doubt.
const RECONCILE_EVERY: Nanos = Nanos::from_secs(60);

/// Everything that trading needs at start.
pub(super) struct TradingSetup {
    /// What the engine is told.
    pub(super) account: Account<Configured>,
    /// What cancels its orders should the core stand still.
    pub(super) dead_man: dead_man::Setup,
    /// What outlives the process.
    pub(super) state: Arc<StateStore>,
}

/// The account that the configuration means; `None` for market data alone.
///
/// # Errors
/// One sentence that says what is wrong and what to do.
pub(super) fn trading_setup(
    config: &Config,
    venue: Option<&VenueHandle>,
    instruments: &Instruments,
    order_limits: Vec<OrderLimit>,
) -> Result<Option<TradingSetup>, String> {
    let Some(credentials) = credentials(config, venue)? else {
        return Ok(None);
    };
    let place = config
        .state_place(|name| std::env::var(name).ok())
        .map_err(|error| error.to_string())?;
    let now_unix_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let state = StateStore::open(&place, &config.account.instance, now_unix_s)
        .map_err(|error| error.to_string())?;
    let strategy = config.strategy();
    let trading = trading_config(config, &state, instruments, order_limits)?;
    let ids = ClientOrderIds::new(&trading.prefix).map_err(|error| error.to_string())?;
    let its_own = self::credentials(config, venue)?
        .ok_or("the account's key was there a moment ago and is gone")?;
    let dead_man = dead_man::Setup::new(config, ids, its_own);
    Ok(Some(TradingSetup {
        account: Account {
            config: trading,
            credentials,
            strategy: Configured::new(&strategy, instruments.count())
                .map_err(|error| error.to_string())?,
        },
        dead_man,
        state: Arc::new(state),
    }))
}

/// The key of the account that the configuration means; `None` for market data alone.
fn credentials(
    config: &Config,
    venue: Option<&VenueHandle>,
) -> Result<Option<Credentials>, String> {
    match keys::Account::configured(config).map_err(|fault| fault.to_string())? {
        keys::Account::MarketDataOnly => Ok(None),
        keys::Account::Of(credentials) => Ok(Some(credentials)),
        keys::Account::Simulated => venue
            .and_then(VenueHandle::client_keys)
            .map(|made| {
                credentials_of(made)
                    .map_err(|error| format!("the embedded venue's own key: {error}"))
            })
            .transpose(),
    }
}

/// A key that the embedded venue made for its client.
fn credentials_of(made: &ClientKeys) -> Result<Credentials, String> {
    let signer =
        Signer::from_pem(made.ed25519_private_pem.as_bytes()).map_err(|error| error.to_string())?;
    let api_key = ApiKey::new(&made.ed25519_api_key).map_err(|error| error.to_string())?;
    Ok(Credentials { api_key, signer })
}

fn trading_config(
    config: &Config,
    state: &StateStore,
    instruments: &Instruments,
    order_limits: Vec<OrderLimit>,
) -> Result<TradingConfig, String> {
    let limits = config
        .risk
        .resolve(instruments)
        .map_err(|error| error.to_string())?;
    let assets = binance::assets(instruments);
    let account_currency = Symbol::new(&config.account.currency)
        .filter(|currency| assets.find(currency.as_bytes()).is_some())
        .ok_or_else(|| {
            format!(
                "`account.currency` is {}, which no instrument of market_data.symbols is made of",
                config.account.currency
            )
        })?;
    let configured = config.account.baselines(&assets)?;
    let baselines = state.read(|state| {
        assets
            .iter()
            .zip(&configured)
            .filter_map(|((_, asset), configured)| {
                let seen = state.baselines_e8.get(asset.as_str()).copied().map(E8);
                configured.or(seen).map(|amount| (asset, amount))
            })
            .collect()
    });
    let limits = state.read(|state| state.api_limits.hold(limits, instruments))?;
    if !limits.kept.is_empty() {
        tracing::warn!(
            component = "config",
            event_type = "limits_kept",
            "{}",
            super::reload::kept_sentence(&limits.kept)
        );
    }
    let limits = limits.limits;
    let (global_limits, instrument_limits) = state.read(|state| {
        let global = state.global_limits.map_or(limits.global, Into::into);
        let own = instruments
            .iter()
            .zip(limits.instruments)
            .map(|((_, instrument), configured)| {
                match state.instrument_limits.get(instrument.symbol.as_str()) {
                    None => Ok(configured),
                    Some(saved) => saved.on_grid_of(instrument).ok_or_else(|| {
                        format!(
                            "the saved limits of {} do not fit its present grid; change them anew",
                            instrument.symbol
                        )
                    }),
                }
            })
            .collect::<Result<Vec<_>, _>>();
        own.map(|own| (global, own))
    })?;
    let orders = &config.orders;
    let recv_window_ms = u16::try_from(config.account.recv_window_ms)
        .map_err(|_| "`account.recv_window_ms` is above 60000".to_owned())?;
    Ok(TradingConfig {
        prefix: config.account.instance.clone(),
        run: state.read(|state| state.run),
        recv_window_ms,
        account_currency,
        baselines,
        trades_known: state.read(|state| state.trades_known(instruments)),
        global_limits,
        instrument_limits,
        orders: OmsConfig {
            answer_max: Nanos::from_ms(orders.answer_timeout_ms),
            cancel_max: Nanos::from_ms(orders.cancel_timeout_ms),
            replace_max: Nanos::from_ms(orders.replace_timeout_ms),
            grace: GRACE,
            ask_again: ASK_AGAIN,
            answer_horizon: Nanos::from_ms(u64::from(recv_window_ms)).plus(HORIZON_GUARD),
        },
        order_limits,
        reconcile_every: RECONCILE_EVERY,
        kill_switch: state.read(|state| state.kill_switch.is_some()),
        restored: state.read(|state| {
            state.equity.marks.map(|marks| Restored {
                day: marks.day,
                day_start_equity: E8(marks.day_start_e8),
                peak_equity: E8(marks.peak_e8),
                flows: E8(marks.day_flows_e8),
            })
        }),
        strategy_runs: true,
    })
}
