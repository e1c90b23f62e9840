//! Matching against slow, obvious models: unit by unit, and with the queues spelled out.

use proptest::prelude::*;
use proptest::strategy::Strategy;
use veloz_core::units::E8_ONE;

use super::super::plan::{End, Maker, Plan, Step, Taker, Want, plan};
use super::*;

/// So many whole units.
fn units(count: i64) -> E8 {
    E8(count * E8_ONE)
}

/// A summary of what a plan does, in whole units.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    /// By price and by resting order, `None` being the public.
    traded: BTreeMap<(i64, Option<u64>), i64>,
    maker_prevented: BTreeMap<u64, i64>,
    taker_prevented: i64,
    end: Option<End>,
}

impl Sums {
    fn of(plan: &Plan) -> Self {
        let count = |qty: E8| qty.0 / E8_ONE;
        let mut sums = Self {
            end: Some(plan.end),
            ..Self::default()
        };
        for step in &plan.steps {
            match *step {
                Step::Public { price, qty } => {
                    *sums.traded.entry((count(price), None)).or_default() += count(qty);
                }
                Step::Trade { maker, qty } => {
                    let key = (count(maker.price), Some(maker.order_id));
                    *sums.traded.entry(key).or_default() += count(qty);
                }
                Step::Prevent {
                    maker,
                    maker_qty,
                    taker_qty,
                    ..
                } => {
                    if maker_qty.0 > 0 {
                        *sums.maker_prevented.entry(maker.order_id).or_default() +=
                            count(maker_qty);
                    }
                    sums.taker_prevented += count(taker_qty);
                }
            }
        }
        sums
    }
}

/// Walks a queue in which every unit stands by itself.
fn walk(taker: &Taker, public: &[Level], makers: &[Maker]) -> Sums {
    let mut prices: Vec<_> = public.iter().map(|level| level.price.0).collect();
    prices.extend(makers.iter().map(|maker| maker.price.0));
    prices.sort_unstable();
    prices.dedup();
    if taker.side == OrderSide::Sell {
        prices.reverse();
    }
    let mut queue = Vec::new();
    for price in prices {
        let level = public.iter().find(|level| level.price.0 == price);
        let shown = level.map_or(0, |level| level.qty.0 / E8_ONE);
        let mut placed = 0;
        for maker in makers.iter().filter(|maker| maker.price.0 == price) {
            while placed < shown && placed < maker.ahead.0 / E8_ONE {
                queue.push((price, None));
                placed += 1;
            }
            queue.extend((0..maker.remaining.0 / E8_ONE).map(|_| (price, Some(*maker))));
        }
        queue.extend((placed..shown).map(|_| (price, None)));
    }

    let mut sums = Sums::default();
    let mut want = match taker.want {
        Want::Base(qty) => (qty.0 / E8_ONE, false),
        Want::Quote { budget, .. } => (budget.0 / E8_ONE, true),
    };
    let wanted = |want: (i64, bool), price: i64| match want {
        (left, false) => left,
        (budget, true) => budget / (price / E8_ONE),
    };
    let less = |want: &mut (i64, bool), price: i64| {
        want.0 -= if want.1 { price / E8_ONE } else { 1 };
    };
    let mut gone = Vec::new();
    for (position, &(price, maker)) in queue.iter().enumerate() {
        let within = taker.limit.is_none_or(|limit| match taker.side {
            OrderSide::Buy => price <= limit.0,
            OrderSide::Sell => price >= limit.0,
        });
        if !within {
            break;
        }
        if wanted(want, price) == 0 {
            sums.end = Some(End::Filled);
            return sums;
        }
        let own = maker.filter(|maker| maker.account == taker.account);
        if own.is_some_and(|own| gone.contains(&own.order_id)) {
            continue;
        }
        if let (Some(own), false) = (own, taker.stp == StpMode::None) {
            let id = own.order_id;
            let rest = queue[position..].iter();
            let rest = rest.filter(|(_, maker)| maker.is_some_and(|maker| maker.order_id == id));
            let (of_maker, of_taker) = match taker.stp {
                StpMode::ExpireTaker => (0, wanted(want, price)),
                StpMode::ExpireMaker => (rest.count() as i64, 0),
                StpMode::ExpireBoth => (rest.count() as i64, wanted(want, price)),
                StpMode::Decrement | StpMode::Transfer => (1, 1),
                StpMode::None => unreachable!("looked at before"),
            };
            if of_maker > 0 {
                *sums.maker_prevented.entry(id).or_default() += of_maker;
            }
            sums.taker_prevented += of_taker;
            for _ in 0..of_taker {
                less(&mut want, price);
            }
            if wanted(want, price) == 0 {
                sums.end = Some(End::Prevented);
                return sums;
            }
            if taker.stp == StpMode::ExpireMaker {
                gone.push(id);
            }
            continue;
        }
        let key = (price / E8_ONE, maker.map(|maker| maker.order_id));
        *sums.traded.entry(key).or_default() += 1;
        less(&mut want, price);
        if wanted(want, price) == 0 {
            sums.end = Some(End::Filled);
            return sums;
        }
    }
    sums.end = Some(End::BookOver);
    sums
}

