//! An engine with an account, and a venue that says what a test writes: time, links and messages by hand.
//!
//! Owns: [`Desk`]. Market data and the API link answer by themselves; what the engine sends on the order link waits
//! in [`Desk::asked`] until the test answers it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::Value;
use veloz_core::config::{EngineConfig, KnownTrades, TradingConfig};
use veloz_core::engine::{Account, Engine, NoStopwatch};
use veloz_core::event::{Command, Event, LinkDown, LinkId, LinkRole, OrderRef, PayloadBuf, Token};
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::oms::OmsConfig;
use veloz_core::order::{
    ClientId, Intent, OrderId, OrderKind, OrderState, Origin, SelfTradePrevention, Side,
    TimeInForce,
};
use veloz_core::outbox::{Action as Out, Outbox};
use veloz_core::risk::{GlobalLimits, InstrumentLimits, Rejection};
use veloz_core::strategy::{Action, Actions, OrderUpdate, PublicTrade, Standing, Strategy, View};
use veloz_core::telemetry::records::{CommandResult, RecordBody, TradingPhase};
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{E8, Grid, Lots, Nanos, Ticks};
use veloz_core::venue::binance::order_entry::{ApiKey, Credentials};
use veloz_core::venue::binance::rate::OrderLimit;
use veloz_core::wire::sign::Signer;

/// Unix milliseconds on both clocks when the engine's reads zero: a whole number of minutes and of days.
pub(crate) const UNIX_MS: u64 = 20_660 * 86_400_000;
pub(crate) const BTC: InstrumentIndex = InstrumentIndex(0);
pub(crate) const ETH: InstrumentIndex = InstrumentIndex(1);
const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];
/// Lots of one whole unit.
pub(crate) const WHOLE: i64 = 100_000;
/// The key of RFC 8032, section 7.1, test 1.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

/// What the strategy was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Book,
    NoBook,
    Trade,
    Order(OrderId, OrderState),
}

/// What a test wants of the strategy, and what that saw; its room is reserved.
pub(crate) struct Script {
    /// Done one at each call that shows a live book of the first instrument.
    pub(crate) wants: VecDeque<Action>,
    pub(crate) calls: Vec<Call>,
}

/// Does what the script says.
pub(crate) struct Scripted(Rc<RefCell<Script>>);

impl Scripted {
    fn note(&self, call: Call) {
        let mut script = self.0.borrow_mut();
        if script.calls.len() < script.calls.capacity() {
            script.calls.push(call);
        }
    }
}

impl Strategy for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn on_book(&mut self, view: &View<'_>, actions: &mut Actions) {
        self.note(if view.book.is_some() {
            Call::Book
        } else {
            Call::NoBook
        });
        if view.instrument == BTC
            && view.book.is_some()
            && let Some(action) = self.0.borrow_mut().wants.pop_front()
        {
            actions.push(action);
        }
    }

    fn on_trade(&mut self, _view: &View<'_>, _trade: &PublicTrade, _actions: &mut Actions) {
        self.note(Call::Trade);
    }

    fn on_order(&mut self, _view: &View<'_>, update: &OrderUpdate, _actions: &mut Actions) {
        self.note(Call::Order(update.id, update.state));
    }

    fn on_timer(&mut self, _view: &View<'_>, _actions: &mut Actions) {}
}

/// A request of the engine on the order link.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) link: LinkId,
    pub(crate) id: i64,
    pub(crate) method: String,
    pub(crate) params: Value,
}

impl Asked {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.params[name].as_str().unwrap_or_default()
    }
}

/// An order as the venue holds it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) symbol: String,
    pub(crate) client_id: String,
    pub(crate) venue_id: u64,
    pub(crate) side: String,
    pub(crate) price: String,
    /// Lots.
    pub(crate) qty: i64,
    pub(crate) executed: i64,
}

/// Quantity in lots as the venue prints it.
pub(crate) fn lots(lots: i64) -> String {
    E8(lots * 1_000).to_string()
}

/// Price in ticks as the venue prints it.
pub(crate) fn ticks(ticks: i64) -> String {
    E8(ticks * 1_000_000).to_string()
}

