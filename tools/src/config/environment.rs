//! Environment variables: which key each one sets, and what became of the older ones.
//!
//! Owns: the alias table [`VARIABLES`] and [`resolve`]. Does not: check values (`config/keys.rs`)
//! or read the process environment (its caller passes it in). Invariant: every variable of the
//! documented gateway and of the monitoring guide stands here; any other `VELOZ_*` is an error.
//!
//! Beside the table, `VELOZ_<SECTION>__<KEY>` sets any key (`VELOZ_HTTP__PORT` sets `http.port`),
//! and `<VARIABLE>_FILE` names a file that holds a secret's value.

use super::keys;

/// What a variable means today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Sets a key. The pairs translate older words into today's, ignoring letter case.
    Sets(&'static str, &'static [(&'static str, &'static str)]),
    /// Means nothing here; the text names what to use instead, or why nothing is needed.
    Replaced(&'static str),
    /// Read by something else of this project: tests, the shell that starts the command.
    Elsewhere,
}

use Meaning::{Elsewhere, Replaced, Sets};

const RECONCILIATION: &str = "the engine reconciles with the venue at every start and after every lost connection, always; orders of other programs are never touched";
const JOURNAL: &str = "no write-ahead log is kept yet: what must outlive a restart is in the state file (state.dir), the rest comes from the venue";
const OTHER_VENUE: &str = "Binance Spot is the only venue (venue.market_url, venue.api_url)";
const NO_DATABASE: &str = "no database is used";
const THREADS: &str =
    "the engine runs on one thread, placed by core.cpu, and its helpers on the other CPUs";
const VAULT: &str = "let the vault's agent write a file and name it in VELOZ_BINANCE_API_KEY_FILE and VELOZ_BINANCE_API_SECRET_FILE";
const UI: &str = "no web page is served yet";
const EXPORT_TIME: &str = "traces.timeout_ms (OTEL_EXPORTER_OTLP_TIMEOUT) bounds each export";
const ALERTS: &str = "alerts are sent by Alertmanager, from its own configuration";
const PARAMETERS: &str =
    "a strategy's parameters have names, in [strategy.market_maker] and [strategy.imbalance]";

