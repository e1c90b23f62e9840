//! Command-line arguments.
//!
//! Owns: what can be typed, its help, and the exit codes. Does not: run anything (`main.rs`
//! dispatches). Invariant: whatever can be checked without the configuration is checked here.

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

use crate::simulation::command::SimulateArgs;
use crate::venue::VenueArgs;

/// Everything went well.
pub const EXIT_OK: u8 = 0;
/// Something failed while running.
pub const EXIT_FAILURE: u8 = 1;
/// The command line or the configuration is wrong; nothing was started.
pub const EXIT_USAGE: u8 = 2;

/// It ended as asked, but open orders are left at the venue.
pub const EXIT_ORDERS_LEFT: u8 = 3;

const CANCEL_ALL_EXIT_CODES: &str = "Exit codes: 0 no open order is left, 3 some are left (which are named), 1 that could not be found out, 2 wrong command line or configuration.";
const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed while running, 2 wrong command line or configuration, 3 orders left open.";

/// The VeloZ trading engine: live order books, a simulated venue, captures and replays.
#[derive(Debug, Parser)]
#[command(name = "veloz", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// Overlay file over the built-in configuration; repeat it for several, the last one wins
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "VELOZ_CONFIG",
        value_parser = OsStringValueParser::new().map(PathBuf::from),
        value_delimiter = ':'
    )]
    pub config: Vec<PathBuf>,

    /// Sets one configuration key, over files and environment
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// What to do; `run` when nothing is named
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Flags of `run`, for the short form without a subcommand.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Follow the market and, where an account is configured, trade: books, orders, the API and metrics (the default)
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Simulate Binance Spot on loopback, with a synthetic or a recorded market
    #[command(after_help = EXIT_CODES)]
    Venue(VenueArgs),
    /// Run engine and venue in virtual time with faults of every kind, and compare their accounts
    Simulate(SimulateArgs),
    /// Cancel every open order of this instance, without the engine
    #[command(after_help = CANCEL_ALL_EXIT_CODES)]
    CancelAll(CancelAllArgs),
    /// Record market data of any venue address into a capture
    Record(RecordArgs),
    /// Play captures through the very same engine, in virtual time
    Replay(ReplayArgs),
    /// Turn market data in text form into a capture
    Import(ImportArgs),
    /// Turn a capture into market data in text form
    Export(ExportArgs),
    /// Say what this machine and this configuration lack, and what to do about it
    Check(CheckArgs),
    /// Receive alerts on loopback and print them, to rehearse where Alertmanager sends what
    AlertSink(AlertSinkArgs),
    /// Work with the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Who may log in to the server
    #[command(subcommand)]
    User(UserCommand),
    /// What the server wrote down about who did what
    #[command(subcommand)]
    Audit(AuditCommand),
}

/// Arguments of `run`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct RunArgs {
    /// Stop by itself after this many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub seconds: Option<u64>,

    /// Write log lines only, also on a terminal
    #[arg(long)]
    pub no_status: bool,
}

/// Arguments of `record`.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// Websocket address of the public streams [default: venue.market_url]
    #[arg(long, value_name = "WSS_URL")]
    pub url: Option<String>,

    /// Websocket address of the API for snapshots [default: venue.api_url]
    #[arg(long, value_name = "WSS_URL")]
    pub api_url: Option<String>,

    /// PEM file of an extra certificate authority [default: venue.ca_file]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Symbols to record, separated by commas [default: market_data.symbols]
    #[arg(long, value_name = "SYMBOLS")]
    pub symbols: Option<String>,

    /// The capture to write; an existing file is not overwritten
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,

    /// Stop by itself after this many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub seconds: Option<u64>,
}

/// Arguments of `alert-sink`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct AlertSinkArgs {
    /// Port on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 9099)]
    pub port: u16,

    /// End after this many deliveries
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// How market data in text form is read.
#[derive(Clone, Debug, Default, Args)]
pub struct TextArgs {
    /// Tick and lot size of a symbol in text input, such as BTCUSDT=0.01/0.00001; the coarsest
    /// grid that holds every number of the input when left out
    #[arg(long, value_name = "SYMBOL=TICK/LOT")]
    pub grid: Vec<String>,
}

/// Arguments of `replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// A capture, or market data in text form (.gz or plain); several text files are merged by time
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Write the engine's records here, stamps masked: the same input gives the same bytes
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,

    /// How text input is read.
    #[command(flatten)]
    pub text: TextArgs,
}

/// Arguments of `import`.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// Market data in text form (.gz or plain); several files are merged by time
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// The capture to write; an existing file is not overwritten
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,

    /// How text input is read.
    #[command(flatten)]
    pub text: TextArgs,
}

