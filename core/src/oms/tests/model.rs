//! The machine against a simple venue, with everything between them delayed, reordered, doubled or lost.
//!
//! The venue is honest and obvious: it knows each order's truth at once. What it says lies in a bag from which the test
//! takes, repeats or drops at random. In the end the bag is thrown away, questions are answered, and the machine must
//! know the truth: the same orders open, the same ends, every fill booked once. On the way no fault that halts may
//! appear, because nothing that the venue said was wrong.

use super::*;
use proptest::prelude::*;

/// One order as the venue knows it.
#[derive(Clone, Debug)]
struct Truth {
    id: OrderId,
    venue_order_id: u64,
    side: Side,
    price: Ticks,
    qty: i64,
    trades: Vec<Fill>,
    status: VenueStatus,
}

impl Truth {
    fn executed(&self) -> i64 {
        self.trades.iter().map(|fill| fill.qty.0).sum()
    }

    fn is_open(&self) -> bool {
        self.status.done().is_none()
    }

    fn status(&self) -> OrderStatus {
        OrderStatus {
            instrument: HERE,
            key: OrderKey::Ours(self.id),
            venue_order_id: self.venue_order_id,
            status: self.status,
            side: self.side,
            price: self.price,
            qty: Lots(self.qty),
            executed: Lots(self.executed()),
            updated: VenueMillis(1),
        }
    }
}

/// What travels from the venue to the machine.
#[derive(Clone, Copy, Debug)]
enum Told {
    Acknowledged(OrderId, u64),
    Refused(OrderId),
    Report(ExecutionReport),
    Status(OrderStatus, Nanos),
    NotFound(OrderId, Nanos),
    Trade(OrderId, OwnTrade),
    TradesComplete(OrderId),
    CancelRefused(OrderId),
    Amended(OrderStatus),
    AmendRefused(OrderId),
}

/// A placement on its way to the venue.
#[derive(Clone, Copy, Debug)]
struct Placement {
    id: OrderId,
    side: Side,
    price: Ticks,
    qty: i64,
    sent_at: Nanos,
}

struct World {
    oms: Oms,
    now: Nanos,
    truths: Vec<Truth>,
    placements: Vec<Placement>,
    bag: Vec<Told>,
    execution_id: u64,
    trade_id: u64,
    booked: Vec<(OrderId, Fill)>,
}

impl World {
    fn new() -> Self {
        Self {
            oms: Oms::new(1, 7, CONFIG),
            now: Nanos(1),
            truths: Vec::new(),
            placements: Vec::new(),
            bag: Vec::new(),
            execution_id: 0,
            trade_id: 0,
            booked: Vec::new(),
        }
    }

    fn apply(&mut self, id: OrderId, input: Input<'_>) {
        let applied = self.oms.apply(self.now, id, input);
        self.note(id, applied.fill, applied.fault);
        if let Some(ask) = applied.ask {
            self.answer(ask);
        }
    }

    fn note(&mut self, id: OrderId, fill: Option<Fill>, fault: Option<OmsFault>) {
        let is_expected = match fault {
            None | Some(OmsFault::WentBack | OmsFault::AskedInVain) => true,
            Some(_) => false,
        };
        assert!(is_expected, "{fault:?} of {:?}", self.oms.order(id));
        self.booked.extend(fill.map(|fill| (id, fill)));
    }

    fn truth(&mut self, pick: usize) -> Option<usize> {
        (!self.truths.is_empty()).then(|| pick % self.truths.len())
    }

    fn find(&self, id: OrderId) -> Option<&Truth> {
        self.truths.iter().find(|truth| truth.id == id)
    }

    /// The venue answers a question; the answer goes into the bag.
    fn answer(&mut self, ask: Ask) {
        let now = self.now;
        match ask {
            Ask::Status(id) => {
                let told = match self.find(id) {
                    Some(truth) => Told::Status(truth.status(), now),
                    None => Told::NotFound(id, now),
                };
                self.bag.push(told);
            }
            Ask::Trades(id) => {
                let truth = self.find(id).expect("it was shown").clone();
                for &fill in &truth.trades {
                    let trade = OwnTrade {
                        instrument: HERE,
                        venue_order_id: truth.venue_order_id,
                        side: truth.side,
                        fill,
                    };
                    self.bag.push(Told::Trade(id, trade));
                }
                self.bag.push(Told::TradesComplete(id));
            }
        }
    }

