//! What is wanted and what goes wrong, drawn from the seed.
//!
//! Owns: [`Chaos`], the schedule of commands, faults, cut links, restarts, and of what happens to the machine's clocks and
//! to the account from outside. Does not: perform any. Invariant: every
//! draw comes from one generator, in an order that the run itself decides.

use crate::venue::{Fault, Surface};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use veloz_core::book::Side as BookSide;
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::event::{Command, OrderRef, Token};
use veloz_core::instrument::{InstrumentIndex, Instruments};
use veloz_core::order::{
    ClientId, Intent, OrderId, OrderKind, Origin, SelfTradePrevention, Side, TimeInForce,
};
use veloz_core::risk::TradingState;
use veloz_core::strategy::Configured;
use veloz_core::units::{Lots, Nanos, Ticks};

use super::SimulationConfig;

/// Longest pause between two draws.
const PAUSE_MAX_MS: u64 = 120;
/// Largest error of the machine's wall clock.
const CLOCK_ERROR_MAX_NS: i64 = 300_000_000;
/// By how much it is wrong after a step, and for how long: requests of an engine that starts then are refused.
const CLOCK_STEP_MS: std::ops::Range<i64> = 1_500..20_000;
const CLOCK_WRONG_MAX_MS: u64 = 4_000;
/// For how long the machine sleeps: requests that it made before are too old from five seconds on.
const SLEEP_MS: std::ops::Range<u64> = 500..9_000;
/// For how long something outside keeps some of the account locked.
const LOCKED_MAX_MS: u64 = 5_000;

/// One seed in so many has its address banned, once: a ban lasts two minutes, and nothing else happens in them.
const BANNED_SEEDS: u64 = 8;
/// One seed in so many has all of its request weight used up by others, once: nothing else happens until the minute
/// turns.
const WEIGHTLESS_SEEDS: u64 = 8;

/// Whether a fault can go wrong in a simulation, how badly there, and with what the market is followed by (`Streams`), with
/// orders (`Api`), or with both.
fn simulated(fault: Fault) -> Option<(Fault, &'static [Surface])> {
    const MARKET: &[Surface] = &[Surface::Streams];
    const ORDERS: &[Surface] = &[Surface::Api];
    const BOTH: &[Surface] = &[Surface::Streams, Surface::Api];
    Some(match fault {
        Fault::Gap
        | Fault::Duplicate
        | Fault::Reorder
        | Fault::HugeEvent
        | Fault::CrossedBook
        | Fault::EmptyEvent
        | Fault::UnknownEvent => (fault, MARKET),
        Fault::UnknownKeys
        | Fault::MalformedJson
        | Fault::TruncatedFrame
        | Fault::Reset
        | Fault::DailyCut
        | Fault::ServerShutdown => (fault, BOTH),
        Fault::Silence { .. } => (Fault::Silence { ms: 5_000 }, BOTH),
        Fault::Stall { .. } => (Fault::Stall { ms: 2_000 }, BOTH),
        Fault::StaleSnapshot
        | Fault::ResponseLost
        | Fault::EventFirst
        | Fault::ResponseFirst
        | Fault::TimeoutAccepted
        | Fault::TimeoutRefused
        | Fault::DropAfterAccept
        | Fault::Unavailable
        | Fault::Ban
        | Fault::EventLost
        | Fault::EventDuplicate
        | Fault::SessionRevoked
        | Fault::StreamTerminated
        | Fault::UnsolicitedCancel
        | Fault::OrdersUsedUp
        | Fault::WeightUsedUp => (fault, ORDERS),
        Fault::CancelDelayed { .. } => (Fault::CancelDelayed { ms: 400 }, ORDERS),
        Fault::Halt { .. } => (Fault::Halt { ms: 1_500 }, ORDERS),
        Fault::CancelOnly { .. } => (Fault::CancelOnly { ms: 1_500 }, ORDERS),
        Fault::Deposit { .. } => (Fault::Deposit { units: 10 }, ORDERS),
        // It never ends, and nothing could be compared: see [`Act::LockOutside`].
        Fault::ExternalLock { .. } => return None,
        // Of sockets, which there are none here.
        Fault::InvalidUtf8
        | Fault::SplitSegments { .. }
        | Fault::MergeSegments { .. }
        | Fault::Fragment
        | Fault::WrongPong
        | Fault::UnsolicitedPong
        | Fault::PingFlood { .. } => return None,
    })
}

/// What can go wrong on one surface; of the faults after which nothing happens for long, those of the seed.
fn faults_on(surface: Surface, seed: u64) -> Vec<Fault> {
    let is_of_seed = |fault: Fault| {
        (fault != Fault::Ban || seed % BANNED_SEEDS == 5)
            && (fault != Fault::WeightUsedUp || seed % WEIGHTLESS_SEEDS == 2)
    };
    Fault::all()
        .filter_map(simulated)
        .filter(|(fault, surfaces)| surfaces.contains(&surface) && is_of_seed(*fault))
        .map(|(fault, _)| fault)
        .collect()
}

