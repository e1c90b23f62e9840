//! Scenarios of the book sync as text, through one [`check`].
//!
//! A line is `MS INPUT => STEP, STATE ID` at `MS` milliseconds; without `=> ...` nothing is expected of it.

use super::*;
use std::fmt::Write as _;

fn config() -> BookConfig {
    BookConfig::default()
}

/// Plays `script` and compares every line that names an outcome.
fn check(name: &str, script: &str) {
    let mut sync = BookSync::default();
    let mut jitter = Jitter::new(1);
    let config = config();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (input, expected) = match line.split_once("=>") {
            Some((input, expected)) => (input.trim(), Some(expected.trim())),
            None => (line, None),
        };
        let mut words = input.split_whitespace();
        let ms: u64 = words
            .next()
            .and_then(|ms| ms.parse().ok())
            .expect("a line starts with ms");
        let now = Nanos::from_ms(ms);
        let verb = words.next().expect("an input");
        let rest: Vec<&str> = words.collect();
        let number = |position: usize| rest[position].parse::<u64>().expect("a number");
        let source = |position: usize| match rest[position] {
            "A" => Source::new(0),
            "B" => Source::new(1),
            other => panic!("no source {other}"),
        };
        let mut outcome = String::new();
        match verb {
            "up" => sync.stream_up(now),
            "turn" => sync.grant_turn(now, &config),
            "request" => sync.snapshot_requested(),
            "postpone" => sync.snapshot_postponed(Nanos::from_ms(number(0))),
            "fail" => sync.fail(now, &config, &mut jitter),
            "diff" => {
                let step = sync.diff(now, source(0), number(1), number(2));
                write!(outcome, "{step:?}").expect("a string");
                if matches!(step, DiffStep::Gap { .. } | DiffStep::WentBack { .. }) {
                    sync.fail(now, &config, &mut jitter);
                }
            }
            "snapshot" => {
                let step = sync.snapshot(now, number(0), &config, &mut jitter);
                write!(outcome, "{step:?}").expect("a string");
                if matches!(step, SnapshotStep::GiveUp { .. }) {
                    sync.fail(now, &config, &mut jitter);
                }
            }
            "lost" => {
                let hit = sync.source_lost(now, source(0), rest[1] == "others");
                outcome.push_str(if hit { "hit" } else { "safe" });
            }
            "retire" => sync.source_retired(source(0), source(1)),
            "requests-lost" => {
                let hit = sync.requests_lost(now);
                outcome.push_str(if hit { "hit" } else { "safe" });
            }
            "ticker" => {
                let wish = sync.venue_is_at(now, number(0), &config);
                write!(outcome, "{wish:?}").expect("a string");
            }
            "probed" => sync.probed(now, number(0), &config),
            "wish" => {
                let wish = sync.wish(now, &config);
                write!(outcome, "{wish:?}").expect("a string");
            }
            other => panic!("no input {other}"),
        }
        if let Some(expected) = expected {
            let state = format!("{:?} {}", sync.state(), sync.last_id());
            let got = if outcome.is_empty() {
                state
            } else {
                format!("{outcome}, {state}")
            };
            assert_eq!(got, expected, "{name}: {line}");
        }
    }
}

#[test]
fn the_venues_own_transcript() {
    check(
        "golden",
        "0   diff A 1 2            => NotWanted, Idle 0
         0   up                    => Waiting 0
         0   wish                  => Turn, Waiting 0
         0   turn                  => Buffering 0
         10  diff A 1001 1005      => Store { first: true }, Buffering 1005
         10  request               => Requested 1005
         60  snapshot 1000         => TooOld { first: 1001 }, Buffering 1005
         160 wish                  => Snapshot, Buffering 1005
         160 request
         170 snapshot 1007         => Install, Bridging 1007
         200 diff A 1006 1006      => Late, Bridging 1007
         300 diff A 1007 1010      => Bridge, Live 1010
         400 diff A 1011 1020      => Apply, Live 1020
         500 diff A 1025 1030      => Gap { expected: 1021, got: 1025 }, Waiting 0
         500 wish                  => Turn, Waiting 0",
    );
}

