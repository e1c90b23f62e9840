//! The REST API through the router, with a core played by hand; what the earlier gateway did wrong is here as tests.

use super::identities::{Guarded, Shown, guarded};
use super::*;
use std::collections::VecDeque;
use veloz_core::edge::core_loop::EngineBusy;
use veloz_core::event::{Command, OrderRef, Token};
use veloz_core::order::{DoneReason, OrderId, OrderKind, OrderState, Side, TimeInForce};
use veloz_core::risk::{Rejection, TradingState};
use veloz_core::telemetry::gauges::Gauge;
use veloz_core::telemetry::records::{
    CommandResult, OrderRequest, Record, RecordBody, TradingPhase,
};
use veloz_core::units::{Lots, Ticks};
use veloz_core::venue::binance::order_error::{Refusal, classify};

/// What the core is to make of the next order.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    Live,
    Filled,
    RefusedByRisk(Rejection),
    RefusedByVenue(i32),
    /// Sent, and the venue is silent.
    Silent,
    /// The command is taken and nothing follows.
    Lost,
    /// The queue is full.
    Busy,
}

/// Plays the core: takes commands, and tells what it likes.
#[derive(Default)]
pub(super) struct Played {
    commands: Vec<Command>,
    pub(super) fates: VecDeque<Fate>,
    sequence: u32,
    told: u64,
    /// Whether the kill switch is latched.
    latched: bool,
    /// The trace that each command belongs to.
    traces: Vec<Option<String>>,
}

pub(super) type Core = Arc<Mutex<Played>>;

pub(super) fn play(state: &Arc<HttpState>) -> Core {
    let core = Core::default();
    let (player, view) = (Arc::clone(&core), state.trading.clone());
    state.api.commands().connect(move |command| {
        let mut played = player.lock().expect("one thread");
        let fate = match command {
            Command::Place { .. }
            | Command::Replace { .. }
            | Command::Amend { .. }
            | Command::Cancel { .. } => played.fates.pop_front().unwrap_or(Fate::Live),
            _ => Fate::Live,
        };
        if matches!(fate, Fate::Busy) {
            return Err(EngineBusy);
        }
        played.commands.push(command);
        let asked = command
            .token()
            .and_then(|token| view.commands().asked(token));
        let context = asked.and_then(|asked| asked.context);
        let trace = context.map(|context| context.trace_id().to_string());
        played.traces.push(trace);
        for body in played.bodies(&command, fate) {
            played.told += 1;
            view.record(&Record {
                sequence: played.told,
                at: Nanos::from_secs(9),
                body,
            });
        }
        Ok(())
    });
    core
}

/// A refusal in the venue's words, where they say more than its code.
fn refusal(code: i32) -> Refusal {
    let words = if code == -2_011 {
        "Market is closed."
    } else {
        ""
    };
    classify(400, code, words)
}

fn told(token: Token, result: CommandResult, order: Option<OrderId>) -> RecordBody {
    RecordBody::CommandDone {
        token,
        result,
        reason: None,
        order,
    }
}

fn moved(order: OrderId, from: OrderState, to: OrderState, executed: i64) -> RecordBody {
    RecordBody::OrderState {
        order,
        instrument: InstrumentIndex(0),
        from,
        to,
        venue_order_id: 4_711,
        executed: Lots(executed),
        qty: Lots(2),
    }
}

impl Played {
    fn bodies(&mut self, command: &Command, fate: Fate) -> Vec<RecordBody> {
        match *command {
            Command::Place {
                token,
                client_id,
                intent,
            } => {
                if let Fate::RefusedByRisk(reason) = fate {
                    return vec![
                        RecordBody::rejected(&intent, reason, token),
                        RecordBody::CommandDone {
                            token,
                            result: CommandResult::Rejected,
                            reason: Some(reason),
                            order: None,
                        },
                    ];
                }
                if matches!(fate, Fate::Lost) {
                    return Vec::new();
                }
                self.sequence += 1;
                let order = OrderId {
                    run: 1,
                    sequence: self.sequence,
                };
                let (sent, live) = (OrderState::Sent, OrderState::Live);
                let mut bodies = vec![
                    RecordBody::admitted(order, &intent, token),
                    RecordBody::OrderAlias {
                        order,
                        client_id: client_id.expect("always one"),
                    },
                    moved(order, OrderState::Admitted, sent, 0),
                    told(token, CommandResult::Done, Some(order)),
                ];
                match fate {
                    Fate::Live => bodies.push(moved(order, sent, live, 0)),
                    Fate::Filled => bodies.extend([
                        RecordBody::Fill {
                            order,
                            instrument: InstrumentIndex(0),
                            side: intent.side,
                            is_maker: false,
                            fee_asset: veloz_core::instrument::AssetIndex(1),
                            trade_id: 9,
                            price: Ticks(6_183_763),
                            qty: Lots(2),
                            fee: veloz_core::units::E8(5),
                        },
                        moved(order, sent, OrderState::Done(DoneReason::Filled), 2),
                    ]),
                    Fate::RefusedByVenue(code) => bodies.extend([
                        RecordBody::venue_refused(
                            order,
                            InstrumentIndex(0),
                            OrderRequest::Place,
                            refusal(code),
                        ),
                        moved(order, sent, OrderState::Done(DoneReason::Rejected), 0),
                    ]),
                    Fate::Silent | Fate::RefusedByRisk(_) | Fate::Lost | Fate::Busy => {}
                }
                bodies
            }
            Command::Cancel {
                token,
                order: OrderRef::Id(order),
            } => {
                let (live, sent) = (OrderState::Live, OrderState::CancelSent);
                let mut bodies = vec![
                    moved(order, live, sent, 0),
                    told(token, CommandResult::Done, Some(order)),
                ];
                match fate {
                    Fate::RefusedByVenue(code) => bodies.extend([
                        RecordBody::venue_refused(
                            order,
                            InstrumentIndex(0),
                            OrderRequest::Cancel,
                            refusal(code),
                        ),
                        moved(order, sent, live, 0),
                    ]),
                    Fate::Live
                    | Fate::Filled
                    | Fate::RefusedByRisk(_)
                    | Fate::Silent
                    | Fate::Lost
                    | Fate::Busy => {
                        bodies.push(moved(
                            order,
                            sent,
                            OrderState::Done(DoneReason::Cancelled),
                            0,
                        ));
                    }
                }
                bodies
            }
            Command::Amend {
                token,
                order: OrderRef::Id(order),
                qty,
            } => {
                let (live, sent) = (OrderState::Live, OrderState::ReplaceSent);
                let mut bodies = vec![
                    moved(order, live, sent, 0),
                    told(token, CommandResult::Done, Some(order)),
                ];
                let settled = |qty: Lots, to: OrderState| RecordBody::OrderState {
                    order,
                    instrument: InstrumentIndex(0),
                    from: sent,
                    to,
                    venue_order_id: 4_711,
                    executed: Lots(0),
                    qty,
                };
                match fate {
                    Fate::Live => bodies.push(settled(qty, live)),
                    Fate::Filled => {
                        bodies.push(settled(Lots(2), OrderState::Done(DoneReason::Filled)));
                    }
                    Fate::RefusedByRisk(_) => {
                        return vec![told(token, CommandResult::InvalidValue, Some(order))];
                    }
                    Fate::RefusedByVenue(code) => bodies.extend([
                        RecordBody::venue_refused(
                            order,
                            InstrumentIndex(0),
                            OrderRequest::Amend,
                            refusal(code),
                        ),
                        settled(Lots(2), live),
                    ]),
                    Fate::Silent | Fate::Lost | Fate::Busy => {}
                }
                bodies
            }
            Command::SetTradingState {
                token,
                state: TradingState::Active,
            } if self.latched => vec![RecordBody::CommandDone {
                token,
                result: CommandResult::Rejected,
                reason: Some(Rejection::KillSwitch),
                order: None,
            }],
            command => command
                .token()
                .map(|token| told(token, CommandResult::Done, None))
                .into_iter()
                .collect(),
        }
    }
}

