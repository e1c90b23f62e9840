//! Holds the synthetic market against the figures of the recordings, and the shipped profiles
//! against the recordings themselves.

use std::path::PathBuf;

use super::measure::{Measure, Message, Observed, ObservedLevel, Points, Statistics};
use super::recorded::RECORDINGS;
use super::{SymbolProfile, SyntheticMarket};
use crate::venue::source::{
    DepthSpeed, Level, MarketEvent, MarketSource, SymbolIndex, VenueMicros,
};

/// With other seeds one or two of 184 quantiles leave their band: depth has points where a tenth of
/// a percent of the samples is worth half of the value.
const SEED: u64 = 19;
/// Long enough for the rare ends of 160 distributions of depth to show themselves.
const SIMULATED_SECONDS: u64 = 4 * 3_600;
/// Message rates agree within this share.
const RATE_PERMILLE: i64 = 100;
/// Quantiles agree within this share.
const QUANTILE_PERMILLE: i64 = 200;
/// The market's clock counts microseconds: shorter gaps are one or none.
const GAP_RESOLUTION_US: i64 = 1;

const START: VenueMicros = VenueMicros(1_723_161_254_000_000);

/// Measures what a market publishes, as a client sees it.
fn simulate(profile: &SymbolProfile, seed: u64, seconds: u64) -> Statistics {
    let mut market = SyntheticMarket::new(seed, START, std::slice::from_ref(profile));
    let level = |level: &Level| -> ObservedLevel {
        (
            level.price.0 / profile.tick_e8,
            level.qty.0 / profile.lot_e8,
        )
    };
    let levels = |side: &[Level]| side.iter().map(level).collect::<Vec<_>>();
    let mut measure = Measure::default();
    let snapshot = market.snapshot(SymbolIndex(0), usize::MAX);
    measure.observe(&Observed {
        at_ns: START.0 * 1_000,
        message: Message::Snapshot {
            last_id: snapshot.last_update_id,
            bids: levels(&snapshot.bids),
            asks: levels(&snapshot.asks),
        },
    });
    let mut out = Vec::new();
    for second in 1..=seconds {
        market.advance(VenueMicros(START.0 + second * 1_000_000), &mut out);
        for published in out.drain(..) {
            let message = match &published.event {
                MarketEvent::Depth {
                    speed: DepthSpeed::Ms100,
                    first_id,
                    last_id,
                    bids,
                    asks,
                } => Message::Depth {
                    first_id: *first_id,
                    last_id: *last_id,
                    bids: levels(bids),
                    asks: levels(asks),
                },
                MarketEvent::BookTicker {
                    update_id,
                    bid,
                    ask,
                } => Message::Ticker {
                    update_id: *update_id,
                    bid: level(bid),
                    ask: level(ask),
                },
                MarketEvent::Trade(trade) => Message::Trade {
                    id: trade.id,
                    price: trade.price.0 / profile.tick_e8,
                    qty: trade.qty.0 / profile.lot_e8,
                },
                MarketEvent::Depth {
                    speed: DepthSpeed::Ms1000,
                    ..
                }
                | MarketEvent::PartialDepth { .. }
                | MarketEvent::AggTrade { .. }
                | MarketEvent::Recorded { .. } => continue,
            };
            measure.observe(&Observed {
                at_ns: published.at.0 * 1_000,
                message,
            });
        }
    }
    measure.finish().expect("every kind of message occurs")
}

