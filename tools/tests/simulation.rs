//! Engine and venue in virtual time: a few of the seeds that CI runs by the thousand (`veloz simulate`).

use veloz::simulation::{Report, SimulationConfig, fault_kinds, simulate};
use veloz_core::units::Nanos;

/// Orders and faults of one run go on for this long.
const BUSY: Nanos = Nanos::from_secs(15);

fn run(seeds: std::ops::Range<u64>, faults: bool) -> Report {
    seeds
        .map(|seed| {
            let config = SimulationConfig {
                seed,
                busy: BUSY,
                faults,
                parked: None,
            };
            match simulate(config, false) {
                Ok(report) => report,
                Err(error) => panic!("{error}"),
            }
        })
        .fold(Report::default(), Report::plus)
}

#[test]
fn accounts_agree_to_the_last_unit_whatever_goes_wrong() {
    let report = run(0..24, true);
    // A simulation in which nothing happens proves nothing.
    assert!(report.orders > 200, "{report}");
    assert!(report.fills > 50, "{report}");
    assert!(report.unresolved > 20, "{report}");
    assert!(report.links_lost > 50, "{report}");
    assert!(report.restarts > 5, "{report}");
}

/// Some deaths come right after a fill, before it is on disk: it is told again, and everything agrees all the same.
#[test]
fn fills_that_a_death_kept_off_the_disk_are_told_again() {
    // A fill in the last half second before a death is rare: however many seeds it takes.
    let is_told_again = |seed| run(seed..seed + 1, true).told_again > 0;
    assert!((30..230).any(is_told_again));
}

/// What can go wrong in a simulation does, and the venue refuses for its limits and for our clock.
#[test]
fn every_kind_of_fault_happens_within_a_few_seeds() {
    let happened = run(1..21, true).by_kind;
    let refusals = ["-1003", "-1015", "-1021"];
    let missing: Vec<_> = fault_kinds()
        .chain(refusals)
        .filter(|kind| !happened.contains_key(kind))
        .collect();
    assert_eq!(missing, [""; 0], "{happened:?}");
}

#[test]
fn a_calm_venue_leaves_no_order_in_doubt() {
    let report = run(100..112, false);
    assert!(report.fills > 100, "{report}");
    assert_eq!(
        (report.links_lost, report.faults, report.restarts),
        (0, 0, 0)
    );
}

#[test]
fn a_seed_repeats_itself() {
    assert_eq!(run(7..9, true), run(7..9, true));
}

/// Ten seconds without anybody who takes records or samples: the same orders at the same times, and every
/// record is there afterwards.
#[test]
fn a_sidecar_that_stands_still_changes_no_decision_and_loses_no_record() {
    let mut orders = 0;
    for seed in 200..206 {
        let away = Some((Nanos::from_secs(3), Nanos::from_secs(13)));
        let [with, without] = [None, away].map(|parked| {
            let config = SimulationConfig {
                seed,
                busy: BUSY,
                faults: seed % 2 == 0,
                parked,
            };
            simulate(config, false).unwrap_or_else(|error| panic!("{error}"))
        });
        assert_eq!(with, without, "seed {seed}");
        orders += with.orders;
    }
    assert!(orders > 50, "{orders} orders");
}