pub(super) fn with_account(fixture: &mut Fixture) {
    let gauges = &mut fixture.core.gauges;
    gauges.set(Gauge::TradingPhase, TradingPhase::Ready.index() as i64);
    gauges.set(Gauge::TradingState, TradingState::Active.index() as i64);
    fixture.make_ready();
}

/// An engine with an account, on this machine.
fn trading() -> (Fixture, Core) {
    let mut fixture = fixture();
    with_account(&mut fixture);
    let core = play(&fixture.state);
    (fixture, core)
}

impl Fixture {
    fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(request_for(Method::POST, path, body))
    }

    pub(super) fn send(&self, request: Request) -> (StatusCode, Value) {
        let response = self.ask(request);
        let status = response.status();
        let body = text(response);
        (status, serde_json::from_str(&body).expect("a JSON body"))
    }
}

fn form(path: &str, body: &str) -> Request {
    let mut request = get_request(path);
    *request.method_mut() = Method::POST;
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, kind);
    *request.body_mut() = Body::from(body.to_owned());
    request
}

pub(super) fn order(id: &str) -> Value {
    json!({ "side": "BUY", "symbol": "BTCUSDT", "qty": 0.00002, "price": 61_837.63, "client_order_id": id })
}

pub(super) fn places(core: &Core) -> usize {
    let played = core.lock().expect("one thread");
    let orders = played.commands.iter();
    orders
        .filter(|command| matches!(command, Command::Place { .. }))
        .count()
}

#[test]
fn an_order_is_placed_seen_and_cancelled() {
    let (fixture, core) = trading();
    let (status, body) = fixture.post("/api/order", &order("mine"));
    assert_eq!(status, StatusCode::OK, "{body}");
    for (field, value) in [
        ("ok", json!(true)),
        ("client_order_id", json!("mine")),
        ("venue_order_id", json!("4711")),
        ("status", json!("ACCEPTED")),
        ("order_qty", json!(0.00002)),
        ("limit_price", json!(61_837.63)),
        ("order_type", json!("LIMIT")),
        ("time_in_force", json!("GTC")),
        ("reason", json!("")),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    let Command::Place { intent, .. } = core.lock().expect("one thread").commands[0] else {
        panic!("an order");
    };
    assert_eq!((intent.price, intent.qty), (Ticks(6_183_763), Lots(2)));
    assert_eq!((intent.side, intent.kind), (Side::Buy, OrderKind::Limit));
    assert_eq!(intent.time_in_force, TimeInForce::Gtc);

    let (_, one) = fixture.get("/api/order_state?client_order_id=mine");
    assert_eq!(one["status"], "ACCEPTED");
    let (_, all) = fixture.get("/api/orders_state");
    assert_eq!(all["items"][0]["client_order_id"], "mine");
    let (_, events) = fixture.get("/api/orders");
    assert_eq!(events["items"][0]["client_order_id"], "mine");
    assert_eq!(events["items"][0]["type"], "order_update");

    let (status, body) = fixture.post("/api/cancel", &json!({ "client_order_id": "mine" }));
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        (&body["ok"], &body["client_order_id"], &body["status"]),
        (&json!(true), &json!("mine"), &json!("CANCELLED"))
    );
    let (status, body) = fixture.post("/api/cancel", &json!({ "client_order_id": "mine" }));
    assert_eq!((status.as_u16(), &body["error"]), (409, &json!("not_open")));
    assert_eq!(body["status"], 409, "the answer's, as RFC 9457 has it");
    assert_eq!(
        (&body["order_status"], &body["executed_qty"]),
        (&json!("CANCELLED"), &json!(0))
    );
    let (status, _) = fixture.get("/api/order_state?client_order_id=other");
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, body) = fixture.get("/api/order_state");
    assert_eq!(
        (status.as_u16(), &body["field"]),
        (400, &json!("client_order_id"))
    );
}

#[test]
fn an_order_is_made_smaller_and_only_that() {
    let (fixture, core) = trading();
    fixture.post("/api/order", &order("mine"));
    let to = |qty: Value| json!({ "client_order_id": "mine", "qty": qty });
    let amend = |body: &Value| fixture.post("/api/amend", body);
    for bad in [
        json!(0.00002),
        json!("0.00003"),
        json!(0),
        json!("NaN"),
        json!(null),
    ] {
        let (status, body) = amend(&to(bad));
        assert_eq!(
            (status.as_u16(), &body["field"]),
            (400, &json!("qty")),
            "{body}"
        );
    }
    let priced = json!({ "client_order_id": "mine", "qty": 0.00001, "price": 1 });
    assert_eq!(amend(&priced).0, StatusCode::BAD_REQUEST, "no price");
    let (status, _) = amend(&json!({ "client_order_id": "never", "qty": 0.00001 }));
    assert_eq!(status, StatusCode::NOT_FOUND);

    let smaller = to(json!(0.00001));
    let fates = [
        Fate::Busy,
        Fate::RefusedByVenue(-2038),
        Fate::RefusedByRisk(Rejection::MaxPosition),
    ];
    core.lock().expect("one thread").fates.extend(fates);
    for (status, error) in [
        (503, "engine_busy"),
        (400, "binance_error"),
        (400, "bad_params"),
    ] {
        let (got, body) = amend(&smaller);
        assert_eq!(
            (got.as_u16(), &body["error"]),
            (status, &json!(error)),
            "{body}"
        );
    }
    // What lessens an order passes where nothing makes one.
    fixture.post("/api/admin/readonly", &json!({}));
    let (status, body) = amend(&smaller);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["order_qty"], json!(0.00001));
    assert_eq!(body["status"], "ACCEPTED");
    let (status, body) = amend(&smaller);
    assert_eq!((status.as_u16(), &body["field"]), (400, &json!("qty")));
    fixture.post("/api/admin/readwrite", &json!({}));

    fixture.post("/api/order", &order("fills"));
    core.lock()
        .expect("one thread")
        .fates
        .push_back(Fate::Filled);
    let filled = json!({ "client_order_id": "fills", "qty": "1e-5" });
    let (status, body) = amend(&filled);
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (409, &json!("not_open")),
        "{body}"
    );
    assert_eq!(body["order_status"], "FILLED");
    let (status, body) = amend(&filled);
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (409, &json!("not_open")),
        "{body}"
    );
}

