//! Random orders, cancels, amendments and public flow against what must always hold.
//!
//! Every call ends in [`Stage::audit`]: sums kept, locks equal to what open orders hold, nothing
//! negative, the book and the accounts agree, events in order. Here: price-time priority, limits,
//! and that no public quantity is used twice.

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Place(Ask),
    Cancel {
        position: usize,
    },
    Amend {
        position: usize,
        percent: i64,
    },
    Replace {
        position: usize,
        ask: Ask,
    },
    ExpireAll {
        account: usize,
    },
    Level {
        side: OrderSide,
        tick: i64,
        qty: i64,
    },
    Print {
        aggressor: OrderSide,
        tick: i64,
        qty: i64,
    },
    Ticker,
    Status {
        status: SymbolStatus,
    },
}

#[derive(Clone, Debug)]
struct Ask {
    account: usize,
    side: OrderSide,
    kind: Kind,
    tick: i64,
    qty: i64,
    stp: StpMode,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Limit(TimeInForce),
    Maker,
    Market,
    MarketQuote,
}

impl Ask {
    fn order(&self) -> NewOrder {
        let price =
            (!matches!(self.kind, Kind::Market | Kind::MarketQuote)).then(|| price(self.tick));
        let (kind, time_in_force) = match self.kind {
            Kind::Limit(time_in_force) => (OrderType::Limit, time_in_force),
            Kind::Maker => (OrderType::LimitMaker, TimeInForce::Gtc),
            Kind::Market | Kind::MarketQuote => (OrderType::Market, TimeInForce::Gtc),
        };
        NewOrder {
            symbol: SYMBOL,
            side: self.side,
            kind,
            time_in_force,
            price,
            qty: match self.kind {
                Kind::MarketQuote => Quantity::Quote(E8(self.qty * 12_345_678)),
                Kind::Limit(_) | Kind::Maker | Kind::Market => Quantity::Base(qty(self.qty)),
            },
            client_order_id: String::new(),
            stp: Some(self.stp),
            strategy: None,
        }
    }
}

/// Ticks of 0.01 from 99.90 on.
fn price(tick: i64) -> E8 {
    E8(9_990_000_000 + tick * 1_000_000)
}

/// Lots of 0.00001, so that products are not round.
fn qty(lots: i64) -> E8 {
    E8(lots * 1_000)
}

fn asks() -> impl Strategy<Value = Ask> {
    let sides = prop::sample::select(vec![OrderSide::Buy, OrderSide::Sell]);
    let kinds = prop::sample::select(vec![
        Kind::Limit(TimeInForce::Gtc),
        Kind::Limit(TimeInForce::Gtc),
        Kind::Limit(TimeInForce::Gtc),
        Kind::Limit(TimeInForce::Ioc),
        Kind::Limit(TimeInForce::Fok),
        Kind::Maker,
        Kind::Market,
        Kind::MarketQuote,
    ]);
    let modes = prop::sample::select(vec![
        StpMode::None,
        StpMode::ExpireTaker,
        StpMode::ExpireMaker,
        StpMode::ExpireBoth,
        StpMode::Decrement,
        StpMode::Transfer,
    ]);
    (0usize..2, sides, kinds, 0i64..20, 4_000i64..90_007, modes).prop_map(
        |(account, side, kind, tick, qty, stp)| Ask {
            account,
            side,
            kind,
            tick,
            qty,
            stp,
        },
    )
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let sides = || prop::sample::select(vec![OrderSide::Buy, OrderSide::Sell]);
    let statuses = prop::sample::select(vec![
        SymbolStatus::Trading,
        SymbolStatus::Trading,
        SymbolStatus::CancelOnly,
        SymbolStatus::Halt,
    ]);
    let op = prop_oneof![
        20 => asks().prop_map(Op::Place),
        3 => any::<usize>().prop_map(|position| Op::Cancel { position }),
        3 => (any::<usize>(), 1i64..100)
            .prop_map(|(position, percent)| Op::Amend { position, percent }),
        2 => (any::<usize>(), asks()).prop_map(|(position, ask)| Op::Replace { position, ask }),
        1 => (0usize..2).prop_map(|account| Op::ExpireAll { account }),
        12 => (sides(), 0i64..20, 0i64..90_007)
            .prop_map(|(side, tick, qty)| Op::Level { side, tick, qty }),
        8 => (sides(), 0i64..20, 1i64..90_007)
            .prop_map(|(aggressor, tick, qty)| Op::Print { aggressor, tick, qty }),
        4 => Just(Op::Ticker),
        1 => statuses.prop_map(|status| Op::Status { status }),
    ];
    prop::collection::vec(op, 1..120)
}

