//! Records in, the view out: examples of each rule, and everything against a model that keeps all records.

use super::*;
use crate::testing::trading_view;
use proptest::prelude::*;
use std::task::Poll;
use veloz_core::event::Token;
use veloz_core::instrument::AssetIndex;
use veloz_core::oms::OmsFault;
use veloz_core::order::{ClientId, DoneReason, OrderKind, OrderState, Origin, Side, TimeInForce};
use veloz_core::risk::{Rejection, TradingState};
use veloz_core::telemetry::records::{CommandResult, HaltCause, OrderRequest, TradingPhase};
use veloz_core::units::{E8, Lots, Ticks, VenueMillis};
use veloz_core::venue::binance::order_error::classify;

const BTC: InstrumentIndex = InstrumentIndex(0);
/// Of every instrument of these tests, in 1e-8.
const TICK: i64 = 1_000_000;
const LOT: i64 = 1_000;

fn view() -> TradingView {
    let view = trading_view();
    view.set_wall_clock(1_000);
    view
}

fn id(sequence: u32) -> OrderId {
    OrderId { run: 7, sequence }
}

fn alias(number: u32) -> ClientId {
    ClientId::new(&format!("web-{number}")).expect("legal")
}

fn admitted(sequence: u32, kind: OrderKind, token: u64) -> RecordBody {
    RecordBody::OrderAdmitted {
        order: id(sequence),
        instrument: BTC,
        side: Side::Buy,
        kind,
        time_in_force: TimeInForce::Gtc,
        origin: Origin::Operator,
        price: Ticks(if kind == OrderKind::Market {
            0
        } else {
            6_000_000
        }),
        qty: Lots(10),
        token: Token(token),
    }
}

fn state(sequence: u32, from: OrderState, to: OrderState, executed: i64) -> RecordBody {
    RecordBody::OrderState {
        order: id(sequence),
        instrument: BTC,
        from,
        to,
        venue_order_id: if to == OrderState::Sent { 0 } else { 99 },
        executed: Lots(executed),
        qty: Lots(10),
    }
}

fn fill(sequence: u32, trade_id: u64, price: i64, qty: i64) -> RecordBody {
    RecordBody::Fill {
        order: id(sequence),
        instrument: BTC,
        side: Side::Buy,
        is_maker: true,
        fee_asset: AssetIndex(0),
        trade_id,
        price: Ticks(price),
        qty: Lots(qty),
        fee: E8(5),
    }
}

/// Tells the view records, one a nanosecond; the last thing that it told.
fn tell(view: &TradingView, bodies: &[RecordBody]) -> Told {
    let mut told = Told::default();
    for (position, &body) in bodies.iter().enumerate() {
        let number = position as u64;
        told = view.record(&Record {
            sequence: number,
            at: Nanos(number),
            body,
        });
    }
    told
}

fn events(view: &TradingView) -> Vec<(String, &'static str, i64)> {
    let events = view.order_events();
    let line = |event: &OrderEvent| (event.name(), event.status.label(), event.executed.0 / LOT);
    events.iter().map(line).collect()
}

