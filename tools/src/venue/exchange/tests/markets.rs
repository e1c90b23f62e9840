//! The exchange on the venue's own markets: the synthetic flow, the same flow as recorded frames,
//! and a real recording.

use std::path::PathBuf;

use super::*;
use crate::venue::market::MarketConfig;
use crate::venue::recorded::{Recording, Speed};
use crate::venue::render;

const SECOND_US: u64 = 1_000_000;

/// What the event is as a frame of a recording.
fn recorded(event: MarketEvent) -> MarketEvent {
    let (kind, payload) = match event {
        MarketEvent::Depth {
            first_id,
            last_id,
            bids,
            asks,
            speed,
        } => {
            let kind = match speed {
                DepthSpeed::Ms100 => "depth@100ms",
                DepthSpeed::Ms1000 => "depth",
            };
            let ids = (first_id, last_id);
            let payload = render::depth_update("BTCUSDT", 1, ids, &bids, &asks);
            (kind, payload)
        }
        MarketEvent::BookTicker {
            update_id,
            bid,
            ask,
        } => {
            let payload = render::book_ticker("BTCUSDT", update_id, bid, ask);
            ("bookTicker", payload)
        }
        MarketEvent::Trade(trade) => ("trade", render::trade("BTCUSDT", 1, &trade)),
        MarketEvent::PartialDepth { .. }
        | MarketEvent::AggTrade { .. }
        | MarketEvent::Recorded { .. } => return event,
    };
    let stream = format!("btcusdt@{kind}");
    MarketEvent::Recorded {
        frame: render::combined(&stream, payload.as_bytes()),
        stream,
    }
}

/// An exchange on which A quotes both sides of the touch each second and B takes now and then.
struct Session {
    exchange: Exchange,
    totals: Vec<i128>,
    second: u64,
    reports: Vec<Report>,
}

impl Session {
    fn new(market: &Market) -> Self {
        let exchange = Exchange::new(&config(), market.symbols());
        Self {
            totals: exchange.ledger.totals(),
            exchange,
            second: 0,
            reports: Vec::new(),
        }
    }

    fn requote(&mut self, now: VenueMicros, market: &Market) {
        self.second += 1;
        let second = self.second;
        let canceled = self.exchange.cancel_all(now, A, SYMBOL, "c");
        assert!(canceled.is_ok() || self.exchange.open_orders(A, None).count() == 0);
        let touch = market.snapshot(SYMBOL, 1);
        let sides = [OrderSide::Buy, OrderSide::Sell];
        for (side, level) in sides.into_iter().zip([touch.bids[0], touch.asks[0]]) {
            let mut quote = order(OrderType::LimitMaker, side, "0.01", None);
            quote.price = Some(level.price);
            let quote = quote.named(&format!("{second}{side:?}"));
            let placed = self.exchange.place(now, A, quote, market);
            // The ticker may have gone through what the book still shows.
            assert!(matches!(placed, Ok(_) | Err(Refusal::WouldMatch)));
        }
        if second.is_multiple_of(7) {
            let taker = super::market(sides[(second % 2) as usize], "0.02");
            let taker = taker.named(&second.to_string());
            self.exchange
                .place(now, B, taker, market)
                .expect("accepted");
        }
        assert_eq!(self.exchange.ledger.totals(), self.totals);
        let mut events = Vec::new();
        self.exchange.take_events(&mut events);
        let reports = events.into_iter().filter_map(|event| match event {
            Event::Report(report) => Some(*report),
            Event::Balances { .. } => None,
        });
        self.reports.extend(reports);
    }

    /// Some quotes fill, and many wait in vain behind what was there before them.
    fn expect_some_fills(&self) {
        let quotes = self.reports.iter().filter(|report| report.account == A);
        let count = |execution, status| {
            let of = quotes
                .clone()
                .filter(|report| report.execution == execution && report.order.status == status);
            of.count()
        };
        let placed = count(Execution::New, OrderStatus::New);
        let filled = count(Execution::Trade, OrderStatus::Filled);
        let vain = count(Execution::Canceled, OrderStatus::Canceled);
        assert!(filled > placed / 10, "{filled} of {placed}");
        assert!(vain > placed / 10, "{vain} of {placed}");
        let taken = self
            .reports
            .iter()
            .filter(|report| report.account == B && report.order.status == OrderStatus::Filled);
        assert_eq!(taken.count() as u64, self.second / 7);
    }
}

fn synthetic(as_recorded: bool) -> Session {
    let start = VenueMicros(1_700_000_000_000_000);
    let config = MarketConfig::Synthetic {
        symbols: vec!["BTCUSDT".to_owned()],
        seed: 7,
    };
    let mut market = Market::open(&config, start).expect("known");
    let mut session = Session::new(&market);
    let mut due = Vec::new();
    for second in 1..=300 {
        let now = VenueMicros(start.0 + second * SECOND_US);
        while let Some(at) = market.next_at().filter(|&at| at <= now) {
            match &mut market {
                Market::Source(source) => source.advance(at, &mut due),
                Market::Recorded(_) | Market::Fed(_) => unreachable!("it is synthetic"),
            }
            for mut published in due.drain(..) {
                if as_recorded {
                    published.event = recorded(published.event);
                }
                session.exchange.public(published.at, &published, &market);
            }
        }
        session.requote(now, &market);
    }
    session
}

#[test]
fn quotes_at_the_touch_are_filled_by_the_flow_whoever_published_it() {
    let typed = synthetic(false);
    typed.expect_some_fills();
    assert!(
        typed.reports == synthetic(true).reports,
        "frames say the same"
    );
}

#[test]
fn a_real_recording_fills_quotes_too() {
    let Some(folder) = std::env::var_os("VELOZ_DATA_DIR") else {
        println!("skipped: VELOZ_DATA_DIR is not set");
        return;
    };
    let recording = Recording {
        files: vec![PathBuf::from(folder).join("spot/btcusdt_20240808.gz")],
        speed: Speed::Max,
        wait_for: None,
    };
    let config = MarketConfig::Recorded(recording);
    let mut now = VenueMicros(1_700_000_000_000_000);
    let mut market = Market::open(&config, now).expect("a capture");
    market.recorded().expect("recorded").release();
    let mut session = Session::new(&market);
    let mut frames = 0u64;
    while let Some(published) = market.recorded().and_then(|recorded| recorded.poll(now)) {
        now.0 += 1;
        session.exchange.public(now, &published, &market);
        frames += 1;
        // About a second of the recording.
        if frames.is_multiple_of(130) {
            session.requote(now, &market);
        }
    }
    assert!(session.second > 300, "{frames} frames");
    session.expect_some_fills();
}
