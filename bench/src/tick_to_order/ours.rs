//! The engine with an account, and what the edge has between it and the network, without the network.
//!
//! Owns: [`Trader`], one engine that trades; [`Lean`], the strategy that answers every change of a book with one
//! order. Does not: time anything, or generate messages. The order of calls is that of `edge::core_loop`: receive,
//! react, send, finish.

use super::account::{credentials, instruments, trading_config};
use super::far_end::Authority;
use super::flow::{Flow, LEVELS, Tick, UNIX_MS_AT_ZERO};
use super::venue::answers;
use super::watch::Watch;
use super::wire::Wire;
use super::{BETWEEN_TICKS, Proof};
use veloz_core::book;
use veloz_core::config::EngineConfig;
use veloz_core::engine::{Account, Engine};
use veloz_core::event::{Event, LinkId, LinkRole, PayloadBuf};
use veloz_core::order::{OrderKind, Side, TimeInForce};
use veloz_core::outbox::{Action, Outbox};
use veloz_core::strategy::{
    Action as Wanted, Actions, OrderUpdate, PublicTrade, Quote, Strategy, View,
};
use veloz_core::telemetry::records::TradingPhase;
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{Lots, Nanos};

/// Virtual time in which the engine must have logged on and reconciled.
const START_MAX: Nanos = Nanos::from_secs(30);
/// Every order's quantity: 0.001 of the base asset.
const ORDER_QTY: Lots = Lots(100);

/// Joins whoever has more in the best levels, at their best price: one order for every change of the book. So orders of
/// a burst never meet each other.
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
            (Side::Buy, bid)
        } else {
            (Side::Sell, ask)
        };
        actions.push(Wanted::Place(Quote {
            side,
            kind: OrderKind::Limit,
            time_in_force: TimeInForce::Gtc,
            price,
            qty: ORDER_QTY,
            self_trade_prevention: view.rules.order_rules.self_trade_prevention,
        }));
    }

    fn on_trade(&mut self, _: &View<'_>, _: &PublicTrade, _: &mut Actions) {}

    fn on_order(&mut self, _: &View<'_>, _: &OrderUpdate, _: &mut Actions) {}

    fn on_timer(&mut self, _: &View<'_>, _: &mut Actions) {}
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

    /// Lets a message's time come, and serves whatever else is due by then. What that asks of the venue is answered
    /// with the orders.
    pub fn pass(&mut self) {
        self.watch.pass(BETWEEN_TICKS);
        self.tick();
    }

    /// What arrives for a message, for [`Trader::receive`]: ciphertext where there is TLS.
    pub fn arrival(&mut self, tick: &Tick) -> Vec<u8> {
        self.market.far.seal(tick.frame())
    }

    /// One message, and the bytes of what it causes: all that is measured.
    #[inline]
    pub fn receive(&mut self, arrival: &[u8]) {
        let now = self.market.receive(arrival, || self.watch.now());
        let reader = &mut self.market.reader;
        let frame = reader.poll().expect("a frame").expect("a whole one");
        let event = Event::Message {
            link: self.market_link,
            payload: reader.payload(frame),
        };
        self.engine.react(now, event, &mut self.out);
        self.send();
    }

    /// Ends a turn of the edge's loop, before the next message: the engine finishes what it left for after the order.
    pub fn look(&mut self) {
        self.perform();
        self.engine.finish(&mut self.out);
        self.send();
        self.perform();
        self.market.look();
    }

    /// Sends what goes to the order link.
    #[inline]
    fn send(&mut self) {
        for action in self.out.actions() {
            if let Action::Send { link, message } = action
                && link == self.orders_link
            {
                self.orders.send(message);
            }
        }
    }

    /// What became of the messages since the last call: the orders as the far end reads them. The venue's answers wait
    /// afterwards.
    pub fn sent(&mut self) -> Vec<String> {
        let mut orders = Vec::new();
        self.carry_orders(|text| {
            if text.contains(r#""method":"order.place""#) {
                orders.push(text.to_owned());
            }
        });
        orders
    }

    /// Lets the engine hear what the venue answered, until nothing is left to say. What it asks of the venue then is
    /// answered with the next orders.
    pub fn settle(&mut self) {
        let mut heard = std::mem::take(&mut self.heard);
        let mut position = 0;
        while let Some((link, message)) = heard.get(position) {
            self.handle(Event::Message {
                link: *link,
                payload: message.payload(),
            });
            heard.append(&mut self.heard);
            position += 1;
        }
        self.heard = heard;
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

    /// Moves what was sent on the order link to the far end, and hands out the messages that it read.
    fn carry_orders(&mut self, mut read: impl FnMut(&str)) {
        let wire = &mut self.orders;
        wire.carry();
        let now = self.watch.now();
        while let Some(text) = wire.far.next_message() {
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
        self.tick();
        loop {
            self.carry_orders(|_| {});
            if self.heard.is_empty() {
                break;
            }
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

    /// Serves timers.
    fn tick(&mut self) {
        while self
            .engine
            .next_deadline()
            .is_some_and(|at| at <= self.watch.now())
        {
            self.handle(Event::Tick);
        }
    }

    /// One event outside of the measured span, and what it causes at once.
    fn handle(&mut self, event: Event<'_>) {
        self.engine.handle(self.watch.now(), event, &mut self.out);
        self.send();
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