#[test]
fn an_order_is_known_by_both_names_from_admission_to_its_last_fill() {
    let view = view();
    tell(
        &view,
        &[
            admitted(1, OrderKind::Limit, 5),
            RecordBody::OrderAlias {
                order: id(1),
                client_id: alias(1),
            },
            state(1, OrderState::Admitted, OrderState::Sent, 0),
        ],
    );
    let sent = view.find_order("web-1").expect("by the client's id");
    assert_eq!(Some(sent), view.find_order("7-1"), "by our number");
    assert_eq!(
        (sent.status(), sent.is_answered()),
        (OrderStatus::Pending, false)
    );
    assert_eq!((sent.symbol.as_str(), sent.token), ("BTCUSDT", Token(5)));
    assert_eq!(sent.price, Some(E8(6_000_000 * TICK)));
    assert_eq!((sent.qty, sent.avg_price()), (E8(10 * LOT), None));

    tell(
        &view,
        &[
            state(1, OrderState::Sent, OrderState::Live, 0),
            fill(1, 1, 5_999_999, 3),
            state(1, OrderState::Live, OrderState::PartiallyFilled, 3),
            fill(1, 2, 6_000_000, 3),
            state(1, OrderState::PartiallyFilled, OrderState::CancelSent, 6),
            fill(1, 3, 6_000_000, 1),
            fill(1, 4, 6_000_000, 3),
            state(
                1,
                OrderState::CancelSent,
                OrderState::Done(DoneReason::Filled),
                10,
            ),
        ],
    );
    let done = view.order(id(1)).expect("kept");
    assert_eq!((done.status(), done.reason()), (OrderStatus::Filled, None));
    assert_eq!(done.venue_order_id, Some(99));
    assert_eq!(done.executed, done.qty);
    // (5,999,999 x 3 + 6,000,000 x 7) / 10 ticks
    assert_eq!(done.avg_price(), Some(E8(59_999_997 * TICK / 10)));
    assert_eq!(done.last_ts_ns, 1_007);
    let name = || "web-1".to_owned();
    assert_eq!(
        events(&view),
        [
            (name(), "PENDING", 0),
            (name(), "ACCEPTED", 0),
            (name(), "PARTIALLY_FILLED", 3),
            (name(), "PARTIALLY_FILLED", 6),
            (name(), "PARTIALLY_FILLED", 7),
            (name(), "FILLED", 10),
        ],
        "a cancel on its way is no event, and neither is a fill whose state follows"
    );
    let fills: Vec<_> = view
        .fills(2, |_| true)
        .iter()
        .map(|fill| fill.trade_id)
        .collect();
    assert_eq!(fills, [4, 3], "newest first");
    assert_eq!(view.fills(1, |_| true)[0].name(), "web-1");
}

#[test]
fn an_average_is_rounded_once_half_to_even() {
    let view = view();
    tell(
        &view,
        &[
            admitted(1, OrderKind::Market, 0),
            fill(1, 1, 1, 1),
            fill(1, 2, 2, 2),
        ],
    );
    let order = view.order(id(1)).expect("kept");
    assert_eq!(order.price, None, "a market order has none");
    // 5/3 ticks of a cent: 0.0166...
    assert_eq!(order.avg_price(), Some(E8(1_666_667)));
    assert_eq!(
        order.filled_notional(),
        Some(E8(5 * TICK * LOT / 100_000_000))
    );
    let mut line = order;
    for (notional, price) in [(5, 2), (7, 4), (4, 2), (3, 2), (1, 0)] {
        line.filled_e8 = 2;
        line.filled_notional_e16 = notional;
        assert_eq!(line.avg_price(), Some(E8(price)), "{notional}/2");
    }
}

#[test]
fn each_way_to_fail_has_its_reason() {
    let rejected = OrderState::Done(DoneReason::Rejected);
    let refused =
        |request, code| RecordBody::venue_refused(id(1), BTC, request, classify(400, code, ""));
    let after = |bodies: &[RecordBody]| {
        let view = view();
        tell(&view, &[admitted(1, OrderKind::Limit, 0)]);
        tell(&view, bodies);
        let order = view.order(id(1)).expect("kept");
        (
            order.status().label(),
            order.reason().map(|reason| reason.to_string()),
        )
    };
    let with = |status, reason: &str| (status, Some(reason.to_owned()));
    let sent = state(1, OrderState::Admitted, OrderState::Sent, 0);
    assert_eq!(
        after(&[state(1, OrderState::Admitted, rejected, 0)]),
        with("REJECTED", "not_sent")
    );
    assert_eq!(
        after(&[
            sent,
            refused(OrderRequest::Place, -2_010),
            state(1, OrderState::Sent, rejected, 0)
        ]),
        with("REJECTED", "venue_rejected (-2010)")
    );
    assert_eq!(
        after(&[
            sent,
            refused(OrderRequest::Cancel, -2_011),
            state(1, OrderState::Sent, rejected, 0)
        ]),
        with("REJECTED", "venue_matching_engine"),
        "a refused cancel is no reason"
    );
    assert_eq!(
        after(&[sent, state(1, OrderState::Sent, OrderState::Unresolved, 0)]),
        with("PENDING", "outcome_unknown")
    );
    let prevented = OrderState::Done(DoneReason::ExpiredInMatch);
    assert_eq!(
        after(&[sent, state(1, OrderState::Sent, prevented, 0)]),
        with("EXPIRED", "self_trade_prevention")
    );
}

