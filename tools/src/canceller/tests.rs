//! The canceller against a small venue in virtual time: one fault at a time, then all of them by seed.

use super::requests::tests::{ed25519, hmac, order};
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

const ROUND_TRIP: Nanos = Nanos::from_ms(2);
const SETTLE: Nanos = Nanos::from_secs(5);
const ANSWER_MAX: Nanos = Nanos::from_secs(1);
/// The venue's clock is ten seconds off ours.
const VENUE_UNIX_MS_AT_ZERO: u64 = 1_800_000_010_000;

fn config() -> CancellerConfig {
    CancellerConfig {
        scope: Scope::Instance(ClientOrderIds::new("mm1").expect("legal")),
        symbol: None,
        recv_window_ms: 5_000,
        answer_max: ANSWER_MAX,
        settle: SETTLE,
        backoff_base: Nanos::from_ms(250),
        backoff_max: Nanos::from_secs(5),
        seed: 7,
    }
}

/// What the venue does with the next request of a method.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Refuses it, undone.
    Refuse(u16, i32, &'static str, Option<u64>),
    /// Does it, and says that the outcome is unknown.
    DoneUnknown,
    /// Does it and never answers.
    DoneSilent,
    /// Does it and cuts the connection.
    DoneCut,
    /// Cuts the connection, undone.
    Cut,
    /// Answers with what is no message.
    Garbage,
}

/// A venue of one account.
pub(crate) struct Venue {
    orders: BTreeMap<u64, OpenOrder>,
    /// Faults by method, used up in order.
    faults: Vec<(&'static str, Fault)>,
    /// Orders that come to be at a time, sent by somebody else before.
    pub(crate) late: Vec<(Nanos, OpenOrder)>,
    /// Lists still show what was cancelled less than this ago.
    lag: Nanos,
    ended: Vec<(Nanos, OpenOrder)>,
    connected: bool,
    logged_on: bool,
    pub(crate) refuses_connections: u32,
    pub(crate) asked: Vec<(Nanos, String)>,
}

/// What the venue sends back; `None` when it cuts the connection.
type Reply = Option<String>;

impl Venue {
    fn new(orders: &[OpenOrder]) -> Self {
        Self {
            orders: orders
                .iter()
                .map(|order| (order.order_id, order.clone()))
                .collect(),
            faults: Vec::new(),
            late: Vec::new(),
            lag: Nanos::ZERO,
            ended: Vec::new(),
            connected: false,
            logged_on: false,
            refuses_connections: 0,
            asked: Vec::new(),
        }
    }

    fn time(now: Nanos) -> u64 {
        VENUE_UNIX_MS_AT_ZERO + now.as_ms()
    }

    fn wake(&mut self, now: Nanos) {
        let (come, later) = std::mem::take(&mut self.late)
            .into_iter()
            .partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.late = later;
        for (_, order) in come {
            self.orders.insert(order.order_id, order);
        }
    }

