//! Events of markets and of the engine, from the core's samples and records.
//!
//! Owns: [`MarketEvents`]. Does not: drain rings. A best price changes far more often than a person or a
//! script looks, so `book_top` and `market` show the newest state of each instrument at most every
//! [`SHOW_EVERY`]; trades are shown one by one. Invariant: the newest state is always shown in the end,
//! unless a book stopped being live, whose prices are worth nothing.

use super::Hub;
use super::event::{
    BookTop, Decimal, EngineStarted, EngineStopped, Error, Market, StreamEvent, SubscriptionStatus,
    Trade,
};
use crate::catalogue::VERSION;
use std::sync::Arc;
use veloz_core::event::{LinkDown, LinkRole};
use veloz_core::instrument::{Instrument, InstrumentIndex, Instruments};
use veloz_core::telemetry::records::{BookState, EngineState, Record, RecordBody};
use veloz_core::telemetry::samples::Sample;
use veloz_core::units::{Lots, Nanos, Ticks};
use veloz_core::venue::binance::fault::VenueFault;

/// How often an instrument's newest state is shown.
const SHOW_EVERY: Nanos = Nanos::from_ms(100);

/// Turns what the drain finds into events.
pub struct MarketEvents {
    hub: Hub,
    venue: &'static str,
    instruments: Arc<Instruments>,
    waiting: Vec<Waiting>,
    unix_ns_at_zero: i64,
    /// Commands that the core answered.
    commands: u64,
    published: bool,
}

/// States of one instrument that were not shown yet, and when the last ones were.
#[derive(Clone, Copy, Default)]
struct Waiting {
    touch: Option<Touch>,
    touch_shown_at: Option<Nanos>,
    price: Option<(Nanos, Ticks)>,
    price_shown_at: Option<Nanos>,
}

type Side = Option<(Ticks, Lots)>;

#[derive(Clone, Copy)]
struct Touch {
    at: Nanos,
    bid: Side,
    ask: Side,
}

impl MarketEvents {
    /// Events about these instruments, into `hub`.
    pub fn new(hub: Hub, venue: &'static str, instruments: Arc<Instruments>) -> Self {
        Self {
            hub,
            venue,
            waiting: vec![Waiting::default(); instruments.count()],
            instruments,
            unix_ns_at_zero: 0,
            commands: 0,
            published: false,
        }
    }

    /// Says what Unix time it was, in nanoseconds, when the engine's clock read zero.
    pub fn set_wall_clock(&mut self, unix_ns_at_zero: i64) {
        self.unix_ns_at_zero = unix_ns_at_zero;
    }

    /// Takes a sample.
    pub fn sample(&mut self, sample: &Sample) {
        match *sample {
            Sample::TopOfBook {
                instrument,
                at,
                bid,
                ask,
            } => self.waiting[instrument.as_usize()].touch = Some(Touch { at, bid, ask }),
            Sample::Trade {
                instrument: index,
                at,
                venue_time,
                trade_id,
                price,
                qty,
                buyer_is_maker,
            } => {
                self.waiting[index.as_usize()].price = Some((at, price));
                let instruments = Arc::clone(&self.instruments);
                let instrument = instruments.get(index);
                let event = StreamEvent::Trade(Trade {
                    symbol: instrument.symbol.as_str(),
                    venue: self.venue,
                    price: Decimal(instrument.price(price)),
                    qty: Decimal(instrument.qty(qty)),
                    is_buyer_maker: buyer_is_maker,
                    trade_id,
                    ts_ns: venue_time.0.saturating_mul(1_000_000) as i64,
                });
                self.publish(&event, Some(index));
            }
            Sample::Stages { .. } | Sample::Order { .. } | Sample::OrdersSent { .. } => {}
        }
    }

