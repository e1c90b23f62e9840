//! Configuration: the built-in file, overlay files, `VELOZ_*` variables and flags, in that order.
//!
//! Owns: [`Config`] and its sections, and [`load`]. The keys are listed in `config/keys.rs`, single values are
//! checked in `config/kind.rs`, keys against each other in `config/contradictions.rs`, and layers are merged in
//! `config/layers.rs`. Does not: start anything.
//! Invariants: a `Config` has a value for every key; what decides trading (`venue`, `market_data`, `account`,
//! `orders`, `risk`, `strategy`, `state`) is apart from what fits the machine (`core`, `http`, `log`); a fault
//! of the configuration stops the start before anything runs.

pub mod auth;
mod contradictions;
pub mod environment;
pub mod http;
pub mod keys;
pub mod kind;
pub mod layers;
pub mod limits;
pub mod private_file;
pub mod secret;
pub mod traces;
pub mod trading;

use auth::{AuditSection, AuthSection};
use contradictions::contradictions;
use http::HttpSection;
use kind::Kind;
use layers::{Entries, Fault, Layers, Origin, REDACTED};
use limits::RiskSection;
use secret::Secret;
use serde::{Deserialize, Deserializer};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use toml::Value;
use traces::TracesSection;
use trading::{AccountSection, AnalyticsSection, OrdersSection, StateSection, StrategySection};

/// The documented file that the defaults come from.
pub const BUILT_IN: &str = include_str!("../../config/veloz.toml");

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which venue, over which addresses, with which credentials.
    pub venue: VenueSection,
    /// Which instruments, and when a connection is replaced.
    pub market_data: MarketDataSection,
    /// Whose orders they are, and how its money is counted.
    pub account: AccountSection,
    /// How orders are sent, and how long their answers may take.
    pub orders: OrdersSection,
    /// Limits.
    pub risk: RiskSection,
    /// What trades by itself.
    pub strategy: StrategySection,
    /// What outlives a restart.
    pub state: StateSection,
    /// Figures of risk and performance.
    pub analytics: AnalyticsSection,
    /// Where and how the core thread runs.
    pub core: CoreSection,
    /// The HTTP server.
    pub http: HttpSection,
    /// Who may do what.
    pub auth: AuthSection,
    /// What is written down about it.
    pub audit: AuditSection,
    /// Log lines.
    pub log: LogSection,
    /// Spans.
    pub traces: TracesSection,
    /// The simulated venue inside the process.
    pub embedded: EmbeddedSection,
}

/// `[venue]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueSection {
    /// Where market data comes from.
    pub source: Source,
    /// Where orders go.
    pub execution_mode: ExecutionMode,
    /// Public streams; unused while `source` is embedded.
    pub market_url: String,
    /// Websocket API; unused while `source` is embedded.
    pub api_url: String,
    /// PEM file of an extra certificate authority; empty for none.
    pub ca_file: PathBuf,
    /// Key of the account.
    #[serde(default)]
    pub api_key: Secret,
    /// Its secret; empty with a private key.
    #[serde(default)]
    pub api_secret: Secret,
    /// PEM file of its Ed25519 private key; empty with a secret.
    pub private_key_file: PathBuf,
}

/// Where market data comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A simulated venue inside this process.
    Embedded,
    /// Binance Spot at the configured addresses.
    Binance,
}

/// Where orders go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// A simulated venue.
    SimEngine,
    /// Binance's testnet.
    BinanceTestnetSpot,
    /// Binance, with real money.
    BinanceSpot,
}

/// `[market_data]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketDataSection {
    /// Symbols as the venue's payloads spell them.
    pub symbols: Vec<String>,
    /// Whether `@bookTicker` is subscribed.
    pub book_ticker: bool,
    /// Whether `@trade` is subscribed.
    pub trades: bool,
    /// Whether `@aggTrade` is subscribed.
    pub aggregate_trades: bool,
    /// Which partial-depth stream is subscribed.
    pub partial_depth: PartialDepth,
    /// Levels a side of a snapshot; 0 lets the engine choose.
    pub snapshot_levels: u16,
    /// The venue's request weight a minute.
    pub request_weight_per_minute: u32,
    /// A connection without a byte for this long is replaced, in milliseconds.
    pub silence_ms: u64,
    /// Age at which a connection is replaced, in minutes.
    pub rotate_after_minutes: u64,
}

