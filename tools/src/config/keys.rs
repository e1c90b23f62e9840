//! The one table of configuration keys: what a value must be, before any struct is built.
//!
//! Owns: [`KEYS`], [`Kind`] and the checks of single values. Does not: know files, variables or
//! flags (`config/layers.rs`), or how keys depend on each other (`config.rs`). Invariant: a value
//! that [`Kind::accept`] returns deserializes into its field of [`super::Config`].

use std::net::IpAddr;
use toml::Value;
use veloz_core::instrument::Symbol;
use veloz_core::limits::INSTRUMENTS_MAX;

/// One configuration key: `section.name`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path, as errors, `--set` and `config print` spell it.
    pub path: &'static str,
    /// What its value must be.
    pub kind: Kind,
}

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number in `[min, max]`.
    Integer {
        /// Smallest legal value.
        min: i64,
        /// Largest legal value.
        max: i64,
        /// The unit, for messages: `ms`, `levels`; empty when the number has none.
        unit: &'static str,
    },
    /// One word of a list; letter case does not matter.
    Choice(&'static [&'static str]),
    /// A websocket address without credentials.
    WebsocketUrl,
    /// A file path, or empty for none.
    Path,
    /// An IP address to listen on.
    Address,
    /// Between one and [`INSTRUMENTS_MAX`] venue symbols, each once.
    Symbols,
    /// `auto`, `none` or the number of a CPU.
    Cpu,
    /// How fast a capture is served: a whole multiple of real time, or `max`.
    Speed,
    /// A credential: accepted from the environment or a file that it names, nowhere else, and never shown.
    Secret,
}

const fn integer(min: i64, max: i64, unit: &'static str) -> Kind {
    Kind::Integer { min, max, unit }
}

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
}

/// CPUs that a Linux affinity mask of the usual size can name.
const CPU_MAX: i64 = 1_023;

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
    key(
        "log.level",
        Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
    ),
    key("log.format", Kind::Choice(&["auto", "json", "text"])),
    key("log.dir", Kind::Path),
    key("log.file_mb", integer(1, 1_024, "MiB")),
    key("log.keep_days", integer(1, 3_650, "days")),
    key("log.error_keep_days", integer(1, 3_650, "days")),
    key("embedded.port", integer(0, 65_535, "")),
    key("embedded.seed", integer(0, i64::MAX, "")),
    key("embedded.ca_file", Kind::Path),
    key("embedded.capture", Kind::Path),
    key("embedded.speed", Kind::Speed),
];

/// The key with this path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The key whose spelling is nearest to an unknown path, when it is near enough to be meant.
pub fn nearest(path: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(|key| (edit_distance(path, key.path), key.path))
        .min()
        .filter(|(distance, _)| *distance <= path.chars().count() / 3)
        .map(|(_, near)| near)
}

/// Whether a name suggests that its value is a credential, so that it must not be shown. A misspelt
/// secret is still a secret, so this errs on the side of hiding.
pub fn sounds_secret(name: &str) -> bool {
    let path = name.trim_start_matches("VELOZ_").to_ascii_lowercase();
    let words = ["secret", "pass", "token", "key", "auth", "api", "cred"];
    let near_a_secret = |path: &str| {
        nearest(path)
            .and_then(find)
            .is_some_and(|key| key.kind == Kind::Secret)
    };
    words.iter().any(|word| path.contains(word)) || near_a_secret(&path)
}