/// The stage and what was seen so far.
struct Watch {
    stage: Stage,
    /// Public quantity that ever appeared, and what accounts took of it; by the public's side.
    appeared: [i64; 2],
    taken: [i64; 2],
    /// Quantity, worth: by order.
    filled: BTreeMap<u64, (i64, i64)>,
    trades: BTreeMap<u64, Vec<Report>>,
}

fn index(side: OrderSide) -> usize {
    match side {
        OrderSide::Buy => 0,
        OrderSide::Sell => 1,
    }
}

impl Watch {
    fn new() -> Self {
        let account = |name: &str, fees_in_bnb| AccountConfig {
            name: name.to_owned(),
            balances: vec![
                ("BTC".into(), e8("5")),
                ("USDT".into(), e8("500")),
                ("BNB".into(), e8("0.00001")),
            ],
            fees_in_bnb,
            maker_fee: e8("0.0007"),
            taker_fee: e8("0.00123"),
            ..AccountConfig::default()
        };
        let config = ExchangeConfig {
            accounts: vec![account("a", false), account("b", true)],
            allow_stp_none: true,
            ..ExchangeConfig::default()
        };
        let book = PublicBook::new(&[], &[]);
        Self {
            stage: Stage::with(&config, book),
            appeared: [0; 2],
            taken: [0; 2],
            filled: BTreeMap::new(),
            trades: BTreeMap::new(),
        }
    }

    /// Sets a public level and publishes it; levels of the other side that it crosses go first.
    fn level(&mut self, side: OrderSide, changed: Level) {
        let other = side.opposite();
        let crossed: Vec<_> = self
            .stage
            .book
            .side(other)
            .iter()
            .filter(|level| match side {
                OrderSide::Buy => level.price <= changed.price,
                OrderSide::Sell => level.price >= changed.price,
            })
            .map(|level| Level {
                qty: E8(0),
                ..*level
            })
            .collect();
        let mut events = vec![(side, changed)];
        if changed.qty.0 > 0 {
            events.splice(..0, crossed.into_iter().map(|level| (other, level)));
        }
        for (side, level) in events {
            let before = self.stage.book.side(side).iter();
            let before = before.clone().find(|before| before.price == level.price);
            let before = before.map_or(0, |before| before.qty.0);
            self.appeared[index(side)] += (level.qty.0 - before).max(0);
            self.stage.book.set(side, level);
            let id = self.stage.book.0.last_update_id;
            let (bids, asks) = match side {
                OrderSide::Buy => (vec![level], vec![]),
                OrderSide::Sell => (vec![], vec![level]),
            };
            self.publish(MarketEvent::Depth {
                speed: DepthSpeed::Ms100,
                first_id: id,
                last_id: id,
                bids,
                asks,
            });
        }
    }

    fn publish(&mut self, event: MarketEvent) {
        self.stage.now.0 += 1;
        let published = Published {
            at: self.stage.now,
            symbol: SYMBOL,
            event,
        };
        let exchange = &mut self.stage.exchange;
        exchange.public(self.stage.now, &published, &self.stage.book);
        let reports = self.stage.reports();
        let filled: i64 = reports
            .iter()
            .filter_map(|report| report.fill.as_ref())
            .map(|fill| fill.qty.0)
            .sum();
        match published.event {
            MarketEvent::Trade(trade) => assert!(filled <= trade.qty.0, "no more than it was"),
            _ => {
                // Resting orders met the public's other side.
                for report in &reports {
                    let side = report.order.side.opposite();
                    self.taken[index(side)] += report.fill.as_ref().expect("a fill").qty.0;
                }
            }
        }
        self.check(&reports, false);
    }