/// A number as the venue prints it.
fn printed(text: &str) -> E8 {
    E8::parse(text.as_bytes()).expect("a number")
}

impl Held {
    /// What a placement, or the new order of a replacement, asks for.
    pub(crate) fn of(asked: &Asked, venue_id: u64) -> Self {
        Self {
            symbol: asked.text("symbol").to_owned(),
            client_id: asked.text("newClientOrderId").to_owned(),
            venue_id,
            side: asked.text("side").to_owned(),
            price: match asked.text("price") {
                "" => "0.00000000".to_owned(),
                price => printed(price).to_string(),
            },
            qty: printed(asked.text("quantity")).0 / 1_000,
            executed: 0,
        }
    }

    /// The short answer to a placement.
    pub(crate) fn placed(&self, at: u64) -> String {
        format!(
            r#"{{"symbol":"{}","orderId":{},"orderListId":-1,"clientOrderId":"{}","transactTime":{at}}}"#,
            self.symbol, self.venue_id, self.client_id
        )
    }

    /// A row of open orders, and the answer to a question.
    pub(crate) fn status(&self, status: &str, at: u64) -> String {
        format!(
            r#"{{"symbol":"{}","orderId":{},"orderListId":-1,"clientOrderId":"{}","price":"{}","origQty":"{}","executedQty":"{}","cummulativeQuoteQty":"0.00000000","status":"{status}","timeInForce":"GTC","type":"LIMIT","side":"{}","time":{at},"updateTime":{at},"isWorking":true,"selfTradePreventionMode":"NONE"}}"#,
            self.symbol,
            self.venue_id,
            self.client_id,
            self.price,
            lots(self.qty),
            lots(self.executed),
            self.side
        )
    }

    /// The answer to a cancel.
    pub(crate) fn cancelled(&self, at: u64) -> String {
        format!(
            r#"{{"symbol":"{}","origClientOrderId":"{}","orderId":{},"orderListId":-1,"clientOrderId":"vc-x","transactTime":{at},"price":"{}","origQty":"{}","executedQty":"{}","origQuoteOrderQty":"0.000000","cummulativeQuoteQty":"0.00000000","status":"CANCELED","timeInForce":"GTC","type":"LIMIT","side":"{}","selfTradePreventionMode":"EXPIRE_MAKER"}}"#,
            self.symbol,
            self.client_id,
            self.venue_id,
            self.price,
            lots(self.qty),
            lots(self.executed),
            self.side
        )
    }

    /// The answer to an amend.
    pub(crate) fn amended(&self, status: &str, at: u64) -> String {
        format!(
            r#"{{"transactTime":{at},"executionId":16,"amendedOrder":{{"symbol":"{}","orderId":{},"orderListId":-1,"origClientOrderId":"{}","clientOrderId":"{}","price":"{}","qty":"{}","executedQty":"{}","preventedQty":"0.00000000","quoteOrderQty":"0.00000000","cumulativeQuoteQty":"0.00000000","status":"{status}","timeInForce":"GTC","type":"LIMIT","side":"{}","workingTime":{at},"selfTradePreventionMode":"NONE"}}}}"#,
            self.symbol,
            self.venue_id,
            self.client_id,
            self.client_id,
            self.price,
            lots(self.qty),
            lots(self.executed),
            self.side
        )
    }