#[test]
fn an_order_of_an_earlier_run_tells_side_and_price_and_not_its_kind() {
    let view = view();
    let told = tell(
        &view,
        &[
            RecordBody::OrderAdopted {
                order: id(1),
                instrument: BTC,
                side: Side::Sell,
                price: Ticks(6_000_000),
            },
            state(1, OrderState::Unresolved, OrderState::PartiallyFilled, 4),
        ],
    );
    let order = view.order(id(1)).expect("taken over");
    assert_eq!((order.side, order.kind), (Some(Side::Sell), None));
    assert_eq!(order.price, Some(E8(6_000_000 * TICK)));
    assert_eq!((order.executed, order.avg_price()), (E8(4 * LOT), None));
    assert_eq!(
        told.event.map(|event| event.status),
        Some(OrderStatus::PartiallyFilled)
    );
    tell(&view, &[fill(1, 9, 6_000_000, 1)]);
    let order = view.order(id(1)).expect("taken over");
    assert_eq!(
        order.executed,
        E8(4 * LOT),
        "whether the fill is among the four is not known"
    );
}

#[test]
fn what_risk_refused_is_an_event_with_the_name_that_its_command_gave() {
    let view = view();
    let token = view.commands().issue(Asked {
        client_id: Some(alias(3)),
        ..Asked::default()
    });
    let told = tell(
        &view,
        &[RecordBody::OrderRejected {
            instrument: BTC,
            reason: Rejection::PriceCollar,
            side: Side::Sell,
            origin: Origin::Operator,
            price: Ticks(1),
            qty: Lots(2),
            token,
        }],
    );
    assert_eq!(told.order, None);
    let event = told.event.expect("told");
    assert_eq!(
        (event.name(), event.status.label()),
        ("web-3".to_owned(), "REJECTED")
    );
    assert_eq!(
        event.reason.map(|reason| reason.to_string()).as_deref(),
        Some("price_collar")
    );
    assert_eq!(view.order_events(), [event]);
}

#[test]
fn the_account_stands_as_it_was_last_told() {
    let view = view();
    assert_eq!(
        (view.balances(), view.standing()),
        (vec![], Standing::default())
    );
    let balance = |asset, free| RecordBody::Balance {
        asset: AssetIndex(asset),
        free: E8(free),
        locked: E8(1),
        at: VenueMillis(5),
    };
    tell(
        &view,
        &[
            balance(1, 10),
            balance(0, 20),
            balance(1, 30),
            RecordBody::Position {
                instrument: BTC,
                qty: E8(1),
                entry: E8(2),
                realized: E8(3),
            },
            RecordBody::TradingPhase {
                from: TradingPhase::Starting,
                to: TradingPhase::Ready,
                open_orders: 0,
                unresolved: 0,
            },
            RecordBody::TradingState {
                from: TradingState::Active,
                to: TradingState::Halted,
                cause: HaltCause::Overfill,
            },
            RecordBody::KillSwitch {
                latched: true,
                cause: HaltCause::Overfill,
            },
        ],
    );
    let balances: Vec<_> = view
        .balances()
        .iter()
        .map(|line| (line.asset.as_str().to_owned(), line.free.0, line.ts_ns))
        .collect();
    assert_eq!(
        balances,
        [
            ("BTC".to_owned(), 20, 1_001),
            ("USDT".to_owned(), 30, 1_002)
        ]
    );
    assert_eq!(view.position_changed_ns(BTC), Some(1_003));
    assert_eq!(view.closings(), Closings { wins: 1, losses: 0 });
    let standing = view.standing();
    assert_eq!(standing.phase, Some(TradingPhase::Ready));
    let state = standing.state.expect("told");
    assert_eq!(
        (state.now, state.cause, state.since_ns),
        (TradingState::Halted, HaltCause::Overfill, 1_005)
    );
    assert_eq!(standing.kill_switch.map(|latched| latched.now), Some(true));
}