/// Every documented variable, in alphabetical order.
pub const VARIABLES: &[(&str, Meaning)] = &[
    ("OPSGENIE_API_KEY", Replaced(ALERTS)),
    ("OTEL_BSP_EXPORT_TIMEOUT", Replaced(EXPORT_TIME)),
    (
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        Sets("traces.batch_size", &[]),
    ),
    ("OTEL_BSP_MAX_QUEUE_SIZE", Sets("traces.queue_size", &[])),
    (
        "OTEL_BSP_SCHEDULE_DELAY",
        Sets("traces.batch_delay_ms", &[]),
    ),
    ("OTEL_CONSOLE_EXPORT", Sets("traces.console", &[])),
    ("OTEL_ENABLED", Sets("traces.enabled", &[])),
    // Those with TRACES in their names count more, and come later in this order.
    (
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        Sets("traces.compression", &[]),
    ),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", Sets("traces.endpoint", &[])),
    ("OTEL_EXPORTER_OTLP_HEADERS", Sets("traces.headers", &[])),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", Sets("traces.protocol", &[])),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", Sets("traces.timeout_ms", &[])),
    (
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
        Sets("traces.compression", &[]),
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        Sets("traces.full_endpoint", &[]),
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        Sets("traces.headers", &[]),
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        Sets("traces.protocol", &[]),
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        Sets("traces.timeout_ms", &[]),
    ),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        Sets("traces.resource_attributes", &[]),
    ),
    ("OTEL_SDK_DISABLED", Sets("traces.sdk_disabled", &[])),
    ("OTEL_SERVICE_NAME", Sets("traces.service_name", &[])),
    ("OTEL_TRACES_SAMPLER", Sets("traces.sampler", &[])),
    ("OTEL_TRACES_SAMPLER_ARG", Sets("traces.sampler_ratio", &[])),
    ("PAGERDUTY_RISK_KEY", Replaced(ALERTS)),
    ("PAGERDUTY_SERVICE_KEY", Replaced(ALERTS)),
    ("PAGERDUTY_TRADING_KEY", Replaced(ALERTS)),
    ("POSTGRES_DB", Replaced(NO_DATABASE)),
    ("POSTGRES_HOST", Replaced(NO_DATABASE)),
    ("POSTGRES_PASSWORD", Replaced(NO_DATABASE)),
    ("POSTGRES_PORT", Replaced(NO_DATABASE)),
    ("POSTGRES_USER", Replaced(NO_DATABASE)),
    ("SLACK_WEBHOOK_URL", Replaced(ALERTS)),
    ("SMTP_PASSWORD", Replaced(ALERTS)),
    ("SMTP_USERNAME", Replaced(ALERTS)),
    ("VAULT_ADDR", Replaced(VAULT)),
    ("VAULT_AUTH_METHOD", Replaced(VAULT)),
    ("VAULT_CACHE_TTL", Replaced(VAULT)),
    ("VAULT_FALLBACK_TO_ENV", Replaced(VAULT)),
    ("VAULT_NAMESPACE", Replaced(VAULT)),
    ("VAULT_ROLE_ID", Replaced(VAULT)),
    ("VAULT_SECRET_ID", Replaced(VAULT)),
    ("VAULT_SKIP_VERIFY", Replaced(VAULT)),
    ("VAULT_TOKEN", Replaced(VAULT)),
    ("VELOZ_ADMIN_PASSWORD", Sets("auth.admin_password", &[])),
    (
        "VELOZ_ALLOW_PRIVATE_IPS",
        Sets("http.private_addresses", &[]),
    ),
    (
        "VELOZ_AUDIT_CONSOLE",
        Replaced("set audit.file to /dev/stderr"),
    ),
    ("VELOZ_AUDIT_LOG_DIR", Sets("audit.dir", &[])),
    ("VELOZ_AUDIT_LOG_ENABLED", Sets("audit.enabled", &[])),
    ("VELOZ_AUDIT_LOG_FILE", Sets("audit.file", &[])),
    (
        "VELOZ_AUDIT_LOG_RETENTION_DAYS",
        Sets("audit.retention_days_min", &[]),
    ),
    ("VELOZ_AUTH_ENABLED", Sets("auth.enabled", &[])),
    ("VELOZ_AUTO_CANCEL_ORPHANED", Replaced(RECONCILIATION)),
    ("VELOZ_BINANCE_API_KEY", Sets("venue.api_key", &[])),
    ("VELOZ_BINANCE_API_SECRET", Sets("venue.api_secret", &[])),
    (
        "VELOZ_BINANCE_BASE_URL",
        Replaced(
            "REST is not used: venue.market_url names the streams, venue.api_url the websocket API",
        ),
    ),
    (
        "VELOZ_BINANCE_TRADE_BASE_URL",
        Replaced("REST is not used: venue.api_url names the websocket API"),
    ),
    (
        "VELOZ_BINANCE_WS_BASE_URL",
        Replaced(
            "it named the user data stream, which now comes over venue.api_url; venue.market_url names the public streams",
        ),
    ),
    ("VELOZ_BYBIT_API_KEY", Replaced(OTHER_VENUE)),
    ("VELOZ_BYBIT_API_SECRET", Replaced(OTHER_VENUE)),
    ("VELOZ_BYBIT_BASE_URL", Replaced(OTHER_VENUE)),
    ("VELOZ_BYBIT_TRADE_URL", Replaced(OTHER_VENUE)),
    ("VELOZ_BYBIT_WS_URL", Replaced(OTHER_VENUE)),
    ("VELOZ_COINBASE_API_KEY", Replaced(OTHER_VENUE)),
    ("VELOZ_COINBASE_API_SECRET", Replaced(OTHER_VENUE)),
    ("VELOZ_COINBASE_BASE_URL", Replaced(OTHER_VENUE)),
    ("VELOZ_COINBASE_TRADE_URL", Replaced(OTHER_VENUE)),
    ("VELOZ_COINBASE_WS_URL", Replaced(OTHER_VENUE)),
    // Read by the command line: overlay files, separated by colons.
    ("VELOZ_CONFIG", Elsewhere),
    (
        "VELOZ_CONFIG_DIR",
        Replaced("name the files with --config or VELOZ_CONFIG"),
    ),
    (
        "VELOZ_CONFIG_RETENTION_DAYS",
        Replaced("configuration files are never copied; keep them in version control"),
    ),
    (
        "VELOZ_CONNECTION_POOL_SIZE",
        Replaced("the venue is reached over two websockets, not over a pool"),
    ),
    ("VELOZ_CORS_CREDENTIALS", Sets("http.cors_credentials", &[])),
    ("VELOZ_CORS_MAX_AGE", Sets("http.cors_max_age_s", &[])),
    ("VELOZ_CORS_ORIGIN", Sets("http.cors_origins", &[])),
    ("VELOZ_CORS_ORIGINS", Sets("http.cors_origins", &[])),
    (
        "VELOZ_CPU_AFFINITY",
        Sets(
            "core.cpu",
            &[
                ("true", "auto"),
                ("false", "none"),
                ("1", "auto"),
                ("0", "none"),
            ],
        ),
    ),
    // Where tests and benches find recorded market data.
    ("VELOZ_DATA_DIR", Elsewhere),
    ("VELOZ_DATABASE_URL", Replaced(NO_DATABASE)),
    ("VELOZ_DB_SSL_MODE", Replaced(NO_DATABASE)),
    (
        "VELOZ_ENGINE_PRESET",
        Replaced("choose the build with cargo's --profile"),
    ),
    (
        "VELOZ_ENGINE_THREAD_CORES",
        Replaced("core.cpu takes the one CPU that the engine runs on"),
    ),
    ("VELOZ_ENV", Sets("traces.environment", &[])),
    ("VELOZ_EVENT_LOOP_THREADS", Replaced(THREADS)),
    ("VELOZ_EXECUTION_MODE", Sets("venue.execution_mode", &[])),
    (
        "VELOZ_GATEWAY_HOST",
        Sets("http.address", &[("localhost", "127.0.0.1")]),
    ),
    ("VELOZ_GATEWAY_PORT", Sets("http.port", &[])),
    (
        "VELOZ_HOST",
        Sets("http.address", &[("localhost", "127.0.0.1")]),
    ),
    ("VELOZ_IP_BLACKLIST", Sets("http.denied_addresses", &[])),
    ("VELOZ_IP_WHITELIST", Sets("http.allowed_addresses", &[])),
    ("VELOZ_JWT_ACCESS_EXPIRY", Sets("auth.access_token_s", &[])),
    (
        "VELOZ_JWT_REFRESH_EXPIRY",
        Sets("auth.refresh_token_s", &[]),
    ),
    ("VELOZ_JWT_SECRET", Sets("auth.jwt_secret", &[])),
    (
        "VELOZ_K8S_NAMESPACE",
        Replaced("mount the secret and name its file in VELOZ_BINANCE_API_KEY_FILE"),
    ),
    (
        "VELOZ_K8S_SECRETS_ENABLED",
        Replaced("mount the secret and name its file in VELOZ_BINANCE_API_KEY_FILE"),
    ),
    (
        "VELOZ_K8S_SECRET_NAME",
        Replaced("mount the secret and name its file in VELOZ_BINANCE_API_KEY_FILE"),
    ),
    ("VELOZ_LOG_DIR", Sets("log.dir", &[])),
    ("VELOZ_LOG_LEVEL", Sets("log.level", &[("warning", "warn")])),
    (
        "VELOZ_MARKET_SOURCE",
        Sets(
            "venue.source",
            &[("sim", "embedded"), ("binance_rest", "binance")],
        ),
    ),
    ("VELOZ_MARKET_SYMBOL", Sets("market_data.symbols", &[])),
    ("VELOZ_MAX_BODY_SIZE", Sets("http.body_bytes_max", &[])),
    (
        "VELOZ_MEMORY_POOL_SIZE",
        Replaced("memory is reserved at start from the number of instruments"),
    ),
    ("VELOZ_NETWORK_THREAD_CORES", Replaced(THREADS)),
    ("VELOZ_OKX_API_KEY", Replaced(OTHER_VENUE)),
    ("VELOZ_OKX_API_SECRET", Replaced(OTHER_VENUE)),
    ("VELOZ_OKX_BASE_URL", Replaced(OTHER_VENUE)),
    ("VELOZ_OKX_PASSPHRASE", Replaced(OTHER_VENUE)),
    ("VELOZ_OKX_TRADE_URL", Replaced(OTHER_VENUE)),
    ("VELOZ_OKX_WS_URL", Replaced(OTHER_VENUE)),
    (
        "VELOZ_ORDER_RATE_LIMIT",
        Sets("risk.orders_per_second_max", &[]),
    ),
    ("VELOZ_PG_DATABASE", Replaced(NO_DATABASE)),
    ("VELOZ_PG_PASSWORD", Replaced(NO_DATABASE)),
    ("VELOZ_PG_REPL_PASSWORD", Replaced(NO_DATABASE)),
    ("VELOZ_PG_REPL_USER", Replaced(NO_DATABASE)),
    ("VELOZ_PG_USER", Replaced(NO_DATABASE)),
    ("VELOZ_PORT", Sets("http.port", &[])),
    (
        "VELOZ_PRESET",
        Replaced("choose the build with cargo's --profile"),
    ),
    (
        "VELOZ_PRODUCTION_MODE",
        Replaced("use the overlay config/live.toml; strictness is not optional"),
    ),
    ("VELOZ_PTRACE_REQUIRED", Elsewhere),
    (
        "VELOZ_RATE_LIMIT_CAPACITY",
        Sets("http.rate_limit_capacity", &[]),
    ),
    (
        "VELOZ_RATE_LIMIT_PER_USER",
        Sets("http.rate_limit_per_user", &[]),
    ),
    (
        "VELOZ_RATE_LIMIT_REFILL",
        Sets("http.rate_limit_refill_per_second", &[]),
    ),
    ("VELOZ_RECONCILIATION_ENABLED", Replaced(RECONCILIATION)),
    ("VELOZ_RECONCILIATION_INTERVAL", Replaced(RECONCILIATION)),
    ("VELOZ_REDIS_PASSWORD", Replaced(NO_DATABASE)),
    (
        "VELOZ_REQUEST_TIMEOUT_MS",
        Replaced(
            "orders.answer_timeout_ms, cancel_timeout_ms and replace_timeout_ms bound the venue's answers",
        ),
    ),
    (
        "VELOZ_RISK_MAX_DAILY_LOSS",
        Sets("risk.daily_loss_max", &[]),
    ),
    (
        "VELOZ_RISK_MAX_POSITION_SIZE",
        Sets("risk.every_instrument.position_max", &[]),
    ),
    ("VELOZ_STATIC_CACHE_ENABLED", Replaced(UI)),
    ("VELOZ_STATIC_DIR", Replaced(UI)),
    ("VELOZ_STRATEGY_NAME", Sets("strategy.kind", &[])),
    ("VELOZ_STRATEGY_PARAM_1", Replaced(PARAMETERS)),
    ("VELOZ_STRATEGY_PARAM_2", Replaced(PARAMETERS)),
    ("VELOZ_STRATEGY_THREAD_CORES", Replaced(THREADS)),
    ("VELOZ_TLS_CA", Sets("http.tls_client_ca", &[])),
    ("VELOZ_TLS_CERT", Sets("http.tls_cert", &[])),
    ("VELOZ_TLS_CLIENT_CERT", Sets("http.tls_client_cert", &[])),
    ("VELOZ_TLS_ENABLED", Sets("http.tls_enabled", &[])),
    ("VELOZ_TLS_KEY", Sets("http.tls_key", &[])),
    ("VELOZ_TOKEN_EXPIRY", Sets("auth.access_token_s", &[])),
    ("VELOZ_VAULT_ADDR", Replaced(VAULT)),
    ("VELOZ_VAULT_ENABLED", Replaced(VAULT)),
    ("VELOZ_VAULT_PATH", Replaced(VAULT)),
    ("VELOZ_VAULT_ROLE", Replaced(VAULT)),
    ("VELOZ_VAULT_TOKEN", Replaced(VAULT)),
    ("VELOZ_WAL_CHECKPOINT_INTERVAL", Replaced(JOURNAL)),
    ("VELOZ_WAL_DIR", Replaced(JOURNAL)),
    ("VELOZ_WAL_ENABLED", Replaced(JOURNAL)),
    ("VELOZ_WAL_MAX_FILES", Replaced(JOURNAL)),
    ("VELOZ_WAL_MAX_SIZE", Replaced(JOURNAL)),
    ("VELOZ_WAL_MAX_SIZE_MB", Replaced(JOURNAL)),
    ("VELOZ_WAL_SYNC", Replaced(JOURNAL)),
    ("VELOZ_WAL_SYNC_MODE", Replaced(JOURNAL)),
    ("VELOZ_WORKER_THREADS", Replaced(THREADS)),
    (
        "VELOZ_WS_RECONNECT_DELAY",
        Replaced("reconnecting backs off with jitter inside the venue's own limit"),
    ),
    (
        "VELOZ_WS_TIMEOUT",
        Replaced("market_data.silence_ms bounds how long a connection may be silent"),
    ),
];

