//! Everything that can go wrong between a request and its end, and each latency.

use serde_json::Value;

use super::*;
use crate::venue::{AnswerOrder, Fault, FaultRule, Latency};
use desk::error_of;

fn resting(id: &str) -> String {
    format!(
        concat!(
            r#""symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","price":"90","#,
            r#""quantity":"1","newClientOrderId":"{}","newOrderRespType":"ACK""#
        ),
        id
    )
}

/// Sends an order and gives a word for each text that came at once: `reply` or an event.
fn sequence(desk: &mut Desk, id: &str) -> Vec<String> {
    let frame = desk.frame("order.place", &resting(id), Sign::Session);
    desk.send(&frame);
    words(desk)
}

fn words(desk: &mut Desk) -> Vec<String> {
    desk.rest()
        .iter()
        .map(|text| {
            let value: Value = serde_json::from_str(text).expect("JSON");
            match value["event"]["e"].as_str() {
                Some(event) => event.to_owned(),
                None => format!("reply {}", value["status"]),
            }
        })
        .collect()
}

const REPLY: &str = "reply 200";
const REPORT: &str = "executionReport";
const POSITION: &str = "outboundAccountPosition";

fn open_orders(desk: &mut Desk) -> usize {
    let reply = desk.order("openOrders.status", r#""symbol":"BTCUSDT""#);
    reply["result"].as_array().map_or(0, Vec::len)
}

#[test]
fn answers_and_events_come_in_the_configured_order() {
    let run = |answer_order| {
        let config = VenueConfig {
            answer_order,
            ..config()
        };
        let mut desk = Desk::trading(config, still());
        (0..40)
            .map(|n| {
                let sequence = sequence(&mut desk, &format!("n{n}"));
                sequence.first().map(String::as_str) == Some(REPLY)
            })
            .collect::<Vec<_>>()
    };
    assert!(run(AnswerOrder::ResponseFirst).iter().all(|&first| first));
    assert!(run(AnswerOrder::EventFirst).iter().all(|&first| !first));
    let random = run(AnswerOrder::Random);
    assert!(
        random.contains(&true) && random.contains(&false),
        "{random:?}"
    );
    assert_eq!(run(AnswerOrder::Random), random, "by the seed");
}

#[test]
fn a_fault_turns_the_order_around_once() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::EventFirst);
    assert_eq!(sequence(&mut desk, "a"), [REPORT, POSITION, REPLY]);
    assert_eq!(sequence(&mut desk, "b"), [REPLY, REPORT, POSITION]);
    let config = VenueConfig {
        answer_order: AnswerOrder::EventFirst,
        ..config()
    };
    let mut desk = Desk::trading(config, still());
    desk.inject(Fault::ResponseFirst);
    assert_eq!(sequence(&mut desk, "a"), [REPLY, REPORT, POSITION]);
    assert_eq!(sequence(&mut desk, "b"), [REPORT, POSITION, REPLY]);
}

#[test]
fn each_way_has_its_own_latency() {
    let latency = Latency {
        request_to_engine_us: 100,
        engine_to_response_us: 1_000,
        engine_to_event_us: 400,
    };
    let with = |latency| VenueConfig {
        latency,
        ..config()
    };
    let mut desk = Desk::trading(with(latency), still());
    assert_eq!(sequence(&mut desk, "a"), Vec::<String>::new());
    desk.pass(499);
    assert_eq!(words(&mut desk), Vec::<String>::new());
    desk.pass(1);
    let events = desk.rest();
    assert_eq!(events.len(), 2);
    let report: Value = serde_json::from_str(&events[0]).expect("JSON");
    let stamp = |name: &str| report["event"][name].as_u64().expect("a time");
    assert_eq!(stamp("T"), 1_700_000_040_000, "100 us after the request");
    desk.pass(599);
    assert_eq!(words(&mut desk), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(words(&mut desk), [REPLY]);

    // A fault holds the earlier one back until the later one has left.
    desk.inject(Fault::ResponseFirst);
    sequence(&mut desk, "b");
    desk.pass(1_099);
    assert_eq!(words(&mut desk), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(words(&mut desk), [REPLY, REPORT, POSITION]);
    let late_events = Latency {
        request_to_engine_us: 0,
        engine_to_response_us: 0,
        engine_to_event_us: 500,
    };
    let mut desk = Desk::trading(with(late_events), still());
    desk.inject(Fault::EventFirst);
    assert_eq!(sequence(&mut desk, "a"), Vec::<String>::new());
    desk.pass(500);
    assert_eq!(words(&mut desk), [REPORT, POSITION, REPLY]);
}

#[test]
fn requests_reach_the_engine_in_the_order_in_which_they_were_sent() {
    let latency = Latency {
        request_to_engine_us: 100,
        ..Latency::default()
    };
    let mut desk = Desk::trading(
        VenueConfig {
            latency,
            ..config()
        },
        still(),
    );
    let place = desk.frame("order.place", &resting("a"), Sign::Session);
    let query = desk.frame(
        "order.status",
        r#""symbol":"BTCUSDT","origClientOrderId":"a""#,
        Sign::Session,
    );
    desk.send(&place);
    desk.send(&query);
    desk.pass(100);
    assert_eq!(words(&mut desk), [REPLY, REPORT, POSITION, REPLY]);
}

#[test]
fn an_answer_is_lost_but_its_order_works() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::ResponseLost);
    assert_eq!(sequence(&mut desk, "a"), [REPORT, POSITION]);
    assert_eq!(open_orders(&mut desk), 1);
    assert_eq!(desk.venue.stats().faults["response-lost"], 1);
}

