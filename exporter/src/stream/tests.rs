//! The hub with many clients, slow ones, ones that come back, and its end.

use super::event::{Decimal, EngineStopped, Error, Market};
use super::filter::Filter;
use super::history::EVENTS_MAX;
use super::*;
use std::future::Future;
use std::time::Duration;
use veloz_core::units::E8;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        // Time stands still and jumps to the next timer when nothing else is to do.
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn hub() -> Hub {
    Hub::new(UnixMs(1_000))
}

const FIRST_ID: u64 = 1_000_000;

fn price(number: i64) -> StreamEvent<'static> {
    StreamEvent::Market(Market {
        symbol: "BTCUSDT",
        ts_ns: number,
        price: Decimal(E8(number)),
    })
}

fn error() -> StreamEvent<'static> {
    StreamEvent::Error(Error {
        ts_ns: 1,
        message: "market_source_error",
        cause: "closed",
    })
}

fn client(hub: &Hub, last_id: Option<u64>) -> Client {
    hub.subscribe(last_id, Filter::everything())
        .expect("a free seat")
}

/// What a client was sent: ids of events, and gaps as their ranges.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    ids: Vec<u64>,
    gaps: Vec<(u64, u64)>,
    comments: usize,
}

impl Heard {
    fn take(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        assert!(text.ends_with("\n\n"), "whole frames only");
        for frame in text.split_terminator("\n\n") {
            if frame.starts_with(':') {
                self.comments += 1;
            } else if let Some(data) = frame.strip_prefix("event: gap\ndata: ") {
                let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
                let id = |name: &str| data[name].as_u64().expect("an id");
                self.gaps.push((id("from"), id("to")));
            } else {
                let rest = frame.strip_prefix("id: ").expect("an event has an id");
                let (id, rest) = rest.split_once('\n').expect("lines");
                assert!(rest.starts_with("event: ") && rest.contains("\ndata: {"));
                self.ids.push(id.parse().expect("a number"));
            }
        }
    }
}

/// Reads until `ids` events came.
async fn hear(client: &mut Client, ids: usize) -> Heard {
    let mut heard = Heard::default();
    while heard.ids.len() < ids {
        let bytes = client.next().await.expect("the stream goes on");
        heard.take(&bytes);
    }
    heard
}

/// Reads to the end.
async fn hear_out(client: &mut Client) -> Heard {
    let mut heard = Heard::default();
    while let Some(bytes) = client.next().await {
        heard.take(&bytes);
    }
    heard
}

/// Runs `clients` beside the dispatcher.
fn with_dispatcher<F: Future>(hub: &Hub, clients: F) -> F::Output {
    block_on(async {
        let (_stop, stopped) = watch::channel(());
        tokio::select! {
            biased;
            output = clients => output,
            () = hub.dispatch(stopped) => unreachable!("nobody stops it"),
        }
    })
}

#[test]
fn five_hundred_clients_get_every_event_in_order() {
    const CLIENTS: usize = 500;
    const EVENTS: usize = 1_000;
    let hub = hub();
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(&hub, None)).collect();
    assert_eq!(hub.counts().clients(), CLIENTS);
    let publisher = {
        let hub = hub.clone();
        std::thread::spawn(move || {
            for number in 0..EVENTS {
                hub.publish(&price(number as i64), Some(InstrumentIndex(0)));
                hub.announce();
            }
        })
    };
    let heard = with_dispatcher(&hub, async {
        let mut tasks = tokio::task::JoinSet::new();
        for mut client in clients {
            tasks.spawn(async move { hear(&mut client, EVENTS).await });
        }
        tasks.join_all().await
    });
    publisher.join().expect("no panic");
    let expected: Vec<u64> = (FIRST_ID..FIRST_ID + EVENTS as u64).collect();
    for heard in heard {
        assert_eq!(heard.ids, expected);
        assert!(heard.gaps.is_empty());
    }
    assert_eq!(hub.counts().sent(), (CLIENTS * EVENTS) as u64);
    assert_eq!(hub.counts().clients(), 0, "every seat is free again");
}

