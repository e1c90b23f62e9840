//! The engine against a venue in virtual time that does everything wrong that a venue can.
//!
//! Whenever a book is live it equals the venue's at its update id; when the venue has come to its
//! senses every book is live again; and no limit of the venue is ever passed. The seed of a failing
//! run is in its message; `VELOZ_SIM_SEED` runs that one alone, `VELOZ_SIM_RUNS` as many as it says.

#[path = "support/exchange.rs"]
mod exchange;

use exchange::{Faults, World, pick, replay};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use veloz_core::config::EngineConfig;
use veloz_core::event::{Command, Event, LinkDown, LinkId, LinkRole, PayloadBuf};
use veloz_core::jitter::Jitter;
use veloz_core::outbox::Outbox;
use veloz_core::telemetry::records::{EngineState, RecordBody};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::fault::VenueFault;
use veloz_core::venue::binance::rate::{SHARE_PERCENT, snapshot_plan};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs `one` for many seeds and names the seed that fails.
fn for_seeds(runs: u64, one: impl Fn(u64)) {
    let seeds = match number("VELOZ_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("VELOZ_SIM_RUNS").unwrap_or(runs),
    };
    for seed in seeds {
        if let Err(why) = catch_unwind(AssertUnwindSafe(|| one(seed))) {
            eprintln!("seed {seed} fails; VELOZ_SIM_SEED={seed} runs it alone");
            resume_unwind(why);
        }
    }
}

/// A few kinds of faults for each seed, so that each is met alone and in company.
fn some_faults(rng: &mut Jitter) -> Faults {
    let mut rate = |often: u64| match pick(rng, 3) {
        0 => often + pick(rng, often),
        _ => 0,
    };
    Faults {
        drop: rate(60),
        duplicate: rate(30),
        reorder: rate(60),
        unreadable: rate(60),
        crossed: rate(40),
        giant: rate(400),
        link_down: rate(60),
        link_silent: rate(150),
        stream_dead: rate(150),
        server_shutdown: rate(80),
        ids_reset: rate(400),
        stale_snapshot: rate(3),
        reply_lost: rate(5),
        refused: rate(6),
        rate_limited: rate(12),
        banned: rate(25),
        connect_refused: rate(4),
        subscribe_refused: rate(4),
    }
}

fn config(rng: &mut Jitter) -> EngineConfig {
    let mut config = EngineConfig::default();
    config.requests.weight_per_minute = [600, 1_200, 6_000][pick(rng, 3) as usize];
    config.links.rotate_after = Nanos::from_secs(6 + pick(rng, 60));
    config.links.rotate_jitter = Nanos::from_secs(3);
    config
}

#[test]
fn every_live_book_is_right_whatever_goes_wrong() {
    let mut met = vec![0u64; VenueFault::ALL.len()];
    let met_cell = std::cell::RefCell::new(&mut met);
    for_seeds(250, |seed| {
        let mut rng = Jitter::new(seed);
        let config = config(&mut rng);
        let instruments = 1 + pick(&mut rng, 3) as usize;
        let latency_max = Nanos::from_ms(1 + pick(&mut rng, 120));
        let mut world = World::new(seed, instruments, config, latency_max);
        world.faults = some_faults(&mut rng);
        world.run_until(Nanos::from_secs(12));

        // The venue comes to its senses; what it broke before, we have to notice.
        world.faults = Faults::default();
        world.step_every = Nanos::from_ms(250);
        let until = world.now.plus(Nanos::from_secs(600));
        assert!(
            world.run_until_live(until),
            "not every book is live after ten quiet minutes: {:?}",
            world.records.iter().rev().take(40).collect::<Vec<_>>()
        );
        for kind in VenueFault::ALL {
            met_cell.borrow_mut()[kind as usize] += world.reader.counters.faults(kind as u8);
        }
        world.shut_down();
        let last = world.records.last().expect("records").body;
        assert!(matches!(last, RecordBody::Shutdown { .. }), "{last:?}");
        for (position, record) in world.records.iter().enumerate() {
            assert_eq!(record.sequence, position as u64, "no record is lost");
        }
        if seed % 16 == 0 {
            let mut config = config;
            config.seed = seed;
            let (records, actions) = replay(config, instruments, &world.log);
            assert!(records == world.records, "a replay makes the same records");
            assert!(actions == world.actions, "a replay makes the same actions");
        }
    });
    if number("VELOZ_SIM_SEED").is_none() && number("VELOZ_SIM_RUNS").is_none() {
        for kind in [
            VenueFault::SequenceGap,
            VenueFault::IdWentBack,
            VenueFault::SnapshotTooOld,
            VenueFault::ReplyTimeout,
            VenueFault::CrossedBook,
            VenueFault::StreamBehind,
            VenueFault::SubscribeRefused,
            VenueFault::RequestRefused,
            VenueFault::RateLimited,
            VenueFault::Banned,
            VenueFault::Malformed,
            VenueFault::NumberSyntax,
        ] {
            assert!(met[kind as usize] > 0, "{} never happened", kind.label());
        }
    }
}