/// What one variable of the process means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Not ours: neither in the table nor with our prefix.
    Foreign,
    /// Sets this key to the variable's text, translated.
    Sets {
        /// The key's path.
        key: String,
        /// The text, in today's words.
        text: String,
    },
    /// Names a file that holds this secret key's value.
    SecretFile {
        /// The key's path.
        key: &'static str,
    },
    /// Ignored with this explanation.
    Ignored(&'static str),
    /// Starts with our prefix and is nothing we know.
    Unknown,
}

/// Looks a variable up.
pub fn resolve(name: &str, text: &str) -> Resolved {
    if let Some((_, meaning)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return match *meaning {
            Sets(key, words) => Resolved::Sets {
                key: key.to_owned(),
                text: words
                    .iter()
                    .find(|(older, _)| older.eq_ignore_ascii_case(text.trim()))
                    .map_or_else(|| text.to_owned(), |(_, today)| (*today).to_owned()),
            },
            Replaced(explanation) => Resolved::Ignored(explanation),
            Elsewhere => Resolved::Foreign,
        };
    }
    if let Some(secret) = name.strip_suffix("_FILE")
        && let Resolved::Sets { key, .. } = resolve(secret, "")
        && let Some(known) = keys::find(&key)
        && known.kind.is_secret()
    {
        return Resolved::SecretFile { key: known.path };
    }
    if !name.starts_with(PREFIX) {
        return Resolved::Foreign;
    }
    keys::path_of_words(&words_of(name)).map_or(Resolved::Unknown, |key| Resolved::Sets {
        key,
        text: text.to_owned(),
    })
}

