//! The book against the plainest book there is, two sorted maps, on sequences made to hurt it:
//! prices at the edges of windows and of 64 bits, jumps, crossed sides, a full far store.

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use veloz_core::book::{Book, BookFull, Side};
use veloz_core::units::{Level, Lots, Ticks};

const WINDOW: usize = 1 << 15;

/// What the book is measured against.
#[derive(Default)]
struct Model([BTreeMap<i64, i64>; 2]);

impl Model {
    fn set(&mut self, side: Side, price: i64, qty: i64) {
        let levels = &mut self.0[side as usize];
        if qty == 0 {
            levels.remove(&price);
        } else {
            levels.insert(price, qty);
        }
    }

    fn levels(&self, side: Side) -> Vec<Level> {
        let level = |(&price, &qty): (&i64, &i64)| Level {
            price: Ticks(price),
            qty: Lots(qty),
        };
        let levels = self.0[side as usize].iter().map(level);
        match side {
            Side::Bid => levels.rev().collect(),
            Side::Ask => levels.collect(),
        }
    }
}

fn assert_equal(book: &Book, model: &Model) {
    book.assert_invariants();
    for side in Side::ALL {
        let expected = model.levels(side);
        assert_eq!(book.best(side), expected.first().copied());
        assert_eq!(book.levels(side).collect::<Vec<_>>(), expected);
        assert_eq!(book.level_count(side), expected.len());

        let mut top = [Level::default(); 5];
        let count = book.top(side, &mut top);
        assert_eq!(top[..count], expected[..expected.len().min(5)]);

        let mut sum = 0i128;
        for level in &expected {
            sum += i128::from(level.qty.0);
            assert_eq!(book.qty_to_price(side, level.price), sum);
            if let Ok(sum) = i64::try_from(sum) {
                assert_eq!(book.price_to_qty(side, Lots(sum)), Some(level.price));
            }
        }
        if let Ok(sum) = i64::try_from(sum) {
            let more = Lots(sum.saturating_add(1));
            assert!(sum == i64::MAX || book.price_to_qty(side, more).is_none());
        }
    }
    let crossed = match (
        model.levels(Side::Bid).first(),
        model.levels(Side::Ask).first(),
    ) {
        (Some(bid), Some(ask)) => bid.price >= ask.price,
        _ => false,
    };
    assert_eq!(book.is_crossed(), crossed);
}

#[derive(Clone, Debug)]
enum Step {
    Set {
        side: Side,
        price: i64,
        qty: i64,
    },
    /// Removes the best level of a side, as often as said: the touch walks into the book.
    Eat {
        side: Side,
        times: usize,
    },
    Clear,
}

/// Prices around a few centres, at the edges of windows and blocks around them, and at the ends of
/// 64 bits; few enough that levels are hit again.
fn price() -> impl Strategy<Value = i64> {
    let window = WINDOW as i64;
    let centre = prop::sample::select(vec![
        0,
        6_183_763,
        6_183_763 + 3 * window,
        -5 * window,
        i64::MIN + window / 2,
        i64::MAX - window / 2,
        i64::MIN,
        i64::MAX,
    ]);
    let edge = prop::sample::select(vec![
        0,
        window / 4,
        window / 2,
        window / 4 * 3,
        window,
        window + 4096,
        -4096,
        -window / 4,
        -window / 2,
        -window / 4 * 3,
        -window,
        7 * window,
    ]);
    prop_oneof![
        6 => (0i64..40).prop_map(|offset| 6_183_763 + offset),
        6 => (centre, edge, -2i64..=2).prop_map(|(centre, edge, nudge)| {
            centre.saturating_add(edge).saturating_add(nudge)
        }),
        3 => (-2 * window..2 * window).prop_map(|offset| 6_183_763 + offset),
        1 => any::<i64>(),
    ]
}

