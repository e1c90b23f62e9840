//! The one table of configuration keys.
//!
//! Owns: [`KEYS`], and finding the key that a path means. Does not: know files, variables or flags
//! (`config/layers.rs`), what a value must be (`config/kind.rs`), or how keys depend on each other
//! (`config.rs`). Invariant: at most one key of the table fits a path.
//!
//! A key with a `*` in its path stands for as many keys as there are names: `risk.instruments.*.position_max`
//! is `risk.instruments.BTCUSDT.position_max` and its like. The built-in file gives such keys no value.

use super::kind::{Kind, is_plain_name};

/// One configuration key: `section.name`, where the section may have dots.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path, as errors, `--set` and `config print` spell it; one part may be `*`.
    pub path: &'static str,
    /// What its value must be.
    pub kind: Kind,
}

impl Key {
    /// The section's path and the key's own name.
    pub fn section_and_name(&self) -> (&'static str, &'static str) {
        self.path
            .rsplit_once('.')
            .expect("every key is section.name")
    }

    /// Whether this key stands for many.
    pub fn is_pattern(&self) -> bool {
        self.path.split('.').any(|part| part == "*")
    }

    /// What stands in place of the `*` in `path`: empty for a key without one, `None` when the path is not
    /// this key's.
    pub fn name_in<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some((before, after)) = self.path.split_once('*') else {
            return (self.path == path).then_some("");
        };
        path.strip_prefix(before)?
            .strip_suffix(after)
            .filter(|name| is_plain_name(name))
    }
}

const fn integer(min: i64, max: i64, unit: &'static str) -> Kind {
    Kind::Integer { min, max, unit }
}

const fn limit(min: i64, max: i64, unit: &'static str) -> Kind {
    Kind::IntegerLimit { min, max, unit }
}

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
}