#[test]
fn an_outcome_is_unknown_with_the_order_accepted() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::TimeoutAccepted);
    assert_eq!(sequence(&mut desk, "a"), [REPORT, POSITION]);
    desk.pass(9_999_999);
    assert_eq!(words(&mut desk), Vec::<String>::new());
    desk.pass(1);
    let reply: Value = serde_json::from_str(&desk.next().expect("a reply")).expect("JSON");
    let words = concat!(
        "Timeout waiting for response from backend server. Send status unknown; ",
        "execution status unknown."
    );
    assert_eq!(error_of(&reply), (504, -1007, words.to_owned()));
    assert_eq!(open_orders(&mut desk), 1);
}

#[test]
fn an_outcome_is_unknown_with_the_order_not_accepted() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::TimeoutRefused);
    assert_eq!(sequence(&mut desk, "a"), Vec::<String>::new());
    desk.pass(10_000_000);
    let reply: Value = serde_json::from_str(&desk.next().expect("a reply")).expect("JSON");
    assert_eq!(error_of(&reply).1, -1007);
    assert_eq!(open_orders(&mut desk), 0);
}

#[test]
fn a_connection_breaks_after_the_order_was_accepted() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::DropAfterAccept);
    let frame = desk.frame("order.place", &resting("a"), Sign::Session);
    desk.venue.text(desk.now, desk.link, &frame);
    assert!(!desk.collect(), "the connection is gone");
    assert_eq!(desk.rest(), Vec::<String>::new());
    desk.link = desk.venue.open_api(desk.now).expect("room");
    assert_eq!(desk.ask("session.logon", "", Sign::Ed25519)["status"], 200);
    assert_eq!(open_orders(&mut desk), 1);
}

#[test]
fn a_busy_venue_takes_no_order() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::Unavailable);
    let refused = desk.refused("order.place", &resting("a"));
    let words = concat!(
        "Server is currently overloaded with other requests. Please try again in a few ",
        "minutes."
    );
    assert_eq!(refused, (503, -1008, words.to_owned()));
    assert_eq!(open_orders(&mut desk), 0);
}

#[test]
fn a_ban_ends_the_connection_and_lasts() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::Ban);
    let refused = desk.refused("order.place", &resting("a"));
    assert_eq!((refused.0, refused.1), (418, -1003));
    assert!(
        refused.2.contains("IP banned until 1700000160000."),
        "{}",
        refused.2
    );
    assert_eq!(desk.rest(), ["close 1008"]);
    assert_eq!(desk.venue.open_api(desk.now), None, "nor a new one");
    desk.pass(120_000_000);
    assert!(desk.venue.open_api(desk.now).is_some());
}

#[test]
fn events_are_lost_and_doubled() {
    let mut desk = Desk::trading(config(), still());
    desk.inject(Fault::EventLost);
    assert_eq!(sequence(&mut desk, "a"), [REPLY, POSITION]);
    desk.inject(Fault::EventDuplicate);
    assert_eq!(sequence(&mut desk, "b"), [REPLY, REPORT, REPORT, POSITION]);
}

/// A late cancel and the flow that goes through its order: whoever is first wins.
#[test]
fn a_cancel_races_a_fill() {
    let run = |ms: u32| {
        let script = still().then(at_ms(100), 0, desk::print(1, "89", "5", true));
        let mut desk = Desk::trading(config(), script);
        sequence(&mut desk, "a");
        desk.inject(Fault::CancelDelayed { ms });
        let params = r#""symbol":"BTCUSDT","origClientOrderId":"a","newClientOrderId":"c""#;
        let frame = desk.frame("order.cancel", params, Sign::Session);
        desk.send(&frame);
        assert_eq!(desk.next(), None);
        desk.pass(200_000);
        let mut story = Vec::new();
        for text in desk.rest() {
            let value: Value = serde_json::from_str(&text).expect("JSON");
            story.push(match value["error"]["code"].as_i64() {
                Some(code) => format!("{code}"),
                None if value["result"].is_object() => "canceled".to_owned(),
                None => desk::summary(&value["event"]),
            });
        }
        story
    };
    assert_eq!(
        run(150),
        ["a TRADE FILLED", POSITION, "-2011"],
        "the fill wins"
    );
    assert_eq!(
        run(50),
        ["canceled", "c CANCELED CANCELED", POSITION],
        "the cancel wins"
    );
}