#[test]
fn each_refusal_of_the_venue_is_told_though_the_one_before_was_the_same() {
    let (fixture, core) = trading();
    fixture.post("/api/order", &order("mine"));
    let asked = [
        (
            "/api/amend",
            json!({ "client_order_id": "mine", "qty": 0.00001 }),
        ),
        ("/api/cancel", json!({ "client_order_id": "mine" })),
    ];
    for (path, body) in &asked {
        for _ in 0..3 {
            core.lock()
                .expect("one thread")
                .fates
                .push_back(Fate::RefusedByVenue(-1_013));
            let (status, told) = fixture.post(path, body);
            assert_eq!(
                (status.as_u16(), &told["error"]),
                (400, &json!("binance_error")),
                "{path}: {told}"
            );
            assert_eq!(told["details"]["code"], -1_013);
        }
    }
    core.lock()
        .expect("one thread")
        .fates
        .push_back(Fate::RefusedByVenue(-2_011));
    let (_, told) = fixture.post("/api/cancel", &asked[1].1);
    assert_eq!(
        told["details"],
        json!({ "code": -2_011, "kind": "rejected", "cause": "market_closed" }),
        "the order stands, and the words say so where the code does not"
    );
}

#[test]
fn an_order_that_a_halt_refuses_is_told_of_the_halt() {
    let (mut fixture, core) = trading();
    let not_ready = Fate::RefusedByRisk(Rejection::NotReady);
    core.lock()
        .expect("one thread")
        .fates
        .extend([not_ready; 2]);
    let (_, body) = fixture.post("/api/order", &order("before"));
    assert_eq!(
        (&body["reason"], body.get("trading_state")),
        (&json!("not_ready"), None)
    );
    let halted = TradingState::Halted.index() as i64;
    fixture.core.gauges.set(Gauge::TradingState, halted);
    let (status, body) = fixture.post("/api/order", &order("during"));
    assert_eq!(
        (status.as_u16(), &body["reason"], &body["trading_state"]),
        (422, &json!("not_ready"), &json!("HALTED")),
        "{body}"
    );
}

#[test]
fn a_parameter_that_a_route_does_not_know_is_refused_by_its_name() {
    let (fixture, _core) = trading();
    for (path, field) in [
        ("/api/stream?event=fill", "event"),
        ("/api/stream?symbol=BTCUSDT", "symbol"),
        ("/api/orders_state?Open=true", "Open"),
        ("/api/orders?limit=5&ofset=1", "ofset"),
        ("/api/market?symbol=BTCUSDT&x%20y=1", "x y"),
        ("/api/account?all", "all"),
        ("/api/config?=", ""),
        ("/api/strategies/market_maker?verbose=1", "verbose"),
        ("/api/health?full=1", "full"),
    ] {
        let (status, body) = fixture.get(path);
        assert_eq!(
            (status.as_u16(), &body["field"]),
            (400, &json!(field)),
            "{path}"
        );
        assert_eq!(body["error"], "bad_params");
        let known = body["message"].as_str().expect("a sentence");
        assert!(known.contains("this route takes"), "{known}");
    }
    let (_, body) = fixture.get("/api/stream?event=fill");
    let known = "this route takes last_id, events, filter, symbols, ticket";
    assert_eq!(
        body["message"],
        format!("event: no such parameter; {known}")
    );
    let (status, body) = fixture.post("/api/order?symbol=ETHUSDT", &order("a"));
    assert_eq!((status.as_u16(), &body["field"]), (400, &json!("symbol")));
    for path in [
        "/api/market?_=17",
        "/api/orders?&limit=5&",
        "/health?x=1",
        "/health/live?x",
    ] {
        assert_eq!(fixture.get(path).0, StatusCode::OK, "{path}");
    }
    let scraped = fixture.ask(get_request("/metrics?collect=all"));
    assert_eq!(scraped.status(), StatusCode::OK);
}

#[test]
fn a_form_is_as_good_and_numbers_are_read_from_their_text() {
    let (fixture, core) = trading();
    core.lock()
        .expect("one thread")
        .fates
        .push_back(Fate::Filled);
    let (status, body) = fixture.send(form(
        "/api/order",
        "side=buy&symbol=btcusdt&qty=2e-05&price=6.183763e4&tif=ioc",
    ));
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["client_order_id"], "web-1708689600123");
    assert_eq!(body["status"], "FILLED");
    assert_eq!(body["avg_price"].to_string(), "61837.63");
    let (_, trades) = fixture.get("/api/trades");
    assert_eq!(trades["trades"][0]["fee"].to_string(), "5e-8");
    assert_eq!(trades["trades"][0]["trade_id"], 9);
    let text_of = |path: &str| text(fixture.ask(get_request(path)));
    assert!(text_of("/api/trades").contains("\"fee\":0.00000005,"));

    let strings =
        json!({ "side": "SELL", "symbol": "BTCUSDT", "qty": "0.00001", "type": "MARKET" });
    let (status, body) = fixture.post("/api/order", &strings);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["client_order_id"], "web-1708689600123-1");
    let maker =
        json!({ "side": "SELL", "symbol": "BTCUSDT", "qty": 1, "price": 7e4, "tif": "GTX" });
    fixture.post("/api/order", &maker);
    let played = core.lock().expect("one thread");
    let intents: Vec<_> = played
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::Place { intent, .. } => Some((intent.kind, intent.time_in_force)),
            _ => None,
        })
        .collect();
    assert_eq!(
        intents,
        [
            (OrderKind::Limit, TimeInForce::Ioc),
            (OrderKind::Market, TimeInForce::Gtc),
            (OrderKind::LimitMaker, TimeInForce::Gtc)
        ]
    );
}

#[test]
fn an_order_that_is_none_is_refused_with_its_field_and_never_reaches_the_core() {
    let (fixture, core) = trading();
    let with = |field: &str, value: Value| {
        let mut body = order("x");
        body[field] = value;
        body
    };
    for (body, field) in [
        (with("side", json!("HOLD")), "side"),
        (with("side", json!(null)), "side"),
        (with("symbol", json!("NOPE")), "symbol"),
        (with("symbol", json!("BTCUSDT\nCANCEL dup1")), "symbol"),
        (with("qty", json!(0)), "qty"),
        (with("qty", json!(-1)), "qty"),
        (with("qty", json!("NaN")), "qty"),
        (with("qty", json!("Infinity")), "qty"),
        (with("qty", json!("1e400")), "qty"),
        (with("qty", json!(0.000_001)), "qty"),
        (with("qty", json!([1])), "qty"),
        (with("price", json!(0)), "price"),
        (with("price", json!(61_837.635)), "price"),
        (with("price", json!(null)), "price"),
        (with("type", json!("STOP")), "type"),
        (with("tif", json!("DAY")), "tif"),
        (with("client_order_id", json!("a b")), "client_order_id"),
        (with("client_order_id", json!("a\nb")), "client_order_id"),
        (
            with("client_order_id", json!("a".repeat(37))),
            "client_order_id",
        ),
    ] {
        let (status, answer) = fixture.post("/api/order", &body);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer["error"], "bad_params", "{body}");
        assert_eq!(answer["field"], field, "{body}");
    }
    let raw = |text: &str| {
        let mut request = request_for(Method::POST, "/api/order", &json!({}));
        *request.body_mut() = Body::from(text.to_owned());
        fixture.send(request)
    };
    for text in [
        r#"{"side":"BUY","side":"SELL","symbol":"BTCUSDT","qty":1,"price":1}"#,
        r#"{"side":"BUY","symbol":"BTCUSDT","qty":NaN,"price":1}"#,
        "",
        "[]",
        &"[".repeat(100_000),
    ] {
        let (status, answer) = raw(text);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["error"], "bad_json");
    }
    let (status, _) = fixture.post("/api/order", &with("stop_price", json!(1)));
    assert_eq!(status, StatusCode::BAD_REQUEST, "a field that nobody reads");
    let (status, _) = fixture.send(form(
        "/api/order",
        "side=BUY&symbol=BTCUSDT&qty=nan&price=1",
    ));
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let mut plain = form("/api/order", "side=BUY");
    plain
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    assert_eq!(fixture.send(plain).0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(core.lock().expect("one thread").commands.is_empty());
}