/// Every key, in the order of `config/veloz.toml`.
pub const KEYS: &[Key] = &[
    key("venue.source", Kind::Choice(&["embedded", "binance"])),
    key(
        "venue.execution_mode",
        Kind::Choice(&["sim_engine", "binance_testnet_spot", "binance_spot"]),
    ),
    key("venue.market_url", Kind::WebsocketUrl),
    key("venue.api_url", Kind::WebsocketUrl),
    key("venue.ca_file", Kind::Path),
    key("venue.api_key", Kind::Secret),
    key("venue.api_secret", Kind::Secret),
    key("venue.private_key_file", Kind::Path),
    key("market_data.symbols", Kind::Symbols),
    key("market_data.book_ticker", Kind::Bool),
    key("market_data.trades", Kind::Bool),
    key("market_data.aggregate_trades", Kind::Bool),
    key(
        "market_data.partial_depth",
        Kind::Choice(&["off", "5", "10", "20"]),
    ),
    key("market_data.snapshot_levels", integer(0, 5_000, "levels")),
    key(
        "market_data.request_weight_per_minute",
        integer(100, 1_000_000, "weight"),
    ),
    key("market_data.silence_ms", integer(1_000, 600_000, "ms")),
    key(
        "market_data.rotate_after_minutes",
        integer(1, 1_434, "minutes"),
    ),
    key("account.instance", Kind::Instance),
    key("account.currency", Kind::Asset),
    key("account.recv_window_ms", integer(100, 60_000, "ms")),
    key("account.baselines.*", Kind::Decimal),
    key("orders.answer_timeout_ms", integer(100, 30_000, "ms")),
    key("orders.cancel_timeout_ms", integer(100, 30_000, "ms")),
    key("orders.replace_timeout_ms", integer(100, 30_000, "ms")),
    key(
        "orders.self_trade_prevention",
        Kind::Choice(&[
            "none",
            "expire_taker",
            "expire_maker",
            "expire_both",
            "decrement",
        ]),
    ),
    key("orders.shutdown_timeout_ms", integer(100, 60_000, "ms")),
    key("orders.heartbeat_bound_ms", integer(100, 60_000, "ms")),
    key("risk.open_orders_max", limit(1, 100_000, "orders")),
    key("risk.orders_per_second_max", limit(1, 1_000, "orders")),
    key("risk.leverage_max_percent", limit(1, 100_000, "percent")),
    key("risk.concentration_max_percent", limit(1, 100, "percent")),
    key("risk.concentration_from", Kind::Decimal),
    key("risk.daily_loss_max", Kind::DecimalLimit),
    key("risk.drawdown_max_bps", limit(1, 10_000, "basis points")),
    key("risk.market_data_age_max_ms", limit(1, 3_600_000, "ms")),
    key("risk.clock_offset_max_ms", limit(1, 3_600_000, "ms")),
    key("risk.every_instrument.order_qty_max", Kind::DecimalLimit),
    key(
        "risk.every_instrument.order_notional_max",
        Kind::DecimalLimit,
    ),
    key("risk.every_instrument.position_max", Kind::DecimalLimit),
    key(
        "risk.every_instrument.open_orders_max",
        limit(1, 100_000, "orders"),
    ),
    key(
        "risk.every_instrument.price_collar_bps",
        limit(1, 10_000, "basis points"),
    ),
    key("risk.instruments.*.order_qty_max", Kind::DecimalLimit),
    key("risk.instruments.*.order_notional_max", Kind::DecimalLimit),
    key("risk.instruments.*.position_max", Kind::DecimalLimit),
    key(
        "risk.instruments.*.open_orders_max",
        limit(1, 100_000, "orders"),
    ),
    key(
        "risk.instruments.*.price_collar_bps",
        limit(1, 10_000, "basis points"),
    ),
    key(
        "strategy.kind",
        Kind::Choice(&["auto", "none", "market_maker", "imbalance"]),
    ),
    key("strategy.market_maker.quote_notional", Kind::Decimal),
    key(
        "strategy.market_maker.inventory_max_quotes",
        integer(1, 1_000, "quotes"),
    ),
    key(
        "strategy.market_maker.risk_aversion_e6",
        integer(1, 10_000_000, ""),
    ),
    key(
        "strategy.market_maker.horizon_updates",
        integer(1, 100_000, "updates"),
    ),
    key(
        "strategy.market_maker.arrival_decay_e3",
        integer(1, 1_000_000, ""),
    ),
    key(
        "strategy.market_maker.volatility_half_life_updates",
        integer(1, 100_000, "updates"),
    ),
    key(
        "strategy.market_maker.warm_up_updates",
        integer(1, 100_000, "updates"),
    ),
    key(
        "strategy.market_maker.half_spread_min_ticks",
        integer(0, 1_000_000, "ticks"),
    ),
    key(
        "strategy.market_maker.offset_max_ticks",
        integer(1, 1_000_000, "ticks"),
    ),
    key(
        "strategy.market_maker.requote_ticks",
        integer(1, 1_000_000, "ticks"),
    ),
    key(
        "strategy.market_maker.requote_percent",
        integer(0, 1_000, "percent"),
    ),
    key(
        "strategy.market_maker.requote_interval_ms",
        integer(0, 3_600_000, "ms"),
    ),
    key(
        "strategy.market_maker.book_age_max_ms",
        integer(1, 3_600_000, "ms"),
    ),
    key("strategy.imbalance.levels", integer(1, 20, "levels")),
    key(
        "strategy.imbalance.enter_permille",
        integer(1, 1_000, "thousandths"),
    ),
    key(
        "strategy.imbalance.exit_permille",
        integer(-1_000, 999, "thousandths"),
    ),
    key("strategy.imbalance.order_notional", Kind::Decimal),
    key(
        "strategy.imbalance.position_max_orders",
        integer(1, 1_000, "orders"),
    ),
    key(
        "strategy.imbalance.cool_down_ms",
        integer(0, 3_600_000, "ms"),
    ),
    key(
        "strategy.imbalance.exit_interval_ms",
        integer(0, 3_600_000, "ms"),
    ),
    key(
        "strategy.imbalance.hold_max_ms",
        integer(1, 86_400_000, "ms"),
    ),
    key(
        "strategy.imbalance.book_age_max_ms",
        integer(1, 3_600_000, "ms"),
    ),
    key("state.dir", Kind::Directory),
    key("analytics.period_s", integer(0, 2_678_400, "s")),
    key("core.cpu", Kind::Cpu),
    key(
        "core.idle",
        Kind::Choice(&["auto", "spin", "yield", "backoff"]),
    ),
    key("core.lock_memory", Kind::Bool),
    key("core.realtime_priority", integer(0, 99, "")),
    key("http.address", Kind::Address),
    key("http.port", integer(0, 65_535, "")),
    key("http.danger_listen_without_auth", Kind::Bool),
    key("http.metrics_address", Kind::Listen),
    key("http.connections_max", integer(1, 65_536, "connections")),
    key(
        "http.connections_per_address_max",
        integer(1, 65_536, "connections"),
    ),
    key("http.body_bytes_max", integer(1_024, 16_777_216, "bytes")),
    key(
        "http.rate_limit_capacity",
        integer(1, 1_000_000, "requests"),
    ),
    key("http.rate_limit_refill_per_second", Kind::PerSecond),
    key("http.rate_limit_per_user", Kind::Bool),
    key("http.allowed_addresses", Kind::Networks),
    key("http.denied_addresses", Kind::Networks),
    key("http.private_addresses", Kind::Bool),
    key("http.cors_origins", Kind::Origins),
    key("http.cors_credentials", Kind::Bool),
    key("http.cors_max_age_s", integer(0, 86_400, "s")),
    key("http.tls_enabled", Kind::Bool),
    key("http.tls_cert", Kind::Path),
    key("http.tls_key", Kind::Path),
    key("http.tls_client_ca", Kind::Path),
    key("http.tls_client_cert", Kind::Bool),
    key("auth.enabled", Kind::Bool),
    key("auth.dir", Kind::Directory),
    key("auth.jwt_secret", Kind::Secret),
    key("auth.admin_password", Kind::Password),
    key("auth.scrape_token", Kind::Secret),
    key("auth.access_token_s", integer(60, 86_400, "s")),
    key("auth.refresh_token_s", integer(600, 31_536_000, "s")),
    key("audit.enabled", Kind::Bool),
    key("audit.dir", Kind::Directory),
    key("audit.file", Kind::Path),
    key("audit.retention_days_min", integer(0, 3_650, "days")),
    key(
        "log.level",
        Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
    ),
    key("log.format", Kind::Choice(&["auto", "json", "text"])),
    key("log.dir", Kind::Path),
    key("log.file_mb", integer(1, 1_024, "MiB")),
    key("log.keep_days", integer(1, 3_650, "days")),
    key("log.error_keep_days", integer(1, 3_650, "days")),
    key("traces.enabled", Kind::Bool),
    key("traces.sdk_disabled", Kind::Bool),
    key("traces.endpoint", Kind::HttpUrl),
    key("traces.full_endpoint", Kind::HttpUrl),
    key(
        "traces.protocol",
        Kind::Choice(&["auto", "http/protobuf", "grpc"]),
    ),
    key("traces.headers", Kind::Secret),
    key("traces.timeout_ms", integer(100, 60_000, "ms")),
    key("traces.compression", Kind::Choice(&["none", "gzip"])),
    key(
        "traces.sampler",
        Kind::Choice(&[
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ]),
    ),
    key("traces.sampler_ratio", Kind::Decimal),
    key("traces.slow_ms", integer(1, 60_000, "ms")),
    key("traces.queue_size", integer(1, 1_000_000, "spans")),
    key("traces.batch_size", integer(1, 1_000_000, "spans")),
    key("traces.batch_delay_ms", integer(10, 60_000, "ms")),
    key("traces.console", Kind::Bool),
    key("traces.service_name", Kind::Text),
    key("traces.environment", Kind::Text),
    key("traces.resource_attributes", Kind::Text),
    key("embedded.port", integer(0, 65_535, "")),
    key("embedded.seed", integer(0, i64::MAX, "")),
    key("embedded.ca_file", Kind::Path),
    key("embedded.capture", Kind::Path),
    key("embedded.speed", Kind::Speed),
];