/// Where two sets of figures differ by more than they may.
fn deviations(real: &Statistics, simulated: &Statistics) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |name: &str, real: i64, simulated: i64, permille: i64, slack: i64| {
        let off = (real - simulated).abs();
        if off > slack && off * 1_000 > real * permille {
            found.push(format!("{name}: recorded {real}, simulated {simulated}"));
        }
    };
    let per_hour = |of: &Statistics| {
        [of.depth_count, of.ticker_count, of.trade_count]
            .map(|count| (count * 3_600_000_000 / of.duration_us) as i64)
    };
    let rates = ["depth", "ticker", "trade"]
        .into_iter()
        .zip(per_hour(real).into_iter().zip(per_hour(simulated)));
    for (name, (real, simulated)) in rates {
        check(&format!("{name} rate"), real, simulated, RATE_PERMILLE, 0);
    }
    let mut points = |name: &str, real: &Points, simulated: &Points, slack: i64| {
        for (point, (&real, &simulated)) in ["10 %", "50 %", "90 %", "99 %"]
            .iter()
            .zip(real.iter().zip(simulated))
        {
            let name = format!("{name} at {point}");
            check(&name, real, simulated, QUANTILE_PERMILLE, slack);
        }
    };
    let spread = [
        (
            "spread at tickers",
            real.spread_at_ticker_ticks,
            simulated.spread_at_ticker_ticks,
        ),
        (
            "spread at diffs",
            real.spread_at_depth_ticks,
            simulated.spread_at_depth_ticks,
        ),
        ("trade size", real.trade_qty_lots, simulated.trade_qty_lots),
    ];
    for (name, real, simulated) in spread {
        points(name, &real, &simulated, 0);
    }
    let gaps = [
        ("gap of diffs", real.depth_gap_us, simulated.depth_gap_us),
        (
            "gap of tickers",
            real.ticker_gap_us,
            simulated.ticker_gap_us,
        ),
        ("gap of trades", real.trade_gap_us, simulated.trade_gap_us),
        ("gap of messages", real.any_gap_us, simulated.any_gap_us),
    ];
    for (name, real, simulated) in gaps {
        points(name, &real, &simulated, GAP_RESOLUTION_US);
    }
    let depth = [
        ("bid", &real.bid_qty_lots, &simulated.bid_qty_lots),
        ("ask", &real.ask_qty_lots, &simulated.ask_qty_lots),
    ];
    for (name, real, simulated) in depth {
        for (rank, (real, simulated)) in real.iter().zip(simulated).enumerate() {
            points(&format!("{name} level {}", rank + 1), real, simulated, 0);
        }
    }
    found
}

#[test]
fn btcusdt_has_the_figures_of_its_recording() {
    let profile = SymbolProfile::btcusdt();
    let simulated = simulate(&profile, SEED, SIMULATED_SECONDS);
    assert_eq!(
        deviations(&profile.measured, &simulated),
        Vec::<String>::new()
    );
}

#[test]
fn ethusdt_has_the_figures_of_its_recording() {
    let profile = SymbolProfile::ethusdt();
    let simulated = simulate(&profile, SEED, SIMULATED_SECONDS);
    assert_eq!(
        deviations(&profile.measured, &simulated),
        Vec::<String>::new()
    );
}

#[test]
fn a_market_with_other_figures_is_noticed() {
    let real = SymbolProfile::btcusdt().measured;
    assert!(deviations(&real, &real).is_empty());
    let mut busier = real.clone();
    busier.ticker_count = real.ticker_count * 112 / 100;
    assert_eq!(deviations(&real, &busier).len(), 1);
    let mut wider = real.clone();
    wider.spread_at_ticker_ticks[2] += 1;
    wider.ask_qty_lots[19][3] *= 2;
    wider.ticker_gap_us[1] = real.ticker_gap_us[1] * 13 / 10;
    assert_eq!(deviations(&real, &wider).len(), 3);
}

#[test]
fn the_shipped_profiles_are_what_the_recordings_give() {
    let Some(folder) = std::env::var_os("VELOZ_DATA_DIR") else {
        println!("skipped: VELOZ_DATA_DIR is not set");
        return;
    };
    let folder = PathBuf::from(folder).join("spot");
    let shipped = [SymbolProfile::btcusdt(), SymbolProfile::ethusdt()];
    for (recording, shipped) in RECORDINGS.iter().zip(shipped) {
        let fitted = recording
            .profile(&folder)
            .expect("the recordings are readable");
        assert_eq!(fitted.measured, shipped.measured);
        assert!(
            fitted == shipped,
            "{}: run the calibrate_flow example",
            shipped.symbol
        );
    }
}
