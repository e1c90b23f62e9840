//! Recorded sessions over the wire.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::venue::{MarketConfig, Recording, Speed};
use tungstenite::Message;

const PATH: &str = "/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker";

fn diff_line(ns: u64, id: u64) -> String {
    format!(
        concat!(
            r#"{} {{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":{},"#,
            r#""s":"BTCUSDT","U":{},"u":{},"b":[["100.00000000","{}.00000000"]],"a":[]}}}}"#
        ),
        ns, ns, id, id, id
    )
}

fn ticker_line(ns: u64, id: u64) -> String {
    format!(r#"{ns} {{"stream":"btcusdt@bookTicker","data":{{"u":{id},"s":"BTCUSDT"}}}}"#)
}

const SNAPSHOT: &str = concat!(
    r#"{"lastUpdateId":3,"bids":[["100.00000000","3.00000000"],["99.00000000","1.00000000"]],"#,
    r#""asks":[["101.00000000","1.00000000"]]}"#
);

/// Ids 2 and 3 before the snapshot, 4 to `last` behind it, one a second.
fn capture(folder: &Path, last: u64) -> PathBuf {
    let second = 1_000_000_000;
    let mut lines = vec![
        diff_line(2 * second, 2),
        ticker_line(3 * second - 1, 2),
        diff_line(3 * second, 3),
        format!("{} {SNAPSHOT}", 3 * second + 1),
    ];
    lines.extend((4..=last).map(|id| diff_line(id * second, id)));
    let path = folder.join("btc");
    std::fs::write(&path, lines.join("\n")).expect("a file");
    path
}

fn recorded(files: Vec<PathBuf>, speed: Speed) -> VenueConfig {
    VenueConfig {
        market: MarketConfig::Recorded(Recording {
            files,
            speed,
            wait_for: None,
        }),
        ..config()
    }
}

#[test]
fn the_flow_waits_for_its_audience_and_keeps_its_pace() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = vec![capture(folder.path(), 9)];
    let venue = Venue::start(recorded(files, Speed::Times(2.0))).expect("a capture");
    assert_eq!(
        venue.waits_for(),
        ["btcusdt@bookTicker", "btcusdt@depth@100ms", "depth BTCUSDT"]
    );
    let mut early = Client::connect(&venue, "/stream?streams=btcusdt@depth@100ms");
    venue.advance(Duration::from_secs(5));
    early.settle();
    let mut client = Client::connect(&venue, PATH);
    // What came before the recorder's snapshot comes before ours is asked for: a client that
    // waits for its first diff gets it.
    venue.advance(Duration::from_secs(5));
    assert_eq!(client.json()["data"]["u"], 2);
    assert_eq!(client.json()["stream"], "btcusdt@bookTicker");
    assert_eq!(client.json()["data"]["u"], 3);
    client.settle();
    assert_eq!(venue.waits_for(), ["depth BTCUSDT"]);
    let (_, body) = client::get(&venue, "/api/v3/depth?symbol=BTCUSDT&limit=5000");
    assert_eq!(body, SNAPSHOT);
    // Twice as fast as recorded: one frame each half second, the first at once.
    venue.advance(Duration::from_millis(999));
    assert_eq!(client.json()["data"]["u"], 4);
    assert_eq!(client.json()["data"]["u"], 5);
    client.settle();
    venue.advance(Duration::from_millis(1));
    assert_eq!(client.json()["data"]["u"], 6);
    // A client that lost its book gets the book of now.
    let (_, body) = client::get(&venue, "/api/v3/depth?symbol=BTCUSDT&limit=1");
    assert!(
        body.starts_with(r#"{"lastUpdateId":6,"bids":[["100.00000000","6.00000000"]]"#),
        "{body}"
    );
    assert!(!venue.is_finished());
    venue.advance(Duration::from_secs(2));
    for id in 7..=9 {
        assert_eq!(client.json()["data"]["u"], id);
    }
    for _ in 2..=9 {
        early.text();
    }
    assert!(venue.is_finished());
    client.settle();
}

#[test]
fn raw_connections_get_the_payload_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = vec![capture(folder.path(), 4)];
    let venue = Venue::start(recorded(files, Speed::Max)).expect("a capture");
    let mut client = Client::connect(&venue, "/ws/btcusdt@bookTicker/btcusdt@depth@100ms");
    // Nobody asks for the depth: the frames before the snapshot come out when the grace is over.
    venue.advance(Duration::from_secs(1));
    client.text();
    assert_eq!(client.text(), r#"{"u":2,"s":"BTCUSDT"}"#);
    venue.release();
    assert_eq!(client.json()["u"], 3);
    assert_eq!(client.json()["u"], 4);
}

#[test]
fn as_fast_as_possible_means_as_fast_as_the_client_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let last = 60_000;
    let files = vec![capture(folder.path(), last)];
    let venue = Venue::start(VenueConfig {
        client_queue_frames: 64,
        send_buffer_bytes: Some(8_192),
        ..recorded(files, Speed::Max)
    })
    .expect("a capture");
    let mut slow = Client::connect_plain(&venue, PATH);
    venue.release();
    // Nobody reads: the flow stops with the queue half full, and nobody is dropped.
    venue.advance(Duration::from_secs(10));
    assert!(!venue.is_finished());
    let diffs = (2..=last).map(|id| {
        let mut frame = slow.json();
        if frame["stream"] == "btcusdt@bookTicker" {
            frame = slow.json();
        }
        (id, frame["data"]["u"].as_u64())
    });
    for (id, sent) in diffs {
        assert_eq!(sent, Some(id));
    }
    assert!(venue.is_finished());
    assert_eq!(venue.stats().slow_consumers, 0);
}