#[test]
fn a_snapshot_inside_the_window_is_live_at_once() {
    check(
        "inside",
        "0   up
         0   turn
         10  diff A 5 7            => Store { first: true }, Buffering 7
         10  request
         110 diff A 8 12           => Store { first: false }, Requested 12
         120 diff A 8 12           => Late, Requested 12
         130 snapshot 6            => Install, Live 12
         210 diff A 13 13          => Apply, Live 13",
    );
    check(
        "exactly at the end",
        "0   up
         0   turn
         10  diff A 5 7
         10  request
         30  snapshot 7            => Install, Bridging 7
         110 diff A 8 9            => Bridge, Live 9",
    );
    check(
        "one before the window is refetched, as the venue says",
        "0   up
         0   turn
         10  diff A 5 7
         10  request
         30  snapshot 4            => TooOld { first: 5 }, Buffering 7",
    );
}

#[test]
fn a_quiet_book_asks_without_a_first_diff() {
    check(
        "quiet",
        "0     up
         0     turn
         249   wish                => None, Buffering 0
         250   wish                => Snapshot, Buffering 0
         250   request
         300   snapshot 40         => Install, Bridging 40
         60299 wish                => None, Bridging 40
         60300 wish                => Probe, Bridging 40
         60350 probed 40           => Bridging 40
         90000 diff A 39 45        => Bridge, Live 45",
    );
    check(
        "the stream does not follow on from the snapshot",
        "0     up
         0     turn
         250   request
         300   snapshot 40
         400   diff A 42 45        => Gap { expected: 41, got: 42 }, Waiting 0",
    );
    check(
        "the venue moved on and the stream did not",
        "0     up
         0     turn
         250   request
         300   snapshot 40         => Install, Bridging 40
         60300 wish                => Probe, Bridging 40
         60350 probed 47
         61349 wish                => None, Bridging 40
         61350 wish                => Behind { expected: 47, got: 40 }, Bridging 40",
    );
}

#[test]
fn gaps_while_collecting_start_again() {
    check(
        "gap in the window",
        "0   up
         0   turn
         10  diff A 5 7
         10  request
         110 diff A 9 12           => Gap { expected: 8, got: 9 }, Waiting 0
         110 diff A 13 14          => NotWanted, Waiting 0",
    );
    check(
        "a postponed request keeps its window",
        "0    up
         0    turn
         10   diff A 5 7
         10   postpone 900
         899  wish                 => None, Buffering 7
         899  diff A 8 8           => Store { first: false }, Buffering 8
         900  wish                 => Snapshot, Buffering 8",
    );
    check(
        "requests lost",
        "0    up
         0    turn
         10   diff A 5 7
         10   request
         20   requests-lost        => hit, Waiting 0
         20   requests-lost        => safe, Waiting 0
         20   wish                 => Turn, Waiting 0",
    );
}

#[test]
fn two_sources_cover_for_each_other() {
    let live = "0   up
         0   turn
         10  diff A 5 7
         10  request
         20  snapshot 6            => Install, Live 7\n";
    check(
        "the new one joins, the old one goes",
        &format!(
            "{live} 100 diff A 8 9 => Apply, Live 9
             105 diff B 8 9        => Late, Live 9
             200 diff B 10 12      => Apply, Live 12
             205 diff A 10 12      => Late, Live 12
             210 lost A others     => safe, Live 12
             300 diff B 13 13      => Apply, Live 13
             310 lost B none       => hit, Idle 0"
        ),
    );
    check(
        "the new one is ahead and the old one fills the hole",
        &format!(
            "{live} 100 diff B 10 12 => Ahead, Live 7
             105 diff A 8 9        => Apply, Live 9
             110 diff A 10 12      => Apply, Live 12
             200 diff B 13 14      => Apply, Live 14
             205 diff A 15 16      => Apply, Live 16"
        ),
    );
    check(
        "the old one loses a diff that the new one had",
        &format!(
            "{live} 100 diff B 8 9 => Apply, Live 9
             205 diff A 10 12      => Apply, Live 12
             300 diff A 15 16      => Ahead, Live 12
             310 diff B 13 14      => Apply, Live 14
             320 diff B 15 16      => Apply, Live 16"
        ),
    );
    check(
        "both lose it",
        &format!(
            "{live} 100 diff B 8 9 => Apply, Live 9
             300 diff A 15 16      => Ahead, Live 9
             310 diff B 15 16      => Gap {{ expected: 10, got: 15 }}, Waiting 0"
        ),
    );
    check(
        "the old one goes before the new one joined",
        &format!(
            "{live} 100 lost A others => hit, Waiting 0
             100 wish              => Turn, Waiting 0"
        ),
    );
    check(
        "a quiet book is handed over when the overlap has passed",
        &format!(
            "{live} 2100 retire A B
             2100 lost A others    => safe, Live 7
             9000 diff B 8 8       => Apply, Live 8"
        ),
    );
}

