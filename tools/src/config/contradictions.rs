//! Rules between keys: what is fine alone and wrong together.
//!
//! Owns: those rules, and their sentences. Does not: check single values (`config/kind.rs`).

use super::layers::{Entries, Fault, Origin};
use super::{Config, ExecutionMode, Source, keys};

/// The keys whose `*` is an instrument.
const INSTRUMENT_LIMITS: &str = "risk.instruments.*.";

/// Everything that contradicts something else.
pub(super) fn contradictions(config: &Config, entries: &Entries) -> Vec<Fault> {
    let origin = |key: &str| {
        entries
            .get(key)
            .map_or(Origin::BuiltIn, |entry| entry.origin.clone())
    };
    let mut found = config.http.contradictions(&config.auth, origin);
    found.extend(config.traces.contradictions(origin));
    if config.venue.source == Source::Embedded
        && config.venue.execution_mode != ExecutionMode::SimEngine
    {
        found.push(Fault::Contradiction(format!(
            "{}: `venue.execution_mode` sends orders to Binance while {} takes `venue.source` from the embedded venue, expected venue.source = \"binance\" with it",
            origin("venue.execution_mode"),
            origin("venue.source")
        )));
    }
    let market_url = &config.venue.market_url;
    let path = market_url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or("", |(_, path)| path.split('?').next().unwrap_or_default());
    if config.venue.source == Source::Binance && path != "stream" {
        found.push(Fault::Contradiction(format!(
            "{}: `venue.market_url` is {market_url}, expected the venue's combined streams, whose path is /stream",
            origin("venue.market_url")
        )));
    }
    if config.venue.api_secret.is_set() && !config.venue.private_key_file.as_os_str().is_empty() {
        found.push(Fault::Contradiction(format!(
            "{}: `venue.private_key_file` is set and so is `venue.api_secret`, expected one of them: a key of the account has a secret or a private key",
            origin("venue.private_key_file")
        )));
    }
    for (table, fault) in config.strategy.faults() {
        found.push(Fault::Contradiction(format!(
            "{}: `{table}`: {fault}",
            origin(&format!("{table}.{}", fault.field))
        )));
    }
    for (path, entry) in entries {
        let key = keys::find(path).expect("entries are of keys in the table");
        let symbol = key.name_in(path).expect("the key was found by it");
        if key.path.starts_with(INSTRUMENT_LIMITS)
            && !config
                .market_data
                .symbols
                .iter()
                .any(|known| known == symbol)
        {
            found.push(Fault::Contradiction(format!(
                "{}: `{path}` limits an instrument that is not in `market_data.symbols` ({}), expected one of them: {}",
                entry.origin,
                origin("market_data.symbols"),
                config.market_data.symbols.join(", ")
            )));
        }
    }
    found
}
