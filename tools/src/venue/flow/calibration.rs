//! Holds the synthetic market against the figures of the recordings, and the shipped profiles
//! against the recordings themselves.

use super::measure::{Measure, Message, Observed, ObservedLevel, Statistics};
use super::{SymbolProfile, SyntheticMarket};
use crate::venue::source::{
    DepthSpeed, Level, MarketEvent, MarketSource, SymbolIndex, VenueMicros,
};

const START: VenueMicros = VenueMicros(1_723_161_254_000_000);

fn simulate(profile: &SymbolProfile, seed: u64, seconds: u64) -> Statistics {
    let mut market = SyntheticMarket::new(seed, START, std::slice::from_ref(profile));
    let spec = profile.spec();
    let level = |level: &Level| -> ObservedLevel {
        (level.price.0 / spec.tick.0, level.qty.0 / spec.lot.0)
    };
    let levels = |side: &[Level]| side.iter().map(level).collect::<Vec<_>>();
    let mut measure = Measure::default();
    let snapshot = market.snapshot(SymbolIndex(0), 5_000);
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
                    price: trade.price.0 / spec.tick.0,
                    qty: trade.qty.0 / spec.lot.0,
                },
                _ => continue,
            };
            measure.observe(&Observed {
                at_ns: published.at.0 * 1_000,
                message,
            });
        }
    }
    measure.finish().expect("every kind occurs")
}

#[test]
fn message_rates_are_those_of_the_recordings() {
    for profile in [SymbolProfile::btcusdt(), SymbolProfile::ethusdt()] {
        let (real, simulated) = (&profile.measured, simulate(&profile, 1, 650));
        let rates = |of: &Statistics| {
            [of.depth_count, of.ticker_count, of.trade_count]
                .map(|count| count * 1_000_000_000 / of.duration_us)
        };
        for (real, simulated) in rates(real).into_iter().zip(rates(&simulated)) {
            assert!(real.abs_diff(simulated) * 10 <= real, "{real} {simulated}");
        }
    }
}