#[test]
fn an_id_is_used_once_for_ever_unless_there_was_no_order() {
    let (fixture, core) = trading();
    let fates = [
        Fate::RefusedByRisk(Rejection::MaxPosition),
        Fate::Busy,
        Fate::RefusedByVenue(-2010),
    ];
    core.lock().expect("one thread").fates.extend(fates);
    let (status, body) = fixture.post("/api/order", &order("once"));
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        (&body["error"], &body["reason"]),
        (&json!("order_rejected"), &json!("max_position"))
    );
    assert_eq!(body["client_order_id"], "once");
    assert_eq!(
        (&body["status"], &body["order_status"]),
        (&json!(422), &json!("REJECTED"))
    );
    let response = fixture.ask(request_for(Method::POST, "/api/order", &order("once")));
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    assert!(text(response).contains("\"engine_busy\""));
    let (status, body) = fixture.post("/api/order", &order("once"));
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(body["error"], "binance_error");
    assert_eq!(body["details"]["code"], -2010);
    assert_eq!(
        (&body["status"], &body["order_status"]),
        (&json!(400), &json!("REJECTED"))
    );
    // There was an order now, although the venue did not take it.
    let (status, body) = fixture.post("/api/order", &order("once"));
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["error"], "duplicate_client_order_id");
    assert_eq!(body["field"], "client_order_id");
    assert_eq!(places(&core), 2);
}

#[test]
fn a_silent_venue_and_a_silent_core_are_told_as_what_is_known() {
    let (fixture, core) = trading();
    let fates = [Fate::Silent, Fate::Lost];
    core.lock().expect("one thread").fates.extend(fates);
    let router = fixture.router(on_this_machine());
    let ask = |id: &str| {
        let request = request_for(Method::POST, "/api/order", &order(id));
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(router.clone().oneshot(request))
            .expect("infallible")
    };
    for (id, state) in [("silent", "sent"), ("lost", "not_answered")] {
        let response = ask(id);
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let body: Value = serde_json::from_str(&text(response)).expect("JSON");
        assert_eq!(body["status"], "PENDING");
        assert_eq!(body["state"], state);
        let (status, _) = fixture.post("/api/order", &order(id));
        assert_eq!(status, StatusCode::CONFLICT, "its id stays taken");
    }
}

#[test]
fn a_hundred_equal_requests_make_one_order_and_a_hundred_equal_answers() {
    let (fixture, core) = trading();
    let router = fixture.router(on_this_machine());
    let request = |body: &Value| {
        let mut request = request_for(Method::POST, "/api/order", body);
        request.headers_mut().insert(
            axum::http::HeaderName::from_static("idempotency-key"),
            HeaderValue::from_static("key-1"),
        );
        request
    };
    // Without an id of its own: each would make another order.
    let mut body = order("");
    body.as_object_mut()
        .expect("an object")
        .remove("client_order_id");
    let answers: Vec<(StatusCode, String)> = block_on(async {
        let all = (0..100).map(|_| router.clone().oneshot(request(&body)));
        let mut answers = Vec::new();
        for response in futures_util::future::join_all(all).await {
            let response = response.expect("infallible");
            let status = response.status();
            let bytes = response.into_body().collect().await.expect("in memory");
            answers.push((
                status,
                String::from_utf8(bytes.to_bytes().to_vec()).expect("UTF-8"),
            ));
        }
        answers
    });
    assert_eq!(answers.len(), 100);
    assert_eq!(answers[0].0, StatusCode::OK);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(places(&core), 1);

    let (status, problem) = fixture.send(request(&order("other")));
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["error"], "idempotency_mismatch");
    let again = fixture.ask(request(&body));
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(text(again), answers[0].1);
    assert_eq!(places(&core), 1);
    // Without the key it is another order.
    fixture.post("/api/order", &body);
    assert_eq!(places(&core), 2);
}

#[test]
fn an_engine_that_only_watches_takes_no_orders_and_a_cancel_of_nothing_is_told() {
    let fixture = fixture();
    for (path, body) in [
        ("/api/order", order("a")),
        ("/api/cancel", json!({ "client_order_id": "a" })),
        ("/api/cancel-all", json!({})),
        ("/api/halt", json!({})),
        ("/api/start", json!({})),
    ] {
        let (status, answer) = fixture.post(path, &body);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer["error"], "binance_not_configured", "{path}");
    }
    let (status, body) = fixture.get("/api/execution/ping");
    assert_eq!((status.as_u16(), &body["ok"]), (400, &json!(false)));

    let (fixture, core) = trading();
    let (status, body) = fixture.post("/api/cancel", &json!({ "client_order_id": "never" }));
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (404, &json!("not_found"))
    );
    assert!(core.lock().expect("one thread").commands.is_empty());
    let (status, body) = fixture.get("/api/execution/ping");
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (409, &json!("execution_unavailable"))
    );
}

#[test]
fn an_operator_halts_resumes_and_kills() {
    let (fixture, core) = trading();
    for path in [
        "/api/halt",
        "/api/reduce-only",
        "/api/resume",
        "/api/kill-switch/trip",
        "/api/kill-switch/reset",
        "/api/stop",
        "/api/cancel-all",
    ] {
        let mut request = get_request(path);
        *request.method_mut() = Method::POST;
        let (status, body) = fixture.send(request);
        assert_eq!(status, StatusCode::OK, "{path} {body}");
        assert_eq!(body["ok"], true);
    }
    let (status, body) = fixture.post("/api/start", &json!({}));
    assert_eq!(status, StatusCode::CONFLICT, "it runs");
    assert_eq!(body["message"], "Engine already running");
    assert_eq!(body["ok"], false);
    let (_, body) = fixture.post("/api/cancel-all", &json!({ "symbol": "ETHUSDT" }));
    assert_eq!(body["orders"], 0);
    let played = core.lock().expect("one thread");
    let kinds: Vec<String> = played
        .commands
        .iter()
        .map(|command| {
            let text = format!("{command:?}");
            text.split([' ', '{']).next().expect("a word").to_owned()
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "SetTradingState",
            "SetTradingState",
            "SetTradingState",
            "TripKillSwitch",
            "ResetKillSwitch",
            "RunStrategy",
            "SetTradingState",
            "CancelAll",
            "CancelAll",
            "CancelAll"
        ]
    );
}