/// The key that this path means.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name_in(path).is_some())
}

/// The path that words in lower case mean: `risk.instruments.btcusdt.position_max` is that of BTCUSDT.
/// For variables, whose names have no lower case.
pub fn path_of_words(words: &str) -> Option<String> {
    if find(words).is_some() {
        return Some(words.to_owned());
    }
    KEYS.iter()
        .filter(|key| key.is_pattern())
        .filter_map(|key| with_name_of(key, words))
        .find(|path| path.to_lowercase() == words && find(path).is_some())
}

/// The key whose spelling is nearest to an unknown path, when it is near enough to be meant.
pub fn nearest(path: &str) -> Option<String> {
    KEYS.iter()
        .filter_map(|key| {
            if key.is_pattern() {
                with_name_of(key, path)
            } else {
                Some(key.path.to_owned())
            }
        })
        .map(|near| (edit_distance(path, &near), near))
        .min()
        .filter(|(distance, _)| *distance <= path.chars().count() / 3)
        .map(|(_, near)| near)
}

/// The pattern's path with the part of `path` that stands where its `*` is, in upper case.
fn with_name_of(key: &Key, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('.').collect();
    let pattern: Vec<&str> = key.path.split('.').collect();
    (parts.len() == pattern.len()).then(|| {
        let filled: Vec<String> = pattern
            .iter()
            .zip(&parts)
            .map(|(wanted, given)| match *wanted {
                "*" => given.to_uppercase(),
                wanted => wanted.to_owned(),
            })
            .collect();
        filled.join(".")
    })
}

