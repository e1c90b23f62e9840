//! The command behind the figures of bench/README.md.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use veloz_bench::interference::{self, Outcome};
use veloz_bench::{gate, replay, synthetic, tick_to_order};

/// Measures the VeloZ engine.
#[derive(Parser)]
#[command(name = "veloz-bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replay the recorded spot sessions through the engine; fails when memory grew
    Replay {
        /// Folder of the captures
        #[arg(long, env = "VELOZ_DATA_DIR", value_name = "DIR")]
        data: PathBuf,
        /// Passes, each with a fresh engine
        #[arg(long, default_value_t = 100)]
        passes: usize,
    },
    /// Handle a fixed synthetic flow once: what the gate runs under valgrind
    Instructions {
        /// Messages to handle, at most twice the default
        #[arg(long, default_value_t = gate::MESSAGES)]
        messages: usize,
    },
    /// Count instructions a message under valgrind and compare with instructions.toml
    Gate,
    /// Time market message in to order out beside the idiomatic stack; fails when the ratio misses its gate
    TickToOrder {
        /// Rounds, each of all contestants; the figures are medians over them
        #[arg(long, default_value_t = 41)]
        rounds: usize,
    },
    /// Time the core beside a sidecar with and without clients; fails when they disturb it, or when the control,
    /// which renders the metrics page on the core, does not fail. Exit code 3: undecided
    Interference {
        /// Pairs of windows, at least 6; more of them narrow the interval
        #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u16).range(interference::PAIRS_MIN as i64..))]
        pairs: u16,
        /// Pairs of windows of the control
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(interference::PAIRS_MIN as i64..))]
        control_pairs: u16,
        /// The core's CPU [default: the last one that this process may use]
        #[arg(long)]
        core_cpu: Option<usize>,
        /// Run the core under SCHED_FIFO with this priority
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=99))]
        fifo: Option<u8>,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Replay { data, passes } => match replay::run(&data, passes) {
            Ok(report) => {
                println!("{report}");
                code(report.memory_is_stable())
            }
            Err(why) => failure(&*why),
        },
        Command::Instructions { messages } => {
            // Always the same messages, however many are handled: the gate subtracts two runs.
            match synthetic::session(2 * gate::MESSAGES) {
                Ok(session) => {
                    let mut rig = session.rig();
                    let end = session.position_after(session.live(), messages);
                    session.handle(&mut rig, 0..end);
                    ExitCode::SUCCESS
                }
                Err(why) => failure(&why),
            }
        }
        Command::Gate => match gate::run() {
            Ok(verdict) => {
                println!("{verdict}");
                code(verdict.passes())
            }
            Err(why) => failure(&why),
        },
        Command::TickToOrder { rounds } => {
            for part in tick_to_order::parts(rounds) {
                println!("{part}");
            }
            let report = tick_to_order::run(rounds);
            print!("{report}");
            code(report.passes())
        }
        Command::Interference {
            pairs,
            control_pairs,
            core_cpu,
            fifo,
        } => {
            let options = interference::Options {
                pairs: usize::from(pairs),
                control_pairs: usize::from(control_pairs),
                core_cpu,
                fifo,
            };
            match interference::run(options) {
                Ok(report) => {
                    print!("{report}");
                    match report.outcome() {
                        Outcome::Passes => ExitCode::SUCCESS,
                        Outcome::Fails => ExitCode::FAILURE,
                        Outcome::Undecided => ExitCode::from(3),
                    }
                }
                Err(why) => failure(&*why),
            }
        }
    }
}

fn code(good: bool) -> ExitCode {
    ExitCode::from(u8::from(!good))
}

fn failure(why: &dyn std::error::Error) -> ExitCode {
    eprintln!("veloz-bench: {why}");
    ExitCode::from(2)
}