    /// A report: what happened, where the order stands, and the fill as (trade id, lots).
    pub(crate) fn report(
        &self,
        kind: &str,
        status: &str,
        fill: Option<(u64, i64)>,
        execution_id: u64,
        at: u64,
    ) -> String {
        let (trade_id, last) = fill.map_or(("-1".to_owned(), 0), |(id, qty)| (id.to_string(), qty));
        let (price, fee) = match fill {
            Some(_) => (self.price.as_str(), r#""n":"0.00000000","N":"USDT""#),
            None => ("0.00000000", r#""n":"0","N":null"#),
        };
        let (current, earlier) = match kind {
            "CANCELED" => ("vc-x", self.client_id.as_str()),
            _ => (self.client_id.as_str(), ""),
        };
        format!(
            r#"{{"subscriptionId":0,"event":{{"e":"executionReport","E":{at},"s":"{}","c":"{current}","S":"{}","o":"LIMIT","f":"GTC","q":"{}","p":"{}","P":"0.00000000","F":"0.00000000","g":-1,"C":"{earlier}","x":"{kind}","X":"{status}","r":"NONE","i":{},"l":"{}","z":"{}","L":"{price}",{fee},"T":{at},"t":{trade_id},"I":{execution_id},"w":true,"m":true,"M":false,"O":{at},"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000","W":{at},"V":"EXPIRE_MAKER"}}}}"#,
            self.symbol,
            self.side,
            lots(self.qty),
            self.price,
            self.venue_id,
            lots(last),
            lots(self.executed),
        )
    }
}

/// How a desk is made.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) global: GlobalLimits,
    pub(crate) limits: InstrumentLimits,
    pub(crate) rules: OrderRules,
    pub(crate) run: u32,
    pub(crate) sizes: Sizes,
    pub(crate) order_limit: u32,
    pub(crate) kill_switch: bool,
    /// The key signs each request instead of logging on.
    pub(crate) hmac: bool,
    pub(crate) baselines: Vec<(Symbol, E8)>,
    pub(crate) trades_known: Vec<KnownTrades>,
    /// Called with `true` before and `false` after each event.
    pub(crate) measure: fn(bool),
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            global: GlobalLimits::default(),
            limits: InstrumentLimits::default(),
            rules: OrderRules::UNRESTRICTED,
            run: 7,
            sizes: Sizes::default(),
            order_limit: 100,
            kill_switch: false,
            hmac: false,
            baselines: Vec::new(),
            trades_known: Vec::new(),
            measure: |_| {},
        }
    }
}

enum Due {
    Up(LinkId),
    Refused(LinkId, u16, Option<Nanos>),
    Text(LinkId, String),
}

/// See the module's text.
pub(crate) struct Desk {
    pub(crate) engine: Engine<NoStopwatch, Scripted>,
    pub(crate) reader: TelemetryReader,
    out: Outbox,
    pub(crate) now: Nanos,
    /// A diff overtakes each snapshot: the book is live with it.
    pub(crate) snapshots_are_late: bool,
    links: [Option<LinkId>; 3],
    due: VecDeque<Due>,
    /// What the engine sent on order links, oldest first.
    pub(crate) asked: VecDeque<Asked>,
    /// Links that the engine closed.
    pub(crate) closed: Vec<(LinkRole, LinkDown)>,
    pub(crate) records: Vec<RecordBody>,
    /// Records are left in their ring.
    pub(crate) reader_stands: bool,
    /// Best bid and ask in ticks that the next diff shows.
    pub(crate) touch: [(i64, i64); 2],
    shown: [(i64, i64); 2],
    book_ids: [u64; 2],
    /// A diff of every book each second.
    pub(crate) feed: bool,
    next_beat: Nanos,
    /// How far the venue's clock is ahead.
    pub(crate) clock_ahead_ms: i64,
    /// With what the venue refuses connections, and what pause it asks for.
    pub(crate) refusal: Option<(u16, Option<Nanos>)>,
    /// Connections asked for.
    pub(crate) connects: usize,
    /// Orders that the venue has counted in the shortest window when it is asked, and how often it was.
    pub(crate) orders_counted: u32,
    pub(crate) counts_asked: usize,
    order_limit: u32,
    /// Questions for the venue's time.
    pub(crate) times_asked: usize,
    pub(crate) script: Rc<RefCell<Script>>,
    measure: fn(bool),
    token: u64,
    venue_id: u64,
    execution_id: u64,
    /// Free amounts that `account.status` shows: BTC, ETH, USDT.
    pub(crate) free: [i64; 3],
}