    fn handle(&mut self, now: Nanos, text: &str) -> Vec<Reply> {
        self.wake(now);
        let request: Value = serde_json::from_str(text).expect("JSON");
        let method = request["method"].as_str().expect("a method").to_owned();
        self.asked.push((now, method.clone()));
        let fault = self
            .faults
            .iter()
            .position(|(of, _)| *of == method)
            .map(|at| self.faults.remove(at).1);
        let id = &request["id"];
        let refuse = |status: u16, code: i32, words: &str, data: Value| {
            json!({"id": id, "status": status, "error": {"code": code, "msg": words, "data": data}})
                .to_string()
        };
        match fault {
            Some(Fault::Refuse(status, code, words, wait_ms)) => {
                let data = wait_ms.map_or(Value::Null, |wait| {
                    json!({"serverTime": Self::time(now), "retryAfter": Self::time(now) + wait})
                });
                return vec![Some(refuse(status, code, words, data))];
            }
            Some(Fault::Cut) => return vec![None],
            Some(Fault::Garbage) => return vec![Some("{\"id\":".to_owned())],
            Some(Fault::DoneUnknown | Fault::DoneSilent | Fault::DoneCut) | None => {}
        }
        let params = &request["params"];
        if let Some(at) = params["timestamp"].as_u64() {
            let venue = Self::time(now);
            let window = params["recvWindow"].as_u64().expect("a window");
            assert!(
                at < venue + 1_000 && venue.saturating_sub(at) <= window,
                "{method} at {at}, now {venue}"
            );
            let signed = params["signature"].is_string();
            assert!(signed || self.logged_on, "{method} is not authorised");
        }
        let result = match method.as_str() {
            "time" => Ok(json!({"serverTime": Self::time(now)})),
            "session.logon" => {
                self.logged_on = true;
                Ok(json!({}))
            }
            "openOrders.status" => {
                let shown = self
                    .ended
                    .iter()
                    .filter(|(at, _)| now.since(*at) < self.lag);
                let wanted = |order: &&OpenOrder| {
                    params["symbol"].is_null() || params["symbol"] == *order.symbol
                };
                let list: Vec<Value> = self
                    .orders
                    .values()
                    .chain(shown.map(|(_, order)| order))
                    .filter(wanted)
                    .map(|order| {
                        json!({
                            "symbol": order.symbol, "orderId": order.order_id,
                            "clientOrderId": order.client_order_id, "side": order.side,
                            "price": order.price, "origQty": order.qty,
                            "executedQty": order.executed_qty, "status": "NEW",
                        })
                    })
                    .collect();
                Ok(Value::from(list))
            }
            "order.cancel" => {
                let order = params["orderId"].as_u64().expect("an id");
                match self.orders.remove(&order) {
                    Some(order) => {
                        self.ended.push((now, order));
                        Ok(json!({}))
                    }
                    None => Err("Unknown order sent."),
                }
            }
            other => panic!("the canceller cannot ask for {other}"),
        };
        match fault {
            Some(Fault::DoneUnknown) => {
                vec![Some(refuse(500, -1007, "Timeout", Value::Null))]
            }
            Some(Fault::DoneSilent) => Vec::new(),
            Some(Fault::DoneCut) => vec![None],
            _ => vec![Some(match result {
                Ok(result) => json!({"id": id, "status": 200, "result": result}).to_string(),
                Err(words) => refuse(400, -2011, words, Value::Null),
            })],
        }
    }
}

pub(crate) const CUT: Input<'static> = Input::Down {
    why: "cut",
    status: None,
    pause: None,
};

pub(crate) struct World {
    pub(crate) canceller: Canceller,
    pub(crate) venue: Venue,
    pub(crate) now: Nanos,
    /// From a request to its answer; the request itself takes no time.
    pub(crate) round_trip: Nanos,
    /// What is on its way to the canceller, in order.
    incoming: VecDeque<(Nanos, Incoming)>,
    pub(crate) told: Vec<Notice>,
    pub(crate) weight: u32,
    pub(crate) connects: Vec<Nanos>,
}

enum Incoming {
    Up,
    Down,
    Message(String),
}

impl World {
    pub(crate) fn new(credentials: Credentials, orders: &[OpenOrder]) -> Self {
        Self {
            canceller: Canceller::new(config(), credentials),
            venue: Venue::new(orders),
            now: Nanos::from_secs(1),
            round_trip: ROUND_TRIP,
            incoming: VecDeque::new(),
            told: Vec::new(),
            weight: 0,
            connects: Vec::new(),
        }
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.canceller.handle(self.now, input, &mut out);
        let arrives = self.now.plus(self.round_trip);
        for output in out {
            match output {
                Output::Connect => {
                    self.connects.push(self.now);
                    self.incoming.clear();
                    if self.venue.refuses_connections > 0 {
                        self.venue.refuses_connections -= 1;
                        self.incoming.push_back((arrives, Incoming::Down));
                    } else {
                        self.venue.connected = true;
                        self.venue.logged_on = false;
                        self.incoming.push_back((arrives, Incoming::Up));
                    }
                }
                Output::Send { text, weight } => {
                    self.weight += weight;
                    if self.venue.connected {
                        for reply in self.venue.handle(self.now, &text) {
                            let incoming = if let Some(text) = reply {
                                Incoming::Message(text)
                            } else {
                                self.venue.connected = false;
                                Incoming::Down
                            };
                            self.incoming.push_back((arrives, incoming));
                        }
                    }
                }
                Output::Close => {
                    self.venue.connected = false;
                    self.incoming.clear();
                }
                Output::Tell(notice) => self.told.push(notice),
            }
        }
    }