#[test]
fn a_client_that_does_not_read_delays_nobody_and_is_told_what_it_missed() {
    const MISSED: usize = 100;
    let hub = hub();
    let mut slow = client(&hub, None);
    let mut quick = client(&hub, None);
    let total = EVENTS_MAX + MISSED;
    hub.publish(&error(), None);
    let heard = with_dispatcher(&hub, async {
        let mut heard = Heard::default();
        for number in 0..total {
            hub.publish(&price(number as i64), None);
            hub.announce();
            while heard.ids.len() < number + 2 {
                heard.take(&quick.next().await.expect("the stream goes on"));
            }
        }
        (heard, hear(&mut slow, EVENTS_MAX + 1).await)
    });
    let (quick, slow) = heard;
    assert_eq!(quick.ids.len(), total + 1);
    assert!(quick.gaps.is_empty());
    // The error of another class is still there, before what is left of the prices.
    let gap_end = FIRST_ID + MISSED as u64;
    assert_eq!(slow.gaps, [(FIRST_ID, gap_end)]);
    assert_eq!(slow.ids[0], FIRST_ID);
    assert_eq!(slow.ids[1], gap_end + 1);
    assert_eq!(slow.ids.last(), quick.ids.last());
    assert_eq!(hub.counts().gaps(), 1);
}

#[test]
fn a_client_goes_on_where_it_was_or_at_the_beginning_or_now() {
    let hub = hub();
    for number in 0..10 {
        hub.publish(&price(number), None);
    }
    let heard = |last_id, ids| {
        with_dispatcher(&hub, async {
            hub.announce();
            hear(&mut client(&hub, last_id), ids).await
        })
    };
    assert_eq!(
        heard(Some(FIRST_ID + 6), 3).ids,
        [FIRST_ID + 7, FIRST_ID + 8, FIRST_ID + 9]
    );
    let all = heard(Some(0), 10);
    assert_eq!((all.ids[0], all.gaps.len()), (FIRST_ID, 0));
    // From before this start: what lies between is gone.
    let earlier = heard(Some(FIRST_ID - 500), 10);
    assert_eq!(earlier.ids[0], FIRST_ID);
    let fresh = with_dispatcher(&hub, async {
        let mut client = client(&hub, None);
        hub.publish(&price(99), None);
        hub.announce();
        hear(&mut client, 1).await
    });
    assert_eq!(fresh.ids, [FIRST_ID + 10]);
}

#[test]
fn ids_before_this_start_are_a_gap() {
    let hub = hub();
    hub.publish(&price(1), None);
    let heard = with_dispatcher(&hub, hear(&mut client(&hub, Some(FIRST_ID - 500)), 1));
    assert_eq!(heard.gaps, [(FIRST_ID - 499, FIRST_ID - 1)]);
    assert_eq!(heard.ids, [FIRST_ID]);
}

#[test]
fn seats_are_bounded_and_free_again() {
    let hub = hub();
    let mut clients: Vec<_> = (0..CLIENTS_MAX).map(|_| client(&hub, None)).collect();
    assert!(hub.subscribe(None, Filter::everything()).is_none());
    assert_eq!(hub.counts().refused(), 1);
    clients.pop();
    assert!(hub.subscribe(None, Filter::everything()).is_some());
}

#[test]
fn a_quiet_stream_is_kept_alive() {
    let hub = hub();
    let comments = with_dispatcher(&hub, async {
        let mut client = client(&hub, None);
        let started = tokio::time::Instant::now();
        let mut heard = Heard::default();
        while heard.comments < 4 {
            heard.take(&client.next().await.expect("the stream goes on"));
        }
        started.elapsed()
    });
    // The greeting at once, then one every ten seconds.
    assert_eq!(comments, Duration::from_secs(30));
}

#[test]
fn the_last_event_is_sent_before_the_end() {
    let hub = hub();
    let heard = block_on(async {
        let (stop, stopped) = watch::channel(());
        let mut client = client(&hub, None);
        let stopped_event = StreamEvent::EngineStopped(EngineStopped {
            commands_processed: 1,
        });
        hub.publish(&stopped_event, None);
        drop(stop);
        hub.dispatch(stopped).await;
        hear_out(&mut client).await
    });
    assert_eq!(heard.ids, [FIRST_ID]);
}

#[test]
fn every_kind_is_counted_under_its_label() {
    let hub = hub();
    hub.publish(&price(1), None);
    hub.publish(&error(), None);
    let published: Vec<_> = hub
        .counts()
        .published()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(published, [("market", 1), ("error", 1)]);
}
