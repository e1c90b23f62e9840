//! The example of a strategy, called as the engine calls one.

mod joiner;

use joiner::Joiner;
use veloz_core::book::{Book, Side as BookSide};
use veloz_core::instrument::{Bounds, Instrument, InstrumentIndex, OrderRules, Symbol};
use veloz_core::order::{OrderId, OrderState, Origin, Side};
use veloz_core::risk::TradingState;
use veloz_core::strategy::{
    Action, Actions, LiveBook, OwnOrder, OwnOrders, Strategy, Suppression, View,
};
use veloz_core::units::{E8, Grid, Lots, Nanos, Ticks};

fn rules() -> Instrument {
    let symbol = |text| Symbol::new(text).expect("short");
    let grid = |unit| Grid::new(E8(unit)).expect("positive");
    Instrument {
        symbol: symbol("BTCUSDT"),
        base: symbol("BTC"),
        quote: symbol("USDT"),
        tick: grid(1_000_000),
        lot: grid(1_000),
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
    }
}

#[test]
fn the_example_is_short_and_does_what_it_says() {
    let lines = include_str!("joiner.rs").lines().count();
    assert!(lines < 80, "{lines} lines");

    let rules = rules();
    let mut book = Book::new(1 << 14, 16);
    book.set(BookSide::Bid, Ticks(100), Lots(5)).expect("room");
    book.set(BookSide::Ask, Ticks(102), Lots(5)).expect("room");
    let mut joiner = Joiner { size: Lots(3) };
    let mut look = |is_live: bool, position: i64, own: &[OwnOrder]| {
        let mut actions = Actions::new();
        let view = View {
            now: Nanos::from_secs(1),
            instrument: InstrumentIndex(0),
            rules: &rules,
            book: is_live.then_some(LiveBook {
                book: &book,
                updated_at: Nanos::from_secs(1),
            }),
            position: E8(position),
            own: OwnOrders::listed(own),
            trading: TradingState::Active,
        };
        joiner.on_book(&view, &mut actions);
        actions
    };
    let order = |side, price, state| OwnOrder {
        id: OrderId {
            run: 1,
            sequence: 1,
        },
        origin: Origin::Strategy,
        side,
        price: Ticks(price),
        qty: Lots(3),
        remaining: Lots(3),
        state,
    };
    let placed = |actions: &Actions| match actions.as_slice() {
        [Action::Place(quote)] => (quote.side, quote.price),
        other => panic!("{other:?}"),
    };
    assert_eq!(placed(&look(true, 0, &[])), (Side::Buy, Ticks(100)));
    assert_eq!(placed(&look(true, 3_000, &[])), (Side::Sell, Ticks(102)));
    assert_eq!(look(false, 0, &[]).suppressed(Suppression::BookNotLive), 1);
    let sent = [order(Side::Buy, 99, OrderState::Sent)];
    assert_eq!(look(true, 0, &sent).suppressed(Suppression::InFlight), 1);
    let there = [order(Side::Buy, 100, OrderState::Live)];
    assert_eq!(look(true, 0, &there).suppressed(Suppression::NoChange), 1);
    let behind = [order(Side::Buy, 99, OrderState::Live)];
    assert_eq!(
        look(true, 0, &behind).as_slice(),
        [Action::Cancel(behind[0].id)]
    );
    assert_eq!(
        look(false, 0, &there).as_slice(),
        [Action::Cancel(there[0].id)]
    );
    let foreign = [OwnOrder {
        origin: Origin::Operator,
        ..there[0]
    }];
    assert_eq!(placed(&look(true, 0, &foreign)), (Side::Buy, Ticks(100)));
}