/// Whether a name suggests that its value is a credential, so that it must not be shown. A misspelt
/// secret is still a secret, so this errs on the side of hiding.
pub fn sounds_secret(name: &str) -> bool {
    let path = name.trim_start_matches("VELOZ_").to_ascii_lowercase();
    let words = ["secret", "pass", "token", "key", "auth", "api", "cred"];
    let near_a_secret = |path: &str| {
        nearest(path)
            .as_deref()
            .and_then(find)
            .is_some_and(|key| key.kind.is_secret())
    };
    words.iter().any(|word| path.contains(word)) || near_a_secret(&path)
}

/// Insertions, deletions and replacements that turn one text into the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_recognised_and_nonsense_is_not() {
        assert_eq!(nearest("http.prot").as_deref(), Some("http.port"));
        assert_eq!(
            nearest("market_data.symbol").as_deref(),
            Some("market_data.symbols")
        );
        assert_eq!(
            nearest("risk.instruments.btcusdt.positon_max").as_deref(),
            Some("risk.instruments.BTCUSDT.position_max")
        );
        assert_eq!(nearest("x.y"), None);
    }

    #[test]
    fn a_pattern_takes_names_as_the_venue_spells_them() {
        let found = |path| find(path).map(|key| key.path);
        let pattern = Some("risk.instruments.*.position_max");
        assert_eq!(found("risk.instruments.BTCUSDT.position_max"), pattern);
        assert_eq!(found("risk.instruments.币安人生USDT.position_max"), pattern);
        assert_eq!(found("risk.instruments.btcusdt.position_max"), None);
        assert_eq!(found("risk.instruments..position_max"), None);
        assert_eq!(found("risk.instruments.*.position_max"), None);
        assert_eq!(found("risk.instruments.BTCUSDT"), None);
        assert_eq!(
            path_of_words("risk.instruments.btcusdt.position_max").as_deref(),
            Some("risk.instruments.BTCUSDT.position_max")
        );
        assert_eq!(path_of_words("http.port").as_deref(), Some("http.port"));
        assert_eq!(path_of_words("risk.instruments.btcusdt.nonsense"), None);
    }

    #[test]
    fn no_path_fits_two_keys() {
        for key in KEYS {
            let path = key.path.replace('*', "BTCUSDT");
            let fitting = KEYS.iter().filter(|other| other.name_in(&path).is_some());
            assert_eq!(fitting.count(), 1, "{path}");
        }
    }
}
