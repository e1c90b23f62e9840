//! The strategies on recorded books: they quote and trade, and keep within their bounds.
//!
//! Orders here rest at once and fill when the best price of the other side passes them, without a queue:
//! what is tested is what a strategy does on real books, not what it would have earned. Needs
//! `VELOZ_DATA_DIR`; says so and passes without it.

use flate2::read::GzDecoder;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use veloz_core::book::{Book, Side as BookSide};
use veloz_core::instrument::{Bounds, Instrument, InstrumentIndex, OrderRules, Symbol};
use veloz_core::limits::{BOOK_FAR_LEVELS_MAX, BOOK_WINDOW_TICKS};
use veloz_core::order::{OrderId, OrderKind, OrderState, Origin, Side};
use veloz_core::risk::TradingState;
use veloz_core::strategy::{
    Action, Actions, Configured, Funnel, ImbalanceConfig, LiveBook, MarketMakerConfig, OwnOrder,
    OwnOrders, Quote, Stage, Strategy, StrategyConfig, View, Wish,
};
use veloz_core::units::{E8, E8_ONE, Grid, Lots, Nanos, Ticks};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    data: Option<Diff<'a>>,
    #[serde(rename = "lastUpdateId")]
    last_update_id: Option<u64>,
    #[serde(borrow, default)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow, default)]
    asks: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
struct Diff<'a> {
    u: u64,
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
}

const CENT: E8 = E8(1_000_000);

/// One instrument that a strategy trades on a recorded book.
struct Desk {
    rules: Instrument,
    book: Book,
    strategy: Configured,
    position: i64,
    worst: i64,
    own: Vec<OwnOrder>,
    sequence: u32,
    funnel: Funnel,
    fills: [u32; 2],
}

impl Desk {
    fn new(config: &StrategyConfig) -> Self {
        let symbol = |text| Symbol::new(text).expect("short");
        Self {
            rules: Instrument {
                symbol: symbol("RECORDED"),
                base: symbol("BASE"),
                quote: symbol("USDT"),
                tick: Grid::new(CENT).expect("positive"),
                lot: Grid::new(E8(1)).expect("positive"),
                price_bounds: Bounds {
                    min: None,
                    max: None,
                },
                qty_bounds: Bounds {
                    min: None,
                    max: None,
                },
                notional_min: Some(E8(5 * E8_ONE)),
                notional_max: None,
                order_rules: OrderRules {
                    qty_step: Lots(1_000),
                    ..OrderRules::UNRESTRICTED
                },
                trading: true,
            },
            book: Book::new(BOOK_WINDOW_TICKS, BOOK_FAR_LEVELS_MAX),
            strategy: Configured::new(config, 1).expect("legal"),
            position: 0,
            worst: 0,
            own: Vec::new(),
            sequence: 0,
            funnel: Funnel::new(),
            fills: [0; 2],
        }
    }

    fn apply(&mut self, side: BookSide, levels: &[[&str; 2]]) {
        for [price, qty] in levels {
            let price = self
                .rules
                .tick
                .parse(price.as_bytes())
                .expect("on the grid");
            let qty = self.rules.lot.parse(qty.as_bytes()).expect("on the grid");
            self.book.set(side, Ticks(price), Lots(qty)).expect("room");
        }
    }

    fn touch(&self) -> [Ticks; 2] {
        BookSide::ALL.map(|side| self.book.best(side).expect("a side with levels").price)
    }

    fn look(&mut self, now: Nanos) {
        self.fill();
        let mut actions = Actions::new();
        let view = View {
            now,
            instrument: InstrumentIndex(0),
            rules: &self.rules,
            book: Some(LiveBook {
                book: &self.book,
                updated_at: now,
            }),
            position: E8(self.position),
            own: OwnOrders::listed(&self.own),
            trading: TradingState::Active,
        };
        self.strategy.on_book(&view, &mut actions);
        self.funnel.count_look(&actions);
        for action in actions.as_slice() {
            match *action {
                Action::Place(quote) => self.place(quote),
                Action::Replace { order, price, qty } => {
                    let old = self
                        .own
                        .iter()
                        .position(|own| own.id == order)
                        .expect("open");
                    let old = self.own.remove(old);
                    self.place(Quote {
                        side: old.side,
                        kind: OrderKind::LimitMaker,
                        time_in_force: veloz_core::order::TimeInForce::Gtc,
                        price,
                        qty,
                        self_trade_prevention: self.rules.order_rules.self_trade_prevention,
                    });
                }
                Action::Cancel(order) => self.own.retain(|own| own.id != order),
                Action::Amend { .. } => panic!("no strategy here amends"),
            }
        }
    }

