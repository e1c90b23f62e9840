//! The dead-man's thread over real sockets: a heartbeat that stops, and a venue that matches.
//!
//! Nothing here measures: each step waits for what the dead-man reports.

#[path = "support/trader.rs"]
mod trader;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use trader::{Exchange, Trader};
use veloz::canceller::{CancellerConfig, Notice, Scope};
use veloz::dead_man::{DeadMan, DeadManConfig, Report};
use veloz_core::edge::clock::Clock;
use veloz_core::units::Nanos;
use veloz_core::venue::binance::order_entry::{ApiKey, ClientOrderIds, Credentials};
use veloz_core::wire::sign::Signer;

/// Only something that is broken takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

fn wait_for(
    reports: &Receiver<Report>,
    what: &str,
    wanted: impl Fn(&Report) -> bool,
) -> Vec<Report> {
    let mut seen = Vec::new();
    loop {
        match reports.recv_timeout(PATIENCE) {
            Ok(report) => {
                let found = wanted(&report);
                seen.push(report);
                if found {
                    return seen;
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout | mpsc::RecvTimeoutError::Disconnected) => {
                panic!("no {what} after {seen:?}")
            }
        }
    }
}

/// Request weight that these reports tell of.
fn weight(reports: &[Report]) -> u32 {
    let spent = reports.iter().map(|report| match report {
        Report::Spent { weight } => *weight,
        Report::Ready(_) | Report::Stuck { .. } | Report::Notice(_) | Report::Back { .. } => 0,
    });
    spent.sum()
}

#[test]
fn a_core_that_stops_loses_its_orders_and_gets_the_venue_back() {
    let exchange = Exchange::start();
    let mut trader = Trader::new(&exchange);
    trader.bid("BTCUSDT", "vz-mm1_1_1");
    trader.bid("ETHUSDT", "vz-mm1_1_2");
    trader.bid("BTCUSDT", "web-1");

    let text = |name: &str| std::fs::read_to_string(exchange.key(name)).expect("a key file");
    let credentials = Credentials {
        api_key: ApiKey::new(text("api_key").trim()).expect("a key"),
        signer: Signer::from_pem(text("ed25519.pem").as_bytes()).expect("a key"),
    };
    let clock = Clock::kernel();
    let turns = Arc::new(AtomicBool::new(true));
    let stuck_at = Arc::new(std::sync::Mutex::new(Nanos::ZERO));
    let heartbeat = {
        let (turns, stuck_at) = (Arc::clone(&turns), Arc::clone(&stuck_at));
        move || {
            let mut last = stuck_at.lock().expect("not poisoned");
            if turns.load(Ordering::Acquire) {
                *last = clock.now();
            }
            *last
        }
    };
    let (sender, reports) = mpsc::channel();
    let dead_man = DeadMan::start(
        DeadManConfig {
            bound: Nanos::from_ms(200),
            canceller: CancellerConfig {
                scope: Scope::Instance(ClientOrderIds::new("mm1").expect("legal")),
                symbol: None,
                recv_window_ms: 5_000,
                answer_max: Nanos::from_secs(10),
                settle: Nanos::from_ms(200),
                backoff_base: Nanos::from_ms(50),
                backoff_max: Nanos::from_secs(1),
                seed: 1,
            },
            core_cpu: None,
        },
        credentials,
        exchange.endpoint(),
        clock,
        heartbeat,
        move |report| {
            // The test may be over.
            let _ = sender.send(report);
        },
    )
    .expect("a thread");

    let seen = wait_for(&reports, "connection", |report| {
        *report == Report::Ready(true)
    });
    assert_eq!(trader.open().len(), 3, "the core turns");
    let warm = weight(&seen);
    assert!(warm >= 5, "the connection, the time and the log-on: {warm}");

    turns.store(false, Ordering::Release);
    let seen = wait_for(&reports, "end of the sweep", |report| {
        *report == Report::Notice(Notice::Clean { cancelled: 2 })
    });
    let first = seen
        .iter()
        .find(|report| !matches!(report, Report::Spent { .. }));
    assert!(matches!(first, Some(Report::Stuck { .. })), "{seen:?}");
    assert_eq!(trader.open(), ["web-1"]);
    assert!(weight(&seen) >= 162, "two lists and two cancels: {seen:?}");

    turns.store(true, Ordering::Release);
    wait_for(&reports, "return", |report| {
        matches!(report, Report::Back { .. })
    });
    trader.bid("BTCUSDT", "vz-mm1_1_3");
    assert_eq!(trader.open().len(), 2);

    // Its connection is lost and comes back before the core stops once more.
    assert!(exchange.venue.inject_on(
        veloz::venue::Fault::SessionRevoked,
        veloz::venue::Surface::Api
    ));
    wait_for(&reports, "loss", |report| *report == Report::Ready(false));
    wait_for(&reports, "connection", |report| {
        *report == Report::Ready(true)
    });
    turns.store(false, Ordering::Release);
    wait_for(&reports, "end of the sweep", |report| {
        *report == Report::Notice(Notice::Clean { cancelled: 1 })
    });
    assert_eq!(trader.open(), ["web-1"]);
    dead_man.stop();
}
