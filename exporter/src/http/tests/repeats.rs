//! Repeats of requests with an `Idempotency-Key` over restarts: one effect, whatever the process was doing when it ended.

use super::api::{Core, Fate, order, places, play, with_account};
use super::*;
use crate::api::Place;
use axum::http::HeaderName;
use veloz_core::order::{OrderId, OrderState, Side};
use veloz_core::telemetry::records::{Record, RecordBody};
use veloz_core::units::{Lots, Ticks};

/// A run of the engine over the state of the runs before it.
fn run(directory: &std::path::Path) -> (Fixture, Core) {
    let mut fixture = fixture_with(|state| {
        let config = ApiConfig {
            place: Some(Place {
                directory: directory.to_owned(),
                instance: "vz".to_owned(),
            }),
            ..api_config()
        };
        state.api = Arc::new(Api::open(config).expect("readable"));
        state.trading.know_earlier(&state.api.client_ids.numbered());
    });
    with_account(&mut fixture);
    let core = play(&fixture.state);
    (fixture, core)
}

fn keyed(path: &str, key: &'static str, body: &Value) -> Request {
    let mut request = request_for(Method::POST, path, body);
    let name = HeaderName::from_static("idempotency-key");
    request
        .headers_mut()
        .insert(name, HeaderValue::from_static(key));
    request
}

/// Sends a request and ends the process before it is answered.
fn cut_off(fixture: &Fixture, request: Request) {
    let router = fixture.router(on_this_machine());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut answer = std::pin::pin!(router.oneshot(request));
        // Turns in which the handler gets as far as it can.
        for _ in 0..100 {
            let turn = std::future::poll_fn(|context| {
                std::task::Poll::Ready(answer.as_mut().poll(context).is_ready())
            });
            assert!(!turn.await, "it waits for the venue");
            tokio::task::yield_now().await;
        }
    });
}

fn tell(fixture: &Fixture, sequence: u64, body: RecordBody) {
    fixture.state.trading.record(&Record {
        sequence,
        at: Nanos::from_secs(9),
        body,
    });
}

#[test]
fn a_repeat_after_a_restart_gets_the_answer_that_was_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = json!({ "client_order_id": "never" });
    let (placed, cancelled) = {
        let (fixture, core) = run(directory.path());
        let placed = fixture.send(keyed("/api/order", "a", &order("mine")));
        assert_eq!(placed.0, StatusCode::OK);
        assert_eq!(places(&core), 1);
        let cancelled = fixture.send(keyed("/api/cancel", "b", &refused));
        assert_eq!(cancelled.0, StatusCode::NOT_FOUND);
        (placed, cancelled)
    };
    for _ in 0..2 {
        let (fixture, core) = run(directory.path());
        let response = fixture.ask(keyed("/api/order", "a", &order("mine")));
        assert_eq!(response.headers()["idempotent-replayed"], "true");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(response.status(), placed.0);
        let body: Value = serde_json::from_str(&text(response)).expect("JSON");
        assert_eq!(body, placed.1);
        let (status, mut body) = fixture.send(keyed("/api/cancel", "b", &refused));
        // Only the request's own id is another.
        body["instance"] = cancelled.1["instance"].clone();
        assert_eq!((status, &body), (cancelled.0, &cancelled.1));
        let (status, body) = fixture.send(keyed("/api/order", "a", &order("other")));
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(places(&core), 0, "nothing reached the core");
    }
}

#[test]
fn a_repeat_after_a_crash_gets_the_state_of_the_order_and_never_a_second_one() {
    let directory = tempfile::tempdir().expect("a directory");
    {
        let (fixture, core) = run(directory.path());
        let fates = [Fate::Silent, Fate::Lost];
        core.lock().expect("one thread").fates.extend(fates);
        cut_off(&fixture, keyed("/api/order", "a", &order("mine")));
        cut_off(&fixture, keyed("/api/order", "b", &order("lost")));
        assert_eq!(places(&core), 2);
    }
    let (mut fixture, core) = run(directory.path());
    let repeat = |fixture: &Fixture, key, id| fixture.send(keyed("/api/order", key, &order(id)));
    // Nobody knows yet what the venue holds.
    let gauges = &mut fixture.core.gauges;
    let reconciling = TradingPhase::Reconciling.index() as i64;
    gauges.set(Gauge::TradingPhase, reconciling);
    for (key, id) in [("a", "mine"), ("b", "lost")] {
        let (status, body) = repeat(&fixture, key, id);
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        assert_eq!(body["state"], "reconciling");
        assert_eq!(body["client_order_id"], id);
    }
    // The venue lists the one; it is known by our number alone, and the file knows whose that is.
    let id = OrderId {
        run: 1,
        sequence: 1,
    };
    let adopted = RecordBody::OrderAdopted {
        order: id,
        instrument: InstrumentIndex(0),
        side: Side::Buy,
        price: Ticks(6_183_763),
    };
    tell(&fixture, 1, adopted);
    let live = RecordBody::OrderState {
        order: id,
        instrument: InstrumentIndex(0),
        from: OrderState::Unresolved,
        to: OrderState::Live,
        venue_order_id: 4_711,
        executed: Lots(0),
        qty: Lots(2),
    };
    tell(&fixture, 2, live);
    with_account(&mut fixture);
    let (status, body) = repeat(&fixture, "a", "mine");
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        (&body["client_order_id"], &body["venue_order_id"]),
        (&json!("mine"), &json!("4711"))
    );
    let (status, body) = repeat(&fixture, "b", "lost");
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert_eq!(body["client_order_id"], "lost");
    // With another key it is still the same order.
    for key in ["c", "d"] {
        let (status, body) = repeat(&fixture, key, "lost");
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::CONFLICT, &json!("duplicate_client_order_id"))
        );
    }
    assert_eq!(places(&core), 0);
    let (_, one) = fixture.get("/api/order_state?client_order_id=mine");
    assert_eq!(one["order_id"], "1-1");
}

#[test]
fn what_cannot_be_kept_is_not_done() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(
        directory.path().join("vz.idempotency-keys.ndjson"),
        "this is none\n",
    )
    .expect("written");
    let place = Place {
        directory: directory.path().to_owned(),
        instance: "vz".to_owned(),
    };
    let opened = Api::open(ApiConfig {
        place: Some(place),
        ..api_config()
    });
    let error = opened.err().expect("refused").to_string();
    assert!(error.contains("idempotency-keys.ndjson: line 1"), "{error}");
}