/// What our variables start with.
const PREFIX: &str = "VELOZ_";

/// The path that a variable of the canonical spelling names, in lower case.
pub(super) fn words_of(name: &str) -> String {
    name.trim_start_matches(PREFIX)
        .to_ascii_lowercase()
        .replace("__", ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_stands_once_and_sets_a_key_that_exists() {
        let mut names: Vec<_> = VARIABLES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), VARIABLES.len());
        for (name, meaning) in VARIABLES {
            if let Sets(path, words) = meaning {
                let key = keys::find(path).unwrap_or_else(|| panic!("{name} sets {path}"));
                for (_, today) in *words {
                    let value = key.kind.value_of_text(today);
                    assert!(key.kind.accept(&value).is_some(), "{name}: {today}");
                }
            }
        }
    }

    #[test]
    fn older_words_canonical_names_and_secret_files_resolve() {
        let sets = |key: &str, text: &str| Resolved::Sets {
            key: key.to_owned(),
            text: text.to_owned(),
        };
        let cases = [
            (
                "VELOZ_MARKET_SOURCE",
                "SIM",
                sets("venue.source", "embedded"),
            ),
            (
                "VELOZ_MARKET_SOURCE",
                "binance_rest",
                sets("venue.source", "binance"),
            ),
            ("VELOZ_LOG_LEVEL", "WARNING", sets("log.level", "warn")),
            ("VELOZ_CPU_AFFINITY", "true", sets("core.cpu", "auto")),
            ("VELOZ_HTTP__PORT", "9000", sets("http.port", "9000")),
            (
                "VELOZ_MARKET_DATA__SILENCE_MS",
                "2000",
                sets("market_data.silence_ms", "2000"),
            ),
            (
                "VELOZ_RISK__INSTRUMENTS__BTCUSDT__POSITION_MAX",
                "0.5",
                sets("risk.instruments.BTCUSDT.position_max", "0.5"),
            ),
            (
                "VELOZ_BINANCE_API_SECRET_FILE",
                "/run/secret",
                Resolved::SecretFile {
                    key: "venue.api_secret",
                },
            ),
            (
                "VELOZ_VENUE__API_KEY_FILE",
                "/run/key",
                Resolved::SecretFile {
                    key: "venue.api_key",
                },
            ),
            ("VELOZ_PORT_FILE", "x", Resolved::Unknown),
            ("VELOZ_PROT", "1", Resolved::Unknown),
            ("VELOZ_DATA_DIR", "/data", Resolved::Foreign),
            ("PATH", "/bin", Resolved::Foreign),
            ("VELOZ_OKX_API_KEY", "k", Resolved::Ignored(OTHER_VENUE)),
        ];
        for (name, text, expected) in cases {
            assert_eq!(resolve(name, text), expected, "{name}");
        }
    }
}