fn modes() -> impl Strategy<Value = StpMode> {
    prop::sample::select(vec![
        StpMode::None,
        StpMode::ExpireTaker,
        StpMode::ExpireMaker,
        StpMode::ExpireBoth,
        StpMode::Decrement,
        StpMode::Transfer,
    ])
}

fn sides() -> impl Strategy<Value = OrderSide> {
    prop::sample::select(vec![OrderSide::Buy, OrderSide::Sell])
}

proptest! {
    // Small and cheap, with many combinations.
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_plan_is_the_walk_unit_by_unit(
        side in sides(),
        stp in modes(),
        want in 1i64..20,
        in_quote in any::<bool>(),
        limit in prop::option::of(1i64..5),
        levels in prop::collection::btree_map(1i64..4, 1i64..8, 0..4),
        makers in prop::collection::vec((1i64..4, 1i64..5, 0i64..8, 0usize..2), 0..6),
    ) {
        let mut public: Vec<_> = levels
            .into_iter()
            .map(|(price, qty)| Level { price: units(price), qty: units(qty) })
            .collect();
        let mut makers: Vec<_> = makers
            .into_iter()
            .zip(1..)
            .map(|((price, remaining, ahead, account), order_id)| Maker {
                account: AccountIndex(account),
                order_id,
                price: units(price),
                remaining: units(remaining),
                ahead: units(ahead),
            })
            .collect();
        makers.sort_by_key(|maker| maker.price);
        if side == OrderSide::Sell {
            public.reverse();
            makers.sort_by_key(|maker| -maker.price.0);
        }
        let taker = Taker {
            account: A,
            side,
            limit: limit.map(units),
            want: if in_quote {
                Want::Quote { budget: units(want * 3), step: E8(E8_ONE) }
            } else {
                Want::Base(units(want))
            },
            stp,
        };
        let planned = plan(taker, &public, &makers);
        prop_assert_eq!(Sums::of(&planned), walk(&taker, &public, &makers));

        let traded = planned.steps.iter().map(|step| match *step {
            Step::Public { price, qty } => (price, qty),
            Step::Trade { maker, qty } => (maker.price, qty),
            Step::Prevent { .. } => (E8(0), E8(0)),
        });
        let traded: Vec<_> = traded.collect();
        let executed: i64 = traded.iter().map(|(_, qty)| qty.0).sum();
        let quote: i64 = traded.iter().map(|(price, qty)| price.0 / E8_ONE * qty.0).sum();
        prop_assert_eq!(planned.executed, E8(executed));
        prop_assert_eq!(planned.quote, Some(E8(quote)));
    }
}

/// One level of bids, front first.
#[derive(Clone, Debug, Default)]
struct Line(Vec<Stander>);

#[derive(Clone, Copy, Debug)]
enum Stander {
    Public(i64),
    Own(u64, i64),
}

impl Line {
    fn public(&self) -> i64 {
        let public = self.0.iter().map(|stander| match stander {
            Stander::Public(qty) => *qty,
            Stander::Own(..) => 0,
        });
        public.sum()
    }

    /// Serves a seller from the front; what each order got, and what the seller has left.
    fn serve(&mut self, mut qty: i64, fills: &mut Vec<(u64, i64)>) -> i64 {
        for stander in &mut self.0 {
            let (Stander::Public(here) | Stander::Own(_, here)) = stander;
            let got = qty.min(*here);
            *here -= got;
            qty -= got;
            if let Stander::Own(id, _) = *stander
                && got > 0
            {
                fills.push((id, got));
            }
        }
        self.0.retain(|stander| {
            let (Stander::Public(here) | Stander::Own(_, here)) = stander;
            *here > 0
        });
        qty
    }

    /// The public quantity is what the book shows: more than that is gone from the back.
    fn show(&mut self, shown: i64) {
        let mut excess = self.public() - shown;
        for stander in self.0.iter_mut().rev() {
            if let Stander::Public(here) = stander {
                let gone = excess.min(*here);
                *here -= gone;
                excess -= gone;
            }
        }
    }

    /// A seller went through: the orders are in front of whatever is public.
    fn pass(&mut self) {
        self.0.sort_by_key(|stander| match stander {
            Stander::Own(..) => 0,
            Stander::Public(_) => 1,
        });
    }

    /// Public quantity ahead of each order.
    fn ahead(&self) -> Vec<(u64, i64)> {
        let mut ahead = 0;
        let mut list = Vec::new();
        for stander in &self.0 {
            match *stander {
                Stander::Public(qty) => ahead += qty,
                Stander::Own(id, _) => list.push((id, ahead)),
            }
        }
        list
    }
}