/// Arguments of `export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The capture to read
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The symbol to export, when the capture holds several
    #[arg(long, value_name = "SYMBOL")]
    pub symbol: Option<String>,

    /// The text to write, gzipped when its name ends in .gz; standard output when left out
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `cancel-all`.
#[derive(Clone, Debug, Args)]
pub struct CancelAllArgs {
    /// Cancel all open orders of the account, also those of other instances, programs and people
    #[arg(long, requires = "yes")]
    pub account: bool,

    /// Confirm --account
    #[arg(long)]
    pub yes: bool,

    /// Of this symbol alone
    #[arg(long, value_name = "SYMBOL")]
    pub symbol: Option<String>,

    /// Give up after this many seconds beyond account.recv_window_ms
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub timeout: u64,

    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// What to do with audit records.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// Read every record, and name the first that was changed, removed or added
    Verify {
        /// The directory [default: audit.dir]
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// What to do with users.
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Add one
    Add(AddUserArgs),
    /// List them with their roles
    List,
    /// Keep one out, and end its sessions
    Disable {
        /// The user's id
        user_id: String,
    },
    /// Let one in again
    Enable {
        /// The user's id
        user_id: String,
    },
    /// Set another password, and end the user's sessions
    Passwd(PasswdArgs),
}

/// Arguments of `user add`.
#[derive(Clone, Debug, Args)]
pub struct AddUserArgs {
    /// The new user's id
    pub user_id: String,

    /// viewer, trader or admin; repeat it for several
    #[arg(long, required = true)]
    pub role: Vec<String>,

    /// Where the password comes from.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// Arguments of `user passwd`.
#[derive(Clone, Debug, Args)]
pub struct PasswdArgs {
    /// The user's id
    pub user_id: String,

    /// Where the password comes from.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// Where a password comes from: a terminal or standard input when no file is named.
#[derive(Clone, Debug, Args)]
pub struct PasswordArgs {
    /// File whose first line is the password [default: asked for, or standard input]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// What to do with the configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the effective configuration and where each value came from, secrets redacted
    Print,
    /// Print the built-in configuration file, which documents every key
    Default,
}

impl Cli {
    /// The command with its arguments: `run` when none was named.
    ///
    /// # Errors
    /// A sentence when flags of `run` stand before another command.
    pub fn into_command(self) -> Result<(Command, Vec<PathBuf>, Vec<String>), String> {
        let command = match self.command {
            None => Command::Run(self.run),
            Some(Command::Run(run)) => Command::Run(RunArgs {
                seconds: run.seconds.or(self.run.seconds),
                no_status: run.no_status || self.run.no_status,
            }),
            Some(other) if self.run == RunArgs::default() => other,
            Some(_) => {
                return Err("--for and --no-status belong to `veloz run`".to_owned());
            }
        };
        // An empty VELOZ_CONFIG is how a compose file spells "none".
        let files = self
            .config
            .into_iter()
            .filter(|file| !file.as_os_str().is_empty())
            .collect();
        Ok((command, files, self.set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(words: &[&str]) -> Result<(Command, Vec<PathBuf>, Vec<String>), String> {
        let words = std::iter::once("veloz").chain(words.iter().copied());
        Cli::try_parse_from(words)
            .map_err(|error| error.to_string())?
            .into_command()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default_and_global_flags_stand_anywhere() {
        for words in [
            &["--config", "a.toml", "--set", "http.port=1", "--for", "3"][..],
            &[
                "run",
                "--for",
                "3",
                "--config",
                "a.toml",
                "--set",
                "http.port=1",
            ],
            &[
                "--set",
                "http.port=1",
                "run",
                "--config",
                "a.toml",
                "--for",
                "3",
            ],
        ] {
            let (command, files, sets) = parse(words).expect("valid");
            let Command::Run(run) = command else {
                panic!("{words:?} is not run")
            };
            assert_eq!(run.seconds, Some(3));
            assert_eq!(files, [PathBuf::from("a.toml")]);
            assert_eq!(sets, ["http.port=1"]);
        }
        let (_, files, _) = parse(&["--config", ""]).expect("valid");
        assert!(files.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(parse(&["--for", "3", "check"]).is_err());
        assert!(parse(&["--for", "0"]).is_err());
        assert!(parse(&["replay"]).is_err());
        assert!(parse(&["export"]).is_err());
        assert!(parse(&["import", "a.gz"]).is_err());
        assert!(parse(&["record"]).is_err());
        assert!(parse(&["fly"]).is_err());
        assert!(parse(&["cancel-all", "--account"]).is_err());
        assert!(parse(&["cancel-all", "--timeout", "0"]).is_err());
        assert!(parse(&["cancel-all", "--account", "--yes"]).is_ok());
        assert!(parse(&["user", "add", "tom"]).is_err(), "without a role");
        assert!(parse(&["user", "add", "tom", "--role", "trader", "--password", "x"]).is_err());
    }
}