    /// Goes to the next thing that happens before `until`; `false` when there is none.
    pub(crate) fn step(&mut self, until: Nanos) -> bool {
        let next = self.incoming.front().map(|(at, _)| *at);
        let deadline = self.canceller.next_deadline();
        let at = next.into_iter().chain(deadline).min();
        let Some(at) = at.filter(|at| *at <= until) else {
            self.now = until;
            return false;
        };
        assert!(
            at > self.now || next.is_some() || deadline.is_none(),
            "a deadline in the past is a busy loop"
        );
        self.now = self.now.max(at);
        if next == Some(at) {
            let (_, incoming) = self.incoming.pop_front().expect("looked at");
            match incoming {
                Incoming::Up => self.handle(Input::Up),
                Incoming::Down => self.handle(CUT),
                Incoming::Message(text) => self.handle(Input::Message(&text)),
            }
        } else {
            self.handle(Input::Tick);
        }
        true
    }

    pub(crate) fn run_for(&mut self, time: Nanos) {
        let until = self.now.plus(time);
        self.handle(Input::Tick);
        while self.step(until) {}
    }

    /// Sweeps until it is clean; how long it took.
    fn sweep(&mut self) -> Nanos {
        let began = self.now;
        self.canceller.begin(began);
        self.handle(Input::Tick);
        let until = began.plus(Nanos::from_secs(300));
        while !self.canceller.is_clean() {
            assert!(self.step(until), "never clean: {:?}", self.told);
        }
        self.now.since(began)
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Notice) -> bool) -> usize {
        self.told.iter().filter(|notice| wanted(notice)).count()
    }
}

/// Three of ours, one of another instance, one placed by hand.
pub(crate) fn orders() -> Vec<OpenOrder> {
    vec![
        order(1, "vz-mm1_1_1"),
        order(2, "vz-mm1_1_2"),
        order(3, "vz-mm1_7_zz"),
        order(4, "vz-mm2_1_1"),
        order(5, "web_4711"),
    ]
}

pub(crate) fn left(world: &World) -> Vec<u64> {
    world.venue.orders.keys().copied().collect()
}

#[test]
fn a_sweep_takes_back_what_is_ours_and_nothing_else() {
    for credentials in [ed25519(), hmac()] {
        let logs_on = credentials.signer.can_log_on();
        let mut world = World::new(credentials, &orders());
        let took = world.sweep();
        assert_eq!(left(&world), [4, 5]);
        assert_eq!(
            world.count(|notice| matches!(notice, Notice::Cancelled(_))),
            3
        );
        assert_eq!(world.told.last(), Some(&Notice::Clean { cancelled: 3 }));
        assert!(took >= SETTLE, "an order may still have been on its way");
        assert_eq!(world.venue.asked[0].1, "time", "no local clock is trusted");
        let log_ons = world
            .venue
            .asked
            .iter()
            .filter(|(_, method)| method == "session.logon");
        assert_eq!(log_ons.count(), usize::from(logs_on));
        // The cancels went out as soon as the list was there.
        let cancelled = world
            .venue
            .asked
            .iter()
            .filter(|(_, method)| method == "order.cancel");
        for (at, _) in cancelled {
            assert!(at.since(Nanos::from_secs(1)) < Nanos::from_ms(50));
        }
        assert!(world.weight > 2 * 80, "{}", world.weight);
    }
}

#[test]
fn the_whole_account_goes_when_that_is_the_scope() {
    let mut world = World::new(hmac(), &orders());
    world.canceller.config.scope = Scope::Account;
    world.sweep();
    assert_eq!(left(&world), [0; 0]);
    assert_eq!(world.told.last(), Some(&Notice::Clean { cancelled: 5 }));
}

