//! The exchange on the synthetic flow, and on the same flow as recorded frames.

use super::*;
use crate::venue::flow::{SymbolProfile, SyntheticMarket};
use crate::venue::render;
use crate::venue::source::MarketSource;

const SECOND_US: u64 = 1_000_000;
const MINUTES: u64 = 5;

struct Synthetic(SyntheticMarket);

impl Liquidity for Synthetic {
    fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot {
        self.0.snapshot(symbol, limit)
    }
}

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
            (kind, render::depth_update("BTCUSDT", 1, ids, &bids, &asks))
        }
        MarketEvent::BookTicker {
            update_id,
            bid,
            ask,
        } => (
            "bookTicker",
            render::book_ticker("BTCUSDT", update_id, bid, ask),
        ),
        MarketEvent::Trade(trade) => ("trade", render::trade("BTCUSDT", 1, &trade)),
        other => return other,
    };
    let stream = format!("btcusdt@{kind}");
    MarketEvent::Recorded {
        frame: render::combined(&stream, payload.as_bytes()),
        stream,
    }
}

/// A quotes both sides of the touch each second; B takes now and then. What happened.
fn session(as_recorded: bool) -> Vec<Report> {
    let start = VenueMicros(1_700_000_000_000_000);
    let mut market = Synthetic(SyntheticMarket::new(7, start, &[SymbolProfile::btcusdt()]));
    let specs = market.0.symbols().to_vec();
    let mut exchange = Exchange::new(&config(), &specs);
    let totals = exchange.ledger.totals();
    let mut events = Vec::new();
    let mut due = Vec::new();
    for second in 1..=MINUTES * 60 {
        let now = VenueMicros(start.0 + second * SECOND_US);
        while let Some(at) = market.0.next_at().filter(|&at| at <= now) {
            market.0.advance(at, &mut due);
            for mut published in due.drain(..) {
                if as_recorded {
                    published.event = recorded(published.event);
                }
                exchange.public(published.at, &published, &market);
            }
        }
        let _ = exchange.cancel_all(now, A, SYMBOL, "c");
        let touch = market.snapshot(SYMBOL, 1);
        let quotes = [
            (OrderSide::Buy, touch.bids[0]),
            (OrderSide::Sell, touch.asks[0]),
        ];
        for (side, level) in quotes {
            let mut quote = order(OrderType::LimitMaker, side, "0.01", None);
            quote.price = Some(level.price);
            quote.client_order_id = format!("{second}{side:?}");
            // After A bought from a level, its own bid may stand where the public's ask does.
            let _ = exchange.place(now, A, quote, &market);
        }
        if second % 7 == 0 {
            let side = quotes[(second % 2) as usize].0;
            let mut order = market_order(side, second);
            order.qty = Quantity::Base(e8("0.02"));
            exchange.place(now, B, order, &market).expect("accepted");
        }
        assert_eq!(exchange.ledger.totals(), totals);
        exchange.take_events(&mut events);
    }
    let reports = events.into_iter().filter_map(|event| match event {
        Event::Report(report) => Some(*report),
        Event::Balances { .. } => None,
    });
    reports.collect()
}

fn market_order(side: OrderSide, second: u64) -> NewOrder {
    market(side, "1").named(&second.to_string())
}

#[test]
fn quotes_at_the_touch_are_filled_by_the_flow_whoever_published_it() {
    let typed = session(false);
    let fills = |account| {
        let trades = typed.iter().filter(move |report| {
            report.account == account && report.execution == Execution::Trade
        });
        trades.count() as u64
    };
    let quotes = typed
        .iter()
        .filter(|report| report.account == A && report.execution == Execution::New)
        .count() as u64;
    // Some quotes fill, in one part or in several, and others wait in vain behind what was there before them.
    assert!(fills(A) > MINUTES, "{} of {quotes}", fills(A));
    assert!(fills(A) < quotes, "{} of {quotes}", fills(A));
    assert!(fills(B) >= MINUTES * 60 / 7);
    assert!(typed == session(true), "frames say the same");
}
