//! The engine with an account, and what the edge has between it and the network, without the network.
//!
//! Owns: [`Trader`], one engine that trades; [`Lean`], the strategy that answers every change of a book with one
//! order; [`Watch`], whose time it is. Does not: time anything, or generate messages. The order of calls is that of
//! `edge::core_loop` and `edge::link`: receive, decrypt, read the frame, handle, write the frame, encrypt. Time is
//! virtual: a millisecond a message, which the limit on orders a second allows.

use super::Proof;
use super::far_end::{Authority, FarEnd, server_name};
use super::flow::{Flow, LEVELS, SYMBOL, Tick, UNIX_MS_AT_ZERO};
use super::venue::answers;
use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use veloz_core::book;
use veloz_core::config::{EngineConfig, TradingConfig};
use veloz_core::edge::clock::Clock;
use veloz_core::edge::tls::{Progress, TlsSession};
use veloz_core::engine::{Account, Engine, NoStopwatch, Stopwatch};
use veloz_core::event::{Event, LinkId, LinkRole, PayloadBuf};
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::limits::{MESSAGE_BYTES_MAX, SEND_BUFFER_BYTES_MAX};
use veloz_core::oms::OmsConfig;
use veloz_core::order::{OrderKind, SelfTradePrevention, Side, TimeInForce};
use veloz_core::outbox::{Action, Outbox};
use veloz_core::risk::{GlobalLimits, InstrumentLimits};
use veloz_core::strategy::{
    Action as Wanted, Actions, OrderUpdate, PublicTrade, Quote, Strategy, View,
};
use veloz_core::telemetry::records::TradingPhase;
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{E8, E8_ONE, Grid, Lots, Nanos, Ticks};
use veloz_core::venue::binance::order_entry::{ApiKey, Credentials};
use veloz_core::venue::binance::rate::OrderLimit;
use veloz_core::wire::sign::Signer;
use veloz_core::wire::websocket::{Reader, Writer};

/// Virtual time between two messages.
/// So that no more orders come in a second than `ORDER_MESSAGES_PER_SECOND_MAX` leaves to them.
const BETWEEN_TICKS: Nanos = Nanos::from_ms(3);
/// Virtual time in which the engine must have logged on and reconciled.
const START_MAX: Nanos = Nanos::from_secs(30);
/// Every order's quantity: 0.001 of the base asset.
const ORDER_QTY: Lots = Lots(100);
/// The secret of the contestants that sign each request.
pub(super) const SECRET: &[u8] =
    b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
/// Their key, and everybody's.
pub(super) const API_KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y6Ju91duEh8A";

/// Whose time it is, and which stopwatch the engine holds.
pub trait Watch {
    /// The engine's stopwatch.
    type Stopwatch: Stopwatch;

    /// That stopwatch, on this watch's time.
    fn stopwatch(&self) -> Self::Stopwatch;

    /// Now, as the edge stamps received bytes.
    fn now(&self) -> Nanos;

    /// Lets virtual time pass.
    fn pass(&self, by: Nanos);
}

/// Stage stamps are zero, and time stands still but for what passes between messages.
#[derive(Default)]
pub struct Unstamped {
    now: Cell<Nanos>,
}

impl Watch for Unstamped {
    type Stopwatch = NoStopwatch;

    fn stopwatch(&self) -> NoStopwatch {
        NoStopwatch
    }

    #[inline]
    fn now(&self) -> Nanos {
        self.now.get()
    }

    fn pass(&self, by: Nanos) {
        self.now.set(self.now().plus(by));
    }
}

/// The product's clock, read for every stage. Between messages virtual time passes instead: other contestants run
/// then, and no link may seem silent for that.
#[derive(Clone)]
pub struct Stamped {
    clock: Clock,
    /// Virtual time minus the clock's, nanoseconds.
    offset: Rc<Cell<i64>>,
    last: Rc<Cell<Nanos>>,
}

impl Stamped {
    /// Stamps of this clock.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            offset: Rc::default(),
            last: Rc::default(),
        }
    }
}