#[test]
fn a_rotation_loses_nothing() {
    for_seeds(30, |seed| {
        let mut config = EngineConfig::default();
        config.links.rotate_after = Nanos::from_secs(5);
        config.links.rotate_jitter = Nanos::from_secs(1);
        let mut world = World::new(seed, 2, config, Nanos::from_ms(80));
        assert!(world.run_until_live(Nanos::from_secs(5)));
        let resyncs = |world: &World| {
            world
                .records
                .iter()
                .filter(|record| matches!(record.body, RecordBody::Resync { .. }))
                .count()
        };
        let until = Nanos::from_secs(60);
        while world.now < until {
            world.run_until(world.now.plus(Nanos::from_ms(10)));
            assert_eq!(world.live_count(), 2, "at {:?}", world.now);
        }
        assert_eq!(resyncs(&world), 0);
        let ups = world
            .records
            .iter()
            .filter(|record| matches!(record.body, RecordBody::LinkUp { .. }))
            .count();
        assert!(ups >= 12, "{ups} links in a minute: they rotated");
        for kind in VenueFault::ALL {
            assert_eq!(world.reader.counters.faults(kind as u8), 0, "{kind:?}");
        }
    });
}

/// Events that no venue and no edge would send, in any order: nothing panics, and what the engine
/// asks for stays within the outbox.
#[test]
fn no_order_of_events_is_too_much() {
    let texts = [
        "",
        "{",
        "[]",
        "{\"result\":null,\"id\":1}",
        "{\"result\":null,\"id\":2}",
        "{\"error\":{\"code\":2,\"msg\":\"no\"},\"id\":1}",
        "{\"id\":3,\"status\":200,\"result\":{\"serverTime\":18446744073709551615}}",
        "{\"id\":4,\"status\":200,\"result\":{\"serverTime\":0}}",
        "{\"id\":4,\"status\":200,\"result\":{\"lastUpdateId\":0,\"bids\":[],\"asks\":[]}}",
        "{\"id\":5,\"status\":200,\"result\":{\"lastUpdateId\":18446744073709551615,\"bids\":[],\"asks\":[]}}",
        "{\"id\":6,\"status\":418,\"error\":{\"code\":-1003,\"msg\":\"no\",\"data\":{\"serverTime\":1,\"retryAfter\":18446744073709551615}}}",
        "{\"id\":null,\"status\":429,\"error\":{\"code\":-1003,\"msg\":\"no\",\"data\":{\"serverTime\":1,\"retryAfter\":1}}}",
        "{\"id\":7,\"status\":200,\"result\":{},\"rateLimits\":[{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":4294967295,\"count\":4294967295}]}",
        "{\"stream\":\"!serverShutdown\",\"data\":{\"e\":\"serverShutdown\",\"E\":1}}",
        "{\"stream\":\"s0usdt@bookTicker\",\"data\":{\"u\":18446744073709551615,\"s\":\"S0USDT\",\"b\":\"1.0\",\"B\":\"1.0\",\"a\":\"2.0\",\"A\":\"1.0\"}}",
        "{\"stream\":\"s0usdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":18446744073709551615,\"s\":\"S0USDT\",\"U\":0,\"u\":18446744073709551615,\"b\":[],\"a\":[]}}",
        "{\"stream\":\"s0usdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"S0USDT\",\"U\":0,\"u\":0,\"b\":[],\"a\":[]}}",
        "{\"stream\":\"s0usdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"S0USDT\",\"U\":1,\"u\":9,\"b\":[[\"5.00\",\"1\"]],\"a\":[[\"4.00\",\"1\"]]}}",
    ];
    for_seeds(300, |seed| {
        let mut rng = Jitter::new(seed);
        let (mut engine, mut reader) = exchange::engine(config(&mut rng), &exchange::symbols(1));
        let mut out = Outbox::new();
        let mut now = Nanos::ZERO;
        for _ in 0..400 {
            let role = LinkRole::ALL[pick(&mut rng, 2) as usize];
            let link = LinkId {
                role,
                generation: pick(&mut rng, 8) as u32,
            };
            let buf =
                PayloadBuf::new(texts[pick(&mut rng, texts.len() as u64) as usize].as_bytes());
            let event = match pick(&mut rng, 12) {
                0..=1 => Event::LinkUp { link },
                2 => Event::LinkDown {
                    link,
                    cause: LinkDown::ALL[pick(&mut rng, 12) as usize],
                },
                3 => Event::Backlog(pick(&mut rng, 2) == 0),
                4 => Event::WallClock {
                    unix_ns_at_zero: [i64::MIN, -1, 0, i64::MAX][pick(&mut rng, 4) as usize],
                },
                5..=8 => Event::Message {
                    link,
                    payload: buf.payload(),
                },
                _ => Event::Tick,
            };
            engine.handle(now, event, &mut out);
            out.clear();
            while reader.records.pop().is_some() {}
            now = match pick(&mut rng, 20) {
                0 => now.plus(rng.below(Nanos::from_secs(90))),
                _ => now.plus(rng.below(Nanos::from_ms(200))),
            };
        }
        // Long after, nothing overflows either. (No deadline reaches the very last nanosecond.)
        for event in [Event::Tick, Event::Command(Command::Shutdown), Event::Tick] {
            engine.handle(Nanos(u64::MAX - 1), event, &mut out);
            out.clear();
        }
        assert_eq!(engine.next_deadline(), None);
    });
}