    fn place(&mut self, quote: Quote) {
        let [bid, ask] = self.touch();
        match (quote.kind, quote.side) {
            (OrderKind::LimitMaker, Side::Buy) => assert!(quote.price < ask),
            (OrderKind::LimitMaker, Side::Sell) => assert!(quote.price > bid),
            (OrderKind::Limit, Side::Buy) => assert_eq!(quote.price, ask),
            (OrderKind::Limit, Side::Sell) => assert_eq!(quote.price, bid),
            (OrderKind::Market, Side::Buy | Side::Sell) => panic!("no market orders"),
        }
        self.sequence += 1;
        self.own.push(OwnOrder {
            id: OrderId {
                run: 1,
                sequence: self.sequence,
            },
            origin: Origin::Strategy,
            side: quote.side,
            price: quote.price,
            qty: quote.qty,
            remaining: quote.qty,
            state: OrderState::Live,
        });
        self.fill();
        assert!(self.own.len() <= 2, "one quote of a side");
    }

    fn fill(&mut self) {
        let [bid, ask] = self.touch();
        let (filled, open) = self.own.iter().partition(|own| match own.side {
            Side::Buy => own.price >= ask,
            Side::Sell => own.price <= bid,
        });
        self.own = open;
        let filled: Vec<OwnOrder> = filled;
        for own in filled {
            self.position += own.side.sign() * own.remaining.0;
            self.worst = self.worst.max(self.position.abs());
            self.fills[own.side.index()] += 1;
        }
    }
}

/// Runs a strategy through recorded files; `None` where there are none.
fn run(config: &StrategyConfig, files: &[&str]) -> Option<Desk> {
    let Some(dir) = std::env::var_os("VELOZ_DATA_DIR").map(PathBuf::from) else {
        eprintln!("skipped: VELOZ_DATA_DIR does not say where the captures are");
        return None;
    };
    let mut desk = Desk::new(config);
    let mut snapshot_id = None;
    for file in files {
        replay(&mut desk, &dir.join(file), &mut snapshot_id);
    }
    Some(desk)
}

fn replay(desk: &mut Desk, path: &Path, snapshot_id: &mut Option<u64>) {
    let file = File::open(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let line = line.expect("a capture is text");
        if !line.contains("depthUpdate") && !line.contains("lastUpdateId") {
            continue;
        }
        let (at, json) = line.split_once(' ').expect("time, space, message");
        let at = Nanos(at.parse().expect("a time"));
        let line: Line<'_> = serde_json::from_str(json).expect("a recorded message");
        if let Some(id) = line.last_update_id {
            desk.apply(BookSide::Bid, &line.bids);
            desk.apply(BookSide::Ask, &line.asks);
            *snapshot_id = Some(id);
        }
        if let (Some(diff), Some(id)) = (line.data, *snapshot_id)
            && diff.u > id
        {
            desk.apply(BookSide::Bid, &diff.b);
            desk.apply(BookSide::Ask, &diff.a);
            desk.look(at);
        }
    }
}

const SESSIONS: [&[&str]; 2] = [
    &["spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"],
    &["spot/ethusdt_20240808.gz"],
];

/// The bound in base: so many orders of 200 at the price now, and what the price moved since they were
/// sized.
fn bound(desk: &Desk, orders: i64) -> i64 {
    let price_e8 = i128::from(desk.touch()[0].0) * i128::from(CENT.0);
    let one = 200 * i128::from(E8_ONE) * i128::from(E8_ONE) / price_e8;
    orders * (one * 102 / 100) as i64
}

#[test]
fn the_market_maker_quotes_and_fills_on_recorded_books() {
    for files in SESSIONS {
        let config = MarketMakerConfig::default();
        let Some(desk) = run(&StrategyConfig::MarketMaker(config), files) else {
            return;
        };
        assert!(
            desk.fills.iter().all(|&fills| fills >= 5),
            "{:?}",
            desk.fills
        );
        assert!(desk.worst <= bound(&desk, config.inventory_max_quotes.into()));
        let looks = desk.funnel.stage(Stage::Looks);
        let requests = desk.funnel.wishes(Wish::Place) + desk.funnel.wishes(Wish::Replace);
        // Diffs come ten times a second, and a side asks once in two seconds at most.
        assert!(requests <= looks / 10 + 2, "{requests} of {looks}");
    }
}

#[test]
fn the_imbalance_taker_trades_both_ways_on_recorded_books() {
    for files in SESSIONS {
        let config = ImbalanceConfig::default();
        let Some(desk) = run(&StrategyConfig::Imbalance(config), files) else {
            return;
        };
        assert!(
            desk.fills.iter().all(|&fills| fills >= 10),
            "{:?}",
            desk.fills
        );
        assert!(desk.worst <= bound(&desk, config.position_max_orders.into()));
    }
}