    fn report(&mut self, index: usize, kind: ExecutionKind, fill: Option<Fill>) {
        self.execution_id += 1;
        let truth = &self.truths[index];
        let status = truth.status();
        self.bag.push(Told::Report(ExecutionReport {
            instrument: HERE,
            key: status.key,
            venue_order_id: status.venue_order_id,
            kind,
            status: status.status,
            side: status.side,
            price: status.price,
            qty: status.qty,
            executed: status.executed,
            prevented: Lots(0),
            fill,
            execution_id: self.execution_id,
            transacted: VenueMillis(self.execution_id),
            event: VenueMillis(self.execution_id),
        }));
    }

    fn place(&mut self, is_sell: bool, price: i64, qty: i64) {
        let side = if is_sell { Side::Sell } else { Side::Buy };
        let admitted = Admitted::unchecked(intent(side, Ticks(price), Lots(qty)));
        let Ok(id) = self.oms.admit(self.now, admitted, None) else {
            return;
        };
        self.apply(id, Input::Sent);
        self.placements.push(Placement {
            id,
            side,
            price: Ticks(price),
            qty,
            sent_at: self.now,
        });
    }

    /// A placement reaches the venue, which takes it while its receive window is open.
    fn arrive(&mut self, pick: usize, is_accepted: bool) {
        if self.placements.is_empty() {
            return;
        }
        let placement = self.placements.remove(pick % self.placements.len());
        let is_late = self.now >= placement.sent_at.plus(CONFIG.answer_horizon);
        if is_late || !is_accepted {
            self.bag.push(Told::Refused(placement.id));
            return;
        }
        let venue_order_id = 1_000 + self.truths.len() as u64;
        self.truths.push(Truth {
            id: placement.id,
            venue_order_id,
            side: placement.side,
            price: placement.price,
            qty: placement.qty,
            trades: Vec::new(),
            status: VenueStatus::New,
        });
        self.bag
            .push(Told::Acknowledged(placement.id, venue_order_id));
        self.report(self.truths.len() - 1, ExecutionKind::New, None);
    }

    fn trade(&mut self, pick: usize, qty: i64, price: i64) {
        let Some(index) = self.truth(pick) else {
            return;
        };
        if !self.truths[index].is_open() {
            return;
        }
        self.trade_id += 1;
        let truth = &mut self.truths[index];
        let left = truth.qty - truth.executed();
        let fill = Fill {
            price: Ticks(price),
            ..fill(self.trade_id, qty.min(left))
        };
        truth.trades.push(fill);
        truth.status = if fill.qty.0 == left {
            VenueStatus::Filled
        } else {
            VenueStatus::PartiallyFilled
        };
        self.report(index, ExecutionKind::Trade, Some(fill));
    }

    fn expire(&mut self, pick: usize) {
        let Some(index) = self.truth(pick) else {
            return;
        };
        if self.truths[index].is_open() {
            self.truths[index].status = VenueStatus::Expired;
            self.report(index, ExecutionKind::Expired, None);
        }
    }

    fn cancel(&mut self, pick: usize) {
        let Some(id) = pick_of(self.oms.cancellable(None).map(Order::id), pick) else {
            return;
        };
        self.apply(id, Input::CancelSent);
        match self.truths.iter().position(|truth| truth.id == id) {
            Some(index) if self.truths[index].is_open() => {
                self.truths[index].status = VenueStatus::Canceled;
                self.bag
                    .push(Told::Status(self.truths[index].status(), self.now));
                self.report(index, ExecutionKind::Canceled, None);
            }
            Some(_) | None => self.bag.push(Told::CancelRefused(id)),
        }
    }

