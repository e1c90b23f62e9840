//! Each fault, seen from the other end of the wire.

use std::io::{ErrorKind, Read as _};

use super::*;
use crate::venue::Fault;
use crate::venue::faults::HUGE_EVENT_LEVELS;
use tungstenite::Message;

/// A venue with a subscriber of its diffs.
fn pair() -> (VenueHandle, Client) {
    let venue = start(config(), diffs(100));
    let client = Client::connect(&venue, "/ws/btcusdt@depth@100ms");
    (venue, client)
}

/// Last ids of the next so many diffs.
fn ids(client: &mut Client, count: usize) -> Vec<u64> {
    (0..count)
        .map(|_| client.json()["u"].as_u64().expect("a diff"))
        .collect()
}

#[test]
fn diffs_are_skipped_doubled_and_swapped() {
    let (venue, mut client) = pair();
    for (fault, expected) in [
        (Fault::Gap, &[1_002, 1_003][..]),
        (Fault::Duplicate, &[1_004, 1_004, 1_005, 1_006]),
        (Fault::Reorder, &[1_008, 1_007, 1_009]),
        (Fault::EmptyEvent, &[1_010, 1_010, 1_011, 1_012]),
    ] {
        assert!(venue.inject(fault));
        venue.advance(MS_100 * 3);
        assert_eq!(ids(&mut client, expected.len()), expected, "{fault:?}");
    }
    let faults = venue.stats().faults;
    assert_eq!(faults.values().sum::<u64>(), 4, "{faults:?}");
}

#[test]
fn payloads_are_spoilt() {
    let (venue, mut client) = pair();
    venue.inject(Fault::HugeEvent);
    venue.advance(MS_100);
    let huge = client.json();
    let count = |side: &str| huge[side].as_array().map_or(0, Vec::len);
    assert_eq!(count("b") + count("a"), HUGE_EVENT_LEVELS + 1);
    assert!(count("a") == HUGE_EVENT_LEVELS / 2);

    venue.inject(Fault::CrossedBook);
    venue.advance(MS_100);
    assert_eq!(client.json()["b"][0][0], "101.10000000");

    venue.inject(Fault::UnknownKeys);
    venue.advance(MS_100);
    let odd = client.json();
    assert_eq!((&odd["u"], &odd["xx"]), (&1_003.into(), &"".into()));

    venue.inject(Fault::UnknownEvent);
    venue.advance(MS_100);
    assert_eq!(client.json()["u"], 1_004);
    assert_eq!(client.json()["e"], "hologram");

    venue.inject(Fault::MalformedJson);
    venue.advance(MS_100);
    assert!(serde_json::from_str::<serde_json::Value>(&client.text()).is_err());

    venue.inject(Fault::InvalidUtf8);
    venue.advance(MS_100);
    assert!(matches!(client.next(), Err(tungstenite::Error::Utf8(_))));
}

#[test]
fn a_message_arrives_whole_however_it_is_cut() {
    let (venue, mut client) = pair();
    venue.inject(Fault::SplitSegments { bytes: 3 });
    venue.advance(MS_100);
    assert_eq!(ids(&mut client, 1), [1_001]);

    venue.inject(Fault::Fragment);
    venue.advance(MS_100);
    assert_eq!(
        client.next().expect("connected"),
        Message::Ping("between fragments".into())
    );
    assert_eq!(ids(&mut client, 1), [1_002]);

    venue.inject(Fault::MergeSegments { frames: 3 });
    venue.advance(MS_100 * 2);
    // Two of three: nothing may have been written. The reply of a control message is the third.
    client.send(r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
    assert_eq!(ids(&mut client, 2), [1_003, 1_004]);
    assert_eq!(
        client.text(),
        r#"{"result":["btcusdt@depth@100ms"],"id":1}"#
    );
}

#[test]
fn segments_are_really_small_on_the_wire() {
    let venue = start(config(), diffs(100));
    let mut reader = client::plain(&venue);
    std::io::Write::write_all(
        &mut reader,
        concat!(
            "GET /ws/btcusdt@depth@100ms HTTP/1.1\r\nHost: localhost\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .as_bytes(),
    )
    .expect("connected");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("ASCII").to_lowercase();
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="));
    venue.inject(Fault::TruncatedFrame);
    venue.advance(MS_100);
    let mut frame = Vec::new();
    reader.read_to_end(&mut frame).expect("an orderly end");
    assert_eq!(frame[0], 0x81, "a whole text frame is announced");
    let announced = usize::from(frame[1]);
    assert!(frame.len() - 2 < announced, "{} {announced}", frame.len());
}

#[test]
fn connections_fall_silent_stall_and_break() {
    let (venue, mut client) = pair();
    venue.inject(Fault::Silence { ms: 200 });
    venue.advance(MS_100 * 3);
    assert_eq!(ids(&mut client, 1), [1_003], "what was due is lost");

    venue.inject(Fault::Stall { ms: 200 });
    venue.advance(MS_100);
    venue.advance(MS_100);
    assert_eq!(ids(&mut client, 2), [1_004, 1_005], "late, but all of it");

    venue.inject(Fault::WrongPong);
    venue.inject(Fault::UnsolicitedPong);
    venue.inject(Fault::PingFlood { count: 4 });
    let mut next = || client.next().expect("connected");
    assert_eq!(next(), Message::Pong("not yours".into()));
    assert_eq!(next(), Message::Pong("".into()));
    for _ in 0..4 {
        assert!(matches!(next(), Message::Ping(_)));
    }
    client.settle();

    venue.inject(Fault::Reset);
    let error = loop {
        match client.next() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, tungstenite::Error::Io(io) if io.kind() == ErrorKind::ConnectionReset),
        "{error:?}"
    );
    assert_eq!(venue.stats().connections, 0);

    let mut client = Client::connect(&venue, "/ws");
    venue.inject(Fault::DailyCut);
    venue.advance(Duration::from_millis(1));
    assert_eq!(client.close_code(), 1001);
}

#[test]
fn a_stale_snapshot_is_older_than_the_first_diff() {
    let (venue, mut client) = pair();
    venue.advance(MS_100);
    let first = client.json()["U"].as_u64().expect("a diff");
    venue.inject(Fault::StaleSnapshot);
    let id = || {
        let (_, body) = client::get(&venue, "/api/v3/depth?symbol=BTCUSDT");
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        body["lastUpdateId"].as_u64().expect("an id")
    };
    assert!(id() < first);
    assert_eq!(id(), 1_000, "only one is stale");
}

#[test]
fn a_schedule_meets_the_same_events_each_time() {
    let run = || {
        let rules = ["gap@every:3", "duplicate@ppm:200000"];
        let venue = start(
            VenueConfig {
                faults: rules
                    .iter()
                    .map(|text| text.parse().expect("a rule"))
                    .collect(),
                seed: 11,
                ..config()
            },
            diffs(60),
        );
        let mut client = Client::connect(&venue, "/ws/btcusdt@depth@100ms");
        venue.advance(Duration::from_secs(7));
        let frames = venue.stats().frames as usize;
        (ids(&mut client, frames), venue.stats().faults)
    };
    let (ids, faults) = run();
    assert_eq!(run(), (ids.clone(), faults.clone()));
    assert_eq!(faults["gap"], 20);
    assert!(!ids.contains(&1_003));
    assert!(faults["duplicate"] > 0);
}