#[test]
fn only_fills_of_the_strategy_s_orders_are_its_wins_and_losses() {
    let view = view();
    let by = |sequence: u32, origin: Origin| match admitted(sequence, OrderKind::Limit, 0) {
        RecordBody::OrderAdmitted {
            order,
            instrument,
            side,
            kind,
            time_in_force,
            price,
            qty,
            token,
            ..
        } => RecordBody::OrderAdmitted {
            order,
            instrument,
            side,
            kind,
            time_in_force,
            origin,
            price,
            qty,
            token,
        },
        other => other,
    };
    let position = |realized: i64| RecordBody::Position {
        instrument: BTC,
        qty: E8(1),
        entry: E8(2),
        realized: E8(realized),
    };
    tell(
        &view,
        &[
            by(1, Origin::Strategy),
            by(2, Origin::Operator),
            // Opens: nothing is realised.
            fill(1, 1, 5, 1),
            position(0),
            fill(1, 2, 5, 1),
            position(30),
            fill(2, 3, 5, 1),
            position(50),
            fill(1, 4, 5, 1),
            position(10),
            fill(2, 5, 5, 1),
            position(0),
            fill(1, 6, 5, 1),
            position(1),
            // At what it cost: neither.
            fill(1, 7, 5, 1),
            position(1),
            // Of an earlier run: nobody knows who wanted it.
            fill(9, 8, 5, 1),
            position(7),
        ],
    );
    assert_eq!(view.closings(), Closings { wins: 4, losses: 2 });
    assert_eq!(view.strategy_closings(), Closings { wins: 2, losses: 1 });
}

#[test]
fn counts_are_of_what_was_told() {
    let view = view();
    let cancelled = OrderState::Done(DoneReason::Cancelled);
    tell(
        &view,
        &[
            admitted(1, OrderKind::Limit, 0),
            state(1, OrderState::Admitted, OrderState::Sent, 0),
            fill(1, 1, 5, 1),
            state(1, OrderState::PartiallyFilled, cancelled, 1),
            admitted(2, OrderKind::Market, 0),
            state(
                2,
                OrderState::Admitted,
                OrderState::Done(DoneReason::Rejected),
                0,
            ),
            RecordBody::venue_refused(id(1), BTC, OrderRequest::Place, classify(400, -2_010, "")),
            RecordBody::venue_refused(
                id(1),
                BTC,
                OrderRequest::Place,
                classify(400, -2_010, "Order would immediately match and take."),
            ),
            RecordBody::venue_refused(id(1), BTC, OrderRequest::Cancel, classify(400, -2_011, "")),
            RecordBody::CommandDone {
                token: Token(1),
                result: CommandResult::Done,
                reason: None,
                order: None,
            },
        ],
    );
    let counts = view.counts();
    assert_eq!(counts.orders(Side::Buy, OrderKind::Limit), 1);
    assert_eq!(
        counts.orders(Side::Buy, OrderKind::Market),
        0,
        "it never left"
    );
    assert_eq!((counts.fills(Side::Buy), counts.fills(Side::Sell)), (1, 0));
    assert_eq!(counts.cancels(), 1);
    // A cancel brings no order.
    let rejected: Vec<_> = counts.rejected().filter(|(_, count)| *count > 0).collect();
    assert_eq!(rejected, [("rejected", 1), ("would_match", 1)]);
    let mut reasons: Vec<_> = counts.rejected().map(|(reason, _)| reason).collect();
    reasons.sort_unstable();
    let every = reasons.len();
    reasons.dedup();
    assert_eq!(reasons.len(), every, "no reason comes twice");
    assert_eq!(counts.refused(OrderRequest::Cancel), 1);
    assert_eq!(counts.commands(CommandResult::Done), 1);
}

#[test]
fn finished_orders_leave_oldest_first_and_open_ones_stay() {
    let view = view();
    let done = OrderState::Done(DoneReason::Cancelled);
    tell(&view, &[admitted(1, OrderKind::Limit, 0)]);
    for sequence in 2..=FINISHED_MAX as u32 + 3 {
        tell(
            &view,
            &[
                admitted(sequence, OrderKind::Limit, 0),
                RecordBody::OrderAlias {
                    order: id(sequence),
                    client_id: alias(sequence),
                },
                state(sequence, OrderState::Live, done, 0),
            ],
        );
    }
    assert!(view.order(id(1)).is_some(), "open");
    assert_eq!((view.order(id(2)), view.order(id(3))), (None, None));
    assert_eq!(view.find_order("web-3"), None, "nor its alias");
    assert!(view.order(id(4)).is_some());
    assert_eq!(view.orders(usize::MAX, |_| true).len(), FINISHED_MAX + 1);
    assert_eq!(
        view.orders(1, OrderLine::is_done)[0].id,
        id(FINISHED_MAX as u32 + 3)
    );
    assert_eq!(view.order_events().len(), EVENTS_MAX);

    // Orders whose end was lost.
    for sequence in 0..=ORDERS_MAX as u32 {
        tell(
            &view,
            &[admitted(1_000_000 + sequence, OrderKind::Limit, 0)],
        );
    }
    assert_eq!(view.orders(usize::MAX, |_| true).len(), ORDERS_MAX);
    assert_eq!(view.order(id(1)), None);
}

