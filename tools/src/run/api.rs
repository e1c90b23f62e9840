//! What the REST API is told, and what the process does for it.
//!
//! Owns: [`api_config`] and [`Office`]. Does not: answer requests. Invariant: what is kept for the next start is on the
//! disk when a call returns.

use super::account::TradingSetup;
use crate::config::trading::StatePlace;
use crate::config::{self, Config, ExecutionMode, Source, load_text};
use crate::state::{SavedInstrumentLimits, StateStore};
use serde_json::json;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use veloz_core::edge::connector::{Endpoint, request_once};
use veloz_core::instrument::Instruments;
use veloz_core::risk::{GlobalLimits, LimitsChange};
use veloz_core::strategy::StrategyConfig;
use veloz_core::units::Nanos;
use veloz_core::wire::sign::SignatureText;
use veloz_exporter::api::administration::{Administration, NotDone};
use veloz_exporter::api::{ApiConfig, Place, Profile, signer};
use veloz_exporter::http::body::{Fields, Json};

/// How long one question about a key may take; a request has ten seconds in all.
const KEY_TEST_TIME_MAX: Nanos = Nanos::from_secs(4);

/// What the API of this configuration is told.
///
/// # Errors
/// A sentence when there is no place for what it keeps.
pub(super) fn api_config(
    config: &Config,
    instruments: &Instruments,
    trading: Option<&TradingSetup>,
    orders: Endpoint,
) -> Result<ApiConfig, String> {
    let place = match config.state_place(|name| std::env::var(name).ok()) {
        Ok(StatePlace::Nowhere) => None,
        // Without an account too: a key that is written over the API is there for the next start.
        Ok(StatePlace::Directory(directory)) => Some(Place {
            directory,
            instance: config.account.instance.clone(),
        }),
        Err(error) if trading.is_some() => return Err(error.to_string()),
        // Who only watches needs no place.
        Err(_) => None,
    };
    let limits = trading.map_or((GlobalLimits::default(), Vec::new()), |trading| {
        let own = &trading.account.config;
        (own.global_limits, own.instrument_limits.clone())
    });
    Ok(ApiConfig {
        profile: profile(config),
        limits,
        administration: Arc::new(Office {
            state: trading.map(|trading| Arc::clone(&trading.state)),
            instruments: instruments.clone(),
            saved_config: place.as_ref().map(|place| {
                let file = format!("{}.config.toml", place.instance);
                place.directory.join(file)
            }),
            orders,
        }),
        place,
    })
}

fn profile(config: &Config) -> Profile {
    let venue = &config.venue;
    let (market_source, market_url) = match venue.source {
        Source::Embedded => ("sim", None),
        Source::Binance => ("binance_rest", Some(venue.market_url.clone())),
    };
    let (execution_mode, trade_url) = match venue.execution_mode {
        ExecutionMode::SimEngine => ("sim_engine", None),
        ExecutionMode::BinanceTestnetSpot => ("binance_testnet_spot", Some(venue.api_url.clone())),
        ExecutionMode::BinanceSpot => ("binance_spot", Some(venue.api_url.clone())),
    };
    Profile {
        market_source,
        execution_mode,
        market_url,
        trade_url,
        self_trade_prevention: Some(config.orders.self_trade_prevention.into()),
        strategy: match config.strategy() {
            StrategyConfig::None => None,
            StrategyConfig::MarketMaker(_) => Some("market_maker"),
            StrategyConfig::Imbalance(_) => Some("imbalance"),
        },
    }
}

/// What the process does for the API.
struct Office {
    state: Option<Arc<StateStore>>,
    instruments: Instruments,
    /// Where a configuration is saved.
    saved_config: Option<PathBuf>,
    /// Where keys are tested.
    orders: Endpoint,
}

impl Administration for Office {
    fn keep_limits(
        &self,
        before: &[LimitsChange],
        changes: &[LimitsChange],
    ) -> Result<(), NotDone> {
        let Some(state) = &self.state else {
            return Err(NotDone::NotHere("this engine has no account".to_owned()));
        };
        let kept = state.update(|state| {
            for (before, change) in before.iter().zip(changes) {
                match (*before, *change) {
                    (LimitsChange::Global(before), LimitsChange::Global(global)) => {
                        state.api_limits.note_global(&before, &global);
                        state.global_limits = Some(global.into());
                    }
                    (
                        LimitsChange::Instrument(of, before),
                        LimitsChange::Instrument(index, limits),
                    ) => {
                        debug_assert_eq!(of, index, "a change and what it changes");
                        let instrument = self.instruments.get(index);
                        state.api_limits.note_instrument(instrument, before, limits);
                        let saved = SavedInstrumentLimits::new(limits, instrument);
                        let symbol = instrument.symbol.as_str().to_owned();
                        state.instrument_limits.insert(symbol, saved);
                    }
                    (LimitsChange::Global(_), LimitsChange::Instrument(..))
                    | (LimitsChange::Instrument(..), LimitsChange::Global(_)) => {
                        unreachable!("a change and what it changes are of one kind")
                    }
                }
            }
        });
        kept.map_err(|error| NotDone::NotKept(error.to_string()))
    }

    fn reload(&self) -> Result<(), NotDone> {
        // The main thread does what it does on a signal from outside.
        signal_hook::low_level::raise(signal_hook::consts::SIGHUP)
            .map_err(|error| NotDone::NotHere(error.to_string()))
    }