#[test]
fn one_symbol_alone_is_asked_for_when_it_is_named() {
    let mut all = orders();
    all[1].symbol = "ETHUSDT".to_owned();
    let mut world = World::new(hmac(), &all);
    world.canceller.config.symbol = Some("ETHUSDT".to_owned());
    world.sweep();
    assert_eq!(left(&world), [1, 3, 4, 5]);
    assert!(world.weight < 80, "{}", world.weight);
}

#[test]
fn an_order_that_was_on_its_way_is_found_before_none_is_said_to_be_left() {
    let mut world = World::new(ed25519(), &orders());
    let late = world.now.plus(Nanos::from_ms(4_900));
    world.venue.late.push((late, order(9, "vz-mm1_7_100")));
    world.sweep();
    assert_eq!(left(&world), [4, 5]);
}

#[test]
fn every_fault_is_answered_and_nothing_is_left() {
    let refuse = |status, code, words, wait| Fault::Refuse(status, code, words, wait);
    let cases: Vec<(&'static str, Fault)> = vec![
        ("order.cancel", refuse(400, -1021, "Timestamp", None)),
        (
            "order.cancel",
            refuse(400, -2011, "Unknown order sent.", None),
        ),
        (
            "order.cancel",
            refuse(400, -2010, "Market is closed.", None),
        ),
        ("order.cancel", refuse(429, -1003, "Too many", Some(2_000))),
        ("order.cancel", refuse(429, -1003, "Too many", None)),
        ("order.cancel", refuse(418, -1003, "banned", Some(30_000))),
        ("order.cancel", refuse(418, -1003, "banned", None)),
        ("order.cancel", refuse(500, -1000, "", None)),
        ("order.cancel", refuse(503, -1008, "overloaded", None)),
        ("order.cancel", Fault::DoneUnknown),
        ("order.cancel", Fault::DoneSilent),
        ("order.cancel", Fault::DoneCut),
        ("order.cancel", Fault::Cut),
        ("order.cancel", Fault::Garbage),
        ("openOrders.status", refuse(400, -1021, "Timestamp", None)),
        ("openOrders.status", refuse(429, -1003, "Too many", Some(1))),
        ("openOrders.status", refuse(500, -1007, "Timeout", None)),
        ("openOrders.status", Fault::DoneSilent),
        ("openOrders.status", Fault::Cut),
        ("session.logon", refuse(400, -1021, "Timestamp", None)),
        ("session.logon", refuse(500, -1001, "", None)),
        ("order.cancel", refuse(401, -2015, "revoked", None)),
        ("session.logon", Fault::DoneSilent),
        ("session.logon", Fault::Cut),
        ("time", refuse(429, -1003, "Too many", None)),
        ("time", refuse(500, -1000, "", None)),
        ("time", Fault::DoneSilent),
        ("time", Fault::Cut),
    ];
    for (method, fault) in cases {
        for times in [1, 3] {
            let mut world = World::new(ed25519(), &orders());
            for _ in 0..times {
                world.venue.faults.push((method, fault.clone()));
            }
            world.sweep();
            assert_eq!(left(&world), [4, 5], "{method} {fault:?}");
            assert!(world.venue.faults.is_empty(), "{method} {fault:?}");
            assert_eq!(world.canceller.failure(), None);
        }
    }
}

#[test]
fn what_is_refused_for_its_time_is_asked_again_with_the_right_one() {
    let mut world = World::new(hmac(), &orders());
    let refused = Fault::Refuse(400, -1021, "Timestamp", None);
    world.venue.faults.push(("order.cancel", refused));
    world.sweep();
    let times = world
        .venue
        .asked
        .iter()
        .filter(|(_, method)| method == "time")
        .count();
    assert_eq!(times, 2);
    assert_eq!(world.connects.len(), 1);
    assert_eq!(
        world.count(|notice| matches!(notice, Notice::Trouble(_))),
        0,
        "the first time is no trouble"
    );
}