#[test]
fn an_act_that_was_refused_has_a_record_that_says_so() {
    let mut guarded = guarded();
    with_account(&mut guarded.fixture);
    let core = play(&guarded.fixture.state);
    core.lock().expect("one thread").latched = true;
    let (tom, admin) = (guarded.key("tom"), guarded.key("admin"));
    let (tom, admin) = (Shown::Key(&tom), Shown::Key(&admin));
    for _ in 0..3 {
        let (status, _) = guarded.post("/api/resume", &json!({}), tom);
        assert_eq!(status, StatusCode::CONFLICT);
    }
    for (path, who) in [
        ("/api/control/start", tom),
        ("/api/config", admin),
        ("/api/admin/reload-config", admin),
    ] {
        let (status, body) = guarded.post(path, &json!({}), who);
        assert_eq!(status, StatusCode::CONFLICT, "{path} {body}");
    }
    guarded.post("/api/halt", &json!({}), tom);
    let records = super::audited::text_of_records(&guarded);
    let count = |action: &str| records.matches(&format!("\"action\":\"{action}\"")).count();
    for (action, failed, times) in [
        ("trading_resumed", "trading_resume_failed", 3),
        ("engine_start", "engine_start_failed", 1),
        ("config_saved", "config_save_failed", 1),
        ("config_reloaded", "config_reload_failed", 1),
    ] {
        assert_eq!((count(action), count(failed)), (times, times), "{action}");
    }
    assert_eq!(
        (count("trading_halted"), count("trading_halt_failed")),
        (1, 0)
    );
    let failed = records
        .lines()
        .find(|line| line.contains("trading_resume_failed"));
    let failed: Value = serde_json::from_str(failed.expect("one")).expect("JSON");
    assert_eq!(failed["user_id"], "tom");
    assert_eq!(
        (&failed["details"]["error"], &failed["details"]["outcome"]),
        (&json!("conflict"), &json!("refused"))
    );
    let of_type = |action: &str| {
        let line = records
            .lines()
            .find(|line| line.contains(action))
            .expect("one");
        serde_json::from_str::<Value>(line).expect("JSON")["log_type"].clone()
    };
    assert_eq!(of_type("trading_resumed"), "order");
    assert_eq!(of_type("config_saved"), "auth");
}

#[test]
fn commands_belong_to_the_trace_of_their_request() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let (fixture, core) = trading();
    let tight = json!({ "global": { "open_orders_max": 5 } });
    let on = json!({ "enabled": true });
    for (path, body) in [
        ("/api/halt", &json!({})),
        ("/api/reduce-only", &json!({})),
        ("/api/resume", &json!({})),
        ("/api/kill-switch/trip", &json!({})),
        ("/api/kill-switch/reset", &json!({})),
        ("/api/stop", &json!({})),
        ("/api/risk/limits", &tight),
        ("/api/admin/maintenance", &on),
    ] {
        let mut request = request_for(Method::POST, path, body);
        let parent =
            HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        request.headers_mut().insert("traceparent", parent);
        let (status, body) = fixture.send(request);
        assert_eq!(status, StatusCode::OK, "{path} {body}");
        let traces = std::mem::take(&mut core.lock().expect("one thread").traces);
        assert!(!traces.is_empty(), "{path}");
        let all = traces.iter().all(|trace| trace.as_deref() == Some(TRACE));
        assert!(all, "{path} {traces:?}");
    }
}

#[test]
fn a_moment_has_one_time_whatever_the_wall_clock_does() {
    let walls = Arc::new(AtomicU64::new(1_708_689_600_123));
    let reading = Arc::clone(&walls);
    let mut fixture = fixture_with(|state| {
        state.unix = Box::new(move || UnixMs(reading.load(Ordering::Relaxed)));
    });
    with_account(&mut fixture);
    let mut published = fixture.state.shared.read();
    published.last_trades[0] = Some(crate::published::LastTrade {
        at: Nanos::from_secs(9),
        price: Ticks(312_345),
        qty: Lots(1),
    });
    fixture.state.shared.write(&published);
    for wall in [1_708_689_600_123, 1_708_689_600_122, 1_708_689_609_000] {
        walls.store(wall, Ordering::Relaxed);
        let (_, body) = fixture.get("/api/market");
        assert_eq!(body["ts_ns"], 1_708_689_599_123_000_000i64, "{wall}");
    }
}