impl Stopwatch for Stamped {
    #[inline]
    fn stamp(&self) -> Nanos {
        Nanos(self.clock.now().0.wrapping_add_signed(self.offset.get()))
    }
}

impl Watch for Stamped {
    type Stopwatch = Self;

    fn stopwatch(&self) -> Self {
        self.clone()
    }

    #[inline]
    fn now(&self) -> Nanos {
        let now = self.stamp();
        self.last.set(now);
        now
    }

    fn pass(&self, by: Nanos) {
        let target = self.last.get().plus(by);
        self.last.set(target);
        self.offset.set(target.0 as i64 - self.clock.now().0 as i64);
    }
}

/// Joins whoever has more in the best levels: one IOC order for every change of the book.
pub(super) struct Lean;

impl Strategy for Lean {
    fn name(&self) -> &'static str {
        "lean"
    }

    #[inline]
    fn on_book(&mut self, view: &View<'_>, actions: &mut Actions) {
        let (Some(live), Some((bid, ask))) = (view.book, view.touch()) else {
            return;
        };
        let sum = |side| -> i64 {
            let levels = live.book.levels(side).take(LEVELS);
            levels.map(|level| level.qty.0).sum()
        };
        let (side, price) = if sum(book::Side::Bid) >= sum(book::Side::Ask) {
            (Side::Buy, ask)
        } else {
            (Side::Sell, bid)
        };
        actions.push(Wanted::Place(Quote {
            side,
            kind: OrderKind::Limit,
            time_in_force: TimeInForce::Ioc,
            price,
            qty: ORDER_QTY,
            self_trade_prevention: view.rules.order_rules.self_trade_prevention,
        }));
    }

    fn on_trade(&mut self, _: &View<'_>, _: &PublicTrade, _: &mut Actions) {}

    fn on_order(&mut self, _: &View<'_>, _: &OrderUpdate, _: &mut Actions) {}

    fn on_timer(&mut self, _: &View<'_>, _: &mut Actions) {}
}

/// Both directions of a link, and its far end.
struct Wire {
    tls: Option<Box<TlsSession>>,
    reader: Reader,
    writer: Writer,
    far: FarEnd,
}

impl Wire {
    fn plain() -> Self {
        Self {
            tls: None,
            reader: Reader::new(MESSAGE_BYTES_MAX),
            writer: Writer::new(SEND_BUFFER_BYTES_MAX, 1),
            far: FarEnd::plain(),
        }
    }

    fn tls(authority: &Authority) -> Self {
        let mut tls = TlsSession::new(authority.client.clone(), server_name()).expect("a session");
        let mut far = FarEnd::tls(authority);
        loop {
            let progress = tls.advance(|_| {}).expect("an honest peer");
            assert_eq!(progress, Progress::NeedsBytes, "nothing is sent yet");
            let said = tls.outgoing().len();
            far.open(tls.outgoing());
            tls.sent(said);
            let answer = far.seal(&[]);
            if said == 0 && answer.is_empty() && tls.is_ready() && !far.is_handshaking() {
                break;
            }
            tls.space()[..answer.len()].copy_from_slice(&answer);
            tls.filled(answer.len());
        }
        Self {
            tls: Some(Box::new(tls)),
            far,
            ..Self::plain()
        }
    }
}

/// What was built for a message.
pub struct Built {
    /// The order as the far end read it.
    pub(super) order: String,
}

/// An engine that has logged on, reconciled, and holds a live book.
pub struct Trader<W: Watch> {
    watch: W,
    engine: Engine<W::Stopwatch, Lean>,
    telemetry: TelemetryReader,
    out: Outbox,
    market: Wire,
    orders: Wire,
    market_link: LinkId,
    orders_link: LinkId,
    /// What the venue said and the engine has not heard.
    heard: Vec<(LinkId, PayloadBuf)>,
    snapshot: String,
}

impl<W: Watch> Trader<W> {
    /// An engine for the flow as it stands, over memory without TLS, that logs on instead of signing.
    pub fn plain(watch: W, flow: &Flow) -> Self {
        Self::start(watch, flow, Proof::LogOn, None)
    }

    /// The same with this proof, over TLS where there is an authority.
    pub(super) fn start(
        watch: W,
        flow: &Flow,
        proof: Proof,
        authority: Option<&Authority>,
    ) -> Self {
        let wire = || authority.map_or_else(Wire::plain, Wire::tls);
        let instruments = instruments();
        let (writer, reader) = telemetry(instruments.count(), Sizes::default());
        let account = Account {
            config: trading_config(),
            credentials: credentials(proof),
            strategy: Lean,
        };
        let engine = Engine::with_account(
            EngineConfig::default(),
            instruments,
            writer,
            watch.stopwatch(),
            Some(account),
        );
        let unknown = |role| LinkId {
            role,
            generation: 0,
        };
        let mut trader = Self {
            watch,
            engine: engine.expect("a configuration that is in range"),
            telemetry: reader,
            out: Outbox::new(),
            market: wire(),
            orders: wire(),
            market_link: unknown(LinkRole::Market),
            orders_link: unknown(LinkRole::Orders),
            heard: Vec::new(),
            snapshot: flow.snapshot(),
        };
        trader.handle(Event::WallClock {
            unix_ns_at_zero: UNIX_MS_AT_ZERO as i64 * 1_000_000,
        });
        while trader.engine.trading_phase() != TradingPhase::Ready {
            assert!(trader.watch.now() < START_MAX, "trading is not ready");
            trader.watch.pass(Nanos::from_ms(10));
            trader.serve();
        }
        // The snapshot is asked for when no diff came for a while.
        trader.watch.pass(Nanos::from_secs(1));
        trader.serve();
        trader
    }

    /// The engine.
    pub(super) fn engine(&mut self) -> &mut Engine<W::Stopwatch, Lean> {
        &mut self.engine
    }

    /// Lets a message's time come, and whatever else is due by then.
    pub fn pass(&mut self) {
        self.watch.pass(BETWEEN_TICKS);
        self.serve();
    }

    /// What arrives for a message, for [`Trader::receive`]: ciphertext where there is TLS.
    pub fn arrival(&mut self, tick: &Tick) -> Vec<u8> {
        self.market.far.seal(tick.frame())
    }

    /// One message, and the bytes of what it causes: all that is measured.
    #[inline]
    pub fn receive(&mut self, arrival: &[u8]) {
        let Wire { tls, reader, .. } = &mut self.market;
        // The copies stand for the kernel's.
        let now = if let Some(tls) = tls {
            tls.space()[..arrival.len()].copy_from_slice(arrival);
            tls.filled(arrival.len());
            let now = self.watch.now();
            let progress = tls.advance(|plaintext| {
                assert_eq!(reader.push(plaintext), plaintext.len(), "room for a record");
            });
            assert_eq!(progress, Ok(Progress::Plaintext));
            now
        } else {
            reader.space()[..arrival.len()].copy_from_slice(arrival);
            reader.filled(arrival.len());
            self.watch.now()
        };
        let frame = reader.poll().expect("a frame").expect("a whole one");
        let event = Event::Message {
            link: self.market_link,
            payload: reader.payload(frame),
        };
        self.engine.handle(now, event, &mut self.out);
        let Wire { tls, writer, .. } = &mut self.orders;
        for action in self.out.actions() {
            let Action::Send { link, message } = action else {
                continue;
            };
            if link != self.orders_link {
                continue;
            }
            writer.text(message).expect("room");
            if let Some(tls) = tls {
                let sent = tls.encrypt(writer.pending()).expect("a session");
                writer.consumed(sent);
                black_box(tls.outgoing());
            } else {
                black_box(writer.pending());
            }
        }
    }

    /// What became of the message: the order as the far end reads it. The venue's answers wait afterwards.
    ///
    /// # Panics
    /// When there was no order.
    pub fn sent(&mut self) -> Built {
        // The reader and TLS look whether there is more, as the edge does when the order is out.
        assert_eq!(self.market.reader.poll(), Ok(None));
        if let Some(tls) = &mut self.market.tls {
            let progress = tls.advance(|_| panic!("one record a message"));
            assert_eq!(progress, Ok(Progress::NeedsBytes));
        }
        let mut order = None;
        self.carry_orders(|text| order = Some(text.to_owned()));
        self.perform();
        Built {
            order: order.expect("an order for every message"),
        }
    }

    /// Lets the engine hear what the venue answered, until nothing is left to say.
    pub fn settle(&mut self) {
        let mut position = 0;
        while let Some((link, message)) = self.heard.get(position) {
            let event = Event::Message {
                link: *link,
                payload: message.payload(),
            };
            self.engine.handle(self.watch.now(), event, &mut self.out);
            self.out.clear();
            position += 1;
        }
    }

    /// Forgets what was heard, and empties the rings as a sidecar would meanwhile.
    ///
    /// # Panics
    /// When the order is still open.
    pub fn tidy(&mut self) {
        self.heard.clear();
        while self.telemetry.records.pop().is_some() {}
        while self.telemetry.samples.pop().is_some() {}
        let open = self.engine.oms().map(veloz_core::oms::Oms::open_count);
        assert_eq!(open, Some(0), "the venue ended every order");
    }

    /// Moves what the order link's writer and TLS hold to the far end, and hands out the messages that it read.
    fn carry_orders(&mut self, mut read: impl FnMut(&str)) {
        let Wire {
            tls, writer, far, ..
        } = &mut self.orders;
        if let Some(tls) = tls {
            let len = tls.outgoing().len();
            far.open(tls.outgoing());
            tls.sent(len);
        } else {
            let len = writer.pending().len();
            far.open(writer.pending());
            writer.consumed(len);
        }
        let now = self.watch.now();
        while let Some(text) = far.next_message() {
            read(&text);
            for answer in answers(now, &text, &self.snapshot) {
                let message = PayloadBuf::new(answer.as_bytes());
                self.heard.push((self.orders_link, message));
            }
        }
    }

    /// Performs what is no request of the order link: those went through its wire.
    fn perform(&mut self) -> Vec<LinkId> {
        let mut up = Vec::new();
        for action in self.out.actions() {
            match action {
                Action::Connect { link } => up.push(link),
                Action::Send { link, message } if link != self.orders_link => {
                    let text = std::str::from_utf8(message).expect("requests are text");
                    for answer in answers(self.watch.now(), text, &self.snapshot) {
                        self.heard.push((link, PayloadBuf::new(answer.as_bytes())));
                    }
                }
                Action::Send { .. } => {}
                Action::Close { link, cause } => panic!("{link:?} was closed: {}", cause.label()),
            }
        }
        self.out.clear();
        up
    }

    /// Serves timers and everything that follows from them.
    fn serve(&mut self) {
        while self
            .engine
            .next_deadline()
            .is_some_and(|at| at <= self.watch.now())
        {
            self.handle(Event::Tick);
        }
        while !self.heard.is_empty() {
            for (link, message) in std::mem::take(&mut self.heard) {
                self.handle(Event::Message {
                    link,
                    payload: message.payload(),
                });
            }
        }
        while self.telemetry.records.pop().is_some() {}
        while self.telemetry.samples.pop().is_some() {}
    }

    /// One event outside of the measured span, and what it causes at once.
    fn handle(&mut self, event: Event<'_>) {
        self.engine.handle(self.watch.now(), event, &mut self.out);
        for action in self.out.actions() {
            if let Action::Send { link, message } = action
                && link == self.orders_link
            {
                let Wire { tls, writer, .. } = &mut self.orders;
                writer.text(message).expect("room");
                if let Some(tls) = tls {
                    let sent = tls.encrypt(writer.pending()).expect("a session");
                    writer.consumed(sent);
                }
            }
        }
        self.carry_orders(|_| {});
        for link in self.perform() {
            match link.role {
                LinkRole::Market => self.market_link = link,
                LinkRole::Orders => self.orders_link = link,
                LinkRole::Api => {}
            }
            self.handle(Event::LinkUp { link });
        }
    }
}

/// The instrument on the venue's grids, with its rules.
pub(super) fn instruments() -> Instruments {
    let symbol = |text| Symbol::new(text).expect("short");
    Instruments::new(vec![Instrument {
        symbol: symbol(SYMBOL),
        base: symbol("BTC"),
        quote: symbol("USDT"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        lot: Grid::new(E8(1_000)).expect("positive"),
        price_bounds: Bounds {
            min: Some(Ticks(1)),
            max: Some(Ticks(100_000_000)),
        },
        qty_bounds: Bounds {
            min: Some(Lots(1)),
            max: Some(Lots(900_000_000)),
        },
        notional_min: Some(E8(5 * E8_ONE)),
        notional_max: Some(E8(9_000_000 * E8_ONE)),
        order_rules: OrderRules {
            qty_step: Lots(1),
            market_qty_bounds: Bounds {
                min: None,
                max: None,
            },
            market_qty_step: Lots(1),
            notional_min_market: true,
            notional_max_market: false,
            open_orders_max: Some(200),
            self_trade_prevention: SelfTradePrevention::ExpireMaker,
            self_trade_prevention_allowed: u8::MAX,
        },
        trading: true,
    }])
    .expect("one")
}

/// Every limit there is, none of which binds.
pub(super) fn global_limits() -> GlobalLimits {
    GlobalLimits {
        open_orders_max: Some(100),
        orders_per_second_max: Some(1_024),
        leverage_max_percent: Some(300),
        concentration_max_percent: Some(100),
        concentration_from: E8(E8_ONE),
        daily_loss_max: Some(E8(1_000_000 * E8_ONE)),
        drawdown_max_bps: Some(5_000),
        market_data_age_max: Some(Nanos::from_secs(2)),
        clock_offset_max: Some(Nanos::from_secs(1)),
    }
}

/// The same for the instrument.
pub(super) fn instrument_limits() -> InstrumentLimits {
    InstrumentLimits {
        order_qty_max: Some(Lots(1_000_000)),
        order_notional_max: Some(E8(1_000_000 * E8_ONE)),
        position_max: Some(E8(1_000 * E8_ONE)),
        open_orders_max: Some(50),
        price_collar_bps: Some(500),
    }
}

fn trading_config() -> TradingConfig {
    TradingConfig {
        prefix: "bench".to_owned(),
        run: 1,
        recv_window_ms: 5_000,
        account_currency: Symbol::new("USDT").expect("short"),
        baselines: Vec::new(),
        trades_known: Vec::new(),
        global_limits: global_limits(),
        instrument_limits: vec![instrument_limits()],
        orders: OmsConfig {
            answer_max: Nanos::from_secs(2),
            cancel_max: Nanos::from_secs(2),
            replace_max: Nanos::from_secs(2),
            grace: Nanos::from_ms(250),
            ask_again: Nanos::from_secs(1),
            answer_horizon: Nanos::from_secs(6),
        },
        order_limits: vec![
            OrderLimit {
                window: Nanos::from_secs(10),
                limit: 1_000_000,
            },
            OrderLimit {
                window: Nanos::from_secs(86_400),
                limit: 1_000_000_000,
            },
        ],
        reconcile_every: Nanos::from_secs(60),
        kill_switch: false,
        restored: None,
        strategy_runs: true,
    }
}

pub(super) fn credentials(proof: Proof) -> Credentials {
    let signer = match proof {
        Proof::Hmac => Signer::hmac(SECRET),
        Proof::LogOn => {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
            Signer::from_pem(key.serialize_pem().as_bytes())
        }
    };
    Credentials {
        api_key: ApiKey::new(API_KEY).expect("a key's text"),
        signer: signer.expect("a key"),
    }
}

/// The instrument's index.
pub(super) const HERE: InstrumentIndex = InstrumentIndex(0);
