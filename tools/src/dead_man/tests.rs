//! The dead-man in virtual time: a core that stops and comes back, and a venue behind its connection.

use super::*;
use crate::canceller::Input;
use crate::canceller::requests::tests::{ed25519, order};
use crate::canceller::tests::{CUT, World, left, orders};
use proptest::prelude::*;

const BOUND: Nanos = Nanos::from_secs(1);

/// A core that turns every millisecond, except where it does not.
struct Core {
    /// Half-open times in which it does not turn.
    stuck: Vec<(Nanos, Nanos)>,
}

impl Core {
    /// Its last turn at `now`.
    fn beat(&self, now: Nanos) -> Nanos {
        let turn = |now: Nanos| Nanos::from_ms(now.as_ms());
        self.stuck
            .iter()
            .find(|(from, to)| (*from..*to).contains(&now))
            .map_or(turn(now), |(from, _)| turn(*from))
    }
}

/// Looks every interval until `until`; what came of it, and when.
fn look(watch: &mut Watch, core: &Core, from: Nanos, until: Nanos) -> Vec<(Nanos, Verdict)> {
    let mut now = from;
    let mut verdicts = Vec::new();
    while now < until {
        if let Some(verdict) = watch.look(now, core.beat(now)) {
            verdicts.push((now, verdict));
        }
        now = now.plus(watch.interval());
    }
    verdicts
}

#[test]
fn a_core_that_turns_is_left_alone_and_a_stuck_one_is_noticed_once() {
    let s = Nanos::from_secs;
    let core = Core {
        stuck: vec![(s(10), s(20)), (s(30), s(30).plus(Nanos::from_ms(900)))],
    };
    let mut watch = Watch::new(BOUND);
    let verdicts = look(&mut watch, &core, s(1), s(60));
    let [(fired_at, stuck), (back_at, back)] = verdicts[..] else {
        panic!("{verdicts:?}");
    };
    assert!(matches!(stuck, Verdict::Stuck { .. }), "{stuck:?}");
    assert!(matches!(back, Verdict::Back { .. }), "{back:?}");
    let late = fired_at.since(s(11));
    assert!(late <= Nanos(2 * watch.interval().0), "{late:?}");
    assert!(back_at.since(s(20)) <= watch.interval(), "{back_at:?}");
    assert_eq!(
        back,
        Verdict::Back {
            stuck_for: back_at.since(s(10))
        }
    );
}

#[test]
fn a_core_that_never_turned_holds_no_orders() {
    let mut watch = Watch::new(BOUND);
    for second in 1..100 {
        assert_eq!(watch.look(Nanos::from_secs(second), Nanos::ZERO), None);
    }
}

#[test]
fn a_pause_of_the_whole_process_is_not_the_cores() {
    let s = Nanos::from_secs;
    let mut watch = Watch::new(BOUND);
    let core = Core { stuck: Vec::new() };
    assert_eq!(look(&mut watch, &core, s(1), s(5)), []);
    // Nobody ran for ten minutes; the watch wakes before the core.
    let woken = s(605);
    assert_eq!(watch.look(woken, core.beat(s(5))), None);
    let soon = woken.plus(Nanos::from_ms(10));
    assert_eq!(watch.look(soon, core.beat(s(5))), None);
    assert_eq!(look(&mut watch, &core, soon, s(610)), []);

    // And it does not wake at all.
    let dead = Core {
        stuck: vec![(s(610), Nanos::MAX)],
    };
    let woken = s(1_000);
    let verdicts = look(&mut watch, &dead, woken, s(1_010));
    let [(fired_at, Verdict::Stuck { .. })] = verdicts[..] else {
        panic!("{verdicts:?}");
    };
    assert!(fired_at.since(woken) <= BOUND, "{fired_at:?}");
}

#[test]
fn a_bound_of_any_size_is_looked_at_often_enough() {
    for bound_ms in [100, 250, 1_000, 60_000] {
        let bound = Nanos::from_ms(bound_ms);
        let stuck_at = Nanos::from_secs(100);
        let core = Core {
            stuck: vec![(stuck_at, Nanos::MAX)],
        };
        let mut watch = Watch::new(bound);
        let verdicts = look(
            &mut watch,
            &core,
            Nanos::from_secs(1),
            Nanos::from_secs(200),
        );
        let [(fired_at, Verdict::Stuck { age })] = verdicts[..] else {
            panic!("{verdicts:?}");
        };
        assert!(age > bound);
        let after = fired_at.since(stuck_at);
        assert!(after.0 <= bound.0 + bound.0 / 10, "{bound_ms}: {after:?}");
    }
}

/// What the thread does, in virtual time.
fn run(world: &mut World, watch: &mut Watch, core: &Core, until: Nanos) -> Vec<(Nanos, Verdict)> {
    run_late(world, watch, core, until, &[1_000])
}