#[test]
fn captures_that_cannot_be_served_fail_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("capture");
    let cases = [
        ("", "the captures hold no market data"),
        ("1 {}", "is neither a combined frame nor a snapshot"),
        (
            &diff_line(1, 1),
            "the captures hold no depth snapshot of BTCUSDT",
        ),
        (
            "1 {\"stream\":\"a@depth\",\"data\":{}}\n2 {\"lastUpdateId\":1,\"bids\":3}",
            "line 2 of the capture",
        ),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, text).expect("a file");
        let error = Venue::start(recorded(vec![path.clone()], Speed::Max))
            .err()
            .expect(expected)
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn lines(path: &Path) -> Vec<(u64, String)> {
    let file = std::fs::File::open(path).expect("a capture");
    std::io::BufReader::new(flate2::read::MultiGzDecoder::new(file))
        .lines()
        .map(|line| {
            let line = line.expect("UTF-8");
            let (ns, json) = line.split_once(' ').expect("a capture line");
            (ns.parse().expect("a time"), json.to_owned())
        })
        .collect()
}

/// Three files, two symbols, every frame, over TLS.
#[test]
fn real_captures_arrive_unchanged() {
    let Some(folder) = std::env::var_os("VELOZ_DATA_DIR") else {
        println!("skipped: VELOZ_DATA_DIR is not set");
        return;
    };
    let spot = PathBuf::from(folder).join("spot");
    let files = [
        "btcusdt_20240808.gz",
        "btcusdt_20240809.gz",
        "ethusdt_20240808.gz",
    ]
    .map(|name| spot.join(name))
    .to_vec();
    let mut expected: Vec<_> = files.iter().flat_map(|path| lines(path)).collect();
    expected.sort_by_key(|&(ns, _)| ns);
    let (snapshots, frames): (Vec<_>, Vec<_>) = expected
        .into_iter()
        .map(|(_, json)| json)
        .partition(|json| json.starts_with(r#"{"lastUpdateId""#));

    let venue = Venue::start(recorded(files, Speed::Max)).expect("captures");
    for (symbol, snapshot) in [("BTCUSDT", &snapshots[1]), ("ETHUSDT", &snapshots[0])] {
        let path = format!("/api/v3/depth?symbol={symbol}&limit=5000");
        assert_eq!(&client::get(&venue, &path).1, snapshot);
    }
    let streams: Vec<_> = ["btcusdt", "ethusdt"]
        .iter()
        .flat_map(|symbol| {
            ["depth@100ms", "bookTicker", "trade"].map(|kind| format!("{symbol}@{kind}"))
        })
        .collect();
    let path = format!("/stream?streams={}", streams.join("/"));
    let mut client = Client::connect(&venue, &path);
    // All is asked and subscribed to: the answers' head start is what the flow still waits for.
    venue.advance(Duration::from_millis(50));
    for (position, frame) in frames.iter().enumerate() {
        match client.next().expect("connected") {
            Message::Text(text) => assert_eq!(text.as_str(), frame, "frame {position}"),
            other => panic!("no frame {position} but {other:?}"),
        }
    }
    assert!(venue.is_finished());
    assert_eq!(venue.stats().frames, frames.len() as u64);
    println!("{} frames unchanged", frames.len());
}
