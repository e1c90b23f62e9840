//! 100,000 generated deliveries of fills, one to five times each, reordered, by report or by the list of trades, with the
//! connection lost in between: positions, balances and average prices are integer-equal to the truth every time.

use std::collections::BTreeMap;
use veloz_core::instrument::{
    AssetIndex, Assets, Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::jitter::Jitter;
use veloz_core::oms::{Ask, Input, Oms, OmsConfig, OmsFault};
use veloz_core::order::{
    Balance, ExecutionKind, ExecutionReport, Fill, OrderId, OrderKey, OrderStatus, OwnTrade, Side,
    VenueStatus,
};
use veloz_core::portfolio::{BalanceChange, Booked, Portfolio, PortfolioConfig};
use veloz_core::units::{E8, E8_ONE, Grid, Lots, Nanos, Ticks, VenueMillis};

const DELIVERIES: usize = 100_000;
/// Orders that are open at a time.
const ORDERS_OPEN: usize = 40;
/// Deliveries under way at a time: how far they are reordered.
const UNDER_WAY: usize = 60;
const PAIRS: [(&str, &str, i64); 4] = [
    // Only bought, so that its average price does not depend on the order of the fills.
    ("SOL", "USDT", 1_000_000),
    ("BTC", "USDT", 1_000_000),
    ("ETH", "BTC", 1_000),
    ("BNB", "USDT", 1_000_000),
];
const CONFIG: OmsConfig = OmsConfig {
    answer_max: Nanos::from_secs(5),
    cancel_max: Nanos::from_secs(5),
    replace_max: Nanos::from_secs(5),
    grace: Nanos::from_ms(200),
    ask_again: Nanos::from_secs(1),
    answer_horizon: Nanos::from_secs(10),
};

struct Truth {
    status: OrderStatus,
    trades: Vec<Fill>,
}

#[derive(Clone, Copy)]
enum Delivery {
    Report(ExecutionReport),
    Trade(OrderId, OwnTrade),
}

struct World {
    random: Jitter,
    assets: Assets,
    oms: Oms,
    portfolio: Portfolio,
    now: Nanos,
    at: u64,
    next: u32,
    open: Vec<Truth>,
    over: Vec<Truth>,
    under_way: Vec<Delivery>,
    delivered: usize,
    fills_told: usize,
    fills_booked: usize,
    /// What the venue's account holds.
    amounts: BTreeMap<AssetIndex, i128>,
    /// By instrument: signed quantity, and quote paid in units of tick x lot.
    held: [(i128, i128); PAIRS.len()],
}

impl World {
    fn new(seed: u64) -> Self {
        let symbol = |text: &str| Symbol::new(text).expect("short");
        let unbounded = Bounds {
            min: None,
            max: None,
        };
        let list = PAIRS.map(|(base, quote, tick)| Instrument {
            symbol: symbol(&format!("{base}{quote}")),
            base: symbol(base),
            quote: symbol(quote),
            tick: Grid::new(E8(tick)).expect("positive"),
            lot: Grid::new(E8(1)).expect("positive"),
            price_bounds: unbounded,
            qty_bounds: Bounds {
                min: None,
                max: None,
            },
            notional_min: None,
            notional_max: None,
            order_rules: OrderRules::UNRESTRICTED,
            trading: true,
        });
        let instruments = Instruments::new(list.to_vec()).expect("few");
        let assets = Assets::new(&instruments, &[]);
        let account_currency = assets.find(b"USDT").expect("a quote");
        let config = PortfolioConfig {
            account_currency,
            baselines: Vec::new(),
        };
        let mut world = Self {
            random: Jitter::new(seed),
            oms: Oms::new(PAIRS.len(), 2, CONFIG),
            portfolio: Portfolio::new(&instruments, &assets, config).expect("all convert"),
            assets,
            now: Nanos::from_secs(1),
            at: 1_000,
            next: 1,
            open: Vec::new(),
            over: Vec::new(),
            under_way: Vec::new(),
            delivered: 0,
            fills_told: 0,
            fills_booked: 0,
            amounts: BTreeMap::new(),
            held: [(0, 0); PAIRS.len()],
        };
        world.tell_account(BalanceChange::First);
        world.portfolio.listed(VenueMillis(world.at));
        world.portfolio.start(&[]);
        world.at += 1;
        world
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(Nanos(bound as u64)).0 as usize
    }

    fn asset(&self, name: &str) -> AssetIndex {
        self.assets.find(name.as_bytes()).expect("named")
    }

    /// The account as the venue has it; no change may be an other one than `expected`, `Older` apart.
    fn tell_account(&mut self, expected: BalanceChange) {
        for (asset, _) in self.assets.iter() {
            let exact = self.amounts.get(&asset).copied().unwrap_or(0);
            let balance = Balance {
                asset,
                free: E8(i64::try_from(exact).expect("in range")),
                locked: E8(0),
            };
            let change = self.portfolio.balance(balance, VenueMillis(self.at));
            if expected != BalanceChange::Older {
                assert_eq!(change, expected, "{asset:?}");
            }
        }
    }

    fn place(&mut self) {
        let instrument = self.below(PAIRS.len());
        let is_sell = instrument != 0 && self.below(2) == 0;
        let status = OrderStatus {
            instrument: InstrumentIndex(instrument as u16),
            key: OrderKey::Ours(OrderId {
                run: 1,
                sequence: self.next,
            }),
            venue_order_id: u64::from(self.next),
            status: VenueStatus::New,
            side: if is_sell { Side::Sell } else { Side::Buy },
            price: Ticks(1 + self.below(1_000) as i64),
            // Lots are multiples of 1e-3 coins, so that quote amounts are whole 1e-8 units and balances exact.
            qty: Lots(100_000 * (1 + self.below(1_000) as i64)),
            executed: Lots(0),
            updated: VenueMillis(self.at),
        };
        self.next += 1;
        let adopted = self.oms.adopt(self.now, &status, self.now).expect("room");
        assert_eq!(adopted.ask, None);
        self.open.push(Truth {
            status,
            trades: Vec::new(),
        });
    }

    /// Something trades; its deliveries are put under way, one to five of them.
    fn trade(&mut self) {
        let index = self.below(self.open.len());
        self.at += self.below(3) as u64;
        self.fills_told += 1;
        let all = self.below(4) == 0;
        let part = 1 + self.below(4) as i64;
        let fee = self.below(50_000) as i64;
        let fee_asset = self.below(4);
        let truth = &mut self.open[index];
        let status = &mut truth.status;
        let left = (status.qty.0 - status.executed.0) / 100_000;
        let lots = if all { left } else { (left / part).max(1) };
        let (base, quote, _) = PAIRS[status.instrument.as_usize()];
        let fee_name = [base, quote, "BNB", ""][fee_asset];
        let fill = Fill {
            trade_id: self.fills_told as u64,
            price: status.price,
            qty: Lots(100_000 * lots),
            fee: E8(if fee_name.is_empty() { 0 } else { fee }),
            fee_asset: self.assets.find(fee_name.as_bytes()),
            is_maker: all,
            at: VenueMillis(self.at),
        };
        status.executed.0 += fill.qty.0;
        status.status = if status.executed == status.qty {
            VenueStatus::Filled
        } else {
            VenueStatus::PartiallyFilled
        };
        let status = *status;
        truth.trades.push(fill);
        self.account(&status, &fill);

        let report = ExecutionReport {
            instrument: status.instrument,
            key: status.key,
            venue_order_id: status.venue_order_id,
            kind: ExecutionKind::Trade,
            status: status.status,
            side: status.side,
            price: status.price,
            qty: status.qty,
            executed: status.executed,
            prevented: Lots(0),
            fill: Some(fill),
            execution_id: 2 * fill.trade_id,
            transacted: fill.at,
            event: fill.at,
        };
        let trade = OwnTrade {
            instrument: status.instrument,
            venue_order_id: status.venue_order_id,
            side: status.side,
            fill,
        };
        let deliveries = 1 + self.below(5);
        for _ in 0..deliveries {
            let delivery = if self.below(3) == 0 {
                Delivery::Trade(id_of(&status), trade)
            } else {
                Delivery::Report(report)
            };
            self.under_way.push(delivery);
        }
        if status.status == VenueStatus::Filled {
            self.over.push(self.open.swap_remove(index));
        }
    }

    /// The truth, in plain sums.
    fn account(&mut self, status: &OrderStatus, fill: &Fill) {
        let position = status.instrument.as_usize();
        let (base, quote, tick) = PAIRS[position];
        let signed = i128::from(status.side.sign() * fill.qty.0);
        let paid = signed * i128::from(fill.price.0) * i128::from(tick);
        assert_eq!(paid % i128::from(E8_ONE), 0, "whole units of quote");
        let (base, quote) = (self.asset(base), self.asset(quote));
        *self.amounts.entry(base).or_default() += signed;
        *self.amounts.entry(quote).or_default() -= paid / i128::from(E8_ONE);
        self.held[position].0 += signed;
        self.held[position].1 += signed * i128::from(fill.price.0);
        if let Some(asset) = fill.fee_asset {
            *self.amounts.entry(asset).or_default() -= i128::from(fill.fee.0);
            if asset == base {
                self.held[position].0 -= i128::from(fill.fee.0);
                self.held[position].1 -= i128::from(fill.fee.0) * i128::from(fill.price.0);
            }
        }
    }

    fn apply(&mut self, id: OrderId, input: Input<'_>) {
        let applied = self.oms.apply(self.now, id, input);
        assert!(
            matches!(applied.fault, None | Some(OmsFault::WentBack)),
            "{applied:?}"
        );
        let (instrument, side) = {
            let order = self.oms.order(id).expect("open or remembered");
            (order.instrument(), order.side())
        };
        if let Some(fill) = applied.fill {
            self.fills_booked += 1;
            let booked = self.portfolio.fill(instrument, side, &fill);
            assert!(matches!(booked, Booked::Counted { .. }));
        }
        if let Some(ask) = applied.ask {
            self.answer(ask);
        }
    }

    fn deliver(&mut self) {
        let index = self.below(self.under_way.len());
        let delivery = self.under_way.swap_remove(index);
        self.delivered += 1;
        self.now.0 += 10_000;
        match delivery {
            Delivery::Report(report) => {
                let OrderKey::Ours(id) = report.key else {
                    unreachable!("all orders are ours")
                };
                self.apply(id, Input::Report(&report));
            }
            Delivery::Trade(id, trade) => self.apply(id, Input::Trade(&trade)),
        }
    }

    /// What was under way is lost; the venue is asked for the open orders, and for whatever that leaves open.
    fn reconnect(&mut self) {
        self.under_way.clear();
        // Half of the time the account comes before the fills that it contains.
        let account_first = self.below(2) == 0;
        if account_first {
            self.tell_account(BalanceChange::Older);
        }
        self.now.0 += 1;
        let asked_at = self.now;
        self.now.0 += 1;
        let listed: Vec<_> = self.open.iter().map(|truth| truth.status).collect();
        for status in &listed {
            self.apply(id_of(status), Input::Status { status, asked_at });
        }
        let _ = self.oms.end_of_open_orders(self.now, None, asked_at);
        self.ask_everything();
        if !account_first {
            self.tell_account(BalanceChange::Agreed);
        }
        self.at += 1;
    }

    fn ask_everything(&mut self) {
        while self.oms.due() != Nanos::MAX {
            self.now = self.now.max(self.oms.due());
            while let Some(overdue) = self.oms.overdue(self.now) {
                assert_eq!(overdue.fault, None);
                self.answer(overdue.ask);
            }
        }
    }

    fn answer(&mut self, ask: Ask) {
        let (Ask::Status(id) | Ask::Trades(id)) = ask;
        let mut truths = self.open.iter().chain(self.over.iter().rev());
        let truth = truths.find(|truth| id_of(&truth.status) == id);
        let truth = truth.expect("the venue has it");
        let (status, trades) = (truth.status, truth.trades.clone());
        match ask {
            Ask::Status(_) => {
                let asked_at = self.now;
                let status = &status;
                self.apply(id, Input::Status { status, asked_at });
            }
            Ask::Trades(_) => {
                for fill in trades {
                    let trade = OwnTrade {
                        instrument: status.instrument,
                        venue_order_id: status.venue_order_id,
                        side: status.side,
                        fill,
                    };
                    self.apply(id, Input::Trade(&trade));
                }
                self.apply(id, Input::TradesComplete);
            }
        }
    }

    fn compare(&mut self) {
        assert_eq!(self.fills_booked, self.fills_told);
        self.portfolio.assert_invariants();
        for (position, (qty, paid)) in self.held.into_iter().enumerate() {
            let instrument = InstrumentIndex(position as u16);
            let held = *self.portfolio.position(instrument);
            assert_eq!(i128::from(held.qty().0), qty, "{instrument:?}");
            if position == 0 {
                let tick = i128::from(PAIRS[0].2);
                let average = paid * tick / qty;
                assert_eq!(held.average_entry(), Some(E8(average as i64)));
            }
        }
        for truth in self.open.iter().chain(&self.over) {
            let Some(order) = self.oms.order(id_of(&truth.status)) else {
                continue;
            };
            assert_eq!(order.executed(), truth.status.executed);
            let notional = truth
                .trades
                .iter()
                .map(|fill| i128::from(fill.price.0) * i128::from(fill.qty.0));
            assert_eq!(order.executed_notional(), notional.sum());
        }
        for (asset, _) in self.assets.iter() {
            let truth = self.amounts.get(&asset).copied().unwrap_or(0);
            assert_eq!(i128::from(self.portfolio.total(asset).0), truth);
        }
        assert_eq!(self.oms.open_count(), self.open.len());
    }
}

fn id_of(status: &OrderStatus) -> OrderId {
    match status.key {
        OrderKey::Ours(id) => id,
        OrderKey::Foreign => unreachable!("all orders are ours"),
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    let mut reconnects = 0;
    while world.delivered < DELIVERIES {
        while world.open.len() < ORDERS_OPEN {
            world.place();
        }
        while world.under_way.len() < UNDER_WAY {
            world.trade();
            while world.open.len() < ORDERS_OPEN {
                world.place();
            }
        }
        world.deliver();
        if world.below(1_000) == 0 {
            reconnects += 1;
            world.reconnect();
            world.compare();
        }
    }
    world.reconnect();
    world.compare();
    assert!(reconnects > 50, "{reconnects} connections were lost");
    assert!(world.fills_told > 20_000, "{} fills", world.fills_told);
}

#[test]
fn positions_are_equal_with_the_first_seed() {
    run(1);
}

#[test]
fn positions_are_equal_with_the_second_seed() {
    run(2);
}

#[test]
fn positions_are_equal_with_the_third_seed() {
    run(3);
}