/// What goes wrong that is no fault of the venue, as it is counted.
const CUT_LINK: &str = "cut-link";
const RESTART: &str = "restart";
const CLOCK_STEP: &str = "clock-step";
const SLEEP: &str = "sleep";
const LOCK_OUTSIDE: &str = "external-lock";

/// Everything that can go wrong in a simulation, by the names in [`Report::by_kind`](super::Report::by_kind).
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    let venue = Fault::all()
        .filter_map(simulated)
        .map(|(fault, _)| fault.name());
    venue.chain([CUT_LINK, RESTART, CLOCK_STEP, SLEEP, LOCK_OUTSIDE])
}

/// One thing to do.
pub(super) enum Act {
    /// An operator's wish.
    Command(Command),
    /// The venue misbehaves.
    Fault(Fault, Surface),
    /// A connection is cut.
    CutLink,
    /// The engine dies and another starts.
    Restart,
    /// The machine's wall clock is wrong by so many nanoseconds from now on.
    StepClock(i64),
    /// The machine sleeps for so long, its monotonic clock as well.
    Sleep(Nanos),
    /// Something outside locks a part of the free money: so many percent.
    LockOutside(u8),
    /// It frees all of that.
    FreeOutside,
    /// A pause.
    Nothing,
}

/// The schedule.
pub(super) struct Chaos {
    random: SmallRng,
    next_at: Nanos,
    with_faults: bool,
    token: u64,
    faults: u64,
    /// What was done of what is no fault of the venue.
    others: BTreeMap<&'static str, u64>,
    /// When the wall clock is set right, and what is locked outside freed.
    clock_wrong_until: Option<Nanos>,
    locked_until: Option<Nanos>,
    market_faults: Vec<Fault>,
    trading_faults: Vec<Fault>,
}

impl Chaos {
    pub(super) fn new(random: SmallRng, config: SimulationConfig) -> Self {
        Self {
            random,
            next_at: Nanos::from_secs(1),
            with_faults: config.faults,
            token: 0,
            faults: 0,
            others: BTreeMap::new(),
            clock_wrong_until: None,
            locked_until: None,
            market_faults: faults_on(Surface::Streams, config.seed),
            trading_faults: faults_on(Surface::Api, config.seed),
        }
    }

    /// When the next draw is due.
    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    /// Faults drawn so far.
    pub(super) fn faults(&self) -> u64 {
        self.faults
    }