#[tokio::test]
async fn an_answer_reaches_who_waits_and_who_comes_late() {
    let view = view();
    let commands = view.commands();
    let token = commands.issue(Asked::default());
    assert_ne!(token, Token::default());
    assert_ne!(token, commands.issue(Asked::default()));
    let waiting = commands.wait(token);
    tokio::pin!(waiting);
    assert_eq!(futures_util::poll!(&mut waiting), Poll::Pending);
    tell(
        &view,
        &[RecordBody::CommandDone {
            token,
            result: CommandResult::Rejected,
            reason: Some(Rejection::NotReady),
            order: None,
        }],
    );
    let answer = waiting.await.expect("answered");
    assert_eq!(
        (answer.result, answer.reason),
        (CommandResult::Rejected, Some(Rejection::NotReady))
    );
    assert_eq!(commands.wait(token).await, Some(answer), "late");
    assert_eq!(commands.asked(token), None, "not under way");

    let withdrawn = commands.issue(Asked::default());
    let waiting = commands.wait(withdrawn);
    tokio::pin!(waiting);
    assert_eq!(futures_util::poll!(&mut waiting), Poll::Pending);
    commands.withdraw(withdrawn);
    assert_eq!(waiting.await, None);
}

#[test]
fn tables_of_commands_forget_the_oldest() {
    let view = view();
    let commands = view.commands();
    let tokens: Vec<_> = (0..=ISSUED_MAX)
        .map(|_| commands.issue(Asked::default()))
        .collect();
    assert_eq!(commands.asked(tokens[0]), None);
    assert!(commands.asked(tokens[1]).is_some());
    for &token in &tokens {
        tell(
            &view,
            &[RecordBody::CommandDone {
                token,
                result: CommandResult::Done,
                reason: None,
                order: None,
            }],
        );
    }
    assert_eq!(commands.answer(tokens[ISSUED_MAX - ANSWERS_KEPT_MAX]), None);
    assert!(
        commands
            .answer(tokens[ISSUED_MAX - ANSWERS_KEPT_MAX + 1])
            .is_some()
    );
}

#[tokio::test]
async fn an_order_is_waited_for_until_it_is_as_wished_or_forgotten() {
    let view = view();
    assert_eq!(view.wait_order(id(1), OrderLine::is_answered).await, None);
    tell(&view, &[admitted(1, OrderKind::Limit, 0)]);
    let other = view.clone();
    let waiting = other.wait_order(id(1), OrderLine::is_answered);
    tokio::pin!(waiting);
    assert_eq!(futures_util::poll!(&mut waiting), Poll::Pending);
    tell(
        &view,
        &[state(1, OrderState::Admitted, OrderState::Sent, 0)],
    );
    assert_eq!(
        futures_util::poll!(&mut waiting),
        Poll::Pending,
        "not yet as wished"
    );
    tell(&view, &[state(1, OrderState::Sent, OrderState::Live, 0)]);
    assert_eq!(
        waiting.await.map(|order| order.state),
        Some(OrderState::Live)
    );

    let forgotten = other.wait_order(id(1), OrderLine::is_done);
    tokio::pin!(forgotten);
    assert_eq!(futures_util::poll!(&mut forgotten), Poll::Pending);
    for sequence in 2..=ORDERS_MAX as u32 + 1 {
        tell(&view, &[admitted(sequence, OrderKind::Limit, 0)]);
    }
    assert_eq!(forgotten.await, None);
}

