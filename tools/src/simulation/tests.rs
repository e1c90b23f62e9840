//! Runs in which something is broken on purpose: what watches them must see it.

use super::*;
use veloz_core::telemetry::records::{Record, RecordBody};

/// What goes wrong between the engine and those who check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// One fill is told to nobody.
    FillLost,
    /// One fill is told twice; the first time, when it is known.
    FillDoubled(Option<RecordBody>),
}

impl Sabotage {
    /// What is told instead of a record.
    pub(super) fn spoil(sabotage: &mut Option<Self>, record: Record) -> Record {
        let is_fill = matches!(record.body, RecordBody::Fill { .. });
        let (body, next) = match *sabotage {
            Some(Self::FillLost) if is_fill => (RecordBody::Limits { instrument: None }, None),
            Some(Self::FillDoubled(None)) if is_fill => {
                (record.body, Some(Self::FillDoubled(Some(record.body))))
            }
            Some(Self::FillDoubled(Some(again))) => (again, None),
            same => (record.body, same),
        };
        *sabotage = next;
        Record { body, ..record }
    }
}

/// What a calm run of a few seconds comes to when something is broken.
fn run(sabotage: Option<Sabotage>) -> Result<(), SimulationError> {
    let config = SimulationConfig {
        seed: 103,
        busy: Nanos::from_secs(5),
        faults: false,
        parked: None,
    };
    let mut world = World::new(config, false)?;
    world.sabotage = sabotage;
    let result = world.run();
    assert!(world.sabotage.is_none(), "nothing was filled");
    result
}

fn violation(result: Result<(), SimulationError>) -> String {
    match result {
        Err(SimulationError::Violation(violation)) => violation.what,
        other => panic!("{other:?} is no violation"),
    }
}

#[test]
fn a_whole_run_without_sabotage_breaks_nothing() {
    run(None).expect("nothing is broken");
}

#[test]
fn a_fill_that_is_lost_is_missed_when_the_accounts_are_compared() {
    let what = violation(run(Some(Sabotage::FillLost)));
    assert!(what.contains("we do not know the venue's trade"), "{what}");
}

#[test]
fn a_fill_that_is_told_twice_is_seen_at_once() {
    let what = violation(run(Some(Sabotage::FillDoubled(None))));
    assert!(what.contains("is booked twice"), "{what}");
}