    fn save_config(&self, config: &Fields) -> Result<PathBuf, NotDone> {
        let Some(path) = &self.saved_config else {
            return Err(NotDone::NotHere(
                "this engine keeps nothing on disk: set state.dir".to_owned(),
            ));
        };
        let text = toml::to_string(&table_of(config)?)
            .map_err(|error| NotDone::Unsound(error.to_string()))?;
        load_text("saved.toml", &text)
            .map_err(|error: config::ConfigError| NotDone::Unsound(error.to_string()))?;
        replace(path, text.as_bytes())
            .map_err(|error| NotDone::NotKept(format!("{}: {error}", path.display())))?;
        Ok(path.clone())
    }

    fn test_key(&self, api_key: &str, api_secret: &str) -> Result<Vec<String>, NotDone> {
        let unsound = |what: &str| NotDone::Unsound(what.to_owned());
        let signer =
            signer(api_secret.as_bytes()).map_err(|_| unsound("the secret is none that signs"))?;
        // Whatever our clock says, the venue's is the one that a signature is held against.
        let time = self.ask(&json!({ "id": 1, "method": "time" }))?;
        let timestamp = time["result"]["serverTime"]
            .as_u64()
            .ok_or_else(|| NotDone::NotHere("the venue does not say what time it is".to_owned()))?;
        let signed = format!("apiKey={api_key}&timestamp={timestamp}");
        let mut signature = SignatureText::default();
        let signature = signer.sign(signed.as_bytes(), &mut signature);
        let answer = self.ask(&json!({
            "id": 2,
            "method": "account.status",
            "params": {
                "apiKey": api_key,
                "timestamp": timestamp,
                "signature": String::from_utf8_lossy(signature),
            },
        }))?;
        if answer["status"] != 200 {
            let code = answer["error"]["code"].as_i64().unwrap_or_default();
            return Err(unsound(&format!("the venue refuses the key with {code}")));
        }
        let permissions = answer["result"]["permissions"].as_array();
        let words = permissions
            .into_iter()
            .flatten()
            .filter_map(|word| word.as_str().map(str::to_owned));
        Ok(words.collect())
    }
}

impl Office {
    /// One question to the venue on a connection of its own.
    fn ask(&self, request: &serde_json::Value) -> Result<serde_json::Value, NotDone> {
        let answer = request_once(&self.orders, &request.to_string(), KEY_TEST_TIME_MAX)
            .map_err(|error| NotDone::NotHere(error.to_string()))?;
        serde_json::from_str(&answer)
            .map_err(|_| NotDone::NotHere("the venue's answer is no JSON".to_owned()))
    }
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("toml.new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// A JSON object as a table; what TOML cannot say is refused.
fn table_of(fields: &Fields) -> Result<toml::Table, NotDone> {
    fields
        .iter()
        .map(|(name, value)| Ok((name.to_owned(), value_of(value)?)))
        .collect()
}

fn value_of(value: &Json) -> Result<toml::Value, NotDone> {
    let unsound = || NotDone::Unsound("a value that a configuration cannot hold".to_owned());
    match value {
        Json::Null => Err(unsound()),
        Json::Bool(truth) => Ok(toml::Value::Boolean(*truth)),
        Json::Number(text) => match text.parse() {
            Ok(whole) => Ok(toml::Value::Integer(whole)),
            // Decimals of the configuration are texts, exact.
            Err(_) => Ok(toml::Value::String(text.clone())),
        },
        Json::Text(text) => Ok(toml::Value::String(text.clone())),
        Json::List(list) => list
            .iter()
            .map(value_of)
            .collect::<Result<_, _>>()
            .map(toml::Value::Array),
        Json::Object(fields) => table_of(fields).map(toml::Value::Table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office(directory: &Path) -> Office {
        Office {
            state: None,
            instruments: crate::config::limits::tests::instruments(),
            saved_config: Some(directory.join("vz.config.toml")),
            orders: Endpoint::new(
                "wss://127.0.0.1:1/ws-api/v3",
                &veloz_core::edge::tls::client_config(&[], &[]).expect("roots"),
            )
            .expect("an address"),
        }
    }

    #[test]
    fn a_saved_configuration_loads_and_an_unsound_one_is_not_saved() {
        let directory = tempfile::tempdir().expect("a directory");
        let office = office(directory.path());
        let sound = Fields::parse(
            br#"{"risk":{"open_orders_max":7,"daily_loss_max":"12.5"},"market_data":{"symbols":["ETHUSDT"]}}"#,
        )
        .expect("JSON");
        let path = office.save_config(&sound).expect("saved");
        let text = std::fs::read_to_string(&path).expect("there");
        let config = load_text("saved.toml", &text).expect("loads").config;
        assert_eq!(config.market_data.symbols, ["ETHUSDT"]);
        for unsound in [
            &br#"{"risk":{"open_orders_max":-7}}"#[..],
            br#"{"nothing":{"is":1}}"#,
            br#"{"venue":{"api_secret":"canary"}}"#,
            br#"{"risk":null}"#,
        ] {
            let fields = Fields::parse(unsound).expect("JSON");
            let refused = office.save_config(&fields).expect_err("refused");
            assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("there"), text);
    }
}
