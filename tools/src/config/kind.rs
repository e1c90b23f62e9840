//! What a single configuration value must be.
//!
//! Owns: [`Kind`], the checks of single values, and how a value as text gets its type. Does not: know which
//! key has which kind (`config/keys.rs`). Invariant: a value that [`Kind::accept`] returns deserializes
//! into the field of [`super::Config`] that a key of this kind stands for.

use super::http::PerSecond;
use std::net::{IpAddr, SocketAddr};
use toml::Value;
use veloz_core::instrument::Symbol;
use veloz_core::limits::INSTRUMENTS_MAX;
use veloz_core::units::E8;
use veloz_core::venue::binance::order_entry::client_ids::{ClientOrderIds, PREFIX_BYTES_MAX};
use veloz_exporter::auth::password;
use veloz_exporter::http::addresses::Network;
use veloz_exporter::http::cors::Cors;

/// CPUs that a Linux affinity mask of the usual size can name.
const CPU_MAX: i64 = 1_023;
/// Elements of a list of networks or origins: each is looked at for every connection or request.
const LIST_MAX: usize = 256;
/// Bytes of a line of text: names and lists of a few attributes.
const TEXT_BYTES_MAX: usize = 2_048;
/// The word for a limit that does not bind.
const NONE: &str = "none";

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
    /// A limit: a whole number in `[min, max]`, or `none`.
    IntegerLimit {
        /// Smallest legal value.
        min: i64,
        /// Largest legal value.
        max: i64,
        /// The unit, for messages; empty when the number has none.
        unit: &'static str,
    },
    /// An exact decimal that is not negative, as text: at most eight places.
    Decimal,
    /// A limit: such a decimal above zero, or `none`.
    DecimalLimit,
    /// The venue's name of an asset.
    Asset,
    /// The prefix of an instance's order ids.
    Instance,
    /// One word of a list; letter case does not matter.
    Choice(&'static [&'static str]),
    /// A websocket address without credentials.
    WebsocketUrl,
    /// An HTTP address without credentials, or empty for none.
    HttpUrl,
    /// One line of printable text, or empty for none.
    Text,
    /// A file path, or empty for none.
    Path,
    /// A directory, or `auto`.
    Directory,
    /// An IP address to listen on.
    Address,
    /// An IP address with a port to listen on, or empty for none.
    Listen,
    /// Networks or single addresses, each once.
    Networks,
    /// Origins of web pages, or `*` alone.
    Origins,
    /// A rate a second, with up to three places.
    PerSecond,
    /// Between one and [`INSTRUMENTS_MAX`] venue symbols, each once.
    Symbols,
    /// `auto`, `none` or the number of a CPU.
    Cpu,
    /// How fast a capture is served: a whole multiple of real time, or `max`.
    Speed,
    /// A credential: accepted from the environment or a file that it names, nowhere else, and never shown.
    Secret,
    /// A password of a person: as [`Kind::Secret`], and it may hold spaces and letters of any script.
    Password,
}