#[derive(Clone, Debug)]
enum Op {
    Join {
        account: usize,
        level: usize,
        qty: i64,
    },
    Gain {
        level: usize,
        qty: i64,
    },
    Print {
        level: usize,
        qty: i64,
    },
    Cancel {
        position: usize,
    },
    Amend {
        position: usize,
        less: i64,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0usize..2, 0usize..3, 1i64..6)
            .prop_map(|(account, level, qty)| Op::Join { account, level, qty }),
        3 => (0usize..3, 1i64..6).prop_map(|(level, qty)| Op::Gain { level, qty }),
        4 => (0usize..3, 1i64..9).prop_map(|(level, qty)| Op::Print { level, qty }),
        1 => any::<usize>().prop_map(|position| Op::Cancel { position }),
        1 => (any::<usize>(), 1i64..4)
            .prop_map(|(position, less)| Op::Amend { position, less }),
    ];
    prop::collection::vec(op, 1..60)
}

proptest! {
    #[test]
    fn queues_are_those_of_lines_in_which_everybody_stands(ops in ops()) {
        const PRICES: [&str; 3] = ["100", "99", "98"];
        let mut stage = Stage::new(PublicBook::new(&[], &[("300", "1")]));
        let mut lines: [Line; 3] = [const { Line(Vec::new()) }; 3];
        let mut shown = [0i64; 3];
        for op in ops {
            let mut expected = Vec::new();
            let mut changed = None;
            let open: Vec<(AccountIndex, u64)> = [A, B]
                .into_iter()
                .flat_map(|account| {
                    let orders = stage.exchange.open_orders(account, None);
                    orders.map(move |order| (account, order.id)).collect::<Vec<_>>()
                })
                .collect();
            let mut fills: Vec<(u64, i64)> = Vec::new();
            match op {
                Op::Join { account, level, qty } => {
                    let order = buy(&qty.to_string(), PRICES[level]);
                    let placed = stage.place(AccountIndex(account), order);
                    lines[level].0.push(Stander::Own(placed.order.id, qty));
                }
                Op::Gain { level, qty } => {
                    shown[level] += qty;
                    // The back of the line may be missing what a fill of ours displaced.
                    let more = shown[level] - lines[level].public();
                    lines[level].0.push(Stander::Public(more));
                    changed = Some(level);
                }
                Op::Print { level, qty } => {
                    let mut left = qty;
                    for better in &mut lines[..level] {
                        better.pass();
                        let all = left;
                        let own: i64 = better.0.iter().map(|stander| match stander {
                            Stander::Own(_, qty) => *qty,
                            Stander::Public(_) => 0,
                        }).sum();
                        left -= own.min(all);
                        better.serve(own.min(all), &mut expected);
                    }
                    lines[level].serve(left, &mut expected);
                    shown[level] = (shown[level] - qty).max(0);
                    lines[level].show(shown[level]);
                    let trade = Trade {
                        id: 1,
                        price: e8(PRICES[level]),
                        qty: units(qty),
                        buyer_is_maker: true,
                    };
                    stage.now.0 += 1;
                    let published = Published {
                        at: stage.now,
                        symbol: SYMBOL,
                        event: MarketEvent::Trade(trade),
                    };
                    stage.exchange.public(stage.now, &published, &stage.book);
                    let filled = stage.reports();
                    fills = filled.iter().map(|report| {
                        let fill = report.fill.as_ref().expect("a trade");
                        (fill.order_id, fill.qty.0 / E8_ONE)
                    }).collect();
                    changed = Some(level);
                }
                Op::Cancel { position } => {
                    let Some(&(account, id)) = open.get(position % open.len().max(1)) else {
                        continue;
                    };
                    stage.cancel(account, id).expect("open");
                    stage.events();
                    let own = |stander: &Stander| {
                        matches!(stander, Stander::Own(of, _) if *of == id)
                    };
                    for line in &mut lines {
                        line.0.retain(|stander| !own(stander));
                    }
                }
                Op::Amend { position, less } => {
                    let Some(&(account, id)) = open.get(position % open.len().max(1)) else {
                        continue;
                    };
                    let order = stage.order(account, id);
                    if order.remaining() <= units(less) || order.amends >= 10 {
                        continue;
                    }
                    let new_qty = E8(order.orig_qty.0 - units(less).0);
                    let which = OrderRef::Id(id);
                    stage
                        .exchange
                        .amend(stage.now, account, SYMBOL, &which, new_qty, format!("n{id}"))
                        .expect("reduced");
                    stage.events();
                    for stander in lines.iter_mut().flat_map(|line| &mut line.0) {
                        if let Stander::Own(of, qty) = stander
                            && *of == id
                        {
                            *qty -= less;
                        }
                    }
                }
            }
            prop_assert_eq!(fills, expected);
            if let Some(level) = changed {
                stage.diff(OrderSide::Buy, PRICES[level], &shown[level].to_string());
            }
            let resting = stage.exchange.markets[0].resting.iter(OrderSide::Buy);
            let ahead: Vec<_> = resting
                .map(|resting| (resting.order_id, resting.queue.ahead().0 / E8_ONE))
                .collect();
            let spelled: Vec<_> = lines.iter().flat_map(Line::ahead).collect();
            prop_assert_eq!(ahead, spelled);
        }
    }
}