/// Which partial-depth stream is subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum PartialDepth {
    /// None.
    #[serde(rename = "off")]
    Off,
    /// The best five levels a side.
    #[serde(rename = "5")]
    Five,
    /// The best ten.
    #[serde(rename = "10")]
    Ten,
    /// The best twenty.
    #[serde(rename = "20")]
    Twenty,
}

/// `[core]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoreSection {
    /// CPU of the core thread.
    pub cpu: Cpu,
    /// What the core thread does with a turn that found nothing.
    pub idle: Idle,
    /// Whether memory is locked when the machine allows it.
    pub lock_memory: bool,
    /// `SCHED_FIFO` priority, 0 for the normal scheduler.
    pub realtime_priority: u8,
}

/// CPU of the core thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// The last isolated CPU, else the last CPU of this process's mask.
    Auto,
    /// Not pinned.
    None,
    /// This one.
    Number(usize),
}

impl<'de> Deserialize<'de> for Cpu {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Integer(number) => usize::try_from(number)
                .map(Self::Number)
                .map_err(serde::de::Error::custom),
            Value::String(word) if word == "auto" => Ok(Self::Auto),
            Value::String(word) if word == "none" => Ok(Self::None),
            _ => Err(serde::de::Error::custom("not a CPU")),
        }
    }
}

/// What an idle turn of the core does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    /// `Spin` on an isolated CPU or a machine of four CPUs or more, else `Backoff`.
    Auto,
    /// Turns on without a pause.
    Spin,
    /// Gives the rest of its time slice away.
    Yield,
    /// Spins, yields, then sleeps until a socket is ready.
    Backoff,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// Least severe level that is written.
    pub level: LogLevel,
    /// Shape of a line.
    pub format: LogFormat,
    /// Where the files are; empty for standard output alone, `auto` for where the service manager says.
    pub dir: PathBuf,
    /// Size from which on a file is put aside, in MiB.
    pub file_mb: u16,
    /// How long files that were put aside stay, in days.
    pub keep_days: u16,
    /// How long those with errors alone stay, in days.
    pub error_keep_days: u16,
}

