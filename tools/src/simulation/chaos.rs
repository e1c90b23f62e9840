//! What is wanted and what goes wrong, drawn from the seed.
//!
//! Owns: [`Chaos`], the schedule of commands, faults, cut links and restarts. Does not: perform any. Invariant: every
//! draw comes from one generator, in an order that the run itself decides.

use crate::venue::{Fault, Surface};
use rand::RngExt as _;
use rand::rngs::SmallRng;
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

/// One seed in so many has its address banned, once: a ban lasts two minutes, and nothing else happens in them.
const BANNED_SEEDS: u64 = 8;

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
        | Fault::UnsolicitedCancel => (fault, ORDERS),
        Fault::CancelDelayed { .. } => (Fault::CancelDelayed { ms: 400 }, ORDERS),
        Fault::Halt { .. } => (Fault::Halt { ms: 1_500 }, ORDERS),
        Fault::CancelOnly { .. } => (Fault::CancelOnly { ms: 1_500 }, ORDERS),
        Fault::Deposit { .. } => (Fault::Deposit { units: 10 }, ORDERS),
        // It never ends, and nothing could be compared.
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

/// What can go wrong on one surface.
fn faults_on(surface: Surface, bans: bool) -> Vec<Fault> {
    Fault::all()
        .filter_map(simulated)
        .filter(|(fault, surfaces)| surfaces.contains(&surface) && (bans || *fault != Fault::Ban))
        .map(|(fault, _)| fault)
        .collect()
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
            market_faults: faults_on(Surface::Streams, false),
            trading_faults: faults_on(Surface::Api, config.seed % BANNED_SEEDS == 5),
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

    /// How wrong the machine's wall clock is.
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
        match self.random.random_range(0..1_000) {
            0..=599 => self.order(instruments, engine),
            600..=799 => self.change(engine),
            800..=829 => self.switch(),
            830..=969 if self.with_faults => self.fault(),
            970..=984 if self.with_faults => Act::CutLink,
            985..=987 if self.with_faults => Act::Restart,
            _ => Act::Nothing,
        }
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
        if fault == Fault::Ban {
            self.trading_faults.retain(|fault| *fault != Fault::Ban);
        }
        Act::Fault(fault, surface)
    }
}
