//! The configuration as the engine and the edge understand it.

use crate::config::{self, Config};
use veloz_core::config::{EngineConfig, PartialDepth, SnapshotDepth, Streams};
use veloz_core::units::Nanos;

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