#[test]
fn the_venues_word_on_when_to_ask_again_is_kept() {
    let waits = [(429, 2_000), (418, 30_000)];
    for (status, wait_ms) in waits {
        let mut world = World::new(hmac(), &orders());
        let refused = Fault::Refuse(status, -1003, "Too many", Some(wait_ms));
        world.venue.faults.push(("openOrders.status", refused));
        world.sweep();
        let at = world
            .venue
            .asked
            .iter()
            .position(|(_, method)| method == "openOrders.status")
            .expect("asked");
        let (refused_at, next_at) = (world.venue.asked[at].0, world.venue.asked[at + 1].0);
        assert!(
            next_at.since(refused_at) >= Nanos::from_ms(wait_ms),
            "{status}"
        );
    }
}

#[test]
fn a_key_that_the_venue_refuses_is_a_failure_until_it_works() {
    for (credentials, method, code) in [
        (hmac(), "openOrders.status", -2015),
        (hmac(), "openOrders.status", -1022),
        (hmac(), "openOrders.status", -1121),
        (ed25519(), "session.logon", -2015),
    ] {
        let mut world = World::new(credentials, &orders());
        let refused = Fault::Refuse(400, code, "Invalid", None);
        world.venue.faults.push((method, refused));
        world.canceller.begin(world.now);
        world.handle(Input::Tick);
        while world.canceller.failure().is_none() {
            assert!(world.step(Nanos::from_secs(60)), "{code}");
        }
        let words = world.canceller.failure().expect("failed");
        assert!(words.contains(&code.to_string()), "{words}");
        // An operator may have given the key its permission.
        world.sweep();
        assert_eq!(world.canceller.failure(), None);
        assert_eq!(left(&world), [4, 5]);
    }
}

#[test]
fn an_order_that_the_venue_will_not_cancel_is_told_of_and_stays_on_the_list() {
    let mut world = World::new(hmac(), &orders()[..1]);
    for _ in 0..1_000 {
        let refused = Fault::Refuse(
            400,
            -2011,
            "Order was not canceled due to cancel restrictions.",
            None,
        );
        world.venue.faults.push(("order.cancel", refused));
    }
    world.canceller.begin(world.now);
    world.run_for(Nanos::from_secs(60));
    assert!(!world.canceller.is_clean());
    let ids: Vec<u64> = world
        .canceller
        .left()
        .expect("listed")
        .iter()
        .map(|order| order.order_id)
        .collect();
    assert_eq!(ids, [1]);
    let refusals = world.count(|notice| matches!(notice, Notice::Refused { .. }));
    assert!((10..40).contains(&refusals), "{refusals} in a minute");
}

#[test]
fn a_lagging_list_is_not_asked_for_in_a_hurry() {
    let mut world = World::new(hmac(), &orders());
    world.venue.lag = Nanos::from_secs(2);
    world.sweep();
    assert_eq!(left(&world), [4, 5]);
    let gone = world.count(|notice| matches!(notice, Notice::Gone(_)));
    assert!((3..30).contains(&gone), "{gone}");
    assert!(world.weight < 20 * 80, "{}", world.weight);
}