fn instruments(setup: &Setup) -> Instruments {
    let symbol = |text: &str| Symbol::new(text).expect("short");
    let list = SYMBOLS.map(|name| Instrument {
        symbol: symbol(name),
        base: symbol(&name[..3]),
        quote: symbol("USDT"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        lot: Grid::new(E8(1_000)).expect("positive"),
        price_bounds: Bounds {
            min: Some(Ticks(100)),
            max: Some(Ticks(10_000_000)),
        },
        qty_bounds: Bounds {
            min: Some(Lots(100)),
            max: Some(Lots(10_000 * WHOLE)),
        },
        notional_min: Some(E8(500_000_000)),
        notional_max: None,
        order_rules: setup.rules,
        trading: true,
    });
    Instruments::new(list.to_vec()).expect("two")
}

impl Desk {
    /// An engine at time zero, before its first event.
    pub(crate) fn new(setup: &Setup) -> Self {
        let instruments = instruments(setup);
        let (writer, reader) = telemetry(instruments.count(), setup.sizes);
        let script = Rc::new(RefCell::new(Script {
            wants: VecDeque::with_capacity(64),
            calls: Vec::with_capacity(4_096),
        }));
        let account = Account {
            config: TradingConfig {
                prefix: "mm1".to_owned(),
                run: setup.run,
                recv_window_ms: 5_000,
                account_currency: Symbol::new("USDT").expect("short"),
                baselines: setup.baselines.clone(),
                trades_known: setup.trades_known.clone(),
                global_limits: setup.global,
                instrument_limits: vec![setup.limits; instruments.count()],
                orders: OmsConfig {
                    answer_max: Nanos::from_secs(2),
                    cancel_max: Nanos::from_secs(2),
                    replace_max: Nanos::from_secs(2),
                    grace: Nanos::from_ms(250),
                    ask_again: Nanos::from_secs(1),
                    answer_horizon: Nanos::from_secs(6),
                },
                order_limits: vec![OrderLimit {
                    window: Nanos::from_secs(10),
                    limit: setup.order_limit,
                }],
                reconcile_every: Nanos::from_secs(3_600),
                kill_switch: setup.kill_switch,
                restored: None,
                strategy_runs: true,
            },
            credentials: Credentials {
                api_key: ApiKey::new("key").expect("legal"),
                signer: if setup.hmac {
                    Signer::hmac(b"secret").expect("a key")
                } else {
                    Signer::from_pem(PEM.as_bytes()).expect("a key")
                },
            },
            strategy: Scripted(Rc::clone(&script)),
        };
        let engine = Engine::with_account(
            EngineConfig::default(),
            instruments,
            writer,
            NoStopwatch,
            Some(account),
        );
        Self {
            engine: engine.expect("legal"),
            reader,
            out: Outbox::new(),
            now: Nanos::ZERO,
            snapshots_are_late: false,
            links: [None; 3],
            due: VecDeque::new(),
            asked: VecDeque::new(),
            closed: Vec::new(),
            records: Vec::new(),
            reader_stands: false,
            touch: [(9_999, 10_001), (999, 1_001)],
            shown: [(0, 0); 2],
            book_ids: [100; 2],
            feed: true,
            next_beat: Nanos::ZERO,
            clock_ahead_ms: 0,
            refusal: None,
            connects: 0,
            orders_counted: 0,
            counts_asked: 0,
            order_limit: setup.order_limit,
            times_asked: 0,
            script,
            measure: setup.measure,
            token: 0,
            venue_id: 1_000,
            execution_id: 10_000,
            free: [10, 100, 100_000],
        }
    }

    /// A desk that trades: books live, clocks known, logged on, reconciled.
    pub(crate) fn ready(setup: &Setup) -> Self {
        let mut desk = Self::new(setup);
        desk.begin();
        desk.introduce("[]");
        desk.advance(1_500);
        desk.expect_phase(TradingPhase::Ready);
        assert!(desk.engine.book(BTC).is_some() && desk.engine.book(ETH).is_some());
        desk.records.clear();
        desk
    }

    /// Both clocks agree, and the links come up; the order link says nothing yet.
    pub(crate) fn begin(&mut self) {
        self.wall_clock(0);
        self.advance(1_500);
    }

    /// The machine's wall clock is found so many milliseconds ahead of the engine's.
    pub(crate) fn wall_clock(&mut self, ahead_ms: i64) {
        self.handle(Event::WallClock {
            unix_ns_at_zero: (UNIX_MS as i64 + ahead_ms) * 1_000_000,
        });
    }

    /// Answers a whole introduction: log-on, subscription, open orders, balances.
    pub(crate) fn introduce(&mut self, open_orders: &str) {
        let ask = self.take("session.logon");
        self.answer(&ask, &logged_on());
        let ask = self.take("userDataStream.subscribe");
        self.answer(&ask, r#"{"subscriptionId":0}"#);
        self.reconcile(open_orders);
    }

    /// Answers a round of reconciliation; nothing was missed.
    pub(crate) fn reconcile(&mut self, open_orders: &str) {
        self.advance(1);
        let ask = self.take("openOrders.status");
        self.answer(&ask, open_orders);
        self.advance(1);
        let ask = self.take("account.status");
        let account = self.account();
        self.answer(&ask, &account);
        self.advance(1);
        while self.asked.iter().any(|asked| asked.method == "myTrades") {
            let ask = self.take("myTrades");
            self.answer(&ask, "[]");
            self.advance(1);
        }
    }

    /// What `account.status` answers.
    pub(crate) fn account(&self) -> String {
        let [btc, eth, usdt] = self.free;
        format!(
            r#"{{"canTrade":true,"updateTime":{},"accountType":"SPOT","balances":[{{"asset":"BTC","free":"{btc}.00000000","locked":"0.00000000"}},{{"asset":"ETH","free":"{eth}.00000000","locked":"0.00000000"}},{{"asset":"USDT","free":"{usdt}.00000000","locked":"0.00000000"}}],"permissions":["SPOT"]}}"#,
            self.unix_ms()
        )
    }

    /// The venue's time in milliseconds.
    pub(crate) fn unix_ms(&self) -> u64 {
        (UNIX_MS + self.now.as_ms()).saturating_add_signed(self.clock_ahead_ms)
    }

    pub(crate) fn handle(&mut self, event: Event<'_>) {
        self.handle_one(event);
        while let Some(due) = self.due.pop_front() {
            match due {
                Due::Up(link) => self.handle_one(Event::LinkUp { link }),
                Due::Refused(link, status, pause) => self.handle_one(Event::LinkRefused {
                    link,
                    status,
                    pause,
                }),
                Due::Text(link, text) => self.text(link, &text),
            }
        }
    }

    fn text(&mut self, link: LinkId, text: &str) {
        let buf = PayloadBuf::new(text.as_bytes());
        self.handle_one(Event::Message {
            link,
            payload: buf.payload(),
        });
    }

    fn handle_one(&mut self, event: Event<'_>) {
        (self.measure)(true);
        self.engine.handle(self.now, event, &mut self.out);
        (self.measure)(false);
        let out = std::mem::take(&mut self.out);
        for action in out.actions() {
            match action {
                Out::Connect { link } => {
                    self.links[link.role as usize] = Some(link);
                    self.connects += 1;
                    self.due.push_back(match self.refusal {
                        None => Due::Up(link),
                        Some((status, pause)) => Due::Refused(link, status, pause),
                    });
                }
                Out::Close { link, cause } => self.closed.push((link.role, cause)),
                Out::Send { link, message } => {
                    let json = serde_json::from_slice(message).expect("we send JSON");
                    self.sent(link, &json);
                }
            }
        }
        self.out = out;
        self.out.clear();
        if !self.reader_stands {
            self.read();
        }
    }

    /// Reads all records.
    pub(crate) fn read(&mut self) {
        while let Some(record) = self.reader.records.pop() {
            self.records.push(record.body);
        }
        while self.reader.samples.pop().is_some() {}
    }

    fn sent(&mut self, link: LinkId, json: &Value) {
        let id = json["id"].as_i64().expect("a number");
        let method = json["method"].as_str().expect("a method");
        match (link.role, method) {
            // Nothing was counted yet, or what the test says.
            (LinkRole::Orders, "account.rateLimits.orders") => {
                self.counts_asked += 1;
                let text = format!(
                    r#"{{"id":{id},"status":200,"result":[{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":{},"count":{}}}]}}"#,
                    self.order_limit, self.orders_counted
                );
                self.due.push_back(Due::Text(link, text));
            }
            (LinkRole::Orders, _) => self.asked.push_back(Asked {
                link,
                id,
                method: method.to_owned(),
                params: json["params"].clone(),
            }),
            (_, "SUBSCRIBE") => {
                let text = format!("{{\"result\":null,\"id\":{id}}}");
                self.due.push_back(Due::Text(link, text));
                for position in 0..SYMBOLS.len() {
                    let text = self.diff(position);
                    self.due.push_back(Due::Text(link, text));
                }
            }
            (_, "time") => {
                self.times_asked += 1;
                let text = format!(
                    r#"{{"id":{id},"status":200,"result":{{"serverTime":{}}}}}"#,
                    self.unix_ms()
                );
                self.due.push_back(Due::Text(link, text));
            }
            (_, "depth") => {
                let position = SYMBOLS
                    .iter()
                    .position(|symbol| json["params"]["symbol"] == *symbol)
                    .expect("ours");
                let (bid, ask) = self.shown[position];
                let text = format!(
                    r#"{{"id":{id},"status":200,"result":{{"lastUpdateId":{},"bids":[["{}","5.00000000"]],"asks":[["{}","5.00000000"]]}}}}"#,
                    self.book_ids[position],
                    ticks(bid),
                    ticks(ask)
                );
                if self.snapshots_are_late {
                    let diff = self.diff(position);
                    self.due
                        .push_back(Due::Text(self.link(LinkRole::Market), diff));
                }
                self.due.push_back(Due::Text(link, text));
            }
            (role, other) => panic!("{role:?} is asked {other}"),
        }
    }

    /// A diff that moves a book to the touch.
    fn diff(&mut self, position: usize) -> String {
        let side = |old: i64, new: i64| {
            let gone = if old != 0 && old != new {
                format!(r#"["{}","0.00000000"],"#, ticks(old))
            } else {
                String::new()
            };
            format!(r#"[{gone}["{}","5.00000000"]]"#, ticks(new))
        };
        self.book_ids[position] += 1;
        let id = self.book_ids[position];
        let (old, new) = (self.shown[position], self.touch[position]);
        self.shown[position] = new;
        format!(
            r#"{{"stream":"{}@depth@100ms","data":{{"e":"depthUpdate","E":{},"s":"{}","U":{id},"u":{id},"b":{},"a":{}}}}}"#,
            SYMBOLS[position].to_lowercase(),
            self.unix_ms(),
            SYMBOLS[position],
            side(old.0, new.0),
            side(old.1, new.1)
        )
    }

    /// The next update of a book.
    pub(crate) fn tick_book(&mut self, instrument: InstrumentIndex) {
        let text = self.diff(instrument.as_usize());
        let link = self.link(LinkRole::Market);
        self.message_on(link, &text);
    }

    /// A diff that does not follow the one before.
    pub(crate) fn break_book(&mut self) {
        self.book_ids[BTC.as_usize()] += 10;
        self.tick_book(BTC);
    }

    pub(crate) fn link(&self, role: LinkRole) -> LinkId {
        self.links[role as usize].expect("asked for")
    }

    /// Time passes, with every deadline on its way.
    pub(crate) fn advance(&mut self, ms: u64) {
        let to = self.now.plus(Nanos::from_ms(ms));
        loop {
            let beat = if self.feed {
                self.next_beat
            } else {
                Nanos::MAX
            };
            let at = self.engine.next_deadline().unwrap_or(Nanos::MAX).min(beat);
            if at > to {
                break;
            }
            self.now = self.now.max(at);
            if beat <= self.now {
                self.next_beat = self.now.plus(Nanos::from_secs(1));
                if self.links[0].is_some() {
                    self.tick_book(BTC);
                    self.tick_book(ETH);
                }
            }
            if self
                .engine
                .next_deadline()
                .is_some_and(|due| due <= self.now)
            {
                self.handle(Event::Tick);
            }
        }
        self.now = to;
    }

    /// Time passes until another order link wants to be let in.
    pub(crate) fn advance_to_log_on(&mut self) {
        self.asked.clear();
        for _ in 0..1_000 {
            if !self.asked.is_empty() {
                return;
            }
            self.advance(100);
        }
        panic!("no link comes up");
    }

    pub(crate) fn message_on(&mut self, link: LinkId, text: &str) {
        let buf = PayloadBuf::new(text.as_bytes());
        self.handle(Event::Message {
            link,
            payload: buf.payload(),
        });
    }

    /// User data, or anything else on the order link.
    pub(crate) fn tell(&mut self, text: &str) {
        let link = self.link(LinkRole::Orders);
        self.message_on(link, text);
    }

    /// The oldest request of this kind that is not answered.
    pub(crate) fn take(&mut self, method: &str) -> Asked {
        let position = self.asked.iter().position(|asked| asked.method == method);
        let asked = position.and_then(|position| self.asked.remove(position));
        asked.unwrap_or_else(|| panic!("{method} is not asked"))
    }

    /// Nothing waits for an answer.
    pub(crate) fn expect_quiet(&self) {
        let methods: Vec<_> = self.asked.iter().map(|asked| &asked.method).collect();
        assert!(methods.is_empty(), "{methods:?}");
    }

    pub(crate) fn answer(&mut self, asked: &Asked, result: &str) {
        let text = format!(r#"{{"id":{},"status":200,"result":{result}}}"#, asked.id);
        self.message_on(asked.link, &text);
    }

    pub(crate) fn refuse(&mut self, asked: &Asked, status: u16, error: &str) {
        let text = format!(r#"{{"id":{},"status":{status},"error":{error}}}"#, asked.id);
        self.message_on(asked.link, &text);
    }

    pub(crate) fn link_down(&mut self, cause: LinkDown) {
        let link = self.link(LinkRole::Orders);
        self.handle(Event::LinkDown { link, cause });
    }

    /// Carries a command out; its answer.
    pub(crate) fn command(
        &mut self,
        command: impl FnOnce(Token) -> Command,
    ) -> (CommandResult, Option<Rejection>, Option<OrderId>) {
        self.token += 1;
        let token = Token(self.token);
        self.handle(Event::Command(command(token)));
        // Cancels and questions go with the timer.
        self.advance(0);
        let mut answers = self.records.iter().filter_map(|record| match record {
            RecordBody::CommandDone {
                token: answered,
                result,
                reason,
                order,
            } if *answered == token => Some((*result, *reason, *order)),
            _ => None,
        });
        let answer = answers.next().expect("every command is answered");
        assert!(answers.next().is_none(), "and once");
        answer
    }

    pub(crate) fn place_intent(
        &mut self,
        intent: Intent,
        client_id: Option<&str>,
    ) -> (CommandResult, Option<Rejection>, Option<OrderId>) {
        let client_id = client_id.map(|text| ClientId::new(text).expect("legal"));
        self.command(|token| Command::Place {
            token,
            client_id,
            intent,
        })
    }

    /// Places an order that must be admitted; the request waits.
    pub(crate) fn place(&mut self, side: Side, price: i64, qty: i64) -> OrderId {
        let (result, reason, order) = self.place_intent(limit(side, price, qty), None);
        assert_eq!((result, reason), (CommandResult::Done, None));
        order.expect("admitted")
    }

    /// A number that the venue gives an order.
    pub(crate) fn venue_id(&mut self) -> u64 {
        self.venue_id += 1;
        self.venue_id
    }

    /// Takes the placement that waits into the venue's book and answers it.
    pub(crate) fn accept(&mut self) -> Held {
        let asked = self.take("order.place");
        let held = Held::of(&asked, self.venue_id());
        self.answer(&asked, &held.placed(self.unix_ms()));
        held
    }

    /// An order that rests.
    pub(crate) fn rest(&mut self, side: Side, price: i64, qty: i64) -> (OrderId, Held) {
        let id = self.place(side, price, qty);
        let held = self.accept();
        assert_eq!(self.state(id), OrderState::Live);
        (id, held)
    }

    /// A report of the venue about an order.
    pub(crate) fn report(
        &mut self,
        held: &Held,
        kind: &str,
        status: &str,
        fill: Option<(u64, i64)>,
    ) {
        self.execution_id += 1;
        let text = held.report(kind, status, fill, self.execution_id, self.unix_ms());
        self.tell(&text);
        self.advance(0);
    }

    /// Fills so many lots of an order.
    pub(crate) fn fill(&mut self, held: &mut Held, trade_id: u64, qty: i64) {
        held.executed += qty;
        let status = if held.executed == held.qty {
            "FILLED"
        } else {
            "PARTIALLY_FILLED"
        };
        self.report(&held.clone(), "TRADE", status, Some((trade_id, qty)));
    }

    pub(crate) fn cancel(
        &mut self,
        id: OrderId,
    ) -> (CommandResult, Option<Rejection>, Option<OrderId>) {
        self.command(|token| Command::Cancel {
            token,
            order: OrderRef::Id(id),
        })
    }

    pub(crate) fn state(&self, id: OrderId) -> OrderState {
        let oms = self.engine.oms().expect("there is an account");
        oms.order(id).expect("in the table").state()
    }

    /// Position in lots.
    pub(crate) fn position(&self, instrument: InstrumentIndex) -> i64 {
        let portfolio = self.engine.portfolio().expect("there is an account");
        portfolio.position(instrument).qty().0 / 1_000
    }

    pub(crate) fn expect_phase(&self, phase: TradingPhase) {
        assert_eq!(self.engine.trading_phase().label(), phase.label());
    }

    /// States that an order went through, as recorded.
    pub(crate) fn states(&self, id: OrderId) -> Vec<&'static str> {
        let states = self.records.iter().filter_map(|record| match record {
            RecordBody::OrderState { order, to, .. } if *order == id => Some(to.label()),
            _ => None,
        });
        states.collect()
    }

    /// Fills as recorded: order, trade id, lots.
    pub(crate) fn fills(&self) -> Vec<(OrderId, u64, i64)> {
        let fills = self.records.iter().filter_map(|record| match record {
            RecordBody::Fill {
                order,
                trade_id,
                qty,
                ..
            } => Some((*order, *trade_id, qty.0)),
            _ => None,
        });
        fills.collect()
    }

    /// Whether a record like this was written.
    pub(crate) fn recorded(&self, wanted: impl Fn(&RecordBody) -> bool) -> bool {
        self.records.iter().any(wanted)
    }
}

impl Drop for Desk {
    /// After every scenario the sums of the funnel and the totals of the orders hold.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let oms = self.engine.oms().expect("there is an account");
        let mut standing = Standing::default();
        for order in oms.open_all() {
            match (order.venue_order_id(), order.state()) {
                (Some(_), _) => standing.open += 1,
                (None, OrderState::Unresolved) => standing.unresolved += 1,
                (None, _) => standing.unanswered += 1,
            }
        }
        let funnel = self.engine.funnel().expect("there is an account");
        funnel.check(&standing).expect("no order leaks");
        for instrument in [BTC, ETH] {
            let totals = oms.totals(instrument);
            let open = |side: Side| -> i128 {
                let of_side = oms.open(instrument).filter(|order| order.side() == side);
                of_side.map(|order| i128::from(order.remaining().0)).sum()
            };
            assert_eq!(totals.buy_remaining_lots, open(Side::Buy));
            assert_eq!(totals.sell_remaining_lots, open(Side::Sell));
        }
    }
}

/// What a log-on is answered with.
pub(crate) fn logged_on() -> String {
    format!(
        r#"{{"apiKey":"key","authorizedSince":1,"connectedSince":1,"returnRateLimits":false,"serverTime":{UNIX_MS},"userDataStream":false}}"#
    )
}

/// A limit order for BTC, wanted by an operator.
pub(crate) fn limit(side: Side, price: i64, qty: i64) -> Intent {
    Intent {
        instrument: BTC,
        side,
        kind: OrderKind::Limit,
        time_in_force: TimeInForce::Gtc,
        price: Ticks(price),
        qty: Lots(qty),
        self_trade_prevention: SelfTradePrevention::ExpireMaker,
        origin: Origin::Operator,
    }
}