/// The same by a thread that comes back from each wait after so many thousandths of the interval, in turn.
fn run_late(
    world: &mut World,
    watch: &mut Watch,
    core: &Core,
    until: Nanos,
    waits: &[u64],
) -> Vec<(Nanos, Verdict)> {
    let mut verdicts = Vec::new();
    let mut waits = waits.iter().cycle();
    while world.now < until {
        let verdict = watch.look(world.now, core.beat(world.now));
        match verdict {
            Some(Verdict::Stuck { .. }) => world.canceller.begin(world.now),
            Some(Verdict::Back { .. }) => world.canceller.rest(),
            None => {}
        }
        verdicts.extend(verdict.map(|verdict| (world.now, verdict)));
        world.handle(Input::Tick);
        let wait = waits.next().expect("they go round");
        let next_look = world.now.plus(Nanos(watch.interval().0 * wait / 1_000));
        while world.step(next_look) {}
    }
    verdicts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A look is late by at most an interval, as on a machine that is busy, and the venue answers within what is left
    /// of the second bound then. Its connection stands, and may just be kept alive.
    #[test]
    fn cancels_are_handed_over_within_twice_the_bound_of_the_last_turn(
        bound_ms in prop_oneof![100u64..=1_000, 1_000u64..=10_000],
        waits in proptest::collection::vec(100u64..=2_000, 1..40),
        stuck_us in 14_000_000u64..=18_000_000,
        round_trip_per_mille in 0u64..=850,
    ) {
        let bound = Nanos::from_ms(bound_ms);
        let core = Core {
            stuck: vec![(Nanos(stuck_us * 1_000), Nanos::MAX)],
        };
        let mut world = World::new(ed25519(), &orders());
        // An answer that takes a second ends the connection.
        world.round_trip = Nanos((bound.0 * round_trip_per_mille / 1_000).clamp(1, 900_000_000));
        let mut watch = Watch::new(bound);
        let stuck_at = core.beat(Nanos(stuck_us * 1_000));
        let until = stuck_at.plus(Nanos(3 * bound.0));
        let verdicts = run_late(&mut world, &mut watch, &core, until, &waits);
        prop_assert!(matches!(verdicts[..], [(_, Verdict::Stuck { .. })]), "{:?}", verdicts);
        let cancels: Vec<Nanos> = world
            .venue
            .asked
            .iter()
            .filter(|(_, method)| method == "order.cancel")
            .map(|(at, _)| at.since(stuck_at))
            .collect();
        prop_assert_eq!(cancels.len(), 3);
        for after in cancels {
            prop_assert!(after > bound && after.0 <= 2 * bound.0, "{:?}", after);
        }
        prop_assert_eq!(left(&world), [4, 5]);
    }
}

#[test]
fn orders_of_a_stuck_core_are_gone_within_twice_the_bound() {
    let s = Nanos::from_secs;
    let core = Core {
        stuck: vec![(s(10), s(40))],
    };
    let mut world = World::new(ed25519(), &orders());
    let mut watch = Watch::new(BOUND);
    let verdicts = run(&mut world, &mut watch, &core, s(30));
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    assert_eq!(left(&world), [4, 5]);
    let cancels: Vec<Nanos> = world
        .venue
        .asked
        .iter()
        .filter(|(_, method)| method == "order.cancel")
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(cancels.len(), 3);
    for at in cancels {
        assert!(at.since(s(10)) <= Nanos(2 * BOUND.0), "{at:?}");
    }
    assert!(world.canceller.is_clean());

    // The core comes back and trades: nobody takes its orders any more.
    world.venue.late.push((s(41), order(9, "vz-mm1_1_100")));
    let verdicts = run(&mut world, &mut watch, &core, s(90));
    assert!(matches!(verdicts[..], [(_, Verdict::Back { .. })]));
    assert_eq!(left(&world), [4, 5, 9]);

    // It can be stuck again.
    let again = Core {
        stuck: vec![(s(100), Nanos::MAX)],
    };
    let verdicts = run(&mut world, &mut watch, &again, s(110));
    assert!(matches!(verdicts[..], [(_, Verdict::Stuck { .. })]));
    assert_eq!(left(&world), [4, 5]);
}

#[test]
fn a_connection_that_is_down_when_it_is_needed_comes_up_and_cancels() {
    let s = Nanos::from_secs;
    let core = Core {
        stuck: vec![(s(10), Nanos::MAX)],
    };
    let mut world = World::new(ed25519(), &orders());
    world.venue.refuses_connections = 5;
    let mut watch = Watch::new(BOUND);
    run(&mut world, &mut watch, &core, s(9));
    world.venue.refuses_connections = 3;
    world.handle(CUT);
    run(&mut world, &mut watch, &core, s(30));
    assert_eq!(left(&world), [4, 5]);
}
