//! `veloz simulate`: many seeds on all processors, one line each that fails.
//!
//! Owns: the arguments and the threads. Does not: let one run know of another. Invariant: what is printed and summed is
//! in the order of the seeds, so that it is the same for any number of threads.

use super::{Report, SimulationConfig, SimulationError, Violation, simulate};
use crate::cli::{EXIT_FAILURE, EXIT_OK};
use clap::Args;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use veloz_core::units::Nanos;

/// Results of seeds that wait for an earlier one, a thread: when there are so many, the threads ahead wait as well.
const AHEAD_MAX: usize = 64;

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
    /// Prints every message of the order link and every record; one seed at a time.
    #[arg(long)]
    trace: bool,
    /// Seeds at a time; as many as there are processors by default, and at most that.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

type Outcome = Result<Report, SimulationError>;

/// Runs the seeds.
pub fn run(arguments: &SimulateArgs) -> u8 {
    let mut total = Report::default();
    let (mut failed, mut broken) = (0, false);
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = match arguments.threads {
        _ if arguments.trace => 1,
        Some(threads) => threads.get().min(processors),
        None => processors,
    };
    let run = |seed| simulate(config_of(arguments, seed), arguments.trace);
    let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
    in_order(seeds, threads, run, |seed, outcome| {
        match outcome {
            Ok(report) => total = std::mem::take(&mut total).plus(report),
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
                broken = true;
            }
        }
        !broken
    });
    if broken {
        return EXIT_FAILURE;
    }
    println!("{} seeds, {failed} failed; {total}", arguments.seeds);
    if failed == 0 { EXIT_OK } else { EXIT_FAILURE }
}

fn config_of(arguments: &SimulateArgs, seed: u64) -> SimulationConfig {
    SimulationConfig {
        seed,
        busy: Nanos::from_secs(arguments.seconds),
        faults: !arguments.calm,
        parked: None,
    }
}

/// Runs seeds on so many threads, and tells each outcome in the order of the seeds until `tell` wants no more.
fn in_order(
    seeds: std::ops::Range<u64>,
    threads: usize,
    run: impl Fn(u64) -> Outcome + Sync,
    mut tell: impl FnMut(u64, Outcome) -> bool,
) {
    let (next, enough) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (run, next, enough) = (&run, &next, &enough);
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(threads * AHEAD_MAX);
        for _ in 0..threads {
            let sender = sender.clone();
            let end = seeds.end;
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || enough.load(Ordering::Relaxed) {
                        return;
                    }
                    // Nobody listens any more: there was enough.
                    if sender.send((seed, or_panic(seed, run))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut due = seeds.start;
        while let Ok((seed, outcome)) = receiver.recv() {
            waiting.insert(seed, outcome);
            while let Some(outcome) = waiting.remove(&due) {
                if !tell(due, outcome) {
                    enough.store(true, Ordering::Relaxed);
                    return;
                }
                due += 1;
            }
        }
    });
}

/// A panic is a violation like others: it has a seed and comes again.
fn or_panic(seed: u64, run: &(impl Fn(u64) -> Outcome + Sync)) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|panic| {
        let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (None, Some(text)) => text.clone(),
            (None, None) => "something that is no text".to_owned(),
        };
        Err(SimulationError::Violation(Violation {
            seed,
            at: Nanos::ZERO,
            what: format!("a panic: {text}"),
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that takes longer the earlier its seed.
    fn slow_first(seed: u64) -> Report {
        let mut digest = seed;
        for _ in 0..(20 - seed.min(20)) * 1_000 {
            digest = digest.wrapping_mul(31).wrapping_add(7);
        }
        Report {
            events: seed,
            digest,
            ..Report::default()
        }
    }

    #[test]
    fn any_number_of_threads_tells_the_same_in_the_same_order() {
        let told = |threads| {
            let (mut seeds, mut total) = (Vec::new(), Report::default());
            in_order(
                3..60,
                threads,
                |seed| Ok(slow_first(seed)),
                |seed, outcome| {
                    seeds.push(seed);
                    total = std::mem::take(&mut total).plus(outcome.expect("a report"));
                    true
                },
            );
            (seeds, total)
        };
        let alone = told(1);
        assert_eq!(alone.0, (3..60).collect::<Vec<_>>());
        for threads in [2, 3, 8] {
            assert_eq!(told(threads), alone, "{threads} threads");
        }
    }

    #[test]
    fn real_seeds_have_the_same_total_on_two_threads_as_on_one() {
        let total = |threads| {
            let mut total = Report::default();
            let run = |seed| {
                let config = SimulationConfig {
                    seed,
                    busy: Nanos::from_secs(2),
                    faults: true,
                    parked: None,
                };
                simulate(config, false)
            };
            in_order(1..5, threads, run, |_, outcome| {
                total = std::mem::take(&mut total).plus(outcome.expect("a report"));
                true
            });
            total
        };
        assert_eq!(total(1), total(2));
    }

    #[test]
    fn a_panic_is_told_with_its_seed_and_the_others_go_on() {
        let mut told = Vec::new();
        let run = |seed| {
            assert!(seed != 4, "four is wrong");
            Ok(slow_first(seed))
        };
        in_order(3..6, 2, run, |seed, outcome| {
            told.push((seed, outcome.map_err(|error| error.to_string()).is_ok()));
            true
        });
        assert_eq!(told, [(3, true), (4, false), (5, true)]);
    }

    #[test]
    fn what_cannot_be_run_ends_it() {
        let mut told = 0;
        let run = |_| Err(SimulationError::Setup("no keys".to_owned()));
        in_order(0..1_000, 2, run, |_, _| {
            told += 1;
            told < 3
        });
        assert_eq!(told, 3);
    }
}