#[test]
fn an_idle_connection_is_kept_alive_replaced_in_time_and_restored_with_back_off() {
    let mut world = World::new(ed25519(), &orders());
    world.run_for(Nanos::from_secs(60));
    assert!(world.canceller.is_ready());
    assert_eq!(world.connects.len(), 1);
    let times = |world: &World| {
        world
            .venue
            .asked
            .iter()
            .filter(|(_, method)| method == "time")
            .count()
    };
    assert_eq!(times(&world), 4, "one at the start and one every 15 s");
    assert_eq!(left(&world).len(), 5, "nobody asked for a sweep");

    world.run_for(Nanos::from_secs(24 * 3_600));
    assert_eq!(world.connects.len(), 2, "replaced after 23 hours");

    world.handle(Input::Message(r#"{"event":{"e":"serverShutdown","E":1}}"#));
    world.run_for(Nanos::from_secs(1));
    assert!(world.canceller.is_ready());
    let revoked = r#"{"id":null,"status":401,"error":{"code":-2015,"msg":"x"}}"#;
    world.handle(Input::Message(revoked));
    world.run_for(Nanos::from_secs(1));
    assert!(world.canceller.is_ready());
    assert_eq!(world.connects.len(), 4);

    let named = Some(Nanos::from_secs(190));
    for (status, pause, quiet) in [
        (418, None, BANNED_QUIET),
        (429, None, RATE_LIMITED_QUIET),
        (418, named, Nanos::from_secs(190)),
        (429, named, Nanos::from_secs(190)),
    ] {
        let refused_at = world.now;
        world.handle(Input::Down {
            why: "refused",
            status: Some(status),
            pause,
        });
        world.run_for(Nanos::from_secs(200));
        let next = world.connects.iter().find(|at| **at > refused_at);
        let waited = next.expect("connected again").since(refused_at);
        assert!(waited >= quiet, "{status}: {waited:?}");
    }

    let before = world.connects.len();
    world.venue.refuses_connections = u32::MAX;
    world.handle(CUT);
    world.run_for(Nanos::from_secs(300));
    let attempts = world.connects.len() - before;
    assert!((60..130).contains(&attempts), "{attempts} in five minutes");
    world.venue.refuses_connections = 0;
    assert_eq!(left(&world).len(), 5);
    world.sweep();
    assert_eq!(left(&world), [4, 5]);
}

#[test]
fn a_sweep_that_is_given_up_leaves_the_connection_warm() {
    let mut world = World::new(ed25519(), &orders());
    world.run_for(Nanos::from_secs(1));
    world.canceller.begin(world.now);
    world.handle(Input::Tick);
    world.canceller.rest();
    world.run_for(Nanos::from_secs(30));
    assert_eq!(left(&world).len(), 5, "the list was answered too late");
    assert!(world.canceller.is_ready());
    assert_eq!(world.canceller.left(), None);
}

/// Faults that end by themselves.
fn some_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Refuse(400, -1021, "Timestamp", None)),
        Just(Fault::Refuse(429, -1003, "Too many", Some(500))),
        Just(Fault::Refuse(418, -1003, "banned", Some(3_000))),
        Just(Fault::Refuse(500, -1000, "", None)),
        Just(Fault::Refuse(503, -1008, "", None)),
        Just(Fault::Refuse(400, -1016, "shutting down", None)),
        Just(Fault::DoneUnknown),
        Just(Fault::DoneSilent),
        Just(Fault::DoneCut),
        Just(Fault::Cut),
        Just(Fault::Garbage),
    ]
}

fn some_method() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        1 => Just("time"),
        1 => Just("session.logon"),
        3 => Just("openOrders.status"),
        6 => Just("order.cancel"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_goes_wrong_none_of_ours_is_left_and_all_others_are(
        ours in 0u64..120,
        foreign in 0u64..5,
        faults in prop::collection::vec((some_method(), some_fault()), 0..12),
        late_ms in prop::collection::vec(0u64..5_000, 0..4),
        lag_ms in 0u64..1_500,
        refused_connections in 0u32..4,
        signs in any::<bool>(),
    ) {
        let mut all: Vec<OpenOrder> = (0..ours).map(|id| order(id + 1, &format!("vz-mm1_1_{}", id + 1))).collect();
        all.extend((0..foreign).map(|id| order(id + 1_000, &format!("x{id}"))));
        let mut world = World::new(if signs { hmac() } else { ed25519() }, &all);
        world.venue.faults = faults.into_iter().filter(|(method, _)| !signs || *method != "session.logon").collect();
        world.venue.lag = Nanos::from_ms(lag_ms);
        world.venue.refuses_connections = refused_connections;
        for (number, ms) in late_ms.into_iter().enumerate() {
            let at = world.now.plus(Nanos::from_ms(ms));
            world.venue.late.push((at, order(500 + number as u64, &format!("vz-mm1_2_{}", number + 1))));
        }
        world.sweep();
        world.venue.wake(world.now);
        let expected: Vec<u64> = (0..foreign).map(|id| id + 1_000).collect();
        prop_assert_eq!(left(&world), expected);
        let clean = world.count(|notice| matches!(notice, Notice::Clean { .. }));
        prop_assert_eq!(clean, 1);
    }
}