impl Kind {
    /// Whether a value of this kind is taken from the environment only, and never shown.
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Password)
    }

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
            Self::IntegerLimit { min, max, unit } => format!(
                "{} or \"none\"",
                Self::Integer {
                    min: *min,
                    max: *max,
                    unit
                }
                .expected()
            ),
            Self::Decimal => {
                "a decimal number in quotes without sign or exponent, at most 8 places, such as \"0.05\"".to_owned()
            }
            Self::DecimalLimit => {
                "a decimal number above zero in quotes without sign or exponent, at most 8 places, such as \"0.05\", or \"none\"".to_owned()
            }
            Self::Asset => "the venue's name of an asset in upper case, such as USDT".to_owned(),
            Self::Instance => {
                format!("1 to {PREFIX_BYTES_MAX} of the characters A-Z, a-z, 0-9 and -")
            }
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::WebsocketUrl => {
                "an address that starts with wss:// or ws://, has a host and carries no credentials"
                    .to_owned()
            }
            Self::HttpUrl => {
                "an address that starts with http:// or https://, has a host and carries no credentials, or \"\" for none"
                    .to_owned()
            }
            Self::Text => format!("one line of up to {TEXT_BYTES_MAX} printable characters"),
            Self::Path => "a file path, or \"\" for none".to_owned(),
            Self::Directory => "a directory, or \"auto\"".to_owned(),
            Self::Address => "an IP address such as 127.0.0.1 or ::1".to_owned(),
            Self::Listen => "an IP address with a port such as 127.0.0.1:9100, or \"\" for none".to_owned(),
            Self::Networks => format!(
                "a list of up to {LIST_MAX} networks or addresses such as [\"10.0.0.0/8\", \"192.0.2.7\"]"
            ),
            Self::Origins => format!(
                "a list of up to {LIST_MAX} origins such as [\"https://ui.example\"], or [\"*\"]"
            ),
            Self::PerSecond => "a number a second from 0.001 to 10000".to_owned(),
            Self::Symbols => format!(
                "a list of 1 to {INSTRUMENTS_MAX} venue symbols in upper case, each once, such as [\"BTCUSDT\", \"ETHUSDT\"]"
            ),
            Self::Cpu => format!("\"auto\", \"none\" or the number of a CPU from 0 to {CPU_MAX}"),
            Self::Speed => "\"max\" or a whole multiple of real time from 1 to 1000".to_owned(),
            Self::Password => {
                "a password of 8 to 1024 bytes from the environment or a file, never from a configuration file or flag".to_owned()
            }
            Self::Secret => {
                "one line of text from the environment or a file, never from a configuration file or flag (a PEM goes into venue.private_key_file)"
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
            Self::Integer { .. } | Self::IntegerLimit { .. } | Self::Cpu | Self::Speed => whole(),
            Self::PerSecond => whole_or_float(text),
            Self::Symbols | Self::Networks | Self::Origins => text
                .trim_start_matches('[')
                .trim_end_matches(']')
                .split(',')
                .map(|part| part.trim().trim_matches('"'))
                .collect::<Vec<_>>()
                .into(),
            // A choice may be spelled with digits (`partial_depth = "5"`), so its text stays text.
            // So does a decimal, whose places would be lost on the way through a float.
            Self::Choice(_)
            | Self::Decimal
            | Self::DecimalLimit
            | Self::Asset
            | Self::Instance
            | Self::WebsocketUrl
            | Self::HttpUrl
            | Self::Text
            | Self::Path
            | Self::Directory
            | Self::Address
            | Self::Listen
            | Self::Password
            | Self::Secret => text.into(),
        }
    }

    /// The value in its normal form; `None` when it is not what this kind expects.
    pub fn accept(&self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Bool, Value::Boolean(_)) => Some(value.clone()),
            (Self::Integer { min, max, .. }, Value::Integer(number)) => {
                (min..=max).contains(&number).then(|| value.clone())
            }
            (Self::IntegerLimit { min, max, .. }, Value::Integer(number)) => {
                (min..=max).contains(&number).then(|| value.clone())
            }
            (Self::IntegerLimit { .. } | Self::DecimalLimit, Value::String(text))
                if text.eq_ignore_ascii_case(NONE) =>
            {
                Some(NONE.into())
            }
            (Self::Decimal | Self::DecimalLimit, Value::String(text)) => self.accept_decimal(text),
            // A whole number loses nothing.
            (Self::Decimal | Self::DecimalLimit, Value::Integer(number)) => {
                self.accept_decimal(&number.to_string())
            }
            (Self::Asset, Value::String(text)) => is_plain_name(text).then(|| value.clone()),
            (Self::Instance, Value::String(text)) => {
                ClientOrderIds::new(text).ok().map(|_| value.clone())
            }
            (Self::Choice(words), Value::String(text)) => {
                let word = text.to_ascii_lowercase();
                words.contains(&word.as_str()).then(|| word.into())
            }
            (Self::WebsocketUrl, Value::String(text)) => {
                is_url(text, ["wss://", "ws://"]).then(|| value.clone())
            }
            (Self::HttpUrl, Value::String(text)) => {
                (text.is_empty() || is_url(text, ["https://", "http://"])).then(|| value.clone())
            }
            (Self::Text, Value::String(text)) => (text.len() <= TEXT_BYTES_MAX
                && !text.chars().any(char::is_control))
            .then(|| value.clone()),
            (Self::Path, Value::String(text)) => (!text.contains('\0')).then(|| value.clone()),
            (Self::Directory, Value::String(text)) => {
                (!text.is_empty() && !text.contains('\0')).then(|| value.clone())
            }
            (Self::Address, Value::String(text)) => {
                text.parse::<IpAddr>().ok().map(|_| value.clone())
            }
            (Self::Listen, Value::String(text)) => {
                (text.is_empty() || text.parse::<SocketAddr>().is_ok()).then(|| value.clone())
            }
            (Self::Networks, Value::Array(list)) => {
                are_all(list, |text| Network::parse(text).is_some()).then(|| value.clone())
            }
            (Self::Origins, Value::Array(list)) => {
                let origins: Option<Vec<String>> = list
                    .iter()
                    .map(|origin| origin.as_str().map(str::to_owned))
                    .collect();
                origins
                    .filter(|origins| origins.len() <= LIST_MAX)
                    .filter(|origins| Cors::of(origins, false).is_ok())
                    .map(|_| value.clone())
            }
            (Self::PerSecond, number) => PerSecond::of(number).map(|_| value.clone()),
            (Self::Symbols, Value::Array(list)) => are_symbols(list).then(|| value.clone()),
            (Self::Cpu, Value::Integer(cpu)) => (0..=CPU_MAX).contains(cpu).then(|| value.clone()),
            (Self::Cpu, Value::String(text)) => {
                matches!(text.as_str(), "auto" | "none").then(|| value.clone())
            }
            (Self::Speed, Value::Integer(times)) => {
                (1..=1_000).contains(times).then(|| value.clone())
            }
            (Self::Speed, Value::String(text)) => (text == "max").then(|| value.clone()),
            (Self::Password, Value::String(text)) => {
                password::check(text).ok().map(|()| value.clone())
            }
            (Self::Secret, Value::String(text)) => (!text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .then(|| value.clone()),
            _ => None,
        }
    }

    fn accept_decimal(self, text: &str) -> Option<Value> {
        let value = E8::parse(text.as_bytes()).ok()?;
        (self == Self::Decimal || value.0 > 0).then(|| text.into())
    }
}