    fn check(&mut self, reports: &[Report], takes_public: bool) {
        let exchange = &self.stage.exchange;
        let mut trades: BTreeMap<u64, Vec<Report>> = BTreeMap::new();
        for report in reports {
            let Some(fill) = &report.fill else {
                continue;
            };
            let order = &report.order;
            let (executed, quote) = self.filled.entry(order.id).or_default();
            *executed += fill.qty.0;
            *quote += fill.quote_qty.0;
            assert_eq!(
                (order.executed_qty.0, order.cumulative_quote.0),
                (*executed, *quote)
            );
            if fill.maker {
                assert_eq!(fill.price, order.price);
                // Whoever stands before it has traded all.
                let better = exchange.markets[0].resting.iter(order.side);
                let better = better.take_while(|resting| {
                    let ahead = match order.side {
                        OrderSide::Buy => resting.price > order.price,
                        OrderSide::Sell => resting.price < order.price,
                    };
                    ahead || (resting.price == order.price && resting.order_id < order.id)
                });
                assert_eq!(better.count(), 0, "price-time priority");
            } else if order.price.0 > 0 {
                match order.side {
                    OrderSide::Buy => assert!(fill.price <= order.price),
                    OrderSide::Sell => assert!(fill.price >= order.price),
                }
            }
            let trade = trades.entry(fill.trade_id).or_default();
            trade.push(report.clone());
        }
        for (id, parts) in trades {
            assert!(!self.trades.contains_key(&id), "trade ids are used once");
            if let [first, second] = &parts[..] {
                let terms = |report: &Report| {
                    let fill = report.fill.as_ref().expect("a trade");
                    (fill.price, fill.qty, fill.quote_qty)
                };
                assert_eq!(terms(first), terms(second));
                assert_ne!(first.order.side, second.order.side);
            } else if takes_public {
                let [only] = &parts[..] else {
                    panic!("a trade has two sides")
                };
                let side = only.order.side.opposite();
                self.taken[index(side)] += only.fill.as_ref().expect("a trade").qty.0;
            }
            self.trades.insert(id, parts);
        }
        for side in 0..2 {
            assert!(
                self.taken[side] <= self.appeared[side],
                "nothing is taken twice"
            );
        }
    }