impl Kind {
    /// What was expected, for messages.
    pub fn expected(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Integer { min, max, unit: "" } => {
                format!("a whole number from {min} to {max}")
            }
            Self::Integer { min, max, unit } => {
                format!("a whole number of {unit} from {min} to {max}")
            }
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::WebsocketUrl => {
                "an address that starts with wss:// or ws://, has a host and carries no credentials"
                    .to_owned()
            }
            Self::Path => "a file path, or \"\" for none".to_owned(),
            Self::Address => "an IP address such as 127.0.0.1 or ::1".to_owned(),
            Self::Symbols => format!(
                "a list of 1 to {INSTRUMENTS_MAX} venue symbols in upper case, each once, such as [\"BTCUSDT\", \"ETHUSDT\"]"
            ),
            Self::Cpu => format!("\"auto\", \"none\" or the number of a CPU from 0 to {CPU_MAX}"),
            Self::Speed => "\"max\" or a whole multiple of real time from 1 to 1000".to_owned(),
            Self::Secret => {
                "text from the environment or a file, never from a configuration file or flag"
                    .to_owned()
            }
        }
    }

    /// A value as text (a variable or a flag) in the type that this kind has in TOML.
    pub fn value_of_text(&self, text: &str) -> Value {
        let text = text.trim();
        let whole = || text.parse().map_or_else(|_| text.into(), Value::Integer);
        match self {
            Self::Bool => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Value::Boolean(true),
                "false" | "0" | "no" | "off" => Value::Boolean(false),
                _ => text.into(),
            },
            Self::Integer { .. } | Self::Cpu | Self::Speed => whole(),
            Self::Symbols => text
                .trim_start_matches('[')
                .trim_end_matches(']')
                .split(',')
                .map(|symbol| symbol.trim().trim_matches('"'))
                .collect::<Vec<_>>()
                .into(),
            // A choice may be spelled with digits (`partial_depth = "5"`), so its text stays text.
            Self::Choice(_) | Self::WebsocketUrl | Self::Path | Self::Address | Self::Secret => {
                text.into()
            }
        }
    }

    /// The value in its normal form; `None` when it is not what this kind expects.
    pub fn accept(&self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Bool, Value::Boolean(_)) => Some(value.clone()),
            (Self::Integer { min, max, .. }, Value::Integer(number)) => {
                (min..=max).contains(&number).then(|| value.clone())
            }
            (Self::Choice(words), Value::String(text)) => {
                let word = text.to_ascii_lowercase();
                words.contains(&word.as_str()).then(|| word.into())
            }
            (Self::WebsocketUrl, Value::String(text)) => {
                is_websocket_url(text).then(|| value.clone())
            }
            (Self::Path, Value::String(text)) => (!text.contains('\0')).then(|| value.clone()),
            (Self::Address, Value::String(text)) => {
                text.parse::<IpAddr>().ok().map(|_| value.clone())
            }
            (Self::Symbols, Value::Array(list)) => are_symbols(list).then(|| value.clone()),
            (Self::Cpu, Value::Integer(cpu)) => (0..=CPU_MAX).contains(cpu).then(|| value.clone()),
            (Self::Cpu, Value::String(text)) => {
                matches!(text.as_str(), "auto" | "none").then(|| value.clone())
            }
            (Self::Speed, Value::Integer(times)) => {
                (1..=1_000).contains(times).then(|| value.clone())
            }
            (Self::Speed, Value::String(text)) => (text == "max").then(|| value.clone()),
            (Self::Secret, Value::String(text)) => (!text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .then(|| value.clone()),
            _ => None,
        }
    }
}

fn is_websocket_url(text: &str) -> bool {
    let Some(rest) = text
        .strip_prefix("wss://")
        .or_else(|| text.strip_prefix("ws://"))
    else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    !authority.is_empty()
        && !authority.starts_with(':')
        && !text.contains('@')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn are_symbols(list: &[Value]) -> bool {
    let plain = |value: &Value| {
        value.as_str().is_some_and(|text| {
            Symbol::new(text).is_some()
                && !text.chars().any(|letter| {
                    letter.is_ascii_lowercase()
                        || letter.is_control()
                        || letter.is_whitespace()
                        || "\"\\/@,".contains(letter)
                })
        })
    };
    let unique = |position: usize, value: &Value| !list[..position].contains(value);
    (1..=INSTRUMENTS_MAX).contains(&list.len())
        && list
            .iter()
            .enumerate()
            .all(|(position, value)| plain(value) && unique(position, value))
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
    fn a_value_is_accepted_in_its_normal_form_or_not_at_all() {
        let cases: &[(Kind, &str, Option<Value>)] = &[
            (Kind::Bool, "on", Some(true.into())),
            (Kind::Bool, "maybe", None),
            (integer(1, 10, "ms"), "10", Some(10.into())),
            (integer(1, 10, "ms"), "11", None),
            (integer(1, 10, "ms"), "0", None),
            (integer(1, 10, "ms"), "ten", None),
            (integer(1, 10, "ms"), "2.5", None),
            (Kind::Choice(&["info", "warn"]), "INFO", Some("info".into())),
            (Kind::Choice(&["info", "warn"]), "loud", None),
            (
                Kind::WebsocketUrl,
                "wss://host:9443/stream",
                Some("wss://host:9443/stream".into()),
            ),
            (Kind::WebsocketUrl, "https://host", None),
            (Kind::WebsocketUrl, "wss://user:word@host", None),
            (Kind::WebsocketUrl, "wss:///stream", None),
            (Kind::Address, "::1", Some("::1".into())),
            (Kind::Address, "localhost", None),
            (
                Kind::Symbols,
                "BTCUSDT, ETHUSDT",
                Some(vec!["BTCUSDT", "ETHUSDT"].into()),
            ),
            (Kind::Symbols, "[\"BTCUSDT\"]", Some(vec!["BTCUSDT"].into())),
            (Kind::Symbols, "btcusdt", None),
            (Kind::Symbols, "BTCUSDT,BTCUSDT", None),
            (Kind::Symbols, "", None),
            (Kind::Cpu, "3", Some(3.into())),
            (Kind::Cpu, "auto", Some("auto".into())),
            (Kind::Cpu, "-1", None),
            (Kind::Speed, "max", Some("max".into())),
            (Kind::Speed, "0", None),
            (Kind::Secret, "", None),
        ];
        for (kind, text, expected) in cases {
            let value = kind.value_of_text(text);
            assert_eq!(&kind.accept(&value), expected, "{kind:?} {text:?}");
        }
    }

    #[test]
    fn a_near_miss_is_recognised_and_nonsense_is_not() {
        assert_eq!(nearest("http.prot"), Some("http.port"));
        assert_eq!(nearest("market_data.symbol"), Some("market_data.symbols"));
        assert_eq!(nearest("x.y"), None);
    }
}
