//! The configuration as the engine, the edge and the sidecar understand it.

use crate::config::{self, Config};
use veloz_core::config::{EngineConfig, PartialDepth, SnapshotDepth, Streams};
use veloz_core::strategy::StrategyConfig;
use veloz_core::units::Nanos;
use veloz_exporter::auth::AuthStartError;
use veloz_exporter::http::ports::PortError;
use veloz_exporter::{ExporterConfig, StartError};

/// Rotation comes up to this much earlier, at random, unless half the age is less.
const ROTATE_JITTER_MAX: Nanos = Nanos::from_secs(30 * 60);

/// What the engine is told.
pub(super) fn engine_config(config: &Config, seed: u64) -> EngineConfig {
    let section = &config.market_data;
    let mut engine = EngineConfig {
        seed,
        streams: Streams {
            book_ticker: section.book_ticker,
            trade: section.trades,
            agg_trade: section.aggregate_trades,
            partial_depth: match section.partial_depth {
                config::PartialDepth::Off => None,
                config::PartialDepth::Five => Some(PartialDepth::Five),
                config::PartialDepth::Ten => Some(PartialDepth::Ten),
                config::PartialDepth::Twenty => Some(PartialDepth::Twenty),
            },
        },
        ..EngineConfig::default()
    };
    let rotate_after = Nanos::from_secs(section.rotate_after_minutes * 60);
    engine.links.rotate_after = rotate_after;
    engine.links.rotate_jitter = Nanos(rotate_after.0 / 2).min(ROTATE_JITTER_MAX);
    engine.links.silence_max = Nanos::from_ms(section.silence_ms);
    engine.books.snapshot_depth = match section.snapshot_levels {
        0 => SnapshotDepth::Auto,
        levels => SnapshotDepth::Levels(levels),
    };
    engine.requests.weight_per_minute = section.request_weight_per_minute;
    engine
}

/// What the sidecar is told.
///
/// # Errors
/// A sentence when there is no place for what it keeps.
pub(super) fn sidecar_config(
    config: &Config,
    core_cpu: Option<usize>,
) -> Result<ExporterConfig, String> {
    let variable = |name: &str| std::env::var(name).ok();
    Ok(ExporterConfig {
        http: config.http.server(),
        auth: config
            .identities(variable)
            .map_err(|error| error.to_string())?,
        audit: config
            .audit_records(variable)
            .map_err(|error| error.to_string())?,
        scrape_token: config.scrape_token(),
        strategy: match config.strategy() {
            StrategyConfig::None => "none",
            StrategyConfig::MarketMaker(_) => "market_maker",
            StrategyConfig::Imbalance(_) => "imbalance",
        },
        core_cpu,
        ..ExporterConfig::default()
    })
}

/// Why the sidecar does not start, and what to do about it.
pub(super) fn with_advice(error: &StartError) -> String {
    let advice = match error {
        StartError::Port(PortError::Bind { .. }) => {
            "; choose another with http.port or http.metrics_address (--set http.port=0 takes a free one)"
        }
        StartError::Auth(AuthStartError::Nobody(_)) => {
            "; add one with `veloz user add NAME --role admin`, or name a file with a password in VELOZ_ADMIN_PASSWORD_FILE"
        }
        StartError::Auth(AuthStartError::WeakSecret(_)) => {
            " (VELOZ_JWT_SECRET, VELOZ_JWT_SECRET_FILE)"
        }
        StartError::Auth(AuthStartError::Store(_) | AuthStartError::AdminPassword(_))
        | StartError::Port(
            PortError::NotLoopback(_) | PortError::OpenToAllPages | PortError::Tls(_),
        )
        | StartError::Audit(_)
        | StartError::Api(_)
        | StartError::Thread { .. } => "",
    };
    format!("{error}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    #[test]
    fn the_built_in_configuration_is_the_engines_default() {
        let config = load_text("test.toml", "").expect("valid").config;
        assert_eq!(engine_config(&config, 0), EngineConfig::default());
    }

    #[test]
    fn every_market_data_key_reaches_the_engine() {
        let text = "[market_data]\nbook_ticker = false\ntrades = false\naggregate_trades = true\n\
                    partial_depth = \"10\"\nsnapshot_levels = 500\nrequest_weight_per_minute = 1200\n\
                    silence_ms = 4000\nrotate_after_minutes = 2\n";
        let config = load_text("test.toml", text).expect("valid").config;
        let engine = engine_config(&config, 9);
        assert_eq!(engine.seed, 9);
        assert_eq!(
            engine.streams,
            Streams {
                book_ticker: false,
                trade: false,
                agg_trade: true,
                partial_depth: Some(PartialDepth::Ten),
            }
        );
        assert_eq!(engine.books.snapshot_depth, SnapshotDepth::Levels(500));
        assert_eq!(engine.requests.weight_per_minute, 1_200);
        assert_eq!(engine.links.silence_max, Nanos::from_secs(4));
        assert_eq!(engine.links.rotate_after, Nanos::from_secs(120));
        assert!(engine.links.rotate_jitter < engine.links.rotate_after);
    }
}