    fn run(&mut self, op: Op) {
        let open: Vec<(AccountIndex, u64)> = [A, B]
            .into_iter()
            .flat_map(|account| {
                let orders = self.stage.exchange.open_orders(account, None);
                orders
                    .map(move |order| (account, order.id))
                    .collect::<Vec<_>>()
            })
            .collect();
        let pick = |position: usize| open.get(position % open.len().max(1)).copied();
        let balances = |stage: &Stage| {
            let of = |account| stage.exchange.balances(account).collect::<Vec<_>>();
            [of(A), of(B)]
        };
        let before = balances(&self.stage);
        let stage = &mut self.stage;
        let refused = match op {
            Op::Place(ask) => {
                let account = AccountIndex(ask.account);
                let order = ask.order();
                let placed = stage.try_place(account, order.clone());
                if let Ok(placed) = &placed {
                    expect_end(&order, placed);
                }
                placed.is_err()
            }
            Op::Cancel { position } => {
                pick(position).is_none_or(|(account, id)| stage.cancel(account, id).is_err())
            }
            Op::Amend { position, percent } => pick(position).is_none_or(|(account, id)| {
                let orig = stage.order(account, id).orig_qty.0;
                let new_qty = E8(orig * percent / 100 / 1_000 * 1_000);
                let which = OrderRef::Id(id);
                let name = format!("n{id}");
                stage
                    .exchange
                    .amend(stage.now, account, SYMBOL, &which, new_qty, name)
                    .is_err()
            }),
            Op::Replace { position, ask } => {
                if let Some((account, id)) = pick(position) {
                    stage.drawn += 1;
                    let request = CancelReplace {
                        mode: ReplaceMode::AllowFailure,
                        cancel: OrderRef::Id(id),
                        cancel_id: "c".into(),
                        restriction: None,
                        new: ask.order().named(&stage.drawn.to_string()),
                    };
                    let _ = stage
                        .exchange
                        .cancel_replace(stage.now, account, request, &stage.book);
                }
                false
            }
            Op::ExpireAll { account } => {
                let account = AccountIndex(account);
                stage.exchange.expire_all(stage.now, account, SYMBOL);
                assert_eq!(stage.exchange.open_orders(account, None).count(), 0);
                false
            }
            Op::Level {
                side,
                tick,
                qty: lots,
            } => {
                let changed = Level {
                    price: price(tick),
                    qty: qty(lots),
                };
                self.level(side, changed);
                return;
            }
            Op::Print {
                aggressor,
                tick,
                qty: lots,
            } => {
                self.publish(MarketEvent::Trade(Trade {
                    id: 1,
                    price: price(tick),
                    qty: qty(lots),
                    buyer_is_maker: aggressor == OrderSide::Sell,
                }));
                return;
            }
            Op::Ticker => {
                let best = |levels: &[Level]| {
                    let nothing = Level {
                        price: E8(0),
                        qty: E8(0),
                    };
                    levels.first().copied().unwrap_or(nothing)
                };
                let book = &stage.book.0;
                let (bid, ask) = (best(&book.bids), best(&book.asks));
                let update_id = book.last_update_id;
                self.publish(MarketEvent::BookTicker {
                    update_id,
                    bid,
                    ask,
                });
                return;
            }
            Op::Status { status } => {
                stage.exchange.set_status(SYMBOL, status);
                false
            }
        };
        if refused {
            assert_eq!(
                balances(&self.stage),
                before,
                "a refused request changes nothing"
            );
        }
        let reports = self.stage.reports();
        assert!(!refused || reports.is_empty());
        self.check(&reports, true);
    }
}

/// How an order of this kind may leave its own transaction.
fn expect_end(new: &NewOrder, placed: &Placed) {
    use OrderStatus::{Expired, ExpiredInMatch, Filled, New, PartiallyFilled};
    let status = placed.order.status;
    let allowed: &[OrderStatus] = match (new.kind, new.time_in_force) {
        (OrderType::LimitMaker, _) => &[New],
        (OrderType::Limit, TimeInForce::Gtc) => &[New, PartiallyFilled, Filled, ExpiredInMatch],
        (OrderType::Limit, TimeInForce::Fok) => &[Filled, Expired],
        (OrderType::Limit, TimeInForce::Ioc) | (OrderType::Market, _) => {
            &[Filled, Expired, ExpiredInMatch]
        }
    };
    assert!(allowed.contains(&status), "{status:?} of {new:?}");
    let executed: i64 = placed.fills.iter().map(|fill| fill.qty.0).sum();
    assert_eq!(placed.order.executed_qty, E8(executed));
    if new.time_in_force == TimeInForce::Fok && status == Expired {
        assert_eq!(executed, 0);
    }
    if let Quantity::Quote(budget) = new.qty {
        assert!(placed.order.cumulative_quote <= budget);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_happens_the_invariants_hold(ops in ops()) {
        let mut watch = Watch::new();
        for op in ops {
            watch.run(op);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_calls_give_the_same_events(ops in ops()) {
        let run = || {
            let mut watch = Watch::new();
            for op in &ops {
                watch.run(op.clone());
            }
            watch.trades
        };
        prop_assert_eq!(run(), run());
    }
}