#[test]
fn what_reads_answers_with_the_fields_that_clients_know() {
    let (fixture, _core) = trading();
    let (_, body) = fixture.get("/api/config");
    for (field, value) in [
        ("market_source", json!("sim")),
        ("market_symbol", json!("BTCUSDT")),
        ("binance_base_url", json!(null)),
        ("execution_mode", json!("sim_engine")),
        ("binance_trade_enabled", json!(true)),
        ("binance_trade_base_url", json!(null)),
        ("binance_user_stream_connected", json!(false)),
        ("auth_enabled", json!(false)),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    let (_, body) = fixture.get("/api/market");
    assert_eq!(body["symbol"], "BTCUSDT");
    assert_eq!(
        (&body["price"], &body["ts_ns"]),
        (&json!(null), &json!(null))
    );
    let mut published = fixture.state.shared.read();
    published.last_trades[1] = Some(crate::published::LastTrade {
        at: Nanos::from_secs(9),
        price: Ticks(312_345),
        qty: Lots(1),
    });
    fixture.state.shared.write(&published);
    let (_, body) = fixture.get("/api/market?symbol=ethusdt");
    assert_eq!(body["price"], 3_123.45);
    assert_eq!(body["ts_ns"], 1_708_689_599_123_000_000i64);
    let (status, _) = fixture.get("/api/market?symbol=DOGE");
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let (_, body) = fixture.get("/api/status");
    assert_eq!(body["state"], "Running");
    assert_eq!(body["uptime_ms"], 7_000);
    assert_eq!(body["strategies_loaded"], 0);
    let (_, body) = fixture.get("/api/account");
    assert_eq!(body["balances"], json!([]));
    assert_eq!(fixture.get("/api/positions").1, json!({ "positions": [] }));
    assert_eq!(fixture.get("/api/positions/BTCUSDT").1["side"], "FLAT");
    assert_eq!(fixture.get("/api/positions/NOPE").0, StatusCode::NOT_FOUND);
    let (_, body) = fixture.get("/api/latency");
    assert_eq!(body["stages"][0]["since_start"], json!(null));
    assert_eq!(fixture.get("/api/trades").1, json!({ "trades": [] }));
}

#[test]
fn orders_are_recorded_with_who_asked_and_what_came_of_it() {
    let mut guarded = guarded();
    with_account(&mut guarded.fixture);
    let core = play(&guarded.fixture.state);
    core.lock()
        .expect("one thread")
        .fates
        .push_back(Fate::RefusedByRisk(Rejection::PriceCollar));
    let key = guarded.key("tom");
    let (status, _) = guarded.post("/api/order", &order("mine"), Shown::Key(&key));
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = guarded.post("/api/order", &order("mine"), Shown::Key(&key));
    assert_eq!(status, StatusCode::OK);
    let cancel = json!({ "client_order_id": "mine" });
    guarded.post("/api/cancel", &cancel, Shown::Key(&key));
    let records = super::audited::text_of_records(&guarded);
    for needle in [
        "\"order_requested\"",
        "\"order_rejected\"",
        "\"order_answered\"",
        "\"cancel_requested\"",
    ] {
        assert!(records.contains(needle), "{needle}");
    }
    let answered: Vec<Value> = records
        .lines()
        .filter(|line| line.contains("\"cancel_answered\""))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let [answered] = answered.as_slice() else {
        panic!("one cancel has one outcome: {answered:?}");
    };
    assert_eq!(answered["user_id"], "tom");
    assert_eq!(answered["details"]["client_order_id"], "mine");
    assert_eq!(answered["details"]["status"], 200);
    assert_eq!(answered["details"]["error"], Value::Null);
    assert!(records.lines().any(|line| {
        line.contains("\"order_requested\"") && line.contains("\"user_id\":\"tom\"")
    }));
    let viewer = guarded.key("vera");
    for (path, body) in [("/api/order", order("b")), ("/api/cancel", cancel)] {
        let (status, _) = guarded.post(path, &body, Shown::Key(&viewer));
        assert_eq!(status, StatusCode::FORBIDDEN);
        let (status, _) = guarded.post(path, &body, Shown::Nothing);
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let _: &Guarded = &guarded;
}

#[test]
fn limits_are_tightened_by_one_and_loosened_by_two() {
    use crate::audit::record::LogType;
    let mut guarded = guarded();
    with_account(&mut guarded.fixture);
    let core = play(&guarded.fixture.state);
    guarded
        .fixture
        .state
        .auth
        .as_ref()
        .expect("there")
        .store()
        .update::<_, crate::auth::users::UserFault>(|document| {
            document.give_roles("vera", &[crate::auth::permission::Role::Admin])
        })
        .expect("given");
    let (admin, key_of_vera) = (guarded.key("admin"), guarded.key("vera"));
    let (vera, _) = guarded.login("vera");
    let (admin, vera) = (Shown::Key(&admin), Shown::Token(&vera));
    let limits = "/api/risk/limits";
    // What does not bind yet becomes tighter with any value.
    let tight = json!({
        "global": { "open_orders_max": 5, "daily_loss_max": "100.5" },
        "instruments": { "BTCUSDT": { "order_qty_max": 0.5 } },
    });
    let (status, body) = guarded.post(limits, &tight, admin);
    assert_eq!(
        (status.as_u16(), &body["applied"]),
        (200, &json!(true)),
        "{body}"
    );
    let (_, shown) = guarded.get(limits, admin);
    assert_eq!(shown["global"]["open_orders_max"], 5);
    assert_eq!(shown["global"]["daily_loss_max"], "100.50000000");
    assert_eq!(
        shown["instruments"]["BTCUSDT"]["order_qty_max"],
        "0.50000000"
    );

    let loose = json!({ "global": { "open_orders_max": "none" } });
    let (status, body) = guarded.post(limits, &loose, admin);
    assert_eq!(
        (status.as_u16(), &body["applied"]),
        (202, &json!(false)),
        "{body}"
    );
    let proposal = json!({ "proposal_id": body["proposal_id"] });
    assert_eq!(guarded.get(limits, admin).1["global"]["open_orders_max"], 5);
    let approve = "/api/risk/limits/approve";
    let (status, body) = guarded.post(approve, &proposal, admin);
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    let (own, _) = guarded.login("admin");
    let (status, body) = guarded.post(approve, &proposal, Shown::Token(&own));
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    let (status, body) = guarded.post(approve, &proposal, Shown::Key(&key_of_vera));
    assert_eq!(
        status,
        StatusCode::FORBIDDEN,
        "a key is nobody's eyes: {body}"
    );
    let (status, body) = guarded.post(approve, &proposal, vera);
    assert_eq!(status, StatusCode::OK, "{body}");
    let (_, shown) = guarded.get(limits, admin);
    assert_eq!(shown["global"]["open_orders_max"], json!(null));
    assert_eq!(shown["proposals"], json!([]));
    assert_eq!(
        guarded.post(approve, &proposal, vera).0,
        StatusCode::NOT_FOUND
    );

    // A proposal does not outlive a change of what it was made against.
    let loose = json!({ "global": { "daily_loss_max": 200 } });
    let (_, body) = guarded.post(limits, &loose, admin);
    let stale = json!({ "proposal_id": body["proposal_id"] });
    let tighter = json!({ "global": { "daily_loss_max": 50 } });
    assert_eq!(guarded.post(limits, &tighter, vera).0, StatusCode::OK);
    assert_eq!(guarded.post(approve, &stale, vera).0, StatusCode::CONFLICT);
    let (_, body) = guarded.post(limits, &loose, admin);
    let other = json!({ "proposal_id": body["proposal_id"] });
    let withdraw = "/api/risk/limits/withdraw";
    // What is so already is no change: it is not recorded, and the proposal stays good.
    let (_, shown) = guarded.get(limits, admin);
    let same = json!({ "global": shown["global"], "instruments": shown["instruments"] });
    for nothing in [&tighter, &same] {
        let (status, body) = guarded.post(limits, nothing, admin);
        assert_eq!(
            (status.as_u16(), &body["changed"]),
            (200, &json!(false)),
            "{body}"
        );
    }
    let (_, shown) = guarded.get(limits, admin);
    assert_eq!(shown["proposals"][0]["current"], true);
    // `null` is how a limit is shown that does not bind.
    let null = json!({ "global": { "daily_loss_max": null } });
    let (status, body) = guarded.post(limits, &null, admin);
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    let id = json!({ "proposal_id": body["proposal_id"] });
    assert_eq!(guarded.post(withdraw, &id, admin).0, StatusCode::OK);
    assert_eq!(guarded.post(withdraw, &other, admin).0, StatusCode::OK);
    assert_eq!(
        guarded.post(withdraw, &other, admin).0,
        StatusCode::NOT_FOUND
    );

    for bad in [
        json!({}),
        json!({ "global": { "open_orders_max": 0 } }),
        json!({ "global": { "open_orders_max": 1.5 } }),
        json!({ "global": { "concentration_max_percent": 101 } }),
        json!({ "global": { "open_order_max": 1 } }),
        json!({ "global": {} }),
        json!({ "global": null }),
        json!({ "global": { "concentration_from": null } }),
        json!({ "instruments": { "BTCUSDT": {} } }),
        json!({ "instruments": { "NOPE": {} } }),
        json!({ "instruments": { "BTCUSDT": { "order_qty_max": 0.000_001 } } }),
        json!({ "instruments": { "BTCUSDT": 1 } }),
    ] {
        let (status, body) = guarded.post(limits, &bad, admin);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad} {body}");
    }
    let set = core.lock().expect("one thread");
    let made = set
        .commands
        .iter()
        .filter(|command| matches!(command, Command::SetLimits { .. }));
    assert_eq!(made.count(), 4);
    drop(set);
    let records = super::audited::text_of_records(&guarded);
    let denied = records.matches("\"permission_denied\"").count();
    assert_eq!(denied, 3, "each refused approval is recorded");
    let changes: Vec<Value> = records
        .lines()
        .filter(|line| line.contains("\"limits_changed\""))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(changes.len(), 3, "what changed nothing is not among them");
    assert_eq!(
        changes[2]["details"]["change"],
        json!({ "global": { "daily_loss_max": { "before": "100.50000000", "after": "50.00000000" } } })
    );
    assert!(
        records.contains("\"limits_proposed\"") && records.contains("\"proposed_by\":\"admin\"")
    );
    assert!(records.contains(LogType::Order.label()));
}

#[test]
fn without_identities_no_limit_is_loosened() {
    let (fixture, _core) = trading();
    let tight = json!({ "global": { "open_orders_max": 5 } });
    assert_eq!(fixture.post("/api/risk/limits", &tight).0, StatusCode::OK);
    let loose = json!({ "global": { "open_orders_max": 6 } });
    let (status, body) = fixture.post("/api/risk/limits", &loose);
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (403, &json!("forbidden"))
    );
    let id = json!({ "proposal_id": 1 });
    let (status, _) = fixture.post("/api/risk/limits/approve", &id);
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (_, body) = fixture.get("/api/risk/utilization");
    assert_eq!(body["instruments"][1]["symbol"], "ETHUSDT");
}