#[derive(Clone, Debug)]
enum Step {
    Admit {
        order: u32,
        client: Option<u32>,
    },
    State {
        order: u32,
        to: OrderState,
        executed: i64,
    },
    Fill {
        order: u32,
        price: i64,
        qty: i64,
    },
    Fault {
        order: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let order = 1..12u32;
    prop_oneof![
        (order.clone(), proptest::option::of(0..6u32))
            .prop_map(|(order, client)| Step::Admit { order, client }),
        (order.clone(), 0..OrderState::ALL.len(), 0..10i64).prop_map(|(order, to, executed)| {
            Step::State {
                order,
                to: OrderState::ALL[to],
                executed,
            }
        }),
        (order.clone(), 1..9_000_000i64, 1..5i64).prop_map(|(order, price, qty)| Step::Fill {
            order,
            price,
            qty
        }),
        order.prop_map(|order| Step::Fault { order }),
    ]
}

proptest! {
    /// The model keeps every record and looks at all of them for every question.
    #[test]
    fn the_view_is_what_all_records_say(steps in proptest::collection::vec(step(), 0..200)) {
        let view = view();
        let mut log: Vec<RecordBody> = Vec::new();
        let mut trades = 0;
        for step in &steps {
            let from = OrderState::Live;
            let bodies = match *step {
                Step::Admit { order, client } => {
                    let mut bodies = vec![admitted(order, OrderKind::Limit, 0)];
                    bodies.extend(client.map(|client| RecordBody::OrderAlias {
                        order: id(order),
                        client_id: alias(client),
                    }));
                    // The core numbers no two orders alike and refuses a client's id twice.
                    let taken = bodies.iter().any(|body| log.iter().any(|old| match (body, old) {
                        (RecordBody::OrderAdmitted { order, .. }, RecordBody::OrderAdmitted { order: other, .. })
                        | (RecordBody::OrderAdmitted { order, .. }, RecordBody::OrderState { order: other, .. }) => order == other,
                        (RecordBody::OrderAlias { client_id, .. }, RecordBody::OrderAlias { client_id: other, .. }) => client_id == other,
                        _ => false,
                    }));
                    if taken { vec![] } else { bodies }
                }
                Step::State { order, to, executed } => vec![state(order, from, to, executed)],
                Step::Fill { order, price, qty } => {
                    trades += 1;
                    vec![fill(order, trades, price, qty)]
                }
                Step::Fault { order } => vec![RecordBody::OrderFault {
                    order: id(order),
                    instrument: BTC,
                    fault: OmsFault::WentBack,
                }],
            };
            tell(&view, &bodies);
            log.extend(bodies);
        }
        for sequence in 1..12 {
            let order = id(sequence);
            let first = log.iter().position(|body| matches!(*body,
                RecordBody::OrderAdmitted { order: of, .. } | RecordBody::OrderState { order: of, .. } if of == order));
            let line = view.order(order);
            prop_assert_eq!(line.is_some(), first.is_some());
            let (Some(line), Some(first)) = (line, first) else { continue };
            let (mut last_state, mut told, mut filled, mut notional, mut client) =
                (None, 0, 0i128, 0i128, None);
            for body in &log[first..] {
                match *body {
                    RecordBody::OrderState { order: of, to, executed, .. } if of == order => {
                        last_state = Some(to);
                        told = told.max(executed.0);
                    }
                    RecordBody::Fill { order: of, price, qty, .. } if of == order => {
                        filled += i128::from(qty.0);
                        notional += i128::from(price.0) * i128::from(qty.0);
                    }
                    RecordBody::OrderAlias { order: of, client_id } if of == order => client = Some(client_id),
                    _ => {}
                }
            }
            prop_assert_eq!(line.state, last_state.unwrap_or(OrderState::Admitted));
            prop_assert_eq!(i128::from(line.executed.0), filled.max(told.into()) * i128::from(LOT));
            prop_assert_eq!(line.client_id, client);
            prop_assert_eq!(view.find_order(&line.name()), Some(line));
            match line.avg_price() {
                None => prop_assert_eq!(filled, 0),
                Some(price) => {
                    // Twice the distance to the exact quotient is at most one unit.
                    let off = i128::from(price.0) * filled - notional * i128::from(TICK);
                    prop_assert!(2 * off.abs() <= filled);
                }
            }
        }
        let newest: Vec<_> = view.fills(usize::MAX, |_| true).iter().map(|fill| fill.trade_id).collect();
        prop_assert_eq!(newest, (1..=trades).rev().collect::<Vec<_>>());
        let ids: Vec<_> = view.orders(usize::MAX, |_| true).iter().map(|line| line.id).collect();
        prop_assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
    }
}