/// A number as TOML has it.
fn whole_or_float(text: &str) -> Value {
    text.parse()
        .map(Value::Integer)
        .or_else(|_| text.parse().map(Value::Float))
        .unwrap_or_else(|_| text.into())
}

fn are_all(list: &[Value], fits: impl Fn(&str) -> bool) -> bool {
    list.len() <= LIST_MAX && list.iter().all(|value| value.as_str().is_some_and(&fits))
}

fn is_url(text: &str, schemes: [&str; 2]) -> bool {
    let Some(rest) = schemes
        .into_iter()
        .find_map(|scheme| text.strip_prefix(scheme))
    else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    !authority.is_empty()
        && !authority.starts_with(':')
        && !text.contains('@')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a text can be the venue's name of an instrument or asset.
pub(super) fn is_plain_name(text: &str) -> bool {
    Symbol::new(text).is_some()
        && !text.chars().any(|letter| {
            letter.is_ascii_lowercase()
                || letter.is_control()
                || letter.is_whitespace()
                || "\"\\/@,*".contains(letter)
        })
}

fn are_symbols(list: &[Value]) -> bool {
    let plain = |value: &Value| value.as_str().is_some_and(is_plain_name);
    let unique = |position: usize, value: &Value| !list[..position].contains(value);
    (1..=INSTRUMENTS_MAX).contains(&list.len())
        && list
            .iter()
            .enumerate()
            .all(|(position, value)| plain(value) && unique(position, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn integer(min: i64, max: i64, unit: &'static str) -> Kind {
        Kind::Integer { min, max, unit }
    }

    const fn limit(min: i64, max: i64, unit: &'static str) -> Kind {
        Kind::IntegerLimit { min, max, unit }
    }

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
            (limit(1, 10, "ms"), "10", Some(10.into())),
            (limit(1, 10, "ms"), "None", Some("none".into())),
            (limit(1, 10, "ms"), "0", None),
            (limit(1, 10, "ms"), "", None),
            (Kind::Decimal, "0.05", Some("0.05".into())),
            (Kind::Decimal, "none", None),
            (Kind::Decimal, "-1", None),
            (Kind::Decimal, "1e-5", None),
            (Kind::Decimal, "0.123456789", None),
            (Kind::Decimal, "NaN", None),
            (Kind::DecimalLimit, "none", Some("none".into())),
            (Kind::DecimalLimit, "12", Some("12".into())),
            (Kind::DecimalLimit, "", None),
            (Kind::DecimalLimit, "0", None),
            (Kind::Decimal, "0", Some("0".into())),
            (Kind::Asset, "USDT", Some("USDT".into())),
            (Kind::Asset, "usdt", None),
            (Kind::Instance, "veloz1", Some("veloz1".into())),
            (Kind::Instance, "", None),
            (Kind::Instance, "a_b", None),
            (Kind::Instance, "thirteen-byte", None),
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
            (Kind::Directory, "auto", Some("auto".into())),
            (Kind::Directory, "", None),
            (Kind::Address, "::1", Some("::1".into())),
            (Kind::Address, "localhost", None),
            (Kind::Listen, "", Some("".into())),
            (Kind::Listen, "127.0.0.1:0", Some("127.0.0.1:0".into())),
            (Kind::Listen, "9100", None),
            (
                Kind::Networks,
                "10.0.0.0/8, ::1",
                Some(vec!["10.0.0.0/8", "::1"].into()),
            ),
            (Kind::Networks, "10.0.0.0/33", None),
            (Kind::Networks, "example.com", None),
            (
                Kind::Origins,
                "https://ui.example",
                Some(vec!["https://ui.example"].into()),
            ),
            (Kind::Origins, "*", Some(vec!["*"].into())),
            (Kind::Origins, "ui.example", None),
            (Kind::PerSecond, "10.0", Some(10.0.into())),
            (Kind::PerSecond, "3", Some(3.into())),
            (Kind::PerSecond, "0", None),
            (Kind::PerSecond, "NaN", None),
            (Kind::PerSecond, "10001", None),
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
            (
                Kind::Password,
                "correct hörse",
                Some("correct hörse".into()),
            ),
            (Kind::Password, "short", None),
            (Kind::Password, "two\nlines of it", None),
        ];
        for (kind, text, expected) in cases {
            let value = kind.value_of_text(text);
            assert_eq!(&kind.accept(&value), expected, "{kind:?} {text:?}");
        }
    }

    #[test]
    fn a_decimal_may_be_a_whole_number_and_never_a_float() {
        let accept = |value: Value| Kind::Decimal.accept(&value);
        assert_eq!(accept(5.into()), Some("5".into()));
        assert_eq!(accept((-5).into()), None);
        assert_eq!(accept(0.5.into()), None);
        assert_eq!(accept(i64::MAX.into()), None);
    }
}