    fn amend(&mut self, pick: usize) {
        let can = |order: &&Order| {
            matches!(
                order.state(),
                OrderState::Live | OrderState::PartiallyFilled
            )
        };
        let Some(id) = pick_of(self.oms.open_all().filter(can).map(Order::id), pick) else {
            return;
        };
        self.apply(id, Input::ReplaceSent);
        let index = self.truths.iter().position(|truth| truth.id == id);
        let index = index.expect("it was shown");
        let truth = &mut self.truths[index];
        if truth.is_open() && truth.qty - truth.executed() > 1 {
            truth.qty -= 1;
            self.bag.push(Told::Amended(truth.status()));
            self.report(index, ExecutionKind::Replaced, None);
        } else {
            self.bag.push(Told::AmendRefused(id));
        }
    }

    fn deliver(&mut self, told: Told) {
        match told {
            Told::Acknowledged(id, venue_order_id) => self.apply(
                id,
                Input::Acknowledged {
                    venue_order_id,
                    at: VenueMillis(1),
                },
            ),
            Told::Refused(id) => self.apply(id, Input::Refused { code: -2010 }),
            Told::Report(report) => self.apply(id_of(report.key), Input::Report(&report)),
            Told::Status(status, asked_at) => {
                let status = &status;
                self.apply(id_of(status.key), Input::Status { status, asked_at });
            }
            Told::NotFound(id, asked_at) => self.apply(id, Input::StatusNotFound { asked_at }),
            Told::Trade(id, trade) => self.apply(id, Input::Trade(&trade)),
            Told::TradesComplete(id) => self.apply(id, Input::TradesComplete),
            Told::CancelRefused(id) => self.apply(
                id,
                Input::CancelRefused {
                    unknown_order: true,
                },
            ),
            Told::Amended(status) => self.apply(id_of(status.key), Input::Amended(&status)),
            Told::AmendRefused(id) => self.apply(
                id,
                Input::ReplaceRefused {
                    unknown_order: true,
                },
            ),
        }
    }

    fn pass(&mut self, time: u64) {
        self.now = self.now.plus(Nanos(time));
        while let Some(overdue) = self.oms.overdue(self.now) {
            self.note(overdue.id, None, overdue.fault);
            self.answer(overdue.ask);
        }
    }

    /// The link goes and comes again: what was on its way is lost, what was asked has no answer, and the open orders are
    /// told anew. Placements that left may still arrive.
    fn reconnect(&mut self) {
        self.bag.clear();
        let open: Vec<_> = self
            .oms
            .open_all()
            .map(|order| (order.id(), order.state()))
            .collect();
        for (id, state) in open {
            match state {
                OrderState::Sent => self.apply(id, Input::OutcomeUnknown),
                OrderState::CancelSent => self.apply(id, Input::CancelUnknown),
                OrderState::ReplaceSent => self.apply(id, Input::ReplaceUnknown),
                OrderState::Admitted
                | OrderState::Live
                | OrderState::PartiallyFilled
                | OrderState::Unresolved
                | OrderState::Done(_) => {}
            }
        }
        self.now.0 += 1;
        let asked_at = self.now;
        let listed = self.truths.iter().filter(|truth| truth.is_open());
        let listed: Vec<_> = listed.map(Truth::status).collect();
        self.now.0 += 1;
        for status in &listed {
            self.apply(id_of(status.key), Input::Status { status, asked_at });
        }
        let _ = self.oms.end_of_open_orders(self.now, None, asked_at);
        self.pass(0);
    }

    /// Nothing new happens and every question is answered at once, until nothing is open in one place alone.
    fn quiet(&mut self) {
        self.placements.clear();
        self.reconnect();
        for _ in 0..200 {
            while let Some(told) = self.bag.pop() {
                self.deliver(told);
            }
            let wait = self.oms.due().0.saturating_sub(self.now.0);
            if self.oms.due() == Nanos::MAX {
                return;
            }
            self.pass(wait.max(1));
        }
        let open: Vec<_> = self.oms.open_all().collect();
        panic!("it does not become quiet: {open:?}");
    }