#[test]
fn an_api_that_is_read_only_takes_cancels_and_halts_alone() {
    let (fixture, core) = trading();
    fixture.post("/api/order", &order("before"));
    let on = json!({ "enabled": true });
    let (status, _) = fixture.post("/api/admin/maintenance", &on);
    assert_eq!(status, StatusCode::OK);
    for (path, body) in [
        ("/api/order", order("during")),
        ("/api/resume", json!({})),
        ("/api/start", json!({})),
    ] {
        let (status, body) = fixture.post(path, &body);
        assert_eq!(
            (status.as_u16(), &body["error"]),
            (409, &json!("read_only")),
            "{path}"
        );
    }
    let cancel = json!({ "client_order_id": "before" });
    assert_eq!(fixture.post("/api/cancel", &cancel).0, StatusCode::OK);
    assert_eq!(fixture.post("/api/halt", &json!({})).0, StatusCode::OK);
    let standing = |fixture: &Fixture| {
        let (_, body) = fixture.get("/api/status");
        (body["read_only"] == true, body["maintenance"] == true)
    };
    assert_eq!(standing(&fixture), (false, true));
    // Neither ends the other.
    fixture.post("/api/admin/readonly", &json!({}));
    for (path, after) in [
        ("/api/admin/ready", (true, false)),
        ("/api/admin/maintenance", (true, true)),
        ("/api/admin/readwrite", (false, true)),
    ] {
        fixture.post(path, &on);
        assert_eq!(standing(&fixture), after, "{path}");
        let (status, _) = fixture.post("/api/order", &order("between"));
        assert_eq!(status, StatusCode::CONFLICT, "{path}");
    }
    fixture.post("/api/admin/ready", &json!({}));
    assert_eq!(standing(&fixture), (false, false));
    assert_eq!(
        fixture.post("/api/order", &order("after")).0,
        StatusCode::OK
    );
    fixture.post("/api/admin/readonly", &json!({}));
    assert_eq!(
        fixture.post("/api/order", &order("x")).0,
        StatusCode::CONFLICT
    );
    fixture.post("/api/admin/readwrite", &json!({}));
    assert_eq!(fixture.post("/api/order", &order("x")).0, StatusCode::OK);
    assert_eq!(places(&core), 3);
    let (status, body) = fixture.post("/api/admin/log-level", &json!({ "level": "warning" }));
    assert_eq!((status.as_u16(), &body["level"]), (200, &json!("WARN")));
    assert_eq!(fixture.get("/api/admin/log-level").1["level"], "WARN");
    let (status, _) = fixture.post("/api/admin/reload-config", &json!({}));
    assert_eq!(status, StatusCode::CONFLICT, "a sidecar alone has no files");
}

#[test]
fn settings_are_kept_and_those_that_would_only_look_like_limits_are_not() {
    let (fixture, _core) = trading();
    let (_, body) = fixture.get("/api/settings");
    assert_eq!(body["settings"]["market_source"], "sim");
    assert_eq!(body["settings"]["general"]["language"], "en");
    let theme = json!({ "section": "general", "data": { "theme": "dark" } });
    let (status, body) = fixture.post("/api/settings", &theme);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["settings"]["general"]["theme"], "dark");
    assert_eq!(body["settings"]["general"]["language"], "en");
    for section in ["risk", "advanced", "security", "market_source"] {
        let (status, _) = fixture.post("/api/settings", &json!({ section: { "a": 1 } }));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{section}");
    }
    // What is shown is taken as it is, with its cover and without it; what the process is does not change by it.
    let (_, mut shown) = fixture.get("/api/settings");
    for whole in [&shown, &shown["settings"]] {
        let (status, body) = fixture.post("/api/settings", whole);
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    shown["settings"]["market_symbol"] = json!("ETHUSDT");
    for whole in [&shown, &shown["settings"]] {
        let (status, body) = fixture.post("/api/settings", whole);
        assert_eq!(
            (status.as_u16(), &body["field"]),
            (400, &json!("market_symbol"))
        );
    }
    // A part of a part leaves the rest.
    let quiet = json!({ "general": { "notifications": { "sound": false } } });
    let (status, body) = fixture.post("/api/settings", &quiet);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        body["settings"]["general"]["notifications"],
        json!({ "orderFills": true, "priceAlerts": true, "systemAlerts": true, "sound": false })
    );
    assert_eq!(body["settings"]["general"]["theme"], "dark");
    for (bad, field) in [
        (
            json!({ "trading": { "defaultOrderType": 12 } }),
            "trading.defaultOrderType",
        ),
        (
            json!({ "trading": { "slippageTolerance": "0.1" } }),
            "trading.slippageTolerance",
        ),
        (json!({ "trading": { "defaultOrdertype": "x" } }), "trading"),
        (
            json!({ "general": { "notifications": { "sound": null } } }),
            "general.notifications.sound",
        ),
        (
            json!({ "section": "general", "data": { "notifications": true } }),
            "general.notifications",
        ),
        (
            json!({ "general": { "language": "a\nb" } }),
            "general.language",
        ),
    ] {
        let (status, body) = fixture.post("/api/settings", &bad);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(body["field"], field, "{bad}");
    }
    let odd = json!({ "version": "1.0", "settings": { "general": {} }, "import_keys": true });
    let (status, _) = fixture.post("/api/settings/import", &odd);
    assert_eq!(status, StatusCode::BAD_REQUEST, "a field that nobody reads");
    let large = json!({ "general": { "x": "y".repeat(20_000) } });
    assert_eq!(
        fixture.post("/api/settings", &large).0,
        StatusCode::BAD_REQUEST
    );
    let (_, export) = fixture.get("/api/settings/export");
    assert_eq!(export["version"], "1.0");
    let (status, body) = fixture.post("/api/settings/import", &export);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        body["imported"],
        json!({ "settings": true, "exchange_keys": false })
    );
    assert_eq!(
        fixture.get("/api/strategies").1,
        json!({ "strategies": [] })
    );
    let (status, body) = fixture.get("/api/strategies/market_maker");
    assert_eq!(
        (status.as_u16(), &body["message"]),
        (404, &json!("Strategy not found"))
    );
    let (status, body) = fixture.get("/api/openapi.json");
    assert_eq!((status.as_u16(), &body["openapi"]), (200, &json!("3.1.0")));
    for path in ["/api/marketplace/items", "/ws/market", "/ws/orders"] {
        assert_eq!(fixture.get(path).0, StatusCode::NOT_FOUND);
    }
}

