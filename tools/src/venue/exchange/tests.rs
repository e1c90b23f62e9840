//! The exchange as a whole: scenarios, properties, and a slow obvious model.
//!
//! Owns: [`Stage`], an exchange with a public book that a test writes, and the invariants that
//! hold after every call. A scenario reads the events as text, one line each.

mod amending;
mod entering;
mod fees;
mod flow;
mod history;
mod listed;
mod markets;
mod model;
mod properties;
mod self_trade;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use veloz_core::units::E8;

use super::settlement::held;
use super::*;
use crate::venue::scripted::{level, usdt_symbol};
use crate::venue::source::{DepthSpeed, MarketEvent, Trade};

const SYMBOL: SymbolIndex = SymbolIndex(0);
const A: AccountIndex = AccountIndex(0);
const B: AccountIndex = AccountIndex(1);

/// Reads decimal text.
fn e8(text: &str) -> E8 {
    E8::parse(text.as_bytes()).expect("a decimal")
}

/// Prints without trailing zeros.
fn short(value: E8) -> String {
    let text = value.to_string();
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// The public book of a test, one symbol, best first.
#[derive(Clone, Debug)]
struct PublicBook(Snapshot);

impl PublicBook {
    fn new(bids: &[(&str, &str)], asks: &[(&str, &str)]) -> Self {
        let side = |levels: &[(&str, &str)]| levels.iter().map(|(p, q)| level(p, q)).collect();
        Self(Snapshot {
            last_update_id: 100,
            bids: side(bids),
            asks: side(asks),
        })
    }

    fn side(&mut self, side: OrderSide) -> &mut Vec<Level> {
        match side {
            OrderSide::Buy => &mut self.0.bids,
            OrderSide::Sell => &mut self.0.asks,
        }
    }

    /// Changes a level and takes an id for it.
    fn set(&mut self, side: OrderSide, changed: Level) {
        self.0.last_update_id += 1;
        let levels = self.side(side);
        levels.retain(|level| level.price != changed.price);
        if changed.qty.0 > 0 {
            levels.push(changed);
        }
        levels.sort_by_key(|level| match side {
            OrderSide::Buy => -level.price.0,
            OrderSide::Sell => level.price.0,
        });
    }
}

impl Liquidity for PublicBook {
    fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot {
        assert_eq!(symbol, SYMBOL);
        let mut snapshot = self.0.clone();
        snapshot.bids.truncate(limit);
        snapshot.asks.truncate(limit);
        snapshot
    }
}

/// An order with defaults that a scenario changes.
fn order(kind: OrderType, side: OrderSide, qty: &str, price: Option<&str>) -> NewOrder {
    NewOrder {
        symbol: SYMBOL,
        side,
        kind,
        time_in_force: TimeInForce::Gtc,
        price: price.map(e8),
        qty: Quantity::Base(e8(qty)),
        client_order_id: String::new(),
        stp: None,
        strategy: None,
    }
}

fn buy(qty: &str, price: &str) -> NewOrder {
    order(OrderType::Limit, OrderSide::Buy, qty, Some(price))
}

fn sell(qty: &str, price: &str) -> NewOrder {
    order(OrderType::Limit, OrderSide::Sell, qty, Some(price))
}

fn market(side: OrderSide, qty: &str) -> NewOrder {
    order(OrderType::Market, side, qty, None)
}

impl NewOrder {
    fn within(mut self, time_in_force: TimeInForce) -> Self {
        self.time_in_force = time_in_force;
        self
    }

    fn maker(mut self) -> Self {
        self.kind = OrderType::LimitMaker;
        self
    }

    fn stp(mut self, mode: StpMode) -> Self {
        self.stp = Some(mode);
        self
    }

    fn named(mut self, client_id: &str) -> Self {
        self.client_order_id = client_id.to_owned();
        self
    }
}

/// An exchange on a public book, with two accounts `A` and `B`.
struct Stage {
    exchange: Exchange,
    book: PublicBook,
    now: VenueMicros,
    totals: Vec<i128>,
    last_execution_id: u64,
    drawn: u32,
}

fn config() -> ExchangeConfig {
    let account = |name: &str| AccountConfig {
        name: name.to_owned(),
        maker_fee: E8(0),
        taker_fee: E8(0),
        ..AccountConfig::default()
    };
    ExchangeConfig {
        accounts: vec![account("a"), account("b")],
        ..ExchangeConfig::default()
    }
}

impl Stage {
    fn new(book: PublicBook) -> Self {
        Self::with(&config(), book)
    }

    fn with(config: &ExchangeConfig, book: PublicBook) -> Self {
        let exchange = Exchange::new(config, &[usdt_symbol("BTCUSDT")]);
        Self {
            totals: exchange.ledger.totals(),
            exchange,
            book,
            now: VenueMicros(1_000_000),
            last_execution_id: 0,
            drawn: 0,
        }
    }

    /// Places an order; one without a client order id gets the next of `1`, `2`, ...
    fn try_place(&mut self, account: AccountIndex, mut order: NewOrder) -> Result<Placed, Refusal> {
        if order.client_order_id.is_empty() {
            self.drawn += 1;
            order.client_order_id = self.drawn.to_string();
        }
        self.now.0 += 1;
        self.exchange.place(self.now, account, order, &self.book)
    }

    /// Places an order that must be accepted; its events are forgotten.
    fn place(&mut self, account: AccountIndex, order: NewOrder) -> Placed {
        let placed = self.try_place(account, order).expect("accepted");
        self.events();
        placed
    }

    /// What became of an order that must be accepted, as text.
    fn enter(&mut self, account: AccountIndex, order: NewOrder) -> Vec<String> {
        self.try_place(account, order).expect("accepted");
        self.events()
    }

    fn cancel(&mut self, account: AccountIndex, id: u64) -> Result<Order, Refusal> {
        let which = OrderRef::Id(id);
        self.exchange
            .cancel(self.now, account, SYMBOL, &which, "cancel", None)
    }

    /// Publishes an event of the flow; what it did, as text.
    fn publish(&mut self, event: MarketEvent) -> Vec<String> {
        self.now.0 += 1;
        let published = Published {
            at: self.now,
            symbol: SYMBOL,
            event,
        };
        self.exchange.public(self.now, &published, &self.book);
        self.events()
    }

    /// A public trade; `aggressor` is who took.
    fn print(&mut self, aggressor: OrderSide, qty: &str, price: &str) -> Vec<String> {
        let Level { price, qty } = level(price, qty);
        self.publish(MarketEvent::Trade(Trade {
            id: 1,
            price,
            qty,
            buyer_is_maker: aggressor == OrderSide::Sell,
        }))
    }

    /// Changes a level of the public book and publishes the diff.
    fn diff(&mut self, side: OrderSide, price: &str, qty: &str) -> Vec<String> {
        let changed = level(price, qty);
        self.book.set(side, changed);
        let id = self.book.0.last_update_id;
        let (bids, asks) = match side {
            OrderSide::Buy => (vec![changed], vec![]),
            OrderSide::Sell => (vec![], vec![changed]),
        };
        self.publish(MarketEvent::Depth {
            speed: DepthSpeed::Ms100,
            first_id: id,
            last_id: id,
            bids,
            asks,
        })
    }

    fn order(&self, account: AccountIndex, id: u64) -> &Order {
        let order = self.exchange.order(account, SYMBOL, &OrderRef::Id(id));
        order.expect("remembered")
    }

    /// Free and locked.
    fn balance(&self, account: AccountIndex, asset: &str) -> (String, String) {
        let mut balances = self.exchange.balances(account);
        let balance = balances.find(|balance| balance.asset == asset);
        let Balance { free, locked, .. } = balance.expect("an asset of the venue");
        (short(free), short(locked))
    }

    /// The events since the last call as text, without balances; checks what always holds.
    fn events(&mut self) -> Vec<String> {
        let reports = self.reports();
        reports.iter().map(describe).collect()
    }

    fn reports(&mut self) -> Vec<Report> {
        let mut events = Vec::new();
        self.exchange.take_events(&mut events);
        self.audit(&events);
        let reports = events.into_iter().filter_map(|event| match event {
            Event::Report(report) => Some(*report),
            Event::Balances { .. } => None,
        });
        reports.collect()
    }

    /// The invariants of the exchange and of the events.
    fn audit(&mut self, events: &[Event]) {
        let exchange = &self.exchange;
        assert_eq!(exchange.ledger.totals(), self.totals, "sums are kept");
        assert!(exchange.markets[0].incoming.is_none());

        let mut resting = Vec::new();
        for account in [A, B] {
            let mut holds: BTreeMap<&str, i64> = BTreeMap::new();
            for order in exchange.open_orders(account, None) {
                assert!(order.status.is_open() && order.remaining().0 > 0);
                let asset = match order.side {
                    OrderSide::Buy => "USDT",
                    OrderSide::Sell => "BTC",
                };
                *holds.entry(asset).or_default() += held(order).0;
                resting.push((order.id, account, order.price));
            }
            for balance in exchange.balances(account) {
                assert!(balance.free.0 >= 0);
                let held = holds.get(balance.asset.as_str()).copied();
                assert_eq!(balance.locked.0, held.unwrap_or(0), "{}", balance.asset);
            }
        }
        let market = &exchange.markets[0];
        let mut on_book: Vec<_> = [OrderSide::Buy, OrderSide::Sell]
            .into_iter()
            .flat_map(|side| market.resting.iter(side))
            .map(|resting| (resting.order_id, resting.account, resting.price))
            .collect();
        on_book.sort_unstable_by_key(|&(id, ..)| id);
        resting.sort_unstable_by_key(|&(id, ..)| id);
        assert_eq!(on_book, resting, "open orders are those on the book");

        let mut last_of: BTreeMap<u64, &Order> = BTreeMap::new();
        let mut balances_of = Vec::new();
        let mut told: BTreeMap<_, BTreeMap<&str, &Balance>> = BTreeMap::new();
        for event in events {
            match event {
                Event::Report(report) => {
                    assert!(report.execution_id > self.last_execution_id);
                    self.last_execution_id = report.execution_id;
                    last_of.insert(report.order.id, &report.order);
                    if matches!(report.execution, Execution::New | Execution::Canceled) {
                        balances_of.clear();
                    }
                }
                Event::Balances {
                    account, assets, ..
                } => {
                    assert!(!balances_of.contains(account), "one a transaction");
                    balances_of.push(*account);
                    let named = assets
                        .iter()
                        .map(|balance| (balance.asset.as_str(), balance));
                    told.entry(*account).or_default().extend(named);
                }
            }
        }
        for (account, told) in told {
            let now: Vec<_> = exchange.balances(account).collect();
            assert!(told.values().all(|balance| now.contains(balance)));
        }
        if let Some(last) = events.last() {
            let rejected = |report: &Report| report.execution == Execution::Rejected;
            assert!(
                match last {
                    Event::Report(report) => rejected(report),
                    Event::Balances { .. } => true,
                },
                "balances come last"
            );
        }
        for order in last_of
            .values()
            .filter(|order| order.status != OrderStatus::Rejected)
        {
            assert_eq!(self.order(order.account, order.id), *order);
        }
    }
}

/// A report as a line: account, client id, what happened, the state after it, details.
fn describe(report: &Report) -> String {
    let account = ["A", "B"][report.account.0];
    let order = &report.order;
    let mut line = format!(
        "{account} {} {:?} {:?}",
        order.client_order_id, report.execution, order.status
    );
    if let Some(fill) = &report.fill {
        let role = if fill.maker { "maker" } else { "taker" };
        let _ = write!(line, " {}@{} {role}", short(fill.qty), short(fill.price));
        if fill.commission.0 > 0 {
            let (fee, asset) = (short(fill.commission), &fill.commission_asset);
            let _ = write!(line, " fee {fee} {asset}");
        }
    }
    if let Some(reason) = report.expiry {
        let _ = write!(line, " {reason:?}");
    }
    if let Some(prevented) = &report.prevented {
        let _ = write!(
            line,
            " {} of {}",
            short(prevented.qty),
            short(prevented.match_qty)
        );
    }
    if let Some(refusal) = report.reject {
        let _ = write!(line, " {refusal:?}");
    }
    if let Some(cancel_id) = &report.cancel_id {
        let _ = write!(line, " by {cancel_id}");
    }
    if let Some(previous) = &report.previous_client_id {
        let _ = write!(line, " was {previous}, {} left", short(order.remaining()));
    }
    line
}