#[test]
fn sixty_four_books_resync_within_one_minutes_weight() {
    let config = EngineConfig::default();
    assert_eq!(snapshot_plan(64, 6_000), 1_000);
    let mut world = World::new(7, 64, config, Nanos::from_ms(150));
    world.step_every = Nanos::from_ms(500);
    let started = world.now;
    assert!(world.run_until_live(Nanos::from_secs(60)));
    let first = world.now.since(started);

    // All of them again, in a minute that is all theirs.
    world.run_until(Nanos::from_secs(130));
    world.cut(LinkRole::Market);
    assert_eq!(world.live_count(), 0, "at once");
    let cut = world.now;
    assert!(world.run_until_live(cut.plus(Nanos::from_secs(60))));
    let again = world.now.since(cut);
    eprintln!(
        "64 books live after {} ms, again {} ms after a cut; weight by minute {:?}",
        first.as_ms(),
        again.as_ms(),
        world.weight_by_minute.values().collect::<Vec<_>>()
    );
    assert_eq!(world.snapshots_served, 128);
    assert_eq!(world.engine.state(), EngineState::Ready);
    let share = config.requests.weight_per_minute * SHARE_PERCENT / 100;
    for used in world.weight_by_minute.values() {
        assert!(*used <= share, "{used}");
    }
}