    /// Takes a record.
    pub fn record(&mut self, record: &Record) {
        let ts_ns = self.unix_ns(record.at);
        let error = |message, cause| {
            StreamEvent::Error(Error {
                ts_ns,
                message,
                cause,
            })
        };
        match record.body {
            RecordBody::BookState { instrument, to, .. } => self.book_state(instrument, to, ts_ns),
            RecordBody::LinkDown { link, cause } if cause != LinkDown::Requested => {
                let message = match link.role {
                    LinkRole::Market => "market_source_error",
                    LinkRole::Api | LinkRole::Orders => "binance_ws_error",
                };
                self.publish(&error(message, cause.label()), None);
            }
            RecordBody::Fault {
                instrument, kind, ..
            } => {
                let kind = VenueFault::ALL.get(usize::from(kind));
                let cause = kind.map_or("unknown", |kind| kind.label());
                self.publish(&error("market_source_error", cause), instrument);
            }
            RecordBody::RequestRefused { .. } => {
                self.publish(&error("binance_ws_error", "request_refused"), None);
            }
            RecordBody::EngineState {
                from: EngineState::Starting,
                ..
            } => {
                let event = StreamEvent::EngineStarted(EngineStarted { version: VERSION });
                self.publish(&event, None);
            }
            RecordBody::Shutdown { .. } => {
                // The command that ended it is one of them.
                let event = StreamEvent::EngineStopped(EngineStopped {
                    commands_processed: self.commands + 1,
                });
                self.publish(&event, None);
            }
            RecordBody::CommandDone { .. } => self.commands += 1,
            RecordBody::LinkUp { .. }
            | RecordBody::LinkDown { .. }
            | RecordBody::Resync { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::OrderAdmitted { .. }
            | RecordBody::OrderAlias { .. }
            | RecordBody::OrderAdopted { .. }
            | RecordBody::OrderState { .. }
            | RecordBody::Fill { .. }
            | RecordBody::OrderRejected { .. }
            | RecordBody::VenueRefused { .. }
            | RecordBody::OrderFault { .. }
            | RecordBody::Position { .. }
            | RecordBody::Balance { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::TradingState { .. }
            | RecordBody::KillSwitch { .. }
            | RecordBody::Limits { .. } => {}
        }
    }

    /// Shows what waited long enough, and wakes the clients when there is anything new.
    pub fn step(&mut self, now: Nanos) {
        let instruments = Arc::clone(&self.instruments);
        for (index, instrument) in instruments.iter() {
            let waiting = &mut self.waiting[index.as_usize()];
            let due = |shown: Option<Nanos>| shown.is_none_or(|at| now.since(at) >= SHOW_EVERY);
            let touch = waiting.touch.filter(|_| due(waiting.touch_shown_at));
            let price = waiting.price.filter(|_| due(waiting.price_shown_at));
            if touch.is_some() {
                waiting.touch = None;
                waiting.touch_shown_at = Some(now);
            }
            if price.is_some() {
                waiting.price = None;
                waiting.price_shown_at = Some(now);
            }
            if let Some(touch) = touch {
                self.touch(index, instrument, touch);
            }
            if let Some((at, price)) = price {
                let event = StreamEvent::Market(Market {
                    symbol: instrument.symbol.as_str(),
                    ts_ns: self.unix_ns(at),
                    price: Decimal(instrument.price(price)),
                });
                self.publish(&event, Some(index));
            }
        }
        if std::mem::take(&mut self.published) {
            self.hub.announce();
        }
    }

    fn touch(&mut self, index: InstrumentIndex, instrument: &Instrument, touch: Touch) {
        let price = |side: Side| side.map(|(ticks, _)| Decimal(instrument.price(ticks)));
        let qty = |side: Side| side.map(|(_, lots)| Decimal(instrument.qty(lots)));
        let event = StreamEvent::BookTop(BookTop {
            symbol: instrument.symbol.as_str(),
            venue: self.venue,
            bid_price: price(touch.bid),
            bid_qty: qty(touch.bid),
            ask_price: price(touch.ask),
            ask_qty: qty(touch.ask),
            ts_ns: self.unix_ns(touch.at),
        });
        self.publish(&event, Some(index));
    }

    fn book_state(&mut self, index: InstrumentIndex, to: BookState, ts_ns: i64) {
        let status = match to {
            BookState::Live => "subscribed",
            BookState::Waiting => "unsubscribed",
            BookState::Resyncing => "error",
            // On its way: nothing that a client could act on.
            BookState::Syncing => return,
        };
        if to != BookState::Live {
            self.waiting[index.as_usize()].touch = None;
        }
        let instruments = Arc::clone(&self.instruments);
        let event = StreamEvent::SubscriptionStatus(SubscriptionStatus {
            symbol: instruments.get(index).symbol.as_str(),
            event_type: "book",
            status,
            ts_ns,
        });
        self.publish(&event, Some(index));
    }

    fn publish(&mut self, event: &StreamEvent<'_>, instrument: Option<InstrumentIndex>) {
        self.hub.publish(event, instrument);
        self.published = true;
    }

    fn unix_ns(&self, at: Nanos) -> i64 {
        self.unix_ns_at_zero.saturating_add(at.0 as i64)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::filter::Filter;
    use super::*;
    use crate::testing::instruments;
    use crate::wall::UnixMs;
    use serde_json::{Value, json};
    use veloz_core::event::LinkId;
    use veloz_core::telemetry::records::VenueRequest;
    use veloz_core::units::VenueMillis;

    const BTC: InstrumentIndex = InstrumentIndex(0);

    fn events() -> (MarketEvents, Hub) {
        let hub = Hub::new(UnixMs(1));
        let mut events = MarketEvents::new(hub.clone(), "binance", Arc::new(instruments()));
        events.set_wall_clock(1_000_000_000);
        (events, hub)
    }

    /// Everything that was published.
    pub(crate) fn published(hub: &Hub) -> Vec<Value> {
        let mut client = hub
            .subscribe(Some(0), Filter::everything())
            .expect("a seat");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let text = runtime.block_on(async {
            // The greeting, then everything in parts, then the first comment of a quiet stream.
            client.next().await;
            let mut text = Vec::new();
            while !text.ends_with(b": keep-alive\n\n") {
                text.extend(client.next().await.expect("open"));
            }
            text
        });
        std::str::from_utf8(&text)
            .expect("UTF-8")
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).expect("JSON"))
            .collect()
    }

    fn touch(at: u64, bid: i64) -> Sample {
        Sample::TopOfBook {
            instrument: BTC,
            at: Nanos(at),
            bid: Some((Ticks(bid), Lots(5))),
            ask: None,
        }
    }

    fn trade(at: Nanos, price: i64) -> Sample {
        Sample::Trade {
            instrument: BTC,
            at,
            venue_time: VenueMillis(1_723_075_200_001),
            trade_id: 7,
            price: Ticks(price),
            qty: Lots(3),
            buyer_is_maker: true,
        }
    }

    fn record(body: RecordBody) -> Record {
        Record {
            sequence: 0,
            at: Nanos(5),
            body,
        }
    }

    #[test]
    fn the_newest_touch_and_price_are_shown_ten_times_a_second_and_every_trade() {
        let (mut events, hub) = events();
        for number in 0..250u64 {
            let now = Nanos::from_ms(number);
            events.sample(&touch(now.0, 6_183_763 + number as i64));
            events.sample(&trade(now, 6_183_763 + number as i64));
            events.step(now);
        }
        events.step(Nanos::from_ms(300));
        let published = published(&hub);
        let of = |kind: &str| -> Vec<&Value> {
            published
                .iter()
                .filter(|event| event["type"] == kind)
                .collect()
        };
        assert_eq!(of("trade").len(), 250);
        // At 0, 100, 200 and, for the last word, 300 ms.
        let (touches, prices) = (of("book_top"), of("market"));
        assert_eq!((touches.len(), prices.len()), (4, 4));
        let newest = &touches[3];
        assert_eq!(
            **newest,
            json!({
                "type": "book_top", "symbol": "BTCUSDT", "venue": "binance",
                "bid_price": 61840.12, "bid_qty": 0.00005, "ask_price": null, "ask_qty": null,
                "ts_ns": 1_249_000_000,
            })
        );
        assert_eq!(
            *prices[3],
            json!({"type": "market", "symbol": "BTCUSDT", "price": 61840.12, "ts_ns": 1_249_000_000})
        );
        assert_eq!(
            *of("trade")[0],
            json!({
                "type": "trade", "symbol": "BTCUSDT", "venue": "binance", "price": 61837.63,
                "qty": 0.00003, "is_buyer_maker": true, "trade_id": 7,
                "ts_ns": 1_723_075_200_001_000_000u64,
            })
        );
    }

    #[test]
    fn a_book_that_is_not_live_shows_no_price() {
        let (mut events, hub) = events();
        events.sample(&touch(1, 100));
        events.record(&record(RecordBody::BookState {
            instrument: BTC,
            from: BookState::Live,
            to: BookState::Resyncing,
            last_update_id: 0,
        }));
        events.step(Nanos::from_secs(1));
        let published = published(&hub);
        assert_eq!(published.len(), 1);
        assert_eq!(
            published[0],
            json!({
                "type": "subscription_status", "symbol": "BTCUSDT", "event_type": "book",
                "status": "error", "ts_ns": 1_000_000_005,
            })
        );
    }

    #[test]
    fn records_become_the_events_that_clients_know() {
        let (mut events, hub) = events();
        let link = |role| LinkId {
            role,
            generation: 1,
        };
        let state = |to| RecordBody::BookState {
            instrument: BTC,
            from: BookState::Syncing,
            to,
            last_update_id: 0,
        };
        for body in [
            RecordBody::EngineState {
                from: EngineState::Starting,
                to: EngineState::Degraded,
            },
            RecordBody::LinkUp {
                link: link(LinkRole::Market),
            },
            state(BookState::Live),
            state(BookState::Syncing),
            state(BookState::Waiting),
            RecordBody::LinkDown {
                link: link(LinkRole::Market),
                cause: LinkDown::Closed,
            },
            RecordBody::LinkDown {
                link: link(LinkRole::Api),
                cause: LinkDown::Silent,
            },
            RecordBody::LinkDown {
                link: link(LinkRole::Market),
                cause: LinkDown::Requested,
            },
            RecordBody::Fault {
                link: link(LinkRole::Market),
                instrument: Some(BTC),
                kind: VenueFault::Malformed as u8,
                detail: 0,
            },
            RecordBody::RequestRefused {
                link: link(LinkRole::Api),
                request: VenueRequest::Snapshot,
                request_id: 1,
                code: -1_003,
                kind: None,
            },
            RecordBody::Shutdown { links_closed: 2 },
        ] {
            events.record(&record(body));
        }
        let text = |event: &Value| {
            let words = ["type", "status", "message", "cause"];
            let words = words.map(|key| event[key].as_str().unwrap_or_default());
            words.join(" ").trim_end().to_owned()
        };
        let got: Vec<_> = published(&hub).iter().map(text).collect();
        assert_eq!(
            got,
            [
                "engine_started",
                "subscription_status subscribed",
                "subscription_status unsubscribed",
                "error  market_source_error closed",
                "error  binance_ws_error silent",
                "error  market_source_error malformed",
                "error  binance_ws_error request_refused",
                "engine_stopped",
            ]
        );
    }
}