    /// How often what is no fault of the venue happened.
    pub(super) fn others(&self) -> &BTreeMap<&'static str, u64> {
        &self.others
    }

    /// How wrong the machine's wall clock is while it is right.
    pub(super) fn wall_clock_error_ns(&mut self) -> i64 {
        self.random
            .random_range(-CLOCK_ERROR_MAX_NS..CLOCK_ERROR_MAX_NS)
    }

    /// The next thing to do.
    pub(super) fn next(
        &mut self,
        now: Nanos,
        instruments: &Instruments,
        engine: &Engine<NoStopwatch, Configured>,
    ) -> Act {
        let pause = self.random.random_range(1..PAUSE_MAX_MS);
        self.next_at = now.plus(Nanos::from_ms(pause));
        if self.clock_wrong_until.is_some_and(|until| until <= now) {
            self.clock_wrong_until = None;
            return Act::StepClock(self.wall_clock_error_ns());
        }
        if self.locked_until.is_some_and(|until| until <= now) {
            self.locked_until = None;
            return Act::FreeOutside;
        }
        match self.random.random_range(0..1_000) {
            0..=599 => self.order(instruments, engine),
            600..=799 => self.change(engine),
            800..=829 => self.switch(),
            830..=969 if self.with_faults => self.fault(),
            970..=984 if self.with_faults => self.other(CUT_LINK, Act::CutLink),
            985..=987 if self.with_faults => self.other(RESTART, Act::Restart),
            988..=990 if self.with_faults => self.step_clock(now),
            991..=992 if self.with_faults => {
                let ms = self.random.random_range(SLEEP_MS);
                self.other(SLEEP, Act::Sleep(Nanos::from_ms(ms)))
            }
            993..=996 if self.with_faults => self.lock_outside(now),
            _ => Act::Nothing,
        }
    }

    fn other(&mut self, name: &'static str, act: Act) -> Act {
        self.faults += 1;
        *self.others.entry(name).or_default() += 1;
        act
    }

    fn step_clock(&mut self, now: Nanos) -> Act {
        let wrong_ms = self.random.random_range(500..CLOCK_WRONG_MAX_MS);
        self.clock_wrong_until = Some(now.plus(Nanos::from_ms(wrong_ms)));
        let error_ns = self.random.random_range(CLOCK_STEP_MS) * 1_000_000;
        let sign = if self.random.random() { 1 } else { -1 };
        self.other(CLOCK_STEP, Act::StepClock(sign * error_ns))
    }

    fn lock_outside(&mut self, now: Nanos) -> Act {
        if self.locked_until.is_some() {
            return Act::Nothing;
        }
        let locked_ms = self.random.random_range(200..LOCKED_MAX_MS);
        self.locked_until = Some(now.plus(Nanos::from_ms(locked_ms)));
        // At times so much that orders fail for it.
        let percent = if self.random.random() { 100 } else { 30 };
        self.other(LOCK_OUTSIDE, Act::LockOutside(percent))
    }

    fn token(&mut self) -> Token {
        self.token += 1;
        Token(self.token)
    }

    /// A new order, at times one that risk or the venue must refuse.
    fn order(
        &mut self,
        instruments: &Instruments,
        engine: &Engine<NoStopwatch, Configured>,
    ) -> Act {
        let index = InstrumentIndex(self.random.random_range(0..instruments.count()) as u16);
        let instrument = instruments.get(index);
        let Some(book) = engine.book(index) else {
            return Act::Nothing;
        };
        let (Some(bid), Some(ask)) = (book.best(BookSide::Bid), book.best(BookSide::Ask)) else {
            return Act::Nothing;
        };
        let side = if self.random.random() {
            Side::Buy
        } else {
            Side::Sell
        };
        let kind = match self.random.random_range(0..10) {
            0..=5 => OrderKind::Limit,
            6..=7 => OrderKind::LimitMaker,
            _ => OrderKind::Market,
        };
        let time_in_force = match (kind, self.random.random_range(0..4)) {
            (OrderKind::Limit, 0) => TimeInForce::Ioc,
            (OrderKind::Limit, 1) => TimeInForce::Fok,
            (OrderKind::Limit | OrderKind::Market | OrderKind::LimitMaker, _) => TimeInForce::Gtc,
        };
        let distance = self.random.random_range(-40..40);
        let price = match kind {
            OrderKind::Market => Ticks(0),
            OrderKind::Limit | OrderKind::LimitMaker => match side {
                Side::Buy => Ticks(bid.price.0 + distance),
                Side::Sell => Ticks(ask.price.0 - distance),
            },
        };
        // Ten to a hundred and fifty in the quote asset, on the step.
        let notional_e8 = i128::from(self.random.random_range(10..150)) * 100_000_000;
        let lot_e8 = i128::from(instrument.lot.unit().0);
        let price_e8 = i128::from(instrument.price(bid.price).0);
        let step = i128::from(instrument.order_rules.qty_step.0);
        let lots = notional_e8 * 100_000_000 / (price_e8 * lot_e8) / step * step;
        let lots = match self.random.random_range(0..50) {
            0 => 0,
            1 => lots + 1,
            2 => -lots,
            _ => lots.max(step),
        };
        let token = self.token();
        let client_id = (self.random.random_range(0..4) == 0).then(|| {
            // A few hundred names only, so that some are taken.
            let name = format!("web-{}", self.random.random_range(0..400));
            ClientId::new(&name).expect("legal")
        });
        Act::Command(Command::Place {
            token,
            client_id,
            intent: Intent {
                instrument: index,
                side,
                kind,
                time_in_force,
                price,
                qty: Lots(lots as i64),
                self_trade_prevention: SelfTradePrevention::ExpireMaker,
                origin: Origin::Operator,
            },
        })
    }

    /// A change of an order that is there, or was.
    fn change(&mut self, engine: &Engine<NoStopwatch, Configured>) -> Act {
        let Some(oms) = engine.oms() else {
            return Act::Nothing;
        };
        let open = oms.open_count();
        if open == 0 {
            return Act::Nothing;
        }
        let position = self.random.random_range(0..open);
        let Some(order) = oms.open_all().nth(position) else {
            return Act::Nothing;
        };
        let token = self.token();
        let id = if self.random.random_range(0..20) == 0 {
            OrderId {
                run: 1,
                sequence: self.random.random_range(1..2_000),
            }
        } else {
            order.id()
        };
        let order_ref = OrderRef::Id(id);
        Act::Command(match self.random.random_range(0..4) {
            0 | 1 => Command::Cancel {
                token,
                order: order_ref,
            },
            2 => Command::Replace {
                token,
                order: order_ref,
                client_id: None,
                price: Ticks(order.price().0 + self.random.random_range(-5..6)),
                qty: order.qty(),
            },
            _ => Command::Amend {
                token,
                order: order_ref,
                qty: Lots(order.qty().0 / 2),
            },
        })
    }

    /// Something that changes what may be traded.
    fn switch(&mut self) -> Act {
        let token = self.token();
        Act::Command(match self.random.random_range(0..12) {
            0 => Command::CancelAll {
                token,
                instrument: None,
            },
            1 => Command::TripKillSwitch { token },
            2..=4 => Command::ResetKillSwitch { token },
            5 => Command::SetTradingState {
                token,
                state: TradingState::ReduceOnly,
            },
            _ => Command::SetTradingState {
                token,
                state: TradingState::Active,
            },
        })
    }

    fn fault(&mut self) -> Act {
        self.faults += 1;
        let (surface, among) = if self.random.random_range(0..4) == 0 {
            (Surface::Streams, &self.market_faults)
        } else {
            (Surface::Api, &self.trading_faults)
        };
        let fault = among[self.random.random_range(0..among.len())];
        if matches!(fault, Fault::Ban | Fault::WeightUsedUp) {
            self.trading_faults.retain(|other| *other != fault);
        }
        Act::Fault(fault, surface)
    }
}
