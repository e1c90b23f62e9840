//! The order machine and the portfolio allocate nothing after they are built: not for more orders than the table
//! remembers, nor for more fills. The allocator counts what this thread asks for.

#[path = "support/heap.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod heap;

use veloz_core::instrument::{
    Assets, Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::limits::{FILLS_REMEMBERED_MAX, ORDERS_OPEN_MAX, ORDERS_REMEMBERED_MAX};
use veloz_core::oms::{Input, Oms, OmsConfig};
use veloz_core::order::{
    Balance, ExecutionKind, ExecutionReport, Fill, OrderId, OrderKey, OrderState, OrderStatus,
    Side, VenueStatus,
};
use veloz_core::portfolio::{Portfolio, PortfolioConfig};
use veloz_core::units::{E8, Grid, Lots, Nanos, Ticks, VenueMillis};

const HERE: InstrumentIndex = InstrumentIndex(0);
const CONFIG: OmsConfig = OmsConfig {
    answer_max: Nanos::from_secs(1),
    cancel_max: Nanos::from_secs(1),
    replace_max: Nanos::from_secs(1),
    grace: Nanos::from_ms(100),
    ask_again: Nanos::from_secs(1),
    answer_horizon: Nanos::from_secs(10),
};

fn instruments() -> Instruments {
    let symbol = |text: &str| Symbol::new(text).expect("short");
    let list = vec![Instrument {
        symbol: symbol("BTCUSDT"),
        base: symbol("BTC"),
        quote: symbol("USDT"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        lot: Grid::new(E8(1_000)).expect("positive"),
        price_bounds: Bounds {
            min: None,
            max: None,
        },
        qty_bounds: Bounds {
            min: None,
            max: None,
        },
        notional_min: None,
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    }];
    Instruments::new(list).expect("one")
}

/// The life of one order: taken over, filled in part, doubted, filled.
fn trade(oms: &mut Oms, portfolio: &mut Portfolio, number: u32) {
    let id = OrderId {
        run: 1,
        sequence: number,
    };
    let now = Nanos::from_ms(u64::from(number));
    let at = VenueMillis(10 + u64::from(number));
    let status = OrderStatus {
        instrument: HERE,
        key: OrderKey::Ours(id),
        venue_order_id: u64::from(number),
        status: VenueStatus::New,
        side: Side::Buy,
        price: Ticks(5_000_000),
        qty: Lots(10),
        executed: Lots(0),
        updated: at,
    };
    let adopted = oms.adopt(now, &status, now).expect("room");
    assert_eq!(adopted.ask, None);
    for part in 0..2 {
        let fill = Fill {
            trade_id: u64::from(2 * number + part),
            price: Ticks(5_000_000),
            qty: Lots(5),
            fee: E8(1),
            fee_asset: None,
            is_maker: true,
            at,
        };
        let report = ExecutionReport {
            instrument: HERE,
            key: status.key,
            venue_order_id: status.venue_order_id,
            kind: ExecutionKind::Trade,
            status: if part == 0 {
                VenueStatus::PartiallyFilled
            } else {
                VenueStatus::Filled
            },
            side: status.side,
            price: status.price,
            qty: status.qty,
            executed: Lots(5 + 5 * i64::from(part)),
            prevented: Lots(0),
            fill: Some(fill),
            execution_id: fill.trade_id,
            transacted: at,
            event: at,
        };
        for _ in 0..2 {
            let applied = oms.apply(now, id, Input::Report(&report));
            assert_eq!(applied.fault, None);
            if let Some(fill) = applied.fill {
                let _ = portfolio.fill(HERE, Side::Buy, &fill);
            }
        }
        if part == 0 {
            let _ = oms.apply(now, id, Input::CancelSent);
            let applied = oms.apply(now, id, Input::CancelUnknown);
            assert!(applied.ask.is_some());
            assert!(oms.overdue(now.plus(CONFIG.ask_again)).is_some());
        }
    }
    let order = oms.order(id).expect("remembered");
    assert!(matches!(order.state(), OrderState::Done(_)));
    portfolio.mark(
        HERE,
        Ticks(5_000_000 + i64::from(number)),
        Ticks(5_000_001 + i64::from(number)),
    );
    let _ = portfolio.observe(now.as_ms() * 100_000);
    assert!(portfolio.equity().is_some());
}

#[test]
fn nothing_is_allocated_for_orders_and_fills() {
    let instruments = instruments();
    let assets = Assets::new(&instruments, &[]);
    let account_currency = assets.find(b"USDT").expect("the quote");
    let config = PortfolioConfig {
        account_currency,
        baselines: Vec::new(),
    };
    let mut portfolio = Portfolio::new(&instruments, &assets, config).expect("converts");
    let balance = Balance {
        asset: account_currency,
        free: E8(1_000_000_000_000_000),
        locked: E8(0),
    };
    let _ = portfolio.balance(balance, VenueMillis(1));
    portfolio.listed(VenueMillis(1));
    portfolio.start(&[]);
    let mut oms = Oms::new(1, 2, CONFIG);

    let count = ORDERS_OPEN_MAX + ORDERS_REMEMBERED_MAX + FILLS_REMEMBERED_MAX;
    let calls = heap::calls(|| {
        for number in 1..=count as u32 {
            trade(&mut oms, &mut portfolio, number);
        }
    });
    assert_eq!(calls, 0);
    assert_eq!(oms.open_count(), 0);
    assert_eq!(portfolio.position(HERE).qty(), E8(10_000 * count as i64));
}
