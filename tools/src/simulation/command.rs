//! `veloz simulate`: many seeds, one line each that fails.

use super::{Report, SimulationConfig, SimulationError, simulate};
use crate::cli::{EXIT_FAILURE, EXIT_OK};
use clap::Args;
use veloz_core::units::Nanos;

/// Arguments of `veloz simulate`.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// How long orders and faults go on in each run, in seconds of virtual time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Nothing goes wrong.
    #[arg(long)]
    calm: bool,
    /// Prints every message of the order link and every record.
    #[arg(long)]
    trace: bool,
}

/// Runs the seeds.
pub fn run(arguments: &SimulateArgs) -> u8 {
    let mut total = Report::default();
    let mut failed = 0;
    for seed in arguments.from..arguments.from.saturating_add(arguments.seeds) {
        let config = SimulationConfig {
            seed,
            busy: Nanos::from_secs(arguments.seconds),
            faults: !arguments.calm,
            parked: None,
        };
        match simulate(config, arguments.trace) {
            Ok(report) => total = total.plus(report),
            Err(SimulationError::Violation(violation)) => {
                failed += 1;
                println!(
                    "{violation}\n  again: veloz simulate --from {seed} --seeds 1 --seconds {}{} --trace",
                    arguments.seconds,
                    if arguments.calm { " --calm" } else { "" }
                );
            }
            Err(error) => {
                eprintln!("error: {error}");
                return EXIT_FAILURE;
            }
        }
    }
    println!("{} seeds, {failed} failed; {total}", arguments.seeds);
    if failed == 0 { EXIT_OK } else { EXIT_FAILURE }
}