impl LogSection {
    /// The same with the directory that `auto` means: the first of systemd's `$LOGS_DIRECTORY`, else none. `variable`
    /// looks an environment variable up.
    pub fn placed(&self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut placed = self.clone();
        if self.dir == Path::new("auto") {
            placed.dir = variable("LOGS_DIRECTORY")
                // systemd separates several directories by colons; the first is the unit's own.
                .and_then(|text| text.split(':').next().map(PathBuf::from))
                .filter(|path| path.is_absolute())
                .unwrap_or_default();
        }
        placed
    }
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something failed that needs a person.
    Error,
    /// Something is off and was answered.
    Warn,
    /// Milestones.
    Info,
    /// For developers.
    Debug,
    /// Everything.
    Trace,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `[embedded]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedSection {
    /// Loopback port of the simulated venue; 0 lets the system choose.
    pub port: u16,
    /// Seed of the synthetic market.
    pub seed: u64,
    /// Where its certificate authority is written; empty for nowhere.
    pub ca_file: PathBuf,
    /// Recorded market data to serve instead of the synthetic market; empty for none.
    pub capture: PathBuf,
    /// How fast `capture` is served.
    pub speed: Speed,
}

/// How fast a capture is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// As fast as it is read.
    Max,
    /// This multiple of real time.
    Times(u32),
}

impl<'de> Deserialize<'de> for Speed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Integer(times) => u32::try_from(times)
                .map(Self::Times)
                .map_err(serde::de::Error::custom),
            Value::String(word) if word == "max" => Ok(Self::Max),
            _ => Err(serde::de::Error::custom("not a speed")),
        }
    }
}

/// A configuration with its history.
#[derive(Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Variables that had no effect, each with what replaced it.
    pub warnings: Vec<String>,
    entries: Entries,
}

/// Without the entries, which hold the secrets' text.
impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("config", &self.config)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Everything that stopped the start, a line each.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Fault>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_char('\n')?;
            }
            write!(f, "configuration: {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Loads the built-in file, then `files`, then `variables`, then `flags`; later ones win.
///
/// # Errors
/// [`ConfigError`] with every fault of every layer.
pub fn load(
    files: &[PathBuf],
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[String],
) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    layers.add_text(None, BUILT_IN);
    for file in files {
        layers.add_file(file);
    }
    layers.add_environment(variables);
    for flag in flags {
        layers.add_flag(flag);
    }
    build(layers)
}

/// Loads the built-in file with `text` over it, as if it stood in a file of this name.
///
/// # Errors
/// [`ConfigError`] with every fault.
pub fn load_text(name: &str, text: &str) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    layers.add_text(None, BUILT_IN);
    layers.add_text(Some(std::path::Path::new(name)), text);
    build(layers)
}

fn build(layers: Layers) -> Result<Loaded, ConfigError> {
    let (entries, warnings) = layers.finish().map_err(ConfigError)?;
    let mut tree = toml::Table::new();
    for (path, entry) in &entries {
        let key = keys::find(path).expect("entries are of keys in the table");
        let name = key.name_in(path).expect("the key was found by it");
        let mut parts: Vec<&str> = key.path.split('.').collect();
        for part in &mut parts {
            if *part == "*" {
                *part = name;
            }
        }
        let (leaf, sections) = parts.split_last().expect("a path is not empty");
        let mut table = &mut tree;
        for section in sections {
            table = table
                .entry(*section)
                .or_insert_with(|| toml::Table::new().into())
                .as_table_mut()
                .expect("a section is no key");
        }
        table.insert((*leaf).to_owned(), entry.value.clone());
    }
    let config: Config = serde_path_to_error::deserialize(Value::Table(tree)).map_err(|error| {
        ConfigError(vec![Fault::Contradiction(format!(
            "`{}` does not fit: {}",
            error.path(),
            error.inner().message()
        ))])
    })?;
    let contradictions = contradictions(&config, &entries);
    if !contradictions.is_empty() {
        return Err(ConfigError(contradictions));
    }
    Ok(Loaded {
        config,
        warnings,
        entries,
    })
}

impl Loaded {
    /// The effective configuration as TOML; values that are not the built-in ones say where they
    /// came from, secrets are redacted.
    pub fn print(&self) -> String {
        let mut text = String::new();
        let mut open = String::new();
        let mut line = |section: String, name: &str, kind: Kind, entry: Option<&layers::Entry>| {
            if section != open {
                let gap = if open.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{section}]");
                open = section;
            }
            let value = match entry {
                Some(_) if kind.is_secret() => format!("\"{REDACTED}\""),
                Some(entry) => entry.value.to_string(),
                None => "\"\"".to_owned(),
            };
            let _ = match entry.map(|entry| &entry.origin) {
                None | Some(Origin::BuiltIn) => writeln!(text, "{name} = {value}"),
                Some(origin) => writeln!(text, "{name} = {value} # {origin}"),
            };
        };
        for key in keys::KEYS.iter().filter(|key| !key.is_pattern()) {
            let (section, name) = key.section_and_name();
            line(
                section.to_owned(),
                name,
                key.kind,
                self.entries.get(key.path),
            );
        }
        // In order of their paths, so that what belongs to one name stands together.
        for (path, entry) in &self.entries {
            let key = keys::find(path).expect("entries are of keys in the table");
            let name = key.name_in(path).expect("the key was found by it");
            if key.is_pattern() {
                let quoted = quoted(name);
                let (section, leaf) = key.section_and_name();
                line(
                    section.replace('*', &quoted),
                    &leaf.replace('*', &quoted),
                    key.kind,
                    Some(entry),
                );
            }
        }
        text
    }
}

/// A name as TOML takes it for a key.
fn quoted(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.bytes().all(bare) {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

#[cfg(test)]
mod tests;
