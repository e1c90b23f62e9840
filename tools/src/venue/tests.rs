//! The venue over real loopback, its clock in the test's hand: nothing here waits for time.

mod client;
mod desk;
mod faults;
mod fidelity;
mod recorded;
mod requests;
mod streams;
mod trading;

use std::time::Duration;

use super::scripted::{Script, level, usdt_symbol};
use super::source::{DepthSpeed, Level, MarketEvent, Snapshot, Trade, VenueMicros};
use super::{ClockMode, Venue, VenueConfig, VenueHandle};
use client::Client;

/// When every test begins: a whole minute, so that windows of request weight are at their start.
const START: VenueMicros = VenueMicros(1_700_000_040_000_000);

fn at_ms(ms: u64) -> VenueMicros {
    VenueMicros(START.0 + ms * 1_000)
}

fn config() -> VenueConfig {
    VenueConfig {
        plain_port: Some(0),
        clock: ClockMode::Manual(START),
        enforce_client_frames: false,
        ..VenueConfig::default()
    }
}

fn start(config: VenueConfig, script: Script) -> VenueHandle {
    Venue::start_with(config, |_| Box::new(script)).expect("loopback is free")
}

fn btc() -> Script {
    Script::new(vec![usdt_symbol("BTCUSDT")])
}

fn diff(first_id: u64, last_id: u64, bids: Vec<Level>, asks: Vec<Level>) -> MarketEvent {
    MarketEvent::Depth {
        speed: DepthSpeed::Ms100,
        first_id,
        last_id,
        bids,
        asks,
    }
}

fn book(last_update_id: u64, bids: Vec<Level>, asks: Vec<Level>) -> Snapshot {
    Snapshot {
        last_update_id,
        bids,
        asks,
    }
}

/// A script of diffs 100 ms apart, one id each, each with one bid.
fn diffs(count: u64) -> Script {
    let first = book(1_000, vec![level("100", "1")], vec![level("101", "1")]);
    (1..=count).fold(btc().book(START, 0, first), |script, n| {
        let id = 1_000 + n;
        let bids = vec![level("100", &format!("{n}"))];
        script.then(at_ms(n * 100), 0, diff(id, id, bids, vec![]))
    })
}

const MS_100: Duration = Duration::from_millis(100);