#[test]
fn the_exchange_expires_orders_unasked() {
    let mut desk = Desk::trading(config(), still());
    sequence(&mut desk, "a");
    desk.inject(Fault::UnsolicitedCancel);
    let events = desk.events();
    assert_eq!(
        (&events[0]["x"], &events[0]["X"]),
        (&"EXPIRED".into(), &"EXPIRED".into())
    );
    assert_eq!(events[0]["eR"], "EXCHANGE_CANCELED");
    assert_eq!(events[1]["e"], POSITION);
    assert_eq!(open_orders(&mut desk), 0);
}

#[test]
fn a_symbol_closes_and_opens_again() {
    let mut desk = Desk::trading(config(), still());
    sequence(&mut desk, "a");
    let closed = || "Market is closed.".to_owned();
    let cancel = |id: &str| format!(r#""symbol":"BTCUSDT","origClientOrderId":"{id}""#);
    let status = |desk: &mut Desk| {
        let info = desk.ask_bare("exchangeInfo");
        info["result"]["symbols"][0]["status"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    desk.inject(Fault::Halt { ms: 1_000 });
    assert_eq!(
        desk.refused("order.place", &resting("b")),
        (400, -2010, closed())
    );
    assert_eq!(
        desk.refused("order.cancel", &cancel("a")),
        (400, -2011, closed())
    );
    let amend = format!(r#"{},"newQty":"0.5""#, cancel("a"));
    assert_eq!(
        desk.refused("order.amend.keepPriority", &amend),
        (400, -2038, closed())
    );
    assert_eq!(status(&mut desk), "HALT");
    desk.pass(1_000_000);
    assert_eq!(status(&mut desk), "TRADING");

    desk.inject(Fault::CancelOnly { ms: 2_000 });
    desk.inject(Fault::CancelOnly { ms: 3_000 });
    assert_eq!(
        desk.refused("order.place", &resting("b")),
        (400, -2010, closed())
    );
    assert_eq!(desk.order("order.cancel", &cancel("a"))["status"], 200);
    assert_eq!(status(&mut desk), "CANCEL_ONLY");
    desk.rest();
    let other = r#"{"id":5,"method":"depth","params":{"symbol":"BTCUSDT","symbolStatus":"HALT"}}"#;
    desk.send(other);
    let reply = serde_json::from_str(&desk.next().expect("a reply")).expect("JSON");
    let words = "The symbol's status does not match the requested symbolStatus.".to_owned();
    assert_eq!(error_of(&reply), (400, -1220, words));
    desk.pass(2_999_999);
    assert_eq!(status(&mut desk), "CANCEL_ONLY", "the longer one holds");
    desk.pass(1);
    assert_eq!(status(&mut desk), "TRADING");
    assert_eq!(desk.order("order.place", &resting("c"))["status"], 200);
}

#[test]
fn a_schedule_counts_orders_cancels_and_events() {
    let run = || {
        let rules = [
            "response-lost@every:3",
            "cancel-delayed=5@every:2",
            "event-duplicate@at:4",
            "unsolicited-cancel@at:5",
        ];
        let faults: Vec<FaultRule> = rules
            .iter()
            .map(|rule| rule.parse().expect("a rule"))
            .collect();
        let config = VenueConfig { faults, ..config() };
        let mut desk = Desk::trading(config, still());
        let mut log = Vec::new();
        for n in 0..6 {
            log.push(sequence(&mut desk, &format!("n{n}")).join(" "));
            let params = format!(r#""symbol":"BTCUSDT","origClientOrderId":"n{n}""#);
            let frame = desk.frame("order.cancel", &params, Sign::Session);
            desk.send(&frame);
            desk.pass(10_000);
            log.push(words(&mut desk).join(" "));
        }
        (log, desk.venue.stats().faults)
    };
    let (log, faults) = run();
    assert_eq!(run(), (log, faults.clone()));
    assert_eq!(faults["response-lost"], 4);
    assert_eq!(faults["cancel-delayed"], 3);
    assert_eq!(faults["event-duplicate"], 1);
    assert_eq!(faults["unsolicited-cancel"], 1);
}

#[test]
fn requests_under_way_are_bounded() {
    let latency = Latency {
        request_to_engine_us: 1_000_000,
        ..Latency::default()
    };
    let config = VenueConfig {
        latency,
        request_weight_per_minute: u32::MAX,
        client_queue_frames: 1 << 20,
        ..config()
    };
    let mut desk = Desk::new(config, still());
    let frame = desk.frame("session.logon", "", Sign::Ed25519);
    desk.send(&frame);
    let frame = desk.frame("account.rateLimits.orders", "", Sign::Session);
    let mut sent = 0;
    let refused = loop {
        desk.venue.text(desk.now, desk.link, &frame);
        sent += 1;
        if let Some(text) = desk.rest().pop()
            && text.contains("-1008")
        {
            break text;
        }
        assert!(sent < 100_000, "there is a bound");
    };
    assert!(refused.contains(r#""status":503"#), "{refused}");
}
