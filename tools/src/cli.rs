//! Command-line arguments.
//!
//! Owns: what can be typed, its help, and the exit codes. Does not: run anything (`main.rs`
//! dispatches). Invariant: whatever can be checked without the configuration is checked here.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

use crate::venue::VenueArgs;

/// Everything went well.
pub const EXIT_OK: u8 = 0;
/// Something failed while running.
pub const EXIT_FAILURE: u8 = 1;
/// The command line or the configuration is wrong; nothing was started.
pub const EXIT_USAGE: u8 = 2;

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed while running, 2 wrong command line or configuration.";

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
        value_delimiter = ':'
    )]
    pub config: Vec<PathBuf>,

    /// Sets one configuration key, over files and environment
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulate Binance Spot on loopback, with a synthetic or a recorded market
    Venue(VenueArgs),
    /// Say what this machine and this configuration lack, and what to do about it
    Check(CheckArgs),
    /// Work with the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// What to do with the configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the effective configuration and where each value came from, secrets redacted
    Print,
    /// Print the built-in configuration file, which documents every key
    Default,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