    /// The machine knows what the venue knows.
    fn compare(&self) {
        self.oms.table.assert_invariants();
        for truth in &self.truths {
            let order = self.oms.order(truth.id).expect("remembered");
            assert_eq!(order.executed().0, truth.executed(), "{truth:?} {order:?}");
            let notional: i128 = truth
                .trades
                .iter()
                .map(|fill| i128::from(fill.price.0) * i128::from(fill.qty.0))
                .sum();
            assert_eq!(order.executed_notional(), notional);
            if let Some(reason) = truth.status.done() {
                assert_eq!(order.state(), OrderState::Done(reason));
            } else {
                let stands = matches!(
                    order.state(),
                    OrderState::Live | OrderState::PartiallyFilled
                );
                assert!(stands, "{truth:?} {order:?}");
                assert_eq!(order.remaining().0, truth.qty - truth.executed());
            }
        }
        let open = self.truths.iter().filter(|truth| truth.is_open()).count();
        assert_eq!(self.oms.open_count(), open);

        let key = |&(id, fill): &(OrderId, Fill)| (id.sequence, fill.trade_id, fill.qty.0);
        let mut booked: Vec<_> = self.booked.iter().map(key).collect();
        booked.sort_unstable();
        let all = self.truths.iter().flat_map(|truth| {
            let fills = truth.trades.iter();
            fills.map(|fill| key(&(truth.id, *fill)))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        assert_eq!(booked, all, "every fill once");
    }
}

fn id_of(key: OrderKey) -> OrderId {
    match key {
        OrderKey::Ours(id) => id,
        OrderKey::Foreign => unreachable!("the venue of this test has one customer"),
    }
}

fn pick_of(ids: impl Iterator<Item = OrderId>, pick: usize) -> Option<OrderId> {
    let ids: Vec<_> = ids.collect();
    (!ids.is_empty()).then(|| ids[pick % ids.len()])
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Place(bool, i64, i64),
    Arrive(usize, bool),
    LosePlacement(usize),
    Trade(usize, i64, i64),
    Expire(usize),
    Cancel(usize),
    Amend(usize),
    Deliver(usize),
    Repeat(usize),
    Lose(usize),
    Pass(u64),
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let pick = any::<usize>;
    prop_oneof![
        4 => (any::<bool>(), 1..1_000i64, 1..20i64)
            .prop_map(|(is_sell, price, qty)| Step::Place(is_sell, price, qty)),
        6 => (pick(), prop::bool::weighted(0.9)).prop_map(|(pick, ok)| Step::Arrive(pick, ok)),
        1 => pick().prop_map(Step::LosePlacement),
        6 => (pick(), 1..8i64, 1..1_000i64)
            .prop_map(|(pick, qty, price)| Step::Trade(pick, qty, price)),
        1 => pick().prop_map(Step::Expire),
        3 => pick().prop_map(Step::Cancel),
        1 => pick().prop_map(Step::Amend),
        14 => pick().prop_map(Step::Deliver),
        4 => pick().prop_map(Step::Repeat),
        2 => pick().prop_map(Step::Lose),
        4 => (0..3_000u64).prop_map(Step::Pass),
        1 => Just(Step::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_machine_ends_up_knowing_the_truth(steps in proptest::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        for step in steps {
            world.now.0 += 1;
            let size = world.bag.len().max(1);
            match step {
                Step::Place(is_sell, price, qty) => world.place(is_sell, price, qty),
                Step::Arrive(pick, is_accepted) => world.arrive(pick, is_accepted),
                Step::LosePlacement(pick) => if !world.placements.is_empty() {
                    let count = world.placements.len();
                    world.placements.remove(pick % count);
                },
                Step::Trade(pick, qty, price) => world.trade(pick, qty, price),
                Step::Expire(pick) => world.expire(pick),
                Step::Cancel(pick) => world.cancel(pick),
                Step::Amend(pick) => world.amend(pick),
                Step::Deliver(pick) => if !world.bag.is_empty() {
                    let told = world.bag.swap_remove(pick % size);
                    world.deliver(told);
                },
                Step::Repeat(pick) => if let Some(&told) = world.bag.get(pick % size) {
                    world.deliver(told);
                },
                Step::Lose(pick) => if !world.bag.is_empty() {
                    world.bag.swap_remove(pick % size);
                },
                Step::Pass(time) => world.pass(time),
                Step::Reconnect => world.reconnect(),
            }
            world.oms.table.assert_invariants();
        }
        world.quiet();
        world.compare();
    }
}