fn side() -> impl Strategy<Value = Side> {
    prop::sample::select(Side::ALL.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    let qty = prop_oneof![2 => Just(0), 4 => 1i64..1_000, 1 => Just(i64::MAX)];
    prop_oneof![
        40 => (side(), price(), qty).prop_map(|(side, price, qty)| Step::Set { side, price, qty }),
        4 => (side(), 1usize..12).prop_map(|(side, times)| Step::Eat { side, times }),
        1 => Just(Step::Clear),
    ]
}

fn run(steps: &[Step], far_levels_max: usize) {
    let mut book = Book::new(WINDOW, far_levels_max);
    let mut model = Model::default();
    for (nth, step) in steps.iter().enumerate() {
        match *step {
            Step::Set { side, price, qty } => {
                if book.set(side, Ticks(price), Lots(qty)).is_ok() {
                    model.set(side, price, qty);
                } else {
                    // The model keeps its old state, so this also proves that the book did.
                    assert!(qty > 0, "a removal needs no room");
                    assert!(book.level_count(side) >= far_levels_max);
                }
            }
            Step::Eat { side, times } => {
                for _ in 0..times {
                    if let Some(best) = book.best(side) {
                        book.set(side, best.price, Lots::ZERO).expect("no room");
                        model.set(side, best.price.0, 0);
                    }
                }
            }
            Step::Clear => {
                book.clear();
                model = Model::default();
            }
        }
        for side in Side::ALL {
            assert_eq!(book.best(side), model.levels(side).first().copied());
        }
        if nth % 16 == 0 {
            assert_equal(&book, &model);
        }
    }
    assert_equal(&book, &model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn the_book_holds_what_two_maps_hold(steps in vec(step(), 1..200)) {
        run(&steps, 1 << 10);
    }

    #[test]
    fn a_full_far_store_refuses_and_changes_nothing(steps in vec(step(), 1..200), max in 0usize..12) {
        run(&steps, max);
    }
}

fn set(book: &mut Book, side: Side, price: i64, qty: i64) -> Result<(), BookFull> {
    book.set(side, Ticks(price), Lots(qty))
}

#[test]
fn a_book_crossed_inside_a_message_keeps_both_sides() {
    let mut book = Book::new(WINDOW, 16);
    set(&mut book, Side::Bid, 100, 5).expect("room");
    set(&mut book, Side::Ask, 101, 7).expect("room");
    // The message moves the market up by one tick; its bids come first.
    set(&mut book, Side::Bid, 101, 3).expect("room");
    assert!(book.is_crossed());
    assert_eq!(book.best(Side::Ask).map(|level| level.qty), Some(Lots(7)));
    set(&mut book, Side::Ask, 101, 0).expect("room");
    set(&mut book, Side::Ask, 102, 2).expect("room");
    assert!(!book.is_crossed());
    assert_eq!(
        book.best(Side::Bid).map(|level| level.price),
        Some(Ticks(101))
    );
    assert_eq!(
        book.best(Side::Ask).map(|level| level.price),
        Some(Ticks(102))
    );
    book.assert_invariants();
}

#[test]
fn a_move_that_would_overfill_the_far_store_is_refused_whole() {
    let mut book = Book::new(WINDOW, 2);
    for price in 0..3 {
        set(&mut book, Side::Bid, price, 1).expect("in the window");
    }
    // A bid so high that all three would have to leave the window.
    assert_eq!(set(&mut book, Side::Bid, 1_000_000, 1), Err(BookFull));
    assert_eq!(
        book.best(Side::Bid).map(|level| level.price),
        Some(Ticks(2))
    );
    assert_eq!(book.level_count(Side::Bid), 3);
    book.assert_invariants();
    set(&mut book, Side::Bid, 1, 0).expect("removals need no room");
    set(&mut book, Side::Bid, 1_000_000, 1).expect("two levels fit");
    assert_eq!(book.level_count(Side::Bid), 3);
    book.assert_invariants();
}

#[test]
fn memory_is_reserved_once_and_use_follows_the_levels() {
    let mut book = Book::new(WINDOW, 64);
    let reserved = book.bytes_reserved();
    assert_eq!(
        reserved,
        2 * (WINDOW * 8 + WINDOW / 8 + WINDOW / 512 + 64 * 16)
    );
    assert_eq!(book.bytes_used(), 0);
    for price in 0..40 {
        set(&mut book, Side::Ask, price * 4_096, 1).expect("room");
    }
    assert!(book.bytes_used() > 0);
    assert_eq!(book.bytes_reserved(), reserved);
    book.clear();
    assert_eq!(book.bytes_used(), 0);
}

#[test]
#[should_panic(expected = "below zero")]
fn a_negative_quantity_is_our_own_bug() {
    let _ = set(&mut Book::new(WINDOW, 1), Side::Bid, 1, -1);
}

#[test]
#[should_panic(expected = "power of two")]
fn a_window_of_another_size_is_our_own_bug() {
    let _ = Book::new(3 * WINDOW, 1);
}

#[test]
fn depth_is_asked_for_at_any_price_and_quantity() {
    let mut book = Book::new(WINDOW, 16);
    let far = 10 + 2 * WINDOW as i64;
    for (price, qty) in [(10, 5), (12, 7), (far, 11)] {
        set(&mut book, Side::Ask, price, qty).expect("room");
    }
    let to_price = [
        (9, 0),
        (10, 5),
        (11, 5),
        (12, 12),
        (far - 1, 12),
        (far, 23),
        (i64::MAX, 23),
    ];
    for (price, sum) in to_price {
        assert_eq!(
            book.qty_to_price(Side::Ask, Ticks(price)),
            sum,
            "to {price}"
        );
    }
    let to_qty = [
        (0, Some(10)),
        (5, Some(10)),
        (6, Some(12)),
        (12, Some(12)),
        (13, Some(far)),
        (24, None),
    ];
    for (qty, price) in to_qty {
        assert_eq!(
            book.price_to_qty(Side::Ask, Lots(qty)),
            price.map(Ticks),
            "to fill {qty}"
        );
    }
    assert_eq!(book.qty_to_price(Side::Bid, Ticks(0)), 0);
    assert_eq!(book.price_to_qty(Side::Bid, Lots(0)), None);
}