#[test]
fn ids_that_start_anew_are_noticed() {
    let mut script = String::from(
        "0 up\n0 turn\n10 diff A 500 700\n10 request\n20 snapshot 600 => Install, Live 700\n",
    );
    for id in 1..u64::from(OLD_IN_A_ROW_MAX) {
        writeln!(
            script,
            "{} diff A {id} {id} => Repeated {{ newest: 700 }}, Live 700",
            20 + id
        )
        .expect("a string");
    }
    writeln!(
        script,
        "99 diff A 50 50 => WentBack {{ expected: 700, got: 50 }}, Waiting 0"
    )
    .expect("a string");
    check("ids went back", &script);
}

#[test]
fn a_stream_that_lags_behind_the_best_price_is_noticed() {
    let live = "0   up
         0   turn
         10  diff A 5 7
         10  request
         20  snapshot 6            => Install, Live 7\n";
    check(
        "lag",
        &format!(
            "{live} 100 ticker 7   => None, Live 7
             200  ticker 9         => None, Live 7
             600  ticker 10        => None, Live 7
             1000 ticker 12        => None, Live 7
             1199 ticker 13        => None, Live 7
             1200 ticker 13        => Behind {{ expected: 9, got: 7 }}, Live 7"
        ),
    );
    check(
        "in time",
        &format!(
            "{live} 200  ticker 9  => None, Live 7
             600  ticker 10        => None, Live 7
             1000 diff A 8 9       => Apply, Live 9
             1100 ticker 12        => None, Live 9
             1500 ticker 12        => None, Live 9
             2000 ticker 13        => None, Live 9
             2100 ticker 13        => Behind {{ expected: 12, got: 9 }}, Live 9"
        ),
    );
    check(
        "lone best prices prove nothing",
        &format!(
            "{live} 200  ticker 9  => None, Live 7
             9000  ticker 10       => None, Live 7
             18000 ticker 11       => None, Live 7"
        ),
    );
}

#[test]
fn failures_wait_longer_each_time_until_the_book_has_settled() {
    let (config, mut jitter) = (config(), Jitter::new(3));
    let mut sync = BookSync::default();
    let mut now = Nanos::ZERO;
    sync.stream_up(now);
    let mut waits = Vec::new();
    for _ in 0..12 {
        sync.fail(now, &config, &mut jitter);
        waits.push(sync.due().since(now).as_ms());
        now = sync.due();
    }
    assert_eq!(waits[0], 0, "the first failure starts again at once");
    for (failures, wait) in waits[1..].iter().enumerate() {
        let full = (100u64 << failures).min(20_000);
        assert!((full / 2..=full).contains(wait), "{waits:?}");
    }

    sync.grant_turn(now, &config);
    let _ = sync.diff(now, Source::new(0), 1, 2);
    sync.snapshot_requested();
    let _ = sync.snapshot(now, 1, &config, &mut jitter);
    assert_eq!(sync.state(), SyncState::Live);
    sync.fail(now.plus(SETTLED_AFTER), &config, &mut jitter);
    assert_eq!(sync.due(), now.plus(SETTLED_AFTER), "settled: at once");
}

#[test]
fn snapshots_that_are_always_too_old_give_the_window_up() {
    let (config, mut jitter) = (config(), Jitter::new(3));
    let mut sync = BookSync::default();
    sync.stream_up(Nanos::ZERO);
    sync.grant_turn(Nanos::ZERO, &config);
    let _ = sync.diff(Nanos::ZERO, Source::new(0), 10, 12);
    for attempt in 1..=SNAPSHOTS_TOO_OLD_MAX {
        sync.snapshot_requested();
        let step = sync.snapshot(Nanos::ZERO, 9, &config, &mut jitter);
        if attempt < SNAPSHOTS_TOO_OLD_MAX {
            assert_eq!(step, SnapshotStep::TooOld { first: 10 });
        } else {
            assert_eq!(step, SnapshotStep::GiveUp { first: 10 });
        }
    }
}

#[test]
#[should_panic(expected = "nobody waits for it")]
fn a_snapshot_that_nobody_waits_for_is_a_broken_caller() {
    let mut sync = BookSync::default();
    let _ = sync.snapshot(Nanos::ZERO, 9, &config(), &mut Jitter::new(0));
}