#[test]
fn a_book_is_read_when_somebody_asks() {
    use veloz_core::book::{Book, Side as BookSide};
    use veloz_core::limits::{BOOK_FAR_LEVELS_MAX, BOOK_WINDOW_TICKS};
    let (mut fixture, core) = trading();
    let (status, body) = fixture.get("/api/book");
    assert_eq!(status, StatusCode::CONFLICT, "never shown: {body}");
    assert_eq!(core.lock().expect("one thread").commands.len(), 1, "asked");
    let mut book = Book::new(BOOK_WINDOW_TICKS, BOOK_FAR_LEVELS_MAX);
    for (side, price, qty) in [
        (BookSide::Bid, 6_183_762, 3),
        (BookSide::Bid, 6_183_760, 1),
        (BookSide::Ask, 6_183_763, 2),
    ] {
        book.set(side, Ticks(price), Lots(qty)).expect("room");
    }
    let now = Nanos(fixture.clock.load(Ordering::Relaxed));
    let gauges = &mut fixture.core.gauges;
    gauges.depth(InstrumentIndex(0), now, Some((&book, 77)));
    let text = text(fixture.ask(get_request("/api/book?symbol=BTCUSDT&depth=1")));
    assert_eq!(
        text,
        r#"{"symbol":"BTCUSDT","last_update_id":77,"ts_ns":1708689600123000000,"bids":[[61837.62,0.00003]],"asks":[[61837.63,0.00002]]}"#
    );
    assert_eq!(
        core.lock().expect("one thread").commands.len(),
        1,
        "fresh enough"
    );
    for depth in ["0", "101", "x"] {
        let (status, body) = fixture.get(&format!("/api/book?depth={depth}"));
        assert_eq!((status.as_u16(), &body["field"]), (400, &json!("depth")));
    }
}

#[test]
fn a_key_of_the_venue_is_written_and_never_read_back() {
    const CANARY: &str = "canary1f6cd0secret";
    let guarded = guarded();
    let admin = guarded.key("admin");
    let admin = Shown::Key(&admin);
    let path = "/api/exchange-keys";
    let test = json!({ "exchange": "binance" });
    let (status, _) = guarded.post("/api/exchange-keys/test", &test, admin);
    assert_eq!(status, StatusCode::NOT_FOUND);
    let key = json!({
        "exchange": "binance", "apiKey": "public", "apiSecret": CANARY, "name": "main",
        "permissions": ["trade"],
    });
    let (status, body) = guarded.post(path, &key, admin);
    assert_eq!(
        (status.as_u16(), &body["name"]),
        (201, &json!("main")),
        "{body}"
    );
    let mut said = body.to_string();
    let (_, body) = guarded.get(path, admin);
    assert_eq!(body["keys"][0]["has_secret"], true);
    said += &body.to_string();
    let (_, body) = guarded.get("/api/settings/export", admin);
    assert_eq!(
        body["exchange_keys"],
        json!([{ "exchange": "binance", "name": "main" }])
    );
    said += &body.to_string();
    let (status, body) = guarded.post(path, &key, admin);
    assert_eq!(status, StatusCode::CREATED, "in the place of the first");
    said += &body.to_string();
    let (status, body) = guarded.post("/api/exchange-keys/test", &test, admin);
    assert_eq!(
        status,
        StatusCode::CONFLICT,
        "a sidecar alone asks nobody: {body}"
    );
    said += &body.to_string();
    for bad in [
        json!({ "exchange": "okx", "api_key": "a", "api_secret": CANARY }),
        json!({ "exchange": "binance", "api_key": "a" }),
        json!({ "exchange": "binance", "api_key": "a\tb", "api_secret": CANARY }),
        json!({ "exchange": "binance", "api_key": "a b", "api_secret": CANARY }),
        json!({ "exchange": "binance", "api_key": "a".repeat(4_096), "api_secret": CANARY }),
        json!({ "exchange": "binance", "api_key": "a", "api_secret": format!("-----BEGIN {CANARY}") }),
    ] {
        let (status, body) = guarded.post(path, &bad, admin);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        said += &body.to_string();
    }
    let (status, _) = guarded.delete("/api/exchange-keys?exchange=binance", admin);
    assert_eq!(status, StatusCode::OK);
    let (status, _) = guarded.delete("/api/exchange-keys?exchange=binance", admin);
    assert_eq!(status, StatusCode::NOT_FOUND);
    let records = super::audited::text_of_records(&guarded);
    for action in [
        "exchange_key_saved",
        "exchange_key_rotated",
        "exchange_key_tested",
        "exchange_key_removed",
    ] {
        let line = records.lines().find(|line| line.contains(action));
        let line: Value = serde_json::from_str(line.expect(action)).expect("JSON");
        assert_eq!(line["log_type"], "api_key", "{action}");
    }
    said += &records;
    assert!(!said.contains(CANARY) && !said.contains("public"), "{said}");
}

/// What the test's requests say that they belong to.
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn traced(path: &str, body: &Value) -> Request {
    let mut request = request_for(Method::POST, path, body);
    let parent = HeaderValue::from_static(PARENT);
    request.headers_mut().insert("traceparent", parent);
    request
}

/// The traces of the commands since the last look.
fn traces(core: &Core) -> Vec<Option<String>> {
    std::mem::take(&mut core.lock().expect("one thread").traces)
}

#[test]
fn a_start_of_a_strategy_belongs_to_the_trace_of_its_request() {
    let mut fixture = fixture_with(|state| {
        let mut config = api_config();
        config.profile.strategy = Some("market_maker");
        state.api = Arc::new(Api::open(config).expect("keeps nothing"));
    });
    with_account(&mut fixture);
    let core = play(&fixture.state);
    for act in ["start", "stop"] {
        let path = format!("/api/strategies/market_maker/{act}");
        let (status, body) = fixture.send(traced(&path, &json!({})));
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(
            traces(&core),
            [Some("0af7651916cd43dd8448eb211c80319c".to_owned())],
            "{path}"
        );
    }
    let (_, detail) = fixture.get("/api/strategies/market_maker");
    assert_eq!(
        (&detail["win_count"], &detail["lose_count"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn an_approval_belongs_to_the_trace_of_its_request_and_not_of_the_proposal() {
    let mut guarded = guarded();
    with_account(&mut guarded.fixture);
    let core = play(&guarded.fixture.state);
    let auth = guarded.fixture.state.auth.as_ref().expect("there");
    auth.store()
        .update::<_, crate::auth::users::UserFault>(|document| {
            document.give_roles("vera", &[crate::auth::permission::Role::Admin])
        })
        .expect("given");
    let admin = guarded.key("admin");
    let (vera, _) = guarded.login("vera");
    let limits = "/api/risk/limits";
    for limit in [json!(5), json!("none")] {
        let change = json!({ "global": { "open_orders_max": limit } });
        guarded.post(limits, &change, Shown::Key(&admin));
    }
    traces(&core);
    let proposal = json!({ "proposal_id": 1 });
    let request = traced("/api/risk/limits/approve", &proposal);
    let (status, body) = guarded.json(request, Shown::Token(&vera));
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        traces(&core),
        [Some("0af7651916cd43dd8448eb211c80319c".to_owned())]
    );
}

#[test]
fn what_could_not_be_kept_is_refused_and_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("state");
    let mut fixture = fixture_with(|state| {
        let mut config = api_config();
        config.place = Some(crate::api::Place {
            directory: place.clone(),
            instance: "test".to_owned(),
        });
        state.api = Arc::new(Api::open(config).expect("an empty place"));
    });
    with_account(&mut fixture);
    std::fs::remove_dir_all(&place).expect("made by the API");
    let change = json!({ "general": { "language": "de" } });
    let (status, body) = fixture.post("/api/settings", &change);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(body["error"], "storage_unavailable");
    let page = text(fixture.ask(get_request("/metrics")));
    assert!(page.contains("veloz_errors_total{type=\"not_kept\",component=\"storage\"} 1\n"));
}
